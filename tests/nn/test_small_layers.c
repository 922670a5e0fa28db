/* test_small_layers.c: containers, embedding, bilinear, padding, shuffles and the forms of dropout.
 * Their functions are compared with PyTorch's in tests/autograd/test_reference_ops.c. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/memory.h"
#include "nn/nn.h"
#include "tests/testing.h"

static void check_text(lucid_module *m, const char *expected)
{
    char *text = lucid_module_to_string(m);
    cr_expect_str_eq(text, expected);
    free(text);
}

/* Frees the module, which is printed so and gives this output. */
static void check(lucid_module *m, const char *text, lucid_tensor *x, lucid_tensor *expected)
{
    cr_assert(m, "%s", lucid_error());
    check_text(m, text);
    lucid_tensor *got = lucid_forward(m, x);
    cr_expect(got && expected && lucid_equal(got, expected), "%s: %s", text, lucid_error());
    lucid_module_free(m);
}

Test(small_layers, moved_elements)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_randn((2, 8, 4, 6)), *flat = lucid_randn((2, 24));
    check(nn_PixelShuffle(2), "PixelShuffle(upscale_factor=2)", x, lucid_pixel_shuffle(x, 2));
    check(nn_PixelUnshuffle(2), "PixelUnshuffle(downscale_factor=2)", x,
          lucid_pixel_unshuffle(x, 2));
    cr_expect(lucid_equal(lucid_pixel_unshuffle(lucid_pixel_shuffle(x, 2), 2), x));
    check(nn_ChannelShuffle(4), "ChannelShuffle(groups=4)", x, lucid_channel_shuffle(x, 4));
    check(nn_Unflatten(1, (2, -1, 3)), "Unflatten(dim=1, unflattened_size=(2, -1, 3))", flat,
          lucid_reshape(flat, (2, 2, 4, 3)));
    check(nn_ZeroPad2d(1), "ZeroPad2d((1, 1, 1, 1))", x, lucid_pad(x, (1, 1, 1, 1)));
    check(nn_ConstantPad1d((2, -1), .value = 0.5), "ConstantPad1d(padding=(2, -1), value=0.5)", x,
          lucid_pad(x, (2, -1), .value = 0.5));
    check(nn_ConstantPad3d(1, .value = 2), "ConstantPad3d(padding=(1, 1, 1, 1, 1, 1), value=2.0)",
          x, lucid_pad(x, (1, 1, 1, 1, 1, 1), .value = 2));
    EXPECT_ERROR(lucid_pixel_shuffle(x, 3), LUCID_ERR_ARGUMENT,
                 "expected a multiple of 9 channels");
    EXPECT_ERROR(lucid_pixel_unshuffle(x, 3), LUCID_ERR_ARGUMENT, "that are multiples of 3");
    EXPECT_ERROR(lucid_channel_shuffle(x, 3), LUCID_ERR_ARGUMENT, "a divisor of the 8 channels");
    EXPECT_ERROR(lucid_unflatten(flat, 1, (5, -1)), LUCID_ERR_ARGUMENT, "with the product 24");
    EXPECT_ERROR(lucid_unflatten(flat, 2, (5, -1)), LUCID_ERR_ARGUMENT, "unflatten: dim");
    EXPECT_ERROR(lucid_pad(x, (1, 2, 3)), LUCID_ERR_ARGUMENT, "two numbers for each");
    EXPECT_ERROR(lucid_pad(x, (-4, -3)), LUCID_ERR_ARGUMENT, "that fit dimension 3");
    EXPECT_ERROR(nn_ZeroPad2d((1, 2)), LUCID_ERR_ARGUMENT,
                 "pads: expected one number, or 4, got 2");
    EXPECT_ERROR(nn_PixelShuffle(0), LUCID_ERR_ARGUMENT, "factor: expected at least 1, got 0");
}

Test(small_layers, embedding)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Embedding(5, 3, .padding_idx = -4);
    lucid_tensor *index = lucid_values((2, 2), 1, 2, 1, 4);
    index = lucid_cast(index, LUCID_I64);
    check_text(m, "Embedding(5, 3, padding_idx=1)");
    lucid_tensor *y = lucid_forward(m, index), *weight = lucid_get_parameter(m, "weight");
    EXPECT_SHAPE(y, 2, 2, 3);
    EXPECT_VALUES(lucid_select(weight, 0, 1), 0, 0, {0, 0, 0});
    cr_expect(lucid_equal(lucid_select(lucid_select(y, 0, 1), 0, 1), lucid_select(weight, 0, 4)));
    cr_expect(lucid_backward(lucid_sum(y)));
    EXPECT_VALUES(lucid_tensor_grad(weight), 0, 0, {0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1});
    EXPECT_ERROR(lucid_forward(m, lucid_add(index, 1)), LUCID_ERR_ARGUMENT, "5");
    EXPECT_ERROR(lucid_embedding(index, weight, .padding_idx = 5), LUCID_ERR_ARGUMENT,
                 "padding_idx: expected a row in [-5,5), got 5");
    EXPECT_ERROR(nn_Embedding(5, 3, .padding_idx = 5), LUCID_ERR_ARGUMENT,
                 "Embedding: padding_idx");
    lucid_module_free(m);
}

static bool bilinear(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                     void *user)
{
    (void)n, (void)user;
    out[0] = lucid_bilinear(in[0], in[1], in[2], NULL);
    *n_out = 1;
    return out[0] != NULL;
}

Test(small_layers, bilinear)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Bilinear(3, 4, 2);
    lucid_tensor *a = lucid_randn((5, 3)), *b = lucid_randn((5, 4));
    check_text(m, "Bilinear(in1_features=3, in2_features=4, out_features=2, bias=True)");
    lucid_tensor *y = lucid_forward(m, a, b);
    cr_expect(lucid_equal(
        y, lucid_bilinear(a, b, lucid_get_parameter(m, "weight"), lucid_get_parameter(m, "bias"))));
    EXPECT_ERROR(lucid_forward(m, b, a), LUCID_ERR_ARGUMENT,
                 "expected [...,I], [...,J] and [O,I,J], got [5,4], [5,3] and [2,3,4]");
    lucid_tensor *in[3] = {lucid_randn((2, 3), .dtype = LUCID_F64),
                           lucid_randn((2, 2), .dtype = LUCID_F64),
                           lucid_randn((2, 3, 2), .dtype = LUCID_F64)};
    for (int i = 0; i < 3; i++) lucid_requires_grad_(in[i], true);
    cr_expect(lucid_gradcheck(bilinear, NULL, in, 3, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(bilinear, NULL, in, 3, NULL), "%s", lucid_error());
    lucid_module_free(m);
}

Test(small_layers, dropout_of_channels)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Dropout2d(.p = 0.25), *one = nn_Dropout1d(), *three = nn_Dropout3d();
    check_text(m, "Dropout2d(p=0.25, inplace=False)");
    lucid_tensor *x = lucid_ones((20, 50, 2, 3)), *y = lucid_forward(m, x);
    lucid_tensor *low = lucid_min(y, (2, 3)), *high = lucid_max(y, (2, 3));
    cr_expect(lucid_equal(low, high), "a channel is dropped or kept as a whole");
    double kept = lucid_item(lucid_mean(lucid_cast(lucid_gt(low, 0), LUCID_F32)));
    cr_expect(kept > 0.68 && kept < 0.82, "%g of the channels are kept", kept);
    cr_expect(fabs(lucid_item(lucid_max(y)) - 4. / 3) < 1e-6);
    EXPECT_SHAPE(lucid_forward(one, lucid_ones((4, 6))), 4, 6);
    EXPECT_SHAPE(lucid_forward(three, lucid_ones((4, 2, 2, 2))), 4, 2, 2, 2);
    EXPECT_ERROR(lucid_forward(m, lucid_ones((2, 3, 4))), LUCID_ERR_ARGUMENT,
                 "Dropout2d: input: expected [N,C,H,W], got [2,3,4]");
    lucid_eval(m);
    cr_expect(lucid_equal(lucid_forward(m, x), x));
    EXPECT_ERROR(nn_Dropout3d(.p = 2), LUCID_ERR_ARGUMENT, "Dropout3d: p: expected [0, 1], got 2");
    lucid_module_free(m);
    lucid_module_free(one);
    lucid_module_free(three);
}

Test(small_layers, alpha_dropout_keeps_mean_and_variance)
{
    LUCID_SCOPE;
    lucid_module *m = nn_AlphaDropout(.p = 0.3);
    lucid_tensor *y = lucid_forward(m, lucid_randn(200000));
    double mean = lucid_item(lucid_mean(y)), var = lucid_item(lucid_var(y));
    cr_expect(fabs(mean) < 0.02 && fabs(var - 1) < 0.03, "mean %g, variance %g", mean, var);
    EXPECT_VALUES(lucid_alpha_dropout(lucid_ones(3), 1, true), 0, 0, {0, 0, 0});
    lucid_module_free(m);
}

Test(small_layers, containers)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *list = nn_ModuleList(nn_Linear(3, 2), nn_ReLU());
    cr_expect(lucid_module_list_append(list, nn_Linear(2, 1, .bias = false)));
    check_text(list, "ModuleList(\n  (0): Linear(in_features=3, out_features=2, bias=True)\n"
                     "  (1): ReLU()\n"
                     "  (2): Linear(in_features=2, out_features=1, bias=False)\n)");
    lucid_tensor *x = lucid_randn((4, 3)), *y = x;
    for (size_t i = 0; i < lucid_module_count(list); i++)
        y = lucid_forward(lucid_module_at(list, i), y);
    EXPECT_SHAPE(y, 4, 1);
    cr_expect(lucid_get_parameter(list, "2.weight") != NULL);
    EXPECT_ERROR(lucid_module_at(list, 3), LUCID_ERR_ARGUMENT, "a number below 3, got 3");
    EXPECT_ERROR(lucid_forward(list, x), LUCID_ERR_ARGUMENT, "ModuleList: forward: expected");
    lucid_module *dict = nn_ModuleDict({"a", nn_Linear(3, 2)}, {"b", nn_ReLU()});
    cr_expect(lucid_get_parameter(dict, "a.weight") && lucid_get_module(dict, "b"));
    EXPECT_ERROR(lucid_module_dict_add(dict, "a", nn_ReLU()), LUCID_ERR_ARGUMENT, "a");
    EXPECT_ERROR(lucid_module_list_append(dict, nn_ReLU()), LUCID_ERR_ARGUMENT, "ModuleList");
    lucid_module *net = nn_NamedSequential({"fc", nn_Linear(3, 2)}, {"act", nn_ReLU()});
    check_text(net, "Sequential(\n  (fc): Linear(in_features=3, out_features=2, bias=True)\n"
                    "  (act): ReLU()\n)");
    EXPECT_SHAPE(lucid_forward(net, x), 4, 2);
    lucid_module *empty = nn_ModuleList();
    cr_expect(empty && lucid_module_count(empty) == 0);
    EXPECT_ERROR(nn_ModuleDict({"a.b", nn_ReLU()}), LUCID_ERR_ARGUMENT, "a.b");
    EXPECT_ERROR(nn_ModuleList(nn_ReLU(), NULL), LUCID_ERR_ARGUMENT, "module 1: expected a module");
    lucid_module_free(list);
    lucid_module_free(dict);
    lucid_module_free(net);
    lucid_module_free(empty);
}

Test(small_layers, nothing_is_left)
{
    {
        LUCID_SCOPE;
        lucid_module *m = nn_ModuleList(nn_Embedding(5, 3), nn_Bilinear(3, 4, 2), nn_Linear(3, 2));
        lucid_module_free(m);
    }
    lucid_live_counts n = lucid_live();
    cr_expect(n.tensors == 0 && n.storages == 0 && n.nodes == 0);
}
