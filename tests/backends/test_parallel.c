/* test_parallel.c: every block runs once, whoever asks, and a forked child has a pool again. */
#include "backends/cpu/threads/parallel.h"
#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N = 1000 };

typedef struct job {
    atomic_int runs[N];
    atomic_int busy[LUC_MAX_THREADS]; /* threads with this index that run a block now */
    atomic_int wrong;
} job;

static void count(void *ctx, int64_t begin, int64_t end, int thread)
{
    job *j = ctx;
    if (atomic_fetch_add(&j->busy[thread], 1) != 0) atomic_fetch_add(&j->wrong, 1);
    if (end - begin > 7 || begin % 7 != 0 || thread >= luc_num_threads())
        atomic_fetch_add(&j->wrong, 1);
    for (int64_t i = begin; i < end; i++) atomic_fetch_add(&j->runs[i], 1);
    atomic_fetch_sub(&j->busy[thread], 1);
}

/* Runs a job and says how many things were wrong with it. */
static int run(int64_t n)
{
    job *j = calloc(1, sizeof *j);
    cr_assert(j);
    luc_parallel_for(n, 7, count, j);
    int wrong = atomic_load(&j->wrong);
    for (int i = 0; i < N; i++) wrong += atomic_load(&j->runs[i]) != (i < n);
    free(j);
    return wrong;
}

Test(parallel, every_element_once)
{
    static const int sizes[] = {0, 1, 6, 7, 8, 50, 999, N};
    for (int threads = 1; threads <= 9; threads += 2) {
        luc_set_num_threads(threads);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (int again = 0; again < 50; again++)
                cr_assert(run(sizes[s]) == 0, "%d threads, %d elements", threads, sizes[s]);
    }
}

static void nested(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)begin, (void)end, (void)thread;
    atomic_fetch_add((atomic_int *)ctx, run(100) == 0);
}

Test(parallel, a_block_may_fork_again)
{
    luc_set_num_threads(3);
    atomic_int right = 0;
    luc_parallel_for(20, 1, nested, &right);
    cr_assert(atomic_load(&right) == 20);
}

static void *caller(void *ctx)
{
    for (int i = 0; i < 200; i++) atomic_fetch_add((atomic_int *)ctx, run(500));
    return NULL;
}

Test(parallel, several_callers)
{
    luc_set_num_threads(4);
    pthread_t threads[4];
    atomic_int wrong = 0;
    for (int i = 0; i < 4; i++) cr_assert(pthread_create(&threads[i], NULL, caller, &wrong) == 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    cr_assert(atomic_load(&wrong) == 0);
}

Test(parallel, a_forked_child_has_a_pool_again, .timeout = 60)
{
    luc_set_num_threads(3);
    cr_assert(run(N) == 0); /* the parent's helpers run now */
    pid_t child = fork();
    if (child == 0) _exit(run(N) == 0 ? 0 : 1);
    int status;
    cr_assert(waitpid(child, &status, 0) == child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert(run(N) == 0);
}

Test(parallel, helpers_that_slept_wake_up)
{
    luc_set_num_threads(2);
    for (int i = 0; i < 5; i++) {
        cr_assert(run(N) == 0);
        usleep(2000); /* longer than they spin */
    }
}
