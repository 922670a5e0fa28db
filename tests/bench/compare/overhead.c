/* overhead.c: what an operation costs beside its arithmetic: tensors of one element. */
#include "row.h"

#include <stdlib.h>

typedef struct pair {
    lucid_tensor *a, *b; /* retained */
} pair;

enum { CALLS = 1000 };

static void *setup_pair(const row *r)
{
    pair *p = calloc(1, sizeof *p);
    if (!p) abort();
    LUCID_SCOPE;
    p->a = lucid_retain(lucid_ones((1), .device = row_device));
    p->b =
        lucid_retain(lucid_ones((1), .device = row_device, .requires_grad = r->arguments[0] != 0));
    return p;
}

/* One run is a thousand additions: a single one is below what the clock can tell. */
static void run_add(void *state)
{
    pair *p = state;
    for (int i = 0; i < CALLS; i++) {
        LUCID_SCOPE;
        lucid_add(p->a, p->b);
    }
}

static void teardown_pair(void *state)
{
    pair *p = state;
    lucid_release(p->a);
    lucid_release(p->b);
    free(p);
}

const row overhead_rows[] = {
    {.name = "1000 adds of 1 element",
     .twin = "adds",
     .setup = setup_pair,
     .run = run_add,
     .teardown = teardown_pair},
    {.name = "1000 adds of 1 element, recorded",
     .twin = "adds",
     .arguments = {1},
     .setup = setup_pair,
     .run = run_add,
     .teardown = teardown_pair},
    {.name = NULL},
};
