/* lookahead.c: slow parameters, which any optimizer may have. */
#include "autograd/autograd.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/optim/update_priv.h"

bool lucid_optim_lookahead(lucid_optimizer *opt, const lucid_lookahead_options *options)
{
    const char *name = "Lookahead";
    const lucid_lookahead_options *o = LUC_OPTIONS(lucid_lookahead, options, name);
    if (!o || !luc_check_optimizer(opt, name)) return false;
    if (o->k < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, name, "k: expected at least 1, got %lld",
                         (long long)o->k);
    if (!(o->alpha >= 0 && o->alpha <= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, name, "alpha: expected [0, 1], got %g", o->alpha);
    if (opt->kind->needs_closure)
        return luc_raise(LUCID_ERR_ARGUMENT, name, "optimizer: expected another one than %s",
                         opt->kind->name);
    opt->lookahead_k = o->k;
    opt->lookahead_alpha = o->alpha;
    return true;
}

/* Keeps the parameters that step for the first time as they are. */
bool luc_lookahead_begin(lucid_optimizer *opt)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n; i++) {
            luc_optim_param *p = &opt->groups[g].params[i];
            if (!p->tensor->grad) continue;
            /* Whether this step is the k-th is not known where it is recorded. */
            if (luc_is_capturing(lucid_tensor_device(p->tensor)))
                return luc_raise(LUCID_ERR_UNSUPPORTED, "Lookahead", "step: it cannot be captured");
            if (p->slow) continue;
            p->slow = lucid_retain(lucid_clone(lucid_detach(p->tensor), LUCID_PRESERVE));
            if (!p->slow) return false;
        }
    return true;
}

/* Both, after every k steps: slow + alpha (p - slow). */
static bool bring_on(luc_optim_param *p, double alpha)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *slow = p->slow;
    if (!luc_same_place(slow, p->tensor))
        slow = lucid_cast(lucid_tensor_to(slow, lucid_tensor_device(p->tensor)),
                          lucid_tensor_dtype(p->tensor));
    slow = luc_lerp(slow, p->tensor, alpha);
    if (!slow || !luc_before_any_write() || !luc_copy_data(p->tensor, slow, "Lookahead"))
        return false;
    luc_storage_bump(p->tensor->storage);
    lucid_release(p->slow);
    p->slow = lucid_retain(slow);
    return true;
}

bool luc_lookahead_end(lucid_optimizer *opt)
{
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n; i++) {
            luc_optim_param *p = &opt->groups[g].params[i];
            if (!p->tensor->grad || p->step % opt->lookahead_k != 0) continue;
            if (!bring_on(p, opt->lookahead_alpha)) return false;
        }
    return true;
}
