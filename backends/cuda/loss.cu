/* loss.cu: negative log likelihood and its gradient.
 *
 * Forward reads one number for each sample, at the place of its class. It is bound by latency, so
 * one block does it where that is enough; otherwise many blocks make partial sums, which are joined
 * in order. Backward is one pass over the gradient, in which every element is written, and it is
 * bound by memory. */
#include "backends/cuda/fault.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

enum {
    loss_threads = 256,
    loss_blocks = 512,
    loss_alone = 4096,  /* samples that one block takes alone */
    loss_samples = 1024 /* samples of a block if there are more */
};

struct nll_plan {
    const void *probs, *weight;
    const int64_t *target;
    void *loss, *total;
    double *partial; /* [blocks][2] */
    walk<3> samples; /* of the target, of log_probs (class 0), of the losses (if not reduced) */
    int64_t class_stride, weight_stride, ignored;
    int reduction;
    checker check;
};

struct loss_sum {
    double loss, weight;
};

/* The sums of the block's threads, in thread 0. */
__device__ inline loss_sum join_block(loss_sum s)
{
    __shared__ double all[2][loss_threads];
    all[0][threadIdx.x] = s.loss;
    all[1][threadIdx.x] = s.weight;
    for (int half = loss_threads / 2; half > 0; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x < half)
            for (int k = 0; k < 2; k++) all[k][threadIdx.x] += all[k][threadIdx.x + half];
    }
    __syncthreads(); /* all threads read it, although only one needs it */
    return {all[0][0], all[1][0]};
}

template <class T> __device__ inline void store_sums(const nll_plan &p, loss_sum s)
{
    double mean = p.reduction == LUCID_REDUCTION_MEAN ? s.loss / s.weight : s.loss;
    if (p.reduction != LUCID_REDUCTION_NONE) *static_cast<T *>(p.loss) = convert<T>(mean);
    if (p.total) *static_cast<T *>(p.total) = convert<T>(s.weight);
}

template <class T> __global__ void __launch_bounds__(loss_threads) nll_forward(nll_plan p)
{
    loss_sum sum = {0, 0};
    int64_t step = (int64_t)gridDim.x * loss_threads;
    for (int64_t i = (int64_t)blockIdx.x * loss_threads + threadIdx.x; i < p.samples.n; i += step) {
        int64_t at[3];
        p.samples.offsets(i, at);
        int64_t c = p.target[at[0]];
        double loss = 0, w = 0;
        if (c != p.ignored && p.check.accepts(c, i)) {
            w = p.weight ? (double)widen(static_cast<const T *>(p.weight)[c * p.weight_stride]) : 1;
            T log_prob = static_cast<const T *>(p.probs)[at[1] + c * p.class_stride];
            loss = -w * (double)widen(log_prob);
        }
        if (p.reduction == LUCID_REDUCTION_NONE) static_cast<T *>(p.loss)[at[2]] = convert<T>(loss);
        sum.loss += loss;
        sum.weight += w;
    }
    sum = join_block(sum);
    if (threadIdx.x != 0) return;
    if (gridDim.x == 1) {
        store_sums<T>(p, sum);
    } else {
        p.partial[2 * blockIdx.x] = sum.loss;
        p.partial[2 * blockIdx.x + 1] = sum.weight;
    }
}

template <class T> __global__ void __launch_bounds__(loss_threads) nll_join(nll_plan p, int blocks)
{
    loss_sum sum = {0, 0};
    for (int b = threadIdx.x; b < blocks; b += loss_threads) {
        sum.loss += p.partial[2 * b];
        sum.weight += p.partial[2 * b + 1];
    }
    sum = join_block(sum);
    if (threadIdx.x == 0) store_sums<T>(p, sum);
}

static int64_t count_of(const lucid_view *v)
{
    int64_t n = 1;
    for (int d = 0; d < v->ndim; d++) n *= v->dims[d];
    return n;
}

/* `v` without its classes: the dimensions of the target. */
static lucid_view without_classes(const lucid_view *v)
{
    lucid_view w = *v;
    w.ndim = 0;
    for (int d = 0; d < v->ndim; d++) {
        if (d == (v->ndim > 1 ? 1 : 0)) continue;
        w.dims[w.ndim] = v->dims[d];
        w.strides[w.ndim++] = v->strides[d];
    }
    return w;
}

static int blocks_of(int64_t samples)
{
    int64_t blocks = samples <= loss_alone ? 1 : ceil_div(samples, loss_samples);
    return blocks > loss_blocks ? (int)loss_blocks : (int)blocks;
}

static bool plan_nll(const lucid_kernel_args *args, lucid_plan *plan)
{
    int blocks = blocks_of(count_of(args->in[1]));
    if (blocks > 1) plan->workspace = (size_t)blocks * 2 * sizeof(double);
    return true;
}

template <class T> static bool nll_loss(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *x = c.in(0), *t = c.in(1), *w = c.in(2);
    const lucid_nll_attrs *a = c.attrs<lucid_nll_attrs>();
    int class_dim = x->ndim > 1 ? 1 : 0;
    lucid_view probs = without_classes(x);
    nll_plan p = {x->data,
                  w ? w->data : nullptr,
                  static_cast<const int64_t *>(t->data),
                  c.out(0)->data,
                  args->n_out > 1 && c.out(1) ? c.out(1)->data : nullptr,
                  c.workspace<double>(),
                  make_walk<3>({t, &probs, a->reduction == LUCID_REDUCTION_NONE ? c.out(0) : t}),
                  x->strides[class_dim],
                  w ? w->strides[0] : 0,
                  a->ignore_index,
                  a->reduction,
                  checker(c, x->dims[class_dim])};
    p.check.is_target = true;
    p.check.ignored = a->ignore_index;
    int blocks = blocks_of(p.samples.n);
    if (!c.launch(nll_forward<T>, blocks, loss_threads, 0, p)) return false;
    return blocks == 1 || c.launch(nll_join<T>, 1, loss_threads, 0, p, blocks);
}

/* ---- the gradient --------------------------------------------------------------------------- */

struct nll_gradient_plan {
    void *out;
    const void *grad, *weight, *total;
    const int64_t *target;
    walk<4> elements; /* of the gradient, and the sample's target, grad_out and class */
    int64_t weight_stride, ignored;
    int reduction;
    checker check;
};

template <class T> __global__ void __launch_bounds__(loss_threads) nll_backward(nll_gradient_plan p)
{
    int64_t step = (int64_t)gridDim.x * loss_threads;
    for (int64_t i = (int64_t)blockIdx.x * loss_threads + threadIdx.x; i < p.elements.n;
         i += step) {
        int64_t at[4];
        p.elements.offsets(i, at);
        int64_t c = p.target[at[1]];
        double g = 0;
        if (c == at[3] && c != p.ignored) {
            g = (double)widen(static_cast<const T *>(p.grad)[at[2]]);
            if (p.reduction == LUCID_REDUCTION_MEAN)
                g /= (double)widen(*static_cast<const T *>(p.total));
            double w =
                p.weight ? (double)widen(static_cast<const T *>(p.weight)[c * p.weight_stride]) : 1;
            g *= -w;
        } else if (at[3] == 0 && c != p.ignored) {
            p.check.accepts(c, at[1]);
        }
        static_cast<T *>(p.out)[at[0]] = convert<T>(g);
    }
}

template <class T> static bool nll_loss_backward(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *g = c.in(0), *t = c.in(1), *w = c.in(2), *total = c.in(3), *y = c.out(0);
    const lucid_nll_attrs *a = c.attrs<lucid_nll_attrs>();
    int class_dim = y->ndim > 1 ? 1 : 0;
    lucid_view target = *y, grad = *y, classes = *y;
    for (int d = 0, from = 0; d < y->ndim; d++) {
        bool is_class = d == class_dim;
        target.strides[d] = is_class ? 0 : t->strides[from];
        grad.strides[d] = is_class || a->reduction != LUCID_REDUCTION_NONE ? 0 : g->strides[from];
        classes.strides[d] = is_class;
        from += !is_class;
    }
    nll_gradient_plan p = {y->data,
                           g->data,
                           w ? w->data : nullptr,
                           total->data,
                           static_cast<const int64_t *>(t->data),
                           make_walk<4>({y, &target, &grad, &classes}),
                           w ? w->strides[0] : 0,
                           a->ignore_index,
                           a->reduction,
                           checker(c, y->dims[class_dim])};
    p.check.is_target = true;
    p.check.ignored = a->ignore_index;
    return c.launch(nll_backward<T>, c.blocks_for(p.elements.n, loss_threads), loss_threads, 0, p);
}

void register_loss(lucid_backend *b)
{
    LUC_FLOATS(b, nll_loss, nll_loss);
    LUC_FLOATS(b, nll_loss_backward, nll_loss_backward);
    set_plan(b, LUCID_OP_nll_loss, plan_nll);
}

} // namespace luc
