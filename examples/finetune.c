/* finetune.c: trains torchvision's ResNet-18 further, on a folder of pictures of other classes.
 *
 *     finetune --load resnet18.pth --data pets
 *     finetune --quick                       weights drawn by chance and made-up pictures
 *
 * The first layers stay as they are, the last stage learns slowly, the new head fast. */
#include "common/arguments.h"
#include "common/shapes.h"

#include <stdio.h>

static const char help[] =
    "Trains a ResNet-18 that has learned other classes on a folder of pictures.\n\n"
    "  --load FILE   its weights: torchvision's .pth, or safetensors\n"
    "  --data DIR    the folder, one sub-folder a class\n"
    "  --epochs N    passes over it (10)\n"
    "  --save FILE   where the weights go (finetune.safetensors)\n"
    "  --quick       weights drawn by chance and made-up pictures\n";

/* In training mode except where nothing is to change: a frozen BatchNorm would still take the
 * statistics of the new pictures. */
static void set_training(lucid_module *net)
{
    static const char *const frozen[] = {"bn1", "layer1", "layer2", "layer3"};
    lucid_train(net);
    for (size_t i = 0; i < sizeof frozen / sizeof *frozen; i++)
        lucid_eval(lucid_get_module(net, frozen[i]));
}

static void train(lucid_module *net, lucid_loader *data, int epochs)
{
    lucid_freeze(net, "*", .except = "layer4.*|fc.*");
    lucid_optimizer *opt = optim_AdamW(net, .lr = 2e-4, .weight_decay = 0.01);
    lucid_optim_options head = lucid_optim_get_options(opt, 0);
    head.lr = 5e-3;
    lucid_optim_move_matching(opt, net, "fc.*", &head);
    for (int epoch = 1; epoch <= epochs && lucid_error_code() == LUCID_OK; epoch++) {
        double sum = 0, hits = 0;
        lucid_batch b;
        set_training(net);
        while (lucid_next(data, &b)) {
            LUCID_SCOPE;
            lucid_tensor *logits = lucid_forward(net, b.x);
            lucid_tensor *loss = lucid_cross_entropy(logits, b.y);
            lucid_zero_grad(opt);
            lucid_backward(loss);
            lucid_step(opt);
            sum += lucid_item(loss) * (double)b.n;
            hits += lucid_item(lucid_sum(lucid_eq(lucid_argmax(logits, 1), b.y)));
        }
        const double n = (double)lucid_loader_size(data);
        printf("epoch %d: loss %.4f, %.1f %% right\n", epoch, sum / n, 100 * hits / n);
    }
    lucid_optimizer_free(opt);
}

/* A file as torchvision's, with weights drawn by chance. */
static void make_weights(const char *path)
{
    lucid_module *net = nn_ResNet18();
    lucid_save(net, path);
    lucid_module_free(net);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    if (!a.load && !a.quick) return fputs("finetune: --load FILE is needed\n", stderr), 2;
    char made[4096] = "", weights[4200];
    lucid_manual_seed(1);
    if (a.quick) {
        shapes_folder(made, 48, 40);
        snprintf(weights, sizeof weights, "%s/resnet18.pth", made);
        if (!a.load) make_weights(weights);
    }
    const int size = a.quick ? 32 : 224;
    lucid_dataset *pictures = data_ImageFolder(a.quick ? made : a.data);
    const int64_t classes = pictures->n_classes;
    lucid_transform *t = data_Compose(data_RandomResizedCrop(size, .scale = lucid_range(0.6, 1)),
                                      data_RandomHorizontalFlip(), data_ToFloat(),
                                      data_Normalize((.485, .456, .406), (.229, .224, .225)));
    lucid_loader *data =
        data_Loader(data_Map(pictures, t), .batch_size = 16, .shuffle = true, .workers = 2);

    lucid_module *net = nn_ResNet18(.num_classes = classes);
    lucid_load(net, a.load ? a.load : weights, .ignore = "fc.*"); /* all but the new head */
    train(net, data, arguments_epochs(&a, 10, 4));
    if (a.save || !a.quick) lucid_save(net, a.save ? a.save : "finetune.safetensors");

    lucid_loader_free(data);
    lucid_module_free(net);
    if (a.quick) shapes_folder_remove(made);
    return lucid_finish();
}
