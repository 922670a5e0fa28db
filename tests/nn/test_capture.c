/* test_capture.c: captured steps where nothing can be recorded: a replay calls the step. */
#include "tests/testing.h"

#include "lucid/lucid.h"

static void begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}
static void end(void)
{
    cr_expect_eq(lucid_finish(), 0);
}
TestSuite(capture, .init = begin, .fini = end);

typedef struct counter {
    int calls, fails_at;
    lucid_tensor *sum;
    lucid_graph *inner;
} counter;

static bool count(void *user)
{
    counter *c = user;
    return ++c->calls != c->fails_at && lucid_add_scalar_(c->sum, 1);
}

Test(capture, the_cpu_calls_the_step)
{
    counter c = {.sum = lucid_zeros((1))};
    lucid_graph *graph = lucid_capture(lucid_cpu(), count, &c);
    cr_assert(graph, "%s", lucid_error());
    cr_expect(c.calls == 2 && lucid_graph_steps(graph) == 2);
    cr_expect(lucid_replay(graph) && lucid_replay(graph));
    cr_expect(c.calls == 4 && lucid_item(c.sum) == 4 && lucid_graph_steps(graph) == 4);
    c.fails_at = 5;
    EXPECT_ERROR(lucid_replay(graph), LUCID_ERR_STATE, "capture: step: expected true, got false");
    cr_expect(lucid_replay(graph) && c.calls == 6 && lucid_graph_steps(graph) == 5);
    lucid_graph_free(graph);
}

static bool raises(void *user)
{
    return lucid_matmul(user, user) != NULL;
}

static bool captures(void *user)
{
    counter *c = user;
    c->inner = lucid_capture(lucid_cpu(), count, c);
    return c->inner != NULL;
}

Test(capture, refusals)
{
    counter c = {.sum = lucid_zeros((1)), .fails_at = 1};
    EXPECT_ERROR(lucid_capture(lucid_cpu(), NULL, &c), LUCID_ERR_ARGUMENT,
                 "capture: step: expected a function, got NULL");
    EXPECT_ERROR(lucid_capture(lucid_cpu(), count, &c), LUCID_ERR_STATE,
                 "capture: step: expected true, got false");
    EXPECT_ERROR(lucid_capture(lucid_cpu(), raises, lucid_zeros((2, 3))), LUCID_ERR_ARGUMENT,
                 "matmul: ");
    EXPECT_ERROR(lucid_capture((lucid_device){LUCID_CPU, 3}, count, &c), LUCID_ERR_DEVICE,
                 "capture: device: expected an index below 1, got 3");
    EXPECT_ERROR(lucid_replay(NULL), LUCID_ERR_ARGUMENT, "replay: graph: expected one, got NULL");
    lucid_memory_fail_nth(1);
    c.fails_at = 0;
    EXPECT_ERROR(lucid_capture(lucid_cpu(), count, &c), LUCID_ERR_MEMORY, "capture: out of memory");
    lucid_memory_fail_nth(0);
    lucid_graph_free(NULL);
    cr_expect(lucid_graph_steps(NULL) == 0);
    /* Where nothing is recorded there is nothing to nest. */
    cr_expect(captures(&c));
    lucid_graph_free(c.inner);
}
