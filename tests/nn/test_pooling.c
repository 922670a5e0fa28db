/* test_pooling.c: pooling layers of all dimensions: texts, second outputs, messages, derivatives.
 * The functions are compared with PyTorch in tests/autograd/test_reference_ops.c. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/nn.h"
#include "tests/testing.h"

static void check(lucid_module *m, const char *text, lucid_tensor *x, lucid_tensor *expected)
{
    cr_assert(m, "%s", lucid_error());
    char *got = lucid_module_to_string(m);
    cr_expect_str_eq(got, text);
    free(got);
    lucid_tensor *y = lucid_forward(m, x);
    cr_expect(y && expected && lucid_equal(y, expected), "%s: %s", text, lucid_error());
    lucid_module_free(m);
}

Test(pooling, modules)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *one = lucid_randn((2, 3, 9)), *two = lucid_randn((2, 3, 7, 9)),
                 *three = lucid_randn((2, 3, 5, 6, 7));
    check(nn_MaxPool1d(2),
          "MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)", one,
          lucid_max_pool1d(one, 2));
    check(nn_MaxPool3d((2, 3, 4), .padding = 1),
          "MaxPool3d(kernel_size=(2, 3, 4), stride=(2, 3, 4), padding=1, dilation=1, "
          "ceil_mode=False)",
          three, lucid_max_pool3d(three, (2, 3, 4), .padding = 1));
    check(nn_AvgPool1d(2), "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))", one,
          lucid_avg_pool1d(one, 2));
    check(nn_AvgPool3d(2, .count_include_pad = false),
          "AvgPool3d(kernel_size=2, stride=2, padding=0)", three, lucid_avg_pool3d(three, 2));
    check(nn_AdaptiveAvgPool1d(3), "AdaptiveAvgPool1d(output_size=3)", one,
          lucid_adaptive_avg_pool1d(one, 3));
    check(nn_AdaptiveAvgPool2d((LUCID_KEEP, 3)), "AdaptiveAvgPool2d(output_size=(None, 3))", two,
          lucid_adaptive_avg_pool2d(two, (7, 3)));
    check(nn_AdaptiveAvgPool3d((LUCID_KEEP, 3, 4)), "AdaptiveAvgPool3d(output_size=(None, 3, 4))",
          three, lucid_adaptive_avg_pool3d(three, (5, 3, 4)));
    check(nn_AdaptiveMaxPool1d(4), "AdaptiveMaxPool1d(output_size=4)", one,
          lucid_adaptive_max_pool1d(one, 4));
    check(nn_AdaptiveMaxPool2d((LUCID_KEEP, 3)), "AdaptiveMaxPool2d(output_size=(None, 3))", two,
          lucid_adaptive_max_pool2d(two, (7, 3)));
    check(nn_AdaptiveMaxPool3d(2), "AdaptiveMaxPool3d(output_size=2)", three,
          lucid_adaptive_max_pool3d(three, 2));
    check(nn_LPPool1d(1, 3, .stride = 1),
          "LPPool1d(norm_type=1, kernel_size=3, stride=1, ceil_mode=False)", one,
          lucid_lp_pool1d(one, 1, 3, .stride = 1));
    two = lucid_square(two), three = lucid_square(three);
    check(nn_LPPool2d(2, (3, 2)),
          "LPPool2d(norm_type=2, kernel_size=(3, 2), stride=None, ceil_mode=False)", two,
          lucid_lp_pool2d(two, 2, (3, 2)));
    check(nn_LPPool3d(2, 3), "LPPool3d(norm_type=2, kernel_size=3, stride=None, ceil_mode=False)",
          three, lucid_lp_pool3d(three, 2, 3));
}

Test(pooling, there_and_back)
{
    LUCID_SCOPE;
    lucid_module *pools[] = {nn_MaxPool1d(2), nn_MaxPool2d(2), nn_MaxPool3d(2)};
    lucid_module *backs[] = {nn_MaxUnpool1d(2), nn_MaxUnpool2d(2), nn_MaxUnpool3d(2)};
    const char *const texts[] = {
        "MaxUnpool1d(kernel_size=(2,), stride=(2,), padding=(0,))",
        "MaxUnpool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0))",
        "MaxUnpool3d(kernel_size=(2, 2, 2), stride=(2, 2, 2), padding=(0, 0, 0))"};
    const lucid_shape shapes[] = {{3, {2, 3, 4}}, {4, {2, 3, 4, 6}}, {5, {2, 3, 4, 2, 6}}};
    for (int i = 0; i < 3; i++) {
        char *text = lucid_module_to_string(backs[i]);
        cr_expect_str_eq(text, texts[i]);
        free(text);
        lucid_tensor *x = lucid_randn_opt(shapes[i], NULL), *y, *places, *again, *z;
        cr_assert(lucid_forward_into(pools[i], (x), (&y, &places)), "%s", lucid_error());
        cr_expect_eq(lucid_tensor_dtype(places), LUCID_I64);
        z = lucid_forward(backs[i], y, places);
        cr_expect(lucid_equal(lucid_forward(pools[i], z), lucid_relu(y)), "maxima come back");
        cr_expect(lucid_equal(lucid_where(lucid_ne(z, 0), z, x), x), "at their places");
        cr_assert(lucid_forward_into(pools[i], (x), (&again)));
        cr_expect(lucid_equal(again, y));
        lucid_module_free(pools[i]);
        lucid_module_free(backs[i]);
    }
    lucid_tensor *twice = lucid_cast(lucid_values((1, 1, 2), 1, 1), LUCID_I64);
    EXPECT_VALUES(lucid_max_unpool1d(lucid_values((1, 1, 2), 5, 6), twice, 2), 0, 0, {0, 6, 0, 0});
}

Test(pooling, errors)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_randn((2, 3, 5, 6, 7)), *line = lucid_randn((2, 3, 8));
    EXPECT_ERROR(lucid_max_pool3d(x, 2, .padding = 2), LUCID_ERR_ARGUMENT,
                 "max_pool3d: padding: expected 0 to half the window of 2, got 2");
    EXPECT_ERROR(lucid_max_pool3d(x, lucid_pair(2, 2)), LUCID_ERR_ARGUMENT,
                 "max_pool3d: kernel: expected one number or 3");
    EXPECT_ERROR(lucid_avg_pool1d(x, 2), LUCID_ERR_ARGUMENT,
                 "avg_pool1d: x: expected [N,C,L] or [C,L], got [2,3,5,6,7]");
    EXPECT_ERROR(lucid_max_pool1d(line, 9), LUCID_ERR_ARGUMENT, "holds a window");
    EXPECT_ERROR(lucid_adaptive_max_pool1d(line, 0), LUCID_ERR_ARGUMENT, "size: expected >= 1");
    EXPECT_ERROR(lucid_lp_pool1d(line, 0, 2), LUCID_ERR_ARGUMENT, "norm_type");
    EXPECT_ERROR(nn_MaxPool3d(0), LUCID_ERR_ARGUMENT, "MaxPool3d: kernel: expected at least 1");
    EXPECT_ERROR(nn_AdaptiveMaxPool2d((0, 2)), LUCID_ERR_ARGUMENT, "output");
    EXPECT_ERROR(nn_LPPool2d(0, 2), LUCID_ERR_ARGUMENT, "LPPool2d: norm_type");
    lucid_pooled p = lucid_max_pool1d_with_indices(line, 2);
    EXPECT_ERROR(lucid_max_unpool1d(p.values, p.indices, 2, .output_size = 12), LUCID_ERR_ARGUMENT,
                 "output_size: expected a size between 6 and 10, got 12");
    EXPECT_ERROR(lucid_max_unpool1d(p.values, lucid_add(p.indices, 1), 2), LUCID_ERR_ARGUMENT, "8");
    EXPECT_ERROR(lucid_max_unpool1d(line, p.indices, 2), LUCID_ERR_ARGUMENT, "indices: expected");
}

enum { MAX3, AVG3, ADAPTIVE_MAX3, ADAPTIVE_AVG3, LP2, UNPOOL, KINDS };

static bool pooled(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    lucid_tensor *x = in[0];
    (void)n;
    *n_out = 1;
    switch (*(int *)user) {
    case MAX3:
        out[0] = lucid_max_pool3d(x, 2, .stride = 1);
        break;
    case AVG3:
        out[0] = lucid_avg_pool3d(x, (1, 2, 3), .padding = lucid_triple(0, 1, 1),
                                  .count_include_pad = false, .ceil_mode = true);
        break;
    case ADAPTIVE_MAX3:
        out[0] = lucid_adaptive_max_pool3d(x, (2, 2, 3));
        break;
    case ADAPTIVE_AVG3:
        out[0] = lucid_adaptive_avg_pool3d(x, (2, 2, 3));
        break;
    case LP2:
        out[0] = lucid_lp_pool2d(lucid_exp(lucid_select(x, 0, 0)), 3, 2, .ceil_mode = true);
        break;
    default: {
        lucid_pooled p = lucid_max_pool3d_with_indices(x, 2);
        out[0] = lucid_max_unpool3d(p.values, p.indices, 2, .output_size = lucid_triple(3, 4, 4));
    }
    }
    return out[0] != NULL;
}

Test(pooling, derivatives)
{
    for (int kind = 0; kind < KINDS; kind++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_randn((1, 2, 3, 4, 4), .dtype = LUCID_F64, .requires_grad = true);
        cr_expect(lucid_gradcheck(pooled, &kind, &x, 1, NULL), "%d: %s", kind, lucid_error());
        cr_expect(lucid_gradgradcheck(pooled, &kind, &x, 1, NULL), "%d: %s", kind, lucid_error());
    }
}
