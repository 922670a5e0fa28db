/* embedding.h: a table of vectors, and a product of two vectors. Their functions are in
 * autograd/ops/embedding.h. */
#ifndef LUCID_NN_LAYERS_EMBEDDING_H
#define LUCID_NN_LAYERS_EMBEDDING_H

#include "../../autograd/ops/embedding.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_embedding_class;
LUCID_API extern const lucid_module_class lucid_nn_bilinear_class;

typedef struct nn_Embedding {
    lucid_module base;
    int64_t num_embeddings, embedding_dim;
    int64_t padding_idx;  /* in [0, num_embeddings), or LUCID_NO_PADDING */
    lucid_tensor *weight; /* [num_embeddings,embedding_dim] */
} nn_Embedding;
typedef struct nn_Bilinear {
    lucid_module base;
    int64_t in1_features, in2_features, out_features;
    lucid_tensor *weight, *bias; /* [out,in1,in2]; [out] or NULL */
} nn_Bilinear;

typedef struct lucid_nn_embedding_options {
    LUCID_OPTIONS_SIZE(lucid_nn_embedding_options);
    /* The row that begins as zeros and gets no gradient, in [-n, n); LUCID_NO_PADDING: none */
    int64_t padding_idx LUCID_DEFAULT(LUCID_NO_PADDING);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_embedding_options;
LUCID_DEFAULTS(lucid_nn_embedding, .padding_idx = LUCID_NO_PADDING, .device = {LUCID_CPU, 0},
               .dtype = LUCID_F32);

typedef struct lucid_nn_bilinear_options {
    LUCID_OPTIONS_SIZE(lucid_nn_bilinear_options);
    bool bias LUCID_DEFAULT(true);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_bilinear_options;
LUCID_DEFAULTS(lucid_nn_bilinear, .bias = true, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Integers of any sizes [...] in [0, n) become rows [...,D] of a table, whose numbers begin as
 * normal ones.
 *
 *     lucid_module *table = nn_Embedding(1000, 64, .padding_idx = 0); */
LUCID_API lucid_module *lucid_nn_embedding(int64_t num_embeddings, int64_t embedding_dim,
                                           const lucid_nn_embedding_options *options);
/* y[o] = x1 . weight[o] x2 + bias[o] of x1 [...,I] and x2 [...,J]; all parameters begin uniform in
 * +-1/sqrt(I).
 *
 *     lucid_module *m = nn_Bilinear(20, 30, 40);
 *     lucid_tensor *y = lucid_forward(m, x1, x2); */
LUCID_API lucid_module *lucid_nn_bilinear(int64_t in1_features, int64_t in2_features,
                                          int64_t out_features,
                                          const lucid_nn_bilinear_options *options);

#define nn_Embedding(...) \
    LUCID_CALL2(lucid_nn_embedding, lucid_nn_embedding, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define nn_Bilinear(...)                                                                  \
    LUCID_CALL3(lucid_nn_bilinear, lucid_nn_bilinear, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)

LUCID_END_DECLS
#endif
