/* report.c: a page about a run, in one HTML file. It is well-formed XML too. */
#include "nn/report.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/scope.h"
#include "lucid/core/text_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/io/pixels_priv.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { MOST_CURVES = 8 };

typedef struct curve {
    char *name;
    double (*points)[2];
    size_t n, room;
} curve;

typedef struct diagram {
    char *name;
    curve curves[MOST_CURVES];
    int n;
} diagram;

struct lucid_report {
    char *title;
    diagram *diagrams;
    size_t n;
    luc_string body; /* what follows the diagrams */
};

/* ---- life ------------------------------------------------------------------------------------ */

lucid_report *lucid_report_new(const char *title)
{
    static const char op[] = "report_new";
    if (lucid_error_code() != LUCID_OK) return NULL;
    if (!title) return luc_raise_null(LUCID_ERR_ARGUMENT, op, "title: got NULL");
    lucid_report *r = luc_calloc(1, sizeof *r, op);
    if (!r || (r->title = luc_strdup(title, op))) return r;
    luc_free(r);
    return NULL;
}

void lucid_report_free(lucid_report *r)
{
    if (!r) return;
    for (size_t i = 0; i < r->n; i++) {
        for (int k = 0; k < r->diagrams[i].n; k++) {
            luc_free(r->diagrams[i].curves[k].name);
            luc_free(r->diagrams[i].curves[k].points);
        }
        luc_free(r->diagrams[i].name);
    }
    luc_free(r->diagrams);
    luc_free(r->title);
    luc_string_free(&r->body);
    luc_free(r);
}

static bool check(const lucid_report *r, const char *text, const char *what, const char *op)
{
    if (lucid_error_code() != LUCID_OK) return false;
    if (!r) return luc_raise(LUCID_ERR_ARGUMENT, op, "report: got NULL");
    return text || luc_raise(LUCID_ERR_ARGUMENT, op, "%s: got NULL", what);
}

/* ---- points ---------------------------------------------------------------------------------- */

static diagram *find_diagram(lucid_report *r, const char *name, const char *op)
{
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(r->diagrams[i].name, name)) return &r->diagrams[i];
    diagram *more = luc_realloc(r->diagrams, (r->n + 1) * sizeof *more, op);
    if (!more) return NULL;
    r->diagrams = more;
    more[r->n] = (diagram){.name = luc_strdup(name, op)};
    return more[r->n].name ? &more[r->n++] : NULL;
}

static curve *find_curve(diagram *d, const char *name, const char *op)
{
    for (int i = 0; i < d->n; i++)
        if (!strcmp(d->curves[i].name, name)) return &d->curves[i];
    if (d->n == MOST_CURVES)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "curve: '%s' has %d curves already", d->name,
                              d->n);
    d->curves[d->n] = (curve){.name = luc_strdup(name, op)};
    return d->curves[d->n].name ? &d->curves[d->n++] : NULL;
}

bool lucid_report_point(lucid_report *r, const char *name, const char *line, double x, double y)
{
    static const char op[] = "report_point";
    if (!check(r, name, "diagram", op) || !check(r, line, "curve", op)) return false;
    diagram *d = find_diagram(r, name, op);
    curve *c = d ? find_curve(d, line, op) : NULL;
    if (!c) return false;
    if (c->n == c->room) {
        const size_t room = c->room ? 2 * c->room : 64;
        void *points = luc_realloc(c->points, room * sizeof *c->points, op);
        if (!points) return false;
        c->points = points, c->room = room;
    }
    c->points[c->n][0] = x, c->points[c->n][1] = y;
    c->n++;
    return true;
}

/* ---- text ------------------------------------------------------------------------------------ */

/* A text with what HTML gives a meaning to written out; characters that XML refuses become "?". */
static void add_text(luc_string *s, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        const char *as = c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : NULL;
        if (c == '"') as = "&quot;";
        if (c < 32 && c != '\n' && c != '\t') as = "?";
        luc_string_add(s, as ? as : text, as ? strlen(as) : 1);
    }
}

static void add_heading(luc_string *s, const char *heading)
{
    luc_string_printf(s, "<h2>");
    add_text(s, heading);
    luc_string_printf(s, "</h2>\n");
}

bool lucid_report_text(lucid_report *r, const char *heading, const char *text)
{
    static const char op[] = "report_text";
    if (!check(r, heading, "heading", op) || !check(r, text, "text", op)) return false;
    add_heading(&r->body, heading);
    luc_string_printf(&r->body, "<p class=\"text\">");
    add_text(&r->body, text);
    luc_string_printf(&r->body, "</p>\n");
    return !r->body.failed;
}

/* ---- confusion matrix ------------------------------------------------------------------------ */

static void add_class(luc_string *s, const char *const *names, int64_t i)
{
    luc_string_printf(s, "<th>");
    if (names)
        add_text(s, names[i] ? names[i] : "");
    else
        luc_string_printf(s, "%" PRId64, i);
    luc_string_printf(s, "</th>");
}

static void add_percent(luc_string *s, double part)
{
    if (isfinite(part))
        luc_string_printf(s, "<td>%.1f %%</td>", 100 * part);
    else
        luc_string_printf(s, "<td></td>");
}

bool lucid_report_confusion(lucid_report *r, const char *heading, const lucid_confusion *confusion,
                            const char *const *names)
{
    static const char op[] = "report_confusion";
    LUCID_SCOPE;
    if (!check(r, heading, "heading", op)) return false;
    if (!confusion) return luc_raise(LUCID_ERR_ARGUMENT, op, "confusion: got NULL");
    const lucid_tensor *matrix = lucid_confusion_tensor(confusion);
    if (!matrix) return false;
    const int64_t n = lucid_size(matrix, 0), *counts = lucid_data(matrix);
    if (n > 100)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "confusion: expected at most 100 classes, got %lld", (long long)n);
    luc_string *s = &r->body;
    add_heading(s, heading);
    luc_string_printf(s, "<table>\n<tr><th>actual \\ predicted</th>");
    for (int64_t k = 0; k < n; k++) add_class(s, names, k);
    luc_string_printf(s, "<th>precision</th><th>recall</th></tr>\n");
    for (int64_t i = 0; i < n; i++) {
        int64_t sum = 0;
        for (int64_t k = 0; k < n; k++) sum += counts[i * n + k];
        luc_string_printf(s, "<tr>");
        add_class(s, names, i);
        for (int64_t k = 0; k < n; k++) {
            const double part = sum ? (double)counts[i * n + k] / (double)sum : 0;
            luc_string_printf(s, "<td style=\"background: rgba(%s, %.2f)\">%" PRId64 "</td>",
                              i == k ? "40, 130, 60" : "200, 60, 40", 0.7 * part,
                              counts[i * n + k]);
        }
        add_percent(s, lucid_confusion_measure(confusion, LUCID_PRECISION, i));
        add_percent(s, lucid_confusion_measure(confusion, LUCID_RECALL, i));
        luc_string_printf(s, "</tr>\n");
    }
    luc_string_printf(s, "</table>\n");
    return !s->failed;
}

/* ---- pictures -------------------------------------------------------------------------------- */

static void add_base64(luc_string *s, const unsigned char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t v = (uint32_t)p[i] << 16 | (i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0) |
                           (i + 2 < n ? p[i + 2] : 0);
        const char four[4] = {digits[v >> 18], digits[v >> 12 & 63],
                              i + 1 < n ? digits[v >> 6 & 63] : '=',
                              i + 2 < n ? digits[v & 63] : '='};
        luc_string_add(s, four, 4);
    }
}

bool lucid_report_image(lucid_report *r, const char *caption, const lucid_tensor *image)
{
    static const char op[] = "report_image";
    if (!check(r, caption, "caption", op)) return false;
    size_t size;
    unsigned char *file = luc_tensor_png(image, &size, op);
    if (!file) return false;
    luc_string_printf(&r->body, "<figure><img alt=\"\" src=\"data:image/png;base64,");
    add_base64(&r->body, file, size);
    luc_string_printf(&r->body, "\" /><figcaption>");
    add_text(&r->body, caption);
    luc_string_printf(&r->body, "</figcaption></figure>\n");
    luc_free(file);
    return !r->body.failed;
}

/* ---- diagrams -------------------------------------------------------------------------------- */

enum { WIDTH = 640, HEIGHT = 300, LEFT = 70, RIGHT = 20, TOP = 20, BOTTOM = 40 };

static const char *const colours[MOST_CURVES] = {"#1f6fb4", "#d9601a", "#2e8b3d", "#b0283c",
                                                 "#7a52a8", "#7b4a3a", "#c550a0", "#666666"};

typedef struct axes {
    double low[2], high[2];
} axes;

static axes axes_of(const diagram *d)
{
    axes a = {{HUGE_VAL, HUGE_VAL}, {-HUGE_VAL, -HUGE_VAL}};
    for (int k = 0; k < d->n; k++)
        for (size_t i = 0; i < d->curves[k].n; i++) {
            const double *p = d->curves[k].points[i];
            if (!isfinite(p[0]) || !isfinite(p[1])) continue;
            for (int j = 0; j < 2; j++) {
                a.low[j] = fmin(a.low[j], p[j]);
                a.high[j] = fmax(a.high[j], p[j]);
            }
        }
    for (int j = 0; j < 2; j++) {
        if (a.low[j] > a.high[j]) a.low[j] = 0, a.high[j] = 1;
        if (a.low[j] == a.high[j]) {
            const double more = fabs(a.low[j]) * 0.1 + 1e-9;
            a.low[j] -= more, a.high[j] += more;
        }
    }
    return a;
}

/* Where a value is between the ends, 0 to 1; also where their difference is beyond the range. */
static double part_of(const axes *a, int j, double v)
{
    return (v / 2 - a->low[j] / 2) / (a->high[j] / 2 - a->low[j] / 2);
}

static double x_of(const axes *a, double v)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * part_of(a, 0, v);
}

static double y_of(const axes *a, double v)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part_of(a, 1, v);
}

static void add_axes(luc_string *s, const axes *a)
{
    for (int i = 0; i <= 4; i++) {
        const double t = i / 4.0, y = a->low[1] * (1 - t) + a->high[1] * t;
        const double x = a->low[0] * (1 - t) + a->high[0] * t;
        luc_string_printf(s, "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\" />", LEFT, y_of(a, y),
                          WIDTH - RIGHT);
        luc_string_printf(s, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>", LEFT - 6,
                          y_of(a, y) + 4, y);
        luc_string_printf(s, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n",
                          x_of(a, x), HEIGHT - BOTTOM + 18, x);
    }
}

static void add_curve(luc_string *s, const axes *a, const curve *c, const char *colour)
{
    luc_string_printf(s, "<path fill=\"none\" stroke-width=\"2\" stroke=\"%s\" d=\"M0 0", colour);
    bool joined = false;
    for (size_t i = 0; i < c->n; i++) {
        const double *p = c->points[i];
        const bool finite = isfinite(p[0]) && isfinite(p[1]);
        if (finite)
            luc_string_printf(s, "%c%.1f %.1f", joined ? 'L' : 'M', x_of(a, p[0]), y_of(a, p[1]));
        joined = finite;
    }
    luc_string_printf(s, "\" />\n");
}

static void add_diagram(luc_string *s, const diagram *d)
{
    const axes a = axes_of(d);
    add_heading(s, d->name);
    luc_string_printf(s, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\">\n",
                      WIDTH, HEIGHT);
    add_axes(s, &a);
    for (int k = 0; k < d->n; k++) add_curve(s, &a, &d->curves[k], colours[k]);
    luc_string_printf(s, "</svg>\n<p>");
    for (int k = 0; k < d->n; k++) {
        luc_string_printf(s, "<span style=\"color: %s\">&#9632; ", colours[k]);
        add_text(s, d->curves[k].name);
        luc_string_printf(s, "</span> ");
    }
    luc_string_printf(s, "</p>\n");
}

bool lucid_report_write(const lucid_report *r, const char *path)
{
    static const char op[] = "report_write";
    if (!check(r, path, "path", op)) return false;
    luc_string s = {0};
    luc_string_printf(&s, "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>"
                          "<meta charset=\"utf-8\" /><title>");
    add_text(&s, r->title);
    luc_string_printf(
        &s,
        "</title>\n<style>body { font: 15px sans-serif; max-width: 60em; margin: 2em auto; }\n"
        "svg { width: 100%%; font-size: 12px; } td, th { padding: .3em .6em; text-align: right; }\n"
        "figure { display: inline-block; margin: .5em; text-align: center; }\n"
        "img { min-width: 6em; image-rendering: pixelated; } .text { white-space: pre-wrap; }\n"
        "</style></head>\n<body>\n<h1>");
    add_text(&s, r->title);
    luc_string_printf(&s, "</h1>\n");
    for (size_t i = 0; i < r->n; i++) add_diagram(&s, &r->diagrams[i]);
    if (r->body.length) luc_string_add(&s, r->body.s, r->body.length);
    luc_string_printf(&s, "</body>\n</html>\n");
    luc_output out;
    bool ok = !s.failed && !r->body.failed && luc_output_open(&out, path, op);
    if (ok)
        ok =
            luc_output_close(&out, luc_output_write(&out, s.s, s.length) && luc_output_check(&out));
    luc_string_free(&s);
    return ok;
}
