/* metrics_show.c: a confusion matrix as text and as a picture. */
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/metrics_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct label {
    char s[32];
} label;

static label name_of(const char *const *names, int64_t k)
{
    label l;
    if (names && names[k])
        snprintf(l.s, sizeof l.s, "%s", names[k]);
    else
        snprintf(l.s, sizeof l.s, "%lld", (long long)k);
    return l;
}

/* ---- text ------------------------------------------------------------------------------------ */

static int width_of(const lucid_confusion *c, const char *const *names)
{
    int width = 4;
    char number[24];
    for (int64_t i = 0; i < c->classes; i++) {
        int n = (int)strlen(name_of(names, i).s);
        if (n > width) width = n;
        for (int64_t k = 0; k < c->classes; k++) {
            n = snprintf(number, sizeof number, "%lld", (long long)c->counts[i * c->classes + k]);
            if (n > width) width = n;
        }
    }
    return width;
}

/* "0.123", or "-" where a class has none. */
static bool add_measure(luc_string *out, luc_hits h, lucid_measure measure)
{
    char text[16] = "-";
    double value = luc_measure(h, measure);
    if (!isnan(value)) luc_snprintf(text, sizeof text, "%.3f", value);
    return luc_string_printf(out, "  %9s", text);
}

static bool add_row(luc_string *out, const lucid_confusion *c, const char *const *names, int64_t i,
                    int width)
{
    luc_hits h = luc_confusion_hits(c, i);
    luc_string_printf(out, "%*s |", width, name_of(names, i).s);
    for (int64_t k = 0; k < c->classes; k++)
        luc_string_printf(out, " %*lld", width, (long long)c->counts[i * c->classes + k]);
    luc_string_printf(out, " |");
    add_measure(out, h, LUCID_PRECISION);
    add_measure(out, h, LUCID_RECALL);
    add_measure(out, h, LUCID_F1);
    return luc_string_printf(out, "\n");
}

char *lucid_confusion_to_string(const lucid_confusion *c, const char *const *names)
{
    if (!luc_check_confusion(c)) return NULL;
    luc_string out = {0};
    int width = width_of(c, names);
    luc_string_printf(&out, "%*s |", width, "");
    for (int64_t k = 0; k < c->classes; k++)
        luc_string_printf(&out, " %*s", width, name_of(names, k).s);
    luc_string_printf(&out, " |  %9s  %9s  %9s\n", "precision", "recall", "F1");
    for (int64_t i = 0; i < c->classes; i++) add_row(&out, c, names, i, width);
    if (out.failed) luc_string_free(&out);
    return out.s;
}

/* ---- picture --------------------------------------------------------------------------------- */

enum { TEXT = 11, MARGIN = 14, MOST = 100 };

/* White to dark blue. */
static uint32_t shade(double part)
{
    int r = (int)lround(255 - part * 220), g = (int)lround(255 - part * 165);
    int b = (int)lround(255 - part * 85);
    return (uint32_t)r << 16 | (uint32_t)g << 8 | (uint32_t)b;
}

static void centered(lucid_image *image, double x, double y, uint32_t color, const char *text)
{
    lucid_image_text(image, x - lucid_image_text_width(TEXT, text) / 2, y + TEXT / 2.0, TEXT, color,
                     text);
}

static void draw_row(lucid_image *image, const lucid_confusion *c, int64_t i, int left, int top,
                     int cell)
{
    luc_hits h = luc_confusion_hits(c, i);
    double all = h.tp + h.fn;
    for (int64_t k = 0; k < c->classes; k++) {
        int64_t n = c->counts[i * c->classes + k];
        double part = all > 0 ? (double)n / all : 0;
        int x = left + (int)k * cell, y = top + (int)i * cell;
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)n);
        lucid_image_rect(image, x, y, cell - 1, cell - 1, shade(part), 1);
        if (n && lucid_image_text_width(TEXT, number) < cell - 4)
            centered(image, x + cell / 2.0, y + cell / 2.0, part > 0.5 ? 0xffffff : 0x303030,
                     number);
    }
}

lucid_image *lucid_confusion_plot(const lucid_confusion *c, const char *const *names)
{
    if (!luc_check_confusion(c)) return NULL;
    if (c->classes > MOST)
        return luc_raise_null(LUCID_ERR_ARGUMENT, LUC_CONFUSION,
                              "classes: expected at most %d for a picture, got %lld", MOST,
                              (long long)c->classes);
    int n = (int)c->classes, cell = n <= 12 ? 48 : n <= 30 ? 30 : 14;
    double widest = lucid_image_text_width(TEXT, "actual");
    for (int k = 0; k < n; k++)
        widest = fmax(widest, lucid_image_text_width(TEXT, name_of(names, k).s));
    int left = MARGIN + (int)ceil(widest) + 8, top = MARGIN + 2 * TEXT + 16;
    lucid_image *image =
        lucid_image_new(left + n * cell + MARGIN, top + n * cell + MARGIN, 0xffffff);
    if (!image) return NULL;
    lucid_image_rect(image, left - 1, top - 1, n * cell + 1, n * cell + 1, 0xd0d0d0, 1);
    centered(image, left + n * cell / 2.0, MARGIN + TEXT / 2.0, 0x303030, "predicted");
    lucid_image_text(image, MARGIN, MARGIN + TEXT, TEXT, 0x303030, "actual");
    for (int k = 0; k < n; k++) {
        label name = name_of(names, k);
        double x = left + (k + 0.5) * cell, y = top + (k + 0.5) * cell;
        double width = lucid_image_text_width(TEXT, name.s);
        lucid_image_text(image, left - 8 - width, y + TEXT / 2.0, TEXT, 0x303030, name.s);
        if (width < cell + 2) centered(image, x, top - 6 - TEXT / 2.0, 0x303030, name.s);
        draw_row(image, c, k, left, top, cell);
    }
    return image;
}
