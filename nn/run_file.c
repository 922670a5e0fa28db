/* run_file.c: the parts of a training run in one state dict, with a prefix for each. */
#include "nn/run_file_priv.h"
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/random.h"
#include "lucid/core/tensor_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/module_priv.h"
#include "nn/state_dict_priv.h"

#include <string.h>

/* ---- state dicts inside a state dict --------------------------------------------------------- */

/* "prefix.name" in text; "prefix" for an empty name. */
static const char *join(luc_string *text, const char *prefix, const char *name)
{
    luc_string_cut(text, 0);
    return luc_string_printf(text, *name ? "%s.%s" : "%s%s", prefix, name) ? text->s : NULL;
}

/* What follows "prefix." in a name; "" for the prefix itself; NULL for another name. */
static const char *rest(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0 || (name[n] && name[n] != '.')) return NULL;
    return name[n] ? name + n + 1 : name + n;
}

static bool put(lucid_state_dict *all, const char *prefix, const lucid_state_dict *part)
{
    luc_string text = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < part->tensors.count; i++) {
        const char *name = join(&text, prefix, part->tensors.items[i].name);
        ok = name && lucid_state_dict_set(all, name, part->tensors.items[i].tensor);
    }
    for (size_t i = 0; ok && i < part->notes.count; i++) {
        const char *name = join(&text, prefix, part->notes.items[i].name);
        ok = name && lucid_state_dict_set_note(all, name, part->notes.items[i].text);
    }
    for (size_t i = 0; ok && i < part->versions.count; i++) {
        const char *name = join(&text, prefix, part->versions.items[i].name);
        ok = name && lucid_state_dict_set_version(all, name, part->versions.items[i].number);
    }
    luc_string_free(&text);
    return ok;
}

/* The entries with a prefix, added to `part`. Counts the tensors and notes among them. */
static bool take(const lucid_state_dict *all, const char *prefix, lucid_state_dict *part,
                 size_t *count)
{
    bool ok = true;
    const char *name;
    for (size_t i = 0; ok && i < all->tensors.count; i++) {
        const luc_state_item *item = &all->tensors.items[i];
        if (!(name = rest(item->name, prefix)) || !*name) continue;
        ok = lucid_state_dict_set(part, name, item->tensor);
        ++*count;
    }
    for (size_t i = 0; ok && i < all->notes.count; i++) {
        const luc_state_item *item = &all->notes.items[i];
        if (!(name = rest(item->name, prefix)) || !*name) continue;
        ok = lucid_state_dict_set_note(part, name, item->text);
        ++*count;
    }
    for (size_t i = 0; ok && i < all->versions.count; i++) {
        const luc_state_item *item = &all->versions.items[i];
        if ((name = rest(item->name, prefix)))
            ok = lucid_state_dict_set_version(part, name, item->number);
    }
    return ok;
}

/* ---- whole numbers --------------------------------------------------------------------------- */

static bool put_numbers(lucid_state_dict *all, const char *name, const int64_t *values, int64_t n)
{
    lucid_tensor *t = lucid_from_typed_data(LUCID_SHAPE(n), values, LUCID_I64, NULL);
    return t && lucid_state_dict_set(all, name, t);
}

static bool get_numbers(const lucid_state_dict *all, const char *name, int64_t *values, int64_t n)
{
    lucid_tensor *t = lucid_state_dict_get(all, name);
    if (!t)
        return lucid_error_code() == LUCID_OK &&
               luc_raise(LUCID_ERR_FORMAT, LUC_RUN_LOAD, "file: it has no %s", name);
    if (lucid_tensor_dtype(t) != LUCID_I64 || lucid_numel(t) != n)
        return luc_raise(LUCID_ERR_FORMAT, LUC_RUN_LOAD, "%s: expected %lld int64 numbers, got %s",
                         name, (long long)n, luc_shape_text(t).s);
    return lucid_copy_to(t, values, (size_t)n * sizeof *values);
}

/* ---- out ------------------------------------------------------------------------------------- */

/* Adds a part's state, which goes. */
static bool put_owned(lucid_state_dict *all, const char *prefix, lucid_state_dict *part)
{
    bool ok = part && put(all, prefix, part);
    lucid_state_dict_free(part);
    return ok;
}

static bool put_parts(lucid_state_dict *all, const lucid_run_options *o)
{
    if (o->module && !put_owned(all, "module", lucid_module_state_dict(o->module))) return false;
    if (o->optimizer && !put_owned(all, "optimizer", lucid_optimizer_state_dict(o->optimizer)))
        return false;
    if (o->scheduler && !put_owned(all, "scheduler", lucid_scheduler_state_dict(o->scheduler)))
        return false;
    if (o->scaler && !put_owned(all, "scaler", lucid_grad_scaler_state_dict(o->scaler)))
        return false;
    if (o->averaged && !put_owned(all, "averaged", lucid_averaged_state_dict(o->averaged)))
        return false;
    if (o->extra && !put(all, "extra", o->extra)) return false;
    if (o->loader) {
        lucid_loader_position p = lucid_loader_get_position(o->loader);
        if (!put_numbers(all, "loader", (int64_t[]){(int64_t)p.seed, p.epoch, p.batch}, 3))
            return false;
    }
    if (!o->generator) return true;
    lucid_generator g = lucid_get_rng_state();
    return put_numbers(all, "generator", (int64_t[]){(int64_t)g.seed, (int64_t)g.offset}, 2);
}

lucid_state_dict *luc_run_state(const lucid_run_options *o)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_state_dict *all = lucid_state_dict_new();
    if (all && lucid_state_dict_set_note(all, "lucid_run", "1") && put_parts(all, o)) return all;
    lucid_state_dict_free(all);
    return NULL;
}

bool lucid_run_save_opt(const char *path, const lucid_run_options *options)
{
    LUC_CALLED_AS("run_save");
    const lucid_run_options *o = LUC_OPTIONS(lucid_run, options, "run_save");
    if (!o || lucid_error_code() != LUCID_OK) return false;
    lucid_state_dict *all = luc_run_state(o);
    bool ok = all && lucid_state_dict_save(all, path);
    lucid_state_dict_free(all);
    return ok;
}

/* ---- in -------------------------------------------------------------------------------------- */

/* The parts of a file, each on its own. NULL where the run has none of the kind. */
typedef struct parts {
    lucid_state_dict *module, *optimizer, *scheduler, *scaler, *averaged, *extra;
    int64_t loader[3], generator[2];
} parts;

static void free_parts(parts *p)
{
    lucid_state_dict_free(p->module);
    lucid_state_dict_free(p->optimizer);
    lucid_state_dict_free(p->scheduler);
    lucid_state_dict_free(p->scaler);
    lucid_state_dict_free(p->averaged);
    lucid_state_dict_free(p->extra);
}

static bool split_one(const lucid_state_dict *all, const char *prefix, bool wanted,
                      bool may_be_empty, lucid_state_dict **part)
{
    size_t count = 0;
    *part = NULL;
    if (!wanted) return true;
    *part = lucid_state_dict_new();
    if (!*part || !take(all, prefix, *part, &count)) return false;
    return count || may_be_empty ||
           luc_raise(LUCID_ERR_FORMAT, LUC_RUN_LOAD, "file: it has no %s", prefix);
}

static bool split(const lucid_state_dict *all, const lucid_run_options *o, parts *p)
{
    bool no_scaler = o->scaler && !lucid_grad_scaler_is_enabled(o->scaler);
    bool stateless = o->module != NULL;
    if (stateless) {
        lucid_state_dict *now = lucid_module_state_dict(o->module);
        if (!now) return false;
        stateless = lucid_state_dict_size(now) == 0;
        lucid_state_dict_free(now);
    }
    return split_one(all, "module", o->module, stateless, &p->module) &&
           split_one(all, "optimizer", o->optimizer, false, &p->optimizer) &&
           split_one(all, "scheduler", o->scheduler, false, &p->scheduler) &&
           split_one(all, "scaler", o->scaler, no_scaler, &p->scaler) &&
           split_one(all, "averaged", o->averaged, false, &p->averaged) &&
           split_one(all, "extra", o->extra, true, &p->extra) &&
           (!o->loader || get_numbers(all, "loader", p->loader, 3)) &&
           (!o->generator || get_numbers(all, "generator", p->generator, 2));
}

static bool load_parts(const lucid_run_options *o, const parts *p)
{
    if ((o->module && !lucid_load_state_dict(o->module, p->module)) ||
        (o->optimizer && !lucid_optimizer_load_state_dict(o->optimizer, p->optimizer)) ||
        (o->scheduler && !lucid_scheduler_load_state_dict(o->scheduler, p->scheduler)) ||
        (o->scaler && !lucid_grad_scaler_load_state_dict(o->scaler, p->scaler)) ||
        (o->averaged && !lucid_averaged_load_state_dict(o->averaged, p->averaged)))
        return false;
    if (o->loader) {
        lucid_loader_position at = {(uint64_t)p->loader[0], p->loader[1], p->loader[2]};
        if (!lucid_loader_set_position(o->loader, at)) return false;
    }
    if (o->extra && !luc_run_merge(o->extra, p->extra)) return false;
    if (o->generator)
        lucid_set_rng_state(
            (lucid_generator){(uint64_t)p->generator[0], (uint64_t)p->generator[1]});
    return true;
}

bool luc_run_merge(lucid_state_dict *into, const lucid_state_dict *from)
{
    bool ok = true;
    for (size_t i = 0; ok && i < from->tensors.count; i++)
        ok = lucid_state_dict_set(into, from->tensors.items[i].name, from->tensors.items[i].tensor);
    for (size_t i = 0; ok && i < from->notes.count; i++)
        ok = lucid_state_dict_set_note(into, from->notes.items[i].name, from->notes.items[i].text);
    return ok;
}

/* The parts as they are, to be put back: deep copies, without `extra`, which is loaded last. */
static lucid_state_dict *remember(const lucid_run_options *o)
{
    lucid_run_options all_but_extra = *o;
    all_but_extra.extra = NULL;
    lucid_state_dict *now = luc_run_state(&all_but_extra);
    lucid_state_dict *copy = now ? lucid_state_dict_copy(now) : NULL;
    lucid_state_dict_free(now);
    return copy;
}

/* After an error: the parts as they were. The error is cleared meanwhile, because functions refuse
 * to work while one is pending, and raised again. */
static void put_back(const lucid_run_options *o, const lucid_state_dict *was)
{
    parts p = {0};
    char text[1024], name[64] = LUC_RUN_LOAD;
    lucid_run_options all_but_extra = *o;
    all_but_extra.extra = NULL;
    lucid_code code = lucid_error_code();
    snprintf(text, sizeof text, "%s", lucid_error());
    lucid_clear_error();
    if (split(was, &all_but_extra, &p)) load_parts(&all_but_extra, &p);
    free_parts(&p);
    lucid_clear_error();
    const char *colon = strstr(text, ": "), *message = text;
    if (colon && (size_t)(colon - text) < sizeof name) {
        memcpy(name, text, (size_t)(colon - text));
        name[colon - text] = 0;
        message = colon + 2;
    }
    luc_raise(code, name, "%s", message);
}

static bool load(const lucid_state_dict *all, const lucid_run_options *o)
{
    LUCID_SCOPE;
    parts p = {0};
    lucid_state_dict *was = NULL;
    bool ok = luc_state_is_whole(all, LUC_RUN_LOAD) && split(all, o, &p) && (was = remember(o));
    if (ok && !load_parts(o, &p)) {
        put_back(o, was);
        ok = false;
    }
    lucid_state_dict_free(was);
    free_parts(&p);
    return ok;
}

bool lucid_run_load_opt(const char *path, const lucid_run_options *options)
{
    const lucid_run_options *o = LUC_OPTIONS(lucid_run, options, LUC_RUN_LOAD);
    if (!o || lucid_error_code() != LUCID_OK) return false;
    lucid_state_dict *all;
    {
        LUC_CALLED_AS("run_load");
        all = lucid_state_dict_load(path);
    }
    bool ok = all && (lucid_state_dict_note(all, "lucid_run") ||
                      luc_raise(LUCID_ERR_FORMAT, LUC_RUN_LOAD,
                                "file: expected one of lucid_run_save, got \"%s\"", path));
    ok = ok && load(all, o);
    lucid_state_dict_free(all);
    return ok;
}
