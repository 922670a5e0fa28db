/* Modules: life, registration, sharing, casts, traversal, modes, conversion. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/memory.h"
#include "nn/nn.h"
#include "tests/nn/se_block.h"

static int64_t live_modules(void)
{
    return lucid_live().modules;
}

static void expect_names(const lucid_named_tensor *list, size_t n, const char *const *names,
                         size_t count)
{
    cr_assert(list, "%s", lucid_error());
    cr_expect(n == count, "expected %zu names, got %zu", count, n);
    for (size_t i = 0; i < n && i < count; i++)
        cr_expect(strcmp(list[i].name, names[i]) == 0, "%zu: expected %s, got %s", i, names[i],
                  list[i].name);
}

/* ---- life and sharing ------------------------------------------------------------------------ */

Test(module, parent_frees_children)
{
    int64_t before = live_modules(), tensors = lucid_live().tensors;
    lucid_module *net = nn_Sequential(nn_Linear(3, 4), nn_Sequential(nn_ReLU(), nn_Linear(4, 2)));
    cr_assert(net);
    cr_expect(live_modules() == before + 5);
    lucid_module_free(net);
    cr_expect(live_modules() == before);
    cr_expect(lucid_live().tensors == tensors);
}

Test(module, registered_twice_shares)
{
    int64_t before = live_modules();
    lucid_module *l = nn_Linear(3, 3);
    lucid_module *net = nn_Sequential(l, nn_ReLU(), l);
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(net, &n);
    expect_names(p, n, (const char *[]){"0.weight", "0.bias"}, 2);
    cr_expect(lucid_parameter_count(net, false) == 12);
    lucid_named_modules(net, &n);
    cr_expect(n == 3);
    cr_expect(lucid_get_module(net, "2") == l);
    lucid_module_free(net);
    cr_expect(live_modules() == before);
}

Test(module, two_parents_share)
{
    int64_t before = live_modules();
    lucid_module *l = nn_Linear(2, 2);
    lucid_module *a = nn_Sequential(l), *b = nn_Sequential(l, nn_Tanh());
    lucid_module_free(a);
    cr_expect(lucid_get_module(b, "0") == l);
    cr_expect(lucid_module_is(l, "Linear"));
    lucid_module_free(b);
    cr_expect(live_modules() == before);
}

Test(module, retained_module_outlives_its_parent)
{
    int64_t before = live_modules();
    lucid_module *l = nn_Linear(2, 2);
    lucid_module *net = nn_Sequential(l);
    lucid_module_retain(l);
    lucid_module_free(net);
    cr_expect(live_modules() == before + 1);
    cr_expect(lucid_parameter_count(l, false) == 6);
    lucid_module_free(l);
    cr_expect(live_modules() == before);
}

Test(module, freeing_a_child_is_refused)
{
    lucid_module *l = nn_Linear(2, 2);
    lucid_module *net = nn_Sequential(l);
    EXPECT_ERROR(lucid_module_free(l), LUCID_ERR_STATE, "belongs to its parent");
    cr_expect(lucid_parameter_count(net, false) == 6);
    lucid_module_free(net);
}

Test(module, null_child_propagates_and_frees_the_others)
{
    int64_t before = live_modules();
    EXPECT_ERROR(nn_Sequential(nn_Linear(2, 2), nn_Linear(-1, 2), nn_ReLU()), LUCID_ERR_ARGUMENT,
                 "Linear: in_features: expected at least 0, got -1");
    cr_expect(live_modules() == before);
    EXPECT_ERROR(lucid_nn_sequential(NULL, 3), LUCID_ERR_ARGUMENT,
                 "Sequential: modules: expected 3 modules, got NULL");
    EXPECT_ERROR(nn_Sequential(nn_ReLU(), NULL), LUCID_ERR_ARGUMENT,
                 "Sequential: module 1: expected a module, got NULL");
    cr_expect(live_modules() == before);
}

Test(module, replace_module)
{
    int64_t before = live_modules();
    lucid_module *net = nn_Sequential(nn_Sequential(nn_Linear(4, 4)), nn_Linear(4, 1000));
    cr_expect(lucid_replace_module(net, "1", nn_Linear(4, 10)));
    cr_expect(lucid_replace_module(net, "0.0", nn_Identity()));
    cr_expect(lucid_parameter_count(net, false) == 50);
    EXPECT_ERROR(lucid_replace_module(net, "0.7", nn_Identity()), LUCID_ERR_ARGUMENT,
                 "path: expected a child's, got \"0.7\"");
    lucid_module_free(net);
    cr_expect(live_modules() == before);
}

/* ---- classes and casts ----------------------------------------------------------------------- */

Test(module, self_checks_the_class)
{
    lucid_module *bn = nn_BatchNorm2d(3);
    cr_expect(lucid_self(bn, nn_BatchNorm2d) != NULL);
    cr_expect(lucid_self(bn, nn_BatchNormBase) != NULL);
    cr_expect(lucid_self(bn, lucid_module) == bn);
    cr_expect(lucid_module_is(bn, "nn_BatchNorm2d"));
    cr_expect(!lucid_module_is(bn, "BatchNorm1d"));
    EXPECT_ERROR(lucid_self(bn, nn_BatchNorm1d), LUCID_ERR_ARGUMENT,
                 "expected a BatchNorm1d, got a BatchNorm2d");
    EXPECT_ERROR(lucid_self((lucid_module *)NULL, nn_Linear), LUCID_ERR_ARGUMENT, "got NULL");
    lucid_module_free(bn);
}

Test(module, classes_are_checked)
{
    const lucid_module_class no_super = {.name = "A", .size = sizeof(lucid_module)};
    const lucid_module_class no_name = {.size = sizeof(lucid_module),
                                        .super = &lucid_module_class_base};
    const lucid_module_class small = {
        .name = "B", .size = sizeof(lucid_module) - 1, .super = &lucid_module_class_base};
    EXPECT_ERROR(lucid_module_new(&no_super), LUCID_ERR_ARGUMENT, "super");
    EXPECT_ERROR(lucid_module_new(&no_name), LUCID_ERR_ARGUMENT, "name");
    EXPECT_ERROR(lucid_module_new(&small), LUCID_ERR_ARGUMENT, "size");
    EXPECT_ERROR(lucid_module_new(NULL), LUCID_ERR_ARGUMENT, "class");
}

/* ---- registration ---------------------------------------------------------------------------- */

Test(module, names_are_checked)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&lucid_module_class_base);
    lucid_tensor *field = NULL, *t = lucid_zeros((2));
    cr_expect(lucid_register_parameter(m, "w", &field, t));
    cr_expect(field == t && lucid_requires_grad(t));
    EXPECT_ERROR(lucid_register_buffer(m, "w", NULL, lucid_zeros((1))), LUCID_ERR_ARGUMENT,
                 "\"w\", which is taken");
    EXPECT_ERROR(lucid_register_buffer(m, "a.b", NULL, lucid_zeros((1))), LUCID_ERR_ARGUMENT,
                 "without a dot, got \"a.b\"");
    EXPECT_ERROR(lucid_register_buffer(m, "", NULL, lucid_zeros((1))), LUCID_ERR_ARGUMENT,
                 "an empty one");
    int64_t before = live_modules();
    EXPECT_ERROR(lucid_register_module(m, "w", NULL, nn_ReLU()), LUCID_ERR_ARGUMENT, "taken");
    cr_expect(live_modules() == before, "a refused child is freed");
    EXPECT_ERROR(lucid_register_module(m, "self", NULL, m), LUCID_ERR_ARGUMENT,
                 "does not contain it");
    lucid_module_free(m);
}

Test(module, circles_are_refused)
{
    lucid_module *inner = nn_Sequential(nn_ReLU());
    lucid_module *outer = nn_Sequential(inner);
    EXPECT_ERROR(lucid_sequential_append(inner, outer), LUCID_ERR_ARGUMENT, "does not contain it");
    lucid_module_free(outer);
}

Test(module, parameters_are_floating_leaves)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&lucid_module_class_base);
    EXPECT_ERROR(lucid_register_parameter(m, "i", NULL, lucid_zeros((2), .dtype = LUCID_I64)),
                 LUCID_ERR_ARGUMENT, "i: expected a floating dtype, got int64");
    lucid_tensor *x = lucid_zeros((2), .requires_grad = true);
    EXPECT_ERROR(lucid_register_parameter(m, "r", NULL, lucid_neg(x)), LUCID_ERR_ARGUMENT,
                 "r: expected a leaf, got the result of neg");
    lucid_module_free(m);
}

Test(module, null_is_an_absence_but_not_after_an_error)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&lucid_module_class_base);
    lucid_tensor *bias = lucid_zeros((1));
    cr_expect(lucid_register_parameter(m, "bias", &bias, NULL));
    cr_expect(bias == NULL);
    size_t n = 7;
    cr_expect(lucid_named_parameters(m, &n) && n == 0);
    cr_expect(lucid_get_parameter(m, "bias") == NULL && lucid_error_code() == LUCID_OK);
    EXPECT_ERROR(lucid_register_parameter(m, "weight", &bias, lucid_zeros((-1))),
                 LUCID_ERR_ARGUMENT, "");
    EXPECT_ERROR(lucid_get_parameter(m, "weight"), LUCID_ERR_ARGUMENT,
                 "expected a parameter, got \"weight\"");
    lucid_module_free(m);
}

/* ---- traversal ------------------------------------------------------------------------------- */

Test(module, order_is_pytorchs)
{
    lucid_module *net = nn_Sequential(nn_Conv2d(3, 8, 3), make_se(8, 2), nn_BatchNorm2d(8));
    size_t n;
    const lucid_named_tensor *p = lucid_named_parameters(net, &n);
    expect_names(p, n,
                 (const char *[]){"0.weight", "0.bias", "1.squeeze.weight", "1.squeeze.bias",
                                  "1.excite.weight", "1.excite.bias", "2.weight", "2.bias"},
                 8);
    const lucid_named_tensor *b = lucid_named_buffers(net, &n);
    expect_names(b, n, (const char *[]){"2.running_mean", "2.running_var", "2.num_batches_tracked"},
                 3);
    const lucid_named_module *m = lucid_named_modules(net, &n);
    const char *const modules[] = {"", "0", "1", "1.squeeze", "1.excite", "2"};
    cr_assert(n == 6);
    for (size_t i = 0; i < n; i++) cr_expect_str_eq(m[i].name, modules[i]);
    const lucid_named_module *c = lucid_named_children(net, &n);
    cr_assert(n == 3);
    cr_expect_str_eq(c[2].name, "2");
    cr_expect(lucid_get_module(net, "1.excite") == m[4].module);
    cr_expect(lucid_get_parameter(net, "1.excite.bias") == p[5].tensor);
    EXPECT_ERROR(lucid_get_module(net, "1.nothing"), LUCID_ERR_ARGUMENT, "\"1.nothing\"");
    lucid_module_free(net);
}

Test(module, a_list_that_is_read_stays_where_it_is)
{
    lucid_module *net = nn_Sequential(nn_Linear(2, 2));
    const lucid_named_tensor *first = lucid_named_parameters(net, NULL);
    cr_expect(lucid_module_zero_grad(net));
    cr_expect(lucid_named_parameters(net, NULL) == first);
    lucid_sequential_append(net, nn_Linear(2, 2));
    size_t n;
    lucid_named_parameters(net, &n);
    cr_expect(n == 4);
    lucid_module_free(net);
}

static void count_visit(lucid_module *m, void *user)
{
    strcat(user, m->cls->name);
    strcat(user, " ");
}

Test(module, apply_visits_children_first)
{
    char text[128] = "";
    lucid_module *net = nn_Sequential(nn_ReLU(), nn_Sequential(nn_Tanh()));
    cr_expect(lucid_module_apply(net, count_visit, text));
    cr_expect_str_eq(text, "ReLU Tanh Sequential Sequential ");
    lucid_module_free(net);
}

/* ---- modes, conversion, gradients ------------------------------------------------------------ */

Test(module, train_and_eval_reach_all)
{
    lucid_module *net = nn_Sequential(nn_Dropout(), nn_Sequential(nn_BatchNorm1d(2)));
    lucid_module *inner = lucid_get_module(net, "1.0");
    cr_expect(net->training && inner->training);
    lucid_eval(net);
    cr_expect(!net->training && !inner->training);
    lucid_eval(inner);
    lucid_train(net);
    cr_expect(inner->training, "a parent's train undoes a child's eval");
    lucid_module_free(net);
}

Test(module, to_dtype_keeps_identity_and_integers)
{
    LUCID_SCOPE;
    lucid_module *bn = nn_BatchNorm2d(3);
    lucid_tensor *w = lucid_get_parameter(bn, "weight");
    lucid_set_grad(w, lucid_ones((3)));
    cr_expect(lucid_to_dtype(bn, LUCID_F64));
    cr_expect(lucid_get_parameter(bn, "weight") == w);
    cr_expect(lucid_tensor_dtype(w) == LUCID_F64 && lucid_requires_grad(w));
    cr_expect(lucid_tensor_dtype(lucid_tensor_grad(w)) == LUCID_F64);
    cr_expect(lucid_tensor_dtype(lucid_get_buffer(bn, "running_var")) == LUCID_F64);
    cr_expect(lucid_tensor_dtype(lucid_get_buffer(bn, "num_batches_tracked")) == LUCID_I64);
    EXPECT_VALUES(w, 0, 0, {1, 1, 1});
    EXPECT_ERROR(lucid_to_dtype(bn, LUCID_I32), LUCID_ERR_ARGUMENT, "floating one, got int32");
    cr_expect(lucid_to(bn, lucid_cpu()));
    lucid_module_free(bn);
}

Test(module, requires_grad_and_zero_grad)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_Linear(2, 2), nn_Linear(2, 1));
    lucid_tensor *w = lucid_get_parameter(net, "1.weight");
    lucid_set_grad(w, lucid_ones((1, 2)));
    cr_expect(lucid_zero_grad(net));
    cr_expect(lucid_tensor_grad(w) == NULL);
    cr_expect(lucid_module_requires_grad(lucid_get_module(net, "0"), false));
    cr_expect(lucid_parameter_count(net, true) == 3 && lucid_parameter_count(net, false) == 9);
    lucid_module_free(net);
}

Test(module, reset_parameters)
{
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_BatchNorm1d(2), nn_ReLU());
    lucid_tensor *w = lucid_get_parameter(net, "0.weight"),
                 *v = lucid_get_buffer(net, "0.running_var");
    lucid_init_constant(w, 5);
    lucid_init_constant(v, 5);
    cr_expect(lucid_module_reset_parameters(net));
    EXPECT_VALUES(w, 0, 0, {1, 1});
    EXPECT_VALUES(v, 0, 0, {1, 1});
    lucid_module_free(net);
}
