// lucid from C++17: the same macros, and the functions beneath them.
#include <lucid/lucid.h>

#include <cstdio>
#include <vector>

namespace
{

// A scope that ends with the block, as LUCID_SCOPE does in C.
class Scope
{
  public:
    Scope() : depth(lucid_scope_begin()) {}
    ~Scope() { lucid_scope_end(depth); }
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;

  private:
    size_t depth;
};

lucid_shape shape(const std::vector<int64_t> &dims)
{
    lucid_shape s = {};
    for (int64_t dim : dims) s.dims[s.ndim++] = dim;
    return s;
}

// d(sum(x * x)) / dx is 2 x.
bool gradient_of_square()
{
    Scope scope;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.requires_grad = true;
    const std::vector<float> values = {1, -2, 3, -4, 5, -6};
    lucid_tensor *x = lucid_from_data_opt(shape({2, 3}), values.data(), &options);
    lucid_tensor *y = lucid_sum_opt(lucid_mul(x, x), LUCID_ALL, nullptr);
    if (lucid_item(y) != 91 || !lucid_backward_opt(y, nullptr)) return false;
    lucid_tensor *expected = lucid_mul(lucid_detach(x), lucid_scalar(2));
    return lucid_equal(lucid_tensor_grad(x), expected);
}

// Per channel, batch_norm in training gives mean 0 and variance 1.
bool normalised()
{
    Scope scope;
    lucid_tensor *x = lucid_randn_opt(shape({8, 4, 6, 6}), nullptr);
    lucid_batch_norm_options options = lucid_batch_norm_defaults;
    options.training = true;
    options.eps = 0;
    lucid_tensor *y = lucid_batch_norm_opt(x, &options);
    return lucid_allclose(lucid_mean(y, (0, 2, 3)), lucid_zeros(4), 0, 1e-6, false) &&
           lucid_allclose(lucid_var(y, (0, 2, 3), .correction = 0), lucid_ones(4), 1e-5, 0, false);
}

// A small network learns which of two numbers is larger.
bool training()
{
    Scope scope;
    const std::vector<lucid_module *> layers = {
        lucid_nn_linear(2, 16, nullptr),
        lucid_nn_batch_norm1d(16, nullptr),
        lucid_nn_relu(nullptr),
        lucid_nn_linear(16, 2, nullptr),
    };
    lucid_module *net = lucid_nn_sequential(layers.data(), layers.size());
    lucid_sgd_options sgd = {}; // the defaults
    sgd.lr = 0.1;
    sgd.momentum = 0.9;
    lucid_optimizer *optimizer = lucid_optim_sgd(net, &sgd);
    double first = 0, last = 0;
    for (int step = 0; step < 50; step++) {
        Scope temporaries;
        lucid_tensor *x = lucid_randn_opt(shape({64, 2}), nullptr);
        lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, x), lucid_argmax(x, 1));
        lucid_optimizer_zero_grad(optimizer);
        lucid_backward_opt(loss, nullptr);
        lucid_step(optimizer);
        last = lucid_item(loss);
        if (step == 0) first = last;
    }
    lucid_optimizer_free(optimizer);
    lucid_module_free(net);
    return last < 0.5 * first;
}

// Several inputs and outputs: the macros are for C++ too.
bool several_inputs()
{
    Scope scope;
    lucid_nn_cross_entropy_loss_options smoothing = lucid_nn_cross_entropy_loss_defaults;
    smoothing.label_smoothing = 0.1;
    lucid_module *criterion = lucid_nn_cross_entropy_loss(&smoothing);
    lucid_module *same = lucid_nn_sequential(nullptr, 0);
    lucid_tensor *x = lucid_randn_opt(shape({4, 3}), nullptr), *a, *b;
    lucid_tensor *classes = lucid_argmax(x, 1);
    lucid_cross_entropy_options options = lucid_cross_entropy_defaults;
    options.label_smoothing = 0.1;
    bool ok = lucid_equal(lucid_forward(criterion, lucid_forward(same, x), classes),
                          lucid_cross_entropy_opt(x, classes, &options));
    ok = ok && lucid_forward_into(same, (x, classes), (&a, &b)) && a == x && b == classes;
    lucid_module_free(same);
    lucid_module_free(criterion);
    return ok;
}

// The forms of C, in C++.
bool named_options()
{
    LUCID_SCOPE;
    lucid_module *net = nn_Sequential(nn_Conv2d(3, 4, (3, 5), .padding = lucid_pair(1, 2)),
                                      nn_BatchNorm2d(4, .momentum = 0.05), nn_ReLU(),
                                      nn_AdaptiveAvgPool2d((1, 2)), nn_Flatten(), nn_Linear(8, 2));
    lucid_optimizer *optimizer = optim_AdamW(net, .lr = 0.01);
    lucid_tensor *x = lucid_randn((2, 3, 8, 8));
    lucid_tensor *loss = lucid_cross_entropy(lucid_forward(net, x), lucid_arange(2),
                                             .label_smoothing = 0.1);
    bool ok = lucid_backward(loss) && lucid_step(optimizer);
    const double numbers[] = {1, 2, 3};
    lucid_tensor *t = lucid_from_data(3, numbers, .dtype = LUCID_F32);
    ok = ok && lucid_item(lucid_sum(t)) == 6 && lucid_tensor_dtype(t) == LUCID_F32 &&
         lucid_equal(lucid_reshape(lucid_values((1, 3), 1, 2, 3), -1), t) &&
         lucid_ndim(lucid_zeros(())) == 0;
    lucid_optimizer_free(optimizer);
    lucid_module_free(net);
    return ok;
}

// Errors come back as values where the program asks for it.
bool errors_return()
{
    Scope scope;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *a = lucid_ones_opt(shape({2, 3}), nullptr);
    lucid_tensor *b = lucid_ones_opt(shape({2, 4}), nullptr);
    const bool refused = lucid_add(a, b) == nullptr && lucid_error_code() == LUCID_ERR_ARGUMENT;
    lucid_clear_error();
    lucid_set_error_mode(LUCID_ERRORS_STOP);
    return refused;
}

} // namespace

int main()
{
    lucid_manual_seed(1);
    if (!gradient_of_square() || !normalised() || !training() || !several_inputs() ||
        !named_options() ||
        !errors_return()) {
        std::fprintf(stderr, "unexpected values\n");
        return 1;
    }
    return lucid_finish();
}
