/* test_convolutions.c: Conv1d, Conv3d, transposed convolutions, Unfold and Fold as modules. Their
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

Test(convolutions, rows_and_volumes)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *row = nn_Conv1d(4, 6, 3, .stride = 2, .padding = 1, .groups = 2, .bias = false);
    lucid_module *volume = nn_Conv3d(2, 3, (3, 2, 1), .dilation = lucid_triple(1, 2, 1));
    lucid_module *same = nn_Conv1d(2, 2, 4, .padding = LUCID_SAME);
    check_text(row, "Conv1d(4, 6, kernel_size=(3,), stride=(2,), padding=(1,), groups=2, "
                    "bias=False)");
    check_text(volume, "Conv3d(2, 3, kernel_size=(3, 2, 1), stride=(1, 1, 1), dilation=(1, 2, 1))");
    check_text(same, "Conv1d(2, 2, kernel_size=(4,), stride=(1,), padding=same)");
    lucid_tensor *x = lucid_randn((2, 4, 7)), *v = lucid_randn((1, 2, 4, 4, 3));
    check(row, x,
          lucid_conv1d(x, lucid_get_parameter(row, "weight"), NULL, .stride = 2, .padding = 1,
                       .groups = 2));
    check(volume, v,
          lucid_conv3d(v, lucid_get_parameter(volume, "weight"),
                       lucid_get_parameter(volume, "bias"), .dilation = lucid_triple(1, 2, 1)));
    cr_expect(lucid_size(lucid_forward(same, lucid_randn((2, 7))), 1) == 7);
    /* PyTorch's bound: 1/sqrt(2 * 3 * 2 * 1) */
    lucid_tensor *most = lucid_max(lucid_abs(lucid_get_parameter(volume, "weight")));
    cr_expect(lucid_item(most) <= 0.2887 && lucid_item(most) > 0.2);
    EXPECT_ERROR(lucid_forward(row, v), LUCID_ERR_ARGUMENT,
                 "Conv1d: input: expected [N,4,L] or [4,L], got [1,2,4,4,3]");
    EXPECT_ERROR(nn_Conv1d(4, 6, 3, .groups = 4), LUCID_ERR_ARGUMENT, "Conv1d: groups: expected");
    EXPECT_ERROR(nn_Conv3d(4, 6, lucid_pair(3, 3)), LUCID_ERR_ARGUMENT,
                 "Conv3d: kernel: expected a number or a triple");
    EXPECT_ERROR(nn_Conv1d(4, 6, 3, .padding = LUCID_SAME, .stride = 2), LUCID_ERR_ARGUMENT,
                 "Conv1d: padding: LUCID_SAME needs stride 1, got 2");
    lucid_module_free(row);
    lucid_module_free(volume);
    lucid_module_free(same);
}

Test(convolutions, padding_mode)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Conv1d(1, 1, 3, .padding = 2, .padding_mode = LUCID_PAD_CIRCULAR);
    lucid_module *same =
        nn_Conv1d(1, 1, 4, .padding = LUCID_SAME, .padding_mode = LUCID_PAD_REFLECT);
    check_text(m, "Conv1d(1, 1, kernel_size=(3,), stride=(1,), padding=(2,), "
                  "padding_mode=circular)");
    lucid_tensor *x = lucid_randn((2, 1, 6));
    check(m, x,
          lucid_conv1d(lucid_pad(x, (2, 2), .mode = LUCID_PAD_CIRCULAR),
                       lucid_get_parameter(m, "weight"), lucid_get_parameter(m, "bias")));
    check(same, x,
          lucid_conv1d(lucid_pad(x, (1, 2), .mode = LUCID_PAD_REFLECT),
                       lucid_get_parameter(same, "weight"), lucid_get_parameter(same, "bias")));
    lucid_module_free(m);
    lucid_module_free(same);
}

Test(convolutions, images)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m =
        nn_Conv2d(1, 1, (3, 2), .padding = lucid_pair(2, 1), .padding_mode = LUCID_PAD_REPLICATE);
    lucid_module *same = nn_Conv2d(1, 2, (4, 3), .padding = LUCID_SAME, .bias = false);
    lucid_module *both =
        nn_Conv2d(1, 1, 4, .padding = LUCID_SAME, .padding_mode = LUCID_PAD_REFLECT);
    check_text(m, "Conv2d(1, 1, kernel_size=(3, 2), stride=(1, 1), padding=(2, 1), "
                  "padding_mode=replicate)");
    check_text(same, "Conv2d(1, 2, kernel_size=(4, 3), stride=(1, 1), padding=same, bias=False)");
    lucid_tensor *x = lucid_randn((2, 1, 5, 6));
    check(m, x,
          lucid_conv2d(lucid_pad(x, (1, 1, 2, 2), .mode = LUCID_PAD_REPLICATE),
                       lucid_get_parameter(m, "weight"), lucid_get_parameter(m, "bias")));
    check(same, x,
          lucid_conv2d(lucid_pad(x, (1, 1, 1, 2)), lucid_get_parameter(same, "weight"), NULL));
    check(both, x,
          lucid_conv2d(lucid_pad(x, (1, 2, 1, 2), .mode = LUCID_PAD_REFLECT),
                       lucid_get_parameter(both, "weight"), lucid_get_parameter(both, "bias")));
    EXPECT_ERROR(nn_Conv2d(1, 1, 3, .stride = lucid_pair(1, 2), .padding = LUCID_SAME),
                 LUCID_ERR_ARGUMENT, "Conv2d: padding: LUCID_SAME needs stride 1, got (1, 2)");
    lucid_module_free(m);
    lucid_module_free(same);
    lucid_module_free(both);
}

Test(convolutions, transposed)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *up = nn_ConvTranspose2d(4, 6, (3, 2), .stride = 2, .padding = 1, .groups = 2,
                                          .output_padding = lucid_pair(1, 0));
    lucid_module *row = nn_ConvTranspose1d(2, 3, 3, .bias = false);
    lucid_module *volume = nn_ConvTranspose3d(2, 3, 2, .stride = lucid_triple(1, 2, 2));
    check_text(up, "ConvTranspose2d(4, 6, kernel_size=(3, 2), stride=(2, 2), padding=(1, 1), "
                   "output_padding=(1, 0), groups=2)");
    check_text(row, "ConvTranspose1d(2, 3, kernel_size=(3,), stride=(1,), bias=False)");
    check_text(volume, "ConvTranspose3d(2, 3, kernel_size=(2, 2, 2), stride=(1, 2, 2))");
    lucid_tensor *x = lucid_randn((2, 4, 3, 4)), *w = lucid_get_parameter(up, "weight"),
                 *b = lucid_get_parameter(up, "bias");
    check(up, x,
          lucid_conv_transpose2d(x, w, b, .stride = 2, .padding = 1, .groups = 2,
                                 .output_padding = lucid_pair(1, 0)));
    lucid_tensor *v = lucid_forward(volume, lucid_randn((2, 2, 3, 3)));
    cr_expect(v && lucid_size(v, 1) == 3 && lucid_size(v, 3) == 6, "%s", lucid_error());
    cr_expect(lucid_size(lucid_forward(row, lucid_randn((1, 2, 5))), 2) == 7);
    EXPECT_ERROR(lucid_forward(up, lucid_randn((2, 3, 3, 4))), LUCID_ERR_ARGUMENT,
                 "ConvTranspose2d: input: expected [N,4,H,W] or [4,H,W], got [2,3,3,4]");
    lucid_module_free(up);
    lucid_module_free(row);
    lucid_module_free(volume);
}

Test(convolutions, output_size)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *up = nn_ConvTranspose2d(2, 3, 3, .stride = 2, .padding = 1),
                 *conv = nn_Conv1d(1, 1, 1);
    lucid_tensor *x = lucid_randn((1, 2, 4, 4));
    lucid_tensor *y = lucid_forward_sized(up, x, (8, 7)),
                 *z = lucid_forward_sized(up, x, (1, 3, 7, 8));
    cr_assert(y && z, "%s", lucid_error());
    cr_expect(lucid_size(y, 2) == 8 && lucid_size(y, 3) == 7);
    cr_expect(lucid_size(z, 2) == 7 && lucid_size(z, 3) == 8);
    cr_expect(lucid_size(lucid_forward(up, x), 2) == 7);
    EXPECT_ERROR(lucid_forward_sized(up, x, (9, 7)), LUCID_ERR_ARGUMENT,
                 "ConvTranspose2d: output_size: expected a size in [7,8], got 9");
    EXPECT_ERROR(lucid_forward_sized(up, x, (7, 6)), LUCID_ERR_ARGUMENT, "in [7,8], got 6");
    EXPECT_ERROR(lucid_forward_sized(up, x, 7), LUCID_ERR_ARGUMENT,
                 "output_size: expected 2 or 4 numbers, got 1");
    EXPECT_ERROR(lucid_forward_sized(conv, x, 7), LUCID_ERR_ARGUMENT,
                 "forward_sized: module: expected a transposed convolution, got Conv1d");
    lucid_module_free(up);
    lucid_module_free(conv);
}

Test(convolutions, unfold_and_fold)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Unfold((2, 3), .padding = 1), *back = nn_Fold(4, (2, 3), .padding = 1);
    check_text(m, "Unfold(kernel_size=(2, 3), dilation=1, padding=1, stride=1)");
    check_text(back, "Fold(output_size=4, kernel_size=(2, 3), dilation=1, padding=1, stride=1)");
    lucid_tensor *x = lucid_randn((1, 2, 4, 4)), *columns = lucid_unfold(x, (2, 3), .padding = 1);
    check(m, x, columns);
    check(back, columns, lucid_fold(columns, 4, (2, 3), .padding = 1));
    EXPECT_ERROR(nn_Unfold(0), LUCID_ERR_ARGUMENT, "Unfold: kernel: expected numbers in [1,");
    lucid_module_free(m);
    lucid_module_free(back);
}
