/* test_upsample.c: layers that make images larger or smaller, and the parts of lucid_interpolate
 * that tests/autograd/test_reference_ops.c does not compare with PyTorch: messages, layouts, and
 * the form of the operators that a device without kernels for them uses. */
#include "autograd/autograd.h"
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/ops.h"
#include "lucid/core/attrs.h"
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

Test(upsample, modules)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_randn((2, 3, 4, 5)), *v = lucid_randn((1, 2, 3, 4, 5));
    check(nn_Upsample(.scale_factor = 2, .mode = LUCID_INTERPOLATE_BILINEAR),
          "Upsample(scale_factor=2.0, mode='bilinear')", x,
          lucid_interpolate(x, .scale_factor = 2, .mode = LUCID_INTERPOLATE_BILINEAR));
    check(nn_Upsample(.size = lucid_pair(3, 4)), "Upsample(size=(3, 4), mode='nearest')", x,
          lucid_interpolate(x, .size = lucid_pair(3, 4)));
    check(nn_Upsample(.size = lucid_triple(3, 4, 2)), "Upsample(size=(3, 4, 2), mode='nearest')", v,
          lucid_interpolate(v, .size = lucid_triple(3, 4, 2)));
    check(nn_Upsample(.scale_factors = lucid_scale_pair(2, 3.5)),
          "Upsample(scale_factor=(2.0, 3.5), mode='nearest')", x,
          lucid_interpolate(x, .scale_factors = lucid_scale_pair(2, 3.5)));
    check(nn_UpsamplingNearest2d(.scale_factor = 2),
          "UpsamplingNearest2d(scale_factor=2.0, mode='nearest')", x,
          lucid_interpolate(x, .scale_factor = 2));
    check(
        nn_UpsamplingBilinear2d(.size = 3), "UpsamplingBilinear2d(size=3, mode='bilinear')", x,
        lucid_interpolate(x, .size = 3, .mode = LUCID_INTERPOLATE_BILINEAR, .align_corners = true));
}

Test(upsample, errors)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_randn((2, 3, 4, 5));
    EXPECT_ERROR(lucid_interpolate(x, .size = 3, .scale_factor = 2), LUCID_ERR_ARGUMENT,
                 "expected one of them, got 2");
    EXPECT_ERROR(lucid_interpolate(x, .mode = LUCID_INTERPOLATE_AREA), LUCID_ERR_ARGUMENT,
                 "expected one of them, got 0");
    EXPECT_ERROR(lucid_interpolate(x, .size = 3, .align_corners = true), LUCID_ERR_ARGUMENT,
                 "align_corners: expected false with nearest");
    EXPECT_ERROR(lucid_interpolate(x, .size = 3, .antialias = true), LUCID_ERR_ARGUMENT,
                 "antialias: expected false with nearest");
    EXPECT_ERROR(lucid_interpolate(x, .size = 3, .mode = LUCID_INTERPOLATE_LINEAR),
                 LUCID_ERR_ARGUMENT, "x: expected 3 dimensions with mode linear, got 4");
    EXPECT_ERROR(lucid_interpolate(x, .size = 3, .recompute_scale_factor = true),
                 LUCID_ERR_ARGUMENT, "recompute_scale_factor: expected false with a size");
    EXPECT_ERROR(lucid_interpolate(x, .scale_factor = 0.1), LUCID_ERR_ARGUMENT,
                 "scale_factor: expected a number > 0 that leaves a size >= 1 of 4");
    EXPECT_ERROR(lucid_interpolate(x, .scale_factor = -1), LUCID_ERR_ARGUMENT, "scale_factor");
    EXPECT_ERROR(lucid_interpolate(x, .scale_factor = NAN), LUCID_ERR_ARGUMENT, "scale_factor");
    EXPECT_ERROR(lucid_interpolate(x, .size = lucid_triple(1, 2, 3)), LUCID_ERR_ARGUMENT, "size");
    EXPECT_ERROR(lucid_interpolate(x, .size = lucid_pair(1, 0)), LUCID_ERR_ARGUMENT, "size");
    EXPECT_ERROR(lucid_interpolate(lucid_randn((3, 4)), .size = 3), LUCID_ERR_ARGUMENT,
                 "x: expected [N,C,L]");
    EXPECT_ERROR(lucid_interpolate(lucid_zeros((1, 1, 0, 4)), .size = 3), LUCID_ERR_ARGUMENT,
                 "x: expected sizes >= 1");
    EXPECT_ERROR(lucid_interpolate(lucid_cast(x, LUCID_I64), .size = 3), LUCID_ERR_ARGUMENT,
                 "x: expected a floating dtype");
    EXPECT_ERROR(nn_Upsample(), LUCID_ERR_ARGUMENT, "Upsample: size, scale_factor");
}

Test(upsample, keeps_channels_last)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_contiguous(lucid_randn((2, 3, 4, 5)), LUCID_CHANNELS_LAST);
    lucid_tensor *v = lucid_contiguous(lucid_randn((2, 3, 4, 5, 2)), LUCID_CHANNELS_LAST);
    cr_expect(lucid_is_contiguous(lucid_interpolate(x, .scale_factor = 2), LUCID_CHANNELS_LAST));
    cr_expect(lucid_is_contiguous(lucid_interpolate(v, .scale_factor = 2), LUCID_CHANNELS_LAST));
}

/* An operator without kernels is made of others: every sample gives the same both ways. */
static void check_composed(const lucid_op *op)
{
    lucid_op copy = *op;
    copy.id = LUCID_OP_CUSTOM;
    for (int i = 0; i < op->n_samples; i++) {
        const lucid_sample *s = &op->samples[i];
        for (int last = 0; last < 2; last++) {
            LUCID_SCOPE;
            lucid_tensor *x = lucid_randn_opt(s->in[0].shape, NULL);
            if (last) x = lucid_contiguous(x, LUCID_CHANNELS_LAST);
            lucid_tensor *y = lucid_apply(op, &x, 1, s->attrs);
            lucid_tensor *z = lucid_apply(&copy, &x, 1, s->attrs);
            cr_expect(y && z && lucid_allclose(y, z, 1e-5, 1e-5, false), "%s %s: %s", op->name,
                      s->name, lucid_error());
        }
    }
}

Test(upsample, composed)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    check_composed(lucid_op_find("interpolate"));
    check_composed(lucid_op_find("interpolate_backward"));
}

/* Large enough for several blocks, threads and rows that are kept; summed by hand. */
Test(upsample, large)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_randn((2, 5, 70, 90)), *y, *z;
    for (int last = 0; last < 2; last++) {
        lucid_tensor *in = last ? lucid_contiguous(x, LUCID_CHANNELS_LAST) : x;
        for (int mode = LUCID_INTERPOLATE_BILINEAR; mode <= LUCID_INTERPOLATE_BICUBIC; mode += 2) {
            for (int size = 23; size < 300; size += 120) {
                lucid_interpolate_options o = lucid_interpolate_defaults;
                o.size = lucid_pair(size, 2 * size);
                o.mode = (lucid_interpolate_mode)mode;
                y = lucid_interpolate_opt(in, &o);
                z = lucid_interpolate_opt(lucid_cast(in, LUCID_F64), &o);
                cr_expect(lucid_allclose(lucid_cast(y, LUCID_F64), z, 1e-3, 2e-4, false));
                o.antialias = true;
                y = lucid_interpolate_opt(in, &o);
                z = lucid_interpolate_opt(lucid_cast(in, LUCID_F64), &o);
                cr_expect(lucid_allclose(lucid_cast(y, LUCID_F64), z, 1e-3, 2e-4, false));
            }
        }
    }
}

static bool sampled(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                    void *user)
{
    (void)n;
    out[0] = lucid_grid_sample_opt(in[0], in[1], user);
    *n_out = 1;
    return out[0] != NULL;
}

Test(upsample, grid_sample)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(3);
    lucid_tensor *in[2] = {lucid_randn((1, 2, 3, 4), .dtype = LUCID_F64),
                           lucid_rand((1, 2, 3, 2), .dtype = LUCID_F64)};
    in[1] = lucid_sub(lucid_mul(in[1], 3), 1.5);
    in[1] = lucid_detach(in[1]);
    for (int i = 0; i < 2; i++) lucid_requires_grad_(in[i], true);
    for (int padding = LUCID_GRID_ZEROS; padding <= LUCID_GRID_REFLECTION; padding++) {
        lucid_grid_sample_options o = lucid_grid_sample_defaults;
        o.padding_mode = (lucid_grid_padding)padding;
        cr_expect(lucid_gradcheck(sampled, &o, in, 2, NULL), "%d: %s", padding, lucid_error());
        cr_expect(lucid_gradgradcheck(sampled, &o, in, 2, NULL), "%d: %s", padding, lucid_error());
    }
    lucid_tensor *x = lucid_ones((1, 1, 2, 2)), *g = lucid_full((1, 1, 1, 2), NAN);
    EXPECT_VALUES(lucid_grid_sample(x, g), 0, 0, {0});
    EXPECT_SHAPE(lucid_grid_sample(lucid_ones((0, 1, 2, 2)), lucid_ones((0, 3, 4, 2))), 0, 1, 3, 4);
    EXPECT_ERROR(lucid_grid_sample(x, lucid_ones((1, 2, 2, 3))), LUCID_ERR_ARGUMENT,
                 "grid: expected [1,...,2]");
    EXPECT_ERROR(lucid_grid_sample(x, g, .mode = LUCID_INTERPOLATE_AREA), LUCID_ERR_ARGUMENT,
                 "mode: expected nearest, bilinear");
    EXPECT_ERROR(lucid_affine_grid(x, (1, 1, 2, 2)), LUCID_ERR_ARGUMENT, "theta, size: expected");
}
