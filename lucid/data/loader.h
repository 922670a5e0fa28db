/* loader.h: batches of a data set, shuffled and made ahead by worker threads.
 *
 *     lucid_loader *loader = data_Loader(data_MNIST(dir, LUCID_TRAIN), .shuffle = true);
 *     lucid_batch b;
 *     for (int epoch = 0; epoch < 3; epoch++)
 *         while (lucid_next(loader, &b)) {
 *             LUCID_SCOPE;
 *             ...                                // b.x [64,1,28,28], b.y [64]
 *         }
 *     lucid_loader_free(loader);
 *
 * The order of the samples depends on the seed and the epoch alone: not on the number of workers.
 * What a transform draws for a sample depends on seed, epoch and the sample's index; with a
 * sampler, which may give one sample several times, on its place in the epoch instead of the index.
 *
 * lucid_next cannot tell a new loop from one that goes on: after a `break`, or after a single
 * lucid_next that looks at the sizes, the next call gives the next batch of the same epoch. Call
 * lucid_loader_reset(loader) before a loop that is to have every batch; or lucid_loader_set_epoch(
 * loader, 0) after the look, so that the loop is still epoch 0. A loop that ended by an error needs
 * neither.
 *
 * A loader is used by one thread at a time. A child of fork may go on with the loader of the thread
 * that forked, and has the same batches: it starts workers of its own. */
#ifndef LUCID_DATA_LOADER_H
#define LUCID_DATA_LOADER_H

#include "../core/api.h"
#include "dataset.h"
#include "sampler.h"
#include "../core/device.h"

LUCID_BEGIN_DECLS

typedef struct lucid_loader lucid_loader;

/* .seed = LUCID_SEED_DRAWN: a seed drawn from the default generator when the loader is made, so
 * that lucid_manual_seed decides it. */
#define LUCID_SEED_DRAWN UINT64_MAX

typedef struct lucid_loader_options {
    LUCID_OPTIONS_SIZE(lucid_loader_options);
    int64_t batch_size LUCID_DEFAULT(64); /* >= 1 */
    bool shuffle LUCID_DEFAULT(false);    /* a new order every epoch; false: 0, 1, 2, ... */
    bool drop_last
        LUCID_DEFAULT(false);      /* leave out the last batch of an epoch when it is not full */
    int workers LUCID_DEFAULT(0);  /* threads that make batches ahead; 0: made in lucid_next */
    int prefetch LUCID_DEFAULT(2); /* batches made ahead for each worker, >= 1 */
    uint64_t seed LUCID_DEFAULT(LUCID_SEED_DRAWN);
    /* Where the batches go; copies to a GPU run beside its work. */
    lucid_device device LUCID_DEFAULT({LUCID_CPU, 0});
    /* Make every sample once, keep all of them on the device, and gather the batches there: for
     * data sets that fit and do not draw (augmentation would be the same in every epoch). No
     * workers. */
    bool resident LUCID_DEFAULT(false);
    /* Which samples an epoch has, in which order (sampler.h); the loader takes it over, and frees
     * it also after an error. NULL: all, shuffled or not. Not with .shuffle. */
    lucid_sampler *sampler LUCID_DEFAULT(NULL);
} lucid_loader_options;
LUCID_DEFAULTS(lucid_loader, .batch_size = 64, .shuffle = false, .drop_last = false, .workers = 0,
               .prefetch = 2, .seed = LUCID_SEED_DRAWN, .device = {LUCID_CPU, 0}, .resident = false,
               .sampler = NULL);

/* The tensors belong to the loader until its next lucid_next, lucid_loader_reset or
 * lucid_loader_free; lucid_retain keeps one longer. */
typedef struct lucid_batch {
    lucid_tensor *x;        /* [n, sizes of a sample of x...] */
    lucid_tensor *y;        /* [n, sizes of a sample of y...] */
    int64_t n;              /* samples in this batch: batch_size, or fewer in the last one */
    int64_t number;         /* of the batch in its epoch, from 0 */
    int64_t epoch;          /* from 0 */
    const int64_t *indices; /* [n]: which samples of the data set; until the next lucid_next */
} lucid_batch;

/* Takes the data set over: it is freed with the loader, or at once after an error (NULL).
 * options may be NULL: the defaults. */
LUCID_API lucid_loader *lucid_loader_new(lucid_dataset *dataset,
                                         const lucid_loader_options *options);
/* Ends the workers and frees loader, batch and data set. NULL does nothing. */
LUCID_API void lucid_loader_free(lucid_loader *loader);

/* The next batch of the epoch. False at the end of the epoch (the call after that begins the next
 * one), after an error, and while an error is pending; the batch is zeroed then. An error ends the
 * epoch, also one that was pending: when it is cleared, the next call begins the next epoch. An
 * error of a worker is raised here. */
LUCID_API bool lucid_next(lucid_loader *loader, lucid_batch *batch);
/* Leaves the epoch where it is, if one has begun: the next lucid_next begins the next epoch. */
LUCID_API void lucid_loader_reset(lucid_loader *loader);
/* The same, and says which epoch comes next (>= 0): to resume a training. Epoch 0 comes after
 * INT64_MAX. */
LUCID_API bool lucid_loader_set_epoch(lucid_loader *loader, int64_t epoch);

/* Where a loader is: what a run that is resumed needs to have the same batches, also with another
 * number of workers. */
typedef struct lucid_loader_position {
    uint64_t seed;
    int64_t epoch; /* the one that runs, or comes next */
    int64_t batch; /* of it, which lucid_next gives next: 0 where it has not begun */
} lucid_loader_position;
/* All 0 for NULL. */
LUCID_API lucid_loader_position lucid_loader_get_position(const lucid_loader *loader);
/* Goes there: the next lucid_next gives that batch, or ends the epoch where batch is the number of
 * its batches. Ends the user's batch. False, and nothing has changed, where an epoch has fewer. */
LUCID_API bool lucid_loader_set_position(lucid_loader *loader, lucid_loader_position position);

/* How many samples and batches an epoch has. With drop_last the left out samples do not count. */
LUCID_API int64_t lucid_loader_size(const lucid_loader *loader);
LUCID_API int64_t lucid_loader_batches(const lucid_loader *loader);
/* The seed in use, also when it was drawn. */
LUCID_API uint64_t lucid_loader_seed(const lucid_loader *loader);
LUCID_API const lucid_dataset *lucid_loader_dataset(const lucid_loader *loader);

/* data_Loader(dataset, .batch_size = 64, .shuffle = true) */
#define data_Loader(...) LUCID_CALL1(lucid_loader_new, lucid_loader, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
