/* step_tmpl.h: optimizer steps of one dtype (see simd/template.h), with PyTorch's formulas in
 * PyTorch's order of operations. It is included by level.c. */

#define SET(x)       LUC_VO(set1)((LUC_S)(x))
#define ADD(a, b)    LUC_VO(add)(a, b)
#define SUB(a, b)    LUC_VO(sub)(a, b)
#define MUL(a, b)    LUC_VO(mul)(a, b)
#define DIV(a, b)    LUC_VO(div)(a, b)
#define FMA(a, b, c) LUC_VO(fma)(a, b, c)

/* The gradient that the formulas use: negated if the step maximizes, with L2's decay added. */
LUC_INLINE LUC_V LUC_F(step_grad)(const luc_step *s, LUC_V p, LUC_V g)
{
    if (s->maximize) g = LUC_VO(neg)(g);
    if (s->weight_decay != 0 && !s->decoupled) g = FMA(p, SET(s->weight_decay), g);
    return g;
}

/* A moment whose gradient has become 0 decays forever, and CPUs are more than ten times slower
 * with subnormal numbers. So a moment smaller than `least` becomes 0. */
LUC_INLINE LUC_V LUC_F(step_flush)(LUC_V moment, LUC_V least)
{
    return LUC_VO(select)(LUC_VO(lt)(LUC_VO(abs)(moment), least), LUC_VO(zero)(), moment);
}

LUC_INLINE void LUC_F(sgd_some)(const luc_step *s, LUC_T *p, const LUC_T *grad, LUC_T *buffer,
                                int64_t m)
{
    LUC_V v = LUC_LOAD_SOME(p, m), g = LUC_F(step_grad)(s, v, LUC_LOAD_SOME(grad, m));
    if (buffer) {
        LUC_V b = g;
        if (!s->first)
            b = FMA(g, SET(1 - s->dampening), MUL(LUC_LOAD_SOME(buffer, m), SET(s->momentum)));
        b = LUC_F(step_flush)(b, SET(LUC_STEP_LEAST(LUC_S)));
        LUC_STORE_N(buffer, b, m);
        g = s->nesterov ? FMA(b, SET(s->momentum), g) : b;
    }
    LUC_STORE_N(p, LUC_VO(fnma)(g, SET(s->lr), v), m);
}

/* a + w (b - a), exact at both ends */
LUC_INLINE LUC_V LUC_F(step_lerp)(LUC_V a, LUC_V b, double w)
{
    LUC_V d = SUB(b, a);
    return w < 0.5 ? FMA(d, SET(w), a) : LUC_VO(fnma)(d, SET(1 - w), b);
}

/* A vector at p. Its array is prefetched further on, because the hardware's own prefetching ends
 * with a page. For SGD's three arrays that gains nothing. */
LUC_INLINE LUC_V LUC_F(step_load)(const LUC_T *p, int64_t m)
{
    enum { AHEAD = 2048 / sizeof(LUC_T) };
    luc_prefetch(p + AHEAD);
    return LUC_LOAD_SOME(p, m);
}

LUC_INLINE void LUC_F(adam_some)(const luc_step *s, LUC_T *p, const LUC_T *grad, LUC_T *mean,
                                 LUC_T *square, LUC_T *most, int64_t m)
{
    LUC_V v = LUC_F(step_load)(p, m), g = LUC_F(step_grad)(s, v, LUC_F(step_load)(grad, m));
    if (s->decoupled && s->weight_decay != 0) v = MUL(v, SET(1 - s->lr * s->weight_decay));
    LUC_V m1 = LUC_F(step_lerp)(LUC_F(step_load)(mean, m), g, 1 - s->beta1);
    LUC_V m2 = FMA(MUL(g, g), SET(1 - s->beta2), MUL(LUC_F(step_load)(square, m), SET(s->beta2)));
    const LUC_V least = SET(luc_least_under_root(s->eps, sizeof(LUC_S)));
    m1 = LUC_F(step_flush)(m1, SET(LUC_STEP_LEAST(LUC_S)));
    m2 = LUC_F(step_flush)(m2, least);
    LUC_STORE_N(mean, m1, m);
    LUC_STORE_N(square, m2, m);
    if (most) {
        m2 = LUC_VO(max)(LUC_F(step_flush)(LUC_F(step_load)(most, m), least), m2);
        LUC_STORE_N(most, m2, m);
    }
    LUC_V root = ADD(DIV(LUC_VO(sqrt)(m2), SET(s->root_correction)), SET(s->eps));
    LUC_STORE_N(p, LUC_VO(fnma)(DIV(m1, root), SET(s->step_size), v), m);
}

LUC_INLINE void LUC_F(adadelta_some)(const luc_step *s, LUC_T *p, const LUC_T *grad, LUC_T *square,
                                     LUC_T *moved, int64_t m)
{
    LUC_V v = LUC_F(step_load)(p, m), g = LUC_F(step_grad)(s, v, LUC_F(step_load)(grad, m));
    LUC_V rho = SET(s->rho), rest = SET(1 - s->rho), eps = SET(s->eps);
    LUC_V sq = FMA(MUL(g, g), rest, MUL(LUC_F(step_load)(square, m), rho));
    LUC_V acc = LUC_F(step_load)(moved, m);
    const LUC_V least = SET(luc_least_in_sum(s->eps, sizeof(LUC_S)));
    LUC_V ratio = DIV(LUC_VO(sqrt)(ADD(acc, eps)), LUC_VO(sqrt)(ADD(sq, eps)));
    LUC_V delta = MUL(ratio, g);
    LUC_STORE_N(square, LUC_F(step_flush)(sq, least), m);
    acc = FMA(MUL(delta, delta), rest, MUL(acc, rho));
    LUC_STORE_N(moved, LUC_F(step_flush)(acc, least), m);
    LUC_STORE_N(p, LUC_VO(fnma)(delta, SET(s->lr), v), m);
}

/* The loop over n elements: whole vectors first, then the rest. A constant length lets the compiler
 * turn *_n into plain loads and stores. */
#define STEPS(CALL)                                      \
    do {                                                 \
        int64_t i = 0, m = LUC_LANES;                    \
        for (; i + LUC_LANES <= n; i += LUC_LANES) CALL; \
        m = n - i;                                       \
        if (m > 0) CALL;                                 \
    } while (0)

static void LUC_F(sgd)(const luc_step *step, void *param, const void *grad, void *const *state,
                       int64_t n)
{
    const luc_step s = *step;
    LUC_T *p = param, *b = state[0];
    const LUC_T *g = grad;
    if (b)
        STEPS(LUC_F(sgd_some)(&s, p + i, g + i, b + i, m));
    else
        STEPS(LUC_F(sgd_some)(&s, p + i, g + i, NULL, m));
}

static void LUC_F(adam)(const luc_step *step, void *param, const void *grad, void *const *state,
                        int64_t n)
{
    const luc_step s = *step;
    LUC_T *p = param, *m1 = state[0], *m2 = state[1], *most = state[2];
    const LUC_T *g = grad;
    if (s.amsgrad)
        STEPS(LUC_F(adam_some)(&s, p + i, g + i, m1 + i, m2 + i, most + i, m));
    else
        STEPS(LUC_F(adam_some)(&s, p + i, g + i, m1 + i, m2 + i, NULL, m));
}

static void LUC_F(adadelta)(const luc_step *step, void *param, const void *grad, void *const *state,
                            int64_t n)
{
    const luc_step s = *step;
    LUC_T *p = param, *square = state[0], *moved = state[1];
    const LUC_T *g = grad;
    STEPS(LUC_F(adadelta_some)(&s, p + i, g + i, square + i, moved + i, m));
}

static double LUC_F(sum_squares)(const void *data, int64_t n)
{
    const LUC_T *x = data;
    vd sum[4][LUC_PARTS];
    memset(sum, 0, sizeof sum);
    for (int64_t i = 0, chain = 0; i < n; i += LUC_LANES, chain = (chain + 1) & 3) {
        LUC_V v = n - i >= LUC_LANES ? LUC_LOAD(x + i) : LUC_LOAD_N(x + i, n - i);
        for (int k = 0; k < LUC_PARTS; k++) {
            vd d = LUC_PART(v, k);
            sum[chain][k] = vd_fma(d, d, sum[chain][k]);
        }
    }
    vd all = vd_zero();
    for (int k = 0; k < LUC_PARTS; k++)
        all = vd_add(all, vd_add(vd_add(sum[0][k], sum[1][k]), vd_add(sum[2][k], sum[3][k])));
    return vd_sum(all);
}

/* x - x is 0 for every finite number and NaN otherwise, and a sum keeps the NaN. It is taken of the
 * result as it is stored, because a finite gradient can overflow if the scale is small. */
static bool LUC_F(unscale)(void *data, double factor, int64_t n)
{
    LUC_T *x = data;
    LUC_V f = SET(factor), check[2] = {SET(0), SET(0)};
    for (int64_t i = 0; i < n; i += LUC_LANES) {
        int64_t m = n - i < LUC_LANES ? n - i : LUC_LANES;
        LUC_V v = MUL(LUC_LOAD_SOME(x + i, m), f);
        LUC_STORE_N(x + i, v, m);
        if (sizeof *x == 2) v = LUC_LOAD_SOME(x + i, m); /* rounded: shows an overflow */
        check[i / LUC_LANES & 1] = ADD(check[i / LUC_LANES & 1], SUB(v, v));
    }
    LUC_S sum = LUC_VO(sum)(ADD(check[0], check[1]));
    return sum == sum;
}

#undef SET
#undef ADD
#undef SUB
#undef MUL
#undef DIV
#undef FMA
#undef STEPS
