/* safetensors_priv.h: what reader and writer of safetensors share. */
#ifndef LUCID_IO_SAFETENSORS_PRIV_H
#define LUCID_IO_SAFETENSORS_PRIV_H

#include "lucid/dtype.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors holds little-endian numbers, and this machine is big-endian"
#endif

#define LUC_SAFETENSORS_HEADER_MAX 100000000 /* bytes: the format's own limit */
#define LUC_SAFETENSORS_METADATA   "__metadata__"

/* A dtype of the format. */
typedef struct luc_safetensors_dtype {
    const char *name;
    int bits;          /* an element takes */
    lucid_dtype dtype; /* LUCID_DTYPE_COUNT: lucid has none such */
} luc_safetensors_dtype;

/* NULL when the format has no dtype of that name. */
const luc_safetensors_dtype *luc_safetensors_by_name(const char *name);
const luc_safetensors_dtype *luc_safetensors_by_dtype(lucid_dtype dtype);

#endif
