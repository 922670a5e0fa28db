/* profile.c: reporting operators to the profiler. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/graph/graph_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/profiler_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

static double size_of(lucid_dtype dtype, int ndim, const int64_t *dims)
{
    return (double)luc_dims_numel(ndim, dims) * (double)lucid_dtype_size(dtype);
}

bool luc_profile_call(luc_span *span, const lucid_call *c)
{
    double bytes = 0, flops = 0;
    if (!(c->op->flags & LUCID_OP_VIEW)) { /* a view reads and writes nothing */
        for (int i = 0; i < c->n_in; i++) {
            const lucid_view *v = c->in[i] ? &c->in[i]->view : NULL;
            if (v) bytes += size_of(v->dtype, v->ndim, v->dims);
        }
        for (int i = 0; i < c->n_out; i++)
            bytes += size_of(c->out[i].dtype, c->out[i].ndim, c->out[i].dims);
        if (c->op->flops) flops = c->op->flops(c);
    }
    return luc_span_end(span, c->op->name, bytes, flops);
}

static void write_node_path(const luc_module_frame *frame, char *text, size_t size)
{
    const lucid_node *n = frame->module;
    const char *module = n->extra && n->extra->module ? n->extra->module : "";
    snprintf(text, size, "%s", module);
}

bool luc_profile_vjp(luc_vjp_run *vjp, lucid_node *n)
{
    luc_span span;
    luc_module_frame frame = {.module = n, .path = write_node_path};
    luc_module_frame_push(&frame);
    luc_span_begin(&span, true);
    bool ok = luc_vjp_call(vjp);
    if (ok)
        ok = luc_span_end(&span, n->op->name, 0, 0);
    else
        luc_span_drop(&span);
    luc_module_frame_pop(&frame);
    return ok;
}
