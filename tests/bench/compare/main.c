/* main.c: lucid and PyTorch side by side.
 *
 *     ./run bench compare [--only PATTERN] [--threads N] [--quick] [--json FILE]
 *
 * Each row is run by two processes in turns, so that a machine that slows down hits both alike. A
 * row's ratio is the median, over the turns, of PyTorch's time over lucid's, with its quartiles. Without
 * PyTorch (python3 cannot import torch) lucid's times stand alone. */
#include "../bench.h"
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
    int threads; /* 0: 1 and as many as there are */
    bool quick;
    FILE *json;
    char self[PATH_MAX], rival[PATH_MAX];
    worker lucid, torch;
    bool has_torch;
    int failures; /* rows whose values differ */
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

static bool start_workers(setting *s)
{
    char *lucid_argv[] = {s->self, "--worker", NULL};
    char *torch_argv[] = {"python3", s->rival, NULL};
    if (!worker_start(&s->lucid, lucid_argv)) {
        fprintf(stderr, "compare: cannot start itself as %s\n", s->self);
        return false;
    }
    if (s->has_torch) s->has_torch = worker_start(&s->torch, torch_argv);
    return true;
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

/* Measures in turns. False when lucid has no such row or a worker died. */
static bool measure(setting *s, const row *r, int threads, outcome *o)
{
    *o = (outcome){0};
    char ok[16];
    worker *rival = s->has_torch ? &s->torch : NULL;
    worker_ask(&s->lucid, ok, sizeof ok, "threads %d", threads);
    o->value = worker_number(&s->lucid, "setup %s", r->name);
    if (rival) {
        char answer[64];
        worker_ask(rival, ok, sizeof ok, "threads %d", threads);
        if (!worker_ask(rival, answer, sizeof answer, "setup %s", r->name)) return false;
        if (strcmp(answer, "none") == 0)
            rival = NULL;
        else
            o->rival_value = strtod(answer, NULL);
    }
    double target = s->quick ? 0.02 : 0.06;
    int turns = s->quick ? 7 : MAX_TURNS;
    long calls = calls_for(&s->lucid, target), rival_calls = rival ? calls_for(rival, target) : 0;
    double a[MAX_TURNS], b[MAX_TURNS], ratio[MAX_TURNS], begin = bench_now();
    int n = 0;
    while (n < turns && (n < 5 || bench_now() - begin < (s->quick ? 4 : 20))) {
        a[n] = worker_number(&s->lucid, "time %ld", calls) / (double)calls;
        b[n] = rival ? worker_number(rival, "time %ld", rival_calls) / (double)rival_calls : 0;
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
    if (!r->value || o->torch == 0) return true;
    return fabs(o->value - o->rival_value) <= r->tolerance * fmax(1e-30, fabs(o->rival_value));
}

static void print_row(setting *s, const row *r, int threads, const outcome *o)
{
    printf("%-36s %d %11.4f", r->name, threads, o->lucid * 1e3);
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
    if (o->lucid_mb > 0) printf("  %5.0f MB", o->lucid_mb);
    if (o->torch_mb > 0) printf(" against %.0f MB", o->torch_mb);
    if (!agrees(r, o)) {
        printf("  DIFFERS: %.9g against %.9g", o->value, o->rival_value);
        s->failures++;
    }
    putchar('\n');
    fflush(stdout);
    if (!s->json) return;
    fprintf(
        s->json,
        "{\"row\": \"%s\", \"threads\": %d, \"lucid_ms\": %.6g, \"torch_ms\": %.6g, \"ratio\": %.4g, "
        "\"ratio_low\": %.4g, \"ratio_high\": %.4g, \"lucid_mb\": %.1f, \"torch_mb\": %.1f, "
        "\"gflops\": %.4g, \"gbytes\": %.4g}\n",
        r->name, threads, o->lucid * 1e3, o->torch * 1e3, o->ratio, o->low, o->high, o->lucid_mb,
        o->torch_mb, r->flops / o->lucid * 1e-9, r->bytes / o->lucid * 1e-9);
    fflush(s->json);
}

static bool run_family(setting *s, const row *rows, int threads)
{
    for (const row *r = rows; r->name; r++) {
        if (s->only && !strstr(r->name, s->only)) continue;
        if (r->memory) { /* processes of its own: their peak is this row's */
            stop_workers(s);
            if (!start_workers(s)) return false;
        }
        outcome o;
        if (!measure(s, r, threads, &o)) {
            fprintf(stderr, "compare: %s: could not be measured\n", r->name);
            return false;
        }
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
        else if (strcmp(argv[i], "--only") == 0 && value)
            s->only = argv[++i];
        else if (strcmp(argv[i], "--json") == 0 && value)
            s->json_path = argv[++i];
        else if (strcmp(argv[i], "--threads") == 0 && value && atoi(value) > 0)
            s->threads = atoi(argv[++i]);
        else if (argv[i][0] != '-' && !s->only)
            s->only = argv[i];
        else {
            fprintf(stderr,
                    "compare: expected [--only PATTERN] [--threads N] [--quick] [--json FILE], "
                    "got \"%s\"\n",
                    argv[i]);
            return false;
        }
    }
    return true;
}

static const row *const families[] = {
    overhead_rows, train_rows, layer_rows, elementwise_rows, optimizer_rows,
};

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--worker") == 0) return worker_main();
    setting s = {.has_torch = true};
    if (!parse(&s, argc, argv)) return 2;
    ssize_t n = readlink("/proc/self/exe", s.self, sizeof s.self - 1);
    if (n <= 0) return 1;
    snprintf(s.rival, sizeof s.rival, "%s", RIVAL_PATH);
    signal(SIGPIPE, SIG_IGN);
    if (s.json_path && !(s.json = fopen(s.json_path, "w"))) {
        fprintf(stderr, "compare: --json: cannot write %s\n", s.json_path);
        return 1;
    }
    if (!start_workers(&s)) return 1;
    if (s.has_torch)
        printf("PyTorch %s\n", s.torch.version);
    else
        printf("python3 cannot import torch: lucid's times stand alone\n");
    printf("%-36s %s %11s %11s %7s  %-11s\n", "row", "t", "lucid ms", "torch ms", "ratio",
           "quartiles");
    fflush(stdout);
    int all = (int)sysconf(_SC_NPROCESSORS_ONLN), first = s.threads ? s.threads : 1;
    bool ok = true;
    for (int t = first; ok && t <= (s.threads ? s.threads : all); t = t < all ? all : t + 1)
        for (size_t f = 0; ok && f < sizeof families / sizeof *families; f++)
            ok = run_family(&s, families[f], t);
    stop_workers(&s);
    if (s.json) fclose(s.json);
    if (s.failures) fprintf(stderr, "compare: %d rows differ from PyTorch\n", s.failures);
    return ok && s.failures == 0 ? 0 : 1;
}
