/* infer.c: a trained network in use: weights from a file, no gradients, pictures from files, the
 * most probable classes. In eval mode convolution, BatchNorm and ReLU run as one operator.
 *
 *     infer --load resnet18.pth --data pictures      every .jpg and .png below the folder
 *     infer --quick                                  weights drawn by chance, made-up pictures
 *
 * One file that runs where nothing is installed:
 *     cc infer.c common/(all).c -static $(pkg-config --static --cflags --libs lucid) -o infer */
#include "common/arguments.h"
#include "common/shapes.h"

#include <stdio.h>
#include <time.h>

static const char help[] = "Says which classes pictures have, by torchvision's ResNet-18.\n\n"
                           "  --load FILE   its weights: .pth or safetensors\n"
                           "  --data DIR    a folder with folders of pictures\n"
                           "  --quick       weights drawn by chance and made-up pictures\n";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The names of a network's classes are not in its weights; classes have numbers here. */
static void classify(lucid_module *net, lucid_dataset *files, const lucid_transform *t, int64_t i)
{
    LUCID_SCOPE;
    const char *path = lucid_data_image_folder_path(files, i);
    lucid_tensor *image = lucid_image_read(path, .mode = LUCID_IMAGE_RGB, .orient = true);
    lucid_tensor *x = lucid_transform_apply(t, image, NULL);
    const double begin = now();
    lucid_tensor *p = lucid_softmax(lucid_forward(net, lucid_unsqueeze(x, 0)), 1);
    const lucid_sorted best = lucid_topk(p, 3);
    if (!best.values) return;
    printf("%s:", path);
    for (int k = 0; k < 3; k++)
        printf(" %.0f (%.1f %%)", lucid_at(best.indices, LUCID_SHAPE(0, k)),
               100 * lucid_at(best.values, LUCID_SHAPE(0, k)));
    printf(", %.1f ms\n", 1e3 * (now() - begin));
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    if (!a.load && !a.quick) return fputs("infer: --load FILE is needed\n", stderr), 2;
    LUCID_NO_GRAD;
    lucid_manual_seed(1);
    char made[4096] = "";
    if (a.quick) shapes_folder(made, 6, 80);
    lucid_module *net = nn_ResNet18();
    if (a.load) lucid_load(net, a.load);
    lucid_eval(net);
    const int size = a.quick ? 64 : 224;
    lucid_transform *t =
        data_Compose(data_Resize(size * 8 / 7), data_CenterCrop(size), data_ToFloat(),
                     data_Normalize((.485, .456, .406), (.229, .224, .225)));
    lucid_dataset *files = data_ImageFolder(a.quick ? made : a.data);
    for (int64_t i = 0; files && i < files->size; i++) classify(net, files, t, i);
    lucid_dataset_free(files);
    lucid_transform_free(t);
    lucid_module_free(net);
    if (a.quick) shapes_folder_remove(made);
    return lucid_finish();
}
