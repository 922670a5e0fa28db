/* output.c: writing a file so that a crash never destroys an older file of that name. */
#include "lucid/io/output_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/memory_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef O_PATH
#define O_PATH O_RDONLY
#endif

enum { BUFFER_SIZE = 1 << 18, LINKS_MAX = 40 };

static bool failed(const luc_output *out, const char *what)
{
    lucid_code code = errno == ENOMEM ? LUCID_ERR_MEMORY : LUCID_ERR_IO;
    return luc_raise(code, out->op, "%s: cannot %s: %s", out->path, what, strerror(errno));
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Follows a symbolic link: the link stays, and the file that it names is replaced, or made if it
 * does not exist yet. NULL after an error. */
static char *follow_links(const char *path, const char *op)
{
    char target[PATH_MAX];
    char *now = luc_strdup(path, op);
    for (int links = 0; now; links++) {
        ssize_t n = readlink(now, target, sizeof target - 1);
        if (n < 0) break; /* no link, or no file */
        if (links == LINKS_MAX) {
            luc_free(now);
            return luc_raise_null(LUCID_ERR_IO, op, "%s: cannot write: %s", path, strerror(ELOOP));
        }
        const char *slash = strrchr(now, '/');
        size_t folder = slash && target[0] != '/' ? (size_t)(slash - now) + 1 : 0;
        char *next = luc_alloc(folder + (size_t)n + 1, op);
        if (next) {
            memcpy(next, now, folder);
            memcpy(next + folder, target, (size_t)n);
            next[folder + (size_t)n] = '\0';
        }
        luc_free(now);
        now = next;
    }
    return now;
}

/* Opens the folder, so that all later steps happen in it even if its name or the process's current
 * folder changes. */
static bool open_folder(luc_output *out)
{
    char *slash = strrchr(out->path, '/');
    out->name = slash ? slash + 1 : out->path;
    if (!*out->name)
        return luc_raise(LUCID_ERR_IO, out->op, "%s: expected the name of a file, got a folder's",
                         out->path);
    char *folder = slash && slash > out->path ? out->path : NULL;
    if (folder) *slash = '\0';
    out->folder = open(folder ? folder : slash ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder) *slash = '/';
    return out->folder >= 0 || failed(out, "open its folder");
}

/* A rename needs only the right to write into the folder, and would also replace a file that is
 * write-protected. */
static bool check_old(luc_output *out)
{
    out->replaces = fstatat(out->folder, out->name, &out->old, AT_SYMLINK_NOFOLLOW) == 0;
    if (!out->replaces) return true;
    if (!S_ISREG(out->old.st_mode))
        return luc_raise(LUCID_ERR_IO, out->op, "%s: cannot write: is not a regular file",
                         out->path);
    /* root could write to every file, but the protection is meant for root as well */
    if (!(out->old.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)))
        return luc_raise(LUCID_ERR_IO, out->op, "%s: cannot write: the file is write-protected",
                         out->path);
    return faccessat(out->folder, out->name, W_OK, AT_EACCESS) == 0 || failed(out, "write");
}

static void clear(luc_output *out)
{
    if (out->fd >= 0) close(out->fd);
    if (out->folder >= 0) close(out->folder);
    luc_free(out->buffer);
    luc_free(out->path);
    *out = (luc_output){.folder = -1, .fd = -1};
}

bool luc_output_open(luc_output *out, const char *path, const char *op)
{
    *out = (luc_output){.op = op, .folder = -1, .fd = -1};
    if (!path || !*path)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got %s",
                         path ? "an empty one" : "NULL");
    out->path = follow_links(path, op);
    bool ok = out->path && open_folder(out) && check_old(out) &&
              (out->buffer = luc_alloc(BUFFER_SIZE, op));
    if (ok) {
        luc_leftovers_remove(out->folder);
        /* A file that replaces a secret one is as secret from its first byte on. */
        out->fd = luc_temporary_open(out->folder, out->replaces ? 0600 : 0666, out->temporary);
        ok = out->fd >= 0 || failed(out, "make a file beside it");
    }
    if (!ok) clear(out);
    return ok;
}

/* ---- the checksum ---------------------------------------------------------------------------- */

static void add_byte(luc_checksum *sum, unsigned char byte)
{
    sum->word |= (uint64_t)byte << 8 * (sum->size++ % 8);
    if (sum->size % 8) return;
    sum->first += sum->word;
    sum->second += sum->first;
    sum->word = 0;
}

static void add_bytes(luc_checksum *sum, const void *data, size_t size)
{
    const unsigned char *p = data, *end = p + size;
    while (p < end && sum->size % 8) add_byte(sum, *p++);
    uint64_t first = sum->first, second = sum->second, word;
    const unsigned char *begin = p;
    for (; end - p >= 8; p += 8) {
        memcpy(&word, p, 8);
        first += word;
        second += first;
    }
    sum->first = first, sum->second = second;
    sum->size += (uint64_t)(p - begin);
    while (p < end) add_byte(sum, *p++);
}

static bool is_equal(const luc_checksum *a, const luc_checksum *b)
{
    return a->size == b->size && a->first == b->first && a->second == b->second &&
           a->word == b->word;
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool write_through(luc_output *out, const char *data, size_t size)
{
    while (size) {
        ssize_t n = write(out->fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(out, "write");
        data += n;
        size -= (size_t)n;
    }
    return true;
}

static bool flush(luc_output *out)
{
    size_t n = out->used;
    out->used = 0;
    return write_through(out, out->buffer, n);
}

bool luc_output_write(luc_output *out, const void *data, size_t size)
{
    if (!size) return true;
    add_bytes(&out->written, data, size);
    if (size > BUFFER_SIZE - out->used && !flush(out)) return false;
    if (size >= BUFFER_SIZE) return write_through(out, data, size);
    memcpy(out->buffer + out->used, data, size);
    out->used += size;
    return true;
}

bool luc_output_printf(luc_output *out, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    int n = luc_vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        return luc_raise(LUCID_ERR_INTERNAL, out->op, "%s: a line is too long", out->path);
    return luc_output_write(out, text, (size_t)n);
}

/* ---- the end --------------------------------------------------------------------------------- */

bool luc_output_check(luc_output *out)
{
    if (!flush(out)) return false;
    if (fsync(out->fd) != 0) return failed(out, "write");
    luc_checksum read = {0};
    for (;;) {
        ssize_t n = pread(out->fd, out->buffer, BUFFER_SIZE, (off_t)read.size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(out, "read what was written");
        if (n == 0) break;
        add_bytes(&read, out->buffer, (size_t)n);
    }
    return is_equal(&read, &out->written) ||
           luc_raise(LUCID_ERR_IO, out->op,
                     "%s: cannot write: what was read back is not what was written", out->path);
}

/* The new file gets the permissions and the owner of the one that it replaces, if the system allows
 * that. Otherwise only its writer may read it. */
static void keep_rights(const luc_output *out)
{
    if (!out->replaces) return;
    if (fchown(out->fd, out->old.st_uid, out->old.st_gid) != 0)
        (void)!fchown(out->fd, (uid_t)-1, out->old.st_gid);
    (void)!fchmod(out->fd, out->old.st_mode & 0777);
}

/* The new name is on the disk only after the folder was forced there. Not every file system can do
 * that, and the file is in place in either case. */
static void sync_folder(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

bool luc_output_close(luc_output *out, bool ok)
{
    if (ok) keep_rights(out);
    if (ok && renameat(out->folder, out->temporary, out->folder, out->name) != 0)
        ok = failed(out, "put the new file in place");
    if (ok)
        sync_folder(out->folder);
    else
        unlinkat(out->folder, out->temporary, 0);
    clear(out);
    return ok;
}
