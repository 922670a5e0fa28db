/*
 * levels_priv.h: CPU levels, and tables of functions that are chosen by level.
 *
 * The levels are listed in levels.def; `generic` is the lowest one. The sources in level_sources of
 * meson.build are compiled once for each level that has vectors of its own, with the level's
 * options and with LUC_LEVEL defined as its name. Such a source ends in a table of functions:
 *
 *     // relu.h
 *     typedef struct { void (*relu_f32)(float *y, const float *x, int64_t n); } luc_relu_table;
 *     LUC_DECLARE_TABLES(luc_relu_table, luc_relu)
 *
 *     // relu_level.c, compiled per level
 *     LUC_LEVEL_TABLE(luc_relu_table, luc_relu) = { relu_f32 };
 *
 *     // anywhere
 *     luc_relu_get()->relu_f32(y, x, n);
 *
 * A level overrides function by function: where its table holds NULL (or 0), or where it has no
 * table at all, the entry of the level below is used. A level that only adds a few functions to the
 * level below (AMX) compiles its own folder alone, and lists its tables in luc_overrides_<name>.
 */
#ifndef LUC_CPU_PRIV_H
#define LUC_CPU_PRIV_H

/* Made by meson.build: LUC_WHOLE_LEVELS, LUC_PARTIAL_LEVELS. */
#include "backends/cpu/built_levels.h"
#include "backends/cpu/sizes.h"
#include "lucid/core/backend.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum {
#define LUC_LEVEL(ID, name, features) LUC_CPU_##ID,
#include "backends/cpu/levels.def"
#undef LUC_LEVEL
    LUC_CPU_LEVELS /* how many there are */
} luc_cpu_level;

/* Whether this CPU has the level, be it in this build or not. */
bool luc_cpu_has(luc_cpu_level level);

/* The highest level that both this CPU and this build have. */
luc_cpu_level luc_cpu_best(void);

/* The level in use: the level of the running call, else luc_cpu_best() as LUCID_CPU limits it. */
luc_cpu_level luc_cpu_current(void);

/* The next higher level that both this CPU and this build have; -1 after the best one. All levels:
   for (int level = LUC_CPU_GENERIC; level >= 0; level = luc_cpu_next(level)) */
int luc_cpu_next(int level);
/* The same for the levels that have kernels of every family alone: the others add products of 16
   bits, and take the rest from the level below. */
int luc_cpu_next_whole(int level);

/* Sets the level for every thread from now on. False, and no change, if the CPU or the build lacks
   it. It is meant for tests and benchmarks. A call that is under way keeps the level that it began
   with. */
bool luc_cpu_force(luc_cpu_level level);

/* The best level that `cap`, the value of LUCID_CPU in upper or lower case, allows. It is the best
   of all for NULL, for "", and for an unknown name, for which *known becomes false. The name of a
   level that this build lacks allows the levels below it. */
luc_cpu_level luc_cpu_capped(const char *cap, bool *known);

/* As in levels.def: "generic", "avx2" ... */
const char *luc_cpu_level_name(luc_cpu_level level);

/* The bytes of data cache that one core has for itself, level 1 and level 2 (a guess if
   unknown). */
size_t luc_cpu_l1d_bytes(void);
size_t luc_cpu_l2_bytes(void);

/* luc_cpu_register_<family>: sets the family's slots of b->kernels. */
#define LUC_FAMILY(name) void luc_cpu_register_##name(lucid_backend *b);
#include "backends/cpu/families.def"
#undef LUC_FAMILY

/* The name of a function or table as this level's compilation calls it. */
#define LUC_JOIN_(a, b) a##b
#define LUC_JOIN(a, b)  LUC_JOIN_(a, b)
#if !defined(LUC_LEVEL_ID)
#define LUC_LEVEL_ID generic
#endif
#define LUC_LEVEL_NAME(name) LUC_JOIN(LUC_JOIN(name, _), LUC_LEVEL_ID)

/* A family's tables at all levels. They are of one type, which holds pointers to functions, and
   numbers of which 0 means "as below". */
typedef struct luc_level_tables {
    size_t size;
    const void *own[LUC_CPU_LEVELS];            /* what the level's compilation defined, or NULL */
    _Atomic(const void *) used[LUC_CPU_LEVELS]; /* completed from below; NULL: not yet completed */
} luc_level_tables;

/* Completes the level's table when it is first asked for. Any thread may call it. */
const void *luc_level_table_complete(luc_level_tables *tables, luc_cpu_level level);

static inline const void *luc_level_table(luc_level_tables *tables, luc_cpu_level level)
{
    const void *used = atomic_load_explicit(&tables->used[level], memory_order_acquire);
    return used ? used : luc_level_table_complete(tables, level);
}

/* Declares a family's tables and name_get(), which returns the one of the level in use. */
#define LUC_DECLARE_TABLE_(declaration, ID, level) extern declaration##_##level;
#define LUC_DECLARE_TABLES(type, name)                                           \
    LUC_WHOLE_LEVELS(LUC_DECLARE_TABLE_, const type name)                        \
    extern luc_level_tables name##_tables;                                       \
    static inline const type *name##_get(void)                                   \
    {                                                                            \
        return (const type *)luc_level_table(&name##_tables, luc_cpu_current()); \
    }

/* Begins the definition of a level's table. The generic level's compilation also defines the list
   of all levels' tables. */
#define LUC_OWN_TABLE_(name, ID, level) [LUC_CPU_##ID] = &name##_##level,
#if defined(LUC_LEVEL_GENERIC)
#define LUC_LEVEL_TABLE(type, name)                      \
    luc_level_tables name##_tables = {                   \
        .size = sizeof(type),                            \
        .own = {LUC_WHOLE_LEVELS(LUC_OWN_TABLE_, name)}, \
    };                                                   \
    const type LUC_LEVEL_NAME(name)
#else
#define LUC_LEVEL_TABLE(type, name) const type LUC_LEVEL_NAME(name)
#endif

/* What a level of few functions overrides: `table`, a constant of the family's type that holds only
   those functions. The list ends with LUC_NO_OVERRIDE. */
typedef struct luc_override {
    luc_level_tables *tables;
    const void *table;
} luc_override;
#define LUC_OVERRIDE(name, table)                                             \
    {                                                                         \
        &name##_tables, _Generic((table), __typeof__(name##_get()) : (table)) \
    }
#define LUC_NO_OVERRIDE \
    {                   \
        NULL, NULL      \
    }

#endif
