/* any_layout_tmpl.h: pooling of one dtype (see simd/template.h): the paths that take every layout.
 * It is included by level.c. */

/* ---- vectors ------------------------------------------------------------------------------- */

LUC_INLINE LUC_V LUC_F(pool_upto)(const LUC_T *p, int64_t n)
{
    return n >= LUC_LANES ? LUC_LOAD(p) : LUC_LOAD_N(p, n > 0 ? n : 0);
}

LUC_INLINE void LUC_F(pool_put_upto)(LUC_T *p, LUC_V v, int64_t n)
{
    if (n >= LUC_LANES)
        LUC_STORE(p, v);
    else if (n > 0)
        LUC_STORE_N(p, v, n);
}

/* ---- maximum, any strides ------------------------------------------------------------------- */

/* One window: the first largest element wins, and a NaN wins over all. */
LUC_INLINE void LUC_F(pool_max_one)(const luc_pool_plan *p, const LUC_T *x, luc_window wy,
                                    luc_window wx, LUC_T *y, int64_t index)
{
    const int64_t *sx = p->big.strides;
    LUC_S best = -(LUC_S)INFINITY;
    int64_t winner = wy.begin * p->w + wx.begin;
    for (int64_t i = wy.begin; i < wy.end; i += p->dilation[0]) {
        for (int64_t j = wx.begin; j < wx.end; j += p->dilation[1]) {
            LUC_S v = LUC_GET(x + i * sx[2] + j * sx[3]);
            if (v > best || v != v) {
                best = v;
                winner = i * p->w + j;
            }
        }
    }
    LUC_PUT(y, best);
    pool_set_winner(p, index, winner);
}

static void LUC_F(pool_max_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->oh);
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row);
        int64_t index = image_offset(&p->index, at.n, at.c, at.row);
        luc_window wy = luc_pool_window(p, 0, at.row);
        for (int64_t o = 0; o < p->ow; o++) LUC_F(pool_max_one)
        (p, x, wy, luc_pool_window(p, 1, o), y + o * p->small.strides[3],
         index + o * p->index.strides[3]);
    }
}

static void LUC_F(pool_max_any)(const luc_pool_plan *p)
{
    luc_pool_plan plan = *p;
    luc_parallel_for(p->n * p->c * p->oh, rows_grain(p, p->ow), LUC_F(pool_max_rows), &plan);
}

/* The gradient at one position: the sum over the windows that it won, in their order. */
LUC_INLINE LUC_S LUC_F(pool_won)(const luc_pool_plan *p, const LUC_T *g, int64_t index, int64_t y,
                                 int64_t x)
{
    int64_t y0, y1, x0, x1, here = y * p->w + x;
    LUC_S sum = 0;
    luc_pool_cover(p, 0, y, &y0, &y1);
    luc_pool_cover(p, 1, x, &x0, &x1);
    for (int64_t i = y0; i < y1; i++)
        for (int64_t j = x0; j < x1; j++)
            if (pool_winner(p, index + i * p->index.strides[2] + j * p->index.strides[3]) == here)
                sum += LUC_GET(g + i * p->small.strides[2] + j * p->small.strides[3]);
    return sum;
}

static void LUC_F(pool_max_backward_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->h);
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, at.row);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, 0);
        int64_t index = image_offset(&p->index, at.n, at.c, 0);
        for (int64_t x = 0; x < p->w; x++)
            LUC_PUT(dx + x * p->big.strides[3], LUC_F(pool_won)(p, g, index, at.row, x));
    }
}

static void LUC_F(pool_max_backward_any)(const luc_pool_plan *p)
{
    luc_pool_plan plan = *p;
    luc_parallel_for(p->n * p->c * p->h, rows_grain(p, p->w), LUC_F(pool_max_backward_rows), &plan);
}

static void LUC_F(pool_max_gather_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->oh);
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row);
        int64_t index = image_offset(&p->index, at.n, at.c, at.row);
        for (int64_t o = 0; o < p->ow; o++) {
            int64_t from = pool_winner(p, index + o * p->index.strides[3]);
            y[o * p->small.strides[3]] =
                x[from / p->w * p->big.strides[2] + from % p->w * p->big.strides[3]];
        }
    }
}

static void LUC_F(pool_max_gather)(const luc_pool_plan *p)
{
    luc_pool_plan plan = *p;
    luc_parallel_for(p->n * p->c * p->oh, rows_grain(p, p->ow), LUC_F(pool_max_gather_rows), &plan);
}

/* ---- averages -------------------------------------------------------------------------------- */

/* One window of one channel. */
LUC_INLINE void LUC_F(pool_avg_one)(const luc_pool_plan *p, const LUC_T *x, luc_window wy,
                                    luc_window wx, LUC_T *y)
{
    LUC_V sum = LUC_VO(zero)();
    LUC_S rest = 0;
    for (int64_t i = wy.begin; i < wy.end; i++) {
        const LUC_T *row = x + i * p->big.strides[2];
        int64_t j = wx.begin;
        if (p->big.strides[3] == 1)
            for (; j + LUC_LANES <= wx.end; j += LUC_LANES)
                sum = LUC_VO(add)(sum, LUC_LOAD(row + j));
        for (; j < wx.end; j++) rest += LUC_GET(row + j * p->big.strides[3]);
    }
    LUC_PUT(y, (LUC_VO(sum)(sum) + rest) / (LUC_S)luc_pool_divisor(p, wy, wx));
}

static void LUC_F(pool_avg_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->oh);
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row);
        luc_window wy = luc_pool_window(p, 0, at.row);
        for (int64_t o = 0; o < p->ow; o++, y += p->small.strides[3])
            LUC_F(pool_avg_one)(p, x, wy, luc_pool_window(p, 1, o), y);
    }
}

/* The gradient at position (y, x). */
LUC_INLINE LUC_S LUC_F(pool_avg_share)(const luc_pool_plan *p, const LUC_T *g, int64_t y, int64_t x)
{
    int64_t y0, y1, x0, x1;
    LUC_S sum = 0;
    luc_pool_cover(p, 0, y, &y0, &y1);
    luc_pool_cover(p, 1, x, &x0, &x1);
    for (int64_t i = y0; i < y1; i++) {
        luc_window wy = luc_pool_window(p, 0, i);
        for (int64_t j = x0; j < x1; j++) {
            LUC_S divisor = (LUC_S)luc_pool_divisor(p, wy, luc_pool_window(p, 1, j));
            sum += LUC_GET(g + i * p->small.strides[2] + j * p->small.strides[3]) / divisor;
        }
    }
    return sum;
}

static void LUC_F(pool_avg_backward_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->h);
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, at.row);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, 0);
        for (int64_t x = 0; x < p->w; x++)
            LUC_PUT(dx + x * p->big.strides[3], LUC_F(pool_avg_share)(p, g, at.row, x));
    }
}
