/* vendor.h: matrix products by cuBLASLt and convolutions by cuDNN, where those can be loaded.
 *
 * Neither is linked: blas.cu and dnn.cu open them at run time (LUCID_CUBLASLT=0 and LUCID_CUDNN=0
 * forbid it). What they do not compute, lucid's own kernels do. Each call is counted, and with
 * LUCID_CUDA_VERBOSE=1 the first refusal and, at the end, the counts are printed to stderr. The
 * emulator has neither library. */
#ifndef LUC_CUDA_VENDOR_H
#define LUC_CUDA_VENDOR_H

#include "backends/cuda/cuda_priv.h"

namespace luc
{

/* ---- loading and counting (vendor.cu) ---- */
enum library { cublaslt, cudnn };
/* Opens the first of the names (a list that ends in NULL) that is found. NULL: none, or switched
 * off. */
void *open_library(library which, const char *const *names);
/* Counts a call. `why` says why the library did not compute it (NULL: it did). */
void count_call(library which, const char *why);

enum outcome {
    not_handled, /* nothing was queued, so lucid's own kernel computes it */
    done,
    failed /* an error was raised */
};

/* C[z,i,j] = sum over k of A[z,i,k] B[z,k,j], + bias[j]. Strides in elements. */
struct product {
    lucid_dtype dtype;
    int64_t m, n, k;
    const void *a, *b, *bias; /* bias may be NULL */
    void *c;
    int64_t a_row, a_column, b_row, b_column, c_row, c_column, bias_stride;
    /* z is counted from its fastest dimension; strides of a, b and c */
    int ndim;
    int64_t batches, dims[LUCID_MAX_DIMS], strides[LUCID_MAX_DIMS][3];
};

/* The product as BLAS takes it, with column-major matrices: D [n,m] = first [n,k] second [k,m]. D
 * is the memory of C, and first and second are those of B and A, or their transposes. */
struct column_major {
    int64_t first_transposed, second_transposed; /* 0 or 1 */
    int64_t first_rows, first_columns, first_ld; /* as the matrices lie in memory */
    int64_t second_rows, second_columns, second_ld, result_ld;
};
/* False where a matrix has no dimension of stride 1. (gemm.cu) */
bool as_column_major(const product &p, column_major *to);

/* A convolution or one of its gradients, dense in channels_last memory: x [N,H,W,C],
 * w [O,kH,kW,C/groups], y [N,OH,OW,O]. The pass's result is written, the two others are read. */
enum conv_pass { conv_forward, conv_grad_input, conv_grad_weight };
struct convolution {
    conv_pass pass;
    lucid_dtype dtype;
    int device;
    int64_t n, c, h, w, o, kh, kw, oh, ow, stride[2], padding[2], dilation[2], groups;
    /* What follows in forward: y = max(0, y * scale + shift + residual), as far as given. */
    bool has_scale, has_shift, has_residual, relu;
    int alignment; /* of all addresses, in bytes: at most 16 */
};
/* scale and shift [O] are contiguous. With a scale both have the compute_t of the dtype; a shift
 * alone is conv2d's bias, in the dtype itself. The residual is like y. */
struct convolution_data {
    void *x, *w, *y;
    const void *scale, *shift, *residual;
};

/* The bytes of workspace that blas_multiply may use for this product. */
size_t blas_workspace(const product &p, int device);
outcome blas_multiply(const call &c, const product &p, void *workspace, size_t bytes);
#if !defined(LUC_CUDA_EMULATED) && !defined(LUC_HAVE_CUBLASLT)
inline size_t blas_workspace(const product &, int)
{
    return 0;
}
inline outcome blas_multiply(const call &, const product &, void *, size_t)
{
    return not_handled;
}
#endif

/* NULL if cuDNN can compute the convolution; *bytes is then the workspace that it needs. Otherwise
 * the reason why it cannot. What follows the convolution is computed too, by cuDNN or by one of
 * lucid's kernels. */
const char *dnn_refuses(const convolution &v, size_t *bytes);
outcome dnn_convolve(const call &c, const convolution &v, const convolution_data &d,
                     void *workspace, size_t bytes);
#if !defined(LUC_CUDA_EMULATED) && !defined(LUC_HAVE_CUDNN)
inline const char *dnn_refuses(const convolution &, size_t *)
{
    return "the library was not there when lucid was built";
}
inline outcome dnn_convolve(const call &, const convolution &, const convolution_data &, void *,
                            size_t)
{
    return not_handled;
}
#endif

} // namespace luc

#endif
