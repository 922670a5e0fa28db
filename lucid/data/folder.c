#include "lucid/data/folder.h"

#include "lucid/data/dataset_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char op[] = "data_ImageFolder";

/* The folders that one lies in: a symbolic link may lead back to one of them. */
typedef struct above {
    dev_t dev;
    ino_t ino;
    const struct above *next;
} above;

typedef struct list {
    char **names; /* owned */
    int64_t n, capacity;
} list;

typedef struct folder {
    lucid_dataset base;
    lucid_image_folder_options options;
    char *extensions;
    list classes, paths;
    int64_t *labels;
} folder;

static void list_free(list *l)
{
    for (int64_t i = 0; i < l->n; i++) luc_free(l->names[i]);
    luc_free(l->names);
    *l = (list){0};
}

/* Takes the name over. */
static bool list_add(list *l, char *name)
{
    if (!name) return false;
    if (l->n == l->capacity) {
        int64_t capacity = l->capacity ? 2 * l->capacity : 64;
        char **grown = luc_realloc(l->names, (size_t)capacity * sizeof *grown, op);
        if (!grown) {
            luc_free(name);
            return false;
        }
        l->names = grown;
        l->capacity = capacity;
    }
    l->names[l->n++] = name;
    return true;
}

/* strcmp compares bytes, in every locale. */
static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *join(const char *dir, const char *name)
{
    size_t size = strlen(dir) + strlen(name) + 2;
    char *path = luc_alloc(size, op);
    if (path) snprintf(path, size, "%s/%s", dir, name);
    return path;
}

static char small(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Does the name end with one of ".jpg,.png"? */
static bool is_taken(const char *name, const char *extensions)
{
    const size_t length = strlen(name);
    for (const char *e = extensions; *e;) {
        size_t n = strcspn(e, ","), i = 0;
        if (n && n <= length)
            while (i < n && small(name[length - n + i]) == e[i]) i++;
        if (n && i == n) return true;
        e += n + (e[n] == ',');
    }
    return false;
}

/* ---- looking for files ----------------------------------------------------------------------- */

static bool cannot_read(const char *path)
{
    return luc_raise(errno == ENOMEM ? LUCID_ERR_MEMORY : LUCID_ERR_IO, op, "%s: cannot read: %s",
                     path, strerror(errno));
}

/* The names in a folder, sorted, without those that begin with a dot. */
static bool read_names(const char *path, list *names)
{
    DIR *dir = opendir(path);
    if (!dir) return cannot_read(path);
    bool ok = true;
    errno = 0;
    for (struct dirent *e; ok && (e = readdir(dir)); errno = 0)
        if (e->d_name[0] != '.') ok = list_add(names, luc_strdup(e->d_name, op));
    if (ok && errno) ok = cannot_read(path);
    closedir(dir);
    if (ok && names->n) qsort(names->names, (size_t)names->n, sizeof *names->names, by_bytes);
    return ok;
}

/* *type: 'd' for a folder, 'f' for a regular file, 0 for anything else; links are followed. False
 * after an error. */
static bool look_at(const char *path, char *type)
{
    struct stat st;
    *type = 0;
    if (stat(path, &st) != 0) return cannot_read(path);
    *type = S_ISDIR(st.st_mode) ? 'd' : S_ISREG(st.st_mode) ? 'f' : 0;
    return true;
}

/* Adds the images below a folder. */
static bool add_images(folder *f, const char *path, const above *up)
{
    list names = {0};
    struct stat st;
    if (stat(path, &st) != 0) return cannot_read(path);
    const above here = {st.st_dev, st.st_ino, up};
    for (const above *a = up; a; a = a->next)
        if (a->dev == here.dev && a->ino == here.ino)
            return luc_raise(LUCID_ERR_FORMAT, op,
                             "%s: is a link to a folder that it lies in: it would never end", path);
    bool ok = read_names(path, &names);
    for (int64_t i = 0; ok && i < names.n; i++) {
        char *below = join(path, names.names[i]);
        char type = 0;
        ok = below && look_at(below, &type);
        if (type == 'd') ok = add_images(f, below, &here);
        if (type == 'f' && is_taken(names.names[i], f->extensions)) {
            ok = list_add(&f->paths, below);
            below = NULL;
        }
        luc_free(below);
    }
    list_free(&names);
    return ok;
}

/* One class: its name, its images, and their labels. */
static bool add_class(folder *f, const char *path, const char *name)
{
    const int64_t before = f->paths.n, label = f->classes.n;
    if (!list_add(&f->classes, luc_strdup(name, op)) || !add_images(f, path, NULL)) return false;
    if (f->paths.n == before && !f->options.allow_empty)
        return luc_raise(LUCID_ERR_FORMAT, op,
                         "%s: expected images in every class, found none that ends with %s; "
                         ".allow_empty = true takes such a class",
                         path, f->extensions);
    int64_t *grown = luc_realloc(f->labels, (size_t)(f->paths.n + 1) * sizeof *grown, op);
    if (!grown) return false;
    f->labels = grown;
    for (int64_t i = before; i < f->paths.n; i++) f->labels[i] = label;
    /* Files and folders in turn came in the order of their names; their paths are to be in
     * order. */
    if (f->paths.n > before)
        qsort(f->paths.names + before, (size_t)(f->paths.n - before), sizeof *f->paths.names,
              by_bytes);
    return true;
}

static bool add_classes(folder *f, const char *root)
{
    list names = {0};
    bool ok = read_names(root, &names);
    for (int64_t i = 0; ok && i < names.n; i++) {
        char *path = join(root, names.names[i]);
        char type = 0;
        ok = path && look_at(path, &type) && (type != 'd' || add_class(f, path, names.names[i]));
        luc_free(path);
    }
    list_free(&names);
    if (ok && !f->classes.n)
        ok = luc_raise(LUCID_ERR_FORMAT, op, "%s: expected a sub-folder for each class, found none",
                       root);
    return ok;
}

/* ---- the data set ---------------------------------------------------------------------------- */

static lucid_tensor *folder_load(const lucid_dataset *dataset, int64_t index, lucid_generator *rng,
                                 void *y)
{
    const folder *f = (const folder *)dataset;
    (void)rng;
    *(int64_t *)y = f->labels[index];
    return lucid_image_read_opt(f->paths.names[index],
                                LUC_WITH(lucid_image_read, .mode = f->options.mode,
                                         .orient = f->options.orient,
                                         .max_pixels = f->options.max_pixels));
}

static int64_t folder_label(const lucid_dataset *dataset, int64_t index)
{
    return ((const folder *)dataset)->labels[index];
}

static void folder_free(lucid_dataset *dataset)
{
    folder *f = (folder *)dataset;
    list_free(&f->classes);
    list_free(&f->paths);
    luc_free(f->labels);
    luc_free(f->extensions);
    luc_dataset_delete(f);
}

static bool check_options(const char *root, const lucid_image_folder_options *options)
{
    if (!root) return luc_raise(LUCID_ERR_ARGUMENT, op, "root: expected a folder's name, got NULL");
    if (options->mode < LUCID_IMAGE_GRAY || options->mode > LUCID_IMAGE_RGBA)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "mode: expected gray, gray and alpha, RGB or RGBA, so that samples have "
                         "equal channels; got %d",
                         (int)options->mode);
    if (options->extensions && !*options->extensions)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "extensions: expected as \".jpg,.png\", got nothing");
    return options->max_pixels >= 1 ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "max_pixels: expected >= 1, got %lld",
                     (long long)options->max_pixels);
}

lucid_dataset *lucid_data_image_folder(const char *root, const lucid_image_folder_options *options)
{
    options = LUC_OPTIONS(lucid_image_folder, options, op);
    if (!options || !check_options(root, options)) return NULL;
    folder *f = luc_dataset_new(sizeof *f, op);
    if (!f) return NULL;
    f->options = *options;
    f->extensions = luc_strdup(options->extensions ? options->extensions : ".jpg,.jpeg,.png", op);
    if (!f->extensions || !add_classes(f, root)) {
        folder_free(&f->base);
        return NULL;
    }
    f->base = (lucid_dataset){.name = op,
                              .size = f->paths.n,
                              .x = {LUCID_U8, {3, {(int64_t)options->mode, -1, -1}}},
                              .y = {LUCID_I64, {0}},
                              .load = folder_load,
                              .label = folder_label,
                              .classes = (const char *const *)f->classes.names,
                              .n_classes = f->classes.n,
                              .free = folder_free};
    return &f->base;
}

const char *lucid_data_image_folder_path(const lucid_dataset *dataset, int64_t index)
{
    if (!dataset || dataset->load != folder_load)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "dataset: expected one of data_ImageFolder, got %s",
                              dataset ? "another" : "NULL");
    if (index < 0 || index >= dataset->size)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "index: expected one in [0,%lld), got %lld",
                              (long long)dataset->size, (long long)index);
    return ((const folder *)dataset)->paths.names[index];
}
