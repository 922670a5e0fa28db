/*
 * dot_tile.h: a register tile of dot products. Both operands lie along the vector: up to LUC_DOTS_A
 * rows times up to LUC_DOTS_B columns at once, and each row and column has its own pointer.
 *
 *     sum[a * LUC_DOTS_B + b] = sum over segments s, k < depth of
 *                               a[a][s * a_next + k] * b[b][s * b_next + k]
 *
 * A vector of partial sums stays in a register for each pair; their lanes are added at the end.
 *
 * Included by per-level sources.
 */
#ifndef LUC_DOTS_H
#define LUC_DOTS_H

#include "backends/cpu/simd/simd.h"

enum {
    LUC_DOTS_A = 3,
#if LUC_REGISTERS == 32
    LUC_DOTS_B = 9, /* 27 sums, and what is multiplied: 31 of 32 registers */
    LUC_DOTS_SIZE = 32,
#elif LUC_REGISTERS == 16
    LUC_DOTS_B = 4, /* 12 sums of 16 registers */
    LUC_DOTS_SIZE = 16,
#else
    LUC_DOTS_B = 2,
    LUC_DOTS_SIZE = 6,
#endif
};

typedef struct {
    const float *a[LUC_DOTS_A], *b[LUC_DOTS_B];
    int64_t segments, depth, a_next, b_next;
    float *to; /* LUC_DOTS_SIZE floats; those without a pair stay or become 0 */
    bool add;  /* to what is there */
} luc_dots;

/* clang-format off */
#if LUC_REGISTERS == 32
#define LUC_DOTS_EACH_B(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#elif LUC_REGISTERS == 16
#define LUC_DOTS_EACH_B(X) X(0) X(1) X(2) X(3)
#else
#define LUC_DOTS_EACH_B(X) X(0) X(1)
#endif
/* clang-format on */

/* na and nb are constants wherever this is inlined; named sums, because compilers leave arrays in
   memory. */
LUC_INLINE void luc_dots_run(const luc_dots *t, const int na, const int nb)
{
    const float *p0 = t->a[0], *p1 = t->a[na > 1 ? 1 : 0], *p2 = t->a[na > 2 ? 2 : 0];
    const int64_t depth = t->depth, whole = depth / LUC_VF * LUC_VF;
#define DECLARE(i)                                           \
    vf x##i = vf_zero(), y##i = vf_zero(), z##i = vf_zero(); \
    const float *q##i = t->b[nb > i ? i : 0];
    LUC_DOTS_EACH_B(DECLARE)
#undef DECLARE
#define STEP(i)                                 \
    if (nb > i) {                               \
        vf b = LOAD(q##i);                      \
        LUC_IN_REGISTER(b);                     \
        x##i = vf_fma(a0, b, x##i);             \
        if (na > 1) y##i = vf_fma(a1, b, y##i); \
        if (na > 2) z##i = vf_fma(a2, b, z##i); \
    }
#define STEPS                                                                             \
    do {                                                                                  \
        const vf a0 = LOAD(p0), a1 = na > 1 ? LOAD(p1) : a0, a2 = na > 2 ? LOAD(p2) : a0; \
        LUC_DOTS_EACH_B(STEP)                                                             \
    } while (0)
    for (int64_t s = 0; s < t->segments; s++) {
        int64_t k = 0;
#define LOAD(p) vf_load((p) + k)
        for (; k < whole; k += LUC_VF) STEPS;
#undef LOAD
#define LOAD(p) vf_load_n((p) + k, depth - whole)
        if (k < depth) STEPS;
#undef LOAD
        p0 += t->a_next, p1 += t->a_next, p2 += t->a_next;
#define NEXT(i) q##i += t->b_next;
        LUC_DOTS_EACH_B(NEXT)
#undef NEXT
    }
#undef STEPS
#undef STEP
    vf sums[LUC_DOTS_SIZE];
    for (int i = LUC_DOTS_A * LUC_DOTS_B; i < LUC_DOTS_SIZE; i++) sums[i] = vf_zero();
#define KEEP(i) sums[i] = x##i, sums[LUC_DOTS_B + i] = y##i, sums[2 * LUC_DOTS_B + i] = z##i;
    LUC_DOTS_EACH_B(KEEP)
#undef KEEP
#pragma GCC unroll 8
    for (int i = 0; i < LUC_DOTS_SIZE; i += LUC_VF) {
        if (i >= na * LUC_DOTS_B && t->add) break; /* adds nothing */
        const vf total = vf_lane_sums(sums + i);
        vf_store(t->to + i, t->add ? vf_add(vf_load(t->to + i), total) : total);
    }
}

#endif
