/* safetensors_priv.h: what the reader and the writer of safetensors share. */
#ifndef LUCID_IO_SAFETENSORS_PRIV_H
#define LUCID_IO_SAFETENSORS_PRIV_H

#include "lucid/core/dtype.h"
#include "lucid/core/error.h"
#include "lucid/io/safetensors.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors holds little-endian numbers, and this machine is big-endian"
#endif

#define LUC_SAFETENSORS_HEADER_MAX 100000000 /* bytes: the format's own limit */
#define LUC_SAFETENSORS_METADATA   "__metadata__"

/* A dtype of the format. */
typedef struct luc_safetensors_dtype {
    const char *name;
    int bits;          /* bytes of an element */
    lucid_dtype dtype; /* LUCID_DTYPE_COUNT: lucid does not have it */
} luc_safetensors_dtype;

/* NULL when the format has no dtype of that name. */
const luc_safetensors_dtype *luc_safetensors_by_name(const char *name);
const luc_safetensors_dtype *luc_safetensors_by_dtype(lucid_dtype dtype);

/* Reads an open file, as lucid_safetensors_open does; errors name `path` and `op`. */
lucid_safetensors *luc_safetensors_read(int fd, const char *path, const char *op);
/* Whether tensor i has this name, dtype and shape and lies `begin` bytes after the header. */
bool luc_safetensors_is(const lucid_safetensors *file, int64_t i, const char *name,
                        const lucid_tensor *tensor, size_t begin);
/* Why lucid cannot hold tensor i; the caller that needs the tensor raises it. LUCID_OK if it
 * can. */
lucid_code luc_safetensors_refusal(const lucid_safetensors *file, int64_t i, char *text,
                                   size_t size);

#endif
