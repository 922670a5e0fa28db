/* state_dict_priv.h: the inside of state dicts. */
#ifndef LUCID_NN_STATE_DICT_PRIV_H
#define LUCID_NN_STATE_DICT_PRIV_H

#include "lucid/core/error.h"
#include "lucid/io/safetensors.h"
#include "nn/state_dict.h"

/* A name and its tensor, version or note. */
typedef struct luc_state_item {
    char *name;
    uint64_t hash;
    lucid_tensor *tensor; /* owned reference */
    int64_t number;
    char *text;
} luc_state_item;

typedef struct luc_state_table {
    luc_state_item *items; /* in the order in which they were added */
    size_t count, capacity;
    size_t *slots; /* by hash: an item's index + 1, or 0; twice the capacity, a power of two */
} luc_state_table;

struct lucid_state_dict {
    luc_state_table tensors, versions, notes;
    luc_state_table foreign; /* tensors of a file that lucid cannot hold: text says why */
};

/* The same as luc_check_module, for a state dict. */
bool luc_check_state(const lucid_state_dict *s, const char *op);

/* The item of a name, or NULL (nothing raised). */
luc_state_item *luc_state_find(const luc_state_table *table, const char *name);
/* Adds a name whose tensor lucid cannot hold, with the error that asking for the tensor raises. */
bool luc_state_set_foreign(lucid_state_dict *s, const char *name, lucid_code code, const char *why);
/* Whether two entries are the same elements of the same memory, as tied weights are. */
bool luc_state_is_tied(const lucid_tensor *a, const lucid_tensor *b);
/* The state with the names that the module has: prefixes that other programs add are taken off, and
 * .rename and .ignore are applied. It takes the place of *state, which is freed. False after an
 * error. */
bool luc_load_rename(lucid_state_dict **state, const lucid_state_dict *wanted,
                     const lucid_load_options *options);
/* Weights of a convolution [O,C,...] made to fit `channels`, or NULL after an error. */
lucid_tensor *luc_load_adapt(lucid_tensor *weight, int64_t channels);
/* Adds tensor i of a file. */
bool luc_state_read(lucid_state_dict *s, const lucid_safetensors *file, int64_t i);
/* Whether a file begins as JSON does and safetensors does not; no error is raised. */
bool luc_is_index(const char *path);
/* Adds the tensors that an index of safetensors files names. */
bool luc_state_read_index(lucid_state_dict *s, const char *path);
/* For functions that need every tensor: returns false, with an error raised, if lucid cannot hold
 * one. */
bool luc_state_is_whole(const lucid_state_dict *s, const char *op);

#endif
