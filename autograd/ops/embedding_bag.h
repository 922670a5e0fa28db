/* embedding_bag.h: rows of a table, reduced over bags of indices; sequences of several lengths in
 * one tensor. */
#ifndef LUCID_AUTOGRAD_OPS_EMBEDDING_BAG_H
#define LUCID_AUTOGRAD_OPS_EMBEDDING_BAG_H

#include "embedding.h"

LUCID_BEGIN_DECLS

typedef enum lucid_bag_mode { LUCID_BAG_SUM, LUCID_BAG_MEAN, LUCID_BAG_MAX } lucid_bag_mode;

typedef struct lucid_embedding_bag_options {
    LUCID_OPTIONS_SIZE(lucid_embedding_bag_options);
    lucid_tensor *offsets LUCID_DEFAULT(NULL); /* [B]: where each bag of a 1-d index begins */
    lucid_bag_mode mode LUCID_DEFAULT(LUCID_BAG_MEAN);
    /* Like index: the factor of each row; with LUCID_BAG_SUM only */
    lucid_tensor *per_sample_weights LUCID_DEFAULT(NULL);
    bool include_last_offset LUCID_DEFAULT(false); /* offsets end with the number of indices */
    /* The row that counts for nothing, in [-n, n); LUCID_NO_PADDING: none */
    int64_t padding_idx LUCID_DEFAULT(LUCID_NO_PADDING);
} lucid_embedding_bag_options;
LUCID_DEFAULTS(lucid_embedding_bag, .offsets = NULL, .mode = LUCID_BAG_MEAN,
               .per_sample_weights = NULL, .include_last_offset = false,
               .padding_idx = LUCID_NO_PADDING);
/* Sums, means or maxima of rows of weight [n,D]: [B,D]. index is [B,L], a bag in each row, or [N]
 * with offsets, which begin with 0 and do not fall. An empty bag gives zeros. Equal maxima share
 * the gradient. Offsets are read on the host, which waits for a device. Errors: sizes and dtypes;
 * an index that is no row; offsets out of order.
 *
 *     y = lucid_embedding_bag(index, table, .mode = LUCID_BAG_SUM); */
LUCID_API lucid_tensor *lucid_embedding_bag_opt(lucid_tensor *index, lucid_tensor *weight,
                                                const lucid_embedding_bag_options *options);
#define lucid_embedding_bag(...) \
    LUCID_CALL2(lucid_embedding_bag_opt, lucid_embedding_bag, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

typedef struct lucid_pad_sequence_options {
    LUCID_OPTIONS_SIZE(lucid_pad_sequence_options);
    bool batch_first LUCID_DEFAULT(false); /* [n,T,...] instead of [T,n,...] */
    double padding_value LUCID_DEFAULT(0);
    bool padding_left LUCID_DEFAULT(false); /* before a sequence instead of after it */
} lucid_pad_sequence_options;
LUCID_DEFAULTS(lucid_pad_sequence, .batch_first = false, .padding_value = 0, .padding_left = false);
/* n >= 1 tensors [T_i,...] of equal other sizes as one, with padding up to the longest.
 *
 *     x = lucid_pad_sequence(list, 3, .batch_first = true); */
LUCID_API lucid_tensor *lucid_pad_sequence_opt(lucid_tensor *const *tensors, size_t n,
                                               const lucid_pad_sequence_options *options);
#define lucid_pad_sequence(...) \
    LUCID_CALL2(lucid_pad_sequence_opt, lucid_pad_sequence, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
