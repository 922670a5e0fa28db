/* fuzz.h: a file in memory for the readers, which take paths. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lucid/core/error.h"
#include "lucid/core/memory.h"

/* A path that reads as these bytes until fuzz_close. */
static inline int fuzz_open(const uint8_t *data, size_t size, char path[64])
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) abort();
    snprintf(path, 64, "/proc/self/fd/%d", fd);
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    return fd;
}

/* Nothing may be left. `failed`: an error must be pending exactly then. */
static inline void fuzz_close(int fd, int failed)
{
    if (failed != (lucid_error_code() != LUCID_OK)) abort();
    lucid_clear_error();
    close(fd);
    lucid_live_counts live = lucid_live();
    if (live.tensors || live.storages || live.other) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
