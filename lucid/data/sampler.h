/* sampler.h: which samples an epoch has, and in which order.
 *
 *     lucid_loader *loader = data_Loader(dataset, .batch_size = 64,
 *                                        .sampler = data_WeightedSampler(weights, n));
 *
 * A sampler of your own is a struct that begins with a lucid_sampler:
 *
 *     static bool backwards(const lucid_sampler *s, int64_t size, int64_t epoch,
 *                           lucid_generator *rng, int64_t *order)
 *     {
 *         for (int64_t i = 0; i < size; i++) order[i] = size - 1 - i;
 *         return true;
 *     }
 *     lucid_sampler sampler = {.name = "backwards", .size = LUCID_SAMPLER_ALL, .order = backwards};
 *
 * A sampler belongs to the loader that it is given to: to one loader only. */
#ifndef LUCID_DATA_SAMPLER_H
#define LUCID_DATA_SAMPLER_H

#include "../core/api.h"
#include "../core/options.h"
#include "../core/random.h"

LUCID_BEGIN_DECLS

/* As a sampler's size: that of the data set. */
#define LUCID_SAMPLER_ALL (-1)

typedef struct lucid_sampler lucid_sampler;
struct lucid_sampler {
    const char *name; /* for messages; must live as long as the sampler */
    int64_t size;     /* samples of an epoch, >= 0, or LUCID_SAMPLER_ALL */
    /* Writes the epoch's samples into order: `size` numbers in [0, dataset_size); the loader checks
     * them. Called by the loader's thread at the begin of each epoch; `rng` depends on the loader's
     * seed and the epoch alone. False after an error (raise it with lucid_raise). */
    bool (*order)(const lucid_sampler *sampler, int64_t dataset_size, int64_t epoch,
                  lucid_generator *rng, int64_t *order);
    /* Frees the sampler; NULL where there is nothing to free. */
    void (*free)(lucid_sampler *sampler);
    /* The sizes of the batches, each >= 1, whose sum is the number of samples of an epoch. NULL:
     * those of the loader's .batch_size. The array lives as long as the sampler. */
    const int64_t *batch_sizes;
    int64_t n_batches;
};

/* Frees a sampler that no loader owns. NULL does nothing. */
LUCID_API void lucid_sampler_free(lucid_sampler *sampler);

/* 0, 1, 2, ...: what a loader does by itself. NULL after an error, as below. */
LUCID_API lucid_sampler *lucid_data_sequential_sampler(void);

typedef struct lucid_random_sampler_options {
    LUCID_OPTIONS_SIZE(lucid_random_sampler_options);
    int64_t size LUCID_DEFAULT(LUCID_SAMPLER_ALL); /* samples of an epoch */
    bool replacement LUCID_DEFAULT(false);         /* each is drawn from all */
} lucid_random_sampler_options;
LUCID_DEFAULTS(lucid_random_sampler, .size = LUCID_SAMPLER_ALL, .replacement = false);

/* A random order. Without replacement no sample comes again before all others have come. */
LUCID_API lucid_sampler *lucid_data_random_sampler(const lucid_random_sampler_options *options);

typedef struct lucid_weighted_sampler_options {
    LUCID_OPTIONS_SIZE(lucid_weighted_sampler_options);
    int64_t size LUCID_DEFAULT(LUCID_SAMPLER_ALL); /* samples of an epoch */
    /* false: no sample twice; at least `size` weights must be above 0 then */
    bool replacement LUCID_DEFAULT(true);
} lucid_weighted_sampler_options;
LUCID_DEFAULTS(lucid_weighted_sampler, .size = LUCID_SAMPLER_ALL, .replacement = true);

/* Draws sample i with a probability in proportion to weights[i]: `count` weights, the size of the
 * data set, which are copied: finite, >= 0, and one at least above 0. */
LUCID_API lucid_sampler *lucid_data_weighted_sampler(const double *weights, int64_t count,
                                                     const lucid_weighted_sampler_options *options);

/* The samples of another sampler, which it takes over (also after an error), in batches of these
 * sizes, which are copied: `count` sizes, each >= 1, whose sum is the number of samples. */
LUCID_API lucid_sampler *lucid_data_batch_sampler(lucid_sampler *sampler, const int64_t *sizes,
                                                  int64_t count);

/* data_RandomSampler(.size = 1000);  data_WeightedSampler(weights, n, .replacement = false) */
#define data_SequentialSampler() lucid_data_sequential_sampler()
#define data_RandomSampler(...) \
    LUCID_CALL0(lucid_data_random_sampler, lucid_random_sampler, __VA_ARGS__)
#define data_WeightedSampler(...)                                                            \
    LUCID_CALL2(lucid_data_weighted_sampler, lucid_weighted_sampler, LUCID_ASIS, LUCID_ASIS, \
                __VA_ARGS__)
#define data_BatchSampler(sampler, sizes, count) \
    LUCID_STRICT(lucid_data_batch_sampler(sampler, sizes, count))

LUCID_END_DECLS
#endif
