/*
 * parallel.h: fork and join on one pool of threads.
 *
 * Work is cut into blocks that depend on n and grain alone, never on the number of threads, and
 * the function is called once for each block. So if a block computes the same on any thread, the
 * kernel gives the same bits with any number of threads. A reduction over blocks keeps
 * one partial result per block (luc_parallel_blocks of them) and adds them in block order.
 */
#ifndef LUC_PARALLEL_H
#define LUC_PARALLEL_H

#include <stdint.h>

/* One block [begin, end), end - begin <= grain. thread is in [0, luc_num_threads()): two blocks
   that run at the same time have different ones, so thread can be an index into scratch memory. */
typedef void (*luc_parallel_fn)(void *ctx, int64_t begin, int64_t end, int thread);

/* Runs fn over [0, n) in blocks of grain (the last may be shorter; grain < 1 counts as 1) and
   returns when all are done. Helpers compute in the floating-point mode of the caller. A thread
   takes neighbouring blocks, in order; one that has finished takes over blocks of another. One
   block, one thread, or a call from inside a block: runs here, without a fork, with thread 0 (so a
   nested call needs scratch memory of its own). */
void luc_parallel_for(int64_t n, int64_t grain, luc_parallel_fn fn, void *ctx);

/* The same on at most max_threads threads: for kernels whose scratch memory holds that many. */
void luc_parallel_for_max(int64_t n, int64_t grain, int max_threads, luc_parallel_fn fn, void *ctx);

/* How many blocks luc_parallel_for makes. */
static inline int64_t luc_parallel_blocks(int64_t n, int64_t grain)
{
    if (grain < 1) grain = 1;
    return n <= 0 ? 0 : (n - 1) / grain + 1;
}

/* Threads that luc_parallel_for uses: what was set, else the default (default_threads.h). Within a
   call of a kernel, and inside a block, it does not change (settings.h). */
int luc_num_threads(void);

/* From now on use n threads (n < 1: back to the default), at most LUC_MAX_THREADS. */
void luc_set_num_threads(int n);

enum { LUC_MAX_THREADS = 256 };

#endif
