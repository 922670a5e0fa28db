/* text.c: texts that grow. */
#include "lucid/core/text_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/memory_priv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool reserve(luc_string *t, size_t more)
{
    if (t->failed) return false;
    assert(t->length < t->capacity || t->capacity == 0);
    size_t need = t->length + more + 1;
    if (need <= t->capacity) return true;
    size_t capacity = t->capacity ? t->capacity : 64;
    while (capacity < need) capacity *= 2;
    char *s = luc_realloc(t->s, capacity, "text");
    if (!s) {
        t->failed = true;
        return false;
    }
    t->s = s;
    t->capacity = capacity;
    return true;
}

bool luc_string_add(luc_string *t, const char *text, size_t length)
{
    if (!reserve(t, length)) return false;
    memcpy(t->s + t->length, text, length);
    t->length += length;
    t->s[t->length] = '\0';
    return true;
}

bool luc_string_printf(luc_string *t, const char *fmt, ...)
{
    char small[256];
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = luc_vsnprintf(small, sizeof small, fmt, args);
    va_end(args);
    bool ok = false;
    if (n < 0) { /* the C library takes memory for long numbers */
        t->failed = true;
        luc_raise(LUCID_ERR_MEMORY, "text", "out of memory: a number cannot be written");
    } else if ((size_t)n < sizeof small) {
        ok = luc_string_add(t, small, (size_t)n);
    } else if ((ok = reserve(t, (size_t)n))) {
        luc_vsnprintf(t->s + t->length, (size_t)n + 1, fmt, again);
        t->length += (size_t)n;
    }
    va_end(again);
    return ok;
}

void luc_string_cut(luc_string *t, size_t length)
{
    if (length >= t->length) return;
    assert(t->length < t->capacity);
    t->length = length;
    t->s[length] = '\0';
}

void luc_string_free(luc_string *t)
{
    luc_free(t->s);
    *t = (luc_string){0};
}
