/* npz.c: several NumPy arrays in one file, which is a ZIP archive of npy files. */
#include "lucid/core/error_priv.h"
#include "lucid/io/npy.h"
#include "lucid/io/npy_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/scope.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

/* Sizes of the archive's fixed parts. */
enum { LOCAL = 30, CENTRAL = 46, END = 22, LOCATOR = 20, END64 = 56 };

typedef struct member {
    char *name; /* owned; without ".npy" */
    uint64_t packed, size, local;
    uint32_t crc;
    int method; /* 0: as it is, 8: deflated */
} member;

struct lucid_npz {
    char *path;
    luc_file_map map;
    member *members;
    int64_t n;
};

static const char op_open[] = "npz_open";

static uint64_t little(const unsigned char *p, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static bool damaged(const lucid_npz *z, const char *op, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, op, "%s: is a damaged npz file: %s", z->path, what);
}

/* ---- the list of contents -------------------------------------------------------------------- */

/* Where the list begins and how many members it has. */
typedef struct contents {
    uint64_t at, size, n;
} contents;

/* The end of the archive: the last 22 bytes, before a comment of up to 64 KiB. */
static bool find_contents(const lucid_npz *z, contents *c)
{
    const unsigned char *p = z->map.data;
    const size_t size = z->map.size;
    if (size < END) return damaged(z, op_open, "it is cut off, or no npz file");
    size_t at = size - END;
    for (size_t tries = 0; memcmp(p + at, "PK\5\6", 4) != 0; tries++, at--)
        if (tries == 65535 || at == 0)
            return damaged(z, op_open, "it has no end, is cut off, or no npz file");
    c->n = little(p + at + 10, 2);
    c->size = little(p + at + 12, 4);
    c->at = little(p + at + 16, 4);
    if (at >= LOCATOR && memcmp(p + at - LOCATOR, "PK\6\7", 4) == 0) {
        const uint64_t end64 = little(p + at - LOCATOR + 8, 8);
        if (end64 > size || size - end64 < END64 || memcmp(p + end64, "PK\6\6", 4) != 0)
            return damaged(z, op_open, "its 64-bit end is not where it should be");
        c->n = little(p + end64 + 32, 8);
        c->size = little(p + end64 + 40, 8);
        c->at = little(p + end64 + 48, 8);
    }
    return (c->at <= size && c->size <= size - c->at && c->n <= c->size / CENTRAL) ||
           damaged(z, op_open, "its list of contents does not fit in the file");
}

/* Sizes that do not fit in 32 bits stand in an extra field, those that are needed, in this
 * order. */
static bool read_extra(const lucid_npz *z, member *m, const unsigned char *extra, size_t length)
{
    while (length >= 4) {
        const size_t n = (size_t)little(extra + 2, 2);
        if (n > length - 4) break;
        if (little(extra, 2) == 1) {
            uint64_t *wide[] = {&m->size, &m->packed, &m->local};
            const unsigned char *at = extra + 4, *end = at + n;
            for (int i = 0; i < 3; i++) {
                if (*wide[i] != 0xffffffff) continue;
                if (end - at < 8) return damaged(z, op_open, "a 64-bit size is missing");
                *wide[i] = little(at, 8);
                at += 8;
            }
        }
        extra += 4 + n;
        length -= 4 + n;
    }
    return true;
}

/* Reads one entry of the list; *used is its length. */
static bool read_entry(const lucid_npz *z, member *m, const unsigned char *p, uint64_t left,
                       uint64_t *used)
{
    if (left < CENTRAL || memcmp(p, "PK\1\2", 4) != 0)
        return damaged(z, op_open, "its list of contents is broken off");
    const size_t name = (size_t)little(p + 28, 2), extra = (size_t)little(p + 30, 2);
    *used = CENTRAL + name + extra + little(p + 32, 2);
    if (*used > left) return damaged(z, op_open, "its list of contents is broken off");
    *m = (member){.packed = little(p + 20, 4),
                  .size = little(p + 24, 4),
                  .local = little(p + 42, 4),
                  .crc = (uint32_t)little(p + 16, 4),
                  .method = (int)little(p + 10, 2)};
    if (little(p + 8, 2) & 1)
        return luc_raise(LUCID_ERR_UNSUPPORTED, op_open, "%s: is encrypted", z->path);
    size_t length = name;
    if (length > 4 && memcmp(p + CENTRAL + length - 4, ".npy", 4) == 0) length -= 4;
    m->name = luc_alloc(length + 1, op_open);
    if (!m->name) return false;
    memcpy(m->name, p + CENTRAL, length);
    m->name[length] = 0;
    if (memchr(p + CENTRAL, 0, length)) return damaged(z, op_open, "a name holds a 0");
    return read_extra(z, m, p + CENTRAL + name, extra);
}

static bool read_contents(lucid_npz *z)
{
    contents c = {0};
    if (!find_contents(z, &c)) return false;
    z->members = luc_calloc((size_t)c.n, sizeof *z->members, op_open);
    if (!z->members) return false;
    const unsigned char *p = z->map.data + c.at;
    for (uint64_t used = 0; (uint64_t)z->n < c.n; p += used, c.size -= used) {
        member *m = &z->members[z->n++]; /* counted at once, so that its name is freed */
        if (!read_entry(z, m, p, c.size, &used)) return false;
    }
    return true;
}

lucid_npz *lucid_npz_open(const char *path)
{
    luc_file_map map;
    if (!luc_file_map_open(&map, path, op_open)) return NULL;
    lucid_npz *z = luc_calloc(1, sizeof *z, op_open);
    if (!z) {
        luc_file_map_close(&map);
        return NULL;
    }
    luc_live_add_named(LUC_LIVE_OTHER, "npz file", 1);
    z->map = map;
    z->path = luc_strdup(path, op_open);
    if (z->path && read_contents(z)) return z;
    lucid_npz_close(z);
    return NULL;
}

void lucid_npz_close(lucid_npz *z)
{
    if (!z) return;
    for (int64_t i = 0; i < z->n; i++) luc_free(z->members[i].name);
    luc_free(z->members);
    luc_free(z->path);
    luc_file_map_close(&z->map);
    luc_free(z);
    luc_live_add_named(LUC_LIVE_OTHER, "npz file", -1);
}

int64_t lucid_npz_count(const lucid_npz *z)
{
    return z ? z->n : 0;
}

const char *lucid_npz_name(const lucid_npz *z, int64_t i)
{
    if (z && i >= 0 && i < z->n) return z->members[i].name;
    return luc_raise_null(LUCID_ERR_ARGUMENT, "npz_name", "i: expected one in [0,%lld), got %lld%s",
                          (long long)(z ? z->n : 0), (long long)i, z ? "" : " and NULL");
}

/* ---- arrays ---------------------------------------------------------------------------------- */

/* The member's bytes in the file. */
static const unsigned char *find_data(const lucid_npz *z, const member *m, const char *op)
{
    const unsigned char *p = z->map.data;
    const uint64_t size = z->map.size;
    if (m->local > size || size - m->local < LOCAL || memcmp(p + m->local, "PK\3\4", 4) != 0) {
        damaged(z, op, "an array is not where the list says");
        return NULL;
    }
    const uint64_t at =
        m->local + LOCAL + little(p + m->local + 26, 2) + little(p + m->local + 28, 2);
    if (at <= size && m->packed <= size - at) return p + at;
    damaged(z, op, "an array is cut off");
    return NULL;
}

/* Unpacks exactly m->size bytes. */
static bool inflate_all(const lucid_npz *z, const member *m, const unsigned char *from,
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
           damaged(z, op, "an array cannot be unpacked to its size");
}

/* The npy file of a member, to be freed with luc_free. */
static unsigned char *unpack(const lucid_npz *z, const member *m, const char *op)
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
        damaged(z, op, "an array promises more bytes than it can hold");
        return NULL;
    }
    unsigned char *bytes = luc_alloc((size_t)m->size, op);
    if (!bytes) return NULL;
    bool ok = true;
    if (m->method)
        ok = inflate_all(z, m, from, bytes, op);
    else if (m->size)
        memcpy(bytes, from, (size_t)m->size);
    if (ok && crc32_z(0, bytes, (size_t)m->size) != m->crc)
        ok = damaged(z, op, "the checksum of an array is wrong");
    if (ok) return bytes;
    luc_free(bytes);
    return NULL;
}

lucid_tensor *lucid_npz_get(const lucid_npz *z, const char *name)
{
    static const char op[] = "npz_get";
    if (!z && lucid_error_code() != LUCID_OK) return NULL;
    if (!z || !name)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "%s: got NULL", z ? "name" : "file");
    const member *m = NULL;
    for (int64_t i = 0; !m && i < z->n; i++)
        if (strcmp(z->members[i].name, name) == 0) m = &z->members[i];
    if (!m)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "%s: has no array '%s' among its %lld",
                              z->path, name, (long long)z->n);
    unsigned char *bytes = unpack(z, m, op);
    luc_npy npy;
    lucid_tensor *t = NULL;
    if (bytes && luc_npy_parse(&npy, bytes, (size_t)m->size, z->path, op))
        t = luc_npy_tensor(&npy, bytes);
    luc_free(bytes);
    return t;
}
