/* Option structs of programs that were compiled with an older or a newer lucid, or that were made
 * without the defaults; extents, numbers, switches. */
#include "tests/testing.h"

#include "lucid/lucid.h"

#include <string.h>

/* The options of a program that was compiled when Adam had only a learning rate. */
typedef struct old_adam_options {
    size_t struct_size;
    double lr;
} old_adam_options;

/* The options of a program that was compiled with a later lucid, which has one option more. */
typedef struct new_adam_options {
    lucid_adam_options known;
    double unknown;
} new_adam_options;

Test(options, of_an_older_program)
{
    lucid_module *net = nn_Linear(2, 2);
    old_adam_options old = {sizeof old, 0.25};
    lucid_optimizer *opt = lucid_optim_adam(net, (const lucid_adam_options *)&old);
    cr_assert(opt, "%s", lucid_error());
    lucid_optim_options o = lucid_optim_get_options(opt, 0);
    cr_expect(o.lr == 0.25 && o.beta1 == 0.9 && o.beta2 == 0.999 && o.eps == 1e-8);
    lucid_optimizer_free(opt);
    lucid_module_free(net);
}

Test(options, of_a_newer_program)
{
    lucid_module *net = nn_Linear(2, 2);
    new_adam_options new_one = {.known = lucid_adam_defaults, .unknown = 1};
    new_one.known.struct_size = sizeof new_one;
    EXPECT_ERROR(lucid_optim_adam(net, &new_one.known), LUCID_ERR_ARGUMENT,
                 "Adam: options: expected at most");
    lucid_module_free(net);
}

Test(options, without_defaults)
{
    lucid_module *net = nn_Linear(2, 2);
    EXPECT_ERROR(lucid_optim_adam(net, &(lucid_adam_options){.lr = 0.1}), LUCID_ERR_ARGUMENT,
                 "Adam: options: expected a copy of the exported defaults");
    EXPECT_ERROR(lucid_zeros_opt(LUCID_SHAPE(2), &(lucid_tensor_options){.dtype = LUCID_F64}),
                 LUCID_ERR_ARGUMENT, "zeros: options: expected a copy");
    EXPECT_ERROR(lucid_backward_opt(lucid_ones(1), &(lucid_backward_options){.retain_graph = true}),
                 LUCID_ERR_ARGUMENT, "backward: options: expected a copy");
    lucid_module_free(net);
}

static void expect_pair(lucid_extent extent, int64_t h, int64_t w)
{
    int64_t pair[2];
    lucid_extent_get(extent, pair);
    cr_expect(pair[0] == h && pair[1] == w, "(%lld, %lld): got (%lld, %lld)", (long long)h,
              (long long)w, (long long)pair[0], (long long)pair[1]);
}

static void expect_triple(lucid_extent extent, int64_t d, int64_t h, int64_t w)
{
    int64_t t[3] = {0, 0, 0};
    cr_expect(lucid_triple_get(extent, t) && t[0] == d && t[1] == h && t[2] == w,
              "(%lld, %lld, %lld): got (%lld, %lld, %lld)", (long long)d, (long long)h,
              (long long)w, (long long)t[0], (long long)t[1], (long long)t[2]);
}

Test(options, triples)
{
    const int64_t most = ((int64_t)1 << 19) - 1, refused = -((int64_t)1 << 19);
    int64_t t[3];
    expect_triple(3, 3, 3, 3);
    expect_triple(INT64_MIN, INT64_MIN, INT64_MIN, INT64_MIN);
    expect_triple(lucid_triple(1, -2, 3), 1, -2, 3);
    expect_triple(lucid_triple(most, -most, 0), most, -most, 0);
    expect_triple(lucid_triple(-most, -most, -most), -most, -most, -most);
    expect_triple(lucid_triple(most, most, most), most, most, most);
    expect_triple(lucid_triple(1, most + 1, 1), refused, refused, refused);
    expect_triple(LUCID_TRIPLE_OF((4, 5, 6)), 4, 5, 6);
    expect_triple(LUCID_TRIPLE_OF(7), 7, 7, 7);
    expect_triple(LUCID_TRIPLE_OF(lucid_triple(1, 2, 3)), 1, 2, 3);
    cr_expect(!lucid_triple_get(lucid_pair(1, 2), t) && !lucid_triple_get(1, NULL));
}

Test(options, extents)
{
    const int64_t most = ((int64_t)1 << 30) - 1, refused = -((int64_t)1 << 30);
    expect_pair(3, 3, 3);
    expect_pair(-1, -1, -1);
    expect_pair(INT64_MAX, INT64_MAX, INT64_MAX);
    expect_pair(INT64_MIN, INT64_MIN, INT64_MIN);
    expect_pair(lucid_pair(3, 5), 3, 5);
    expect_pair(lucid_pair(0, -7), 0, -7);
    expect_pair(lucid_pair(most, -most), most, -most);
    expect_pair(lucid_pair(1, most + 1), refused, refused);
    expect_pair(lucid_pair(INT64_MIN, 1), refused, refused);
    EXPECT_ERROR(nn_Conv2d(3, 4, (3, 0)), LUCID_ERR_ARGUMENT, "kernel: expected at least 1, got 0");
    EXPECT_ERROR(nn_Conv2d(3, 4, 3, .stride = lucid_pair(1, INT64_MAX)), LUCID_ERR_ARGUMENT,
                 "stride: expected at least 1");
    lucid_tensor *x = lucid_ones((1, 1, 8, 9)), *w = lucid_ones((1, 1, 3, 5));
    EXPECT_SHAPE(lucid_conv2d(x, w, NULL, .padding = lucid_pair(1, 2)), 1, 1, 8, 9);
    EXPECT_SHAPE(lucid_conv2d(x, w), 1, 1, 6, 5);
    EXPECT_SHAPE(lucid_max_pool2d(x, (2, 3)), 1, 1, 4, 3);
    EXPECT_SHAPE(lucid_avg_pool2d(x, (2, 3), .stride = 1), 1, 1, 7, 7);
    EXPECT_SHAPE(lucid_adaptive_avg_pool2d(x, (4, 7)), 1, 1, 4, 7);
    lucid_module *pool = nn_AdaptiveAvgPool2d((4, 7));
    EXPECT_SHAPE(lucid_forward(pool, x), 1, 1, 4, 7);
    lucid_module_free(pool);
}

Test(options, numbers_for_tensors)
{
    lucid_tensor *x = lucid_values(3, 1, 2, 3);
    EXPECT_VALUES(lucid_mul(x, 2), 0, 0, {2, 4, 6});
    EXPECT_VALUES(lucid_sub(1, x), 0, 0, {0, -1, -2});
    EXPECT_VALUES(lucid_div(6, x), 0, 0, {6, 3, 2});
    EXPECT_VALUES(lucid_pow(x, 2), 0, 0, {1, 4, 9});
    EXPECT_VALUES(lucid_pow(2, x), 1e-6, 0, {2, 4, 8});
    EXPECT_VALUES(lucid_maximum(x, 2.5f), 0, 0, {2.5, 2.5, 3});
    EXPECT_VALUES(lucid_gt(x, 1), 0, 0, {0, 1, 1});
    EXPECT_VALUES(lucid_where(lucid_eq(2, x), 9, x), 0, 0, {1, 9, 3});
    EXPECT_VALUES(lucid_add_(x, 1), 0, 0, {2, 3, 4});
    EXPECT_VALUES(lucid_div_(x, 2), 0, 0, {1, 1.5, 2});
    cr_expect(lucid_tensor_dtype(lucid_mul(lucid_ones(2, .dtype = LUCID_I64), 2)) == LUCID_I64);
    cr_expect(lucid_tensor_dtype(lucid_sub(2.5, lucid_ones(2, .dtype = LUCID_F64))) == LUCID_F64);
    int calls = 0;
    EXPECT_VALUES(lucid_add(lucid_ones(1), ++calls), 0, 0, {2});
    cr_expect_eq(calls, 1); /* read once */
    cr_expect(!lucid_has_nan(x) && lucid_has_nan(lucid_values(2, 1, NAN)));
    cr_expect(!lucid_has_nan(lucid_zeros(0)));
}

Test(options, data_of_every_type)
{
    const double d[] = {1.5, 2};
    const int32_t i[] = {7, -7};
    bool b[] = {true, false};
    cr_expect(lucid_tensor_dtype(lucid_from_data(2, d)) == LUCID_F64);
    cr_expect(lucid_tensor_dtype(lucid_from_data(2, i)) == LUCID_I32);
    cr_expect(lucid_tensor_dtype(lucid_from_data(2, b)) == LUCID_BOOL);
    EXPECT_VALUES(lucid_from_data((1, 2), i), 0, 0, {7, -7});
    lucid_tensor *half = lucid_from_data(2, d, .dtype = LUCID_F16);
    cr_expect(lucid_tensor_dtype(half) == LUCID_F16);
    EXPECT_VALUES(half, 0, 0, {1.5, 2});
}

Test(options, switches_return_what_they_were)
{
    cr_expect(!lucid_set_tf32(true) && lucid_set_tf32(false) && !lucid_get_tf32());
    cr_expect(!lucid_set_benchmark(true) && lucid_set_benchmark(false));
    cr_expect(!lucid_set_deterministic(true) && lucid_set_deterministic(false));
    cr_expect(!lucid_set_detect_anomaly(true) && lucid_set_detect_anomaly(false));
    cr_expect(lucid_set_fusion(false) && !lucid_set_fusion(true) && lucid_get_fusion());
    bool winograd = lucid_get_winograd();
    cr_expect(lucid_set_winograd(!winograd) == winograd && lucid_get_winograd() == !winograd);
    lucid_set_winograd(winograd);
    int threads = lucid_get_num_threads();
    cr_expect(lucid_set_num_threads(1) == threads && lucid_set_num_threads(threads) == 1);
    lucid_error_mode mode = lucid_set_error_mode(LUCID_ERRORS_RETURN);
    cr_expect(lucid_set_error_mode(mode) == LUCID_ERRORS_RETURN);
}

Test(options, version)
{
    cr_expect_str_eq(lucid_version_string(), LUCID_VERSION_STRING);
    cr_expect(lucid_version_number() == LUCID_VERSION &&
              LUCID_VERSION == LUCID_MAKE_VERSION(0, 1, 0));
}
