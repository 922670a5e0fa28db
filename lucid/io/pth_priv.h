/* pth_priv.h: the inside of PyTorch's files. */
#ifndef LUCID_IO_PTH_PRIV_H
#define LUCID_IO_PTH_PRIV_H

#include "lucid/io/pickle_priv.h"
#include "lucid/io/pth.h"

/* A file's tensors and its notes, whose texts are the arena's. */
typedef struct luc_pth_entry {
    const char *name;
    const luc_pickle_value *tensor;
} luc_pth_entry;

typedef struct luc_pth_note {
    const char *key, *value;
} luc_pth_note;

typedef struct luc_pth_list {
    luc_pickle *p;
    luc_pth_entry *entries; /* arrays of the arena */
    size_t count, room;
    luc_pth_note *notes;
    size_t notes_count, notes_room;
    int64_t budget; /* bytes of names and visits of values that are left */
} luc_pth_list;

/* Finds the tensors of the wanted part of a pickle and their names, and the notes. `size` is the
 * pickle's. False after an error. */
bool luc_pth_collect(luc_pth_list *list, luc_pickle_value *root, const char *entry, size_t size);

/* Keys of notes that are not the file's own: versions of modules as JSON, {"": {"version": 1}}. */
#define LUC_PTH_VERSIONS "_metadata"
#define LUC_PTH_NOTES    "_notes" /* an attribute of the dict: texts by name */

/* Whether a file begins as those of torch.save do; safetensors does not. False, without an error,
 * where it cannot be read. */
bool luc_pth_is_file(const char *path);

/* Why lucid cannot hold tensor i; LUCID_OK if it can. */
lucid_code luc_pth_refusal(const lucid_pth *file, int64_t i, char *text, size_t size);

/* What is written: tensors, and with them notes and the versions of modules. */
typedef struct luc_pth_content {
    const char *const *names;
    lucid_tensor *const *tensors;
    int64_t n;
    const char *const *keys, *const *values; /* notes */
    int64_t m;
    const char *const *paths; /* of modules, "" is the outermost */
    const int64_t *versions;
    int64_t n_versions;
} luc_pth_content;
/* The same as lucid_pth_write. All texts are UTF-8, which is checked. */
bool luc_pth_write(const char *path, const luc_pth_content *content, const char *op);

#endif
