/* level.c: batch normalisation for one CPU level. */
#include "backends/cpu/norm/norm_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/simd/template.h"

/* The largest number that a 16-bit type rounds to 0, as computed in float. */
#define NORM_TINY_f32  0.0f
#define NORM_TINY_f64  0.0
#define NORM_TINY_f16  0x1p-25f
#define NORM_TINY_bf16 0x1p-134f

#define LUC_DT f32
#include "backends/cpu/norm/channel_tmpl.h"
#include "backends/cpu/norm/contiguous_tmpl.h"
#include "backends/cpu/norm/channels_last_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/norm/channel_tmpl.h"
#include "backends/cpu/norm/contiguous_tmpl.h"
#include "backends/cpu/norm/channels_last_tmpl.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/norm/channel_tmpl.h"
#include "backends/cpu/norm/contiguous_tmpl.h"
#include "backends/cpu/norm/channels_last_tmpl.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/norm/channel_tmpl.h"
#include "backends/cpu/norm/contiguous_tmpl.h"
#include "backends/cpu/norm/channels_last_tmpl.h"
#undef LUC_DT

LUC_LEVEL_TABLE(luc_norm_table, luc_norm) = {
    .forward = LUC_FLOATING(norm_forward),
    .backward = LUC_FLOATING(norm_backward),
};
