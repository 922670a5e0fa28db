/* level.c: softmax for one CPU level. */
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/softmax/softmax_priv.h"
#include "backends/cpu/simd/template.h"
#include "backends/cpu/simd/vmath.h"
#include "backends/cpu/simd/vmath_f64.h"

enum { SOFTMAX_VECTORS = 4 }; /* vectors of columns that are taken at a time */

#define softmax_exp_f64  vd_exp
#define softmax_exp_f32  vf_exp
#define softmax_exp_f16  vf_exp
#define softmax_exp_bf16 vf_exp

#define LUC_DT f32
#include "backends/cpu/softmax/softmax_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/softmax/softmax_tmpl.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/softmax/softmax_tmpl.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/softmax/softmax_tmpl.h"
#undef LUC_DT

LUC_LEVEL_TABLE(luc_softmax_table, luc_softmax) = {
    .forward = LUC_FLOATING(softmax),
    .backward = LUC_FLOATING(softmax_backward),
};
