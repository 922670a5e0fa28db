/* profiler_priv.h: spans: how the library's files tell the profiler what they do. */
#ifndef LUCID_PROFILER_PRIV_H
#define LUCID_PROFILER_PRIV_H

#include "lucid/core/profiler.h"

#include <stdatomic.h>

extern atomic_bool luc_profiling;

/* The only check that is made while nothing is profiled. */
static inline bool luc_profiler_is_on(void)
{
    return __builtin_expect(atomic_load_explicit(&luc_profiling, memory_order_relaxed), false);
}

/* A piece of work whose time is measured, on the C stack. Spans nest, and end in the reverse order
 * in which they began. */
typedef struct luc_span {
    struct luc_span *parent;
    double start, children; /* seconds */
    bool backward;          /* it, and what is in it, belongs to backward */
} luc_span;

void luc_span_begin(luc_span *span, bool backward);
/* Ends the span and adds it to the entry of op and of the module whose forward runs. Returns false
 * when memory is out. */
bool luc_span_end(luc_span *span, const char *op, double bytes, double flops);
/* Ends the span without recording it. */
void luc_span_drop(luc_span *span);

typedef struct luc_event {
    double start; /* seconds */
    float seconds;
    uint32_t entry;
    uint32_t thread;
} luc_event;

/* The record as it was at one moment: other threads may go on recording, or forget it. */
typedef struct luc_profile {
    lucid_profile_entry *entry;
    luc_event *event; /* in order of their ends */
    size_t n, n_events;
    bool trace;  /* events were to be kept */
    char *names; /* what the entries' op and module point to */
} luc_profile;

/* Copies the record, its events only where they are asked for; luc_profile_free gives the copy
 * back. False after an error of `op`: no memory. */
bool luc_profile_take(luc_profile *p, bool events, const char *op);
void luc_profile_free(luc_profile *p);

#endif
