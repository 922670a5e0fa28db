/* channels_last_tmpl.h: batch normalisation of one dtype (see simd/template.h) where the channels
 * of a pixel are neighbours (channels_last), and the choice between the two ways. It is included by
 * level.c after contiguous_tmpl.h. */

/* The coefficients of lanes j, j + 1, ... at c; the coefficients are `width` apart. */
LUC_INLINE LUC_F(norm_coef) LUC_F(norm_lane_coef)(const LUC_S *c, int64_t width, int64_t j)
{
    c += j;
    return (LUC_F(norm_coef)){
        .hi = LUC_VO(load)(c),
        .lo = LUC_VO(load)(c + width),
        .scale = LUC_VO(load)(c + 2 * width),
        .bias = LUC_VO(load)(c + 3 * width),
        .slope = LUC_VO(load)(c + 4 * width),
        .shift = LUC_VO(load)(c + 5 * width),
    };
}

/* Where pixel `pixel` lies in each operand. */
LUC_INLINE LUC_F(norm_row) LUC_F(norm_pixel)(const luc_norm_plan *p, int64_t pixel)
{
    int64_t at[LUC_MAX_OPERANDS];
    for (int k = 0; k < p->loop.operands; k++) at[k] = pixel * p->loop.strides[k][0];
    return LUC_F(norm_row_at)(p, at);
}

/* Moves r on by `pixels`. */
LUC_INLINE void LUC_F(norm_next)(const luc_norm_plan *p, LUC_F(norm_row) * r, int64_t pixels)
{
    r->x += pixels * p->loop.strides[0][0];
    r->out += pixels * p->loop.strides[p->out_at][0];
    if (r->dy) r->dy += pixels * p->loop.strides[1][0];
    if (r->other) r->other += pixels * p->loop.strides[p->other_at][0];
    if (r->kept) r->kept += pixels * p->loop.strides[p->kept_at][0];
}

/* Whether an operand's rows from `to` on can be written around the cache. */
LUC_INLINE bool LUC_F(norm_lane_streams)(const luc_norm_plan *p, const LUC_T *to, int operand)
{
    const size_t row = (size_t)(p->loop.strides[operand][0] * p->group) * sizeof(LUC_T);
    return p->stream && luc_to_aligned(to, sizeof(LUC_T)) == 0 && row % 64 == 0;
}

/* Adds the sums of rows [begin, end) to s1 and s2 [width]; kind is a constant where this is
 * inlined. */
LUC_INLINE void LUC_F(norm_lane_rows)(const luc_norm_plan *p, int64_t begin, int64_t end,
                                      double *s1, double *s2, luc_norm_kind kind)
{
    const bool back = kind >= LUC_NORM_DX;
    const LUC_F(norm_row) first = LUC_F(norm_pixel)(p, begin * p->group);
    int64_t sx = p->loop.strides[0][0] * p->group, sdy = p->loop.strides[1][0] * p->group;
    const bool stream = first.kept && LUC_F(norm_lane_streams)(p, first.kept, p->kept_at);
    for (int64_t j = 0; j < p->width; j += LUC_LANES) {
        LUC_F(norm_row) r = first;
        LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(p->lane_coef, p->width, j);
        vd a[LUC_PARTS], b[LUC_PARTS], centre[LUC_PARTS];
        for (int k = 0; k < LUC_PARTS; k++) {
            a[k] = vd_load(s1 + j + k * LUC_VD);
            b[k] = vd_load(s2 + j + k * LUC_VD);
            centre[k] = vd_load(p->lane_centre + j + k * LUC_VD);
        }
        for (int64_t i = begin; i < end; i++, LUC_F(norm_next)(p, &r, p->group)) {
            luc_prefetch(r.x + j + 8 * sx); /* the same column of later rows */
            if (back) luc_prefetch(r.dy + j + 8 * sdy);
            LUC_V vx = LUC_LOAD(r.x + j), vg = vx;
            if (back) vg = LUC_F(norm_cut)(r, j, LUC_LANES, vx, &c, kind);
            if (back && r.kept) {
                if (stream)
                    LUC_STREAM(r.kept + j, vg);
                else
                    LUC_STORE(r.kept + j, vg);
            }
            for (int k = 0; k < LUC_PARTS; k++) {
                vd d = vd_sub(LUC_PART(vx, k), centre[k]), g = back ? LUC_PART(vg, k) : d;
                a[k] = vd_add(a[k], g);
                b[k] = vd_fma(g, d, b[k]);
            }
        }
        for (int k = 0; k < LUC_PARTS; k++) {
            vd_store(s1 + j + k * LUC_VD, a[k]);
            vd_store(s2 + j + k * LUC_VD, b[k]);
        }
    }
}

/* The pixels after the last whole row. */
static void LUC_F(norm_lane_tail)(const luc_norm_plan *p, double *s1, double *s2)
{
    LUC_F(norm_row) r = LUC_F(norm_pixel)(p, p->count - p->tail);
    for (int64_t t = 0; t < p->tail; t++, LUC_F(norm_next)(p, &r, 1))
        for (int64_t j = 0; j < p->channels; j += LUC_LANES) {
            LUC_T cut[LUC_LANES];
            int64_t m = p->channels - j < LUC_LANES ? p->channels - j : LUC_LANES;
            if (r.dy) {
                LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(p->lane_coef, p->width, j);
                LUC_V x = LUC_LOAD_N(r.x + j, m), g;
                g = LUC_F(norm_cut)(r, j, m, x, &c, p->kind);
                LUC_STORE_N(cut, g, m);
                if (r.kept) LUC_STORE_N(r.kept + j, g, m);
            }
            for (int64_t k = 0; k < m; k++) {
                double d = (double)LUC_GET(r.x + j + k) - p->lane_centre[j + k];
                double g = r.dy ? (double)LUC_GET(cut + k) : d;
                s1[j + k] += g;
                s2[j + k] += g * d;
            }
        }
}

static void LUC_F(norm_lane_some)(const luc_norm_plan *p, int64_t begin, int64_t end, double *s1,
                                  double *s2)
{
    switch (p->kind) {
    case LUC_NORM_DX:
        LUC_F(norm_lane_rows)(p, begin, end, s1, s2, LUC_NORM_DX);
        break;
    case LUC_NORM_DX_SIGN:
        LUC_F(norm_lane_rows)(p, begin, end, s1, s2, LUC_NORM_DX_SIGN);
        break;
    case LUC_NORM_DX_OUTPUT:
        LUC_F(norm_lane_rows)(p, begin, end, s1, s2, LUC_NORM_DX_OUTPUT);
        break;
    default: /* forward: all lanes have the same */
        LUC_F(norm_lane_rows)(p, begin, end, s1, s2, LUC_NORM_Y);
    }
}

/* The sums of a block, folded from the lanes into the first `channels` of them. */
static void LUC_F(norm_lane_sums)(void *ctx, int64_t first, int64_t last, int thread)
{
    enum { AT_ONCE = 8 }; /* so few rows that they stay in the cache from one column to the next */
    (void)thread;
    const luc_norm_plan *p = ctx;
    for (int64_t block = first; block < last; block++) {
        double *s1 = p->sums + block * 2 * p->width, *s2 = s1 + p->width;
        memset(s1, 0, (size_t)(2 * p->width) * sizeof *s1);
        int64_t row = block * p->block_units, end = row + p->block_units;
        if (end > p->units) end = p->units;
        for (; row < end; row += AT_ONCE) {
            int64_t until = end - row < AT_ONCE ? end : row + AT_ONCE;
            LUC_F(norm_lane_some)(p, row, until, s1, s2);
        }
        for (int64_t j = p->channels; j < p->width; j++) {
            s1[j % p->channels] += s1[j];
            s2[j % p->channels] += s2[j];
        }
        if (block == p->blocks - 1) LUC_F(norm_lane_tail)(p, s1, s2);
    }
    if (p->kept && p->stream) luc_stream_fence();
}

/* Makes the output of `rows` rows of n numbers from r on, `pixels` apart. */
LUC_INLINE void LUC_F(norm_lane_as)(const luc_norm_plan *p, LUC_F(norm_row) r, int64_t rows,
                                    int64_t n, int64_t pixels, luc_norm_kind kind, bool stream)
{
    const LUC_S *coef = p->lane_coef;
    const int64_t width = p->width, whole = n / LUC_LANES * LUC_LANES;
    for (; rows > 0; rows--, LUC_F(norm_next)(p, &r, pixels)) {
        for (int64_t j = 0; j < whole; j += LUC_LANES) {
            LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(coef, width, j);
            LUC_V v = LUC_F(norm_made)(r, j, LUC_LANES, &c, kind);
            if (stream)
                LUC_STREAM(r.out + j, v);
            else
                LUC_STORE(r.out + j, v);
        }
        if (whole < n) {
            LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(coef, width, whole);
            LUC_V v = LUC_F(norm_made)(r, whole, n - whole, &c, kind);
            LUC_STORE_N(r.out + whole, v, n - whole);
        }
    }
}

static void LUC_F(norm_lane_some_out)(const luc_norm_plan *p, LUC_F(norm_row) r, int64_t rows,
                                      int64_t n, int64_t pixels, bool stream)
{
    if (r.kept) r.dy = r.kept;
#define NORM_LANE(k) LUC_F(norm_lane_as)(p, r, rows, n, pixels, k, stream)
    NORM_KINDS(LUC_F(norm_out_kind)(p), NORM_LANE)
#undef NORM_LANE
}

static void LUC_F(norm_lane_out)(void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    const luc_norm_plan *p = ctx;
    for (int64_t i = first; i < last; i++) {
        int64_t block = p->blocks - 1 - i; /* what was read last is still in the cache */
        int64_t row = block * p->block_units, end = row + p->block_units;
        if (end > p->units) end = p->units;
        LUC_F(norm_row) r = LUC_F(norm_pixel)(p, row * p->group);
        bool stream = LUC_F(norm_lane_streams)(p, r.out, p->out_at);
        LUC_F(norm_lane_some_out)(p, r, end - row, p->width, p->group, stream);
        if (stream) luc_stream_fence();
        if (block == p->blocks - 1) LUC_F(norm_lane_some_out)
        (p, LUC_F(norm_pixel)(p, p->count - p->tail), p->tail, p->channels, 1, false);
    }
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* Repeats per-channel numbers over the lanes of a row. */
static void LUC_F(norm_spread)(const luc_norm_plan *p, int slot, const double *values, bool low)
{
    LUC_S *lane = (LUC_S *)p->lane_coef + slot * p->width;
    for (int64_t j = 0; j < p->width; j++) {
        double v = values[j % p->channels];
        LUC_S high = (LUC_S)v;
        lane[j] = !low ? high : isfinite(v) ? (LUC_S)(v - (double)high) : 0;
    }
}

/* The coefficients that backward knows before its sums, and forward knows after them. */
static void LUC_F(norm_spread_known)(const luc_norm_plan *p)
{
    LUC_F(norm_spread)(p, 0, p->mean, false);
    LUC_F(norm_spread)(p, 1, p->mean, true);
    LUC_F(norm_spread)(p, 2, p->scale, false);
    if (p->backward) LUC_F(norm_spread)(p, 5, p->shift, false);
}

static void LUC_F(norm_by_lanes)(luc_norm_plan *p)
{
    if (p->backward) LUC_F(norm_spread_known)(p);
    if (LUC_F(norm_wants_sums)(p)) {
        for (int64_t c = 0; c < p->channels; c++) p->lane_centre[c] = LUC_F(norm_centre)(p, c);
        for (int64_t j = p->channels; j < p->width; j++)
            p->lane_centre[j] = p->lane_centre[j - p->channels];
        luc_parallel_for(p->blocks, 1, LUC_F(norm_lane_sums), p);
    } else {
        memset(p->sums, 0, (size_t)(2 * p->width * p->blocks) * sizeof *p->sums);
    }
    for (int64_t c = 0; c < p->channels; c++) LUC_F(norm_channel)(p, c);
    if (!(p->want & 1)) return;
    if (!p->backward) LUC_F(norm_spread_known)(p);
    LUC_F(norm_spread)(p, 3, p->bias, false);
    if (p->backward) LUC_F(norm_spread)(p, 4, p->slope, false);
    luc_parallel_for(p->blocks, 1, LUC_F(norm_lane_out), p);
}

static void LUC_F(norm_forward)(const luc_norm_plan *plan)
{
    luc_norm_plan p = *plan;
    if (p.lanes)
        LUC_F(norm_by_lanes)(&p);
    else
        LUC_F(norm_by_rows)(&p);
}

static void LUC_F(norm_backward)(const luc_norm_plan *plan)
{
    LUC_F(norm_forward)(plan);
}

#undef NORM_KINDS
