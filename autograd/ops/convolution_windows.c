/* convolution_windows.c: windows over a dimension and their sums, unfold and fold. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/convolution_nd_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/padding.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <stdlib.h>

/* ---- extents --------------------------------------------------------------------------------- */

static bool read_extent(int rank, lucid_extent extent, int64_t out[3])
{
    int64_t pair[2];
    if (rank == 3) return lucid_triple_get(extent, out);
    lucid_extent_get(extent, pair);
    out[2] = pair[1];
    if (rank == 2) out[1] = pair[0];
    return rank == 2 || pair[1] == extent;
}

bool luc_extent_of_rank(const char *op, const char *name, int rank, lucid_extent extent,
                        int64_t least, int64_t out[3])
{
    static const char *const forms[] = {"one number", "a number or a pair", "a number or a triple"};
    if (!read_extent(rank, extent, out))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected %s", name, forms[rank - 1]);
    for (int i = 3 - rank; i < 3; i++)
        if (out[i] < least || out[i] > INT32_MAX)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "%s: expected numbers in [%lld,%lld], got %lld", name,
                             (long long)least, (long long)INT32_MAX, (long long)out[i]);
    return true;
}

/* ---- windows over one dimension -------------------------------------------------------------- */

lucid_tensor *luc_pad_dim(lucid_tensor *x, int dim, int64_t before, int64_t after)
{
    if (!x || (before == 0 && after == 0)) return x;
    lucid_shape pads = {.ndim = 2 * (x->view.ndim - dim)};
    pads.dims[pads.ndim - 2] = before;
    pads.dims[pads.ndim - 1] = after;
    return lucid_pad_opt(x, pads, NULL);
}

lucid_tensor *luc_windows_of(lucid_tensor *x, int dim, int64_t k, int64_t stride, int64_t dilation)
{
    if (!x) return NULL;
    const int64_t windows = (x->view.dims[dim] - dilation * (k - 1) - 1) / stride + 1;
    lucid_tensor **parts = calloc((size_t)k, sizeof *parts);
    if (!parts) return luc_raise_null(LUCID_ERR_MEMORY, "unfold", "no memory for the windows");
    lucid_tensor *all = NULL;
    int64_t i = 0;
    for (; i < k; i++) {
        const int64_t from = i * dilation;
        parts[i] = lucid_slice(x, dim, from, from + (windows - 1) * stride + 1, stride);
        if (!parts[i]) break;
    }
    if (i == k)
        all = k == 1 ? lucid_unsqueeze(parts[0], dim) : lucid_stack_list(parts, (size_t)k, dim);
    free(parts);
    return all;
}

/* One element of each window, where the windows have it: zeros of `length` elsewhere. */
static lucid_tensor *placed(lucid_tensor *x, int dim, int64_t from, int64_t stride, int64_t length)
{
    if (!x) return NULL;
    int64_t n = x->view.dims[dim];
    if (stride > 1) {
        lucid_shape shape = lucid_tensor_shape(x);
        shape.dims[dim] = n *= stride;
        x = luc_pad_dim(lucid_unsqueeze(x, dim + 1), dim + 1, 0, stride - 1);
        x = x ? lucid_reshape_opt(x, shape) : NULL;
    }
    return luc_pad_dim(x, dim, from, length - n - from);
}

lucid_tensor *luc_windows_sum(lucid_tensor *x, int dim, int64_t length, int64_t stride,
                              int64_t dilation)
{
    if (!x) return NULL;
    const int64_t k = x->view.dims[dim], windows = x->view.dims[dim + 1];
    lucid_tensor *sum = NULL;
    if (dilation == 1 && stride == k) { /* they lie side by side */
        lucid_shape shape = {.ndim = x->view.ndim - 1};
        for (int d = 0; d < shape.ndim; d++) shape.dims[d] = x->view.dims[d < dim ? d : d + 1];
        shape.dims[dim] = k * windows;
        x = lucid_transpose(x, dim, dim + 1);
        x = x ? lucid_reshape_opt(x, shape) : NULL;
        return luc_pad_dim(x, dim, 0, length - k * windows);
    }
    for (int64_t i = 0; i < k; i++) {
        lucid_tensor *part = placed(lucid_select(x, dim, i), dim, i * dilation, stride, length);
        sum = sum && part ? lucid_add(sum, part) : part;
        if (!sum) return NULL;
    }
    return sum;
}

/* ---- unfold and fold ------------------------------------------------------------------------- */

static bool read_options(luc_windows *w, lucid_extent kernel, const lucid_unfold_options *o)
{
    return luc_extent_of_rank(w->op, "kernel", 2, kernel, 1, w->kernel) &&
           luc_extent_of_rank(w->op, "dilation", 2, o->dilation, 1, w->dilation) &&
           luc_extent_of_rank(w->op, "padding", 2, o->padding, 0, w->padding) &&
           luc_extent_of_rank(w->op, "stride", 2, o->stride, 1, w->stride);
}

/* How many windows an image of height and width has in each direction. */
static bool count_windows(const luc_windows *w, const int64_t image[2], int64_t out[2])
{
    for (int i = 0; i < 2; i++) {
        const int64_t room = image[i] + 2 * w->padding[i + 1],
                      span = w->dilation[i + 1] * (w->kernel[i + 1] - 1) + 1;
        if (image[i] < 1 || span > room)
            return luc_raise(LUCID_ERR_ARGUMENT, w->op,
                             "kernel: expected one that spans at most %lld, the padded image, got "
                             "a span of %lld",
                             (long long)room, (long long)span);
        out[i] = (room - span) / w->stride[i + 1] + 1;
    }
    return true;
}

lucid_tensor *lucid_unfold_opt(lucid_tensor *x, lucid_extent kernel,
                               const lucid_unfold_options *options)
{
    luc_windows w = {.op = "unfold", .rank = 2};
    LUC_CALLED_AS("unfold");
    const lucid_unfold_options *o = LUC_OPTIONS(lucid_unfold, options, w.op);
    if (!o || !luc_given(x, w.op, "x") || !read_options(&w, kernel, o)) return NULL;
    const int ndim = x->view.ndim;
    int64_t n[2];
    if (ndim != 3 && ndim != 4)
        return luc_raise_null(LUCID_ERR_ARGUMENT, w.op, "x: expected [N,C,H,W] or [C,H,W], got %s",
                              luc_shape_text(x).s);
    if (!count_windows(&w, x->view.dims + ndim - 2, n)) return NULL;
    if (ndim == 3) x = lucid_unsqueeze(x, 0);
    x = luc_pad_dim(luc_pad_dim(x, 2, w.padding[1], w.padding[1]), 3, w.padding[2], w.padding[2]);
    if (!x) return NULL;
    const int64_t batch = x->view.dims[0], channels = x->view.dims[1];
    x = luc_windows_of(x, 2, w.kernel[1], w.stride[1], w.dilation[1]);
    x = luc_windows_of(x, 4, w.kernel[2], w.stride[2], w.dilation[2]);
    if (!x) return NULL;
    x = lucid_permute_opt(x, LUCID_SHAPE(0, 1, 2, 4, 3, 5));
    int64_t rows = channels * w.kernel[1] * w.kernel[2];
    x = x ? lucid_reshape_opt(x, LUCID_SHAPE(batch, rows, n[0] * n[1])) : NULL;
    return x && ndim == 3 ? lucid_squeeze(x, 0) : x;
}

/* [N,C kH kW,L] in the dtype that is summed in: [N,C,H,W]. */
static lucid_tensor *folded(lucid_tensor *x, const luc_windows *w, const int64_t n[2],
                            const int64_t image[2])
{
    const int64_t *k = w->kernel + 1, *p = w->padding + 1;
    const int64_t channels = x->view.dims[1] / (k[0] * k[1]);
    x = lucid_reshape_opt(x, LUCID_SHAPE(x->view.dims[0], channels, k[0], k[1], n[0], n[1]));
    x = x ? lucid_permute_opt(x, LUCID_SHAPE(0, 1, 2, 4, 3, 5)) : NULL;
    x = luc_windows_sum(x, 4, image[1] + 2 * p[1], w->stride[2], w->dilation[2]);
    x = luc_windows_sum(x, 2, image[0] + 2 * p[0], w->stride[1], w->dilation[1]);
    return luc_pad_dim(luc_pad_dim(x, 2, -p[0], -p[0]), 3, -p[1], -p[1]);
}

static bool check_columns(const lucid_tensor *x, const luc_windows *w, const int64_t n[2])
{
    const int ndim = x->view.ndim;
    int64_t area, count;
    if (!lucid_dtype_is_floating(x->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, w->op, "x: expected a floating dtype, got %s",
                         lucid_dtype_name(x->view.dtype));
    if (luc_mul_i64(w->kernel[1], w->kernel[2], &area) && luc_mul_i64(n[0], n[1], &count) &&
        (ndim == 2 || ndim == 3) && x->view.dims[ndim - 2] % area == 0 &&
        x->view.dims[ndim - 1] == count)
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, w->op,
                     "x: expected [N,C * %lld * %lld,%lld * %lld], the kernel and the windows, got "
                     "%s",
                     (long long)w->kernel[1], (long long)w->kernel[2], (long long)n[0],
                     (long long)n[1], luc_shape_text(x).s);
}

lucid_tensor *lucid_fold_opt(lucid_tensor *x, lucid_extent output_size, lucid_extent kernel,
                             const lucid_unfold_options *options)
{
    luc_windows w = {.op = "fold", .rank = 2};
    LUC_CALLED_AS("fold");
    const lucid_unfold_options *o = LUC_OPTIONS(lucid_unfold, options, w.op);
    int64_t n[2], image[3];
    if (!o || !luc_given(x, w.op, "x") || !read_options(&w, kernel, o) ||
        !luc_extent_of_rank(w.op, "output_size", 2, output_size, 1, image) ||
        !count_windows(&w, image + 1, n) || !check_columns(x, &w, n))
        return NULL;
    const lucid_dtype dtype = x->view.dtype;
    const bool single = x->view.ndim == 2;
    if (single) x = lucid_unsqueeze(x, 0);
    x = x ? lucid_cast(x, dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32) : NULL;
    x = x ? folded(x, &w, n, image + 1) : NULL;
    x = x ? lucid_cast(x, dtype) : NULL;
    return x && single ? lucid_squeeze(x, 0) : x;
}
