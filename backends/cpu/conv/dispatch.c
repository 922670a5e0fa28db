/* dispatch.c: which kernel computes a convolution, and with what memory. */
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/copy/half_operands.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/settings.h"
#include "lucid/switches.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
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

/* ---- float ----------------------------------------------------------------------------------- */

typedef enum {
    PLAIN,
    WINDOW,
    DEPTHWISE,
    POINTWISE, /* the weight gradient too */
    FEW_PIXELS,
    WINOGRAD,
    PLANES,
    THIN
} kernel;

/* 1x1 convolutions of at most this number of pixels are dot products with the unpacked weights. */
enum { FEW = 4 };

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

/* One tap and no padding: a product of pixels by channels. With stride 1 the source may also be
   [N,C,H,W] with dense planes. */
static bool is_pointwise(const luc_conv2d_params *p, bool backward)
{
    const bool strided = p->stride_h > 1 || p->stride_w > 1;
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

static bool is_few(const luc_conv2d_params *p)
{
    return p->n * p->h * p->w <= FEW && stride_is(p->c, p->w_stride[1], 1);
}

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

static bool use_winograd(const luc_conv2d_params *p, luc_conv_pass pass)
{
    const bool asked = p->method == LUC_CONV_WINOGRAD, backward = pass == LUC_CONV_GRAD_INPUT;
    if (p->method == LUC_CONV_DIRECT || (!asked && !luc_conv_winograd_is_allowed())) return false;
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

/* The weight gradient of images whose channels are planes. */
static kernel choose_planes(const luc_conv2d_params *p)
{
    const bool planes = luc_conv_plane_get()->fits(p);
    const bool strided = p->stride_h > 1 || p->stride_w > 1;
    /* Tiles are fast once x is packed, and packing pays if x is the smaller of the two images. */
    if (luc_conv_pointwise_weight_get()->fits(p) && (!planes || (!strided && p->o > p->c)))
        return POINTWISE;
    return planes ? PLANES : PLAIN;
}

static kernel choose(const luc_conv2d_params *p, luc_conv_pass pass)
{
    const bool backward = pass == LUC_CONV_GRAD_INPUT;
    if (p->method == LUC_CONV_REFERENCE) return PLAIN;
    if (!channels_last(p)) {
        if (pass == LUC_CONV_GRAD_WEIGHT) return choose_planes(p);
        return is_pointwise(p, backward) ? POINTWISE : PLAIN;
    }
    if (p->c == p->groups && p->o == p->groups && p->groups > 1) return DEPTHWISE;
    if (pass != LUC_CONV_GRAD_WEIGHT && is_pointwise(p, backward))
        return !backward && p->stride_h == 1 && p->stride_w == 1 && is_few(p) ? FEW_PIXELS
                                                                              : POINTWISE;
    if (backward && luc_conv_thin_get()->wins(p)) return THIN;
    return use_winograd(p, pass) ? WINOGRAD : WINDOW;
}

bool luc_conv2d_takes_planes(const luc_conv2d_params *p, luc_conv_type type, luc_conv_pass pass)
{
    const kernel k = choose(p, pass);
    if (type == LUC_CONV_F64) return false;
    return k == POINTWISE || (k == PLANES && !use_winograd(p, pass));
}

/* The kernel's table, if the kernel packs its weights; else NULL. */
static const luc_conv_packed_kernel *packing(kernel k)
{
    switch (k) {
    case WINDOW:
        return &luc_conv_window_get()->kernel;
    case POINTWISE:
        return &luc_conv_pointwise_get()->kernel;
    case WINOGRAD:
        return &luc_conv_winograd_get()->kernel;
    case THIN:
        return &luc_conv_thin_get()->kernel;
    default:
        return NULL;
    }
}

static luc_gemm_params few_pixels(const luc_conv2d_params *p)
{
    luc_gemm_params g = luc_gemm_plain(p->n * p->h * p->w, p->o, p->c, false, true);
    g.ldb = p->o > 1 ? p->w_stride[0] : p->c;
    return g;
}

/* For the kernels of the weight gradient that have scratch memory for each thread. */
static size_t weight_bytes(const luc_conv2d_params *p, kernel k, int threads)
{
    if (k == PLANES) return luc_conv_plane_get()->bytes(p, threads);
    if (k == POINTWISE) return luc_conv_pointwise_weight_get()->bytes(p, threads);
    if (k == WINOGRAD) return luc_conv_winograd_weight_get()->bytes(p);
    return luc_conv_weight_get()->bytes(p, threads);
}

static size_t bytes_grad_weight(const luc_conv2d_params *p)
{
    const kernel k = choose(p, LUC_CONV_GRAD_WEIGHT);
    if (k == PLAIN) return 0;
    const size_t bias = luc_conv_weight_get()->bias_bytes(p);
    const size_t bytes = k == DEPTHWISE ? luc_conv_depthwise_get()->bytes(p, LUC_CONV_GRAD_WEIGHT)
                                        : weight_bytes(p, k, luc_num_threads());
    return bias > bytes ? bias : bytes;
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

/* The kernel's table, if the kernel takes the sums; else NULL. */
static const luc_conv_packed_kernel *summing(const luc_conv2d_params *p, kernel k)
{
    const luc_conv_packed_kernel *by = packing(k);
    const bool large = pixels_of(p) * p->o * (int64_t)sizeof(float) >= SUMS_BYTES;
    return p->statistics && large && by && by->parts ? by : NULL;
}

/* The parameters that the kernel gets. */
static luc_conv2d_params seen_by_kernel(const luc_conv2d_params *p, kernel k)
{
    luc_conv2d_params seen = *p;
    seen.statistics = summing(p, k) != NULL;
    return seen;
}

static int64_t sums_parts(const luc_conv2d_params *p, kernel k)
{
    const luc_conv_packed_kernel *by = summing(p, k);
    return by ? by->parts(p) : luc_ceil_div(pixels_of(p), SUMS_PIXELS);
}

/* The bytes that the sums take, at the beginning of the workspace. *sums, if not NULL, points
   there. */
static size_t place_sums(const luc_conv2d_params *p, kernel k, char *workspace, luc_conv_sums *sums)
{
    if (!p->statistics) return 0;
    const int64_t parts = sums_parts(p, k);
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

/* ---- float, each pass ----------------------------------------------------------------------- */

static size_t bytes_f32(const luc_conv2d_params *p, luc_conv_pass pass)
{
    if (pass == LUC_CONV_GRAD_WEIGHT) return bytes_grad_weight(p);
    const kernel k = choose(p, pass);
    const size_t sums = place_sums(p, k, NULL, NULL);
    const luc_conv2d_params seen = seen_by_kernel(p, k);
    const luc_conv_packed_kernel *by = packing(k);
    const bool backward = pass == LUC_CONV_GRAD_INPUT;
    if (by)
        return sums + by->bytes(&seen, backward, luc_num_threads()) +
               (p->packed ? 0 : by->packed_bytes(p, backward));
    if (k == DEPTHWISE) return sums + luc_conv_depthwise_get()->bytes(p, pass);
    if (k == PLAIN) return sums;
    luc_gemm_params g = few_pixels(p);
    return sums + luc_gemm_workspace(&g, LUC_GEMM_F32);
}

/* The number of threads that the workspace is large enough for. It is less than the present number
   if the workspace was asked for when fewer were set. If more were set then, work is cut for that
   number, because a thread then takes less at a time. */
static int threads_for(const luc_conv_packed_kernel *by, const luc_conv2d_params *p, bool backward,
                       size_t bytes)
{
    int threads = luc_num_threads();
    while (threads > 1 && by->bytes(p, backward, threads) > bytes) threads--;
    while (threads < LUC_MAX_THREADS && by->bytes(p, backward, threads) > bytes) threads++;
    return threads;
}

/* Forward or the input gradient by a kernel that packs its weights. */
static void run_packed(const luc_conv_packed_kernel *by, const luc_conv2d_params *p, bool backward,
                       const float *from, const float *w, const luc_conv_then *then, float *to,
                       char *workspace, size_t bytes)
{
    if (!p->packed) {
        const size_t packed = by->packed_bytes(p, backward);
        by->pack(p, backward, w, (float *)(void *)workspace);
        w = (const float *)(void *)workspace;
        workspace += packed;
        bytes -= packed;
    }
    by->run(p, backward, from, w, then, to, workspace, threads_for(by, p, backward, bytes));
}

/* Does what follows the sums, to a y that has them. */
static void finish_few(const luc_conv2d_params *p, const luc_conv_then *then, float *y)
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

static void forward_f32(const luc_conv2d_params *p, const float *x, const float *w,
                        const luc_conv_epilogue *epilogue, float *y, char *workspace, size_t bytes)
{
    const kernel k = choose(p, LUC_CONV_FORWARD);
    luc_conv_then then = {0};
    if (epilogue)
        then = (luc_conv_then){.scale = epilogue->scale,
                               .shift = epilogue->shift,
                               .residual = epilogue->residual,
                               .relu = epilogue->relu};
    luc_conv_sums sums;
    const size_t taken = place_sums(p, k, workspace, &sums);
    workspace += taken, bytes -= taken;
    const luc_conv2d_params seen = seen_by_kernel(p, k);
    if (seen.statistics) then.sums = &sums;
    switch (k) {
    case PLAIN:
        luc_conv_ref_forward_f32(p, x, w, epilogue, y);
        break;
    case DEPTHWISE:
        luc_conv_depthwise_get()->forward(p, x, w, &then, y, workspace);
        break;
    case FEW_PIXELS: {
        luc_gemm_params g = few_pixels(p);
        luc_gemm(&g, LUC_GEMM_F32, x, w, y, NULL, workspace, bytes);
        if (epilogue) finish_few(p, &then, y);
        break;
    }
    default:
        run_packed(packing(k), &seen, false, x, w, &then, y, workspace, bytes);
    }
    if (!p->statistics) return;
    if (!then.sums) {
        sums_pass pass = {&sums, y, pixels_of(p)};
        luc_parallel_for(sums.parts, 1, sum_parts, &pass);
    }
    luc_conv_sums_get()->finish(&sums, y, epilogue->mean, epilogue->var);
}

static void grad_input_f32(const luc_conv2d_params *p, const float *dy, const float *w, float *dx,
                           char *workspace, size_t bytes)
{
    const kernel k = choose(p, LUC_CONV_GRAD_INPUT);
    if (k == PLAIN)
        luc_conv_ref_grad_input_f32(p, dy, w, dx);
    else if (k == DEPTHWISE)
        luc_conv_depthwise_get()->grad_input(p, dy, w, dx, workspace);
    else
        run_packed(packing(k), p, true, dy, w, NULL, dx, workspace, bytes);
}

static void grad_weight_f32(const luc_conv2d_params *p, const float *x, const float *dy, float *dw,
                            float *dbias, char *workspace, size_t bytes)
{
    const kernel k = choose(p, LUC_CONV_GRAD_WEIGHT);
    int threads = luc_num_threads();
    while (threads > 1 && weight_bytes(p, k, threads) > bytes) threads--; /* as above */
    switch (k) {
    case PLAIN:
        luc_conv_ref_grad_weight_f32(p, x, dy, dw, dbias);
        return;
    case DEPTHWISE:
        luc_conv_depthwise_get()->grad_weight(p, x, dy, dw, workspace);
        break;
    case WINOGRAD:
        luc_conv_winograd_weight_get()->run(p, x, dy, dw, workspace);
        break;
    case POINTWISE:
        luc_conv_pointwise_weight_get()->run(p, x, dy, dw, workspace, threads);
        if (dbias) luc_conv_plane_get()->run_bias(p, dy, dbias);
        return;
    case PLANES:
        luc_conv_plane_get()->run(p, x, dy, dw, workspace, threads);
        if (dbias) luc_conv_plane_get()->run_bias(p, dy, dbias);
        return;
    default:
        luc_conv_weight_get()->run(p, x, dy, dw, workspace, threads);
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

/* ---- every type ------------------------------------------------------------------------------ */

/* Whether the result of the pass has no elements. */
static bool writes_nothing(const luc_conv2d_params *p, luc_conv_pass pass)
{
    if (pass == LUC_CONV_GRAD_WEIGHT) return p->o <= 0;
    if (pass == LUC_CONV_GRAD_INPUT) return p->n <= 0 || p->c <= 0 || p->h <= 0 || p->w <= 0;
    return p->n <= 0 || p->o <= 0 || p->oh <= 0 || p->ow <= 0;
}

size_t luc_conv2d_workspace(const luc_conv2d_params *p, luc_conv_type type, luc_conv_pass pass)
{
    if (writes_nothing(p, pass)) return 0;
    if (type == LUC_CONV_F64) return luc_conv_f64_bytes(p, pass);
    if (type == LUC_CONV_F32) return bytes_f32(p, pass);
    spans s = spans_of(p);
    return luc_wide_bytes(s.x) + luc_wide_bytes(s.w) + 2 * luc_wide_bytes(s.y) +
           luc_wide_bytes(p->o) + bytes_f32(p, pass);
}

size_t luc_conv2d_packed_bytes(const luc_conv2d_params *p, luc_conv_type type)
{
    const luc_conv_packed_kernel *by =
        type == LUC_CONV_F32 ? packing(choose(p, LUC_CONV_FORWARD)) : NULL;
    return by ? by->packed_bytes(p, false) : 0;
}

luc_conv_packing luc_conv2d_packing(const luc_conv2d_params *p)
{
    luc_conv_packing packed;
    memset(&packed, 0, sizeof packed); /* the gaps too, because keys are compared as memory */
    packed.kernel = choose(p, LUC_CONV_FORWARD);
    packed.level = luc_cpu_current();
    packed.o = p->o, packed.c = p->c, packed.kh = p->kh, packed.kw = p->kw;
    packed.groups = p->groups;
    memcpy(packed.stride, p->w_stride, sizeof packed.stride);
    return packed;
}

void luc_conv2d_pack(const luc_conv2d_params *p, const void *w, void *packed)
{
    packing(choose(p, LUC_CONV_FORWARD))->pack(p, false, w, packed);
}

static lucid_dtype dtype_of(luc_conv_type half)
{
    return half == LUC_CONV_BF16 ? LUCID_BF16 : LUCID_F16;
}

/* Gaps between an output's numbers must keep their values, so an output with gaps is widened
   first. */
static void forward_half(const luc_conv2d_params *p, lucid_dtype half, const void *x, const void *w,
                         const luc_conv_epilogue *then, void *y, char *workspace, size_t bytes)
{
    const spans s = spans_of(p);
    char *at = workspace;
    const float *wide_x = luc_take_wide(&at, s.x, x, half);
    const float *wide_w = luc_take_wide(&at, s.w, w, half);
    float *wide_y = luc_take_wide(&at, s.y, s.y == p->n * p->o * p->oh * p->ow ? NULL : y, half);
    luc_conv_epilogue wide = {0};
    if (then) wide = *then;
    if (wide.residual) wide.residual = luc_take_wide(&at, s.y, wide.residual, half);
    forward_f32(p, wide_x, wide_w, then ? &wide : NULL, wide_y, at,
                bytes - (size_t)(at - workspace));
    luc_narrow(wide_y, y, s.y, half);
}

static void forward_f64(const luc_conv2d_params *p, const double *x, const double *w,
                        const luc_conv_epilogue *then, double *y, char *workspace, size_t bytes)
{
    if (!luc_conv_f64_forward(p, x, w, then, y, workspace, bytes))
        luc_conv_ref_forward_f64(p, x, w, then, y);
}

void luc_conv2d_forward(const luc_conv2d_params *p, luc_conv_type type, const void *x,
                        const void *w, const luc_conv_epilogue *then, void *y, void *workspace,
                        size_t bytes)
{
    if (writes_nothing(p, LUC_CONV_FORWARD)) {
        for (int64_t o = 0; p->statistics && o < p->o; o++) then->mean[o] = then->var[o] = 0;
        return;
    }
    if (type == LUC_CONV_F64)
        forward_f64(p, x, w, then, y, workspace, bytes);
    else if (type == LUC_CONV_F32)
        forward_f32(p, x, w, then, y, workspace, bytes);
    else
        forward_half(p, dtype_of(type), x, w, then, y, workspace, bytes);
}

void luc_conv2d_grad_input(const luc_conv2d_params *p, luc_conv_type type, const void *dy,
                           const void *w, void *dx, void *workspace, size_t bytes)
{
    if (writes_nothing(p, LUC_CONV_GRAD_INPUT)) return;
    if (type == LUC_CONV_F64) {
        if (!luc_conv_f64_grad_input(p, dy, w, dx, workspace, bytes))
            luc_conv_ref_grad_input_f64(p, dy, w, dx);
    } else if (type == LUC_CONV_F32) {
        grad_input_f32(p, dy, w, dx, workspace, bytes);
    } else {
        const lucid_dtype half = dtype_of(type);
        const spans s = spans_of(p);
        char *at = workspace;
        const float *wide_dy = luc_take_wide(&at, s.y, dy, half);
        const float *wide_w = luc_take_wide(&at, s.w, w, half);
        float *wide_dx =
            luc_take_wide(&at, s.x, s.x == p->n * p->c * p->h * p->w ? NULL : dx, half);
        grad_input_f32(p, wide_dy, wide_w, wide_dx, at, bytes - (size_t)(at - (char *)workspace));
        luc_narrow(wide_dx, dx, s.x, half);
    }
}

void luc_conv2d_grad_weight(const luc_conv2d_params *p, luc_conv_type type, const void *x,
                            const void *dy, void *dw, void *dbias, void *workspace, size_t bytes)
{
    if (writes_nothing(p, LUC_CONV_GRAD_WEIGHT)) return;
    if (type == LUC_CONV_F64) {
        if (dbias || !luc_conv_f64_grad_weight(p, x, dy, dw, workspace, bytes))
            luc_conv_ref_grad_weight_f64(p, x, dy, dw, dbias);
    } else if (type == LUC_CONV_F32) {
        grad_weight_f32(p, x, dy, dw, dbias, workspace, bytes);
    } else {
        const lucid_dtype half = dtype_of(type);
        const spans s = spans_of(p);
        char *at = workspace;
        const float *wide_x = luc_take_wide(&at, s.x, x, half);
        const float *wide_dy = luc_take_wide(&at, s.y, dy, half);
        float *wide_dw = luc_take_wide(&at, s.w, dw, half);
        float *wide_dbias = luc_take_wide(&at, p->o, NULL, half);
        grad_weight_f32(p, wide_x, wide_dy, wide_dw, dbias ? wide_dbias : NULL, at,
                        bytes - (size_t)(at - (char *)workspace));
        luc_narrow(wide_dw, dw, s.w, half);
        if (dbias) luc_narrow(wide_dbias, dbias, p->o, half);
    }
}
