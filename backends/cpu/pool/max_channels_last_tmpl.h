/* max_channels_last_tmpl.h: max pooling of a dtype that is computed in float, where channels are
 * neighbours, in vectors of channels. It is included by level.c after any_layout_tmpl.h. */

/* Compares `v`, whose index is `at`, with the best so far. */
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

/* ---- forward -------------------------------------------------------------------------------- */

/* Any window; index: NULL if it is not wanted. */
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

/* Square windows without dilation. A tap outside the image stands for the nearest tap of the window
 * inside, whose value and index it repeats, so that all windows are computed alike. */
typedef struct {
    const LUC_T *row[3];
    int64_t column[3];
    vi at[9]; /* the taps' indices, counted from the window's first column in row 0 */
} LUC_F(pool_square);

LUC_INLINE void LUC_F(pool_square_columns)(const luc_pool_plan *p, int side, luc_window wy,
                                           luc_window wx, int64_t y0, int64_t x0,
                                           LUC_F(pool_square) * s)
{
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            int64_t r = pool_clamp(y0 + i, wy), c = pool_clamp(x0 + j, wx);
            s->column[j] = c * p->big.strides[3];
            s->at[i * side + j] = vi_set1((int32_t)(r * p->w + c - x0));
        }
}

/* m channels of a window whose first column is x0. If there is a NaN among its taps, it returns
 * false and writes nothing. Each row has a chain of comparisons of its own. */
LUC_INLINE bool LUC_F(pool_max_square)(int side, bool stream, const LUC_F(pool_square) * s,
                                       int64_t c, int32_t x0, LUC_T *y, int32_t *index, int64_t m)
{
    enum { ahead = POOL_AHEAD / sizeof(LUC_T) };
    vf tap[9], best = vf_zero();
    vi winner = vi_set1(0);
    for (int k = 0; k < side * side; k++)
        tap[k] = LUC_F(pool_upto)(s->row[k / side] + (s->column[k % side] + c), m);
    for (int k = 0; k < 4; k++) /* the part that is new in this window, for later windows */
        luc_prefetch(s->row[side - 1 - k / 2] + (s->column[side - 1 - k % 2] + c + ahead));
    vm nan = vf_unordered(tap[side * side - 2], tap[side * side - 1]);
    for (int k = 0; k + 2 < side * side; k += 2) nan = vm_or(nan, vf_unordered(tap[k], tap[k + 1]));
    if (vm_any(nan)) return false;
    for (int i = 0; i < side; i++) {
        vf top = tap[i * side];
        vi place = s->at[i * side];
        for (int j = 1; j < side; j++) {
            vf v = tap[i * side + j];
            if (index) place = vi_select(vf_gt(v, top), s->at[i * side + j], place);
            top = vf_max(v, top);
        }
        if (index) winner = i == 0 ? place : vi_select(vf_gt(top, best), place, winner);
        best = i == 0 ? top : vf_max(top, best);
    }
    winner = vi_add(winner, vi_set1(x0));
    if (stream) {
        LUC_STREAM(y + c, best);
        if (index) vf_stream((float *)(void *)(index + c), vi_float(winner));
        return true;
    }
    LUC_F(pool_put_upto)(y + c, best, m);
    if (index) LUC_F(pool_put_winners)(index + c, winner, m);
    return true;
}

/* One row of square windows; x: the image. */
LUC_INLINE void LUC_F(pool_max_square_row)(const luc_pool_plan *p, int side, bool keep,
                                           const LUC_T *x, int64_t row, LUC_T *y, int32_t *index)
{
    LUC_F(pool_square) s;
    const luc_window wy = luc_pool_window(p, 0, row);
    const int64_t y0 = row * p->stride[0] - p->padding[0], channels = p->c;
    const bool stream = p->stream;
    bool inner = false; /* s has the columns of a window inside the image */
    memset(&s, 0, sizeof s);
    for (int i = 0; i < side; i++) s.row[i] = x + pool_clamp(y0 + i, wy) * p->big.strides[2];
    for (int64_t o = 0; o < p->ow; o++, y += p->small.strides[3]) {
        const luc_window wx = luc_pool_window(p, 1, o);
        const int64_t x0 = o * p->stride[1] - p->padding[1];
        int32_t *to = keep ? index + o * p->index.strides[3] : NULL;
        bool whole = wx.end - wx.begin == side, fine = wy.end > wy.begin && wx.end > wx.begin;
        if (!inner || !whole)
            LUC_F(pool_square_columns)(p, side, wy, wx, y0, x0, &s);
        else
            for (int j = 0; j < side; j++) s.column[j] = (x0 + j) * p->big.strides[3];
        inner = whole;
        int64_t c = 0;
        for (; stream && fine && c + LUC_VF <= channels; c += LUC_VF)
            fine = LUC_F(pool_max_square)(side, true, &s, c, (int32_t)x0, y, to, LUC_VF);
        for (; fine && c + LUC_VF <= channels; c += LUC_VF)
            fine = LUC_F(pool_max_square)(side, false, &s, c, (int32_t)x0, y, to, LUC_VF);
        if (fine && c < channels)
            fine = LUC_F(pool_max_square)(side, false, &s, c, (int32_t)x0, y, to, channels - c);
        if (!fine) LUC_F(pool_max_lanes)(p, x, wy, wx, y, to);
    }
}

/* One row of any windows. */
static void LUC_F(pool_max_lane_row)(const luc_pool_plan *p, const LUC_T *x, int64_t row, LUC_T *y,
                                     int32_t *index)
{
    luc_window wy = luc_pool_window(p, 0, row);
    for (int64_t o = 0; o < p->ow; o++) LUC_F(pool_max_lanes)
    (p, x, wy, luc_pool_window(p, 1, o), y + o * p->small.strides[3],
     index ? index + o * p->index.strides[3] : NULL);
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
            LUC_F(pool_max_square_row)(p, 2, true, x, row, y, index);
        else if (side == 2)
            LUC_F(pool_max_square_row)(p, 2, false, x, row, y, NULL);
        else if (side == 3 && index)
            LUC_F(pool_max_square_row)(p, 3, true, x, row, y, index);
        else if (side == 3)
            LUC_F(pool_max_square_row)(p, 3, false, x, row, y, NULL);
        else
            LUC_F(pool_max_lane_row)(p, x, row, y, index);
    }
    if (p->stream) luc_stream_fence();
}

/* ---- backward ------------------------------------------------------------------------------- */

/* The gradient of m channels at the pixel with index `here`. It sums over rows x columns windows,
 * which begin at g and index, and adds the gradients of those that the pixel won. */
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

/* Columns [begin, end) of row y of the gradient; dx, g and index point to the image. */
static void LUC_F(pool_back_columns)(const luc_pool_plan *p, LUC_T *dx, const LUC_T *g,
                                     const int32_t *index, int64_t y, int64_t begin, int64_t end)
{
    int64_t top, bottom, left, right, step = p->stride[1];
    int64_t reach = (p->kernel[1] - 1) * p->dilation[1];
    luc_pool_cover(p, 0, y, &top, &bottom);
    luc_pool_cover(p, 1, begin, &left, &right);
    int64_t rows = bottom > top ? bottom - top : 0;
    dx += y * p->big.strides[2] + begin * p->big.strides[3];
    g += top * p->small.strides[2];
    index += top * p->index.strides[2];
    for (int64_t x = begin; x < end; x++, dx += p->big.strides[3]) {
        int64_t at = x + p->padding[1]; /* what luc_pool_cover finds, without divisions */
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
        LUC_F(pool_back_columns)
        (p, (LUC_T *)p->big.data + image_offset(&p->big, n, 0, 0),
         (const LUC_T *)p->small.data + image_offset(&p->small, n, 0, 0),
         pool_index_row(p, n, 0, 0), y, 0, p->w);
    }
    if (p->stream) luc_stream_fence();
}

/* m channels of 2x2 pixels that four windows of 3x3 with step 2 cover. g and index point to the
 * last of these; at: the indices of the pixels. */
LUC_INLINE void LUC_F(pool_back_quad)(const luc_pool_plan *p, LUC_T *dx, const LUC_T *g,
                                      const int32_t *index, const vi at[4], int64_t m)
{
    const int64_t gy = p->small.strides[2], gx = p->small.strides[3];
    const int64_t iy = p->index.strides[2], ix = p->index.strides[3];
    vf v[4];
    vi k[4];
    for (int q = 0; q < 4; q++) {
        v[q] = LUC_F(pool_upto)(g - (q < 2 ? gy : 0) - (q % 2 ? 0 : gx), m);
        k[q] = LUC_F(pool_winners)(index - (q < 2 ? iy : 0) - (q % 2 ? 0 : ix), m);
    }
    for (int t = 0; t < 4; t++) { /* the first windows miss the second row and column of pixels */
        LUC_T *to = dx + t / 2 * p->big.strides[2] + t % 2 * p->big.strides[3];
        vf sum = vf_zero();
        for (int q = 0; q < 4; q++)
            if ((q & t) == t) sum = vf_add(sum, vf_keep(vi_eq(k[q], at[t]), v[q]));
        if (m == LUC_VF && p->stream)
            LUC_STREAM(to, sum);
        else
            LUC_F(pool_put_upto)(to, sum, m);
    }
}

/* Two rows of the gradient, from row y and column x on, under the windows of row o: all columns
 * that pairs of pixels cover. Returns the first column after them. */
static int64_t LUC_F(pool_back_quads)(const luc_pool_plan *plan, LUC_T *dx, const LUC_T *g,
                                      const int32_t *index, int64_t o, int64_t y, int64_t x)
{
    const luc_pool_plan p = *plan;
    dx += y * p.big.strides[2] + x * p.big.strides[3];
    g += o * p.small.strides[2];
    index += o * p.index.strides[2];
    for (int64_t j = 1; j < p.ow && x + 1 < p.w; j++, x += 2) {
        const int32_t first = (int32_t)(y * p.w + x), below = first + (int32_t)p.w;
        const vi at[4] = {vi_set1(first), vi_set1(first + 1), vi_set1(below), vi_set1(below + 1)};
        g += p.small.strides[3];
        index += p.index.strides[3];
        int64_t c = 0;
        for (; c + LUC_VF <= p.c; c += LUC_VF)
            LUC_F(pool_back_quad)(&p, dx + c, g + c, index + c, at, LUC_VF);
        if (c < p.c) LUC_F(pool_back_quad)(&p, dx + c, g + c, index + c, at, p.c - c);
        dx += 2 * p.big.strides[3];
    }
    return x;
}

/* Windows of 3x3 with step 2: the two rows of the gradient at which a row of windows begins. */
static void LUC_F(pool_back_lane_bands)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    const int64_t bands = (p->h + p->padding[0] + 1) / 2;
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / bands, o = i % bands, y = 2 * o - p->padding[0], left = p->w, right = p->w;
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, n, 0, 0);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, n, 0, 0);
        const int32_t *index = pool_index_row(p, n, 0, 0);
        if (o > 0 && o < p->oh && y + 1 < p->h && p->w > 2) {
            left = 2 - p->padding[1];
            right = LUC_F(pool_back_quads)(p, dx, g, index, o, y, left);
        }
        for (int64_t r = y < 0 ? 0 : y; r < p->h && r < y + 2; r++) {
            LUC_F(pool_back_columns)(p, dx, g, index, r, 0, left);
            LUC_F(pool_back_columns)(p, dx, g, index, r, right, p->w);
        }
    }
    if (p->stream) luc_stream_fence();
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

/* Rows 2 i and 2 i + 1 of the gradient, or the rows that are left below the last window. */
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
    if (p->stream) luc_stream_fence();
}
