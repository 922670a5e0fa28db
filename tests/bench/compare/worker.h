/* worker.h: a process that runs rows: lucid's (this program again) or PyTorch's (rival.py). Both
 * speak the protocol that rival.py describes. */
#ifndef BENCH_WORKER_H
#define BENCH_WORKER_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

typedef struct worker {
    pid_t pid;
    FILE *to, *from;
    char version[64]; /* what it said when it was ready */
} worker;

/* Starts a program (argv, NULL-terminated) and waits until it is ready. False when it cannot
 * run. */
bool worker_start(worker *w, char *const *argv);
void worker_stop(worker *w);
/* One line there and one back; answer is cut to size. False when the worker has died. */
bool worker_ask(worker *w, char *answer, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for an answer that is a number; NAN when it is none. */
double worker_number(worker *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* lucid's side: answers on stdin and stdout until they end. Returns the exit status. */
int worker_main(void);

#endif
