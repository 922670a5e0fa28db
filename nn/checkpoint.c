/* checkpoint.c: activations that backward computes a second time. */
#include "nn/checkpoint.h"
#include "autograd/autocast.h"
#include "autograd/autograd.h"
#include "autograd/op.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/random.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"

static _Thread_local bool recomputing;

bool lucid_is_recomputing(void)
{
    return recomputing;
}

enum { MOST_IN = LUCID_MODULE_MAX_INPUTS, MOST_OUT = LUCID_MODULE_MAX_OUTPUTS };

/* The operator's state: what backward needs to repeat the forward, which is the module, the state
 * of the random generator at its start, and the dtype of autocast. Inputs and outputs that were
 * NULL do not go through the operator. */
typedef struct segment {
    atomic_int refs;
    lucid_module *module; /* owned reference */
    lucid_generator begin;
    lucid_dtype autocast;
    int n_in, n_out;
    int given, made;      /* how many of them were not NULL */
    int in_at[MOST_IN];   /* which of the module's inputs is the operator's input i */
    int out_at[MOST_OUT]; /* which of the module's outputs is the operator's output i */
} segment;

typedef struct checkpoint_attrs {
    segment *segment;
} checkpoint_attrs;

static void segment_retain(void *state)
{
    segment *s = state;
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

static void segment_release(void *state)
{
    segment *s = state;
    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1) return;
    lucid_module_free(s->module);
    luc_free(s);
}

/* The operator's inputs: the module's, which are saved, a tensor that requires a gradient (the
 * parameters may require one while no input does), and the outputs that were computed. */
static uint32_t saves(const lucid_call *c)
{
    return (1u << (c->n_in - c->n_out - 1)) - 1;
}

/* Runs the forward again, recorded, from leaves instead of the inputs. */
static bool recompute(segment *s, lucid_tensor *const *in, lucid_tensor **out)
{
    LUCID_ENABLE_GRAD;
    LUCID_AUTOCAST(s->autocast);
    lucid_generator now = lucid_get_rng_state();
    bool before = recomputing;
    lucid_set_rng_state(s->begin);
    recomputing = true;
    bool ok = lucid_forward_many(s->module, in, s->n_in, out, s->n_out);
    recomputing = before;
    lucid_set_rng_state(now);
    return ok;
}

/* Runs backward from the outputs' gradients through what was computed again. */
static bool backward_through(const segment *s, lucid_tensor *const *out,
                             lucid_tensor *const *grad_out)
{
    lucid_tensor *roots[MOST_OUT], *gradients[MOST_OUT];
    size_t n = 0;
    for (int i = 0; i < s->made; i++) {
        lucid_tensor *y = out[s->out_at[i]];
        if (!grad_out[i]) continue;
        if (!y)
            return luc_raise(LUCID_ERR_STATE, "checkpoint",
                             "output %d: expected a tensor when it is computed anew, got NULL",
                             s->out_at[i]);
        if (!lucid_requires_grad(y)) continue;
        roots[n] = y;
        gradients[n++] = grad_out[i];
    }
    return n == 0 || lucid_backward_multi(roots, gradients, n, NULL);
}

static bool vjp(lucid_vjp *v)
{
    segment *s = v->state;
    lucid_tensor *in[MOST_IN] = {NULL}, *out[MOST_OUT];
    for (int i = 0; i < s->given; i++) {
        lucid_tensor *x = lucid_detach(lucid_saved_input(v, i));
        if (!x || (v->needs >> i & 1 && !lucid_requires_grad_(x, true))) return false;
        in[s->in_at[i]] = x;
    }
    if (!recompute(s, in, out) || !backward_through(s, out, v->grad_out)) return false;
    for (int i = 0; i < s->given; i++)
        if (v->needs >> i & 1) v->grad_in[i] = lucid_tensor_grad(in[s->in_at[i]]);
    return true;
}

static bool infer(lucid_call *c)
{
    const int first = c->n_in - c->n_out;
    for (int i = 0; i < c->n_out; i++) luc_tensor_get_meta(c->in[first + i], &c->out[i]);
    return true;
}

static bool same_memory(const lucid_call *c, lucid_tensor **out)
{
    const int first = c->n_in - c->n_out;
    for (int i = 0; i < c->n_out; i++) out[i] = c->in[first + i];
    return true;
}

#define CHECKPOINT(how_many)                                                                    \
    {                                                                                           \
        .name = "checkpoint", .id = LUCID_OP_CUSTOM, .n_in = -1, .n_out = how_many,             \
        .flags = LUCID_OP_MIXED_DTYPES, .attrs_size = sizeof(checkpoint_attrs), .infer = infer, \
        .compose = same_memory, .saves = saves, .vjp = vjp, .state_retain = segment_retain,     \
        .state_release = segment_release,                                                       \
    }
/* The operators for 1, 2, ... outputs. */
static const lucid_op checkpoint_ops[MOST_OUT] = {
    CHECKPOINT(1), CHECKPOINT(2), CHECKPOINT(3), CHECKPOINT(4),
    CHECKPOINT(5), CHECKPOINT(6), CHECKPOINT(7), CHECKPOINT(8),
};

static bool compute(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                    int n_out)
{
    LUCID_NO_GRAD;
    return lucid_forward_many(m, in, n_in, out, n_out);
}

static bool record(segment *s, lucid_tensor *const *inputs, lucid_tensor **outputs)
{
    lucid_tensor *in[MOST_IN + 1 + MOST_OUT], *out[LUCID_MAX_OUTPUTS];
    const checkpoint_attrs attrs = {s};
    int n = 0;
    for (int i = 0; i < s->n_in; i++)
        if (inputs[i]) {
            s->in_at[n] = i;
            in[n++] = inputs[i];
        }
    s->given = n++;
    for (int i = 0; i < s->n_out; i++)
        if (outputs[i]) {
            s->out_at[s->made++] = i;
            in[n++] = outputs[i];
        }
    lucid_tensor_options options = lucid_tensor_defaults;
    options.device = lucid_tensor_device(in[s->given + 1]);
    options.requires_grad = true;
    if (!(in[s->given] = lucid_zeros_opt((lucid_shape){0}, &options))) return false;
    if (!lucid_apply_multi(&checkpoint_ops[s->made - 1], in, n, &attrs, out)) return false;
    for (int i = 0; i < s->made; i++) outputs[s->out_at[i]] = out[i];
    return true;
}

bool lucid_checkpoint_many(lucid_module *m, lucid_tensor *const *inputs, int n_inputs,
                           lucid_tensor **outputs, int n_outputs)
{
    segment *s = NULL;
    size_t scope = 0;
    bool ok = false;
    if (!m || !inputs || !outputs || !lucid_is_grad_enabled())
        return lucid_forward_many(m, inputs, n_inputs, outputs, n_outputs);
    const lucid_generator begin = lucid_get_rng_state();
    if (!(scope = lucid_scope_begin()) || !compute(m, inputs, n_inputs, outputs, n_outputs))
        goto end;
    if (!(s = luc_calloc(1, sizeof *s, "checkpoint"))) goto end;
    atomic_init(&s->refs, 1);
    s->module = lucid_module_retain(m);
    s->begin = begin;
    s->autocast = lucid_autocast_dtype();
    s->n_in = n_inputs;
    s->n_out = n_outputs;
    ok = record(s, inputs, outputs);
end:
    for (int i = 0; i < n_outputs; i++) outputs[i] = ok ? lucid_scope_return(outputs[i]) : NULL;
    lucid_scope_end(scope);
    if (s) segment_release(s);
    return ok;
}

lucid_tensor *(lucid_checkpoint)(lucid_module *m, lucid_tensor *x)
{
    lucid_tensor *y;
    if (!luc_check_module(m, "checkpoint")) return NULL;
    lucid_checkpoint_many(m, &x, 1, &y, 1);
    return y;
}
