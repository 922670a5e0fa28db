/* triple.h: a size for the three directions of a volume. */
#ifndef LUCID_TRIPLE_H
#define LUCID_TRIPLE_H

#include "api.h"
#include "options.h"
#include "shape.h"

LUCID_BEGIN_DECLS

/* Three numbers as one extent: each below 2^19 in size, else all count as -2^19, which is refused.
 * An option is written .stride = lucid_triple(1, 2, 2). Safe in any thread. */
LUCID_API lucid_extent lucid_triple(int64_t d, int64_t h, int64_t w);
/* The three numbers of an extent: triple[0] is depth, triple[1] height, triple[2] width. One number
 * stands for all three. Returns false, without an error, for a pair or where triple is NULL. Safe
 * in any thread. */
LUCID_API bool lucid_triple_get(lucid_extent extent, int64_t triple[3]);

LUCID_END_DECLS

/* clang-format off */
/* A lucid_extent from a caller's argument by position: a number, a list of three, or a
 * lucid_extent: nn_MaxPool3d((1, 2, 2)). */
#define LUCID_TRIPLE_OF(x)       LUCID_CAT(LUC_TRIPLE_OF_, LUC_IS_PAREN(x))(x)
#define LUC_TRIPLE_OF_0(x)       x
#define LUC_TRIPLE_OF_1(x)       LUC_TRIPLE x
#define LUC_TRIPLE(...)          LUCID_CAT(LUC_TRIPLE_, LUC_THREE(__VA_ARGS__))(__VA_ARGS__)
#define LUC_TRIPLE_1(x)          (x)
#define LUC_TRIPLE_2(a, b)       lucid_a_triple_has_one_or_three_numbers
#define LUC_TRIPLE_3(d, h, w)    lucid_triple(d, h, w)
#define LUC_TRIPLE_MORE(...)     lucid_a_triple_has_one_or_three_numbers
/* clang-format on */

#endif
