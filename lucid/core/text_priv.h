/* text_priv.h: texts that grow. */
#ifndef LUCID_TEXT_PRIV_H
#define LUCID_TEXT_PRIV_H

#include "lucid/core/api.h"

/* Always terminated once anything was added. Free s with luc_free. */
typedef struct luc_string {
    char *s;
    size_t length, capacity;
    bool failed; /* memory was out, and an error was raised: later text is missing */
} luc_string;

bool luc_string_add(luc_string *t, const char *text, size_t length);
bool luc_string_printf(luc_string *t, const char *fmt, ...) LUCID_PRINTF(2, 3);
/* Cuts the text to a length. */
void luc_string_cut(luc_string *t, size_t length);
void luc_string_free(luc_string *t);

#endif
