/* reference.c: convolution as its formula says. It is the reference for the fast kernels, and
   computes what they do not. Sums are in double. */
#include "backends/cpu/conv/conv_priv.h"
#include "backends/cpu/simd/template.h"
#include "backends/cpu/threads/parallel.h"

#define AT(stride, a, b, c, d) \
    ((a) * (stride)[0] + (b) * (stride)[1] + (c) * (stride)[2] + (d) * (stride)[3])
#define X_AT(n, c, h, w) AT(p->x_stride, n, c, h, w)
#define W_AT(o, c, r, s) AT(p->w_stride, o, c, r, s)
#define Y_AT(n, o, i, j) AT(p->y_stride, n, o, i, j)

#define LUC_DT f32
#include "backends/cpu/conv/reference_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/conv/reference_tmpl.h"
#undef LUC_DT
