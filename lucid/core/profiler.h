/* profiler.h: where the time of a program goes, operator by operator.
 *
 *     {
 *         LUCID_PROFILE;                        // until the closing brace
 *         for (int i = 0; i < 20; i++) train_step(net, batch);
 *     }
 *     lucid_profiler_print(stdout, false);
 *
 * Every operator that is applied is recorded, in forward and in backward, in all threads, and so is
 * each optimizer step. Time is the thread's wall-clock time. On devices that work in the background
 * it is the time that starting the work takes. A profiled operator costs about a microsecond more;
 * where nothing is profiled, it costs a predictable branch. See docs/performance.md.
 *
 * All functions are thread-safe. lucid_profiler_print and lucid_profiler_write_trace show the
 * record as it was at one moment, also while other threads record, restart or reset. */
#ifndef LUCID_PROFILER_H
#define LUCID_PROFILER_H

#include "options.h"

#include <stdio.h>

LUCID_BEGIN_DECLS

typedef struct lucid_profiler_options {
    LUCID_OPTIONS_SIZE(lucid_profiler_options);
    /* Also keep every single call, for lucid_profiler_write_trace: 24 bytes each. */
    bool trace LUCID_DEFAULT(false);
} lucid_profiler_options;
LUCID_DEFAULTS(lucid_profiler, .trace = false);

/* Forgets what was recorded before and records from here on. NULL options: the defaults. False,
 * with an error, where it already records. */
LUCID_API bool lucid_profiler_start_opt(const lucid_profiler_options *options);
/* Ends recording; what was recorded stays. Nothing happens where it does not record. */
LUCID_API void lucid_profiler_stop(void);
/* Forgets what was recorded and gives its memory back. Recording, if on, ends. */
LUCID_API void lucid_profiler_reset(void);

/* What one operator did in one module. */
typedef struct lucid_profile_entry {
    const char *op; /* "conv2d"; borrowed until the next start or reset, by any thread, as is the
                         * next */
    const char *module; /* "net.layer1.0.conv1": whose forward applied it; "" outside of any */
    bool backward; /* in lucid_backward: the whole backward of an operator, under its name, or one
                         * of the operators in it */
    int64_t count;
    double seconds; /* in it */
    double self;    /* in it, but not in operators that it applied itself */
    double bytes;   /* sizes of inputs and outputs: what it must read and write at least */
    double flops;   /* additions and multiplications, where the operator tells (op.h); else 0 */
} lucid_profile_entry;

/* How many entries there are, and entry i, in order of first use. False (nothing raised) where
 * there is no entry i. */
LUCID_API size_t lucid_profiler_size(void);
LUCID_API bool lucid_profiler_at(size_t i, lucid_profile_entry *entry);

/* Prints a table with the largest self time first: one line for each operator or, by_module, for
 * each operator in each module. False after an error. */
LUCID_API bool lucid_profiler_print(FILE *file, bool by_module);
/* Writes every call to a file for chrome://tracing or ui.perfetto.dev. It replaces the file at
 * `path` when it has been written and read back. False after an error: if recording began without
 * .trace, if the file cannot be written (LUCID_ERR_IO, with the system's reason), and while an
 * error is pending. */
LUCID_API bool lucid_profiler_write_trace(const char *path);

LUCID_API void lucid_profiler_cleanup(bool *started);

/* lucid_profiler_start(.trace = true) */
#define lucid_profiler_start(...) LUCID_CALL0(lucid_profiler_start_opt, lucid_profiler, __VA_ARGS__)
/* A declaration: records until the closing brace. */
#define LUCID_PROFILE                                                        \
    __attribute__((cleanup(lucid_profiler_cleanup), unused)) bool LUCID_CAT( \
        lucid_profile_, __COUNTER__) = lucid_profiler_start_opt(NULL)

LUCID_END_DECLS
#endif
