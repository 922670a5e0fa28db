#include "lucid/plot/plot_priv.h"
#include "lucid/core/format_priv.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

/* Between values nearer than this, steps would be too small to be numbers. */
#define LEAST_RANGE 1e-290

void luc_number_text(double value, int decimals, char *text, size_t size)
{
    double magnitude = fabs(value);
    if (value != 0 && (magnitude >= 1e7 || magnitude < 1e-4))
        luc_snprintf(text, size, "%.3g", value);
    else
        luc_snprintf(text, size, "%.*f", value == 0 && decimals > 4 ? 0 : decimals, value);
}

double luc_axis_pixel(const luc_axis *axis, double value)
{
    double low = axis->low, high = axis->high;
    if (axis->log) {
        if (!(value > 0)) return NAN;
        value = log10(value), low = log10(low), high = log10(high);
    }
    /* From -1e308 to 1e308 is more than a double can hold; half of it is not. */
    if (isinf(high - low)) value /= 2, low /= 2, high /= 2;
    return axis->from + (value - low) / (high - low) * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, at least `least`, or below it where that is no double. */
static double round_step(double least)
{
    double power = pow(10, floor(log10(least))), ratio = least / power;
    double step = power * (ratio <= 1.0001 ? 1 : ratio <= 2.0001 ? 2 : ratio <= 5.0001 ? 5 : 10);
    return isfinite(step) ? step : power;
}

static void add_tick(luc_axis *axis, double value, int decimals)
{
    if (axis->count == LUC_TICKS_MAX) return;
    axis->ticks[axis->count] = value;
    luc_number_text(value, decimals, axis->labels[axis->count], sizeof axis->labels[0]);
    axis->count++;
}

static void add_linear_ticks(luc_axis *axis, int wanted)
{
    double range = axis->high - axis->low;
    double step =
        round_step(isfinite(range) ? range / wanted : axis->high / wanted - axis->low / wanted);
    if (axis->whole && step < 1) step = 1;
    double slack = step * 1e-6, first = ceil(fmax(axis->low - slack, -DBL_MAX) / step);
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    for (int i = 0; i < LUC_TICKS_MAX; i++) {
        double value = (first + i) * step;
        if (!(value <= axis->high + slack) || isinf(value)) break;
        add_tick(axis, value == 0 ? 0 : value, decimals);
    }
}

/* Powers of ten; where those are few, 2 and 5 times them too. */
static void add_log_ticks(luc_axis *axis, int wanted)
{
    static const double parts[] = {1, 2, 5};
    double low = log10(axis->low), high = log10(axis->high);
    int each = high - low < 4 ? 1 : 3, every = (int)ceil((high - low) / wanted);
    if (every < 1) every = 1;
    /* Integers: the range is finite, so these are within -308 and 308. */
    for (int power = (int)floor(low); power <= (int)floor(high); power++)
        for (int i = 0; i < 3; i += each) {
            double value = parts[i] * pow(10, power);
            if (value < axis->low * 0.9999 || value > axis->high * 1.0001) continue;
            if (isinf(value) || (each == 3 && power % every != 0)) continue;
            add_tick(axis, value, power < 0 ? -power : 0);
        }
}

static void init_log(luc_axis *axis, double low, double high, int wanted)
{
    /* Subnormal numbers have no logarithm where the processor takes them for zero. */
    low = fmax(low, DBL_MIN), high = fmax(high, low);
    if (high < low * 1.01) low /= 2, high *= 2;
    double margin = 1;
    if (!axis->fixed && isfinite(high / low)) margin = pow(high / low, 0.04);
    axis->low = fmax(low / margin, DBL_MIN);
    axis->high = fmin(high * margin, DBL_MAX);
    add_log_ticks(axis, wanted);
}

void luc_axis_init(luc_axis *axis, double low, double high, int wanted)
{
    if (!(low <= high)) low = axis->log ? 0.1 : 0, high = 1; /* no values */
    if (wanted < 1) wanted = 1;
    if (axis->log) {
        init_log(axis, low, high, wanted);
        return;
    }
    if (!(high - low > fmax(fabs(high) * 1e-9, LEAST_RANGE))) {
        double around = fabs(high) > LEAST_RANGE ? fabs(high) * 0.1 : 1;
        low -= around, high += around;
    }
    double margin = axis->fixed ? 0 : (high - low) * 0.04;
    axis->low = fmax(low - margin, -DBL_MAX);
    axis->high = fmin(high + margin, DBL_MAX);
    if (low >= 0 && axis->low < 0) axis->low = 0; /* no value is negative */
    add_linear_ticks(axis, wanted);
}
