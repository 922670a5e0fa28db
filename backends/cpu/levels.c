/* levels.c: which CPU level is used, and the tables of its functions. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/settings.h"
#include "lucid/core/lock_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* What levels.def asks of a CPU. A vector level counts only if the operating system saves its
 * registers on a task switch. */
enum {
    SAVES_YMM = 1 << 0,
    SAVES_ZMM = 1 << 1,
    SAVES_TILES = 1 << 2,
    HAS_AVX2 = 1 << 3,
    HAS_FMA = 1 << 4,
    HAS_F16C = 1 << 5,
    HAS_AVX512 = 1 << 6, /* F, BW, DQ and VL */
    HAS_AVX512_VNNI = 1 << 7,
    HAS_AVX512_BF16 = 1 << 8,
    HAS_AMX = 1 << 9, /* tiles of bf16 and of int8 */
};

#if defined(__x86_64__)
#include <cpuid.h>

/* The sets of registers that the operating system saves. */
static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* `feature` if all bits of `mask` are set in `bits`. */
static unsigned if_all(uint64_t bits, uint64_t mask, unsigned feature)
{
    return (bits & mask) == mask ? feature : 0;
}

static unsigned features_of_cpu(void)
{
    const uint64_t bit = 1;
    unsigned a, b, c, d, found = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    found |= if_all(c, bit << 12, HAS_FMA) | if_all(c, bit << 29, HAS_F16C);
    if (c & bit << 27) { /* OSXSAVE: the register can be read */
        const uint64_t saved = read_xcr0();
        found |= if_all(saved, 0x6, SAVES_YMM) | if_all(saved, 0xe6, SAVES_ZMM);
        found |= if_all(saved, 0x60000, SAVES_TILES);
    }
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
    found |= if_all(b, bit << 5, HAS_AVX2);
    found |= if_all(b, bit << 16 | bit << 17 | bit << 30 | bit << 31, HAS_AVX512);
    found |= if_all(c, bit << 11, HAS_AVX512_VNNI);
    found |= if_all(d, bit << 22 | bit << 24 | bit << 25, HAS_AMX);
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d))
        found |= if_all(a, bit << 5, HAS_AVX512_BF16);
    return found;
}
#else
static unsigned features_of_cpu(void)
{
    return 0;
}
#endif

static const struct {
    const char *name;
    unsigned features;
} levels[LUC_CPU_LEVELS] = {
#define LUC_LEVEL(ID, name, features) {#name, features},
#include "backends/cpu/levels.def"
#undef LUC_LEVEL
};

/* Whether this build holds the level. */
static bool is_built(int level)
{
#define BUILT(unused, ID, name) [LUC_CPU_##ID] = true,
    static const bool built[LUC_CPU_LEVELS] = {LUC_WHOLE_LEVELS(BUILT, ) //
                                               LUC_PARTIAL_LEVELS(BUILT, )};
#undef BUILT
    return built[level];
}

static atomic_int best_level = -1;
static atomic_int current_level = -1;

bool luc_cpu_has(luc_cpu_level level)
{
    const unsigned found = features_of_cpu();
    for (int below = 0; below <= (int)level; below++)
        if ((found & levels[below].features) != levels[below].features) return false;
    return true;
}

/* The highest level of the CPU and of the build that is at most `level`. */
static luc_cpu_level at_most(int level)
{
    while (level > 0 && !(is_built(level) && luc_cpu_has((luc_cpu_level)level))) level--;
    return (luc_cpu_level)level;
}

luc_cpu_level luc_cpu_best(void)
{
    int level = atomic_load_explicit(&best_level, memory_order_relaxed);
    if (level < 0) {
        level = (int)at_most(LUC_CPU_LEVELS - 1);
        atomic_store_explicit(&best_level, level, memory_order_relaxed);
    }
    return (luc_cpu_level)level;
}

int luc_cpu_next(int level)
{
    do level++;
    while (level <= (int)luc_cpu_best() && !is_built(level));
    return level <= (int)luc_cpu_best() ? level : -1;
}

int luc_cpu_next_whole(int level)
{
#define WHOLE(unused, ID, name) [LUC_CPU_##ID] = true,
    static const bool whole[LUC_CPU_LEVELS] = {LUC_WHOLE_LEVELS(WHOLE, )};
#undef WHOLE
    do level = luc_cpu_next(level);
    while (level >= 0 && !whole[level]);
    return level;
}

luc_cpu_level luc_cpu_capped(const char *cap, bool *known)
{
    const luc_cpu_level best = luc_cpu_best();
    *known = true;
    if (!cap || !*cap) return best;
    for (int level = 0; level < LUC_CPU_LEVELS; level++)
        if (strcasecmp(cap, levels[level].name) == 0) return at_most(level);
    *known = false;
    return best;
}

/* "generic, avx2 or avx512" */
static void list_levels(char *text, size_t size)
{
    size_t used = 0;
    for (int level = 0; level < LUC_CPU_LEVELS && used < size; level++) {
        const char *before = level == 0 ? "" : level < LUC_CPU_LEVELS - 1 ? ", " : " or ";
        used += (size_t)snprintf(text + used, size - used, "%s%s", before, levels[level].name);
    }
}

/* The level to begin with, by LUCID_CPU. */
static void set_first_level(void)
{
    bool known;
    const char *cap = getenv("LUCID_CPU");
    const luc_cpu_level level = luc_cpu_capped(cap, &known);
    if (!known) {
        char names[160];
        list_levels(names, sizeof names);
        fprintf(stderr, "lucid: LUCID_CPU=%.40s is ignored: expected %s; %s is used\n", cap, names,
                luc_cpu_level_name(level));
    }
    int unset = -1; /* luc_cpu_force may have come first */
    atomic_compare_exchange_strong(&current_level, &unset, (int)level);
}

luc_cpu_level luc_cpu_current(void)
{
    if (luc_call_settings.fixed) return (luc_cpu_level)luc_call_settings.level;
    int level = atomic_load_explicit(&current_level, memory_order_relaxed);
    if (level < 0) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        pthread_once(&once, set_first_level);
        level = atomic_load_explicit(&current_level, memory_order_relaxed);
    }
    return (luc_cpu_level)level;
}

bool luc_cpu_force(luc_cpu_level level)
{
    if ((int)level < 0 || level > luc_cpu_best() || !is_built((int)level)) return false;
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
    return true;
}

const char *luc_cpu_level_name(luc_cpu_level level)
{
    return levels[level].name;
}

/* ---- tables ---------------------------------------------------------------------------------- */

/* What the build's levels of few functions override, by level. */
static const luc_override *overrides_of(luc_cpu_level level)
{
#define DECLARE(unused, ID, name) extern const luc_override luc_overrides_##name[];
    LUC_PARTIAL_LEVELS(DECLARE, )
#undef DECLARE
    static const luc_override none[] = {LUC_NO_OVERRIDE};
#define ENTRY(unused, ID, name) [LUC_CPU_##ID] = luc_overrides_##name,
    static const luc_override *const lists[LUC_CPU_LEVELS] = {[LUC_CPU_GENERIC] = none,
                                                              LUC_PARTIAL_LEVELS(ENTRY, )};
#undef ENTRY
    return lists[level] ? lists[level] : none;
}

/* What the level itself has for a family, or NULL. */
static const void *own_table(const luc_level_tables *tables, luc_cpu_level level)
{
    if (tables->own[level]) return tables->own[level];
    for (const luc_override *o = overrides_of(level); o->tables; o++)
        if (o->tables == tables) return o->table;
    return NULL;
}

/* `upper` with the entries of `lower` where it has none; `upper` itself if nothing is missing. A
 * table's entries are pointers or have their size together (two numbers are both given). */
static const void *completed(const void *upper, const void *lower, size_t size)
{
    const size_t entries = size / sizeof(uintptr_t);
    uintptr_t *both = malloc(size);
    if (!both) return NULL;
    memcpy(both, upper, size);
    bool missing = false;
    for (size_t i = 0; i < entries; i++) {
        uintptr_t below;
        memcpy(&below, (const char *)lower + i * sizeof below, sizeof below);
        if (both[i] || !below) continue;
        both[i] = below;
        missing = true;
    }
    if (missing) return both;
    free(both);
    return upper;
}

const void *luc_level_table_complete(luc_level_tables *tables, luc_cpu_level level)
{
    luc_lock(LUC_LOCK_LEVELS);
    const void *used = NULL;
    for (int at = 0; at <= (int)level; at++) {
        const void *below = used, *own = own_table(tables, (luc_cpu_level)at);
        used = atomic_load_explicit(&tables->used[at], memory_order_relaxed);
        if (used) continue;
        used = !own ? below : !below ? own : completed(own, below, tables->size);
        if (!used) used = below; /* no memory: the level below computes the same */
        atomic_store_explicit(&tables->used[at], used, memory_order_release);
    }
    luc_unlock(LUC_LOCK_LEVELS);
    return used;
}

/* ---- caches ---------------------------------------------------------------------------------- */

static size_t cache_bytes(int name, size_t guess)
{
    long bytes = name >= 0 ? sysconf(name) : 0;
    return bytes > 0 ? (size_t)bytes : guess;
}

size_t luc_cpu_l1d_bytes(void)
{
#ifdef _SC_LEVEL1_DCACHE_SIZE
    return cache_bytes(_SC_LEVEL1_DCACHE_SIZE, 32 << 10);
#else
    return cache_bytes(-1, 32 << 10);
#endif
}

size_t luc_cpu_l2_bytes(void)
{
#ifdef _SC_LEVEL2_CACHE_SIZE
    return cache_bytes(_SC_LEVEL2_CACHE_SIZE, 512 << 10);
#else
    return cache_bytes(-1, 512 << 10);
#endif
}
