/* anomaly.c: finding the operator that made the first NaN. */
#include "autograd/engine/engine_priv.h"
#include "autograd/op_table_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduction.h"
#include "lucid/core/error_priv.h"

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
