/* format_priv.h: numbers as text and back by the rules of C, whatever locale the program has set.
 *
 * A program may call setlocale, after which the C library writes 0.5 as "0,5" and reads "0.5" as 0.
 * What lucid writes is read by programs (traces, checkpoints) or compared with PyTorch's text, so
 * every conversion of a floating-point number goes through these functions; a test of the sources
 * (tests/house/test_locale.sh) refuses the C library's own. */
#ifndef LUCID_FORMAT_PRIV_H
#define LUCID_FORMAT_PRIV_H

#include "lucid/core/api.h"

#include <locale.h>
#include <stdarg.h>

/* As snprintf and vsnprintf. */
int luc_snprintf(char *text, size_t size, const char *fmt, ...) LUCID_PRINTF(3, 4);
int luc_vsnprintf(char *text, size_t size, const char *fmt, va_list args);
/* As strtod. */
double luc_strtod(const char *text, char **end);

/* Gives this thread C's locale, and takes it back: for calls of functions that are not lucid's and
 * may write numbers. errno stays. Hand luc_c_locale_end what luc_c_locale_begin returned. */
locale_t luc_c_locale_begin(void);
void luc_c_locale_end(locale_t before);

#endif
