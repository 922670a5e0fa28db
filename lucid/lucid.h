/* lucid.h: all that programs use. lucid/extend.h has what extensions need besides. */
#ifndef LUCID_LUCID_H
#define LUCID_LUCID_H

#include "core/capture.h"
#include "core/device.h"
#include "core/dtype.h"
#include "core/error.h"
#include "core/memory.h"
#include "core/options.h"
#include "core/profiler.h"
#include "core/random.h"
#include "core/reduction.h"
#include "core/scope.h"
#include "core/shape.h"
#include "core/switches.h"
#include "core/tensor.h"
#include "core/version.h"
#include "data/cifar.h"
#include "data/colour.h"
#include "data/dataset.h"
#include "data/fake.h"
#include "data/folder.h"
#include "data/geometry.h"
#include "data/loader.h"
#include "data/mix.h"
#include "data/mnist.h"
#include "data/sampler.h"
#include "data/subset.h"
#include "data/transform.h"
#include "io/idx.h"
#include "io/image.h"
#include "io/npy.h"
#include "plot/plot.h"
#include "io/png.h"
#include "io/safetensors.h"

#include "../autograd/autocast.h"
#include "../autograd/autograd.h"
#include "../autograd/ops.h"

#include "../nn/nn.h"

#endif
