/* Messages: an error is named for the function that was called, names the argument that is wrong
 * and what would be right; a report of what was never freed says what. */
#include "tests/testing.h"

#include "lucid/lucid.h"
#include "tests/lucid/child.h"

/* The call raises an error that begins with the name, as "conv2d: ", and holds the text. */
#define NAMED(name, call, text) named(name, (lucid_clear_error(), (void)(call), #call), text)

static void named(const char *name, const char *call, const char *text)
{
    size_t n = strlen(name);
    cr_expect(strncmp(lucid_error(), name, n) == 0 && lucid_error()[n] == ':' &&
                  strstr(lucid_error(), text),
              "%s: expected an error of %s with \"%s\", got \"%s\"", call, name, text,
              lucid_error());
    lucid_clear_error();
}

#define SHAPE(...) LUCID_SHAPE(__VA_ARGS__)

static lucid_tensor *ones(lucid_shape shape, lucid_dtype dtype)
{
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    return lucid_ones_opt(shape, &o);
}

/* ---- the function that was called ------------------------------------------------------------ */

Test(messages, functions_that_are_made_of_others_keep_their_name)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *f = ones(SHAPE(2, 3), LUCID_F32), *g = ones(SHAPE(4, 5), LUCID_F32);
    lucid_tensor *i = ones(SHAPE(2, 3), LUCID_I64), *b = ones(SHAPE(2, 3), LUCID_BOOL);
    lucid_tensor *leaf = lucid_requires_grad_(ones(SHAPE(2, 3), LUCID_F32), true);
    NAMED("max", lucid_max_opt(f, SHAPE(9), NULL), "dims: expected a dimension");
    NAMED("min", lucid_min_opt(ones(SHAPE(0), LUCID_F32), LUCID_ALL, NULL),
          "x: expected at least one");
    NAMED("clone", lucid_clone(NULL, LUCID_PRESERVE), "x: expected a tensor");
    NAMED("contiguous", lucid_contiguous(f, LUCID_CHANNELS_LAST), "x: expected 4-D");
    NAMED("sub_scalar", lucid_sub_scalar(NULL, 1), "x: expected a tensor");
    NAMED("div_scalar", lucid_div_scalar(NULL, 1), "expected a tensor");
    NAMED("add_", lucid_add_(f, g), "b: expected a shape");
    NAMED("sub_", lucid_sub_(b, b), "a: expected numbers");
    NAMED("mul_", lucid_mul_(f, NULL), "b: expected a tensor");
    NAMED("div_", lucid_div_(i, i), "a: expected a floating dtype");
    NAMED("add_scalar_", lucid_add_scalar_(NULL, 1), "x: expected a tensor");
    NAMED("exp_", lucid_exp_(i), "x: expected a floating dtype");
    NAMED("relu_", lucid_relu_(leaf), "in place");
    NAMED("clamp_", lucid_clamp_(NULL, 0, 1), "x: expected a tensor");
    NAMED("zero_", lucid_zero_(leaf), "in place");
    NAMED("fill_", lucid_fill_(leaf, 1), "in place");
    NAMED("mse_loss", lucid_mse_loss_opt(b, b, NULL), "input: expected a floating dtype, got bool");
    NAMED("mse_loss", lucid_mse_loss_opt(i, i, NULL), "input: expected a floating dtype");
    NAMED("from_data", lucid_from_data_opt(SHAPE(-1), "", NULL), "shape: expected sizes >= 0");
    NAMED("add", lucid_add(f, g), "b: expected a shape"); /* the name does not stay */
    lucid_module *m = nn_Linear(2, 2);
    lucid_optimizer *opt = optim_SGD(m);
    NAMED("load", lucid_load_opt(m, "/nowhere/x", NULL), "/nowhere/x: cannot open");
    NAMED("state_dict_load", lucid_state_dict_load("/nowhere/x"), "/nowhere/x: cannot open");
    NAMED("optimizer_load", lucid_optimizer_load(opt, "/nowhere/x"), "/nowhere/x: cannot open");
    NAMED("save", lucid_save(m, "/nowhere/x"), "/nowhere/x");
    NAMED("optimizer_save", lucid_optimizer_save(opt, "/nowhere/x"), "/nowhere/x");
    NAMED("safetensors_open", lucid_safetensors_open("/nowhere/x"), "/nowhere/x: cannot open");
    lucid_optimizer_free(opt);
    lucid_module_free(m);
}

Test(messages, a_copy_needs_no_alignment)
{
    LUCID_SCOPE;
    _Alignas(8) char bytes[9];
    const float values[] = {1.5f, -2};
    memcpy(bytes + 1, values, sizeof values);
    lucid_tensor *t = lucid_from_data_opt(SHAPE(2), bytes + 1, NULL);
    EXPECT_VALUES(t, 0, 0, {1.5, -2});
    EXPECT_ERROR(lucid_from_blob(SHAPE(1), LUCID_F32, bytes + 1, NULL, NULL), LUCID_ERR_ARGUMENT,
                 "from_blob: data: expected an address that is a multiple of 4");
}

/* ---- the argument that is wrong -------------------------------------------------------------- */

Test(messages, cross_entropy_says_what_a_target_is)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = ones(SHAPE(4, 10), LUCID_F32), *y = ones(SHAPE(4), LUCID_I64);
    lucid_cross_entropy_options weighted = lucid_cross_entropy_defaults;
    weighted.weight = ones(SHAPE(3), LUCID_F32);
    const char *both = "target: expected int64 classes [4], or float32 probabilities [4,10] like "
                       "the logits, got ";
    char text[160];
    lucid_tensor *wrong[] = {ones(SHAPE(4), LUCID_F32), ones(SHAPE(3), LUCID_I64),
                             ones(SHAPE(4, 10), LUCID_I64), ones(SHAPE(4), LUCID_BOOL)};
    static const char *const got[] = {"float32 [4]", "int64 [3]", "int64 [4,10]", "bool [4]"};
    for (int k = 0; k < 4; k++) {
        snprintf(text, sizeof text, "%s%s", both, got[k]);
        NAMED("cross_entropy", lucid_cross_entropy_opt(x, wrong[k], NULL), text);
    }
    NAMED("cross_entropy", lucid_cross_entropy_opt(x, lucid_mul_scalar(y, 50), NULL),
          "target: expected classes in [0,10)");
    NAMED("cross_entropy", lucid_cross_entropy_opt(x, y, &weighted),
          "weight: expected one number for each class [10], got [3]");
    NAMED("cross_entropy", lucid_cross_entropy_opt(x, x, &weighted), "weight: expected one number");
    weighted.label_smoothing = 0.1;
    NAMED("cross_entropy", lucid_cross_entropy_opt(x, y, &weighted), "weight: expected one number");
    NAMED("nll_loss", lucid_nll_loss_opt(x, wrong[0], NULL),
          "target: expected int64 classes [4], got float32 [4]");
    cr_expect(lucid_cross_entropy_opt(x, lucid_cast(y, LUCID_U8), NULL) != NULL);
    cr_expect(lucid_cross_entropy_opt(lucid_select(x, 0, 0), lucid_select(y, 0, 0), NULL) != NULL);
}

/* An image of bytes is at fault, and not the weights. */
Test(messages, integers_that_meet_floats_are_blamed)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *image = ones(SHAPE(1, 3, 8, 8), LUCID_U8), *row = ones(SHAPE(1, 3), LUCID_I64);
    lucid_tensor *w = ones(SHAPE(4, 3, 3, 3), LUCID_F32), *m = ones(SHAPE(4, 3), LUCID_F32);
    NAMED("conv2d", lucid_conv2d_opt(image, w, NULL, NULL),
          "input: expected dtype float32 like weight, got uint8");
    NAMED("linear", lucid_linear(row, m, NULL),
          "input: expected dtype float32 like weight, got int64");
    NAMED("linear", lucid_linear(lucid_cast(row, LUCID_F64), m, NULL),
          "weight: expected dtype float64, got float32");
}

Test(messages, a_wrong_path_lists_near_names)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *net = nn_Sequential(nn_Conv2d(1, 2, 3), nn_BatchNorm2d(2));
    NAMED("get_parameter", lucid_get_parameter(net, "0.wieght"),
          "path: expected a parameter, got \"0.wieght\"; near: \"0.weight\"");
    NAMED("get_parameter", lucid_get_parameter(net, "bias"), "; near: \"0.bias\", \"1.bias\"");
    NAMED("get_buffer", lucid_get_buffer(net, "running_mean"), "; near: \"1.running_mean\"");
    cr_expect(!lucid_get_parameter(net, "nothing_like_it") && !strstr(lucid_error(), "near"));
    NAMED("get_module", lucid_get_module(net, "0.weight"), "\"0.weight\", which is a parameter");
    NAMED("get_parameter", lucid_get_parameter(net, NULL), "path: expected a parameter, got NULL");
    NAMED("replace_module", lucid_replace_module(net, "2", nn_ReLU()),
          "path: expected a child's, got \"2\"; near: \"0\", \"1\"");
    lucid_module_free(net);
}

Test(messages, backward_says_that_nothing_was_recorded)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_module *m = nn_Linear(2, 1);
    lucid_tensor *x = ones(SHAPE(1, 2), LUCID_F32), *loss, *view;
    {
        LUCID_NO_GRAD;
        loss = lucid_sum_opt(lucid_forward(m, x), LUCID_ALL, NULL);
    }
    view = lucid_reshape_opt(loss, SHAPE(1));
    NAMED("backward", lucid_backward_opt(loss, NULL), "inside of LUCID_NO_GRAD");
    NAMED("backward", lucid_backward_opt(view, NULL), "inside of LUCID_NO_GRAD");
    NAMED("retain_grad", lucid_retain_grad(loss), "inside of LUCID_NO_GRAD");
    NAMED("backward", lucid_backward_opt(lucid_sum_opt(x, LUCID_ALL, NULL), NULL),
          "got one that does not");
    NAMED(
        "backward",
        lucid_backward_opt(lucid_detach(lucid_sum_opt(lucid_forward(m, x), LUCID_ALL, NULL)), NULL),
        "got one that does not");
    lucid_module_free(m);
}

/* ---- what was never freed -------------------------------------------------------------------- */

static int leaking(void)
{
    lucid_module *m = nn_Sequential(nn_ReLU(), nn_ReLU(), nn_Dropout());
    optim_SGD(nn_Linear(1, 1));
    lucid_state_dict_new();
    lucid_module_free(nn_Tanh());
    (void)m;
    return lucid_finish();
}

Test(messages, the_report_of_what_was_never_freed_names_classes)
{
    child c = child_run(leaking);
    cr_expect(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 1);
    static const char *const parts[] = {" 5 modules (",
                                        "2 ReLU",
                                        "1 Sequential",
                                        "1 Dropout",
                                        "1 Linear",
                                        "1 optimizer (1 SGD)",
                                        "1 other object (1 state dict)"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        cr_expect(strstr(c.text, parts[i]), "\"%s\" is not in: %s", parts[i], c.text);
    cr_expect(!strstr(c.text, "Tanh"), "%s", c.text);
}
