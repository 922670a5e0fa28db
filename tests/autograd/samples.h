/* samples.h: inputs made from an operator's .samples, and comparing what comes out. */
#ifndef LUCID_TESTS_SAMPLES_H
#define LUCID_TESTS_SAMPLES_H

#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/ops.h"
#include "lucid/lucid.h"

#ifndef SAMPLES_WITHOUT_CRITERION
#include <criterion/criterion.h>
#endif
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How far two kernels may be apart that round differently: a few units in the last place of sums
 * over some hundred elements, relative to values near one. */
typedef struct tolerance {
    lucid_dtype dtype;
    double rtol, atol;
} tolerance;
static const tolerance tolerances[] = {
    {LUCID_F64, 1e-11, 1e-11}, /* eps 1e-16, sums and quotients of some hundred */
    {LUCID_F32, 2e-5, 2e-5},   /* eps 6e-8 */
    {LUCID_F16, 4e-3, 4e-3},   /* eps 5e-4; computed in float32, rounded once */
    {LUCID_BF16, 3e-2, 3e-2},  /* eps 4e-3 */
};

static inline const tolerance *tolerance_of(lucid_dtype dtype)
{
    for (size_t i = 0; i < sizeof tolerances / sizeof *tolerances; i++)
        if (tolerances[i].dtype == dtype) return &tolerances[i];
    static const tolerance exact = {LUCID_I64, 0, 0};
    return &exact;
}

static inline bool is_same(const lucid_tensor *a, const lucid_tensor *b, lucid_dtype computed)
{
    if (!a || !b) return a == b;
    const tolerance *t = tolerance_of(computed);
    if (!lucid_dtype_is_floating(a->view.dtype)) t = tolerance_of(a->view.dtype);
    lucid_shape sa = lucid_tensor_shape(a), sb = lucid_tensor_shape(b);
    return lucid_shape_equal(&sa, &sb) && a->view.dtype == b->view.dtype &&
           lucid_allclose(a, b, t->rtol, t->atol, true);
}

/* ---- inputs ---- */

/* The same numbers in every run; different ones for each input. */
static inline double next_number(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

static inline uint64_t seed_of(const lucid_op *op, const lucid_sample *s, int i)
{
    uint64_t h = 1469598103934665603u + (uint64_t)i;
    for (const char *p = op->name; *p; p++) h = (h ^ (uint64_t)*p) * 1099511628211u;
    for (const char *p = s->name ? s->name : ""; *p; p++) h = (h ^ (uint64_t)*p) * 1099511628211u;
    return h;
}

static inline lucid_tensor *make_input(const lucid_sample_input *in, lucid_shape shape,
                                       lucid_dtype dtype, uint64_t seed)
{
    double low = in->low, high = in->high;
    if (low == 0 && high == 0) {
        low = -1;
        high = 1;
    }
    if (in->dtype != LUCID_F32) dtype = in->dtype;
    size_t n = (size_t)lucid_shape_numel(&shape);
    double *values = malloc((n ? n : 1) * sizeof *values);
    for (size_t i = 0; i < n; i++) {
        values[i] = low + (high - low) * next_number(&seed);
        if (!lucid_dtype_is_floating(dtype)) values[i] = floor(values[i]);
    }
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = dtype;
    lucid_tensor *t = lucid_from_doubles_opt(shape, values, n, &o);
    free(values);
    return t;
}

static inline bool is_differentiable(const lucid_sample_input *in, const lucid_tensor *t)
{
    return t && !in->no_grad && lucid_dtype_is_floating(t->view.dtype);
}

/* Fills in[s->n_in]; absent inputs are NULL. */
static inline void make_inputs(const lucid_op *op, const lucid_sample *s, lucid_dtype dtype,
                               lucid_tensor **in)
{
    for (int i = 0; i < s->n_in; i++)
        in[i] = s->in[i].shape.ndim < 0
                    ? NULL
                    : make_input(&s->in[i], s->in[i].shape, dtype, seed_of(op, s, i));
}

static inline void require_gradients(const lucid_sample *s, lucid_tensor **in, uint32_t which)
{
    for (int i = 0; i < s->n_in; i++)
        if (is_differentiable(&s->in[i], in[i])) lucid_requires_grad_(in[i], which >> i & 1);
}

static inline bool apply_sample(const lucid_op *op, const lucid_sample *s, lucid_tensor *const *in,
                                lucid_tensor **out)
{
    return lucid_apply_multi(op, in, s->n_in, s->attrs, out);
}

/* ---- gradients ---- */

/* Numbers to begin a backward with, other than ones. */
static inline lucid_tensor *start_like(const lucid_tensor *t)
{
    lucid_sample_input in = {.dtype = LUCID_F32};
    lucid_tensor *start = make_input(&in, lucid_tensor_shape(t), t->view.dtype, 99);
    return lucid_tensor_to(start, t->storage->device);
}

/* Bit k: gradients come from output k. Output 0 must have some; the others may be mere by-products
 * (the statistics of batch_norm), whose gradients nobody can ask for. */
static inline uint32_t differentiable_outputs(const lucid_op *op, const lucid_sample *s,
                                              lucid_tensor *const *in, lucid_tensor *const *out)
{
    uint32_t found = 0;
    lucid_tensor *inputs[LUCID_MAX_INPUTS], *got[LUCID_MAX_INPUTS];
    size_t n = 0;
    for (int i = 0; i < s->n_in; i++)
        if (in[i] && lucid_requires_grad(in[i])) inputs[n++] = in[i];
    for (int k = 0; n && k < op->n_out; k++) {
        if (!lucid_requires_grad(out[k])) continue;
        lucid_tensor *start = start_like(out[k]), *root = out[k];
        lucid_grad_options o = lucid_grad_defaults;
        o.gradients = &start;
        o.retain_graph = o.allow_unused = true;
        if (!lucid_grad_opt(&root, 1, inputs, n, got, &o)) return found;
        for (size_t i = 0; i < n; i++)
            if (got[i]) found |= 1u << k;
    }
    return found;
}

/* The gradients of all inputs (NULL where there is none) from all differentiable outputs at
 * once. */
static inline bool gradients(const lucid_op *op, const lucid_sample *s, lucid_tensor *const *in,
                             lucid_tensor *const *out, lucid_tensor **grads)
{
    lucid_tensor *roots[LUCID_MAX_OUTPUTS], *starts[LUCID_MAX_OUTPUTS];
    lucid_tensor *inputs[LUCID_MAX_INPUTS], *got[LUCID_MAX_INPUTS];
    size_t n = 0, n_roots = 0;
    for (int k = 0; k < op->n_out; k++)
        if (lucid_requires_grad(out[k])) {
            roots[n_roots] = out[k];
            starts[n_roots++] = start_like(out[k]);
        }
    for (int i = 0; i < s->n_in; i++) {
        grads[i] = NULL;
        if (in[i] && lucid_requires_grad(in[i])) inputs[n++] = in[i];
    }
    if (n == 0 || n_roots == 0) return true;
    lucid_grad_options o = lucid_grad_defaults;
    o.gradients = starts;
    o.allow_unused = true;
    if (!lucid_grad_opt(roots, n_roots, inputs, n, got, &o)) return false;
    for (int i = 0, k = 0; i < s->n_in; i++)
        if (in[i] && lucid_requires_grad(in[i])) grads[i] = got[k++];
    return true;
}

/* ---- over all operators, in a test ---- */

#ifndef SAMPLES_WITHOUT_CRITERION

/* For every operator and sample: body(op, s), in a scope; what it raised and left is reported. */
typedef void (*sample_body)(const lucid_op *op, const lucid_sample *s);

static inline void for_all_samples(sample_body body)
{
    const lucid_op *op;
    for (size_t i = 0; (op = lucid_op_at(i)); i++)
        for (int k = 0; k < op->n_samples; k++) {
            LUCID_SCOPE;
            body(op, &op->samples[k]);
            cr_expect_str_eq(lucid_error(), "", "%s, sample \"%s\": %s", op->name,
                             op->samples[k].name ? op->samples[k].name : "", lucid_error());
            lucid_clear_error();
        }
}

#define EXPECT_SAMPLE(condition, what)                                                         \
    cr_expect(condition, "%s, sample \"%s\": %s (%s)", op->name, s->name ? s->name : "", what, \
              lucid_error())

#endif
#endif
