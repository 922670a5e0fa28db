/* level.c: optimizer steps for one CPU level. */
#include "backends/cpu/optim/optim_priv.h"
#include "backends/cpu/simd/template.h"

#define LUC_DT f32
#include "backends/cpu/optim/step_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/optim/step_tmpl.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/optim/step_tmpl.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/optim/step_tmpl.h"
#undef LUC_DT

LUC_LEVEL_TABLE(luc_optim_table, luc_optim) = {
    .sgd = LUC_FLOATING(sgd),
    .adam = LUC_FLOATING(adam),
    .adadelta = LUC_FLOATING(adadelta),
    .sum_squares = LUC_FLOATING(sum_squares),
    .unscale = LUC_FLOATING(unscale),
};
