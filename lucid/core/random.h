/* random.h: random numbers: Philox4x32-10, counter-based (Salmon et al., "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011). The numbers depend on seed and position alone: not on device,
 * thread count or vector width. */
#ifndef LUCID_RANDOM_H
#define LUCID_RANDOM_H

#include "api.h"

LUCID_BEGIN_DECLS

/* The whole state of a generator: a plain value, to be saved and restored by copying. */
typedef struct lucid_generator {
    uint64_t seed;
    uint64_t offset; /* blocks of four 32-bit numbers used so far */
} lucid_generator;

/* Seeds the default generator, of all threads, and sets its position to 0. Thread-safe. */
LUCID_API void lucid_manual_seed(uint64_t seed);
/* The default generator's state, and setting it back. Thread-safe. */
LUCID_API lucid_generator lucid_get_rng_state(void);
LUCID_API void lucid_set_rng_state(lucid_generator state);
/* The four 32-bit numbers of block `block` of a seed: the definition of the sequence. */
LUCID_API void lucid_philox(uint64_t seed, uint64_t block, uint32_t out[4]);
/* A 64-bit number of the given generator, which it advances by one block. */
LUCID_API uint64_t lucid_random_u64(lucid_generator *generator);
/* A number in [0, n) of the given generator, without bias. n >= 1. */
LUCID_API uint64_t lucid_random_below(lucid_generator *generator, uint64_t n);

LUCID_END_DECLS
#endif
