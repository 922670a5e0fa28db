/* grad_scaler.c: scaling losses and gradients.
 *
 * The scale is a number here and a 0-d tensor on every device where it was used. Kernels read the
 * tensor, so that nothing waits for a device and captured steps see its changes. A kernel that
 * finds a gradient that is not finite notes it on the device, until the step asks. */
#include "nn/optim/grad_scaler.h"
#include "autograd/autograd.h"
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"
#include "nn/optim/optimizer_priv.h"
#include "nn/state_dict.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const char live_name[] = "GradScaler"; /* in a report of what was never freed */

/* A 0-d float32 tensor on each of some devices. */
typedef struct numbers {
    lucid_tensor **item; /* owned references */
    size_t n;
} numbers;

typedef enum stage { READY, UNSCALED, STEPPED } stage;

/* What has happened with an optimizer since the last update. */
typedef struct record {
    const lucid_optimizer *opt; /* its address: not owned */
    stage stage;
    bool skipped; /* the last step was skipped */
    numbers found;
} record;

struct lucid_grad_scaler {
    lucid_grad_scaler_options options;
    double scale; /* a float's value */
    int64_t tracker;
    numbers scales;
    record *records;
    size_t n_records;
};

static bool check(const lucid_grad_scaler *s, const char *op)
{
    if (s) return true;
    if (lucid_error_code() != LUCID_OK) return false;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "scaler: expected one, got NULL");
}

/* ---- numbers on devices ---------------------------------------------------------------------- */

static void numbers_free(numbers *list)
{
    for (size_t i = 0; i < list->n; i++) lucid_release(list->item[i]);
    luc_free(list->item);
}

/* The device's tensor, which is made with this value if it does not exist yet. Borrowed. */
static lucid_tensor *number_on(numbers *list, lucid_device device, double value)
{
    for (size_t i = 0; i < list->n; i++)
        if (lucid_device_equal(lucid_tensor_device(list->item[i]), device)) return list->item[i];
    LUCID_SCOPE;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.device = device;
    lucid_tensor *t = lucid_full_opt((lucid_shape){0}, value, &options);
    lucid_tensor **item =
        t ? luc_realloc(list->item, (list->n + 1) * sizeof *item, "grad_scaler") : NULL;
    if (!item) return NULL;
    list->item = item;
    return item[list->n++] = lucid_retain(t);
}

static bool numbers_set(numbers *list, double value)
{
    LUCID_NO_GRAD;
    for (size_t i = 0; i < list->n; i++)
        if (!lucid_fill_(list->item[i], value)) return false;
    return true;
}

/* Whether one of them is not 0. Waits for their devices. */
static bool any(const numbers *list)
{
    bool found = false;
    for (size_t i = 0; i < list->n; i++) found |= lucid_item(list->item[i]) != 0;
    return found;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* The smallest normal float32: 1 / scale is finite, and no unit that flushes subnormal numbers
 * makes 0 of it. */
#define SMALLEST_SCALE FLT_MIN

static bool check_scale(double scale, const char *op, const char *argument)
{
    /* Rounds to float32. */
    if (isfinite((float)scale) && (float)scale >= SMALLEST_SCALE) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a finite number of at least %g, got %g",
                     argument, (double)SMALLEST_SCALE, scale);
}

static bool check_options(const lucid_grad_scaler_options *o, const char *op)
{
    if (!check_scale(o->init_scale, op, "init_scale")) return false;
    if (!(o->growth_factor > 1 && isfinite(o->growth_factor)))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "growth_factor: expected a number > 1, got %g",
                         o->growth_factor);
    if (!(o->backoff_factor > 0 && o->backoff_factor < 1))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "backoff_factor: expected (0, 1), got %g",
                         o->backoff_factor);
    if (o->growth_interval < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "growth_interval: expected >= 1, got %lld",
                         (long long)o->growth_interval);
    return true;
}

lucid_grad_scaler *lucid_grad_scaler_new(const lucid_grad_scaler_options *options)
{
    const lucid_grad_scaler_options *o = LUC_OPTIONS(lucid_grad_scaler, options, "GradScaler");
    if (!o) return NULL;
    if (!check_options(o, "GradScaler")) return NULL;
    lucid_grad_scaler *s = luc_calloc(1, sizeof *s, "GradScaler");
    if (!s) return NULL;
    s->options = *o;
    s->scale = (double)(float)o->init_scale;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    return s;
}

void lucid_grad_scaler_free(lucid_grad_scaler *s)
{
    if (!s) return;
    numbers_free(&s->scales);
    for (size_t i = 0; i < s->n_records; i++) numbers_free(&s->records[i].found);
    luc_free(s->records);
    luc_free(s);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

/* ---- scale ----------------------------------------------------------------------------------- */

lucid_tensor *lucid_grad_scaler_scale(lucid_grad_scaler *s, lucid_tensor *loss)
{
    const char *op = "grad_scaler_scale";
    if (!check(s, op) || !luc_check_tensor(loss, op, "loss")) return NULL;
    if (!lucid_dtype_is_floating(loss->view.dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "loss: expected a floating dtype, got %s",
                              lucid_dtype_name(loss->view.dtype));
    if (!s->options.enabled) return loss;
    lucid_tensor *scale = number_on(&s->scales, lucid_tensor_device(loss), s->scale);
    return scale ? lucid_mul(loss, scale) : NULL;
}

/* ---- unscale_ -------------------------------------------------------------------------------- */

static record *find(const lucid_grad_scaler *s, const lucid_optimizer *opt)
{
    for (size_t i = 0; i < s->n_records; i++)
        if (s->records[i].opt == opt) return &s->records[i];
    return NULL;
}

static record *record_of(lucid_grad_scaler *s, const lucid_optimizer *opt)
{
    record *r = find(s, opt);
    if (r) return r;
    r = luc_realloc(s->records, (s->n_records + 1) * sizeof *r, "grad_scaler");
    if (!r) return NULL;
    s->records = r;
    r += s->n_records++;
    *r = (record){.opt = opt};
    return r;
}

/* Collects every gradient of the optimizer in one list. */
static bool list_grads(const lucid_optimizer *opt, lucid_tensor **grads, size_t *n)
{
    *n = 0;
    for (size_t g = 0; g < opt->n_groups; g++)
        for (size_t i = 0; i < opt->groups[g].n; i++) {
            lucid_tensor *grad = opt->groups[g].params[i].tensor->grad;
            if (!grad) continue;
            if (grad->view.dtype == LUCID_F16)
                return luc_raise(LUCID_ERR_ARGUMENT, "grad_scaler_unscale_",
                                 "gradient of parameter %zu of group %zu: expected float32, got "
                                 "float16: parameters must be float32, and autocast computes in "
                                 "float16",
                                 i, g);
            if (!luc_check_inplace(grad, "grad_scaler_unscale_")) return false;
            grads[(*n)++] = grad;
        }
    return true;
}

/* Unscales the gradients that are on the first one's device, and removes them from the list. */
static bool unscale_alike(lucid_grad_scaler *s, record *r, lucid_tensor **grads, size_t *n,
                          lucid_view *views)
{
    const lucid_tensor *model = grads[0];
    const lucid_device device = lucid_tensor_device(model);
    const lucid_dtype dtype = model->view.dtype;
    lucid_tensor *scale = number_on(&s->scales, device, s->scale);
    lucid_tensor *found = scale ? number_on(&r->found, device, 0) : NULL;
    if (!found || !luc_before_any_write()) return false;
    lucid_list_attrs list = {.views = views};
    size_t left = 0;
    for (size_t i = 0; i < *n; i++) {
        if (!luc_same_place(grads[i], model)) {
            grads[left++] = grads[i];
            continue;
        }
        views[list.n++] = grads[i]->view;
        luc_storage_bump(grads[i]->storage);
    }
    *n = left;
    const lucid_view *in[] = {&scale->view}, *out[] = {&found->view};
    lucid_kernel_args args = {.n_in = 1, .in = in, .n_out = 1, .out = out, .attrs = &list};
    luc_storage_bump(found->storage);
    return luc_kernel_run(device, LUCID_OP_unscale, dtype, &args);
}

static bool unscale(lucid_grad_scaler *s, record *r)
{
    LUCID_NO_GRAD;
    size_t most = 0, n = 0;
    for (size_t g = 0; g < r->opt->n_groups; g++) most += r->opt->groups[g].n;
    lucid_tensor **grads = luc_calloc(most, sizeof *grads, "grad_scaler");
    lucid_view *views = luc_calloc(most, sizeof *views, "grad_scaler");
    bool ok = grads && views && list_grads(r->opt, grads, &n) && numbers_set(&r->found, 0);
    if (ok && n == 0)
        ok = luc_raise(LUCID_ERR_STATE, "grad_scaler_unscale_",
                       "optimizer: expected at least one gradient, got none");
    while (ok && n > 0) ok = unscale_alike(s, r, grads, &n, views);
    luc_free(views);
    luc_free(grads);
    if (ok) r->stage = UNSCALED;
    return ok;
}

bool lucid_grad_scaler_unscale_(lucid_grad_scaler *s, lucid_optimizer *opt)
{
    const char *op = "grad_scaler_unscale_";
    if (!check(s, op) || !luc_check_optimizer(opt, op) || lucid_error_code() != LUCID_OK)
        return false;
    if (!s->options.enabled) return true;
    record *r = record_of(s, opt);
    if (!r) return false;
    if (r->stage == UNSCALED)
        return luc_raise(LUCID_ERR_STATE, op,
                         "expected one call for an optimizer between two updates, got a second");
    if (r->stage == STEPPED)
        return luc_raise(LUCID_ERR_STATE, op,
                         "expected a call before lucid_grad_scaler_step, got one after it");
    return unscale(s, r);
}

/* ---- step, update ---------------------------------------------------------------------------- */

bool lucid_grad_scaler_step(lucid_grad_scaler *s, lucid_optimizer *opt)
{
    const char *op = "grad_scaler_step";
    if (!check(s, op) || !luc_check_optimizer(opt, op) || lucid_error_code() != LUCID_OK)
        return false;
    if (!s->options.enabled) return lucid_step(opt);
    record *r = record_of(s, opt);
    if (!r) return false;
    if (r->stage == STEPPED)
        return luc_raise(LUCID_ERR_STATE, op,
                         "expected lucid_grad_scaler_update since the last step, got none");
    if (r->stage == READY && !unscale(s, r)) return false;
    bool found = any(&r->found);
    if (lucid_error_code() != LUCID_OK || (!found && !lucid_step(opt))) return false;
    r->skipped = found;
    r->stage = STEPPED;
    return true;
}

bool lucid_grad_scaler_skipped(const lucid_grad_scaler *s, const lucid_optimizer *opt)
{
    const char *op = "grad_scaler_skipped";
    if (!check(s, op) || !luc_check_optimizer(opt, op)) return false;
    const record *r = find(s, opt);
    return r && r->skipped;
}

static bool change_scale(lucid_grad_scaler *s, double scale)
{
    if (scale == s->scale) return true;
    s->scale = scale;
    return numbers_set(&s->scales, scale);
}

/* The new scale, in float32 arithmetic, after steps with or without infinities. */
static bool adapt(lucid_grad_scaler *s, bool found)
{
    const lucid_grad_scaler_options *o = &s->options;
    if (found) {
        s->tracker = 0;
        return change_scale(s, fmax(SMALLEST_SCALE, (double)(float)(s->scale * o->backoff_factor)));
    }
    if (++s->tracker < o->growth_interval) return true;
    s->tracker = 0;
    float grown = (float)(s->scale * o->growth_factor);
    return !isfinite(grown) || change_scale(s, (double)grown);
}

bool lucid_grad_scaler_update(lucid_grad_scaler *s)
{
    const char *op = "grad_scaler_update";
    if (!check(s, op) || lucid_error_code() != LUCID_OK) return false;
    if (!s->options.enabled) return true;
    bool found = false, checked = false;
    for (size_t i = 0; i < s->n_records; i++) {
        const record *r = &s->records[i];
        checked |= r->stage != READY;
        if (r->stage == STEPPED) found |= r->skipped;
        if (r->stage == UNSCALED) found |= any(&r->found);
    }
    if (lucid_error_code() != LUCID_OK) return false;
    if (!checked)
        return luc_raise(LUCID_ERR_STATE, op,
                         "expected lucid_grad_scaler_step (or unscale_) since the last update, "
                         "got none");
    for (size_t i = 0; i < s->n_records; i++) s->records[i].stage = READY;
    return adapt(s, found);
}

/* ---- options ----------------------------------------------------------------------------- */

double lucid_grad_scaler_get_scale(const lucid_grad_scaler *s)
{
    if (!check(s, "grad_scaler_get_scale")) return NAN;
    return s->options.enabled ? s->scale : 1;
}

bool lucid_grad_scaler_set_scale(lucid_grad_scaler *s, double scale)
{
    const char *op = "grad_scaler_set_scale";
    if (!check(s, op) || !check_scale(scale, op, "scale")) return false;
    return change_scale(s, (double)(float)scale);
}

int64_t lucid_grad_scaler_growth_tracker(const lucid_grad_scaler *s)
{
    return s ? s->tracker : 0;
}

bool lucid_grad_scaler_is_enabled(const lucid_grad_scaler *s)
{
    return s && s->options.enabled;
}

bool lucid_grad_scaler_get_options(const lucid_grad_scaler *s, lucid_grad_scaler_options *options)
{
    const char *op = "grad_scaler_get_options";
    if (!check(s, op)) return false;
    if (!options) return luc_raise(LUCID_ERR_ARGUMENT, op, "options: expected a place, got NULL");
    *options = s->options;
    return true;
}

bool lucid_grad_scaler_set_options(lucid_grad_scaler *s, const lucid_grad_scaler_options *options)
{
    const char *op = "grad_scaler_set_options";
    if (!check(s, op)) return false;
    if (!options) return luc_raise(LUCID_ERR_ARGUMENT, op, "options: expected some, got NULL");
    options = LUC_OPTIONS(lucid_grad_scaler, options, op);
    if (!options || !check_options(options, op)) return false;
    if (options->init_scale != s->options.init_scale || options->enabled != s->options.enabled)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "init_scale, enabled: expected those that it was made with, %g and %s",
                         s->options.init_scale, s->options.enabled ? "true" : "false");
    s->options = *options;
    return true;
}

/* ---- state ----------------------------------------------------------------------------------- */

static bool put_double(lucid_state_dict *d, const char *name, double value)
{
    lucid_tensor *t = lucid_full((), value, .dtype = LUCID_F64);
    return t && lucid_state_dict_set(d, name, t);
}

static bool put_integer(lucid_state_dict *d, const char *name, int64_t value)
{
    lucid_tensor *t = lucid_from_typed_data((lucid_shape){0}, &value, LUCID_I64, NULL);
    return t && lucid_state_dict_set(d, name, t);
}

lucid_state_dict *lucid_grad_scaler_state_dict(const lucid_grad_scaler *s)
{
    LUCID_SCOPE;
    if (!check(s, "grad_scaler_state_dict")) return NULL;
    lucid_state_dict *d = lucid_state_dict_new();
    if (!d || !s->options.enabled) return d;
    if (put_double(d, "scale", s->scale) &&
        put_double(d, "growth_factor", s->options.growth_factor) &&
        put_double(d, "backoff_factor", s->options.backoff_factor) &&
        put_integer(d, "growth_interval", s->options.growth_interval) &&
        put_integer(d, "_growth_tracker", s->tracker))
        return d;
    lucid_state_dict_free(d);
    return NULL;
}

static bool get(const lucid_state_dict *d, const char *name, double *value)
{
    lucid_tensor *t = lucid_state_dict_get(d, name);
    if (!t || lucid_numel(t) != 1)
        return luc_raise(LUCID_ERR_FORMAT, "GradScaler", "state: %s: expected one number, got %s",
                         name, t ? luc_shape_text(t).s : "none");
    *value = lucid_item(t);
    return lucid_error_code() == LUCID_OK;
}

bool lucid_grad_scaler_load_state_dict(lucid_grad_scaler *s, const lucid_state_dict *state)
{
    const char *op = "GradScaler";
    if (!check(s, "grad_scaler_load_state_dict")) return false;
    if (!state)
        return lucid_error_code() == LUCID_OK &&
               luc_raise(LUCID_ERR_ARGUMENT, op, "state: expected one, got NULL");
    if (!s->options.enabled) return true;
    if (lucid_state_dict_size(state) == 0)
        return luc_raise(LUCID_ERR_FORMAT, op,
                         "state: expected that of an enabled scaler, got an empty one");
    lucid_grad_scaler_options o = s->options;
    double scale = 0, interval = 0, tracker = 0;
    if (!get(state, "scale", &scale) || !get(state, "growth_factor", &o.growth_factor) ||
        !get(state, "backoff_factor", &o.backoff_factor) ||
        !get(state, "growth_interval", &interval) || !get(state, "_growth_tracker", &tracker))
        return false;
    const double most = 9007199254740992; /* 2^53: doubles hold all whole numbers up to there */
    if (!(interval >= 1 && interval <= most))
        return luc_raise(LUCID_ERR_FORMAT, op, "state: growth_interval: expected [1, %.0f], got %g",
                         most, interval);
    o.growth_interval = (int64_t)interval;
    if (!check_scale(scale, op, "state: scale") || !check_options(&o, op)) return false;
    if (!(tracker >= 0 && tracker <= most))
        return luc_raise(LUCID_ERR_FORMAT, op, "state: _growth_tracker: expected [0, %.0f], got %g",
                         most, tracker);
    s->options = o;
    s->tracker = (int64_t)tracker;
    return change_scale(s, (double)(float)scale);
}
