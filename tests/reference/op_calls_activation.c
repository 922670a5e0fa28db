/* op_calls_activation.c: the activations and mathematical functions by the names of the manifests;
 * op_calls.c has the others. */
#include "autograd/ops.h"
#include "tests/reference/op_cases.h"

#include <string.h>

static bool is(const op_case *c, const char *name)
{
    return strcmp(vectors_get(c->line, "op"), name) == 0;
}

static double number(const op_case *c, const char *key)
{
    return vectors_double(c->line, key, 0);
}

static void with_options(op_case *c)
{
    lucid_tensor *x = c->in[0];
    if (is(c, "leaky_relu"))
        c->out[0] = lucid_leaky_relu(x, .negative_slope = number(c, "negative_slope"));
    else if (is(c, "elu"))
        c->out[0] = lucid_elu(x, .alpha = number(c, "alpha"));
    else if (is(c, "celu"))
        c->out[0] = lucid_celu(x, .alpha = number(c, "alpha"));
    else if (is(c, "hardtanh"))
        c->out[0] = lucid_hardtanh(x, .min = number(c, "min_val"), .max = number(c, "max_val"));
    else if (is(c, "hardshrink"))
        c->out[0] = lucid_hardshrink(x, .lambda = number(c, "lambd"));
    else if (is(c, "softshrink"))
        c->out[0] = lucid_softshrink(x, .lambda = number(c, "lambd"));
    else if (is(c, "threshold"))
        c->out[0] = lucid_threshold(x, number(c, "threshold"), number(c, "value"));
    else if (is(c, "rrelu"))
        c->out[0] = lucid_rrelu(x, .lower = number(c, "lower"), .upper = number(c, "upper"));
    else if (is(c, "nan_to_num"))
        c->out[0] = lucid_nan_to_num(x);
}

static void of_one(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *);
    } rows[] = {{"relu6", lucid_relu6},
                {"logsigmoid", lucid_logsigmoid},
                {"softsign", lucid_softsign},
                {"tanhshrink", lucid_tanhshrink},
                {"floor", lucid_floor},
                {"ceil", lucid_ceil},
                {"round", lucid_round},
                {"trunc", lucid_trunc},
                {"isinf", lucid_inf_mask},
                {"isfinite", lucid_finite_mask},
                {"logical_not", lucid_logical_not}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is(c, rows[i].name)) c->out[0] = rows[i].fn(c->in[0]);
}

static void of_two(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *, lucid_tensor *);
    } rows[] = {{"prelu", lucid_prelu},
                {"atan2", lucid_atan2},
                {"fmod", lucid_fmod},
                {"remainder", lucid_remainder},
                {"logical_and", lucid_logical_and},
                {"logical_or", lucid_logical_or},
                {"logical_xor", lucid_logical_xor}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is(c, rows[i].name)) c->out[0] = rows[i].fn(c->in[0], c->in[1]);
}

static void of_three(op_case *c)
{
    if (is(c, "addcmul"))
        c->out[0] = lucid_addcmul(c->in[0], c->in[1], c->in[2], number(c, "value"));
    else if (is(c, "addcdiv"))
        c->out[0] = lucid_addcdiv(c->in[0], c->in[1], c->in[2], number(c, "value"));
    else if (vectors_get(c->line, "weight"))
        c->out[0] = lucid_lerp(c->in[0], c->in[1], number(c, "weight"));
    else
        c->out[0] = lucid_lerp(c->in[0], c->in[1], c->in[2]);
}

static void along(op_case *c)
{
    const int dim = (int)vectors_int(c->line, "dim", 0);
    c->out[0] = is(c, "glu") ? lucid_glu(c->in[0], dim) : lucid_softmin(c->in[0], dim);
}

#define EXACT      TOLERANCE_EXACT
#define ROUNDED    TOLERANCE_ROUNDED
#define FUNCTION   TOLERANCE_FUNCTION
#define CANCELLING TOLERANCE_CANCELLING
#define SUM        TOLERANCE_SUM
#define STATISTICS TOLERANCE_STATISTICS

static const op_entry table[] = {
    {"relu6", EXACT, EXACT, of_one},
    {"leaky_relu", ROUNDED, ROUNDED, with_options},
    {"elu", FUNCTION, FUNCTION, with_options},
    {"celu", FUNCTION, FUNCTION, with_options},
    {"hardtanh", EXACT, EXACT, with_options},
    {"hardshrink", EXACT, EXACT, with_options},
    {"softshrink", ROUNDED, EXACT, with_options},
    {"threshold", EXACT, EXACT, with_options},
    {"rrelu", ROUNDED, ROUNDED, with_options},
    {"nan_to_num", EXACT, EXACT, with_options},
    {"logsigmoid", CANCELLING, CANCELLING, of_one},
    {"softsign", FUNCTION, CANCELLING, of_one},
    {"tanhshrink", CANCELLING, CANCELLING, of_one},
    {"floor", EXACT, EXACT, of_one},
    {"ceil", EXACT, EXACT, of_one},
    {"round", EXACT, EXACT, of_one},
    {"trunc", EXACT, EXACT, of_one},
    {"isinf", EXACT, EXACT, of_one},
    {"isfinite", EXACT, EXACT, of_one},
    {"logical_not", EXACT, EXACT, of_one},
    {"prelu", ROUNDED, SUM, of_two},
    {"atan2", FUNCTION, SUM, of_two},
    {"fmod", EXACT, SUM, of_two},
    {"remainder", ROUNDED, SUM, of_two},
    {"logical_and", EXACT, EXACT, of_two},
    {"logical_or", EXACT, EXACT, of_two},
    {"logical_xor", EXACT, EXACT, of_two},
    {"lerp", CANCELLING, SUM, of_three},
    {"addcmul", CANCELLING, SUM, of_three},
    {"addcdiv", CANCELLING, SUM, of_three},
    {"glu", FUNCTION, CANCELLING, along},
    {"softmin", FUNCTION, STATISTICS, along},
};

const op_entry *op_find_activation(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}
