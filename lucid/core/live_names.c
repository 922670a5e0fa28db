/* live_names.c: counting the objects that are alive, by class: "2 Conv2d, 1 Sequential".
 *
 * A table of counters by name, without a lock: a slot is taken by the first who writes its name and
 * stays that name's. Names are compared by address, as classes are constant; equal texts of several
 * addresses are added up when they are printed. */
#include "lucid/core/memory_priv.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

enum { SLOTS = 256 };

typedef struct slot {
    _Atomic(const char *) name;
    atomic_int kind;
    _Atomic int64_t count;
} slot;
static slot slots[SLOTS];

/* The name's slot, or NULL if the table is full. */
static slot *slot_of(const char *name)
{
    size_t first = (size_t)(((uintptr_t)name >> 3) * 0x9E3779B97F4A7C15u) % SLOTS;
    for (size_t i = 0; i < SLOTS; i++) {
        slot *s = &slots[(first + i) % SLOTS];
        const char *taken = atomic_load_explicit(&s->name, memory_order_relaxed);
        if (!taken && atomic_compare_exchange_strong(&s->name, &taken, name)) return s;
        if (taken == name) return s;
    }
    return NULL;
}

void luc_live_add_named(luc_live_kind kind, const char *name, int64_t delta)
{
    luc_live_add(kind, delta);
    slot *s = slot_of(name);
    if (!s) return;
    atomic_store_explicit(&s->kind, (int)kind, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->count, delta, memory_order_relaxed);
}

static const char *name_in(const slot *s, luc_live_kind kind, int64_t *count)
{
    *count = atomic_load_explicit(&s->count, memory_order_relaxed);
    return *count > 0 && atomic_load(&s->kind) == (int)kind ? atomic_load(&s->name) : NULL;
}

void luc_live_print_names(FILE *file, luc_live_kind kind)
{
    int64_t count, more;
    int printed = 0;
    for (int i = 0; i < SLOTS; i++) {
        const char *name = name_in(&slots[i], kind, &count);
        bool again = false; /* an earlier slot has the same text */
        for (int k = 0; name && k < SLOTS; k++) {
            const char *other = k != i ? name_in(&slots[k], kind, &more) : NULL;
            if (!other || strcmp(other, name) != 0) continue;
            again |= k < i;
            count += more;
        }
        if (!name || again) continue;
        fprintf(file, "%s%lld %s", printed++ ? ", " : " (", (long long)count, name);
    }
    if (printed) fputc(')', file);
}
