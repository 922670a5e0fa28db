/* reduce.cu: sum, mean, var, amax and amin over any dimensions of any layout: how they are cut up,
 * and how the parts are joined.
 *
 * The dimensions are split into kept and reduced ones, and each group is sorted by memory and
 * joined. If the densest dimension is reduced, rows are gathered (reduce_rows.cu). If it is kept,
 * columns are gathered (reduce_columns.cu). If there are few results, the reduced dimensions are
 * split. The partial results go into the workspace, and a second kernel joins them in a fixed
 * order. */
#include "backends/cuda/reduce.h"

namespace luc
{

static int64_t least_power(int64_t n, int64_t most)
{
    int64_t p = 1;
    while (p < n && p < most) p *= 2;
    return p;
}

/* Whether elements can be read `width` at a time along dimension 0 of `along`. */
static bool can_widen(const reduce_plan &p, int width, size_t size)
{
    if (width == 1 || !is_aligned(p.x, width * size)) return false;
    int kept = 0, reduced = 0;
    if (p.columns) {
        if (p.kept.ndim == 0 || p.kept.strides[0][0] != 1 || p.kept.dims[0] % width) return false;
        kept = 1;
    } else {
        if (p.reduced.ndim == 0 || p.reduced.strides[0][0] != 1 || p.reduced.dims[0] % width)
            return false;
        reduced = 1;
    }
    for (; kept < p.kept.ndim; kept++)
        if (p.kept.strides[kept][0] % width) return false;
    for (; reduced < p.reduced.ndim; reduced++)
        if (p.reduced.strides[reduced][0] % width) return false;
    return true;
}

static void cut(reduce_plan *p)
{
    enum { ahead = 8 }; /* the steps that a thread should have at least, if results are split */
    int64_t blocks, steps = p->count;
    if (p->columns) {
        int64_t packs = p->results / p->width, columns = least_power(packs, 32);
        p->group = (int)least_power(p->count, reduce_threads / columns);
        blocks = ceil_div(packs, reduce_threads / p->group);
    } else {
        steps = p->count / p->width;
        bool few = p->results < 2 * reduce_blocks; /* too few elements for a warp each */
        p->group = steps >= 4 * reduce_threads || (few && steps >= reduce_threads)
                       ? (int)reduce_threads
                       : (int)least_power(ceil_div(steps, 4), 32);
        blocks = ceil_div(p->results, reduce_threads / p->group);
    }
    int64_t splits = blocks ? reduce_blocks / blocks : 1, most = steps / (p->group * ahead);
    if (splits > most) splits = most;
    if (splits < 1) splits = 1;
    p->part = ceil_div(ceil_div(steps, splits), p->group) * p->group;
    p->splits = p->part ? ceil_div(steps, p->part) : 1;
}

reduce_plan reduce_make_plan(const lucid_kernel_args *args)
{
    static const size_t sizes[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_reduce_attrs *attrs = static_cast<const lucid_reduce_attrs *>(args->attrs);
    lucid_view kept_x = {}, kept_y = {}, reduced = {};
    for (int d = 0, at = 0; d < x->ndim; d++) {
        if (attrs->mask >> d & 1) {
            reduced.dims[reduced.ndim] = x->dims[d];
            reduced.strides[reduced.ndim++] = x->strides[d];
            at += attrs->keepdim;
            continue;
        }
        kept_x.dims[kept_x.ndim] = kept_y.dims[kept_x.ndim] = x->dims[d];
        kept_y.strides[kept_x.ndim] = y->strides[at++];
        kept_x.strides[kept_x.ndim++] = x->strides[d];
    }
    kept_y.ndim = kept_x.ndim;
    reduce_plan p = {};
    p.x = x->data;
    p.y = y->data;
    p.kept = make_walk<2>({&kept_x, &kept_y});
    p.reduced = make_walk<1>({&reduced});
    p.results = p.kept.n;
    p.count = p.reduced.n;
    p.y_dtype = y->dtype;
    p.op = args->op;
    p.correction = (double)attrs->correction;
    p.smallest = p.op == LUCID_OP_amin;
    p.kind = p.op == LUCID_OP_var                             ? reduce_squares
             : p.op == LUCID_OP_amax || p.op == LUCID_OP_amin ? reduce_extreme
                                                              : reduce_sum;
    p.columns = p.kept.ndim && p.reduced.ndim && p.kept.strides[0][0] < p.reduced.strides[0][0];
    p.width = 1;
    bool widens = x->dtype <= LUCID_BF16 && p.kind != reduce_squares &&
                  !(p.columns && p.kind == reduce_extreme);
    int width = (int)(16 / sizes[x->dtype]);
    if (widens && can_widen(p, width, sizes[x->dtype])) p.width = width;
    cut(&p);
    return p;
}

static size_t partial_bytes(const reduce_plan &p)
{
    return p.splits > 1 ? (size_t)(p.splits * p.results) * sizeof(double) : 0;
}

bool plan_reduce(const lucid_kernel_args *args, lucid_plan *plan)
{
    reduce_plan p = reduce_make_plan(args);
    bool centres = p.splits > 1 && p.kind == reduce_squares;
    plan->workspace = partial_bytes(p) + (centres ? (size_t)p.results * sizeof(double) : 0);
    return true;
}

/* ---- the parts ------------------------------------------------------------------------------ */

/* partial [splits][results]: threads lie along the results, and `group` threads share each. With
 * `centres`, means are written there, and no results to y. */
template <class T, int K>
__global__ void __launch_bounds__(reduce_threads)
    reduce_parts(reduce_plan p, int group, double *centres)
{
    typedef reducer<T, K> R;
    __shared__ T all[reduce_threads];
    int columns = reduce_threads / group, row = threadIdx.x / columns;
    int64_t result = (int64_t)blockIdx.x * columns + threadIdx.x % columns;
    const T *partial = static_cast<const T *>(p.partial);
    T acc = R::nothing();
    if (result < p.results)
        for (int64_t s = row; s < p.splits; s += group)
            acc = R::join(acc, partial[s * p.results + result]);
    all[threadIdx.x] = acc;
    for (int half = group / 2; half > 0; half /= 2) {
        __syncthreads();
        if (row < half)
            all[threadIdx.x] = R::join(all[threadIdx.x], all[threadIdx.x + half * columns]);
    }
    if (row != 0 || result >= p.results) return;
    acc = all[threadIdx.x];
    if (centres) {
        centres[result] = (double)acc / (double)p.count;
        return;
    }
    int64_t at[2];
    p.kept.offsets(result, at);
    reduce_store(p, at[1], acc);
}

template <class T, int K>
static bool join_parts(const call &c, const reduce_plan &p, double *centres)
{
    int columns = (int)least_power(p.results, 32);
    int group = (int)least_power(p.splits, reduce_threads / columns);
    int64_t blocks = ceil_div(p.results, reduce_threads / group);
    return c.launch(reduce_parts<T, K>, (unsigned)blocks, reduce_threads, 0, p, group, centres);
}

static bool gather(const call &c, const reduce_plan &p)
{
    return p.columns ? reduce_columns(c, p) : reduce_rows(c, p);
}

static bool join(const call &c, const reduce_plan &p, double *centres)
{
    bool integer = c.in(0)->dtype >= LUCID_I64;
    if (p.kind == reduce_extreme)
        return integer ? join_parts<int64_t, reduce_extreme>(c, p, nullptr)
                       : join_parts<double, reduce_extreme>(c, p, nullptr);
    return integer ? join_parts<int64_t, reduce_sum>(c, p, nullptr)
                   : join_parts<double, reduce_sum>(c, p, centres);
}

bool reduce(const lucid_kernel_args *args)
{
    call c(args);
    reduce_plan p = reduce_make_plan(args);
    if (p.results == 0) return true;
    if (p.count == 0 && p.kind == reduce_extreme)
        return raise(LUCID_ERR_ARGUMENT, c.op,
                     "input: expected at least one element to reduce, got none");
    if (p.splits == 1) return gather(c, p);
    p.partial = c.workspace<char>();
    if (p.kind == reduce_squares) {
        double *centres = reinterpret_cast<double *>(c.workspace<char>() + partial_bytes(p));
        p.kind = reduce_sum;
        if (!gather(c, p) || !join(c, p, centres)) return false;
        p.kind = reduce_squares;
        p.centres = centres;
    }
    return gather(c, p) && join(c, p, nullptr);
}

void register_reduce(lucid_backend *b)
{
    static const lucid_op_id ops[] = {LUCID_OP_sum, LUCID_OP_mean, LUCID_OP_var, LUCID_OP_amax,
                                      LUCID_OP_amin};
    for (lucid_op_id op : ops) {
        int types = op == LUCID_OP_var ? (int)LUCID_I64 : (int)LUCID_DTYPE_COUNT;
        for (int type = 0; type < types; type++) b->kernels[op][type].run = reduce;
        set_plan(b, op, plan_reduce);
    }
}

} // namespace luc
