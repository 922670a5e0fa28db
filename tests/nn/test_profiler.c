/* The profiler: what it records, and that it records nothing while it is off. */
#include "tests/testing.h"

#include <jansson.h>
#include <lucid/lucid.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static lucid_module *make_net(void)
{
    return nn_Sequential(nn_Conv2d(3, 8, 3, .padding = 1), nn_ReLU(), nn_Flatten(),
                         nn_Linear(8 * 6 * 6, 5));
}

/* Two training steps: x [4,3,6,6]. */
static void train(lucid_module *net)
{
    lucid_optimizer *opt = optim_SGD(net, .lr = 0.1);
    for (int i = 0; i < 2; i++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_ones((4, 3, 6, 6), .requires_grad = true);
        lucid_tensor *loss = lucid_sum(lucid_forward(net, x));
        lucid_zero_grad(opt);
        cr_assert(lucid_backward(loss) && lucid_step(opt), "%s", lucid_error());
    }
    lucid_optimizer_free(opt);
}

static lucid_profile_entry entry_of(const char *op, bool backward, const char *module)
{
    lucid_profile_entry e;
    for (size_t i = 0; lucid_profiler_at(i, &e); i++)
        if (strcmp(e.op, op) == 0 && e.backward == backward && strcmp(e.module, module) == 0)
            return e;
    lucid_profiler_print(stderr, true);
    cr_assert_fail("no entry %s %s of %s", op, backward ? "backward" : "forward", module);
    return (lucid_profile_entry){0};
}

static void profile(bool trace)
{
    lucid_module *net = make_net();
    cr_assert(lucid_profiler_start(.trace = trace));
    train(net);
    lucid_profiler_stop();
    lucid_module_free(net);
}

Test(profiler, counts_work_by_operator_and_module)
{
    profile(false);
    const double conv = 2.0 * 4 * 8 * 36 * 27, linear = 2.0 * 4 * 5 * 288;
    lucid_profile_entry e = entry_of("conv2d", false, "net.0");
    cr_expect_eq(e.count, 2);
    cr_expect_eq(e.flops, 2 * conv);
    cr_expect_eq(e.bytes, 2 * 4.0 * (4 * 3 * 36 + 8 * 27 + 8 + 4 * 8 * 36));
    cr_expect_eq(entry_of("conv2d_backward_weight", true, "net.0").flops, 2 * conv);
    cr_expect_eq(entry_of("conv2d_backward_input", true, "net.0").flops, 2 * conv);
    cr_expect_eq(entry_of("linear", false, "net.3").flops, 2 * linear);
    /* ReLU is a part of the convolution, and of its backward. */
    cr_expect_eq(entry_of("relu_backward", true, "net.0").count, 2);
    cr_expect_eq(entry_of("optimizer_step", false, "").count, 2);
    cr_expect_eq(entry_of("sum", true, "").count, 2);
    lucid_profiler_reset();
    cr_expect_eq(lucid_profiler_size(), 0);
}

/* A module that computes its only child anew in backward. */
typedef struct outer {
    lucid_module base;
    lucid_module *inside;
} outer;
static lucid_tensor *outer_forward(lucid_module *m, lucid_tensor *x)
{
    return lucid_checkpoint(((outer *)m)->inside, x);
}
static const lucid_module_class outer_class = {
    .name = "Outer",
    .size = sizeof(outer),
    .super = &lucid_module_class_base,
    .forward = outer_forward,
};

/* Modules that run inside a derivative: the frame above theirs is a node's, not a module's. */
Test(profiler, paths_of_what_a_checkpoint_computes_anew)
{
    lucid_module *net = lucid_module_new(&outer_class);
    outer *o = (outer *)net;
    cr_assert(lucid_register_module(net, "inside", &o->inside, make_net()), "%s", lucid_error());

    cr_assert(lucid_profiler_start());
    {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_ones((4, 3, 6, 6), .requires_grad = true);
        cr_assert(lucid_backward(lucid_sum(lucid_forward(net, x))), "%s", lucid_error());
        lucid_module *alone = ((outer *)net)->inside;
        cr_assert(lucid_backward(lucid_sum(lucid_checkpoint(alone, x))), "%s", lucid_error());
    }
    lucid_profiler_stop();
    cr_expect_eq(entry_of("linear", false, "net.inside.3").count, 1);
    /* Only the forward has arithmetic that is counted. */
    cr_expect_gt(entry_of("linear", true, "net.<Sequential>.3").flops, 0);
    cr_expect_eq(entry_of("linear", false, "net.3").count, 1);
    cr_expect_gt(entry_of("linear", true, "net.3").flops, 0);
    lucid_profiler_reset();
    lucid_module_free(net);
}

Test(profiler, time_is_nested)
{
    profile(false);
    /* The backward of conv2d consists of other operators: its own time is a part of its time. */
    lucid_profile_entry whole = entry_of("conv2d", true, "net.0");
    const double parts = entry_of("conv2d_backward_weight", true, "net.0").seconds +
                         entry_of("conv2d_backward_input", true, "net.0").seconds;
    cr_expect(parts > 0);
    cr_expect(whole.seconds >= parts, "%g, parts %g", whole.seconds, parts);
    cr_expect(whole.self <= whole.seconds - parts + 1e-9);
    lucid_profile_entry e;
    for (size_t i = 0; lucid_profiler_at(i, &e); i++)
        cr_expect(e.self >= 0 && e.self <= e.seconds + 1e-12, "%s: %g of %g", e.op, e.self,
                  e.seconds);
    lucid_profiler_reset();
}

Test(profiler, off_records_nothing)
{
    lucid_module *net = make_net();
    train(net);
    cr_expect_eq(lucid_profiler_size(), 0);
    {
        LUCID_PROFILE;
        LUCID_SCOPE;
        lucid_relu(lucid_ones((3)));
    }
    const size_t n = lucid_profiler_size();
    cr_expect_gt(n, 0);
    train(net);
    cr_expect_eq(lucid_profiler_size(), n);
    cr_expect_eq(entry_of("relu", false, "").count, 1);
    lucid_module_free(net);
    lucid_profiler_reset();
}

Test(profiler, a_refused_call_is_not_recorded)
{
    LUCID_SCOPE;
    lucid_tensor *a = lucid_ones((2, 3)), *b = lucid_ones((4, 5));
    cr_assert(lucid_profiler_start());
    EXPECT_ERROR(lucid_add(a, b), LUCID_ERR_ARGUMENT, "add");
    lucid_add(a, a);
    lucid_profiler_stop();
    cr_expect_eq(entry_of("add", false, "").count, 1);
    lucid_profiler_reset();
}

Test(profiler, table)
{
    profile(false);
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    cr_assert(lucid_profiler_print(file, false));
    fflush(file);
    cr_expect(strstr(text, "operator"));
    cr_expect(strstr(text, "conv2d_backward_weight   backward        2"));
    cr_expect_null(strstr(text, "net."));
    cr_assert(lucid_profiler_print(file, true));
    fclose(file);
    cr_expect(strstr(text, "  net.0\n"));
    /* Sorted: the self times, fourth word of a line, do not rise. */
    double last = INFINITY, self;
    for (char *line = strchr(text, '\n'); line && strncmp(line + 1, "all ", 4) != 0;
         line = strchr(line + 1, '\n'))
        if (sscanf(line, "%*s %*s %*s %lf", &self) == 1) {
            cr_expect(self <= last, "%g after %g", self, last);
            last = self;
        }
    free(text);
    lucid_profiler_reset();
}

Test(profiler, trace_is_json)
{
    char path[] = "/tmp/lucid_trace_XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    profile(true);
    cr_assert(lucid_profiler_write_trace(path), "%s", lucid_error());
    json_error_t error;
    json_t *root = json_load_file(path, 0, &error);
    cr_assert(root, "line %d: %s", error.line, error.text);
    json_t *events = json_object_get(root, "traceEvents"), *event;
    int64_t calls = 0;
    lucid_profile_entry e;
    for (size_t i = 0; lucid_profiler_at(i, &e); i++) calls += e.count;
    cr_expect_eq((int64_t)json_array_size(events), calls);
    size_t i;
    bool found = false;
    json_array_foreach(events, i, event)
    {
        cr_expect(json_number_value(json_object_get(event, "ts")) >= 0);
        cr_expect(json_number_value(json_object_get(event, "dur")) >= 0);
        json_t *module = json_object_get(json_object_get(event, "args"), "module");
        found |= strcmp(json_string_value(json_object_get(event, "name")), "conv2d") == 0 &&
                 strcmp(json_string_value(module), "net.0") == 0;
    }
    cr_expect(found);
    json_decref(root);
    unlink(path);
    lucid_profiler_reset();
}

Test(profiler, refusals)
{
    EXPECT_ERROR(lucid_profiler_write_trace("x.json"), LUCID_ERR_STATE, "no trace was recorded");
    cr_assert(lucid_profiler_start(.trace = true));
    EXPECT_ERROR(lucid_profiler_start(), LUCID_ERR_STATE, "already recording");
    lucid_profiler_stop();
    EXPECT_ERROR(lucid_profiler_write_trace("/nowhere/x.json"), LUCID_ERR_IO, "/nowhere/x.json");
    EXPECT_ERROR(lucid_profiler_write_trace(NULL), LUCID_ERR_ARGUMENT, "path");
    lucid_profiler_reset();
}

/* Each allocation of a recorded forward and backward fails in turn: an error, and nothing else. */
Test(profiler, out_of_memory)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *net = make_net();
    lucid_tensor *x = lucid_retain(lucid_ones((1, 3, 6, 6)));
    for (uint64_t n = 1, failed = 1; failed; n++) {
        LUCID_SCOPE;
        cr_assert(lucid_profiler_start(.trace = true));
        lucid_memory_fail_nth(n);
        const bool ok = lucid_backward(lucid_sum(lucid_forward(net, x)));
        failed = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        cr_expect(ok != failed, "allocation %d", (int)n);
        cr_expect_eq(lucid_error_code(), failed ? LUCID_ERR_MEMORY : LUCID_OK);
        lucid_clear_error();
        lucid_zero_grad(net);
        lucid_profiler_reset();
    }
    lucid_release(x);
    lucid_module_free(net);
}

/* ---- several threads ------------------------------------------------------------------------- */

static atomic_bool over;

static void *restart(void *unused)
{
    while (!atomic_load(&over)) {
        lucid_profiler_reset();
        LUCID_SCOPE;
        lucid_profiler_start(.trace = true);
        for (int i = 0; i < 40; i++) lucid_exp(lucid_ones((1)));
    }
    return unused;
}

/* Run it under ThreadSanitizer or AddressSanitizer: what is printed must not be freed meanwhile. */
Test(profiler, shown_while_another_thread_restarts)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    pthread_t thread;
    char path[] = "/tmp/lucid-trace-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fopen("/dev/null", "w");
    cr_assert(fd >= 0 && file && pthread_create(&thread, NULL, restart, NULL) == 0);
    for (int i = 0; i < 5000; i++) {
        cr_expect(lucid_profiler_print(file, i % 2), "%s", lucid_error());
        lucid_profile_entry e;
        for (size_t k = lucid_profiler_size(); k-- > 0;) lucid_profiler_at(k, &e);
        if (i % 10 == 0 && !lucid_profiler_write_trace(path))
            cr_expect(lucid_error_code() == LUCID_ERR_STATE, "%s", lucid_error());
        lucid_clear_error();
    }
    atomic_store(&over, true);
    pthread_join(thread, NULL);
    lucid_profiler_reset();
    fclose(file);
    close(fd);
    unlink(path);
}
