/* op_table.c: the list of operators, made from ops.def. */
#include "autograd/node_priv.h"

#include <string.h>

const lucid_op *const luc_op_table[LUCID_OP_COUNT] = {
#define LUC_OP(name)     &luc_op_##name,
#define LUC_KERNEL(name) NULL,
#include "lucid/ops.def"
};

const lucid_op *lucid_op_at(size_t index)
{
    for (size_t i = 0; i < LUCID_OP_COUNT; i++)
        if (luc_op_table[i] && index-- == 0) return luc_op_table[i];
    return NULL;
}

const lucid_op *lucid_op_find(const char *name)
{
    for (size_t i = 0; name && i < LUCID_OP_COUNT; i++)
        if (luc_op_table[i] && strcmp(luc_op_table[i]->name, name) == 0) return luc_op_table[i];
    return NULL;
}
