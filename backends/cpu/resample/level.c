/* level.c: interpolation of images for one CPU level. */
#include "backends/cpu/resample/resample_priv.h"
#include "backends/cpu/simd/template.h"
#include "backends/cpu/threads/parallel.h"

/* The offset of a plane's first element. */
static int64_t plane_offset(const luc_resample_plan *p, const luc_rows *r, int64_t plane)
{
    return plane / p->c * r->plane[0] + plane % p->c * r->plane[1];
}

/* Units of work that are worth a block of their own. */
enum { RESAMPLE_GRAIN = 1 << 15 };

#define LUC_DT f32
#include "backends/cpu/resample/rows_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/resample/rows_tmpl.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/resample/rows_tmpl.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/resample/rows_tmpl.h"
#undef LUC_DT

LUC_LEVEL_TABLE(luc_resample_table, luc_resample) = {
    .run = LUC_FLOATING(resample),
};
