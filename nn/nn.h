/* nn.h: modules, layers and optimizers. */
#ifndef LUCID_NN_NN_H
#define LUCID_NN_NN_H

#include "nn/checkpoint.h"
#include "nn/init.h"
#include "nn/layers/activation.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/flatten.h"
#include "nn/layers/linear.h"
#include "nn/layers/loss.h"
#include "nn/layers/pooling.h"
#include "nn/models/resnet.h"
#include "nn/module.h"
#include "nn/optim/clip.h"
#include "nn/optim/grad_scaler.h"
#include "nn/optim/optimizer.h"
#include "nn/optim/scheduler.h"
#include "nn/state_dict.h"

#endif
