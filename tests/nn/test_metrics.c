/* Metrics against numbers computed by hand and by scikit-learn's definitions; the summary of a
 * net. */
#include "tests/testing.h"

#include "lucid/lucid.h"

#include <stdlib.h>

#define REFUSED(expression, text) EXPECT_ERROR(expression, LUCID_ERR_ARGUMENT, text)

static lucid_tensor *classes(const int64_t *values, int64_t n)
{
    return lucid_from_typed_data(LUCID_SHAPE(n), values, LUCID_I64, NULL);
}
#define CLASSES(...)                        \
    classes((const int64_t[]){__VA_ARGS__}, \
            (int64_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)))

Test(metrics, topk)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *scores = lucid_values((4, 3), 0.1, 0.5, 0.4, 0.3, 0.3, 0.1, 2, -1, 0, NAN, 1, 0);
    lucid_tensor *target = CLASSES(2, 1, 1, 0);
    cr_expect(lucid_topk_accuracy(scores, target, 1) == 0);
    cr_expect(lucid_topk_accuracy(scores, target, 2) == 0.5);
    cr_expect(lucid_topk_accuracy(scores, target, 3) == 0.75);
    cr_expect(isnan(
        lucid_topk_accuracy(lucid_zeros((0, 3)), lucid_cast(lucid_zeros((0)), LUCID_I64), 1)));
    REFUSED(lucid_topk_accuracy(scores, target, 4), "topk_accuracy: k: expected 1 to 3, got 4");
    REFUSED(lucid_topk_accuracy(scores, CLASSES(0, 1), 1), "target: expected 4 classes, got [2]");
    REFUSED(lucid_topk_accuracy(scores, CLASSES(0, 1, 3, 0), 1), "from 0 to 2, got 3 at 2");
    REFUSED(lucid_topk_accuracy(target, target, 1), "scores: expected [N,C]");
}

/* actual 0: 3 right, 1 as 1; actual 1: 2 right, 2 as 0; actual 2: 1 right; class 3 never. */
static lucid_confusion *example(void)
{
    lucid_confusion *c = lucid_confusion_new(4, .ignore_index = -1);
    cr_assert(lucid_confusion_add(c, CLASSES(0, 0, 0, 1, 9), CLASSES(0, 0, 0, 0, -1)), "%s",
              lucid_error());
    cr_assert(lucid_confusion_add(c, CLASSES(1, 1, 0, 0, 2), CLASSES(1, 1, 1, 1, 2)));
    return c;
}

static void expect_measure(const lucid_confusion *c, lucid_measure m, int64_t which, double want)
{
    double got = lucid_confusion_measure(c, m, which);
    cr_expect(testing_close(got, want, 1e-14, 0), "measure %d of %d: %.17g, not %.17g", (int)m,
              (int)which, got, want);
}

Test(metrics, confusion_matrix)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_confusion *c = example();
    EXPECT_VALUES(lucid_confusion_tensor(c), 0, 0,
                  {3, 1, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0});
    cr_expect(lucid_confusion_count(c, 1, 0) == 2);
    cr_expect(testing_close(lucid_confusion_accuracy(c), 6.0 / 9, 1e-15, 0));
    expect_measure(c, LUCID_PRECISION, 0, 3.0 / 5);
    expect_measure(c, LUCID_RECALL, 0, 3.0 / 4);
    expect_measure(c, LUCID_F1, 0, 2.0 / 3);
    expect_measure(c, LUCID_DICE, 0, 2.0 / 3);
    expect_measure(c, LUCID_IOU, 0, 0.5);
    expect_measure(c, LUCID_F1, 3, NAN);
    expect_measure(c, LUCID_RECALL, LUCID_MACRO, (0.75 + 0.5 + 1) / 3);
    expect_measure(c, LUCID_RECALL, LUCID_WEIGHTED, (4 * 0.75 + 4 * 0.5 + 1) / 9);
    expect_measure(c, LUCID_PRECISION, LUCID_MICRO, 6.0 / 9);
    expect_measure(c, LUCID_IOU, LUCID_MICRO, 6.0 / 12);
    expect_measure(c, LUCID_IOU, LUCID_MACRO, (0.5 + 2.0 / 5 + 1) / 3);
    lucid_confusion_reset(c);
    cr_expect(isnan(lucid_confusion_accuracy(c)));
    lucid_confusion_free(c);
    cr_expect(lucid_finish() == 0);
}

/* Scores of pixels [N,C,H,W]. */
Test(metrics, confusion_of_pixels)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_confusion *c = lucid_confusion_new(2, .ignore_index = 255);
    lucid_tensor *scores = lucid_values((1, 2, 1, 3), 1, 0, 0, 0, 1, 1);
    lucid_tensor *target = lucid_cast(lucid_values((1, 1, 3), 0, 0, 255), LUCID_U8);
    cr_assert(lucid_confusion_add(c, scores, target), "%s", lucid_error());
    EXPECT_VALUES(lucid_confusion_tensor(c), 0, 0, {1, 1, 0, 0});
    expect_measure(c, LUCID_PRECISION, 1, 0);
    lucid_confusion_free(c);
}

Test(metrics, confusion_as_text_and_picture)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    LUCID_SCOPE;
    static const char *const names[] = {"cat", "dog", "bird", "fish"};
    lucid_confusion *c = example();
    char *text = lucid_confusion_to_string(c, names);
    static const char wanted[] = "     |  cat  dog bird fish |  precision     recall         F1\n"
                                 " cat |    3    1    0    0 |      0.600      0.750      0.667\n"
                                 " dog |    2    2    0    0 |      0.667      0.500      0.571\n"
                                 "bird |    0    0    1    0 |      1.000      1.000      1.000\n"
                                 "fish |    0    0    0    0 |          -          -          -\n";
    cr_expect(text && strcmp(text, wanted) == 0, "%s", text);
    free(text);
    lucid_image *image = lucid_confusion_plot(c, names);
    cr_assert(image, "%s", lucid_error());
    lucid_image_free(image);
    lucid_confusion *large = lucid_confusion_new(101);
    REFUSED(lucid_confusion_plot(large, NULL), "classes: expected at most 100 for a picture");
    lucid_confusion_free(large);
    lucid_confusion_free(c);
    cr_expect(lucid_finish() == 0);
}

Test(metrics, confusion_refuses_bad_arguments)
{
    LUCID_SCOPE;
    lucid_confusion *c = lucid_confusion_new(3);
    REFUSED(lucid_confusion_new(0), "confusion: classes: expected 1 to 32768, got 0");
    REFUSED(lucid_confusion_add(c, CLASSES(0, 3), CLASSES(0, 1)),
            "predicted: expected classes from");
    REFUSED(lucid_confusion_add(c, CLASSES(0, 1), CLASSES(0, -1)), "target: expected classes from");
    REFUSED(lucid_confusion_add(c, CLASSES(0, 1), CLASSES(0)),
            "predicted: expected classes for [1]");
    REFUSED(lucid_confusion_add(c, lucid_zeros((2, 4)), CLASSES(0, 1)), "scores with 3 classes");
    REFUSED(lucid_confusion_add(c, CLASSES(0), lucid_zeros((1))), "target: expected an integer");
    REFUSED(lucid_confusion_add(NULL, CLASSES(0), CLASSES(0)), "confusion: expected one, got NULL");
    REFUSED(lucid_confusion_count(c, 3, 0), "expected classes from 0 to 2, got 3 and 0");
    REFUSED(lucid_confusion_measure(c, LUCID_F1, 3), "measure, which: expected");
    EXPECT_VALUES(lucid_sum(lucid_confusion_tensor(c)), 0, 0, {0});
    lucid_confusion_free(c);
}

Test(metrics, area_under_the_roc_curve)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *scores = lucid_values((4), 0.1, 0.4, 0.35, 0.8);
    cr_expect(lucid_roc_auc(scores, CLASSES(0, 0, 1, 1)) == 0.75);
    cr_expect(lucid_roc_auc(scores, CLASSES(1, 0, 0, 0)) == 0);
    cr_expect(lucid_roc_auc(lucid_ones((4)), CLASSES(0, 1, 1, 0)) == 0.5);
    cr_expect(lucid_roc_auc(lucid_values((3), 1, 1, 2), CLASSES(0, 1, 1)) == 0.75);
    cr_expect(isnan(lucid_roc_auc(scores, CLASSES(1, 1, 1, 1))));
    REFUSED(lucid_roc_auc(scores, CLASSES(0, 1, 2, 0)), "labels: expected 0 or 1, got 2 at 2");
    REFUSED(lucid_roc_auc(scores, CLASSES(0, 1)), "scores, labels: expected [N] and [N]");
    REFUSED(lucid_roc_auc(lucid_full((2), NAN), CLASSES(0, 1)), "scores: expected numbers");
}

/* ---- summary --------------------------------------------------------------------------------- */

Test(summary, of_a_small_net)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    LUCID_SCOPE;
    lucid_module *m = nn_Sequential(nn_Conv2d(3, 8, 3, .padding = lucid_pair(1, 1), .groups = 1),
                                    nn_BatchNorm2d(8), nn_ReLU(), nn_Flatten(), nn_Linear(512, 10));
    lucid_tensor *x = lucid_randn((2, 3, 8, 8));
    lucid_freeze(m, "0.bias");
    lucid_module_totals t;
    cr_assert(lucid_module_totals_of(m, &x, 1, &t), "%s", lucid_error());
    int64_t parameters = 8 * 27 + 8 + 16 + 5120 + 10;
    cr_expect(t.parameters == parameters && t.trainable == parameters - 8);
    cr_expect(t.multiply_adds == 2 * 8 * 64 * 27 + 2 * 10 * 512, "%lld",
              (long long)t.multiply_adds);
    cr_expect(t.parameter_bytes == 4 * parameters && t.buffer_bytes == 4 * 16 + 8);
    cr_expect(t.output_bytes == 4 * (4 * 1024 + 20), "%lld", (long long)t.output_bytes);
    char *text = lucid_module_summary(m, x);
    static const char wanted[] =
        "module                output                 parameters      multiply-adds\n"
        "Sequential            [2,10]                          -                  -\n"
        "  0: Conv2d           [2,8,8,8]                     224             27,648\n"
        "  1: BatchNorm2d      [2,8,8,8]                      16                  -\n"
        "  2: ReLU             [2,8,8,8]                       -                  -\n"
        "  3: Flatten          [2,512]                         -                  -\n"
        "  4: Linear           [2,10]                      5,130             10,240\n"
        "parameters: 5,370, trainable: 5,362\n"
        "multiply-adds: 37,888\n"
        "bytes: parameters 21,480, buffers 72, outputs 16,464";
    cr_expect(text && strcmp(text, wanted) == 0, "%s", text ? text : lucid_error());
    free(text);
    nn_BatchNormBase *bn = lucid_self(lucid_get_module(m, "1"), nn_BatchNormBase);
    cr_expect(m->training && bn->base.training && lucid_item(bn->num_batches_tracked) == 0);
    x = lucid_randn((2, 4, 8, 8));
    REFUSED(lucid_module_summary(m, x), "Conv2d");
    cr_expect(m->training && bn->base.training);
    REFUSED(lucid_module_summary_many(m, NULL, 1), "inputs: expected 1 to 8, got 0");
    REFUSED(lucid_module_totals_of(m, &x, 1, NULL), "totals: expected a place, got NULL");
    lucid_module_free(m);
    cr_expect(lucid_finish() == 0);
}
