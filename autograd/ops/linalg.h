/* linalg.h: linear algebra, after torch.linalg, by the LAPACK in OpenBLAS.
 *
 * Matrices [..,M,N] are the last two dimensions, those before them a batch. float32 and float64, on
 * the CPU. OpenBLAS is loaded when it is first needed (libopenblas.so.0); where it is not installed
 * that is an error (LUCID_ERR_UNSUPPORTED), as are other devices and dtypes. Matrices that have no
 * solution are an error that names the matrix. Differentiable any number of times. Several results
 * are all NULL after an error. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_LINALG_H
#define LUCID_AUTOGRAD_OPS_LINALG_H

#include "reduction.h"

LUCID_BEGIN_DECLS

/* ---- solving --------------------------------------------------------------------------------- */

/* The x with a x = b, of square a [..,N,N] and b [..,N,K], or [N] or [..,N] with the batch of a.
 * Batches broadcast. Errors: a is singular. */
LUCID_API lucid_tensor *lucid_linalg_solve(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_linalg_inv(lucid_tensor *a);

typedef struct lucid_linalg_triangular_options {
    LUCID_OPTIONS_SIZE(lucid_linalg_triangular_options);
    bool left LUCID_DEFAULT(true);           /* false: x a = b */
    bool unitriangular LUCID_DEFAULT(false); /* the diagonal of a counts as ones */
} lucid_linalg_triangular_options;
LUCID_DEFAULTS(lucid_linalg_triangular, .left = true, .unitriangular = false);
/* The same for an upper or lower triangular a, whose other triangle is not read. b is
 * [..,N,K].    lucid_linalg_solve_triangular(a, b, true) */
LUCID_API lucid_tensor *lucid_linalg_solve_triangular_opt(
    lucid_tensor *a, lucid_tensor *b, bool upper, const lucid_linalg_triangular_options *options);
#define lucid_linalg_solve_triangular(...)                                              \
    LUCID_CALL3(lucid_linalg_solve_triangular_opt, lucid_linalg_triangular, LUCID_ASIS, \
                LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* The pseudo-inverse, by singular values: those up to `rcond` times the largest count as 0. rcond
 * -1: max(M, N) times the distance from 1 to the next number. */
LUCID_API lucid_tensor *lucid_linalg_pinv(lucid_tensor *a, double rcond);
/* The x of least squares |a x - b|, of several the shortest one. a [..,M,N], b [..,M,K]. residuals:
 * the squared error of each column [..,K], of size [0] unless M > N and a has full rank; rank [..]
 * of int64. rcond as in lucid_linalg_pinv. residuals and rank have no gradient. */
typedef struct lucid_linalg_least {
    lucid_tensor *solution, *residuals, *rank;
} lucid_linalg_least;
LUCID_API lucid_linalg_least lucid_linalg_lstsq(lucid_tensor *a, lucid_tensor *b, double rcond);

/* ---- numbers of a matrix --------------------------------------------------------------------- */

/* The determinant [..] of square matrices; and its sign and the logarithm of its size: 0 and -inf
 * of singular ones. */
LUCID_API lucid_tensor *lucid_linalg_det(lucid_tensor *a);
typedef struct lucid_linalg_signed {
    lucid_tensor *sign, *logabsdet;
} lucid_linalg_signed;
LUCID_API lucid_linalg_signed lucid_linalg_slogdet(lucid_tensor *a);
/* How many singular values are larger than tol, int64 [..]; tol -1: the largest one times max(M, N)
 * times the distance from 1 to the next number. */
LUCID_API lucid_tensor *lucid_linalg_matrix_rank(lucid_tensor *a, double tol);

/* Which norm of matrices. */
typedef enum lucid_matrix_norm_kind {
    LUCID_NORM_FRO,     /* the root of the sum of squares */
    LUCID_NORM_NUC,     /* the sum of the singular values */
    LUCID_NORM_INF,     /* the largest sum of a row's |a| */
    LUCID_NORM_NEG_INF, /* the smallest one */
    LUCID_NORM_ONE,     /* the largest sum of a column's |a| */
    LUCID_NORM_NEG_ONE, /* the smallest one */
    LUCID_NORM_TWO,     /* the largest singular value */
    LUCID_NORM_NEG_TWO  /* the smallest one */
} lucid_matrix_norm_kind;
/* [..]; with keepdim [..,1,1]. Vectors: lucid_norm. */
LUCID_API lucid_tensor *lucid_linalg_matrix_norm_opt(lucid_tensor *a, lucid_matrix_norm_kind kind,
                                                     const lucid_reduce_options *options);
#define lucid_linalg_matrix_norm(...) \
    LUCID_CALL2(lucid_linalg_matrix_norm_opt, lucid_reduce, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* a multiplied n times; n = 0: the identity; n < 0: the inverse, -n times. */
LUCID_API lucid_tensor *lucid_linalg_matrix_power(lucid_tensor *a, int64_t n);

/* ---- decompositions -------------------------------------------------------------------------- */

/* The lower triangular L with L L^T = a, of symmetric positive definite matrices, of which the
 * lower triangle is read; upper: the U with U^T U = a, of the upper one. Errors: not positive
 * definite. */
LUCID_API lucid_tensor *lucid_linalg_cholesky(lucid_tensor *a, bool upper);

/* a = q r with orthogonal columns of q and an upper triangular r: [..,M,K] and [..,K,N] with
 * K = min(M, N); complete: K = M, which has a derivative for M <= N only. */
typedef struct lucid_linalg_qr_result {
    lucid_tensor *q, *r;
} lucid_linalg_qr_result;
LUCID_API lucid_linalg_qr_result lucid_linalg_qr(lucid_tensor *a, bool complete);

/* a = u diag(s) vh: [..,M,K], [..,K] from the largest on, [..,K,N] with K = min(M, N);
 * full_matrices: square u and vh, which have a derivative for M = N only. The signs of columns are
 * LAPACK's; derivatives are infinite where singular values are equal. Errors: numbers that are not
 * finite. */
typedef struct lucid_linalg_svd_result {
    lucid_tensor *u, *s, *vh;
} lucid_linalg_svd_result;
LUCID_API lucid_linalg_svd_result lucid_linalg_svd(lucid_tensor *a, bool full_matrices);
LUCID_API lucid_tensor *lucid_linalg_svdvals(lucid_tensor *a);

/* The eigenvalues [..,N], in ascending order, and eigenvectors, the columns of [..,N,N], of
 * symmetric matrices, of which the lower triangle is read (upper: the upper one). The gradient is
 * that of a symmetric matrix. */
typedef struct lucid_linalg_eigh_result {
    lucid_tensor *values, *vectors;
} lucid_linalg_eigh_result;
LUCID_API lucid_linalg_eigh_result lucid_linalg_eigh(lucid_tensor *a, bool upper);
LUCID_API lucid_tensor *lucid_linalg_eigvalsh(lucid_tensor *a, bool upper);

LUCID_END_DECLS
#endif
