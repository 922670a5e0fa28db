/* dangling_priv.h: tensors that are used after their end.
 *
 * A tensor's memory is soon another tensor's: a pointer that outlived its scope, or the loader's
 * next batch, would silently read that one. Every function that is given a tensor looks at its
 * reference count: 0 or less means that it ended. While luc_debug_tensors is set, the memory of
 * tensors that ended is not used again before LUC_QUARANTINE others of the thread have ended, and
 * remembers how it came to its end: then a message can say so. */
#ifndef LUCID_DANGLING_PRIV_H
#define LUCID_DANGLING_PRIV_H

#include "lucid/tensor_priv.h"

enum { LUC_QUARANTINE = 16384 };

/* Set at load: LUCID_DEBUG_TENSORS=1 or 0, else whether assertions are compiled in. */
extern bool luc_debug_tensors;

/* From now on tensors of this thread end in this way. Returns the way before, to be set again. */
luc_end luc_ending(luc_end end);

/* Keeps the memory of a tensor that ended; false: it is the caller's to free. */
bool luc_quarantine(lucid_tensor *t);
/* Frees what this thread keeps. */
void luc_quarantine_release(void);

/* A result that waits to be computed (autograd/defer.c), and memory that its computation will
 * write, has a count that is so much lower: the one comparison with 0 finds both kinds of tensors
 * that nobody may read as they are. */
enum { LUC_WAITS = INT32_MIN / 8 };
static inline bool luc_waits(int refs)
{
    return refs >= LUC_WAITS && refs < LUC_WAITS / 2;
}

/* Neither ended nor waiting. */
static inline bool luc_is_plain(const lucid_tensor *t)
{
    return __builtin_expect(atomic_load_explicit(&t->refs, memory_order_acquire) > 0, true);
}
/* Raises the error of an argument that has ended; returns false. */
bool luc_raise_ended(const lucid_tensor *t, const char *op, const char *argument);
/* For a tensor that is not plain. One that waits is computed, if `compute`. False after an error:
 * that one's, or that of a tensor that has ended. */
bool luc_look_closer(const lucid_tensor *t, const char *op, const char *argument, bool compute);
/* False, with that error, where t has ended. NULL is for the caller to judge: true. After this a
 * tensor has its values. */
static inline bool luc_is_living(const lucid_tensor *t, const char *op, const char *argument)
{
    return !t || luc_is_plain(t) || luc_look_closer(t, op, argument, true);
}
/* The same for those who read only dtype, sizes, strides and device, or hand t on: it may go on
 * waiting. */
static inline bool luc_is_there(const lucid_tensor *t, const char *op, const char *argument)
{
    return !t || luc_is_plain(t) || luc_look_closer(t, op, argument, false);
}

#endif
