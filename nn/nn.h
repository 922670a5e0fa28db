/* nn.h: modules, layers and optimizers. */
#ifndef LUCID_NN_NN_H
#define LUCID_NN_NN_H

#include "checkpoint.h"
#include "init.h"
#include "layers/activation.h"
#include "layers/batchnorm.h"
#include "layers/container.h"
#include "layers/convolution.h"
#include "layers/curves.h"
#include "layers/dropout.h"
#include "layers/flatten.h"
#include "layers/linear.h"
#include "layers/loss.h"
#include "layers/pooling.h"
#include "layers/rectifiers.h"
#include "metrics.h"
#include "models/resnet.h"
#include "module.h"
#include "optim/algorithms.h"
#include "optim/averaged.h"
#include "optim/clip.h"
#include "optim/grad_scaler.h"
#include "optim/optimizer.h"
#include "optim/scheduler.h"
#include "pattern.h"
#include "run_file.h"
#include "state_dict.h"
#include "summary.h"
#include "vector.h"

#endif
