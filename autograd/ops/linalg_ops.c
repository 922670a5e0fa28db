/* linalg_ops.c: the operators of linear algebra and their derivatives. linalg.c has the
 * functions. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/linalg_priv.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/statistics.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- infer ----------------------------------------------------------------------------------- */

enum { MOST_DECOMPOSED = 23000 }; /* LAPACK counts its workspace of 4 n^2 in 32 bits */

static bool check_matrices(const lucid_call *c, int i)
{
    const lucid_view *v = &c->in[i]->view;
    if (!luc_want_floating(c, i)) return false;
    if (v->ndim < 2) return luc_bad_input(c, i, "expected matrices [..,M,N]");
    const int64_t m = v->dims[v->ndim - 2], n = v->dims[v->ndim - 1];
    if (m > INT32_MAX / 128 || n > INT32_MAX / 128 || m * n > INT32_MAX)
        return luc_bad_input(c, i, "expected matrices of less than 2^31 elements");
    return true;
}

static bool check_square(const lucid_call *c, int i)
{
    const lucid_view *v = &c->in[i]->view;
    if (!check_matrices(c, i)) return false;
    return v->dims[v->ndim - 2] == v->dims[v->ndim - 1] ||
           luc_bad_input(c, i, "expected square matrices [..,N,N]");
}

static bool check_decomposed(const lucid_call *c)
{
    const lucid_view *v = &c->in[0]->view;
    if (!check_matrices(c, 0)) return false;
    const int64_t m = v->dims[v->ndim - 2], n = v->dims[v->ndim - 1];
    return (m < n ? m : n) <= MOST_DECOMPOSED ||
           luc_bad_input(c, 0, "expected at most %d rows or columns", MOST_DECOMPOSED);
}

/* Output i: the batch of input 0 with the last sizes: a matrix, a vector (cols -1) or nothing. */
static void set_output(lucid_call *c, int i, int64_t rows, int64_t cols)
{
    const lucid_view *a = &c->in[0]->view;
    lucid_meta *out = &c->out[i];
    luc_set_dims(c, i, a->dtype, a->ndim - 2, a->dims);
    if (rows >= 0) out->dims[out->ndim++] = rows;
    if (cols >= 0) out->dims[out->ndim++] = cols;
    luc_contiguous_strides(out->ndim, out->dims, out->strides);
}

static void set_unwanted(lucid_call *c, int i)
{
    luc_set_dims(c, i, c->in[0]->view.dtype, 1, (int64_t[]){0});
    c->out[i].strides[0] = 1;
}

static bool square_infer(lucid_call *c)
{
    const lucid_view *a = &c->in[0]->view;
    if (!check_square(c, 0)) return false;
    set_output(c, 0, a->dims[a->ndim - 1], a->dims[a->ndim - 1]);
    return true;
}

static bool det_infer(lucid_call *c)
{
    if (!check_square(c, 0)) return false;
    for (int i = 0; i < c->n_out; i++) set_output(c, i, -1, -1);
    return true;
}

static bool solve_infer(lucid_call *c)
{
    const lucid_view *a = &c->in[0]->view, *b = &c->in[1]->view;
    if (!check_square(c, 0) || !check_matrices(c, 1)) return false;
    const int64_t n = a->dims[a->ndim - 1];
    if (!luc_dims_equal(a->ndim - 2, a->dims, b->ndim - 2, b->dims) || b->dims[b->ndim - 2] != n)
        return luc_bad_input(c, 1, "expected [..,%lld,K] (a %s)", (long long)n,
                             luc_shape_text(c->in[0]).s);
    set_output(c, 0, n, b->dims[b->ndim - 1]);
    return true;
}

static bool qr_infer(lucid_call *c)
{
    const lucid_linalg_attrs *at = c->attrs;
    const lucid_view *a = &c->in[0]->view;
    if (!check_matrices(c, 0)) return false;
    const int64_t m = a->dims[a->ndim - 2], n = a->dims[a->ndim - 1];
    if (m > INT32_MAX / (m > 0 ? m : 1))
        return luc_bad_input(c, 0, "expected fewer rows, for Q is square");
    const int64_t k = at->full || m < n ? m : n;
    set_output(c, 0, m, k);
    set_output(c, 1, k, n);
    return true;
}

static bool svd_infer(lucid_call *c)
{
    const lucid_linalg_attrs *at = c->attrs;
    const lucid_view *a = &c->in[0]->view;
    if (!check_decomposed(c)) return false;
    const int64_t m = a->dims[a->ndim - 2], n = a->dims[a->ndim - 1], k = m < n ? m : n;
    if ((m > n ? m : n) > MOST_DECOMPOSED * (at->full || at->values_only ? 1 : 2))
        return luc_bad_input(c, 0, "expected at most %d rows and columns", MOST_DECOMPOSED);
    set_output(c, 0, m, at->full ? m : k);
    set_output(c, 1, k, -1);
    set_output(c, 2, at->full ? n : k, n);
    if (at->values_only) set_unwanted(c, 0), set_unwanted(c, 2);
    return true;
}

static bool eigh_infer(lucid_call *c)
{
    const lucid_linalg_attrs *at = c->attrs;
    const lucid_view *a = &c->in[0]->view;
    if (!check_square(c, 0) || !check_decomposed(c)) return false;
    const int64_t n = a->dims[a->ndim - 1];
    set_output(c, 0, n, -1);
    set_output(c, 1, n, n);
    if (at->values_only) set_unwanted(c, 1);
    return true;
}

/* ---- what derivatives share ------------------------------------------------------------------ */

static lucid_tensor *transposed(lucid_tensor *x)
{
    return x ? lucid_transpose(x, -2, -1) : NULL;
}

static lucid_tensor *product(lucid_tensor *a, lucid_tensor *b)
{
    return a && b ? lucid_matmul(a, b) : NULL;
}

static lucid_tensor *as_column(lucid_tensor *x)
{
    return x ? lucid_unsqueeze(x, -1) : NULL;
}

static lucid_tensor *as_row(lucid_tensor *x)
{
    return x ? lucid_unsqueeze(x, -2) : NULL;
}

lucid_tensor *luc_identity_like(lucid_tensor *a)
{
    if (!a) return NULL;
    const int64_t n = a->view.dims[a->view.ndim - 1];
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = a->view.dtype;
    o.device = a->storage->device;
    lucid_tensor *one = lucid_eye_opt(n, n, &o);
    lucid_shape shape = lucid_tensor_shape(a);
    shape.dims[shape.ndim - 2] = n;
    return one ? lucid_expand_opt(one, shape) : NULL;
}

lucid_tensor *luc_linalg_solve(lucid_tensor *a, lucid_tensor *b)
{
    static const lucid_linalg_attrs none;
    return a && b ? luc_apply2(&luc_op_linalg_solve, a, b, &none) : NULL;
}

lucid_tensor *luc_linalg_solve_triangular(lucid_tensor *a, lucid_tensor *b, bool upper, bool unit)
{
    const lucid_linalg_attrs attrs = {.upper = upper, .unit = unit};
    return a && b ? luc_apply2(&luc_op_linalg_solve_triangular, a, b, &attrs) : NULL;
}

/* x with its diagonal replaced by a vector's numbers. */
static lucid_tensor *with_diagonal(lucid_tensor *x, lucid_tensor *diagonal)
{
    lucid_tensor *one = luc_identity_like(x);
    if (!one || !diagonal) return NULL;
    return lucid_where(lucid_cast(one, LUCID_BOOL), as_column(diagonal), x);
}

/* Elements [j,k]: values[k] - values[j], and 1 on the diagonal. */
static lucid_tensor *gaps(lucid_tensor *values)
{
    lucid_tensor *e = values ? lucid_sub(as_row(values), as_column(values)) : NULL;
    return e ? with_diagonal(e, luc_full_like(values, 1)) : NULL;
}

static uint32_t save_both(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_OUTPUT(0);
}

static bool given(lucid_tensor *t, lucid_tensor **grad)
{
    *grad = t;
    return t != NULL;
}

/* ---- cholesky -------------------------------------------------------------------------------- */

/* With a lower L and P the lower triangle of L^T g, its diagonal halved: L^-T P L^-1, made
 * symmetric (Murray, 2016). */
static bool cholesky_vjp(lucid_vjp *v)
{
    const lucid_linalg_attrs *at = v->attrs;
    lucid_tensor *l = lucid_saved_output(v, 0), *g = v->grad_out[0];
    if (at->upper) l = transposed(l), g = transposed(g);
    lucid_tensor *p = product(transposed(l), g);
    if (!p) return false;
    lucid_tensor *below = lucid_tril(p, 0), *strict = lucid_tril(p, -1);
    p = below && strict ? lucid_mul_scalar(lucid_add(below, strict), 0.5) : NULL;
    lucid_tensor *lt = transposed(l);
    p = luc_linalg_solve_triangular(lt, p, true, false);
    p = transposed(luc_linalg_solve_triangular(lt, transposed(p), true, false));
    return given(p ? lucid_mul_scalar(lucid_add(p, transposed(p)), 0.5) : NULL, &v->grad_in[0]);
}

static uint32_t save_output(const lucid_call *c)
{
    return luc_save_output(c);
}

/* ---- determinants ---------------------------------------------------------------------------- */

/* The derivative of det where some matrices are singular: U diag(products of the other singular
 * values) V^T, with the sign of det(U) det(V^T). */
static lucid_tensor *cofactors(lucid_tensor *a)
{
    const lucid_linalg_attrs attrs = {0};
    lucid_tensor *svd[LUCID_MAX_OUTPUTS];
    if (!lucid_apply_multi(&luc_op_linalg_svd, &a, 1, &attrs, svd)) return NULL;
    lucid_tensor *u = svd[0], *s = svd[1], *vh = svd[2];
    lucid_shape shape = lucid_tensor_shape(a);
    lucid_tensor *others = lucid_expand_opt(as_row(s), shape);
    others = others ? with_diagonal(others, luc_full_like(s, 1)) : NULL;
    others = others ? lucid_prod_opt(others, LUCID_SHAPE(-1), NULL) : NULL;
    lucid_tensor *sign = lucid_mul(luc_apply1(&luc_op_linalg_det, u, &attrs),
                                   luc_apply1(&luc_op_linalg_det, vh, &attrs));
    if (!others || !sign) return NULL;
    others = lucid_mul(others, lucid_unsqueeze(sign, -1));
    return product(lucid_mul(u, as_row(others)), vh);
}

static bool det_vjp(lucid_vjp *v)
{
    lucid_tensor *a = lucid_saved_input(v, 0), *det = lucid_saved_output(v, 0);
    if (!a || !det) return false;
    lucid_tensor *g = v->grad_out[0];
    if (det->numel && lucid_item(lucid_min_opt(lucid_abs(det), LUCID_ALL, NULL)) == 0)
        return given(lucid_mul(as_column(as_column(g)), cofactors(a)), &v->grad_in[0]);
    lucid_tensor *scale = as_column(as_column(lucid_mul(g, det)));
    lucid_tensor *inverse = luc_linalg_solve(transposed(a), luc_identity_like(a));
    return given(inverse ? lucid_mul(scale, inverse) : NULL, &v->grad_in[0]);
}

static bool slogdet_vjp(lucid_vjp *v)
{
    lucid_tensor *a = lucid_saved_input(v, 0), *g = v->grad_out[0];
    if (!a || !g) return a != NULL; /* the sign has no derivative */
    lucid_tensor *inverse = luc_linalg_solve(transposed(a), luc_identity_like(a));
    return given(inverse ? lucid_mul(as_column(as_column(g)), inverse) : NULL, &v->grad_in[0]);
}

/* ---- solving --------------------------------------------------------------------------------- */

static bool solve_vjp(lucid_vjp *v)
{
    lucid_tensor *a = lucid_saved_input(v, 0), *x = lucid_saved_output(v, 0);
    lucid_tensor *g = luc_linalg_solve(transposed(a), v->grad_out[0]);
    if (!x || !g) return false;
    v->grad_in[1] = g;
    return !luc_needs(v, 0) || given(lucid_neg(product(g, transposed(x))), &v->grad_in[0]);
}

static bool solve_triangular_vjp(lucid_vjp *v)
{
    const lucid_linalg_attrs *at = v->attrs;
    lucid_tensor *a = lucid_saved_input(v, 0), *x = lucid_saved_output(v, 0);
    if (!a || !x) return false;
    lucid_tensor *g =
        luc_linalg_solve_triangular(transposed(a), v->grad_out[0], !at->upper, at->unit);
    if (!g) return false;
    v->grad_in[1] = g;
    if (!luc_needs(v, 0)) return true;
    lucid_tensor *ga = lucid_neg(product(g, transposed(x)));
    if (!ga) return false;
    return given(at->upper ? lucid_triu(ga, at->unit) : lucid_tril(ga, -at->unit), &v->grad_in[0]);
}

/* ---- qr -------------------------------------------------------------------------------------- */

static uint32_t qr_saves(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(0) | LUCID_SAVE_OUTPUT(0) | LUCID_SAVE_OUTPUT(1);
}

/* The gradient of a matrix that has no fewer rows than columns is (gq + Q S) R^-T, where S is the
 * upper triangle of gr R^T - Q^T gq, mirrored. */
static lucid_tensor *tall_qr(lucid_tensor *q, lucid_tensor *r, lucid_tensor *gq, lucid_tensor *gr)
{
    lucid_tensor *m = gr ? product(gr, transposed(r)) : NULL;
    lucid_tensor *other = gq ? product(transposed(q), gq) : NULL;
    if (gr && gq)
        m = lucid_sub(m, other);
    else if (gq)
        m = lucid_neg(other);
    if (!m) return NULL;
    lucid_tensor *s = lucid_add(lucid_triu(m, 0), transposed(lucid_triu(m, 1)));
    lucid_tensor *sum = product(q, s);
    if (gq) sum = lucid_add(gq, sum);
    return transposed(luc_linalg_solve_triangular(r, transposed(sum), true, false));
}

static bool qr_vjp(lucid_vjp *v)
{
    const lucid_linalg_attrs *at = v->attrs;
    lucid_tensor *a = lucid_saved_input(v, 0), *q = lucid_saved_output(v, 0),
                 *r = lucid_saved_output(v, 1), *gq = v->grad_out[0], *gr = v->grad_out[1];
    if (!a || !q || !r) return false;
    const int64_t m = a->view.dims[a->view.ndim - 2], n = a->view.dims[a->view.ndim - 1];
    if (!gq && !gr) return true;
    if (a->numel == 0) return given(luc_full_like(a, 0), &v->grad_in[0]);
    if (at->full && m > n)
        return luc_raise(LUCID_ERR_UNSUPPORTED, "linalg_qr",
                         "the complete Q of matrices with more rows than columns, %s, has no "
                         "derivative: use .complete = false",
                         luc_shape_text(a).s);
    if (m >= n) return given(tall_qr(q, r, gq, gr), &v->grad_in[0]);
    /* a = [x y] with a square x, r = [r1 r2]: r2 = Q^T y */
    lucid_tensor *r1 = lucid_narrow(r, -1, 0, m), *y = lucid_narrow(a, -1, m, n - m);
    lucid_tensor *gr1 = gr ? lucid_narrow(gr, -1, 0, m) : NULL;
    lucid_tensor *gr2 = gr ? lucid_narrow(gr, -1, m, n - m) : NULL;
    if (gr2) {
        lucid_tensor *more = product(y, transposed(gr2));
        gq = gq ? lucid_add(gq, more) : more;
    }
    lucid_tensor *gx = tall_qr(q, r1, gq, gr1);
    lucid_tensor *gy = gr2 ? product(q, gr2) : luc_full_like(y, 0);
    if (!gx || !gy) return false;
    return given(lucid_cat_list((lucid_tensor *[]){gx, gy}, 2, -1), &v->grad_in[0]);
}

/* ---- svd ------------------------------------------------------------------------------------- */

static uint32_t svd_saves(const lucid_call *c)
{
    const lucid_linalg_attrs *at = c->attrs;
    if (at->values_only) return LUCID_SAVE_INPUT(0);
    return LUCID_SAVE_OUTPUT(0) | LUCID_SAVE_OUTPUT(1) | LUCID_SAVE_OUTPUT(2);
}

/* x - x^T */
static lucid_tensor *skew(lucid_tensor *x)
{
    return x ? lucid_sub(x, transposed(x)) : NULL;
}

static lucid_tensor *plus(lucid_tensor *a, lucid_tensor *b)
{
    return a && b ? lucid_add(a, b) : a ? a : b;
}

/* The part of the gradient within the spaces of U and V: U inner V^T. */
static lucid_tensor *svd_inner(lucid_tensor *const *usv, lucid_tensor *const *g)
{
    lucid_tensor *u = usv[0], *s = usv[1], *vh = usv[2], *inner = NULL;
    lucid_tensor *e = gaps(lucid_square(s));
    if (!e) return NULL;
    if (g[0]) inner = lucid_mul(lucid_div(skew(product(transposed(u), g[0])), e), as_row(s));
    if (g[2]) {
        lucid_tensor *t = lucid_div(skew(product(vh, transposed(g[2]))), e);
        inner = plus(inner, lucid_mul(as_column(s), t));
    }
    lucid_tensor *diagonal = g[1] ? g[1] : luc_full_like(s, 0);
    return with_diagonal(inner ? inner : luc_full_like(e, 0), diagonal);
}

/* What of U's or V's gradient leaves the space of its columns: x - q q^T x. */
static lucid_tensor *outside(lucid_tensor *x, lucid_tensor *q)
{
    return x ? lucid_sub(x, product(q, product(transposed(q), x))) : NULL;
}

static bool svd_vjp(lucid_vjp *v)
{
    const lucid_linalg_attrs *at = v->attrs;
    lucid_tensor *usv[LUCID_MAX_OUTPUTS], *const *g = v->grad_out;
    if (at->values_only) {
        const lucid_linalg_attrs both = {0};
        lucid_tensor *a = lucid_saved_input(v, 0);
        if (!a || !lucid_apply_multi(&luc_op_linalg_svd, &a, 1, &both, usv)) return false;
    } else {
        for (int i = 0; i < 3; i++)
            if (!(usv[i] = lucid_saved_output(v, i))) return false;
    }
    const lucid_meta *in = lucid_input_meta(v, 0);
    const int64_t m = in->dims[in->ndim - 2], n = in->dims[in->ndim - 1], k = m < n ? m : n;
    if (at->full && m != n && (g[0] || g[2]))
        return luc_raise(LUCID_ERR_UNSUPPORTED, "linalg_svd",
                         "all of U and Vh of matrices that are not square have no derivative: use "
                         ".full_matrices = false");
    if (at->full) {
        usv[0] = lucid_narrow(usv[0], -1, 0, k);
        usv[2] = lucid_narrow(usv[2], -2, 0, k);
    }
    lucid_tensor *const grads[] = {at->values_only ? NULL : g[0], g[1],
                                   at->values_only ? NULL : g[2]};
    lucid_tensor *inner = svd_inner(usv, grads);
    lucid_tensor *ga = product(product(usv[0], inner), usv[2]);
    if (ga && grads[0] && m > k)
        ga = lucid_add(ga, product(outside(lucid_div(grads[0], as_row(usv[1])), usv[0]), usv[2]));
    if (ga && grads[2] && n > k) {
        lucid_tensor *t =
            outside(transposed(lucid_div(grads[2], as_column(usv[1]))), transposed(usv[2]));
        ga = lucid_add(ga, product(usv[0], transposed(t)));
    }
    return given(ga, &v->grad_in[0]);
}

/* ---- eigh ------------------------------------------------------------------------------------ */

static uint32_t eigh_saves(const lucid_call *c)
{
    const lucid_linalg_attrs *at = c->attrs;
    return at->values_only ? LUCID_SAVE_INPUT(0) : LUCID_SAVE_OUTPUT(0) | LUCID_SAVE_OUTPUT(1);
}

/* V (diag(g of values) + (V^T g of vectors) / gaps) V^T, as if all of a were read. */
static bool eigh_vjp(lucid_vjp *v)
{
    const lucid_linalg_attrs *at = v->attrs;
    lucid_tensor *lv[LUCID_MAX_OUTPUTS], *g = v->grad_out[0];
    lucid_tensor *gv = at->values_only ? NULL : v->grad_out[1];
    if (at->values_only) {
        const lucid_linalg_attrs both = {.upper = at->upper};
        lucid_tensor *a = lucid_saved_input(v, 0);
        if (!a || !lucid_apply_multi(&luc_op_linalg_eigh, &a, 1, &both, lv)) return false;
    } else {
        for (int i = 0; i < 2; i++)
            if (!(lv[i] = lucid_saved_output(v, i))) return false;
    }
    lucid_tensor *e = gaps(lv[0]);
    if (!e) return false;
    lucid_tensor *inner = gv ? lucid_div(product(transposed(lv[1]), gv), e) : luc_full_like(e, 0);
    inner = inner ? with_diagonal(inner, g ? g : luc_full_like(lv[0], 0)) : NULL;
    return given(product(product(lv[1], inner), transposed(lv[1])), &v->grad_in[0]);
}

/* ---- the operators --------------------------------------------------------------------------- */

static const lucid_linalg_attrs plain,
    upper = {.upper = true}, unit_upper = {.upper = true, .unit = true}, full = {.full = true},
    values = {.values_only = true};
/* Cholesky and eigh read one triangle, and their derivative is that of a symmetric matrix: samples,
 * whose elements change one by one, are of one row. Larger ones are compared with PyTorch's values
 * (tests/reference, ops_linear). */
static const lucid_sample positive_samples[] = {
    {.name = "lower", .n_in = 1, .in = {LUC_RANGE(0.5, 2, {3, {3, 1, 1}})}, .attrs = &plain},
    {.name = "upper", .n_in = 1, .in = {LUC_RANGE(0.5, 2, {2, {1, 1}})}, .attrs = &upper},
};
static const lucid_sample square_samples[] = {
    {.name = "one", .n_in = 1, .in = {LUC_IN3(1, 3, 3)}, .attrs = &plain},
    {.name = "batch", .n_in = 1, .in = {LUC_IN3(2, 2, 2)}, .attrs = &plain},
};
static const lucid_sample solve_samples[] = {
    {.name = "one", .n_in = 2, .in = {LUC_IN3(1, 3, 3), LUC_IN3(1, 3, 2)}, .attrs = &plain},
    {.name = "batch", .n_in = 2, .in = {LUC_IN3(2, 2, 2), LUC_IN3(2, 2, 1)}, .attrs = &plain},
};
static const lucid_sample triangular_samples[] = {
    {.name = "lower",
     .n_in = 2,
     .in = {LUC_RANGE(0.5, 2, {2, {3, 3}}), LUC_IN2(3, 2)},
     .attrs = &plain},
    {.name = "unit", .n_in = 2, .in = {LUC_IN3(2, 3, 3), LUC_IN3(2, 3, 1)}, .attrs = &unit_upper},
};
static const lucid_sample qr_samples[] = {
    {.name = "tall", .n_in = 1, .in = {LUC_IN3(1, 4, 3)}, .attrs = &plain},
    {.name = "wide", .n_in = 1, .in = {LUC_IN3(2, 2, 3)}, .attrs = &plain},
    {.name = "complete", .n_in = 1, .in = {LUC_IN3(1, 3, 3)}, .attrs = &full},
};
static const lucid_sample svd_samples[] = {
    {.name = "tall", .n_in = 1, .in = {LUC_IN3(1, 4, 3)}, .attrs = &plain},
    {.name = "wide", .n_in = 1, .in = {LUC_IN3(2, 2, 3)}, .attrs = &plain},
    {.name = "values", .n_in = 1, .in = {LUC_IN3(2, 3, 2)}, .attrs = &values},
};
static const lucid_sample eigh_samples[] = {
    {.name = "both", .n_in = 1, .in = {LUC_IN3(3, 1, 1)}, .attrs = &plain},
    {.name = "values", .n_in = 1, .in = {LUC_IN2(1, 1)}, .attrs = &values},
};
static const lucid_sample bad_squares[] = {
    {.name = "wide",
     .n_in = 1,
     .in = {LUC_IN2(2, 3)},
     .attrs = &plain,
     .error = "a: expected square matrices"},
    {.name = "vector",
     .n_in = 1,
     .in = {LUC_IN1(3)},
     .attrs = &plain,
     .error = "a: expected matrices"},
};
static const lucid_sample bad_solves[] = {
    {.name = "rows",
     .n_in = 2,
     .in = {LUC_IN2(3, 3), LUC_IN2(2, 2)},
     .attrs = &plain,
     .error = "b: expected [..,3,K]"},
};
static const lucid_sample bad_matrices[] = {
    {.name = "vector",
     .n_in = 1,
     .in = {LUC_IN1(3)},
     .attrs = &plain,
     .error = "a: expected matrices"},
};

#define LINALG(op, arguments, inputs, outputs, about, infer_fn, saves_fn, vjp_fn, good, bad) \
    const lucid_op luc_op_linalg_##op = {                                                    \
        .name = "linalg_" #op,                                                               \
        .schema = arguments,                                                                 \
        .doc = about,                                                                        \
        .id = LUCID_OP_linalg_##op,                                                          \
        .n_in = inputs,                                                                      \
        .n_out = outputs,                                                                    \
        .attrs_size = sizeof(lucid_linalg_attrs),                                            \
        .autocast = LUCID_AUTOCAST_FULL,                                                     \
        .infer = infer_fn,                                                                   \
        .saves = saves_fn,                                                                   \
        .vjp = vjp_fn,                                                                       \
        LUC_SAMPLES(good),                                                                   \
        LUC_BAD_SAMPLES(bad),                                                                \
    }

LINALG(cholesky, "a", 1, 1, "the triangular L with L L^T = a", square_infer, save_output,
       cholesky_vjp, positive_samples, bad_squares);
LINALG(det, "a", 1, 1, "determinants", det_infer, save_both, det_vjp, square_samples, bad_squares);
LINALG(slogdet, "a", 1, 2, "logarithms of the sizes of determinants, and their signs", det_infer,
       luc_save_input, slogdet_vjp, square_samples, bad_squares);
LINALG(solve, "a, b", 2, 1, "the x with a x = b", solve_infer, save_both, solve_vjp, solve_samples,
       bad_solves);
LINALG(solve_triangular, "a, b", 2, 1, "the x with a x = b, of a triangular a", solve_infer,
       save_both, solve_triangular_vjp, triangular_samples, bad_solves);
LINALG(qr, "a", 1, 2, "a = q r", qr_infer, qr_saves, qr_vjp, qr_samples, bad_matrices);
LINALG(svd, "a", 1, 3, "a = u diag(s) vh", svd_infer, svd_saves, svd_vjp, svd_samples,
       bad_matrices);
LINALG(eigh, "a", 1, 2, "eigenvalues and eigenvectors of symmetric matrices", eigh_infer,
       eigh_saves, eigh_vjp, eigh_samples, bad_squares);
