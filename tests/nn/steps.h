/* steps.h: runs the module cases of tests/reference (areas modules and batchnorm): a module, its
 * state, and steps of forward, backward and comparison. */
#ifndef TESTS_NN_STEPS_H
#define TESTS_NN_STEPS_H

#include "tests/testing.h"
#include "tests/tolerance.h"

#include "autograd/autograd.h"
#include "tests/reference/vectors.h"

#include "tests/on_device.h"

#include "tests/nn/se_block.h"

#include <stdio.h>

/* What a line of the manifest says, beside the constructor's arguments. */
typedef struct steps_case {
    const vectors *v;
    char name[64], tensors[64], op[32], layout[16], steps[128], mode[16], then[16], values[16];
    lucid_dtype dtype, param_dtype;
    lucid_shape input;
    bool backwards_last, frozen, expect_error;
    lucid_module *module;
} steps_case;

/* ---- memory layouts -------------------------------------------------------------------------- */

/* The same values in other memory. */
static inline lucid_tensor *lay_out(lucid_tensor *t, const char *layout)
{
    LUCID_NO_GRAD;
    int ndim = lucid_ndim(t);
    lucid_shape shape = lucid_tensor_shape(t);
    if (strcmp(layout, "channels_last") == 0 && (ndim == 4 || ndim == 5))
        return lucid_contiguous(t, LUCID_CHANNELS_LAST);
    if (strcmp(layout, "transposed") == 0 && ndim >= 2) {
        lucid_tensor *turned = lucid_contiguous(lucid_transpose(t, -1, -2), LUCID_CONTIGUOUS);
        return lucid_detach(lucid_transpose(turned, -1, -2));
    }
    if (strcmp(layout, "step2") == 0 && ndim >= 1) {
        lucid_shape wide = shape;
        wide.dims[ndim - 1] *= 2;
        lucid_tensor_options options = lucid_tensor_defaults;
        options.dtype = lucid_tensor_dtype(t);
        lucid_tensor *buffer = lucid_full_opt(wide, 77, &options);
        lucid_tensor *half = lucid_slice(buffer, -1, 0, INT64_MAX, 2);
        return lucid_detach(lucid_copy_(half, t));
    }
    if (strcmp(layout, "expanded") == 0 && ndim >= 1 && shape.dims[0] > 0)
        return lucid_detach(lucid_expand_opt(lucid_narrow(t, 0, 0, 1), shape));
    return t;
}

/* ---- modules from lines ---------------------------------------------------------------------- */

static inline void steps_pair(const vectors_case *c, const char *key, int64_t pair[2])
{
    lucid_shape list;
    cr_assert(vectors_list(c, key, &list) && list.ndim == 2, "%s: %s", vectors_name(c), key);
    pair[0] = list.dims[0];
    pair[1] = list.dims[1];
}

static inline lucid_module *steps_batch_norm(const vectors_case *c, const char *op,
                                             lucid_dtype dtype)
{
    const char *momentum = vectors_get(c, "momentum");
    bool none = momentum && strcmp(momentum, "none") == 0;
    lucid_nn_batch_norm_options o = lucid_nn_batch_norm_defaults;
    o.eps = vectors_double(c, "eps", o.eps);
    o.momentum = none ? LUCID_MOMENTUM_NONE : vectors_double(c, "momentum", o.momentum);
    o.affine = vectors_bool(c, "affine", true);
    o.track_running_stats = vectors_bool(c, "track_running_stats", true);
    o.dtype = dtype;
    int64_t n = vectors_int(c, "num_features", -1);
    if (strcmp(op, "BatchNorm1d") == 0) return lucid_nn_batch_norm1d(n, &o);
    if (strcmp(op, "BatchNorm2d") == 0) return lucid_nn_batch_norm2d(n, &o);
    return lucid_nn_batch_norm3d(n, &o);
}

static inline lucid_extent steps_extent(const vectors_case *c, const char *key)
{
    int64_t pair[2];
    steps_pair(c, key, pair);
    return lucid_pair(pair[0], pair[1]);
}

static inline lucid_module *steps_conv2d(const vectors_case *c, lucid_dtype dtype)
{
    return nn_Conv2d(vectors_int(c, "in_channels", 0), vectors_int(c, "out_channels", 0),
                     steps_extent(c, "kernel_size"), .stride = steps_extent(c, "stride"),
                     .padding = steps_extent(c, "padding"), .dilation = steps_extent(c, "dilation"),
                     .groups = vectors_int(c, "groups", 1), .bias = vectors_bool(c, "bias", true),
                     .dtype = dtype);
}

static inline lucid_module *steps_max_pool(const vectors_case *c)
{
    return nn_MaxPool2d(steps_extent(c, "kernel_size"), .stride = steps_extent(c, "stride"),
                        .padding = steps_extent(c, "padding"),
                        .dilation = steps_extent(c, "dilation"),
                        .ceil_mode = vectors_bool(c, "ceil_mode", false));
}

static inline lucid_module *steps_avg_pool(const vectors_case *c)
{
    return nn_AvgPool2d(steps_extent(c, "kernel_size"), .stride = steps_extent(c, "stride"),
                        .padding = steps_extent(c, "padding"),
                        .ceil_mode = vectors_bool(c, "ceil_mode", false),
                        .count_include_pad = vectors_bool(c, "count_include_pad", true));
}

/* Layers without parameters; NULL for another name. */
static inline lucid_module *steps_plain(const vectors_case *c, const char *op)
{
    if (strcmp(op, "ReLU") == 0) return nn_ReLU();
    if (strcmp(op, "Sigmoid") == 0) return nn_Sigmoid();
    if (strcmp(op, "Tanh") == 0) return nn_Tanh();
    if (strcmp(op, "SiLU") == 0) return nn_SiLU();
    if (strcmp(op, "GELU") == 0)
        return nn_GELU(.tanh_approximation = strcmp(vectors_get(c, "approximate"), "tanh") == 0);
    if (strcmp(op, "LeakyReLU") == 0)
        return nn_LeakyReLU(.negative_slope = vectors_double(c, "negative_slope", 0.01));
    if (strcmp(op, "ELU") == 0) return nn_ELU(.alpha = vectors_double(c, "alpha", 1));
    if (strcmp(op, "Softmax") == 0) return nn_Softmax((int)vectors_int(c, "dim", 0));
    if (strcmp(op, "LogSoftmax") == 0) return nn_LogSoftmax((int)vectors_int(c, "dim", 0));
    if (strcmp(op, "Identity") == 0) return nn_Identity();
    if (strcmp(op, "Dropout") == 0) return nn_Dropout(.p = vectors_double(c, "p", 0.5));
    if (strcmp(op, "Sequential") == 0) return nn_Sequential();
    if (strcmp(op, "Flatten") == 0)
        return nn_Flatten(.start_dim = (int)vectors_int(c, "start_dim", 1),
                          .end_dim = (int)vectors_int(c, "end_dim", -1));
    return NULL;
}

static inline lucid_module *steps_build(const vectors_case *c, lucid_dtype dtype)
{
    const char *op = vectors_get(c, "op");
    if (strncmp(op, "BatchNorm", 9) == 0) return steps_batch_norm(c, op, dtype);
    if (strcmp(op, "Conv2d") == 0) return steps_conv2d(c, dtype);
    if (strcmp(op, "Linear") == 0)
        return nn_Linear(vectors_int(c, "in_features", 0), vectors_int(c, "out_features", 0),
                         .bias = vectors_bool(c, "bias", true), .dtype = dtype);
    if (strcmp(op, "MaxPool2d") == 0) return steps_max_pool(c);
    if (strcmp(op, "AvgPool2d") == 0) return steps_avg_pool(c);
    if (strcmp(op, "SEBlock") == 0)
        return make_se(vectors_int(c, "channels", 0), vectors_int(c, "reduction", 1));
    if (strcmp(op, "AdaptiveAvgPool2d") == 0)
        return nn_AdaptiveAvgPool2d(steps_extent(c, "output_size"));
    lucid_module *m = steps_plain(c, op);
    cr_assert(m, "%s: no module %s here", vectors_name(c), op);
    return m;
}

static inline void steps_add_child(lucid_module *root, const vectors_case *c, lucid_dtype dtype)
{
    char path[64];
    snprintf(path, sizeof path, "%s", vectors_get(c, "child"));
    char *dot = strrchr(path, '.');
    if (dot) *dot = '\0';
    lucid_module *parent = dot ? lucid_get_module(root, path) : root;
    cr_assert(lucid_sequential_append(parent, steps_build(c, dtype)), "%s", lucid_error());
}

/* ---- reading a case -------------------------------------------------------------------------- */

static inline void steps_copy(char *to, size_t size, const vectors_case *c, const char *key,
                              const char *otherwise)
{
    const char *text = vectors_get(c, key);
    snprintf(to, size, "%s", text ? text : otherwise);
}

static inline void steps_read(steps_case *s, const vectors *v, const vectors_case *c)
{
    *s = (steps_case){.v = v};
    const char *order = vectors_get(c, "order"), *expect = vectors_get(c, "expect");
    steps_copy(s->name, sizeof s->name, c, "case", "");
    steps_copy(s->tensors, sizeof s->tensors, c, "tensors", s->name);
    steps_copy(s->op, sizeof s->op, c, "op", "");
    steps_copy(s->layout, sizeof s->layout, c, "layout", "contiguous");
    steps_copy(s->steps, sizeof s->steps, c, "steps", "");
    steps_copy(s->mode, sizeof s->mode, c, "mode", "");
    steps_copy(s->then, sizeof s->then, c, "then", "");
    steps_copy(s->values, sizeof s->values, c, "values", "");
    s->dtype = vectors_dtype(vectors_get(c, "dtype"));
    const char *param_dtype = vectors_get(c, "param_dtype");
    s->param_dtype = param_dtype ? vectors_dtype(param_dtype) : s->dtype;
    if (!lucid_dtype_is_floating(s->param_dtype)) s->param_dtype = LUCID_F32;
    vectors_list(c, "input", &s->input);
    s->backwards_last = order && strcmp(order, "forward,forward,backward,backward") == 0;
    s->frozen = !vectors_bool(c, "requires_grad", true);
    s->expect_error = expect && strcmp(expect, "error") == 0;
    if (strcmp(s->op, "batch_norm") != 0) s->module = steps_build(c, s->param_dtype);
}

/* ---- comparing ------------------------------------------------------------------------------- */

/* How far the results of a layer may lie from the reference, relative to the largest value of the
 * tensor: two roundings of the 16-bit types, which are computed in float32; sixteen of the others,
 * which PyTorch and lucid add up in other orders. */
static inline double steps_tolerance(lucid_dtype dtype)
{
    bool half = dtype == LUCID_F16 || dtype == LUCID_BF16;
    return (half ? 2 : 16) * tolerance_epsilon(dtype);
}

/* least: the size of the terms, where they may cancel altogether (the gradient that came in). */
static inline void expect_near(const char *what, lucid_tensor *got, lucid_tensor *expected,
                               double limit, double least)
{
    cr_assert(got, "%s: NULL: %s", what, lucid_error());
    lucid_shape a = lucid_tensor_shape(got), b = lucid_tensor_shape(expected);
    char got_text[96], expected_text[96];
    cr_assert(lucid_shape_equal(&a, &b), "%s: expected %s, got %s", what,
              lucid_shape_format(&b, expected_text, sizeof expected_text),
              lucid_shape_format(&a, got_text, sizeof got_text));
    size_t n = (size_t)lucid_numel(got);
    double *g = calloc(n + 1, sizeof *g), *e = calloc(n + 1, sizeof *e), scale = least;
    cr_assert(g && e && lucid_to_doubles(got, g, n) && lucid_to_doubles(expected, e, n), "%s",
              lucid_error());
    for (size_t i = 0; i < n; i++)
        if (isfinite(e[i]) && fabs(e[i]) > scale) scale = fabs(e[i]);
    for (size_t i = 0; i < n; i++)
        if (!testing_close(g[i], e[i], 0, limit * scale)) {
            cr_expect(false, "%s[%zu]: expected %.17g, got %.17g (%.2g of %.3g)", what, i, e[i],
                      g[i], fabs(g[i] - e[i]) / scale, scale);
            break;
        }
    free(g);
    free(e);
}

/* The largest finite magnitude in sK.ROLE. */
static inline double steps_largest(const steps_case *s, int k, const char *role)
{
    LUCID_SCOPE;
    char name[256];
    snprintf(name, sizeof name, "%s/s%d.%s", s->tensors, k, role);
    lucid_tensor *t = vectors_tensor(s->v, name);
    size_t n = (size_t)lucid_numel(t);
    double *values = calloc(n + 1, sizeof *values), largest = 1e-30;
    cr_assert(values && lucid_to_doubles(t, values, n));
    for (size_t i = 0; i < n; i++)
        if (isfinite(values[i]) && fabs(values[i]) > largest) largest = fabs(values[i]);
    free(values);
    return largest;
}

/* Compares with sK.ROLE, where the file has it: with the truth in float64 if that is there. */
static inline void steps_compare(const steps_case *s, int k, const char *role, lucid_tensor *got)
{
    LUCID_SCOPE;
    char name[256], truth[256];
    snprintf(name, sizeof name, "%s/s%d.%s", s->tensors, k, role);
    snprintf(truth, sizeof truth, "%s/truth.s%d.%s", s->tensors, k, role);
    bool has_truth = vectors_has(s->v, truth);
    if (!has_truth && !vectors_has(s->v, name)) return;
    lucid_tensor *expected = vectors_tensor(s->v, has_truth ? truth : name);
    char what[300];
    snprintf(what, sizeof what, "%s (%s): s%d.%s", s->name, s->layout, k, role);
    cr_assert(got, "%s: NULL: %s", what, lucid_error());
    double least = strncmp(role, "grad", 4) == 0 ? steps_largest(s, k, "grad_out") : 1e-30;
    /* In a network every layer adds its roundings to those before it. */
    double layers = strcmp(s->op, "Sequential") == 0 ? 8 : 1;
    expect_near(what, got, expected, layers * steps_tolerance(lucid_tensor_dtype(got)), least);
}

/* ---- running --------------------------------------------------------------------------------- */

static inline void steps_set_state(const steps_case *s)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    for (int buffers = 0; buffers < 2; buffers++) {
        size_t n;
        const lucid_named_tensor *list =
            buffers ? lucid_named_buffers(s->module, &n) : lucid_named_parameters(s->module, &n);
        for (size_t i = 0; i < n; i++) {
            char name[256];
            snprintf(name, sizeof name, "%s/%s.%s", s->tensors, buffers ? "buffer" : "param",
                     list[i].name);
            if (!vectors_has(s->v, name)) continue;
            cr_assert(lucid_copy_(list[i].tensor, vectors_tensor(s->v, name)), "%s", lucid_error());
        }
    }
    if (s->frozen) lucid_module_requires_grad(s->module, false);
}

static inline void steps_compare_buffers(const steps_case *s, int k)
{
    size_t n;
    const lucid_named_tensor *b = lucid_named_buffers(s->module, &n);
    for (size_t i = 0; i < n; i++) {
        char role[128];
        snprintf(role, sizeof role, "buffer.%s", b[i].name);
        steps_compare(s, k, role, b[i].tensor);
    }
}

static inline void steps_backward(const steps_case *s, int k, lucid_tensor *x, lucid_tensor *y)
{
    char name[256];
    snprintf(name, sizeof name, "%s/s%d.grad_out", s->tensors, k);
    if (!vectors_has(s->v, name)) return;
    const char *layout = strcmp(s->layout, "expanded") == 0 ? "contiguous" : s->layout;
    lucid_module_zero_grad(s->module);
    lucid_tensor *dy = lay_out(vectors_tensor(s->v, name), layout);
    cr_assert(lucid_backward(y, .gradient = dy), "%s: %s", s->name, lucid_error());
    steps_compare(s, k, "grad_in0", lucid_tensor_grad(x));
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(s->module, &n);
    for (size_t i = 0; i < n; i++) {
        char role[128];
        snprintf(role, sizeof role, "grad.%s", p[i].name);
        steps_compare(s, k, role, lucid_tensor_grad(p[i].tensor));
    }
}

/* Sets the mode of a word: train, eval, and after a dash untracked or no_grad. */
static inline bool steps_set_mode(lucid_module *m, const char *word)
{
    lucid_set_training(m, strncmp(word, "train", 5) == 0);
    if (strstr(word, "-untracked")) lucid_self(m, nn_BatchNormBase)->track_running_stats = false;
    return strstr(word, "-no_grad") == NULL;
}

static inline lucid_tensor *steps_input(const steps_case *s, int k)
{
    char name[256];
    snprintf(name, sizeof name, "%s/s%d.in0", s->tensors, k);
    lucid_tensor *x = lay_out(vectors_tensor(s->v, name), s->layout);
    if (x && lucid_dtype_is_floating(s->dtype)) lucid_requires_grad_(x, true);
    return x;
}

static inline lucid_tensor *steps_forward(const steps_case *s, int k, const char *word,
                                          lucid_tensor *x)
{
    bool before = lucid_set_grad_enabled(steps_set_mode(s->module, word));
    lucid_tensor *y = lucid_forward(s->module, x);
    if (y && strcmp(s->then, "relu_") == 0) y = lucid_relu_(y);
    lucid_set_grad_enabled(before);
    cr_assert(y, "%s: step %d: %s", s->name, k, lucid_error());
    cr_expect(lucid_tensor_dtype(y) == s->dtype, "%s: the output's dtype", s->name);
    if (strcmp(s->layout, "channels_last") == 0 && lucid_ndim(y) >= 4 && lucid_numel(y) > 0 &&
        strncmp(s->op, "BatchNorm", 9) == 0)
        cr_expect(lucid_is_contiguous(y, LUCID_CHANNELS_LAST), "%s: the output's layout", s->name);
    steps_compare(s, k, "out", y);
    steps_compare_buffers(s, k);
    return y;
}

static inline void steps_run(const steps_case *s)
{
    LUCID_SCOPE;
    enum { MOST = 8 };
    lucid_tensor *x[MOST], *y[MOST];
    int n = 0;
    char words[128], *save = NULL;
    snprintf(words, sizeof words, "%s", s->steps);
    steps_set_state(s);
    for (char *w = strtok_r(words, ",", &save); w; w = strtok_r(NULL, ",", &save), n++) {
        cr_assert(n < MOST);
        x[n] = steps_input(s, n);
        y[n] = steps_forward(s, n, w, x[n]);
        if (!s->backwards_last) steps_backward(s, n, x[n], y[n]);
    }
    for (int k = 0; s->backwards_last && k < n; k++) steps_backward(s, k, x[k], y[k]);
}

/* A forward that must be refused, with a message that names the layer. */
static inline void steps_run_error(const steps_case *s)
{
    LUCID_SCOPE;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = s->dtype;
    steps_set_mode(s->module, s->mode);
    lucid_tensor *x = lucid_ones_opt(s->input, &options);
    EXPECT_ERROR(lucid_forward(s->module, x), LUCID_ERR_ARGUMENT, s->op);
}

#endif
