/* progress.h: a moving bar on a terminal, one line an epoch elsewhere. */
#ifndef MNIST_PROGRESS_H
#define MNIST_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    int epoch, epochs;
    int64_t total, done; /* samples */
    double began, drawn; /* seconds: when it began, when it was last drawn */
    bool quiet, moving;
} progress;

progress progress_begin(int epoch, int epochs, int64_t total, bool quiet);
/* Draws at most ten times a second. */
void progress_update(progress *p, int64_t done, double loss);
double progress_seconds(const progress *p);
/* The epoch's line: what the training took (seconds), its loss, the test accuracy (percent; below
 * 0: the epoch was interrupted). */
void progress_end(progress *p, double seconds, double loss, double accuracy);

#endif
