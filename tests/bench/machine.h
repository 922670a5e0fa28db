/* machine.h: what this machine can do at most, measured without lucid: the ground that every other
 * figure stands on. */
#ifndef TESTS_BENCH_MACHINE_H
#define TESTS_BENCH_MACHINE_H

typedef struct machine {
    double flops; /* float32 multiply-adds in registers, 2 operations each, a second; 0: unknown */
    double bytes; /* read and written a second by a copy that leaves the caches */
} machine;

/* The best of several short measurements with so many threads (a second or so). */
machine machine_measure(int threads);

#endif
