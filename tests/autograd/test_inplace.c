/* test_inplace.c: changes in place, views, and what backward makes of them. Where PyTorch takes the
 * same program it gives the same numbers; it refuses those that read what they overwrite. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/ops/view.h"
#include "own_ops.h"

TestSuite(inplace, .init = own_setup, .fini = own_teardown);

#define ONES(shape, ...) OWN_DATA(shape, __VA_ARGS__)

/* ---- plain tensors ---- */

Test(inplace, writes_and_counts)
{
    lucid_tensor *x = OWN_DATA((2), 1, 2), *same = own_add_(x, OWN_DATA((2), 10, 20));
    cr_expect_eq(same, x);
    OWN_EXPECT(x, 11, 22);
    cr_expect_eq(lucid_tensor_version(x), 1);
    own_square_(x);
    OWN_EXPECT(x, 121, 484);
    cr_expect_eq(lucid_tensor_version(x), 2);
    cr_expect_not(lucid_requires_grad(x));
}

Test(inplace, result_gets_a_new_history)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x), *other = OWN_DATA((2), 10, 20);
    own_mul_(h, other);
    cr_expect_str_eq(lucid_grad_fn_name(h), "own_mul");
    cr_expect(lucid_backward(h, .gradient = ONES((2), 1, 1)));
    OWN_GRAD(x, 20, 40);
}

/* Data become a result when what is written into them requires a gradient. */
Test(inplace, data_become_a_result)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *buffer = OWN_DATA((2), 1, 10);
    own_mul_(buffer, x);
    cr_expect(lucid_requires_grad(buffer));
    cr_expect_not(lucid_is_leaf(buffer));
    cr_expect(lucid_backward(buffer, .gradient = ONES((2), 1, 1)));
    OWN_GRAD(x, 1, 10);
}

/* The vjp needs the value from before: it was kept. */
Test(inplace, overwritten_input_was_kept)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *w = OWN_LEAF((2), 5, 7), *h = own_double(x);
    own_mul_(h, w);
    own_square_(h);
    cr_expect(lucid_backward(h, .gradient = ONES((2), 1, 1)));
    OWN_GRAD(x, 400, 1176); /* (2xw)^2: 8xw^2, 8x^2w */
    OWN_GRAD(w, 160, 504);
}

Test(inplace, with_itself)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x);
    own_mul_(h, h);
    OWN_EXPECT(h, 16, 36);
    cr_expect(lucid_backward(h, .gradient = ONES((2), 1, 1)));
    OWN_GRAD(x, 16, 24);
}

/* x += x^T reads what it writes: as if it had read all before. */
Test(inplace, overlapping_input)
{
    lucid_tensor *x = OWN_DATA((2, 2), 1, 2, 3, 4);
    own_add_(x, lucid_as_strided(x, (2, 2), (1, 2), 0));
    OWN_EXPECT(x, 2, 5, 5, 8);
    lucid_tensor *y = OWN_DATA((3), 1, 2, 3);
    own_add_(y, lucid_as_strided(y, (1), (1), 2)); /* broadcast of its last element */
    OWN_EXPECT(y, 4, 5, 6);
}

Test(inplace, broadcast_into)
{
    lucid_tensor *x = OWN_LEAF((3), 1, 2, 3), *h = OWN_DATA((2, 3), 1, 1, 1, 1, 1, 1);
    own_mul_(h, x);
    OWN_EXPECT(h, 1, 2, 3, 1, 2, 3);
    cr_expect(lucid_backward(h, .gradient = ONES((2, 3), 1, 2, 3, 4, 5, 6)));
    OWN_GRAD(x, 5, 7, 9);
}

/* ---- versions ---- */

Test(inplace, changed_saved_tensor)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x), *y = own_square(h);
    own_add_(h, h);
    own_add_(h, h);
    own_add_(h, h);
    cr_expect_not(lucid_backward(y, .gradient = ONES((2), 1, 1)));
    OWN_EXPECT_ERROR(
        "own_square: x: the tensor [2], needed for backward, is at version 3, expected "
        "0: it was modified in place after it was used here");
    cr_expect_null(lucid_tensor_grad(x));
}

/* What is not needed may change. */
Test(inplace, changed_tensor_that_nobody_needs)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x), *y = own_double(h);
    own_square_(h);
    cr_expect(lucid_backward(y, .gradient = ONES((2), 1, 1)));
    OWN_GRAD(x, 4, 4);
}

Test(inplace, views_share_the_version)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *y = own_square(x);
    lucid_tensor *part = lucid_narrow(lucid_detach(x), 0, 0, 1);
    own_double(part);
    cr_expect_eq(lucid_tensor_version(x), 0);
    own_square_(part);
    cr_expect_eq(lucid_tensor_version(x), 1);
    cr_expect_not(lucid_backward(y, .gradient = ONES((2), 1, 1)));
    OWN_EXPECT_ERROR(
        "own_square: x: the tensor [2], needed for backward, is at version 1, expected "
        "0: it was modified in place after it was used here");
    lucid_tensor *z = own_square(x);
    ((double *)lucid_mutable_data(x))[0] = 1;
    cr_expect_not(lucid_backward(z, .gradient = ONES((2), 1, 1)));
    OWN_EXPECT_ERROR(
        "own_square: x: the tensor [2], needed for backward, is at version 2, expected "
        "1: it was modified in place after it was used here");
}

/* ---- leaves ---- */

Test(inplace, leaf_rule)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *d = OWN_DATA((2), 1, 1);
    cr_expect_null(own_add_(x, d));
    OWN_EXPECT_ERROR("own_add_: in place: a leaf that requires a gradient cannot be changed; use "
                     "LUCID_NO_GRAD to set its value");
    cr_expect_null(own_add_(lucid_narrow(x, 0, 0, 1), OWN_DATA((1), 1)));
    OWN_EXPECT_ERROR("own_add_: in place: a view of a leaf that requires a gradient cannot be "
                     "changed; use LUCID_NO_GRAD to set its value");
    OWN_EXPECT(x, 2, 3);
    LUCID_NO_GRAD;
    cr_expect_eq(own_add_(x, d), x);
    OWN_EXPECT(x, 3, 4);
    cr_expect(lucid_is_leaf(x) && lucid_requires_grad(x));
    cr_expect_not_null(own_add_(lucid_narrow(x, 0, 0, 1), OWN_DATA((1), 1)));
    OWN_EXPECT(x, 4, 4);
    cr_expect(lucid_is_leaf(x) && lucid_requires_grad(x));
}

Test(inplace, refusals)
{
    lucid_tensor *x = OWN_DATA((2), 1, 2);
    cr_expect_null(own_add_(x, OWN_DATA((2, 2), 1, 2, 3, 4)));
    OWN_EXPECT_ERROR("own_add_: in place: a: expected the shape of the result, [2,2], got [2]");
    cr_expect_null(own_add_(lucid_expand(x, (2, 2)), OWN_DATA((2, 2), 1, 2, 3, 4)));
    OWN_EXPECT_ERROR(
        "own_add_: in place: a: an expanded tensor [2,2] cannot be changed: several of "
        "its elements are one in memory; use lucid_clone");
    cr_expect_null(own_add_(NULL, x));
    OWN_EXPECT_ERROR("own_add: a: expected a tensor, got NULL");
    cr_expect_null(own_add_(x, NULL));
    OWN_EXPECT_ERROR("own_add: b: expected a tensor, got NULL");
    OWN_EXPECT(x, 1, 2);
}

/* ---- views of results: the base's history ---- */

/* Nothing is written, so nothing can overlap; gradients of empty batches are added up this way. */
Test(inplace, expanded_tensor_of_no_elements)
{
    lucid_tensor *none = lucid_expand(lucid_zeros((1, 0)), (3, 0));
    cr_expect_eq(own_add_(none, lucid_zeros((3, 0))), none);
}

Test(inplace, write_through_a_view)
{
    lucid_tensor *x = OWN_LEAF((4), 1, 2, 3, 4), *w = OWN_LEAF((2), 10, 20);
    lucid_tensor *h = own_double(x), *part = lucid_narrow(h, 0, 1, 2);
    own_mul_(part, w);
    OWN_EXPECT(h, 2, 40, 120, 8);
    cr_expect_str_eq(lucid_grad_fn_name(h), "copy_slices");
    cr_expect_str_eq(lucid_grad_fn_name(part), "as_strided");
    cr_expect(lucid_backward(h, .gradient = ONES((4), 1, 2, 3, 4)));
    OWN_GRAD(x, 2, 40, 120, 8);
    OWN_GRAD(w, 8, 18);
}

Test(inplace, the_view_after_the_write)
{
    lucid_tensor *x = OWN_LEAF((3), 1, 2, 3), *h = own_double(x);
    lucid_tensor *part = lucid_narrow(h, 0, 0, 2);
    own_square_(part);
    cr_expect(lucid_backward(part, .gradient = ONES((2), 1, 10)));
    OWN_GRAD(x, 8, 160, 0); /* (2x)^2 */
}

/* Another view of the base sees the write and its history. */
Test(inplace, other_views_are_brought_up_to_date)
{
    lucid_tensor *x = OWN_LEAF((3), 1, 2, 3), *h = own_double(x);
    lucid_tensor *a = lucid_narrow(h, 0, 0, 2), *b = lucid_narrow(h, 0, 1, 2);
    own_square_(a);
    OWN_EXPECT(b, 16, 6);
    cr_expect(lucid_backward(own_double(b), .gradient = ONES((2), 1, 1), .retain_graph = true));
    OWN_GRAD(x, 0, 32, 4);
    lucid_set_grad(x, NULL);
    own_square_(h); /* now the base itself */
    cr_expect(lucid_backward(b, .gradient = ONES((2), 1, 1)));
    OWN_GRAD(x, 0, 512, 24); /* (2x)^4, (2x)^2 */
}

Test(inplace, view_of_a_view)
{
    lucid_tensor *x = OWN_LEAF((4), 1, 2, 3, 4), *h = own_double(x);
    lucid_tensor *outer = lucid_narrow(h, 0, 1, 3), *inner = lucid_narrow(outer, 0, 1, 1);
    own_square_(inner);
    cr_expect_str_eq(lucid_grad_fn_name(h), "copy_slices");
    cr_expect(lucid_backward(outer, .gradient = ONES((3), 1, 1, 1)));
    OWN_GRAD(x, 0, 2, 24, 2);
}

/* Zeros into which pieces are written: the base was no result before. */
Test(inplace, assembling)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *base = OWN_DATA((2, 2), 1, 1, 1, 1);
    for (int i = 0; i < 2; i++) {
        lucid_tensor *row = lucid_narrow(base, 0, i, 1);
        own_mul_(row, own_square(x));
    }
    OWN_EXPECT(base, 4, 9, 4, 9);
    cr_expect(lucid_requires_grad(base));
    cr_expect(lucid_backward(base, .gradient = ONES((2, 2), 1, 2, 3, 4)));
    OWN_GRAD(x, 16, 36);
}

/* A view that was made while the base was plain data. */
Test(inplace, old_view_of_new_history)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *base = OWN_DATA((2), 1, 1);
    lucid_tensor *part = lucid_narrow(base, 0, 0, 1);
    cr_expect_not(lucid_requires_grad(part));
    own_mul_(base, x);
    cr_expect(lucid_requires_grad(part));
    cr_expect(lucid_backward(part));
    OWN_GRAD(x, 1, 0);
}

Test(inplace, second_derivative_through_a_view)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x), *g, *g2;
    lucid_tensor *part = lucid_narrow(h, 0, 0, 1);
    own_square_(part);
    own_mul_(part, part); /* h = [(2x)^4, 2x] */
    lucid_tensor *ones = ONES((2), 1, 1);
    cr_expect(lucid_grad(&h, 1, &x, 1, &g, .gradients = &ones, .create_graph = true));
    OWN_EXPECT(g, 512, 2); /* 64x^3 */
    cr_expect(lucid_grad(&g, 1, &x, 1, &g2, .gradients = &ones));
    OWN_EXPECT(g2, 768, 0); /* 192x^2 */
}

/* Strided and column-wise views of a base that lies in channels_last order. */
Test(inplace, base_in_another_layout)
{
    lucid_tensor *x = lucid_requires_grad_(
        lucid_ones((1, 2, 2, 2), .memory_format = LUCID_CHANNELS_LAST, .dtype = LUCID_F64), true);
    lucid_tensor *h = own_double(x), *part = lucid_narrow(h, 1, 1, 1);
    own_square_(part);
    OWN_EXPECT(h, 2, 2, 2, 2, 4, 4, 4, 4);
    cr_expect(lucid_backward(h, .gradient = OWN_DATA((1, 2, 2, 2), 1, 2, 3, 4, 5, 6, 7, 8)));
    OWN_GRAD(x, 2, 4, 6, 8, 40, 48, 56, 64);
}

/* What a view's gradient is, is placed by strides: those of any base. */
Test(inplace, the_view_after_the_write_of_any_base)
{
    lucid_tensor *x = OWN_LEAF((2, 3), 1, 2, 3, 4, 5, 6);
    lucid_tensor *h = own_double(lucid_transpose(x, 0, 1)), *row = lucid_select(h, 0, 1);
    cr_assert_eq(lucid_stride(h, 0), 1); /* column-wise, as what it is made of */
    own_square_(row);                    /* 4, 10 become 16, 100 */
    OWN_EXPECT(row, 16, 100);
    cr_expect(lucid_backward(row, .gradient = ONES((2), 1, 10)));
    OWN_GRAD(x, 0, 16, 0, 0, 400, 0); /* d(2x)^2 = 8x */

    lucid_tensor *w = OWN_LEAF((3), 1, 2, 3), *data = OWN_DATA((3, 2), 0, 0, 0, 0, 0, 0);
    lucid_tensor *gaps = lucid_detach(lucid_select(data, 1, 1)), *end = lucid_narrow(gaps, 0, 1, 2);
    own_add_(gaps, w);
    cr_expect(lucid_backward(end, .gradient = ONES((2), 5, 7)));
    OWN_GRAD(w, 0, 5, 7);
}

Test(inplace, write_through_a_view_of_nothing)
{
    const lucid_shape shapes[] = {LUCID_SHAPE(0, 0), LUCID_SHAPE(0, 1, 0), LUCID_SHAPE(3, 0)};
    for (int i = 0; i < 3; i++) {
        lucid_tensor *x = lucid_zeros_opt(shapes[i], NULL), *h;
        lucid_requires_grad_(x, true);
        h = own_double(x);
        own_square_(lucid_transpose(h, 0, 1));
        cr_expect(lucid_backward(h, .gradient = lucid_zeros_opt(shapes[i], NULL)), "%d: %s", i,
                  lucid_error());
        lucid_shape got = lucid_tensor_shape(lucid_tensor_grad(x));
        cr_expect(lucid_shape_equal(&got, &shapes[i]));
    }
}

/* Offsets count from the storage's begin, wherever the base begins. */
Test(inplace, a_base_that_begins_late)
{
    lucid_tensor *w = OWN_LEAF((3), 1, 2, 3), *data = OWN_DATA((5), 0, 0, 1, 1, 1), *g, *g2;
    lucid_tensor *base = lucid_detach(lucid_narrow(data, 0, 2, 3)),
                 *end = lucid_narrow(base, 0, 1, 2);
    own_mul_(base, w);
    own_square_(end); /* 1, 4, 9 */
    OWN_EXPECT(base, 1, 4, 9);
    lucid_tensor *ones = ONES((2), 1, 1);
    cr_expect(lucid_grad(&end, 1, &w, 1, &g, .gradients = &ones, .create_graph = true));
    OWN_EXPECT(g, 0, 4, 6);
    lucid_tensor *all = ONES((3), 1, 1, 1);
    cr_expect(lucid_grad(&g, 1, &w, 1, &g2, .gradients = &all));
    OWN_EXPECT(g2, 0, 2, 2);

    lucid_tensor *x = OWN_LEAF((4), 1, 2, 3, 4), *last = lucid_narrow(x, 0, 1, 3);
    cr_expect(lucid_backward(lucid_as_strided(last, (2), (1), 2), .gradient = ONES((2), 5, 7)));
    OWN_GRAD(x, 0, 0, 5, 7);
}

Test(inplace, second_derivative_of_as_strided)
{
    lucid_tensor *x = OWN_LEAF((2, 3), 1, 2, 3, 4, 5, 6), *row = lucid_select(x, 0, 1), *g, *g2;
    lucid_tensor *y = own_square(lucid_as_strided(row, (2), (1), 4)), *ones = ONES((2), 1, 1);
    cr_expect(lucid_grad(&y, 1, &x, 1, &g, .gradients = &ones, .create_graph = true));
    OWN_EXPECT(g, 0, 0, 0, 0, 10, 12);
    lucid_tensor *all = ONES((2, 3), 1, 2, 3, 4, 5, 6);
    cr_expect(lucid_grad(&g, 1, &x, 1, &g2, .gradients = &all));
    OWN_EXPECT(g2, 0, 0, 0, 0, 10, 12);
}

/* x may look at memory that is not its own, but no gradient comes back from there. */
Test(inplace, as_strided_beyond_its_input)
{
    lucid_tensor *x = OWN_LEAF((4), 1, 2, 3, 4), *end = lucid_narrow(x, 0, 2, 2);
    lucid_tensor *y = lucid_as_strided(end, (2), (2), 1);
    OWN_EXPECT(y, 2, 4);
    cr_expect_not(lucid_backward(y, .gradient = ONES((2), 1, 1)));
    OWN_EXPECT_ERROR(
        "as_strided: x: the gradient of what is seen outside of x itself has no place: "
        "expected elements [0,2) from its first, got [-1,1]");
}

Test(inplace, as_strided_of_columns)
{
    lucid_tensor *x = OWN_LEAF((2, 3), 1, 2, 3, 4, 5, 6);
    lucid_tensor *memory = lucid_as_strided(lucid_transpose(x, 0, 1), (3), (1), 2);
    OWN_EXPECT(memory, 3, 4, 5);
    cr_expect(lucid_backward(memory, .gradient = ONES((3), 7, 8, 9)));
    OWN_GRAD(x, 0, 0, 7, 8, 9, 0);
}

Test(inplace, retained_gradient_of_a_written_base)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x);
    lucid_tensor *part = lucid_narrow(h, 0, 0, 1);
    lucid_retain_grad(h);
    own_square_(part);
    cr_expect(lucid_backward(own_double(h), .gradient = ONES((2), 1, 1)));
    OWN_GRAD(h, 2, 2);
    OWN_GRAD(x, 32, 4);
}

/* ---- views and no_grad ---- */

Test(inplace, view_made_under_no_grad)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x), *part, *of_part;
    {
        LUCID_NO_GRAD;
        part = lucid_narrow(h, 0, 0, 1);
    }
    cr_expect_not(lucid_requires_grad(part));
    const char *message =
        "own_mul_: in place: a view made while no gradient was recorded cannot be "
        "changed while one is; make both inside LUCID_NO_GRAD, or neither";
    lucid_tensor *w = OWN_LEAF((1), 5);
    cr_expect_null(own_mul_(part, w));
    OWN_EXPECT_ERROR(message);
    of_part = lucid_narrow(part, 0, 0, 1);
    cr_expect_null(own_mul_(of_part, w));
    OWN_EXPECT_ERROR(message);
    {
        LUCID_NO_GRAD;
        cr_expect_not_null(own_mul_(part, w));
    }
    OWN_EXPECT(h, 20, 6);
    cr_expect_str_eq(lucid_grad_fn_name(h), "own_double");
    /* Without anything that requires a gradient there is nothing to record. */
    lucid_tensor *plain = OWN_DATA((2), 1, 2);
    {
        LUCID_NO_GRAD;
        part = lucid_narrow(plain, 0, 0, 1);
    }
    cr_expect_not_null(own_square_(part));
}

/* no_grad changes of a result: the graph goes on as it is, the saved value is missed. */
Test(inplace, no_grad_change_of_a_result)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x), *part = lucid_narrow(h, 0, 0, 1);
    {
        LUCID_NO_GRAD;
        own_square_(h);
    }
    cr_expect_str_eq(lucid_grad_fn_name(h), "own_double");
    cr_expect(lucid_requires_grad(part));
    cr_expect(lucid_backward(part));
    OWN_GRAD(x, 2, 0);
}

Test(inplace, detached_view)
{
    lucid_tensor *x = OWN_LEAF((2), 2, 3), *h = own_double(x), *d = lucid_detach(h);
    cr_expect(lucid_shares_storage(h, d));
    cr_expect_not(lucid_requires_grad(d));
    own_square_(d);
    cr_expect_not(lucid_requires_grad(d));
    OWN_EXPECT(h, 16, 36);
    cr_expect_str_eq(lucid_grad_fn_name(h), "own_double");
}

/* A view that is made a leaf has a history of its own, and owns nothing that could own it. */
Test(inplace, view_becomes_a_leaf)
{
    lucid_tensor *base = OWN_DATA((2), 2, 3), *v = lucid_narrow(base, 0, 0, 1);
    cr_expect_eq(lucid_requires_grad_(v, true), v);
    cr_expect(lucid_is_leaf(v));
    lucid_tensor *rest = lucid_narrow(base, 0, 1, 1);
    own_mul_(rest, own_double(v));
    cr_expect(lucid_requires_grad(base));
    cr_expect(lucid_backward(rest));
    OWN_GRAD(v, 6);
}
