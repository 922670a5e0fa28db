/* Scopes: how long tensors live. */
#include "lucid/lucid.h"
#include "lucid/core/tensor_priv.h"
#include "tests/lucid/child.h"

#include <pthread.h>

static int64_t alive(void)
{
    return lucid_live().tensors;
}

Test(scope, ends_at_the_brace)
{
    {
        LUCID_SCOPE;
        lucid_empty((3));
        lucid_empty((4));
        cr_expect(alive() == 2 && lucid_scope_count() == 2);
        {
            LUCID_SCOPE;
            lucid_empty((5));
            cr_expect(alive() == 3);
        }
        cr_expect(alive() == 2);
    }
    cr_expect(alive() == 0 && lucid_live().storages == 0 && lucid_scope_count() == 0);
}

static int leave_by_return(int n)
{
    LUCID_SCOPE;
    lucid_empty((2));
    if (n > 0) {
        LUCID_SCOPE;
        lucid_empty((2));
        return n;
    }
    return 0;
}

Test(scope, every_way_out)
{
    cr_expect(leave_by_return(1) == 1 && alive() == 0);
    for (int i = 0; i < 5; i++) {
        LUCID_SCOPE;
        lucid_empty((2));
        if (i == 1) continue;
        if (i == 3) break;
        cr_expect(alive() == 1);
    }
    cr_expect(alive() == 0);
    {
        LUCID_SCOPE;
        lucid_empty((2));
        goto out;
    }
out:
    cr_expect(alive() == 0);
}

Test(scope, two_in_one_block)
{
    LUCID_SCOPE;
    lucid_empty((1));
    LUCID_SCOPE;
    lucid_empty((1));
    cr_expect(lucid_scope_count() == 2);
}

static lucid_tensor *makes_three_returns_one(void)
{
    LUCID_SCOPE;
    lucid_empty((1));
    lucid_tensor *keep = lucid_full((2), 7);
    lucid_empty((3));
    return lucid_scope_return(keep);
}

Test(scope, return_passes_to_the_scope_around)
{
    {
        LUCID_SCOPE;
        lucid_tensor *t = makes_three_returns_one();
        cr_expect(alive() == 1 && lucid_scope_count() == 1);
        EXPECT_VALUES(t, 0, 0, {7, 7});
        t = makes_three_returns_one();
        cr_expect(alive() == 2);
        {
            LUCID_SCOPE;
            cr_expect(lucid_scope_return(t) == t); /* not of this scope: stays where it is */
        }
        cr_expect(alive() == 2);
    }
    cr_expect(alive() == 0);
    cr_expect(lucid_scope_return(NULL) == NULL);
}

Test(scope, return_several_and_twice)
{
    LUCID_SCOPE;
    lucid_tensor *a, *b, *c;
    {
        LUCID_SCOPE;
        a = lucid_full((1), 1);
        b = lucid_full((1), 2);
        c = lucid_full((1), 3);
        lucid_empty((1));
        lucid_scope_return(c);
        lucid_scope_return(a);
        lucid_scope_return(c); /* it is gone from the inner scope already */
        {
            LUCID_SCOPE;
            lucid_tensor *d = lucid_full((1), 4);
            lucid_scope_return(d);
        }
        cr_expect(lucid_scope_return(b) == b);
    }
    cr_expect(alive() == 3, "%lld", (long long)alive());
    cr_expect(lucid_item(a) == 1 && lucid_item(b) == 2 && lucid_item(c) == 3);
}

Test(scope, retain_outlives_it)
{
    lucid_tensor *t;
    {
        LUCID_SCOPE;
        t = lucid_retain(lucid_full((2), 3));
    }
    cr_expect(alive() == 1);
    EXPECT_VALUES(t, 0, 0, {3, 3});
    lucid_release(t);
    cr_expect(alive() == 0);
    lucid_release(NULL);
    cr_expect(lucid_retain(NULL) == NULL);
}

Test(scope, functions)
{
    size_t outer = lucid_scope_begin();
    lucid_empty((1));
    size_t inner = lucid_scope_begin();
    cr_expect(outer == 1 && inner == 2);
    lucid_empty((1));
    lucid_scope_begin();
    lucid_empty((1));
    lucid_scope_end(inner); /* ends the third too */
    cr_expect(alive() == 1);
    lucid_scope_end(99);
    lucid_scope_end(0);
    cr_expect(alive() == 1);
    lucid_scope_end(outer);
    cr_expect(alive() == 0);
}

Test(scope, the_root_scope_ends_with_finish)
{
    lucid_empty((1));
    cr_expect(alive() == 1 && lucid_scope_count() == 1);
    cr_expect(lucid_finish() == 0);
    cr_expect(alive() == 0);
    lucid_empty((1)); /* and lucid works on */
    cr_expect(alive() == 1);
    cr_expect(lucid_finish() == 0);
}

static int finish_inside(void)
{
    LUCID_SCOPE;
    lucid_empty((1));
    return lucid_finish();
}

Test(scope, finish_inside_a_scope)
{
    cr_expect(finish_inside() == 0);
    cr_expect(alive() == 0 && lucid_scope_count() == 0);
    size_t depth = lucid_scope_begin();
    cr_expect(depth == 1);
    lucid_scope_end(depth);
}

static void *leaves_tensors(void *unused)
{
    (void)unused;
    lucid_empty((10));
    lucid_scope_begin(); /* never ended */
    for (int i = 0; i < 100; i++) lucid_empty((10));
    return NULL;
}

Test(scope, a_thread_end_releases_its_tensors)
{
    for (int k = 0; k < 10; k++) {
        pthread_t t;
        cr_assert(pthread_create(&t, NULL, leaves_tensors, NULL) == 0);
        pthread_join(t, NULL);
        cr_expect(alive() == 0 && lucid_live().storages == 0);
    }
}

/* One thread's scope does not end another's tensors. */
static void *own_scope(void *result)
{
    LUCID_SCOPE;
    lucid_empty((3));
    *(size_t *)result = lucid_scope_count();
    return NULL;
}

Test(scope, threads_have_their_own)
{
    LUCID_SCOPE;
    lucid_tensor *mine = lucid_full((1), 5);
    size_t theirs = 0;
    pthread_t t;
    cr_assert(pthread_create(&t, NULL, own_scope, &theirs) == 0);
    pthread_join(t, NULL);
    cr_expect(theirs == 1 && alive() == 1 && lucid_item(mine) == 5);
}

Test(scope, a_hundred_thousand_tensors)
{
    for (int round = 0; round < 3; round++) {
        LUCID_SCOPE;
        for (int i = 0; i < 100000; i++) cr_assert(lucid_empty((1)));
        cr_expect(alive() == 100000);
    }
    cr_expect(alive() == 0);
}

static void free_makes_a_tensor(void *user, void *data)
{
    (void)data;
    ++*(int *)user;
    lucid_empty((1)); /* while its scope ends */
}

Test(scope, a_free_function_may_make_tensors)
{
    static float data[2];
    int calls = 0;
    {
        LUCID_SCOPE;
        lucid_empty((1));
        lucid_from_blob(LUCID_SHAPE(2), LUCID_F32, data, free_makes_a_tensor, &calls);
        lucid_empty((1));
    }
    cr_expect(calls == 1 && alive() == 0);
}

Test(scope, memory_fails_while_a_scope_grows)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    LUCID_SCOPE;
    int made = 0;
    for (int i = 0; i < 200; i++) {
        lucid_memory_fail_nth(3); /* object, block, and the list where it must grow */
        made += lucid_empty((1)) != NULL;
        lucid_memory_fail_nth(0);
        cr_expect((lucid_error_code() == LUCID_ERR_MEMORY) == (made == i));
        if (lucid_error_code() != LUCID_OK) made++;
        lucid_clear_error();
    }
    cr_expect(alive() == (int64_t)lucid_scope_count());
}

/* ---- the warning about a loop without a scope ------------------------------------------------ */

static const char warning[] = "lucid: warning: ";

static int train(int steps, bool scope)
{
    lucid_module *net = nn_Linear(2, 2);
    lucid_optimizer *opt = optim_SGD(net, .lr = 0.1);
    for (int i = 0; i < steps; i++) {
        size_t depth = scope ? lucid_scope_begin() : 0;
        lucid_tensor *loss = lucid_mean(lucid_square(lucid_forward(net, lucid_ones((1, 2)))));
        lucid_zero_grad(opt);
        lucid_backward(loss);
        lucid_step(opt);
        lucid_scope_end(depth);
    }
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return lucid_finish();
}

static int forgotten(void)
{
    return train(2200, false);
}

static int forgotten_in_a_scope(void)
{
    LUCID_SCOPE;
    return train(1500, false);
}

static int with_scopes(void)
{
    LUCID_SCOPE;
    return train(2500, true);
}

static int switched_off(void)
{
    return lucid_set_scope_warning(false) ? forgotten() : 1;
}

static int inference(void)
{
    lucid_module *net = nn_Linear(2, 2);
    LUCID_NO_GRAD;
    for (int i = 0; i < 1500; i++) lucid_item(lucid_sum(lucid_forward(net, lucid_ones((1, 2)))));
    lucid_module_free(net);
    return lucid_finish();
}

static int long_loop_over_a_loader(void)
{
    lucid_loader *loader =
        data_Loader(data_Tensors(lucid_ones((1500, 2)), lucid_ones((1500))), .batch_size = 1);
    lucid_batch b;
    while (lucid_next(loader, &b)) lucid_exp(lucid_mul(b.x, b.x));
    lucid_loader_free(loader);
    return lucid_finish();
}

/* Results that are kept on purpose, one in each round. */
static int collected(void)
{
    lucid_module *net = nn_Linear(2, 2);
    LUCID_NO_GRAD;
    for (int i = 0; i < 2000; i++) {
        LUCID_SCOPE;
        lucid_scope_return(lucid_forward(net, lucid_ones((1, 2))));
    }
    lucid_module_free(net);
    return lucid_finish();
}

/* One scope around an evaluation of a few hundred batches. */
static int evaluation(void)
{
    lucid_module *net = nn_Linear(2, 2);
    for (int epoch = 0; epoch < 6; epoch++) {
        LUCID_SCOPE;
        LUCID_NO_GRAD;
        for (int i = 0; i < 400; i++) lucid_sum(lucid_forward(net, lucid_ones((1, 2))));
    }
    lucid_module_free(net);
    return lucid_finish();
}

/* Large tensors do not wait for a thousand rounds. */
static int large(void)
{
    lucid_module *net = nn_Flatten(); /* nobody touches the memory */
    for (int i = 0; i < 150; i++) lucid_forward(net, lucid_empty((1, 3 << 20)));
    lucid_module_free(net);
    return lucid_finish();
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, part)); at++) n++;
    return n;
}

Test(scope, a_loop_without_one_is_warned_about_once)
{
    const struct {
        int (*run)(void);
        const char *name, *said;
    } rows[] = {
        {forgotten, "forgotten", "this thread's root scope (no LUCID_SCOPE is open)"},
        {forgotten_in_a_scope, "forgotten in a scope", "the scope that began at "},
        {inference, "inference", "1000 calls of lucid_forward, "},
        {long_loop_over_a_loader, "a loader's loop", "1000 calls of lucid_next, "},
        {large, "large tensors", "100 calls of lucid_forward, "},
        {with_scopes, "with scopes", NULL},
        {switched_off, "switched off", NULL},
        {collected, "collected on purpose", NULL},
        {evaluation, "evaluation", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        child c = child_run(rows[i].run);
        cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0, "%s: %#x %s", rows[i].name,
                  (unsigned)c.status, c.text);
        cr_expect(count(c.text, warning) == (rows[i].said != NULL), "%s said: %s", rows[i].name,
                  c.text);
        cr_expect(!rows[i].said || strstr(c.text, rows[i].said), "%s said: %s", rows[i].name,
                  c.text);
    }
}

static pthread_key_t late;

static void make_a_tensor_late(void *p)
{
    (void)p;
    lucid_full((1000), 2.0);
}

static void *end_with_a_destructor(void *p)
{
    lucid_full((2, 3), 1.5);
    pthread_setspecific(late, p);
    return NULL;
}

/* pthreads calls destructors in any order: one of the program's may come after lucid's own. */
Test(scope, tensors_of_a_destructor_of_a_thread_end_with_it)
{
    int value = 0;
    lucid_full((1), 0); /* makes lucid's keys first */
    cr_assert(pthread_key_create(&late, make_a_tensor_late) == 0);
    const int64_t before = alive();
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        cr_assert(pthread_create(&thread, NULL, end_with_a_destructor, &value) == 0);
        pthread_join(thread, NULL);
        cr_expect_eq(alive(), before);
    }
}
