/* Mixed precision in networks: beside PyTorch's autocast, with checkpoints, and residual blocks. */
#include "lucid/lucid.h"
#include "tests/reference/vectors.h"
#include "tests/testing.h"

#include <stdio.h>

static lucid_tensor *stored(const vectors *v, const char *format, const char *key)
{
    char name[160];
    snprintf(name, sizeof name, format, key);
    return vectors_has(v, name) ? vectors_tensor(v, name) : NULL;
}

/* The network of tests/nn/test_lockstep.c, as it begins there. */
static lucid_module *make_net(const vectors *v)
{
    LUCID_SCOPE;
    lucid_module *net =
        nn_Sequential(nn_Conv2d(1, 8, 3, .padding = 1, .bias = false), nn_BatchNorm2d(8), nn_ReLU(),
                      nn_MaxPool2d(2), nn_Conv2d(8, 16, 3, .padding = 1, .bias = false),
                      nn_BatchNorm2d(16), nn_ReLU(), nn_Flatten(), nn_Linear(576, 10));
    cr_assert(net, "%s", lucid_error());
    lucid_state_dict *s = lucid_module_state_dict(net);
    for (size_t i = 0; i < lucid_state_dict_size(s); i++) {
        const char *name = lucid_state_dict_at(s, i).name;
        lucid_tensor *initial = stored(v, "lockstep/initial.%s", name);
        if (initial) cr_assert(lucid_state_dict_set(s, name, initial));
    }
    cr_assert(lucid_load_state_dict(net, s), "%s", lucid_error());
    lucid_state_dict_free(s);
    return net;
}

static lucid_tensor *pictures(const vectors *v, int k)
{
    lucid_tensor *x = lucid_cast(lucid_select(stored(v, "lockstep/%s", "images"), 0, k), LUCID_F32);
    return lucid_mul_scalar(lucid_add_scalar(x, -128), 1.0 / 64);
}

/* sqrt(sum (a - b)^2 / sum b^2) */
static double distance(lucid_tensor *a, lucid_tensor *b)
{
    lucid_tensor *x = lucid_cast(a, LUCID_F64), *y = lucid_cast(b, LUCID_F64);
    double apart = lucid_item(lucid_sum(lucid_square(lucid_sub(x, y))));
    return sqrt(apart / lucid_item(lucid_sum(lucid_square(y))));
}

/* bfloat16 has eight bits: two right programs that round at the same places part by a few times
 * 1/256 after the first step. */
Test(amp, one_step_beside_torch)
{
    LUCID_SCOPE;
    vectors *data = vectors_open("lockstep"), *v = vectors_open("amp");
    lucid_module *net = make_net(data);
    lucid_tensor *y = lucid_select(stored(data, "lockstep/%s", "labels"), 0, 0), *logits, *loss;
    {
        LUCID_AUTOCAST(LUCID_BF16);
        logits = lucid_forward(net, pictures(data, 0));
        loss = lucid_cross_entropy(logits, y);
    }
    cr_assert(loss && lucid_backward(loss), "%s", lucid_error());
    cr_expect(lucid_tensor_dtype(logits) == LUCID_BF16 && lucid_tensor_dtype(loss) == LUCID_F32);
    double d = distance(logits, stored(v, "autocast/%s", "logits"));
    cr_expect(d < 0.008, "logits: %g", d);
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(net, &n);
    for (size_t i = 0; i < n; i++) {
        lucid_tensor *grad = lucid_tensor_grad(p[i].tensor);
        cr_assert(grad && lucid_tensor_dtype(grad) == LUCID_F32, "%s", p[i].name);
        cr_expect(lucid_tensor_dtype(p[i].tensor) == LUCID_F32);
        d = distance(grad, stored(v, "autocast/grad.%s", p[i].name));
        cr_expect(d < 0.03, "%s: %g", p[i].name, d);
    }
    const lucid_named_tensor *b = lucid_named_buffers(net, &n);
    for (size_t i = 0; i < n; i++)
        if (strstr(b[i].name, "running"))
            cr_expect(lucid_tensor_dtype(b[i].tensor) == LUCID_F32, "%s", b[i].name);
    lucid_module_free(net);
    vectors_close(v);
    vectors_close(data);
}

/* The losses fall alike: the mean difference is small beside the loss, and the end is as good. */
Test(amp, thirty_steps_beside_torch)
{
    LUCID_SCOPE;
    vectors *data = vectors_open("lockstep"), *v = vectors_open("amp");
    lucid_module *net = make_net(data);
    lucid_optimizer *opt = optim_SGD(net, .lr = 0.05, .momentum = 0.9);
    lucid_tensor *labels = stored(data, "lockstep/%s", "labels");
    lucid_tensor *losses = stored(v, "autocast/%s", "loss");
    double apart = 0, sum = 0;
    for (int k = 0; k < 30; k++) {
        LUCID_SCOPE;
        lucid_tensor *loss;
        {
            LUCID_AUTOCAST(LUCID_BF16);
            loss = lucid_cross_entropy(lucid_forward(net, pictures(data, k)),
                                       lucid_select(labels, 0, k));
        }
        cr_assert(lucid_zero_grad(opt) && lucid_backward(loss) && lucid_step(opt), "%s",
                  lucid_error());
        double expected = lucid_at(losses, LUCID_SHAPE(k));
        apart += fabs(lucid_item(loss) - expected);
        sum += expected;
        if (k == 0) cr_expect(fabs(lucid_item(loss) - expected) < 0.01 * expected);
    }
    fprintf(stderr, "mean difference of the loss: %.2g of %.2g\n", apart / 30, sum / 30);
    cr_expect(apart < 0.05 * sum, "%g of %g", apart, sum);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    vectors_close(v);
    vectors_close(data);
}

/* What is computed anew in backward is computed in the dtypes of forward. */
Test(amp, checkpoints_remember_autocast)
{
    LUCID_SCOPE;
    lucid_manual_seed(5);
    lucid_module *net = nn_Sequential(nn_Linear(6, 8), nn_ReLU(), nn_Linear(8, 4));
    lucid_tensor *x = lucid_randn((5, 6)), *w = lucid_get_parameter(net, "0.weight"), *grads[2];
    for (int i = 0; i < 2; i++) {
        lucid_tensor *y, *loss;
        {
            LUCID_AUTOCAST(LUCID_BF16);
            y = i ? lucid_checkpoint(net, x) : lucid_forward(net, x);
            loss = lucid_sum(lucid_square(y));
        }
        cr_expect(lucid_tensor_dtype(y) == LUCID_BF16);
        cr_assert(lucid_module_zero_grad(net) && lucid_backward(loss), "%s", lucid_error());
        grads[i] = lucid_clone(lucid_tensor_grad(w), LUCID_PRESERVE);
    }
    cr_expect(lucid_equal(grads[0], grads[1]));
    lucid_module_free(net);
}

/* A whole residual network with fused blocks, trained in both precisions: dtypes, and a loss that
 * falls. */
Test(amp, a_resnet_trains)
{
    LUCID_SCOPE;
    static const lucid_dtype dtypes[] = {LUCID_BF16, LUCID_F16};
    for (int i = 0; i < 2; i++) {
        lucid_manual_seed(11);
        lucid_module *net = nn_ResNet20();
        cr_assert(net, "%s", lucid_error());
        lucid_optimizer *opt = optim_SGD(net, .lr = 0.02, .momentum = 0.9);
        lucid_grad_scaler *s = optim_GradScaler(.enabled = dtypes[i] == LUCID_F16);
        lucid_tensor *x = lucid_randn((8, 3, 16, 16)), *y = lucid_randint((8), 0, 10);
        double first = 0, last = 0;
        for (int k = 0; k < 6; k++) {
            LUCID_SCOPE;
            lucid_tensor *loss;
            {
                LUCID_AUTOCAST(dtypes[i]);
                loss = lucid_cross_entropy(lucid_forward(net, x), y);
            }
            lucid_zero_grad(opt);
            cr_assert(lucid_backward(lucid_grad_scaler_scale(s, loss)) &&
                          lucid_grad_scaler_step(s, opt) && lucid_grad_scaler_update(s),
                      "%s", lucid_error());
            last = lucid_item(loss);
            if (k == 0) first = last;
        }
        cr_expect(last < 0.8 * first, "%s: %g to %g", lucid_dtype_name(dtypes[i]), first, last);
        lucid_grad_scaler_free(s);
        lucid_optimizer_free(opt);
        lucid_module_free(net);
    }
}
