/* settings.h: settings that a program may change while kernels run, fixed for the length of one
 * call.
 *
 * A kernel and the size of its workspace depend on the number of threads, on the CPU level, and on
 * whether Winograd's transform is allowed. Another thread of the program may change each of them at
 * any time. So a call begins with a copy of all three. Until the call ends, its thread uses that
 * copy, and so do the helpers that work for it: luc_num_threads, luc_cpu_current and the
 * convolutions look here first. */
#ifndef LUC_SETTINGS_H
#define LUC_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

/* One word, so that it goes through a backend's call_begin and call_end. */
typedef union luc_settings {
    struct {
        bool fixed; /* false: no call is under way, and the others mean nothing */
        bool winograd;
        uint8_t level; /* luc_cpu_level */
        uint16_t threads;
    };
    uint64_t word;
} luc_settings;

/* This thread's. */
extern _Thread_local luc_settings luc_call_settings
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Fixes the present settings. Returns what was fixed before, for luc_settings_end. */
uint64_t luc_settings_begin(void);
void luc_settings_end(uint64_t before);

#endif
