/* Random numbers and dropout on the device: the CPU's, to the last bit, in any layout. */
#include "device_call.h"

CUDA_SUITE(random_numbers);

static const uint64_t offsets[] = {0, 1, 0xfffffff0u, 0xfffffffffffffff0u};

/* The same draw on both sides; `exact`: to the last bit. */
static void compare(lucid_op_id op, lucid_dtype dtype, int ndim, const int64_t *dims,
                    array_layout layout, const lucid_random_attrs *a, bool exact)
{
    array want = array_new(dtype, ndim, dims, layout), *w = &want;
    array got = array_new(dtype, ndim, dims, layout), *g = &got;
    cr_assert(kernel_call(op, dtype, a, NULL, 0, &w, 1));
    cr_assert(device_call(op, dtype, a, NULL, 0, &g, 1), "%s", lucid_error());
    bool same = exact ? array_same(&got, &want) : device_distance(&got, &want, 1e-13, 1e-13) <= 1;
    cr_expect(same, "op %d, %s, layout %d, %ld elements", (int)op, lucid_dtype_name(dtype),
              (int)layout, (long)array_numel(&got));
    cr_expect(array_gaps_intact(&got));
    array_free_all();
}

static void every_layout(lucid_op_id op, lucid_dtype dtype, const lucid_random_attrs *a, bool exact)
{
    static const int64_t image[] = {3, 5, 7, 9};
    for (int64_t n = 0; n < 90; n = 2 * n + 1) compare(op, dtype, 1, &n, DENSE, a, exact);
    const int64_t n = 9001; /* several blocks and a rest */
    compare(op, dtype, 1, &n, DENSE, a, exact);
    for (int layout = 0; layout < LAYOUTS; layout++)
        compare(op, dtype, 4, image, (array_layout)layout, a, exact);
}

Test(random_numbers, uniform)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (size_t o = 0; o < 4; o++) {
            lucid_random_attrs a = {.seed = 0x123456789abcdefu + o, .offset = offsets[o], .b = 1};
            every_layout(LUCID_OP_uniform, (lucid_dtype)dtype, &a, true);
            a.a = -3;
            a.b = 0.7;
            every_layout(LUCID_OP_uniform, (lucid_dtype)dtype, &a, true);
        }
}

Test(random_numbers, normal)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (size_t o = 0; o < 4; o++) {
            lucid_random_attrs a = {.seed = 99 + o, .offset = offsets[o], .a = 2, .b = 3};
            every_layout(LUCID_OP_normal, (lucid_dtype)dtype, &a, dtype != LUCID_F64);
        }
}

Test(random_numbers, integers_and_coins)
{
    for (int dtype = LUCID_F32; dtype < LUCID_DTYPE_COUNT; dtype++) {
        lucid_random_attrs a = {.seed = 5, .offset = 7, .low = 0, .high = 2};
        every_layout(LUCID_OP_randint, (lucid_dtype)dtype, &a, true);
        a.high = 200;
        if (dtype == LUCID_I64) {
            a.low = INT64_MIN;
            a.high = INT64_MAX;
        }
        if (dtype != LUCID_BOOL) every_layout(LUCID_OP_randint, (lucid_dtype)dtype, &a, true);
        a.a = 0.3;
        every_layout(LUCID_OP_bernoulli, (lucid_dtype)dtype, &a, true);
    }
}

static void dropout(lucid_dtype dtype, const int64_t *dims, array_layout layout,
                    array_layout mask_layout, double p)
{
    const lucid_random_attrs a = {.seed = 11, .offset = 0xfffffff9u, .a = p};
    array x = array_normal(dtype, 4, dims, layout, 0, 1), *in[2] = {&x, NULL};
    array want = array_new(dtype, 4, dims, layout), got = array_new(dtype, 4, dims, layout);
    array keep = array_new(LUCID_U8, 4, dims, mask_layout);
    array kept = array_new(LUCID_U8, 4, dims, mask_layout);
    cr_assert(kernel_call(LUCID_OP_dropout, dtype, &a, in, 1, (array *[]){&want, &keep}, 2));
    cr_assert(device_call(LUCID_OP_dropout, dtype, &a, in, 1, (array *[]){&got, &kept}, 2));
    cr_expect(array_same(&got, &want) && array_same(&kept, &keep), "%s, layouts %d and %d, p %g",
              lucid_dtype_name(dtype), (int)layout, (int)mask_layout, p);
    cr_expect(array_gaps_intact(&got) && array_gaps_intact(&kept));
    in[1] = &keep;
    array *w = &want, *g = &got;
    cr_assert(kernel_call(LUCID_OP_dropout_backward, dtype, &a, in, 2, &w, 1));
    cr_assert(device_call(LUCID_OP_dropout_backward, dtype, &a, in, 2, &g, 1));
    cr_expect(array_same(&got, &want), "backward, %s, layouts %d and %d, p %g",
              lucid_dtype_name(dtype), (int)layout, (int)mask_layout, p);
    array_free_all();
}

Test(random_numbers, dropout)
{
    static const int64_t shapes[][4] = {{2, 3, 5, 7}, {2, 16, 6, 6},  {3, 9, 4, 5},
                                        {1, 1, 1, 1}, {4, 8, 11, 13}, {2, 0, 3, 3}};
    static const double p[] = {0, 0.3, 1};
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int layout = 0; layout < LAYOUTS; layout++) {
                dropout((lucid_dtype)dtype, shapes[s], (array_layout)layout, (array_layout)layout,
                        p[(s + (size_t)layout) % 3]);
                dropout((lucid_dtype)dtype, shapes[s], (array_layout)layout, DENSE, 0.5);
            }
}

/* In a captured step seed and offset come from the device. */
Test(random_numbers, live_numbers)
{
    const lucid_backend *b = device_backend();
    const int64_t n = 777;
    uint64_t cells[2] = {42, 5}, *live = b->alloc(0, sizeof cells);
    cr_assert(b->copy(live, lucid_cuda(0), cells, lucid_cpu(), sizeof cells));
    lucid_random_attrs there = {.seed = 1, .offset = 100, .b = 1, .live = live};
    lucid_random_attrs here = {.seed = 42, .offset = 105, .b = 1};
    array want = array_new(LUCID_F32, 1, &n, DENSE), *w = &want;
    array got = array_new(LUCID_F32, 1, &n, DENSE), *g = &got;
    cr_assert(kernel_call(LUCID_OP_uniform, LUCID_F32, &here, NULL, 0, &w, 1));
    cr_assert(device_call(LUCID_OP_uniform, LUCID_F32, &there, NULL, 0, &g, 1));
    cr_expect(array_same(&got, &want));
    b->free(0, live, sizeof cells);
    array_free_all();
}
