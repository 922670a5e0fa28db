/* blocks_priv.h: what other files take of blocks.c. */
#ifndef LUCID_NN_LAYERS_BLOCKS_PRIV_H
#define LUCID_NN_LAYERS_BLOCKS_PRIV_H

#include "nn/layers/blocks.h"

/* A module of an activation. NULL, with an error raised for `op`, for one that is none. */
lucid_module *luc_activation(lucid_activation activation, const char *op);

#endif
