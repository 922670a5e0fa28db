/* Convolution: every CPU level and layout against the plain loops in double, which in turn are
   held to the identities that tie the three passes together. */
#include "tests/backends/conv_case.h"

#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/simd.h"

typedef struct {
    int64_t n;
    double *d; /* the numbers */
    float *f;  /* the same, exactly */
} numbers;

static numbers filled(int64_t n)
{
    numbers a = {n, block((size_t)n * 8), block((size_t)n * 4)};
    for (int64_t i = 0; i < n; i++) a.d[i] = a.f[i] = (float)uniform();
    return a;
}

static void release(numbers *a)
{
    free(a->d), free(a->f);
}

/* |dst| sums the absolute values of what was added, so that errors can be judged by it. */
static numbers absolute(const numbers *a)
{
    numbers b = {a->n, block((size_t)a->n * 8), NULL};
    for (int64_t i = 0; i < a->n; i++) b.d[i] = fabs(a->d[i]);
    return b;
}

/* got is within `relative` of want, measured by the sum of absolute terms. */
static void compare(const luc_conv2d_params *p, const char *what, const float *got,
                    const double *want, const double *size, int64_t n, double relative)
{
    char text[200];
    describe(p, text, sizeof text);
    /* Winograd's transform mixes the terms of neighbouring outputs. */
    double largest = 0;
    for (int64_t i = 0; i < n && p->method == LUC_CONV_WINOGRAD; i++)
        largest = fmax(largest, size[i]);
    for (int64_t i = 0; i < n; i++)
        cr_assert(fabs((double)got[i] - want[i]) <= relative * fmax(size[i], largest) + 1e-30,
                  "%s: %s[%d]: expected %.9g, got %.9g", text, what, (int)i, want[i],
                  (double)got[i]);
}

/* ---- the plain loops' results ---------------------------------------------------------------- */

/* Where every level gets the same numbers, the loops compute at the first level only: this list
   keeps what they gave, in the order in which it is asked for. */
static struct {
    bool keeps, known;
    size_t n, at;
    double *results[512];
} kept;

/* Room for n numbers of the loops; *known: they are there already. */
static double *reference(int64_t n, bool *known)
{
    *known = kept.known;
    if (!kept.keeps) return block((size_t)n * 8);
    cr_assert(kept.at < sizeof kept.results / sizeof *kept.results);
    if (!kept.known) kept.results[kept.n++] = block((size_t)n * 8);
    return kept.results[kept.at++];
}

static void release_reference(double *d)
{
    if (!kept.keeps) free(d);
}

/* f at every level, with the same random numbers. */
static void every_level_alike(void (*f)(void))
{
    const uint64_t begin = state;
    kept.keeps = true;
    for (int level = 0; level >= 0; level = luc_cpu_next_whole(level)) {
        cr_assert(luc_cpu_force((luc_cpu_level)level));
        state = begin;
        kept.at = 0;
        f();
        cr_assert_eq(kept.at, kept.n);
        kept.known = true;
    }
    luc_cpu_force(luc_cpu_best());
    while (kept.n) free(kept.results[--kept.n]);
    kept.keeps = kept.known = false;
}

/* ---- one convolution ------------------------------------------------------------------------- */

/* One pass; a and b are its inputs, out n numbers. The plan is made with `ask` threads set. */
static void run_once(const luc_conv2d_params *p, luc_conv_pass pass, const float *a, const float *b,
                     const luc_conv_epilogue *then, float *out, float *out_bias, int64_t n, int ask,
                     int threads)
{
    luc_set_num_threads(ask);
    const luc_conv2d_plan plan = luc_conv2d_make_plan(p, LUC_CONV_F32, pass, NULL);
    const size_t bytes = plan.workspace;
    luc_set_num_threads(threads);
    enum { BEYOND = 4096 };
    unsigned char *workspace = block(bytes + BEYOND);
    memset(workspace, 0xff, bytes + BEYOND); /* NaN */
    for (int64_t i = 0; i < n; i++) out[i] = NAN;
    if (pass == LUC_CONV_FORWARD)
        luc_conv2d_forward(&plan, a, b, then, out, workspace);
    else if (pass == LUC_CONV_GRAD_INPUT)
        luc_conv2d_grad_input(&plan, a, b, out, workspace);
    else
        luc_conv2d_grad_weight(&plan, a, b, out, out_bias, workspace);
    for (int i = 0; i < BEYOND; i++)
        cr_assert_eq(workspace[bytes + (size_t)i], 0xff, "pass %d: written beyond the workspace",
                     pass);
    free(workspace);
    luc_set_num_threads(0);
}

/* With 3 threads; then with the plan for fewer or more than there are: the same bits. */
static void run(const luc_conv2d_params *p, luc_conv_pass pass, const float *a, const float *b,
                const luc_conv_epilogue *then, float *out, float *out_bias, int64_t n)
{
    float *again = block((size_t)n * 4), *bias_again = block((size_t)p->o * 4);
    char text[200];
    describe(p, text, sizeof text);
    run_once(p, pass, a, b, then, out, out_bias, n, 3, 3);
    static const int asked[] = {1, 1, 7}, set[] = {1, 3, 1};
    for (int i = 0; i < 3; i++) {
        run_once(p, pass, a, b, then, again, out_bias ? bias_again : NULL, n, asked[i], set[i]);
        cr_assert(memcmp(out, again, (size_t)n * 4) == 0, "%s: pass %d: threads change bits", text,
                  pass);
    }
    free(again), free(bias_again);
}

/* The weight gradient against the plain loops in double. */
static void check_weight(const luc_conv2d_params *p)
{
    const double relative = 2e-6;
    numbers x = filled(span(p, X)), dy = filled(span(p, Y)), ax = absolute(&x), ady = absolute(&dy);
    const int64_t n = span(p, W);
    bool known;
    double *want = reference(2 * (n + p->o), &known), *size = want + n;
    double *want_bias = size + n, *size_bias = want_bias + p->o;
    float *got = block((size_t)n * 4), *got_bias = block((size_t)p->o * 4);
    if (!known) loops_grad_weight(p, LUC_CONV_F64, x.d, dy.d, want, want_bias);
    if (!known) loops_grad_weight(p, LUC_CONV_F64, ax.d, ady.d, size, size_bias);
    run(p, LUC_CONV_GRAD_WEIGHT, x.f, dy.f, NULL, got, got_bias, n);
    compare(p, "dw", got, want, size, n, relative);
    compare(p, "dbias", got_bias, want_bias, size_bias, p->o, relative);
    release(&x), release(&dy), release(&ax), release(&ady);
    release_reference(want);
    free(got), free(got_bias);
}

/* `which` of them: 1, 2, 4. */
static luc_conv_epilogue epilogue(int which, const void *scale, const void *shift,
                                  const void *residual, bool relu)
{
    return (luc_conv_epilogue){.scale = which & 1 ? scale : NULL,
                               .shift = which & 2 ? shift : NULL,
                               .residual = which & 4 ? residual : NULL,
                               .relu = relu};
}

/* Forward with any of what may follow the sums. */
static void check_forward(const luc_conv2d_params *p, const numbers *x, const numbers *w,
                          const numbers *ax, const numbers *aw)
{
    const int64_t n = span(p, Y);
    numbers scale = filled(p->o), shift = filled(p->o), residual = filled(n);
    numbers ascale = absolute(&scale), ashift = absolute(&shift), aresidual = absolute(&residual);
    bool known;
    double *want = reference(2 * n, &known), *size = want + n;
    float *got = block((size_t)n * 4);
    const int which = (int)pick(0, 7);
    const bool relu = pick(0, 1);
    const luc_conv_epilogue in_double = epilogue(which, scale.d, shift.d, residual.d, relu);
    const luc_conv_epilogue sizes = epilogue(which, ascale.d, ashift.d, aresidual.d, false);
    const luc_conv_epilogue in_float = epilogue(which, scale.f, shift.f, residual.f, relu);
    if (!known) loops_forward(p, LUC_CONV_F64, x->d, w->d, &in_double, want);
    if (!known) loops_forward(p, LUC_CONV_F64, ax->d, aw->d, &sizes, size);
    run(p, LUC_CONV_FORWARD, x->f, w->f, &in_float, got, NULL, n);
    compare(p, "y", got, want, size, n, 2e-6);
    release(&scale), release(&shift), release(&residual);
    release(&ascale), release(&ashift), release(&aresidual);
    release_reference(want);
    free(got);
}

/* All three passes against the plain loops in double. */
static void check(const luc_conv2d_params *p)
{
    const double relative = 2e-6;
    numbers x = filled(span(p, X)), w = filled(span(p, W)), dy = filled(span(p, Y));
    numbers ax = absolute(&x), aw = absolute(&w), ady = absolute(&dy);
    check_forward(p, &x, &w, &ax, &aw);

    bool known;
    double *want = reference(2 * x.n, &known), *size = want + x.n;
    float *got = block((size_t)x.n * 4);
    if (!known) loops_grad_input(p, LUC_CONV_F64, dy.d, w.d, want);
    if (!known) loops_grad_input(p, LUC_CONV_F64, ady.d, aw.d, size);
    run(p, LUC_CONV_GRAD_INPUT, dy.f, w.f, NULL, got, NULL, x.n);
    compare(p, "dx", got, want, size, x.n, relative);
    release(&x), release(&w), release(&dy);
    release(&ax), release(&aw), release(&ady);
    release_reference(want);
    free(got);
    check_weight(p);
}

static void random_shapes(void)
{
    const int64_t channels[] = {1, 2, 3, 5, 8, 16, 17, 33};
    for (int i = 0; i < 120; i++) {
        int64_t groups = pick(0, 2) ? 1 : pick(2, 4), depthwise = pick(0, 5) == 0;
        int64_t c = channels[pick(0, 7)] * groups, o = channels[pick(0, 7)] * groups;
        if (depthwise) groups = c = o;
        luc_conv2d_params p = shape(pick(1, 3), c, pick(1, 13), pick(1, 17), o, 1, 1, 0, 1, groups);
        p.kh = pick(1, 4), p.kw = pick(1, 4);
        p.stride_h = pick(1, 3), p.stride_w = pick(1, 3);
        p.dilation_h = pick(1, 2), p.dilation_w = pick(1, 3);
        p.pad_h = pick(0, 3), p.pad_w = pick(0, 3);
        if (p.h + 2 * p.pad_h <= p.dilation_h * (p.kh - 1)) continue;
        if (p.w + 2 * p.pad_w <= p.dilation_w * (p.kw - 1)) continue;
        luc_conv2d_channels_last(&p);
        check(&p);
    }
}
Test(conv, random_shapes)
{
    every_level_alike(random_shapes);
}

static void known_layers(void)
{
    const luc_conv2d_params layers[] = {
        shape(2, 1, 28, 28, 32, 3, 1, 1, 1, 1),   shape(2, 32, 28, 28, 64, 3, 1, 1, 1, 1),
        shape(3, 64, 14, 14, 64, 3, 1, 1, 1, 1),  shape(2, 48, 7, 7, 100, 3, 1, 1, 1, 1),
        shape(1, 3, 70, 65, 32, 7, 2, 3, 1, 1),   shape(2, 64, 9, 9, 40, 1, 1, 0, 1, 1),
        shape(2, 32, 14, 14, 64, 1, 2, 0, 1, 1),  shape(2, 20, 8, 6, 16, 3, 2, 1, 1, 1),
        shape(2, 33, 15, 12, 33, 3, 1, 1, 1, 33), shape(1, 1024, 3, 4, 8, 3, 1, 1, 1, 1),
        shape(1, 6, 1, 70, 5, 1, 1, 0, 1, 1),     shape(1, 8, 5, 5, 1, 5, 1, 0, 1, 1),
        shape(1, 70, 2, 2, 40, 1, 1, 0, 1, 1),    shape(3, 512, 5, 4, 96, 1, 1, 0, 1, 1),
        shape(2, 600, 7, 7, 33, 1, 1, 0, 1, 1),   shape(2, 1100, 5, 3, 40, 1, 2, 0, 1, 1),
        shape(1, 16, 30, 50, 320, 1, 1, 0, 1, 1), shape(1, 4, 64, 64, 1056, 1, 1, 0, 1, 1),
        shape(2, 17, 6, 2, 17, 3, 1, 1, 1, 17),   shape(1, 100, 9, 5, 100, 3, 1, 0, 1, 100),
        shape(3, 5, 4, 70, 5, 3, 1, 1, 1, 5),     shape(2, 3, 32, 32, 64, 3, 1, 1, 1, 1),
        shape(1, 64, 13, 20, 128, 3, 2, 1, 1, 1), shape(2, 64, 9, 9, 200, 3, 2, 1, 1, 1),
        shape(2, 6, 15, 15, 150, 3, 2, 1, 1, 2),  shape(1, 3, 37, 29, 33, 7, 2, 3, 1, 1),
        shape(2, 1, 15, 18, 17, 3, 2, 1, 1, 1),   shape(1, 4, 10, 11, 16, 4, 2, 1, 1, 1),
        shape(2, 2, 9, 9, 20, 2, 2, 0, 1, 1),     shape(1, 3, 12, 13, 16, 5, 2, 4, 1, 1),
        shape(1, 3, 70, 1, 100, 3, 2, 1, 1, 1),   shape(1, 1, 1, 70, 16, 6, 2, 3, 1, 1),
    };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) check(&layers[i]);
}
Test(conv, known_layers)
{
    every_level_alike(known_layers);
}

/* dy as planes, and x too or, with few channels, in channels_last. */
static void set_planes(luc_conv2d_params *p, bool x_too)
{
    luc_conv2d_channels_last(p);
    const int64_t x[4] = {p->c * p->h * p->w, p->h * p->w, p->w, 1};
    const int64_t y[4] = {p->o * p->oh * p->ow, p->oh * p->ow, p->ow, 1};
    if (x_too) memcpy(p->x_stride, x, sizeof x);
    memcpy(p->y_stride, y, sizeof y);
}

static void planes(void)
{
    const int64_t channels[] = {1, 3, 5, 17, 33, 100};
    int taken = 0;
    for (int i = 0; i < 140; i++) {
        const int64_t groups = pick(0, 2) ? 1 : pick(2, 4);
        const bool depthwise = pick(0, 5) == 0, narrow = pick(0, 3) > 0;
        luc_conv2d_params p = shape(pick(1, 5), channels[pick(0, narrow ? 3 : 5)] * groups,
                                    pick(1, 20), pick(1, narrow ? 70 : 20),
                                    channels[pick(0, narrow ? 3 : 5)] * groups, 1, 1, 0, 1, groups);
        if (depthwise) p.groups = p.o = p.c;
        p.kh = pick(1, 5), p.kw = pick(1, 5);
        p.stride_h = pick(1, 3), p.stride_w = pick(1, 3);
        p.dilation_h = pick(1, 3), p.dilation_w = pick(1, 3);
        p.pad_h = pick(0, 3), p.pad_w = pick(0, 3);
        if (i % 3 == 0) { /* as most layers are */
            p.kh = p.kw = 3, p.stride_h = p.stride_w = p.dilation_h = p.dilation_w = 1;
            p.pad_h = p.pad_w = 1;
        }
        if (p.h + 2 * p.pad_h <= p.dilation_h * (p.kh - 1)) continue;
        if (p.w + 2 * p.pad_w <= p.dilation_w * (p.kw - 1)) continue;
        set_planes(&p, true);
        p.method = LUC_CONV_DIRECT;
        taken += takes_planes(&p, LUC_CONV_GRAD_WEIGHT);
        check_weight(&p);
        if (i % 4 == 0) {
            set_planes(&p, false);
            check_weight(&p);
        }
    }
    cr_assert_gt(taken, 50);
}
Test(conv, weight_gradient_of_planes)
{
    every_level_alike(planes);
}

static void known_planes(void)
{
    luc_conv2d_params layers[] = {
        shape(3, 1, 28, 28, 32, 3, 1, 1, 1, 1),   shape(2, 3, 32, 32, 64, 3, 1, 1, 1, 1),
        shape(1, 3, 70, 65, 20, 7, 2, 3, 1, 1),   shape(5, 64, 15, 15, 33, 1, 2, 0, 1, 1),
        shape(40, 5, 7, 7, 6, 3, 2, 1, 1, 1),     shape(2, 33, 15, 12, 33, 3, 1, 1, 1, 33),
        shape(3, 20, 9, 9, 40, 1, 1, 0, 1, 1),    shape(2, 6, 40, 70, 4, 5, 3, 9, 7, 2),
        shape(1, 2, 3, 4100, 3, 3, 1, 1, 1, 1),   shape(0, 3, 9, 9, 5, 3, 1, 1, 1, 1),
        shape(1, 300, 13, 6, 290, 3, 2, 1, 1, 1), shape(1, 100, 41, 43, 17, 3, 2, 1, 1, 1),
        shape(3, 70, 20, 21, 33, 1, 1, 0, 1, 1),  shape(3, 300, 5, 7, 1100, 1, 1, 0, 1, 1),
    };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        set_planes(&layers[i], true);
        layers[i].method = LUC_CONV_DIRECT;
        check_weight(&layers[i]);
    }
}
Test(conv, weight_gradient_of_known_planes)
{
    every_level_alike(known_planes);
}

/* 1x1 kernels, whose weight gradient has a kernel of its own: any stride, x in either layout. */
static void pointwise_weight_planes(void)
{
    const int64_t channels[] = {5, 16, 17, 33, 50, 100, 130};
    int taken = 0;
    for (int i = 0; i < 60; i++) {
        luc_conv2d_params p = shape(pick(1, 40), channels[pick(0, 6)], pick(1, 9), pick(1, 12),
                                    channels[pick(0, 6)], 1, 1, 0, 1, 1);
        if (i % 3 == 1) p.n = pick(1, 3), p.h = pick(8, 20), p.w = pick(16, 40);
        if (i % 2) p.stride_h = pick(1, 3), p.stride_w = pick(1, 3);
        set_planes(&p, i % 5 != 0);
        taken += takes_planes(&p, LUC_CONV_GRAD_WEIGHT);
        check_weight(&p);
    }
    cr_assert_gt(taken, 30);
}
Test(conv, pointwise_weight_gradient_of_planes)
{
    every_level_alike(pointwise_weight_planes);
}

/* A NaN and an infinity in x and in the gradient reach exactly the weights that see them. Nothing
   has to be aligned, and weights may lie in any order. */
static void special_pointwise_weight_planes(void)
{
    luc_conv2d_params p = shape(2, 17, 5, 7, 33, 1, 1, 0, 1, 1);
    set_planes(&p, true);
    const int64_t w[4] = {1, p.o, 1, 1}, n = span(&p, W);
    numbers x = filled(span(&p, X) + 1), dy = filled(span(&p, Y) + 1);
    float *dw = block((size_t)n * 4), *other = block((size_t)n * 4);
    x.f[1] = INFINITY;               /* channel 0 */
    dy.f[1 + span(&p, Y) - 1] = NAN; /* channel 32 */
    run(&p, LUC_CONV_GRAD_WEIGHT, x.f + 1, dy.f + 1, NULL, dw, NULL, n);
    memcpy(p.w_stride, w, sizeof w);
    run(&p, LUC_CONV_GRAD_WEIGHT, x.f + 1, dy.f + 1, NULL, other, NULL, n);
    for (int64_t o = 0; o < p.o; o++)
        for (int64_t c = 0; c < p.c; c++) {
            const float got = dw[o * p.c + c];
            const bool right = o == p.o - 1 ? isnan(got) : c == 0 ? isinf(got) : isfinite(got);
            cr_assert(memcmp(&got, &other[c * p.o + o], 4) == 0 && right, "%d %d", (int)o, (int)c);
        }
    release(&x), release(&dy);
    free(dw), free(other);
}
Test(conv, special_values_in_pointwise_weight_planes)
{
    every_level(special_pointwise_weight_planes);
}

/* A NaN and an infinity reach exactly the taps that see them, and no zero of the border. */
static void special_planes(void)
{
    luc_conv2d_params p = shape(1, 2, 9, 20, 4, 3, 1, 1, 1, 1);
    set_planes(&p, true);
    p.method = LUC_CONV_DIRECT;
    numbers x = filled(span(&p, X)), dy = filled(span(&p, Y));
    float dw[4 * 2 * 9];
    x.f[0] = INFINITY;                   /* channel 0's first pixel: not seen through taps 2 */
    dy.f[3 * 9 * 20 + 9 * 20 - 1] = NAN; /* channel 3's last: sees nothing through taps 2 */
    run(&p, LUC_CONV_GRAD_WEIGHT, x.f, dy.f, NULL, dw, NULL, 4 * 2 * 9);
    for (int i = 0; i < 4 * 2 * 9; i++) {
        const int o = i / 18, c = i / 9 % 2, r = i / 3 % 3, s = i % 3;
        const bool infinite = c == 0 && r < 2 && s < 2, nan = o == 3 && r < 2 && s < 2;
        if (nan)
            cr_assert(isnan(dw[i]), "%d: %g", i, (double)dw[i]);
        else if (infinite)
            cr_assert(isinf(dw[i]), "%d: %g", i, (double)dw[i]);
        else
            cr_assert(o == 3 || isfinite(dw[i]), "%d: %g", i, (double)dw[i]);
    }
    release(&x), release(&dy);
}
Test(conv, special_values_in_planes)
{
    every_level(special_planes);
}

static void winograd(void)
{
    for (int i = 0; i < 40; i++) {
        luc_conv2d_params p =
            shape(pick(1, 4), pick(1, 40), pick(1, 15), pick(1, 15), pick(1, 70), 1, 1, 0, 1, 1);
        p.kh = p.kw = 3;
        p.pad_h = pick(0, 3), p.pad_w = pick(0, 2);
        if (p.h + 2 * p.pad_h < 3 || p.w + 2 * p.pad_w < 3) continue;
        p.method = i % 2 ? LUC_CONV_WINOGRAD : LUC_CONV_DIRECT;
        luc_conv2d_channels_last(&p);
        check(&p);
    }
    luc_conv2d_params deep = shape(1, 256, 9, 10, 256, 3, 1, 1, 1, 1);
    deep.method = LUC_CONV_WINOGRAD;
    check(&deep);
}
Test(conv, winograd)
{
    every_level_alike(winograd);
}

/* Turned off, the default method is direct summation to the last bit. */
Test(conv, winograd_can_be_turned_off)
{
    luc_conv2d_params p = shape(2, 64, 16, 16, 64, 3, 1, 1, 1, 1);
    const int64_t n = span(&p, Y);
    numbers x = filled(span(&p, X)), w = filled(span(&p, W));
    float *automatic = block((size_t)n * 4), *off = block((size_t)n * 4);
    float *direct = block((size_t)n * 4);
    run(&p, LUC_CONV_FORWARD, x.f, w.f, NULL, automatic, NULL, n);
    luc_conv_allow_winograd(false);
    run(&p, LUC_CONV_FORWARD, x.f, w.f, NULL, off, NULL, n);
    luc_conv_allow_winograd(true);
    p.method = LUC_CONV_DIRECT;
    run(&p, LUC_CONV_FORWARD, x.f, w.f, NULL, direct, NULL, n);
    cr_assert(memcmp(off, direct, (size_t)n * 4) == 0);
    if (luc_cpu_current() != LUC_CPU_GENERIC)
        cr_assert(memcmp(automatic, direct, (size_t)n * 4) != 0, "Winograd was not chosen");
    release(&x), release(&w);
    free(automatic), free(off), free(direct);
}

/* Rows, images and weights with gaps and in other orders. */
static void strided(void)
{
    luc_conv2d_params p = shape(2, 5, 7, 9, 18, 3, 1, 1, 1, 1);
    const int64_t x[4] = {7 * 9 * 8 + 3, 1, 9 * 8, 8}, y[4] = {7 * 10 * 20, 1, 10 * 20, 20};
    const int64_t w[4] = {1, 18, 18 * 5 * 3, 18 * 5}; /* [kH,kW,C,O] */
    luc_conv2d_params q = p;
    memcpy(q.x_stride, x, sizeof x), memcpy(q.y_stride, y, sizeof y);
    memcpy(q.w_stride, w, sizeof w);
    numbers xs = filled(2000), ws = filled(18 * 5 * 9), dense_x = filled(span(&p, X));
    numbers dense_w = filled(span(&p, W));
    for (int64_t n = 0; n < 2; n++)
        for (int64_t k = 0; k < 7 * 9; k++)
            for (int64_t c = 0; c < 5; c++)
                dense_x.f[(n * 63 + k) * 5 + c] = xs.f[n * x[0] + k / 9 * x[2] + k % 9 * x[3] + c];
    for (int64_t i = 0; i < 18 * 5; i++)
        for (int64_t t = 0; t < 9; t++)
            dense_w.f[i * 9 + t] = ws.f[i / 5 * w[0] + i % 5 * w[1] + t / 3 * w[2] + t % 3 * w[3]];
    float *a = block((size_t)span(&p, Y) * 4), *b = block(4000 * 4 * 2);
    run(&p, LUC_CONV_FORWARD, dense_x.f, dense_w.f, NULL, a, NULL, span(&p, Y));
    run(&q, LUC_CONV_FORWARD, xs.f, ws.f, NULL, b, NULL, 2 * y[0]);
    for (int64_t n = 0; n < 2; n++)
        for (int64_t k = 0; k < 7 * 10; k++)
            for (int64_t c = 0; c < 20; c++) {
                float got = b[n * y[0] + k * 20 + c];
                if (c < 18 && k % 10 < 9)
                    cr_assert(fabsf(got - a[((n * 7 + k / 10) * 9 + k % 10) * 18 + c]) < 1e-5f);
                else
                    cr_assert(isnan(got), "a gap was written");
            }
    release(&xs), release(&ws), release(&dense_x), release(&dense_w);
    free(a), free(b);
}
Test(conv, strided)
{
    every_level_alike(strided);
}

/* The plain loops: <dy, conv(x, w)> = <dx, x> = <dw, w>, NCHW and channels_last. */
Test(conv, passes_are_adjoint)
{
    for (int i = 0; i < 40; i++) {
        int64_t groups = pick(1, 3);
        luc_conv2d_params p =
            shape(pick(1, 2), groups * pick(1, 3), pick(4, 9), pick(4, 9), groups * pick(1, 3),
                  pick(1, 3), pick(1, 3), pick(0, 2), 1, groups);
        if (i % 2) {
            const int64_t x[4] = {p.c * p.h * p.w, p.h * p.w, p.w, 1};
            const int64_t y[4] = {p.o * p.oh * p.ow, p.oh * p.ow, p.ow, 1};
            memcpy(p.x_stride, x, sizeof x), memcpy(p.y_stride, y, sizeof y);
        }
        numbers x = filled(span(&p, X)), w = filled(span(&p, W)), dy = filled(span(&p, Y));
        double *y = block((size_t)dy.n * 8), *dx = block((size_t)x.n * 8);
        double *dw = block((size_t)w.n * 8), a = 0, b = 0, c = 0;
        loops_forward(&p, LUC_CONV_F64, x.d, w.d, NULL, y);
        loops_grad_input(&p, LUC_CONV_F64, dy.d, w.d, dx);
        loops_grad_weight(&p, LUC_CONV_F64, x.d, dy.d, dw, NULL);
        for (int64_t k = 0; k < dy.n; k++) a += y[k] * dy.d[k];
        for (int64_t k = 0; k < x.n; k++) b += dx[k] * x.d[k];
        for (int64_t k = 0; k < w.n; k++) c += dw[k] * w.d[k];
        cr_assert(fabs(a - b) < 1e-10 && fabs(a - c) < 1e-10, "%g %g %g", a, b, c);
        release(&x), release(&w), release(&dy);
        free(y), free(dx), free(dw);
    }
}

/* The formula by hand: 1x1x3x3 image, 2x2 kernel. */
Test(conv, by_hand)
{
    luc_conv2d_params p = shape(1, 1, 3, 3, 1, 2, 1, 0, 1, 1);
    const double x[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, w[4] = {1, 10, 100, 1000}, bias = 0.5;
    const double want[4] = {5421.5, 6532.5, 8754.5, 9865.5};
    const double scale = 2, residual[4] = {0, 1, -17516, -20000};
    const double all[4] = {10842.5, 13065.5, 0, 0};
    luc_conv_epilogue then = {.shift = &bias};
    double y[4];
    loops_forward(&p, LUC_CONV_F64, x, w, &then, y);
    for (int i = 0; i < 4; i++) cr_assert_eq(y[i], want[i]);
    then = epilogue(7, &scale, &bias, residual, true);
    loops_forward(&p, LUC_CONV_F64, x, w, &then, y);
    for (int i = 0; i < 4; i++) cr_assert_eq(y[i], all[i], "%d: %g", i, y[i]);
}

/* A NaN reaches exactly the outputs whose window holds it; padding multiplies no infinity. */
static void special_values(void)
{
    luc_conv2d_params p = shape(1, 16, 8, 8, 32, 3, 1, 1, 1, 1);
    numbers x = filled(span(&p, X)), w = filled(span(&p, W));
    x.f[(3 * 8 + 4) * 16 + 5] = NAN;
    x.f[0] = INFINITY;
    float *y = block((size_t)span(&p, Y) * 4);
    const luc_conv_epilogue relu = {.relu = true};
    p.method = LUC_CONV_DIRECT;
    run(&p, LUC_CONV_FORWARD, x.f, w.f, &relu, y, NULL, span(&p, Y));
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++)
            for (int o = 0; o < 32; o++) {
                bool nan = abs(i - 3) <= 1 && abs(j - 4) <= 1, infinite = i <= 1 && j <= 1;
                float got = y[(i * 8 + j) * 32 + o];
                cr_assert_eq(isnan(got) != 0, nan, "(%d, %d): %g", i, j, (double)got);
                if (infinite) cr_assert(got == 0 || isinf(got), "(%d, %d): %g", i, j, (double)got);
                if (!nan && !infinite) cr_assert(got >= 0 && isfinite(got));
            }
    /* Winograd's may reach further, but lose nothing. */
    p.method = LUC_CONV_WINOGRAD;
    run(&p, LUC_CONV_FORWARD, x.f, w.f, &relu, y, NULL, span(&p, Y));
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 8; j++) {
            bool special = (abs(i - 3) <= 1 && abs(j - 4) <= 1) || (i <= 1 && j <= 1);
            float got = y[(i * 8 + j) * 32];
            if (special) cr_assert(got == 0 || !isfinite(got), "(%d, %d): %g", i, j, (double)got);
        }
    release(&x), release(&w);
    free(y);
}
Test(conv, special_values)
{
    every_level(special_values);
}

/* 1x1 from images as [N,C,H,W], with gaps between planes and images, gives what
   channels_last gives. */
static void pointwise_planes(void)
{
    for (int i = 0; i < 30; i++) {
        luc_conv2d_params p =
            shape(pick(1, 3), pick(1, 40), pick(1, 9), pick(1, 9), pick(1, 70), 1, 1, 0, 1, 1);
        if (i == 0) p = shape(2, 800, 5, 7, 33, 1, 1, 0, 1, 1);
        if (i == 1) p = shape(2, 33, 25, 27, 40, 1, 1, 0, 1, 1);
        const int64_t size = p.h * p.w, gap = pick(0, 2);
        for (int pass = 0; pass < 2; pass++) {
            const int64_t c = pass ? p.o : p.c;
            const int64_t stride[4] = {c * (size + gap) + gap, size + gap, p.w, 1};
            luc_conv2d_params q = p;
            memcpy(pass ? q.y_stride : q.x_stride, stride, sizeof stride);
            numbers from = filled(p.n * size * c), w = filled(span(&p, W));
            numbers apart = filled(p.n * stride[0]);
            for (int64_t n = 0; n < p.n; n++)
                for (int64_t k = 0; k < size * c; k++)
                    apart.f[n * stride[0] + k % c * stride[1] + k / c] = from.f[n * size * c + k];
            const int64_t results = p.n * size * (pass ? p.c : p.o);
            float *a = block((size_t)results * 4), *b = block((size_t)results * 4);
            run(&p, (luc_conv_pass)pass, from.f, w.f, NULL, a, NULL, results);
            run(&q, (luc_conv_pass)pass, apart.f, w.f, NULL, b, NULL, results);
            char text[200];
            describe(&p, text, sizeof text);
            const bool fast = takes_planes(&q, (luc_conv_pass)pass);
            cr_assert(fast || c == 1 || size == 1, "%s: is slow", text);
            for (int64_t k = 0; k < results; k++)
                cr_assert(fabsf(a[k] - b[k]) <= 1e-5f * fmaxf(1, fabsf(a[k])), "%s: pass %d: [%d]",
                          text, pass, (int)k);
            release(&from), release(&w), release(&apart);
            free(a), free(b);
        }
    }
}
Test(conv, pointwise_planes)
{
    every_level(pointwise_planes);
}

/* The smallest and largest values that may follow the sums, in every kernel: a NaN stays, and so do
   the signs of what ReLU does not cut. */
static void special_epilogues(void)
{
    const luc_conv2d_params shapes[] = {
        shape(1, 3, 5, 4, 37, 1, 1, 0, 1, 1), shape(1, 3, 5, 4, 37, 3, 1, 1, 1, 1),
        shape(1, 37, 5, 4, 37, 3, 1, 1, 1, 37), shape(2, 3, 1, 1, 37, 1, 1, 0, 1, 1)};
    const float odd[] = {NAN, INFINITY, -INFINITY, 0, -1};
    for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++)
        for (int where = 0; where < 3; where++)
            for (int relu = 0; relu < 2; relu++) {
                const luc_conv2d_params *p = &shapes[k];
                const int64_t n = span(p, Y);
                numbers x = filled(span(p, X)), w = filled(span(p, W)), r = filled(n);
                numbers scale = filled(p->o), shift = filled(p->o);
                float *y = block((size_t)n * 4), *plain = block((size_t)n * 4);
                numbers *one[] = {&scale, &shift, &r};
                for (int i = 0; i < 5; i++) one[where]->f[i * 8] = odd[i];
                const luc_conv_epilogue then = epilogue(7, scale.f, shift.f, r.f, relu);
                run(p, LUC_CONV_FORWARD, x.f, w.f, NULL, plain, NULL, n);
                run(p, LUC_CONV_FORWARD, x.f, w.f, &then, y, NULL, n);
                for (int64_t i = 0; i < n; i++) {
                    const int64_t o = i % p->o;
                    const double want =
                        (double)plain[i] * (double)scale.f[o] + (double)shift.f[o] + (double)r.f[i];
                    const double cut = relu && want < 0 ? 0 : want, got = (double)y[i];
                    cr_assert(isnan(want) ? isnan(got)
                                          : got == cut || fabs(got - cut) < 1e-5 * (1 + fabs(cut)),
                              "shape %zu, %d, [%d]: expected %g, got %g", k, where, (int)i, cut,
                              got);
                }
                release(&x), release(&w), release(&r), release(&scale), release(&shift);
                free(y), free(plain);
            }
}
Test(conv, special_epilogues)
{
    every_level(special_epilogues);
}

/* The input gradient of stride 2 into few channels sums squares of pixels together: still a NaN
   reaches exactly the pixels that see it. */
static void special_gradients(void)
{
    for (int kernel = 2; kernel <= 7; kernel++)
        for (int at = 0; at < 4; at++) {
            luc_conv2d_params p = shape(1, 3, 12, 11, 16, kernel, 2, kernel / 2, 1, 1);
            const int64_t nx = span(&p, X), ny = span(&p, Y), pixels = p.oh * p.ow;
            numbers w = filled(span(&p, W)), dy = filled(ny);
            float *dx = block((size_t)nx * 4), *want = block((size_t)nx * 4);
            const int64_t pixel[4] = {0, pixels - 1, pixels / 2, p.ow - 1};
            dy.f[pixel[at] * 16 + 3] = NAN;
            run(&p, LUC_CONV_GRAD_INPUT, dy.f, w.f, NULL, dx, NULL, nx);
            p.method = LUC_CONV_REFERENCE;
            run(&p, LUC_CONV_GRAD_INPUT, dy.f, w.f, NULL, want, NULL, nx);
            for (int64_t i = 0; i < nx; i++)
                cr_assert_eq(isnan(dx[i]) != 0, isnan(want[i]) != 0, "kernel %d, %d: %g, not %g",
                             kernel, (int)i, (double)dx[i], (double)want[i]);
            release(&w), release(&dy);
            free(dx), free(want);
        }
}
Test(conv, special_values_in_gradients)
{
    every_level(special_gradients);
}

static void zero_sizes(void)
{
    luc_conv2d_params p = shape(1, 3, 5, 5, 4, 3, 1, 1, 1, 1);
    p.n = 0;
    float dw[4 * 3 * 9], dbias[4];
    for (int i = 0; i < 4 * 3 * 9; i++) dw[i] = NAN;
    const luc_conv2d_plan plan = luc_conv2d_make_plan(&p, LUC_CONV_F32, LUC_CONV_GRAD_WEIGHT, NULL);
    void *space = block(plan.workspace);
    luc_conv2d_grad_weight(&plan, NULL, NULL, dw, dbias, space);
    for (int i = 0; i < 4 * 3 * 9; i++) cr_assert_eq(dw[i], 0);
    for (int i = 0; i < 4; i++) cr_assert_eq(dbias[i], 0);
    free(space);
    loops_forward(&p, LUC_CONV_F32, NULL, dw, NULL, NULL);
    loops_grad_input(&p, LUC_CONV_F32, NULL, dw, NULL);
}
Test(conv, zero_sizes)
{
    every_level(zero_sizes);
}

/* Without images, without input channels or without output channels nothing is computed, in any
   memory format, and an empty sum is 0. */
static void empty(luc_conv2d_params p)
{
    static float x[2 * 3 * 156], w[4 * 3 * 9], y[2 * 4 * 156];
    float bias[4];
    double mean[4], var[4];
    const luc_conv_epilogue then = {.mean = p.o ? mean : NULL, .var = p.o ? var : NULL};
    p.statistics = p.y_stride[1] == 1;
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = NAN;
    for (size_t i = 0; i < sizeof y / sizeof *y; i++) y[i] = NAN;
    for (size_t i = 0; i < sizeof w / sizeof *w; i++) w[i] = NAN;
    for (luc_conv_pass pass = LUC_CONV_FORWARD; pass <= LUC_CONV_GRAD_WEIGHT; pass++) {
        const luc_conv2d_plan plan = luc_conv2d_make_plan(&p, LUC_CONV_F32, pass, NULL);
        char *space = block(plan.workspace);
        if (pass == LUC_CONV_FORWARD)
            luc_conv2d_forward(&plan, x, w, &then, y, space);
        else if (pass == LUC_CONV_GRAD_INPUT)
            luc_conv2d_grad_input(&plan, y, w, x, space);
        else
            luc_conv2d_grad_weight(&plan, x, y, w, bias, space);
        p.statistics = false;
        free(space);
    }
    for (int64_t i = 0; i < p.n * p.c * p.h * p.w; i++) cr_expect_eq(x[i], 0);
    for (int64_t i = 0; i < p.n * p.o * p.oh * p.ow; i++) cr_expect_eq(y[i], 0);
    for (int64_t i = 0; i < p.o * p.c * p.kh * p.kw; i++) cr_expect_eq(w[i], 0);
    for (int64_t i = 0; i < p.o; i++)
        cr_expect(bias[i] == 0 && (p.y_stride[1] != 1 || (mean[i] == 0 && var[i] == 0)));
}
static void every_empty(void)
{
    for (int64_t k = 1; k <= 3; k += 2)
        for (int which = 0; which < 3; which++)
            for (int planes = 0; planes < 2; planes++) {
                luc_conv2d_params p = shape(which == 0 ? 0 : 2, which == 1 ? 0 : 3, 12, 13,
                                            which == 2 ? 0 : 4, k, 1, k / 2, 1, 1);
                if (planes) set_planes(&p, true);
                empty(p);
            }
}
Test(conv, every_empty)
{
    every_level(every_empty);
}
