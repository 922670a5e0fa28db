/* Initial values have the bounds and deviations of PyTorch's. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "lucid/random.h"
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

Test(init, distributions_are_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(17);
    int cases = 0;
    vectors *v = vectors_open("init");
    for (const vectors_case *c; (c = vectors_next(v)); cases++) {
        LUCID_SCOPE;
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
