/* op_table.c: the list of operators, made from core/ops.def. */
#include "autograd/op_table_priv.h"

#include <stdio.h>
#include <string.h>

const lucid_op *const luc_op_table[LUCID_OP_COUNT] = {
#define LUC_OP(name)     &luc_op_##name,
#define LUC_KERNEL(name) NULL,
#include "lucid/core/ops.def"
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

/* Argument i of a schema "input, weight, bias?": where its name begins, and its length. */
static const char *schema_argument(const char *schema, int i, int *length)
{
    const char *s = schema ? schema : "";
    for (; i > 0 && *s; s++)
        if (*s == ',') i--;
    while (*s == ' ') s++;
    *length = 0;
    if (i > 0) return "";
    while (s[*length] && s[*length] != ',') ++*length;
    return s;
}

luc_text luc_argument_name(const lucid_op *op, int i)
{
    luc_text text;
    int length;
    const char *name = schema_argument(op->schema, i, &length);
    if (length && name[length - 1] == '?') length--;
    if (length)
        snprintf(text.s, sizeof text.s, "%.*s", length, name);
    else
        snprintf(text.s, sizeof text.s, "input %d", i);
    return text;
}

bool luc_is_optional(const lucid_op *op, int i)
{
    int length;
    const char *name = schema_argument(op->schema, i, &length);
    return length && name[length - 1] == '?';
}
