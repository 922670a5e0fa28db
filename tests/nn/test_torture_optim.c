/* Every allocation around optimizers, schedules and their states fails once: one clear error,
 * nothing leaks, nothing crashes. */
#include "tests/testing.h"

#include "lucid/lucid.h"

#include <stdlib.h>
#include <unistd.h>

static lucid_tensor *closure(void *user)
{
    lucid_module *m = user;
    lucid_module_zero_grad(m);
    lucid_tensor *y = lucid_forward(m, lucid_ones((2, 3)));
    lucid_tensor *loss = lucid_mean(lucid_square(lucid_sub(y, 1)));
    return lucid_backward(loss) ? loss : NULL;
}

static bool round_trip(lucid_optimizer *opt, lucid_scheduler *schedule)
{
    lucid_state_dict *o = lucid_optimizer_state_dict(opt);
    lucid_state_dict *s = o && schedule ? lucid_scheduler_state_dict(schedule) : NULL;
    bool ok = o && lucid_optimizer_load_state_dict(opt, o) &&
              (!schedule || (s && lucid_scheduler_load_state_dict(schedule, s)));
    lucid_state_dict_free(o);
    lucid_state_dict_free(s);
    return ok;
}

static bool train(const char *kind, lucid_module *m)
{
    lucid_optimizer *opt = lucid_optim_new(kind, NULL);
    lucid_optim_options o = opt ? lucid_optim_get_defaults(opt) : (lucid_optim_options){0};
    if (strcmp(kind, "LBFGS") == 0) {
        o.max_iter = 3;
        o.strong_wolfe = true;
    }
    bool ok = opt && lucid_optim_add_matching(opt, m, "*", &o);
    bool plain = strcmp(kind, "NAdam") == 0;
    lucid_scheduler *s = NULL;
    if (ok && plain) {
        s = optim_SequentialLR(opt, (optim_LinearLR(opt), optim_CosineAnnealingLR(opt, 5)), 2);
        ok = s && lucid_optim_move_matching(opt, m, "bias", NULL) && optim_Lookahead(opt, .k = 1);
    }
    for (int k = 0; ok && k < 2; k++) {
        ok = !isnan(lucid_step_closure(opt, closure, m)) && (!s || lucid_scheduler_step(s)) &&
             round_trip(opt, s);
    }
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    return ok;
}

static bool work(void)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(3, 2);
    lucid_set_grad_enabled(true);
    bool ok = m && train("NAdam", m) && train("Adafactor", m) && train("LBFGS", m);
    lucid_optimizer *plain = ok ? optim_RMSprop(m) : NULL;
    const double least = 0;
    lucid_scheduler *s =
        plain ? optim_ReduceLROnPlateau(plain, .min_lrs = &least, .n_min_lrs = 1) : NULL;
    ok = s && lucid_scheduler_step_metric(s, 1);
    lucid_scheduler_free(s);
    s = ok ? optim_ChainedScheduler(plain, (optim_StepLR(plain, 2))) : NULL;
    ok = s && lucid_scheduler_seek(s, 3);
    lucid_scheduler_free(s);
    lucid_optimizer_free(plain);
    lucid_module_free(m);
    return ok;
}

/* Averages, run files, metrics, the summary, first values. */
static bool work_around(void)
{
    LUCID_SCOPE;
    char path[64];
    snprintf(path, sizeof path, "/tmp/lucid-torture-%d.safetensors", (int)getpid());
    lucid_module *m = nn_Sequential(nn_Linear(3, 2), nn_BatchNorm1d(2));
    lucid_optimizer *opt = m ? optim_RMSprop(m) : NULL;
    lucid_scheduler *s = opt ? optim_ExponentialLR(opt, 0.5) : NULL;
    lucid_averaged *ema = s ? optim_EMA(m) : NULL;
    lucid_loader *loader =
        ema ? data_Loader(data_Tensors(lucid_ones((4, 3)), lucid_zeros((4)))) : NULL;
    bool ok = loader && lucid_update_bn(m, loader) && lucid_averaged_update(ema, m);
    ok = ok && lucid_run_save(path, .module = m, .optimizer = opt, .scheduler = s, .averaged = ema,
                              .loader = loader);
    ok = ok && lucid_run_load(path, .module = m, .optimizer = opt, .scheduler = s, .averaged = ema,
                              .loader = loader);
    char *text = ok ? lucid_module_summary(m, lucid_ones((2, 3))) : NULL;
    ok = text && lucid_vector_to_parameters(m, lucid_parameters_to_vector(m)) &&
         lucid_init_orthogonal(lucid_get_parameter(m, "0.weight")) && lucid_clip_grad_value(m, 1);
    free(text);
    lucid_confusion *c = ok ? lucid_confusion_new(2) : NULL;
    ok = c && lucid_confusion_add(c, lucid_ones((3, 2)), lucid_zeros((3), .dtype = LUCID_I64));
    lucid_confusion_free(c);
    lucid_loader_free(loader);
    lucid_averaged_free(ema);
    lucid_scheduler_free(s);
    lucid_optimizer_free(opt);
    lucid_module_free(m);
    unlink(path);
    return ok;
}

static void fail_each(bool (*attempt)(void), uint64_t least)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(1);
    cr_assert(attempt(), "%s", lucid_error());
    const lucid_live_counts before = lucid_live();
    bool done = false;
    uint64_t nth = 1;
    for (; !done && nth < 20000; nth++) {
        lucid_manual_seed(1);
        lucid_memory_fail_nth(nth);
        done = attempt();
        bool failed = lucid_memory_fail_count() >= nth;
        lucid_memory_fail_nth(0);
        lucid_live_counts now = lucid_live();
        cr_assert(now.tensors == before.tensors && now.storages == before.storages &&
                      now.modules == before.modules && now.optimizers == before.optimizers &&
                      now.nodes == before.nodes && now.other == before.other,
                  "allocation %llu leaks: tensors %lld, other %lld", (unsigned long long)nth,
                  (long long)(now.tensors - before.tensors), (long long)(now.other - before.other));
        if (!done)
            cr_assert(lucid_error_code() == LUCID_ERR_MEMORY, "allocation %llu: %s: %s",
                      (unsigned long long)nth, lucid_code_name(lucid_error_code()), lucid_error());
        done = done && !failed;
        lucid_clear_error();
    }
    cr_expect(done && nth > least, "%llu allocations", (unsigned long long)nth);
}

Test(torture_optim, every_allocation_of_optimizers_fails_once, .timeout = 120)
{
    fail_each(work, 500);
}

Test(torture_optim, every_allocation_of_what_is_around_fails_once, .timeout = 120)
{
    fail_each(work_around, 200);
}
