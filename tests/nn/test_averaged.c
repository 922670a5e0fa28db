/* EMA and SWA against PyTorch, states of them, running statistics anew; clipping by value; all
 * parameters as one vector. */
#include "tests/testing.h"

#include "lucid/lucid.h"
#include "tests/nn/steps.h"

static lucid_module *make_net(void)
{
    lucid_module *m = nn_Sequential(nn_Linear(3, 4), nn_BatchNorm1d(4), nn_Linear(4, 2));
    cr_assert(m && lucid_to_dtype(m, LUCID_F64));
    return m;
}

/* Sets, or compares, every entry of a module's state by the tensors "CASE/PREFIX.NAME". */
static void each_entry(const vectors *v, const char *name, const char *prefix, lucid_module *m,
                       bool set)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_state_dict *s = lucid_module_state_dict(m);
    for (size_t i = 0; i < lucid_state_dict_size(s); i++) {
        char key[160];
        lucid_named_tensor t = lucid_state_dict_at(s, i);
        snprintf(key, sizeof key, "%s/%s.%s", name, prefix, t.name);
        if (set)
            cr_assert(lucid_copy_(lucid_detach(t.tensor), vectors_tensor(v, key)));
        else if (vectors_has(v, key))
            expect_near(key, lucid_detach(t.tensor), vectors_tensor(v, key), 1e-14, 1e-30);
    }
    lucid_state_dict_free(s);
}

static lucid_averaged *average_of(const vectors_case *c, lucid_module *m)
{
    bool buffers = vectors_bool(c, "use_buffers", false);
    lucid_averaged *a =
        vectors_get(c, "decay")
            ? optim_EMA(m, .decay = vectors_double(c, "decay", 0), .use_buffers = buffers)
            : optim_SWA(m, .use_buffers = buffers);
    cr_assert(a, "%s", lucid_error());
    return a;
}

static void run_average(const vectors *v, const vectors_case *c)
{
    const char *name = vectors_name(c);
    lucid_module *m = make_net();
    lucid_averaged *a = average_of(c, m);
    for (int k = 0; k < vectors_int(c, "steps", 0); k++) {
        char prefix[16];
        snprintf(prefix, sizeof prefix, "s%d", k);
        each_entry(v, name, prefix, m, true);
        cr_assert(lucid_averaged_update(a, m), "%s: %s", name, lucid_error());
        snprintf(prefix, sizeof prefix, "after%d", k);
        each_entry(v, name, prefix, lucid_averaged_module(a), false);
        if (k != 2) continue; /* go on with another one, which has the state of this one */
        lucid_averaged *other = average_of(c, m);
        lucid_state_dict *s = lucid_averaged_state_dict(a);
        cr_expect(lucid_state_dict_get(s, "module.1.running_mean"));
        cr_assert(lucid_averaged_load_state_dict(other, s), "%s", lucid_error());
        cr_expect(lucid_averaged_count(other) == 3);
        lucid_state_dict_free(s);
        lucid_averaged_free(a);
        a = other;
    }
    lucid_averaged_free(a);
    lucid_module_free(m);
}

static void run_update_bn(const vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    const char *name = vectors_name(c);
    lucid_module *m = make_net();
    each_entry(v, name, "before", m, true);
    lucid_tensor *x = vectors_tensor(v, "update_bn/x");
    lucid_loader *loader = data_Loader(data_Tensors(x, lucid_zeros((23))),
                                       .batch_size = vectors_int(c, "batch_size", 0));
    cr_assert(loader, "%s", lucid_error());
    lucid_eval(m);
    cr_assert(lucid_update_bn(m, loader), "%s", lucid_error());
    each_entry(v, name, "after", m, false);
    nn_BatchNormBase *bn = lucid_self(lucid_get_module(m, "1"), nn_BatchNormBase);
    cr_expect(!m->training && !bn->base.training && bn->momentum == 0.1);
    lucid_loader_free(loader);
    lucid_module_free(m);
}

Test(averaged, averages_are_pytorchs)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int cases = 0;
    vectors *v = vectors_open("averaged");
    for (const vectors_case *c; (c = vectors_next(v)); cases++)
        if (strcmp(vectors_get(c, "op"), "update_bn") == 0)
            run_update_bn(v, c);
        else
            run_average(v, c);
    vectors_close(v);
    cr_expect(cases == 5, "%d cases", cases);
    cr_expect(lucid_finish() == 0);
}

#define REFUSED(expression, text) EXPECT_ERROR(expression, LUCID_ERR_ARGUMENT, text)

Test(averaged, what_does_not_fit_is_refused)
{
    LUCID_SCOPE;
    lucid_module *m = make_net(), *other = nn_Linear(3, 4), *turned = nn_Linear(4, 3);
    lucid_averaged *a = optim_EMA(other);
    REFUSED(optim_EMA(m, .decay = 1.5), "EMA: decay: expected [0, 1], got 1.5");
    REFUSED(optim_SWA(NULL), "SWA");
    REFUSED(lucid_averaged_update(a, m), "EMA: module: expected 2 parameters, got 6");
    REFUSED(lucid_averaged_update(a, turned), "expected [4,3] as number 0, got [3,4]");
    REFUSED(lucid_averaged_update(NULL, m), "averaged: expected one, got NULL");
    cr_expect(lucid_averaged_count(a) == 0 && lucid_averaged_count(NULL) == -1);
    lucid_state_dict *s = lucid_averaged_state_dict(a);
    lucid_state_dict_set(s, "optimizer", lucid_ones((1)));
    EXPECT_ERROR(lucid_averaged_load_state_dict(a, s), LUCID_ERR_FORMAT, "got \"optimizer\"");
    lucid_state_dict_remove(s, "optimizer");
    lucid_state_dict_remove(s, "n_averaged");
    EXPECT_ERROR(lucid_averaged_load_state_dict(a, s), LUCID_ERR_FORMAT, "n_averaged: expected");
    lucid_state_dict_free(s);
    REFUSED(lucid_update_bn(m, NULL), "update_bn: loader: expected one, got NULL");
    lucid_averaged_free(a);
    lucid_module_free(m);
    lucid_module_free(other);
    lucid_module_free(turned);
    cr_expect(lucid_finish() == 0);
}

Test(averaged, update_bn_gives_modes_back_after_an_error)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Sequential(nn_BatchNorm1d(4), nn_Linear(5, 2));
    lucid_loader *loader = data_Loader(data_Tensors(lucid_ones((8, 4)), lucid_zeros((8))));
    lucid_eval(m);
    EXPECT_ERROR(lucid_update_bn(m, loader), LUCID_ERR_ARGUMENT, "Linear: input: expected");
    nn_BatchNormBase *bn = lucid_self(lucid_get_module(m, "0"), nn_BatchNormBase);
    cr_expect(!m->training && !bn->base.training && bn->momentum == 0.1);
    lucid_loader_free(loader);
    lucid_module_free(m);
}

Test(averaged, clips_by_value)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(2, 1);
    lucid_tensor *w = lucid_get_parameter(m, "weight");
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_set_grad(w, lucid_values((1, 2), -3, 0.25));
    cr_expect(lucid_clip_grad_value(m, 0.5)); /* the bias has no gradient */
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {-0.5, 0.25});
    lucid_set_grad(w, lucid_values((1, 2), NAN, INFINITY));
    cr_expect(lucid_clip_grad_value(m, 1));
    EXPECT_VALUES(lucid_tensor_grad(w), 0, 0, {NAN, 1});
    REFUSED(lucid_clip_grad_value(m, -1), "clip_grad_value: value: expected a number >= 0");
    REFUSED(lucid_clip_grad_value_list(NULL, 2, 1), "params: expected 2 tensors, got NULL");
    lucid_module_free(m);
}

Test(averaged, parameters_as_a_vector)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Linear(2, 1), *empty = nn_ReLU();
    lucid_vector_to_parameters(m, lucid_values((3), 1, 2, 3));
    EXPECT_VALUES(lucid_get_parameter(m, "weight"), 0, 0, {1, 2});
    EXPECT_VALUES(lucid_get_parameter(m, "bias"), 0, 0, {3});
    lucid_tensor *v = lucid_parameters_to_vector(m);
    EXPECT_VALUES(v, 0, 0, {1, 2, 3});
    cr_expect(lucid_backward(lucid_sum(lucid_square(v))));
    EXPECT_VALUES(lucid_tensor_grad(lucid_get_parameter(m, "bias")), 0, 0, {6});
    cr_expect(lucid_requires_grad(lucid_get_parameter(m, "bias")));
    REFUSED(lucid_vector_to_parameters(m, lucid_ones((4))), "vector: expected [3], got [4]");
    REFUSED(lucid_vector_to_parameters(m, NULL), "vector_to_parameters: vector");
    REFUSED(lucid_parameters_to_vector(empty), "expected one with parameters, got one without");
    lucid_module_free(m);
    lucid_module_free(empty);
}
