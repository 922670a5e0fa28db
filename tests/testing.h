/* testing.h: what the tests share, beside Criterion's own assertions. */
#ifndef TESTS_TESTING_H
#define TESTS_TESTING_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "lucid/core/error.h"
#include "lucid/core/tensor.h"

/* The expression raises an error of that code, and the message holds the text. Afterwards no error
 * is pending, and errors return. */
#define EXPECT_ERROR(expression, code, text)                                                  \
    do {                                                                                      \
        lucid_set_error_mode(LUCID_ERRORS_RETURN);                                            \
        lucid_clear_error();                                                                  \
        (void)(expression);                                                                   \
        cr_expect(lucid_error_code() == (code), "%s: expected the error '%s', got '%s' (%s)", \
                  #expression, lucid_code_name(code), lucid_code_name(lucid_error_code()),    \
                  lucid_error());                                                             \
        cr_expect(strstr(lucid_error(), text), "%s: '%s' does not hold '%s'", #expression,    \
                  lucid_error(), text);                                                       \
        lucid_clear_error();                                                                  \
    } while (0)

/* The sizes of a tensor: EXPECT_SHAPE(y, 8, 64, 32, 32). */
#define EXPECT_SHAPE(tensor, ...)                                                         \
    do {                                                                                  \
        char got_[128], expected_[128];                                                   \
        lucid_shape want_ = LUCID_SHAPE(__VA_ARGS__), have_ = lucid_tensor_shape(tensor); \
        cr_expect(lucid_shape_equal(&have_, &want_), "%s: expected %s, got %s", #tensor,  \
                  lucid_shape_format(&want_, expected_, sizeof expected_),                \
                  lucid_shape_format(&have_, got_, sizeof got_));                         \
    } while (0)

/* The elements, row-major, converted to double: EXPECT_VALUES(y, 1e-6, 0, {1, 2, 3}). A value is
 * right within atol + rtol * |expected|; NaN and infinities must be the same. */
#define EXPECT_VALUES(tensor, rtol, atol, ...)                                                    \
    do {                                                                                          \
        const double want_[] = __VA_ARGS__;                                                       \
        testing_expect_values(tensor, want_, sizeof want_ / sizeof want_[0], rtol, atol, #tensor, \
                              __LINE__);                                                          \
    } while (0)

static inline bool testing_close(double got, double expected, double rtol, double atol)
{
    if (isnan(expected)) return isnan(got);
    if (isinf(expected)) return got == expected;
    return fabs(got - expected) <= atol + rtol * fabs(expected);
}

static inline void testing_expect_values(const lucid_tensor *tensor, const double *expected,
                                         size_t count, double rtol, double atol, const char *name,
                                         int line)
{
    cr_assert(tensor, "line %d: %s is NULL: %s", line, name, lucid_error());
    cr_assert(lucid_numel(tensor) == (int64_t)count, "line %d: %s: expected %zu elements, got %lld",
              line, name, count, (long long)lucid_numel(tensor));
    double *got = malloc((count ? count : 1) * sizeof *got);
    cr_assert(got && lucid_to_doubles(tensor, got, count));
    for (size_t i = 0; i < count; i++) {
        cr_expect(testing_close(got[i], expected[i], rtol, atol),
                  "line %d: %s[%zu]: expected %.17g, got %.17g", line, name, i, expected[i],
                  got[i]);
    }
    free(got);
}

#endif
