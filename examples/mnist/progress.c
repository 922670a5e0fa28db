/* progress.c: the bar goes to stderr, the lines to stdout. */
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 30 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

progress progress_begin(int epoch, int epochs, int64_t total, bool quiet)
{
    return (progress){.epoch = epoch,
                      .epochs = epochs,
                      .total = total,
                      .began = now(),
                      .quiet = quiet,
                      .moving = !quiet && isatty(STDERR_FILENO)};
}

double progress_seconds(const progress *p)
{
    return now() - p->began;
}

void progress_update(progress *p, int64_t done, double loss)
{
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    double t = now();
    p->done = done;
    if (!p->moving || (t - p->drawn < 0.1 && done < p->total)) return;
    p->drawn = t;
    double part = (double)done / (double)p->total, rate = (double)done / (t - p->began);
    int fill = (int)(part * WIDTH * 8);
    fprintf(stderr, "\repoch %d/%d ", p->epoch, p->epochs);
    for (int i = 0; i < WIDTH; i++) {
        int here = fill - 8 * i;
        fputs(here >= 8 ? "█" : here <= 0 ? "·" : eighths[here], stderr);
    }
    fprintf(stderr, " %3.0f %%  %6.0f samples/s  %4.0f s left  loss %.4f ", 100 * part, rate,
            (double)(p->total - done) / rate, loss);
    fflush(stderr);
}

void progress_end(progress *p, double seconds, double loss, double accuracy)
{
    if (p->moving) fputs("\r\033[K", stderr); /* the line takes the bar's place */
    if (p->quiet) return;
    printf("epoch %d/%d  loss %.4f  ", p->epoch, p->epochs, loss);
    if (accuracy >= 0)
        printf("test accuracy %.2f %%", accuracy);
    else
        printf("interrupted after %lld of %lld samples", (long long)p->done, (long long)p->total);
    printf("  %.0f samples/s  %.1f s\n", (double)p->done / seconds, seconds);
    fflush(stdout);
}
