/* batchnorm.c: the BatchNorm family. */
#include "nn/layers/batchnorm.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/checkpoint.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"
#include "nn/state_dict.h"

#include <math.h>

/* ---- forward --------------------------------------------------------------------------------- */

static bool check_channels(const nn_BatchNormBase *b, lucid_tensor *x)
{
    if (lucid_ndim(x) >= 2 && lucid_size(x, 1) == b->num_features) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, b->base.cls->name,
                     "input: expected %lld channels [N,%lld,...], got %s",
                     (long long)b->num_features, (long long)b->num_features, luc_shape_text(x).s);
}

/* The weight that this batch gets in the running statistics. */
static double update_factor(const nn_BatchNormBase *b)
{
    if (b->momentum != LUCID_MOMENTUM_NONE) return b->momentum;
    return b->num_batches_tracked ? 1 / (lucid_item(b->num_batches_tracked) + 1) : 0;
}

static bool count_batch(lucid_tensor *counter)
{
    LUCID_NO_GRAD;
    return lucid_add_scalar_(counter, 1) != NULL;
}

/* The counter is increased last, so that a refused batch leaves the layer as it was. */
static lucid_tensor *forward(lucid_module *m, lucid_tensor *x)
{
    nn_BatchNormBase *b = lucid_self(m, nn_BatchNormBase);
    if (!check_channels(b, x)) return NULL;
    bool tracks = m->training && b->track_running_stats && !lucid_is_recomputing();
    bool buffers = tracks || !m->training;
    const lucid_batch_norm_options options = {
        .struct_size = sizeof options,
        .weight = b->weight,
        .bias = b->bias,
        .running_mean = buffers ? b->running_mean : NULL,
        .running_var = buffers ? b->running_var : NULL,
        .training = m->training || (!b->running_mean && !b->running_var),
        .momentum = tracks ? update_factor(b) : 0,
        .eps = b->eps,
        .name = m->cls->name,
    };
    lucid_tensor *y = lucid_batch_norm_opt(x, &options);
    if (y && tracks && b->num_batches_tracked && !count_batch(b->num_batches_tracked)) return NULL;
    return y;
}

static bool check_rank(lucid_module *m, lucid_tensor *x, int low, int high, const char *expected)
{
    int ndim = lucid_ndim(x);
    if (ndim >= low && ndim <= high) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "input: expected %s, got %d-D %s", expected,
                     ndim, luc_shape_text(x).s);
}

static bool check_1d(lucid_module *m, lucid_tensor *x)
{
    return check_rank(m, x, 2, 3, "2-D [N,C] or 3-D [N,C,L]");
}

static bool check_2d(lucid_module *m, lucid_tensor *x)
{
    return check_rank(m, x, 4, 4, "4-D [N,C,H,W]");
}

static bool check_3d(lucid_module *m, lucid_tensor *x)
{
    return check_rank(m, x, 5, 5, "5-D [N,C,D,H,W]");
}

/* ---- state ----------------------------------------------------------------------------------- */

bool lucid_batch_norm_reset_running_stats(lucid_module *m)
{
    LUCID_NO_GRAD;
    nn_BatchNormBase *b = lucid_self(m, nn_BatchNormBase);
    return b && (!b->running_mean || lucid_zero_(b->running_mean)) &&
           (!b->running_var || lucid_fill_(b->running_var, 1)) &&
           (!b->num_batches_tracked || lucid_zero_(b->num_batches_tracked));
}

static bool reset_parameters(lucid_module *m)
{
    nn_BatchNormBase *b = lucid_self(m, nn_BatchNormBase);
    return lucid_batch_norm_reset_running_stats(m) &&
           (!b->weight || lucid_init_constant(b->weight, 1)) &&
           (!b->bias || lucid_init_constant(b->bias, 0));
}

/* States from before version 2 have no counter, so the module keeps its own. */
static bool load_state(lucid_module *m, lucid_state_dict *state, const char *prefix,
                       int64_t version)
{
    nn_BatchNormBase *b = lucid_self(m, nn_BatchNormBase);
    if (version >= 2 || !b->num_batches_tracked) return true;
    luc_string name = {0};
    bool ok = luc_string_printf(&name, "%snum_batches_tracked", prefix);
    if (ok && !lucid_state_dict_get(state, name.s))
        ok = lucid_state_dict_set(state, name.s, b->num_batches_tracked);
    luc_string_free(&name);
    return ok;
}

static int extra_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_BatchNormBase *b = lucid_self(m, nn_BatchNormBase);
    bool average = b->momentum == LUCID_MOMENTUM_NONE;
    return snprintf(text, size, "%lld, eps=%s, momentum=%s, affine=%s, track_running_stats=%s",
                    (long long)b->num_features, luc_float_text(b->eps).s,
                    average ? "None" : luc_float_text(b->momentum).s, luc_python_bool(b->affine),
                    luc_python_bool(b->track_running_stats));
}

/* ---- classes --------------------------------------------------------------------------------- */

const lucid_module_class lucid_nn_batch_norm_base_class = {
    .name = "BatchNormBase",
    .size = sizeof(nn_BatchNormBase),
    .super = &lucid_module_class_base,
    .forward = forward,
    .reset_parameters = reset_parameters,
    .extra_repr = extra_repr,
    .load_state_hook = load_state,
    .version = 2,
};

const lucid_module_class lucid_nn_batch_norm1d_class = {
    .name = "BatchNorm1d",
    .size = sizeof(nn_BatchNorm1d),
    .super = &lucid_nn_batch_norm_base_class,
    .check_input = check_1d,
};

const lucid_module_class lucid_nn_batch_norm2d_class = {
    .name = "BatchNorm2d",
    .size = sizeof(nn_BatchNorm2d),
    .super = &lucid_nn_batch_norm_base_class,
    .check_input = check_2d,
};

const lucid_module_class lucid_nn_batch_norm3d_class = {
    .name = "BatchNorm3d",
    .size = sizeof(nn_BatchNorm3d),
    .super = &lucid_nn_batch_norm_base_class,
    .check_input = check_3d,
};

/* ---- making one ------------------------------------------------------------------------------ */

static bool check_options(const char *layer, const lucid_nn_batch_norm_options *o)
{
    if (!(o->eps >= 0 && isfinite(o->eps)))
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "eps: expected a number >= 0, got %g", o->eps);
    if (o->momentum != LUCID_MOMENTUM_NONE && !(o->momentum >= 0 && o->momentum <= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, layer,
                         "momentum: expected [0,1] or LUCID_MOMENTUM_NONE, got %g", o->momentum);
    return true;
}

static bool add_buffer(lucid_module *m, const char *name, lucid_tensor **field, bool wanted,
                       lucid_shape shape, const lucid_tensor_options *options)
{
    LUCID_SCOPE;
    lucid_tensor *value = wanted ? lucid_zeros_opt(shape, options) : NULL;
    if (wanted && !value) return false;
    return lucid_register_buffer_opt(m, name, field, value, NULL);
}

static bool add_state(nn_BatchNormBase *b, const lucid_nn_batch_norm_options *o)
{
    lucid_module *m = &b->base;
    lucid_shape shape = LUCID_SHAPE(b->num_features);
    lucid_tensor_options values = lucid_tensor_defaults, counter = lucid_tensor_defaults;
    values.device = counter.device = o->device;
    values.dtype = o->dtype;
    counter.dtype = LUCID_I64;
    bool tracks = b->track_running_stats;
    return luc_layer_parameter(m, "weight", &b->weight, b->affine, shape, o->dtype, o->device) &&
           luc_layer_parameter(m, "bias", &b->bias, b->affine, shape, o->dtype, o->device) &&
           add_buffer(m, "running_mean", &b->running_mean, tracks, shape, &values) &&
           add_buffer(m, "running_var", &b->running_var, tracks, shape, &values) &&
           add_buffer(m, "num_batches_tracked", &b->num_batches_tracked, tracks, (lucid_shape){0},
                      &counter);
}

lucid_module *lucid_nn_batch_norm_new(const lucid_module_class *cls, int64_t num_features,
                                      const lucid_nn_batch_norm_options *options)
{
    const lucid_nn_batch_norm_options *o =
        LUC_OPTIONS(lucid_nn_batch_norm, options, cls ? cls->name : "batch_norm_new");
    if (!o) return NULL;
    lucid_module *m = lucid_module_new(cls);
    nn_BatchNormBase *b = m ? lucid_self(m, nn_BatchNormBase) : NULL;
    if (!b) return m ? luc_layer_done(m, false) : NULL;
    b->num_features = num_features;
    b->eps = o->eps;
    b->momentum = o->momentum;
    b->affine = o->affine;
    b->track_running_stats = o->track_running_stats;
    bool ok = luc_layer_at_least(cls->name, "num_features", num_features, 0) &&
              check_options(cls->name, o) && add_state(b, o) && reset_parameters(m);
    return luc_layer_done(m, ok);
}

lucid_module *lucid_nn_batch_norm1d(int64_t num_features,
                                    const lucid_nn_batch_norm_options *options)
{
    return lucid_nn_batch_norm_new(&lucid_nn_batch_norm1d_class, num_features, options);
}

lucid_module *lucid_nn_batch_norm2d(int64_t num_features,
                                    const lucid_nn_batch_norm_options *options)
{
    return lucid_nn_batch_norm_new(&lucid_nn_batch_norm2d_class, num_features, options);
}

lucid_module *lucid_nn_batch_norm3d(int64_t num_features,
                                    const lucid_nn_batch_norm_options *options)
{
    return lucid_nn_batch_norm_new(&lucid_nn_batch_norm3d_class, num_features, options);
}
