/* subset.h: parts of data sets, and several in one.
 *
 *     lucid_dataset *train, *valid;
 *     data_random_split(data_CIFAR10(dir, LUCID_TRAIN), (0.9, 0.1), (&train, &valid), .seed = 1);
 *
 * Every function takes its data sets over: they are freed with the last part that needs them, or at
 * once after an error. */
#ifndef LUCID_DATA_SUBSET_H
#define LUCID_DATA_SUBSET_H

#include "../core/api.h"
#include "../core/options.h"
#include "dataset.h"

LUCID_BEGIN_DECLS

/* Samples indices[0], indices[1], ... of a data set: `n` numbers in [0, size), which are copied.
 * One may come several times. NULL after an error. */
LUCID_API lucid_dataset *lucid_data_subset(lucid_dataset *dataset, const int64_t *indices,
                                           int64_t n);

/* The samples of n data sets, one set after the other. Their samples must be alike (a size may be
 * -1 in all of them). Class names are those of the set
 * that has most of them. n >= 1. NULL after an error. */
LUCID_API lucid_dataset *lucid_data_concat(lucid_dataset *const *datasets, int64_t n);

typedef struct lucid_random_split_options {
    LUCID_OPTIONS_SIZE(lucid_random_split_options);
    uint64_t seed LUCID_DEFAULT(0); /* decides which sample comes to which part */
    /* Every part has the classes in the same proportions, within two samples: for data sets that
     * know their classes. */
    bool stratify LUCID_DEFAULT(false);
} lucid_random_split_options;
LUCID_DEFAULTS(lucid_random_split, .seed = 0, .stratify = false);

/* Splits a data set by chance into n parts, out[0] to out[n - 1]. The numbers of `parts` are
 * lengths whose sum is the data set's size, or fractions whose sum is 1 (within 1e-9): a part gets
 * floor(fraction * size), and the samples that remain go round, one to each part from the first on,
 * so that 0.33, 0.33, 0.34 of 10 are 4, 3, 3. Each part is a data set of its own, to be freed or
 * given to a loader. options may be NULL. False after an error, and then all of out are NULL. */
LUCID_API bool lucid_data_random_split(lucid_dataset *dataset, const double *parts, int64_t n,
                                       lucid_dataset **out,
                                       const lucid_random_split_options *options);

/* data_Subset(dataset, indices, n);  data_Concat(a, b, c) */
#define data_Subset(dataset, indices, n) LUCID_STRICT(lucid_data_subset(dataset, indices, n))
#define data_Concat(...)                 LUC_CONCAT(LUC_NEW_NAME, __VA_ARGS__)
#define LUC_CONCAT(list, ...)                                             \
    __extension__({                                                       \
        lucid_dataset *const list[] = {__VA_ARGS__};                      \
        lucid_data_concat(list, (int64_t)(sizeof list / sizeof list[0])); \
    })
/* data_random_split(dataset, (0.9, 0.1), (&train, &valid), .seed = 1, .stratify = true): as many
 * parts as addresses, else it does not compile. */
#define data_random_split(...) \
    LUC_RANDOM_SPLIT(LUC_NEW_NAME, __VA_ARGS__, LUC_SIZE(lucid_random_split))
#define LUC_RANDOM_SPLIT(o, dataset, parts, outs, ...)                                          \
    LUC_CALL(o, lucid_random_split, (o, __VA_ARGS__), __extension__({                           \
                 const double luc_parts[] = {LUC_UNWRAP parts};                                 \
                 lucid_dataset **const luc_to[] = {LUC_UNWRAP outs};                            \
                 enum { luc_n = sizeof luc_parts / sizeof luc_parts[0] };                       \
                 typedef char luc_a_part_for_each_address                                       \
                     [(size_t)luc_n == sizeof luc_to / sizeof luc_to[0] ? 1 : -1]               \
                     __attribute__((unused));                                                   \
                 lucid_dataset *luc_out[luc_n];                                                 \
                 bool luc_ok = lucid_data_random_split(dataset, luc_parts, luc_n, luc_out, &o); \
                 for (int luc_i = 0; luc_i < luc_n; luc_i++) *luc_to[luc_i] = luc_out[luc_i];   \
                 luc_ok;                                                                        \
             }))

LUCID_END_DECLS
#endif
