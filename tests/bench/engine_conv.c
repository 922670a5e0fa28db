/* Convolution layers at 1 and 2 threads, float, channels_last: GFLOP/s (of the direct sum's
   operations, whichever method runs) and their share of what the register tile reaches on data in
   the first-level cache. With Winograd's transform the share may exceed 100 %. */
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "bench.h"
#include "engine_peak.h"

typedef struct {
    luc_conv2d_params p;
    luc_conv_pass pass;
    float *x, *w, *y;
    luc_conv2d_plan plan;
    void *workspace;
} layer;

static void run(void *context)
{
    layer *l = context;
    if (l->pass == LUC_CONV_FORWARD)
        luc_conv2d_forward(&l->plan, l->x, l->w, NULL, l->y, l->workspace);
    else if (l->pass == LUC_CONV_GRAD_INPUT)
        luc_conv2d_grad_input(&l->plan, l->y, l->w, l->x, l->workspace);
    else
        luc_conv2d_grad_weight(&l->plan, l->x, l->y, l->w, NULL, l->workspace);
}

static double measure(layer *l, int threads)
{
    luc_set_num_threads(threads);
    l->plan = luc_conv2d_make_plan(&l->p, LUC_CONV_F32, l->pass, NULL);
    l->workspace = bench_numbers(l->plan.workspace / sizeof(float));
    double seconds = bench_time(run, l);
    free(l->workspace);
    return seconds;
}

static void row(const luc_conv2d_params *shape, double peak, int argc, char **argv)
{
    static const char *const passes[] = {"y", "dx", "dw"};
    for (int pass = 0; pass < 3; pass++) {
        layer l = {.p = *shape, .pass = (luc_conv_pass)pass};
        const luc_conv2d_params *p = &l.p;
        char name[80];
        luc_conv2d_channels_last(&l.p);
        snprintf(name, sizeof name, "conv %dx%dx%dx%d to %d, %dx%d s%d g%d %s", (int)p->n,
                 (int)p->c, (int)p->h, (int)p->w, (int)p->o, (int)p->kh, (int)p->kw,
                 (int)p->stride_h, (int)p->groups, passes[pass]);
        if (!bench_wanted(argc, argv, name)) continue;
        l.x = bench_numbers((size_t)(p->n * p->c * p->h * p->w));
        l.w = bench_numbers((size_t)(p->o * (p->c / p->groups) * p->kh * p->kw));
        l.y = bench_numbers((size_t)(p->n * p->o * p->oh * p->ow));
        const double work = 2e-9 * (double)(p->n * p->oh * p->ow * p->o) *
                            (double)(p->c / p->groups * p->kh * p->kw);
        printf("%-44s", name);
        for (int threads = 1; threads <= 2; threads++) {
            double rate = work / measure(&l, threads);
            printf("  %dt %7.1f GFLOP/s %3.0f%%", threads, rate, 100e9 * rate / peak / threads);
        }
        printf("\n");
        fflush(stdout);
        free(l.x), free(l.w), free(l.y);
    }
}

#define LAYER(n_, c_, size, o_, k, s, pad, g)                                                    \
    {                                                                                            \
        .n = n_, .c = c_, .h = size, .w = size, .o = o_, .kh = k, .kw = k, .stride_h = s,        \
        .stride_w = s, .pad_h = pad, .pad_w = pad, .dilation_h = 1, .dilation_w = 1, .groups = g \
    }

int main(int argc, char **argv)
{
    const luc_conv2d_params layers[] = {
        LAYER(64, 1, 28, 32, 3, 1, 1, 1),      LAYER(64, 32, 28, 64, 3, 1, 1, 1),
        LAYER(64, 64, 14, 64, 3, 1, 1, 1),     LAYER(32, 64, 56, 64, 3, 1, 1, 1),
        LAYER(32, 128, 28, 128, 3, 1, 1, 1),   LAYER(32, 256, 14, 256, 3, 1, 1, 1),
        LAYER(32, 512, 7, 512, 3, 1, 1, 1),    LAYER(32, 64, 56, 128, 3, 2, 1, 1),
        LAYER(32, 256, 14, 1024, 1, 1, 0, 1),  LAYER(8, 3, 224, 64, 7, 2, 3, 1),
        LAYER(32, 128, 28, 128, 3, 1, 1, 128),
    };
    const double peak = bench_tile_peak();
    printf("level %s, tile in L1 %.1f GFLOP/s a thread\n", luc_cpu_level_name(luc_cpu_current()),
           peak * 1e-9);
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) row(&layers[i], peak, argc, argv);
    return 0;
}
