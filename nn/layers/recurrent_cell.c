/* recurrent_cell.c: RNNCell, LSTMCell and GRUCell. */
#include "autograd/ops/recurrent_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/recurrent.h"

#include <math.h>

static luc_recurrence_kind kind_of(const lucid_module *m, lucid_nonlinearity nonlinearity)
{
    if (m->cls == &lucid_nn_lstm_cell_class) return LUC_LSTM;
    if (m->cls == &lucid_nn_gru_cell_class) return LUC_GRU;
    return nonlinearity == LUCID_RELU ? LUC_RNN_RELU : LUC_RNN_TANH;
}

static bool bad(const lucid_module *m, const char *input, const lucid_tensor *t, int64_t n)
{
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name,
                     "%s: expected [N,%lld], or [%lld] as the input, got %s", input, (long long)n,
                     (long long)n, luc_shape_text(t).s);
}

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    const nn_RNNCellBase *b = lucid_self(m, nn_RNNCellBase);
    const int ndim = lucid_ndim(x);
    return ((ndim == 1 || ndim == 2) && lucid_size(x, -1) == b->input_size) ||
           bad(m, "input", x, b->input_size);
}

/* A state [N,H]: the given one, or zeros for an input [N,I]. */
static lucid_tensor *state(lucid_module *m, const char *name, lucid_tensor *given, lucid_tensor *x,
                           bool single)
{
    const nn_RNNCellBase *b = lucid_self(m, nn_RNNCellBase);
    if (!given)
        return lucid_zeros_opt(LUCID_SHAPE(lucid_size(x, 0), b->hidden_size),
                               LUC_WITH(lucid_tensor, .dtype = lucid_tensor_dtype(x),
                                        .device = lucid_tensor_device(x)));
    const bool fits = lucid_ndim(given) == (single ? 1 : 2) &&
                      lucid_size(given, -1) == b->hidden_size &&
                      (single || lucid_size(given, 0) == lucid_size(x, 0));
    if (!fits) return bad(m, name, given, b->hidden_size) ? given : NULL;
    return single ? lucid_unsqueeze(given, 0) : given;
}

static bool forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                    int n_out)
{
    (void)n_in;
    const nn_RNNCellBase *b = lucid_self(m, nn_RNNCellBase);
    const bool single = lucid_ndim(in[0]) == 1, lstm = m->cls == &lucid_nn_lstm_cell_class;
    const luc_recurrence r = {
        .kind = kind_of(m, b->nonlinearity), .w_hh = b->weight_hh, .b_hh = b->bias_hh};
    lucid_tensor *x = single ? lucid_unsqueeze(in[0], 0) : in[0];
    lucid_tensor *h = x ? state(m, "h", in[1], x, single) : NULL;
    lucid_tensor *c = h && lstm ? state(m, "c", in[2], x, single) : NULL;
    if (!h || (lstm && !c)) return false;
    if (!luc_recurrence_step(&r, lucid_linear(x, b->weight_ih, b->bias_ih), &h, &c)) return false;
    out[0] = single ? lucid_squeeze(h, 0) : h;
    if (lstm && n_out > 1) out[1] = single ? lucid_squeeze(c, 0) : c;
    return out[0] != NULL;
}

static bool reset(lucid_module *m)
{
    const nn_RNNCellBase *b = lucid_self(m, nn_RNNCellBase);
    const double bound = 1 / sqrt((double)b->hidden_size);
    lucid_tensor *list[4] = {b->weight_ih, b->weight_hh, b->bias_ih, b->bias_hh};
    for (int i = 0; i < 4; i++)
        if (list[i] && !lucid_init_uniform(list[i], -bound, bound)) return false;
    return true;
}

static int repr(const lucid_module *m, char *text, size_t size)
{
    const nn_RNNCellBase *b = lucid_self(m, nn_RNNCellBase);
    return snprintf(text, size, "%lld, %lld%s%s", (long long)b->input_size,
                    (long long)b->hidden_size, b->bias_ih ? "" : ", bias=False",
                    b->nonlinearity == LUCID_RELU ? ", nonlinearity=relu" : "");
}

const lucid_module_class lucid_nn_rnn_cell_base_class = {
    .name = "RNNCellBase",
    .size = sizeof(nn_RNNCellBase),
    .super = &lucid_module_class_base,
    .forward_many = forward,
    .inputs = "input, h?",
    .outputs = "h",
    .check_input = check_input,
    .reset_parameters = reset,
    .extra_repr = repr,
};
const lucid_module_class lucid_nn_rnn_cell_class = {
    .name = "RNNCell",
    .size = sizeof(nn_RNNCell),
    .super = &lucid_nn_rnn_cell_base_class,
};
const lucid_module_class lucid_nn_gru_cell_class = {
    .name = "GRUCell",
    .size = sizeof(nn_GRUCell),
    .super = &lucid_nn_rnn_cell_base_class,
};
const lucid_module_class lucid_nn_lstm_cell_class = {
    .name = "LSTMCell",
    .size = sizeof(nn_LSTMCell),
    .super = &lucid_nn_rnn_cell_base_class,
    .inputs = "input, h?, c?",
    .outputs = "h, c?",
};

static lucid_module *make(const lucid_module_class *cls, int64_t input_size, int64_t hidden_size,
                          const lucid_nn_rnn_cell_options *o)
{
    if (!luc_layer_at_least(cls->name, "input_size", input_size, 0) ||
        !luc_layer_at_least(cls->name, "hidden_size", hidden_size, 1))
        return NULL;
    if (hidden_size > INT64_MAX / 4)
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name,
                              "hidden_size: expected at most %lld, got %lld",
                              (long long)(INT64_MAX / 4), (long long)hidden_size);
    if (o->nonlinearity != LUCID_TANH && o->nonlinearity != LUCID_RELU)
        return luc_raise_null(LUCID_ERR_ARGUMENT, cls->name,
                              "nonlinearity: expected LUCID_TANH or LUCID_RELU, got %d",
                              (int)o->nonlinearity);
    lucid_module *m = lucid_module_new(cls);
    nn_RNNCellBase *b = m ? lucid_self(m, nn_RNNCellBase) : NULL;
    if (!b) return NULL;
    b->input_size = input_size;
    b->hidden_size = hidden_size;
    b->nonlinearity = o->nonlinearity;
    const int64_t rows = luc_recurrence_gates(kind_of(m, o->nonlinearity)) * hidden_size;
#define PARAMETER(name, wanted, ...) \
    luc_layer_parameter(m, #name, &b->name, wanted, LUCID_SHAPE(__VA_ARGS__), o->dtype, o->device)
    bool ok = PARAMETER(weight_ih, true, rows, input_size) &&
              PARAMETER(weight_hh, true, rows, hidden_size) && PARAMETER(bias_ih, o->bias, rows) &&
              PARAMETER(bias_hh, o->bias, rows) && reset(m);
#undef PARAMETER
    return luc_layer_done(m, ok);
}

lucid_module *lucid_nn_rnn_cell(int64_t input_size, int64_t hidden_size,
                                const lucid_nn_rnn_cell_options *options)
{
    const lucid_nn_rnn_cell_options *o = LUC_OPTIONS(lucid_nn_rnn_cell, options, "RNNCell");
    return o ? make(&lucid_nn_rnn_cell_class, input_size, hidden_size, o) : NULL;
}

static lucid_module *make_gated(const lucid_module_class *cls, int64_t input_size,
                                int64_t hidden_size, const lucid_nn_gated_cell_options *options)
{
    const lucid_nn_gated_cell_options *o = LUC_OPTIONS(lucid_nn_gated_cell, options, cls->name);
    if (!o) return NULL;
    return make(cls, input_size, hidden_size,
                LUC_WITH(lucid_nn_rnn_cell, .bias = o->bias, .nonlinearity = LUCID_TANH,
                         .device = o->device, .dtype = o->dtype));
}

lucid_module *lucid_nn_lstm_cell(int64_t input_size, int64_t hidden_size,
                                 const lucid_nn_gated_cell_options *options)
{
    return make_gated(&lucid_nn_lstm_cell_class, input_size, hidden_size, options);
}

lucid_module *lucid_nn_gru_cell(int64_t input_size, int64_t hidden_size,
                                const lucid_nn_gated_cell_options *options)
{
    return make_gated(&lucid_nn_gru_cell_class, input_size, hidden_size, options);
}
