/* npz.c: several NumPy arrays in one file, which is a ZIP archive of npy files. */
#include "lucid/core/error_priv.h"
#include "lucid/io/npy.h"
#include "lucid/io/npy_priv.h"
#include "lucid/io/zip_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/scope.h"

#include <stdint.h>
#include <string.h>

struct lucid_npz {
    char *path;
    luc_file_map map;
    luc_zip zip;
};

/* An array's name is its member's without ".npy". */
static void cut_names(luc_zip *zip)
{
    for (int64_t i = 0; i < zip->n; i++) {
        char *name = zip->members[i].name;
        const size_t length = strlen(name);
        if (length > 4 && strcmp(name + length - 4, ".npy") == 0) name[length - 4] = 0;
    }
}

lucid_npz *lucid_npz_open(const char *path)
{
    static const char op[] = "npz_open";
    luc_file_map map;
    if (!luc_file_map_open(&map, path, op)) return NULL;
    lucid_npz *z = luc_calloc(1, sizeof *z, op);
    if (!z) {
        luc_file_map_close(&map);
        return NULL;
    }
    luc_live_add_named(LUC_LIVE_OTHER, "npz file", 1);
    z->map = map;
    z->path = luc_strdup(path, op);
    if (z->path && luc_zip_read(&z->zip, &z->map, z->path, "npz", op)) {
        cut_names(&z->zip);
        return z;
    }
    lucid_npz_close(z);
    return NULL;
}

void lucid_npz_close(lucid_npz *z)
{
    if (!z) return;
    luc_zip_free(&z->zip);
    luc_free(z->path);
    luc_file_map_close(&z->map);
    luc_free(z);
    luc_live_add_named(LUC_LIVE_OTHER, "npz file", -1);
}

int64_t lucid_npz_count(const lucid_npz *z)
{
    return z ? z->zip.n : 0;
}

const char *lucid_npz_name(const lucid_npz *z, int64_t i)
{
    if (z && i >= 0 && i < z->zip.n) return z->zip.members[i].name;
    return luc_raise_null(LUCID_ERR_ARGUMENT, "npz_name", "i: expected one in [0,%lld), got %lld%s",
                          (long long)(z ? z->zip.n : 0), (long long)i, z ? "" : " and NULL");
}

lucid_tensor *lucid_npz_get(const lucid_npz *z, const char *name)
{
    static const char op[] = "npz_get";
    if (!z && lucid_error_code() != LUCID_OK) return NULL;
    if (!z || !name)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "%s: got NULL", z ? "name" : "file");
    const luc_zip_member *m = NULL;
    for (int64_t i = 0; !m && i < z->zip.n; i++)
        if (strcmp(z->zip.members[i].name, name) == 0) m = &z->zip.members[i];
    if (!m)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "%s: has no array '%s' among its %lld",
                              z->path, name, (long long)z->zip.n);
    unsigned char *bytes = luc_zip_unpack(&z->zip, m, op);
    luc_npy npy;
    lucid_tensor *t = NULL;
    if (bytes && luc_npy_parse(&npy, bytes, (size_t)m->size, z->path, op))
        t = luc_npy_tensor(&npy, bytes);
    luc_free(bytes);
    return t;
}
