/* json_write.c: strings and numbers of JSON. */
#include "lucid/io/json_priv.h"
#include "lucid/core/text_priv.h"

#include "lucid/core/format_priv.h"

#include <string.h>

static bool put_escaped(luc_string *out, unsigned char c)
{
    static const char plain[] = "\"\\\b\f\n\r\t", codes[] = "\"\\bfnrt";
    const char *found = strchr(plain, c);
    if (found) return luc_string_printf(out, "\\%c", codes[found - plain]);
    return luc_string_printf(out, "\\u%04x", (unsigned)c);
}

bool luc_json_put_string(luc_string *out, const char *text)
{
    const char *end = text + strlen(text);
    for (const char *p = text; p < end;) {
        size_t n = luc_utf8_size(p, end);
        if (!n) return false;
        p += n;
    }
    bool ok = luc_string_add(out, "\"", 1);
    const char *begin = text; /* of what goes out as it is */
    for (const char *p = text; ok && p < end; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x20 && c != '"' && c != '\\') continue;
        ok = luc_string_add(out, begin, (size_t)(p - begin)) && put_escaped(out, c);
        begin = p + 1;
    }
    return ok && luc_string_add(out, begin, (size_t)(end - begin)) && luc_string_add(out, "\"", 1);
}

bool luc_json_put_number(luc_string *out, double value)
{
    char text[40];
    for (int precision = 15; precision <= 17; precision++) { /* the fewest digits that do */
        luc_snprintf(text, sizeof text, "%.*g", precision, value);
        if (luc_strtod(text, NULL) == value) break;
    }
    return luc_string_printf(out, strpbrk(text, ".e") ? "%s" : "%s.0", text);
}
