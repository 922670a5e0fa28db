/* Allocation: statistics, caches, pools, the hook that makes it fail, and the report at the end. */
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"
#include "tests/lucid/child.h"

#include <malloc.h>
#include <pthread.h>

static lucid_memory_stats now(void)
{
    return lucid_memory(lucid_cpu());
}

Test(memory, statistics)
{
    lucid_memory_stats before = now();
    {
        LUCID_SCOPE;
        lucid_empty((1000)); /* 4000 bytes: the class of 4032 */
        lucid_memory_stats in = now();
        cr_expect(in.current_bytes - before.current_bytes == 4032, "%zu",
                  in.current_bytes - before.current_bytes);
        cr_expect(in.live_blocks == before.live_blocks + 1);
        cr_expect(in.allocations == before.allocations + 1);
        cr_expect(in.peak_bytes >= in.current_bytes);
        cr_expect(in.reserved_bytes >= in.current_bytes);
    }
    cr_expect(now().current_bytes == before.current_bytes);
    cr_expect(now().live_blocks == before.live_blocks);
}

Test(memory, peak_and_reset)
{
    {
        LUCID_SCOPE;
        lucid_empty((1 << 20));
    }
    size_t base = now().current_bytes;
    cr_expect(now().peak_bytes >= base + ((size_t)4 << 20));
    lucid_memory_reset_peak(lucid_cpu());
    cr_expect(now().peak_bytes == base);
    {
        LUCID_SCOPE;
        lucid_empty((1 << 18));
    }
    cr_expect(now().peak_bytes >= base + ((size_t)1 << 20));
    cr_expect(now().peak_bytes < base + ((size_t)2 << 20));
}

static void make_and_drop(int64_t n)
{
    LUCID_SCOPE;
    cr_assert(lucid_empty_opt(LUCID_SHAPE(n), NULL));
}

Test(memory, blocks_come_back_from_the_cache)
{
    static const int64_t sizes[] = {1, 100, 1024, 1025, 5000, 1 << 16, (1 << 20) + 7, 3 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        make_and_drop(sizes[i]);
        lucid_memory_stats before = now();
        make_and_drop(sizes[i]);
        cr_expect(now().cache_hits == before.cache_hits + 1, "%lld", (long long)sizes[i]);
        cr_expect(now().reserved_bytes == before.reserved_bytes);
    }
    lucid_memory_release_cache(lucid_cpu());
    cr_expect(now().reserved_bytes == now().current_bytes);
    uint64_t hits = now().cache_hits;
    make_and_drop(5000);
    cr_expect(now().cache_hits == hits);
}

/* ---- how much the cache keeps ---------------------------------------------------------------- */

static const size_t slack = (size_t)64 << 20;

/* Tensors of rising sizes, one at a time, the memory of none touched. */
static void grow_to(int64_t most)
{
    for (int64_t n = 100000; n < most; n += n / 11) make_and_drop(n);
}

Test(memory, the_cache_is_bounded_by_the_peak)
{
    grow_to(60000000);
    cr_expect(now().peak_bytes > (size_t)200 << 20);
    cr_expect(now().reserved_bytes <= 2 * now().peak_bytes + slack, "reserved %zu MB, peak %zu MB",
              now().reserved_bytes >> 20, now().peak_bytes >> 20);
    cr_assert(lucid_memory_set_cache_limit(lucid_cpu(), 1));
    cr_expect(now().reserved_bytes <= now().peak_bytes + slack, "what was kept goes at once");
    grow_to(60000000);
    cr_expect(now().reserved_bytes <= now().peak_bytes + slack);
    lucid_memory_release_cache(lucid_cpu());
    cr_assert(lucid_memory_set_cache_limit(lucid_cpu(), INFINITY));
    grow_to(60000000);
    cr_expect(now().reserved_bytes > (size_t)2000 << 20);
}

/* The limit follows the largest peak, not one that was reset. */
Test(memory, a_reset_peak_does_not_empty_the_cache)
{
    for (int step = 0; step < 4; step++) {
        const uint64_t missed = now().allocations - now().cache_hits;
        {
            LUCID_SCOPE;
            for (int64_t n = 1; n < 12; n++) lucid_empty((n, 3 << 20));
        }
        cr_expect(step == 0 || now().allocations - now().cache_hits == missed, "step %d", step);
        lucid_memory_reset_peak(lucid_cpu());
    }
}

/* Two shapes take turns, as with a last batch, and a small program runs between them: no block that
 * will be used again is returned to the system. */
Test(memory, steps_find_their_blocks)
{
    for (int step = 0; step < 12; step++) {
        const uint64_t missed = now().allocations - now().cache_hits;
        LUCID_SCOPE;
        for (int64_t n = 1; n < 12; n++) {
            lucid_empty((step % 3 == 2 ? 24 : 64, n, 1 << 14));
            make_and_drop(64 * n << 13);
        }
        cr_expect(step < 3 || now().allocations - now().cache_hits == missed, "step %d", step);
    }
}

static void *grow_in_a_thread(void *unused)
{
    for (int i = 0; i < 20; i++) grow_to(4000000);
    return unused;
}

Test(memory, the_bound_holds_with_threads)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_create(&threads[i], NULL, grow_in_a_thread, NULL) == 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    /* A thread may be about to take a block while another one reads the statistics. */
    cr_expect(now().reserved_bytes <= 2 * now().peak_bytes + slack + ((size_t)4 << 24));
    lucid_memory_release_cache(lucid_cpu());
    cr_expect(now().reserved_bytes == now().current_bytes);
}

Test(memory, cache_limits_that_are_refused)
{
    EXPECT_ERROR(lucid_memory_set_cache_limit(lucid_cpu(), 0.5), LUCID_ERR_ARGUMENT,
                 "memory_set_cache_limit: peaks: expected >= 1, got 0.5");
    EXPECT_ERROR(lucid_memory_set_cache_limit(lucid_cpu(), NAN), LUCID_ERR_ARGUMENT,
                 "expected >= 1");
    EXPECT_ERROR(lucid_memory_set_cache_limit((lucid_device){LUCID_CPU, 2}, 2), LUCID_ERR_DEVICE,
                 "cannot be used here");
}

/* A block of any size is aligned, overlaps no other, and is no longer counted when it is freed. */
Test(memory, many_sizes)
{
    enum { N = 400 };
    void *p[N];
    size_t size[N], base = luc_cache_stats().current_bytes;
    for (int i = 0; i < N; i++) {
        size[i] = i < 200 ? (size_t)i * 41 + 1 : ((size_t)1 << (i - 200) / 15) * 4099 / 7 + 1;
        if (size[i] > (size_t)4 << 20) size[i] = (size_t)(i * 977);
        p[i] = luc_cache_alloc(size[i]);
        cr_assert(p[i] && (uintptr_t)p[i] % 64 == 0);
        memset(p[i], i, size[i]);
    }
    for (int i = 0; i < N; i++) {
        const unsigned char *c = p[i];
        cr_assert(c[0] == (unsigned char)i && c[size[i] - 1] == (unsigned char)i);
        luc_cache_free(p[i], size[i]);
    }
    cr_expect(luc_cache_stats().current_bytes == base);
    luc_cache_release();
    cr_expect(luc_cache_stats().reserved_bytes == base);
    cr_expect(!luc_cache_alloc((size_t)PTRDIFF_MAX - 63) && !luc_cache_alloc(SIZE_MAX));
    luc_cache_free(NULL, 0);
}

Test(memory, devices_that_are_not_there)
{
    lucid_memory_stats zero = {0}, got = lucid_memory((lucid_device){LUCID_CPU, 1});
    cr_expect(memcmp(&got, &zero, sizeof got) == 0);
    got = lucid_memory((lucid_device){LUCID_CPU, -1});
    cr_expect(memcmp(&got, &zero, sizeof got) == 0);
    got = lucid_memory((lucid_device){(lucid_device_type)9, 0});
    cr_expect(memcmp(&got, &zero, sizeof got) == 0);
    lucid_memory_reset_peak((lucid_device){LUCID_CPU, 3});
    lucid_memory_release_cache((lucid_device){(lucid_device_type)9, 0});
    cr_expect(lucid_error_code() == LUCID_OK);
}

/* ---- failing allocations --------------------------------------------------------------------- */

static bool program(void)
{
    LUCID_SCOPE;
    lucid_tensor *a = lucid_full((3, 4), 2), *b = lucid_randn((3, 4), .dtype = LUCID_F16);
    lucid_tensor *order = lucid_randperm(100), *c = lucid_arange(0, 5, 1);
    lucid_tensor *v = lucid_values((2, 2), 1, 2, 3, 4), *s = lucid_scalar(3);
    lucid_tensor *e = lucid_eye(3, 3), *r = lucid_randint((4), 0, 9);
    double out[12];
    bool ok = a && b && order && c && v && s && e && r && lucid_set_name(a, "a");
    ok = ok && lucid_to_doubles(b, out, 12) && lucid_equal(a, a);
    lucid_retain(a);
    lucid_release(a);
    return ok && lucid_error_code() == LUCID_OK;
}

Test(memory, each_allocation_fails_once)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_assert(program(), "%s", lucid_error());
    lucid_live_counts none = lucid_live();
    uint64_t n = 1;
    for (;; n++) {
        cr_assert(n < 10000);
        lucid_memory_fail_nth(n);
        bool ok = program();
        uint64_t counted = lucid_memory_fail_count();
        lucid_memory_fail_nth(0);
        if (ok) {
            cr_expect(counted < n, "allocation %llu failed and nobody said so",
                      (unsigned long long)n);
            break;
        }
        cr_expect(lucid_error_code() == LUCID_ERR_MEMORY, "allocation %llu: %s",
                  (unsigned long long)n, lucid_error());
        cr_expect(strstr(lucid_error(), "out of memory"), "%s", lucid_error());
        lucid_clear_error();
        lucid_live_counts after = lucid_live();
        cr_expect(memcmp(&after, &none, sizeof after) == 0, "allocation %llu leaks",
                  (unsigned long long)n);
    }
    cr_expect(n > 20, "only %llu allocations", (unsigned long long)n);
    cr_expect(program()); /* all is well afterwards */
}

Test(memory, general_functions)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    char *p = luc_alloc(0, "test");
    cr_expect(p);
    p = luc_realloc(p, 100, "test");
    memset(p, 1, 100);
    luc_free(p);
    char *z = luc_calloc(10, 10, "test");
    for (int i = 0; i < 100; i++) cr_expect(z[i] == 0);
    luc_free(z);
    EXPECT_ERROR(luc_calloc(SIZE_MAX, 2, "test"), LUCID_ERR_MEMORY, "test: out of memory");
    EXPECT_ERROR(luc_alloc((size_t)PTRDIFF_MAX, "test"), LUCID_ERR_MEMORY,
                 "test: out of memory: 9223372036854775807 bytes asked for");
    char *s = luc_strdup("text", "test");
    cr_expect(strcmp(s, "text") == 0);
    char *kept = s;
    lucid_memory_fail_nth(1);
    s = luc_realloc(s, 1000, "test");
    lucid_memory_fail_nth(0);
    cr_expect(!s && strcmp(kept, "text") == 0);
    luc_free(kept);
}

Test(memory, pools_give_distinct_memory_of_every_size)
{
    enum { N = 300 };
    unsigned char *p[N];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < N; i++) {
            size_t size = (size_t)i * 10 + 1; /* beyond LUC_POOL_MAX too */
            p[i] = luc_pool_alloc(size, "test");
            memset(p[i], i, size);
        }
        for (int i = 0; i < N; i++) {
            cr_assert(p[i][0] == (unsigned char)i && p[i][i * 10] == (unsigned char)i);
            luc_pool_free(p[i], (size_t)i * 10 + 1);
        }
    }
    luc_pool_free(NULL, 64);
    luc_pool_release_thread();
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { OBJECTS = 2000 };

static void *release_all(void *p)
{
    lucid_tensor **tensors = p;
    for (int i = 0; i < OBJECTS; i++) lucid_release(tensors[i]);
    return NULL;
}

/* A thread keeps what it frees in its own lists, which must not be lost when it ends. */
Test(memory, a_thread_that_only_frees_gives_back)
{
    static lucid_tensor *tensors[OBJECTS];
    size_t first = 0;
    for (int round = 0; round < 30; round++) {
        {
            LUCID_SCOPE;
            for (int i = 0; i < OBJECTS; i++) tensors[i] = lucid_retain(lucid_empty((1)));
        }
        pthread_t t;
        cr_assert(pthread_create(&t, NULL, release_all, tensors) == 0);
        pthread_join(t, NULL);
        struct mallinfo2 info = mallinfo2();
        if (round == 5) first = info.uordblks;
        /* a round loses half a megabyte where the lists die with their thread */
        if (round > 5)
            cr_assert(info.uordblks < first + (1 << 20), "round %d: %zu bytes, at first %zu", round,
                      info.uordblks, first);
    }
    cr_expect(lucid_live().tensors == 0 && lucid_live().storages == 0);
}

static void *churn(void *unused)
{
    (void)unused;
    for (int i = 0; i < 3000; i++) {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_empty_opt(LUCID_SHAPE(1 + i * 7 % 5000), NULL);
        cr_assert(t);
        memset(lucid_mutable_data(t), 1, (size_t)lucid_numel(t) * 4);
    }
    return NULL;
}

Test(memory, threads_at_once)
{
    size_t base = now().current_bytes;
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) cr_assert(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    cr_expect(now().current_bytes == base);
    cr_expect(lucid_live().tensors == 0);
    lucid_memory_release_cache(lucid_cpu());
    cr_expect(now().reserved_bytes == base, "%zu", now().reserved_bytes);
}

/* ---- the end --------------------------------------------------------------------------------- */

static int clean_program(void)
{
    lucid_zeros((10));
    return lucid_finish();
}

static int leaking_program(void)
{
    lucid_retain(lucid_zeros((10)));
    lucid_retain(lucid_zeros((10)));
    return lucid_finish();
}

static int failed_program(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_zeros((-1));
    int status = lucid_finish();
    return lucid_error_code() == LUCID_OK ? status : 9; /* reported, and gone */
}

Test(memory, finish_reports)
{
    child c = child_run(clean_program);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0);
    cr_expect(strcmp(c.text, "") == 0, "%s", c.text);
    c = child_run(leaking_program);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 1);
    cr_expect(strcmp(c.text, "lucid: never freed: 2 tensors, 2 storages\n") == 0, "%s", c.text);
    c = child_run(failed_program);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 1);
    cr_expect(
        strcmp(c.text, "lucid: argument error: zeros: shape: expected sizes >= 0, got [-1]\n") == 0,
        "%s", c.text);
}
