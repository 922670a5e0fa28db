/* norm_case.h: batch normalisation against its definition in long double. */
#ifndef TESTS_NORM_CASE_H
#define TESTS_NORM_CASE_H

#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>
#include <stdarg.h>

/* One case: the arrays of a forward and a backward call. */
typedef struct {
    array x, y, mean, invstd, w, b, rm, rv, r, dy, dx, dw, db, dr;
    bool affine, running, added; /* added: with a residual */
    lucid_batch_norm_attrs attrs;
    int64_t n, c, inner; /* x is [n,c,inner...] */
} norm_case;

static inline norm_case new_case(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout in,
                                 array_layout out, double mean, double std)
{
    norm_case k = {.affine = true, .running = true};
    lucid_dtype param = dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    k.x = array_normal(dtype, ndim, dims, in, mean, std);
    k.dy = array_normal(dtype, ndim, dims, in, 0.25, 1);
    k.y = array_new(dtype, ndim, dims, out);
    k.dx = array_new(dtype, ndim, dims, out);
    k.r = array_normal(dtype, ndim, dims, in, 0, 1);
    k.dr = array_new(dtype, ndim, dims, out);
    k.c = dims[1];
    k.n = dims[0];
    k.inner = 1;
    for (int d = 2; d < ndim; d++) k.inner *= dims[d];
    k.mean = array_new(LUCID_F64, 1, &k.c, DENSE);
    k.invstd = array_new(LUCID_F64, 1, &k.c, DENSE);
    k.w = array_normal(param, 1, &k.c, DENSE, 1, 0.2);
    k.b = array_normal(param, 1, &k.c, DENSE, 0, 1);
    k.rm = array_normal(param, 1, &k.c, PADDED, 0, 1);
    k.rv = array_normal(param, 1, &k.c, PADDED, 3, 0.1);
    k.dw = array_new(param, 1, &k.c, DENSE);
    k.db = array_new(param, 1, &k.c, DENSE);
    k.attrs = (lucid_batch_norm_attrs){.eps = 1e-5, .momentum = 0.1, .training = true, .want = 7};
    return k;
}

static inline bool forward(norm_case *k)
{
    array *in[] = {&k->x,
                   k->affine ? &k->w : NULL,
                   k->affine ? &k->b : NULL,
                   k->running ? &k->rm : NULL,
                   k->running ? &k->rv : NULL,
                   k->added ? &k->r : NULL};
    array *out[] = {&k->y, &k->mean, &k->invstd};
    return kernel_call(LUCID_OP_batch_norm, k->x.view.dtype, &k->attrs, in, 6, out, 3);
}

static inline bool backward(norm_case *k)
{
    array *in[] = {&k->dy,
                   &k->x,
                   k->affine ? &k->w : NULL,
                   &k->mean,
                   &k->invstd,
                   k->affine ? &k->b : NULL,
                   k->added ? &k->y : NULL};
    array *out[] = {&k->dx, &k->dw, &k->db, &k->dr};
    return kernel_call(LUCID_OP_batch_norm_backward, k->x.view.dtype, &k->attrs, in, 7, out, 4);
}

static inline int64_t element(const norm_case *k, int64_t c, int64_t i)
{
    const uint32_t at = (uint32_t)i, inner = (uint32_t)k->inner;
    return ((int64_t)(at / inner) * k->c + c) * k->inner + at % inner;
}

/* What is true, in long double, from the values that the arrays hold. */
typedef struct {
    double *y, *dx, *dw, *db, *mean, *invstd, *rm, *rv, *dr;
} norm_truth;

static inline double *doubles(int64_t n)
{
    double *p = malloc((size_t)(n + 1) * sizeof *p);
    if (!p || array_count == 4096) abort();
    array_blocks[array_count++] = (char *)p;
    return p;
}

/* All elements in row-major order. */
static inline double *values(const array *a)
{
    const int64_t n = array_numel(a);
    double *p = doubles(n);
    for (int64_t i = 0; i < n; i++) p[i] = array_get(a, i);
    return p;
}

static inline void statistics(const norm_case *k, const double *x, int64_t c, long double *mean,
                              long double *var)
{
    int64_t n = k->n * k->inner;
    *mean = *var = 0;
    for (int64_t i = 0; i < n; i++) *mean += x[element(k, c, i)];
    *mean /= n;
    for (int64_t i = 0; i < n; i++) {
        long double d = x[element(k, c, i)] - *mean;
        *var += d * d;
    }
    *var /= n;
}

/* Of y before forward, of the gradients after it. */
static inline norm_truth truth(const norm_case *k)
{
    int64_t n = k->n * k->inner, all = n * k->c;
    norm_truth t = {doubles(all),  doubles(all),  doubles(k->c), doubles(k->c), doubles(k->c),
                    doubles(k->c), doubles(k->c), doubles(k->c), doubles(all)};
    const double *x = values(&k->x), *r = k->added ? values(&k->r) : NULL;
    double *gradient = values(&k->dy); /* 0 where the output that was computed is not above 0 */
    for (int64_t i = 0; k->attrs.relu && i < all; i++)
        if (array_get(&k->y, i) <= 0) gradient[i] = 0;
    for (int64_t c = 0; c < k->c; c++) {
        long double mean = 0, var = 0, sdy = 0, sdyx = 0, w = k->affine ? array_get(&k->w, c) : 1;
        long double b = k->affine ? array_get(&k->b, c) : 0, m = k->attrs.momentum;
        if (k->attrs.training)
            statistics(k, x, c, &mean, &var);
        else
            mean = array_get(&k->rm, c), var = array_get(&k->rv, c);
        long double invstd = 1 / sqrtl(var + k->attrs.eps);
        for (int64_t i = 0; i < n; i++) {
            int64_t at = element(k, c, i);
            long double d = x[at] - mean, dy = gradient[at];
            long double y = d * invstd * w + b + (r ? r[at] : 0);
            t.dr[at] = (double)dy;
            t.y[at] = (double)(k->attrs.relu && y < 0 ? 0 : y);
            sdy += dy;
            sdyx += dy * d * invstd;
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t at = element(k, c, i);
            long double xhat = (x[at] - mean) * invstd, dy = gradient[at];
            t.dx[at] = (double)(k->attrs.training ? w * invstd * (dy - sdy / n - xhat * sdyx / n)
                                                  : w * invstd * dy);
        }
        t.dw[c] = (double)sdyx;
        t.db[c] = (double)sdy;
        t.mean[c] = (double)mean;
        t.invstd[c] = (double)invstd;
        bool track = k->running && k->attrs.training && m >= 0;
        t.rm[c] = (double)(track ? (1 - m) * array_get(&k->rm, c) + m * mean
                                 : (long double)array_get(&k->rm, c));
        t.rv[c] = (double)(track ? (1 - m) * array_get(&k->rv, c) + m * var * n / (n - 1)
                                 : (long double)array_get(&k->rv, c));
    }
    return t;
}

/* Tolerances: of one rounding of the output's type, of one of the parameters' type. */
static inline double step_of(lucid_dtype dtype)
{
    return dtype == LUCID_F64   ? 1e-14
           : dtype == LUCID_F32 ? 1.2e-7
           : dtype == LUCID_F16 ? 1e-3
                                : 8e-3;
}

static inline void check(norm_case *k, const char *what)
{
    norm_truth t = truth(k);
    lucid_dtype dtype = k->x.view.dtype;
    double e = step_of(dtype), p = step_of(dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    double n = (double)(k->n * k->inner);
    cr_assert(forward(k), "%s", what);
    cr_expect_leq(array_distance(&k->y, t.y, 8 * e, 4 * e), 1, "%s: y", what);
    cr_expect_leq(array_distance(&k->mean, t.mean, 4e-15, 4e-16), 1, "%s: mean", what);
    cr_expect_leq(array_distance(&k->invstd, t.invstd, 0, 5e-14), 1, "%s: invstd", what);
    cr_expect_leq(array_distance(&k->rm, t.rm, p, p), 1, "%s: running_mean", what);
    cr_expect_leq(array_distance(&k->rv, t.rv, p, p), 1, "%s: running_var", what);
    norm_case after = *k; /* the running statistics took part already */
    after.running = k->running && !k->attrs.training;
    if (k->attrs.relu) t = truth(&after);
    cr_assert(backward(k), "%s", what);
    if (k->attrs.want & 8) cr_expect_leq(array_distance(&k->dr, t.dr, 0, 0), 1, "%s: dr", what);
    cr_expect_leq(array_distance(&k->dw, t.dw, p * (4 + sqrt(n)), p), 1, "%s: dw", what);
    cr_expect_leq(array_distance(&k->db, t.db, p * (4 + sqrt(n)), p), 1, "%s: db", what);
    double scale = n > 0 && k->c > 0 ? t.invstd[0] * 8 : 1;
    for (int64_t c = 0; c < k->c; c++) scale = fmax(scale, t.invstd[c] * 8);
    cr_expect_leq(array_distance(&k->dx, t.dx, scale * e, 4 * e), 1, "%s: dx", what);
}

static inline const char *text(const char *fmt, ...)
{
    static char buffer[200];
    va_list list;
    va_start(list, fmt);
    vsnprintf(buffer, sizeof buffer, fmt, list);
    va_end(list);
    return buffer;
}

static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
static const int64_t channels[] = {1, 2, 3, 5, 8, 17, 33, 64, 100};

#endif
