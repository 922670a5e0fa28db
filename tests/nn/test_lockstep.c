/* Thirty steps of training beside PyTorch: the same weights and batches. */
#include "tests/nn/steps.h"

#include "autograd/autograd.h"

TEST_SUITE_ON_DEVICE(lockstep);

static lucid_tensor *stored(const vectors *v, const char *format, const char *key)
{
    char role[128], name[160];
    snprintf(role, sizeof role, format, key);
    snprintf(name, sizeof name, "lockstep/%s", role);
    return vectors_has(v, name) ? vectors_tensor(v, name) : NULL;
}

static lucid_module *make_net(const vectors *v, lucid_dtype dtype)
{
    LUCID_SCOPE;
    lucid_module *net =
        nn_Sequential(nn_Conv2d(1, 8, 3, .padding = 1, .bias = false), nn_BatchNorm2d(8), nn_ReLU(),
                      nn_MaxPool2d(2), nn_Conv2d(8, 16, 3, .padding = 1, .bias = false),
                      nn_BatchNorm2d(16), nn_ReLU(), nn_Flatten(), nn_Linear(576, 10));
    cr_assert(net && lucid_to_dtype(net, dtype), "%s", lucid_error());
    lucid_state_dict *s = lucid_module_state_dict(net);
    for (size_t i = 0; i < lucid_state_dict_size(s); i++) {
        const char *name = lucid_state_dict_at(s, i).name;
        lucid_tensor *initial = stored(v, "initial.%s", name);
        if (initial) cr_assert(lucid_state_dict_set(s, name, initial));
    }
    cr_assert(lucid_load_state_dict(net, s), "%s", lucid_error());
    lucid_state_dict_free(s);
    return net;
}

/* |got - expected| <= limit * max(1, |expected|) */
static void near(const char *what, int step, lucid_tensor *got, lucid_tensor *expected,
                 double limit)
{
    size_t n = (size_t)lucid_numel(got);
    double *g = calloc(n, sizeof *g), *e = calloc(n, sizeof *e);
    cr_assert(lucid_to_doubles(got, g, n) && lucid_to_doubles(expected, e, n), "%s", lucid_error());
    for (size_t i = 0; i < n; i++)
        cr_expect(fabs(g[i] - e[i]) <= limit * fmax(1, fabs(e[i])),
                  "step %d: %s[%zu]: expected %.12g, got %.12g", step, what, i, e[i], g[i]);
    free(g);
    free(e);
}

static void run(lucid_dtype dtype, double loss_limit, double limit)
{
    LUCID_SCOPE;
    static const char *const running[] = {"1.running_mean", "1.running_var", "5.running_mean",
                                          "5.running_var"};
    vectors *v = vectors_open("lockstep");
    lucid_module *net = make_net(v, dtype);
    lucid_optimizer *opt = optim_SGD(net, .lr = 0.05, .momentum = 0.9);
    lucid_tensor *images = stored(v, "%s", "images"), *labels = stored(v, "%s", "labels");
    lucid_tensor *losses = stored(v, "%s", "f64.loss");
    double worst = 0;
    for (int k = 0; k < 30; k++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_cast(lucid_select(images, 0, k), dtype);
        x = lucid_mul_scalar(lucid_add_scalar(x, -128), 1.0 / 64);
        lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, x), lucid_select(labels, 0, k));
        cr_assert(lucid_zero_grad(opt) && lucid_backward(loss) && lucid_step(opt), "%s",
                  lucid_error());
        double expected = lucid_at(losses, LUCID_SHAPE(k));
        double error = fabs(lucid_item(loss) - expected) / expected;
        worst = error > worst ? error : worst;
        cr_expect(error <= loss_limit, "step %d: loss: expected %.12g, got %.12g (%.2g)", k,
                  expected, lucid_item(loss), error);
        for (int i = 0; i < 4; i++)
            near(running[i], k, lucid_get_buffer(net, running[i]),
                 lucid_select(stored(v, "f64.running.%s", running[i]), 0, k), limit);
    }
    fprintf(stderr, "%s: largest relative error of the loss %.2g\n", lucid_dtype_name(dtype),
            worst);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    vectors_close(v);
}

Test(lockstep, float32)
{
    run(LUCID_F32, 2e-5, 1e-6);
}

Test(lockstep, float64)
{
    run(LUCID_F64, 1e-9, 1e-9);
}
