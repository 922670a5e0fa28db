/* average_channels_last_tmpl.h: averages of one dtype (see simd/template.h) where channels are
 * neighbours, in vectors of channels. It is included by level.c. */

/* The sum of a window, over vectors of channels. */
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

static void LUC_F(pool_avg_lane_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) {
        int64_t n = i / p->oh, row = i % p->oh;
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, n, 0, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, n, 0, row);
        luc_window wy = luc_pool_window(p, 0, row);
        for (int64_t o = 0; o < p->ow; o++, y += p->small.strides[3])
            LUC_F(pool_avg_lanes)(p, x, wy, luc_pool_window(p, 1, o), y);
    }
}

/* Writes the gradient of up to four vectors of channels, m in all, at positions that the windows
 * [y0, y1) x [x0, x1) cover, to `rows` x `columns` of them. */
LUC_INLINE void LUC_F(pool_avg_back_lanes)(const luc_pool_plan *p, LUC_T *dx, int64_t rows,
                                           int64_t columns, const LUC_T *g, const int64_t cover[4],
                                           int64_t m)
{
    LUC_V sum[4] = {LUC_VO(zero)(), LUC_VO(zero)(), LUC_VO(zero)(), LUC_VO(zero)()};
    for (int64_t i = cover[0]; i < cover[1]; i++) {
        luc_window wy = luc_pool_window(p, 0, i);
        for (int64_t j = cover[2]; j < cover[3]; j++) {
            luc_window wx = luc_pool_window(p, 1, j);
            LUC_V divisor = LUC_VO(set1)((LUC_S)luc_pool_divisor(p, wy, wx));
            const LUC_T *at = g + i * p->small.strides[2] + j * p->small.strides[3];
            for (int k = 0; k < 4; k++) {
                LUC_V v = LUC_F(pool_upto)(at + k * LUC_LANES, m - k * LUC_LANES);
                sum[k] = LUC_VO(add)(sum[k], LUC_VO(div)(v, divisor));
            }
        }
    }
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++) {
            LUC_T *to = dx + y * p->big.strides[2] + x * p->big.strides[3];
            for (int k = 0; k < 4; k++)
                LUC_F(pool_put_upto)(to + k * LUC_LANES, sum[k], m - k * LUC_LANES);
        }
}

/* Rows of the gradient. Positions that the same windows cover have the same gradient. */
static void LUC_F(pool_avg_back_lane_rows)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    const int64_t step = 4 * LUC_LANES;
    for (int64_t i = begin, rows; i < end; i += rows) {
        int64_t n = i / p->h, y = i % p->h, cover[4], columns;
        rows = pool_alike(p, 0, y, end - i);
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, n, 0, y);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, n, 0, 0);
        luc_pool_cover(p, 0, y, &cover[0], &cover[1]);
        for (int64_t x = 0; x < p->w; x += columns, dx += columns * p->big.strides[3]) {
            columns = pool_alike(p, 1, x, p->w - x);
            luc_pool_cover(p, 1, x, &cover[2], &cover[3]);
            for (int64_t c = 0; c + step <= p->c; c += step)
                LUC_F(pool_avg_back_lanes)(p, dx + c, rows, columns, g + c, cover, step);
            int64_t whole = p->c / step * step;
            if (whole < p->c) LUC_F(pool_avg_back_lanes)
            (p, dx + whole, rows, columns, g + whole, cover, p->c - whole);
        }
    }
}
