/* level.c: rows of LSTM cells for one CPU level. */
#include "backends/cpu/recurrent/recurrent_priv.h"
#include "backends/cpu/simd/template.h"
#include "backends/cpu/simd/vmath.h"
#include "backends/cpu/simd/vmath_f64.h"

#define LUC_DT f32
#include "backends/cpu/recurrent/recurrent_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/recurrent/recurrent_tmpl.h"
#undef LUC_DT

LUC_LEVEL_TABLE(luc_recurrent_table, luc_recurrent) = {
    .lstm = {lstm_f32, lstm_f64},
    .lstm_backward = {lstm_backward_f32, lstm_backward_f64},
};
