/* recurrent.h: recurrent networks over sequences, and their single steps.
 *
 * Sequences are [T,N,I], with batch_first [N,T,I]; they may lack N. Names and order of parameters
 * are PyTorch's: weight_ih_l0 [G H,I], weight_hh_l0 [G H,H], bias_ih_l0 and bias_hh_l0 [G H],
 * weight_hr_l0 [P,H] with a projection; the next layer's end in _l1, those of the other direction
 * in _reverse. All begin uniform in +-1/sqrt(H).
 *
 * States are [layers directions,N,H] (h_0 of an LSTM with a projection: P instead of H), and zeros
 * where they are absent. lengths [N] of integers in [0,T] are the steps that each sample has, in
 * any order of samples, as after pack_padded_sequence: the output after them is 0, the last state
 * is that of a sample's last step, and the other direction begins there. The output keeps T steps.
 * Errors: sizes and options that are refused. */
#ifndef LUCID_NN_LAYERS_RECURRENT_H
#define LUCID_NN_LAYERS_RECURRENT_H

#include "../init.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_rnn_base_class;
LUCID_API extern const lucid_module_class lucid_nn_rnn_class;
LUCID_API extern const lucid_module_class lucid_nn_lstm_class;
LUCID_API extern const lucid_module_class lucid_nn_gru_class;
LUCID_API extern const lucid_module_class lucid_nn_rnn_cell_base_class;
LUCID_API extern const lucid_module_class lucid_nn_rnn_cell_class;
LUCID_API extern const lucid_module_class lucid_nn_lstm_cell_class;
LUCID_API extern const lucid_module_class lucid_nn_gru_cell_class;

/* Parameters are found by their names. */
typedef struct nn_RNNBase {
    lucid_module base;
    int64_t input_size, hidden_size, num_layers;
    int64_t proj_size; /* of an LSTM; 0: no projection */
    bool bias, batch_first, bidirectional;
    double dropout;
    lucid_nonlinearity nonlinearity; /* of an RNN */
} nn_RNNBase;
typedef nn_RNNBase nn_RNN;
typedef nn_RNNBase nn_LSTM;
typedef nn_RNNBase nn_GRU;

typedef struct nn_RNNCellBase {
    lucid_module base;
    int64_t input_size, hidden_size;
    lucid_nonlinearity nonlinearity;     /* of an RNNCell */
    lucid_tensor *weight_ih, *weight_hh; /* [G H,I], [G H,H] */
    lucid_tensor *bias_ih, *bias_hh;     /* [G H] or NULL */
} nn_RNNCellBase;
typedef nn_RNNCellBase nn_RNNCell;
typedef nn_RNNCellBase nn_LSTMCell;
typedef nn_RNNCellBase nn_GRUCell;

/* ---- over a sequence ------------------------------------------------------------------------- */

typedef struct lucid_nn_rnn_options {
    LUCID_OPTIONS_SIZE(lucid_nn_rnn_options);
    int64_t num_layers LUCID_DEFAULT(1);
    lucid_nonlinearity nonlinearity LUCID_DEFAULT(LUCID_TANH); /* or LUCID_RELU */
    bool bias LUCID_DEFAULT(true), batch_first LUCID_DEFAULT(false);
    double dropout LUCID_DEFAULT(0);         /* between layers, while training */
    bool bidirectional LUCID_DEFAULT(false); /* the output is [T,N,2 H] */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_rnn_options;
LUCID_DEFAULTS(lucid_nn_rnn, .num_layers = 1, .nonlinearity = LUCID_TANH, .bias = true,
               .batch_first = false, .dropout = 0, .bidirectional = false, .device = {LUCID_CPU, 0},
               .dtype = LUCID_F32);

/* h = tanh(W_ih x + b_ih + W_hh h + b_hh) (Elman, 1990). Inputs: input, h_0?, lengths?. Outputs:
 * output [T,N,H], h_n?.
 *
 *     lucid_module *rnn = nn_RNN(10, 20, .num_layers = 2);
 *     lucid_forward_into(rnn, (x, NULL, lengths), (&y, &h)); */
LUCID_API lucid_module *lucid_nn_rnn(int64_t input_size, int64_t hidden_size,
                                     const lucid_nn_rnn_options *options);
#define nn_RNN(...) LUCID_CALL2(lucid_nn_rnn, lucid_nn_rnn, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_nn_lstm_options {
    LUCID_OPTIONS_SIZE(lucid_nn_lstm_options);
    int64_t num_layers LUCID_DEFAULT(1);
    bool bias LUCID_DEFAULT(true), batch_first LUCID_DEFAULT(false);
    double dropout LUCID_DEFAULT(0);
    bool bidirectional LUCID_DEFAULT(false);
    int64_t proj_size LUCID_DEFAULT(0); /* h has this size, < hidden_size; 0: no projection */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_lstm_options;
LUCID_DEFAULTS(lucid_nn_lstm, .num_layers = 1, .bias = true, .batch_first = false, .dropout = 0,
               .bidirectional = false, .proj_size = 0, .device = {LUCID_CPU, 0},
               .dtype = LUCID_F32);

/* Long short-term memory, gates i, f, g, o (Hochreiter and Schmidhuber, 1997). Inputs: input, h_0?,
 * c_0?, lengths?. Outputs: output, h_n?, c_n?.
 *
 *     lucid_module *lstm = nn_LSTM(10, 20, .bidirectional = true);
 *     y = lucid_forward(lstm, x);
 *     lucid_forward_into(lstm, (x, h, c), (&y, &h, &c)); */
LUCID_API lucid_module *lucid_nn_lstm(int64_t input_size, int64_t hidden_size,
                                      const lucid_nn_lstm_options *options);
#define nn_LSTM(...) LUCID_CALL2(lucid_nn_lstm, lucid_nn_lstm, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_nn_gru_options {
    LUCID_OPTIONS_SIZE(lucid_nn_gru_options);
    int64_t num_layers LUCID_DEFAULT(1);
    bool bias LUCID_DEFAULT(true), batch_first LUCID_DEFAULT(false);
    double dropout LUCID_DEFAULT(0);
    bool bidirectional LUCID_DEFAULT(false);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_gru_options;
LUCID_DEFAULTS(lucid_nn_gru, .num_layers = 1, .bias = true, .batch_first = false, .dropout = 0,
               .bidirectional = false, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Gated recurrent units, gates r, z, n (Cho et al., 2014). Inputs and outputs are those of nn_RNN.
 *
 *     lucid_module *gru = nn_GRU(10, 20, .batch_first = true); */
LUCID_API lucid_module *lucid_nn_gru(int64_t input_size, int64_t hidden_size,
                                     const lucid_nn_gru_options *options);
#define nn_GRU(...) LUCID_CALL2(lucid_nn_gru, lucid_nn_gru, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* ---- one step -------------------------------------------------------------------------------- */

typedef struct lucid_nn_rnn_cell_options {
    LUCID_OPTIONS_SIZE(lucid_nn_rnn_cell_options);
    bool bias LUCID_DEFAULT(true);
    lucid_nonlinearity nonlinearity LUCID_DEFAULT(LUCID_TANH); /* or LUCID_RELU */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_rnn_cell_options;
LUCID_DEFAULTS(lucid_nn_rnn_cell, .bias = true, .nonlinearity = LUCID_TANH,
               .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);
typedef struct lucid_nn_gated_cell_options {
    LUCID_OPTIONS_SIZE(lucid_nn_gated_cell_options);
    bool bias LUCID_DEFAULT(true);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_gated_cell_options;
LUCID_DEFAULTS(lucid_nn_gated_cell, .bias = true, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* One step of a layer, of input [N,I] or [I]. Inputs: input, h?. Output: the new h [N,H]. An
 * LSTMCell has the inputs input, h?, c? and the outputs h, c?. Parameters are weight_ih, weight_hh,
 * bias_ih, bias_hh.
 *
 *     lucid_module *cell = nn_LSTMCell(10, 20);
 *     lucid_forward_into(cell, (x, h, c), (&h, &c)); */
LUCID_API lucid_module *lucid_nn_rnn_cell(int64_t input_size, int64_t hidden_size,
                                          const lucid_nn_rnn_cell_options *options);
LUCID_API lucid_module *lucid_nn_lstm_cell(int64_t input_size, int64_t hidden_size,
                                           const lucid_nn_gated_cell_options *options);
LUCID_API lucid_module *lucid_nn_gru_cell(int64_t input_size, int64_t hidden_size,
                                          const lucid_nn_gated_cell_options *options);
#define nn_RNNCell(...) \
    LUCID_CALL2(lucid_nn_rnn_cell, lucid_nn_rnn_cell, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define nn_LSTMCell(...) \
    LUCID_CALL2(lucid_nn_lstm_cell, lucid_nn_gated_cell, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define nn_GRUCell(...) \
    LUCID_CALL2(lucid_nn_gru_cell, lucid_nn_gated_cell, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
