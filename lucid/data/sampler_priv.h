/* sampler_priv.h: samplers as a loader sees them. */
#ifndef LUCID_DATA_SAMPLER_PRIV_H
#define LUCID_DATA_SAMPLER_PRIV_H

#include "lucid/data/sampler.h"

/* Does the sampler fit a data set of that size? False after an error. */
bool luc_sampler_check(const lucid_sampler *sampler, int64_t dataset_size, const char *op);
/* Writes an epoch's order of `length` samples, and checks it. */
bool luc_sampler_order(const lucid_sampler *sampler, int64_t dataset_size, int64_t length,
                       int64_t epoch, lucid_generator *rng, int64_t *order, const char *op);

/* A number in [0, 1), in steps of 2^-53. */
static inline double luc_draw(lucid_generator *rng)
{
    return (double)(lucid_random_u64(rng) >> 11) * 0x1p-53;
}

/* A random order of n numbers that are there. */
static inline void luc_shuffle(int64_t *list, int64_t n, lucid_generator *rng)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)lucid_random_below(rng, (uint64_t)i + 1), swapped = list[i];
        list[i] = list[k];
        list[k] = swapped;
    }
}

#endif
