/* both.h: one operator on the CPU and on the CUDA device, from the same numbers in the same layout:
 * equal within rounding, and to the bit when the device does it again. */
#ifndef TESTS_CUDA_BOTH_H
#define TESTS_CUDA_BOTH_H

#include "cuda_testing.h"
#include "tests/autograd/samples.h"

enum { BOTH_INPUTS = 4 };

/* What is done to an input before it is used, on both sides alike. */
typedef lucid_tensor *(*arrange)(lucid_tensor *t);
typedef struct both {
    const lucid_op *op;
    const void *attrs;
    int n_in;
    lucid_tensor *in[BOTH_INPUTS]; /* on the CPU, contiguous */
    arrange arrange[BOTH_INPUTS];
    lucid_dtype dtype; /* the tolerance's */
    const char *what;
} both;

static inline lucid_tensor *as_it_is(lucid_tensor *t)
{
    return t;
}
static inline lucid_tensor *channels_last(lucid_tensor *t)
{
    return t->view.ndim == 4 ? lucid_contiguous(t, LUCID_CHANNELS_LAST) : t;
}
/* Without the first of every dimension: unaligned, with gaps. */
static inline lucid_tensor *without_first(lucid_tensor *t)
{
    for (int d = 0; t && d < t->view.ndim; d++)
        if (t->view.dims[d] > 1) t = lucid_slice(t, d, 1, INT64_MAX, 1);
    return t;
}
static inline lucid_tensor *every_second(lucid_tensor *t)
{
    for (int d = 0; t && d < t->view.ndim; d++) t = lucid_slice(t, d, 0, INT64_MAX, 2);
    return t;
}
/* The memory of the other order: the last dimension has the largest stride. */
static inline lucid_tensor *backwards(lucid_tensor *t)
{
    lucid_shape order = {.ndim = t->view.ndim}, dims = order;
    for (int d = 0; d < order.ndim; d++) {
        order.dims[d] = order.ndim - 1 - d;
        dims.dims[d] = t->view.dims[order.ndim - 1 - d];
    }
    return lucid_permute_opt(lucid_reshape_opt(t, dims), order);
}

static inline bool both_apply(const both *b, lucid_device device, lucid_tensor **out)
{
    lucid_tensor *in[BOTH_INPUTS] = {NULL};
    for (int i = 0; i < b->n_in; i++) {
        if (!b->in[i]) continue;
        in[i] = lucid_tensor_to(b->in[i], device);
        if (b->arrange[i]) in[i] = b->arrange[i](in[i]);
        if (!in[i]) return false;
    }
    return lucid_apply_multi(b->op, in, b->n_in, b->attrs, out);
}

static inline void expect_both(const both *b)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    lucid_tensor *want[LUCID_MAX_OUTPUTS], *got[LUCID_MAX_OUTPUTS], *again[LUCID_MAX_OUTPUTS];
    const char *name = b->op->name, *type = lucid_dtype_name(b->dtype);
    bool ok = both_apply(b, lucid_cpu(), want) && both_apply(b, lucid_cuda(0), got) &&
              both_apply(b, lucid_cuda(0), again);
    cr_expect(ok, "%s, %s, %s: %s", name, type, b->what, lucid_error());
    for (int k = 0; ok && k < b->op->n_out; k++) {
        lucid_tensor *host = lucid_tensor_to(got[k], lucid_cpu());
        lucid_tensor *twice = lucid_tensor_to(again[k], lucid_cpu());
        cr_expect(is_same(host, want[k], b->dtype), "%s, %s, %s: output %d differs from the CPU's",
                  name, type, b->what, k);
        cr_expect(is_same(host, twice, LUCID_I64), "%s, %s, %s: output %d differs from run to run",
                  name, type, b->what, k);
    }
    lucid_clear_error();
}

/* Numbers in [low, high), whole ones for integers. */
static inline lucid_tensor *numbers(lucid_shape shape, lucid_dtype dtype, double low, double high,
                                    uint64_t seed)
{
    lucid_sample_input in = {.dtype = LUCID_F32, .low = low, .high = high};
    return make_input(&in, shape, dtype, seed);
}

static const lucid_dtype floating[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16};
static const lucid_dtype any_dtype[] = {LUCID_F32, LUCID_F64, LUCID_F16, LUCID_BF16,
                                        LUCID_I64, LUCID_I32, LUCID_U8,  LUCID_BOOL};
enum { FLOATING = 4, ANY_DTYPE = 8 };

#endif
