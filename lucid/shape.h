/* shape.h: sizes, strides and memory formats: plain values without ownership. */
#ifndef LUCID_SHAPE_H
#define LUCID_SHAPE_H

#include "lucid/api.h"
#include "lucid/dtype.h"

LUCID_BEGIN_DECLS

#define LUCID_MAX_DIMS 8

/* The size of each dimension, or a list of dimensions. ndim 0 is a scalar. */
typedef struct lucid_shape {
    int ndim;
    int64_t dims[LUCID_MAX_DIMS];
} lucid_shape;

#ifndef __cplusplus
/* lucid_shape from a list: LUCID_SHAPE(8, 64, 32, 32); LUCID_SHAPE() is a scalar's. More than
 * LUCID_MAX_DIMS entries do not compile cleanly. */
#define LUCID_SHAPE(...)                                                                          \
    (__extension__(lucid_shape){(int)(sizeof((int64_t[]){0, __VA_ARGS__}) / sizeof(int64_t)) - 1, \
                                {__VA_ARGS__}}) /* the extension: empty braces */
#define LUCID_SHAPE_OF_(macro, list) macro list
/* LUCID_SHAPE_OF((8, 64)): the parenthesised list that the creation macros take. */
#define LUCID_SHAPE_OF(list) LUCID_SHAPE_OF_(LUCID_SHAPE, list)
#endif

/* How the elements of a tensor lie in memory. Tensors are logically [N,C,H,W] either way. */
typedef enum lucid_memory_format {
    LUCID_PRESERVE,     /* as the input has it */
    LUCID_CONTIGUOUS,   /* row-major: the last dimension is next to itself */
    LUCID_CHANNELS_LAST /* 4-D: NHWC memory; 5-D: NDHWC memory */
} lucid_memory_format;

/* What an operation's result will be: dtype, sizes and strides (in elements). */
typedef struct lucid_meta {
    lucid_dtype dtype;
    int ndim;
    int64_t dims[LUCID_MAX_DIMS];
    int64_t strides[LUCID_MAX_DIMS];
    int64_t offset; /* elements from the storage's begin; read for views only */
} lucid_meta;

/* Shapes are plain values: these functions are safe in any thread. NULL is an error (argument); a
 * shape whose ndim is not in [0, LUCID_MAX_DIMS] has no elements to count, equals nothing, broadcasts
 * with nothing and is written as "[9 dimensions]", without an error. */
/* Number of elements: the product of dims; 1 for a scalar. -1 where it overflows, a size is negative
 * or ndim is out of range. */
LUCID_API int64_t lucid_shape_numel(const lucid_shape *shape);
LUCID_API bool lucid_shape_equal(const lucid_shape *a, const lucid_shape *b);
/* Writes "[8,64,32,32]" into text, always terminated, and returns text. */
LUCID_API char *lucid_shape_format(const lucid_shape *shape, char *text, size_t size);
/* The shape that two shapes broadcast to (NumPy's rule). False, without an error, where they do not.
 * out may be a or b. */
LUCID_API bool lucid_shape_broadcast(const lucid_shape *a, const lucid_shape *b, lucid_shape *out);

LUCID_END_DECLS
#endif
