/* scan.c: cumsum, cumprod, logcumsumexp, cummax and cummin: running results along a dimension.
 *
 * A line is all elements along the dimension. Neighbouring lines are walked together, GROUP of
 * them, so that memory is read in its order where the dimension is not the last, and so that sums
 * do not wait for one another. Floating dtypes accumulate in double. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/attrs.h"
#include "lucid/core/backend_priv.h"

#include <math.h>

enum { GROUP = 8, GRAIN = 1 << 14 };

typedef struct scan scan;
/* Walks `count` <= GROUP lines. */
typedef void (*line_fn)(const scan *s, const char *x, char *y, int64_t *index, int count);

struct scan {
    luc_loop lines;     /* operands: x, y, index; strides in elements */
    int64_t n;          /* elements of a line */
    int64_t step[3];    /* from one to the next in a line, and */
    int64_t between[3]; /* from one line to the next of a group */
    int64_t per_run;    /* groups in a run of `lines` */
    bool reverse;
    const char *x;
    char *y;
    int64_t *index; /* NULL: only values */
    size_t size;    /* of an element */
    line_fn walk;
};

/* ---- sums and products ----------------------------------------------------------------------- */

#define SAME(x)      (x)
#define AS_DOUBLE(x) ((double)(x))
#define AS_FLOAT(x)  ((float)(x))
#define FROM_F16(x)  ((double)luc_f16_to_f32(x))
#define FROM_BF16(x) ((double)luc_bf16_to_f32(x))
#define TO_F16(x)    luc_f32_to_f16((float)(x))
#define TO_BF16(x)   luc_f32_to_bf16((float)(x))

#define ADD(a, b)      ((a) + (b))
#define MULTIPLY(a, b) ((a) * (b))

/* log(e^a + e^b) */
static double log_add(double a, double b)
{
    const double most = a > b || isnan(a) ? a : b;
    if (isinf(most) || isnan(a) || isnan(b)) return isnan(b) ? b : most;
    return most + log1p(exp(-fabs(a - b)));
}

#define DEFINE_RUNNING(name, T, A, load, store, first, combine)                        \
    static void name(const scan *s, const char *x, char *y, int64_t *index, int count) \
    {                                                                                  \
        A sum[GROUP];                                                                  \
        (void)index;                                                                   \
        for (int g = 0; g < count; g++) sum[g] = first;                                \
        for (int64_t i = 0; i < s->n; i++) {                                           \
            const int64_t k = s->reverse ? s->n - 1 - i : i;                           \
            const T *from = (const T *)(const void *)x + k * s->step[0];               \
            T *to = (T *)(void *)y + k * s->step[1];                                   \
            for (int g = 0; g < count; g++) {                                          \
                sum[g] = combine(sum[g], load(from[g * s->between[0]]));               \
                to[g * s->between[1]] = store(sum[g]);                                 \
            }                                                                          \
        }                                                                              \
    }

#define DEFINE_FLOATING(name, first, combine)                                      \
    DEFINE_RUNNING(name##_f32, float, double, AS_DOUBLE, AS_FLOAT, first, combine) \
    DEFINE_RUNNING(name##_f64, double, double, SAME, SAME, first, combine)         \
    DEFINE_RUNNING(name##_f16, uint16_t, double, FROM_F16, TO_F16, first, combine) \
    DEFINE_RUNNING(name##_bf16, uint16_t, double, FROM_BF16, TO_BF16, first, combine)

DEFINE_FLOATING(sum, 0, ADD)
DEFINE_FLOATING(product, 1, MULTIPLY)
DEFINE_FLOATING(log_sum, -INFINITY, log_add)
DEFINE_RUNNING(sum_i64, uint64_t, uint64_t, SAME, SAME, 0, ADD) /* wraps around */
DEFINE_RUNNING(product_i64, uint64_t, uint64_t, SAME, SAME, 1, MULTIPLY)

/* ---- extremes -------------------------------------------------------------------------------- */

#define NEVER(x) false
/* A NaN is taken, and given up only for another one. */
#define DEFINE_EXTREME(name, T, A, load, is_nan, beats)                                     \
    static void name(const scan *s, const char *x, char *y, int64_t *index, int count)      \
    {                                                                                       \
        A best[GROUP];                                                                      \
        T kept[GROUP];                                                                      \
        int64_t at[GROUP] = {0};                                                            \
        for (int64_t k = 0; k < s->n; k++) {                                                \
            const T *from = (const T *)(const void *)x + k * s->step[0];                    \
            for (int g = 0; g < count; g++) {                                               \
                const T raw = from[g * s->between[0]];                                      \
                const A value = load(raw);                                                  \
                if (k == 0 || is_nan(value) || (!is_nan(best[g]) && value beats best[g])) { \
                    best[g] = value;                                                        \
                    kept[g] = raw;                                                          \
                    at[g] = k;                                                              \
                }                                                                           \
                ((T *)(void *)y)[k * s->step[1] + g * s->between[1]] = kept[g];             \
                index[k * s->step[2] + g * s->between[2]] = at[g];                          \
            }                                                                               \
        }                                                                                   \
    }

#define DEFINE_EXTREMES(name, beats)                                       \
    DEFINE_EXTREME(name##_f32, float, float, SAME, isnan, beats)           \
    DEFINE_EXTREME(name##_f64, double, double, SAME, isnan, beats)         \
    DEFINE_EXTREME(name##_f16, uint16_t, double, FROM_F16, isnan, beats)   \
    DEFINE_EXTREME(name##_bf16, uint16_t, double, FROM_BF16, isnan, beats) \
    DEFINE_EXTREME(name##_i64, int64_t, int64_t, SAME, NEVER, beats)       \
    DEFINE_EXTREME(name##_i32, int32_t, int32_t, SAME, NEVER, beats)       \
    DEFINE_EXTREME(name##_u8, uint8_t, uint8_t, SAME, NEVER, beats)

DEFINE_EXTREMES(most, >=)
DEFINE_EXTREMES(least, <=)

/* ---- the kernel ------------------------------------------------------------------------------ */

static line_fn walk_of(lucid_op_id op, lucid_dtype type)
{
    static const line_fn sums[LUCID_DTYPE_COUNT] = {[LUCID_F32] = sum_f32,
                                                    [LUCID_F64] = sum_f64,
                                                    [LUCID_F16] = sum_f16,
                                                    [LUCID_BF16] = sum_bf16,
                                                    [LUCID_I64] = sum_i64};
    static const line_fn products[LUCID_DTYPE_COUNT] = {[LUCID_F32] = product_f32,
                                                        [LUCID_F64] = product_f64,
                                                        [LUCID_F16] = product_f16,
                                                        [LUCID_BF16] = product_bf16,
                                                        [LUCID_I64] = product_i64};
    static const line_fn log_sums[LUCID_DTYPE_COUNT] = {[LUCID_F32] = log_sum_f32,
                                                        [LUCID_F64] = log_sum_f64,
                                                        [LUCID_F16] = log_sum_f16,
                                                        [LUCID_BF16] = log_sum_bf16};
    static const line_fn largest[LUCID_DTYPE_COUNT] = {
        [LUCID_F32] = most_f32,   [LUCID_F64] = most_f64, [LUCID_F16] = most_f16,
        [LUCID_BF16] = most_bf16, [LUCID_I64] = most_i64, [LUCID_I32] = most_i32,
        [LUCID_U8] = most_u8,     [LUCID_BOOL] = most_u8};
    static const line_fn smallest[LUCID_DTYPE_COUNT] = {
        [LUCID_F32] = least_f32,   [LUCID_F64] = least_f64, [LUCID_F16] = least_f16,
        [LUCID_BF16] = least_bf16, [LUCID_I64] = least_i64, [LUCID_I32] = least_i32,
        [LUCID_U8] = least_u8,     [LUCID_BOOL] = least_u8};
    switch (op) {
    case LUCID_OP_cumsum:
        return sums[type];
    case LUCID_OP_cumprod:
        return products[type];
    case LUCID_OP_logcumsumexp:
        return log_sums[type];
    case LUCID_OP_cummax:
        return largest[type];
    default:
        return smallest[type];
    }
}

static void walk_groups(void *ctx, int64_t begin, int64_t end, int thread)
{
    const scan *s = ctx;
    const int64_t inner = s->lines.dims[s->lines.ndim - 1];
    (void)thread;
    for (int64_t unit = begin; unit < end; unit++) {
        const int64_t first = unit % s->per_run * GROUP;
        int64_t at[LUC_MAX_OPERANDS];
        luc_loop_offsets(&s->lines, unit / s->per_run, at);
        for (int k = 0; k < 3; k++) at[k] += first * s->between[k];
        s->walk(s, s->x + at[0] * (int64_t)s->size, s->y + at[1] * (int64_t)s->size,
                s->index ? s->index + at[2] : NULL,
                (int)(inner - first < GROUP ? inner - first : GROUP));
    }
}

static bool run(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *y = args->out[0], *index = args->out[args->n_out - 1];
    const lucid_scan_attrs *a = args->attrs;
    const lucid_view *views[3] = {x, y, index};
    if (luc_view_numel(x) == 0) return true;
    scan s = {.n = x->dims[a->dim],
              .lines = luc_loop_begin(3),
              .reverse = a->reverse,
              .x = x->data,
              .y = y->data,
              .index = args->n_out == 2 ? index->data : NULL,
              .size = luc_elem_size(x->dtype),
              .walk = walk_of(args->op, x->dtype)};
    for (int d = 0; d < x->ndim; d++)
        if (d != a->dim)
            luc_loop_add(&s.lines, x->dims[d],
                         (int64_t[]){x->strides[d], y->strides[d], index->strides[d]});
    luc_loop_end(&s.lines);
    const int last = s.lines.ndim - 1;
    for (int k = 0; k < 3; k++) {
        s.step[k] = views[k]->strides[a->dim];
        s.between[k] = s.lines.strides[k][last];
    }
    s.per_run = (s.lines.dims[last] + GROUP - 1) / GROUP;
    luc_parallel_for(luc_loop_runs(&s.lines) * s.per_run, GRAIN / (s.n * GROUP) + 1, walk_groups,
                     &s);
    return true;
}

void luc_cpu_register_scan(lucid_backend *b)
{
    static const lucid_op_id ops[] = {LUCID_OP_cumsum, LUCID_OP_cumprod, LUCID_OP_logcumsumexp,
                                      LUCID_OP_cummax, LUCID_OP_cummin};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        for (int type = 0; type < LUCID_DTYPE_COUNT; type++)
            if (walk_of(ops[i], (lucid_dtype)type)) b->kernels[ops[i]][type].run = run;
}
