/* test_openblas.c: products by OpenBLAS have the same bits with any number of threads, leave the
 * program's threads, signals and its own use of OpenBLAS alone, and are left to our kernels where
 * OpenBLAS does not fit. test_gemm.c and test_linalg.c compare their numbers. */
#include "backends/cpu/matmul/openblas.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/threads_priv.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NEEDS_OPENBLAS \
    if (!luc_openblas_core()) cr_skip_test("OpenBLAS is not used on this machine")

static void *numbers(luc_gemm_type type, int64_t n, size_t offset)
{
    const size_t size = type == LUC_GEMM_F64 ? 8 : 4;
    char *block = aligned_alloc(64, ((size_t)n * size + offset + 127) / 64 * 64);
    uint64_t state = 88172645463325252u;
    for (int64_t i = 0; i < n; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        const double x = (double)(int64_t)(state >> 11) * 0x1p-52 - 1;
        const float y = (float)x;
        memcpy(block + offset + (size_t)i * size, size == 8 ? (const void *)&x : &y, size);
    }
    return block + offset;
}

static void release(void *numbers, size_t offset)
{
    free((char *)numbers - offset);
}

/* The product with `threads`, all operands `offset` bytes beyond a cache line. The caller frees. */
static char *result(const luc_gemm_params *p, luc_gemm_type type, int threads, size_t offset)
{
    const size_t size = type == LUC_GEMM_F64 ? 8 : 4;
    void *a = numbers(type, (p->trans_a ? p->k : p->m) * p->lda, offset);
    void *b = numbers(type, (p->trans_b ? p->n : p->k) * p->ldb, offset);
    void *bias = numbers(type, p->n + p->m, offset);
    void *c = numbers(type, p->m * p->ldc, offset);
    luc_set_num_threads(threads);
    cr_assert(luc_openblas_gemm(p, type, a, b, c, bias), "OpenBLAS did not compute it");
    luc_set_num_threads(0);
    char *dense = malloc((size_t)(p->m * p->ldc) * size);
    memcpy(dense, c, (size_t)(p->m * p->ldc) * size);
    release(a, offset), release(b, offset), release(bias, offset), release(c, offset);
    return dense;
}

static void check_bits(luc_gemm_params p, luc_gemm_type type)
{
    const size_t size = type == LUC_GEMM_F64 ? 8 : 4;
    static const int threads[] = {1, 2, 3, 5, 2, 1};
    static const size_t offsets[] = {0, 8, 24, 32, 40, 56};
    char *first = result(&p, type, 1, 0);
    for (int i = 0; i < 6; i++) {
        char *other = result(&p, type, threads[i], offsets[i]);
        cr_expect(memcmp(first, other, (size_t)(p.m * p.ldc) * size) == 0,
                  "type %d, %d x %d x %d, transposed %d %d: %d threads, offset %d: other bits",
                  (int)type, (int)p.m, (int)p.n, (int)p.k, p.trans_a, p.trans_b, threads[i],
                  (int)offsets[i]);
        free(other);
    }
    free(first);
}

Test(openblas, any_number_of_threads_and_any_alignment_give_the_same_bits)
{
    NEEDS_OPENBLAS;
    luc_openblas_prefer(true);
    static const int64_t shapes[][3] = {{5, 7, 3},      {64, 64, 64},   {33, 1030, 129},
                                        {300, 517, 77}, {257, 90, 500}, {1, 600, 700}};
    for (int s = 0; s < 6; s++)
        for (int kind = 0; kind < 16; kind++) {
            luc_gemm_params p =
                luc_gemm_plain(shapes[s][0], shapes[s][1], shapes[s][2], kind & 1, kind >> 1 & 1);
            if (kind & 4) p.lda += 3, p.ldb += 5, p.ldc += 1;
            if (kind & 8) p.beta = 1, p.alpha = 0.5, p.relu = true, p.bias_kind = LUC_GEMM_BIAS_COL;
            check_bits(p, LUC_GEMM_F32);
            check_bits(p, LUC_GEMM_F64);
        }
}

Test(openblas, it_computes_the_shapes_that_gain)
{
    NEEDS_OPENBLAS;
    const luc_gemm_params large = luc_gemm_plain(1024, 1024, 256, false, true);
    check_bits(large, LUC_GEMM_F64);
    luc_gemm_params larger = luc_gemm_plain(2048, 2048, 512, false, false);
    free(result(&larger, LUC_GEMM_F32, 2, 0));
    larger.trans_b = true; /* measured: not faster */
    cr_expect(!luc_openblas_gemm(&larger, LUC_GEMM_F32, NULL, NULL, NULL, NULL));
    float x = 1;
    const luc_gemm_params small = luc_gemm_plain(1, 1, 1, false, false);
    cr_expect(!luc_openblas_gemm(&small, LUC_GEMM_F32, &x, &x, &x, NULL));
}

Test(openblas, what_it_cannot_compute_is_left_alone)
{
    NEEDS_OPENBLAS;
    luc_openblas_prefer(true);
    luc_gemm_params p = luc_gemm_plain(4, 4, 4, false, false);
    p.lda = (int64_t)INT32_MAX + 1;
    cr_expect(!luc_openblas_gemm(&p, LUC_GEMM_F64, NULL, NULL, NULL, NULL), "a long row");
    p.lda = 4, p.k = 0;
    cr_expect(!luc_openblas_gemm(&p, LUC_GEMM_F64, NULL, NULL, NULL, NULL), "k = 0");
    p.k = 4, p.batch = 0;
    cr_expect(!luc_openblas_gemm(&p, LUC_GEMM_F64, NULL, NULL, NULL, NULL), "batch = 0");
    p.batch = 1, p.alpha = 0;
    cr_expect(!luc_openblas_gemm(&p, LUC_GEMM_F64, NULL, NULL, NULL, NULL), "alpha = 0");
    p.alpha = 1, p.ldb = 2;
    cr_expect(!luc_openblas_gemm(&p, LUC_GEMM_F64, NULL, NULL, NULL, NULL), "rows that overlap");
}

#if defined(__x86_64__)
Test(openblas, other_levels_use_their_own_kernels)
{
    NEEDS_OPENBLAS;
    luc_openblas_prefer(true);
    const int kernels = (int)luc_openblas_level(luc_openblas_core());
    for (int level = LUC_CPU_GENERIC; level >= 0; level = luc_cpu_next(level)) {
        luc_cpu_force((luc_cpu_level)level);
        /* The levels above AVX-512 have the same float instructions. */
        if (level == kernels || (level > kernels && kernels == LUC_CPU_AVX512))
            cr_expect(luc_openblas_core(), "%s", luc_cpu_level_name((luc_cpu_level)level));
        else
            cr_expect_null(luc_openblas_core(), "%s", luc_cpu_level_name((luc_cpu_level)level));
    }
}

Test(openblas, kernels_have_levels)
{
    cr_expect_eq(luc_openblas_level("Prescott"), LUC_CPU_GENERIC);
    cr_expect_eq(luc_openblas_level("Sandybridge"), LUC_CPU_GENERIC);
    cr_expect_eq(luc_openblas_level("HASWELL"), LUC_CPU_AVX2);
    cr_expect_eq(luc_openblas_level("Zen"), LUC_CPU_AVX2);
    cr_expect_eq(luc_openblas_level("SkylakeX"), LUC_CPU_AVX512);
    cr_expect_eq(luc_openblas_level("of the next century"), LUC_CPU_GENERIC);
}
#endif

static void exceptional(luc_gemm_type type)
{
    enum { N = 40 };
    luc_gemm_params p = luc_gemm_plain(N, N, N, false, false);
    double a[N * N], b[N * N], c[N * N];
    float fa[N * N], fb[N * N], fc[N * N];
    for (int i = 0; i < N * N; i++) a[i] = 0, b[i] = 1, c[i] = NAN; /* beta = 0: c is not read */
    a[3 * N] = NAN, a[4 * N] = INFINITY, b[7] = INFINITY;
    for (int i = 0; i < N * N; i++) fa[i] = (float)a[i], fb[i] = (float)b[i], fc[i] = (float)c[i];
    const bool is_f64 = type == LUC_GEMM_F64;
    cr_assert(luc_openblas_gemm(&p, type, is_f64 ? (void *)a : fa, is_f64 ? (void *)b : fb,
                                is_f64 ? (void *)c : fc, NULL));
    for (int r = 0; r < N; r++)
        for (int j = 0; j < N; j++) {
            const double x = is_f64 ? c[r * N + j] : fc[r * N + j];
            if (r == 3 || (j == 7 && r != 4)) /* 0 * infinity */
                cr_expect(isnan(x), "(%d, %d): expected NaN, got %g", r, j, x);
            else
                cr_expect_eq(x, r == 4 ? INFINITY : 0, "(%d, %d): %g", r, j, x);
        }
}

Test(openblas, nan_and_infinity)
{
    NEEDS_OPENBLAS;
    luc_openblas_prefer(true);
    exceptional(LUC_GEMM_F32);
    exceptional(LUC_GEMM_F64);
}

static int count_threads(void)
{
    int n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *d; (d = readdir(tasks));) n += d->d_name[0] != '.';
    closedir(tasks);
    return n;
}

static void some_product(void)
{
    static float a[64 * 64], b[64 * 64], c[64 * 64];
    const luc_gemm_params p = luc_gemm_plain(64, 64, 64, false, false);
    for (int i = 0; i < 64 * 64; i++) a[i] = 1, b[i] = 2;
    cr_assert(luc_openblas_gemm(&p, LUC_GEMM_F32, a, b, c, NULL));
    cr_assert_eq(c[0], 128);
}

Test(openblas, no_threads_of_its_own)
{
    const int before = count_threads();
    luc_set_num_threads(1);
    NEEDS_OPENBLAS;
    luc_openblas_prefer(true);
    some_product();
    cr_expect_eq(count_threads(), before, "%d threads became %d", before, count_threads());
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    cr_expect_eq(sigismember(&mask, SIGINT), 0);
}

Test(openblas, a_forked_child_goes_on, .timeout = 60)
{
    NEEDS_OPENBLAS;
    luc_openblas_prefer(true);
    luc_set_num_threads(2);
    some_product();
    const pid_t child = fork();
    if (child == 0) {
        some_product();
        _exit(0);
    }
    int status = 1;
    waitpid(child, &status, 0);
    cr_expect_eq(status, 0);
    some_product();
}

static atomic_bool stop;

static void *multiply_until_stopped(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) some_product();
    return NULL;
}

/* If a fork happens during a product, its child may find OpenBLAS's locks taken forever. */
Test(openblas, a_fork_during_a_product, .timeout = 120)
{
    NEEDS_OPENBLAS;
    luc_openblas_prefer(true);
    some_product();
    pthread_t thread;
    pthread_create(&thread, NULL, multiply_until_stopped, NULL);
    int used = 0;
    for (int i = 0; i < 50; i++) {
        const pid_t child = fork();
        if (child == 0) {
            float x[16] = {1}, y[16] = {1};
            const luc_gemm_params p = luc_gemm_plain(4, 4, 4, false, false);
            alarm(20);
            _exit(luc_openblas_gemm(&p, LUC_GEMM_F32, x, x, y, NULL));
        }
        int status;
        waitpid(child, &status, 0);
        cr_assert(WIFEXITED(status), "the child hung: status %d", status);
        used += WEXITSTATUS(status);
    }
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    cr_expect_lt(used, 50, "no fork fell into a product");
}

static int (*get_threads)(void);
static atomic_int least_threads = 100;

static void *watch_threads(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        const int now = get_threads();
        if (now < atomic_load(&least_threads)) atomic_store(&least_threads, now);
    }
    return NULL;
}

/* A program that has loaded OpenBLAS and set its number of threads. */
Test(openblas, a_programs_own_number_of_threads_stays)
{
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW);
    if (!lib) cr_skip_test("there is no OpenBLAS");
    void (*set)(int);
    *(void **)&set = dlsym(lib, "openblas_set_num_threads");
    *(void **)&get_threads = dlsym(lib, "openblas_get_num_threads");
    set(2);
    NEEDS_OPENBLAS;
    cr_expect_eq(get_threads(), 2, "after loading: %d", get_threads());
    luc_openblas_prefer(true);
    pthread_t thread;
    pthread_create(&thread, NULL, watch_threads, NULL);
    for (int i = 0; i < 100000 && atomic_load(&least_threads) != 1; i++) some_product();
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    cr_expect_eq(least_threads, 1, "during a product: %d", least_threads);
    cr_expect_eq(get_threads(), 2, "after a product: %d", get_threads());
}

/* Runs `use` with stderr in a file, and returns what was written. */
static const char *errors_of(void (*use)(void))
{
    static char text[1000];
    fflush(stderr);
    FILE *file = tmpfile();
    const int before = dup(2);
    dup2(fileno(file), 2);
    use();
    fflush(stderr);
    dup2(before, 2);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    return text;
}

static void ask_twice(void)
{
    cr_expect_null(luc_openblas_core());
    cr_expect_null(luc_openblas_core());
}

Test(openblas, wrong_kernels_are_reported_once_and_not_used)
{
    if (luc_cpu_best() == LUC_CPU_GENERIC) cr_skip_test("needs a CPU that has AVX2");
    setenv("OPENBLAS_CORETYPE", "Prescott", 1);
    const char *said = errors_of(ask_twice);
    const char *line = strstr(said, "lucid: OpenBLAS chose its kernels for Prescott");
    if (!dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD)) cr_skip_test("there is no OpenBLAS");
    cr_assert_not_null(line, "%s", said);
    cr_expect_null(strstr(line + 1, "lucid:"), "said twice: %s", said);
    /* The line names kernels that are used then. */
    const char *core = strstr(line, "OPENBLAS_CORETYPE=");
    cr_assert_not_null(core, "%s", said);
    char name[20] = "";
    cr_assert_eq(sscanf(core, "OPENBLAS_CORETYPE=%19[A-Za-z]", name), 1, "%s", said);
    const luc_cpu_level best = luc_cpu_best();
    cr_expect_eq(luc_openblas_level(name), best > LUC_CPU_AVX512 ? LUC_CPU_AVX512 : best);
}

static void ask_at_generic(void)
{
    luc_cpu_force(LUC_CPU_GENERIC);
    ask_twice();
}

Test(openblas, the_generic_level_does_not_load_it)
{
    const char *said = errors_of(ask_at_generic);
    cr_expect_str_eq(said, "");
    cr_expect_null(dlopen("libopenblas.so.0", RTLD_NOW | RTLD_NOLOAD));
}
