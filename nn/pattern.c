/* pattern.c: names of parameters by pattern, and freezing them. */
#include "nn/pattern.h"
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/module_priv.h"

#include <string.h>

/* One alternative, which ends at `end`. The last * is where the search goes on after a mismatch, so
 * that no pattern takes longer than the product of the lengths. */
static bool matches(const char *name, const char *p, const char *end)
{
    const char *star = NULL, *retry = NULL;
    while (*name) {
        if (p < end && *p == '*') {
            star = ++p;
            retry = name;
        } else if (p < end && (*p == '?' || *p == *name)) {
            p++;
            name++;
        } else if (star) {
            p = star;
            name = ++retry;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*') p++;
    return p == end;
}

bool lucid_name_matches(const char *name, const char *pattern)
{
    if (!name || !pattern) return false;
    for (;;) {
        const char *end = strchrnul(pattern, '|');
        if (matches(name, pattern, end)) return true;
        if (!*end) return false;
        pattern = end + 1;
    }
}

int64_t lucid_freeze_opt(lucid_module *m, const char *pattern, const lucid_freeze_options *options)
{
    const char *op = "freeze";
    const lucid_freeze_options *o = LUC_OPTIONS(lucid_freeze, options, op);
    if (!o || !luc_check_module(m, op)) return -1;
    if (!pattern) {
        luc_raise(LUCID_ERR_ARGUMENT, op, "pattern: expected one, got NULL");
        return -1;
    }
    size_t n;
    int64_t count = 0;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n);
    if (!p) return -1;
    for (size_t i = 0; i < n; i++) {
        if (!lucid_name_matches(p[i].name, pattern) || lucid_name_matches(p[i].name, o->except))
            continue;
        if (!lucid_requires_grad_(p[i].tensor, o->requires_grad)) return -1;
        if (!o->requires_grad && !lucid_set_grad(p[i].tensor, NULL)) return -1;
        count++;
    }
    if (count) return count;
    luc_raise(LUCID_ERR_ARGUMENT, op, "pattern: expected one that matches a parameter, got \"%s\"",
              pattern);
    return -1;
}
