/* softmax.c: softmax, log_softmax and their gradients: plans and registration. */
#include "backends/cpu/softmax/softmax_priv.h"

static luc_softmax_plan make_plan(const lucid_kernel_args *args, const lucid_view *const *views,
                                  int operands)
{
    const lucid_dim_attrs *attrs = args->attrs;
    luc_softmax_plan p = {.size = 1};
    p.loop = luc_loop_begin(operands);
    for (int d = 0; d < views[0]->ndim; d++) {
        int64_t strides[3] = {0};
        for (int k = 0; k < operands; k++) strides[k] = views[k]->strides[d];
        if (d != attrs->dim) {
            luc_loop_add(&p.loop, views[0]->dims[d], strides);
            continue;
        }
        p.size = views[0]->dims[d];
        for (int k = 0; k < operands; k++) p.step[k] = strides[k];
    }
    luc_loop_end(&p.loop);
    for (int k = 0; k < operands; k++) p.data[k] = views[k]->data;
    p.log = args->op == LUCID_OP_log_softmax || args->op == LUCID_OP_log_softmax_backward;
    return p;
}

static bool softmax(const lucid_kernel_args *args)
{
    const lucid_view *views[] = {args->in[0], args->out[0]};
    luc_softmax_plan p = make_plan(args, views, 2);
    luc_softmax_get()->forward[args->in[0]->dtype](&p);
    return true;
}

static bool softmax_backward(const lucid_kernel_args *args)
{
    const lucid_view *views[] = {args->in[0], args->in[1], args->out[0]};
    luc_softmax_plan p = make_plan(args, views, 3);
    luc_softmax_get()->backward[args->in[0]->dtype](&p);
    return true;
}

void luc_cpu_register_softmax(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_softmax][dtype].run = softmax;
        b->kernels[LUCID_OP_log_softmax][dtype].run = softmax;
        b->kernels[LUCID_OP_softmax_backward][dtype].run = softmax_backward;
        b->kernels[LUCID_OP_log_softmax_backward][dtype].run = softmax_backward;
    }
}
