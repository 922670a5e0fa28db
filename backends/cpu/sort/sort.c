/* sort.c: sort, argsort and topk along a dimension.
 *
 * The keys of a row, each with its index, are sorted by a radix sort from the last byte to the
 * first. Short rows are sorted by counting how many keys come before each. The values are made from
 * the keys again. If few elements are asked for, topk keeps the best so far; otherwise it selects
 * byte by byte before it sorts. Equal elements always keep their order, so there is one right
 * result, and threads cannot change it. */
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/sort/sort_priv.h"
#include "backends/cpu/simd/template.h"
#include "lucid/core/attrs.h"

#include <math.h>
#include <string.h>

enum {
    GRAIN = 1 << 13,       /* elements of a block of rows */
    FEW = 32,              /* up to this k, topk keeps the best elements so far */
    LONG_BLOCK = 1 << 14,  /* elements of a long row that a thread takes at a time */
    LONG_MANY = 1 << 10,   /* from this k on, topk of a long row sorts the row */
    GROUP_BYTES = 1 << 19, /* bytes that a group's rows may take */
};

/* Where a group of neighbouring rows lies, and the distances to the next row, in elements. */
typedef struct {
    const char *x;
    char *y;
    int64_t *i;
    int64_t x_next, y_next, i_next;
} row_place;

typedef struct {
    const luc_sort_plan *p;
    row_place at;
    void *a, *b;
    uint32_t *counts; /* [block][256] */
    int digit;
} long_row;

/* ---- rows in memory ------------------------------------------------------------------------- */

static int64_t groups_of_run(const luc_sort_plan *p)
{
    return luc_ceil_div(p->loop.dims[p->loop.ndim - 1], p->group);
}

/* Finds the t-th group of rows; returns the number of its rows. */
static int find_rows(const luc_sort_plan *p, int64_t t, row_place *at)
{
    const luc_loop *l = &p->loop;
    const int last = l->ndim - 1;
    const int64_t groups = groups_of_run(p), from = t % groups * p->group;
    int64_t offset[3];
    luc_loop_offsets(l, t / groups, offset);
    for (int k = 0; k < 3; k++) offset[k] += from * l->strides[k][last];
    at->x = p->x + offset[0] * (int64_t)p->size;
    at->y = p->values ? p->values + offset[1] * (int64_t)p->size : NULL;
    at->i = p->indices + offset[2];
    at->x_next = l->strides[0][last];
    at->y_next = l->strides[1][last];
    at->i_next = l->strides[2][last];
    const int64_t left = l->dims[last] - from;
    return (int)(left < p->group ? left : p->group);
}

/* On one side, row g's element i of the chunk lies at [g * chunk + i], and on the other side at the
 * given distances. The rows are the inner loop, because they are neighbours in memory. */
#define FOR_CHUNK                   \
    for (int64_t i = 0; i < n; i++) \
        for (int64_t g = 0; g < rows; g++)
#define READ(T)  FOR_CHUNK((T *)packed)[g * chunk + i] = ((const T *)x)[i * step + g * next]
#define WRITE(T) FOR_CHUNK((T *)y)[i * step + g * next] = ((const T *)packed)[g * chunk + i]
#define BY_SIZE(DO)   \
    switch (size) {   \
    case 1:           \
        DO(uint8_t);  \
        break;        \
    case 2:           \
        DO(uint16_t); \
        break;        \
    case 4:           \
        DO(uint32_t); \
        break;        \
    default:          \
        DO(uint64_t); \
    }

static void read_strided(void *packed, const void *x, size_t size, int rows, int64_t n,
                         int64_t chunk, int64_t step, int64_t next)
{
    BY_SIZE(READ)
}

static void write_strided(void *y, const void *packed, size_t size, int rows, int64_t n,
                          int64_t chunk, int64_t step, int64_t next)
{
    if (rows == 1 && step == 1)
        memcpy(y, packed, (size_t)n * size);
    else
        BY_SIZE(WRITE)
}

/* Elements [from, from + n) of the rows, row g's at [g * chunk]: in place, or packed. */
static const char *read_chunk(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                              int64_t n, int64_t chunk, char *packed)
{
    const char *x = at->x + from * p->x_step * (int64_t)p->size;
    if (rows == 1 && p->x_step == 1) return x;
    read_strided(packed, x, p->size, rows, n, chunk, p->x_step, at->x_next);
    return packed;
}

static void write_chunk(const luc_sort_plan *p, const row_place *at, int rows, int64_t from,
                        int64_t n, int64_t chunk, const char *values, const int64_t *indices)
{
    if (p->values)
        write_strided(at->y + from * p->y_step * (int64_t)p->size, values, p->size, rows, n, chunk,
                      p->y_step, at->y_next);
    write_strided(at->i + from * p->i_step, indices, 8, rows, n, chunk, p->i_step, at->i_next);
}

/* For a short row: element i becomes the rank[i]-th, if that is among the first k. */
#define PLACE(T)                       \
    for (int64_t i = 0; i < p->n; i++) \
        if (rank[i] < p->k) ((T *)y)[rank[i] * p->y_step] = ((const T *)x)[i]

static void place_ranked(const luc_sort_plan *p, void *y, int64_t *indices, const void *x,
                         const uint32_t *rank)
{
    const size_t size = p->size;
    if (p->values) BY_SIZE(PLACE)
    for (int64_t i = 0; i < p->n; i++)
        if (rank[i] < p->k) indices[rank[i] * p->i_step] = i;
}

/* ---- counts --------------------------------------------------------------------------------- */

static void begins_of(uint32_t *counts)
{
    uint32_t at = 0;
    for (int i = 0; i < 256; i++) {
        const uint32_t n = counts[i];
        counts[i] = at;
        at += n;
    }
}

/* Turns counts[block][digit] of n elements into the places where a block's elements of a digit
 * begin. False if all digits are equal. */
static bool places_of(uint32_t *counts, int64_t n)
{
    const int64_t blocks = luc_parallel_blocks(n, LONG_BLOCK);
    int64_t at = 0;
    for (int digit = 0; digit < 256; digit++) {
        const int64_t before = at;
        for (int64_t b = 0; b < blocks; b++) {
            const uint32_t count = counts[b * 256 + digit];
            counts[b * 256 + digit] = (uint32_t)at;
            at += count;
        }
        if (at - before == n) return false;
    }
    return true;
}

/* ---- narrow and wide elements --------------------------------------------------------------- */

typedef uint32_t luc_key_narrow;
typedef uint64_t luc_elem_narrow; /* the key above the index */
static inline luc_elem_narrow make_narrow(luc_key_narrow key, uint64_t index)
{
    return (uint64_t)key << 32 | index;
}
static inline luc_key_narrow key_of_narrow(luc_elem_narrow e)
{
    return (luc_key_narrow)(e >> 32);
}
static inline uint32_t index_of_narrow(luc_elem_narrow e)
{
    return (uint32_t)e;
}

#define LUC_DT narrow
#include "backends/cpu/sort/radix_tmpl.h"
#undef LUC_DT

typedef uint64_t luc_key_wide;
typedef luc_wide luc_elem_wide;
static inline luc_elem_wide make_wide(luc_key_wide key, uint64_t index)
{
    return (luc_wide){key, index};
}
static inline luc_key_wide key_of_wide(luc_elem_wide e)
{
    return e.key;
}
static inline uint64_t index_of_wide(luc_elem_wide e)
{
    return e.index;
}

#define LUC_DT wide
#include "backends/cpu/sort/radix_tmpl.h"
#undef LUC_DT

/* ---- the plan ------------------------------------------------------------------------------- */

static bool is_wide(const luc_sort_plan *p)
{
    return p->size == 8;
}

static size_t element_bytes(const luc_sort_plan *p)
{
    return is_wide(p) ? sizeof(luc_wide) : sizeof(uint64_t);
}

/* Rows with gaps that are neighbours in memory are read together, a line of the cache at a time. So
 * are short rows that follow each other. */
static int group_of(const luc_sort_plan *p, int64_t each)
{
    const int last = p->loop.ndim - 1;
    const int64_t next = p->loop.strides[0][last];
    if (p->n <= LUC_SORT_SHORT && p->x_step == 1 && next == p->n) return LUC_SORT_GROUP;
    if (p->n >= LUC_SORT_LONG || p->x_step == 1 || next >= p->x_step) return 1;
    const int64_t fit = GROUP_BYTES / (each * (int64_t)element_bytes(p) + 1), most = LUC_SORT_GROUP;
    return (int)(fit < 1 ? 1 : fit < most ? fit : most);
}

/* The keys of 0 and NaN. Elements with these keys are copied, because keys do not tell them
 * apart. */
static void find_special(luc_sort_plan *p)
{
    static const uint64_t nan_bits[] = {[LUCID_F32] = 0x7fc00000,
                                        [LUCID_F64] = 0x7ff8000000000000,
                                        [LUCID_F16] = 0x7e00,
                                        [LUCID_BF16] = 0x7fc0};
    if (!(p->floating = lucid_dtype_is_floating(p->type))) return;
    union {
        uint32_t narrow;
        uint64_t wide;
    } zero, nan;
    const uint64_t zero_bits = 0;
    p->loops->keys[p->type](&zero, &zero_bits, 1, p->flip);
    p->loops->keys[p->type](&nan, &nan_bits[p->type], 1, p->flip);
    p->zero = is_wide(p) ? zero.wide : zero.narrow;
    p->nan = is_wide(p) ? nan.wide : nan.narrow;
}

static luc_sort_plan make_plan(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *index = args->out[args->n_out - 1];
    const lucid_view *y = args->n_out == 2 ? args->out[0] : index;
    const lucid_sort_attrs *a = args->attrs;
    luc_sort_plan p = {.n = x->dims[a->dim], .type = x->dtype, .flip = a->descending};
    p.loop = luc_loop_begin(3);
    p.rows = 1;
    for (int d = 0; d < x->ndim; d++) {
        if (d == a->dim) continue;
        luc_loop_add(&p.loop, x->dims[d],
                     (int64_t[]){x->strides[d], y->strides[d], index->strides[d]});
        p.rows *= x->dims[d];
    }
    luc_loop_end(&p.loop);
    p.k = args->op == LUCID_OP_topk ? a->k : p.n;
    p.x_step = x->strides[a->dim];
    p.y_step = y->strides[a->dim];
    p.i_step = index->strides[a->dim];
    p.x = x->data;
    p.values = args->n_out == 2 ? y->data : NULL;
    p.indices = index->data;
    p.size = luc_elem_size(x->dtype);
    p.digits = (int)p.size;
    p.loops = luc_sort_get();
    find_special(&p);
    p.group = group_of(&p, p.k <= FEW && p.k < p.n ? p.k : p.n);
    return p;
}

/* Chooses how the rows are worked on. */
typedef enum { SHORT_ROWS, SORT_ROWS, SCAN_ROWS, SELECT_ROWS, SORT_LONG, TOPK_LONG } method;

static method method_of(const luc_sort_plan *p)
{
    const bool some = p->k < p->n;
    if (p->n >= LUC_SORT_LONG) return some && p->k <= LONG_MANY ? TOPK_LONG : SORT_LONG;
    if (p->n <= LUC_SORT_SHORT) return SHORT_ROWS;
    if (some && p->k <= FEW) return SCAN_ROWS;
    return some ? SELECT_ROWS : SORT_ROWS;
}

/* The bytes that all threads share, and the bytes of each thread. */
static size_t shared_bytes(const luc_sort_plan *p, method m)
{
    const int64_t e = (int64_t)element_bytes(p), blocks = luc_parallel_blocks(p->n, LONG_BLOCK);
    if (m == SORT_LONG) return (size_t)(2 * p->n * e + blocks * 1024);
    if (m == TOPK_LONG) return (size_t)((p->n / LONG_BLOCK + 2) * p->k * e);
    return 0;
}

static size_t thread_bytes(const luc_sort_plan *p, method m)
{
    const int64_t e = (int64_t)element_bytes(p);
    int64_t n = 0;
    if (m == SORT_ROWS) n = (p->group + 1) * p->n;
    if (m == SCAN_ROWS) n = p->group * p->k;
    if (m == SELECT_ROWS) n = p->group * p->n + p->k;
    if (m == TOPK_LONG) n = LONG_BLOCK;
    return (size_t)(n * e + 63) & ~(size_t)63;
}

_Static_assert(sizeof(luc_sort_plan) <= LUCID_PLAN_OWN, "a plan's run reads it from there");

static bool plan_sort(const lucid_kernel_args *args, lucid_plan *plan)
{
    luc_sort_plan p = make_plan(args);
    if (p.rows > 0 && p.k > 0) {
        const method m = method_of(&p);
        p.threads = luc_num_threads();
        p.per_thread = thread_bytes(&p, m);
        plan->workspace = shared_bytes(&p, m) + (size_t)p.threads * p.per_thread;
    }
    memcpy(plan->own, &p, sizeof p);
    return true;
}

static void run_rows(luc_sort_plan *p, method m)
{
    static const luc_parallel_fn fn[2][4] = {
        {short_rows_narrow, sort_rows_narrow, scan_rows_narrow, select_rows_narrow},
        {short_rows_wide, sort_rows_wide, scan_rows_wide, select_rows_wide}};
    const int64_t groups = luc_loop_runs(&p->loop) * groups_of_run(p);
    luc_parallel_for_max(groups, GRAIN / (p->n * p->group) + 1, p->threads, fn[is_wide(p)][m], p);
}

static bool sort(const lucid_kernel_args *args)
{
    luc_sort_plan p;
    memcpy(&p, args->plan->own, sizeof p);
    if (p.rows == 0 || p.k == 0) return true;
    const method m = method_of(&p);
    p.workspace = args->workspace;
    if (m != SORT_LONG && m != TOPK_LONG) {
        run_rows(&p, m);
        return true;
    }
    void (*long_fn)(const luc_sort_plan *, int64_t) =
        m == SORT_LONG ? (is_wide(&p) ? sort_long_wide : sort_long_narrow)
                       : (is_wide(&p) ? topk_long_wide : topk_long_narrow);
    for (int64_t row = 0; row < p.rows; row++) long_fn(&p, row);
    return true;
}

void luc_cpu_register_sort(lucid_backend *b)
{
    static const lucid_op_id ops[] = {LUCID_OP_sort, LUCID_OP_argsort, LUCID_OP_topk};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        for (int type = 0; type < LUCID_DTYPE_COUNT; type++)
            b->kernels[ops[i]][type] = (lucid_kernel){plan_sort, sort};
    }
}
