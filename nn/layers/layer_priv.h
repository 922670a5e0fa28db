/* layer_priv.h: what the layers' files share. */
#ifndef LUCID_NN_LAYERS_LAYER_PRIV_H
#define LUCID_NN_LAYERS_LAYER_PRIV_H

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/init.h"
#include "nn/module_priv.h"

#include <stdio.h>

/* The end of a constructor: the module, or NULL (and the module is freed) where it went wrong. */
static inline lucid_module *luc_layer_done(lucid_module *m, bool ok)
{
    if (ok) return m;
    lucid_module_free(m);
    return NULL;
}

/* Registers a parameter of zeros, or its absence. It is to be initialised afterwards. */
bool luc_layer_parameter(lucid_module *m, const char *name, lucid_tensor **field, bool wanted,
                         lucid_shape shape, lucid_dtype dtype, lucid_device device);
/* Refuses a number below the least: "Conv2d: stride: expected at least 1, got 0". */
bool luc_layer_at_least(const char *layer, const char *argument, int64_t value, int64_t least);
/* PyTorch's default for weight [out,in,...] and bias [out] (may be NULL): both uniform in
 * +-1/sqrt(fan_in). */
bool luc_layer_reset(lucid_tensor *weight, lucid_tensor *bias);

/* "(3, 2)" for kernel sizes and the like; an extent that was given as one number is one. */
luc_text luc_pair_text(int64_t h, int64_t w);
luc_text luc_extent_text(lucid_extent extent);

#define luc_python_bool(value) ((value) ? "True" : "False")

#endif
