/* dataset.h: where samples come from: a size and a function that gives sample i.
 *
 * A data set of your own is a struct that begins with a lucid_dataset:
 *
 *     typedef struct { lucid_dataset base; double phase; } Sines;
 *
 *     static bool sines_get(const lucid_dataset *d, int64_t i, lucid_generator *rng, void *x,
 *                           void *y)
 *     {
 *         const Sines *s = (const Sines *)d;
 *         *(float *)x = (float)i;                          // a sample of x: sizes (), float32
 *         *(float *)y = (float)sin((double)i + s->phase);
 *         return true;
 *     }
 *
 *     Sines sines = {.phase = 0.1, .base = {.name = "sines", .size = 1000, .get = sines_get,
 *                    .x = {.dtype = LUCID_F32}, .y = {.dtype = LUCID_F32}}};
 *     lucid_loader *loader = data_Loader(&sines.base, .batch_size = 10);
 */
#ifndef LUCID_DATA_DATASET_H
#define LUCID_DATA_DATASET_H

#include "../core/api.h"
#include "../core/random.h"
#include "../core/tensor.h"

LUCID_BEGIN_DECLS

/* What one sample is. All samples of a data set are alike: a batch of n has sizes [n, shape...]. A
 * size of -1 stands for one that differs from sample to sample: a loader refuses it, and data_Map
 * with a transform that resizes or crops makes it one number. */
typedef struct lucid_sample_spec {
    lucid_dtype dtype;
    lucid_shape shape; /* zeroed: a single number */
} lucid_sample_spec;

typedef struct lucid_dataset lucid_dataset;
struct lucid_dataset {
    const char *name; /* for messages; must live as long as the data set */
    int64_t size;     /* how many samples, >= 0 */
    lucid_sample_spec x, y;
    /* Writes sample `index`, 0 <= index < size: x and y point to the elements of one sample,
     * row-major. A loader with workers calls it from several threads at once. `rng` is for
     * augmentation: its numbers depend on the loader's seed, the epoch and the index alone, not on
     * workers or order. Tensors that it makes end with the call. False after an error (raise it
     * with lucid_raise); an error that was raised counts as false. */
    bool (*get)(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                void *y);
    /* Frees the data set; NULL where there is nothing to free. */
    void (*free)(lucid_dataset *dataset);

    /* What follows may stay NULL. */

    /* The same where samples of x have different sizes: gives x as a CPU tensor in the current
     * scope and writes y. A data set needs one of get and load. NULL after an error. */
    lucid_tensor *(*load)(const lucid_dataset *dataset, int64_t index, lucid_generator *rng,
                          void *y);
    /* The class of sample `index`, >= 0, without making its x; -1 after an error. For splits by
     * class and for weights. */
    int64_t (*label)(const lucid_dataset *dataset, int64_t index);
    /* The names of the classes: n_classes of them; they live as long as the data set. */
    const char *const *classes;
    int64_t n_classes;
};

/* Frees a data set that no loader owns. NULL does nothing. */
LUCID_API void lucid_dataset_free(lucid_dataset *dataset);

/* Sample i is (x[i], y[i]) of two CPU tensors with equal first sizes, of any dtypes. The data set
 * keeps both (a copy where one is not contiguous). NULL after an error. */
LUCID_API lucid_dataset *lucid_data_tensors(lucid_tensor *x, lucid_tensor *y);

/* data_Tensors(x, y) */
#define data_Tensors(x, y) LUCID_STRICT(lucid_data_tensors(x, y))

LUCID_END_DECLS
#endif
