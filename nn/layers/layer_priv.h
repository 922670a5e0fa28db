/* layer_priv.h: what the layers' files share. */
#ifndef LUCID_NN_LAYERS_LAYER_PRIV_H
#define LUCID_NN_LAYERS_LAYER_PRIV_H

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/module_priv.h"

#include <stdio.h>

/* Ends a constructor: returns the module if all went well, otherwise frees it and returns NULL. */
static inline lucid_module *luc_layer_done(lucid_module *m, bool ok)
{
    if (ok) return m;
    lucid_module_free(m);
    return NULL;
}

/* Registers a parameter of zeros, or its absence. The caller sets its initial values afterwards. */
bool luc_layer_parameter(lucid_module *m, const char *name, lucid_tensor **field, bool wanted,
                         lucid_shape shape, lucid_dtype dtype, lucid_device device);
/* Raises an error for a number that is too small: "Conv2d: stride: expected at least 1, got 0". */
bool luc_layer_at_least(const char *layer, const char *argument, int64_t value, int64_t least);
/* Sets weight [out,in,...] and bias [out] (may be NULL) to PyTorch's initial values: both are
 * uniform in +-1/sqrt(fan_in). */
bool luc_layer_reset(lucid_tensor *weight, lucid_tensor *bias);

/* Prints kernel sizes and the like: "(3, 2)", or "3" for an extent that was given as one number. */
luc_text luc_pair_text(int64_t h, int64_t w);
luc_text luc_extent_text(lucid_extent extent);

#define luc_python_bool(value) ((value) ? "True" : "False")

#endif
