/* cifar.h: CIFAR-10 and CIFAR-100: 50,000 + 10,000 colour images of 32 x 32, in the binary form.
 *
 *     lucid_dataset *train = data_CIFAR10("cifar-10-batches-bin", LUCID_TRAIN); */
#ifndef LUCID_DATA_CIFAR_H
#define LUCID_DATA_CIFAR_H

#include "../core/api.h"
#include "../core/options.h"
#include "dataset.h"
#include "mnist.h"

LUCID_BEGIN_DECLS

typedef struct lucid_cifar10_options {
    LUCID_OPTIONS_SIZE(lucid_cifar10_options);
    /* Check that there are 50,000 or 10,000 images. */
    bool verify LUCID_DEFAULT(true);
    /* The SHA-256 that the content must have, file after file, uncompressed, in hexadecimal; NULL:
     * not checked. Damage is found at once. */
    const char *sha256 LUCID_DEFAULT(NULL);
} lucid_cifar10_options;
LUCID_DEFAULTS(lucid_cifar10, .verify = true, .sha256 = NULL);

typedef struct lucid_cifar100_options {
    LUCID_OPTIONS_SIZE(lucid_cifar100_options);
    bool verify LUCID_DEFAULT(true);
    const char *sha256 LUCID_DEFAULT(NULL);
    bool coarse LUCID_DEFAULT(false); /* the 20 groups of classes, not the 100 classes */
} lucid_cifar100_options;
LUCID_DEFAULTS(lucid_cifar100, .verify = true, .sha256 = NULL, .coarse = false);

/* Reads one split from the folder `dir`: data_batch_1.bin to data_batch_5.bin or test_batch.bin
 * (CIFAR-10), train.bin or test.bin (CIFAR-100), as they are or with .gz. Where `dir` is a file,
 * that one is read, with any number of images. A sample of x is uint8 [3,32,32], of y int64:
 * transforms make the rest. The images stay in memory, 3,072 bytes each. options may be NULL: the
 * defaults. NULL after an error: LUCID_ERR_IO where a file is missing, LUCID_ERR_FORMAT where one
 * does not hold whole images, or a label is out of range, or what .verify and .sha256 ask for is
 * not so. */
LUCID_API lucid_dataset *lucid_data_cifar10(const char *dir, lucid_split split,
                                            const lucid_cifar10_options *options);
LUCID_API lucid_dataset *lucid_data_cifar100(const char *dir, lucid_split split,
                                             const lucid_cifar100_options *options);

/* data_CIFAR10(dir, LUCID_TRAIN);  data_CIFAR100(dir, LUCID_TEST, .coarse = true) */
#define data_CIFAR10(...) \
    LUCID_CALL2(lucid_data_cifar10, lucid_cifar10, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define data_CIFAR100(...) \
    LUCID_CALL2(lucid_data_cifar100, lucid_cifar100, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
