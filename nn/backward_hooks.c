/* backward_hooks.c: full backward hooks: two operators that do nothing forward, one around a
 * module's input and one around its output, see the gradients go by. */
#include "autograd/autograd.h"
#include "nn/module_priv.h"
#include "nn/token_priv.h"

/* What one forward's two operators share. */
typedef struct passage {
    lucid_module *module; /* owned reference */
    bool has_input;       /* the input needs a gradient: the hooks run when it has come */
    lucid_tensor *grad_output;
} passage;

static void passage_free(void *user, void *data)
{
    (void)user;
    passage *p = data;
    lucid_release(p->grad_output);
    lucid_module_free(p->module);
    luc_free(p);
}

static uint32_t save_token(const lucid_call *c)
{
    (void)c;
    return LUCID_SAVE_INPUT(1);
}

static bool output_vjp(lucid_vjp *v)
{
    passage *p = luc_token_data(v, 1);
    lucid_tensor *grad = v->grad_out[0];
    if (!p) return false;
    v->grad_in[0] = grad;
    if (!grad) return true;
    if (!p->has_input) return luc_run_backward_hooks(p->module, NULL, grad, NULL);
    lucid_retain(grad);
    lucid_release(p->grad_output);
    p->grad_output = grad;
    return true;
}

static bool input_vjp(lucid_vjp *v)
{
    passage *p = luc_token_data(v, 1);
    lucid_tensor *grad = v->grad_out[0];
    if (!p) return false;
    v->grad_in[0] = grad;
    if (!grad || !p->grad_output) return true;
    bool ok = luc_run_backward_hooks(p->module, grad, p->grad_output, &v->grad_in[0]);
    lucid_release(p->grad_output);
    p->grad_output = NULL;
    return ok;
}

/* The output is the same memory but no view: an operator in place on it must not get behind this
 * one. */
static bool same_memory(const lucid_call *c, lucid_tensor **out)
{
    out[0] = c->in[0];
    return true;
}

static const lucid_op output_op = {
    .name = "module_output",
    .schema = "output, token",
    .id = LUCID_OP_CUSTOM,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_MIXED_DTYPES,
    .infer = luc_infer_same,
    .compose = same_memory,
    .saves = save_token,
    .vjp = output_vjp,
};
static const lucid_op input_op = {
    .name = "module_input",
    .schema = "input, token",
    .id = LUCID_OP_CUSTOM,
    .n_in = 2,
    .n_out = 1,
    .flags = LUCID_OP_VIEW | LUCID_OP_MIXED_DTYPES,
    .infer = luc_infer_same,
    .saves = save_token,
    .vjp = input_vjp,
};

bool luc_watch_input(lucid_module *m, lucid_tensor **x, lucid_tensor **token)
{
    *token = NULL;
    if (!lucid_is_grad_enabled() || !luc_has_hooks(m, LUC_HOOK_BACKWARD)) return true;
    passage *p = luc_calloc(1, sizeof *p, m->cls->name);
    if (!p) return false;
    p->module = lucid_module_retain(m);
    p->has_input = lucid_requires_grad(*x);
    *token = luc_token(p, passage_free, *x);
    if (!*token) return false;
    *x = lucid_apply(&input_op, (lucid_tensor *[]){*x, *token}, 2, NULL);
    return *x != NULL;
}

lucid_tensor *luc_watch_output(lucid_tensor *y, lucid_tensor *token)
{
    return token && y ? lucid_apply(&output_op, (lucid_tensor *[]){y, token}, 2, NULL) : y;
}
