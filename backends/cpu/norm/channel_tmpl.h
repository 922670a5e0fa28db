/* channel_tmpl.h: batch normalisation of one dtype (see simd/template.h): the computation of an
 * element, the sums, and a channel's coefficients. It is included by level.c, with
 * contiguous_tmpl.h and channels_last_tmpl.h, which are the two ways through memory
 * (norm_priv.h). */

/* ---- an element ---------------------------------------------------------------------------- */

/* Where a row of each operand begins; operands that are not given are NULL. */
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

/* The m elements from p on. m is known to be a whole vector where this is inlined with
 * LUC_LANES. */
LUC_INLINE LUC_V LUC_F(norm_load)(const LUC_T *p, int64_t m)
{
    return m == LUC_LANES ? LUC_LOAD(p) : LUC_LOAD_N(p, m);
}

/* The same for x. The missing elements must not be zeros, which are far from a channel's mean and
 * could overflow. */
LUC_INLINE LUC_V LUC_F(norm_load_x)(const LUC_T *p, int64_t m)
{
    return m == LUC_LANES ? LUC_LOAD(p) : LUC_LOAD_SOME(p, m);
}

LUC_INLINE LUC_V LUC_F(norm_centred)(LUC_V x, const LUC_F(norm_coef) * c)
{
    return LUC_VO(sub)(LUC_VO(sub)(x, c->hi), c->lo);
}

/* dy at j, or 0 where ReLU's output was not above 0 (a NaN lets dy pass). */
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
    LUC_V d = LUC_F(norm_centred)(LUC_F(norm_load_x)(r.x + j, m), c);
    LUC_V y = LUC_VO(fma)(d, c->scale, c->bias);
    if (kind == LUC_NORM_Y_ADD || kind == LUC_NORM_Y_ADD_RELU)
        y = LUC_VO(add)(y, LUC_F(norm_load)(r.other + j, m));
    bool relu = kind == LUC_NORM_Y_RELU || kind == LUC_NORM_Y_ADD_RELU;
    return relu ? LUC_VO(max)(LUC_VO(zero)(), y) : y; /* in this order of arguments a NaN stays */
}

LUC_INLINE LUC_V LUC_F(norm_dx)(LUC_F(norm_row) r, int64_t j, int64_t m, const LUC_F(norm_coef) * c,
                                luc_norm_kind kind)
{
    LUC_V x = LUC_F(norm_load_x)(r.x + j, m), dy = LUC_F(norm_cut)(r, j, m, x, c, kind);
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

/* Two sums in double over vectors. Each has several chains, because an addition waits for the one
 * before it. */
enum { LUC_F(NORM_CHAINS) = 4 / LUC_PARTS };

typedef struct LUC_F(norm_sum) {
    vd s1[LUC_F(NORM_CHAINS)][LUC_PARTS], s2[LUC_F(NORM_CHAINS)][LUC_PARTS];
} LUC_F(norm_sum);

LUC_INLINE void LUC_F(norm_sum_begin)(LUC_F(norm_sum) * s)
{
    for (int i = 0; i < LUC_F(NORM_CHAINS); i++)
        for (int k = 0; k < LUC_PARTS; k++) s->s1[i][k] = s->s2[i][k] = vd_zero();
}

/* Adds the sums of a row. They are taken apart first: one long chain of additions loses more than
 * several short ones. */
LUC_INLINE void LUC_F(norm_sum_add)(LUC_F(norm_sum) * to, const LUC_F(norm_sum) * s)
{
    for (int i = 0; i < LUC_F(NORM_CHAINS); i++)
        for (int k = 0; k < LUC_PARTS; k++) {
            to->s1[i][k] = vd_add(to->s1[i][k], s->s1[i][k]);
            to->s2[i][k] = vd_add(to->s2[i][k], s->s2[i][k]);
        }
}

LUC_INLINE void LUC_F(norm_sum_end)(const LUC_F(norm_sum) * s, double *sums)
{
    vd a = vd_zero(), b = vd_zero();
    for (int i = 0; i < LUC_F(NORM_CHAINS); i += 2)
        for (int k = 0; k < LUC_PARTS; k++) {
            a = vd_add(a, vd_add(s->s1[i][k], s->s1[i + 1][k]));
            b = vd_add(b, vd_add(s->s2[i][k], s->s2[i + 1][k]));
        }
    sums[0] = vd_sum(a);
    sums[1] = vd_sum(b);
}

/* Adds d and d * d, d = x - shift. */
LUC_INLINE void LUC_F(norm_term)(LUC_F(norm_sum) * s, int chain, LUC_V x, vd shift)
{
    for (int k = 0; k < LUC_PARTS; k++) {
        vd d = vd_sub(LUC_PART(x, k), shift);
        s->s1[chain][k] = vd_add(s->s1[chain][k], d);
        s->s2[chain][k] = vd_fma(d, d, s->s2[chain][k]);
    }
}

/* Adds dy and dy * (x - mean). */
LUC_INLINE void LUC_F(norm_grad_term)(LUC_F(norm_sum) * s, int chain, LUC_V x, LUC_V dy, vd mean)
{
    for (int k = 0; k < LUC_PARTS; k++) {
        vd d = vd_sub(LUC_PART(x, k), mean), g = LUC_PART(dy, k);
        s->s1[chain][k] = vd_add(s->s1[chain][k], g);
        s->s2[chain][k] = vd_fma(g, d, s->s2[chain][k]);
    }
}

/* Replaces the lanes from m on by `fill`, a value whose term is zero. */
LUC_INLINE LUC_V LUC_F(norm_load_n)(const LUC_T *x, int64_t m, LUC_V fill)
{
    return LUC_VO(select)(LUC_FIRST(m), LUC_LOAD_N(x, m), fill);
}

/* ---- the kinds ------------------------------------------------------------------------------- */

/* A case for each kind, in which the kind is a constant. */
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

/* The kind of the output's pass, and where this pass reads dy. */
LUC_INLINE luc_norm_kind LUC_F(norm_out_kind)(const luc_norm_plan *p)
{
    return p->kept ? LUC_NORM_DX : p->kind;
}

/* ---- channels -------------------------------------------------------------------------------- */

LUC_INLINE double LUC_F(norm_shift)(const luc_norm_plan *p, int64_t c)
{
    if (p->count == 0) return 0;
    double x = (double)LUC_GET((const LUC_T *)p->x + c * p->channel_stride[0]);
    return isfinite(x) ? x : 0;
}

/* The number that the sums are taken around. */
LUC_INLINE double LUC_F(norm_centre)(const luc_norm_plan *p, int64_t c)
{
    return p->backward ? p->mean[c] : LUC_F(norm_shift)(p, c);
}

/* Adds the sums of channel c block by block, and computes its coefficients. */
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
    return p->count > 0 && ((p->batch && !p->known) || (p->backward && (p->want & (2 | 4 | 8))));
}
