/* attention.h: scaled dot-product attention (Vaswani et al., 2017). */
#ifndef LUCID_AUTOGRAD_OPS_ATTENTION_H
#define LUCID_AUTOGRAD_OPS_ATTENTION_H

#include "../../lucid/core/tensor.h"

#include <math.h>

LUCID_BEGIN_DECLS

typedef struct lucid_scaled_dot_product_attention_options {
    LUCID_OPTIONS_SIZE(lucid_scaled_dot_product_attention_options);
    /* Broadcasts to [...,L,S]: bool, where false takes no part, or floating and added to the
     * scores; NULL: none */
    lucid_tensor *attn_mask LUCID_DEFAULT(NULL);
    double dropout_p LUCID_DEFAULT(0);    /* of the weights, in [0,1]; 0 outside training */
    bool is_causal LUCID_DEFAULT(false);  /* query l sees keys 0 to l; not beside attn_mask */
    double scale LUCID_DEFAULT(NAN);      /* of the scores; NAN: 1 / sqrt(E) */
    bool enable_gqa LUCID_DEFAULT(false); /* key and value have fewer heads than query */
} lucid_scaled_dot_product_attention_options;
LUCID_DEFAULTS(lucid_scaled_dot_product_attention, .attn_mask = NULL, .dropout_p = 0,
               .is_causal = false, .scale = NAN, .enable_gqa = false);

/* softmax(scale query key^T + mask) value, of query [...,L,E], key [...,S,E] and value [...,S,Ev],
 * whose leading sizes broadcast: [...,L,Ev] in their dtype. A query that may see no key gives zeros
 * with the gradient 0. 16-bit inputs are computed in float32, except inside LUCID_AUTOCAST. With
 * enable_gqa the sizes are [...,H,L,E] and [...,H/n,S,E], and n heads of the query share one of the
 * key (Ainslie et al., 2023). Errors: dtypes that are not floating or differ, sizes, a mask that
 * does not broadcast, options out of range; NULL then. Thread-safe.
 *
 *     y = lucid_scaled_dot_product_attention(q, k, v, .is_causal = true); */
LUCID_API lucid_tensor *lucid_scaled_dot_product_attention_opt(
    lucid_tensor *query, lucid_tensor *key, lucid_tensor *value,
    const lucid_scaled_dot_product_attention_options *options);
#define lucid_scaled_dot_product_attention(...)                                             \
    LUCID_CALL3(lucid_scaled_dot_product_attention_opt, lucid_scaled_dot_product_attention, \
                LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* The mask of a sequence in which position i sees positions 0 to i: [size,size], 0 on and below the
 * diagonal, -infinity above it. The options are those of lucid_zeros: a floating dtype, the device.
 *
 *     mask = lucid_causal_mask(10); */
LUCID_API lucid_tensor *lucid_causal_mask_opt(int64_t size, const lucid_tensor_options *options);
#define lucid_causal_mask(...) \
    LUCID_CALL1(lucid_causal_mask_opt, lucid_tensor, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
