/* One file for a whole run: resumed runs have the same bits, in the middle of an epoch, with other
 * workers and after kill -9; the last and the best files; what is refused leaves all as it was. */
#include "tests/testing.h"

#include "lucid/lucid.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEPS = 40, SAMPLES = 50 };

/* ---- a run ----------------------------------------------------------------------------------- */

typedef struct run {
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_scheduler *schedule;
    lucid_grad_scaler *scaler;
    lucid_averaged *ema;
    lucid_loader *loader;
    int64_t steps;
} run;

/* A data set that draws: each sample of each epoch is another one. */
static bool get(const lucid_dataset *d, int64_t i, lucid_generator *rng, void *x, void *y)
{
    (void)d;
    float *to = x;
    for (int k = 0; k < 6; k++)
        to[k] = (float)(lucid_random_u64(rng) >> 40) * 0x1p-24f + 0.01f * (float)i;
    *(int64_t *)y = i % 3;
    return true;
}

static lucid_dataset samples = {.name = "drawn",
                                .size = SAMPLES,
                                .x = {LUCID_F32, {1, {6}}},
                                .y = {LUCID_I64, {0, {0}}},
                                .get = get};

static run make_run(int workers, uint64_t seed)
{
    run r = {0};
    lucid_manual_seed(seed);
    r.net = nn_Sequential(nn_Linear(6, 8), nn_BatchNorm1d(8), nn_ReLU(), nn_Dropout(.p = 0.2),
                          nn_Linear(8, 3));
    r.opt = optim_NAdam(r.net, .lr = 0.01);
    r.schedule =
        optim_SequentialLR(r.opt, (optim_LinearLR(r.opt), optim_CosineAnnealingLR(r.opt, 30)), 5);
    r.scaler = optim_GradScaler(.init_scale = 64, .growth_interval = 5);
    r.ema = optim_EMA(r.net, .decay = 0.9);
    r.loader = data_Loader(&samples, .batch_size = 8, .shuffle = true, .workers = workers);
    cr_assert(r.net && r.opt && r.schedule && r.scaler && r.ema && r.loader, "%s", lucid_error());
    return r;
}

static void free_run(run *r)
{
    lucid_loader_free(r->loader);
    lucid_averaged_free(r->ema);
    lucid_grad_scaler_free(r->scaler);
    lucid_scheduler_free(r->schedule);
    lucid_optimizer_free(r->opt);
    lucid_module_free(r->net);
}

static bool one_step(run *r, const lucid_batch *b)
{
    LUCID_SCOPE;
    lucid_zero_grad(r->opt);
    lucid_tensor *loss = lucid_cross_entropy(lucid_forward(r->net, b->x), b->y);
    r->steps++;
    return lucid_backward(lucid_grad_scaler_scale(r->scaler, loss)) &&
           lucid_grad_scaler_step(r->scaler, r->opt) && lucid_grad_scaler_update(r->scaler) &&
           lucid_scheduler_step(r->schedule) && lucid_averaged_update(r->ema, r->net);
}

#define PARTS(r)                                                                                  \
    .module = (r)->net, .optimizer = (r)->opt, .scheduler = (r)->schedule, .scaler = (r)->scaler, \
    .averaged = (r)->ema, .loader = (r)->loader

/* Until `steps` have been done, in all; with a folder, each is saved there. */
static void train(run *r, int64_t steps, const char *folder)
{
    lucid_batch b;
    while (r->steps < steps) {
        while (r->steps < steps && lucid_next(r->loader, &b)) {
            cr_assert(one_step(r, &b), "%s", lucid_error());
            if (folder)
                cr_assert(lucid_run_save_in(folder, r->steps, PARTS(r)), "%s", lucid_error());
        }
        cr_assert(lucid_error_code() == LUCID_OK, "%s", lucid_error());
    }
}

static void expect_same_states(const char *what, lucid_state_dict *a, lucid_state_dict *b)
{
    cr_assert(a && b && lucid_state_dict_size(a) == lucid_state_dict_size(b), "%s", what);
    for (size_t i = 0; i < lucid_state_dict_size(a); i++) {
        lucid_named_tensor x = lucid_state_dict_at(a, i), y = lucid_state_dict_at(b, i);
        cr_expect(strcmp(x.name, y.name) == 0 && lucid_equal(x.tensor, y.tensor), "%s: %s", what,
                  x.name);
    }
    lucid_state_dict_free(a);
    lucid_state_dict_free(b);
}

static void expect_same(const char *what, run *a, run *b)
{
    LUCID_SCOPE;
    expect_same_states(what, lucid_module_state_dict(a->net), lucid_module_state_dict(b->net));
    expect_same_states(what, lucid_optimizer_state_dict(a->opt),
                       lucid_optimizer_state_dict(b->opt));
    expect_same_states(what, lucid_averaged_state_dict(a->ema), lucid_averaged_state_dict(b->ema));
    expect_same_states(what, lucid_scheduler_state_dict(a->schedule),
                       lucid_scheduler_state_dict(b->schedule));
    cr_expect(lucid_grad_scaler_get_scale(a->scaler) == lucid_grad_scaler_get_scale(b->scaler));
}

/* ---- folders --------------------------------------------------------------------------------- */

static const char *folder(void)
{
    static char path[64];
    if (!*path) snprintf(path, sizeof path, "/tmp/lucid-run-%d", (int)getpid());
    return path; /* a child's too */
}

static void remove_folder(const char *path)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", path);
    cr_assert(system(command) == 0);
}

static bool exists(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    return access(path, F_OK) == 0;
}

/* ---- resuming -------------------------------------------------------------------------------- */

Test(run_file, resumed_runs_have_the_same_bits, .timeout = 60)
{
    char path[96];
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    snprintf(path, sizeof path, "%s.safetensors", folder());
    run whole = make_run(0, 5);
    train(&whole, STEPS, NULL);
    lucid_generator drawn = lucid_get_rng_state();
    for (int64_t stop = 0; stop < STEPS; stop += stop < 10 ? 3 : 9) {
        for (int workers = 0; workers < 4; workers += 3) {
            char what[64];
            snprintf(what, sizeof what, "stopped at %d, %d workers", (int)stop, workers);
            run begun = make_run(workers, 5);
            train(&begun, stop, NULL);
            cr_assert(lucid_run_save(path, PARTS(&begun)), "%s", lucid_error());
            run resumed = make_run(3 - workers, 77);
            train(&resumed, 3, NULL);
            lucid_manual_seed(1);
            cr_assert(lucid_run_load(path, PARTS(&resumed)), "%s: %s", what, lucid_error());
            resumed.steps = stop;
            train(&resumed, STEPS, NULL);
            expect_same(what, &whole, &resumed);
            lucid_generator now = lucid_get_rng_state();
            cr_expect(now.seed == drawn.seed && now.offset == drawn.offset, "%s: generator", what);
            free_run(&begun);
            free_run(&resumed);
        }
    }
    unlink(path);
    free_run(&whole);
    cr_expect(lucid_finish() == 0);
}

/* A child trains and saves every step until it is killed; the next one goes on. */
static void child_goes_on(void)
{
    run r = make_run(2, 5);
    int64_t done = lucid_run_load_latest(folder(), PARTS(&r));
    if (lucid_error_code() != LUCID_OK) {
        fprintf(stderr, "%s\n", lucid_error());
        _exit(9);
    }
    r.steps = done < 0 ? 0 : done;
    train(&r, STEPS, folder());
    _exit(0);
}

Test(run_file, survives_kill_9_at_any_moment, .timeout = 120)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    remove_folder(folder());
    unsigned random = 12345;
    int kills = 0, status = 1;
    for (int k = 0; k < 200 && status != 0; k++) {
        pid_t child = fork();
        cr_assert(child >= 0);
        if (child == 0) child_goes_on();
        random = random * 1103515245u + 12345u;
        struct timespec t = {0, 1000000 + (long)(random >> 8) % 60000000};
        if (kills < 50) {
            nanosleep(&t, NULL);
            kill(child, SIGKILL);
            kills++;
        }
        cr_assert(waitpid(child, &status, 0) == child);
        cr_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0, "child: %d", status);
    }
    cr_expect(status == 0, "the run has not ended");
    run whole = make_run(0, 5);
    train(&whole, STEPS, NULL);
    run last = make_run(0, 9);
    cr_assert(lucid_run_load_latest(folder(), PARTS(&last)) == STEPS, "%s", lucid_error());
    expect_same("after kills", &whole, &last);
    free_run(&whole);
    free_run(&last);
    remove_folder(folder());
}

/* ---- the last and the best ------------------------------------------------------------------- */

Test(run_file, keeps_the_last_and_the_best)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    remove_folder(folder());
    lucid_module *m = nn_Linear(1, 1, .bias = false);
    lucid_tensor *w = lucid_get_parameter(m, "weight");
    cr_expect(lucid_run_load_latest(folder(), .module = m) == -1 && !lucid_error_code());
    static const double accuracy[] = {0.3, NAN, 0.9, 0.5, 0.9};
    for (int k = 0; k < 5; k++) {
        lucid_init_constant(w, k);
        cr_assert(lucid_run_save_in(folder(), 8 + k, .module = m, .keep = 2,
                                    .best = LUCID_BEST_HIGHEST, .metric = accuracy[k]),
                  "%s", lucid_error());
    }
    cr_expect(!exists("run-000000010.safetensors") && exists("run-000000011.safetensors") &&
              exists("run-000000012.safetensors"));
    cr_expect(lucid_run_load_latest(folder(), .module = m) == 12 && lucid_item(w) == 4);
    char path[96];
    snprintf(path, sizeof path, "%s/best.safetensors", folder());
    cr_expect(lucid_run_load(path, .module = m) && lucid_item(w) == 2, "%s", lucid_error());
    /* Files with other names are a user's own: they are neither counted nor deleted. */
    static const char *const own[] = {"run-7", "run-99", "run-0000000001", "run-00000012x"};
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s.safetensors", folder(), own[k]);
        cr_assert(lucid_run_save(path, .module = m), "%s", lucid_error());
    }
    cr_expect(lucid_run_load_latest(folder(), .module = m) == 12, "%s", lucid_error());
    cr_expect(lucid_run_save_in(folder(), 13, .module = m, .keep = 1), "%s", lucid_error());
    for (int k = 0; k < 4; k++) {
        snprintf(path, sizeof path, "%s/%s.safetensors", folder(), own[k]);
        cr_expect(unlink(path) == 0, "%s was deleted", own[k]);
    }
    remove_folder(folder());
    lucid_module_free(m);
}

Test(run_file, programs_add_entries_of_their_own)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    char path[96];
    snprintf(path, sizeof path, "%s.safetensors", folder());
    lucid_state_dict *extra = lucid_state_dict_new(), *read = lucid_state_dict_new();
    lucid_state_dict_set(extra, "losses", lucid_values((3), 3, 2, 1));
    lucid_state_dict_set_note(extra, "who", "me");
    cr_assert(lucid_run_save(path, .extra = extra), "%s", lucid_error());
    cr_assert(lucid_run_load(path, .extra = read), "%s", lucid_error());
    EXPECT_VALUES(lucid_state_dict_get(read, "losses"), 0, 0, {3, 2, 1});
    cr_expect(strcmp(lucid_state_dict_note(read, "who"), "me") == 0);
    lucid_state_dict_free(extra);
    lucid_state_dict_free(read);
    unlink(path);
}

/* ---- refusals -------------------------------------------------------------------------------- */

Test(run_file, what_is_refused_changes_nothing)
{
    char path[96];
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    snprintf(path, sizeof path, "%s.safetensors", folder());
    run saved = make_run(0, 5);
    train(&saved, 9, NULL);
    run other = make_run(2, 6);
    train(&other, 4, NULL);
    run same = make_run(0, 6);
    train(&same, 4, NULL);
    cr_assert(lucid_run_save(path, PARTS(&saved)), "%s", lucid_error());
    lucid_module *small = nn_Linear(6, 8);
    lucid_optimizer *sgd = optim_SGD(small);
    lucid_manual_seed(4);
    EXPECT_ERROR(lucid_run_load(path, .module = other.net, .scheduler = other.schedule,
                                .loader = other.loader, .optimizer = sgd),
                 LUCID_ERR_FORMAT, "SGD: state: optimizer: expected SGD, got NAdam");
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    expect_same("after a refusal", &other, &same);
    cr_expect(lucid_get_rng_state().seed == 4 && lucid_get_rng_state().offset == 0);
    lucid_loader_position a = lucid_loader_get_position(other.loader),
                          b = lucid_loader_get_position(same.loader);
    cr_expect(a.seed == b.seed && a.epoch == b.epoch && a.batch == b.batch);
    cr_assert(lucid_run_save(path, .module = small), "%s", lucid_error());
    EXPECT_ERROR(lucid_run_load(path, .module = small, .optimizer = sgd), LUCID_ERR_FORMAT,
                 "run_load: file: it has no optimizer");
    EXPECT_ERROR(lucid_run_load(path, .loader = other.loader), LUCID_ERR_FORMAT, "no loader");
    cr_assert(lucid_save(small, path));
    EXPECT_ERROR(lucid_run_load(path, .module = small), LUCID_ERR_FORMAT,
                 "file: expected one of lucid_run_save");
    EXPECT_ERROR(lucid_run_load("/nowhere/run", .module = small), LUCID_ERR_IO, "/nowhere/run");
    EXPECT_ERROR(lucid_run_save_in(NULL, 1), LUCID_ERR_ARGUMENT, "run_save_in: folder: expected");
    EXPECT_ERROR(lucid_run_save_in("/tmp", -1), LUCID_ERR_ARGUMENT, "number: expected at least 0");
    EXPECT_ERROR(lucid_run_save_in("/tmp", 1, .keep = 0), LUCID_ERR_ARGUMENT, "keep: expected");
    EXPECT_ERROR(lucid_run_save_in("/nowhere/run", 1), LUCID_ERR_IO, "folder: /nowhere/run");
    EXPECT_ERROR(lucid_loader_set_position(other.loader, ((lucid_loader_position){1, 0, 8})),
                 LUCID_ERR_ARGUMENT, "batch: expected 0 to 7, got 8");
    unlink(path);
    lucid_optimizer_free(sgd);
    lucid_module_free(small);
    free_run(&saved);
    free_run(&other);
    free_run(&same);
    cr_expect(lucid_finish() == 0);
}
