/* openblas.c: large matrix products by OpenBLAS. See openblas.h. */
#include "backends/cpu/matmul/openblas.h"
#include "backends/cpu/threads/parallel.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/platform_priv.h"
#include "lucid/core/threads_priv.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- which products ------------------------------------------------------------------------- */

/* How the products of a type are cut, and which of them gain; measured by `./run bench gemm`, see
   docs/notes/cpu_measurements.md. A large block shares packed operands best. Products of fewer than
   LEAST_BLOCKS blocks stay with our own tiles, which can be cut finer for more threads. */
typedef struct {
    int64_t rows, cols;             /* the most of a block */
    int64_t least_rows, least_cols; /* of a block that gains */
    int64_t least_depth;
    bool with_trans_b; /* whether products with a transposed B gain as well */
} shape_rule;

enum { LEAST_BLOCKS = 8 };
static const shape_rule rule_f32 = {
    .rows = 512, .cols = 1024, .least_rows = 448, .least_cols = 768, .least_depth = 512};
static const shape_rule rule_f64 = {.rows = 256,
                                    .cols = 1024,
                                    .least_rows = 112,
                                    .least_cols = 512,
                                    .least_depth = 256,
                                    .with_trans_b = true};

typedef struct {
    const luc_gemm_params *p;
    bool is_f64;
    const char *a, *b, *bias;
    char *c;
    int64_t rows, cols, row_blocks, col_blocks; /* of a block; of a product */
} plan;

static int64_t ceil_div(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}

/* Cuts a product into even blocks of at most `rows` by `cols`. */
static void cut(plan *g, int64_t rows, int64_t cols)
{
    g->row_blocks = ceil_div(g->p->m, rows);
    g->col_blocks = ceil_div(g->p->n, cols);
    g->rows = ceil_div(g->p->m, g->row_blocks);
    g->cols = ceil_div(g->p->n, g->col_blocks);
}

/* Sets the cut. Returns whether OpenBLAS gains by it. */
static bool choose_blocks(plan *g)
{
    const shape_rule *rule = g->is_f64 ? &rule_f64 : &rule_f32;
    cut(g, rule->rows, rule->cols);
    if (g->row_blocks * g->col_blocks < LEAST_BLOCKS) cut(g, rule->rows / 2, rule->cols);
    return g->row_blocks * g->col_blocks >= LEAST_BLOCKS && g->rows >= rule->least_rows &&
           g->cols >= rule->least_cols && g->p->k >= rule->least_depth &&
           (rule->with_trans_b || !g->p->trans_b);
}

/* What OpenBLAS can compute: it has 32-bit sizes, and demands rows that do not overlap. With alpha
   = 0 it would not see a NaN. */
static bool can(const luc_gemm_params *p)
{
    return p->m > 0 && p->n > 0 && p->k > 0 && p->batch > 0 && p->alpha != 0 && p->k <= INT32_MAX &&
           p->lda <= INT32_MAX && p->ldb <= INT32_MAX && p->ldc <= INT32_MAX &&
           p->lda >= (p->trans_a ? p->m : p->k) && p->ldb >= (p->trans_b ? p->k : p->n) &&
           p->ldc >= p->n;
}

/* ---- the library ----------------------------------------------------------------------------- */

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 }; /* of cblas.h */
enum { WITH_THREADS = 1 };                             /* what openblas_get_parallel returns */

static struct {
    void (*sgemm)(int order, int trans_a, int trans_b, int m, int n, int k, float alpha,
                  const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
    void (*dgemm)(int order, int trans_a, int trans_b, int m, int n, int k, double alpha,
                  const double *a, int lda, const double *b, int ldb, double beta, double *c,
                  int ldc);
    char *(*get_corename)(void);
    char *(*get_config)(void);
    int (*get_parallel)(void);
    int (*get_num_threads)(void);
    void (*set_num_threads)(int n);
    void (*stop_threads)(void); /* NULL where a version does not have it */
} library;

static struct {
    char core[32];
    luc_cpu_level level;
    int most_calls; /* at one time: each takes one of OpenBLAS's buffers, of which it has a number
                       that was fixed when it was built */
} found;
static atomic_bool usable;
static _Atomic(void *) handle; /* NULL: there is none, or a fork has left its locks unusable */
static atomic_bool is_allowed = true, is_preferred;

#if defined(__x86_64__)
/* The level whose float instructions a level uses: those above AVX-512 add others. */
static luc_cpu_level float_level(luc_cpu_level level)
{
    return level > LUC_CPU_AVX512 ? LUC_CPU_AVX512 : level;
}

static const struct {
    const char *name;
    luc_cpu_level level;
} cores[] = {
    {"Haswell", LUC_CPU_AVX2},          {"Zen", LUC_CPU_AVX2},
    {"SkylakeX", LUC_CPU_AVX512},       {"Cooperlake", LUC_CPU_AVX512},
    {"SapphireRapids", LUC_CPU_AVX512},
};

/* One whose kernels fit the level. */
static const char *core_for(luc_cpu_level level)
{
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        if (cores[i].level == level) return cores[i].name;
    return "";
}

luc_cpu_level luc_openblas_level(const char *core)
{
    for (size_t i = 0; i < sizeof cores / sizeof *cores; i++)
        if (strcasecmp(core, cores[i].name) == 0) return cores[i].level;
    return LUC_CPU_GENERIC;
}
#else
/* Which shapes gain was not measured on other architectures. */
static luc_cpu_level float_level(luc_cpu_level level)
{
    (void)level;
    return LUC_CPU_GENERIC;
}

static const char *core_for(luc_cpu_level level)
{
    (void)level;
    return "";
}

luc_cpu_level luc_openblas_level(const char *core)
{
    (void)core;
    return LUC_CPU_GENERIC;
}
#endif

static bool find_functions(void *lib)
{
    const struct {
        const char *name;
        void *slot;
        bool optional;
    } functions[] = {
        {"cblas_sgemm", &library.sgemm, false},
        {"cblas_dgemm", &library.dgemm, false},
        {"openblas_get_corename", &library.get_corename, false},
        {"openblas_get_config", &library.get_config, false},
        {"openblas_get_parallel", &library.get_parallel, false},
        {"openblas_get_num_threads", &library.get_num_threads, false},
        {"openblas_set_num_threads", &library.set_num_threads, false},
        {"blas_thread_shutdown_", &library.stop_threads, true},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = dlsym(lib, functions[i].name);
        if (!function && !functions[i].optional) return false;
        memcpy(functions[i].slot, &function, sizeof function);
    }
    return true;
}

/* A library without threads has no locks either, so that two threads of ours could not call it at
   once. In one with OpenMP the number of threads is a setting of the program's OpenMP. */
static bool fits(void)
{
    return library.get_parallel() == WITH_THREADS && !strstr(library.get_config(), "USE64BITINT");
}

static int most_calls(void)
{
    enum { LEAST = 16 };
    const char *entry = strstr(library.get_config(), "MAX_THREADS=");
    const long threads = entry ? strtol(entry + strlen("MAX_THREADS="), NULL, 10) : 0;
    return threads > LUC_MAX_THREADS ? LUC_MAX_THREADS : threads > LEAST ? (int)threads : LEAST;
}

/* Debian, Ubuntu and Arch call it by the first name; Fedora calls the one with threads by the
   second. Returns NULL if there is none that fits. */
static void *open_library(bool *was_loaded)
{
    static const char *const names[] = {"libopenblas.so.0", "libopenblasp.so.0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *before = dlopen(names[i], RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD);
        void *lib = before ? before : dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        *was_loaded = before != NULL;
        if (lib && find_functions(lib) && fits()) return lib;
        if (lib) dlclose(lib);
    }
    return NULL;
}

static void report_misfit(void)
{
    fprintf(stderr,
            "lucid: OpenBLAS chose its kernels for %s, which are not known to fit this CPU (%s): "
            "lucid computes with its own kernels instead; with OPENBLAS_CORETYPE=%s in the "
            "environment, OpenBLAS is used\n",
            found.core, luc_cpu_level_name(luc_cpu_current()),
            core_for(float_level(luc_cpu_current())));
}

static void forget_calls(void);

/* It starts a thread for each core when it is loaded. They would take the program's signals, so
   they are stopped if they are not the program's own, as OpenBLAS itself does before a fork; it
   starts them again for a program that sets a number of threads. */
static void load(void)
{
    bool was_loaded;
    sigset_t before;
    luc_signals_block(&before);
    void *const lib = open_library(&was_loaded);
    if (lib) {
        if (!was_loaded) {
            library.set_num_threads(1);
            if (library.stop_threads) library.stop_threads();
        }
        snprintf(found.core, sizeof found.core, "%s", library.get_corename());
        found.level = luc_openblas_level(found.core);
        found.most_calls = most_calls();
        if (found.level < float_level(luc_cpu_current())) report_misfit();
        luc_in_forked_child(forget_calls);
        atomic_store(&usable, found.level > LUC_CPU_GENERIC);
        atomic_store(&handle, lib);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

#if defined(LUC_HAVE_OPENBLAS)
static void load_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
}
#endif

/* Whether it may compute at the level in use. Kernels of another level would make the levels
   differ less than their names say, and those of a lower one are slower than ours. */
static bool is_ready(void)
{
#if defined(LUC_HAVE_OPENBLAS)
    if (!atomic_load_explicit(&is_allowed, memory_order_relaxed)) return false;
    const luc_cpu_level level = float_level(luc_cpu_current());
    if (level == LUC_CPU_GENERIC) return false;
    load_once();
    return atomic_load_explicit(&usable, memory_order_relaxed) && found.level == level;
#else
    (void)load;
    return false;
#endif
}

bool luc_openblas_allow(bool allowed)
{
    return atomic_exchange(&is_allowed, allowed);
}

bool luc_openblas_prefer(bool preferred)
{
    return atomic_exchange(&is_preferred, preferred);
}

const char *luc_openblas_core(void)
{
    return is_ready() ? found.core : NULL;
}

/* ---- one thread a call ----------------------------------------------------------------------- */

static struct { /* under LUC_LOCK_OPENBLAS */
    int products;
    int threads; /* the program's own setting, to be given back after the last product */
} use = {.threads = 1};

static atomic_int calls;

/* In a child: a thread that was in OpenBLAS at the fork may have held one of its locks. */
static void forget_calls(void)
{
    if (use.products > 0) {
        atomic_store(&usable, false);
        atomic_store(&handle, NULL);
    }
    use.products = 0;
    atomic_store(&calls, 0);
}

static void set_threads(int n)
{
    sigset_t before;
    luc_signals_block(&before); /* after a fork this starts OpenBLAS's threads */
    library.set_num_threads(n);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* The number of threads is one setting for the whole process. So what a program has set for its own
   calls of OpenBLAS is put back after the last product; its calls meanwhile use one thread. */
static bool begin_product(void)
{
    luc_lock(LUC_LOCK_OPENBLAS);
    const bool ok = atomic_load(&handle) != NULL;
    if (ok) {
        const int threads = library.get_num_threads();
        if (threads != 1) {
            use.threads = threads;
            set_threads(1);
        }
        use.products++;
    }
    luc_unlock(LUC_LOCK_OPENBLAS);
    return ok;
}

static void end_product(void)
{
    luc_lock(LUC_LOCK_OPENBLAS);
    if (--use.products == 0 && use.threads != 1) {
        if (library.get_num_threads() == 1) set_threads(use.threads);
        use.threads = 1;
    }
    luc_unlock(LUC_LOCK_OPENBLAS);
}

static void begin_call(void)
{
    while (atomic_fetch_add(&calls, 1) >= found.most_calls) {
        atomic_fetch_sub(&calls, 1);
        luc_yield();
    }
}

/* ---- a block --------------------------------------------------------------------------------- */

#define DEFINE_FINISH(T, name)                                                                \
    /* Adds the bias of rows from r0 and columns from c0 on, then ReLU. */                    \
    static void name(const plan *g, T *c, int64_t r0, int64_t rows, int64_t c0, int64_t cols) \
    {                                                                                         \
        const luc_gemm_params *p = g->p;                                                      \
        const T *bias = (const T *)(const void *)g->bias;                                     \
        for (int64_t r = 0; r < rows; r++, c += p->ldc) {                                     \
            if (p->bias_kind == LUC_GEMM_BIAS_COL)                                            \
                for (int64_t j = 0; j < cols; j++) c[j] += bias[c0 + j];                      \
            if (p->bias_kind == LUC_GEMM_BIAS_ROW)                                            \
                for (int64_t j = 0; j < cols; j++) c[j] += bias[r0 + r];                      \
            if (p->relu)                                                                      \
                for (int64_t j = 0; j < cols; j++) c[j] = c[j] < 0 ? 0 : c[j];                \
        }                                                                                     \
    }
DEFINE_FINISH(float, finish_f32)
DEFINE_FINISH(double, finish_f64)

static void run_block(void *ctx, int64_t begin, int64_t end, int thread)
{
    const plan *g = ctx;
    const luc_gemm_params *p = g->p;
    (void)end, (void)thread;
    const int64_t blocks = g->row_blocks * g->col_blocks;
    const int64_t batch = begin / blocks, block = begin % blocks;
    const int64_t r0 = block % g->row_blocks * g->rows, c0 = block / g->row_blocks * g->cols;
    const int rows = (int)(p->m - r0 < g->rows ? p->m - r0 : g->rows);
    const int cols = (int)(p->n - c0 < g->cols ? p->n - c0 : g->cols);
    const int64_t size = g->is_f64 ? 8 : 4;
    const void *a = g->a + size * (batch * p->stride_a + r0 * (p->trans_a ? 1 : p->lda));
    const void *b = g->b + size * (batch * p->stride_b + c0 * (p->trans_b ? p->ldb : 1));
    void *c = g->c + size * (batch * p->stride_c + r0 * p->ldc + c0);
    const int trans_a = p->trans_a ? TRANS : NO_TRANS, trans_b = p->trans_b ? TRANS : NO_TRANS;
    const int k = (int)p->k, lda = (int)p->lda, ldb = (int)p->ldb, ldc = (int)p->ldc;
    begin_call();
    if (g->is_f64)
        library.dgemm(ROW_MAJOR, trans_a, trans_b, rows, cols, k, p->alpha, a, lda, b, ldb, p->beta,
                      c, ldc);
    else
        library.sgemm(ROW_MAJOR, trans_a, trans_b, rows, cols, k, (float)p->alpha, a, lda, b, ldb,
                      (float)p->beta, c, ldc);
    atomic_fetch_sub(&calls, 1);
    if (!p->bias_kind && !p->relu) return;
    if (g->is_f64)
        finish_f64(g, c, r0, rows, c0, cols);
    else
        finish_f32(g, c, r0, rows, c0, cols);
}

bool luc_openblas_gemm(const luc_gemm_params *p, luc_gemm_type type, const void *a, const void *b,
                       void *c, const void *bias)
{
    if (!can(p)) return false;
    plan g = {.p = p, .is_f64 = type == LUC_GEMM_F64, .a = a, .b = b, .c = c, .bias = bias};
    if (!choose_blocks(&g) && !atomic_load_explicit(&is_preferred, memory_order_relaxed))
        return false;
    if (!is_ready() || !begin_product()) return false;
    luc_parallel_for(g.row_blocks * g.col_blocks * p->batch, 1, run_block, &g);
    end_product();
    return true;
}

/* ---- LAPACK ---------------------------------------------------------------------------------- */

void *luc_openblas_begin(void)
{
#if defined(LUC_HAVE_OPENBLAS)
    load_once();
    if (!begin_product()) return NULL;
    begin_call();
    return atomic_load(&handle);
#else
    (void)begin_call;
    return NULL;
#endif
}

void luc_openblas_end(void)
{
    atomic_fetch_sub(&calls, 1);
    end_product();
}
