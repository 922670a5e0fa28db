/* defer.c: results that wait to be computed: making, finding, computing and forgetting them.
 *
 * An application that waits (luc_deferred) owns its inputs and knows their versions. Its result's
 * reference count is marked (core/dangling_priv.h), and so are the counts of inputs that it will
 * change (running statistics): reading one of them, in any thread, calls compute_tensor.
 * Writing into its other inputs calls before_write, in the thread that made it; any other write is
 * found by the version. */
#include "autograd/autograd.h"
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/dispatch/fuse_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/platform_priv.h"
#include "lucid/core/profiler_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

enum { WAITING, RUNNING, DONE };

static _Thread_local struct {
    int depth;          /* of lucid_forward */
    luc_deferred *last; /* the one that the next operator may be joined to; in the list */
    luc_deferred *list; /* owned references; those that are done are removed later */
    unsigned prune_at;  /* with this number in the list, those that are done are removed */
} here;

static atomic_bool fusion_off;

/* ---- marks, under LUC_LOCK_DEFERRED ---------------------------------------------------------- */

static void mark(lucid_tensor *t, luc_deferred *d)
{
    t->deferred = d;
    atomic_fetch_add_explicit(&t->refs, LUC_WAITS, memory_order_relaxed);
}

static void unmark(lucid_tensor *t)
{
    t->deferred = NULL;
    atomic_fetch_sub_explicit(&t->refs, LUC_WAITS, memory_order_release);
}

/* Takes a reference to a marked tensor, unless its last one was released. */
static bool hold_tensor(lucid_tensor *t)
{
    int refs = atomic_load(&t->refs);
    while (refs > LUC_WAITS && !atomic_compare_exchange_weak(&t->refs, &refs, refs + 1)) continue;
    return refs > LUC_WAITS;
}

static void finish(luc_deferred *d)
{
    for (uint32_t w = d->writes; w; w &= w - 1) unmark(d->what.in[__builtin_ctz(w)]);
    d->writes = 0;
    unmark(d->tensor);
    d->state = DONE;
}

/* ---- references ------------------------------------------------------------------------------ */

static void deferred_release(luc_deferred *d)
{
    if (atomic_fetch_sub_explicit(&d->refs, 1, memory_order_acq_rel) == 1)
        luc_pool_free(d, sizeof *d);
}

/* Releases what d owns, when it is done. */
static void drop_inputs(luc_deferred *d)
{
    for (int i = 0; i < d->what.n; i++) lucid_release(d->what.in[i]);
    luc_free(d->module);
}

/* Removes those that are done from the thread's list; all: removes everything. */
static void prune(bool all)
{
    luc_deferred *dropped = NULL, **at = &here.list;
    luc_lock(LUC_LOCK_DEFERRED);
    while (*at) {
        luc_deferred *d = *at;
        if (!all && d->state != DONE) {
            at = &d->next;
            continue;
        }
        *at = d->next;
        d->next = dropped;
        dropped = d;
        luc_waiting--;
    }
    luc_unlock(LUC_LOCK_DEFERRED);
    while (dropped) {
        luc_deferred *next = dropped->next;
        if (here.last == dropped) here.last = NULL;
        deferred_release(dropped);
        dropped = next;
    }
    here.prune_at = 2 * luc_waiting + 8;
}

/* ---- computing ------------------------------------------------------------------------------- */

/* The application without its writes besides the result: another application does those, or has
 * done them. */
static void leave_inputs_alone(luc_deferred *d)
{
    lucid_tensor *dropped[LUC_WAITING_INPUTS];
    int n = 0;
    if (!d->writes) return;
    luc_lock(LUC_LOCK_DEFERRED);
    for (uint32_t w = d->writes; w; w &= w - 1) {
        const int i = __builtin_ctz(w);
        if (d->what.in[i]->deferred == d) unmark(d->what.in[i]);
        dropped[n++] = d->what.in[i];
        d->what.in[i] = NULL;
    }
    d->writes = 0;
    luc_unlock(LUC_LOCK_DEFERRED);
    while (n > 0) lucid_release(dropped[--n]);
    luc_leave_inputs_alone(d);
}

static bool check_versions(const luc_deferred *d)
{
    for (int i = 0; i < d->what.n; i++) {
        const lucid_tensor *t = d->what.in[i];
        if (t && atomic_load_explicit(&t->storage->version, memory_order_relaxed) != d->version[i])
            return luc_raise(LUCID_ERR_STATE, d->call.op->name,
                             "%s: the tensor %s was modified in place by another thread before the "
                             "operator had read it; lucid_set_fusion(false) makes each operator "
                             "read its inputs at once",
                             luc_argument_name(d->call.op, i).s, luc_shape_text(t).s);
    }
    return true;
}

static bool run_kernel(luc_deferred *d, lucid_tensor **out)
{
    const lucid_call *c = &d->call;
    if (!check_versions(d) || !luc_tensor_allocate(out[0], c->op->name)) return false;
    for (int i = 1; i < c->n_out; i++) {
        out[i] = luc_tensor_new(&c->out[i], c->device, c->op->name);
        if (!out[i]) return false;
    }
    if (!luc_call_compute(c, c->in, out)) return false;
    if (!c->needs || luc_record(c, out)) return true;
    leave_inputs_alone(d); /* so that it can be tried again */
    return false;
}

static void write_module(const luc_module_frame *frame, char *text, size_t size)
{
    snprintf(text, size, "%s", ((const luc_deferred *)frame->module)->module);
}

static bool compute(luc_deferred *d, lucid_tensor **extra)
{
    lucid_tensor *out[LUCID_MAX_OUTPUTS] = {d->tensor};
    luc_span span;
    luc_module_frame frame = {.module = d, .path = write_module};
    const luc_fuse_pause pause = luc_fuse_pause_begin();
    const bool profiled = luc_profiler_is_on();
    if (d->module) luc_module_frame_push(&frame);
    if (profiled) luc_span_begin(&span, false);
    size_t scope = lucid_scope_begin();
    bool ok = scope && run_kernel(d, out);
    for (int i = 1; i < d->call.n_out && ok && extra; i++) extra[i] = lucid_scope_return(out[i]);
    lucid_scope_end(scope);
    if (profiled && ok)
        ok = luc_profile_call(&span, &d->call);
    else if (profiled)
        luc_span_drop(&span);
    if (d->module) luc_module_frame_pop(&frame);
    luc_fuse_pause_end(pause);
    return ok;
}

/* Computes d, which this thread holds. */
static bool compute_held(luc_deferred *d, lucid_tensor **extra)
{
    lucid_tensor *t = d->tensor;
    const bool ok = compute(d, extra);
    luc_lock(LUC_LOCK_DEFERRED);
    if (ok)
        finish(d);
    else
        d->state = WAITING;
    luc_unlock(LUC_LOCK_DEFERRED);
    if (ok) {
        drop_inputs(d);
        deferred_release(d); /* the tensor's */
    }
    lucid_release(t);
    return ok;
}

/* Waits while another thread holds d. Returns false if d is done, or ends, or this thread holds
 * it. */
static bool hold(luc_deferred *d)
{
    luc_lock(LUC_LOCK_DEFERRED);
    /* The thread that computed it at a fork is not in the child, which computes it itself. */
    if (d->state == RUNNING && d->fork_depth != luc_fork_depth()) d->state = WAITING;
    while (d->state == RUNNING && d->runner != &here) {
        luc_unlock(LUC_LOCK_DEFERRED);
        luc_yield();
        luc_lock(LUC_LOCK_DEFERRED);
    }
    const bool held = d->state == WAITING && hold_tensor(d->tensor);
    if (held) {
        d->state = RUNNING;
        d->runner = &here;
        d->fork_depth = luc_fork_depth();
    }
    luc_unlock(LUC_LOCK_DEFERRED);
    return held;
}

static bool run(luc_deferred *d)
{
    return !hold(d) || compute_held(d, NULL);
}

bool luc_deferred_hold(luc_deferred *d)
{
    return hold(d);
}

void luc_deferred_free_hold(luc_deferred *d)
{
    lucid_tensor *t = d->tensor;
    luc_lock(LUC_LOCK_DEFERRED);
    d->state = WAITING;
    luc_unlock(LUC_LOCK_DEFERRED);
    lucid_release(t);
}

bool luc_deferred_compute(luc_deferred *d, lucid_tensor **extra)
{
    return compute_held(d, extra);
}

luc_deferred *luc_deferred_last(void)
{
    return here.last;
}

bool luc_deferred_settle(void)
{
    luc_deferred *d = here.last;
    here.last = NULL;
    return !d || run(d);
}

/* ---- for lucid/: what the marks lead to ------------------------------------------------------ */

static bool compute_tensor(lucid_tensor *t)
{
    luc_lock(LUC_LOCK_DEFERRED);
    luc_deferred *d = t->deferred;
    if (d) atomic_fetch_add_explicit(&d->refs, 1, memory_order_relaxed);
    luc_unlock(LUC_LOCK_DEFERRED);
    if (!d) return true; /* another thread has just done it */
    const bool ok = run(d);
    deferred_release(d);
    return ok;
}

/* A result that nobody can read is not computed, unless computing it changes an input. */
static void forget(lucid_tensor *t)
{
    luc_lock(LUC_LOCK_DEFERRED);
    luc_deferred *d = t->deferred;
    if (!d || atomic_load(&t->refs) != LUC_WAITS) { /* another thread holds it */
        luc_unlock(LUC_LOCK_DEFERRED);
        return;
    }
    atomic_fetch_add(&t->refs, 1);
    const bool compute_it = d->writes != 0;
    d->state = RUNNING;
    d->runner = &here;
    d->fork_depth = luc_fork_depth();
    luc_unlock(LUC_LOCK_DEFERRED);
    if (compute_it) compute(d, NULL); /* its error stays, where it fails */
    luc_lock(LUC_LOCK_DEFERRED);
    finish(d);
    luc_unlock(LUC_LOCK_DEFERRED);
    drop_inputs(d);
    deferred_release(d);
    lucid_release(t);
}

static bool reads(const luc_deferred *d, const luc_storage *s)
{
    bool found = false;
    luc_lock(LUC_LOCK_DEFERRED);
    for (int i = 0; d->state == WAITING && i < d->what.n; i++)
        found |= d->what.in[i] && d->what.in[i]->storage == s;
    luc_unlock(LUC_LOCK_DEFERRED);
    return found;
}

static bool before_write(const luc_storage *s)
{
    bool ok = true;
    for (luc_deferred *d = here.list; d && ok; d = d->next)
        if (reads(d, s)) ok = run(d);
    return ok;
}

static bool compute_all(void)
{
    bool ok = true;
    here.last = NULL;
    for (luc_deferred *d = here.list; d; d = d->next) ok &= run(d);
    return ok;
}

static bool stop_waiting(void)
{
    luc_fusing = false;
    return compute_all();
}

__attribute__((constructor)) static void attach(void)
{
    luc_tensor_autograd.compute = compute_tensor;
    luc_tensor_autograd.forget = forget;
    luc_tensor_autograd.before_write = before_write;
    luc_tensor_autograd.compute_all = compute_all;
    luc_tensor_autograd.stop_waiting = stop_waiting;
}

/* ---- around lucid_forward -------------------------------------------------------------------- */

bool lucid_set_fusion(bool enabled)
{
    if (luc_fusing && !enabled) luc_deferred_settle();
    luc_fusing = here.depth > 0 && enabled;
    return !atomic_exchange(&fusion_off, !enabled);
}

bool lucid_get_fusion(void)
{
    return !atomic_load(&fusion_off);
}

void luc_fuse_enter(void)
{
    if (here.depth++ == 0) luc_fusing = !atomic_load_explicit(&fusion_off, memory_order_relaxed);
}

bool luc_fuse_leave(void)
{
    if (--here.depth > 0) return true;
    luc_fusing = false;
    if (!luc_waiting) return true;
    const bool ok = compute_all();
    prune(true);
    return ok;
}

luc_fuse_pause luc_fuse_pause_begin(void)
{
    const luc_fuse_pause pause = {here.depth, luc_fusing};
    here.depth = 0;
    luc_fusing = false;
    return pause;
}

void luc_fuse_pause_end(luc_fuse_pause pause)
{
    here.depth = pause.depth;
    luc_fusing = pause.fusing;
}

void luc_fuse_end_thread(void)
{
    prune(true);
    luc_fuse_pause_end((luc_fuse_pause){0, false});
}

/* ---- letting an application wait ------------------------------------------------------------- */

static bool looks_like(const lucid_meta *a, const lucid_meta *b)
{
    if (a->dtype != b->dtype || !luc_dims_equal(a->ndim, a->dims, b->ndim, b->dims)) return false;
    for (int d = 0; d < a->ndim; d++)
        if (a->dims[d] > 1 && a->strides[d] != b->strides[d]) return false;
    return true;
}

/* Marks the inputs that d will change. Returns false if one has another application's mark. */
static bool mark_writes(luc_deferred *d, luc_deferred *from)
{
    const lucid_call *c = &d->call;
    d->writes = c->op->mutates ? c->op->mutates(c) : 0;
    for (int i = 0; i < c->n_in; i++) {
        if (!c->in[i]) d->writes &= ~(1u << i);
        const luc_deferred *other = d->writes >> i & 1 ? c->in[i]->deferred : NULL;
        if (other && other != from) return false;
    }
    for (uint32_t w = d->writes; w; w &= w - 1) {
        lucid_tensor *t = c->in[__builtin_ctz(w)];
        if (t->deferred)
            t->deferred = d; /* the mark was `from`'s */
        else
            mark(t, d);
    }
    return true;
}

/* d takes the result of `from`, or `from` continues to wait without what d writes. */
static void take_over(luc_deferred *d, luc_deferred *from, bool inplace)
{
    lucid_tensor *t = d->tensor;
    if (inplace) {
        luc_lock(LUC_LOCK_DEFERRED);
        t->deferred = d;
        from->writes = 0;
        from->state = DONE;
        luc_unlock(LUC_LOCK_DEFERRED);
        luc_storage_bump(t->storage);
        drop_inputs(from);
        deferred_release(from);
        lucid_release(t); /* the hold's */
    } else if (from) {
        leave_inputs_alone(from);
    }
}

/* An application that joins others belongs to the module of the first one. */
static bool note_module(luc_deferred *d, const luc_deferred *from)
{
    char path[512];
    d->module = NULL;
    if (!luc_profiler_is_on() && !atomic_load_explicit(&luc_anomaly, memory_order_relaxed))
        return true;
    if (from && from->module)
        snprintf(path, sizeof path, "%s", from->module);
    else
        luc_module_path(path, sizeof path);
    return (d->module = luc_strdup(path, d->call.op->name)) != NULL;
}

/* Fills d; LUC_FUSED: it can wait. */
static luc_fused prepare(luc_deferred *d, const luc_joined *what, const luc_deferred *from,
                         const lucid_meta *like)
{
    d->what = *what;
    d->grad_off = luc_grad_off;
    d->autocast = luc_autocast_now;
    if (!luc_call_begin(&d->call, what->op, d->what.in, what->n,
                        what->op->attrs_size ? d->what.attrs : NULL))
        return LUC_FUSE_ERROR;
    if (!luc_call_kernel(&d->call).run || (like && !looks_like(like, &d->call.out[0])))
        return LUC_NOT_FUSED;
    return note_module(d, from) ? LUC_FUSED : LUC_FUSE_ERROR;
}

/* Makes d visible to other threads. Returns false if another application's mark prevents it. */
static bool begin_waiting(luc_deferred *d, luc_deferred *from, bool inplace)
{
    d->state = WAITING;
    atomic_init(&d->refs, 2); /* the tensor's and the list's */
    for (int i = 0; i < d->what.n; i++) {
        const lucid_tensor *t = lucid_retain(d->what.in[i]);
        if (t) d->version[i] = atomic_load_explicit(&t->storage->version, memory_order_relaxed);
    }
    luc_lock(LUC_LOCK_DEFERRED);
    const bool ok = mark_writes(d, from);
    if (ok && !inplace) mark(d->tensor, d);
    luc_unlock(LUC_LOCK_DEFERRED);
    for (int i = 0; !ok && i < d->what.n; i++) lucid_release(d->what.in[i]);
    return ok;
}

static void add_to_list(luc_deferred *d)
{
    if (luc_waiting >= here.prune_at) prune(false);
    d->next = here.list;
    here.list = here.last = d;
    luc_waiting++;
}

luc_fused luc_defer(const luc_joined *what, luc_deferred *from, bool inplace,
                    const lucid_meta *like, lucid_tensor **result)
{
    luc_deferred *d = luc_pool_alloc(sizeof *d, what->op->name);
    if (!d) return LUC_FUSE_ERROR;
    luc_fused made = prepare(d, what, from, like);
    if (made != LUC_FUSED) goto fail;
    made = LUC_FUSE_ERROR;
    d->tensor = inplace ? from->tensor
                        : luc_tensor_without_data(&d->call.out[0], d->call.device, what->op->name);
    if (!d->tensor) goto fail_with_module;
    d->tensor->requires_grad = d->call.needs != 0;
    d->tensor->no_grad = luc_grad_off;
    made = begin_waiting(d, from, inplace) ? LUC_FUSED : LUC_NOT_FUSED;
    if (made != LUC_FUSED) goto fail_with_module;
    *result = d->tensor;
    add_to_list(d);
    take_over(d, from, inplace);
    return LUC_FUSED;
fail_with_module:
    luc_free(d->module);
fail:
    luc_pool_free(d, sizeof *d);
    return made;
}
