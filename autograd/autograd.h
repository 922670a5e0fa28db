/* autograd.h: gradients: recording, backward, hooks, checking.
 *
 * While gradient mode is on (the default), every operator applied to a tensor that requires a
 * gradient records a node. lucid_backward walks the nodes from a result back to the leaves and adds
 * up d(result)/d(leaf) in each leaf's .grad. The graph is released as it is walked, unless
 * retain_graph. Semantics are PyTorch's, see docs/autograd.md. */
#ifndef LUCID_AUTOGRAD_AUTOGRAD_H
#define LUCID_AUTOGRAD_AUTOGRAD_H

#include "../lucid/core/api.h"
#include "../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* ---- gradient mode (thread-local) ------------------------------------------------------------ */

LUCID_API bool lucid_is_grad_enabled(void);
/* Sets the mode of this thread and returns the former one. */
LUCID_API bool lucid_set_grad_enabled(bool enabled);
LUCID_API void lucid_grad_mode_cleanup(bool *previous);

#define LUC_GRAD_MODE(mode)                                                   \
    __attribute__((cleanup(lucid_grad_mode_cleanup), unused)) bool LUCID_CAT( \
        lucid_grad_mode_, __COUNTER__) = lucid_set_grad_enabled(mode)
/* Declarations: from here to the closing brace nothing / everything is recorded. */
#define LUCID_NO_GRAD     LUC_GRAD_MODE(false)
#define LUCID_ENABLE_GRAD LUC_GRAD_MODE(true)

/* ---- tensors in the graph -------------------------------------------------------------------- */

/* Marks a leaf of floating dtype; returns the tensor. A result requires one anyway: to take it out
 * of the graph (false) is refused, use lucid_detach. */
LUCID_API lucid_tensor *lucid_requires_grad_(lucid_tensor *tensor, bool requires_grad);
LUCID_API bool lucid_requires_grad(const lucid_tensor *tensor);
LUCID_API bool lucid_is_leaf(const lucid_tensor *tensor);
/* The accumulated gradient, borrowed from the tensor; NULL, without an error, if it has none. */
LUCID_API lucid_tensor *lucid_tensor_grad(const lucid_tensor *tensor);
/* Sets (takes a reference) or, with NULL, removes the gradient. Same sizes, dtype and device. */
LUCID_API bool lucid_set_grad(lucid_tensor *tensor, lucid_tensor *grad);
/* Makes a result keep its .grad in backward. Does nothing to a leaf. */
LUCID_API bool lucid_retain_grad(lucid_tensor *tensor);
/* The same data outside the graph: a view that requires no gradient. */
LUCID_API lucid_tensor *lucid_detach(lucid_tensor *tensor);
/* The name of the operator that made the tensor ("conv2d"), or "" for a leaf. */
LUCID_API const char *lucid_grad_fn_name(const lucid_tensor *tensor);

/* ---- backward -------------------------------------------------------------------------------- */

typedef struct lucid_backward_options {
    LUCID_OPTIONS_SIZE(lucid_backward_options);
    /* d(final)/d(root); needed unless the root has one element */
    lucid_tensor *gradient LUCID_DEFAULT(NULL);
    /* Keep saved tensors for another backward; create_graph implies it. */
    bool retain_graph LUCID_DEFAULT(false);
    /* Record the backward itself, for higher derivatives. A leaf's .grad then leads back to the
     * leaf: to be freed, it must be removed (lucid_zero_grad, lucid_set_grad). lucid_grad leaves
     * none. */
    bool create_graph LUCID_DEFAULT(false);
    /* Accumulate into these only; NULL: into all leaves. */
    lucid_tensor *const *inputs LUCID_DEFAULT(NULL);
    size_t n_inputs LUCID_DEFAULT(0);
} lucid_backward_options;
LUCID_DEFAULTS(lucid_backward, .gradient = NULL, .retain_graph = false, .create_graph = false,
               .inputs = NULL, .n_inputs = 0);

/* Adds d(root)/d(leaf) to the .grad of every leaf that root depends on. Errors: root requires no
 * gradient; root has several elements and no gradient is given; the graph was released; a saved
 * tensor was changed in place. Several threads may run it, also into shared leaves. */
LUCID_API bool lucid_backward_opt(lucid_tensor *root, const lucid_backward_options *options);
/* For several roots at once; gradients may be NULL, or have NULL entries for one-element roots.
 * options->gradient must be NULL. */
LUCID_API bool lucid_backward_multi(lucid_tensor *const *roots, lucid_tensor *const *gradients,
                                    size_t n, const lucid_backward_options *options);

typedef struct lucid_grad_options {
    LUCID_OPTIONS_SIZE(lucid_grad_options);
    /* Per output; NULL entries for one-element outputs. */
    lucid_tensor *const *gradients LUCID_DEFAULT(NULL);
    bool retain_graph LUCID_DEFAULT(false), create_graph LUCID_DEFAULT(false);
    /* An input that the outputs do not depend on gives NULL, not an error. */
    bool allow_unused LUCID_DEFAULT(false);
} lucid_grad_options;
LUCID_DEFAULTS(lucid_grad, .gradients = NULL, .retain_graph = false, .create_graph = false,
               .allow_unused = false);

/* Computes the gradients of the outputs with respect to the inputs (leaves or results) into
 * grads[n_inputs], and touches no .grad. */
LUCID_API bool lucid_grad_opt(lucid_tensor *const *outputs, size_t n_outputs,
                              lucid_tensor *const *inputs, size_t n_inputs, lucid_tensor **grads,
                              const lucid_grad_options *options);

/* lucid_backward(loss);  lucid_backward(y, .gradient = g, .retain_graph = true) */
#define lucid_backward(...) LUCID_CALL1(lucid_backward_opt, lucid_backward, LUCID_ASIS, __VA_ARGS__)
/* lucid_grad(outputs, n_outputs, inputs, n_inputs, grads, .create_graph = true) */
#define lucid_grad(...)                                                                     \
    LUCID_CALL5(lucid_grad_opt, lucid_grad, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, \
                LUCID_ASIS, __VA_ARGS__)

/* ---- hooks ----------------------------------------------------------------------------------- */

/* Is called with a tensor's complete gradient, before it is accumulated or passed on. Returns NULL
 * to leave it, or a tensor of the same sizes to replace it. Hooks run in the order in which they
 * were added, in the thread that runs backward. */
typedef lucid_tensor *(*lucid_tensor_hook)(lucid_tensor *grad, void *user);
/* Returns a handle (> 0) for lucid_remove_hook; 0 on an error. */
LUCID_API uint64_t lucid_register_hook(lucid_tensor *tensor, lucid_tensor_hook hook, void *user);
LUCID_API bool lucid_remove_hook(lucid_tensor *tensor, uint64_t handle);

/* ---- fusion ---------------------------------------------------------------------------------- */

/* Whether operators that follow one another inside lucid_forward may run as one: a convolution and
 * the batch normalisation that takes its result (in training the convolution finds the statistics;
 * in eval, where no gradient is recorded, both are one operator), the sum with a residual and the
 * ReLU that follow batch normalisation, and the ReLU that follows a convolution or a linear layer
 * on the CPU. Results differ by rounding at most. The first of them returns a result that has its
 * sizes, but gets its values when somebody reads it, and at the latest when the outermost
 * lucid_forward ends: errors of shape are raised by the call that made them, lack of memory by the
 * one that reads. While lucid_forward runs, memory of tensors that operators have read may only be
 * written through lucid's functions: not through a pointer from before it began, nor by another
 * thread.
 * On by default, and for all threads. Returns what it was. Thread-safe. */
LUCID_API bool lucid_set_fusion(bool enabled);
LUCID_API bool lucid_get_fusion(void);

/* ---- finding mistakes ------------------------------------------------------------------------ */

/* Anomaly mode (all threads): backward checks every gradient for NaN and names the forward
 * operator, its module and its inputs' sizes where the first one arose. Slow. */
LUCID_API bool lucid_set_detect_anomaly(bool enabled);
LUCID_API bool lucid_is_anomaly_enabled(void);

/* A function to check: fills outputs[*n_outputs] (at most LUCID_MAX_OUTPUTS) from inputs. */
typedef bool (*lucid_check_fn)(lucid_tensor *const *inputs, size_t n_inputs, lucid_tensor **outputs,
                               size_t *n_outputs, void *user);
typedef struct lucid_gradcheck_options {
    LUCID_OPTIONS_SIZE(lucid_gradcheck_options);
    double eps LUCID_DEFAULT(1e-6), atol LUCID_DEFAULT(1e-5), rtol LUCID_DEFAULT(1e-3);
    double nondet_tol LUCID_DEFAULT(0); /* two backwards may differ by this */
} lucid_gradcheck_options;
LUCID_DEFAULTS(lucid_gradcheck, .eps = 1e-6, .atol = 1e-5, .rtol = 1e-3, .nondet_tol = 0);

/* Compares the gradients of float64 inputs that require them with central differences. True when
 * they agree; otherwise raises an error with the input, the index and both numbers. */
LUCID_API bool lucid_gradcheck(lucid_check_fn fn, void *user, lucid_tensor *const *inputs,
                               size_t n_inputs, const lucid_gradcheck_options *options);
/* The same for the second derivative: the gradients' gradients. */
LUCID_API bool lucid_gradgradcheck(lucid_check_fn fn, void *user, lucid_tensor *const *inputs,
                                   size_t n_inputs, const lucid_gradcheck_options *options);

/* Writes the graph that leads to a tensor in Graphviz's language (dot -Tsvg). */
LUCID_API bool lucid_write_graph(const lucid_tensor *root, FILE *file);

LUCID_END_DECLS
#endif
