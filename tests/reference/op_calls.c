/* The operators by the names of the manifests: how a case's fields become arguments. */
#include "autograd/op.h"
#include "autograd/ops.h"
#include "tests/reference/image_calls.h"
#include "tests/reference/conv_calls.h"
#include "tests/reference/loss_calls.h"
#include "tests/reference/op_cases.h"
#include "tests/testing.h"

#include <stdio.h>

/* ---- fields ---------------------------------------------------------------------------------- */

static int int_field(const op_case *c, const char *key, int otherwise)
{
    return (int)vectors_int(c->line, key, otherwise);
}

static bool is_none(const op_case *c, const char *key)
{
    const char *text = vectors_get(c->line, key);
    return !text || strcmp(text, "none") == 0;
}

static lucid_extent extent(const op_case *c, const char *key)
{
    lucid_shape list;
    cr_assert(vectors_list(c->line, key, &list) && list.ndim == 2, "%s: %s must be a pair",
              vectors_name(c->line), key);
    return lucid_pair(list.dims[0], list.dims[1]);
}

static lucid_shape list_field(const op_case *c, const char *key)
{
    lucid_shape list;
    cr_assert(vectors_list(c->line, key, &list), "%s: %s must be a list", vectors_name(c->line),
              key);
    return list;
}

static const char *op_name(const op_case *c)
{
    return vectors_get(c->line, "op");
}

/* ---- elementwise ----------------------------------------------------------------------------- */

static void unary(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *);
    } rows[] = {
#define ROW_CALL(name) {#name, lucid_##name},
#define ROW_OWN(name)
#define LUC_UNARY(name, type, numbers, call) ROW_##call(name)
#include "lucid/core/ops.def"
        {"neg", lucid_neg}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, op_name(c)) == 0) c->out[0] = rows[i].fn(c->in[0]);
}

typedef struct binary_row {
    const char *name;
    lucid_tensor *(*fn)(lucid_tensor *, lucid_tensor *);
    lucid_tensor *(*with_number)(lucid_tensor *, double);
} binary_row;

/* A number may be given in two ways: both must give the same bits. */
static void with_number(op_case *c, const binary_row *row)
{
    double other = vectors_double(c->line, "other", 0);
    c->out[0] = row->fn(c->in[0], lucid_scalar(other));
    if (!row->with_number || !c->out[0]) return;
    lucid_tensor *same = row->with_number(c->in[0], other);
    if (!same || lucid_tensor_dtype(same) != lucid_tensor_dtype(c->out[0]) ||
        !lucid_allclose(same, c->out[0], 0, 0, true))
        snprintf(c->why, sizeof c->why, "%s_scalar differs from %s with lucid_scalar", row->name,
                 row->name);
}

static void binary(op_case *c)
{
    static const binary_row rows[] = {{"add", lucid_add, lucid_add_scalar},
                                      {"sub", lucid_sub, lucid_sub_scalar},
                                      {"mul", lucid_mul, lucid_mul_scalar},
                                      {"div", lucid_div, lucid_div_scalar},
                                      {"pow", lucid_pow, lucid_pow_scalar},
                                      {"minimum", lucid_minimum, NULL},
                                      {"maximum", lucid_maximum, NULL},
                                      {"eq", lucid_eq, NULL},
                                      {"ne", lucid_ne, NULL},
                                      {"lt", lucid_lt, NULL},
                                      {"le", lucid_le, NULL},
                                      {"gt", lucid_gt, NULL},
                                      {"ge", lucid_ge, NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, op_name(c)) != 0) continue;
        if (vectors_get(c->line, "other"))
            with_number(c, &rows[i]);
        else
            c->out[0] = rows[i].fn(c->in[0], c->in[1]);
    }
}

static void call_where(op_case *c)
{
    c->out[0] = lucid_where(c->in[0], c->in[1], c->in[2]);
}

static void call_clamp(op_case *c)
{
    c->out[0] =
        lucid_clamp(c->in[0], is_none(c, "min") ? -INFINITY : vectors_double(c->line, "min", 0),
                    is_none(c, "max") ? INFINITY : vectors_double(c->line, "max", 0));
}

static void call_gelu(op_case *c)
{
    c->out[0] = lucid_gelu(c->in[0], strcmp(vectors_get(c->line, "approximate"), "tanh") == 0);
}

/* ---- reductions ------------------------------------------------------------------------------ */

static lucid_shape reduce_dims(const op_case *c)
{
    lucid_shape dims;
    return vectors_list(c->line, "dim", &dims) ? dims : LUCID_ALL;
}

static void reduce(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *, lucid_shape, const lucid_reduce_options *);
    } rows[] = {{"sum", lucid_sum_opt}, {"mean", lucid_mean_opt}, {"max", lucid_max_opt},
                {"min", lucid_min_opt}, {"amax", lucid_max_opt},  {"amin", lucid_min_opt}};
    lucid_reduce_options o = lucid_reduce_defaults;
    o.keepdim = vectors_bool(c->line, "keepdim", false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].name, op_name(c)) == 0)
            c->out[0] = rows[i].fn(c->in[0], reduce_dims(c), &o);
    if (strcmp(op_name(c), "var") == 0)
        c->out[0] = lucid_var(c->in[0], reduce_dims(c), .keepdim = o.keepdim,
                              .correction = vectors_int(c->line, "correction", 1));
}

static void arg(op_case *c)
{
    bool most = strcmp(op_name(c), "argmax") == 0 || strcmp(op_name(c), "max") == 0;
    lucid_reduce_options o = lucid_reduce_defaults;
    o.keepdim = vectors_bool(c->line, "keepdim", false);
    lucid_shape dims = is_none(c, "dim") ? LUCID_ALL : LUCID_SHAPE(int_field(c, "dim", 0));
    c->out[0] = most ? lucid_argmax_opt(c->in[0], dims, &o) : lucid_argmin_opt(c->in[0], dims, &o);
}

/* max and min over one dim give the index too. */
static void extreme(op_case *c)
{
    reduce(c);
    if (is_none(c, "dim") || !c->out[0]) return;
    lucid_tensor *values = c->out[0];
    arg(c);
    c->out[1] = c->out[0];
    c->out[0] = values;
}

/* ---- sorting --------------------------------------------------------------------------------- */

static void call_sort(op_case *c)
{
    lucid_sort_options o = lucid_sort_defaults;
    int dim = int_field(c, "dim", 0);
    o.descending = vectors_bool(c->line, "descending", false);
    if (strcmp(op_name(c), "argsort") == 0) {
        c->out[0] = lucid_argsort_opt(c->in[0], dim, &o);
        return;
    }
    lucid_sorted s = lucid_sort_opt(c->in[0], dim, &o);
    c->out[0] = s.values;
    c->out[1] = s.indices;
}

static void call_topk(op_case *c)
{
    lucid_topk_options o = lucid_topk_defaults;
    o.dim = int_field(c, "dim", 0);
    o.largest = vectors_bool(c->line, "largest", true);
    lucid_sorted s = lucid_topk_opt(c->in[0], vectors_int(c->line, "k", 0), &o);
    c->out[0] = s.values;
    c->out[1] = s.indices;
}

/* ---- matrices, views, joining ---------------------------------------------------------------- */

static void call_matmul(op_case *c)
{
    c->out[0] = lucid_matmul(c->in[0], c->in[1]);
}

static void along_dim(op_case *c)
{
    int dim = int_field(c, "dim", 0);
    const char *op = op_name(c);
    if (strcmp(op, "softmax") == 0) c->out[0] = lucid_softmax(c->in[0], dim);
    if (strcmp(op, "log_softmax") == 0) c->out[0] = lucid_log_softmax(c->in[0], dim);
    if (strcmp(op, "cat") == 0) c->out[0] = lucid_cat_list(c->in, (size_t)c->n_in, dim);
    if (strcmp(op, "stack") == 0) c->out[0] = lucid_stack_list(c->in, (size_t)c->n_in, dim);
    if (strcmp(op, "index_select") == 0) c->out[0] = lucid_index_select(c->in[0], dim, c->in[1]);
    if (strcmp(op, "gather") == 0) c->out[0] = lucid_gather(c->in[0], dim, c->in[1]);
}

static void view(op_case *c)
{
    lucid_tensor *x = c->in[0];
    const char *op = op_name(c);
    int dim = is_none(c, "dim") ? 0 : int_field(c, "dim", 0);
    if (strcmp(op, "reshape") == 0) c->out[0] = lucid_reshape_opt(x, list_field(c, "shape"));
    if (strcmp(op, "view") == 0) c->out[0] = lucid_view_opt(x, list_field(c, "shape"));
    if (strcmp(op, "permute") == 0) c->out[0] = lucid_permute_opt(x, list_field(c, "dims"));
    if (strcmp(op, "expand") == 0) c->out[0] = lucid_expand_opt(x, list_field(c, "size"));
    if (strcmp(op, "transpose") == 0)
        c->out[0] = lucid_transpose(x, int_field(c, "dim0", 0), int_field(c, "dim1", 0));
    if (strcmp(op, "squeeze") == 0)
        c->out[0] = is_none(c, "dim") ? lucid_squeeze_all(x) : lucid_squeeze(x, dim);
    if (strcmp(op, "unsqueeze") == 0) c->out[0] = lucid_unsqueeze(x, dim);
    if (strcmp(op, "flatten") == 0)
        c->out[0] = lucid_flatten(x, int_field(c, "start_dim", 0), int_field(c, "end_dim", -1));
    if (strcmp(op, "narrow") == 0)
        c->out[0] = lucid_narrow(x, dim, vectors_int(c->line, "start", 0),
                                 vectors_int(c->line, "length", 0));
    if (strcmp(op, "select") == 0)
        c->out[0] = lucid_select(x, dim, vectors_int(c->line, "index", 0));
}

static void call_slice(op_case *c)
{
    int64_t start = is_none(c, "start") ? 0 : vectors_int(c->line, "start", 0);
    int64_t end = is_none(c, "end") ? INT64_MAX : vectors_int(c->line, "end", 0);
    c->out[0] =
        lucid_slice(c->in[0], int_field(c, "dim", 0), start, end, vectors_int(c->line, "step", 1));
}

static void call_slices(op_case *c)
{
    lucid_tensor *x = c->in[0];
    const char *text = vectors_get(c->line, "slices");
    for (int dim = 0, used; *text; dim++, text += used) {
        long long start, end, step;
        used = 0;
        cr_assert(sscanf(text, "%lld:%lld:%lld%n", &start, &end, &step, &used) == 3, "%s: slices",
                  vectors_name(c->line));
        used += text[used] == ',';
        x = lucid_slice(x, dim, start, end, step);
    }
    c->out[0] = x;
}

/* ---- images ---------------------------------------------------------------------------------- */

static void call_conv2d(op_case *c)
{
    const bool same = strcmp(vectors_get(c->line, "padding"), "same") == 0;
    const lucid_extent padding = same ? LUCID_SAME : extent(c, "padding");
    c->out[0] = lucid_conv2d(c->in[0], c->in[1], c->in[2], .stride = extent(c, "stride"),
                             .padding = padding, .dilation = extent(c, "dilation"),
                             .groups = vectors_int(c->line, "groups", 1));
}

static void call_max_pool2d(op_case *c)
{
    c->out[0] = lucid_max_pool2d(c->in[0], extent(c, "kernel_size"), .stride = extent(c, "stride"),
                                 .padding = extent(c, "padding"), .dilation = extent(c, "dilation"),
                                 .ceil_mode = vectors_bool(c->line, "ceil_mode", false));
}

static void call_avg_pool2d(op_case *c)
{
    lucid_avg_pool2d_options o = lucid_avg_pool2d_defaults;
    o.stride = extent(c, "stride");
    o.padding = extent(c, "padding");
    o.ceil_mode = vectors_bool(c->line, "ceil_mode", false);
    o.count_include_pad = vectors_bool(c->line, "count_include_pad", true);
    if (!is_none(c, "divisor_override"))
        o.divisor_override = vectors_int(c->line, "divisor_override", 0);
    c->out[0] = lucid_avg_pool2d_opt(c->in[0], extent(c, "kernel_size"), &o);
}

static void call_adaptive_avg_pool2d(op_case *c)
{
    c->out[0] = lucid_adaptive_avg_pool2d(c->in[0], extent(c, "output_size"));
}

/* ---- layers and losses ----------------------------------------------------------------------- */

static void call_linear(op_case *c)
{
    c->out[0] = lucid_linear(c->in[0], c->in[1], c->in[2]);
}

static void call_dropout(op_case *c)
{
    c->out[0] = lucid_dropout(c->in[0], vectors_double(c->line, "p", 0),
                              vectors_bool(c->line, "training", false));
}

static void call_batch_norm(op_case *c)
{
    lucid_batch_norm_options o = lucid_batch_norm_defaults;
    o.weight = c->in[1];
    o.bias = c->in[2];
    o.running_mean = c->running_mean;
    o.running_var = c->running_var;
    o.training = vectors_bool(c->line, "training", false);
    o.momentum = vectors_double(c->line, "momentum", 0.1);
    o.eps = vectors_double(c->line, "eps", 1e-5);
    c->out[0] = lucid_batch_norm_opt(c->in[0], &o);
}

static void loss(op_case *c)
{
    const char *reduction = vectors_get(c->line, "reduction"), *op = op_name(c);
    const int how = strcmp(reduction, "none") == 0  ? LUCID_REDUCTION_NONE
                    : strcmp(reduction, "sum") == 0 ? LUCID_REDUCTION_SUM
                                                    : LUCID_REDUCTION_MEAN;
    const int64_t ignored = vectors_int(c->line, "ignore_index", -100);
    if (strcmp(op, "cross_entropy") == 0)
        c->out[0] = lucid_cross_entropy(
            c->in[0], c->in[1], .weight = c->in[2], .reduction = how, .ignore_index = ignored,
            .label_smoothing = vectors_double(c->line, "label_smoothing", 0));
    if (strcmp(op, "nll_loss") == 0)
        c->out[0] = lucid_nll_loss(c->in[0], c->in[1], .weight = c->in[2], .reduction = how,
                                   .ignore_index = ignored);
    if (strcmp(op, "mse_loss") == 0)
        c->out[0] = lucid_mse_loss(c->in[0], c->in[1], .reduction = how);
}

/* ---- the table ------------------------------------------------------------------------------- */

#define EXACT      TOLERANCE_EXACT
#define ROUNDED    TOLERANCE_ROUNDED
#define FUNCTION   TOLERANCE_FUNCTION
#define CANCELLING TOLERANCE_CANCELLING
#define SUM        TOLERANCE_SUM
#define STATISTICS TOLERANCE_STATISTICS

/* The backward of an operator that broadcasts is a sum. */
static const op_entry table[] = {
    {"add", ROUNDED, SUM, binary},
    {"sub", ROUNDED, SUM, binary},
    {"mul", ROUNDED, SUM, binary},
    {"div", ROUNDED, SUM, binary},
    {"pow", FUNCTION, SUM, binary},
    {"minimum", EXACT, SUM, binary},
    {"maximum", EXACT, SUM, binary},
    {"eq", EXACT, EXACT, binary},
    {"ne", EXACT, EXACT, binary},
    {"lt", EXACT, EXACT, binary},
    {"le", EXACT, EXACT, binary},
    {"gt", EXACT, EXACT, binary},
    {"ge", EXACT, EXACT, binary},
    {"where", EXACT, SUM, call_where},
    {"neg", EXACT, EXACT, unary},
    {"abs", EXACT, EXACT, unary},
    {"relu", EXACT, EXACT, unary},
    {"square", ROUNDED, ROUNDED, unary},
    {"sqrt", ROUNDED, FUNCTION, unary},
    {"rsqrt", FUNCTION, FUNCTION, unary},
    {"exp", FUNCTION, FUNCTION, unary},
    {"log", FUNCTION, FUNCTION, unary},
    {"tanh", FUNCTION, CANCELLING, unary},
    {"sigmoid", FUNCTION, CANCELLING, unary},
    {"silu", FUNCTION, CANCELLING, unary},
    {"gelu", CANCELLING, CANCELLING, call_gelu},
    {"clamp", EXACT, EXACT, call_clamp},
    {"sum", SUM, SUM, reduce},
    {"mean", SUM, ROUNDED, reduce},
    {"var", STATISTICS, STATISTICS, reduce},
    {"max", EXACT, ROUNDED, extreme},
    {"min", EXACT, ROUNDED, extreme},
    {"amax", EXACT, ROUNDED, reduce},
    {"amin", EXACT, ROUNDED, reduce},
    {"argmax", EXACT, EXACT, arg},
    {"argmin", EXACT, EXACT, arg},
    {"sort", EXACT, EXACT, call_sort},
    {"argsort", EXACT, EXACT, call_sort},
    {"topk", EXACT, EXACT, call_topk},
    {"matmul", SUM, SUM, call_matmul},
    {"softmax", FUNCTION, STATISTICS, along_dim},
    {"log_softmax", STATISTICS, STATISTICS, along_dim},
    {"cat", EXACT, EXACT, along_dim},
    {"stack", EXACT, EXACT, along_dim},
    {"index_select", EXACT, SUM, along_dim},
    {"gather", EXACT, SUM, along_dim},
    {"slice", EXACT, EXACT, call_slice},
    {"slices", EXACT, EXACT, call_slices},
    {"reshape", EXACT, EXACT, view},
    {"view", EXACT, EXACT, view},
    {"permute", EXACT, EXACT, view},
    {"transpose", EXACT, EXACT, view},
    {"squeeze", EXACT, EXACT, view},
    {"unsqueeze", EXACT, EXACT, view},
    {"expand", EXACT, SUM, view},
    {"narrow", EXACT, EXACT, view},
    {"select", EXACT, EXACT, view},
    {"flatten", EXACT, EXACT, view},
    {"conv2d", SUM, SUM, call_conv2d},
    {"max_pool2d", EXACT, SUM, call_max_pool2d},
    {"avg_pool2d", SUM, SUM, call_avg_pool2d},
    {"adaptive_avg_pool2d", SUM, SUM, call_adaptive_avg_pool2d},
    {"linear", SUM, SUM, call_linear},
    {"dropout", EXACT, EXACT, call_dropout},
    {"batch_norm", STATISTICS, STATISTICS, call_batch_norm},
    {"cross_entropy", STATISTICS, STATISTICS, loss},
    {"nll_loss", SUM, SUM, loss},
    {"mse_loss", SUM, SUM, loss},
};

const op_entry *op_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    if (loss_find(name)) return loss_find(name);
    if (conv_find(name)) return conv_find(name);
    if (image_find(name)) return image_find(name);
    static const op_entry plain = {"", FUNCTION, CANCELLING, unary};
    const op_entry *activation = op_find_activation(name);
    if (activation) return activation;
    if (op_find_tensor(name)) return op_find_tensor(name);
    if (op_find_linear(name)) return op_find_linear(name);
    return lucid_op_find(name) ? &plain : NULL;
}
