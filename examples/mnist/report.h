/* report.h: what the MNIST example leaves behind: weights, metrics, pictures and the last line. */
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

/* Begins the clock, and metrics.jsonl in the output folder with a line of all options, from which
 * the run can be repeated; the options must outlive the report. NULL after an error. */
report *report_begin(const options *o, lucid_module *net);
/* Keeps the wrong answers of a batch x [N,1,28,28], y [N], guess [N] of the test data; those of an
 * earlier pass are forgotten when a new one begins. */
void report_wrong_answers(report *r, const lucid_batch *b, lucid_tensor *guess);
/* Remembers a training step's loss for the curve. */
void report_step(report *r, double loss);
/* What an epoch has come to. */
typedef struct epoch_result {
    int epoch;
    int64_t samples; /* of the training data; not all where it was interrupted */
    double train_loss, lr, seconds;
    const score *test; /* NULL: interrupted, and not tested */
} epoch_result;
/* Adds an epoch's line to metrics.jsonl; "interrupted" is true in that of an epoch that was. */
void report_epoch(report *r, const epoch_result *e);
/* Saves the weights, after training. */
void report_weights(const report *r, lucid_module *net);
/* Saves the pictures, prints the last line, and frees the report. s NULL: the program was
 * interrupted. */
void report_end(report *r, lucid_module *net, const score *s);

#endif
