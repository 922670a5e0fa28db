/* ops.h: the operators, as functions of tensors. Each family has its header; this one includes
 * all. */
#ifndef LUCID_AUTOGRAD_OPS_H
#define LUCID_AUTOGRAD_OPS_H

#include "ops/activation.h"
#include "ops/arrange.h"
#include "ops/attention.h"
#include "ops/convolution.h"
#include "ops/elementwise.h"
#include "ops/embedding.h"
#include "ops/embedding_bag.h"
#include "ops/grid_sample.h"
#include "ops/indexing.h"
#include "ops/interpolate.h"
#include "ops/loss.h"
#include "ops/loss_ctc.h"
#include "ops/loss_margin.h"
#include "ops/loss_pointwise.h"
#include "ops/matmul.h"
#include "ops/normalization.h"
#include "ops/norms.h"
#include "ops/numbers.h"
#include "ops/padding.h"
#include "ops/pointwise.h"
#include "ops/pooling.h"
#include "ops/pooling_nd.h"
#include "ops/rearrange.h"
#include "ops/reduction.h"
#include "ops/scan.h"
#include "ops/search.h"
#include "ops/sorting.h"
#include "ops/statistics.h"
#include "ops/unpool.h"
#include "ops/view.h"
#include "ops/vision.h"

#endif
