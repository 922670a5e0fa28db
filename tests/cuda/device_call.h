/* device_call.h: calling one kernel of the CUDA backend on plain arrays of any layout, and the
 * CPU's on the same. */
#ifndef TESTS_CUDA_DEVICE_CALL_H
#define TESTS_CUDA_DEVICE_CALL_H

#include "cuda_testing.h"
#include "tests/backends/kernel_call.h"

#include <criterion/criterion.h>

static inline const lucid_backend *device_backend(void)
{
    const lucid_backend *b = lucid_backend_get(LUCID_CUDA);
    cr_assert(b, "%s", lucid_error());
    return b;
}

/* The array's whole block on the device, what lies around its elements included. */
static inline lucid_view device_put(const array *a)
{
    const lucid_backend *b = device_backend();
    lucid_view v = a->view;
    char *there = b->alloc(0, a->bytes);
    cr_assert(there);
    cr_assert(b->copy(there, lucid_cuda(0), a->block, lucid_cpu(), a->bytes), "%s", lucid_error());
    v.data = there + ((char *)a->view.data - a->block);
    return v;
}

static inline char *device_block(const array *a, const lucid_view *there)
{
    return (char *)there->data - ((char *)a->view.data - a->block);
}

static inline void device_get(array *a, const lucid_view *there)
{
    const lucid_backend *b = device_backend();
    cr_assert(b->copy(a->block, lucid_cpu(), device_block(a, there), lucid_cuda(0), a->bytes), "%s",
              lucid_error());
}

static inline void device_drop(const array *a, const lucid_view *there)
{
    device_backend()->free(0, device_block(a, there), a->bytes);
}

/* Runs the device's kernel on views that lie there. */
static inline bool device_run(lucid_dtype dtype, lucid_kernel_args *args)
{
    const lucid_backend *b = device_backend();
    lucid_kernel kernel = b->kernels[args->op][dtype];
    cr_assert(kernel.run, "no kernel for %s", lucid_dtype_name(dtype));
    args->stream = b->stream(0);
    lucid_plan plan = {.workspace = 0};
    if (kernel.plan && !kernel.plan(args, &plan)) return false;
    args->plan = kernel.plan ? &plan : NULL;
    if (plan.workspace) args->workspace = b->alloc(0, plan.workspace);
    bool ok = kernel.run(args);
    if (plan.workspace) b->free(0, args->workspace, plan.workspace);
    args->plan = NULL;
    return ok;
}

/* As kernel_call, on the device. An output that is also an input is one array there too. */
static inline bool device_call(lucid_op_id op, lucid_dtype dtype, const void *attrs,
                               array *const *in, int n_in, array *const *out, int n_out)
{
    lucid_view views[LUCID_MAX_INPUTS + LUCID_MAX_OUTPUTS];
    const lucid_view *inputs[LUCID_MAX_INPUTS] = {0}, *outputs[LUCID_MAX_OUTPUTS] = {0};
    for (int i = 0; i < n_in; i++) {
        views[i] = device_put(in[i]);
        inputs[i] = &views[i];
    }
    for (int k = 0; k < n_out; k++) {
        lucid_view *v = &views[n_in + k];
        outputs[k] = v;
        for (int i = 0; i < n_in; i++)
            if (in[i] == out[k]) outputs[k] = inputs[i];
        if (outputs[k] == v) *v = device_put(out[k]);
    }
    lucid_kernel_args args = {
        .op = op, .n_in = n_in, .n_out = n_out, .in = inputs, .out = outputs, .attrs = attrs};
    bool ok = device_run(dtype, &args);
    for (int k = 0; k < n_out; k++) {
        device_get(out[k], outputs[k]);
        if (outputs[k] == &views[n_in + k]) device_drop(out[k], outputs[k]);
    }
    for (int i = 0; i < n_in; i++) device_drop(in[i], inputs[i]);
    return ok;
}

/* The largest difference of two arrays in units of absolute + relative |b|: see array_distance. */
static inline double device_distance(const array *a, const array *b, double absolute,
                                     double relative)
{
    int64_t n = array_numel(a);
    double *want = malloc((size_t)(n + 1) * sizeof *want);
    for (int64_t i = 0; i < n; i++) want[i] = array_get(b, i);
    double d = array_distance(a, want, absolute, relative);
    free(want);
    return d;
}

#endif
