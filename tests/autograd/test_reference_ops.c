/* Every operator against PyTorch's stored values and gradients, at each CPU level. */
#include "autograd/ops.h"
#include "lucid/core/device.h"
#include "tests/reference/op_cases.h"
#include "tests/testing.h"

/* The level is chosen when the first kernel runs; each test is a process of its own. */
static void run(const char *area, const char *level, int at_least)
{
    if (level) setenv("LUCID_CPU", level, 1);
    int cases = op_cases_run(area);
    cr_expect(cases >= at_least, "%s: only %d cases", area, cases);
    if (level && strcmp(level, "generic") == 0)
        cr_expect(strcmp(lucid_cpu_level(), "generic") == 0, "%s", lucid_cpu_level());
}

#define AREA(name, at_least)                    \
    Test(reference_ops, name)                   \
    {                                           \
        run("ops_" #name, NULL, at_least);      \
    }                                           \
    Test(reference_ops, name##_avx2)            \
    {                                           \
        run("ops_" #name, "avx2", at_least);    \
    }                                           \
    Test(reference_ops, name##_ref)             \
    {                                           \
        run("ops_" #name, "generic", at_least); \
    }

AREA(activation, 345)
AREA(pointwise, 460)
AREA(reduce, 240)
AREA(sorting, 200)
AREA(matrix, 160)
AREA(spatial, 170)
AREA(conv, 130)
AREA(loss, 190)
AREA(losses, 180)
AREA(norms, 60)
AREA(attention, 45)
AREA(pad, 60)
AREA(grid, 30)
AREA(pooling, 100)
AREA(interpolate, 300)
AREA(rearrange, 40)
AREA(tensor, 700)
AREA(linear, 300)

/* ---- promotion: the dtype of every pair, 0-d tensors and numbers among them ------------------ */

typedef lucid_tensor *(*binary_fn)(lucid_tensor *, lucid_tensor *);

static binary_fn promoting(const char *op)
{
    static const struct {
        const char *name;
        binary_fn fn;
    } rows[] = {{"add", lucid_add}, {"sub", lucid_sub},         {"div", lucid_div},
                {"pow", lucid_pow}, {"maximum", lucid_maximum}, {"lt", lucid_lt}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(op, rows[i].name) == 0) return rows[i].fn;
    cr_assert_fail("op=%s is not known", op);
    return NULL;
}

/* Ones [2], a one of no dimensions, or a number: 2 for an integer, 2.5 for a double. */
static lucid_tensor *operand(const char *dtype, const char *dim)
{
    if (strcmp(dim, "scalar") == 0) return lucid_scalar(strcmp(dtype, "f64") == 0 ? 2.5 : 2);
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = vectors_dtype(dtype);
    return lucid_ones_opt(strcmp(dim, "1") == 0 ? LUCID_SHAPE(2) : LUCID_SHAPE(), &o);
}

Test(reference_ops, promotion)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    vectors *v = vectors_open("promotion");
    int cases = 0;
    for (const vectors_case *c; (c = vectors_next(v)); cases++) {
        LUCID_SCOPE;
        const char *op = vectors_get(c, "op"), *a = vectors_get(c, "a"), *b = vectors_get(c, "b");
        const char *a_dim = vectors_get(c, "a_dim"), *b_dim = vectors_get(c, "b_dim");
        const char *out = vectors_get(c, "out");
        /* lucid has numbers, no bools of C: these would be the number 1. */
        if (strcmp(b_dim, "scalar") == 0 && strcmp(b, "bool") == 0) continue;
        lucid_tensor *y = promoting(op)(operand(a, a_dim), operand(b, b_dim));
        const char *got = y ? lucid_dtype_name(lucid_tensor_dtype(y)) : lucid_error();
        bool refused = strcmp(out, "error") == 0;
        cr_expect(refused ? !y && lucid_error_code() == LUCID_ERR_ARGUMENT
                          : y && lucid_tensor_dtype(y) == vectors_dtype(out),
                  "%s(%s dim %s, %s dim %s): expected %s, got %s", op, a, a_dim, b, b_dim, out,
                  got);
        lucid_clear_error();
    }
    cr_expect(cases > 1700, "only %d cases", cases);
    vectors_close(v);
}
