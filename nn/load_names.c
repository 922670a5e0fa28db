/* load_names.c: the names that a state has, turned into those that a module has. */
#include "autograd/ops.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "nn/pattern.h"
#include "nn/state_dict_priv.h"

#include <string.h>

static const char op[] = "load_state_dict";

/* One "OLD=NEW": each has a text before its star and one after it. */
typedef struct rule {
    const char *old, *old_star, *old_end; /* old_star is old_end where there is none */
    const char *new_, *new_star, *new_end;
} rule;

static const char *find_star(const char *begin, const char *end)
{
    const char *star = memchr(begin, '*', (size_t)(end - begin));
    return star ? star : end;
}

static bool read_rule(const char *text, const char *end, rule *r)
{
    const char *equals = memchr(text, '=', (size_t)(end - text));
    if (equals) {
        *r = (rule){text,       find_star(text, equals),    equals,
                    equals + 1, find_star(equals + 1, end), end};
        const bool stars = r->old_star < r->old_end, wanted = r->new_star < r->new_end;
        const bool single = !stars || find_star(r->old_star + 1, r->old_end) == r->old_end;
        const bool single_new = !wanted || find_star(r->new_star + 1, r->new_end) == r->new_end;
        if (single && single_new && (stars || !wanted)) return true;
    }
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "rename: expected OLD=NEW with a * in both or in none, got \"%.*s\"",
                     (int)(end - text), text);
}

/* Appends the new name and returns true if the rule is for this name. */
static bool apply(const rule *r, const char *name, luc_string *to, bool *ok)
{
    const size_t n = strlen(name), head = (size_t)(r->old_star - r->old);
    const bool star = r->old_star < r->old_end;
    const size_t tail = star ? (size_t)(r->old_end - r->old_star) - 1 : 0;
    if (star ? n < head + tail : n != head) return false;
    if (memcmp(name, r->old, head) != 0 || memcmp(name + n - tail, r->old_end - tail, tail) != 0)
        return false;
    const bool used = r->new_star < r->new_end;
    *ok = luc_string_add(to, r->new_, (size_t)(r->new_star - r->new_)) &&
          (!used || luc_string_add(to, name + head, n - head - tail)) &&
          (!used || luc_string_add(to, r->new_star + 1, (size_t)(r->new_end - r->new_star) - 1));
    return true;
}

/* Appends what the first rule for the name makes of it, or the name itself. *used becomes bits of
 * the rules that were for a name; those after the 64th count as used. */
static bool rename_one(const char *rules, const char *name, luc_string *to, uint64_t *used)
{
    for (int i = 0;; i++) {
        const char *end = strchrnul(rules, '|');
        rule r = {0};
        bool ok;
        if (!read_rule(rules, end, &r)) return false;
        if (apply(&r, name, to, &ok)) {
            *used |= UINT64_C(1) << (i < 63 ? i : 63);
            return ok;
        }
        if (!*end) return luc_string_add(to, name, strlen(name));
        rules = end + 1;
    }
}

/* The versions belong to paths of modules: "fc" is what "fc.*" says. */
static bool rename_versions(const lucid_state_dict *from, lucid_state_dict *to, const char *rules)
{
    uint64_t used = 0;
    luc_string path = {0}, name = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < from->versions.count; i++) {
        const luc_state_item *item = &from->versions.items[i];
        luc_string_cut(&path, 0);
        luc_string_cut(&name, 0);
        ok = luc_string_printf(&path, *item->name ? "%s." : "%s", item->name) &&
             rename_one(rules, path.s, &name, &used);
        if (ok && name.length && name.s[name.length - 1] == '.')
            luc_string_cut(&name, name.length - 1);
        ok = ok && lucid_state_dict_set_version(to, name.s, item->number);
    }
    luc_string_free(&path);
    luc_string_free(&name);
    return ok;
}

static bool is_taken(const lucid_state_dict *s, const char *name)
{
    return luc_state_find(&s->tensors, name) || luc_state_find(&s->foreign, name);
}

/* Puts the entries of one table under their new names. */
static bool rename_table(const luc_state_table *table, lucid_state_dict *to, const char *rules,
                         uint64_t *used)
{
    luc_string name = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < table->count; i++) {
        const luc_state_item *item = &table->items[i];
        luc_string_cut(&name, 0);
        ok = rename_one(rules, item->name, &name, used);
        if (ok && is_taken(to, name.s))
            ok = luc_raise(LUCID_ERR_ARGUMENT, op, "rename: two tensors would be \"%s\"", name.s);
        else if (ok && item->tensor)
            ok = lucid_state_dict_set(to, name.s, item->tensor);
        else if (ok)
            ok = luc_state_set_foreign(to, name.s, (lucid_code)item->number, item->text);
    }
    luc_string_free(&name);
    return ok;
}

static bool rename_all(lucid_state_dict **state, const char *rules, uint64_t *used)
{
    const lucid_state_dict *from = *state;
    lucid_state_dict *to = lucid_state_dict_new();
    bool ok = to && rename_table(&from->tensors, to, rules, used) &&
              rename_table(&from->foreign, to, rules, used) && rename_versions(from, to, rules);
    for (size_t i = 0; ok && i < from->notes.count; i++)
        ok = lucid_state_dict_set_note(to, from->notes.items[i].name, from->notes.items[i].text);
    lucid_state_dict_free(ok ? *state : to);
    if (ok) *state = to;
    return ok;
}

static bool check_rules(const char *rules, uint64_t used)
{
    for (int i = 0; i < 63; i++) {
        const char *end = strchrnul(rules, '|');
        if (!(used >> i & 1))
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "rename: \"%.*s\" is for none of the state's names",
                             (int)(end - rules), rules);
        if (!*end) break;
        rules = end + 1;
    }
    return true;
}

/* Whether all names, or any, begin with a prefix; a table without names has none. */
static bool all_begin(const luc_state_table *table, const char *prefix, size_t n)
{
    for (size_t i = 0; i < table->count; i++)
        if (strncmp(table->items[i].name, prefix, n) != 0) return false;
    return table->count > 0;
}

static bool any_begins(const luc_state_table *table, const char *prefix, size_t n)
{
    for (size_t i = 0; i < table->count; i++)
        if (strncmp(table->items[i].name, prefix, n) == 0) return true;
    return false;
}

/* DistributedDataParallel and torch.compile wrap modules, in any order. */
static bool take_prefixes_off(lucid_state_dict **state, const lucid_state_dict *wanted)
{
    static const char *const prefixes[] = {"module.", "_orig_mod."};
    static const char *const rules[] = {"module.*=*", "_orig_mod.*=*"};
    for (int i = 0, turns = 0; i < 2 && turns < 4; i++) {
        const size_t n = strlen(prefixes[i]);
        uint64_t used = 0;
        if (!all_begin(&(*state)->tensors, prefixes[i], n) ||
            any_begins(&wanted->tensors, prefixes[i], n) ||
            ((*state)->foreign.count && !all_begin(&(*state)->foreign, prefixes[i], n)))
            continue;
        if (!rename_all(state, rules[i], &used)) return false;
        turns++;
        i = -1; /* once more from the first */
    }
    return true;
}

/* Takes what is ignored out of a state. */
static bool remove_ignored(lucid_state_dict *s, const lucid_state_dict *wanted, const char *pattern)
{
    size_t found = 0;
    for (size_t i = 0; i < wanted->tensors.count; i++)
        found += lucid_name_matches(wanted->tensors.items[i].name, pattern);
    for (int t = 0; t < 2; t++)
        for (size_t i = (t ? s->foreign : s->tensors).count; i-- > 0;) {
            const char *name = (t ? s->foreign : s->tensors).items[i].name;
            if (!lucid_name_matches(name, pattern)) continue;
            found++;
            if (!lucid_state_dict_remove(s, name)) return false;
        }
    return found || luc_raise(LUCID_ERR_ARGUMENT, op,
                              "ignore: \"%s\" matches no name of module and state", pattern);
}

bool luc_load_rename(lucid_state_dict **state, const lucid_state_dict *wanted,
                     const lucid_load_options *o)
{
    uint64_t used = 0;
    if (!take_prefixes_off(state, wanted)) return false;
    if (o->rename && (!rename_all(state, o->rename, &used) || !check_rules(o->rename, used)))
        return false;
    return !o->ignore || remove_ignored(*state, wanted, o->ignore);
}

lucid_tensor *luc_load_adapt(lucid_tensor *weight, int64_t channels)
{
    const int64_t has = lucid_size(weight, 1);
    if (channels == 1) return lucid_sum(weight, 1, .keepdim = true);
    lucid_tensor *many = weight;
    while (many && lucid_size(many, 1) < channels) many = lucid_cat((many, weight), 1);
    many = many ? lucid_narrow(many, 1, 0, channels) : NULL;
    return lucid_mul(many, (double)has / (double)channels);
}
