/* se_block.h: the module that a user writes (see docs/add_a_module.md), for the tests. */
#ifndef TESTS_NN_SE_BLOCK_H
#define TESTS_NN_SE_BLOCK_H

#include "autograd/ops.h"
#include "nn/nn.h"

/* y = x * sigmoid(W2 relu(W1 mean_hw(x)));  x, y: [N,C,H,W] */
typedef struct {
    lucid_module base;
    lucid_module *squeeze, *excite;
} SEBlock;

static lucid_tensor *se_forward(lucid_module *m, lucid_tensor *x)
{
    SEBlock *se = lucid_self(m, SEBlock);
    lucid_tensor *g = lucid_mean(x, (2, 3), .keepdim = true); /* [N,C,1,1] */
    g = lucid_relu(lucid_forward(se->squeeze, g));
    g = lucid_sigmoid(lucid_forward(se->excite, g));
    return lucid_mul(x, g);
}

static const lucid_module_class SEBlock_class = {
    .name = "SEBlock",
    .size = sizeof(SEBlock),
    .super = &lucid_module_class_base,
    .forward = se_forward,
};

static inline lucid_module *make_se(int64_t channels, int64_t reduction)
{
    lucid_module *m = lucid_module_new(&SEBlock_class);
    SEBlock *se = lucid_self(m, SEBlock);
    if (!se) return NULL;
    lucid_register_module(m, "squeeze", &se->squeeze, nn_Conv2d(channels, channels / reduction, 1));
    lucid_register_module(m, "excite", &se->excite, nn_Conv2d(channels / reduction, channels, 1));
    return m;
}

#endif
