/* levels.c: which CPU level is used. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/settings.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* The register file that the operating system saves on a task switch. */
static uint64_t read_xcr0(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static luc_cpu_level detect(void)
{
    enum { OSXSAVE = 1 << 27, AVX = 1 << 28, FMA = 1 << 12, F16C = 1 << 29 }; /* leaf 1 ecx */
    const unsigned avx2 = 1u << 5;                                            /* leaf 7 ebx */
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;        /* F, DQ, BW, VL */
    const uint64_t ymm_state = 0x6, zmm_state = 0xe6;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return LUC_CPU_GENERIC;
    const unsigned need = (unsigned)OSXSAVE | AVX | FMA | F16C;
    if ((c & need) != need || (read_xcr0() & ymm_state) != ymm_state) return LUC_CPU_GENERIC;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & avx2)) return LUC_CPU_GENERIC;
    if ((b & avx512) != avx512 || (read_xcr0() & zmm_state) != zmm_state) return LUC_CPU_AVX2;
    return LUC_CPU_AVX512;
}
#else
static luc_cpu_level detect(void)
{
    return LUC_CPU_GENERIC;
}
#endif

/* Levels that this build holds. */
static luc_cpu_level built(void)
{
#if defined(LUC_HAVE_LEVEL_AVX512)
    return LUC_CPU_AVX512;
#elif defined(LUC_HAVE_LEVEL_AVX2)
    return LUC_CPU_AVX2;
#else
    return LUC_CPU_GENERIC;
#endif
}

static atomic_int best_level = -1;
static atomic_int current_level = -1;

luc_cpu_level luc_cpu_best(void)
{
    int level = atomic_load_explicit(&best_level, memory_order_relaxed);
    if (level < 0) {
        luc_cpu_level cpu = detect(), build = built();
        level = cpu < build ? (int)cpu : (int)build;
        atomic_store_explicit(&best_level, level, memory_order_relaxed);
    }
    return (luc_cpu_level)level;
}

luc_cpu_level luc_cpu_capped(const char *cap, bool *known)
{
    const luc_cpu_level best = luc_cpu_best();
    *known = true;
    if (!cap || !*cap) return best;
    for (int level = LUC_CPU_GENERIC; level <= (int)LUC_CPU_AVX512; level++)
        if (strcasecmp(cap, luc_cpu_level_name((luc_cpu_level)level)) == 0)
            return level < (int)best ? (luc_cpu_level)level : best;
    *known = false;
    return best;
}

/* The level to begin with, by LUCID_CPU. */
static void set_first_level(void)
{
    bool known;
    const char *cap = getenv("LUCID_CPU");
    const luc_cpu_level level = luc_cpu_capped(cap, &known);
    if (!known)
        fprintf(stderr,
                "lucid: LUCID_CPU=%.40s is ignored: expected generic, avx2 or avx512; %s is used\n",
                cap, luc_cpu_level_name(level));
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
    if ((int)level < 0 || level > luc_cpu_best()) return false;
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
    return true;
}

const char *luc_cpu_level_name(luc_cpu_level level)
{
    static const char *const names[] = {"generic", "avx2", "avx512"};
    return names[level];
}

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
