/* loss_margin.c: distances between vectors, and losses that keep a margin between them. */
#include "autograd/ops/loss_margin.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/loss_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- distances ------------------------------------------------------------------------------- */

/* A root whose derivative at 0 is 0: there, the root of 1 is taken and the 0 itself is kept. */
static lucid_tensor *root(lucid_tensor *sum, double p)
{
    if (!sum) return NULL;
    lucid_tensor *none = lucid_eq(sum, lucid_scalar(0));
    lucid_tensor *safe = lucid_where(none, luc_full_like(sum, 1), sum);
    lucid_tensor *y = p == 2 ? lucid_sqrt(safe) : lucid_pow_scalar(safe, 1 / p);
    return lucid_where(none, luc_full_like(sum, 0), y);
}

/* The p-norm of d along a dimension. */
static lucid_tensor *norm(lucid_tensor *d, double p, int dim, bool keepdim)
{
    const lucid_reduce_options *keep = LUC_WITH(lucid_reduce, .keepdim = keepdim);
    const lucid_shape dims = LUCID_SHAPE(dim);
    if (!d) return NULL;
    if (p == 2) return root(lucid_sum_opt(lucid_square(d), dims, keep), p);
    if (p == 1) return lucid_sum_opt(lucid_abs(d), dims, keep);
    if (isinf(p)) return lucid_max_opt(lucid_abs(d), dims, keep);
    if (p == 0) { /* the number of elements that are not 0, which has the derivative 0 */
        lucid_tensor *some = lucid_cast(lucid_ne(d, lucid_scalar(0)), d->view.dtype);
        return lucid_sum_opt(some, dims, keep);
    }
    lucid_tensor *none = lucid_eq(d, lucid_scalar(0));
    lucid_tensor *size = lucid_where(none, luc_full_like(d, 1), lucid_abs(d));
    lucid_tensor *power = lucid_where(none, luc_full_like(d, 0), lucid_pow_scalar(size, p));
    return root(lucid_sum_opt(power, dims, keep), p);
}

static bool check_p(double p, const char *op)
{
    return luc_loss_number(p, 0, op, "p");
}

bool luc_pairwise_distance_valid(const lucid_pairwise_distance_options *o, const char *op)
{
    return check_p(o->p, op) && luc_loss_number(o->eps, -INFINITY, op, "eps");
}

bool luc_cosine_similarity_valid(const lucid_cosine_similarity_options *o, const char *op)
{
    return luc_loss_number(o->eps, 0, op, "eps");
}

lucid_tensor *lucid_pairwise_distance_opt(lucid_tensor *a, lucid_tensor *b,
                                          const lucid_pairwise_distance_options *options)
{
    static const char *const names[2] = {"a", "b"};
    const char *op = "pairwise_distance";
    LUC_CALLED_AS("pairwise_distance");
    const lucid_pairwise_distance_options *o = LUC_OPTIONS(lucid_pairwise_distance, options, op);
    if (!o || !luc_pairwise_distance_valid(o, op) || !luc_loss_pair(&a, &b, op, names)) return NULL;
    if (a->view.ndim == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "a: expected [...,D], got []");
    lucid_tensor *difference = lucid_sub(luc_loss_wide(a), luc_loss_wide(b));
    lucid_tensor *y = norm(lucid_add_scalar(difference, o->eps), o->p, -1, o->keepdim);
    return y ? lucid_cast(y, a->view.dtype) : NULL;
}

lucid_tensor *lucid_cosine_similarity_opt(lucid_tensor *a, lucid_tensor *b,
                                          const lucid_cosine_similarity_options *options)
{
    static const char *const names[2] = {"a", "b"};
    const char *op = "cosine_similarity";
    LUC_CALLED_AS("cosine_similarity");
    const lucid_cosine_similarity_options *o = LUC_OPTIONS(lucid_cosine_similarity, options, op);
    if (!o || !luc_cosine_similarity_valid(o, op) || !luc_loss_pair(&a, &b, op, names)) return NULL;
    const int dim = luc_wrap_dim(o->dim, a->view.ndim, op, "dim");
    if (dim < 0) return NULL;
    lucid_tensor *scaled[2] = {luc_loss_wide(a), luc_loss_wide(b)};
    for (int i = 0; i < 2; i++) {
        lucid_tensor *length = norm(scaled[i], 2, dim, true);
        scaled[i] = lucid_div(scaled[i], lucid_clamp(length, o->eps, INFINITY));
    }
    lucid_tensor *y = lucid_sum_opt(lucid_mul(scaled[0], scaled[1]), LUCID_SHAPE(dim), NULL);
    return y ? lucid_cast(y, a->view.dtype) : NULL;
}

/* ---- margin_ranking, cosine_embedding -------------------------------------------------------- */

bool luc_margin_ranking_loss_valid(const lucid_margin_ranking_loss_options *o, const char *op)
{
    return luc_loss_number(o->margin, -INFINITY, op, "margin") && luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_margin_ranking_loss_opt(lucid_tensor *input1, lucid_tensor *input2,
                                            lucid_tensor *target,
                                            const lucid_margin_ranking_loss_options *options)
{
    static const char *const both[2] = {"input1", "input2"}, *const labels[2] = {"input1",
                                                                                 "target"};
    const char *op = "margin_ranking_loss";
    LUC_CALLED_AS("margin_ranking_loss");
    const lucid_margin_ranking_loss_options *o =
        LUC_OPTIONS(lucid_margin_ranking_loss, options, op);
    if (!o || !luc_margin_ranking_loss_valid(o, op) || !luc_loss_pair(&input1, &input2, op, both) ||
        !luc_loss_pair(&input1, &target, op, labels))
        return NULL;
    lucid_tensor *gap = lucid_mul(lucid_neg(target), lucid_sub(input1, input2));
    return luc_loss_reduced(luc_loss_positive(lucid_add_scalar(gap, o->margin)), o->reduction);
}

bool luc_cosine_embedding_loss_valid(const lucid_cosine_embedding_loss_options *o, const char *op)
{
    return luc_loss_number(o->margin, -INFINITY, op, "margin") && luc_loss_how(o->reduction, op);
}

/* PyTorch's form of it: each square of a length is larger by 1e-12. */
static lucid_tensor *cosine(lucid_tensor *a, lucid_tensor *b)
{
    const lucid_shape last = LUCID_SHAPE(-1);
    lucid_tensor *aa = lucid_add_scalar(lucid_sum_opt(lucid_square(a), last, NULL), 1e-12);
    lucid_tensor *bb = lucid_add_scalar(lucid_sum_opt(lucid_square(b), last, NULL), 1e-12);
    lucid_tensor *ab = lucid_sum_opt(lucid_mul(a, b), last, NULL);
    return lucid_div(ab, lucid_mul(lucid_sqrt(aa), lucid_sqrt(bb)));
}

lucid_tensor *lucid_cosine_embedding_loss_opt(lucid_tensor *input1, lucid_tensor *input2,
                                              lucid_tensor *target,
                                              const lucid_cosine_embedding_loss_options *options)
{
    static const char *const both[2] = {"input1", "input2"};
    const char *op = "cosine_embedding_loss";
    LUC_CALLED_AS("cosine_embedding_loss");
    const lucid_cosine_embedding_loss_options *o =
        LUC_OPTIONS(lucid_cosine_embedding_loss, options, op);
    if (!o || !luc_cosine_embedding_loss_valid(o, op) ||
        !luc_loss_pair(&input1, &input2, op, both) || !luc_given(target, op, "target"))
        return NULL;
    const lucid_view *x = &input1->view, *y = &target->view;
    if (x->ndim < 1 || x->ndim > 2 || !luc_dims_equal(y->ndim, y->dims, x->ndim - 1, x->dims))
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, op,
            "input1, target: expected [N,D] and [N], or [D] and [], got %s and %s",
            luc_shape_text(input1).s, luc_shape_text(target).s);
    lucid_tensor *similar = cosine(luc_loss_wide(input1), luc_loss_wide(input2));
    if (!similar) return NULL;
    lucid_tensor *zero = luc_full_like(similar, 0);
    lucid_tensor *alike = lucid_add_scalar(lucid_neg(similar), 1);
    lucid_tensor *apart = luc_loss_positive(lucid_sub_scalar(similar, o->margin));
    lucid_tensor *loss = lucid_add(lucid_where(lucid_eq(target, lucid_scalar(1)), alike, zero),
                                   lucid_where(lucid_eq(target, lucid_scalar(-1)), apart, zero));
    loss = luc_loss_reduced(loss, o->reduction);
    return loss ? lucid_cast(loss, input1->view.dtype) : NULL;
}

/* ---- triplets -------------------------------------------------------------------------------- */

static bool check_triplet(double margin, int reduction, const char *op)
{
    if (!(margin > 0))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "margin: expected a number > 0, got %g", margin);
    return luc_loss_how(reduction, op);
}

bool luc_triplet_margin_loss_valid(const lucid_triplet_margin_loss_options *o, const char *op)
{
    return check_p(o->p, op) && luc_loss_number(o->eps, -INFINITY, op, "eps") &&
           check_triplet(o->margin, o->reduction, op);
}

bool luc_triplet_margin_with_distance_loss_valid(
    const lucid_triplet_margin_with_distance_loss_options *o, const char *op)
{
    return check_triplet(o->margin, o->reduction, op);
}

static lucid_tensor *pairwise(lucid_tensor *a, lucid_tensor *b, void *user)
{
    const lucid_triplet_margin_loss_options *o = user;
    return lucid_pairwise_distance_opt(
        a, b, LUC_WITH(lucid_pairwise_distance, .p = o ? o->p : 2, .eps = o ? o->eps : 1e-6));
}

/* The three inputs, checked. */
static bool triplet(lucid_tensor **t, const char *op)
{
    static const char *const near[2] = {"anchor", "positive"}, *const far[2] = {"anchor",
                                                                                "negative"};
    return luc_loss_pair(&t[0], &t[1], op, near) && luc_loss_pair(&t[0], &t[2], op, far);
}

static lucid_tensor *triplet_loss(lucid_tensor *const *t, lucid_distance_fn distance, void *user,
                                  double margin, bool swap)
{
    lucid_tensor *near = distance(t[0], t[1], user);
    lucid_tensor *far = near ? distance(t[0], t[2], user) : NULL;
    if (far && swap) far = lucid_minimum(far, distance(t[1], t[2], user));
    return luc_loss_positive(lucid_add_scalar(lucid_sub(near, far), margin));
}

lucid_tensor *lucid_triplet_margin_loss_opt(lucid_tensor *anchor, lucid_tensor *positive,
                                            lucid_tensor *negative,
                                            const lucid_triplet_margin_loss_options *options)
{
    const char *op = "triplet_margin_loss";
    LUC_CALLED_AS("triplet_margin_loss");
    const lucid_triplet_margin_loss_options *o =
        LUC_OPTIONS(lucid_triplet_margin_loss, options, op);
    lucid_tensor *t[3] = {anchor, positive, negative};
    if (!o || !luc_triplet_margin_loss_valid(o, op) || !triplet(t, op)) return NULL;
    lucid_triplet_margin_loss_options copy = *o;
    return luc_loss_reduced(triplet_loss(t, pairwise, &copy, o->margin, o->swap), o->reduction);
}

lucid_tensor *lucid_triplet_margin_with_distance_loss_opt(
    lucid_tensor *anchor, lucid_tensor *positive, lucid_tensor *negative,
    const lucid_triplet_margin_with_distance_loss_options *options)
{
    const char *op = "triplet_margin_with_distance_loss";
    LUC_CALLED_AS("triplet_margin_with_distance_loss");
    const lucid_triplet_margin_with_distance_loss_options *o =
        LUC_OPTIONS(lucid_triplet_margin_with_distance_loss, options, op);
    lucid_tensor *t[3] = {anchor, positive, negative};
    if (!o || !luc_triplet_margin_with_distance_loss_valid(o, op) || !triplet(t, op)) return NULL;
    lucid_tensor *loss = triplet_loss(t, o->distance ? o->distance : pairwise,
                                      o->distance ? o->user : NULL, o->margin, o->swap);
    return luc_loss_reduced(loss, o->reduction);
}
