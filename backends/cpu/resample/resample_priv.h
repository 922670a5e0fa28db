/*
 * resample_priv.h: interpolation of images, one dimension after the other.
 *
 * Along each dimension a target is a weighted sum of sources, its taps. Forward, targets are the
 * output's rows and columns. Backward, the same taps are listed by source instead, so a gradient is
 * a weighted sum of gradients: both directions are one kernel, and nothing is written twice.
 */
#ifndef LUC_RESAMPLE_PRIV_H
#define LUC_RESAMPLE_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/view.h"
#include "lucid/core/attrs.h"

/* The taps of one dimension: those of target t are [start[t], start[t + 1]). */
typedef struct luc_taps {
    int64_t targets, sources;
    int64_t *start;
    int32_t *source;
    void *weight;  /* float; double for float64 */
    int64_t count; /* of taps that every target has; 0: it varies */
    int64_t span;  /* the largest distance between sources of one target, plus 1 */
    bool identity; /* every target is its source */
} luc_taps;

/* The memory that the taps of axis 0 (H) or 1 (W) need, in bytes. */
size_t luc_taps_bytes(const lucid_interpolate_attrs *a, int axis, bool narrow);
/* About as many neighbours as a target has sources between, at least 1. */
int64_t luc_taps_reach(const lucid_interpolate_attrs *a, int axis, bool narrow, bool backward);
/* Fills t, whose arrays lie in `memory`. narrow: weights are float, and positions are computed in
 * float. */
void luc_taps_make(luc_taps *t, const lucid_interpolate_attrs *a, int axis, bool narrow,
                   bool backward, void *memory);

/* An image as planes of rows of pixels, each of `inner` neighbours in memory: planes are those of
 * batch and channels and inner is 1, or planes are those of the batch and inner is C. */
typedef struct luc_rows {
    char *data;
    int64_t plane[2]; /* strides of batch and channel */
    int64_t row, pixel, lane;
    bool dense; /* a row is contiguous */
} luc_rows;

typedef struct luc_resample_plan {
    int64_t n, c, inner; /* planes: n times c, where inner is 1; else n */
    luc_taps rows, cols;
    luc_rows from, to;
    bool rows_first;  /* rows are summed before columns: where there are fewer rows then */
    int64_t slots;    /* rows that a thread keeps */
    int64_t block;    /* rows of a unit of work */
    int64_t row_room; /* elements of a row in scratch memory */
    char *scratch;
    size_t scratch_bytes; /* of a thread */
} luc_resample_plan;

typedef struct luc_resample_table {
    void (*run[4])(const luc_resample_plan *p);
} luc_resample_table;
LUC_DECLARE_TABLES(luc_resample_table, luc_resample)

#endif
