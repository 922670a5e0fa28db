/* machine.c: multiply-adds in registers, and copies with streaming stores. */
#include "machine.h"
#include "bench.h"

#include <omp.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { SAMPLES = 20, ROUNDS = 100000, CHAINS = 10 };
static const size_t copy_bytes = (size_t)256 << 20;

/* ---- arithmetic ------------------------------------------------------------------------------ */

#if defined(__x86_64__)
/* Ten chains hide the latency of the units: four or five cycles, two of them. They have names, for
 * an array would lie in memory unless the compiler unrolls the loop over it, and begin with numbers
 * of their own, for equal ones would be computed once. Returns the multiply-adds. */
#define REGISTERS(name, isa, type, width, set, fma, store)                    \
    __attribute__((target(isa))) static double name(float *sink)              \
    {                                                                         \
        type x = set(0.999f), y = set(0.001f);                                \
        type s0 = set(0), s1 = set(1), s2 = set(2), s3 = set(3), s4 = set(4); \
        type s5 = set(5), s6 = set(6), s7 = set(7), s8 = set(8), s9 = set(9); \
        for (int i = 0; i < ROUNDS; i++) {                                    \
            s0 = fma(s0, x, y), s1 = fma(s1, x, y);                           \
            s2 = fma(s2, x, y), s3 = fma(s3, x, y);                           \
            s4 = fma(s4, x, y), s5 = fma(s5, x, y);                           \
            s6 = fma(s6, x, y), s7 = fma(s7, x, y);                           \
            s8 = fma(s8, x, y), s9 = fma(s9, x, y);                           \
        }                                                                     \
        const type all[CHAINS] = {s0, s1, s2, s3, s4, s5, s6, s7, s8, s9};    \
        for (int k = 0; k < CHAINS; k++) store(sink + k * (width), all[k]);   \
        return (double)ROUNDS * CHAINS * (width);                             \
    }
REGISTERS(multiply_avx512, "avx512f", __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_storeu_ps)
REGISTERS(multiply_avx2, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_storeu_ps)

static double multiply(float *sink)
{
    if (__builtin_cpu_supports("avx512f")) return multiply_avx512(sink);
    if (__builtin_cpu_supports("fma")) return multiply_avx2(sink);
    return 0;
}

static void stream(float *to, const float *from, size_t n)
{
    for (size_t i = 0; i + 4 <= n; i += 4) _mm_stream_ps(to + i, _mm_load_ps(from + i));
    _mm_sfence();
}
#else
static double multiply(float *sink)
{
    *sink = 0;
    return 0; /* no measurement for this kind of CPU */
}

static void stream(float *to, const float *from, size_t n)
{
    memcpy(to, from, n * sizeof *to);
}
#endif

static double measure_flops(int threads)
{
    double best = 0;
    for (int i = 0; i < 10 * SAMPLES; i++) { /* each is less than a millisecond */
        double done = 0, start = bench_now();
#pragma omp parallel num_threads(threads) reduction(+ : done)
        {
            float sink[16 * CHAINS];
            done += multiply(sink);
            *(volatile float *)sink = sink[1]; /* the work is not to be left out */
        }
        double rate = 2 * done / (bench_now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static double measure_bytes(int threads)
{
    float *from = aligned_alloc(64, copy_bytes), *to = aligned_alloc(64, copy_bytes);
    double best = 0;
    for (int i = 0; from && to && i < SAMPLES; i++) {
        double start = bench_now();
#pragma omp parallel num_threads(threads)
        {
            const size_t n =
                copy_bytes / sizeof *from / (size_t)omp_get_num_threads() & ~(size_t)15;
            const size_t at = n * (size_t)omp_get_thread_num();
            if (i == 0) memset(from + at, 1, n * sizeof *from); /* pages of its own */
            stream(to + at, from + at, n);
        }
        double rate = 2 * (double)copy_bytes / (bench_now() - start);
        if (rate > best) best = rate;
    }
    free(from);
    free(to);
    return best;
}

machine machine_measure(int threads)
{
    return (machine){measure_flops(threads), measure_bytes(threads)};
}
