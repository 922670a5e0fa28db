/* shape.h: sizes, strides and memory formats: plain values without ownership. */
#ifndef LUCID_SHAPE_H
#define LUCID_SHAPE_H

#include "api.h"
#include "dtype.h"
#include "options.h"

LUCID_BEGIN_DECLS

#define LUCID_MAX_DIMS 8

/* The size of each dimension, or a list of dimensions. ndim 0 is a scalar. */
typedef struct lucid_shape {
    int ndim;
    int64_t dims[LUCID_MAX_DIMS];
} lucid_shape;

/* As a list of dimensions: all of them. */
#define LUCID_ALL lucid_all_dims()

/* A size for both directions of a picture: one number, or lucid_pair(height, width). By position it
 * may also be a list: nn_Conv2d(3, 16, (3, 5), .padding = lucid_pair(1, 2)). */
typedef int64_t lucid_extent;

/* How the elements of a tensor lie in memory. Tensors are logically [N,C,H,W] either way. */
typedef enum lucid_memory_format {
    LUCID_PRESERVE,     /* as in the input */
    LUCID_CONTIGUOUS,   /* row-major: the last dimension has stride 1 */
    LUCID_CHANNELS_LAST /* 4-D: NHWC memory; 5-D: NDHWC memory */
} lucid_memory_format;

/* The description of an operation's result: dtype, sizes and strides (in elements). */
typedef struct lucid_meta {
    lucid_dtype dtype;
    int ndim;
    int64_t dims[LUCID_MAX_DIMS];
    int64_t strides[LUCID_MAX_DIMS];
    int64_t offset; /* elements from the storage's beginning; read for views only */
} lucid_meta;

/* Shapes are plain values: these functions are safe in any thread. NULL is an error (argument); a
 * shape whose ndim is not in [0, LUCID_MAX_DIMS] has no elements to count, equals nothing,
 * broadcasts with nothing and is written as "[9 dimensions]", without an error. */
/* Number of elements: the product of dims; 1 for a scalar. -1 where it overflows, a size is
 * negative or ndim is out of range. */
LUCID_API int64_t lucid_shape_numel(const lucid_shape *shape);
LUCID_API bool lucid_shape_equal(const lucid_shape *a, const lucid_shape *b);
/* Writes "[8,64,32,32]" into text, always terminated, and returns text. */
LUCID_API char *lucid_shape_format(const lucid_shape *shape, char *text, size_t size);
/* The shape that two shapes broadcast to (NumPy's rule). Returns false, without an error, if they
 * do not. out may be a or b. */
LUCID_API bool lucid_shape_broadcast(const lucid_shape *a, const lucid_shape *b, lucid_shape *out);

/* Two numbers as one extent: |h| and |w| below 2^30, else both count as -2^30, which is refused. */
LUCID_API lucid_extent lucid_pair(int64_t h, int64_t w);
/* The two numbers of an extent: pair[0] is height, pair[1] is width. */
LUCID_API void lucid_extent_get(lucid_extent extent, int64_t pair[2]);
/* The value of LUCID_ALL: ndim is -1. */
LUCID_API lucid_shape lucid_all_dims(void);

LUCID_END_DECLS

/* ---- lists ----------------------------------------------------------------------------------- */
/* clang-format off */

/* LUCID_SHAPE(8, 64, 32, 32) is a lucid_shape; LUCID_SHAPE() is a scalar's. At most LUCID_MAX_DIMS
 * numbers.
 *
 * LUCID_SHAPE_OF(argument) makes one from a caller's argument for a shape or for dimensions: a list
 * in parentheses, (8, 64); one whole number; or a lucid_shape. Other numbers and pointers do not
 * compile. LUCID_EXTENT_OF(argument): a lucid_extent from a number, a list of one or two, or a
 * lucid_extent. */
#define LUCID_SHAPE_OF(x)     LUCID_CAT(LUC_SHAPE_OF_, LUC_IS_PAREN(x))(x)
#define LUC_SHAPE_OF_0(x)     LUC_AS_SHAPE(x)
#define LUC_SHAPE_OF_1(x)     LUC_AS_SHAPE(LUC_LIST x)
#define LUC_LIST(...)         LUCID_CAT(LUC_LIST_, LUC_ONE(__VA_ARGS__))(__VA_ARGS__)
#define LUC_LIST_MORE(...)    LUCID_SHAPE(__VA_ARGS__)
#define LUC_LIST_1(x)         LUCID_CAT(LUC_LIST_1_, LUC_IS_PAREN(x))(x)
#define LUC_LIST_1_1(x)       (x)
#define LUC_LIST_1_0(x)       LUCID_CAT(LUC_LIST_1_0_, LUC_IS_EMPTY(x))(x)
#define LUC_LIST_1_0_0(x)     (x)
#define LUC_LIST_1_0_1(x)     LUCID_SHAPE()
#define LUCID_EXTENT_OF(x)    LUCID_CAT(LUC_EXTENT_OF_, LUC_IS_PAREN(x))(x)
#define LUC_EXTENT_OF_0(x)    x
#define LUC_EXTENT_OF_1(x)    LUC_EXTENT x
#define LUC_EXTENT(...)       LUCID_CAT(LUC_EXTENT_, LUC_TWO(__VA_ARGS__))(__VA_ARGS__)
#define LUC_EXTENT_1(x)       (x)
#define LUC_EXTENT_2(h, w)    lucid_pair(h, w)
#define LUC_EXTENT_MORE(...)  lucid_an_extent_has_one_or_two_numbers

#ifdef __cplusplus
extern "C++" {
template <class... N>
static inline lucid_shape luc_shape_list(N... sizes)
{
    static_assert(sizeof...(N) <= LUCID_MAX_DIMS, "a shape has at most LUCID_MAX_DIMS numbers");
    lucid_shape s = {static_cast<int>(sizeof...(N)), {static_cast<int64_t>(sizes)...}};
    return s;
}
static inline lucid_shape luc_as_shape(const lucid_shape &shape) { return shape; }
/* Whole numbers only: a double or a pointer does not fit between these braces. */
template <class N, class = decltype(int64_t{N()})>
static inline lucid_shape luc_as_shape(N size)
{
    lucid_shape s = {1, {static_cast<int64_t>(size)}};
    return s;
}
}
#define LUCID_SHAPE(...) luc_shape_list(__VA_ARGS__)
#define LUC_AS_SHAPE(x)  luc_as_shape(x)
#else
#define LUCID_SHAPE(...)                                                                          \
    ((__extension__(lucid_shape){(int)(sizeof((int64_t[]){0, __VA_ARGS__}) / sizeof(int64_t)) - 1, \
                                 {__VA_ARGS__}})) /* the extension: empty braces */
static inline lucid_shape luc_shape_as_it_is(lucid_shape shape) { return shape; }
static inline lucid_shape luc_shape_of_one(int64_t size) { return LUCID_SHAPE(size); }
#define LUC_WHOLE_NUMBERS(result)                                                                  \
    _Bool: result, char: result, signed char: result, unsigned char: result, short: result,        \
    unsigned short: result, int: result, unsigned: result, long: result, unsigned long: result,    \
    long long: result, unsigned long long: result
#define LUC_AS_SHAPE(x) \
    _Generic((x), lucid_shape: luc_shape_as_it_is, LUC_WHOLE_NUMBERS(luc_shape_of_one))(x)
/* clang-format on */
#endif

#endif
