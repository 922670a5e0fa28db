/* mnist.h: MNIST, Fashion-MNIST and KMNIST: 60,000 + 10,000 gray images of 28 x 28, in 10 classes,
 * and other data in the same format. */
#ifndef LUCID_DATA_MNIST_H
#define LUCID_DATA_MNIST_H

#include "../core/api.h"
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
    /* The pixels as they are: uint8, for transforms. normalize, mean and std are not used then. */
    bool bytes LUCID_DEFAULT(false);
} lucid_mnist_options;
LUCID_DEFAULTS(lucid_mnist, .normalize = true, .mean = 0.1307, .std = 0.3081, .classes = 10,
               .verify = true, .bytes = false);

/* Reads images and labels of one split from the folder `dir`: train-images-idx3-ubyte and
 * train-labels-idx1-ubyte, or t10k-..., as they are or with .gz. A sample of x is float32 [1,28,28]
 * (uint8 with .bytes), of y int64. Other data in the same format (any image size) can be read with
 * .verify = false. The images stay one byte a pixel in memory. options may be NULL: the defaults.
 * NULL after an error: LUCID_ERR_IO where a file is missing, LUCID_ERR_FORMAT where one is damaged,
 * altered or does not fit the other. */
LUCID_API lucid_dataset *lucid_data_mnist(const char *dir, lucid_split split,
                                          const lucid_mnist_options *options);

typedef struct lucid_fashion_mnist_options {
    LUCID_OPTIONS_SIZE(lucid_fashion_mnist_options);
    bool normalize LUCID_DEFAULT(true);
    double mean LUCID_DEFAULT(0.2860), std LUCID_DEFAULT(0.3530);
    bool verify LUCID_DEFAULT(true); /* check that the content is Fashion-MNIST's (SHA-256) */
    bool bytes LUCID_DEFAULT(false);
} lucid_fashion_mnist_options;
LUCID_DEFAULTS(lucid_fashion_mnist, .normalize = true, .mean = 0.2860, .std = 0.3530,
               .verify = true, .bytes = false);

/* There is no check of the content. */
typedef struct lucid_kmnist_options {
    LUCID_OPTIONS_SIZE(lucid_kmnist_options);
    bool normalize LUCID_DEFAULT(true);
    double mean LUCID_DEFAULT(0.1918), std LUCID_DEFAULT(0.3483);
    bool bytes LUCID_DEFAULT(false);
} lucid_kmnist_options;
LUCID_DEFAULTS(lucid_kmnist, .normalize = true, .mean = 0.1918, .std = 0.3483, .bytes = false);

/* The same for Fashion-MNIST and for KMNIST, whose files have MNIST's names; the class names are
 * those of the clothes and of the letters. */
LUCID_API lucid_dataset *lucid_data_fashion_mnist(const char *dir, lucid_split split,
                                                  const lucid_fashion_mnist_options *options);
LUCID_API lucid_dataset *lucid_data_kmnist(const char *dir, lucid_split split,
                                           const lucid_kmnist_options *options);

/* data_MNIST(dir, LUCID_TRAIN, .normalize = false);  data_FashionMNIST(dir, LUCID_TEST) */
#define data_FashionMNIST(...) \
    LUCID_CALL2(lucid_data_fashion_mnist, lucid_fashion_mnist, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define data_KMNIST(...) \
    LUCID_CALL2(lucid_data_kmnist, lucid_kmnist, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define data_MNIST(...) \
    LUCID_CALL2(lucid_data_mnist, lucid_mnist, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
