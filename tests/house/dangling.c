/* dangling.c: every exported function is given tensors that have ended; see test_dangling.sh. */
#include <lucid/extend.h>

#include <stdio.h>
#include <string.h>

static lucid_module *a_module, *a_self, *a_batch_norm, *a_conv, *a_adaptive;
static lucid_optimizer *a_optimizer;
static lucid_state_dict *a_state;
static lucid_grad_scaler *a_scaler;
static lucid_transform *a_transform;
static lucid_confusion *a_confusion;
static lucid_tensorboard *a_board;
static lucid_report *a_report;
static lucid_module_totals totals;
static lucid_generator *a_rng;
static lucid_tensor *out[LUCID_MAX_OUTPUTS];
static const char *path, *const names[] = {"n", "m"};
static FILE *nowhere;
static char memory[4096];

static bool check_fn(lucid_tensor *const *inputs, size_t n, lucid_tensor **outputs,
                     size_t *n_outputs, void *user)
{
    (void)n, (void)user;
    outputs[0] = inputs[0];
    *n_outputs = 1;
    return true;
}

static lucid_tensor *hook(lucid_tensor *grad, void *user)
{
    (void)user;
    return grad;
}

#include "uses.h"

static int failures;

static void try(const struct use *use, int which, lucid_tensor *ended)
{
    LUCID_SCOPE;
    lucid_tensor *t[8];
    for (int i = 0; i < 8; i++) t[i] = which < 0 || which == i ? ended : lucid_rand((4));
    use->call(t);
    const char *said = lucid_error();
    if (*said && (which >= 0 || strstr(said, "that ended with the scope that began at "))) {
        lucid_clear_error();
        return;
    }
    failures++;
    printf("%s, argument %d: said '%s'\n", use->name, which, said);
    lucid_clear_error();
}

static lucid_tensor *make_ended(void)
{
    LUCID_SCOPE;
    return lucid_rand((4));
}

int main(int argc, char **argv)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    path = argc > 1 ? argv[1] : "/dev/null";
    nowhere = fopen("/dev/null", "w");
    a_module = a_self = nn_Linear(4, 4);
    a_batch_norm = nn_BatchNorm2d(4);
    a_conv = nn_Conv2d(4, 4, 1);
    a_adaptive = nn_AdaptiveLogSoftmaxWithLoss(64, 20, (5, 10));
    a_optimizer = optim_SGD(a_module, .lr = 0.1);
    a_state = lucid_state_dict_new();
    a_scaler = lucid_grad_scaler_new(NULL);
    a_transform = data_ToFloat();
    a_confusion = lucid_confusion_new(10);
    a_report = lucid_report_new("a run");
    char folder[4096];
    snprintf(folder, sizeof folder, "%s.board", path);
    a_board = argc > 1 ? lucid_tensorboard_open(folder) : NULL;
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        for (int which = -1; which < uses[i].tensors; which++) {
            fflush(stdout);
            try(&uses[i], which, make_ended());
        }
    if (sizeof uses / sizeof *uses < 150)
        printf("only %zu functions\n", sizeof uses / sizeof *uses);
    return failures != 0;
}
