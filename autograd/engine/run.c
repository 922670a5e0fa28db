/* run.c: the bookkeeping of one backward: slots by address, the heap of what is ready. */
#include "autograd/engine/run_priv.h"
#include "lucid/core/memory_priv.h"

#include <stdlib.h>
#include <string.h>

void luc_run_free(luc_run *run)
{
    for (size_t i = 0; i < run->n; i++) {
        const luc_slot *s = &run->slot[i];
        const int n = s->fn ? s->fn->n_out : 1;
        for (int k = 0; k < n; k++) lucid_release(s->grad[k]);
    }
    luc_free(run->slot);
    luc_free(run->table);
    luc_free(run->heap);
}

/* ---- slots by address ------------------------------------------------------------------------ */

static size_t hash(const void *p)
{
    uint64_t h = (uint64_t)(uintptr_t)p * 0x9e3779b97f4a7c15u;
    return (size_t)(h >> 20);
}

static const void *key_of(const luc_slot *s)
{
    return s->fn ? (const void *)s->fn : s->leaf;
}

static bool grow(luc_run *run)
{
    size_t capacity = run->capacity ? 2 * run->capacity : 64, size = 2 * capacity;
    luc_slot *slot = luc_realloc(run->slot, capacity * sizeof *slot, "backward");
    if (!slot) return false;
    run->slot = slot;
    uint32_t *table = luc_calloc(size, sizeof *table, "backward");
    if (!table) return false;
    run->capacity = capacity;
    luc_free(run->table);
    run->table = table;
    run->table_size = size;
    for (size_t i = 0; i < run->n; i++) {
        size_t h = hash(key_of(&run->slot[i])) & (size - 1);
        while (table[h]) h = (h + 1) & (size - 1);
        table[h] = (uint32_t)i + 1;
    }
    return true;
}

/* The place of key in the table, or the free place where it belongs. */
static size_t probe(const luc_run *run, const void *key)
{
    size_t mask = run->table_size - 1, h = hash(key) & mask;
    while (run->table[h] && key_of(&run->slot[run->table[h] - 1]) != key) h = (h + 1) & mask;
    return h;
}

size_t luc_run_find(luc_run *run, const luc_edge *e)
{
    const void *key = e->fn ? (const void *)e->fn : e->leaf;
    if (!run->table && !grow(run)) return SIZE_MAX;
    size_t h = probe(run, key);
    if (run->table[h]) return run->table[h] - 1;
    if (run->n == run->capacity) {
        if (!grow(run)) return SIZE_MAX;
        h = probe(run, key);
    }
    run->table[h] = (uint32_t)run->n + 1;
    run->slot[run->n] = (luc_slot){.fn = e->fn, .leaf = e->fn ? NULL : e->leaf};
    return run->n++;
}

/* ---- the heap -------------------------------------------------------------------------------- */

/* Leaves come first, so that their gradients do not wait; then the node that was recorded last. */
static bool before(const luc_run *run, uint32_t a, uint32_t b)
{
    const lucid_node *x = run->slot[a].fn, *y = run->slot[b].fn;
    if (!x || !y) return x == y ? a < b : !x;
    return x->seq > y->seq;
}

bool luc_run_push(luc_run *run, size_t slot)
{
    if (run->heap_n == run->heap_capacity) {
        size_t capacity = run->heap_capacity ? 2 * run->heap_capacity : 32;
        uint32_t *heap = luc_realloc(run->heap, capacity * sizeof *heap, "backward");
        if (!heap) return false;
        run->heap = heap;
        run->heap_capacity = capacity;
    }
    size_t i = run->heap_n++;
    for (; i > 0; i = (i - 1) / 2) {
        uint32_t parent = run->heap[(i - 1) / 2];
        if (!before(run, (uint32_t)slot, parent)) break;
        run->heap[i] = parent;
    }
    run->heap[i] = (uint32_t)slot;
    return true;
}

size_t luc_run_pop(luc_run *run)
{
    uint32_t top = run->heap[0], last = run->heap[--run->heap_n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= run->heap_n) break;
        if (child + 1 < run->heap_n && before(run, run->heap[child + 1], run->heap[child])) child++;
        if (!before(run, run->heap[child], last)) break;
        run->heap[i] = run->heap[child];
        i = child;
    }
    run->heap[i] = last;
    return top;
}

/* ---- the part of the graph that counts ------------------------------------------------------- */

bool luc_run_discover(luc_run *run, const luc_edge *roots, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (luc_run_find(run, &roots[i]) == SIZE_MAX) return false;
    /* Slots that are found are appended, so those from `next` on have not been looked at. */
    for (size_t next = 0; next < run->n; next++) {
        const lucid_node *fn = run->slot[next].fn;
        for (int k = 0; fn && k < fn->n_in; k++) {
            const luc_edge *e = &fn->edge[k];
            if (!e->fn && !e->leaf) continue;
            size_t to = luc_run_find(run, e);
            if (to == SIZE_MAX) return false;
            run->slot[to].waits++;
        }
    }
    return true;
}

static int by_sequence(const void *a, const void *b)
{
    const lucid_node *x = *(lucid_node *const *)a, *y = *(lucid_node *const *)b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

bool luc_run_select(luc_run *run)
{
    lucid_node **order = luc_alloc(run->n * sizeof *order, "backward");
    if (!order) return false;
    size_t n = 0;
    for (size_t i = 0; i < run->n; i++) {
        if (run->slot[i].fn) order[n++] = run->slot[i].fn;
        run->slot[i].wanted = !run->slot[i].fn && run->slot[i].target;
    }
    /* Producers before what they feed. */
    qsort(order, n, sizeof(*order), by_sequence);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        luc_edge self = {order[i], NULL, 0};
        size_t at = luc_run_find(run, &self);
        for (int k = 0; k < order[i]->n_in && ok; k++) {
            const luc_edge *e = &order[i]->edge[k];
            if (!e->fn && !e->leaf) continue;
            size_t to = luc_run_find(run, e);
            ok = at != SIZE_MAX && to != SIZE_MAX;
            if (ok && (run->slot[to].wanted || run->slot[to].target)) run->slot[at].wanted = true;
        }
    }
    luc_free(order);
    return ok;
}
