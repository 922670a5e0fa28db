/* profiler_report.c: the table and the trace of what was recorded. */
#include "lucid/core/error_priv.h"
#include "lucid/io/json_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/profiler_priv.h"
#include "lucid/core/text_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

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
static bool put_rate(luc_string *out, double work, double seconds)
{
    if (work > 0 && seconds > 0) return luc_string_printf(out, " %9.1f", 1e-9 * work / seconds);
    return luc_string_printf(out, " %9s", "-");
}

static bool put_entry(luc_string *out, const lucid_profile_entry *e, double all, bool by_module)
{
    return luc_string_printf(out, "%-24s %-8s %8lld %10.3f %10.3f %5.1f%%", e->op,
                             e->backward ? "backward" : "forward", (long long)e->count,
                             1e3 * e->self, 1e3 * e->seconds,
                             all > 0 ? 100 * e->self / all : 0.0) &&
           put_rate(out, e->bytes, e->seconds) && put_rate(out, e->flops, e->seconds) &&
           luc_string_printf(out, "%s%s\n", by_module ? "  " : "", by_module ? e->module : "");
}

static bool put_table(luc_string *out, const lucid_profile_entry *e, size_t n, bool by_module)
{
    double all = 0;
    for (size_t i = 0; i < n; i++) all += e[i].self;
    bool ok = luc_string_printf(out, "%-24s %-8s %8s %10s %10s %6s %9s %9s%s\n", "operator", "",
                                "calls", "self ms", "total ms", "self", "GB/s", "GFLOP/s",
                                by_module ? "  module" : "");
    for (size_t i = 0; ok && i < n; i++) ok = put_entry(out, &e[i], all, by_module);
    return ok && luc_string_printf(out, "%-24s %-8s %8s %10.3f\n", "all", "", "", 1e3 * all);
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
    luc_string text = {0};
    bool ok = put_table(&text, e, n, by_module);
    if (ok && fputs(text.s, file) < 0)
        ok = luc_raise(LUCID_ERR_IO, "profiler_print", "file: cannot write: %s", strerror(errno));
    luc_string_free(&text);
    luc_profile_free(&p);
    return ok;
}

/* ---- the trace ------------------------------------------------------------------------------- */

/* A name as JSON; bytes that are not UTF-8 become question marks. */
static bool put_name(luc_string *line, const char *name)
{
    if (luc_json_put_string(line, name)) return true;
    char *copy = line->failed ? NULL : luc_strdup(name, "profiler_write_trace");
    if (!copy) return false;
    const char *end = copy + strlen(copy);
    for (char *at = copy; at < end;) {
        size_t n = luc_utf8_size(at, end);
        if (!n) *at = '?';
        at += n ? n : 1;
    }
    bool ok = luc_json_put_string(line, copy);
    luc_free(copy);
    return ok;
}

/* `line` is empty again afterwards. */
static bool write_event(luc_output *out, luc_string *line, const luc_event *v,
                        const lucid_profile_entry *e, double from)
{
    bool ok = luc_string_printf(line,
                                "{\"ph\": \"X\", \"pid\": 1, \"tid\": %u, \"ts\": %.3f, "
                                "\"dur\": %.3f, \"cat\": \"%s\", \"name\": ",
                                v->thread, 1e6 * (v->start - from), 1e6 * (double)v->seconds,
                                e->backward ? "backward" : "forward") &&
              put_name(line, e->op) && luc_string_printf(line, ", \"args\": {\"module\": ") &&
              put_name(line, e->module) && luc_string_printf(line, "}}") &&
              luc_output_write(out, line->s, line->length);
    luc_string_cut(line, 0);
    return ok;
}

static bool write_events(luc_output *out, const luc_event *event, size_t n,
                         const lucid_profile_entry *entry)
{
    luc_string line = {0};
    double from = n ? event[0].start : 0; /* spans are recorded when they end */
    for (size_t i = 1; i < n; i++)
        if (event[i].start < from) from = event[i].start;
    bool ok = luc_output_printf(out, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
    for (size_t i = 0; ok && i < n; i++)
        ok = write_event(out, &line, &event[i], &entry[event[i].entry], from) &&
             luc_output_printf(out, i + 1 < n ? ",\n" : "\n");
    luc_string_free(&line);
    return ok && luc_output_printf(out, "]}\n");
}

/* What was written must be JSON. */
static bool is_json(const luc_output *out)
{
    size_t size = (size_t)out->written.size;
    void *text = mmap(NULL, size, PROT_READ, MAP_PRIVATE, out->fd, 0);
    if (text == MAP_FAILED)
        return luc_raise(errno == ENOMEM ? LUCID_ERR_MEMORY : LUCID_ERR_IO, out->op,
                         "%s: cannot read what was written: %s", out->path, strerror(errno));
    luc_json j = luc_json_begin(text, size);
    luc_json_skip(&j);
    bool right = luc_json_finish(&j);
    munmap(text, size);
    return right || luc_raise(LUCID_ERR_IO, out->op, "%s: cannot write: what was read back: %s",
                              out->path, j.error);
}

static bool write_trace(const char *path, const luc_profile *p, const char *op)
{
    if (!p->trace)
        return luc_raise(LUCID_ERR_STATE, op,
                         "no trace was recorded: start with lucid_profiler_start(.trace = true)");
    luc_output out;
    if (!luc_output_open(&out, path, op)) return false;
    bool ok = write_events(&out, p->event, p->n_events, p->entry) && luc_output_check(&out) &&
              is_json(&out);
    return luc_output_close(&out, ok);
}

bool lucid_profiler_write_trace(const char *path)
{
    static const char op[] = "profiler_write_trace";
    luc_profile p;
    if (lucid_error_code() != LUCID_OK || !luc_profile_take(&p, true, op)) return false;
    const bool ok = write_trace(path, &p, op);
    luc_profile_free(&p);
    return ok;
}
