/* test_ops.c: every operator's samples on the CUDA device against the CPU: values, gradients, any
 * layout, every dtype. A new operator is tested by this file without a change to it. */
#include "cuda_testing.h"
#include "tests/autograd/samples.h"

CUDA_SUITE(ops);

static bool to_device(int n, lucid_tensor *const *from, lucid_tensor **to, lucid_device device)
{
    LUCID_NO_GRAD;
    for (int i = 0; i < n; i++) {
        to[i] = from[i] ? lucid_tensor_to(from[i], device) : NULL;
        if (from[i] && !to[i]) return false;
    }
    return true;
}

static bool agrees(const lucid_tensor *got, const lucid_tensor *want, lucid_dtype dtype)
{
    if (!got || !want) return got == want;
    if (got->storage->device.type != LUCID_CUDA) return false;
    LUCID_NO_GRAD;
    return is_same(lucid_tensor_to((lucid_tensor *)got, lucid_cpu()), want, dtype);
}

/* Linear algebra by LAPACK. */
static bool is_of_the_cpu(const lucid_op *op)
{
    return strncmp(op->name, "linalg_", strlen("linalg_")) == 0;
}

/* 16-bit results may be one rounding apart; the CPU does not have all of them. */
static void compare(const lucid_op *op, const lucid_sample *s, lucid_tensor *const *in,
                    lucid_dtype dtype, const char *what)
{
    lucid_tensor *there[LUCID_MAX_INPUTS], *here[LUCID_MAX_INPUTS];
    lucid_tensor *want[LUCID_MAX_OUTPUTS], *got[LUCID_MAX_OUTPUTS];
    lucid_tensor *want_grad[LUCID_MAX_INPUTS], *got_grad[LUCID_MAX_INPUTS];
    bool ok = to_device(s->n_in, in, there, lucid_cuda(0));
    EXPECT_SAMPLE(ok, "to_device");
    if (!ok) return;
    for (int i = 0; i < s->n_in; i++) here[i] = in[i];
    bool differentiable = !(op->flags & LUCID_OP_NO_GRAD);
    if (differentiable) {
        require_gradients(s, here, ~0u);
        require_gradients(s, there, ~0u);
    }
    ok = apply_sample(op, s, here, want);
    if (!ok && lucid_error_code() == LUCID_ERR_UNSUPPORTED) {
        lucid_clear_error(); /* the CPU has no kernel for this dtype either */
        return;
    }
    if (ok && is_of_the_cpu(op)) { /* refused: lucid never computes on another device silently */
        EXPECT_SAMPLE(
            !apply_sample(op, s, there, got) && lucid_error_code() == LUCID_ERR_UNSUPPORTED, what);
        lucid_clear_error();
        return;
    }
    ok = ok && apply_sample(op, s, there, got);
    EXPECT_SAMPLE(ok, what);
    for (int k = 0; ok && k < op->n_out; k++) EXPECT_SAMPLE(agrees(got[k], want[k], dtype), what);
    if (!ok || !differentiable || !lucid_requires_grad(want[0])) return;
    ok = gradients(op, s, here, want, want_grad);
    if (!ok && lucid_error_code() == LUCID_ERR_UNSUPPORTED) {
        lucid_clear_error();
        return;
    }
    ok = ok && gradients(op, s, there, got, got_grad);
    EXPECT_SAMPLE(ok, what);
    for (int i = 0; ok && i < s->n_in; i++)
        EXPECT_SAMPLE(agrees(got_grad[i], want_grad[i], dtype), what);
}

static void check_dtype(const lucid_op *op, const lucid_sample *s, lucid_dtype dtype)
{
    lucid_tensor *in[LUCID_MAX_INPUTS];
    if (op->id == LUCID_OP_to_device) return; /* its samples name the CPU: see test_device.c */
    make_inputs(op, s, dtype, in);
    compare(op, s, in, dtype, lucid_dtype_name(dtype));
    if (!(op->flags & LUCID_OP_BROADCAST)) return;
    /* More than a block, and no multiple of a vector. */
    lucid_shape shape = {2, {7, 131}};
    for (int k = 0; k < s->n_in; k++)
        if (in[k]) in[k] = make_input(&s->in[k], shape, dtype, seed_of(op, s, k));
    compare(op, s, in, dtype, "a longer row");
}

static void check_f32(const lucid_op *op, const lucid_sample *s)
{
    check_dtype(op, s, LUCID_F32);
}
static void check_f64(const lucid_op *op, const lucid_sample *s)
{
    check_dtype(op, s, LUCID_F64);
}
static void check_f16(const lucid_op *op, const lucid_sample *s)
{
    check_dtype(op, s, LUCID_F16);
}
static void check_bf16(const lucid_op *op, const lucid_sample *s)
{
    check_dtype(op, s, LUCID_BF16);
}

Test(ops, float32)
{
    for_all_samples(check_f32);
}
Test(ops, float64)
{
    for_all_samples(check_f64);
}
Test(ops, float16)
{
    for_all_samples(check_f16);
}
Test(ops, bfloat16)
{
    for_all_samples(check_bf16);
}
