#include "lucid/data/cifar.h"

#include "lucid/data/dataset_priv.h"
#include "lucid/data/files_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/io/input_priv.h"
#include "lucid/io/sha256_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PIXELS = 3 * 32 * 32 };

static const char *const classes10[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                        "dog",      "frog",       "horse", "ship", "truck"};

static const char *const files10[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                      "data_batch_4.bin", "data_batch_5.bin"};
static const char *const test10[] = {"test_batch.bin"};
static const char *const files100[] = {"train.bin"};
static const char *const test100[] = {"test.bin"};

/* How one of the two sets is read. */
typedef struct form {
    const char *op;
    const char *const *files[2]; /* of training, of testing */
    int n_files[2];
    int labels; /* bytes before the pixels */
    int which;  /* of them is the label */
    int n_classes;
    bool verify;
    const char *sha256;
} form;

typedef struct cifar {
    lucid_dataset base;
    lucid_tensor *records; /* u8 [n, labels + PIXELS] */
    const uint8_t *data;
    size_t record;
    int labels, which;
} cifar;

static bool cifar_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                      void *y)
{
    const cifar *c = (const cifar *)dataset;
    const uint8_t *from = c->data + (size_t)index * c->record;
    (void)rng;
    memcpy(x, from + c->labels, PIXELS);
    *(int64_t *)y = from[c->which];
    return true;
}

static int64_t cifar_label(const lucid_dataset *dataset, int64_t index)
{
    const cifar *c = (const cifar *)dataset;
    return c->data[(size_t)index * c->record + (size_t)c->which];
}

static void cifar_free(lucid_dataset *dataset)
{
    lucid_release(((cifar *)dataset)->records);
    luc_dataset_delete(dataset);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What has been read: whole files, one after the other, in memory that grows. */
typedef struct content {
    unsigned char *data;
    size_t size, capacity;
} content;

/* Adds a file's content. The limit keeps a file of zeros from filling the memory. */
static bool read_file(content *c, const char *path, size_t record, size_t limit, const char *op,
                      luc_sha256 *sum)
{
    luc_input in;
    const size_t begin = c->size;
    bool ok = luc_input_open(&in, path, op, sum);
    for (bool more = true; ok && more;) {
        if (c->capacity == c->size) {
            size_t capacity = c->capacity ? 2 * c->capacity : (size_t)1 << 20;
            void *grown = luc_realloc(c->data, capacity, op);
            if (!grown) {
                ok = false;
                break;
            }
            c->data = grown, c->capacity = capacity;
        }
        size_t got = 0, asked = c->capacity - c->size;
        ok = luc_input_read(&in, c->data + c->size, asked, &got);
        c->size += got;
        more = got == asked;
        if (ok && c->size - begin > limit)
            ok = luc_raise(LUCID_ERR_FORMAT, op, "%s: expected at most %zu bytes", path, limit);
    }
    luc_input_close(&in);
    if (ok && (c->size - begin) % record)
        ok = luc_raise(LUCID_ERR_FORMAT, op,
                       "%s: expected whole images of %zu bytes, got %zu bytes; is it cut off?",
                       path, record, c->size - begin);
    return ok;
}

static bool read_all(content *c, const char *dir, const form *f, lucid_split split, luc_sha256 *sum)
{
    struct stat st;
    const int k = split == LUCID_TEST;
    const size_t record = (size_t)f->labels + PIXELS;
    const bool folder = stat(dir, &st) != 0 || S_ISDIR(st.st_mode);
    if (!folder) return read_file(c, dir, record, record * 100000, f->op, sum);
    for (int i = 0; i < f->n_files[k]; i++) {
        char *path = luc_data_find(dir, f->files[k][i], f->op);
        bool ok = path && read_file(c, path, record, record * 100000, f->op, sum);
        luc_free(path);
        if (!ok) return false;
    }
    int64_t n = (int64_t)(c->size / record), expected = k ? 10000 : 50000;
    return n == expected || !f->verify ||
           luc_raise(LUCID_ERR_FORMAT, f->op,
                     "%s: expected %lld images, got %lld; .verify = false reads other numbers", dir,
                     (long long)expected, (long long)n);
}

static bool check_labels(const content *c, const char *dir, const form *f)
{
    const size_t record = (size_t)f->labels + PIXELS;
    for (size_t at = 0; at < c->size; at += record)
        if (c->data[at + (size_t)f->which] >= f->n_classes)
            return luc_raise(LUCID_ERR_FORMAT, f->op,
                             "%s: label of image %zu: expected a class in [0,%d), got %d", dir,
                             at / record, f->n_classes, c->data[at + (size_t)f->which]);
    return true;
}

static bool check_sum(luc_sha256 *sum, const char *dir, const form *f)
{
    char got[LUC_SHA256_TEXT];
    luc_sha256_end(sum, got);
    if (!f->sha256 || strcmp(got, f->sha256) == 0) return true;
    return luc_raise(LUCID_ERR_FORMAT, f->op,
                     "%s: the content was altered: expected SHA-256 %s, got %s", dir, f->sha256,
                     got);
}

/* The records as a tensor, retained: tensor memory has huge pages. */
static lucid_tensor *records_of(const content *c, size_t record)
{
    size_t scope = lucid_scope_begin();
    lucid_tensor *t = NULL;
    if (scope)
        t = lucid_from_data_opt(
            LUCID_SHAPE((int64_t)(c->size / record), (int64_t)record), c->data,
            LUC_WITH(lucid_tensor, .dtype = LUCID_U8, .memory_format = LUCID_CONTIGUOUS));
    lucid_retain(t);
    lucid_scope_end(scope);
    return t;
}

static lucid_dataset *read_set(const char *dir, lucid_split split, const form *f)
{
    content c = {0};
    luc_sha256 sum;
    cifar *d = NULL;
    if (!dir)
        return luc_raise_null(LUCID_ERR_ARGUMENT, f->op, "dir: expected a folder's name, got NULL");
    if (split != LUCID_TRAIN && split != LUCID_TEST)
        return luc_raise_null(LUCID_ERR_ARGUMENT, f->op,
                              "split: expected LUCID_TRAIN or LUCID_TEST, got %d", (int)split);
    luc_sha256_begin(&sum);
    if (!read_all(&c, dir, f, split, f->sha256 ? &sum : NULL) || !check_labels(&c, dir, f) ||
        !check_sum(&sum, dir, f))
        goto end;
    const size_t record = (size_t)f->labels + PIXELS;
    d = luc_dataset_new(sizeof *d, f->op);
    if (!d) goto end;
    d->record = record;
    d->labels = f->labels;
    d->which = f->which;
    d->base = (lucid_dataset){.name = f->op,
                              .size = (int64_t)(c.size / record),
                              .x = {LUCID_U8, {3, {3, 32, 32}}},
                              .y = {LUCID_I64, {0}},
                              .get = cifar_get,
                              .label = cifar_label,
                              .n_classes = f->n_classes,
                              .free = cifar_free};
    if (f->n_classes == 10) d->base.classes = classes10;
    d->records = records_of(&c, record);
    if (d->records) {
        d->data = lucid_data(d->records);
    } else {
        cifar_free(&d->base);
        d = NULL;
    }
end:
    luc_free(c.data);
    return d ? &d->base : NULL;
}

lucid_dataset *lucid_data_cifar10(const char *dir, lucid_split split,
                                  const lucid_cifar10_options *options)
{
    form f = {"data_CIFAR10", {files10, test10}, {5, 1}, 1, 0, 10, true, NULL};
    options = LUC_OPTIONS(lucid_cifar10, options, f.op);
    if (!options) return NULL;
    f.verify = options->verify;
    f.sha256 = options->sha256;
    return read_set(dir, split, &f);
}

lucid_dataset *lucid_data_cifar100(const char *dir, lucid_split split,
                                   const lucid_cifar100_options *options)
{
    form f = {"data_CIFAR100", {files100, test100}, {1, 1}, 2, 1, 100, true, NULL};
    options = LUC_OPTIONS(lucid_cifar100, options, f.op);
    if (!options) return NULL;
    f.verify = options->verify;
    f.sha256 = options->sha256;
    if (options->coarse) f.which = 0, f.n_classes = 20;
    return read_set(dir, split, &f);
}
