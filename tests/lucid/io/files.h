/* files.h: a folder for one test, and files in it. */
#ifndef TESTS_LUCID_IO_FILES_H
#define TESTS_LUCID_IO_FILES_H

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "tests/testing.h"

static char files_folder[256];

/* Fixtures: TestSuite(name, .init = files_begin, .fini = files_end). */
static inline void files_begin(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(files_folder, sizeof files_folder, "%s/lucid-test-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert(mkdtemp(files_folder));
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}

static inline void files_end(void)
{
    DIR *dir = opendir(files_folder);
    cr_assert(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", files_folder, e->d_name);
        unlink(path);
    }
    closedir(dir);
    rmdir(files_folder);
}

/* Counts the files in the folder, which should hold only those that a test expects. */
static inline int files_count(void)
{
    DIR *dir = opendir(files_folder);
    cr_assert(dir);
    int n = 0;
    for (struct dirent *e; (e = readdir(dir));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    closedir(dir);
    return n;
}

/* The path of a file in the folder. Good until the fourth call after it. */
static inline const char *files_path(const char *name)
{
    static char paths[4][512];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", files_folder, name);
    return path;
}

static inline const char *files_write(const char *name, const void *data, size_t size)
{
    const char *path = files_path(name);
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(data, 1, size, f) == size && fclose(f) == 0);
    return path;
}

static inline const char *files_write_gz(const char *name, const void *data, size_t size)
{
    const char *path = files_path(name);
    gzFile f = gzopen(path, "wb");
    cr_assert(f && gzwrite(f, data, (unsigned)size) == (int)size && gzclose(f) == Z_OK);
    return path;
}

/* A file's content, to be freed, with a 0 after it. */
static inline char *files_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    cr_assert(f, "%s", path);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    char *data = calloc(1, *size + 1);
    cr_assert(data && fread(data, 1, *size, f) == *size);
    fclose(f);
    return data;
}

#endif
