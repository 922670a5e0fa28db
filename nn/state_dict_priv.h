/* state_dict_priv.h: the inside of state dicts. */
#ifndef LUCID_NN_STATE_DICT_PRIV_H
#define LUCID_NN_STATE_DICT_PRIV_H

#include "nn/state_dict.h"

/* A name with a tensor, a version or a note. */
typedef struct luc_state_item {
    char *name;
    uint64_t hash;
    lucid_tensor *tensor; /* owned reference */
    int64_t number;
    char *text;
} luc_state_item;

typedef struct luc_state_table {
    luc_state_item *items;
    size_t count, capacity;
} luc_state_table;

struct lucid_state_dict {
    luc_state_table tensors, versions, notes;
};

/* As luc_check_module. */
bool luc_check_state(const lucid_state_dict *s, const char *op);

#endif
