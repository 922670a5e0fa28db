/* Every layer and some networks, step by step against PyTorch. */
#include "tests/nn/steps.h"

static bool is_container(const steps_case *s)
{
    return strcmp(s->op, "Sequential") == 0;
}

/* Reads the lines below a case and runs it; returns the next case. */
static const vectors_case *run_case(vectors *v, const vectors_case *c)
{
    steps_case s;
    steps_read(&s, v, c);
    while ((c = vectors_next(v)) && vectors_get(c, "child")) {
        cr_assert(is_container(&s));
        steps_add_child(s.module, c, s.param_dtype);
    }
    steps_run(&s);
    lucid_module_free(s.module);
    return c;
}

/* Runs the cases whose class begins with the text (or all others, where it is NULL). */
static void run_all(const char *begin)
{
    static const char *const named[] = {"BatchNorm", "Conv2d", "Sequential"};
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    vectors *v = vectors_open("modules");
    int cases = 0;
    for (const vectors_case *c = vectors_next(v); c;) {
        const char *op = vectors_get(c, "op");
        bool wanted = begin ? strncmp(op, begin, strlen(begin)) == 0 : true;
        for (int i = 0; !begin && i < 3; i++)
            if (strncmp(op, named[i], strlen(named[i])) == 0) wanted = false;
        if (vectors_get(c, "child") || !wanted) {
            c = vectors_next(v);
        } else {
            c = run_case(v, c);
            cases++;
        }
    }
    cr_expect(cases >= 4, "only %d cases", cases);
    vectors_close(v);
}

Test(layers, batch_norm)
{
    run_all("BatchNorm");
}

Test(layers, convolution)
{
    run_all("Conv2d");
}

Test(layers, networks)
{
    run_all("Sequential");
}

Test(layers, all_others)
{
    run_all(NULL);
}
