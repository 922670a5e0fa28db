/* input_priv.h: reading a file that may be gzip-compressed. */
#ifndef LUCID_IO_INPUT_PRIV_H
#define LUCID_IO_INPUT_PRIV_H

#include "lucid/core/api.h"
#include "lucid/io/sha256_priv.h"

#include <zlib.h>

/* A regular file, plain or gzip (told by its first bytes, not by its name). */
typedef struct luc_input {
    const char *op, *path; /* for messages; borrowed */
    int fd;
    bool gz, member_ended;
    int64_t file_size;
    z_stream z;
    unsigned char *buffer;
    luc_sha256 *sum; /* NULL, or what the content is added to */
} luc_input;

/* False, with an error raised, when the file cannot be opened or is no regular file. In any case
 * luc_input_close may be called. */
bool luc_input_open(luc_input *in, const char *path, const char *op, luc_sha256 *sum);
/* Reads size bytes of content, fewer at the end only. False, with an error raised, when the file
 * cannot be read or its compressed form is damaged. */
bool luc_input_read(luc_input *in, void *data, size_t size, size_t *got);
/* The most bytes of content that can follow, so that what a header promises can be checked before
 * memory is allocated for it. */
uint64_t luc_input_bound(const luc_input *in);
void luc_input_close(luc_input *in);

#endif
