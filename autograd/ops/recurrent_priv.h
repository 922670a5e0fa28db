/* recurrent_priv.h: recurrent networks over a sequence, for the modules in
 * nn/layers/recurrent.c. */
#ifndef LUCID_AUTOGRAD_OPS_RECURRENT_PRIV_H
#define LUCID_AUTOGRAD_OPS_RECURRENT_PRIV_H

#include "lucid/core/tensor.h"

typedef enum luc_recurrence_kind {
    LUC_RNN_TANH,
    LUC_RNN_RELU,
    LUC_LSTM, /* gates i, f, g, o */
    LUC_GRU,  /* gates r, z, n */
} luc_recurrence_kind;

/* The gates of a kind: G. */
static inline int64_t luc_recurrence_gates(luc_recurrence_kind kind)
{
    return kind == LUC_LSTM ? 4 : kind == LUC_GRU ? 3 : 1;
}

/* What a step takes besides the state. P is the size of h, which is H except with w_hr. */
typedef struct luc_recurrence {
    luc_recurrence_kind kind;
    lucid_tensor *w_hh;    /* [G H,P] */
    lucid_tensor *b_hh;    /* [G H] or NULL */
    lucid_tensor *w_hr;    /* of an LSTM: the projection [P,H], or NULL */
    lucid_tensor *lengths; /* [N] of int64: the steps of each sample; NULL: all of them */
    bool reverse;          /* from the last step to the first */
} luc_recurrence;

/* One step, from the input's part of the gates [N,G H]; *c of an LSTM only. It replaces the
 * state. */
bool luc_recurrence_step(const luc_recurrence *r, lucid_tensor *gates, lucid_tensor **h,
                         lucid_tensor **c);
/* All steps of gates [T,N,G H]: *y becomes [T,N,P], 0 after a sample's length; *h and *c the last
 * state. */
bool luc_recurrence_run(const luc_recurrence *r, lucid_tensor *gates, lucid_tensor **y,
                        lucid_tensor **h, lucid_tensor **c);

#endif
