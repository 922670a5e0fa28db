/* conv.c: which kernel computes a convolution, and with what memory. */
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/gemm.h"
#include "backends/cpu/parallel.h"
#include "backends/cpu/simd.h"

#include <stdatomic.h>
#include <stdlib.h>

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

/* ---- float ----------------------------------------------------------------------------------- */

typedef enum { PLAIN, WINDOW, DEPTHWISE, POINTWISE, WINOGRAD, PLANES } kernel;

/* A stride means nothing where there is but one element. */
static bool stride_is(int64_t size, int64_t stride, int64_t expected)
{
    return size <= 1 || stride == expected;
}

static bool dense_pixels(int64_t n, int64_t c, int64_t h, int64_t w, const int64_t *stride)
{
    return stride_is(c, stride[1], 1) && stride_is(w, stride[3], c) &&
           stride_is(h, stride[2], w * c) && stride_is(n, stride[0], h * w * c);
}

/* One tap, every pixel its own window, and pixels in one sequence: a matrix product. */
static bool is_pointwise(const luc_conv2d_params *p)
{
    return p->kh == 1 && p->kw == 1 && p->groups == 1 && p->stride_h == 1 && p->stride_w == 1 &&
           p->pad_h == 0 && p->pad_w == 0 && p->h == p->oh && p->w == p->ow &&
           stride_is(p->c, p->w_stride[1], 1) &&
           dense_pixels(p->n, p->c, p->h, p->w, p->x_stride) &&
           dense_pixels(p->n, p->o, p->oh, p->ow, p->y_stride);
}

/* -1: not yet asked. */
static atomic_int winograd_allowed = -1;

void luc_conv_allow_winograd(bool allow)
{
    atomic_store_explicit(&winograd_allowed, allow, memory_order_relaxed);
}

static bool winograd_is_allowed(void)
{
    int allowed = atomic_load_explicit(&winograd_allowed, memory_order_relaxed);
    if (allowed < 0) {
        const char *setting = getenv("LUCID_WINOGRAD");
        allowed = !setting || strcmp(setting, "0") != 0;
        atomic_store_explicit(&winograd_allowed, allowed, memory_order_relaxed);
    }
    return allowed != 0;
}

static bool use_winograd(const luc_conv2d_params *p, luc_conv_pass pass)
{
    const bool asked = p->method == LUC_CONV_WINOGRAD, backward = pass == LUC_CONV_GRAD_INPUT;
    if (p->method == LUC_CONV_DIRECT || (!asked && !winograd_is_allowed())) return false;
    if (pass == LUC_CONV_GRAD_WEIGHT) {
        const luc_conv_winograd_weight_table *table = luc_conv_winograd_weight_get();
        return asked ? table->fits(p) : table->wins(p);
    }
    const luc_conv_winograd_table *table = luc_conv_winograd_get();
    return asked ? table->fits(p, backward) : table->wins(p, backward);
}

static bool channels_last(const luc_conv2d_params *p)
{
    return stride_is(p->c, p->x_stride[1], 1) && stride_is(p->o, p->y_stride[1], 1);
}

static kernel choose(const luc_conv2d_params *p, luc_conv_pass pass)
{
    if (p->method == LUC_CONV_REFERENCE) return PLAIN;
    if (!channels_last(p))
        return pass == LUC_CONV_GRAD_WEIGHT && luc_conv_plane_get()->fits(p) ? PLANES : PLAIN;
    if (p->c == p->groups && p->o == p->groups && p->groups > 1) return DEPTHWISE;
    if (pass != LUC_CONV_GRAD_WEIGHT && is_pointwise(p)) return POINTWISE;
    return use_winograd(p, pass) ? WINOGRAD : WINDOW;
}

bool luc_conv2d_takes_planes(const luc_conv2d_params *p, luc_conv_type type, luc_conv_pass pass)
{
    return type != LUC_CONV_F64 && choose(p, pass) == PLANES && !use_winograd(p, pass);
}

static luc_gemm_params pointwise(const luc_conv2d_params *p, luc_conv_pass pass)
{
    const int64_t pixels = p->n * p->h * p->w;
    luc_gemm_params g;
    if (pass == LUC_CONV_FORWARD) {
        g = luc_gemm_plain(pixels, p->o, p->c, false, true);
        g.ldb = p->o > 1 ? p->w_stride[0] : p->c;
        g.relu = p->relu;
    } else {
        g = luc_gemm_plain(pixels, p->c, p->o, false, false);
        g.ldb = p->o > 1 ? p->w_stride[0] : p->c;
    }
    return g;
}

/* Of the kernels that have scratch memory for each thread. */
static size_t bytes_for(const luc_conv2d_params *p, luc_conv_pass pass, int threads)
{
    const bool backward = pass == LUC_CONV_GRAD_INPUT, winograd = choose(p, pass) == WINOGRAD;
    if (choose(p, pass) == PLANES) return luc_conv_plane_get()->bytes(p, threads);
    if (pass == LUC_CONV_GRAD_WEIGHT)
        return winograd ? luc_conv_winograd_weight_get()->bytes(p)
                        : luc_conv_weight_get()->bytes(p, threads);
    if (winograd) return luc_conv_winograd_get()->bytes(p, backward, threads);
    return luc_conv_window_get()->bytes(p, backward, threads);
}

static size_t bytes_f32(const luc_conv2d_params *p, luc_conv_pass pass)
{
    const int threads = luc_num_threads();
    size_t bytes = 0;
    switch (choose(p, pass)) {
    case PLAIN:
        return 0;
    case DEPTHWISE:
        bytes = luc_conv_depthwise_get()->bytes(p, pass);
        break;
    case POINTWISE: {
        luc_gemm_params g = pointwise(p, pass);
        return luc_gemm_workspace(&g, LUC_GEMM_F32);
    }
    case WINDOW:
    case WINOGRAD:
    case PLANES:
        bytes = bytes_for(p, pass, threads);
    }
    if (pass != LUC_CONV_GRAD_WEIGHT) return bytes;
    const size_t bias = luc_conv_weight_get()->bias_bytes(p);
    return bias > bytes ? bias : bytes;
}

/* The threads that the workspace is large enough for: fewer than there are now if it was asked
   for when fewer were set. */
static int threads_for(const luc_conv2d_params *p, luc_conv_pass pass, size_t bytes)
{
    int threads = luc_num_threads();
    while (threads > 1 && bytes_for(p, pass, threads) > bytes) threads--;
    return threads;
}

static void forward_f32(const luc_conv2d_params *p, const float *x, const float *w,
                        const float *bias, float *y, char *workspace, size_t bytes)
{
    switch (choose(p, LUC_CONV_FORWARD)) {
    case PLAIN:
    case PLANES: /* of the weight gradient alone */
        luc_conv_ref_forward_f32(p, x, w, bias, y);
        break;
    case DEPTHWISE:
        luc_conv_depthwise_get()->forward(p, x, w, bias, y, workspace);
        break;
    case POINTWISE: {
        luc_gemm_params g = pointwise(p, LUC_CONV_FORWARD);
        if (bias) g.bias_kind = LUC_GEMM_BIAS_COL;
        luc_gemm(&g, LUC_GEMM_F32, x, w, y, bias, workspace, bytes);
        break;
    }
    case WINDOW:
        luc_conv_window_get()->run(p, false, x, w, bias, y, workspace,
                                   threads_for(p, LUC_CONV_FORWARD, bytes));
        break;
    case WINOGRAD:
        luc_conv_winograd_get()->run(p, false, x, w, bias, y, workspace,
                                     threads_for(p, LUC_CONV_FORWARD, bytes));
    }
}

static void grad_input_f32(const luc_conv2d_params *p, const float *dy, const float *w, float *dx,
                           char *workspace, size_t bytes)
{
    switch (choose(p, LUC_CONV_GRAD_INPUT)) {
    case PLAIN:
    case PLANES: /* of the weight gradient alone */
        luc_conv_ref_grad_input_f32(p, dy, w, dx);
        break;
    case DEPTHWISE:
        luc_conv_depthwise_get()->grad_input(p, dy, w, dx, workspace);
        break;
    case POINTWISE: {
        luc_gemm_params g = pointwise(p, LUC_CONV_GRAD_INPUT);
        luc_gemm(&g, LUC_GEMM_F32, dy, w, dx, NULL, workspace, bytes);
        break;
    }
    case WINDOW:
        luc_conv_window_get()->run(p, true, dy, w, NULL, dx, workspace,
                                   threads_for(p, LUC_CONV_GRAD_INPUT, bytes));
        break;
    case WINOGRAD:
        luc_conv_winograd_get()->run(p, true, dy, w, NULL, dx, workspace,
                                     threads_for(p, LUC_CONV_GRAD_INPUT, bytes));
    }
}

static void grad_weight_f32(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                            float *dbias, char *workspace, size_t bytes)
{
    switch (choose(p, LUC_CONV_GRAD_WEIGHT)) {
    case PLAIN:
        luc_conv_ref_grad_weight_f32(p, x, dy, dw, dbias);
        return;
    case DEPTHWISE:
        luc_conv_depthwise_get()->grad_weight(p, x, dy, dw, workspace);
        break;
    case WINOGRAD:
        luc_conv_winograd_weight_get()->run(p, x, dy, dw, workspace);
        break;
    case PLANES:
        luc_conv_plane_get()->run(p, x, dy, dw, workspace,
                                  threads_for(p, LUC_CONV_GRAD_WEIGHT, bytes));
        if (dbias) luc_conv_plane_get()->run_bias(p, dy, dbias);
        return;
    default:
        luc_conv_weight_get()->run(p, x, dy, dw, workspace,
                                   threads_for(p, LUC_CONV_GRAD_WEIGHT, bytes));
    }
    if (dbias) luc_conv_weight_get()->run_bias(p, dy, dbias, workspace);
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

static size_t float_bytes(int64_t n)
{
    return luc_round64((size_t)n * sizeof(float));
}

typedef struct {
    float *wide;
    uint16_t *half;
    bool bf16;
} conversion;

static void widen(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *c = ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        c->wide[i] = c->bf16 ? luc_bf16_to_f32(c->half[i]) : luc_f16_to_f32(c->half[i]);
}

static void narrow(void *ctx, int64_t begin, int64_t end, int thread)
{
    const conversion *c = ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++)
        c->half[i] = c->bf16 ? luc_f32_to_bf16(c->wide[i]) : luc_f32_to_f16(c->wide[i]);
}

enum { CONVERT = 1 << 14 };

/* Room for n floats at *at, which moves behind them; holding what half holds, unless NULL. */
static float *take(char **at, int64_t n, const void *half, bool bf16)
{
    conversion c = {.wide = (float *)(void *)*at, .half = (uint16_t *)(uintptr_t)half};
    c.bf16 = bf16;
    *at += float_bytes(n);
    if (half) luc_parallel_for(n, CONVERT, widen, &c);
    return c.wide;
}

static void give(const float *wide, void *half, int64_t n, bool bf16)
{
    conversion c = {.wide = (float *)(uintptr_t)wide, .half = half, .bf16 = bf16};
    luc_parallel_for(n, CONVERT, narrow, &c);
}

/* ---- every type ------------------------------------------------------------------------------ */

size_t luc_conv2d_workspace(const luc_conv2d_params *p, luc_conv_type type, luc_conv_pass pass)
{
    if (type == LUC_CONV_F64) return 0;
    if (type == LUC_CONV_F32) return bytes_f32(p, pass);
    spans s = spans_of(p);
    return float_bytes(s.x) + float_bytes(s.w) + float_bytes(s.y) + float_bytes(p->o) +
           bytes_f32(p, pass);
}

void luc_conv2d_forward(const luc_conv2d_params *p, luc_conv_type type, const void *x,
                        const void *w, const void *bias, void *y, void *workspace, size_t bytes)
{
    if (p->n <= 0 || p->o <= 0 || p->oh <= 0 || p->ow <= 0) return;
    if (type == LUC_CONV_F64) {
        luc_conv_ref_forward_f64(p, x, w, bias, y);
    } else if (type == LUC_CONV_F32) {
        forward_f32(p, x, w, bias, y, workspace, bytes);
    } else {
        const bool bf16 = type == LUC_CONV_BF16;
        const spans s = spans_of(p);
        char *at = workspace;
        const float *wide_x = take(&at, s.x, x, bf16), *wide_w = take(&at, s.w, w, bf16);
        const float *wide_bias = take(&at, p->o, bias, bf16);
        float *wide_y = take(&at, s.y, y, bf16); /* its gaps are written back as they were */
        forward_f32(p, wide_x, wide_w, bias ? wide_bias : NULL, wide_y, at,
                    bytes - (size_t)(at - (char *)workspace));
        give(wide_y, y, s.y, bf16);
    }
}

void luc_conv2d_grad_input(const luc_conv2d_params *p, luc_conv_type type, const void *dy,
                           const void *w, void *dx, void *workspace, size_t bytes)
{
    if (p->n <= 0 || p->c <= 0 || p->h <= 0 || p->w <= 0) return;
    if (type == LUC_CONV_F64) {
        luc_conv_ref_grad_input_f64(p, dy, w, dx);
    } else if (type == LUC_CONV_F32) {
        grad_input_f32(p, dy, w, dx, workspace, bytes);
    } else {
        const bool bf16 = type == LUC_CONV_BF16;
        const spans s = spans_of(p);
        char *at = workspace;
        const float *wide_dy = take(&at, s.y, dy, bf16), *wide_w = take(&at, s.w, w, bf16);
        float *wide_dx = take(&at, s.x, dx, bf16);
        grad_input_f32(p, wide_dy, wide_w, wide_dx, at, bytes - (size_t)(at - (char *)workspace));
        give(wide_dx, dx, s.x, bf16);
    }
}

void luc_conv2d_grad_weight(const luc_conv2d_params *p, luc_conv_type type, const void *x,
                            const void *dy, void *dw, void *dbias, void *workspace, size_t bytes)
{
    if (p->o <= 0) return;
    if (type == LUC_CONV_F64) {
        luc_conv_ref_grad_weight_f64(p, x, dy, dw, dbias);
    } else if (type == LUC_CONV_F32) {
        grad_weight_f32(p, x, dy, dw, dbias, workspace, bytes);
    } else {
        const bool bf16 = type == LUC_CONV_BF16;
        const spans s = spans_of(p);
        char *at = workspace;
        const float *wide_x = take(&at, s.x, x, bf16), *wide_dy = take(&at, s.y, dy, bf16);
        float *wide_dw = take(&at, s.w, dw, bf16), *wide_dbias = take(&at, p->o, NULL, bf16);
        grad_weight_f32(p, wide_x, wide_dy, wide_dw, dbias ? wide_dbias : NULL, at,
                        bytes - (size_t)(at - (char *)workspace));
        give(wide_dw, dw, s.w, bf16);
        if (dbias) give(wide_dbias, dbias, p->o, bf16);
    }
}
