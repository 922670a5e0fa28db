/* op_table_priv.h: the operators of lucid/core/ops.def, and one that only the graph makes. */
#ifndef LUCID_AUTOGRAD_OP_TABLE_PRIV_H
#define LUCID_AUTOGRAD_OP_TABLE_PRIV_H

#include "autograd/op.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

/* The operator of an id; NULL for kernels without one. */
extern const lucid_op *const luc_op_table[LUCID_OP_COUNT];

#define LUC_OP(name) extern const lucid_op luc_op_##name;
#include "lucid/core/ops.def"

/* An operator in place on a view, as the history of the view's base. */
extern const lucid_op luc_op_copy_slices;

/* "b" for input 1 of a schema "a, b". */
luc_text luc_argument_name(const lucid_op *op, int i);
/* true: the schema ends that argument's name in "?". */
bool luc_is_optional(const lucid_op *op, int i);

#endif
