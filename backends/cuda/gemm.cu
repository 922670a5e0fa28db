/* gemm.cu: matmul and linear: which dimensions are rows and which are batches; then cuBLASLt or the
 * tiles of tile.h. */
#include "backends/cuda/tile.h"
#include "backends/cuda/vendor.h"

namespace luc
{

/* ---- planning ------------------------------------------------------------------------------- */

/* Leading dimensions from the innermost outwards. Neighbours are joined where a, b and c allow
 * it. */
static void add_dimension(product *p, int64_t size, int64_t a, int64_t b, int64_t c)
{
    p->batches *= size;
    if (size == 1) return;
    if (p->ndim > 0) {
        int last = p->ndim - 1;
        int64_t *s = p->strides[last], dim = p->dims[last];
        if (a == s[0] * dim && b == s[1] * dim && c == s[2] * dim) {
            p->dims[last] *= size;
            return;
        }
    }
    p->dims[p->ndim] = size;
    p->strides[p->ndim][0] = a;
    p->strides[p->ndim][1] = b;
    p->strides[p->ndim][2] = c;
    p->ndim++;
}

/* The innermost dimension becomes the rows, if b does not change along it. */
static void take_rows(product *p)
{
    p->m = 1;
    p->a_row = p->c_row = 0;
    if (p->ndim == 0 || p->strides[0][1] != 0) return;
    p->m = p->dims[0];
    p->a_row = p->strides[0][0];
    p->c_row = p->strides[0][2];
    p->ndim--;
    for (int d = 0; d < p->ndim; d++) {
        p->dims[d] = p->dims[d + 1];
        for (int k = 0; k < 3; k++) p->strides[d][k] = p->strides[d + 1][k];
    }
    p->batches = 1;
    for (int d = 0; d < p->ndim; d++) p->batches *= p->dims[d];
}

/* Leading dimensions that are absent or have size 1 repeat. */
static int64_t lead_stride(const lucid_view *v, int from_right)
{
    int d = v->ndim - 3 - from_right;
    return d < 0 || v->dims[d] == 1 ? 0 : v->strides[d];
}

/* a [..,M,K] x b [..,K,N] -> c [..,M,N], or x [..,K] x weight [N,K] transposed -> y [..,N]. */
static product product_of(const lucid_kernel_args *args)
{
    const lucid_view *a = args->in[0], *b = args->in[1], *c = args->out[0];
    bool linear = args->op == LUCID_OP_linear;
    product p = {};
    p.dtype = a->dtype;
    p.a = a->data;
    p.b = b->data;
    p.c = c->data;
    p.k = a->dims[a->ndim - 1];
    p.n = c->dims[c->ndim - 1];
    p.a_column = a->strides[a->ndim - 1];
    p.c_column = c->strides[c->ndim - 1];
    p.b_row = b->strides[linear ? 1 : b->ndim - 2];
    p.b_column = b->strides[linear ? 0 : b->ndim - 1];
    p.batches = 1;
    if (linear) {
        const lucid_view *bias = args->n_in > 2 ? args->in[2] : nullptr;
        p.bias = bias ? bias->data : nullptr;
        p.bias_stride = bias ? bias->strides[0] : 0;
        for (int d = c->ndim - 2; d >= 0; d--)
            add_dimension(&p, a->dims[d], a->strides[d], 0, c->strides[d]);
    } else {
        add_dimension(&p, c->dims[c->ndim - 2], a->strides[a->ndim - 2], 0,
                      c->strides[c->ndim - 2]);
        for (int right = 0; right < c->ndim - 2; right++) {
            int d = c->ndim - 3 - right;
            add_dimension(&p, c->dims[d], lead_stride(a, right), lead_stride(b, right),
                          c->strides[d]);
        }
    }
    take_rows(&p);
    return p;
}

/* A matrix [outer, k] that is contiguous along k (or outer). The leading dimension is that of its
 * columns, which are the runs of k (or outer). */
static bool side(int64_t outer, int64_t k, int64_t outer_stride, int64_t k_stride, bool *runs_of_k,
                 int64_t *ld)
{
    *runs_of_k = (k == 1 || k_stride == 1) && (outer == 1 || outer_stride >= k);
    if (*runs_of_k) {
        *ld = outer == 1 ? k : outer_stride;
        return true;
    }
    *ld = k == 1 ? outer : k_stride;
    return (outer == 1 || outer_stride == 1) && (k == 1 || k_stride >= outer);
}

bool as_column_major(const product &p, column_major *to)
{
    bool a_runs, b_runs;
    if ((p.n != 1 && p.c_column != 1) || (p.m != 1 && p.c_row < p.n)) return false;
    if (!side(p.n, p.k, p.b_column, p.b_row, &b_runs, &to->first_ld) ||
        !side(p.m, p.k, p.a_row, p.a_column, &a_runs, &to->second_ld))
        return false;
    to->first_transposed = b_runs;
    to->first_rows = b_runs ? p.k : p.n;
    to->first_columns = b_runs ? p.n : p.k;
    to->second_transposed = !a_runs;
    to->second_rows = a_runs ? p.k : p.m;
    to->second_columns = a_runs ? p.m : p.k;
    to->result_ld = p.m == 1 ? p.n : p.c_row;
    return true;
}

/* ---- the own kernel ------------------------------------------------------------------------- */

template <class T> struct matrices {
    typedef T element;
    static constexpr bool checks_a = false, checks_b = false, may_be_big = true;
    struct core {
        const T *a, *b, *bias;
        T *c;
        int64_t m, n, k;
        line a_outer, a_depth, b_outer, b_depth, c_row;
        int64_t c_column, bias_stride;
        bounds a_limits, b_limits;
        __device__ void store(spot row, int64_t j, compute_t<T> sum) const
        {
            if (bias) sum += widen(bias[j * bias_stride]);
            c[row.at + j * c_column] = narrow<T>(sum);
        }
    } at;
    int ndim;
    int64_t dims[LUCID_MAX_DIMS], strides[LUCID_MAX_DIMS][3];

    __device__ core select(int64_t batch) const
    {
        core x = at;
        for (int d = 0; d < ndim; d++) {
            int64_t i = batch % dims[d];
            batch /= dims[d];
            x.a += i * strides[d][0];
            x.b += i * strides[d][1];
            x.c += i * strides[d][2];
        }
        return x;
    }
};

template <class T> static matrices<T> matrices_of(const product &p)
{
    matrices<T> x = {};
    x.at.a = static_cast<const T *>(p.a);
    x.at.b = static_cast<const T *>(p.b);
    x.at.bias = static_cast<const T *>(p.bias);
    x.at.c = static_cast<T *>(p.c);
    x.at.m = p.m, x.at.n = p.n, x.at.k = p.k;
    x.at.a_outer.stride = p.a_row, x.at.a_depth.stride = p.a_column;
    x.at.b_outer.stride = p.b_column, x.at.b_depth.stride = p.b_row;
    x.at.c_row.stride = p.c_row, x.at.c_column = p.c_column;
    x.at.bias_stride = p.bias_stride;
    x.ndim = p.ndim;
    for (int d = 0; d < p.ndim; d++) {
        x.dims[d] = p.dims[d];
        for (int k = 0; k < 3; k++) x.strides[d][k] = p.strides[d][k];
    }
    return x;
}

static tiling tiling_of(const product &p, const device_info *device)
{
    bool big = p.dtype == LUCID_F32 || p.dtype == LUCID_F16 || p.dtype == LUCID_BF16;
    tiling t = cut(p.m, p.n, p.k, p.batches, big, device->multiprocessors);
    t.a_along_k = p.a_column == 1 || p.a_row != 1;
    t.b_along_k = p.b_row == 1 && p.b_column != 1;
    return t;
}

static bool is_empty(const product &p)
{
    return p.m == 0 || p.n == 0 || p.batches == 0;
}

template <class T> static bool multiply_kernel(const lucid_kernel_args *args)
{
    call c(args);
    const product p = handed_on<product>(args);
    if (is_empty(p)) return true;
    if (!c.device) return false;
    outcome by_library = blas_multiply(c, p, args->workspace, args->plan->workspace);
    if (by_library != not_handled) return by_library == done;
    return multiply(c, matrices_of<T>(p), tiling_of(p, c.device), args->workspace);
}

static bool plan_product(const lucid_kernel_args *args, lucid_plan *plan)
{
    const product p = product_of(args);
    hand_on(plan, p);
    if (is_empty(p)) return true;
    const device_info *device = use_device(args->device, op_name(args->op));
    if (!device) return false;
    tiling t = tiling_of(p, device);
    size_t own = p.dtype == LUCID_F64 || p.dtype == LUCID_I64 ? parts_bytes<double>(t, p.m, p.n)
                                                              : parts_bytes<float>(t, p.m, p.n);
    size_t library = blas_workspace(p, args->device);
    plan->workspace = own > library ? own : library;
    return true;
}

#ifdef LUC_CUDA_EMULATED
/* This stands for the library in tests of how it is called: LUC_EMULATOR_BLAS=1. */
template <class T> __global__ void column_major_product(product p, column_major s)
{
    const T *first = static_cast<const T *>(p.b), *second = static_cast<const T *>(p.a);
    int64_t z = blockIdx.y, i = threadIdx.x, j = blockIdx.x;
    int64_t c = 0;
    for (int d = 0; d < p.ndim; d++) {
        int64_t at = z % p.dims[d];
        z /= p.dims[d];
        second += at * p.strides[d][0];
        first += at * p.strides[d][1];
        c += at * p.strides[d][2];
    }
    for (; i < p.n; i += blockDim.x) {
        compute_t<T> sum = 0;
        for (int64_t k = 0; k < p.k; k++)
            sum += widen(first[s.first_transposed ? k + i * s.first_ld : i + k * s.first_ld]) *
                   widen(second[s.second_transposed ? j + k * s.second_ld : k + j * s.second_ld]);
        if (p.bias) sum += widen(static_cast<const T *>(p.bias)[i]);
        static_cast<T *>(p.c)[c + i + j * s.result_ld] = narrow<T>(sum);
    }
}

size_t blas_workspace(const product &, int)
{
    return 0;
}

outcome blas_multiply(const call &c, const product &p, void *, size_t)
{
    const char *on = getenv("LUC_EMULATOR_BLAS");
    column_major s;
    if (!on || *on != '1' || (p.bias && p.bias_stride != 1) || p.dtype > LUCID_BF16 ||
        !as_column_major(p, &s))
        return not_handled;
    void (*kernel)(product, column_major) = p.dtype == LUCID_F32   ? column_major_product<float>
                                            : p.dtype == LUCID_F64 ? column_major_product<double>
                                            : p.dtype == LUCID_F16 ? column_major_product<f16>
                                                                   : column_major_product<bf16>;
    return c.launch(kernel, dim3((unsigned)p.m, (unsigned)p.batches), 32, 0, p, s) ? done : failed;
}
#endif

void register_gemm(lucid_backend *b)
{
    LUC_FLOATS(b, matmul, multiply_kernel);
    LUC_FLOATS(b, linear, multiply_kernel);
    b->kernels[LUCID_OP_matmul][LUCID_I64].run = multiply_kernel<int64_t>;
    b->kernels[LUCID_OP_matmul][LUCID_I32].run = multiply_kernel<int32_t>;
    set_plan(b, LUCID_OP_matmul, plan_product);
    set_plan(b, LUCID_OP_linear, plan_product);
}

} // namespace luc
