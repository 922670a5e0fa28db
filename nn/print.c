/* print.c: modules as PyTorch prints them. */
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/stack_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Python's repr of a float: the fewest digits that read back, an exponent below 1e-4 and from 1e16
 * on, and ".0" where it would look like an integer. */
luc_text luc_float_text(double value)
{
    luc_text t;
    if (isnan(value)) return snprintf(t.s, sizeof t.s, "nan"), t;
    if (isinf(value)) return snprintf(t.s, sizeof t.s, value < 0 ? "-inf" : "inf"), t;
    int digits = 1;
    for (; digits < 17; digits++) {
        luc_snprintf(t.s, sizeof t.s, "%.*e", digits - 1, value);
        if (luc_strtod(t.s, NULL) == value) break;
    }
    luc_snprintf(t.s, sizeof t.s, "%.*e", digits - 1, value);
    int exponent = atoi(strchr(t.s, 'e') + 1);
    if (exponent < -4 || exponent >= 16) return t; /* C writes "1e-05", as Python does */
    int decimals = digits - 1 - exponent;
    luc_snprintf(t.s, sizeof t.s, "%.*f", decimals > 0 ? decimals : 1, value);
    return t;
}

static void add_indented(luc_string *out, const char *text, int depth)
{
    for (const char *line = text; *line;) {
        size_t n = strcspn(line, "\n");
        luc_string_printf(out, "%*s%.*s\n", 2 * depth, "", (int)n, line);
        line += n + (line[n] == '\n');
    }
}

/* Returns false, with an error raised, if modules are nested too deep for the stack. */
static bool print(const lucid_module *m, luc_string *out, int depth)
{
    if (!luc_stack_check("module_to_string")) return false;
    char extra[1024] = "";
    const lucid_module_class *c = luc_class_with(m, extra_repr);
    if (c) { /* a user's function may write numbers with snprintf */
        locale_t before = luc_c_locale_begin();
        c->extra_repr(m, extra, sizeof extra);
        luc_c_locale_end(before);
    }
    size_t children = 0;
    for (size_t i = 0; i < m->state->n_entries; i++)
        children += m->state->entries[i].kind == LUC_CHILD;
    luc_string_printf(out, "%s(", m->cls->name);
    if (children == 0 && !strchr(extra, '\n')) {
        luc_string_printf(out, "%s)", extra);
        return true;
    }
    luc_string_printf(out, "\n");
    add_indented(out, extra, depth + 1);
    for (size_t i = 0; i < m->state->n_entries; i++) {
        const luc_entry *e = &m->state->entries[i];
        if (e->kind != LUC_CHILD) continue;
        luc_string_printf(out, "%*s(%s): ", 2 * (depth + 1), "", e->name);
        if (!luc_entry_module(e))
            luc_string_printf(out, "None");
        else if (!print(luc_entry_module(e), out, depth + 1))
            return false;
        luc_string_printf(out, "\n");
    }
    luc_string_printf(out, "%*s)", 2 * depth, "");
    return true;
}

char *lucid_module_to_string(const lucid_module *m)
{
    if (!luc_check_module(m, "module_to_string")) return NULL;
    luc_string out = {0};
    if (!print(m, &out, 0) || out.failed) luc_string_free(&out);
    return out.s;
}

void lucid_module_fprint(FILE *file, const lucid_module *m)
{
    if (!file) {
        luc_raise(LUCID_ERR_ARGUMENT, "module_fprint", "file: expected a FILE, got NULL");
        return;
    }
    char *text = lucid_module_to_string(m);
    if (text) fprintf(file, "%s\n", text);
    luc_free(text);
}

void lucid_module_print(const lucid_module *m)
{
    lucid_module_fprint(stdout, m);
}
