/* test_graph.c: the cost of graphs and how they are freed: depth, threads, failing allocations. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/ops/view.h"
#include "own_ops.h"

#include <pthread.h>

TestSuite(graph, .init = own_setup, .fini = own_teardown);

/* ---- depth ---- */

enum { DEPTH = 150000 };

typedef struct in_thread {
    void (*body)(void);
    bool done;
} in_thread;

static void *run_in_thread(void *p)
{
    in_thread *t = p;
    t->body();
    lucid_scope_end(1);
    t->done = true;
    return NULL;
}

/* Runs body in a thread with a stack of 256 KB. */
static void on_small_stack(void (*body)(void))
{
    pthread_attr_t attr;
    pthread_t thread;
    in_thread t = {.body = body};
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 << 10);
    cr_assert_eq(pthread_create(&thread, &attr, run_in_thread, &t), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    cr_assert(t.done);
}

/* x + 1 + 1 + ..., the intermediate tensors kept alive by the scope, or not. */
static lucid_tensor *chain(lucid_tensor *x, lucid_tensor *one, bool keep_all)
{
    lucid_tensor *y = lucid_retain(x);
    for (int i = 0; i < DEPTH; i++) {
        size_t scope = keep_all ? 0 : lucid_scope_begin();
        lucid_tensor *next = lucid_retain(own_add(y, one));
        lucid_release(y);
        y = next;
        lucid_scope_end(scope);
    }
    return y;
}

static void build_run_free(void)
{
    LUCID_SCOPE;
    lucid_tensor *x = OWN_LEAF((1), 3), *one = OWN_DATA((1), 1);
    lucid_tensor *y = chain(x, one, false);
    cr_expect_eq(lucid_live().nodes, DEPTH);
    OWN_EXPECT(y, 3 + DEPTH);
    cr_expect(lucid_backward(y));
    OWN_GRAD(x, 1);
    lucid_release(y);
    cr_expect_eq(lucid_live().nodes, 0);
}

Test(graph, deep_chain_built_run_and_freed)
{
    on_small_stack(build_run_free);
}

/* Never run: dropping the last tensor frees the whole graph. */
static void build_and_drop(void)
{
    LUCID_SCOPE;
    lucid_tensor *x = OWN_LEAF((1), 3);
    lucid_tensor *y = chain(x, x, false);
    cr_expect_eq(lucid_live().nodes, DEPTH);
    lucid_release(y);
    cr_expect_eq(lucid_live().nodes, 0);
    y = chain(x, x, true);
    lucid_release(y);
}

Test(graph, deep_chain_dropped)
{
    on_small_stack(build_and_drop);
    cr_expect_eq(lucid_live().nodes, 0);
}

/* Saved tensors, create_graph and a graph that hangs on a leaf's gradient. */
static void deep_with_history(void)
{
    LUCID_SCOPE;
    lucid_tensor *x = OWN_LEAF((1), 1), *one = OWN_DATA((1), 1);
    lucid_tensor *y = lucid_retain(x);
    for (int i = 0; i < 20000; i++) {
        LUCID_SCOPE;
        lucid_tensor *next = lucid_retain(own_mul(y, i % 2 ? one : x));
        lucid_release(y);
        y = next;
    }
    cr_expect(lucid_backward(y, .create_graph = true));
    lucid_release(y);
    OWN_GRAD(x, 10001);
    cr_expect(lucid_live().nodes > 20000);
    cr_expect(lucid_set_grad(x, NULL));
    cr_expect_eq(lucid_live().nodes, 0);
}

Test(graph, deep_history_of_a_gradient)
{
    on_small_stack(deep_with_history);
}

/* A wide diamond 60 deep has 2^60 paths: each node is visited once. */
Test(graph, diamonds_on_diamonds)
{
    lucid_tensor *x = OWN_LEAF((1), 0x1p-60), *y = x;
    for (int i = 0; i < 60; i++) y = own_add(y, y);
    OWN_EXPECT(y, 1);
    cr_expect(lucid_backward(y));
    cr_expect_eq(lucid_item(lucid_tensor_grad(x)), 0x1p60);
}

/* ---- threads ---- */

enum { THREADS = 10, ROUNDS = 50 };

static lucid_tensor *shared_leaf, *shared_result;

static void *backward_into_leaf(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        LUCID_SCOPE;
        lucid_tensor *y = own_square(own_double(shared_leaf));
        if (!lucid_backward(y, .gradient = OWN_DATA((4), 1, 1, 1, 1))) return "failed";
    }
    return NULL;
}

static void *backward_through_shared(void *unused)
{
    (void)unused;
    for (int i = 0; i < ROUNDS; i++) {
        LUCID_SCOPE;
        if (!lucid_backward(shared_result, .retain_graph = true,
                            .gradient = OWN_DATA((4), 1, 1, 1, 1)))
            return "failed";
    }
    return NULL;
}

static void in_threads(void *(*body)(void *))
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, body, NULL), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failure;
        pthread_join(threads[i], &failure);
        cr_expect_null(failure);
    }
}

Test(graph, ten_threads_on_one_leaf)
{
    shared_leaf = OWN_LEAF((4), 1, 2, 3, 4);
    in_threads(backward_into_leaf);
    const double n = THREADS * ROUNDS;
    OWN_GRAD(shared_leaf, 8 * n, 16 * n, 24 * n, 32 * n);
}

Test(graph, ten_threads_through_one_retained_graph)
{
    shared_leaf = OWN_LEAF((4), 1, 2, 3, 4);
    shared_result = own_square(own_double(shared_leaf));
    in_threads(backward_through_shared);
    const double n = THREADS * ROUNDS;
    OWN_GRAD(shared_leaf, 8 * n, 16 * n, 24 * n, 32 * n);
}

/* ---- order ---- */

/* The same sum in the same order in each run: to the last bit. */
Test(graph, accumulation_order_is_fixed)
{
    double first = 0;
    for (int run = 0; run < 5; run++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_requires_grad_(lucid_values((1), 0.1), true), *y = x;
        for (int i = 0; i < 40; i++) y = own_add(own_mul(y, x), own_square(x));
        cr_expect(lucid_backward(y));
        double got = lucid_item(lucid_tensor_grad(x));
        if (run == 0) first = got;
        cr_expect_eq(got, first);
    }
}

/* ---- data exchanged under a leaf ---- */

/* What was saved is what counts, and second derivatives still reach the leaf. */
Test(graph, leaf_with_new_data)
{
    lucid_tensor *x = OWN_LEAF((1), 3), *other = OWN_DATA((1), 100), *y = own_square(x), *g, *g2;
    luc_tensor_swap_data(x, other);
    cr_expect(lucid_grad(&y, 1, &x, 1, &g, .create_graph = true));
    OWN_EXPECT(g, 6);
    cr_expect(lucid_grad(&g, 1, &x, 1, &g2));
    OWN_EXPECT(g2, 2);
}

/* ---- memory that fails ---- */

static lucid_tensor *leave(lucid_tensor *grad, void *user)
{
    (void)user;
    return lucid_detach(grad);
}

static bool small_step(void)
{
    LUCID_SCOPE;
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *w = OWN_LEAF((2), 4, 5);
    lucid_tensor *h = own_add(own_mul(x, w), own_square(x));
    own_mul_(h, w);
    own_square_(lucid_narrow(h, 0, 1, 1)); /* the base gets a new history */
    lucid_tensor *g[2], *inputs[] = {x, w};
    lucid_tensor *y = own_mul(h, h), *ones = OWN_DATA((2), 1, 1);
    if (!lucid_retain_grad(h) || !lucid_register_hook(x, leave, NULL) ||
        !lucid_register_hook(h, leave, NULL))
        return false;
    if (!lucid_backward(y, .gradient = ones, .retain_graph = true)) return false;
    if (!lucid_backward(y, .gradient = ones, .retain_graph = true)) return false;
    return lucid_grad(&y, 1, inputs, 2, g, .gradients = &ones, .create_graph = true);
}

static int64_t live_objects(void)
{
    lucid_live_counts c = lucid_live();
    return c.tensors + c.storages + c.nodes + c.other;
}

/* Each allocation of a step fails once: one clear error, nothing left, nothing broken. */
Test(graph, every_allocation_fails_once)
{
    cr_assert(small_step());
    uint64_t n = 1;
    for (;; n++) {
        cr_assert_eq(live_objects(), 0);
        lucid_memory_fail_nth(n);
        bool ok = small_step();
        bool reached = lucid_memory_fail_count() >= n;
        lucid_memory_fail_nth(0);
        if (!reached) {
            cr_expect(ok);
            break;
        }
        cr_expect(!ok || lucid_error_code() != LUCID_OK, "allocation %d", (int)n);
        cr_expect_eq(lucid_error_code(), LUCID_ERR_MEMORY, "allocation %d: %s", (int)n,
                     lucid_error());
        lucid_clear_error();
        cr_expect(lucid_is_grad_enabled());
        if (live_objects() != 0) cr_assert_fail("allocation %d leaves objects alive", (int)n);
    }
    cr_expect(n > 100, "only %d allocations", (int)n);
}
