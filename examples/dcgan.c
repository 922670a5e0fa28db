/* dcgan.c: two networks that learn from one another: one makes pictures up, the other tells them
 * from real ones (Radford et al., 2016). Pictures become larger by nearest neighbours and a
 * convolution, which leaves no pattern of squares (Odena et al., 2016).
 *
 *     dcgan --data examples/data/mnist       dcgan.png: digits that it makes up
 *     dcgan --quick                          made-up pictures, a few seconds */
#include "common/arguments.h"

#include <lucid/lucid.h>
#include <stdio.h>

static const char help[] =
    "Trains a network to make up digits.\n\n"
    "  --data DIR    the four files of MNIST, or of one of its family\n"
    "  --epochs N    passes over the training images (10)\n"
    "  --save FILE   where the weights of the generator go (dcgan.safetensors)\n"
    "  --quick       few made-up pictures\n";

enum { NOISE = 64 };

static lucid_module *make_generator(int64_t w)
{
    return nn_Sequential(nn_Linear(NOISE, 2 * w * 7 * 7, .bias = false),
                         nn_Unflatten(1, (2 * w, 7, 7)), nn_BatchNorm2d(2 * w), nn_ReLU(),
                         nn_Upsample(.scale_factor = 2), /* [N,2 w,14,14] */
                         nn_Conv2d(2 * w, w, 3, .padding = 1, .bias = false), nn_BatchNorm2d(w),
                         nn_ReLU(), nn_Upsample(.scale_factor = 2), /* [N,w,28,28] */
                         nn_Conv2d(w, 1, 3, .padding = 1), nn_Sigmoid());
}

static lucid_module *make_critic(int64_t w)
{
    return nn_Sequential(nn_Conv2d(1, w, 4, .stride = 2, .padding = 1), /* [N,w,14,14] */
                         nn_LeakyReLU(.negative_slope = 0.2),
                         nn_Conv2d(w, 2 * w, 4, .stride = 2, .padding = 1, .bias = false),
                         nn_BatchNorm2d(2 * w), nn_LeakyReLU(.negative_slope = 0.2), nn_Flatten(),
                         nn_Linear(2 * w * 7 * 7, 1));
}

/* Cross-entropy of the critic's answers with "real" (1) or "made up" (0). */
static lucid_tensor *says(lucid_module *critic, lucid_tensor *x, double truth)
{
    lucid_tensor *logits = lucid_forward(critic, x);
    return lucid_binary_cross_entropy_with_logits(
        logits, lucid_full((lucid_size(x, 0), 1), truth, .device = lucid_tensor_device(x)));
}

static void train(lucid_module *generator, lucid_module *critic, lucid_loader *data, int epochs)
{
    lucid_optimizer *opt_g = optim_Adam(generator, .lr = 2e-4, .beta1 = 0.5);
    lucid_optimizer *opt_c = optim_Adam(critic, .lr = 2e-4, .beta1 = 0.5);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum_c = 0, sum_g = 0, steps = (double)lucid_loader_batches(data);
        lucid_batch b;
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *made = lucid_forward(generator, lucid_randn((b.n, NOISE)));
            lucid_tensor *loss_c =
                lucid_add(says(critic, b.x, 1), says(critic, lucid_detach(made), 0));
            lucid_zero_grad(opt_c);
            lucid_backward(loss_c);
            lucid_step(opt_c);

            lucid_tensor *loss_g =
                says(critic, made, 1); /* the generator wants to be taken for real */
            lucid_zero_grad(opt_g);
            lucid_backward(loss_g);
            lucid_step(opt_g);
            sum_c += lucid_item(loss_c), sum_g += lucid_item(loss_g);
        }
        printf("epoch %d: loss %.4f of the critic, %.4f of the generator\n", epoch, sum_c / steps,
               sum_g / steps);
    }
    lucid_optimizer_free(opt_c);
    lucid_optimizer_free(opt_g);
}

static void draw(lucid_module *generator, const char *path)
{
    LUCID_NO_GRAD;
    LUCID_SCOPE;
    lucid_eval(generator);
    lucid_tensor *x = lucid_forward(generator, lucid_randn((32, NOISE)));
    lucid_image *image = lucid_plot_images(x, NULL, .low = 0, .high = 1);
    lucid_image_write_png(image, path);
    lucid_image_free(image);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_dataset *pictures = a.quick ? data_FakeData(512, (1, 28, 28), .signal = 0.9)
                                      : data_MNIST(a.data, LUCID_TRAIN, .bytes = true);
    lucid_loader *data = data_Loader(data_Map(pictures, data_ToFloat()), .batch_size = 64,
                                     .shuffle = true, .drop_last = true, .workers = 1);
    const int64_t w = a.quick ? 16 : 64;
    lucid_module *generator = make_generator(w), *critic = make_critic(w);
    train(generator, critic, data, arguments_epochs(&a, 10, 3));
    if (a.save || !a.quick) lucid_save(generator, a.save ? a.save : "dcgan.safetensors");
    if (!a.quick) draw(generator, "dcgan.png");
    lucid_module_free(critic);
    lucid_module_free(generator);
    lucid_loader_free(data);
    return lucid_finish();
}
