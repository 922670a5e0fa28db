/* precision.c: mixed precision with a gradient scaler, clipping, and gradients that are added up
 * over several batches.
 *
 *     precision --data cifar-10-batches-bin
 *     precision --quick                      made-up pictures, a few seconds */
#include "common/arguments.h"

#include <lucid/lucid.h>
#include <stdio.h>

static const char help[] = "Trains ResNet-20 on CIFAR-10 in float16 with float32 parameters.\n\n"
                           "  --data DIR    the folder of the binary form\n"
                           "  --epochs N    passes over the training images (30)\n"
                           "  --save FILE   where the weights go (precision.safetensors)\n"
                           "  --quick       two epochs on made-up pictures\n";

enum { PARTS = 2 }; /* batches whose gradients make one step */

static double train_epoch(lucid_module *net, lucid_optimizer *opt, lucid_grad_scaler *scaler,
                          lucid_loader *data)
{
    double sum = 0;
    lucid_batch b;
    lucid_train(net);
    lucid_zero_grad(opt);
    while (lucid_next(data, &b)) {
        LUCID_SCOPE;
        lucid_tensor *loss;
        {
            LUCID_AUTOCAST(LUCID_F16); /* convolutions and products; the loss is float32 */
            loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
        }
        sum += lucid_item(loss);
        lucid_backward(lucid_grad_scaler_scale(scaler, lucid_div(loss, PARTS)));
        if (b.number % PARTS != PARTS - 1) continue; /* gradients add up */

        lucid_grad_scaler_unscale_(scaler, opt); /* so that the norm is that of the gradients */
        lucid_clip_grad_norm(net, 1.0);
        lucid_grad_scaler_step(scaler, opt); /* not if a gradient is infinite or NaN */
        lucid_grad_scaler_update(scaler);
        lucid_zero_grad(opt);
    }
    return sum / (double)lucid_loader_batches(data);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    lucid_manual_seed(1);
    lucid_dataset *pictures = a.quick ? data_FakeData(512, (3, 32, 32), .signal = 0.5)
                                      : data_CIFAR10(a.data, LUCID_TRAIN);
    lucid_transform *t =
        data_Compose(data_RandomCrop(32, .padding = 4), data_RandomHorizontalFlip(), data_ToFloat(),
                     data_Normalize((.485, .456, .406), (.229, .224, .225)));
    lucid_loader *data = data_Loader(data_Map(pictures, t), .batch_size = a.quick ? 32 : 64,
                                     .shuffle = true, .drop_last = true, .workers = 2);
    lucid_module *net = nn_ResNet20();
    lucid_optimizer *opt = optim_SGD(net, .lr = a.quick ? 0.05 : 0.1, .momentum = 0.9,
                                     .weight_decay = 5e-4, .nesterov = true);
    const int epochs = arguments_epochs(&a, 30, 2);
    lucid_scheduler *schedule = optim_CosineAnnealingLR(opt, epochs);
    lucid_grad_scaler *scaler = optim_GradScaler(.init_scale = 4096);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        const double loss = train_epoch(net, opt, scaler, data);
        lucid_scheduler_step(schedule);
        printf("epoch %d: loss %.4f, scale %g\n", epoch, loss, lucid_grad_scaler_get_scale(scaler));
    }
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "precision.safetensors");
    lucid_grad_scaler_free(scaler);
    lucid_scheduler_free(schedule);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    lucid_loader_free(data);
    return lucid_finish();
}
