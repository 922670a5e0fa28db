/* idx.h: idx files, the format of MNIST: a magic number, sizes, and numbers in big-endian order. */
#ifndef LUCID_IO_IDX_H
#define LUCID_IO_IDX_H

#include "../core/api.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

/* Reads an idx file, plain or gzip-compressed (told by its content), as a CPU tensor of its sizes.
 * Element types: unsigned byte (uint8), signed byte, short and int (int32), float (float32), double
 * (float64). A gzip file may have several members and zeros after them. The result belongs to the
 * current scope.
 * Errors: LUCID_ERR_IO when the file cannot be read, LUCID_ERR_FORMAT when it is not exactly an idx
 * file: wrong magic number or type, no or more than LUCID_MAX_DIMS dimensions, sizes that overflow
 * or promise more than the file can hold, too few or too many bytes, damaged compression. */
LUCID_API lucid_tensor *lucid_idx_read(const char *path);

LUCID_END_DECLS
#endif
