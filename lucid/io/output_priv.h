/* output_priv.h: writing a file so that a crash never costs the one that was there. */
#ifndef LUCID_IO_OUTPUT_PRIV_H
#define LUCID_IO_OUTPUT_PRIV_H

#include "lucid/api.h"

#include <stdio.h>

/* A temporary file beside `path`, which takes its place when everything is written. */
typedef struct luc_output {
    const char *op; /* for messages; borrowed */
    char *path;     /* of the file to replace, symbolic links followed */
    char *temporary;
    FILE *file;
} luc_output;

/* False, with an error raised and nothing left behind, when the file cannot be made. */
bool luc_output_open(luc_output *out, const char *path, const char *op);
/* False, with an error raised, when not all could be written. */
bool luc_output_write(luc_output *out, const void *data, size_t size);
/* Puts the file in place: flush, fsync, rename. `ok` false (or a failure here, which raises an
 * error) removes the temporary file instead and leaves the old one as it was. Returns whether the
 * new file is in place. Call it exactly once after a successful open. */
bool luc_output_close(luc_output *out, bool ok);

#endif
