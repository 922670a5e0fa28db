/* loss_classes.c: losses that keep a margin between the scores of classes. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/loss_margin.h"
#include "autograd/ops/loss_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* The numbers 0 to n - 1 of int64, where x lies. */
static lucid_tensor *numbers(int64_t n, const lucid_tensor *x)
{
    return lucid_arange_opt(0, (double)n, 1, LUC_WITH(lucid_index, .device = x->storage->device));
}

/* Whether x is [N,C] or [C] with C > 0. */
static bool check_scores(const lucid_tensor *x, const char *op)
{
    const lucid_view *v = &x->view;
    return ((v->ndim == 1 || v->ndim == 2) && v->dims[v->ndim - 1] > 0) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "input: expected [N,C] or [C], got %s",
                     luc_shape_text(x).s);
}

/* int64 classes of the given sizes; other integers are converted. NULL after an error. */
static lucid_tensor *classes(lucid_tensor *target, int ndim, const int64_t *dims, const char *op)
{
    if (!luc_given(target, op, "target")) return NULL;
    const lucid_view *t = &target->view;
    bool integer = !lucid_dtype_is_floating(t->dtype) && t->dtype != LUCID_BOOL;
    if (integer && luc_dims_equal(t->ndim, t->dims, ndim, dims))
        return lucid_cast(target, LUCID_I64);
    return luc_raise_null(LUCID_ERR_ARGUMENT, op, "target: expected int64 classes %s, got %s %s",
                          luc_dims_text(ndim, dims).s, lucid_dtype_name(t->dtype),
                          luc_shape_text(target).s);
}

/* ---- multi_margin ---------------------------------------------------------------------------- */

bool luc_multi_margin_loss_valid(const lucid_multi_margin_loss_options *o, const char *op)
{
    if (o->p != 1 && o->p != 2)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "p: expected 1 or 2, got %lld", (long long)o->p);
    return luc_loss_number(o->margin, -INFINITY, op, "margin") && luc_loss_how(o->reduction, op);
}

/* For x [N,C] and classes [N]: the loss of each sample. */
static lucid_tensor *multi_margin(lucid_tensor *x, lucid_tensor *target,
                                  const lucid_multi_margin_loss_options *o)
{
    const int64_t n_classes = x->view.dims[1];
    lucid_tensor *column = lucid_unsqueeze(target, 1);
    lucid_tensor *gap = lucid_sub(x, lucid_gather(x, 1, column));
    lucid_tensor *over = lucid_relu(lucid_add_scalar(gap, o->margin));
    if (!over) return NULL;
    if (o->p == 2) over = lucid_square(over);
    lucid_tensor *own = lucid_eq(column, numbers(n_classes, x));
    over = lucid_where(own, luc_full_like(over, 0), over);
    lucid_tensor *loss =
        lucid_div_scalar(lucid_sum_opt(over, LUCID_SHAPE(1), NULL), (double)n_classes);
    return o->weight ? lucid_mul(loss, lucid_index_select(o->weight, 0, target)) : loss;
}

lucid_tensor *lucid_multi_margin_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                          const lucid_multi_margin_loss_options *options)
{
    const char *op = "multi_margin_loss";
    LUC_CALLED_AS("multi_margin_loss");
    const lucid_multi_margin_loss_options *o = LUC_OPTIONS(lucid_multi_margin_loss, options, op);
    if (!o || !luc_multi_margin_loss_valid(o, op)) return NULL;
    lucid_tensor *x = luc_loss_input(input, op, "input");
    if (!x || !check_scores(x, op)) return NULL;
    const bool single = x->view.ndim == 1;
    const int64_t n_classes = x->view.dims[x->view.ndim - 1];
    if (o->weight && (o->weight->view.ndim != 1 || o->weight->view.dims[0] != n_classes))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "weight: expected [%lld], got %s",
                              (long long)n_classes, luc_shape_text(o->weight).s);
    target = classes(target, x->view.ndim - 1, x->view.dims, op);
    if (!target) return NULL;
    if (single) {
        x = lucid_unsqueeze(x, 0);
        target = lucid_unsqueeze(target, 0);
        if (!x || !target) return NULL;
    }
    lucid_tensor *loss = multi_margin(x, target, o);
    if (!loss) return NULL;
    if (single) loss = lucid_squeeze(loss, 0);
    return luc_loss_reduced(loss, o->reduction);
}

/* ---- multilabel_margin ----------------------------------------------------------------------- */

bool luc_multilabel_margin_loss_valid(const lucid_multilabel_margin_loss_options *o, const char *op)
{
    return luc_loss_how(o->reduction, op);
}

/* For labels [N,C]: where a label stands before the first -1 of its line. */
static lucid_tensor *before_end(lucid_tensor *labels)
{
    const int64_t n_classes = labels->view.dims[1];
    const lucid_reduce_options *keep = LUC_WITH(lucid_reduce, .keepdim = true);
    lucid_tensor *index = numbers(n_classes, labels);
    lucid_tensor *ends = lucid_lt(labels, lucid_scalar(0));
    if (!index || !ends) return NULL;
    lucid_tensor *at = lucid_where(ends, index, lucid_scalar((double)n_classes));
    return lucid_lt(index, lucid_min_opt(at, LUCID_SHAPE(1), keep));
}

/* For x [N,C] and labels [N,C]: the loss of each sample. */
static lucid_tensor *multilabel_margin(lucid_tensor *x, lucid_tensor *labels)
{
    const int64_t n_classes = x->view.dims[1];
    if (x->view.dims[0] == 0) return lucid_sum_opt(x, LUCID_SHAPE(1), NULL);
    lucid_tensor *valid = before_end(labels);
    lucid_tensor *ends = lucid_eq(labels, lucid_scalar(-1));
    if (!valid || !ends) return NULL;
    /* -1 stands for class 0, which `valid` hides; any other that is no class is an error. */
    lucid_tensor *safe = lucid_where(ends, luc_full_like(labels, 0), labels);
    lucid_tensor *score = lucid_unsqueeze(lucid_gather(x, 1, safe), 2); /* [N,label,1] */
    lucid_tensor *gap = lucid_sub(lucid_unsqueeze(x, 1), score);        /* [N,label,class] */
    lucid_tensor *over = lucid_relu(lucid_add_scalar(gap, 1));
    lucid_tensor *is_label = lucid_eq(lucid_unsqueeze(safe, 2), numbers(n_classes, x));
    valid = lucid_unsqueeze(valid, 2);
    if (!over || !is_label || !valid) return NULL;
    is_label = lucid_cast(
        lucid_minimum(lucid_cast(is_label, LUCID_I64), lucid_cast(valid, LUCID_I64)), LUCID_F32);
    lucid_tensor *any =
        lucid_max_opt(is_label, LUCID_SHAPE(1), LUC_WITH(lucid_reduce, .keepdim = true));
    lucid_tensor *zero = luc_full_like(over, 0);
    over = lucid_where(valid, over, zero);
    over = lucid_where(lucid_gt(any, lucid_scalar(0)), zero, over);
    return lucid_div_scalar(lucid_sum_opt(over, LUCID_SHAPE(1, 2), NULL), (double)n_classes);
}

lucid_tensor *lucid_multilabel_margin_loss_opt(lucid_tensor *input, lucid_tensor *target,
                                               const lucid_multilabel_margin_loss_options *options)
{
    const char *op = "multilabel_margin_loss";
    LUC_CALLED_AS("multilabel_margin_loss");
    const lucid_multilabel_margin_loss_options *o =
        LUC_OPTIONS(lucid_multilabel_margin_loss, options, op);
    if (!o || !luc_multilabel_margin_loss_valid(o, op)) return NULL;
    lucid_tensor *x = luc_loss_input(input, op, "input");
    if (!x || !check_scores(x, op)) return NULL;
    target = classes(target, x->view.ndim, x->view.dims, op);
    if (!target) return NULL;
    const bool single = x->view.ndim == 1;
    if (single) {
        x = lucid_unsqueeze(x, 0);
        target = lucid_unsqueeze(target, 0);
        if (!x || !target) return NULL;
    }
    lucid_tensor *loss = multilabel_margin(x, target);
    if (!loss) return NULL;
    if (single) loss = lucid_squeeze(loss, 0);
    return luc_loss_reduced(loss, o->reduction);
}

/* ---- multilabel_soft_margin ------------------------------------------------------------------ */

bool luc_multilabel_soft_margin_loss_valid(const lucid_multilabel_soft_margin_loss_options *o,
                                           const char *op)
{
    return luc_loss_how(o->reduction, op);
}

lucid_tensor *lucid_multilabel_soft_margin_loss_opt(
    lucid_tensor *input, lucid_tensor *target,
    const lucid_multilabel_soft_margin_loss_options *options)
{
    static const char *const names[2] = {"input", "target"};
    const char *op = "multilabel_soft_margin_loss";
    LUC_CALLED_AS("multilabel_soft_margin_loss");
    const lucid_multilabel_soft_margin_loss_options *o =
        LUC_OPTIONS(lucid_multilabel_soft_margin_loss, options, op);
    if (!o || !luc_multilabel_soft_margin_loss_valid(o, op) ||
        !luc_loss_pair(&input, &target, op, names) || !check_scores(input, op) ||
        !luc_loss_weight(o->weight, input, op, "weight"))
        return NULL;
    lucid_tensor *loss = lucid_binary_cross_entropy_with_logits_opt(
        input, target,
        LUC_WITH(lucid_binary_cross_entropy_with_logits, .weight = o->weight,
                 .reduction = LUCID_REDUCTION_NONE));
    return luc_loss_reduced(lucid_mean_opt(loss, LUCID_SHAPE(-1), NULL), o->reduction);
}
