/* keep.h: what kernels keep of an input from one call to the next.
 *
 * Convolutions read their weights in an order of their own. In some layers, copying them into that
 * order takes as long as the arithmetic of several images, so in inference it is done once: the
 * result stays with the weights' storage until they change (by lucid_tensor_version) or are freed.
 * On the CPU a recorded call keeps nothing and drops what was kept, because training changes the
 * weights. On other devices it keeps what it makes, which is as large as the weights there, for the
 * backward.
 *
 * An operator's .keeps says for which input; its kernel finds the place in its arguments. What is
 * kept lies on the input's device, and is made and read in the order of the device's stream. A key
 * describes what was made: everything that its form depends on, except the input's values. One form
 * is kept at a time. A captured step (capture.h) finds only what was kept within itself, and
 * nothing outlives a replay, which changes weights without their version. Thread-safe. */
#ifndef LUCID_KEEP_H
#define LUCID_KEEP_H

#include "backend.h"

LUCID_BEGIN_DECLS

enum { LUCID_KEEP_KEY = 128 }; /* the most bytes of a key */

typedef struct lucid_kept lucid_kept;

/* What is kept under the key for the current state of the input, or NULL. The caller gets a
 * reference, and releases it with lucid_kept_release. */
LUCID_API lucid_kept *lucid_keep_find(lucid_keep *keep, const void *key, size_t key_size);
/* Allocates memory for what is to be kept, 64-byte aligned, on the input's device; NULL, without an
 * error, when memory is out. */
LUCID_API lucid_kept *lucid_kept_new(lucid_keep *keep, size_t bytes, const void *key,
                                     size_t key_size);
LUCID_API void *lucid_kept_data(lucid_kept *kept);
/* Keeps it instead of what was kept before. The caller still has its reference. */
LUCID_API void lucid_keep_put(lucid_keep *keep, lucid_kept *kept);
/* Releases a reference. NULL does nothing. */
LUCID_API void lucid_kept_release(lucid_kept *kept);

LUCID_END_DECLS
#endif
