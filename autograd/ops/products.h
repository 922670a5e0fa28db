/* products.h: products of vectors, matrices and tensors, beside lucid_matmul.
 *
 * Dtypes are promoted as in matmul.h. Differentiable any number of times. Errors: sizes that do not
 * fit. NULL after an error. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_PRODUCTS_H
#define LUCID_AUTOGRAD_OPS_PRODUCTS_H

#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* Sums of products by Einstein's convention, of n operands: "bij,bjk->bik". Letters name
 * dimensions, "..." those that broadcast, a letter twice in an operand its diagonal. Without "->"
 * the result has "..." and the letters that stand once, in alphabetical order. Operands are
 * contracted from left to right; no step may have more than LUCID_MAX_DIMS dimensions.
 *
 *     lucid_einsum("ij,jk->ik", (lucid_tensor *[]){a, b}, 2) */
LUCID_API lucid_tensor *lucid_einsum(const char *equation, lucid_tensor *const *operands, size_t n);

/* a [M], b [N]: [M,N]. */
LUCID_API lucid_tensor *lucid_outer(lucid_tensor *a, lucid_tensor *b);
/* The sum of a b over the last dimensions: [..] x [..]. Of [] the product. */
LUCID_API lucid_tensor *lucid_inner(lucid_tensor *a, lucid_tensor *b);
/* Two vectors of one length: []. */
LUCID_API lucid_tensor *lucid_dot(lucid_tensor *a, lucid_tensor *b);
/* A matrix [M,N] and a vector [N]; matrices [M,N] and [N,K]; batches [B,M,N] and [B,N,K]. Unlike
 * lucid_matmul they do not broadcast. */
LUCID_API lucid_tensor *lucid_mv(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_mm(lucid_tensor *a, lucid_tensor *b);
LUCID_API lucid_tensor *lucid_bmm(lucid_tensor *a, lucid_tensor *b);

typedef struct lucid_addmm_options {
    LUCID_OPTIONS_SIZE(lucid_addmm_options);
    double beta LUCID_DEFAULT(1); /* 0: x is not read, and may be NaN */
    double alpha LUCID_DEFAULT(1);
} lucid_addmm_options;
LUCID_DEFAULTS(lucid_addmm, .beta = 1, .alpha = 1);
/* beta x + alpha times a product, to whose sizes x broadcasts: lucid_mm, lucid_mv, lucid_outer,
 * lucid_bmm, and lucid_bmm summed over the batch. */
LUCID_API lucid_tensor *lucid_addmm_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                        const lucid_addmm_options *options);
LUCID_API lucid_tensor *lucid_addmv_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                        const lucid_addmm_options *options);
LUCID_API lucid_tensor *lucid_addr_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                       const lucid_addmm_options *options);
LUCID_API lucid_tensor *lucid_baddbmm_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                          const lucid_addmm_options *options);
LUCID_API lucid_tensor *lucid_addbmm_opt(lucid_tensor *x, lucid_tensor *a, lucid_tensor *b,
                                         const lucid_addmm_options *options);
/* lucid_addmm(x, a, b);  lucid_addmm(x, a, b, .beta = 0.5, .alpha = 2) */
#define lucid_addmm(...)   LUC_ADDMM(lucid_addmm_opt, __VA_ARGS__)
#define lucid_addmv(...)   LUC_ADDMM(lucid_addmv_opt, __VA_ARGS__)
#define lucid_addr(...)    LUC_ADDMM(lucid_addr_opt, __VA_ARGS__)
#define lucid_baddbmm(...) LUC_ADDMM(lucid_baddbmm_opt, __VA_ARGS__)
#define lucid_addbmm(...)  LUC_ADDMM(lucid_addbmm_opt, __VA_ARGS__)
#define LUC_ADDMM(fn, ...) \
    LUCID_CALL3(fn, lucid_addmm, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

/* The sum over dimensions dims_a of a and dims_b of b, which have the same sizes: the other
 * dimensions of a, then those of b.    lucid_tensordot(a, b, (1, 2), (0, 1)) */
LUCID_API lucid_tensor *lucid_tensordot_opt(lucid_tensor *a, lucid_tensor *b, lucid_shape dims_a,
                                            lucid_shape dims_b);
#define lucid_tensordot(a, b, dims_a, dims_b) \
    LUCID_STRICT(lucid_tensordot_opt(a, b, LUCID_SHAPE_OF(dims_a), LUCID_SHAPE_OF(dims_b)))
/* Each element of a times all of b, in its place: sizes are multiplied. */
LUCID_API lucid_tensor *lucid_kron(lucid_tensor *a, lucid_tensor *b);
/* The cross product along dimension dim, of size 3 in both, which broadcast. */
LUCID_API lucid_tensor *lucid_cross(lucid_tensor *a, lucid_tensor *b, int dim);

/* The p-norm of a - b, as of one vector; a and b broadcast. */
LUCID_API lucid_tensor *lucid_dist(lucid_tensor *a, lucid_tensor *b, double p);
/* The p-norm of each row of a [..,P,M] minus each row of b [..,R,M]: [..,P,R]; leading sizes
 * broadcast, p >= 0. With p = 2 and more than 25 rows it is computed by a matrix product, as in
 * PyTorch, which loses digits where rows are close. */
LUCID_API lucid_tensor *lucid_cdist(lucid_tensor *a, lucid_tensor *b, double p);

LUCID_END_DECLS
#endif
