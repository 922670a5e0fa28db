/* output_priv.h: writing a file so that a crash never destroys an older file of that name.
 *
 *     luc_output out;
 *     if (!luc_output_open(&out, path, op)) return false;
 *     bool ok = luc_output_write(&out, data, size) && luc_output_check(&out) && right(out.fd);
 *     return luc_output_close(&out, ok);
 *
 * The file is written beside `path` under a temporary name, read back, and renamed. A process
 * that is killed leaves that temporary file, locked no longer: the next luc_output_open in the same
 * folder removes it (leftovers.c). */
#ifndef LUCID_IO_OUTPUT_PRIV_H
#define LUCID_IO_OUTPUT_PRIV_H

#include "lucid/core/api.h"
#include "lucid/io/leftovers_priv.h"

#include <sys/stat.h>

/* A checksum of bytes that come in pieces of any sizes: Fletcher's, over words of 8 bytes. It takes
 * a small part of the time of writing, which a CRC does not. */
typedef struct luc_checksum {
    uint64_t size, first, second, word;
} luc_checksum;

typedef struct luc_output {
    const char *op;   /* for messages; borrowed */
    char *path;       /* of the file to replace, symbolic links followed */
    const char *name; /* its last part */
    char temporary[LUC_LEFTOVER_SIZE];
    int folder, fd; /* fd: the temporary file, locked */
    bool replaces;
    struct stat old; /* what is replaced */
    char *buffer;
    size_t used;
    luc_checksum written;
} luc_output;

/* Returns false, with an error raised and no file left, if the file cannot be made, or if the one
 * to replace is write-protected. */
bool luc_output_open(luc_output *out, const char *path, const char *op);
/* Returns false, with an error raised, if not all could be written. */
bool luc_output_write(luc_output *out, const void *data, size_t size);
/* Writes as printf does in C's locale, whatever locale the program has set. */
bool luc_output_printf(luc_output *out, const char *fmt, ...) LUCID_PRINTF(2, 3);
/* Forces everything to the disk, reads it back and compares size and checksum. Afterwards the
 * format's own check may read out->fd (pread, mmap). */
bool luc_output_check(luc_output *out);
/* Renames the file to its final name. `ok` false (or a failure here, which raises an error) removes
 * the temporary file instead and leaves the old one as it was. Returns whether the new file is in
 * place. Call it exactly once after a successful open, with true only after luc_output_check. */
bool luc_output_close(luc_output *out, bool ok);

#endif
