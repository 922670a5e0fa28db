/* test_keep.c: packed weights that convolutions keep in inference are those of the weights as they
 * are, and go with them. */
#include "tests/testing.h"

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "lucid/core/memory.h"
#include "lucid/core/random.h"
#include "lucid/core/tensor_priv.h"
#include "nn/nn.h"

/* The convolution with a copy of the weights, of which nothing is kept. */
static lucid_tensor *anew(lucid_tensor *x, lucid_tensor *w, int64_t padding)
{
    return lucid_conv2d(x, lucid_clone(w, LUCID_CONTIGUOUS), NULL, .padding = padding);
}

static bool is_kept(const lucid_tensor *w)
{
    return w->storage->kept != NULL;
}

static void expect_right(lucid_tensor *x, lucid_tensor *w, int64_t padding, const char *when)
{
    for (int i = 0; i < 2; i++)
        cr_expect(lucid_equal(lucid_conv2d(x, w, NULL, .padding = padding), anew(x, w, padding)),
                  "call %d: %s", i, when);
    cr_expect(is_kept(w), "%s", when);
}

static void sees_changes(int64_t channels, int64_t kernel)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    const int64_t padding = kernel / 2;
    lucid_tensor *x = lucid_randn((2, channels, 9, 8));
    lucid_tensor *w = lucid_randn((34, channels, kernel, kernel));
    expect_right(x, w, padding, "at first");
    lucid_mul_scalar_(w, -2);
    expect_right(x, w, padding, "changed by an operator");
    lucid_mul_scalar_(lucid_slice(w, 0, 3, 4, 1), 5);
    expect_right(x, w, padding, "changed through a view");
    ((float *)lucid_mutable_data(w))[7] = 3;
    expect_right(x, w, padding, "changed through its address");
    lucid_copy_(w, lucid_randn((34, channels, kernel, kernel)));
    expect_right(x, w, padding, "copied over");
    expect_right(lucid_randn((1, channels, 40, 41)), w, padding, "images of another size");
    expect_right(x, w, 0, "another padding");
    expect_right(lucid_contiguous(x, LUCID_CHANNELS_LAST), w, padding, "another layout");
}

Test(keep, changes_of_the_weights_are_seen)
{
    sees_changes(5, 1);
    sees_changes(64, 1);
    sees_changes(5, 3);
    sees_changes(64, 3);
    sees_changes(3, 7);
}

Test(keep, views_of_one_storage_are_different_weights)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *x = lucid_randn((2, 8, 6, 6)), *all = lucid_randn((40, 8, 3, 3));
    lucid_tensor *a = lucid_narrow(all, 0, 0, 20), *b = lucid_narrow(all, 0, 20, 20);
    lucid_tensor *turned = lucid_permute(all, (0, 1, 3, 2));
    for (int i = 0; i < 3; i++) {
        expect_right(x, a, 1, "the first half");
        expect_right(x, b, 1, "the second half");
        expect_right(x, all, 1, "all");
        expect_right(x, turned, 1, "turned");
    }
}

Test(keep, every_way_of_loading_and_training_is_seen)
{
    LUCID_SCOPE;
    lucid_module *a = nn_Sequential(nn_Conv2d(3, 20, 3, .bias = false));
    lucid_module *b = nn_Sequential(nn_Conv2d(3, 20, 3, .bias = false));
    lucid_tensor *x = lucid_randn((2, 3, 7, 7)), *w = lucid_get_parameter(a, "0.weight");
    lucid_optimizer *opt = optim_SGD(a, .lr = 0.1);
    for (int step = 0; step < 3; step++) {
        LUCID_SCOPE;
        lucid_zero_grad(opt);
        lucid_backward(lucid_sum(lucid_square(lucid_forward(a, x))));
        cr_expect_not(is_kept(w), "training keeps nothing");
        lucid_step(opt);
        LUCID_NO_GRAD;
        expect_right(x, w, 0, "after a step");
        cr_expect(lucid_equal(lucid_forward(a, x), anew(x, w, 0)));
    }
    LUCID_NO_GRAD;
    lucid_state_dict *state = lucid_module_state_dict(b);
    cr_expect(lucid_load_state_dict(a, state));
    lucid_state_dict_free(state);
    expect_right(x, w, 0, "after loading");
    lucid_to_dtype(a, LUCID_F64);
    lucid_forward(a, lucid_cast(x, LUCID_F64));
    lucid_to_dtype(a, LUCID_F32);
    expect_right(x, lucid_get_parameter(a, "0.weight"), 0, "after conversion");
    lucid_optimizer_free(opt);
    lucid_module_free(a);
    lucid_module_free(b);
}

Test(keep, what_is_kept_goes_with_the_weights)
{
    lucid_device cpu = lucid_cpu();
    LUCID_NO_GRAD;
    const size_t before = lucid_memory(cpu).current_bytes;
    {
        LUCID_SCOPE;
        lucid_tensor *w = lucid_randn((64, 64, 3, 3));
        const size_t weights = lucid_memory(cpu).current_bytes;
        {
            LUCID_SCOPE;
            lucid_conv2d(lucid_randn((1, 64, 6, 6)), w, NULL);
        }
        cr_expect(is_kept(w) && lucid_memory(cpu).current_bytes > weights);
    }
    cr_expect_eq(lucid_memory(cpu).current_bytes, before);
}

static void nothing(void *user, void *data)
{
    (void)user, (void)data;
}

Test(keep, memory_of_the_callers_own_is_read_each_time)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    static float numbers[34 * 5 * 9];
    lucid_tensor *x = lucid_randn((2, 5, 6, 6));
    lucid_tensor *w = lucid_from_blob(LUCID_SHAPE(34, 5, 3, 3), LUCID_F32, numbers, nothing, NULL);
    for (int i = 1; i < 4; i++) {
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            numbers[k] = (float)((k * (size_t)i) % 17);
        cr_expect(lucid_equal(lucid_conv2d(x, w, NULL), anew(x, w, 0)));
        cr_expect_not(is_kept(w));
    }
}
