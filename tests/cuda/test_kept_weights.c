/* test_kept_weights.c: copies of weights in channels_last memory, which stay from call to call
 * where a library wants them so. The emulator has a stand-in for the library. */
#include "cuda_testing.h"

#include "autograd/autograd.h"
#include "lucid/core/memory_priv.h"

#include <string.h>

static void begin(void)
{
    cuda_testing_begin();
    setenv("LUC_EMULATOR_DNN", "1", 1);
}

TestSuite(kept_weights, .init = begin, .fini = cuda_testing_end, .timeout = 600);

static size_t memory(void)
{
    return (size_t)lucid_memory(lucid_cuda(0)).current_bytes;
}

/* The same on the CPU, where nothing is brought into another layout. */
static bool is_right(lucid_tensor *x, lucid_tensor *w, lucid_tensor *y)
{
    LUCID_NO_GRAD;
    LUCID_SCOPE;
    lucid_tensor *want =
        lucid_conv2d(lucid_tensor_to(x, lucid_cpu()), lucid_tensor_to(w, lucid_cpu()), NULL);
    return lucid_allclose(lucid_tensor_to(y, lucid_cpu()), want, 1e-5, 1e-5, false);
}

Test(kept_weights, in_inference_until_they_change_or_go)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *x = lucid_randn((2, 40, 6, 6), .device = lucid_cuda(0));
    const size_t before = memory();
    lucid_tensor *w;
    {
        LUCID_SCOPE;
        w = lucid_retain(lucid_randn((24, 40, 3, 3), .device = lucid_cuda(0)));
    }
    const size_t with_weights = memory(), bytes = with_weights - before;
    for (int i = 0; i < 4; i++) {
        LUCID_SCOPE;
        cr_expect(is_right(x, w, lucid_conv2d(x, w, NULL)), "call %d", i);
        if (i % 2) lucid_mul_scalar_(w, -0.5);
    }
    if (is_emulated()) cr_expect_eq(memory(), with_weights + bytes, "one copy");
    { /* another view of the same memory is another input */
        LUCID_SCOPE;
        lucid_tensor *half = lucid_slice(w, 0, 12, INT64_MAX, 1);
        cr_expect(is_right(x, half, lucid_conv2d(x, half, NULL)), "a part");
        lucid_tensor *turned = lucid_transpose(w, 2, 3);
        cr_expect(is_right(x, turned, lucid_conv2d(x, turned, NULL)), "turned");
        cr_expect(is_right(x, w, lucid_conv2d(x, w, NULL)), "all again");
    }
    lucid_release(w);
    cr_expect_eq(memory(), before, "the copy goes with the weights");
}

/* What a forward and a backward ask memory for, beyond what they do with weights that lie right. */
static uint64_t allocations(lucid_tensor *x, lucid_tensor *w)
{
    LUCID_SCOPE;
    const uint64_t before = (uint64_t)lucid_memory(lucid_cuda(0)).allocations;
    lucid_tensor *y = lucid_conv2d(x, w, NULL), *start = lucid_mul_scalar(lucid_detach(y), 0.5),
                 *grad[1];
    lucid_grad_options o = lucid_grad_defaults;
    o.gradients = &start;
    cr_expect(lucid_grad_opt(&y, 1, &x, 1, grad, &o), "%s", lucid_error());
    return (uint64_t)lucid_memory(lucid_cuda(0)).allocations - before;
}

Test(kept_weights, from_a_forward_to_its_backward)
{
    if (!is_emulated()) cr_skip_test("cuDNN's own workspace is counted too");
    LUCID_SCOPE;
    lucid_tensor *x = lucid_randn((2, 8, 6, 6), .device = lucid_cuda(0));
    lucid_tensor *w = lucid_randn((8, 8, 3, 3), .device = lucid_cuda(0));
    lucid_tensor *last = lucid_contiguous(w, LUCID_CHANNELS_LAST);
    lucid_requires_grad_(x, true);
    lucid_requires_grad_(w, true);
    lucid_requires_grad_(last, true);
    cr_expect_eq(allocations(x, w), allocations(x, last) + 1);
    cr_expect_eq(allocations(x, w), allocations(x, last), "the version is the same");
    {
        LUCID_NO_GRAD;
        lucid_mul_scalar_(w, 2);
    }
    cr_expect_eq(allocations(x, w), allocations(x, last) + 1, "it has changed");
}

/* The copy's memory among them. */
Test(kept_weights, any_allocation_may_fail)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_randn((2, 8, 6, 6), .device = lucid_cuda(0));
    lucid_tensor *values = lucid_randn((8, 8, 3, 3), .device = lucid_cuda(0));
    lucid_tensor *want = lucid_detach(lucid_conv2d(x, values, NULL));
    bool of_the_copy = false;
    for (uint64_t n = 1; n < 100; n++) {
        LUCID_SCOPE;
        lucid_tensor *w =
            lucid_clone(values, LUCID_CONTIGUOUS); /* nothing is kept of this one yet */
        lucid_memory_fail_nth(n);
        lucid_tensor *y = lucid_conv2d(x, w, NULL);
        bool failed = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_expect((y == NULL) == failed && (lucid_error_code() == LUCID_ERR_MEMORY) == failed,
                  "%d: %s", (int)n, lucid_error());
        if (failed && strstr(lucid_error(), "for weights in channels_last")) of_the_copy = true;
        lucid_clear_error();
        cr_expect(lucid_equal(lucid_conv2d(x, w, NULL), want), "after failure %d", (int)n);
        if (failed) continue;
        cr_expect(of_the_copy || !is_emulated(), "the copy's allocation never failed");
        return;
    }
    cr_expect(false, "never came through");
}

/* ---- captured -------------------------------------------------------------------------------- */

typedef struct training {
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_tensor *x, *y;
} training;

static void training_begin(training *t)
{
    LUCID_SCOPE;
    lucid_manual_seed(5);
    t->net = nn_Sequential(nn_Conv2d(3, 8, 3, .padding = 1), nn_BatchNorm2d(8), nn_ReLU(),
                           nn_Conv2d(8, 7, 3), nn_ReLU(), nn_Flatten(), nn_Linear(7 * 4 * 4, 5));
    lucid_to(t->net, lucid_cuda(0));
    t->opt = optim_SGD(t->net, .lr = 0.1, .momentum = 0.9);
    t->x = lucid_retain(lucid_tensor_to(lucid_randn((4, 3, 6, 6)), lucid_cuda(0)));
    t->y = lucid_retain(lucid_tensor_to(lucid_randint((4), 0, 5), lucid_cuda(0)));
}

static void training_end(training *t)
{
    lucid_release(t->x);
    lucid_release(t->y);
    lucid_optimizer_free(t->opt);
    lucid_module_free(t->net);
}

static bool step(void *user)
{
    LUCID_SCOPE;
    training *t = user;
    lucid_tensor *loss = lucid_cross_entropy(lucid_forward(t->net, t->x), t->y);
    lucid_zero_grad(t->opt);
    return lucid_backward(loss) && lucid_step(t->opt);
}

/* The network's answer in inference, which keeps copies too. */
static lucid_tensor *answer(training *t)
{
    LUCID_NO_GRAD;
    lucid_eval(t->net);
    lucid_tensor *y = lucid_tensor_to(lucid_forward(t->net, t->x), lucid_cpu());
    lucid_train(t->net);
    return y;
}

/* Weights change in a replay without the host's knowing; answers between the replays see it. */
Test(kept_weights, in_a_captured_step)
{
    LUCID_SCOPE;
    training eager, captured;
    training_begin(&eager);
    training_begin(&captured);
    answer(&captured);
    lucid_graph *graph = lucid_capture(lucid_cuda(0), step, &captured);
    cr_assert(graph, "%s", lucid_error());
    cr_expect(step(&eager) && step(&eager));
    for (int i = 0; i < 5; i++) {
        lucid_tensor *want = answer(&eager), *got = answer(&captured);
        cr_expect(lucid_equal(got, want), "after %d replays", i);
        cr_expect(lucid_equal(answer(&captured), want), "again after %d replays", i);
        cr_expect(step(&eager) && lucid_replay(graph), "%s", lucid_error());
    }
    lucid_graph_free(graph);
    cr_expect(lucid_equal(answer(&captured), answer(&eager)), "without the graph");
    training_end(&eager);
    training_end(&captured);
}

typedef struct inference {
    lucid_tensor *x, *w, *y;
} inference;

static bool infer(void *user)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    inference *i = user;
    lucid_release(i->y);
    i->y = lucid_retain(lucid_conv2d(i->x, i->w, NULL));
    return i->y != NULL;
}

/* A graph reads no copy from outside: that goes when the weights change. */
Test(kept_weights, in_captured_inference)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    inference i = {.x = lucid_randn((2, 8, 6, 6), .device = lucid_cuda(0)),
                   .w = lucid_randn((8, 8, 3, 3), .device = lucid_cuda(0))};
    cr_expect(infer(&i));
    lucid_graph *graph = lucid_capture(lucid_cuda(0), infer, &i);
    cr_assert(graph, "%s", lucid_error());
    for (int n = 0; n < 3; n++) {
        LUCID_SCOPE;
        lucid_mul_scalar_(i.w, -1.5);
        lucid_conv2d(i.x, i.w, NULL); /* what was kept goes */
        lucid_full((64, 64), 7, .device = lucid_cuda(0));
        cr_expect(lucid_replay(graph));
        cr_expect(is_right(i.x, i.w, i.y), "replay %d", n);
    }
    lucid_graph_free(graph);
    cr_expect(is_right(i.x, i.w, lucid_conv2d(i.x, i.w, NULL)));
    lucid_release(i.y);
}
