/* softmax_priv.h: softmax and log_softmax along one dimension, and their gradients. */
#ifndef LUC_SOFTMAX_PRIV_H
#define LUC_SOFTMAX_PRIV_H

#include "backends/cpu/levels_priv.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"

/* The operands are x, y (forward) or grad_y, y, grad_x (backward). `loop` runs over all dimensions
 * except one, which has `size` elements with strides `step`. */
typedef struct luc_softmax_plan {
    luc_loop loop;
    int64_t size, step[3];
    void *data[3];
    bool log;
} luc_softmax_plan;

typedef struct luc_softmax_table {
    void (*forward[4])(const luc_softmax_plan *p);
    void (*backward[4])(const luc_softmax_plan *p);
} luc_softmax_table;
LUC_DECLARE_TABLES(luc_softmax_table, luc_softmax)

#endif
