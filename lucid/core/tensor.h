/* tensor.h: tensors: creation, properties, data, printing.
 *
 * A tensor is a view (sizes, strides, offset, dtype) of a storage on a device. Views share storage.
 * A function that returns a tensor gives it to the current scope (see scope.h): it lives until the
 * scope ends. A NULL tensor comes from an earlier error: functions then return NULL, false, 0 or
 * NAN and leave that error as it is. A NULL without an earlier error is an error of its own, except
 * in the functions under "properties" and "printing" and for lucid_data and lucid_mutable_data.
 * Tensors may be read from several threads at once; a caller that writes one must keep others
 * away. */
#ifndef LUCID_TENSOR_H
#define LUCID_TENSOR_H

#include "api.h"
#include "device.h"
#include "dtype.h"
#include "random.h"
#include "scope.h"
#include "shape.h"

#include <stdio.h>

LUCID_BEGIN_DECLS

/* ---- creation ------------------------------------------------------------------------------- */

typedef struct lucid_tensor_options {
    LUCID_OPTIONS_SIZE(lucid_tensor_options);
    lucid_dtype dtype LUCID_DEFAULT(LUCID_F32);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    /* LUCID_CHANNELS_LAST needs 4 or 5 dimensions */
    lucid_memory_format memory_format LUCID_DEFAULT(LUCID_CONTIGUOUS);
    bool requires_grad LUCID_DEFAULT(false); /* floating dtypes only */
    /* Of random numbers: the generator to take them from, which moves on; NULL: the default one. It
     * must not be used by another thread meanwhile. Functions without randomness ignore it. */
    lucid_generator *generator LUCID_DEFAULT(NULL);
} lucid_tensor_options;
LUCID_DEFAULTS(lucid_tensor, .dtype = LUCID_F32, .device = {LUCID_CPU, 0},
               .memory_format = LUCID_CONTIGUOUS, .requires_grad = false, .generator = NULL);

/* The options of functions that make integers: int64 by default. */
typedef struct lucid_index_options {
    LUCID_OPTIONS_SIZE(lucid_index_options);
    lucid_dtype dtype LUCID_DEFAULT(LUCID_I64);
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    lucid_memory_format memory_format LUCID_DEFAULT(LUCID_CONTIGUOUS);
    bool requires_grad LUCID_DEFAULT(false);
    lucid_generator *generator LUCID_DEFAULT(NULL); /* as in lucid_tensor_options */
} lucid_index_options;
LUCID_DEFAULTS(lucid_index, .dtype = LUCID_I64, .device = {LUCID_CPU, 0},
               .memory_format = LUCID_CONTIGUOUS, .requires_grad = false, .generator = NULL);

/* The functions. options may be NULL: the defaults.
 * Sizes must be >= 0 and their product, in bytes, must fit in size_t. */
LUCID_API lucid_tensor *lucid_empty_opt(lucid_shape shape, const lucid_tensor_options *options);
LUCID_API lucid_tensor *lucid_zeros_opt(lucid_shape shape, const lucid_tensor_options *options);
LUCID_API lucid_tensor *lucid_ones_opt(lucid_shape shape, const lucid_tensor_options *options);
/* An integer dtype must hold the value; its fraction is cut off. */
LUCID_API lucid_tensor *lucid_full_opt(lucid_shape shape, double value,
                                       const lucid_tensor_options *options);
/* [start, end) in steps: ceil((end - start) / step) elements. With an integer dtype all three must
 * be integers that it holds. */
LUCID_API lucid_tensor *lucid_arange_opt(double start, double end, double step,
                                         const lucid_index_options *options);
/* `steps` values from start to end, both included. */
LUCID_API lucid_tensor *lucid_linspace_opt(double start, double end, int64_t steps,
                                           const lucid_tensor_options *options);
/* The n x m matrix with ones on the diagonal. */
LUCID_API lucid_tensor *lucid_eye_opt(int64_t n, int64_t m, const lucid_tensor_options *options);
/* Copies data: numel elements of options->dtype, row-major. */
LUCID_API lucid_tensor *lucid_from_data_opt(lucid_shape shape, const void *data,
                                            const lucid_tensor_options *options);
/* Copies data: numel elements of the dtype `from`, row-major, converted to options->dtype (with
 * options NULL: as they are). */
LUCID_API lucid_tensor *lucid_from_typed_data(lucid_shape shape, const void *data, lucid_dtype from,
                                              const lucid_tensor_options *options);
/* Converts count doubles, row-major, to options->dtype. count must be the shape's product. */
LUCID_API lucid_tensor *lucid_from_doubles_opt(lucid_shape shape, const double *values,
                                               size_t count, const lucid_tensor_options *options);
/* Makes a tensor on the caller's memory, row-major on the CPU, without copying; data must be
 * aligned to the element's size. `free` (may be NULL) is called once, with user and data, when the
 * last view of it is gone. After an error the memory is still the caller's: free is not called. */
LUCID_API lucid_tensor *lucid_from_blob(lucid_shape shape, lucid_dtype dtype, void *data,
                                        void (*free)(void *user, void *data), void *user);
/* A 0-d float64 tensor on the CPU that takes the dtype of the tensor it is combined with, as a
 * number does in PyTorch: lucid_mul(x, lucid_scalar(2)). */
LUCID_API lucid_tensor *lucid_scalar(double value);

/* Random numbers come from the thread-safe default generator (random.h), or from .generator:
 * equal states give equal numbers. A captured step (capture.h) takes the default one only. */
LUCID_API lucid_tensor *lucid_randn_opt(lucid_shape shape, const lucid_tensor_options *options);
LUCID_API lucid_tensor *lucid_rand_opt(lucid_shape shape, const lucid_tensor_options *options);
/* Integers in [low, high), which the dtype must hold. */
LUCID_API lucid_tensor *lucid_randint_opt(lucid_shape shape, int64_t low, int64_t high,
                                          const lucid_index_options *options);
/* A permutation of 0..n-1. */
LUCID_API lucid_tensor *lucid_randperm_opt(int64_t n, const lucid_index_options *options);
/* 1 with probability p, else 0. */
LUCID_API lucid_tensor *lucid_bernoulli_opt(lucid_shape shape, double p,
                                            const lucid_tensor_options *options);

/* The same with named options. A shape is a list in parentheses, one number, or a lucid_shape:
 *     lucid_randn((8, 64, 32, 32), .device = dev)    lucid_ones(3)    lucid_zeros(()): a scalar */
#define lucid_empty(...) LUCID_CALL1(lucid_empty_opt, lucid_tensor, LUCID_SHAPE_OF, __VA_ARGS__)
#define lucid_zeros(...) LUCID_CALL1(lucid_zeros_opt, lucid_tensor, LUCID_SHAPE_OF, __VA_ARGS__)
#define lucid_ones(...)  LUCID_CALL1(lucid_ones_opt, lucid_tensor, LUCID_SHAPE_OF, __VA_ARGS__)
#define lucid_randn(...) LUCID_CALL1(lucid_randn_opt, lucid_tensor, LUCID_SHAPE_OF, __VA_ARGS__)
#define lucid_rand(...)  LUCID_CALL1(lucid_rand_opt, lucid_tensor, LUCID_SHAPE_OF, __VA_ARGS__)
/* lucid_full((2, 3), 0.5);  lucid_bernoulli(8, 0.25) */
#define lucid_full(...) \
    LUCID_CALL2(lucid_full_opt, lucid_tensor, LUCID_SHAPE_OF, LUCID_ASIS, __VA_ARGS__)
#define lucid_bernoulli(...) \
    LUCID_CALL2(lucid_bernoulli_opt, lucid_tensor, LUCID_SHAPE_OF, LUCID_ASIS, __VA_ARGS__)
/* lucid_arange(5);  lucid_arange(0, 5);  lucid_arange(0, 5, 0.5, .dtype = LUCID_F32): options need
 * all three numbers. */
#define lucid_arange(...)        LUCID_CAT(LUC_ARANGE_, LUC_THREE(__VA_ARGS__))(__VA_ARGS__)
#define LUC_ARANGE_1(end)        LUC_ARANGE_MORE(0, end, 1)
#define LUC_ARANGE_2(start, end) LUC_ARANGE_MORE(start, end, 1)
#define LUC_ARANGE_3(...)        LUC_ARANGE_MORE(__VA_ARGS__)
#define LUC_ARANGE_MORE(...) \
    LUCID_CALL3(lucid_arange_opt, lucid_index, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
/* lucid_linspace(0, 1, 11) */
#define lucid_linspace(...) \
    LUCID_CALL3(lucid_linspace_opt, lucid_tensor, LUCID_ASIS, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
/* lucid_eye(3);  lucid_eye(3, 4);  lucid_eye(3, 3, .dtype = LUCID_F64) */
#define lucid_eye(...) LUCID_CAT(LUC_EYE_, LUC_ONE(__VA_ARGS__))(__VA_ARGS__)
#define LUC_EYE_1(n)   luc_eye_square(n)
static inline lucid_tensor *luc_eye_square(int64_t n)
{
    return lucid_eye_opt(n, n, NULL);
}
#define LUC_EYE_MORE(...) \
    LUCID_CALL2(lucid_eye_opt, lucid_tensor, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
/* lucid_randint((2, 3), 0, 10);  lucid_randperm(5) */
#define lucid_randint(...) \
    LUCID_CALL3(lucid_randint_opt, lucid_index, LUCID_SHAPE_OF, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define lucid_randperm(...) LUCID_CALL1(lucid_randperm_opt, lucid_index, LUCID_ASIS, __VA_ARGS__)
/* lucid_from_data((2, 3), numbers): the dtype is that of the pointer, float *, double *, int64_t *,
 * int32_t *, uint8_t * or bool *; other pointers do not compile (lucid_from_data_opt takes them).
 * .dtype converts: lucid_from_data((2, 3), numbers, .dtype = LUCID_BF16) */
#define lucid_from_data(...) LUC_FROM_DATA(LUC_NEW_NAME, __VA_ARGS__, LUC_SIZE(lucid_tensor))
#define LUC_FROM_DATA(o, shape, data, ...)                                   \
    LUC_CALL(o, lucid_tensor, (o, .dtype = LUC_DTYPE_OF(data), __VA_ARGS__), \
             lucid_from_typed_data(LUCID_SHAPE_OF(shape), data, LUC_DTYPE_OF(data), &o))
/* lucid_values((2, 2), 1, 2, 3, 4): float32 from a list of numbers. */
#ifdef __cplusplus
#define lucid_values(shape, ...) luc_values(LUCID_SHAPE_OF(shape), __VA_ARGS__)
#define LUC_DTYPE_OF(data)       luc_dtype_of(data)
extern "C++" {
template <class... N> static inline lucid_tensor *luc_values(lucid_shape shape, N... values)
{
    const double list[] = {static_cast<double>(values)...};
    return lucid_from_doubles_opt(shape, list, sizeof...(N), NULL);
}
static inline lucid_dtype luc_dtype_of(const float *)
{
    return LUCID_F32;
}
static inline lucid_dtype luc_dtype_of(const double *)
{
    return LUCID_F64;
}
static inline lucid_dtype luc_dtype_of(const int64_t *)
{
    return LUCID_I64;
}
static inline lucid_dtype luc_dtype_of(const int32_t *)
{
    return LUCID_I32;
}
static inline lucid_dtype luc_dtype_of(const uint8_t *)
{
    return LUCID_U8;
}
static inline lucid_dtype luc_dtype_of(const bool *)
{
    return LUCID_BOOL;
}
}
#else
#define lucid_values(shape, ...)                                                 \
    lucid_from_doubles_opt(LUCID_SHAPE_OF(shape), (const double[]){__VA_ARGS__}, \
                           sizeof((const double[]){__VA_ARGS__}) / sizeof(double), NULL)
/* clang-format off */
#define LUC_DTYPE_OF(data)                                                                         \
    _Generic((data), float *: LUCID_F32, const float *: LUCID_F32,                                 \
             double *: LUCID_F64, const double *: LUCID_F64,                                       \
             int64_t *: LUCID_I64, const int64_t *: LUCID_I64,                                     \
             int32_t *: LUCID_I32, const int32_t *: LUCID_I32,                                     \
             uint8_t *: LUCID_U8, const uint8_t *: LUCID_U8,                                       \
             _Bool *: LUCID_BOOL, const _Bool *: LUCID_BOOL)
/* clang-format on */
#endif

/* ---- ownership ------------------------------------------------------------------------------- */

/* Takes a reference: the tensor outlives its scope until lucid_release. Returns it. */
LUCID_API lucid_tensor *lucid_retain(lucid_tensor *tensor);
/* Releases a reference that lucid_retain took. NULL does nothing. */
LUCID_API void lucid_release(lucid_tensor *tensor);

/* ---- properties ------------------------------------------------------------------------------ */

LUCID_API int lucid_ndim(const lucid_tensor *tensor);
/* The size of dimension dim; negative dims count from the end. Raises when out of range. */
LUCID_API int64_t lucid_size(const lucid_tensor *tensor, int dim);
LUCID_API int64_t lucid_stride(const lucid_tensor *tensor, int dim);
LUCID_API lucid_shape lucid_tensor_shape(const lucid_tensor *tensor);
LUCID_API int64_t lucid_numel(const lucid_tensor *tensor);
LUCID_API int64_t lucid_storage_offset(const lucid_tensor *tensor);
LUCID_API lucid_dtype lucid_tensor_dtype(const lucid_tensor *tensor);
LUCID_API lucid_device lucid_tensor_device(const lucid_tensor *tensor);
/* Whether the memory is in that order (LUCID_CONTIGUOUS or LUCID_CHANNELS_LAST), without gaps. */
LUCID_API bool lucid_is_contiguous(const lucid_tensor *tensor, lucid_memory_format format);
/* True when the two share storage (views of one another). */
LUCID_API bool lucid_shares_storage(const lucid_tensor *a, const lucid_tensor *b);
/* Counts the in-place changes of the storage, of all its views together. */
LUCID_API uint64_t lucid_tensor_version(const lucid_tensor *tensor);
/* A name for messages and printed graphs; copied. NULL removes it. */
LUCID_API bool lucid_set_name(lucid_tensor *tensor, const char *name);
LUCID_API const char *lucid_name(const lucid_tensor *tensor); /* "" when unset */

/* ---- data ------------------------------------------------------------------------------------ */

/* The first element, for reading, on the tensor's device. Strides say where the others are. */
LUCID_API const void *lucid_data(const lucid_tensor *tensor);
/* The same for writing: counts as an in-place change (the version goes up). Call it
 * again for each round of changes. Otherwise neither backward nor the packed weights of inference
 * notice a change that is made after an operator has read the tensor. */
LUCID_API void *lucid_mutable_data(lucid_tensor *tensor);
/* The one element of a tensor with numel 1, as double; NAN (with an error) otherwise. Waits for the
 * device. */
LUCID_API double lucid_item(const lucid_tensor *tensor);
/* The element at an index list, e.g. lucid_at(x, LUCID_SHAPE(0, 3)); negative indices count from
 * the end. */
LUCID_API double lucid_at(const lucid_tensor *tensor, lucid_shape index);
/* Writes all elements, row-major, in the tensor's dtype, to the caller's memory. `bytes` must be
 * numel * element size. */
LUCID_API bool lucid_copy_to(const lucid_tensor *tensor, void *data, size_t bytes);
/* The same, converted to double; count must be numel. */
LUCID_API bool lucid_to_doubles(const lucid_tensor *tensor, double *values, size_t count);
/* True when sizes and all elements are equal (NaN equals nothing). */
LUCID_API bool lucid_equal(const lucid_tensor *a, const lucid_tensor *b);
/* True when sizes are equal and |a - b| <= atol + rtol * |b| everywhere; equal infinities agree,
 * NaNs agree when equal_nan. Any dtypes. */
LUCID_API bool lucid_allclose(const lucid_tensor *a, const lucid_tensor *b, double rtol,
                              double atol, bool equal_nan);

/* ---- printing -------------------------------------------------------------------------------- */

/* Prints like PyTorch, `tensor([[1., 2.], [3., 4.]])`, and a newline. */
LUCID_API void lucid_print(const lucid_tensor *tensor);
LUCID_API void lucid_fprint(FILE *file, const lucid_tensor *tensor);
/* Returns the same text, without the newline. The caller releases it with free(). NULL on an
 * error. */
LUCID_API char *lucid_to_string(const lucid_tensor *tensor);
/* Sets, for all threads, the number of digits after the point (0 to 60; default 4), the number of
 * elements from which on a tensor is summarised (1000), the number of items at each edge then (3),
 * and the characters of a line (80). */
LUCID_API void lucid_set_print_options(int precision, int64_t threshold, int64_t edge_items,
                                       int line_width);

LUCID_END_DECLS
#endif
