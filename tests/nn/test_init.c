/* Initial values have the bounds and deviations of PyTorch's. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "lucid/core/random.h"
#include "tests/nn/steps.h"

/* Mean, deviation and largest magnitude of a tensor's values. */
static void measure(lucid_tensor *t, double *mean, double *std, double *largest)
{
    size_t n = (size_t)lucid_numel(t);
    double *v = calloc(n + 1, sizeof *v), sum = 0, squares = 0;
    cr_assert(v && lucid_to_doubles(t, v, n));
    *largest = 0;
    for (size_t i = 0; i < n; i++) {
        sum += v[i];
        squares += v[i] * v[i];
        if (fabs(v[i]) > *largest) *largest = fabs(v[i]);
    }
    *mean = sum / (double)n;
    *std = sqrt(squares / (double)n - *mean * *mean);
    free(v);
}

static void expect_distribution(const vectors_case *c, lucid_tensor *t)
{
    const char *name = vectors_name(c), *dist = vectors_get(c, "dist");
    double mean, std, largest, n = (double)lucid_numel(t);
    measure(t, &mean, &std, &largest);
    if (strcmp(dist, "uniform") == 0) {
        double bound = vectors_double(c, "bound", -1);
        cr_expect(largest <= bound * (1 + 1e-6), "%s: %g beyond %g", name, largest, bound);
        cr_expect(n < 50 || largest > 0.9 * bound, "%s: only %g of %g", name, largest, bound);
        cr_expect(fabs(mean) <= 5 * bound / sqrt(3 * n), "%s: mean %g", name, mean);
    } else if (strcmp(dist, "normal") == 0) {
        double want = vectors_double(c, "std", -1);
        cr_expect(fabs(std / want - 1) < 5 / sqrt(2 * n), "%s: std %g of %g", name, std, want);
        cr_expect(fabs(mean) <= 5 * want / sqrt(n), "%s: mean %g", name, mean);
    } else {
        double value = vectors_double(c, "value", 0);
        cr_expect(mean == value && std < 1e-12, "%s: %g instead of %g", name, mean, value);
    }
}

static lucid_nonlinearity nonlinearity(const vectors_case *c)
{
    const char *text = vectors_get(c, "nonlinearity");
    if (text && strcmp(text, "relu") == 0) return LUCID_RELU;
    if (text && strcmp(text, "tanh") == 0) return LUCID_TANH;
    if (text && strcmp(text, "selu") == 0) return LUCID_SELU;
    return !text || strcmp(text, "leaky_relu") == 0 ? LUCID_LEAKY_RELU : LUCID_LINEAR;
}

/* Fills t by one of the functions; false where op is a layer's name. */
static bool fill(const vectors_case *c, const char *op, lucid_tensor *t)
{
    const char *mode = vectors_get(c, "mode");
    lucid_kaiming_options k = lucid_kaiming_defaults;
    k.a = vectors_double(c, "a", 0);
    k.fan_out = mode && strcmp(mode, "fan_out") == 0;
    k.nonlinearity = nonlinearity(c);
    if (strcmp(op, "kaiming_uniform_") == 0) return lucid_init_kaiming_uniform_opt(t, &k);
    if (strcmp(op, "kaiming_normal_") == 0) return lucid_init_kaiming_normal_opt(t, &k);
    if (strcmp(op, "xavier_uniform_") == 0)
        return lucid_init_xavier_uniform(t, vectors_double(c, "gain", 1));
    if (strcmp(op, "xavier_normal_") == 0)
        return lucid_init_xavier_normal(t, vectors_double(c, "gain", 1));
    return false;
}

/* A layer whose parameter has that shape and fan-in. */
static lucid_module *layer(const vectors_case *c, const char *op, const lucid_shape *s)
{
    int64_t fan_in = vectors_int(c, "fan_in", 0), out = s->dims[0];
    if (strcmp(op, "Linear") == 0) return nn_Linear(fan_in, out);
    if (strcmp(op, "BatchNorm2d") == 0) return nn_BatchNorm2d(out);
    cr_assert(strcmp(op, "Conv2d") == 0, "%s", op);
    if (s->ndim == 1) return nn_Conv2d(fan_in, out, 1);
    return nn_Conv2d(s->dims[1], out, (s->dims[2], s->dims[3]));
}

/* The tensor of a line: that of a layer, or one that a function fills. */
static lucid_tensor *made(const vectors_case *c, lucid_module **m)
{
    const char *op = vectors_get(c, "op"), *param = vectors_get(c, "param");
    lucid_shape shape;
    *m = NULL;
    cr_assert(vectors_list(c, "shape", &shape));
    if (param) {
        *m = layer(c, op, &shape);
        cr_assert(*m, "%s: %s", vectors_name(c), lucid_error());
        lucid_state_dict *s = lucid_module_state_dict(*m);
        lucid_tensor *t = lucid_retain(lucid_state_dict_get(s, param));
        lucid_state_dict_free(s);
        lucid_shape got = lucid_tensor_shape(t);
        cr_expect(lucid_shape_equal(&got, &shape), "%s: the shape", vectors_name(c));
        return t;
    }
    lucid_tensor *t = lucid_retain(lucid_zeros_opt(shape, NULL));
    cr_assert(fill(c, op, t), "%s: %s", op, lucid_error());
    return t;
}

static void expect_dirac(const vectors_case *c)
{
    lucid_shape shape;
    cr_assert(vectors_list(c, "shape", &shape));
    lucid_tensor *t = lucid_full_opt(shape, 7, NULL);
    lucid_dirac_options o = lucid_dirac_defaults;
    o.groups = vectors_int(c, "groups", 1);
    cr_assert(lucid_init_dirac_opt(t, &o) == t, "%s", lucid_error());
    size_t n = (size_t)lucid_numel(t);
    double *v = calloc(n, sizeof *v), ones = 0;
    cr_assert(v && lucid_to_doubles(t, v, n));
    for (size_t i = 0; i < n; i++) ones += v[i];
    const char *at = vectors_get(c, "ones");
    for (char *end; *at; at = *end ? end + 1 : end, ones--)
        cr_expect(v[strtol(at, &end, 10)] == 1, "%s: %s", vectors_name(c), at);
    cr_expect(ones == 0, "%s: other ones", vectors_name(c));
    free(v);
}

static void expect_trunc_normal(const vectors_case *c)
{
    lucid_tensor *t = lucid_zeros((100000), .dtype = LUCID_F64);
    double a = vectors_double(c, "a", 0), b = vectors_double(c, "b", 0), n = 100000;
    lucid_trunc_normal_options o = lucid_trunc_normal_defaults;
    o.mean = vectors_double(c, "center", 0);
    o.std = vectors_double(c, "std", 0);
    o.a = a;
    o.b = b;
    cr_assert(lucid_init_trunc_normal_opt(t, &o) == t, "%s", lucid_error());
    double mean, std, largest, want = vectors_double(c, "deviation", 0);
    double low = lucid_item(lucid_min(t)), high = lucid_item(lucid_max(t));
    measure(t, &mean, &std, &largest);
    cr_expect(low >= a && high <= b, "%s: %g to %g", vectors_name(c), low, high);
    cr_expect(fabs(mean - vectors_double(c, "mean", 0)) < 5 * want / sqrt(n), "%s: mean %g",
              vectors_name(c), mean);
    cr_expect(fabs(std / want - 1) < 10 / sqrt(n), "%s: deviation %g, not %g", vectors_name(c), std,
              want);
}

/* The cases of the functions that are not distributions of a layer. */
static bool is_other(const vectors_case *c)
{
    const char *op = vectors_get(c, "op");
    if (strcmp(op, "dirac_") == 0) return expect_dirac(c), true;
    if (strcmp(op, "trunc_normal_") == 0) return expect_trunc_normal(c), true;
    return false;
}

Test(init, distributions_are_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(17);
    int cases = 0;
    vectors *v = vectors_open("init");
    for (const vectors_case *c; (c = vectors_next(v)); cases++) {
        LUCID_SCOPE;
        if (is_other(c)) continue;
        if (strcmp(vectors_get(c, "op"), "calculate_gain") == 0) {
            double a = vectors_double(c, "param", vectors_double(c, "a", 0.01));
            double want = vectors_double(c, "gain", vectors_double(c, "value", -1));
            double got = lucid_init_gain(nonlinearity(c), a);
            cr_expect(testing_close(got, want, 1e-12, 0), "%s: expected %.17g, got %.17g",
                      vectors_name(c), want, got);
            continue;
        }
        lucid_module *m;
        lucid_tensor *t = made(c, &m);
        expect_distribution(c, t);
        lucid_release(t);
        lucid_module_free(m);
    }
    vectors_close(v);
    cr_expect(cases >= 10, "only %d cases", cases);
}

Test(init, one_seed_gives_one_network)
{
    LUCID_SCOPE;
    lucid_module *m[2];
    for (int i = 0; i < 2; i++) {
        lucid_manual_seed(4);
        m[i] = nn_Sequential(nn_Conv2d(3, 5, 3), nn_Linear(4, 2));
    }
    cr_expect(
        lucid_equal(lucid_get_parameter(m[0], "1.weight"), lucid_get_parameter(m[1], "1.weight")));
    cr_expect(lucid_is_leaf(lucid_get_parameter(m[0], "0.weight")));
    EXPECT_ERROR(lucid_init_kaiming_normal(lucid_ones((3))), LUCID_ERR_ARGUMENT,
                 "init_kaiming_normal: weight: expected at least 2 dimensions, got [3]");
    lucid_module_free(m[0]);
    lucid_module_free(m[1]);
}

/* t t' = gain^2 for the shorter side. */
static void expect_orthogonal(lucid_tensor *t, double gain)
{
    int64_t rows = lucid_size(t, 0);
    lucid_tensor *m = lucid_cast(lucid_reshape(t, (rows, -1)), LUCID_F64);
    if (rows > lucid_size(m, 1)) m = lucid_transpose(m, 0, 1);
    lucid_tensor *product = lucid_matmul(m, lucid_transpose(m, 0, 1));
    lucid_tensor *wanted = lucid_mul(lucid_eye(lucid_size(m, 0), lucid_size(m, 0)), gain * gain);
    double limit = lucid_tensor_dtype(t) == LUCID_F64 ? 1e-13 : 1e-5;
    cr_expect(lucid_allclose(product, lucid_cast(wanted, LUCID_F64), 0, limit * gain * gain, false),
              "%lld rows", (long long)rows);
}

Test(init, orthogonal_rows_and_columns)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(6);
    lucid_tensor *t = lucid_zeros((100, 70), .dtype = LUCID_F64);
    expect_orthogonal(lucid_init_orthogonal(t), 1);
    expect_orthogonal(lucid_init_orthogonal(lucid_zeros((70, 3, 5, 5)), .gain = 3), 3);
    expect_orthogonal(lucid_init_orthogonal(lucid_transpose(lucid_zeros((33, 65)), 0, 1)), 1);
    lucid_tensor *one = lucid_zeros((1, 1), .dtype = LUCID_F64);
    double sum = 0;
    for (int i = 0; i < 200; i++) sum += lucid_item(lucid_init_orthogonal(one));
    cr_expect(fabs(sum) < 80, "of 200 signs the sum is %g", sum);
    cr_expect(lucid_init_orthogonal(lucid_zeros((0, 4))));
}

Test(init, eye_and_sparse)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    EXPECT_VALUES(lucid_init_eye(lucid_ones((2, 3))), 0, 0, {1, 0, 0, 0, 1, 0});
    lucid_tensor *t = lucid_ones((50, 8), .dtype = LUCID_F64);
    cr_assert(lucid_init_sparse(t, 0.33, .std = 2) == t, "%s", lucid_error());
    double v[400], squares = 0;
    cr_assert(lucid_to_doubles(t, v, 400));
    for (int c = 0; c < 8; c++) {
        int zeros = 0;
        for (int r = 0; r < 50; r++) zeros += v[8 * r + c] == 0;
        cr_expect(zeros == 17, "column %d: %d zeros", c, zeros);
    }
    for (int i = 0; i < 400; i++) squares += v[i] * v[i];
    double std = sqrt(squares / (8 * 33));
    cr_expect(std > 1.7 && std < 2.3, "%g", std);
    EXPECT_VALUES(lucid_init_zeros(lucid_ones((2))), 0, 0, {0, 0});
    EXPECT_VALUES(lucid_init_ones(lucid_zeros((2))), 0, 0, {1, 1});
}

#define REFUSED(expression, text) EXPECT_ERROR(expression, LUCID_ERR_ARGUMENT, text)

Test(init, structured_ones_refuse_bad_arguments)
{
    LUCID_SCOPE;
    lucid_tensor *t = lucid_zeros((4, 4)), *conv = lucid_zeros((4, 2, 3, 3));
    REFUSED(lucid_init_trunc_normal(t, .a = 2), "init_trunc_normal: a, b: expected a < b");
    REFUSED(lucid_init_trunc_normal(t, .std = 0), "mean, std: expected a finite mean and std > 0");
    REFUSED(lucid_init_trunc_normal(NULL), "init_trunc_normal: tensor");
    REFUSED(lucid_init_trunc_normal(lucid_zeros((2), .dtype = LUCID_I64)), "a floating dtype");
    REFUSED(lucid_init_orthogonal(lucid_zeros((3))), "expected 2 to 8 dimensions, got [3]");
    REFUSED(lucid_init_orthogonal(t, .gain = NAN), "init_orthogonal: gain");
    REFUSED(lucid_init_eye(conv), "init_eye: tensor: expected 2 dimensions, got [4,2,3,3]");
    REFUSED(lucid_init_dirac(t), "init_dirac: tensor: expected 3 to 5 dimensions, got [4,4]");
    REFUSED(lucid_init_dirac(conv, .groups = 3), "groups: expected a divisor of 4 channels, got 3");
    REFUSED(lucid_init_sparse(t, 1.5), "init_sparse: sparsity: expected [0, 1], got 1.5");
    REFUSED(lucid_init_sparse(t, 0.5, .std = -1), "std: expected a number >= 0, got -1");
    EXPECT_VALUES(lucid_sum(t), 0, 0, {0});
}
