/* transformer.c: layers and stacks of encoders and decoders. */
#include "nn/layers/transformer.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/layers/dropout.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/linear.h"
#include "nn/layers/list.h"
#include "nn/layers/norms.h"
#include "nn/module_priv.h"

/* ---- parts of a layer ------------------------------------------------------------------------ */

/* The dropout of one attention's output. */
static lucid_tensor *attended(lucid_module *attention, lucid_module *dropout, lucid_tensor *x,
                              lucid_tensor *memory, lucid_tensor *padding, lucid_tensor *mask)
{
    if (!x || !memory) return NULL;
    lucid_tensor *y;
    lucid_tensor *const in[5] = {x, memory, memory, padding, mask};
    return lucid_forward_many(attention, in, 5, &y, 1) ? lucid_forward(dropout, y) : NULL;
}

static lucid_tensor *activate(lucid_transformer_activation activation, lucid_tensor *x)
{
    return activation == LUCID_TRANSFORMER_GELU ? lucid_gelu(x, false) : lucid_relu(x);
}

/* x + part(norm(x)), or norm(x + part(x)): the part has computed y. */
static lucid_tensor *residual(bool norm_first, lucid_module *norm, lucid_tensor *x, lucid_tensor *y)
{
    lucid_tensor *sum = y ? lucid_add(x, y) : NULL;
    return norm_first || !sum ? sum : lucid_forward(norm, sum);
}

static lucid_tensor *before(bool norm_first, lucid_module *norm, lucid_tensor *x)
{
    return norm_first && x ? lucid_forward(norm, x) : x;
}

/* The two linear layers, of any layer's struct. */
#define FEED_FORWARD(l, x, last)                  \
    lucid_forward(                                \
        (l)->last,                                \
        lucid_forward((l)->linear2,               \
                      lucid_forward((l)->dropout, \
                                    activate((l)->activation, lucid_forward((l)->linear1, x)))))

/* ---- layers ---------------------------------------------------------------------------------- */

static bool encoder_layer_forward(lucid_module *m, lucid_tensor *const *in, int n_in,
                                  lucid_tensor **out, int n_out)
{
    (void)n_in, (void)n_out;
    const nn_TransformerEncoderLayer *l = lucid_self(m, nn_TransformerEncoderLayer);
    lucid_tensor *x = in[0], *y = before(l->norm_first, l->norm1, x);
    y = attended(l->self_attn, l->dropout1, y, y, in[2], in[1]);
    x = residual(l->norm_first, l->norm1, x, y);
    y = before(l->norm_first, l->norm2, x);
    y = y ? FEED_FORWARD(l, y, dropout2) : NULL;
    out[0] = residual(l->norm_first, l->norm2, x, y);
    return out[0] != NULL;
}

const lucid_module_class lucid_nn_transformer_encoder_layer_class = {
    .name = "TransformerEncoderLayer",
    .size = sizeof(nn_TransformerEncoderLayer),
    .super = &lucid_module_class_base,
    .forward_many = encoder_layer_forward,
    .inputs = "src, src_mask?, src_key_padding_mask?",
};

static bool decoder_layer_forward(lucid_module *m, lucid_tensor *const *in, int n_in,
                                  lucid_tensor **out, int n_out)
{
    (void)n_in, (void)n_out;
    const nn_TransformerDecoderLayer *l = lucid_self(m, nn_TransformerDecoderLayer);
    lucid_tensor *x = in[0], *y = before(l->norm_first, l->norm1, x);
    y = attended(l->self_attn, l->dropout1, y, y, in[4], in[2]);
    x = residual(l->norm_first, l->norm1, x, y);
    y = before(l->norm_first, l->norm2, x);
    y = attended(l->multihead_attn, l->dropout2, y, in[1], in[5], in[3]);
    x = residual(l->norm_first, l->norm2, x, y);
    y = before(l->norm_first, l->norm3, x);
    y = y ? FEED_FORWARD(l, y, dropout3) : NULL;
    out[0] = residual(l->norm_first, l->norm3, x, y);
    return out[0] != NULL;
}

const lucid_module_class lucid_nn_transformer_decoder_layer_class = {
    .name = "TransformerDecoderLayer",
    .size = sizeof(nn_TransformerDecoderLayer),
    .super = &lucid_module_class_base,
    .forward_many = decoder_layer_forward,
    .inputs = "tgt, memory, tgt_mask?, memory_mask?, tgt_key_padding_mask?, "
              "memory_key_padding_mask?",
};

typedef lucid_nn_transformer_layer_options layer_options;

static bool check_layer(const layer_options *o, const char *layer, int64_t d_model)
{
    if (o->activation != LUCID_TRANSFORMER_RELU && o->activation != LUCID_TRANSFORMER_GELU)
        return luc_raise(LUCID_ERR_ARGUMENT, layer,
                         "activation: expected LUCID_TRANSFORMER_RELU or LUCID_TRANSFORMER_GELU, "
                         "got %d",
                         (int)o->activation);
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "dropout: expected [0,1], got %g", o->dropout);
    return luc_layer_at_least(layer, "dim_feedforward", o->dim_feedforward, 1) &&
           luc_layer_at_least(layer, "d_model", d_model, 1);
}

static lucid_module *make_attention(int64_t d_model, int64_t nhead, const layer_options *o,
                                    bool is_causal)
{
    return nn_MultiheadAttention(d_model, nhead, .dropout = o->dropout, .bias = o->bias,
                                 .batch_first = o->batch_first, .is_causal = is_causal,
                                 .device = o->device, .dtype = o->dtype);
}

static lucid_module *make_linear(int64_t in, int64_t out, const layer_options *o)
{
    return nn_Linear(in, out, .bias = o->bias, .device = o->device, .dtype = o->dtype);
}

static lucid_module *make_norm(int64_t d_model, const layer_options *o)
{
    return lucid_nn_layer_norm(LUCID_SHAPE(d_model),
                               LUC_WITH(lucid_nn_layer_norm, .eps = o->layer_norm_eps,
                                        .elementwise_affine = true, .bias = o->bias,
                                        .device = o->device, .dtype = o->dtype));
}

#define CHILD(name, made) lucid_register_module(m, #name, &l->name, made)

lucid_module *lucid_nn_transformer_encoder_layer(int64_t d_model, int64_t nhead,
                                                 const lucid_nn_transformer_layer_options *options)
{
    const char *layer = "TransformerEncoderLayer";
    const layer_options *o = LUC_OPTIONS(lucid_nn_transformer_layer, options, layer);
    if (!o || !check_layer(o, layer, d_model)) return NULL;
    if (o->memory_is_causal)
        return luc_raise_null(LUCID_ERR_ARGUMENT, layer,
                              "memory_is_causal: expected false, because an encoder has no memory, "
                              "got true");
    lucid_module *m = lucid_module_new(&lucid_nn_transformer_encoder_layer_class);
    nn_TransformerEncoderLayer *l = m ? lucid_self(m, nn_TransformerEncoderLayer) : NULL;
    if (!l) return NULL;
    l->norm_first = o->norm_first;
    l->activation = o->activation;
    bool ok = CHILD(self_attn, make_attention(d_model, nhead, o, o->is_causal)) &&
              CHILD(linear1, make_linear(d_model, o->dim_feedforward, o)) &&
              CHILD(dropout, nn_Dropout(.p = o->dropout)) &&
              CHILD(linear2, make_linear(o->dim_feedforward, d_model, o)) &&
              CHILD(norm1, make_norm(d_model, o)) && CHILD(norm2, make_norm(d_model, o)) &&
              CHILD(dropout1, nn_Dropout(.p = o->dropout)) &&
              CHILD(dropout2, nn_Dropout(.p = o->dropout));
    return luc_layer_done(m, ok);
}

lucid_module *lucid_nn_transformer_decoder_layer(int64_t d_model, int64_t nhead,
                                                 const lucid_nn_transformer_layer_options *options)
{
    const char *layer = "TransformerDecoderLayer";
    const layer_options *o = LUC_OPTIONS(lucid_nn_transformer_layer, options, layer);
    if (!o || !check_layer(o, layer, d_model)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_transformer_decoder_layer_class);
    nn_TransformerDecoderLayer *l = m ? lucid_self(m, nn_TransformerDecoderLayer) : NULL;
    if (!l) return NULL;
    l->norm_first = o->norm_first;
    l->activation = o->activation;
    bool ok = CHILD(self_attn, make_attention(d_model, nhead, o, o->is_causal)) &&
              CHILD(multihead_attn, make_attention(d_model, nhead, o, o->memory_is_causal)) &&
              CHILD(linear1, make_linear(d_model, o->dim_feedforward, o)) &&
              CHILD(dropout, nn_Dropout(.p = o->dropout)) &&
              CHILD(linear2, make_linear(o->dim_feedforward, d_model, o)) &&
              CHILD(norm1, make_norm(d_model, o)) && CHILD(norm2, make_norm(d_model, o)) &&
              CHILD(norm3, make_norm(d_model, o)) && CHILD(dropout1, nn_Dropout(.p = o->dropout)) &&
              CHILD(dropout2, nn_Dropout(.p = o->dropout)) &&
              CHILD(dropout3, nn_Dropout(.p = o->dropout));
    return luc_layer_done(m, ok);
}

enum { MOST_LAYERS = 10000 }; /* a wrong number is refused before the memory is full */

/* ---- stacks ---------------------------------------------------------------------------------- */

/* Runs the layers on in[0], each with the other inputs, and the norm. */
static bool run_stack(lucid_module *layers, lucid_module *norm, lucid_tensor *const *inputs,
                      int n_in, lucid_tensor **out)
{
    lucid_tensor *in[LUCID_MODULE_MAX_INPUTS];
    for (int i = 0; i < n_in; i++) in[i] = inputs[i];
    while (n_in > 1 && !in[n_in - 1]) n_in--; /* a layer of the caller may have fewer inputs */
    const size_t n = lucid_module_count(layers);
    for (size_t i = 0; i < n; i++) {
        LUCID_SCOPE;
        lucid_tensor *y;
        if (!lucid_forward_many(lucid_module_at(layers, i), in, n_in, &y, 1)) return false;
        in[0] = lucid_scope_return(y);
    }
    out[0] = norm ? lucid_forward(norm, in[0]) : in[0];
    return out[0] != NULL;
}

static bool encoder_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                            int n_out)
{
    (void)n_out;
    const nn_TransformerEncoder *e = lucid_self(m, nn_TransformerEncoder);
    return run_stack(e->layers, e->norm, in, n_in, out);
}

static bool decoder_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                            int n_out)
{
    (void)n_out;
    const nn_TransformerDecoder *d = lucid_self(m, nn_TransformerDecoder);
    return run_stack(d->layers, d->norm, in, n_in, out);
}

const lucid_module_class lucid_nn_transformer_encoder_class = {
    .name = "TransformerEncoder",
    .size = sizeof(nn_TransformerEncoder),
    .super = &lucid_module_class_base,
    .forward_many = encoder_forward,
    .inputs = "src, mask?, src_key_padding_mask?",
};

const lucid_module_class lucid_nn_transformer_decoder_class = {
    .name = "TransformerDecoder",
    .size = sizeof(nn_TransformerDecoder),
    .super = &lucid_module_class_base,
    .forward_many = decoder_forward,
    .inputs = "tgt, memory, tgt_mask?, memory_mask?, tgt_key_padding_mask?, "
              "memory_key_padding_mask?",
};

/* A ModuleList of the layer and its copies, which takes the layer. */
static lucid_module *copies(lucid_module *layer, int64_t n)
{
    lucid_module *list = lucid_nn_module_list(NULL, 0);
    bool ok = list != NULL;
    for (int64_t i = 1; i < n && ok; i++) {
        lucid_module *copy = lucid_module_copy(layer);
        ok = copy && lucid_module_list_append(list, copy);
    }
    if (ok && n > 0) return luc_layer_done(list, lucid_module_list_append(list, layer));
    luc_module_free_unclaimed(layer);
    return list ? luc_layer_done(list, ok) : NULL;
}

/* A stack of the class. Exactly one of the fields' structs is the module's. */
static lucid_module *make_stack(const lucid_module_class *cls, lucid_module *layer, int64_t n,
                                const lucid_nn_transformer_stack_options *options)
{
    const lucid_nn_transformer_stack_options *o =
        LUC_OPTIONS(lucid_nn_transformer_stack, options, cls->name);
    lucid_module *m = NULL, *norm = o ? o->norm : NULL;
    if (!layer && lucid_error_code() == LUCID_OK)
        luc_raise(LUCID_ERR_ARGUMENT, cls->name, "layer: expected a module, got NULL");
    if (layer && o && (n < 0 || n > MOST_LAYERS))
        luc_raise(LUCID_ERR_ARGUMENT, cls->name, "num_layers: expected 0 to %d, got %lld",
                  MOST_LAYERS, (long long)n);
    else if (layer && o)
        m = lucid_module_new(cls);
    if (!m) {
        if (layer) luc_module_free_unclaimed(layer);
        if (norm) luc_module_free_unclaimed(norm);
        return NULL;
    }
    const bool encoder = cls == &lucid_nn_transformer_encoder_class;
    lucid_module **layers = encoder ? &lucid_self(m, nn_TransformerEncoder)->layers
                                    : &lucid_self(m, nn_TransformerDecoder)->layers;
    lucid_module **last = encoder ? &lucid_self(m, nn_TransformerEncoder)->norm
                                  : &lucid_self(m, nn_TransformerDecoder)->norm;
    bool ok = lucid_register_module(m, "layers", layers, copies(layer, n));
    if (!ok && norm) luc_module_free_unclaimed(norm);
    return luc_layer_done(m, ok && lucid_register_module(m, "norm", last, norm));
}

lucid_module *lucid_nn_transformer_encoder(lucid_module *layer, int64_t num_layers,
                                           const lucid_nn_transformer_stack_options *options)
{
    return make_stack(&lucid_nn_transformer_encoder_class, layer, num_layers, options);
}

lucid_module *lucid_nn_transformer_decoder(lucid_module *layer, int64_t num_layers,
                                           const lucid_nn_transformer_stack_options *options)
{
    return make_stack(&lucid_nn_transformer_decoder_class, layer, num_layers, options);
}

/* ---- Transformer ----------------------------------------------------------------------------- */

static bool transformer_forward(lucid_module *m, lucid_tensor *const *in, int n_in,
                                lucid_tensor **out, int n_out)
{
    (void)n_in, (void)n_out;
    const nn_Transformer *t = lucid_self(m, nn_Transformer);
    lucid_tensor *const source[3] = {in[0], in[2], in[5]};
    lucid_tensor *memory;
    if (!lucid_forward_many(t->encoder, source, 3, &memory, 1)) return false;
    lucid_tensor *const target[6] = {in[1], memory, in[3], in[4], in[6], in[7]};
    return lucid_forward_many(t->decoder, target, 6, out, 1);
}

/* Xavier's bounds for every parameter of two or more dimensions, as PyTorch. */
static bool transformer_reset(lucid_module *m)
{
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    for (size_t i = 0; i < n; i++)
        if (lucid_ndim(p[i].tensor) > 1 && !lucid_init_xavier_uniform(p[i].tensor, 1)) return false;
    return p != NULL || n == 0;
}

const lucid_module_class lucid_nn_transformer_class = {
    .name = "Transformer",
    .size = sizeof(nn_Transformer),
    .super = &lucid_module_class_base,
    .forward_many = transformer_forward,
    .inputs = "src, tgt, src_mask?, tgt_mask?, memory_mask?, src_key_padding_mask?, "
              "tgt_key_padding_mask?, memory_key_padding_mask?",
    .reset_parameters = transformer_reset,
};

lucid_module *lucid_nn_transformer(const lucid_nn_transformer_options *options)
{
    const lucid_nn_transformer_options *o =
        LUC_OPTIONS(lucid_nn_transformer, options, "Transformer");
    lucid_module *m = o ? lucid_module_new(&lucid_nn_transformer_class) : NULL;
    nn_Transformer *l = m ? lucid_self(m, nn_Transformer) : NULL;
    if (!l) return NULL;
    l->d_model = o->d_model;
    l->nhead = o->nhead;
    l->batch_first = o->batch_first;
    layer_options each = lucid_nn_transformer_layer_defaults;
    each.dim_feedforward = o->dim_feedforward;
    each.dropout = o->dropout;
    each.activation = o->activation;
    each.layer_norm_eps = o->layer_norm_eps;
    each.batch_first = o->batch_first;
    each.norm_first = o->norm_first;
    each.bias = o->bias;
    each.is_causal = o->src_is_causal;
    each.device = o->device;
    each.dtype = o->dtype;
    lucid_module *layer = lucid_nn_transformer_encoder_layer(o->d_model, o->nhead, &each);
    bool ok = layer && CHILD(encoder, nn_TransformerEncoder(layer, o->num_encoder_layers,
                                                            .norm = make_norm(o->d_model, &each)));
    each.is_causal = o->tgt_is_causal;
    each.memory_is_causal = o->memory_is_causal;
    layer = ok ? lucid_nn_transformer_decoder_layer(o->d_model, o->nhead, &each) : NULL;
    ok = layer && CHILD(decoder, nn_TransformerDecoder(layer, o->num_decoder_layers,
                                                       .norm = make_norm(o->d_model, &each)));
    return luc_layer_done(m, ok && transformer_reset(m));
}
