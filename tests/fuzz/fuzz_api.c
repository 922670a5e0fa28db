/* fuzz_api.c: every exported function with arguments that nobody should pass.
 *
 *     fuzz_api null             each function, each pointer in turn NULL, the rest valid
 *     fuzz_api CALLS [SEED]     random calls: NULL, huge, negative, NaN, wrong ranks and dtypes
 *     fuzz_api one NAME [SEED]  a thousand random calls of one function, in this process
 *
 * api_calls.h is written from the headers by api.awk. Calls run in child processes, a batch each:
 * one that dies, or takes too long, is reported by the function's name, and the rest goes on. Ends
 * with 1 when there was any. */
#define _GNU_SOURCE
#include "api_values.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BATCH = 2000, SECONDS = 30, MOST_FAULTS = 60 };

/* ---- functions with rules of their own ---- */

/* These take what they are given away: it must be of this call alone. */
#define FREES(function, value)           \
    static void special_##function(void) \
    {                                    \
        function(P(1, value));           \
    }
FREES(lucid_module_free, A_lucid_module_p(""))
FREES(lucid_dataset_free, A_lucid_dataset_p(""))
FREES(lucid_loader_free, lucid_loader_new(A_lucid_dataset_p(""), NULL))
FREES(lucid_image_free, lucid_image_new(3, 3, 0))
FREES(lucid_optimizer_free, lucid_optim_new("SGD", NULL))
FREES(lucid_scheduler_free, lucid_optim_step_lr(A_lucid_optimizer_p(""), 2, NULL))
FREES(lucid_averaged_free, lucid_averaged_ema(A_lucid_module_p(""), NULL))
FREES(lucid_confusion_free, lucid_confusion_new_opt(3, NULL))
FREES(lucid_tensorboard_close, lucid_tensorboard_open("board"))
FREES(lucid_report_free, lucid_report_new("a run"))
FREES(lucid_grad_scaler_free, lucid_grad_scaler_new(NULL))
FREES(lucid_state_dict_free, lucid_state_dict_new())
FREES(lucid_npz_close, lucid_npz_open("given.npz"))
FREES(lucid_pth_close, lucid_pth_open("given.pth"))
FREES(lucid_safetensors_close, lucid_safetensors_open("given.st"))
FREES(lucid_release, lucid_retain(A_lucid_tensor_p("")))

/* What one hands out the other takes. */
static void special_lucid_to_dlpack(void)
{
    lucid_from_dlpack(lucid_to_dlpack(P(1, A_lucid_tensor_p(""))));
}
static void special_lucid_from_dlpack(void)
{
    lucid_from_dlpack(P(1, lucid_to_dlpack(A_lucid_tensor_p(""))));
}

/* These change what holds for all calls after them: the old state comes back. */
static void special_lucid_scope_begin(void)
{
    lucid_scope_end(lucid_scope_begin());
}
static void special_lucid_scope_end(void)
{
    lucid_scope_end(hostile ? SIZE_MAX : 0);
}
static void special_lucid_scope_cleanup(void)
{
    size_t depth = 0;
    lucid_scope_cleanup(P(1, &depth));
}
static void special_lucid_autocast_begin(void)
{
    lucid_autocast_end(lucid_autocast_begin(A_lucid_dtype("")));
}
static void special_lucid_autocast_end(void)
{
    lucid_autocast_end(0);
}
static void special_lucid_autocast_cleanup(void)
{
    size_t scope = 0;
    lucid_autocast_cleanup(P(1, &scope));
}
static void special_lucid_set_grad_enabled(void)
{
    lucid_set_grad_enabled(lucid_set_grad_enabled(A_bool("")));
}
static void special_lucid_set_num_threads(void)
{
    int n = lucid_get_num_threads();
    lucid_set_num_threads(hostile ? (int)dice(6) - 2 : 1);
    lucid_clear_error();
    lucid_set_num_threads(n);
}
static void special_lucid_set_error_mode(void)
{
    lucid_set_error_mode(hostile ? (lucid_error_mode)99 : LUCID_ERRORS_RETURN);
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}
static void special_lucid_set_error_handler(void)
{
    lucid_set_error_handler(NULL, NULL);
}
static void special_lucid_memory_fail_nth(void)
{
    lucid_memory_fail_nth(A_uint64_t(""));
    lucid_tensor *x = lucid_ones_opt((lucid_shape){1, {3}}, NULL);
    lucid_add(x, x);
    lucid_memory_fail_nth(0);
}
static void special_lucid_finish(void)
{
} /* once, at the end */

/* Variable arguments, callbacks written out, memory as long as sizes say. */
static void special_lucid_raise(void)
{
    lucid_raise(A_lucid_code(""), P(2, "fuzz"), P(3, "a %d"), 3);
}
static void for_module(lucid_module *m, void *user)
{
    (void)m, (void)user;
}
static void special_lucid_module_apply(void)
{
    void (*fn)(lucid_module *, void *) = for_module;
    lucid_module_apply(P(1, A_lucid_module_p("")), P(2, fn), NULL);
}
static void nothing(void *user, void *data)
{
    (void)user, (void)data;
}
static lucid_shape small_shape(void)
{
    lucid_shape s = {.ndim = (int)dice(5)};
    for (int d = 0; d < s.ndim; d++) s.dims[d] = dice(5);
    if (hostile && chance(6) && s.ndim) s.dims[0] = -1;
    return s;
}
static void special_lucid_from_blob(void)
{
    keep_tensor(
        lucid_from_blob(small_shape(), A_lucid_dtype(""), P(3, A_void_p("")), nothing, NULL));
}
static void special_lucid_from_typed_data(void)
{
    keep_tensor(
        lucid_from_typed_data(small_shape(), P(2, A_void_p("")), A_lucid_dtype("from"), NULL));
}
static void special_lucid_from_data_opt(void)
{
    keep_tensor(lucid_from_data_opt(small_shape(), P(2, A_void_p("")), NULL));
}
static void special_lucid_image_gray(void)
{
    lucid_image_gray(P(1, A_lucid_image_p("")), A_int(""), A_int(""), A_int(""),
                     P(5, A_uint8_t_p("")), (int)dice(100), (int)dice(100));
}
/* Its time is as long as the schedule. */
static void special_lucid_scheduler_seek(void)
{
    lucid_scheduler_seek(P(1, A_lucid_scheduler_p("")), hostile ? (int64_t)dice(1000) - 10 : 3);
}

#include "api_calls.h"

enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* ---- running ---- */

typedef struct report {
    int function, parameter;
    long calls;
} report;
static report *shared; /* with the children */

static void write_given_file(void)
{
    const char *name = "a";
    lucid_tensor *x = lucid_ones_opt((lucid_shape){2, {2, 3}}, NULL);
    lucid_safetensors_write("given.st", &name, &x, 1, NULL, NULL, 0);
    lucid_pth_write("given.pth", &name, &x, 1);
    FILE *archive = fopen("given.npz", "wb"); /* the smallest one: without an array */
    if (archive) {
        fwrite("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 1, 22, archive);
        fclose(archive);
    }
}

static void one_call(int f, int parameter)
{
    shared->function = f;
    shared->parameter = null_at = parameter;
    shared->calls++;
    alarm(SECONDS);
    size_t scope = lucid_scope_begin();
    renew_tensors();
    functions[f].call();
    lucid_scope_end(scope);
    lucid_clear_error();
    alarm(0);
}

/* Sizes that are legal but huge are refused, and not worked on for minutes. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=64";
}
#endif
#endif
static void limit_memory(void)
{
#ifndef SANITIZED
    struct rlimit most = {(rlim_t)1 << 29, (rlim_t)1 << 29};
    setrlimit(RLIMIT_AS, &most);
#endif
}

static void begin_child(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    memset(long_text, 'l', sizeof long_text - 1);
    if (!freopen("/dev/null", "w", stdout)) _exit(2);
    limit_memory();
    lucid_set_num_threads(1);
}

static bool ended_well(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child) return false;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
    fprintf(stderr, "fuzz_api: %s (parameter %d) ended with %s %d\n",
            functions[shared->function].name, shared->parameter,
            WIFSIGNALED(status) ? "signal" : "status",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return false;
}

static int each_null(void)
{
    int faults = 0;
    for (int f = 0; f < FUNCTIONS; f++)
        for (int p = 0; p <= functions[f].parameters; p++) {
            pid_t child = fork();
            if (child == 0) {
                begin_child();
                random_state = (uint64_t)f * 31 + (uint64_t)p;
                one_call(f, p);
                _exit(0);
            }
            faults += !ended_well(child);
        }
    return faults;
}

static int random_calls(long calls, uint64_t seed)
{
    int faults = 0;
    for (uint64_t batch = 0; shared->calls < calls && faults < MOST_FAULTS; batch++) {
        pid_t child = fork();
        if (child == 0) {
            begin_child();
            hostile = true;
            random_state = (seed * 1000003 + batch) * 0x9e3779b97f4a7c15u;
            for (int i = 0; i < BATCH && shared->calls < calls; i++)
                one_call((int)dice(FUNCTIONS), 0);
            _exit(0);
        }
        faults += !ended_well(child);
    }
    return faults;
}

static int thousand_of(const char *name, uint64_t seed)
{
    begin_child();
    hostile = true;
    random_state = seed;
    for (int f = 0; f < FUNCTIONS; f++)
        if (strcmp(functions[f].name, name) == 0)
            for (int i = 0; i < 1000; i++) one_call(f, 0);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "null";
    uint64_t seed = strtoull(argc > 2 ? argv[argc - 1] : "1", NULL, 10);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 2;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    write_given_file();
    if (strcmp(what, "one") == 0 && argc > 2) return thousand_of(argv[2], seed);
    int faults =
        strcmp(what, "null") == 0 ? each_null() : random_calls(strtol(what, NULL, 10), seed);
    printf("%d functions, %ld calls, %d faults\n", (int)FUNCTIONS, shared->calls, faults);
    return faults > 0;
}
