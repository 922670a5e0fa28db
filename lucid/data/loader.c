#include "lucid/data/loader_priv.h"

#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/data/dataset_priv.h"
#include "lucid/data/sampler_priv.h"
#include "lucid/core/options_priv.h"

#include <string.h>

static const char op[] = "data_Loader";

struct lucid_loader {
    lucid_dataset *dataset;
    lucid_loader_options options; /* seed: the one in use */
    int64_t batches, size;        /* batches of an epoch, and the samples in them */
    int64_t *order, length;       /* the samples in the order of this epoch; drop_last keeps all */
    int64_t *begins;              /* where each batch begins, of a sampler that says so; or NULL */
    bool running;                 /* an epoch has begun */
    int64_t epoch, next;          /* the epoch that runs or comes next, and its next batch */
    int64_t first;                /* the batch that the next epoch begins with */
    luc_epoch shared;
    luc_job current; /* the batch that the user has */
    luc_pool pool;
    luc_feed feed;
    luc_job *jobs; /* batch k of the epoch is job k % capacity of the ring */
    int capacity;
};

/* ---- checks ---------------------------------------------------------------------------------- */

/* A batch of n samples must be a tensor that can exist. */
static bool check_spec(const lucid_sample_spec *spec, int64_t n, const char *name)
{
    if (!lucid_dtype_size(spec->dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "dataset: %s.dtype: %d is no dtype", name,
                         (int)spec->dtype);
    if (spec->shape.ndim < 0 || spec->shape.ndim >= LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "dataset: %s.shape: expected 0 to %d dimensions, got %d", name,
                         LUCID_MAX_DIMS - 1, spec->shape.ndim);
    lucid_shape whole = {.ndim = spec->shape.ndim + 1, .dims = {n}};
    for (int d = 0; d < spec->shape.ndim; d++) {
        if (spec->shape.dims[d] == -1)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "dataset: its samples have different sizes, %s: expected a transform "
                             "that makes them equal, as in data_Map(dataset, data_Resize((224, "
                             "224)))",
                             luc_dims_text(spec->shape.ndim, spec->shape.dims).s);
        whole.dims[d + 1] = spec->shape.dims[d];
    }
    return luc_check_shape(&whole, spec->dtype, op);
}

static bool check_dataset(const lucid_dataset *dataset, int64_t batch_size)
{
    if (!dataset) return luc_raise(LUCID_ERR_ARGUMENT, op, "dataset: got NULL");
    if (dataset->size < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "dataset: expected a size >= 0, got %lld",
                         (long long)dataset->size);
    int64_t n = batch_size < dataset->size ? batch_size : dataset->size;
    if (!check_spec(&dataset->x, n, "x") || !check_spec(&dataset->y, n, "y")) return false;
    return dataset->get || dataset->load ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "dataset: its .get is NULL");
}

static bool check_options(const lucid_loader_options *options)
{
    if (options->batch_size < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "batch_size: expected >= 1, got %lld",
                         (long long)options->batch_size);
    if (options->workers < 0 || options->workers > 1024)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "workers: expected 0 to 1024, got %d",
                         options->workers);
    if (options->prefetch < 1 || options->prefetch > 65536)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "prefetch: expected 1 to 65536, got %d",
                         options->prefetch);
    if (options->sampler && options->shuffle)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "shuffle: expected false with .sampler, which gives the order");
    if (options->resident && options->workers)
        return luc_raise(
            LUCID_ERR_ARGUMENT, op,
            "workers: expected 0 with .resident, which makes every sample once, got %d",
            options->workers);
    if (options->device.index < 0 ||
        options->device.index >= lucid_device_count(options->device.type))
        return luc_raise(LUCID_ERR_DEVICE, op, "device: %s cannot be used here",
                         lucid_device_name(options->device));
    return true;
}

/* ---- making and freeing ---------------------------------------------------------------------- */

static uint64_t draw_seed(void)
{
    lucid_generator g = luc_random_take(1);
    return lucid_random_u64(&g);
}

/* The samples and batches of an epoch. False after an error. */
static bool count_batches(lucid_loader *loader)
{
    const lucid_sampler *s = loader->options.sampler;
    int64_t n = loader->dataset->size, b = loader->options.batch_size;
    if (s && !luc_sampler_check(s, n, op)) return false;
    if (s && s->size != LUCID_SAMPLER_ALL) n = s->size;
    loader->length = n;
    loader->batches = n / b + (n % b && !loader->options.drop_last);
    loader->size = loader->options.drop_last ? loader->batches * b : n;
    if (!s || !s->batch_sizes) return true;
    loader->size = n;
    loader->batches = s->n_batches;
    loader->begins = luc_calloc((size_t)s->n_batches + 1, sizeof *loader->begins, op);
    for (int64_t i = 0; loader->begins && i < s->n_batches; i++)
        loader->begins[i + 1] = loader->begins[i] + s->batch_sizes[i];
    return loader->begins != NULL;
}

/* Where batch `number` begins in the epoch, and how many samples it has. */
static int64_t batch_begin(const lucid_loader *loader, int64_t number, int64_t *n)
{
    if (loader->begins) {
        *n = loader->begins[number + 1] - loader->begins[number];
        return loader->begins[number];
    }
    int64_t begin = number * loader->options.batch_size, left = loader->length - begin;
    *n = left < loader->options.batch_size ? left : loader->options.batch_size;
    return begin;
}

/* Room for the order of an epoch, and for that of all samples, which are made once for resident
 * data. */
static bool make_order(lucid_loader *loader)
{
    int64_t n = loader->dataset->size;
    if (n < loader->length) n = loader->length;
    loader->order = luc_calloc((size_t)n, sizeof *loader->order, op);
    return loader->order != NULL;
}

lucid_loader *lucid_loader_new(lucid_dataset *dataset, const lucid_loader_options *options)
{
    options = LUC_OPTIONS(lucid_loader, options, op);
    lucid_loader *loader = NULL;
    if (!options || !check_dataset(dataset, options->batch_size) || !check_options(options))
        goto fail;
    loader = luc_calloc(1, sizeof *loader, op);
    if (!loader) goto fail;
    luc_live_add(LUC_LIVE_LOADERS, 1);
    loader->dataset = dataset;
    loader->options = *options;
    if (!luc_feed_begin(&loader->feed, options->device)) goto fail;
    if (options->seed == LUCID_SEED_DRAWN) loader->options.seed = draw_seed();
    if (!count_batches(loader) || !make_order(loader)) goto fail;
    loader->shared = (luc_epoch){.dataset = dataset,
                                 .x_size = luc_sample_bytes(&dataset->x),
                                 .y_size = luc_sample_bytes(&dataset->y),
                                 .by_place = options->sampler != NULL};
    if (options->workers && !options->resident) {
        int64_t ahead = (int64_t)options->workers * options->prefetch;
        if (ahead > loader->batches) ahead = loader->batches ? loader->batches : 1;
        loader->capacity = (int)ahead;
        loader->jobs = luc_calloc((size_t)ahead, sizeof *loader->jobs, op);
        if (!loader->jobs) goto fail;
    }
    return loader;
fail:
    if (loader) {
        lucid_loader_free(loader);
    } else {
        lucid_dataset_free(dataset);
        if (options) lucid_sampler_free(options->sampler);
    }
    return NULL;
}

static void job_clear(luc_job *job)
{
    lucid_release(job->x);
    lucid_release(job->y);
    luc_free(job->message);
    *job = (luc_job){0};
}

/* Gives up the batch that the user has. */
static void batch_clear(lucid_loader *loader)
{
    const luc_end before = luc_ending((luc_end){.how = LUC_END_BATCH});
    job_clear(&loader->current);
    luc_ending(before);
}

/* Takes back the jobs of the workers and the batch of the user. */
static void leave_epoch(lucid_loader *loader)
{
    luc_pool_forget(&loader->pool);
    if (loader->pool.workers) luc_pool_cancel(&loader->pool);
    for (int i = 0; i < loader->capacity && loader->jobs; i++) job_clear(&loader->jobs[i]);
    batch_clear(loader);
    if (loader->running) loader->epoch = loader->epoch < INT64_MAX ? loader->epoch + 1 : 0;
    loader->running = false;
    loader->first = 0;
}

void lucid_loader_free(lucid_loader *loader)
{
    if (!loader) return;
    luc_pool_forget(&loader->pool);
    if (loader->pool.workers) luc_pool_end(&loader->pool);
    leave_epoch(loader);
    luc_feed_end(&loader->feed);
    lucid_dataset_free(loader->dataset);
    lucid_sampler_free(loader->options.sampler);
    luc_free(loader->jobs);
    luc_free(loader->begins);
    luc_free(loader->order);
    luc_free(loader);
    luc_live_add(LUC_LIVE_LOADERS, -1);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Prepares the job of a batch of this epoch. */
static bool job_open(const lucid_loader *loader, luc_job *job, int64_t number)
{
    int64_t n, begin = batch_begin(loader, number, &n);
    *job = (luc_job){.number = number, .indices = loader->order + begin, .n = n, .begin = begin};
    job->x = luc_feed_batch(&loader->feed, &loader->dataset->x, job->n, &job->x_data);
    if (job->x) job->y = luc_feed_batch(&loader->feed, &loader->dataset->y, job->n, &job->y_data);
    if (job->y) return true;
    job_clear(job);
    return false;
}

/* Every epoch has its own order, and every sample its own random numbers. */
static bool order_samples(lucid_loader *loader)
{
    uint32_t key[4];
    lucid_philox(loader->options.seed, (uint64_t)loader->epoch, key);
    lucid_generator g = {.seed = (uint64_t)key[1] << 32 | key[0]};
    loader->shared.sample_seed = (uint64_t)key[3] << 32 | key[2];
    int64_t n = loader->dataset->size, *order = loader->order;
    if (loader->options.sampler)
        return luc_sampler_order(loader->options.sampler, n, loader->length, loader->epoch, &g,
                                 order, op);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    if (!loader->options.shuffle) return true;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)lucid_random_below(&g, (uint64_t)i + 1), swapped = order[i];
        order[i] = order[k];
        order[k] = swapped;
    }
    return true;
}

static bool give_job(lucid_loader *loader, int64_t number)
{
    int slot = (int)(number % loader->capacity);
    if (!job_open(loader, &loader->jobs[slot], number)) return false;
    luc_pool_give(&loader->pool, slot);
    return true;
}

/* Hands out the batches of this epoch that are made ahead, from the next one on. */
static bool give_window(lucid_loader *loader)
{
    for (int64_t k = 0; k < loader->capacity && loader->next + k < loader->batches; k++)
        if (!give_job(loader, loader->next + k)) return false;
    return true;
}

static bool start_workers(lucid_loader *loader, int first)
{
    return luc_pool_start(&loader->pool, &loader->shared, loader->jobs, loader->capacity,
                          loader->options.workers, first);
}

/* For resident data: all samples are made once, with the random numbers of the first epoch, and
 * stay. */
static bool make_resident(lucid_loader *loader)
{
    luc_job all = {.indices = loader->order, .n = loader->dataset->size};
    bool ok = loader->feed.all_x != NULL;
    if (!ok) {
        for (int64_t i = 0; i < all.n; i++) loader->order[i] = i;
        all.x = luc_feed_batch(&loader->feed, &loader->dataset->x, all.n, &all.x_data);
        if (all.x) all.y = luc_feed_batch(&loader->feed, &loader->dataset->y, all.n, &all.y_data);
        ok =
            all.y && luc_job_run(&loader->shared, &all, NULL) && luc_feed_keep(&loader->feed, &all);
        job_clear(&all);
    }
    if (!ok) return false;
    return order_samples(loader) && luc_feed_order(&loader->feed, loader->order, loader->length);
}

static bool begin_epoch(lucid_loader *loader)
{
    loader->running = true;
    loader->next = loader->first;
    loader->first = 0;
    if (loader->options.resident) return make_resident(loader);
    if (loader->options.workers) {
        if (loader->pool.workers && loader->next == 0)
            luc_pool_cancel(&loader->pool); /* the ring begins at job 0 again */
        else if (loader->pool.workers)
            luc_pool_end(&loader->pool);
        if (!loader->pool.workers && !start_workers(loader, (int)(loader->next % loader->capacity)))
            return false;
    }
    return order_samples(loader) && give_window(loader);
}

/* A child of fork has no workers. It starts its own, and they make the batches that the parent's
 * workers had not handed over. */
static bool go_on_after_fork(lucid_loader *loader)
{
    for (int i = 0; i < loader->capacity; i++) job_clear(&loader->jobs[i]);
    if (!loader->running) return true;
    return start_workers(loader, (int)(loader->next % loader->capacity)) && give_window(loader);
}

/* A worker's message already begins with the name of the function that failed. */
static bool raise_kept(const luc_job *job)
{
    const char *text = job->message ? job->message : "data_Loader: a worker failed";
    const char *colon = strstr(text, ": ");
    char name[64] = "data_Loader";
    if (colon && (size_t)(colon - text) < sizeof name) {
        memcpy(name, text, (size_t)(colon - text));
        name[colon - text] = 0;
        text = colon + 2;
    }
    return luc_raise(job->code, name, "%s", text);
}

/* Puts the next batch of the epoch into loader->current. */
static bool make_batch(lucid_loader *loader)
{
    if (loader->options.resident) {
        int64_t n, begin = batch_begin(loader, loader->next, &n);
        loader->current =
            (luc_job){.number = loader->next, .indices = loader->order + begin, .n = n};
        return luc_feed_gather(&loader->feed, &loader->current, begin);
    }
    if (!loader->options.workers)
        return job_open(loader, &loader->current, loader->next) &&
               luc_job_run(&loader->shared, &loader->current, NULL);
    int slot = (int)(loader->next % loader->capacity);
    luc_pool_take(&loader->pool, slot);
    loader->current = loader->jobs[slot];
    loader->jobs[slot] = (luc_job){0};
    if (loader->current.code != LUCID_OK) return raise_kept(&loader->current);
    int64_t ahead = loader->next + loader->capacity;
    return ahead >= loader->batches || give_job(loader, ahead);
}

bool lucid_next(lucid_loader *loader, lucid_batch *batch)
{
    if (batch) *batch = (lucid_batch){0};
    if (!loader) return luc_raise(LUCID_ERR_ARGUMENT, "next", "loader: got NULL");
    if (!batch) return luc_raise(LUCID_ERR_ARGUMENT, "next", "batch: got NULL");
    luc_scope_turn(LUC_TURN_NEXT);
    batch_clear(loader);
    if (lucid_error_code() != LUCID_OK || !luc_feed_leave(&loader->feed)) goto fail;
    if (luc_pool_forget(&loader->pool) && !go_on_after_fork(loader)) goto fail;
    if (!loader->running && !begin_epoch(loader)) goto fail;
    if (loader->next == loader->batches) {
        leave_epoch(loader);
        return false;
    }
    if (!make_batch(loader)) goto fail;
    luc_job *job = &loader->current;
    if (!loader->options.resident && !luc_feed_upload(&loader->feed, job)) goto fail;
    *batch = (lucid_batch){.x = job->x,
                           .y = job->y,
                           .n = job->n,
                           .number = job->number,
                           .epoch = loader->epoch,
                           .indices = job->indices};
    loader->next++;
    return true;
fail:
    leave_epoch(loader);
    return false;
}

void lucid_loader_reset(lucid_loader *loader)
{
    if (loader) leave_epoch(loader);
}

bool lucid_loader_set_epoch(lucid_loader *loader, int64_t epoch)
{
    if (!loader) return luc_raise(LUCID_ERR_ARGUMENT, "loader_set_epoch", "loader: got NULL");
    if (epoch < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, "loader_set_epoch", "epoch: expected >= 0, got %lld",
                         (long long)epoch);
    leave_epoch(loader);
    loader->epoch = epoch;
    return true;
}

lucid_loader_position lucid_loader_get_position(const lucid_loader *loader)
{
    if (!loader) return (lucid_loader_position){0};
    return (lucid_loader_position){loader->options.seed, loader->epoch,
                                   loader->running ? loader->next : loader->first};
}

bool lucid_loader_set_position(lucid_loader *loader, lucid_loader_position p)
{
    const char *name = "loader_set_position";
    if (!loader) return luc_raise(LUCID_ERR_ARGUMENT, name, "loader: got NULL");
    if (p.epoch < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, name, "epoch: expected >= 0, got %lld",
                         (long long)p.epoch);
    if (p.batch < 0 || p.batch > loader->batches)
        return luc_raise(LUCID_ERR_ARGUMENT, name, "batch: expected 0 to %lld, got %lld",
                         (long long)loader->batches, (long long)p.batch);
    leave_epoch(loader);
    loader->options.seed = p.seed;
    loader->epoch = p.epoch;
    loader->first = p.batch;
    return true;
}

/* ---- what a loader is ------------------------------------------------------------------------ */

int64_t lucid_loader_size(const lucid_loader *loader)
{
    return loader ? loader->size : 0;
}

int64_t lucid_loader_batches(const lucid_loader *loader)
{
    return loader ? loader->batches : 0;
}

uint64_t lucid_loader_seed(const lucid_loader *loader)
{
    return loader ? loader->options.seed : 0;
}

const lucid_dataset *lucid_loader_dataset(const lucid_loader *loader)
{
    return loader ? loader->dataset : NULL;
}
