/* Data sets, parts of them and samplers: which samples come, in which order, and what is
 * refused. */
#include "tests/lucid/io/files.h"

#include "lucid/data/cifar.h"
#include "lucid/data/fake.h"
#include "lucid/data/loader.h"
#include "lucid/data/mnist.h"
#include "lucid/data/sampler.h"
#include "lucid/data/subset.h"
#include "lucid/core/memory.h"
#include "lucid/core/scope.h"

TestSuite(datasets, .init = files_begin, .fini = files_end);

static void nothing_is_left(void)
{
    cr_expect(lucid_live().other == 0 && lucid_live().loaders == 0 && lucid_live().storages == 0);
}

static const char *in_tree(const char *name)
{
    static char path[512];
    const char *root = getenv("LUCID_SOURCE");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
    return path;
}

typedef struct image {
    uint8_t x[3072];
    int64_t y;
} image;

static image get(const lucid_dataset *d, int64_t i)
{
    image s = {0};
    lucid_generator rng = {0};
    cr_assert(d && d->get && d->get(d, i, &rng, s.x, &s.y), "%s", lucid_error());
    return s;
}

/* ---- CIFAR ----------------------------------------------------------------------------------- */

Test(datasets, cifar10_test_images)
{
    const char *path = in_tree("tests/data/resnet20-cifar10/cifar10_test_first256.bin.gz");
    lucid_dataset *d = data_CIFAR10(path, LUCID_TEST);
    cr_assert(d, "%s", lucid_error());
    cr_expect(d->size == 256 && d->x.dtype == LUCID_U8 && d->n_classes == 10);
    cr_expect(lucid_shape_equal(&d->x.shape, &LUCID_SHAPE(3, 32, 32)));
    /* The first of the test set are a cat, two ships and an airplane. */
    const int64_t first[] = {3, 8, 8, 0, 6, 6, 1, 6, 3, 1};
    for (int i = 0; i < 10; i++) cr_expect_eq(get(d, i).y, first[i]);
    for (int i = 0; i < 10; i++) cr_expect_eq(d->label(d, i), first[i]);
    cr_expect_str_eq(d->classes[3], "cat");
    cr_expect(get(d, 0).x[0] == 158 && get(d, 0).x[1024] == 112 && get(d, 0).x[2048] == 49);
    lucid_dataset_free(d);
    nothing_is_left();
}

/* A file of n images whose bytes tell where they are. */
static const char *write_cifar(const char *name, int n, int labels, int first)
{
    size_t record = (size_t)labels + 3072;
    uint8_t *data = calloc((size_t)n, record);
    for (int i = 0; i < n; i++) {
        uint8_t *p = data + (size_t)i * record;
        for (int k = 0; k < labels; k++) p[k] = (uint8_t)((first + i) % (k ? 100 : 10));
        memset(p + labels, first + i, 3072);
    }
    const char *path = files_write(name, data, (size_t)n * record);
    free(data);
    return path;
}

Test(datasets, cifar_folders)
{
    char name[32];
    for (int i = 1; i <= 5; i++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        write_cifar(name, 2, 1, 10 * i);
    }
    EXPECT_ERROR(data_CIFAR10(files_folder, LUCID_TRAIN), LUCID_ERR_FORMAT,
                 "expected 50000 images, got 10");
    lucid_dataset *d = data_CIFAR10(files_folder, LUCID_TRAIN, .verify = false);
    cr_assert(d, "%s", lucid_error());
    cr_expect(d->size == 10 && get(d, 2).x[5] == 20 && get(d, 9).x[5] == 51 && get(d, 9).y == 1);
    lucid_dataset_free(d);
    write_cifar("train.bin", 30, 2, 5);
    d = data_CIFAR100(files_folder, LUCID_TRAIN, .verify = false);
    cr_expect(d->size == 30 && get(d, 20).y == 25 && get(d, 20).x[3071] == 25);
    lucid_dataset_free(d);
    d = data_CIFAR100(files_folder, LUCID_TRAIN, .verify = false, .coarse = true);
    cr_expect(get(d, 20).y == 5 && d->n_classes == 20);
    lucid_dataset_free(d);
    nothing_is_left();
}

Test(datasets, cifar_that_is_damaged)
{
    EXPECT_ERROR(data_CIFAR10(NULL, LUCID_TRAIN), LUCID_ERR_ARGUMENT, "dir: expected");
    EXPECT_ERROR(data_CIFAR10(".", (lucid_split)7), LUCID_ERR_ARGUMENT, "split: expected");
    EXPECT_ERROR(data_CIFAR10(files_folder, LUCID_TEST), LUCID_ERR_IO, "no file test_batch.bin");
    EXPECT_ERROR(data_CIFAR10(files_path("none"), LUCID_TEST), LUCID_ERR_IO, "does not exist");
    const char *path = files_write("test_batch.bin", "1234", 4);
    EXPECT_ERROR(data_CIFAR10(files_folder, LUCID_TEST), LUCID_ERR_FORMAT,
                 "test_batch.bin: expected whole images of 3073 bytes, got 4 bytes");
    unlink(path);
    path = write_cifar("a.bin", 3, 1, 0);
    char *sum = "0000";
    EXPECT_ERROR(data_CIFAR10(path, LUCID_TEST, .sha256 = sum), LUCID_ERR_FORMAT,
                 "the content was altered: expected SHA-256 0000, got");
    EXPECT_ERROR(data_CIFAR100(path, LUCID_TEST), LUCID_ERR_FORMAT, "whole images of 3074");
    size_t size;
    char *data = files_read(path, &size);
    data[3073] = 10;
    EXPECT_ERROR(data_CIFAR10(files_write("b.bin", data, size), LUCID_TEST), LUCID_ERR_FORMAT,
                 "label of image 1: expected a class in [0,10), got 10");
    free(data);
    lucid_dataset *none = data_CIFAR10(files_write("c.bin", "", 0), LUCID_TEST);
    cr_expect_eq(none->size, 0);
    lucid_dataset_free(none);
    nothing_is_left();
}

/* ---- fake data ------------------------------------------------------------------------------- */

Test(datasets, fake_data)
{
    lucid_dataset *a = data_FakeData(50, (3, 32, 32), .classes = 4, .seed = 7);
    lucid_dataset *b = data_FakeData(50, (3, 32, 32), .classes = 4, .seed = 8);
    int counts[4] = {0}, same = 0;
    for (int i = 0; i < 50; i++) {
        image x = get(a, i), again = get(a, i), other = get(b, i);
        cr_expect(memcmp(&x, &again, sizeof x) == 0 && x.y == a->label(a, i));
        counts[x.y]++;
        same += memcmp(x.x, other.x, 3072) == 0;
    }
    cr_expect(counts[0] && counts[1] && counts[2] && counts[3] && !same);
    lucid_dataset_free(a);
    lucid_dataset_free(b);
    /* With a signal, pictures of a class are alike. */
    a = data_FakeData(50, (1, 8, 8), .classes = 2, .signal = 1);
    for (int i = 1; i < 50; i++)
        cr_expect((memcmp(get(a, i).x, get(a, 0).x, 64) == 0) == (get(a, i).y == get(a, 0).y));
    lucid_dataset_free(a);
    a = data_FakeData(0, (3, 0, 2));
    cr_expect_eq(a->size, 0);
    lucid_dataset_free(a);
    EXPECT_ERROR(data_FakeData(-1, 3), LUCID_ERR_ARGUMENT, "size: expected");
    EXPECT_ERROR(data_FakeData(1, (3, -1)), LUCID_ERR_ARGUMENT, "data_FakeData");
    EXPECT_ERROR(data_FakeData(1, (1 << 20, 1 << 20)), LUCID_ERR_ARGUMENT, "2^27");
    EXPECT_ERROR(data_FakeData(1, 3, .classes = 0), LUCID_ERR_ARGUMENT, "classes: expected >= 1");
    EXPECT_ERROR(data_FakeData(1, 3, .signal = NAN), LUCID_ERR_ARGUMENT, "signal: expected 0 to 1");
    nothing_is_left();
}

Test(datasets, the_mnist_family_has_names)
{
    lucid_dataset *d = data_MNIST(in_tree("examples/data/mnist"), LUCID_TEST, .bytes = true);
    cr_assert(d, "%s", lucid_error());
    cr_expect(d->x.dtype == LUCID_U8 && get(d, 0).x[7 * 28 + 6] == 84 && d->label(d, 0) == 7);
    cr_expect_str_eq(d->classes[7], "7");
    lucid_dataset_free(d);
    EXPECT_ERROR(data_FashionMNIST(in_tree("examples/data/mnist"), LUCID_TEST), LUCID_ERR_FORMAT,
                 "data_FashionMNIST: ");
    d = data_KMNIST(in_tree("examples/data/mnist"), LUCID_TEST);
    cr_expect(d && strcmp(d->classes[1], "ki") == 0);
    lucid_dataset_free(d);
    if (access("/usr/share/datasets/fashion-mnist", R_OK) == 0) {
        d = data_FashionMNIST("/usr/share/datasets/fashion-mnist", LUCID_TEST);
        cr_assert(d, "%s", lucid_error());
        cr_expect_str_eq(d->classes[9], "Ankle boot");
        lucid_dataset_free(d);
    }
    nothing_is_left();
}

/* ---- parts ----------------------------------------------------------------------------------- */

/* n samples; sample i is (i, i % classes). */
static lucid_dataset *numbers(int64_t n, int64_t classes)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_empty(n, .dtype = LUCID_I64), *y = lucid_empty(n, .dtype = LUCID_I64);
    for (int64_t i = 0; i < n; i++) {
        ((int64_t *)lucid_mutable_data(x))[i] = i;
        ((int64_t *)lucid_mutable_data(y))[i] = i % classes;
    }
    return data_Tensors(x, y);
}

static int64_t number(const lucid_dataset *d, int64_t i)
{
    int64_t x = -1, y = -1;
    lucid_generator rng = {0};
    cr_assert(d->get(d, i, &rng, &x, &y));
    if (d->label) cr_expect_eq(d->label(d, i), y);
    return x;
}

Test(datasets, subset)
{
    const int64_t indices[] = {5, 0, 5, 9};
    lucid_dataset *d = data_Subset(numbers(10, 3), indices, 4);
    cr_assert(d, "%s", lucid_error());
    cr_expect(d->size == 4 && number(d, 0) == 5 && number(d, 1) == 0 && number(d, 3) == 9);
    lucid_dataset_free(data_Subset(d, NULL, 0));
    const int64_t bad[] = {1, 10};
    EXPECT_ERROR(data_Subset(numbers(10, 3), bad, 2), LUCID_ERR_ARGUMENT,
                 "indices: expected samples in [0,10), got 10 at 1");
    EXPECT_ERROR(data_Subset(numbers(10, 3), NULL, 2), LUCID_ERR_ARGUMENT, "and NULL");
    EXPECT_ERROR(data_Subset(NULL, indices, 2), LUCID_ERR_ARGUMENT, "dataset: got NULL");
    nothing_is_left();
}

Test(datasets, random_split_by_fractions)
{
    lucid_dataset *a, *b, *c;
    cr_assert(data_random_split(numbers(10, 3), (.33, .33, .34), (&a, &b, &c)));
    cr_expect(a->size == 4 && b->size == 3 && c->size == 3);
    int seen[10] = {0};
    for (int i = 0; i < 4; i++) seen[number(a, i)]++;
    for (int i = 0; i < 3; i++) seen[number(b, i)]++, seen[number(c, i)]++;
    for (int i = 0; i < 10; i++) cr_expect_eq(seen[i], 1);
    lucid_dataset_free(b); /* in any order */
    lucid_dataset_free(a);
    cr_expect_gt(number(c, 0), -1);
    lucid_dataset_free(c);
    nothing_is_left();
}

Test(datasets, random_split_by_lengths_and_seeds)
{
    lucid_dataset *a, *b, *same, *other, *rest;
    cr_assert(data_random_split(numbers(100, 3), (70, 30), (&a, &b), .seed = 3));
    cr_expect(a->size == 70 && b->size == 30);
    cr_assert(data_random_split(numbers(100, 3), (70, 30), (&same, &rest), .seed = 3));
    int differ = 0;
    for (int i = 0; i < 70; i++) differ += number(a, i) != number(same, i);
    cr_expect_eq(differ, 0);
    lucid_dataset_free(rest);
    cr_assert(data_random_split(numbers(100, 3), (70, 30), (&other, &rest), .seed = 4));
    for (int i = 0; i < 70; i++) differ += number(a, i) != number(other, i);
    cr_expect_gt(differ, 50);
    lucid_dataset *all[] = {a, b, same, other, rest};
    for (int i = 0; i < 5; i++) lucid_dataset_free(all[i]);
    nothing_is_left();
}

Test(datasets, stratified_split)
{
    lucid_dataset *part[3];
    /* Classes of 34, 33 and 33 samples. */
    cr_assert(data_random_split(numbers(100, 3), (.8, .1, .1), (&part[0], &part[1], &part[2]),
                                .stratify = true));
    const double share[] = {.8, .1, .1};
    for (int p = 0; p < 3; p++) {
        double counts[3] = {0};
        cr_expect_eq(part[p]->size, (int64_t)(100 * share[p] + .5));
        for (int64_t i = 0; i < part[p]->size; i++) counts[part[p]->label(part[p], i)]++;
        for (int k = 0; k < 3; k++)
            cr_expect(fabs(counts[k] - share[p] * (k ? 33 : 34)) <= 1, "part %d: class %d: %g", p,
                      k, counts[k]);
        lucid_dataset_free(part[p]);
    }
    nothing_is_left();
}

static bool any_get(const lucid_dataset *d, int64_t index, lucid_generator *rng, void *x, void *y)
{
    (void)d, (void)rng;
    *(int64_t *)x = *(int64_t *)y = index;
    return true;
}

Test(datasets, splits_that_are_refused)
{
    lucid_dataset *a = (lucid_dataset *)1, *b = a;
    EXPECT_ERROR(data_random_split(numbers(10, 3), (5, 4), (&a, &b)), LUCID_ERR_ARGUMENT,
                 "expected lengths whose sum is 10, got 9");
    cr_expect(!a && !b);
    EXPECT_ERROR(data_random_split(numbers(10, 3), (.5, .4), (&a, &b)), LUCID_ERR_ARGUMENT,
                 "fractions whose sum is 1");
    EXPECT_ERROR(data_random_split(numbers(10, 3), (1.5, -.5), (&a, &b)), LUCID_ERR_ARGUMENT,
                 ">= 0, got -0.5");
    EXPECT_ERROR(data_random_split(numbers(10, 3), (NAN, 1), (&a, &b)), LUCID_ERR_ARGUMENT, "nan");
    EXPECT_ERROR(data_random_split(numbers(10, 3), (1e300, 1), (&a, &b)), LUCID_ERR_ARGUMENT,
                 "1e+300");
    EXPECT_ERROR(data_random_split(NULL, (.5, .5), (&a, &b)), LUCID_ERR_ARGUMENT, "got NULL");
    lucid_dataset plain = {.name = "plain",
                           .size = 4,
                           .get = any_get,
                           .x = {.dtype = LUCID_I64},
                           .y = {.dtype = LUCID_I64}};
    EXPECT_ERROR(data_random_split(&plain, (.5, .5), (&a, &b), .stratify = true),
                 LUCID_ERR_ARGUMENT, "the .label of plain is NULL");
    cr_assert(data_random_split(numbers(0, 3), (.5, .5), (&a, &b), .stratify = true));
    cr_expect(a->size == 0 && b->size == 0);
    lucid_dataset_free(a);
    lucid_dataset_free(b);
    nothing_is_left();
}

Test(datasets, concat)
{
    lucid_dataset *d = data_Concat(numbers(3, 2), numbers(0, 1), numbers(4, 2));
    cr_assert(d, "%s", lucid_error());
    const int64_t expected[] = {0, 1, 2, 0, 1, 2, 3};
    cr_expect_eq(d->size, 7);
    for (int i = 0; i < 7; i++) cr_expect_eq(number(d, i), expected[i]);
    lucid_dataset_free(d);
    lucid_dataset *few = numbers(3, 2), *many = numbers(4, 7), *some = numbers(2, 5);
    few->n_classes = 2, many->n_classes = 7, some->n_classes = 5;
    d = data_Concat(few, many, some);
    cr_expect(d && d->n_classes == 7); /* of the set that has most */
    lucid_dataset_free(d);
    EXPECT_ERROR(data_Concat(numbers(3, 2), data_FakeData(3, (1, 2, 2))), LUCID_ERR_ARGUMENT,
                 "expected samples as those of the first, int64 []; number 1 has uint8 [1,2,2]");
    EXPECT_ERROR(data_Concat(numbers(3, 2), NULL), LUCID_ERR_ARGUMENT, "datasets: got NULL");
    lucid_dataset *twice = numbers(3, 2);
    EXPECT_ERROR(data_Concat(twice, twice), LUCID_ERR_ARGUMENT, "number 1 is number 0 again");
    EXPECT_ERROR(lucid_data_concat(NULL, 0), LUCID_ERR_ARGUMENT, "one at least");
    nothing_is_left();
}

/* ---- samplers -------------------------------------------------------------------------------- */

/* The samples of one epoch, at most 1000. */
static int64_t epoch(lucid_loader *loader, int64_t *list, int64_t *batches)
{
    int64_t n = 0;
    lucid_batch b;
    cr_assert(loader, "%s", lucid_error());
    *batches = 0;
    while (lucid_next(loader, &b)) {
        for (int64_t i = 0; i < b.n; i++) {
            cr_expect_eq(((const int64_t *)lucid_data(b.x))[i], b.indices[i]);
            list[n++] = b.indices[i];
        }
        ++*batches;
    }
    cr_expect_eq(lucid_error_code(), LUCID_OK, "%s", lucid_error());
    return n;
}

Test(datasets, random_samplers)
{
    int64_t a[1000], b[1000], batches;
    lucid_loader *l = data_Loader(numbers(10, 2), .batch_size = 4, .seed = 1,
                                  .sampler = data_RandomSampler(.size = 23));
    cr_expect_eq(lucid_loader_size(l), 23);
    cr_expect_eq(lucid_loader_batches(l), 6);
    cr_expect(epoch(l, a, &batches) == 23 && batches == 6);
    int counts[10] = {0};
    for (int i = 0; i < 20; i++) counts[a[i]]++;
    for (int i = 0; i < 10; i++) cr_expect_eq(counts[i], 2);
    cr_expect_eq(epoch(l, b, &batches), 23);
    cr_expect(memcmp(a, b, 23 * sizeof *a) != 0, "every epoch has an order of its own");
    lucid_loader_free(l);
    /* The same for any number of workers, and where the data lie on the device. */
    for (int workers = 0; workers < 3; workers++) {
        l = data_Loader(numbers(10, 2), .batch_size = 4, .seed = 1, .workers = workers,
                        .sampler = data_RandomSampler(.size = 23));
        cr_expect(epoch(l, b, &batches) == 23 && memcmp(a, b, 23 * sizeof *a) == 0);
        lucid_loader_free(l);
    }
    l = data_Loader(numbers(10, 2), .batch_size = 4, .seed = 1, .resident = true,
                    .sampler = data_RandomSampler(.size = 23));
    cr_expect(epoch(l, b, &batches) == 23 && memcmp(a, b, 23 * sizeof *a) == 0);
    lucid_loader_free(l);
    l = data_Loader(numbers(10, 2), .sampler = data_RandomSampler(.replacement = true));
    cr_expect_eq(epoch(l, a, &batches), 10);
    lucid_loader_free(l);
    l = data_Loader(numbers(10, 2), .sampler = data_SequentialSampler());
    cr_expect_eq(epoch(l, a, &batches), 10);
    for (int i = 0; i < 10; i++) cr_expect_eq(a[i], i);
    lucid_loader_free(l);
    l = data_Loader(numbers(0, 2), .sampler = data_RandomSampler());
    cr_expect_eq(epoch(l, a, &batches), 0);
    lucid_loader_free(l);
    nothing_is_left();
}

Test(datasets, weighted_sampler)
{
    int64_t a[1000], batches;
    const double weights[] = {0, 1, 3, 0, 6};
    lucid_loader *l = data_Loader(numbers(5, 2), .seed = 2,
                                  .sampler = data_WeightedSampler(weights, 5, .size = 1000));
    cr_expect_eq(epoch(l, a, &batches), 1000);
    int counts[5] = {0};
    for (int i = 0; i < 1000; i++) counts[a[i]]++;
    cr_expect(counts[0] == 0 && counts[3] == 0);
    cr_expect(abs(counts[1] - 100) < 40 && abs(counts[2] - 300) < 60 && abs(counts[4] - 600) < 60);
    lucid_loader_free(l);
    int first[5] = {0};
    for (int k = 0; k < 300; k++) {
        l = data_Loader(numbers(5, 2), .seed = (uint64_t)k,
                        .sampler =
                            data_WeightedSampler(weights, 5, .size = 3, .replacement = false));
        cr_expect_eq(epoch(l, a, &batches), 3);
        cr_expect(a[0] + a[1] + a[2] == 7 && a[0] != a[1] && a[1] != a[2]);
        first[a[0]]++;
        lucid_loader_free(l);
    }
    cr_expect(abs(first[4] - 180) < 50 && abs(first[1] - 30) < 25, "%d %d", first[4], first[1]);
    /* A weight of 0 is never drawn, however small the others are. */
    const double tiny[] = {0, 5e-324, 5e-324};
    for (int k = 0; k < 10; k++) {
        l = data_Loader(numbers(3, 2), .seed = (uint64_t)k,
                        .sampler = data_WeightedSampler(tiny, 3, .size = 2, .replacement = false));
        cr_expect_eq(epoch(l, a, &batches), 2);
        cr_expect(a[0] + a[1] == 3 && a[0] && a[1]);
        lucid_loader_free(l);
    }
    nothing_is_left();
}

Test(datasets, batches_of_given_sizes)
{
    int64_t a[1000], batches;
    const int64_t sizes[] = {1, 5, 2, 2};
    for (int workers = 0; workers < 3; workers++) {
        lucid_loader *l =
            data_Loader(numbers(10, 2), .workers = workers,
                        .sampler = data_BatchSampler(data_SequentialSampler(), sizes, 4));
        lucid_batch b;
        cr_expect_eq(lucid_loader_batches(l), 4);
        for (int i = 0; i < 4; i++) cr_expect(lucid_next(l, &b) && b.n == sizes[i]);
        cr_expect(!lucid_next(l, &b));
        cr_expect(epoch(l, a, &batches) == 10 && batches == 4);
        for (int i = 0; i < 10; i++) cr_expect_eq(a[i], i);
        lucid_loader_free(l);
    }
    EXPECT_ERROR(data_Loader(numbers(9, 2),
                             .sampler = data_BatchSampler(data_SequentialSampler(), sizes, 4)),
                 LUCID_ERR_ARGUMENT, "batch 3: expected 1 to 1 samples, got 2");
    EXPECT_ERROR(data_Loader(numbers(11, 2),
                             .sampler = data_BatchSampler(data_SequentialSampler(), sizes, 4)),
                 LUCID_ERR_ARGUMENT, "expected batches of 11 samples in all, got 10");
    EXPECT_ERROR(data_BatchSampler(NULL, sizes, 4), LUCID_ERR_ARGUMENT, "sampler: expected");
    EXPECT_ERROR(data_BatchSampler(data_RandomSampler(), sizes, 0), LUCID_ERR_ARGUMENT, "sizes");
    nothing_is_left();
}

static int64_t backwards_adds; /* to every index */

static bool backwards(const lucid_sampler *s, int64_t size, int64_t at, lucid_generator *rng,
                      int64_t *order)
{
    (void)s, (void)at, (void)rng;
    if (backwards_adds == 99) return false;
    for (int64_t i = 0; i < size; i++) order[i] = size - 1 - i + backwards_adds;
    return true;
}

Test(datasets, a_sampler_of_ones_own)
{
    int64_t a[1000], batches;
    lucid_sampler own = {.name = "own", .size = LUCID_SAMPLER_ALL, .order = backwards};
    lucid_loader *l = data_Loader(numbers(5, 2), .sampler = &own);
    cr_expect(epoch(l, a, &batches) == 5 && a[0] == 4 && a[4] == 0);
    backwards_adds = 1;
    lucid_batch b;
    EXPECT_ERROR(lucid_next(l, &b), LUCID_ERR_ARGUMENT,
                 "sampler own: place 0: expected a sample in [0,5), got 5");
    backwards_adds = 99;
    EXPECT_ERROR(lucid_next(l, &b), LUCID_ERR_STATE, "sampler own: gave no order");
    backwards_adds = 0;
    cr_expect_eq(epoch(l, a, &batches), 5);
    lucid_loader_free(l);
    own.size = 3; /* it writes five */
    own.size = -7;
    EXPECT_ERROR(data_Loader(numbers(5, 2), .sampler = &own), LUCID_ERR_ARGUMENT, "size >= 0");
    own.order = NULL;
    EXPECT_ERROR(data_Loader(numbers(5, 2), .sampler = &own), LUCID_ERR_ARGUMENT, "order is NULL");
    nothing_is_left();
}

Test(datasets, samplers_that_are_refused)
{
    const double none[] = {0, 0}, minus[] = {1, -1}, huge[] = {1e308, 1e308}, one[] = {1, 0};
    EXPECT_ERROR(data_WeightedSampler(NULL, 3), LUCID_ERR_ARGUMENT, "weights: expected one");
    EXPECT_ERROR(data_WeightedSampler(none, 0), LUCID_ERR_ARGUMENT, "got none");
    EXPECT_ERROR(data_WeightedSampler(none, 2), LUCID_ERR_ARGUMENT, "a finite sum above 0, got 0");
    EXPECT_ERROR(data_WeightedSampler(huge, 2), LUCID_ERR_ARGUMENT, "a finite sum above 0");
    EXPECT_ERROR(data_WeightedSampler(minus, 2), LUCID_ERR_ARGUMENT, "got -1 at 1");
    EXPECT_ERROR(data_RandomSampler(.size = -3), LUCID_ERR_ARGUMENT, "size: expected");
    EXPECT_ERROR(data_Loader(numbers(3, 1), .shuffle = true, .sampler = data_RandomSampler()),
                 LUCID_ERR_ARGUMENT, "shuffle: expected false with .sampler");
    EXPECT_ERROR(data_Loader(numbers(0, 1), .sampler = data_RandomSampler(.size = 3)),
                 LUCID_ERR_ARGUMENT, "size 0 for an empty data set");
    lucid_batch b;
    lucid_loader *l = data_Loader(numbers(3, 1), .sampler = data_WeightedSampler(one, 2));
    EXPECT_ERROR(lucid_next(l, &b), LUCID_ERR_ARGUMENT, "one for each of 3 samples, got 2");
    lucid_loader_free(l);
    l = data_Loader(numbers(2, 1), .sampler = data_WeightedSampler(one, 2, .replacement = false));
    EXPECT_ERROR(lucid_next(l, &b), LUCID_ERR_ARGUMENT, "at most 1 without replacement");
    lucid_loader_free(l);
    nothing_is_left();
}

/* ---- memory ---------------------------------------------------------------------------------- */

static bool everything(const char *cifar)
{
    static const double weights[] = {1, 2, 1, 1};
    static const int64_t indices[] = {0, 2, 1, 1}, sizes[] = {2, 2};
    lucid_dataset *a = NULL, *b = NULL;
    bool ok = data_random_split(
        data_Concat(data_CIFAR10(cifar, LUCID_TEST), data_FakeData(5, (3, 32, 32))), (.5, .5),
        (&a, &b), .stratify = true);
    lucid_dataset_free(b);
    lucid_loader *l =
        data_Loader(data_Subset(a, indices, 4),
                    .sampler = data_BatchSampler(data_WeightedSampler(weights, 4), sizes, 2));
    lucid_batch batch;
    ok = ok && l && lucid_next(l, &batch);
    lucid_loader_free(l);
    return ok;
}

Test(datasets, every_allocation_may_fail)
{
    char cifar[512];
    snprintf(cifar, sizeof cifar, "%s", write_cifar("a.bin", 3, 1, 0));
    for (uint64_t n = 1;; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        bool ok = everything(cifar);
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_assert_eq(ok, !reached, "%d: %s", (int)n, lucid_error());
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                     lucid_error());
        lucid_clear_error();
        cr_assert_eq(lucid_live().other, 0);
        if (!reached) break;
    }
    nothing_is_left();
}
