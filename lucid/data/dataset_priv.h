/* dataset_priv.h: data sets as the library's own files see them. */
#ifndef LUCID_DATA_DATASET_PRIV_H
#define LUCID_DATA_DATASET_PRIV_H

#include "lucid/data/dataset.h"

/* A zeroed struct of that size, which begins with a data set, and which counts as an object that is
 * alive until luc_dataset_delete. NULL after an error. */
void *luc_dataset_new(size_t size, const char *op);
void luc_dataset_delete(void *dataset);

/* Can samples be taken from it? False after an error, which names the argument. */
bool luc_dataset_check(const lucid_dataset *dataset, const char *argument, const char *op);

/* One sample, whichever of get and load the data set has. Both leave tensors in the current
 * scope. */
bool luc_dataset_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                     void *y);
lucid_tensor *luc_dataset_load(const lucid_dataset *dataset, int64_t index, lucid_generator *rng,
                               void *y);

/* The bytes of a sample of fixed sizes. */
size_t luc_sample_bytes(const lucid_sample_spec *spec);

#endif
