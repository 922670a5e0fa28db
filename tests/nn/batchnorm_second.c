/* Second derivatives of batch_norm, and the first ones beside them, against their formulas in long
 * double: constant channels, channels far from zero, every dtype, layout and form of the call:
 * cases 10 to 13 and 26 of BatchNorm's list. */
#include "tests/nn/batchnorm.h"

TEST_SUITE_ON_DEVICE(batchnorm);

/* ---- a case ---------------------------------------------------------------------------------- */

typedef enum channel_kind {
    ORDINARY,
    FAR,
    FAR_AND_NARROW,
    CONSTANT,
    ZERO,
    CHANNEL_KINDS
} channel_kind;

enum { MOST_CHANNELS = 4, MOST_VALUES = 2560 };

typedef struct second_case {
    int number;
    lucid_dtype dtype;
    lucid_shape shape;
    const char *layout;
    bool training, weight, bias, relu, residual, known;
    double eps;
    channel_kind kind[MOST_CHANNELS];
    double grad_mean; /* of the gradients that come in */
} second_case;

static uint64_t drawn = 1;

static uint32_t draw(uint32_t n)
{
    drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(drawn >> 33) % n;
}

static double uniform(double low, double high)
{
    return low + (high - low) * draw(1u << 30) / (double)(1u << 30);
}

static second_case draw_case(int number)
{
    static const char *const layouts[] = {"contiguous", "channels_last", "transposed", "step2"};
    static const double eps[] = {1e-5, 1e-3, 1e-8, 0};
    second_case k = {.number = number, .dtype = (lucid_dtype)(LUCID_F32 + draw(4))};
    k.shape = (lucid_shape){.ndim = 2 + (int)draw(4)};
    for (int d = 0; d < k.shape.ndim; d++) k.shape.dims[d] = 1 + draw(d == 1 ? MOST_CHANNELS : 5);
    if (k.shape.dims[0] == 1) k.shape.dims[0] = 2;
    if (k.shape.ndim <= 3 && draw(10) == 0) k.shape.dims[0] = 40;
    k.layout = layouts[draw(4)];
    k.training = draw(3) > 0;
    k.weight = draw(4) > 0;
    k.bias = draw(4) > 0;
    k.relu = draw(3) == 0;
    k.residual = draw(3) == 0;
    k.known = k.training && draw(4) == 0;
    k.eps = eps[draw(k.dtype == LUCID_F16 ? 2 : 4)];
    k.grad_mean = draw(4) ? 0 : uniform(-1000, 1000);
    for (int c = 0; c < MOST_CHANNELS; c++) k.kind[c] = (channel_kind)draw(CHANNEL_KINDS);
    return k;
}

/* Values for x by the kind of channel; with NULL normal numbers around `mean`. */
static lucid_tensor *made(const second_case *k, lucid_shape shape, lucid_dtype dtype,
                          const channel_kind *kind, double mean)
{
    static const double width[CHANNEL_KINDS] = {2, 1, 0.1, 0, 0};
    double values[MOST_VALUES], centre[MOST_CHANNELS];
    size_t n = (size_t)lucid_shape_numel(&shape);
    cr_assert(n <= MOST_VALUES);
    for (int c = 0; c < MOST_CHANNELS; c++) {
        centre[c] = mean;
        if (!kind || kind[c] == ORDINARY) continue;
        centre[c] = kind[c] == CONSTANT ? uniform(-1e5, 1e5) : draw(2) ? 1e4 : -10007.3;
        if (kind[c] == CONSTANT && dtype == LUCID_F16) centre[c] = uniform(-6e4, 6e4);
        if (kind[c] == ZERO) centre[c] = 0;
    }
    size_t inner = 1;
    for (int d = 2; d < shape.ndim; d++) inner *= (size_t)shape.dims[d];
    for (size_t i = 0; i < n; i++) {
        size_t c = shape.ndim > 1 ? i / inner % (size_t)shape.dims[1] : 0;
        double normal = uniform(-1, 1) + uniform(-1, 1) + uniform(-1, 1);
        values[i] = centre[c] + (kind ? width[kind[c]] : 1) * normal;
    }
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    lucid_tensor *t = lucid_from_doubles_opt(shape, values, n, &o);
    cr_assert(t, "%s", lucid_error());
    return lay_out(t, shape.ndim > 1 ? k->layout : "contiguous");
}

/* ---- what is computed ------------------------------------------------------------------------ */

/* The gradients, and what each of them is multiplied with before they are differentiated again. */
enum { DX, DW, DB, DR, FIRSTS };
/* With respect to x, weight and the gradient that came in. */
enum { TO_X, TO_W, TO_G, SECONDS };
static const char *const first_names[] = {"dx", "dw", "db", "dr"};
static const char *const second_names[] = {"second to x", "second to weight", "second to grad"};

typedef struct second_run {
    lucid_tensor *x, *w, *b, *r, *g, *y, *mean, *var; /* mean, var: the running ones */
    lucid_tensor *first[FIRSTS], *by[FIRSTS], *second[SECONDS];
} second_run;

static void known_statistics(const second_case *k, const lucid_tensor *x, lucid_tensor **mean,
                             lucid_tensor **var)
{
    int64_t c = k->shape.dims[1], s = 1;
    for (int d = 2; d < k->shape.ndim; d++) s *= k->shape.dims[d];
    double m[MOST_CHANNELS], v[MOST_CHANNELS], values[MOST_VALUES];
    cr_assert(lucid_to_doubles(x, values, (size_t)lucid_numel(x)));
    bn_statistics(values, k->shape.dims[0], c, s, m, v);
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = LUCID_F64;
    *mean = lucid_from_doubles_opt(LUCID_SHAPE(c), m, (size_t)c, &o);
    *var = lucid_from_doubles_opt(LUCID_SHAPE(c), v, (size_t)c, &o);
}

static void run_forward(const second_case *k, second_run *r)
{
    lucid_dtype wide = k->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    lucid_shape channels = LUCID_SHAPE(k->shape.dims[1]);
    r->x = lucid_requires_grad_(made(k, k->shape, k->dtype, k->kind, 0.5), true);
    if (k->weight) r->w = lucid_requires_grad_(made(k, channels, wide, NULL, 1), true);
    if (k->bias) r->b = lucid_requires_grad_(made(k, channels, wide, NULL, 0), true);
    if (k->residual) r->r = lucid_requires_grad_(made(k, k->shape, k->dtype, NULL, 0), true);
    r->g = lucid_requires_grad_(made(k, k->shape, k->dtype, NULL, k->grad_mean), true);
    lucid_tensor *mean = NULL, *var = NULL;
    if (k->known) known_statistics(k, r->x, &mean, &var);
    if (!k->training) {
        LUCID_NO_GRAD;
        double near[MOST_CHANNELS], values[MOST_VALUES];
        cr_assert(lucid_to_doubles(r->x, values, (size_t)lucid_numel(r->x)));
        size_t inner = 1;
        for (int d = 2; d < k->shape.ndim; d++) inner *= (size_t)k->shape.dims[d];
        for (size_t c = 0; c < (size_t)channels.dims[0]; c++)
            near[c] = values[c * inner] + uniform(-1, 1);
        lucid_tensor_options o = lucid_tensor_defaults;
        o.dtype = wide;
        r->mean = lucid_from_doubles_opt(channels, near, (size_t)channels.dims[0], &o);
        r->var = lucid_uniform_(lucid_ones_opt(channels, &o), 0.5, 2);
    }
    r->y = lucid_batch_norm(r->x, .weight = r->w, .bias = r->b, .running_mean = r->mean,
                            .running_var = r->var, .training = k->training, .eps = k->eps,
                            .residual = r->r, .relu = k->relu, .mean = mean, .var = var);
    cr_assert(r->y, "%s", lucid_error());
}

static void run_case(const second_case *k, second_run *r)
{
    run_forward(k, r);
    lucid_tensor *all[FIRSTS] = {r->x, r->w, r->b, r->r}, *in[FIRSTS], *out[FIRSTS], *by[FIRSTS];
    size_t n = 0, to = 0;
    for (int i = 0; i < FIRSTS; i++)
        if (all[i]) in[n++] = all[i];
    cr_assert(lucid_grad(&r->y, 1, in, n, out, .gradients = &r->g, .create_graph = true), "%s",
              lucid_error());
    n = 0;
    for (int i = 0; i < FIRSTS; i++) {
        if (!all[i]) continue;
        r->first[i] = out[n];
        r->by[i] = made(k, lucid_tensor_shape(out[n]), lucid_tensor_dtype(out[n]), NULL,
                        i == DX ? k->grad_mean : 0);
        by[n++] = r->by[i];
    }
    lucid_tensor *wrt[SECONDS] = {r->x, r->w, r->g}, *second[SECONDS];
    for (int i = 0; i < SECONDS; i++)
        if (wrt[i]) wrt[to++] = wrt[i];
    cr_assert(lucid_grad(out, n, wrt, to, second, .gradients = by, .allow_unused = true), "%s",
              lucid_error());
    r->second[TO_X] = second[0];
    r->second[TO_W] = r->w ? second[1] : NULL;
    r->second[TO_G] = second[to - 1];
}

/* ---- the truth ------------------------------------------------------------------------------- */

/* A channel's numbers; u, p, q, t are what dx, dw, db and dr are multiplied with. */
typedef struct truth {
    size_t n;
    long double x[MOST_VALUES], g[MOST_VALUES], u[MOST_VALUES], t[MOST_VALUES];
    bool cut[MOST_VALUES];
    long double w, p, q, s, xh[MOST_VALUES];
    /* what is expected, and the size of the terms that are added to it */
    long double dx[MOST_VALUES], dw, db, to_x[MOST_VALUES], to_g[MOST_VALUES], to_w;
    long double dx_terms, dw_terms, db_terms, to_x_terms, to_g_terms, to_w_terms;
} truth;

static long double mean_of(const truth *c, const long double *a, const long double *b)
{
    long double sum = 0;
    for (size_t i = 0; i < c->n; i++) sum += b ? a[i] * b[i] : a[i];
    return sum / (long double)c->n;
}

static long double most_of(const truth *c, const long double *a, long double around)
{
    long double most = 0;
    for (size_t i = 0; i < c->n; i++) most = fmaxl(most, fabsl(a[i] - around));
    return most;
}

static void normalise_truth(truth *c, const second_case *k, double mean, double var)
{
    long double m = mean, v = var;
    if (k->training) {
        m = mean_of(c, c->x, NULL), v = 0;
        for (size_t i = 0; i < c->n; i++) v += (c->x[i] - m) * (c->x[i] - m);
        v /= (long double)c->n;
    }
    bool flat = k->training && most_of(c, c->x, c->x[0]) == 0;
    if (flat) m = c->x[0], v = 0;
    c->s = flat && k->eps == 0 ? 0 : 1 / sqrtl(v + (long double)k->eps);
    for (size_t i = 0; i < c->n; i++) c->xh[i] = (c->x[i] - m) * c->s;
}

/* With ReLU's cut in g (and in u's way to g). */
static void first_truth(truth *c, const second_case *k)
{
    long double n = (long double)c->n, mg = mean_of(c, c->g, NULL), gx = mean_of(c, c->g, c->xh);
    c->dw = n * gx;
    c->db = n * mg;
    for (size_t i = 0; i < c->n; i++) {
        c->dx[i] = c->w * c->s * (k->training ? c->g[i] - mg - c->xh[i] * gx : c->g[i]);
        c->dw_terms += fabsl(c->g[i] * c->xh[i]);
        c->db_terms += fabsl(c->g[i]);
    }
    /* The kernels hold the mean of g in the dtype that they compute in. */
    long double terms = most_of(c, c->g, 0);
    if (k->training) terms += fabsl(gx) * most_of(c, c->xh, 0);
    c->dx_terms = fabsl(c->w * c->s) * terms;
    if (k->dtype != LUCID_F64) return;
    /* Forward rounds the mean to float64, which shows where it is large beside the deviation. */
    long double far = 1 + 1e-4L * most_of(c, c->x, 0) * c->s;
    c->dx_terms *= far, c->dw_terms *= far;
}

/* The derivative of sum(u dx) + p dw + q db: each line is a term of the product rule. */
static void second_truth(truth *c, const second_case *k)
{
    long double n = (long double)c->n, ws = c->w * c->s;
    long double mg = mean_of(c, c->g, NULL), gx = mean_of(c, c->g, c->xh);
    long double mu = mean_of(c, c->u, NULL), ux = mean_of(c, c->u, c->xh);
    long double gu = mean_of(c, c->g, c->u), inner = k->training ? gu - mu * mg - ux * gx : gu;
    c->to_w = n * c->s * inner;
    c->to_w_terms = n * c->s * (fabsl(gu) + fabsl(mu * mg) + fabsl(ux * gx));
    long double h[MOST_VALUES], size = 0, g_size = 0;
    for (size_t i = 0; i < c->n; i++) {
        long double project = k->training ? c->u[i] - mu - c->xh[i] * ux : c->u[i];
        c->to_g[i] = ws * project + c->p * c->xh[i] + c->q;
        h[i] = c->p * c->g[i];
        if (k->training) h[i] -= ws * (c->u[i] * gx + c->g[i] * ux);
        g_size = fmaxl(g_size, fabsl(ws * c->u[i]) + fabsl(ws * c->xh[i] * ux) +
                                   fabsl(c->p * c->xh[i]) + fabsl(c->q));
        size = fmaxl(size,
                     fabsl(c->p * c->g[i]) + fabsl(ws * c->u[i] * gx) + fabsl(ws * c->g[i] * ux));
    }
    long double mh = mean_of(c, h, NULL), hx = mean_of(c, h, c->xh);
    for (size_t i = 0; i < c->n; i++) {
        c->to_x[i] = c->s * h[i];
        if (k->training)
            c->to_x[i] = c->s * (h[i] - mh - c->xh[i] * hx) - ws * c->s * c->xh[i] * inner;
    }
    c->to_g_terms = g_size;
    c->to_x_terms = c->s * (size + fabsl(ws) * (fabsl(gu) + fabsl(mu * mg)));
}

/* ---- the comparison -------------------------------------------------------------------------- */

/* The largest errors, in parts of what is allowed: LUCID_TEST_WORST prints them. */
static double worst[LUCID_DTYPE_COUNT][FIRSTS + SECONDS];

static void expect_truth(const second_case *k, int which, lucid_dtype dtype, double got,
                         long double want, long double limit)
{
    const char *name = which < FIRSTS ? first_names[which] : second_names[which - FIRSTS];
    double *most = &worst[dtype][which];
    static const double largest[LUCID_DTYPE_COUNT] = {
        [LUCID_F32] = 3e38, [LUCID_F64] = 1e308, [LUCID_F16] = 65000, [LUCID_BF16] = 3e38};
    if (fabsl(want) > largest[dtype] && fabs(got) >= largest[dtype]) return;
    double error = fabs((double)(got - want)), part = limit > 0 ? error / (double)limit : error;
    if (isnan(got) || (limit == 0 && error > 0)) part = INFINITY;
    *most = fmax(*most, part);
    if (part <= 1) return;
    char sizes[128];
    cr_expect(false,
              "case %d: %s %s, %s, %s, eps %g%s%s%s%s%s: %s: expected %.10Lg, got %.10g (%.3g of "
              "what is allowed)",
              k->number, lucid_dtype_name(k->dtype),
              lucid_shape_format(&k->shape, sizes, sizeof sizes), k->layout,
              k->training ? "train" : "eval", k->eps, k->weight ? ", weight" : "",
              k->bias ? ", bias" : "", k->relu ? ", relu" : "", k->residual ? ", residual" : "",
              k->known ? ", known" : "", name, want, got, part);
}

/* 3e-6 of the largest in float32, and for what cancels a part of the terms: 1e-11 in the second
 * derivative, which is computed in float64. */
static long double limit_of(lucid_dtype dtype, long double most, long double terms, bool second)
{
    static const double relative[LUCID_DTYPE_COUNT] = {
        [LUCID_F32] = 3e-6, [LUCID_F64] = 1e-11, [LUCID_F16] = 0x1p-10, [LUCID_BF16] = 0x1p-7};
    static const double smallest[LUCID_DTYPE_COUNT] = {
        [LUCID_F32] = 0x1p-126, [LUCID_F64] = 0, [LUCID_F16] = 0x1p-24, [LUCID_BF16] = 0x1p-126};
    long double limit = second ? relative[dtype] * most + 1e-11L * terms : relative[dtype] * terms;
    return limit + smallest[dtype];
}

static void compare_channel(const second_case *k, const second_run *r, const truth *c, size_t ch,
                            size_t inner, double *const *first, double *const *second)
{
    lucid_dtype own = k->dtype, wide = own == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    size_t channels = (size_t)k->shape.dims[1];
    long double most_x = most_of(c, c->to_x, 0), most_g = most_of(c, c->to_g, 0);
    for (size_t i = 0; i < c->n; i++) {
        size_t at = (i / inner * channels + ch) * inner + i % inner;
        expect_truth(k, DX, own, first[DX][at], c->dx[i], limit_of(own, 0, c->dx_terms, false));
        if (r->r) expect_truth(k, DR, own, first[DR][at], c->g[i], 0);
        if (second[TO_X])
            expect_truth(k, FIRSTS + TO_X, own, second[TO_X][at], c->to_x[i],
                         limit_of(own, most_x, c->to_x_terms, true));
        long double to_g = c->cut[i] ? 0 : c->to_g[i] + (r->r ? c->t[i] : 0);
        expect_truth(k, FIRSTS + TO_G, own, second[TO_G][at], to_g,
                     limit_of(own, most_g + (r->r ? 3 : 0), c->to_g_terms, true));
    }
    if (r->w) {
        expect_truth(k, DW, wide, first[DW][ch], c->dw, limit_of(wide, 0, c->dw_terms, false));
        expect_truth(k, FIRSTS + TO_W, wide, second[TO_W][ch], c->to_w,
                     limit_of(wide, fabsl(c->to_w), c->to_w_terms, true));
    }
    if (r->b)
        expect_truth(k, DB, wide, first[DB][ch], c->db, limit_of(wide, 0, c->db_terms, false));
}

static double *doubles_or_null(lucid_tensor *t)
{
    return t ? bn_doubles(t) : NULL;
}

static void compare_case(const second_case *k, const second_run *r)
{
    double *x = bn_doubles(r->x), *y = bn_doubles(r->y), *g = bn_doubles(r->g),
           *first[FIRSTS] = {0}, *by[FIRSTS] = {0}, *second[SECONDS] = {0};
    double *w = doubles_or_null(r->w), *mean = doubles_or_null(r->mean),
           *var = doubles_or_null(r->var);
    for (int i = 0; i < FIRSTS; i++) {
        first[i] = doubles_or_null(r->first[i]);
        by[i] = doubles_or_null(r->by[i]);
    }
    for (int i = 0; i < SECONDS; i++) second[i] = doubles_or_null(r->second[i]);
    size_t channels = (size_t)k->shape.dims[1], inner = 1;
    for (int d = 2; d < k->shape.ndim; d++) inner *= (size_t)k->shape.dims[d];
    for (size_t ch = 0; ch < channels; ch++) {
        truth *c = calloc(1, sizeof *c);
        cr_assert(c);
        c->n = (size_t)k->shape.dims[0] * inner;
        c->w = w ? w[ch] : 1;
        c->p = by[DW] ? by[DW][ch] : 0;
        c->q = by[DB] ? by[DB][ch] : 0;
        for (size_t i = 0; i < c->n; i++) {
            size_t at = (i / inner * channels + ch) * inner + i % inner;
            c->cut[i] = k->relu && !(y[at] > 0);
            c->x[i] = x[at];
            c->g[i] = c->cut[i] ? 0 : g[at];
            c->u[i] = by[DX][at];
            c->t[i] = by[DR] ? by[DR][at] : 0;
        }
        normalise_truth(c, k, mean ? mean[ch] : 0, var ? var[ch] : 1);
        first_truth(c, k);
        second_truth(c, k);
        compare_channel(k, r, c, ch, inner, first, second);
        free(c);
    }
    for (int i = 0; i < FIRSTS; i++) free(first[i]), free(by[i]);
    for (int i = 0; i < SECONDS; i++) free(second[i]);
    free(x), free(y), free(g), free(w), free(mean), free(var);
}

Test(batchnorm, second_derivatives_of_1000_random_cases)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (int i = 0; i < (test_is_slow() ? 60 : 1000); i++) {
        LUCID_SCOPE;
        drawn = (uint64_t)i + 1;
        for (int k = 0; k < 4; k++) draw(2);
        second_case k = draw_case(i);
        second_run r = {0};
        run_case(&k, &r);
        compare_case(&k, &r);
    }
    for (int d = LUCID_F32; getenv("LUCID_TEST_WORST") && d <= LUCID_BF16; d++)
        for (int i = 0; i < FIRSTS + SECONDS; i++)
            fprintf(stderr, "%s, %s: at most %.3g of what is allowed\n",
                    lucid_dtype_name((lucid_dtype)d),
                    i < FIRSTS ? first_names[i] : second_names[i - FIRSTS], worst[d][i]);
}

/* ---- what is exact, what is empty, what comes third ------------------------------------------ */

/* dw = sum(g xh), so that its derivative by g is the normalised x. */
static lucid_tensor *normalised_by_derivative(lucid_tensor *x, double eps)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = lucid_tensor_dtype(x) == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    lucid_tensor *w = lucid_requires_grad_(lucid_ones_opt(LUCID_SHAPE(lucid_size(x, 1)), &o), true);
    o.dtype = lucid_tensor_dtype(x);
    lucid_tensor *g = lucid_requires_grad_(lucid_ones_opt(lucid_tensor_shape(x), &o), true);
    lucid_tensor *y = lucid_batch_norm(x, .weight = w, .training = true, .eps = eps), *dw, *xh;
    cr_assert(lucid_grad(&y, 1, &w, 1, &dw, .gradients = &g, .create_graph = true) &&
                  lucid_grad(&dw, 1, &g, 1, &xh),
              "%s", lucid_error());
    return xh;
}

Test(batchnorm, a_constant_channel_stays_0_in_second_derivatives)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    static const double constants[] = {10007.3, 123456.789, -0.1, 1e-30, 3e7},
                        eps[] = {1e-5, 1e-12, 0};
    drawn = 5;
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int i = 0; i < (test_is_slow() ? 60 : 600); i++) {
            LUCID_SCOPE;
            lucid_tensor_options o = lucid_tensor_defaults;
            o.dtype = (lucid_dtype)dtype;
            double value = i < 5 ? constants[i] : uniform(-1e5, 1e5);
            if (dtype == LUCID_F16 && fabs(value) > 65000) value = 65000;
            lucid_tensor *x = lucid_full_opt(LUCID_SHAPE(3 + i % 6, 1), value, &o);
            double *xh = bn_doubles(normalised_by_derivative(x, eps[i % 3]));
            for (int k = 0; k < 3 + i % 6; k++)
                cr_expect_eq(xh[k], 0, "%s, %d values of %.9g, eps %g: expected 0, got %g",
                             lucid_dtype_name(o.dtype), 3 + i % 6, value, eps[i % 3], xh[k]);
            free(xh);
        }
}

Test(batchnorm, second_derivatives_of_an_empty_batch)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    static const double eps[] = {1e-5, 0};
    for (int i = 0; i < 2; i++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_requires_grad_(lucid_zeros((0, 3, 2, 2)), true);
        lucid_tensor *w = lucid_requires_grad_(lucid_ones((3)), true);
        lucid_tensor *g = lucid_requires_grad_(lucid_zeros((0, 3, 2, 2)), true), *dx, *second[2];
        lucid_tensor *both[2] = {w, g};
        lucid_tensor *y = lucid_batch_norm(x, .weight = w, .training = true, .eps = eps[i]);
        cr_assert(lucid_grad(&y, 1, &x, 1, &dx, .gradients = &g, .create_graph = true) &&
                      lucid_grad(&dx, 1, both, 2, second, .gradients = &g),
                  "%s", lucid_error());
        EXPECT_VALUES(second[0], 0, 0, {0, 0, 0});
        EXPECT_SHAPE(second[1], 0, 3, 2, 2);
    }
}

typedef struct third_case {
    bool training, relu;
    lucid_tensor *mean, *var;
} third_case;

/* (x, weight, grad) -> (dx, dw) */
static bool gradients_of(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                         void *user)
{
    const third_case *k = user;
    lucid_tensor *y =
        lucid_batch_norm(in[0], .weight = in[1], .running_mean = k->mean, .running_var = k->var,
                         .training = k->training, .momentum = 0, .relu = k->relu);
    *n_out = 2;
    return n == 3 && y && lucid_grad(&y, 1, in, 2, out, .gradients = &in[2], .create_graph = true);
}

Test(batchnorm, third_derivatives)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(3);
    for (int i = 0; i < 4; i++) {
        LUCID_SCOPE;
        lucid_shape shape = LUCID_SHAPE(3, 2, 2), channels = LUCID_SHAPE(2);
        lucid_tensor *in[3] = {bn_normal(shape, LUCID_F64, 1, 2),
                               bn_normal(channels, LUCID_F64, 1, 1),
                               bn_normal(shape, LUCID_F64, 0.5, 1)};
        for (int k = 0; k < 3; k++) lucid_requires_grad_(in[k], true);
        third_case k = {.training = i & 1, .relu = i & 2};
        if (!k.training) {
            k.mean = bn_normal(channels, LUCID_F64, 0, 1);
            k.var = lucid_uniform_(bn_normal(channels, LUCID_F64, 0, 1), 0.5, 2);
        }
        cr_expect(lucid_gradgradcheck(gradients_of, &k, in, 3, NULL), "%d: %s", i, lucid_error());
        lucid_clear_error();
    }
}

/* The third derivatives to x, weight and grad; numbers that float32 holds, x moved by `shift`. */
static void third_of(lucid_dtype dtype, double shift, lucid_tensor **third)
{
    enum { N = 6 };
    lucid_shape shape = LUCID_SHAPE(N, 2), channels = LUCID_SHAPE(2);
    double values[5][2 * N];
    drawn = 77;
    for (int t = 0; t < 5; t++)
        for (int i = 0; i < 2 * N; i++) {
            values[t][i] = (double)draw(2048) / 512 - 2;
            /* the second channel is constant */
            if (t == 0) values[t][i] = shift + (i % 2 ? 1 : values[t][i]);
        }
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    lucid_tensor *t[5], *p[2];
    for (int i = 0; i < 5; i++) t[i] = lucid_from_doubles_opt(shape, values[i], 2 * N, &o);
    for (int i = 0; i < 2; i++) p[i] = lucid_from_doubles_opt(channels, values[i + 1], 2, &o);
    lucid_tensor *in[3] = {t[0], p[0], t[1]}, *first[2], *second[3];
    lucid_tensor *by_first[2] = {t[2], p[1]}, *by_second[3] = {t[3], p[1], t[4]};
    for (int i = 0; i < 3; i++) lucid_requires_grad_(in[i], true);
    third_case k = {.training = true};
    size_t n;
    cr_assert(
        gradients_of(in, 3, first, &n, &k) &&
            lucid_grad(first, 2, in, 3, second, .create_graph = true, .gradients = by_first) &&
            lucid_grad(second, 3, in, 3, third, .gradients = by_second),
        "%s", lucid_error());
}

Test(batchnorm, third_derivatives_far_from_zero)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    LUCID_SCOPE;
    lucid_tensor *near[3], *far[3];
    third_of(LUCID_F64, 0, near);
    third_of(LUCID_F32, 10000, far);
    for (int i = 0; i < 3; i++) {
        size_t n = (size_t)lucid_numel(near[i]);
        double *want = bn_doubles(near[i]), *got = bn_doubles(far[i]);
        for (size_t c = 0; c < 2; c++) {
            double most = 0;
            for (size_t k = c; k < n; k += 2) most = fmax(most, fabs(want[k]));
            for (size_t k = c; k < n; k += 2)
                cr_expect(fabs(got[k] - want[k]) <= 3e-6 * most, "%s, %zu: expected %.9g, got %.9g",
                          second_names[i], k, want[k], got[k]);
        }
        free(want), free(got);
    }
}

/* A second derivative in training or in evaluation; false after an error. */
static bool second_sum(bool training, double *sum)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_requires_grad_(lucid_randn((4, 2)), true);
    lucid_tensor *w = lucid_requires_grad_(lucid_full((2), 3), true);
    lucid_tensor *g = lucid_requires_grad_(lucid_randn((4, 2)), true), *dx = NULL, *second[3];
    lucid_tensor *mean = lucid_zeros((2)), *var = lucid_ones((2)), *in[3] = {x, w, g}, *first[2];
    if (!w || !mean || !var) return false; /* batch_norm takes NULL for what is not there */
    lucid_tensor *y = lucid_batch_norm(x, .weight = w, .running_mean = mean, .running_var = var,
                                       .training = training, .momentum = 0, .relu = true);
    if (!y || !lucid_grad(&y, 1, in, 2, first, .gradients = &g, .create_graph = true)) return false;
    dx = lucid_mul(first[0], first[0]);
    lucid_tensor *loss = lucid_add(lucid_sum(dx), lucid_sum(first[1]));
    if (!loss || !lucid_grad(&loss, 1, in, 3, second)) return false;
    *sum = 0;
    for (int i = 0; i < 3; i++) {
        double values[8];
        if (!lucid_to_doubles(second[i], values, i == 1 ? 2 : 8)) return false;
        for (int k = 0; k < (i == 1 ? 2 : 8); k++) *sum += (i + 1) * values[k];
    }
    return true;
}

Test(batchnorm, every_allocation_of_a_second_derivative_fails_once)
{
    if (test_is_slow()) return;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (int training = 0; training < 2; training++) {
        double right = 0, sum = 0;
        lucid_manual_seed(9);
        cr_assert(second_sum(training, &right), "%s", lucid_error());
        uint64_t nth = 1;
        for (bool done = false; !done && nth < 10000; nth++) {
            lucid_manual_seed(9);
            lucid_memory_fail_nth(nth);
            bool ok = second_sum(training, &sum);
            done = lucid_memory_fail_count() < nth;
            lucid_memory_fail_nth(0);
            cr_expect(ok == done, "allocation %llu: no error", (unsigned long long)nth);
            cr_expect(!ok || sum == right, "allocation %llu: %g, not %g", (unsigned long long)nth,
                      sum, right);
            lucid_clear_error();
        }
        cr_expect(nth > 100, "only %llu allocations", (unsigned long long)nth);
    }
}
