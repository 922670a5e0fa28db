/* Errors: where they are raised, both modes, and that the first one wins. */
#include "lucid/core/error_priv.h"
#include "lucid/lucid.h"
#include "tests/lucid/child.h"

#include <pthread.h>
#include <setjmp.h>

static void stopped(int (*fn)(void), int exit_code, int signal, const char *text)
{
    child c = child_run(fn);
    if (signal)
        cr_expect(WIFSIGNALED(c.status) && WTERMSIG(c.status) == signal, "%s: status %x", text,
                  (unsigned)c.status);
    else
        cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == exit_code, "%s: status %x", text,
                  (unsigned)c.status);
    cr_expect(strcmp(c.text, text) == 0, "expected on stderr:\n%s\ngot:\n%s", text, c.text);
}

static int raise_argument(void)
{
    lucid_raise(LUCID_ERR_ARGUMENT, "my_op", "n: expected %d, got %d", 1, 2);
    return 7;
}

static int raise_state(void)
{
    lucid_raise(LUCID_ERR_STATE, "my_op", "too late");
    return 7;
}

static int raise_unsupported(void)
{
    lucid_raise(LUCID_ERR_UNSUPPORTED, "my_op", "no");
    return 7;
}

static int raise_internal(void)
{
    lucid_raise(LUCID_ERR_INTERNAL, "my_op", "a bug");
    return 7;
}

static int raise_memory(void)
{
    lucid_raise(LUCID_ERR_MEMORY, "my_op", "out of it");
    return 7;
}

static int raise_io(void)
{
    lucid_raise(LUCID_ERR_IO, "my_op", "no such file");
    return 7;
}

static int raise_format(void)
{
    lucid_raise(LUCID_ERR_FORMAT, "my_op", "not a png");
    return 7;
}

static int raise_device(void)
{
    lucid_raise(LUCID_ERR_DEVICE, "my_op", "no gpu");
    return 7;
}

Test(error, stop_mode_is_the_default)
{
    cr_expect(lucid_get_error_mode() == LUCID_ERRORS_STOP);
}

Test(error, misuse_aborts)
{
    stopped(raise_argument, 0, SIGABRT, "lucid: argument error: my_op: n: expected 1, got 2\n");
    stopped(raise_state, 0, SIGABRT, "lucid: state error: my_op: too late\n");
    stopped(raise_unsupported, 0, SIGABRT, "lucid: unsupported error: my_op: no\n");
    stopped(raise_internal, 0, SIGABRT, "lucid: internal error: my_op: a bug\n");
}

Test(error, a_fault_of_the_environment_exits)
{
    stopped(raise_memory, 1, 0, "lucid: memory error: my_op: out of it\n");
    stopped(raise_io, 1, 0, "lucid: io error: my_op: no such file\n");
    stopped(raise_format, 1, 0, "lucid: format error: my_op: not a png\n");
    stopped(raise_device, 1, 0, "lucid: device error: my_op: no gpu\n");
}

static int pending_then_stop(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_raise(LUCID_ERR_ARGUMENT, "first", "the cause");
    lucid_set_error_mode(LUCID_ERRORS_STOP);
    lucid_raise(LUCID_ERR_ARGUMENT, "second", "a consequence");
    return 7;
}

/* A pending error must not hide an error that is raised after the mode changed. */
Test(error, stop_mode_stops_although_one_is_pending)
{
    stopped(pending_then_stop, 0, SIGABRT, "lucid: argument error: first: the cause\n");
}

static int null_in_stop_mode(void)
{
    return lucid_item(NULL) != 0; /* no error came before: it is the caller's mistake */
}

Test(error, a_null_of_the_callers_stops)
{
    stopped(null_in_stop_mode, 0, SIGABRT,
            "lucid: argument error: item: tensor: expected a tensor, got NULL\n");
}

Test(error, the_first_wins_until_cleared)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_expect(lucid_error_code() == LUCID_OK);
    cr_expect(strcmp(lucid_error(), "") == 0);
    cr_expect(!lucid_raise(LUCID_ERR_IO, "load", "file %s", "a"));
    cr_expect(!lucid_raise(LUCID_ERR_ARGUMENT, "add", "b"));
    cr_expect(lucid_error_code() == LUCID_ERR_IO);
    cr_expect(strcmp(lucid_error(), "load: file a") == 0, "%s", lucid_error());
    lucid_clear_error();
    cr_expect(lucid_error_code() == LUCID_OK);
    cr_expect(strcmp(lucid_error(), "") == 0);
    lucid_raise(LUCID_ERR_ARGUMENT, "add", "b");
    cr_expect(strcmp(lucid_error(), "add: b") == 0, "%s", lucid_error());
}

Test(error, odd_calls_of_lucid_raise)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_raise(LUCID_OK, NULL, "no op, no code");
    cr_expect(lucid_error_code() == LUCID_ERR_INTERNAL);
    cr_expect(strcmp(lucid_error(), "lucid: no op, no code") == 0, "%s", lucid_error());
}

Test(error, a_long_message_is_cut)
{
    static char much[5000];
    memset(much, 'x', sizeof much - 1);
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_raise(LUCID_ERR_ARGUMENT, "op", "%s", much);
    cr_expect(strlen(lucid_error()) == 1023, "%zu", strlen(lucid_error()));
    lucid_clear_error();
    lucid_raise(LUCID_ERR_ARGUMENT, much, "never seen");
    cr_expect(strlen(lucid_error()) == 1023, "%zu", strlen(lucid_error()));
}

static struct {
    int calls;
    lucid_code code;
    char message[128];
    const void *user;
} seen;

static void note(lucid_code code, const char *message, void *user)
{
    seen.calls++;
    seen.code = code;
    seen.user = user;
    snprintf(seen.message, sizeof seen.message, "%s", message);
}

Test(error, handler)
{
    int here;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_set_error_handler(note, &here);
    lucid_raise(LUCID_ERR_FORMAT, "read", "line 3");
    lucid_raise(LUCID_ERR_FORMAT, "read", "line 4");
    cr_expect(seen.calls == 1 && seen.code == LUCID_ERR_FORMAT && seen.user == &here);
    cr_expect(strcmp(seen.message, "read: line 3") == 0, "%s", seen.message);
    lucid_set_error_handler(NULL, NULL);
    lucid_clear_error();
    lucid_raise(LUCID_ERR_FORMAT, "read", "line 5");
    cr_expect(seen.calls == 1);
}

static void say(lucid_code code, const char *message, void *user)
{
    (void)code;
    fprintf(stderr, "%s %s\n", (const char *)user, message);
}

static int stop_with_handler(void)
{
    static char user[] = "handler:";
    lucid_set_error_handler(say, user);
    lucid_raise(LUCID_ERR_IO, "load", "gone");
    return 7;
}

Test(error, handler_comes_before_the_stop)
{
    stopped(stop_with_handler, 1, 0, "handler: load: gone\nlucid: io error: load: gone\n");
}

static void *raise_elsewhere(void *p)
{
    lucid_raise(LUCID_ERR_STATE, "thread", "its own");
    return lucid_error_code() == LUCID_ERR_STATE ? p : NULL;
}

Test(error, each_thread_has_its_own)
{
    pthread_t thread;
    void *result;
    int here;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_assert(pthread_create(&thread, NULL, raise_elsewhere, &here) == 0);
    pthread_join(thread, &result);
    cr_expect(result == &here);
    cr_expect(lucid_error_code() == LUCID_OK);
}

typedef struct named_frame {
    luc_module_frame base;
    const char *name;
} named_frame;

static void write_path(const luc_module_frame *frame, char *text, size_t size)
{
    snprintf(text, size, "%s", ((const named_frame *)(const void *)frame)->name);
}

Test(error, the_innermost_module_is_named)
{
    named_frame net = {{NULL, write_path, NULL}, "net"}, bn = {{NULL, write_path, NULL}, "net.bn"};
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    luc_module_frame_push(&net.base);
    luc_module_frame_push(&bn.base);
    luc_raise(LUCID_ERR_ARGUMENT, "batch_norm", "x");
    cr_expect(strcmp(lucid_error(), "batch_norm: x; module net.bn") == 0, "%s", lucid_error());
    luc_module_frame_pop(&bn.base);
    lucid_clear_error();
    luc_raise(LUCID_ERR_ARGUMENT, "relu", "x");
    cr_expect(strcmp(lucid_error(), "relu: x; module net") == 0, "%s", lucid_error());
    luc_module_frame_pop(&net.base);
    lucid_clear_error();
    luc_raise(LUCID_ERR_ARGUMENT, "relu", "x");
    cr_expect(strcmp(lucid_error(), "relu: x") == 0, "%s", lucid_error());
}

Test(error, code_names)
{
    static const char *const names[] = {"ok", "argument", "state",  "unsupported", "memory",
                                        "io", "format",   "device", "internal"};
    for (int k = 0; k <= LUCID_ERR_INTERNAL; k++)
        cr_expect(strcmp(lucid_code_name((lucid_code)k), names[k]) == 0);
    cr_expect(strcmp(lucid_code_name((lucid_code)99), "unknown") == 0);
}

/* ---- what docs/errors.md promises to programs that jump -------------------------------------- */

static jmp_buf failed;

static lucid_tensor *checked(lucid_tensor *t)
{
    if (!t) longjmp(failed, 1);
    return t;
}

/* Fails deep in a network, in an operator or in the program itself, inside scopes and a mode. */
static void fail_somewhere(lucid_module *net, int where)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_ones((3));
    LUCID_SCOPE;
    if (where == 0) checked(lucid_forward(net, lucid_ones((1, 5))));
    if (where == 1) checked(lucid_matmul(lucid_ones((2, 3)), lucid_ones((4, 5))));
    checked(NULL);
}

Test(error, a_program_may_jump_out_of_its_own_code)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *net = nn_Sequential(nn_Sequential(nn_Linear(3, 4), nn_ReLU()), nn_Linear(4, 2));
    const int64_t tensors = lucid_live().tensors;
    const size_t count = lucid_scope_count();
    for (volatile int i = 0; i < 300; i++) {
        const size_t depth = lucid_scope_begin();
        if (setjmp(failed) == 0) {
            fail_somewhere(net, i % 3);
            cr_assert_fail("no error");
        }
        cr_expect(i % 3 == 2 || lucid_error_code() == LUCID_ERR_ARGUMENT);
        lucid_clear_error();
        lucid_set_grad_enabled(true);
        lucid_scope_end(depth);
        cr_assert(lucid_scope_count() == count && lucid_live().tensors == tensors);
    }
    lucid_item(NULL);
    cr_expect_null(strstr(lucid_error(), "module"), "%s", lucid_error());
    lucid_clear_error();
    cr_expect(lucid_requires_grad(lucid_forward(net, lucid_ones((1, 3)))));
    lucid_module_free(net);
}
