/* argmax.c: argmax and argmin: the first index, in logical order, of the extreme; a NaN is more
 * extreme than any number. In floating rows, vectors find the extreme of each chunk, and only the
 * chunk with the best one is read again for its index. */
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/copy/convert.h"
#include "backends/cpu/reduce/reduce_priv.h"
#include "lucid/core/attrs.h"
#include "lucid/core/error_priv.h"

#include <math.h>
#include <string.h>

enum { GRAIN = 1 << 14, CHUNK = 512 };

typedef struct {
    luc_loop kept;    /* of the input and the output, strides in bytes */
    luc_loop reduced; /* of the input, in logical order */
    int64_t results, count;
    const char *x;
    char *y;
    size_t size;
    bool smallest;
    luc_convert_fn convert;    /* converts to a type that is scanned; NULL: not needed */
    luc_reduce_row_fn extreme; /* for floating rows */
    bool wide;                 /* scanned as double or int64, not as float */
    bool integer;
} plan;

typedef struct {
    double d;
    int64_t i;
    int64_t index;
    bool nan;
} best;

/* A chunk of floating numbers, with the loop that finds its extreme. */
#define DEFINE_SCAN(T, name)                                                                   \
    static void name(best *b, const T *x, int64_t n, int64_t index, luc_reduce_row_fn extreme, \
                     bool smallest)                                                            \
    {                                                                                          \
        luc_acc most = {.d = smallest ? INFINITY : -INFINITY};                                 \
        int64_t i = 0;                                                                         \
        if (b->nan) return;                                                                    \
        extreme(&most, x, n, 0);                                                               \
        bool nan = most.d != most.d;                                                           \
        if (b->index >= 0 && !nan && !(smallest ? most.d < b->d : most.d > b->d)) return;      \
        while (i < n - 1 && (nan ? x[i] == x[i] : (double)x[i] != most.d)) i++;                \
        *b = (best){.d = most.d, .index = index + i, .nan = nan};                              \
    }
DEFINE_SCAN(float, scan_floats)
DEFINE_SCAN(double, scan_doubles)

static void scan_integers(best *b, const int64_t *x, int64_t n, int64_t index, bool smallest)
{
    for (int64_t i = 0; i < n; i++) {
        if (b->index >= 0 && !(smallest ? x[i] < b->i : x[i] > b->i)) continue;
        *b = (best){.i = x[i], .index = index + i};
    }
}

/* Scans n elements, `stride` bytes apart, of which the first is number `index`. */
static void scan_row(const plan *p, best *b, const char *x, int64_t stride, int64_t n,
                     int64_t index)
{
    _Alignas(64) char packed[CHUNK * 8], wide[CHUNK * 8];
    for (int64_t from = 0; from < n; from += CHUNK) {
        int64_t count = n - from < CHUNK ? n - from : CHUNK;
        const char *row = x + from * stride;
        if (stride != (int64_t)p->size) {
            for (int64_t i = 0; i < count; i++)
                memcpy(packed + (size_t)i * p->size, row + i * stride, p->size);
            row = packed;
        }
        const void *numbers = row;
        if (p->convert) {
            p->convert(wide, row, count);
            numbers = wide;
        }
        if (p->integer)
            scan_integers(b, numbers, count, index + from, p->smallest);
        else if (p->wide)
            scan_doubles(b, numbers, count, index + from, p->extreme, p->smallest);
        else
            scan_floats(b, numbers, count, index + from, p->extreme, p->smallest);
    }
}

static int64_t find(const plan *p, const char *x)
{
    best b = {.index = -1};
    const luc_loop *l = &p->reduced;
    const int last = l->ndim - 1;
    for (int64_t run = 0, at = 0; at < p->count; run++, at += l->dims[last]) {
        int64_t offset;
        luc_loop_offsets(l, run, &offset);
        scan_row(p, &b, x + offset, l->strides[0][last], l->dims[last], at);
    }
    return b.index;
}

static void run(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *p = ctx;
    (void)thread;
    for (int64_t t = begin; t < end; t++) {
        int64_t offsets[2] = {0, 0};
        luc_loop_move(&p->kept, p->kept.ndim, t, offsets);
        *(int64_t *)(void *)(p->y + offsets[1]) = find(p, p->x + offsets[0]);
    }
}

static void choose_scan(plan *p, lucid_dtype type)
{
    p->wide = p->integer || type == LUCID_F64;
    const lucid_dtype scanned = p->integer ? LUCID_I64 : p->wide ? LUCID_F64 : LUCID_F32;
    if (type != scanned) p->convert = luc_convert_get()->fn[type][scanned];
    const luc_reduce_kind kind = p->smallest ? LUC_MIN : LUC_MAX;
    p->extreme = luc_reduce_get()->row[kind][p->wide ? LUC_R_F64 : LUC_R_F32];
}

static bool arg(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_reduce_attrs *attrs = args->attrs;
    plan p = {.results = 1, .count = 1, .x = x->data, .y = y->data};
    p.kept = luc_loop_begin(2);
    p.reduced = luc_loop_begin(1);
    p.size = luc_elem_size(x->dtype);
    p.smallest = args->op == LUCID_OP_argmin;
    p.integer = !lucid_dtype_is_floating(x->dtype);
    choose_scan(&p, x->dtype);
    for (int d = 0, at = 0; d < x->ndim; d++) {
        bool reduced = attrs->mask >> d & 1;
        int64_t n = x->dims[d], stride = x->strides[d] * (int64_t)p.size;
        if (reduced) {
            p.count *= n;
            luc_loop_add(&p.reduced, n, &stride);
        } else {
            p.results *= n;
            const int64_t strides[] = {stride, y->strides[at] * (int64_t)sizeof(int64_t)};
            luc_loop_add(&p.kept, n, strides);
        }
        if (!reduced || attrs->keepdim) at++;
    }
    if (p.results == 0) return true;
    if (p.count == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, p.smallest ? "argmin" : "argmax",
                         "input: expected at least one element to reduce, got none");
    luc_loop_end(&p.reduced);
    luc_parallel_for(p.results, GRAIN / (p.count + 1) + 1, run, &p);
    return true;
}

void luc_cpu_register_arg(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        b->kernels[LUCID_OP_argmax][type].run = arg;
        b->kernels[LUCID_OP_argmin][type].run = arg;
    }
}
