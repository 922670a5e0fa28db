/* The gradient scaler: PyTorch's sequences, every optimizer, clipping, state, and what is
 * refused. */
#include "lucid/lucid.h"
#include "tests/reference/vectors.h"
#include "tests/testing.h"

#include <stdio.h>

static lucid_tensor *parameter(lucid_tensor *values)
{
    return lucid_requires_grad_(lucid_clone(values, LUCID_CONTIGUOUS), true);
}

static lucid_optimizer *optimizer_of(lucid_tensor *p, double lr, double momentum)
{
    lucid_optimizer *opt = lucid_optim_new("SGD", NULL);
    cr_assert(opt && lucid_optim_add_group(opt, &p, 1, NULL), "%s", lucid_error());
    lucid_optim_options o = lucid_optim_get_options(opt, 0);
    o.lr = lr;
    o.momentum = momentum;
    cr_assert(lucid_optim_set_options(opt, 0, &o), "%s", lucid_error());
    return opt;
}

/* A gradient of that value everywhere, times the scale. */
static void backward(lucid_grad_scaler *s, lucid_tensor *p, double value)
{
    lucid_set_grad(p, NULL);
    lucid_tensor *loss = lucid_sum(lucid_mul_scalar(p, value));
    cr_assert(lucid_backward(lucid_grad_scaler_scale(s, loss)), "%s", lucid_error());
}

/* ---- beside PyTorch -------------------------------------------------------------------------- */

static lucid_tensor *stored(const vectors *v, const char *name, const char *role)
{
    char key[128];
    snprintf(key, sizeof key, "%s/%s", name, role);
    return vectors_tensor(v, key);
}

static void spoil(lucid_tensor *grad, char kind)
{
    LUCID_NO_GRAD;
    if (kind == 'i') lucid_fill_(lucid_select(grad, 0, 2), INFINITY);
    if (kind == 'n') lucid_fill_(lucid_select(grad, 0, 4), NAN);
}

static void follow(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    char name[64], steps[64];
    snprintf(name, sizeof name, "%s", vectors_name(c));
    snprintf(steps, sizeof steps, "%s", vectors_get(c, "steps"));
    lucid_grad_scaler_options o = lucid_grad_scaler_defaults;
    o.init_scale = vectors_double(c, "init_scale", o.init_scale);
    o.growth_factor = vectors_double(c, "growth_factor", o.growth_factor);
    o.backoff_factor = vectors_double(c, "backoff_factor", o.backoff_factor);
    o.growth_interval = vectors_int(c, "growth_interval", o.growth_interval);
    lucid_grad_scaler *s = lucid_grad_scaler_new(&o);
    lucid_tensor *p = parameter(stored(v, name, "param"));
    lucid_optimizer *opt = optimizer_of(p, 0.1, 0.9);
    lucid_tensor *coefficients = stored(v, name, "coefficients"), *after = stored(v, name, "after");
    lucid_tensor *scale = stored(v, name, "scale"), *tracker = stored(v, name, "tracker");
    lucid_tensor *skipped = stored(v, name, "skipped");
    for (int k = 0; steps[k]; k++) {
        LUCID_SCOPE;
        lucid_zero_grad(opt);
        lucid_tensor *loss = lucid_sum(lucid_mul(p, lucid_select(coefficients, 0, k)));
        cr_assert(lucid_backward(lucid_grad_scaler_scale(s, loss)), "%s", lucid_error());
        spoil(lucid_tensor_grad(p), steps[k]);
        cr_assert(lucid_grad_scaler_step(s, opt) && lucid_grad_scaler_update(s), "%s",
                  lucid_error());
        cr_expect(lucid_grad_scaler_skipped(s, opt) == (lucid_at(skipped, LUCID_SHAPE(k)) != 0),
                  "%s: step %d", name, k);
        cr_expect(lucid_grad_scaler_get_scale(s) == lucid_at(scale, LUCID_SHAPE(k)),
                  "%s: step %d: scale: expected %.9g, got %.9g", name, k,
                  lucid_at(scale, LUCID_SHAPE(k)), lucid_grad_scaler_get_scale(s));
        cr_expect(lucid_grad_scaler_growth_tracker(s) == lucid_at(tracker, LUCID_SHAPE(k)),
                  "%s: step %d: tracker", name, k);
        cr_expect(lucid_allclose(p, lucid_select(after, 0, k), 1e-5, 1e-6, false), "%s: step %d",
                  name, k);
    }
    lucid_optimizer_free(opt);
    lucid_grad_scaler_free(s);
}

Test(grad_scaler, follows_torchs_sequences)
{
    vectors *v = vectors_open("amp");
    int cases = 0;
    for (const vectors_case *c; (c = vectors_next(v));) {
        if (strcmp(vectors_get(c, "op"), "GradScaler") != 0) continue;
        follow(v, c);
        cases++;
    }
    cr_expect(cases == 5, "%d cases", cases);
    vectors_close(v);
    cr_expect(lucid_finish() == 0);
}

/* With each overflow the scale becomes smaller, but never so small that 1 / scale is no number. */
Test(grad_scaler, the_scale_has_a_floor)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_ones((2)));
    lucid_optimizer *opt = optimizer_of(p, 1, 0);
    for (int k = 0; k < 2; k++) {
        lucid_grad_scaler *s = optim_GradScaler(.backoff_factor = k ? 1e-30 : 0.5);
        for (int i = 0; i < 300; i++) {
            LUCID_SCOPE;
            lucid_set_grad(p, lucid_full((2), INFINITY));
            cr_assert(lucid_grad_scaler_step(s, opt) && lucid_grad_scaler_update(s));
            cr_assert(lucid_grad_scaler_skipped(s, opt));
        }
        cr_expect(lucid_grad_scaler_get_scale(s) == 0x1p-126, "%g", lucid_grad_scaler_get_scale(s));
        lucid_state_dict *d = lucid_grad_scaler_state_dict(s);
        cr_expect(d && lucid_grad_scaler_load_state_dict(s, d), "%s", lucid_error());
        lucid_state_dict_free(d);
        lucid_set_grad(p, lucid_full((2), 0x1p-126));
        cr_assert(lucid_grad_scaler_step(s, opt) && !lucid_grad_scaler_skipped(s, opt));
        EXPECT_VALUES(p, 0, 0, {-k, -k}); /* from 1 by 1, and again */
        lucid_grad_scaler_free(s);
    }
    lucid_optimizer_free(opt);
}

/* A gradient that is finite and, divided by a scale below 1, no longer is. */
Test(grad_scaler, a_gradient_that_overflows_when_unscaled_leaves_the_step_out)
{
    static const lucid_dtype dtypes[] = {LUCID_F32, LUCID_BF16};
    for (int i = 0; i < 2; i++) {
        LUCID_SCOPE;
        lucid_tensor *p = lucid_requires_grad_(lucid_ones((5), .dtype = dtypes[i]), true);
        lucid_optimizer *opt = optimizer_of(p, 1, 0);
        lucid_grad_scaler *s = optim_GradScaler(.init_scale = 0.5);
        lucid_set_grad(p, lucid_full((5), 3e38, .dtype = dtypes[i]));
        cr_assert(lucid_grad_scaler_step(s, opt) && lucid_grad_scaler_update(s));
        cr_expect(lucid_grad_scaler_skipped(s, opt), "%s", lucid_dtype_name(dtypes[i]));
        EXPECT_VALUES(p, 0, 0, {1, 1, 1, 1, 1});
        cr_expect(lucid_grad_scaler_get_scale(s) == 0.25);
        lucid_optimizer_free(opt);
        lucid_grad_scaler_free(s);
    }
}

/* ---- with everything else -------------------------------------------------------------------- */

/* With powers of two as scales, each optimizer gives the same bits as without a scaler. */
Test(grad_scaler, every_optimizer_steps_as_without_it)
{
    static const char *const kinds[] = {"SGD", "Adam", "AdamW", "Adadelta"};
    for (int kind = 0; kind < 4; kind++) {
        LUCID_SCOPE;
        lucid_tensor *start = lucid_randn((3, 4)), *p[2];
        lucid_grad_scaler *s = optim_GradScaler(.init_scale = 256, .growth_interval = 2);
        for (int scaled = 0; scaled < 2; scaled++) {
            p[scaled] = parameter(start);
            lucid_optimizer *opt = lucid_optim_new(kinds[kind], NULL);
            cr_assert(opt && lucid_optim_add_group(opt, &p[scaled], 1, NULL));
            for (int k = 0; k < 5; k++) {
                LUCID_SCOPE;
                lucid_zero_grad(opt);
                lucid_tensor *loss = lucid_sum(lucid_square(p[scaled]));
                cr_assert(lucid_backward(scaled ? lucid_grad_scaler_scale(s, loss) : loss));
                cr_assert(scaled ? lucid_grad_scaler_step(s, opt) && lucid_grad_scaler_update(s)
                                 : lucid_step(opt),
                          "%s", lucid_error());
            }
            lucid_optimizer_free(opt);
        }
        cr_expect(lucid_equal(p[0], p[1]), "%s", kinds[kind]);
        cr_expect(lucid_grad_scaler_get_scale(s) == 1024);
        lucid_grad_scaler_free(s);
    }
}

Test(grad_scaler, clipping_sees_unscaled_gradients)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_zeros((4)));
    lucid_optimizer *opt = optimizer_of(p, 1, 0);
    lucid_grad_scaler *s = optim_GradScaler();
    backward(s, p, 3);
    EXPECT_VALUES(lucid_tensor_grad(p), 0, 0, {196608, 196608, 196608, 196608});
    cr_assert(lucid_grad_scaler_unscale_(s, opt));
    EXPECT_VALUES(lucid_tensor_grad(p), 0, 0, {3, 3, 3, 3});
    double norm = lucid_clip_grad_norm_list(&p, 1, 1, NULL);
    cr_expect(fabs(norm - 6) < 1e-6);
    cr_assert(lucid_grad_scaler_step(s, opt)); /* does not unscale a second time */
    EXPECT_VALUES(p, 1e-6, 0, {-0.5, -0.5, -0.5, -0.5});
    cr_assert(lucid_grad_scaler_update(s));
    lucid_optimizer_free(opt);
    lucid_grad_scaler_free(s);
}

/* One infinity skips the step of its optimizer only, and lowers the scale once for both. */
Test(grad_scaler, several_optimizers)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_zeros((2))), *q = parameter(lucid_zeros((2)));
    lucid_optimizer *a = optimizer_of(p, 1, 0), *b = optimizer_of(q, 1, 0);
    lucid_grad_scaler *s = optim_GradScaler(.init_scale = 16);
    backward(s, p, INFINITY);
    backward(s, q, 1);
    cr_assert(lucid_grad_scaler_step(s, a) && lucid_grad_scaler_step(s, b));
    cr_expect(lucid_grad_scaler_skipped(s, a) && !lucid_grad_scaler_skipped(s, b));
    EXPECT_VALUES(p, 0, 0, {0, 0});
    EXPECT_VALUES(q, 0, 0, {-1, -1});
    cr_assert(lucid_grad_scaler_update(s));
    cr_expect(lucid_grad_scaler_get_scale(s) == 8);
    backward(s, p, 1); /* what was found is forgotten */
    cr_assert(lucid_grad_scaler_step(s, a) && lucid_grad_scaler_update(s));
    EXPECT_VALUES(p, 0, 0, {-1, -1});
    cr_expect(lucid_grad_scaler_get_scale(s) == 8 && lucid_grad_scaler_growth_tracker(s) == 1);
    backward(s, p, NAN); /* unscaled and then left: the update sees it all the same */
    cr_assert(lucid_grad_scaler_unscale_(s, a) && lucid_grad_scaler_update(s));
    cr_expect(lucid_grad_scaler_get_scale(s) == 4);
    lucid_optimizer_free(a);
    lucid_optimizer_free(b);
    lucid_grad_scaler_free(s);
}

/* Parameters of several dtypes, strided gradients, and some that have none. */
Test(grad_scaler, lists_of_all_kinds)
{
    LUCID_SCOPE;
    lucid_tensor *p[] = {parameter(lucid_zeros((3, 2))),
                         parameter(lucid_zeros((3), .dtype = LUCID_F64)),
                         parameter(lucid_zeros((2), .dtype = LUCID_BF16)),
                         parameter(lucid_zeros((5))), parameter(lucid_zeros((0)))};
    lucid_optimizer *opt = lucid_optim_new("SGD", NULL);
    cr_assert(lucid_optim_add_group(opt, p, 5, NULL));
    lucid_grad_scaler *s = optim_GradScaler(.init_scale = 4);
    lucid_tensor *wide = lucid_full((2, 6), 8);
    lucid_tensor *strided = lucid_transpose(lucid_slice(wide, 1, 0, 6, 2), 0, 1);
    cr_assert(lucid_set_grad(p[0], strided) &&
              lucid_set_grad(p[1], lucid_full((3), 2, .dtype = LUCID_F64)) &&
              lucid_set_grad(p[2], lucid_full((2), 12, .dtype = LUCID_BF16)) &&
              lucid_set_grad(p[4], lucid_zeros((0))));
    uint64_t version = lucid_tensor_version(wide);
    cr_assert(lucid_grad_scaler_unscale_(s, opt), "%s", lucid_error());
    cr_expect(lucid_tensor_version(wide) > version);
    EXPECT_VALUES(wide, 0, 0, {2, 8, 2, 8, 2, 8, 2, 8, 2, 8, 2, 8});
    EXPECT_VALUES(lucid_tensor_grad(p[1]), 0, 0, {0.5, 0.5, 0.5});
    EXPECT_VALUES(lucid_tensor_grad(p[2]), 0, 0, {3, 3});
    cr_assert(lucid_grad_scaler_step(s, opt) && lucid_grad_scaler_update(s));
    lucid_optimizer_free(opt);
    lucid_grad_scaler_free(s);
}

Test(grad_scaler, not_enabled)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_zeros((2)));
    lucid_optimizer *opt = optimizer_of(p, 1, 0);
    lucid_grad_scaler *s = optim_GradScaler(.enabled = false);
    cr_expect(!lucid_grad_scaler_is_enabled(s) && lucid_grad_scaler_get_scale(s) == 1);
    lucid_tensor *loss = lucid_sum(p);
    cr_expect(lucid_grad_scaler_scale(s, loss) == loss);
    cr_assert(lucid_backward(loss));
    for (int i = 0; i < 2; i++)
        cr_assert(lucid_grad_scaler_unscale_(s, opt) && lucid_grad_scaler_step(s, opt) &&
                  lucid_grad_scaler_update(s));
    EXPECT_VALUES(p, 0, 0, {-2, -2});
    lucid_state_dict *d = lucid_grad_scaler_state_dict(s);
    cr_expect(d && lucid_state_dict_size(d) == 0 && lucid_grad_scaler_load_state_dict(s, d));
    lucid_grad_scaler *enabled = optim_GradScaler();
    EXPECT_ERROR(lucid_grad_scaler_load_state_dict(enabled, d), LUCID_ERR_FORMAT,
                 "GradScaler: state: expected that of an enabled scaler, got an empty one");
    lucid_state_dict_free(d);
    lucid_grad_scaler_free(enabled);
    lucid_grad_scaler_free(s);
    lucid_optimizer_free(opt);
}

/* In a float16 scope a loss of 1e-9 a weight has no gradient at all without a scaler. */
Test(grad_scaler, small_gradients_survive_float16)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_ones((2, 2))), *x = lucid_ones((1, 2));
    lucid_optimizer *opt = optimizer_of(p, 1, 0);
    lucid_grad_scaler *s = optim_GradScaler();
    for (int scaled = 0; scaled < 2; scaled++) {
        lucid_zero_grad(opt);
        lucid_tensor *loss;
        {
            LUCID_AUTOCAST(LUCID_F16);
            loss = lucid_mul_scalar(lucid_sum(lucid_linear(x, p, NULL)), 1e-9);
        }
        cr_assert(lucid_backward(scaled ? lucid_grad_scaler_scale(s, loss) : loss));
        if (!scaled) EXPECT_VALUES(lucid_tensor_grad(p), 0, 0, {0, 0, 0, 0});
    }
    cr_assert(lucid_grad_scaler_unscale_(s, opt));
    EXPECT_VALUES(lucid_tensor_grad(p), 1e-3, 0, {1e-9, 1e-9, 1e-9, 1e-9});
    lucid_optimizer_free(opt);
    lucid_grad_scaler_free(s);
}

/* ---- options and state ----------------------------------------------------------------------- */

Test(grad_scaler, options_and_scale)
{
    EXPECT_ERROR(optim_GradScaler(.init_scale = 0), LUCID_ERR_ARGUMENT,
                 "GradScaler: init_scale: expected a finite number of at least 1.17549e-38, got 0");
    EXPECT_ERROR(optim_GradScaler(.init_scale = 1e-39), LUCID_ERR_ARGUMENT, "init_scale");
    EXPECT_ERROR(optim_GradScaler(.init_scale = 1e39), LUCID_ERR_ARGUMENT, "init_scale");
    EXPECT_ERROR(optim_GradScaler(.growth_factor = 1), LUCID_ERR_ARGUMENT,
                 "growth_factor: expected a number > 1, got 1");
    EXPECT_ERROR(optim_GradScaler(.backoff_factor = 1), LUCID_ERR_ARGUMENT,
                 "backoff_factor: expected (0, 1), got 1");
    EXPECT_ERROR(optim_GradScaler(.growth_interval = 0), LUCID_ERR_ARGUMENT,
                 "growth_interval: expected >= 1, got 0");
    lucid_grad_scaler *s = optim_GradScaler();
    lucid_grad_scaler_options o;
    cr_assert(lucid_grad_scaler_get_options(s, &o));
    cr_expect(lucid_grad_scaler_get_scale(s) == 65536 && o.growth_factor == 2 &&
              o.backoff_factor == 0.5 && o.growth_interval == 2000 && o.enabled);
    o.growth_interval = 5;
    cr_expect(lucid_grad_scaler_set_options(s, &o));
    cr_expect(lucid_grad_scaler_get_options(s, &o) && o.growth_interval == 5);
    o.enabled = false;
    EXPECT_ERROR(lucid_grad_scaler_set_options(s, &o), LUCID_ERR_ARGUMENT, "65536 and true");
    EXPECT_ERROR(lucid_grad_scaler_set_options(s, NULL), LUCID_ERR_ARGUMENT, "options");
    lucid_tensor *loss = lucid_values((1), 2);
    EXPECT_VALUES(lucid_grad_scaler_scale(s, loss), 0, 0, {131072});
    cr_expect(lucid_grad_scaler_set_scale(s, 3));
    EXPECT_VALUES(lucid_grad_scaler_scale(s, loss), 0, 0, {6});
    EXPECT_ERROR(lucid_grad_scaler_set_scale(s, NAN), LUCID_ERR_ARGUMENT,
                 "grad_scaler_set_scale: scale: expected a finite number of at least");
    EXPECT_ERROR(lucid_grad_scaler_scale(s, lucid_zeros((1), .dtype = LUCID_I64)),
                 LUCID_ERR_ARGUMENT, "loss: expected a floating dtype, got int64");
    lucid_grad_scaler_free(s);
    lucid_grad_scaler_free(NULL);
}

Test(grad_scaler, state)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_zeros((2)));
    lucid_optimizer *opt = optimizer_of(p, 1, 0);
    lucid_grad_scaler *a = optim_GradScaler(.init_scale = 32, .growth_interval = 3),
                      *b = optim_GradScaler();
    for (int k = 0; k < 5; k++) {
        backward(a, p, 1);
        cr_assert(lucid_grad_scaler_step(a, opt) && lucid_grad_scaler_update(a));
    }
    lucid_state_dict *d = lucid_grad_scaler_state_dict(a);
    cr_assert(d && lucid_state_dict_size(d) == 5 &&
              lucid_state_dict_save(d, "grad_scaler.safetensors"));
    lucid_state_dict *read = lucid_state_dict_load("grad_scaler.safetensors");
    remove("grad_scaler.safetensors");
    lucid_grad_scaler_scale(b, lucid_ones((1))); /* its tensor changes with it */
    cr_assert(lucid_grad_scaler_load_state_dict(b, read), "%s", lucid_error());
    lucid_grad_scaler_options o;
    cr_expect(lucid_grad_scaler_get_scale(b) == 64 && lucid_grad_scaler_growth_tracker(b) == 2 &&
              lucid_grad_scaler_get_options(b, &o) && o.growth_interval == 3);
    EXPECT_VALUES(lucid_grad_scaler_scale(b, lucid_ones((1))), 0, 0, {64});
    cr_assert(lucid_state_dict_set(read, "scale", lucid_values((1), -1)));
    EXPECT_ERROR(lucid_grad_scaler_load_state_dict(b, read), LUCID_ERR_ARGUMENT, "state: scale");
    cr_assert(lucid_state_dict_remove(read, "scale"));
    EXPECT_ERROR(lucid_grad_scaler_load_state_dict(b, read), LUCID_ERR_FORMAT,
                 "GradScaler: state: scale: expected one number, got none");
    cr_expect(lucid_grad_scaler_get_scale(b) == 64);
    lucid_state_dict_free(read);
    lucid_state_dict_free(d);
    lucid_grad_scaler_free(a);
    lucid_grad_scaler_free(b);
    lucid_optimizer_free(opt);
}

/* ---- what is refused ------------------------------------------------------------------------- */

Test(grad_scaler, order_of_calls)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_zeros((2)));
    lucid_optimizer *opt = optimizer_of(p, 1, 0);
    lucid_grad_scaler *s = optim_GradScaler();
    EXPECT_ERROR(lucid_grad_scaler_update(s), LUCID_ERR_STATE, "grad_scaler_update: expected");
    EXPECT_ERROR(lucid_grad_scaler_step(s, opt), LUCID_ERR_STATE,
                 "optimizer: expected at least one gradient, got none");
    backward(s, p, 1);
    cr_assert(lucid_grad_scaler_unscale_(s, opt));
    EXPECT_ERROR(lucid_grad_scaler_unscale_(s, opt), LUCID_ERR_STATE, "got a second");
    cr_assert(lucid_grad_scaler_step(s, opt));
    EXPECT_ERROR(lucid_grad_scaler_unscale_(s, opt), LUCID_ERR_STATE, "got one after it");
    EXPECT_ERROR(lucid_grad_scaler_step(s, opt), LUCID_ERR_STATE,
                 "expected lucid_grad_scaler_update since the last step");
    cr_assert(lucid_grad_scaler_update(s));
    EXPECT_VALUES(p, 0, 0, {-1, -1});
    lucid_raise(LUCID_ERR_STATE, "test", "an error is pending");
    cr_expect(!lucid_grad_scaler_step(s, opt) && !lucid_grad_scaler_unscale_(s, opt) &&
              !lucid_grad_scaler_update(s));
    lucid_clear_error();
    EXPECT_VALUES(p, 0, 0, {-1, -1});
    lucid_optimizer_free(opt);
    lucid_grad_scaler_free(s);
}

Test(grad_scaler, bad_arguments)
{
    LUCID_SCOPE;
    lucid_tensor *p = parameter(lucid_zeros((2), .dtype = LUCID_F16));
    lucid_optimizer *opt = optimizer_of(p, 1, 0);
    lucid_grad_scaler *s = optim_GradScaler(.init_scale = 2);
    cr_assert(lucid_set_grad(p, lucid_ones((2), .dtype = LUCID_F16)));
    EXPECT_ERROR(lucid_grad_scaler_step(s, opt), LUCID_ERR_ARGUMENT,
                 "gradient of parameter 0 of group 0: expected float32, got float16");
    lucid_tensor *q = parameter(lucid_zeros((2)));
    lucid_optimizer *other = optimizer_of(q, 1, 0);
    cr_assert(lucid_set_grad(q, lucid_expand(lucid_ones((1)), (2))), "%s", lucid_error());
    EXPECT_ERROR(lucid_grad_scaler_unscale_(s, other), LUCID_ERR_ARGUMENT, "an expanded tensor");
    lucid_optimizer_free(other);
    EXPECT_ERROR(lucid_grad_scaler_step(NULL, opt), LUCID_ERR_ARGUMENT,
                 "grad_scaler_step: scaler: expected one, got NULL");
    EXPECT_ERROR(lucid_grad_scaler_step(s, NULL), LUCID_ERR_ARGUMENT, "optimizer: expected one");
    EXPECT_ERROR(lucid_grad_scaler_scale(s, NULL), LUCID_ERR_ARGUMENT, "loss");
    EXPECT_ERROR(lucid_grad_scaler_scale(NULL, q), LUCID_ERR_ARGUMENT, "scaler");
    EXPECT_ERROR(lucid_grad_scaler_update(NULL), LUCID_ERR_ARGUMENT, "scaler");
    EXPECT_ERROR(lucid_grad_scaler_get_scale(NULL), LUCID_ERR_ARGUMENT, "scaler");
    EXPECT_ERROR(lucid_grad_scaler_state_dict(NULL), LUCID_ERR_ARGUMENT, "scaler");
    EXPECT_ERROR(lucid_grad_scaler_load_state_dict(s, NULL), LUCID_ERR_ARGUMENT, "state");
    lucid_optimizer_free(opt);
    lucid_grad_scaler_free(s);
}

/* ---- memory runs out ------------------------------------------------------------------------- */

static bool train(void)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_Conv2d(1, 2, 3), nn_BatchNorm2d(2), nn_ReLU(),
                                      nn_Flatten(), nn_Linear(18, 3));
    lucid_optimizer *opt = optim_Adam(net);
    lucid_grad_scaler *s = optim_GradScaler(.init_scale = 64, .growth_interval = 1);
    lucid_tensor *x = lucid_randn((4, 1, 5, 5)), *y = lucid_randint((4), 0, 3);
    for (int k = 0; k < 2; k++) {
        LUCID_SCOPE;
        lucid_tensor *loss;
        {
            LUCID_AUTOCAST(LUCID_F16);
            loss = lucid_cross_entropy(lucid_forward(net, x), y);
        }
        lucid_zero_grad(opt);
        lucid_backward(lucid_grad_scaler_scale(s, loss));
        lucid_grad_scaler_step(s, opt);
        lucid_grad_scaler_update(s);
    }
    lucid_state_dict *d = lucid_grad_scaler_state_dict(s);
    if (d) lucid_grad_scaler_load_state_dict(s, d);
    lucid_state_dict_free(d);
    lucid_grad_scaler_free(s);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
    return lucid_error_code() == LUCID_OK;
}

Test(grad_scaler, every_allocation_fails_once)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_assert(train(), "%s", lucid_error());
    uint64_t nth = 1;
    for (bool done = false; !done; nth++) {
        lucid_memory_fail_nth(nth);
        bool ok = train();
        done = lucid_memory_fail_count() < nth;
        lucid_memory_fail_nth(0);
        cr_expect(ok == done, "allocation %llu", (unsigned long long)nth);
        if (!done)
            cr_expect(lucid_error_code() == LUCID_ERR_MEMORY, "allocation %llu: %s",
                      (unsigned long long)nth, lucid_error());
        lucid_clear_error();
        lucid_live_counts n = lucid_live();
        cr_assert(n.tensors == 0 && n.storages == 0 && n.nodes == 0 && n.modules == 0 &&
                      n.optimizers == 0 && n.other == 0,
                  "allocation %llu fails: something is alive", (unsigned long long)nth);
        cr_assert(nth < 10000);
    }
    cr_expect(nth > 200, "only %llu allocations were counted", (unsigned long long)nth);
}
