/* mnist.h: MNIST and Fashion-MNIST: 60,000 + 10,000 gray images of 28 x 28, in 10 classes. */
#ifndef LUCID_DATA_MNIST_H
#define LUCID_DATA_MNIST_H

#include "../api.h"
#include "dataset.h"

LUCID_BEGIN_DECLS

typedef enum lucid_split { LUCID_TRAIN, LUCID_TEST } lucid_split;

typedef struct lucid_mnist_options {
    LUCID_OPTIONS_SIZE(lucid_mnist_options);
    bool normalize LUCID_DEFAULT(true); /* (pixel / 255 - mean) / std; false: pixel / 255 */
    /* Of MNIST; Fashion-MNIST's own are 0.2860 and 0.3530. */
    double mean LUCID_DEFAULT(0.1307), std LUCID_DEFAULT(0.3081);
    int64_t classes LUCID_DEFAULT(10); /* labels must be in [0, classes) */
    /* Check that the content is MNIST's or Fashion-MNIST's (SHA-256). */
    bool verify LUCID_DEFAULT(true);
} lucid_mnist_options;
LUCID_DEFAULTS(lucid_mnist, .normalize = true, .mean = 0.1307, .std = 0.3081, .classes = 10,
               .verify = true);

/* Reads images and labels of one split from the folder `dir`:
 * train-images-idx3-ubyte and train-labels-idx1-ubyte, or t10k-..., as they are or with .gz.
 * A sample of x is float32 [1,28,28], of y int64. Other data in the same format (any image size)
 * can be read with .verify = false. The images stay one byte a pixel in memory.
 * options may be NULL: the defaults. NULL after an error: LUCID_ERR_IO where a file is missing,
 * LUCID_ERR_FORMAT where one is damaged, altered or does not fit the other. */
LUCID_API lucid_dataset *lucid_data_mnist(const char *dir, lucid_split split,
                                          const lucid_mnist_options *options);

/* data_MNIST(dir, LUCID_TRAIN, .normalize = false) */
#define data_MNIST(...) \
    LUCID_CALL2(lucid_data_mnist, lucid_mnist, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
