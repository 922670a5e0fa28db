/* leftovers.c: temporary files: their names, and removing those of killed processes. */
#include "lucid/io/leftovers_priv.h"
#include "lucid/core/platform_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/vfs.h>
#endif

/* ---- names: .lucid-MACHINE-PROCESS-NUMBER.tmp, all hexadecimal ------------------------------- */

/* The name is short and does not contain the file's own name, which may have all of the 255 bytes
 * that a name can have. */
#define NAME_BEGIN ".lucid-"
#define NAME_END   ".tmp"

/* A number for this machine since it was started: containers on it get the same, and see the same
 * locks. */
static uint64_t machine_mark(void)
{
    static _Atomic uint64_t known; /* 0: not yet; every thread finds the same */
    uint64_t mark = atomic_load(&known);
    if (mark) return mark;
    char text[256];
    size_t n = luc_machine_name(text, sizeof text);
    mark = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < n; i++) mark = (mark ^ (unsigned char)text[i]) * 1099511628211u;
    if (!mark) mark = 1;
    atomic_store(&known, mark);
    return mark;
}

/* Reads 1 to `most` lower-case hexadecimal digits and returns the end; NULL for another number of
 * digits. */
static const char *hex_digits(const char *at, size_t most)
{
    size_t n = strspn(at, "0123456789abcdef");
    return n >= 1 && n <= most ? at + n : NULL;
}

bool luc_leftover_is_ours(const char *name, bool local)
{
    char mark[40];
    int n = snprintf(mark, sizeof mark, NAME_BEGIN "%016llx-", (unsigned long long)machine_mark());
    if (!local && strncmp(name, mark, (size_t)n) != 0) return false;
    if (strncmp(name, NAME_BEGIN, sizeof NAME_BEGIN - 1) != 0) return false;
    const char *at = name + sizeof NAME_BEGIN - 1;
    if (hex_digits(at, 16) != at + 16 || at[16] != '-') return false;
    at = hex_digits(at + 17, 16);
    if (!at || *at != '-') return false;
    at = hex_digits(at + 1, 8);
    return at && strcmp(at, NAME_END) == 0;
}

/* ---- making one ------------------------------------------------------------------------------ */

/* A process that removes leftovers may lock a file before its maker does. Then this file is removed
 * now or soon. */
static bool lock_new(int fd)
{
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
    /* If the file system has no locks, no other process can take one to remove the file. */
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

int luc_temporary_open(int folder, mode_t mode, char name[LUC_LEFTOVER_SIZE])
{
    static atomic_uint turn;
    for (int tries = 0; tries < 100; tries++) {
        snprintf(name, LUC_LEFTOVER_SIZE, NAME_BEGIN "%016llx-%llx-%x" NAME_END,
                 (unsigned long long)machine_mark(), (unsigned long long)getpid(),
                 atomic_fetch_add(&turn, 1));
        int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd >= 0 && lock_new(fd)) return fd;
        if (fd >= 0)
            close(fd);
        else if (errno != EEXIST)
            return -1;
    }
    errno = EEXIST;
    return -1;
}

/* ---- removing those of others ---------------------------------------------------------------- */

/* Whether all processes that can write to a folder's file system run on this kernel, and so see the
 * same locks. */
static bool is_local(int folder)
{
#ifdef __linux__
    static const uint32_t local[] = {
        0xef53,     /* ext2, ext3, ext4 */
        0x58465342, /* xfs */
        0x9123683e, /* btrfs */
        0xf2f52010, /* f2fs */
        0x2fc12fc1, /* zfs */
        0xca451a4e, /* bcachefs */
        0x3153464a, /* jfs */
        0x01021994, /* tmpfs */
        0x858458f6, /* ramfs */
        0x794c7630, /* overlayfs, whose upper layer is one of these */
    };
    struct statfs fs;
    if (fstatfs(folder, &fs) != 0) return false;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        if ((uint32_t)fs.f_type == local[i]) return true;
#else
    (void)folder;
#endif
    return false;
}

static void remove_if_left(int folder, const char *name)
{
    struct stat st, again;
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return;
    bool ours =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid();
    /* The name is looked up again under the lock: meanwhile the file may have got its own name, and
     * another one this name. */
    if (ours && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        fstatat(folder, name, &again, AT_SYMLINK_NOFOLLOW) == 0 && again.st_dev == st.st_dev &&
        again.st_ino == st.st_ino)
        unlinkat(folder, name, 0);
    close(fd);
}

void luc_leftovers_remove(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir) {
        if (fd >= 0) close(fd);
        return;
    }
    bool local = is_local(fd);
    for (struct dirent *e; (e = readdir(dir));)
        if (luc_leftover_is_ours(e->d_name, local)) remove_if_left(folder, e->d_name);
    closedir(dir);
}
