/* format.c: numbers as text and back by the rules of C. */
#include "lucid/core/format_priv.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* C's locale, which is made once and kept until the process ends. */
static _Atomic(locale_t) c_locale;

/* 0 when memory is out: the calling thread then keeps its locale. */
static locale_t get_c_locale(void)
{
    locale_t now = atomic_load_explicit(&c_locale, memory_order_acquire);
    if (now) return now;
    locale_t made = newlocale(LC_ALL_MASK, "C", (locale_t)0), expected = (locale_t)0;
    if (!made || atomic_compare_exchange_strong(&c_locale, &expected, made)) return made;
    freelocale(made); /* another thread was faster */
    return expected;
}

locale_t luc_c_locale_begin(void)
{
    int error = errno;
    locale_t before = uselocale(get_c_locale());
    errno = error;
    return before;
}

void luc_c_locale_end(locale_t before)
{
    int error = errno;
    uselocale(before);
    errno = error;
}

int luc_vsnprintf(char *text, size_t size, const char *fmt, va_list args)
{
    locale_t before = luc_c_locale_begin();
    int n = vsnprintf(text, size, fmt, args);
    luc_c_locale_end(before);
    return n;
}

int luc_snprintf(char *text, size_t size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = luc_vsnprintf(text, size, fmt, args);
    va_end(args);
    return n;
}

double luc_strtod(const char *text, char **end)
{
    locale_t before = luc_c_locale_begin();
    double value = strtod(text, end);
    luc_c_locale_end(before);
    return value;
}
