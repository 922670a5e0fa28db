/* zip_priv.h: ZIP archives: what npz and pth files are. */
#ifndef LUCID_IO_ZIP_PRIV_H
#define LUCID_IO_ZIP_PRIV_H

#include "lucid/core/api.h"
#include "lucid/io/output_priv.h"

/* A file's bytes, as the system maps them. */
typedef struct luc_file_map {
    unsigned char *data; /* may be NULL for an empty file */
    size_t size;
} luc_file_map;
/* Only regular files. A change to the bytes stays in this process. False after an error. */
bool luc_file_map_open(luc_file_map *map, const char *path, const char *op);
void luc_file_map_close(luc_file_map *map);

/* The number in so many bytes, the lowest first; bytes <= 8. */
uint64_t luc_little(const unsigned char *p, int bytes);

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct luc_zip_member {
    char *name; /* owned */
    uint64_t packed, size, local;
    uint32_t crc;
    int method; /* 0: as it is, 8: deflated */
} luc_zip_member;

typedef struct luc_zip {
    const luc_file_map *map; /* borrowed, as the next two are */
    const char *path;
    const char *kind; /* "npz": for messages */
    luc_zip_member *members;
    int64_t n;
    int64_t *by_name; /* their indices, sorted by name; equal names in the order of the file */
    bool unchecked;   /* no member has a checksum: those who write pth files may leave them out */
} luc_zip;

/* Reads the list of contents. False after an error; luc_zip_free may be called in any case. */
bool luc_zip_read(luc_zip *z, const luc_file_map *map, const char *path, const char *kind,
                  const char *op);
void luc_zip_free(luc_zip *z);
/* The first member of that name, or NULL (nothing raised). */
const luc_zip_member *luc_zip_find(const luc_zip *z, const char *name);
/* The bytes of a member that is not compressed, where they are in the file, after its checksum has
 * been compared. *data stays NULL, without an error, for one that is. False after an error. */
bool luc_zip_view(const luc_zip *z, const luc_zip_member *m, const unsigned char **data,
                  const char *op);
/* The bytes of a member, to be freed with luc_free. NULL after an error. */
unsigned char *luc_zip_unpack(const luc_zip *z, const luc_zip_member *m, const char *op);

/* ---- writing --------------------------------------------------------------------------------- */

#define LUC_ZIP_LIMIT 0xffffffffU

/* An archive of members that are not compressed, in the 64-bit form where it is needed. */
typedef struct luc_zip_writer {
    luc_output *out; /* borrowed */
    uint64_t limit;  /* sizes from this one on take the 64-bit form: LUC_ZIP_LIMIT */
    uint64_t at;     /* bytes that are written */
    luc_zip_member *members;
    size_t n, capacity;
} luc_zip_writer;

/* Writes the head of a member of `size` bytes with this CRC-32, padded so that the bytes begin at a
 * multiple of 64; luc_zip_put writes them afterwards. False after an error. */
bool luc_zip_begin(luc_zip_writer *w, const char *name, uint64_t size, uint32_t crc);
bool luc_zip_put(luc_zip_writer *w, const void *data, size_t size);
/* Writes the list of contents. */
bool luc_zip_end(luc_zip_writer *w);
void luc_zip_writer_free(luc_zip_writer *w);

#endif
