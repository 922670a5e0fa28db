/* clip.c: keeping gradients in bounds. */
#include "nn/optim/clip.h"
#include "autograd/autograd.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/attrs.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/module_priv.h"
#include "nn/optim/optimizer_priv.h"

#include <math.h>

/* The sum of |g|^p, or the largest |g|, in float64. */
static double power_sum(lucid_tensor *grad, double p)
{
    LUCID_SCOPE;
    if (lucid_numel(grad) == 0) return 0;
    lucid_tensor *size = lucid_abs(lucid_cast(grad, LUCID_F64));
    if (isinf(p)) return lucid_item(lucid_max(size));
    return lucid_item(lucid_sum(p == 1 ? size : lucid_pow_scalar(size, p)));
}

/* Adds the squares of all gradients that are on the first one's device and of its dtype, in one
 * kernel call, and removes these gradients from the list. */
static double square_sum(lucid_tensor **grads, size_t *n, lucid_view *views)
{
    LUCID_SCOPE;
    const lucid_tensor *model = grads[0];
    lucid_list_attrs list = {.views = views};
    size_t left = 0;
    for (size_t i = 0; i < *n; i++) {
        if (luc_same_place(grads[i], model))
            views[list.n++] = grads[i]->view;
        else
            grads[left++] = grads[i];
    }
    *n = left;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = LUCID_F64;
    options.device = lucid_tensor_device(model);
    lucid_tensor *sum = lucid_zeros_opt((lucid_shape){0}, &options);
    if (!sum) return NAN;
    const lucid_view *out[] = {&sum->view};
    lucid_kernel_args args = {.n_out = 1, .out = out, .attrs = &list};
    bool ok = luc_kernel_run(options.device, LUCID_OP_sum_squares, model->view.dtype, &args);
    return ok ? lucid_item(sum) : NAN;
}

static double norm_2(lucid_tensor **grads, size_t n)
{
    lucid_view *views = luc_calloc(n, sizeof *views, "clip_grad_norm");
    double total = views ? 0 : NAN;
    while (n > 0 && views) total += square_sum(grads, &n, views);
    luc_free(views);
    return sqrt(total);
}

static double norm_p(lucid_tensor *const *grads, size_t n, double p)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        double part = power_sum(grads[i], p);
        if (!isinf(p))
            total += part;
        else if (part > total || isnan(part))
            total = part;
    }
    return isinf(p) ? total : pow(total, 1 / p);
}

/* Returns NAN after an error. */
static double total_norm(lucid_tensor *const *params, size_t n, double p)
{
    lucid_tensor **grads = luc_calloc(n, sizeof *grads, "clip_grad_norm");
    if (!grads) return NAN;
    size_t used = 0;
    for (size_t i = 0; i < n; i++)
        if (lucid_tensor_grad(params[i])) grads[used++] = lucid_tensor_grad(params[i]);
    double norm = p == 2 ? norm_2(grads, used) : norm_p(grads, used, p);
    luc_free(grads);
    return norm;
}

double lucid_clip_grad_norm_list(lucid_tensor *const *params, size_t n, double max_norm,
                                 const lucid_clip_options *options)
{
    LUCID_NO_GRAD;
    const char *op = "clip_grad_norm";
    const lucid_clip_options *o = LUC_OPTIONS(lucid_clip, options, "clip_grad_norm");
    if (!o) return NAN;
    if (lucid_error_code() != LUCID_OK) return NAN;
    if (n > 0 && !params) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "params: expected %zu tensors, got NULL", n);
        return NAN;
    }
    if (!(max_norm >= 0)) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "max_norm: expected a number >= 0, got %g", max_norm);
        return NAN;
    }
    if (!(o->norm_type > 0)) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "norm_type: expected a number > 0, got %g", o->norm_type);
        return NAN;
    }
    for (size_t i = 0; i < n; i++)
        if (!luc_check_tensor(params[i], op, "parameter")) return NAN;
    double norm = total_norm(params, n, o->norm_type);
    if (lucid_error_code() != LUCID_OK) return NAN;
    if (!isfinite(norm) && o->error_if_nonfinite) {
        luc_raise(LUCID_ERR_STATE, op, "gradients: expected a finite norm, got %g", norm);
        return NAN;
    }
    double factor = max_norm / (norm + 1e-6);
    if (factor >= 1) return norm;
    for (size_t i = 0; i < n; i++) {
        lucid_tensor *grad = lucid_tensor_grad(params[i]);
        if (grad && !lucid_mul_scalar_(grad, factor)) return NAN;
    }
    return norm;
}

double lucid_clip_grad_norm_opt(lucid_module *m, double max_norm, const lucid_clip_options *options)
{
    if (!luc_check_module(m, "clip_grad_norm")) return NAN;
    size_t n;
    lucid_tensor **params = luc_module_tensors(m, true, false, &n);
    if (!params) return NAN;
    double norm = lucid_clip_grad_norm_list(params, n, max_norm, options);
    luc_free(params);
    return norm;
}

bool lucid_clip_grad_value_list(lucid_tensor *const *params, size_t n, double value)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const char *op = "clip_grad_value";
    if (lucid_error_code() != LUCID_OK) return false;
    if (n > 0 && !params)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "params: expected %zu tensors, got NULL", n);
    if (!(value >= 0))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "value: expected a number >= 0, got %g", value);
    for (size_t i = 0; i < n; i++)
        if (!luc_check_tensor(params[i], op, "parameter")) return false;
    for (size_t i = 0; i < n; i++) {
        lucid_tensor *grad = lucid_tensor_grad(params[i]);
        if (grad && !lucid_clamp_(grad, -value, value)) return false;
    }
    return true;
}

bool lucid_clip_grad_value(lucid_module *m, double value)
{
    if (!luc_check_module(m, "clip_grad_value")) return false;
    size_t n;
    lucid_tensor **params = luc_module_tensors(m, true, false, &n);
    bool ok = params && lucid_clip_grad_value_list(params, n, value);
    luc_free(params);
    return ok;
}
