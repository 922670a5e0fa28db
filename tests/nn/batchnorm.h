/* batchnorm.h: what the tests of BatchNorm's numbered cases share: PyTorch's vectors by case, and a
 * truth in double, computed here from the definition. */
#ifndef TESTS_NN_BATCHNORM_H
#define TESTS_NN_BATCHNORM_H

#include "lucid/core/random.h"
#include "tests/nn/steps.h"

/* ---- PyTorch's values ------------------------------------------------------------------------ */

static inline lucid_tensor *bn_role(const steps_case *s, const char *role)
{
    char name[256];
    snprintf(name, sizeof name, "%s/%s", s->tensors, role);
    return vectors_has(s->v, name) ? vectors_tensor(s->v, name) : NULL;
}

static inline void bn_near(const steps_case *s, const char *role, lucid_tensor *got)
{
    lucid_tensor *expected = bn_role(s, role);
    if (!expected) return;
    char what[300];
    snprintf(what, sizeof what, "%s: %s", s->name, role);
    expect_near(what, got, expected, steps_tolerance(lucid_tensor_dtype(got)), 1);
}

/* The functional form: op=batch_norm. */
static inline void bn_run_functional(const steps_case *s, const vectors_case *c)
{
    LUCID_SCOPE;
    const char *buffers = vectors_get(c, "buffer_layout");
    lucid_tensor *x = lay_out(bn_role(s, "in0"), s->layout), *w = bn_role(s, "param.weight"),
                 *b = bn_role(s, "param.bias"), *mean = bn_role(s, "buffer.running_mean"),
                 *var = bn_role(s, "buffer.running_var"), *dy = bn_role(s, "grad_out");
    if (buffers && mean) mean = lay_out(mean, buffers);
    if (buffers && var) var = lay_out(var, buffers);
    lucid_requires_grad_(x, true);
    if (w) lucid_requires_grad_(w, true);
    if (b) lucid_requires_grad_(b, true);
    bool second = vectors_bool(c, "second", false);
    if (second && dy) lucid_requires_grad_(dy, true);
    lucid_tensor *y = lucid_batch_norm(
        x, .weight = w, .bias = b, .running_mean = mean, .running_var = var,
        .training = vectors_bool(c, "training", true), .eps = vectors_double(c, "eps", 1e-5),
        .momentum = vectors_double(c, "momentum", 0.1));
    cr_assert(y, "%s: %s", s->name, lucid_error());
    bn_near(s, "out", y);
    if (mean) bn_near(s, "after.buffer.running_mean", mean);
    if (var) bn_near(s, "after.buffer.running_var", var);
    if (!dy) return;
    lucid_tensor *in[3] = {x}, *grads[3] = {0};
    const char *const roles[3] = {"grad_in0", "grad.weight", "grad.bias"};
    const char *kept[3] = {roles[0]};
    size_t n = 1;
    if (w) kept[n] = roles[1], in[n++] = w;
    if (b) kept[n] = roles[2], in[n++] = b;
    cr_assert(lucid_grad(&y, 1, in, n, grads, .gradients = &dy, .create_graph = second), "%s: %s",
              s->name, lucid_error());
    for (size_t i = 0; i < n; i++) bn_near(s, kept[i], grads[i]);
    if (!second) return;
    const char *const weights[3] = {"v.in0", "v.weight", "v.bias"};
    lucid_tensor *g = NULL;
    for (size_t i = 0; i < n; i++) {
        lucid_tensor *v = bn_role(s, weights[i]);
        lucid_tensor *term = lucid_sum(lucid_mul(v, grads[i]));
        g = g ? lucid_add(g, term) : term;
    }
    lucid_tensor *to[3] = {x, w, dy}, *seconds[3];
    cr_assert(lucid_grad(&g, 1, to, 3, seconds, .allow_unused = true), "%s: %s", s->name,
              lucid_error());
    const char *const names[3] = {"grad2.in0", "grad2.weight", "grad2.grad_out"};
    for (int i = 0; i < 3; i++) {
        lucid_tensor *expected = bn_role(s, names[i]);
        if (!expected) continue;
        if (!seconds[i]) seconds[i] = lucid_mul_scalar(to[i], 0); /* unused: a zero */
        bn_near(s, names[i], seconds[i]);
    }
}

/* Runs the cases of the file whose names begin so, and asserts that there are at least `least`. */
static inline void bn_vectors(const char *begin, int least)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    vectors *v = vectors_open("batchnorm");
    int cases = 0;
    for (const vectors_case *c; (c = vectors_next(v));) {
        if (strncmp(vectors_name(c), begin, strlen(begin)) != 0) continue;
        steps_case s;
        steps_read(&s, v, c);
        cases++;
        if (!s.module)
            bn_run_functional(&s, c);
        else if (s.expect_error)
            steps_run_error(&s);
        else if (!s.values[0])
            steps_run(&s);
        lucid_module_free(s.module);
    }
    cr_expect(cases >= least, "%s: only %d cases", begin, cases);
    vectors_close(v);
}

/* ---- the truth ------------------------------------------------------------------------------- */

/* One run of BatchNorm: functional or module, in one dtype, layout and mode. */
typedef struct bn_run {
    lucid_dtype dtype;
    const char *layout;
    bool functional, training, keep; /* keep: the caller looks at what is left here */
    lucid_shape shape;
    double mean, std, eps, momentum;
    bool no_weight, no_bias; /* functional only */
    double tolerance;        /* 0: the dtype's */
    /* what came out, in the caller's scope */
    lucid_tensor *x, *y, *w, *b, *running_mean, *running_var;
} bn_run;

static inline bn_run bn_default(void)
{
    return (bn_run){.dtype = LUCID_F32,
                    .layout = "contiguous",
                    .training = true,
                    .shape = LUCID_SHAPE(4, 3, 5, 6),
                    .mean = 0.5,
                    .std = 2,
                    .eps = 1e-5,
                    .momentum = 0.1};
}

static inline double *bn_doubles(lucid_tensor *t)
{
    size_t n = (size_t)lucid_numel(t);
    double *p = calloc(n + 1, sizeof *p);
    cr_assert(p && lucid_to_doubles(t, p, n), "%s", lucid_error());
    return p;
}

static inline void bn_close(const bn_run *r, const char *what, lucid_tensor *got,
                            const double *truth, size_t n, double limit)
{
    cr_assert(got, "%s: NULL: %s", what, lucid_error());
    cr_assert((size_t)lucid_numel(got) == n, "%s: %lld elements", what,
              (long long)lucid_numel(got));
    double *g = bn_doubles(got), scale = 1;
    for (size_t i = 0; i < n; i++)
        if (isfinite(truth[i]) && fabs(truth[i]) > scale) scale = fabs(truth[i]);
    for (size_t i = 0; i < n; i++)
        if (!testing_close(g[i], truth[i], 0, limit * scale)) {
            cr_expect(false, "%s, %s, %s, %s, %s[%zu]: expected %.12g, got %.12g (scale %.3g)",
                      lucid_dtype_name(r->dtype), r->layout,
                      r->functional ? "functional" : "module", r->training ? "train" : "eval", what,
                      i, truth[i], g[i], scale);
            break;
        }
    free(g);
}

/* E and Var of every channel, biased, in two passes. */
static inline void bn_statistics(const double *x, int64_t n, int64_t c, int64_t s, double *mean,
                                 double *var)
{
    for (int64_t k = 0; k < c; k++) {
        long double sum = 0, square = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < s; j++) sum += x[(i * c + k) * s + j];
        long double m = sum / (long double)(n * s);
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < s; j++) {
                long double d = x[(i * c + k) * s + j] - m;
                square += d * d;
            }
        mean[k] = (double)m;
        var[k] = (double)(square / (long double)(n * s));
    }
}

/* Compares y, dx, dw, db and the running statistics with the definition. */
static inline void bn_compare(bn_run *r, lucid_tensor *dy, const double *old_mean,
                              const double *old_var)
{
    int64_t n = r->shape.dims[0], c = r->shape.dims[1], s = 1;
    for (int d = 2; d < r->shape.ndim; d++) s *= r->shape.dims[d];
    size_t all = (size_t)(n * c * s), C = (size_t)c;
    double *x = bn_doubles(r->x), *g = bn_doubles(dy), *y = calloc(all + 1, sizeof *y),
           *dx = calloc(all + 1, sizeof *dx), *w = r->w ? bn_doubles(r->w) : NULL,
           *b = r->b ? bn_doubles(r->b) : NULL;
    double *mean = calloc(6 * C + 1, sizeof *mean), *var = mean + C, *dw = var + C, *db = dw + C,
           *after_mean = db + C, *after_var = after_mean + C;
    bn_statistics(x, n, c, s, mean, var);
    double count = (double)(n * s);
    for (size_t k = 0; k < C; k++) {
        after_mean[k] = (1 - r->momentum) * old_mean[k] + r->momentum * mean[k];
        after_var[k] = (1 - r->momentum) * old_var[k] + r->momentum * var[k] * count / (count - 1);
        if (!r->training) {
            mean[k] = old_mean[k], var[k] = old_var[k];
            after_mean[k] = old_mean[k], after_var[k] = old_var[k];
        }
        double invstd = 1 / sqrt(var[k] + r->eps), weight = w ? w[k] : 1;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < s; j++) {
                int64_t at = (i * c + (int64_t)k) * s + j;
                dw[k] += g[at] * (x[at] - mean[k]) * invstd;
                db[k] += g[at];
            }
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < s; j++) {
                int64_t at = (i * c + (int64_t)k) * s + j;
                double xh = (x[at] - mean[k]) * invstd;
                y[at] = xh * weight + (b ? b[k] : 0);
                dx[at] = weight * invstd *
                         (r->training ? g[at] - db[k] / count - xh * dw[k] / count : g[at]);
            }
    }
    double t = r->tolerance > 0 ? r->tolerance : steps_tolerance(r->dtype);
    double wide = r->tolerance;
    if (!(wide > 0)) wide = steps_tolerance(r->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    bn_close(r, "y", r->y, y, all, t);
    bn_close(r, "dx", lucid_tensor_grad(r->x), dx, all, t);
    if (w) bn_close(r, "dw", lucid_tensor_grad(r->w), dw, C, wide);
    if (b) bn_close(r, "db", lucid_tensor_grad(r->b), db, C, wide);
    bn_close(r, "running_mean", r->running_mean, after_mean, C, wide);
    bn_close(r, "running_var", r->running_var, after_var, C, wide);
    free(x), free(g), free(y), free(dx), free(w), free(b), free(mean);
}

static inline lucid_tensor *bn_normal(lucid_shape shape, lucid_dtype dtype, double mean, double std)
{
    LUCID_NO_GRAD;
    lucid_tensor_options wide = lucid_tensor_defaults;
    wide.dtype = LUCID_F64;
    lucid_tensor *t = lucid_normal_(lucid_empty_opt(shape, &wide), mean, std);
    return lucid_cast(t, dtype);
}

static inline lucid_module *bn_module(const bn_run *r, lucid_dtype dtype)
{
    lucid_nn_batch_norm_options o = lucid_nn_batch_norm_defaults;
    o.eps = r->eps;
    o.momentum = r->momentum;
    o.dtype = dtype;
    int64_t c = r->shape.dims[1];
    if (r->shape.ndim <= 3) return lucid_nn_batch_norm1d(c, &o);
    return r->shape.ndim == 4 ? lucid_nn_batch_norm2d(c, &o) : lucid_nn_batch_norm3d(c, &o);
}

/* Runs it on x (NULL: random numbers) and compares with the truth. */
static inline void bn_check_on(bn_run *r, lucid_tensor *x)
{
    lucid_dtype wide = r->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    lucid_shape channels = LUCID_SHAPE(r->shape.dims[1]);
    r->x = lay_out(x ? x : bn_normal(r->shape, r->dtype, r->mean, r->std), r->layout);
    lucid_requires_grad_(r->x, true);
    lucid_tensor *dy = lay_out(bn_normal(r->shape, r->dtype, 0, 1), r->layout);
    lucid_module *m = bn_module(r, wide);
    nn_BatchNormBase *base = lucid_self(m, nn_BatchNormBase);
    {
        LUCID_NO_GRAD;
        lucid_copy_(base->weight, bn_normal(channels, wide, 1, 0.2));
        lucid_copy_(base->bias, bn_normal(channels, wide, 0, 1));
        lucid_copy_(base->running_mean, bn_normal(channels, wide, r->mean, 1));
        lucid_uniform_(base->running_var, 0.5, 2);
    }
    double *old_mean = bn_doubles(base->running_mean), *old_var = bn_doubles(base->running_var);
    r->w = r->no_weight ? NULL : base->weight;
    r->b = r->no_bias ? NULL : base->bias;
    r->running_mean = base->running_mean;
    r->running_var = base->running_var;
    lucid_set_training(m, r->training);
    if (r->functional)
        r->y = lucid_batch_norm(r->x, .weight = r->w, .bias = r->b, .running_mean = r->running_mean,
                                .running_var = r->running_var, .training = r->training,
                                .momentum = r->momentum, .eps = r->eps);
    else
        r->y = lucid_forward(m, r->x);
    cr_assert(r->y, "%s", lucid_error());
    cr_expect(lucid_tensor_dtype(r->y) == r->dtype);
    cr_assert(lucid_backward(r->y, .gradient = dy), "%s", lucid_error());
    bn_compare(r, dy, old_mean, old_var);
    if (!r->functional) cr_expect(lucid_item(base->num_batches_tracked) == (r->training ? 1 : 0));
    free(old_mean);
    free(old_var);
    lucid_retain(r->running_mean), lucid_retain(r->running_var);
    lucid_module_free(m);
    lucid_release(r->running_mean), lucid_release(r->running_var);
}

static inline void bn_check(bn_run r)
{
    LUCID_SCOPE;
    bn_check_on(&r, NULL);
}

/* Calls fn in every floating dtype, layout, form and mode. */
static inline void bn_everywhere(void (*fn)(bn_run r))
{
    static const char *const layouts[] = {"contiguous", "channels_last"};
    lucid_manual_seed(7);
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int i = 0; i < 8; i++) {
            bn_run r = bn_default();
            r.dtype = (lucid_dtype)dtype;
            r.layout = layouts[i & 1];
            r.functional = i & 2;
            r.training = i & 4;
            fn(r);
        }
}

#endif
