/* profiler_report.c: the table and the trace of what was recorded. */
#include "lucid/error_priv.h"
#include "lucid/memory_priv.h"
#include "lucid/profiler_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- the table ------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const lucid_profile_entry *x = a, *y = b;
    const int order = strcmp(x->op, y->op);
    return order ? order : x->backward - y->backward;
}

static int by_self(const void *a, const void *b)
{
    const lucid_profile_entry *x = a, *y = b;
    if (x->self != y->self) return x->self < y->self ? 1 : -1;
    return by_name(a, b);
}

/* Joins the entries of an operator, whatever the module; returns how many are left. */
static size_t join(lucid_profile_entry *e, size_t n)
{
    size_t kept = 0;
    qsort(e, n, sizeof *e, by_name);
    for (size_t i = 0; i < n; i++) {
        if (!kept || by_name(&e[kept - 1], &e[i]) != 0) {
            e[kept++] = e[i];
            continue;
        }
        lucid_profile_entry *to = &e[kept - 1];
        to->count += e[i].count;
        to->seconds += e[i].seconds;
        to->self += e[i].self;
        to->bytes += e[i].bytes;
        to->flops += e[i].flops;
    }
    return kept;
}

/* A rate in 10^9 a second, or a dash where nothing is known. */
static void print_rate(FILE *file, double work, double seconds)
{
    if (work > 0 && seconds > 0)
        fprintf(file, " %9.1f", 1e-9 * work / seconds);
    else
        fprintf(file, " %9s", "-");
}

static void print_entry(FILE *file, const lucid_profile_entry *e, double all, bool by_module)
{
    fprintf(file, "%-24s %-8s %8lld %10.3f %10.3f %5.1f%%", e->op,
            e->backward ? "backward" : "forward", (long long)e->count, 1e3 * e->self,
            1e3 * e->seconds, all > 0 ? 100 * e->self / all : 0.0);
    print_rate(file, e->bytes, e->seconds);
    print_rate(file, e->flops, e->seconds);
    fprintf(file, "%s%s\n", by_module ? "  " : "", by_module ? e->module : "");
}

bool lucid_profiler_print(FILE *file, bool by_module)
{
    if (!file)
        return luc_raise(LUCID_ERR_ARGUMENT, "profiler_print", "file: expected a FILE, got NULL");
    luc_profile p;
    if (!luc_profile_take(&p, false, "profiler_print")) return false;
    lucid_profile_entry *e = p.entry;
    size_t n = p.n;
    if (!by_module) n = join(e, n);
    if (n) qsort(e, n, sizeof *e, by_self);
    double all = 0;
    for (size_t i = 0; i < n; i++) all += e[i].self;
    fprintf(file, "%-24s %-8s %8s %10s %10s %6s %9s %9s%s\n", "operator", "", "calls", "self ms",
            "total ms", "self", "GB/s", "GFLOP/s", by_module ? "  module" : "");
    for (size_t i = 0; i < n; i++) print_entry(file, &e[i], all, by_module);
    fprintf(file, "%-24s %-8s %8s %10.3f\n", "all", "", "", 1e3 * all);
    luc_profile_free(&p);
    return true;
}

/* ---- the trace ------------------------------------------------------------------------------- */

static void write_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
        if (*s == '"' || *s == '\\')
            fprintf(file, "\\%c", *s);
        else if (*s < 32)
            fprintf(file, "\\u%04x", *s);
        else
            fputc(*s, file);
    }
    fputc('"', file);
}

static void write_event(FILE *file, const luc_event *v, const lucid_profile_entry *e, double from)
{
    fprintf(file,
            "{\"ph\": \"X\", \"pid\": 1, \"tid\": %u, \"ts\": %.3f, \"dur\": %.3f, \"cat\": \"%s\"",
            v->thread, 1e6 * (v->start - from), 1e6 * (double)v->seconds,
            e->backward ? "backward" : "forward");
    fputs(", \"name\": ", file);
    write_string(file, e->op);
    fputs(", \"args\": {\"module\": ", file);
    write_string(file, e->module);
    fputs("}}", file);
}

static bool write_trace(const char *path, const luc_profile *p, const char *op)
{
    if (!p->trace)
        return luc_raise(LUCID_ERR_STATE, op,
                         "no trace was recorded: start with lucid_profiler_start(.trace = true)");
    const lucid_profile_entry *entry = p->entry;
    const luc_event *event = p->event;
    size_t n = p->n_events;
    if (!path) return luc_raise(LUCID_ERR_ARGUMENT, op, "path: expected a file's name, got NULL");
    FILE *file = fopen(path, "w");
    if (!file) return luc_raise(LUCID_ERR_IO, op, "%s: %s", path, strerror(errno));
    double from = n ? event[0].start : 0; /* spans are recorded when they end */
    for (size_t i = 1; i < n; i++)
        if (event[i].start < from) from = event[i].start;
    fputs("{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n", file);
    for (size_t i = 0; i < n; i++) {
        write_event(file, &event[i], &entry[event[i].entry], from);
        fputs(i + 1 < n ? ",\n" : "\n", file);
    }
    fputs("]}\n", file);
    const bool failed = ferror(file) != 0;
    if (fclose(file) != 0 || failed)
        return luc_raise(LUCID_ERR_IO, op, "%s: cannot be written", path);
    return true;
}

bool lucid_profiler_write_trace(const char *path)
{
    static const char op[] = "profiler_write_trace";
    luc_profile p;
    if (!luc_profile_take(&p, true, op)) return false;
    const bool ok = write_trace(path, &p, op);
    luc_profile_free(&p);
    return ok;
}
