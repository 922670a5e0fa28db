/* The activations as layers: what they print, that they compute their function, their parameter,
 * their randomness, and what they refuse. Values and gradients are compared with PyTorch's in
 * tests/autograd/test_reference_ops.c. */
#include "lucid/lucid.h"
#include "tests/testing.h"

#include <math.h>
#include <stdlib.h>

/* The layer prints `text` and gives what the function gave for x; the layer is freed. */
static void check(lucid_module *m, const char *text, lucid_tensor *x, lucid_tensor *want)
{
    cr_assert(m && want, "%s: %s", text, lucid_error());
    char *printed = lucid_module_to_string(m);
    cr_expect_str_eq(printed, text);
    free(printed);
    lucid_tensor *y = lucid_forward(m, x);
    cr_assert(y, "%s: %s", text, lucid_error());
    cr_expect(lucid_allclose(y, want, 0, 0, true), "%s: it differs from its function", text);
    lucid_module_free(m);
}

Test(activations, layers_compute_their_functions)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_mul(lucid_randn((2, 4, 3, 3)), 3);
    check(nn_ReLU6(), "ReLU6()", x, lucid_relu6(x));
    check(nn_SELU(), "SELU()", x, lucid_selu(x));
    check(nn_CELU(.alpha = 2), "CELU(alpha=2.0)", x, lucid_celu(x, .alpha = 2));
    check(nn_ELU(.alpha = 0.5), "ELU(alpha=0.5)", x, lucid_elu(x, .alpha = 0.5));
    check(nn_LeakyReLU(.negative_slope = 0.2), "LeakyReLU(negative_slope=0.2)", x,
          lucid_leaky_relu(x, .negative_slope = 0.2));
    check(nn_Threshold(0.1, 20), "Threshold(threshold=0.1, value=20.0)", x,
          lucid_threshold(x, 0.1, 20));
    check(nn_Hardtanh(), "Hardtanh(min_val=-1.0, max_val=1.0)", x, lucid_hardtanh(x));
    check(nn_Hardswish(), "Hardswish()", x, lucid_hardswish(x));
    check(nn_Hardsigmoid(), "Hardsigmoid()", x, lucid_hardsigmoid(x));
    check(nn_Mish(), "Mish()", x, lucid_mish(x));
    check(nn_LogSigmoid(), "LogSigmoid()", x, lucid_logsigmoid(x));
    check(nn_Softsign(), "Softsign()", x, lucid_softsign(x));
    check(nn_Tanhshrink(), "Tanhshrink()", x, lucid_tanhshrink(x));
    check(nn_Hardshrink(), "Hardshrink(0.5)", x, lucid_hardshrink(x));
    check(nn_Softshrink(.lambda = 0.25), "Softshrink(0.25)", x,
          lucid_softshrink(x, .lambda = 0.25));
    check(nn_GLU(1), "GLU(dim=1)", x, lucid_glu(x, 1));
    check(nn_Softmin(1), "Softmin(dim=1)", x, lucid_softmin(x, 1));
    check(nn_Softmax2d(), "Softmax2d()", x, lucid_softmax(x, 1));
}

Test(activations, prelu_has_a_weight_that_trains)
{
    LUCID_SCOPE;
    lucid_module *m = nn_PReLU(.num_parameters = 3, .init = 0.5);
    char *text = lucid_module_to_string(m);
    cr_expect_str_eq(text, "PReLU(num_parameters=3)");
    free(text);
    lucid_tensor *weight = lucid_self(m, nn_PReLU)->weight;
    cr_assert(weight && lucid_numel(weight) == 3);
    lucid_tensor *x = lucid_full((2, 3, 4), -2);
    lucid_tensor *y = lucid_forward(m, x);
    cr_expect(lucid_allclose(y, lucid_full((2, 3, 4), -1), 0, 0, false));
    cr_assert(lucid_backward(lucid_sum(y)));
    cr_expect(lucid_allclose(lucid_tensor_grad(weight), lucid_full((3), -16), 0, 0, false));
    EXPECT_ERROR(lucid_forward(m, lucid_ones((2, 4, 4))), LUCID_ERR_ARGUMENT,
                 "prelu: weight: expected [1] or [4], got [3]");
    lucid_module_free(m);
}

Test(activations, rrelu_draws_slopes_in_training)
{
    LUCID_SCOPE;
    lucid_manual_seed(3);
    lucid_module *m = nn_RReLU(.lower = 0.25, .upper = 0.75);
    lucid_tensor *x = lucid_requires_grad_(lucid_full((1000), -1), true);
    lucid_tensor *y = lucid_forward(m, x);
    cr_assert(y && lucid_backward(lucid_sum(y)));
    cr_expect(lucid_item(lucid_max(y)) <= -0.25 && lucid_item(lucid_min(y)) >= -0.75);
    cr_expect(fabs(lucid_item(lucid_mean(y)) + 0.5) < 0.03);
    cr_expect(lucid_item(lucid_var(y)) > 0.01);
    cr_expect(lucid_allclose(lucid_neg(lucid_tensor_grad(x)), y, 0, 0, false));
    lucid_eval(m);
    cr_expect(lucid_allclose(lucid_forward(m, x), lucid_full((1000), -0.5), 0, 0, false));
    lucid_module_free(m);
}

Test(activations, what_they_refuse)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_ones((2, 3));
    EXPECT_ERROR(nn_CELU(.alpha = 0), LUCID_ERR_ARGUMENT, "CELU: alpha: expected");
    EXPECT_ERROR(nn_Hardtanh(.min = 2), LUCID_ERR_ARGUMENT, "Hardtanh: min: expected at most max");
    EXPECT_ERROR(nn_Softshrink(.lambda = -1), LUCID_ERR_ARGUMENT, "Softshrink: lambda: expected");
    EXPECT_ERROR(nn_PReLU(.num_parameters = 0), LUCID_ERR_ARGUMENT, "PReLU: num_parameters");
    EXPECT_ERROR(lucid_glu(x, 1), LUCID_ERR_ARGUMENT, "glu: x: expected an even size of dim 1");
    EXPECT_ERROR(lucid_glu(x, 2), LUCID_ERR_ARGUMENT, "glu: dim: ");
    EXPECT_ERROR(lucid_rrelu(x, .lower = 1, .upper = 0), LUCID_ERR_ARGUMENT, "rrelu: lower: ");
    EXPECT_ERROR(lucid_hardswish(NULL), LUCID_ERR_ARGUMENT, "hardswish: x: ");
    EXPECT_ERROR(lucid_logical_and(x, NULL), LUCID_ERR_ARGUMENT, "logical_and: b: ");
}

Test(activations, integers_and_numbers)
{
    LUCID_SCOPE;
    lucid_tensor *n = lucid_cast(lucid_values((4), -2, 0, 1, 7), LUCID_I64);
    cr_expect(lucid_tensor_dtype(lucid_relu6(n)) == LUCID_F32);
    cr_expect(lucid_tensor_dtype(lucid_sin(n)) == LUCID_F32);
    lucid_tensor *same = lucid_floor(n);
    cr_expect(lucid_tensor_dtype(same) == LUCID_I64 && lucid_equal(same, n));
    lucid_tensor *x = lucid_values((4), -5, 5, 2.5, -0.5);
    cr_expect(lucid_equal(lucid_remainder(x, 3), lucid_values((4), 1, 2, 2.5, 2.5)));
    cr_expect(lucid_equal(lucid_fmod(x, 3), lucid_values((4), -2, 2, 2.5, -0.5)));
    cr_expect(lucid_equal(lucid_lerp(x, lucid_ones((4)), 1), lucid_ones((4))));
    lucid_tensor *odd = lucid_values((3), NAN, INFINITY, -INFINITY);
    cr_expect(lucid_equal(lucid_nan_to_num(odd, .nan = 3, .posinf = 2, .neginf = 1),
                          lucid_values((3), 3, 2, 1)));
}
