/* loss_ctc.c: connectionist temporal classification. */
#include "autograd/ops/loss_ctc.h"
#include "autograd/autograd.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/loss_priv.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

static const char op[] = "ctc_loss";

/* The logarithm of the probability 0: finite, so that no difference of two is NaN. */
static const double nothing = -1e30;

/* log(e^a + e^b + e^c); the largest is a constant for the gradient, which it does not change. */
static lucid_tensor *log_sum(lucid_tensor *a, lucid_tensor *b, lucid_tensor *c)
{
    lucid_tensor *most;
    {
        LUCID_NO_GRAD;
        most = lucid_maximum(lucid_maximum(a, b), c);
    }
    lucid_tensor *sum = lucid_add(lucid_exp(lucid_sub(a, most)), lucid_exp(lucid_sub(b, most)));
    sum = lucid_add(sum, lucid_exp(lucid_sub(c, most)));
    return lucid_add(lucid_log(sum), most);
}

/* x [N,S] moved by k to the right: its first k columns are the value. */
static lucid_tensor *moved(lucid_tensor *x, int64_t k, double value)
{
    const int64_t rows = x->view.dims[0], columns = x->view.dims[1];
    if (columns <= k) return luc_full_like(x, value);
    lucid_tensor *parts[2] = {lucid_full_opt(LUCID_SHAPE(rows, k), value,
                                             LUC_WITH(lucid_tensor, .dtype = x->view.dtype,
                                                      .device = x->storage->device)),
                              lucid_narrow(x, 1, 0, columns - k)};
    return parts[0] && parts[1] ? lucid_cat_list(parts, 2, 1) : NULL;
}

/* The numbers 0 to n - 1 of int64, where x lies. */
static lucid_tensor *numbers(int64_t n, const lucid_tensor *x)
{
    return lucid_arange_opt(0, (double)n, 1, LUC_WITH(lucid_index, .device = x->storage->device));
}

/* The states [N,2L+1]: blank, label, blank, label, ..., blank. What is no label is blank too. */
static lucid_tensor *states_of(lucid_tensor *targets, lucid_tensor *lengths, int64_t blank)
{
    const int64_t rows = targets->view.dims[0], labels = targets->view.dims[1];
    lucid_tensor *counts = lucid_lt(numbers(labels, targets), lucid_unsqueeze(lengths, 1));
    lucid_tensor *blanks = luc_full_like(targets, (double)blank);
    targets = counts ? lucid_where(counts, targets, blanks) : NULL;
    lucid_tensor *last = lucid_full_opt(
        LUCID_SHAPE(rows, 1), (double)blank,
        LUC_WITH(lucid_tensor, .dtype = LUCID_I64, .device = lengths->storage->device));
    if (!targets || !blanks || !last) return NULL;
    lucid_tensor *pairs = lucid_stack_list((lucid_tensor *[]){blanks, targets}, 2, 2);
    pairs = pairs ? lucid_reshape_opt(pairs, LUCID_SHAPE(rows, 2 * labels)) : NULL;
    return pairs ? lucid_cat_list((lucid_tensor *[]){pairs, last}, 2, 1) : NULL;
}

/* The log-probabilities of the states [N,S] at time t, at least `nothing`. */
static lucid_tensor *emitted(lucid_tensor *log_probs, int64_t t, lucid_tensor *states)
{
    lucid_tensor *now = lucid_select(log_probs, 0, t);
    return lucid_clamp(lucid_gather(now, 1, states), nothing, INFINITY);
}

/* The log-probabilities [N,S] of being in each state after each sample's last step, having passed
 * all states before it. */
static lucid_tensor *forward_pass(lucid_tensor *log_probs, lucid_tensor *states,
                                  lucid_tensor *input_lengths, int64_t blank)
{
    const int64_t steps = log_probs->view.dims[0], columns = states->view.dims[1];
    lucid_tensor *before = moved(states, 2, -1), *index = numbers(columns, states);
    lucid_tensor *ends = lucid_unsqueeze(input_lengths, 1);
    if (!before || !index || !ends) return NULL;
    /* A label may follow the one before it at once, unless they are the same. */
    lucid_tensor *stays =
        lucid_maximum(lucid_cast(lucid_eq(states, before), LUCID_I64),
                      lucid_cast(lucid_eq(states, lucid_scalar((double)blank)), LUCID_I64));
    stays = lucid_gt(stays, lucid_scalar(0));
    lucid_tensor *alpha = emitted(log_probs, 0, states);
    if (!stays || !alpha) return NULL;
    lucid_tensor *never = luc_full_like(alpha, nothing);
    alpha = lucid_where(lucid_lt(index, lucid_scalar(2)), alpha, never);
    for (int64_t t = 1; t < steps && alpha; t++) {
        lucid_tensor *one = moved(alpha, 1, nothing), *two = moved(alpha, 2, nothing);
        two = two ? lucid_where(stays, never, two) : NULL;
        lucid_tensor *next = lucid_add(log_sum(alpha, one, two), emitted(log_probs, t, states));
        alpha = lucid_where(lucid_lt(lucid_scalar((double)t), ends), next, alpha);
    }
    return alpha;
}

/* The loss of each sample [N]: the last state, or the one before it. */
static lucid_tensor *losses(lucid_tensor *alpha, lucid_tensor *target_lengths, bool zero_infinity)
{
    lucid_tensor *last = lucid_mul_scalar(lucid_unsqueeze(target_lengths, 1), 2);
    lucid_tensor *label = lucid_clamp(lucid_sub_scalar(last, 1), 0, INFINITY);
    lucid_tensor *on_blank = lucid_gather(alpha, 1, last);
    lucid_tensor *on_label = lucid_gather(alpha, 1, label);
    if (!on_blank || !on_label) return NULL;
    lucid_tensor *never = luc_full_like(on_blank, nothing);
    on_label = lucid_where(lucid_eq(last, lucid_scalar(0)), never, on_label);
    lucid_tensor *loss = lucid_neg(log_sum(on_blank, on_label, never));
    if (!loss) return NULL;
    lucid_tensor *rest = luc_full_like(loss, zero_infinity ? 0 : INFINITY);
    lucid_tensor *possible = lucid_lt(loss, lucid_scalar(-nothing / 2));
    return lucid_squeeze(lucid_where(possible, loss, rest), 1);
}

/* Integers as int64; NULL, with an error, for others. */
static lucid_tensor *integers(lucid_tensor *x, const char *argument, int ndim)
{
    if (!luc_given(x, op, argument)) return NULL;
    const lucid_dtype d = x->view.dtype;
    if (!lucid_dtype_is_floating(d) && d != LUCID_BOOL && x->view.ndim == ndim)
        return lucid_cast(x, LUCID_I64);
    return luc_raise_null(LUCID_ERR_ARGUMENT, op, "%s: expected %d-D integers, got %s %s", argument,
                          ndim, lucid_dtype_name(d), luc_shape_text(x).s);
}

static bool check_lengths(lucid_tensor *lengths, const char *argument, int64_t rows, int64_t least,
                          int64_t most)
{
    double low, high;
    if (lengths->numel != rows)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected [%lld], got %s", argument,
                         (long long)rows, luc_shape_text(lengths).s);
    if (!luc_loss_extreme(lengths, false, &low) || !luc_loss_extreme(lengths, true, &high))
        return false;
    return rows == 0 || (low >= (double)least && high <= (double)most) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected numbers in [%lld,%lld], got %g",
                     argument, (long long)least, (long long)most, low < (double)least ? low : high);
}

/* The arguments with a dimension N: log_probs, targets and both lengths, checked. */
static bool check_inputs(lucid_tensor **in, const lucid_ctc_loss_options *o, bool *single)
{
    if (!luc_given(in[0], op, "log_probs")) return false;
    const lucid_view *v = &in[0]->view;
    if (!lucid_dtype_is_floating(v->dtype) || v->ndim < 2 || v->ndim > 3)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "log_probs: expected a floating dtype and [T,N,C] or [T,C], got %s %s",
                         lucid_dtype_name(v->dtype), luc_shape_text(in[0]).s);
    *single = v->ndim == 2;
    in[1] = integers(in[1], "targets", *single ? 1 : 2);
    in[2] = in[1] ? integers(in[2], "input_lengths", *single ? 0 : 1) : NULL;
    in[3] = in[2] ? integers(in[3], "target_lengths", *single ? 0 : 1) : NULL;
    if (!in[3]) return false;
    for (int i = 0; i < 4 && *single; i++)
        if (!(in[i] = lucid_unsqueeze(in[i], i == 0))) return false;
    in[0] = lucid_cast(in[0], in[0]->view.dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32);
    if (!in[0]) return false;
    v = &in[0]->view;
    if (in[1]->view.dims[0] != v->dims[1])
        return luc_raise(LUCID_ERR_ARGUMENT, op, "targets: expected [%lld,L], got %s",
                         (long long)v->dims[1], luc_shape_text(in[1]).s);
    if (o->blank < 0 || o->blank >= v->dims[2])
        return luc_raise(LUCID_ERR_ARGUMENT, op, "blank: expected a class in [0,%lld), got %lld",
                         (long long)v->dims[2], (long long)o->blank);
    return check_lengths(in[2], "input_lengths", v->dims[1], 1, v->dims[0]) &&
           check_lengths(in[3], "target_lengths", v->dims[1], 0, in[1]->view.dims[1]);
}

bool luc_ctc_loss_valid(const lucid_ctc_loss_options *o, const char *name)
{
    return luc_loss_how(o->reduction, name);
}

lucid_tensor *lucid_ctc_loss_opt(lucid_tensor *log_probs, lucid_tensor *targets,
                                 lucid_tensor *input_lengths, lucid_tensor *target_lengths,
                                 const lucid_ctc_loss_options *options)
{
    LUC_CALLED_AS("ctc_loss");
    const lucid_ctc_loss_options *o = LUC_OPTIONS(lucid_ctc_loss, options, op);
    lucid_tensor *in[4] = {log_probs, targets, input_lengths, target_lengths};
    bool single = false;
    if (!o || !luc_ctc_loss_valid(o, op) || !check_inputs(in, o, &single)) return NULL;
    lucid_tensor *states = states_of(in[1], in[3], o->blank);
    lucid_tensor *alpha = states ? forward_pass(in[0], states, in[2], o->blank) : NULL;
    lucid_tensor *loss = alpha ? losses(alpha, in[3], o->zero_infinity) : NULL;
    if (!loss) return NULL;
    if (!luc_autocast_is_on()) loss = lucid_cast(loss, log_probs->view.dtype);
    if (o->reduction == LUCID_REDUCTION_MEAN)
        loss = lucid_div(loss, lucid_clamp(in[3], 1, INFINITY));
    if (single) loss = lucid_squeeze(loss, 0);
    return luc_loss_reduced(loss, o->reduction);
}
