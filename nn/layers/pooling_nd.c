/* pooling_nd.c: pooling layers of one and three dimensions, adaptive maxima, means of powers, and
 * the way back. */
#include "nn/layers/pooling_nd.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/module_priv.h"

#include <string.h>

/* ---- texts and checks ------------------------------------------------------------------------ */

/* As Python writes a size: 3, (1, 2, 2), None. always: (3,) even for one number. */
static luc_text sizes(lucid_extent extent, int n, bool always)
{
    int64_t d[3] = {0, 0, 0};
    luc_text t;
    if (luc_extent_is_pair(extent))
        lucid_extent_get(extent, d);
    else
        lucid_triple_get(extent, d);
    const bool list = always || luc_extent_is_pair(extent) || luc_extent_is_triple(extent);
    const int count = list ? n : 1;
    int used = luc_snprintf(t.s, sizeof t.s, list ? "(" : "%s", "");
    for (int i = 0; i < count; i++) {
        used += luc_snprintf(t.s + used, sizeof t.s - (size_t)used, i ? ", " : "%s", "");
        used += d[i] == LUCID_KEEP
                    ? luc_snprintf(t.s + used, sizeof t.s - (size_t)used, "None")
                    : luc_snprintf(t.s + used, sizeof t.s - (size_t)used, "%lld", (long long)d[i]);
    }
    if (list) luc_snprintf(t.s + used, sizeof t.s - (size_t)used, count == 1 ? ",)" : ")");
    return t;
}

static lucid_extent step_of(lucid_extent kernel, lucid_extent stride)
{
    return stride == LUCID_KERNEL ? kernel : stride;
}

/* The dimension that a class is for is the last digit of its name. */
static int rank_of(const lucid_module *m)
{
    return m->cls->name[strlen(m->cls->name) - 2] - '0';
}

static bool check_sizes(const char *layer, int n, const char *argument, lucid_extent extent,
                        int64_t least)
{
    int64_t d[3];
    bool ok = true;
    if (luc_extent_is_pair(extent)) {
        lucid_extent_get(extent, d);
        ok = n == 2;
    } else {
        lucid_triple_get(extent, d);
        ok = n == 3 || !luc_extent_is_triple(extent);
    }
    if (!ok)
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "%s: expected one number or %d", argument, n);
    for (int i = 0; i < n && ok; i++) ok = luc_layer_at_least(layer, argument, d[i], least);
    return ok;
}

static bool check_window(const char *layer, int n, lucid_extent kernel, lucid_extent stride,
                         lucid_extent padding, lucid_extent dilation)
{
    return check_sizes(layer, n, "kernel", kernel, 1) &&
           check_sizes(layer, n, "stride", step_of(kernel, stride), 1) &&
           check_sizes(layer, n, "padding", padding, 0) &&
           check_sizes(layer, n, "dilation", dilation, 1);
}

static nn_Pool *pool_of(const lucid_module *m)
{
    return m ? lucid_module_cast(m, m->cls->name) : NULL;
}

#define CLASS(Type, snake, ...)                           \
    const lucid_module_class lucid_nn_##snake##_class = { \
        .name = #Type, .size = sizeof(nn_Pool), .super = &lucid_module_class_base, __VA_ARGS__};

/* One output, or two: values, and places where they are asked for. */
static bool give(lucid_pooled p, lucid_tensor **out, int n_out)
{
    out[0] = p.values;
    if (n_out > 1) out[1] = p.indices;
    return p.values != NULL;
}

/* ---- maxima ---------------------------------------------------------------------------------- */

static int max_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Pool *p = pool_of(m);
    const lucid_max_pool2d_options *o = &p->max;
    const int n = rank_of(m);
    return luc_snprintf(
        text, size, "kernel_size=%s, stride=%s, padding=%s, dilation=%s, ceil_mode=%s",
        sizes(p->kernel, n, false).s, sizes(step_of(p->kernel, o->stride), n, false).s,
        sizes(o->padding, n, false).s, sizes(o->dilation, n, false).s,
        luc_python_bool(o->ceil_mode));
}

#define MAX_POOL(n)                                                                                \
    static bool max##n##d(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,  \
                          int n_out)                                                               \
    {                                                                                              \
        const nn_Pool *p = pool_of(m);                                                             \
        (void)n_in;                                                                                \
        if (n_out > 1)                                                                             \
            return give(lucid_max_pool##n##d_with_indices_opt(in[0], p->kernel, &p->max), out, 2); \
        out[0] = lucid_max_pool##n##d_opt(in[0], p->kernel, &p->max);                              \
        return out[0] != NULL;                                                                     \
    }                                                                                              \
    CLASS(MaxPool##n##d, max_pool##n##d, .forward_many = max##n##d, .inputs = "input",             \
          .outputs = "output, indices?", .extra_repr = max_repr)                                   \
    lucid_module *lucid_nn_max_pool##n##d(lucid_extent kernel,                                     \
                                          const lucid_max_pool2d_options *options)                 \
    {                                                                                              \
        const char *layer = "MaxPool" #n "d";                                                      \
        const lucid_max_pool2d_options *o = LUC_OPTIONS(lucid_max_pool2d, options, layer);         \
        if (!o || !check_window(layer, n, kernel, o->stride, o->padding, o->dilation))             \
            return NULL;                                                                           \
        lucid_module *m = lucid_module_new(&lucid_nn_max_pool##n##d_class);                        \
        nn_Pool *p = pool_of(m);                                                                   \
        if (!p) return NULL;                                                                       \
        p->kernel = kernel;                                                                        \
        p->max = *o;                                                                               \
        return m;                                                                                  \
    }
MAX_POOL(1)
MAX_POOL(3)

/* ---- means ----------------------------------------------------------------------------------- */

/* As PyTorch: the sizes of one dimension are written as lists. */
static int avg_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Pool *p = pool_of(m);
    const int n = rank_of(m);
    return luc_snprintf(
        text, size, "kernel_size=%s, stride=%s, padding=%s", sizes(p->kernel, n, n == 1).s,
        sizes(step_of(p->kernel, p->avg.stride), n, n == 1).s, sizes(p->avg.padding, n, n == 1).s);
}

#define AVG_POOL(n)                                                                        \
    static lucid_tensor *avg##n##d(lucid_module *m, lucid_tensor *x)                       \
    {                                                                                      \
        const nn_Pool *p = pool_of(m);                                                     \
        return lucid_avg_pool##n##d_opt(x, p->kernel, &p->avg);                            \
    }                                                                                      \
    CLASS(AvgPool##n##d, avg_pool##n##d, .forward = avg##n##d, .extra_repr = avg_repr)     \
    lucid_module *lucid_nn_avg_pool##n##d(lucid_extent kernel,                             \
                                          const lucid_avg_pool2d_options *options)         \
    {                                                                                      \
        const char *layer = "AvgPool" #n "d";                                              \
        const lucid_avg_pool2d_options *o = LUC_OPTIONS(lucid_avg_pool2d, options, layer); \
        if (!o || !check_window(layer, n, kernel, o->stride, o->padding, 1)) return NULL;  \
        lucid_module *m = lucid_module_new(&lucid_nn_avg_pool##n##d_class);                \
        nn_Pool *p = pool_of(m);                                                           \
        if (!p) return NULL;                                                               \
        p->kernel = kernel;                                                                \
        p->avg = *o;                                                                       \
        return m;                                                                          \
    }
AVG_POOL(1)
AVG_POOL(3)

/* ---- adaptive -------------------------------------------------------------------------------- */

static int adaptive_repr(const lucid_module *m, char *text, size_t size)
{
    return luc_snprintf(text, size, "output_size=%s",
                        sizes(pool_of(m)->kernel, rank_of(m), false).s);
}

static lucid_module *make_adaptive(const lucid_module_class *cls, int n, lucid_extent output)
{
    int64_t d[3] = {0, 0, 0};
    if (!check_sizes(cls->name, n, "output", output, LUCID_KEEP)) return NULL;
    if (luc_extent_is_pair(output))
        lucid_extent_get(output, d);
    else
        lucid_triple_get(output, d);
    for (int i = 0; i < n; i++)
        if (d[i] == 0 && !luc_layer_at_least(cls->name, "output", 0, 1)) return NULL;
    lucid_module *m = lucid_module_new(cls);
    nn_Pool *p = pool_of(m);
    if (p) p->kernel = output;
    return m;
}

#define ADAPTIVE_AVG(n, call)                                                            \
    static lucid_tensor *adaptive_avg##n##d(lucid_module *m, lucid_tensor *x)            \
    {                                                                                    \
        return call(x, pool_of(m)->kernel);                                              \
    }                                                                                    \
    CLASS(AdaptiveAvgPool##n##d, adaptive_avg_pool##n##d, .forward = adaptive_avg##n##d, \
          .extra_repr = adaptive_repr)                                                   \
    lucid_module *lucid_nn_adaptive_avg_pool##n##d(lucid_extent output)                  \
    {                                                                                    \
        return make_adaptive(&lucid_nn_adaptive_avg_pool##n##d_class, n, output);        \
    }
ADAPTIVE_AVG(1, lucid_adaptive_avg_pool1d)
ADAPTIVE_AVG(3, lucid_adaptive_avg_pool3d_opt)

#define ADAPTIVE_MAX(n, call, with_indices)                                                   \
    static bool adaptive_max##n##d(lucid_module *m, lucid_tensor *const *in, int n_in,        \
                                   lucid_tensor **out, int n_out)                             \
    {                                                                                         \
        const lucid_extent size = pool_of(m)->kernel;                                         \
        (void)n_in;                                                                           \
        if (n_out > 1) return give(with_indices(in[0], size), out, 2);                        \
        out[0] = call(in[0], size);                                                           \
        return out[0] != NULL;                                                                \
    }                                                                                         \
    CLASS(AdaptiveMaxPool##n##d, adaptive_max_pool##n##d, .forward_many = adaptive_max##n##d, \
          .inputs = "input", .outputs = "output, indices?", .extra_repr = adaptive_repr)      \
    lucid_module *lucid_nn_adaptive_max_pool##n##d(lucid_extent output)                       \
    {                                                                                         \
        return make_adaptive(&lucid_nn_adaptive_max_pool##n##d_class, n, output);             \
    }
ADAPTIVE_MAX(1, lucid_adaptive_max_pool1d, lucid_adaptive_max_pool1d_with_indices)
ADAPTIVE_MAX(2, lucid_adaptive_max_pool2d_opt, lucid_adaptive_max_pool2d_with_indices_opt)
ADAPTIVE_MAX(3, lucid_adaptive_max_pool3d_opt, lucid_adaptive_max_pool3d_with_indices_opt)

/* ---- means of powers ------------------------------------------------------------------------- */

static int lp_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Pool *p = pool_of(m);
    const int n = rank_of(m);
    return luc_snprintf(text, size, "norm_type=%g, kernel_size=%s, stride=%s, ceil_mode=%s",
                        p->norm_type, sizes(p->kernel, n, false).s,
                        p->lp.stride == LUCID_KERNEL ? "None" : sizes(p->lp.stride, n, false).s,
                        luc_python_bool(p->lp.ceil_mode));
}

#define LP_POOL(n)                                                                                 \
    static lucid_tensor *lp##n##d(lucid_module *m, lucid_tensor *x)                                \
    {                                                                                              \
        const nn_Pool *p = pool_of(m);                                                             \
        return lucid_lp_pool##n##d_opt(x, p->norm_type, p->kernel, &p->lp);                        \
    }                                                                                              \
    CLASS(LPPool##n##d, lp_pool##n##d, .forward = lp##n##d, .extra_repr = lp_repr)                 \
    lucid_module *lucid_nn_lp_pool##n##d(double norm_type, lucid_extent kernel,                    \
                                         const lucid_lp_pool_options *options)                     \
    {                                                                                              \
        const char *layer = "LPPool" #n "d";                                                       \
        const lucid_lp_pool_options *o = LUC_OPTIONS(lucid_lp_pool, options, layer);               \
        if (!o || !check_window(layer, n, kernel, o->stride, 0, 1)) return NULL;                   \
        if (!(norm_type > 0 || norm_type < 0))                                                     \
            return luc_raise_null(LUCID_ERR_ARGUMENT, layer,                                       \
                                  "norm_type: expected a number other than 0, got %g", norm_type); \
        lucid_module *m = lucid_module_new(&lucid_nn_lp_pool##n##d_class);                         \
        nn_Pool *p = pool_of(m);                                                                   \
        if (!p) return NULL;                                                                       \
        p->kernel = kernel;                                                                        \
        p->norm_type = norm_type;                                                                  \
        p->lp = *o;                                                                                \
        return m;                                                                                  \
    }
LP_POOL(1)
LP_POOL(2)
LP_POOL(3)

/* ---- the way back ---------------------------------------------------------------------------- */

static int unpool_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Pool *p = pool_of(m);
    const int n = rank_of(m);
    return luc_snprintf(text, size, "kernel_size=%s, stride=%s, padding=%s",
                        sizes(p->kernel, n, true).s,
                        sizes(step_of(p->kernel, p->unpool.stride), n, true).s,
                        sizes(p->unpool.padding, n, true).s);
}

#define UNPOOL(n)                                                                          \
    static bool unpool##n##d(lucid_module *m, lucid_tensor *const *in, int n_in,           \
                             lucid_tensor **out, int n_out)                                \
    {                                                                                      \
        const nn_Pool *p = pool_of(m);                                                     \
        (void)n_in, (void)n_out;                                                           \
        out[0] = lucid_max_unpool##n##d_opt(in[0], in[1], p->kernel, &p->unpool);          \
        return out[0] != NULL;                                                             \
    }                                                                                      \
    CLASS(MaxUnpool##n##d, max_unpool##n##d, .forward_many = unpool##n##d,                 \
          .inputs = "input, indices", .outputs = "output", .extra_repr = unpool_repr)      \
    lucid_module *lucid_nn_max_unpool##n##d(lucid_extent kernel,                           \
                                            const lucid_max_unpool_options *options)       \
    {                                                                                      \
        const char *layer = "MaxUnpool" #n "d";                                            \
        const lucid_max_unpool_options *o = LUC_OPTIONS(lucid_max_unpool, options, layer); \
        if (!o || !check_window(layer, n, kernel, o->stride, o->padding, 1)) return NULL;  \
        lucid_module *m = lucid_module_new(&lucid_nn_max_unpool##n##d_class);              \
        nn_Pool *p = pool_of(m);                                                           \
        if (!p) return NULL;                                                               \
        p->kernel = kernel;                                                                \
        p->unpool = *o;                                                                    \
        return m;                                                                          \
    }
UNPOOL(1)
UNPOOL(2)
UNPOOL(3)
