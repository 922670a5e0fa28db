/* embedding.h: rows of a table, products of two vectors, and dropout of whole channels.
 *
 * Differentiable any number of times. Errors: sizes, dtypes or options that do not fit; NULL
 * then. Thread-safe; what is random uses the default generator. */
#ifndef LUCID_AUTOGRAD_OPS_EMBEDDING_H
#define LUCID_AUTOGRAD_OPS_EMBEDDING_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

#define LUCID_NO_PADDING INT64_MIN

typedef struct lucid_embedding_options {
    LUCID_OPTIONS_SIZE(lucid_embedding_options);
    /* The row that gets no gradient, in [-n, n); LUCID_NO_PADDING: none */
    int64_t padding_idx LUCID_DEFAULT(LUCID_NO_PADDING);
} lucid_embedding_options;
LUCID_DEFAULTS(lucid_embedding, .padding_idx = LUCID_NO_PADDING);
/* The rows of weight [n,D] that index (integers of any sizes) names: [...,D]. An index out of
 * [0, n) is an error. */
LUCID_API lucid_tensor *lucid_embedding_opt(lucid_tensor *index, lucid_tensor *weight,
                                            const lucid_embedding_options *options);
#define lucid_embedding(...) \
    LUCID_CALL2(lucid_embedding_opt, lucid_embedding, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* y[o] = x1 . weight[o] x2 + bias[o]: x1 [...,I], x2 [...,J], weight [O,I,J], bias [O] or NULL. */
LUCID_API lucid_tensor *lucid_bilinear(lucid_tensor *x1, lucid_tensor *x2, lucid_tensor *weight,
                                       lucid_tensor *bias);

/* As lucid_dropout, but each channel of x [N,C,...] is dropped or kept as a whole (Tompson et al.,
 * 2015). x itself where training is false. p in [0, 1]. */
LUCID_API lucid_tensor *lucid_feature_dropout(lucid_tensor *x, double p, bool training);
/* Dropout that keeps mean 0 and variance 1 (Klambauer et al., 2017): what is dropped becomes SELU's
 * limit, then all is scaled and shifted. x itself where training is false. p in [0, 1]. */
LUCID_API lucid_tensor *lucid_alpha_dropout(lucid_tensor *x, double p, bool training);

LUCID_END_DECLS
#endif
