/*
 * simd.h: one vector vocabulary for every CPU level.
 *
 * A kernel written with it is compiled once per level (see cpu/levels_priv.h), with the vectors of
 * the level's header beside this file. generic.h is the reference: plain C, vectors of one element.
 *
 *   vf / vd    a vector of LUC_VF float or LUC_VD double
 *   vi         a vector of LUC_VF int32
 *   vm / vmd   a mask for vf and vi / for vd
 *
 * Loads and stores take any alignment; only *_stream needs an address that is aligned to the
 * vector's size. *_load_n and *_store_n touch the first n elements, 0 <= n <= lanes; the missing
 * ones of a load are zero. *_load_some, n >= 1, puts the first element there instead, for
 * arithmetic that could raise a floating-point exception on zeros: it raises none that the data
 * themselves do not. min(a, b) is a < b ? a : b and max(a, b) is a > b ? a : b, so a NaN on either
 * side gives b. Comparisons with a NaN are false, except ne; unordered(a, b) is true where either
 * is one. *_sum folds lanes in a fixed order.
 *
 *   for (; i + LUC_VF <= n; i += LUC_VF) vf_store(y + i, vf_max(vf_load(x + i), vf_zero()));
 *   vf_store_n(y + i, vf_max(vf_load_n(x + i, n - i), vf_zero()), n - i);
 */
#ifndef LUC_SIMD_H
#define LUC_SIMD_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define LUC_INLINE static inline __attribute__((always_inline, unused))

#include "backends/cpu/simd/float16.h"
#if defined(LUC_LEVEL_VECTORS) /* the level's header, named by meson.build */
#include LUC_LEVEL_VECTORS
#else
#include "backends/cpu/simd/generic.h"
#endif

/* Before a loop: its iterations are independent, even if an output is an input. */
#if defined(__clang__)
#define LUC_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#else
#define LUC_IVDEP _Pragma("GCC ivdep")
#endif

/* A hint to load the line at p into the first-level cache. */
LUC_INLINE void luc_prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

#endif
