/* copy.cu: fill, arange, eye, copy between layouts, cast between dtypes. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/dtype.h"
#include "backends/cuda/view.h"

namespace luc
{

/* ---- copy: any strides on both sides; types of one size are one ----------------------------- */

template <class T> __global__ void copy_strided(T *y, const T *x, walk<2> w)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < w.n; i += step) {
        int64_t at[2];
        w.offsets(i, at);
        y[at[0]] = x[at[1]];
    }
}

/* The copy is contiguous along one dimension of the output and along another one of the input. It
 * goes through a tile in shared memory, so that both sides are read and written in whole lines.
 * Dimension 0 of the walk is the output's innermost one, `cross` the input's. */
template <class T> __global__ void copy_transposed(T *y, const T *x, walk<2> w, int cross)
{
    __shared__ T tile[32][33];
    int64_t rows = w.dims[cross], cols = w.dims[0];
    int64_t tiles_c = (cols + 31) / 32, tiles_r = (rows + 31) / 32, b = blockIdx.x;
    int64_t c0 = b % tiles_c * 32, r0 = b / tiles_c % tiles_r * 32, rest = b / tiles_c / tiles_r;
    int64_t ya = 0, xa = 0;
    for (int d = 1; d < w.ndim; d++) {
        if (d == cross) continue;
        int64_t i = rest % w.dims[d];
        rest /= w.dims[d];
        ya += i * w.strides[d][0];
        xa += i * w.strides[d][1];
    }
    for (int k = threadIdx.y; k < 32; k += 8) { /* x is contiguous along the rows' dimension */
        int64_t c = c0 + k, r = r0 + threadIdx.x;
        if (c < cols && r < rows)
            tile[k][threadIdx.x] = x[xa + c * w.strides[0][1] + r * w.strides[cross][1]];
    }
    __syncthreads();
    for (int k = threadIdx.y; k < 32; k += 8) {
        int64_t r = r0 + k, c = c0 + threadIdx.x;
        if (c < cols && r < rows)
            y[ya + c * w.strides[0][0] + r * w.strides[cross][0]] = tile[threadIdx.x][k];
    }
}

/* The dimension along which x is contiguous while y is not; 0 if there is none. */
static int crossing(const walk<2> &w)
{
    if (w.ndim < 2 || w.strides[0][0] != 1 || w.strides[0][1] == 1 || w.dims[0] < 16) return 0;
    for (int d = 1; d < w.ndim; d++)
        if (w.strides[d][1] == 1 && w.dims[d] >= 16) return d;
    return 0;
}

template <class T> static bool copy_kernel(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *y = c.out(0), *x = c.in(0);
    walk<2> w = make_walk<2>({y, x});
    if (w.n == 0) return true;
    if (!c.device) return false;
    if (w.contiguous)
        return ok(cudaMemcpyAsync(y->data, x->data, (size_t)w.n * sizeof(T),
                                  cudaMemcpyDeviceToDevice, c.stream),
                  c.op);
    T *to = static_cast<T *>(y->data);
    const T *from = static_cast<const T *>(x->data);
    if (int cross = crossing(w)) {
        int64_t blocks = ceil_div(w.dims[0], 32) * ceil_div(w.dims[cross], 32);
        for (int d = 1; d < w.ndim; d++)
            if (d != cross) blocks *= w.dims[d];
        if (blocks < ((int64_t)1 << 31))
            return c.launch(copy_transposed<T>, dim3((unsigned)blocks), dim3(32, 8), 0, to, from, w,
                            cross);
    }
    return c.launch(copy_strided<T>, c.blocks_for(w.n, 256), 256, 0, to, from, w);
}

/* ---- cast ----------------------------------------------------------------------------------- */

/* An element of any dtype: floats become double, which holds them exactly, and integers int64. */
struct element {
    bool integer;
    double f;
    int64_t i;
};

__device__ inline element read(const void *p, int64_t at, int dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return {false, static_cast<const float *>(p)[at], 0};
    case LUCID_F64:
        return {false, static_cast<const double *>(p)[at], 0};
    case LUCID_F16:
        return {false, to_float(static_cast<const f16 *>(p)[at]), 0};
    case LUCID_BF16:
        return {false, to_float(static_cast<const bf16 *>(p)[at]), 0};
    case LUCID_I64:
        return {true, 0, static_cast<const int64_t *>(p)[at]};
    case LUCID_I32:
        return {true, 0, static_cast<const int32_t *>(p)[at]};
    default:
        return {true, 0, static_cast<const uint8_t *>(p)[at]};
    }
}

template <class T> __device__ inline T element_as(element e)
{
    return e.integer ? convert<T>(e.i) : convert<T>(e.f);
}

template <class T> __global__ void cast_strided(T *y, const void *x, int from, walk<2> w)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < w.n; i += step) {
        int64_t at[2];
        w.offsets(i, at);
        y[at[0]] = element_as<T>(read(x, at[1], from));
    }
}

/* Between float, f16 and bf16, both contiguous: four elements at a time. */
template <class T, class F> __global__ void cast_floats(T *y, const F *x, int64_t n)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    for (int64_t k = i; k < n / 4; k += step) {
        pack<F, 4> in = reinterpret_cast<const pack<F, 4> *>(x)[k];
        pack<T, 4> out;
        for (int j = 0; j < 4; j++) out.v[j] = narrow<T>(widen(in.v[j]));
        reinterpret_cast<pack<T, 4> *>(y)[k] = out;
    }
    for (int64_t k = n / 4 * 4 + i; k < n; k += step) y[k] = narrow<T>(widen(x[k]));
}

template <class T, class F> static bool cast_fast(const call &c, const lucid_view *x, int64_t n)
{
    T *y = static_cast<T *>(c.out(0)->data);
    const F *from = static_cast<const F *>(x->data);
    return c.launch(cast_floats<T, F>, c.blocks_for(ceil_div(n, 4), 256), 256, 0, y, from, n);
}

template <class T> static bool cast_to(const call &c, const walk<2> &w)
{
    const lucid_view *y = c.out(0), *x = c.in(0);
    return c.launch(cast_strided<T>, c.blocks_for(w.n, 256), 256, 0, static_cast<T *>(y->data),
                    x->data, (int)x->dtype, w);
}

static bool cast_kernel(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *y = c.out(0), *x = c.in(0);
    walk<2> w = make_walk<2>({y, x});
    if (w.n == 0) return true;
    if (w.contiguous && is_aligned(y->data, 16) && is_aligned(x->data, 16)) {
        int pair = x->dtype * LUCID_DTYPE_COUNT + y->dtype;
        switch (pair) {
        case LUCID_F32 *LUCID_DTYPE_COUNT + LUCID_F16:
            return cast_fast<f16, float>(c, x, w.n);
        case LUCID_F32 *LUCID_DTYPE_COUNT + LUCID_BF16:
            return cast_fast<bf16, float>(c, x, w.n);
        case LUCID_F16 *LUCID_DTYPE_COUNT + LUCID_F32:
            return cast_fast<float, f16>(c, x, w.n);
        case LUCID_BF16 *LUCID_DTYPE_COUNT + LUCID_F32:
            return cast_fast<float, bf16>(c, x, w.n);
        default:
            break;
        }
    }
    switch (y->dtype) {
    case LUCID_F32:
        return cast_to<float>(c, w);
    case LUCID_F64:
        return cast_to<double>(c, w);
    case LUCID_F16:
        return cast_to<f16>(c, w);
    case LUCID_BF16:
        return cast_to<bf16>(c, w);
    case LUCID_I64:
        return cast_to<int64_t>(c, w);
    case LUCID_I32:
        return cast_to<int32_t>(c, w);
    case LUCID_U8:
        return cast_to<uint8_t>(c, w);
    default:
        return cast_to<boolean>(c, w);
    }
}

/* ---- fill, arange, eye ---------------------------------------------------------------------- */

template <class T> __global__ void fill_strided(T *y, T value, walk<1> w)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < w.n; i += step) {
        int64_t at[1];
        w.offsets(i, at);
        y[at[0]] = value;
    }
}

template <class T> static bool fill_kernel(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *y = c.out(0);
    walk<1> w = make_walk<1>({y});
    if (w.n == 0) return true;
    if (!c.device) return false;
    T value = convert<T>(c.attrs<lucid_scalar_attrs>()->value);
    unsigned char zero[sizeof(T)] = {0};
    if (w.contiguous && memcmp(&value, zero, sizeof value) == 0)
        return ok(cudaMemsetAsync(y->data, 0, (size_t)w.n * sizeof(T), c.stream), c.op);
    return c.launch(fill_strided<T>, c.blocks_for(w.n, 256), 256, 0, static_cast<T *>(y->data),
                    value, w);
}

/* The elements are counted in row-major order, whatever the strides are. */
struct rows {
    int ndim;
    int64_t n, dims[LUCID_MAX_DIMS], strides[LUCID_MAX_DIMS];
    explicit rows(const lucid_view *v) : ndim(v->ndim), n(1)
    {
        for (int d = 0; d < ndim; d++) {
            dims[d] = v->dims[d];
            strides[d] = v->strides[d];
            n *= dims[d];
        }
    }
    __device__ int64_t offset(int64_t i) const
    {
        int64_t at = 0;
        for (int d = ndim - 1; d >= 0; d--) {
            at += i % dims[d] * strides[d];
            i /= dims[d];
        }
        return at;
    }
};

/* The index is counted from the nearer end, so that linspace is symmetric and ends exactly. */
template <class T> __global__ void arange_rows(T *y, rows r, lucid_range_attrs a, bool integer)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < r.n; i += step) {
        if (integer)
            y[r.offset(i)] = convert<T>((int64_t)a.start + i * (int64_t)a.step);
        else if (a.linspace && r.n > 1 && i >= r.n / 2)
            y[r.offset(i)] =
                convert<T>(__dadd_rn(a.end, -__dmul_rn((double)(r.n - 1 - i), a.step)));
        else
            y[r.offset(i)] = convert<T>(__dadd_rn(a.start, __dmul_rn((double)i, a.step)));
    }
}

template <class T> static bool arange_kernel(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *y = c.out(0);
    rows r(y);
    const lucid_range_attrs *a = c.attrs<lucid_range_attrs>();
    bool integer = !a->linspace && y->dtype >= LUCID_I64;
    return c.launch(arange_rows<T>, c.blocks_for(r.n, 256), 256, 0, static_cast<T *>(y->data), r,
                    *a, integer);
}

template <class T> __global__ void eye_rows(T *y, rows r, T one, T zero)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < r.n; i += step)
        y[r.offset(i)] = i / r.dims[1] == i % r.dims[1] ? one : zero;
}

template <class T> static bool eye_kernel(const lucid_kernel_args *args)
{
    call c(args);
    rows r(c.out(0));
    return c.launch(eye_rows<T>, c.blocks_for(r.n, 256), 256, 0, static_cast<T *>(c.out(0)->data),
                    r, convert<T>(1.0), convert<T>(0.0));
}

static lucid_run_fn copy_of(lucid_dtype dtype)
{
    static const lucid_run_fn by_size[] = {nullptr,
                                           copy_kernel<uint8_t>,
                                           copy_kernel<uint16_t>,
                                           nullptr,
                                           copy_kernel<uint32_t>,
                                           nullptr,
                                           nullptr,
                                           nullptr,
                                           copy_kernel<uint64_t>};
    static const int sizes[LUCID_DTYPE_COUNT] = {4, 8, 2, 2, 8, 4, 1, 1};
    return by_size[sizes[dtype]];
}

bool copy_view(int device, const lucid_view *to, const lucid_view *from)
{
    lucid_kernel_args args = {};
    args.op = LUCID_OP_copy;
    args.n_in = args.n_out = 1;
    args.in = &from;
    args.out = &to;
    args.device = device;
    return copy_of(to->dtype)(&args);
}

void register_copy(lucid_backend *b)
{
    LUC_ALL_DTYPES(b, fill, fill_kernel);
    LUC_ALL_DTYPES(b, arange, arange_kernel);
    LUC_ALL_DTYPES(b, eye, eye_kernel);
    for (int d = 0; d < LUCID_DTYPE_COUNT; d++) {
        b->kernels[LUCID_OP_copy][d].run = copy_of((lucid_dtype)d);
        b->kernels[LUCID_OP_cast][d].run = cast_kernel;
    }
}

} // namespace luc
