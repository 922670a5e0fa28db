/* plain.c: runs tests that were written for Criterion, each in a child process, and prints TAP. See
 * criterion/criterion.h. */
#include "criterion/criterion.h"

#include <fnmatch.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SKIPPED = 77 }; /* the exit status of a child whose test is skipped */

static plain_test *tests;
static atomic_int failures; /* of the test that this child runs */

void plain_add(plain_test *test)
{
    test->next = tests;
    tests = test;
}

static void print_line(const char *format, va_list args)
{
    char text[4096];
    vsnprintf(text, sizeof text, format, args);
    for (char *c = text; *c; c++)
        if (*c == '\n') *c = ' '; /* a line of TAP that begins with # is a comment */
    printf("# %s\n", text);
    fflush(stdout);
}

void plain_log(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(format, args);
    va_end(args);
}

static void report(const char *file, int line, const char *what, const char *format, va_list args)
{
    atomic_fetch_add(&failures, 1);
    plain_log("%s:%d: expected: %s", file, line, what);
    if (*format) print_line(format, args);
}

void plain_fail_soft(const char *file, int line, const char *what, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(file, line, what, format, args);
    va_end(args);
}

void plain_fail_hard(const char *file, int line, const char *what, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(file, line, what, format, args);
    va_end(args);
    _exit(1);
}

void plain_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_line(format, args);
    va_end(args);
    _exit(SKIPPED);
}

static const plain_options *suite_of(const plain_test *test)
{
    static const plain_options none;
    for (const plain_test *t = tests; t; t = t->next)
        if (!t->name && strcmp(t->suite, test->suite) == 0) return &t->options;
    return &none;
}

static void run_in_child(const plain_test *test, const plain_options *suite)
{
    const double timeout = test->options.timeout > 0 ? test->options.timeout : suite->timeout;
    if (timeout > 0) alarm((unsigned)ceil(timeout) * 10); /* sanitizers and emulators are slow */
    if (suite->init) suite->init();
    if (test->options.init) test->options.init();
    test->run();
    if (test->options.fini) test->options.fini();
    if (suite->fini) suite->fini();
    exit(atomic_load(&failures) ? 1 : 0);
}

/* Prints the test's result. Returns whether it failed. */
static bool run(const plain_test *test)
{
    const plain_options *suite = suite_of(test);
    if (test->options.disabled || suite->disabled) {
        printf("ok - %s::%s # SKIP it is disabled\n", test->suite, test->name);
        return false;
    }
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) run_in_child(test, suite);
    int status = -1;
    bool ok = child > 0 && waitpid(child, &status, 0) == child;
    const bool exited = ok && WIFEXITED(status);
    const bool skipped = exited && WEXITSTATUS(status) == SKIPPED;
    ok = exited ? WEXITSTATUS(status) == test->options.exit_code
                : ok && test->options.signal && WTERMSIG(status) == test->options.signal;
    if (!exited && !ok) printf("# ended by signal %d\n", WTERMSIG(status));
    printf("%s - %s::%s%s\n", ok || skipped ? "ok" : "not ok", test->suite, test->name,
           skipped ? " # SKIP see above" : "");
    return !ok && !skipped;
}

/* plain_tests [--filter=SUITE/NAME]: other options, which are Criterion's, are ignored. */
int main(int argc, char **argv)
{
    const char *filter = "*";
    int n = 0, failed = 0;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--filter=", 9) == 0) filter = argv[i] + 9;
    for (const plain_test *t = tests; t; t = t->next) {
        char name[256];
        if (!t->name) continue;
        snprintf(name, sizeof name, "%s/%s", t->suite, t->name);
        if (fnmatch(filter, name, 0) != 0) continue;
        n++;
        failed += run(t);
    }
    printf("1..%d\n", n);
    return failed > 0;
}
