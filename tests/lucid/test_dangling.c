/* Messages about tensors that are used after their end. */
#include "lucid/core/dangling_priv.h"
#include "lucid/lucid.h"
#include "lucid/core/memory_priv.h"
#include "tests/lucid/child.h"

#include <pthread.h>

static void setup(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    luc_debug_tensors = true;
}
TestSuite(dangling, .init = setup);

static int line; /* of the scope that ended */

static lucid_tensor *after_its_scope(void)
{
    LUCID_SCOPE;
    line = __LINE__ - 1;
    lucid_tensor *t = lucid_ones((2, 3));
    lucid_set_name(t, "fc.weight");
    return t;
}

Test(dangling, the_scope_is_named)
{
    lucid_tensor *t = after_its_scope();
    char place[64];
    snprintf(place, sizeof place, "test_dangling.c:%d", line);
    EXPECT_ERROR(lucid_add(lucid_ones((3)), t), LUCID_ERR_STATE, place);
    EXPECT_ERROR(lucid_add(lucid_ones((3)), t), LUCID_ERR_STATE,
                 "add: b: expected a living tensor, got one named \"fc.weight\" (float32 [2,3])");
    EXPECT_ERROR(lucid_item(t), LUCID_ERR_STATE, "pass it out with lucid_scope_return");
    size_t depth = lucid_scope_begin();
    snprintf(place, sizeof place, "test_dangling.c:%d;", __LINE__ - 1);
    size_t inner = lucid_scope_begin();
    t = lucid_ones((1));
    cr_assert(inner == depth + 1);
    lucid_scope_return(t);
    lucid_tensor *u = lucid_ones((1));
    lucid_scope_end(depth); /* both scopes: each tensor with its own */
    EXPECT_ERROR(lucid_relu(t), LUCID_ERR_STATE, place);
    snprintf(place, sizeof place, "test_dangling.c:%d;", __LINE__ - 7);
    EXPECT_ERROR(lucid_relu(u), LUCID_ERR_STATE, place);
}

Test(dangling, a_batch_that_was_kept)
{
    for (int form = 0; form < 3; form++) {
        lucid_dataset *data = data_Tensors(lucid_ones((8, 2)), lucid_ones((8)));
        lucid_loader *loader =
            data_Loader(data, .batch_size = 2, .workers = form == 1, .resident = form == 2);
        lucid_batch b;
        cr_assert(lucid_next(loader, &b));
        lucid_tensor *x = b.x, *kept = lucid_retain(b.y);
        cr_assert(lucid_next(loader, &b));
        EXPECT_ERROR(
            lucid_relu(x), LUCID_ERR_STATE,
            "(float32 [2,2]) that ended as a batch does: with the loader's next lucid_next");
        cr_expect(lucid_item(lucid_sum(kept)) == 2);
        lucid_release(kept);
        x = b.x;
        lucid_loader_free(loader);
        EXPECT_ERROR(lucid_print(x), LUCID_ERR_STATE, "as a batch does");
    }
}

Test(dangling, references)
{
    lucid_tensor *t = lucid_retain(lucid_ones((2)));
    lucid_tensor *wrong = lucid_ones((2));
    lucid_release(wrong); /* which belongs to the scope */
    EXPECT_ERROR(
        lucid_release(wrong), LUCID_ERR_STATE,
        "release: tensor: expected a living tensor, got one (float32 [2]) that ended with its "
        "last reference");
    EXPECT_ERROR(lucid_retain(wrong), LUCID_ERR_STATE, "retain: tensor");
    cr_expect_null(lucid_retain(wrong));
    lucid_clear_error();
    cr_expect(lucid_item(lucid_sum(t)) == 2);
    lucid_release(t);
    cr_expect(lucid_finish() == 1, "the scope gave `wrong` back once too often");
    cr_expect(lucid_finish() == 0);
}

static lucid_tensor *forgot_to_return(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    LUCID_SCOPE;
    return lucid_relu(x);
}

static lucid_tensor *stolen;

static lucid_tensor *steal(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    stolen = lucid_relu(x);
    return lucid_exp(stolen);
}

static lucid_module *module_with(lucid_module_class *cls,
                                 lucid_tensor *(*forward)(lucid_module *, lucid_tensor *))
{
    *cls = (lucid_module_class){.name = "Net",
                                .size = sizeof(lucid_module),
                                .super = &lucid_module_class_base,
                                .forward = forward};
    return lucid_module_new(cls);
}

static lucid_tensor *keep_gradient(lucid_tensor *grad, void *user)
{
    (void)user;
    stolen = grad;
    return NULL;
}

Test(dangling, what_user_functions_give_and_keep)
{
    lucid_module_class one, two;
    lucid_module *forgets = module_with(&one, forgot_to_return);
    lucid_module *steals = module_with(&two, steal);
    EXPECT_ERROR(
        lucid_forward(forgets, lucid_ones((2))), LUCID_ERR_STATE,
        "Net: the result of its forward: expected a living tensor, got one (float32 [2]) that "
        "ended with the scope that began at ");
    cr_expect(lucid_forward(steals, lucid_ones((2))) != NULL);
    EXPECT_ERROR(lucid_relu(stolen), LUCID_ERR_STATE, "ended inside lucid_forward");
    lucid_tensor *x = lucid_requires_grad_(lucid_ones((2)), true);
    lucid_tensor *y = lucid_exp(x);
    cr_assert(lucid_register_hook(y, keep_gradient, NULL));
    cr_assert(lucid_backward(lucid_sum(y)));
    EXPECT_ERROR(lucid_relu(stolen), LUCID_ERR_STATE, "");
    lucid_module_free(forgets);
    lucid_module_free(steals);
}

static void *make_and_end(void *unused)
{
    (void)unused;
    return after_its_scope();
}

static void *wait_here(void *barrier)
{
    stolen = after_its_scope();
    pthread_barrier_wait(barrier);
    pthread_barrier_wait(barrier);
    return NULL;
}

Test(dangling, of_other_threads)
{
    pthread_t thread;
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 2);
    cr_assert(pthread_create(&thread, NULL, wait_here, &barrier) == 0);
    pthread_barrier_wait(&barrier);
    EXPECT_ERROR(lucid_relu(stolen), LUCID_ERR_STATE, "ended with the scope");
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
    /* The end of a thread frees what it kept. */
    const lucid_live_counts before = lucid_live();
    for (int i = 0; i < 8; i++) {
        cr_assert(pthread_create(&thread, NULL, make_and_end, NULL) == 0);
        pthread_join(thread, NULL);
    }
    cr_expect(lucid_live().tensors == before.tensors);
}

/* A tensor does not come back too early, and its data is not kept at all. */
Test(dangling, it_lasts_for_a_step)
{
    lucid_tensor *first = after_its_scope();
    for (int i = 0; i < LUC_QUARANTINE - 1; i++) {
        LUCID_SCOPE;
        lucid_tensor *t = lucid_ones((1));
        cr_assert(t != first, "after %d others", i);
    }
    EXPECT_ERROR(lucid_relu(first), LUCID_ERR_STATE, "ended with the scope");
    cr_expect(lucid_live().tensors == 0);
    cr_expect(lucid_memory(lucid_cpu()).current_bytes == 0, "data is not kept");
}

/* Without it, a tensor is still recognised as long as no other has its memory. */
Test(dangling, switched_off, .disabled = LUC_ASAN) /* which reports it itself */
{
    luc_debug_tensors = false;
    lucid_tensor *t = lucid_ones((2));
    lucid_release(t);
    EXPECT_ERROR(lucid_relu(t), LUCID_ERR_STATE,
                 "x: expected a living tensor, got one that ended before; the environment variable "
                 "LUCID_DEBUG_TENSORS=1");
    cr_expect(lucid_finish() == 1, "the scope gave it back once too often");
}

/* With every allocation failing once: the ring is not one of them. */
Test(dangling, without_memory)
{
    for (uint64_t n = 1; n < 40; n++) {
        lucid_memory_fail_nth(n);
        lucid_tensor *t = after_its_scope();
        lucid_memory_fail_nth(0);
        (void)t;
        lucid_clear_error();
        t = after_its_scope();
        EXPECT_ERROR(lucid_relu(t), LUCID_ERR_STATE, "ended with the scope");
    }
    cr_expect(lucid_finish() == 0);
}

static int use_it(void)
{
    lucid_set_error_mode(LUCID_ERRORS_STOP);
    lucid_relu(after_its_scope());
    return 0;
}

Test(dangling, it_stops_the_program)
{
    child c = child_run(use_it);
    cr_expect(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGABRT);
    cr_expect(strstr(c.text, "lucid: state error: relu: x: expected a living tensor"), "%s",
              c.text);
}
