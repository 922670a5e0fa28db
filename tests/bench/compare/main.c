/* main.c: lucid and PyTorch side by side.
 *
 *     ./run bench [PATTERN] [--only PATTERN] [--threads N] [--quick] [--check] [--json FILE]
 *                 [--device cuda]
 *
 * Each row is run by two processes in turns, so that a machine that slows down hits both alike. A
 * row's ratio is the median, over the turns, of PyTorch's time over lucid's, with its quartiles;
 * "limit" is lucid's share of what the machine can do at most (machine.h, in the same run). Without
 * PyTorch (python3 cannot import torch) lucid's times stand alone. */
#include "../bench.h"
#include "../machine.h"
#include "row.h"
#include "worker.h"

#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_TURNS = 31 };

typedef struct setting {
    const char *only, *json_path;
    int threads;        /* 0: 1 and as many as there are */
    const char *device; /* "cuda": the rows run there; NULL: on the CPU */
    bool quick, check;  /* check: compare the values, measure nothing */
    FILE *json;
    char self[PATH_MAX], rival[PATH_MAX];
    worker lucid, torch;
    bool has_torch;
    machine limit; /* with as many threads as the rows have */
    int failures;  /* rows whose values differ */
    int broken;    /* rows that lucid could not run */
} setting;

typedef struct outcome {
    double lucid, torch;       /* seconds a run, medians */
    double ratio, low, high;   /* median and quartiles of torch / lucid */
    double lucid_mb, torch_mb; /* peak memory; 0: not measured */
    double value, rival_value;
} outcome;

static double quantile(double *sorted, int n, double q)
{
    return sorted[(int)(q * (n - 1) + 0.5)];
}

static bool use_device(const setting *s, worker *w, const char *who)
{
    char answer[16];
    if (worker_ask(w, answer, sizeof answer, "device %s", s->device) && strcmp(answer, "ok") == 0)
        return true;
    fprintf(stderr, "compare: --device: %s cannot use %s here\n", who, s->device);
    return false;
}

static bool start_workers(setting *s)
{
    char *lucid_argv[] = {s->self, "--worker", NULL};
    /* What lucid's libraries were carried in must not be what Python's modules are linked with. */
    const char *outer = getenv("TORCH_LIBRARY_PATH");
    char path[8192];
    snprintf(path, sizeof path, "LD_LIBRARY_PATH=%s", outer ? outer : "");
    char *python[] = {"python3", s->rival, NULL};
    char *clean_python[] = {"env", path, "python3", s->rival, NULL};
    char *const *torch_argv = outer ? clean_python : python;
    if (!worker_start(&s->lucid, lucid_argv)) {
        fprintf(stderr, "compare: cannot start itself as %s\n", s->self);
        return false;
    }
    if (s->has_torch) s->has_torch = worker_start(&s->torch, torch_argv);
    if (!s->device) return true;
    if (s->has_torch && !use_device(s, &s->torch, "PyTorch")) {
        worker_stop(&s->torch);
        s->has_torch = false;
    }
    return use_device(s, &s->lucid, "lucid");
}

static void stop_workers(setting *s)
{
    worker_stop(&s->lucid);
    if (s->has_torch) worker_stop(&s->torch);
}

/* How many runs take about `seconds`. */
static long calls_for(worker *w, double seconds)
{
    double once = worker_number(w, "time 1");
    for (long calls = 1;; calls *= 4) {
        if (once >= seconds / 8 || calls >= 1 << 20)
            return once > 0 ? (long)fmax(1, seconds / once * (double)calls) : calls;
        once = worker_number(w, "time %ld", calls * 4);
    }
}

/* Makes the rival's twin of a row. NULL: there is none, or no rival. */
static worker *setup_rival(setting *s, const row *r, int threads, double *value)
{
    char answer[64], list[200] = "";
    if (!s->has_torch || !r->twin) return NULL;
    size_t used = 0;
    for (size_t i = 0; i < sizeof r->arguments / sizeof *r->arguments; i++)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, " %lld", (long long)r->arguments[i]);
    worker_ask(&s->torch, answer, sizeof answer, "threads %d", threads);
    worker_ask(&s->torch, answer, sizeof answer, "half %d", r->half);
    if (!worker_ask(&s->torch, answer, sizeof answer, "setup %s%s", r->twin, list) ||
        strcmp(answer, "none") == 0)
        return NULL;
    *value = strtod(answer, NULL);
    return &s->torch;
}

/* Seconds a run. The other side's threads may still be spinning for work on the cores that this one
 * needs: they get the time to fall asleep first. */
static double take_turn(worker *w, long calls)
{
    usleep(50 * 1000);
    return worker_number(w, "time %ld", calls) / (double)calls;
}

/* Measures in turns. False when lucid has no such row or a worker died. */
static bool measure(setting *s, const row *r, int threads, outcome *o)
{
    *o = (outcome){0};
    char ok[16];
    worker_ask(&s->lucid, ok, sizeof ok, "threads %d", threads);
    o->value = worker_number(&s->lucid, "setup %s", r->name);
    worker *rival = setup_rival(s, r, threads, &o->rival_value);
    if (s->check) {
        o->lucid = o->torch = rival ? 1 : 0;
        return true;
    }
    double target = s->quick ? 0.02 : 0.06, patience = s->quick ? 3 : 10;
    int turns = s->quick ? 7 : MAX_TURNS, least = s->quick ? 3 : 5;
    long calls = calls_for(&s->lucid, target), rival_calls = rival ? calls_for(rival, target) : 0;
    double a[MAX_TURNS], b[MAX_TURNS], ratio[MAX_TURNS], begin = bench_now();
    int n = 0;
    while (n < turns && (n < least || bench_now() - begin < patience)) {
        a[n] = take_turn(&s->lucid, calls);
        b[n] = rival ? take_turn(rival, rival_calls) : 0;
        ratio[n] = b[n] / a[n];
        n++;
    }
    qsort(a, (size_t)n, sizeof *a, bench_compare);
    qsort(b, (size_t)n, sizeof *b, bench_compare);
    qsort(ratio, (size_t)n, sizeof *ratio, bench_compare);
    o->lucid = quantile(a, n, 0.5);
    o->torch = quantile(b, n, 0.5);
    o->ratio = quantile(ratio, n, 0.5);
    o->low = quantile(ratio, n, 0.25);
    o->high = quantile(ratio, n, 0.75);
    if (r->memory) {
        o->lucid_mb = worker_number(&s->lucid, "memory") / 1024;
        if (rival) o->torch_mb = worker_number(rival, "memory") / 1024;
    }
    return isfinite(o->lucid);
}

/* Both must compute the same; a NaN value is one that a row does not have. */
static bool agrees(const row *r, const outcome *o)
{
    if (!r->value || r->tolerance == 0 || o->torch == 0) return true;
    return fabs(o->value - o->rival_value) <= r->tolerance * fmax(1e-30, fabs(o->rival_value));
}

/* The share of the machine's limit: what the row must take at least, by what it took. More than 1
 * where the caches hold what counts as memory here, or where less is multiplied (Winograd). */
static double share(const setting *s, const row *r, const outcome *o)
{
    double least = s->limit.flops > 0 ? r->flops / s->limit.flops : 0;
    if (s->limit.bytes > 0) least = fmax(least, r->bytes / s->limit.bytes);
    return least / o->lucid;
}

static void print_json(const setting *s, const row *r, int threads, const outcome *o)
{
    fprintf(
        s->json,
        "{\"row\": \"%s\", \"threads\": %d, \"lucid_ms\": %.6g, \"torch_ms\": %.6g, \"ratio\": "
        "%.4g, \"ratio_low\": %.4g, \"ratio_high\": %.4g, \"lucid_mb\": %.1f, \"torch_mb\": %.1f, "
        "\"gflops\": %.4g, \"gbytes\": %.4g, \"share\": %.4g, \"agrees\": %s}\n",
        r->name, threads, o->lucid * 1e3, o->torch * 1e3, o->ratio, o->low, o->high, o->lucid_mb,
        o->torch_mb, r->flops / o->lucid * 1e-9, r->bytes / o->lucid * 1e-9, share(s, r, o),
        agrees(r, o) ? "true" : "false");
    fflush(s->json);
}

static void print_check(setting *s, const row *r, const outcome *o)
{
    const bool same = agrees(r, o);
    printf("%-9s %-48s %.9g against %.9g\n",
           !same                      ? "DIFFERS"
           : o->torch > 0 && r->value ? "ok"
                                      : "-",
           r->name, o->value, o->rival_value);
    fflush(stdout);
    s->failures += !same;
}

static void print_row(setting *s, const row *r, int threads, const outcome *o)
{
    printf("%-48s %d %11.4f", r->name, threads, o->lucid * 1e3);
    if (o->torch > 0)
        printf(" %11.4f %7.2f  %5.2f-%-5.2f", o->torch * 1e3, o->ratio, o->low, o->high);
    else
        printf(" %11s %7s  %11s", "-", "-", "");
    if (r->flops > 0)
        printf(" %7.1f GF/s", r->flops / o->lucid * 1e-9);
    else if (r->bytes > 0)
        printf(" %7.1f GB/s", r->bytes / o->lucid * 1e-9);
    else
        printf(" %12s", "");
    if (r->flops > 0 || r->bytes > 0)
        printf(" %4.0f%%", 100 * share(s, r, o));
    else
        printf(" %5s", "");
    if (o->lucid_mb > 0) printf("  %5.0f MB", o->lucid_mb);
    if (o->torch_mb > 0) printf(" against %.0f MB", o->torch_mb);
    if (!agrees(r, o)) {
        printf("  DIFFERS: %.9g against %.9g", o->value, o->rival_value);
        s->failures++;
    }
    putchar('\n');
    fflush(stdout);
    if (s->json) print_json(s, r, threads, o);
}

static bool run_family(setting *s, const row *rows, int threads)
{
    for (const row *r = rows; r->name; r++) {
        if (r->half && !r->everywhere && !s->device) continue;
        if (s->only && !strstr(r->name, s->only)) continue;
        if (r->memory) { /* processes of its own: their peak is this row's */
            stop_workers(s);
            if (!start_workers(s)) return false;
        }
        outcome o;
        if (!measure(s, r, threads, &o)) {
            fprintf(stderr, "compare: %s: could not be measured\n", r->name);
            s->broken++;
            stop_workers(s);
            if (!start_workers(s)) return false;
            continue;
        }
        if (s->check)
            print_check(s, r, &o);
        else
            print_row(s, r, threads, &o);
    }
    return true;
}

static bool parse(setting *s, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--quick") == 0)
            s->quick = true;
        else if (strcmp(argv[i], "--check") == 0)
            s->check = true;
        else if (strcmp(argv[i], "--only") == 0 && value)
            s->only = argv[++i];
        else if (strcmp(argv[i], "--json") == 0 && value)
            s->json_path = argv[++i];
        else if (strcmp(argv[i], "--device") == 0 && value)
            s->device = argv[++i];
        else if (strcmp(argv[i], "--threads") == 0 && value && atoi(value) > 0)
            s->threads = atoi(argv[++i]);
        else if (argv[i][0] != '-' && !s->only)
            s->only = argv[i];
        else {
            fprintf(stderr,
                    "compare: expected [--only PATTERN] [--threads N] [--quick] [--check] "
                    "[--json FILE] [--device cuda], "
                    "got \"%s\"\n",
                    argv[i]);
            return false;
        }
    }
    return true;
}

const row *const row_families[] = {
    overhead_rows,  train_rows,  conv_rows, norm_rows, op_rows,
    optimizer_rows, system_rows, gpu_rows,  NULL,
};

static const row *const gpu_families[] = {
    overhead_rows, train_rows, gpu_rows, conv_rows, norm_rows, op_rows, optimizer_rows, NULL,
};

static bool run_families(setting *s, int threads)
{
    if (s->device) {
        s->limit = (machine){.bytes = worker_number(&s->lucid, "copy 256")};
        printf("%s: copies move at most %.1f GB/s\n", s->device, 1e-9 * s->limit.bytes);
        bool ok = true;
        for (const row *const *f = gpu_families; ok && *f; f++) ok = run_family(s, *f, 1);
        return ok;
    }
    s->limit = machine_measure(threads);
    printf("%d threads: at most %.0f GFLOP/s, %.1f GB/s\n", threads, 1e-9 * s->limit.flops,
           1e-9 * s->limit.bytes);
    fflush(stdout);
    bool ok = true;
    for (const row *const *f = row_families; ok && *f && *f != gpu_rows; f++)
        ok = run_family(s, *f, threads);
    return ok;
}

/* What the row "start" measures. */
static int hello(void)
{
    lucid_tensor *y = lucid_relu(lucid_ones((1)));
    return !y || lucid_finish();
}

/* The PyTorch side lies beside this program, where it was carried elsewhere, or in the sources. */
static void find_rival(setting *s)
{
    const char *slash = strrchr(s->self, '/');
    int n = snprintf(s->rival, sizeof s->rival, "%.*s/rival.py", (int)(slash - s->self), s->self);
    if (n >= (int)sizeof s->rival || access(s->rival, R_OK) != 0)
        snprintf(s->rival, sizeof s->rival, "%s", RIVAL_PATH);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--worker") == 0) return worker_main();
    if (argc == 2 && strcmp(argv[1], "--hello") == 0) return hello();
    setting s = {.has_torch = true};
    if (!parse(&s, argc, argv)) return 2;
    ssize_t n = readlink("/proc/self/exe", s.self, sizeof s.self - 1);
    if (n <= 0) return 1;
    find_rival(&s);
    signal(SIGPIPE, SIG_IGN);
    if (s.json_path && !(s.json = fopen(s.json_path, "w"))) {
        fprintf(stderr, "compare: --json: cannot write %s\n", s.json_path);
        return 1;
    }
    if (!start_workers(&s)) return 1;
    if (s.has_torch)
        printf("PyTorch %s\n", s.torch.version);
    else
        printf("there is no PyTorch to compare with: lucid's times stand alone\n");
    printf("%-48s %s %11s %11s %7s  %-11s %12s %5s\n", "row", "t", "lucid ms", "torch ms", "ratio",
           "quartiles", "rate", "limit");
    int all = (int)sysconf(_SC_NPROCESSORS_ONLN), first = s.threads ? s.threads : 1;
    if (s.device) first = s.threads = 1;
    bool ok = true;
    for (int t = first; ok && t <= (s.threads ? s.threads : all); t = t < all ? all : t + 1)
        ok = run_families(&s, t);
    stop_workers(&s);
    if (s.json) fclose(s.json);
    if (s.failures) fprintf(stderr, "compare: %d rows differ from PyTorch\n", s.failures);
    if (s.broken) fprintf(stderr, "compare: %d rows could not be measured\n", s.broken);
    return ok && s.failures + s.broken == 0 ? 0 : 1;
}
