/* test_exceptions.c: a kernel raises no floating-point exception that its data do not. A program
 * may trap them (feenableexcept), and lanes of a vector that hold no element must not end it. */
#include "backends/cpu/levels_priv.h"
#include "lucid/extend.h"
#include "testing.h"

#include <fenv.h>
#include <float.h>
#include <math.h>

#define BAD (FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW)

/* Kinds of harmless data. */
enum { NEAR_ONE, POSITIVE, MIXED, LOW, HIGH, FAR, KINDS };
static const char *const kind_names[] = {"in [1,2)",  "in (0,1]", "in [-2,2)",
                                         "near -200", "near 200", "near 1e30"};

static lucid_tensor *data_of(int kind, int64_t n, lucid_dtype dtype)
{
    double *x = malloc((size_t)n * sizeof *x);
    cr_assert(x);
    for (int64_t i = 0; i < n; i++) {
        const double u = (double)(i * 37 % 101) / 101;
        x[i] = kind == NEAR_ONE   ? 1 + u
               : kind == POSITIVE ? 1 - u
               : kind == MIXED    ? 4 * u - 2
               : kind == LOW      ? -200 - u
               : kind == HIGH     ? 200 + u
                                  : 1e30 * (1 + u / 1000);
        if (x[i] == 0) x[i] = 0.5;
    }
    lucid_tensor *t = lucid_cast(lucid_from_data((n), x, .dtype = LUCID_F64), dtype);
    free(x);
    return t;
}

/* Each line: what is computed of x, and of which kinds of data it is finite. */
#define ALL  0x3f
#define TAME 0x1f /* not of 1e30 */
#define ROOT (1 << NEAR_ONE | 1 << POSITIVE | 1 << HIGH | 1 << FAR)
#define CASES(CASE)                                                                     \
    CASE("div", ALL, lucid_div(x, x))                                                   \
    CASE("div by a row", ALL, lucid_div(lucid_ones((1)), x))                            \
    CASE("div of a row", ALL, lucid_div(x, lucid_ones((1))))                            \
    CASE("reciprocal", ALL, lucid_reciprocal(x))                                        \
    CASE("sqrt", ROOT, lucid_sqrt(x))                                                   \
    CASE("rsqrt", ROOT, lucid_rsqrt(x))                                                 \
    CASE("pow -1", ALL, lucid_pow_scalar(x, -1))                                        \
    CASE("pow -0.5", ROOT, lucid_pow_scalar(x, -0.5))                                   \
    CASE("pow 1.5", ROOT &TAME, lucid_pow_scalar(x, 1.5))                               \
    CASE("log", ROOT, lucid_log(x))                                                     \
    CASE("exp", TAME & ~(1 << HIGH), lucid_exp(x))                                      \
    CASE("tanh", ALL, lucid_tanh(x))                                                    \
    CASE("sigmoid", ALL, lucid_sigmoid(x))                                              \
    CASE("silu", ALL, lucid_silu(x))                                                    \
    CASE("gelu", ALL, lucid_gelu(x, false))                                             \
    CASE("gelu, tanh", TAME & ~(1 << LOW), lucid_gelu(x, true))                         \
    CASE("relu", ALL, lucid_relu(x))                                                    \
    CASE("abs, sign, neg", ALL, lucid_add(lucid_abs(x), lucid_sign(lucid_neg(x))))      \
    CASE("clamp", ALL, lucid_clamp(x, -1, 1))                                           \
    CASE("minimum, maximum", ALL, lucid_minimum(x, lucid_maximum(x, x)))                \
    CASE("softmax", ALL, lucid_softmax(x, 0))                                           \
    CASE("log_softmax", ALL, lucid_log_softmax(x, 0))                                   \
    CASE("sum, mean", ALL, lucid_add(lucid_sum(x), lucid_mean(x)))                      \
    CASE("var", TAME, lucid_var(x))                                                     \
    CASE("max, min", ALL, lucid_sub(lucid_max(x), lucid_min(x)))                        \
    CASE("argmax", ALL, lucid_argmax(x, 0))                                             \
    CASE("sort", ALL, lucid_sort(x, 0).values)                                          \
    CASE("topk", ALL, lucid_topk(x, 1).values)                                          \
    CASE("dropout", ALL, lucid_dropout(x, 0.5, true))                                   \
    CASE("where", ALL, lucid_where(lucid_gt(x, lucid_neg(x)), x, x))                    \
    CASE("backward of div", TAME, gradient(x, lucid_div(x, lucid_add_scalar(x, 0.25)))) \
    CASE("backward of sqrt", ROOT &TAME, gradient(x, lucid_sqrt(x)))                    \
    CASE("backward of log", ROOT &TAME, gradient(x, lucid_log(x)))                      \
    CASE("backward of softmax", ALL, gradient(x, lucid_softmax(x, 0)))                  \
    CASE("backward of log_softmax", ALL, gradient(x, lucid_log_softmax(x, 0)))          \
    CASE("backward of tanh, gelu", TAME, gradient(x, lucid_tanh(lucid_gelu(x, false)))) \
    CASE("backward of max", ALL, gradient(x, lucid_max(x)))                             \
    CASE("batch_norm of rows", TAME, normalize(x, false))                               \
    CASE("batch_norm of lanes", TAME, normalize(x, true))

static lucid_tensor *gradient(lucid_tensor *x, lucid_tensor *y)
{
    lucid_backward(lucid_sum(lucid_mul_scalar(y, 0.5)));
    return lucid_tensor_grad(x);
}

/* x as two channels: rows of neighbours, or channels beside each other. */
static lucid_tensor *normalize(lucid_tensor *x, bool lanes)
{
    const int64_t n = lucid_numel(x);
    lucid_tensor *both[] = {x, x};
    lucid_tensor *image = lanes ? lucid_reshape(lucid_stack(both, 2, 0), (2, n))
                                : lucid_reshape(lucid_stack(both, 2, 0), (1, 2, n));
    lucid_tensor *y = lucid_batch_norm(image, .training = true);
    return gradient(x, lucid_mul(y, y));
}

static int raised;

static void check_case(int which, int64_t n, int kind, lucid_dtype dtype)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_requires_grad_(data_of(kind, n, dtype), true);
    lucid_manual_seed(1);
    const char *name = NULL;
    int of = 0, at = 0;
    feclearexcept(FE_ALL_EXCEPT);
#define CASE(text, kinds, expression)                                             \
    if (at++ == which) {                                                          \
        name = text;                                                              \
        of = kinds;                                                               \
        if (of >> kind & 1) cr_assert(expression, "%s: %s", text, lucid_error()); \
    }
    CASES(CASE)
#undef CASE
    const int flags = fetestexcept(BAD);
    if (!(of >> kind & 1) || !flags) return;
    raised++;
    cr_expect(false, "%s of %lld numbers %s in %s, %s:%s%s%s", name, (long long)n, kind_names[kind],
              lucid_dtype_name(dtype), lucid_cpu_level(),
              flags & FE_DIVBYZERO ? " division by zero" : "", flags & FE_INVALID ? " invalid" : "",
              flags & FE_OVERFLOW ? " overflow" : "");
}

Test(exceptions, unused_lanes_raise_none, .timeout = 120)
{
    static const int64_t sizes[] = {2, 3, 7, 8, 15, 17, 31, 65};
    int cases = 0;
#define CASE(text, kinds, expression) cases++;
    CASES(CASE)
#undef CASE
    lucid_set_num_threads(1);
    for (int level = 0; level >= 0; level = luc_cpu_next_whole(level)) {
        luc_cpu_force((luc_cpu_level)level);
        for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
            for (int which = 0; which < cases; which++)
                for (int kind = 0; kind < KINDS; kind++) {
                    if (dtype == LUCID_F16 && kind >= LOW) continue; /* it holds less */
                    const int before = raised;
                    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && raised == before; i++)
                        check_case(which, sizes[i], kind, (lucid_dtype)dtype);
                }
    }
    luc_cpu_force(luc_cpu_best());
}

/* Of the operators that bring their truth with them (.element), where that is finite. */
static void check_element(const lucid_op *op, const void *attrs, int64_t n, int kind)
{
    LUCID_SCOPE;
    lucid_tensor *x = data_of(kind, n, LUCID_F32), *in[] = {x, x};
    const float *values = lucid_data(x);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(op->element((const double[]){values[i], values[i]}, attrs)) <= FLT_MAX)) return;
    feclearexcept(FE_ALL_EXCEPT);
    cr_assert(lucid_apply(op, in, op->n_in, attrs), "%s", lucid_error());
    cr_expect(fetestexcept(BAD) == 0, "%s of %lld numbers %s, %s: flags %x", op->name, (long long)n,
              kind_names[kind], lucid_cpu_level(), fetestexcept(BAD));
}

Test(exceptions, operators_with_an_element)
{
    const lucid_op *op;
    for (int level = 0; level <= (int)luc_cpu_best(); level++) {
        luc_cpu_force((luc_cpu_level)level);
        for (size_t i = 0; (op = lucid_op_at(i)); i++)
            for (int k = 0; op->element && k < op->n_samples; k++)
                for (int kind = 0; kind < KINDS; kind++)
                    for (int64_t n = 2; n < 40; n += 5)
                        check_element(op, op->samples[k].attrs, n, kind);
    }
    luc_cpu_force(luc_cpu_best());
}

/* Adam and Adadelta with eps = 0 divide by a root that is 0 where there is no element. */
Test(exceptions, optimizers_raise_none)
{
    static const char *const kinds[] = {"Adam", "Adadelta", "SGD"};
    lucid_set_num_threads(1);
    for (int level = 0; level >= 0; level = luc_cpu_next_whole(level)) {
        luc_cpu_force((luc_cpu_level)level);
        for (int k = 0; k < 3; k++)
            for (int64_t n = 1; n < 20; n += 3) {
                LUCID_SCOPE;
                lucid_tensor *p = lucid_requires_grad_(data_of(MIXED, n, LUCID_F32), true);
                lucid_optimizer *opt = lucid_optim_new(kinds[k], NULL);
                lucid_optim_options o = lucid_optim_get_defaults(opt);
                if (k < 2) o.eps = 0;
                lucid_optim_add_group(opt, &p, 1, &o);
                lucid_set_grad(p, data_of(NEAR_ONE, n, LUCID_F32));
                feclearexcept(FE_ALL_EXCEPT);
                cr_assert(lucid_step(opt), "%s", lucid_error());
                cr_expect(fetestexcept(BAD) == 0, "%s, %lld numbers, %s: flags %x", kinds[k],
                          (long long)n, lucid_cpu_level(), fetestexcept(BAD));
                lucid_optimizer_free(opt);
            }
    }
    luc_cpu_force(luc_cpu_best());
}
