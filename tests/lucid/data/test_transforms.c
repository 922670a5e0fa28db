/* Transforms: what is drawn stays within its bounds and is the same for any number of workers; what
 * is wrong is refused by name. test_transforms_reference.c has the arithmetic. */
#include "tests/testing.h"

#include "autograd/ops.h"
#include "lucid/data/colour.h"
#include "lucid/data/fake.h"
#include "lucid/data/geometry.h"
#include "lucid/data/loader.h"
#include "lucid/data/mix.h"
#include "lucid/data/transform.h"
#include "lucid/core/memory.h"
#include "lucid/core/scope.h"

static void begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}
TestSuite(transforms, .init = begin);

static void nothing_is_left(void)
{
    cr_expect(lucid_live().other == 0 && lucid_live().loaders == 0, "%d", (int)lucid_live().other);
}

/* Pixel (k, y, x) is 100 k + 10 y + x. */
static lucid_tensor *picture(int64_t c, int64_t h, int64_t w, lucid_dtype dtype)
{
    lucid_tensor *t = lucid_empty((c, h, w), .dtype = dtype);
    void *p = lucid_mutable_data(t);
    for (int64_t i = 0; i < c * h * w; i++) {
        int64_t v = i / (h * w) * 100 + i / w % h * 10 + i % w;
        if (dtype == LUCID_U8)
            ((uint8_t *)p)[i] = (uint8_t)v;
        else
            ((float *)p)[i] = (float)v;
    }
    return t;
}

/* Applies a transform with numbers of a seed, and frees it. */
static lucid_tensor *apply(lucid_transform *t, lucid_tensor *image, uint64_t seed)
{
    lucid_generator rng = {.seed = seed};
    lucid_tensor *out = lucid_transform_apply(t, image, &rng);
    lucid_transform_free(t);
    return out;
}

static double at(const lucid_tensor *t, int64_t k, int64_t y, int64_t x)
{
    return lucid_at(t, LUCID_SHAPE(k, y, x));
}

/* ---- crops and flips ------------------------------------------------------------------------- */

Test(transforms, random_crop_is_somewhere_in_the_image)
{
    int seen[7][5] = {{0}};
    for (uint64_t seed = 0; seed < 500; seed++) {
        LUCID_SCOPE;
        lucid_tensor *t = apply(data_RandomCrop((3, 4)), picture(2, 9, 8, LUCID_U8), seed);
        EXPECT_SHAPE(t, 2, 3, 4);
        int y = (int)at(t, 0, 0, 0) / 10, x = (int)at(t, 0, 0, 0) % 10;
        seen[y][x]++;
        cr_expect(at(t, 1, 2, 3) == 100 + 10 * (y + 2) + x + 3);
    }
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 5; x++) cr_expect(seen[y][x] > 2 && seen[y][x] < 40);
    nothing_is_left();
}

Test(transforms, random_crop_with_padding)
{
    const lucid_border modes[] = {LUCID_BORDER_CONSTANT, LUCID_BORDER_EDGE, LUCID_BORDER_REFLECT,
                                  LUCID_BORDER_SYMMETRIC};
    /* What is two pixels above the first row: the fill, row 0, row 2, row 1. */
    const double above[] = {77, 0, 20, 10};
    for (int m = 0; m < 4; m++) {
        bool found = false;
        for (uint64_t seed = 0; seed < 200; seed++) {
            LUCID_SCOPE;
            lucid_tensor *t = apply(data_RandomCrop(6, .padding = lucid_pair(2, 0), .fill = 77,
                                                    .padding_mode = modes[m]),
                                    picture(1, 6, 6, LUCID_U8), seed);
            cr_assert(t, "%s", lucid_error());
            if (at(t, 0, 2, 0) != 0 || at(t, 0, 3, 0) != 10) continue; /* not the first place */
            found = true;
            cr_expect(at(t, 0, 0, 0) == above[m], "mode %d: %g", m, at(t, 0, 0, 0));
        }
        cr_expect(found);
    }
    lucid_tensor *t = apply(data_RandomCrop((9, 3), .pad_if_needed = true, .fill = 5),
                            picture(1, 6, 6, LUCID_F32), 1);
    EXPECT_SHAPE(t, 1, 9, 3);
    EXPECT_ERROR(apply(data_RandomCrop(9), picture(1, 6, 12, LUCID_U8), 0), LUCID_ERR_ARGUMENT,
                 "data_RandomCrop: image: expected a height of at least 9 pixels with its padding, "
                 "got 6");
    nothing_is_left();
}

Test(transforms, flips)
{
    for (int dtype = 0; dtype < 2; dtype++) {
        lucid_tensor *x = picture(2, 3, 5, dtype ? LUCID_F32 : LUCID_U8);
        lucid_tensor *h = apply(data_RandomHorizontalFlip(.p = 1), x, 0);
        lucid_tensor *v = apply(data_RandomVerticalFlip(.p = 1), x, 0);
        cr_expect(at(h, 1, 2, 0) == at(x, 1, 2, 4) && at(h, 0, 0, 3) == at(x, 0, 0, 1));
        cr_expect(at(v, 1, 0, 4) == at(x, 1, 2, 4) && at(v, 0, 1, 1) == at(x, 0, 1, 1));
        cr_expect(apply(data_RandomHorizontalFlip(.p = 0), x, 0) == x);
        int flipped = 0;
        for (uint64_t seed = 0; seed < 400; seed++)
            flipped += apply(data_RandomHorizontalFlip(), x, seed) != x;
        cr_expect(abs(flipped - 200) < 50);
    }
    nothing_is_left();
}

Test(transforms, random_resized_crop)
{
    /* Everything in one part: the same as a resize. */
    lucid_tensor *x = picture(3, 9, 9, LUCID_U8);
    lucid_tensor *a = apply(
        data_RandomResizedCrop((5, 7), .scale = lucid_range(1, 1), .ratio = lucid_range(1, 1)), x,
        3);
    cr_expect(lucid_equal(a, apply(data_Resize((5, 7)), x, 0)));
    /* A shape that never fits: the middle. 20 x 4 with ratios of at most 4 / 3. */
    x = picture(1, 20, 4, LUCID_F32);
    a = apply(data_RandomResizedCrop(2, .scale = lucid_range(1, 1), .ratio = lucid_range(1, 1),
                                     .resample = LUCID_RESAMPLE_NEAREST),
              x, 3);
    EXPECT_VALUES(a, 0, 0, {80, 82, 100, 102}); /* rows 8 to 11, every second pixel */
    double least = 1e9, most = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        LUCID_SCOPE;
        a = apply(data_RandomResizedCrop(1, .antialias = false), picture(1, 40, 30, LUCID_F32),
                  seed);
        least = fmin(least, at(a, 0, 0, 0)), most = fmax(most, at(a, 0, 0, 0));
    }
    cr_expect(least < 150 && most > 270, "%g %g", least, most);
    nothing_is_left();
}

/* ---- colours --------------------------------------------------------------------------------- */

Test(transforms, color_jitter)
{
    lucid_tensor *x = picture(3, 6, 7, LUCID_U8);
    cr_expect(lucid_equal(apply(data_ColorJitter(), x, 1), x));
    int different = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        LUCID_SCOPE;
        lucid_tensor *a =
            apply(data_ColorJitter(.brightness = .4, .contrast = .4, .saturation = .4, .hue = .1),
                  x, seed);
        lucid_tensor *b =
            apply(data_ColorJitter(.brightness = .4, .contrast = .4, .saturation = .4, .hue = .1),
                  x, seed);
        cr_expect(lucid_equal(a, b));
        different += !lucid_equal(a, x);
    }
    cr_expect_geq(different, 49);
    cr_expect(lucid_equal(picture(3, 6, 7, LUCID_U8), x), "the image itself stays as it is");
    EXPECT_SHAPE(apply(data_ColorJitter(.hue = .5), picture(1, 3, 3, LUCID_F32), 0), 1, 3, 3);
    EXPECT_ERROR(apply(data_ColorJitter(.hue = .5), picture(4, 3, 3, LUCID_F32), 0),
                 LUCID_ERR_ARGUMENT, "1 or 3 channels, got 4");
    EXPECT_ERROR(data_ColorJitter(.hue = .6), LUCID_ERR_ARGUMENT, "hue: expected 0 to 0.5");
    EXPECT_ERROR(data_ColorJitter(.contrast = -1), LUCID_ERR_ARGUMENT, "contrast: expected");
    int gray = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        LUCID_SCOPE;
        lucid_tensor *g = apply(data_RandomGrayscale(.p = .25), x, seed);
        gray += at(g, 0, 2, 2) == at(g, 2, 2, 2);
    }
    cr_expect(abs(gray - 100) < 40);
    nothing_is_left();
}

Test(transforms, random_erasing)
{
    int erased = 0;
    double area = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_ones((2, 20, 30));
        lucid_tensor *t = apply(data_RandomErasing(.value = 7), x, seed);
        int n = 0;
        for (int64_t i = 0; i < 600; i++) n += ((const float *)lucid_data(t))[i] == 7;
        erased += n > 0;
        area += n;
        cr_expect(n == 0 || (n >= 6 && n <= 240));
    }
    cr_expect(abs(erased - 200) < 50 && area / erased > 70 && area / erased < 140, "%d %g", erased,
              area / erased);
    lucid_tensor *x = lucid_zeros((1, 20, 20), .dtype = LUCID_U8);
    lucid_tensor *t = apply(data_RandomErasing(.p = 1, .random = true), x, 1);
    cr_expect(t != x && !lucid_equal(t, x));
    t = apply(data_RandomErasing(.p = 1, .random = true), lucid_zeros((1, 20, 20)), 1);
    cr_expect(!lucid_equal(t, lucid_zeros((1, 20, 20))));
    cr_expect(apply(data_RandomErasing(.p = 1, .scale = lucid_range(1, 1)), x, 1) == x,
              "what never fits erases nothing");
    nothing_is_left();
}

/* ---- composing ------------------------------------------------------------------------------- */

static lucid_tensor *brighter(lucid_tensor *image, lucid_generator *rng, void *user)
{
    (void)rng;
    lucid_tensor *t = lucid_empty_opt(lucid_tensor_shape(image), NULL);
    for (int64_t i = 0; i < lucid_numel(t); i++)
        ((float *)lucid_mutable_data(t))[i] =
            ((const float *)lucid_data(image))[i] + *(const float *)user;
    return t;
}

static lucid_tensor *failing(lucid_tensor *image, lucid_generator *rng, void *user)
{
    (void)image, (void)rng, (void)user;
    return NULL;
}

Test(transforms, compose_and_lambda)
{
    float by = 2;
    lucid_tensor *x = picture(3, 4, 4, LUCID_U8);
    lucid_tensor *t = apply(data_Compose(data_ToFloat(), data_Normalize((.5), (.25)),
                                         data_Lambda(brighter, &by), data_CenterCrop(2)),
                            x, 0);
    EXPECT_SHAPE(t, 3, 2, 2);
    cr_expect_eq((float)at(t, 1, 0, 0), ((float)(111 / 255.0f) - .5f) / .25f + 2);
    /* One after the other gives the same bits as both in one. */
    lucid_tensor *one =
        apply(data_Compose(data_ToFloat(), data_Normalize((.1, .2, .3), (1, 2, 3))), x, 0);
    lucid_tensor *two =
        apply(data_Normalize((.1, .2, .3), (1, 2, 3)), apply(data_ToFloat(), x, 0), 0);
    cr_expect(lucid_equal(one, two));
    lucid_transform *none = lucid_data_compose(NULL, 0);
    cr_expect(apply(none, x, 0) == x);
    EXPECT_ERROR(apply(data_Lambda(failing, NULL), x, 0), LUCID_ERR_STATE,
                 "data_Lambda: gave no image, and no reason was raised");
    EXPECT_ERROR(data_Compose(data_ToFloat(), NULL), LUCID_ERR_ARGUMENT, "number 1: got NULL");
    EXPECT_ERROR(lucid_data_compose(NULL, 3), LUCID_ERR_ARGUMENT, "and NULL");
    int applied = 0;
    lucid_tensor *f = picture(1, 2, 2, LUCID_F32);
    for (uint64_t seed = 0; seed < 400; seed++)
        applied += apply(data_RandomApply(data_Lambda(brighter, &by), .p = .25), f, seed) != f;
    cr_expect(abs(applied - 100) < 40);
    nothing_is_left();
}

Test(transforms, strided_images)
{
    lucid_tensor *hwc = picture(4, 5, 3, LUCID_U8); /* height 4, width 5, three channels last */
    lucid_tensor *view = lucid_permute(hwc, (2, 0, 1));
    cr_assert(!lucid_is_contiguous(view, LUCID_CONTIGUOUS));
    lucid_tensor *t = apply(data_RandomVerticalFlip(.p = 1), view, 0);
    EXPECT_SHAPE(t, 3, 4, 5);
    cr_expect(at(t, 2, 3, 1) == at(view, 2, 0, 1) && at(t, 1, 0, 4) == at(view, 1, 3, 4));
}

/* ---- data sets ------------------------------------------------------------------------------- */

static lucid_loader *augmented(int workers, uint64_t seed)
{
    lucid_dataset *d = data_FakeData(40, (3, 16, 16));
    return data_Loader(
        data_Map(d, data_Compose(data_RandomCrop(16, .padding = 2), data_RandomHorizontalFlip(),
                                 data_ColorJitter(.brightness = .3, .hue = .1),
                                 data_RandomRotation(lucid_range(-20, 20)), data_ToFloat(),
                                 data_RandomErasing(), data_Normalize((.5), (.5)))),
        .batch_size = 7, .shuffle = true, .workers = workers, .seed = seed);
}

Test(transforms, the_same_images_for_any_number_of_workers)
{
    lucid_loader *one = augmented(0, 5), *other = augmented(3, 5), *third = augmented(1, 6);
    cr_assert(one && other && third, "%s", lucid_error());
    lucid_batch a, b, c, first = {0};
    int epochs_differ = 0;
    for (int epoch = 0; epoch < 2; epoch++) {
        while (lucid_next(one, &a)) {
            cr_assert(lucid_next(other, &b) && lucid_next(third, &c));
            cr_expect(lucid_equal(a.x, b.x) && lucid_equal(a.y, b.y));
            cr_expect(!lucid_equal(a.x, c.x));
            cr_expect(lucid_tensor_dtype(a.x) == LUCID_F32);
            if (!epoch && !a.number) first.x = lucid_retain(a.x);
            if (epoch && !a.number) epochs_differ = !lucid_equal(a.x, first.x);
        }
        cr_expect(!lucid_next(other, &b) && !lucid_next(third, &c));
    }
    cr_expect(epochs_differ);
    lucid_release(first.x);
    lucid_loader_free(one);
    lucid_loader_free(other);
    lucid_loader_free(third);
    nothing_is_left();
}

Test(transforms, map_knows_what_comes_out)
{
    lucid_dataset *d = data_Map(data_FakeData(3, (3, 20, 30)),
                                data_Compose(data_Resize(10), data_Grayscale(), data_ToFloat()));
    cr_assert(d, "%s", lucid_error());
    cr_expect(lucid_shape_equal(&d->x.shape, &LUCID_SHAPE(1, 10, 15)) && d->x.dtype == LUCID_F32);
    cr_expect(d->label && d->label(d, 1) >= 0 && d->n_classes == 10);
    lucid_dataset_free(d);
    EXPECT_ERROR(data_Map(data_FakeData(3, (3, 20, 30)), data_RandomCrop(32)), LUCID_ERR_ARGUMENT,
                 "a height of at least 32 pixels with its padding, got 20");
    EXPECT_ERROR(data_Map(data_FakeData(3, (3, 20, 30)), data_Normalize((.5), (.5))),
                 LUCID_ERR_ARGUMENT, "put data_ToFloat() before it");
    EXPECT_ERROR(data_Map(data_FakeData(3, (3, 20, 30)),
                          data_Compose(data_ToFloat(), data_Normalize((.5, .5), (1, 1)))),
                 LUCID_ERR_ARGUMENT, "one for each of 3 channels, got 2");
    EXPECT_ERROR(
        data_Map(data_FakeData(3, (20, 30)), data_Resize(5)), LUCID_ERR_ARGUMENT,
        "data_Resize: samples: expected images, uint8 or float32 [C,H,W], got uint8 [20,30]");
    EXPECT_ERROR(data_Map(NULL, data_Resize(5)), LUCID_ERR_ARGUMENT, "dataset: got NULL");
    EXPECT_ERROR(data_Map(data_FakeData(3, (3, 20, 30)), NULL), LUCID_ERR_ARGUMENT,
                 "transform: got NULL");
    EXPECT_ERROR(data_Map(data_FakeData(3, (3, 20, 30)), data_RandomApply(data_Resize(5))),
                 LUCID_ERR_ARGUMENT, "expected one that keeps sizes and dtype, data_Resize makes");
    nothing_is_left();
}

/* ---- Mixup and CutMix ------------------------------------------------------------------------ */

static lucid_batch batch_of(int64_t n)
{
    lucid_batch b = {
        .x = lucid_empty((n, 1, 8, 8)), .y = lucid_empty(n, .dtype = LUCID_I64), .n = n};
    for (int64_t i = 0; i < n; i++) {
        for (int k = 0; k < 64; k++) ((float *)lucid_mutable_data(b.x))[i * 64 + k] = (float)i;
        ((int64_t *)lucid_mutable_data(b.y))[i] = i % 3;
    }
    return b;
}

Test(transforms, mixup)
{
    double sum = 0;
    for (int64_t number = 0; number < 200; number++) {
        LUCID_SCOPE;
        lucid_batch b = batch_of(4);
        b.number = number;
        cr_assert(data_Mixup(&b, 3, .alpha = .4), "%s", lucid_error());
        EXPECT_SHAPE(b.y, 4, 3);
        double part = at(b.y, 0, 0, 0) > 2 ? 0 : lucid_at(b.y, LUCID_SHAPE(1, 1));
        cr_expect(fabs(part + lucid_at(b.y, LUCID_SHAPE(1, 0)) - 1) < 1e-6);
        cr_expect(fabs(lucid_at(b.x, LUCID_SHAPE(2, 0, 3, 3)) - (part * 2 + (1 - part))) < 1e-5);
        cr_expect(fabs(lucid_at(b.x, LUCID_SHAPE(0, 0, 3, 3)) - (1 - part) * 3) < 1e-5);
        sum += part;
    }
    lucid_clear_error();
    cr_expect(fabs(sum / 200 - .5) < .1, "%g", sum / 200);
}

Test(transforms, cutmix)
{
    int cut = 0;
    for (int64_t number = 0; number < 50; number++) {
        LUCID_SCOPE;
        lucid_batch b = batch_of(3);
        b.number = number;
        cr_assert(data_CutMix(&b, 3));
        int other = 0;
        for (int k = 0; k < 64; k++) {
            float v = ((const float *)lucid_data(b.x))[128 + k];
            cr_expect(v == 2 || v == 1);
            other += v == 1;
        }
        cr_expect(fabs(lucid_at(b.y, LUCID_SHAPE(2, 1)) - other / 64.0) < 1e-6);
        cut += other > 0;
    }
    cr_expect_gt(cut, 30);
}

Test(transforms, batches_that_cannot_be_mixed)
{
    lucid_batch b = batch_of(4), before = b;
    EXPECT_ERROR(data_Mixup(NULL, 3), LUCID_ERR_ARGUMENT, "batch: expected");
    EXPECT_ERROR(data_Mixup(&b, 2), LUCID_ERR_ARGUMENT, "expected classes in [0,2), got 2 at 2");
    EXPECT_ERROR(data_Mixup(&b, 3, .alpha = 0), LUCID_ERR_ARGUMENT, "alpha: expected at least");
    EXPECT_ERROR(data_Mixup(&b, 3, .alpha = 1e-310), LUCID_ERR_ARGUMENT,
                 "alpha: expected at least");
    EXPECT_ERROR(data_Mixup(&b, 0), LUCID_ERR_ARGUMENT, "classes: expected");
    b.x = lucid_zeros((4, 1, 8, 8), .dtype = LUCID_U8);
    EXPECT_ERROR(data_CutMix(&b, 3), LUCID_ERR_ARGUMENT, "expected x float32 [n,C,H,W] on the CPU");
    b = before;
    b.y = lucid_zeros((4, 3));
    EXPECT_ERROR(data_CutMix(&b, 3), LUCID_ERR_ARGUMENT, "expected y int64 [4], got float32 [4,3]");
    b = (lucid_batch){.x = lucid_zeros((0, 3, 0, 0)), .y = lucid_zeros(0, .dtype = LUCID_I64)};
    cr_expect(data_CutMix(&b, 3) && data_Mixup(&b, 3) == false);
    lucid_clear_error();
}

/* ---- what is refused ------------------------------------------------------------------------- */

Test(transforms, options_that_are_refused)
{
    EXPECT_ERROR(data_Resize(0), LUCID_ERR_ARGUMENT, "data_Resize: size: expected 1 to");
    EXPECT_ERROR(data_Resize((3, -1)), LUCID_ERR_ARGUMENT, "got -1");
    EXPECT_ERROR(data_Resize(3, .resample = (lucid_resample)9), LUCID_ERR_ARGUMENT, "resample");
    EXPECT_ERROR(data_Resize((3, 3), .max_size = 5), LUCID_ERR_ARGUMENT, "max_size: expected");
    EXPECT_ERROR(data_Resize(7, .max_size = 5), LUCID_ERR_ARGUMENT, "max_size: expected");
    EXPECT_ERROR(data_CenterCrop(-3), LUCID_ERR_ARGUMENT, "data_CenterCrop: size");
    EXPECT_ERROR(data_RandomCrop(3, .padding = -1), LUCID_ERR_ARGUMENT, "padding: expected 0");
    EXPECT_ERROR(data_RandomCrop(3, .fill = NAN), LUCID_ERR_ARGUMENT, "fill: expected");
    EXPECT_ERROR(data_RandomCrop(3, .padding_mode = (lucid_border)4), LUCID_ERR_ARGUMENT,
                 "padding_mode");
    EXPECT_ERROR(data_RandomResizedCrop(3, .scale = lucid_range(1, .5)), LUCID_ERR_ARGUMENT,
                 "scale: expected a range low <= high");
    EXPECT_ERROR(data_RandomResizedCrop(3, .ratio = lucid_range(0, 1)), LUCID_ERR_ARGUMENT,
                 "ratio");
    EXPECT_ERROR(data_RandomHorizontalFlip(.p = 1.5), LUCID_ERR_ARGUMENT, "p: expected a prob");
    EXPECT_ERROR(data_RandomVerticalFlip(.p = NAN), LUCID_ERR_ARGUMENT, "p: expected a prob");
    EXPECT_ERROR(data_RandomRotation(lucid_range(5, -5)), LUCID_ERR_ARGUMENT, "degrees");
    EXPECT_ERROR(data_RandomRotation(lucid_range(0, 5), .resample = LUCID_RESAMPLE_BICUBIC),
                 LUCID_ERR_ARGUMENT, "nearest or bilinear");
    EXPECT_ERROR(data_Grayscale(.channels = 2), LUCID_ERR_ARGUMENT, "channels: expected 1 or 3");
    EXPECT_ERROR(data_GaussianBlur(4), LUCID_ERR_ARGUMENT, "kernel_size: expected an odd number");
    EXPECT_ERROR(data_GaussianBlur(3, .sigma = lucid_range(0, 1)), LUCID_ERR_ARGUMENT, "sigma");
    EXPECT_ERROR(data_RandomErasing(.scale = lucid_range(0, 2)), LUCID_ERR_ARGUMENT, "scale");
    EXPECT_ERROR(data_Normalize((1), (0)), LUCID_ERR_ARGUMENT, "a std that is not 0");
    EXPECT_ERROR(data_Normalize((1), (1e-60)), LUCID_ERR_ARGUMENT, "a std that is not 0");
    EXPECT_ERROR(data_Normalize((NAN), (1)), LUCID_ERR_ARGUMENT, "finite");
    EXPECT_ERROR(data_Lambda(NULL, NULL), LUCID_ERR_ARGUMENT, "fn: expected a function");
    EXPECT_ERROR(data_RandomApply(NULL), LUCID_ERR_ARGUMENT, "transform: got NULL");
    nothing_is_left();
}

Test(transforms, images_that_are_refused)
{
    lucid_transform *all[] = {data_Resize(5),
                              data_CenterCrop(5),
                              data_RandomCrop(2),
                              data_RandomResizedCrop(4),
                              data_RandomHorizontalFlip(),
                              data_Pad(1),
                              data_RandomRotation(lucid_range(-9, 9)),
                              data_ToFloat(),
                              data_ColorJitter(),
                              data_Grayscale(),
                              data_GaussianBlur(3),
                              data_RandomErasing(),
                              data_Normalize((0), (1))};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        lucid_transform *t = all[i];
        cr_assert(t);
        EXPECT_ERROR(lucid_transform_apply(t, lucid_zeros((3, 4)), NULL), LUCID_ERR_ARGUMENT,
                     "image: expected uint8 or float32 [C,H,W], got float32 [3,4]");
        EXPECT_ERROR(lucid_transform_apply(t, lucid_zeros((3, 4, 4), .dtype = LUCID_F64), NULL),
                     LUCID_ERR_ARGUMENT, "got float64 [3,4,4]");
        EXPECT_ERROR(lucid_transform_apply(t, NULL, NULL), LUCID_ERR_ARGUMENT, "image: got NULL");
        /* Images without a pixel, or with one: a result, or an error that says so. */
        const lucid_shape shapes[] = {{3, {3, 0, 0}}, {3, {3, 0, 4}}, {3, {3, 4, 0}},
                                      {3, {0, 4, 4}}, {3, {1, 1, 1}}, {3, {3, 1, 5}}};
        for (int s = 0; s < 6; s++) {
            LUCID_SCOPE;
            lucid_tensor *out = lucid_transform_apply(t, lucid_zeros_opt(shapes[s], NULL), NULL);
            cr_expect_eq(out == NULL, lucid_error_code() != LUCID_OK);
            if (!out) cr_expect_eq(lucid_error_code(), LUCID_ERR_ARGUMENT, "%s", lucid_error());
            lucid_clear_error();
        }
        lucid_transform_free(t);
    }
    EXPECT_ERROR(lucid_transform_apply(NULL, lucid_zeros((3, 4, 4)), NULL), LUCID_ERR_ARGUMENT,
                 "transform: got NULL");
    lucid_transform_free(NULL);
    nothing_is_left();
}

Test(transforms, every_allocation_may_fail)
{
    for (uint64_t n = 1;; n++) {
        LUCID_SCOPE;
        lucid_memory_fail_nth(n);
        lucid_loader *l =
            data_Loader(data_Map(data_FakeData(2, (3, 12, 12)),
                                 data_Compose(data_Resize(10), data_RandomCrop(8, .padding = 1),
                                              data_RandomApply(data_GaussianBlur(3), .p = 1),
                                              data_ColorJitter(.contrast = .5), data_ToFloat(),
                                              data_Normalize((.5, .5, .5), (1, 1, 1)))),
                        .batch_size = 2);
        lucid_batch b;
        bool ok = l && lucid_next(l, &b) && data_Mixup(&b, 10);
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        lucid_loader_free(l);
        cr_assert_eq(ok, !reached, "%d: %s", (int)n, lucid_error());
        cr_assert_eq(lucid_error_code(), reached ? LUCID_ERR_MEMORY : LUCID_OK, "%s",
                     lucid_error());
        lucid_clear_error();
        cr_assert_eq(lucid_live().other, 0);
        if (!reached) break;
    }
    nothing_is_left();
}
