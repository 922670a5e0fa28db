/*
 * index.c: index_select, index_add, gather, scatter_add and cat.
 *
 * Every view is seen as [outer][dim][inner]: the dimensions before `dim`, `dim` itself, those after.
 * Sums go along the index in order, one thread for each place, so they are deterministic.
 */
#include "backends/cpu/cpu_priv.h"
#include "backends/cpu/elementwise.h"
#include "backends/cpu/iterate.h"
#include "backends/cpu/parallel.h"
#include "lucid/attrs.h"
#include "lucid/error_priv.h"

#include <string.h>

enum {
    GRAIN = 1 << 14,    /* elements a block */
    SMALLEST_PIECE = 64 /* of a row that is added */
};

static int64_t product(const lucid_view *v, int from, int to)
{
    int64_t n = 1;
    for (int d = from; d < to; d++) n *= v->dims[d];
    return n;
}

/* Bytes from v's begin to position `i` of the dimensions [from, to). */
static int64_t offset_of(const lucid_view *v, int from, int to, int64_t i)
{
    int64_t offset = 0;
    for (int d = to - 1; d >= from; d--) {
        offset += i % v->dims[d] * v->strides[d];
        i /= v->dims[d];
    }
    return offset * (int64_t)luc_elem_size(v->dtype);
}

static int64_t stride_of(const lucid_view *v, int dim)
{
    return v->ndim ? v->strides[dim] * (int64_t)luc_elem_size(v->dtype) : 0;
}

static int64_t read_index(const lucid_view *v, int64_t offset)
{
    const char *p = (const char *)v->data + offset;
    return v->dtype == LUCID_I32 ? *(const int32_t *)(const void *)p
                                 : *(const int64_t *)(const void *)p;
}

/* Are these all within [0, size)? Signs tell: without a branch the compiler makes vectors of it. */
static bool all_within(const lucid_view *index, int64_t n, int64_t size)
{
    uint64_t signs = 0;
    if (index->dtype == LUCID_I64) {
        const int64_t *p = index->data;
        for (int64_t i = 0; i < n; i++)
            signs |= (uint64_t)p[i] | ((uint64_t)size - 1 - (uint64_t)p[i]);
    } else {
        const int32_t *p = index->data;
        for (int64_t i = 0; i < n; i++)
            signs |= (uint64_t)(int64_t)p[i] | ((uint64_t)size - 1 - (uint64_t)(int64_t)p[i]);
    }
    return signs >> 63 == 0;
}

/* All indices are within [0, size) and of an integer dtype. */
static bool check_index(const char *op, const lucid_view *index, int64_t size)
{
    if (index->dtype != LUCID_I64 && index->dtype != LUCID_I32)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "index: expected int64 or int32, got %s",
                         lucid_dtype_name(index->dtype));
    const int64_t n = luc_view_numel(index), step = (int64_t)luc_elem_size(index->dtype);
    const bool dense = luc_view_contiguous(index);
    if (dense && all_within(index, n, size)) return true;
    for (int64_t i = 0; i < n; i++) {
        int64_t value = read_index(index, dense ? i * step : offset_of(index, 0, index->ndim, i));
        if (value < 0 || value >= size)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "index: expected values in [0,%lld), got %lld at position %lld",
                             (long long)size, (long long)value, (long long)i);
    }
    return true;
}

/* -- y += x, n elements any distance apart -- */
#define ADD(T)                       \
    for (int64_t i = 0; i < n; i++)  \
    *(T *)(void *)(y + i * y_step) = \
        (T)(*(T *)(void *)(y + i * y_step) + *(const T *)(const void *)(x + i * x_step))
#define ADD_HALF(widen, narrow)                                                              \
    for (int64_t i = 0; i < n; i++) {                                                        \
        uint16_t *at = (uint16_t *)(void *)(y + i * y_step);                                 \
        *at = narrow(widen(*at) + widen(*(const uint16_t *)(const void *)(x + i * x_step))); \
    }

static void add_row(char *y, int64_t y_step, const char *x, int64_t x_step, int64_t n,
                    lucid_dtype type)
{
    switch (type) {
    case LUCID_F32:
        ADD(float);
        return;
    case LUCID_F64:
        ADD(double);
        return;
    case LUCID_F16:
        ADD_HALF(lucid_f16_to_f32, lucid_f32_to_f16) return;
    case LUCID_BF16:
        ADD_HALF(lucid_bf16_to_f32, lucid_f32_to_bf16) return;
    case LUCID_I64:
        ADD(uint64_t);
        return;
    case LUCID_I32:
        ADD(uint32_t);
        return;
    case LUCID_U8:
        ADD(uint8_t);
        return;
    default:
        for (int64_t i = 0; i < n; i++) y[i * y_step] |= x[i * x_step];
        return;
    }
}

/* The loop y = y + x for contiguous rows; NULL for the 16-bit types, whose sums are rounded. */
static luc_ew_fn dense_add(lucid_dtype type)
{
    switch (type) {
    case LUCID_F32:
        return luc_ew_f32_get()->fn[LUCID_OP_add];
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
    default:
        return NULL;
    }
}

/* -- index_select and index_add: whole slices -- */
typedef struct {
    const lucid_view *x, *index, *y;
    int dim;
    int64_t count, inner; /* indices; elements of a slice's row */
    bool dense;           /* the inner dimensions are one contiguous row on both sides */
} slices;

static bool inner_dense(const lucid_view *v, int dim)
{
    int64_t expected = 1;
    for (int d = v->ndim - 1; d > dim; d--) {
        if (v->dims[d] != 1 && v->strides[d] != expected) return false;
        expected *= v->dims[d];
    }
    return true;
}

/* The row that index k names, in bytes along its dimension. */
static int64_t named(const slices *s, const lucid_view *v, int64_t k)
{
    int64_t i = read_index(s->index, s->index->ndim ? k * stride_of(s->index, 0) : 0);
    return i * stride_of(v, s->dim);
}

enum { ROWS_AHEAD = 6 };

/* Asks for a row that the hardware cannot guess. */
static void fetch_row(const char *row, int64_t bytes)
{
    enum { LINE = 64, MOST = 16 * LINE };
    for (int64_t i = 0; i < bytes && i < MOST; i += LINE) __builtin_prefetch(row + i);
}

static void select_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const slices *s = ctx;
    const size_t size = luc_elem_size(s->x->dtype), bytes = (size_t)s->inner * size;
    const int64_t y_step = stride_of(s->y, s->dim);
    (void)thread;
    for (int64_t i = begin; i < end;) {
        const int64_t outer = i / s->count;
        char *y_outer = (char *)s->y->data + offset_of(s->y, 0, s->dim, outer);
        const char *x_outer = (const char *)s->x->data + offset_of(s->x, 0, s->dim, outer);
        for (int64_t k = i % s->count; k < s->count && i < end; k++, i++) {
            char *y = y_outer + k * y_step;
            const char *x = x_outer + named(s, s->x, k);
            if (s->dense) {
                if (k + ROWS_AHEAD < s->count)
                    fetch_row(x_outer + named(s, s->x, k + ROWS_AHEAD), (int64_t)bytes);
                memcpy(y, x, bytes);
                continue;
            }
            for (int64_t j = 0; j < s->inner; j++)
                memcpy(y + offset_of(s->y, s->dim + 1, s->y->ndim, j),
                       x + offset_of(s->x, s->dim + 1, s->x->ndim, j), size);
        }
    }
}

static bool index_select(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_dim_attrs *a = args->attrs;
    slices s = {.x = x, .index = args->in[1], .y = y, .dim = a->dim};
    s.count = luc_view_numel(s.index);
    if (!check_index("index_select", s.index, x->ndim ? x->dims[a->dim] : 1)) return false;
    s.inner = product(y, a->dim + 1, y->ndim);
    s.dense = inner_dense(x, a->dim) && inner_dense(y, a->dim);
    int64_t rows = product(y, 0, a->dim) * s.count;
    if (s.inner == 0 || rows == 0) return true;
    luc_parallel_for(rows, GRAIN / (s.inner + 1) + 1, select_rows, &s);
    return true;
}

/* A block is a range of inner positions of one outer one: no two blocks add to the same place. */
static void add_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const slices *s = ctx;
    const lucid_dtype type = s->x->dtype;
    const int64_t size = (int64_t)luc_elem_size(type), g_step = stride_of(s->x, s->dim);
    const luc_ew_fn add = s->dense ? dense_add(type) : NULL;
    const luc_ew_call call = {0};
    (void)thread;
    while (begin < end) {
        int64_t outer = begin / s->inner, from = begin % s->inner;
        int64_t n = s->inner - from < end - begin ? s->inner - from : end - begin;
        char *y_outer = (char *)s->y->data + offset_of(s->y, 0, s->dim, outer);
        const char *g_outer = (const char *)s->x->data + offset_of(s->x, 0, s->dim, outer);
        for (int64_t k = 0; k < s->count; k++) {
            char *y = y_outer + named(s, s->y, k);
            const char *g = g_outer + k * g_step;
            if (add)
                add(&call, n, y + from * size, (const void *[]){y + from * size, g + from * size});
            else if (s->dense)
                add_row(y + from * size, size, g + from * size, size, n, type);
            else
                for (int64_t j = from; j < from + n; j++)
                    add_row(y + offset_of(s->y, s->dim + 1, s->y->ndim, j), 0,
                            g + offset_of(s->x, s->dim + 1, s->x->ndim, j), 0, 1, type);
        }
        begin += n;
    }
}

static bool fill_zero(const lucid_view *y)
{
    const lucid_scalar_attrs zero = {0};
    const lucid_kernel_args args = {
        .op = LUCID_OP_fill, .n_out = 1, .out = &(const lucid_view *){y}, .attrs = &zero};
    return luc_cpu_backend()->kernels[LUCID_OP_fill][y->dtype](&args);
}

/* -- index_add by places: rows of y in blocks that the caches hold, each with its indices -- */
enum { BLOCK_BYTES = 1 << 19, LONG_ROW = 1 << 13, PLACES = 1 << 12 /* blocks at most */ };

typedef struct {
    slices s;
    int shift;            /* a block is 2^shift rows */
    int64_t blocks, rows; /* of y's dimension */
    int64_t *begin,
        *order; /* where a block's indices begin in `order`, which lists their positions */
} places;

/* 2^result rows a block. */
static int places_shift(int64_t rows, int64_t row_bytes)
{
    enum { FEW = 16 };
    int shift = 0;
    while ((row_bytes << (shift + 1) <= BLOCK_BYTES && rows >> (shift + 1) >= FEW) ||
           rows >> shift > PLACES)
        shift++;
    return shift;
}

/* A stable counting sort by block: sums keep the index's order. */
static void sort_places(places *p)
{
    const lucid_view *index = p->s.index;
    const int64_t step = index->ndim ? stride_of(index, 0) : 0;
    memset(p->begin, 0, (size_t)(p->blocks + 2) * sizeof *p->begin);
    for (int64_t k = 0; k < p->s.count; k++)
        p->begin[(read_index(index, k * step) >> p->shift) + 2]++;
    for (int64_t b = 2; b < p->blocks + 2; b++) p->begin[b] += p->begin[b - 1];
    for (int64_t k = 0; k < p->s.count; k++)
        p->order[p->begin[(read_index(index, k * step) >> p->shift) + 1]++] = k;
}

static void add_places(void *ctx, int64_t begin, int64_t end, int thread)
{
    const places *p = ctx;
    const slices *s = &p->s;
    const lucid_dtype type = s->x->dtype;
    const int64_t size = (int64_t)luc_elem_size(type), row = s->inner * size;
    const int64_t g_step = stride_of(s->x, s->dim);
    const luc_ew_fn add = dense_add(type);
    const luc_ew_call call = {0};
    (void)thread;
    for (int64_t i = begin; i < end; i++) {
        const int64_t outer = i / p->blocks, block = i % p->blocks, first = block << p->shift;
        const int64_t rows = p->rows - first, most = (int64_t)1 << p->shift;
        char *y_outer = (char *)s->y->data + offset_of(s->y, 0, s->dim, outer);
        const char *g_outer = (const char *)s->x->data + offset_of(s->x, 0, s->dim, outer);
        memset(y_outer + first * row, 0, (size_t)((rows < most ? rows : most) * row));
        for (int64_t k = p->begin[block]; k < p->begin[block + 1]; k++) {
            char *y = y_outer + named(s, s->y, p->order[k]);
            const char *g = g_outer + p->order[k] * g_step;
            if (k + ROWS_AHEAD < p->begin[block + 1])
                fetch_row(g_outer + p->order[k + ROWS_AHEAD] * g_step, row);
            if (add)
                add(&call, s->inner, y, (const void *[]){y, g});
            else
                add_row(y, size, g, size, s->inner, type);
        }
    }
}

/* Rows that are too long for it are cut by add_rows: there, all may go to the same place. */
static bool takes_places(const slices *s)
{
    const int64_t row = s->inner * (int64_t)luc_elem_size(s->y->dtype);
    return s->dense && row <= LONG_ROW && s->y->ndim > 0 && stride_of(s->y, s->dim) == row;
}

static size_t index_add_workspace(const lucid_kernel_args *args)
{
    return (size_t)(luc_view_numel(args->in[1]) + PLACES + 3) * sizeof(int64_t);
}

static void add_by_places(const slices *s, void *workspace)
{
    places p = {.s = *s, .rows = s->y->dims[s->dim], .begin = workspace};
    p.shift = places_shift(p.rows, s->inner * (int64_t)luc_elem_size(s->y->dtype));
    p.blocks = ((p.rows - 1) >> p.shift) + 1;
    p.order = p.begin + p.blocks + 2;
    sort_places(&p);
    const int64_t units = product(s->y, 0, s->dim) * p.blocks;
    const int64_t elements = luc_view_numel(s->y) + luc_view_numel(s->x);
    luc_parallel_for(units, units / (elements / GRAIN + 1) + 1, add_places, &p);
}

/* Inputs (grad, index): y of attrs.size along dim is zero plus grad's slices at their indices. */
static bool index_add(const lucid_kernel_args *args)
{
    const lucid_view *g = args->in[0], *y = args->out[0];
    const lucid_dim_attrs *a = args->attrs;
    slices s = {.x = g, .index = args->in[1], .y = y, .dim = a->dim};
    s.count = luc_view_numel(s.index);
    if (!check_index("index_add", s.index, y->ndim ? y->dims[a->dim] : 1)) return false;
    s.inner = product(y, a->dim + 1, y->ndim);
    s.dense = inner_dense(g, a->dim) && inner_dense(y, a->dim);
    if (luc_view_numel(y) > 0 && takes_places(&s)) {
        add_by_places(&s, args->workspace);
        return true;
    }
    if (!fill_zero(y)) return false;
    int64_t positions = product(y, 0, a->dim) * s.inner;
    if (positions == 0 || s.count == 0) return true;
    const int64_t grain = GRAIN / (s.count + 1) + 1;
    luc_parallel_for(positions, grain < SMALLEST_PIECE ? SMALLEST_PIECE : grain, add_rows, &s);
    return true;
}

/* -- gather and scatter_add: an index for every element -- */
typedef struct {
    const lucid_view *listed, *index, *named; /* listed has the index's sizes */
    int dim;
    bool adds;
} elements;

/* A block is a range of lines along dim; no two lines share a place. */
static void run_lines(void *ctx, int64_t begin, int64_t end, int thread)
{
    const elements *e = ctx;
    const int dim = e->dim, ndim = e->index->ndim;
    const int64_t inner = product(e->index, dim + 1, ndim), n = ndim ? e->index->dims[dim] : 1;
    const int64_t step = stride_of(e->listed, dim), index_step = stride_of(e->index, dim);
    const int64_t named_step = stride_of(e->named, dim);
    const size_t size = luc_elem_size(e->named->dtype);
    (void)thread;
    for (int64_t line = begin; line < end; line++) {
        int64_t o = line / inner, i = line % inner;
        /* The other dimensions' positions are the index's, in all three views. */
        lucid_view like = *e->index;
        int64_t at[3];
        const lucid_view *views[3] = {e->listed, e->index, e->named};
        for (int v = 0; v < 3; v++) {
            like.dtype = views[v]->dtype;
            memcpy(like.strides, views[v]->strides, sizeof like.strides);
            at[v] = offset_of(&like, 0, dim, o) + offset_of(&like, dim + 1, ndim, i);
        }
        char *listed = (char *)e->listed->data + at[0], *named = (char *)e->named->data + at[2];
        for (int64_t k = 0; k < n; k++) {
            int64_t where = read_index(e->index, at[1] + k * index_step);
            if (e->adds)
                add_row(named + where * named_step, 0, listed + k * step, 0, 1, e->named->dtype);
            else
                memcpy(listed + k * step, named + where * named_step, size);
        }
    }
}

static void run_elements(elements *e)
{
    int64_t n = e->index->ndim ? e->index->dims[e->dim] : 1, total = luc_view_numel(e->index);
    if (total == 0) return;
    luc_parallel_for(total / n, GRAIN / (n + 1) + 1, run_lines, e);
}

static bool gather(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0];
    const lucid_dim_attrs *a = args->attrs;
    elements e = {.listed = args->out[0], .index = args->in[1], .named = x, .dim = a->dim};
    if (!check_index("gather", e.index, x->ndim ? x->dims[a->dim] : 1)) return false;
    run_elements(&e);
    return true;
}

/* Inputs (grad, index): y of attrs.size along dim is zero plus grad's elements at their indices. */
static bool scatter_add(const lucid_kernel_args *args)
{
    const lucid_view *y = args->out[0];
    const lucid_dim_attrs *a = args->attrs;
    elements e = {
        .listed = args->in[0], .index = args->in[1], .named = y, .dim = a->dim, .adds = true};
    if (!check_index("scatter_add", e.index, y->ndim ? y->dims[a->dim] : 1)) return false;
    if (!fill_zero(y)) return false;
    run_elements(&e);
    return true;
}

/* -- cat: each input is copied into its part of the output -- */
static bool cat(const lucid_kernel_args *args)
{
    const lucid_view *y = args->out[0];
    const int dim = ((const lucid_dim_attrs *)args->attrs)->dim;
    const int64_t size = (int64_t)luc_elem_size(y->dtype);
    int64_t at = 0;
    for (int i = 0; i < args->n_in; i++) {
        const lucid_view *x = args->in[i];
        if (luc_view_numel(x) == 0) continue; /* also the empty [0] that may join any sizes */
        lucid_view part = *y;
        part.data = (char *)y->data + at * y->strides[dim] * size;
        part.dims[dim] = x->dims[dim];
        at += x->dims[dim];
        const lucid_op_id op = x->dtype == y->dtype ? LUCID_OP_copy : LUCID_OP_cast;
        const lucid_kernel_args copy = {
            .op = op, .n_in = 1, .n_out = 1, .in = &x, .out = &(const lucid_view *){&part}};
        if (!luc_cpu_backend()->kernels[op][x->dtype](&copy)) return false;
    }
    return true;
}

void luc_cpu_register_index(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        b->kernels[LUCID_OP_index_select][type] = index_select;
        b->kernels[LUCID_OP_index_add][type] = index_add;
        b->kernels[LUCID_OP_gather][type] = gather;
        b->kernels[LUCID_OP_scatter_add][type] = scatter_add;
        b->kernels[LUCID_OP_cat][type] = cat;
    }
    b->workspace[LUCID_OP_index_add] = index_add_workspace;
}
