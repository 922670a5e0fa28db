#include <lucid/lucid.h>
#include <math.h>
#include <stdio.h>

/* y = x * sigmoid(W2 relu(W1 mean_hw(x)));  x, y: [N,C,H,W] */
typedef struct { lucid_module base; lucid_module *squeeze, *excite; } SEBlock;

static lucid_tensor *se_forward(lucid_module *m, lucid_tensor *x)
{
    SEBlock *se = lucid_self(m, SEBlock);
    lucid_tensor *g = lucid_mean(x, (2, 3), .keepdim = true);   /* [N,C,1,1] */
    g = lucid_relu(lucid_forward(se->squeeze, g));
    g = lucid_sigmoid(lucid_forward(se->excite, g));
    return lucid_mul(x, g);                                             /* broadcast */
}

static const lucid_module_class SEBlock_class = {
    .name = "SEBlock", .size = sizeof(SEBlock), .super = &lucid_module_class_base, .forward = se_forward,
};

lucid_module *make_se(int64_t channels, int64_t reduction)
{
    lucid_module *m = lucid_module_new(&SEBlock_class);
    SEBlock *se = lucid_self(m, SEBlock);
    if (!se) return NULL;                                               /* already reported */
    lucid_register_module(m, "squeeze", &se->squeeze, nn_Conv2d(channels, channels / reduction, 1));
    lucid_register_module(m, "excite", &se->excite, nn_Conv2d(channels / reduction, channels, 1));
    return m;
}

static bool batch_norm(void)
{
    LUCID_SCOPE;
    lucid_module *bn = nn_BatchNorm2d(64);
    lucid_tensor *x  = lucid_randn((8, 64, 32, 32));
    lucid_tensor *y  = lucid_forward(bn, x);          /* normalised per channel, shape (8, 64, 32, 32) */
    lucid_eval(bn);                                   /* running statistics, no batch dependence */
    {
        LUCID_NO_GRAD;
        y = lucid_forward(bn, x);
    }
    lucid_module_free(bn);
    /* One step from mean 0 and variance 1, y is close to x: 524288 draws around zero. */
    return y && fabs(lucid_item(lucid_sum(y))) < 5000;
}

static bool se_block(void)
{
    LUCID_SCOPE;
    lucid_module *se = make_se(16, 4);
    lucid_tensor *x = lucid_randn((2, 16, 8, 8));
    lucid_tensor *y = lucid_forward(se, x);
    lucid_backward(lucid_sum(lucid_mul(y, y)));
    /* The gate lies between 0 and 1: no output is larger than its input. */
    bool ok = y && lucid_item(lucid_sum(lucid_mul(y, y))) < lucid_item(lucid_sum(lucid_mul(x, x)));
    lucid_module_free(se);
    return ok;
}

int main(void)
{
    lucid_manual_seed(42);
    if (!batch_norm() || !se_block()) {
        fprintf(stderr, "unexpected values\n");
        return 1;
    }
    return lucid_finish();
}
