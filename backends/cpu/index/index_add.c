/*
 * index_add.c: index_add and scatter_add, the sums by an index: gradients of index_select and
 * gather.
 *
 * Sums go along the index in order, one thread for each place, so they are the same bits for any
 * number of threads. Each is rounded to the element type once. It is taken in runs of RUN numbers,
 * in float (double for float64), and the runs' sums are added in double: a place that is named
 * thousands of times neither stalls, as a 16-bit sum would, nor loses digits.
 */
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/index/index_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/attrs.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/error_priv.h"

#include <string.h>

enum {
    RUN = 16,   /* numbers that are added in the narrower type */
    PIECE = 512 /* elements of a row that are summed at once, on the stack */
};

/* ---- one place after another ---------------------------------------------------------------- */

/* Where the numbers for one place are: at[order[k] * step], k < n. The order goes on with those of
 * the places after it: `known` positions in all. */
typedef struct {
    const char *at;
    const int64_t *order;
    int64_t n, step, known;
} terms;

static const char *term(const terms *t, int64_t k)
{
    return t->at + t->order[k] * t->step;
}

/* Prefetches what comes some positions after k, for this place or for the next ones. */
static void fetch_ahead(const terms *t, int64_t k, int64_t bytes)
{
    if (k + LUC_ROWS_AHEAD < t->known) luc_index_fetch(term(t, k + LUC_ROWS_AHEAD), bytes);
}

/* The sum of single numbers: they are T in memory, and W within a run. */
#define SUM_FLOATS(T, W, widen, narrow)                                             \
    do {                                                                            \
        double total = 0;                                                           \
        W run = 0;                                                                  \
        for (int64_t k = 0; k < t->n; k++) {                                        \
            run += widen(*(const T *)(const void *)term(t, k));                     \
            if ((k + 1) % RUN != 0) continue;                                       \
            total += (double)run;                                                   \
            run = 0;                                                                \
        }                                                                           \
        *(T *)(void *)y = narrow((W)(t->n < RUN ? run : (W)(total + (double)run))); \
    } while (0)
#define SUM_INTEGERS(T)                                                                           \
    do {                                                                                          \
        T sum = 0;                                                                                \
        for (int64_t k = 0; k < t->n; k++) sum = (T)(sum + *(const T *)(const void *)term(t, k)); \
        *(T *)(void *)y = sum;                                                                    \
    } while (0)

static void sum_number(char *y, const terms *t, lucid_dtype type)
{
    switch (type) {
    case LUCID_F32:
        SUM_FLOATS(float, float, , );
        return;
    case LUCID_F64:
        SUM_FLOATS(double, double, , );
        return;
    case LUCID_F16:
        SUM_FLOATS(uint16_t, float, lucid_f16_to_f32, lucid_f32_to_f16);
        return;
    case LUCID_BF16:
        SUM_FLOATS(uint16_t, float, lucid_bf16_to_f32, lucid_f32_to_bf16);
        return;
    case LUCID_I64:
        SUM_INTEGERS(uint64_t); /* wraps around */
        return;
    case LUCID_I32:
        SUM_INTEGERS(uint32_t);
        return;
    case LUCID_U8:
        SUM_INTEGERS(uint8_t);
        return;
    default:
        *y = 0;
        for (int64_t k = 0; k < t->n; k++) *y |= *term(t, k);
        return;
    }
}

static luc_ew_fn add_of(lucid_dtype type)
{
    switch (type) {
    case LUCID_F64:
        return luc_ew_f64_get()->fn[LUCID_OP_add];
    case LUCID_I64:
        return luc_ew_i64_get()->fn[LUCID_OP_add];
    case LUCID_I32:
        return luc_ew_i32_get()->fn[LUCID_OP_add];
    case LUCID_U8:
        return luc_ew_u8_get()->fn[LUCID_OP_add];
    case LUCID_BOOL:
        return luc_ew_bool_get()->fn[LUCID_OP_add];
    default: /* and the 16-bit types, which are widened first */
        return luc_ew_f32_get()->fn[LUCID_OP_add];
    }
}

/* A piece of n <= PIECE adjacent elements; the sums are the same as those of sum_number. */
static void sum_floats(char *y, const terms *t, int64_t n, lucid_dtype type)
{
    _Alignas(64) double total[PIECE], run[PIECE], wide[PIECE]; /* run, wide: of run_type */
    const lucid_dtype run_type = type == LUCID_F64 ? LUCID_F64 : LUCID_F32;
    const luc_convert_table *convert = luc_convert_get();
    const luc_ew_fn add = add_of(run_type), add_total = add_of(LUCID_F64);
    const luc_ew_call call = {0};
    const size_t bytes = (size_t)n * luc_elem_size(run_type);
    const bool one_run = t->n <= RUN;
    void *const sum = one_run && type == run_type ? (void *)y : run;
    for (int64_t k = 0; k < t->n; k++) {
        const void *x = term(t, k);
        fetch_ahead(t, k, n * (int64_t)luc_elem_size(type));
        if (type != run_type) {
            convert->fn[type][run_type](wide, x, n);
            x = wide;
        }
        if (k % RUN == 0)
            memcpy(sum, x, bytes);
        else
            add(&call, n, sum, (const void *[]){sum, x});
        if (one_run || (k % RUN != RUN - 1 && k != t->n - 1)) continue;
        convert->fn[run_type][LUCID_F64](wide, run, n);
        if (k < RUN)
            memcpy(total, wide, (size_t)n * sizeof *wide);
        else
            add_total(&call, n, total, (const void *[]){total, wide});
    }
    if (sum == y) return;
    convert->fn[one_run ? run_type : LUCID_F64][type](y, one_run ? run : total, n);
}

static void sum_piece(char *y, const terms *t, int64_t n, lucid_dtype type)
{
    const size_t bytes = (size_t)n * luc_elem_size(type);
    const luc_ew_call call = {0};
    if (t->n == 0) {
        memset(y, 0, bytes);
    } else if (t->n == 1) {
        fetch_ahead(t, 0, (int64_t)bytes);
        memcpy(y, term(t, 0), bytes);
    } else if (lucid_dtype_is_floating(type)) {
        sum_floats(y, t, n, type);
    } else {
        memcpy(y, term(t, 0), bytes);
        for (int64_t k = 1; k < t->n; k++)
            add_of(type)(&call, n, y, (const void *[]){y, term(t, k)});
    }
}

/* ---- index_add ------------------------------------------------------------------------------ */

/* The positions of the index, sorted by the row that they name: those of row r are
 * order[begin[r]] to order[begin[r + 1]]. */
typedef struct {
    const lucid_view *g, *y;
    int dim;
    int64_t rows, inner, pieces; /* the size of y's dimension; of a row of g; of a row of y */
    int64_t count;               /* positions of the index */
    int64_t g_step;              /* bytes from one slice of g to the next */
    bool dense;
    int64_t *begin, *order;
} plan;

/* A stable counting sort: sums keep the index's order. */
static void sort_positions(plan *p, const lucid_view *index)
{
    const int64_t count = p->count;
    const int64_t step = index->ndim ? luc_index_stride(index, 0) : 0;
    memset(p->begin, 0, (size_t)(p->rows + 2) * sizeof *p->begin);
    for (int64_t k = 0; k < count; k++) p->begin[luc_index_read(index, k * step) + 2]++;
    for (int64_t r = 2; r < p->rows + 2; r++) p->begin[r] += p->begin[r - 1];
    for (int64_t k = 0; k < count; k++)
        p->order[p->begin[luc_index_read(index, k * step) + 1]++] = k;
}

/* Elements [from, from + n) of a row of y and of all that is added to it. */
static void add_to_row(const plan *p, char *y, const char *g, int64_t row, int64_t from, int64_t n)
{
    const lucid_dtype type = p->y->dtype;
    const int64_t size = (int64_t)luc_elem_size(type);
    const int ndim = p->y->ndim;
    terms t = {.order = p->order + p->begin[row],
               .n = p->begin[row + 1] - p->begin[row],
               .step = p->g_step,
               .known = p->count - p->begin[row]};
    if (p->dense) {
        t.at = g + from * size;
        if (n > 1)
            sum_piece(y + from * size, &t, n, type);
        else
            sum_number(y + from * size, &t, type);
        return;
    }
    for (int64_t k = from; k < from + n; k++) {
        t.at = g + luc_index_offset(p->g, p->dim + 1, ndim, k);
        sum_number(y + luc_index_offset(p->y, p->dim + 1, ndim, k), &t, type);
    }
}

/* A unit is a piece of a row at one outer position; the pieces of a row are neighbours. */
static void add_units(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *p = ctx;
    const int64_t y_step = luc_index_stride(p->y, p->dim);
    int64_t piece = begin % p->pieces, row = begin / p->pieces % p->rows;
    int64_t outer = begin / p->pieces / p->rows;
    (void)thread;
    while (begin < end) {
        char *y = (char *)p->y->data + luc_index_offset(p->y, 0, p->dim, outer);
        const char *g = (const char *)p->g->data + luc_index_offset(p->g, 0, p->dim, outer);
        for (; row < p->rows && begin < end; row++, piece = 0)
            for (; piece < p->pieces && begin < end; piece++, begin++) {
                const int64_t from = piece * PIECE, left = p->inner - from;
                add_to_row(p, y + row * y_step, g, row, from, left < PIECE ? left : PIECE);
            }
        row = 0;
        outer++;
    }
}

static bool plan_index_add(const lucid_kernel_args *args, lucid_plan *out)
{
    const lucid_view *y = args->out[0];
    const lucid_dim_attrs *a = args->attrs;
    const int64_t rows = y->ndim ? y->dims[a->dim] : 1;
    out->workspace = (size_t)(luc_view_numel(args->in[1]) + rows + 2) * sizeof(int64_t);
    return true;
}

/* Inputs (grad, index): y of attrs.size along dim is zero plus grad's slices at their indices. */
static bool index_add(const lucid_kernel_args *args)
{
    const lucid_view *g = args->in[0], *index = args->in[1], *y = args->out[0];
    const int dim = ((const lucid_dim_attrs *)args->attrs)->dim;
    plan p = {.g = g, .y = y, .dim = dim, .rows = y->ndim ? y->dims[dim] : 1};
    p.count = luc_view_numel(index);
    if (!luc_index_check("index_add", index, p.rows)) return false;
    if (luc_view_numel(y) == 0) return true;
    p.inner = luc_index_product(y, dim + 1, y->ndim);
    p.pieces = (p.inner - 1) / PIECE + 1;
    p.dense = luc_index_inner_dense(g, dim) && luc_index_inner_dense(y, dim);
    p.g_step = luc_index_stride(g, dim);
    p.begin = args->workspace;
    p.order = p.begin + p.rows + 2;
    sort_positions(&p, index);
    const int64_t units = luc_index_product(y, 0, dim) * p.rows * p.pieces;
    const int64_t elements = luc_view_numel(y) + luc_view_numel(g);
    luc_parallel_for(units, units / (elements / LUC_INDEX_GRAIN + 1) + 1, add_units, &p);
    return true;
}

/* ---- scatter_add: an index for every element ------------------------------------------------ */

/* The dtype of the sums before they are rounded. A place has at most as many terms as a line has
 * indices; a few terms in float32 are a single run. */
static lucid_dtype sum_type(lucid_dtype type, const lucid_view *index, int dim)
{
    if (type == LUCID_F16 || type == LUCID_BF16) return LUCID_F32;
    return type == LUCID_F32 && index->ndim && index->dims[dim] > RUN ? LUCID_F64 : type;
}

typedef struct {
    const lucid_view *g, *index, *sums; /* g has at least the index's sizes */
    int dim;
} elements;

/* The lines that are taken together: neighbours along the dimensions after dim. Their elements at
 * one position lie beside each other mostly, as those of a row of a matrix with dim = 0 do. */
enum { LINES = 16 };

/* Where the lines of one group begin, in bytes. */
typedef struct {
    int n;
    int64_t g[LINES], index[LINES], sums[LINES];
} lines;

/* Adds the elements at position k of every line. The sums are W in memory, the elements T. */
#define ADD(T, W, widen)                                                                     \
    do {                                                                                     \
        for (int j = 0; j < l->n; j++) {                                                     \
            const int64_t where = luc_index_read(e->index, l->index[j] + index_at);          \
            W *sum = (W *)(void *)(sums + l->sums[j] + where * sums_step);                   \
            *sum = (W)(*sum + (W)widen(*(const T *)(const void *)(g + l->g[j] + k * step))); \
        }                                                                                    \
    } while (0)

static void add_position(const elements *e, const lines *l, int64_t k)
{
    const int64_t step = luc_index_stride(e->g, e->dim);
    const int64_t sums_step = luc_index_stride(e->sums, e->dim);
    const int64_t index_at = k * luc_index_stride(e->index, e->dim);
    const char *g = e->g->data;
    char *sums = e->sums->data;
    switch (e->g->dtype) {
    case LUCID_F32:
        if (e->sums->dtype == LUCID_F64)
            ADD(float, double, );
        else
            ADD(float, float, );
        return;
    case LUCID_F64:
        ADD(double, double, );
        return;
    case LUCID_F16:
        ADD(uint16_t, float, lucid_f16_to_f32);
        return;
    case LUCID_BF16:
        ADD(uint16_t, float, lucid_bf16_to_f32);
        return;
    case LUCID_I64:
        ADD(uint64_t, uint64_t, ); /* wraps around */
        return;
    case LUCID_I32:
        ADD(uint32_t, uint32_t, );
        return;
    case LUCID_U8:
        ADD(uint8_t, uint8_t, );
        return;
    default:
        ADD(bool, bool, );
        return;
    }
}

/* The first lines of [line, end), at most LINES, which share their position before dim. */
static void find_lines(lines *l, const elements *e, int64_t line, int64_t end)
{
    const int dim = e->dim, ndim = e->index->ndim;
    const int64_t inner = luc_index_product(e->index, dim + 1, ndim);
    const int64_t left = inner - line % inner, most = end - line < LINES ? end - line : LINES;
    const lucid_view *views[3] = {e->g, e->index, e->sums};
    int64_t *at[3] = {l->g, l->index, l->sums};
    l->n = (int)(left < most ? left : most);
    for (int v = 0; v < 3; v++) {
        /* The positions along the other dimensions are the same in all three views. */
        lucid_view like = *e->index;
        like.dtype = views[v]->dtype;
        memcpy(like.strides, views[v]->strides, sizeof like.strides);
        const int64_t outer = luc_index_offset(&like, 0, dim, line / inner);
        for (int j = 0; j < l->n; j++)
            at[v][j] = outer + luc_index_offset(&like, dim + 1, ndim, line % inner + j);
    }
}

/* A block is a range of lines along dim. No two lines write to the same place. */
static void add_lines(void *ctx, int64_t begin, int64_t end, int thread)
{
    const elements *e = ctx;
    const int64_t n = e->index->ndim ? e->index->dims[e->dim] : 1;
    lines l;
    (void)thread;
    for (int64_t line = begin; line < end; line += l.n) {
        find_lines(&l, e, line, end);
        for (int64_t k = 0; k < n; k++) add_position(e, &l, k);
    }
}

static bool plan_scatter_add(const lucid_kernel_args *args, lucid_plan *out)
{
    const lucid_view *y = args->out[0];
    const int dim = ((const lucid_dim_attrs *)args->attrs)->dim;
    const lucid_dtype wide = sum_type(y->dtype, args->in[1], dim);
    if (wide != y->dtype) out->workspace = (size_t)luc_view_numel(y) * luc_elem_size(wide);
    return true;
}

static bool run(lucid_op_id op, const lucid_view *x, const lucid_view *y, const void *attrs)
{
    const lucid_kernel_args args = {
        .op = op, .n_in = x != NULL, .n_out = 1, .in = &x, .out = &y, .attrs = attrs};
    return luc_cpu_backend()->kernels[op][x ? x->dtype : y->dtype].run(&args);
}

/* Inputs (grad, index): y of attrs.size along dim is zero plus grad's elements at their indices. */
static bool scatter_add(const lucid_kernel_args *args)
{
    const lucid_view *index = args->in[1], *y = args->out[0];
    const int dim = ((const lucid_dim_attrs *)args->attrs)->dim;
    const lucid_scalar_attrs zero = {0};
    lucid_view sums = *y;
    if (!luc_index_check("scatter_add", index, y->ndim ? y->dims[dim] : 1)) return false;
    sums.dtype = sum_type(y->dtype, index, dim);
    if (sums.dtype != y->dtype) {
        int64_t stride = 1;
        sums.data = args->workspace;
        for (int d = y->ndim - 1; d >= 0; stride *= y->dims[d--]) sums.strides[d] = stride;
    }
    if (luc_view_numel(y) == 0) return true;
    if (!run(LUCID_OP_fill, NULL, &sums, &zero)) return false;
    elements e = {.g = args->in[0], .index = index, .sums = &sums, .dim = dim};
    const int64_t n = index->ndim ? index->dims[dim] : 1, total = luc_view_numel(index);
    const int64_t grain = LUC_INDEX_GRAIN / (n + 1) + 1;
    if (total > 0) luc_parallel_for(total / n, grain < LINES ? LINES : grain, add_lines, &e);
    return sums.dtype == y->dtype || run(LUCID_OP_cast, &sums, y, NULL);
}

void luc_cpu_register_index_add(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        b->kernels[LUCID_OP_index_add][type] = (lucid_kernel){plan_index_add, index_add};
        b->kernels[LUCID_OP_scatter_add][type] = (lucid_kernel){plan_scatter_add, scatter_add};
    }
}
