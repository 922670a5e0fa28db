/* recurrent.c: RNN, LSTM and GRU over a sequence. */
#include "nn/layers/recurrent.h"
#include "autograd/ops/recurrent_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

#include <math.h>

enum { MOST_LAYERS = 10000 }; /* a wrong number is refused before the memory is full */

static luc_recurrence_kind kind_of(const lucid_module *m, lucid_nonlinearity nonlinearity)
{
    if (m->cls == &lucid_nn_lstm_class) return LUC_LSTM;
    if (m->cls == &lucid_nn_gru_class) return LUC_GRU;
    return nonlinearity == LUCID_RELU ? LUC_RNN_RELU : LUC_RNN_TANH;
}

static int64_t directions(const nn_RNNBase *b)
{
    return b->bidirectional ? 2 : 1;
}

static int64_t output_size(const nn_RNNBase *b)
{
    return b->proj_size ? b->proj_size : b->hidden_size;
}

/* "weight_ih_l1_reverse" */
static luc_text name_of(const char *what, int64_t layer, bool reverse)
{
    luc_text t;
    snprintf(t.s, sizeof t.s, "%s_l%lld%s", what, (long long)layer, reverse ? "_reverse" : "");
    return t;
}

static lucid_tensor *parameter(lucid_module *m, const char *what, int64_t layer, bool reverse)
{
    return lucid_get_parameter(m, name_of(what, layer, reverse).s);
}

/* ---- what is refused ------------------------------------------------------------------------- */

static bool bad(lucid_module *m, const char *input, const lucid_tensor *t, const char *expected)
{
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "%s: expected %s, got %s %s", input,
                     expected, lucid_dtype_name(t->view.dtype), luc_shape_text(t).s);
}

/* Whether a state, which may be absent, is [layers directions,N,n], or lacks N as the input. */
static bool check_state(lucid_module *m, const char *name, lucid_tensor *t, bool single,
                        int64_t batch, int64_t n)
{
    const nn_RNNBase *b = lucid_self(m, nn_RNNBase);
    const int64_t layers = b->num_layers * directions(b);
    luc_text expected;
    if (!t) return true;
    if (single && lucid_ndim(t) == 2 && lucid_size(t, 0) == layers && lucid_size(t, 1) == n)
        return true;
    if (!single && lucid_ndim(t) == 3 && lucid_size(t, 0) == layers && lucid_size(t, 1) == batch &&
        lucid_size(t, 2) == n)
        return true;
    if (single)
        snprintf(expected.s, sizeof expected.s, "[%lld,%lld]", (long long)layers, (long long)n);
    else
        snprintf(expected.s, sizeof expected.s, "[%lld,%lld,%lld]", (long long)layers,
                 (long long)batch, (long long)n);
    return bad(m, name, t, expected.s);
}

/* The lengths as int64 [N]; their values are checked where they can be read. */
static lucid_tensor *check_lengths(lucid_module *m, lucid_tensor *t, int64_t steps, int64_t batch)
{
    const lucid_dtype dtype = lucid_tensor_dtype(t);
    if (lucid_ndim(t) != 1 || lucid_size(t, 0) != batch ||
        (dtype != LUCID_I64 && dtype != LUCID_I32)) {
        bad(m, "lengths", t, "one integer for each sample");
        return NULL;
    }
    t = lucid_cast(t, LUCID_I64);
    for (int64_t i = 0; t && i < batch && t->storage->device.type == LUCID_CPU; i++) {
        const double length = lucid_at(t, LUCID_SHAPE(i));
        if (length >= 0 && length <= (double)steps) continue;
        return luc_raise_null(LUCID_ERR_ARGUMENT, m->cls->name,
                              "lengths: expected numbers in [0,%lld], got %g", (long long)steps,
                              length);
    }
    return t;
}

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    const nn_RNNBase *b = lucid_self(m, nn_RNNBase);
    const int ndim = lucid_ndim(x);
    luc_text expected;
    if ((ndim == 2 || ndim == 3) && lucid_size(x, -1) == b->input_size) return true;
    snprintf(expected.s, sizeof expected.s, "%s or [T,%lld]",
             b->batch_first ? "[N,T,I]" : "[T,N,I]", (long long)b->input_size);
    return bad(m, "input", x, expected.s);
}

/* ---- forward --------------------------------------------------------------------------------- */

/* What one call works on. */
typedef struct {
    lucid_module *m;
    const nn_RNNBase *b;
    luc_recurrence_kind kind;
    lucid_tensor *h0, *c0, *lengths;
    lucid_tensor **last_h, **last_c; /* of each layer and direction */
} pass;

/* The first state of a direction, [N,n]. */
static lucid_tensor *first_state(lucid_tensor *given, int64_t at, lucid_tensor *gates, int64_t n)
{
    if (given) return lucid_select(given, 0, at);
    return lucid_zeros_opt(LUCID_SHAPE(lucid_size(gates, 1), n),
                           LUC_WITH(lucid_tensor, .dtype = lucid_tensor_dtype(gates),
                                    .device = lucid_tensor_device(gates)));
}

static lucid_tensor *run_direction(pass *p, lucid_tensor *x, int64_t layer, bool reverse)
{
    const nn_RNNBase *b = p->b;
    const int64_t at = layer * directions(b) + reverse;
    luc_recurrence r = {.kind = p->kind, .reverse = reverse, .lengths = p->lengths};
    lucid_tensor *w = parameter(p->m, "weight_ih", layer, reverse), *bias = NULL, *y = NULL;
    if (!w || !(r.w_hh = parameter(p->m, "weight_hh", layer, reverse))) return NULL;
    if (b->proj_size && !(r.w_hr = parameter(p->m, "weight_hr", layer, reverse))) return NULL;
    if (b->bias) {
        bias = parameter(p->m, "bias_ih", layer, reverse);
        lucid_tensor *other = bias ? parameter(p->m, "bias_hh", layer, reverse) : NULL;
        if (!other) return NULL;
        if (p->kind == LUC_GRU) /* its part of n is multiplied by r */
            r.b_hh = other;
        else if (!(bias = lucid_add(bias, other)))
            return NULL;
    }
    lucid_tensor *gates = lucid_linear(x, w, bias);
    lucid_tensor *h = gates ? first_state(p->h0, at, gates, output_size(b)) : NULL;
    lucid_tensor *c = h ? first_state(p->c0, at, gates, b->hidden_size) : NULL;
    if (!c || !luc_recurrence_run(&r, gates, &y, &h, &c)) return NULL;
    p->last_h[at] = h;
    p->last_c[at] = c;
    return y;
}

static lucid_tensor *run_layers(pass *p, lucid_tensor *x)
{
    const nn_RNNBase *b = p->b;
    for (int64_t layer = 0; layer < b->num_layers && x; layer++) {
        if (layer > 0 && p->m->training && b->dropout > 0) x = lucid_dropout(x, b->dropout, true);
        lucid_tensor *both[2] = {x ? run_direction(p, x, layer, false) : NULL, NULL};
        if (both[0] && b->bidirectional) both[1] = run_direction(p, x, layer, true);
        if (!both[0] || (b->bidirectional && !both[1])) return NULL;
        x = b->bidirectional ? lucid_cat_list(both, 2, 2) : both[0];
    }
    return x;
}

/* The outputs from y [T,N,..] and the last states. */
static bool finish(const pass *p, lucid_tensor *y, bool single, lucid_tensor **out, int n_out)
{
    const size_t n = (size_t)(p->b->num_layers * directions(p->b));
    lucid_tensor **lists[2] = {p->last_h, p->last_c};
    if (y && single) y = lucid_squeeze(y, 1);
    if (y && !single && p->b->batch_first) y = lucid_transpose(y, 0, 1);
    out[0] = y;
    for (int i = 1; i < n_out && y; i++) {
        out[i] = lucid_stack_list(lists[i - 1], n, 0);
        if (out[i] && single) out[i] = lucid_squeeze(out[i], 1);
        if (!out[i]) return false;
    }
    return y != NULL;
}

/* The input as [T,N,I] and what belongs to it, checked. */
static lucid_tensor *prepare(pass *p, lucid_tensor *x, bool single)
{
    x = single ? lucid_unsqueeze(x, 1) : p->b->batch_first ? lucid_transpose(x, 0, 1) : x;
    if (!x) return NULL;
    const int64_t batch = lucid_size(x, 1);
    if (!check_state(p->m, "h_0", p->h0, single, batch, output_size(p->b)) ||
        !check_state(p->m, "c_0", p->c0, single, batch, p->b->hidden_size))
        return NULL;
    if (p->h0 && single && !(p->h0 = lucid_unsqueeze(p->h0, 1))) return NULL;
    if (p->c0 && single && !(p->c0 = lucid_unsqueeze(p->c0, 1))) return NULL;
    if (p->lengths && !(p->lengths = check_lengths(p->m, p->lengths, lucid_size(x, 0), batch)))
        return NULL;
    return x;
}

static bool forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                    int n_out)
{
    (void)n_in;
    const nn_RNNBase *b = lucid_self(m, nn_RNNBase);
    const bool lstm = m->cls == &lucid_nn_lstm_class, single = lucid_ndim(in[0]) == 2;
    pass p = {.m = m, .b = b, .kind = kind_of(m, b->nonlinearity), .h0 = in[1]};
    p.c0 = lstm ? in[2] : NULL;
    p.lengths = in[lstm ? 3 : 2];
    const size_t n = (size_t)(b->num_layers * directions(b));
    p.last_h = luc_calloc(2 * n, sizeof(lucid_tensor *), m->cls->name);
    if (!p.last_h) return false;
    p.last_c = p.last_h + n;
    lucid_tensor *x = prepare(&p, in[0], single);
    bool ok = x && finish(&p, run_layers(&p, x), single, out, n_out);
    luc_free(p.last_h);
    return ok;
}

static bool reset(lucid_module *m)
{
    const nn_RNNBase *b = lucid_self(m, nn_RNNBase);
    const double bound = b->hidden_size > 0 ? 1 / sqrt((double)b->hidden_size) : 0;
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    for (size_t i = 0; i < n; i++)
        if (!lucid_init_uniform(p[i].tensor, -bound, bound)) return false;
    return p != NULL;
}

static int repr(const lucid_module *m, char *text, size_t size)
{
    const nn_RNNBase *b = lucid_self(m, nn_RNNBase);
    luc_text proj = {""}, layers = {""}, dropout = {""};
    if (b->proj_size) snprintf(proj.s, sizeof proj.s, ", proj_size=%lld", (long long)b->proj_size);
    if (b->num_layers != 1)
        snprintf(layers.s, sizeof layers.s, ", num_layers=%lld", (long long)b->num_layers);
    if (b->dropout != 0)
        snprintf(dropout.s, sizeof dropout.s, ", dropout=%.32s", luc_float_text(b->dropout).s);
    return snprintf(text, size, "%lld, %lld%s%s%s%s%s%s", (long long)b->input_size,
                    (long long)b->hidden_size, proj.s, layers.s, b->bias ? "" : ", bias=False",
                    b->batch_first ? ", batch_first=True" : "", dropout.s,
                    b->bidirectional ? ", bidirectional=True" : "");
}

const lucid_module_class lucid_nn_rnn_base_class = {
    .name = "RNNBase",
    .size = sizeof(nn_RNNBase),
    .super = &lucid_module_class_base,
    .forward_many = forward,
    .inputs = "input, h_0?, lengths?",
    .outputs = "output, h_n?",
    .check_input = check_input,
    .reset_parameters = reset,
    .extra_repr = repr,
};
const lucid_module_class lucid_nn_rnn_class = {
    .name = "RNN",
    .size = sizeof(nn_RNN),
    .super = &lucid_nn_rnn_base_class,
};
const lucid_module_class lucid_nn_gru_class = {
    .name = "GRU",
    .size = sizeof(nn_GRU),
    .super = &lucid_nn_rnn_base_class,
};
const lucid_module_class lucid_nn_lstm_class = {
    .name = "LSTM",
    .size = sizeof(nn_LSTM),
    .super = &lucid_nn_rnn_base_class,
    .inputs = "input, h_0?, c_0?, lengths?",
    .outputs = "output, h_n?, c_n?",
};

/* ---- making one ------------------------------------------------------------------------------ */

static bool check_options(const char *layer, const nn_RNNBase *b)
{
    if (!luc_layer_at_least(layer, "input_size", b->input_size, 0) ||
        !luc_layer_at_least(layer, "hidden_size", b->hidden_size, 1))
        return false;
    if (b->hidden_size > INT64_MAX / 4)
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "hidden_size: expected at most %lld, got %lld",
                         (long long)(INT64_MAX / 4), (long long)b->hidden_size);
    if (b->num_layers < 1 || b->num_layers > MOST_LAYERS)
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "num_layers: expected 1 to %d, got %lld",
                         MOST_LAYERS, (long long)b->num_layers);
    if (!(b->dropout >= 0 && b->dropout <= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "dropout: expected [0,1], got %g", b->dropout);
    if (b->nonlinearity != LUCID_TANH && b->nonlinearity != LUCID_RELU)
        return luc_raise(LUCID_ERR_ARGUMENT, layer,
                         "nonlinearity: expected LUCID_TANH or LUCID_RELU, got %d",
                         (int)b->nonlinearity);
    if (b->proj_size < 0 || b->proj_size >= b->hidden_size)
        return luc_raise(LUCID_ERR_ARGUMENT, layer,
                         "proj_size: expected at least 0 and below the hidden_size %lld, got %lld",
                         (long long)b->hidden_size, (long long)b->proj_size);
    return true;
}

static bool register_direction(lucid_module *m, int64_t layer, bool reverse, lucid_device device,
                               lucid_dtype dtype)
{
    const nn_RNNBase *b = lucid_self(m, nn_RNNBase);
    const int64_t rows = luc_recurrence_gates(kind_of(m, b->nonlinearity)) * b->hidden_size;
    const int64_t out = output_size(b);
    const int64_t columns = layer ? out * directions(b) : b->input_size;
    const struct {
        const char *name;
        bool wanted;
        lucid_shape shape;
    } list[] = {{"weight_ih", true, LUCID_SHAPE(rows, columns)},
                {"weight_hh", true, LUCID_SHAPE(rows, out)},
                {"bias_ih", b->bias, LUCID_SHAPE(rows)},
                {"bias_hh", b->bias, LUCID_SHAPE(rows)},
                {"weight_hr", b->proj_size > 0, LUCID_SHAPE(out, b->hidden_size)}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (list[i].wanted && !luc_layer_parameter(m, name_of(list[i].name, layer, reverse).s, NULL,
                                                   true, list[i].shape, dtype, device))
            return false;
    return true;
}

/* A module of the class with the fields of `from`. */
static lucid_module *make(const lucid_module_class *cls, nn_RNNBase from, lucid_device device,
                          lucid_dtype dtype)
{
    if (!check_options(cls->name, &from)) return NULL;
    lucid_module *m = lucid_module_new(cls);
    nn_RNNBase *b = m ? lucid_self(m, nn_RNNBase) : NULL;
    if (!b) return NULL;
    from.base = b->base;
    *b = from;
    bool ok = true;
    for (int64_t layer = 0; layer < b->num_layers && ok; layer++)
        for (int64_t d = 0; d < directions(b) && ok; d++)
            ok = register_direction(m, layer, d == 1, device, dtype);
    return luc_layer_done(m, ok && reset(m));
}

#define FIELDS                                                                         \
    .input_size = input_size, .hidden_size = hidden_size, .num_layers = o->num_layers, \
    .bias = o->bias, .batch_first = o->batch_first, .bidirectional = o->bidirectional, \
    .dropout = o->dropout

lucid_module *lucid_nn_rnn(int64_t input_size, int64_t hidden_size,
                           const lucid_nn_rnn_options *options)
{
    const lucid_nn_rnn_options *o = LUC_OPTIONS(lucid_nn_rnn, options, "RNN");
    if (!o) return NULL;
    return make(&lucid_nn_rnn_class, (nn_RNNBase){FIELDS, .nonlinearity = o->nonlinearity},
                o->device, o->dtype);
}

lucid_module *lucid_nn_lstm(int64_t input_size, int64_t hidden_size,
                            const lucid_nn_lstm_options *options)
{
    const lucid_nn_lstm_options *o = LUC_OPTIONS(lucid_nn_lstm, options, "LSTM");
    if (!o) return NULL;
    return make(&lucid_nn_lstm_class,
                (nn_RNNBase){FIELDS, .nonlinearity = LUCID_TANH, .proj_size = o->proj_size},
                o->device, o->dtype);
}

lucid_module *lucid_nn_gru(int64_t input_size, int64_t hidden_size,
                           const lucid_nn_gru_options *options)
{
    const lucid_nn_gru_options *o = LUC_OPTIONS(lucid_nn_gru, options, "GRU");
    if (!o) return NULL;
    return make(&lucid_nn_gru_class, (nn_RNNBase){FIELDS, .nonlinearity = LUCID_TANH}, o->device,
                o->dtype);
}
