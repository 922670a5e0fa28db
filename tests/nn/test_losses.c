/* test_losses.c: losses as modules: they compute what their functions compute, with the options
 * that they were made with, and refuse the same options. */
#include "autograd/ops.h"
#include "lucid/core/memory.h"
#include "nn/nn.h"
#include "tests/testing.h"

/* Frees the module, whose output for two or three inputs is to be `expected`. */
static void check(lucid_module *m, lucid_tensor *a, lucid_tensor *b, lucid_tensor *c,
                  lucid_tensor *expected)
{
    cr_assert(m && expected, "%s", lucid_error());
    lucid_tensor *got = c ? lucid_forward(m, a, b, c) : lucid_forward(m, a, b);
    cr_expect(got && lucid_equal(got, expected), "%s", lucid_error());
    lucid_module_free(m);
}

Test(losses, of_elements)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_rand((3, 4)), *y = lucid_rand((3, 4)), *w = lucid_rand((4));
    lucid_tensor *image = lucid_reshape(x, (1, 3, 4)), *mask = lucid_reshape(y, (1, 3, 4));
    lucid_tensor *label = lucid_sign(lucid_sub(y, 0.5));
    const int none = LUCID_REDUCTION_NONE;
    check(nn_BCELoss(.weight = w), x, y, NULL, lucid_binary_cross_entropy(x, y, .weight = w));
    check(nn_BCEWithLogitsLoss(.pos_weight = w, .reduction = none), x, y, NULL,
          lucid_binary_cross_entropy_with_logits(x, y, .pos_weight = w, .reduction = none));
    check(nn_KLDivLoss(.log_target = true), x, y, NULL, lucid_kl_div(x, y, .log_target = true));
    check(nn_FocalLoss(.gamma = 1.5), x, y, NULL, lucid_focal_loss(x, y, .gamma = 1.5));
    check(nn_DiceLoss(.smooth = 2), image, mask, NULL, lucid_dice_loss(image, mask, .smooth = 2));
    check(nn_L1Loss(.reduction = none), x, y, NULL, lucid_l1_loss(x, y, .reduction = none));
    check(nn_SmoothL1Loss(.beta = 0.2), x, y, NULL, lucid_smooth_l1_loss(x, y, .beta = 0.2));
    check(nn_HuberLoss(.delta = 0.2), x, y, NULL, lucid_huber_loss(x, y, .delta = 0.2));
    check(nn_PoissonNLLLoss(.full = true), x, y, NULL, lucid_poisson_nll_loss(x, y, .full = true));
    check(nn_GaussianNLLLoss(.eps = 0.5), x, y, x, lucid_gaussian_nll_loss(x, y, x, .eps = 0.5));
    check(nn_SoftMarginLoss(), x, label, NULL, lucid_soft_margin_loss(x, label));
    check(nn_HingeEmbeddingLoss(.margin = 2), x, label, NULL,
          lucid_hinge_embedding_loss(x, label, .margin = 2));
}

static lucid_tensor *city_block(lucid_tensor *a, lucid_tensor *b, void *user)
{
    *(int *)user += 1;
    return lucid_sum(lucid_abs(lucid_sub(a, b)), 1);
}

Test(losses, of_margins)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_rand((3, 4)), *y = lucid_rand((3, 4)), *z = lucid_rand((3, 4));
    lucid_tensor *label = lucid_sign(lucid_sub(y, 0.5)), *w = lucid_rand((4));
    lucid_tensor *one = lucid_select(label, 1, 0), *classes = lucid_argmax(y, 1);
    lucid_tensor *lists = lucid_sub(lucid_argsort(y, 1), 1);
    int calls = 0;
    check(nn_MarginRankingLoss(.margin = 1), x, y, label,
          lucid_margin_ranking_loss(x, y, label, .margin = 1));
    check(nn_CosineEmbeddingLoss(.margin = 0.5), x, y, one,
          lucid_cosine_embedding_loss(x, y, one, .margin = 0.5));
    check(nn_TripletMarginLoss(.p = 1), x, y, z, lucid_triplet_margin_loss(x, y, z, .p = 1));
    check(nn_TripletMarginWithDistanceLoss(.distance = city_block, .user = &calls, .swap = true), x,
          y, z, lucid_triplet_margin_loss(x, y, z, .p = 1, .eps = 0, .swap = true));
    cr_expect(calls == 3);
    check(nn_MultiMarginLoss(.p = 2, .weight = w), x, classes, NULL,
          lucid_multi_margin_loss(x, classes, .p = 2, .weight = w));
    check(nn_MultiLabelMarginLoss(), x, lists, NULL, lucid_multilabel_margin_loss(x, lists));
    check(nn_MultiLabelSoftMarginLoss(.weight = w), x, y, NULL,
          lucid_multilabel_soft_margin_loss(x, y, .weight = w));
    check(nn_PairwiseDistance(.p = 1), x, y, NULL, lucid_pairwise_distance(x, y, .p = 1));
    check(nn_CosineSimilarity(.dim = 0), x, y, NULL, lucid_cosine_similarity(x, y, .dim = 0));
}

Test(losses, of_time)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_log_softmax(lucid_randn((6, 2, 4)), 2);
    lucid_tensor *y = lucid_randint((2, 3), 1, 4), *t = lucid_full(2, 6, .dtype = LUCID_I64);
    lucid_tensor *l = lucid_full(2, 2, .dtype = LUCID_I64);
    lucid_module *m = nn_CTCLoss(.reduction = LUCID_REDUCTION_SUM);
    lucid_tensor *got = lucid_forward(m, x, y, t, l);
    cr_expect(got && lucid_equal(got, lucid_ctc_loss(x, y, t, l, .reduction = LUCID_REDUCTION_SUM)),
              "%s", lucid_error());
    lucid_module_free(m);
}

Test(losses, weights_are_buffers_of_the_module)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = NULL, *copy = NULL;
    {
        LUCID_SCOPE;
        m = nn_BCEWithLogitsLoss(.pos_weight = lucid_full((4), 3));
        copy = lucid_module_copy(m);
    }
    cr_assert(m && copy, "%s", lucid_error());
    LUCID_SCOPE;
    lucid_tensor *x = lucid_zeros((2, 4)), *y = lucid_ones((2, 4));
    EXPECT_VALUES(lucid_forward(m, x, y), 1e-6, 0, {3 * 0.69314718});
    lucid_module_free(m);
    EXPECT_VALUES(lucid_forward(copy, x, y), 1e-6, 0, {3 * 0.69314718});
    lucid_module_free(copy);
}

Test(losses, refuse_when_they_are_made)
{
    EXPECT_ERROR(nn_L1Loss(.reduction = 3), LUCID_ERR_ARGUMENT, "L1Loss: reduction: expected none");
    EXPECT_ERROR(nn_HuberLoss(.delta = 0), LUCID_ERR_ARGUMENT, "HuberLoss: delta: expected");
    EXPECT_ERROR(nn_SmoothL1Loss(.beta = -1), LUCID_ERR_ARGUMENT, "SmoothL1Loss: beta: expected");
    EXPECT_ERROR(nn_MultiMarginLoss(.p = 3), LUCID_ERR_ARGUMENT, "MultiMarginLoss: p: expected");
    EXPECT_ERROR(nn_TripletMarginLoss(.margin = -1), LUCID_ERR_ARGUMENT,
                 "TripletMarginLoss: margin: expected a number > 0, got -1");
    EXPECT_ERROR(nn_PairwiseDistance(.p = NAN), LUCID_ERR_ARGUMENT,
                 "PairwiseDistance: p: expected");
    lucid_live_counts n = lucid_live();
    cr_expect(n.tensors == 0 && n.storages == 0);
}
