#include "lucid/data/fake.h"

#include "lucid/data/dataset_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

typedef struct fake {
    lucid_dataset base;
    lucid_fake_data_options options;
    size_t bytes;
} fake;

/* The blocks of a seed that belong to sample or class number `index`. */
static uint64_t first_block(int64_t index)
{
    return (uint64_t)index << 24;
}

static int64_t fake_label(const lucid_dataset *dataset, int64_t index)
{
    const fake *f = (const fake *)dataset;
    lucid_generator g = {f->options.seed, first_block(index)};
    return (int64_t)lucid_random_below(&g, (uint64_t)f->options.classes);
}

static void fill(uint8_t *to, size_t bytes, lucid_generator g)
{
    for (size_t i = 0; i < bytes; i += 16) {
        uint32_t words[4];
        lucid_philox(g.seed, g.offset++, words);
        memcpy(to + i, words, bytes - i < 16 ? bytes - i : 16);
    }
}

static bool fake_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                     void *y)
{
    const fake *f = (const fake *)dataset;
    const int64_t label = fake_label(dataset, index);
    uint8_t *pixels = x;
    (void)rng;
    *(int64_t *)y = label;
    fill(pixels, f->bytes, (lucid_generator){f->options.seed, first_block(index) + (1 << 20)});
    if (!(f->options.signal > 0)) return true;
    /* A brightness of its own for the upper and the lower half of each channel: that outlives crops
     * and flips. */
    const lucid_shape *shape = &dataset->x.shape;
    const int64_t width = shape->ndim > 0 ? shape->dims[shape->ndim - 1] : 1;
    const int64_t height = shape->ndim > 1 ? shape->dims[shape->ndim - 2] : 1;
    const int own = (int)(256 * f->options.signal);
    for (int64_t row = 0; row * width < (int64_t)f->bytes; row++) {
        uint32_t words[4];
        lucid_philox(~f->options.seed, first_block(label) + (uint64_t)(row / height), words);
        const int value = words[row % height * 2 / height] & 255;
        for (int64_t k = row * width; k < (row + 1) * width; k++)
            pixels[k] = (uint8_t)((pixels[k] * (256 - own) + value * own) >> 8);
    }
    return true;
}

static void fake_free(lucid_dataset *dataset)
{
    luc_dataset_delete(dataset);
}

lucid_dataset *lucid_data_fake(int64_t size, lucid_shape shape,
                               const lucid_fake_data_options *options)
{
    static const char op[] = "data_FakeData";
    options = LUC_OPTIONS(lucid_fake_data, options, op);
    if (!options) return NULL;
    if (size < 0 || size > (int64_t)1 << 38)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "size: expected 0 to 2^38, got %lld",
                              (long long)size);
    if (!luc_check_shape(&shape, LUCID_U8, op)) return NULL;
    int64_t bytes = lucid_shape_numel(&shape);
    if (shape.ndim >= LUCID_MAX_DIMS || bytes > 1 << 27)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "shape: expected fewer than %d dimensions and at most 2^27 elements, "
                              "got %s",
                              LUCID_MAX_DIMS, luc_dims_text(shape.ndim, shape.dims).s);
    if (options->classes < 1)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "classes: expected >= 1, got %lld",
                              (long long)options->classes);
    if (!(options->signal >= 0 && options->signal <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "signal: expected 0 to 1, got %g",
                              options->signal);
    fake *f = luc_dataset_new(sizeof *f, op);
    if (!f) return NULL;
    f->options = *options;
    f->bytes = (size_t)bytes;
    f->base = (lucid_dataset){.name = op,
                              .size = size,
                              .x = {LUCID_U8, shape},
                              .y = {LUCID_I64, {0}},
                              .get = fake_get,
                              .label = fake_label,
                              .n_classes = options->classes,
                              .free = fake_free};
    return &f->base;
}
