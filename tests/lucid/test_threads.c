/* test_threads.c: what lucid's own threads have from the program: not its signals, but the
 * floating-point mode of whoever they work for. */
#include "backends/cpu/threads/parallel.h"
#include "child.h"
#include "lucid/lucid.h"
#include "lucid/core/threads_priv.h"
#include "testing.h"

#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

/* What lucid's threads look like from inside. */
typedef struct sight {
    atomic_int others; /* blocks that another thread than the caller ran */
    atomic_int takes_signals, no_name, another_mode, blocks_faults;
    pthread_t caller;
    luc_fp_mode mode;
    const char *prefix;
} sight;

static void look(sight *s)
{
    if (pthread_equal(pthread_self(), s->caller)) return;
    static const int asked_for[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM, SIGUSR1, SIGCHLD, SIGPROF};
    sigset_t mask;
    char name[32] = "";
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (size_t i = 0; i < sizeof asked_for / sizeof *asked_for; i++)
        if (!sigismember(&mask, asked_for[i])) atomic_fetch_add(&s->takes_signals, 1);
    if (sigismember(&mask, SIGSEGV) || sigismember(&mask, SIGFPE))
        atomic_fetch_add(&s->blocks_faults, 1);
    pthread_getname_np(pthread_self(), name, sizeof name);
    if (strncmp(name, s->prefix, strlen(s->prefix)) != 0) atomic_fetch_add(&s->no_name, 1);
    if (luc_fp_mode_get() != s->mode) atomic_fetch_add(&s->another_mode, 1);
    atomic_fetch_add(&s->others, 1);
}

static void expect_quiet(sight *s, const char *when)
{
    cr_expect(atomic_load(&s->others) > 0, "%s: no helper ran", when);
    cr_expect(atomic_load(&s->takes_signals) == 0, "%s: helpers take signals", when);
    cr_expect(atomic_load(&s->blocks_faults) == 0, "%s: helpers block their own faults", when);
    cr_expect(atomic_load(&s->no_name) == 0, "%s: threads are not named %s...", when, s->prefix);
    cr_expect(atomic_load(&s->another_mode) == 0, "%s: %d of %d blocks computed in another mode",
              when, atomic_load(&s->another_mode), atomic_load(&s->others));
}

/* Each block waits, so that helpers take part. */
static void look_from_blocks(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)begin, (void)end, (void)thread;
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    look(ctx);
}

static void look_from_pool(const char *when)
{
    sight s = {.caller = pthread_self(), .mode = luc_fp_mode_get(), .prefix = "lucid-pool-"};
    luc_parallel_for(30, 1, look_from_blocks, &s);
    expect_quiet(&s, when);
}

Test(threads, the_pool_takes_no_signals_and_its_callers_mode, .timeout = 60)
{
    lucid_set_num_threads(3);
    look_from_pool("at first");
    fesetround(FE_DOWNWARD);
    look_from_pool("rounding down");
    fesetround(FE_TONEAREST);
    lucid_set_flush_denormal(true);
    look_from_pool("flushing subnormal numbers");
    lucid_set_flush_denormal(false);
    look_from_pool("at the end");
}

/* ---- a loader's workers ---------------------------------------------------------------------- */

typedef struct watching {
    lucid_dataset base;
    sight *sight;
} watching;

static bool watching_get(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *x,
                         void *y)
{
    (void)rng;
    look(((const watching *)d)->sight);
    *(float *)x = (float)index, *(float *)y = 0;
    return true;
}

Test(threads, a_loaders_workers_too, .timeout = 60)
{
    sight s = {.caller = pthread_self(), .mode = luc_fp_mode_get(), .prefix = "lucid-load-"};
    watching data = {.base = {.name = "watching",
                              .size = 40,
                              .get = watching_get,
                              .x = {.dtype = LUCID_F32},
                              .y = {.dtype = LUCID_F32}},
                     .sight = &s};
    lucid_loader *loader = data_Loader(&data.base, .batch_size = 4, .workers = 2);
    cr_assert(loader, "%s", lucid_error());
    lucid_batch b;
    while (lucid_next(loader, &b)) continue;
    expect_quiet(&s, "first epoch");
    /* The workers continue to run, and compute in the mode of the thread that asks for it now. */
    fesetround(FE_UPWARD);
    s.mode = luc_fp_mode_get();
    while (lucid_next(loader, &b)) continue;
    expect_quiet(&s, "rounding up");
    fesetround(FE_TONEAREST);
    lucid_loader_free(loader);
}

/* ---- programs -------------------------------------------------------------------------------- */

/* A program that waits for SIGTERM in order, as under systemd or in a container. */
static int waits_for_the_end(void)
{
    sigset_t set;
    int got = 0;
    lucid_set_num_threads(3);
    lucid_sum(lucid_exp(lucid_ones((1 << 20)))); /* helpers exist from here on */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    signal(SIGTERM, SIG_DFL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGTERM);
    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    return sigwait(&set, &got) == 0 && got == SIGTERM ? 7 : 1;
}

Test(threads, a_blocked_signal_waits_for_the_program, .timeout = 60)
{
    child c = child_run(waits_for_the_end);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 7, "expected exit 7, got %s %d",
              WIFSIGNALED(c.status) ? "signal" : "exit",
              WIFSIGNALED(c.status) ? WTERMSIG(c.status) : WEXITSTATUS(c.status));
}

Test(threads, equal_sums_in_any_rounding_mode, .timeout = 60)
{
    lucid_tensor *t = lucid_full((1 << 21), 1.0 / 3);
    lucid_set_num_threads(4);
    lucid_exp(t); /* helpers exist from here on */
    for (int round = 0; round < 2; round++) {
        fesetround(round ? FE_UPWARD : FE_DOWNWARD);
        lucid_set_num_threads(1);
        const double expected = lucid_item(lucid_sum(lucid_mul(t, t)));
        lucid_set_num_threads(4);
        int others = 0;
        for (int i = 0; i < 30; i++) {
            LUCID_SCOPE;
            others += lucid_item(lucid_sum(lucid_mul(t, t))) != expected;
        }
        cr_expect(others == 0, "%d of 30 equal sums came out different", others);
    }
    fesetround(FE_TONEAREST);
}

/* ---- flushing -------------------------------------------------------------------------------- */

/* How many of the products of subnormal numbers are not 0. */
static int left(void)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_full((1 << 18), 1e-30);
    lucid_tensor *y = lucid_mul_scalar(x, 1e-10); /* 1e-40 */
    return (int)lucid_item(lucid_sum(lucid_cast(lucid_ne(y, lucid_zeros((1))), LUCID_F32)));
}

static void *in_new_thread(void *inherited)
{
    *(bool *)inherited = lucid_get_flush_denormal();
    lucid_set_flush_denormal(false);
    return NULL;
}

Test(threads, flush_denormal, .timeout = 60)
{
    lucid_set_num_threads(4);
    cr_expect(!lucid_get_flush_denormal());
    cr_expect(left() == 1 << 18);
    cr_expect(!lucid_set_flush_denormal(true)); /* what it was before */
    if (!lucid_get_flush_denormal()) return;    /* a CPU that cannot */
    for (int i = 0; i < 20; i++) cr_expect(left() == 0, "%d are not 0", left());
    pthread_t thread;
    bool inherited = false;
    cr_assert(pthread_create(&thread, NULL, in_new_thread, &inherited) == 0);
    pthread_join(thread, NULL);
    cr_expect(inherited);
    cr_expect(lucid_get_flush_denormal()); /* the other thread's switch is its own */
    const int rounding = fegetround();
    cr_expect(lucid_set_flush_denormal(false));
    cr_expect(!lucid_get_flush_denormal() && fegetround() == rounding);
    for (int i = 0; i < 20; i++) cr_expect(left() == 1 << 18);
}
