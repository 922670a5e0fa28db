/* reduction.h: how a loss is reduced. */
#ifndef LUCID_REDUCTION_H
#define LUCID_REDUCTION_H

enum {
    LUCID_REDUCTION_NONE = 0, /* one value for each sample or element */
    LUCID_REDUCTION_MEAN = 1,
    LUCID_REDUCTION_SUM = 2
};

#endif
