/* checkpoint.c: activations that are computed anew in backward. */
#include "nn/checkpoint.h"
#include "autograd/autocast.h"
#include "autograd/autograd.h"
#include "lucid/random.h"
#include "nn/module_priv.h"
#include "nn/token_priv.h"

static _Thread_local bool recomputing;

bool lucid_is_recomputing(void)
{
    return recomputing;
}

/* What the forward was: the module, where the random numbers began, and the dtype of autocast. */
typedef struct segment {
    lucid_module *module; /* owned reference */
    lucid_generator begin;
    lucid_dtype autocast;
} segment;

static void segment_free(void *user, void *data)
{
    (void)user;
    segment *s = data;
    lucid_module_free(s->module);
    luc_free(s);
}

/* Inputs: the output that was computed, x, something that requires a gradient (for x may not, while
 * the parameters do), the token. */
enum { OUTPUT, X, ANCHOR, TOKEN, INPUTS };

static uint32_t saves(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(X) | LUCID_SAVE_INPUT(TOKEN);
}

/* The forward again, recorded, from x as a leaf. */
static lucid_tensor *recompute(segment *s, lucid_tensor *x)
{
    LUCID_ENABLE_GRAD;
    LUCID_AUTOCAST(s->autocast);
    lucid_generator now = lucid_get_rng_state();
    bool before = recomputing;
    lucid_set_rng_state(s->begin);
    recomputing = true;
    lucid_tensor *y = lucid_forward(s->module, x);
    recomputing = before;
    lucid_set_rng_state(now);
    return y;
}

static bool vjp(lucid_vjp *v)
{
    segment *s = luc_token_data(v, TOKEN);
    lucid_tensor *saved = s ? lucid_saved_input(v, X) : NULL;
    lucid_tensor *x = lucid_detach(saved);
    if (!x) return false;
    if (!v->grad_out[0]) return true;
    bool wanted = v->needs >> X & 1;
    if (wanted && !lucid_requires_grad_(x, true)) return false;
    lucid_tensor *y = recompute(s, x);
    lucid_backward_options options = {LUCID_BACKWARD_DEFAULTS};
    options.gradient = v->grad_out[0];
    if (!y || (lucid_requires_grad(y) && !lucid_backward_opt(y, &options))) return false;
    if (wanted) v->grad_in[X] = lucid_tensor_grad(x);
    return true;
}

static bool same_memory(const lucid_call *c, lucid_tensor **out)
{
    out[0] = c->in[OUTPUT];
    return true;
}

static const lucid_op checkpoint_op = {
    .name = "checkpoint",
    .schema = "output, input, anchor, token",
    .id = LUCID_OP_CUSTOM,
    .n_in = INPUTS,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .infer = luc_infer_same,
    .compose = same_memory,
    .saves = saves,
    .vjp = vjp,
};

static lucid_tensor *compute(lucid_module *m, lucid_tensor *x)
{
    LUCID_NO_GRAD;
    return lucid_forward(m, x);
}

lucid_tensor *lucid_checkpoint(lucid_module *m, lucid_tensor *x)
{
    if (!luc_check_module(m, "checkpoint") || !luc_check_tensor(x, "checkpoint", "input"))
        return NULL;
    if (!lucid_is_grad_enabled()) return lucid_forward(m, x);
    segment *s = luc_calloc(1, sizeof *s, "checkpoint");
    if (!s) return NULL;
    s->module = lucid_module_retain(m);
    s->begin = lucid_get_rng_state();
    s->autocast = lucid_autocast_dtype();
    lucid_tensor *token = luc_token(s, segment_free, x);
    lucid_tensor *y = token ? compute(m, x) : NULL;
    lucid_tensor_options options = {LUCID_TENSOR_DEFAULTS};
    options.device = lucid_tensor_device(x);
    options.requires_grad = true;
    lucid_tensor *anchor = y ? lucid_zeros_opt((lucid_shape){0}, &options) : NULL;
    if (!anchor) return NULL;
    return lucid_apply(&checkpoint_op, (lucid_tensor *[]){y, x, anchor, token}, INPUTS, NULL);
}
