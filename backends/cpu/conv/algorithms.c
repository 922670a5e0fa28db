/* algorithms.c: the ways of computing a convolution, and which of them a call gets.
 *
 * The lists at the end of this file are tried from their first row on: the first that can compute
 * the pass, and pays, does it. Which one that is depends on the sizes, the strides and the CPU
 * level, and on whether Winograd's transform is allowed. */
#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/settings.h"
#include "lucid/core/switches.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the switch of Winograd's transform ------------------------------------------------------ */

/* -1: not yet asked. */
static atomic_int winograd_allowed = -1;

static void read_winograd(void)
{
    const char *setting = getenv("LUCID_WINOGRAD");
    if (setting && *setting && strcmp(setting, "0") != 0 && strcmp(setting, "1") != 0)
        fprintf(stderr, "lucid: LUCID_WINOGRAD=%.40s is ignored: expected 0 or 1\n", setting);
    int unset = -1; /* luc_conv_allow_winograd may have come first */
    atomic_compare_exchange_strong(&winograd_allowed, &unset,
                                   !setting || strcmp(setting, "0") != 0);
}

bool luc_conv_winograd_is_allowed(void)
{
    if (luc_call_settings.fixed) return luc_call_settings.winograd;
    int allowed = atomic_load_explicit(&winograd_allowed, memory_order_relaxed);
    if (allowed < 0) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, read_winograd);
        allowed = atomic_load_explicit(&winograd_allowed, memory_order_relaxed);
    }
    return allowed != 0;
}

bool luc_conv_allow_winograd(bool allow)
{
    bool old = luc_conv_winograd_is_allowed();
    atomic_store_explicit(&winograd_allowed, allow, memory_order_relaxed);
    return old;
}

bool lucid_set_winograd(bool enabled)
{
    return luc_conv_allow_winograd(enabled);
}

bool lucid_get_winograd(void)
{
    return luc_conv_winograd_is_allowed();
}

/* ---- what memory looks like ------------------------------------------------------------------ */

/* A stride means nothing in a dimension of size 1. */
static bool stride_is(int64_t size, int64_t stride, int64_t expected)
{
    return size <= 1 || stride == expected;
}

static bool dense_pixels(int64_t n, int64_t c, int64_t h, int64_t w, const int64_t *stride)
{
    return stride_is(c, stride[1], 1) && stride_is(w, stride[3], c) &&
           stride_is(h, stride[2], w * c) && stride_is(n, stride[0], h * w * c);
}

static bool channels_last(const luc_conv2d_params *p)
{
    return stride_is(p->c, p->x_stride[1], 1) && stride_is(p->o, p->y_stride[1], 1);
}

/* ---- depthwise: one filter for each channel -------------------------------------------------- */

static bool is_depthwise(const luc_conv2d_params *p)
{
    return p->c == p->groups && p->o == p->groups && p->groups > 1;
}

static bool can_depthwise(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return channels_last(p) && is_depthwise(p);
}

static size_t depthwise_bytes(const luc_conv2d_plan *plan)
{
    return luc_conv_depthwise_get()->bytes(&plan->p, plan->pass);
}

static void run_depthwise(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    const luc_conv_depthwise_table *table = luc_conv_depthwise_get();
    const luc_conv2d_params *p = &plan->p;
    if (plan->pass == LUC_CONV_FORWARD) {
        table->forward(p, o->from, o->with, o->then, o->to, o->workspace);
    } else if (plan->pass == LUC_CONV_GRAD_INPUT) {
        table->grad_input(p, o->from, o->with, o->to, o->workspace);
    } else {
        table->grad_weight(p, o->from, o->with, o->to, o->workspace);
        if (o->bias) luc_conv_weight_get()->run_bias(p, o->with, o->bias, o->workspace);
    }
}

/* ---- 1x1 kernels without padding: products of pixels by channels ----------------------------- */

/* With stride 1 the source may also be [N,C,H,W] with dense planes. */
static bool can_1x1(const luc_conv2d_params *p, luc_conv_pass pass)
{
    const bool backward = pass == LUC_CONV_GRAD_INPUT, strided = p->stride_h > 1 || p->stride_w > 1;
    if (p->kh != 1 || p->kw != 1 || p->groups != 1 || p->pad_h != 0 || p->pad_w != 0) return false;
    const bool dense_y = dense_pixels(p->n, p->o, p->oh, p->ow, p->y_stride);
    if (strided) return dense_y && !backward && stride_is(p->c, p->x_stride[1], 1);
    if (p->h != p->oh || p->w != p->ow) return false;
    const bool dense_x = dense_pixels(p->n, p->c, p->h, p->w, p->x_stride);
    if (dense_x && dense_y) return true;
    const int64_t *source = backward ? p->y_stride : p->x_stride;
    return (backward ? dense_x : dense_y) && (backward ? p->o : p->c) > 1 && source[1] != 1 &&
           stride_is(p->w, source[3], 1) && stride_is(p->h, source[2], p->w);
}

static const luc_conv_packed_kernel *kernel_1x1(void)
{
    return &luc_conv_pointwise_get()->kernel;
}

/* Of at most this number of pixels: dot products with the weights as they are, which would take
   longer to pack. */
enum { FEW = 4 };

static bool can_few_pixels(const luc_conv2d_params *p, luc_conv_pass pass)
{
    return channels_last(p) && can_1x1(p, pass) && p->stride_h == 1 && p->stride_w == 1 &&
           p->n * p->h * p->w <= FEW && stride_is(p->c, p->w_stride[1], 1);
}

static luc_gemm_params few_pixels(const luc_conv2d_params *p)
{
    luc_gemm_params g = luc_gemm_plain(p->n * p->h * p->w, p->o, p->c, false, true);
    g.ldb = p->o > 1 ? p->w_stride[0] : p->c;
    return g;
}

static size_t few_pixels_bytes(const luc_conv2d_plan *plan)
{
    const luc_gemm_params g = few_pixels(&plan->p);
    return luc_gemm_workspace(&g, LUC_GEMM_F32);
}

/* Does what follows the sums, to a y that has them. */
static void finish_few_pixels(const luc_conv2d_params *p, const luc_conv_then *then, float *y)
{
    const int64_t size = p->n * p->oh * p->ow * p->o;
    for (int64_t i = 0; i < size; i++) {
        const int64_t o = i % p->o;
        float sum = y[i];
        if (then->scale) sum *= then->scale[o];
        if (then->shift) sum += then->shift[o];
        if (then->residual) sum += then->residual[i];
        y[i] = then->relu && sum < 0 ? 0 : sum;
    }
}

static void run_few_pixels(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    const luc_gemm_params g = few_pixels(&plan->p);
    luc_gemm(&g, LUC_GEMM_F32, o->from, o->with, o->to, NULL, o->workspace, plan->own_bytes);
    if (o->epilogue) finish_few_pixels(&plan->p, o->then, o->to);
}

/* ---- the other kernels that pack their weights ----------------------------------------------- */

static bool can_channels_last(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return channels_last(p);
}

static const luc_conv_packed_kernel *kernel_few_channels(void)
{
    return &luc_conv_thin_get()->kernel;
}

static bool few_channels_pays(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return luc_conv_thin_get()->wins(p);
}

static const luc_conv_packed_kernel *kernel_winograd(void)
{
    return &luc_conv_winograd_get()->kernel;
}

static bool can_winograd(const luc_conv2d_params *p, luc_conv_pass pass)
{
    return channels_last(p) && luc_conv_winograd_get()->fits(p, pass == LUC_CONV_GRAD_INPUT);
}

/* Of all three passes: where it is asked for, or allowed and faster than direct sums. */
static bool winograd_pays(const luc_conv2d_params *p, luc_conv_pass pass)
{
    if (p->method == LUC_CONV_WINOGRAD) return true;
    if (p->method == LUC_CONV_DIRECT || !luc_conv_winograd_is_allowed()) return false;
    return pass == LUC_CONV_GRAD_WEIGHT
               ? luc_conv_winograd_weight_get()->wins(p)
               : luc_conv_winograd_get()->wins(p, pass == LUC_CONV_GRAD_INPUT);
}

static const luc_conv_packed_kernel *kernel_windows(void)
{
    return &luc_conv_window_get()->kernel;
}

static size_t packed_kernel_bytes(const luc_conv2d_plan *plan)
{
    const luc_conv_packed_kernel *kernel = plan->algorithm->packed();
    const bool backward = plan->pass == LUC_CONV_GRAD_INPUT;
    return kernel->bytes(&plan->p, backward, plan->threads) +
           (plan->packed_bytes ? 0 : kernel->packed_bytes(&plan->p, backward));
}

/* Packs the weights, unless the caller has kept them. */
static void run_packed(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    const luc_conv_packed_kernel *kernel = plan->algorithm->packed();
    const luc_conv2d_params *p = &plan->p;
    const bool backward = plan->pass == LUC_CONV_GRAD_INPUT;
    const void *w = o->with;
    char *workspace = o->workspace;
    if (!plan->packed_bytes) {
        kernel->pack(p, backward, w, workspace);
        w = workspace;
        workspace += kernel->packed_bytes(p, backward);
    }
    kernel->run(p, backward, o->from, w, o->then, o->to, workspace, plan->threads);
}

/* ---- the weight gradient --------------------------------------------------------------------- */

static bool can_weights_1x1(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return !channels_last(p) && luc_conv_pointwise_weight_get()->fits(p);
}

/* Tiles are fast once x is packed, and packing pays if x is the smaller of the two images. */
static bool weights_1x1_pay(const luc_conv2d_params *p, luc_conv_pass pass)
{
    const bool strided = p->stride_h > 1 || p->stride_w > 1;
    (void)pass;
    return (!strided && p->o > p->c) || !luc_conv_plane_get()->fits(p);
}

static size_t weights_1x1_bytes(const luc_conv2d_plan *plan)
{
    return luc_conv_pointwise_weight_get()->bytes(&plan->p, plan->threads);
}

static void run_weights_1x1(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    luc_conv_pointwise_weight_get()->run(&plan->p, o->from, o->with, o->to, o->workspace,
                                         plan->threads);
    if (o->bias) luc_conv_plane_get()->run_bias(&plan->p, o->with, o->bias);
}

static bool can_weights_of_planes(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return !channels_last(p) && luc_conv_plane_get()->fits(p);
}

/* Winograd's transform is worth a conversion to channels_last memory. */
static bool weights_of_planes_pay(const luc_conv2d_params *p, luc_conv_pass pass)
{
    return !p->convertible || !luc_conv_winograd_weight_get()->fits(p) || !winograd_pays(p, pass);
}

static size_t weights_of_planes_bytes(const luc_conv2d_plan *plan)
{
    return luc_conv_plane_get()->bytes(&plan->p, plan->threads);
}

static void run_weights_of_planes(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    luc_conv_plane_get()->run(&plan->p, o->from, o->with, o->to, o->workspace, plan->threads);
    if (o->bias) luc_conv_plane_get()->run_bias(&plan->p, o->with, o->bias);
}

static bool can_winograd_weights(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return channels_last(p) && luc_conv_winograd_weight_get()->fits(p);
}

static size_t winograd_weights_bytes(const luc_conv2d_plan *plan)
{
    return luc_conv_winograd_weight_get()->bytes(&plan->p);
}

static void run_winograd_weights(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    luc_conv_winograd_weight_get()->run(&plan->p, o->from, o->with, o->to, o->workspace);
    if (o->bias) luc_conv_weight_get()->run_bias(&plan->p, o->with, o->bias, o->workspace);
}

static size_t weights_bytes(const luc_conv2d_plan *plan)
{
    return luc_conv_weight_get()->bytes(&plan->p, plan->threads);
}

static void run_weights(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    luc_conv_weight_get()->run(&plan->p, o->from, o->with, o->to, o->workspace, plan->threads);
    if (o->bias) luc_conv_weight_get()->run_bias(&plan->p, o->with, o->bias, o->workspace);
}

/* ---- bfloat16 in 16-bit instructions --------------------------------------------------------- */

/* Of a depthwise convolution, 31 of 32 columns would be zeros. */
static bool can_blocks(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return (channels_last(p) || p->convertible) && !is_depthwise(p);
}

/* A block with few numbers or columns is mostly zeros: there float's kernels are faster, with the
   conversions. */
static bool blocks_pay(const luc_conv2d_params *p, luc_conv_pass pass)
{
    enum { LEAST_NUMBERS = 32, LEAST_COLUMNS = 8 };
    if (p->method == LUC_CONV_BLOCKS) return true;
    const bool backward = pass == LUC_CONV_GRAD_INPUT;
    const int64_t taps = p->kh * p->kw;
    return luc_bf16_pays() && (backward ? p->o : p->c) / p->groups * taps >= LEAST_NUMBERS &&
           (backward ? p->c : p->o) / p->groups >= LEAST_COLUMNS;
}

static const luc_conv_packed_kernel *kernel_blocks(void)
{
    return &luc_conv_blocks;
}

static size_t block_weights_bytes(const luc_conv2d_plan *plan)
{
    return luc_conv_block_weights_bytes(&plan->p, plan->threads);
}

static void run_block_weights(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    luc_conv_block_weights(&plan->p, o->from, o->with, o->to, o->bias, o->workspace, plan->threads);
}

/* ---- double ---------------------------------------------------------------------------------- */

static bool can_products(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)pass;
    return luc_conv_f64_fits(p);
}

static size_t products_bytes(const luc_conv2d_plan *plan)
{
    return luc_conv_f64_bytes(&plan->p, plan->pass, plan->threads);
}

static void run_products(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    const luc_conv2d_params *p = &plan->p;
    if (plan->pass == LUC_CONV_FORWARD)
        luc_conv_f64_forward(p, o->from, o->with, o->epilogue, o->to, o->workspace, plan->threads);
    else if (plan->pass == LUC_CONV_GRAD_INPUT)
        luc_conv_f64_grad_input(p, o->from, o->with, o->to, o->workspace, plan->threads);
    else if (!o->bias)
        luc_conv_f64_grad_weight(p, o->from, o->with, o->to, o->workspace, plan->threads);
    else /* products give no sums of dy */
        luc_conv_ref_grad_weight_f64(p, o->from, o->with, o->to, o->bias);
}

/* ---- the plain loops ------------------------------------------------------------------------- */

static bool can_always(const luc_conv2d_params *p, luc_conv_pass pass)
{
    (void)p, (void)pass;
    return true;
}

static void run_loops_f32(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    const luc_conv2d_params *p = &plan->p;
    if (plan->pass == LUC_CONV_FORWARD)
        luc_conv_ref_forward_f32(p, o->from, o->with, o->epilogue, o->to);
    else if (plan->pass == LUC_CONV_GRAD_INPUT)
        luc_conv_ref_grad_input_f32(p, o->from, o->with, o->to);
    else
        luc_conv_ref_grad_weight_f32(p, o->from, o->with, o->to, o->bias);
}

static void run_loops_f64(const luc_conv2d_plan *plan, const luc_conv_operands *o)
{
    const luc_conv2d_params *p = &plan->p;
    if (plan->pass == LUC_CONV_FORWARD)
        luc_conv_ref_forward_f64(p, o->from, o->with, o->epilogue, o->to);
    else if (plan->pass == LUC_CONV_GRAD_INPUT)
        luc_conv_ref_grad_input_f64(p, o->from, o->with, o->to);
    else
        luc_conv_ref_grad_weight_f64(p, o->from, o->with, o->to, o->bias);
}

/* ---- the list -------------------------------------------------------------------------------- */

enum { Y = 1 << LUC_CONV_FORWARD, DX = 1 << LUC_CONV_GRAD_INPUT, DW = 1 << LUC_CONV_GRAD_WEIGHT };

/* Of bfloat16; where none of these does, it is converted to float. */
static const luc_conv_algorithm algorithms_bf16[] = {
    {.name = "blocks",
     .passes = Y | DX,
     .bf16 = true,
     .can = can_blocks,
     .pays = blocks_pay,
     .packed = kernel_blocks,
     .bytes = packed_kernel_bytes,
     .run = run_packed},
    {.name = "block weights",
     .passes = DW,
     .bf16 = true,
     .can = can_blocks,
     .pays = blocks_pay,
     .bytes = block_weights_bytes,
     .run = run_block_weights},
};

/* Of float. float16 is converted to float. */

static const luc_conv_algorithm algorithms[] = {
    {.name = "depthwise",
     .passes = Y | DX | DW,
     .can = can_depthwise,
     .bytes = depthwise_bytes,
     .run = run_depthwise},
    {.name = "few pixels",
     .passes = Y,
     .can = can_few_pixels,
     .bytes = few_pixels_bytes,
     .run = run_few_pixels},
    {.name = "1x1",
     .passes = Y | DX,
     .planes = true,
     .can = can_1x1,
     .packed = kernel_1x1,
     .bytes = packed_kernel_bytes,
     .run = run_packed},
    {.name = "few channels",
     .passes = DX,
     .can = can_channels_last,
     .pays = few_channels_pays,
     .packed = kernel_few_channels,
     .bytes = packed_kernel_bytes,
     .run = run_packed},
    {.name = "winograd",
     .passes = Y | DX,
     .can = can_winograd,
     .pays = winograd_pays,
     .packed = kernel_winograd,
     .bytes = packed_kernel_bytes,
     .run = run_packed},
    {.name = "windows",
     .passes = Y | DX,
     .can = can_channels_last,
     .packed = kernel_windows,
     .bytes = packed_kernel_bytes,
     .run = run_packed},

    {.name = "1x1 weights",
     .passes = DW,
     .planes = true,
     .can = can_weights_1x1,
     .pays = weights_1x1_pay,
     .bytes = weights_1x1_bytes,
     .run = run_weights_1x1},
    {.name = "weights of planes",
     .passes = DW,
     .planes = true,
     .can = can_weights_of_planes,
     .pays = weights_of_planes_pay,
     .bytes = weights_of_planes_bytes,
     .run = run_weights_of_planes},
    {.name = "winograd weights",
     .passes = DW,
     .can = can_winograd_weights,
     .pays = winograd_pays,
     .bytes = winograd_weights_bytes,
     .run = run_winograd_weights},
    {.name = "weights",
     .passes = DW,
     .can = can_channels_last,
     .bytes = weights_bytes,
     .run = run_weights},
    {.name = "loops", .passes = Y | DX | DW, .can = can_always, .run = run_loops_f32},
};

static const luc_conv_algorithm algorithms_f64[] = {
    {.name = "products",
     .passes = Y | DX | DW,
     .planes = true,
     .can = can_products,
     .bytes = products_bytes,
     .run = run_products},
    {.name = "loops",
     .passes = Y | DX | DW,
     .planes = true,
     .can = can_always,
     .run = run_loops_f64},
};

/* The first of n rows that computes the pass and pays; NULL: none does. */
static const luc_conv_algorithm *first_of(const luc_conv_algorithm *a, size_t n,
                                          const luc_conv2d_params *p, luc_conv_pass pass)
{
    for (const luc_conv_algorithm *end = a + n; a < end; a++)
        if ((a->passes >> pass & 1) && a->can(p, pass) && (!a->pays || a->pays(p, pass))) return a;
    return NULL;
}

#define LENGTH(list) (sizeof(list) / sizeof *(list))

const luc_conv_algorithm *luc_conv_choose(const luc_conv2d_params *p, luc_conv_type type,
                                          luc_conv_pass pass)
{
    const bool wide = type == LUC_CONV_F64;
    const luc_conv_algorithm *a = wide ? algorithms_f64 : algorithms;
    const size_t n = wide ? LENGTH(algorithms_f64) : LENGTH(algorithms);
    if (p->method == LUC_CONV_REFERENCE) return a + n - 1;
    const luc_conv_algorithm *half =
        type == LUC_CONV_BF16 ? first_of(algorithms_bf16, LENGTH(algorithms_bf16), p, pass) : NULL;
    return half ? half : first_of(a, n, p, pass);
}
