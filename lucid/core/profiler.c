/* profiler.c: recording. All threads share one record and its lock, which a profiled operator takes
 * once, when it ends. */
#include "lucid/core/profiler_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"

#include <assert.h>
#include <string.h>
#include <time.h>

atomic_bool luc_profiling;

static struct {
    bool trace;
    lucid_profile_entry *entry; /* op and module are one allocation, which begins at op */
    size_t n, capacity;
    uint32_t *table; /* open addressing: index + 1 of an entry; 0 is free */
    size_t table_size;
    luc_event *event;
    size_t n_events, event_capacity;
} record;

static _Thread_local luc_span *innermost;
static _Thread_local uint32_t thread_number; /* from 1; 0: not given yet */
static atomic_uint threads;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the record: all under the lock ---------------------------------------------------------- */

static uint32_t hash(const char *op, const char *module, bool backward)
{
    uint32_t h = 2166136261u + backward;
    for (const char *s = op; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    for (const char *s = module; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}

/* The place in the table where an entry is or would be. */
static size_t place_of(const char *op, const char *module, bool backward)
{
    assert(record.table_size > 0 && (record.table_size & (record.table_size - 1)) == 0);
    size_t at = hash(op, module, backward) & (record.table_size - 1);
    for (; record.table[at]; at = (at + 1) & (record.table_size - 1)) {
        const lucid_profile_entry *e = &record.entry[record.table[at] - 1];
        if (e->backward == backward && strcmp(e->op, op) == 0 && strcmp(e->module, module) == 0)
            break;
    }
    return at;
}

/* Doubles the entries; the table stays at most half full. */
static bool grow(void)
{
    const size_t capacity = record.capacity ? 2 * record.capacity : 64;
    lucid_profile_entry *entry = luc_realloc(record.entry, capacity * sizeof *entry, "profiler");
    if (!entry) return false;
    record.entry = entry;
    uint32_t *table = luc_calloc(2 * capacity, sizeof *table, "profiler");
    if (!table) return false;
    luc_free(record.table);
    record.table = table;
    record.table_size = 2 * capacity;
    record.capacity = capacity;
    for (size_t i = 0; i < record.n; i++) {
        const lucid_profile_entry *e = &record.entry[i];
        record.table[place_of(e->op, e->module, e->backward)] = (uint32_t)i + 1;
    }
    return true;
}

/* The entry's index; the entry is made if it does not exist. SIZE_MAX when memory is out. */
static size_t find(const char *op, const char *module, bool backward)
{
    assert(luc_lock_is_held(LUC_LOCK_PROFILER));
    if (record.n == record.capacity && !grow()) return SIZE_MAX;
    assert(2 * record.n < record.table_size);
    const size_t at = place_of(op, module, backward);
    if (record.table[at]) return record.table[at] - 1;
    const size_t op_size = strlen(op) + 1, module_size = strlen(module) + 1;
    char *names = luc_alloc(op_size + module_size, "profiler");
    if (!names) return SIZE_MAX;
    memcpy(names, op, op_size);
    memcpy(names + op_size, module, module_size);
    record.entry[record.n] =
        (lucid_profile_entry){.op = names, .module = names + op_size, .backward = backward};
    record.table[at] = (uint32_t)++record.n;
    return record.n - 1;
}

static bool add_event(size_t entry, double start, double seconds)
{
    assert(luc_lock_is_held(LUC_LOCK_PROFILER) && entry < record.n);
    if (record.n_events == record.event_capacity) {
        const size_t capacity = record.event_capacity ? 2 * record.event_capacity : 1024;
        luc_event *event = luc_realloc(record.event, capacity * sizeof *event, "profiler");
        if (!event) return false;
        record.event = event;
        record.event_capacity = capacity;
    }
    if (!thread_number) thread_number = atomic_fetch_add(&threads, 1) + 1;
    record.event[record.n_events++] =
        (luc_event){start, (float)seconds, (uint32_t)entry, thread_number};
    return true;
}

static void clear(void)
{
    for (size_t i = 0; i < record.n; i++) luc_free((void *)record.entry[i].op);
    luc_free(record.entry);
    luc_free(record.table);
    luc_free(record.event);
    record.entry = NULL;
    record.table = NULL;
    record.event = NULL;
    record.n = record.capacity = record.table_size = record.n_events = record.event_capacity = 0;
}

/* ---- spans ----------------------------------------------------------------------------------- */

void luc_span_begin(luc_span *span, bool backward)
{
    span->parent = innermost;
    span->children = 0;
    span->backward = backward || (innermost && innermost->backward);
    innermost = span;
    span->start = now();
}

void luc_span_drop(luc_span *span)
{
    assert(innermost == span);
    innermost = span->parent;
}

bool luc_span_end(luc_span *span, const char *op, double bytes, double flops)
{
    const double seconds = now() - span->start;
    char module[512];
    luc_module_path(module, sizeof module);
    assert(innermost == span);
    innermost = span->parent;
    if (innermost) innermost->children += seconds;
    luc_lock(LUC_LOCK_PROFILER);
    bool ok = true;
    if (luc_profiler_is_on()) { /* it may have been stopped meanwhile */
        const size_t i = find(op, module, span->backward);
        ok = i != SIZE_MAX && (!record.trace || add_event(i, span->start, seconds));
        if (ok) {
            lucid_profile_entry *e = &record.entry[i];
            e->count++;
            e->seconds += seconds;
            e->self += seconds - span->children;
            e->bytes += bytes;
            e->flops += flops;
        }
    }
    luc_unlock(LUC_LOCK_PROFILER);
    return ok;
}

/* ---- the functions --------------------------------------------------------------------------- */

bool lucid_profiler_start_opt(const lucid_profiler_options *options)
{
    const lucid_profiler_options *o = LUC_OPTIONS(lucid_profiler, options, "profiler_start");
    if (!o) return false;
    luc_lock(LUC_LOCK_PROFILER);
    const bool on = luc_profiler_is_on();
    if (!on) {
        clear();
        record.trace = o->trace;
        atomic_store(&luc_profiling, true);
    }
    luc_unlock(LUC_LOCK_PROFILER);
    return !on || luc_raise(LUCID_ERR_STATE, "profiler_start", "already recording");
}

void lucid_profiler_stop(void)
{
    atomic_store(&luc_profiling, false);
}

void lucid_profiler_cleanup(bool *started)
{
    if (started && *started) lucid_profiler_stop();
}

void lucid_profiler_reset(void)
{
    lucid_profiler_stop();
    luc_lock(LUC_LOCK_PROFILER);
    clear();
    luc_unlock(LUC_LOCK_PROFILER);
}

/* The bytes of all entries' names; under the lock. */
static size_t names_size(void)
{
    size_t size = 0;
    for (size_t i = 0; i < record.n; i++)
        size += strlen(record.entry[i].op) + strlen(record.entry[i].module) + 2;
    return size;
}

/* Under the lock: fills a profile of the record's sizes. */
static void fill(luc_profile *p)
{
    char *name = p->names;
    for (size_t i = 0; i < p->n; i++) {
        const lucid_profile_entry *from = &record.entry[i];
        const size_t op_size = strlen(from->op) + 1, size = op_size + strlen(from->module) + 1;
        memcpy(name, from->op, size); /* op and module are one allocation */
        p->entry[i] = *from;
        p->entry[i].op = name;
        p->entry[i].module = name + op_size;
        name += size;
    }
    if (p->n_events) memcpy(p->event, record.event, p->n_events * sizeof *p->event);
}

/* Memory is allocated without the lock, because an error's handler may use the profiler. So the
 * record may have grown meanwhile. */
bool luc_profile_take(luc_profile *p, bool events, const char *op)
{
    *p = (luc_profile){0};
    size_t names = 0;
    for (;;) {
        luc_lock(LUC_LOCK_PROFILER);
        const size_t n = record.n, n_events = events ? record.n_events : 0, size = names_size();
        p->trace = record.trace;
        if (p->entry && n <= p->n && size <= names && n_events <= p->n_events) {
            p->n = n;
            p->n_events = n_events;
            fill(p);
            luc_unlock(LUC_LOCK_PROFILER);
            return true;
        }
        luc_unlock(LUC_LOCK_PROFILER);
        luc_profile_free(p);
        *p = (luc_profile){.n = n, .n_events = n_events, .trace = p->trace};
        names = size;
        p->entry = luc_calloc(n, sizeof *p->entry, op);
        p->names = p->entry ? luc_alloc(size, op) : NULL;
        p->event = p->names ? luc_calloc(n_events, sizeof *p->event, op) : NULL;
        if (!p->event) {
            luc_profile_free(p);
            return false;
        }
    }
}

void luc_profile_free(luc_profile *p)
{
    luc_free(p->entry);
    luc_free(p->names);
    luc_free(p->event);
    p->entry = NULL;
    p->names = NULL;
    p->event = NULL;
}

size_t lucid_profiler_size(void)
{
    luc_lock(LUC_LOCK_PROFILER);
    const size_t n = record.n;
    luc_unlock(LUC_LOCK_PROFILER);
    return n;
}

bool lucid_profiler_at(size_t i, lucid_profile_entry *entry)
{
    if (!entry)
        return luc_raise(LUCID_ERR_ARGUMENT, "profiler_at", "entry: expected a place, got NULL");
    luc_lock(LUC_LOCK_PROFILER);
    const bool found = i < record.n;
    if (found) *entry = record.entry[i];
    luc_unlock(LUC_LOCK_PROFILER);
    return found;
}
