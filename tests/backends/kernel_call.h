/* kernel_call.h: calling one kernel on plain arrays, for the tests and benchmarks of the CPU
 * backend. Arrays live until array_free_all. */
#ifndef TESTS_KERNEL_CALL_H
#define TESTS_KERNEL_CALL_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/attrs.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/dtype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How an array lies in memory: PADDED has gaps in every dimension, REVERSED its dimensions in the
 * opposite order, SHIFTED begins one element after an aligned address. */
typedef enum { DENSE, CHANNELS_LAST, PADDED, REVERSED, SHIFTED, LAYOUTS } array_layout;

typedef struct {
    lucid_view view;
    char *block;
    size_t bytes;
} array;

static char *array_blocks[4096];
static int array_count;

static inline void array_free_all(void)
{
    while (array_count > 0) free(array_blocks[--array_count]);
}

static inline int64_t array_numel(const array *a)
{
    int64_t n = 1;
    for (int d = 0; d < a->view.ndim; d++) n *= a->view.dims[d];
    return n;
}

static inline void array_strides(lucid_view *v, array_layout layout)
{
    int order[LUCID_MAX_DIMS], n = v->ndim; /* innermost first */
    for (int d = 0; d < n; d++) order[d] = layout == REVERSED ? d : n - 1 - d;
    if (layout == CHANNELS_LAST && n > 2) {
        order[0] = 1;
        for (int d = 1; d < n - 1; d++) order[d] = n - d;
    }
    int64_t stride = layout == PADDED ? 2 : 1;
    for (int i = 0; i < n; i++) {
        v->strides[order[i]] = stride;
        stride *= v->dims[order[i]] + (layout == PADDED ? 1 : 0);
    }
}

/* An array filled with bytes 0xA5, so that what is not written shows. */
static inline array array_new(lucid_dtype dtype, int ndim, const int64_t *dims, array_layout layout)
{
    array a = {.view = {.dtype = dtype, .ndim = ndim}};
    int64_t last = 0;
    for (int d = 0; d < ndim; d++) a.view.dims[d] = dims[d];
    array_strides(&a.view, layout);
    for (int d = 0; d < ndim; d++) last += dims[d] > 0 ? (dims[d] - 1) * a.view.strides[d] : 0;
    size_t size = lucid_dtype_size(dtype);
    a.bytes = (size_t)(last + 2) * size;
    a.block = aligned_alloc(64, (a.bytes + 127) & ~(size_t)63);
    if (!a.block || array_count == 4096) abort();
    memset(a.block, 0xA5, a.bytes);
    array_blocks[array_count++] = a.block;
    a.view.data = a.block + (layout == SHIFTED ? size : 0);
    return a;
}

/* Where element i in row-major order lies. Tests ask for many: dense arrays need no division, and
 * divisions of 32 bits take a fraction of the time. */
static inline int64_t array_offset(const array *a, int64_t i)
{
    const lucid_view *v = &a->view;
    int64_t offset = 0, dense = 1;
    int d = v->ndim - 1;
    for (; d >= 0 && v->strides[d] == dense; d--) dense *= v->dims[d];
    if (d < 0) return i;
    for (d = v->ndim - 1; d >= 0 && i > UINT32_MAX; d--) {
        offset += i % v->dims[d] * v->strides[d];
        i /= v->dims[d];
    }
    for (uint32_t rest = (uint32_t)i; d >= 0; d--) {
        const uint32_t size = (uint32_t)v->dims[d];
        offset += (int64_t)(rest % size) * v->strides[d];
        rest /= size;
    }
    return offset;
}

static inline double array_get(const array *a, int64_t i)
{
    int64_t at = array_offset(a, i);
    switch (a->view.dtype) {
    case LUCID_F32:
        return (double)((float *)a->view.data)[at];
    case LUCID_F64:
        return ((double *)a->view.data)[at];
    case LUCID_F16:
        return (double)lucid_f16_to_f32(((uint16_t *)a->view.data)[at]);
    case LUCID_BF16:
        return (double)lucid_bf16_to_f32(((uint16_t *)a->view.data)[at]);
    case LUCID_I64:
        return (double)((int64_t *)a->view.data)[at];
    case LUCID_I32:
        return (double)((int32_t *)a->view.data)[at];
    default:
        return (double)((uint8_t *)a->view.data)[at];
    }
}

static inline void array_set(array *a, int64_t i, double x)
{
    int64_t at = array_offset(a, i);
    switch (a->view.dtype) {
    case LUCID_F32:
        ((float *)a->view.data)[at] = (float)x;
        break;
    case LUCID_F64:
        ((double *)a->view.data)[at] = x;
        break;
    case LUCID_F16:
        ((uint16_t *)a->view.data)[at] = lucid_f32_to_f16((float)x);
        break;
    case LUCID_BF16:
        ((uint16_t *)a->view.data)[at] = lucid_f32_to_bf16((float)x);
        break;
    case LUCID_I64:
        ((int64_t *)a->view.data)[at] = (int64_t)x;
        break;
    case LUCID_I32:
        ((int32_t *)a->view.data)[at] = (int32_t)x;
        break;
    default:
        ((uint8_t *)a->view.data)[at] = (uint8_t)x;
        break;
    }
}

/* Nothing was written but elements: the bytes between and around them are as array_new left
 * them. */
static inline bool array_gaps_intact(const array *a)
{
    size_t size = lucid_dtype_size(a->view.dtype);
    char *mark = calloc(a->bytes + size, 1), *block = a->block;
    if (!mark) abort();
    for (int64_t i = 0, n = array_numel(a); i < n; i++)
        memset(mark + ((char *)a->view.data - block) + array_offset(a, i) * (int64_t)size, 1, size);
    bool intact = true;
    for (size_t i = 0; i < a->bytes; i++)
        if (!mark[i] && (unsigned char)block[i] != 0xA5) intact = false;
    free(mark);
    return intact;
}

static uint64_t array_state = 88172645463325252u;
static inline double array_random(void) /* about normal: mean 0, variance 1 */
{
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        array_state ^= array_state << 13;
        array_state ^= array_state >> 7;
        array_state ^= array_state << 17;
        sum += (double)(array_state >> 11) * 0x1p-53 - 0.5;
    }
    return sum * 1.7320508075688772;
}

static inline array array_normal(lucid_dtype dtype, int ndim, const int64_t *dims,
                                 array_layout layout, double mean, double std)
{
    array a = array_new(dtype, ndim, dims, layout);
    for (int64_t i = 0, n = array_numel(&a); i < n; i++)
        array_set(&a, i, mean + std * array_random());
    return a;
}

/* The same values in another layout. */
static inline array array_as(const array *from, array_layout layout)
{
    array a = array_new(from->view.dtype, from->view.ndim, from->view.dims, layout);
    for (int64_t i = 0, n = array_numel(&a); i < n; i++) array_set(&a, i, array_get(from, i));
    return a;
}

/* Runs a kernel; in and out hold NULL where an argument is absent. */
static inline bool kernel_call(lucid_op_id op, lucid_dtype dtype, const void *attrs,
                               array *const *in, int n_in, array *const *out, int n_out)
{
    const lucid_view *inputs[LUCID_MAX_INPUTS] = {0}, *outputs[LUCID_MAX_OUTPUTS] = {0};
    for (int i = 0; i < n_in; i++) inputs[i] = in[i] ? &in[i]->view : NULL;
    for (int i = 0; i < n_out; i++) outputs[i] = out[i] ? &out[i]->view : NULL;
    lucid_kernel_args args = {
        .op = op, .n_in = n_in, .n_out = n_out, .in = inputs, .out = outputs, .attrs = attrs};
    const lucid_backend *cpu = luc_cpu_backend();
    const lucid_kernel kernel = cpu->kernels[op][dtype];
    if (!kernel.run) abort();
    lucid_plan plan = {.workspace = 0};
    if (kernel.plan && !kernel.plan(&args, &plan)) return false;
    if (kernel.plan) args.plan = &plan;
    if (plan.workspace) {
        /* No bytes beyond what was asked for: a sanitizer sees a kernel that takes more. */
        if (posix_memalign(&args.workspace, 64, plan.workspace)) abort();
        memset(args.workspace, 0xFF, plan.workspace);
    }
    bool ok = kernel.run(&args);
    free(args.workspace);
    return ok;
}

/* The same values, to the last bit (any NaN is like any other). */
static inline bool array_same(const array *a, const array *b)
{
    for (int64_t i = 0, n = array_numel(a); i < n; i++) {
        double x = array_get(a, i), y = array_get(b, i);
        if (memcmp(&x, &y, sizeof x) && !(x != x && y != y)) return false;
    }
    return true;
}

/* The largest |a - b| / (absolute + relative * |b|): at most 1 is close. NaN with NaN, and equal
 * infinities, are alike. */
static inline double array_distance(const array *a, const double *b, double absolute,
                                    double relative)
{
    double worst = 0;
    for (int64_t i = 0, n = array_numel(a); i < n; i++) {
        double x = array_get(a, i), d;
        if ((x != x && b[i] != b[i]) || x == b[i]) continue;
        d = fabs(x - b[i]) / (absolute + relative * fabs(b[i]));
        if (!(d <= worst)) worst = d == d ? d : INFINITY;
    }
    return worst;
}

#define FOR_LEVELS                                                         \
    for (int level_ = 0; level_ >= 0; level_ = luc_cpu_next_whole(level_)) \
        if (luc_cpu_force((luc_cpu_level)level_))
/* Also those that have products of 16 bits alone. */
#define FOR_ALL_LEVELS                                               \
    for (int level_ = 0; level_ >= 0; level_ = luc_cpu_next(level_)) \
        if (luc_cpu_force((luc_cpu_level)level_))

#endif
