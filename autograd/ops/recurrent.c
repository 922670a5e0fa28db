/* recurrent.c: recurrent networks over a sequence, step by step, and an LSTM as one operator. */
#include "autograd/ops/recurrent_priv.h"
#include "autograd/autograd.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- one step -------------------------------------------------------------------------------- */

/* Part k of x [N,n parts]. */
static lucid_tensor *part(lucid_tensor *x, int64_t k, int64_t n)
{
    return x ? lucid_narrow(x, -1, k * n, n) : NULL;
}

/* The activations of i, f, g, o [N,4H] of their sums. */
static lucid_tensor *lstm_activations(lucid_tensor *sums, int64_t n)
{
    lucid_tensor *a[3] = {lucid_sigmoid(sums ? lucid_narrow(sums, -1, 0, 2 * n) : NULL),
                          lucid_tanh(part(sums, 2, n)), lucid_sigmoid(part(sums, 3, n))};
    return a[0] && a[1] && a[2] ? lucid_cat_list(a, 3, 1) : NULL;
}

/* c and h from the activations. */
static bool lstm_state(lucid_tensor *acts, lucid_tensor **h, lucid_tensor **c, int64_t n)
{
    *c = lucid_add(lucid_mul(part(acts, 1, n), *c), lucid_mul(part(acts, 0, n), part(acts, 2, n)));
    *h = *c ? lucid_mul(part(acts, 3, n), lucid_tanh(*c)) : NULL;
    return *h != NULL;
}

/* r and z are sigmoids, n = tanh(x_n + r h_n), h = n + z (h - n). */
static lucid_tensor *gru_state(lucid_tensor *gates, lucid_tensor *sums, lucid_tensor *h)
{
    const int64_t n = lucid_size(h, -1);
    if (!sums) return NULL;
    lucid_tensor *rz = lucid_sigmoid(
        lucid_add(lucid_narrow(gates, -1, 0, 2 * n), lucid_narrow(sums, -1, 0, 2 * n)));
    lucid_tensor *kept = rz ? lucid_mul(part(rz, 0, n), part(sums, 2, n)) : NULL;
    lucid_tensor *new = kept ? lucid_tanh(lucid_add(part(gates, 2, n), kept)) : NULL;
    return new ? lucid_add(new, lucid_mul(part(rz, 1, n), lucid_sub(h, new))) : NULL;
}

bool luc_recurrence_step(const luc_recurrence *r, lucid_tensor *gates, lucid_tensor **h,
                         lucid_tensor **c)
{
    lucid_tensor *sums = gates && *h ? lucid_linear(*h, r->w_hh, r->b_hh) : NULL;
    if (!sums) return false;
    const int64_t n = lucid_size(sums, -1) / luc_recurrence_gates(r->kind);
    if (r->kind == LUC_LSTM) {
        lucid_tensor *acts = lstm_activations(lucid_add(gates, sums), n);
        if (!acts || !lstm_state(acts, h, c, n)) return false;
        if (r->w_hr) *h = lucid_linear(*h, r->w_hr, NULL);
    } else if (r->kind == LUC_GRU) {
        *h = gru_state(gates, sums, *h);
    } else {
        sums = lucid_add(gates, sums);
        *h = r->kind == LUC_RNN_TANH ? lucid_tanh(sums) : lucid_relu(sums);
    }
    return *h != NULL;
}

/* ---- all steps ------------------------------------------------------------------------------- */

/* A list of T tensors. */
static lucid_tensor **make_list(int64_t n)
{
    return luc_calloc((size_t)n + 1, sizeof(lucid_tensor *), "recurrent");
}

/* Which samples reach step t: [N,1] of bools. */
static lucid_tensor *reaches(lucid_tensor *lengths, int64_t t)
{
    lucid_tensor *late = lucid_gt(lengths, lucid_scalar((double)t));
    return late ? lucid_unsqueeze(late, 1) : NULL;
}

static lucid_tensor *zeros_for(lucid_tensor *x, lucid_shape shape)
{
    return lucid_zeros_opt(
        shape, LUC_WITH(lucid_tensor, .dtype = x->view.dtype, .device = x->storage->device));
}

/* After a step: samples that are over keep their state, and y is 0. */
static bool hold(lucid_tensor *live, lucid_tensor **y, lucid_tensor **h, lucid_tensor *old_h,
                 lucid_tensor **c, lucid_tensor *old_c)
{
    lucid_tensor *zero = live ? zeros_for(old_h, (lucid_shape){0}) : NULL;
    if (!zero) return false;
    *y = lucid_where(live, *h, zero);
    *h = lucid_where(live, *h, old_h);
    if (old_c) *c = lucid_where(live, *c, old_c);
    return *y && *h && (!old_c || *c);
}

static bool run_steps(const luc_recurrence *r, lucid_tensor *gates, lucid_tensor **list,
                      lucid_tensor **h, lucid_tensor **c)
{
    const int64_t steps = lucid_size(gates, 0);
    for (int64_t s = 0; s < steps; s++) {
        const int64_t t = r->reverse ? steps - 1 - s : s;
        lucid_tensor *old_h = *h, *old_c = r->kind == LUC_LSTM ? *c : NULL;
        if (!luc_recurrence_step(r, lucid_select(gates, 0, t), h, c)) return false;
        list[t] = *h;
        if (r->lengths && !hold(reaches(r->lengths, t), &list[t], h, old_h, c, old_c)) return false;
    }
    return true;
}

static lucid_tensor *stacked(lucid_tensor **list, lucid_tensor *gates, int64_t n)
{
    const int64_t steps = lucid_size(gates, 0);
    return steps ? lucid_stack_list(list, (size_t)steps, 0)
                 : zeros_for(gates, LUCID_SHAPE(0, lucid_size(gates, 1), n));
}

bool luc_recurrence_run(const luc_recurrence *r, lucid_tensor *gates, lucid_tensor **y,
                        lucid_tensor **h, lucid_tensor **c)
{
    if (r->kind == LUC_LSTM && !r->w_hr && !r->b_hh) {
        const lucid_lstm_attrs attrs = {.reverse = r->reverse};
        lucid_tensor *in[5] = {gates, r->w_hh, *h, *c, r->lengths}, *out[5];
        if (!lucid_apply_multi(&luc_op_lstm, in, 5, &attrs, out)) return false;
        *y = out[0];
        *h = out[1];
        *c = out[2];
        return true;
    }
    const int64_t n = lucid_size(*h, 1);
    lucid_tensor **list = make_list(lucid_size(gates, 0));
    *y = list && run_steps(r, gates, list, h, c) ? stacked(list, gates, n) : NULL;
    luc_free(list);
    return *y != NULL;
}

/* ---- lstm ------------------------------------------------------------------------------------ */

enum { GATES, WEIGHT, H0, C0, LENGTHS };
enum { Y, HN, CN, CELLS, ACTS };

static bool want(const lucid_call *c, int i, lucid_dtype dtype, lucid_shape shape)
{
    const lucid_tensor *t = c->in[i];
    if (!t) return true;
    if (t->view.dtype == dtype &&
        luc_dims_equal(t->view.ndim, t->view.dims, shape.ndim, shape.dims))
        return true;
    return luc_bad_input(c, i, "expected %s %s", lucid_dtype_name(dtype),
                         luc_dims_text(shape.ndim, shape.dims).s);
}

/* Input 0 is [T,N,4H] of a floating dtype. */
static bool want_gates(const lucid_call *c)
{
    const lucid_view *g = &c->in[0]->view;
    if (!luc_want_floating(c, 0)) return false;
    return (g->ndim == 3 && g->dims[2] % 4 == 0) || luc_bad_input(c, 0, "expected [T,N,4H]");
}

static void set_output(lucid_call *c, int i, lucid_shape shape)
{
    luc_set_dims(c, i, c->in[0]->view.dtype, shape.ndim, shape.dims);
    luc_contiguous_strides(shape.ndim, shape.dims, c->out[i].strides);
}

static bool lstm_infer(lucid_call *c)
{
    if (!want_gates(c)) return false;
    const lucid_view *g = &c->in[GATES]->view;
    const int64_t t = g->dims[0], n = g->dims[1], h = g->dims[2] / 4;
    if (!want(c, WEIGHT, g->dtype, LUCID_SHAPE(4 * h, h)) ||
        !want(c, H0, g->dtype, LUCID_SHAPE(n, h)) || !want(c, C0, g->dtype, LUCID_SHAPE(n, h)) ||
        !want(c, LENGTHS, LUCID_I64, LUCID_SHAPE(n)))
        return false;
    set_output(c, Y, LUCID_SHAPE(t, n, h));
    set_output(c, HN, LUCID_SHAPE(n, h));
    set_output(c, CN, LUCID_SHAPE(n, h));
    set_output(c, CELLS, LUCID_SHAPE(t, n, h));
    set_output(c, ACTS, LUCID_SHAPE(t, n, 4 * h));
    return true;
}

static double lstm_flops(const lucid_call *c)
{
    const lucid_view *g = &c->in[0]->view;
    return 2 * (double)luc_dims_numel(3, g->dims) * (double)(g->dims[2] / 4);
}

/* One step of compose: the lists get what belongs to it. */
static bool compose_step(const lucid_call *call, int64_t t, lucid_tensor **h, lucid_tensor **c,
                         lucid_tensor ***lists)
{
    lucid_tensor *old_h = *h, *old_c = *c, *live = NULL, *zero = NULL;
    const int64_t n = lucid_size(*h, 1);
    lucid_tensor *sums = lucid_linear(*h, call->in[WEIGHT], NULL);
    sums = sums ? lucid_add(lucid_select(call->in[GATES], 0, t), sums) : NULL;
    lucid_tensor *acts = sums ? lstm_activations(sums, n) : NULL;
    if (!acts || !lstm_state(acts, h, c, n)) return false;
    lists[0][t] = *h;
    if (call->in[LENGTHS]) {
        live = reaches(call->in[LENGTHS], t);
        zero = live ? zeros_for(old_h, (lucid_shape){0}) : NULL;
        if (!zero || !hold(live, &lists[0][t], h, old_h, c, old_c)) return false;
        acts = lucid_where(live, acts, zero);
    }
    lists[1][t] = *c;
    lists[2][t] = acts;
    return acts != NULL;
}

static bool lstm_compose(const lucid_call *call, lucid_tensor **out)
{
    const lucid_lstm_attrs *attrs = call->attrs;
    lucid_tensor *gates = call->in[GATES], *h = call->in[H0], *c = call->in[C0];
    const int64_t steps = lucid_size(gates, 0), n = lucid_size(gates, 2) / 4;
    lucid_tensor **lists[3] = {make_list(steps), make_list(steps), make_list(steps)};
    bool ok = lists[0] && lists[1] && lists[2];
    for (int64_t s = 0; s < steps && ok; s++)
        ok = compose_step(call, attrs->reverse ? steps - 1 - s : s, &h, &c, lists);
    ok = ok && (out[Y] = stacked(lists[0], gates, n)) &&
         (out[CELLS] = stacked(lists[1], gates, n)) &&
         (out[ACTS] = stacked(lists[2], gates, 4 * n));
    out[HN] = ok ? lucid_clone(h, LUCID_CONTIGUOUS) : NULL;
    out[CN] = ok ? lucid_clone(c, LUCID_CONTIGUOUS) : NULL;
    for (int i = 0; i < 3; i++) luc_free(lists[i]);
    return out[HN] && out[CN];
}

static uint32_t lstm_saves(const lucid_call *c)
{
    return LUCID_SAVE_INPUT(WEIGHT) | LUCID_SAVE_INPUT(C0) | LUCID_SAVE_OUTPUT(CELLS) |
           LUCID_SAVE_OUTPUT(ACTS) | (c->in[LENGTHS] ? LUCID_SAVE_INPUT(LENGTHS) : 0) |
           (c->needs >> WEIGHT & 1 ? LUCID_SAVE_INPUT(H0) | LUCID_SAVE_OUTPUT(Y) : 0);
}

/* ---- its derivative, step by step ------------------------------------------------------------ */

/* What came for the outputs (NULL: nothing), what was saved, and the gradient of the state. */
typedef struct {
    lucid_tensor *dy, *dcells, *dacts;
    lucid_tensor *weight, *c0, *cells, *acts, *lengths;
    bool reverse;
    lucid_tensor *dh, *dc;
} derivative;

/* a + step t of b, where there is a b. */
static lucid_tensor *plus_step(lucid_tensor *a, lucid_tensor *b, int64_t t)
{
    return b ? lucid_add(a, lucid_select(b, 0, t)) : a;
}

/* The gradient of the sums of step t, from those of h and c; *dc becomes that of the c before. */
static lucid_tensor *step_gradient(const derivative *d, int64_t t, lucid_tensor *dh,
                                   lucid_tensor *before, lucid_tensor **dc)
{
    const int64_t n = lucid_size(d->cells, 2);
    lucid_tensor *a = lucid_select(d->acts, 0, t);
    lucid_tensor *i = part(a, 0, n), *f = part(a, 1, n), *g = part(a, 2, n), *o = part(a, 3, n);
    lucid_tensor *tc = lucid_tanh(lucid_select(d->cells, 0, t));
    lucid_tensor *slope = lucid_add_scalar(lucid_neg(lucid_square(tc)), 1);
    lucid_tensor *all = lucid_add(*dc, lucid_mul(lucid_mul(dh, o), slope));
    lucid_tensor *da[4] = {lucid_mul(all, g), lucid_mul(all, before), lucid_mul(all, i),
                           lucid_mul(dh, tc)};
    lucid_tensor *sigmoid = lucid_mul(a, lucid_add_scalar(lucid_neg(a), 1)); /* a (1 - a) */
    lucid_tensor *slopes[3] = {sigmoid ? lucid_narrow(sigmoid, -1, 0, 2 * n) : NULL,
                               lucid_add_scalar(lucid_neg(lucid_square(g)), 1),
                               part(sigmoid, 3, n)};
    if (!da[0] || !da[1] || !da[2] || !da[3] || !slopes[0] || !slopes[1] || !slopes[2]) return NULL;
    *dc = lucid_mul(all, f);
    lucid_tensor *whole = plus_step(lucid_cat_list(da, 4, 1), d->dacts, t);
    return whole && *dc ? lucid_mul(whole, lucid_cat_list(slopes, 3, 1)) : NULL;
}

static bool backward_step(derivative *d, int64_t s, lucid_tensor **list)
{
    const int64_t steps = lucid_size(d->cells, 0), t = d->reverse ? steps - 1 - s : s;
    lucid_tensor *before = s ? lucid_select(d->cells, 0, d->reverse ? t + 1 : t - 1) : d->c0;
    lucid_tensor *dh = plus_step(d->dh, d->dy, t), *dc = plus_step(d->dc, d->dcells, t), *kept = dc;
    if (!dh || !dc || !before) return false;
    list[t] = step_gradient(d, t, dh, before, &dc);
    if (!list[t]) return false;
    lucid_tensor *live = d->lengths ? reaches(d->lengths, t) : NULL;
    lucid_tensor *zero = live ? zeros_for(dc, (lucid_shape){0}) : NULL;
    if (d->lengths && !zero) return false;
    if (live) list[t] = lucid_where(live, list[t], zero);
    lucid_tensor *through = list[t] ? lucid_matmul(list[t], d->weight) : NULL;
    if (through && live) through = lucid_add(through, lucid_where(live, zero, d->dh));
    d->dc = live ? lucid_where(live, dc, kept) : dc;
    d->dh = through;
    return d->dh && d->dc;
}

/* The gradients of gates, h0 and c0. */
static bool gradients(derivative *d, lucid_tensor **out)
{
    const int64_t steps = lucid_size(d->cells, 0);
    lucid_tensor **list = make_list(steps);
    if (!d->dh) d->dh = luc_full_like(d->c0, 0);
    if (!d->dc) d->dc = luc_full_like(d->c0, 0);
    bool ok = list && d->dh && d->dc;
    for (int64_t s = steps - 1; s >= 0 && ok; s--) ok = backward_step(d, s, list);
    out[0] = ok ? stacked(list, d->acts, lucid_size(d->acts, 2)) : NULL;
    out[1] = d->dh;
    out[2] = d->dc;
    luc_free(list);
    return out[0] && out[1] && out[2];
}

/* The h before each step, [T,N,H]; what it is after a sample's length does not matter. */
static lucid_tensor *states_before(lucid_tensor *y, lucid_tensor *h0, lucid_tensor *lengths,
                                   bool reverse)
{
    const int64_t steps = lucid_size(y, 0);
    if (steps == 0) return y;
    lucid_tensor *first = lucid_unsqueeze(h0, 0);
    lucid_tensor *rest = lucid_narrow(y, 0, reverse ? 1 : 0, steps - 1);
    if (reverse && lengths && rest) { /* a sample begins at its own last step */
        lucid_tensor *t = lucid_arange_opt(1, (double)steps, 1,
                                           LUC_WITH(lucid_index, .device = y->storage->device));
        lucid_tensor *live = t ? lucid_lt(lucid_unsqueeze(t, 1), lengths) : NULL;
        rest = live ? lucid_where(lucid_unsqueeze(live, 2), rest, first) : NULL;
    }
    lucid_tensor *both[2] = {reverse ? rest : first, reverse ? first : rest};
    return first && rest ? lucid_cat_list(both, 2, 0) : NULL;
}

/* dW = the sum over steps of g^T h. */
static lucid_tensor *weight_gradient(lucid_tensor *g, lucid_tensor *before)
{
    if (!g || !before) return NULL;
    const int64_t rows = lucid_size(g, 0) * lucid_size(g, 1);
    g = lucid_reshape_opt(g, LUCID_SHAPE(rows, lucid_size(g, 2)));
    before = lucid_reshape_opt(before, LUCID_SHAPE(rows, lucid_size(before, 2)));
    return g && before ? lucid_matmul(lucid_transpose(g, 0, 1), before) : NULL;
}

/* The operator computes it where nothing is recorded and only y, h and c were used. */
static bool lstm_vjp(lucid_vjp *v)
{
    const lucid_lstm_attrs *attrs = v->attrs;
    derivative d = {.dy = v->grad_out[Y], .dcells = v->grad_out[CELLS], .dacts = v->grad_out[ACTS]};
    d.dh = v->grad_out[HN];
    d.dc = v->grad_out[CN];
    d.reverse = attrs->reverse;
    d.weight = lucid_saved_input(v, WEIGHT);
    d.c0 = lucid_saved_input(v, C0);
    d.cells = lucid_saved_output(v, CELLS);
    d.acts = lucid_saved_output(v, ACTS);
    d.lengths = lucid_has_input(v, LENGTHS) ? lucid_saved_input(v, LENGTHS) : NULL;
    lucid_tensor *out[3];
    if (!d.weight || !d.c0 || !d.cells || !d.acts) return false;
    if (lucid_is_grad_enabled() || d.dcells || d.dacts) {
        if (!gradients(&d, out)) return false;
    } else {
        lucid_tensor *in[8] = {d.acts, d.cells, d.c0, d.weight, d.dy, d.dh, d.dc, d.lengths};
        if (!lucid_apply_multi(&luc_op_lstm_backward, in, 8, attrs, out)) return false;
    }
    v->grad_in[GATES] = out[0];
    v->grad_in[H0] = out[1];
    v->grad_in[C0] = out[2];
    if (luc_needs(v, WEIGHT))
        v->grad_in[WEIGHT] =
            weight_gradient(out[0], states_before(lucid_saved_output(v, Y),
                                                  lucid_saved_input(v, H0), d.lengths, d.reverse));
    return !luc_needs(v, WEIGHT) || v->grad_in[WEIGHT];
}

/* ---- samples --------------------------------------------------------------------------------- */

static const lucid_lstm_attrs ahead = {.reverse = false}, back = {.reverse = true};
static const lucid_sample lstm_samples[] = {
    {.name = "ahead",
     .n_in = 5,
     .attrs = &ahead,
     .in = {LUC_IN3(3, 2, 12), LUC_IN2(12, 3), LUC_IN2(2, 3), LUC_IN2(2, 3), LUC_ABSENT}},
    {.name = "back",
     .n_in = 5,
     .attrs = &back,
     .in = {LUC_IN3(3, 2, 12), LUC_IN2(12, 3), LUC_IN2(2, 3), LUC_IN2(2, 3), LUC_ABSENT}},
    {.name = "lengths",
     .n_in = 5,
     .attrs = &ahead,
     .in = {LUC_IN3(4, 3, 8), LUC_IN2(8, 2), LUC_IN2(3, 2), LUC_IN2(3, 2), LUC_INDEX(5, {1, {3}})}},
    {.name = "lengths, back",
     .n_in = 5,
     .attrs = &back,
     .in = {LUC_IN3(4, 3, 8), LUC_IN2(8, 2), LUC_IN2(3, 2), LUC_IN2(3, 2), LUC_INDEX(5, {1, {3}})}},
};
static const lucid_sample lstm_bad_samples[] = {
    {.name = "gates",
     .n_in = 5,
     .attrs = &ahead,
     .error = "gates: expected [T,N,4H]",
     .in = {LUC_IN3(3, 2, 11), LUC_IN2(12, 3), LUC_IN2(2, 3), LUC_IN2(2, 3), LUC_ABSENT}},
    {.name = "weight",
     .n_in = 5,
     .attrs = &ahead,
     .error = "weight_hh: expected float32 [12,3]",
     .in = {LUC_IN3(3, 2, 12), LUC_IN2(12, 4), LUC_IN2(2, 3), LUC_IN2(2, 3), LUC_ABSENT}},
    {.name = "state",
     .n_in = 5,
     .attrs = &ahead,
     .error = "c0: expected float32 [2,3]",
     .in = {LUC_IN3(3, 2, 12), LUC_IN2(12, 3), LUC_IN2(2, 3), LUC_IN2(3, 3), LUC_ABSENT}},
    {.name = "lengths",
     .n_in = 5,
     .attrs = &ahead,
     .error = "lengths: expected int64 [2]",
     .in = {LUC_IN3(3, 2, 12), LUC_IN2(12, 3), LUC_IN2(2, 3), LUC_IN2(2, 3), LUC_IN1(2)}},
};

const lucid_op luc_op_lstm = {
    .name = "lstm",
    .schema = "gates, weight_hh, h0, c0, lengths?",
    .doc = "an LSTM over a sequence, from the input's part of its gates",
    .id = LUCID_OP_lstm,
    .n_in = 5,
    .n_out = 5,
    .flags = LUCID_OP_MIXED_DTYPES,
    .attrs_size = sizeof(lucid_lstm_attrs),
    .autocast = LUCID_AUTOCAST_LOW,
    .infer = lstm_infer,
    .flops = lstm_flops,
    .saves = lstm_saves,
    .vjp = lstm_vjp,
    .compose = lstm_compose,
    LUC_SAMPLES(lstm_samples),
    LUC_BAD_SAMPLES(lstm_bad_samples),
};

/* ---- lstm_backward --------------------------------------------------------------------------- */

enum { B_ACTS, B_CELLS, B_C0, B_WEIGHT, B_DY, B_DH, B_DC, B_LENGTHS };

static bool backward_infer(lucid_call *c)
{
    if (!want_gates(c)) return false;
    const lucid_view *g = &c->in[B_ACTS]->view;
    const int64_t t = g->dims[0], n = g->dims[1], h = g->dims[2] / 4;
    const lucid_dtype dtype = g->dtype;
    const lucid_shape all = LUCID_SHAPE(t, n, h), state = LUCID_SHAPE(n, h);
    if (!want(c, B_CELLS, dtype, all) || !want(c, B_C0, dtype, state) ||
        !want(c, B_WEIGHT, dtype, LUCID_SHAPE(4 * h, h)) || !want(c, B_DY, dtype, all) ||
        !want(c, B_DH, dtype, state) || !want(c, B_DC, dtype, state) ||
        !want(c, B_LENGTHS, LUCID_I64, LUCID_SHAPE(n)))
        return false;
    set_output(c, 0, LUCID_SHAPE(t, n, 4 * h));
    set_output(c, 1, state);
    set_output(c, 2, state);
    return true;
}

static bool backward_compose(const lucid_call *c, lucid_tensor **out)
{
    const lucid_lstm_attrs *attrs = c->attrs;
    derivative d = {.dy = c->in[B_DY],
                    .weight = c->in[B_WEIGHT],
                    .c0 = c->in[B_C0],
                    .cells = c->in[B_CELLS],
                    .acts = c->in[B_ACTS],
                    .lengths = c->in[B_LENGTHS],
                    .reverse = attrs->reverse,
                    .dh = c->in[B_DH],
                    .dc = c->in[B_DC]};
    if (!gradients(&d, out)) return false;
    for (int i = 1; i < 3; i++) out[i] = lucid_clone(out[i], LUCID_CONTIGUOUS);
    return out[1] && out[2];
}

static const lucid_sample backward_samples[] = {
    {.name = "ahead",
     .n_in = 8,
     .attrs = &ahead,
     .in = {LUC_IN3(3, 2, 12), LUC_IN3(3, 2, 3), LUC_IN2(2, 3), LUC_IN2(12, 3), LUC_IN3(3, 2, 3),
            LUC_IN2(2, 3), LUC_IN2(2, 3), LUC_ABSENT}},
    {.name = "back, lengths",
     .n_in = 8,
     .attrs = &back,
     .in = {LUC_IN3(3, 2, 12), LUC_IN3(3, 2, 3), LUC_IN2(2, 3), LUC_IN2(12, 3), LUC_IN3(3, 2, 3),
            LUC_ABSENT, LUC_IN2(2, 3), LUC_INDEX(4, {1, {2}})}},
    {.name = "the last state",
     .n_in = 8,
     .attrs = &ahead,
     .in = {LUC_IN3(3, 2, 12), LUC_IN3(3, 2, 3), LUC_IN2(2, 3), LUC_IN2(12, 3), LUC_ABSENT,
            LUC_IN2(2, 3), LUC_ABSENT, LUC_INDEX(4, {1, {2}})}},
};
static const lucid_sample backward_bad_samples[] = {
    {.name = "cells",
     .n_in = 8,
     .attrs = &ahead,
     .error = "c: expected float32 [3,2,3]",
     .in = {LUC_IN3(3, 2, 12), LUC_IN3(3, 2, 4), LUC_IN2(2, 3), LUC_IN2(12, 3), LUC_ABSENT,
            LUC_IN2(2, 3), LUC_ABSENT, LUC_ABSENT}},
};

/* lstm's derivative is not differentiated itself: what is recorded is made of other operators. */
const lucid_op luc_op_lstm_backward = {
    .name = "lstm_backward",
    .schema = "acts, c, c0, weight_hh, grad_y?, grad_h?, grad_c?, lengths?",
    .doc = "gradients of an LSTM's gates and first state",
    .id = LUCID_OP_lstm_backward,
    .n_in = 8,
    .n_out = 3,
    .flags = LUCID_OP_MIXED_DTYPES | LUCID_OP_NO_GRAD,
    .attrs_size = sizeof(lucid_lstm_attrs),
    .infer = backward_infer,
    .compose = backward_compose,
    LUC_SAMPLES(backward_samples),
    LUC_BAD_SAMPLES(backward_bad_samples),
};
