/* Results that wait to be computed inside lucid_forward: nobody can tell them from others. Each
 * case is a forward that does something with them in the middle, run with fusion and without. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/capture.h"
#include "lucid/core/memory.h"
#include "lucid/core/profiler.h"
#include "lucid/core/random.h"
#include "nn/nn.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

/* ---- a module whose forward is a function of the test ---- */

typedef struct Body Body;
typedef lucid_tensor *(*body_fn)(Body *b, lucid_tensor *x);
struct Body {
    lucid_module base;
    lucid_module *conv, *norm, *linear;
    body_fn forward;
    lucid_tensor *kept;
    double seen;
};

static lucid_tensor *body_forward(lucid_module *m, lucid_tensor *x)
{
    Body *b = lucid_self(m, Body);
    return b->forward(b, x);
}

static const lucid_module_class body_class = {.name = "Body",
                                              .size = sizeof(Body),
                                              .super = &lucid_module_class_base,
                                              .forward = body_forward};

static Body *body(body_fn forward)
{
    lucid_manual_seed(2);
    lucid_module *m = lucid_module_new(&body_class);
    Body *b = m ? lucid_self(m, Body) : NULL;
    if (!b) return NULL;
    b->forward = forward;
    lucid_register_module(&b->base, "conv", &b->conv, nn_Conv2d(3, 4, 3, .padding = 1));
    lucid_register_module(&b->base, "norm", &b->norm, nn_BatchNorm2d(4));
    lucid_register_module(&b->base, "linear", &b->linear, nn_Linear(5, 4));
    LUCID_NO_GRAD;
    lucid_init_uniform(lucid_get_buffer(b->norm, "running_var"), 0.5, 1.5);
    lucid_init_uniform(lucid_get_buffer(b->norm, "running_mean"), -0.5, 0.5);
    lucid_init_uniform(lucid_get_parameter(b->norm, "weight"), 0.5, 1.5);
    lucid_init_uniform(lucid_get_parameter(b->norm, "bias"), -0.5, 0.5);
    return b;
}

enum { EVAL, EVAL_RECORDED, TRAINING, MODES };

/* The results of a run. */
typedef struct result {
    lucid_tensor *t[16];
    int n;
    double seen;
} result;

static void note(result *r, lucid_tensor *t)
{
    if (t) r->t[r->n++] = lucid_clone(lucid_detach(t), LUCID_CONTIGUOUS);
}

static result run(body_fn forward, int mode, bool fused)
{
    Body *b = body(forward);
    result r = {.n = 0};
    lucid_tensor *x = lucid_randn((2, 3, 6, 5));
    lucid_set_training(&b->base, mode == TRAINING);
    bool before = lucid_set_grad_enabled(mode != EVAL);
    if (mode != EVAL) lucid_requires_grad_(x, true);
    lucid_tensor *input = mode == EVAL ? x : lucid_mul_scalar(x, 2);
    lucid_set_fusion(fused);
    lucid_tensor *y = lucid_forward(&b->base, input);
    lucid_set_fusion(true);
    cr_assert(y, "%s", lucid_error());
    note(&r, y);
    note(&r, b->kept);
    if (mode != EVAL) {
        lucid_tensor *loss = lucid_sum(lucid_square(y));
        if (b->kept) loss = lucid_add(loss, lucid_sum(lucid_mul_scalar(b->kept, 3)));
        cr_assert(!lucid_requires_grad(loss) || lucid_backward(loss), "%s", lucid_error());
        note(&r, lucid_tensor_grad(x));
        size_t n;
        const lucid_named_tensor *p = lucid_named_parameters(&b->base, &n);
        for (size_t i = 0; i < n; i++) note(&r, lucid_tensor_grad(p[i].tensor));
    }
    note(&r, lucid_get_buffer(b->norm, "running_mean"));
    note(&r, lucid_get_buffer(b->norm, "running_var"));
    note(&r, lucid_get_buffer(b->norm, "num_batches_tracked"));
    r.seen = b->seen;
    lucid_set_grad_enabled(before);
    lucid_release(b->kept);
    lucid_module_free(&b->base);
    return r;
}

static double difference(const lucid_tensor *a, const lucid_tensor *b)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_cast((lucid_tensor *)(uintptr_t)a, LUCID_F64);
    lucid_tensor *y = lucid_cast((lucid_tensor *)(uintptr_t)b, LUCID_F64);
    return lucid_item(lucid_max(lucid_abs(lucid_sub(x, y))));
}

static double largest(const lucid_tensor *a)
{
    LUCID_SCOPE;
    return lucid_item(lucid_max(lucid_abs(lucid_cast((lucid_tensor *)(uintptr_t)a, LUCID_F64))));
}

/* With and without fusion the results differ by rounding at most, in every mode. */
static void expect_no_difference(body_fn forward, const char *what)
{
    for (int mode = 0; mode < MODES; mode++) {
        LUCID_SCOPE;
        result a = run(forward, mode, true), b = run(forward, mode, false);
        cr_assert_eq(a.n, b.n, "%s, mode %d", what, mode);
        double most = 1; /* of all: the gradient of a bias before a normalisation is 0 */
        for (int i = 0; i < b.n; i++) most = fmax(most, largest(b.t[i]));
        for (int i = 0; i < a.n; i++) {
            const double off = difference(a.t[i], b.t[i]) / most;
            cr_expect(off <= 1e-5, "%s, mode %d: result %d is off by %g", what, mode, i, off);
        }
        cr_expect(fabs(a.seen - b.seen) <= 2e-5 * fmax(1, fabs(b.seen)),
                  "%s, mode %d: saw %g and %g", what, mode, a.seen, b.seen);
    }
}

/* ---- reading what waits ---- */

static double first_number(const lucid_tensor *t)
{
    const float *p = lucid_data(t);
    return p ? p[0] : NAN;
}

static lucid_tensor *reads_by_pointer(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x);
    b->seen = first_number(y);
    lucid_tensor *z = lucid_forward(b->norm, y);
    b->seen += 10 * first_number(z);
    z = lucid_relu(lucid_add(z, y));
    b->seen += 100 * first_number(z);
    return z;
}

static lucid_tensor *reads_late(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x), *z = lucid_forward(b->norm, y);
    lucid_tensor *s = lucid_add(z, y), *r = lucid_relu(s);
    b->seen = first_number(r) + first_number(s) + first_number(z) + first_number(y);
    return r;
}

static lucid_tensor *other_branch(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x), *z = lucid_forward(b->norm, y);
    lucid_tensor *r = lucid_relu(z);
    return lucid_add(lucid_add(r, lucid_mul_scalar(z, 2)), lucid_square(y));
}

static lucid_tensor *keeps_an_intermediate(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    b->kept = lucid_retain(z);
    return lucid_relu(z);
}

static lucid_tensor *keeps_the_convolution(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x);
    b->kept = lucid_retain(y);
    return lucid_relu(lucid_forward(b->norm, y));
}

static lucid_tensor *doubles(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    return lucid_relu(lucid_add(z, z));
}

static lucid_tensor *views(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    lucid_tensor *v = lucid_select(z, 1, 0);
    return lucid_add(lucid_relu(z), lucid_unsqueeze(v, 1));
}

static lucid_tensor *detaches(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    return lucid_mul(lucid_relu(lucid_detach(z)), z);
}

static lucid_tensor *linear_then_relu(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->linear, x), *r = lucid_relu(y);
    return lucid_add(r, lucid_mul_scalar(y, 0.25));
}

static lucid_tensor *convolution_then_relu(Body *b, lucid_tensor *x)
{
    return lucid_relu(lucid_relu_(lucid_forward(b->conv, x)));
}

static lucid_tensor *no_grad_in_the_middle(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x)), *r;
    {
        LUCID_NO_GRAD;
        r = lucid_relu(z);
        cr_expect(!lucid_requires_grad(r));
    }
    return lucid_add(z, r);
}

Test(fusion_waiting, whoever_reads_gets_the_values)
{
    expect_no_difference(reads_by_pointer, "reads by pointer");
    expect_no_difference(reads_late, "reads late");
    expect_no_difference(other_branch, "another branch");
    expect_no_difference(keeps_an_intermediate, "keeps an intermediate result");
    expect_no_difference(keeps_the_convolution, "keeps the convolution's result");
    expect_no_difference(doubles, "adds a result to itself");
    expect_no_difference(views, "a view");
    expect_no_difference(detaches, "detach");
    expect_no_difference(linear_then_relu, "linear and ReLU");
    expect_no_difference(convolution_then_relu, "convolution and ReLU");
    expect_no_difference(no_grad_in_the_middle, "gradient mode changes");
}

/* ---- writing what was read ---- */

static lucid_tensor *writes_the_input(Body *b, lucid_tensor *x)
{
    lucid_tensor *own = lucid_clone(lucid_detach(x), LUCID_CONTIGUOUS);
    lucid_tensor *y = lucid_forward(b->conv, own);
    if (!lucid_is_grad_enabled()) lucid_mul_scalar_(own, 0);
    return lucid_relu(lucid_forward(b->norm, y));
}

static lucid_tensor *writes_the_input_later(Body *b, lucid_tensor *x)
{
    lucid_tensor *own = lucid_clone(lucid_detach(x), LUCID_CONTIGUOUS);
    lucid_tensor *y = lucid_forward(b->conv, own), *z = lucid_forward(b->norm, y);
    lucid_tensor *r = lucid_relu(z);
    if (!lucid_is_grad_enabled()) lucid_fill_(own, 7);
    return lucid_add(r, y);
}

static lucid_tensor *writes_by_pointer(Body *b, lucid_tensor *x)
{
    lucid_tensor *own = lucid_clone(lucid_detach(x), LUCID_CONTIGUOUS);
    LUCID_NO_GRAD;
    float *p = lucid_mutable_data(own);
    lucid_tensor *y = lucid_forward(b->conv, own);
    memset(p, 0, 100);
    lucid_tensor *z = lucid_forward(b->norm, y);
    p[0] = 5;
    lucid_tensor *r = lucid_relu(z);
    p[1] = 6;
    return lucid_add(r, y);
}

static lucid_tensor *writes_a_weight(Body *b, lucid_tensor *x)
{
    LUCID_NO_GRAD;
    lucid_tensor *y = lucid_forward(b->conv, x);
    lucid_mul_scalar_(lucid_get_parameter(b->conv, "weight"), 0.5);
    lucid_tensor *z = lucid_relu(lucid_forward(b->norm, y));
    lucid_fill_(lucid_get_parameter(b->norm, "bias"), 9);
    lucid_fill_(lucid_get_buffer(b->norm, "running_mean"), 9);
    return lucid_add(z, y);
}

static lucid_tensor *writes_the_result(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    return lucid_relu_(lucid_mul_scalar_(lucid_add_(z, lucid_full((2, 4, 6, 5), 0.25)), 1.5));
}

Test(fusion_waiting, whoever_writes_changes_nothing_of_before)
{
    expect_no_difference(writes_the_input, "writes the input");
    expect_no_difference(writes_the_input_later, "writes the input later");
    expect_no_difference(writes_by_pointer, "writes by pointer");
    expect_no_difference(writes_a_weight, "writes a weight");
    expect_no_difference(writes_the_result, "writes the result");
}

/* ---- running statistics ---- */

static lucid_tensor *looks_at_statistics(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    b->seen = first_number(lucid_get_buffer(b->norm, "running_mean"));
    z = lucid_relu(z);
    b->seen += 10 * first_number(lucid_get_buffer(b->norm, "running_var"));
    return z;
}

static lucid_tensor *drops_the_result(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x);
    {
        LUCID_SCOPE;
        lucid_forward(b->norm, y);
        lucid_relu(lucid_forward(b->norm, y));
    }
    return lucid_square(y);
}

static lucid_tensor *twice_the_same_module(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x);
    return lucid_add(lucid_forward(b->norm, y), lucid_forward(b->norm, lucid_square(y)));
}

Test(fusion_waiting, running_statistics_change_once)
{
    expect_no_difference(looks_at_statistics, "looks at the statistics");
    expect_no_difference(drops_the_result, "drops the result");
    expect_no_difference(twice_the_same_module, "twice the same module");
    expect_no_difference(other_branch, "reads what was fused away");
}

/* ---- autograd and its hooks ---- */

static lucid_tensor *count(lucid_tensor *grad, void *user)
{
    (void)grad;
    ++*(double *)user;
    return NULL;
}

static lucid_tensor *hooks_a_result(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    if (lucid_is_grad_enabled()) {
        cr_expect(!lucid_is_leaf(z));
        cr_expect_str_eq(lucid_grad_fn_name(z), "batch_norm");
        lucid_register_hook(z, count, &b->seen);
        lucid_retain_grad(z);
    }
    return lucid_relu(z);
}

/* A penalty on a gradient, inside forward. */
static lucid_tensor *goes_backward(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_relu(lucid_forward(b->norm, lucid_forward(b->conv, x)));
    if (!lucid_is_grad_enabled()) return z;
    lucid_tensor *loss = lucid_sum(lucid_square(z)), *g;
    if (!lucid_grad(&loss, 1, &x, 1, &g, .create_graph = true)) return NULL;
    return lucid_add(z, lucid_sum(lucid_square(g)));
}

static lucid_tensor *goes_backward_through_relu(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_relu(lucid_forward(b->linear, lucid_relu(lucid_forward(b->conv, x))));
    if (!lucid_is_grad_enabled()) return z;
    lucid_tensor *loss = lucid_sum(lucid_square(z)), *g;
    if (!lucid_grad(&loss, 1, &x, 1, &g, .create_graph = true)) return NULL;
    return lucid_add(z, lucid_sum(lucid_square(g)));
}

/* NaN goes through ReLU, also where it is a part of another operator. */
static lucid_tensor *has_nan(Body *b, lucid_tensor *x)
{
    lucid_tensor *bad = lucid_mul(x, lucid_log(lucid_full((2, 1, 1, 1), -1)));
    lucid_tensor *y = lucid_relu(lucid_forward(b->linear, bad));
    lucid_tensor *z = lucid_relu(lucid_forward(b->conv, bad));
    b->seen = (isnan(first_number(y)) ? 1 : 0) + (isnan(first_number(z)) ? 2 : 0);
    cr_expect_eq(b->seen, 3);
    return lucid_relu(lucid_forward(b->conv, x));
}

static lucid_tensor *checkpoints(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_checkpoint(b->conv, x);
    return lucid_relu(lucid_checkpoint(b->norm, lucid_relu_(y)));
}

static lucid_tensor *turns_fusion_off(Body *b, lucid_tensor *x)
{
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    bool before = lucid_set_fusion(false);
    z = lucid_relu(z);
    lucid_set_fusion(before);
    return lucid_relu(lucid_forward(b->linear, z));
}

Test(fusion_waiting, autograd_sees_every_operator)
{
    expect_no_difference(hooks_a_result, "hooks");
    expect_no_difference(goes_backward, "backward inside forward");
    expect_no_difference(goes_backward_through_relu, "second derivatives through ReLU");
    expect_no_difference(has_nan, "NaN");
    expect_no_difference(checkpoints, "checkpoints");
    expect_no_difference(turns_fusion_off, "fusion is turned off");
}

static lucid_tensor *asks_for_sizes(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x);
    cr_expect(lucid_ndim(y) == 4 && lucid_size(y, 1) == 4 && lucid_numel(y) == 240);
    cr_expect_eq(lucid_tensor_dtype(y), LUCID_F32);
    cr_expect(lucid_device_equal(lucid_tensor_device(y), lucid_cpu()));
    cr_expect_eq(lucid_stride(y, 1), 1);
    cr_expect(lucid_is_contiguous(y, LUCID_CHANNELS_LAST));
    cr_expect(lucid_set_name(y, "y") && !strcmp(lucid_name(y), "y"));
    lucid_requires_grad(y);
    lucid_release(lucid_retain(y));
    return lucid_relu(lucid_forward(b->norm, y));
}

static size_t times(const char *name)
{
    size_t n = 0;
    lucid_profile_entry e;
    for (size_t i = 0; lucid_profiler_at(i, &e); i++)
        if (!strcmp(e.op, name)) n += (size_t)e.count;
    return n;
}

/* Asking only for sizes does not prevent fusion. */
Test(fusion_waiting, sizes_are_known_at_once)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    Body *b = body(asks_for_sizes);
    lucid_eval(&b->base);
    lucid_profiler_start();
    cr_assert(lucid_forward(&b->base, lucid_randn((2, 3, 6, 5))), "%s", lucid_error());
    lucid_profiler_stop();
    cr_expect(times("conv2d_batch_norm") == 1 && !times("conv2d") && !times("relu"));
    lucid_profiler_reset();
    lucid_module_free(&b->base);
}

/* The module that applied the operator, not the one that ran when it was computed. */
Test(fusion_waiting, the_profiler_names_the_module)
{
    LUCID_SCOPE;
    Body *b = body(keeps_an_intermediate);
    lucid_profiler_start();
    lucid_forward(&b->base, lucid_randn((2, 3, 6, 5)));
    lucid_profiler_stop();
    bool found = false;
    lucid_profile_entry e;
    for (size_t i = 0; lucid_profiler_at(i, &e); i++)
        if (!strcmp(e.op, "conv2d_statistics")) found = !strcmp(e.module, "net.conv");
    cr_expect(found);
    lucid_profiler_reset();
    lucid_release(b->kept);
    lucid_module_free(&b->base);
}

static lucid_tensor *too_small(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x);
    lucid_tensor *z = lucid_forward(b->norm, lucid_select(y, 1, 0));
    cr_expect(!z && strstr(lucid_error(), "module net.norm"), "%s", lucid_error());
    lucid_clear_error();
    z = lucid_add(lucid_forward(b->norm, y), lucid_ones((2, 4, 6, 6)));
    cr_expect(!z &&
              strstr(lucid_error(), "add: b: expected a shape that broadcasts with [2,4,6,5]"));
    lucid_clear_error();
    return lucid_relu(y);
}

Test(fusion_waiting, errors_arise_where_they_are_made)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    Body *b = body(too_small);
    cr_expect(lucid_forward(&b->base, lucid_randn((2, 3, 6, 5))), "%s", lucid_error());
    cr_expect_eq(lucid_item(lucid_get_buffer(b->norm, "num_batches_tracked")), 1);
    lucid_module_free(&b->base);
}

/* ---- capture ---- */

typedef struct Step {
    lucid_module *net;
    lucid_optimizer *opt;
    lucid_tensor *x;
} Step;

static bool step(void *user)
{
    LUCID_SCOPE;
    Step *s = user;
    lucid_tensor *loss = lucid_sum(lucid_square(lucid_forward(s->net, s->x)));
    lucid_zero_grad(s->opt);
    return lucid_backward(loss) && lucid_step(s->opt);
}

Test(fusion_waiting, a_captured_step)
{
    LUCID_SCOPE;
    lucid_tensor *w[2];
    for (int k = 0; k < 2; k++) {
        Body *b = body(reads_late);
        Step s = {&b->base, optim_SGD(&b->base, .lr = 1e-3), lucid_randn((2, 3, 6, 5))};
        lucid_set_fusion(k == 0);
        lucid_graph *graph = lucid_capture(lucid_cpu(), step, &s);
        cr_assert(graph && lucid_replay(graph), "%s", lucid_error());
        lucid_set_fusion(true);
        w[k] = lucid_clone(lucid_get_parameter(b->conv, "weight"), LUCID_CONTIGUOUS);
        lucid_graph_free(graph);
        lucid_optimizer_free(s.opt);
        lucid_module_free(&b->base);
    }
    cr_expect_leq(difference(w[0], w[1]), 1e-5);
}

/* ---- threads ---- */

typedef struct reader {
    lucid_tensor *t;
    double number;
} reader;

static void *read_there(void *user)
{
    reader *r = user;
    r->number = first_number(r->t);
    return NULL;
}

static double read_in_another_thread(lucid_tensor *t)
{
    pthread_t thread;
    reader r = {t, NAN};
    pthread_create(&thread, NULL, read_there, &r);
    pthread_join(thread, NULL);
    return r.number;
}

static lucid_tensor *another_thread_reads(Body *b, lucid_tensor *x)
{
    lucid_tensor *y = lucid_forward(b->conv, x), *z = lucid_forward(b->norm, y);
    b->seen = read_in_another_thread(z);
    lucid_tensor *r = lucid_relu(z);
    b->seen += 10 * read_in_another_thread(r) + 100 * read_in_another_thread(y);
    return lucid_relu(lucid_forward(b->linear, r));
}

Test(fusion_waiting, another_thread_gets_the_values)
{
    expect_no_difference(another_thread_reads, "another thread reads");
}

/* Several threads read one result at once, and this one goes on with it. */
static lucid_tensor *threads_race(Body *b, lucid_tensor *x)
{
    enum { READERS = 4 };
    lucid_tensor *z = lucid_forward(b->norm, lucid_forward(b->conv, x));
    reader readers[READERS];
    pthread_t threads[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i].t = z;
        pthread_create(&threads[i], NULL, read_there, &readers[i]);
    }
    lucid_tensor *r = lucid_relu(z);
    for (int i = 0; i < READERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < READERS; i++) cr_expect_eq(readers[i].number, first_number(z));
    return r;
}

Test(fusion_waiting, threads_race_for_a_result)
{
    for (int i = 0; i < 20; i++) expect_no_difference(threads_race, "threads race");
}

typedef struct user {
    lucid_module *net;
    double number;
} user;

static void *infer(void *argument)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    user *u = argument;
    for (int i = 0; i < 20; i++) {
        LUCID_SCOPE;
        u->number = first_number(lucid_forward(u->net, lucid_full((2, 3, 6, 5), 0.5)));
    }
    return NULL;
}

Test(fusion_waiting, threads_share_a_network)
{
    Body *b = body(other_branch);
    lucid_eval(&b->base);
    pthread_t threads[4];
    user users[4];
    for (int i = 0; i < 4; i++) {
        users[i] = (user){&b->base, NAN};
        pthread_create(&threads[i], NULL, infer, &users[i]);
    }
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        cr_expect(isfinite(users[i].number) && users[i].number == users[0].number);
    lucid_module_free(&b->base);
}

/* ---- memory ---- */

static bool attempt(body_fn forward, int mode)
{
    LUCID_SCOPE;
    Body *b = body(forward);
    if (!b) return false;
    lucid_set_training(&b->base, mode == TRAINING);
    bool before = lucid_set_grad_enabled(mode != EVAL);
    lucid_tensor *y = lucid_forward(&b->base, lucid_randn((2, 3, 6, 5)));
    if (mode != EVAL) lucid_backward(lucid_sum(y));
    lucid_item(lucid_sum(y));
    lucid_set_grad_enabled(before);
    lucid_release(b->kept);
    lucid_module_free(&b->base);
    return lucid_error_code() == LUCID_OK;
}

static void expect_torture(body_fn forward, int mode)
{
    bool done = false;
    cr_assert(attempt(forward, mode), "%s", lucid_error());
    for (uint64_t nth = 1; !done; nth++) {
        lucid_memory_fail_nth(nth);
        bool ok = attempt(forward, mode);
        done = lucid_memory_fail_count() < nth;
        lucid_memory_fail_nth(0);
        cr_expect_eq(ok, done, "allocation %llu: %s", (unsigned long long)nth, lucid_error());
        if (!done) cr_expect_eq(lucid_error_code(), LUCID_ERR_MEMORY, "%s", lucid_error());
        lucid_clear_error();
        lucid_live_counts n = lucid_live();
        cr_assert(n.tensors == 0 && n.storages == 0 && n.nodes == 0,
                  "allocation %llu: %lld, %lld, %lld left", (unsigned long long)nth,
                  (long long)n.tensors, (long long)n.storages, (long long)n.nodes);
    }
}

Test(fusion_waiting, every_allocation_fails_once)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    for (int mode = 0; mode < MODES; mode++) {
        expect_torture(other_branch, mode);
        expect_torture(keeps_the_convolution, mode);
        expect_torture(linear_then_relu, mode);
    }
}
