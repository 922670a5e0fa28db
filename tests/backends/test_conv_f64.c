/* Convolution in double by matrix products against the plain loops, which run where there is no
   workspace. */
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 1234567u;

static int64_t pick(int64_t low, int64_t high)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return low + (int64_t)(state % (uint64_t)(high - low + 1));
}

static double *numbers(int64_t n)
{
    double *d = aligned_alloc(64, ((size_t)n * sizeof *d + 127) / 64 * 64);
    for (int64_t i = 0; i < n; i++) d[i] = (double)pick(-1000, 1000) / 1000;
    return d;
}

static int64_t size_of(const luc_conv2d_params *p, luc_conv_pass pass)
{
    switch (pass) {
    case LUC_CONV_FORWARD:
        return p->n * p->o * p->oh * p->ow;
    case LUC_CONV_GRAD_INPUT:
        return p->n * p->c * p->h * p->w;
    default:
        return p->o * (p->c / p->groups) * p->kh * p->kw;
    }
}

static luc_conv2d_plan plan_for(const luc_conv2d_params *p, luc_conv_pass pass, int threads)
{
    luc_set_num_threads(threads);
    return luc_conv2d_make_plan(p, LUC_CONV_F64, pass, NULL);
}

static void run(const luc_conv2d_plan *plan, const double *a, const double *b,
                const luc_conv_epilogue *then, double *out)
{
    void *workspace = aligned_alloc(64, (plan->workspace + 127) / 64 * 64);
    memset(workspace, 0xff, plan->workspace); /* NaN */
    for (int64_t i = 0; i < size_of(&plan->p, plan->pass); i++) out[i] = NAN;
    if (plan->pass == LUC_CONV_FORWARD)
        luc_conv2d_forward(plan, a, b, then, out, workspace);
    else if (plan->pass == LUC_CONV_GRAD_INPUT)
        luc_conv2d_grad_input(plan, a, b, out, workspace);
    else
        luc_conv2d_grad_weight(plan, a, b, out, NULL, workspace);
    free(workspace);
}

/* Whether it is computed by products. */
static bool check_pass(const luc_conv2d_params *p, luc_conv_pass pass, const double *a,
                       const double *b, const luc_conv_epilogue *then)
{
    const int64_t n = size_of(p, pass);
    double *want = numbers(n), *got = numbers(n), *again = numbers(n);
    luc_conv2d_params plain = *p;
    plain.method = LUC_CONV_REFERENCE;
    const luc_conv2d_plan reference = plan_for(&plain, pass, 3);
    const luc_conv2d_plan least = plan_for(p, pass, 1), plan = plan_for(p, pass, 3);
    run(&reference, a, b, then, want);
    run(&plan, a, b, then, got);
    run(&least, a, b, then, again);
    cr_assert(memcmp(got, again, (size_t)n * sizeof *got) == 0, "threads change bits");
    luc_set_num_threads(1);
    run(&least, a, b, then, again);
    cr_assert(memcmp(got, again, (size_t)n * sizeof *got) == 0, "threads change bits");
    luc_set_num_threads(0);
    for (int64_t i = 0; i < n; i++)
        cr_assert((isnan(want[i]) && isnan(got[i])) || want[i] == got[i] ||
                      fabs(want[i] - got[i]) <= 1e-11,
                  "level %s pass %d [%d]: expected %.17g, got %.17g (x [%d,%d,%d,%d], o %d, kernel "
                  "%d,%d, stride %d,%d, groups %d)",
                  luc_cpu_level_name(luc_cpu_current()), pass, (int)i, want[i], got[i], (int)p->n,
                  (int)p->c, (int)p->h, (int)p->w, (int)p->o, (int)p->kh, (int)p->kw,
                  (int)p->stride_h, (int)p->stride_w, (int)p->groups);
    free(want), free(got), free(again);
    return strcmp(luc_conv_name(plan.algorithm), "products") == 0;
}

static bool check(const luc_conv2d_params *p, double special)
{
    double *x = numbers(size_of(p, LUC_CONV_GRAD_INPUT)),
           *y = numbers(size_of(p, LUC_CONV_FORWARD));
    double *w = numbers(size_of(p, LUC_CONV_GRAD_WEIGHT)),
           *residual = numbers(p->n * p->o * p->oh * p->ow);
    double *scale = numbers(p->o), *shift = numbers(p->o);
    if (special != 0) x[pick(0, size_of(p, LUC_CONV_GRAD_INPUT) - 1)] = special;
    const luc_conv_epilogue then = {.scale = pick(0, 1) ? scale : NULL,
                                    .shift = pick(0, 1) ? shift : NULL,
                                    .residual = pick(0, 1) ? residual : NULL,
                                    .relu = pick(0, 1)};
    bool fast = check_pass(p, LUC_CONV_FORWARD, x, w, pick(0, 2) ? &then : NULL);
    fast &= check_pass(p, LUC_CONV_GRAD_INPUT, y, w, NULL);
    if (special == 0) fast &= check_pass(p, LUC_CONV_GRAD_WEIGHT, x, y, NULL);
    free(x), free(y), free(w), free(residual), free(scale), free(shift);
    return fast;
}

/* Strides of [a,b,c,d] in [N,C,H,W] order. */
static void planes(int64_t *stride, int64_t b, int64_t c, int64_t d)
{
    stride[3] = 1, stride[2] = d, stride[1] = c * d, stride[0] = b * c * d;
}

static luc_conv2d_params any_shape(void)
{
    static const int64_t channels[] = {1, 3, 5, 17, 33, 100};
    luc_conv2d_params p = {.n = pick(1, 5), .h = pick(1, 17), .w = pick(1, 40)};
    p.groups = pick(0, 2) ? 1 : pick(2, 4);
    p.c = channels[pick(0, 4)] * p.groups, p.o = channels[pick(0, 5)] * p.groups;
    if (pick(0, 5) == 0) p.groups = p.o = p.c;
    p.kh = pick(1, 4), p.kw = pick(1, 4);
    p.stride_h = pick(1, 3), p.stride_w = pick(1, 3);
    p.dilation_h = pick(1, 2), p.dilation_w = pick(1, 3);
    p.pad_h = pick(0, 3), p.pad_w = pick(0, 3);
    return p;
}

static void any_strides(luc_conv2d_params *p)
{
    luc_conv2d_channels_last(p);
    if (pick(0, 1)) planes(p->x_stride, p->c, p->h, p->w);
    if (pick(0, 1)) planes(p->y_stride, p->o, p->oh, p->ow);
    if (pick(0, 1)) { /* [c][kw][kh][o] */
        const int64_t w[4] = {1, p->o * p->kh * p->kw, p->o, p->o * p->kh};
        memcpy(p->w_stride, w, sizeof w);
    }
}

Test(conv_f64, products_equal_the_plain_loops)
{
    for (int level = 0; level >= 0; level = luc_cpu_next_whole(level)) {
        int fast = 0;
        cr_assert(luc_cpu_force((luc_cpu_level)level));
        for (int i = 0; i < 60; i++) {
            luc_conv2d_params p = any_shape();
            if (p.h + 2 * p.pad_h <= p.dilation_h * (p.kh - 1)) continue;
            if (p.w + 2 * p.pad_w <= p.dilation_w * (p.kw - 1)) continue;
            any_strides(&p);
            fast += check(&p, i % 4 == 1 ? NAN : 0);
        }
        cr_assert_gt(fast, 30);
    }
    luc_cpu_force(luc_cpu_best());
}

/* More of everything than an item takes at once. */
Test(conv_f64, large_ones_equal_the_plain_loops)
{
    luc_conv2d_params p = {.n = 10, .c = 70, .h = 9, .w = 70, .o = 130, .kh = 3, .kw = 3};
    p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = p.groups = p.pad_h = p.pad_w = 1;
    luc_conv2d_channels_last(&p);
    cr_assert(check(&p, 0));
}
