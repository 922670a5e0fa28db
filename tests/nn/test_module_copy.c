/* Copies that share nothing: of state dicts and of modules, with what a class owns besides. */
#include "tests/testing.h"

#include "lucid/lucid.h"
#include "tests/nn/made.h"
#include "tests/nn/se_block.h"

/* ---- state dicts ----------------------------------------------------------------------------- */

Test(copy, the_best_weights_stay_the_best)
{
    LUCID_SCOPE;
    lucid_module *m = nn_Linear(2, 2);
    lucid_init_constant(lucid_get_parameter(m, "weight"), 1);
    lucid_state_dict *s = lucid_module_state_dict(m), *best = lucid_state_dict_copy(s);
    lucid_state_dict *same = lucid_state_dict_shallow_copy(s);
    cr_assert(best && same, "%s", lucid_error());
    lucid_init_constant(lucid_get_parameter(m, "weight"), 7);
    EXPECT_VALUES(lucid_state_dict_get(best, "weight"), 0, 0, {1, 1, 1, 1});
    EXPECT_VALUES(lucid_state_dict_get(same, "weight"), 0, 0, {7, 7, 7, 7});
    cr_expect(lucid_load_state_dict(m, best));
    EXPECT_VALUES(lucid_get_parameter(m, "weight"), 0, 0, {1, 1, 1, 1});
    lucid_state_dict_free(best);
    lucid_state_dict_free(same);
    lucid_state_dict_free(s);
    lucid_module_free(m);
    cr_expect(lucid_finish() == 0);
}

Test(copy, a_state_keeps_dtypes_layouts_and_what_is_tied)
{
    LUCID_SCOPE;
    lucid_state_dict *s = lucid_state_dict_new();
    lucid_tensor *x = lucid_contiguous(lucid_randn((2, 3, 4, 5)), LUCID_CHANNELS_LAST);
    lucid_tensor *wide = lucid_arange(10);
    lucid_state_dict_set(s, "x", x);
    lucid_state_dict_set(s, "tied", lucid_detach(x));
    lucid_state_dict_set(s, "part", lucid_slice(wide, 0, 2, 8, 2));
    lucid_state_dict_set(s, "half", lucid_ones((2), .dtype = LUCID_BF16));
    lucid_state_dict_set(s, "none", lucid_zeros((0, 3)));
    lucid_state_dict_set_note(s, "epoch", "3");
    lucid_state_dict_set_version(s, "", 4);
    lucid_state_dict *c = lucid_state_dict_copy(s);
    cr_assert(c && lucid_state_dict_size(c) == 5, "%s", lucid_error());
    for (size_t i = 0; i < 5; i++) {
        lucid_named_tensor a = lucid_state_dict_at(s, i), b = lucid_state_dict_at(c, i);
        cr_expect_str_eq(a.name, b.name);
        cr_expect(lucid_equal(a.tensor, b.tensor) && !lucid_shares_storage(a.tensor, b.tensor) &&
                      lucid_tensor_dtype(a.tensor) == lucid_tensor_dtype(b.tensor),
                  "%s", a.name);
    }
    cr_expect(lucid_is_contiguous(lucid_state_dict_get(c, "x"), LUCID_CHANNELS_LAST));
    cr_expect(lucid_shares_storage(lucid_state_dict_get(c, "x"), lucid_state_dict_get(c, "tied")));
    cr_expect_str_eq(lucid_state_dict_note(c, "epoch"), "3");
    cr_expect(lucid_state_dict_version(c, "") == 4);
    EXPECT_ERROR(lucid_state_dict_copy(NULL), LUCID_ERR_ARGUMENT, "state_dict_copy: state");
    EXPECT_ERROR(lucid_state_dict_shallow_copy(NULL), LUCID_ERR_ARGUMENT,
                 "state_dict_shallow_copy: state");
    lucid_state_dict_free(c);
    lucid_state_dict_free(s);
}

/* ---- modules --------------------------------------------------------------------------------- */

/* The copy gives the same output, also while the original is trained and after it was freed. */
static void copies_well(lucid_module *m, lucid_tensor *x, const char *what)
{
    LUCID_SCOPE;
    lucid_eval(m);
    lucid_tensor *before = lucid_forward(m, x);
    lucid_module *c = lucid_module_copy(m);
    cr_assert(c, "%s: %s", what, lucid_error());
    char *a = lucid_module_to_string(m), *b = lucid_module_to_string(c);
    cr_expect_str_eq(a, b);
    free(a);
    free(b);
    size_t n, k;
    const lucid_named_tensor *p = lucid_named_parameters(m, &n), *q = lucid_named_parameters(c, &k);
    cr_assert(n == k && n > 0);
    for (size_t i = 0; i < n; i++) {
        cr_expect_str_eq(p[i].name, q[i].name);
        cr_expect(lucid_equal(p[i].tensor, q[i].tensor) &&
                      !lucid_shares_storage(p[i].tensor, q[i].tensor),
                  "%s: %s", what, p[i].name);
        lucid_init_constant(p[i].tensor, 0.01);
    }
    cr_expect(lucid_equal(lucid_forward(c, x), before), "%s", what);
    cr_expect(!lucid_equal(lucid_forward(m, x), before), "%s", what);
    lucid_module_free(m);
    cr_expect(lucid_equal(lucid_forward(c, x), before), "%s", what);
    lucid_train(c);
    cr_expect(lucid_backward(lucid_sum(lucid_forward(c, x))), "%s: %s", what, lucid_error());
    lucid_module_free(c);
}

Test(copy, modules)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    {
        LUCID_SCOPE;
        copies_well(made("mnist"), lucid_randn((2, 1, 28, 28)), "mnist");
        copies_well(nn_ResNet18(.num_classes = 3), lucid_randn((2, 3, 32, 32)), "ResNet18");
        copies_well(nn_Sequential(nn_Conv2d(3, 8, 1), make_se(8, 2)), lucid_randn((2, 3, 4, 4)),
                    "SEBlock");
    }
    cr_expect(lucid_finish() == 0);
}

Test(copy, keeps_modes_gradients_frozen_parameters_and_what_is_shared)
{
    LUCID_SCOPE;
    lucid_module *twice = nn_Linear(2, 2);
    lucid_module *m = nn_Sequential(twice, nn_BatchNorm1d(2), twice);
    lucid_module_requires_grad(lucid_get_module(m, "1"), false);
    lucid_eval(lucid_get_module(m, "1"));
    lucid_set_grad(lucid_get_parameter(m, "0.bias"), lucid_values((2), 3, 4));
    lucid_module *c = lucid_module_copy(m);
    cr_assert(c, "%s", lucid_error());
    cr_expect(c->training && !lucid_get_module(c, "1")->training);
    cr_expect(!lucid_requires_grad(lucid_get_parameter(c, "1.weight")) &&
              lucid_requires_grad(lucid_get_parameter(c, "0.weight")));
    cr_expect(lucid_get_module(c, "0") == lucid_get_module(c, "2") &&
              lucid_get_module(c, "0") != twice);
    lucid_set_grad(lucid_get_parameter(m, "0.bias"), lucid_values((2), 0, 0));
    EXPECT_VALUES(lucid_tensor_grad(lucid_get_parameter(c, "0.bias")), 0, 0, {3, 4});
    lucid_module_free(c);
    lucid_module_free(m);
    EXPECT_ERROR(lucid_module_copy(NULL), LUCID_ERR_ARGUMENT, "module_copy: module: expected");
}

/* ---- the test's own classes ------------------------------------------------------------------ */

typedef struct {
    lucid_module base;
    lucid_tensor *scale;
    int power;   /* a plain value */
    char *label; /* owned */
} Owner;

static int freed;

static void owner_finalize(lucid_module *m)
{
    freed++;
    free(((Owner *)m)->label);
}

static bool owner_copy(lucid_module *m, const lucid_module *from)
{
    Owner *o = (Owner *)m;
    o->label = strdup(((const Owner *)from)->label);
    return o->label || lucid_raise(LUCID_ERR_MEMORY, "Owner", "out of memory");
}

static bool refuse_copy(lucid_module *m, const lucid_module *from)
{
    (void)m, (void)from;
    return lucid_raise(LUCID_ERR_STATE, "Owner", "expected to be left alone");
}

static const lucid_module_class owner_class = {.name = "Owner",
                                               .size = sizeof(Owner),
                                               .super = &lucid_module_class_base,
                                               .finalize = owner_finalize,
                                               .copy = owner_copy};
static const lucid_module_class no_copy_class = {.name = "NoCopy",
                                                 .size = sizeof(Owner),
                                                 .super = &lucid_module_class_base,
                                                 .finalize = owner_finalize};
static const lucid_module_class refusing_class = {
    .name = "Refusing", .size = sizeof(Owner), .super = &owner_class, .copy = refuse_copy};

static lucid_module *make_owner(const lucid_module_class *cls)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(cls);
    Owner *o = (Owner *)m;
    o->power = 3;
    o->label = strdup("mine");
    lucid_register_parameter(m, "scale", &o->scale, lucid_ones((2)));
    return m;
}

Test(copy, what_a_class_owns_is_copied_by_its_own_function)
{
    lucid_module *m = make_owner(&owner_class), *c = lucid_module_copy(m);
    Owner *a = (Owner *)m, *b = (Owner *)c;
    cr_assert(c, "%s", lucid_error());
    cr_expect(b->power == 3 && b->label != a->label && strcmp(b->label, "mine") == 0);
    cr_expect(b->scale == lucid_get_parameter(c, "scale") && b->scale != a->scale);
    lucid_module_free(m);
    lucid_module_free(c);
    cr_expect(freed == 2);
    m = nn_Sequential(make_owner(&owner_class), make_owner(&no_copy_class));
    EXPECT_ERROR(lucid_module_copy(m), LUCID_ERR_STATE,
                 "module_copy: 1: class NoCopy: expected a copy function beside finalize");
    lucid_module_free(m);
    m = nn_Sequential(make_owner(&owner_class), make_owner(&refusing_class), nn_Linear(1, 1));
    EXPECT_ERROR(lucid_module_copy(m), LUCID_ERR_STATE, "Owner: expected to be left alone");
    lucid_module_free(m);
    cr_expect(lucid_finish() == 0);
}

Test(copy, a_field_outside_of_the_struct_is_refused)
{
    LUCID_SCOPE;
    lucid_tensor *elsewhere;
    lucid_module *m = lucid_module_new(&lucid_module_class_base);
    lucid_register_parameter(m, "weight", &elsewhere, lucid_ones((1)));
    EXPECT_ERROR(lucid_module_copy(m), LUCID_ERR_STATE,
                 "module_copy: Module: field of \"weight\": expected one inside of the struct");
    lucid_module_free(m);
}
