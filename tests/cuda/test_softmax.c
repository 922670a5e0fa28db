/* test_softmax.c: softmax, log_softmax, negative log likelihood and their gradients on CUDA: rows
 * around a warp, a block and what registers hold, any dimension and layout, odd numbers. */
#include "both.h"

CUDA_SUITE(softmax);

static void check(lucid_tensor *x, arrange how, int dim, const char *what)
{
    static const lucid_op_id ops[] = {LUCID_OP_softmax, LUCID_OP_log_softmax,
                                      LUCID_OP_softmax_backward, LUCID_OP_log_softmax_backward};
    lucid_dim_attrs attrs = {.dim = dim};
    lucid_tensor *y = numbers(lucid_tensor_shape(x), x->view.dtype, -2, -0.5, 17);
    /* Both operands have the same sizes: what changes them is done to both. */
    const bool changes_sizes = how == without_first || how == every_second;
    for (int k = 0; k < 4; k++)
        expect_both(&(both){.op = luc_op_table[ops[k]],
                            .attrs = &attrs,
                            .n_in = k < 2 ? 1 : 2,
                            .in = {x, y},
                            .arrange = {how, k % 2 || changes_sizes ? how : NULL},
                            .dtype = x->view.dtype,
                            .what = what});
}

Test(softmax, rows_of_any_length)
{
    static const int64_t lengths[] = {1,   2,   3,   10,  16,  31,   64,   100,
                                      128, 500, 512, 513, 515, 1000, 1024, 4100};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        for (int d = 0; d < FLOATING; d++) {
            LUCID_SCOPE;
            char what[64];
            snprintf(what, sizeof what, "%lld", (long long)lengths[i]);
            lucid_tensor *x =
                numbers((lucid_shape){2, {5, lengths[i]}}, floating[d], -4, 4, lengths[i]);
            check(x, NULL, 1, what);
            check(x, without_first, 1, what);
        }
}

Test(softmax, rows_longer_than_registers)
{
    for (int d = 0; d < FLOATING; d++) {
        LUCID_SCOPE;
        lucid_tensor *x = numbers((lucid_shape){2, {2, 8200}}, floating[d], -4, 4, 1);
        check(x, NULL, 1, "8200");
        x = numbers((lucid_shape){2, {2, 16388}}, floating[d], -4, 4, 1);
        check(x, NULL, 1, "16388");
    }
}

Test(softmax, every_dimension_and_layout)
{
    static const arrange arranges[] = {as_it_is, channels_last, without_first, every_second,
                                       backwards};
    for (int d = 0; d < FLOATING; d++) {
        LUCID_SCOPE;
        lucid_tensor *x = numbers((lucid_shape){4, {3, 21, 6, 10}}, floating[d], -4, 4, 2);
        for (int a = 0; a < 5; a++)
            for (int dim = 0; dim < 4; dim++) check(x, arranges[a], dim, "4-d");
        check(numbers((lucid_shape){2, {3000, 2}}, floating[d], -4, 4, 2), NULL, 0, "columns");
        check(numbers((lucid_shape){1, {70}}, floating[d], -4, 4, 2), NULL, 0, "1-d");
        check(numbers((lucid_shape){2, {0, 4}}, floating[d], -4, 4, 2), NULL, 1, "empty");
        check(numbers((lucid_shape){2, {4, 0}}, floating[d], -4, 4, 2), NULL, 1, "empty rows");
    }
}

Test(softmax, not_a_number_and_infinities)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, -1e30, 1e30};
    for (int d = 0; d < 2; d++)
        for (int k = 0; k < 5; k++)
            for (int all = 0; all < 2; all++) {
                LUCID_SCOPE;
                double v[600];
                for (int i = 0; i < 600; i++) v[i] = all ? odd[k] : i * 37 % 100 / 25.0;
                v[7] = v[333] = odd[k];
                lucid_tensor_options o = lucid_tensor_defaults;
                o.dtype = floating[d];
                lucid_tensor *x = lucid_from_doubles_opt((lucid_shape){2, {3, 200}}, v, 600, &o);
                lucid_dim_attrs attrs = {.dim = 1};
                both b = {.op = luc_op_table[LUCID_OP_softmax],
                          .attrs = &attrs,
                          .n_in = 1,
                          .in = {x},
                          .dtype = floating[d],
                          .what = "odd numbers"};
                expect_both(&b);
                b.arrange[0] = backwards;
                expect_both(&b);
                b.op = luc_op_table[LUCID_OP_log_softmax];
                expect_both(&b);
                b.arrange[0] = NULL;
                expect_both(&b);
            }
}

/* ---- negative log likelihood ---- */

static void check_loss(lucid_shape shape, lucid_dtype dtype, arrange how, const char *what)
{
    LUCID_SCOPE;
    int64_t classes = shape.dims[1];
    lucid_shape samples = {.ndim = shape.ndim - 1, .dims = {shape.dims[0]}};
    for (int d = 2; d < shape.ndim; d++) samples.dims[d - 1] = shape.dims[d];
    for (int reduction = 0; reduction < 3; reduction++)
        for (int weighted = 0; weighted < 2; weighted++) {
            lucid_nll_attrs attrs = {reduction, 2};
            lucid_tensor *x = numbers(shape, dtype, -4, 0, 1);
            lucid_tensor *t = numbers(samples, LUCID_I64, 0, (double)classes, 2);
            lucid_tensor *w =
                weighted ? numbers((lucid_shape){1, {classes}}, dtype, 0.5, 2, 3) : NULL;
            expect_both(&(both){.op = luc_op_table[LUCID_OP_nll_loss],
                                .attrs = &attrs,
                                .n_in = 3,
                                .in = {x, t, w},
                                .arrange = {how},
                                .dtype = dtype,
                                .what = what});
            /* The gradient, through the operator: its attributes are its own. */
            if (how) continue;
            lucid_tensor *grads[2];
            for (int k = 0; k < 2; k++) {
                lucid_device device = k ? lucid_cuda(0) : lucid_cpu();
                lucid_tensor *in = lucid_requires_grad_(
                    lucid_clone(lucid_tensor_to(x, device), LUCID_PRESERVE), true);
                lucid_tensor *loss = lucid_nll_loss(in, lucid_tensor_to(t, device),
                                                    .weight = w ? lucid_tensor_to(w, device) : NULL,
                                                    .reduction = reduction, .ignore_index = 2);
                lucid_tensor *start =
                    lucid_tensor_to(numbers(lucid_tensor_shape(loss), dtype, 0.5, 1, 5), device);
                lucid_grad_options o = lucid_grad_defaults;
                o.gradients = &start;
                cr_assert(lucid_grad_opt(&loss, 1, &in, 1, &grads[k], &o), "%s", lucid_error());
            }
            cr_expect(is_same(lucid_tensor_to(grads[1], lucid_cpu()), grads[0], dtype), "%s: %s",
                      what, lucid_dtype_name(dtype));
        }
}

Test(softmax, nll_loss)
{
    for (int d = 0; d < FLOATING; d++) {
        check_loss((lucid_shape){2, {64, 10}}, floating[d], NULL, "a batch");
        check_loss((lucid_shape){2, {64, 10}}, floating[d], backwards, "a batch, backwards");
        check_loss((lucid_shape){4, {3, 7, 5, 6}}, floating[d], NULL, "images");
        check_loss((lucid_shape){4, {3, 7, 5, 6}}, floating[d], channels_last, "channels_last");
    }
    check_loss((lucid_shape){2, {3001, 5}}, LUCID_F32, NULL, "several blocks");
    check_loss((lucid_shape){2, {0, 5}}, LUCID_F32, NULL, "no samples");
}

Test(softmax, wrong_classes_are_reported_when_the_device_is_waited_for)
{
    LUCID_SCOPE;
    lucid_device dev = lucid_cuda(0);
    lucid_tensor *x = lucid_zeros((4, 5), .device = dev);
    lucid_tensor *t = lucid_full((4), 5, .dtype = LUCID_I64, .device = dev);
    lucid_tensor *loss = lucid_nll_loss(x, t);
    cr_expect(loss && lucid_error_code() == LUCID_OK, "nothing waits: %s", lucid_error());
    EXPECT_ERROR(lucid_item(loss), LUCID_ERR_ARGUMENT,
                 "target: expected classes in [0,5) or ignore_index -100, got 5");
    t = lucid_full((4), 4, .dtype = LUCID_I64, .device = dev);
    cr_expect_eq(lucid_item(lucid_nll_loss(x, t)), 0);
    cr_expect(lucid_error_code() == LUCID_OK, "a fault is raised once: %s", lucid_error());
}
