#include "lucid/io/output_priv.h"

#include "lucid/error_priv.h"
#include "lucid/memory_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool failed(const luc_output *out, const char *what)
{
    return luc_raise(LUCID_ERR_IO, out->op, "%s: cannot %s: %s", out->path, what, strerror(errno));
}

/* The file that is meant: a symbolic link stays one, and what it points to is replaced. */
static char *resolve(const char *path, const char *op)
{
    char *real = realpath(path, NULL);
    char *copy = luc_strdup(real ? real : path, op);
    free(real);
    return copy;
}

/* Opens a file that nobody else has, in the folder of out->path. -1 with errno set. */
static int open_temporary(luc_output *out, mode_t mode)
{
    static atomic_uint turn;
    size_t size = strlen(out->path) + 48;
    out->temporary = luc_alloc(size, out->op);
    if (!out->temporary) return -1;
    for (int tries = 0; tries < 100; tries++) {
        snprintf(out->temporary, size, "%s.%ld-%u.tmp", out->path, (long)getpid(),
                 atomic_fetch_add(&turn, 1));
        int fd = open(out->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

static void clear(luc_output *out)
{
    luc_free(out->temporary);
    luc_free(out->path);
    out->temporary = out->path = NULL;
}

bool luc_output_open(luc_output *out, const char *path, const char *op)
{
    *out = (luc_output){.op = op};
    if (!path) return luc_raise(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got NULL");
    out->path = resolve(path, op);
    if (!out->path) return false;
    struct stat old;
    bool exists = stat(out->path, &old) == 0;
    if (exists && !S_ISREG(old.st_mode)) {
        /* A rename would replace a device or a pipe by a file. */
        luc_raise(LUCID_ERR_IO, op, "%s: cannot write: is not a regular file", path);
        clear(out);
        return false;
    }
    int fd = open_temporary(out, 0666);
    if (fd < 0) {
        if (out->temporary) failed(out, "make a file beside it");
        clear(out);
        return false;
    }
    /* A file that is replaced keeps who may read it. */
    if (exists) (void)!fchmod(fd, old.st_mode & 07777);
    out->file = fdopen(fd, "wb");
    if (out->file) return true;
    failed(out, "open");
    close(fd);
    unlink(out->temporary);
    clear(out);
    return false;
}

bool luc_output_write(luc_output *out, const void *data, size_t size)
{
    if (!size || fwrite(data, 1, size, out->file) == size) return true;
    return failed(out, "write");
}

/* The new name itself is on the disk only when the folder is. Not every file system can do that:
 * the file is in place either way. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) + (slash == path) : 1;
    if (size >= sizeof folder) return;
    memcpy(folder, slash ? path : ".", size);
    folder[size] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    (void)!fsync(fd);
    close(fd);
}

bool luc_output_close(luc_output *out, bool ok)
{
    if (ok && (fflush(out->file) != 0 || fsync(fileno(out->file)) != 0)) ok = failed(out, "write");
    if (fclose(out->file) != 0 && ok) ok = failed(out, "write");
    if (ok && rename(out->temporary, out->path) != 0) ok = failed(out, "put the new file in place");
    if (ok)
        sync_folder(out->path);
    else
        unlink(out->temporary);
    clear(out);
    return ok;
}
