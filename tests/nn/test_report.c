/* The page about a run: it is well-formed, whatever the texts are, and holds what was given. */
#include "tests/lucid/io/files.h"

#include "lucid/core/memory.h"
#include "lucid/core/scope.h"
#include "nn/report.h"

#include <ctype.h>
#include <math.h>

TestSuite(report, .init = files_begin, .fini = files_end);

static char *read_page(const char *path)
{
    FILE *f = fopen(path, "rb");
    cr_assert(f);
    char *text = calloc(1, 1 << 20);
    cr_assert(text && fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    return text;
}

/* Every tag is closed in order, attributes are quoted, and & begins an entity. */
static void expect_well_formed(const char *p)
{
    char open[64][32];
    int depth = 0;
    for (; *p; p++) {
        if (*p == '&')
            cr_expect(strspn(p + 1, "#abcdefghijklmnopqrstuvwxyz0123456789") > 0 && strchr(p, ';'));
        if (*p != '<') continue;
        if (!strncmp(p, "<!DOCTYPE html>", 15)) continue;
        const bool end = p[1] == '/';
        const char *name = p + 1 + end;
        size_t n = 0;
        while (isalnum((unsigned char)name[n])) n++;
        cr_assert(n > 0 && n < 32, "%.40s", p);
        bool quoted = false;
        for (p = name + n; *p && (*p != '>' || quoted); p++) {
            if (*p == '"') quoted = !quoted;
            cr_assert(*p != '<');
        }
        cr_assert(*p == '>');
        if (end) {
            cr_assert(depth > 0);
            depth--;
            cr_assert(strlen(open[depth]) == n && !strncmp(open[depth], name, n), "%s",
                      open[depth]);
        } else if (p[-1] != '/') {
            cr_assert(depth < 64);
            snprintf(open[depth++], 32, "%.*s", (int)n, name);
        }
    }
    cr_expect_eq(depth, 0);
}

Test(report, a_whole_page)
{
    LUCID_SCOPE;
    lucid_report *r = lucid_report_new("a <run> & \"more\"");
    cr_assert(r, "%s", lucid_error());
    for (int i = 1; i <= 100; i++) {
        cr_assert(lucid_report_point(r, "loss < 1", "training", i, i == 50 ? NAN : 1.0 / i));
        cr_assert(lucid_report_point(r, "loss < 1", "validation", i, 1.1 / i));
    }
    cr_assert(lucid_report_point(r, "one", "point", 3, -1e308));
    cr_assert(lucid_report_point(r, "none", "point", NAN, 1));
    cr_assert(lucid_report_text(r, "notes", "lr = 0.1\n<b>\x01 & more"));
    lucid_confusion *c = lucid_confusion_new(3);
    const int64_t guess[] = {0, 1, 1, 0}, truth[] = {0, 1, 0, 0};
    lucid_confusion_add(c, lucid_from_data((4), guess), lucid_from_data((4), truth));
    cr_assert(lucid_report_confusion(r, "test", c, NULL), "%s", lucid_error());
    cr_assert(lucid_report_confusion(r, "names", c, (const char *const[]){"cat", "dog", "<x>"}));
    cr_assert(lucid_report_image(r, "a picture", lucid_rand((3, 8, 8))));
    char path[300];
    snprintf(path, sizeof path, "%s/report.html", files_folder);
    for (int again = 0; again < 2; again++)
        cr_assert(lucid_report_write(r, path), "%s", lucid_error());
    char *page = read_page(path);
    expect_well_formed(page);
    static const char *const holds[] = {"<title>a &lt;run&gt; &amp; &quot;more&quot;</title>",
                                        "<h2>loss &lt; 1</h2>",
                                        "&lt;b&gt;? &amp; more",
                                        "<th>dog</th>",
                                        "<td>66.7 %</td>",
                                        "src=\"data:image/png;base64,iVBORw0KGgo",
                                        "<figcaption>a picture</figcaption>"};
    for (size_t i = 0; i < sizeof holds / sizeof *holds; i++)
        cr_expect(strstr(page, holds[i]), "%s", holds[i]);
    cr_expect_null(strstr(page, "nan"));
    cr_expect_null(strstr(page, "inf"));
    const char *line = strstr(page, "stroke=\"#1f6fb4\" d=\"M0 0");
    cr_assert(line);
    int moves = 0, lines = 0;
    for (line += 24; *line != '"'; line++) moves += *line == 'M', lines += *line == 'L';
    cr_expect_eq(moves, 2, "a gap at NaN");
    cr_expect_eq(lines, 97);
    free(page);
    lucid_confusion_free(c);
    lucid_report_free(r);
}

Test(report, mistakes)
{
    LUCID_SCOPE;
    lucid_report_free(NULL);
    cr_expect_not(lucid_report_point(NULL, "a", "b", 1, 2));
    EXPECT_ERROR(lucid_report_new(NULL), LUCID_ERR_ARGUMENT, "title: got NULL");
    lucid_report *r = lucid_report_new("x");
    EXPECT_ERROR(lucid_report_point(r, NULL, "b", 1, 2), LUCID_ERR_ARGUMENT, "diagram: got NULL");
    char name[16];
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "%d", i);
        cr_assert(lucid_report_point(r, "d", name, 1, 2));
    }
    EXPECT_ERROR(lucid_report_point(r, "d", "9th", 1, 2), LUCID_ERR_ARGUMENT, "has 8 curves");
    EXPECT_ERROR(lucid_report_text(r, "h", NULL), LUCID_ERR_ARGUMENT, "text: got NULL");
    EXPECT_ERROR(lucid_report_confusion(r, "h", NULL, NULL), LUCID_ERR_ARGUMENT, "got NULL");
    EXPECT_ERROR(lucid_report_image(r, "c", lucid_zeros((7, 2, 2))), LUCID_ERR_ARGUMENT,
                 "expected [C,H,W] or [H,W]");
    EXPECT_ERROR(lucid_report_write(r, "/no/such/folder/r.html"), LUCID_ERR_IO, "/no/such");
    lucid_report_free(r);
}
