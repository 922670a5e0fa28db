/* reduction.h: how a loss is reduced. */
#ifndef LUCID_REDUCTION_H
#define LUCID_REDUCTION_H

enum {
    LUCID_REDUCTION_NONE = 0, /* one value for each sample or element */
    LUCID_REDUCTION_MEAN = 1,
    LUCID_REDUCTION_SUM = 2,
    LUCID_REDUCTION_BATCHMEAN = 3 /* of lucid_kl_div alone: the sum / the size of dimension 0 */
};

#endif
