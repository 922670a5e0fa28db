/* contiguous_tmpl.h: batch normalisation of one dtype (see simd/template.h) where a channel is a
 * set of runs (NCHW, and any strides with the help of buffers). It is included by level.c after
 * channel_tmpl.h. */

/* ---- a row ----------------------------------------------------------------------------------- */

static void LUC_F(norm_sum_row)(LUC_F(norm_sum) * out, const LUC_T *x, int64_t n, double shift)
{
    enum { chains = LUC_F(NORM_CHAINS) };
    LUC_F(norm_sum) s;
    LUC_F(norm_sum_begin)(&s);
    vd c = vd_set1(shift);
    int64_t i = 0, w = LUC_LANES;
    for (; i + chains * w <= n; i += chains * w)
        for (int k = 0; k < chains; k++) LUC_F(norm_term)(&s, k, LUC_LOAD(x + i + k * w), c);
    for (; i + w <= n; i += w) LUC_F(norm_term)(&s, 0, LUC_LOAD(x + i), c);
    if (i < n)
        LUC_F(norm_term)(&s, 1, LUC_F(norm_load_n)(x + i, n - i, LUC_VO(set1)((LUC_S)shift)), c);
    LUC_F(norm_sum_add)(out, &s);
}

/* Adds the m elements of a row from j on to `chain`. */
LUC_INLINE void LUC_F(norm_grad_step)(LUC_F(norm_sum) * s, int chain, LUC_F(norm_row) r, int64_t j,
                                      int64_t m, vd mean, const LUC_F(norm_coef) * c,
                                      luc_norm_kind kind)
{
    /* The fill is not 0, because 0 * (0 - mean) is NaN if mean is NaN. */
    LUC_V x = m == LUC_LANES ? LUC_LOAD(r.x + j)
                             : LUC_F(norm_load_n)(r.x + j, m, LUC_VO(set1)(LUC_GET(r.x + j)));
    LUC_V dy = LUC_F(norm_cut)(r, j, m, x, c, kind);
    if (r.kept) {
        if (m == LUC_LANES)
            LUC_STORE(r.kept + j, dy);
        else
            LUC_STORE_N(r.kept + j, dy, m);
    }
    LUC_F(norm_grad_term)(s, chain, x, dy, mean);
}

LUC_INLINE void LUC_F(norm_sum_grad_as)(LUC_F(norm_sum) * out, LUC_F(norm_row) r, int64_t n,
                                        double mean, const LUC_F(norm_coef) * coef,
                                        luc_norm_kind kind)
{
    const LUC_F(norm_coef) c = *coef;
    enum { chains = LUC_F(NORM_CHAINS) };
    LUC_F(norm_sum) s;
    LUC_F(norm_sum_begin)(&s);
    vd centre = vd_set1(mean);
    int64_t i = 0, w = LUC_LANES;
    for (; i + chains * w <= n; i += chains * w)
        for (int k = 0; k < chains; k++)
            LUC_F(norm_grad_step)(&s, k, r, i + k * w, w, centre, &c, kind);
    for (; i + w <= n; i += w) LUC_F(norm_grad_step)(&s, 0, r, i, w, centre, &c, kind);
    if (i < n) LUC_F(norm_grad_step)(&s, 1, r, i, n - i, centre, &c, kind);
    LUC_F(norm_sum_add)(out, &s);
}

static void LUC_F(norm_sum_grad_row)(LUC_F(norm_sum) * out, LUC_F(norm_row) r, int64_t n,
                                     double mean, const LUC_F(norm_coef) * c, luc_norm_kind kind)
{
    switch (kind) {
    case LUC_NORM_DX_SIGN:
        LUC_F(norm_sum_grad_as)(out, r, n, mean, c, LUC_NORM_DX_SIGN);
        break;
    case LUC_NORM_DX_OUTPUT:
        LUC_F(norm_sum_grad_as)(out, r, n, mean, c, LUC_NORM_DX_OUTPUT);
        break;
    default:
        LUC_F(norm_sum_grad_as)(out, r, n, mean, c, LUC_NORM_DX);
    }
}

/* The loop over a row, for an expression that makes the vector at i from m elements. In long rows
 * it first goes up to an aligned address, then takes whole vectors (around the cache if `stream`),
 * and then the rest. */
#define NORM_ROW(out, n, stream, WHOLE, SOME)                                          \
    do {                                                                               \
        bool aligned = (n) >= 8 * LUC_LANES;                                           \
        int64_t i = 0, head = aligned ? luc_to_aligned(out, sizeof(LUC_T)) : 0;        \
        if (head > (n)) head = (n); /* a vector may be shorter than a line */          \
        while (i < head) {                                                             \
            int64_t m = head - i < LUC_LANES ? head - i : LUC_LANES;                   \
            LUC_STORE_N((out) + i, SOME, m);                                           \
            i += m;                                                                    \
        }                                                                              \
        if (aligned && (stream))                                                       \
            for (; i + LUC_LANES <= (n); i += LUC_LANES) LUC_STREAM((out) + i, WHOLE); \
        else                                                                           \
            for (; i + LUC_LANES <= (n); i += LUC_LANES) LUC_STORE((out) + i, WHOLE);  \
        if (i < (n)) {                                                                 \
            int64_t m = (n)-i;                                                         \
            LUC_STORE_N((out) + i, SOME, m);                                           \
        }                                                                              \
    } while (0)

static void LUC_F(norm_out_row)(LUC_F(norm_row) r, int64_t n, const LUC_F(norm_coef) * coef,
                                luc_norm_kind kind, bool stream)
{
    const LUC_F(norm_coef) c = *coef;
#define NORM_OUT(k)                                                      \
    NORM_ROW(r.out, n, stream, LUC_F(norm_made)(r, i, LUC_LANES, &c, k), \
             LUC_F(norm_made)(r, i, m, &c, k))
    NORM_KINDS(kind, NORM_OUT)
#undef NORM_OUT
}

/* ---- rows ---------------------------------------------------------------------------------- */

#define GATHER 256 /* elements of a strided run that are gathered at a time */

LUC_INLINE const LUC_T *LUC_F(norm_gather)(LUC_T *buffer, const LUC_T *p, int64_t stride, int64_t n)
{
    if (stride == 1) return p;
    for (int64_t i = 0; i < n; i++) buffer[i] = p[i * stride];
    return buffer;
}

/* Where unit `unit` of channel c lies in each operand, and its length. */
LUC_INLINE int64_t LUC_F(norm_unit)(const luc_norm_plan *p, int64_t c, int64_t unit,
                                    int64_t at[LUC_MAX_OPERANDS])
{
    int64_t run = unit, begin = 0;
    int last = p->loop.ndim - 1;
    if (p->parts > 1) {
        run = unit / p->parts;
        begin = unit % p->parts * p->part;
    }
    if (last <= 1) /* nearly always true, and saves the divisions */
        for (int k = 0; k < p->loop.operands; k++) at[k] = run * (last ? p->loop.strides[k][0] : 0);
    else
        luc_loop_offsets(&p->loop, run, at);
    for (int k = 0; k < p->loop.operands; k++)
        at[k] += c * p->channel_stride[k] + begin * p->loop.strides[k][last];
    return p->inner - begin < p->part ? p->inner - begin : p->part;
}

/* The rows of a unit in each operand. */
LUC_INLINE LUC_F(norm_row) LUC_F(norm_row_at)(const luc_norm_plan *p, const int64_t *at)
{
    return (LUC_F(norm_row)){
        .x = (const LUC_T *)p->x + at[0],
        .dy = p->backward ? (const LUC_T *)p->grad_y + at[1] : NULL,
        .other = p->other ? (const LUC_T *)p->other + at[p->other_at] : NULL,
        .out = (LUC_T *)p->out + at[p->out_at],
        .kept = p->kept ? (LUC_T *)p->kept + at[p->kept_at] : NULL,
    };
}

/* Gathers the m elements of a strided unit from i on into buffers. Writes go to the buffers too,
 * and LUC_F(norm_scatter) copies them back. */
typedef struct LUC_F(norm_gathered) {
    LUC_T x[GATHER], dy[GATHER], other[GATHER], written[GATHER];
} LUC_F(norm_gathered);

LUC_INLINE LUC_F(norm_row) LUC_F(norm_gather_row)(const luc_norm_plan *p, LUC_F(norm_row) r,
                                                  int64_t i, int64_t m, LUC_F(norm_gathered) * g)
{
    int last = p->loop.ndim - 1;
    int64_t sx = p->loop.strides[0][last], sdy = p->loop.strides[1][last];
    int64_t so = p->loop.strides[p->other_at][last];
    LUC_F(norm_row) row = {.x = LUC_F(norm_gather)(g->x, r.x + i * sx, sx, m)};
    if (r.dy) row.dy = LUC_F(norm_gather)(g->dy, r.dy + i * sdy, sdy, m);
    if (r.other) row.other = LUC_F(norm_gather)(g->other, r.other + i * so, so, m);
    return row;
}

LUC_INLINE void LUC_F(norm_scatter)(LUC_T *to, int64_t stride, const LUC_T *from, int64_t m)
{
    for (int64_t j = 0; j < m; j++) to[j * stride] = from[j];
}

LUC_INLINE void LUC_F(norm_row_sum)(const luc_norm_plan *p, LUC_F(norm_sum) * s, LUC_F(norm_row) r,
                                    int64_t n, double centre, const LUC_F(norm_coef) * coef)
{
    if (r.dy)
        LUC_F(norm_sum_grad_row)(s, r, n, centre, coef, p->kind);
    else
        LUC_F(norm_sum_row)(s, r.x, n, centre);
}

static void LUC_F(norm_unit_sum)(const luc_norm_plan *p, LUC_F(norm_sum) * s, const int64_t *at,
                                 int64_t n, double centre, const LUC_F(norm_coef) * coef)
{
    LUC_F(norm_row) r = LUC_F(norm_row_at)(p, at);
    if (p->dense) {
        LUC_F(norm_row_sum)(p, s, r, n, centre, coef);
        return;
    }
    LUC_F(norm_gathered) g;
    int64_t stride = p->loop.strides[p->kept_at][p->loop.ndim - 1];
    for (int64_t i = 0; i < n; i += GATHER) {
        int64_t m = n - i < GATHER ? n - i : GATHER;
        LUC_F(norm_row) row = LUC_F(norm_gather_row)(p, r, i, m, &g);
        row.kept = r.kept ? g.written : NULL;
        LUC_F(norm_row_sum)(p, s, row, m, centre, coef);
        if (r.kept) LUC_F(norm_scatter)(r.kept + i * stride, stride, g.written, m);
    }
}

LUC_INLINE int64_t LUC_F(norm_block_end)(const luc_norm_plan *p, int64_t block)
{
    int64_t end = (block + 1) * p->block_units;
    return end < p->units ? end : p->units;
}

/* Prefetches a short run before it is needed: the hardware's own prefetching starts anew with every
 * run, and comes late. */
LUC_INLINE void LUC_F(norm_ask)(const luc_norm_plan *p, int64_t c, int64_t unit)
{
    enum { SHORT = 4096, LINE = 64 };
    int64_t at[LUC_MAX_OPERANDS], bytes = p->part * (int64_t)sizeof(LUC_T);
    if (bytes > SHORT || !p->dense) return;
    LUC_F(norm_unit)(p, c, unit, at);
    LUC_F(norm_row) r = LUC_F(norm_row_at)(p, at);
    for (int64_t i = 0; i < bytes; i += LINE) {
        luc_prefetch((const char *)r.x + i);
        if (r.dy) luc_prefetch((const char *)r.dy + i);
        if (r.dy && r.other) luc_prefetch((const char *)r.other + i);
        if (r.kept) __builtin_prefetch((const char *)r.kept + i, 1, 3);
    }
}

/* The run of the residual, which is needed when the outputs are made. */
LUC_INLINE void LUC_F(norm_ask_other)(const luc_norm_plan *p, int64_t c, int64_t unit)
{
    enum { SHORT = 4096, LINE = 64 };
    int64_t at[LUC_MAX_OPERANDS], bytes = p->part * (int64_t)sizeof(LUC_T);
    if (bytes > SHORT) return;
    LUC_F(norm_unit)(p, c, unit, at);
    const char *other = (const char *)LUC_F(norm_row_at)(p, at).other;
    for (int64_t i = 0; i < bytes; i += LINE) luc_prefetch(other + i);
}

/* The two sums over block `block` of n channels from c on. The channels are visited in the order in
 * which they lie in memory. */
static void LUC_F(norm_block_sum)(const luc_norm_plan *p, int64_t c, int64_t n, int64_t block)
{
    LUC_F(norm_sum) s[LUC_NORM_GROUP];
    LUC_F(norm_coef) coef[LUC_NORM_GROUP];
    double centre[LUC_NORM_GROUP];
    for (int64_t i = 0; i < n; i++) {
        LUC_F(norm_sum_begin)(&s[i]);
        centre[i] = LUC_F(norm_centre)(p, c + i);
        if (p->backward) coef[i] = LUC_F(norm_coef_of)(p, c + i);
    }
    for (int64_t unit = block * p->block_units; unit < LUC_F(norm_block_end)(p, block); unit++)
        for (int64_t i = 0; i < n; i++) {
            int64_t at[LUC_MAX_OPERANDS], length = LUC_F(norm_unit)(p, c + i, unit, at);
            if (i + 1 < n)
                LUC_F(norm_ask)(p, c + i + 1, unit);
            else if (unit + 1 < p->units)
                LUC_F(norm_ask)(p, c, unit + 1);
            LUC_F(norm_unit_sum)(p, &s[i], at, length, centre[i], &coef[i]);
        }
    for (int64_t i = 0; i < n; i++)
        LUC_F(norm_sum_end)(&s[i], p->sums + 2 * ((c + i) * p->blocks + block));
}

/* Makes the output of units [begin, end) of n channels from c on. The last unit comes first,
 * because the sums' pass has just left it in the cache. */
LUC_INLINE void LUC_F(norm_dense_as)(const luc_norm_plan *p, int64_t c, int64_t n, int64_t begin,
                                     int64_t end, const LUC_F(norm_coef) * coef, luc_norm_kind kind)
{
    for (int64_t unit = end - 1; unit >= begin; unit--)
        for (int64_t k = 0; k < n; k++) {
            int64_t at[LUC_MAX_OPERANDS], length = LUC_F(norm_unit)(p, c + k, unit, at);
            LUC_F(norm_row) r = LUC_F(norm_row_at)(p, at);
            const LUC_F(norm_coef) own = coef[k];
            if (r.other && !r.dy && (k + 1 < n || unit > begin))
                LUC_F(norm_ask_other)(p, k + 1 < n ? c + k + 1 : c, k + 1 < n ? unit : unit - 1);
            if (r.kept) r.dy = r.kept;
            NORM_ROW(r.out, length, p->stream, LUC_F(norm_made)(r, i, LUC_LANES, &own, kind),
                     LUC_F(norm_made)(r, i, m, &own, kind));
        }
}

static void LUC_F(norm_dense_out)(const luc_norm_plan *p, int64_t c, int64_t n, int64_t begin,
                                  int64_t end, const LUC_F(norm_coef) * coef)
{
#define NORM_DENSE(k) LUC_F(norm_dense_as)(p, c, n, begin, end, coef, k)
    NORM_KINDS(LUC_F(norm_out_kind)(p), NORM_DENSE)
#undef NORM_DENSE
}

/* A unit of any strides goes through buffers. */
static void LUC_F(norm_strided_out)(const luc_norm_plan *p, int64_t c, int64_t unit,
                                    const LUC_F(norm_coef) * coef)
{
    int64_t at[LUC_MAX_OPERANDS], n = LUC_F(norm_unit)(p, c, unit, at);
    LUC_F(norm_row) r = LUC_F(norm_row_at)(p, at);
    LUC_F(norm_gathered) g;
    int last = p->loop.ndim - 1;
    int64_t stride = p->loop.strides[p->out_at][last], sk = p->loop.strides[p->kept_at][last];
    for (int64_t i = 0; i < n; i += GATHER) {
        int64_t m = n - i < GATHER ? n - i : GATHER;
        LUC_F(norm_row) row = LUC_F(norm_gather_row)(p, r, i, m, &g);
        if (r.kept) row.dy = LUC_F(norm_gather)(g.dy, r.kept + i * sk, sk, m);
        row.out = g.written;
        LUC_F(norm_out_row)(row, m, coef, LUC_F(norm_out_kind)(p), false);
        LUC_F(norm_scatter)(r.out + i * stride, stride, g.written, m);
    }
}

static void LUC_F(norm_units_of)(const luc_norm_plan *p, int64_t c, int64_t n, int64_t begin,
                                 int64_t end)
{
    LUC_F(norm_coef) coef[LUC_NORM_GROUP];
    for (int64_t i = 0; i < n; i++) coef[i] = LUC_F(norm_coef_of)(p, c + i);
    if (p->dense) {
        LUC_F(norm_dense_out)(p, c, n, begin, end, coef);
        return;
    }
    for (int64_t unit = begin; unit < end; unit++)
        for (int64_t i = 0; i < n; i++) LUC_F(norm_strided_out)(p, c + i, unit, &coef[i]);
}

static void LUC_F(norm_block_out)(const luc_norm_plan *p, int64_t c, int64_t n, int64_t block)
{
    LUC_F(norm_units_of)(p, c, n, block * p->block_units, LUC_F(norm_block_end)(p, block));
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* Takes groups of channels from sums to outputs while they are in the cache. */
static void LUC_F(norm_groups)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_norm_plan *p = ctx;
    for (int64_t c = begin * p->channel_group; begin < end; begin++, c += p->channel_group) {
        int64_t n = p->channels - c < p->channel_group ? p->channels - c : p->channel_group;
        for (int64_t b = 0; b < p->blocks; b++) LUC_F(norm_block_sum)(p, c, n, b);
        for (int64_t i = 0; i < n; i++) LUC_F(norm_channel)(p, c + i);
        /* From the end: what was read last is still in the cache. */
        for (int64_t b = p->blocks - 1; (p->want & 1) && b >= 0; b--)
            LUC_F(norm_block_out)(p, c, n, b);
    }
    if (p->stream) luc_stream_fence();
}

static void LUC_F(norm_pieces_sum)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_norm_plan *p = ctx;
    for (int64_t i = begin; i < end; i++) LUC_F(norm_block_sum)(p, i / p->blocks, 1, i % p->blocks);
}

/* Takes the units of all channels in the order in which they lie in NCHW. */
static void LUC_F(norm_units_out)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_norm_plan *p = ctx;
    int64_t c = begin % p->channels, unit = begin / p->channels;
    for (int64_t i = begin; i < end; i++) {
        LUC_F(norm_units_of)(p, c, 1, unit, unit + 1);
        if (++c == p->channels) {
            c = 0;
            unit++;
        }
    }
    if (p->stream) luc_stream_fence();
}

static void LUC_F(norm_by_rows)(luc_norm_plan *p)
{
    enum { GRAIN = 1 << 14 }; /* elements that are worth a thread */
    bool sums = LUC_F(norm_wants_sums)(p);
    if (sums && p->fused) {
        int64_t groups = luc_parallel_blocks(p->channels, p->channel_group);
        int64_t grain = GRAIN / (p->count * p->channel_group + 1) + 1;
        luc_parallel_for(groups, grain, LUC_F(norm_groups), p);
        return;
    }
    int64_t pieces = p->channels * p->blocks;
    if (sums)
        luc_parallel_for(pieces, 1, LUC_F(norm_pieces_sum), p);
    else if (pieces > 0)
        memset(p->sums, 0, (size_t)(2 * pieces) * sizeof *p->sums);
    for (int64_t c = 0; c < p->channels; c++) LUC_F(norm_channel)(p, c);
    if (p->want & 1)
        luc_parallel_for(p->channels * p->units, GRAIN / (p->part + 1) + 1, LUC_F(norm_units_out),
                         p);
}

#undef GATHER
#undef NORM_ROW
