/* capture_priv.h: numbers that change from replay to replay of a captured step.
 *
 * A captured kernel call has its arguments frozen. Where one of them must change (the random
 * generator's position, a learning rate, a step count), the kernel reads it from a cell: 8 bytes of
 * the device's memory that are set before every replay. */
#ifndef LUCID_CAPTURE_PRIV_H
#define LUCID_CAPTURE_PRIV_H

#include "lucid/attrs.h"
#include "lucid/capture.h"

enum { LUC_CAPTURE_CELLS = 64, LUC_CAPTURE_USER = 32 };

/* True while this thread records on the device. */
bool luc_is_capturing(lucid_device device);

/* A number that is another one after a recording begins or ends and after every replay: a replay
 * writes memory without a version going up, so that what was computed before may not hold any more,
 * and what is recorded must not use what lies outside of it. */
uint64_t luc_capture_epoch(void);

/* Sets the values of some cells before replay number `replay`; 0 is the one in lucid_capture. */
typedef void (*luc_capture_refresh)(const void *user, int64_t replay, uint64_t *values);

/* `n` cells of the capture that this thread records: where they lie on the device. `user`, of
 * `size` bytes (at most LUC_CAPTURE_USER), is copied. NULL after raising: there are no more
 * cells. */
uint64_t *luc_capture_cells(int n, luc_capture_refresh refresh, const void *user, size_t size,
                            const char *op);

/* Makes the attributes of a random operation that just took its numbers follow the generator from
 * replay to replay, if this thread records on the device. False after raising. */
bool luc_capture_random(lucid_device device, lucid_random_attrs *attrs, const char *op);

#endif
