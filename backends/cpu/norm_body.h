/* norm_body.h: batch normalisation of one dtype (see typed.h); included by norm_kernel.c. */

/* ---- an element ---------------------------------------------------------------------------- */

/* Where a row of each operand begins; those that there are not are NULL. */
typedef struct LUC_F(norm_row) {
    const LUC_T *x, *dy, *other;
    LUC_T *out, *kept;
} LUC_F(norm_row);

typedef struct LUC_F(norm_coef) {
    LUC_V hi, lo, scale, bias, slope, shift;
} LUC_F(norm_coef);

LUC_INLINE LUC_F(norm_coef) LUC_F(norm_coef_of)(const luc_norm_plan *p, int64_t c)
{
    double mean = p->mean[c];
    LUC_S high = (LUC_S)mean;
    return (LUC_F(norm_coef)){
        .hi = LUC_VO(set1)(high),
        .lo = LUC_VO(set1)(isfinite(mean) ? (LUC_S)(mean - (double)high) : 0),
        .scale = LUC_VO(set1)((LUC_S)p->scale[c]),
        .bias = LUC_VO(set1)((LUC_S)p->bias[c]),
        .slope = LUC_VO(set1)(p->backward ? (LUC_S)p->slope[c] : 0),
        .shift = LUC_VO(set1)(p->backward ? (LUC_S)p->shift[c] : 0),
    };
}

/* m elements from p on; known to be all lanes where this is inlined with LUC_LANES. */
LUC_INLINE LUC_V LUC_F(norm_load)(const LUC_T *p, int64_t m)
{
    return m == LUC_LANES ? LUC_LOAD(p) : LUC_LOAD_N(p, m);
}

LUC_INLINE LUC_V LUC_F(norm_centred)(LUC_V x, const LUC_F(norm_coef) * c)
{
    return LUC_VO(sub)(LUC_VO(sub)(x, c->hi), c->lo);
}

/* dy at j, 0 where ReLU's output was not above 0 (a NaN lets it pass). */
LUC_INLINE LUC_V LUC_F(norm_cut)(LUC_F(norm_row) r, int64_t j, int64_t m, LUC_V x,
                                 const LUC_F(norm_coef) * c, luc_norm_kind kind)
{
    LUC_V dy = LUC_F(norm_load)(r.dy + j, m), zero = LUC_VO(zero)(), y, most = zero;
    if (kind == LUC_NORM_DX) return dy;
    if (kind == LUC_NORM_DX_OUTPUT) {
        y = LUC_F(norm_load)(r.other + j, m);
    } else {
        y = LUC_VO(fma)(LUC_F(norm_centred)(x, c), c->scale, c->shift);
        most = LUC_VO(set1)(LUC_F(NORM_TINY));
    }
    return LUC_VO(select)(LUC_VO(le)(y, most), zero, dy);
}

LUC_INLINE LUC_V LUC_F(norm_y)(LUC_F(norm_row) r, int64_t j, int64_t m, const LUC_F(norm_coef) * c,
                               luc_norm_kind kind)
{
    LUC_V d = LUC_F(norm_centred)(LUC_F(norm_load)(r.x + j, m), c);
    LUC_V y = LUC_VO(fma)(d, c->scale, c->bias);
    if (kind == LUC_NORM_Y_ADD || kind == LUC_NORM_Y_ADD_RELU)
        y = LUC_VO(add)(y, LUC_F(norm_load)(r.other + j, m));
    bool relu = kind == LUC_NORM_Y_RELU || kind == LUC_NORM_Y_ADD_RELU;
    return relu ? LUC_VO(max)(LUC_VO(zero)(), y) : y; /* in this order a NaN stays */
}

LUC_INLINE LUC_V LUC_F(norm_dx)(LUC_F(norm_row) r, int64_t j, int64_t m, const LUC_F(norm_coef) * c,
                                luc_norm_kind kind)
{
    LUC_V x = LUC_F(norm_load)(r.x + j, m), dy = LUC_F(norm_cut)(r, j, m, x, c, kind);
    LUC_V d = LUC_F(norm_centred)(x, c);
    LUC_V t = LUC_VO(fnma)(d, c->slope, LUC_VO(sub)(dy, c->bias));
    return LUC_VO(mul)(t, c->scale);
}

LUC_INLINE LUC_V LUC_F(norm_made)(LUC_F(norm_row) r, int64_t j, int64_t m,
                                  const LUC_F(norm_coef) * c, luc_norm_kind kind)
{
    return kind < LUC_NORM_DX ? LUC_F(norm_y)(r, j, m, c, kind) : LUC_F(norm_dx)(r, j, m, c, kind);
}

/* ---- sums ---------------------------------------------------------------------------------- */

/* Two sums in double over vectors: of a channel, and of a row in several chains. */
typedef struct LUC_F(norm_sum) {
    vd s1, s2;
} LUC_F(norm_sum);
typedef struct LUC_F(norm_chains) {
    vd s1[4][LUC_PARTS], s2[4][LUC_PARTS];
} LUC_F(norm_chains);

LUC_INLINE void LUC_F(norm_fold)(LUC_F(norm_sum) * to, const LUC_F(norm_chains) * s)
{
    for (int k = 0; k < LUC_PARTS; k++) {
        vd a = vd_add(vd_add(s->s1[0][k], s->s1[1][k]), vd_add(s->s1[2][k], s->s1[3][k]));
        vd b = vd_add(vd_add(s->s2[0][k], s->s2[1][k]), vd_add(s->s2[2][k], s->s2[3][k]));
        to->s1 = vd_add(to->s1, a);
        to->s2 = vd_add(to->s2, b);
    }
}

/* + d and + d * d, d = x - shift. */
LUC_INLINE void LUC_F(norm_term)(LUC_F(norm_chains) * s, int chain, LUC_V x, vd shift)
{
    for (int k = 0; k < LUC_PARTS; k++) {
        vd d = vd_sub(LUC_PART(x, k), shift);
        s->s1[chain][k] = vd_add(s->s1[chain][k], d);
        s->s2[chain][k] = vd_fma(d, d, s->s2[chain][k]);
    }
}

/* + dy and + dy * (x - mean). */
LUC_INLINE void LUC_F(norm_grad_term)(LUC_F(norm_chains) * s, int chain, LUC_V x, LUC_V dy, vd mean)
{
    for (int k = 0; k < LUC_PARTS; k++) {
        vd d = vd_sub(LUC_PART(x, k), mean), g = LUC_PART(dy, k);
        s->s1[chain][k] = vd_add(s->s1[chain][k], g);
        s->s2[chain][k] = vd_fma(g, d, s->s2[chain][k]);
    }
}

/* The lanes from m on are replaced by `fill`, a value whose term is zero. */
LUC_INLINE LUC_V LUC_F(norm_load_n)(const LUC_T *x, int64_t m, LUC_V fill)
{
    return LUC_VO(select)(LUC_FIRST(m), LUC_LOAD_N(x, m), fill);
}

static void LUC_F(norm_sum_row)(LUC_F(norm_sum) * out, const LUC_T *x, int64_t n, double shift)
{
    LUC_F(norm_chains) s;
    memset(&s, 0, sizeof s);
    vd c = vd_set1(shift);
    int64_t i = 0;
    for (; i + 4 * LUC_LANES <= n; i += 4 * LUC_LANES)
        for (int k = 0; k < 4; k++) LUC_F(norm_term)(&s, k, LUC_LOAD(x + i + k * LUC_LANES), c);
    for (; i + LUC_LANES <= n; i += LUC_LANES) LUC_F(norm_term)(&s, 0, LUC_LOAD(x + i), c);
    if (i < n)
        LUC_F(norm_term)(&s, 1, LUC_F(norm_load_n)(x + i, n - i, LUC_VO(set1)((LUC_S)shift)), c);
    LUC_F(norm_fold)(out, &s);
}

/* The elements from j on of a row, m of them, into `chain`. */
LUC_INLINE void LUC_F(norm_grad_step)(LUC_F(norm_chains) * s, int chain, LUC_F(norm_row) r,
                                      int64_t j, int64_t m, vd mean, const LUC_F(norm_coef) * c,
                                      luc_norm_kind kind)
{
    /* The fill is not 0: 0 * (0 - mean) is NaN if mean is. */
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
    LUC_F(norm_chains) s;
    memset(&s, 0, sizeof s);
    vd centre = vd_set1(mean);
    int64_t i = 0, w = LUC_LANES;
    for (; i + 4 * w <= n; i += 4 * w)
        for (int k = 0; k < 4; k++) LUC_F(norm_grad_step)(&s, k, r, i + k * w, w, centre, &c, kind);
    for (; i + w <= n; i += w) LUC_F(norm_grad_step)(&s, 0, r, i, w, centre, &c, kind);
    if (i < n) LUC_F(norm_grad_step)(&s, 1, r, i, n - i, centre, &c, kind);
    LUC_F(norm_fold)(out, &s);
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

/* ---- outputs ------------------------------------------------------------------------------- */

/* The loop over a row, for an expression that makes the vector at i from m elements: in long rows
 * up to the first aligned address, then whole vectors (around the cache if `stream`), the rest. */
#define NORM_ROW(out, n, stream, WHOLE, SOME)                                          \
    do {                                                                               \
        bool aligned = (n) >= 8 * LUC_LANES;                                           \
        int64_t i = 0, head = aligned ? luc_to_aligned(out, sizeof(LUC_T)) : 0;        \
        if (head > (n)) head = (n); /* lanes may be fewer than a line holds */         \
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

/* A case for each kind, where it is a constant. */
#define NORM_KINDS(kind, DO)     \
    switch (kind) {              \
    case LUC_NORM_Y:             \
        DO(LUC_NORM_Y);          \
        break;                   \
    case LUC_NORM_Y_RELU:        \
        DO(LUC_NORM_Y_RELU);     \
        break;                   \
    case LUC_NORM_Y_ADD:         \
        DO(LUC_NORM_Y_ADD);      \
        break;                   \
    case LUC_NORM_Y_ADD_RELU:    \
        DO(LUC_NORM_Y_ADD_RELU); \
        break;                   \
    case LUC_NORM_DX:            \
        DO(LUC_NORM_DX);         \
        break;                   \
    case LUC_NORM_DX_SIGN:       \
        DO(LUC_NORM_DX_SIGN);    \
        break;                   \
    case LUC_NORM_DX_OUTPUT:     \
        DO(LUC_NORM_DX_OUTPUT);  \
        break;                   \
    }

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

/* The kind of the pass that makes the output, and where that reads dy. */
LUC_INLINE luc_norm_kind LUC_F(norm_out_kind)(const luc_norm_plan *p)
{
    return p->kept ? LUC_NORM_DX : p->kind;
}

/* ---- rows ---------------------------------------------------------------------------------- */

LUC_INLINE double LUC_F(norm_shift)(const luc_norm_plan *p, int64_t c)
{
    if (p->count == 0) return 0;
    double x = (double)LUC_GET((const LUC_T *)p->x + c * p->channel_stride[0]);
    return isfinite(x) ? x : 0;
}

/* What the sums are taken around. */
LUC_INLINE double LUC_F(norm_centre)(const luc_norm_plan *p, int64_t c)
{
    return p->backward ? p->mean[c] : LUC_F(norm_shift)(p, c);
}

#define GATHER 256 /* elements of a strided run that are brought together at a time */

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
    if (last <= 1) /* nearly always: without the divisions */
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

/* The m elements of a strided unit from i on, brought together in buffers; its writes go to the
 * buffers too, and LUC_F(norm_scatter) takes them out. */
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

/* Asks for a short run before it is needed: the hardware's own prefetching starts anew with every
 * run, and is late. */
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
    }
}

/* The two sums over block `block` of n channels from c on, which are visited in the order in which
 * they lie. */
static void LUC_F(norm_block_sum)(const luc_norm_plan *p, int64_t c, int64_t n, int64_t block)
{
    LUC_F(norm_sum) s[LUC_NORM_GROUP];
    LUC_F(norm_coef) coef[LUC_NORM_GROUP];
    double centre[LUC_NORM_GROUP];
    for (int64_t i = 0; i < n; i++) {
        s[i].s1 = s[i].s2 = vd_zero();
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
    for (int64_t i = 0; i < n; i++) {
        double *sums = p->sums + 2 * ((c + i) * p->blocks + block);
        sums[0] = vd_sum(s[i].s1);
        sums[1] = vd_sum(s[i].s2);
    }
}

static void LUC_F(norm_unit_out)(const luc_norm_plan *p, const int64_t *at, int64_t n,
                                 const LUC_F(norm_coef) * coef)
{
    LUC_F(norm_row) r = LUC_F(norm_row_at)(p, at);
    luc_norm_kind kind = LUC_F(norm_out_kind)(p);
    int last = p->loop.ndim - 1;
    if (p->dense) {
        if (r.kept) r.dy = r.kept;
        LUC_F(norm_out_row)(r, n, coef, kind, p->stream);
        return;
    }
    LUC_F(norm_gathered) g;
    int64_t stride = p->loop.strides[p->out_at][last], sk = p->loop.strides[p->kept_at][last];
    for (int64_t i = 0; i < n; i += GATHER) {
        int64_t m = n - i < GATHER ? n - i : GATHER;
        LUC_F(norm_row) row = LUC_F(norm_gather_row)(p, r, i, m, &g);
        if (r.kept) row.dy = LUC_F(norm_gather)(g.dy, r.kept + i * sk, sk, m);
        row.out = g.written;
        LUC_F(norm_out_row)(row, m, coef, kind, false);
        LUC_F(norm_scatter)(r.out + i * stride, stride, g.written, m);
    }
}

static void LUC_F(norm_block_out)(const luc_norm_plan *p, int64_t c, int64_t n, int64_t block)
{
    LUC_F(norm_coef) coef[LUC_NORM_GROUP];
    for (int64_t i = 0; i < n; i++) coef[i] = LUC_F(norm_coef_of)(p, c + i);
    for (int64_t unit = block * p->block_units; unit < LUC_F(norm_block_end)(p, block); unit++)
        for (int64_t i = 0; i < n; i++) {
            int64_t at[LUC_MAX_OPERANDS], length = LUC_F(norm_unit)(p, c + i, unit, at);
            LUC_F(norm_unit_out)(p, at, length, &coef[i]);
        }
}

/* ---- lanes --------------------------------------------------------------------------------- */

LUC_INLINE LUC_F(norm_coef) LUC_F(norm_lane_coef)(const luc_norm_plan *p, int64_t j)
{
    const LUC_S *c = (const LUC_S *)p->lane_coef + j;
    return (LUC_F(norm_coef)){
        .hi = LUC_VO(load)(c),
        .lo = LUC_VO(load)(c + p->width),
        .scale = LUC_VO(load)(c + 2 * p->width),
        .bias = LUC_VO(load)(c + 3 * p->width),
        .slope = LUC_VO(load)(c + 4 * p->width),
        .shift = LUC_VO(load)(c + 5 * p->width),
    };
}

/* Pixel `pixel` in each operand. */
LUC_INLINE LUC_F(norm_row) LUC_F(norm_pixel)(const luc_norm_plan *p, int64_t pixel)
{
    int64_t at[LUC_MAX_OPERANDS];
    for (int k = 0; k < p->loop.operands; k++) at[k] = pixel * p->loop.strides[k][0];
    return LUC_F(norm_row_at)(p, at);
}

/* `pixels` further on. */
LUC_INLINE void LUC_F(norm_next)(const luc_norm_plan *p, LUC_F(norm_row) * r, int64_t pixels)
{
    r->x += pixels * p->loop.strides[0][0];
    r->out += pixels * p->loop.strides[p->out_at][0];
    if (r->dy) r->dy += pixels * p->loop.strides[1][0];
    if (r->other) r->other += pixels * p->loop.strides[p->other_at][0];
    if (r->kept) r->kept += pixels * p->loop.strides[p->kept_at][0];
}

/* Sums of rows [begin, end) into s1, s2 [width]; kind is known where this is inlined. */
LUC_INLINE void LUC_F(norm_lane_rows)(const luc_norm_plan *p, int64_t begin, int64_t end,
                                      double *s1, double *s2, luc_norm_kind kind)
{
    const bool back = kind >= LUC_NORM_DX;
    const LUC_F(norm_row) first = LUC_F(norm_pixel)(p, begin * p->group);
    int64_t sx = p->loop.strides[0][0] * p->group, sdy = p->loop.strides[1][0] * p->group;
    for (int64_t j = 0; j < p->width; j += LUC_LANES) {
        LUC_F(norm_row) r = first;
        LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(p, j);
        vd a[LUC_PARTS], b[LUC_PARTS], centre[LUC_PARTS];
        for (int k = 0; k < LUC_PARTS; k++) {
            a[k] = vd_load(s1 + j + k * LUC_VD);
            b[k] = vd_load(s2 + j + k * LUC_VD);
            centre[k] = vd_load(p->lane_centre + j + k * LUC_VD);
        }
        for (int64_t i = begin; i < end; i++, LUC_F(norm_next)(p, &r, p->group)) {
            luc_prefetch(r.x + j + 8 * sx); /* the same column of rows to come */
            if (back) luc_prefetch(r.dy + j + 8 * sdy);
            LUC_V vx = LUC_LOAD(r.x + j), vg = vx;
            if (back) vg = LUC_F(norm_cut)(r, j, LUC_LANES, vx, &c, kind);
            if (back && r.kept) LUC_STORE(r.kept + j, vg);
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
                LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(p, j);
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
    default: /* forward: all are alike */
        LUC_F(norm_lane_rows)(p, begin, end, s1, s2, LUC_NORM_Y);
    }
}

/* Block sums, folded from lanes to the first `channels` of them. */
static void LUC_F(norm_lane_sums)(void *ctx, int64_t first, int64_t last, int thread)
{
    enum { AT_ONCE = 8 }; /* rows: few enough to stay in the cache from one column to the next */
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
}

LUC_INLINE void LUC_F(norm_lane_as)(const luc_norm_plan *p, LUC_F(norm_row) r, int64_t n,
                                    luc_norm_kind kind, bool stream)
{
    int64_t j = 0;
    for (; j + LUC_LANES <= n; j += LUC_LANES) {
        LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(p, j);
        LUC_V v = LUC_F(norm_made)(r, j, LUC_LANES, &c, kind);
        if (stream)
            LUC_STREAM(r.out + j, v);
        else
            LUC_STORE(r.out + j, v);
    }
    if (j < n) {
        LUC_F(norm_coef) c = LUC_F(norm_lane_coef)(p, j);
        LUC_STORE_N(r.out + j, LUC_F(norm_made)(r, j, n - j, &c, kind), n - j);
    }
}

static void LUC_F(norm_lane_row)(const luc_norm_plan *p, LUC_F(norm_row) r, int64_t n, bool stream)
{
    if (r.kept) r.dy = r.kept;
#define NORM_LANE(k) LUC_F(norm_lane_as)(p, r, n, k, stream)
    NORM_KINDS(LUC_F(norm_out_kind)(p), NORM_LANE)
#undef NORM_LANE
}

static void LUC_F(norm_lane_out)(void *ctx, int64_t first, int64_t last, int thread)
{
    (void)thread;
    const luc_norm_plan *p = ctx;
    int64_t so = p->loop.strides[p->out_at][0] * p->group;
    for (int64_t i = first; i < last; i++) {
        int64_t block = p->blocks - 1 - i; /* what was read last is still in the cache */
        int64_t row = block * p->block_units, end = row + p->block_units;
        if (end > p->units) end = p->units;
        LUC_F(norm_row) r = LUC_F(norm_pixel)(p, row * p->group);
        bool aligned = luc_to_aligned(r.out, sizeof(LUC_T)) == 0;
        bool stream = p->stream && aligned && (size_t)so * sizeof(LUC_T) % 64 == 0;
        for (; row < end; row++, LUC_F(norm_next)(p, &r, p->group))
            LUC_F(norm_lane_row)(p, r, p->width, stream);
        if (stream) luc_stream_fence();
        for (int64_t t = 0; block == p->blocks - 1 && t < p->tail; t++) {
            LUC_F(norm_lane_row)(p, r, p->channels, false);
            LUC_F(norm_next)(p, &r, 1);
        }
    }
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* From the sums of channel c, block after block, to its coefficients. */
static void LUC_F(norm_channel)(const luc_norm_plan *p, int64_t c)
{
    double s1 = 0, s2 = 0;
    for (int64_t b = 0; b < p->blocks; b++) {
        const double *s =
            p->lanes ? p->sums + b * 2 * p->width + c : p->sums + (c * p->blocks + b) * 2;
        s1 += s[0];
        s2 += s[p->lanes ? p->width : 1];
    }
    if (p->backward) {
        luc_norm_finish_backward(p, c, s1, s2);
    } else {
        luc_norm_finish(p, c, LUC_F(norm_shift)(p, c), s1, s2);
    }
}

LUC_INLINE bool LUC_F(norm_wants_sums)(const luc_norm_plan *p)
{
    return p->count > 0 && (p->batch || (p->backward && (p->want & (2 | 4 | 8))));
}

/* Groups of channels, from sums to outputs while they are in the cache. */
static void LUC_F(norm_groups)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_norm_plan *p = ctx;
    for (int64_t c = begin * p->channel_group; begin < end; begin++, c += p->channel_group) {
        int64_t n = p->channels - c < p->channel_group ? p->channels - c : p->channel_group;
        for (int64_t b = 0; b < p->blocks; b++) LUC_F(norm_block_sum)(p, c, n, b);
        for (int64_t i = 0; i < n; i++) LUC_F(norm_channel)(p, c + i);
        /* Backwards: what was read last is still in the cache. */
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

/* Units of all channels in the order in which they lie in NCHW. */
static void LUC_F(norm_units_out)(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const luc_norm_plan *p = ctx;
    int64_t c = begin % p->channels, unit = begin / p->channels;
    for (int64_t i = begin; i < end; i++) {
        int64_t at[LUC_MAX_OPERANDS], length = LUC_F(norm_unit)(p, c, unit, at);
        LUC_F(norm_coef) coef = LUC_F(norm_coef_of)(p, c);
        LUC_F(norm_unit_out)(p, at, length, &coef);
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

/* What is known before the sums when going backward, and after them when going forward. */
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

#undef GATHER
#undef NORM_ROW
#undef NORM_KINDS
