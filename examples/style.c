/* style.c: a network that gives pictures the style of another picture (Johnson et al., 2016):
 * InstanceNorm, reflected borders, nearest neighbours before a convolution.
 *
 *     style --data photos --load vgg16.pth
 *     style --quick                          made-up pictures, features drawn by chance
 *
 * The style is the first picture of the folder: its features' correlations are what counts. */
#include "common/arguments.h"
#include "common/shapes.h"

#include <stdio.h>

static const char help[] =
    "Trains a network to give pictures the style of a folder's first one.\n\n"
    "  --data DIR    a folder with folders of pictures\n"
    "  --load FILE   torchvision's vgg16, .pth or safetensors\n"
    "  --epochs N    passes over the pictures (2)\n"
    "  --save FILE   where the weights go (style.safetensors)\n"
    "  --quick       made-up pictures, features drawn by chance\n";

static lucid_module *conv(int64_t in, int64_t out, int64_t size, int64_t stride)
{
    return nn_Sequential(nn_ReflectionPad2d(size / 2), nn_Conv2d(in, out, size, .stride = stride),
                         nn_InstanceNorm2d(out, .affine = true), nn_ReLU());
}

static lucid_module *make_net(int64_t w)
{
    return nn_Sequential(conv(3, w, 9, 1), conv(w, 2 * w, 3, 2), conv(2 * w, 2 * w, 3, 1),
                         nn_Upsample(.scale_factor = 2), conv(2 * w, w, 3, 1),
                         nn_ReflectionPad2d(4), nn_Conv2d(w, 3, 9), nn_Sigmoid());
}

/* The first layers of a network that knows pictures: vgg16's features up to relu2_2. */
static lucid_module *make_features(const arguments *a)
{
    lucid_module *vgg = nn_Sequential(nn_Conv2d(3, 64, 3, .padding = 1), nn_ReLU(),
                                      nn_Conv2d(64, 64, 3, .padding = 1), nn_ReLU(),
                                      nn_MaxPool2d(2), nn_Conv2d(64, 128, 3, .padding = 1),
                                      nn_ReLU(), nn_Conv2d(128, 128, 3, .padding = 1), nn_ReLU());
    if (a->load) lucid_load(vgg, a->load, .rename = "features.*=*", .strict = false);
    lucid_module_requires_grad(vgg, false);
    lucid_eval(vgg);
    return vgg;
}

/* How features [N,C,H,W] go together: [N,C,C]. */
static lucid_tensor *gram(lucid_tensor *f)
{
    lucid_tensor *rows = lucid_flatten(f, 2, 3);
    const double n = (double)(lucid_size(f, 1) * lucid_size(rows, 2));
    return lucid_div(lucid_matmul(rows, lucid_transpose(rows, 1, 2)), n);
}

static void train(lucid_module *net, lucid_module *features, lucid_loader *data,
                  lucid_tensor *style, int epochs)
{
    lucid_optimizer *opt = optim_Adam(net, .lr = 2e-3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0;
        lucid_batch b;
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *f = lucid_forward(features, lucid_forward(net, b.x));
            lucid_tensor *g = gram(f), *same = lucid_mse_loss(f, lucid_forward(features, b.x));
            lucid_tensor *wanted = lucid_expand(style, lucid_tensor_shape(g));
            lucid_tensor *loss = lucid_add(same, lucid_mul(lucid_mse_loss(g, wanted), 1e3));
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss);
        }
        printf("epoch %d: loss %g\n", epoch, sum / (double)lucid_loader_batches(data));
    }
    lucid_optimizer_free(opt);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    const int size = a.quick ? 24 : 256;
    lucid_transform *t = data_Compose(data_Resize(size), data_CenterCrop(size), data_ToFloat());
    lucid_dataset *pictures = a.quick ? shapes_dataset(32, 24) : data_ImageFolder(a.data);
    lucid_loader *data = data_Loader(data_Map(pictures, t), .batch_size = 4);
    lucid_module *net = make_net(a.quick ? 8 : 32), *features = make_features(&a);
    lucid_batch b;
    if (lucid_next(data, &b)) {
        lucid_tensor *first = lucid_narrow(b.x, 0, 0, 1);
        lucid_tensor *style = gram(lucid_forward(features, first));
        lucid_loader_reset(data);
        train(net, features, data, style, arguments_epochs(&a, 2, 3));
    }
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "style.safetensors");
    lucid_module_free(features);
    lucid_module_free(net);
    lucid_loader_free(data);
    return lucid_finish();
}
