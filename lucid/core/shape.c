/* shape.c: arithmetic of sizes and strides. */
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <assert.h>
#include <stdio.h>

bool luc_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool luc_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

int64_t luc_dims_numel(int ndim, const int64_t *dims)
{
    int64_t n = 1;
    for (int d = 0; d < ndim; d++) n *= dims[d];
    return n;
}

int64_t luc_checked_numel(int ndim, const int64_t *dims)
{
    int64_t n = 1;
    bool empty = false;
    for (int d = 0; d < ndim; d++) {
        if (dims[d] < 0) return -1;
        empty |= dims[d] == 0;
    }
    for (int d = 0; d < ndim && !empty; d++)
        if (!luc_mul_i64(n, dims[d], &n)) return -1;
    return empty ? 0 : n;
}

/* Whether ndim is in range, so that dims may be read. */
static bool is_shape(const lucid_shape *s)
{
    return s->ndim >= 0 && s->ndim <= LUCID_MAX_DIMS;
}

static bool shape_given(const lucid_shape *s, const char *op, const char *argument)
{
    return s || luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a shape, got NULL", argument);
}

int64_t lucid_shape_numel(const lucid_shape *shape)
{
    if (!shape_given(shape, "shape_numel", "shape") || !is_shape(shape)) return -1;
    return luc_checked_numel(shape->ndim, shape->dims);
}

bool luc_dims_equal(int na, const int64_t *a, int nb, const int64_t *b)
{
    if (na != nb) return false;
    for (int d = 0; d < na; d++)
        if (a[d] != b[d]) return false;
    return true;
}

bool lucid_shape_equal(const lucid_shape *a, const lucid_shape *b)
{
    if (!shape_given(a, "shape_equal", "a") || !shape_given(b, "shape_equal", "b")) return false;
    return is_shape(a) && luc_dims_equal(a->ndim, a->dims, b->ndim, b->dims);
}

static char *format_dims(int ndim, const int64_t *dims, char *text, size_t size)
{
    if (size == 0) return text;
    size_t at = 0;
    text[0] = '\0';
    if (ndim < 0 || ndim > LUCID_MAX_DIMS) { /* no sizes may be read */
        snprintf(text, size, "[%d dimensions]", ndim);
        return text;
    }
    for (int d = 0; d <= ndim && at < size; d++) {
        int n = d == ndim
                    ? snprintf(text + at, size - at, ndim ? "]" : "[]")
                    : snprintf(text + at, size - at, "%c%lld", d ? ',' : '[', (long long)dims[d]);
        at += n > 0 ? (size_t)n : 0;
    }
    return text;
}

char *lucid_shape_format(const lucid_shape *shape, char *text, size_t size)
{
    if (!text && size > 0) {
        luc_raise(LUCID_ERR_ARGUMENT, "shape_format", "text: expected room for %zu bytes, got NULL",
                  size);
        return NULL;
    }
    if (!shape_given(shape, "shape_format", "shape")) {
        if (size > 0) text[0] = '\0';
        return text;
    }
    return format_dims(shape->ndim, shape->dims, text, size);
}

luc_text luc_dims_text(int ndim, const int64_t *dims)
{
    luc_text t;
    format_dims(ndim, dims, t.s, sizeof t.s);
    return t;
}

luc_text luc_shape_text(const lucid_tensor *t)
{
    if (!t) return (luc_text){"(none)"};
    return luc_dims_text(t->view.ndim, t->view.dims);
}

bool lucid_shape_broadcast(const lucid_shape *a, const lucid_shape *b, lucid_shape *out)
{
    if (!shape_given(a, "shape_broadcast", "a") || !shape_given(b, "shape_broadcast", "b") ||
        !shape_given(out, "shape_broadcast", "out") || !is_shape(a) || !is_shape(b))
        return false;
    int n = a->ndim > b->ndim ? a->ndim : b->ndim;
    lucid_shape both = {.ndim = n};
    for (int i = 1; i <= n; i++) {
        int64_t x = i <= a->ndim ? a->dims[a->ndim - i] : 1;
        int64_t y = i <= b->ndim ? b->dims[b->ndim - i] : 1;
        if (x != y && x != 1 && y != 1) return false;
        both.dims[n - i] = x == 1 ? y : x;
    }
    *out = both;
    return true;
}

/* The stride of the next dimension. If sizes overflow it wraps, instead of being undefined; it is
 * not used then, because luc_check_shape and luc_tensor_new refuse such sizes. */
static int64_t next_stride(int64_t stride, int64_t size)
{
    return size > 1 ? (int64_t)((uint64_t)stride * (uint64_t)size) : stride;
}

void luc_contiguous_strides(int ndim, const int64_t *dims, int64_t *strides)
{
    int64_t s = 1;
    for (int d = ndim - 1; d >= 0; d--) {
        strides[d] = s;
        s = next_stride(s, dims[d]);
    }
}

/* The order of dimensions in channels_last memory, outermost first: N H W C or N D H W C. */
static int channels_last_order(int ndim, int i)
{
    return i == 0 ? 0 : i == ndim - 1 ? 1 : i + 1;
}

void luc_channels_last_strides(int ndim, const int64_t *dims, int64_t *strides)
{
    assert(ndim == 4 || ndim == 5);
    int64_t s = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        int d = channels_last_order(ndim, i);
        strides[d] = s;
        s = next_stride(s, dims[d]);
    }
}

static bool is_empty(int ndim, const int64_t *dims)
{
    for (int d = 0; d < ndim; d++)
        if (dims[d] == 0) return true;
    return false;
}

/* A dimension of size 1 may have any stride, because nobody steps along it. Without elements all
 * strides are right. */
bool luc_is_contiguous(int ndim, const int64_t *dims, const int64_t *strides)
{
    int64_t s = 1;
    if (is_empty(ndim, dims)) return true;
    for (int d = ndim - 1; d >= 0; d--) {
        if (dims[d] != 1 && strides[d] != s) return false;
        s *= dims[d];
    }
    return true;
}

bool luc_is_channels_last(int ndim, const int64_t *dims, const int64_t *strides)
{
    if (ndim != 4 && ndim != 5) return false;
    if (is_empty(ndim, dims)) return true;
    int64_t s = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        int d = channels_last_order(ndim, i);
        if (dims[d] != 1 && strides[d] != s) return false;
        s *= dims[d];
    }
    return true;
}

bool luc_is_dense(int ndim, const int64_t *dims, const int64_t *strides)
{
    assert(ndim >= 0 && ndim <= LUCID_MAX_DIMS);
    bool used[LUCID_MAX_DIMS] = {false};
    int64_t expect = 1;
    int left = 0;
    for (int d = 0; d < ndim; d++) {
        if (dims[d] == 0) return true;
        used[d] = dims[d] == 1;
        left += !used[d];
    }
    while (left > 0) {
        int d = 0;
        while (d < ndim && (used[d] || strides[d] != expect)) d++;
        if (d == ndim) return false;
        used[d] = true;
        expect *= dims[d];
        left--;
    }
    return true;
}

bool luc_check_memory_format(lucid_memory_format format, const char *op)
{
    const int given = (int)format;
    if (given >= LUCID_PRESERVE && given <= LUCID_CHANNELS_LAST) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "memory_format: expected LUCID_PRESERVE, LUCID_CONTIGUOUS or "
                     "LUCID_CHANNELS_LAST, got %d",
                     given);
}

bool luc_check_shape(const lucid_shape *shape, lucid_dtype dtype, const char *op)
{
    if (shape->ndim < 0 || shape->ndim > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "shape: expected 0 to %d dimensions, got %d",
                         LUCID_MAX_DIMS, shape->ndim);
    if (lucid_dtype_size(dtype) == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "dtype: expected a lucid_dtype, got %d",
                         (int)dtype);
    for (int d = 0; d < shape->ndim; d++)
        if (shape->dims[d] < 0)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "shape: expected sizes >= 0, got %s",
                             luc_dims_text(shape->ndim, shape->dims).s);
    int64_t stretched[LUCID_MAX_DIMS]; /* sizes of 0 as 1: the strides must not overflow either */
    for (int d = 0; d < shape->ndim; d++) stretched[d] = shape->dims[d] ? shape->dims[d] : 1;
    int64_t n = luc_checked_numel(shape->ndim, stretched);
    size_t bytes;
    if (n < 0 || !luc_mul_size((size_t)n, lucid_dtype_size(dtype), &bytes) || bytes > PTRDIFF_MAX)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "shape: the size of %s overflows",
                         luc_dims_text(shape->ndim, shape->dims).s);
    return true;
}

int luc_wrap_dim(int64_t dim, int ndim, const char *op, const char *argument)
{
    assert(ndim <= LUCID_MAX_DIMS);
    int n = ndim > 0 ? ndim : 1;
    if (dim < -n || dim >= n) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a dimension in [%d,%d], got %lld", argument,
                  -n, n - 1, (long long)dim);
        return -1;
    }
    return (int)(dim < 0 ? dim + n : dim);
}
