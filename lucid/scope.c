/* scope.c: the thread's stack of tensors that die when their scope ends. */
#include "lucid/scope.h"
#include "lucid/memory_priv.h"
#include "lucid/tensor_priv.h"

#include <pthread.h>
#include <string.h>

typedef struct scope_stack {
    lucid_tensor **tensors; /* of all open scopes, outermost first */
    size_t count, capacity;
    size_t *marks; /* marks[i]: where the scope of depth i + 1 begins */
    size_t depth, marks_capacity;
    bool registered; /* the thread's end is watched */
} scope_stack;

static __thread scope_stack stack __attribute__((tls_model("initial-exec")));
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void pop_to(scope_stack *s, size_t mark)
{
    while (s->count > mark) lucid_release(s->tensors[--s->count]);
}

static void stack_free(scope_stack *s)
{
    if (luc_tensor_autograd.end_thread) luc_tensor_autograd.end_thread();
    pop_to(s, 0);
    luc_free(s->tensors);
    luc_free(s->marks);
    bool registered = s->registered;
    memset(s, 0, sizeof *s);
    s->registered = registered;
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

/* Makes room for one more element; false when memory is out. */
static bool grow(void **items, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity) return true;
    size_t n = *capacity ? 2 * *capacity : 64;
    void *p = luc_realloc(*items, n * size, "scope");
    if (!p) return false;
    *items = p;
    *capacity = n;
    return true;
}

size_t lucid_scope_begin(void)
{
    scope_stack *s = &stack;
    if (!s->registered) watch_thread_end(s);
    if (!grow((void **)&s->marks, &s->marks_capacity, s->depth, sizeof *s->marks)) return 0;
    s->marks[s->depth++] = s->count;
    return s->depth;
}

void lucid_scope_end(size_t depth)
{
    scope_stack *s = &stack;
    if (depth == 0 || depth > s->depth) return;
    pop_to(s, s->marks[depth - 1]);
    s->depth = depth - 1;
}

void lucid_scope_cleanup(size_t *depth)
{
    lucid_scope_end(*depth);
}

lucid_tensor *lucid_scope_return(lucid_tensor *tensor)
{
    scope_stack *s = &stack;
    if (!tensor || s->depth == 0) return tensor;
    size_t mark = s->marks[s->depth - 1];
    for (size_t i = s->count; i > mark; i--) {
        if (s->tensors[i - 1] != tensor) continue;
        /* Swap it to the scope's begin and let the scope begin behind it. */
        s->tensors[i - 1] = s->tensors[mark];
        s->tensors[mark] = tensor;
        s->marks[s->depth - 1]++;
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
    if (!s->registered) watch_thread_end(s);
    if (!grow((void **)&s->tensors, &s->capacity, s->count, sizeof *s->tensors)) {
        lucid_release(t);
        return false;
    }
    s->tensors[s->count++] = t;
    return true;
}

void luc_scope_end_all(void)
{
    stack_free(&stack);
}
