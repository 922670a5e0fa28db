/* zip_write.c: writing ZIP archives of members that are not compressed. */
#include "lucid/io/zip_priv.h"

#include "lucid/core/memory_priv.h"
#include "lucid/io/output_priv.h"

#include <string.h>

enum { ALIGNMENT = 64, LOCAL = 30, CENTRAL = 46 };

/* A part of the archive that is being put together. */
typedef struct record {
    unsigned char bytes[128];
    size_t n;
} record;

static void add(record *r, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++) r->bytes[r->n++] = (unsigned char)(number >> 8 * i);
}

static uint64_t narrow(const luc_zip_writer *w, uint64_t number)
{
    return number >= w->limit ? 0xffffffff : number;
}

/* What the head and the entry of a member have in common: flags (names are UTF-8), method, date
 * (1980-01-01), checksum, sizes and the name's length. */
static void add_common(const luc_zip_writer *w, record *r, const luc_zip_member *m, bool wide)
{
    add(r, 0x0800, 2);
    add(r, 0, 2);
    add(r, 0x00210000, 4);
    add(r, m->crc, 4);
    add(r, wide ? 0xffffffff : narrow(w, m->packed), 4);
    add(r, wide ? 0xffffffff : narrow(w, m->size), 4);
    add(r, strlen(m->name), 2);
}

bool luc_zip_put(luc_zip_writer *w, const void *data, size_t size)
{
    w->at += size;
    return luc_output_write(w->out, data, size);
}

static luc_zip_member *new_member(luc_zip_writer *w, const char *name)
{
    if (w->n == w->capacity) {
        const size_t more = w->capacity ? 2 * w->capacity : 64;
        luc_zip_member *room = luc_realloc(w->members, more * sizeof *room, w->out->op);
        if (!room) return NULL;
        w->members = room;
        w->capacity = more;
    }
    luc_zip_member *m = &w->members[w->n];
    *m = (luc_zip_member){.name = luc_strdup(name, w->out->op), .local = w->at};
    if (!m->name) return NULL;
    w->n++;
    return m;
}

bool luc_zip_begin(luc_zip_writer *w, const char *name, uint64_t size, uint32_t crc)
{
    static const char zeros[ALIGNMENT];
    luc_zip_member *m = new_member(w, name);
    if (!m) return false;
    m->packed = m->size = size;
    m->crc = crc;
    const bool wide = size >= w->limit;
    record r = {.n = 0};
    add(&r, 0x04034b50, 4);
    add(&r, wide ? 45 : 20, 2);
    add_common(w, &r, m, wide);
    /* The extra fields: the sizes in 64 bits, and one that is only there for its length. */
    const size_t sizes = wide ? 20 : 0;
    const uint64_t begin = w->at + LOCAL + strlen(name) + sizes + 4;
    const size_t padding = (size_t)((ALIGNMENT - begin % ALIGNMENT) % ALIGNMENT);
    add(&r, sizes + 4 + padding, 2);
    bool ok = luc_zip_put(w, r.bytes, r.n) && luc_zip_put(w, name, strlen(name));
    r.n = 0;
    if (wide) {
        add(&r, 1, 2);
        add(&r, 16, 2);
        add(&r, size, 8);
        add(&r, size, 8);
    }
    add(&r, 0x4246, 2);
    add(&r, padding, 2);
    return ok && luc_zip_put(w, r.bytes, r.n) && luc_zip_put(w, zeros, padding);
}

static bool put_entry(luc_zip_writer *w, const luc_zip_member *m)
{
    record r = {.n = 0}, extra = {.n = 0};
    if (m->size >= w->limit) add(&extra, m->size, 8);
    if (m->packed >= w->limit) add(&extra, m->packed, 8);
    if (m->local >= w->limit) add(&extra, m->local, 8);
    const int version = extra.n ? 45 : 20;
    add(&r, 0x02014b50, 4);
    add(&r, (uint64_t)version, 2);
    add(&r, (uint64_t)version, 2);
    add_common(w, &r, m, false);
    add(&r, extra.n ? extra.n + 4 : 0, 2);
    for (int i = 0; i < 3; i++) add(&r, 0, i < 2 ? 2 : 4); /* comment, disk, attributes */
    add(&r, 0, 2);
    add(&r, narrow(w, m->local), 4);
    bool ok = luc_zip_put(w, r.bytes, r.n) && luc_zip_put(w, m->name, strlen(m->name));
    r.n = 0;
    if (!extra.n) return ok;
    add(&r, 1, 2);
    add(&r, extra.n, 2);
    return ok && luc_zip_put(w, r.bytes, r.n) && luc_zip_put(w, extra.bytes, extra.n);
}

bool luc_zip_end(luc_zip_writer *w)
{
    const uint64_t at = w->at, n = w->n;
    for (size_t i = 0; i < w->n; i++)
        if (!put_entry(w, &w->members[i])) return false;
    const uint64_t size = w->at - at, end = w->at;
    const bool wide = n >= 0xffff || at >= w->limit || size >= w->limit;
    record r = {.n = 0};
    if (wide) {
        add(&r, 0x06064b50, 4);
        add(&r, 44, 8);
        add(&r, 45, 2);
        add(&r, 45, 2);
        add(&r, 0, 8);
        add(&r, n, 8);
        add(&r, n, 8);
        add(&r, size, 8);
        add(&r, at, 8);
        add(&r, 0x07064b50, 4);
        add(&r, 0, 4);
        add(&r, end, 8);
        add(&r, 1, 4);
    }
    add(&r, 0x06054b50, 4);
    add(&r, 0, 4);
    add(&r, wide ? 0xffff : n, 2);
    add(&r, wide ? 0xffff : n, 2);
    add(&r, wide ? 0xffffffff : size, 4);
    add(&r, wide ? 0xffffffff : at, 4);
    add(&r, 0, 2);
    return luc_zip_put(w, r.bytes, r.n);
}

void luc_zip_writer_free(luc_zip_writer *w)
{
    for (size_t i = 0; i < w->n; i++) luc_free(w->members[i].name);
    luc_free(w->members);
    *w = (luc_zip_writer){0};
}
