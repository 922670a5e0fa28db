/* files.c: finding the files of data sets. */
#include "lucid/data/files_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "dir/name" + suffix, to be freed with luc_free; NULL when memory is out. */
static char *join(const char *dir, const char *name, const char *suffix, const char *op)
{
    size_t size = strlen(dir) + strlen(name) + strlen(suffix) + 2;
    char *path = luc_alloc(size, op);
    if (path) snprintf(path, size, "%s/%s%s", dir, name, suffix);
    return path;
}

char *luc_data_find(const char *dir, const char *name, const char *op)
{
    static const char *const suffixes[] = {"", ".gz"};
    for (int i = 0; i < 2; i++) {
        char *path = join(dir, name, suffixes[i], op);
        if (!path || access(path, F_OK) == 0) return path;
        luc_free(path);
    }
    return luc_raise_null(LUCID_ERR_IO, op, "no file %s in '%s': looked for %s/%s and %s/%s.gz%s",
                          name, dir, dir, name, dir, name,
                          access(dir, F_OK) == 0 ? "" : "; that folder does not exist");
}
