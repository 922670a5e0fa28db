/* test_losses.c: derivatives of losses and norms, what they refuse, and numbers at the edges.
 * Their values beside PyTorch's are in test_reference_ops.c. */
#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "tests/testing.h"

/* ---- first and second derivatives ------------------------------------------------------------ */

/* A call on up to three tensors. */
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
        lucid_tensor *x = in[0], *y = in[1], *z = in[2]; \
        (void)y, (void)z;                                \
        return expression;                               \
    }
#define NONE .reduction = LUCID_REDUCTION_NONE

CALL(bce_logits, lucid_binary_cross_entropy_with_logits(x, y, .weight = lucid_abs(z),
                                                        .pos_weight = lucid_abs(z)))
CALL(bce, lucid_binary_cross_entropy(lucid_sigmoid(x), lucid_sigmoid(y), NONE))
CALL(kl, lucid_kl_div(x, lucid_softmax(y, 1), NONE))
CALL(kl_log, lucid_kl_div(x, y, .log_target = true, .reduction = LUCID_REDUCTION_BATCHMEAN))
CALL(focal, lucid_focal_loss(x, lucid_sigmoid(y), NONE))
CALL(dice, lucid_dice_loss(lucid_reshape(lucid_sigmoid(x), (1, 3, 4)),
                           lucid_reshape(lucid_sigmoid(y), (1, 3, 4))))
CALL(l1, lucid_l1_loss(x, y, NONE))
CALL(smooth_l1, lucid_smooth_l1_loss(x, y, NONE, .beta = 0.4))
CALL(huber, lucid_huber_loss(x, y, NONE, .delta = 0.4))
CALL(poisson, lucid_poisson_nll_loss(x, lucid_exp(lucid_add(y, 3)), .full = true))
CALL(poisson_rate, lucid_poisson_nll_loss(lucid_exp(x), y, .log_input = false))
CALL(gaussian, lucid_gaussian_nll_loss(x, y, lucid_exp(z), .full = true))
CALL(soft_margin, lucid_soft_margin_loss(x, y, NONE))
CALL(hinge,
     lucid_hinge_embedding_loss(x, lucid_where(lucid_gt(y, 0), lucid_scalar(1), lucid_scalar(-1)),
                                NONE))
CALL(ranking, lucid_margin_ranking_loss(x, y, lucid_sign(z), .margin = 0.3))
CALL(embedding, lucid_cosine_embedding_loss(x, y, lucid_sign(lucid_select(z, 1, 0))))
CALL(triplet, lucid_triplet_margin_loss(x, y, z, .swap = true))
CALL(triplet_3, lucid_triplet_margin_loss(x, y, z, .p = 3))
CALL(triplet_own, lucid_triplet_margin_with_distance_loss(x, y, z, .margin = 2))
CALL(pairwise_zero, lucid_pairwise_distance(x, y, .p = 2.5, .eps = 0, .keepdim = true))
CALL(similarity, lucid_cosine_similarity(x, y))
CALL(multi, lucid_multi_margin_loss(x, lucid_argmax(z, 1), .p = 2))
CALL(multilabel, lucid_multilabel_margin_loss(x, lucid_sub(lucid_argsort(z, 1), 1)))
CALL(multilabel_soft, lucid_multilabel_soft_margin_loss(x, y, .weight = lucid_select(z, 0, 0)))
CALL(group, lucid_group_norm(x, 2, .weight = lucid_select(y, 0, 0), .bias = lucid_select(z, 0, 0)))
CALL(layer, lucid_layer_norm(x, 4, .weight = lucid_select(y, 0, 0), .bias = lucid_select(z, 0, 0)))
CALL(layer_all, lucid_layer_norm(x, (3, 4), .weight = y, .bias = z))
CALL(rms, lucid_rms_norm(x, 4, .weight = lucid_select(y, 0, 0)))
CALL(instance, lucid_instance_norm(lucid_reshape(x, (1, 3, 4)), .weight = lucid_select(y, 1, 0)))
CALL(attention, lucid_scaled_dot_product_attention(x, y, z))
CALL(attention_causal, lucid_scaled_dot_product_attention(x, y, z, .is_causal = true, .scale = 2))
CALL(attention_mask,
     lucid_scaled_dot_product_attention(x, y, z,
                                        .attn_mask = lucid_matmul(x, lucid_transpose(z, 0, 1))))
CALL(attention_groups,
     lucid_scaled_dot_product_attention(lucid_reshape(x, (2, 2, 3)), lucid_reshape(y, (1, 4, 3)),
                                        lucid_reshape(z, (1, 4, 3)), .enable_gqa = true))
CALL(response, lucid_local_response_norm(lucid_reshape(x, (1, 4, 3)), 3, .alpha = 2))

static const struct {
    const char *name;
    call f;
} rows[] = {{"bce_logits", bce_logits},
            {"bce", bce},
            {"kl", kl},
            {"kl_log", kl_log},
            {"focal", focal},
            {"dice", dice},
            {"l1", l1},
            {"smooth_l1", smooth_l1},
            {"huber", huber},
            {"poisson", poisson},
            {"poisson_rate", poisson_rate},
            {"gaussian", gaussian},
            {"soft_margin", soft_margin},
            {"hinge", hinge},
            {"ranking", ranking},
            {"embedding", embedding},
            {"triplet", triplet},
            {"triplet_3", triplet_3},
            {"triplet_own", triplet_own},
            {"pairwise_zero", pairwise_zero},
            {"similarity", similarity},
            {"multi", multi},
            {"multilabel", multilabel},
            {"multilabel_soft", multilabel_soft},
            {"group", group},
            {"layer", layer},
            {"layer_all", layer_all},
            {"rms", rms},
            {"instance", instance},
            {"attention", attention},
            {"attention_causal", attention_causal},
            {"attention_mask", attention_mask},
            {"attention_groups", attention_groups},
            {"response", response}};

Test(losses, first_and_second_derivatives)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(3);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        LUCID_SCOPE;
        lucid_tensor *in[3];
        call f = rows[i].f;
        for (int k = 0; k < 3; k++)
            in[k] = lucid_requires_grad_(lucid_randn((3, 4), .dtype = LUCID_F64), true);
        cr_expect(lucid_gradcheck(apply, &f, in, 3, NULL), "%s: %s", rows[i].name, lucid_error());
        lucid_clear_error();
        cr_expect(lucid_gradgradcheck(apply, &f, in, 3, NULL), "%s, second: %s", rows[i].name,
                  lucid_error());
        lucid_clear_error();
    }
}

/* ---- memory runs out ------------------------------------------------------------------------- */

static bool run_once(call f)
{
    LUCID_SCOPE;
    lucid_tensor *in[3];
    for (int k = 0; k < 3; k++) {
        in[k] = lucid_requires_grad_(lucid_randn((3, 4), .dtype = LUCID_F64), true);
        if (!in[k]) return false;
    }
    lucid_tensor *y = f(in);
    y = y ? lucid_sum(y) : NULL;
    /* A weight that could not be made counts as none, but its error stays. */
    return y && lucid_backward(y) && lucid_error_code() == LUCID_OK;
}

Test(losses, every_allocation_fails_once)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert(run_once(rows[i].f), "%s: %s", rows[i].name, lucid_error());
        uint64_t nth = 1;
        for (bool done = false; !done; nth++) {
            lucid_memory_fail_nth(nth);
            bool ok = run_once(rows[i].f);
            done = lucid_memory_fail_count() < nth;
            lucid_memory_fail_nth(0);
            cr_expect(ok == done, "%s: allocation %llu", rows[i].name, (unsigned long long)nth);
            if (!done)
                cr_expect(lucid_error_code() == LUCID_ERR_MEMORY, "%s: allocation %llu: %s",
                          rows[i].name, (unsigned long long)nth, lucid_error());
            lucid_clear_error();
            lucid_live_counts n = lucid_live();
            cr_assert(n.tensors == 0 && n.storages == 0 && n.nodes == 0,
                      "%s: allocation %llu fails: alive", rows[i].name, (unsigned long long)nth);
            cr_assert(nth < 10000);
        }
    }
}

/* ---- time ------------------------------------------------------------------------------------ */

static bool ctc(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    lucid_tensor *const *fixed = user;
    (void)n;
    out[0] = lucid_ctc_loss(lucid_log_softmax(in[0], 2), fixed[0], fixed[1], fixed[2], NONE);
    *n_out = 1;
    return out[0] != NULL;
}

Test(losses, ctc)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_requires_grad_(lucid_randn((5, 2, 4), .dtype = LUCID_F64), true);
    lucid_tensor *y = lucid_cast(lucid_values((2, 3), 1, 1, 2, 3, 2, -1), LUCID_I64);
    lucid_tensor *steps = lucid_cast(lucid_values((2), 5, 4), LUCID_I64);
    lucid_tensor *labels = lucid_cast(lucid_values((2), 3, 2), LUCID_I64);
    lucid_tensor *fixed[3] = {y, steps, labels};
    cr_expect(lucid_gradcheck(ctc, fixed, &x, 1, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(ctc, fixed, &x, 1, NULL), "%s", lucid_error());
    lucid_clear_error();
    /* Two equal labels need a blank between them: three steps for two labels. */
    lucid_tensor *few = lucid_cast(lucid_values((2), 1, 1), LUCID_I64);
    EXPECT_VALUES(lucid_ctc_loss(x, y, few, labels, NONE), 0, 0, {INFINITY, INFINITY});
    EXPECT_VALUES(lucid_ctc_loss(x, y, few, labels, NONE, .zero_infinity = true), 0, 0, {0, 0});
    EXPECT_ERROR(lucid_ctc_loss(x, x, steps, labels), LUCID_ERR_ARGUMENT,
                 "ctc_loss: targets: expected 2-D integers, got float64");
    EXPECT_ERROR(lucid_ctc_loss(x, y, lucid_add(steps, 1), labels), LUCID_ERR_ARGUMENT,
                 "input_lengths: expected numbers in [1,5], got 6");
    EXPECT_ERROR(lucid_ctc_loss(x, y, steps, lucid_add(labels, 1)), LUCID_ERR_ARGUMENT,
                 "target_lengths: expected numbers in [0,3], got 4");
    EXPECT_ERROR(lucid_ctc_loss(x, y, steps, steps, .blank = 4), LUCID_ERR_ARGUMENT,
                 "blank: expected a class in [0,4), got 4");
    EXPECT_ERROR(lucid_ctc_loss(x, lucid_add(y, 2), steps, labels), LUCID_ERR_ARGUMENT, "5");
}

/* ---- the edges ------------------------------------------------------------------------------- */

static lucid_tensor *gradient_of(lucid_tensor *x, lucid_tensor *loss)
{
    cr_assert(lucid_backward(loss), "%s", lucid_error());
    return lucid_tensor_grad(x);
}

Test(losses, edges)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_requires_grad_(lucid_values((2, 2), 1e30, -1e30, 0, 5), true);
    lucid_tensor *y = lucid_values((2, 2), 1, 0, 0, 1);
    EXPECT_VALUES(gradient_of(x, lucid_sum(lucid_binary_cross_entropy_with_logits(
                                     x, y, .reduction = LUCID_REDUCTION_SUM))),
                  1e-5, 1e-7, {0, 0, 0.5, -0.0066928509});
    EXPECT_VALUES(lucid_huber_loss(lucid_values((2), INFINITY, NAN), lucid_zeros((2)),
                                   .reduction = LUCID_REDUCTION_NONE),
                  0, 0, {INFINITY, NAN});
    lucid_tensor *same = lucid_requires_grad_(lucid_ones((2, 3)), true);
    EXPECT_VALUES(
        gradient_of(same, lucid_sum(lucid_pairwise_distance(same, lucid_ones((2, 3)), .eps = 0))),
        0, 0, {0, 0, 0, 0, 0, 0});
    /* A tie of margin 0 has PyTorch's derivative, and NaN stays. */
    lucid_tensor *a = lucid_requires_grad_(lucid_ones((1)), true);
    EXPECT_VALUES(gradient_of(a, lucid_margin_ranking_loss(a, lucid_ones((1)), lucid_ones((1)))), 0,
                  0, {-1});
    lucid_tensor *nothing = lucid_values((1), NAN);
    EXPECT_VALUES(lucid_margin_ranking_loss(nothing, nothing, lucid_ones((1))), 0, 0, {NAN});
    EXPECT_VALUES(lucid_l1_loss(lucid_zeros((0)), lucid_zeros((0))), 0, 0, {NAN});
    EXPECT_VALUES(lucid_binary_cross_entropy(lucid_zeros((0)), lucid_zeros((0)),
                                             .reduction = LUCID_REDUCTION_SUM),
                  0, 0, {0});
    EXPECT_VALUES(lucid_l1_loss(lucid_values((2), 1, 2), lucid_zeros((2), .dtype = LUCID_I64)), 0,
                  0, {1.5});
}

/* Each result fits into 16 bits; the squares and sums on the way do not. */
Test(losses, sixteen_bits_hold_no_squares)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    const lucid_dtype half = LUCID_F16;
    lucid_tensor *a = lucid_cast(lucid_values((1, 2), 300, 400), half);
    lucid_tensor *b = lucid_cast(lucid_values((1, 2), 600, 0), half),
                 *zero = lucid_zeros((1, 2), .dtype = half);
    lucid_tensor *one = lucid_cast(lucid_ones((1)), half);
    lucid_tensor *y = lucid_pairwise_distance(a, zero);
    cr_expect(y && lucid_tensor_dtype(y) == half);
    EXPECT_VALUES(y, 0, 0, {500});
    EXPECT_VALUES(lucid_cosine_similarity(a, b), 1e-3, 0, {0.6});
    EXPECT_VALUES(lucid_cosine_embedding_loss(a, b, one), 1e-3, 0, {0.4});
    EXPECT_VALUES(lucid_triplet_margin_loss(a, zero, a, .margin = 1), 1e-3, 0, {501});
    lucid_tensor *many = lucid_ones((1, 1, 300, 300), .dtype = half);
    EXPECT_VALUES(lucid_dice_loss(many, many), 0, 1e-3, {0});
    EXPECT_VALUES(lucid_kl_div(lucid_neg(lucid_ones((300, 300), .dtype = half)),
                               lucid_ones((300, 300), .dtype = half),
                               .reduction = LUCID_REDUCTION_BATCHMEAN),
                  0, 0, {300});
}

Test(losses, focal_with_small_gamma)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (int k = 0; k < 2; k++) { /* float32 and float16, right beyond doubt */
        lucid_tensor *x = lucid_cast(lucid_values((2), 500, -500), k ? LUCID_F16 : LUCID_F32);
        lucid_requires_grad_(x, true);
        lucid_tensor *y = lucid_values((2), 1, 0);
        lucid_tensor *g = gradient_of(x, lucid_focal_loss(x, y, .gamma = 0.5, .alpha = -1));
        EXPECT_VALUES(g, 0, 1e-3, {0, 0});
    }
}

Test(losses, means_far_from_zero_cost_no_accuracy)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_values((1, 4), 1e6, 1e6 + 1, 1e6 + 2, 1e6 + 3);
    EXPECT_VALUES(lucid_layer_norm(x, 4), 1e-5, 0, {-1.34164, -0.447213, 0.447213, 1.34164});
    EXPECT_VALUES(lucid_group_norm(x, 1), 1e-5, 0, {-1.34164, -0.447213, 0.447213, 1.34164});
    EXPECT_VALUES(lucid_layer_norm(lucid_values((2, 1), 3, 4), 1, .bias = lucid_ones((1))), 0, 0,
                  {1, 1});
    /* 16-bit numbers with float32 parameters give 16-bit numbers. */
    lucid_tensor *half = lucid_cast(lucid_values((1, 4), 0, 1, 2, 3), LUCID_BF16);
    lucid_tensor *y = lucid_layer_norm(half, 4, .weight = lucid_ones((4)), .bias = NULL);
    cr_expect(lucid_tensor_dtype(y) == LUCID_BF16);
    EXPECT_VALUES(y, 1e-2, 0, {-1.34164, -0.447213, 0.447213, 1.34164});
    cr_expect(lucid_numel(lucid_layer_norm(lucid_zeros((0, 4)), 4)) == 0);
    cr_expect(lucid_numel(lucid_group_norm(lucid_zeros((2, 4, 0)), 2)) == 0);
}

/* ---- what is refused ------------------------------------------------------------------------- */

#define REFUSED(expression, text) EXPECT_ERROR(expression, LUCID_ERR_ARGUMENT, text)

Test(losses, refuse_what_does_not_fit)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_rand((3, 4)), *y = lucid_rand((3, 1)), *f = lucid_rand((4));
    lucid_tensor *whole = lucid_zeros((3, 4), .dtype = LUCID_I64);
    REFUSED(lucid_l1_loss(x, y), "l1_loss: target: expected [3,4] like input, got [3,1]");
    REFUSED(lucid_l1_loss(whole, x), "l1_loss: input: expected a floating dtype, got int64");
    REFUSED(lucid_l1_loss(NULL, x), "l1_loss: input: expected a tensor, got NULL");
    REFUSED(lucid_l1_loss(x, x, .reduction = 3), "l1_loss: reduction: expected none, mean or sum");
    REFUSED(lucid_kl_div(x, x, .reduction = 4), "kl_div: reduction: expected none, mean, sum or");
    REFUSED(lucid_smooth_l1_loss(x, x, .beta = -1), "beta: expected a number >= 0, got -1");
    REFUSED(lucid_huber_loss(x, x, .delta = 0), "delta: expected a number > 0, got 0");
    REFUSED(lucid_huber_loss(x, x, .weight = f), "weight: expected [3,4] like input, got [4]");
    REFUSED(lucid_binary_cross_entropy(lucid_add(x, 1), x), "input: expected probabilities in");
    REFUSED(lucid_binary_cross_entropy(lucid_mul(x, NAN), x), "input: expected probabilities in");
    REFUSED(lucid_binary_cross_entropy_with_logits(x, x, .pos_weight = lucid_rand((3))),
            "pos_weight: expected floating numbers that broadcast to [3,4], got float32 [3]");
    REFUSED(lucid_gaussian_nll_loss(x, x, lucid_neg(x)), "var: expected numbers >= 0, got -");
    REFUSED(lucid_gaussian_nll_loss(x, x, f), "var: expected [3,4] like input");
    REFUSED(lucid_gaussian_nll_loss(x, x, x, .eps = 0), "eps: expected a number > 0, got 0");
    REFUSED(lucid_dice_loss(x, x), "input: expected [N,C,...], got [3,4]");
    REFUSED(lucid_focal_loss(x, x, .gamma = -1), "gamma: expected a number >= 0, got -1");
    REFUSED(lucid_triplet_margin_loss(x, x, y), "negative: expected [3,4] like anchor, got [3,1]");
    REFUSED(lucid_triplet_margin_loss(x, x, x, .margin = 0), "margin: expected a number > 0");
    REFUSED(lucid_pairwise_distance(x, x, .p = -1), "p: expected a number >= 0, got -1");
    REFUSED(lucid_cosine_similarity(x, x, .dim = 2), "cosine_similarity: dim");
    REFUSED(lucid_cosine_embedding_loss(x, x, x), "input1, target: expected [N,D] and [N]");
    REFUSED(lucid_multi_margin_loss(x, whole), "target: expected int64 classes [3], got int64");
    REFUSED(lucid_multi_margin_loss(x, whole, .p = 3), "p: expected 1 or 2, got 3");
    REFUSED(lucid_multilabel_margin_loss(x, lucid_sub(whole, 2)), "-2");
    REFUSED(lucid_multilabel_margin_loss(x, x),
            "target: expected int64 classes [3,4], got float32");
}

Test(losses, norms_refuse_what_does_not_fit)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_rand((2, 6, 4)), *f = lucid_rand((4));
    REFUSED(lucid_group_norm(x, 4), "num_groups: expected a divisor of the 6 channels, got 4");
    REFUSED(lucid_group_norm(x, 0), "num_groups: expected a divisor of the 6 channels, got 0");
    REFUSED(lucid_group_norm(f, 1), "x: expected [N,C,...], got [4]");
    REFUSED(lucid_group_norm(x, 3, .weight = f), "weight: expected floating numbers [6]");
    REFUSED(lucid_group_norm(x, 3, .eps = -1), "eps: expected a number >= 0, got -1");
    REFUSED(lucid_layer_norm(x, 6), "x: expected last sizes [6] (normalized_shape), got [2,6,4]");
    REFUSED(lucid_layer_norm(x, (1, 2, 6, 4)), "x: expected last sizes [1,2,6,4]");
    REFUSED(lucid_layer_norm(x, ()), "normalized_shape: expected a size, got none");
    REFUSED(lucid_rms_norm(x, 4, .weight = lucid_rand((6))),
            "weight: expected floating numbers [4]");
    REFUSED(lucid_instance_norm(lucid_rand((2, 3, 1, 1))), "more than 1 value per channel");
    REFUSED(lucid_instance_norm(x, .use_input_stats = false), "running_mean: expected statistics");
    REFUSED(lucid_instance_norm(x, .running_mean = lucid_rand((6))), "expected both or none");
    REFUSED(lucid_local_response_norm(x, 0), "size: expected 1 to");
    REFUSED(lucid_local_response_norm(lucid_rand((2, 3)), 1), "x: expected [N,C,...] of 3 or more");
}
