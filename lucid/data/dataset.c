#include "lucid/data/dataset.h"

#include "lucid/data/dataset_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

static const char live_name[] = "data set"; /* for the report of objects that were never freed */

void *luc_dataset_new(size_t size, const char *op)
{
    void *d = luc_calloc(1, size, op);
    if (d) luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    return d;
}

void luc_dataset_delete(void *dataset)
{
    luc_free(dataset);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

bool luc_dataset_check(const lucid_dataset *dataset, const char *argument, const char *op)
{
    if (!dataset) return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: got NULL", argument);
    if (dataset->size < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected a size >= 0, got %lld", argument,
                         (long long)dataset->size);
    return dataset->get || dataset->load ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "%s: its .get is NULL", argument);
}

size_t luc_sample_bytes(const lucid_sample_spec *spec)
{
    return (size_t)lucid_shape_numel(&spec->shape) * lucid_dtype_size(spec->dtype);
}

bool luc_dataset_get(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *x, void *y)
{
    if (d->get) return d->get(d, index, rng, x, y);
    const lucid_tensor *t = d->load(d, index, rng, y);
    if (!t) return false;
    lucid_shape shape = lucid_tensor_shape(t);
    if (lucid_shape_equal(&shape, &d->x.shape) && lucid_tensor_dtype(t) == d->x.dtype)
        return lucid_copy_to(t, x, luc_sample_bytes(&d->x));
    return luc_raise(LUCID_ERR_STATE, d->name ? d->name : "data set",
                     "sample %lld: expected %s %s, as the data set says, got %s %s",
                     (long long)index, lucid_dtype_name(d->x.dtype),
                     luc_dims_text(d->x.shape.ndim, d->x.shape.dims).s,
                     lucid_dtype_name(lucid_tensor_dtype(t)), luc_shape_text(t).s);
}

lucid_tensor *luc_dataset_load(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *y)
{
    if (d->load) return d->load(d, index, rng, y);
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = d->x.dtype;
    lucid_tensor *t = lucid_empty_opt(d->x.shape, &options);
    return t && d->get(d, index, rng, lucid_mutable_data(t), y) ? t : NULL;
}

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

static int64_t tensors_label(const lucid_dataset *dataset, int64_t index)
{
    return ((const int64_t *)((const tensors_dataset *)dataset)->y_data)[index];
}

static void tensors_free(lucid_dataset *dataset)
{
    tensors_dataset *d = (tensors_dataset *)dataset;
    lucid_release(d->x);
    lucid_release(d->y);
    luc_dataset_delete(d);
}

/* The tensor itself, or a contiguous copy of it, retained. */
static lucid_tensor *retain_contiguous(lucid_tensor *t)
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
    tensors_dataset *d = luc_dataset_new(sizeof *d, "data_Tensors");
    if (!d) return NULL;
    d->base = (lucid_dataset){
        .name = "data_Tensors", .size = lucid_size(x, 0), .get = tensors_get, .free = tensors_free};
    d->base.x = spec_of(x, &d->x_size);
    d->base.y = spec_of(y, &d->y_size);
    d->x = retain_contiguous(x);
    d->y = d->x ? retain_contiguous(y) : NULL;
    if (!d->y) {
        tensors_free(&d->base);
        return NULL;
    }
    if (d->base.y.shape.ndim == 0 && d->base.y.dtype == LUCID_I64) d->base.label = tensors_label;
    d->x_data = lucid_data(d->x);
    d->y_data = lucid_data(d->y);
    return &d->base;
}
