/* scope.h: how long a tensor lives.
 *
 * The one rule: a tensor that you receive lives until the enclosing LUCID_SCOPE ends. To keep it
 * longer, give it to an owner (a module, an optimizer), take a reference with lucid_retain, or pass
 * it to the enclosing scope with lucid_scope_return. Never free what you did not retain.
 *
 * A tensor made while no scope is open belongs to the thread's root scope, which ends with
 * lucid_finish or with the thread. Scopes are thread-local and nest. */
#ifndef LUCID_SCOPE_H
#define LUCID_SCOPE_H

#include "api.h"
#include "options.h"

LUCID_BEGIN_DECLS

typedef struct lucid_tensor lucid_tensor;

/* Opens a scope and returns its depth (>= 1), to be given to lucid_scope_end. 0 on an error. The
 * second is what LUCID_SCOPE and the macro lucid_scope_begin() call: messages about tensors that
 * outlived the scope name the place. `file` is not copied. */
LUCID_API size_t lucid_scope_begin(void);
LUCID_API size_t lucid_scope_begin_at(const char *file, int line);
/* Ends the scope of that depth and every one inside it: releases what they hold. 0 does nothing. */
LUCID_API void lucid_scope_end(size_t depth);
/* Moves a tensor of the innermost scope to the scope around it, and returns it. A tensor that the
 * innermost scope does not hold is returned as it is. NULL gives NULL. */
LUCID_API lucid_tensor *lucid_scope_return(lucid_tensor *tensor);
/* How many tensors the open scopes of this thread hold. */
LUCID_API size_t lucid_scope_count(void);

/* A loop without a scope of its own keeps the tensors of all its iterations. So a warning goes to
 * stderr, once in a program, when a scope has received at least two tensors for each of 1,000 calls
 * of lucid_forward, lucid_backward or lucid_next that this thread made in it (100 calls, if tensors
 * took 1 GiB more in that time). False switches the warning off. Returns whether it was on; default
 * true. Thread-safe. */
LUCID_API bool lucid_set_scope_warning(bool enabled);

LUCID_API void lucid_scope_cleanup(size_t *depth);

#ifndef LUCID_BUILDING
#define lucid_scope_begin() lucid_scope_begin_at(__FILE__, __LINE__)
#endif

/* A declaration: from here to the closing brace, results live in this scope. return, break,
 * continue and goto out of the block are safe. */
#define LUCID_SCOPE                                                         \
    __attribute__((cleanup(lucid_scope_cleanup), unused)) size_t LUCID_CAT( \
        lucid_scope_, __COUNTER__) = lucid_scope_begin_at(__FILE__, __LINE__)

LUCID_END_DECLS
#endif
