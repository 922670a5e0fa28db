/* dtype.h: element types. */
#ifndef LUCID_DTYPE_H
#define LUCID_DTYPE_H

#include "api.h"

LUCID_BEGIN_DECLS

typedef enum lucid_dtype {
    LUCID_F32,  /* float */
    LUCID_F64,  /* double */
    LUCID_F16,  /* IEEE 754 half; kernels compute in float */
    LUCID_BF16, /* bfloat16; kernels compute in float */
    LUCID_I64,  /* int64_t */
    LUCID_I32,  /* int32_t */
    LUCID_U8,   /* uint8_t */
    LUCID_BOOL, /* one byte, 0 or 1 */
    LUCID_DTYPE_COUNT
} lucid_dtype;

/* The number of bytes of an element: 4, 8, 2, 2, 8, 4, 1, 1; 0 for a value that is no dtype. */
LUCID_API size_t lucid_dtype_size(lucid_dtype dtype);
/* PyTorch's name: "float32", "bfloat16", "int64", ... Never NULL. */
LUCID_API const char *lucid_dtype_name(lucid_dtype dtype);
/* True for f32, f64, f16 and bf16: the types that can require gradients. */
LUCID_API bool lucid_dtype_is_floating(lucid_dtype dtype);
/* The type to which a and b are promoted, as in PyTorch for two tensors of one category of rank
 * (f16 with bf16 gives f32; u8 with a signed type gives the signed one). LUCID_DTYPE_COUNT where
 * a or b is no dtype. */
LUCID_API lucid_dtype lucid_promote_types(lucid_dtype a, lucid_dtype b);

/* Convert one value to and from the 16-bit types, rounding to nearest even; NaN stays NaN. */
LUCID_API uint16_t lucid_f32_to_f16(float value);
LUCID_API float lucid_f16_to_f32(uint16_t bits);
LUCID_API uint16_t lucid_f32_to_bf16(float value);
LUCID_API float lucid_bf16_to_f32(uint16_t bits);

LUCID_END_DECLS
#endif
