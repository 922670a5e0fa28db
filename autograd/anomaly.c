/* anomaly.c: which operator made the first NaN. */
#include "autograd/node_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduction.h"

#include <string.h>

bool luc_anomaly_note(lucid_node *n)
{
    char text[1024], path[256];
    int length = 0;
    luc_node_extra *x = luc_node_extra_get(n);
    if (!x) return false;
    luc_module_path(path, sizeof path);
    if (path[0]) length = snprintf(text, sizeof text, "module %s, ", path);
    length += snprintf(text + length, sizeof text - (size_t)length, "inputs");
    for (int i = 0; i < n->n_in && length < (int)sizeof text - 200; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "%s %s %s", i ? "," : "",
                           luc_argument_name(n->op, i).s,
                           n->in[i].ndim < 0 ? "not given" : luc_packed_text(&n->in[i]).s);
    x->origin = luc_strdup(text, n->op->name);
    return x->origin != NULL;
}

static bool has_nan(lucid_tensor *g)
{
    bool grad_mode = lucid_set_grad_enabled(false);
    size_t scope = lucid_scope_begin();
    bool found = lucid_item(lucid_sum_opt(lucid_nan_mask(g), LUCID_ALL, NULL)) > 0;
    lucid_scope_end(scope);
    lucid_set_grad_enabled(grad_mode);
    return found;
}

bool luc_anomaly_check(lucid_node *n, lucid_tensor *const *grad_in)
{
    for (int i = 0; i < n->n_in; i++) {
        if (!grad_in[i] || !has_nan(grad_in[i])) continue;
        const char *origin =
            n->extra && n->extra->origin ? n->extra->origin : "recorded before anomaly mode was on";
        return luc_raise(LUCID_ERR_STATE, n->op->name,
                         "backward: NaN in the gradient of %s (forward: %s)",
                         luc_argument_name(n->op, i).s, origin);
    }
    return true;
}
