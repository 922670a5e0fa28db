/* dlpack.h: tensors handed to and taken from other libraries without copying, by DLPack's
 * DLManagedTensor (github.com/dmlc/dlpack, whose header has the struct).
 *
 *     DLManagedTensor *m = lucid_to_dlpack(x);           // the other library calls m->deleter
 *     lucid_tensor *y = lucid_from_dlpack(other);        // lucid calls other->deleter
 *
 * Threads: as for tensors. */
#ifndef LUCID_DLPACK_H
#define LUCID_DLPACK_H

#include "api.h"
#include "tensor.h"

LUCID_BEGIN_DECLS

struct DLManagedTensor;

/* A description of the tensor, with its strides, that keeps its memory until the receiver calls
 * its deleter. A tensor that requires a gradient is an error (lucid_detach first). On a GPU its
 * numbers are there when this returns. NULL after an error. */
LUCID_API struct DLManagedTensor *lucid_to_dlpack(lucid_tensor *tensor);

/* A tensor on the memory that the description names, which belongs to the current scope. With
 * success lucid owns the description, and calls its deleter when the last view of the tensor is
 * gone; after an error it is still the caller's. Errors: LUCID_ERR_UNSUPPORTED for memory that is
 * not the CPU's, a dtype that lucid does not have, more than LUCID_MAX_DIMS dimensions, negative
 * strides or memory that is not aligned. */
LUCID_API lucid_tensor *lucid_from_dlpack(struct DLManagedTensor *managed);

LUCID_END_DECLS
#endif
