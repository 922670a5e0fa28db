/* json_read.c: a cursor over JSON text. */
#include "lucid/io/json_priv.h"

#include "lucid/core/format_priv.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static bool fail(luc_json *j, const char *what)
{
    if (!j->error) {
        j->error = j->at == j->end ? "the text ends early" : what;
        assert(j->text <= j->at && j->at <= j->end);
        j->error_at = (size_t)(j->at - j->text);
    }
    j->at = j->end;
    return false;
}

luc_json luc_json_begin(const char *text, size_t size)
{
    return (luc_json){.text = text, .at = text, .end = text + size};
}

static void skip_space(luc_json *j)
{
    assert(j->text <= j->at && j->at <= j->end);
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

static bool is_digit(const luc_json *j)
{
    return j->at < j->end && *j->at >= '0' && *j->at <= '9';
}

char luc_json_peek(luc_json *j)
{
    skip_space(j);
    if (j->at == j->end) return '\0';
    if (*j->at == '-' || is_digit(j)) return '0';
    return strchr("{[\"tfn", *j->at) ? *j->at : '\0';
}

/* ---- brackets -------------------------------------------------------------------------------- */

static bool take(luc_json *j, char c)
{
    skip_space(j);
    if (j->at == j->end || *j->at != c) return false;
    j->at++;
    return true;
}

bool luc_json_open(luc_json *j, char bracket)
{
    if (take(j, bracket)) return true;
    return fail(j, bracket == '{' ? "expected an object" : "expected a list");
}

bool luc_json_member(luc_json *j, char bracket, bool *first)
{
    bool begin = *first;
    *first = false;
    if (j->error || take(j, bracket)) return false;
    if (begin || take(j, ',')) return true;
    return fail(j, bracket == '}' ? "expected ',' or '}'" : "expected ',' or ']'");
}

bool luc_json_finish(luc_json *j)
{
    skip_space(j);
    if (j->at < j->end) fail(j, "expected nothing more");
    return !j->error;
}

/* ---- strings --------------------------------------------------------------------------------- */

size_t luc_utf8_size(const char *s, const char *end)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = (size_t)(end - s), n;
    if (!left) return 0;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (left < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (p[0] == 0xe0 && p[1] < 0xa0) return 0;  /* longer than needed */
    if (p[0] == 0xed && p[1] >= 0xa0) return 0; /* half of a UTF-16 pair */
    if (p[0] == 0xf0 && p[1] < 0x90) return 0;
    if (p[0] == 0xf4 && p[1] >= 0x90) return 0; /* above U+10FFFF */
    return n;
}

/* Appends a character to *out, unless that is NULL. */
static void encode(uint32_t c, char **out)
{
    char *p = *out;
    if (!p) return;
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xc0 | c >> 6);
        *p++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *p++ = (char)(0xe0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 63));
        *p++ = (char)(0x80 | (c & 63));
    } else {
        *p++ = (char)(0xf0 | c >> 18);
        *p++ = (char)(0x80 | (c >> 12 & 63));
        *p++ = (char)(0x80 | (c >> 6 & 63));
        *p++ = (char)(0x80 | (c & 63));
    }
    *out = p;
}

/* Reads four hexadecimal digits. */
static bool hex4(luc_json *j, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        if (j->at == j->end) return fail(j, "");
        char c = *j->at;
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16) return fail(j, "expected four hexadecimal digits");
        *value = *value << 4 | digit;
    }
    return true;
}

/* Reads what follows \u: one or two halves of UTF-16. */
static bool unicode_escape(luc_json *j, char **out)
{
    uint32_t c, low;
    if (!hex4(j, &c)) return false;
    if (c == 0) return fail(j, "a string holds a NUL");
    if (c >= 0xd800 && c < 0xe000) {
        bool pair = c < 0xdc00 && j->end - j->at >= 2 && j->at[0] == '\\' && j->at[1] == 'u';
        if (!pair) return fail(j, "half of a UTF-16 pair");
        j->at += 2;
        if (!hex4(j, &low)) return false;
        if (low < 0xdc00 || low >= 0xe000) return fail(j, "half of a UTF-16 pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    encode(c, out);
    return true;
}

/* Reads what follows a backslash. */
static bool escape(luc_json *j, char **out)
{
    static const char codes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (j->at == j->end) return fail(j, "");
    char code = *j->at++;
    if (code == 'u') return unicode_escape(j, out);
    const char *found = code ? strchr(codes, code) : NULL;
    if (!found) {
        j->at--;
        return fail(j, "an escape that JSON does not have");
    }
    encode((unsigned char)meant[found - codes], out);
    return true;
}

bool luc_json_string(luc_json *j, char *out, size_t *length)
{
    char *p = out;
    if (!take(j, '"')) return fail(j, "expected a string");
    for (;;) {
        if (j->at == j->end) return fail(j, "");
        if (*j->at == '"') break;
        if (*j->at == '\\') {
            j->at++;
            if (!escape(j, &p)) return false;
            continue;
        }
        size_t n = luc_utf8_size(j->at, j->end);
        if (!n) return fail(j, "a string is not UTF-8");
        if ((unsigned char)*j->at < 0x20) return fail(j, "a string holds a control character");
        if (p) memcpy(p, j->at, n), p += n;
        j->at += n;
    }
    j->at++;
    if (p) *p = '\0';
    if (length) *length = (size_t)(p - out);
    return true;
}

bool luc_json_name(luc_json *j, char *out, size_t *length)
{
    return luc_json_string(j, out, length) && (take(j, ':') || fail(j, "expected ':'"));
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool digits(luc_json *j)
{
    if (!is_digit(j)) return fail(j, "expected a digit");
    while (is_digit(j)) j->at++;
    return true;
}

/* Reads a number's characters. *whole becomes true if it has no fraction and no exponent. */
static bool take_number(luc_json *j, bool *whole)
{
    skip_space(j);
    *whole = true;
    if (j->at < j->end && *j->at == '-') j->at++;
    if (is_digit(j) && *j->at == '0')
        j->at++;
    else if (!digits(j))
        return false;
    if (j->at < j->end && *j->at == '.') {
        j->at++;
        *whole = false;
        if (!digits(j)) return false;
    }
    if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
        j->at++;
        *whole = false;
        if (j->at < j->end && (*j->at == '+' || *j->at == '-')) j->at++;
        return digits(j);
    }
    return true;
}

bool luc_json_integer(luc_json *j, int64_t *value)
{
    if (luc_json_peek(j) != '0') return fail(j, "expected a number");
    const char *begin = j->at;
    bool whole, negative = *begin == '-';
    if (!take_number(j, &whole)) return false;
    const char *after = j->at;
    j->at = begin; /* where an error would be */
    if (!whole) return fail(j, "expected a whole number");
    *value = 0;
    for (const char *p = begin + negative; p < after; p++) {
        int digit = *p - '0';
        if (__builtin_mul_overflow(*value, (int64_t)10, value) ||
            __builtin_sub_overflow(*value, (int64_t)digit, value))
            return fail(j, "a number does not fit 64 bits");
    }
    /* It was summed as a negative number, because there is one more of those. */
    if (!negative && *value == INT64_MIN) return fail(j, "a number does not fit 64 bits");
    if (!negative) *value = -*value;
    j->at = after;
    return true;
}

bool luc_json_number(luc_json *j, double *value)
{
    char text[400];
    if (luc_json_peek(j) != '0') return fail(j, "expected a number");
    const char *begin = j->at;
    bool whole;
    if (!take_number(j, &whole)) return false;
    size_t n = (size_t)(j->at - begin);
    if (n >= sizeof text) return fail(j, "a number has too many digits");
    memcpy(text, begin, n);
    text[n] = '\0';
    *value = luc_strtod(text, NULL);
    return !isinf(*value) || fail(j, "a number does not fit a double");
}

/* ---- the rest -------------------------------------------------------------------------------- */

static bool take_word(luc_json *j, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(j->end - j->at) < n || memcmp(j->at, word, n) != 0)
        return fail(j, "expected a value");
    j->at += n;
    return true;
}

bool luc_json_bool(luc_json *j, bool *value)
{
    char next = luc_json_peek(j);
    if (next != 't' && next != 'f') return fail(j, "expected true or false");
    *value = next == 't';
    return take_word(j, *value ? "true" : "false");
}

/* Skips a value that has no members; luc_json_skip itself handles brackets. */
static bool skip_scalar(luc_json *j, char kind)
{
    bool whole;
    switch (kind) {
    case '"':
        return luc_json_string(j, NULL, NULL);
    case '0':
        return take_number(j, &whole);
    case 't':
        return take_word(j, "true");
    case 'f':
        return take_word(j, "false");
    case 'n':
        return take_word(j, "null");
    default:
        return fail(j, "expected a value");
    }
}

bool luc_json_skip(luc_json *j)
{
    char closing[LUC_JSON_DEPTH]; /* of the brackets that are open */
    int depth = 0;
    bool first = false;
    for (;;) {
        char kind = luc_json_peek(j);
        if (kind == '{' || kind == '[') {
            if (depth == LUC_JSON_DEPTH) return fail(j, "lists and objects are nested too deeply");
            luc_json_open(j, kind);
            closing[depth++] = kind == '{' ? '}' : ']';
            first = true;
        } else if (!skip_scalar(j, kind)) {
            return false;
        }
        while (depth && !luc_json_member(j, closing[depth - 1], &first)) {
            if (j->error) return false;
            depth--;
        }
        if (!depth) return true;
        if (closing[depth - 1] == '}' && !luc_json_name(j, NULL, NULL)) return false;
    }
}
