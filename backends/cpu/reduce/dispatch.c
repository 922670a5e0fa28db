/*
 * dispatch.c: sum, mean, var, amax and amin over any dimensions of any layout.
 *
 * Dimensions are split into kept and reduced ones, each sorted by memory and joined. If the densest
 * dimension is reduced, a task is one result and gathers rows. If it is kept, a task is a strip of
 * neighbouring results and gathers columns. If there are few tasks, they are split along the
 * reduced dimensions. The cuts depend on the shape alone, and partial results are added in order,
 * so the bits are the same for any number of threads.
 */
#include "backends/cpu/copy/convert.h"
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/reduce/reduce_priv.h"
#include "lucid/core/attrs.h"
#include "lucid/core/error_priv.h"

#include <math.h>
#include <string.h>

enum {
    STRIP = 512,       /* results of a task that gathers columns */
    CHUNK = 1024,      /* elements that are gathered or widened at a time */
    GRAIN = 1 << 15,   /* elements that a block of tasks reads */
    ENOUGH_TASKS = 16, /* fewer are split, */
    MAX_SPLITS = 64    /* into so many parts at most */
};

enum { IN, OUT }; /* the operands of a loop; strides are in bytes */

typedef struct {
    luc_loop kept, reduced;
    int64_t results, count; /* count: elements of a result */
    bool columns;
    int64_t cols, strips;        /* columns: size of the densest kept dimension, its strips */
    int64_t tasks, splits, part; /* part: elements of the reduced space in a split */
    const char *x;
    char *y;
    lucid_dtype x_type, y_type;
    size_t x_size, y_size;
    bool integer;
    luc_reduce_type type;
    luc_convert_fn widen;
    lucid_op_id op;
    luc_reduce_kind kind;
    double correction;
    const luc_reduce_table *loops;
    luc_acc *partial; /* splits: [tasks][splits][width] */
    double *centres;  /* splits of var: [tasks][width] */
    int64_t width;    /* the most results of a task */
} plan;

/* -- the plan -- */
/* The largest stride of the input first, neighbours joined. */
static void arrange(luc_loop *l)
{
    luc_loop_sort_by(l, IN);
    luc_loop_join(l);
    luc_loop_end(l);
}

static void split_dims(plan *p, const lucid_view *x, const lucid_view *y, uint32_t mask,
                       bool keepdim)
{
    int at = 0;
    p->results = p->count = 1;
    p->kept.operands = p->reduced.operands = 2;
    for (int d = 0; d < x->ndim; d++) {
        bool reduced = mask >> d & 1;
        int here = at;
        if (!reduced || keepdim) at++;
        if (x->dims[d] == 1) continue; /* of size 1: any stride will do */
        const int64_t strides[] = {
            [IN] = x->strides[d] * (int64_t)p->x_size,
            [OUT] = reduced ? 0 : y->strides[here] * (int64_t)p->y_size,
        };
        *(reduced ? &p->count : &p->results) *= x->dims[d];
        luc_loop_push(reduced ? &p->reduced : &p->kept, x->dims[d], strides);
    }
    arrange(&p->kept);
    arrange(&p->reduced);
}

static luc_reduce_type loop_type(lucid_dtype t)
{
    switch (t) {
    case LUCID_F64:
        return LUC_R_F64;
    case LUCID_I64:
        return LUC_R_I64;
    case LUCID_I32:
        return LUC_R_I32;
    case LUCID_U8:
    case LUCID_BOOL:
        return LUC_R_U8;
    default:
        return LUC_R_F32;
    }
}

static void cut(plan *p)
{
    const int kd = p->kept.ndim - 1, rd = p->reduced.ndim - 1;
    p->columns =
        p->results > 1 && p->count > 1 && p->kept.strides[IN][kd] < p->reduced.strides[IN][rd];
    p->cols = p->columns ? p->kept.dims[kd] : 1;
    p->width = p->cols < STRIP ? p->cols : STRIP;
    p->strips = luc_ceil_div(p->cols, STRIP);
    p->tasks = p->cols ? p->results / p->cols * p->strips : 0;
    p->splits = 1;
    if (p->tasks < ENOUGH_TASKS && p->count > 1) {
        int64_t splits = p->count * p->width / GRAIN;
        p->splits = splits > MAX_SPLITS ? MAX_SPLITS : splits < 1 ? 1 : splits;
    }
    p->part = luc_ceil_div(p->count, p->splits);
}

static void make_plan(plan *p, const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_reduce_attrs *attrs = args->attrs;
    memset(p, 0, sizeof *p);
    p->x = x->data;
    p->y = y->data;
    p->x_type = x->dtype;
    p->y_type = y->dtype;
    p->x_size = luc_elem_size(x->dtype);
    p->y_size = luc_elem_size(y->dtype);
    p->integer = x->dtype >= LUCID_I64;
    p->type = loop_type(x->dtype);
    p->loops = luc_reduce_get();
    if (x->dtype == LUCID_F16 || x->dtype == LUCID_BF16)
        p->widen = luc_convert_get()->fn[x->dtype][LUCID_F32];
    p->op = args->op;
    p->kind = args->op == LUCID_OP_amax ? LUC_MAX : args->op == LUCID_OP_amin ? LUC_MIN : LUC_SUM;
    p->correction = (double)attrs->correction;
    split_dims(p, x, y, attrs->mask, attrs->keepdim);
    cut(p);
}

static size_t partial_bytes(const plan *p)
{
    return p->splits > 1 ? (size_t)(p->tasks * p->splits * p->width) * sizeof(luc_acc) : 0;
}

_Static_assert(sizeof(plan) <= LUCID_PLAN_OWN, "a plan's run reads it from there");

static bool plan_reduce(const lucid_kernel_args *args, lucid_plan *out)
{
    plan p;
    make_plan(&p, args);
    size_t centres =
        p.splits > 1 && p.op == LUCID_OP_var ? (size_t)(p.tasks * p.width) * sizeof(double) : 0;
    out->workspace = partial_bytes(&p) + centres;
    memcpy(out->own, &p, sizeof p);
    return true;
}

/* -- gathering -- */
static void fill_identity(const plan *p, luc_reduce_kind kind, luc_acc *acc, int64_t n)
{
    luc_acc identity = {.i = 0};
    if (kind == LUC_MAX || kind == LUC_MIN) {
        if (p->integer)
            identity.i = kind == LUC_MAX ? INT64_MIN : INT64_MAX;
        else
            identity.d = kind == LUC_MAX ? -INFINITY : INFINITY;
    }
    for (int64_t i = 0; i < n; i++) acc[i] = identity;
}

/* n elements from x on, `stride` bytes apart, as a contiguous row of the loops' type. */
static const void *as_row(const plan *p, const char *x, int64_t stride, int64_t n, void *wide,
                          void *narrow)
{
    char *packed = p->widen ? narrow : wide;
    if (stride == (int64_t)p->x_size) {
        if (!p->widen) return x;
        packed = NULL;
    } else {
        for (int64_t i = 0; i < n; i++)
            memcpy(packed + i * (int64_t)p->x_size, x + i * stride, p->x_size);
    }
    if (!p->widen) return packed;
    p->widen(wide, packed ? packed : x, n);
    return wide;
}

static void gather_row(const plan *p, luc_reduce_kind kind, luc_acc *acc, const char *x,
                       int64_t stride, int64_t n, double centre)
{
    luc_reduce_row_fn row = p->loops->row[kind][p->type];
    if (!p->widen && stride == (int64_t)p->x_size) {
        row(acc, x, n, centre);
        return;
    }
    _Alignas(64) char wide[CHUNK * 8], narrow[CHUNK * 2];
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t count = n - i < CHUNK ? n - i : CHUNK;
        row(acc, as_row(p, x + i * stride, stride, count, wide, narrow), count, centre);
    }
}

static void gather_cols(const plan *p, luc_reduce_kind kind, luc_acc *acc, const char *x,
                        int64_t row_stride, int64_t rows, int64_t n, const double *centre)
{
    const int64_t stride = p->kept.strides[IN][p->kept.ndim - 1];
    luc_reduce_cols_fn cols = p->loops->cols[kind][p->type];
    if (!p->widen && stride == (int64_t)p->x_size && row_stride % stride == 0) {
        cols(acc, x, row_stride / stride, rows, n, centre);
        return;
    }
    _Alignas(64) char wide[STRIP * 8], narrow[STRIP * 2];
    for (int64_t r = 0; r < rows; r++)
        cols(acc, as_row(p, x + r * row_stride, stride, n, wide, narrow), n, 1, n, centre);
}

/* Gathers elements [begin, end) of the reduced space, for the n results at x. */
static void gather(const plan *p, luc_reduce_kind kind, luc_acc *acc, const char *x, int64_t n,
                   int64_t begin, int64_t end, const double *centre)
{
    const luc_loop *l = &p->reduced;
    const int last = l->ndim - 1;
    const int64_t step = l->strides[IN][last];
    for (int64_t at = begin; at < end;) {
        const int64_t from = at % l->dims[last], count = luc_min64(l->dims[last] - from, end - at);
        int64_t offset[2];
        luc_loop_offsets(l, at / l->dims[last], offset);
        const char *row = x + offset[IN] + from * step;
        if (p->columns)
            gather_cols(p, kind, acc, row, step, count, n, centre);
        else
            gather_row(p, kind, acc, row, step, count, centre ? *centre : 0);
        at += count;
    }
}

/* -- results -- */
static void store(const plan *p, char *y, luc_acc acc)
{
    if (p->integer && !lucid_dtype_is_floating(p->y_type)) {
        switch (p->y_type) {
        case LUCID_I64:
            *(int64_t *)(void *)y = acc.i;
            return;
        case LUCID_I32:
            *(int32_t *)(void *)y = (int32_t)acc.i;
            return;
        default:
            *(uint8_t *)y = (uint8_t)acc.i;
            return;
        }
    }
    double v = p->integer ? (double)acc.i : acc.d;
    if (p->op == LUCID_OP_mean) v /= (double)p->count;
    if (p->op == LUCID_OP_var) v /= fmax(0, (double)p->count - p->correction);
    switch (p->y_type) {
    case LUCID_F64:
        *(double *)(void *)y = v;
        return;
    case LUCID_F16:
        *(uint16_t *)(void *)y = lucid_f32_to_f16((float)v);
        return;
    case LUCID_BF16:
        *(uint16_t *)(void *)y = lucid_f32_to_bf16((float)v);
        return;
    default:
        *(float *)(void *)y = (float)v;
        return;
    }
}

/* Finds the results of task t: the first input element and the first output. Returns their
 * number. */
static int64_t locate(const plan *p, int64_t t, const char **x, char **y)
{
    const luc_loop *l = &p->kept;
    const int outer = p->columns ? l->ndim - 1 : l->ndim;
    const int64_t begin = p->columns ? t % p->strips * STRIP : 0;
    int64_t offset[2] = {0, 0};
    if (p->columns)
        for (int k = IN; k <= OUT; k++) offset[k] = begin * l->strides[k][outer];
    luc_loop_move(l, outer, p->columns ? t / p->strips : t, offset);
    *x = p->x + offset[IN];
    *y = p->y + offset[OUT];
    return p->columns && p->cols - begin > STRIP ? STRIP : p->cols - begin;
}

static void finish(const plan *p, char *y, const luc_acc *acc, int64_t n)
{
    const int64_t step = p->columns ? p->kept.strides[OUT][p->kept.ndim - 1] : 0;
    for (int64_t i = 0; i < n; i++) store(p, y + i * step, acc[i]);
}

static void run_tasks(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *p = ctx;
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        luc_acc acc[STRIP];
        const char *x;
        char *y;
        int64_t n = locate(p, t, &x, &y);
        fill_identity(p, p->kind, acc, n);
        gather(p, p->kind, acc, x, n, 0, p->count, NULL);
        if (p->op == LUCID_OP_var) {
            double centre[STRIP];
            for (int64_t i = 0; i < n; i++) centre[i] = acc[i].d / (double)p->count;
            fill_identity(p, LUC_SQUARES, acc, n);
            gather(p, LUC_SQUARES, acc, x, n, 0, p->count, centre);
        }
        finish(p, y, acc, n);
    }
}

/* Whether the results are rows at equal distances on both sides, and the rows are contiguous. */
static bool plain_rows(const plan *p)
{
    return !p->columns && p->kept.ndim == 1 && p->reduced.ndim == 1 && !p->widen &&
           p->reduced.strides[IN][0] == (int64_t)p->x_size && p->op != LUCID_OP_var;
}

static void run_sums(const plan *p, luc_sum_rows_fn sums, int64_t begin, int64_t end)
{
    enum { AT_ONCE = 64 };
    const int64_t in = p->kept.strides[IN][0], out = p->kept.strides[OUT][0];
    luc_acc acc[AT_ONCE];
    for (int64_t t = begin, n; t < end; t += n) {
        n = end - t < AT_ONCE ? end - t : AT_ONCE;
        sums(acc, p->x + t * in, in / (int64_t)p->x_size, n, p->count);
        for (int64_t i = 0; i < n; i++) store(p, p->y + (t + i) * out, acc[i]);
    }
}

static void run_plain_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *p = ctx;
    const luc_reduce_row_fn row = p->loops->row[p->kind][p->type];
    const int64_t in = p->kept.strides[IN][0], out = p->kept.strides[OUT][0];
    luc_acc identity;
    (void)thread;
    if (p->kind == LUC_SUM && p->loops->sum_rows[p->type]) {
        run_sums(p, p->loops->sum_rows[p->type], begin, end);
        return;
    }
    fill_identity(p, p->kind, &identity, 1);
    for (int64_t t = begin; t < end; t++) {
        luc_acc acc = identity;
        row(&acc, p->x + t * in, p->count, 0);
        store(p, p->y + t * out, acc);
    }
}

/* -- few tasks, split -- */
static void run_parts(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *p = ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        int64_t t = i / p->splits, from = i % p->splits * p->part;
        int64_t to = from + p->part < p->count ? from + p->part : p->count;
        luc_acc *acc = p->partial + i * p->width;
        const double *centre = p->kind == LUC_SQUARES ? p->centres + t * p->width : NULL;
        const char *x;
        char *y;
        int64_t n = locate(p, t, &x, &y);
        fill_identity(p, p->kind, acc, n);
        if (from < to) gather(p, p->kind, acc, x, n, from, to, centre);
    }
}

/* Joins b into a. */
static void merge(const plan *p, luc_acc *a, const luc_acc *b, int64_t n)
{
    luc_reduce_kind kind = p->kind == LUC_SQUARES ? LUC_SUM : p->kind;
    p->loops->cols[kind][p->integer ? LUC_R_I64 : LUC_R_F64](a, b, n, 1, n, NULL);
}

static luc_acc *merge_parts(const plan *p, int64_t t)
{
    luc_acc *first = p->partial + t * p->splits * p->width;
    for (int64_t s = 1; s < p->splits; s++) merge(p, first, first + s * p->width, p->width);
    return first;
}

static void run_split(plan *p, void *memory)
{
    p->partial = memory;
    p->centres = (double *)(void *)((char *)memory + partial_bytes(p));
    /* The last strip of a row may have fewer results, but all places are merged, so they must be
     * numbers. */
    memset(memory, 0, partial_bytes(p));
    luc_parallel_for(p->tasks * p->splits, 1, run_parts, p);
    if (p->op == LUCID_OP_var) {
        for (int64_t t = 0; t < p->tasks; t++) {
            const luc_acc *sum = merge_parts(p, t);
            for (int64_t i = 0; i < p->width; i++)
                p->centres[t * p->width + i] = sum[i].d / (double)p->count;
        }
        p->kind = LUC_SQUARES;
        luc_parallel_for(p->tasks * p->splits, 1, run_parts, p);
    }
    for (int64_t t = 0; t < p->tasks; t++) {
        const char *x;
        char *y;
        int64_t n = locate(p, t, &x, &y);
        finish(p, y, merge_parts(p, t), n);
    }
}

static bool reduce(const lucid_kernel_args *args)
{
    plan p;
    memcpy(&p, args->plan->own, sizeof p);
    if (p.results == 0) return true;
    if (p.count == 0 && p.kind != LUC_SUM)
        return luc_raise(LUCID_ERR_ARGUMENT, p.kind == LUC_MAX ? "amax" : "amin",
                         "input: expected at least one element to reduce, got none");
    if (p.splits > 1) {
        run_split(&p, args->workspace);
        return true;
    }
    int64_t work = p.count * p.width;
    luc_parallel_for(p.tasks, work >= GRAIN ? 1 : GRAIN / (work + 1),
                     plain_rows(&p) ? run_plain_rows : run_tasks, &p);
    return true;
}

void luc_cpu_register_reduce(lucid_backend *b)
{
    static const lucid_op_id ops[] = {LUCID_OP_sum, LUCID_OP_mean, LUCID_OP_var, LUCID_OP_amax,
                                      LUCID_OP_amin};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        int types = ops[i] == LUCID_OP_var ? LUCID_I64 : LUCID_DTYPE_COUNT;
        for (int type = 0; type < types; type++)
            b->kernels[ops[i]][type] = (lucid_kernel){plan_reduce, reduce};
    }
}
