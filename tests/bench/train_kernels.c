/* The CPU kernels of a training step besides products and convolutions: time, and how much memory
 * they move a second, to be read beside `limits`. Nothing is allocated while the clock runs. */
#include "bench.h"
#include "tests/backends/kernel_call.h"

typedef struct {
    lucid_kernel_args args;
    const lucid_view *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS];
    array arrays[LUCID_MAX_INPUTS + LUCID_MAX_OUTPUTS];
    lucid_kernel kernel;
    lucid_plan plan;
} call;

static void run(void *context)
{
    call *c = context;
    if (!c->kernel.run(&c->args)) abort();
}

static void prepare(call *c, lucid_op_id op, lucid_dtype dtype, const void *attrs, int n_in,
                    int n_out)
{
    const lucid_backend *cpu = luc_cpu_backend();
    c->args =
        (lucid_kernel_args){.op = op, .n_in = n_in, .n_out = n_out, .in = c->in, .out = c->out};
    for (int i = 0; i < n_in; i++)
        c->in[i] = c->arrays[i].view.dtype < LUCID_DTYPE_COUNT ? &c->arrays[i].view : NULL;
    for (int i = 0; i < n_out; i++) c->out[i] = &c->arrays[n_in + i].view;
    c->args.attrs = attrs;
    c->kernel = cpu->kernels[op][dtype];
    c->plan.workspace = 0;
    if (c->kernel.plan && !c->kernel.plan(&c->args, &c->plan)) abort();
    c->args.plan = &c->plan;
    c->args.workspace = aligned_alloc(64, (c->plan.workspace + 127) & ~(size_t)63);
    if (!c->args.workspace) abort();
}

/* passes: how often the data of array 0 goes to or from memory at least. */
static void finish(call *c, const char *name, double gigabytes)
{
    bench_row(name, bench_time(run, c), gigabytes, "GB/s");
    free(c->args.workspace);
    array_free_all();
}

static const char *const layouts[] = {"nchw", "nhwc"};

static char *row_name(const char *what, const int64_t *d, int layout)
{
    static char text[100];
    snprintf(text, sizeof text, "%s %dx%dx%dx%d %s", what, (int)d[0], (int)d[1], (int)d[2],
             (int)d[3], layouts[layout]);
    return text;
}

static double gigabytes(const int64_t *d, double passes)
{
    return 4e-9 * passes * (double)(d[0] * d[1] * d[2] * d[3]);
}

static void batch_norm(int argc, char **argv, const int64_t *d, int layout)
{
    const array_layout l = layout ? CHANNELS_LAST : DENSE;
    const char *const what[] = {"batch_norm", "batch_norm eval", "batch_norm backward"};
    for (int kind = 0; kind < 3; kind++) {
        char *name = row_name(what[kind], d, layout);
        if (!bench_wanted(argc, argv, name)) continue;
        call c = {0};
        lucid_batch_norm_attrs attrs = {
            .eps = 1e-5, .momentum = 0.1, .training = kind != 1, .want = 7};
        array x = array_normal(LUCID_F32, 4, d, l, 0, 1),
              y = array_normal(LUCID_F32, 4, d, l, 0, 1);
        array p[5], mean = array_normal(LUCID_F64, 1, d + 1, DENSE, 0, 0.1);
        array invstd = array_normal(LUCID_F64, 1, d + 1, DENSE, 1, 0.1);
        for (int i = 0; i < 5; i++) p[i] = array_normal(LUCID_F32, 1, d + 1, DENSE, 1, 0.1);
        if (kind < 2) {
            array all[] = {x, p[0], p[1], p[2], p[3], y, mean, invstd};
            memcpy(c.arrays, all, sizeof all);
            prepare(&c, LUCID_OP_batch_norm, LUCID_F32, &attrs, 5, 3);
        } else {
            array dx = array_new(LUCID_F32, 4, d, l);
            array all[] = {y, x, p[0], mean, invstd, dx, p[1], p[2]};
            memcpy(c.arrays, all, sizeof all);
            prepare(&c, LUCID_OP_batch_norm_backward, LUCID_F32, &attrs, 5, 3);
        }
        finish(&c, name, gigabytes(d, kind == 0 ? 3 : kind == 1 ? 2 : 5));
    }
}

static void max_pool(int argc, char **argv, const int64_t *d, int layout)
{
    const array_layout l = layout ? CHANNELS_LAST : DENSE;
    static const lucid_pool2d_attrs attrs0 = {
        .kernel = {2, 2}, .stride = {2, 2}, .dilation = {1, 1}};
    for (int backward = 0; backward < 2; backward++) {
        char *name = row_name(backward ? "max_pool2d backward" : "max_pool2d", d, layout);
        if (!bench_wanted(argc, argv, name)) continue;
        call c = {0};
        lucid_pool2d_attrs attrs = attrs0;
        attrs.size[0] = d[2], attrs.size[1] = d[3];
        int64_t half[] = {d[0], d[1], d[2] / 2, d[3] / 2};
        array x = array_normal(LUCID_F32, 4, d, l, 0, 1), y = array_new(LUCID_F32, 4, half, l);
        array index = array_new(LUCID_I32, 4, half, l);
        array forward[] = {x, y, index}, back[] = {y, index, x};
        memcpy(c.arrays, forward, sizeof forward);
        prepare(&c, LUCID_OP_max_pool2d, LUCID_F32, &attrs, 1, 2);
        run(&c);
        if (backward) {
            free(c.args.workspace);
            memcpy(c.arrays, back, sizeof back);
            prepare(&c, LUCID_OP_max_pool2d_backward, LUCID_F32, &attrs, 2, 1);
        }
        finish(&c, name, gigabytes(d, 1.5));
    }
}

static void dropout(int argc, char **argv)
{
    for (int backward = 0; backward < 2; backward++) {
        const char *name = backward ? "dropout backward 16M" : "dropout 16M";
        if (!bench_wanted(argc, argv, name)) continue;
        call c = {0};
        int64_t n = 16 << 20, d[] = {n, 1, 1, 1};
        lucid_random_attrs attrs = {.seed = 1, .a = 0.25};
        array x = array_normal(LUCID_F32, 1, &n, DENSE, 0, 1),
              y = array_new(LUCID_F32, 1, &n, DENSE);
        array mask = array_new(LUCID_U8, 1, &n, DENSE);
        array forward[] = {x, y, mask}, back[] = {y, mask, x};
        memcpy(c.arrays, backward ? back : forward, sizeof forward);
        if (backward)
            prepare(&c, LUCID_OP_dropout_backward, LUCID_F32, &attrs, 2, 1);
        else
            prepare(&c, LUCID_OP_dropout, LUCID_F32, &attrs, 1, 2);
        finish(&c, name, gigabytes(d, 2.25));
    }
}

enum { TENSORS = 62 };

static void optimizer(int argc, char **argv, const char *name, lucid_op_id op, int states,
                      double passes)
{
    static lucid_view views[5][TENSORS];
    static bool first[TENSORS];
    static int64_t step[TENSORS];
    if (!bench_wanted(argc, argv, name)) return;
    int64_t n = 11200000 / TENSORS;
    for (int i = 0; i < TENSORS; i++) {
        for (int k = 0; k < 2 + states; k++) {
            array a = array_normal(LUCID_F32, 1, &n, DENSE, 1, 0.01);
            views[k][i] = a.view;
        }
        step[i] = 10;
    }
    lucid_optim_attrs attrs = {.n = TENSORS,
                               .param = views[0],
                               .grad = views[1],
                               .state = {views[2], views[3], views[4]},
                               .first = first,
                               .step = step,
                               .lr = 1e-6,
                               .momentum = 0.9,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .rho = 0.9};
    call c = {0};
    prepare(&c, op, LUCID_F32, &attrs, 0, 0);
    finish(&c, name, 4e-9 * passes * (double)(n * TENSORS));
}

static void softmax(int argc, char **argv, int64_t rows, int64_t columns, int dim)
{
    char name[100];
    snprintf(name, sizeof name, "log_softmax %dx%d along %d", (int)rows, (int)columns, dim);
    if (!bench_wanted(argc, argv, name)) return;
    call c = {0};
    int64_t d[] = {rows, columns, 1, 1};
    lucid_dim_attrs attrs = {.dim = dim};
    c.arrays[0] = array_normal(LUCID_F32, 2, d, DENSE, 0, 1);
    c.arrays[1] = array_new(LUCID_F32, 2, d, DENSE);
    prepare(&c, LUCID_OP_log_softmax, LUCID_F32, &attrs, 1, 1);
    finish(&c, name, gigabytes(d, 2));
}

int main(int argc, char **argv)
{
    static const int64_t shapes[][4] = {
        {64, 64, 56, 56}, {64, 256, 14, 14}, {256, 32, 28, 28}, {8, 64, 32, 32}, {64, 32, 28, 28}};
    for (int s = 0; s < 5; s++)
        for (int layout = 0; layout < 2; layout++) batch_norm(argc, argv, shapes[s], layout);
    static const int64_t images[][4] = {{64, 64, 28, 28}, {64, 64, 14, 14}};
    for (int s = 0; s < 2; s++)
        for (int layout = 0; layout < 2; layout++) max_pool(argc, argv, images[s], layout);
    dropout(argc, argv);
    optimizer(argc, argv, "sgd momentum 11.2M", LUCID_OP_sgd_step, 1, 5);
    optimizer(argc, argv, "adam 11.2M", LUCID_OP_adam_step, 2, 7);
    optimizer(argc, argv, "adadelta 11.2M", LUCID_OP_adadelta_step, 2, 7);
    softmax(argc, argv, 64, 10, 1);
    softmax(argc, argv, 4096, 1000, 1);
    softmax(argc, argv, 1000, 4096, 0);
    return 0;
}
