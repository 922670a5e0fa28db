/* custom_op.c: an operator of your own with a kernel and a derivative, which is checked and then
 * trained through: the snake, x + sin(a x)^2 / a (Ziyin et al., 2020), which learns waves; a = 3.
 *
 *     custom_op --quick                      a few seconds */
#include "common/arguments.h"

#include <lucid/extend.h>
#include <math.h>
#include <stdio.h>

static const char help[] = "Trains a network with an operator of its own to follow a wave.\n\n"
                           "  --epochs N    hundreds of steps (20)\n"
                           "  --quick       3 hundred\n";

static const double rate = 3; /* how often the wave goes up and down */

/* A kernel for a dtype: inputs and output have the same sizes, row by row. */
#define SNAKE_KERNEL(name, type, sine)                        \
    static bool name(const lucid_kernel_args *args)           \
    {                                                         \
        const lucid_view *x = args->in[0], *y = args->out[0]; \
        const type *from = x->data;                           \
        type *to = y->data;                                   \
        int64_t n = 1;                                        \
        for (int d = 0; d < y->ndim; d++) n *= y->dims[d];    \
        for (int64_t i = 0; i < n; i++) {                     \
            const type s = sine((type)rate * from[i]);        \
            to[i] = from[i] + s * s / (type)rate;             \
        }                                                     \
        return true;                                          \
    }
SNAKE_KERNEL(snake_f32, float, sinf)
SNAKE_KERNEL(snake_f64, double, sin)

static uint32_t snake_saves(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0);
}

/* 1 + sin(2 a x), written in operators, so that it can be differentiated again: sin(2 u) is
 * 2 sin(u) cos(u). */
static bool snake_vjp(lucid_vjp *v)
{
    lucid_tensor *slope = lucid_add(lucid_sin(lucid_mul(lucid_saved_input(v, 0), 2 * rate)), 1);
    v->grad_in[0] = lucid_mul(v->grad_out[0], slope);
    return v->grad_in[0] != NULL;
}

static const lucid_op snake_op = {
    .name = "snake",
    .schema = "x",
    .doc = "x + sin(a x)^2 / a",
    .id = LUCID_OP_CUSTOM,
    .n_in = 1,
    .n_out = 1,
    .kernels = {[LUCID_F32] = snake_f32, [LUCID_F64] = snake_f64},
    .saves = snake_saves,
    .vjp = snake_vjp,
};

static lucid_tensor *snake(lucid_tensor *x)
{
    x = lucid_contiguous(x, LUCID_CONTIGUOUS); /* the kernel walks x row by row */
    return lucid_apply(&snake_op, (lucid_tensor *[]){x}, 1, NULL);
}

static bool snake_of(lucid_tensor *const *in, size_t n_in, lucid_tensor **out, size_t *n_out,
                     void *user)
{
    (void)n_in, (void)user;
    out[0] = snake(in[0]);
    *n_out = 1;
    return out[0] != NULL;
}

/* The first and the second derivative, beside central differences. */
static void check(void)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_randn((3, 4), .dtype = LUCID_F64);
    lucid_requires_grad_(x, true);
    const bool first = lucid_gradcheck(snake_of, NULL, &x, 1, NULL);
    const bool second = first && lucid_gradgradcheck(snake_of, NULL, &x, 1, NULL);
    printf("derivatives are right: %s\n", first && second ? "yes" : "no");
}

static lucid_tensor *snake_forward(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return snake(x);
}

static const lucid_module_class Snake_class = {
    .name = "Snake",
    .size = sizeof(lucid_module),
    .super = &lucid_module_class_base,
    .forward = snake_forward,
};

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    check();
    lucid_module *net =
        nn_Sequential(nn_Linear(1, 32), lucid_module_new(&Snake_class), nn_Linear(32, 32),
                      lucid_module_new(&Snake_class), nn_Linear(32, 1));
    lucid_optimizer *opt = optim_Adam(net, .lr = 3e-3);
    const int epochs = arguments_epochs(&a, 20, 3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0;
        for (int step = 0; step < 100; step++) {
            LUCID_SCOPE;
            lucid_tensor *x = lucid_sub(lucid_mul(lucid_rand((128, 1)), 8), 4); /* -4 to 4 */
            lucid_tensor *y = lucid_add(lucid_sin(lucid_mul(x, 2)), lucid_mul(x, 0.2));
            lucid_tensor *loss = lucid_mse_loss(lucid_forward(net, x), y);
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss);
        }
        printf("epoch %d: loss %.5f\n", epoch, sum / 100);
    }
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return lucid_finish();
}
