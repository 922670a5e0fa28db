/* dangling.c: the quarantine of tensors that have ended, and the error when one is used. */
#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef NDEBUG
bool luc_debug_tensors;
#else
bool luc_debug_tensors = true;
#endif

/* The reference count of a tensor in quarantine: far from 0, so that a stray retain or release does
 * not bring it to life. */
enum { ENDED = INT32_MIN / 2 };

static __thread luc_end ending;
static __thread struct {
    lucid_tensor **kept; /* a ring: the oldest is at `next` */
    size_t next;
} ring;
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

__attribute__((constructor)) static void read_environment(void)
{
    const char *text = getenv("LUCID_DEBUG_TENSORS");
    if (!text || !*text) return;
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        fprintf(stderr, "lucid: LUCID_DEBUG_TENSORS: expected 0 or 1, got \"%s\"\n", text);
    else
        luc_debug_tensors = *text == '1';
}

luc_end luc_ending(luc_end end)
{
    const luc_end before = ending;
    ending = end;
    return before;
}

/* ---- quarantine ------------------------------------------------------------------------------ */

static void free_kept(lucid_tensor *t)
{
    if (!t) return;
    luc_free(t->name);
    atomic_store_explicit(&t->refs, 0, memory_order_relaxed);
    luc_pool_free(t, sizeof *t);
}

void luc_quarantine_release(void)
{
    for (size_t i = 0; ring.kept && i < LUC_QUARANTINE; i++) free_kept(ring.kept[i]);
    free(ring.kept);
    ring.kept = NULL;
    ring.next = 0;
}

static void at_thread_end(void *unused)
{
    (void)unused;
    luc_quarantine_release();
}

static void make_key(void)
{
    pthread_key_create(&thread_end, at_thread_end);
}

/* The ring is allocated with calloc directly, because it must not count as an allocation of the
 * library. */
static bool make_ring(void)
{
    pthread_once(&once, make_key);
    ring.kept = calloc(LUC_QUARANTINE, sizeof *ring.kept);
    if (ring.kept && pthread_setspecific(thread_end, &ring) == 0) return true;
    free(ring.kept);
    ring.kept = NULL;
    return false;
}

bool luc_quarantine(lucid_tensor *t)
{
    /* Code reads these fields of a tensor before it checks whether the tensor has ended. */
    static _Alignas(64) char nothing[64];
    assert(atomic_load(&t->refs) == 0);
    static luc_storage empty = {.data = nothing, .size = sizeof nothing, .refs = 1};
    if (luc_alloc_is_watched() || (!ring.kept && !make_ring())) return false;
    t->storage = &empty;
    t->view.data = nothing;
    t->requires_grad = t->retains_grad = t->no_grad_view = false;
    t->grad_fn = NULL;
    t->grad = NULL;
    t->extra = NULL;
    t->end = ending;
    atomic_store_explicit(&t->refs, ENDED, memory_order_relaxed);
    assert(ring.next < LUC_QUARANTINE);
    free_kept(ring.kept[ring.next]);
    ring.kept[ring.next] = t;
    ring.next = (ring.next + 1) % LUC_QUARANTINE;
    return true;
}

/* ---- the error ------------------------------------------------------------------------------- */

/* Describes for the message how the tensor ended, and what to do. */
static void describe(const luc_end *end, char *text, size_t size, const char **advice)
{
    *advice = "keep it with lucid_retain, or pass it out with lucid_scope_return";
    switch (end->how) {
    case LUC_END_SCOPE:
        snprintf(text, size, "with the scope that began at %s:%d", end->file, end->line);
        break;
    case LUC_END_FUNCTION:
        snprintf(text, size, "inside %s", end->file ? end->file : "a function of the library");
        break;
    case LUC_END_ROOT:
        snprintf(text, size, "with lucid_finish or with its thread");
        break;
    case LUC_END_BATCH:
        snprintf(text, size, "as a batch does: with the loader's next lucid_next, reset or end");
        *advice = "keep it with lucid_retain";
        break;
    default:
        snprintf(text, size, "with its last reference, by lucid_release or with its owner");
        *advice = "take a reference of your own with lucid_retain";
    }
}

bool luc_look_closer(const lucid_tensor *t, const char *op, const char *argument, bool compute)
{
    const int refs = atomic_load_explicit(&t->refs, memory_order_relaxed);
    if (refs > 0) return true; /* another thread has just computed it */
    if (!luc_waits(refs)) return luc_raise_ended(t, op, argument);
    /* Computing its values is no change that others see. */
    return !compute || luc_tensor_autograd.compute((lucid_tensor *)(uintptr_t)t);
}

bool luc_raise_ended(const lucid_tensor *t, const char *op, const char *argument)
{
    const int refs = atomic_load_explicit(&t->refs, memory_order_relaxed);
    if (refs > ENDED / 2) /* it was not in quarantine: its other fields say nothing */
        return luc_raise(LUCID_ERR_STATE, op,
                         "%s: expected a living tensor, got one that ended before; the environment "
                         "variable LUCID_DEBUG_TENSORS=1 makes this message say where",
                         argument);
    char how[512];
    const char *advice;
    describe(&t->end, how, sizeof how, &advice);
    return luc_raise(LUCID_ERR_STATE, op,
                     "%s: expected a living tensor, got one%s%s%s (%s %s) that ended %s; %s",
                     argument, t->name ? " named \"" : "", t->name ? t->name : "",
                     t->name ? "\"" : "", lucid_dtype_name(t->view.dtype), luc_shape_text(t).s, how,
                     advice);
}
