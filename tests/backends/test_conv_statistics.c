/* The mean and the variance of a convolution's channels, taken while it runs or after it: against
   their definition over the result that was stored, at every CPU level. */
#include "tests/backends/conv_case.h"

#include "backends/cpu/threads/parallel.h"

#include <math.h>
#include <string.h>

static float *filled(int64_t n)
{
    float *a = block((size_t)n * sizeof *a);
    for (int64_t i = 0; i < n; i++) a[i] = (float)uniform();
    return a;
}

/* A convolution, with what it gave. */
typedef struct {
    luc_conv2d_params p;
    float *x, *w, *shift, *y;
    int64_t ny;
    double *mean, *var;
} layer;

static layer new_layer(luc_conv2d_params p)
{
    layer l = {.p = p, .ny = p.n * p.o * p.oh * p.ow};
    l.x = filled(p.n * p.c * p.h * p.w);
    l.w = filled(p.o * (p.c / p.groups) * p.kh * p.kw);
    l.shift = filled(p.o);
    l.y = block((size_t)l.ny * sizeof *l.y);
    l.mean = block((size_t)p.o * sizeof *l.mean);
    l.var = block((size_t)p.o * sizeof *l.var);
    return l;
}

static void free_layer(layer *l)
{
    free(l->x), free(l->w), free(l->shift), free(l->y), free(l->mean), free(l->var);
}

static void run(layer *l, bool statistics)
{
    l->p.statistics = statistics;
    const luc_conv2d_plan plan = luc_conv2d_make_plan(&l->p, LUC_CONV_F32, LUC_CONV_FORWARD, NULL);
    char *workspace = block(plan.workspace);
    memset(workspace, 0xff, plan.workspace);
    const luc_conv_epilogue then = {
        .shift = l->shift, .mean = statistics ? l->mean : NULL, .var = statistics ? l->var : NULL};
    memset(l->y, 0xff, (size_t)l->ny * sizeof *l->y);
    luc_conv2d_forward(&plan, l->x, l->w, &then, l->y, workspace);
    free(workspace);
}

/* The definition, in two passes. */
static void define(const layer *l, int64_t channel, double *mean, double *var)
{
    const int64_t pixels = l->ny / l->p.o;
    const float *y = l->y + channel;
    *mean = *var = 0;
    for (int64_t i = 0; i < pixels; i++) *mean += (double)y[i * l->p.o];
    *mean /= (double)pixels;
    for (int64_t i = 0; i < pixels; i++) {
        const double d = (double)y[i * l->p.o] - *mean;
        *var += d * d;
    }
    *var /= (double)pixels;
}

/* The mean in deviations, the variance relative to itself. */
static void expect_statistics(const layer *l, const char *what, double error)
{
    for (int64_t c = 0; c < l->p.o; c++) {
        double mean, var;
        define(l, c, &mean, &var);
        cr_assert(fabs(l->mean[c] - mean) <= 1e-14 * fabs(mean) + error / 2 * sqrt(var),
                  "%s, channel %d: mean %.17g, expected %.17g", what, (int)c, l->mean[c], mean);
        cr_assert(fabs(l->var[c] - var) <= error * var + 1e-24 * mean * mean,
                  "%s, channel %d: variance %.17g, expected %.17g", what, (int)c, l->var[c], var);
    }
}

/* Statistics are right, the result is the one without, and both are the same with any number of
   threads. */
static void check(const luc_conv2d_params *p)
{
    char what[200];
    describe(p, what, sizeof what);
    layer l = new_layer(*p);
    float *plain = block((size_t)l.ny * sizeof *plain);
    double *first = block((size_t)(2 * p->o) * sizeof *first);
    run(&l, false);
    memcpy(plain, l.y, (size_t)l.ny * sizeof *plain);
    for (int threads = 1; threads <= 3; threads++) {
        luc_set_num_threads(threads);
        run(&l, true);
        cr_assert_eq(memcmp(plain, l.y, (size_t)l.ny * sizeof *plain), 0, "%s: y, %d threads", what,
                     threads);
        if (threads == 1) {
            expect_statistics(&l, what, 1e-6);
            memcpy(first, l.mean, (size_t)p->o * sizeof *first);
            memcpy(first + p->o, l.var, (size_t)p->o * sizeof *first);
        }
        cr_assert_eq(memcmp(first, l.mean, (size_t)p->o * sizeof *first), 0, "%s: mean", what);
        cr_assert_eq(memcmp(first + p->o, l.var, (size_t)p->o * sizeof *first), 0, "%s: variance",
                     what);
    }
    luc_set_num_threads(0);
    free(plain), free(first);
    free_layer(&l);
}

static void every_kernel(void)
{
    /* Of each kernel one result of more than 3 MB, and small ones. */
    const luc_conv2d_params shapes[] = {
        shape(7, 3, 81, 70, 37, 3, 1, 1, 1, 1),   shape(2, 16, 9, 11, 20, 3, 1, 1, 1, 1),
        shape(6, 2, 70, 67, 210, 5, 2, 2, 1, 1),  shape(6, 1, 99, 90, 33, 3, 1, 0, 1, 1),
        shape(12, 9, 56, 58, 35, 1, 1, 0, 1, 1),  shape(2, 400, 28, 33, 800, 1, 1, 0, 1, 1),
        shape(3, 4, 150, 130, 96, 1, 2, 0, 1, 1), shape(3, 5, 7, 6, 17, 1, 1, 0, 1, 1),
        shape(8, 20, 90, 92, 20, 3, 1, 1, 1, 20), shape(2, 8, 64, 65, 200, 3, 1, 1, 1, 2),
        shape(1, 6, 1, 1, 9, 1, 1, 0, 1, 1),      shape(1, 3, 5, 4, 1, 3, 1, 1, 1, 1)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i]);
}
Test(conv_statistics, every_kernel)
{
    every_level(every_kernel);
}

/* Blocks of 4x4 pixels that lie across images, and beyond their ends. */
static void winograd(void)
{
    luc_conv2d_params shapes[] = {shape(40, 3, 33, 30, 40, 3, 1, 1, 1, 1),
                                  shape(500, 2, 9, 6, 50, 3, 1, 1, 1, 1),
                                  shape(9, 4, 7, 70, 16, 3, 1, 1, 1, 1)};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        shapes[i].method = LUC_CONV_WINOGRAD;
        check(&shapes[i]);
    }
}
Test(conv_statistics, winograd)
{
    every_level(winograd);
}

/* The statistics lose no digits where the mean is ten thousand deviations, where a pixel far from
   all others begins a part, and where a channel is constant. */
static void far_from_zero(void)
{
    for (int k = 1; k <= 3; k += 2) {
        layer l = new_layer(shape(8, 5, 64, 64, 48, k, 1, k / 2, 1, 1));
        for (int64_t i = 0; i < l.p.o; i++) l.shift[i] = 1e4F * l.shift[i];
        for (int i = 0; i < 5; i++) l.x[i] = 3e3F;
        for (int64_t i = 0; i < 5 * k * k; i++) l.w[7 * 5 * k * k + i] = 0;
        l.shift[7] = 123456.789F;
        run(&l, true);
        expect_statistics(&l, "far from zero", 4e-6);
        cr_expect(l.mean[7] == (double)l.shift[7] && l.var[7] == 0);
        free_layer(&l);
    }
}
Test(conv_statistics, far_from_zero)
{
    every_level(far_from_zero);
}

/* Winograd's blocks extend beyond the image, where they may compute large numbers that are not part
   of the result: here filters that take differences see half of a bright image. */
static void beyond_the_edge(void)
{
    for (int64_t size = 35; size <= 37; size++) {
        layer l = new_layer(shape(40, 3, size, size, 48, 3, 1, 0, 1, 1));
        l.p.method = LUC_CONV_WINOGRAD;
        for (int64_t i = 0; i < 40 * 3 * size * size; i++) l.x[i] += 1e3F;
        for (int64_t i = 0; i < 48 * 3; i++) {
            float sum = 0;
            for (int k = 0; k < 9; k++) sum += l.w[9 * i + k];
            for (int k = 0; k < 9; k++) l.w[9 * i + k] -= sum / 9;
        }
        run(&l, true);
        expect_statistics(&l, "beyond the edge", 1e-6);
        free_layer(&l);
    }
}
Test(conv_statistics, beyond_the_edge)
{
    every_level(beyond_the_edge);
}

/* What is not a number stays in its channel; numbers whose squares float does not hold are fine. */
static void special_values(void)
{
    const float odd[] = {NAN, INFINITY, 1e30F, 1e-30F};
    for (int k = 1; k <= 3; k += 2)
        for (int i = 0; i < 4; i++) {
            layer l = new_layer(shape(8, 3, 64, 64, 48, k, 1, k / 2, 1, 1));
            const int64_t each = 3 * k * k, at = 5;
            for (int64_t j = 0; j < each; j++) l.w[at * each + j] *= odd[i];
            l.shift[at] *= isfinite(odd[i]) ? odd[i] : 1;
            run(&l, true);
            if (i < 2)
                cr_expect(isnan(l.var[at]) && !isfinite(l.mean[at]));
            else
                expect_statistics(&l, "special values", 4e-7);
            for (int64_t c = 0; c < l.p.o; c++)
                cr_expect(c == at || (isfinite(l.mean[c]) && l.var[c] > 0));
            free_layer(&l);
        }
}
Test(conv_statistics, special_values)
{
    every_level(special_values);
}

/* Two numbers whose squares float does not hold, and whose sum is that of a constant channel. */
static void balanced(void)
{
    layer l = new_layer(shape(1, 1, 4, 8, 1, 1, 1, 0, 1, 1));
    memset(l.x, 0, 32 * sizeof *l.x);
    l.x[1] = 1e25F, l.x[2] = -1e25F;
    l.w[0] = 1, l.shift[0] = 0;
    run(&l, true);
    expect_statistics(&l, "balanced", 1e-14);
    free_layer(&l);
}
Test(conv_statistics, balanced)
{
    every_level(balanced);
}

Test(conv_statistics, of_nothing)
{
    layer l = new_layer(shape(0, 3, 6, 6, 4, 3, 1, 1, 1, 1));
    run(&l, true);
    for (int c = 0; c < 4; c++) cr_expect(l.mean[c] == 0 && l.var[c] == 0);
    free_layer(&l);
}
