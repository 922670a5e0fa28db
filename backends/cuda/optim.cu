/* optim.cu: optimizer steps over lists of tensors, with the formulas of
 * backends/cpu/optim/step_tmpl.h in their order, so that float32 gives the same bits. The kernels
 * are bound by memory: SGD with momentum moves five values for each element, Adam seven. */
#include "backends/cuda/optim_lists.h"
#include "lucid/core/attrs.h"

#include <float.h>
#include <math.h>

namespace luc
{

namespace
{

__device__ __forceinline__ float fused(float a, float b, float c)
{
    return __fmaf_rn(a, b, c);
}
__device__ __forceinline__ double fused(double a, double b, double c)
{
    return __fma_rn(a, b, c);
}

/* x^t, with the same bits on the host and on the device, where a captured step computes it. */
__host__ __device__ inline double power(double x, int64_t t)
{
    double y = 1;
    for (; t > 0; t >>= 1) {
#ifdef __CUDA_ARCH__
        if (t & 1) y = __dmul_rn(y, x);
        x = __dmul_rn(x, x);
#else
        if (t & 1) y *= x;
        x *= x;
#endif
    }
    return y;
}

/* The numbers for one tensor that change from replay to replay of a captured step. */
template <class C> struct rates {
    C lr, keep;   /* keep: 1 - lr * weight_decay of AdamW */
    C size, root; /* adam: lr / (1 - beta1^t), sqrt(1 - beta2^t) */
};

/* The numbers of a call. */
template <class C> struct settings {
    const uint64_t *live;
    double lr_, weight_decay_, beta1_, beta2_;                              /* as they were given */
    C lr, keep, weight_decay, momentum, rest_dampening, rho, rest_rho, eps; /* as they are used */
    C beta1, rest_beta1, beta2, rest_beta2;
    C least, least_under_root, least_in_sum; /* see flushed */
    bool nesterov, maximize, decoupled, lerp_from_first;
};

/* Neither side contracts operations, so each step rounds once. */
template <class C>
__host__ __device__ inline rates<C> rates_of(double lr, double weight_decay, double beta1,
                                             double beta2, int64_t t)
{
    double p1 = power(beta1, t), p2 = power(beta2, t);
#ifdef __CUDA_ARCH__
    return {(C)lr, (C)__dadd_rn(1, -__dmul_rn(lr, weight_decay)), (C)(lr / __dadd_rn(1, -p1)),
            (C)sqrt(__dadd_rn(1, -p2))};
#else
    double decay = lr * weight_decay;
    return {(C)lr, (C)(1 - decay), (C)(lr / (1 - p1)), (C)sqrt(1 - p2)};
#endif
}

/* ---- the steps of one element: p, its gradient, its state ----------------------------------- */

template <class C> __device__ __forceinline__ C step_grad(const settings<C> &s, C p, C g)
{
    if (s.maximize) g = -g;
    return s.weight_decay != 0 && !s.decoupled ? fused(p, s.weight_decay, g) : g;
}

/* A moment as it is stored: 0 if it is smaller than `least`, as on the CPU
 * (backends/cpu/optim/optim_priv.h). */
template <class C> __device__ __forceinline__ C flushed(C moment, C least)
{
    return fabs(moment) < least ? 0 : moment;
}

template <int States> struct sgd { /* the momentum buffer, if there is momentum */
    enum { states = States };
    template <class C>
    static __device__ __forceinline__ void step(const settings<C> &s, const rates<C> &r, bool first,
                                                C &p, C g, C *state)
    {
        g = step_grad(s, p, g);
        if constexpr (States > 0) {
            C b = first ? g : fused(g, s.rest_dampening, state[0] * s.momentum);
            b = flushed(b, s.least);
            state[0] = b;
            g = s.nesterov ? fused(b, s.momentum, g) : b;
        }
        p = fused(-g, r.lr, p);
    }
};

template <int States> struct adam { /* mean, mean square, with amsgrad the largest mean square */
    enum { states = States };
    template <class C>
    static __device__ __forceinline__ void step(const settings<C> &s, const rates<C> &r, bool, C &p,
                                                C g, C *state)
    {
        g = step_grad(s, p, g);
        if (s.decoupled && s.weight_decay != 0) p *= r.keep;
        C d = g - state[0];
        C mean = s.lerp_from_first ? fused(d, s.rest_beta1, state[0]) : fused(-d, s.beta1, g);
        C square = fused(g * g, s.rest_beta2, state[1] * s.beta2);
        mean = flushed(mean, s.least);
        square = flushed(square, s.least_under_root);
        state[0] = mean;
        state[1] = square;
        if constexpr (States > 2) {
            C most = flushed(state[2], s.least_under_root);
            square = most > square ? most : square;
            state[2] = square;
        }
        p = fused(-(mean / (sqrt(square) / r.root + s.eps)), r.size, p);
    }
};

struct adadelta { /* the mean squares of gradients and of steps */
    enum { states = 2 };
    template <class C>
    static __device__ __forceinline__ void step(const settings<C> &s, const rates<C> &r, bool, C &p,
                                                C g, C *state)
    {
        g = step_grad(s, p, g);
        C square = fused(g * g, s.rest_rho, state[0] * s.rho);
        C delta = sqrt(state[1] + s.eps) / sqrt(square + s.eps) * g;
        state[0] = flushed(square, s.least_in_sum);
        state[1] = flushed(fused(delta * delta, s.rest_rho, state[1] * s.rho), s.least_in_sum);
        p = fused(-delta, r.lr, p);
    }
};

/* ---- over a list ---------------------------------------------------------------------------- */

template <class T, int States> struct entry {
    T *p, *state[States ? States : 1];
    const T *g;
    int64_t n, step;
    compute_t<T> size, root; /* the rates, if they are known */
    uint32_t begin;
    bool first, aligned;
};

/* The rates of a tensor come from the call or, in a captured step, from the device's cells. */
template <class C, class E>
__device__ __forceinline__ rates<C> find_rates(const settings<C> &s, const E &e)
{
    if (!s.live) return {s.lr, s.keep, e.size, e.root};
    double lr = *reinterpret_cast<const double *>(s.live);
    return rates_of<C>(lr, s.weight_decay_, s.beta1_, s.beta2_, e.step + (int64_t)s.live[1]);
}

template <class A, class T>
__global__ void __launch_bounds__(list_threads)
    step_list(tensor_list<entry<T, A::states>, settings<compute_t<T>>> list)
{
    enum { S = A::states, W = 16 / sizeof(T), K = S + 2 };
    typedef compute_t<T> C;
    typedef pack<T, W> packed;
    const settings<C> &s = list.call;
    const entry<T, S> &e = list.entries[list.find(blockIdx.x)];
    __shared__ rates<C> shared_rates;
    if (threadIdx.x == 0) shared_rates = find_rates(s, e);
    __syncthreads();
    const rates<C> r = shared_rates;
    const int64_t first = (int64_t)(blockIdx.x - e.begin) * list_part<T>::value;
    const int64_t left = e.n - first;
    const int n = left < list_part<T>::value ? (int)left : (int)list_part<T>::value;
    T *p = e.p + first, *state[S + 1];
    const T *g = e.g + first;
    for (int k = 0; k < S; k++) state[k] = e.state[k] + first;
    const int packs = e.aligned ? n / W : 0;
    for (int i = (int)threadIdx.x; i < packs; i += list_threads) {
        packed x[K];
        x[0] = reinterpret_cast<packed *>(p)[i];
        x[1] = reinterpret_cast<const packed *>(g)[i];
        LUC_UNROLL
        for (int k = 0; k < S; k++) x[k + 2] = reinterpret_cast<packed *>(state[k])[i];
        LUC_UNROLL
        for (int j = 0; j < W; j++) {
            C v = widen(x[0].v[j]), z[S + 1];
            for (int k = 0; k < S; k++) z[k] = widen(x[k + 2].v[j]);
            A::step(s, r, e.first, v, widen(x[1].v[j]), z);
            x[0].v[j] = narrow<T>(v);
            for (int k = 0; k < S; k++) x[k + 2].v[j] = narrow<T>(z[k]);
        }
        reinterpret_cast<packed *>(p)[i] = x[0];
        LUC_UNROLL
        for (int k = 0; k < S; k++) reinterpret_cast<packed *>(state[k])[i] = x[k + 2];
    }
    for (int i = packs * W + (int)threadIdx.x; i < n; i += list_threads) {
        C v = widen(p[i]), z[S + 1];
        for (int k = 0; k < S; k++) z[k] = widen(state[k][i]);
        A::step(s, r, e.first, v, widen(g[i]), z);
        p[i] = narrow<T>(v);
        for (int k = 0; k < S; k++) state[k][i] = narrow<T>(z[k]);
    }
}

/* One tensor whose views do not share a layout. */
template <class A, class T>
__global__ void __launch_bounds__(list_threads)
    step_strided(entry<T, A::states> e, settings<compute_t<T>> s, walk<A::states + 2> w)
{
    enum { S = A::states };
    typedef compute_t<T> C;
    __shared__ rates<C> shared_rates;
    if (threadIdx.x == 0) shared_rates = find_rates(s, e);
    __syncthreads();
    const rates<C> r = shared_rates;
    const int64_t step = (int64_t)gridDim.x * list_threads;
    for (int64_t i = (int64_t)blockIdx.x * list_threads + threadIdx.x; i < w.n; i += step) {
        int64_t at[S + 2];
        w.offsets(i, at);
        C v = widen(e.p[at[0]]), z[S + 1];
        for (int k = 0; k < S; k++) z[k] = widen(e.state[k][at[k + 2]]);
        A::step(s, r, e.first, v, widen(e.g[at[1]]), z);
        e.p[at[0]] = narrow<T>(v);
        for (int k = 0; k < S; k++) e.state[k][at[k + 2]] = narrow<T>(z[k]);
    }
}

/* ---- the calls ------------------------------------------------------------------------------ */

template <class C> settings<C> settings_of(const lucid_optim_attrs *a)
{
    settings<C> s = {};
    s.live = a->live;
    s.lr_ = a->lr;
    s.weight_decay_ = a->weight_decay;
    s.beta1_ = a->beta1;
    s.beta2_ = a->beta2;
    s.lr = (C)a->lr;
    s.keep = rates_of<C>(a->lr, a->weight_decay, 0, 0, 1).keep;
    s.weight_decay = (C)a->weight_decay;
    s.momentum = (C)a->momentum;
    s.rest_dampening = (C)(1 - a->dampening);
    s.rho = (C)a->rho;
    s.rest_rho = (C)(1 - a->rho);
    s.eps = (C)a->eps;
    const bool single = sizeof(C) == sizeof(float);
    s.least = single ? (C)FLT_MIN : (C)DBL_MIN;
    s.least_under_root = a->eps >= (single ? 0x1p-33 : 0x1p-451) ? s.least : 0;
    s.least_in_sum = a->eps >= (single ? 0x1p-96 : 0x1p-962) ? s.least : 0;
    s.beta1 = (C)(1 - (1 - a->beta1)); /* as on the CPU */
    s.rest_beta1 = (C)(1 - a->beta1);
    s.beta2 = (C)a->beta2;
    s.rest_beta2 = (C)(1 - a->beta2);
    s.nesterov = a->nesterov;
    s.maximize = a->maximize;
    s.decoupled = a->decoupled;
    s.lerp_from_first = 1 - a->beta1 < 0.5;
    return s;
}

template <class T, int States>
entry<T, States> entry_of(const call &c, const lucid_optim_attrs *a, int64_t i)
{
    entry<T, States> e = {};
    e.p = static_cast<T *>(a->param[i].data);
    e.g = static_cast<const T *>(a->grad[i].data);
    e.aligned = is_aligned(e.p, 16) && is_aligned(e.g, 16);
    for (int k = 0; k < States; k++) {
        e.state[k] = static_cast<T *>(a->state[k][i].data);
        e.aligned = e.aligned && is_aligned(e.state[k], 16);
    }
    e.first = c.args->op == LUCID_OP_sgd_step && a->first && a->first[i];
    if (c.args->op == LUCID_OP_adam_step) {
        e.step = a->step[i];
        auto r = rates_of<compute_t<T>>(a->lr, 0, a->beta1, a->beta2, e.step);
        e.size = r.size;
        e.root = r.root;
    }
    return e;
}

bool has_dtype(const call &c, const lucid_optim_attrs *a, int64_t i, int states, lucid_dtype dtype)
{
    bool same = a->param[i].dtype == dtype && a->grad[i].dtype == dtype;
    for (int k = 0; k < states; k++) same = same && a->state[k][i].dtype == dtype;
    if (same) return true;
    return raise(LUCID_ERR_UNSUPPORTED, c.op,
                 "parameter %lld: expected a parameter, gradient and state of one dtype",
                 (long long)i);
}

template <class A, class T> bool step_kernel(const lucid_kernel_args *args)
{
    enum { S = A::states };
    typedef tensor_list<entry<T, S>, settings<compute_t<T>>> list_of;
    static_assert(sizeof(list_of) <= 4096, "kernel arguments are limited");
    call c(args);
    if (!c.device) return false;
    const lucid_optim_attrs *a = c.attrs<lucid_optim_attrs>();
    list_of list = {};
    list.call = settings_of<compute_t<T>>(a);
    int64_t blocks = 0;
    for (int64_t i = 0; i <= a->n; i++) {
        bool full = list.n == list_of::most || blocks > (1 << 30);
        if (blocks > 0 && (full || i == a->n)) {
            if (!c.launch(step_list<A, T>, (unsigned)blocks, list_threads, 0, list)) return false;
            list.n = 0;
            blocks = 0;
        }
        if (i == a->n) break;
        if (!has_dtype(c, a, i, S, (lucid_dtype)(int)dtype_of<T>::value)) return false;
        const lucid_view *views[S + 2] = {&a->param[i], &a->grad[i]};
        for (int k = 0; k < S; k++) views[k + 2] = &a->state[k][i];
        walk<S + 2> w = make_walk<S + 2>(views);
        if (w.n == 0) continue;
        entry<T, S> e = entry_of<T, S>(c, a, i);
        if (!w.contiguous) {
            if (!c.launch(step_strided<A, T>, c.blocks_for(w.n, list_threads), list_threads, 0, e,
                          list.call, w))
                return false;
            continue;
        }
        e.n = w.n;
        e.begin = (uint32_t)blocks;
        list.entries[list.n++] = e;
        blocks += ceil_div(w.n, list_part<T>::value);
    }
    return true;
}

template <class T> bool sgd_step(const lucid_kernel_args *args)
{
    bool momentum = static_cast<const lucid_optim_attrs *>(args->attrs)->momentum != 0;
    return momentum ? step_kernel<sgd<1>, T>(args) : step_kernel<sgd<0>, T>(args);
}

template <class T> bool adam_step(const lucid_kernel_args *args)
{
    bool amsgrad = static_cast<const lucid_optim_attrs *>(args->attrs)->amsgrad;
    return amsgrad ? step_kernel<adam<3>, T>(args) : step_kernel<adam<2>, T>(args);
}

template <class T> bool adadelta_step(const lucid_kernel_args *args)
{
    return step_kernel<adadelta, T>(args);
}

} // namespace

void register_optim(lucid_backend *b)
{
    LUC_FLOATS(b, sgd_step, sgd_step);
    LUC_FLOATS(b, adam_step, adam_step);
    LUC_FLOATS(b, adadelta_step, adadelta_step);
}

} // namespace luc
