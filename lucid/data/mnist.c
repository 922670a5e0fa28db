#include "lucid/data/mnist.h"

#include "lucid/data/dataset_priv.h"
#include "lucid/data/files_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/io/idx_priv.h"
#include "lucid/io/sha256_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

/* The sets in this format that the library knows. */
typedef enum kind { MNIST, FASHION, KMNIST } kind;
static const char *const ops[] = {"data_MNIST", "data_FashionMNIST", "data_KMNIST"};

static const char *const digits[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
static const char *const clothes[] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                      "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
static const char *const kana[] = {"o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"};
static const char *const *const names[] = {digits, clothes, kana};

typedef struct mnist_dataset {
    lucid_dataset base;
    lucid_tensor *images, *labels; /* u8 [n,H,W] and [n] */
    const uint8_t *pixels, *classes;
    size_t image_size;
    float value[256]; /* the value of each gray level */
} mnist_dataset;

/* The two files of a split, and the SHA-256 of their uncompressed content. */
typedef struct known_file {
    const char *name, *mnist, *fashion;
} known_file;

static const known_file known_files[2][2] = {
    {{"train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
      "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"},
     {"train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
      "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"}},
    {{"t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
      "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"},
     {"t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
      "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"}},
};

static bool verify(const known_file *known, const char *path, luc_sha256 *sum, kind which)
{
    char got[LUC_SHA256_TEXT];
    luc_sha256_end(sum, got);
    if (which == MNIST && strcmp(got, known->mnist) == 0) return true;
    if (which != KMNIST && strcmp(got, known->fashion) == 0) return true;
    if (which == FASHION)
        return luc_raise(LUCID_ERR_FORMAT, ops[which],
                         "%s: the content was altered: expected SHA-256 %s, got %s; .verify = "
                         "false reads other data",
                         path, known->fashion, got);
    return luc_raise(LUCID_ERR_FORMAT, ops[which],
                     "%s: the content was altered: expected SHA-256 %s (MNIST) or %s "
                     "(Fashion-MNIST), got %s; .verify = false reads other data",
                     path, known->mnist, known->fashion, got);
}

/* A u8 tensor of ndim dimensions, retained. */
static lucid_tensor *read_file(const char *dir, const known_file *known, int ndim, bool verified,
                               kind which)
{
    const char *op = ops[which];
    luc_sha256 sum;
    size_t scope = lucid_scope_begin();
    char *path = scope ? luc_data_find(dir, known->name, op) : NULL;
    lucid_tensor *t = NULL;
    if (!path) goto end;
    luc_sha256_begin(&sum);
    t = luc_idx_read(path, op, verified ? &sum : NULL);
    if (t && (lucid_tensor_dtype(t) != LUCID_U8 || lucid_ndim(t) != ndim)) {
        luc_raise(LUCID_ERR_FORMAT, op, "%s: expected uint8 of %d dimensions, got %s %s", path,
                  ndim, lucid_dtype_name(lucid_tensor_dtype(t)), luc_shape_text(t).s);
        t = NULL;
    }
    if (t && verified && !verify(known, path, &sum, which)) t = NULL;
    lucid_retain(t);
end:
    luc_free(path);
    lucid_scope_end(scope);
    return t;
}

static bool check_labels(const mnist_dataset *d, const char *dir, const char *name, int64_t classes,
                         const char *op)
{
    int64_t n = lucid_size(d->labels, 0);
    if (n != lucid_size(d->images, 0))
        return luc_raise(LUCID_ERR_FORMAT, op,
                         "%s/%s: expected a label for each image, got images %s, labels %s", dir,
                         name, luc_shape_text(d->images).s, luc_shape_text(d->labels).s);
    for (int64_t i = 0; i < n; i++)
        if (d->classes[i] >= classes)
            return luc_raise(LUCID_ERR_FORMAT, op,
                             "%s/%s: label %lld: expected a class in [0,%lld), got %d", dir, name,
                             (long long)i, (long long)classes, d->classes[i]);
    return true;
}

static bool mnist_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                      void *y)
{
    const mnist_dataset *d = (const mnist_dataset *)dataset;
    const uint8_t *from = d->pixels + (size_t)index * d->image_size;
    float *to = x;
    (void)rng;
    for (size_t i = 0; i < d->image_size; i++) to[i] = d->value[from[i]];
    *(int64_t *)y = d->classes[index];
    return true;
}

static bool bytes_get(const lucid_dataset *dataset, int64_t index, lucid_generator *rng, void *x,
                      void *y)
{
    const mnist_dataset *d = (const mnist_dataset *)dataset;
    (void)rng;
    memcpy(x, d->pixels + (size_t)index * d->image_size, d->image_size);
    *(int64_t *)y = d->classes[index];
    return true;
}

static int64_t mnist_label(const lucid_dataset *dataset, int64_t index)
{
    return ((const mnist_dataset *)dataset)->classes[index];
}

static void mnist_free(lucid_dataset *dataset)
{
    mnist_dataset *d = (mnist_dataset *)dataset;
    lucid_release(d->images);
    lucid_release(d->labels);
    luc_dataset_delete(d);
}

static bool check_options(const char *dir, lucid_split split, const lucid_mnist_options *options,
                          const char *op)
{
    if (!dir) return luc_raise(LUCID_ERR_ARGUMENT, op, "dir: expected a folder's name, got NULL");
    if (split != LUCID_TRAIN && split != LUCID_TEST)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "split: expected LUCID_TRAIN or LUCID_TEST, got %d", (int)split);
    if (options->normalize && !(options->std > 0))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "std: expected more than 0, got %g", options->std);
    return true;
}

/* In float steps, as in PyTorch's ToTensor and Normalize, so that the bits are the same. */
static void set_values(mnist_dataset *d, const lucid_mnist_options *options)
{
    for (int i = 0; i < 256; i++) {
        float v = (float)i / 255.0f;
        if (options->normalize) v = (v - (float)options->mean) / (float)options->std;
        d->value[i] = v;
    }
}

static lucid_dataset *read_set(const char *dir, lucid_split split,
                               const lucid_mnist_options *options, kind which)
{
    const char *op = ops[which];
    if (!check_options(dir, split, options, op)) return NULL;
    mnist_dataset *d = luc_dataset_new(sizeof *d, op);
    if (!d) return NULL;
    const known_file *files = known_files[split == LUCID_TEST];
    const bool verified = options->verify && which != KMNIST;
    d->images = read_file(dir, &files[0], 3, verified, which);
    if (!d->images) goto fail;
    d->labels = read_file(dir, &files[1], 1, verified, which);
    if (!d->labels) goto fail;
    d->pixels = lucid_data(d->images);
    d->classes = lucid_data(d->labels);
    if (!check_labels(d, dir, files[1].name, options->classes, op)) goto fail;

    lucid_shape whole = lucid_tensor_shape(d->images);
    d->image_size = (size_t)whole.dims[1] * (size_t)whole.dims[2];
    d->base = (lucid_dataset){
        .name = op,
        .size = whole.dims[0],
        .x = {options->bytes ? LUCID_U8 : LUCID_F32, {3, {1, whole.dims[1], whole.dims[2]}}},
        .y = {LUCID_I64, {0}},
        .get = options->bytes ? bytes_get : mnist_get,
        .label = mnist_label,
        .classes = options->classes == 10 ? names[which] : NULL,
        .n_classes = options->classes,
        .free = mnist_free,
    };
    set_values(d, options);
    return &d->base;
fail:
    mnist_free(&d->base);
    return NULL;
}

lucid_dataset *lucid_data_mnist(const char *dir, lucid_split split,
                                const lucid_mnist_options *options)
{
    options = LUC_OPTIONS(lucid_mnist, options, ops[MNIST]);
    return options ? read_set(dir, split, options, MNIST) : NULL;
}

lucid_dataset *lucid_data_fashion_mnist(const char *dir, lucid_split split,
                                        const lucid_fashion_mnist_options *options)
{
    options = LUC_OPTIONS(lucid_fashion_mnist, options, ops[FASHION]);
    if (!options) return NULL;
    return read_set(dir, split,
                    LUC_WITH(lucid_mnist, .normalize = options->normalize, .mean = options->mean,
                             .std = options->std, .classes = 10, .verify = options->verify,
                             .bytes = options->bytes),
                    FASHION);
}

lucid_dataset *lucid_data_kmnist(const char *dir, lucid_split split,
                                 const lucid_kmnist_options *options)
{
    options = LUC_OPTIONS(lucid_kmnist, options, ops[KMNIST]);
    if (!options) return NULL;
    return read_set(dir, split,
                    LUC_WITH(lucid_mnist, .normalize = options->normalize, .mean = options->mean,
                             .std = options->std, .classes = 10, .bytes = options->bytes),
                    KMNIST);
}
