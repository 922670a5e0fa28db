/* near_names.c: finds the names that a wrong path may have been meant for, for messages. */
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"

#include <string.h>

enum { SUGGESTIONS = 3, LONGEST = 127 };

typedef struct suggestion {
    luc_string name; /* owned */
    int distance;
} suggestion;

typedef struct search {
    const char *path;
    luc_entry_kind kind;
    suggestion best[SUGGESTIONS]; /* nearest first */
    int n;
} search;

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* The number of letters that must be inserted, deleted or replaced to turn a into b (Levenshtein,
 * 1966). */
static int edits(const char *a, const char *b)
{
    int row[LONGEST + 1];
    size_t m = strlen(a), n = strlen(b);
    if (m > LONGEST || n > LONGEST) return LONGEST;
    for (size_t j = 0; j <= n; j++) row[j] = (int)j;
    for (size_t i = 1; i <= m; i++) {
        int diagonal = row[0]; /* an element of the row above */
        row[0] = (int)i;
        for (size_t j = 1; j <= n; j++) {
            int here = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(here, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[n];
}

/* The distance is 0 if `wanted` only lacks the modules' names: "weight" for "0.weight". */
static int distance(const char *wanted, const char *name)
{
    size_t m = strlen(wanted), n = strlen(name);
    if (m > 0 && n > m && name[n - m - 1] == '.' && strcmp(name + n - m, wanted) == 0) return 0;
    return edits(wanted, name);
}

static void suggest(search *s, luc_string *name, int d)
{
    int i = s->n;
    while (i > 0 && s->best[i - 1].distance > d) i--;
    if (i == SUGGESTIONS) {
        luc_string_free(name);
        return;
    }
    if (s->n == SUGGESTIONS) luc_string_free(&s->best[--s->n].name);
    memmove(&s->best[i + 1], &s->best[i], (size_t)(s->n - i) * sizeof *s->best);
    s->best[i] = (suggestion){*name, d};
    s->n++;
}

static bool look_at(lucid_module *m, const char *path, void *user)
{
    search *s = user;
    for (size_t i = 0; i < m->state->n_entries; i++) {
        const luc_entry *e = &m->state->entries[i];
        if (e->kind != s->kind) continue;
        luc_string name = {0};
        if (!luc_string_printf(&name, *path ? "%s.%s" : "%s%s", path, e->name)) {
            luc_string_free(&name);
            return false;
        }
        int d = distance(s->path, name.s);
        if (d <= 1 + (int)strlen(s->path) / 3)
            suggest(s, &name, d);
        else
            luc_string_free(&name);
    }
    return true;
}

bool luc_near_names(lucid_module *m, const char *path, luc_entry_kind kind, luc_string *text)
{
    search s = {.path = path, .kind = kind};
    bool ok = luc_module_walk(m, true, look_at, &s) && luc_string_add(text, "", 0);
    for (int i = 0; i < s.n; i++) {
        ok = ok && luc_string_printf(text, "%s\"%s\"", i ? ", " : "; near: ", s.best[i].name.s);
        luc_string_free(&s.best[i].name);
    }
    return ok;
}
