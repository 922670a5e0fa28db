/* recurrent.c: an LSTM over a whole sequence, and its gradient. The samples of a batch are
 * independent: each thread takes some of them from the first step to the last, so that a sequence
 * costs one fork. */
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/recurrent/recurrent_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/attrs.h"

#include <string.h>

/* Samples that a thread takes at a time: enough for a product to be worth reading the weights, and
 * the same for any number of threads. */
enum { BLOCK_ROWS = 16 };

typedef struct {
    const lucid_kernel_args *args;
    int64_t steps, batch, hidden;
    size_t size; /* of an element */
    int kind;    /* the index of the table's functions: 0 float32, 1 float64 */
    luc_gemm_type type;
    bool backward, reverse;
    const lucid_view *lengths;
    const char *weight;      /* forward: [H,4H]; backward: [4H,H] */
    size_t weight_bytes;     /* of its copy in the workspace */
    size_t gemm_bytes, each; /* of the products' workspace; of all that a thread has */
    char *scratch;
} job;

enum { GATES, WEIGHT, H0, C0, LENGTHS };                           /* lstm's inputs */
enum { Y, HN, CN, CELLS, ACTS };                                   /* and outputs */
enum { B_ACTS, B_CELLS, B_C0, B_WEIGHT, DY, DHN, DCN, B_LENGTHS }; /* lstm_backward's inputs */
enum { DGATES, DH0, DC0 };

static luc_gemm_params product(const job *j, int64_t rows)
{
    const int64_t h = j->hidden;
    luc_gemm_params g = j->backward ? luc_gemm_plain(rows, h, 4 * h, false, false)
                                    : luc_gemm_plain(rows, 4 * h, h, false, false);
    g.beta = 1;
    return g;
}

static size_t rows_bytes(const job *j, int64_t rows, int64_t n)
{
    return luc_round64((size_t)rows * (size_t)n * j->size);
}

static job make_job(const lucid_kernel_args *args)
{
    const bool backward = args->op == LUCID_OP_lstm_backward;
    const lucid_view *acts = backward ? args->in[B_ACTS] : args->in[GATES];
    const lucid_lstm_attrs *attrs = args->attrs;
    const int at = backward ? B_LENGTHS : LENGTHS;
    job j = {.args = args, .backward = backward, .reverse = attrs->reverse};
    j.steps = acts->dims[0];
    j.batch = acts->dims[1];
    j.hidden = acts->dims[2] / 4;
    j.kind = acts->dtype == LUCID_F64;
    j.size = j.kind ? sizeof(double) : sizeof(float);
    j.type = j.kind ? LUC_GEMM_F64 : LUC_GEMM_F32;
    j.lengths = args->n_in > at ? args->in[at] : NULL;
    const int64_t rows = luc_min64(j.batch, BLOCK_ROWS);
    const luc_gemm_params whole = product(&j, rows);
    j.gemm_bytes = luc_gemm_workspace(&whole, j.type);
    const luc_gemm_params rest = product(&j, luc_max64(j.batch % BLOCK_ROWS, 1));
    const size_t other = luc_gemm_workspace(&rest, j.type);
    if (other > j.gemm_bytes) j.gemm_bytes = other;
    j.gemm_bytes = luc_round64(j.gemm_bytes);
    /* Two states, and room for rows whose elements are not neighbours. */
    j.each =
        2 * rows_bytes(&j, rows, j.hidden) + 4 * rows_bytes(&j, 1, 4 * j.hidden) + j.gemm_bytes;
    j.weight_bytes = rows_bytes(&j, 4 * j.hidden, j.hidden);
    return j;
}

static bool plan(const lucid_kernel_args *args, lucid_plan *p)
{
    const job j = make_job(args);
    p->threads = luc_num_threads();
    p->workspace = j.weight_bytes + (size_t)p->threads * j.each;
    return true;
}

/* ---- rows ------------------------------------------------------------------------------------ */

#define COPY(T) \
    for (int64_t k = 0; k < n; k++) ((T *)to)[k] = ((const T *)from)[k * stride]

static void copy_strided(void *to, const void *from, int64_t stride, int64_t n, size_t size)
{
    if (stride == 1)
        memcpy(to, from, (size_t)n * size);
    else if (size == sizeof(uint64_t))
        COPY(uint64_t);
    else
        COPY(uint32_t);
}

/* Row `row` of step t of a view [T,N,n], or of a view [N,n] where t is -1, as it lies or copied to
 * `room`. */
static const void *row_of(const job *j, const lucid_view *v, int64_t t, int64_t row, void *room)
{
    const int last = v->ndim - 1;
    const int64_t at = (t < 0 ? 0 : t * v->strides[0]) + row * v->strides[last - 1];
    const char *from = (const char *)v->data + at * (int64_t)j->size;
    if (v->strides[last] == 1) return from;
    copy_strided(room, from, v->strides[last], v->dims[last], j->size);
    return room;
}

static void *out_row(const job *j, int output, int64_t t, int64_t row)
{
    const lucid_view *v = j->args->out[output];
    const int64_t n = v->dims[v->ndim - 1];
    return (char *)v->data + ((t < 0 ? 0 : t * j->batch) + row) * n * (int64_t)j->size;
}

static void load_rows(const job *j, const lucid_view *v, int64_t begin, int64_t end, char *to)
{
    const size_t bytes = (size_t)j->hidden * j->size;
    for (int64_t r = begin; r < end; r++, to += bytes) {
        if (!v) {
            memset(to, 0, bytes);
            continue;
        }
        const void *from = row_of(j, v, -1, r, to);
        if (from != to) memcpy(to, from, bytes);
    }
}

/* Whether a sample has ended before step t: its state stays as it is. */
static bool is_over(const job *j, int64_t t, int64_t row)
{
    return j->lengths && t >= ((const int64_t *)j->lengths->data)[row * j->lengths->strides[0]];
}

/* [H,4H] for forward, so that its rows are read one after the other; [4H,H] for backward. */
static void take_weight(job *j, char *room)
{
    const lucid_view *w = j->args->in[j->backward ? B_WEIGHT : WEIGHT];
    const int64_t h = j->hidden, rows = j->backward ? 4 * h : h, columns = j->backward ? h : 4 * h;
    const int64_t down = w->strides[j->backward ? 0 : 1], across = w->strides[j->backward ? 1 : 0];
    j->weight = room;
    if (across == 1 && down == columns) {
        j->weight = w->data;
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        copy_strided(room + (size_t)(r * columns) * j->size,
                     (const char *)w->data + r * down * (int64_t)j->size, across, columns, j->size);
}

/* ---- a block of samples ---------------------------------------------------------------------- */

static void forward_rows(const job *j, int64_t t, int64_t begin, int64_t end, char *h, char *c)
{
    const size_t bytes = (size_t)j->hidden * j->size;
    for (int64_t r = begin; r < end; r++, h += bytes, c += bytes) {
        luc_lstm_row row = {.gates = out_row(j, ACTS, t, r), .c = c, .h = h, .n = j->hidden};
        row.cell = out_row(j, CELLS, t, r);
        row.y = out_row(j, Y, t, r);
        if (!is_over(j, t, r)) {
            luc_recurrent_get()->lstm[j->kind](&row);
            continue;
        }
        memset(row.gates, 0, 4 * bytes);
        memset(row.y, 0, bytes);
        memcpy(row.cell, c, bytes);
    }
}

static void forward_block(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t rows = end - begin;
    const luc_gemm_params g = product(j, rows);
    char *h = j->scratch + (size_t)thread * j->each;
    char *c = h + rows_bytes(j, rows, j->hidden), *room = c + rows_bytes(j, rows, j->hidden);
    char *work = room + 4 * rows_bytes(j, 1, 4 * j->hidden);
    const size_t gate_bytes = 4 * (size_t)j->hidden * j->size;
    load_rows(j, j->args->in[H0], begin, end, h);
    load_rows(j, j->args->in[C0], begin, end, c);
    for (int64_t s = 0; s < j->steps; s++) {
        const int64_t t = j->reverse ? j->steps - 1 - s : s;
        char *acts = out_row(j, ACTS, t, begin);
        for (int64_t r = begin; r < end; r++)
            memcpy(out_row(j, ACTS, t, r), row_of(j, j->args->in[GATES], t, r, room), gate_bytes);
        luc_gemm(&g, j->type, h, j->weight, acts, NULL, work, j->gemm_bytes);
        forward_rows(j, t, begin, end, h, c);
    }
    memcpy(out_row(j, HN, -1, begin), h, (size_t)rows * gate_bytes / 4);
    memcpy(out_row(j, CN, -1, begin), c, (size_t)rows * gate_bytes / 4);
}

static void backward_rows(const job *j, int64_t s, int64_t begin, int64_t end, char *dh, char *dc,
                          char *room)
{
    const lucid_kernel_args *args = j->args;
    const int64_t t = j->reverse ? j->steps - 1 - s : s, before = j->reverse ? t + 1 : t - 1;
    const size_t bytes = (size_t)j->hidden * j->size, step = rows_bytes(j, 1, 4 * j->hidden);
    for (int64_t r = begin; r < end; r++, dh += bytes, dc += bytes) {
        luc_lstm_row row = {.gates = out_row(j, DGATES, t, r), .c = dc, .h = dh, .n = j->hidden};
        if (is_over(j, t, r)) {
            memset(row.gates, 0, 4 * bytes);
            continue;
        }
        row.act = row_of(j, args->in[B_ACTS], t, r, room);
        row.next = row_of(j, args->in[B_CELLS], t, r, room + step);
        row.prev = s ? row_of(j, args->in[B_CELLS], before, r, room + 2 * step)
                     : row_of(j, args->in[B_C0], -1, r, room + 2 * step);
        row.dy = args->in[DY] ? row_of(j, args->in[DY], t, r, room + 3 * step) : NULL;
        luc_recurrent_get()->lstm_backward[j->kind](&row);
    }
}

static void backward_block(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    const int64_t rows = end - begin;
    const luc_gemm_params g = product(j, rows);
    char *dh = j->scratch + (size_t)thread * j->each;
    char *dc = dh + rows_bytes(j, rows, j->hidden), *room = dc + rows_bytes(j, rows, j->hidden);
    char *work = room + 4 * rows_bytes(j, 1, 4 * j->hidden);
    const size_t bytes = (size_t)rows * (size_t)j->hidden * j->size;
    load_rows(j, j->args->in[DHN], begin, end, dh);
    load_rows(j, j->args->in[DCN], begin, end, dc);
    for (int64_t s = j->steps - 1; s >= 0; s--) {
        const int64_t t = j->reverse ? j->steps - 1 - s : s;
        backward_rows(j, s, begin, end, dh, dc, room);
        /* dh is 0 now, except of samples that are over, whose gates have no gradient. */
        luc_gemm(&g, j->type, out_row(j, DGATES, t, begin), j->weight, dh, NULL, work,
                 j->gemm_bytes);
    }
    memcpy(out_row(j, DH0, -1, begin), dh, bytes);
    memcpy(out_row(j, DC0, -1, begin), dc, bytes);
}

static bool run(const lucid_kernel_args *args)
{
    job j = make_job(args);
    if (j.batch == 0 || j.hidden == 0) return true;
    take_weight(&j, args->workspace);
    j.scratch = (char *)args->workspace + j.weight_bytes;
    luc_parallel_for_max(j.batch, BLOCK_ROWS, args->plan->threads,
                         j.backward ? backward_block : forward_block, &j);
    return true;
}

void luc_cpu_register_recurrent(lucid_backend *b)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F64};
    for (int i = 0; i < 2; i++) {
        b->kernels[LUCID_OP_lstm][dtypes[i]] = (lucid_kernel){plan, run};
        b->kernels[LUCID_OP_lstm_backward][dtypes[i]] = (lucid_kernel){plan, run};
    }
}
