/* test_convolutions.c: derivatives of convolutions of any rank, of unfold and fold, and what they
 * refuse. Their values beside PyTorch's are in test_reference_ops.c. */
#include "autograd/autocast.h"
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/random.h"
#include "tests/testing.h"

/* A call on x, a weight and a bias. */
typedef lucid_tensor *(*call)(lucid_tensor *const *in);

static bool apply(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    (void)n;
    call f = *(call *)user;
    out[0] = f(in);
    *n_out = 1;
    return out[0] != NULL;
}

#define CALL(name, expression)                           \
    static lucid_tensor *name(lucid_tensor *const *in)   \
    {                                                    \
        lucid_tensor *x = in[0], *w = in[1], *b = in[2]; \
        (void)w, (void)b;                                \
        return expression;                               \
    }

CALL(row, lucid_conv1d(x, w, b, .stride = 2, .padding = 1))
CALL(row_same, lucid_conv1d(x, w, b, .padding = LUCID_SAME))
CALL(image_same, lucid_conv2d(x, w, b, .padding = LUCID_SAME, .dilation = lucid_pair(1, 3)))
CALL(volume, lucid_conv3d(x, w, b, .stride = lucid_triple(2, 1, 1), .padding = 1))
CALL(volume_groups, lucid_conv3d(x, w, b, .dilation = lucid_triple(1, 2, 1), .groups = 2))
CALL(to_row, lucid_conv_transpose1d(x, w, b, .stride = 2, .output_padding = 1))
CALL(to_image, lucid_conv_transpose2d(x, w, b, .stride = 2, .padding = 1, .output_padding = 1))
CALL(to_image_beyond,
     lucid_conv_transpose2d(x, w, b, .padding = 1, .output_padding = 1, .dilation = 2))
CALL(to_volume, lucid_conv_transpose3d(x, w, b, .stride = 2, .padding = 1))
CALL(to_volume_groups,
     lucid_conv_transpose3d(x, w, b, .stride = lucid_triple(1, 2, 2), .groups = 2))
CALL(columns, lucid_unfold(lucid_mul(x, x), (2, 3), .padding = 1, .dilation = 2))
CALL(image, lucid_fold(lucid_mul(x, x), (4, 5), (2, 2), .stride = 2, .padding = 1))

static const struct {
    const char *name;
    call f;
    lucid_shape x, w;
    int64_t bias;
} rows[] = {
    {"conv1d", row, {3, {2, 2, 5}}, {3, {3, 2, 3}}, 3},
    {"conv1d, same", row_same, {3, {1, 2, 5}}, {3, {3, 2, 2}}, 3},
    {"conv2d, same", image_same, {4, {1, 2, 3, 5}}, {4, {2, 2, 2, 2}}, 2},
    {"conv3d", volume, {5, {1, 2, 3, 2, 3}}, {5, {2, 2, 2, 2, 3}}, 2},
    {"conv3d, groups", volume_groups, {5, {1, 4, 2, 3, 2}}, {5, {2, 2, 2, 2, 1}}, 2},
    {"conv_transpose1d", to_row, {3, {2, 2, 3}}, {3, {2, 3, 3}}, 3},
    {"conv_transpose2d", to_image, {4, {2, 2, 3, 2}}, {4, {2, 2, 3, 3}}, 2},
    {"conv_transpose2d, output_padding above the stride",
     to_image_beyond,
     {4, {1, 2, 2, 2}},
     {4, {2, 2, 2, 2}},
     2},
    {"conv_transpose3d", to_volume, {5, {1, 2, 2, 2, 2}}, {5, {2, 1, 3, 2, 3}}, 1},
    {"conv_transpose3d, groups", to_volume_groups, {5, {1, 2, 2, 2, 1}}, {5, {2, 1, 2, 2, 2}}, 2},
    {"unfold", columns, {4, {1, 2, 3, 4}}, {1, {1}}, 1},
    {"fold", image, {3, {1, 8, 9}}, {1, {1}}, 1}};

Test(convolutions, first_and_second_derivatives)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        LUCID_SCOPE;
        const bool weights = rows[i].w.ndim > 1;
        call f = rows[i].f;
        const lucid_shape shapes[3] = {rows[i].x, rows[i].w, LUCID_SHAPE(rows[i].bias)};
        lucid_tensor *in[3];
        for (int k = 0; k < 3; k++)
            in[k] = lucid_requires_grad_(lucid_randn(shapes[k], .dtype = LUCID_F64), true);
        const size_t n = weights ? 3 : 1;
        cr_expect(lucid_gradcheck(apply, &f, in, n, NULL), "%s: %s", rows[i].name, lucid_error());
        lucid_clear_error();
        cr_expect(lucid_gradgradcheck(apply, &f, in, n, NULL), "%s, second: %s", rows[i].name,
                  lucid_error());
        lucid_clear_error();
    }
}

/* A number that is not finite stays in the windows that see it. */
Test(convolutions, not_finite)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_values((1, 1, 1, 3), 1, INFINITY, NAN);
    EXPECT_VALUES(lucid_unfold(x, (1, 1)), 0, 0, {1, INFINITY, NAN});
    EXPECT_VALUES(lucid_fold(lucid_reshape(x, (1, 1, 3)), (1, 5), (1, 1), .stride = 2), 0, 0,
                  {1, 0, INFINITY, 0, NAN});
}

/* Integers have windows too; a batch may be empty. */
Test(convolutions, windows_of_any_dtype)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_cast(lucid_values((4), 0, 1, 2, 3), LUCID_I64);
    lucid_tensor *y = lucid_unfold(lucid_reshape(x, (1, 2, 2)), (1, 2));
    cr_assert(y && lucid_tensor_dtype(y) == LUCID_I64, "%s", lucid_error());
    EXPECT_VALUES(lucid_cast(y, LUCID_F32), 0, 0, {0, 2, 1, 3});
    lucid_tensor *none = lucid_unfold(lucid_zeros((0, 2, 3, 3)), (2, 2));
    cr_expect(none && lucid_size(none, 0) == 0 && lucid_size(none, 1) == 8);
    none = lucid_fold(none, (3, 3), (2, 2));
    cr_expect(none && lucid_size(none, 0) == 0 && lucid_size(none, 2) == 3);
}

Test(convolutions, autocast)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_requires_grad_(lucid_randn((1, 2, 3, 3)), true);
    lucid_tensor *w = lucid_randn((2, 2, 3, 3)), *b = lucid_randn((2));
    lucid_tensor *y;
    {
        LUCID_AUTOCAST(LUCID_BF16);
        y = lucid_conv_transpose2d(x, w, b);
    }
    cr_assert(y && lucid_tensor_dtype(y) == LUCID_BF16, "%s", lucid_error());
    cr_expect(
        lucid_allclose(lucid_cast(y, LUCID_F32), lucid_conv_transpose2d(x, w, b), 0.1, 0.1, false));
    cr_expect(lucid_backward(lucid_sum(y)), "%s", lucid_error());
    cr_expect(lucid_tensor_dtype(lucid_tensor_grad(x)) == LUCID_F32);
}

Test(convolutions, refused)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_zeros((2, 4, 5, 5)), *w = lucid_zeros((4, 2, 3, 3));
    const int kind = LUCID_ERR_ARGUMENT;
    EXPECT_ERROR(lucid_conv_transpose2d(x, w, NULL, .output_padding = 1), kind,
                 "conv_transpose2d: output_padding: expected less than the stride or the dilation, "
                 "got 1");
    EXPECT_ERROR(lucid_conv_transpose2d(x, w, NULL, .padding = 4), kind,
                 "conv_transpose2d: padding: expected one that leaves an output, got 4 of 7");
    EXPECT_ERROR(lucid_conv_transpose2d(x, w, NULL, .groups = 3), kind,
                 "weight: expected [4,O/groups,...]");
    EXPECT_ERROR(lucid_conv_transpose2d(x, w, lucid_zeros((3))), kind,
                 "conv_transpose2d: bias: expected [2], got [3]");
    EXPECT_ERROR(lucid_conv_transpose2d(x, w, NULL, .stride = 0), kind,
                 "stride: expected numbers in [1,");
    EXPECT_ERROR(lucid_conv_transpose2d(x, w, NULL, .groups = 0), kind, "groups: expected >= 1");
    EXPECT_ERROR(lucid_conv_transpose1d(x, w), kind, "x: expected [N,C,L] or [C,L], got [2,4,5,5]");
    EXPECT_ERROR(lucid_conv_transpose2d(lucid_zeros((2, 4, 0, 5)), w), kind,
                 "x: expected sizes above 0");
    EXPECT_ERROR(lucid_conv3d(lucid_zeros((1, 2, 3, 3, 3)), w), kind,
                 "conv3d: weight: expected 5 dimensions");
    EXPECT_ERROR(lucid_conv1d(lucid_zeros((1, 2, 5)), lucid_zeros((1, 2, 6))), kind,
                 "conv1d: weight: expected a kernel inside the padded input");
    EXPECT_ERROR(lucid_conv1d(lucid_zeros((1, 2, 5)), lucid_zeros((1, 2, 3)), NULL,
                              .stride = lucid_pair(1, 2)),
                 kind, "conv1d: stride: expected one number");
    EXPECT_ERROR(
        lucid_conv2d(x, lucid_zeros((2, 4, 3, 3)), NULL, .stride = 2, .padding = LUCID_SAME), kind,
        "conv2d: padding: LUCID_SAME needs stride 1, got 2");
    EXPECT_ERROR(lucid_unfold(x, 6), kind, "unfold: kernel: expected one that spans at most 5");
    EXPECT_ERROR(lucid_unfold(lucid_zeros((5)), 1), kind, "unfold: x: expected [N,C,H,W]");
    EXPECT_ERROR(lucid_fold(lucid_zeros((1, 5, 9)), 4, 2), kind,
                 "fold: x: expected [N,C * 2 * 2,3 * 3]");
    EXPECT_ERROR(lucid_fold(lucid_zeros((1, 4, 8)), 4, 2), kind, "the kernel and the windows");
}
