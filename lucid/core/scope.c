/* scope.c: the thread's stack of tensors that are released when their scope ends. */
#include "lucid/core/scope.h"
#include "lucid/core/dangling_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

typedef struct scope_mark {
    size_t begin;    /* where the scope's tensors begin */
    uint64_t serial; /* tells the thread's scopes apart; the root scope has 0 */
    const char *file;
    int line; /* 0: a scope inside the library, and `file` is the public function, or NULL */
} scope_mark;

typedef struct scope_stack {
    lucid_tensor **tensors; /* of all open scopes, outermost first */
    size_t count, capacity;
    scope_mark *marks; /* marks[i] is the scope of depth i + 1 */
    size_t depth, marks_capacity;
    uint64_t serial; /* of the scope that began last */
    bool registered; /* the thread's end is watched */
} scope_stack;

static __thread scope_stack stack __attribute__((tls_model("initial-exec")));
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Releases the tensors from `begin` on. `end` says how they ended. */
static void pop_to(scope_stack *s, size_t begin, luc_end end)
{
    assert(begin <= s->count && s->count <= s->capacity);
    if (s->count == begin) return;
    const luc_end before = luc_ending(end);
    while (s->count > begin) lucid_release(s->tensors[--s->count]);
    luc_ending(before);
}

static void stack_free(scope_stack *s)
{
    if (luc_tensor_autograd.end_thread) luc_tensor_autograd.end_thread();
    pop_to(s, 0, (luc_end){.how = LUC_END_ROOT});
    luc_free(s->tensors);
    luc_free(s->marks);
    memset(s, 0, sizeof *s); /* a later destructor that makes tensors registers it again */
}

static void at_thread_end(void *p)
{
    stack_free(p);
}

static void make_key(void)
{
    pthread_key_create(&thread_end, at_thread_end);
}

static void watch_thread_end(scope_stack *s)
{
    pthread_once(&once, make_key);
    pthread_setspecific(thread_end, s);
    s->registered = true;
}

/* Makes space for one more element. Returns false when memory is out. */
static bool grow(void **items, size_t *capacity, size_t count, size_t size)
{
    assert(count <= *capacity);
    if (count < *capacity) return true;
    size_t n = *capacity ? 2 * *capacity : 64;
    void *p = luc_realloc(*items, n * size, "scope");
    if (!p) return false;
    *items = p;
    *capacity = n;
    return true;
}

size_t lucid_scope_begin_at(const char *file, int line)
{
    scope_stack *s = &stack;
    if (!s->registered) watch_thread_end(s);
    if (!grow((void **)&s->marks, &s->marks_capacity, s->depth, sizeof *s->marks)) return 0;
    s->marks[s->depth++] = (scope_mark){s->count, ++s->serial, file, line};
    return s->depth;
}

size_t(lucid_scope_begin)(void)
{
    return lucid_scope_begin_at(NULL, 0);
}

void lucid_scope_end(size_t depth)
{
    scope_stack *s = &stack;
    if (depth == 0) return;
    while (s->depth >= depth) {
        const size_t innermost = s->depth;
        const scope_mark m = s->marks[innermost - 1];
        assert(innermost == 1 || s->marks[innermost - 2].begin <= m.begin);
        pop_to(s, m.begin, (luc_end){m.file, m.line, m.line ? LUC_END_SCOPE : LUC_END_FUNCTION});
        s->depth = innermost - 1;
    }
}

void lucid_scope_cleanup(size_t *depth)
{
    if (depth) lucid_scope_end(*depth);
}

lucid_tensor *lucid_scope_return(lucid_tensor *tensor)
{
    scope_stack *s = &stack;
    if (!luc_is_there(tensor, "scope_return", "tensor")) return NULL;
    if (!tensor || s->depth == 0) return tensor;
    size_t mark = s->marks[s->depth - 1].begin;
    assert(mark <= s->count);
    for (size_t i = s->count; i > mark; i--) {
        if (s->tensors[i - 1] != tensor) continue;
        /* Swap it to the scope's begin and let the scope begin after it. */
        s->tensors[i - 1] = s->tensors[mark];
        s->tensors[mark] = tensor;
        s->marks[s->depth - 1].begin++;
        return tensor;
    }
    return tensor;
}

size_t lucid_scope_count(void)
{
    return stack.count;
}

bool luc_scope_add(lucid_tensor *t)
{
    scope_stack *s = &stack;
    assert(t && t->storage);
    if (!s->registered) watch_thread_end(s);
    if (!grow((void **)&s->tensors, &s->capacity, s->count, sizeof *s->tensors)) {
        lucid_release(t);
        return false;
    }
    s->tensors[s->count++] = t;
    return true;
}

/* ---- a scope that is missing in a loop ------------------------------------------------------- */

enum {
    TURNS = 1000,
    LOOK_EVERY = 100,
    GROWTH = 2 /* tensors a turn */,
    MUCH = 1 << 30 /* bytes */
};

/* The tensors that one scope received since the first of some turns of a loop. */
typedef struct scope_watch {
    uint64_t serial;
    size_t turns, count, bytes;
} scope_watch;

static __thread scope_watch watches[LUC_TURNS];
static atomic_bool silent; /* the warning was given, or is switched off */

bool lucid_set_scope_warning(bool enabled)
{
    return !atomic_exchange(&silent, !enabled);
}

static void warn(const scope_stack *s, const scope_watch *w, luc_turn turn)
{
    static const char *const functions[] = {"lucid_forward", "lucid_backward", "lucid_next"};
    char scope[512] = "this thread's root scope (no LUCID_SCOPE is open)";
    const scope_mark *m = s->depth ? &s->marks[s->depth - 1] : NULL;
    if (m && m->line)
        snprintf(scope, sizeof scope, "the scope that began at %s:%d", m->file, m->line);
    else if (m)
        snprintf(scope, sizeof scope, "a scope of %s", m->file ? m->file : "the library");
    if (atomic_exchange(&silent, true)) return;
    fprintf(
        stderr,
        "lucid: warning: in the last %zu calls of %s, %s has taken in %zu tensors, and frees them "
        "only when it ends: put LUCID_SCOPE; at the head of the loop's body (docs/memory.md). "
        "lucid_set_scope_warning(false) silences this.\n",
        w->turns, functions[turn], scope, s->count - w->count);
}

void luc_scope_turn(luc_turn turn)
{
    if (atomic_load_explicit(&silent, memory_order_relaxed)) return;
    const scope_stack *s = &stack;
    scope_watch *w = &watches[turn];
    const uint64_t serial = s->depth ? s->marks[s->depth - 1].serial : 0;
    if (w->serial == serial && w->turns > 0 && ++w->turns % LOOK_EVERY) return;
    const size_t bytes = luc_cache_stats().current_bytes;
    if (w->serial == serial && w->turns > 0 && s->count >= w->count + GROWTH * (w->turns - 1)) {
        if (w->turns >= TURNS || bytes >= w->bytes + MUCH) warn(s, w, turn);
        return;
    }
    *w = (scope_watch){serial, 1, s->count, bytes};
}

void luc_scope_end_all(void)
{
    stack_free(&stack);
}
