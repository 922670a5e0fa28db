/* loader_priv.h: the inner parts of a loader: jobs, and the workers that do them. */
#ifndef LUCID_DATA_LOADER_PRIV_H
#define LUCID_DATA_LOADER_PRIV_H

#include "lucid/core/backend.h"
#include "lucid/data/loader.h"
#include "lucid/core/error.h"
#include "lucid/core/threads_priv.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum luc_job_state {
    LUC_JOB_EMPTY,
    LUC_JOB_WAITING,
    LUC_JOB_RUNNING,
    LUC_JOB_DONE
} luc_job_state;

/* One batch to be made. The loader's thread owns the tensors, and a worker writes their memory. The
 * job belongs to the pool from luc_pool_give to luc_pool_take or _cancel, otherwise to the loader's
 * thread. */
typedef struct luc_job {
    lucid_tensor *x, *y; /* retained */
    char *x_data, *y_data;
    const int64_t *indices;
    int64_t n, number, begin; /* begin: the place of its first sample in the epoch */
    luc_fp_mode fp_mode;      /* of the thread that gave it to the pool */
    lucid_code code;          /* LUCID_OK, or the code and the message of a worker's error */
    char *message;
} luc_job;

/* What all samples of an epoch share. It does not change while there are jobs. */
typedef struct luc_epoch {
    const lucid_dataset *dataset;
    size_t x_size, y_size; /* the bytes of a sample */
    uint64_t sample_seed;  /* of the generators of the samples */
    bool by_place;         /* they are counted by place in the epoch, not by index */
} luc_epoch;

/* Fills a job's memory, sample by sample. Stops when *stop becomes true (NULL: never). False after
 * an error, which is raised in the calling thread. */
bool luc_job_run(const luc_epoch *epoch, const luc_job *job, const atomic_bool *stop);

/* How batches get to the loader's device. */
typedef struct luc_feed {
    lucid_device device;
    const lucid_backend *backend; /* NULL: batches stay on the CPU */
    /* Two batches of device memory take turns, so that one is filled while the other is used. A
     * batch may be filled again after the work of the device that precedes its mark. */
    struct {
        lucid_tensor *x, *y;
        void *mark;
        bool marked;
    } slots[2];
    int slot;                            /* the one in use */
    lucid_tensor *all_x, *all_y, *order; /* resident: the data set and the epoch's order */
} luc_feed;

bool luc_feed_begin(luc_feed *feed, lucid_device device);
void luc_feed_end(luc_feed *feed);
/* A CPU tensor of n samples that belongs to no scope, in memory from which uploads are fast. *data
 * is that memory, to be written. NULL after an error. */
lucid_tensor *luc_feed_batch(const luc_feed *feed, const lucid_sample_spec *spec, int64_t n,
                             char **data);
/* Replaces a job's tensors by their copies on the device. */
bool luc_feed_upload(luc_feed *feed, luc_job *job);
/* Ends the user's batch: its memory may be filled again after the work that is queued now. */
bool luc_feed_leave(luc_feed *feed);
/* For resident data: take the whole data set from a job, and the order of an epoch; gather a
 * batch. */
bool luc_feed_keep(luc_feed *feed, luc_job *job);
bool luc_feed_order(luc_feed *feed, const int64_t *order, int64_t n);
bool luc_feed_gather(luc_feed *feed, luc_job *job, int64_t begin);

/* Threads that do the jobs of a ring in order. */
typedef struct luc_pool {
    pthread_mutex_t mutex;
    pthread_cond_t work, done; /* a job waits; a job was done */
    const luc_epoch *epoch;
    luc_job *jobs;
    luc_job_state *states; /* of the jobs; guarded by the mutex */
    int capacity;
    int next;    /* the job that a worker takes next */
    int workers; /* threads that are running */
    pthread_t *threads;
    atomic_bool stop;    /* set: leave the job and end */
    atomic_bool cancel;  /* set: leave the job, because its epoch is over */
    unsigned fork_depth; /* luc_fork_depth of the process that owns the threads */
} luc_pool;

/* Starts the workers, which wait for jobs; the first job that is given is job `first` of the ring.
 * False after an error, with nothing left over. */
bool luc_pool_start(luc_pool *pool, const luc_epoch *epoch, luc_job *jobs, int capacity,
                    int workers, int first);
/* Hands job `i` of the ring out; jobs are given in the order of the ring. */
void luc_pool_give(luc_pool *pool, int i);
/* Waits until job `i` is done and takes it back (its state becomes EMPTY). */
void luc_pool_take(luc_pool *pool, int i);
/* Takes every job back, and stops the jobs that are running. The next job to be given is job 0. */
void luc_pool_cancel(luc_pool *pool);
/* Ends the workers. */
void luc_pool_end(luc_pool *pool);
/* A child of fork has no workers. In it the function forgets them, frees what the pool has, and
 * returns true; the jobs then belong to the loader. Elsewhere it does nothing and returns false. */
bool luc_pool_forget(luc_pool *pool);

#endif
