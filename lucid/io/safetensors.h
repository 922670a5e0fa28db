/* safetensors.h: named tensors in a file, in Hugging Face's safetensors format. Such files are
 * exchanged with PyTorch and others, are mapped into memory instead of read, and are safe to open
 * whoever made them.
 *
 *     lucid_safetensors *file = lucid_safetensors_open("resnet.safetensors");
 *     lucid_tensor *w = lucid_safetensors_get(file, "conv1.weight");   // a view of the file
 *     lucid_safetensors_close(file);                                   // w stays valid
 *
 * An open file is constant: any number of threads may read from it. */
#ifndef LUCID_IO_SAFETENSORS_H
#define LUCID_IO_SAFETENSORS_H

#include "../core/api.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_safetensors lucid_safetensors;

/* ---- reading --------------------------------------------------------------------------------- */

/* Maps a file and checks its whole header: JSON without duplicate keys, dtypes, shapes, every
 * offset; the tensors must fill the file without gap or overlap. That takes memory of a few times
 * the header's size at most, and none before the header is known to be JSON. The file may be
 * replaced (by rename, as lucid_safetensors_write does) while it is open, but must not be cut
 * short.
 * NULL after an error: LUCID_ERR_IO, LUCID_ERR_FORMAT, LUCID_ERR_MEMORY. */
LUCID_API lucid_safetensors *lucid_safetensors_open(const char *path);
/* Tensors that were taken from the file stay valid. NULL does nothing. */
LUCID_API void lucid_safetensors_close(lucid_safetensors *file);

/* The number of tensors; 0 for NULL. */
LUCID_API int64_t lucid_safetensors_count(const lucid_safetensors *file);
/* The name of tensor i, in the order of the header; valid until the file is closed. NULL, with an
 * error raised, where there is no tensor i. */
LUCID_API const char *lucid_safetensors_name(const lucid_safetensors *file, int64_t i);
/* The index of a tensor, or -1, without an error, if none has that name. */
LUCID_API int64_t lucid_safetensors_find(const lucid_safetensors *file, const char *name);

/* Tensor i on the CPU. It belongs to the current scope and keeps the mapping alive. Its memory is
 * the file's own, so nothing is read before it is used, and a change to it (allowed) never reaches
 * the file. A tensor that does not lie aligned in the file is copied.
 * NULL after an error: LUCID_ERR_UNSUPPORTED for a dtype that lucid does not have (such as int8, or
 * one that is newer than this version) or more than LUCID_MAX_DIMS dimensions. */
LUCID_API lucid_tensor *lucid_safetensors_view(const lucid_safetensors *file, int64_t i);
/* The same, copied into memory of its own. */
LUCID_API lucid_tensor *lucid_safetensors_copy(const lucid_safetensors *file, int64_t i);
/* The view of a tensor by name. A name that the file does not have is an error. */
LUCID_API lucid_tensor *lucid_safetensors_get(const lucid_safetensors *file, const char *name);

/* The strings of "__metadata__": their number, key i, and the value of a key (NULL, without an
 * error, if the file does not have it). They are valid until the file is closed. */
LUCID_API int64_t lucid_safetensors_metadata_count(const lucid_safetensors *file);
LUCID_API const char *lucid_safetensors_metadata_key(const lucid_safetensors *file, int64_t i);
LUCID_API const char *lucid_safetensors_metadata(const lucid_safetensors *file, const char *key);

/* ---- writing --------------------------------------------------------------------------------- */

/* Writes n tensors, of any strides and device, and m strings of metadata (keys and values may be
 * NULL when m is 0). The header has them in the order given. The file is written beside `path`
 * under another name (.lucid-....tmp), forced to the disk, read back and renamed: at any moment
 * `path` is the old file or the whole new one. Files
 * that killed processes left in the folder under such names are removed first; a file that another
 * process is writing is locked and stays. A file that is
 * write-protected is not replaced; one that is replaced keeps its permissions; a symbolic link
 * stays one, also where the file that it names does not exist yet. Names and metadata are UTF-8;
 * any character but NUL. False after an error, and while one is pending: nothing was changed then.
 * Errors: LUCID_ERR_ARGUMENT (a NULL, a name that is given twice, is not UTF-8 or is
 * "__metadata__"), LUCID_ERR_IO, LUCID_ERR_MEMORY. */
LUCID_API bool lucid_safetensors_write(const char *path, const char *const *names,
                                       lucid_tensor *const *tensors, int64_t n,
                                       const char *const *keys, const char *const *values,
                                       int64_t m);

LUCID_END_DECLS
#endif
