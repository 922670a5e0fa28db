/* matmul.c: matmul and linear over gemm.h. It finds out which strides are a transposition, what
 * must be packed, and which leading dimensions are rows of one large product. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/matmul/gemm.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"

#include <string.h>

/* One matrix of a product, in elements. `pack`: gemm cannot read (write) it as it lies. */
typedef struct {
    char *data;
    int64_t rows, cols, row_stride, col_stride, ld;
    bool trans, pack;
    char *packed;
} operand;

typedef struct {
    luc_gemm_params gemm;
    luc_gemm_type type;
    size_t size;
    luc_loop loop; /* over all dimensions but rows and columns: operands a, b, c */
    operand a, b, c;
    const lucid_view *bias;
    char *packed_bias, *gemm_workspace;
    size_t gemm_bytes;
    int64_t steps; /* calls of gemm */
    bool swap;     /* C^T = B^T A^T */
} product;

static luc_gemm_type gemm_type(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return LUC_GEMM_F32;
    case LUCID_F64:
        return LUC_GEMM_F64;
    case LUCID_F16:
        return LUC_GEMM_F16;
    case LUCID_BF16:
        return LUC_GEMM_BF16;
    case LUCID_I32:
        return LUC_GEMM_I32;
    default:
        return LUC_GEMM_I64;
    }
}

static void classify(operand *o)
{
    bool one_row = o->rows <= 1, one_col = o->cols <= 1;
    int64_t width = o->cols > 1 ? o->cols : 1, height = o->rows > 1 ? o->rows : 1;
    if ((one_col || o->col_stride == 1) && (one_row || o->row_stride >= width)) {
        o->ld = one_row ? width : o->row_stride;
    } else if ((one_row || o->row_stride == 1) && (one_col || o->col_stride >= height)) {
        o->trans = true;
        o->ld = one_col ? height : o->col_stride;
    } else {
        o->pack = true;
        o->ld = width;
    }
}

static void *reserve(const lucid_kernel_args *args, size_t *used, size_t bytes)
{
    char *at = args->workspace ? (char *)args->workspace + *used : NULL;
    *used += (bytes + 63) & ~(size_t)63;
    return at;
}

/* The loop's last dimension becomes the rows of A and C where B does not change along it. */
static void take_rows(product *p)
{
    luc_loop *l = &p->loop;
    luc_loop_end(l);
    int last = l->ndim - 1;
    p->a.rows = p->c.rows = 1;
    if (l->strides[1][last] != 0) return;
    p->a.rows = p->c.rows = l->dims[last];
    p->a.row_stride = l->strides[0][last];
    p->c.row_stride = l->strides[2][last];
    l->ndim--;
    luc_loop_end(l);
}

static void set_gemm(product *p)
{
    classify(&p->a);
    classify(&p->b);
    classify(&p->c);
    p->swap = p->c.trans && !p->c.pack;
    const operand *a = p->swap ? &p->b : &p->a, *b = p->swap ? &p->a : &p->b;
    luc_gemm_params *g = &p->gemm;
    *g = luc_gemm_plain(p->swap ? p->c.cols : p->c.rows, p->swap ? p->c.rows : p->c.cols, p->a.cols,
                        a->trans != p->swap, b->trans != p->swap);
    g->lda = a->ld;
    g->ldb = b->ld;
    g->ldc = p->c.ld;
    if (p->bias) g->bias_kind = p->swap ? LUC_GEMM_BIAS_ROW : LUC_GEMM_BIAS_COL;
    p->steps = 1;
    int dims = p->loop.ndim;
    if (!p->a.pack && !p->b.pack && !p->c.pack) {
        int last = --dims;
        g->batch = p->loop.dims[last];
        g->stride_a = p->loop.strides[p->swap ? 1 : 0][last];
        g->stride_b = p->loop.strides[p->swap ? 0 : 1][last];
        g->stride_c = p->loop.strides[2][last];
    }
    for (int d = 0; d < dims; d++) p->steps *= p->loop.dims[d];
}

static size_t place_workspace(product *p, const lucid_kernel_args *args)
{
    size_t used = 0;
    operand *operands[] = {&p->a, &p->b, &p->c};
    for (int i = 0; i < 3; i++) {
        operand *o = operands[i];
        size_t elements = (size_t)o->rows * (size_t)o->cols;
        if (o->pack) o->packed = reserve(args, &used, elements * p->size);
    }
    if (p->bias && p->bias->strides[0] != 1)
        p->packed_bias = reserve(args, &used, (size_t)p->bias->dims[0] * p->size);
    p->gemm_workspace = reserve(args, &used, p->gemm_bytes);
    return used;
}

/* a [..,M,K] x b [..,K,N] -> c [..,M,N]: leading dimensions of 1 and absent ones repeat. */
static int64_t lead_stride(const lucid_view *v, int from_right)
{
    int d = v->ndim - 3 - from_right;
    return d < 0 || v->dims[d] == 1 ? 0 : v->strides[d];
}

static void set_matmul(product *p, const lucid_kernel_args *args)
{
    const lucid_view *a = args->in[0], *b = args->in[1], *c = args->out[0];
    *p = (product){.type = gemm_type(a->dtype), .size = luc_elem_size(a->dtype)};
    p->a = (operand){
        .data = a->data, .cols = a->dims[a->ndim - 1], .col_stride = a->strides[a->ndim - 1]};
    p->b = (operand){.data = b->data,
                     .rows = b->dims[b->ndim - 2],
                     .cols = b->dims[b->ndim - 1],
                     .row_stride = b->strides[b->ndim - 2],
                     .col_stride = b->strides[b->ndim - 1]};
    p->c = (operand){
        .data = c->data, .cols = c->dims[c->ndim - 1], .col_stride = c->strides[c->ndim - 1]};
    p->loop = luc_loop_begin(3);
    for (int d = 0; d < c->ndim - 2; d++) {
        int right = c->ndim - 3 - d;
        int64_t strides[] = {lead_stride(a, right), lead_stride(b, right), c->strides[d]};
        luc_loop_add(&p->loop, c->dims[d], strides);
    }
    int64_t rows[] = {a->strides[a->ndim - 2], 0, c->strides[c->ndim - 2]};
    luc_loop_add(&p->loop, c->dims[c->ndim - 2], rows);
    take_rows(p);
    set_gemm(p);
}

/* x [..,I] x weight [O,I] transposed, + bias [O] */
static void set_linear(product *p, const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *w = args->in[1], *y = args->out[0];
    int last = x->ndim - 1;
    *p = (product){.type = gemm_type(x->dtype), .size = luc_elem_size(x->dtype)};
    p->bias = args->n_in > 2 ? args->in[2] : NULL;
    p->a = (operand){.data = x->data, .cols = x->dims[last], .col_stride = x->strides[last]};
    p->b = (operand){.data = w->data,
                     .rows = w->dims[1],
                     .cols = w->dims[0],
                     .row_stride = w->strides[1],
                     .col_stride = w->strides[0]};
    p->c = (operand){.data = y->data, .cols = y->dims[last], .col_stride = y->strides[last]};
    p->loop = luc_loop_begin(3);
    for (int d = 0; d < last; d++) {
        int64_t strides[] = {x->strides[d], 0, y->strides[d]};
        luc_loop_add(&p->loop, x->dims[d], strides);
    }
    take_rows(p);
    set_gemm(p);
    const lucid_linear_attrs *attrs = args->attrs;
    p->gemm.relu = attrs && attrs->relu; /* tests call the kernel without any */
}

_Static_assert(sizeof(product) <= LUCID_PLAN_OWN, "a plan's run reads it from there");

static bool plan_product(const lucid_kernel_args *args, lucid_plan *plan)
{
    product p;
    if (args->op == LUCID_OP_linear)
        set_linear(&p, args);
    else
        set_matmul(&p, args);
    p.gemm_bytes = luc_gemm_workspace(&p.gemm, p.type);
    plan->workspace = place_workspace(&p, args);
    memcpy(plan->own, &p, sizeof p);
    return true;
}

/* ---- packing ------------------------------------------------------------------------------- */

typedef struct {
    const operand *o;
    char *dense, *strided;
    size_t size;
    bool back; /* from dense to strided */
} packing;

#define PACK_ROW(T)                                               \
    do {                                                          \
        T *dense = (T *)(void *)c->dense + r * o->cols;           \
        T *strided = (T *)(void *)c->strided + r * o->row_stride; \
        for (int64_t j = 0; j < o->cols; j++) {                   \
            if (c->back)                                          \
                strided[j * o->col_stride] = dense[j];            \
            else                                                  \
                dense[j] = strided[j * o->col_stride];            \
        }                                                         \
    } while (0)

static void pack_rows(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const packing *c = ctx;
    const operand *o = c->o;
    for (int64_t r = begin; r < end; r++) {
        if (c->size == 8)
            PACK_ROW(uint64_t);
        else if (c->size == 4)
            PACK_ROW(uint32_t);
        else
            PACK_ROW(uint16_t);
    }
}

static void pack(const product *p, const operand *o, char *strided, bool back)
{
    packing c = {.o = o, .dense = o->packed, .strided = strided, .size = p->size, .back = back};
    luc_parallel_for(o->rows, (1 << 14) / (o->cols + 1) + 1, pack_rows, &c);
}

/* The matrix of this step: in place, or packed unless the step before has packed the same one. */
static char *dense_matrix(const product *p, const operand *o, int64_t offset, char **before)
{
    char *at = o->data + offset * (int64_t)p->size;
    if (!o->pack) return at;
    if (*before != at) pack(p, o, at, false);
    *before = at;
    return o->packed;
}

static const void *dense_bias(const product *p)
{
    if (!p->bias) return NULL;
    if (!p->packed_bias) return p->bias->data;
    operand column = {.rows = 1,
                      .cols = p->bias->dims[0],
                      .col_stride = p->bias->strides[0],
                      .packed = p->packed_bias};
    pack(p, &column, p->bias->data, false);
    return p->packed_bias;
}

static void step_offsets(const product *p, int64_t step, int64_t offsets[3])
{
    int dims = p->loop.ndim - (p->a.pack || p->b.pack || p->c.pack ? 0 : 1);
    offsets[0] = offsets[1] = offsets[2] = 0;
    for (int d = dims - 1; d >= 0; d--) {
        int64_t i = step % p->loop.dims[d];
        step /= p->loop.dims[d];
        for (int k = 0; k < 3; k++) offsets[k] += i * p->loop.strides[k][d];
    }
}

static void multiply(const product *p)
{
    const void *bias = dense_bias(p);
    char *last_a = NULL, *last_b = NULL;
    if (p->c.rows == 0 || p->c.cols == 0) return;
    for (int64_t step = 0; step < p->steps; step++) {
        int64_t at[3];
        step_offsets(p, step, at);
        const char *a = dense_matrix(p, &p->a, at[0], &last_a),
                   *b = dense_matrix(p, &p->b, at[1], &last_b);
        char *c = p->c.data + at[2] * (int64_t)p->size;
        luc_gemm(&p->gemm, p->type, p->swap ? b : a, p->swap ? a : b, p->c.pack ? p->c.packed : c,
                 bias, p->gemm_workspace, p->gemm_bytes);
        if (p->c.pack) pack(p, &p->c, c, true);
    }
}

static bool run_product(const lucid_kernel_args *args)
{
    product p;
    memcpy(&p, args->plan->own, sizeof p);
    place_workspace(&p, args);
    multiply(&p);
    return true;
}

void luc_cpu_register_linalg(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_I32; dtype++) {
        const lucid_kernel kernel = {plan_product, run_product};
        b->kernels[LUCID_OP_matmul][dtype] = kernel;
        if (dtype <= LUCID_BF16) b->kernels[LUCID_OP_linear][dtype] = kernel;
    }
}
