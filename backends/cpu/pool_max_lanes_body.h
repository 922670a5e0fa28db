/* pool_max_lanes_body.h: max pooling where channels are neighbours, of a dtype that is computed in
 * float, in vectors of channels. Included by pool_kernel.c after pool_body.h. */

/* `v` against the best so far; its index is `at`. */
#define POOL_TAKE(best, winner, v, at)                   \
    do {                                                 \
        vf v_ = (v);                                     \
        vm wins_ = vm_or(vf_gt(v_, best), vf_isnan(v_)); \
        best = vf_select(wins_, v_, best);               \
        winner = vi_select(wins_, at, winner);           \
    } while (0)

LUC_INLINE vi LUC_F(pool_winners)(const int32_t *p, int64_t n)
{
    return n >= LUC_VF ? vi_load(p) : vi_load_n(p, n);
}

LUC_INLINE void LUC_F(pool_put_winners)(int32_t *p, vi winner, int64_t n)
{
    if (n >= LUC_VF)
        vi_store(p, winner);
    else
        vi_store_n(p, winner, n);
}

/* ---- forward ---------------------------------------------------------------------------------- */

/* Any window; index: NULL where nobody asks for it. */
static void LUC_F(pool_max_lanes)(const luc_pool_plan *p, const LUC_T *x, luc_window wy,
                                  luc_window wx, LUC_T *y, int32_t *index)
{
    for (int64_t c = 0; c < p->c; c += LUC_VF) {
        int64_t m = p->c - c;
        vf best = vf_set1(-INFINITY);
        vi winner = vi_set1((int32_t)(wy.begin * p->w + wx.begin));
        for (int64_t i = wy.begin; i < wy.end; i += p->dilation[0]) {
            const LUC_T *row = x + i * p->big.strides[2] + c;
            for (int64_t j = wx.begin; j < wx.end; j += p->dilation[1])
                POOL_TAKE(best, winner, LUC_F(pool_upto)(row + j * p->big.strides[3], m),
                          vi_set1((int32_t)(i * p->w + j)));
        }
        LUC_F(pool_put_upto)(y + c, best, m);
        if (index) LUC_F(pool_put_winners)(index + c, winner, m);
    }
}

/* m channels of a window of side x side taps from x on, all inside; first: the index of x. Each row
 * has a chain of its own. */
LUC_INLINE void LUC_F(pool_max_square)(const luc_pool_plan *p, int side, const LUC_T *x,
                                       int32_t first, LUC_T *y, int32_t *index, int64_t m)
{
    vf best = vf_zero();
    vi winner = vi_set1(first);
    for (int i = 0; i < side; i++) {
        const LUC_T *row = x + i * p->big.strides[2];
        int32_t at = first + i * (int32_t)p->w;
        vf top = LUC_F(pool_upto)(row, m);
        vi place = vi_set1(at);
        for (int j = 1; j < side; j++)
            POOL_TAKE(top, place, LUC_F(pool_upto)(row + j * p->big.strides[3], m),
                      vi_set1(at + j));
        if (i == 0) {
            best = top;
            winner = place;
        } else {
            POOL_TAKE(best, winner, top, place);
        }
    }
    LUC_F(pool_put_upto)(y, best, m);
    if (index) LUC_F(pool_put_winners)(index, winner, m);
}

/* One row of windows; x: the image. side: of square windows without dilation, 0: any. */
LUC_INLINE void LUC_F(pool_max_lane_row)(const luc_pool_plan *p, int side, bool keep,
                                         const LUC_T *x, int64_t row, LUC_T *y, int32_t *index)
{
    luc_window wy = luc_pool_window(p, 0, row);
    for (int64_t o = 0; o < p->ow; o++, y += p->small.strides[3]) {
        luc_window wx = luc_pool_window(p, 1, o);
        int32_t *to = keep ? index + o * p->index.strides[3] : NULL;
        if (side == 0 || wy.end - wy.begin < side || wx.end - wx.begin < side) {
            LUC_F(pool_max_lanes)(p, x, wy, wx, y, to);
            continue;
        }
        const LUC_T *from = x + wy.begin * p->big.strides[2] + wx.begin * p->big.strides[3];
        int32_t first = (int32_t)(wy.begin * p->w + wx.begin);
        int64_t c = 0;
        for (; c + LUC_VF <= p->c; c += LUC_VF) LUC_F(pool_max_square)
        (p, side, from + c, first, y + c, keep ? to + c : NULL, LUC_VF);
        if (c < p->c) LUC_F(pool_max_square)
        (p, side, from + c, first, y + c, keep ? to + c : NULL, p->c - c);
    }
}

static void LUC_F(pool_max_lane_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    int side = pool_square_side(p);
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / p->oh, row = i % p->oh;
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, n, 0, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, n, 0, row);
        int32_t *index = pool_index_row(p, n, 0, row);
        if (side == 2 && index)
            LUC_F(pool_max_lane_row)(p, 2, true, x, row, y, index);
        else if (side == 2)
            LUC_F(pool_max_lane_row)(p, 2, false, x, row, y, NULL);
        else if (side == 3 && index)
            LUC_F(pool_max_lane_row)(p, 3, true, x, row, y, index);
        else if (side == 3)
            LUC_F(pool_max_lane_row)(p, 3, false, x, row, y, NULL);
        else if (index)
            LUC_F(pool_max_lane_row)(p, 0, true, x, row, y, index);
        else
            LUC_F(pool_max_lane_row)(p, 0, false, x, row, y, NULL);
    }
}

/* ---- backward --------------------------------------------------------------------------------- */

/* The gradient of m channels at the pixel of index `here`, of rows x columns windows from g and index
 * on, as pool_won. */
LUC_INLINE void LUC_F(pool_won_lanes)(const luc_pool_plan *p, LUC_T *dx, int64_t rows,
                                      int64_t columns, const LUC_T *g, const int32_t *index,
                                      vi here, int64_t m)
{
    vf sum = vf_zero();
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) {
            vf v = LUC_F(pool_upto)(g + i * p->small.strides[2] + j * p->small.strides[3], m);
            vi k =
                LUC_F(pool_winners)(index + i * p->index.strides[2] + j * p->index.strides[3], m);
            sum = vf_add(sum, vf_keep(vi_eq(k, here), v));
        }
    if (m == LUC_VF && p->stream)
        LUC_STREAM(dx, sum);
    else
        LUC_F(pool_put_upto)(dx, sum, m);
}

LUC_INLINE void LUC_F(pool_won_pixel)(const luc_pool_plan *p, LUC_T *dx, int64_t rows,
                                      int64_t columns, const LUC_T *g, const int32_t *index,
                                      vi here)
{
    int64_t c = 0;
    for (; c + LUC_VF <= p->c; c += LUC_VF)
        LUC_F(pool_won_lanes)(p, dx + c, rows, columns, g + c, index + c, here, LUC_VF);
    if (c < p->c) LUC_F(pool_won_lanes)(p, dx + c, rows, columns, g + c, index + c, here, p->c - c);
}

/* One row of the gradient, under the windows of rows [first, last). */
static void LUC_F(pool_max_backward_lane_row)(const luc_pool_plan *p, LUC_T *dx, const LUC_T *g,
                                              const int32_t *index, int64_t y)
{
    int64_t top, bottom, left = 0, right = 0, step = p->stride[1];
    int64_t reach = (p->kernel[1] - 1) * p->dilation[1];
    luc_pool_cover(p, 0, y, &top, &bottom);
    int64_t rows = bottom > top ? bottom - top : 0;
    g += top * p->small.strides[2];
    index += top * p->index.strides[2];
    for (int64_t x = 0; x < p->w; x++, dx += p->big.strides[3]) {
        int64_t at = x + p->padding[1]; /* what luc_pool_cover says, without dividing */
        while (right < p->ow && right * step <= at) right++;
        while (left < right && left * step + reach < at) left++;
        const LUC_T *from = g + left * p->small.strides[3];
        const int32_t *won = index + left * p->index.strides[3];
        vi here = vi_set1((int32_t)(y * p->w + x));
        if (rows == 1 && right - left == 1)
            LUC_F(pool_won_pixel)(p, dx, 1, 1, from, won, here);
        else if (rows == 1 && right - left == 2)
            LUC_F(pool_won_pixel)(p, dx, 1, 2, from, won, here);
        else if (rows == 2 && right - left == 1)
            LUC_F(pool_won_pixel)(p, dx, 2, 1, from, won, here);
        else if (rows == 2 && right - left == 2)
            LUC_F(pool_won_pixel)(p, dx, 2, 2, from, won, here);
        else
            LUC_F(pool_won_pixel)(p, dx, rows, right - left, from, won, here);
    }
}

static void LUC_F(pool_max_backward_lane_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / p->h, y = i % p->h;
        LUC_F(pool_max_backward_lane_row)
        (p, (LUC_T *)p->big.data + image_offset(&p->big, n, 0, y),
         (const LUC_T *)p->small.data + image_offset(&p->small, n, 0, 0),
         pool_index_row(p, n, 0, 0), y);
    }
}

/* One window's gradient of m channels to its four taps; first: the index of dx. */
LUC_INLINE void LUC_F(pool_back_lanes_2x2)(const luc_pool_plan *p, LUC_T *dx, int32_t first,
                                           const LUC_T *g, const int32_t *index, int64_t m)
{
    vf v = LUC_F(pool_upto)(g, m);
    vi k = LUC_F(pool_winners)(index, m);
    for (int t = 0; t < 4; t++) {
        LUC_T *to = dx + t / 2 * p->big.strides[2] + t % 2 * p->big.strides[3];
        vf own = vf_keep(vi_eq(k, vi_set1(first + t / 2 * (int32_t)p->w + t % 2)), v);
        if (m == LUC_VF && p->stream)
            LUC_STREAM(to, own);
        else
            LUC_F(pool_put_upto)(to, own, m);
    }
}

static void LUC_F(pool_zero_lanes)(const luc_pool_plan *p, LUC_T *dx)
{
    for (int64_t c = 0; c < p->c; c++) LUC_PUT(dx + c, 0);
}

/* Rows 2 i and 2 i + 1 of the gradient, or what is left below the last window. */
static void LUC_F(pool_back_lane_pairs)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    int64_t pairs = (p->h + 1) / 2;
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / pairs, row = i % pairs, rows = row < p->oh ? 2 : p->h - 2 * row;
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, n, 0, 2 * row);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, n, 0, row);
        const int32_t *index = pool_index_row(p, n, 0, row);
        int64_t covered = row < p->oh ? p->ow : 0;
        for (int64_t o = 0; o < covered; o++) {
            LUC_T *to = dx + 2 * o * p->big.strides[3];
            const LUC_T *from = g + o * p->small.strides[3];
            const int32_t *won = index + o * p->index.strides[3];
            int32_t first = (int32_t)(2 * row * p->w + 2 * o);
            int64_t c = 0;
            for (; c + LUC_VF <= p->c; c += LUC_VF)
                LUC_F(pool_back_lanes_2x2)(p, to + c, first, from + c, won + c, LUC_VF);
            if (c < p->c) LUC_F(pool_back_lanes_2x2)(p, to + c, first, from + c, won + c, p->c - c);
        }
        for (int64_t r = 0; r < (rows < 2 ? rows : 2); r++)
            for (int64_t x = 2 * covered; x < p->w; x++)
                LUC_F(pool_zero_lanes)(p, dx + r * p->big.strides[2] + x * p->big.strides[3]);
    }
}
