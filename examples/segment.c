/* segment.c: a U-Net (Ronneberger et al., 2015) finds the pixels of an object. It is trained
 * with Dice and cross-entropy. The mask travels with its image as a fourth channel, so that crops
 * and flips move both alike.
 *
 *     segment --data lungs                   lungs/images/1.png and lungs/masks/1.png, ...
 *     segment --quick                        made-up pictures, a few seconds */
#include "common/arguments.h"
#include "common/shapes.h"

#include <stdio.h>

static const char help[] = "Trains a U-Net to mark the pixels of an object.\n\n"
                           "  --data DIR    images/ and masks/ with files of the same names\n"
                           "  --epochs N    passes over them (40)\n"
                           "  --save FILE   where the weights go (segment.safetensors)\n"
                           "  --quick       made-up pictures\n";

/* ---- the data: uint8 [4,H,W], colours and mask ----------------------------------------------- */

typedef struct Pairs {
    lucid_dataset base;
    lucid_dataset *files; /* NULL: made-up pictures */
} Pairs;

/* The classes of the folder are "images" and "masks", so its second half has the masks. */
static lucid_tensor *pair_load(const lucid_dataset *d, int64_t i, lucid_generator *rng, void *y)
{
    (void)rng;
    *(int64_t *)y = 0;
    const lucid_dataset *files = ((const Pairs *)d)->files;
    if (!files) {
        lucid_tensor *x = lucid_empty((4, 40, 40), .dtype = LUCID_U8);
        uint8_t *pixels = lucid_mutable_data(x), *mask = pixels ? pixels + 3 * 40 * 40 : NULL;
        if (!x) return NULL;
        shapes_draw(i, 40, pixels, mask);
        for (int p = 0; p < 40 * 40; p++) mask[p] = mask[p] ? 255 : 0;
        return x;
    }
    const char *image = lucid_data_image_folder_path(files, i);
    const char *mask = lucid_data_image_folder_path(files, i + d->size);
    return lucid_cat((lucid_image_read(image, .mode = LUCID_IMAGE_RGB),
                      lucid_image_read(mask, .mode = LUCID_IMAGE_GRAY)),
                     0);
}

/* ---- the network ----------------------------------------------------------------------------- */

static lucid_module *twice(int64_t in, int64_t out)
{
    return nn_Sequential(nn_Conv2d(in, out, 3, .padding = 1, .bias = false), nn_BatchNorm2d(out),
                         nn_ReLU(), nn_Conv2d(out, out, 3, .padding = 1, .bias = false),
                         nn_BatchNorm2d(out), nn_ReLU());
}

typedef struct UNet {
    lucid_module base;
    lucid_module *down[3], *up[2], *pool, *larger, *head;
} UNet;

static lucid_tensor *unet_forward(lucid_module *m, lucid_tensor *x)
{
    UNet *u = lucid_self(m, UNet);
    lucid_tensor *skip[2];
    for (int i = 0; i < 2; i++) {
        skip[i] = lucid_forward(u->down[i], x); /* [N,w,H,W], [N,2 w,H/2,W/2] */
        x = lucid_forward(u->pool, skip[i]);
    }
    x = lucid_forward(u->down[2], x); /* [N,4 w,H/4,W/4] */
    for (int i = 1; i >= 0; i--)
        x = lucid_forward(u->up[i], lucid_cat((lucid_forward(u->larger, x), skip[i]), 1));
    return lucid_forward(u->head, x); /* [N,1,H,W] */
}

static const lucid_module_class UNet_class = {
    .name = "UNet",
    .size = sizeof(UNet),
    .super = &lucid_module_class_base,
    .forward = unet_forward,
};

static lucid_module *make_unet(int64_t w)
{
    lucid_module *m = lucid_module_new(&UNet_class);
    UNet *u = lucid_self(m, UNet);
    if (!u) return NULL;
    lucid_register_module(m, "down0", &u->down[0], twice(3, w));
    lucid_register_module(m, "down1", &u->down[1], twice(w, 2 * w));
    lucid_register_module(m, "down2", &u->down[2], twice(2 * w, 4 * w));
    lucid_register_module(m, "up0", &u->up[0], twice(3 * w, w));
    lucid_register_module(m, "up1", &u->up[1], twice(6 * w, 2 * w));
    lucid_register_module(m, "pool", &u->pool, nn_MaxPool2d(2));
    lucid_register_module(m, "larger", &u->larger,
                          nn_Upsample(.scale_factor = 2, .mode = LUCID_INTERPOLATE_BILINEAR));
    lucid_register_module(m, "head", &u->head, nn_Conv2d(w, 1, 1));
    return m;
}

static void train(lucid_module *net, lucid_loader *data, int epochs)
{
    lucid_optimizer *opt = optim_Adam(net, .lr = 2e-3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0;
        lucid_confusion *pixels = lucid_confusion_new(2);
        lucid_batch b;
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *mask = lucid_gt(lucid_narrow(b.x, 1, 3, 1), 0.5);
            lucid_tensor *truth = lucid_cast(mask, LUCID_F32);
            lucid_tensor *logits = lucid_forward(net, lucid_narrow(b.x, 1, 0, 3));
            lucid_tensor *loss = lucid_add(lucid_binary_cross_entropy_with_logits(logits, truth),
                                           lucid_dice_loss(lucid_sigmoid(logits), truth));
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss);
            lucid_confusion_add(pixels, lucid_cast(lucid_gt(logits, 0), LUCID_I64),
                                lucid_cast(mask, LUCID_I64));
        }
        printf("epoch %d: loss %.4f, IoU %.3f\n", epoch, sum / (double)lucid_loader_batches(data),
               lucid_confusion_measure(pixels, LUCID_IOU, 1));
        lucid_confusion_free(pixels);
    }
    lucid_optimizer_free(opt);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_dataset *files = a.quick ? NULL : data_ImageFolder(a.data);
    Pairs pairs = {.files = files,
                   .base = {.name = "pairs",
                            .size = a.quick ? 128 : files->size / 2,
                            .x = {LUCID_U8, LUCID_SHAPE(4, -1, -1)},
                            .y = {LUCID_I64, {0}},
                            .load = pair_load}};
    const int size = a.quick ? 32 : 256;
    lucid_transform *t = data_Compose(data_RandomResizedCrop(size, .scale = lucid_range(0.5, 1)),
                                      data_RandomHorizontalFlip(), data_ToFloat());
    lucid_loader *data = data_Loader(data_Map(&pairs.base, t), .batch_size = 8, .shuffle = true,
                                     .drop_last = true, .workers = 2);
    lucid_module *net = make_unet(a.quick ? 8 : 32);
    train(net, data, arguments_epochs(&a, 40, 3));
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "segment.safetensors");
    lucid_module_free(net);
    lucid_loader_free(data);
    lucid_dataset_free(files);
    return lucid_finish();
}
