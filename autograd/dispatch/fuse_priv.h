/* fuse_priv.h: results that wait to be computed, and operators that become one.
 *
 * Inside lucid_forward an application that may be the first part of a rule
 * (autograd/dispatch/fuse.c) is checked, gets its result's sizes and returns the result at once,
 * but without numbers: it waits. Where the next operator of the thread takes that result and a rule
 * joins the two, one operator does the work of both. If anything else reads the result, it is
 * computed first: its reference count says that it waits (core/dangling_priv.h). An application
 * that was joined to another one continues to wait, and is computed alone only if its result is
 * read. */
#ifndef LUCID_AUTOGRAD_DISPATCH_FUSE_PRIV_H
#define LUCID_AUTOGRAD_DISPATCH_FUSE_PRIV_H

#include "autograd/op.h"
#include "lucid/core/tensor_priv.h"

/* ---- for the callers ------------------------------------------------------------------------- */

typedef enum luc_fused {
    LUC_NOT_FUSED, /* the caller applies the operator */
    LUC_FUSED,     /* done: the result waits */
    LUC_FUSE_ERROR /* an error was raised */
} luc_fused;

/* If luc_fusing is set: joins the application to the one that waits, or lets it wait itself.
 * `first`: the caller takes output 0 only. */
luc_fused luc_fuse_apply(const lucid_op *op, lucid_tensor *const *inputs, int n, const void *attrs,
                         lucid_tensor **outputs, bool first);
/* The same in place. */
luc_fused luc_fuse_inplace(const lucid_op *op, lucid_tensor *const *inputs, int n,
                           const void *attrs);

/* Around lucid_forward. What waits when the outermost one ends is computed; false after an
 * error. */
void luc_fuse_enter(void);
bool luc_fuse_leave(void);

/* Between these two, new applications do not wait: operators inside the library, backward. */
typedef struct luc_fuse_pause {
    int depth;
    bool fusing;
} luc_fuse_pause;
luc_fuse_pause luc_fuse_pause_begin(void);
void luc_fuse_pause_end(luc_fuse_pause pause);

/* Forgets what waits in this thread, which ends. */
void luc_fuse_end_thread(void);

/* ---- between defer.c and fuse.c -------------------------------------------------------------- */

enum { LUC_WAITING_INPUTS = 8, LUC_WAITING_ATTRS = 128 };

/* An application: what a rule makes of two. */
typedef struct luc_joined {
    const lucid_op *op;
    lucid_tensor *in[LUC_WAITING_INPUTS];
    int n;
    _Alignas(16) char attrs[LUC_WAITING_ATTRS];
} luc_joined;

/* An application that waits, or waited. */
typedef struct luc_deferred {
    atomic_int refs;      /* of the tensor and of the thread's list */
    int state;            /* under LUC_LOCK_DEFERRED */
    const void *runner;   /* which thread computes it */
    unsigned fork_depth;  /* luc_fork_depth of that thread's process */
    lucid_tensor *tensor; /* what it makes; not owned */
    lucid_call call;      /* with .in and .attrs of its own: */
    luc_joined what;      /* owns the inputs */
    uint64_t version[LUC_WAITING_INPUTS];
    uint32_t writes; /* bit i: input i is marked, for the computation will change it */
    bool grad_off;   /* the modes when it was applied */
    lucid_dtype autocast;
    char *module; /* while profiling or looking for anomalies: the module's path */
    struct luc_deferred *next;
} luc_deferred;

/* The last application of this thread, while it waits and may be joined. */
luc_deferred *luc_deferred_last(void);
/* Lets an application wait and makes it the last one. Its result is a new tensor, or that of `from`
 * if `inplace`; the marks of what it writes are taken over from `from`, which may be NULL. `like`
 * says what its result must look like, if it is not NULL. LUC_NOT_FUSED: it cannot wait, and
 * nothing has happened. */
luc_fused luc_defer(const luc_joined *what, luc_deferred *from, bool inplace,
                    const lucid_meta *like, lucid_tensor **result);
/* Between these two no other thread computes d, and this thread uses what waits in it as it is.
 * Returns false if it was computed already. */
bool luc_deferred_hold(luc_deferred *d);
void luc_deferred_free_hold(luc_deferred *d);
/* Computes the last application, if it waits, so that none waits to be joined. Returns false after
 * an error. */
bool luc_deferred_settle(void);
/* Computes d, which is held, and frees the hold; output i > 0 is extra[i], in the current scope. */
bool luc_deferred_compute(luc_deferred *d, lucid_tensor **extra);
/* The application without what it changes besides its result: in fuse.c. */
void luc_leave_inputs_alone(luc_deferred *d);

#endif
