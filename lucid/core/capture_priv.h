/* capture_priv.h: numbers that change from replay to replay of a captured step.
 *
 * A captured kernel call has its arguments frozen. Where one of them must change (the random
 * generator's position, a learning rate, a step count), the kernel reads it from a cell: 8 bytes of
 * the device's memory that are set before every replay. */
#ifndef LUCID_CAPTURE_PRIV_H
#define LUCID_CAPTURE_PRIV_H

#include "lucid/core/attrs.h"
#include "lucid/core/capture.h"

enum { LUC_CAPTURE_CELLS = 64, LUC_CAPTURE_USER = 32 };

/* True while this thread records on the device. */
bool luc_is_capturing(lucid_device device);

/* A number that changes when a recording begins or ends and with every replay. A replay writes
 * memory without a new version, so results that were kept from before may be outdated; and a
 * recording must not use what was kept outside of it. */
uint64_t luc_capture_epoch(void);

/* Sets the values of some cells before replay number `replay`; 0 is the one in lucid_capture. */
typedef void (*luc_capture_refresh)(const void *user, int64_t replay, uint64_t *values);

/* Takes `n` cells of the capture that this thread records, and returns their address on the device.
 * `user`, of `size` bytes (at most LUC_CAPTURE_USER), is copied. If no cells are left, raises an
 * error and returns NULL. */
uint64_t *luc_capture_cells(int n, luc_capture_refresh refresh, const void *user, size_t size,
                            const char *op);

/* If this thread records on the device, lets the attributes of a random operation that has just
 * taken its numbers follow the generator in every replay. Returns false after raising an error. */
bool luc_capture_random(lucid_device device, lucid_random_attrs *attrs, const char *op);

#endif
