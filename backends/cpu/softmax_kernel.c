/* softmax_kernel.c: softmax for one CPU level. */
#include "backends/cpu/parallel.h"
#include "backends/cpu/softmax_priv.h"
#include "backends/cpu/typed.h"
#include "backends/cpu/vmath.h"
#include "backends/cpu/vmath_f64.h"

enum { SOFTMAX_VECTORS = 4 }; /* vectors of columns that are taken at a time */

#define softmax_exp_f64  vd_exp
#define softmax_exp_f32  vf_exp
#define softmax_exp_f16  vf_exp
#define softmax_exp_bf16 vf_exp

#define LUC_DT f32
#include "backends/cpu/softmax_body.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/softmax_body.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/softmax_body.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/softmax_body.h"
#undef LUC_DT

const luc_softmax_table LUC_LEVEL_NAME(luc_softmax) = {
    .forward = LUC_FLOATING(softmax),
    .backward = LUC_FLOATING(softmax_backward),
};
