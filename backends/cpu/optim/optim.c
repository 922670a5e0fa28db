/* optim.c: optimizer steps over lists of tensors. All elements of all tensors are one sequence, cut
 * into chunks that the threads share, so that a hundred small tensors cost one fork and join. */
#include "backends/cpu/optim/optim_priv.h"

#include <math.h>
#include <stdatomic.h>

#include "backends/cpu/threads/parallel.h"
#include "lucid/core/error_priv.h"

enum { CHUNK = 1 << 13, STATES = 3, OPERANDS = 2 + STATES };

typedef struct {
    const lucid_optim_attrs *a;
    const luc_step_fn *kernels;
    lucid_op_id op;
    int states;
} job;

/* Chunks never extend over the end of a tensor. */
static int64_t chunks_of(const lucid_view *v)
{
    return luc_parallel_blocks(luc_view_numel(v), CHUNK);
}

static luc_step step_of(const job *j, int64_t i)
{
    const lucid_optim_attrs *a = j->a;
    luc_step s = {.lr = a->lr,
                  .weight_decay = a->weight_decay,
                  .momentum = a->momentum,
                  .dampening = a->dampening,
                  .eps = a->eps,
                  .rho = a->rho,
                  .beta1 = a->beta1,
                  .beta2 = a->beta2,
                  .nesterov = a->nesterov,
                  .maximize = a->maximize,
                  .amsgrad = a->amsgrad,
                  .decoupled = a->decoupled};
    if (j->op == LUCID_OP_sgd_step) s.first = a->first && a->first[i];
    if (j->op == LUCID_OP_adam_step) {
        double t = (double)a->step[i];
        s.step_size = a->lr / (1 - pow(a->beta1, t));
        s.root_correction = sqrt(1 - pow(a->beta2, t));
    }
    return s;
}

/* The parameter, its gradient and the given states, as one loop. */
static luc_loop loop_of(const lucid_view *const *views, int n)
{
    luc_loop l = luc_loop_begin(n);
    int order[LUCID_MAX_DIMS];
    const lucid_view *p = views[0];
    for (int d = 0; d < p->ndim; d++) { /* the parameter's memory order, outermost first */
        int i = d;
        for (; i > 0 && p->strides[order[i - 1]] < p->strides[d]; i--) order[i] = order[i - 1];
        order[i] = d;
    }
    for (int d = 0; d < p->ndim; d++) {
        int64_t strides[OPERANDS];
        for (int k = 0; k < n; k++) strides[k] = views[k]->strides[order[d]];
        luc_loop_add(&l, p->dims[order[d]], strides);
    }
    luc_loop_end(&l);
    return l;
}

/* Elements [begin, end) of tensor i. */
static void some(const job *j, int64_t i, int64_t begin, int64_t end)
{
    const lucid_optim_attrs *a = j->a;
    const lucid_view *views[OPERANDS] = {&a->param[i], &a->grad[i]};
    int n = 2, size = (int)luc_elem_size(a->param[i].dtype);
    for (int k = 0; k < j->states; k++) views[n++] = &a->state[k][i];
    luc_step s = step_of(j, i);
    luc_loop l = loop_of(views, n);
    int last = l.ndim - 1;
    int64_t inner = l.dims[last];
    bool dense = true;
    for (int k = 0; k < n; k++)
        if (l.strides[k][last] != 1) dense = false;
    while (begin < end) {
        int64_t at[LUC_MAX_OPERANDS], first = begin % inner;
        int64_t m = inner - first < end - begin ? inner - first : end - begin;
        if (!dense) m = 1;
        char *p[OPERANDS] = {0};
        luc_loop_offsets(&l, begin / inner, at);
        for (int k = 0; k < n; k++)
            p[k] = (char *)views[k]->data + (at[k] + first * l.strides[k][last]) * size;
        j->kernels[a->param[i].dtype](&s, p[0], p[1], (void *const *)(p + 2), m);
        begin += m;
    }
}

static void run_chunks(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    const job *j = ctx;
    int64_t i = 0, before = 0;
    while (before + chunks_of(&j->a->param[i]) <= begin) before += chunks_of(&j->a->param[i++]);
    while (begin < end) {
        int64_t here = chunks_of(&j->a->param[i]), from = begin - before;
        int64_t to = end - before < here ? end - before : here;
        int64_t numel = luc_view_numel(&j->a->param[i]);
        if (to > from) some(j, i, from * CHUNK, to * CHUNK < numel ? to * CHUNK : numel);
        begin = before + to;
        before += here;
        i++;
    }
}

static bool check(const job *j, const char *op)
{
    const lucid_optim_attrs *a = j->a;
    for (int64_t i = 0; i < a->n; i++) {
        lucid_dtype dtype = a->param[i].dtype;
        bool same = a->grad[i].dtype == dtype && lucid_dtype_is_floating(dtype);
        for (int k = 0; k < j->states; k++) same = same && a->state[k][i].dtype == dtype;
        if (!same)
            return luc_raise(LUCID_ERR_UNSUPPORTED, op,
                             "parameter %lld: expected gradient and state of its dtype %s, got a "
                             "gradient of %s",
                             (long long)i, lucid_dtype_name(dtype),
                             lucid_dtype_name(a->grad[i].dtype));
    }
    return true;
}

static bool run(const lucid_kernel_args *args, const char *name, const luc_step_fn kernels[4],
                int states)
{
    job j = {.a = args->attrs, .kernels = kernels, .op = args->op, .states = states};
    if (!check(&j, name)) return false;
    int64_t chunks = 0;
    for (int64_t i = 0; i < j.a->n; i++) chunks += chunks_of(&j.a->param[i]);
    luc_parallel_for(chunks, chunks / 64 + 1, run_chunks, &j);
    return true;
}

static bool sgd_step(const lucid_kernel_args *args)
{
    const lucid_optim_attrs *a = args->attrs;
    return run(args, "sgd_step", luc_optim_get()->sgd, a->momentum != 0 ? 1 : 0);
}

static bool adam_step(const lucid_kernel_args *args)
{
    const lucid_optim_attrs *a = args->attrs;
    return run(args, "adam_step", luc_optim_get()->adam, a->amsgrad ? 3 : 2);
}

static bool adadelta_step(const lucid_kernel_args *args)
{
    return run(args, "adadelta_step", luc_optim_get()->adadelta, 2);
}

/* ---- sum_squares, unscale: kernels over a list ---------------------------------------------- */

typedef struct list_job {
    const lucid_list_attrs *list;
    /* m neighbouring elements of chunk `chunk`. */
    void (*run)(struct list_job *j, int64_t chunk, lucid_dtype dtype, void *p, int64_t m);
    double *partial;   /* sum_squares: one for each chunk */
    double inverse;    /* unscale */
    atomic_bool found; /* unscale: an element was not finite */
} list_job;

static void run_of(list_job *j, int64_t chunk, const lucid_view *v, int64_t begin, int64_t end)
{
    luc_loop l = loop_of(&v, 1);
    int last = l.ndim - 1;
    int64_t inner = l.dims[last], step = l.strides[0][last];
    while (begin < end) {
        int64_t at[LUC_MAX_OPERANDS], first = begin % inner;
        int64_t m = inner - first < end - begin ? inner - first : end - begin;
        if (step != 1) m = 1;
        luc_loop_offsets(&l, begin / inner, at);
        int64_t offset = at[0] + first * step;
        j->run(j, chunk, v->dtype, (char *)v->data + offset * (int64_t)luc_elem_size(v->dtype), m);
        begin += m;
    }
}

static void run_list(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    list_job *j = ctx;
    int64_t i = 0, before = 0;
    while (before + chunks_of(&j->list->views[i]) <= begin)
        before += chunks_of(&j->list->views[i++]);
    for (; begin < end; begin++) {
        while (begin - before >= chunks_of(&j->list->views[i]))
            before += chunks_of(&j->list->views[i++]);
        const lucid_view *v = &j->list->views[i];
        int64_t from = (begin - before) * CHUNK, numel = luc_view_numel(v);
        run_of(j, begin, v, from, from + CHUNK < numel ? from + CHUNK : numel);
    }
}

static int64_t list_chunks(const lucid_list_attrs *list)
{
    int64_t chunks = 0;
    for (int64_t i = 0; i < list->n; i++) chunks += chunks_of(&list->views[i]);
    return chunks;
}

static void add_squares(list_job *j, int64_t chunk, lucid_dtype dtype, void *p, int64_t m)
{
    j->partial[chunk] += luc_optim_get()->sum_squares[dtype](p, m);
}

static bool sum_squares(const lucid_kernel_args *args)
{
    list_job j = {.list = args->attrs, .run = add_squares, .partial = args->workspace};
    int64_t chunks = list_chunks(j.list);
    for (int64_t i = 0; i < chunks; i++) j.partial[i] = 0;
    luc_parallel_for(chunks, chunks / 64 + 1, run_list, &j);
    double sum = 0;
    for (int64_t i = 0; i < chunks; i++) sum += j.partial[i];
    luc_view_put(args->out[0], 0, sum);
    return true;
}

static bool plan_sum_squares(const lucid_kernel_args *args, lucid_plan *plan)
{
    plan->workspace = (size_t)list_chunks(args->attrs) * sizeof(double);
    return true;
}

static void unscale_run(list_job *j, int64_t chunk, lucid_dtype dtype, void *p, int64_t m)
{
    (void)chunk;
    if (!luc_optim_get()->unscale[dtype](p, j->inverse, m))
        atomic_store_explicit(&j->found, true, memory_order_relaxed);
}

static bool unscale(const lucid_kernel_args *args)
{
    list_job j = {.list = args->attrs, .run = unscale_run};
    j.inverse = (double)(float)(1 / luc_view_get(args->in[0], 0));
    atomic_init(&j.found, false);
    int64_t chunks = list_chunks(j.list);
    luc_parallel_for(chunks, chunks / 64 + 1, run_list, &j);
    if (atomic_load(&j.found)) luc_view_put(args->out[0], 0, 1);
    return true;
}

void luc_cpu_register_optim(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_sgd_step][dtype].run = sgd_step;
        b->kernels[LUCID_OP_adam_step][dtype].run = adam_step;
        b->kernels[LUCID_OP_adadelta_step][dtype].run = adadelta_step;
        b->kernels[LUCID_OP_sum_squares][dtype] = (lucid_kernel){plan_sum_squares, sum_squares};
        b->kernels[LUCID_OP_unscale][dtype].run = unscale;
    }
}
