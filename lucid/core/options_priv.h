/* options_priv.h: reading option structs that a program of another version filled. */
#ifndef LUCID_OPTIONS_PRIV_H
#define LUCID_OPTIONS_PRIV_H

#include "lucid/core/options.h"

/* The options to use, of `size` bytes: the defaults if none are given; the given ones if they have
 * that size; otherwise a copy in `storage`, with the defaults for fields that the program does not
 * know. NULL, with an error raised, if the struct was not made from its defaults, or comes from a
 * later lucid than this one. */
const void *luc_options(const void *given, const void *defaults, void *storage, size_t size,
                        const char *op);

/* const lucid_sgd_options *o = LUC_OPTIONS(lucid_sgd, options, "SGD");
 * What it points to is valid until the block ends. */
#define LUC_OPTIONS(name, given, op)                                          \
    ((const name##_options *)luc_options((given), &name##_defaults,           \
                                         &(name##_options){.struct_size = 0}, \
                                         sizeof(name##_options), (op)))

/* Is it of lucid_pair, not a single number? */
bool luc_extent_is_pair(int64_t extent);
/* Is it of lucid_triple? */
bool luc_extent_is_triple(int64_t extent);

/* Options for a call inside the library, from fields; what is not named is 0:
 * LUC_WITH(lucid_tensor, .dtype = LUCID_F32) */
#define LUC_WITH(name, ...) \
    (&(const name##_options){.struct_size = sizeof(name##_options), __VA_ARGS__})

#endif
