/* A folder of images: classes, files and their order, and what is refused. */
#include "tests/lucid/io/files.h"

#include "lucid/data/folder.h"
#include "lucid/data/loader.h"
#include "lucid/data/subset.h"
#include "lucid/core/memory.h"
#include "lucid/core/scope.h"

#include <ftw.h>
#include <locale.h>
#include <sys/stat.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static void folder_end(void)
{
    nftw(files_folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(folder, .init = files_begin, .fini = folder_end);

/* An image of w x h pixels of one value, with the folders that its name has. */
static void put(const char *name, int h, int w, uint8_t value)
{
    char path[512];
    snprintf(path, sizeof path, "%s", files_path(name));
    for (char *p = path + strlen(files_folder) + 1; (p = strchr(p, '/')); p++) {
        *p = 0;
        mkdir(path, 0700);
        *p = '/';
    }
    LUCID_SCOPE;
    lucid_tensor *t = lucid_empty((3, h, w), .dtype = LUCID_U8);
    memset(lucid_mutable_data(t), value, (size_t)(3 * h * w));
    char file[600];
    snprintf(file, sizeof file, "%s/x.png", files_folder);
    cr_assert(lucid_image_write(t, file), "%s", lucid_error());
    cr_assert(rename(file, path) == 0);
}

/* Four classes: Zebra, bird, cat and Ärger, in the order of their bytes. */
static void put_all(void)
{
    put("cat/b.png", 2, 3, 10);
    put("cat/a/z.PNG", 4, 5, 11);
    put("cat/c.jpeg", 1, 1, 12);
    put("Zebra/1.jpg", 7, 2, 20);
    put("bird/1.png", 1, 1, 30);
    put("bird/10.png", 1, 2, 31);
    put("bird/2.png", 1, 3, 32);
    put("\xc3\x84rger/x.png", 1, 1, 40);
    put("bird/.hidden.png", 1, 1, 99);
    put(".git/x.png", 1, 1, 99);
    files_write("cat/notes.txt", "text", 4);
    files_write("list.png", "no class", 8);
}

Test(folder, classes_and_files_in_byte_order)
{
    setlocale(LC_ALL, "de_DE.UTF-8");
    put_all();
    lucid_dataset *d = data_ImageFolder(files_folder);
    cr_assert(d, "%s", lucid_error());
    cr_expect(d->size == 8 && d->n_classes == 4);
    const char *classes[] = {"Zebra", "bird", "cat", "\xc3\x84rger"};
    for (int i = 0; i < 4; i++) cr_expect_str_eq(d->classes[i], classes[i]);
    const char *paths[] = {"Zebra/1.jpg", "bird/1.png", "bird/10.png", "bird/2.png",
                           "cat/a/z.PNG", "cat/b.png",  "cat/c.jpeg",  "\xc3\x84rger/x.png"};
    const int64_t labels[] = {0, 1, 1, 1, 2, 2, 2, 3};
    const int widths[] = {2, 1, 2, 3, 5, 3, 1, 1};
    for (int i = 0; i < 8; i++) {
        LUCID_SCOPE;
        cr_expect_str_eq(lucid_data_image_folder_path(d, i), files_path(paths[i]));
        int64_t y;
        lucid_generator rng = {0};
        lucid_tensor *t = d->load(d, i, &rng, &y);
        cr_assert(t, "%s", lucid_error());
        cr_expect(y == labels[i] && d->label(d, i) == y && lucid_size(t, 2) == widths[i]);
        cr_expect(lucid_size(t, 0) == 3 && lucid_tensor_dtype(t) == LUCID_U8);
    }
    lucid_dataset_free(d);
    cr_expect_eq(lucid_live().other, 0);
}

Test(folder, other_extensions_and_modes)
{
    put_all();
    lucid_dataset *d = data_ImageFolder(files_folder, .extensions = ".jpg", .allow_empty = true,
                                        .mode = LUCID_IMAGE_GRAY);
    cr_assert(d, "%s", lucid_error());
    cr_expect(d->size == 1 && d->n_classes == 4 && d->x.shape.dims[0] == 1);
    lucid_dataset_free(d);
}

Test(folder, folders_that_are_refused)
{
    EXPECT_ERROR(data_ImageFolder(NULL), LUCID_ERR_ARGUMENT, "root: expected");
    EXPECT_ERROR(data_ImageFolder(files_path("none")), LUCID_ERR_IO, "none: cannot read: No such");
    EXPECT_ERROR(data_ImageFolder(files_folder), LUCID_ERR_FORMAT, "a sub-folder for each class");
    put("cat/a.png", 1, 1, 1);
    mkdir(files_path("dog"), 0700);
    EXPECT_ERROR(data_ImageFolder(files_folder), LUCID_ERR_FORMAT,
                 "dog: expected images in every class, found none that ends with .jpg,.jpeg,.png");
    EXPECT_ERROR(data_ImageFolder(files_folder, .mode = LUCID_IMAGE_UNCHANGED), LUCID_ERR_ARGUMENT,
                 "mode: expected");
    EXPECT_ERROR(data_ImageFolder(files_folder, .extensions = ""), LUCID_ERR_ARGUMENT, "nothing");
    rmdir(files_path("dog"));
    cr_assert(symlink(".", files_path("cat/loop")) == 0);
    EXPECT_ERROR(data_ImageFolder(files_folder), LUCID_ERR_FORMAT,
                 "cat/loop: is a link to a folder that it lies in");
    unlink(files_path("cat/loop"));
    cr_assert(symlink("nowhere", files_path("cat/gone.png")) == 0);
    EXPECT_ERROR(data_ImageFolder(files_folder), LUCID_ERR_IO,
                 "cat/gone.png: cannot read: No such");
    unlink(files_path("cat/gone.png"));
    files_write("cat/b.png", "broken", 6);
    lucid_dataset *d = data_ImageFolder(files_folder);
    int64_t y;
    lucid_generator rng = {0};
    EXPECT_ERROR(d->load(d, 1, &rng, &y), LUCID_ERR_FORMAT, "cat/b.png: is neither PNG nor JPEG");
    EXPECT_ERROR(lucid_data_image_folder_path(d, 2), LUCID_ERR_ARGUMENT, "[0,2), got 2");
    EXPECT_ERROR(lucid_data_image_folder_path(NULL, 0), LUCID_ERR_ARGUMENT, "got NULL");
    EXPECT_ERROR(data_Loader(d), LUCID_ERR_ARGUMENT, "its samples have different sizes, [3,-1,-1]");
    cr_expect_eq(lucid_live().other, 0);
}

Test(folder, every_allocation_may_fail)
{
    put("cat/a/b/c.png", 1, 1, 1);
    put("dog/1.png", 1, 1, 1);
    for (uint64_t n = 1;; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        int64_t y;
        lucid_generator rng = {0};
        lucid_dataset *d = data_ImageFolder(files_folder);
        bool ok = d && d->load(d, 0, &rng, &y);
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        lucid_dataset_free(d);
        cr_assert_eq(ok, !reached);
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                     lucid_error());
        lucid_clear_error();
        cr_assert_eq(lucid_live().other, 0);
        if (!reached) break;
    }
}
