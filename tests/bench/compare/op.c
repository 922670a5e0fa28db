/* op.c: single operators: elementwise, reductions, softmax and losses, pooling, copies, random. */
#include "row.h"

/* What in[1] is: nothing, like in[0], a class for each row, a third as many row numbers as rows. */
enum { ALONE, SECOND, CLASSES, PLACES };

/* arguments: rank, up to four sizes, channels_last, with backward, what in[1] is */
static void *setup_op(const row *r)
{
    const int64_t *a = r->arguments;
    lucid_shape shape = {.ndim = (int)a[0]};
    for (int d = 0; d < a[0]; d++) shape.dims[d] = a[1 + d];
    LUCID_SCOPE;
    job *j = job_new(r);
    job_input(j, 0, shape, 2, a[5] != 0, a[6] != 0);
    if (a[7] == SECOND) job_input(j, 1, shape, 1, a[5] != 0, false);
    if (a[7] == CLASSES) {
        lucid_tensor *y = lucid_arange(0, (double)a[1], 1);
        int64_t *class = lucid_mutable_data(y);
        for (int64_t i = 0; i < a[1]; i++) class[i] %= a[2];
        j->in[1] = lucid_retain(lucid_tensor_to(y, row_device));
    }
    if (a[7] == PLACES) {
        lucid_tensor *y = lucid_arange(0, (double)(a[1] / 3), 1);
        int64_t *place = lucid_mutable_data(y);
        for (int64_t i = 0; i < a[1] / 3; i++) place[i] = i * 7919 % a[1];
        j->in[1] = lucid_retain(lucid_tensor_to(y, row_device));
    }
    if (a[6]) {
        lucid_tensor *y = r->op(r, j->in);
        job_input(j, 2, lucid_tensor_shape(y), 1, a[5] && a[0] == 4, false);
    }
    return j;
}

static void run_op(void *state)
{
    job *j = state;
    LUCID_SCOPE;
    lucid_tensor *result[2] = {NULL};
    if (j->row->arguments[6]) {
        result[0] = j->row->op(j->row, j->in);
        lucid_grad(result, 1, &j->in[0], 1, &result[1], .gradients = &j->in[2]);
        job_show(j, result, 2);
    } else {
        LUCID_NO_GRAD;
        result[0] = j->row->op(j->row, j->in);
        if (j->row->value) job_show(j, result, 1);
    }
}

static lucid_tensor *randn_like(const lucid_tensor *x)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.device = row_device;
    return lucid_randn_opt(lucid_tensor_shape(x), &o);
}

#define OP(name, expression)                                              \
    static lucid_tensor *op_##name(const row *r, lucid_tensor *const *in) \
    {                                                                     \
        (void)r;                                                          \
        (void)in;                                                         \
        return expression;                                                \
    }
OP(relu, lucid_relu(in[0]))
OP(add, lucid_add(in[0], in[1]))
OP(exp, lucid_exp(in[0]))
OP(tanh, lucid_tanh(in[0]))
OP(gelu, lucid_gelu(in[0], false))
OP(sigmoid, lucid_sigmoid(in[0]))
OP(clone, lucid_clone(in[0], LUCID_CONTIGUOUS))
OP(transpose, lucid_contiguous(lucid_transpose(in[0], 0, 1), LUCID_CONTIGUOUS))
OP(to_channels_last, lucid_contiguous(in[0], LUCID_CHANNELS_LAST))
OP(dropout, lucid_dropout(in[0], 0.5, true))
OP(randn, randn_like(in[0]))
OP(sum, lucid_sum(in[0]))
OP(sum_rows, lucid_sum(in[0], 1))
OP(sum_columns, lucid_sum(in[0], 0))
OP(mean_hw, lucid_mean(in[0], (2, 3)))
OP(var_columns, lucid_var(in[0], 0))
OP(max, lucid_max(in[0]))
OP(argmax, lucid_argmax(in[0], 1))
OP(sort, lucid_sort(in[0], -1).values)
OP(sort_0, lucid_sort(in[0], 0).values)
OP(argsort, lucid_argsort(in[0], -1))
OP(topk, lucid_topk(in[0], 5).values)
OP(topk_100, lucid_topk(in[0], 100).values)
OP(softmax, lucid_softmax(in[0], 1))
OP(log_softmax, lucid_log_softmax(in[0], 1))
OP(cross_entropy, lucid_cross_entropy(in[0], in[1]))
OP(index_select, lucid_index_select(in[0], 0, in[1]))
OP(matmul, lucid_matmul(in[0], in[1]))
OP(max_pool2, lucid_max_pool2d(in[0], 2))
OP(max_pool3, lucid_max_pool2d(in[0], 3, .stride = 2, .padding = 1))
OP(avg_pool2, lucid_avg_pool2d(in[0], 2))
OP(global_pool, lucid_adaptive_avg_pool2d(in[0], 1))

#define M (1024.0 * 1024.0)
/* moved: bytes that must be read and written at least */
#define ROW(label, what, tol, moved, ...)                                               \
    {                                                                                   \
        .name = label, .twin = #what, .arguments = {__VA_ARGS__}, .setup = setup_op,    \
        .run = run_op, .teardown = job_teardown, .value = (tol) > 0 ? job_value : NULL, \
        .tolerance = tol, .bytes = moved, .op = op_##what,                              \
    }
#define POOL(label, what, n, c, h, last, layout, outputs)                                         \
    ROW(label " forward " layout, what, 1e-5, 4.0 * (n) * (c) * ((h) * (h) + (outputs)), 4, n, c, \
        h, h, last, 0),                                                                           \
        ROW(label " forward+backward " layout, what, 1e-5,                                        \
            8.0 * (n) * (c) * ((h) * (h) + (outputs)), 4, n, c, h, h, last, 1)
#define POOLS(label, what, n, c, h, outputs) \
    POOL(label, what, n, c, h, 0, "nchw", outputs), POOL(label, what, n, c, h, 1, "cl", outputs)

const row op_rows[] = {
    ROW("relu 16M", relu, 1e-6, 128 * M, 1, 1 << 24),
    ROW("add 16M", add, 1e-6, 192 * M, 1, 1 << 24, 0, 0, 0, 0, 0, SECOND),
    ROW("exp 16M", exp, 1e-5, 128 * M, 1, 1 << 24),
    ROW("tanh 16M", tanh, 1e-5, 128 * M, 1, 1 << 24),
    ROW("gelu 16M", gelu, 1e-5, 128 * M, 1, 1 << 24),
    ROW("sigmoid 16M", sigmoid, 1e-5, 128 * M, 1, 1 << 24),
    ROW("relu 1024", relu, 1e-6, 0, 1, 1024),
    ROW("dropout 16M", dropout, 0, 128 * M, 1, 1 << 24),
    ROW("randn 16M", randn, 0, 64 * M, 1, 1 << 24),
    ROW("clone 16M", clone, 1e-6, 128 * M, 1, 1 << 24),
    ROW("transpose copy 4096x4096", transpose, 1e-6, 128 * M, 2, 4096, 4096),
    ROW("to channels_last 64x64x56x56", to_channels_last, 1e-6, 8.0 * 64 * 64 * 56 * 56, 4, 64, 64,
        56, 56),
    ROW("sum 16M", sum, 1e-5, 64 * M, 1, 1 << 24),
    ROW("sum of rows 4096x4096", sum_rows, 1e-4, 64 * M, 2, 4096, 4096),
    ROW("sum of columns 4096x4096", sum_columns, 1e-4, 64 * M, 2, 4096, 4096),
    ROW("var of columns 4096x4096", var_columns, 1e-4, 64 * M, 2, 4096, 4096),
    ROW("mean of planes 64x256x14x14", mean_hw, 1e-3, 4.0 * 64 * 256 * 196, 4, 64, 256, 14, 14),
    ROW("max 16M", max, 1e-6, 64 * M, 1, 1 << 24),
    ROW("argmax of rows 4096x4096", argmax, 1e-6, 64 * M, 2, 4096, 4096),
    ROW("sort of rows 4096x1024", sort, 1e-6, 64 * M, 2, 4096, 1024),
    ROW("sort of columns 4096x1024", sort_0, 1e-6, 64 * M, 2, 4096, 1024),
    ROW("sort 4M", sort, 1e-6, 64 * M, 1, 1 << 22),
    ROW("sort 100000x10", sort, 1e-6, 16e6, 2, 100000, 10),
    ROW("sort forward+backward 4096x1024", sort, 1e-6, 96 * M, 2, 4096, 1024, 0, 0, 0, 1),
    ROW("argsort of rows 4096x1024", argsort, 1e-4, 48 * M, 2, 4096, 1024),
    ROW("topk 5 of rows 4096x1000", topk, 1e-6, 16e6, 2, 4096, 1000),
    ROW("topk 100 of rows 4096x1000", topk_100, 1e-6, 16e6, 2, 4096, 1000),
    ROW("topk 5 of 4M", topk, 1e-6, 16 * M, 1, 1 << 22),
    ROW("softmax 4096x1000", softmax, 1e-5, 8.0 * 4096e3, 2, 4096, 1000),
    ROW("softmax 64x10", softmax, 1e-5, 0, 2, 64, 10),
    ROW("log_softmax forward+backward 4096x1000", log_softmax, 1e-4, 20.0 * 4096e3, 2, 4096, 1000,
        0, 0, 0, 1),
    ROW("cross_entropy forward+backward 4096x1000", cross_entropy, 1e-4, 8.0 * 4096e3, 2, 4096,
        1000, 0, 0, 0, 1, CLASSES),
    ROW("cross_entropy forward+backward 64x10", cross_entropy, 1e-4, 0, 2, 64, 10, 0, 0, 0, 1,
        CLASSES),
    ROW("index_select 16666 of 50000x128", index_select, 1e-6, 8.0 * 16666 * 128, 2, 50000, 128, 0,
        0, 0, 0, PLACES),
    ROW("index_select forward+backward 16666 of 50000x128", index_select, 1e-6,
        4.0 * 128 * (4 * 16666 + 50000), 2, 50000, 128, 0, 0, 0, 1, PLACES),
    {.name = "gelu 16M bf16",
     .twin = "gelu",
     .arguments = {1, 1 << 24},
     .setup = setup_op,
     .run = run_op,
     .teardown = job_teardown,
     .value = job_value,
     .tolerance = 1e-3,
     .bytes = 64 * M,
     .half = true,
     .everywhere = true,
     .op = op_gelu},
    POOLS("max pool 2 64x64x28x28", max_pool2, 64, 64, 28, 14 * 14),
    POOLS("max pool 3/2 8x64x112x112", max_pool3, 8, 64, 112, 56 * 56),
    POOLS("avg pool 2 64x64x28x28", avg_pool2, 64, 64, 28, 14 * 14),
    POOLS("global avg pool 32x512x7x7", global_pool, 32, 512, 7, 1),
#define PRODUCT(n)                                                                          \
    {                                                                                       \
        .name = "matmul " #n, .twin = "matmul", .arguments = {2, n, n, 0, 0, 0, 0, SECOND}, \
        .setup = setup_op, .run = run_op, .teardown = job_teardown, .value = job_value,     \
        .tolerance = 1e-4, .flops = 2.0 * (n) * (n) * (n), .bytes = 12.0 * (n) * (n),       \
        .op = op_matmul,                                                                    \
    }
    PRODUCT(64),
    PRODUCT(1024),
    PRODUCT(2048),
    {.name = NULL},
};
