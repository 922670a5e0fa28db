/* test_feed.c: loaders that put their batches on the device. */
#include "cuda_testing.h"
#include "lucid/core/backend.h"
#include "lucid/core/dangling_priv.h"

#include <stdlib.h>
#include <string.h>

CUDA_SUITE(feed);

enum { SAMPLES = 70, WIDTH = 37 };

static lucid_dataset *numbers(void)
{
    lucid_tensor *x =
        lucid_reshape(lucid_arange(0, SAMPLES * WIDTH, 1, .dtype = LUCID_F32), (SAMPLES, WIDTH));
    return data_Tensors(x, lucid_arange(0, SAMPLES, 1));
}

/* The epoch's batches on the device are the same as on the CPU. What was kept stays as it was. */
static void same_batches(lucid_loader_options o)
{
    lucid_loader *there = lucid_loader_new(numbers(), &o);
    o.device = lucid_cpu();
    o.resident = false;
    lucid_loader *here = lucid_loader_new(numbers(), &o);
    cr_assert(there && here, "%s", lucid_error());
    for (int epoch = 0; epoch < 3; epoch++) {
        LUCID_SCOPE;
        lucid_batch a, b;
        lucid_tensor *kept = NULL, *kept_as = NULL;
        while (lucid_next(here, &b)) {
            cr_assert(lucid_next(there, &a), "%s", lucid_error());
            cr_expect(lucid_device_equal(lucid_tensor_device(a.x), lucid_cuda(0)));
            cr_expect(a.n == b.n && lucid_equal(a.x, b.x) && lucid_equal(a.y, b.y),
                      "epoch %d, batch %d", epoch, (int)b.number);
            if (b.number == 1) {
                kept = lucid_retain(a.x);
                kept_as = lucid_retain(b.x);
            }
        }
        cr_expect(!lucid_next(there, &a));
        cr_expect(kept && lucid_equal(kept, kept_as), "a batch that was kept was written over");
        lucid_release(kept);
        lucid_release(kept_as);
    }
    cr_expect_str_eq(lucid_error(), "");
    lucid_loader_free(here);
    lucid_loader_free(there);
}

Test(feed, batches_are_those_of_the_cpu)
{
    lucid_loader_options o = lucid_loader_defaults;
    o.device = lucid_cuda(0);
    o.batch_size = 16;
    o.shuffle = true;
    o.seed = 3;
    for (o.workers = 0; o.workers < 3; o.workers++) same_batches(o);
    o.workers = 0;
    o.resident = true;
    same_batches(o);
    o.drop_last = true;
    same_batches(o);
}

/* Two pieces of device memory take turns, but a batch's tensors end with it. */
Test(feed, a_batch_that_is_over_is_refused)
{
    for (int resident = 0; resident < 2; resident++) {
        lucid_loader *l =
            data_Loader(numbers(), .device = lucid_cuda(0), .batch_size = 10, .resident = resident);
        lucid_batch b;
        luc_debug_tensors = true;
        cr_assert(lucid_next(l, &b), "%s", lucid_error());
        lucid_tensor *x = b.x, *y = b.y;
        cr_assert(lucid_next(l, &b) && lucid_next(l, &b), "%s", lucid_error());
        EXPECT_ERROR(lucid_sum(x), LUCID_ERR_STATE, "sum: x: expected a living tensor");
        EXPECT_ERROR(lucid_sum(y), LUCID_ERR_STATE, "sum: x: expected a living tensor");
        lucid_loader_free(l);
    }
}

Test(feed, resident_on_the_cpu)
{
    lucid_batch b;
    lucid_loader *l = data_Loader(numbers(), .resident = true, .batch_size = 50);
    cr_expect(lucid_next(l, &b) && lucid_at(b.x, LUCID_SHAPE(3, 1)) == 3 * WIDTH + 1);
    cr_expect(lucid_next(l, &b) && b.n == 20 && lucid_at(b.y, LUCID_SHAPE(19)) == 69);
    cr_expect(!lucid_next(l, &b));
    lucid_loader_free(l);
    EXPECT_ERROR(data_Loader(numbers(), .resident = true, .workers = 2), LUCID_ERR_ARGUMENT,
                 "data_Loader: workers: expected 0 with .resident");
}

/* Batches are handed over without waiting: the memory of one is not filled while it is worked
 * on. */
Test(feed, work_that_is_still_queued_sees_its_own_batch)
{
    lucid_loader *l = data_Loader(numbers(), .device = lucid_cuda(0), .batch_size = 5);
    lucid_tensor *copies[SAMPLES / 5];
    lucid_batch b;
    while (lucid_next(l, &b)) copies[b.number] = lucid_clone(b.x, LUCID_CONTIGUOUS);
    for (int i = 0; i < SAMPLES / 5; i++)
        cr_expect(lucid_at(copies[i], LUCID_SHAPE(0, 0)) == i * 5 * WIDTH, "batch %d", i);
    lucid_loader_free(l);
}

/* Page-locked memory that is given back is not used again before it has been read. */
Test(feed, memory_given_back_while_a_copy_is_queued)
{
    enum { SIZE = 1 << 20 };
    const lucid_backend *b = lucid_backend_get(LUCID_CUDA);
    char *there = b->alloc(0, SIZE), *made = malloc(SIZE);
    for (int uploads = 0; uploads < 2; uploads++) {
        char *first = b->host_alloc(SIZE);
        cr_assert(first && there && made);
        memset(first, 1, SIZE);
        cr_assert(uploads ? b->upload(0, there, first, SIZE, NULL)
                          : b->copy(there, lucid_cuda(0), first, lucid_cpu(), SIZE),
                  "%s", lucid_error());
        b->host_free(first);
        char *second = b->host_alloc(SIZE);
        cr_assert(second);
        memset(second, 2, SIZE);
        cr_assert(b->copy(made, lucid_cpu(), there, lucid_cuda(0), SIZE), "%s", lucid_error());
        for (int i = 0; i < SIZE; i += 4095) cr_assert_eq(made[i], 1);
        b->host_free(second);
    }
    b->free(0, there, SIZE);
    free(made);
}

Test(feed, failures)
{
    lucid_loader *l = data_Loader(numbers(), .device = lucid_cuda(0));
    lucid_batch b;
    for (uint64_t n = 1; n < 40; n++) {
        lucid_memory_fail_nth(n);
        bool ok = lucid_next(l, &b);
        bool failed = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_expect(ok == !failed && (lucid_error_code() == LUCID_ERR_MEMORY) == failed,
                  "allocation %d: %s", (int)n, lucid_error());
        lucid_clear_error();
        lucid_loader_reset(l);
        if (ok) break;
    }
    lucid_loader_free(l);
}
