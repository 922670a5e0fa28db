/* fork: a child works whatever the parent's other threads were doing, and goes on with a loader. */
#include "lucid/lucid.h"
#include "tests/lucid/child.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_bool over;
static lucid_tensor *leaf, *weight, *image; /* that all threads use */

static void allocate(void)
{
    lucid_empty((4096)); /* from the lists that all threads share */
}

static void draw(void)
{
    lucid_rand((1));
}

static void compute(void)
{
    lucid_relu(lucid_ones((1 << 16))); /* in helper threads too */
}

static void print(void)
{
    lucid_set_print_options(4, 1000, 3, 80);
    free(lucid_to_string(lucid_scalar(1)));
}

static void accumulate(void)
{
    lucid_backward(lucid_mul(leaf, leaf));
}

static lucid_tensor *hook(lucid_tensor *grad, void *user)
{
    (void)user;
    return grad;
}

static void register_hooks(void)
{
    lucid_tensor *t = lucid_requires_grad_(lucid_ones((2)), true);
    lucid_remove_hook(t, lucid_register_hook(t, hook, NULL));
}

static void change_views(void)
{
    lucid_tensor *base = lucid_mul(leaf, leaf),
                 *view = lucid_narrow(lucid_reshape(base, (1)), 0, 0, 1);
    lucid_mul_(base, leaf);
    lucid_requires_grad(view);
}

static void flip_switches(void)
{
    lucid_set_tf32(true);
}

static void profile(void)
{
    LUCID_PROFILE;
    lucid_relu(leaf);
}

static void infer(void)
{
    LUCID_NO_GRAD;
    lucid_conv2d(image, weight, NULL, .padding = 1); /* finds what is kept of the weight */
}

static void handle(lucid_code code, const char *message, void *user)
{
    (void)code, (void)message, (void)user;
}

static void fail(void)
{
    lucid_set_error_handler(handle, NULL);
    lucid_relu(NULL);
    lucid_clear_error();
}

static void *start_and_end(void *unused)
{
    (void)unused;
    LUCID_SCOPE;
    lucid_ones((1));
    return NULL;
}

static void count_threads(void)
{
    pthread_t t;
    if (pthread_create(&t, NULL, start_and_end, NULL) == 0) pthread_join(t, NULL);
    lucid_live();
}

static const struct work {
    const char *name;
    void (*run)(void);
} works[] = {
    {"allocation", allocate},
    {"random numbers", draw},
    {"kernels", compute},
    {"printing", print},
    {"gradients of one leaf", accumulate},
    {"hooks", register_hooks},
    {"views", change_views},
    {"switches", flip_switches},
    {"the profiler", profile},
    {"kept weights", infer},
    {"errors", fail},
    {"threads that come and go", count_threads},
};

static void *hammer(void *work)
{
    while (!atomic_load(&over)) {
        LUCID_SCOPE;
        ((const struct work *)work)->run();
    }
    return NULL;
}

/* Forks while two threads do the work, and has each child do it; returns how many children hung. */
static int fork_beside(const struct work *work, int forks)
{
    pthread_t threads[2];
    atomic_store(&over, false);
    for (int i = 0; i < 2; i++)
        cr_assert(pthread_create(&threads[i], NULL, hammer, (void *)(uintptr_t)work) == 0);
    int hung = 0;
    for (int n = 0; n < forks && !hung; n++) {
        pid_t pid = fork();
        cr_assert(pid >= 0);
        if (pid == 0) {
            signal(SIGALRM, SIG_DFL);
            alarm(5);
            LUCID_SCOPE;
            work->run();
            _exit(0);
        }
        int status;
        cr_assert(waitpid(pid, &status, 0) == pid);
        hung += !WIFEXITED(status);
    }
    atomic_store(&over, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    return hung;
}

/* The sanitizers' own allocators hang in a child that was forked beside a thread that allocates. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#else
#define SANITIZED false
#endif

Test(fork, beside_threads_that_use_lucid, .disabled = SANITIZED)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_set_num_threads(2);
    leaf = lucid_requires_grad_(lucid_ones((1)), true);
    weight = lucid_ones((16, 16, 3, 3));
    image = lucid_ones((1, 16, 8, 8));
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        cr_expect(!fork_beside(&works[i], 100), "a child hung beside threads that are busy with %s",
                  works[i].name);
}

/* ---- threads of the parent that the child does not have -------------------------------------- */

static pthread_barrier_t met;

static void *wait_for_the_end(void *unused)
{
    (void)unused;
    lucid_ones((1)); /* this thread has counts of its own */
    pthread_barrier_wait(&met);
    pause();
    return NULL;
}

static int count_with_new_threads(void)
{
    alarm(5);
    const int64_t before = lucid_live().tensors;
    for (int i = 0; i < 4; i++) count_threads();
    return lucid_live().tensors == before ? 0 : 1;
}

Test(fork, counts_are_right_after_threads_were_lost)
{
    pthread_t threads[3];
    pthread_barrier_init(&met, NULL, 4);
    for (int i = 0; i < 3; i++)
        cr_assert(pthread_create(&threads[i], NULL, wait_for_the_end, NULL) == 0);
    pthread_barrier_wait(&met);
    child c = child_run(count_with_new_threads);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0, "the child's status is %#x: it %s",
              (unsigned)c.status, WIFSIGNALED(c.status) ? "hung" : "counted wrong");
}

/* ---- loaders --------------------------------------------------------------------------------- */

static lucid_loader *loader;
static lucid_batch batch;

static lucid_loader *make_loader(void)
{
    lucid_manual_seed(3);
    lucid_tensor *x = lucid_arange(0, 64, 1);
    return data_Loader(data_Tensors(x, lucid_ones((64))), .batch_size = 4, .shuffle = true,
                       .workers = 2);
}

/* The sum of (1 + i) * the samples' numbers over what is left of the epoch, and of the next one. */
static int64_t read_on(void)
{
    int64_t sum = 0, i = 1;
    for (int epoch = 0; epoch < 2; epoch++)
        while (lucid_next(loader, &batch))
            for (int64_t k = 0; k < batch.n; k++)
                sum += i++ * ((const int64_t *)lucid_data(batch.x))[k];
    return sum;
}

static int64_t expected;

static int go_on(void)
{
    alarm(5);
    return read_on() == expected ? 0 : 1;
}

static int free_it(void)
{
    alarm(5);
    lucid_loader_free(loader);
    return 0;
}

static int reset_it(void)
{
    alarm(5);
    lucid_loader_reset(loader);
    int n = 0;
    while (lucid_next(loader, &batch)) n++;
    lucid_loader_free(loader);
    return n == 16 && batch.epoch == 0 ? 0 : 1;
}

static int with_a_pending_error(void)
{
    alarm(5);
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_relu(NULL);
    return lucid_next(loader, &batch) ? 1 : 0;
}

static void expect_ends_well(int (*fn)(void), const char *name, int taken)
{
    child c = child_run(fn);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0,
              "%s after %d batches: the child %s (status %#x) %s", name, taken,
              WIFSIGNALED(c.status) ? "hung" : "got other samples", (unsigned)c.status, c.text);
}

Test(fork, a_child_goes_on_with_the_loader)
{
    for (int taken = 0; taken <= 16; taken += 3) {
        loader = make_loader();
        for (int i = 0; i < taken; i++) lucid_next(loader, &batch);
        expected = read_on();
        lucid_loader_free(loader);
        loader = make_loader();
        for (int i = 0; i < taken; i++) lucid_next(loader, &batch);
        expect_ends_well(go_on, "reading", taken);
        expect_ends_well(free_it, "freeing", taken);
        expect_ends_well(reset_it, "resetting", taken);
        expect_ends_well(with_a_pending_error, "an error", taken);
        cr_expect(read_on() == expected, "the parent's own epoch goes on");
        lucid_loader_free(loader);
    }
}
