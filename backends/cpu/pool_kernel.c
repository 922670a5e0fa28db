/* pool_kernel.c: 2-d pooling for one CPU level. */
#include "backends/cpu/parallel.h"
#include "backends/cpu/pool_priv.h"
#include "backends/cpu/typed.h"

/* A row of windows, or one of the big image, is the unit of work; a thread takes several. */
static int64_t rows_grain(const luc_pool_plan *p, int64_t row_values)
{
    enum { WORTH = 1 << 14 };
    (void)p;
    return WORTH / (row_values + 1) + 1;
}

/* Image and channel `plane`, and row `row`, of the unit `i` of units over rows of planes. */
typedef struct {
    int64_t n, c, row;
} pool_at;

static pool_at plane_row(const luc_pool_plan *p, int64_t i, int64_t rows)
{
    int64_t plane = i / rows;
    return (pool_at){plane / p->c, plane % p->c, i % rows};
}

static int64_t image_offset(const luc_image *image, int64_t n, int64_t c, int64_t y)
{
    return n * image->strides[0] + c * image->strides[1] + y * image->strides[2];
}

#define LUC_DT f32
#include "backends/cpu/pool_body.h"
#include "backends/cpu/pool_max_body.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/pool_body.h"
#include "backends/cpu/pool_max_body.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/pool_body.h"
#include "backends/cpu/pool_max_body.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/pool_body.h"
#undef LUC_DT
/* Vectors of double have other lanes than the winners' vi: double takes the plain paths. */
#define pool_max_f64          pool_max_any_f64
#define pool_max_backward_f64 pool_max_backward_any_f64

const luc_pool_table LUC_LEVEL_NAME(luc_pool) = {
    .max = LUC_FLOATING(pool_max),
    .max_backward = LUC_FLOATING(pool_max_backward),
    .max_gather = LUC_FLOATING(pool_max_gather),
    .avg = LUC_FLOATING(pool_avg),
    .avg_backward = LUC_FLOATING(pool_avg_backward),
};
