/* embedding_bag.h: a table whose rows are reduced over bags. Its function is in
 * autograd/ops/embedding_bag.h. */
#ifndef LUCID_NN_LAYERS_EMBEDDING_BAG_H
#define LUCID_NN_LAYERS_EMBEDDING_BAG_H

#include "../../autograd/ops/embedding_bag.h"
#include "../module.h"

LUCID_BEGIN_DECLS

LUCID_API extern const lucid_module_class lucid_nn_embedding_bag_class;

typedef struct nn_EmbeddingBag {
    lucid_module base;
    int64_t num_embeddings, embedding_dim;
    lucid_bag_mode mode;
    bool include_last_offset;
    int64_t padding_idx;  /* in [0, num_embeddings), or LUCID_NO_PADDING */
    lucid_tensor *weight; /* [num_embeddings,embedding_dim] */
} nn_EmbeddingBag;

typedef struct lucid_nn_embedding_bag_options {
    LUCID_OPTIONS_SIZE(lucid_nn_embedding_bag_options);
    lucid_bag_mode mode LUCID_DEFAULT(LUCID_BAG_MEAN);
    bool include_last_offset LUCID_DEFAULT(false);
    /* The row that begins as zeros and counts for nothing; LUCID_NO_PADDING: none */
    int64_t padding_idx LUCID_DEFAULT(LUCID_NO_PADDING);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
} lucid_nn_embedding_bag_options;
LUCID_DEFAULTS(lucid_nn_embedding_bag, .mode = LUCID_BAG_MEAN, .include_last_offset = false,
               .padding_idx = LUCID_NO_PADDING, .device = {LUCID_CPU, 0}, .dtype = LUCID_F32);

/* Inputs: input [B,L], or [N] with offsets; offsets?; per_sample_weights?. Output: [B,D]. The table
 * begins as normal numbers.
 *
 *     lucid_module *bag = nn_EmbeddingBag(1000, 64, .mode = LUCID_BAG_SUM);
 *     y = lucid_forward(bag, index, offsets); */
LUCID_API lucid_module *lucid_nn_embedding_bag(int64_t num_embeddings, int64_t embedding_dim,
                                               const lucid_nn_embedding_bag_options *options);
#define nn_EmbeddingBag(...) \
    LUCID_CALL2(lucid_nn_embedding_bag, lucid_nn_embedding_bag, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
