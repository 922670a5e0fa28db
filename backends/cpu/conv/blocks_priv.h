/* blocks_priv.h: the numbers that a destination pixel of a walk sees: a row of its taps' source
 * channels, [tap][channel of the group], for products of bfloat16 (bf16/bf16.h). */
#ifndef LUC_CONV_BLOCKS_PRIV_H
#define LUC_CONV_BLOCKS_PRIV_H

#include "backends/cpu/bf16/bf16.h"
#include "backends/cpu/conv/walk.h"

#include <string.h>

/* Where the first tap of a pixel sees its source, which may lie outside of the image. */
typedef struct {
    int64_t at, row, col;
} luc_conv_corner;

static inline luc_conv_corner luc_conv_corner_of(const luc_conv_walk *k, int64_t pixel)
{
    const int64_t col = pixel % k->cols, line = pixel / k->cols;
    const int64_t row = line % k->rows, n = line / k->rows;
    luc_conv_corner c = {.row = row * k->step_r + k->r.first, .col = col * k->step_c + k->c.first};
    c.at = n * k->src_n + c.row * k->src_r + c.col * k->src_c;
    return c;
}

/* Whether a tap of a row or column falls on this phase. */
static inline bool luc_conv_taps_meet(const luc_conv_taps *t, int64_t step, int64_t phase)
{
    for (int64_t i = 0; i < t->count; i++)
        if (i * t->step % step == phase) return true;
    return false;
}

/* A phase is what remains of a source's row and column, from the corner, divided by the steps.
   Whether any tap falls on it. */
static inline bool luc_conv_phase_is_seen(const luc_conv_walk *k, int64_t phase)
{
    return luc_conv_taps_meet(&k->r, k->step_r, phase / k->step_c) &&
           luc_conv_taps_meet(&k->c, k->step_c, phase % k->step_c);
}

/* The source of tap (i, j), or NULL outside of the image. */
static inline const uint16_t *luc_conv_seen(const luc_conv_walk *k, const uint16_t *src,
                                            const luc_conv_corner *c, int64_t i, int64_t j)
{
    const int64_t row = i * k->r.step, col = j * k->c.step;
    if (c->row + row < 0 || c->row + row >= k->src_rows || c->col + col < 0 ||
        c->col + col >= k->src_cols)
        return NULL;
    return src + c->at + row * k->src_r + col * k->src_c;
}

/* Sets seen[count]: what pixels from `pixel` on see through tap (i, j), or NULL. */
static inline void luc_conv_see(const luc_conv_walk *k, const uint16_t *src, int64_t pixel,
                                int64_t count, int64_t i, int64_t j, const uint16_t **seen)
{
    const int64_t left = k->c.first + j * k->c.step;
    int64_t col = pixel % k->cols, row = pixel / k->cols % k->rows;
    int64_t n = pixel / k->cols / k->rows, first, last;
    luc_valid_range(k->cols, k->step_c, left, k->src_cols, &first, &last);
    for (int64_t end; count > 0; count -= end - col, col = 0) {
        end = luc_min64(k->cols, col + count);
        const int64_t line = row * k->step_r + k->r.first + i * k->r.step;
        const bool inside = line >= 0 && line < k->src_rows;
        const int64_t at = n * k->src_n + line * k->src_r + left * k->src_c;
        for (int64_t at_col = col; at_col < end; at_col++, seen++)
            *seen = inside && at_col >= first && at_col < last
                        ? src + at + at_col * k->step_c * k->src_c
                        : NULL;
        if (++row == k->rows) row = 0, n++;
    }
}

/* Writes the row. src is at the group's first channel. */
static inline void luc_conv_fill_row(const luc_conv_walk *k, const uint16_t *src,
                                     const luc_conv_corner *c, uint16_t *row)
{
    const size_t bytes = sizeof *row * (size_t)k->depth;
    /* Where the taps of a kernel row are neighbours in memory, and all inside, they are one run. */
    const bool run =
        k->c.step == 1 && k->src_c == k->depth && c->col >= 0 && c->col + k->c.count <= k->src_cols;
    for (int64_t i = 0; i < k->r.count; i++) {
        if (run) {
            const uint16_t *from = luc_conv_seen(k, src, c, i, 0);
            if (from)
                memcpy(row, from, bytes * (size_t)k->c.count);
            else
                memset(row, 0, bytes * (size_t)k->c.count);
            row += k->depth * k->c.count;
            continue;
        }
        for (int64_t j = 0; j < k->c.count; j++, row += k->depth) {
            const uint16_t *from = luc_conv_seen(k, src, c, i, j);
            if (from)
                memcpy(row, from, bytes);
            else
                memset(row, 0, bytes);
        }
    }
}

#endif
