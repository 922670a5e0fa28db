/* folder.c: trains on a folder of JPEG and PNG files, one sub-folder a class, with a part of them
 * for validation, the best weights in a file, and an end where they no longer become better.
 *
 *     folder --data pets                     pets/cat/1.jpg, pets/dog/2.png, ...
 *     folder --quick                         made-up pictures, a few seconds */
#include "common/arguments.h"
#include "common/shapes.h"

#include <math.h>
#include <stdio.h>

static const char help[] = "Trains a ResNet-18 on a folder of pictures, one sub-folder a class.\n\n"
                           "  --data DIR    the folder\n"
                           "  --epochs N    at most so many passes (50)\n"
                           "  --save FILE   the best weights (folder.safetensors)\n"
                           "  --quick       small made-up pictures and a small network\n";

enum { PATIENCE = 5 }; /* epochs without a better loss before the end */

static lucid_loader *load(lucid_dataset *part, int size, bool train)
{
    lucid_transform *in =
        train ? data_Compose(data_RandomResizedCrop(size, .scale = lucid_range(0.5, 1)),
                             data_RandomHorizontalFlip())
              : data_Compose(data_Resize(size), data_CenterCrop(size));
    lucid_transform *t =
        data_Compose(in, data_ToFloat(), data_Normalize((.485, .456, .406), (.229, .224, .225)));
    return data_Loader(data_Map(part, t), .batch_size = 16, .shuffle = train, .drop_last = train,
                       .workers = 2);
}

static double train(lucid_module *net, lucid_optimizer *opt, lucid_loader *data)
{
    double sum = 0;
    lucid_batch b;
    lucid_train(net);
    while (lucid_next(data, &b)) {
        LUCID_SCOPE;
        lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
        lucid_zero_grad(opt);
        lucid_backward(loss);
        lucid_step(opt);
        sum += lucid_item(loss);
    }
    return sum / (double)lucid_loader_batches(data);
}

/* The mean loss; predictions go to the confusion matrix. */
static double validate(lucid_module *net, lucid_loader *data, lucid_confusion *confusion)
{
    LUCID_NO_GRAD;
    double sum = 0;
    lucid_batch b;
    lucid_eval(net);
    lucid_confusion_reset(confusion);
    while (lucid_next(data, &b)) {
        LUCID_SCOPE;
        lucid_tensor *logits = lucid_forward(net, b.x);
        sum += lucid_item(lucid_cross_entropy(logits, b.y, .reduction = LUCID_REDUCTION_SUM));
        lucid_confusion_add(confusion, logits, b.y);
    }
    return sum / (double)lucid_loader_size(data);
}

int main(int argc, char **argv)
{
    arguments a;
    if (!arguments_parse(&a, argc, argv, help)) return a.status;
    char made[4096] = "";
    if (a.quick) shapes_folder(made, 120, 40);
    lucid_manual_seed(1);

    lucid_dataset *files = data_ImageFolder(a.quick ? made : a.data), *train_part, *valid_part;
    const int64_t classes = files->n_classes;
    data_random_split(files, (0.8, 0.2), (&train_part, &valid_part), .stratify = true);
    const int size = a.quick ? 32 : 224;
    lucid_loader *train_data = load(train_part, size, true);
    lucid_loader *valid_data = load(valid_part, size, false);
    lucid_module *net =
        a.quick ? nn_ResNet20(.num_classes = classes) : nn_ResNet18(.num_classes = classes);
    lucid_optimizer *opt = optim_AdamW(net, .lr = 1e-3, .weight_decay = 0.01);
    lucid_confusion *confusion = lucid_confusion_new(classes);

    const char *save = a.save ? a.save : "folder.safetensors";
    const int epochs = arguments_epochs(&a, 50, 5);
    double best = INFINITY;
    for (int epoch = 1, waited = 0; epoch <= epochs && waited < PATIENCE; epoch++, waited++) {
        const double loss = train(net, opt, train_data);
        const double valid = validate(net, valid_data, confusion);
        if (lucid_error_code() != LUCID_OK) break;
        printf("epoch %d: loss %.4f, validation %.4f, %.1f %% right%s\n", epoch, loss, valid,
               100 * lucid_confusion_accuracy(confusion), valid < best ? ", best" : "");
        if (!(valid < best)) continue;
        best = valid, waited = -1;
        if (!a.quick || a.save) lucid_save(net, save);
    }
    lucid_confusion_free(confusion);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    lucid_loader_free(valid_data);
    lucid_loader_free(train_data);
    if (a.quick) shapes_folder_remove(made);
    return lucid_finish();
}
