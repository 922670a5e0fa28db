#include "lucid/io/plot_priv.h"

#include <math.h>
#include <stdio.h>

void luc_number_text(double value, int decimals, char *text, size_t size)
{
    double magnitude = fabs(value);
    if (value != 0 && (magnitude >= 1e7 || magnitude < 1e-4))
        snprintf(text, size, "%.3g", value);
    else
        snprintf(text, size, "%.*f", value == 0 && decimals > 4 ? 0 : decimals, value);
}

double luc_axis_pixel(const luc_axis *axis, double value)
{
    double low = axis->low, high = axis->high;
    if (axis->log) {
        if (!(value > 0)) return NAN;
        value = log10(value), low = log10(low), high = log10(high);
    }
    return axis->from + (value - low) / (high - low) * (axis->to - axis->from);
}

/* 1, 2 or 5 times a power of ten, at least `least`. */
static double round_step(double least)
{
    double power = pow(10, floor(log10(least))), ratio = least / power;
    return power * (ratio <= 1.0001 ? 1 : ratio <= 2.0001 ? 2 : ratio <= 5.0001 ? 5 : 10);
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
    double step = round_step((axis->high - axis->low) / wanted);
    if (axis->whole && step < 1) step = 1;
    double slack = step * 1e-6;
    int decimals = step >= 1 ? 0 : (int)ceil(-log10(step) - 1e-9);
    for (double k = ceil((axis->low - slack) / step); k * step <= axis->high + slack; k++) {
        if (axis->count == LUC_TICKS_MAX) break;
        add_tick(axis, k == 0 ? 0 : k * step, decimals);
    }
}

/* Powers of ten; where those are few, 2 and 5 times them too. */
static void add_log_ticks(luc_axis *axis, int wanted)
{
    static const double parts[] = {1, 2, 5};
    double low = log10(axis->low), high = log10(axis->high);
    int each = high - low < 4 ? 1 : 3, every = (int)ceil((high - low) / wanted);
    if (every < 1) every = 1;
    for (double power = floor(low); power <= high; power++)
        for (int i = 0; i < 3; i += each) {
            double value = parts[i] * pow(10, power);
            if (value < axis->low * 0.9999 || value > axis->high * 1.0001) continue;
            if (each == 3 && fmod(power, every) != 0) continue;
            add_tick(axis, value, power < 0 ? (int)-power : 0);
        }
}

void luc_axis_init(luc_axis *axis, double low, double high, int wanted)
{
    if (!(low <= high)) low = axis->log ? 0.1 : 0, high = 1; /* nothing to show */
    if (axis->log) {
        if (high < low * 1.01) low /= 2, high *= 2;
        double margin = axis->fixed ? 1 : pow(high / low, 0.04);
        axis->low = low / margin;
        axis->high = high * margin;
        add_log_ticks(axis, wanted);
        return;
    }
    if (!(high - low > fabs(high) * 1e-9)) {
        double around = high != 0 ? fabs(high) * 0.1 : 1;
        low -= around, high += around;
    }
    double margin = axis->fixed ? 0 : (high - low) * 0.04;
    axis->low = low - margin;
    axis->high = high + margin;
    if (low >= 0 && axis->low < 0) axis->low = 0; /* what is never negative begins at zero */
    add_linear_ticks(axis, wanted);
}
