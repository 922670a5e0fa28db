/*
 * levels_priv.h: CPU levels and the choice among them.
 *
 * A kernel source is compiled once for each level (generic, avx2, avx512), with the level's flags and
 * with LUC_LEVEL_GENERIC, LUC_LEVEL_AVX2 or LUC_LEVEL_AVX512 defined. It ends in a table of function
 * pointers that is named with LUC_LEVEL_NAME. A header declares the three tables with
 * LUC_DECLARE_TABLES, which also defines a function that returns the table of the level in use:
 *
 *     // relu.h
 *     typedef struct { void (*relu_f32)(float *y, const float *x, int64_t n); } luc_relu_table;
 *     LUC_DECLARE_TABLES(luc_relu_table, luc_relu)
 *
 *     // relu_kernel.c, compiled per level
 *     const luc_relu_table LUC_LEVEL_NAME(luc_relu) = { relu_f32 };
 *
 *     // anywhere
 *     luc_relu_get()->relu_f32(y, x, n);
 */
#ifndef LUC_CPU_PRIV_H
#define LUC_CPU_PRIV_H

#include "lucid/backend.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    LUC_CPU_GENERIC = 0,
    LUC_CPU_AVX2 = 1,
    LUC_CPU_AVX512 = 2,
} luc_cpu_level;

/* The highest level that both this CPU and this build have. */
luc_cpu_level luc_cpu_best(void);

/* The level in use: the level of the running call, else luc_cpu_best() as LUCID_CPU limits it. */
luc_cpu_level luc_cpu_current(void);

/* Sets the level for every thread from now on. False, and no change, if the CPU or the build lacks
   it. It is meant for tests and benchmarks. A call that is under way keeps the level that it began
   with. */
bool luc_cpu_force(luc_cpu_level level);

/* The best level that `cap`, the value of LUCID_CPU in upper or lower case, allows. It is the best
   of all for NULL, for "", and for an unknown name, for which *known becomes false. */
luc_cpu_level luc_cpu_capped(const char *cap, bool *known);

/* "generic", "avx2", "avx512". */
const char *luc_cpu_level_name(luc_cpu_level level);

/* The bytes of data cache that one core has for itself, level 1 and level 2 (a guess if
   unknown). */
size_t luc_cpu_l1d_bytes(void);
size_t luc_cpu_l2_bytes(void);

/* The CPU's backend, filled by the families of families.def when it is first asked for. */
const lucid_backend *luc_cpu_backend(void);

/* luc_cpu_register_<family>: sets the family's slots of b->kernels . */
#define LUC_FAMILY(name) void luc_cpu_register_##name(lucid_backend *b);
#include "backends/cpu/families.def"
#undef LUC_FAMILY

/* The name of a function or table as this level's compilation calls it. */
#define LUC_JOIN_(a, b) a##b
#define LUC_JOIN(a, b)  LUC_JOIN_(a, b)
#if defined(LUC_LEVEL_AVX512)
#define LUC_LEVEL_NAME(name) LUC_JOIN(name, _avx512)
#elif defined(LUC_LEVEL_AVX2)
#define LUC_LEVEL_NAME(name) LUC_JOIN(name, _avx2)
#else
#define LUC_LEVEL_NAME(name) LUC_JOIN(name, _generic)
#endif

/* The tables that this build holds, the lowest level first. An absent level has the table of the
   level below. */
#if defined(LUC_HAVE_LEVEL_AVX512)
#define LUC_TABLES(name)                              \
    {                                                 \
        &name##_generic, &name##_avx2, &name##_avx512 \
    }
#elif defined(LUC_HAVE_LEVEL_AVX2)
#define LUC_TABLES(name)                            \
    {                                               \
        &name##_generic, &name##_avx2, &name##_avx2 \
    }
#else
#define LUC_TABLES(name)                                  \
    {                                                     \
        &name##_generic, &name##_generic, &name##_generic \
    }
#endif

/* Declares the three tables and name_get(), which returns the one of the level in use. */
#define LUC_DECLARE_TABLES(type, name)                            \
    extern const type name##_generic, name##_avx2, name##_avx512; \
    static inline const type *name##_get(void)                    \
    {                                                             \
        const type *const tables[3] = LUC_TABLES(name);           \
        return tables[luc_cpu_current()];                         \
    }

/* n up to the next multiple of a cache line. */
static inline size_t luc_round64(size_t n)
{
    return (n + 63) / 64 * 64;
}

#endif
