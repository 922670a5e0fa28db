/* dispatch.c: the plan of a convolution and its run: the algorithm of algorithms.c, statistics of
 * its result, and the types that are computed in float. */
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/copy/half_operands.h"
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"

#include <string.h>

void luc_conv2d_channels_last(luc_conv2d_params *p)
{
    const int64_t cg = p->c / p->groups;
    p->oh = (p->h + 2 * p->pad_h - p->dilation_h * (p->kh - 1) - 1) / p->stride_h + 1;
    p->ow = (p->w + 2 * p->pad_w - p->dilation_w * (p->kw - 1) - 1) / p->stride_w + 1;
    const int64_t x[4] = {p->h * p->w * p->c, 1, p->w * p->c, p->c};
    const int64_t y[4] = {p->oh * p->ow * p->o, 1, p->ow * p->o, p->o};
    const int64_t w[4] = {cg * p->kh * p->kw, p->kh * p->kw, p->kw, 1};
    memcpy(p->x_stride, x, sizeof x);
    memcpy(p->y_stride, y, sizeof y);
    memcpy(p->w_stride, w, sizeof w);
}

/* ---- statistics of forward's result --------------------------------------------------------- */

/* SUMS_PIXELS are the pixels of a part, if the sums are taken in a pass of their own. From
   SUMS_BYTES of y on, a kernel sums what it has just made. A smaller y is still in the cache when
   it is complete, and the work would have to be cut up too finely. */
enum { SUMS_PIXELS = 1024, SUMS_BYTES = 3 << 20 };

static int64_t pixels_of(const luc_conv2d_params *p)
{
    return p->n * p->oh * p->ow;
}

/* Whether the algorithm's kernel takes the sums. */
static bool sums_itself(const luc_conv2d_params *p, const luc_conv_algorithm *a)
{
    return a->packed && a->packed()->parts &&
           pixels_of(p) * p->o * (int64_t)sizeof(float) >= SUMS_BYTES;
}

/* The bytes that the sums take, at the beginning of the workspace. *sums, if not NULL, points
   there. */
static size_t place_sums(const luc_conv2d_plan *plan, char *workspace, luc_conv_sums *sums)
{
    const luc_conv2d_params *p = &plan->p;
    if (!plan->statistics) return 0;
    const int64_t parts = p->statistics ? plan->algorithm->packed()->parts(p)
                                        : luc_ceil_div(pixels_of(p), SUMS_PIXELS);
    const size_t bytes = luc_round64((size_t)(3 * parts * p->o) * sizeof(double));
    if (sums)
        *sums = (luc_conv_sums){.channels = p->o,
                                .parts = parts,
                                .sums = (double *)(void *)workspace,
                                .pixels = (int64_t *)(void *)(workspace + bytes)};
    return bytes + luc_round64((size_t)parts * sizeof(int64_t));
}

typedef struct {
    const luc_conv_sums *sums;
    const float *y;
    int64_t pixels;
} sums_pass;

static void sum_parts(void *ctx, int64_t begin, int64_t end, int thread)
{
    const sums_pass *k = ctx;
    const luc_conv_sums_table *table = luc_conv_sums_get();
    const int64_t channels = k->sums->channels;
    (void)thread;
    for (int64_t part = begin; part < end; part++) {
        const float *y = k->y + part * SUMS_PIXELS * channels;
        const int64_t n = luc_min64(SUMS_PIXELS, k->pixels - part * SUMS_PIXELS);
        table->begin(k->sums, part, y, 0, channels);
        table->add(k->sums, part, y, n, channels, 0, channels);
        k->sums->pixels[part] = n;
    }
}

/* ---- float16 and bfloat16: converted whole, computed in float -------------------------------- */

/* The span of elements that a tensor of these sizes and strides touches. */
static int64_t span(const int64_t size[4], const int64_t stride[4])
{
    int64_t last = 0;
    for (int i = 0; i < 4; i++) {
        if (size[i] <= 0) return 0;
        last += (size[i] - 1) * stride[i];
    }
    return last + 1;
}

typedef struct {
    int64_t x, w, y;
} spans;

static spans spans_of(const luc_conv2d_params *p)
{
    const int64_t x[4] = {p->n, p->c, p->h, p->w}, y[4] = {p->n, p->o, p->oh, p->ow};
    const int64_t w[4] = {p->o, p->c / p->groups, p->kh, p->kw};
    return (spans){.x = span(x, p->x_stride), .w = span(w, p->w_stride), .y = span(y, p->y_stride)};
}

/* ---- the plan -------------------------------------------------------------------------------- */

/* Whether the result of the pass has no elements. */
static bool writes_nothing(const luc_conv2d_params *p, luc_conv_pass pass)
{
    if (pass == LUC_CONV_GRAD_WEIGHT) return p->o <= 0;
    if (pass == LUC_CONV_GRAD_INPUT) return p->n <= 0 || p->c <= 0 || p->h <= 0 || p->w <= 0;
    return p->n <= 0 || p->o <= 0 || p->oh <= 0 || p->ow <= 0;
}

luc_conv2d_plan luc_conv2d_make_plan(const luc_conv2d_params *p, luc_conv_type type,
                                     luc_conv_pass pass, const luc_conv_algorithm *algorithm)
{
    luc_conv2d_plan plan = {.p = *p, .type = type, .pass = pass, .threads = luc_num_threads()};
    plan.statistics = pass == LUC_CONV_FORWARD && p->statistics;
    if (writes_nothing(p, pass)) return plan;
    const luc_conv_algorithm *a = algorithm ? algorithm : luc_conv_choose(p, type, pass);
    plan.algorithm = a;
    plan.p.statistics = plan.statistics && sums_itself(p, a);
    if (pass == LUC_CONV_FORWARD && p->packed && a->packed && (type == LUC_CONV_F32 || a->bf16))
        plan.packed_bytes = a->packed()->packed_bytes(p, false);
    if (a->bytes) plan.own_bytes = a->bytes(&plan);
    if (pass == LUC_CONV_GRAD_WEIGHT && type != LUC_CONV_F64 && a->bytes && !a->bf16) {
        const size_t bias = luc_conv_weight_get()->bias_bytes(p);
        if (bias > plan.own_bytes) plan.own_bytes = bias;
    }
    plan.workspace = place_sums(&plan, NULL, NULL) + plan.own_bytes;
    if ((type == LUC_CONV_F16 || type == LUC_CONV_BF16) && !a->bf16) {
        const spans s = spans_of(p);
        plan.workspace += luc_wide_bytes(s.x) + luc_wide_bytes(s.w) + 2 * luc_wide_bytes(s.y) +
                          luc_wide_bytes(p->o);
    }
    return plan;
}

bool luc_conv_takes_planes(const luc_conv_algorithm *algorithm)
{
    return algorithm->planes;
}

const char *luc_conv_name(const luc_conv_algorithm *algorithm)
{
    return algorithm->name;
}

luc_conv_packing luc_conv2d_packing(const luc_conv2d_plan *plan)
{
    const luc_conv2d_params *p = &plan->p;
    luc_conv_packing packed;
    memset(&packed, 0, sizeof packed); /* the gaps too, because keys are compared as memory */
    packed.algorithm = plan->algorithm;
    packed.level = luc_cpu_current();
    packed.o = p->o, packed.c = p->c, packed.kh = p->kh, packed.kw = p->kw;
    packed.groups = p->groups;
    memcpy(packed.stride, p->w_stride, sizeof packed.stride);
    return packed;
}

void luc_conv2d_pack(const luc_conv2d_plan *plan, const void *w, void *packed)
{
    plan->algorithm->packed()->pack(&plan->p, false, w, packed);
}

/* ---- the run --------------------------------------------------------------------------------- */

/* Of float, or of bfloat16 as it is. */
static void forward_narrow(const luc_conv2d_plan *plan, const void *x, const void *w,
                           const luc_conv_epilogue *epilogue, void *y, char *workspace)
{
    luc_conv_then then = {0};
    if (epilogue)
        then = (luc_conv_then){
            .scale = epilogue->scale, .shift = epilogue->shift, .relu = epilogue->relu};
    if (epilogue && plan->algorithm->bf16)
        then.half_residual = epilogue->residual;
    else if (epilogue)
        then.residual = epilogue->residual;
    luc_conv_sums sums;
    workspace += place_sums(plan, workspace, &sums);
    if (plan->p.statistics) then.sums = &sums;
    const luc_conv_operands o = {
        .from = x, .with = w, .to = y, .epilogue = epilogue, .then = &then, .workspace = workspace};
    plan->algorithm->run(plan, &o);
    if (!plan->statistics) return;
    if (!then.sums) {
        sums_pass pass = {&sums, y, pixels_of(&plan->p)};
        luc_parallel_for(sums.parts, 1, sum_parts, &pass);
    }
    luc_conv_sums_get()->finish(&sums, y, epilogue->mean, epilogue->var);
}

static lucid_dtype dtype_of(luc_conv_type half)
{
    return half == LUC_CONV_BF16 ? LUCID_BF16 : LUCID_F16;
}

/* Whether the operands are converted to float and the result back. */
static bool is_converted(const luc_conv2d_plan *plan)
{
    return (plan->type == LUC_CONV_F16 || plan->type == LUC_CONV_BF16) && !plan->algorithm->bf16;
}

/* Gaps between an output's numbers must keep their values, so an output with gaps is widened
   first. */
static void forward_half(const luc_conv2d_plan *plan, const void *x, const void *w,
                         const luc_conv_epilogue *then, void *y, char *workspace)
{
    const luc_conv2d_params *p = &plan->p;
    const lucid_dtype half = dtype_of(plan->type);
    const spans s = spans_of(p);
    char *at = workspace;
    const float *wide_x = luc_take_wide(&at, s.x, x, half);
    const float *wide_w = luc_take_wide(&at, s.w, w, half);
    float *wide_y = luc_take_wide(&at, s.y, s.y == p->n * p->o * p->oh * p->ow ? NULL : y, half);
    luc_conv_epilogue wide = {0};
    if (then) wide = *then;
    if (wide.residual) wide.residual = luc_take_wide(&at, s.y, wide.residual, half);
    forward_narrow(plan, wide_x, wide_w, then ? &wide : NULL, wide_y, at);
    luc_narrow(wide_y, y, s.y, half);
}

void luc_conv2d_forward(const luc_conv2d_plan *plan, const void *x, const void *w,
                        const luc_conv_epilogue *then, void *y, void *workspace)
{
    if (!plan->algorithm) {
        for (int64_t o = 0; plan->statistics && o < plan->p.o; o++)
            then->mean[o] = then->var[o] = 0;
    } else if (is_converted(plan)) {
        forward_half(plan, x, w, then, y, workspace);
    } else if (plan->type != LUC_CONV_F64) {
        forward_narrow(plan, x, w, then, y, workspace);
    } else {
        const luc_conv_operands o = {
            .from = x, .with = w, .to = y, .epilogue = then, .workspace = workspace};
        plan->algorithm->run(plan, &o);
    }
}

void luc_conv2d_grad_input(const luc_conv2d_plan *plan, const void *dy, const void *w, void *dx,
                           void *workspace)
{
    const luc_conv2d_params *p = &plan->p;
    if (!plan->algorithm) return;
    luc_conv_operands o = {.from = dy, .with = w, .to = dx, .workspace = workspace};
    if (!is_converted(plan)) {
        plan->algorithm->run(plan, &o);
        return;
    }
    const lucid_dtype half = dtype_of(plan->type);
    const spans s = spans_of(p);
    o.from = luc_take_wide(&o.workspace, s.y, dy, half);
    o.with = luc_take_wide(&o.workspace, s.w, w, half);
    o.to = luc_take_wide(&o.workspace, s.x, s.x == p->n * p->c * p->h * p->w ? NULL : dx, half);
    plan->algorithm->run(plan, &o);
    luc_narrow(o.to, dx, s.x, half);
}

void luc_conv2d_grad_weight(const luc_conv2d_plan *plan, const void *x, const void *dy, void *dw,
                            void *dbias, void *workspace)
{
    const luc_conv2d_params *p = &plan->p;
    if (!plan->algorithm) return;
    luc_conv_operands o = {.from = x, .with = dy, .to = dw, .bias = dbias, .workspace = workspace};
    if (!is_converted(plan)) {
        plan->algorithm->run(plan, &o);
        return;
    }
    const lucid_dtype half = dtype_of(plan->type);
    const spans s = spans_of(p);
    o.from = luc_take_wide(&o.workspace, s.x, x, half);
    o.with = luc_take_wide(&o.workspace, s.y, dy, half);
    o.to = luc_take_wide(&o.workspace, s.w, dw, half);
    if (dbias) o.bias = luc_take_wide(&o.workspace, p->o, NULL, half);
    plan->algorithm->run(plan, &o);
    luc_narrow(o.to, dw, s.w, half);
    if (dbias) luc_narrow(o.bias, dbias, p->o, half);
}
