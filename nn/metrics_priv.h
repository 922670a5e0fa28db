/* metrics_priv.h: the inside of confusion matrices. */
#ifndef LUCID_NN_METRICS_PRIV_H
#define LUCID_NN_METRICS_PRIV_H

#include "nn/metrics.h"

#define LUC_CONFUSION "confusion"

struct lucid_confusion {
    int64_t classes, ignored;
    int64_t *counts; /* [actual][predicted] */
};

/* True and false positives, and false negatives, of a class. */
typedef struct luc_hits {
    double tp, fp, fn;
} luc_hits;

bool luc_check_confusion(const lucid_confusion *c);
luc_hits luc_confusion_hits(const lucid_confusion *c, int64_t which);
double luc_measure(luc_hits h, lucid_measure measure);

#endif
