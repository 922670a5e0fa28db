/* capture.c: recording a step and playing it back: the part that is the same for every device. */
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/scope.h"
#include "lucid/core/tensor_priv.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

static const char live_name[] = "capture"; /* in a report of what was never freed */

/* Some cells and who knows their values. */
typedef struct source {
    luc_capture_refresh refresh;
    int first;
    _Alignas(8) char user[LUC_CAPTURE_USER];
} source;

struct lucid_graph {
    lucid_device device;
    lucid_step_fn step;
    void *user;
    const lucid_backend *backend; /* NULL: nothing is recorded, replays call the step */
    void *recorded;
    int64_t steps, replays;
    uint64_t *cells; /* on the device */
    uint64_t values[LUC_CAPTURE_CELLS];
    int n_cells, n_sources;
    source sources[LUC_CAPTURE_CELLS];
    uint64_t *random_cells;
    lucid_generator random_begin; /* where the generator stood when the recording began */
    uint64_t random_blocks;       /* that one step takes */
};

static __thread lucid_graph *recording;

static atomic_uint_fast64_t epoch;

uint64_t luc_capture_epoch(void)
{
    return atomic_load_explicit(&epoch, memory_order_relaxed);
}

bool luc_is_capturing(lucid_device device)
{
    return recording && lucid_device_equal(recording->device, device);
}

/* ---- cells ----------------------------------------------------------------------------------- */

uint64_t *luc_capture_cells(int n, luc_capture_refresh refresh, const void *user, size_t size,
                            const char *op)
{
    lucid_graph *g = recording;
    assert(g && n > 0 && size <= LUC_CAPTURE_USER);
    if (g->n_cells + n > LUC_CAPTURE_CELLS) {
        luc_raise(LUCID_ERR_UNSUPPORTED, op,
                  "a captured step has room for %d numbers that change (learning rates, step "
                  "counts); this one needs more",
                  LUC_CAPTURE_CELLS);
        return NULL;
    }
    assert(g->n_sources < LUC_CAPTURE_CELLS); /* every source has a cell at least */
    source *s = &g->sources[g->n_sources++];
    s->refresh = refresh;
    s->first = g->n_cells;
    memcpy(s->user, user, size);
    g->n_cells += n;
    return g->cells + s->first;
}

/* The generator goes on from where it stands, as if the step were run. */
static void refresh_random(const void *user, int64_t replay, uint64_t *values)
{
    const lucid_graph *g;
    memcpy(&g, user, sizeof g);
    lucid_generator now = replay ? luc_random_take(g->random_blocks) : g->random_begin;
    values[0] = now.seed;
    values[1] = now.offset;
}

bool luc_capture_random(lucid_device device, lucid_random_attrs *attrs, const char *op)
{
    if (!luc_is_capturing(device)) return true;
    lucid_graph *g = recording;
    if (!g->random_cells) g->random_cells = luc_capture_cells(2, refresh_random, &g, sizeof g, op);
    attrs->offset -= g->random_begin.offset;
    attrs->live = g->random_cells;
    return g->random_cells != NULL;
}

/* ---- recording ------------------------------------------------------------------------------- */

static bool launch(lucid_graph *g)
{
    for (int i = 0; i < g->n_sources; i++) {
        const source *s = &g->sources[i];
        s->refresh(s->user, g->replays, g->values + s->first);
    }
    atomic_fetch_add(&epoch, 1);
    if (!g->backend->graph_launch(g->recorded, g->values)) return false;
    g->replays++;
    g->steps++;
    return true;
}

/* Runs the step; what it raised, or an error if it only said false, stays. */
static bool run_step(lucid_graph *g)
{
    bool ok = g->step(g->user);
    if (ok && lucid_error_code() == LUCID_OK) {
        g->steps++;
        return true;
    }
    return luc_raise(LUCID_ERR_STATE, "capture", "step: expected true, got false");
}

static bool record(lucid_graph *g)
{
    const int index = g->device.index;
    if (!g->backend->capture_begin(index, LUC_CAPTURE_CELLS, &g->cells)) return false;
    g->random_begin = lucid_get_rng_state();
    recording = g;
    atomic_fetch_add(&epoch, 1);
    bool ok = run_step(g);
    atomic_fetch_add(&epoch, 1);
    recording = NULL;
    g->random_blocks = lucid_get_rng_state().offset - g->random_begin.offset;
    g->recorded = g->backend->capture_end(index, ok);
    if (!ok || !g->recorded) return false;
    g->steps--; /* it was recorded, not run */
    return launch(g);
}

static bool check(lucid_device device, lucid_step_fn step, const lucid_backend **backend)
{
    if (lucid_error_code() != LUCID_OK) return false;
    if (!step)
        return luc_raise(LUCID_ERR_ARGUMENT, "capture", "step: expected a function, got NULL");
    if (recording) return luc_raise(LUCID_ERR_STATE, "capture", "a step is being captured already");
    *backend = lucid_backend_get(device.type);
    if (!*backend) return false;
    if (device.index < 0 || device.index >= (*backend)->device_count())
        return luc_raise(LUCID_ERR_DEVICE, "capture", "device: expected an index below %d, got %d",
                         (*backend)->device_count(), device.index);
    if (!(*backend)->capture_begin) *backend = NULL;
    return true;
}

lucid_graph *lucid_capture(lucid_device device, lucid_step_fn step, void *user)
{
    const lucid_backend *backend = NULL;
    if (!check(device, step, &backend) || !luc_before_any_write()) return NULL;
    lucid_graph *g = luc_calloc(1, sizeof *g, "capture");
    if (!g) return NULL;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    g->device = device;
    g->step = step;
    g->user = user;
    g->backend = backend;
    if (run_step(g) && (backend ? record(g) : run_step(g))) return g;
    lucid_graph_free(g);
    return NULL;
}

bool lucid_replay(lucid_graph *graph)
{
    if (!graph) return luc_raise(LUCID_ERR_ARGUMENT, "replay", "graph: expected one, got NULL");
    if (lucid_error_code() != LUCID_OK) return false;
    if (recording) return luc_raise(LUCID_ERR_STATE, "replay", "a step is being captured");
    if (!luc_before_any_write()) return false;
    return graph->backend ? launch(graph) : run_step(graph);
}

int64_t lucid_graph_steps(const lucid_graph *graph)
{
    return graph ? graph->steps : 0;
}

void lucid_graph_free(lucid_graph *graph)
{
    if (!graph) return;
    if (graph->recorded) graph->backend->graph_free(graph->recorded);
    luc_free(graph);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}
