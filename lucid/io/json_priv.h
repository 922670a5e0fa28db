/* json_priv.h: JSON (RFC 8259) read without a tree, and written into a text.
 *
 * Files come from anywhere, and a tree of a hostile text takes 75 times its size. The reader is a
 * cursor over the text: it takes no memory, and the caller asks for what he expects next.
 *
 *     luc_json j = luc_json_begin(text, size);
 *     bool first = true;
 *     if (luc_json_open(&j, '{'))
 *         while (luc_json_member(&j, '}', &first) && luc_json_name(&j, name, &length))
 *             luc_json_skip(&j);
 *     if (!luc_json_finish(&j)) ... j.error, j.error_at
 *
 * A cursor that met an error stays at the end of the text: every later call returns false. */
#ifndef LUCID_IO_JSON_PRIV_H
#define LUCID_IO_JSON_PRIV_H

#include "lucid/core/text_priv.h"

enum { LUC_JSON_DEPTH = 64 }; /* lists and objects within one another that luc_json_skip follows */

typedef struct luc_json {
    const char *text, *at, *end;
    const char *error; /* the first one, such as "expected ':'"; NULL: none */
    size_t error_at;   /* its byte */
} luc_json;

/* ---- reading --------------------------------------------------------------------------------- */

luc_json luc_json_begin(const char *text, size_t size);
/* The first character of the next value: { [ " t f n, or 0 for a number; '\0' at the end or where
 * no value can begin. */
char luc_json_peek(luc_json *j);
/* Takes the bracket that opens an object '{' or a list '['. */
bool luc_json_open(luc_json *j, char bracket);
/* Whether another member follows, past the comma before it; false takes the closing bracket, or
 * sets the error. *first is true before the first call and false after it. */
bool luc_json_member(luc_json *j, char bracket, bool *first);
/* A string, decoded to UTF-8 with a NUL after it; one that holds a NUL is an error. `out` needs as
 * many bytes as the string has in the text, quotes included; NULL: the string is only checked. */
bool luc_json_string(luc_json *j, char *out, size_t *length);
/* A member's name and the colon. */
bool luc_json_name(luc_json *j, char *out, size_t *length);
/* A whole number without fraction or exponent that fits; any number; true or false. */
bool luc_json_integer(luc_json *j, int64_t *value);
bool luc_json_number(luc_json *j, double *value);
bool luc_json_bool(luc_json *j, bool *value);
/* Any value, however it is made. */
bool luc_json_skip(luc_json *j);
/* True where all of the text was taken and nothing was wrong. */
bool luc_json_finish(luc_json *j);

/* ---- writing --------------------------------------------------------------------------------- */

/* Appends a string in quotes. False where it is not UTF-8 (nothing is raised or appended) or memory
 * is out (raised; out->failed). */
bool luc_json_put_string(luc_string *out, const char *text);
/* Appends a finite number that reads back exactly. False when memory is out (raised). */
bool luc_json_put_number(luc_string *out, double value);

/* How many bytes (1 to 4) the UTF-8 character at `s` has; 0 where there is none. */
size_t luc_utf8_size(const char *s, const char *end);

#endif
