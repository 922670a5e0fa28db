/* state_dict.h: the state of a module or an optimizer by name; loading it, and saving it to files.
 *
 * A state dict holds names with tensors in order, the versions of the modules they come from, and
 * notes (text by name). The tensors of lucid_module_state_dict share memory with the module's, as
 * in PyTorch: training changes them. To keep the best weights, copy the state:
 *
 *     lucid_state_dict *now = lucid_module_state_dict(net), *best = lucid_state_dict_copy(now);
 *
 * Names, shapes and order are PyTorch's. Files are safetensors or PyTorch's own (.pth, .pt).
 * Threads: one at a time. */
#ifndef LUCID_NN_STATE_DICT_H
#define LUCID_NN_STATE_DICT_H

#include "module.h"

LUCID_BEGIN_DECLS

/* ---- state dicts ----------------------------------------------------------------------------- */

/* Makes an empty state dict, or one of a module's parameters and persistent buffers, its own before
 * those of its children. The caller releases it with lucid_state_dict_free. NULL on an error. */
LUCID_API lucid_state_dict *lucid_state_dict_new(void);
LUCID_API lucid_state_dict *lucid_module_state_dict(lucid_module *module);
/* Makes a deep copy: its tensors are copies on the same devices, and share memory with nothing
 * else. Entries that are the same tensor (tied weights) are the same tensor in the copy. The caller
 * releases it with lucid_state_dict_free. */
LUCID_API lucid_state_dict *lucid_state_dict_copy(const lucid_state_dict *state);
/* Makes a state dict with the same entries, whose tensors are those of `state`. */
LUCID_API lucid_state_dict *lucid_state_dict_shallow_copy(const lucid_state_dict *state);
LUCID_API void lucid_state_dict_free(lucid_state_dict *state);

LUCID_API size_t lucid_state_dict_size(const lucid_state_dict *state);
/* Entry i < size, borrowed from the state dict. Name and tensor are NULL if i is out of range. */
LUCID_API lucid_named_tensor lucid_state_dict_at(const lucid_state_dict *state, size_t i);
/* The tensor of a name, borrowed. NULL, without an error, if the name does not exist. A name whose
 * tensor lucid cannot hold, in a state dict that was read from a file, raises why:
 * LUCID_ERR_UNSUPPORTED (a dtype such as int8, or more than LUCID_MAX_DIMS dimensions) or
 * LUCID_ERR_FORMAT (a bool that is neither 0 nor 1). */
LUCID_API lucid_tensor *lucid_state_dict_get(const lucid_state_dict *state, const char *name);
/* Adds an entry, or replaces the tensor of one; takes a reference. */
LUCID_API bool lucid_state_dict_set(lucid_state_dict *state, const char *name,
                                    lucid_tensor *tensor);
/* Returns false, without an error, if the name does not exist. */
LUCID_API bool lucid_state_dict_remove(lucid_state_dict *state, const char *name);

/* The version of the module at a path ("" is the outermost), or -1 if it is not known. The second
 * function sets it; -1 removes it. */
LUCID_API int64_t lucid_state_dict_version(const lucid_state_dict *state, const char *path);
LUCID_API bool lucid_state_dict_set_version(lucid_state_dict *state, const char *path,
                                            int64_t version);
/* A note, borrowed, or NULL, without an error, if it does not exist. The second function sets it to
 * a copy of the text; NULL removes it. */
LUCID_API const char *lucid_state_dict_note(const lucid_state_dict *state, const char *key);
LUCID_API bool lucid_state_dict_set_note(lucid_state_dict *state, const char *key,
                                         const char *value);

/* ---- loading --------------------------------------------------------------------------------- */

typedef struct lucid_load_options {
    LUCID_OPTIONS_SIZE(lucid_load_options);
    bool strict LUCID_DEFAULT(true); /* missing and unexpected names are an error */
    /* Names that are not loaded, by pattern (lucid_name_matches): with "fc.*" the module keeps its
     * last layer, whatever the state has under such names. */
    const char *ignore LUCID_DEFAULT(NULL);
    /* Other names for tensors of the state, "OLD=NEW" with | between several, the first that
     * matches counts; a * in both stands for the same text: "backbone.*=*|head.weight=fc.weight".
     * It comes before .ignore. */
    const char *rename LUCID_DEFAULT(NULL);
    /* Weights [O,C,...] of convolutions, by pattern, that may have another number of channels than
     * the module's: "conv1.weight". One channel gets the sum of all; otherwise channel c of the
     * module gets channel c modulo C, times C divided by the module's number. */
    const char *adapt_channels LUCID_DEFAULT(NULL);
    /* Of a file of torch.save: the part that is wanted (pth.h), "ema". */
    const char *entry LUCID_DEFAULT(NULL);
} lucid_load_options;
LUCID_DEFAULTS(lucid_load, .strict = true, .ignore = NULL, .rename = NULL, .adapt_channels = NULL,
               .entry = NULL);

/* Copies the tensors of a state dict into the module's parameters and buffers, converting dtypes
 * and devices. Sizes must be equal. If the state is refused, nothing changes.
 * Errors name every missing name, every unexpected one and every one with other sizes. Without
 * .strict only other sizes are errors. A parameter that the module has under several names (tied
 * weights) is not missing if the state has one of them, as in safetensors.torch.load_model. A
 * tensor that lucid cannot hold is an error if the module needs it, and an unexpected name
 * otherwise. If all names of the state begin with "module." or "_orig_mod.", as those of
 * DistributedDataParallel and torch.compile do, and no name of the module does, they are read
 * without that. A pattern among the options that matches no name is an error. */
LUCID_API bool lucid_load_state_dict_opt(lucid_module *module, const lucid_state_dict *state,
                                         const lucid_load_options *options);

/* ---- files ----------------------------------------------------------------------------------- */

/* Writes a module's state as safetensors, as lucid_safetensors_write does; where the path ends in
 * .pth or .pt, as a file for torch.load. The file is read back before it replaces the old one,
 * which stays as it was after any error. Writes nothing while an error is pending. */
LUCID_API bool lucid_module_save(lucid_module *module, const char *path);
/* Reads a file of lucid_module_save, or any file of safetensors or torch.save with the right names
 * and sizes, or an index of several safetensors files (model.safetensors.index.json), which lie
 * beside it. What it is is told by its first bytes, not by its name. Nothing in it is executed; see
 * pth.h for which part of a checkpoint counts.
 *
 *     lucid_load(net, "resnet18.pth", .ignore = "fc.*"); */
LUCID_API bool lucid_load_opt(lucid_module *module, const char *path,
                              const lucid_load_options *options);
/* The same for a state dict alone. Tensors that were read lie on the CPU. Tensors that lucid
 * cannot hold are not among the entries; asking for one is an error (lucid_state_dict_get), and so
 * is saving the state dict until lucid_state_dict_remove has taken their names out. */
LUCID_API bool lucid_state_dict_save(const lucid_state_dict *state, const char *path);
LUCID_API lucid_state_dict *lucid_state_dict_load(const char *path);

/* lucid_load_state_dict(net, state, .strict = false);  lucid_load(net, "mnist.safetensors") */
#define lucid_load_state_dict(...) LUC_LOAD(lucid_load_state_dict_opt, __VA_ARGS__)
#define lucid_load(...)            LUC_LOAD(lucid_load_opt, __VA_ARGS__)
#define LUC_LOAD(fn, ...)          LUCID_CALL2(fn, lucid_load, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
