/* transform.h: what happens to an image between its data set and a batch.
 *
 *     lucid_dataset *train = data_Map(data_CIFAR10(dir, LUCID_TRAIN),
 *         data_Compose(data_RandomCrop(32, .padding = 4), data_RandomHorizontalFlip(),
 *                      data_ToFloat(), data_Normalize((.491, .482, .447), (.247, .243, .262))));
 *     lucid_loader *loader = data_Loader(train, .batch_size = 128, .shuffle = true, .workers = 2);
 *
 * A transform takes an image [C,H,W], uint8 or float32, on the CPU, and gives one. It runs on the
 * loader's threads. What it draws comes from the generator of the sample, which depends on the
 * loader's seed, the epoch and the sample alone (with a `.sampler`, also on the sample's place in
 * the epoch, as it may come twice): any number of workers gives the same images.
 * Names, defaults and arithmetic are those of torchvision.transforms.v2.
 *
 * This file has what all transforms share, and those of values; geometry.h has crops, flips and
 * sizes, colour.h colours, blur and erasing, mix.h Mixup and CutMix.
 *
 * A transform of your own is a struct that begins with a lucid_transform:
 *
 *     static lucid_tensor *invert(const lucid_transform *t, lucid_tensor *image,
 *                                 lucid_generator *rng) { ... }
 *     lucid_transform own = {.name = "invert", .apply = invert};
 *
 * Every function that makes a transform returns NULL after an error. A transform belongs to the
 * Compose or the data set that it is given to: to one only. Transforms may be applied by several
 * threads at once. */
#ifndef LUCID_DATA_TRANSFORM_H
#define LUCID_DATA_TRANSFORM_H

#include "../core/api.h"
#include "../core/options.h"
#include "../core/random.h"
#include "../core/tensor.h"
#include "dataset.h"

LUCID_BEGIN_DECLS

typedef struct lucid_transform lucid_transform;
struct lucid_transform {
    const char *name; /* for messages; must live as long as the transform */
    /* The result, in the current scope; it may be the image itself, which must not be changed. NULL
     * after an error (raise it with lucid_raise). */
    lucid_tensor *(*apply)(const lucid_transform *transform, lucid_tensor *image,
                           lucid_generator *rng);
    /* What comes out where `in` goes in; a size of -1 differs from image to image. False after an
     * error. NULL: the same as what goes in. */
    bool (*infer)(const lucid_transform *transform, const lucid_sample_spec *in,
                  lucid_sample_spec *out);
    /* Frees the transform; NULL where there is nothing to free. */
    void (*free)(lucid_transform *transform);
};

/* Two numbers, low <= high: lucid_range(0.08, 1). */
typedef struct lucid_range {
    double low, high;
} lucid_range;
#ifdef __cplusplus
#define lucid_range(low, high) (lucid_range{low, high})
#else
#define lucid_range(low, high) ((lucid_range){low, high})
#endif

/* Applies a transform to one image. `rng` may be NULL for a transform that draws nothing; one that
 * draws takes the default generator then. The result belongs to the current scope. */
LUCID_API lucid_tensor *lucid_transform_apply(const lucid_transform *transform, lucid_tensor *image,
                                              lucid_generator *rng);
/* Frees a transform that nothing owns. NULL does nothing. */
LUCID_API void lucid_transform_free(lucid_transform *transform);

/* The samples of a data set, each with its x through the transform. Takes both over, also after an
 * error. NULL after an error: also where the transform does not fit the samples. */
LUCID_API lucid_dataset *lucid_data_map(lucid_dataset *dataset, lucid_transform *transform);
#define data_Map(dataset, transform) LUCID_STRICT(lucid_data_map(dataset, transform))

/* n transforms, one after the other. Takes all over, also after an error. n >= 0. */
LUCID_API lucid_transform *lucid_data_compose(lucid_transform *const *transforms, int64_t n);
/* data_Compose(a, b, c) */
#define data_Compose(...) LUC_COMPOSE(LUC_NEW_NAME, __VA_ARGS__)
#define LUC_COMPOSE(list, ...)                                             \
    __extension__({                                                        \
        lucid_transform *const list[] = {__VA_ARGS__};                     \
        lucid_data_compose(list, (int64_t)(sizeof list / sizeof list[0])); \
    })

/* The transform with probability p, else the image as it is. Takes it over. The transform must not
 * change sizes or dtype. */
typedef struct lucid_random_apply_options {
    LUCID_OPTIONS_SIZE(lucid_random_apply_options);
    double p LUCID_DEFAULT(0.5);
} lucid_random_apply_options;
LUCID_DEFAULTS(lucid_random_apply, .p = 0.5);
LUCID_API lucid_transform *lucid_data_random_apply(lucid_transform *transform,
                                                   const lucid_random_apply_options *options);
#define data_RandomApply(...) \
    LUCID_CALL1(lucid_data_random_apply, lucid_random_apply, LUCID_ASIS, __VA_ARGS__)

/* A function: fn(image, rng, user) gives a tensor of the same sizes and dtype, in the current
 * scope, or NULL after an error. Several threads may call it at once. */
typedef lucid_tensor *(*lucid_transform_fn)(lucid_tensor *image, lucid_generator *rng, void *user);
LUCID_API lucid_transform *lucid_data_lambda(lucid_transform_fn fn, void *user);
#define data_Lambda(fn, user) LUCID_STRICT(lucid_data_lambda(fn, user))

/* uint8 0 to 255 to float32 0 to 1; float32 stays as it is. */
LUCID_API lucid_transform *lucid_data_to_float(void);
#define data_ToFloat() lucid_data_to_float()

/* (x - mean) / std of each channel of a float32 image: n numbers each, one for every channel, or
 * one for all. They are copied; std must be finite and not 0. */
LUCID_API lucid_transform *lucid_data_normalize(const double *mean, const double *std, int64_t n);
/* data_Normalize((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)): as many of both, else it does not compile. */
#define data_Normalize(mean, std)                                                                 \
    __extension__({                                                                               \
        const double luc_mean[] = {LUC_UNWRAP mean}, luc_std[] = {LUC_UNWRAP std};                \
        typedef char luc_a_std_for_each_mean[sizeof luc_mean == sizeof luc_std ? 1 : -1]          \
            __attribute__((unused));                                                              \
        lucid_data_normalize(luc_mean, luc_std, (int64_t)(sizeof luc_mean / sizeof luc_mean[0])); \
    })

LUCID_END_DECLS
#endif
