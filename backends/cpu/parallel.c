/* parallel.c: fork-join with fixed blocks and a little work stealing. */
#include "backends/cpu/parallel.h"

#include <omp.h>
#include <stdatomic.h>

static atomic_int wanted_threads;      /* 0: the default */
static _Thread_local int inside_block; /* this thread is running a block */

int luc_num_threads(void)
{
    int n = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (n > 0) return n;
    /* Asked once: within a parallel region OpenMP would answer otherwise. */
    static atomic_int standard;
    n = atomic_load_explicit(&standard, memory_order_relaxed);
    if (n == 0) {
        n = omp_get_max_threads();
        n = n < 1 ? 1 : n > LUC_MAX_THREADS ? LUC_MAX_THREADS : n;
        atomic_store_explicit(&standard, n, memory_order_relaxed);
    }
    return n;
}

void luc_set_num_threads(int n)
{
    n = n < 1 ? 0 : n > LUC_MAX_THREADS ? LUC_MAX_THREADS : n;
    atomic_store_explicit(&wanted_threads, n, memory_order_relaxed);
}

/* A thread's own share of the blocks; others may take from it when they have none left. */
typedef struct {
    _Alignas(64) atomic_llong next;
    int64_t end;
} share;

static void run_share(share *s, int64_t n, int64_t grain, luc_parallel_fn fn, void *ctx, int thread)
{
    for (;;) {
        int64_t block = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
        if (block >= s->end) return;
        int64_t begin = block * grain, end = n - begin > grain ? begin + grain : n;
        fn(ctx, begin, end, thread);
    }
}

static void run_here(int64_t n, int64_t grain, luc_parallel_fn fn, void *ctx)
{
    for (int64_t begin = 0; begin < n; begin += grain)
        fn(ctx, begin, n - begin > grain ? begin + grain : n, 0);
}

static void fork_join(int64_t n, int64_t grain, int threads, int64_t blocks, luc_parallel_fn fn,
                      void *ctx)
{
    share shares[LUC_MAX_THREADS];
    for (int t = 0; t < threads; t++) {
        atomic_init(&shares[t].next, blocks * t / threads);
        shares[t].end = blocks * (t + 1) / threads;
    }
#pragma omp parallel num_threads(threads)
    {
        int me = omp_get_thread_num();
        inside_block = 1;
        for (int i = 0; i < threads; i++)
            run_share(&shares[(me + i) % threads], n, grain, fn, ctx, me);
        inside_block = 0;
    }
}

void luc_parallel_for_max(int64_t n, int64_t grain, int max_threads, luc_parallel_fn fn, void *ctx)
{
    if (grain < 1) grain = 1;
    int64_t blocks = luc_parallel_blocks(n, grain);
    int threads = luc_num_threads();
    if (threads > max_threads) threads = max_threads;
    if (threads > blocks) threads = (int)blocks;
    if (threads <= 1 || inside_block || omp_in_parallel()) {
        run_here(n, grain, fn, ctx);
        return;
    }
    fork_join(n, grain, threads, blocks, fn, ctx);
}

void luc_parallel_for(int64_t n, int64_t grain, luc_parallel_fn fn, void *ctx)
{
    luc_parallel_for_max(n, grain, LUC_MAX_THREADS, fn, ctx);
}
