/* lock_priv.h: every lock of the library, in one table, so that fork finds all of them free.
 *
 * A child of fork has only the thread that called it. A lock that another thread held at that
 * moment would stay taken in the child forever. So one handler takes all locks of this table
 * before a fork, in their order, and gives them back after it, in the parent and in the child. No
 * file uses a mutex of its own: tests/house/test_locks.sh reads the sources. */
#ifndef LUCID_LOCK_PRIV_H
#define LUCID_LOCK_PRIV_H

#include <stdbool.h>
#include <stdint.h>

/* In the order in which a thread may take them: one that holds a lock takes only later ones. */
typedef enum luc_lock_id {
    LUC_LOCK_LEAVES, /* 16 locks for the gradients of leaves, by the leaf's address */
    LUC_LOCK_LEAVES_END = LUC_LOCK_LEAVES + 15,
    LUC_LOCK_VIEWS,    /* the history of views */
    LUC_LOCK_HOOKS,    /* lists of hooks */
    LUC_LOCK_BACKENDS, /* the table of backends and the switches */
    LUC_LOCK_THREADS,  /* the pool of the CPU's kernels, during a job */
    LUC_LOCK_PROFILER, /* the profiler's record */
    LUC_LOCK_PRINT,    /* how tensors are printed */
    LUC_LOCK_RANDOM,   /* the default generator */
    LUC_LOCK_DEFERRED, /* what waits to be computed */
    LUC_LOCK_OPENBLAS, /* OpenBLAS's number of threads, while products use it */
    LUC_LOCK_CACHE,    /* freed blocks of tensor data */
    LUC_LOCK_LIVE,     /* the list of the threads' counts */
    LUC_LOCK_HANDLER,  /* the error handler */
    LUC_LOCK_LEVELS,   /* completing the tables of a CPU level */
    LUC_LOCKS
} luc_lock_id;

void luc_lock(luc_lock_id id);
bool luc_lock_try(luc_lock_id id); /* false, at once, while anyone has it */
void luc_unlock(luc_lock_id id);
bool luc_lock_is_held(luc_lock_id id); /* by this thread: for assertions */

/* Locks that are held for a few instructions only, chosen by the address of what they guard. Two
 * objects may share a lock, so a thread holds at most one lock of a kind, and takes no other lock
 * meanwhile. */
typedef enum luc_spin_kind { LUC_SPIN_NODE, LUC_SPIN_STORAGE, LUC_SPIN_KINDS } luc_spin_kind;
void luc_spin_lock(luc_spin_kind kind, const void *guarded);
void luc_spin_unlock(luc_spin_kind kind, const void *guarded);

/* Lets fn be called in every later child of a fork, while all locks are held, to forget the threads
 * that the child does not have. Further calls with the same fn do nothing. */
void luc_in_forked_child(void (*fn)(void));
/* The number of forks between the first process and this one. An object that has its own threads
 * remembers the number when it starts them; if the number is different later, they do not exist in
 * this process. */
unsigned luc_fork_depth(void);

#endif
