/* dangling_priv.h: tensors that are used after their end.
 *
 * A tensor's memory is soon another tensor's: a pointer that outlived its scope, or the loader's
 * next batch, would silently read that one. Every function that is given a tensor looks at its
 * reference count: 0 or less means that it ended. While luc_debug_tensors is set, the memory of
 * tensors that ended is not used again before LUC_QUARANTINE others of the thread have ended, and
 * remembers how it came to its end: then a message can say so. */
#ifndef LUCID_DANGLING_PRIV_H
#define LUCID_DANGLING_PRIV_H

#include "lucid/core/tensor_priv.h"

enum { LUC_QUARANTINE = 16384 };

/* Set at load: LUCID_DEBUG_TENSORS=1 or 0, else whether assertions are compiled in. */
extern bool luc_debug_tensors;

/* Sets how tensors of this thread end from now on. Returns the former value, to be set again. */
luc_end luc_ending(luc_end end);

/* Keeps the memory of a tensor that ended. Returns false if the caller must free it. */
bool luc_quarantine(lucid_tensor *t);
/* Frees what this thread keeps. */
void luc_quarantine_release(void);

/* A result that waits to be computed (autograd/dispatch/defer.c), and memory that its
 * computation will write, has a count that is so much lower: the one comparison with 0 finds
 * both kinds of tensors that nobody may read as they are. */
enum { LUC_WAITS = INT32_MIN / 8 };
static inline bool luc_waits(int refs)
{
    return refs >= LUC_WAITS && refs < LUC_WAITS / 2;
}

/* Whether the tensor has neither ended nor waits. */
static inline bool luc_is_plain(const lucid_tensor *t)
{
    return __builtin_expect(atomic_load_explicit(&t->refs, memory_order_acquire) > 0, true);
}
/* Raises the error of an argument that has ended; returns false. */
bool luc_raise_ended(const lucid_tensor *t, const char *op, const char *argument);
/* For a tensor that has ended or waits. One that waits is computed, if `compute` is set. Returns
 * false after an error, which is that of computing it, or of using a tensor that has ended. */
bool luc_look_closer(const lucid_tensor *t, const char *op, const char *argument, bool compute);
/* Returns false, with that error, if t has ended. Otherwise t has its values afterwards. NULL gives
 * true: the caller decides what it means. */
static inline bool luc_is_living(const lucid_tensor *t, const char *op, const char *argument)
{
    return !t || luc_is_plain(t) || luc_look_closer(t, op, argument, true);
}
/* The same for callers that read only dtype, sizes, strides and device, or pass t on: it may
 * continue to wait. */
static inline bool luc_is_there(const lucid_tensor *t, const char *op, const char *argument)
{
    return !t || luc_is_plain(t) || luc_look_closer(t, op, argument, false);
}

#endif
