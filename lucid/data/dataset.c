#include "lucid/data/dataset.h"

#include "lucid/error_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/tensor_priv.h"

#include <string.h>

static const char live_name[] = "data set"; /* for the report of objects that were never freed */

void lucid_dataset_free(lucid_dataset *dataset)
{
    if (dataset && dataset->free) dataset->free(dataset);
}

typedef struct tensors_dataset {
    lucid_dataset base;
    lucid_tensor *x, *y;
    const char *x_data, *y_data;
    size_t x_size, y_size; /* the bytes of a sample */
} tensors_dataset;

static bool tensors_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                        void *y)
{
    const tensors_dataset *d = (const tensors_dataset *)dataset;
    (void)rng;
    if (d->x_size) memcpy(x, d->x_data + (size_t)index * d->x_size, d->x_size);
    if (d->y_size) memcpy(y, d->y_data + (size_t)index * d->y_size, d->y_size);
    return true;
}

static void tensors_free(lucid_dataset *dataset)
{
    tensors_dataset *d = (tensors_dataset *)dataset;
    lucid_release(d->x);
    lucid_release(d->y);
    luc_free(d);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

/* The tensor itself, or a contiguous copy of it, retained. */
static lucid_tensor *keep(lucid_tensor *t)
{
    if (lucid_is_contiguous(t, LUCID_CONTIGUOUS)) return lucid_retain(t);
    size_t scope = lucid_scope_begin();
    if (!scope) return NULL;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = lucid_tensor_dtype(t);
    lucid_tensor *copy = lucid_empty_opt(lucid_tensor_shape(t), &options);
    if (copy && luc_copy_data(copy, t, "data_Tensors"))
        lucid_retain(copy);
    else
        copy = NULL;
    lucid_scope_end(scope);
    return copy;
}

static lucid_sample_spec spec_of(const lucid_tensor *t, size_t *bytes)
{
    lucid_shape whole = lucid_tensor_shape(t);
    lucid_sample_spec spec = {.dtype = lucid_tensor_dtype(t), .shape = {.ndim = whole.ndim - 1}};
    int64_t count = 1;
    for (int d = 1; d < whole.ndim; d++) count *= spec.shape.dims[d - 1] = whole.dims[d];
    *bytes = (size_t)count * lucid_dtype_size(spec.dtype);
    return spec;
}

static bool check_tensor(const lucid_tensor *t, const char *argument)
{
    if (!t) return luc_raise(LUCID_ERR_ARGUMENT, "data_Tensors", "%s: got NULL", argument);
    if (lucid_ndim(t) < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, "data_Tensors",
                         "%s: expected at least one dimension, the samples; got a scalar",
                         argument);
    if (lucid_tensor_device(t).type != LUCID_CPU)
        return luc_raise(LUCID_ERR_ARGUMENT, "data_Tensors",
                         "%s: expected a tensor on the CPU (the loader moves batches to its "
                         "device), got one on %s",
                         argument, lucid_device_name(lucid_tensor_device(t)));
    return true;
}

lucid_dataset *lucid_data_tensors(lucid_tensor *x, lucid_tensor *y)
{
    if (!check_tensor(x, "x") || !check_tensor(y, "y")) return NULL;
    if (lucid_size(x, 0) != lucid_size(y, 0))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "data_Tensors",
                              "y: expected as many samples as x, got x %s, y %s",
                              luc_shape_text(x).s, luc_shape_text(y).s);
    tensors_dataset *d = luc_calloc(1, sizeof *d, "data_Tensors");
    if (!d) return NULL;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    d->base = (lucid_dataset){
        .name = "data_Tensors", .size = lucid_size(x, 0), .get = tensors_get, .free = tensors_free};
    d->base.x = spec_of(x, &d->x_size);
    d->base.y = spec_of(y, &d->y_size);
    d->x = keep(x);
    d->y = d->x ? keep(y) : NULL;
    if (!d->y) {
        tensors_free(&d->base);
        return NULL;
    }
    d->x_data = lucid_data(d->x);
    d->y_data = lucid_data(d->y);
    return &d->base;
}
