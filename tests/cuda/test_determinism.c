/* test_determinism.c: the same work gives the same bits, on the device as on the CPU: losses,
 * parameters, running statistics and the optimizer's state after several steps, twice. */
#include "small_net.h"

CUDA_SUITE(determinism);

enum { STEPS = 3 };

/* All that is left of a training run, in one row of bytes. */
typedef struct outcome {
    double loss[STEPS];
    size_t size;
    double *values;
} outcome;

static void append(outcome *o, const lucid_tensor *t)
{
    size_t n = (size_t)lucid_numel(t);
    o->values = realloc(o->values, (o->size + n + 1) * sizeof *o->values);
    cr_assert(o->values && lucid_to_doubles(t, o->values + o->size, n), "%s", lucid_error());
    o->size += n;
}

static outcome train(lucid_dtype dtype, bool adam)
{
    LUCID_SCOPE;
    outcome o = {.size = 0};
    lucid_module *net = small_net(dtype, 9);
    cr_assert(lucid_to(net, lucid_cuda(0)), "%s", lucid_error());
    lucid_optimizer *opt =
        adam ? optim_AdamW(net, .lr = 0.01) : optim_SGD(net, .lr = 0.05, .momentum = 0.9);
    cr_assert(opt, "%s", lucid_error());
    small_train(net, opt, dtype, lucid_cuda(0), STEPS, o.loss);
    size_t n;
    const lucid_named_tensor *t = lucid_named_parameters(net, &n);
    for (size_t i = 0; i < n; i++) {
        append(&o, t[i].tensor);
        append(&o, lucid_tensor_grad(t[i].tensor));
    }
    t = lucid_named_buffers(net, &n);
    for (size_t i = 0; i < n; i++) append(&o, t[i].tensor);
    lucid_state_dict *state = lucid_optimizer_state_dict(opt);
    cr_assert(state, "%s", lucid_error());
    for (size_t i = 0; i < lucid_state_dict_size(state); i++)
        append(&o, lucid_state_dict_at(state, i).tensor);
    lucid_state_dict_free(state);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return o;
}

static void twice(lucid_dtype dtype, bool adam)
{
    outcome a = train(dtype, adam);
    /* Other memory than the first time: what is read before it is written would show. */
    lucid_tensor *in_between = lucid_retain(lucid_full((1000), NAN, .device = lucid_cuda(0)));
    outcome b = train(dtype, adam);
    lucid_release(in_between);
    cr_assert(a.size == b.size && a.size > 0);
    cr_expect(memcmp(a.loss, b.loss, sizeof a.loss) == 0, "%s: the losses differ",
              lucid_dtype_name(dtype));
    for (size_t i = 0; i < a.size; i++)
        if (memcmp(&a.values[i], &b.values[i], sizeof *a.values) != 0) {
            cr_expect(false, "%s: number %zu: %.17g and %.17g", lucid_dtype_name(dtype), i,
                      a.values[i], b.values[i]);
            break;
        }
    free(a.values);
    free(b.values);
}

Test(determinism, two_trainings_give_the_same_bits)
{
    twice(LUCID_F32, false);
    twice(LUCID_F64, false);
    twice(LUCID_F32, true);
}

/* Every operation of which a faster way would add in the order of arrival. */
Test(determinism, gradients_of_scattered_sums)
{
    LUCID_SCOPE;
    enum { ROWS = 50, PICKS = 700 };
    int64_t picks[PICKS];
    for (int i = 0; i < PICKS; i++) picks[i] = i * i % ROWS;
    lucid_tensor *index =
        lucid_tensor_to(lucid_from_data((PICKS), picks, .dtype = LUCID_I64), lucid_cuda(0));
    double values[ROWS * 3];
    for (int i = 0; i < ROWS * 3; i++) values[i] = sin(i);
    lucid_tensor *first = NULL;
    for (int i = 0; i < 3; i++) {
        lucid_tensor_options o = lucid_tensor_defaults;
        o.device = lucid_cuda(0);
        lucid_tensor *x = lucid_requires_grad_(
            lucid_from_doubles_opt(LUCID_SHAPE(ROWS, 3), values, ROWS * 3, &o), true);
        lucid_tensor *y = lucid_tanh(lucid_mul_scalar(lucid_index_select(x, 0, index), 3));
        cr_assert(lucid_backward(lucid_sum(lucid_mul(y, y))), "%s", lucid_error());
        if (first) cr_expect(lucid_equal(first, lucid_tensor_grad(x)));
        if (!first) first = lucid_clone(lucid_tensor_grad(x), LUCID_PRESERVE);
    }
}
