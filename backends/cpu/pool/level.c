/* level.c: 2-d pooling for one CPU level. */
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/pool/pool_priv.h"
#include "backends/cpu/simd/template.h"

/* A row of windows, or one of the big image, is the unit of work; a thread takes several. */
static int64_t rows_grain(const luc_pool_plan *p, int64_t row_values)
{
    enum { WORTH = 1 << 14 };
    (void)p;
    return WORTH / (row_values + 1) + 1;
}

/* Unit i of units over rows of planes: its image and channel `plane`, and its row `row`. */
typedef struct {
    int64_t n, c, row;
} pool_at;

static pool_at plane_row(const luc_pool_plan *p, int64_t i, int64_t rows)
{
    int64_t plane = i / rows;
    return (pool_at){plane / p->c, plane % p->c, i % rows};
}

LUC_INLINE pool_at pool_next_plane(const luc_pool_plan *p, pool_at at)
{
    return at.c + 1 < p->c ? (pool_at){at.n, at.c + 1, 0} : (pool_at){at.n + 1, 0, 0};
}

static int64_t image_offset(const luc_image *image, int64_t n, int64_t c, int64_t y)
{
    return n * image->strides[0] + c * image->strides[1] + y * image->strides[2];
}

/* The winners of a row of windows, if they fit into 32 bits; NULL: they are not wanted. */
static int32_t *pool_index_row(const luc_pool_plan *p, int64_t n, int64_t c, int64_t y)
{
    return p->index.data ? (int32_t *)p->index.data + image_offset(&p->index, n, c, y) : NULL;
}

/* The winner at `offset` of the index, of 32 or 64 bits. */
LUC_INLINE int64_t pool_winner(const luc_pool_plan *p, int64_t offset)
{
    return p->wide_index ? ((const int64_t *)p->index.data)[offset]
                         : ((const int32_t *)p->index.data)[offset];
}

LUC_INLINE void pool_set_winner(const luc_pool_plan *p, int64_t offset, int64_t winner)
{
    if (!p->index.data) return;
    if (p->wide_index)
        ((int64_t *)p->index.data)[offset] = winner;
    else
        ((int32_t *)p->index.data)[offset] = (int32_t)winner;
}

/* The side of a square window without dilation, if it is 2 or 3; otherwise 0. */
static int pool_square_side(const luc_pool_plan *p)
{
    bool square = p->kernel[0] == p->kernel[1] && p->dilation[0] == 1 && p->dilation[1] == 1;
    return square && (p->kernel[0] == 2 || p->kernel[0] == 3) ? (int)p->kernel[0] : 0;
}

/* The tap at i, or the nearest tap of its window. */
LUC_INLINE int64_t pool_clamp(int64_t i, luc_window w)
{
    return i < w.begin ? w.begin : i >= w.end ? w.end - 1 : i;
}

/* Windows of 2x2 that do not overlap, without gaps, inside the image. */
static bool pool_is_2x2(const luc_pool_plan *p)
{
    for (int i = 0; i < 2; i++)
        if (p->kernel[i] != 2 || p->stride[i] != 2 || p->padding[i] || p->dilation[i] != 1)
            return false;
    return 2 * p->oh <= p->h && 2 * p->ow <= p->w;
}

/* Windows of 3x3 with step 2. */
static bool pool_is_3x3(const luc_pool_plan *p)
{
    for (int i = 0; i < 2; i++)
        if (p->kernel[i] != 3 || p->stride[i] != 2 || p->dilation[i] != 1) return false;
    return true;
}

/* Whether the first channel of every pixel lies where LUC_STREAM may write. */
static bool pool_is_aligned(const luc_image *image, size_t size)
{
    bool ok = luc_to_aligned(image->data, size) == 0;
    for (int d = 0; d < 4; d++) ok = ok && (d == 1 || image->strides[d] * (int64_t)size % 64 == 0);
    return ok;
}

/* How many positions of an axis in a row, from i on, the same windows cover: at most `most`, and
 * not beyond the axis. */
static int64_t pool_alike(const luc_pool_plan *p, int axis, int64_t i, int64_t most)
{
    int64_t size = axis ? p->w : p->h, first, last, from, to, n = 1;
    luc_pool_cover(p, axis, i, &first, &last);
    for (; n < most && i + n < size; n++) {
        luc_pool_cover(p, axis, i + n, &from, &to);
        if (from != first || to != last) break;
    }
    return n;
}

/* Whether there is one window, over the whole plane, whose rows are contiguous. */
static bool pool_is_whole(const luc_pool_plan *p)
{
    luc_window y = luc_pool_window(p, 0, 0), x = luc_pool_window(p, 1, 0);
    return p->oh == 1 && p->ow == 1 && y.begin == 0 && x.begin == 0 && y.end == p->h &&
           x.end == p->w && p->big.strides[2] == p->w && p->dilation[0] == 1 && p->dilation[1] == 1;
}

/* How many bytes ahead pixels are prefetched. The hardware's own prefetching ends with a page. */
enum { POOL_AHEAD = 4096 };

/* The limits of a strip (contiguous_tmpl.h): rows and columns of a window, and windows of a row. */
enum { POOL_TAPS = 16, POOL_OUTS = 1024 };

/* The number of rows that a strip holds: those of a window and, if windows overlap or touch, the
 * additional rows of the next window. */
LUC_INLINE int64_t pool_strip_slots(const luc_pool_plan *p)
{
    bool next = p->dilation[0] == 1 && p->stride[0] <= p->kernel[0];
    return p->kernel[0] + (next ? p->stride[0] : 0);
}

#define LUC_DT f32
#include "backends/cpu/pool/any_layout_tmpl.h"
#include "backends/cpu/pool/average_channels_last_tmpl.h"
#include "backends/cpu/pool/contiguous_tmpl.h"
#include "backends/cpu/pool/max_channels_last_tmpl.h"
#include "backends/cpu/pool/max_contiguous_tmpl.h"
#undef LUC_DT
#define LUC_DT f16
#include "backends/cpu/pool/any_layout_tmpl.h"
#include "backends/cpu/pool/average_channels_last_tmpl.h"
#include "backends/cpu/pool/contiguous_tmpl.h"
#include "backends/cpu/pool/max_channels_last_tmpl.h"
#include "backends/cpu/pool/max_contiguous_tmpl.h"
#undef LUC_DT
#define LUC_DT bf16
#include "backends/cpu/pool/any_layout_tmpl.h"
#include "backends/cpu/pool/average_channels_last_tmpl.h"
#include "backends/cpu/pool/contiguous_tmpl.h"
#include "backends/cpu/pool/max_channels_last_tmpl.h"
#include "backends/cpu/pool/max_contiguous_tmpl.h"
#undef LUC_DT
#define LUC_DT f64
#include "backends/cpu/pool/any_layout_tmpl.h"
#include "backends/cpu/pool/average_channels_last_tmpl.h"
#include "backends/cpu/pool/contiguous_tmpl.h"
#undef LUC_DT
/* A vector of double has another number of lanes than the winners' vi, so double takes the plain
 * paths. */
#define pool_max_f64          pool_max_any_f64
#define pool_max_backward_f64 pool_max_backward_columns_f64

LUC_LEVEL_TABLE(luc_pool_table, luc_pool) = {
    .max = LUC_FLOATING(pool_max),
    .max_backward = LUC_FLOATING(pool_max_backward),
    .max_gather = LUC_FLOATING(pool_max_gather),
    .avg = LUC_FLOATING(pool_avg),
    .avg_backward = LUC_FLOATING(pool_avg_backward),
};
