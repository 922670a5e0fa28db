/* Loaders, with and without workers: the samples, their order, and who owns the batches. */
#include "tests/testing.h"

#include "lucid/data/loader.h"
#include "lucid/core/memory.h"
#include "lucid/core/tensor_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static void setup(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(1);
}
TestSuite(loader, .init = setup);

/* The test's own data set: x[i] = (i, a random number of the sample), y[i] = -i. */
typedef struct counting {
    lucid_dataset base;
    atomic_int calls, frees;
    int64_t fail_at; /* this sample raises an error; -1: none */
    bool silent;     /* ... or says false only */
    int delay;       /* microseconds that sample 0, 8, 16, ... take */
} counting;

static bool counting_get(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *x,
                         void *y)
{
    counting *c = (counting *)(uintptr_t)d;
    atomic_fetch_add(&c->calls, 1);
    if (c->delay && index % 8 == 0) usleep((useconds_t)c->delay);
    if (index == c->fail_at)
        return c->silent
                   ? false
                   : lucid_raise(LUCID_ERR_IO, "counting", "sample %d: a bad sector", (int)index);
    ((double *)x)[0] = (double)index;
    ((double *)x)[1] = (double)lucid_random_below(rng, 1000000);
    *(int32_t *)y = (int32_t)-index;
    return true;
}

static void counting_free(lucid_dataset *d)
{
    atomic_fetch_add(&((counting *)d)->frees, 1);
}

static void counting_init(counting *c, int64_t size)
{
    *c = (counting){
        .base = {.name = "counting",
                 .size = size,
                 .x = {LUCID_F64, LUCID_SHAPE(2)},
                 .y = {.dtype = LUCID_I32},
                 .get = counting_get,
                 .free = counting_free},
        .fail_at = -1,
    };
}

/* Reads one epoch: the indices in `order`, the random numbers in `numbers` (both may be NULL). */
static int64_t read_epoch(lucid_loader *loader, int64_t *order, double *numbers)
{
    int64_t n = 0, number = 0;
    lucid_batch b;
    while (lucid_next(loader, &b)) {
        LUCID_SCOPE;
        cr_assert_eq(b.number, number++);
        cr_assert_eq(lucid_size(b.x, 0), b.n);
        EXPECT_SHAPE(b.x, b.n, 2);
        EXPECT_SHAPE(b.y, b.n);
        const double *x = lucid_data(b.x);
        const int32_t *y = lucid_data(b.y);
        for (int64_t i = 0; i < b.n; i++) {
            cr_assert_eq(x[2 * i], (double)b.indices[i]);
            cr_assert_eq(y[i], -b.indices[i]);
            if (order) order[n + i] = b.indices[i];
            if (numbers) numbers[n + i] = x[2 * i + 1];
        }
        n += b.n;
    }
    cr_expect(!b.x && !b.y && b.n == 0);
    return n;
}

Test(loader, in_order)
{
    counting c;
    counting_init(&c, 10);
    lucid_loader *loader = data_Loader(&c.base, .batch_size = 4);
    cr_assert(loader, "%s", lucid_error());
    cr_expect_eq(lucid_loader_size(loader), 10);
    cr_expect_eq(lucid_loader_batches(loader), 3);
    cr_expect_eq(lucid_loader_dataset(loader), &c.base);
    int64_t order[10];
    for (int epoch = 0; epoch < 3; epoch++) {
        cr_expect_eq(read_epoch(loader, order, NULL), 10);
        for (int i = 0; i < 10; i++) cr_expect_eq(order[i], i);
    }
    cr_expect_eq(c.calls, 30);
    lucid_loader_free(loader);
    cr_expect_eq(c.frees, 1);
}

Test(loader, sizes)
{
    const struct {
        int64_t size, batch;
        bool drop;
        int64_t batches, samples;
    } cases[] = {{10, 4, false, 3, 10}, {10, 4, true, 2, 8}, {8, 4, true, 2, 8},
                 {8, 4, false, 2, 8},   {3, 4, false, 1, 3}, {3, 4, true, 0, 0},
                 {0, 4, false, 0, 0},   {1, 1, true, 1, 1},  {5, INT64_MAX, false, 1, 5}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int workers = 0; workers < 3; workers++) {
            counting c;
            counting_init(&c, cases[i].size);
            lucid_loader *loader = data_Loader(&c.base, .batch_size = cases[i].batch,
                                               .drop_last = cases[i].drop, .workers = workers);
            cr_assert(loader, "%s", lucid_error());
            cr_expect_eq(lucid_loader_batches(loader), cases[i].batches);
            cr_expect_eq(lucid_loader_size(loader), cases[i].samples);
            for (int epoch = 0; epoch < 3; epoch++)
                cr_expect_eq(read_epoch(loader, NULL, NULL), cases[i].samples);
            lucid_loader_free(loader);
        }
}

Test(loader, a_shuffle_is_a_permutation_and_new_each_epoch)
{
    enum { N = 1000 };
    counting c;
    counting_init(&c, N);
    lucid_loader *loader = data_Loader(&c.base, .batch_size = 7, .shuffle = true);
    int64_t order[3][N];
    double numbers[3][N], by_sample[2][N];
    for (int e = 0; e < 3; e++) {
        cr_expect_eq(read_epoch(loader, order[e], numbers[e]), N);
        bool seen[N] = {false};
        for (int i = 0; i < N; i++) {
            cr_assert(!seen[order[e][i]]);
            seen[order[e][i]] = true;
        }
    }
    int fixed = 0, same = 0, same_number = 0;
    for (int i = 0; i < N; i++) {
        fixed += order[0][i] == i;
        same += order[0][i] == order[1][i];
        for (int e = 0; e < 2; e++) by_sample[e][order[e][i]] = numbers[e][i];
    }
    for (int i = 0; i < N; i++) same_number += by_sample[0][i] == by_sample[1][i];
    /* One of each is expected; more than 10 have a chance of 1e-8. */
    cr_expect(fixed <= 10 && same <= 10 && same_number <= 10);
    lucid_loader_free(loader);
}

/* Each sample is first in the order equally often. */
Test(loader, a_shuffle_is_fair)
{
    enum { N = 5, EPOCHS = 5000 };
    counting c;
    counting_init(&c, N);
    lucid_loader *loader = data_Loader(&c.base, .batch_size = N, .shuffle = true);
    int first[N] = {0}, last[N] = {0};
    int64_t order[N];
    for (int e = 0; e < EPOCHS; e++) {
        read_epoch(loader, order, NULL);
        first[order[0]]++;
        last[order[N - 1]]++;
    }
    for (int i = 0; i < N; i++) /* 1000 +- 28; six deviations */
        cr_expect(abs(first[i] - EPOCHS / N) < 170 && abs(last[i] - EPOCHS / N) < 170);
    lucid_loader_free(loader);
}

/* The order, and the samples' own random numbers, do not depend on the number of workers. */
Test(loader, one_seed_one_order)
{
    enum { N = 500 };
    int64_t order[2][2][N];
    double numbers[2][2][N];
    for (int workers = 0; workers < 6; workers++) {
        counting c;
        counting_init(&c, N);
        c.delay = workers ? 200 : 0;
        lucid_loader *loader = data_Loader(&c.base, .batch_size = 16, .shuffle = true, .seed = 5,
                                           .workers = workers, .prefetch = 1 + workers % 3);
        for (int e = 0; e < 2; e++)
            cr_assert_eq(read_epoch(loader, order[workers > 0][e], numbers[workers > 0][e]), N);
        cr_expect_eq(lucid_loader_seed(loader), 5);
        lucid_loader_free(loader);
        if (workers) {
            cr_expect(memcmp(order[0], order[1], sizeof order[0]) == 0, "%d workers", workers);
            cr_expect(memcmp(numbers[0], numbers[1], sizeof numbers[0]) == 0, "%d workers",
                      workers);
        }
    }
}

Test(loader, the_default_seed_comes_from_the_default_generator)
{
    uint64_t seeds[4];
    for (int i = 0; i < 4; i++) {
        if (i % 2 == 0) lucid_manual_seed(7);
        counting c;
        counting_init(&c, 3);
        lucid_loader *loader = data_Loader(&c.base);
        seeds[i] = lucid_loader_seed(loader);
        lucid_loader_free(loader);
    }
    cr_expect(seeds[0] == seeds[2] && seeds[1] == seeds[3] && seeds[0] != seeds[1]);
}

Test(loader, epochs_can_be_left_and_chosen)
{
    enum { N = 100 };
    for (int workers = 0; workers < 3; workers++) {
        counting c;
        counting_init(&c, N);
        lucid_loader *loader =
            data_Loader(&c.base, .batch_size = 10, .shuffle = true, .workers = workers);
        int64_t order[4][N], again[N];
        for (int e = 0; e < 4; e++) read_epoch(loader, order[e], NULL);
        cr_assert(lucid_loader_set_epoch(loader, 2));
        lucid_batch b;
        cr_assert(lucid_next(loader, &b) && b.epoch == 2 && b.indices[0] == order[2][0]);
        cr_assert(lucid_next(loader, &b) && b.number == 1 && b.indices[0] == order[2][10]);
        lucid_loader_reset(loader); /* leaves epoch 2 */
        lucid_loader_reset(loader); /* nothing has begun: nothing to leave */
        read_epoch(loader, again, NULL);
        cr_expect(memcmp(again, order[3], sizeof again) == 0);
        cr_assert(lucid_loader_set_epoch(loader, INT64_MAX));
        cr_assert(lucid_next(loader, &b) && b.epoch == INT64_MAX);
        lucid_loader_reset(loader);
        cr_assert(lucid_next(loader, &b) && b.epoch == 0, "0 comes after the last, got %lld",
                  (long long)b.epoch);
        cr_assert(lucid_loader_set_epoch(loader, 0));
        read_epoch(loader, again, NULL);
        cr_expect(memcmp(again, order[0], sizeof again) == 0);
        EXPECT_ERROR(lucid_loader_set_epoch(loader, -1), LUCID_ERR_ARGUMENT,
                     "epoch: expected >= 0");
        lucid_loader_free(loader);
    }
}

/* ---- ownership ------------------------------------------------------------------------------- */

Test(loader, the_loader_owns_its_batch)
{
    for (int workers = 0; workers < 3; workers++) {
        counting c;
        counting_init(&c, 12);
        lucid_loader *loader = data_Loader(&c.base, .batch_size = 4, .workers = workers);
        lucid_batch b;
        size_t before = lucid_scope_count();
        cr_assert(lucid_next(loader, &b));
        cr_expect_eq(lucid_scope_count(), before, "a batch is in no scope");
        const double *x;
        {
            LUCID_SCOPE;
            x = lucid_data(b.x);
        }
        cr_expect_eq(x[2 * 3], 3, "it outlives a scope");
        lucid_tensor *kept = lucid_retain(b.x);
        cr_assert(lucid_next(loader, &b));
        cr_assert_neq(lucid_data(b.x), lucid_data(kept));
        cr_assert(lucid_next(loader, &b));
        cr_expect_eq(((const double *)lucid_data(kept))[2 * 3], 3, "retained: it stays");
        cr_expect_not(lucid_next(loader, &b));
        lucid_loader_free(loader);
        cr_expect_eq(lucid_live().tensors, 1);
        lucid_release(kept);
        cr_expect(lucid_live().tensors == 0 && lucid_live().loaders == 0);
    }
}

/* At most the number of batches that the options say are alive, however long it runs. */
Test(loader, memory_is_bounded)
{
    for (int workers = 0; workers < 3; workers++) {
        counting c;
        counting_init(&c, 200);
        lucid_loader *loader =
            data_Loader(&c.base, .batch_size = 2, .workers = workers, .prefetch = 3);
        lucid_batch b;
        for (int e = 0; e < 3; e++)
            while (lucid_next(loader, &b))
                cr_assert_leq(lucid_live().tensors, 2 * (1 + 3 * workers));
        lucid_loader_free(loader);
    }
}

Test(loader, it_can_be_freed_at_any_moment)
{
    for (int round = 0; round < 60; round++) {
        counting c;
        counting_init(&c, 64);
        c.delay = round % 4 * 300;
        lucid_loader *loader = data_Loader(&c.base, .batch_size = 4, .workers = 1 + round % 3);
        lucid_batch b;
        for (int i = 0; i < round % 20; i++) (void)lucid_next(loader, &b);
        lucid_loader_free(loader);
        cr_assert_eq(c.frees, 1);
        cr_assert(lucid_live().tensors == 0 && lucid_live().loaders == 0);
    }
    lucid_loader_free(NULL);
}

/* ---- errors ---------------------------------------------------------------------------------- */

Test(loader, an_error_in_a_sample_ends_the_epoch)
{
    for (int workers = 0; workers < 4; workers++) {
        counting c;
        counting_init(&c, 40);
        c.fail_at = 17;
        lucid_loader *loader = data_Loader(&c.base, .batch_size = 4, .workers = workers);
        lucid_batch b;
        int64_t n = 0;
        while (lucid_next(loader, &b)) n += b.n;
        cr_expect_eq(n, 16, "the batches before it came");
        cr_expect_eq(lucid_error_code(), LUCID_ERR_IO);
        cr_expect_str_eq(lucid_error(), "counting: sample 17: a bad sector");
        cr_expect_not(lucid_next(loader, &b), "an error is pending");
        lucid_clear_error();
        c.fail_at = -1;
        cr_expect_eq(read_epoch(loader, NULL, NULL), 40, "the next epoch");
        lucid_loader_free(loader);
        cr_expect_eq(lucid_error_code(), LUCID_OK);
    }
}

/* In the default mode the error ends the program, in whichever thread it is raised. */
Test(loader, a_worker_that_fails_ends_the_program, .exit_code = 1)
{
    counting c;
    counting_init(&c, 40);
    c.fail_at = 17;
    lucid_set_error_mode(LUCID_ERRORS_STOP);
    lucid_loader *loader = data_Loader(&c.base, .batch_size = 4, .workers = 2);
    lucid_batch b;
    while (lucid_next(loader, &b)) continue;
    exit(0);
}

Test(loader, a_sample_that_fails_without_a_reason)
{
    for (int workers = 0; workers < 2; workers++) {
        counting c;
        counting_init(&c, 40);
        c.fail_at = 2;
        c.silent = true;
        lucid_loader *loader = data_Loader(&c.base, .workers = workers);
        lucid_batch b;
        EXPECT_ERROR(lucid_next(loader, &b), LUCID_ERR_STATE,
                     "data set counting: sample 2 could not be had");
        lucid_loader_free(loader);
    }
}

/* Computes a sample with tensors, without a scope of its own; sample 30 goes wrong unnoticed. */
static bool tensors_get(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *x,
                        void *y)
{
    (void)rng;
    counting *c = (counting *)(uintptr_t)d;
    lucid_tensor *t = lucid_full((2), (double)index, .dtype = LUCID_F64);
    int64_t live = lucid_live().tensors;
    if (live > atomic_load(&c->calls)) atomic_store(&c->calls, (int)live); /* the most so far */
    lucid_copy_to(index == c->fail_at ? NULL : t, x, 2 * sizeof(double));
    *(int32_t *)y = 0;
    return true;
}

Test(loader, a_data_set_that_computes_with_tensors)
{
    for (int workers = 0; workers < 3; workers += 2) {
        counting c;
        counting_init(&c, 40);
        c.base.get = tensors_get;
        lucid_loader *loader = data_Loader(&c.base, .batch_size = 4, .workers = workers);
        lucid_batch b;
        int64_t n = 0;
        while (lucid_next(loader, &b)) n += b.n;
        cr_expect_eq(n, 40);
        cr_expect_leq(atomic_load(&c.calls), 2 * 5 + 4, "%d live", atomic_load(&c.calls));
        c.fail_at = 30;
        for (n = 0; lucid_next(loader, &b);) n += b.n;
        cr_expect_eq(n, 28, "the batch of sample 30 does not come");
        cr_expect_eq(lucid_error_code(), LUCID_ERR_ARGUMENT);
        cr_expect(strstr(lucid_error(), "copy_to"), "%s", lucid_error());
        lucid_loader_free(loader);
        lucid_clear_error();
    }
}

Test(loader, a_pending_error_stops_the_loop)
{
    counting c;
    counting_init(&c, 40);
    lucid_loader *loader = data_Loader(&c.base, .batch_size = 4);
    lucid_batch b;
    cr_assert(lucid_next(loader, &b));
    lucid_raise(LUCID_ERR_STATE, "test", "first");
    cr_expect_not(lucid_next(loader, &b));
    cr_expect_null(b.x);
    cr_expect_str_eq(lucid_error(), "test: first");
    cr_expect_null(data_Loader(NULL));
    cr_expect_str_eq(lucid_error(), "test: first");
    lucid_clear_error();
    cr_expect(lucid_next(loader, &b) && b.number == 0 && b.epoch == 1,
              "the error ended the epoch: got batch %d of epoch %d", (int)b.number, (int)b.epoch);
    lucid_loader_free(loader);
}

/* After a loop that ended by an error, even on the last batch, the next one has a whole epoch. */
Test(loader, a_loop_after_an_error_has_every_batch)
{
    for (int workers = 0; workers < 3; workers++)
        for (int at = 1; at <= 10; at++) {
            counting c;
            counting_init(&c, 40);
            lucid_loader *loader = data_Loader(&c.base, .batch_size = 4, .workers = workers);
            lucid_batch b;
            int n = 0, m = 0;
            while (lucid_next(loader, &b))
                if (++n == at) lucid_raise(LUCID_ERR_ARGUMENT, "test", "a mistake");
            lucid_clear_error();
            while (lucid_next(loader, &b)) m++;
            cr_expect(n == at && m == 10,
                      "workers %d: the loop ended at batch %d, the next one has %d of 10", workers,
                      n, m);
            lucid_loader_free(loader);
        }
}

#define REFUSED(text, ...)                                                         \
    do {                                                                           \
        counting_init(&c, 10);                                                     \
        EXPECT_ERROR(data_Loader(&c.base, __VA_ARGS__), LUCID_ERR_ARGUMENT, text); \
        cr_expect_eq(c.frees, 1, "the data set is freed also then");               \
    } while (0)

Test(loader, arguments)
{
    counting c;
    lucid_batch b;
    REFUSED("batch_size: expected >= 1, got 0", .batch_size = 0);
    REFUSED("workers: expected 0 to 1024, got -1", .workers = -1);
    REFUSED("prefetch: expected 1 to 65536, got 0", .prefetch = 0);
    EXPECT_ERROR(data_Loader(NULL), LUCID_ERR_ARGUMENT, "data_Loader: dataset: got NULL");
    EXPECT_ERROR(lucid_next(NULL, &b), LUCID_ERR_ARGUMENT, "loader: got NULL");
    cr_expect_eq(lucid_loader_size(NULL), 0);
    counting_init(&c, 10);
    EXPECT_ERROR(data_Loader(&c.base, .device = ((lucid_device){LUCID_CPU, 3})), LUCID_ERR_DEVICE,
                 "device: ");
    counting_init(&c, -1);
    EXPECT_ERROR(data_Loader(&c.base), LUCID_ERR_ARGUMENT, "size >= 0");
    counting_init(&c, 1);
    c.base.get = NULL;
    EXPECT_ERROR(data_Loader(&c.base), LUCID_ERR_ARGUMENT, ".get is NULL");
    counting_init(&c, 1);
    c.base.x.shape.ndim = LUCID_MAX_DIMS;
    EXPECT_ERROR(data_Loader(&c.base), LUCID_ERR_ARGUMENT, "x.shape: expected 0 to 7");
    counting_init(&c, 1);
    c.base.y.dtype = LUCID_DTYPE_COUNT;
    EXPECT_ERROR(data_Loader(&c.base), LUCID_ERR_ARGUMENT, "is no dtype");
    counting_init(&c, 2);
    c.base.y.shape = LUCID_SHAPE(INT64_MAX / 2, 4);
    EXPECT_ERROR(data_Loader(&c.base), LUCID_ERR_ARGUMENT, "");
    cr_expect_eq(c.frees, 1);
}

Test(loader, every_allocation_may_fail)
{
    for (int workers = 0; workers < 3; workers++)
        for (uint64_t n = 1;; n++) {
            cr_assert_lt(n, 200, "never succeeded");
            counting c;
            counting_init(&c, 20);
            lucid_memory_fail_nth(n);
            lucid_loader *loader = data_Loader(&c.base, .batch_size = 4, .workers = workers);
            lucid_batch b;
            int64_t got = 0;
            while (lucid_next(loader, &b)) got += b.n;
            bool reached = lucid_memory_fail_count() >= n;
            lucid_memory_fail_nth(0);
            lucid_loader_free(loader);
            cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                         lucid_error());
            cr_assert_eq(got == 20, !reached);
            cr_assert_eq(c.frees, 1);
            cr_assert(lucid_live().tensors == 0 && lucid_live().loaders == 0);
            lucid_clear_error();
            if (!reached) break;
        }
}

/* ---- tensors as a data set ------------------------------------------------------------------- */

Test(loader, tensors)
{
    lucid_tensor *x = lucid_values((5, 2), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
    const int64_t numbers[] = {0, 1, 2, 3, 4};
    lucid_tensor *y = lucid_from_data((5), numbers, .dtype = LUCID_I64);
    lucid_loader *loader = data_Loader(data_Tensors(x, y), .batch_size = 3);
    lucid_batch b;
    cr_assert(lucid_next(loader, &b), "%s", lucid_error());
    EXPECT_SHAPE(b.x, 3, 2);
    EXPECT_VALUES(b.x, 0, 0, {0, 1, 2, 3, 4, 5});
    EXPECT_VALUES(b.y, 0, 0, {0, 1, 2});
    cr_expect(lucid_tensor_dtype(b.x) == LUCID_F32 && lucid_tensor_dtype(b.y) == LUCID_I64);
    cr_assert(lucid_next(loader, &b));
    EXPECT_VALUES(b.x, 0, 0, {6, 7, 8, 9});
    EXPECT_VALUES(b.y, 0, 0, {3, 4});
    lucid_loader_free(loader);
}

Test(loader, tensors_of_any_strides)
{
    lucid_tensor *x = lucid_values((2, 3), 0, 1, 2, 3, 4, 5);
    lucid_meta meta;
    luc_tensor_get_meta(x, &meta);
    meta.dims[0] = 3, meta.dims[1] = 2, meta.strides[0] = 1, meta.strides[1] = 3;
    lucid_tensor *transposed = luc_tensor_on(x->storage, &meta, "test");
    lucid_loader *loader = data_Loader(data_Tensors(transposed, transposed), .batch_size = 2);
    lucid_batch b;
    cr_assert(lucid_next(loader, &b), "%s", lucid_error());
    EXPECT_VALUES(b.x, 0, 0, {0, 3, 1, 4});
    EXPECT_VALUES(b.y, 0, 0, {0, 3, 1, 4});
    lucid_loader_free(loader);
}

Test(loader, tensors_outlive_their_scope)
{
    lucid_loader *loader;
    {
        LUCID_SCOPE;
        loader = data_Loader(data_Tensors(lucid_values((2), 3, 4), lucid_values((2, 1), 5, 6)));
    }
    lucid_batch b;
    cr_assert(lucid_next(loader, &b), "%s", lucid_error());
    EXPECT_SHAPE(b.x, 2);
    EXPECT_SHAPE(b.y, 2, 1);
    EXPECT_VALUES(b.y, 0, 0, {5, 6});
    lucid_loader_free(loader);
    cr_expect(lucid_live().tensors == 0 && lucid_live().other == 0);
}

Test(loader, tensors_that_do_not_fit)
{
    lucid_tensor *x = lucid_values((3, 2), 0, 1, 2, 3, 4, 5), *y = lucid_values((2), 0, 1);
    EXPECT_ERROR(data_Tensors(x, y), LUCID_ERR_ARGUMENT, "got x [3,2], y [2]");
    EXPECT_ERROR(data_Tensors(NULL, y), LUCID_ERR_ARGUMENT, "x: got NULL");
    EXPECT_ERROR(data_Tensors(x, NULL), LUCID_ERR_ARGUMENT, "y: got NULL");
    EXPECT_ERROR(data_Tensors(lucid_scalar(1), y), LUCID_ERR_ARGUMENT, "got a scalar");
}
