/* child.h: runs a function in a process of its own: how it ended, and what it said on stderr. */
#ifndef TESTS_LUCID_CHILD_H
#define TESTS_LUCID_CHILD_H

#include "tests/testing.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct child {
    int status; /* as waitpid gives it */
    char text[4096];
} child;

/* Runs fn in a child process. Its result is the exit status, if it returns. */
static inline child child_run(int (*fn)(void))
{
    child c = {0};
    int ends[2];
    cr_assert(pipe(ends) == 0);
    fflush(NULL);
    pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL); /* as in a user's program, not as in the test runner */
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        _exit(fn());
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n + 1 < sizeof c.text; n += (size_t)got) {
        got = read(ends[0], c.text + n, sizeof c.text - 1 - n);
        if (got <= 0) break;
    }
    close(ends[0]);
    cr_assert(waitpid(pid, &c.status, 0) == pid);
    return c;
}

#endif
