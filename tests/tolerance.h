/* tolerance.h: how far a result may be from its reference: the only table of tolerances for
 * operators, in units of the result's epsilon (the distance from 1 to the next number of its
 * dtype).
 *
 *     |got - expected| <= epsilon * (each * |expected| + whole * largest) + smallest
 *
 * `each` is for errors that scale with the element; `whole` for sums whose terms cancel: their
 * error scales with the terms, of which the largest element of the tensor tells the size (for the
 * gradient of STATISTICS also the largest of the gradient that came in, because it may cancel
 * altogether). NaN must meet NaN, and infinities must be the same; integers and bools are exact. */
#ifndef TESTS_TOLERANCE_H
#define TESTS_TOLERANCE_H

#include "lucid/core/dtype.h"

#include <math.h>
#include <stdbool.h>

typedef enum tolerance_class {
    TOLERANCE_EXACT,    /* copies, choices, signs: no rounding anywhere */
    TOLERANCE_ROUNDED,  /* + - * / sqrt: IEEE rounds them correctly, both libraries alike; one unit
                           * where the 16-bit types are rounded once here and twice there */
    TOLERANCE_FUNCTION, /* exp, log, tanh, ...: each library within 2 units of the truth; a
                           * composed one (silu, pow) adds the roundings of its steps */
    TOLERANCE_CANCELLING, /* the reference adds 1 to a number near -1 (gelu), or both subtract a
                           * rounded y from 1 (gradients of sigmoid, tanh): an error of the whole */
    TOLERANCE_SUM,        /* sums of up to some hundred terms in another order: PyTorch's float32
                           * bias gradient of 162 terms is 6.3 of the whole from the truth (ours,
                           * summed wider, 0); Winograd's convolution with its transforms 4.6 */
    TOLERANCE_STATISTICS, /* a sum, a root and a division of it: batch_norm, losses of log_softmax,
                           * and the gradients through them */
    TOLERANCE_CLASSES
} tolerance_class;

typedef struct tolerance {
    double each, whole, epsilon, smallest;
} tolerance;

static inline double tolerance_epsilon(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return 0x1p-23;
    case LUCID_F64:
        return 0x1p-52;
    case LUCID_F16:
        return 0x1p-10;
    case LUCID_BF16:
        return 0x1p-7;
    default:
        return 0;
    }
}

static inline tolerance tolerance_of(tolerance_class kind, lucid_dtype dtype)
{
    static const struct {
        double each, whole;
    } table[TOLERANCE_CLASSES] = {
        [TOLERANCE_EXACT] = {0, 0},    [TOLERANCE_ROUNDED] = {1, 0},
        [TOLERANCE_FUNCTION] = {6, 0}, [TOLERANCE_CANCELLING] = {6, 3},
        [TOLERANCE_SUM] = {4, 8},      [TOLERANCE_STATISTICS] = {8, 8},
    };
    /* Below the normal numbers only the absolute error is kept: x times a subnormal (silu) has lost
     * its digits. Correctly rounded results keep them all. */
    static const double least[LUCID_DTYPE_COUNT] = {[LUCID_F32] = 0x1p-126,
                                                    [LUCID_F64] = 0x1p-1022,
                                                    [LUCID_F16] = 0x1p-22,
                                                    [LUCID_BF16] = 0x1p-126};
    tolerance t = {table[kind].each, table[kind].whole, tolerance_epsilon(dtype), 0};
    if (kind > TOLERANCE_ROUNDED) t.smallest = least[dtype];
    return t;
}

/* largest: the largest finite magnitude among the expected values. */
static inline bool tolerance_meets(tolerance t, double got, double expected, double largest)
{
    if (isnan(expected)) return isnan(got);
    if (isinf(expected) || isinf(got)) return got == expected;
    return fabs(got - expected) <=
           t.epsilon * (t.each * fabs(expected) + t.whole * largest) + t.smallest;
}

#endif
