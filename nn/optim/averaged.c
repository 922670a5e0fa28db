/* averaged.c: averages of a module's parameters over training, and running statistics for them. */
#include "nn/optim/averaged.h"
#include "autograd/autograd.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/layers/batchnorm.h"
#include "nn/module_priv.h"
#include "nn/state_dict_priv.h"

#include <math.h>
#include <string.h>

#define PREFIX "module."

struct lucid_averaged {
    const char *name;
    lucid_module *module; /* owned */
    bool is_ema, use_buffers;
    double decay;
    int64_t count;
};

/* ---- life ------------------------------------------------------------------------------------ */

static lucid_averaged *make(const char *name, lucid_module *m, bool use_buffers)
{
    if (!luc_check_module(m, name)) return NULL;
    lucid_averaged *a = luc_calloc(1, sizeof *a, name);
    if (!a) return NULL;
    a->name = name;
    a->use_buffers = use_buffers;
    a->module = lucid_module_copy(m);
    luc_live_add_named(LUC_LIVE_OTHER, name, 1);
    if (a->module) return a;
    lucid_averaged_free(a);
    return NULL;
}

lucid_averaged *lucid_averaged_ema(lucid_module *m, const lucid_ema_options *options)
{
    const lucid_ema_options *o = LUC_OPTIONS(lucid_ema, options, "EMA");
    if (!o) return NULL;
    if (!(o->decay >= 0 && o->decay <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "EMA", "decay: expected [0, 1], got %g",
                              o->decay);
    lucid_averaged *a = make("EMA", m, o->use_buffers);
    if (!a) return NULL;
    a->is_ema = true;
    a->decay = o->decay;
    return a;
}

lucid_averaged *lucid_averaged_swa(lucid_module *m, const lucid_swa_options *options)
{
    const lucid_swa_options *o = LUC_OPTIONS(lucid_swa, options, "SWA");
    return o ? make("SWA", m, o->use_buffers) : NULL;
}

void lucid_averaged_free(lucid_averaged *a)
{
    if (!a) return;
    luc_live_add_named(LUC_LIVE_OTHER, a->name, -1);
    lucid_module_free(a->module);
    luc_free(a);
}

static bool check(const lucid_averaged *a, const char *op)
{
    if (a) return true;
    return lucid_error_code() == LUCID_OK &&
           luc_raise(LUCID_ERR_ARGUMENT, op, "averaged: expected one, got NULL");
}

lucid_module *lucid_averaged_module(lucid_averaged *a)
{
    return check(a, "averaged_module") ? a->module : NULL;
}

int64_t lucid_averaged_count(const lucid_averaged *a)
{
    return a ? a->count : -1;
}

/* ---- updates --------------------------------------------------------------------------------- */

/* One tensor of the average, by the module's. */
static bool bring_on(const lucid_averaged *a, lucid_tensor *average, lucid_tensor *now,
                     bool averaged)
{
    LUCID_SCOPE;
    now = lucid_detach(now);
    average = lucid_detach(average);
    if (!now || !average) return false;
    bool copies =
        !averaged || a->count == 0 || !lucid_dtype_is_floating(lucid_tensor_dtype(average));
    now = lucid_tensor_to(now, lucid_tensor_device(average));
    if (copies) return now && lucid_copy_(average, now);
    double weight = a->is_ema ? 1 - a->decay : 1 / (double)(a->count + 1);
    now = now ? lucid_cast(now, lucid_tensor_dtype(average)) : NULL;
    lucid_tensor *step = lucid_mul_scalar(lucid_sub(now, average), weight);
    return step && lucid_add_(average, step);
}

/* The tensors of both, which must be alike. */
static bool pair_up(const lucid_averaged *a, lucid_module *m, bool parameters,
                    lucid_tensor ***average, lucid_tensor ***now, size_t *n)
{
    size_t count;
    *average = luc_module_tensors(a->module, parameters, !parameters, n);
    *now = *average ? luc_module_tensors(m, parameters, !parameters, &count) : NULL;
    if (!*now) return false;
    const char *what = parameters ? "parameters" : "buffers";
    if (count != *n)
        return luc_raise(LUCID_ERR_ARGUMENT, a->name, "module: expected %zu %s, got %zu", *n, what,
                         count);
    for (size_t i = 0; i < count; i++)
        if (!luc_dims_equal((*average)[i]->view.ndim, (*average)[i]->view.dims,
                            (*now)[i]->view.ndim, (*now)[i]->view.dims))
            return luc_raise(LUCID_ERR_ARGUMENT, a->name,
                             "module: %s: expected %s as number %zu, "
                             "got %s",
                             what, luc_shape_text((*average)[i]).s, i, luc_shape_text((*now)[i]).s);
    return true;
}

bool lucid_averaged_update(lucid_averaged *a, lucid_module *m)
{
    LUCID_NO_GRAD;
    if (!check(a, "averaged_update") || !luc_check_module(m, a->name) ||
        lucid_error_code() != LUCID_OK)
        return false;
    bool ok = true;
    lucid_tensor **average[2] = {NULL}, **now[2] = {NULL};
    size_t n[2] = {0};
    for (int k = 0; ok && k < 2; k++) ok = pair_up(a, m, k == 0, &average[k], &now[k], &n[k]);
    for (int k = 0; ok && k < 2; k++)
        for (size_t i = 0; ok && i < n[k]; i++)
            ok = bring_on(a, average[k][i], now[k][i], k == 0 || a->use_buffers);
    for (int k = 0; k < 2; k++) {
        luc_free(average[k]);
        luc_free(now[k]);
    }
    if (ok) a->count++;
    return ok;
}

/* ---- state ----------------------------------------------------------------------------------- */

lucid_state_dict *lucid_averaged_state_dict(lucid_averaged *a)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!check(a, "averaged_state_dict")) return NULL;
    lucid_state_dict *inner = lucid_module_state_dict(a->module), *s = lucid_state_dict_new();
    lucid_tensor *count = lucid_from_typed_data((lucid_shape){0}, &a->count, LUCID_I64, NULL);
    bool ok = inner && s && count && lucid_state_dict_set(s, "n_averaged", count);
    luc_string key = {0};
    for (size_t i = 0; ok && i < lucid_state_dict_size(inner); i++) {
        lucid_named_tensor t = lucid_state_dict_at(inner, i);
        luc_string_cut(&key, 0);
        lucid_tensor *copy = lucid_clone(lucid_detach(t.tensor), LUCID_PRESERVE);
        ok = copy && luc_string_printf(&key, PREFIX "%s", t.name) &&
             lucid_state_dict_set(s, key.s, copy);
    }
    luc_string_free(&key);
    lucid_state_dict_free(inner);
    if (ok) return s;
    lucid_state_dict_free(s);
    return NULL;
}

/* The entries after "module."; the caller's. */
static lucid_state_dict *inner_state(const lucid_averaged *a, const lucid_state_dict *state)
{
    lucid_state_dict *inner = lucid_state_dict_new();
    for (size_t i = 0; inner && i < lucid_state_dict_size(state); i++) {
        lucid_named_tensor t = lucid_state_dict_at(state, i);
        bool mine = strncmp(t.name, PREFIX, strlen(PREFIX)) == 0;
        bool ok = mine ? lucid_state_dict_set(inner, t.name + strlen(PREFIX), t.tensor)
                       : strcmp(t.name, "n_averaged") == 0 ||
                             luc_raise(LUCID_ERR_FORMAT, a->name,
                                       "state: expected names that begin with \"module.\", got "
                                       "\"%s\"",
                                       t.name);
        if (ok) continue;
        lucid_state_dict_free(inner);
        return NULL;
    }
    return inner;
}

bool lucid_averaged_load_state_dict(lucid_averaged *a, const lucid_state_dict *state)
{
    if (!check(a, "averaged_load_state_dict")) return false;
    if (!state)
        return lucid_error_code() == LUCID_OK &&
               luc_raise(LUCID_ERR_ARGUMENT, a->name, "state: expected one, got NULL");
    if (!luc_state_is_whole(state, a->name)) return false;
    lucid_tensor *count = lucid_state_dict_get(state, "n_averaged");
    double number = count && lucid_numel(count) == 1 ? lucid_item(count) : -1;
    if (!(number >= 0 && number < 9007199254740992))
        return luc_raise(LUCID_ERR_FORMAT, a->name,
                         "state: n_averaged: expected a number of "
                         "updates, got %s",
                         count ? "something else" : "none");
    lucid_state_dict *inner = inner_state(a, state);
    bool ok = inner && lucid_load_state_dict(a->module, inner);
    lucid_state_dict_free(inner);
    if (ok) a->count = (int64_t)number;
    return ok;
}

/* ---- running statistics ---------------------------------------------------------------------- */

/* What a module had before, to be given back. */
typedef struct before {
    lucid_module *module;
    nn_BatchNormBase *norm; /* NULL where it is none that tracks */
    double momentum;
    bool training;
} before;

static before *remember(lucid_module *m, size_t *n, bool *has_norm)
{
    const lucid_named_module *list = lucid_named_modules(m, n);
    before *b = list ? luc_calloc(*n, sizeof *b, "update_bn") : NULL;
    *has_norm = false;
    for (size_t i = 0; b && i < *n; i++) {
        b[i] = (before){.module = list[i].module, .training = list[i].module->training};
        if (!lucid_module_is(list[i].module, "BatchNormBase")) continue;
        nn_BatchNormBase *norm = lucid_self(list[i].module, nn_BatchNormBase);
        if (!norm || !norm->running_mean || !norm->track_running_stats) continue;
        b[i].norm = norm;
        b[i].momentum = norm->momentum;
        *has_norm = true;
    }
    return b;
}

static bool run_epoch(lucid_module *m, lucid_loader *loader)
{
    lucid_batch batch;
    bool any = false;
    lucid_loader_reset(loader);
    while (lucid_next(loader, &batch)) {
        LUCID_SCOPE;
        LUCID_NO_GRAD;
        if (!lucid_forward(m, batch.x)) return false;
        any = true;
    }
    if (lucid_error_code() != LUCID_OK) return false;
    return any || luc_raise(LUCID_ERR_ARGUMENT, "update_bn",
                            "loader: expected at least one batch, got none");
}

bool lucid_update_bn(lucid_module *m, lucid_loader *loader)
{
    size_t n;
    bool has_norm;
    if (!luc_check_module(m, "update_bn") || lucid_error_code() != LUCID_OK) return false;
    if (!loader)
        return luc_raise(LUCID_ERR_ARGUMENT, "update_bn", "loader: expected one, got NULL");
    before *b = remember(m, &n, &has_norm);
    if (!b) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        if (!b[i].norm) continue;
        ok = lucid_batch_norm_reset_running_stats(b[i].module);
        b[i].norm->momentum = LUCID_MOMENTUM_NONE;
    }
    if (ok && has_norm) ok = lucid_train(m) && run_epoch(m, loader);
    for (size_t i = 0; i < n; i++) {
        b[i].module->training = b[i].training;
        if (b[i].norm) b[i].norm->momentum = b[i].momentum;
    }
    luc_free(b);
    return ok;
}
