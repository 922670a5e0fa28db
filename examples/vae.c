/* vae.c: a variational autoencoder for handwritten digits (Kingma and Welling, 2014).
 *
 *     vae --data examples/data/mnist         vae.png: digits that it makes up
 *     vae --quick                            made-up pictures, a few seconds */
#include "common/arguments.h"

#include <lucid/lucid.h>
#include <stdio.h>

static const char help[] = "Trains a variational autoencoder on MNIST and draws digits with it.\n\n"
                           "  --data DIR    the four files of MNIST, or of one of its family\n"
                           "  --epochs N    passes over the training images (10)\n"
                           "  --save FILE   where the weights go (vae.safetensors)\n"
                           "  --quick       three epochs on few made-up pictures\n";

enum { PIXELS = 28 * 28, LATENT = 20 };

/* x [N,784] gives the logits of its reconstruction, and mean and log of the variance of z. */
typedef struct VAE {
    lucid_module base;
    lucid_module *encoder, *mean, *logvar, *decoder;
} VAE;

static bool vae_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                        int n_out)
{
    (void)n_in, (void)n_out;
    VAE *v = lucid_self(m, VAE);
    lucid_tensor *h = lucid_forward(v->encoder, in[0]);                       /* [N,400] */
    out[1] = lucid_forward(v->mean, h), out[2] = lucid_forward(v->logvar, h); /* [N,20] */
    lucid_tensor *std = lucid_exp(lucid_mul(out[2], 0.5));
    lucid_tensor *noise = lucid_randn((lucid_size(h, 0), LATENT), .device = lucid_tensor_device(h));
    out[0] = lucid_forward(v->decoder, lucid_add(out[1], lucid_mul(std, noise)));
    return true;
}

static const lucid_module_class VAE_class = {
    .name = "VAE",
    .size = sizeof(VAE),
    .super = &lucid_module_class_base,
    .forward_many = vae_forward,
    .inputs = "x",
    .outputs = "logits, mean, logvar",
};

static lucid_module *make_vae(void)
{
    lucid_module *m = lucid_module_new(&VAE_class);
    VAE *v = lucid_self(m, VAE);
    if (!v) return NULL;
    lucid_register_module(m, "encoder", &v->encoder,
                          nn_Sequential(nn_Linear(PIXELS, 400), nn_ReLU()));
    lucid_register_module(m, "mean", &v->mean, nn_Linear(400, LATENT));
    lucid_register_module(m, "logvar", &v->logvar, nn_Linear(400, LATENT));
    lucid_register_module(m, "decoder", &v->decoder,
                          nn_Sequential(nn_Linear(LATENT, 400), nn_ReLU(), nn_Linear(400, PIXELS)));
    return m;
}

/* Reconstruction error and divergence of z from a normal distribution, of an image. */
static lucid_tensor *vae_loss(lucid_module *net, lucid_tensor *x)
{
    lucid_tensor *logits, *mean, *logvar;
    if (!lucid_forward_into(net, (x), (&logits, &mean, &logvar))) return NULL;
    lucid_tensor *wrong =
        lucid_binary_cross_entropy_with_logits(logits, x, .reduction = LUCID_REDUCTION_SUM);
    lucid_tensor *spread = lucid_sub(lucid_add(lucid_square(mean), lucid_exp(logvar)), logvar);
    lucid_tensor *divergence = lucid_mul(lucid_sum(lucid_sub(spread, 1)), 0.5);
    return lucid_div(lucid_add(wrong, divergence), (double)lucid_size(x, 0));
}

static void train(lucid_module *net, lucid_loader *data, int epochs)
{
    lucid_optimizer *opt = optim_Adam(net, .lr = 1e-3);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0;
        lucid_batch b;
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *loss = vae_loss(net, lucid_flatten(b.x, 1, -1));
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss) * (double)b.n;
        }
        printf("epoch %d: loss %.2f\n", epoch, sum / (double)lucid_loader_size(data));
    }
    lucid_optimizer_free(opt);
}

static void draw(lucid_module *net, const char *path)
{
    LUCID_NO_GRAD;
    LUCID_SCOPE;
    lucid_module *decoder = lucid_get_module(net, "decoder");
    lucid_tensor *x = lucid_sigmoid(lucid_forward(decoder, lucid_randn((32, LATENT))));
    lucid_image *image =
        lucid_plot_images(lucid_reshape(x, (32, 28, 28)), NULL, .low = 0, .high = 1);
    lucid_image_write_png(image, path);
    lucid_image_free(image);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_dataset *digits = a.quick ? data_FakeData(512, (1, 28, 28), .signal = 0.9)
                                    : data_MNIST(a.data, LUCID_TRAIN, .bytes = true);
    lucid_loader *data =
        data_Loader(data_Map(digits, data_ToFloat()), .batch_size = 64, .shuffle = true);
    lucid_module *net = make_vae();
    train(net, data, arguments_epochs(&a, 10, 3));
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "vae.safetensors");
    if (!a.quick) draw(net, "vae.png");
    lucid_module_free(net);
    lucid_loader_free(data);
    return lucid_finish();
}
