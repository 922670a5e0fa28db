/* transformer.h: layers and stacks of encoders and decoders (Vaswani et al., "Attention Is All You
 * Need", 2017).
 *
 * Sequences are [L,N,E], with batch_first [N,L,E]; they may lack N. Masks are those of
 * nn_MultiheadAttention: of bools, where true leaves a key out, or floating numbers that are added
 * to the scores; the mask of a sequence is [L,L], that of the memory [L,S], padding masks are [N,L]
 * and [N,S]. Inputs whose names end in "?" may be NULL or left out. Names of parameters are
 * PyTorch's. */
#ifndef LUCID_NN_LAYERS_TRANSFORMER_H
#define LUCID_NN_LAYERS_TRANSFORMER_H

#include "attention.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_transformer_encoder_layer_class;
LUCID_API extern const lucid_module_class lucid_nn_transformer_decoder_layer_class;
LUCID_API extern const lucid_module_class lucid_nn_transformer_encoder_class;
LUCID_API extern const lucid_module_class lucid_nn_transformer_decoder_class;
LUCID_API extern const lucid_module_class lucid_nn_transformer_class;

typedef enum lucid_transformer_activation {
    LUCID_TRANSFORMER_RELU,
    LUCID_TRANSFORMER_GELU
} lucid_transformer_activation;

typedef struct nn_TransformerEncoderLayer {
    lucid_module base;
    bool norm_first;
    lucid_transformer_activation activation;
    lucid_module *self_attn, *linear1, *dropout, *linear2, *norm1, *norm2, *dropout1, *dropout2;
} nn_TransformerEncoderLayer;
typedef struct nn_TransformerDecoderLayer {
    lucid_module base;
    bool norm_first;
    lucid_transformer_activation activation;
    lucid_module *self_attn, *multihead_attn, *linear1, *dropout, *linear2;
    lucid_module *norm1, *norm2, *norm3, *dropout1, *dropout2, *dropout3;
} nn_TransformerDecoderLayer;
typedef struct nn_TransformerEncoder {
    lucid_module base;
    lucid_module *layers, *norm; /* a ModuleList; NULL where there is none */
} nn_TransformerEncoder;
typedef struct nn_TransformerDecoder {
    lucid_module base;
    lucid_module *layers, *norm;
} nn_TransformerDecoder;
typedef struct nn_Transformer {
    lucid_module base;
    int64_t d_model, nhead;
    bool batch_first;
    lucid_module *encoder, *decoder;
} nn_Transformer;

typedef struct lucid_nn_transformer_layer_options {
    LUCID_OPTIONS_SIZE(lucid_nn_transformer_layer_options);
    int64_t dim_feedforward LUCID_DEFAULT(2048); /* features between the two linear layers */
    double dropout LUCID_DEFAULT(0.1);
    lucid_transformer_activation activation LUCID_DEFAULT(LUCID_TRANSFORMER_RELU);
    double layer_norm_eps LUCID_DEFAULT(1e-5);
    bool batch_first LUCID_DEFAULT(false);
    bool norm_first LUCID_DEFAULT(false);       /* normalise before each part instead of after it */
    bool bias LUCID_DEFAULT(true);              /* of the linear layers and norms */
    bool is_causal LUCID_DEFAULT(false);        /* position l of the sequence sees 0 to l */
    bool memory_is_causal LUCID_DEFAULT(false); /* position l sees 0 to l of the memory */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_transformer_layer_options;
LUCID_DEFAULTS(lucid_nn_transformer_layer, .dim_feedforward = 2048, .dropout = 0.1,
               .activation = LUCID_TRANSFORMER_RELU, .layer_norm_eps = 1e-5, .batch_first = false,
               .norm_first = false, .bias = true, .is_causal = false, .memory_is_causal = false,
               .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Attention within a sequence, then two linear layers; each with a residual and a LayerNorm.
 * Inputs: src, src_mask?, src_key_padding_mask?. Output: like src. Errors: sizes and options.
 *
 *     lucid_module *layer = nn_TransformerEncoderLayer(512, 8, .batch_first = true); */
LUCID_API lucid_module *lucid_nn_transformer_encoder_layer(
    int64_t d_model, int64_t nhead, const lucid_nn_transformer_layer_options *options);
#define nn_TransformerEncoderLayer(...)                                                     \
    LUCID_CALL2(lucid_nn_transformer_encoder_layer, lucid_nn_transformer_layer, LUCID_ASIS, \
                LUCID_ASIS, __VA_ARGS__)

/* The same with attention to the encoder's output in the middle.
 * Inputs: tgt, memory, tgt_mask?, memory_mask?, tgt_key_padding_mask?, memory_key_padding_mask?.
 *
 *     lucid_module *layer = nn_TransformerDecoderLayer(512, 8, .is_causal = true);
 *     y = lucid_forward(layer, tgt, memory); */
LUCID_API lucid_module *lucid_nn_transformer_decoder_layer(
    int64_t d_model, int64_t nhead, const lucid_nn_transformer_layer_options *options);
#define nn_TransformerDecoderLayer(...)                                                     \
    LUCID_CALL2(lucid_nn_transformer_decoder_layer, lucid_nn_transformer_layer, LUCID_ASIS, \
                LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_nn_transformer_stack_options {
    LUCID_OPTIONS_SIZE(lucid_nn_transformer_stack_options);
    lucid_module *norm LUCID_DEFAULT(NULL); /* of the result; NULL: none */
} lucid_nn_transformer_stack_options;
LUCID_DEFAULTS(lucid_nn_transformer_stack, .norm = NULL);

/* num_layers (0 to 10000) copies of a layer, one after the other, as layers.0, layers.1 and so on,
 * and the norm. They take ownership of layer and norm, and free both after an error; all layers
 * begin with the same numbers, as PyTorch's. Inputs and outputs are the layer's; the masks go to
 * every layer.
 *
 *     lucid_module *encoder =
 *         nn_TransformerEncoder(nn_TransformerEncoderLayer(512, 8), 6, .norm = nn_LayerNorm(512));
 *     y = lucid_forward(encoder, src, mask); */
LUCID_API lucid_module *lucid_nn_transformer_encoder(
    lucid_module *layer, int64_t num_layers, const lucid_nn_transformer_stack_options *options);
#define nn_TransformerEncoder(...)                                                                \
    LUCID_CALL2(lucid_nn_transformer_encoder, lucid_nn_transformer_stack, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)
LUCID_API lucid_module *lucid_nn_transformer_decoder(
    lucid_module *layer, int64_t num_layers, const lucid_nn_transformer_stack_options *options);
#define nn_TransformerDecoder(...)                                                                \
    LUCID_CALL2(lucid_nn_transformer_decoder, lucid_nn_transformer_stack, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)

typedef struct lucid_nn_transformer_options {
    LUCID_OPTIONS_SIZE(lucid_nn_transformer_options);
    int64_t d_model LUCID_DEFAULT(512), nhead LUCID_DEFAULT(8);
    int64_t num_encoder_layers LUCID_DEFAULT(6), num_decoder_layers LUCID_DEFAULT(6);
    int64_t dim_feedforward LUCID_DEFAULT(2048);
    double dropout LUCID_DEFAULT(0.1);
    lucid_transformer_activation activation LUCID_DEFAULT(LUCID_TRANSFORMER_RELU);
    double layer_norm_eps LUCID_DEFAULT(1e-5);
    bool batch_first LUCID_DEFAULT(false), norm_first LUCID_DEFAULT(false);
    bool bias LUCID_DEFAULT(true);
    /* position l sees 0 to l: of the source, of the target, of the memory */
    bool src_is_causal LUCID_DEFAULT(false), tgt_is_causal LUCID_DEFAULT(false);
    bool memory_is_causal LUCID_DEFAULT(false);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_transformer_options;
LUCID_DEFAULTS(lucid_nn_transformer, .d_model = 512, .nhead = 8, .num_encoder_layers = 6,
               .num_decoder_layers = 6, .dim_feedforward = 2048, .dropout = 0.1,
               .activation = LUCID_TRANSFORMER_RELU, .layer_norm_eps = 1e-5, .batch_first = false,
               .norm_first = false, .bias = true, .src_is_causal = false, .tgt_is_causal = false,
               .memory_is_causal = false, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* An encoder and a decoder, each with a LayerNorm at its end.
 * Inputs: src, tgt, src_mask?, tgt_mask?, memory_mask?, src_key_padding_mask?,
 * tgt_key_padding_mask?, memory_key_padding_mask?. Output: like tgt.
 * First values: all parameters of two or more dimensions uniform in Xavier's bounds.
 *
 *     lucid_module *net = nn_Transformer(.d_model = 64, .nhead = 4, .tgt_is_causal = true);
 *     y = lucid_forward(net, src, tgt); */
LUCID_API lucid_module *lucid_nn_transformer(const lucid_nn_transformer_options *options);
#define nn_Transformer(...) LUCID_CALL0(lucid_nn_transformer, lucid_nn_transformer, __VA_ARGS__)

LUCID_END_DECLS
#endif
