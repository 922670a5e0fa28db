/* criterion.h: the part of Criterion's interface that the tests use, for builds in which Criterion
 * itself cannot run: ThreadSanitizer forbids the addresses where it maps memory, and cross builds
 * seldom have it. The Meson option -Dtest_runner=plain chooses it; plain.c runs the tests. */
#ifndef TESTS_PLAIN_CRITERION_H
#define TESTS_PLAIN_CRITERION_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The options of Test and TestSuite. A test takes what it does not set from its suite. */
typedef struct plain_options {
    void (*init)(void), (*fini)(void);
    double timeout; /* seconds; 0: as long as it takes */
    int signal, exit_code;
    bool disabled;
} plain_options;

typedef struct plain_test {
    const char *suite, *name; /* name is NULL for the options of a suite */
    void (*run)(void);
    plain_options options;
    struct plain_test *next;
} plain_test;

/* Adds a test to the list that main runs. */
void plain_add(plain_test *test);

/* Report a failed check. The second one ends the test. */
void plain_fail_soft(const char *file, int line, const char *what, const char *format, ...);
_Noreturn void plain_fail_hard(const char *file, int line, const char *what, const char *format,
                               ...);
_Noreturn void plain_skip(const char *format, ...);
void plain_log(const char *format, ...);

#define PLAIN_ADD(id, suite_, name_, run_, ...)                                                \
    static plain_test plain_##id = {                                                           \
        .suite = suite_, .name = name_, .run = run_, .options = {.signal = 0, ##__VA_ARGS__}}; \
    __attribute__((constructor)) static void plain_add_##id(void)                              \
    {                                                                                          \
        plain_add(&plain_##id);                                                                \
    }

#define TestSuite(suite, ...)                           \
    PLAIN_ADD(suite, #suite, NULL, NULL, ##__VA_ARGS__) \
    struct plain_suite_##suite /* takes the semicolon */
#define Test(suite, name, ...)                                                     \
    static void suite##_##name##_impl(void);                                       \
    PLAIN_ADD(suite##_##name, #suite, #name, suite##_##name##_impl, ##__VA_ARGS__) \
    static void suite##_##name##_impl(void)

/* kind is soft, or hard, which ends the test. */
#define PLAIN_CHECK(kind, condition, what, ...) \
    ((condition) ? (void)0 : plain_fail_##kind(__FILE__, __LINE__, what, "" __VA_ARGS__))
#define PLAIN_COMPARE(kind, a, operator, b, ...) \
    PLAIN_CHECK(kind, (a) operator(b), #a " " #operator" " #b, ##__VA_ARGS__)
#define PLAIN_SAME_TEXT(kind, a, b, ...) \
    PLAIN_CHECK(kind, !strcmp(a, b), #a " = " #b, ##__VA_ARGS__)
#define PLAIN_NEAR(kind, a, b, eps, ...) \
    PLAIN_CHECK(kind, (a) - (b) <= (eps) && (b) - (a) <= (eps), #a " is near " #b, ##__VA_ARGS__)

#define cr_expect(condition, ...) PLAIN_CHECK(soft, !!(condition), #condition, ##__VA_ARGS__)
#define cr_assert(condition, ...) PLAIN_CHECK(hard, !!(condition), #condition, ##__VA_ARGS__)
#define cr_expect_not(condition, ...) \
    PLAIN_CHECK(soft, !(condition), "! " #condition, ##__VA_ARGS__)
#define cr_assert_not(condition, ...) \
    PLAIN_CHECK(hard, !(condition), "! " #condition, ##__VA_ARGS__)
#define cr_expect_eq(a, b, ...)            PLAIN_COMPARE(soft, a, ==, b, ##__VA_ARGS__)
#define cr_assert_eq(a, b, ...)            PLAIN_COMPARE(hard, a, ==, b, ##__VA_ARGS__)
#define cr_expect_neq(a, b, ...)           PLAIN_COMPARE(soft, a, !=, b, ##__VA_ARGS__)
#define cr_assert_neq(a, b, ...)           PLAIN_COMPARE(hard, a, !=, b, ##__VA_ARGS__)
#define cr_expect_lt(a, b, ...)            PLAIN_COMPARE(soft, a, <, b, ##__VA_ARGS__)
#define cr_assert_lt(a, b, ...)            PLAIN_COMPARE(hard, a, <, b, ##__VA_ARGS__)
#define cr_expect_leq(a, b, ...)           PLAIN_COMPARE(soft, a, <=, b, ##__VA_ARGS__)
#define cr_assert_leq(a, b, ...)           PLAIN_COMPARE(hard, a, <=, b, ##__VA_ARGS__)
#define cr_expect_gt(a, b, ...)            PLAIN_COMPARE(soft, a, >, b, ##__VA_ARGS__)
#define cr_assert_gt(a, b, ...)            PLAIN_COMPARE(hard, a, >, b, ##__VA_ARGS__)
#define cr_expect_geq(a, b, ...)           PLAIN_COMPARE(soft, a, >=, b, ##__VA_ARGS__)
#define cr_assert_geq(a, b, ...)           PLAIN_COMPARE(hard, a, >=, b, ##__VA_ARGS__)
#define cr_expect_null(a, ...)             PLAIN_COMPARE(soft, a, ==, NULL, ##__VA_ARGS__)
#define cr_assert_null(a, ...)             PLAIN_COMPARE(hard, a, ==, NULL, ##__VA_ARGS__)
#define cr_expect_not_null(a, ...)         PLAIN_COMPARE(soft, a, !=, NULL, ##__VA_ARGS__)
#define cr_assert_not_null(a, ...)         PLAIN_COMPARE(hard, a, !=, NULL, ##__VA_ARGS__)
#define cr_expect_str_eq(a, b, ...)        PLAIN_SAME_TEXT(soft, a, b, ##__VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)        PLAIN_SAME_TEXT(hard, a, b, ##__VA_ARGS__)
#define cr_expect_float_eq(a, b, eps, ...) PLAIN_NEAR(soft, a, b, eps, ##__VA_ARGS__)
#define cr_assert_float_eq(a, b, eps, ...) PLAIN_NEAR(hard, a, b, eps, ##__VA_ARGS__)
#define cr_expect_arr_eq(a, b, size, ...) \
    PLAIN_CHECK(soft, !memcmp(a, b, size), #a " is " #b, ##__VA_ARGS__)
#define cr_assert_fail(...) PLAIN_CHECK(hard, false, "never reached", ##__VA_ARGS__)
#define cr_skip_test(...)   plain_skip("" __VA_ARGS__)
#define cr_log_error(...)   plain_log(__VA_ARGS__)
#define cr_log_info(...)    plain_log(__VA_ARGS__)

#endif
