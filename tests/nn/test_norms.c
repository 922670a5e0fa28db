/* test_norms.c: group, layer, RMS, instance and local response normalisation as modules. Their
 * functions are compared with PyTorch's in tests/autograd/test_reference_ops.c. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/nn.h"
#include "tests/testing.h"

static void check_text(lucid_module *m, const char *expected)
{
    char *text = lucid_module_to_string(m);
    cr_expect_str_eq(text, expected);
    free(text);
}

static void check(lucid_module *m, lucid_tensor *x, lucid_tensor *expected)
{
    lucid_tensor *got = lucid_forward(m, x);
    cr_expect(got && expected && lucid_equal(got, expected), "%s", lucid_error());
}

Test(norms, group)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_GroupNorm(3, 6), *plain = nn_GroupNorm(2, 6, .affine = false, .eps = 0.1);
    lucid_tensor *x = lucid_randn((2, 6, 3, 3)), *image = lucid_contiguous(x, LUCID_CHANNELS_LAST);
    check_text(m, "GroupNorm(3, 6, eps=1e-05, affine=True)");
    check_text(plain, "GroupNorm(2, 6, eps=0.1, affine=False)");
    cr_expect(lucid_get_parameter(m, "weight") && lucid_get_parameter(m, "bias"));
    check(m, x, lucid_group_norm(x, 3));
    check(plain, x, lucid_group_norm(x, 2, .eps = 0.1));
    check(m, image, lucid_group_norm(x, 3));
    EXPECT_ERROR(lucid_forward(m, lucid_randn((2, 5, 3))), LUCID_ERR_ARGUMENT,
                 "GroupNorm: input: expected [N,6,...], got [2,5,3]");
    EXPECT_ERROR(nn_GroupNorm(4, 6), LUCID_ERR_ARGUMENT,
                 "GroupNorm: num_groups: expected a divisor of the 6 channels, got 4");
    EXPECT_ERROR(nn_GroupNorm(0, 6), LUCID_ERR_ARGUMENT, "GroupNorm: num_groups: expected");
    lucid_module_free(m);
    lucid_module_free(plain);
}

Test(norms, layer_and_rms)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_LayerNorm(8), *two = nn_LayerNorm((4, 8), .bias = false);
    lucid_module *rms = nn_RMSNorm(8), *other = nn_RMSNorm((4, 8), .eps = 0.5);
    lucid_tensor *x = lucid_randn((2, 4, 8));
    check_text(m, "LayerNorm((8,), eps=1e-05, elementwise_affine=True, bias=True)");
    check_text(two, "LayerNorm((4, 8), eps=1e-05, elementwise_affine=True, bias=False)");
    check_text(rms, "RMSNorm((8,), eps=None, elementwise_affine=True)");
    check(m, x, lucid_layer_norm(x, 8));
    check(two, x, lucid_layer_norm(x, (4, 8)));
    check(rms, x, lucid_rms_norm(x, 8));
    check(other, x, lucid_rms_norm(x, (4, 8), .eps = 0.5));
    /* 16 bits in and out, float32 parameters */
    lucid_tensor *half = lucid_forward(m, lucid_cast(x, LUCID_F16));
    cr_expect(half && lucid_tensor_dtype(half) == LUCID_F16);
    cr_expect(lucid_backward(lucid_sum(lucid_square(half))));
    cr_expect(lucid_tensor_dtype(lucid_tensor_grad(lucid_get_parameter(m, "weight"))) == LUCID_F32);
    EXPECT_ERROR(lucid_forward(m, lucid_randn((2, 4))), LUCID_ERR_ARGUMENT,
                 "expected last sizes [8] (normalized_shape), got [2,4]");
    EXPECT_ERROR(nn_LayerNorm(()), LUCID_ERR_ARGUMENT, "normalized_shape: expected at least one");
    EXPECT_ERROR(nn_LayerNorm(8, .eps = NAN), LUCID_ERR_ARGUMENT, "LayerNorm: eps: expected");
    lucid_module_free(m);
    lucid_module_free(two);
    lucid_module_free(rms);
    lucid_module_free(other);
}

Test(norms, instance)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_InstanceNorm2d(3);
    lucid_module *tracks = nn_InstanceNorm1d(3, .affine = true, .track_running_stats = true);
    lucid_tensor *x = lucid_randn((2, 3, 4, 4)), *line = lucid_add(lucid_randn((2, 3, 50)), 2);
    check_text(m, "InstanceNorm2d(3, eps=1e-05, momentum=0.1, affine=False, "
                  "track_running_stats=False)");
    check(m, x, lucid_instance_norm(x));
    check(m, lucid_select(x, 0, 1), lucid_select(lucid_instance_norm(x), 0, 1));
    lucid_eval(m);
    check(m, x, lucid_instance_norm(x)); /* nothing is tracked: the input's statistics */
    lucid_tensor *mean = lucid_get_buffer(tracks, "running_mean");
    check(tracks, line, lucid_instance_norm(line));
    lucid_tensor *want = lucid_mul(lucid_mean(line, (0, 2)), 0.1);
    cr_expect(lucid_allclose(mean, want, 1e-4, 1e-6, false));
    lucid_eval(tracks);
    check(tracks, line,
          lucid_instance_norm(line, .running_mean = mean, .use_input_stats = false,
                              .running_var = lucid_get_buffer(tracks, "running_var")));
    cr_expect(lucid_allclose(mean, want, 1e-4, 1e-6, false), "eval changed the statistics");
    EXPECT_ERROR(lucid_forward(m, lucid_randn((2, 3, 1, 1))), LUCID_ERR_ARGUMENT,
                 "expected more than 1 value per channel");
    EXPECT_ERROR(lucid_forward(m, lucid_randn((2, 4, 2, 2))), LUCID_ERR_ARGUMENT,
                 "InstanceNorm2d: input: expected [N,C,H,W] or [C,H,W] with 3 channels");
    EXPECT_ERROR(nn_InstanceNorm3d(3, .momentum = 2), LUCID_ERR_ARGUMENT,
                 "InstanceNorm3d: momentum: expected [0,1], got 2");
    lucid_module_free(m);
    lucid_module_free(tracks);
}

Test(norms, local_response)
{
    LUCID_SCOPE;
    lucid_module *m = nn_LocalResponseNorm(5, .k = 2);
    lucid_tensor *x = lucid_randn((2, 7, 3));
    check_text(m, "LocalResponseNorm(5, alpha=0.0001, beta=0.75, k=2.0)");
    check(m, x, lucid_local_response_norm(x, 5, .k = 2));
    EXPECT_ERROR(nn_LocalResponseNorm(0), LUCID_ERR_ARGUMENT, "size: expected at least 1, got 0");
    lucid_module_free(m);
}
