/* zip.c: reading ZIP archives. */
#include "lucid/io/zip_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* Sizes of the archive's fixed parts. */
enum { LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56 };

uint64_t luc_little(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static bool damaged(const luc_zip *z, const char *op, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, op, "%s: is a damaged %s file: %s", z->path, z->kind, what);
}

/* ---- the list of contents -------------------------------------------------------------------- */

/* Where the list begins and how many members it has. */
typedef struct contents {
    uint64_t at, size, n;
} contents;

/* The end of the archive: the last 22 bytes, before a comment of up to 64 KiB. */
static bool find_contents(const luc_zip *z, contents *c, const char *op)
{
    const unsigned char *p = z->map->data;
    const size_t size = z->map->size;
    if (size < END) return damaged(z, op, "it is cut off, or no such file");
    size_t at = size - END;
    for (size_t tries = 0; memcmp(p + at, "PK\5\6", 4) != 0; tries++, at--)
        if (tries == 65535 || at == 0)
            return damaged(z, op, "it has no end, is cut off, or no such file");
    c->n = luc_little(p + at + 10, 2);
    c->size = luc_little(p + at + 12, 4);
    c->at = luc_little(p + at + 16, 4);
    if (at >= LOCATOR && memcmp(p + at - LOCATOR, "PK\6\7", 4) == 0) {
        const uint64_t end64 = luc_little(p + at - LOCATOR + 8, 8);
        if (end64 > size || size - end64 < END64 || memcmp(p + end64, "PK\6\6", 4) != 0)
            return damaged(z, op, "its 64-bit end is not where it should be");
        c->n = luc_little(p + end64 + 32, 8);
        c->size = luc_little(p + end64 + 40, 8);
        c->at = luc_little(p + end64 + 48, 8);
    }
    return (c->at <= size && c->size <= size - c->at && c->n <= c->size / CENTRAL) ||
           damaged(z, op, "its list of contents does not fit in the file");
}

/* Sizes that do not fit in 32 bits stand in an extra field, those that are needed, in this
 * order. */
static bool read_extra(const luc_zip *z, luc_zip_member *m, const unsigned char *extra,
                       size_t length, const char *op)
{
    while (length >= 4) {
        const size_t n = (size_t)luc_little(extra + 2, 2);
        if (n > length - 4) break;
        if (luc_little(extra, 2) == 1) {
            uint64_t *wide[] = {&m->size, &m->packed, &m->local};
            const unsigned char *at = extra + 4, *end = at + n;
            for (int i = 0; i < 3; i++) {
                if (*wide[i] != 0xffffffff) continue;
                if (end - at < 8) return damaged(z, op, "a 64-bit size is missing");
                *wide[i] = luc_little(at, 8);
                at += 8;
            }
        }
        extra += 4 + n;
        length -= 4 + n;
    }
    return true;
}

/* Reads one entry of the list; *used is its length. */
static bool read_entry(const luc_zip *z, luc_zip_member *m, const unsigned char *p, uint64_t left,
                       uint64_t *used, const char *op)
{
    if (left < CENTRAL || memcmp(p, "PK\1\2", 4) != 0)
        return damaged(z, op, "its list of contents is broken off");
    const size_t name = (size_t)luc_little(p + 28, 2), extra = (size_t)luc_little(p + 30, 2);
    *used = CENTRAL + name + extra + luc_little(p + 32, 2);
    if (*used > left) return damaged(z, op, "its list of contents is broken off");
    *m = (luc_zip_member){.packed = luc_little(p + 20, 4),
                          .size = luc_little(p + 24, 4),
                          .local = luc_little(p + 42, 4),
                          .crc = (uint32_t)luc_little(p + 16, 4),
                          .method = (int)luc_little(p + 10, 2)};
    if (luc_little(p + 8, 2) & 1)
        return luc_raise(LUCID_ERR_UNSUPPORTED, op, "%s: is encrypted", z->path);
    m->name = luc_alloc(name + 1, op);
    if (!m->name) return false;
    memcpy(m->name, p + CENTRAL, name);
    m->name[name] = 0;
    if (memchr(p + CENTRAL, 0, name)) return damaged(z, op, "a name holds a 0");
    return read_extra(z, m, p + CENTRAL + name, extra, op);
}

static bool read_contents(luc_zip *z, const char *op)
{
    contents c = {0};
    if (!find_contents(z, &c, op)) return false;
    z->members = luc_calloc((size_t)c.n, sizeof *z->members, op);
    if (!z->members) return false;
    z->unchecked = true;
    const unsigned char *p = z->map->data + c.at;
    for (uint64_t used = 0; (uint64_t)z->n < c.n; p += used, c.size -= used) {
        luc_zip_member *m = &z->members[z->n++]; /* counted at once, so that its name is freed */
        if (!read_entry(z, m, p, c.size, &used, op)) return false;
        if (m->crc) z->unchecked = false;
    }
    return true;
}

static int compare_names(const void *a, const void *b, void *members)
{
    const int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    const luc_zip_member *m = members;
    const int order = strcmp(m[i].name, m[j].name);
    return order ? order : (i > j) - (i < j);
}

bool luc_zip_read(luc_zip *z, const luc_file_map *map, const char *path, const char *kind,
                  const char *op)
{
    *z = (luc_zip){.map = map, .path = path, .kind = kind};
    if (!read_contents(z, op)) return false;
    z->by_name = luc_calloc((size_t)z->n, sizeof *z->by_name, op);
    if (!z->by_name) return false;
    for (int64_t i = 0; i < z->n; i++) z->by_name[i] = i;
    qsort_r(z->by_name, (size_t)z->n, sizeof *z->by_name, compare_names, z->members);
    return true;
}

void luc_zip_free(luc_zip *z)
{
    for (int64_t i = 0; i < z->n; i++) luc_free(z->members[i].name);
    luc_free(z->members);
    luc_free(z->by_name);
    *z = (luc_zip){0};
}

const luc_zip_member *luc_zip_find(const luc_zip *z, const char *name)
{
    int64_t low = 0, high = z->n; /* the first that is not before name */
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (strcmp(z->members[z->by_name[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const luc_zip_member *m = low < z->n ? &z->members[z->by_name[low]] : NULL;
    return m && strcmp(m->name, name) == 0 ? m : NULL;
}

/* ---- members -------------------------------------------------------------------------------- */

/* The member's bytes in the file. */
static const unsigned char *find_data(const luc_zip *z, const luc_zip_member *m, const char *op)
{
    const unsigned char *p = z->map->data;
    const uint64_t size = z->map->size;
    if (m->local > size || size - m->local < LOCAL || memcmp(p + m->local, "PK\3\4", 4) != 0) {
        damaged(z, op, "a member is not where the list says");
        return NULL;
    }
    const uint64_t at =
        m->local + LOCAL + luc_little(p + m->local + 26, 2) + luc_little(p + m->local + 28, 2);
    if (at <= size && m->packed <= size - at) return p + at;
    damaged(z, op, "a member is cut off");
    return NULL;
}

/* Unpacks exactly m->size bytes. */
static bool inflate_all(const luc_zip *z, const luc_zip_member *m, const unsigned char *from,
                        unsigned char *to, const char *op)
{
    z_stream s = {0};
    if (inflateInit2(&s, -15) != Z_OK)
        return luc_raise(LUCID_ERR_MEMORY, op, "%s: zlib cannot be started", z->path);
    uint64_t in = m->packed, out = m->size;
    int result = Z_OK;
    s.next_in = (unsigned char *)(uintptr_t)from; /* it only reads */
    s.next_out = to;
    while (result == Z_OK) {
        const unsigned most = 1U << 30;
        s.avail_in = in < most ? (unsigned)in : most;
        s.avail_out = out < most ? (unsigned)out : most;
        const unsigned a = s.avail_in, b = s.avail_out;
        result = inflate(&s, Z_NO_FLUSH);
        in -= a - s.avail_in;
        out -= b - s.avail_out;
        if (result == Z_OK && a == s.avail_in && b == s.avail_out) break;
    }
    inflateEnd(&s);
    if (result == Z_MEM_ERROR) return luc_raise(LUCID_ERR_MEMORY, op, "%s: no memory", z->path);
    return (result == Z_STREAM_END && in == 0 && out == 0) ||
           damaged(z, op, "a member cannot be unpacked to its size");
}

static bool is_right(const luc_zip *z, const luc_zip_member *m, const unsigned char *bytes,
                     const char *op)
{
    return z->unchecked || crc32_z(0, bytes, (size_t)m->size) == m->crc ||
           damaged(z, op, "the checksum of a member is wrong");
}

bool luc_zip_view(const luc_zip *z, const luc_zip_member *m, const unsigned char **data,
                  const char *op)
{
    *data = NULL;
    if (m->method != 0) return true;
    const unsigned char *p = find_data(z, m, op);
    if (!p) return false;
    if (m->size != m->packed)
        return damaged(z, op, "a member promises more bytes than it can hold");
    if (!is_right(z, m, p, op)) return false;
    *data = p;
    return true;
}

unsigned char *luc_zip_unpack(const luc_zip *z, const luc_zip_member *m, const char *op)
{
    const unsigned char *from = find_data(z, m, op);
    if (!from) return NULL;
    if (m->method != 0 && m->method != 8)
        return luc_raise_null(LUCID_ERR_UNSUPPORTED, op,
                              "%s: %s: expected compression 0 or 8 (deflate), got %d", z->path,
                              m->name, m->method);
    /* Deflate makes at most 1032 bytes of one. */
    const bool fits = m->method ? m->size / 1032 <= m->packed : m->size == m->packed;
    if (!fits) {
        damaged(z, op, "a member promises more bytes than it can hold");
        return NULL;
    }
    unsigned char *bytes = luc_alloc((size_t)m->size, op);
    if (!bytes) return NULL;
    bool ok = true;
    if (m->method)
        ok = inflate_all(z, m, from, bytes, op);
    else if (m->size)
        memcpy(bytes, from, (size_t)m->size);
    if (ok && is_right(z, m, bytes, op)) return bytes;
    luc_free(bytes);
    return NULL;
}
