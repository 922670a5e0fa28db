/* fake.h: random images, for tests and for programs that are tried without data. */
#ifndef LUCID_DATA_FAKE_H
#define LUCID_DATA_FAKE_H

#include "../core/api.h"
#include "../core/options.h"
#include "dataset.h"
#include "../core/shape.h"

LUCID_BEGIN_DECLS

typedef struct lucid_fake_data_options {
    LUCID_OPTIONS_SIZE(lucid_fake_data_options);
    int64_t classes LUCID_DEFAULT(10); /* >= 1 */
    uint64_t seed LUCID_DEFAULT(0);
    /* 0: noise that says nothing of the class; up to 1: the part of a picture that is its class's
     * own, so that a network can learn to tell them apart. */
    double signal LUCID_DEFAULT(0);
} lucid_fake_data_options;
LUCID_DEFAULTS(lucid_fake_data, .classes = 10, .seed = 0, .signal = 0);

/* `size` images of uint8 with the given sizes, as (3, 32, 32), and an int64 class each. They depend
 * on seed and index alone, so every epoch has the same. options may be NULL. NULL after an
 * error. */
LUCID_API lucid_dataset *lucid_data_fake(int64_t size, lucid_shape shape,
                                         const lucid_fake_data_options *options);

/* data_FakeData(1000, (3, 32, 32), .classes = 5) */
#define data_FakeData(...) \
    LUCID_CALL2(lucid_data_fake, lucid_fake_data, LUCID_ASIS, LUCID_SHAPE_OF, __VA_ARGS__)

LUCID_END_DECLS
#endif
