/* Every allocation around hooks, checkpoints, Adam, state dicts and copies fails
 * once: one clear error, nothing leaks, nothing crashes. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "nn/optim/scheduler.h"
#include "tests/nn/se_block.h"

static lucid_module *make_net(void)
{
    return nn_Sequential(nn_Conv2d(1, 4, 3, .padding = 1, .bias = false), nn_BatchNorm2d(4),
                         nn_ReLU(), make_se(4, 2), nn_MaxPool2d(2),
                         nn_Sequential(nn_Flatten(), nn_Dropout()), nn_Linear(16, 3));
}

static lucid_tensor *leave(lucid_module *m, lucid_tensor *in, lucid_tensor *out, void *user)
{
    (void)m, (void)in, (void)out, (void)user;
    return NULL;
}

/* Does everything; returns false if something failed. */
static bool work(void)
{
    LUCID_SCOPE;
    lucid_manual_seed(3);
    lucid_module *net = make_net();
    lucid_optimizer *opt = optim_Adam(net, .amsgrad = true);
    bool ok = net && opt && lucid_register_full_backward_hook(net, leave, NULL);
    lucid_tensor *x = lucid_randn((2, 1, 4, 4)), *labels = lucid_zeros((2), .dtype = LUCID_I64);
    for (int k = 0; k < 2 && ok; k++) {
        LUCID_SCOPE;
        lucid_tensor *y = k ? lucid_checkpoint(net, x) : lucid_forward(net, x);
        lucid_tensor *loss = lucid_cross_entropy(y, labels);
        ok = lucid_zero_grad(opt) && lucid_backward(loss) &&
             !isnan(lucid_clip_grad_norm(net, 0.5)) && lucid_step(opt);
    }
    lucid_state_dict *s = ok ? lucid_module_state_dict(net) : NULL;
    lucid_state_dict *o = ok ? lucid_optimizer_state_dict(opt) : NULL;
    ok = s && o && lucid_load_state_dict(net, s) && lucid_optimizer_load_state_dict(opt, o);
    lucid_state_dict *kept = ok ? lucid_state_dict_copy(s) : NULL;
    lucid_module *copy = kept ? lucid_module_copy(net) : NULL;
    lucid_scheduler *schedule = copy ? optim_OneCycleLR(opt, 0.1, 5) : NULL;
    ok = schedule && lucid_scheduler_step(schedule);
    lucid_scheduler_free(schedule);
    lucid_module_free(copy);
    lucid_state_dict_free(kept);
    size_t n;
    ok = ok && lucid_named_parameters(net, &n) && lucid_to_dtype(net, LUCID_F64);
    char *text = ok ? lucid_module_to_string(net) : NULL;
    ok = text != NULL;
    free(text);
    lucid_state_dict_free(s);
    lucid_state_dict_free(o);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return ok;
}

static void expect_same(const lucid_live_counts *a, const lucid_live_counts *b, uint64_t nth)
{
    cr_assert(a->tensors == b->tensors && a->storages == b->storages && a->nodes == b->nodes &&
                  a->modules == b->modules && a->optimizers == b->optimizers &&
                  a->other == b->other,
              "allocation %llu leaks: tensors %lld, storages %lld, nodes %lld, modules %lld, "
              "optimizers %lld, other %lld",
              (unsigned long long)nth, (long long)(a->tensors - b->tensors),
              (long long)(a->storages - b->storages), (long long)(a->nodes - b->nodes),
              (long long)(a->modules - b->modules), (long long)(a->optimizers - b->optimizers),
              (long long)(a->other - b->other));
}

Test(torture, every_allocation_around_states_and_hooks_fails_once)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_assert(work(), "%s", lucid_error());
    const lucid_live_counts before = lucid_live();
    bool done = false;
    uint64_t nth = 1;
    for (; !done && nth < 20000; nth++) {
        lucid_memory_fail_nth(nth);
        done = work();
        bool failed = lucid_memory_fail_count() >= nth;
        lucid_memory_fail_nth(0);
        lucid_live_counts now = lucid_live();
        expect_same(&now, &before, nth);
        if (done) {
            cr_expect(!failed || lucid_error_code() == LUCID_OK,
                      "allocation %llu: success after: %s", (unsigned long long)nth, lucid_error());
            done = !failed; /* an allocation that is not needed may fail without harm */
        } else {
            cr_assert(lucid_error_code() == LUCID_ERR_MEMORY, "allocation %llu: %s: %s",
                      (unsigned long long)nth, lucid_code_name(lucid_error_code()), lucid_error());
        }
        lucid_clear_error();
    }
    cr_expect(done && nth > 500, "%llu allocations", (unsigned long long)nth);
}
