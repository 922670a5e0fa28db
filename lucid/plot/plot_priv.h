/* plot_priv.h: axes and colours that the pictures share. */
#ifndef LUCID_IO_PLOT_PRIV_H
#define LUCID_IO_PLOT_PRIV_H

#include "lucid/plot/plot.h"

enum { LUC_INK = 0x1f2933, LUC_PALE_INK = 0x616e7c, LUC_RULE = 0xe4e7eb, LUC_PAPER = 0xffffff };

/* An axis: values from low to high on pixels from `from` to `to`, with its numbered marks. */
enum { LUC_TICKS_MAX = 24 };
typedef struct luc_axis {
    bool log, fixed, whole; /* set before: fixed: the range stays; whole: marks at integers only */
    double low, high;
    double from, to;
    int count;
    double ticks[LUC_TICKS_MAX];
    char labels[LUC_TICKS_MAX][24];
} luc_axis;

/* Sets the range, a little wider than [low, high] unless fixed and wide enough to be drawn, and
 * marks about `wanted` round numbers. */
void luc_axis_init(luc_axis *axis, double low, double high, int wanted);
double luc_axis_pixel(const luc_axis *axis, double value);

/* A number as a reader wants it: "0.05", "1200", "3e-05". */
void luc_number_text(double value, int decimals, char *text, size_t size);

#endif
