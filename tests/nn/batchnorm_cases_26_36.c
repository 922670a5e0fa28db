/* BatchNorm, cases 26 to 36 of that list (32 is for several processes): second derivatives, changes
 * in place, frozen layers, old checkpoints, refusals. */
#include "tests/nn/batchnorm.h"

#include "lucid/core/attrs.h"
#include "lucid/core/backend.h"

TEST_SUITE_ON_DEVICE(batchnorm);

static lucid_dtype wide_of(const bn_run *r)
{
    return r->dtype == LUCID_F64 ? LUCID_F64 : LUCID_F32;
}

/* ---- 26 to 28 -------------------------------------------------------------------------------- */

typedef struct normalise {
    bool training;
    lucid_tensor *mean, *var;
} normalise;

static bool batch_norm_of(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                          void *user)
{
    const normalise *o = user;
    out[0] = lucid_batch_norm(in[0], .weight = n > 1 ? in[1] : NULL, .bias = n > 2 ? in[2] : NULL,
                              .running_mean = o->mean, .running_var = o->var,
                              .training = o->training, .momentum = 0);
    *n_out = 1;
    return out[0] != NULL;
}

Test(batchnorm, case26_double_backward)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    bn_vectors("case26", 2);
    static const char *const layouts[] = {"contiguous", "channels_last"};
    for (int i = 0; i < 8; i++) {
        LUCID_SCOPE;
        lucid_manual_seed(11);
        lucid_shape shape = i & 4 ? LUCID_SHAPE(5, 3) : LUCID_SHAPE(2, 3, 2, 3);
        lucid_tensor *in[3] = {lay_out(bn_normal(shape, LUCID_F64, 1, 2), layouts[i & 1]),
                               bn_normal(LUCID_SHAPE(3), LUCID_F64, 1, 0.3),
                               bn_normal(LUCID_SHAPE(3), LUCID_F64, 0, 1)};
        for (int k = 0; k < 3; k++) lucid_requires_grad_(in[k], true);
        normalise o = {.training = i & 2};
        if (!o.training) {
            o.mean = bn_normal(LUCID_SHAPE(3), LUCID_F64, 0, 1);
            o.var = lucid_uniform_(bn_normal(LUCID_SHAPE(3), LUCID_F64, 0, 1), 0.5, 2);
        }
        for (size_t n = test_is_slow() ? 3 : 1; n <= 3; n++) {
            cr_expect(lucid_gradcheck(batch_norm_of, &o, in, n, NULL), "%d: %s", i, lucid_error());
            lucid_clear_error();
            cr_expect(lucid_gradgradcheck(batch_norm_of, &o, in, n, NULL), "%d: %s", i,
                      lucid_error());
            lucid_clear_error();
        }
    }
}

static void case27(bn_run r)
{
    LUCID_SCOPE;
    lucid_module *m = bn_module(&r, wide_of(&r));
    lucid_set_training(m, r.training);
    lucid_tensor *values = lay_out(bn_normal(r.shape, r.dtype, 1, 1), r.layout), *dx[2];
    for (int i = 0; i < 2; i++) {
        lucid_tensor *x = lucid_requires_grad_(lucid_detach(values), true);
        lucid_tensor *y = lucid_forward(m, x);
        y = i ? lucid_relu_(y) : lucid_relu(y);
        cr_assert(lucid_backward(lucid_sum(y)), "%s", lucid_error());
        dx[i] = lucid_tensor_grad(x);
    }
    cr_expect(lucid_equal(dx[0], dx[1]));
    lucid_tensor *x = lucid_requires_grad_(lucid_clone(values, LUCID_PRESERVE), true);
    lucid_tensor *input = lucid_mul_scalar(x, 2);
    lucid_tensor *y = lucid_forward(m, input);
    lucid_add_scalar_(input, 1);
    EXPECT_ERROR(lucid_backward(lucid_sum(y)), LUCID_ERR_STATE, "batch_norm");
    lucid_module_free(m);
}

Test(batchnorm, case27_in_place_after_and_before)
{
    bn_vectors("case27", 1);
    bn_everywhere(case27);
}

static void case28(bn_run r)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_module *m = bn_module(&r, wide_of(&r));
    lucid_set_training(m, r.training);
    lucid_tensor *mean = lucid_get_buffer(m, "running_mean");
    cr_assert(lucid_forward(m, bn_normal(r.shape, r.dtype, 5, 1)));
    cr_expect((lucid_at(mean, LUCID_SHAPE(0)) > 0.3) == r.training);
    cr_expect(lucid_item(lucid_get_buffer(m, "num_batches_tracked")) == (r.training ? 1 : 0));
    lucid_module_free(m);
}

Test(batchnorm, case28_no_grad_updates_the_statistics)
{
    bn_vectors("case28", 1);
    bn_everywhere(case28);
}

/* ---- 29 to 31 -------------------------------------------------------------------------------- */

Test(batchnorm, case29_frozen)
{
    LUCID_SCOPE;
    bn_vectors("case29", 1);
    lucid_module *bn = nn_BatchNorm2d(2), *net = nn_Sequential(bn, nn_ReLU());
    lucid_module_requires_grad(bn, false);
    lucid_tensor *x = bn_normal(LUCID_SHAPE(4, 2, 3, 3), LUCID_F32, 4, 1);
    lucid_tensor *counter = lucid_get_buffer(bn, "num_batches_tracked");
    cr_expect(!lucid_requires_grad(lucid_forward(net, x)));
    cr_expect(lucid_item(counter) == 1, "frozen parameters do not stop the statistics");
    lucid_eval(bn);
    lucid_forward(net, x);
    cr_expect(lucid_item(counter) == 1, "eval does");
    lucid_train(net);
    lucid_forward(net, x);
    cr_expect(lucid_item(counter) == 2, "a parent's train undoes a child's eval");
    lucid_module_free(net);
}

Test(batchnorm, case30_old_checkpoints)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_BatchNorm2d(2)), *from = nn_Sequential(nn_BatchNorm2d(2));
    lucid_tensor *counter = lucid_get_buffer(net, "0.num_batches_tracked");
    lucid_state_dict *s = lucid_module_state_dict(from);
    lucid_state_dict_remove(s, "0.num_batches_tracked");
    lucid_init_constant(lucid_get_buffer(from, "0.running_mean"), 6);
    for (int64_t version = -1; version <= 2; version++) {
        if (version == 0) continue;
        lucid_fill_(counter, 5);
        lucid_zero_(lucid_get_buffer(net, "0.running_mean"));
        lucid_state_dict_set_version(s, "0", version);
        if (version < 2) {
            cr_expect(lucid_load_state_dict(net, s), "%s", lucid_error());
            EXPECT_VALUES(lucid_get_buffer(net, "0.running_mean"), 0, 0, {6, 6});
        } else {
            EXPECT_ERROR(lucid_load_state_dict(net, s), LUCID_ERR_FORMAT,
                         "missing: 0.num_batches_tracked");
            EXPECT_VALUES(lucid_get_buffer(net, "0.running_mean"), 0, 0, {0, 0});
            cr_expect(lucid_load_state_dict(net, s, .strict = false));
        }
        cr_expect(lucid_item(counter) == 5);
    }
    lucid_state_dict_free(s);
    lucid_module_free(from);
    lucid_module_free(net);
}

static void case31(bn_run r)
{
    LUCID_SCOPE;
    if (!r.training || r.functional) return;
    lucid_module *m[2] = {bn_module(&r, wide_of(&r)), bn_module(&r, wide_of(&r))};
    lucid_tensor *values = lay_out(bn_normal(r.shape, r.dtype, 1, 1), r.layout), *x[2];
    for (int i = 0; i < 2; i++) {
        x[i] = lucid_requires_grad_(lucid_detach(values), true);
        lucid_tensor *y = i ? lucid_checkpoint(m[i], x[i]) : lucid_forward(m[i], x[i]);
        cr_assert(lucid_backward(lucid_sum(lucid_square(y))), "%s", lucid_error());
    }
    static const char *const names[] = {"running_mean", "running_var", "num_batches_tracked"};
    for (int k = 0; k < 3; k++)
        cr_expect(lucid_equal(lucid_get_buffer(m[0], names[k]), lucid_get_buffer(m[1], names[k])),
                  "%s", names[k]);
    cr_expect(lucid_equal(lucid_tensor_grad(x[0]), lucid_tensor_grad(x[1])));
    cr_expect(lucid_equal(lucid_tensor_grad(lucid_get_parameter(m[0], "weight")),
                          lucid_tensor_grad(lucid_get_parameter(m[1], "weight"))));
    lucid_module_free(m[0]);
    lucid_module_free(m[1]);
}

Test(batchnorm, case31_recomputing_counts_once)
{
    bn_everywhere(case31);
}

/* ---- 33 to 36 -------------------------------------------------------------------------------- */

static void case33(bn_run r)
{
    LUCID_SCOPE;
    if (!r.training) return;
    lucid_module *m = bn_module(&r, wide_of(&r));
    nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
    lucid_tensor *x = lay_out(bn_normal(r.shape, r.dtype, 1, 2), r.layout);
    lucid_requires_grad_(x, true);
    lucid_tensor *y =
        r.functional ? lucid_batch_norm(x, .weight = bn->weight, .bias = bn->bias, .training = true)
                     : lucid_forward(m, x);
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = r.dtype;
    cr_assert(lucid_backward(y, .gradient = lucid_ones_opt(r.shape, &o)), "%s", lucid_error());
    double t = r.dtype == LUCID_F64 ? 1e-14 : 1e-5;
    lucid_tensor *zero = lucid_zeros_opt(r.shape, NULL);
    cr_expect(lucid_allclose(lucid_tensor_grad(x), zero, 0, t, false), "dx");
    cr_expect(lucid_allclose(lucid_tensor_grad(bn->weight), lucid_zeros((3)), 0, 30 * t, false),
              "dw");
    EXPECT_VALUES(lucid_tensor_grad(bn->bias), 0, 0, {120, 120, 120});
    lucid_module_free(m);
}

Test(batchnorm, case33_sum_of_the_output)
{
    bn_vectors("case33", 2);
    bn_everywhere(case33);
}

Test(batchnorm, case34_refusals_name_layer_and_argument)
{
    LUCID_SCOPE;
    bn_vectors("case34", 11);
    lucid_module *bn = nn_BatchNorm2d(3), *plain = nn_BatchNorm2d(3, .affine = false);
    EXPECT_ERROR(lucid_forward(bn, lucid_ones((2, 3, 4))), LUCID_ERR_ARGUMENT,
                 "BatchNorm2d: input: expected 4-D [N,C,H,W], got 3-D [2,3,4]");
    EXPECT_ERROR(lucid_forward(plain, lucid_ones((2, 4, 2, 2))), LUCID_ERR_ARGUMENT,
                 "BatchNorm2d: input: expected 3 channels [N,3,...], got [2,4,2,2]");
    lucid_tensor *x = lucid_ones((2, 3, 2, 2)), *three = lucid_ones((3)), *two = lucid_ones((2));
    EXPECT_ERROR(lucid_batch_norm(x, .weight = two, .training = true), LUCID_ERR_ARGUMENT,
                 "weight: expected [3]");
    EXPECT_ERROR(lucid_batch_norm(x, .bias = two, .training = true), LUCID_ERR_ARGUMENT,
                 "bias: expected [3]");
    EXPECT_ERROR(lucid_batch_norm(x, .running_mean = two, .running_var = three), LUCID_ERR_ARGUMENT,
                 "running_mean: expected [3]");
    EXPECT_ERROR(lucid_batch_norm(x, .running_mean = three, .running_var = two), LUCID_ERR_ARGUMENT,
                 "running_var: expected [3]");
    EXPECT_ERROR(lucid_forward(bn, lucid_ones((2, 3, 2, 2), .dtype = LUCID_I64)),
                 LUCID_ERR_ARGUMENT, "int64");
    EXPECT_ERROR(nn_BatchNorm2d(-1), LUCID_ERR_ARGUMENT, "BatchNorm2d: num_features");
    EXPECT_ERROR(nn_BatchNorm2d(3, .eps = -1), LUCID_ERR_ARGUMENT, "BatchNorm2d: eps");
    EXPECT_ERROR(nn_BatchNorm2d(3, .momentum = -0.1), LUCID_ERR_ARGUMENT, "BatchNorm2d: momentum");
    if (test_device().type != LUCID_CPU)
        EXPECT_ERROR(lucid_forward(bn, lucid_ones((2, 3, 2, 2), .device = lucid_cpu())),
                     LUCID_ERR_ARGUMENT, "expected a tensor on cpu, got cuda:0");
    cr_expect(lucid_item(lucid_get_buffer(bn, "num_batches_tracked")) == 0);
    lucid_module_free(plain);
    lucid_module_free(bn);
}

static void case35(bn_run r)
{
    LUCID_SCOPE;
    if (!r.training || (r.dtype != LUCID_F32 && r.dtype != LUCID_F64)) return;
    r.momentum = 1;
    lucid_module *m = bn_module(&r, wide_of(&r));
    lucid_tensor *x = lay_out(bn_normal(r.shape, r.dtype, 0, 1e-12), r.layout);
    cr_assert(lucid_forward(m, x), "%s", lucid_error());
    double *v = bn_doubles(x), *got = bn_doubles(lucid_get_buffer(m, "running_var"));
    double mean[3], var[3];
    bn_statistics(v, 4, 3, 30, mean, var);
    for (int i = 0; i < 3; i++)
        cr_expect(testing_close(got[i], var[i] * 120 / 119, 1e-6, 0), "expected %g, got %g",
                  var[i] * 120 / 119, got[i]);
    free(v);
    free(got);
    lucid_module_free(m);
}

Test(batchnorm, case35_running_var_comes_from_the_variance)
{
    bn_vectors("case35", 4);
    bn_everywhere(case35);
}

/* Records which gradients the kernel of the backward is asked for. */
static lucid_kernel watched;
static uint32_t wanted;
static int64_t made[3];

static bool watch(const lucid_kernel_args *args)
{
    wanted = ((const lucid_batch_norm_attrs *)args->attrs)->want;
    for (int i = 0; i < 3; i++) {
        made[i] = 1;
        for (int d = 0; d < args->out[i]->ndim; d++) made[i] *= args->out[i]->dims[d];
    }
    return watched.run(args);
}

Test(batchnorm, case36_only_what_is_needed_is_computed)
{
    lucid_backend *b = (lucid_backend *)(uintptr_t)lucid_backend_get(test_device().type);
    watched = b->kernels[LUCID_OP_batch_norm_backward][LUCID_F32];
    b->kernels[LUCID_OP_batch_norm_backward][LUCID_F32].run = watch;
    for (int needs = 1; needs < 8; needs++) {
        LUCID_SCOPE;
        lucid_module *m = nn_BatchNorm2d(3);
        nn_BatchNormBase *bn = lucid_self(m, nn_BatchNormBase);
        lucid_tensor *x = lucid_randn((2, 3, 4, 4));
        lucid_requires_grad_(x, needs & 1);
        lucid_requires_grad_(bn->weight, needs & 2);
        lucid_requires_grad_(bn->bias, needs & 4);
        wanted = 8;
        cr_assert(lucid_backward(lucid_sum(lucid_forward(m, x))), "%s", lucid_error());
        if (needs != 4) { /* the bias alone is a plain sum */
            cr_expect(wanted == (uint32_t)needs, "needs %d: asked for %u", needs, wanted);
            cr_expect((made[0] != 0) == (needs & 1) && (made[1] != 0) == (needs >> 1 & 1) &&
                      (made[2] != 0) == (needs >> 2 & 1));
        }
        cr_expect((lucid_tensor_grad(x) != NULL) == (needs & 1));
        cr_expect((lucid_tensor_grad(bn->weight) != NULL) == (needs >> 1 & 1));
        cr_expect((lucid_tensor_grad(bn->bias) != NULL) == (needs >> 2 & 1));
        lucid_module_free(m);
    }
    b->kernels[LUCID_OP_batch_norm_backward][LUCID_F32] = watched;
}
