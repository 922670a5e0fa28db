/* summary.c: runs a module with hooks that note sizes, and prints what they noted. */
#include "nn/summary.h"
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"

#include <stdlib.h>
#include <string.h>

/* What is known of a module. */
typedef struct note {
    lucid_module *module;
    const char *path; /* the module's own list has it */
    uint64_t hook;
    bool training; /* its mode before */
    bool ran;
    lucid_shape shape; /* of its first output */
    int64_t multiply_adds, output_bytes;
} note;

typedef struct notes {
    note *of;
    size_t n;
} notes;

static int64_t bytes_of(const lucid_tensor *t)
{
    return lucid_numel(t) * (int64_t)lucid_dtype_size(lucid_tensor_dtype(t));
}

static bool has_children(const lucid_module *m)
{
    for (size_t i = 0; i < m->state->n_entries; i++)
        if (luc_entry_module(&m->state->entries[i]) && m->state->entries[i].kind == LUC_CHILD)
            return true;
    return false;
}

/* Each output element of a layer with a weight [out,...] is a sum over the rest of the weight; in a
 * transposed convolution, weight [in,...], each input element is multiplied with the rest. */
static int64_t multiply_adds(const lucid_module *m, const lucid_tensor *x, const lucid_tensor *y)
{
    const luc_entry *e = luc_entry_find(m, "weight");
    const lucid_tensor *w = e && e->kind == LUC_PARAMETER ? luc_entry_tensor(e) : NULL;
    if (!w || lucid_ndim(w) < 2 || lucid_size(w, 0) == 0) return 0;
    int64_t each = lucid_numel(w) / lucid_size(w, 0);
    if (strncmp(m->cls->name, "ConvTranspose", 13) == 0) return x ? lucid_numel(x) * each : 0;
    bool counts = lucid_module_is(m, "Linear") || strncmp(m->cls->name, "Conv", 4) == 0;
    return counts ? lucid_numel(y) * each : 0;
}

static bool take_note(lucid_module *m, lucid_tensor *const *inputs, int n_inputs,
                      lucid_tensor **outputs, int n_outputs, void *user)
{
    note *n = user;
    n->ran = true;
    if (n_outputs < 1 || !outputs[0]) return true;
    n->shape = lucid_tensor_shape(outputs[0]);
    n->multiply_adds += multiply_adds(m, n_inputs ? inputs[0] : NULL, outputs[0]);
    if (has_children(m)) return true;
    for (int i = 0; i < n_outputs; i++)
        if (outputs[i]) n->output_bytes += bytes_of(outputs[i]);
    return true;
}

/* ---- running --------------------------------------------------------------------------------- */

static bool begin(lucid_module *m, notes *all)
{
    const lucid_named_module *list = lucid_named_modules(m, &all->n);
    all->of = list ? luc_calloc(all->n, sizeof *all->of, "module_summary") : NULL;
    for (size_t i = 0; all->of && i < all->n; i++) {
        note *n = &all->of[i];
        *n = (note){.module = list[i].module, .path = list[i].name};
        n->training = n->module->training;
    }
    for (size_t i = 0; all->of && i < all->n; i++) {
        note *n = &all->of[i];
        n->hook = lucid_register_forward_hook_many(n->module, take_note, n);
        if (!n->hook) return false;
    }
    return all->of != NULL;
}

/* Takes the hooks out and gives the modes back. */
static void end(notes *all)
{
    for (size_t i = 0; all->of && i < all->n; i++) {
        if (all->of[i].hook) lucid_module_remove_hook(all->of[i].module, all->of[i].hook);
        all->of[i].module->training = all->of[i].training;
    }
}

static bool run(lucid_module *m, lucid_tensor *const *inputs, int n_inputs)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *outputs[LUCID_MODULE_MAX_OUTPUTS];
    int n = m->state->signature.out_least;
    return lucid_eval(m) && lucid_forward_many(m, inputs, n_inputs, outputs, n < 1 ? 1 : n);
}

/* The notes of one run, whose list is the caller's to luc_free. */
static bool make_notes(lucid_module *m, lucid_tensor *const *inputs, int n_inputs, notes *all)
{
    if (!luc_check_module(m, "module_summary") || lucid_error_code() != LUCID_OK) return false;
    if (n_inputs < 1 || n_inputs > LUCID_MODULE_MAX_INPUTS || !inputs)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_summary", "inputs: expected 1 to %d, got %d",
                         LUCID_MODULE_MAX_INPUTS, inputs ? n_inputs : 0);
    bool ok = begin(m, all) && run(m, inputs, n_inputs);
    end(all);
    return ok;
}

static int64_t sum_bytes(lucid_module *m, bool parameters)
{
    size_t n;
    int64_t sum = 0;
    lucid_tensor **t = luc_module_tensors(m, parameters, !parameters, &n);
    for (size_t i = 0; t && i < n; i++) sum += bytes_of(t[i]);
    luc_free(t);
    return t ? sum : -1;
}

static bool add_up(lucid_module *m, const notes *all, lucid_module_totals *totals)
{
    *totals = (lucid_module_totals){
        .parameters = lucid_parameter_count(m, false),
        .trainable = lucid_parameter_count(m, true),
        .parameter_bytes = sum_bytes(m, true),
        .buffer_bytes = sum_bytes(m, false),
    };
    for (size_t i = 0; i < all->n; i++) {
        totals->multiply_adds += all->of[i].multiply_adds;
        totals->output_bytes += all->of[i].output_bytes;
    }
    return lucid_error_code() == LUCID_OK;
}

bool lucid_module_totals_of(lucid_module *m, lucid_tensor *const *inputs, int n_inputs,
                            lucid_module_totals *totals)
{
    notes all = {0};
    if (!totals)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_totals", "totals: expected a place, got NULL");
    bool ok = make_notes(m, inputs, n_inputs, &all) && add_up(m, &all, totals);
    luc_free(all.of);
    return ok;
}

/* ---- printing -------------------------------------------------------------------------------- */

typedef struct number {
    char s[32];
} number;

/* "1,234,567"; "-" for 0. */
static number with_commas(int64_t value)
{
    number out = {"-"};
    char digits[24];
    if (value == 0) return out;
    int n = snprintf(digits, sizeof digits, "%lld", (long long)value), at = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0 && digits[i - 1] != '-') out.s[at++] = ',';
        out.s[at++] = digits[i];
    }
    out.s[at] = 0;
    return out;
}

static int64_t own_parameters(const lucid_module *m)
{
    int64_t sum = 0;
    for (size_t i = 0; i < m->state->n_entries; i++) {
        const luc_entry *e = &m->state->entries[i];
        const lucid_tensor *t = e->kind == LUC_PARAMETER ? luc_entry_tensor(e) : NULL;
        if (t) sum += lucid_numel(t);
    }
    return sum;
}

/* "  layer1: Sequential", indented by the path's depth. */
static void name_line(const note *n, char *text, size_t size)
{
    int depth = *n->path != 0;
    const char *last = n->path;
    for (const char *c = n->path; *c; c++)
        if (*c == '.') depth++, last = c + 1;
    snprintf(text, size, "%*s%s%s%s", 2 * depth, "", last, *last ? ": " : "", n->module->cls->name);
}

static void add_line(luc_string *out, const note *n, int width)
{
    char name[256], shape[128] = "-";
    name_line(n, name, sizeof name);
    if (n->ran) lucid_shape_format(&n->shape, shape, sizeof shape);
    luc_string_printf(out, "%-*s  %-18s %14s %18s\n", width, name, shape,
                      with_commas(own_parameters(n->module)).s, with_commas(n->multiply_adds).s);
}

static char *table(const notes *all, const lucid_module_totals *t)
{
    luc_string out = {0};
    int width = 20;
    for (size_t i = 0; i < all->n; i++) {
        char name[256];
        name_line(&all->of[i], name, sizeof name);
        if ((int)strlen(name) > width) width = (int)strlen(name);
    }
    luc_string_printf(&out, "%-*s  %-18s %14s %18s\n", width, "module", "output", "parameters",
                      "multiply-adds");
    for (size_t i = 0; i < all->n; i++) add_line(&out, &all->of[i], width);
    luc_string_printf(&out, "parameters: %s, trainable: %s\n", with_commas(t->parameters).s,
                      with_commas(t->trainable).s);
    luc_string_printf(&out, "multiply-adds: %s\n", with_commas(t->multiply_adds).s);
    luc_string_printf(&out, "bytes: parameters %s, buffers %s, outputs %s",
                      with_commas(t->parameter_bytes).s, with_commas(t->buffer_bytes).s,
                      with_commas(t->output_bytes).s);
    if (out.failed) luc_string_free(&out);
    return out.s;
}

char *lucid_module_summary_many(lucid_module *m, lucid_tensor *const *inputs, int n_inputs)
{
    notes all = {0};
    lucid_module_totals totals;
    bool ok = make_notes(m, inputs, n_inputs, &all) && add_up(m, &all, &totals);
    char *text = ok ? table(&all, &totals) : NULL;
    luc_free(all.of);
    return text;
}
