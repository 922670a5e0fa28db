/* options_priv.h: reading option structs that a program of another version filled. */
#ifndef LUCID_OPTIONS_PRIV_H
#define LUCID_OPTIONS_PRIV_H

#include "lucid/options.h"

/* The options to use, of `size` bytes: the defaults where none are given; those given where they
 * are as large; else a copy in `storage`, with the defaults for fields that the program did not
 * know yet. NULL, with an error raised, where the struct was not made from its defaults, or is of a
 * later lucid than this one. */
const void *luc_options(const void *given, const void *defaults, void *storage, size_t size,
                        const char *op);

/* const lucid_sgd_options *o = LUC_OPTIONS(lucid_sgd, options, "SGD");
 * What it points to is valid until the block ends. */
#define LUC_OPTIONS(name, given, op)                                          \
    ((const name##_options *)luc_options((given), &name##_defaults,           \
                                         &(name##_options){.struct_size = 0}, \
                                         sizeof(name##_options), (op)))

/* Options for a call inside the library, from fields; what is not named is 0:
 * LUC_WITH(lucid_tensor, .dtype = LUCID_F32) */
#define LUC_WITH(name, ...) \
    (&(const name##_options){.struct_size = sizeof(name##_options), __VA_ARGS__})

#endif
