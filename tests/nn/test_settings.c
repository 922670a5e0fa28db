/* test_settings.c: one thread computes while another changes what kernels depend on: the number of
 * threads, the CPU level, Winograd's transform, fusion and the switches of switches.h. A kernel
 * that sizes its workspace by one number and uses it by another writes past its end: malloc, or a
 * sanitizer, finds that. */
#include "backends/cpu/conv/conv.h"
#include "backends/cpu/levels_priv.h"
#include "lucid/lucid.h"
#include "testing.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct change {
    atomic_bool stop;
    bool everything; /* not only the number of threads */
} change;

static void *change_settings(void *argument)
{
    change *c = argument;
    for (unsigned i = 0; !atomic_load(&c->stop); i++) {
        static const int threads[] = {1, 8, 3, 2};
        lucid_set_num_threads(threads[i % 4]);
        for (volatile int wait = 0; wait < 300; wait++) continue;
        if (!c->everything) continue;
        luc_cpu_force((luc_cpu_level)(i / 4 % (unsigned)(luc_cpu_best() + 1)));
        luc_conv_allow_winograd(i & 1);
        lucid_set_fusion(i & 2);
        lucid_set_deterministic(i & 4);
        lucid_set_benchmark(i & 8);
        lucid_set_tf32(i & 16);
    }
    return NULL;
}

static lucid_tensor *convolution(lucid_dtype dtype, int channels, int kernel, int groups)
{
    lucid_tensor *x = lucid_randn((4, channels, 20, 20)), *w, *y;
    w = lucid_randn((channels, channels / groups, kernel, kernel));
    x = lucid_requires_grad_(lucid_cast(x, dtype), true);
    w = lucid_requires_grad_(lucid_cast(w, dtype), true);
    y = lucid_conv2d(x, w, NULL, .padding = kernel / 2, .groups = groups);
    lucid_backward(lucid_sum(lucid_mul(y, y)));
    lucid_tensor *sums[] = {lucid_sum(lucid_tensor_grad(x)), lucid_sum(lucid_tensor_grad(w))};
    return lucid_stack(sums, 2, 0);
}

static lucid_tensor *normalized(void)
{
    lucid_module *net = nn_Sequential(nn_Conv2d(8, 16, 3, .padding = 1), nn_BatchNorm2d(16),
                                      nn_ReLU(), nn_MaxPool2d(2), nn_Flatten());
    lucid_tensor *y = lucid_forward(net, lucid_randn((6, 8, 24, 24)));
    lucid_backward(lucid_sum(lucid_softmax(y, 1)));
    lucid_tensor *sum = lucid_sum(lucid_square(y));
    lucid_module_free(net);
    return sum;
}

/* The work whose kernels have workspace. */
static lucid_tensor *compute(int which)
{
    switch (which) {
    case 0:
        return lucid_sum(lucid_matmul(lucid_randn((200, 190)), lucid_randn((190, 210))));
    case 1:
        return lucid_sum(lucid_matmul(lucid_randn((120, 120), .dtype = LUCID_F64),
                                      lucid_randn((120, 120), .dtype = LUCID_F64)));
    case 2:
        return lucid_sum(lucid_matmul(lucid_cast(lucid_randn((3, 80, 90)), LUCID_BF16),
                                      lucid_cast(lucid_randn((90, 70)), LUCID_BF16)));
    case 3:
        return convolution(LUCID_F32, 32, 3, 1);
    case 4:
        return convolution(LUCID_F32, 24, 5, 1);
    case 5:
        return convolution(LUCID_F32, 64, 1, 1);
    case 6:
        return convolution(LUCID_F32, 32, 3, 32);
    case 7:
        return convolution(LUCID_F64, 16, 3, 1);
    case 8:
        return convolution(LUCID_BF16, 16, 3, 1);
    case 9:
        return lucid_sum(
            lucid_mul(lucid_sort(lucid_randn((40, 900)), 1).values, lucid_randn((40, 900))));
    case 10:
        return lucid_sum(lucid_topk(lucid_randn((30, 1500)), 200).values);
    case 11:
        return lucid_var(lucid_randn((64, 3000)), 1);
    case 12:
        return normalized();
    default:
        return NULL;
    }
}

enum { WORKS = 13 };

/* Bytes of a work's result. */
static size_t result_of(int which, double *to, size_t most)
{
    LUCID_SCOPE;
    lucid_manual_seed(3);
    lucid_tensor *t = compute(which);
    cr_assert(t, "work %d: %s", which, lucid_error());
    const size_t n = (size_t)lucid_numel(t);
    cr_assert(n <= most && lucid_to_doubles(t, to, n));
    lucid_memory_release_cache(lucid_cpu()); /* blocks of malloc's own, of the right size */
    return n;
}

static void compare(bool everything)
{
    enum { MOST = 64 };
    double expected[WORKS][MOST], got[MOST];
    size_t n[WORKS];
    for (int w = 0; w < WORKS; w++) n[w] = result_of(w, expected[w], MOST);
    change c = {.everything = everything};
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, change_settings, &c) == 0);
    for (int i = 0; i < 40 * WORKS; i++) {
        const int w = i % WORKS;
        cr_assert(result_of(w, got, MOST) == n[w]);
        for (size_t k = 0; k < n[w]; k++) {
            /* Levels round differently. */
            cr_expect(everything ? isfinite(got[k]) : got[k] == expected[w][k],
                      "work %d: expected %.17g, got %.17g", w, expected[w][k], got[k]);
        }
    }
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
}

/* ---- the same with a change exactly between the two calls ------------------------------------ */

/* A backend like the CPU's, whose memory ends in a canary, and which changes the settings whenever
 * it is asked for memory: between the call for a workspace's size and the kernel, above all. */
enum { GUARD = 4096, CANARY = 0xa7 };

static const lucid_backend *cpu;
static unsigned changes;
static atomic_int overrun;

static void *guarded_alloc(int index, size_t bytes)
{
    (void)index;
    const size_t whole = (bytes + 63) / 64 * 64 + GUARD;
    unsigned char *data = aligned_alloc(64, whole);
    if (!data) return NULL;
    memset(data + bytes, CANARY, whole - bytes);
    lucid_set_num_threads(changes & 1 ? 8 : 1);
    luc_conv_allow_winograd(changes & 2);
    luc_cpu_force((luc_cpu_level)(changes / 4 % (unsigned)(luc_cpu_best() + 1)));
    changes++;
    return data;
}

static void guarded_free(int index, void *memory, size_t bytes)
{
    (void)index;
    const unsigned char *data = memory;
    const size_t whole = (bytes + 63) / 64 * 64 + GUARD;
    for (size_t i = bytes; data && i < whole; i++)
        if (data[i] != CANARY) {
            atomic_fetch_add(&overrun, 1);
            break;
        }
    free(memory);
}

Test(settings, a_change_between_a_workspace_and_its_kernel_is_not_seen, .timeout = 120)
{
    cpu = lucid_backend_get(LUCID_CPU);
    cr_assert(cpu);
    static lucid_backend guarded;
    guarded = *cpu;
    guarded.alloc = guarded_alloc;
    guarded.free = guarded_free;
    cr_assert(lucid_backend_register(&guarded));
    for (int w = 0; w < WORKS; w++)
        for (int turn = 0; turn < 12; turn++) {
            double got[64];
            changes = (unsigned)turn;
            result_of(w, got, 64);
            cr_expect(atomic_exchange(&overrun, 0) == 0, "work %d, turn %d: written past the end",
                      w, turn);
        }
}

/* ---- with threads ---------------------------------------------------------------------------- */

Test(settings, the_number_of_threads_changes_while_another_thread_computes, .timeout = 300)
{
    compare(false);
}

Test(settings, everything_changes_while_another_thread_computes, .timeout = 300)
{
    compare(true);
    luc_cpu_force(luc_cpu_best());
}
