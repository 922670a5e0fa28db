/* switches.h: how exact, repeatable and tuned a device's kernels are.
 *
 * Switches of the whole process, off at first unless they say otherwise. Each set returns what the
 * switch was, so that it can be set back; so do lucid_set_fusion, lucid_set_detect_anomaly,
 * lucid_set_grad_enabled, lucid_set_error_mode and lucid_set_num_threads. A backend is told of a
 * change at once, and of all switches when it is loaded later. The CPU's results are exact and
 * repeatable whatever the first three say. All functions are thread-safe; an operation that another
 * thread has already begun keeps the setting it began with. */
#ifndef LUCID_SWITCHES_H
#define LUCID_SWITCHES_H

#include "api.h"

LUCID_BEGIN_DECLS

/* The switches by number, as a backend's set_switch gets them (backend.h). */
typedef enum lucid_switch {
    LUCID_SWITCH_TF32,
    LUCID_SWITCH_DETERMINISTIC,
    LUCID_SWITCH_BENCHMARK,
    LUCID_SWITCH_COUNT
} lucid_switch;

/* float32 matrix products and convolutions may round their inputs to TF32 (10 bits after the
 * binary point instead of 23), which tensor cores multiply several times faster. Sums stay
 * float32. */
LUCID_API bool lucid_set_tf32(bool enabled);
LUCID_API bool lucid_get_tf32(void);

/* Only algorithms that give the same bits in every run. An operator that has no such form (its flag
 * LUCID_OP_NONDETERMINISTIC, op.h) is then refused: LUCID_ERR_STATE, naming it. All operators
 * of lucid have one. */
LUCID_API bool lucid_set_deterministic(bool enabled);
LUCID_API bool lucid_get_deterministic(void);

/* On the CPU, float32 convolutions of 3x3 with stride 1 go through Winograd's transform where the
 * shape makes it faster. Its error is a small multiple of direct summation's: about 9e-7 of the
 * outputs' root mean square with 64 channels, against 4e-7 (the points 0, +-sqrt(1/2), +-sqrt(2)
 * and infinity are the best that cost no more). A NaN or an infinity in the input reaches all 4x4
 * outputs that are computed together, as NaN, where PyTorch's direct engines touch 3x3.
 * LUCID_WINOGRAD=0 in the environment, read when the first convolution runs, turns the transform
 * off. */

/* The first convolution of each shape measures all algorithms that can compute it, and later ones
 * of this shape take the fastest. This pays if sizes repeat. */
LUCID_API bool lucid_set_benchmark(bool enabled);
LUCID_API bool lucid_get_benchmark(void);

/* The CPU's 3x3 convolutions of stride 1 may use Winograd's transform where it is faster: fewer
 * multiplications, and rounding that is a few times that of the direct sum. On at first, unless the
 * environment says LUCID_WINOGRAD=0. */
LUCID_API bool lucid_set_winograd(bool enabled);
LUCID_API bool lucid_get_winograd(void);

LUCID_END_DECLS
#endif
