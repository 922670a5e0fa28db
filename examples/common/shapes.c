/* shapes.c: made-up pictures of discs, squares and crosses, for trying examples without data. */
#include "shapes.h"

#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const kinds[SHAPES_KINDS] = {"disc", "square", "cross"};

static bool inside(int64_t kind, double x, double y, double r)
{
    x = fabs(x), y = fabs(y);
    if (kind == 0) return x * x + y * y < r * r;
    if (kind == 1) return x < 0.8 * r && y < 0.8 * r;
    return (x < 0.3 * r && y < r) || (y < 0.3 * r && x < r);
}

void shapes_draw(int64_t index, int size, uint8_t *rgb, uint8_t *mask)
{
    uint32_t n[4];
    lucid_philox(1, (uint64_t)index, n);
    const double r = size * (0.25 + 0.1 * (n[0] % 100) / 100);
    const double cx = r + (size - 2 * r) * (n[1] % 100) / 100;
    const double cy = r + (size - 2 * r) * (n[2] % 100) / 100;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            const bool in = inside(index % SHAPES_KINDS, x - cx, y - cy, r);
            const int grain = (x * 7 + y * 13 + (int)(n[3] % 31)) % 40;
            for (int c = 0; c < 3; c++) {
                const int colour = (int)(n[3] >> (8 * c) & 63);
                rgb[(c * size + y) * size + x] = (uint8_t)((in ? 150 : 30) + colour + grain);
            }
            if (mask) mask[y * size + x] = in;
        }
}

/* ---- as a data set --------------------------------------------------------------------------- */

static bool shapes_get(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *x,
                       void *y)
{
    (void)rng;
    shapes_draw(index, (int)d->x.shape.dims[1], x, NULL);
    *(int64_t *)y = index % SHAPES_KINDS;
    return true;
}

static int64_t shapes_label(const lucid_dataset *d, int64_t index)
{
    (void)d;
    return index % SHAPES_KINDS;
}

static void shapes_free(lucid_dataset *d)
{
    free(d);
}

lucid_dataset *shapes_dataset(int64_t n, int size)
{
    lucid_dataset *d = malloc(sizeof *d);
    if (!d) return lucid_raise(LUCID_ERR_MEMORY, "shapes", "a data set"), NULL;
    *d = (lucid_dataset){.name = "shapes",
                         .size = n,
                         .x = {LUCID_U8, LUCID_SHAPE(3, size, size)},
                         .y = {LUCID_I64, {0}},
                         .get = shapes_get,
                         .free = shapes_free,
                         .label = shapes_label,
                         .classes = kinds,
                         .n_classes = SHAPES_KINDS};
    return d;
}

/* ---- as a folder ----------------------------------------------------------------------------- */

static bool make_folders(char folder[4096])
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, 4096, "%s/shapes-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    bool ok = mkdtemp(folder) != NULL;
    for (int k = 0; ok && k < SHAPES_KINDS; k++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%s", folder, kinds[k]);
        ok = mkdir(path, 0777) == 0;
    }
    if (!ok) lucid_raise(LUCID_ERR_IO, "shapes", "%s: %s", folder, strerror(errno));
    return ok;
}

bool shapes_folder(char folder[4096], int64_t n, int size)
{
    LUCID_SCOPE;
    lucid_tensor *image = lucid_empty((3, size, size), .dtype = LUCID_U8);
    if (!image || !make_folders(folder)) return false;
    for (int64_t i = 0; i < n; i++) {
        char path[4200];
        const bool jpeg = lucid_image_has_jpeg() && i % 2;
        snprintf(path, sizeof path, "%s/%s/%04d.%s", folder, kinds[i % SHAPES_KINDS], (int)i,
                 jpeg ? "jpg" : "png");
        shapes_draw(i, size, lucid_mutable_data(image), NULL);
        if (!lucid_image_write(image, path)) return false;
    }
    return true;
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *at)
{
    (void)s, (void)type, (void)at;
    return remove(path);
}

void shapes_folder_remove(const char *folder)
{
    if (nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS)) perror(folder);
}
