/* pth.h: PyTorch's own files (.pth, .pt), without Python.
 *
 *     lucid_load(net, "resnet18.pth");                          // what most programs need (nn)
 *     lucid_pth *file = lucid_pth_open("resnet18.pth");
 *     lucid_tensor *w = lucid_pth_get(file, "conv1.weight");    // a view of the file
 *     lucid_pth_close(file);                                    // w stays valid
 *
 * Such a file holds a pickle: a program that makes objects. It is never executed: tensors,
 * parameters, numbers, texts, lists, tuples and dicts are understood, and any other name in it is
 * an error that says which. An open file is constant: any number of threads may read from it. */
#ifndef LUCID_IO_PTH_H
#define LUCID_IO_PTH_H

#include "../core/api.h"
#include "../core/options.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_pth lucid_pth;

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct lucid_pth_options {
    LUCID_OPTIONS_SIZE(lucid_pth_options);
    /* The part of the file that is wanted: a key of its outermost dict, "ema", or keys with dots
     * between them. NULL: see lucid_pth_open. */
    const char *entry LUCID_DEFAULT(NULL);
} lucid_pth_options;
LUCID_DEFAULTS(lucid_pth, .entry = NULL);

/* Opens a file of torch.save, of the ZIP form (PyTorch 1.6 and later) or the form before, which its
 * first bytes tell. Everything is checked: the pickle, that each tensor lies inside its storage,
 * and the checksums of the ZIP form (unless it was written without any).
 *
 * The tensors are those of the state dict in the file: the outermost dict if its values are
 * tensors; otherwise the dict under "state_dict", "model_state_dict" or "model"; otherwise the
 * only dict in it whose values are tensors (several are an error, which .entry settles). In a file
 * without such a dict all tensors count, with names such as "optimizer.state.0.exp_avg"; a tensor
 * alone is "tensor".
 *
 * Memory: a small multiple of the pickle, the storages that are compressed, and those of the old
 * form; the others are mapped. The file may be replaced (by rename) while it is open, but must not
 * be cut short. options may be NULL. NULL after an error: LUCID_ERR_IO, LUCID_ERR_FORMAT,
 * LUCID_ERR_MEMORY, LUCID_ERR_UNSUPPORTED (an object of a class, a TorchScript program),
 * LUCID_ERR_ARGUMENT (an .entry that the file does not have). */
LUCID_API lucid_pth *lucid_pth_open_opt(const char *path, const lucid_pth_options *options);
/* lucid_pth_open("net.pth");  lucid_pth_open("run.pth", .entry = "ema") */
#define lucid_pth_open(...) LUCID_CALL1(lucid_pth_open_opt, lucid_pth, LUCID_ASIS, __VA_ARGS__)
/* Tensors that were taken from the file stay valid. NULL does nothing. */
LUCID_API void lucid_pth_close(lucid_pth *file);

/* The number of tensors; 0 for NULL. */
LUCID_API int64_t lucid_pth_count(const lucid_pth *file);
/* The name of tensor i, in the order of the file; valid until the file is closed. NULL, with an
 * error raised, where there is no tensor i. */
LUCID_API const char *lucid_pth_name(const lucid_pth *file, int64_t i);
/* The index of a tensor, or -1, without an error, if none has that name. */
LUCID_API int64_t lucid_pth_find(const lucid_pth *file, const char *name);
/* Tensor i on the CPU, which belongs to the current scope and keeps the file's memory. Its sizes
 * and strides are those that it had; tensors that shared their storage share it here too. A change
 * to it never reaches the file. NULL after an error: LUCID_ERR_UNSUPPORTED for a dtype that lucid
 * does not have or more than LUCID_MAX_DIMS dimensions, LUCID_ERR_FORMAT for a bool that is neither
 * 0 nor 1. */
LUCID_API lucid_tensor *lucid_pth_view(const lucid_pth *file, int64_t i);
/* The same by name. A name that the file does not have is an error. */
LUCID_API lucid_tensor *lucid_pth_get(const lucid_pth *file, const char *name);

/* Numbers, bools and texts of the file (an epoch, a learning rate), as text, by names such as
 * "epoch" and "optimizer.param_groups.0.lr": their number, key i, and the value of a key (NULL,
 * without an error, if the file does not have it). Valid until the file is closed. */
LUCID_API int64_t lucid_pth_note_count(const lucid_pth *file);
LUCID_API const char *lucid_pth_note_key(const lucid_pth *file, int64_t i);
LUCID_API const char *lucid_pth_note(const lucid_pth *file, const char *key);

/* ---- writing --------------------------------------------------------------------------------- */

/* Writes n tensors, of any strides and device, as an OrderedDict that torch.load(path) reads, with
 * weights_only=True too. Tensors that are the same memory are written once, and share it when they
 * are read. The file is written beside `path` and takes its place when it is whole, as
 * lucid_safetensors_write does it. False after an error, and while one is pending.
 * Errors: LUCID_ERR_ARGUMENT (a NULL, a name twice or not UTF-8), LUCID_ERR_IO,
 * LUCID_ERR_MEMORY. */
LUCID_API bool lucid_pth_write(const char *path, const char *const *names,
                               lucid_tensor *const *tensors, int64_t n);

LUCID_END_DECLS
#endif
