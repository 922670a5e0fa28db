/* softmax_kernel.c: softmax for one CPU level. */
#include "backends/cpu/parallel.h"
#include "backends/cpu/softmax_priv.h"
#include "backends/cpu/typed.h"
#include "backends/cpu/vmath.h"

LUC_INLINE vd softmax_exp_f64(vd x)
{
    double lane[LUC_VD];
    vd_store(lane, x);
    for (int k = 0; k < LUC_VD; k++) lane[k] = exp(lane[k]);
    return vd_load(lane);
}
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
