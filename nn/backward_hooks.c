/* backward_hooks.c: full backward hooks: two operators that do nothing forward, one around a
 * module's inputs and one around its outputs, receive the gradients that pass there. */
#include "autograd/autograd.h"
#include "autograd/op.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"

enum { MOST_IN = LUCID_MODULE_MAX_INPUTS, MOST_OUT = LUCID_MODULE_MAX_OUTPUTS };

_Static_assert((int)MOST_IN <= (int)LUCID_MAX_OUTPUTS && (int)MOST_OUT <= (int)LUCID_MAX_OUTPUTS,
               "one operator gives all of them");

/* Which of a module's tensors go through an operator: those that require a gradient. */
typedef struct watched {
    int n, of; /* how many go through the operator, and how many tensors there are */
    int at[MOST_IN > MOST_OUT ? MOST_IN : MOST_OUT];
} watched;

/* What one forward's two operators share: their state. */
struct luc_passage {
    atomic_int refs;
    lucid_module *module; /* owned reference */
    watched in, out;
    bool arrived;                     /* grad_out holds the outputs' gradients */
    lucid_tensor *grad_out[MOST_OUT]; /* owned */
};

typedef struct watch_attrs {
    luc_passage *passage;
} watch_attrs;

static void drop_grad_out(luc_passage *p)
{
    for (int i = 0; i < MOST_OUT; i++) {
        lucid_release(p->grad_out[i]);
        p->grad_out[i] = NULL;
    }
    p->arrived = false;
}

static void passage_retain(void *state)
{
    luc_passage *p = state;
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}

static void passage_release(void *state)
{
    luc_passage *p = state;
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) return;
    drop_grad_out(p);
    lucid_module_free(p->module);
    luc_free(p);
}

void luc_passage_release(luc_passage *p)
{
    if (p) passage_release(p);
}

static bool infer_same(lucid_call *c)
{
    for (int i = 0; i < c->n_out; i++) luc_tensor_get_meta(c->in[i], &c->out[i]);
    return true;
}

/* The results share the inputs' memory but are no views, so that an operator in place on one of
 * them cannot come before this operator in the graph. */
static bool same_memory(const lucid_call *c, lucid_tensor **out)
{
    for (int i = 0; i < c->n_out; i++) out[i] = c->in[i];
    return true;
}

static bool output_vjp(lucid_vjp *v)
{
    luc_passage *p = v->state;
    drop_grad_out(p);
    for (int i = 0; i < v->n_out; i++) {
        v->grad_in[i] = v->grad_out[i];
        p->grad_out[p->out.at[i]] = lucid_retain(v->grad_out[i]);
    }
    p->arrived = true;
    if (p->in.n > 0) return true; /* the hooks run when the inputs' gradients are known */
    lucid_tensor *none[MOST_IN] = {NULL};
    bool ok = luc_run_backward_hooks(p->module, none, p->in.of, p->grad_out, p->out.of);
    drop_grad_out(p);
    return ok;
}

static bool input_vjp(lucid_vjp *v)
{
    luc_passage *p = v->state;
    lucid_tensor *grads[MOST_IN] = {NULL};
    for (int i = 0; i < v->n_out; i++) grads[p->in.at[i]] = v->grad_out[i];
    bool ok =
        !p->arrived || luc_run_backward_hooks(p->module, grads, p->in.of, p->grad_out, p->out.of);
    drop_grad_out(p);
    for (int i = 0; i < v->n_out; i++) v->grad_in[i] = grads[p->in.at[i]];
    return ok;
}

#define WATCH(title, how_many, more_flags, run_vjp)                                        \
    {                                                                                      \
        .name = title, .id = LUCID_OP_CUSTOM, .n_in = how_many, .n_out = how_many,         \
        .flags = LUCID_OP_MIXED_DTYPES | (more_flags), .attrs_size = sizeof(watch_attrs),  \
        .infer = infer_same, .compose = (more_flags) ? NULL : same_memory, .vjp = run_vjp, \
        .state_retain = passage_retain, .state_release = passage_release,                  \
    }
#define WATCH_ALL(title, flags_of_one, run_vjp)                                                    \
    {                                                                                              \
        WATCH(title, 1, flags_of_one, run_vjp), WATCH(title, 2, 0, run_vjp),                       \
            WATCH(title, 3, 0, run_vjp), WATCH(title, 4, 0, run_vjp), WATCH(title, 5, 0, run_vjp), \
            WATCH(title, 6, 0, run_vjp), WATCH(title, 7, 0, run_vjp), WATCH(title, 8, 0, run_vjp), \
    }

/* The operators for 1, 2, ... tensors that go through. A single input is a view of the caller's
 * tensor, so that the module may change it in place. */
static const lucid_op output_ops[MOST_OUT] = WATCH_ALL("module_output", 0, output_vjp);
static const lucid_op input_ops[MOST_IN] = WATCH_ALL("module_input", LUCID_OP_VIEW, input_vjp);

static watched find_watched(lucid_tensor *const *tensors, int n)
{
    watched w = {.of = n};
    for (int i = 0; i < n; i++)
        if (tensors[i] && lucid_requires_grad(tensors[i])) w.at[w.n++] = i;
    return w;
}

/* Replaces those tensors by the results of an operator on them. */
static bool pass_through(const lucid_op *ops, const watched *w, lucid_tensor **tensors,
                         luc_passage *p)
{
    lucid_tensor *in[MOST_IN > MOST_OUT ? MOST_IN : MOST_OUT], *out[LUCID_MAX_OUTPUTS];
    const watch_attrs attrs = {p};
    if (w->n == 0) return true;
    for (int i = 0; i < w->n; i++) in[i] = tensors[w->at[i]];
    if (!lucid_apply_multi(&ops[w->n - 1], in, w->n, &attrs, out)) return false;
    for (int i = 0; i < w->n; i++) tensors[w->at[i]] = out[i];
    return true;
}

bool luc_watch_inputs(lucid_module *m, lucid_tensor **in, int n_in, luc_passage **passage)
{
    *passage = NULL;
    if (!lucid_is_grad_enabled() || !luc_has_hooks(m, LUC_HOOK_BACKWARD)) return true;
    luc_passage *p = luc_calloc(1, sizeof *p, m->cls->name);
    if (!p) return false;
    atomic_init(&p->refs, 1);
    p->module = lucid_module_retain(m);
    p->in = find_watched(in, n_in);
    if (!pass_through(input_ops, &p->in, in, p)) {
        passage_release(p);
        return false;
    }
    /* A change in place would not reach the caller's tensors, so it is refused. */
    for (int i = 0; p->in.n > 1 && i < p->in.n; i++) in[p->in.at[i]]->no_grad_view = true;
    *passage = p;
    return true;
}

bool luc_watch_outputs(lucid_tensor **out, int n_out, luc_passage *p)
{
    p->out = find_watched(out, n_out);
    return pass_through(output_ops, &p->out, out, p);
}
