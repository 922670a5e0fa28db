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

static inline bool luc_has_ended(const lucid_tensor *t)
{
    return __builtin_expect(atomic_load_explicit(&t->refs, memory_order_relaxed) <= 0, false);
}
/* Raises the error of an argument that has ended; returns false. */
bool luc_raise_ended(const lucid_tensor *t, const char *op, const char *argument);
/* False, with that error, where t has ended. NULL is for the caller to judge: true. */
static inline bool luc_is_living(const lucid_tensor *t, const char *op, const char *argument)
{
    return !t || !luc_has_ended(t) || luc_raise_ended(t, op, argument);
}

#endif
