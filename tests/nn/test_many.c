/* test_many.c: modules of several inputs and outputs: what they compute, calls and their errors. */
#include "tests/nn/many.h"
#include "lucid/lucid.h"
#include "tests/testing.h"

static void begin(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_manual_seed(11);
}
static void end(void)
{
    cr_expect_eq(lucid_finish(), 0);
}
TestSuite(many, .init = begin, .fini = end);

/* ---- losses ---------------------------------------------------------------------------------- */

/* Cross-entropy by its formula: weights w of the classes, label smoothing e, classes y, mean. */
static double cross_entropy_by_hand(const double *x, const int *y, const double *w, double e, int n,
                                    int c)
{
    double sum = 0, weights = 0;
    for (int i = 0; i < n; i++) {
        double total = 0;
        for (int k = 0; k < c; k++) total += exp(x[i * c + k]);
        for (int k = 0; k < c; k++) {
            const double p = (k == y[i] ? 1 - e : 0) + e / c;
            sum -= p * w[k] * (x[i * c + k] - log(total));
        }
        weights += w[y[i]];
    }
    return sum / weights;
}

Test(many, cross_entropy_is_a_module)
{
    const double x[] = {1, 2, 3, 0.5, -1, 2, 0, 0, 1, 4, -2, 0.25}, w[] = {1, 2, 0.5};
    const int y[] = {2, 0, 1, 0};
    lucid_tensor *logits = lucid_values((4, 3), 1, 2, 3, 0.5, -1, 2, 0, 0, 1, 4, -2, 0.25);
    lucid_tensor *target = lucid_cast(lucid_values((4), 2, 0, 1, 0), LUCID_I64);
    lucid_requires_grad_(logits, true);
    lucid_module *plain = nn_CrossEntropyLoss();
    lucid_module *all =
        nn_CrossEntropyLoss(.label_smoothing = 0.1, .weight = lucid_values((3), 1, 2, 0.5));
    EXPECT_VALUES(lucid_forward(plain, logits, target), 1e-6, 0,
                  {cross_entropy_by_hand(x, y, (double[]){1, 1, 1}, 0, 4, 3)});
    lucid_tensor *loss = lucid_forward(all, logits, target);
    EXPECT_VALUES(loss, 1e-6, 0, {cross_entropy_by_hand(x, y, w, 0.1, 4, 3)});
    cr_assert(lucid_backward(loss), "%s", lucid_error());
    lucid_tensor *got = lucid_clone(lucid_tensor_grad(logits), LUCID_PRESERVE);
    lucid_set_grad(logits, NULL);
    lucid_backward(lucid_cross_entropy(logits, target, .label_smoothing = 0.1,
                                       .weight = lucid_get_buffer(all, "weight")));
    cr_expect(lucid_equal(got, lucid_tensor_grad(logits)));
    char *text = lucid_module_to_string(all);
    cr_expect_str_eq(text, "CrossEntropyLoss()");
    free(text);
    lucid_module_free(plain);
    lucid_module_free(all);
}

Test(many, other_losses_are_modules)
{
    lucid_tensor *x = lucid_values((2, 2), 1, 2, 3, 5), *y = lucid_values((2, 2), 0, 2, 1, 1);
    lucid_module *mean = nn_MSELoss(), *sum = nn_MSELoss(.reduction = LUCID_REDUCTION_SUM);
    EXPECT_VALUES(lucid_forward(mean, x, y), 0, 0, {21.0 / 4});
    EXPECT_VALUES(lucid_forward(sum, x, y), 0, 0, {21});
    lucid_module *nll = nn_NLLLoss(.ignore_index = 1, .weight = lucid_values((2), 2, 1));
    lucid_tensor *classes = lucid_cast(lucid_values((2), 0, 1), LUCID_I64);
    lucid_tensor *log_probs = lucid_log_softmax(x, 1);
    EXPECT_VALUES(lucid_forward(nll, log_probs, classes), 1e-6, 0, {log(1 + exp(1))});
    /* The weight is a buffer, and so is part of the state. */
    size_t n;
    cr_expect(lucid_named_buffers(nll, &n) && n == 1);
    lucid_module_free(mean);
    lucid_module_free(sum);
    lucid_module_free(nll);
}

Test(many, losses_refuse_when_they_are_made)
{
    EXPECT_ERROR(nn_CrossEntropyLoss(.label_smoothing = 1.5), LUCID_ERR_ARGUMENT,
                 "CrossEntropyLoss: label_smoothing: expected [0,1], got 1.5");
    EXPECT_ERROR(nn_MSELoss(.reduction = 7), LUCID_ERR_ARGUMENT,
                 "MSELoss: reduction: expected none, mean or sum, got 7");
    EXPECT_ERROR(nn_NLLLoss(.weight = lucid_ones((2, 2))), LUCID_ERR_ARGUMENT,
                 "NLLLoss: weight: expected a floating [C], got [2,2] float32");
    EXPECT_ERROR(nn_NLLLoss(.reduction = -1), LUCID_ERR_ARGUMENT, "NLLLoss: reduction");
}

/* ---- an LSTM --------------------------------------------------------------------------------- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* One step for one row, from the module's weights; h and c [hidden] change. */
static void lstm_step(lucid_module *m, const double *x, double *h, double *c, int inputs,
                      int hidden)
{
    double wx[64], wh[64], bx[16], bh[16], g[16];
    cr_assert(4 * hidden <= 16 && 4 * hidden * inputs <= 64 && 4 * hidden * hidden <= 64);
    lucid_to_doubles(lucid_get_parameter(m, "from_x.weight"), wx, (size_t)(4 * hidden * inputs));
    lucid_to_doubles(lucid_get_parameter(m, "from_h.weight"), wh, (size_t)(4 * hidden * hidden));
    lucid_to_doubles(lucid_get_parameter(m, "from_x.bias"), bx, (size_t)(4 * hidden));
    lucid_to_doubles(lucid_get_parameter(m, "from_h.bias"), bh, (size_t)(4 * hidden));
    for (int k = 0; k < 4 * hidden; k++) {
        g[k] = bx[k] + bh[k];
        for (int j = 0; j < inputs; j++) g[k] += wx[k * inputs + j] * x[j];
        for (int j = 0; j < hidden; j++) g[k] += wh[k * hidden + j] * h[j];
    }
    for (int k = 0; k < hidden; k++) {
        c[k] = sigmoid(g[hidden + k]) * c[k] + sigmoid(g[k]) * tanh(g[2 * hidden + k]);
        h[k] = sigmoid(g[3 * hidden + k]) * tanh(c[k]);
    }
}

Test(many, lstm_computes_its_formula)
{
    enum { T = 4, I = 3, H = 2 };
    lucid_module *m = make_lstm(I, H);
    lucid_to_dtype(m, LUCID_F64);
    lucid_tensor *x = lucid_randn((T, 1, I), .dtype = LUCID_F64);
    double rows[T * I], h[H] = {0}, c[H] = {0}, y[T * H];
    lucid_to_doubles(x, rows, T * I);
    for (int t = 0; t < T; t++) {
        lstm_step(m, rows + t * I, h, c, I, H);
        memcpy(y + t * H, h, sizeof h);
    }
    lucid_tensor *out, *h_end, *c_end;
    cr_assert(lucid_forward_into(m, (x), (&out, &h_end, &c_end)), "%s", lucid_error());
    testing_expect_values(out, y, T * H, 1e-12, 1e-14, "y", __LINE__);
    testing_expect_values(h_end, h, H, 1e-12, 1e-14, "h", __LINE__);
    testing_expect_values(c_end, c, H, 1e-12, 1e-14, "c", __LINE__);
    /* The sequence in two halves, where one variable is the state's input and output. */
    lucid_tensor *first, *second, *hs = NULL, *cs = NULL;
    cr_assert(lucid_forward_into(m, (lucid_narrow(x, 0, 0, 2), hs, cs), (&first, &hs, &cs)));
    cr_assert(lucid_forward_into(m, (lucid_narrow(x, 0, 2, 2), hs, cs), (&second, &hs, &cs)));
    cr_expect(lucid_equal(lucid_cat((first, second)), out));
    cr_expect(lucid_equal(hs, h_end) && lucid_equal(cs, c_end));
    /* The first output alone, with and without the optional inputs. */
    cr_expect(lucid_equal(lucid_forward(m, x), out));
    cr_expect(lucid_equal(lucid_forward(m, x, NULL, NULL), out));
    cr_expect(lucid_equal(lucid_forward(m, x, lucid_zeros((1, H), .dtype = LUCID_F64)), out));
    lucid_module_free(m);
}

static bool lstm_for_check(lucid_tensor *const *inputs, size_t n, lucid_tensor **outputs,
                           size_t *n_outputs, void *user)
{
    *n_outputs = 3;
    return lucid_forward_many(user, inputs, (int)n, outputs, 3);
}

static bool keep_gradients(lucid_module *m, lucid_tensor **in, int n_in, lucid_tensor *const *out,
                           int n_out, void *user)
{
    (void)m, (void)in, (void)n_in, (void)out, (void)n_out;
    ++*(int *)user;
    return true;
}

Test(many, lstm_gradients_are_right)
{
    lucid_module *m = make_lstm(3, 2);
    lucid_to_dtype(m, LUCID_F64);
    lucid_tensor *in[3] = {
        lucid_randn((3, 2, 3), .dtype = LUCID_F64, .requires_grad = true),
        lucid_randn((2, 2), .dtype = LUCID_F64, .requires_grad = true),
        lucid_randn((2, 2), .dtype = LUCID_F64, .requires_grad = true),
    };
    cr_expect(lucid_gradcheck(lstm_for_check, m, in, 3, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(lstm_for_check, m, in, 3, NULL), "%s", lucid_error());
    int calls = 0; /* the operators around the module change nothing */
    lucid_register_full_backward_hook_many(m, keep_gradients, &calls);
    cr_expect(lucid_gradcheck(lstm_for_check, m, in, 3, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(lstm_for_check, m, in, 3, NULL), "%s", lucid_error());
    cr_expect(calls > 0);
    lucid_module_free(m);
}

Test(many, lstm_learns)
{
    /* The sum so far of a sequence of signs. */
    lucid_module *m = make_lstm(1, 8), *out = nn_Linear(8, 1), *criterion = nn_MSELoss();
    lucid_module *net = nn_Sequential(m, out);
    lucid_optimizer *opt = optim_Adam(net, .lr = 0.02);
    double first = 0, last = 0;
    for (int step = 0; step < 150; step++) {
        LUCID_SCOPE;
        lucid_tensor *x = lucid_sign(lucid_randn((6, 16, 1)));
        lucid_tensor *y = lucid_sum(x, 0, .keepdim = true);
        lucid_tensor *guess = lucid_narrow(lucid_forward(net, x), 0, 5, 1);
        lucid_tensor *loss = lucid_forward(criterion, guess, y);
        lucid_zero_grad(opt);
        cr_assert(lucid_backward(loss) && lucid_step(opt), "%s", lucid_error());
        last = lucid_item(loss);
        if (step == 0) first = last;
    }
    cr_expect(last < 0.3 * first, "%g, at first %g", last, first);
    lucid_optimizer_free(opt);
    lucid_module_free(criterion);
    lucid_module_free(net);
}

/* ---- a siamese net and two heads ------------------------------------------------------------- */

Test(many, siamese_net_learns)
{
    lucid_module *net = make_siamese(nn_Sequential(nn_Linear(4, 16), nn_Tanh(), nn_Linear(16, 4)));
    lucid_optimizer *opt = optim_Adam(net, .lr = 0.01);
    size_t n;
    cr_expect(lucid_named_parameters(net, &n) && n == 4, "shared weights count once");
    double first = 0, last = 0;
    for (int step = 0; step < 150; step++) {
        LUCID_SCOPE;
        /* The same first coordinate: near; otherwise 1 apart. */
        lucid_tensor *a = lucid_sign(lucid_randn((32, 4))), *b = lucid_sign(lucid_randn((32, 4)));
        lucid_tensor *far =
            lucid_cast(lucid_ne(lucid_select(a, 1, 0), lucid_select(b, 1, 0)), LUCID_F32);
        lucid_tensor *loss = lucid_mse_loss(lucid_forward(net, a, b), far);
        lucid_zero_grad(opt);
        cr_assert(lucid_backward(loss) && lucid_step(opt), "%s", lucid_error());
        last = lucid_item(loss);
        if (step == 0) first = last;
    }
    cr_expect(last < 0.5 * first, "%g, at first %g", last, first);
    lucid_eval(net);
    lucid_tensor *x = lucid_randn((3, 4));
    EXPECT_VALUES(lucid_forward(net, x, x), 0, 0, {0, 0, 0});
    lucid_optimizer_free(opt);
    lucid_module_free(net);
}

Test(many, two_heads_learn_at_the_end_of_a_sequential)
{
    lucid_module *net = nn_Sequential(nn_Linear(6, 16), nn_ReLU(), make_heads(16, 3));
    lucid_optimizer *opt = optim_Adam(net, .lr = 0.02);
    lucid_tensor *x = lucid_randn((24, 6)), *labels = lucid_argmax(lucid_narrow(x, 1, 0, 3), 1);
    lucid_tensor *where = lucid_sigmoid(lucid_narrow(x, 1, 2, 4)), *classes, *boxes;
    double first = 0, last = 0;
    for (int step = 0; step < 100; step++) {
        LUCID_SCOPE;
        cr_assert(lucid_forward_into(net, (x), (&classes, &boxes)), "%s", lucid_error());
        lucid_tensor *loss =
            lucid_add(lucid_cross_entropy(classes, labels), lucid_mse_loss(boxes, where));
        lucid_zero_grad(opt);
        cr_assert(lucid_backward(loss) && lucid_step(opt), "%s", lucid_error());
        last = lucid_item(loss);
        if (step == 0) first = last;
    }
    cr_expect(last < 0.5 * first, "%g, at first %g", last, first);
    char *text = lucid_module_to_string(net);
    cr_expect_str_eq(text, "Sequential(\n"
                           "  (0): Linear(in_features=6, out_features=16, bias=True)\n"
                           "  (1): ReLU()\n"
                           "  (2): TwoHeads(\n"
                           "    (classes): Linear(in_features=16, out_features=3, bias=True)\n"
                           "    (boxes): Linear(in_features=16, out_features=4, bias=True)\n"
                           "  )\n"
                           ")");
    free(text);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
}

/* ---- Sequential ------------------------------------------------------------------------------ */

Test(many, sequential_hands_outputs_on)
{
    lucid_module *heads = make_heads(4, 4), *apart = make_siamese(nn_Identity());
    lucid_module *net = nn_Sequential(nn_Linear(4, 4), nn_Sequential(heads), apart);
    lucid_tensor *x = lucid_randn((5, 4)), *a, *b;
    lucid_tensor *y = lucid_forward(net, x);
    cr_assert(y, "%s", lucid_error());
    cr_assert(lucid_forward_into(heads, (lucid_forward(lucid_get_module(net, "0"), x)), (&a, &b)));
    cr_expect(lucid_equal(y, lucid_forward(apart, a, b)));
    lucid_module *two = nn_Sequential(make_siamese(nn_Linear(4, 2)), nn_ReLU());
    cr_expect(lucid_forward(two, a, b), "%s", lucid_error());
    EXPECT_ERROR(lucid_forward(two, x), LUCID_ERR_ARGUMENT,
                 "Siamese: inputs: expected 2 (a, b), got 1; module net.0");
    lucid_module *none = nn_Sequential();
    cr_assert(lucid_forward_into(none, (x, y), (&a, &b)));
    cr_expect(a == x && b == y);
    EXPECT_ERROR(lucid_forward(none, x, y), LUCID_ERR_ARGUMENT,
                 "Sequential: outputs: expected 2, got 1");
    lucid_module_free(none);
    lucid_module_free(two);
    lucid_module_free(net);
}

Test(many, sequential_fuses_before_several_outputs)
{
    LUCID_NO_GRAD;
    lucid_module *net = nn_Sequential(nn_Conv2d(3, 4, 3, .padding = 1), nn_BatchNorm2d(4),
                                      nn_ReLU(), nn_Flatten(), make_heads(64, 3));
    lucid_eval(net);
    lucid_tensor *x = lucid_randn((2, 3, 4, 4)), *a, *b, *c, *d;
    cr_assert(lucid_forward_into(net, (x), (&a, &b)), "%s", lucid_error());
    bool before = lucid_set_fusion(false);
    cr_assert(lucid_forward_into(net, (x), (&c, &d)), "%s", lucid_error());
    lucid_set_fusion(before);
    cr_expect(lucid_allclose(a, c, 1e-5, 1e-6, false) && lucid_allclose(b, d, 1e-5, 1e-6, false));
    lucid_module *short_one = nn_Sequential(nn_Conv2d(3, 4, 3), nn_BatchNorm2d(4), nn_ReLU());
    EXPECT_ERROR(lucid_forward_into(short_one, (x), (&a, &b)), LUCID_ERR_ARGUMENT,
                 "ReLU: outputs: expected 1 (output), got 2; module net.2");
    cr_expect(!a && !b);
    lucid_module_free(short_one);
    lucid_module_free(net);
}

/* ---- wrong calls ----------------------------------------------------------------------------- */

Test(many, wrong_numbers_name_the_module)
{
    lucid_module *lstm = make_lstm(3, 2), *linear = nn_Linear(3, 2), *loss = nn_MSELoss();
    lucid_module *net = nn_Sequential(nn_Identity(), make_heads(3, 2));
    lucid_tensor *x = lucid_randn((2, 1, 3)), *a, *b, *c;
    EXPECT_ERROR(lucid_forward(linear, x, x), LUCID_ERR_ARGUMENT,
                 "Linear: inputs: expected 1 (input), got 2; module Linear");
    EXPECT_ERROR(lucid_forward(loss, x), LUCID_ERR_ARGUMENT,
                 "MSELoss: inputs: expected 2 (input, target), got 1");
    EXPECT_ERROR(lucid_forward(lstm, x, x, x, x), LUCID_ERR_ARGUMENT,
                 "LSTM: inputs: expected 1 to 3 (x, h?, c?), got 4; module net");
    EXPECT_ERROR(lucid_forward(net, x), LUCID_ERR_ARGUMENT,
                 "TwoHeads: outputs: expected 2 (classes, boxes), got 1; lucid_forward_into takes "
                 "several; module net.1");
    EXPECT_ERROR(lucid_forward_into(linear, (x), (&a, &b)), LUCID_ERR_ARGUMENT,
                 "Linear: outputs: expected 1 (output), got 2");
    EXPECT_ERROR(lucid_forward_into(loss, (x, x), (&a, &b, &c)), LUCID_ERR_ARGUMENT,
                 "MSELoss: outputs: expected 1 (loss), got 3");
    EXPECT_ERROR(lucid_forward_many(loss, NULL, 2, &a, 1), LUCID_ERR_ARGUMENT,
                 "MSELoss: inputs: expected 2 tensors, got NULL");
    EXPECT_ERROR(lucid_forward_many(loss, &x, -1, &a, 1), LUCID_ERR_ARGUMENT, "got -1");
    EXPECT_ERROR(lucid_forward_many(loss, (lucid_tensor *[]){x, x}, 2, NULL, 1), LUCID_ERR_ARGUMENT,
                 "MSELoss: outputs: expected 1 tensors, got NULL");
    EXPECT_ERROR(lucid_forward_many(loss, &x, 1, &a, 0), LUCID_ERR_ARGUMENT, "got 1");
    EXPECT_ERROR(lucid_forward_many(loss, (lucid_tensor *[]){x, x}, 2, &a, 0), LUCID_ERR_ARGUMENT,
                 "outputs: expected 1 (loss), got 0");
    EXPECT_ERROR(lucid_forward(NULL, x, x), LUCID_ERR_ARGUMENT,
                 "module: expected a module, got NULL");
    lucid_module_free(net);
    lucid_module_free(loss);
    lucid_module_free(linear);
    lucid_module_free(lstm);
}

Test(many, null_inputs)
{
    lucid_module *lstm = make_lstm(3, 2), *loss = nn_MSELoss();
    lucid_tensor *x = lucid_randn((2, 1, 3));
    EXPECT_ERROR(lucid_forward(loss, x, NULL), LUCID_ERR_ARGUMENT,
                 "MSELoss: target: expected a tensor, got NULL; module MSELoss");
    EXPECT_ERROR(lucid_forward(lstm, NULL), LUCID_ERR_ARGUMENT,
                 "LSTM: x: expected a tensor, got NULL");
    cr_expect(lucid_forward(lstm, x, NULL, lucid_ones((1, 2))), "%s", lucid_error());
    /* A state that an error made NULL is not an absent one. */
    lucid_tensor *h = lucid_matmul(x, lucid_ones((7, 7)));
    char before[256];
    snprintf(before, sizeof before, "%s", lucid_error());
    cr_expect(!h && lucid_error_code() != LUCID_OK);
    cr_expect(!lucid_forward(lstm, x, h, h));
    cr_expect_str_eq(lucid_error(), before);
    lucid_clear_error();
    lucid_module_free(loss);
    lucid_module_free(lstm);
}

static bool leaves_out(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                       int n_out)
{
    (void)m, (void)n_in, (void)n_out;
    out[0] = in[0];
    return in[1] != NULL;
}

Test(many, forward_many_without_a_result)
{
    const lucid_module_class cls = {.name = "Half",
                                    .size = sizeof(lucid_module),
                                    .super = &lucid_module_class_base,
                                    .forward_many = leaves_out,
                                    .inputs = "a, b?",
                                    .outputs = "y, z"};
    lucid_module *m = lucid_module_new(&cls);
    lucid_tensor *x = lucid_ones((1)), *y, *z;
    EXPECT_ERROR(lucid_forward_into(m, (x, x), (&y, &z)), LUCID_ERR_STATE,
                 "Half: forward_many: expected z, got NULL");
    cr_expect(!y && !z);
    EXPECT_ERROR(lucid_forward_into(m, (x), (&y, &z)), LUCID_ERR_STATE,
                 "Half: forward_many: expected true or an error, got false without one");
    lucid_module_free(m);
}

/* ---- classes --------------------------------------------------------------------------------- */

static lucid_module *of_names(const char *inputs, const char *outputs, bool many)
{
    static lucid_module_class cls;
    cls = (lucid_module_class){.name = "Odd",
                               .size = sizeof(lucid_module),
                               .super = &lucid_module_class_base,
                               .inputs = inputs,
                               .outputs = outputs};
    if (many)
        cls.forward_many = leaves_out;
    else
        cls.forward = lucid_nn_identity_class.forward;
    return lucid_module_new(&cls);
}

Test(many, classes_with_wrong_names_are_refused)
{
    EXPECT_ERROR(
        of_names("a?, b", NULL, true), LUCID_ERR_ARGUMENT,
        "class Odd: inputs: expected required names before those with \"?\", got \"a?, b\"");
    EXPECT_ERROR(of_names("a,, b", NULL, true), LUCID_ERR_ARGUMENT,
                 "class Odd: inputs: expected names");
    EXPECT_ERROR(of_names("", NULL, true), LUCID_ERR_ARGUMENT, "class Odd: inputs: expected names");
    EXPECT_ERROR(of_names("a,b,c,d,e,f,g,h,i", NULL, true), LUCID_ERR_ARGUMENT,
                 "class Odd: inputs: expected at most 8 names, got \"a,b,c,d,e,f,g,h,i\"");
    EXPECT_ERROR(of_names("a", "y?", true), LUCID_ERR_ARGUMENT,
                 "class Odd: outputs: expected the first one without \"?\", got \"y?\"");
    EXPECT_ERROR(of_names("a, b", NULL, false), LUCID_ERR_ARGUMENT,
                 "class Odd: forward: expected forward_many for the inputs \"a, b\"");
    EXPECT_ERROR(of_names(NULL, "y, z", false), LUCID_ERR_ARGUMENT,
                 "class Odd: forward: expected forward_many for the outputs \"y, z\"");
    lucid_module *m = of_names("image", "same", false);
    cr_expect(m, "%s", lucid_error());
    lucid_module_free(m);
}

static lucid_tensor *negative(lucid_module *m, lucid_tensor *x)
{
    (void)m;
    return lucid_neg(x);
}

static bool first_plus_one(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                           int n_out)
{
    (void)m, (void)n_in, (void)n_out;
    out[0] = lucid_add_scalar(in[0], 1);
    return true;
}

Test(many, subclasses_inherit_and_replace)
{
    const lucid_module_class same = {.name = "MyLSTM", .size = sizeof(LSTM), .super = &LSTM_class};
    const lucid_module_class one = {
        .name = "Negative", .size = sizeof(LSTM), .super = &LSTM_class, .forward = negative};
    const lucid_module_class many = {.name = "PlusOne",
                                     .size = sizeof(nn_Identity),
                                     .super = &lucid_nn_identity_class,
                                     .forward_many = first_plus_one};
    lucid_module *a = lucid_module_new(&same), *b = lucid_module_new(&one),
                 *c = lucid_module_new(&many);
    lucid_tensor *x = lucid_ones((1));
    EXPECT_ERROR(lucid_forward(a, x, x, x, x), LUCID_ERR_ARGUMENT,
                 "MyLSTM: inputs: expected 1 to 3 (x, h?, c?), got 4");
    EXPECT_VALUES(lucid_forward(b, x), 0, 0, {-1});
    EXPECT_ERROR(lucid_forward(b, x, x), LUCID_ERR_ARGUMENT,
                 "Negative: inputs: expected 1 (input), got 2");
    EXPECT_VALUES(lucid_forward(c, x), 0, 0, {2});
    lucid_module_free(a);
    lucid_module_free(b);
    lucid_module_free(c);
}

/* The inherited forward must not run, alone or fused with a BatchNorm. */
Test(many, a_convolution_with_forward_many_is_not_fused)
{
    const lucid_module_class cls = {.name = "NoConv2d",
                                    .size = sizeof(nn_Conv2d),
                                    .super = &lucid_nn_conv2d_class,
                                    .forward_many = first_plus_one};
    const lucid_module_class norm = {.name = "NoBatchNorm2d",
                                     .size = sizeof(nn_BatchNorm2d),
                                     .super = &lucid_nn_batch_norm2d_class,
                                     .forward_many = first_plus_one};
    lucid_module *conv = lucid_module_new(&cls), *bn = lucid_module_new(&norm);
    lucid_module *net = nn_Sequential(conv, nn_BatchNorm2d(2, .eps = 0)),
                 *other = nn_Sequential(bn);
    nn_Conv2d *c = lucid_self(conv, nn_Conv2d);
    c->in_channels = 2;
    lucid_sequential_append(other, nn_ReLU());
    lucid_eval(net);
    LUCID_NO_GRAD;
    lucid_tensor *x = lucid_values((1, 2, 1, 1), 3, -4);
    EXPECT_VALUES(lucid_forward(net, x), 1e-6, 0, {4, -3});
    EXPECT_VALUES(lucid_forward(other, x), 0, 0, {4, 0});
    lucid_module_free(other);
    lucid_module_free(net);
}
