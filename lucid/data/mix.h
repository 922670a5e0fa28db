/* mix.h: Mixup and CutMix: batches whose images are mixed of two, and whose targets are
 * probabilities.
 *
 *     while (lucid_next(loader, &b)) {
 *         LUCID_SCOPE;
 *         data_Mixup(&b, 10, .alpha = 0.2);        // b.y is float32 [n,10] now
 *         lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
 *
 * Each image is mixed with the one before it in the batch, the first with the last. What is drawn
 * depends on the seed and on the batch's epoch and number. x and y of the batch become new tensors
 * of the current scope; the loader's stay as they are. */
#ifndef LUCID_DATA_MIX_H
#define LUCID_DATA_MIX_H

#include "../core/api.h"
#include "../core/options.h"
#include "loader.h"

LUCID_BEGIN_DECLS

typedef struct lucid_mix_options {
    LUCID_OPTIONS_SIZE(lucid_mix_options);
    double alpha
        LUCID_DEFAULT(1); /* >= 1e-300; the parts are drawn from the distribution Beta(a, a) */
    uint64_t seed LUCID_DEFAULT(0);
} lucid_mix_options;
LUCID_DEFAULTS(lucid_mix, .alpha = 1, .seed = 0);

/* x [n,C,H,W] float32 and y [n] int64 in [0, classes), both on the CPU: x becomes part * x + (1 -
 * part) * other, y float32 [n,classes] the same for the classes. options may be NULL. False after
 * an error, and then the batch is as it was. */
LUCID_API bool lucid_data_mixup(lucid_batch *batch, int64_t classes,
                                const lucid_mix_options *options);
/* The same with a rectangle of the other image put into each; the targets have the parts of the
 * area. */
LUCID_API bool lucid_data_cutmix(lucid_batch *batch, int64_t classes,
                                 const lucid_mix_options *options);

/* data_Mixup(&b, 10, .alpha = 0.2);  data_CutMix(&b, 10) */
#define data_Mixup(...) \
    LUCID_CALL2(lucid_data_mixup, lucid_mix, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define data_CutMix(...) \
    LUCID_CALL2(lucid_data_cutmix, lucid_mix, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
