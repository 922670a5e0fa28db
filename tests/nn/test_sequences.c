/* test_sequences.c: attention and transformers step by step against PyTorch, and what they
 * refuse. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/memory.h"
#include "autograd/op.h"
#include "lucid/core/attrs.h"
#include "lucid/core/tensor_priv.h"
#include "nn/nn.h"
#include "tests/reference/vectors.h"
#include "tests/testing.h"
#include "tests/tolerance.h"

/* ---- a case of tests/reference/make_sequences.py --------------------------------------------- */

static int64_t integer(const vectors_case *c, const char *key, int64_t otherwise)
{
    return vectors_int(c, key, otherwise);
}

static bool flag(const vectors_case *c, const char *key)
{
    return vectors_bool(c, key, false);
}

static lucid_module *make_attention(const vectors_case *c, lucid_dtype dtype)
{
    return nn_MultiheadAttention(
        integer(c, "embed_dim", 0), integer(c, "num_heads", 0),
        .bias = vectors_bool(c, "bias", true), .add_bias_kv = flag(c, "add_bias_kv"),
        .add_zero_attn = flag(c, "add_zero_attn"), .kdim = integer(c, "kdim", -1),
        .vdim = integer(c, "vdim", -1), .batch_first = flag(c, "batch_first"),
        .average_attn_weights = flag(c, "average"), .dtype = dtype);
}

static lucid_module *make_layer(const vectors_case *c, lucid_dtype dtype, bool decoder)
{
    const char *activation = vectors_get(c, "activation");
    lucid_nn_transformer_layer_options o = lucid_nn_transformer_layer_defaults;
    o.dim_feedforward = integer(c, "dim_feedforward", 0);
    o.dropout = vectors_double(c, "dropout", NAN);
    if (activation && strcmp(activation, "gelu") == 0) o.activation = LUCID_TRANSFORMER_GELU;
    o.layer_norm_eps = vectors_double(c, "layer_norm_eps", 1e-5);
    o.batch_first = flag(c, "batch_first");
    o.norm_first = flag(c, "norm_first");
    o.bias = vectors_bool(c, "bias", true);
    o.dtype = dtype;
    return (decoder ? lucid_nn_transformer_decoder_layer : lucid_nn_transformer_encoder_layer)(
        integer(c, "d_model", 0), integer(c, "nhead", 0), &o);
}

static lucid_module *make_stack(const vectors_case *c, lucid_dtype dtype, bool decoder)
{
    lucid_module *norm =
        flag(c, "norm") ? nn_LayerNorm(integer(c, "d_model", 0), .dtype = dtype) : NULL;
    lucid_module *layer = make_layer(c, dtype, decoder);
    const int64_t n = integer(c, "num_layers", 0);
    return decoder ? nn_TransformerDecoder(layer, n, .norm = norm)
                   : nn_TransformerEncoder(layer, n, .norm = norm);
}

static lucid_module *make_recurrent(const vectors_case *c, const char *op, lucid_dtype dtype)
{
    const int64_t in = integer(c, "input_size", 0), n = integer(c, "hidden_size", 0);
    const int64_t layers = integer(c, "num_layers", 1);
    const bool bias = vectors_bool(c, "bias", true), first = flag(c, "batch_first");
    const bool both = flag(c, "bidirectional");
    const char *shape = vectors_get(c, "nonlinearity");
    const lucid_nonlinearity f = shape && strcmp(shape, "relu") == 0 ? LUCID_RELU : LUCID_TANH;
    if (strcmp(op, "LSTMCell") == 0) return nn_LSTMCell(in, n, .bias = bias, .dtype = dtype);
    if (strcmp(op, "GRUCell") == 0) return nn_GRUCell(in, n, .bias = bias, .dtype = dtype);
    if (strcmp(op, "RNNCell") == 0)
        return nn_RNNCell(in, n, .bias = bias, .nonlinearity = f, .dtype = dtype);
    if (strcmp(op, "RNN") == 0)
        return nn_RNN(in, n, .num_layers = layers, .bias = bias, .batch_first = first,
                      .bidirectional = both, .nonlinearity = f, .dtype = dtype);
    if (strcmp(op, "GRU") == 0)
        return nn_GRU(in, n, .num_layers = layers, .bias = bias, .batch_first = first,
                      .bidirectional = both, .dtype = dtype);
    if (strcmp(op, "LSTM") == 0)
        return nn_LSTM(in, n, .num_layers = layers, .bias = bias, .batch_first = first,
                       .bidirectional = both, .proj_size = integer(c, "proj_size", 0),
                       .dtype = dtype);
    cr_assert_fail("op=%s is not known", op);
    return NULL;
}

static lucid_module *make_bag(const vectors_case *c, lucid_dtype dtype)
{
    const char *mode = vectors_get(c, "mode");
    return nn_EmbeddingBag(integer(c, "num_embeddings", 0), integer(c, "embedding_dim", 0),
                           .mode = strcmp(mode, "sum") == 0    ? LUCID_BAG_SUM
                                   : strcmp(mode, "mean") == 0 ? LUCID_BAG_MEAN
                                                               : LUCID_BAG_MAX,
                           .include_last_offset = flag(c, "include_last_offset"),
                           .padding_idx = integer(c, "padding_idx", LUCID_NO_PADDING),
                           .dtype = dtype);
}

static lucid_module *make_adaptive(const vectors_case *c, lucid_dtype dtype)
{
    lucid_shape cutoffs = {.ndim = 0};
    vectors_list(c, "cutoffs", &cutoffs);
    return nn_AdaptiveLogSoftmaxWithLoss(integer(c, "in_features", 0), integer(c, "n_classes", 0),
                                         cutoffs, .div_value = 2, .head_bias = true,
                                         .dtype = dtype);
}

static lucid_module *make(const vectors_case *c)
{
    const char *op = vectors_get(c, "op");
    const lucid_dtype dtype = vectors_dtype(vectors_get(c, "dtype"));
    if (strcmp(op, "MultiheadAttention") == 0) return make_attention(c, dtype);
    if (strcmp(op, "TransformerEncoderLayer") == 0) return make_layer(c, dtype, false);
    if (strcmp(op, "TransformerDecoderLayer") == 0) return make_layer(c, dtype, true);
    if (strcmp(op, "TransformerEncoder") == 0) return make_stack(c, dtype, false);
    if (strcmp(op, "TransformerDecoder") == 0) return make_stack(c, dtype, true);
    if (strcmp(op, "EmbeddingBag") == 0) return make_bag(c, dtype);
    if (strcmp(op, "AdaptiveLogSoftmaxWithLoss") == 0) return make_adaptive(c, dtype);
    if (strcmp(op, "Transformer") == 0)
        return nn_Transformer(.d_model = integer(c, "d_model", 0), .nhead = integer(c, "nhead", 0),
                              .num_encoder_layers = integer(c, "num_encoder_layers", 0),
                              .num_decoder_layers = integer(c, "num_decoder_layers", 0),
                              .dim_feedforward = integer(c, "dim_feedforward", 0), .dropout = 0,
                              .dtype = dtype);
    return make_recurrent(c, op, dtype);
}

static lucid_tensor *role(const vectors *v, const vectors_case *c, const char *prefix,
                          const char *name)
{
    char text[192];
    snprintf(text, sizeof text, "%s/%s%s", vectors_name(c), prefix, name);
    return vectors_has(v, text) ? vectors_tensor(v, text) : NULL;
}

static lucid_tensor *numbered(const vectors *v, const vectors_case *c, const char *prefix, int i)
{
    char number[16];
    snprintf(number, sizeof number, "%d", i);
    return role(v, c, prefix, number);
}

/* Several layers round one after the other: eight times what one sum may differ by. */
static void compare(const vectors_case *c, const char *what, const lucid_tensor *got,
                    const lucid_tensor *want)
{
    cr_assert(got, "%s: %s is NULL: %s", vectors_name(c), what, lucid_error());
    cr_assert(luc_dims_equal(got->view.ndim, got->view.dims, want->view.ndim, want->view.dims),
              "%s: %s: expected %s, got %s", vectors_name(c), what, luc_shape_text(want).s,
              luc_shape_text(got).s);
    const size_t n = (size_t)lucid_numel(want);
    double *x = malloc((n + 1) * sizeof *x), *y = malloc((n + 1) * sizeof *y), largest = 1e-3;
    lucid_to_doubles(got, x, n);
    lucid_to_doubles(want, y, n);
    for (size_t i = 0; i < n; i++)
        if (isfinite(y[i])) largest = fmax(largest, fabs(y[i]));
    tolerance t = tolerance_of(TOLERANCE_STATISTICS, lucid_tensor_dtype(want));
    t.whole *= 8;
    for (size_t i = 0; i < n; i++)
        if (!tolerance_meets(t, x[i], y[i], largest))
            cr_expect(false, "%s: %s[%zu]: expected %.17g, got %.17g", vectors_name(c), what, i,
                      y[i], x[i]);
    free(x);
    free(y);
}

static void run_case(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    enum { MOST = 8 };
    lucid_tensor *in[MOST] = {NULL}, *out[MOST] = {NULL}, *grad[MOST];
    int n_in = 0, n_out = 0;
    lucid_module *m = make(c);
    cr_assert(m, "%s: %s", vectors_name(c), lucid_error());
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    for (size_t i = 0; i < n; i++) {
        LUCID_NO_GRAD;
        lucid_tensor *value = role(v, c, "param.", p[i].name);
        cr_assert(value, "%s: PyTorch has no parameter %s", vectors_name(c), p[i].name);
        cr_assert(lucid_copy_(p[i].tensor, value), "%s", lucid_error());
    }
    for (int i = 0; i < MOST; i++) {
        if (!(in[i] = numbered(v, c, "in", i))) continue;
        n_in = i + 1;
        if (numbered(v, c, "grad_in", i)) lucid_requires_grad_(in[i], true);
    }
    while (n_out < MOST && (grad[n_out] = numbered(v, c, "grad_out", n_out))) n_out++;
    cr_assert(lucid_forward_many(m, in, n_in, out, n_out), "%s: %s", vectors_name(c),
              lucid_error());
    for (int i = 0; i < n_out; i++) compare(c, "out", out[i], numbered(v, c, "out", i));
    cr_assert(lucid_backward_multi(out, grad, (size_t)n_out, NULL), "%s: %s", vectors_name(c),
              lucid_error());
    for (int i = 0; i < n_in; i++)
        if (in[i] && lucid_requires_grad(in[i]))
            compare(c, "grad_in", lucid_tensor_grad(in[i]), numbered(v, c, "grad_in", i));
    for (size_t i = 0; i < n; i++) {
        lucid_tensor *want = role(v, c, "grad.", p[i].name);
        if (want) compare(c, p[i].name, lucid_tensor_grad(p[i].tensor), want);
    }
    lucid_module_free(m);
}

Test(sequences, against_pytorch)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    vectors *v = vectors_open("sequences");
    int cases = 0;
    for (const vectors_case *c; (c = vectors_next(v)); cases++) run_case(v, c);
    cr_expect(cases >= 100, "only %d cases", cases);
    vectors_close(v);
}

/* ---- derivatives ----------------------------------------------------------------------------- */

/* A module's outputs from its first inputs. */
typedef struct many {
    lucid_module *m;
    int n_out;
    lucid_tensor *fixed[LUCID_MODULE_MAX_INPUTS]; /* inputs after those that are varied */
    int n_fixed;
} many;

static bool apply(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    const many *f = user;
    lucid_tensor *all[LUCID_MODULE_MAX_INPUTS] = {NULL};
    for (size_t i = 0; i < n; i++) all[i] = in[i];
    for (int i = 0; i < f->n_fixed; i++) all[n + (size_t)i] = f->fixed[i];
    *n_out = (size_t)f->n_out;
    return lucid_forward_many(f->m, all, (int)n + f->n_fixed, out, f->n_out);
}

/* The first and second derivatives; frees the module. */
static void check_derivatives(many f, lucid_tensor **in, size_t n)
{
    cr_assert(f.m, "%s", lucid_error());
    for (size_t i = 0; i < n; i++) lucid_requires_grad_(in[i], true);
    cr_expect(lucid_gradcheck(apply, &f, in, n, NULL), "%s: %s", f.m->cls->name, lucid_error());
    lucid_clear_error();
    cr_expect(lucid_gradgradcheck(apply, &f, in, n, NULL), "%s, second: %s", f.m->cls->name,
              lucid_error());
    lucid_clear_error();
    lucid_module_free(f.m);
}

#define F64(...) lucid_randn((__VA_ARGS__), .dtype = LUCID_F64)

Test(sequences, derivatives)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = F64(2, 2, 4), *y = F64(3, 2, 4), *in[2] = {x, y};
    lucid_tensor *hidden = lucid_gt(F64(2, 3), 0.5);
    check_derivatives((many){nn_MultiheadAttention(4, 2, .add_bias_kv = true, .dtype = LUCID_F64),
                             2,
                             {NULL, hidden},
                             2},
                      in, 2);
    check_derivatives(
        (many){nn_MultiheadAttention(4, 2, .is_causal = true, .dtype = LUCID_F64), 1, {NULL}, 0},
        in, 1);
    check_derivatives(
        (many){nn_TransformerDecoderLayer(4, 2, .dropout = 0, .dim_feedforward = 5,
                                          .activation = LUCID_TRANSFORMER_GELU, .dtype = LUCID_F64),
               1,
               {NULL},
               0},
        in, 2);
}

Test(sequences, recurrent_derivatives)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = F64(3, 2, 2), *h = F64(2, 2, 3), *c = F64(2, 2, 3), *in[3] = {x, h, c};
    lucid_tensor *lengths = lucid_cast(lucid_values((2), 3, 1), LUCID_I64);
    check_derivatives(
        (many){nn_LSTM(2, 3, .bidirectional = true, .dtype = LUCID_F64), 3, {lengths}, 1}, in, 3);
    check_derivatives((many){nn_LSTM(2, 3, .num_layers = 2, .dtype = LUCID_F64), 3, {NULL}, 0}, in,
                      3);
    check_derivatives(
        (many){nn_GRU(2, 3, .bidirectional = true, .dtype = LUCID_F64), 2, {lengths}, 1}, in, 2);
    check_derivatives((many){nn_RNN(2, 3, .num_layers = 2, .dtype = LUCID_F64), 2, {lengths}, 1},
                      in, 2);
}

/* Weights too: through a call that puts them into the module's place. */
static bool apply_lstm(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                       void *user)
{
    (void)n;
    const lucid_lstm_attrs attrs = {.reverse = true};
    lucid_tensor *all[5];
    lucid_tensor *const args[5] = {in[0], in[1], in[2], in[3], user};
    *n_out = 1;
    bool ok = lucid_apply_multi(lucid_op_find("lstm"), args, 5, &attrs, all);
    out[0] = ok ? lucid_add(lucid_sum(lucid_square(all[0])), lucid_sum(all[1])) : NULL;
    return out[0] != NULL;
}

Test(sequences, lstm_operator)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *in[4] = {F64(3, 2, 8), F64(8, 2), F64(2, 2), F64(2, 2)};
    lucid_tensor *lengths = lucid_cast(lucid_values((2), 3, 1), LUCID_I64);
    for (int i = 0; i < 4; i++) lucid_requires_grad_(in[i], true);
    cr_expect(lucid_gradcheck(apply_lstm, lengths, in, 4, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(apply_lstm, lengths, in, 4, NULL), "%s", lucid_error());
}

/* ---- attention ------------------------------------------------------------------------------- */

static void check_text(lucid_module *m, const char *expected)
{
    char *text = lucid_module_to_string(m);
    cr_expect_str_eq(text, expected);
    free(text);
}

Test(sequences, attention)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_MultiheadAttention(4, 2), *causal;
    lucid_tensor *x = lucid_randn((3, 2, 4)), *y, *w, *z;
    check_text(m, "MultiheadAttention(\n  (out_proj): Linear(in_features=4, out_features=4, "
                  "bias=True)\n)");
    EXPECT_VALUES(lucid_get_parameter(m, "out_proj.bias"), 0, 0, {0, 0, 0, 0});
    cr_expect(lucid_max(lucid_abs(lucid_get_parameter(m, "in_proj_weight"))) != NULL);
    /* is_causal is the causal mask */
    causal = nn_MultiheadAttention(4, 2, .is_causal = true);
    lucid_state_dict *state = lucid_module_state_dict(m);
    cr_expect(lucid_load_state_dict(causal, state));
    lucid_state_dict_free(state);
    lucid_tensor *mask = lucid_causal_mask(3);
    EXPECT_VALUES(mask, 0, 0, {0, -INFINITY, -INFINITY, 0, 0, -INFINITY, 0, 0, 0});
    z = lucid_forward(m, x, NULL, NULL, NULL, mask);
    cr_expect(lucid_allclose(lucid_forward(causal, x), z, 1e-5, 1e-6, false));
    cr_expect(lucid_forward_into(causal, (x), (&y, &w)));
    EXPECT_SHAPE(w, 2, 3, 3);
    cr_expect(lucid_allclose(y, z, 1e-5, 1e-6, false));
    /* a sample whose keys are all hidden: zeros without the weights, NaN with them, as PyTorch */
    lucid_tensor *hidden = lucid_ones((2, 3), .dtype = LUCID_BOOL);
    y = lucid_forward(m, x, NULL, NULL, hidden);
    cr_expect(y && !lucid_has_nan(y));
    cr_expect(lucid_forward_into(m, (x, NULL, NULL, hidden), (&y, &w)) && lucid_has_nan(w));
    /* nothing at all */
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((3, 0, 4))), 3, 0, 4);
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((0, 2, 4)), x), 0, 2, 4);
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((3, 4))), 3, 4);
    /* dropout draws while training only */
    lucid_module *drops = nn_MultiheadAttention(4, 2, .dropout = 0.5);
    cr_expect(!lucid_equal(lucid_forward(drops, x), lucid_forward(drops, x)));
    lucid_eval(drops);
    cr_expect(lucid_equal(lucid_forward(drops, x), lucid_forward(drops, x)));
    lucid_module_free(drops);
    lucid_module_free(causal);
    lucid_module_free(m);
}

Test(sequences, attention_refuses)
{
    LUCID_SCOPE;
    lucid_module *m = nn_MultiheadAttention(4, 2);
    lucid_tensor *x = lucid_randn((3, 2, 4)), *k = lucid_randn((5, 2, 4));
    EXPECT_ERROR(nn_MultiheadAttention(5, 2), LUCID_ERR_ARGUMENT,
                 "embed_dim: expected a multiple of the 2 heads, got 5");
    EXPECT_ERROR(nn_MultiheadAttention(4, 0), LUCID_ERR_ARGUMENT, "num_heads: expected at least 1");
    EXPECT_ERROR(nn_MultiheadAttention(4, 2, .dropout = 2), LUCID_ERR_ARGUMENT,
                 "dropout: expected");
    EXPECT_ERROR(nn_MultiheadAttention(4, 2, .kdim = 0), LUCID_ERR_ARGUMENT, "kdim: expected");
    EXPECT_ERROR(lucid_forward(m, lucid_randn((4))), LUCID_ERR_ARGUMENT, "query: expected");
    EXPECT_ERROR(lucid_forward(m, x, lucid_randn((5, 2))), LUCID_ERR_ARGUMENT,
                 "key: expected as many dimensions");
    EXPECT_ERROR(lucid_forward(m, lucid_randn((3, 2, 5))), LUCID_ERR_ARGUMENT,
                 "query: expected 4 features");
    EXPECT_ERROR(lucid_forward(m, x, lucid_randn((5, 3, 4))), LUCID_ERR_ARGUMENT,
                 "key: expected 4 features and the batch of 2, got [5,3,4]");
    EXPECT_ERROR(lucid_forward(m, x, k, x), LUCID_ERR_ARGUMENT,
                 "value: expected as many positions");
    EXPECT_ERROR(lucid_forward(m, x, k, k, lucid_ones((2, 4))), LUCID_ERR_ARGUMENT,
                 "key_padding_mask: expected [2,5], got [2,4]");
    EXPECT_ERROR(lucid_forward(m, x, k, k, NULL, lucid_ones((5, 3))), LUCID_ERR_ARGUMENT,
                 "attn_mask: expected [3,5] or [4,3,5], got [5,3]");
    EXPECT_ERROR(lucid_forward(m, x, k, k, NULL, lucid_ones((3, 5), .dtype = LUCID_I64)),
                 LUCID_ERR_ARGUMENT, "attn_mask: expected bool or a floating dtype, got int64");
    lucid_module_free(m);
    lucid_tensor *q = lucid_randn((2, 4, 3, 5)), *v = lucid_randn((2, 3, 3, 5));
    EXPECT_ERROR(lucid_scaled_dot_product_attention(q, v, v, .enable_gqa = true),
                 LUCID_ERR_ARGUMENT, "expected equal numbers of heads that divide the query's 4");
    EXPECT_ERROR(lucid_scaled_dot_product_attention(q, lucid_randn((3, 4)), v), LUCID_ERR_ARGUMENT,
                 "key: expected [...,S,5], got [3,4]");
    EXPECT_ERROR(lucid_scaled_dot_product_attention(q, q, lucid_randn((4, 5))), LUCID_ERR_ARGUMENT,
                 "value: expected [...,3,Ev], got [4,5]");
    EXPECT_ERROR(lucid_scaled_dot_product_attention(q, q, lucid_cast(q, LUCID_F64)),
                 LUCID_ERR_ARGUMENT, "value: expected float32, got float64");
    EXPECT_ERROR(lucid_scaled_dot_product_attention(lucid_randn((5)), q, q), LUCID_ERR_ARGUMENT,
                 "query: expected [...,L,E], got [5]");
    EXPECT_ERROR(lucid_scaled_dot_product_attention(q, q, q, .dropout_p = -1), LUCID_ERR_ARGUMENT,
                 "dropout_p: expected [0,1], got -1");
    EXPECT_ERROR(lucid_scaled_dot_product_attention(q, q, q, .attn_mask = q, .is_causal = true),
                 LUCID_ERR_ARGUMENT, "attn_mask: expected none beside is_causal");
    EXPECT_ERROR(lucid_scaled_dot_product_attention(q, q, q, .attn_mask = q), LUCID_ERR_ARGUMENT,
                 "attn_mask: expected sizes that broadcast to [2,4,3,3], got [2,4,3,5]");
    EXPECT_ERROR(lucid_causal_mask(-1), LUCID_ERR_ARGUMENT, "causal_mask: size: expected");
}

/* ---- transformers ---------------------------------------------------------------------------- */

static size_t parameters_of(lucid_module *m)
{
    size_t n = 0;
    lucid_named_parameters(m, &n);
    return n;
}

Test(sequences, transformers)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *net =
        nn_Transformer(.d_model = 8, .nhead = 2, .num_encoder_layers = 2, .num_decoder_layers = 1,
                       .dim_feedforward = 16, .tgt_is_causal = true, .batch_first = true);
    cr_assert(net, "%s", lucid_error());
    lucid_tensor *src = lucid_randn((2, 5, 8)), *tgt = lucid_randn((2, 3, 8));
    cr_expect(lucid_get_parameter(net, "encoder.layers.1.self_attn.in_proj_weight"));
    cr_expect(lucid_get_parameter(net, "decoder.layers.0.multihead_attn.out_proj.bias"));
    cr_expect(lucid_get_parameter(net, "decoder.norm.weight"));
    cr_expect_eq(parameters_of(net), 2u * 12u + 2u + 18u + 2u);
    lucid_tensor *y = lucid_forward(net, src, tgt);
    EXPECT_SHAPE(y, 2, 3, 8);
    cr_expect(lucid_backward(lucid_sum(lucid_square(y))));
    lucid_module *copy = lucid_module_copy(net);
    lucid_eval(net);
    lucid_eval(copy);
    cr_expect(lucid_equal(lucid_forward(net, src, tgt), lucid_forward(copy, src, tgt)));
    /* the target's future is hidden */
    y = lucid_forward(net, src, tgt);
    lucid_tensor *first = lucid_forward(net, src, lucid_narrow(tgt, 1, 0, 2));
    cr_expect(lucid_allclose(lucid_narrow(y, 1, 0, 2), first, 1e-4, 1e-5, false));
    lucid_module_free(copy);
    lucid_module_free(net);
    lucid_module *none = nn_TransformerEncoder(nn_TransformerEncoderLayer(8, 2), 0);
    cr_expect(lucid_equal(lucid_forward(none, src), src));
    lucid_module_free(none);
    EXPECT_ERROR(nn_TransformerEncoder(NULL, 2, .norm = nn_LayerNorm(8)), LUCID_ERR_ARGUMENT,
                 "TransformerEncoder: layer: expected a module, got NULL");
    EXPECT_ERROR(nn_TransformerDecoder(nn_TransformerDecoderLayer(8, 2), -1), LUCID_ERR_ARGUMENT,
                 "TransformerDecoder: num_layers: expected 0 to 10000, got -1");
    EXPECT_ERROR(nn_TransformerEncoderLayer(8, 3), LUCID_ERR_ARGUMENT, "embed_dim: expected");
    EXPECT_ERROR(nn_TransformerEncoderLayer(8, 2, .memory_is_causal = true), LUCID_ERR_ARGUMENT,
                 "memory_is_causal: expected false");
    EXPECT_ERROR(nn_TransformerDecoderLayer(8, 2, .activation = 5), LUCID_ERR_ARGUMENT,
                 "activation: expected");
    EXPECT_ERROR(nn_TransformerDecoderLayer(8, 2, .dim_feedforward = 0), LUCID_ERR_ARGUMENT,
                 "dim_feedforward: expected at least 1");
    EXPECT_ERROR(nn_Transformer(.nhead = 3), LUCID_ERR_ARGUMENT, "embed_dim: expected");
}

/* ---- memory runs out ------------------------------------------------------------------------- */

static bool run_recurrent(void)
{
    LUCID_SCOPE;
    lucid_module *lstm = nn_LSTM(2, 3, .num_layers = 2, .bidirectional = true);
    lucid_module *gru = lstm ? nn_GRU(6, 2) : NULL;
    lucid_tensor *x = gru ? lucid_randn((2, 2, 2)) : NULL, *y = NULL;
    lucid_tensor *lengths = x ? lucid_ones((2), .dtype = LUCID_I64) : NULL;
    if (lengths) y = lucid_forward(lstm, x, NULL, NULL, lengths);
    if (y) y = lucid_forward(gru, y, NULL, lengths);
    bool ok = y && lucid_backward(lucid_sum(y)) && lucid_error_code() == LUCID_OK;
    lucid_module_free(gru);
    lucid_module_free(lstm);
    return ok;
}

static bool run_transformer(void)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Transformer(.d_model = 4, .nhead = 2, .num_encoder_layers = 2,
                                       .num_decoder_layers = 1, .dim_feedforward = 4);
    lucid_tensor *x = net ? lucid_randn((2, 1, 4)) : NULL, *y = NULL;
    lucid_tensor *mask = x ? lucid_causal_mask(2) : NULL;
    if (mask) y = lucid_forward(net, x, x, mask);
    bool ok = y && lucid_backward(lucid_sum(y)) && lucid_error_code() == LUCID_OK;
    lucid_module_free(net);
    return ok;
}

static void fail_each(bool (*run)(void))
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_assert(run(), "%s", lucid_error());
    for (uint64_t nth = 1;; nth++) {
        lucid_memory_fail_nth(nth);
        bool ok = run();
        bool done = lucid_memory_fail_count() < nth;
        lucid_memory_fail_nth(0);
        cr_expect(ok == done, "allocation %llu", (unsigned long long)nth);
        cr_expect(done || lucid_error_code() == LUCID_ERR_MEMORY, "allocation %llu: %s",
                  (unsigned long long)nth, lucid_error());
        lucid_clear_error();
        if (done) break;
    }
}

Test(sequences, every_allocation_of_a_transformer_fails_once)
{
    fail_each(run_transformer);
}

Test(sequences, every_allocation_of_recurrent_networks_fails_once)
{
    fail_each(run_recurrent);
}

/* ---- recurrent networks ---------------------------------------------------------------------- */

Test(sequences, recurrent)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_LSTM(10, 20, .num_layers = 2, .bias = false, .batch_first = true,
                              .dropout = 0.5, .bidirectional = true, .proj_size = 5);
    check_text(m, "LSTM(10, 20, proj_size=5, num_layers=2, bias=False, batch_first=True, "
                  "dropout=0.5, bidirectional=True)");
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    cr_expect_eq(n, 12u);
    cr_expect_str_eq(p[0].name, "weight_ih_l0");
    cr_expect_str_eq(p[2].name, "weight_hr_l0");
    cr_expect_str_eq(p[11].name, "weight_hr_l1_reverse");
    lucid_tensor *y, *h, *c, *x = lucid_randn((3, 4, 10));
    cr_expect(lucid_forward_into(m, (x), (&y, &h, &c)), "%s", lucid_error());
    EXPECT_SHAPE(y, 3, 4, 10);
    EXPECT_SHAPE(h, 4, 3, 5);
    EXPECT_SHAPE(c, 4, 3, 20);
    cr_expect(!lucid_equal(lucid_forward(m, x), y), "dropout draws while training");
    lucid_eval(m);
    y = lucid_forward(m, x);
    cr_expect(lucid_equal(lucid_forward(m, x), y));
    lucid_module *copy = lucid_module_copy(m);
    cr_expect(lucid_equal(lucid_forward(copy, x), y));
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((0, 4, 10))), 0, 4, 10);
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((3, 0, 10))), 3, 0, 10);
    lucid_module_free(copy);
    lucid_module_free(m);
    m = nn_RNNCell(2, 3, .nonlinearity = LUCID_RELU, .bias = false);
    check_text(m, "RNNCell(2, 3, bias=False, nonlinearity=relu)");
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((2))), 3);
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((0, 2))), 0, 3);
    lucid_module_free(m);
}

/* A step of a cell and a layer of one step are the same; 16-bit networks run. */
Test(sequences, recurrent_dtypes)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *lstm = nn_LSTM(3, 4, .bidirectional = true), *gru = nn_GRU(3, 4);
    lucid_tensor *x = lucid_randn((5, 2, 3)), *want = lucid_forward(lstm, x), *y;
    {
        LUCID_AUTOCAST(LUCID_BF16);
        y = lucid_forward(lstm, x);
    }
    cr_expect(y && lucid_allclose(lucid_cast(y, LUCID_F32), want, 0.05, 0.02, false), "%s",
              lucid_error());
    const lucid_dtype dtypes[] = {LUCID_F16, LUCID_BF16};
    for (int i = 0; i < 2; i++) {
        lucid_to_dtype(lstm, dtypes[i]);
        lucid_to_dtype(gru, dtypes[i]);
        y = lucid_forward(lstm, lucid_cast(x, dtypes[i]));
        cr_expect(y && lucid_tensor_dtype(y) == dtypes[i], "%s", lucid_error());
        cr_expect(lucid_allclose(lucid_cast(y, LUCID_F32), want, 0.05, 0.02, false));
        cr_expect(lucid_backward(lucid_sum(lucid_square(y))), "%s", lucid_error());
        y = lucid_forward(gru, lucid_cast(x, dtypes[i]));
        cr_expect(y && lucid_backward(lucid_sum(lucid_square(y))), "%s", lucid_error());
    }
    lucid_module_free(lstm);
    lucid_module_free(gru);
}

Test(sequences, recurrent_refuses)
{
    LUCID_SCOPE;
    lucid_module *m = nn_LSTM(3, 4), *cell = nn_GRUCell(3, 4);
    lucid_tensor *x = lucid_randn((5, 2, 3)), *h = lucid_randn((1, 2, 4));
    EXPECT_ERROR(nn_LSTM(3, 0), LUCID_ERR_ARGUMENT, "LSTM: hidden_size: expected at least 1");
    EXPECT_ERROR(nn_GRU(3, 4, .num_layers = 0), LUCID_ERR_ARGUMENT,
                 "GRU: num_layers: expected 1 to");
    EXPECT_ERROR(nn_RNN(3, 4, .dropout = NAN), LUCID_ERR_ARGUMENT, "RNN: dropout: expected");
    EXPECT_ERROR(nn_RNN(3, 4, .nonlinearity = LUCID_LEAKY_RELU), LUCID_ERR_ARGUMENT,
                 "RNN: nonlinearity: expected LUCID_TANH or LUCID_RELU");
    EXPECT_ERROR(nn_LSTM(3, 4, .proj_size = 4), LUCID_ERR_ARGUMENT, "LSTM: proj_size: expected");
    EXPECT_ERROR(nn_RNNCell(3, 4, .nonlinearity = LUCID_LEAKY_RELU), LUCID_ERR_ARGUMENT,
                 "RNNCell: nonlinearity");
    EXPECT_ERROR(nn_GRUCell(3, 0), LUCID_ERR_ARGUMENT, "GRUCell: hidden_size");
    EXPECT_ERROR(lucid_forward(m, lucid_randn((5, 2, 4))), LUCID_ERR_ARGUMENT,
                 "LSTM: input: expected [T,N,I] or [T,3], got float32 [5,2,4]");
    EXPECT_ERROR(lucid_forward(m, x, x), LUCID_ERR_ARGUMENT, "h_0: expected [1,2,4], got");
    EXPECT_ERROR(lucid_forward(m, x, h, x), LUCID_ERR_ARGUMENT, "c_0: expected [1,2,4], got");
    EXPECT_ERROR(lucid_forward(m, x, h, h, lucid_ones((2))), LUCID_ERR_ARGUMENT,
                 "lengths: expected one integer for each sample, got float32 [2]");
    EXPECT_ERROR(lucid_forward(m, x, h, h, lucid_cast(lucid_values((2), 3, 6), LUCID_I64)),
                 LUCID_ERR_ARGUMENT, "lengths: expected numbers in [0,5], got 6");
    EXPECT_ERROR(lucid_forward(cell, lucid_randn((2, 4))), LUCID_ERR_ARGUMENT, "GRUCell: input");
    EXPECT_ERROR(lucid_forward(cell, lucid_randn((2, 3)), lucid_randn((1, 4))), LUCID_ERR_ARGUMENT,
                 "GRUCell: h: expected [N,4]");
    lucid_module_free(m);
    lucid_module_free(cell);
}

/* ---- bags, padded sequences, adaptive softmax ------------------------------------------------ */

static lucid_tensor *integers_of(lucid_tensor *x)
{
    return lucid_cast(x, LUCID_I64);
}

Test(sequences, bags)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_EmbeddingBag(5, 2, .mode = LUCID_BAG_SUM, .padding_idx = -1);
    check_text(m, "EmbeddingBag(5, 2, mode='sum', padding_idx=4)");
    lucid_tensor *table = lucid_get_parameter(m, "weight"),
                 *begin = integers_of(lucid_values((2), 0, 3));
    lucid_tensor *flat = integers_of(lucid_values((4), 0, 1, 1, 4));
    lucid_tensor *rows = integers_of(lucid_values((2, 2), 0, 1, 4, 4));
    EXPECT_VALUES(lucid_select(lucid_forward(m, rows), 0, 1), 0, 0, {0, 0});
    EXPECT_VALUES(lucid_select(lucid_forward(m, flat, begin), 0, 1), 0, 0, {0, 0});
    EXPECT_SHAPE(lucid_forward(m, integers_of(lucid_zeros((0, 3)))), 0, 2);
    EXPECT_SHAPE(lucid_forward(m, integers_of(lucid_zeros((3, 0)))), 3, 2);
    EXPECT_SHAPE(lucid_forward(m, integers_of(lucid_zeros((0))), integers_of(lucid_zeros((0)))), 0,
                 2);
    EXPECT_ERROR(lucid_forward(m, flat), LUCID_ERR_ARGUMENT,
                 "index: expected [B,L] without offsets");
    EXPECT_ERROR(lucid_forward(m, rows, begin), LUCID_ERR_ARGUMENT, "index: expected [N] with");
    EXPECT_ERROR(lucid_forward(m, flat, integers_of(lucid_values((2), 1, 3))), LUCID_ERR_ARGUMENT,
                 "offsets: expected 0 at the beginning, got 1");
    EXPECT_ERROR(lucid_forward(m, flat, integers_of(lucid_values((2), 0, 9))), LUCID_ERR_ARGUMENT,
                 "offsets: expected rising numbers up to 4, got 9 after 0");
    EXPECT_ERROR(lucid_forward(m, flat, lucid_zeros((2))), LUCID_ERR_ARGUMENT,
                 "offsets: expected integers [B], got float32 [2]");
    EXPECT_ERROR(lucid_embedding_bag(rows, table, .per_sample_weights = lucid_zeros((2, 2))),
                 LUCID_ERR_ARGUMENT, "per_sample_weights: expected none");
    EXPECT_ERROR(lucid_embedding_bag(rows, table, .mode = LUCID_BAG_SUM,
                                     .per_sample_weights = lucid_zeros((2, 3))),
                 LUCID_ERR_ARGUMENT, "per_sample_weights: expected float32 [2,2]");
    EXPECT_ERROR(lucid_embedding_bag(rows, lucid_zeros((3))), LUCID_ERR_ARGUMENT,
                 "weight: expected");
    EXPECT_ERROR(nn_EmbeddingBag(5, 2, .padding_idx = 5), LUCID_ERR_ARGUMENT,
                 "padding_idx: expected");
    EXPECT_ERROR(nn_EmbeddingBag(5, 2, .mode = 7), LUCID_ERR_ARGUMENT, "mode: expected");
    lucid_module_free(m);
}

Test(sequences, padded_sequences)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *list[2] = {lucid_values((2), 1, 2), lucid_values((3), 3, 4, 5)}, *other[2];
    EXPECT_VALUES(lucid_pad_sequence(list, 2), 0, 0, {1, 3, 2, 4, 0, 5});
    EXPECT_VALUES(lucid_pad_sequence(list, 2, .batch_first = true, .padding_value = 9), 0, 0,
                  {1, 2, 9, 3, 4, 5});
    EXPECT_VALUES(lucid_pad_sequence(list, 2, .batch_first = true, .padding_left = true), 0, 0,
                  {0, 1, 2, 3, 4, 5});
    other[0] = list[0], other[1] = lucid_randn((2, 3));
    EXPECT_ERROR(lucid_pad_sequence(other, 2), LUCID_ERR_ARGUMENT, "tensors: expected [T,...]");
    EXPECT_ERROR(lucid_pad_sequence(list, 0), LUCID_ERR_ARGUMENT, "tensors: expected at least one");
}

Test(sequences, adaptive_softmax)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_AdaptiveLogSoftmaxWithLoss(8, 12, (3, 7), .div_value = 2);
    lucid_tensor *x = lucid_randn((5, 8)), *t = integers_of(lucid_values((5), 0, 11, 4, 3, 2)), *y,
                 *loss;
    lucid_tensor *all = lucid_adaptive_log_prob(m, x);
    EXPECT_SHAPE(all, 5, 12);
    EXPECT_VALUES(lucid_sum(lucid_exp(all), (1)), 1e-5, 0, {1, 1, 1, 1, 1});
    cr_expect(lucid_forward_into(m, (x, t), (&y, &loss)), "%s", lucid_error());
    lucid_tensor *want = lucid_squeeze(lucid_gather(all, 1, lucid_unsqueeze(t, 1)), 1);
    cr_expect(lucid_allclose(y, want, 1e-5, 1e-6, false));
    cr_expect(lucid_allclose(loss, lucid_neg(lucid_mean(want)), 1e-5, 1e-6, false));
    cr_expect(lucid_get_parameter(m, "tail.1.0.weight"));
    EXPECT_SHAPE(lucid_forward(m, lucid_randn((0, 8)), integers_of(lucid_zeros((0)))), 0);
    EXPECT_SHAPE(lucid_adaptive_log_prob(m, lucid_randn((8))), 12);
    EXPECT_ERROR(lucid_forward(m, x, lucid_add(t, 1)), LUCID_ERR_ARGUMENT,
                 "target: expected classes in [0,12), got 12");
    EXPECT_ERROR(lucid_forward(m, x, lucid_randn((5))), LUCID_ERR_ARGUMENT,
                 "target: expected a class");
    EXPECT_ERROR(lucid_forward(m, lucid_randn((5, 7)), t), LUCID_ERR_ARGUMENT,
                 "input: expected [N,8]");
    EXPECT_ERROR(nn_AdaptiveLogSoftmaxWithLoss(8, 12, (7, 3)), LUCID_ERR_ARGUMENT,
                 "cutoffs: expected");
    EXPECT_ERROR(nn_AdaptiveLogSoftmaxWithLoss(8, 12, (3, 12)), LUCID_ERR_ARGUMENT,
                 "cutoffs: expected");
    EXPECT_ERROR(nn_AdaptiveLogSoftmaxWithLoss(8, 12, (3, 7), .div_value = 0), LUCID_ERR_ARGUMENT,
                 "div_value: expected");
    EXPECT_ERROR(nn_AdaptiveLogSoftmaxWithLoss(8, 12, (3, 7)), LUCID_ERR_ARGUMENT,
                 "in_features / div_value^clusters: expected at least 1, got 0");
    lucid_module_free(m);
}
