/* test_capture.c: a captured training step against the same steps one by one. */
#include "cuda_testing.h"

#include "lucid/core/tensor_priv.h"

CUDA_SUITE(capture);

enum { BATCH = 6, FEATURES = 20, CLASSES = 5, STEPS = 7 };

typedef struct training {
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_scheduler *schedule; /* steps outside of the captured step */
    lucid_tensor *x, *y, *loss;
    lucid_device device;
    double losses[STEPS];
} training;

typedef enum optimizer { SGD, ADAM, ADADELTA } optimizer;

static void training_begin(training *t, lucid_device device, optimizer kind)
{
    LUCID_SCOPE;
    lucid_manual_seed(5);
    *t = (training){.device = device};
    t->net = nn_Sequential(nn_Linear(FEATURES, 16, .bias = false), nn_BatchNorm1d(16), nn_ReLU(),
                           nn_Dropout(.p = 0.3), nn_Linear(16, CLASSES));
    lucid_to(t->net, device);
    t->opt = kind == SGD    ? optim_SGD(t->net, .lr = 0.1, .momentum = 0.9)
             : kind == ADAM ? optim_Adam(t->net, .lr = 0.01)
                            : optim_Adadelta(t->net, .lr = 1.0);
    t->schedule = optim_StepLR(t->opt, 2, .gamma = 0.5);
    t->x = lucid_retain(lucid_tensor_to(lucid_randn((BATCH, FEATURES)), device));
    t->y = lucid_retain(lucid_tensor_to(lucid_randint((BATCH), 0, CLASSES), device));
}

static void training_end(training *t)
{
    lucid_release(t->loss);
    lucid_release(t->x);
    lucid_release(t->y);
    lucid_scheduler_free(t->schedule);
    lucid_optimizer_free(t->opt);
    lucid_module_free(t->net);
}

static bool step(void *user)
{
    LUCID_SCOPE;
    training *t = user;
    lucid_tensor *loss = lucid_cross_entropy(lucid_forward(t->net, t->x), t->y);
    lucid_zero_grad(t->opt);
    if (!lucid_backward(loss) || !lucid_step(t->opt)) return false;
    lucid_release(t->loss);
    t->loss = lucid_retain(lucid_detach(loss));
    return t->loss != NULL;
}

/* STEPS steps; `captured`: two in lucid_capture, the others played back. The schedule goes on after
 * each, but between the two. */
static void run(training *t, bool captured)
{
    lucid_graph *graph = NULL;
    for (int i = 0; i < STEPS; i++) {
        if (captured && i == 0) {
            graph = lucid_capture(t->device, step, t);
            cr_assert(graph, "%s", lucid_error());
            i = 1;
        } else {
            bool ok = captured ? lucid_replay(graph) : step(t);
            cr_assert(ok, "step %d: %s", i, lucid_error());
        }
        if (i > 0) lucid_scheduler_step(t->schedule);
        t->losses[i] = lucid_item(t->loss);
    }
    if (captured) cr_expect_eq(lucid_graph_steps(graph), STEPS);
    lucid_graph_free(graph);
}

static void same_weights(const training *a, const training *b, double tolerance)
{
    size_t n, m;
    const lucid_named_tensor *p = lucid_named_parameters(a->net, &n);
    lucid_tensor *before[16];
    for (size_t i = 0; i < n; i++) before[i] = p[i].tensor;
    const lucid_named_tensor *q = lucid_named_parameters(b->net, &m);
    for (size_t i = 0; i < n; i++)
        cr_expect(tolerance == 0
                      ? lucid_equal(before[i], q[i].tensor)
                      : lucid_allclose(before[i], q[i].tensor, tolerance, tolerance, false),
                  "%s", q[i].name);
}

static void compare(optimizer kind)
{
    training here, eager, captured;
    training_begin(&here, lucid_cpu(), kind);
    run(&here, false);
    lucid_generator after = lucid_get_rng_state();
    training_begin(&eager, lucid_cuda(0), kind);
    run(&eager, false);
    training_begin(&captured, lucid_cuda(0), kind);
    run(&captured, true);
    lucid_generator now = lucid_get_rng_state();
    cr_expect(now.seed == after.seed && now.offset == after.offset,
              "the generator stands where it would without a graph");
    for (int i = 1; i < STEPS; i++) {
        cr_expect(captured.losses[i] == eager.losses[i], "step %d: %.9g, without a graph %.9g", i,
                  captured.losses[i], eager.losses[i]);
        cr_expect(testing_close(eager.losses[i], here.losses[i], 1e-4, 1e-5),
                  "step %d: %.9g, on the CPU %.9g", i, eager.losses[i], here.losses[i]);
    }
    same_weights(&captured, &eager, 0);
    same_weights(&captured, &here, 1e-4);
    training_end(&here);
    training_end(&eager);
    training_end(&captured);
}

Test(capture, sgd_with_dropout_and_a_schedule)
{
    compare(SGD);
}
Test(capture, adam)
{
    compare(ADAM);
}
Test(capture, adadelta)
{
    compare(ADADELTA);
}

/* New numbers in the same memory. */
typedef struct doubling {
    lucid_tensor *in, *out;
} doubling;

static bool twice(void *user)
{
    doubling *d = user;
    LUCID_SCOPE;
    /* 2 x, with numbers in every form */
    lucid_tensor *y =
        lucid_div(lucid_mul(lucid_mul_scalar(d->in, 8), lucid_scalar(0.5)), lucid_full((), 2));
    lucid_release(d->out);
    d->out = lucid_retain(y);
    return y != NULL;
}

Test(capture, replays_read_what_is_there)
{
    doubling d = {.in = lucid_ones((1000), .device = lucid_cuda(0))};
    lucid_graph *graph = lucid_capture(lucid_cuda(0), twice, &d);
    cr_assert(graph, "%s", lucid_error());
    for (int i = 0; i < 3; i++) {
        LUCID_SCOPE;
        lucid_copy_(d.in, lucid_full((1000), i, .device = lucid_cuda(0)));
        /* Other work may not get the graph's memory. */
        lucid_tensor *others[8];
        for (int k = 0; k < 8; k++) others[k] = lucid_full((1000), -1, .device = lucid_cuda(0));
        cr_expect(lucid_replay(graph));
        cr_expect(lucid_item(lucid_max(d.out)) == 2 * i && lucid_item(lucid_min(d.out)) == 2 * i);
        for (int k = 0; k < 8; k++) cr_expect(lucid_item(lucid_max(others[k])) == -1);
    }
    lucid_graph_free(graph);
    cr_expect(lucid_at(d.out, LUCID_SHAPE(3)) == 4, "what a step left behind stays");
    lucid_release(d.out);
}

/* ---- refusals ---- */

static bool waits(void *user)
{
    return lucid_item(user) == 1;
}
static bool prints(void *user)
{
    char *text = lucid_to_string(user);
    free(text);
    return text != NULL;
}
static bool takes_from_the_host(void *user)
{
    LUCID_SCOPE;
    return lucid_copy_(user, lucid_ones((1))) != NULL;
}
static bool synchronizes(void *user)
{
    (void)user;
    return lucid_synchronize(lucid_cuda(0));
}
static bool captures(void *user)
{
    doubling d = {.in = user};
    lucid_graph *inner = lucid_capture(lucid_cuda(0), twice, &d);
    lucid_release(d.out);
    lucid_graph_free(inner);
    return inner != NULL;
}
static bool cumulative(void *user)
{
    LUCID_SCOPE;
    return lucid_forward(user, lucid_randn((4, 3), .device = lucid_cuda(0))) != NULL;
}

Test(capture, what_cannot_be_captured_is_refused)
{
    lucid_tensor *x = lucid_ones((1), .device = lucid_cuda(0));
    const char *waiting = "a captured step cannot wait for the device";
    EXPECT_ERROR(lucid_capture(lucid_cuda(0), waits, x), LUCID_ERR_STATE, waiting);
    EXPECT_ERROR(lucid_capture(lucid_cuda(0), prints, x), LUCID_ERR_STATE, waiting);
    EXPECT_ERROR(lucid_capture(lucid_cuda(0), takes_from_the_host, x), LUCID_ERR_STATE, waiting);
    EXPECT_ERROR(lucid_capture(lucid_cuda(0), synchronizes, x), LUCID_ERR_STATE, waiting);
    EXPECT_ERROR(lucid_capture(lucid_cuda(0), captures, x), LUCID_ERR_STATE,
                 "capture: a step is being captured already");
    lucid_module *bn = nn_BatchNorm1d(3, .momentum = LUCID_MOMENTUM_NONE);
    lucid_to(bn, lucid_cuda(0));
    EXPECT_ERROR(lucid_capture(lucid_cuda(0), cumulative, bn), LUCID_ERR_STATE, waiting);
    lucid_module_free(bn);
    /* The device goes on working. */
    doubling d = {.in = x};
    cr_expect(twice(&d) && lucid_item(d.out) == 2, "%s", lucid_error());
    lucid_release(d.out);
}

Test(capture, any_allocation_may_fail)
{
    doubling d = {.in = lucid_ones((10), .device = lucid_cuda(0))};
    for (uint64_t n = 1; n < 60; n++) {
        lucid_memory_fail_nth(n);
        lucid_graph *graph = lucid_capture(lucid_cuda(0), twice, &d);
        bool failed = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_expect((graph == NULL) == failed && (lucid_error_code() == LUCID_ERR_MEMORY) == failed,
                  "allocation %d: %s", (int)n, lucid_error());
        lucid_clear_error();
        if (graph) cr_expect(lucid_replay(graph) && lucid_at(d.out, LUCID_SHAPE(9)) == 2);
        lucid_graph_free(graph);
        lucid_release(d.out);
        d.out = NULL;
        if (!failed) return;
    }
    cr_expect(false, "never came through");
}
