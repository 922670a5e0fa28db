/* lucid.h: all of lucid. */
#ifndef LUCID_LUCID_H
#define LUCID_LUCID_H

#include "lucid/attrs.h"
#include "lucid/backend.h"
#include "lucid/capture.h"
#include "lucid/device.h"
#include "lucid/dtype.h"
#include "lucid/error.h"
#include "lucid/memory.h"
#include "lucid/profiler.h"
#include "lucid/random.h"
#include "lucid/scope.h"
#include "lucid/shape.h"
#include "lucid/switches.h"
#include "lucid/tensor.h"
#include "lucid/data/dataset.h"
#include "lucid/data/loader.h"
#include "lucid/data/mnist.h"
#include "lucid/io/idx.h"
#include "lucid/io/plot.h"
#include "lucid/io/png.h"
#include "lucid/io/safetensors.h"

#include "autograd/autocast.h"
#include "autograd/autograd.h"
#include "autograd/op.h"
#include "autograd/ops.h"

#include "nn/nn.h"

#endif
