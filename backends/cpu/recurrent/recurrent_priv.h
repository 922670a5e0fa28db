/* recurrent_priv.h: the part of an LSTM that is not a product, for one row of a step. */
#ifndef LUC_RECURRENT_PRIV_H
#define LUC_RECURRENT_PRIV_H

#include "backends/cpu/levels_priv.h"

/* A row of H cells. Pointers are to float or double, and do not overlap. */
typedef struct luc_lstm_row {
    void *gates;     /* [4H] i, f, g, o; forward: sums, which become activations; backward: the
                        gradient of the sums */
    const void *act; /* backward: [4H] activations */
    void *c;         /* forward: the state, before and after; backward: its gradient */
    void *h;         /* forward: the result; backward: its gradient, which becomes 0 */
    void *cell, *y;  /* forward: copies of the new c and h */
    const void *prev, *next, *dy; /* backward: c before and after; what came for y, or NULL */
    int64_t n;
} luc_lstm_row;

typedef struct luc_recurrent_table {
    void (*lstm[2])(const luc_lstm_row *r); /* float32, float64 */
    void (*lstm_backward[2])(const luc_lstm_row *r);
} luc_recurrent_table;
LUC_DECLARE_TABLES(luc_recurrent_table, luc_recurrent)

#endif
