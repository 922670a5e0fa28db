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

/* Against the formula, in float64: PyTorch's stored values have no such case. */
Test(layers, softplus)
{
    static const double at[] = {-700, -30, -2, -1e-9, 0, 0.75, 1.4, 1.6, 9, 700};
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *plain = nn_Softplus(), *steep = nn_Softplus(.beta = 2, .threshold = 3);
    char *text = lucid_module_to_string(plain), *other = lucid_module_to_string(steep);
    cr_expect_str_eq(text, "Softplus(beta=1.0, threshold=20.0)");
    cr_expect_str_eq(other, "Softplus(beta=2.0, threshold=3.0)");
    {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_from_data((10), at, .dtype = LUCID_F64);
        const double *y = lucid_data(lucid_forward(plain, x));
        const double *z = lucid_data(lucid_forward(steep, x));
        for (int i = 0; i < 10; i++) {
            const double want = at[i] > 20 ? at[i] : log1p(exp(at[i]));
            const double want2 = 2 * at[i] > 3 ? at[i] : log1p(exp(2 * at[i])) / 2;
            cr_expect(fabs(y[i] - want) <= 1e-15 * fabs(want), "%g: %.17g", at[i], y[i]);
            cr_expect(fabs(z[i] - want2) <= 1e-15 * fabs(want2), "%g: %.17g", at[i], z[i]);
        }
        cr_expect_null(lucid_softplus(x, .beta = NAN));
        cr_expect(strstr(lucid_error(), "softplus: beta, threshold: expected numbers"));
        lucid_clear_error();
    }
    free(text);
    free(other);
    lucid_module_free(plain);
    lucid_module_free(steep);
}
