/* MNIST: the real files give the right numbers, and errors name a damaged file. */
#include "tests/lucid/io/files.h"

#include "lucid/data/loader.h"
#include "lucid/data/mnist.h"
#include "lucid/core/memory.h"

TestSuite(mnist, .init = files_begin, .fini = files_end);

static const char *mnist_dir(void)
{
    static char path[512];
    const char *root = getenv("LUCID_SOURCE");
    snprintf(path, sizeof path, "%s/examples/data/mnist", root ? root : ".");
    return path;
}

static const char fashion_dir[] = "/usr/share/datasets/fashion-mnist";

typedef struct sample {
    float x[28 * 28];
    int64_t y;
} sample;

static sample get(const lucid_dataset *d, int64_t i)
{
    sample s;
    lucid_generator rng = {0};
    cr_assert(d && d->get(d, i, &rng, s.x, &s.y), "%s", lucid_error());
    return s;
}

static void expect_close(double got, double expected)
{
    cr_expect(fabs(got - expected) < 1e-4 * fabs(expected), "expected %.9g, got %.9g", expected,
              got);
}

/* The mean and deviation of all pixels, and the number of samples of each class. */
static void statistics(const lucid_dataset *d, double *mean, double *deviation, int counts[10])
{
    double sum = 0, squares = 0, n = (double)d->size * 28 * 28;
    memset(counts, 0, 10 * sizeof *counts);
    for (int64_t i = 0; i < d->size; i++) {
        sample s = get(d, i);
        for (int k = 0; k < 28 * 28; k++) sum += s.x[k], squares += (double)s.x[k] * s.x[k];
        counts[s.y]++;
    }
    *mean = sum / n;
    *deviation = sqrt(squares / n - *mean * *mean);
}

Test(mnist, the_training_images)
{
    lucid_dataset *d = data_MNIST(mnist_dir(), LUCID_TRAIN, .normalize = false);
    cr_assert(d, "%s", lucid_error());
    cr_expect_eq(d->size, 60000);
    double mean, deviation;
    int counts[10];
    statistics(d, &mean, &deviation, counts);
    expect_close(mean, 0.13066047740);
    expect_close(deviation, 0.30810780385);
    const int expected[] = {5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949};
    cr_expect_arr_eq(counts, expected, sizeof expected);
    /* The first images of the file. */
    const int64_t first[] = {5, 0, 4, 1, 9, 2, 1, 3, 1, 4};
    for (int i = 0; i < 10; i++) cr_expect_eq(get(d, i).y, first[i]);
    cr_expect_eq(get(d, 0).x[5 * 28 + 12], 3 / 255.0f);
    cr_expect_eq(get(d, 0).x[5 * 28 + 18], 175 / 255.0f);
    lucid_dataset_free(d);
    cr_expect(lucid_live().tensors == 0 && lucid_live().other == 0);
}

Test(mnist, the_test_images_normalised)
{
    lucid_dataset *d = lucid_data_mnist(mnist_dir(), LUCID_TEST, NULL);
    cr_assert(d, "%s", lucid_error());
    cr_expect_eq(d->size, 10000);
    cr_expect(d->x.dtype == LUCID_F32 && d->y.dtype == LUCID_I64 && d->y.shape.ndim == 0);
    cr_expect(lucid_shape_equal(&d->x.shape, &LUCID_SHAPE(1, 28, 28)));
    double mean, deviation;
    int counts[10];
    statistics(d, &mean, &deviation, counts);
    expect_close(mean, 0.005889665181);
    expect_close(deviation, 1.007725569);
    const int expected[] = {980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009};
    cr_expect_arr_eq(counts, expected, sizeof expected);
    /* PyTorch's ToTensor and Normalize round in these steps. */
    cr_expect_eq(get(d, 0).x[0], (0.0f - 0.1307f) / 0.3081f);
    cr_expect_eq(get(d, 0).x[7 * 28 + 6], (84 / 255.0f - 0.1307f) / 0.3081f);
    lucid_dataset_free(d);
}

Test(mnist, batches)
{
    lucid_loader *loader =
        data_Loader(data_MNIST(mnist_dir(), LUCID_TEST), .batch_size = 64, .shuffle = true);
    cr_assert(loader, "%s", lucid_error());
    cr_expect(lucid_loader_size(loader) == 10000 && lucid_loader_batches(loader) == 157);
    lucid_batch b;
    cr_assert(lucid_next(loader, &b));
    EXPECT_SHAPE(b.x, 64, 1, 28, 28);
    EXPECT_SHAPE(b.y, 64);
    const float *x = lucid_data(b.x);
    const int64_t *y = lucid_data(b.y);
    for (int i = 0; i < 64; i++) {
        sample s = get(lucid_loader_dataset(loader), b.indices[i]);
        cr_expect(memcmp(s.x, x + i * 28 * 28, sizeof s.x) == 0 && s.y == y[i]);
    }
    lucid_loader_free(loader);
}

Test(mnist, other_mean_and_deviation)
{
    lucid_dataset *d = data_MNIST(mnist_dir(), LUCID_TEST, .mean = 0.5, .std = 0.25);
    cr_expect_eq(get(d, 0).x[0], -2);
    lucid_dataset_free(d);
    EXPECT_ERROR(data_MNIST(mnist_dir(), LUCID_TEST, .std = 0), LUCID_ERR_ARGUMENT,
                 "std: expected");
    EXPECT_ERROR(data_MNIST(mnist_dir(), LUCID_TEST, .std = NAN), LUCID_ERR_ARGUMENT,
                 "std: expected");
    EXPECT_ERROR(data_MNIST(mnist_dir(), (lucid_split)2), LUCID_ERR_ARGUMENT, "split: expected");
    EXPECT_ERROR(data_MNIST(NULL, LUCID_TEST), LUCID_ERR_ARGUMENT, "dir: expected");
}

Test(mnist, fashion_mnist)
{
    if (access(fashion_dir, R_OK) != 0) cr_skip_test("no package dataset-fashion-mnist");
    lucid_dataset *d = data_MNIST(fashion_dir, LUCID_TRAIN, .normalize = false);
    cr_assert(d, "%s", lucid_error());
    double mean, deviation;
    int counts[10];
    statistics(d, &mean, &deviation, counts);
    expect_close(mean, 0.2860405969);
    expect_close(deviation, 0.3530242445);
    for (int c = 0; c < 10; c++) cr_expect_eq(counts[c], 6000);
    lucid_dataset_free(d);
}

/* ---- files that are not right ---------------------------------------------------------------- */

/* Copies the two files of the test split; *labels gets the labels file, uncompressed. */
static void copy_test_files(char **labels, size_t *size)
{
    const char *names[] = {"t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"};
    for (int i = 0; i < 2; i++) {
        char from[600];
        size_t n;
        snprintf(from, sizeof from, "%s/%s", mnist_dir(), names[i]);
        char *data = files_read(from, &n);
        files_write(names[i], data, n);
        free(data);
    }
    *labels = calloc(1, 20000);
    gzFile f = gzopen(files_path(names[1]), "rb");
    int n = gzread(f, *labels, 20000);
    gzclose(f);
    cr_assert_eq(n, 10008);
    *size = (size_t)n;
}

static const char labels_name[] = "t10k-labels-idx1-ubyte";

Test(mnist, missing_files)
{
    char text[700];
    snprintf(text, sizeof text, "looked for %s/train-images-idx3-ubyte and %s/", files_folder,
             files_folder);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TRAIN), LUCID_ERR_IO, text);
    EXPECT_ERROR(data_MNIST("/no/such/folder", LUCID_TRAIN), LUCID_ERR_IO,
                 "that folder does not exist");
    char *labels;
    size_t size;
    copy_test_files(&labels, &size);
    unlink(files_path("t10k-labels-idx1-ubyte.gz"));
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TEST), LUCID_ERR_IO,
                 "no file t10k-labels-idx1-ubyte in");
    cr_expect(lucid_live().tensors == 0 && lucid_live().other == 0);
    free(labels);
}

Test(mnist, plain_files_go_first)
{
    char *labels;
    size_t size;
    copy_test_files(&labels, &size);
    files_write(labels_name, labels, size);
    lucid_dataset *d = data_MNIST(files_folder, LUCID_TEST);
    cr_assert(d, "%s", lucid_error());
    lucid_dataset_free(d);
    files_write(labels_name, labels, 100);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TEST), LUCID_ERR_FORMAT, "ubyte: is cut off");
    free(labels);
}

Test(mnist, altered_files)
{
    char *labels;
    size_t size;
    copy_test_files(&labels, &size);
    labels[1000] = (char)((labels[1000] + 1) % 10);
    files_write(labels_name, labels, size);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TEST), LUCID_ERR_FORMAT,
                 "t10k-labels-idx1-ubyte: the content was altered: expected SHA-256 "
                 "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2 (MNIST)");
    lucid_dataset *d = data_MNIST(files_folder, LUCID_TEST, .verify = false);
    cr_expect(d, "%s", lucid_error());
    lucid_dataset_free(d);
    labels[1000] = 10;
    files_write(labels_name, labels, size);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TEST, .verify = false), LUCID_ERR_FORMAT,
                 "label 992: expected a class in [0,10), got 10");
    d = data_MNIST(files_folder, LUCID_TEST, .verify = false, .classes = 11);
    cr_expect(d, "%s", lucid_error());
    lucid_dataset_free(d);
    free(labels);
}

Test(mnist, files_that_do_not_fit)
{
    char *labels;
    size_t size;
    copy_test_files(&labels, &size);
    labels[6] = 0, labels[7] = 16; /* [16] instead of [10000] */
    files_write(labels_name, labels, 8 + 16);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TEST, .verify = false), LUCID_ERR_FORMAT,
                 "expected a label for each image, got images [10000,28,28], labels [16]");
    labels[2] = 9;
    files_write(labels_name, labels, 8 + 16);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TEST, .verify = false), LUCID_ERR_FORMAT,
                 "expected uint8 of 1 dimensions, got int32 [16]");
    files_write("t10k-images-idx3-ubyte", labels, 8 + 16);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TEST, .verify = false), LUCID_ERR_FORMAT,
                 "expected uint8 of 3 dimensions");
    free(labels);
}

Test(mnist, other_sizes)
{
    unsigned char images[] = {0, 0, 8, 3, 0, 0, 0,  2,   0,   0,   0,
                              1, 0, 0, 0, 3, 0, 51, 102, 153, 204, 255};
    unsigned char labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 7, 9};
    files_write("train-images-idx3-ubyte", images, sizeof images);
    files_write("train-labels-idx1-ubyte", labels, sizeof labels);
    lucid_dataset *d = data_MNIST(files_folder, LUCID_TRAIN, .verify = false, .normalize = false);
    cr_assert(d, "%s", lucid_error());
    cr_expect(lucid_shape_equal(&d->x.shape, &LUCID_SHAPE(1, 1, 3)));
    float x[3];
    int64_t y;
    lucid_generator rng = {0};
    cr_assert(d->get(d, 1, &rng, x, &y));
    cr_expect(x[0] == 0.6f && x[1] == 0.8f && x[2] == 1 && y == 9);
    lucid_dataset_free(d);
    EXPECT_ERROR(data_MNIST(files_folder, LUCID_TRAIN), LUCID_ERR_FORMAT, "was altered");
}

Test(mnist, every_allocation_may_fail)
{
    for (uint64_t n = 1; n < 100; n++) {
        lucid_memory_fail_nth(n);
        lucid_dataset *d = data_MNIST(mnist_dir(), LUCID_TEST, .verify = false);
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_assert(!d == reached);
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                     lucid_error());
        lucid_clear_error();
        lucid_dataset_free(d);
        cr_assert(lucid_live().tensors == 0 && lucid_live().other == 0);
        if (!reached) return;
    }
    cr_assert_fail("never succeeded");
}
