/* lucid.h: all that programs use. lucid/extend.h has what extensions need besides. */
#ifndef LUCID_LUCID_H
#define LUCID_LUCID_H

#include "capture.h"
#include "device.h"
#include "dtype.h"
#include "error.h"
#include "memory.h"
#include "options.h"
#include "profiler.h"
#include "random.h"
#include "reduction.h"
#include "scope.h"
#include "shape.h"
#include "switches.h"
#include "tensor.h"
#include "version.h"
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
