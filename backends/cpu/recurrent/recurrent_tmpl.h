/* recurrent_tmpl.h: a row of LSTM cells of one dtype (see simd/template.h); level.c includes it. */

/* n elements from p: a whole vector, or what is left. */
LUC_INLINE LUC_V LUC_F(lstm_at)(const LUC_T *p, int64_t n)
{
    return n >= LUC_LANES ? LUC_LOAD(p) : LUC_LOAD_N(p, n);
}

LUC_INLINE void LUC_F(lstm_to)(LUC_T *p, LUC_V v, int64_t n)
{
    if (n >= LUC_LANES)
        LUC_STORE(p, v);
    else
        LUC_STORE_N(p, v, n);
}

/* c = f c + i g, h = o tanh(c) */
static void LUC_F(lstm)(const luc_lstm_row *r)
{
    LUC_T *i = r->gates, *f = i + r->n, *g = f + r->n, *o = g + r->n;
    LUC_T *c = r->c, *h = r->h, *cell = r->cell, *y = r->y;
    for (int64_t k = 0; k < r->n; k += LUC_LANES) {
        const int64_t left = r->n - k;
        const LUC_V a_i = LUC_VO(sigmoid)(LUC_F(lstm_at)(i + k, left));
        const LUC_V a_f = LUC_VO(sigmoid)(LUC_F(lstm_at)(f + k, left));
        const LUC_V a_g = LUC_VO(tanh)(LUC_F(lstm_at)(g + k, left));
        const LUC_V a_o = LUC_VO(sigmoid)(LUC_F(lstm_at)(o + k, left));
        const LUC_V old = LUC_F(lstm_at)(c + k, left);
        const LUC_V state = LUC_VO(fma)(a_i, a_g, LUC_VO(mul)(a_f, old));
        const LUC_V out = LUC_VO(mul)(a_o, LUC_VO(tanh)(state));
        LUC_F(lstm_to)(i + k, a_i, left);
        LUC_F(lstm_to)(f + k, a_f, left);
        LUC_F(lstm_to)(g + k, a_g, left);
        LUC_F(lstm_to)(o + k, a_o, left);
        LUC_F(lstm_to)(c + k, state, left);
        LUC_F(lstm_to)(cell + k, state, left);
        LUC_F(lstm_to)(h + k, out, left);
        LUC_F(lstm_to)(y + k, out, left);
    }
}

/* The gradient of a sigmoid's argument: d a (1 - a). */
LUC_INLINE LUC_V LUC_F(lstm_sigmoid)(LUC_V d, LUC_V a)
{
    return LUC_VO(mul)(d, LUC_VO(fnma)(a, a, a));
}

static void LUC_F(lstm_backward)(const luc_lstm_row *r)
{
    const LUC_T *i = r->act, *f = i + r->n, *g = f + r->n, *o = g + r->n;
    const LUC_T *prev = r->prev, *next = r->next, *dy = r->dy;
    LUC_T *di = r->gates, *df = di + r->n, *dg = df + r->n, *d_o = dg + r->n;
    LUC_T *dc = r->c, *dh = r->h;
    const LUC_V one = LUC_VO(set1)(1);
    for (int64_t k = 0; k < r->n; k += LUC_LANES) {
        const int64_t left = r->n - k;
        const LUC_V a_i = LUC_F(lstm_at)(i + k, left), a_f = LUC_F(lstm_at)(f + k, left);
        const LUC_V a_g = LUC_F(lstm_at)(g + k, left), a_o = LUC_F(lstm_at)(o + k, left);
        const LUC_V tc = LUC_VO(tanh)(LUC_F(lstm_at)(next + k, left));
        LUC_V out = LUC_F(lstm_at)(dh + k, left), state = LUC_F(lstm_at)(dc + k, left);
        if (dy) out = LUC_VO(add)(out, LUC_F(lstm_at)(dy + k, left));
        state = LUC_VO(fma)(LUC_VO(mul)(out, a_o), LUC_VO(fnma)(tc, tc, one), state);
        const LUC_V before = LUC_F(lstm_at)(prev + k, left);
        LUC_F(lstm_to)(di + k, LUC_F(lstm_sigmoid)(LUC_VO(mul)(state, a_g), a_i), left);
        LUC_F(lstm_to)(df + k, LUC_F(lstm_sigmoid)(LUC_VO(mul)(state, before), a_f), left);
        LUC_F(lstm_to)
        (dg + k, LUC_VO(mul)(LUC_VO(mul)(state, a_i), LUC_VO(fnma)(a_g, a_g, one)), left);
        LUC_F(lstm_to)(d_o + k, LUC_F(lstm_sigmoid)(LUC_VO(mul)(out, tc), a_o), left);
        LUC_F(lstm_to)(dc + k, LUC_VO(mul)(state, a_f), left);
        LUC_F(lstm_to)(dh + k, LUC_VO(zero)(), left);
    }
}
