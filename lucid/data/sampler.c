#include "lucid/data/sampler.h"

#include "lucid/data/sampler_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char live_name[] = "sampler"; /* for the report of objects that were never freed */

void lucid_sampler_free(lucid_sampler *sampler)
{
    if (sampler && sampler->free) sampler->free(sampler);
}

/* ---- as a loader sees them ------------------------------------------------------------------- */

static bool check_batches(const lucid_sampler *s, int64_t samples, const char *op)
{
    int64_t sum = 0;
    if (!s->batch_sizes) return true;
    for (int64_t i = 0; i < s->n_batches; i++) {
        if (s->batch_sizes[i] < 1 || s->batch_sizes[i] > samples - sum)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "sampler %s: batch %lld: expected 1 to %lld samples, got %lld",
                             s->name ? s->name : "(no name)", (long long)i,
                             (long long)(samples - sum), (long long)s->batch_sizes[i]);
        sum += s->batch_sizes[i];
    }
    return sum == samples ||
           luc_raise(LUCID_ERR_ARGUMENT, op,
                     "sampler %s: expected batches of %lld samples in all, got %lld",
                     s->name ? s->name : "(no name)", (long long)samples, (long long)sum);
}

bool luc_sampler_check(const lucid_sampler *s, int64_t dataset_size, const char *op)
{
    const char *name = s->name ? s->name : "(no name)";
    if (!s->order) return luc_raise(LUCID_ERR_ARGUMENT, op, "sampler %s: its .order is NULL", name);
    if (s->size < LUCID_SAMPLER_ALL)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "sampler %s: expected a size >= 0, got %lld", name,
                         (long long)s->size);
    if (s->size > 0 && dataset_size == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "sampler %s: expected size 0 for an empty data set, got %lld", name,
                         (long long)s->size);
    return check_batches(s, s->size == LUCID_SAMPLER_ALL ? dataset_size : s->size, op);
}

bool luc_sampler_order(const lucid_sampler *s, int64_t dataset_size, int64_t length, int64_t epoch,
                       lucid_generator *rng, int64_t *order, const char *op)
{
    const char *name = s->name ? s->name : "(no name)";
    const uint64_t raised = luc_raise_count();
    if (!s->order(s, dataset_size, epoch, rng, order) || luc_raise_count() != raised)
        return lucid_error_code() != LUCID_OK
                   ? false
                   : luc_raise(LUCID_ERR_STATE, op,
                               "sampler %s: gave no order, and no reason was raised", name);
    for (int64_t i = 0; i < length; i++)
        if (order[i] < 0 || order[i] >= dataset_size)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "sampler %s: place %lld: expected a sample in [0,%lld), got %lld",
                             name, (long long)i, (long long)dataset_size, (long long)order[i]);
    return true;
}

/* ---- those of the library -------------------------------------------------------------------- */

typedef struct own_sampler {
    lucid_sampler base;
    bool replacement;
    int64_t count;     /* of weights or batch sizes */
    double *sums;      /* weighted: the sums of the weights before each, and of all */
    double *weights;   /* the weights themselves, in the same memory */
    int64_t *sizes;    /* of batches */
    lucid_sampler *in; /* whose order is taken */
} own_sampler;

static void own_free(lucid_sampler *sampler)
{
    own_sampler *s = (own_sampler *)sampler;
    lucid_sampler_free(s->in);
    luc_free(s->sums);
    luc_free(s->sizes);
    luc_free(s);
    luc_live_add_named(LUC_LIVE_OTHER, live_name, -1);
}

static own_sampler *own_new(const char *name, int64_t size, const char *op)
{
    if (size < LUCID_SAMPLER_ALL)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "size: expected >= 0 or LUCID_SAMPLER_ALL, got %lld",
                              (long long)size);
    own_sampler *s = luc_calloc(1, sizeof *s, op);
    if (!s) return NULL;
    luc_live_add_named(LUC_LIVE_OTHER, live_name, 1);
    s->base = (lucid_sampler){.name = name, .size = size, .free = own_free};
    return s;
}

static int64_t length_of(const lucid_sampler *s, int64_t dataset_size)
{
    return s->size == LUCID_SAMPLER_ALL ? dataset_size : s->size;
}

static bool sequential_order(const lucid_sampler *sampler, int64_t n, int64_t epoch,
                             lucid_generator *rng, int64_t *order)
{
    (void)sampler, (void)epoch, (void)rng;
    for (int64_t i = 0; i < n; i++) order[i] = i;
    return true;
}

lucid_sampler *lucid_data_sequential_sampler(void)
{
    own_sampler *s = own_new("data_SequentialSampler", LUCID_SAMPLER_ALL, "data_SequentialSampler");
    if (!s) return NULL;
    s->base.order = sequential_order;
    return &s->base;
}

/* One order of all after the other, the last one cut off. */
static bool random_order(const lucid_sampler *sampler, int64_t n, int64_t epoch,
                         lucid_generator *rng, int64_t *order)
{
    const own_sampler *s = (const own_sampler *)sampler;
    const int64_t length = length_of(sampler, n);
    (void)epoch;
    if (s->replacement) {
        for (int64_t i = 0; i < length; i++)
            order[i] = (int64_t)lucid_random_below(rng, (uint64_t)n);
        return true;
    }
    for (int64_t at = 0; at < length && n > 0; at += n) {
        if (length - at >= n) {
            for (int64_t i = 0; i < n; i++) order[at + i] = i;
            luc_shuffle(order + at, n, rng);
            continue;
        }
        int64_t *all = luc_calloc((size_t)n, sizeof *all, "data_RandomSampler");
        if (!all) return false;
        for (int64_t i = 0; i < n; i++) all[i] = i;
        luc_shuffle(all, n, rng);
        memcpy(order + at, all, (size_t)(length - at) * sizeof *all);
        luc_free(all);
    }
    return true;
}

lucid_sampler *lucid_data_random_sampler(const lucid_random_sampler_options *options)
{
    static const char op[] = "data_RandomSampler";
    options = LUC_OPTIONS(lucid_random_sampler, options, op);
    own_sampler *s = options ? own_new(op, options->size, op) : NULL;
    if (!s) return NULL;
    s->replacement = options->replacement;
    s->base.order = random_order;
    return &s->base;
}

/* ---- weights --------------------------------------------------------------------------------- */

/* The sample whose share of the sum holds `at`: the last whose sum before it is not above it, and
 * whose weight is not 0. */
static int64_t find_share(const double *sums, int64_t n, double at)
{
    int64_t low = 0, high = n; /* sums[low] <= at < sums[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (sums[middle] <= at)
            low = middle;
        else
            high = middle;
    }
    return low;
}

typedef struct keyed {
    double key;
    int64_t index;
} keyed;

static int by_key(const void *a, const void *b)
{
    const keyed *p = a, *q = b;
    return p->key > q->key   ? -1
           : p->key < q->key ? 1
                             : (p->index > q->index) - (p->index < q->index);
}

/* Without replacement: the largest of log(u) / weight (Efraimidis and Spirakis, 2006) come out as
 * draws one after the other do. */
static bool weighted_without(const own_sampler *s, int64_t length, lucid_generator *rng,
                             int64_t *order)
{
    keyed *keys = luc_calloc((size_t)s->count, sizeof *keys, "data_WeightedSampler");
    if (!keys) return false;
    for (int64_t i = 0; i < s->count; i++) {
        double u = 1 - luc_draw(rng), weight = s->weights[i];
        keys[i] = (keyed){weight > 0 ? fmax(log(u) / weight, -DBL_MAX) : -HUGE_VAL, i};
    }
    qsort(keys, (size_t)s->count, sizeof *keys, by_key);
    for (int64_t i = 0; i < length; i++) order[i] = keys[i].index;
    luc_free(keys);
    return true;
}

static bool weighted_order(const lucid_sampler *sampler, int64_t n, int64_t epoch,
                           lucid_generator *rng, int64_t *order)
{
    static const char op[] = "data_WeightedSampler";
    const own_sampler *s = (const own_sampler *)sampler;
    const int64_t length = length_of(sampler, n);
    (void)epoch;
    if (n != s->count)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "weights: expected one for each of %lld samples, got %lld", (long long)n,
                         (long long)s->count);
    if (s->replacement) {
        for (int64_t i = 0; i < length; i++)
            order[i] = find_share(s->sums, n, luc_draw(rng) * s->sums[n]);
        return true;
    }
    int64_t some = 0;
    for (int64_t i = 0; i < n; i++) some += s->weights[i] > 0;
    if (length > some)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "size: expected at most %lld without replacement, the weights above 0; "
                         "got %lld",
                         (long long)some, (long long)length);
    return weighted_without(s, length, rng, order);
}

lucid_sampler *lucid_data_weighted_sampler(const double *weights, int64_t count,
                                           const lucid_weighted_sampler_options *options)
{
    static const char op[] = "data_WeightedSampler";
    options = LUC_OPTIONS(lucid_weighted_sampler, options, op);
    if (!options) return NULL;
    if (count < 1 || !weights)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "weights: expected one at least, got %s",
                              weights ? "none" : "NULL");
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(weights[i]) || weights[i] < 0)
            return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                                  "weights: expected finite ones >= 0, got %g at %lld", weights[i],
                                  (long long)i);
    own_sampler *s = own_new(op, options->size, op);
    if (!s) return NULL;
    s->replacement = options->replacement;
    s->count = count;
    s->base.order = weighted_order;
    s->sums = luc_calloc((size_t)count + 1, 2 * sizeof *s->sums, op);
    if (!s->sums) goto fail;
    s->weights = s->sums + count + 1;
    memcpy(s->weights, weights, (size_t)count * sizeof *weights);
    for (int64_t i = 0; i < count; i++) s->sums[i + 1] = s->sums[i] + weights[i];
    if (s->sums[count] > 0 && isfinite(s->sums[count])) return &s->base;
    luc_raise(LUCID_ERR_ARGUMENT, op, "weights: expected a finite sum above 0, got %g",
              s->sums[count]);
fail:
    own_free(&s->base);
    return NULL;
}

/* ---- batches --------------------------------------------------------------------------------- */

static bool inner_order(const lucid_sampler *sampler, int64_t n, int64_t epoch,
                        lucid_generator *rng, int64_t *order)
{
    const own_sampler *s = (const own_sampler *)sampler;
    return s->in->order(s->in, n, epoch, rng, order);
}

lucid_sampler *lucid_data_batch_sampler(lucid_sampler *sampler, const int64_t *sizes, int64_t count)
{
    static const char op[] = "data_BatchSampler";
    own_sampler *s = NULL;
    if (!sampler || !sampler->order || !sizes || count < 1) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected %s, got %s",
                  !sampler || !sampler->order ? "sampler" : "sizes",
                  !sampler || !sampler->order ? "a sampler" : "one at least",
                  sampler && sampler->order && sizes ? "none" : "NULL");
        goto fail;
    }
    s = own_new(op, sampler->size, op);
    if (!s) goto fail;
    s->sizes = luc_calloc((size_t)count, sizeof *sizes, op);
    if (!s->sizes) goto fail;
    memcpy(s->sizes, sizes, (size_t)count * sizeof *sizes);
    s->in = sampler;
    s->base.order = inner_order;
    s->base.batch_sizes = s->sizes;
    s->base.n_batches = count;
    return &s->base;
fail:
    if (s) own_free(&s->base);
    lucid_sampler_free(sampler);
    return NULL;
}
