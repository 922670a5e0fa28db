/* apply.c: applying an operator: checks, shapes, the kernel, the record.
 *
 * This is the path of every operation: on small tensors its own cost is what counts. It allocates
 * the outputs and, when recording, one node; it clears nothing that it does not use. */
#include "autograd/dispatch/autocast_priv.h"
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/dispatch/fuse_priv.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/profiler_priv.h"
#include "lucid/core/stack_priv.h"
#include "lucid/core/tensor_priv.h"

/* ---- checks ---------------------------------------------------------------------------------- */

/* Raises that input i differs from the first given one in device or dtype. If one of the two has
 * integers, such as an image that was not converted, the message blames that one. */
static bool mismatch(const lucid_op *op, lucid_tensor *const *in, int i)
{
    int first_i = 0;
    while (!in[first_i]) first_i++;
    const lucid_tensor *first = in[first_i], *t = in[i];
    lucid_device want = first->storage->device, got = t->storage->device;
    luc_text name = luc_argument_name(op, i);
    if (!lucid_device_equal(want, got))
        return luc_raise(LUCID_ERR_ARGUMENT, op->name, "%s: expected a tensor on %s, got %s",
                         name.s, lucid_device_name(want), lucid_device_name(got));
    if (lucid_dtype_is_floating(t->view.dtype) && !lucid_dtype_is_floating(first->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op->name, "%s: expected dtype %s like %s, got %s",
                         luc_argument_name(op, first_i).s, lucid_dtype_name(t->view.dtype), name.s,
                         lucid_dtype_name(first->view.dtype));
    return luc_raise(LUCID_ERR_ARGUMENT, op->name, "%s: expected dtype %s, got %s", name.s,
                     lucid_dtype_name(first->view.dtype), lucid_dtype_name(t->view.dtype));
}

/* Checks devices, dtypes and missing inputs; finds c->needs and the computing dtype. */
static bool check_inputs(lucid_call *c)
{
    const lucid_op *op = c->op;
    const bool record = !luc_grad_off && !(op->flags & LUCID_OP_NO_GRAD);
    const lucid_tensor *first = NULL;
    for (int i = 0; i < c->n_in; i++) {
        lucid_tensor *t = c->in[i];
        if (!t) {
            if (luc_is_optional(op, i)) continue;
            /* It comes from an earlier error, which stays, or is the caller's mistake. */
            return luc_raise(LUCID_ERR_ARGUMENT, op->name, "%s: expected a tensor, got NULL",
                             luc_argument_name(op, i).s);
        }
        if (!luc_is_plain(t) && !luc_look_closer(t, op->name, luc_argument_name(op, i).s, true))
            return false;
        if (!first)
            first = t;
        else if (t->storage->device.type != first->storage->device.type ||
                 t->storage->device.index != first->storage->device.index ||
                 (t->view.dtype != first->view.dtype && !(op->flags & LUCID_OP_MIXED_DTYPES)))
            return mismatch(op, c->in, i);
        if (record) {
            if (!luc_view_refresh(t)) return false;
            if (t->requires_grad) c->needs |= 1u << i;
        }
    }
    c->device = first ? first->storage->device : lucid_cpu();
    c->kernel_dtype = first ? first->view.dtype : LUCID_DTYPE_COUNT;
    return true;
}

bool luc_refuse_apply(const lucid_op *op, int n, const char *function)
{
    if (!op) return luc_raise(LUCID_ERR_ARGUMENT, function, "op: expected an operator, got NULL");
    if (!op->name)
        return luc_raise(LUCID_ERR_ARGUMENT, function, "op: expected an operator with a name");
    return luc_raise(LUCID_ERR_ARGUMENT, op->name, "inputs: expected %d tensors, got NULL", n);
}

/* Checks the numbers of inputs and outputs of the operator, and the n given inputs. */
static bool check_counts(const lucid_op *op, int n)
{
    if (op->n_in >= 0 && n != op->n_in)
        return luc_raise(LUCID_ERR_ARGUMENT, op->name, "inputs: expected %d, got %d", op->n_in, n);
    if (n < 0 || n > LUC_MAX_APPLY)
        return luc_raise(LUCID_ERR_ARGUMENT, op->name, "inputs: expected at most %d, got %d",
                         LUC_MAX_APPLY, n);
    if (op->flags & LUCID_OP_BROADCAST && n > LUCID_MAX_INPUTS)
        return luc_raise(LUCID_ERR_ARGUMENT, op->name,
                         "inputs: expected at most %d that are broadcast, got %d", LUCID_MAX_INPUTS,
                         n);
    if (op->n_out < 1 || op->n_out > LUCID_MAX_OUTPUTS)
        return luc_raise(LUCID_ERR_ARGUMENT, op->name, "n_out: expected 1 to %d, got %d",
                         LUCID_MAX_OUTPUTS, op->n_out);
    if (op->flags & LUCID_OP_VIEW && (n < 1 || op->n_out != 1))
        return luc_raise(LUCID_ERR_ARGUMENT, op->name,
                         "inputs: expected at least one input and one output of a view, got %d, %d",
                         n, op->n_out);
    if (op->keeps < 0 || (op->keeps > 0 && op->keeps >= n))
        return luc_raise(LUCID_ERR_ARGUMENT, op->name, "keeps: expected one of %d inputs, got %d",
                         n, op->keeps);
    return true;
}

bool luc_call_begin(lucid_call *c, const lucid_op *op, lucid_tensor *const *inputs, int n,
                    const void *attrs)
{
    if (!check_counts(op, n)) return false;
    if (!attrs && op->attrs_size)
        return luc_raise(LUCID_ERR_ARGUMENT, op->name,
                         "attrs: expected the operator's %zu bytes, got NULL", op->attrs_size);
    if (op->flags & LUCID_OP_NONDETERMINISTIC && lucid_get_deterministic())
        return luc_raise(LUCID_ERR_STATE, op->name,
                         "expected an operator with a deterministic form while "
                         "lucid_set_deterministic(true) holds; this one has none");
    c->op = op;
    c->n_in = n;
    c->n_out = op->n_out;
    c->in = inputs;
    c->attrs = attrs;
    c->needs = 0;
    if (!check_inputs(c)) return false;
    if (!(op->infer ? op->infer(c) : luc_infer_broadcast(c))) return false;
    if (!luc_check_outputs(c)) return false;
    if (c->kernel_dtype == LUCID_DTYPE_COUNT) c->kernel_dtype = c->out[0].dtype;
    if (c->needs) {
        /* Integers carry no gradient. */
        bool floating = false;
        for (int i = 0; i < c->n_out; i++) floating |= lucid_dtype_is_floating(c->out[i].dtype);
        if (!floating) c->needs = 0;
    }
    return true;
}

/* ---- computing ------------------------------------------------------------------------------- */

lucid_kernel luc_call_kernel(const lucid_call *c)
{
    const lucid_op *op = c->op;
    /* A program's own operator may have left .id at 0: only lucid's own are in the table. */
    if ((unsigned)op->id < LUCID_OP_COUNT && luc_op_table[op->id] == op) {
        const lucid_backend *b = luc_backend_of(c->device.type);
        return b ? b->kernels[op->id][c->kernel_dtype] : (lucid_kernel){NULL, NULL};
    }
    if (c->device.type != LUCID_CPU) return (lucid_kernel){NULL, NULL};
    lucid_run_fn own = op->kernels[c->kernel_dtype];
    return (lucid_kernel){op->plan, own ? own : op->kernel};
}

/* v, broadcast to the sizes of out. */
static void expand_view(lucid_view *to, const lucid_view *v, const lucid_view *out)
{
    to->data = v->data;
    to->dtype = v->dtype;
    to->ndim = out->ndim;
    int lead = out->ndim - v->ndim;
    for (int d = 0; d < out->ndim; d++) {
        to->dims[d] = out->dims[d];
        bool real = d >= lead && (v->dims[d - lead] != 1 || out->dims[d] == 1);
        to->strides[d] = real ? v->strides[d - lead] : 0;
    }
}

static bool run_kernel(const lucid_call *c, lucid_kernel kernel, lucid_tensor *const *in,
                       lucid_tensor *const *out)
{
    const lucid_view *in_view[LUC_MAX_APPLY], *out_view[LUCID_MAX_OUTPUTS];
    lucid_view expanded[LUCID_MAX_INPUTS];
    for (int i = 0; i < c->n_out; i++) out_view[i] = &out[i]->view;
    for (int i = 0; i < c->n_in; i++) in_view[i] = in[i] ? &in[i]->view : NULL;
    if (c->op->flags & LUCID_OP_BROADCAST) {
        const lucid_view *o = out_view[0];
        for (int i = 0; i < c->n_in && i < LUCID_MAX_INPUTS; i++) {
            const lucid_view *v = in_view[i];
            if (!v || luc_dims_equal(v->ndim, v->dims, o->ndim, o->dims)) continue;
            expand_view(&expanded[i], v, o);
            in_view[i] = &expanded[i];
        }
    }
    lucid_kernel_args args = {
        .op = (lucid_op_id)c->op->id,
        .n_in = c->n_in,
        .n_out = c->n_out,
        .in = in_view,
        .out = out_view,
        .attrs = c->attrs,
    };
    lucid_keep keep;
    lucid_tensor *kept = c->op->keeps ? in[c->op->keeps] : NULL;
    if (kept && c->device.type == LUCID_CPU && c->needs) {
        luc_keep_drop(kept->storage); /* training will change it */
    } else if (kept && luc_keep_begin(&keep, kept)) {
        args.keep = &keep;
    }
    const lucid_backend *b = luc_backend_of(c->device.type);
    return b && luc_kernel_call(b, c->device, kernel, c->kernel_dtype, c->op->name, &args);
}

/* Bumps the versions of the inputs that the operator writes. */
__attribute__((noinline)) static bool run_and_mutate(const lucid_call *c, lucid_kernel kernel,
                                                     lucid_tensor *const *in,
                                                     lucid_tensor *const *out)
{
    const uint32_t mutated = c->op->mutates(c);
    for (uint32_t m = mutated; m; m &= m - 1) {
        const int i = __builtin_ctz(m);
        if (in[i] && !luc_before_write(in[i]->storage)) return false;
    }
    if (!run_kernel(c, kernel, in, out)) return false;
    for (uint32_t m = mutated; m; m &= m - 1) {
        const int i = __builtin_ctz(m);
        if (in[i]) luc_storage_bump(in[i]->storage);
    }
    return true;
}

bool luc_call_compute(const lucid_call *c, lucid_tensor *const *in, lucid_tensor *const *out)
{
    const lucid_kernel kernel = luc_call_kernel(c);
    return c->op->mutates ? run_and_mutate(c, kernel, in, out) : run_kernel(c, kernel, in, out);
}

/* Makes the outputs with other operators, without recording. Temporary tensors end here. */
static bool compose(const lucid_call *c, lucid_tensor **outputs)
{
    bool grad_mode = lucid_set_grad_enabled(false);
    size_t autocast = lucid_autocast_begin(LUCID_AUTOCAST_OFF); /* .infer has set the dtypes */
    const luc_fuse_pause pause = luc_fuse_pause_begin();        /* no result in here waits */
    size_t scope = lucid_scope_begin();
    lucid_tensor *made[LUCID_MAX_OUTPUTS] = {NULL};
    bool ok = scope && c->op->compose(c, made);
    for (int i = 0; i < c->n_out && ok; i++) {
        lucid_tensor *t = made[i];
        ok = t && luc_is_living(t, c->op->name, "the result of its .compose");
        /* An output is a tensor of its own, which may get a history of its own. */
        for (int j = 0; j < c->n_in && ok; j++)
            if (t == c->in[j]) {
                lucid_meta meta;
                luc_tensor_get_meta(t, &meta);
                made[i] = luc_tensor_on(t->storage, &meta, c->op->name);
                ok = made[i] != NULL;
                break;
            }
        if (made[i]) { /* its own history is not visible outside */
            made[i]->no_grad_view = false;
            made[i]->no_grad = !grad_mode;
        }
        outputs[i] = lucid_scope_return(made[i]);
    }
    lucid_scope_end(scope);
    luc_fuse_pause_end(pause);
    lucid_autocast_end(autocast);
    lucid_set_grad_enabled(grad_mode);
    return ok;
}

static bool compute(const lucid_call *c, lucid_tensor **outputs)
{
    const lucid_kernel kernel = luc_call_kernel(c);
    if (!kernel.run && c->op->compose) return compose(c, outputs);
    for (int i = 0; i < c->n_out; i++) {
        outputs[i] = luc_tensor_new(&c->out[i], c->device, c->op->name);
        if (!outputs[i]) return false;
        outputs[i]->no_grad = luc_grad_off;
    }
    return c->op->mutates ? run_and_mutate(c, kernel, c->in, outputs)
                          : run_kernel(c, kernel, c->in, outputs);
}

static bool view(const lucid_call *c, lucid_tensor **outputs)
{
    lucid_tensor *t = c->in[0];
    outputs[0] = luc_tensor_on(t->storage, &c->out[0], c->op->name);
    if (!outputs[0]) return false;
    outputs[0]->no_grad = luc_grad_off || t->no_grad;
    return (c->op->flags & LUCID_OP_NO_GRAD) || luc_view_track(outputs[0], t);
}

/* ---- the functions --------------------------------------------------------------------------- */

/* Applies the operator at once, without casts. */
static bool apply_now(const lucid_op *op, lucid_tensor *const *inputs, int n, const void *attrs,
                      lucid_tensor **outputs)
{
    lucid_call c; /* not cleared: 600 bytes, of which few are used */
    luc_span span;
    const bool profiled = luc_profiler_is_on();
    if (profiled) luc_span_begin(&span, false);
    if (!luc_call_begin(&c, op, inputs, n, attrs)) goto fail;
    if (!(op->flags & LUCID_OP_VIEW ? view(&c, outputs) : compute(&c, outputs))) goto fail;
    if (c.needs && !luc_record(&c, outputs)) goto fail;
    if (profiled && !luc_profile_call(&span, &c)) goto no_memory;
    return true;
fail:
    if (profiled) luc_span_drop(&span);
no_memory:
    for (int i = 0; i < op->n_out && i < LUCID_MAX_OUTPUTS; i++) outputs[i] = NULL;
    return false;
}

/* Applies the operator without casts. first: the caller takes output 0 only. */
static inline bool apply(const lucid_op *op, lucid_tensor *const *inputs, int n, const void *attrs,
                         lucid_tensor **outputs, bool first)
{
    if (__builtin_expect(luc_fusing, false)) {
        const luc_fused fused = luc_fuse_apply(op, inputs, n, attrs, outputs, first);
        if (fused != LUC_NOT_FUSED) return fused == LUC_FUSED;
    }
    return apply_now(op, inputs, n, attrs, outputs);
}

/* Applies the operator to inputs that are cast. Casts that are not kept end here. */
static bool apply_cast(const lucid_op *op, lucid_tensor *const *inputs, int n, const void *attrs,
                       lucid_dtype dtype, lucid_tensor **outputs, bool first)
{
    lucid_tensor *cast[LUC_MAX_APPLY];
    size_t scope = lucid_scope_begin();
    bool ok = scope && luc_autocast_inputs(inputs, n, dtype, cast) &&
              apply(op, cast, n, attrs, outputs, first);
    for (int i = 0; i < (first ? 1 : op->n_out) && i < LUCID_MAX_OUTPUTS; i++)
        outputs[i] = ok ? lucid_scope_return(outputs[i]) : NULL;
    lucid_scope_end(scope);
    return ok;
}

static inline bool apply_as_autocast_says(const lucid_op *op, lucid_tensor *const *inputs, int n,
                                          const void *attrs, lucid_tensor **outputs, bool first)
{
    if (luc_autocast_is_on() && op->autocast && n >= 0 && n <= LUC_MAX_APPLY) {
        lucid_dtype dtype = luc_autocast_target(op, inputs, n);
        if (dtype != LUCID_DTYPE_COUNT)
            return apply_cast(op, inputs, n, attrs, dtype, outputs, first);
    }
    return apply(op, inputs, n, attrs, outputs, first);
}

bool lucid_apply_multi(const lucid_op *op, lucid_tensor *const *inputs, int n, const void *attrs,
                       lucid_tensor **outputs)
{
    if (!luc_check_apply(op, inputs, n, "apply_multi")) return false;
    if (!outputs)
        return luc_raise(LUCID_ERR_ARGUMENT, op->name, "outputs: expected room for %d, got NULL",
                         op->n_out);
    return apply_as_autocast_says(op, inputs, n, attrs, outputs, op->n_out == 1);
}

lucid_tensor *lucid_apply(const lucid_op *op, lucid_tensor *const *inputs, int n, const void *attrs)
{
    lucid_tensor *outputs[LUCID_MAX_OUTPUTS];
    if (!luc_check_apply(op, inputs, n, "apply")) return NULL;
    return apply_as_autocast_says(op, inputs, n, attrs, outputs, true) ? outputs[0] : NULL;
}

/* ---- threads --------------------------------------------------------------------------------- */

static void end_thread(void)
{
    luc_autocast_end_all();
    luc_fuse_end_thread();
}

__attribute__((constructor)) static void attach(void)
{
    luc_tensor_autograd.end_thread = end_thread;
}
