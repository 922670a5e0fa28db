/* autocast.h: mixed precision: operators that choose the dtype they compute in.
 *
 *     lucid_tensor *loss;
 *     {
 *         LUCID_AUTOCAST(LUCID_BF16);                  // until the closing brace
 *         loss = lucid_cross_entropy(lucid_forward(net, x), y);
 *     }
 *     lucid_backward(loss);
 *
 * Inside, each of lucid's operators casts its inputs as its policy says (lucid_op.autocast, with
 * PyTorch's lists): matrix products and convolutions to the low dtype; losses, softmax, exp, log,
 * pow, reciprocals and sums to float32; all others compute in the inputs' dtype, or in the widest
 * of their dtypes. float64, integers and operators in place are not cast. Parameters
 * stay float32: casts are part of the graph, so that their gradients are float32 too. Backward
 * computes in the dtypes that forward used, inside such a scope and outside of it.
 *
 * A parameter's cast is made once and kept until the outermost scope of the thread ends, or until
 * the parameter changes. See docs/mixed_precision.md. */
#ifndef LUCID_AUTOGRAD_AUTOCAST_H
#define LUCID_AUTOGRAD_AUTOCAST_H

#include "../lucid/core/api.h"
#include "../lucid/core/options.h"
#include "../lucid/core/dtype.h"

LUCID_BEGIN_DECLS

/* An operator's policy: the field .autocast of lucid_op. */
typedef enum lucid_autocast_policy {
    LUCID_AUTOCAST_NONE,  /* inputs are not cast */
    LUCID_AUTOCAST_LOW,   /* computed in the scope's dtype */
    LUCID_AUTOCAST_FULL,  /* f16 and bf16 inputs become float32 */
    LUCID_AUTOCAST_WIDEST /* floating inputs of several dtypes become the widest of them */
} lucid_autocast_policy;

/* The dtype that switches it off. */
#define LUCID_AUTOCAST_OFF LUCID_F32

/* Begins a scope of this thread in which dtype (LUCID_BF16, LUCID_F16, or LUCID_AUTOCAST_OFF)
 * holds. Scopes nest; the innermost counts. Returns a number for lucid_autocast_end. For another
 * dtype it raises an error, begins no scope and returns 0. */
LUCID_API size_t lucid_autocast_begin(lucid_dtype dtype);
/* Ends that scope and every one inside it, and restores the dtype from before. The end of the
 * outermost releases the casts that were kept. 0 does nothing. The end of the thread and
 * lucid_finish end all scopes. */
LUCID_API void lucid_autocast_end(size_t scope);
/* The current dtype of this thread; LUCID_AUTOCAST_OFF outside of scopes. */
LUCID_API lucid_dtype lucid_autocast_dtype(void);

LUCID_API void lucid_autocast_cleanup(size_t *scope);

/* A declaration: from here to the closing brace operators compute in mixed precision; return,
 * break, continue and goto out of the block are safe. LUCID_AUTOCAST(LUCID_AUTOCAST_OFF) switches
 * it off. */
#define LUCID_AUTOCAST(dtype)                                                  \
    __attribute__((cleanup(lucid_autocast_cleanup), unused)) size_t LUCID_CAT( \
        lucid_autocast_, __COUNTER__) = lucid_autocast_begin(dtype)

LUCID_END_DECLS
#endif
