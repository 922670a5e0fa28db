/* Mixed precision on the device: the unscale kernel against the CPU's, training with autocast and a
 * gradient scaler, kept casts beside captured steps, and the switches. */
#include "device_call.h"

CUDA_SUITE(amp);

/* ---- unscale --------------------------------------------------------------------------------- */

enum { TENSORS = 300 }; /* more than one launch takes */

/* Tensor `bad` has an element that is no number (`large`: that is none once it is divided). */
static void unscale(lucid_dtype dtype, int n, array_layout layout, int bad, bool large)
{
    static const double largest[] = {3e38, 1e308, 6e4, 3e38};
    static array here[TENSORS], there[TENSORS];
    static lucid_view mine[TENSORS], its[TENSORS];
    for (int i = 0; i < n; i++) {
        int64_t dims[] = {i % 7 == 6 ? 0 : 1 + i % 5, 1 + (i * 37) % 50};
        if (i == 3) dims[1] = 5001;
        here[i] = array_normal(dtype, 2, dims, layout, 0, 100);
        if (i == bad)
            array_set(&here[i], array_numel(&here[i]) - 1,
                      large   ? largest[dtype - LUCID_F32]
                      : i % 2 ? NAN
                              : INFINITY);
        there[i] = array_as(&here[i], layout);
        mine[i] = here[i].view;
        its[i] = device_put(&there[i]);
    }
    array scale = array_new(LUCID_F32, 0, NULL, DENSE), found[2];
    array_set(&scale, 0, large ? 0.5 : 24);
    for (int k = 0; k < 2; k++) {
        found[k] = array_new(LUCID_F32, 0, NULL, DENSE);
        array_set(&found[k], 0, 0);
    }
    lucid_view on_scale = device_put(&scale), on_found = device_put(&found[1]);
    lucid_list_attrs attrs = {n, mine};
    const lucid_view *in[] = {&scale.view}, *out[] = {&found[0].view};
    lucid_kernel_args args = {
        .op = LUCID_OP_unscale, .n_in = 1, .n_out = 1, .in = in, .out = out, .attrs = &attrs};
    cr_assert(luc_cpu_backend()->kernels[LUCID_OP_unscale][dtype].run(&args));
    attrs.views = its;
    in[0] = &on_scale;
    out[0] = &on_found;
    cr_assert(device_run(dtype, &args), "%s", lucid_error());
    device_get(&found[1], &on_found);
    cr_expect(array_get(&found[0], 0) == (bad >= 0) && array_get(&found[1], 0) == (bad >= 0),
              "%s, layout %d, %d tensors", lucid_dtype_name(dtype), (int)layout, n);
    for (int i = 0; i < n; i++) {
        device_get(&there[i], &its[i]);
        cr_expect(array_same(&here[i], &there[i]) && array_gaps_intact(&there[i]),
                  "%s, layout %d: tensor %d", lucid_dtype_name(dtype), (int)layout, i);
        device_drop(&there[i], &its[i]);
    }
    device_drop(&scale, &on_scale);
    device_drop(&found[1], &on_found);
    array_free_all();
}

Test(amp, unscale)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (int layout = 0; layout < LAYOUTS; layout++) {
            unscale((lucid_dtype)dtype, 0, (array_layout)layout, -1, false);
            unscale((lucid_dtype)dtype, 10, (array_layout)layout, -1, false);
            unscale((lucid_dtype)dtype, 10, (array_layout)layout, 3, false);
            unscale((lucid_dtype)dtype, 10, (array_layout)layout, 3, true);
            unscale((lucid_dtype)dtype, TENSORS, (array_layout)layout, TENSORS - 1, false);
        }
}

/* ---- training -------------------------------------------------------------------------------- */

typedef struct setup {
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_grad_scaler *scaler; /* NULL: none */
    lucid_tensor *x, *y;
    lucid_dtype dtype;
} setup;

static setup begin(lucid_device device, lucid_dtype dtype, bool scaled)
{
    setup s = {.dtype = dtype};
    lucid_manual_seed(9);
    s.net = nn_Sequential(nn_Linear(6, 16), nn_ReLU(), nn_Linear(16, 4));
    cr_assert(lucid_to(s.net, device), "%s", lucid_error());
    s.opt = optim_SGD(s.net, .lr = 0.1, .momentum = 0.9);
    if (scaled) s.scaler = optim_GradScaler(.init_scale = 1e9, .growth_interval = 2);
    s.x = lucid_tensor_to(lucid_randn((8, 6)), device);
    s.y = lucid_tensor_to(lucid_randint((8), 0, 4), device);
    return s;
}

static void end(setup *s)
{
    lucid_grad_scaler_free(s->scaler);
    lucid_optimizer_free(s->opt);
    lucid_module_free(s->net);
}

static lucid_tensor *loss_of(const setup *s)
{
    LUCID_AUTOCAST(s->dtype);
    return lucid_cross_entropy(lucid_forward(s->net, s->x), s->y);
}

static bool step(void *user)
{
    LUCID_SCOPE;
    setup *s = user;
    lucid_tensor *loss = loss_of(s);
    if (!s->scaler) return lucid_zero_grad(s->opt) && lucid_backward(loss) && lucid_step(s->opt);
    return lucid_zero_grad(s->opt) && lucid_backward(lucid_grad_scaler_scale(s->scaler, loss)) &&
           lucid_grad_scaler_step(s->scaler, s->opt) && lucid_grad_scaler_update(s->scaler);
}

/* Both devices give the same scales, and the same numbers up to roundings of 16 bits. */
Test(amp, trains_as_the_cpu_does)
{
    LUCID_SCOPE;
    static const lucid_dtype dtypes[] = {LUCID_BF16, LUCID_F16};
    for (int i = 0; i < 2; i++) {
        double loss[2], scale[2] = {0, 0}, first = 0;
        for (int there = 0; there < 2; there++) {
            LUCID_SCOPE;
            setup s = begin(there ? lucid_cuda(0) : lucid_cpu(), dtypes[i], dtypes[i] == LUCID_F16);
            first = lucid_item(loss_of(&s));
            for (int k = 0; k < 20; k++) cr_assert(step(&s), "%s", lucid_error());
            lucid_tensor *w = lucid_get_parameter(s.net, "0.weight");
            cr_expect(lucid_tensor_dtype(w) == LUCID_F32 &&
                      lucid_tensor_dtype(lucid_tensor_grad(w)) == LUCID_F32);
            loss[there] = lucid_item(loss_of(&s));
            if (s.scaler) scale[there] = lucid_grad_scaler_get_scale(s.scaler);
            end(&s);
        }
        cr_expect(loss[1] < 0.7 * first, "%g to %g", first, loss[1]);
        cr_expect(fabs(loss[0] - loss[1]) < 0.02 * first, "%g here, %g there", loss[0], loss[1]);
        cr_expect(scale[0] == scale[1] && scale[0] < 1e9, "%g and %g", scale[0], scale[1]);
    }
}

/* Casts that an outer scope keeps are neither recorded as they were nor used after a replay, which
 * changes the parameters unseen. */
Test(amp, kept_casts_and_captured_steps)
{
    LUCID_SCOPE;
    setup a = begin(lucid_cuda(0), LUCID_BF16, false), b = begin(lucid_cuda(0), LUCID_BF16, false);
    LUCID_AUTOCAST(LUCID_BF16);
    cr_assert(step(&a) && step(&b), "%s", lucid_error());
    lucid_graph *graph = lucid_capture(lucid_cuda(0), step, &a);
    cr_assert(graph, "%s", lucid_error());
    cr_assert(step(&b) && step(&b));
    for (int k = 0; k < 3; k++) {
        cr_expect(lucid_item(loss_of(&a)) == lucid_item(loss_of(&b)), "replay %d", k);
        cr_assert(lucid_replay(graph) && step(&b), "%s", lucid_error());
    }
    cr_expect(lucid_equal(lucid_get_parameter(a.net, "0.weight"),
                          lucid_get_parameter(b.net, "0.weight")));
    lucid_graph_free(graph);
    end(&a);
    end(&b);
}

/* A captured step cannot ask whether gradients are finite. */
Test(amp, a_scalers_step_is_not_captured)
{
    LUCID_SCOPE;
    setup s = begin(lucid_cuda(0), LUCID_F16, true);
    lucid_graph *graph = NULL;
    EXPECT_ERROR(graph = lucid_capture(lucid_cuda(0), step, &s), LUCID_ERR_STATE,
                 "cannot wait for the device");
    cr_expect(!graph);
    end(&s);
}

Test(amp, switches)
{
    LUCID_SCOPE;
    lucid_set_tf32(true);
    lucid_set_benchmark(true);
    lucid_set_deterministic(true);
    lucid_tensor *a = lucid_tensor_to(lucid_randn((5, 7)), lucid_cuda(0));
    lucid_tensor *y = lucid_matmul(a, lucid_transpose(a, 0, 1));
    cr_expect(y && lucid_equal(y, lucid_matmul(a, lucid_transpose(a, 0, 1))), "%s", lucid_error());
    lucid_set_tf32(false);
    lucid_set_benchmark(false);
    lucid_set_deterministic(false);
}
