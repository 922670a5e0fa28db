/* create.c: fill, arange and linspace, eye. */
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/strided/generate.h"
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/attrs.h"

#include <string.h>

enum { CHUNK_BYTES = 4096, GRAIN_BYTES = 1 << 17 };

/* -- fill: the order of the elements does not matter -- */
typedef struct {
    luc_loop loop;
    int64_t size;
    bool stream, zero;
    const luc_stream_table *streaming;
    const char *pattern; /* the value, repeated; CHUNK_BYTES */
} filling;

static void fill_row(const filling *f, char *y, int64_t bytes)
{
    if (f->zero && !f->stream) {
        memset(y, 0, (size_t)bytes);
        return;
    }
    for (int64_t i = 0; i < bytes; i += CHUNK_BYTES) {
        size_t n = bytes - i < CHUNK_BYTES ? (size_t)(bytes - i) : CHUNK_BYTES;
        if (f->stream)
            f->streaming->copy(y + i, f->pattern, n);
        else
            memcpy(y + i, f->pattern, n);
    }
}

static void run_fill(void *ctx, int64_t begin, int64_t end, int thread)
{
    const filling *f = ctx;
    const luc_loop *l = &f->loop;
    const int last = l->ndim - 1;
    (void)thread;
    for (int64_t at = begin; at < end;) {
        int64_t from = at % l->dims[last], offset;
        int64_t n = luc_min64(l->dims[last] - from, end - at);
        luc_loop_offsets(l, at / l->dims[last], &offset);
        char *y = l->data[0] + offset + from * l->strides[0][last];
        if (l->strides[0][last] == f->size)
            fill_row(f, y, n * f->size);
        else
            for (int64_t i = 0; i < n; i++)
                memcpy(y + i * l->strides[0][last], f->pattern, (size_t)f->size);
        at += n;
    }
    if (f->stream) f->streaming->fence();
}

static bool fill(const lucid_kernel_args *args)
{
    const lucid_view *y = args->out[0];
    const double value = ((const lucid_scalar_attrs *)args->attrs)->value;
    filling f = {.size = (int64_t)luc_elem_size(y->dtype)};
    char one[8] = {0};
    luc_convert_get()->fn[LUCID_F64][y->dtype](one, &value, 1);
    luc_loop_of_views(&f.loop, y, NULL, 0);
    if (f.loop.numel == 0) return true;
    if (f.loop.ndim == 0) {
        memcpy(y->data, one, (size_t)f.size);
        return true;
    }
    static const char zeros[8];
    f.zero = memcmp(one, zeros, sizeof one) == 0;
    f.stream = luc_streams(f.loop.numel * f.size) && f.loop.strides[0][f.loop.ndim - 1] == f.size;
    f.streaming = luc_stream_get();
    _Alignas(64) char pattern[CHUNK_BYTES + 64];
    f.pattern = pattern;
    int64_t repeats = CHUNK_BYTES / f.size;
    if (repeats > f.loop.numel) repeats = f.loop.numel;
    f.streaming->repeat(pattern, one, repeats, (size_t)f.size);
    luc_parallel_for(f.loop.numel, GRAIN_BYTES / f.size, run_fill, &f);
    return true;
}

/* -- arange, linspace -- */
typedef struct {
    lucid_range_attrs a;
    int64_t n;
    lucid_dtype type;
    luc_convert_fn convert; /* from double, or int64 for the integer types */
} range;

/* The index is counted from the nearer end, so that linspace is symmetric and ends exactly. */
static double range_at(const range *r, int64_t i)
{
    if (r->a.linspace && r->n > 1 && i >= r->n / 2)
        return r->a.end - (double)(r->n - 1 - i) * r->a.step;
    return r->a.start + (double)i * r->a.step;
}

static void generate_range(const void *ctx, int64_t begin, int64_t n, void *y)
{
    const range *r = ctx;
    union {
        double d[LUC_GENERATE_CHUNK];
        int64_t i[LUC_GENERATE_CHUNK];
    } x;
    bool integer = !r->a.linspace && !lucid_dtype_is_floating(r->type);
    for (int64_t i = 0; i < n; i++) {
        if (integer)
            x.i[i] = (int64_t)r->a.start + (begin + i) * (int64_t)r->a.step;
        else
            x.d[i] = range_at(r, begin + i);
    }
    r->convert(y, &x, n);
}

static bool arange(const lucid_kernel_args *args)
{
    const lucid_view *y = args->out[0];
    range r = {.a = *(const lucid_range_attrs *)args->attrs, .type = y->dtype};
    r.n = luc_view_numel(y);
    bool integer = !r.a.linspace && !lucid_dtype_is_floating(y->dtype);
    r.convert = luc_convert_get()->fn[integer ? LUCID_I64 : LUCID_F64][y->dtype];
    luc_generate(y, generate_range, &r);
    return true;
}

/* -- eye -- */
typedef struct {
    int64_t columns;
    size_t size;
    char one[8];
} identity;

static void generate_eye(const void *ctx, int64_t begin, int64_t n, void *y)
{
    const identity *e = ctx;
    const int64_t step = e->columns + 1; /* from one to the next, while there are rows */
    memset(y, 0, (size_t)n * e->size);
    for (int64_t i = luc_ceil_div(begin, step) * step; i < begin + n; i += step) {
        if (i / e->columns != i % e->columns) break; /* below the last column */
        memcpy((char *)y + (size_t)(i - begin) * e->size, e->one, e->size);
    }
}

static bool eye(const lucid_kernel_args *args)
{
    const lucid_view *y = args->out[0];
    identity e = {.columns = y->dims[1], .size = luc_elem_size(y->dtype)};
    const double one = 1;
    luc_convert_get()->fn[LUCID_F64][y->dtype](e.one, &one, 1);
    luc_generate(y, generate_eye, &e);
    return true;
}

void luc_cpu_register_create(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        b->kernels[LUCID_OP_fill][type].run = fill;
        b->kernels[LUCID_OP_arange][type].run = arange;
        b->kernels[LUCID_OP_eye][type].run = eye;
    }
}
