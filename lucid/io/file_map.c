/* file_map.c: whole files as memory. */
#include "lucid/io/zip_priv.h"

#include "lucid/core/error_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

bool luc_file_map_open(luc_file_map *map, const char *path, const char *op)
{
    struct stat st;
    *map = (luc_file_map){0};
    if (!path) return luc_raise(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got NULL");
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang the program */
    if (fd < 0) return luc_raise(LUCID_ERR_IO, op, "%s: cannot open: %s", path, strerror(errno));
    bool ok = fstat(fd, &st) == 0;
    if (!ok)
        luc_raise(LUCID_ERR_IO, op, "%s: cannot read: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        ok = luc_raise(LUCID_ERR_IO, op, "%s: is not a regular file", path);
    if (ok && st.st_size > 0) {
        void *data = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            ok = luc_raise(errno == ENOMEM ? LUCID_ERR_MEMORY : LUCID_ERR_IO, op,
                           "%s: cannot map: %s", path, strerror(errno));
        else
            *map = (luc_file_map){data, (size_t)st.st_size};
    }
    close(fd);
    return ok;
}

void luc_file_map_close(luc_file_map *map)
{
    if (map->size) munmap(map->data, map->size);
    *map = (luc_file_map){0};
}
