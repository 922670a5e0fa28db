/* pool_max_body.h: max pooling of a dtype that is computed in float, in vectors along the channels
 * or, for 2x2 windows, along the columns. Included by pool_kernel.c after pool_body.h. */

/* ---- channels side by side ------------------------------------------------------------------ */

LUC_INLINE void LUC_F(pool_max_lanes)(const luc_pool_plan *p, const LUC_T *x, luc_window wy,
                                      luc_window wx, LUC_T *y, int64_t *index)
{
    for (int64_t c = 0; c < p->c; c += LUC_VF) {
        int64_t m = p->c - c < LUC_VF ? p->c - c : LUC_VF;
        vf best = vf_set1(-INFINITY);
        vi winner = vi_set1((int32_t)(wy.begin * p->w + wx.begin));
        for (int64_t i = wy.begin; i < wy.end; i += p->dilation[0]) {
            const LUC_T *row = x + i * p->big.strides[2] + c;
            for (int64_t j = wx.begin; j < wx.end; j += p->dilation[1]) {
                const LUC_T *at = row + j * p->big.strides[3];
                vf v = m == LUC_VF ? LUC_LOAD(at) : LUC_LOAD_N(at, m);
                vm wins = vm_or(vf_gt(v, best), vf_isnan(v));
                best = vf_select(wins, v, best);
                winner = vi_select(wins, vi_set1((int32_t)(i * p->w + j)), winner);
            }
        }
        if (m == LUC_VF) {
            LUC_STORE(y + c, best);
            vi_store_i64(index + c, winner);
        } else {
            LUC_STORE_N(y + c, best, m);
            vi_store_i64_n(index + c, winner, m);
        }
    }
}

/* `v` against the best so far; its index is `at`. */
#define POOL_TAKE(best, winner, v, at)                   \
    do {                                                 \
        vf v_ = (v);                                     \
        vm wins_ = vm_or(vf_gt(v_, best), vf_isnan(v_)); \
        best = vf_select(wins_, v_, best);               \
        winner = vi_select(wins_, at, winner);           \
    } while (0)

/* The same for windows of 2x2 inside the image; first: the index of the window's first tap. */
LUC_INLINE void LUC_F(pool_max_lanes_2x2)(const luc_pool_plan *p, const LUC_T *x, int64_t first,
                                          LUC_T *y, int64_t *index)
{
    const LUC_T *right = x + p->big.strides[3], *low = x + p->big.strides[2];
    const LUC_T *last = low + p->big.strides[3];
    vi base = vi_set1((int32_t)first), i1 = vi_set1((int32_t)(first + 1));
    vi i2 = vi_set1((int32_t)(first + p->w)), i3 = vi_set1((int32_t)(first + p->w + 1));
    int64_t c = 0;
    for (; c + LUC_VF <= p->c; c += LUC_VF) {
        vf best = LUC_LOAD(x + c);
        vi winner = base;
        POOL_TAKE(best, winner, LUC_LOAD(right + c), i1);
        POOL_TAKE(best, winner, LUC_LOAD(low + c), i2);
        POOL_TAKE(best, winner, LUC_LOAD(last + c), i3);
        LUC_STORE(y + c, best);
        vi_store_i64(index + c, winner);
    }
    if (c < p->c) {
        int64_t m = p->c - c;
        vf best = LUC_LOAD_N(x + c, m);
        vi winner = base;
        POOL_TAKE(best, winner, LUC_LOAD_N(right + c, m), i1);
        POOL_TAKE(best, winner, LUC_LOAD_N(low + c, m), i2);
        POOL_TAKE(best, winner, LUC_LOAD_N(last + c, m), i3);
        LUC_STORE_N(y + c, best, m);
        vi_store_i64_n(index + c, winner, m);
    }
}

/* Windows of 2x2 that touch each other, and lie inside the image. */
static bool LUC_F(pool_is_2x2)(const luc_pool_plan *p)
{
    for (int i = 0; i < 2; i++)
        if (p->kernel[i] != 2 || p->stride[i] != 2 || p->padding[i] || p->dilation[i] != 1)
            return false;
    return 2 * p->oh <= p->h && 2 * p->ow <= p->w;
}

static void LUC_F(pool_max_lane_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    bool plain = LUC_F(pool_is_2x2)(p);
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / p->oh, row = i % p->oh;
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, n, 0, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, n, 0, row);
        int64_t *index = (int64_t *)p->index.data + image_offset(&p->index, n, 0, row);
        luc_window wy = luc_pool_window(p, 0, row);
        for (int64_t o = 0; o < p->ow; o++) {
            if (plain) LUC_F(pool_max_lanes_2x2)
            (p, x + 2 * row * p->big.strides[2] + 2 * o * p->big.strides[3], 2 * row * p->w + 2 * o,
             y, index);
            else LUC_F(pool_max_lanes)(p, x, wy, luc_pool_window(p, 1, o), y, index);
            y += p->small.strides[3];
            index += p->index.strides[3];
        }
    }
}

/* The gradient of `m` channels at (y, x), as pool_won. */
LUC_INLINE vf LUC_F(pool_won_lanes)(const luc_pool_plan *p, const LUC_T *g, const int64_t *index,
                                    const int64_t cover[4], vi here, int64_t m)
{
    vf sum = vf_zero();
    for (int64_t i = cover[0]; i < cover[1]; i++) {
        for (int64_t j = cover[2]; j < cover[3]; j++) {
            const LUC_T *at = g + i * p->small.strides[2] + j * p->small.strides[3];
            const int64_t *from = index + i * p->index.strides[2] + j * p->index.strides[3];
            vf v = m == LUC_VF ? LUC_LOAD(at) : LUC_LOAD_N(at, m);
            vi k = m == LUC_VF ? vi_load_i64(from) : vi_load_i64_n(from, m);
            sum = vf_add(sum, vf_keep(vi_eq(k, here), v));
        }
    }
    return sum;
}

static void LUC_F(pool_max_backward_lane_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / p->h, y = i % p->h, cover[4];
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, n, 0, y);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, n, 0, 0);
        const int64_t *index = (const int64_t *)p->index.data + image_offset(&p->index, n, 0, 0);
        luc_pool_cover(p, 0, y, &cover[0], &cover[1]);
        for (int64_t x = 0; x < p->w; x++, dx += p->big.strides[3]) {
            vi here = vi_set1((int32_t)(y * p->w + x));
            luc_pool_cover(p, 1, x, &cover[2], &cover[3]);
            for (int64_t c = 0; c < p->c; c += LUC_VF) {
                int64_t m = p->c - c < LUC_VF ? p->c - c : LUC_VF;
                vf v = LUC_F(pool_won_lanes)(p, g + c, index + c, cover, here, m);
                if (m == LUC_VF)
                    LUC_STORE(dx + c, v);
                else
                    LUC_STORE_N(dx + c, v, m);
            }
        }
    }
}

/* One window's gradient to its four taps. */
LUC_INLINE void LUC_F(pool_back_lanes_2x2)(const luc_pool_plan *p, LUC_T *dx, int64_t first,
                                           const LUC_T *g, const int64_t *index)
{
    LUC_T *right = dx + p->big.strides[3], *low = dx + p->big.strides[2];
    LUC_T *last = low + p->big.strides[3];
    vi i0 = vi_set1((int32_t)first), i1 = vi_set1((int32_t)(first + 1));
    vi i2 = vi_set1((int32_t)(first + p->w)), i3 = vi_set1((int32_t)(first + p->w + 1));
    for (int64_t c = 0; c < p->c; c += LUC_VF) {
        int64_t m = p->c - c < LUC_VF ? p->c - c : LUC_VF;
        if (m == LUC_VF) {
            vf v = LUC_LOAD(g + c);
            vi k = vi_load_i64(index + c);
            LUC_STORE(dx + c, vf_keep(vi_eq(k, i0), v));
            LUC_STORE(right + c, vf_keep(vi_eq(k, i1), v));
            LUC_STORE(low + c, vf_keep(vi_eq(k, i2), v));
            LUC_STORE(last + c, vf_keep(vi_eq(k, i3), v));
        } else {
            vf v = LUC_LOAD_N(g + c, m);
            vi k = vi_load_i64_n(index + c, m);
            LUC_STORE_N(dx + c, vf_keep(vi_eq(k, i0), v), m);
            LUC_STORE_N(right + c, vf_keep(vi_eq(k, i1), v), m);
            LUC_STORE_N(low + c, vf_keep(vi_eq(k, i2), v), m);
            LUC_STORE_N(last + c, vf_keep(vi_eq(k, i3), v), m);
        }
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
        const int64_t *index = (const int64_t *)p->index.data + image_offset(&p->index, n, 0, row);
        int64_t covered = row < p->oh ? p->ow : 0;
        for (int64_t o = 0; o < covered; o++) LUC_F(pool_back_lanes_2x2)
        (p, dx + 2 * o * p->big.strides[3], 2 * row * p->w + 2 * o, g + o * p->small.strides[3],
         index + o * p->index.strides[3]);
        for (int64_t r = 0; r < (rows < 2 ? rows : 2); r++)
            for (int64_t x = 2 * covered; x < p->w; x++)
                LUC_F(pool_zero_lanes)(p, dx + r * p->big.strides[2] + x * p->big.strides[3]);
    }
}

/* ---- 2x2 windows, step 2, columns side by side ---------------------------------------------- */

static const int32_t LUC_F(pool_lane)[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* One row of windows from the two rows at x and x + w. base: the index of x[0]. */
static void LUC_F(pool_max_2x2_row)(const LUC_T *x0, const LUC_T *x1, int64_t ow, int64_t base,
                                    int64_t w, LUC_T *y, int64_t *index)
{
    enum { AHEAD = 256 };
    vi lane = vi_load(LUC_F(pool_lane));
    for (int64_t o = 0; o < ow; o += LUC_VF) {
        int64_t m = ow - o < LUC_VF ? ow - o : LUC_VF;
        const LUC_T *p = x0 + 2 * o, *q = x1 + 2 * o;
        luc_prefetch(p + AHEAD);
        luc_prefetch(p + AHEAD + LUC_VF);
        luc_prefetch(q + AHEAD);
        luc_prefetch(q + AHEAD + LUC_VF);
        vf a = LUC_F(pool_upto)(p, 2 * m), b = LUC_F(pool_upto)(p + LUC_VF, 2 * m - LUC_VF);
        vf c = LUC_F(pool_upto)(q, 2 * m), d = LUC_F(pool_upto)(q + LUC_VF, 2 * m - LUC_VF);
        vf best = vf_even(a, b), right = vf_odd(a, b), low = vf_even(c, d), last = vf_odd(c, d);
        vi first = vi_add(vi_set1((int32_t)(base + 2 * o)), vi_shl(lane, 1)), winner = first;
        POOL_TAKE(best, winner, right, vi_add(first, vi_set1(1)));
        POOL_TAKE(best, winner, low, vi_add(first, vi_set1((int32_t)w)));
        POOL_TAKE(best, winner, last, vi_add(first, vi_set1((int32_t)w + 1)));
        if (m == LUC_VF) {
            LUC_STORE(y + o, best);
            vi_store_i64(index + o, winner);
        } else {
            LUC_STORE_N(y + o, best, m);
            vi_store_i64_n(index + o, winner, m);
        }
    }
}

static void LUC_F(pool_max_2x2_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->oh);
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 2 * at.row);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row);
        int64_t *index = (int64_t *)p->index.data + image_offset(&p->index, at.n, at.c, at.row);
        LUC_F(pool_max_2x2_row)(x, x + p->big.strides[2], p->ow, 2 * at.row * p->w, p->w, y, index);
    }
}

/* Elements [2 o, 2 o + 2 m) of a row whose index at o is `even`, from m gradients. */
LUC_INLINE void LUC_F(pool_spread)(LUC_T *dx, vf v, vi k, vi even, int64_t m)
{
    vf l = vf_keep(vi_eq(k, even), v), r = vf_keep(vi_eq(k, vi_add(even, vi_set1(1))), v);
    vf first = vf_zip_low(l, r), second = vf_zip_high(l, r);
    if (2 * m >= LUC_VF)
        LUC_STORE(dx, first);
    else
        LUC_STORE_N(dx, first, 2 * m);
    if (m == LUC_VF)
        LUC_STORE(dx + LUC_VF, second);
    else if (2 * m > LUC_VF)
        LUC_STORE_N(dx + LUC_VF, second, 2 * m - LUC_VF);
}

/* Two rows of the gradient; base: the index of the first element of the upper one. */
static void LUC_F(pool_max_2x2_back)(LUC_T *upper, LUC_T *lower, const LUC_T *g,
                                     const int64_t *index, int64_t ow, int64_t base, int64_t w)
{
    enum { AHEAD = 128 };
    vi lane = vi_shl(vi_load(LUC_F(pool_lane)), 1), down = vi_set1((int32_t)w);
    for (int64_t o = 0; o < ow; o += LUC_VF) {
        int64_t m = ow - o < LUC_VF ? ow - o : LUC_VF;
        vf v = LUC_F(pool_upto)(g + o, m);
        luc_prefetch(index + o + AHEAD); /* short masked rows do not wake the hardware's own */
        luc_prefetch(index + o + AHEAD + 8);
        luc_prefetch(g + o + AHEAD);
        vi k = m == LUC_VF ? vi_load_i64(index + o) : vi_load_i64_n(index + o, m);
        vi even = vi_add(vi_set1((int32_t)(base + 2 * o)), lane);
        LUC_F(pool_spread)(upper + 2 * o, v, k, even, m);
        LUC_F(pool_spread)(lower + 2 * o, v, k, vi_add(even, down), m);
    }
}

/* Rows 2 i and 2 i + 1 of the gradient, or what is left below the last window. */
static void LUC_F(pool_max_2x2_back_pairs)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    int64_t pairs = (p->h + 1) / 2, step = p->big.strides[2];
    pool_at at = plane_row(p, begin, pairs);
    for (int64_t i = begin; i < end; i++) {
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 2 * at.row);
        int64_t covered = at.row < p->oh ? 2 * p->ow : 0, rows = p->h - 2 * at.row;
        if (covered) LUC_F(pool_max_2x2_back)
        (dx, dx + step, (const LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row),
         (const int64_t *)p->index.data + image_offset(&p->index, at.n, at.c, at.row), p->ow,
         2 * at.row * p->w, p->w);
        for (int64_t r = 0; r < (rows < 2 ? rows : 2); r++)
            for (int64_t x = covered; x < p->w; x++) LUC_PUT(dx + r * step + x, 0);
        if (++at.row == pairs) at = plane_row(p, i + 1, pairs);
    }
}

/* ---- any windows, columns side by side ------------------------------------------------------ */

/* One row of windows (pool_rows_body.h); wy: the rows that they see. */
static void LUC_F(pool_max_strip)(const luc_pool_plan *p, LUC_F(pool_strip) * s, const LUC_T *x,
                                  luc_window wy, LUC_T *y, int64_t *index)
{
    const float *slots[POOL_TAPS];
    int64_t rows = LUC_F(pool_slots)(p, s, x, wy, -INFINITY, slots);
    int32_t step = (int32_t)p->stride[1], d = (int32_t)p->dilation[1];
    vi lane = vi_mul(vi_load(LUC_F(pool_lane)), vi_set1(step));
    for (int64_t o = 0; o < s->outs; o += LUC_VF) {
        /* Winners as distances from the window's first column in the image's first row. */
        vf best = vf_set1(-INFINITY);
        vi winner = vi_add(vi_load(s->skip + o), vi_set1((int32_t)(wy.begin * p->w)));
        for (int64_t i = 0; i < rows; i++) { /* each row by itself: no chain through all taps */
            int32_t at = (int32_t)((wy.begin + i * p->dilation[0]) * p->w);
            const float *row = slots[i] + o;
            vf top = vf_load(row + s->tap[0]);
            vi place = vi_set1(at);
            for (int64_t j = 1; j < p->kernel[1]; j++) {
                at += d;
                POOL_TAKE(top, place, vf_load(row + s->tap[j]), vi_set1(at));
            }
            POOL_TAKE(best, winner, top, place);
        }
        int64_t first = (s->first + o) * step - p->padding[1], m = s->outs - o;
        winner = vi_add(winner, vi_add(lane, vi_set1((int32_t)first)));
        LUC_F(pool_put_upto)(y + o, best, m);
        if (m >= LUC_VF)
            vi_store_i64(index + o, winner);
        else
            vi_store_i64_n(index + o, winner, m);
    }
}

static void LUC_F(pool_max_strips)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    int64_t outs = LUC_F(pool_strip_outs)(p);
    LUC_F(pool_strip) s;
    for (int64_t first = 0; first < p->ow; first += outs) {
        LUC_F(pool_strip_begin)(p, &s, first, outs, 0);
        LUC_F(pool_strip_clear)(&s, pool_strip_slots(p), p->stride[1]);
        for (int64_t i = begin; i < end; i++) {
            pool_at at = plane_row(p, i, p->oh);
            const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
            LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row);
            int64_t *index = (int64_t *)p->index.data + image_offset(&p->index, at.n, at.c, at.row);
            if (at.row == 0) LUC_F(pool_strip_leave)(&s, pool_strip_slots(p));
            LUC_F(pool_max_strip)
            (p, &s, x, luc_pool_window(p, 0, at.row), y + first, index + first);
        }
    }
}

/* ---- the choice ------------------------------------------------------------------------------ */

static void LUC_F(pool_max)(const luc_pool_plan *plan)
{
    luc_pool_plan p = *plan;
    if (p.layout == LUC_POOL_CHANNELS)
        luc_parallel_for(p.n * p.oh, rows_grain(&p, p.ow * p.c), LUC_F(pool_max_lane_rows), &p);
    else if (p.layout == LUC_POOL_COLUMNS && LUC_F(pool_is_2x2)(&p))
        luc_parallel_for(p.n * p.c * p.oh, rows_grain(&p, p.ow), LUC_F(pool_max_2x2_rows), &p);
    else if (p.layout == LUC_POOL_COLUMNS && LUC_F(pool_strip_outs)(&p) > 0)
        luc_parallel_for(p.n * p.c * p.oh, rows_grain(&p, p.ow), LUC_F(pool_max_strips), &p);
    else
        LUC_F(pool_max_any)(&p);
}

static void LUC_F(pool_max_backward)(const luc_pool_plan *plan)
{
    luc_pool_plan p = *plan;
    bool plain = LUC_F(pool_is_2x2)(&p);
    int64_t pairs = p.n * ((p.h + 1) / 2);
    if (p.layout == LUC_POOL_CHANNELS && plain)
        luc_parallel_for(pairs, rows_grain(&p, 2 * p.w * p.c), LUC_F(pool_back_lane_pairs), &p);
    else if (p.layout == LUC_POOL_CHANNELS)
        luc_parallel_for(p.n * p.h, rows_grain(&p, p.w * p.c), LUC_F(pool_max_backward_lane_rows),
                         &p);
    else if (p.layout == LUC_POOL_COLUMNS && plain)
        luc_parallel_for(pairs * p.c, rows_grain(&p, 2 * p.w), LUC_F(pool_max_2x2_back_pairs), &p);
    else
        LUC_F(pool_max_backward_columns)(&p);
}

#undef POOL_TAKE
