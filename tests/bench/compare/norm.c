/* norm.c: BatchNorm2d, alone and with what follows it in a residual block. */
#include "row.h"

enum { FORWARD, BACKWARD, EVAL };

/* The end of a residual block: a module of two inputs. */
typedef struct block_end {
    lucid_module base;
    lucid_module *bn;
} block_end;

static bool block_end_forward(lucid_module *m, lucid_tensor *const *in, int n_in,
                              lucid_tensor **out, int n_out)
{
    (void)n_in, (void)n_out;
    lucid_module *bn = lucid_self(m, block_end)->bn;
    out[0] = lucid_relu(lucid_add(lucid_forward(bn, in[0]), in[1]));
    return out[0] != NULL;
}

static const lucid_module_class block_end_class = {.name = "BlockEnd",
                                                   .size = sizeof(block_end),
                                                   .super = &lucid_module_class_base,
                                                   .forward_many = block_end_forward,
                                                   .inputs = "input, residual"};

static lucid_module *make_block_end(int64_t channels)
{
    lucid_module *m = lucid_module_new(&block_end_class);
    lucid_register_module(m, "0", &lucid_self(m, block_end)->bn, nn_BatchNorm2d(channels));
    return m;
}

/* out = relu(bn(x) + skip), where there is a ReLU and a skip. arguments: N, C, H (= W),
 * channels_last, mode, with ReLU, with skip */
static void *setup_norm(const row *r)
{
    const int64_t *a = r->arguments;
    const lucid_shape shape = LUCID_SHAPE(a[0], a[1], a[2], a[2]);
    const bool last = a[3] != 0, backward = a[4] == BACKWARD;
    job *j = job_new(r);
    j->net = a[6] ? make_block_end(a[1]) : nn_Sequential(nn_BatchNorm2d(a[1]));
    if (a[5] && !a[6]) lucid_sequential_append(j->net, nn_ReLU());
    row_fill(lucid_get_parameter(j->net, "0.weight"), 0.5, 1);
    row_fill(lucid_get_parameter(j->net, "0.bias"), 0.5, 0);
    row_fill(lucid_get_buffer(j->net, "0.running_mean"), 0.5, 0);
    row_fill(lucid_get_buffer(j->net, "0.running_var"), 0.5, 1);
    lucid_to(j->net, row_device);
    lucid_set_training(j->net, a[4] != EVAL);
    job_input(j, 0, shape, 1, last, backward);
    if (backward) job_input(j, 1, shape, 1, last, false); /* the gradient that comes in */
    if (a[6]) job_input(j, 2, shape, 0.7, last, backward);
    return j;
}

static lucid_tensor *forward(const job *j)
{
    return j->in[2] ? lucid_forward(j->net, j->in[0], j->in[2]) : lucid_forward(j->net, j->in[0]);
}

static void run_norm(void *state)
{
    job *j = state;
    LUCID_SCOPE;
    if (j->row->arguments[4] != BACKWARD) {
        LUCID_NO_GRAD;
        lucid_tensor *y = forward(j);
        job_show(j, &y, 1);
        return;
    }
    lucid_tensor *wanted[4] = {j->in[0], lucid_get_parameter(j->net, "0.weight"),
                               lucid_get_parameter(j->net, "0.bias"), j->in[2]};
    lucid_tensor *got[5] = {forward(j)};
    const int n = j->in[2] ? 4 : 3;
    lucid_grad(got, 1, wanted, (size_t)n, got + 1, .gradients = &j->in[1]);
    job_show(j, got, n + 1);
}

/* passes: how often an array of the input's size is read or written at least, where no cache holds
 * it. Forward: x for the statistics, x again, y. Backward: x and the gradient for the sums, both
 * again, the gradient that goes out. */
#define ROW(label, layout, last, n, c, h, mode, relu, skip, passes)                           \
    {                                                                                         \
        .name = label " " #n "x" #c "x" #h "x" #h " " layout, .twin = "norm",                 \
        .arguments = {n, c, h, last, mode, relu, skip}, .setup = setup_norm, .run = run_norm, \
        .teardown = job_teardown, .value = job_value, .tolerance = 1e-4,                      \
        .bytes = 4.0 * (passes) * (n) * (c) * (h) * (h),                                      \
    }
#define HALF(n, c, h, layout, last)                                                       \
    {                                                                                     \
        .name = "BatchNorm train+backward " #n "x" #c "x" #h "x" #h " bf16 " layout,      \
        .twin = "norm", .arguments = {n, c, h, last, BACKWARD}, .setup = setup_norm,      \
        .run = run_norm, .teardown = job_teardown, .value = job_value, .tolerance = 2e-2, \
        .bytes = 2.0 * 8 * (n) * (c) * (h) * (h), .half = true,                           \
    }
#define BOTH(label, n, c, h, mode, relu, skip, passes)        \
    ROW(label, "nchw", 0, n, c, h, mode, relu, skip, passes), \
        ROW(label, "cl", 1, n, c, h, mode, relu, skip, passes)
#define SHAPE(n, c, h)                                                          \
    BOTH("BatchNorm train", n, c, h, FORWARD, 0, 0, 3),                         \
        BOTH("BatchNorm train+backward", n, c, h, BACKWARD, 0, 0, 8),           \
        BOTH("BatchNorm eval", n, c, h, EVAL, 0, 0, 2),                         \
        BOTH("BatchNorm+ReLU train+backward", n, c, h, BACKWARD, 1, 0, 8),      \
        BOTH("BatchNorm+ReLU eval", n, c, h, EVAL, 1, 0, 2),                    \
        BOTH("BatchNorm+add+ReLU train+backward", n, c, h, BACKWARD, 1, 1, 10), \
        BOTH("BatchNorm+add+ReLU eval", n, c, h, EVAL, 1, 1, 3)

const row norm_rows[] = {
    SHAPE(64, 64, 56),
    SHAPE(64, 256, 14),
    SHAPE(256, 32, 28),
    SHAPE(8, 64, 32),
    HALF(64, 64, 56, "nchw", 0),
    HALF(64, 64, 56, "cl", 1),
    HALF(64, 256, 14, "nchw", 0),
    HALF(64, 256, 14, "cl", 1),
    HALF(256, 64, 112, "cl", 1),
    {.name = NULL},
};
