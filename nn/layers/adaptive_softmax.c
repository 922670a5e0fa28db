/* adaptive_softmax.c: a softmax over many classes of which few are frequent. */
#include "nn/layers/adaptive_softmax.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/container.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/linear.h"
#include "nn/layers/list.h"
#include "nn/module_priv.h"

#include <math.h>

static const char *const layer = "AdaptiveLogSoftmaxWithLoss";

static int clusters(const nn_AdaptiveLogSoftmaxWithLoss *a)
{
    return a->cutoffs.ndim - 1;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* Samples in the order of their clusters, and what each takes from the head and its cluster. */
typedef struct {
    int64_t n, begins[LUCID_MAX_DIMS + 1]; /* of each cluster's samples in the order */
    int64_t *order, *place, *in_head, *in_cluster;
} sorted;

static int cluster_of(const nn_AdaptiveLogSoftmaxWithLoss *a, int64_t target)
{
    int k = 0;
    while (k < clusters(a) && target >= a->cutoffs.dims[k]) k++;
    return k;
}

/* Sorts the targets. `memory` has room for 4 n numbers. */
static bool sort_targets(const nn_AdaptiveLogSoftmaxWithLoss *a, const double *target, int64_t n,
                         int64_t *memory, sorted *s)
{
    *s = (sorted){.n = n, .order = memory, .place = memory + n};
    s->in_head = memory + 2 * n;
    s->in_cluster = memory + 3 * n;
    int64_t used = 0;
    for (int64_t i = 0; i < n; i++)
        if (!(target[i] >= 0 && target[i] < (double)a->n_classes))
            return luc_raise(LUCID_ERR_ARGUMENT, layer,
                             "target: expected classes in [0,%lld), got %g",
                             (long long)a->n_classes, target[i]);
    for (int k = 0; k <= clusters(a); k++) {
        s->begins[k] = used;
        for (int64_t i = 0; i < n; i++) {
            const int64_t t = (int64_t)target[i];
            if (cluster_of(a, t) != k) continue;
            s->order[used] = i;
            s->place[i] = used;
            s->in_head[i] = k ? a->cutoffs.dims[0] + k - 1 : t;
            s->in_cluster[used++] = k ? t - a->cutoffs.dims[k - 1] : 0;
        }
    }
    s->begins[clusters(a) + 1] = used;
    return true;
}

static lucid_tensor *indices(const int64_t *list, int64_t n, const lucid_tensor *like)
{
    return lucid_from_data_opt(
        LUCID_SHAPE(n), list,
        LUC_WITH(lucid_tensor, .dtype = LUCID_I64, .device = lucid_tensor_device(like)));
}

/* What x [N,C] holds at its column index[i] in each row: [N]. */
static lucid_tensor *picked(lucid_tensor *x, lucid_tensor *index)
{
    index = x && index ? lucid_unsqueeze(index, 1) : NULL;
    x = index ? lucid_gather(x, 1, index) : NULL;
    return x ? lucid_squeeze(x, 1) : NULL;
}

/* The log-probabilities within the clusters, in the order of the samples: 0 in the head. */
static lucid_tensor *within_clusters(const nn_AdaptiveLogSoftmaxWithLoss *a, lucid_tensor *x,
                                     const sorted *s)
{
    lucid_tensor *parts[LUCID_MAX_DIMS + 1];
    int n = 0;
    parts[n++] = lucid_zeros_opt(
        LUCID_SHAPE(s->begins[1]),
        LUC_WITH(lucid_tensor, .dtype = lucid_tensor_dtype(x), .device = lucid_tensor_device(x)));
    for (int k = 1; k <= clusters(a); k++) {
        const int64_t begin = s->begins[k], count = s->begins[k + 1] - begin;
        if (count == 0) continue;
        lucid_tensor *rows = indices(s->order + begin, count, x);
        rows = rows ? lucid_index_select(x, 0, rows) : NULL;
        rows = rows ? lucid_forward(lucid_module_at(a->tail, (size_t)k - 1), rows) : NULL;
        rows = rows ? lucid_log_softmax(rows, 1) : NULL;
        parts[n++] = picked(rows, indices(s->in_cluster + begin, count, x));
        if (!parts[n - 1]) return NULL;
    }
    lucid_tensor *all = parts[0] ? lucid_cat_list(parts, (size_t)n, 0) : NULL;
    lucid_tensor *place = all ? indices(s->place, s->n, x) : NULL;
    return place ? lucid_index_select(all, 0, place) : NULL;
}

static lucid_tensor *log_prob_of(const nn_AdaptiveLogSoftmaxWithLoss *a, lucid_tensor *x,
                                 const double *target, int64_t *memory)
{
    sorted s;
    if (!sort_targets(a, target, lucid_size(x, 0), memory, &s)) return NULL;
    lucid_tensor *head = lucid_forward(a->head, x);
    head = head ? lucid_log_softmax(head, 1) : NULL;
    head = picked(head, indices(s.in_head, s.n, x));
    lucid_tensor *rest = head ? within_clusters(a, x, &s) : NULL;
    return rest ? lucid_add(head, rest) : NULL;
}

static bool check_target(const lucid_tensor *x, const lucid_tensor *target)
{
    const lucid_dtype dtype = lucid_tensor_dtype(target);
    if (lucid_ndim(target) == lucid_ndim(x) - 1 && (dtype == LUCID_I64 || dtype == LUCID_I32) &&
        (lucid_ndim(x) == 1 || lucid_size(target, 0) == lucid_size(x, 0)))
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, layer,
                     "target: expected a class for each row of %s, got %s %s", luc_shape_text(x).s,
                     lucid_dtype_name(dtype), luc_shape_text(target).s);
}

static bool forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                    int n_out)
{
    (void)n_in;
    const nn_AdaptiveLogSoftmaxWithLoss *a = lucid_self(m, nn_AdaptiveLogSoftmaxWithLoss);
    const bool single = lucid_ndim(in[0]) == 1;
    if (!check_target(in[0], in[1])) return false;
    lucid_tensor *x = single ? lucid_unsqueeze(in[0], 0) : in[0];
    const size_t n = x ? (size_t)lucid_size(x, 0) : 0;
    int64_t *memory = luc_calloc(4 * n + 1, sizeof *memory, layer);
    double *target = luc_calloc(n + 1, sizeof *target, layer);
    lucid_tensor *y = x && memory && target && lucid_to_doubles(in[1], target, n)
                          ? log_prob_of(a, x, target, memory)
                          : NULL;
    luc_free(memory);
    luc_free(target);
    if (y && n_out > 1) out[1] = lucid_neg(lucid_mean_opt(y, (lucid_shape){0}, NULL));
    out[0] = y && single ? lucid_squeeze(y, 0) : y;
    return out[0] != NULL;
}

static bool check_input(lucid_module *m, lucid_tensor *x)
{
    const nn_AdaptiveLogSoftmaxWithLoss *a = lucid_self(m, nn_AdaptiveLogSoftmaxWithLoss);
    const int ndim = lucid_ndim(x);
    return ((ndim == 1 || ndim == 2) && lucid_size(x, -1) == a->in_features) ||
           luc_raise(LUCID_ERR_ARGUMENT, layer, "input: expected [N,%lld] or [%lld], got %s",
                     (long long)a->in_features, (long long)a->in_features, luc_shape_text(x).s);
}

const lucid_module_class lucid_nn_adaptive_log_softmax_with_loss_class = {
    .name = "AdaptiveLogSoftmaxWithLoss",
    .size = sizeof(nn_AdaptiveLogSoftmaxWithLoss),
    .super = &lucid_module_class_base,
    .forward_many = forward,
    .inputs = "input, target",
    .outputs = "output, loss?",
    .check_input = check_input,
};

lucid_tensor *lucid_adaptive_log_prob(lucid_module *m, lucid_tensor *x)
{
    LUC_CALLED_AS("adaptive_log_prob");
    LUCID_SCOPE;
    const nn_AdaptiveLogSoftmaxWithLoss *a = luc_check_module(m, "adaptive_log_prob")
                                                 ? lucid_self(m, nn_AdaptiveLogSoftmaxWithLoss)
                                                 : NULL;
    if (!a || !luc_check_tensor(x, "adaptive_log_prob", "x")) return NULL;
    lucid_tensor *parts[LUCID_MAX_DIMS + 1], *head = lucid_forward(a->head, x);
    head = head ? lucid_log_softmax(head, -1) : NULL;
    if (!head) return NULL;
    const int64_t first = a->cutoffs.dims[0];
    parts[0] = lucid_narrow(head, -1, 0, first);
    for (int k = 1; k <= clusters(a); k++) {
        lucid_tensor *y = lucid_forward(lucid_module_at(a->tail, (size_t)k - 1), x);
        y = y ? lucid_log_softmax(y, -1) : NULL;
        parts[k] = y ? lucid_add(y, lucid_narrow(head, -1, first + k - 1, 1)) : NULL;
        if (!parts[k]) return NULL;
    }
    return lucid_scope_return(lucid_cat_list(parts, (size_t)clusters(a) + 1, -1));
}

/* ---- making one ------------------------------------------------------------------------------ */

static bool check_cutoffs(const lucid_shape *cutoffs, int64_t n_classes)
{
    bool ok = cutoffs->ndim >= 1 && cutoffs->ndim < LUCID_MAX_DIMS;
    for (int i = 0; i < cutoffs->ndim && ok; i++)
        ok = cutoffs->dims[i] > (i ? cutoffs->dims[i - 1] : 0) && cutoffs->dims[i] < n_classes;
    return ok || luc_raise(LUCID_ERR_ARGUMENT, layer,
                           "cutoffs: expected 1 to %d rising numbers in [1,%lld), got %s",
                           LUCID_MAX_DIMS - 1, (long long)n_classes,
                           luc_dims_text(cutoffs->ndim, cutoffs->dims).s);
}

typedef lucid_nn_adaptive_log_softmax_with_loss_options adaptive_options;

static lucid_module *make_cluster(const nn_AdaptiveLogSoftmaxWithLoss *a, int k,
                                  const adaptive_options *o)
{
    const double features = floor((double)a->in_features / pow(o->div_value, k + 1));
    const int64_t n = (int64_t)features, classes = a->cutoffs.dims[k + 1] - a->cutoffs.dims[k];
    if (!luc_layer_at_least(layer, "in_features / div_value^clusters", n, 1)) return NULL;
    return nn_Sequential(
        nn_Linear(a->in_features, n, .bias = false, .device = o->device, .dtype = o->dtype),
        nn_Linear(n, classes, .bias = false, .device = o->device, .dtype = o->dtype));
}

static lucid_module *make_tail(const nn_AdaptiveLogSoftmaxWithLoss *a, const adaptive_options *o)
{
    lucid_module *list = lucid_nn_module_list(NULL, 0);
    bool ok = list != NULL;
    for (int k = 0; k < clusters(a) && ok; k++) {
        lucid_module *cluster = make_cluster(a, k, o);
        ok = cluster && lucid_module_list_append(list, cluster);
    }
    return list ? luc_layer_done(list, ok) : NULL;
}

lucid_module *lucid_nn_adaptive_log_softmax_with_loss(
    int64_t in_features, int64_t n_classes, lucid_shape cutoffs,
    const lucid_nn_adaptive_log_softmax_with_loss_options *options)
{
    const adaptive_options *o =
        LUC_OPTIONS(lucid_nn_adaptive_log_softmax_with_loss, options, layer);
    if (!o || !luc_layer_at_least(layer, "in_features", in_features, 1) ||
        !luc_layer_at_least(layer, "n_classes", n_classes, 2) ||
        !check_cutoffs(&cutoffs, n_classes))
        return NULL;
    if (!(o->div_value >= 1 && isfinite(o->div_value)))
        return luc_raise_null(LUCID_ERR_ARGUMENT, layer,
                              "div_value: expected a number >= 1, got %g", o->div_value);
    lucid_module *m = lucid_module_new(&lucid_nn_adaptive_log_softmax_with_loss_class);
    nn_AdaptiveLogSoftmaxWithLoss *a = m ? lucid_self(m, nn_AdaptiveLogSoftmaxWithLoss) : NULL;
    if (!a) return NULL;
    a->in_features = in_features;
    a->n_classes = n_classes;
    a->cutoffs = cutoffs;
    a->cutoffs.dims[a->cutoffs.ndim++] = n_classes;
    const int64_t head = cutoffs.dims[0] + clusters(a);
    bool ok = lucid_register_module(m, "head", &a->head,
                                    nn_Linear(in_features, head, .bias = o->head_bias,
                                              .device = o->device, .dtype = o->dtype)) &&
              lucid_register_module(m, "tail", &a->tail, make_tail(a, o));
    return luc_layer_done(m, ok);
}
