/* metrics.h: how good predictions are: top-k accuracy, confusion matrix and what follows from it,
 * the area under the ROC curve.
 *
 *     lucid_confusion *c = lucid_confusion_new(10);
 *     while (lucid_next(test, &b)) lucid_confusion_add(c, lucid_forward(net, b.x), b.y);
 *     printf("%.4f %.4f\n", lucid_confusion_accuracy(c),
 *            lucid_confusion_measure(c, LUCID_F1, LUCID_MACRO));
 *     lucid_confusion_free(c);
 *
 * Nothing is recorded; tensors may lie on any device, which is waited for. Errors give NAN, false
 * or NULL. Threads: one at a time for a confusion matrix. */
#ifndef LUCID_NN_METRICS_H
#define LUCID_NN_METRICS_H

#include "../lucid/core/api.h"
#include "../lucid/io/png.h"
#include "../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* The part of the samples whose class is among the k with the highest scores: scores [N,C], target
 * [N] int64 or int32, in [0, C); 1 <= k <= C. Of equal scores the lower class comes first; a NaN
 * score of the target is wrong. NAN for N = 0. */
LUCID_API double lucid_topk_accuracy(lucid_tensor *scores, lucid_tensor *target, int64_t k);

/* ---- confusion matrix ------------------------------------------------------------------------ */

typedef struct lucid_confusion lucid_confusion;

typedef struct lucid_confusion_options {
    LUCID_OPTIONS_SIZE(lucid_confusion_options);
    int64_t ignore_index LUCID_DEFAULT(-100); /* a target that does not count */
} lucid_confusion_options;
LUCID_DEFAULTS(lucid_confusion, .ignore_index = -100);
/* An empty matrix for that many classes (1 to 32768): the caller's to lucid_confusion_free. */
LUCID_API lucid_confusion *lucid_confusion_new_opt(int64_t classes,
                                                   const lucid_confusion_options *options);
LUCID_API void lucid_confusion_free(lucid_confusion *confusion);
/* lucid_confusion_new(21, .ignore_index = 255) */
#define lucid_confusion_new(...) \
    LUCID_CALL1(lucid_confusion_new_opt, lucid_confusion, LUCID_ASIS, __VA_ARGS__)

/* Adds predictions. target holds classes, of an integer dtype: [N], or [N,H,W] of pixels, any
 * sizes. predicted has the same sizes and holds classes, or is floating and has scores of the
 * classes in dimension 1: [N,C], [N,C,H,W]. All or nothing: a class that is not in [0, classes) is
 * an error. */
LUCID_API bool lucid_confusion_add(lucid_confusion *confusion, lucid_tensor *predicted,
                                   lucid_tensor *target);
/* Forgets all that was added. */
LUCID_API void lucid_confusion_reset(lucid_confusion *confusion);
/* How many samples of a class were predicted as another (or the same) one; -1 on an error. */
LUCID_API int64_t lucid_confusion_count(const lucid_confusion *confusion, int64_t actual,
                                        int64_t predicted);
/* The matrix as int64 [classes,classes]: a row for each actual class. */
LUCID_API lucid_tensor *lucid_confusion_tensor(const lucid_confusion *confusion);

/* The part that is right; NAN where nothing was added. */
LUCID_API double lucid_confusion_accuracy(const lucid_confusion *confusion);

/* With tp, fp and fn of a class: */
typedef enum lucid_measure {
    LUCID_PRECISION, /* tp / (tp + fp) */
    LUCID_RECALL,    /* tp / (tp + fn) */
    LUCID_F1,        /* 2 tp / (2 tp + fp + fn) */
    LUCID_IOU,       /* tp / (tp + fp + fn): Jaccard's index */
    LUCID_DICE,      /* the same as LUCID_F1 */
} lucid_measure;
/* Instead of a class: */
#define LUCID_MACRO    (-1) /* the mean over classes that were in the targets or predicted */
#define LUCID_MICRO    (-2) /* of the sums of tp, fp and fn over all classes */
#define LUCID_WEIGHTED (-3) /* the mean, each class by its number of targets */
/* Of a class, or of all. 0 / 0 counts as 0 (as in scikit-learn) where the class was in the targets
 * or predicted, and is NAN where it was not. */
LUCID_API double lucid_confusion_measure(const lucid_confusion *confusion, lucid_measure measure,
                                         int64_t which);

/* A table of the matrix with names of the classes (as many texts, or NULL: their numbers), and of
 * precision, recall and F1 of each class. The caller releases it with free(). */
LUCID_API char *lucid_confusion_to_string(const lucid_confusion *confusion,
                                          const char *const *names);
/* A picture of it: rows are actual classes, darker is more of the row, with numbers where there is
 * room for them. At most 100 classes. The caller's to lucid_image_free. */
LUCID_API lucid_image *lucid_confusion_plot(const lucid_confusion *confusion,
                                            const char *const *names);

/* ---- of scores ------------------------------------------------------------------------------- */

/* The area under the ROC curve: the probability that a positive sample has a higher score than a
 * negative one, where equal scores count half. scores [N] floating, labels [N] of an integer dtype
 * or bool, 0 or 1. NAN where one of the two is missing; NaN scores are an error. */
LUCID_API double lucid_roc_auc(lucid_tensor *scores, lucid_tensor *labels);

LUCID_END_DECLS
#endif
