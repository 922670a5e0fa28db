/* optim_unscale.cu: divides the gradients of a list by a scale that lies on the device, in place,
 * and notes on the device if a result is not finite. The kernel is bound by memory: each element is
 * read and written once. */
#include "backends/cuda/optim_lists.h"
#include "lucid/core/attrs.h"

namespace luc
{

namespace
{

struct unscaling {
    const float *scale;
    float *found; /* every thread that writes it writes 1 */
};
struct unscaled {
    void *x;
    int64_t n;
    uint32_t begin;
    bool aligned;
};
typedef tensor_list<unscaled, unscaling> list_of;
static_assert(sizeof(list_of) <= 4096, "kernel arguments are limited");

/* x times 1 / scale, rounded once. `bad` is set if the result is NaN or infinite: a finite gradient
 * can overflow when the scale is small. */
template <class T> __device__ T unscale_one(T x, float inverse, bool &bad)
{
    T y = narrow<T>(widen(x) * (compute_t<T>)inverse);
    compute_t<T> v = widen(y);
    bad = bad || !(v - v == 0);
    return y;
}

__device__ float inverse_of(const unscaling &u)
{
    return (float)(1.0 / (double)*u.scale);
}

template <class T> __global__ void __launch_bounds__(list_threads) unscale_list(list_of list)
{
    enum { W = 16 / sizeof(T), U = list_packs };
    typedef pack<T, W> packed;
    const unscaled &e = list.entries[list.find(blockIdx.x)];
    const int64_t first = (int64_t)(blockIdx.x - e.begin) * list_part<T>::value;
    const int64_t left = e.n - first;
    const int n = left < list_part<T>::value ? (int)left : (int)list_part<T>::value;
    const float inverse = inverse_of(list.call);
    T *x = static_cast<T *>(e.x) + first;
    bool bad = false;
    if (e.aligned && n == list_part<T>::value) { /* all loads are in flight at once */
        packed v[U], *p = reinterpret_cast<packed *>(x) + threadIdx.x;
        LUC_UNROLL
        for (int u = 0; u < U; u++) v[u] = p[u * list_threads];
        LUC_UNROLL
        for (int u = 0; u < U; u++) {
            for (int j = 0; j < W; j++) v[u].v[j] = unscale_one(v[u].v[j], inverse, bad);
            p[u * list_threads] = v[u];
        }
    } else {
        for (int i = (int)threadIdx.x; i < n; i += list_threads)
            x[i] = unscale_one(x[i], inverse, bad);
    }
    if (bad) *list.call.found = 1;
}

/* A tensor with gaps. */
template <class T>
__global__ void __launch_bounds__(list_threads) unscale_strided(T *x, walk<1> w, unscaling call)
{
    const float inverse = inverse_of(call);
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    bool bad = false;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < w.n; i += step) {
        int64_t at[1];
        w.offsets(i, at);
        x[at[0]] = unscale_one(x[at[0]], inverse, bad);
    }
    if (bad) *call.found = 1;
}

template <class T> bool unscale(const lucid_kernel_args *args)
{
    call c(args);
    if (!c.device) return false;
    const lucid_list_attrs *a = c.attrs<lucid_list_attrs>();
    list_of list = {};
    list.call = {static_cast<const float *>(c.in(0)->data), static_cast<float *>(c.out(0)->data)};
    int64_t blocks = 0; /* of the list */
    for (int64_t i = 0; i <= a->n; i++) {
        if (blocks > 0 && (i == a->n || list.n == list_of::most || blocks > (1 << 30))) {
            if (!c.launch(unscale_list<T>, (unsigned)blocks, list_threads, 0, list)) return false;
            list.n = 0;
            blocks = 0;
        }
        if (i == a->n) break;
        const lucid_view *v = &a->views[i];
        walk<1> w = make_walk<1>({v});
        if (w.n == 0) continue;
        if (w.contiguous) {
            list.entries[list.n++] = {v->data, w.n, (uint32_t)blocks, is_aligned(v->data, 16)};
            blocks += ceil_div(w.n, list_part<T>::value);
        } else if (!c.launch(unscale_strided<T>, c.blocks_for(w.n, list_threads), list_threads, 0,
                             static_cast<T *>(v->data), w, list.call)) {
            return false;
        }
    }
    return true;
}

} // namespace

void register_optim_unscale(lucid_backend *b)
{
    LUC_FLOATS(b, unscale, unscale);
}

} // namespace luc
