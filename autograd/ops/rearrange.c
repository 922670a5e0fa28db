/* rearrange.c: moving elements between channels and pixels, splitting a dimension. */
#include "autograd/ops/rearrange.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- pixels and channels --------------------------------------------------------------------- */

/* x as [M,C,H,W], where M is the product of the sizes before C. */
static lucid_tensor *as_images(lucid_tensor *x, const char *op)
{
    if (!luc_given(x, op, "x")) return NULL;
    const lucid_view *v = &x->view;
    if (v->ndim < 3)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected [...,C,H,W], got %s",
                              luc_shape_text(x).s);
    const int64_t *last = v->dims + v->ndim - 3;
    int64_t m = 1;
    for (int d = 0; d < v->ndim - 3; d++) m *= v->dims[d];
    return lucid_reshape_opt(x, LUCID_SHAPE(m, last[0], last[1], last[2]));
}

/* y [M,C,H,W] with the sizes of x before C. */
static lucid_tensor *as_before(lucid_tensor *y, const lucid_tensor *x, int64_t c, int64_t h,
                               int64_t w)
{
    lucid_shape shape = lucid_tensor_shape(x);
    shape.dims[shape.ndim - 3] = c;
    shape.dims[shape.ndim - 2] = h;
    shape.dims[shape.ndim - 1] = w;
    return y ? lucid_reshape_opt(y, shape) : NULL;
}

static bool check_factor(int64_t factor, const char *op)
{
    return (factor >= 1 && factor <= INT32_MAX) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "factor: expected a number >= 1, got %lld",
                     (long long)factor);
}

lucid_tensor *lucid_pixel_shuffle(lucid_tensor *x, int64_t factor)
{
    const char *op = "pixel_shuffle";
    LUC_CALLED_AS("pixel_shuffle");
    lucid_tensor *image = check_factor(factor, op) ? as_images(x, op) : NULL;
    if (!image) return NULL;
    const int64_t *s = image->view.dims, f = factor, c = s[1] / (f * f);
    if (s[1] % (f * f) != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "x: expected a multiple of %lld channels, got %s", (long long)(f * f),
                              luc_shape_text(x).s);
    lucid_tensor *y = lucid_reshape_opt(image, LUCID_SHAPE(s[0], c, f, f, s[2], s[3]));
    y = lucid_permute_opt(y, LUCID_SHAPE(0, 1, 4, 2, 5, 3));
    return as_before(y, x, c, s[2] * f, s[3] * f);
}

lucid_tensor *lucid_pixel_unshuffle(lucid_tensor *x, int64_t factor)
{
    const char *op = "pixel_unshuffle";
    LUC_CALLED_AS("pixel_unshuffle");
    lucid_tensor *image = check_factor(factor, op) ? as_images(x, op) : NULL;
    if (!image) return NULL;
    const int64_t *s = image->view.dims, f = factor, h = s[2] / f, w = s[3] / f;
    if (s[2] % f != 0 || s[3] % f != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "x: expected heights and widths that are multiples of %lld, got %s",
                              (long long)f, luc_shape_text(x).s);
    lucid_tensor *y = lucid_reshape_opt(image, LUCID_SHAPE(s[0], s[1], h, f, w, f));
    y = lucid_permute_opt(y, LUCID_SHAPE(0, 1, 3, 5, 2, 4));
    return as_before(y, x, s[1] * f * f, h, w);
}

lucid_tensor *lucid_channel_shuffle(lucid_tensor *x, int64_t groups)
{
    const char *op = "channel_shuffle";
    LUC_CALLED_AS("channel_shuffle");
    if (!luc_given(x, op, "x")) return NULL;
    if (x->view.ndim < 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "x: expected [N,C,...], got %s",
                              luc_shape_text(x).s);
    const int64_t n = x->view.dims[0], channels = x->view.dims[1];
    if (groups < 1 || channels % groups != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "groups: expected a divisor of the %lld channels, got %lld",
                              (long long)channels, (long long)groups);
    int64_t rest = 1;
    for (int d = 2; d < x->view.ndim; d++) rest *= x->view.dims[d];
    lucid_tensor *y = lucid_reshape_opt(x, LUCID_SHAPE(n, groups, channels / groups, rest));
    y = y ? lucid_transpose(y, 1, 2) : NULL;
    return y ? lucid_reshape_opt(y, lucid_tensor_shape(x)) : NULL;
}

lucid_tensor *lucid_unflatten_opt(lucid_tensor *x, int dim, lucid_shape sizes)
{
    const char *op = "unflatten";
    LUC_CALLED_AS("unflatten");
    if (!luc_given(x, op, "x")) return NULL;
    const lucid_view *v = &x->view;
    const int at = luc_wrap_dim(dim, v->ndim, op, "dim");
    if (at < 0) return NULL;
    if (sizes.ndim < 1 || v->ndim - 1 + sizes.ndim > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "sizes: expected 1 to %d sizes, got %d",
                              LUCID_MAX_DIMS - v->ndim + 1, sizes.ndim);
    lucid_shape shape = {.ndim = 0};
    int64_t known = 1;
    int computed = -1;
    for (int d = 0; d < v->ndim; d++) {
        for (int i = 0; d == at && i < sizes.ndim; i++) {
            if (sizes.dims[i] == -1 && computed < 0)
                computed = shape.ndim;
            else if (sizes.dims[i] < 0 || (sizes.dims[i] && known > INT64_MAX / sizes.dims[i]))
                known = -1;
            else if (known >= 0)
                known *= sizes.dims[i];
            shape.dims[shape.ndim++] = sizes.dims[i];
        }
        if (d != at) shape.dims[shape.ndim++] = v->dims[d];
    }
    bool fits = computed < 0 ? known == v->dims[at] : known > 0 && v->dims[at] % known == 0;
    if (!fits)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "sizes: expected sizes with the product %lld, got %s",
                              (long long)v->dims[at], luc_dims_text(sizes.ndim, sizes.dims).s);
    if (computed >= 0) shape.dims[computed] = v->dims[at] / known;
    return lucid_reshape_opt(x, shape);
}
