/* signature.c: which inputs a class of modules takes and which outputs it gives. */
#include "lucid/core/error_priv.h"
#include "nn/module_priv.h"

#include <stdio.h>
#include <string.h>

/* Finds name i of "x, h?, c?": its beginning, and its length without the "?". */
static const char *find_name(const char *names, int i, int *length, bool *optional)
{
    const char *s = names;
    for (; i > 0 && *s; s++)
        if (*s == ',') i--;
    while (*s == ' ') s++;
    int n = (int)strcspn(s, ",");
    while (n > 0 && s[n - 1] == ' ') n--;
    *optional = n > 0 && s[n - 1] == '?';
    *length = n - *optional;
    return s;
}

luc_text luc_signature_name(const char *names, int i)
{
    luc_text text;
    int length;
    bool optional;
    const char *name = find_name(names, i, &length, &optional);
    snprintf(text.s, sizeof text.s, "%.*s", length, name);
    return text;
}

/* Counts the names, and the required ones among them, which come first. */
static bool count_names(const lucid_module_class *cls, const char *slot, const char *names,
                        int limit, int *least, int *most)
{
    int n = 1;
    for (const char *s = names; *s; s++) n += *s == ',';
    *least = 0;
    *most = n;
    if (n > limit)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                         "class %s: %s: expected at most %d names, got \"%s\"", cls->name, slot,
                         limit, names);
    for (int i = 0; i < n; i++) {
        int length;
        bool optional;
        find_name(names, i, &length, &optional);
        if (length == 0)
            return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                             "class %s: %s: expected names with commas between them, got \"%s\"",
                             cls->name, slot, names);
        if (!optional && *least < i)
            return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                             "class %s: %s: expected required names before those with \"?\", got "
                             "\"%s\"",
                             cls->name, slot, names);
        *least += !optional;
    }
    return true;
}

bool luc_signature_find(luc_signature *s, const lucid_module_class *cls)
{
    const lucid_module_class *runs = cls, *in = cls, *out = cls;
    while (runs && !runs->forward && !runs->forward_many) runs = runs->super;
    while (!in->inputs) in = in->super;
    while (!out->outputs) out = out->super;
    *s = (luc_signature){.runs = runs, .inputs = in->inputs, .outputs = out->outputs};
    if (!count_names(cls, "inputs", s->inputs, LUCID_MODULE_MAX_INPUTS, &s->in_least,
                     &s->in_most) ||
        !count_names(cls, "outputs", s->outputs, LUCID_MODULE_MAX_OUTPUTS, &s->out_least,
                     &s->out_most))
        return false;
    if (s->out_least == 0)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                         "class %s: outputs: expected the first one without \"?\", got \"%s\"",
                         cls->name, s->outputs);
    if (!runs || runs->forward_many) return true;
    /* The class has only forward, while a super with forward_many may have given the names. */
    if (runs->inputs && s->in_most > 1)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                         "class %s: forward: expected forward_many for the inputs \"%s\"",
                         cls->name, s->inputs);
    if (runs->outputs && s->out_most > 1)
        return luc_raise(LUCID_ERR_ARGUMENT, "module_new",
                         "class %s: forward: expected forward_many for the outputs \"%s\"",
                         cls->name, s->outputs);
    const luc_signature one = {runs, "input", "output", 1, 1, 1, 1};
    *s = one;
    return true;
}

static bool check_count(const lucid_module *m, const char *what, const char *names, int least,
                        int most, int got, const char *hint)
{
    if (got >= least && got <= most) return true;
    char range[32];
    if (least < most)
        snprintf(range, sizeof range, "%d to %d", least, most);
    else
        snprintf(range, sizeof range, "%d", least);
    return luc_raise(LUCID_ERR_ARGUMENT, m->cls->name, "%s: expected %s (%s), got %d%s", what,
                     range, names, got, hint);
}

bool luc_signature_check(const lucid_module *m, int n_in, int n_out)
{
    const luc_signature *s = &m->state->signature;
    const char *hint = n_out == 1 ? "; lucid_forward_into takes several" : "";
    return check_count(m, "inputs", s->inputs, s->in_least, s->in_most, n_in, "") &&
           check_count(m, "outputs", s->outputs, s->out_least, s->out_most, n_out, hint);
}
