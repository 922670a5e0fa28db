/* pool_body.h: pooling of one dtype (see typed.h), the paths that take every layout, and averages
 * along channels. Included by pool_kernel.c. */

/* ---- maximum, any strides ------------------------------------------------------------------- */

/* One window: the first largest, a NaN above all. */
LUC_INLINE void LUC_F(pool_max_one)(const luc_pool_plan *p, const LUC_T *x, luc_window wy,
                                    luc_window wx, LUC_T *y, int64_t *index)
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
    *index = winner;
}

static void LUC_F(pool_max_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->oh);
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row);
        int64_t *index = (int64_t *)p->index.data + image_offset(&p->index, at.n, at.c, at.row);
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

/* The gradient at one position: of the windows that it won, in their order. */
LUC_INLINE LUC_S LUC_F(pool_won)(const luc_pool_plan *p, const LUC_T *g, const int64_t *index,
                                 int64_t y, int64_t x)
{
    int64_t y0, y1, x0, x1, here = y * p->w + x;
    LUC_S sum = 0;
    luc_pool_cover(p, 0, y, &y0, &y1);
    luc_pool_cover(p, 1, x, &x0, &x1);
    for (int64_t i = y0; i < y1; i++)
        for (int64_t j = x0; j < x1; j++)
            if (index[i * p->index.strides[2] + j * p->index.strides[3]] == here)
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
        const int64_t *index =
            (const int64_t *)p->index.data + image_offset(&p->index, at.n, at.c, 0);
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
        const int64_t *index =
            (const int64_t *)p->index.data + image_offset(&p->index, at.n, at.c, at.row);
        for (int64_t o = 0; o < p->ow; o++) {
            int64_t from = index[o * p->index.strides[3]];
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

/* Channels side by side: a window's sum over vectors of channels. */
LUC_INLINE void LUC_F(pool_avg_lanes)(const luc_pool_plan *p, const LUC_T *x, luc_window wy,
                                      luc_window wx, LUC_T *y)
{
    LUC_V divisor = LUC_VO(set1)((LUC_S)luc_pool_divisor(p, wy, wx));
    for (int64_t c = 0; c < p->c; c += LUC_LANES) {
        int64_t m = p->c - c < LUC_LANES ? p->c - c : LUC_LANES;
        LUC_V sum = LUC_VO(zero)();
        for (int64_t i = wy.begin; i < wy.end; i++) {
            const LUC_T *row = x + i * p->big.strides[2] + c;
            for (int64_t j = wx.begin; j < wx.end; j++) {
                const LUC_T *at = row + j * p->big.strides[3];
                sum = LUC_VO(add)(sum, m == LUC_LANES ? LUC_LOAD(at) : LUC_LOAD_N(at, m));
            }
        }
        LUC_STORE_N(y + c, LUC_VO(div)(sum, divisor), m);
    }
}

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
    bool lanes = p->layout == LUC_POOL_CHANNELS;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->oh);
        if (lanes) at = (pool_at){i / p->oh, 0, i % p->oh};
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, at.row);
        luc_window wy = luc_pool_window(p, 0, at.row);
        for (int64_t o = 0; o < p->ow; o++, y += p->small.strides[3]) {
            luc_window wx = luc_pool_window(p, 1, o);
            if (lanes)
                LUC_F(pool_avg_lanes)(p, x, wy, wx, y);
            else
                LUC_F(pool_avg_one)(p, x, wy, wx, y);
        }
    }
}

static void LUC_F(pool_avg)(const luc_pool_plan *p)
{
    luc_pool_plan plan = *p;
    bool lanes = p->layout == LUC_POOL_CHANNELS;
    int64_t rows = p->n * p->oh * (lanes ? 1 : p->c);
    int64_t work = p->h * p->w / (p->oh > 0 ? p->oh : 1) * (lanes ? p->c : 1);
    luc_parallel_for(rows, rows_grain(p, work), LUC_F(pool_avg_rows), &plan);
}

/* The gradient at position (y, x) of `m` channels side by side, or of one channel (m = 1). */
LUC_INLINE LUC_V LUC_F(pool_avg_share)(const luc_pool_plan *p, const LUC_T *g, int64_t y, int64_t x,
                                       int64_t m)
{
    int64_t y0, y1, x0, x1;
    LUC_V sum = LUC_VO(zero)();
    luc_pool_cover(p, 0, y, &y0, &y1);
    luc_pool_cover(p, 1, x, &x0, &x1);
    for (int64_t i = y0; i < y1; i++) {
        luc_window wy = luc_pool_window(p, 0, i);
        for (int64_t j = x0; j < x1; j++) {
            luc_window wx = luc_pool_window(p, 1, j);
            LUC_V divisor = LUC_VO(set1)((LUC_S)luc_pool_divisor(p, wy, wx));
            const LUC_T *at = g + i * p->small.strides[2] + j * p->small.strides[3];
            sum = LUC_VO(add)(sum, LUC_VO(div)(LUC_LOAD_N(at, m), divisor));
        }
    }
    return sum;
}

static void LUC_F(pool_avg_backward_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    bool lanes = p->layout == LUC_POOL_CHANNELS;
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, p->h);
        if (lanes) at = (pool_at){i / p->h, 0, i % p->h};
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, at.row);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, 0);
        int64_t channels = lanes ? p->c : 1;
        for (int64_t x = 0; x < p->w; x++, dx += p->big.strides[3]) {
            for (int64_t c = 0; c < channels; c += LUC_LANES) {
                int64_t m = channels - c < LUC_LANES ? channels - c : LUC_LANES;
                LUC_STORE_N(dx + c, LUC_F(pool_avg_share)(p, g + c, at.row, x, m), m);
            }
        }
    }
}

static void LUC_F(pool_avg_backward)(const luc_pool_plan *p)
{
    luc_pool_plan plan = *p;
    bool lanes = p->layout == LUC_POOL_CHANNELS;
    int64_t rows = p->n * p->h * (lanes ? 1 : p->c);
    luc_parallel_for(rows, rows_grain(p, p->w * (lanes ? p->c : 1)), LUC_F(pool_avg_backward_rows),
                     &plan);
}
