/* fuse.c: which operators become one: the table of rules, and the search in it.
 *
 * A rule says: where `second` takes the result of `first`, `join` makes one application of the two,
 * if their attributes fit. What it makes may be the first part of another rule. */
#include "autograd/dispatch/fuse_priv.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/dispatch/dispatch_priv.h"
#include "lucid/core/attrs.h"

#include <string.h>

/* Two operators of which the second takes the first one's result as input `which`. */
typedef struct pair {
    luc_deferred *first;
    const lucid_call *second;
    int which;
    luc_deferred *from; /* the first, unless it was computed */
} pair;

/* The application that does both, in j. */
typedef luc_fused join_fn(pair *p, luc_joined *j);

/* Where the inputs are; see lucid/core/attrs.h. */
enum { BN_WEIGHT = 1, BN_BIAS, BN_MEAN, BN_VAR, BN_RESIDUAL, BN_KNOWN_MEAN, BN_KNOWN_VAR };
enum { FOLDED_RESIDUAL = 7 };

/* ---- convolution and batch normalisation ----------------------------------------------------- */

/* With the running statistics, where nothing is recorded: one operator for inference. */
static luc_fused fold(pair *p, luc_joined *j)
{
    const lucid_batch_norm_attrs *norm = p->second->attrs;
    const lucid_conv2d_attrs *conv = p->first->call.attrs;
    lucid_tensor *const *in = p->second->in;
    if (norm->training || norm->relu || conv->relu || in[BN_RESIDUAL] || !in[BN_MEAN] ||
        !in[BN_VAR] || p->second->needs || p->first->call.needs)
        return LUC_NOT_FUSED;
    const lucid_conv2d_batch_norm_attrs attrs = {.conv = *conv, .eps = norm->eps};
    j->op = &luc_op_conv2d_batch_norm;
    j->n = 8;
    for (int i = 0; i < 3; i++) j->in[i] = p->first->what.in[i];
    for (int i = BN_WEIGHT; i <= BN_VAR; i++) j->in[i + 2] = in[i];
    j->in[FOLDED_RESIDUAL] = NULL;
    memcpy(j->attrs, &attrs, sizeof attrs);
    return LUC_FUSED;
}

/* With the batch's statistics: the convolution is computed now, and finds them while its result is
 * in the cache; the normalisation waits. */
static luc_fused measure(pair *p, luc_joined *j)
{
    const lucid_batch_norm_attrs *norm = p->second->attrs;
    const lucid_conv2d_attrs *conv = p->first->call.attrs;
    luc_deferred *d = p->first;
    lucid_call measured = d->call;
    measured.op = &luc_op_conv2d_statistics;
    if (!norm->training || conv->relu || p->second->in[BN_KNOWN_MEAN] ||
        !luc_call_kernel(&measured).run)
        return LUC_NOT_FUSED;
    j->op = &luc_op_batch_norm;
    j->n = p->second->n_in;
    memcpy(j->in, p->second->in, (size_t)j->n * sizeof *j->in);
    memcpy(j->attrs, norm, sizeof *norm);
    lucid_tensor *found[LUCID_MAX_OUTPUTS];
    if (!luc_call_begin(&measured, measured.op, d->what.in, d->what.n, d->what.attrs))
        return LUC_FUSE_ERROR;
    d->call = measured;
    p->from = NULL;
    if (!luc_deferred_compute(d, found)) return LUC_FUSE_ERROR;
    /* They are constants: their part in the gradient is in what batch_norm gives its input. */
    j->in[BN_KNOWN_MEAN] = lucid_detach(found[1]);
    j->in[BN_KNOWN_VAR] = lucid_detach(found[2]);
    return j->in[BN_KNOWN_MEAN] && j->in[BN_KNOWN_VAR] ? LUC_FUSED : LUC_FUSE_ERROR;
}

static luc_fused conv2d_batch_norm(pair *p, luc_joined *j)
{
    if (p->which != 0) return LUC_NOT_FUSED;
    const luc_fused folded = fold(p, j);
    return folded == LUC_NOT_FUSED ? measure(p, j) : folded;
}

/* ---- what follows ---------------------------------------------------------------------------- */

/* The sum with the residual, the input `at` of the first. */
static luc_fused add_residual(pair *p, luc_joined *j, int at, bool relu)
{
    lucid_tensor *other = p->second->in[1 - p->which];
    const lucid_meta *out = &p->first->call.out[0];
    if (relu || p->first->what.in[at] || other == p->first->tensor ||
        other->view.dtype != out->dtype ||
        !luc_dims_equal(out->ndim, out->dims, other->view.ndim, other->view.dims))
        return LUC_NOT_FUSED;
    *j = p->first->what;
    j->in[at] = other;
    return LUC_FUSED;
}

static luc_fused batch_norm_add(pair *p, luc_joined *j)
{
    return add_residual(p, j, BN_RESIDUAL, ((lucid_batch_norm_attrs *)p->first->call.attrs)->relu);
}

static luc_fused folded_add(pair *p, luc_joined *j)
{
    return add_residual(p, j, FOLDED_RESIDUAL,
                        ((lucid_conv2d_batch_norm_attrs *)p->first->call.attrs)->relu);
}

/* ReLU at the end of an operator whose attributes have a field for it. A second ReLU changes
 * nothing. */
#define JOIN_RELU(name, attributes, condition)          \
    static luc_fused name(pair *p, luc_joined *j)       \
    {                                                   \
        *j = p->first->what;                            \
        ((attributes *)(void *)j->attrs)->relu = true;  \
        return (condition) ? LUC_FUSED : LUC_NOT_FUSED; \
    }
/* The backends of other devices do not have these two yet. */
#define ON_CPU (p->first->call.device.type == LUCID_CPU)
JOIN_RELU(batch_norm_relu, lucid_batch_norm_attrs, true)
JOIN_RELU(folded_relu, lucid_conv2d_batch_norm_attrs, true)
JOIN_RELU(conv2d_relu, lucid_conv2d_attrs, ON_CPU)
JOIN_RELU(linear_relu, lucid_linear_attrs, ON_CPU)

static const struct rule {
    const lucid_op *first, *second;
    join_fn *join;
} rules[] = {
    {&luc_op_conv2d, &luc_op_batch_norm, conv2d_batch_norm},
    {&luc_op_conv2d, &luc_op_relu, conv2d_relu},
    {&luc_op_conv2d_batch_norm, &luc_op_add, folded_add},
    {&luc_op_conv2d_batch_norm, &luc_op_relu, folded_relu},
    {&luc_op_batch_norm, &luc_op_add, batch_norm_add},
    {&luc_op_batch_norm, &luc_op_relu, batch_norm_relu},
    {&luc_op_linear, &luc_op_relu, linear_relu},
};
enum { RULES = sizeof rules / sizeof *rules };

/* The operators that begin a chain: their attributes and inputs fit into a luc_joined. */
static bool may_be_first(const lucid_op *op)
{
    return op == &luc_op_conv2d || op == &luc_op_batch_norm || op == &luc_op_linear;
}

_Static_assert(sizeof(lucid_conv2d_batch_norm_attrs) <= LUC_WAITING_ATTRS, "the largest of them");

/* Only batch_norm changes inputs: its running statistics. */
void luc_leave_inputs_alone(luc_deferred *d)
{
    ((lucid_batch_norm_attrs *)(void *)d->what.attrs)->momentum = -1;
}

/* ---- the search ------------------------------------------------------------------------------ */

/* The rule for op after d, whose result is input *which. */
static const struct rule *find(const luc_deferred *d, const lucid_op *op,
                               lucid_tensor *const *inputs, int n, int *which)
{
    for (int r = 0; r < RULES; r++) {
        if (rules[r].second != op || rules[r].first != d->call.op || n > LUC_WAITING_INPUTS)
            continue;
        for (*which = 0; *which < n; ++*which)
            if (inputs[*which] == d->tensor) return &rules[r];
    }
    return NULL;
}

/* Joins op to d. */
static luc_fused join(luc_deferred *d, const lucid_op *op, lucid_tensor *const *inputs, int n,
                      const void *attrs, bool inplace, lucid_tensor **result)
{
    pair p = {.first = d, .from = d};
    const struct rule *rule = find(d, op, inputs, n, &p.which);
    if (!rule || (inplace && p.which != 0) || d->grad_off != luc_grad_off ||
        d->autocast != luc_autocast_now || !luc_deferred_hold(d))
        return LUC_NOT_FUSED;
    lucid_call second;
    luc_joined j;
    luc_fused made = LUC_FUSE_ERROR;
    if (luc_call_begin(&second, op, inputs, n, attrs)) {
        p.second = &second;
        made = rule->join(&p, &j);
        if (made == LUC_FUSED) made = luc_defer(&j, p.from, inplace, &second.out[0], result);
    }
    if (p.from && !(inplace && made == LUC_FUSED)) luc_deferred_free_hold(d);
    return made;
}

luc_fused luc_fuse_apply(const lucid_op *op, lucid_tensor *const *inputs, int n, const void *attrs,
                         lucid_tensor **outputs, bool first)
{
    luc_deferred *d = luc_deferred_last();
    luc_fused made = LUC_NOT_FUSED;
    if (d && first) made = join(d, op, inputs, n, attrs, false, outputs);
    if (made == LUC_NOT_FUSED && d && !luc_deferred_settle()) made = LUC_FUSE_ERROR;
    if (made == LUC_NOT_FUSED && first && may_be_first(op) && n == op->n_in) {
        luc_joined j = {.op = op, .n = n};
        memcpy(j.in, inputs, (size_t)n * sizeof *inputs);
        if (attrs) memcpy(j.attrs, attrs, op->attrs_size);
        made = luc_defer(&j, NULL, false, NULL, outputs);
    }
    for (int i = 0; made == LUC_FUSE_ERROR && i < (first ? 1 : op->n_out); i++) outputs[i] = NULL;
    return made;
}

luc_fused luc_fuse_inplace(const lucid_op *op, lucid_tensor *const *inputs, int n,
                           const void *attrs)
{
    luc_deferred *d = luc_deferred_last();
    lucid_tensor *result;
    return d && inputs[0] == d->tensor ? join(d, op, inputs, n, attrs, true, &result)
                                       : LUC_NOT_FUSED;
}
