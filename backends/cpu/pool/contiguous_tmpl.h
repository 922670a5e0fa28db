/* contiguous_tmpl.h: pooling of one dtype (see simd/template.h) where columns are neighbours: any
 * window, stride and dilation, in vectors of windows. It is included by level.c after
 * any_layout_tmpl.h.
 *
 * A row of the image, padding included, is converted to the type that is computed in, and split
 * into `stride` phases: column q = stride * a + r of the padded row is number a of phase r. Tap j
 * of the windows from o on is then a vector of neighbours: it begins at number o + j * dilation /
 * stride of phase j * dilation % stride. The gradient goes back in the same way. */

enum {
    LUC_F(POOL_ROOM) = 24576 / sizeof(LUC_S)
}; /* of a strip, which stays in the first-level cache */

/* Some windows of a row, and the rows of the image that they cover. */
typedef struct LUC_F(pool_strip) {
    int64_t first, outs;          /* windows [first, first + outs) */
    int64_t needed, length;       /* numbers of a phase that are needed, and that are allocated */
    int64_t begin, end;           /* the numbers whose columns are all inside the image */
    int64_t have[2 * POOL_TAPS];  /* the row of the image in each slot, or -1 */
    int64_t tap[POOL_TAPS];       /* where tap j of the first window lies in a slot */
    LUC_S share[POOL_OUTS + 16];  /* average: a window's divisor along the row */
    LUC_S back[POOL_OUTS + 16];   /* average, backward: what a window gives to each of its taps */
    int32_t skip[POOL_OUTS + 16]; /* maximum: a window's columns that are padding on the left */
    LUC_S numbers[LUC_F(POOL_ROOM)];
} LUC_F(pool_strip);

/* How many windows a strip takes at a time; 0: fewer than a vector of them fit. */
static int64_t LUC_F(pool_strip_outs)(const luc_pool_plan *p)
{
    int64_t rows = pool_strip_slots(p), reach = (p->kernel[1] - 1) * p->dilation[1];
    if (p->adaptive || p->kernel[0] > POOL_TAPS || p->kernel[1] > POOL_TAPS) return 0;
    int64_t outs = LUC_F(POOL_ROOM) / (rows * p->stride[1]) - reach / p->stride[1] - 1 - LUC_LANES;
    if (outs > POOL_OUTS) outs = POOL_OUTS;
    if (outs >= p->ow) return p->ow;
    return outs >= LUC_LANES ? outs / LUC_LANES * LUC_LANES : 0;
}

static void LUC_F(pool_strip_begin)(const luc_pool_plan *p, LUC_F(pool_strip) * s, int64_t first,
                                    int64_t outs, int64_t columns)
{
    int64_t step = p->stride[1], reach = (p->kernel[1] - 1) * p->dilation[1];
    s->first = first;
    s->outs = p->ow - first < outs ? p->ow - first : outs;
    s->needed = s->outs + reach / step;
    s->needed = luc_max64(s->needed, luc_ceil_div(columns, step));
    s->length = s->needed + 1 + LUC_LANES;
    int64_t at = first * step - p->padding[1]; /* column of number 0 */
    s->begin = luc_ceil_div(-at, step);
    s->end = p->w > at ? (p->w - at) / step : 0;
    if (s->end > s->needed) s->end = s->needed;
    if (s->begin > s->end) s->begin = s->end;
    for (int64_t j = 0; j < p->kernel[1]; j++) {
        int64_t q = j * p->dilation[1];
        s->tap[j] = q % step * s->length + q / step;
    }
    for (int64_t o = 0; o < s->outs + LUC_LANES; o++) {
        luc_window w = luc_pool_window(p, 1, first + (o < s->outs ? o : 0));
        int64_t n = p->divisor ? p->divisor : p->include_pad ? w.padded : w.end - w.begin;
        s->share[o] = (LUC_S)n;
        s->skip[o] = (int32_t)(w.begin - ((first + (o < s->outs ? o : 0)) * step - p->padding[1]));
    }
}

/* Prepares the strip for another plane: none of its rows are there yet. */
LUC_INLINE void LUC_F(pool_strip_leave)(LUC_F(pool_strip) * s, int64_t slots)
{
    for (int64_t i = 0; i < slots; i++) s->have[i] = -1;
}

/* Clears all numbers: whole vectors are read, so numbers after the last known one are read too. */
static void LUC_F(pool_strip_clear)(LUC_F(pool_strip) * s, int64_t slots, int64_t step)
{
    memset(s->numbers, 0, (size_t)(slots * step * s->length) * sizeof *s->numbers);
    LUC_F(pool_strip_leave)(s, slots);
}

/* Splits row `row` of the image into the phases at `to`, with `fill` for padding. */
static void LUC_F(pool_split)(const luc_pool_plan *p, const LUC_F(pool_strip) * s, LUC_S *to,
                              const LUC_T *row, LUC_S fill)
{
    int64_t step = p->stride[1], at = s->first * step - p->padding[1];
    int64_t begin = s->begin, end = s->end;
    for (int64_t a = begin; a < end && step <= 2; a += LUC_LANES) {
        const LUC_T *x = row + a * step + at;
        int64_t m = step * (end - a);
        LUC_V u = LUC_F(pool_upto)(x, m), v = u;
        if (step == 2) {
            LUC_V w = LUC_F(pool_upto)(x + LUC_LANES, m - LUC_LANES);
            v = LUC_VO(odd)(u, w);
            u = LUC_VO(even)(u, w);
            LUC_VO(store)(to + s->length + a, v);
        }
        LUC_VO(store)(to + a, u);
    }
    for (int64_t r = 0; r < step; r++, to += s->length) {
        for (int64_t a = begin; a < end && step > 2; a++) to[a] = LUC_GET(row + a * step + r + at);
        for (int64_t a = begin > 0 ? 0 : end; a < s->needed; a = a + 1 == begin ? end : a + 1) {
            int64_t x = a * step + r + at;
            to[a] = x >= 0 && x < p->w ? LUC_GET(row + x) : fill;
        }
    }
}

/* The slot of row `row`, tap i of a window. The row is written into it if necessary. */
LUC_INLINE const LUC_S *LUC_F(pool_slot)(const luc_pool_plan *p, LUC_F(pool_strip) * s,
                                         const LUC_T *x, int64_t row, int64_t i, LUC_S fill)
{
    int64_t slot = p->dilation[0] == 1 ? row % pool_strip_slots(p) : i;
    LUC_S *numbers = s->numbers + slot * p->stride[1] * s->length;
    if (s->have[slot] != row) {
        LUC_F(pool_split)(p, s, numbers, x + row * p->big.strides[2], fill);
        s->have[slot] = row;
    }
    return numbers;
}

/* The slots of the rows that a window covers; returns their number. The rows of the next window are
 * written as well: a vector that is read across two that have just been stored would have to wait
 * for both. */
LUC_INLINE int64_t LUC_F(pool_slots)(const luc_pool_plan *p, LUC_F(pool_strip) * s, const LUC_T *x,
                                     luc_window wy, LUC_S fill, const LUC_S **slots)
{
    int64_t n = 0;
    for (int64_t row = wy.begin; row < wy.end; row += p->dilation[0], n++)
        slots[n] = LUC_F(pool_slot)(p, s, x, row, n, fill);
    for (int64_t row = wy.end; row < wy.end + pool_strip_slots(p) - p->kernel[0]; row++)
        if (row < p->h) LUC_F(pool_slot)(p, s, x, row, 0, fill);
    return n;
}

/* ---- average --------------------------------------------------------------------------------- */

/* The factor of a window's divisor that its rows give. */
LUC_INLINE LUC_S LUC_F(pool_row_share)(const luc_pool_plan *p, luc_window wy)
{
    return p->divisor ? 1 : (LUC_S)(p->include_pad ? wy.padded : wy.end - wy.begin);
}

static void LUC_F(pool_avg_strip)(const luc_pool_plan *p, LUC_F(pool_strip) * s, const LUC_T *x,
                                  luc_window wy, LUC_T *y)
{
    const LUC_S *slots[POOL_TAPS];
    int64_t rows = LUC_F(pool_slots)(p, s, x, wy, 0, slots);
    LUC_V share = LUC_VO(set1)(LUC_F(pool_row_share)(p, wy));
    for (int64_t o = 0; o < s->outs; o += LUC_LANES) {
        LUC_V sum = LUC_VO(zero)(), divisor = LUC_VO(mul)(LUC_VO(load)(s->share + o), share);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < p->kernel[1]; j++)
                sum = LUC_VO(add)(sum, LUC_VO(load)(slots[i] + s->tap[j] + o));
        sum = LUC_VO(div)(sum, divisor);
        LUC_F(pool_put_upto)(y + o, sum, s->outs - o);
    }
}

static void LUC_F(pool_avg_strips)(void *ctx, int64_t begin, int64_t end, int thread)
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
            if (at.row == 0) LUC_F(pool_strip_leave)(&s, pool_strip_slots(p));
            LUC_F(pool_avg_strip)(p, &s, x, luc_pool_window(p, 0, at.row), y + first);
        }
    }
}

/* Joins the phases of a row of the gradient, and writes them to `rows` rows of it. */
static void LUC_F(pool_join)(const luc_pool_plan *p, const LUC_F(pool_strip) * s, LUC_T *dx,
                             int64_t rows)
{
    int64_t step = p->stride[1], pad = p->padding[1], x = 0;
    if (step == 1) {
        for (; x < p->w; x += LUC_LANES) {
            int64_t m = p->w - x < LUC_LANES ? p->w - x : LUC_LANES;
            LUC_STORE_N(dx + x, LUC_VO(load)(s->numbers + x + pad), m);
        }
    } else if (step == 2) {
        const LUC_S *even = s->numbers + pad % 2 * s->length + pad / 2;
        const LUC_S *odd = s->numbers + (pad + 1) % 2 * s->length + (pad + 1) / 2;
        for (; x < p->w; x += 2 * LUC_LANES) {
            LUC_V u = LUC_VO(load)(even + x / 2), v = LUC_VO(load)(odd + x / 2);
            LUC_F(pool_put_upto)(dx + x, LUC_VO(zip_low)(u, v), p->w - x);
            LUC_F(pool_put_upto)(dx + x + LUC_LANES, LUC_VO(zip_high)(u, v), p->w - x - LUC_LANES);
        }
    } else {
        const LUC_S *phase = s->numbers;
        for (int64_t r = 0; r < step; r++, phase += s->length)
            for (int64_t a = luc_ceil_div(pad - r, step); a * step + r - pad < p->w; a++)
                LUC_PUT(dx + a * step + r - pad, phase[a]);
    }
    for (int64_t r = 1; r < rows; r++)
        memcpy(dx + r * p->big.strides[2], dx, (size_t)p->w * sizeof *dx);
}

/* Spreads the windows of rows [y0, y1) over the columns that they cover. */
static void LUC_F(pool_avg_unstrip)(const luc_pool_plan *p, LUC_F(pool_strip) * s, const LUC_T *g,
                                    int64_t y0, int64_t y1)
{
    LUC_F(pool_strip_clear)(s, 1, p->stride[1]);
    for (int64_t i = y0; i < y1; i++) {
        LUC_V share = LUC_VO(set1)(LUC_F(pool_row_share)(p, luc_pool_window(p, 0, i)));
        const LUC_T *row = g + i * p->small.strides[2];
        for (int64_t o = 0; o < s->outs; o += LUC_LANES) {
            LUC_V divisor = LUC_VO(mul)(LUC_VO(load)(s->share + o), share);
            LUC_V v = LUC_VO(div)(LUC_F(pool_upto)(row + o, s->outs - o), divisor);
            LUC_VO(store)(s->back + o, v);
        }
        for (int64_t j = p->kernel[1] - 1; j >= 0; j--) { /* in the order of the windows */
            LUC_S *to = s->numbers + s->tap[j];
            for (int64_t o = 0; o < s->outs; o += LUC_LANES)
                LUC_VO(store)(to + o, LUC_VO(add)(LUC_VO(load)(to + o), LUC_VO(load)(s->back + o)));
        }
    }
}

/* Rows of the gradient. Rows that the same windows cover are the same. */
static void LUC_F(pool_avg_back_strips)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    LUC_F(pool_strip) s;
    LUC_F(pool_strip_begin)(p, &s, 0, p->ow, p->w + p->padding[1]);
    for (int64_t i = begin, same; i < end; i += same) {
        pool_at at = plane_row(p, i, p->h);
        same = pool_alike(p, 0, at.row, end - i);
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, at.row);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, 0);
        int64_t y0, y1;
        luc_pool_cover(p, 0, at.row, &y0, &y1);
        LUC_F(pool_avg_unstrip)(p, &s, g, y0, y1);
        LUC_F(pool_join)(p, &s, dx, same);
    }
}

/* Whether the gradient of a whole row fits into a strip. */
static bool LUC_F(pool_back_fits)(const luc_pool_plan *p)
{
    int64_t step = p->stride[1], reach = (p->kernel[1] - 1) * p->dilation[1];
    int64_t most = p->w + p->padding[1] + step * (p->ow + 1) + reach;
    return !p->adaptive && p->kernel[1] <= POOL_TAPS && p->ow <= POOL_OUTS &&
           most + step * (LUC_LANES + 3) <= LUC_F(POOL_ROOM);
}

/* ---- one window over the whole plane --------------------------------------------------------- */

static void LUC_F(pool_avg_planes)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    const int64_t n = p->h * p->w;
    const LUC_S divisor =
        (LUC_S)luc_pool_divisor(p, luc_pool_window(p, 0, 0), luc_pool_window(p, 1, 0));
    pool_at at = plane_row(p, begin, 1);
    for (int64_t i = begin; i < end; i++, at = pool_next_plane(p, at)) {
        const LUC_T *x = (const LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        LUC_T *y = (LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, 0);
        LUC_V sum[4] = {LUC_VO(zero)(), LUC_VO(zero)(), LUC_VO(zero)(), LUC_VO(zero)()};
        int64_t j = 0;
        for (; j + 4 * LUC_LANES <= n; j += 4 * LUC_LANES)
            for (int k = 0; k < 4; k++)
                sum[k] = LUC_VO(add)(sum[k], LUC_LOAD(x + j + k * LUC_LANES));
        for (int k = 0; k < 4; k++)
            sum[k] =
                LUC_VO(add)(sum[k], LUC_F(pool_upto)(x + j + k * LUC_LANES, n - j - k * LUC_LANES));
        LUC_V both = LUC_VO(add)(LUC_VO(add)(sum[0], sum[1]), LUC_VO(add)(sum[2], sum[3]));
        LUC_PUT(y, LUC_VO(sum)(both) / divisor);
    }
}

static void LUC_F(pool_avg_back_planes)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    const int64_t n = p->h * p->w;
    const LUC_S divisor =
        (LUC_S)luc_pool_divisor(p, luc_pool_window(p, 0, 0), luc_pool_window(p, 1, 0));
    pool_at at = plane_row(p, begin, 1);
    for (int64_t i = begin; i < end; i++, at = pool_next_plane(p, at)) {
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        const LUC_T *g = (const LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, 0);
        LUC_V v = LUC_VO(set1)(LUC_GET(g) / divisor);
        for (int64_t j = 0; j < n; j += LUC_LANES) LUC_F(pool_put_upto)(dx + j, v, n - j);
    }
}

/* ---- gradients of maxima, added where they were found ---------------------------------------- */

LUC_INLINE void LUC_F(pool_add)(LUC_T *to, const LUC_T *g)
{
    LUC_PUT(to, LUC_GET(to) + LUC_GET(g));
}

/* Adds the windows of each plane in their order. An index outside the plane is ignored. */
static void LUC_F(pool_max_scatter)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_pool_plan *p = ctx;
    const uint64_t n = (uint64_t)(p->h * p->w);
    for (int64_t i = begin; i < end; i++) {
        pool_at at = plane_row(p, i, 1);
        LUC_T *dx = (LUC_T *)p->big.data + image_offset(&p->big, at.n, at.c, 0);
        memset(dx, 0, (size_t)n * sizeof *dx);
        for (int64_t row = 0; row < p->oh; row++) {
            const LUC_T *g =
                (const LUC_T *)p->small.data + image_offset(&p->small, at.n, at.c, row);
            const int32_t *index =
                (const int32_t *)p->index.data + image_offset(&p->index, at.n, at.c, row);
            for (int64_t o = 0; o < p->ow; o++)
                if ((uint64_t)index[o] < n) LUC_F(pool_add)(dx + index[o], g + o);
        }
    }
}

/* 16-bit types would round at each addition. */
static void LUC_F(pool_max_backward_columns)(const luc_pool_plan *plan)
{
    luc_pool_plan p = *plan;
    bool neighbours = p.layout == LUC_POOL_COLUMNS && p.big.strides[2] == p.w;
    if (neighbours && sizeof(LUC_T) == sizeof(LUC_S))
        luc_parallel_for(p.n * p.c, rows_grain(&p, p.h * p.w), LUC_F(pool_max_scatter), &p);
    else
        LUC_F(pool_max_backward_any)(&p);
}

/* ---- the choice ------------------------------------------------------------------------------ */

static void LUC_F(pool_avg)(const luc_pool_plan *plan)
{
    luc_pool_plan p = *plan;
    bool columns = p.layout == LUC_POOL_COLUMNS;
    int64_t rows = p.n * p.c * p.oh, work = p.h * p.w / (p.oh > 0 ? p.oh : 1);
    if (p.layout == LUC_POOL_CHANNELS)
        luc_parallel_for(p.n * p.oh, rows_grain(&p, work * p.c), LUC_F(pool_avg_lane_rows), &p);
    else if (columns && pool_is_whole(&p))
        luc_parallel_for(rows, rows_grain(&p, work), LUC_F(pool_avg_planes), &p);
    else if (columns && LUC_F(pool_strip_outs)(&p) > 0)
        luc_parallel_for(rows, rows_grain(&p, work), LUC_F(pool_avg_strips), &p);
    else
        luc_parallel_for(rows, rows_grain(&p, work), LUC_F(pool_avg_rows), &p);
}

static void LUC_F(pool_avg_backward)(const luc_pool_plan *plan)
{
    luc_pool_plan p = *plan;
    bool columns = p.layout == LUC_POOL_COLUMNS;
    int64_t planes = p.n * p.c;
    if (p.layout == LUC_POOL_CHANNELS)
        luc_parallel_for(p.n * p.h, rows_grain(&p, p.w * p.c), LUC_F(pool_avg_back_lane_rows), &p);
    else if (columns && pool_is_whole(&p))
        luc_parallel_for(planes, rows_grain(&p, p.h * p.w), LUC_F(pool_avg_back_planes), &p);
    else if (columns && LUC_F(pool_back_fits)(&p))
        luc_parallel_for(planes * p.h, rows_grain(&p, p.w), LUC_F(pool_avg_back_strips), &p);
    else
        luc_parallel_for(planes * p.h, rows_grain(&p, p.w), LUC_F(pool_avg_backward_rows), &p);
}
