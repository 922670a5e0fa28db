#include "lucid/data/loader_priv.h"
#include "lucid/core/threads_priv.h"

#include "lucid/data/dataset_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Lets the data set write one sample. Tensors that it makes for this end here, because neither a
 * worker nor the head of a while loop has a scope that ends soon. */
static bool get_sample(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *x,
                       void *y)
{
    size_t scope = lucid_scope_begin_at("the get function of a data set", 0);
    if (!scope) return false;
    const uint64_t raised = luc_raise_count();
    bool ok = luc_dataset_get(d, index, rng, x, y);
    lucid_scope_end(scope);
    return ok && luc_raise_count() == raised;
}

bool luc_job_run(const luc_epoch *epoch, const luc_job *job, const atomic_bool *stop)
{
    const lucid_dataset *d = epoch->dataset;
    for (int64_t i = 0; i < job->n; i++) {
        if (stop && atomic_load_explicit(stop, memory_order_relaxed)) return true;
        int64_t index = job->indices[i];
        /* Each sample has 2^24 blocks of its own. */
        const int64_t own = epoch->by_place ? job->begin + i : index;
        lucid_generator rng = {epoch->sample_seed, (uint64_t)own << 24};
        if (get_sample(d, index, &rng, job->x_data + (size_t)i * epoch->x_size,
                       job->y_data + (size_t)i * epoch->y_size))
            continue;
        if (lucid_error_code() == LUCID_OK)
            luc_raise(LUCID_ERR_STATE, "loader",
                      "data set %s: sample %lld could not be had, and no reason was raised",
                      d->name ? d->name : "(no name)", (long long)index);
        return false;
    }
    return true;
}

/* Moves the error of this thread into the job, for the thread that waits for the job. */
static void keep_error(luc_job *job)
{
    job->code = lucid_error_code();
    size_t size = strlen(lucid_error()) + 1;
    job->message = luc_alloc(size, "loader");
    if (job->message) memcpy(job->message, lucid_error(), size);
    lucid_clear_error();
}

static void *worker(void *argument)
{
    luc_pool *pool = argument;
    pthread_mutex_lock(&pool->mutex);
    while (!atomic_load(&pool->stop)) {
        int i = pool->next;
        if (pool->states[i] != LUC_JOB_WAITING) {
            pthread_cond_wait(&pool->work, &pool->mutex);
            continue;
        }
        assert(i >= 0 && i < pool->capacity);
        pool->next = (i + 1) % pool->capacity;
        pool->states[i] = LUC_JOB_RUNNING;
        pthread_mutex_unlock(&pool->mutex);
        luc_job *job = &pool->jobs[i];
        const luc_fp_mode own = luc_fp_mode_get();
        luc_fp_mode_set(job->fp_mode);
        if (!luc_job_run(pool->epoch, job, &pool->cancel)) keep_error(job);
        luc_fp_mode_set(own);
        pthread_mutex_lock(&pool->mutex);
        assert(pool->states[i] == LUC_JOB_RUNNING);
        pool->states[i] = LUC_JOB_DONE;
        pthread_cond_broadcast(&pool->done);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static bool start_threads(luc_pool *pool, int workers)
{
    int failed = 0;
    while (pool->workers < workers && !failed) {
        char name[16];
        snprintf(name, sizeof name, "lucid-load-%d", pool->workers % 1000);
        failed = luc_thread_start(&pool->threads[pool->workers], name, worker, pool);
        if (!failed) pool->workers++;
    }
    if (!failed) return true;
    return luc_raise(LUCID_ERR_MEMORY, "loader", "cannot start worker %d of %d: %s",
                     pool->workers + 1, workers, strerror(failed));
}

bool luc_pool_start(luc_pool *pool, const luc_epoch *epoch, luc_job *jobs, int capacity,
                    int workers, int first)
{
    assert(capacity > 0 && workers > 0 && first >= 0 && first < capacity);
    *pool = (luc_pool){.epoch = epoch,
                       .jobs = jobs,
                       .capacity = capacity,
                       .next = first,
                       .fork_depth = luc_fork_depth()};
    pool->threads = luc_calloc((size_t)workers, sizeof *pool->threads, "loader");
    pool->states = luc_calloc((size_t)capacity, sizeof *pool->states, "loader"); /* all EMPTY */
    if (!pool->threads || !pool->states) {
        luc_free(pool->threads);
        luc_free(pool->states);
        return false;
    }
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    if (start_threads(pool, workers)) return true;
    luc_pool_end(pool);
    return false;
}

void luc_pool_give(luc_pool *pool, int i)
{
    pthread_mutex_lock(&pool->mutex);
    assert(i >= 0 && i < pool->capacity && pool->states[i] == LUC_JOB_EMPTY);
    pool->jobs[i].fp_mode = luc_fp_mode_get();
    pool->states[i] = LUC_JOB_WAITING;
    pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

void luc_pool_take(luc_pool *pool, int i)
{
    pthread_mutex_lock(&pool->mutex);
    assert(pool->states[i] != LUC_JOB_EMPTY); /* otherwise the wait would not end */
    while (pool->states[i] != LUC_JOB_DONE) pthread_cond_wait(&pool->done, &pool->mutex);
    pool->states[i] = LUC_JOB_EMPTY;
    pthread_mutex_unlock(&pool->mutex);
}

void luc_pool_cancel(luc_pool *pool)
{
    atomic_store(&pool->cancel, true);
    pthread_mutex_lock(&pool->mutex);
    for (int i = 0; i < pool->capacity; i++) {
        if (pool->states[i] == LUC_JOB_WAITING) pool->states[i] = LUC_JOB_EMPTY;
        while (pool->states[i] == LUC_JOB_RUNNING) pthread_cond_wait(&pool->done, &pool->mutex);
        pool->states[i] = LUC_JOB_EMPTY;
    }
    pool->next = 0;
    pthread_mutex_unlock(&pool->mutex);
    atomic_store(&pool->cancel, false);
}

static void free_arrays(luc_pool *pool)
{
    luc_free(pool->threads);
    luc_free(pool->states);
    pool->threads = NULL;
    pool->states = NULL;
    pool->workers = 0;
}

void luc_pool_end(luc_pool *pool)
{
    atomic_store(&pool->cancel, true);
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->stop, true);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->workers; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free_arrays(pool);
}

bool luc_pool_forget(luc_pool *pool)
{
    if (!pool->workers || pool->fork_depth == luc_fork_depth()) return false;
    /* A worker may have held the mutex. It is not used again, and luc_pool_start makes a new
     * one. */
    free_arrays(pool);
    return true;
}
