/* copy.c: moving elements between tensors, devices and the caller's memory. */
#include "lucid/core/attrs.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

/* Copies src to dst on one device, with any strides and dtypes and equal sizes. */
static bool copy_on_device(const lucid_view *dst, const lucid_view *src, lucid_device device)
{
    const lucid_view *in[] = {src}, *out[] = {dst};
    lucid_kernel_args args = {.n_in = 1, .n_out = 1, .in = in, .out = out};
    lucid_op_id op = dst->dtype == src->dtype ? LUCID_OP_copy : LUCID_OP_cast;
    return luc_kernel_run(device, op, src->dtype, &args);
}

/* Makes a contiguous tensor of t's sizes in the current scope. */
static lucid_tensor *dense_like(const lucid_tensor *t, lucid_dtype dtype, lucid_device device,
                                const char *op)
{
    lucid_meta meta;
    luc_tensor_get_meta(t, &meta);
    meta.dtype = dtype;
    meta.offset = 0;
    luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    return luc_tensor_new(&meta, device, op);
}

/* Copies between devices: the bytes are sent contiguous, in the source's dtype. */
static bool copy_across(lucid_tensor *dst, const lucid_tensor *src, const char *op)
{
    lucid_device to = dst->storage->device, from = src->storage->device;
    const lucid_backend *b = lucid_backend_get(from.type == LUCID_CPU ? to.type : from.type);
    if (!b) return false;
    size_t depth = lucid_scope_begin();
    if (!depth) return false;
    bool ok = false;
    const lucid_tensor *s = src;
    lucid_tensor *d = dst;
    if (!lucid_is_contiguous(src, LUCID_CONTIGUOUS)) {
        lucid_tensor *packed = dense_like(src, src->view.dtype, from, op);
        if (!packed || !copy_on_device(&packed->view, &src->view, from)) goto done;
        s = packed;
    }
    if (src->view.dtype != dst->view.dtype || !lucid_is_contiguous(dst, LUCID_CONTIGUOUS)) {
        d = dense_like(src, src->view.dtype, to, op);
        if (!d) goto done;
    }
    size_t bytes = (size_t)s->numel * lucid_dtype_size(s->view.dtype);
    ok = b->copy(d->view.data, to, s->view.data, from, bytes);
    if (ok && d != dst) ok = copy_on_device(&dst->view, &d->view, to);
done:
    lucid_scope_end(depth);
    return ok;
}

bool luc_copy_data(lucid_tensor *dst, const lucid_tensor *src, const char *op)
{
    if (!dst || !src) return false;
    if (!luc_dims_equal(dst->view.ndim, dst->view.dims, src->view.ndim, src->view.dims))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "source: expected %s, got %s",
                         luc_shape_text(dst).s, luc_shape_text(src).s);
    if (dst->numel == 0) return true;
    if (lucid_device_equal(dst->storage->device, src->storage->device))
        return copy_on_device(&dst->view, &src->view, dst->storage->device);
    return copy_across(dst, src, op);
}

bool luc_fill_data(lucid_tensor *t, double value, const char *op)
{
    (void)op;
    if (!t) return false;
    if (t->numel == 0) return true;
    const lucid_view *out[] = {&t->view};
    lucid_scalar_attrs attrs = {value};
    lucid_kernel_args args = {.n_out = 1, .out = out, .attrs = &attrs};
    return luc_kernel_run(t->storage->device, LUCID_OP_fill, t->view.dtype, &args);
}

/* ---- reading elements ------------------------------------------------------------------------ */

static double element_to_double(const void *p, lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return *(const float *)p;
    case LUCID_F64:
        return *(const double *)p;
    case LUCID_F16:
        return lucid_f16_to_f32(*(const uint16_t *)p);
    case LUCID_BF16:
        return lucid_bf16_to_f32(*(const uint16_t *)p);
    case LUCID_I64:
        return (double)*(const int64_t *)p;
    case LUCID_I32:
        return *(const int32_t *)p;
    default:
        return *(const uint8_t *)p;
    }
}

double luc_element_to_double(const lucid_tensor *t, int64_t offset)
{
    int64_t size = (int64_t)lucid_dtype_size(t->view.dtype);
    return element_to_double((const char *)t->view.data + offset * size, t->view.dtype);
}

/* Copies one element from wherever it is and converts it. */
static double read_element(const lucid_tensor *t, int64_t offset)
{
    size_t size = lucid_dtype_size(t->view.dtype);
    const char *at = (const char *)t->view.data + offset * (int64_t)size;
    lucid_device device = t->storage->device;
    if (device.type == LUCID_CPU) return element_to_double(at, t->view.dtype);
    const lucid_backend *b = lucid_backend_get(device.type);
    uint64_t host = 0;
    if (!b || !b->copy(&host, lucid_cpu(), at, device, size)) return NAN;
    return element_to_double(&host, t->view.dtype);
}

/* A NULL comes from an earlier error, which stays, or is a mistake of the caller, which is
 * raised. */
static bool given(const lucid_tensor *t, const char *op)
{
    if (!t) return luc_raise(LUCID_ERR_ARGUMENT, op, "tensor: expected a tensor, got NULL");
    return luc_is_living(t, op, "tensor");
}

double lucid_item(const lucid_tensor *t)
{
    if (!given(t, "item")) return NAN;
    if (t->numel != 1) {
        luc_raise(LUCID_ERR_ARGUMENT, "item", "tensor: expected one element, got %s",
                  luc_shape_text(t).s);
        return NAN;
    }
    return read_element(t, 0);
}

double lucid_at(const lucid_tensor *t, lucid_shape index)
{
    if (!given(t, "at")) return NAN;
    if (index.ndim != t->view.ndim) {
        luc_raise(LUCID_ERR_ARGUMENT, "at", "index: expected %d numbers for %s, got %d",
                  t->view.ndim, luc_shape_text(t).s, index.ndim);
        return NAN;
    }
    int64_t offset = 0;
    for (int d = 0; d < index.ndim; d++) {
        int64_t i = index.dims[d], n = t->view.dims[d];
        if (i < -n || i >= n) {
            luc_raise(LUCID_ERR_ARGUMENT, "at",
                      "index: expected [%lld,%lld) in dimension %d, got %lld", (long long)-n,
                      (long long)n, d, (long long)i);
            return NAN;
        }
        offset += (i < 0 ? i + n : i) * t->view.strides[d];
    }
    return read_element(t, offset);
}

const lucid_tensor *luc_host_tensor(const lucid_tensor *t, const char *op)
{
    if (t->storage->device.type == LUCID_CPU) return t;
    lucid_tensor *host = dense_like(t, t->view.dtype, lucid_cpu(), op);
    return host && luc_copy_data(host, t, op) ? host : NULL;
}

/* Writes all elements, row-major, as `dtype`, into host memory. */
static bool copy_out(const lucid_tensor *t, lucid_dtype dtype, void *data, const char *op)
{
    if (t->numel == 0) return true;
    lucid_shape shape = lucid_tensor_shape(t);
    size_t depth = lucid_scope_begin();
    if (!depth) return false;
    lucid_tensor *host = lucid_from_blob(shape, dtype, data, NULL, NULL);
    bool ok = host && luc_copy_data(host, t, op);
    lucid_scope_end(depth);
    return ok;
}

bool lucid_copy_to(const lucid_tensor *t, void *data, size_t bytes)
{
    if (!given(t, "copy_to")) return false;
    size_t expected = (size_t)t->numel * lucid_dtype_size(t->view.dtype);
    if (!data || bytes != expected)
        return luc_raise(LUCID_ERR_ARGUMENT, "copy_to", "bytes: expected %zu for %s %s, got %zu%s",
                         expected, lucid_dtype_name(t->view.dtype), luc_shape_text(t).s, bytes,
                         data ? "" : " (and data is NULL)");
    return copy_out(t, t->view.dtype, data, "copy_to");
}

bool lucid_to_doubles(const lucid_tensor *t, double *values, size_t count)
{
    if (!given(t, "to_doubles")) return false;
    if (!values || count != (size_t)t->numel)
        return luc_raise(LUCID_ERR_ARGUMENT, "to_doubles", "count: expected %lld for %s, got %zu%s",
                         (long long)t->numel, luc_shape_text(t).s, count,
                         values ? "" : " (and values is NULL)");
    return copy_out(t, LUCID_F64, values, "to_doubles");
}

/* ---- comparing ------------------------------------------------------------------------------- */

typedef bool (*element_test)(const void *a, const void *b, const double *tolerance);

static bool close_doubles(const void *pa, const void *pb, const double *tolerance)
{
    double a = *(const double *)pa, b = *(const double *)pb;
    if (a == b) return true;
    if (isnan(a) || isnan(b)) return tolerance[2] != 0 && isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return false;
    return fabs(a - b) <= tolerance[1] + tolerance[0] * fabs(b);
}

static bool equal_ints(const void *pa, const void *pb, const double *tolerance)
{
    (void)tolerance;
    return *(const int64_t *)pa == *(const int64_t *)pb;
}

/* Converts both to one 8-byte dtype on the host and tests every pair. */
static bool compare(const lucid_tensor *a, const lucid_tensor *b, lucid_dtype dtype,
                    element_test test, const double *tolerance, const char *op)
{
    if (!luc_dims_equal(a->view.ndim, a->view.dims, b->view.ndim, b->view.dims)) return false;
    if (a->numel == 0) return true;
    size_t depth = lucid_scope_begin();
    if (!depth) return false;
    lucid_tensor *x = dense_like(a, dtype, lucid_cpu(), op);
    lucid_tensor *y = dense_like(b, dtype, lucid_cpu(), op);
    bool ok = x && y && luc_copy_data(x, a, op) && luc_copy_data(y, b, op);
    const char *p = ok ? x->view.data : NULL, *q = ok ? y->view.data : NULL;
    for (int64_t i = 0; ok && i < a->numel; i++) ok = test(p + 8 * i, q + 8 * i, tolerance);
    lucid_scope_end(depth);
    return ok;
}

bool lucid_equal(const lucid_tensor *a, const lucid_tensor *b)
{
    static const double exact[3] = {0, 0, 0};
    if (!given(a, "equal") || !given(b, "equal")) return false;
    bool ints = !lucid_dtype_is_floating(a->view.dtype) && !lucid_dtype_is_floating(b->view.dtype);
    if (ints) return compare(a, b, LUCID_I64, equal_ints, exact, "equal");
    return compare(a, b, LUCID_F64, close_doubles, exact, "equal");
}

bool lucid_allclose(const lucid_tensor *a, const lucid_tensor *b, double rtol, double atol,
                    bool equal_nan)
{
    if (!given(a, "allclose") || !given(b, "allclose")) return false;
    const double tolerance[3] = {rtol, atol, equal_nan};
    return compare(a, b, LUCID_F64, close_doubles, tolerance, "allclose");
}
