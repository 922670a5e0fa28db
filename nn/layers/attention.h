/* attention.h: attention with several heads (Vaswani et al., 2017). Its function is in
 * autograd/ops/attention.h. */
#ifndef LUCID_NN_LAYERS_ATTENTION_H
#define LUCID_NN_LAYERS_ATTENTION_H

#include "../../autograd/ops/attention.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_multihead_attention_class;

typedef struct nn_MultiheadAttention {
    lucid_module base;
    int64_t embed_dim, num_heads, kdim, vdim;
    double dropout;
    bool batch_first, add_zero_attn, is_causal, average_attn_weights;
    lucid_tensor *in_proj_weight; /* [3 embed_dim,embed_dim], or NULL where the next three are */
    lucid_tensor *q_proj_weight, *k_proj_weight, *v_proj_weight; /* [embed_dim,...dim] or NULL */
    lucid_tensor *in_proj_bias;                                  /* [3 embed_dim] or NULL */
    lucid_tensor *bias_k, *bias_v;                               /* [1,1,embed_dim] or NULL */
    lucid_module *out_proj;                                      /* a Linear */
} nn_MultiheadAttention;

typedef struct lucid_nn_multihead_attention_options {
    LUCID_OPTIONS_SIZE(lucid_nn_multihead_attention_options);
    double dropout LUCID_DEFAULT(0);         /* of the weights, while training */
    bool bias LUCID_DEFAULT(true);           /* of the projections */
    bool add_bias_kv LUCID_DEFAULT(false);   /* a learned key and value at the end */
    bool add_zero_attn LUCID_DEFAULT(false); /* a key and value of zeros at the end */
    int64_t kdim LUCID_DEFAULT(-1), vdim LUCID_DEFAULT(-1); /* features; -1: embed_dim */
    bool batch_first LUCID_DEFAULT(false);                  /* [N,L,E] instead of [L,N,E] */
    bool average_attn_weights LUCID_DEFAULT(true); /* the second output: the mean over heads */
    bool is_causal LUCID_DEFAULT(false);           /* position l sees keys 0 to l, without a mask */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_multihead_attention_options;
LUCID_DEFAULTS(lucid_nn_multihead_attention, .dropout = 0, .bias = true, .add_bias_kv = false,
               .add_zero_attn = false, .kdim = -1, .vdim = -1, .batch_first = false,
               .average_attn_weights = true, .is_causal = false, .device = {LUCID_CPU, 0},
               .dtype = LUCID_F32);

/* Projects query, key and value, attends in num_heads parts of embed_dim, and projects the result.
 *
 * Inputs: query [L,N,E]; key [S,N,kdim] and value [S,N,vdim], which are the query and the key where
 * they are absent; key_padding_mask [N,S]; attn_mask [L,S] or [N num_heads,L,S]. As in PyTorch a
 * mask of bools says with true which keys are left out (of scaled_dot_product_attention: which take
 * part); a floating mask is added to the scores. All tensors may lack N.
 * Outputs: [L,N,E]; where they are asked for, the weights [N,L,S] or, without
 * average_attn_weights, [N,num_heads,L,S]. This is PyTorch's need_weights: without them the
 * computation is faster.
 * First values: projections uniform in Xavier's bounds, biases 0, bias_k and bias_v normal.
 * Errors: embed_dim is no multiple of num_heads; sizes.
 *
 *     lucid_module *attention = nn_MultiheadAttention(64, 4, .batch_first = true);
 *     y = lucid_forward(attention, x);
 *     lucid_forward_into(attention, (x, memory, memory, padding), (&y, &weights)); */
LUCID_API lucid_module *lucid_nn_multihead_attention(
    int64_t embed_dim, int64_t num_heads, const lucid_nn_multihead_attention_options *options);
#define nn_MultiheadAttention(...)                                                      \
    LUCID_CALL2(lucid_nn_multihead_attention, lucid_nn_multihead_attention, LUCID_ASIS, \
                LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
