/* test_norm.c: batch normalisation on the device against the CPU, in every way that it goes through
 * memory: channels held in shared memory, runs and lanes of several blocks, any strides; with ReLU,
 * with a residual, in training and with running statistics. BatchNorm's numbered cases are run on
 * the device by the programs cuda-batchnorm_cases_*. */
#include "cuda_testing.h"
#include "tests/tolerance.h"

#include "autograd/autograd.h"
#include "lucid/core/random.h"

CUDA_SUITE(norm);

typedef struct norm_case {
    lucid_dtype dtype;
    lucid_shape shape;
    const char *layout; /* contiguous, channels_last, padded, moved */
    bool eval, relu, residual, no_affine;
    double mean, std;
} norm_case;

enum { Y, DX, DR, DW, DB, RUNNING_MEAN, RUNNING_VAR, RESULTS };
static const char *const result_names[] = {"y", "dx", "dr", "dw", "db", "mean", "var"};

static lucid_tensor *normal(lucid_shape shape, lucid_dtype dtype, double mean, double std)
{
    LUCID_NO_GRAD;
    return lucid_cast(lucid_normal_(lucid_empty_opt(shape, NULL), mean, std), dtype);
}

/* The values on the device, in other memory: rows that do not follow each other (padded), or all of
 * it one element after an aligned place (moved). */
static lucid_tensor *lay_out(lucid_tensor *t, lucid_device device, const char *layout)
{
    LUCID_NO_GRAD;
    if (strcmp(layout, "channels_last") == 0) t = lucid_contiguous(t, LUCID_CHANNELS_LAST);
    if (strcmp(layout, "padded") != 0 && strcmp(layout, "moved") != 0)
        return lucid_tensor_to(t, device);
    bool moved = strcmp(layout, "moved") == 0;
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = lucid_tensor_dtype(t);
    o.device = device;
    lucid_shape shape = lucid_tensor_shape(t), wide = shape;
    int64_t n = lucid_numel(t);
    lucid_tensor *place, *values = lucid_tensor_to(t, device);
    if (moved) {
        place = lucid_slice(lucid_zeros_opt(LUCID_SHAPE(n + 1), &o), 0, 1, n + 1, 1);
        place = lucid_reshape_opt(place, shape);
    } else {
        wide.dims[wide.ndim - 1] += 3;
        place =
            lucid_narrow(lucid_zeros_opt(wide, &o), wide.ndim - 1, 2, shape.dims[wide.ndim - 1]);
    }
    cr_assert(lucid_copy_(place, values), "%s", lucid_error());
    return lucid_detach(place);
}

static lucid_tensor *leaf(lucid_tensor *t, lucid_device device, const char *layout)
{
    return t ? lucid_requires_grad_(lucid_detach(lay_out(t, device, layout)), true) : NULL;
}

static void run(const norm_case *k, lucid_tensor *const *in, lucid_device device,
                lucid_tensor **result)
{
    const char *plain = "contiguous";
    lucid_tensor *x = leaf(in[0], device, k->layout), *w = leaf(in[1], device, plain),
                 *b = leaf(in[2], device, plain), *r = leaf(in[3], device, k->layout);
    lucid_tensor *dy = lay_out(in[4], device, k->layout);
    lucid_tensor *mean = lucid_clone(lay_out(in[5], device, plain), LUCID_PRESERVE),
                 *var = lucid_clone(lay_out(in[6], device, plain), LUCID_PRESERVE);
    lucid_tensor *y =
        lucid_batch_norm(x, .weight = w, .bias = b, .running_mean = mean, .running_var = var,
                         .residual = r, .relu = k->relu, .training = !k->eval);
    cr_assert(y && lucid_backward(y, .gradient = dy), "%s", lucid_error());
    lucid_tensor *made[RESULTS] = {lucid_detach(y),
                                   lucid_tensor_grad(x),
                                   r ? lucid_tensor_grad(r) : NULL,
                                   w ? lucid_tensor_grad(w) : NULL,
                                   b ? lucid_tensor_grad(b) : NULL,
                                   mean,
                                   var};
    for (int i = 0; i < RESULTS; i++)
        result[i] = made[i] ? lucid_tensor_to(made[i], lucid_cpu()) : NULL;
}

static double *doubles(const lucid_tensor *t)
{
    size_t n = (size_t)lucid_numel(t);
    double *p = calloc(n + 1, sizeof *p);
    cr_assert(p && lucid_to_doubles(t, p, n), "%s", lucid_error());
    return p;
}

/* Sums over n values round as often as they have terms, each in its own order: where they are made
 * in the type of the result (float64) it shows more. */
static void compare(const norm_case *k, int which, const lucid_tensor *got,
                    const lucid_tensor *want)
{
    cr_assert((got != NULL) == (want != NULL));
    if (!got) return;
    size_t n = (size_t)lucid_numel(want), count = 1;
    for (int d = 0; d < k->shape.ndim; d++) count *= d == 1 ? 1 : (size_t)k->shape.dims[d];
    double *g = doubles(got), *w = doubles(want), scale = 1;
    for (size_t i = 0; i < n; i++)
        if (isfinite(w[i])) scale = fmax(scale, fabs(w[i]));
    double e = tolerance_epsilon(lucid_tensor_dtype(want)), limit = e * scale * 4;
    if (which == DW || which == DB) limit += e * (8 + sqrt((double)count));
    if (k->dtype == LUCID_F64) limit *= 8;
    for (size_t i = 0; i < n; i++)
        if (!testing_close(g[i], w[i], 0, limit)) {
            cr_expect(false,
                      "%s, %s, [%lld,%lld,..]%s%s%s: %s[%zu]: expected %.9g, got %.9g (%.3g)",
                      lucid_dtype_name(k->dtype), k->layout, (long long)k->shape.dims[0],
                      (long long)k->shape.dims[1], k->eval ? ", eval" : "", k->relu ? ", relu" : "",
                      k->residual ? ", residual" : "", result_names[which], i, w[i], g[i],
                      (g[i] - w[i]) / limit);
            break;
        }
    free(g);
    free(w);
}

static void check(const norm_case *k)
{
    LUCID_SCOPE;
    lucid_dtype wide = k->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    lucid_shape c = LUCID_SHAPE(k->shape.dims[1]);
    double std = k->std > 0 ? k->std : 1;
    lucid_tensor *in[] = {normal(k->shape, k->dtype, k->mean, std),
                          k->no_affine ? NULL : normal(c, wide, 1, 0.2),
                          k->no_affine ? NULL : normal(c, wide, 0, 1),
                          k->residual ? normal(k->shape, k->dtype, 0, 1) : NULL,
                          normal(k->shape, k->dtype, 0, 1),
                          normal(c, wide, k->mean, 1),
                          normal(c, wide, 2, 0.1)};
    lucid_tensor *here[RESULTS], *there[RESULTS], *again[RESULTS];
    run(k, in, lucid_cpu(), here);
    run(k, in, lucid_cuda(0), there);
    run(k, in, lucid_cuda(0), again);
    for (int i = 0; i < RESULTS; i++) {
        compare(k, i, there[i], here[i]);
        if (there[i]) cr_expect(lucid_equal(there[i], again[i]), "%s differs", result_names[i]);
    }
}

/* All that a fused call may ask for. */
static void check_kinds(norm_case k)
{
    for (int i = 0; i < 8; i++) {
        k.eval = i & 1;
        k.relu = i & 2;
        k.residual = i & 4;
        check(&k);
    }
}

static void check_dtypes(lucid_shape shape, const char *layout)
{
    lucid_manual_seed(11);
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        check_kinds((norm_case){.dtype = (lucid_dtype)dtype, .shape = shape, .layout = layout});
}

Test(norm, a_channel_in_shared_memory)
{
    check_dtypes(LUCID_SHAPE(3, 5, 4, 8), "contiguous");
    check_dtypes(LUCID_SHAPE(3, 3, 7, 7), "contiguous");
    check_dtypes(LUCID_SHAPE(5, 2, 14, 14), "contiguous");
    norm_case long_runs = {.shape = LUCID_SHAPE(3, 4, 56, 56), .layout = "contiguous"};
    check(&long_runs);
    long_runs.relu = long_runs.residual = true;
    check(&long_runs);
    /* 48 KB, which a block has unasked if its static arrays are counted */
    norm_case full = {.shape = LUCID_SHAPE(6, 4, 32, 32), .layout = "contiguous"};
    check(&full);
    full.shape.dims[0] = 12;
    check(&full);
}

Test(norm, several_blocks_of_a_channel)
{
    lucid_manual_seed(12);
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int i = 0; i < 3; i++) {
            norm_case k = {.dtype = (lucid_dtype)dtype, .layout = "contiguous", .eval = i == 2};
            k.relu = k.residual = i == 1;
            k.shape = LUCID_SHAPE(9, 2, 64, 72);
            check(&k);
            k.shape = LUCID_SHAPE(9, 2, 42, 110); /* eight bytes at a time for 16-bit types */
            check(&k);
            k.shape = LUCID_SHAPE(5, 2, 61, 71);
            check(&k);
        }
}

Test(norm, channels_side_by_side)
{
    check_dtypes(LUCID_SHAPE(6, 8, 5, 7), "channels_last");
    check_dtypes(LUCID_SHAPE(40, 3), "contiguous");
    check_dtypes(LUCID_SHAPE(7, 132, 3, 3), "channels_last"); /* several tiles, one not full */
    lucid_manual_seed(13);
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int i = 0; i < 4; i++) {
            norm_case k = {.dtype = (lucid_dtype)dtype, .layout = "channels_last", .relu = i & 1};
            k.shape = i & 2 ? LUCID_SHAPE(5, 8, 37, 41) : LUCID_SHAPE(9, 3, 41, 43);
            k.residual = k.relu;
            check(&k);
        }
}

Test(norm, any_strides_and_any_alignment)
{
    check_dtypes(LUCID_SHAPE(3, 5, 6, 7), "padded");
    check_dtypes(LUCID_SHAPE(3, 5, 4, 8), "moved");
    check_dtypes(LUCID_SHAPE(11, 8), "moved");
    norm_case k = {.shape = LUCID_SHAPE(3, 2, 67, 71), .layout = "padded", .relu = true};
    check(&k);
    k.layout = "moved";
    check(&k);
}

/* Means far from 0, constants, the first value an outlier, numbers whose squares leave float. */
Test(norm, hard_numbers)
{
    lucid_manual_seed(14);
    static const char *const layouts[] = {"contiguous", "channels_last"};
    for (int i = 0; i < 6; i++) {
        norm_case k = {.layout = layouts[i & 1], .shape = LUCID_SHAPE(6, 4, 24, 24)};
        static const double means[] = {1e4, 1e4, 0}, stds[] = {1, 0.1, 1e25};
        k.mean = means[i / 2];
        k.std = stds[i / 2];
        k.dtype = LUCID_F32;
        check(&k);
    }
}

static void check_one_channel(lucid_tensor *x, const char *what)
{
    for (int layout = 0; layout < 2; layout++) {
        lucid_tensor *out[2];
        for (int i = 0; i < 2; i++) {
            lucid_tensor *v = lay_out(x, i ? lucid_cuda(0) : lucid_cpu(),
                                      layout ? "channels_last" : "contiguous");
            lucid_tensor *y = lucid_batch_norm(v, .training = true, .eps = 1e-30);
            cr_assert(y, "%s", lucid_error());
            out[i] = lucid_tensor_to(y, lucid_cpu());
        }
        cr_expect(lucid_allclose(out[1], out[0], 1e-5, 1e-6, true), "%s", what);
    }
}

Test(norm, odd_channels)
{
    LUCID_SCOPE;
    enum { N = 4, C = 3, S = 17 };
    float *v = malloc(sizeof(float) * N * C * S * S);
    static const char *const whats[] = {"constant", "first value an outlier", "infinity", "NaN",
                                        "tiny"};
    for (int kind = 0; kind < 5; kind++) {
        for (int i = 0; i < N * C * S * S; i++) v[i] = (float)(i * 7919 % 1009) / 1009;
        for (int i = 0; i < N * C * S * S; i++)
            if (i / (S * S) % C == 1) {
                if (kind == 0) v[i] = 1234.5678f;
                if (kind == 1 && i == S * S) v[i] = 1e6f;
                if (kind == 2 && i == S * S + 40) v[i] = INFINITY;
                if (kind == 3 && i == S * S) v[i] = NAN;
                if (kind == 4) v[i] *= 1e-22f;
            }
        lucid_tensor *x = lucid_from_data((N, C, S, S), v);
        check_one_channel(x, whats[kind]);
    }
    free(v);
}

Test(norm, empties)
{
    LUCID_SCOPE;
    static const lucid_shape shapes[] = {{4, {0, 3, 4, 5}}, {4, {4, 0, 3, 3}}, {4, {2, 3, 0, 5}}};
    for (int i = 0; i < 3; i++) {
        norm_case k = {.shape = shapes[i], .layout = "contiguous"};
        check(&k);
        k.eval = k.relu = true;
        check(&k);
    }
}
