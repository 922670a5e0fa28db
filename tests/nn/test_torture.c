/* test_torture.c: memory runs out at every allocation of a training, one after the other: each time
 * there is one clear error, nothing crashes, and no memory is left over. */
#include "lucid/lucid.h"
#include "testing.h"

typedef struct outcome {
    bool finished;
    int steps; /* of the optimizer that were done */
} outcome;

/* Builds a network with everything in it, trains it for two steps, tests it, and frees it. */
static outcome train(void)
{
    outcome o = {0};
    LUCID_SCOPE;
    lucid_manual_seed(7);
    lucid_module *net = nn_Sequential(
        nn_Conv2d(1, 4, 3, .padding = 1, .bias = false), nn_BatchNorm2d(4), nn_ReLU(),
        nn_MaxPool2d(2), nn_Conv2d(4, 6, 3, .padding = 1), nn_ReLU(), nn_AvgPool2d(2), nn_Flatten(),
        nn_Linear(24, 8), nn_Tanh(), nn_Dropout(.p = 0.25), nn_Linear(8, 3));
    lucid_optimizer *opt = optim_SGD(net, .lr = 0.05, .momentum = 0.9, .weight_decay = 1e-4);
    lucid_scheduler *schedule = optim_OneCycleLR(opt, 0.05, 4);
    lucid_tensor *x = lucid_randn((6, 1, 8, 8)), *y = lucid_randint((6), 0, 3);
    lucid_loader *data = data_Loader(data_Tensors(x, y), .batch_size = 3, .shuffle = true);
    lucid_batch b;
    while (lucid_next(data, &b)) {
        LUCID_SCOPE;
        lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, b.x), b.y);
        lucid_zero_grad(opt);
        lucid_backward(loss);
        lucid_clip_grad_norm(net, 1.0);
        if (lucid_step(opt)) o.steps++;
        lucid_scheduler_step(schedule);
        lucid_item(loss);
    }
    {
        LUCID_NO_GRAD;
        lucid_eval(net);
        lucid_tensor *guess = lucid_argmax(lucid_forward(net, x), 1);
        lucid_item(lucid_sum(lucid_eq(guess, y)));
    }
    o.finished = lucid_error_code() == LUCID_OK;
    lucid_loader_free(data);
    lucid_scheduler_free(schedule);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return o;
}

static void expect_nothing_alive(const char *when)
{
    lucid_live_counts n = lucid_live();
    cr_assert(n.tensors == 0 && n.storages == 0 && n.nodes == 0 && n.modules == 0 &&
                  n.optimizers == 0 && n.loaders == 0 && n.other == 0,
              "%s: alive: %lld tensors, %lld storages, %lld nodes, %lld modules, %lld optimizers, "
              "%lld loaders, %lld other objects",
              when, (long long)n.tensors, (long long)n.storages, (long long)n.nodes,
              (long long)n.modules, (long long)n.optimizers, (long long)n.loaders,
              (long long)n.other);
}

static int births;

static void count_birth(lucid_code code, const char *message, void *user)
{
    (void)code, (void)message, (void)user;
    births++;
}

Test(torture, every_allocation_of_a_training_fails_once)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    outcome whole = train();
    cr_assert(whole.finished && whole.steps == 2, "%s", lucid_error());
    expect_nothing_alive("a training that succeeds");

    lucid_set_error_handler(count_birth, NULL);
    uint64_t nth = 1;
    for (bool done = false; !done; nth++) {
        births = 0;
        lucid_memory_fail_nth(nth);
        outcome o = train();
        done = lucid_memory_fail_count() < nth; /* it never came to that allocation */
        lucid_memory_fail_nth(0);
        char when[64];
        snprintf(when, sizeof when, "allocation %llu fails", (unsigned long long)nth);
        if (done) {
            cr_expect(o.finished && births == 0, "%s", lucid_error());
        } else {
            cr_expect(!o.finished && births == 1, "%s: %d errors", when, births);
            cr_expect(lucid_error_code() == LUCID_ERR_MEMORY, "%s: %s", when, lucid_error());
            cr_expect(strstr(lucid_error(), "out of memory"), "%s: %s", when, lucid_error());
        }
        lucid_clear_error();
        expect_nothing_alive(when);
        cr_assert(nth < 100000, "the training never ends");
    }
    cr_expect(nth > 300, "only %llu allocations were counted", (unsigned long long)nth);
}
