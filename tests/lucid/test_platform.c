/* test_platform.c: threads that sleep until a word changes, with the functions of the platform that
 * is built and with those of plain POSIX, which are compiled into this program a second time. */
#include "lucid/core/platform_priv.h"
#include "tests/lucid/child.h"
#include "tests/testing.h"

#define luc_platform     posix_platform
#define luc_wait_while   posix_wait_while
#define luc_wake_one     posix_wake_one
#define luc_yield        posix_yield
#define luc_allowed_cpus posix_allowed_cpus
#define luc_cgroup_cpus  posix_cgroup_cpus
#define luc_machine_name posix_machine_name
#define luc_allow_tiles  posix_allow_tiles
#include "lucid/core/platform_posix.c" /* NOLINT: the functions under test */
#undef luc_platform
#undef luc_wait_while
#undef luc_wake_one
#undef luc_yield
#undef luc_allowed_cpus
#undef luc_cgroup_cpus
#undef luc_machine_name
#undef luc_allow_tiles

typedef struct platform {
    const char *name;
    void (*wait_while)(atomic_uint *, unsigned);
    void (*wake_one)(atomic_uint *);
} platform;

static const platform platforms[] = {
    {"the platform that is built", luc_wait_while, luc_wake_one},
    {"posix", posix_wait_while, posix_wake_one},
};
enum { N_PLATFORMS = sizeof platforms / sizeof *platforms, THREADS = 4, ROUNDS = 2000 };

/* Two threads count a word up in turns: each waits for every other number. */
typedef struct game {
    const platform *p;
    atomic_uint word;
} game;

static void wait_for(game *g, unsigned number)
{
    for (unsigned now; (now = atomic_load(&g->word)) != number;) g->p->wait_while(&g->word, now);
}

static void *answer(void *user)
{
    game *g = user;
    for (unsigned i = 0; i < ROUNDS; i++) {
        wait_for(g, 2 * i + 1);
        atomic_store(&g->word, 2 * i + 2);
        g->p->wake_one(&g->word);
    }
    return NULL;
}

static void play(game *g)
{
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, answer, g) == 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        atomic_store(&g->word, 2 * i + 1);
        g->p->wake_one(&g->word);
        wait_for(g, 2 * i + 2);
    }
    pthread_join(thread, NULL);
}

static void *play_in_thread(void *g)
{
    play(g);
    return NULL;
}

Test(platform, a_word_goes_to_and_fro, .timeout = 60)
{
    for (int p = 0; p < N_PLATFORMS; p++) {
        /* Several pairs use neighbouring words at once, and no thread misses its own changes. */
        static game games[THREADS];
        pthread_t threads[THREADS];
        for (int t = 0; t < THREADS; t++) {
            games[t].p = &platforms[p];
            atomic_store(&games[t].word, 0);
            cr_assert(pthread_create(&threads[t], NULL, play_in_thread, &games[t]) == 0);
        }
        for (int t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
        for (int t = 0; t < THREADS; t++)
            cr_expect(atomic_load(&games[t].word) == 2 * ROUNDS, "%s", platforms[p].name);
    }
}

Test(platform, another_value_does_not_sleep, .timeout = 60)
{
    for (int p = 0; p < N_PLATFORMS; p++) {
        atomic_uint word = 1;
        platforms[p].wait_while(&word, 0);
        platforms[p].wake_one(&word); /* nobody sleeps */
    }
}

/* A thread of the parent wakes all the time, so that a fork may find its lock taken. The child can
 * still sleep and wake. */
static game parents_game;
static atomic_bool stop;

static void *disturb(void *unused)
{
    while (!atomic_load(&stop)) posix_wake_one(&parents_game.word);
    return unused;
}

static int play_in_child(void)
{
    static game g;
    g.p = &platforms[1];
    play(&g);
    return atomic_load(&g.word) == 2 * ROUNDS ? 0 : 1;
}

Test(platform, a_forked_child_sleeps_and_wakes, .timeout = 120)
{
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, disturb, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) _exit(play_in_child());
        int status = -1;
        cr_assert(pid > 0 && waitpid(pid, &status, 0) == pid);
        cr_expect(status == 0, "%#x", status);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
}

Test(platform, the_system_is_known)
{
    cr_expect(luc_allowed_cpus() >= 1 && posix_allowed_cpus() >= luc_allowed_cpus());
    char text[256], again[256];
    size_t n = luc_machine_name(text, sizeof text);
    cr_expect(n > 0 && n == luc_machine_name(again, sizeof again) && memcmp(text, again, n) == 0);
    cr_expect(posix_machine_name(text, sizeof text) > 0);
    cr_expect(posix_cgroup_cpus("") == 0);
}
