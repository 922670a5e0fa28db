/* engine.c: backward.
 *
 * A run first finds every node that the roots depend on and counts, for each, the edges that lead
 * to it. A node is ready when all of them have delivered; of the ready ones the last recorded runs
 * first, so the order, and with it every sum, is the same in each run. A node's gradients are
 * dropped when its vjp has run, its saved tensors too unless the graph is retained. */
#include "autograd/engine/engine_priv.h"
#include "autograd/dispatch/fuse_priv.h"
#include "autograd/engine/run_priv.h"
#include "autograd/graph/graph_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- the walk -------------------------------------------------------------------------------- */

/* Adds grad, whose reference it takes, to what has arrived at an edge's target. */
static bool deliver(luc_run *run, luc_slot *to, int nr, lucid_tensor *grad)
{
    lucid_tensor **sum = &to->grad[nr];
    if (!*sum) {
        *sum = grad;
        return true;
    }
    *sum = luc_accumulate_buffer(*sum, grad, run->create_graph);
    lucid_release(grad);
    return *sum != NULL;
}

static void capture(luc_run *run, const luc_slot *s, int nr, lucid_tensor *grad)
{
    for (size_t i = 0; i < run->n_inputs; i++) {
        const luc_edge *e = &run->input[i];
        if (e->fn != s->fn || e->leaf != s->leaf || e->nr != nr) continue;
        lucid_release(run->captured[i]);
        run->captured[i] = lucid_retain(grad);
    }
}

static bool run_leaf(luc_run *run, luc_slot *s)
{
    if (!s->grad[0]) return true;
    if (!luc_run_leaf_hooks(s->leaf, &s->grad[0])) return false;
    if (run->captured) {
        if (s->target) capture(run, s, 0, s->grad[0]);
        return true;
    }
    return luc_accumulate(s->leaf, s->grad[0], run->create_graph);
}

/* Hooks, kept gradients and captures: the gradients of a node's outputs are complete. */
static bool outputs_complete(luc_run *run, luc_slot *s)
{
    for (int k = 0; k < s->fn->n_out; k++) {
        if (!s->grad[k]) continue;
        if (!luc_run_node_hooks(s->fn, k, &s->grad[k])) return false;
        if (!luc_keep_retained(s->fn, k, s->grad[k], run->create_graph)) return false;
        if (s->target && run->captured) capture(run, s, k, s->grad[k]);
    }
    return true;
}

/* Whether a slot, or one that it leads to, has a wanted gradient. */
static bool leads_on(const luc_run *run, const luc_slot *s)
{
    return !run->selective || s->wanted || s->target;
}

/* Bit i: the gradient of input i is to be computed. */
static uint32_t wanted_inputs(luc_run *run, const lucid_node *n)
{
    if (!run->selective) return ~0u;
    uint32_t wanted = 0;
    for (int i = 0; i < n->n_in; i++) {
        const luc_edge *e = &n->edge[i];
        if ((e->fn || e->leaf) && leads_on(run, &run->slot[luc_run_find(run, e)]))
            wanted |= 1u << i;
    }
    return wanted;
}

/* Runs the vjp in a scope of its own; grad_in[] become owned references. */
static bool run_vjp(luc_run *run, lucid_node *n, luc_vjp_run *vjp, lucid_tensor *const *grad_out)
{
    luc_vjp_begin(vjp, n, grad_out); /* the caller releases grad_in after a failure too */
    size_t scope = lucid_scope_begin_at("lucid_backward", 0);
    if (!scope) return false;
    vjp->v.needs &= wanted_inputs(run, n);
    bool ok = luc_profiler_is_on() ? luc_profile_vjp(vjp, n) : luc_vjp_call(vjp);
    if (ok && lucid_is_anomaly_enabled()) ok = luc_anomaly_check(n, vjp->grad_in);
    for (int i = 0; i < n->n_in; i++) vjp->grad_in[i] = ok ? lucid_retain(vjp->grad_in[i]) : NULL;
    lucid_scope_end(scope);
    if (ok && !run->retain_graph) luc_node_release_saved(n);
    return ok;
}

static void drop_grads(luc_slot *s)
{
    const int n = s->fn ? s->fn->n_out : 1;
    for (int k = 0; k < n; k++) {
        lucid_release(s->grad[k]);
        s->grad[k] = NULL;
    }
}

static bool run_node(luc_run *run, size_t at)
{
    luc_vjp_run vjp;
    luc_slot *s = &run->slot[at];
    lucid_node *n = s->fn;
    bool arrived = false, ok = outputs_complete(run, s);
    for (int k = 0; k < n->n_out; k++) arrived |= s->grad[k] != NULL;
    if (!ok || (run->selective && !s->wanted)) {
        drop_grads(s);
        return ok;
    }
    if (arrived) {
        ok = run_vjp(run, n, &vjp, s->grad);
        drop_grads(s);
    }
    for (int i = 0; i < n->n_in; i++) {
        const luc_edge *e = &n->edge[i];
        lucid_tensor *grad = arrived ? vjp.grad_in[i] : NULL;
        size_t to = ok && (e->fn || e->leaf) ? luc_run_find(run, e) : SIZE_MAX;
        if (to == SIZE_MAX) {
            lucid_release(grad);
            continue;
        }
        luc_slot *t = &run->slot[to];
        if (grad && leads_on(run, t))
            ok = deliver(run, t, e->nr, grad);
        else
            lucid_release(grad);
        if (--t->waits == 0 && ok) ok = luc_run_push(run, to);
    }
    return ok;
}

static bool walk(luc_run *run)
{
    while (run->heap_n) {
        size_t at = luc_run_pop(run);
        luc_slot *s = &run->slot[at];
        if (s->fn) {
            if (!run_node(run, at)) return false;
            continue;
        }
        if ((!run->selective || s->wanted) && !run_leaf(run, s)) return false;
        drop_grads(s);
    }
    return true;
}

/* ---- roots ----------------------------------------------------------------------------------- */

const char *luc_no_gradient_reason(const lucid_tensor *t)
{
    if (t->no_grad)
        return "was computed while nothing was recorded (inside of LUCID_NO_GRAD or after "
               "lucid_set_grad_enabled(false))";
    return "does not";
}

static bool check_root(lucid_tensor *root, lucid_tensor *gradient, const char *op)
{
    if (!luc_view_refresh(root)) return false;
    if (!root->requires_grad)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "root: expected a tensor that requires a gradient, got one that %s",
                         luc_no_gradient_reason(root));
    if (!gradient) {
        if (root->numel == 1) return true;
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "gradient: a root of shape %s needs one: only a one-element root does not",
                         luc_shape_text(root).s);
    }
    if (luc_dims_equal(root->view.ndim, root->view.dims, gradient->view.ndim,
                       gradient->view.dims) &&
        root->view.dtype == gradient->view.dtype &&
        lucid_device_equal(root->storage->device, gradient->storage->device))
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "gradient: expected %s %s on %s, got %s %s on %s",
                     luc_shape_text(root).s, lucid_dtype_name(root->view.dtype),
                     lucid_device_name(root->storage->device), luc_shape_text(gradient).s,
                     lucid_dtype_name(gradient->view.dtype),
                     lucid_device_name(gradient->storage->device));
}

/* The gradient that a root starts with, owned. */
static lucid_tensor *first_grad(lucid_tensor *root, lucid_tensor *gradient)
{
    if (gradient) return lucid_retain(gradient);
    lucid_meta meta;
    luc_tensor_get_meta(root, &meta);
    luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    lucid_tensor *one = luc_tensor_new(&meta, root->storage->device, "backward");
    return one && luc_fill_data(one, 1, "backward") ? lucid_retain(one) : NULL;
}

static bool start(luc_run *run, lucid_tensor *const *roots, lucid_tensor *const *gradients,
                  const luc_edge *edges, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = luc_run_find(run, &edges[i]);
        lucid_tensor *g = first_grad(roots[i], gradients ? gradients[i] : NULL);
        if (!g || !deliver(run, &run->slot[at], edges[i].nr, g)) return false;
    }
    /* A root may depend on another one, and may be given twice. */
    for (size_t i = 0; i < n; i++) {
        size_t at = luc_run_find(run, &edges[i]);
        if (run->slot[at].waits) continue;
        run->slot[at].waits = -1; /* pushed */
        if (!luc_run_push(run, at)) return false;
    }
    return true;
}

/* Marks the inputs that were asked for. */
static bool mark_targets(luc_run *run)
{
    for (size_t i = 0; i < run->n_inputs; i++) {
        size_t at = luc_run_find(run, &run->input[i]);
        if (at == SIZE_MAX) return false;
        run->slot[at].target = true;
    }
    return luc_run_select(run);
}

/* run, with edges[n] to the roots. */
static bool run_edges(luc_run *run, lucid_tensor *const *roots, lucid_tensor *const *gradients,
                      const luc_edge *edges, size_t n)
{
    size_t scope = lucid_scope_begin_at("lucid_backward", 0);
    if (!scope) return false;
    if (!luc_before_any_write()) { /* gradients grow in place */
        luc_run_free(run);
        lucid_scope_end(scope);
        return false;
    }
    const luc_fuse_pause pause = luc_fuse_pause_begin();
    bool grad_mode = lucid_set_grad_enabled(run->create_graph);
    size_t autocast = lucid_autocast_begin(LUCID_AUTOCAST_OFF); /* the dtypes are forward's */
    bool ok = luc_run_discover(run, edges, n) && (!run->selective || mark_targets(run)) &&
              start(run, roots, gradients, edges, n) && walk(run);
    lucid_autocast_end(autocast);
    lucid_set_grad_enabled(grad_mode);
    luc_fuse_pause_end(pause);
    luc_run_free(run);
    lucid_scope_end(scope);
    return ok;
}

static bool execute(luc_run *run, lucid_tensor *const *roots, lucid_tensor *const *gradients,
                    size_t n, const char *op)
{
    for (size_t i = 0; i < n; i++) {
        if (!roots[i])
            return luc_raise(LUCID_ERR_ARGUMENT, op, "root: expected a tensor, got NULL");
        if (!luc_is_living(roots[i], op, "root") ||
            (gradients && !luc_is_living(gradients[i], op, "gradient")))
            return false;
        if (!check_root(roots[i], gradients ? gradients[i] : NULL, op)) return false;
    }
    luc_edge few[4], *edges = few;
    if (n > 4 && !(edges = luc_alloc(n * sizeof *edges, op))) return false;
    for (size_t i = 0; i < n; i++) edges[i] = luc_edge_of(roots[i]);
    bool ok = run_edges(run, roots, gradients, edges, n);
    for (size_t i = 0; i < n; i++) luc_edge_release(&edges[i]);
    if (edges != few) luc_free(edges);
    return ok;
}

/* ---- the functions --------------------------------------------------------------------------- */

/* The inputs' edges, in fresh memory. */
static luc_edge *input_edges(lucid_tensor *const *inputs, size_t n, const char *op)
{
    for (size_t i = 0; i < n; i++) {
        if (!inputs[i])
            return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                                  "inputs[%zu]: expected a tensor, got NULL", i);
        if (!luc_is_living(inputs[i], op, "inputs") || !luc_view_refresh(inputs[i])) return NULL;
        if (!inputs[i]->requires_grad)
            return luc_raise_null(
                LUCID_ERR_ARGUMENT, op,
                "inputs[%zu]: expected a tensor that requires a gradient, got one that %s", i,
                luc_no_gradient_reason(inputs[i]));
    }
    luc_edge *edges = luc_alloc(n * sizeof *edges, op);
    for (size_t i = 0; edges && i < n; i++) edges[i] = luc_edge_of(inputs[i]);
    return edges;
}

static void release_edges(luc_edge *edges, size_t n)
{
    for (size_t i = 0; edges && i < n; i++) luc_edge_release(&edges[i]);
    luc_free(edges);
}

bool lucid_backward_multi(lucid_tensor *const *roots, lucid_tensor *const *gradients, size_t n,
                          const lucid_backward_options *options)
{
    const lucid_backward_options *o = LUC_OPTIONS(lucid_backward, options, "backward");
    if (!o) return false;
    luc_run run = {
        .create_graph = o->create_graph,
        .retain_graph = o->retain_graph || o->create_graph,
        .selective = o->inputs != NULL,
    };
    if (o->gradient)
        return luc_raise(LUCID_ERR_ARGUMENT, "backward",
                         "gradient: give one for each root in `gradients`");
    if (n > 0 && !roots)
        return luc_raise(LUCID_ERR_ARGUMENT, "backward", "roots: expected %zu tensors, got NULL",
                         n);
    luc_scope_turn(LUC_TURN_BACKWARD);
    if (!run.selective) return execute(&run, roots, gradients, n, "backward");
    if (o->n_inputs == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, "backward", "inputs: expected at least 1, got 0");
    /* A result that is asked for keeps its gradient. */
    for (size_t i = 0; i < o->n_inputs; i++)
        if (o->inputs[i] && lucid_requires_grad(o->inputs[i]) && !lucid_retain_grad(o->inputs[i]))
            return false;
    run.n_inputs = o->n_inputs;
    run.input = input_edges(o->inputs, o->n_inputs, "backward");
    bool ok = run.input && execute(&run, roots, gradients, n, "backward");
    release_edges(run.input, run.n_inputs);
    return ok;
}

bool lucid_backward_opt(lucid_tensor *root, const lucid_backward_options *options)
{
    options = LUC_OPTIONS(lucid_backward, options, "backward");
    if (!options) return false;
    lucid_backward_options o = *options;
    o.gradient = NULL;
    return lucid_backward_multi(&root, options->gradient ? &options->gradient : NULL, 1, &o);
}

/* Hands what was captured to the caller's scope. */
static bool give_out(luc_run *run, lucid_tensor **grads, bool allow_unused)
{
    for (size_t i = 0; i < run->n_inputs; i++) {
        lucid_tensor *g = run->captured[i];
        run->captured[i] = NULL;
        if (!g && !allow_unused)
            return luc_raise(LUCID_ERR_ARGUMENT, "grad",
                             "inputs[%zu]: the outputs do not depend on it; .allow_unused = true "
                             "gives NULL for it",
                             i);
        if (g && !luc_scope_add(g)) return false;
        grads[i] = g;
    }
    return true;
}

bool lucid_grad_opt(lucid_tensor *const *outputs, size_t n_outputs, lucid_tensor *const *inputs,
                    size_t n_inputs, lucid_tensor **grads, const lucid_grad_options *options)
{
    const lucid_grad_options *o = LUC_OPTIONS(lucid_grad, options, "grad");
    if (!o) return false;
    luc_run run = {
        .create_graph = o->create_graph,
        .retain_graph = o->retain_graph || o->create_graph,
        .selective = true,
        .n_inputs = n_inputs,
    };
    const char *missing = n_outputs > 0 && !outputs ? "outputs"
                          : n_inputs > 0 && !inputs ? "inputs"
                          : n_inputs > 0 && !grads  ? "grads"
                                                    : NULL;
    if (missing)
        return luc_raise(LUCID_ERR_ARGUMENT, "grad", "%s: expected %zu tensors, got NULL", missing,
                         missing[0] == 'o' ? n_outputs : n_inputs);
    for (size_t i = 0; i < n_inputs; i++) grads[i] = NULL;
    run.input = input_edges(inputs, n_inputs, "grad");
    run.captured = run.input ? luc_calloc(n_inputs, sizeof *run.captured, "grad") : NULL;
    bool ok = run.captured && execute(&run, outputs, o->gradients, n_outputs, "grad") &&
              give_out(&run, grads, o->allow_unused);
    for (size_t i = 0; run.captured && i < n_inputs; i++) lucid_release(run.captured[i]);
    luc_free(run.captured);
    release_edges(run.input, n_inputs);
    for (size_t i = 0; !ok && i < n_inputs; i++) grads[i] = NULL;
    return ok;
}
