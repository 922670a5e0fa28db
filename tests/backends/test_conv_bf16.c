/* test_conv_bf16.c: convolutions of bfloat16 in 16-bit instructions: every level, of which generic
   emulates the tiles, against the plain loops in double. */
#include "tests/backends/conv_case.h"

#include "backends/cpu/simd/simd.h"
#include "backends/cpu/threads/parallel.h"

typedef struct {
    int64_t n;
    double *d, *size; /* the numbers, and their absolute values */
    uint16_t *h;      /* the numbers, exactly */
} numbers;

static numbers filled(int64_t n)
{
    numbers a = {n, block((size_t)n * 8), block((size_t)n * 8), block((size_t)n * 2)};
    for (int64_t i = 0; i < n; i++) {
        a.h[i] = luc_f32_to_bf16((float)uniform());
        a.d[i] = (double)luc_bf16_to_f32(a.h[i]);
        a.size[i] = fabs(a.d[i]);
    }
    return a;
}

static void release(numbers *a)
{
    free(a->d), free(a->size), free(a->h);
}

static int64_t count(const luc_conv2d_params *p, luc_conv_pass result)
{
    if (result == LUC_CONV_FORWARD) return p->n * p->o * p->oh * p->ow;
    if (result == LUC_CONV_GRAD_INPUT) return p->n * p->c * p->h * p->w;
    return p->o * (p->c / p->groups) * p->kh * p->kw;
}

static void run_once(const luc_conv2d_params *p, luc_conv_pass pass, const uint16_t *a,
                     const uint16_t *b, const luc_conv_epilogue *then, uint16_t *out,
                     uint16_t *bias, int ask, int threads)
{
    enum { BEYOND = 4096 };
    luc_set_num_threads(ask);
    const luc_conv2d_plan plan = luc_conv2d_make_plan(p, LUC_CONV_BF16, pass, NULL);
    luc_set_num_threads(threads);
    cr_assert(strncmp(luc_conv_name(plan.algorithm), "block", 5) == 0);
    unsigned char *workspace = block(plan.workspace + BEYOND);
    memset(workspace, 0xff, plan.workspace + BEYOND); /* NaN */
    memset(out, 0xff, (size_t)count(p, pass) * 2);
    if (pass == LUC_CONV_FORWARD)
        luc_conv2d_forward(&plan, a, b, then, out, workspace);
    else if (pass == LUC_CONV_GRAD_INPUT)
        luc_conv2d_grad_input(&plan, a, b, out, workspace);
    else
        luc_conv2d_grad_weight(&plan, a, b, out, bias, workspace);
    for (int i = 0; i < BEYOND; i++)
        cr_assert_eq(workspace[plan.workspace + (size_t)i], 0xff, "pass %d: beyond the workspace",
                     pass);
    free(workspace);
    luc_set_num_threads(0);
}

static void compare(const luc_conv2d_params *p, const char *what, const uint16_t *got,
                    const double *want, const double *size, int64_t n)
{
    char text[200];
    describe(p, text, sizeof text);
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)luc_bf16_to_f32(got[i]);
        cr_assert(fabs(x - want[i]) <= fabs(want[i]) * 0x1.01p-8 + 4e-6 * size[i] + 1e-30,
                  "%s: %s[%d]: expected %.9g, got %.9g", text, what, (int)i, want[i], x);
    }
}

/* With 3 threads, then with the plan for fewer or more than there are: the same bits. */
static void run(const luc_conv2d_params *p, luc_conv_pass pass, const numbers *a, const numbers *b,
                const luc_conv_epilogue *then, const double *want, const double *size)
{
    static const int asked[] = {1, 7}, set[] = {3, 1};
    const int64_t n = count(p, pass);
    uint16_t *got = block((size_t)n * 2), *again = block((size_t)n * 2);
    uint16_t *bias = block((size_t)p->o * 2);
    run_once(p, pass, a->h, b->h, then, got, NULL, 3, 3);
    for (int i = 0; i < 2; i++) {
        run_once(p, pass, a->h, b->h, then, again, bias, asked[i], set[i]);
        cr_assert(memcmp(got, again, (size_t)n * 2) == 0, "pass %d: threads change bits", pass);
    }
    compare(p,
            pass == LUC_CONV_FORWARD      ? "y"
            : pass == LUC_CONV_GRAD_INPUT ? "dx"
                                          : "dw",
            got, want, size, n);
    free(got), free(again), free(bias);
}

/* scale, shift, residual, ReLU: those whose bits are set in `which`. */
static void check_forward(const luc_conv2d_params *p, const numbers *x, const numbers *w, int which)
{
    const int64_t n = count(p, LUC_CONV_FORWARD);
    numbers scale = filled(p->o), shift = filled(p->o), residual = filled(n);
    float *scales = block((size_t)p->o * 4), *shifts = block((size_t)p->o * 4);
    for (int64_t i = 0; i < p->o; i++) scales[i] = (float)scale.d[i], shifts[i] = (float)shift.d[i];
    double *want = block((size_t)n * 8), *size = block((size_t)n * 8);
#define THEN(a, b, c)                                       \
    (luc_conv_epilogue){.scale = which & 1 ? (a) : NULL,    \
                        .shift = which & 2 ? (b) : NULL,    \
                        .residual = which & 4 ? (c) : NULL, \
                        .relu = which & 8}
    luc_conv_epilogue then = THEN(scale.d, shift.d, residual.d);
    loops_forward(p, LUC_CONV_F64, x->d, w->d, &then, want);
    then = THEN(scale.size, shift.size, residual.size);
    loops_forward(p, LUC_CONV_F64, x->size, w->size, &then, size);
    then = THEN(scales, shifts, residual.h);
    run(p, LUC_CONV_FORWARD, x, w, &then, want, size);
    release(&scale), release(&shift), release(&residual);
    free(want), free(size), free(scales), free(shifts);
}

static void check_bias(const luc_conv2d_params *p, const numbers *x, const numbers *dy)
{
    const int64_t n = count(p, LUC_CONV_GRAD_WEIGHT);
    double *dw = block((size_t)n * 8), *want = block((size_t)p->o * 8);
    double *size = block((size_t)p->o * 8);
    uint16_t *half = block((size_t)n * 2), *got = block((size_t)p->o * 2);
    loops_grad_weight(p, LUC_CONV_F64, x->d, dy->d, dw, want);
    loops_grad_weight(p, LUC_CONV_F64, x->size, dy->size, dw, size);
    run_once(p, LUC_CONV_GRAD_WEIGHT, x->h, dy->h, NULL, half, got, 2, 2);
    compare(p, "dbias", got, want, size, p->o);
    free(dw), free(want), free(size), free(half), free(got);
}

static void check(luc_conv2d_params p)
{
    p.method = LUC_CONV_BLOCKS;
    numbers x = filled(count(&p, LUC_CONV_GRAD_INPUT)), dy = filled(count(&p, LUC_CONV_FORWARD));
    numbers w = filled(count(&p, LUC_CONV_GRAD_WEIGHT));
    const int64_t most = x.n + w.n;
    double *want = block((size_t)most * 8), *size = block((size_t)most * 8);
    check_forward(&p, &x, &w, (int)pick(0, 15));
    loops_grad_input(&p, LUC_CONV_F64, dy.d, w.d, want);
    loops_grad_input(&p, LUC_CONV_F64, dy.size, w.size, size);
    run(&p, LUC_CONV_GRAD_INPUT, &dy, &w, NULL, want, size);
    loops_grad_weight(&p, LUC_CONV_F64, x.d, dy.d, want, NULL);
    loops_grad_weight(&p, LUC_CONV_F64, x.size, dy.size, size, NULL);
    run(&p, LUC_CONV_GRAD_WEIGHT, &x, &dy, NULL, want, size);
    check_bias(&p, &x, &dy);
    release(&x), release(&w), release(&dy);
    free(want), free(size);
}

static void random_shapes(void)
{
    const int64_t channels[] = {1, 3, 8, 17, 32, 33, 64};
    for (int i = 0; i < 25; i++) {
        const int64_t groups = pick(0, 2) ? 1 : 2;
        luc_conv2d_params p = shape(pick(1, 3), channels[pick(0, 6)] * groups, pick(1, 9),
                                    pick(1, 9), channels[pick(0, 6)] * groups, 1, 1, 0, 1, groups);
        if (p.c == groups && p.o == groups) continue; /* depthwise, which is converted */
        p.kh = pick(1, 3), p.kw = pick(1, 3);
        p.stride_h = pick(1, 3), p.stride_w = pick(1, 2);
        p.dilation_h = pick(1, 2), p.dilation_w = pick(1, 2);
        p.pad_h = pick(0, 2), p.pad_w = pick(0, 2);
        if (p.h + 2 * p.pad_h <= p.dilation_h * (p.kh - 1)) continue;
        if (p.w + 2 * p.pad_w <= p.dilation_w * (p.kw - 1)) continue;
        luc_conv2d_channels_last(&p);
        check(p);
    }
}
Test(conv_bf16, random_shapes)
{
    every_level(random_shapes);
}

/* Shapes of networks, smaller; each in more than one item of parallel work, or part. */
static void networks(void)
{
    check(shape(2, 32, 14, 14, 48, 3, 1, 1, 1, 1));
    check(shape(3, 32, 10, 10, 32, 1, 1, 0, 1, 1)); /* rows as they lie; a last block of 12 */
    check(shape(2, 64, 8, 8, 32, 3, 2, 1, 1, 1));
    check(shape(2, 64, 8, 8, 64, 1, 2, 0, 1, 2));
    check(shape(1, 3, 30, 30, 16, 7, 2, 3, 1, 1));
    check(shape(2, 1, 20, 20, 32, 3, 1, 0, 1, 1));
}
Test(conv_bf16, networks)
{
    every_level(networks);
}

/* A NaN in x reaches the outputs that see it, and no others. */
static void not_a_number(void)
{
    luc_conv2d_params p = shape(1, 32, 8, 8, 32, 3, 1, 1, 1, 1);
    p.method = LUC_CONV_BLOCKS;
    numbers x = filled(count(&p, LUC_CONV_GRAD_INPUT)), w = filled(count(&p, LUC_CONV_GRAD_WEIGHT));
    uint16_t *y = block((size_t)count(&p, LUC_CONV_FORWARD) * 2);
    x.h[(3 * 8 + 4) * 32 + 5] = 0x7fc0;
    run_once(&p, LUC_CONV_FORWARD, x.h, w.h, NULL, y, NULL, 2, 2);
    for (int i = 0; i < 64; i++) {
        const bool sees = abs(i / 8 - 3) <= 1 && abs(i % 8 - 4) <= 1;
        for (int o = 0; o < 32; o++)
            cr_assert(!!isnan(luc_bf16_to_f32(y[i * 32 + o])) == sees, "%d,%d", i / 8, i % 8);
    }
    release(&x), release(&w), free(y);
}
Test(conv_bf16, not_a_number)
{
    every_level(not_a_number);
}
