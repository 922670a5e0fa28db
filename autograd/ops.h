/* ops.h: the operators, as functions of tensors. Each family has its header; this brings all. */
#ifndef LUCID_AUTOGRAD_OPS_H
#define LUCID_AUTOGRAD_OPS_H

#include "autograd/ops/convolution.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/loss.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/normalization.h"
#include "autograd/ops/pooling.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/sorting.h"
#include "autograd/ops/view.h"

#endif
