/* report.h: the results of the MNIST example: weights, metrics, pictures and the last line. */
#ifndef MNIST_REPORT_H
#define MNIST_REPORT_H

#include "options.h"

/* The sums of a pass over the test data. */
typedef struct score {
    double loss; /* summed */
    int64_t hits, n;
} score;

double score_accuracy(const score *s); /* percent */

typedef struct report report;

/* Starts the clock, and begins metrics.jsonl in the output folder with a line of all options, with
 * which the run can be repeated. The options must outlive the report. NULL after an error. */
report *report_begin(const options *o, lucid_module *net);
/* Keeps the wrong answers of a batch x [N,1,28,28], y [N], guess [N] of the test data. When a new
 * pass over the test data begins, those of the earlier pass are dropped. */
void report_wrong_answers(report *r, const lucid_batch *b, lucid_tensor *guess);
/* Keeps the loss of a training step for the curve. */
void report_step(report *r, double loss);
/* The results of an epoch. */
typedef struct epoch_result {
    int epoch;
    int64_t samples; /* of the training data; fewer than all if the epoch was interrupted */
    double train_loss, lr, seconds;
    const score *test; /* NULL: the epoch was interrupted and not tested */
} epoch_result;
/* Adds the epoch's line to metrics.jsonl; "interrupted" is true if the epoch was interrupted. */
void report_epoch(report *r, const epoch_result *e);
/* Saves the weights after training. */
void report_weights(const report *r, lucid_module *net);
/* Saves the pictures, prints the last line, and frees the report. With s NULL the line says that
 * the program was interrupted. */
void report_end(report *r, lucid_module *net, const score *s);

#endif
