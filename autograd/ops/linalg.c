/* linalg.c: the functions of linear algebra. linalg_ops.c has the operators. */
#include "autograd/ops/linalg.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/linalg_priv.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <float.h>

/* ---- what they share ------------------------------------------------------------------------- */

/* The distance from 1 to the next number of x's dtype. */
static double epsilon_of(const lucid_tensor *x)
{
    return x->view.dtype == LUCID_F64 ? DBL_EPSILON : (double)FLT_EPSILON;
}

/* Matrices of a floating dtype, for functions that are composed. */
static bool matrices(const lucid_tensor *a, const char *op)
{
    if (!luc_given(a, op, "a")) return false;
    if (!lucid_dtype_is_floating(a->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "a: expected a floating dtype, got %s",
                         lucid_dtype_name(a->view.dtype));
    return a->view.ndim >= 2 ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "a: expected matrices [..,M,N], got %s",
                     luc_shape_text(a).s);
}

static bool squares(const lucid_tensor *a, const char *op)
{
    if (!matrices(a, op)) return false;
    const lucid_view *v = &a->view;
    return v->dims[v->ndim - 2] == v->dims[v->ndim - 1] ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "a: expected square matrices [..,N,N], got %s",
                     luc_shape_text(a).s);
}

/* Expands the batches of two stacks of matrices to the one to which they broadcast. */
static bool meet_batches(lucid_tensor **a, lucid_tensor **b, const char *op)
{
    lucid_shape x = lucid_tensor_shape(*a), y = lucid_tensor_shape(*b), both;
    x.ndim -= 2;
    y.ndim -= 2;
    if (!lucid_shape_broadcast(&x, &y, &both) || both.ndim + 2 > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "b: expected a batch that broadcasts with a %s, got "
                         "%s",
                         luc_shape_text(*a).s, luc_shape_text(*b).s);
    lucid_tensor **all[] = {a, b};
    for (int i = 0; i < 2; i++) {
        lucid_shape shape = both;
        const lucid_view *v = &(*all[i])->view;
        shape.dims[shape.ndim++] = v->dims[v->ndim - 2];
        shape.dims[shape.ndim++] = v->dims[v->ndim - 1];
        if (!(*all[i] = lucid_expand_opt(*all[i], shape))) return false;
    }
    return true;
}

static lucid_tensor *transposed(lucid_tensor *x)
{
    return x ? lucid_transpose(x, -2, -1) : NULL;
}

static lucid_tensor *product(lucid_tensor *a, lucid_tensor *b)
{
    return a && b ? lucid_matmul(a, b) : NULL;
}

/* ---- solving --------------------------------------------------------------------------------- */

lucid_tensor *lucid_linalg_solve(lucid_tensor *a, lucid_tensor *b)
{
    const char *op = "linalg_solve";
    LUC_CALLED_AS("linalg_solve");
    LUCID_SCOPE;
    if (!squares(a, op) || !luc_given(b, op, "b")) return NULL;
    const lucid_view *x = &a->view, *y = &b->view;
    /* As in PyTorch: [N], or the batch of a and [N], is a vector for each matrix. */
    const bool vector = y->ndim == 1 || (y->ndim == x->ndim - 1 &&
                                         luc_dims_equal(y->ndim, y->dims, x->ndim - 1, x->dims));
    if (vector) b = lucid_unsqueeze(b, -1);
    if (!b) return NULL;
    if (b->view.ndim < 2 || b->view.dims[b->view.ndim - 2] != x->dims[x->ndim - 1])
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, op, "b: expected [..,%lld,K] or [..,%lld], got %s",
            (long long)x->dims[x->ndim - 1], (long long)x->dims[x->ndim - 1], luc_shape_text(b).s);
    if (!meet_batches(&a, &b, op)) return NULL;
    lucid_tensor *y2 = luc_linalg_solve(a, b);
    return y2 ? lucid_scope_return(vector ? lucid_squeeze(y2, -1) : y2) : NULL;
}

lucid_tensor *lucid_linalg_inv(lucid_tensor *a)
{
    LUC_CALLED_AS("linalg_inv");
    LUCID_SCOPE;
    if (!squares(a, "linalg_inv")) return NULL;
    return lucid_scope_return(luc_linalg_solve(a, luc_identity_like(a)));
}

lucid_tensor *lucid_linalg_solve_triangular_opt(lucid_tensor *a, lucid_tensor *b, bool upper,
                                                const lucid_linalg_triangular_options *options)
{
    const char *op = "linalg_solve_triangular";
    LUC_CALLED_AS("linalg_solve_triangular");
    LUCID_SCOPE;
    const lucid_linalg_triangular_options *o = LUC_OPTIONS(lucid_linalg_triangular, options, op);
    if (!o || !squares(a, op) || !luc_given(b, op, "b")) return NULL;
    if (b->view.ndim < 2)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "b: expected [..,N,K], got %s",
                              luc_shape_text(b).s);
    if (!o->left) { /* a^T x^T = b^T */
        a = transposed(a);
        b = transposed(b);
    }
    if (!a || !b || !meet_batches(&a, &b, op)) return NULL;
    lucid_tensor *x = luc_linalg_solve_triangular(a, b, o->left ? upper : !upper, o->unitriangular);
    return lucid_scope_return(o->left ? x : transposed(x));
}

/* ---- pinv ------------------------------------------------------------------------------------ */

/* By singular values, those up to rcond times the largest left out. */
static bool pinv_compose(const lucid_call *c, lucid_tensor **out)
{
    const double rcond = ((const lucid_scalar_attrs *)c->attrs)->value;
    const lucid_linalg_attrs attrs = {0};
    lucid_tensor *usv[LUCID_MAX_OUTPUTS];
    if (!lucid_apply_multi(&luc_op_linalg_svd, c->in, 1, &attrs, usv)) return false;
    lucid_tensor *s = usv[1], *inverse = s;
    if (s->numel > 0) {
        lucid_tensor *limit = lucid_mul_scalar(lucid_narrow(s, -1, 0, 1), rcond);
        lucid_tensor *large = lucid_gt(s, limit);
        inverse = lucid_where(large, lucid_reciprocal(s), luc_full_like(s, 0));
    }
    lucid_tensor *v = inverse ? lucid_mul(transposed(usv[2]), lucid_unsqueeze(inverse, -2)) : NULL;
    out[0] = product(v, transposed(usv[0]));
    return out[0] != NULL;
}

static bool pinv_infer(lucid_call *c)
{
    lucid_shape shape = lucid_tensor_shape(c->in[0]);
    const int n = shape.ndim;
    const int64_t rows = shape.dims[n - 2];
    shape.dims[n - 2] = shape.dims[n - 1];
    shape.dims[n - 1] = rows;
    return luc_infer_shape(c, &shape);
}

static uint32_t pinv_saves(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_OUTPUT(0);
}

/* -P^T g P^T + (I - a P) g^T P P^T + P^T P g^T (I - P a)  (Golub and Pereyra, 1973) */
static bool pinv_vjp(lucid_vjp *v)
{
    lucid_tensor *a = lucid_saved_input(v, 0), *p = lucid_saved_output(v, 0), *g = v->grad_out[0];
    if (!a || !p) return false;
    lucid_tensor *gt = transposed(g), *pt = transposed(p);
    lucid_tensor *first = product(product(pt, g), pt);
    lucid_tensor *left = product(gt, product(p, pt)), *right = product(product(pt, p), gt);
    if (!first || !left || !right) return false;
    left = lucid_sub(left, product(a, product(p, left)));
    right = lucid_sub(right, product(product(right, p), a));
    v->grad_in[0] = lucid_sub(lucid_add(left, right), first);
    return v->grad_in[0] != NULL;
}

static const lucid_op pinv_op = {.name = "linalg_pinv",
                                 .schema = "a",
                                 .doc = "pseudo-inverses",
                                 .id = LUCID_OP_CUSTOM,
                                 .n_in = 1,
                                 .n_out = 1,
                                 .attrs_size = sizeof(lucid_scalar_attrs),
                                 .autocast = LUCID_AUTOCAST_FULL,
                                 .infer = pinv_infer,
                                 .compose = pinv_compose,
                                 .saves = pinv_saves,
                                 .vjp = pinv_vjp};

/* rcond, or what it is without. */
static bool check_rcond(const lucid_tensor *a, double *rcond, const char *op)
{
    const int64_t m = a->view.dims[a->view.ndim - 2], n = a->view.dims[a->view.ndim - 1];
    if (*rcond == -1) *rcond = epsilon_of(a) * (double)(m > n ? m : n);
    return (*rcond >= 0 && isfinite(*rcond)) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "rcond: expected a number >= 0, or -1, got %g",
                     *rcond);
}

lucid_tensor *lucid_linalg_pinv(lucid_tensor *a, double rcond)
{
    LUC_CALLED_AS("linalg_pinv");
    if (!matrices(a, "linalg_pinv") || !check_rcond(a, &rcond, "linalg_pinv")) return NULL;
    const lucid_scalar_attrs attrs = {rcond};
    return luc_apply1(&pinv_op, a, &attrs);
}

/* ---- numbers of a matrix --------------------------------------------------------------------- */

lucid_tensor *lucid_linalg_det(lucid_tensor *a)
{
    const lucid_linalg_attrs attrs = {0};
    return squares(a, "linalg_det") ? luc_apply1(&luc_op_linalg_det, a, &attrs) : NULL;
}

lucid_linalg_signed lucid_linalg_slogdet(lucid_tensor *a)
{
    const lucid_linalg_attrs attrs = {0};
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    if (!squares(a, "linalg_slogdet") ||
        !lucid_apply_multi(&luc_op_linalg_slogdet, &a, 1, &attrs, out))
        return (lucid_linalg_signed){NULL, NULL};
    return (lucid_linalg_signed){out[1], out[0]};
}

/* How many singular values [..,K] are above a limit: tol, or rcond times the largest. */
static lucid_tensor *rank_of(lucid_tensor *s, double tol, double rcond)
{
    if (s->numel == 0) return lucid_count_nonzero_opt(s, LUCID_SHAPE(-1), NULL);
    lucid_tensor *limit =
        tol >= 0 ? lucid_scalar(tol) : lucid_mul_scalar(lucid_narrow(s, -1, 0, 1), rcond);
    return limit ? lucid_sum_opt(lucid_gt(s, limit), LUCID_SHAPE(-1), NULL) : NULL;
}

lucid_tensor *lucid_linalg_matrix_rank(lucid_tensor *a, double tol)
{
    const char *op = "linalg_matrix_rank";
    LUC_CALLED_AS("linalg_matrix_rank");
    LUCID_SCOPE;
    double rcond = -1;
    if (!matrices(a, op) || !check_rcond(a, &rcond, op)) return NULL;
    if (!(tol >= 0 || tol == -1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "tol: expected a number >= 0, or -1, got %g",
                              tol);
    lucid_tensor *s = lucid_linalg_svdvals(lucid_detach(a));
    return s ? lucid_scope_return(rank_of(s, tol, rcond)) : NULL;
}

static lucid_tensor *norm_of(lucid_tensor *a, lucid_matrix_norm_kind kind)
{
    lucid_tensor *y;
    switch (kind) {
    case LUCID_NORM_FRO:
        return lucid_norm_opt(a, LUCID_SHAPE(-2, -1), NULL);
    case LUCID_NORM_INF:
    case LUCID_NORM_NEG_INF:
        y = lucid_sum_opt(lucid_abs(a), LUCID_SHAPE(-1), NULL);
        break;
    case LUCID_NORM_ONE:
    case LUCID_NORM_NEG_ONE:
        y = lucid_sum_opt(lucid_abs(a), LUCID_SHAPE(-2), NULL);
        break;
    default:
        y = lucid_linalg_svdvals(a);
    }
    if (!y) return NULL;
    if (kind == LUCID_NORM_NUC) return lucid_sum_opt(y, LUCID_SHAPE(-1), NULL);
    const bool most = kind == LUCID_NORM_INF || kind == LUCID_NORM_ONE || kind == LUCID_NORM_TWO;
    return most ? lucid_max_opt(y, LUCID_SHAPE(-1), NULL) : lucid_min_opt(y, LUCID_SHAPE(-1), NULL);
}

lucid_tensor *lucid_linalg_matrix_norm_opt(lucid_tensor *a, lucid_matrix_norm_kind kind,
                                           const lucid_reduce_options *options)
{
    const char *op = "linalg_matrix_norm";
    LUC_CALLED_AS("linalg_matrix_norm");
    LUCID_SCOPE;
    const lucid_reduce_options *o = LUC_OPTIONS(lucid_reduce, options, op);
    if (!o || !matrices(a, op)) return NULL;
    if ((unsigned)kind > LUCID_NORM_NEG_TWO)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "kind: expected a lucid_matrix_norm_kind, got "
                              "%d",
                              (int)kind);
    lucid_tensor *y = norm_of(a, kind);
    if (y && o->keepdim) y = lucid_unsqueeze_dims_opt(y, LUCID_SHAPE(-2, -1));
    return lucid_scope_return(y);
}

lucid_tensor *lucid_linalg_matrix_power(lucid_tensor *a, int64_t n)
{
    LUC_CALLED_AS("linalg_matrix_power");
    LUCID_SCOPE;
    if (!squares(a, "linalg_matrix_power")) return NULL;
    lucid_tensor *power = n < 0 ? lucid_linalg_inv(a) : a, *y = NULL;
    if (n == 0) return lucid_scope_return(lucid_clone(luc_identity_like(a), LUCID_CONTIGUOUS));
    for (uint64_t k = n < 0 ? 0 - (uint64_t)n : (uint64_t)n; k > 0 && power; k /= 2) {
        if (k % 2) y = y ? product(y, power) : power;
        if (k % 2 && !y) return NULL;
        if (k > 1) power = product(power, power);
    }
    return lucid_scope_return(y == a ? lucid_clone(a, LUCID_PRESERVE) : power ? y : NULL);
}

/* ---- decompositions -------------------------------------------------------------------------- */

lucid_tensor *lucid_linalg_cholesky(lucid_tensor *a, bool upper)
{
    const lucid_linalg_attrs attrs = {.upper = upper};
    return squares(a, "linalg_cholesky") ? luc_apply1(&luc_op_linalg_cholesky, a, &attrs) : NULL;
}

lucid_linalg_qr_result lucid_linalg_qr(lucid_tensor *a, bool complete)
{
    const lucid_linalg_attrs attrs = {.full = complete};
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    if (!matrices(a, "linalg_qr") || !lucid_apply_multi(&luc_op_linalg_qr, &a, 1, &attrs, out))
        return (lucid_linalg_qr_result){NULL, NULL};
    return (lucid_linalg_qr_result){out[0], out[1]};
}

lucid_linalg_svd_result lucid_linalg_svd(lucid_tensor *a, bool full_matrices)
{
    const lucid_linalg_attrs attrs = {.full = full_matrices};
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    if (!matrices(a, "linalg_svd") || !lucid_apply_multi(&luc_op_linalg_svd, &a, 1, &attrs, out))
        return (lucid_linalg_svd_result){NULL, NULL, NULL};
    return (lucid_linalg_svd_result){out[0], out[1], out[2]};
}

lucid_tensor *lucid_linalg_svdvals(lucid_tensor *a)
{
    const lucid_linalg_attrs attrs = {.values_only = true};
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    LUC_CALLED_AS("linalg_svdvals");
    if (!matrices(a, "linalg_svdvals") ||
        !lucid_apply_multi(&luc_op_linalg_svd, &a, 1, &attrs, out))
        return NULL;
    return out[1];
}

lucid_linalg_eigh_result lucid_linalg_eigh(lucid_tensor *a, bool upper)
{
    const lucid_linalg_attrs attrs = {.upper = upper};
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    if (!squares(a, "linalg_eigh") || !lucid_apply_multi(&luc_op_linalg_eigh, &a, 1, &attrs, out))
        return (lucid_linalg_eigh_result){NULL, NULL};
    return (lucid_linalg_eigh_result){out[0], out[1]};
}

lucid_tensor *lucid_linalg_eigvalsh(lucid_tensor *a, bool upper)
{
    const lucid_linalg_attrs attrs = {.upper = upper, .values_only = true};
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    LUC_CALLED_AS("linalg_eigvalsh");
    if (!squares(a, "linalg_eigvalsh") ||
        !lucid_apply_multi(&luc_op_linalg_eigh, &a, 1, &attrs, out))
        return NULL;
    return out[0];
}

/* ---- least squares --------------------------------------------------------------------------- */

/* The squared errors of the columns, where a has more rows than columns and full rank. */
static lucid_tensor *residuals_of(lucid_tensor *a, lucid_tensor *b, lucid_tensor *x,
                                  lucid_tensor *rank)
{
    const int64_t m = a->view.dims[a->view.ndim - 2], n = a->view.dims[a->view.ndim - 1];
    const bool full = rank->numel == 0 || lucid_item(lucid_min_opt(rank, LUCID_ALL, NULL)) == n;
    if (m <= n || !full)
        return lucid_zeros_opt(LUCID_SHAPE(0), LUC_WITH(lucid_tensor, .dtype = a->view.dtype,
                                                        .memory_format = LUCID_CONTIGUOUS));
    lucid_tensor *error = lucid_sub(product(a, x), b);
    return error ? lucid_sum_opt(lucid_square(error), LUCID_SHAPE(-2), NULL) : NULL;
}

lucid_linalg_least lucid_linalg_lstsq(lucid_tensor *a, lucid_tensor *b, double rcond)
{
    const char *op = "linalg_lstsq";
    const lucid_linalg_least failed = {NULL, NULL, NULL};
    LUC_CALLED_AS("linalg_lstsq");
    LUCID_SCOPE;
    if (!matrices(a, op) || !check_rcond(a, &rcond, op) || !luc_given(b, op, "b")) return failed;
    if (b->view.ndim < 2 || b->view.dims[b->view.ndim - 2] != a->view.dims[a->view.ndim - 2]) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "b: expected [..,%lld,K], got %s",
                  (long long)a->view.dims[a->view.ndim - 2], luc_shape_text(b).s);
        return failed;
    }
    lucid_tensor *s = lucid_linalg_svdvals(lucid_detach(a));
    lucid_linalg_least y = {product(lucid_linalg_pinv(a, rcond), b), NULL,
                            s ? rank_of(s, -1, rcond) : NULL};
    if (!y.solution || !y.rank) return failed;
    y.residuals = residuals_of(lucid_detach(a), lucid_detach(b), lucid_detach(y.solution), y.rank);
    y.solution = lucid_scope_return(y.solution);
    y.residuals = lucid_scope_return(y.residuals);
    y.rank = lucid_scope_return(y.rank);
    return y.solution && y.residuals && y.rank ? y : failed;
}
