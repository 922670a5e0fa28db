/* create.c: making tensors. */
#include "lucid/core/attrs.h"
#include "lucid/core/capture_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

/* Converts the options of functions that make integers into those of all others. */
static bool index_options(const lucid_index_options *options, lucid_tensor_options *out,
                          const char *op)
{
    const lucid_index_options *o = LUC_OPTIONS(lucid_index, options, op);
    if (!o) return false;
    *out = *LUC_WITH(lucid_tensor, .dtype = o->dtype, .device = o->device,
                     .memory_format = o->memory_format, .requires_grad = o->requires_grad,
                     .generator = o->generator);
    return true;
}

/* Checks all options and makes an uninitialised tensor. */
static lucid_tensor *make_tensor(lucid_shape shape, const lucid_tensor_options *options,
                                 const char *op)
{
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, op);
    if (!o) return NULL;
    if (!luc_check_shape(&shape, o->dtype, op) || !luc_check_memory_format(o->memory_format, op))
        return NULL;
    if (o->requires_grad && !lucid_dtype_is_floating(o->dtype))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "requires_grad: expected a floating dtype, got %s",
                              lucid_dtype_name(o->dtype));
    lucid_meta meta = {.dtype = o->dtype, .ndim = shape.ndim};
    memcpy(meta.dims, shape.dims, sizeof meta.dims);
    if (o->memory_format == LUCID_CHANNELS_LAST) {
        if (shape.ndim != 4 && shape.ndim != 5)
            return luc_raise_null(
                LUCID_ERR_ARGUMENT, op,
                "memory_format: channels_last: expected 4 or 5 dimensions, got %s",
                luc_dims_text(shape.ndim, shape.dims).s);
        luc_channels_last_strides(meta.ndim, meta.dims, meta.strides);
    } else {
        luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    }
    lucid_tensor *t = luc_tensor_new(&meta, o->device, op);
    if (t) t->requires_grad = o->requires_grad;
    return t;
}

/* The integers that a dtype holds, each exactly: [low, high]. */
static void integer_range(lucid_dtype dtype, double *low, double *high)
{
    static const double highest[LUCID_DTYPE_COUNT] = {[LUCID_F32] = 0x1p24,
                                                      [LUCID_F64] = 0x1p53,
                                                      [LUCID_F16] = 0x1p11,
                                                      [LUCID_BF16] = 0x1p8,
                                                      [LUCID_I64] = 0x1p63 - 1024,
                                                      [LUCID_I32] = 2147483647,
                                                      [LUCID_U8] = 255,
                                                      [LUCID_BOOL] = 1};
    bool is_unsigned = dtype == LUCID_U8 || dtype == LUCID_BOOL;
    *high = highest[dtype];
    *low = is_unsigned ? 0 : dtype == LUCID_I64 ? -0x1p63 : dtype == LUCID_I32 ? -0x1p31 : -*high;
}

/* Returns false, with an error that names the argument, if the dtype cannot hold an integer
 * exactly. */
static bool holds(lucid_dtype dtype, double value, const char *op, const char *argument)
{
    double low, high;
    integer_range(dtype, &low, &high);
    if (value >= low && value <= high) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "%s: expected %.17g to %.17g, which %s holds, got %.17g", argument, low, high,
                     lucid_dtype_name(dtype), value);
}

bool luc_check_value(lucid_dtype dtype, double value, const char *op)
{
    return lucid_dtype_is_floating(dtype) || dtype == LUCID_BOOL ||
           holds(dtype, value, op, "value");
}

/* Runs a kernel without inputs on t. */
static lucid_tensor *generate(lucid_tensor *t, lucid_op_id op, const void *attrs)
{
    if (!t || t->numel == 0) return t;
    const lucid_view *out[] = {&t->view};
    lucid_kernel_args args = {.n_out = 1, .out = out, .attrs = attrs};
    return luc_kernel_run(t->storage->device, op, t->view.dtype, &args) ? t : NULL;
}

lucid_tensor *lucid_empty_opt(lucid_shape shape, const lucid_tensor_options *options)
{
    return make_tensor(shape, options, "empty");
}

static lucid_tensor *full(lucid_shape shape, double value, const lucid_tensor_options *options,
                          const char *op)
{
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, op);
    if (!o) return NULL;
    lucid_scalar_attrs attrs = {value};
    lucid_tensor *t = make_tensor(shape, o, op);
    if (!t || !luc_check_value(o->dtype, value, op)) return NULL;
    return generate(t, LUCID_OP_fill, &attrs);
}

lucid_tensor *lucid_zeros_opt(lucid_shape shape, const lucid_tensor_options *options)
{
    return full(shape, 0, options, "zeros");
}

lucid_tensor *lucid_ones_opt(lucid_shape shape, const lucid_tensor_options *options)
{
    return full(shape, 1, options, "ones");
}

lucid_tensor *lucid_full_opt(lucid_shape shape, double value, const lucid_tensor_options *options)
{
    return full(shape, value, options, "full");
}

static bool is_integer(double x)
{
    return x == trunc(x) && fabs(x) <= 0x1p53;
}

lucid_tensor *lucid_arange_opt(double start, double end, double step,
                               const lucid_index_options *options)
{
    lucid_tensor_options filled, *o = &filled;
    if (!index_options(options, o, "arange")) return NULL;
    if (!isfinite(start) || !isfinite(end) || !isfinite(step) || step == 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "arange",
                              "step: expected finite numbers and a step other than 0, got "
                              "start %g, end %g, step %g",
                              start, end, step);
    if ((step > 0) != (end >= start) && end != start)
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, "arange",
            "step: expected the sign of end - start, got start %g, end %g, step %g", start, end,
            step);
    bool integers = is_integer(start) && is_integer(end) && is_integer(step);
    if (!lucid_dtype_is_floating(o->dtype) && !integers)
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, "arange",
            "dtype: expected a floating one for start %g, end %g, step %g, got %s", start, end,
            step, lucid_dtype_name(o->dtype));
    double n = ceil((end - start) / step);
    if (n > 0x1p62)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "arange", "end: %g elements are too many", n);
    lucid_range_attrs attrs = {.start = start, .step = step, .end = end};
    lucid_shape shape = {1, {(int64_t)n}};
    lucid_tensor *t = make_tensor(shape, o, "arange");
    if (t && n > 0 && !lucid_dtype_is_floating(o->dtype) &&
        (!holds(o->dtype, start, "arange", "start") ||
         !holds(o->dtype, start + (n - 1) * step, "arange", "end")))
        return NULL;
    return generate(t, LUCID_OP_arange, &attrs);
}

lucid_tensor *lucid_linspace_opt(double start, double end, int64_t steps,
                                 const lucid_tensor_options *options)
{
    if (steps < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "linspace", "steps: expected >= 0, got %lld",
                              (long long)steps);
    lucid_range_attrs attrs = {.start = start, .end = end, .linspace = true};
    attrs.step = steps > 1 ? (end - start) / (double)(steps - 1) : 0;
    lucid_shape shape = {1, {steps}};
    return generate(make_tensor(shape, options, "linspace"), LUCID_OP_arange, &attrs);
}

lucid_tensor *lucid_eye_opt(int64_t n, int64_t m, const lucid_tensor_options *options)
{
    lucid_shape shape = {2, {n, m}};
    return generate(make_tensor(shape, options, "eye"), LUCID_OP_eye, NULL);
}

/* ---- from the caller's numbers --------------------------------------------------------------- */

lucid_tensor *lucid_from_blob(lucid_shape shape, lucid_dtype dtype, void *data,
                              void (*free)(void *user, void *data), void *user)
{
    if (!luc_check_shape(&shape, dtype, "from_blob")) return NULL;
    lucid_meta meta = {.dtype = dtype, .ndim = shape.ndim};
    memcpy(meta.dims, shape.dims, sizeof meta.dims);
    luc_contiguous_strides(meta.ndim, meta.dims, meta.strides);
    int64_t n = lucid_shape_numel(&shape);
    if (!data && n > 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "from_blob",
                              "data: expected %lld elements, got NULL", (long long)n);
    if ((uintptr_t)data % lucid_dtype_size(dtype) != 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "from_blob",
                              "data: expected an address that is a multiple of %zu for %s, got %p",
                              lucid_dtype_size(dtype), lucid_dtype_name(dtype), data);
    luc_storage *s = luc_pool_alloc(sizeof *s, "from_blob");
    if (!s) return NULL;
    memset(s, 0, sizeof *s);
    atomic_init(&s->refs, 1);
    s->data = data;
    s->size = (size_t)n * lucid_dtype_size(dtype);
    s->foreign = true;
    luc_live_add(LUC_LIVE_STORAGES, 1);
    lucid_tensor *t = luc_tensor_on(s, &meta, "from_blob");
    if (t) { /* from here on the storage owns the memory */
        s->free = free;
        s->user = user;
    }
    luc_storage_release(s);
    return t;
}

/* Makes a tensor of the caller's memory: on the memory itself, or on a copy if it is not aligned
 * for kernels. */
static lucid_tensor *on_host(lucid_shape shape, lucid_dtype dtype, const void *data)
{
    if ((uintptr_t)data % lucid_dtype_size(dtype) == 0)
        return lucid_from_blob(shape, dtype, (void *)(uintptr_t)data, NULL, NULL);
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    lucid_tensor *t = lucid_empty_opt(shape, &o);
    if (t) memcpy(t->view.data, data, (size_t)t->numel * lucid_dtype_size(dtype));
    return t;
}

/* A tensor of options->dtype and place with the elements of host memory of dtype `from`. */
static lucid_tensor *from_host(lucid_shape shape, lucid_dtype from, const void *data,
                               const lucid_tensor_options *o, const char *op)
{
    lucid_tensor *t = make_tensor(shape, o, op);
    if (!t || t->numel == 0) return t;
    if (!data)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "data: expected %lld elements, got NULL",
                              (long long)t->numel);
    size_t depth = lucid_scope_begin();
    if (!depth) return NULL;
    lucid_tensor *host = on_host(shape, from, data);
    bool ok = host && luc_copy_data(t, host, op);
    lucid_scope_end(depth);
    return ok ? t : NULL;
}

lucid_tensor *lucid_from_data_opt(lucid_shape shape, const void *data,
                                  const lucid_tensor_options *options)
{
    LUC_CALLED_AS("from_data");
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, "from_data");
    if (!o) return NULL;
    return from_host(shape, o->dtype, data, o, "from_data");
}

lucid_tensor *lucid_from_typed_data(lucid_shape shape, const void *data, lucid_dtype from,
                                    const lucid_tensor_options *options)
{
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, "from_data");
    if (!o) return NULL;
    if ((unsigned)from >= LUCID_DTYPE_COUNT)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "from_data", "from: expected a dtype, got %d",
                              (int)from);
    lucid_tensor_options as_it_is = *o;
    if (!options) as_it_is.dtype = from;
    return from_host(shape, from, data, &as_it_is, "from_data");
}

lucid_tensor *lucid_from_doubles_opt(lucid_shape shape, const double *values, size_t count,
                                     const lucid_tensor_options *options)
{
    LUC_CALLED_AS("from_doubles");
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, "from_doubles");
    if (!o) return NULL;
    if (!luc_check_shape(&shape, o->dtype, "from_doubles")) return NULL;
    int64_t n = lucid_shape_numel(&shape);
    if ((size_t)n != count)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "from_doubles",
                              "values: expected %lld for %s, got %zu", (long long)n,
                              luc_dims_text(shape.ndim, shape.dims).s, count);
    return from_host(shape, LUCID_F64, values, o, "from_doubles");
}

lucid_tensor *lucid_scalar(double value)
{
    lucid_meta meta = {.dtype = LUCID_F64, .ndim = 0};
    lucid_tensor *t = luc_tensor_new(&meta, lucid_cpu(), "scalar");
    if (!t) return NULL;
    *(double *)t->view.data = value;
    t->is_scalar = true;
    return t;
}

/* ---- random ---------------------------------------------------------------------------------- */

/* An element's random number has 32 bits, which is one lane of Philox; a float64 element's has 64,
 * in two lanes. */
static uint64_t blocks_for(const lucid_tensor *t, int64_t lanes)
{
    if (t->view.dtype == LUCID_F64) lanes = 2;
    return ((uint64_t)t->numel * (uint64_t)lanes + 3) / 4;
}

/* Takes `blocks` blocks of a generator, NULL for the default one, and returns where they begin. */
static lucid_generator take(lucid_generator *g, uint64_t blocks)
{
    if (!g) return luc_random_take(blocks);
    const lucid_generator begin = *g;
    g->offset += blocks;
    return begin;
}

static lucid_tensor *random(lucid_tensor *t, lucid_op_id op, int64_t lanes,
                            lucid_random_attrs attrs, lucid_generator *generator)
{
    if (!t || t->numel == 0) return t;
    lucid_generator g = take(generator, blocks_for(t, lanes));
    attrs.seed = g.seed;
    attrs.offset = g.offset;
    if (generator && luc_is_capturing(t->storage->device))
        return luc_raise_null(LUCID_ERR_UNSUPPORTED, luc_op_id_name(op),
                              "generator: expected the default one in a captured step");
    if (!generator && !luc_capture_random(t->storage->device, &attrs, luc_op_id_name(op)))
        return NULL;
    return generate(t, op, &attrs);
}

lucid_tensor *luc_fill_uniform(lucid_tensor *t, double low, double high, lucid_generator *g)
{
    return random(t, LUCID_OP_uniform, 1, (lucid_random_attrs){.a = low, .b = high}, g);
}

lucid_tensor *luc_fill_normal(lucid_tensor *t, double mean, double std, lucid_generator *g)
{
    return random(t, LUCID_OP_normal, 1, (lucid_random_attrs){.a = mean, .b = std}, g);
}

lucid_tensor *luc_fill_randint(lucid_tensor *t, int64_t low, int64_t high, lucid_generator *g)
{
    return random(t, LUCID_OP_randint, 2, (lucid_random_attrs){.low = low, .high = high}, g);
}

static bool floating(const lucid_tensor_options *o, const char *op)
{
    if (lucid_dtype_is_floating(o->dtype)) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "dtype: expected a floating one, got %s",
                     lucid_dtype_name(o->dtype));
}

lucid_tensor *lucid_randn_opt(lucid_shape shape, const lucid_tensor_options *options)
{
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, "randn");
    if (!o) return NULL;
    if (!floating(o, "randn")) return NULL;
    return luc_fill_normal(make_tensor(shape, o, "randn"), 0, 1, o->generator);
}

lucid_tensor *lucid_rand_opt(lucid_shape shape, const lucid_tensor_options *options)
{
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, "rand");
    if (!o) return NULL;
    if (!floating(o, "rand")) return NULL;
    return luc_fill_uniform(make_tensor(shape, o, "rand"), 0, 1, o->generator);
}

lucid_tensor *lucid_randint_opt(lucid_shape shape, int64_t low, int64_t high,
                                const lucid_index_options *options)
{
    lucid_tensor_options filled, *o = &filled;
    if (!index_options(options, o, "randint")) return NULL;
    if (low >= high)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "randint",
                              "high: expected > low, got low %lld, "
                              "high %lld",
                              (long long)low, (long long)high);
    lucid_tensor *t = make_tensor(shape, o, "randint");
    if (t && o->dtype != LUCID_I64 &&
        (!holds(o->dtype, (double)low, "randint", "low") ||
         !holds(o->dtype, (double)high - 1, "randint", "high - 1")))
        return NULL;
    return luc_fill_randint(t, low, high, o->generator);
}

lucid_tensor *lucid_bernoulli_opt(lucid_shape shape, double p, const lucid_tensor_options *options)
{
    if (!(p >= 0 && p <= 1))
        return luc_raise_null(LUCID_ERR_ARGUMENT, "bernoulli", "p: expected [0,1], got %g", p);
    const lucid_tensor_options *o = LUC_OPTIONS(lucid_tensor, options, "bernoulli");
    if (!o) return NULL;
    return random(make_tensor(shape, o, "bernoulli"), LUCID_OP_bernoulli, 1,
                  (lucid_random_attrs){.a = p}, o->generator);
}

lucid_tensor *lucid_randperm_opt(int64_t n, const lucid_index_options *options)
{
    lucid_tensor_options filled, *o = &filled;
    if (!index_options(options, o, "randperm")) return NULL;
    lucid_shape shape = {1, {n}};
    if (!luc_check_shape(&shape, LUCID_I64, "randperm") ||
        !luc_check_shape(&shape, o->dtype, "randperm"))
        return NULL;
    if (n > 0 && !holds(o->dtype, (double)n - 1, "randperm", "n - 1")) return NULL;
    int64_t *order = luc_alloc((size_t)n * sizeof *order, "randperm");
    if (!order) return NULL;
    lucid_generator g = o->generator ? *o->generator : luc_random_take(n > 1 ? (uint64_t)n - 1 : 0);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) { /* the shuffle of Fisher and Yates */
        int64_t j = (int64_t)lucid_random_below(&g, (uint64_t)i + 1), x = order[i];
        order[i] = order[j];
        order[j] = x;
    }
    if (o->generator) *o->generator = g;
    lucid_tensor *t = from_host(shape, LUCID_I64, order, o, "randperm");
    luc_free(order);
    return t;
}
