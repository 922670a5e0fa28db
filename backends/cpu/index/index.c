/*
 * index.c: index_select, gather and cat. (index_add.c has the sums, index_add and scatter_add.)
 *
 * Every view is taken as [outer][dim][inner]: the dimensions before `dim`, `dim` itself, and those
 * after it.
 */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/index/index_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/attrs.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/error_priv.h"

#include <string.h>

/* Whether all of these are in [0, size). The signs tell, because without a branch the compiler
 * makes vectors of the loop. */
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

/* True if all indices are in [0, size) and of an integer dtype. */
bool luc_index_check(const char *op, const lucid_view *index, int64_t size)
{
    if (index->dtype != LUCID_I64 && index->dtype != LUCID_I32)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "index: expected int64 or int32, got %s",
                         lucid_dtype_name(index->dtype));
    const int64_t n = luc_view_numel(index), step = (int64_t)luc_elem_size(index->dtype);
    const bool dense = luc_view_is_contiguous(index);
    if (dense && all_within(index, n, size)) return true;
    for (int64_t i = 0; i < n; i++) {
        int64_t value =
            luc_index_read(index, dense ? i * step : luc_index_offset(index, 0, index->ndim, i));
        if (value < 0 || value >= size)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "index: expected values in [0,%lld), got %lld at position %lld",
                             (long long)size, (long long)value, (long long)i);
    }
    return true;
}

/* -- index_select: whole slices -- */
typedef struct {
    const lucid_view *x, *index, *y;
    int dim;
    int64_t count, inner; /* indices; elements of a slice's row */
    bool dense;           /* the inner dimensions are one contiguous row on both sides */
} slices;

bool luc_index_inner_dense(const lucid_view *v, int dim)
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
    int64_t i = luc_index_read(s->index, s->index->ndim ? k * luc_index_stride(s->index, 0) : 0);
    return i * luc_index_stride(v, s->dim);
}

static void select_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    const slices *s = ctx;
    const size_t size = luc_elem_size(s->x->dtype), bytes = (size_t)s->inner * size;
    const int64_t y_step = luc_index_stride(s->y, s->dim);
    (void)thread;
    for (int64_t i = begin; i < end;) {
        const int64_t outer = i / s->count;
        char *y_outer = (char *)s->y->data + luc_index_offset(s->y, 0, s->dim, outer);
        const char *x_outer = (const char *)s->x->data + luc_index_offset(s->x, 0, s->dim, outer);
        for (int64_t k = i % s->count; k < s->count && i < end; k++, i++) {
            char *y = y_outer + k * y_step;
            const char *x = x_outer + named(s, s->x, k);
            if (s->dense) {
                if (k + LUC_ROWS_AHEAD < s->count)
                    luc_index_fetch(x_outer + named(s, s->x, k + LUC_ROWS_AHEAD), (int64_t)bytes);
                memcpy(y, x, bytes);
                continue;
            }
            for (int64_t j = 0; j < s->inner; j++)
                memcpy(y + luc_index_offset(s->y, s->dim + 1, s->y->ndim, j),
                       x + luc_index_offset(s->x, s->dim + 1, s->x->ndim, j), size);
        }
    }
}

static bool index_select(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_dim_attrs *a = args->attrs;
    slices s = {.x = x, .index = args->in[1], .y = y, .dim = a->dim};
    s.count = luc_view_numel(s.index);
    if (!luc_index_check("index_select", s.index, x->ndim ? x->dims[a->dim] : 1)) return false;
    s.inner = luc_index_product(y, a->dim + 1, y->ndim);
    s.dense = luc_index_inner_dense(x, a->dim) && luc_index_inner_dense(y, a->dim);
    int64_t rows = luc_index_product(y, 0, a->dim) * s.count;
    if (s.inner == 0 || rows == 0) return true;
    luc_parallel_for(rows, LUC_INDEX_GRAIN / (s.inner + 1) + 1, select_rows, &s);
    return true;
}

/* -- gather: an index for every element -- */
typedef struct {
    const lucid_view *listed, *index, *named; /* `listed` has the sizes of the index */
    int dim;
} elements;

/* A block is a range of lines along dim. No two lines write to the same place. */
static void run_lines(void *ctx, int64_t begin, int64_t end, int thread)
{
    const elements *e = ctx;
    const int dim = e->dim, ndim = e->index->ndim;
    const int64_t inner = luc_index_product(e->index, dim + 1, ndim),
                  n = ndim ? e->index->dims[dim] : 1;
    const int64_t step = luc_index_stride(e->listed, dim),
                  index_step = luc_index_stride(e->index, dim);
    const int64_t named_step = luc_index_stride(e->named, dim);
    const size_t size = luc_elem_size(e->named->dtype);
    (void)thread;
    for (int64_t line = begin; line < end; line++) {
        int64_t o = line / inner, i = line % inner;
        /* The positions along the other dimensions are the same in all three views. */
        lucid_view like = *e->index;
        int64_t at[3];
        const lucid_view *views[3] = {e->listed, e->index, e->named};
        for (int v = 0; v < 3; v++) {
            like.dtype = views[v]->dtype;
            memcpy(like.strides, views[v]->strides, sizeof like.strides);
            at[v] = luc_index_offset(&like, 0, dim, o) + luc_index_offset(&like, dim + 1, ndim, i);
        }
        char *listed = (char *)e->listed->data + at[0], *named = (char *)e->named->data + at[2];
        for (int64_t k = 0; k < n; k++) {
            int64_t where = luc_index_read(e->index, at[1] + k * index_step);
            memcpy(listed + k * step, named + where * named_step, size);
        }
    }
}

static void run_elements(elements *e)
{
    int64_t n = e->index->ndim ? e->index->dims[e->dim] : 1, total = luc_view_numel(e->index);
    if (total == 0) return;
    luc_parallel_for(total / n, LUC_INDEX_GRAIN / (n + 1) + 1, run_lines, e);
}

static bool gather(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0];
    const lucid_dim_attrs *a = args->attrs;
    elements e = {.listed = args->out[0], .index = args->in[1], .named = x, .dim = a->dim};
    if (!luc_index_check("gather", e.index, x->ndim ? x->dims[a->dim] : 1)) return false;
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
        if (luc_view_numel(x) == 0) continue; /* the empty [0] may join tensors of any sizes */
        lucid_view part = *y;
        part.data = (char *)y->data + at * y->strides[dim] * size;
        part.dims[dim] = x->dims[dim];
        at += x->dims[dim];
        const lucid_op_id op = x->dtype == y->dtype ? LUCID_OP_copy : LUCID_OP_cast;
        const lucid_kernel_args copy = {
            .op = op, .n_in = 1, .n_out = 1, .in = &x, .out = &(const lucid_view *){&part}};
        if (!luc_cpu_backend()->kernels[op][x->dtype].run(&copy)) return false;
    }
    return true;
}

void luc_cpu_register_index(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        b->kernels[LUCID_OP_index_select][type].run = index_select;
        b->kernels[LUCID_OP_gather][type].run = gather;
        b->kernels[LUCID_OP_cat][type].run = cat;
    }
    luc_cpu_register_index_add(b);
}
