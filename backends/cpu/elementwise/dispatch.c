/*
 * dispatch.c: one engine for all elementwise operations.
 *
 * The operands' dimensions are joined into few (strided/loop.h) and cut into blocks for the
 * threads. If every operand of a run along the innermost dimension is contiguous (or one value) and
 * of the type that is computed in, the run goes to the loop at once. Otherwise it goes through
 * small buffers, a chunk at a time: strided operands are gathered, 16-bit types are widened, and
 * short rows of a broadcast operand are repeated.
 */
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/attrs.h"
#include "lucid/core/error_priv.h"

#include <string.h>

enum {
    CHUNK = 1024,       /* the elements of a buffer, if its bytes allow them */
    CHUNK_BYTES = 4096, /* bytes: eight buffers stay in L1, and fit on a small stack */
    GRAIN = 1 << 15,    /* elements of a block */
    MAX_INPUTS = 3,
    OPERANDS = 1 + MAX_INPUTS,
    SHORT_ROW = 512, /* rows up to this length are worth repeating, */
    TINY_ROW = 16,   /* and single values up to this number of times */
};

typedef enum {
    DIRECT,   /* contiguous */
    SINGLE,   /* one value for the run */
    STRIDED,  /* elements are gathered */
    PERIODIC, /* a short row is repeated */
    REPEAT,   /* each value is repeated `period` times */
} access_kind;

typedef struct {
    access_kind kind;
    int64_t stride;         /* in bytes, along the run; REPEAT: from value to value */
    size_t size;            /* bytes of an element in memory */
    size_t wide;            /* and of the type computed in */
    luc_convert_fn convert; /* convert between them; NULL: they are the same */
} operand;

typedef struct {
    luc_loop loop;
    luc_ew_fn fn;
    luc_ew_call call;
    operand ops[OPERANDS];
    bool direct;    /* no buffers are needed */
    int64_t chunk;  /* elements that go through the buffers at a time */
    int64_t period; /* for PERIODIC and REPEAT operands */
    const luc_stream_table *streaming;
} plan;

/* The buffers of a block. */
typedef struct {
    _Alignas(64) char wide[OPERANDS][CHUNK_BYTES + 64]; /* and what `repeat` adds */
    _Alignas(64) char narrow[CHUNK_BYTES];
    _Alignas(64) char row[MAX_INPUTS][CHUNK_BYTES + SHORT_ROW * 8]; /* for PERIODIC operands */
} buffers;

/* -- moving strided data -- */
#define COLLECT(bits)                                                                       \
    static void collect##bits(void *y_, const char *x, int64_t stride, int64_t n)           \
    {                                                                                       \
        uint##bits##_t *y = y_;                                                             \
        for (int64_t i = 0; i < n; i++)                                                     \
            y[i] = *(const uint##bits##_t *)(const void *)(x + i * stride);                 \
    }                                                                                       \
    static void spread##bits(char *y, int64_t stride, const void *x_, int64_t n)            \
    {                                                                                       \
        const uint##bits##_t *x = x_;                                                       \
        for (int64_t i = 0; i < n; i++) *(uint##bits##_t *)(void *)(y + i * stride) = x[i]; \
    }
COLLECT(8)
COLLECT(16)
COLLECT(32)
COLLECT(64)

static void collect(void *y, const char *x, int64_t stride, int64_t n, size_t size)
{
    switch (size) {
    case 1:
        collect8(y, x, stride, n);
        return;
    case 2:
        collect16(y, x, stride, n);
        return;
    case 4:
        collect32(y, x, stride, n);
        return;
    default:
        collect64(y, x, stride, n);
        return;
    }
}

static void spread(char *y, int64_t stride, const void *x, int64_t n, size_t size)
{
    switch (size) {
    case 1:
        spread8(y, stride, x, n);
        return;
    case 2:
        spread16(y, stride, x, n);
        return;
    case 4:
        spread32(y, stride, x, n);
        return;
    default:
        spread64(y, stride, x, n);
        return;
    }
}

/* -- one run -- */

/* Writes the values of a REPEAT operand for the run's elements [begin, begin + n) to y. */
static void expand(const plan *p, const operand *o, const char *base, int64_t begin, int64_t n,
                   char *y)
{
    int64_t value = begin / p->period, used = begin % p->period;
    for (int64_t i = 0; i < n; value++, used = 0) {
        int64_t count = p->period - used < n - i ? p->period - used : n - i;
        char one[8];
        const char *x = base + value * o->stride;
        if (o->convert) {
            o->convert(one, x, 1);
            x = one;
        }
        p->streaming->repeat(y + (size_t)i * o->wide, x, count, o->wide);
        i += count;
    }
}

/* Where the chunk of input i that starts at element `begin` of a run lies: in memory or in a
 * buffer. `base` is the run's first element. */
static const void *stage_in(const plan *p, buffers *b, int i, const char *base, int64_t begin,
                            int64_t n)
{
    const operand *o = &p->ops[i + 1];
    char *y = b->wide[i + 1];
    switch (o->kind) {
    case PERIODIC:
        return b->row[i] + (size_t)(begin % p->period) * o->wide;
    case REPEAT:
        expand(p, o, base, begin, n, y);
        return y;
    case SINGLE:
        if (!o->convert) return base;
        o->convert(y, base, 1);
        return y;
    case DIRECT: {
        const char *x = base + begin * (int64_t)o->size;
        if (!o->convert) return x;
        o->convert(y, x, n);
        return y;
    }
    case STRIDED:
        break;
    }
    const char *x = base + begin * o->stride;
    if (!o->convert) {
        collect(y, x, o->stride, n, o->size);
        return y;
    }
    collect(b->narrow, x, o->stride, n, o->size);
    o->convert(y, b->narrow, n);
    return y;
}

static void stage_out(const plan *p, buffers *b, char *y, int64_t n)
{
    const operand *o = &p->ops[0];
    const char *x = b->wide[0];
    if (o->kind == DIRECT) {
        o->convert(y, x, n);
        return;
    }
    if (o->convert) {
        o->convert(b->narrow, x, n);
        x = b->narrow;
    }
    spread(y, o->stride, x, n, o->size);
}

/* Computes elements [begin, end) of a run; `base` has the addresses of the run's first elements. */
static void run_staged(const plan *p, buffers *b, char *const *base, int64_t begin, int64_t end)
{
    const operand *o = &p->ops[0];
    bool out_direct = o->kind == DIRECT && !o->convert;
    for (int64_t i = begin; i < end; i += p->chunk) {
        int64_t n = end - i < p->chunk ? end - i : p->chunk;
        const void *in[MAX_INPUTS];
        for (int j = 0; j + 1 < p->loop.operands; j++) in[j] = stage_in(p, b, j, base[j + 1], i, n);
        char *y = base[0] + i * o->stride;
        p->fn(&p->call, n, out_direct ? y : b->wide[0], in);
        if (!out_direct) stage_out(p, b, y, n);
    }
}

static void run_direct(const plan *p, char *const *base, int64_t begin, int64_t end)
{
    const void *in[MAX_INPUTS];
    for (int j = 1; j < p->loop.operands; j++) in[j - 1] = base[j] + begin * p->ops[j].stride;
    p->fn(&p->call, end - begin, base[0] + begin * p->ops[0].stride, in);
}

/* Repeats the rows of PERIODIC operands, so that a chunk can begin anywhere in the row. They do not
 * depend on the outer dimensions, so `base` may be that of any run. */
static void fill_rows(const plan *p, buffers *b, char *const *base)
{
    for (int j = 1; j < p->loop.operands; j++) {
        const operand *o = &p->ops[j];
        if (o->kind != PERIODIC) continue;
        size_t row = (size_t)p->period * o->wide, total = (size_t)(p->chunk + p->period) * o->wide;
        char *y = b->row[j - 1];
        char *x = o->convert ? b->narrow : y;
        collect(x, base[j], o->stride, p->period, o->size);
        if (o->convert) o->convert(y, x, p->period);
        for (size_t done = row; done < total;) {
            size_t count = total - done < done ? total - done : done;
            memcpy(y + done, y, count);
            done += count;
        }
    }
}

/* Elements [begin, end) in the order of the joined dimensions. */
static void run_block(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *p = ctx;
    const luc_loop *l = &p->loop;
    const int last = l->ndim - 1;
    int64_t index[LUCID_MAX_DIMS], rest = begin;
    char *base[OPERANDS];
    buffers b;
    (void)thread;
    memcpy(base, l->data, sizeof base);
    for (int d = last; d >= 0; d--) {
        index[d] = rest % l->dims[d];
        rest /= l->dims[d];
        if (d == last) continue;
        for (int o = 0; o < l->operands; o++) base[o] += index[d] * l->strides[o][d];
    }
    bool rows_ready = false;
    for (int64_t at = begin; at < end;) {
        int64_t from = index[last];
        int64_t n = l->dims[last] - from < end - at ? l->dims[last] - from : end - at;
        if (p->direct) {
            run_direct(p, base, from, from + n);
        } else {
            if (p->period && !rows_ready) fill_rows(p, &b, base);
            run_staged(p, &b, base, from, from + n);
        }
        at += n;
        index[last] = 0;
        for (int d = last - 1; d >= 0; d--) {
            for (int o = 0; o < l->operands; o++) base[o] += l->strides[o][d];
            if (++index[d] < l->dims[d]) break;
            for (int o = 0; o < l->operands; o++) base[o] -= l->dims[d] * l->strides[o][d];
            index[d] = 0;
        }
    }
    if (p->call.stream) p->streaming->fence();
}

/* -- the plan -- */

/* How operand o can be read along the two inner dimensions joined: like the inner one, or repeated
 * if it is broadcast along one of them. False: in neither way. */
static bool repeated_as(const luc_loop *l, int o, access_kind inner, access_kind *kind)
{
    int in = l->ndim - 1, out = in - 1;
    *kind = inner;
    if (l->strides[o][out] == l->strides[o][in] * l->dims[in]) return true;
    *kind = PERIODIC;
    if (l->strides[o][out] == 0) {
        /* The row is prepared once, so it must not depend on dimensions further out. */
        for (int d = 0; d < out; d++)
            if (l->strides[o][d] != 0) return false;
        return true;
    }
    *kind = REPEAT;
    return l->strides[o][in] == 0;
}

/* If a broadcast operand has short rows (a value for each channel), joins the two inner dimensions
 * for the other operands, and repeats its rows. */
static void join_short_rows(plan *p)
{
    luc_loop *l = &p->loop;
    if (l->ndim < 2) return;
    int in = l->ndim - 1, out = in - 1;
    if (l->dims[in] > SHORT_ROW) return;
    access_kind kinds[OPERANDS];
    for (int o = 0; o < l->operands; o++) {
        if (!repeated_as(l, o, p->ops[o].kind, &kinds[o])) return;
        if (kinds[o] == REPEAT && l->dims[in] > TINY_ROW) return;
    }
    p->period = l->dims[in];
    for (int o = 0; o < l->operands; o++) {
        p->ops[o].kind = kinds[o];
        p->ops[o].stride = kinds[o] == REPEAT ? l->strides[o][out] : l->strides[o][in];
        l->strides[o][out] = l->strides[o][in];
    }
    l->dims[out] *= l->dims[in];
    l->ndim--;
}

static void choose_access(plan *p)
{
    luc_loop *l = &p->loop;
    const int last = l->ndim - 1;
    for (int o = 0; o < l->operands; o++) {
        operand *op = &p->ops[o];
        op->stride = l->strides[o][last];
        op->kind = op->stride == (int64_t)op->size ? DIRECT : op->stride == 0 ? SINGLE : STRIDED;
    }
    join_short_rows(p);
    /* The loops need at least one operand that is not a single value. */
    bool all_single = true;
    for (int o = 1; o < l->operands; o++) all_single = all_single && p->ops[o].kind == SINGLE;
    if (all_single) p->ops[1].kind = STRIDED;
    p->direct = true;
    p->chunk = CHUNK;
    for (int o = 0; o < l->operands; o++) {
        const operand *op = &p->ops[o];
        const size_t most = op->size > op->wide ? op->size : op->wide;
        if (p->chunk > (int64_t)(CHUNK_BYTES / most)) p->chunk = (int64_t)(CHUNK_BYTES / most);
        if (op->convert || (op->kind != DIRECT && op->kind != SINGLE)) p->direct = false;
        if (o > 0 && op->kind == SINGLE) p->call.single |= 1u << (o - 1);
    }
}

static luc_ew_fn find_loop(lucid_op_id op, lucid_dtype type)
{
    switch (type) {
    case LUCID_F32:
    case LUCID_F16:
    case LUCID_BF16:
        return luc_ew_f32_get()->fn[op];
    case LUCID_F64:
        return luc_ew_f64_get()->fn[op];
    case LUCID_I64:
        return luc_ew_i64_get()->fn[op];
    case LUCID_I32:
        return luc_ew_i32_get()->fn[op];
    case LUCID_U8:
        return luc_ew_u8_get()->fn[op];
    case LUCID_BOOL:
        return luc_ew_bool_get()->fn[op];
    default:
        return NULL;
    }
}

/* What core/ops.def says of an elementwise operator; n_in is 0 for the others. */
typedef struct {
    unsigned char n_in, numbers;
    bool gives_bool;
} op_row;
static const op_row op_rows[LUCID_OP_COUNT] = {
#define GIVES_BOOL_SAME                       false
#define GIVES_BOOL_FLOATING                   false
#define GIVES_BOOL_TRUTH                      true
#define LUC_UNARY(name, type, numbers, call)  [LUCID_OP_##name] = {1, numbers, GIVES_BOOL_##type},
#define LUC_BINARY(name, type, numbers, call) [LUCID_OP_##name] = {2, numbers, GIVES_BOOL_##type},
#include "lucid/core/ops.def"
};

static void run_convert(const luc_ew_call *c, int64_t n, void *y, const void *const *in)
{
    c->convert(y, in[0], n);
}

static void read_attrs(const lucid_kernel_args *args, luc_ew_call *call)
{
    const unsigned numbers = op_rows[args->op].numbers;
    double p[2] = {0, 0};
    if (numbers == 0) return; /* `half` is read by gelu only, which has a number */
    memcpy(p, args->attrs, numbers * sizeof *p);
    call->p0 = p[0];
    call->p1 = p[1];
    call->half = luc_elem_size(args->out[0]->dtype) == 2;
}

/* The type of every operand in memory and in the computation. */
static void set_types(plan *p, const lucid_kernel_args *args, lucid_dtype in_type,
                      lucid_dtype out_type)
{
    const luc_convert_table *convert = luc_convert_get();
    for (int o = 0; o <= args->n_in; o++) {
        lucid_dtype have = o ? args->in[o - 1]->dtype : args->out[0]->dtype;
        lucid_dtype want = o ? in_type : out_type;
        operand *op = &p->ops[o];
        op->size = luc_elem_size(have);
        op->wide = luc_elem_size(want);
        op->convert = have == want ? NULL : o ? convert->fn[have][want] : convert->fn[want][have];
    }
}

static void execute(plan *p, const lucid_kernel_args *args)
{
    luc_loop_of_views(&p->loop, args->out[0], args->in, args->n_in);
    if (p->loop.numel == 0) return;
    if (p->loop.ndim == 0) {
        p->loop.ndim = 1;
        p->loop.dims[0] = 1;
        for (int o = 0; o < p->loop.operands; o++) p->loop.strides[o][0] = (int64_t)p->ops[o].size;
    }
    p->streaming = luc_stream_get();
    choose_access(p);
    bool stream = luc_streams(p->loop.numel * (int64_t)p->ops[0].size) && p->direct;
    for (int i = 0; i < args->n_in; i++)
        if (args->in[i]->data == args->out[0]->data) stream = false; /* stays in the cache */
    p->call.stream = stream;
    luc_parallel_for(p->loop.numel, GRAIN, run_block, p);
}

static bool refuse(const char *op, lucid_dtype type)
{
    return luc_raise(LUCID_ERR_UNSUPPORTED, op, "the cpu has no kernel that computes in %s",
                     lucid_dtype_name(type));
}

static const char *op_name(lucid_op_id op)
{
    static const char *const names[] = {
#define LUC_OP(name)     #name,
#define LUC_KERNEL(name) #name,
#include "lucid/core/ops.def"
    };
    return names[op];
}

static lucid_dtype computing_type(lucid_dtype t)
{
    return t == LUCID_F16 || t == LUCID_BF16 ? LUCID_F32 : t;
}

/* Contiguous operands of the computing type need no plan. */
static bool run_small(const lucid_kernel_args *args, luc_ew_fn fn, const luc_ew_call *call,
                      lucid_dtype in_type, lucid_dtype out_type)
{
    const lucid_view *out = args->out[0];
    int64_t n = luc_view_numel(out);
    if (n > GRAIN || out->dtype != out_type || !luc_view_is_contiguous(out)) return false;
    const void *in[MAX_INPUTS];
    for (int i = 0; i < args->n_in; i++) {
        const lucid_view *v = args->in[i];
        if (v->dtype != in_type || !luc_view_is_contiguous(v)) return false;
        in[i] = v->data;
    }
    fn(call, n, out->data, in);
    return true;
}

static bool elementwise(const lucid_kernel_args *args)
{
    /* Inputs and output are computed in the output's type; comparisons in the type of their
     * inputs. */
    bool compares = op_rows[args->op].gives_bool;
    lucid_dtype type = computing_type(compares ? args->in[0]->dtype : args->out[0]->dtype);
    lucid_dtype out_type = compares ? LUCID_BOOL : type;
    luc_ew_fn fn = find_loop(args->op, type);
    if (!fn) return refuse(op_name(args->op), type);
    luc_ew_call call = {0};
    read_attrs(args, &call);
    if (run_small(args, fn, &call, type, out_type)) return true;
    plan p = {.fn = fn, .call = call};
    set_types(&p, args, type, out_type);
    execute(&p, args);
    return true;
}

static bool where_kernel(const lucid_kernel_args *args)
{
    lucid_dtype type = args->out[0]->dtype;
    static const int log2_size[9] = {[1] = 0, [2] = 1, [4] = 2, [8] = 3};
    plan p = {.fn = luc_ew_where_get()->fn[log2_size[luc_elem_size(type)]]};
    set_types(&p, args, type, type);
    p.ops[1].wide = p.ops[1].size;
    p.ops[1].convert = NULL; /* the condition stays bool */
    execute(&p, args);
    return true;
}

static bool cast(const lucid_kernel_args *args)
{
    lucid_dtype from = args->in[0]->dtype, to = args->out[0]->dtype;
    plan p = {.fn = run_convert, .call.convert = luc_convert_get()->fn[from][to]};
    set_types(&p, args, from, to);
    execute(&p, args);
    return true;
}

void luc_cpu_register_elementwise(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        for (int op = 0; op < LUCID_OP_COUNT; op++)
            if (op_rows[op].n_in) b->kernels[op][type].run = elementwise;
        b->kernels[LUCID_OP_where][type].run = where_kernel;
        b->kernels[LUCID_OP_cast][type].run = cast;
    }
}
