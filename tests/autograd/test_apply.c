/* test_apply.c: applying operators: shapes, layouts, checks, gradient mode. */
#include "autograd/ops.h"
#include "lucid/core/attrs.h"
#include "own_ops.h"

#include <math.h>
#include <pthread.h>

TestSuite(apply, .init = own_setup, .fini = own_teardown);

static void expect_strides(const lucid_tensor *t, int ndim, const int64_t *want)
{
    cr_assert_eq(lucid_ndim(t), ndim);
    for (int d = 0; d < ndim; d++) cr_expect_eq(lucid_stride(t, d), want[d], "dimension %d", d);
}
#define EXPECT_STRIDES(tensor, ...)                                                         \
    expect_strides(tensor, (int)(sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
                   (const int64_t[]){__VA_ARGS__})

/* ---- shape and layout of results ---- */

Test(apply, broadcasts)
{
    lucid_tensor *y = own_add(OWN_DATA((2, 1), 1, 2), OWN_DATA((3), 10, 20, 30));
    OWN_EXPECT(y, 11, 21, 31, 12, 22, 32);
    EXPECT_STRIDES(y, 3, 1);
    lucid_tensor *empty = lucid_zeros((0), .dtype = LUCID_F64);
    y = own_add(OWN_DATA((2, 1), 1, 2), empty);
    EXPECT_STRIDES(y, 1, 1); /* as PyTorch's, for a size of 0 */
    cr_expect_eq(lucid_numel(y), 0);
}

Test(apply, zero_dimensional)
{
    lucid_shape scalar = {0};
    lucid_tensor *x = own_leaf(scalar, (const double[]){3}, 1), *y = own_square(x);
    cr_expect_eq(lucid_ndim(y), 0);
    cr_expect(lucid_backward(own_mul(y, OWN_DATA((2), 1, 10)), .gradient = OWN_DATA((2), 1, 1)));
    OWN_GRAD(x, 66);
    cr_expect_eq(lucid_ndim(lucid_tensor_grad(x)), 0);
}

Test(apply, layout_is_kept)
{
    lucid_tensor *plain = lucid_ones((2, 3, 4, 5)), *channel = lucid_ones((3, 1, 1));
    lucid_tensor *cl = lucid_ones((2, 3, 4, 5), .memory_format = LUCID_CHANNELS_LAST);
    EXPECT_STRIDES(own_square(cl), 60, 1, 15, 3);
    EXPECT_STRIDES(own_add(cl, channel), 60, 1, 15, 3);
    EXPECT_STRIDES(own_add(channel, cl), 60, 1, 15, 3);
    EXPECT_STRIDES(own_add(plain, cl), 60, 20, 5, 1);
    EXPECT_STRIDES(own_add(cl, plain), 60, 1, 15, 3);
    lucid_tensor *t = lucid_transpose(lucid_ones((3, 4)), 0, 1);
    EXPECT_STRIDES(own_square(t), 1, 4);
    EXPECT_STRIDES(own_square(lucid_slice(t, 0, 0, 4, 2)), 3, 1);
    EXPECT_STRIDES(own_square(lucid_expand(lucid_ones((3)), (2, 3))), 3, 1);
    /* A channels_last operand that is itself broadcast still decides. */
    lucid_tensor *one = lucid_ones((1, 3, 4, 5), .memory_format = LUCID_CHANNELS_LAST);
    EXPECT_STRIDES(own_add(one, lucid_ones((2, 1, 1, 1))), 60, 1, 15, 3);
}

/* ---- checks ---- */

Test(apply, refusals)
{
    lucid_tensor *a = OWN_DATA((2, 3), 1, 2, 3, 4, 5, 6);
    cr_expect_null(own_add(a, OWN_DATA((4), 1, 2, 3, 4)));
    OWN_EXPECT_ERROR("own_add: b: expected a shape that broadcasts with [2,3], got [4]");
    cr_expect_null(own_add(a, lucid_ones((3))));
    OWN_EXPECT_ERROR("own_add: b: expected dtype float64, got float32");
    cr_expect_null(lucid_apply(&own_add_op, &a, 1, NULL));
    OWN_EXPECT_ERROR("own_add: inputs: expected 2, got 1");
    cr_expect_null(own_square(lucid_zeros((2), .dtype = LUCID_I64)));
    OWN_EXPECT_ERROR("own_square: no kernel for int64 on cpu");
}

Test(apply, null_propagates)
{
    lucid_tensor *a = OWN_DATA((2), 1, 2);
    cr_expect_null(own_add(a, NULL)); /* no error before: it is the caller's mistake */
    OWN_EXPECT_ERROR("own_add: b: expected a tensor, got NULL");
    cr_expect_null(lucid_exp(lucid_mul(NULL, a)));
    OWN_EXPECT_ERROR("mul: a: expected a tensor, got NULL");
    cr_expect(isnan(lucid_item(NULL)));
    OWN_EXPECT_ERROR("item: tensor: expected a tensor, got NULL");
    cr_expect(!lucid_backward(NULL));
    OWN_EXPECT_ERROR("backward: root: expected a tensor, got NULL");
    cr_expect_not(lucid_backward_multi(NULL, NULL, 2, NULL));
    OWN_EXPECT_ERROR("backward: roots: expected 2 tensors, got NULL");
    cr_expect_not(lucid_grad(&a, 1, NULL, 2, NULL));
    OWN_EXPECT_ERROR("grad: inputs: expected 2 tensors, got NULL");
    cr_expect_not(lucid_grad(&a, 1, &a, 1, NULL));
    OWN_EXPECT_ERROR("grad: grads: expected 1 tensors, got NULL");
    cr_expect_null(lucid_matmul(a, NULL));
    OWN_EXPECT_ERROR("matmul: b: expected a tensor, got NULL");
    cr_expect_null(lucid_cat((a, NULL)));
    OWN_EXPECT_ERROR("cat: tensors: expected 2 tensors, got NULL for tensor 1");
    cr_expect_null(lucid_stack((NULL, a), 0));
    OWN_EXPECT_ERROR("stack: tensors: expected 2 tensors, got NULL for tensor 0");
    lucid_tensor *deep = lucid_ones((1, 1, 1, 1, 1, 1, 1, 1));
    cr_expect_null(lucid_stack((deep, deep), 0));
    OWN_EXPECT_ERROR("stack: tensors: expected fewer than 8 dimensions, got [1,1,1,1,1,1,1,1]");
    cr_expect_eq(lucid_register_hook(NULL, NULL, NULL), 0);
    OWN_EXPECT_ERROR("register_hook: tensor: expected a tensor, got NULL");
    cr_expect_not(lucid_retain_grad(NULL));
    OWN_EXPECT_ERROR("retain_grad: tensor: expected a tensor, got NULL");
    cr_expect_not(lucid_set_grad(NULL, a));
    OWN_EXPECT_ERROR("set_grad: tensor: expected a tensor, got NULL");
    lucid_raise(LUCID_ERR_STATE, "first", "came before");
    cr_expect_null(own_add(own_square(NULL), a));
    OWN_EXPECT_ERROR("first: came before");
}

/* ---- operators with several outputs, optional inputs, attributes ---- */

typedef struct affine_attrs {
    double scale;
    int64_t unused[9];
} affine_attrs;

static bool affine_infer(lucid_call *c)
{
    lucid_infer_like(c, 0, 0);
    c->out[1] = (lucid_meta){.dtype = LUCID_I64, .ndim = 1, .dims = {1}};
    lucid_infer_strides(c, 1, -1);
    return true;
}
/* out0 = scale * x + bias, out1 = how many inputs there were. */
static bool affine_kernel(const lucid_kernel_args *args)
{
    const affine_attrs *a = args->attrs;
    const lucid_view *x = args->in[0], *bias = args->in[1];
    for (int64_t i = 0; i < x->dims[0]; i++)
        own_set(args->out[0], i,
                a->scale * own_get(x, i * x->strides[0]) + (bias ? own_get(bias, i) : 0));
    *(int64_t *)args->out[1]->data = bias ? 2 : 1;
    return true;
}
static bool affine_vjp(lucid_vjp *v)
{
    const affine_attrs *a = v->attrs;
    lucid_tensor *g = v->grad_out[0];
    cr_expect_null(v->grad_out[1], "an integer output has no gradient");
    cr_expect_eq(lucid_has_input(v, 2), false);
    cr_expect_eq(lucid_input_meta(v, 0)->dims[0], 2);
    cr_expect_eq(lucid_output_meta(v, 1)->dtype, LUCID_I64);
    if (v->needs & 1) v->grad_in[0] = own_mul(g, OWN_DATA((1), a->scale));
    if (v->needs & 2) v->grad_in[1] = g;
    if (!(v->needs & 2)) cr_expect_eq(lucid_has_input(v, 1), lucid_input_meta(v, 1) != NULL);
    return true;
}
static const lucid_op affine_op = {.name = "affine",
                                   .schema = "x, bias?",
                                   .id = LUCID_OP_CUSTOM,
                                   .n_in = 2,
                                   .n_out = 2,
                                   .attrs_size = sizeof(affine_attrs),
                                   .infer = affine_infer,
                                   .vjp = affine_vjp,
                                   .kernel = affine_kernel};

Test(apply, outputs_attributes_and_optional_inputs)
{
    lucid_tensor *x = OWN_LEAF((2), 1, 2), *bias = OWN_LEAF((2), 10, 20), *out[2];
    affine_attrs attrs = {.scale = 3};
    cr_expect(lucid_apply_multi(&affine_op, (lucid_tensor *[]){x, bias}, 2, &attrs, out));
    attrs.scale = 0; /* the node has its copy */
    OWN_EXPECT(out[0], 13, 26);
    OWN_EXPECT(out[1], 2);
    cr_expect(lucid_requires_grad(out[0]));
    cr_expect_not(lucid_requires_grad(out[1]));
    cr_expect(lucid_backward(out[0], .gradient = OWN_DATA((2), 1, 2)));
    OWN_GRAD(x, 3, 6);
    OWN_GRAD(bias, 1, 2);
    attrs.scale = 3;
    cr_expect(lucid_apply_multi(&affine_op, (lucid_tensor *[]){x, NULL}, 2, &attrs, out));
    OWN_EXPECT(out[1], 1);
    cr_expect(lucid_backward(out[0], .gradient = OWN_DATA((2), 1, 2)));
    OWN_GRAD(x, 6, 12);
    cr_expect_not(lucid_apply_multi(&affine_op, (lucid_tensor *[]){NULL, bias}, 2, &attrs, out));
    cr_expect_null(out[0]);
    cr_expect_null(out[1]);
}

/* ---- composing, mutating, workspace ---- */

static bool quad_compose(const lucid_call *c, lucid_tensor **out)
{
    cr_expect_not(lucid_is_grad_enabled());
    out[0] = own_square(own_square(c->in[0]));
    return true;
}
static bool quad_vjp(lucid_vjp *v)
{
    lucid_tensor *x = lucid_saved_input(v, 0);
    v->grad_in[0] = own_double(own_double(own_mul(v->grad_out[0], own_mul(own_square(x), x))));
    return true;
}

Test(apply, composes_where_there_is_no_kernel)
{
    lucid_op quad = own_square_op;
    quad.name = "quad";
    quad.id = 0;
    memset(quad.kernels, 0, sizeof quad.kernels);
    quad.compose = quad_compose;
    quad.vjp = quad_vjp;
    lucid_tensor *x = OWN_LEAF((2), 1, 2), *y = lucid_apply(&quad, &x, 1, NULL);
    OWN_EXPECT(y, 1, 16);
    cr_expect_str_eq(lucid_grad_fn_name(y), "quad");
    cr_expect_eq(lucid_live().nodes, 1);
    cr_expect(lucid_backward(y, .gradient = OWN_DATA((2), 1, 1)));
    OWN_GRAD(x, 4, 32);
    lucid_tensor *d = OWN_DATA((2), 1, 2);
    cr_expect_eq(lucid_apply_inplace(&quad, &d, 1, NULL), d);
    OWN_EXPECT(d, 1, 16);
}

static bool pass_compose(const lucid_call *c, lucid_tensor **out)
{
    out[0] = c->in[0];
    return true;
}

/* An operator that answers with its input does not give that input another history. */
Test(apply, composed_output_may_be_an_input)
{
    lucid_op pass = own_double_op;
    pass.kernel = NULL;
    pass.compose = pass_compose;
    lucid_tensor *x = OWN_LEAF((2), 1, 2), *y = lucid_apply(&pass, &x, 1, NULL);
    cr_expect_neq(x, y);
    cr_expect(lucid_is_leaf(x));
    cr_expect_not(lucid_is_leaf(y));
}

static const char count_kernel_name[] = "the way that the plan has chosen";
static bool refuse_to_plan;

static bool count_kernel(const lucid_kernel_args *args)
{
    own_set(args->in[1], 0, own_get(args->in[1], 0) + 1);
    cr_expect_eq(args->plan->workspace, 4096);
    cr_expect_eq(args->plan->threads, 3);
    cr_expect_eq(args->plan->algorithm, count_kernel_name);
    cr_expect_eq((uintptr_t)args->workspace % 64, 0);
    memset(args->workspace, 1, args->plan->workspace);
    return own_run(&(lucid_kernel_args){.n_in = 1, .in = args->in, .out = args->out},
                   own_fn_square);
}
static int plans; /* that were made */
static bool count_plan(const lucid_kernel_args *args, lucid_plan *plan)
{
    cr_expect_null(args->plan);
    cr_expect_null(args->workspace);
    cr_expect_eq(plan->workspace, 0);
    plan->workspace = 4096;
    plan->threads = 3;
    plan->algorithm = count_kernel_name;
    plans++;
    return !refuse_to_plan || lucid_raise(LUCID_ERR_ARGUMENT, "count", "no plan");
}

static uint32_t mutates_the_counter(const lucid_call *c)
{
    (void)c;
    return 2;
}

Test(apply, mutated_inputs_and_a_plan)
{
    static const lucid_op count_op = {.name = "count",
                                      .schema = "x, counter",
                                      .id = LUCID_OP_CUSTOM,
                                      .n_in = 2,
                                      .n_out = 1,
                                      .mutates = mutates_the_counter,
                                      .kernel = count_kernel,
                                      .plan = count_plan};
    lucid_tensor *x = OWN_DATA((1), 3), *counter = OWN_DATA((1), 0);
    OWN_EXPECT(lucid_apply(&count_op, (lucid_tensor *[]){x, counter}, 2, NULL), 9);
    OWN_EXPECT(counter, 1);
    cr_expect_eq(lucid_tensor_version(counter), 1);
    cr_expect_eq(lucid_tensor_version(x), 0);
    cr_expect_eq(plans, 1);
    /* Without a plan there is no run, and nothing was written. */
    refuse_to_plan = true;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_expect_null(lucid_apply(&count_op, (lucid_tensor *[]){x, counter}, 2, NULL));
    cr_expect_str_eq(lucid_error(), "count: no plan");
    lucid_clear_error();
    OWN_EXPECT(counter, 1);
    cr_expect_eq(lucid_tensor_version(counter), 1);
}

/* An operator of lucid says itself what it writes: whoever applies it by its name has no version to
 * raise. */
Test(apply, running_statistics_change_where_batch_norm_is_applied_by_name)
{
    const lucid_op *batch_norm = lucid_op_find("batch_norm");
    cr_assert_not_null(batch_norm);
    lucid_batch_norm_attrs attrs = {.eps = 1e-5, .momentum = 0.5, .training = true};
    lucid_tensor *x = OWN_DATA((2, 1), 1, 3), *mean = OWN_DATA((1), 0), *var = OWN_DATA((1), 1);
    lucid_tensor *w = OWN_LEAF((1), 1);
    lucid_tensor *used = own_mul(w, mean); /* it saves the running mean for its backward */
    lucid_tensor *in[8] = {x, NULL, NULL, mean, var, NULL, NULL, NULL};
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_assert(lucid_apply(batch_norm, in, 8, &attrs), "%s", lucid_error());
    OWN_EXPECT(mean, 1);
    cr_expect_eq(lucid_tensor_version(mean), 1);
    cr_expect_eq(lucid_tensor_version(var), 1);
    cr_expect_eq(lucid_tensor_version(x), 0);
    cr_expect_not(lucid_backward(used));
    cr_expect(strstr(lucid_error(), "was modified in place"), "%s", lucid_error());
    lucid_clear_error();

    /* With statistics that were given, and in eval mode, it writes none. */
    attrs.momentum = -1;
    cr_assert(lucid_apply(batch_norm, in, 8, &attrs), "%s", lucid_error());
    attrs = (lucid_batch_norm_attrs){.eps = 1e-5, .momentum = 0.5};
    cr_assert(lucid_apply(batch_norm, in, 8, &attrs), "%s", lucid_error());
    cr_expect_eq(lucid_tensor_version(mean), 1);
    cr_expect_eq(lucid_tensor_version(var), 1);
}

/* ---- gradient mode ---- */

static void *mode_of_new_thread(void *unused)
{
    (void)unused;
    return lucid_is_grad_enabled() ? "on" : NULL;
}

Test(apply, gradient_mode_nests_and_is_the_threads_own)
{
    lucid_tensor *x = OWN_LEAF((1), 3);
    cr_expect(lucid_is_grad_enabled());
    {
        LUCID_NO_GRAD;
        cr_expect_not(lucid_is_grad_enabled());
        cr_expect_not(lucid_requires_grad(own_square(x)));
        {
            LUCID_ENABLE_GRAD;
            cr_expect(lucid_requires_grad(own_square(x)));
            {
                LUCID_NO_GRAD;
                cr_expect_not(lucid_requires_grad(own_square(x)));
            }
            cr_expect(lucid_is_grad_enabled());
        }
        cr_expect_not(lucid_is_grad_enabled());
        pthread_t thread;
        void *mode;
        cr_assert_eq(pthread_create(&thread, NULL, mode_of_new_thread, NULL), 0);
        pthread_join(thread, &mode);
        cr_expect_not_null(mode);
    }
    cr_expect(lucid_is_grad_enabled());
    cr_expect(lucid_set_grad_enabled(false));
    cr_expect_not(lucid_set_grad_enabled(true));
    cr_expect_eq(lucid_live().nodes, 1);
}

static lucid_tensor *returns_early(lucid_tensor *x)
{
    LUCID_NO_GRAD;
    if (lucid_numel(x) == 1) return own_square(x);
    return x;
}

Test(apply, no_grad_ends_with_a_return)
{
    cr_expect_not(lucid_requires_grad(returns_early(OWN_LEAF((1), 3))));
    cr_expect(lucid_is_grad_enabled());
}

/* ---- tensors in the graph ---- */

Test(apply, requires_grad)
{
    lucid_tensor *x = OWN_DATA((2), 1, 2);
    cr_expect(lucid_is_leaf(x));
    cr_expect_not(lucid_requires_grad(own_square(x)));
    cr_expect_eq(lucid_requires_grad_(x, true), x);
    lucid_tensor *y = own_square(x);
    cr_expect(lucid_requires_grad(y) && !lucid_is_leaf(y));
    cr_expect_str_eq(lucid_grad_fn_name(y), "own_square");
    cr_expect_str_eq(lucid_grad_fn_name(x), "");
    cr_expect_eq(lucid_requires_grad_(y, true), y);
    cr_expect_null(lucid_requires_grad_(y, false));
    OWN_EXPECT_ERROR(
        "requires_grad_: tensor: expected a leaf, got a result of own_square; use lucid_detach");
    cr_expect_null(lucid_requires_grad_(lucid_zeros((2), .dtype = LUCID_I64), true));
    OWN_EXPECT_ERROR("requires_grad_: tensor: expected a floating dtype, got int64");
    lucid_tensor *d = lucid_detach(y);
    cr_expect(!lucid_requires_grad(d) && lucid_is_leaf(d) && lucid_shares_storage(d, y));
    cr_expect_null(lucid_requires_grad_(NULL, true));
    OWN_EXPECT_ERROR("requires_grad_: tensor: expected a tensor, got NULL");
    cr_expect_null(lucid_detach(NULL));
    OWN_EXPECT_ERROR("detach: tensor: expected a tensor, got NULL");
    cr_expect_not(lucid_requires_grad(NULL));
    cr_expect_not(lucid_is_leaf(NULL));
}

Test(apply, set_grad)
{
    lucid_tensor *x = OWN_LEAF((2), 1, 2), *g = OWN_DATA((2), 5, 6);
    cr_expect(lucid_set_grad(x, g));
    cr_expect_eq(lucid_tensor_grad(x), g);
    cr_expect(lucid_backward(own_double(x), .gradient = OWN_DATA((2), 1, 1)));
    OWN_GRAD(x, 7, 8);
    cr_expect_not(lucid_set_grad(x, OWN_DATA((3), 1, 2, 3)));
    OWN_EXPECT_ERROR("set_grad: grad: expected [2] float64 on cpu, got [3] float64 on cpu");
    cr_expect_not(lucid_set_grad(x, lucid_ones((2))));
    OWN_EXPECT_ERROR("set_grad: grad: expected [2] float64 on cpu, got [2] float32 on cpu");
    cr_expect_not(lucid_set_grad(x, x));
    OWN_EXPECT_ERROR("set_grad: grad: a tensor cannot be its own");
    cr_expect(lucid_set_grad(x, NULL));
    cr_expect_null(lucid_tensor_grad(x));
    cr_expect_not(lucid_set_grad(NULL, g));
    cr_expect_null(lucid_tensor_grad(NULL));
}
