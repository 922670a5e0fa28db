/* norm_kernel.c: batch normalisation for one CPU level. */
#include "backends/cpu/norm_priv.h"
#include "backends/cpu/parallel.h"
#include "backends/cpu/typed.h"

#define LUC_DT f32
#include "backends/cpu/norm_body.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/norm_body.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/norm_body.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/norm_body.h"
#undef LUC_DT

const luc_norm_table LUC_LEVEL_NAME(luc_norm) = {
    .forward = LUC_FLOATING(norm_forward),
    .backward = LUC_FLOATING(norm_backward),
};
