/* taps.c: which sources a target is made of, and how much of each. */
#include "backends/cpu/resample/resample_priv.h"

#include <math.h>

/* One dimension of an interpolation. `narrow`: positions are rounded to float, as PyTorch does for
 * float32 and narrower types, because a position that falls on a border decides for an element. */
typedef struct axis {
    int mode;
    int64_t in, out;
    double scale; /* sources for one target */
    double support;
    bool align_corners, antialias, narrow;
} axis;

static double rounded(const axis *a, double x)
{
    return a->narrow ? (double)(float)x : x;
}

static axis axis_of(const lucid_interpolate_attrs *attrs, int d, bool narrow)
{
    axis a = {.mode = attrs->mode,
              .in = attrs->in[d],
              .out = attrs->out[d],
              .align_corners = attrs->align_corners,
              .antialias = attrs->antialias,
              .narrow = narrow};
    if (a.align_corners)
        a.scale = a.out > 1 ? rounded(&a, (double)(a.in - 1) / (double)(a.out - 1)) : 0;
    else if (attrs->scale[d] > 0)
        a.scale = rounded(&a, 1 / attrs->scale[d]);
    else
        a.scale = rounded(&a, (double)a.in / (double)a.out);
    const double reach = a.mode == LUCID_INTERPOLATE_BICUBIC ? 2 : 1;
    a.support = a.scale >= 1 ? rounded(&a, reach * a.scale) : reach;
    return a;
}

/* The most taps that a target has. */
static int64_t most_taps(const axis *a)
{
    if (a->antialias) {
        const double most = ceil(a->support) * 2 + 1;
        return most < (double)a->in ? (int64_t)most : a->in;
    }
    switch (a->mode) {
    case LUCID_INTERPOLATE_NEAREST:
    case LUCID_INTERPOLATE_NEAREST_EXACT:
        return 1;
    case LUCID_INTERPOLATE_BICUBIC:
        return 4;
    default:
        return 2;
    }
}

/* The cubic convolution at distance x >= 0. */
static double cubic(double x, double a)
{
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2) return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
    return 0;
}

static int64_t limited(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

/* Rounds down. A position that no integer holds, or NaN, counts as far outside. */
static int64_t whole(double x)
{
    return x >= -0x1p40 && x <= 0x1p40 ? (int64_t)floor(x) : x > 0 ? (int64_t)1 << 40 : -1;
}

/* Where the centre (or, aligned, the corner) of target o lies among the sources. */
static double position(const axis *a, int64_t o)
{
    if (a->align_corners) return rounded(a, a->scale * (double)o);
    return rounded(a, rounded(a, a->scale * ((double)o + 0.5)) - 0.5);
}

static int64_t nearest_taps(const axis *a, int64_t o, int64_t *source, double *weight)
{
    const double half = a->mode == LUCID_INTERPOLATE_NEAREST_EXACT ? 0.5 : 0;
    source[0] = limited(whole(rounded(a, a->scale * ((double)o + half))), a->in);
    weight[0] = 1;
    return 1;
}

static int64_t linear_taps(const axis *a, int64_t o, int64_t *source, double *weight)
{
    double at = position(a, o);
    if (a->in == a->out) at = (double)o;
    if (at < 0) at = 0;
    source[0] = limited(whole(at), a->in);
    source[1] = limited(source[0] + 1, a->in);
    weight[1] = fmin(fmax(rounded(a, at - (double)source[0]), 0), 1);
    weight[0] = 1 - weight[1];
    return 2;
}

static int64_t cubic_taps(const axis *a, int64_t o, int64_t *source, double *weight)
{
    const double at = position(a, o);
    int64_t first = whole(at);
    if (first > a->in - 1) first = a->in - 1;
    const double t = fmin(fmax(rounded(a, at - (double)first), 0), 1), A = -0.75;
    const double distance[4] = {t + 1, t, 1 - t, 2 - t};
    for (int k = 0; k < 4; k++) {
        source[k] = limited(first - 1 + k, a->in);
        weight[k] = cubic(distance[k], A);
    }
    return 4;
}

/* The first source of target o and their number, for a filter that is as wide as the scale. */
static int64_t smooth_range(const axis *a, int64_t o, int64_t *first)
{
    const double centre = rounded(a, a->scale * ((double)o + 0.5));
    const double begin = rounded(a, rounded(a, centre - a->support) + 0.5);
    const double end = rounded(a, rounded(a, centre + a->support) + 0.5);
    const int64_t most = most_taps(a);
    *first = begin > 0 ? limited(whole(begin), a->in) : 0;
    int64_t last = whole(end);
    if (last > a->in) last = a->in;
    const int64_t n = last - *first;
    return n < 0 ? 0 : n > most ? most : n;
}

static double smooth_weight(const axis *a, int64_t o, int64_t source)
{
    const double centre = rounded(a, a->scale * ((double)o + 0.5));
    const double narrower = a->scale >= 1 ? 1 / a->scale : 1;
    const double x = fabs(((double)source - centre + 0.5) * narrower);
    if (a->mode == LUCID_INTERPOLATE_BICUBIC) return cubic(x, -0.5);
    return x < 1 ? 1 - x : 0;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static size_t weight_bytes(bool narrow)
{
    return narrow ? sizeof(float) : sizeof(double);
}

static size_t aligned(size_t bytes)
{
    return (bytes + LUC_CACHE_LINE - 1) / LUC_CACHE_LINE * LUC_CACHE_LINE;
}

static size_t list_bytes(int64_t targets, int64_t taps, bool narrow)
{
    return aligned((size_t)(targets + 1) * sizeof(int64_t)) +
           aligned((size_t)taps * sizeof(int32_t)) + aligned((size_t)taps * weight_bytes(narrow));
}

size_t luc_taps_bytes(const lucid_interpolate_attrs *attrs, int d, bool narrow)
{
    const axis a = axis_of(attrs, d, narrow);
    const int64_t taps = a.out * most_taps(&a);
    return list_bytes(a.out, taps, narrow) + list_bytes(a.in, taps, narrow);
}

int64_t luc_taps_reach(const lucid_interpolate_attrs *attrs, int d, bool narrow, bool backward)
{
    const axis a = axis_of(attrs, d, narrow);
    const int64_t taps = most_taps(&a);
    if (!backward) return taps;
    const double reach = a.scale > 0 ? ceil((double)taps / a.scale) + 1 : (double)a.out;
    return reach < (double)a.out ? (int64_t)reach : a.out;
}

static char *place(luc_taps *t, int64_t targets, int64_t sources, int64_t taps, bool narrow,
                   char *memory)
{
    *t = (luc_taps){.targets = targets, .sources = sources};
    t->start = (int64_t *)(void *)memory;
    memory += aligned((size_t)(targets + 1) * sizeof(int64_t));
    t->source = (int32_t *)(void *)memory;
    memory += aligned((size_t)taps * sizeof(int32_t));
    t->weight = memory;
    return memory + aligned((size_t)taps * weight_bytes(narrow));
}

static double weight_at(const luc_taps *t, int64_t i, bool narrow)
{
    return narrow ? (double)((const float *)t->weight)[i] : ((const double *)t->weight)[i];
}

static void set_tap(luc_taps *t, int64_t i, int64_t source, double weight, bool narrow)
{
    t->source[i] = (int32_t)source;
    if (narrow)
        ((float *)t->weight)[i] = (float)weight;
    else
        ((double *)t->weight)[i] = weight;
}

static int64_t smooth_taps(const axis *a, luc_taps *t, int64_t o, int64_t at)
{
    int64_t first, n = smooth_range(a, o, &first);
    double total = 0;
    for (int64_t k = 0; k < n; k++) total += smooth_weight(a, o, first + k);
    for (int64_t k = 0; k < n; k++) {
        const double w = smooth_weight(a, o, first + k);
        set_tap(t, at + k, first + k, total != 0 ? w / total : w, a->narrow);
    }
    return n;
}

static int64_t plain_taps(const axis *a, luc_taps *t, int64_t o, int64_t at)
{
    int64_t source[4], n;
    double weight[4];
    if (a->mode == LUCID_INTERPOLATE_NEAREST || a->mode == LUCID_INTERPOLATE_NEAREST_EXACT)
        n = nearest_taps(a, o, source, weight);
    else if (a->mode == LUCID_INTERPOLATE_BICUBIC)
        n = cubic_taps(a, o, source, weight);
    else
        n = linear_taps(a, o, source, weight);
    for (int64_t k = 0; k < n; k++) set_tap(t, at + k, source[k], weight[k], a->narrow);
    return n;
}

/* The taps of `by_target`, listed by source: to is filled in the order of the targets. */
static void turn(const luc_taps *by_target, luc_taps *to, bool narrow)
{
    const int64_t taps = by_target->start[by_target->targets];
    for (int64_t i = 0; i <= to->targets; i++) to->start[i] = 0;
    for (int64_t k = 0; k < taps; k++) to->start[by_target->source[k] + 1]++;
    for (int64_t i = 0; i < to->targets; i++) to->start[i + 1] += to->start[i];
    for (int64_t o = 0; o < by_target->targets; o++)
        for (int64_t k = by_target->start[o]; k < by_target->start[o + 1]; k++)
            set_tap(to, to->start[by_target->source[k]]++, o, weight_at(by_target, k, narrow),
                    narrow);
    /* Each start has moved to its end, which is the next one's start. */
    for (int64_t i = to->targets; i > 0; i--) to->start[i] = to->start[i - 1];
    to->start[0] = 0;
}

static void describe(luc_taps *t, bool narrow)
{
    t->count = t->targets ? t->start[1] : 0;
    t->identity = t->targets == t->sources;
    for (int64_t i = 0; i < t->targets; i++) {
        const int64_t n = t->start[i + 1] - t->start[i];
        int64_t low = INT32_MAX, high = 0;
        double own = 0;
        bool others = false;
        if (n != t->count) t->count = 0;
        for (int64_t k = t->start[i]; k < t->start[i + 1]; k++) {
            if (t->source[k] < low) low = t->source[k];
            if (t->source[k] > high) high = t->source[k];
            if (t->source[k] == i) own += weight_at(t, k, narrow);
            others |= t->source[k] != i && weight_at(t, k, narrow) != 0;
        }
        if (n && high - low + 1 > t->span) t->span = high - low + 1;
        t->identity &= own == 1 && !others;
    }
}

void luc_taps_make(luc_taps *t, const lucid_interpolate_attrs *attrs, int d, bool narrow,
                   bool backward, void *memory)
{
    const axis a = axis_of(attrs, d, narrow);
    const int64_t taps = a.out * most_taps(&a);
    luc_taps forward;
    char *rest = place(&forward, a.out, a.in, taps, narrow, memory);
    int64_t at = 0;
    for (int64_t o = 0; o < a.out; o++) {
        forward.start[o] = at;
        at += a.antialias ? smooth_taps(&a, &forward, o, at) : plain_taps(&a, &forward, o, at);
    }
    forward.start[a.out] = at;
    *t = forward;
    if (backward) {
        place(t, a.in, a.out, taps, narrow, rest);
        turn(&forward, t, narrow);
    }
    describe(t, narrow);
}
