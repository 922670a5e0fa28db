/* max_contiguous_tmpl.h: max pooling of a dtype that is computed in float, in vectors along the
 * columns, and the choice of the path. It is included by level.c after max_channels_last_tmpl.h. */

/* ---- 2x2 windows, step 2, columns side by side ---------------------------------------------- */

static const int32_t LUC_F(pool_lane)[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* One row of windows from the two rows at x and x + w. base: the index of x[0]. */
LUC_INLINE void LUC_F(pool_max_2x2_row)(const LUC_T *x0, const LUC_T *x1, int64_t ow, int64_t base,
                                        int64_t w, LUC_T *y, int32_t *index)
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
        LUC_F(pool_put_upto)(y + o, best, m);
        if (index) LUC_F(pool_put_winners)(index + o, winner, m);
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
        const LUC_T *low = x + p->big.strides[2];
        int32_t *index = pool_index_row(p, at.n, at.c, at.row);
        if (index)
            LUC_F(pool_max_2x2_row)(x, low, p->ow, 2 * at.row * p->w, p->w, y, index);
        else
            LUC_F(pool_max_2x2_row)(x, low, p->ow, 2 * at.row * p->w, p->w, y, NULL);
    }
}

/* Makes elements [2 o, 2 o + 2 m) of a row from m gradients; `even` is the index at 2 o. */
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
                                     const int32_t *index, int64_t ow, int64_t base, int64_t w)
{
    enum { AHEAD = 128 };
    vi lane = vi_shl(vi_load(LUC_F(pool_lane)), 1), down = vi_set1((int32_t)w);
    for (int64_t o = 0; o < ow; o += LUC_VF) {
        int64_t m = ow - o < LUC_VF ? ow - o : LUC_VF;
        vf v = LUC_F(pool_upto)(g + o, m);
        luc_prefetch(index + o + AHEAD); /* the hardware does not prefetch short masked rows */
        luc_prefetch(g + o + AHEAD);
        vi k = LUC_F(pool_winners)(index + o, m);
        vi even = vi_add(vi_set1((int32_t)(base + 2 * o)), lane);
        LUC_F(pool_spread)(upper + 2 * o, v, k, even, m);
        LUC_F(pool_spread)(lower + 2 * o, v, k, vi_add(even, down), m);
    }
}

/* Rows 2 i and 2 i + 1 of the gradient, or the rows that are left below the last window. */
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
         pool_index_row(p, at.n, at.c, at.row), p->ow, 2 * at.row * p->w, p->w);
        for (int64_t r = 0; r < (rows < 2 ? rows : 2); r++)
            for (int64_t x = covered; x < p->w; x++) LUC_PUT(dx + r * step + x, 0);
        if (++at.row == pairs) at = plane_row(p, i + 1, pairs);
    }
}

/* ---- any windows, columns side by side ------------------------------------------------------ */

/* One row of windows (contiguous_tmpl.h); wy: the rows that they cover. */
LUC_INLINE void LUC_F(pool_max_strip)(const luc_pool_plan *p, LUC_F(pool_strip) * s, const LUC_T *x,
                                      luc_window wy, LUC_T *y, int32_t *index)
{
    const float *slots[POOL_TAPS];
    int64_t rows = LUC_F(pool_slots)(p, s, x, wy, -INFINITY, slots);
    int32_t step = (int32_t)p->stride[1], d = (int32_t)p->dilation[1];
    vi lane = vi_mul(vi_load(LUC_F(pool_lane)), vi_set1(step));
    for (int64_t o = 0; o < s->outs; o += LUC_VF) {
        /* The winners are distances from the window's first column in the image's first row. */
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
        if (index) LUC_F(pool_put_winners)(index + o, winner, m);
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
            int32_t *index = pool_index_row(p, at.n, at.c, at.row);
            luc_window wy = luc_pool_window(p, 0, at.row);
            if (at.row == 0) LUC_F(pool_strip_leave)(&s, pool_strip_slots(p));
            if (index)
                LUC_F(pool_max_strip)(p, &s, x, wy, y + first, index + first);
            else
                LUC_F(pool_max_strip)(p, &s, x, wy, y + first, NULL);
        }
    }
}

/* ---- the choice ------------------------------------------------------------------------------ */

static void LUC_F(pool_max)(const luc_pool_plan *plan)
{
    luc_pool_plan p = *plan;
    p.stream = p.stream && p.layout == LUC_POOL_CHANNELS &&
               pool_is_aligned(&p.small, sizeof(LUC_T)) &&
               (!p.index.data || pool_is_aligned(&p.index, sizeof(int32_t)));
    if (p.layout == LUC_POOL_CHANNELS)
        luc_parallel_for(p.n * p.oh, rows_grain(&p, p.ow * p.c), LUC_F(pool_max_lane_rows), &p);
    else if (p.layout == LUC_POOL_COLUMNS && pool_is_2x2(&p))
        luc_parallel_for(p.n * p.c * p.oh, rows_grain(&p, p.ow), LUC_F(pool_max_2x2_rows), &p);
    else if (p.layout == LUC_POOL_COLUMNS && LUC_F(pool_strip_outs)(&p) > 0)
        luc_parallel_for(p.n * p.c * p.oh, rows_grain(&p, p.ow), LUC_F(pool_max_strips), &p);
    else
        LUC_F(pool_max_any)(&p);
}

static void LUC_F(pool_max_backward)(const luc_pool_plan *plan)
{
    luc_pool_plan p = *plan;
    bool plain = pool_is_2x2(&p);
    p.stream = p.stream && p.layout == LUC_POOL_CHANNELS && pool_is_aligned(&p.big, sizeof(LUC_T));
    int64_t pairs = p.n * ((p.h + 1) / 2);
    if (p.layout == LUC_POOL_CHANNELS && plain)
        luc_parallel_for(pairs, rows_grain(&p, 2 * p.w * p.c), LUC_F(pool_back_lane_pairs), &p);
    else if (p.layout == LUC_POOL_CHANNELS && pool_is_3x3(&p))
        luc_parallel_for(p.n * ((p.h + p.padding[0] + 1) / 2), rows_grain(&p, 2 * p.w * p.c),
                         LUC_F(pool_back_lane_bands), &p);
    else if (p.layout == LUC_POOL_CHANNELS)
        luc_parallel_for(p.n * p.h, rows_grain(&p, p.w * p.c), LUC_F(pool_max_backward_lane_rows),
                         &p);
    else if (p.layout == LUC_POOL_COLUMNS && plain)
        luc_parallel_for(pairs * p.c, rows_grain(&p, 2 * p.w), LUC_F(pool_max_2x2_back_pairs), &p);
    else
        LUC_F(pool_max_backward_columns)(&p);
}

#undef POOL_TAKE
