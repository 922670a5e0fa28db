/* worker.c: the two ends of the pipe. */
#include "worker.h"
#include "../bench.h"
#include "row.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the asking end -------------------------------------------------------------------------- */

bool worker_start(worker *w, char *const *argv)
{
    int to[2], from[2];
    /* A second worker must not inherit the first one's ends, or that would never see its end. */
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) return false;
    w->pid = fork();
    if (w->pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        close(to[1]);
        close(from[0]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    w->to = fdopen(to[1], "w");
    w->from = fdopen(from[0], "r");
    char line[128];
    if (w->pid > 0 && w->to && w->from && fgets(line, sizeof line, w->from) &&
        sscanf(line, "ready %63s", w->version) == 1)
        return true;
    worker_stop(w);
    return false;
}

void worker_stop(worker *w)
{
    if (w->to) fclose(w->to);
    if (w->from) fclose(w->from);
    if (w->pid > 0) waitpid(w->pid, NULL, 0);
    *w = (worker){0};
}

static bool ask(worker *w, char *answer, size_t size, const char *fmt, va_list args)
{
    if (!w->to) return false;
    vfprintf(w->to, fmt, args);
    fputc('\n', w->to);
    fflush(w->to);
    if (!fgets(answer, (int)size, w->from)) return false;
    answer[strcspn(answer, "\n")] = '\0';
    return true;
}

bool worker_ask(worker *w, char *answer, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    bool ok = ask(w, answer, size, fmt, args);
    va_end(args);
    return ok;
}

double worker_number(worker *w, const char *fmt, ...)
{
    char answer[128], *end;
    va_list args;
    va_start(args, fmt);
    bool ok = ask(w, answer, sizeof answer, fmt, args);
    va_end(args);
    double x = ok ? strtod(answer, &end) : NAN;
    return ok && end != answer ? x : NAN;
}

/* ---- the answering end ----------------------------------------------------------------------- */

static const row *find_row(const char *name)
{
    for (const row *const *f = row_families; *f; f++)
        for (const row *r = *f; r->name; r++)
            if (strcmp(r->name, name) == 0) return r;
    return NULL;
}

typedef struct running {
    const row *row;
    void *state;
} running;

static void stop_running(running *now)
{
    if (now->row) now->row->teardown(now->state);
    *now = (running){0};
}

static void setup(running *now, const char *name)
{
    stop_running(now);
    const row *r = find_row(name);
    row_dtype = r && r->half ? LUCID_BF16 : LUCID_F32;
    void *state = r ? r->setup(r) : NULL;
    if (!state) {
        puts("none");
        return;
    }
    *now = (running){r, state};
    r->run(state);
    printf("%.17g\n", r->value ? r->value(state) : NAN);
}

/* A first run, which finds its data and threads cold, does not count, where there are several. */
static double time_calls(const running *now, long calls)
{
    if (calls > 1) now->row->run(now->state);
    double start;
    lucid_synchronize(row_device);
    start = bench_now();
    for (long i = 0; i < calls; i++) now->row->run(now->state);
    lucid_synchronize(row_device);
    return bench_now() - start;
}

/* Bytes read and written a second by copies of `megabytes` within the device: its limit. */
static double copy_rate(int megabytes)
{
    enum { COPIES = 10 };
    LUCID_SCOPE;
    lucid_tensor *x =
        lucid_zeros(((int64_t)megabytes << 20), .dtype = LUCID_U8, .device = row_device);
    lucid_tensor *y =
        lucid_zeros(((int64_t)megabytes << 20), .dtype = LUCID_U8, .device = row_device);
    lucid_copy_(y, x);
    lucid_synchronize(row_device);
    double start = bench_now();
    for (int i = 0; i < COPIES; i++) lucid_copy_(y, x);
    lucid_synchronize(row_device);
    return COPIES * 2.0 * megabytes * (1 << 20) / (bench_now() - start);
}

/* Kilobytes at most: of the device, or of the process on the CPU. */
static long peak_memory(void)
{
    if (row_device.type != LUCID_CPU) return (long)(lucid_memory(row_device).reserved_bytes / 1024);
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss;
}

int worker_main(void)
{
    running now = {0};
    char line[256], name[200];
    int n;
    signal(SIGPIPE, SIG_IGN);
    puts("ready lucid");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "setup %199[^\n]", name) == 1)
            setup(&now, name);
        else if (sscanf(line, "time %d", &n) == 1 && now.row)
            printf("%.9g\n", time_calls(&now, n));
        else if (sscanf(line, "threads %d", &n) == 1) {
            lucid_set_num_threads(n);
            puts("ok");
        } else if (sscanf(line, "device %199s", name) == 1) {
            lucid_set_benchmark(true); /* as PyTorch's side does */
            puts(lucid_device_parse(name, &row_device) && lucid_synchronize(row_device) ? "ok"
                                                                                        : "none");
        } else if (sscanf(line, "copy %d", &n) == 1)
            printf("%.9g\n", copy_rate(n));
        else if (strcmp(line, "memory") == 0)
            printf("%ld\n", peak_memory());
        else
            break;
        fflush(stdout);
    }
    stop_running(&now);
    return lucid_finish();
}
