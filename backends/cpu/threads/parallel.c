/* parallel.c: fork-join on a pool of its own, with fixed blocks and a little work stealing.
 *
 * OpenMP's join waits until every thread of the team has come, also a thread that found nothing to
 * do. On a machine with other work, each kernel then waits for the scheduler. Here a helper that
 * has not begun when all blocks are taken is no longer needed, and a caller on a busy machine goes
 * on as if it were alone. Idle helpers spin for a while, because the next kernel mostly comes
 * within microseconds, and then sleep. */
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/threads/default_threads.h"
#include "backends/cpu/settings.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/platform_priv.h"
#include "lucid/core/threads_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { SPIN_NS = 100 * 1000 }; /* how long an idle helper, or a caller at the join, spins */

static atomic_int wanted_threads;      /* 0: use the default */
static _Thread_local int inside_block; /* this thread is running a block */

static int standard_threads; /* the default, found when it is first asked for */
static pthread_once_t standard_once = PTHREAD_ONCE_INIT;

static void find_standard(void)
{
    standard_threads = luc_default_threads();
}

int luc_num_threads(void)
{
    if (luc_call_settings.fixed) return luc_call_settings.threads;
    int n = atomic_load_explicit(&wanted_threads, memory_order_relaxed);
    if (n > 0) return n;
    pthread_once(&standard_once, find_standard);
    return standard_threads;
}

void luc_set_num_threads(int n)
{
    n = n < 1 ? 0 : n > LUC_MAX_THREADS ? LUC_MAX_THREADS : n;
    atomic_store_explicit(&wanted_threads, n, memory_order_relaxed);
}

/* ---- the work ------------------------------------------------------------------------------- */

/* The blocks that belong to a thread. Other threads may take from them when they have none left. */
typedef struct {
    _Alignas(64) atomic_llong next;
    int64_t end;
} share;

/* The one job of the pool. Its fields do not change while a helper is RUNNING. */
static struct {
    int64_t n, grain;
    int threads;
    luc_parallel_fn fn;
    void *ctx;
    luc_settings settings; /* the settings of the caller, and its floating-point mode */
    luc_fp_mode fp_mode;
    share shares[LUC_MAX_THREADS];
} job;

static void run_share(share *s, int thread)
{
    for (;;) {
        int64_t block = atomic_fetch_add_explicit(&s->next, 1, memory_order_relaxed);
        if (block >= s->end) return;
        int64_t begin = block * job.grain;
        int64_t end = job.n - begin > job.grain ? begin + job.grain : job.n;
        job.fn(job.ctx, begin, end, thread);
    }
}

static void run_shares(int me)
{
    inside_block = 1;
    for (int i = 0; i < job.threads; i++) run_share(&job.shares[(me + i) % job.threads], me);
    inside_block = 0;
}

static void run_here(int64_t n, int64_t grain, luc_parallel_fn fn, void *ctx)
{
    for (int64_t begin = 0; begin < n; begin += grain)
        fn(ctx, begin, n - begin > grain ? begin + grain : n, 0);
}

/* ---- helpers -------------------------------------------------------------------------------- */

/* What a helper is doing. The caller turns IDLE or SLEEPING into ASKED; the helper turns ASKED into
 * RUNNING and, when it finds no more blocks, into IDLE. At the join the caller takes ASKED back to
 * IDLE, and waits for a helper that is RUNNING (AWAITED: asleep until it is done). */
enum { IDLE, SLEEPING, ASKED, RUNNING, AWAITED };

typedef struct {
    _Alignas(64) atomic_uint state;
} helper;

static helper helpers[LUC_MAX_THREADS]; /* helper 0 is not used: thread 0 is the caller */
static int n_helpers; /* guarded by LUC_LOCK_THREADS, which is held during a job */

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* Spins for a while, as long as *word has the value; returns the value that it has then. */
static unsigned spin_while(atomic_uint *word, unsigned value)
{
    int64_t end = 0;
    for (unsigned i = 1;; i++) {
        unsigned now = atomic_load_explicit(word, memory_order_acquire);
        if (now != value) return now;
        pause_cpu();
        if (i % 64 != 0) continue;
        int64_t t = now_ns();
        if (end == 0)
            end = t + SPIN_NS;
        else if (t >= end)
            return value;
    }
}

static void *helper_main(void *index)
{
    int me = (int)(intptr_t)index;
    atomic_uint *state = &helpers[me].state;
    for (;;) {
        unsigned now = spin_while(state, IDLE);
        if (now == IDLE) {
            if (atomic_compare_exchange_strong(state, &now, SLEEPING)) now = SLEEPING;
            while (now == SLEEPING) {
                luc_wait_while(state, SLEEPING);
                now = atomic_load(state);
            }
        }
        now = ASKED;
        if (!atomic_compare_exchange_strong(state, &now, RUNNING)) continue; /* taken back */
        /* A block gives the same bits and takes the same path in whatever thread it runs. */
        luc_call_settings = job.settings;
        luc_fp_mode_set(job.fp_mode);
        run_shares(me);
        if (atomic_exchange(state, IDLE) == AWAITED) luc_wake_one(state);
    }
    return NULL;
}

/* A forked child has none of the parent's threads. */
static void after_fork(void)
{
    n_helpers = 0;
    for (int i = 0; i < LUC_MAX_THREADS; i++) atomic_store(&helpers[i].state, IDLE);
}

/* Starts helpers until there are n, or fewer if the system gives fewer. Returns their number. */
static int start_helpers(int n)
{
    if (n_helpers < n) luc_in_forked_child(after_fork);
    while (n_helpers < n) {
        pthread_t thread;
        char name[16];
        snprintf(name, sizeof name, "lucid-pool-%d", (n_helpers + 1) % 1000);
        void *index = (void *)(intptr_t)(n_helpers + 1);
        if (luc_thread_start(&thread, name, helper_main, index) != 0) break;
        pthread_detach(thread);
        n_helpers++;
    }
    return n_helpers < n ? n_helpers : n;
}

static void ask(atomic_uint *state)
{
    if (atomic_exchange(state, ASKED) == SLEEPING) luc_wake_one(state);
}

static void join(atomic_uint *state)
{
    unsigned now = ASKED;
    if (atomic_compare_exchange_strong(state, &now, IDLE)) return; /* the helper was not needed */
    if (now == RUNNING) now = spin_while(state, RUNNING);
    if (now == RUNNING && atomic_compare_exchange_strong(state, &now, AWAITED))
        while (atomic_load(state) == AWAITED) luc_wait_while(state, AWAITED);
}

/* Under the pool's lock. */
static void fork_join(int64_t n, int64_t grain, int threads, int64_t blocks, luc_parallel_fn fn,
                      void *ctx)
{
    job.n = n;
    job.grain = grain;
    job.threads = threads;
    job.fn = fn;
    job.ctx = ctx;
    job.settings = luc_call_settings;
    job.fp_mode = luc_fp_mode_get();
    for (int t = 0; t < threads; t++) {
        atomic_store_explicit(&job.shares[t].next, blocks * t / threads, memory_order_relaxed);
        job.shares[t].end = blocks * (t + 1) / threads;
    }
    for (int t = 1; t < threads; t++) ask(&helpers[t].state);
    run_shares(0);
    for (int t = 1; t < threads; t++) join(&helpers[t].state);
}

void luc_parallel_for_max(int64_t n, int64_t grain, int max_threads, luc_parallel_fn fn, void *ctx)
{
    if (grain < 1) grain = 1;
    int64_t blocks = luc_parallel_blocks(n, grain);
    int threads = luc_num_threads();
    if (threads > max_threads) threads = max_threads;
    if (threads > blocks) threads = (int)blocks;
    /* While another thread of the program uses the pool, this one works alone. */
    if (threads <= 1 || inside_block || !luc_lock_try(LUC_LOCK_THREADS)) {
        run_here(n, grain, fn, ctx);
        return;
    }
    threads = 1 + start_helpers(threads - 1);
    fork_join(n, grain, threads, blocks, fn, ctx);
    luc_unlock(LUC_LOCK_THREADS);
}

void luc_parallel_for(int64_t n, int64_t grain, luc_parallel_fn fn, void *ctx)
{
    luc_parallel_for_max(n, grain, LUC_MAX_THREADS, fn, ctx);
}
