/* test_gradcheck.c: the checking tools find mistakes and report no others. */
#include "autograd/ops.h"
#include "own_ops.h"

TestSuite(gradcheck, .init = own_setup, .fini = own_teardown);

static bool one_input(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                      void *user)
{
    (void)n;
    out[0] = lucid_apply((const lucid_op *)user, (lucid_tensor *[]){in[0]}, 1, NULL);
    *n_out = 1;
    return out[0] != NULL;
}
static bool two_inputs(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                       void *user)
{
    (void)n;
    (void)user;
    out[0] = own_mul(own_square(in[0]), in[1]);
    out[1] = own_add(in[0], in[1]);
    *n_out = 2;
    return out[0] && out[1];
}

Test(gradcheck, accepts_what_is_right)
{
    lucid_tensor *in[] = {OWN_LEAF((2, 2), 1, -2, 3, 0.5), OWN_LEAF((2), 4, -0.25)};
    cr_expect(lucid_gradcheck(two_inputs, NULL, in, 2, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(two_inputs, NULL, in, 2, NULL), "%s", lucid_error());
    OWN_EXPECT(in[0], 1, -2, 3, 0.5);
    OWN_EXPECT(in[1], 4, -0.25);
    cr_expect_null(lucid_tensor_grad(in[0]));
    /* Inputs in any order of memory; some of them constant. */
    lucid_tensor *t = lucid_transpose(OWN_DATA((2, 2), 1, -2, 3, 0.5), 0, 1);
    lucid_tensor *other[] = {lucid_requires_grad_(t, true), OWN_DATA((2), 4, -0.25)};
    cr_expect(lucid_gradcheck(two_inputs, NULL, other, 2, NULL), "%s", lucid_error());
    LUCID_NO_GRAD;
    cr_expect(lucid_gradgradcheck(two_inputs, NULL, other, 2, NULL), "%s", lucid_error());
}

static bool wrong_vjp(lucid_vjp *v)
{
    v->grad_in[0] = own_mul(v->grad_out[0], lucid_saved_input(v, 0)); /* the 2 is missing */
    return true;
}
/* Right once; the second derivative forgets that it depends on x. */
static bool detached_vjp(lucid_vjp *v)
{
    v->grad_in[0] = own_mul(v->grad_out[0], own_double(lucid_detach(lucid_saved_input(v, 0))));
    return true;
}
static bool moody_vjp(lucid_vjp *v)
{
    static int calls;
    v->grad_in[0] =
        own_mul(v->grad_out[0], lucid_mul_scalar(lucid_saved_input(v, 0), 2 + 1e-9 * calls++));
    return true;
}
static bool zero_vjp(lucid_vjp *v)
{
    (void)v;
    return true;
}

Test(gradcheck, refuses_what_is_wrong)
{
    lucid_op op = own_square_op;
    lucid_tensor *x = OWN_LEAF((2), 1, 3);
    op.vjp = wrong_vjp;
    cr_expect_not(lucid_gradcheck(one_input, &op, &x, 1, NULL));
    cr_expect_not_null(strstr(lucid_error(),
                              "gradcheck: outputs[0][0] by inputs[0][0]: analytic 1, "
                              "numeric 2"),
                       "%s", lucid_error());
    lucid_clear_error();
    op.vjp = zero_vjp;
    cr_expect_not(lucid_gradcheck(one_input, &op, &x, 1, NULL));
    cr_expect_not_null(strstr(lucid_error(), "analytic 0, numeric 2"), "%s", lucid_error());
    lucid_clear_error();
    op.vjp = moody_vjp;
    cr_expect_not(lucid_gradcheck(one_input, &op, &x, 1, NULL));
    cr_expect_not_null(strstr(lucid_error(), "gradcheck: inputs[0]: two backwards differ"), "%s",
                       lucid_error());
    lucid_clear_error();
    lucid_gradcheck_options tolerant = lucid_gradcheck_defaults;
    tolerant.nondet_tol = 1e-3;
    cr_expect(lucid_gradcheck(one_input, &op, &x, 1, &tolerant), "%s", lucid_error());
    op.vjp = detached_vjp;
    cr_expect(lucid_gradcheck(one_input, &op, &x, 1, NULL), "%s", lucid_error());
    cr_expect_not(lucid_gradgradcheck(one_input, &op, &x, 1, NULL));
    cr_expect_not_null(strstr(lucid_error(), "gradgradcheck: outputs[0][0] by inputs[0][0]: "
                                             "analytic 0, numeric"),
                       "%s", lucid_error());
    lucid_clear_error();
}

Test(gradcheck, refuses_inputs_it_cannot_vary)
{
    lucid_op op = own_square_op;
    lucid_tensor *narrow = lucid_ones((2), .requires_grad = true), *plain = OWN_DATA((2), 1, 2);
    cr_expect_not(lucid_gradcheck(one_input, &op, &narrow, 1, NULL));
    OWN_EXPECT_ERROR("gradcheck: inputs[0]: expected float64 (float32 is too coarse), got float32");
    cr_expect_not(lucid_gradcheck(NULL, &op, &plain, 1, NULL));
    OWN_EXPECT_ERROR("gradcheck: fn: expected a function, got NULL");
    cr_expect_not(lucid_gradgradcheck(NULL, &op, &plain, 0, NULL));
    OWN_EXPECT_ERROR("gradgradcheck: fn: expected a function, got NULL");
    cr_expect_not(lucid_gradcheck(one_input, &op, &plain, 1, NULL));
    OWN_EXPECT_ERROR("gradcheck: inputs: none of the 1 requires a gradient");
    lucid_tensor *wide = lucid_requires_grad_(lucid_expand(plain, (2, 2)), true);
    cr_expect_not(lucid_gradcheck(one_input, &op, &wide, 1, NULL));
    OWN_EXPECT_ERROR("gradcheck: inputs[0]: several elements of an expanded tensor are one in "
                     "memory: they cannot be varied one by one");
}

/* ---- anomaly mode ---- */

Test(gradcheck, anomaly_names_the_first_nan)
{
    lucid_set_detect_anomaly(true);
    cr_expect(lucid_is_anomaly_enabled());
    lucid_tensor *x = OWN_LEAF((2), 0, 4);
    lucid_tensor *zero = own_mul(lucid_sqrt(x), OWN_DATA((2), 0, 0)); /* 0 * d sqrt(0) = 0 * inf */
    cr_expect_not(lucid_backward(own_double(zero), .gradient = OWN_DATA((2), 1, 1)));
    cr_expect_not_null(strstr(lucid_error(), "sqrt: backward: NaN in the gradient of x (forward: "
                                             "inputs x [2] float64 on cpu)"),
                       "%s", lucid_error());
    lucid_clear_error();
    lucid_set_detect_anomaly(false);
    cr_expect(lucid_backward(own_square(x), .gradient = OWN_DATA((2), 1, 1)));
}

/* ---- the graph as a picture ---- */

static bool text_has(FILE *file, const char *want)
{
    static char text[4096];
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    if (strstr(text, want)) return true;
    cr_log_error("%s is not in %s", want, text);
    return false;
}

Test(gradcheck, graph_is_written)
{
    lucid_tensor *x = OWN_LEAF((2, 3), 1, 2, 3, 4, 5, 6), *w = OWN_LEAF((3), 1, 2, 3);
    lucid_set_name(w, "weight");
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    cr_expect(lucid_write_graph(own_square(own_mul(x, w)), file));
    cr_expect(text_has(file, "digraph lucid {"));
    cr_expect(text_has(file, "label=\"own_square\\n[2,3]\""));
    cr_expect(text_has(file, "label=\"own_mul\\n[2,3]\""));
    cr_expect(text_has(file, "label=\"weight\\n[3]\""));
    cr_expect(text_has(file, "[label=\"b\"];"));
    fclose(file);
    cr_expect_not(lucid_write_graph(OWN_DATA((1), 1), stdout));
    OWN_EXPECT_ERROR("write_graph: root: expected a tensor that requires a gradient, got one that "
                     "does not");
    cr_expect_not(lucid_write_graph(x, NULL));
    OWN_EXPECT_ERROR("write_graph: file: expected one, got NULL");
    cr_expect_not(lucid_write_graph(NULL, stdout));
}
