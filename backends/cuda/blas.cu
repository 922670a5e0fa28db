/* blas.cu: matrix products by cuBLASLt, which is opened at run time.
 *
 * lucid's matrices are row-major and BLAS's are column-major: see column_major. The algorithm is
 * the first one that the heuristics propose, and they are asked once for each shape. For 16-bit
 * types sums are kept in float32, also between the parts of a split sum. */
#include "backends/cuda/plan_cache.h"
#include "backends/cuda/vendor.h"
#include "backends/cuda/view.h"

#include <cublasLt.h>
#include <atomic>
#include <dlfcn.h>

namespace luc
{

enum { most_workspace = 32 << 20, most_outer = 64 };

/* ---- the library ---------------------------------------------------------------------------- */

#define BLAS_FUNCTIONS(F)           \
    F(Create)                       \
    F(MatmulDescCreate)             \
    F(MatmulDescDestroy)            \
    F(MatmulDescSetAttribute)       \
    F(MatrixLayoutCreate)           \
    F(MatrixLayoutSetAttribute)     \
    F(MatmulPreferenceCreate)       \
    F(MatmulPreferenceDestroy)      \
    F(MatmulPreferenceSetAttribute) \
    F(MatmulAlgoGetHeuristic)       \
    F(Matmul)

struct blas_library {
    bool usable;
#define DECLARE(name) decltype(&cublasLt##name) name;
    BLAS_FUNCTIONS(DECLARE)
#undef DECLARE
};

static blas_library open_blas()
{
    static const char *const names[] = {
#if CUBLAS_VER_MAJOR >= 13
        "libcublasLt.so.13",
        "libcublasLt.so.12",
#else
        "libcublasLt.so.12",
        "libcublasLt.so.13",
#endif
        nullptr
    };
    blas_library l = {};
    void *opened = open_library(cublaslt, names);
    if (!opened) return l;
    l.usable = true;
#define LOOK_UP(name)                                                             \
    l.name = reinterpret_cast<decltype(l.name)>(dlsym(opened, "cublasLt" #name)); \
    l.usable = l.usable && l.name;
    BLAS_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    return l;
}

static const blas_library &blas()
{
    static const blas_library l = open_blas();
    return l;
}

/* The device's handle; the device is the thread's current one. It is not made while a step is
 * captured, because making it may wait for the device. */
static cublasLtHandle_t handle_of(int device)
{
    static std::once_flag once[max_devices];
    static std::atomic<cublasLtHandle_t> handles[max_devices];
    if (!handles[device] && is_capturing(device)) return nullptr;
    std::call_once(once[device], [device] {
        cublasLtHandle_t made = nullptr;
        if (blas().Create(&made) == CUBLAS_STATUS_SUCCESS) handles[device] = made;
    });
    return handles[device];
}

/* ---- plans ---------------------------------------------------------------------------------- */

struct product_key {
    int64_t m, n, k, batch, stride_first, stride_second, stride_result;
    column_major matrices;
    int64_t dtype, device, tf32, bias, align_first, align_second, align_result, align_bias;
};

struct product_plan {
    bool usable;
    cublasLtMatrixLayout_t first, second, result;
    cublasLtMatmulAlgo_t algorithm;
    size_t workspace;
};

static plan_cache<product_key, product_plan> plans;

static cudaDataType_t data_type(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F64:
        return CUDA_R_64F;
    case LUCID_F16:
        return CUDA_R_16F;
    case LUCID_BF16:
        return CUDA_R_16BF;
    default:
        return CUDA_R_32F;
    }
}

static int64_t size_of(lucid_dtype dtype)
{
    return dtype == LUCID_F64 ? 8 : dtype == LUCID_F32 ? 4 : 2;
}

/* The alignment of p and of all addresses that lie multiples of those strides after it; 256 at
 * most. */
static int64_t alignment(const void *p, int64_t size, const product &of, int operand)
{
    uint64_t bits = (uint64_t) reinterpret_cast<uintptr_t>(p) | 256;
    for (int d = 0; operand >= 0 && d < of.ndim; d++)
        bits |= (uint64_t)(of.strides[d][operand] * size);
    return (int64_t)(bits & -bits);
}

static product_key key_of(const product &p, const column_major &m, int device)
{
    product_key k;
    memset(&k, 0, sizeof k);
    k.m = p.m, k.n = p.n, k.k = p.k;
    k.batch = p.ndim > 0 ? p.dims[0] : 1;
    if (p.ndim > 0) {
        k.stride_second = p.strides[0][0];
        k.stride_first = p.strides[0][1];
        k.stride_result = p.strides[0][2];
    }
    k.matrices = m;
    k.dtype = p.dtype;
    k.device = device;
    k.tf32 = switches().tf32;
    k.bias = p.bias != nullptr;
    int64_t size = size_of(p.dtype);
    k.align_first = alignment(p.b, size, p, 1);
    k.align_second = alignment(p.a, size, p, 0);
    k.align_result = alignment(p.c, size, p, 2);
    k.align_bias = p.bias ? alignment(p.bias, size, p, -1) : 0;
    return k;
}

static bool make_layout(cublasLtMatrixLayout_t *to, const product_key &k, int64_t rows,
                        int64_t columns, int64_t ld, int64_t stride)
{
    const blas_library &l = blas();
    if (l.MatrixLayoutCreate(to, data_type((lucid_dtype)k.dtype), (uint64_t)rows, (uint64_t)columns,
                             ld) != CUBLAS_STATUS_SUCCESS)
        return false;
    if (k.batch == 1) return true;
    int32_t count = (int32_t)k.batch;
    return l.MatrixLayoutSetAttribute(*to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count,
                                      sizeof count) == CUBLAS_STATUS_SUCCESS &&
           l.MatrixLayoutSetAttribute(*to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
                                      sizeof stride) == CUBLAS_STATUS_SUCCESS;
}

/* A descriptor belongs to one call, because it holds the bias's address. NULL: it cannot be
 * made. */
static cublasLtMatmulDesc_t make_operation(const product_key &k, const void *bias)
{
    const blas_library &l = blas();
    bool f64 = k.dtype == LUCID_F64;
    cublasComputeType_t compute = f64 ? CUBLAS_COMPUTE_64F : CUBLAS_COMPUTE_32F;
    if (k.dtype == LUCID_F32 && k.tf32) compute = CUBLAS_COMPUTE_32F_FAST_TF32;
    cublasLtMatmulDesc_t d = nullptr;
    if (l.MatmulDescCreate(&d, compute, f64 ? CUDA_R_64F : CUDA_R_32F) != CUBLAS_STATUS_SUCCESS)
        return nullptr;
    int32_t first = k.matrices.first_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    int32_t second = k.matrices.second_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    uint32_t epilogue = CUBLASLT_EPILOGUE_BIAS;
    cublasStatus_t s =
        l.MatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSA, &first, sizeof first);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = l.MatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_TRANSB, &second, sizeof second);
    if (s == CUBLAS_STATUS_SUCCESS && bias)
        s = l.MatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    if (s == CUBLAS_STATUS_SUCCESS && bias)
        s = l.MatmulDescSetAttribute(d, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias);
    if (s == CUBLAS_STATUS_SUCCESS) return d;
    l.MatmulDescDestroy(d);
    return nullptr;
}

static bool ask_heuristics(product_plan *to, const product_key &k, cublasLtMatmulDesc_t operation)
{
    const blas_library &l = blas();
    cublasLtMatmulPreference_t wish = nullptr;
    if (l.MatmulPreferenceCreate(&wish) != CUBLAS_STATUS_SUCCESS) return false;
    uint64_t workspace = most_workspace;
    uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        uint32_t value;
    } words[] = {
        {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)k.align_first},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)k.align_second},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)k.align_result},
        {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)k.align_result},
    };
    cublasStatus_t s = l.MatmulPreferenceSetAttribute(
        wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    for (size_t i = 0; i < sizeof words / sizeof *words && s == CUBLAS_STATUS_SUCCESS; i++)
        s = l.MatmulPreferenceSetAttribute(wish, words[i].name, &words[i].value,
                                           sizeof words[i].value);
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    memset(&result, 0, sizeof result);
    if (s == CUBLAS_STATUS_SUCCESS)
        s = l.MatmulAlgoGetHeuristic(handle_of((int)k.device), operation, to->first, to->second,
                                     to->result, to->result, wish, 1, &result, &found);
    l.MatmulPreferenceDestroy(wish);
    if (s != CUBLAS_STATUS_SUCCESS || found < 1 || result.state != CUBLAS_STATUS_SUCCESS)
        return false;
    to->algorithm = result.algo;
    to->workspace = result.workspaceSize;
    return true;
}

static void make_plan(product_plan *to, const product_key &k, const void *bias)
{
    const column_major &m = k.matrices;
    if (!make_layout(&to->first, k, m.first_rows, m.first_columns, m.first_ld, k.stride_first) ||
        !make_layout(&to->second, k, m.second_rows, m.second_columns, m.second_ld,
                     k.stride_second) ||
        !make_layout(&to->result, k, k.n, k.m, m.result_ld, k.stride_result))
        return;
    cublasLtMatmulDesc_t operation = make_operation(k, bias);
    if (!operation) return;
    to->usable = ask_heuristics(to, k, operation);
    blas().MatmulDescDestroy(operation);
}

/* Returns NULL, and the reason, if the library cannot compute the product. */
static const product_plan *plan_of(const product &p, int device, product_key *key, const char **why)
{
    int64_t outer = 1;
    for (int d = 1; d < p.ndim; d++) outer *= p.dims[d];
    column_major m;
    *why = "the library cannot be used";
    if (!blas().usable) return nullptr;
    *why = "an empty sum, an integer dtype or more batches than it takes at once";
    if (p.k == 0 || p.dtype > LUCID_BF16 || outer > most_outer ||
        (p.ndim > 0 && p.dims[0] > INT32_MAX))
        return nullptr;
    *why = "a matrix without a dimension of stride 1";
    if ((p.bias && p.n > 1 && p.bias_stride != 1) || !as_column_major(p, &m)) return nullptr;
    *why = "the library cannot be started on this device";
    if (!handle_of(device)) return nullptr;
    *key = key_of(p, m, device);
    const product_plan *plan =
        find_plan(&plans, *key, [key, &p](product_plan *to) { make_plan(to, *key, p.bias); });
    *why = "it has no algorithm for this product";
    return plan && plan->usable ? plan : nullptr;
}

/* ---- the calls ------------------------------------------------------------------------------ */

size_t blas_workspace(const product &p, int device)
{
    product_key key;
    const char *why;
    const product_plan *plan = plan_of(p, device, &key, &why);
    return plan ? plan->workspace : 0;
}

outcome blas_multiply(const call &c, const product &p, void *workspace, size_t bytes)
{
    product_key key;
    const char *why;
    const product_plan *plan = plan_of(p, c.args->device, &key, &why);
    if (!plan || bytes < plan->workspace) {
        count_call(cublaslt, plan ? "its workspace was not asked for" : why);
        return not_handled;
    }
    cublasLtMatmulDesc_t operation = make_operation(key, p.bias);
    if (!operation) return not_handled;
    const float one = 1, zero = 0;
    const double one64 = 1, zero64 = 0;
    bool f64 = p.dtype == LUCID_F64;
    int64_t outer = 1, size = size_of(p.dtype);
    for (int d = 1; d < p.ndim; d++) outer *= p.dims[d];
    cublasStatus_t s = CUBLAS_STATUS_SUCCESS;
    for (int64_t i = 0; i < outer && s == CUBLAS_STATUS_SUCCESS; i++) {
        int64_t at[3] = {0, 0, 0}, left = i;
        for (int d = 1; d < p.ndim; d++) {
            for (int x = 0; x < 3; x++) at[x] += left % p.dims[d] * p.strides[d][x] * size;
            left /= p.dims[d];
        }
        char *result = static_cast<char *>(p.c) + at[2];
        s = blas().Matmul(
            handle_of(c.args->device), operation, f64 ? (const void *)&one64 : (const void *)&one,
            static_cast<const char *>(p.b) + at[1], plan->first,
            static_cast<const char *>(p.a) + at[0], plan->second,
            f64 ? (const void *)&zero64 : (const void *)&zero, result, plan->result, result,
            plan->result, &plan->algorithm, workspace, plan->workspace, c.stream);
    }
    blas().MatmulDescDestroy(operation);
    /* What was queued before the refusal is computed again, so nothing is lost. */
    if (s != CUBLAS_STATUS_SUCCESS) cudaGetLastError();
    count_call(cublaslt, s == CUBLAS_STATUS_SUCCESS ? nullptr : "it refused a call");
    return s == CUBLAS_STATUS_SUCCESS ? done : not_handled;
}

} // namespace luc
