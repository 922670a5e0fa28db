/* test_padding.c: padding layers, their messages, layouts and derivatives. lucid_pad is compared
 * with PyTorch in tests/autograd/test_reference_ops.c. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/nn.h"
#include "tests/testing.h"

/* Frees the module, which is printed so and pads [N,C,...] and [C,...] in this way. */
static void check(lucid_module *m, const char *text, lucid_tensor *x, lucid_shape pads,
                  lucid_pad_mode mode)
{
    cr_assert(m, "%s", lucid_error());
    char *got = lucid_module_to_string(m);
    cr_expect_str_eq(got, text);
    free(got);
    lucid_tensor *expected = lucid_pad(x, pads, .mode = mode), *first = lucid_select(x, 0, 0);
    cr_expect(lucid_equal(lucid_forward(m, x), expected), "%s: %s", text, lucid_error());
    cr_expect(lucid_equal(lucid_forward(m, first), lucid_select(expected, 0, 0)));
    lucid_module_free(m);
}

Test(padding, modules)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *one = lucid_randn((2, 3, 5)), *two = lucid_randn((2, 3, 4, 5)),
                 *three = lucid_randn((2, 3, 4, 3, 5));
    const lucid_shape pads[] = {{2, {2, 2}}, {4, {1, 2, 0, 3}}, {6, {1, 1, 1, 1, 1, 1}}};
    check(nn_ReflectionPad1d(2), "ReflectionPad1d((2, 2))", one, pads[0], LUCID_PAD_REFLECT);
    check(nn_ReflectionPad2d((1, 2, 0, 3)), "ReflectionPad2d((1, 2, 0, 3))", two, pads[1],
          LUCID_PAD_REFLECT);
    check(nn_ReflectionPad3d(1), "ReflectionPad3d((1, 1, 1, 1, 1, 1))", three, pads[2],
          LUCID_PAD_REFLECT);
    check(nn_ReplicationPad1d(2), "ReplicationPad1d((2, 2))", one, pads[0], LUCID_PAD_REPLICATE);
    check(nn_ReplicationPad2d((1, 2, 0, 3)), "ReplicationPad2d((1, 2, 0, 3))", two, pads[1],
          LUCID_PAD_REPLICATE);
    check(nn_ReplicationPad3d(1), "ReplicationPad3d((1, 1, 1, 1, 1, 1))", three, pads[2],
          LUCID_PAD_REPLICATE);
    check(nn_CircularPad1d(2), "CircularPad1d((2, 2))", one, pads[0], LUCID_PAD_CIRCULAR);
    check(nn_CircularPad2d((1, 2, 0, 3)), "CircularPad2d((1, 2, 0, 3))", two, pads[1],
          LUCID_PAD_CIRCULAR);
    check(nn_CircularPad3d(1), "CircularPad3d((1, 1, 1, 1, 1, 1))", three, pads[2],
          LUCID_PAD_CIRCULAR);
    check(nn_ZeroPad1d(2), "ZeroPad1d((2, 2))", one, pads[0], LUCID_PAD_CONSTANT);
    check(nn_ZeroPad2d((1, 2, 0, 3)), "ZeroPad2d((1, 2, 0, 3))", two, pads[1], LUCID_PAD_CONSTANT);
    check(nn_ZeroPad3d(1), "ZeroPad3d((1, 1, 1, 1, 1, 1))", three, pads[2], LUCID_PAD_CONSTANT);
}

Test(padding, values)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_values((1, 3), 1, 2, 3);
    EXPECT_VALUES(lucid_pad(x, (2, 1), .mode = LUCID_PAD_REFLECT), 0, 0, {3, 2, 1, 2, 3, 2});
    EXPECT_VALUES(lucid_pad(x, (2, 1), .mode = LUCID_PAD_REPLICATE), 0, 0, {1, 1, 1, 2, 3, 3});
    EXPECT_VALUES(lucid_pad(x, (2, 3), .mode = LUCID_PAD_CIRCULAR), 0, 0, {2, 3, 1, 2, 3, 1, 2, 3});
    EXPECT_VALUES(lucid_pad(x, (1, -1), .value = 7), 0, 0, {7, 1, 2});
    /* A circular pad is taken after the cut. */
    EXPECT_VALUES(lucid_pad(x, (-1, 2), .mode = LUCID_PAD_CIRCULAR), 0, 0, {2, 3, 2, 3});
    EXPECT_SHAPE(lucid_pad(x, (0, 0, -1, 0)), 0, 3);
    cr_expect(lucid_pad(x, (0, 0)) == x, "nothing is copied without need");
}

Test(padding, keeps_the_layout)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_contiguous(lucid_randn((2, 3, 4, 5)), LUCID_CHANNELS_LAST);
    for (int mode = LUCID_PAD_CONSTANT; mode <= LUCID_PAD_CIRCULAR; mode++) {
        lucid_tensor *y = lucid_pad(x, (1, 2, 1, 1), .mode = (lucid_pad_mode)mode);
        cr_expect(lucid_is_contiguous(y, LUCID_CHANNELS_LAST), "mode %d", mode);
    }
}

Test(padding, errors)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_randn((2, 3, 4)), *none = lucid_zeros((2, 3, 0));
    EXPECT_ERROR(lucid_pad(x, (4, 0), .mode = LUCID_PAD_REFLECT), LUCID_ERR_ARGUMENT,
                 "pads: expected less than the size for reflect in dimension 2 of [2,3,4], got 4");
    EXPECT_ERROR(lucid_pad(x, (1, 5), .mode = LUCID_PAD_CIRCULAR), LUCID_ERR_ARGUMENT,
                 "at most the size for circular in dimension 2 of [2,3,4], got 1 and 5");
    EXPECT_ERROR(lucid_pad(x, (-2, 3), .mode = LUCID_PAD_CIRCULAR), LUCID_ERR_ARGUMENT,
                 "at most the size for circular");
    EXPECT_ERROR(lucid_pad(none, (1, 0), .mode = LUCID_PAD_REPLICATE), LUCID_ERR_ARGUMENT,
                 "an element to take in dimension 2 of [2,3,0]");
    EXPECT_ERROR(lucid_pad(x, (-3, -2), .mode = LUCID_PAD_REPLICATE), LUCID_ERR_ARGUMENT,
                 "that fit dimension 2");
    EXPECT_ERROR(lucid_pad(x, (1, 2, 3)), LUCID_ERR_ARGUMENT, "two numbers for each");
    EXPECT_ERROR(lucid_pad(x, (1, 1), .mode = (lucid_pad_mode)9), LUCID_ERR_ARGUMENT, "mode");
    EXPECT_ERROR(nn_ReflectionPad2d((1, 2)), LUCID_ERR_ARGUMENT,
                 "ReflectionPad2d: pads: expected one number, or 4, got 2");
    lucid_module *m = nn_CircularPad2d(1);
    EXPECT_ERROR(lucid_forward(m, lucid_randn((3, 4))), LUCID_ERR_ARGUMENT,
                 "CircularPad2d: input: expected [N,C,H,W] or [C,H,W], got [3,4]");
    lucid_module_free(m);
}

static bool padded(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    (void)n;
    out[0] = lucid_pad(in[0], (2, 1, -1, 2), .mode = *(lucid_pad_mode *)user, .value = 0.5);
    *n_out = 1;
    return out[0] != NULL;
}

Test(padding, derivatives)
{
    for (int mode = LUCID_PAD_CONSTANT; mode <= LUCID_PAD_CIRCULAR; mode++) {
        LUCID_SCOPE;
        lucid_pad_mode how = (lucid_pad_mode)mode;
        lucid_tensor *x = lucid_randn((2, 4, 3), .dtype = LUCID_F64, .requires_grad = true);
        cr_expect(lucid_gradcheck(padded, &how, &x, 1, NULL), "%d: %s", mode, lucid_error());
        cr_expect(lucid_gradgradcheck(padded, &how, &x, 1, NULL), "%d: %s", mode, lucid_error());
    }
}
