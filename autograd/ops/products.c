/* products.c: products of vectors, matrices and tensors, and distances, composed of matmul. */
#include "autograd/ops/products.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

static bool both(const lucid_tensor *a, const lucid_tensor *b, const char *op)
{
    return luc_given(a, op, "a") && luc_given(b, op, "b");
}

/* ---- vectors and matrices -------------------------------------------------------------------- */

/* Whether a and b have these numbers of dimensions, and fit. */
static bool check_product(const lucid_tensor *a, const lucid_tensor *b, int na, int nb,
                          const char *op)
{
    if (!both(a, b, op)) return false;
    const lucid_view *x = &a->view, *y = &b->view;
    if (x->ndim != na || y->ndim != nb)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "a, b: expected %d and %d dimensions, got %s and %s", na, nb,
                         luc_shape_text(a).s, luc_shape_text(b).s);
    const bool ok =
        x->dims[na - 1] == y->dims[nb == 1 ? 0 : nb - 2] && (na < 3 || x->dims[0] == y->dims[0]);
    return ok || luc_raise(LUCID_ERR_ARGUMENT, op, "b: expected sizes that fit a %s, got %s",
                           luc_shape_text(a).s, luc_shape_text(b).s);
}

lucid_tensor *lucid_dot(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("dot");
    return check_product(a, b, 1, 1, "dot") ? lucid_matmul(a, b) : NULL;
}

lucid_tensor *lucid_mv(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("mv");
    return check_product(a, b, 2, 1, "mv") ? lucid_matmul(a, b) : NULL;
}

lucid_tensor *lucid_mm(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("mm");
    return check_product(a, b, 2, 2, "mm") ? lucid_matmul(a, b) : NULL;
}

lucid_tensor *lucid_bmm(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("bmm");
    return check_product(a, b, 3, 3, "bmm") ? lucid_matmul(a, b) : NULL;
}

lucid_tensor *lucid_outer(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("outer");
    if (!both(a, b, "outer")) return NULL;
    if (a->view.ndim != 1 || b->view.ndim != 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "outer", "a, b: expected vectors, got %s and %s",
                              luc_shape_text(a).s, luc_shape_text(b).s);
    return lucid_mul(lucid_unsqueeze(a, 1), b);
}

lucid_tensor *lucid_inner(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("inner");
    if (!both(a, b, "inner")) return NULL;
    if (a->view.ndim == 0 || b->view.ndim == 0) return lucid_mul(a, b);
    return lucid_tensordot_opt(a, b, LUCID_SHAPE(-1), LUCID_SHAPE(-1));
}

/* ---- beta x + alpha a b ---------------------------------------------------------------------- */

static lucid_tensor *added(lucid_tensor *x, lucid_tensor *product,
                           const lucid_addmm_options *options, const char *op)
{
    const lucid_addmm_options *o = product ? LUC_OPTIONS(lucid_addmm, options, op) : NULL;
    if (!o || !luc_given(x, op, "x")) return NULL;
    lucid_shape want = lucid_tensor_shape(product), have = lucid_tensor_shape(x), sum;
    if (!lucid_shape_broadcast(&want, &have, &sum) || !lucid_shape_equal(&want, &sum))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "x: expected sizes that broadcast to %s, got "
                              "%s",
                              luc_shape_text(product).s, luc_shape_text(x).s);
    if (o->alpha != 1) product = lucid_mul_scalar(product, o->alpha);
    if (o->beta == 0) return product;
    if (o->beta != 1) x = lucid_mul_scalar(x, o->beta);
    return product && x ? lucid_add(x, product) : NULL;
}

lucid_tensor *lucid_addmm_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                              const lucid_addmm_options *options)
{
    LUC_CALLED_AS("addmm");
    return luc_given(x, "addmm", "x") ? added(x, lucid_mm(a, b), options, "addmm") : NULL;
}

lucid_tensor *lucid_addmv_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                              const lucid_addmm_options *options)
{
    LUC_CALLED_AS("addmv");
    return luc_given(x, "addmv", "x") ? added(x, lucid_mv(a, b), options, "addmv") : NULL;
}

lucid_tensor *lucid_addr_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                             const lucid_addmm_options *options)
{
    LUC_CALLED_AS("addr");
    return luc_given(x, "addr", "x") ? added(x, lucid_outer(a, b), options, "addr") : NULL;
}

lucid_tensor *lucid_baddbmm_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                const lucid_addmm_options *options)
{
    LUC_CALLED_AS("baddbmm");
    return luc_given(x, "baddbmm", "x") ? added(x, lucid_bmm(a, b), options, "baddbmm") : NULL;
}

lucid_tensor *lucid_addbmm_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                               const lucid_addmm_options *options)
{
    LUC_CALLED_AS("addbmm");
    if (!luc_given(x, "addbmm", "x")) return NULL;
    lucid_tensor *all = lucid_bmm(a, b);
    return all ? added(x, lucid_sum_opt(all, LUCID_SHAPE(0), NULL), options, "addbmm") : NULL;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* Permutes x so that the listed dimensions come last (or first), and joins both groups: a matrix.
 * The sizes of the others are appended to `sizes`. */
static lucid_tensor *grouped(lucid_tensor *x, const lucid_shape *dims, bool last,
                             lucid_shape *sizes, const char *argument)
{
    const int ndim = x->view.ndim;
    bool summed[LUCID_MAX_DIMS] = {false};
    lucid_shape order = {.ndim = ndim}, all = {.ndim = ndim};
    int64_t rest = 1, sum = 1;
    for (int i = 0; i < dims->ndim; i++) {
        const int d = luc_wrap_dim(dims->dims[i], ndim, "tensordot", argument);
        if (d < 0) return NULL;
        if (ndim == 0 || summed[d])
            return luc_raise_null(LUCID_ERR_ARGUMENT, "tensordot",
                                  "%s: expected different dimensions of %s, got %s", argument,
                                  luc_shape_text(x).s, luc_dims_text(dims->ndim, dims->dims).s);
        summed[d] = true;
        sum *= x->view.dims[d];
        all.dims[i] = d;
    }
    int at = last ? 0 : dims->ndim;
    for (int d = 0; d < ndim; d++) {
        if (summed[d]) continue;
        order.dims[at++] = d;
        rest *= x->view.dims[d];
        sizes->dims[sizes->ndim++] = x->view.dims[d];
    }
    for (int i = 0; i < dims->ndim; i++) order.dims[last ? at + i : i] = all.dims[i];
    lucid_tensor *y = lucid_permute_opt(x, order);
    if (!y) return NULL;
    return lucid_reshape_opt(y, last ? LUCID_SHAPE(rest, sum) : LUCID_SHAPE(sum, rest));
}

lucid_tensor *lucid_tensordot_opt(lucid_tensor *a, lucid_tensor *b, lucid_shape dims_a,
                                  lucid_shape dims_b)
{
    const char *op = "tensordot";
    LUC_CALLED_AS("tensordot");
    LUCID_SCOPE;
    if (!both(a, b, op)) return NULL;
    const int n = dims_a.ndim;
    if (n < 0 || n > LUCID_MAX_DIMS || n != dims_b.ndim)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "dims_b: expected %d dimensions, got %d", n,
                              dims_b.ndim);
    if (n > a->view.ndim || n > b->view.ndim ||
        a->view.ndim + b->view.ndim - 2 * n > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "dims_a: expected a result of 0 to %d dimensions, got %d dims of %s "
                              "and %s",
                              LUCID_MAX_DIMS, n, luc_shape_text(a).s, luc_shape_text(b).s);
    for (int i = 0; i < n; i++) {
        const int d = luc_wrap_dim(dims_a.dims[i], a->view.ndim, op, "dims_a");
        const int e = d < 0 ? -1 : luc_wrap_dim(dims_b.dims[i], b->view.ndim, op, "dims_b");
        if (e < 0) return NULL;
        if (a->view.dims[d] != b->view.dims[e])
            return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                                  "dims_b: expected the size of a's dimension %d, %lld, got %lld",
                                  d, (long long)a->view.dims[d], (long long)b->view.dims[e]);
    }
    lucid_shape sizes = {.ndim = 0};
    lucid_tensor *x = grouped(a, &dims_a, true, &sizes, "dims_a");
    lucid_tensor *y = x ? grouped(b, &dims_b, false, &sizes, "dims_b") : NULL;
    y = y ? lucid_matmul(x, y) : NULL;
    return y ? lucid_scope_return(lucid_reshape_opt(y, sizes)) : NULL;
}

lucid_tensor *lucid_kron(lucid_tensor *a, lucid_tensor *b)
{
    LUC_CALLED_AS("kron");
    LUCID_SCOPE;
    if (!both(a, b, "kron")) return NULL;
    while (a && a->view.ndim < b->view.ndim) a = lucid_unsqueeze(a, 0);
    while (a && b && b->view.ndim < a->view.ndim) b = lucid_unsqueeze(b, 0);
    if (!a || !b) return NULL;
    lucid_tensor *x = a;
    for (int d = 0; d < a->view.ndim && x; d++)
        x = lucid_repeat_interleave_opt(x, lucid_scalar((double)b->view.dims[d]), LUCID_SHAPE(d));
    lucid_tensor *y = x ? lucid_repeat_opt(b, lucid_tensor_shape(a)) : NULL;
    return y ? lucid_scope_return(lucid_mul(x, y)) : NULL;
}

lucid_tensor *lucid_cross(lucid_tensor *a, lucid_tensor *b, int dim)
{
    const char *op = "cross";
    LUC_CALLED_AS("cross");
    LUCID_SCOPE;
    lucid_tensor *ab[2];
    if (!both(a, b, op)) return NULL;
    if (a->view.ndim != b->view.ndim || a->view.ndim == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "b: expected as many dimensions as a %s, got "
                              "%s",
                              luc_shape_text(a).s, luc_shape_text(b).s);
    const int at = luc_wrap_dim(dim, a->view.ndim, op, "dim");
    if (at < 0) return NULL;
    if (a->view.dims[at] != 3 || b->view.dims[at] != 3)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "a, b: expected the size 3 in dimension %d, got %s and %s", at,
                              luc_shape_text(a).s, luc_shape_text(b).s);
    if (!lucid_broadcast_tensors((lucid_tensor *[]){a, b}, 2, ab)) return NULL;
    /* With the next element of each: a_i b_(i+1) - a_(i+1) b_i is element i + 2 of the product. */
    const lucid_shape one = LUCID_SHAPE(-1), along = LUCID_SHAPE(at);
    lucid_tensor *next_a = lucid_roll_opt(ab[0], one, along);
    lucid_tensor *next_b = next_a ? lucid_roll_opt(ab[1], one, along) : NULL;
    if (!next_b) return NULL;
    lucid_tensor *y = lucid_sub(lucid_mul(ab[0], next_b), lucid_mul(next_a, ab[1]));
    return y ? lucid_scope_return(lucid_roll_opt(y, one, along)) : NULL;
}

/* ---- distances ------------------------------------------------------------------------------- */

lucid_tensor *lucid_dist(lucid_tensor *a, lucid_tensor *b, double p)
{
    LUC_CALLED_AS("dist");
    if (!both(a, b, "dist")) return NULL;
    lucid_tensor *d = lucid_sub(a, b);
    return d ? lucid_norm_opt(d, LUCID_ALL, LUC_WITH(lucid_norm, .p = p)) : NULL;
}

/* |a|^2 - 2 a b + |b|^2, and its root, whose derivative at 0 is 0. */
static lucid_tensor *by_product(lucid_tensor *a, lucid_tensor *b)
{
    const lucid_reduce_options *keep = LUC_WITH(lucid_reduce, .keepdim = true);
    lucid_tensor *aa = lucid_sum_opt(lucid_square(a), LUCID_SHAPE(-1), keep);
    lucid_tensor *bb = lucid_sum_opt(lucid_square(b), LUCID_SHAPE(-1), keep);
    lucid_tensor *ab = lucid_matmul(a, lucid_transpose(b, -2, -1));
    if (!aa || !bb || !ab) return NULL;
    lucid_tensor *d =
        lucid_sub(lucid_add(aa, lucid_transpose(bb, -2, -1)), lucid_mul_scalar(ab, 2));
    lucid_tensor *positive = d ? lucid_gt(d, lucid_scalar(0)) : NULL;
    if (!positive) return NULL;
    lucid_tensor *root = lucid_sqrt(lucid_where(positive, d, luc_full_like(d, 1)));
    lucid_tensor *y = lucid_where(positive, root, luc_full_like(d, 0));
    return lucid_where(lucid_nan_mask(d), d, y);
}

lucid_tensor *lucid_cdist(lucid_tensor *a, lucid_tensor *b, double p)
{
    enum { FEW = 25 };
    const char *op = "cdist";
    LUC_CALLED_AS("cdist");
    LUCID_SCOPE;
    if (!both(a, b, op)) return NULL;
    const lucid_view *x = &a->view, *y = &b->view;
    if (x->ndim < 2 || y->ndim < 2 || x->dims[x->ndim - 1] != y->dims[y->ndim - 1])
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "a, b: expected [..,P,M] and [..,R,M], got %s and %s",
                              luc_shape_text(a).s, luc_shape_text(b).s);
    if (!(p >= 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "p: expected at least 0, got %g", p);
    const bool many = x->dims[x->ndim - 2] > FEW || y->dims[y->ndim - 2] > FEW;
    if (p == 2 && many && lucid_dtype_is_floating(x->dtype))
        return lucid_scope_return(by_product(a, b));
    if (x->ndim == LUCID_MAX_DIMS || y->ndim == LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "a: expected fewer than %d dimensions",
                              LUCID_MAX_DIMS);
    lucid_tensor *d = lucid_sub(lucid_unsqueeze(a, -2), lucid_unsqueeze(b, -3));
    if (!d) return NULL;
    if (d->view.dims[d->view.ndim - 1] == 0) /* no coordinates: every distance is 0 */
        return lucid_scope_return(lucid_sum_opt(d, LUCID_SHAPE(-1), NULL));
    return lucid_scope_return(lucid_norm_opt(d, LUCID_SHAPE(-1), LUC_WITH(lucid_norm, .p = p)));
}
