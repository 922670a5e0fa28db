/* test_stack.c: modules nested without end, and threads with small stacks: an answer or an error,
 * but no crash. */
#include "lucid/lucid.h"
#include "testing.h"
#include "tests/lucid/child.h"

#include <pthread.h>

enum { DEEP = 20000 };

/* Identity in DEEP containers: the outermost is made last, or first. */
static lucid_module *nested(bool outermost_first)
{
    if (outermost_first) {
        lucid_module *top = nn_Sequential(), *inner = top;
        for (int i = 0; i < DEEP; i++) {
            lucid_module *next = nn_Sequential();
            cr_assert(lucid_register_module(inner, "0", NULL, next));
            inner = next;
        }
        return top;
    }
    lucid_module *m = nn_ReLU();
    for (int i = 0; i < DEEP; i++) m = nn_Sequential(m);
    return m;
}

static int applied;

static void apply_one(lucid_module *m, void *user)
{
    (void)user;
    applied += m != NULL;
}

static int use_deep_modules(void)
{
    for (int way = 0; way < 2; way++) {
        lucid_module *m = nested(way);
        if (!m || !lucid_eval(m) || !lucid_train(m) || !lucid_zero_grad(m)) return 1;
        applied = 0;
        if (!lucid_module_apply(m, apply_one, NULL) || applied != DEEP + 1) return 2;
        if (lucid_register_module(m, "circle", NULL, m)) return 3;
        lucid_clear_error();
        if (lucid_parameter_count(m, false) != 0) return 4;
        LUCID_SCOPE;
        /* These recurse as deep as the modules are nested: they work, or an error says why not. */
        lucid_tensor *y = lucid_forward(m, lucid_ones((2)));
        if (!y && !strstr(lucid_error(), "nested too deep")) return 5;
        if (!y) fprintf(stderr, "forward: %s\n", lucid_error());
        lucid_clear_error();
        lucid_module_free(m);
    }
    return 0;
}

static void *use_in_thread(void *result)
{
    *(int *)result = use_deep_modules();
    return NULL;
}

/* In a thread of 1 MB, so that no large `ulimit -s` hides anything. */
static int deep_modules(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    int result = 9;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    pthread_attr_init(&attr);
    if (pthread_attr_setstacksize(&attr, 1 << 20) != 0 ||
        pthread_create(&thread, &attr, use_in_thread, &result) != 0)
        return 8;
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    return result ? result : lucid_finish();
}

Test(stack, deep_modules, .timeout = 120)
{
    child c = child_run(deep_modules);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0, "%s %d: %s",
              WIFSIGNALED(c.status) ? "signal" : "exit",
              WIFSIGNALED(c.status) ? WTERMSIG(c.status) : WEXITSTATUS(c.status), c.text);
    cr_log_info("%s", c.text);
}

/* Printing indents every level: 20,000 of them would take a gigabyte. */
static int deep_print(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_ReLU();
    for (int i = 0; i < 300; i++) m = nn_Sequential(m);
    char *text = lucid_module_to_string(m);
    const bool ok = text || strstr(lucid_error(), "nested too deep");
    free(text);
    lucid_module_free(m);
    return ok ? 0 : 1;
}

/* ---- threads with small stacks --------------------------------------------------------------- */

typedef struct outcome {
    bool done;
    char error[512];
} outcome;

static void *train(void *argument)
{
    outcome *o = argument;
    LUCID_SCOPE;
    lucid_module *net =
        nn_Sequential(nn_Conv2d(3, 8, 3, .padding = 1), nn_BatchNorm2d(8), nn_ReLU(),
                      nn_MaxPool2d(2), nn_AvgPool2d(2), nn_Flatten(), nn_Linear(8 * 4 * 4, 10));
    lucid_optimizer *opt = optim_Adam(net);
    lucid_tensor *x = lucid_rand((4, 3, 16, 16));
    lucid_tensor *y = lucid_forward(net, lucid_cast(lucid_cast(x, LUCID_F16), LUCID_F32));
    lucid_tensor *sorted = lucid_sort(lucid_flatten(x, 1, -1), 1).values;
    lucid_tensor *d = lucid_rand((2, 3, 37, 41), .dtype = LUCID_F64);
    lucid_tensor *odd = lucid_add(lucid_transpose(d, 2, 3), lucid_rand((37), .dtype = LUCID_F64));
    odd =
        odd ? lucid_topk(lucid_max_pool2d(lucid_avg_pool2d(d, 3, .stride = 1), 3), 2).values : odd;
    odd = odd ? lucid_matmul(d, lucid_transpose(d, 2, 3)) : odd;
    o->done = lucid_backward(lucid_cross_entropy(y, lucid_zeros((4), .dtype = LUCID_I64))) &&
              lucid_step(opt) && sorted && odd;
    snprintf(o->error, sizeof o->error, "%s", lucid_error());
    lucid_clear_error();
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return NULL;
}

static int small_stacks(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_set_num_threads(1); /* the thread's own stack does all the work */
    for (size_t kb = 32; kb <= 160; kb += 4) {
        pthread_attr_t attr;
        pthread_t thread;
        outcome o = {false};
        pthread_attr_init(&attr);
        if (pthread_attr_setstacksize(&attr, kb << 10) != 0 ||
            pthread_create(&thread, &attr, train, &o) != 0)
            return 1;
        pthread_join(thread, NULL);
        pthread_attr_destroy(&attr);
        fprintf(stderr, "%zu KB: %s\n", kb, o.done ? "trained" : o.error);
        if (!o.done && !strstr(o.error, "too small a stack")) return 2;
        if (!o.done && kb >= 128) return 3;
    }
    return lucid_finish();
}

Test(stack, small_stacks, .timeout = 120)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    cr_skip_test("a sanitizer's frames are several times as large");
#endif
    child c = child_run(small_stacks);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0, "%s %d: %s",
              WIFSIGNALED(c.status) ? "signal" : "exit",
              WIFSIGNALED(c.status) ? WTERMSIG(c.status) : WEXITSTATUS(c.status), c.text);
    c = child_run(deep_print);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0);
}

Test(stack, helpers_have_enough, .timeout = 60)
{
    lucid_set_num_threads(4);
    for (int i = 0; i < 20; i++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_cast(lucid_rand((8, 16, 64, 64)), LUCID_F64);
        cr_expect(lucid_avg_pool2d(x, 3, .stride = 1) && lucid_max_pool2d(x, 3));
        cr_expect(lucid_add(lucid_transpose(x, 2, 3), lucid_cast(x, LUCID_F64)));
    }
}
