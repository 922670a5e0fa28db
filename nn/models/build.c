/* build.c: what the files of networks share. */
#include "nn/models/build_priv.h"

#include "autograd/ops.h"
#include "lucid/core/error_priv.h"
#include "nn/init.h"
#include "nn/layers/batchnorm.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/linear.h"
#include "nn/layers/activation.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- networks -------------------------------------------------------------------------------- */

bool luc_net_add(lucid_module *m, const char *name, lucid_module *part)
{
    luc_net *net = (luc_net *)m;
    assert(!m || net->n < LUC_NET_PARTS);
    return lucid_register_module(m, name, m ? &net->part[net->n++] : NULL, part);
}

bool luc_net_head(lucid_module *m, bool relu, bool pool)
{
    if (!m) return false;
    luc_net *net = (luc_net *)m;
    net->head = net->n;
    net->relu = relu;
    net->pool = pool;
    return true;
}

lucid_tensor *luc_net_run(const luc_net *net, lucid_tensor *x, int from, int to)
{
    for (int i = from; i <= to; i++) {
        if (i == net->head && (i < to || to == net->n)) {
            if (net->relu) x = lucid_relu(x);
            x = net->pool ? lucid_mean(x, (2, 3)) : lucid_flatten(x, 1, -1);
        }
        if (i < to) x = lucid_forward(net->part[i], x);
    }
    return x;
}

static lucid_tensor *net_forward(lucid_module *m, lucid_tensor *x)
{
    const luc_net *net = (const luc_net *)m;
    return luc_net_run(net, x, 0, net->n);
}

const lucid_module_class luc_net_class = {
    .name = "Net",
    .size = sizeof(luc_net),
    .super = &lucid_module_class_base,
    .forward = net_forward,
};

/* ---- branches -------------------------------------------------------------------------------- */

lucid_module *luc_branches_new(const lucid_module_class *cls, const char *plan)
{
    lucid_module *m = lucid_module_new(cls);
    if (m) ((luc_branches *)m)->plan = plan;
    return m;
}

bool luc_branches_add(lucid_module *m, const char *name, lucid_module *part)
{
    luc_branches *b = (luc_branches *)m;
    assert(!m || b->n < LUC_BRANCHES_PARTS);
    return lucid_register_module(m, name, m ? &b->part[b->n++] : NULL, part);
}

static lucid_tensor *half(lucid_tensor *x, int64_t which)
{
    const int64_t n = lucid_size(x, 1) / 2;
    return lucid_narrow(x, 1, which * n, n);
}

/* Applies a plan up to its end or a closing parenthesis, where *plan then is. */
static lucid_tensor *run_plan(const luc_branches *b, const char **plan, lucid_tensor *x)
{
    lucid_tensor *out[4], *y = x;
    size_t n = 0;
    for (;; ++*plan) {
        const char c = **plan;
        if (c == '|' || c == ')' || c == 0) {
            assert(n < 4);
            out[n++] = y;
            y = x;
            if (c != '|') break;
        } else if (c == '(') {
            ++*plan;
            y = run_plan(b, plan, y);
        } else if (c >= 'a') {
            assert(c - 'a' < b->n);
            y = lucid_forward(b->part[c - 'a'], y);
        } else if (c == 'L' || c == 'R') {
            y = half(y, c == 'R');
        } else if (c == 'M') {
            y = lucid_max_pool2d(y, 3, .stride = 2);
        } else if (c == 'A') {
            y = lucid_avg_pool2d(y, 3, .stride = 1, .padding = 1);
        } else if (c == 'S') {
            y = lucid_channel_shuffle(y, 2);
        }
    }
    return n == 1 ? out[0] : lucid_cat(out, n, 1);
}

static lucid_tensor *branches_forward(lucid_module *m, lucid_tensor *x)
{
    const luc_branches *b = (const luc_branches *)m;
    const char *plan = b->plan;
    return run_plan(b, &plan, x);
}

const lucid_module_class luc_branches_class = {
    .name = "Branches",
    .size = sizeof(luc_branches),
    .super = &lucid_module_class_base,
    .forward = branches_forward,
};

/* ---- residual blocks ------------------------------------------------------------------------- */

static lucid_tensor *residual_forward(lucid_module *m, lucid_tensor *x)
{
    const luc_residual *r = (const luc_residual *)m;
    lucid_tensor *y = lucid_forward(r->body, x);
    if (r->scale) y = lucid_mul(y, r->scale);
    if (r->add) {
        if (r->drop) y = lucid_forward(r->drop, y);
        y = lucid_add(y, r->project ? lucid_forward(r->project, x) : x);
    }
    return r->after ? lucid_forward(r->after, y) : y;
}

const lucid_module_class luc_residual_class = {
    .name = "Residual",
    .size = sizeof(luc_residual),
    .super = &lucid_module_class_base,
    .forward = residual_forward,
};

/* ---- making them ----------------------------------------------------------------------------- */

int64_t luc_round_channels(double value, int64_t divisor)
{
    int64_t n = (int64_t)(value + (double)divisor / 2) / divisor * divisor;
    if (n < divisor) n = divisor;
    return (double)n < 0.9 * value ? n + divisor : n;
}

bool luc_append(lucid_module *sequential, const char *name, lucid_module *module)
{
    return name ? lucid_register_module(sequential, name, NULL, module)
                : lucid_sequential_append(sequential, module);
}

bool luc_append_conv(lucid_module *sequential, int64_t in, int64_t out, int64_t kernel,
                     int64_t stride, int64_t groups, double momentum, bool relu)
{
    return luc_append(sequential, NULL,
                      nn_Conv2d(in, out, kernel, .stride = stride, .padding = kernel / 2,
                                .groups = groups, .bias = false)) &&
           luc_append(sequential, NULL, nn_BatchNorm2d(out, .momentum = momentum)) &&
           (!relu || luc_append(sequential, NULL, nn_ReLU(.inplace = true)));
}

double luc_dropout_of(const lucid_nn_model_options *o, double p)
{
    return o->dropout < 0 ? p : o->dropout;
}

lucid_module *luc_classifier(const lucid_nn_model_options *o, double p, int64_t in)
{
    return nn_Sequential(nn_Dropout(.p = luc_dropout_of(o, p)), nn_Linear(in, o->num_classes));
}

/* ---- initial values -------------------------------------------------------------------------- */

static bool set_weight(lucid_tensor *w, luc_init_kind kind, double std)
{
    switch (kind) {
    case LUC_INIT_FAN_OUT:
        return lucid_init_kaiming_normal(w, .fan_out = true, .nonlinearity = LUCID_RELU);
    case LUC_INIT_FAN_IN:
        return lucid_init_kaiming_normal(w, .nonlinearity = LUCID_RELU);
    case LUC_INIT_FAN_IN_UNIFORM:
        return lucid_init_kaiming_uniform(w, .nonlinearity = LUCID_RELU);
    case LUC_INIT_NORMAL:
        return lucid_init_normal(w, 0, std);
    case LUC_INIT_TRUNCATED:
        return lucid_init_trunc_normal(w, .std = std);
    case LUC_INIT_OUTPUTS: {
        const double bound = 1 / sqrt((double)lucid_size(w, 0));
        return lucid_init_uniform(w, -bound, bound);
    }
    default:
        return true;
    }
}

static void init_module(lucid_module *m, void *user)
{
    const luc_init *init = user;
    const bool is_conv = lucid_module_is(m, "Conv2d");
    if (!is_conv && !lucid_module_is(m, "Linear")) return;
    const luc_init_kind kind = is_conv ? init->conv : init->linear;
    if (kind == LUC_INIT_LAYER) return;
    lucid_tensor *w = lucid_get_parameter(m, "weight");
    if (w) set_weight(w, kind, is_conv ? init->conv_std : init->linear_std);
    lucid_tensor *bias = is_conv ? lucid_self(m, nn_Conv2d)->bias : lucid_self(m, nn_Linear)->bias;
    if (bias) lucid_init_zeros(bias);
}

lucid_module *luc_finish_model(lucid_module *net, bool ok, const luc_init *init)
{
    ok = ok && net && (!init || lucid_module_apply(net, init_module, (void *)(uintptr_t)init)) &&
         lucid_error_code() == LUCID_OK;
    return luc_layer_done(net, ok);
}
