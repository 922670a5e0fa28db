/* report.h: a page about a run, in one HTML file that needs nothing else: curves, a confusion
 * matrix, pictures, texts.
 *
 *     lucid_report *report = lucid_report_new("ResNet-20 on CIFAR-10");
 *     for (int epoch = 1; epoch <= 10; epoch++) {
 *         ...
 *         lucid_report_point(report, "loss", "training", epoch, loss);
 *         lucid_report_point(report, "loss", "validation", epoch, valid);
 *     }
 *     lucid_report_confusion(report, "test", confusion, names);
 *     lucid_report_write(report, "report.html");
 *     lucid_report_free(report);
 *
 * Texts are UTF-8, and are shown as they are, < and & too. A NULL report comes from an earlier
 * error: functions return false. Errors: LUCID_ERR_ARGUMENT, LUCID_ERR_MEMORY, LUCID_ERR_IO.
 * Threads: one at a time for a report. */
#ifndef LUCID_NN_REPORT_H
#define LUCID_NN_REPORT_H

#include "../lucid/core/api.h"
#include "../lucid/core/tensor.h"
#include "metrics.h"

LUCID_BEGIN_DECLS

typedef struct lucid_report lucid_report;

/* An empty page: the caller's to lucid_report_free. NULL after an error. */
LUCID_API lucid_report *lucid_report_new(const char *title);
LUCID_API void lucid_report_free(lucid_report *report);
/* Adds a point to a curve of a diagram; both are made where they do not exist. Points are joined in
 * the order in which they come; one that is not finite leaves a gap. At most 8 curves in a
 * diagram. */
LUCID_API bool lucid_report_point(lucid_report *report, const char *diagram, const char *curve,
                                  double x, double y);
/* Adds a paragraph with a heading. */
LUCID_API bool lucid_report_text(lucid_report *report, const char *heading, const char *text);
/* Adds a confusion matrix as a table, with precision and recall of each class. names has a text
 * for each class, or is NULL: their numbers. At most 100 classes. */
LUCID_API bool lucid_report_confusion(lucid_report *report, const char *heading,
                                      const lucid_confusion *confusion, const char *const *names);
/* Adds a picture [C,H,W] or [H,W], as lucid_tensorboard_image takes it, with a caption. Pictures
 * that come one after the other stand beside one another. */
LUCID_API bool lucid_report_image(lucid_report *report, const char *caption,
                                  const lucid_tensor *image);
/* Writes the page so far; more can be added and written again. An older file is replaced when the
 * new one is whole. */
LUCID_API bool lucid_report_write(const lucid_report *report, const char *path);

LUCID_END_DECLS
#endif
