/* bench.h: timing for the programs of this folder. A row is one measured thing; its arguments are
 * the words that a row's name must hold one of (no argument: every row). */
#ifndef TESTS_BENCH_H
#define TESTS_BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BENCH_SAMPLES 11

typedef void (*bench_function)(void *context);

/* CLOCK_THREAD_CPUTIME_ID for work of one thread on a machine that others use as well. */
static clockid_t bench_clock = CLOCK_MONOTONIC;

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(bench_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double bench_sample(bench_function run, void *context, long calls)
{
    double start = bench_now();
    for (long i = 0; i < calls; i++) run(context);
    return (bench_now() - start) / (double)calls;
}

/* Seconds a call: the median of 11 samples, each long enough (5 ms) for the clock. */
static inline double bench_time(bench_function run, void *context)
{
    double samples[BENCH_SAMPLES];
    double once = bench_sample(run, context, 1);
    long calls = 1;
    while (once * (double)calls < 5e-3) {
        calls *= 2;
        once = bench_sample(run, context, calls);
    }
    for (int i = 0; i < BENCH_SAMPLES; i++) samples[i] = bench_sample(run, context, calls);
    qsort(samples, BENCH_SAMPLES, sizeof samples[0], bench_compare);
    return samples[BENCH_SAMPLES / 2];
}

/* Seconds a call of two rivals, sampled in turns: a machine that slows down hits both alike. */
static inline void bench_time_pair(bench_function a, void *context_a, bench_function b,
                                   void *context_b, double *seconds_a, double *seconds_b)
{
    double samples_a[BENCH_SAMPLES], samples_b[BENCH_SAMPLES];
    a(context_a);
    b(context_b);
    double once_a = bench_sample(a, context_a, 1), once_b = bench_sample(b, context_b, 1);
    long calls_a = once_a < 5e-3 ? (long)(5e-3 / (once_a + 1e-9)) + 1 : 1;
    long calls_b = once_b < 5e-3 ? (long)(5e-3 / (once_b + 1e-9)) + 1 : 1;
    for (int i = 0; i < BENCH_SAMPLES; i++) {
        samples_a[i] = bench_sample(a, context_a, calls_a);
        samples_b[i] = bench_sample(b, context_b, calls_b);
    }
    qsort(samples_a, BENCH_SAMPLES, sizeof samples_a[0], bench_compare);
    qsort(samples_b, BENCH_SAMPLES, sizeof samples_b[0], bench_compare);
    *seconds_a = samples_a[BENCH_SAMPLES / 2];
    *seconds_b = samples_b[BENCH_SAMPLES / 2];
}

static inline bool bench_wanted(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++) {
        if (strstr(name, argv[i])) return true;
    }
    return argc < 2;
}

/* Prints "name  time  rate unit"; `work` is what one call does, in units (0: no rate). */
static inline void bench_row(const char *name, double seconds, double work, const char *unit)
{
    if (seconds < 1e-6)
        printf("%-44s %9.1f ns", name, 1e9 * seconds);
    else if (seconds < 1e-3)
        printf("%-44s %9.2f us", name, 1e6 * seconds);
    else
        printf("%-44s %9.3f ms", name, 1e3 * seconds);
    if (work > 0) printf("  %9.2f %s", work / seconds, unit);
    printf("\n");
    fflush(stdout);
}

#endif
