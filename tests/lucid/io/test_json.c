/* The cursor over JSON text, and strings and numbers as JSON. */
#include "tests/testing.h"

#include "lucid/io/json_priv.h"
#include "lucid/core/memory_priv.h"

#include <float.h>
#include <stdio.h>

static bool skips(const char *text, size_t size)
{
    luc_json j = luc_json_begin(text, size);
    luc_json_skip(&j);
    return luc_json_finish(&j);
}

static const char *const right[] = {"0",
                                    "-0",
                                    "-1.5e+10",
                                    "0.1E-3",
                                    "true",
                                    "false",
                                    "null",
                                    "\"\"",
                                    "[]",
                                    "{}",
                                    " [ ] ",
                                    "[1]",
                                    "[1,[2,{\"a\":[]}],\"x\"]",
                                    "{\"a\":1,\"b\":{\"c\":null}}",
                                    "\t\n\r 1 \t\n\r",
                                    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\\ud83d\\ude00\"",
                                    "\"\x7f\"",
                                    "\"\xf0\x9f\x98\x80\"",
                                    "{\"a\":1,\"a\":2}"};

static const char *const wrong[] = {"",
                                    " ",
                                    "01",
                                    "-",
                                    "+1",
                                    ".5",
                                    "1.",
                                    "1e",
                                    "1e+",
                                    "0x1",
                                    "NaN",
                                    "Infinity",
                                    "tru",
                                    "nul",
                                    "True",
                                    "'a'",
                                    "\"",
                                    "\"a",
                                    "\"\\",
                                    "\"\\x\"",
                                    "\"\\u12\"",
                                    "\"\\u12g4\"",
                                    "\"\\ud800\"",
                                    "\"\\udc00\"",
                                    "\"\\ud800\\u0041\"",
                                    "\"\\u0000\"",
                                    "\"\n\"",
                                    "\"\x1f\"",
                                    "\"\xff\"",
                                    "\"\xc0\x80\"",
                                    "\"\xed\xa0\x80\"",
                                    "\"\xf4\x90\x80\x80\"",
                                    "\"\xe2\x82\"",
                                    "[",
                                    "]",
                                    "[1",
                                    "[1,",
                                    "[1,]",
                                    "[,1]",
                                    "[1 2]",
                                    "{",
                                    "{\"a\"",
                                    "{\"a\":",
                                    "{\"a\":1",
                                    "{\"a\":1,",
                                    "{\"a\":1,}",
                                    "{a:1}",
                                    "{1:1}",
                                    "{\"a\" 1}",
                                    "{,}",
                                    "[}",
                                    "{]",
                                    "1 2",
                                    "{}x",
                                    "[1]]",
                                    "/**/1",
                                    ("\xef\xbb\xbf"
                                     "1")};

Test(json, what_is_json)
{
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        cr_expect(skips(right[i], strlen(right[i])), "%s", right[i]);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        cr_expect(!skips(wrong[i], strlen(wrong[i])), "%s", wrong[i]);
    cr_expect(!skips("1\0", 2) && !skips("\"\0\"", 3), "NULs are no spaces and no text");
}

/* The cursor never reads past its end: it lies at the end of the memory that may be read (under
 * AddressSanitizer), and every beginning of a text is tried. */
Test(json, every_beginning_of_a_text)
{
    static const char text[] =
        "{\"a\\u00e4\\ud83d\\ude00\xc3\xa4\":[1,-2.5e+3,true,false,null,{}]}";
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n ? n : 1);
        memcpy(copy, text, n);
        cr_expect_eq(skips(copy, n), n == sizeof text - 1, "%zu", n);
        free(copy);
    }
}

Test(json, depth_is_bounded)
{
    char text[400] = "";
    for (int n = 1; n < 200; n++) {
        memset(text, '[', (size_t)n);
        memset(text + n, ']', (size_t)n);
        cr_expect_eq(skips(text, 2 * (size_t)n), n <= LUC_JSON_DEPTH, "%d", n);
    }
}

Test(json, errors_say_what_and_where)
{
    luc_json j = luc_json_begin("{\"a\" 1}", 7);
    bool first = true;
    cr_expect(luc_json_open(&j, '{') && luc_json_member(&j, '}', &first));
    cr_expect(!luc_json_name(&j, NULL, NULL));
    cr_expect_str_eq(j.error, "expected ':'");
    cr_expect_eq(j.error_at, 5);
    cr_expect(!luc_json_member(&j, '}', &first) && !luc_json_finish(&j));
    cr_expect_str_eq(j.error, "expected ':'");
    j = luc_json_begin("[1", 2);
    luc_json_skip(&j);
    cr_expect_str_eq(j.error, "the text ends early");
}

Test(json, numbers)
{
    static const struct {
        const char *text;
        bool fits;
        int64_t value;
    } whole[] = {{"0", true, 0},
                 {"-0", true, 0},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"18446744073709551616", false, 0},
                 {"1.0", false, 0},
                 {"1e3", false, 0},
                 {"\"1\"", false, 0}};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        luc_json j = luc_json_begin(whole[i].text, strlen(whole[i].text));
        int64_t value = -7;
        bool fits = luc_json_integer(&j, &value) && luc_json_finish(&j);
        cr_expect(fits == whole[i].fits && (!fits || value == whole[i].value), "%s: %d %lld",
                  whole[i].text, fits, (long long)value);
    }
    luc_json j = luc_json_begin("0x10", 4); /* strtod would read 16 */
    double value;
    cr_expect(luc_json_number(&j, &value) && value == 0 && !luc_json_finish(&j));
}

static void round_trip(double value)
{
    luc_string s = {0};
    cr_assert(luc_json_put_number(&s, value));
    luc_json j = luc_json_begin(s.s, s.length);
    double back = 0;
    cr_expect(luc_json_number(&j, &back) && luc_json_finish(&j) &&
                  memcmp(&back, &value, sizeof back) == 0,
              "%.17g became %s", value, s.s);
    luc_string_free(&s);
}

Test(json, every_number_reads_back)
{
    const double values[] = {
        0,      -0.0,          0.1,   1,   -1, 1e-5, 1e22, 1.0 / 3, DBL_MAX, DBL_MIN, DBL_TRUE_MIN,
        5e-324, 123456789.123, 1e300, 0.05};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) round_trip(values[i]);
    uint64_t bits = 1;
    for (int i = 0; i < 20000; i++) {
        bits = bits * 6364136223846793005u + 1442695040888963407u;
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) round_trip(value);
    }
    luc_string s = {0};
    luc_json_put_number(&s, 1);
    luc_json_put_number(&s, 0.05);
    cr_expect_str_eq(s.s, "1.00.05");
    luc_string_free(&s);
}

Test(json, strings_read_back)
{
    static const char text[] = "a\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80";
    luc_string s = {0};
    cr_assert(luc_json_put_string(&s, text));
    char back[sizeof text * 6];
    size_t length;
    luc_json j = luc_json_begin(s.s, s.length);
    cr_expect(luc_json_string(&j, back, &length) && luc_json_finish(&j));
    cr_expect_str_eq(back, text);
    cr_expect_eq(length, sizeof text - 1);
    size_t before = s.length;
    cr_expect(!luc_json_put_string(&s, "\xff") && s.length == before && !s.failed);
    luc_string_free(&s);
}
