/* default_threads.h: how many threads a program gets if it does not set a number. */
#ifndef LUC_DEFAULT_THREADS_H
#define LUC_DEFAULT_THREADS_H

#include <stddef.h>

/* The number that `text`, the value of OMP_NUM_THREADS, asks for: at most LUC_MAX_THREADS. In a
 * list ("4,2", one number for each level of nesting) the first number counts. 0: text is NULL or
 * empty, or is not a number >= 1. If something is ignored, `message` explains it; otherwise
 * `message` is "". */
int luc_omp_threads(const char *text, char *message, size_t size);

/* The number from OMP_NUM_THREADS, else the number of CPUs that this process may run on, or fewer
 * if its control groups allow fewer. If OMP_NUM_THREADS is not followed, one line on stderr says
 * so. */
int luc_default_threads(void);

#endif
