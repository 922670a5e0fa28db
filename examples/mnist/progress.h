/* progress.h: a moving bar on a terminal; elsewhere one line for each epoch. */
#ifndef MNIST_PROGRESS_H
#define MNIST_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    int epoch, epochs;
    int64_t total, done; /* samples */
    double began, drawn; /* in seconds: when the epoch began, when the bar was last drawn */
    bool quiet, moving;
} progress;

progress progress_begin(int epoch, int epochs, int64_t total, bool quiet);
/* Draws the bar, at most ten times a second. */
void progress_update(progress *p, int64_t done, double loss);
double progress_seconds(const progress *p);
/* Prints the epoch's line: the duration of the training (seconds), its loss, and the test accuracy
 * (percent; below 0: the epoch was interrupted). */
void progress_end(progress *p, double seconds, double loss, double accuracy);

#endif
