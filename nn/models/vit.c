/* vit.c: the Vision Transformer (Dosovitskiy et al., "An image is worth 16x16 words", 2021). */
#include "autograd/ops.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/init.h"
#include "nn/layers/activation.h"
#include "nn/layers/container.h"
#include "nn/layers/convolution.h"
#include "nn/layers/dropout.h"
#include "nn/layers/linear.h"
#include "nn/layers/list.h"
#include "nn/layers/norms.h"
#include "nn/models/build_priv.h"

#include <math.h>
#include <stdio.h>

/* ---- attention ------------------------------------------------------------------------------- */

/* Attention of each position to all, in several heads, with the parameters' names of
 * torch.nn.MultiheadAttention. */
typedef struct attention {
    lucid_module base;
    lucid_tensor *in_weight, *in_bias; /* [3 width, width], [3 width] */
    lucid_module *out_proj;
    int64_t heads;
} attention;

/* x [N,T,D] gives [N,T,D]. */
static lucid_tensor *attention_forward(lucid_module *m, lucid_tensor *x)
{
    const attention *a = (const attention *)m;
    const int64_t n = lucid_size(x, 0), t = lucid_size(x, 1), d = lucid_size(x, 2);
    const int64_t h = a->heads, k = d / h;
    lucid_tensor *qkv = lucid_linear(x, a->in_weight, a->in_bias);             /* [N,T,3D] */
    qkv = lucid_permute(lucid_reshape(qkv, (n, t, 3, h, k)), (2, 0, 3, 1, 4)); /* [3,N,h,T,k] */
    lucid_tensor *q = lucid_select(qkv, 0, 0), *key = lucid_select(qkv, 0, 1);
    lucid_tensor *scores =
        lucid_matmul(lucid_mul(q, 1 / sqrt((double)k)), lucid_transpose(key, 2, 3)); /* [N,h,T,T] */
    lucid_tensor *y = lucid_matmul(lucid_softmax(scores, -1), lucid_select(qkv, 0, 2));
    y = lucid_reshape(lucid_permute(y, (0, 2, 1, 3)), (n, t, d));
    return lucid_forward(a->out_proj, y);
}

static const lucid_module_class attention_class = {.name = "MultiheadAttention",
                                                   .size = sizeof(attention),
                                                   .super = &lucid_module_class_base,
                                                   .forward = attention_forward};

static lucid_module *make_attention(int64_t width, int64_t heads)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&attention_class);
    attention *a = (attention *)m;
    if (!a) return NULL;
    a->heads = heads;
    bool ok = lucid_register_parameter(m, "in_proj_weight", &a->in_weight,
                                       lucid_empty((3 * width, width))) &&
              lucid_register_parameter(m, "in_proj_bias", &a->in_bias, lucid_zeros(3 * width)) &&
              lucid_init_xavier_uniform(a->in_weight, 1) &&
              lucid_register_module(m, "out_proj", &a->out_proj, nn_Linear(width, width));
    if (ok) ok = lucid_init_zeros(lucid_self(a->out_proj, nn_Linear)->bias) != NULL;
    return luc_finish_model(m, ok, NULL);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

/* x + attention(ln_1(x)), then that + mlp(ln_2(that)) */
typedef struct encoder_block {
    lucid_module base;
    lucid_module *ln_1, *attention, *dropout, *ln_2, *mlp;
} encoder_block;

static lucid_tensor *block_forward(lucid_module *m, lucid_tensor *x)
{
    const encoder_block *b = (const encoder_block *)m;
    lucid_tensor *y = lucid_forward(b->attention, lucid_forward(b->ln_1, x));
    x = lucid_add(x, lucid_forward(b->dropout, y));
    return lucid_add(x, lucid_forward(b->mlp, lucid_forward(b->ln_2, x)));
}

static const lucid_module_class block_class = {.name = "EncoderBlock",
                                               .size = sizeof(encoder_block),
                                               .super = &lucid_module_class_base,
                                               .forward = block_forward};

/* Its linear layers begin uniform (Xavier) with biases of nearly 0. */
static lucid_module *make_mlp(int64_t width, int64_t inner, double p)
{
    lucid_module *a = nn_Linear(width, inner), *b = nn_Linear(inner, width);
    lucid_module *m = nn_Sequential(a, nn_GELU(), nn_Dropout(.p = p), b, nn_Dropout(.p = p));
    if (!m) return NULL;
    bool ok = true;
    for (int k = 0; ok && k < 2; k++) {
        const nn_Linear *l = lucid_self(k ? b : a, nn_Linear);
        ok = lucid_init_xavier_uniform(l->weight, 1) && lucid_init_normal(l->bias, 0, 1e-6);
    }
    return luc_finish_model(m, ok, NULL);
}

static lucid_module *make_block(int64_t width, int64_t heads, int64_t inner, double p)
{
    lucid_module *m = lucid_module_new(&block_class);
    encoder_block *b = (encoder_block *)m;
    if (!b) return NULL;
    bool ok =
        lucid_register_module(m, "ln_1", &b->ln_1, nn_LayerNorm(width, .eps = 1e-6)) &&
        lucid_register_module(m, "self_attention", &b->attention, make_attention(width, heads)) &&
        lucid_register_module(m, "dropout", &b->dropout, nn_Dropout(.p = p)) &&
        lucid_register_module(m, "ln_2", &b->ln_2, nn_LayerNorm(width, .eps = 1e-6)) &&
        lucid_register_module(m, "mlp", &b->mlp, make_mlp(width, inner, p));
    return luc_finish_model(m, ok, NULL);
}

/* ---- the encoder ----------------------------------------------------------------------------- */

typedef struct encoder {
    lucid_module base;
    lucid_tensor *positions; /* [1,T,D] */
    lucid_module *dropout, *layers, *ln;
} encoder;

static lucid_tensor *encoder_forward(lucid_module *m, lucid_tensor *x)
{
    const encoder *e = (const encoder *)m;
    x = lucid_forward(e->dropout, lucid_add(x, e->positions));
    return lucid_forward(e->ln, lucid_forward(e->layers, x));
}

static const lucid_module_class encoder_class = {.name = "Encoder",
                                                 .size = sizeof(encoder),
                                                 .super = &lucid_module_class_base,
                                                 .forward = encoder_forward};

typedef struct plan {
    int64_t patch, width;
    int layers;
    int64_t heads, inner;
} plan;

static lucid_module *make_encoder(const plan *p, int64_t length, double drop)
{
    LUCID_SCOPE;
    lucid_module *m = lucid_module_new(&encoder_class), *layers = nn_Sequential();
    encoder *e = (encoder *)m;
    if (!e || !layers) return luc_finish_model(m, false, NULL);
    bool ok = lucid_register_parameter(m, "pos_embedding", &e->positions,
                                       lucid_empty((1, length, p->width))) &&
              lucid_init_normal(e->positions, 0, 0.02) &&
              lucid_register_module(m, "dropout", &e->dropout, nn_Dropout(.p = drop)) &&
              lucid_register_module(m, "layers", &e->layers, layers);
    for (int k = 0; ok && k < p->layers; k++) {
        char name[32];
        snprintf(name, sizeof name, "encoder_layer_%d", k);
        ok = luc_append(layers, name, make_block(p->width, p->heads, p->inner, drop));
    }
    ok = ok && lucid_register_module(m, "ln", &e->ln, nn_LayerNorm(p->width, .eps = 1e-6));
    return luc_finish_model(m, ok, NULL);
}

/* ---- the network ----------------------------------------------------------------------------- */

typedef struct vit {
    lucid_module base;
    lucid_tensor *class_token; /* [1,1,D] */
    lucid_module *conv_proj, *encoder, *heads;
    int64_t image; /* the only size of images */
} vit;

static lucid_tensor *vit_forward(lucid_module *m, lucid_tensor *x)
{
    const vit *v = (const vit *)m;
    const int64_t d = lucid_size(v->class_token, 2);
    lucid_tensor *y = lucid_forward(v->conv_proj, x); /* [N,D,h,w] */
    y = lucid_permute(lucid_flatten(y, 2, -1), (0, 2, 1));
    lucid_tensor *token = lucid_expand(v->class_token, (lucid_size(x, 0), 1, d));
    y = lucid_forward(v->encoder, lucid_cat((token, y), 1));
    return lucid_forward(v->heads, lucid_select(y, 1, 0));
}

static bool vit_check(lucid_module *m, lucid_tensor *x)
{
    const vit *v = (const vit *)m;
    if (lucid_ndim(x) == 4 && lucid_size(x, 2) == v->image && lucid_size(x, 3) == v->image)
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, "VisionTransformer",
                     "input: expected [N,C,%lld,%lld], got %s", (long long)v->image,
                     (long long)v->image, luc_shape_text(x).s);
}

static const lucid_module_class vit_class = {.name = "VisionTransformer",
                                             .size = sizeof(vit),
                                             .super = &lucid_module_class_base,
                                             .forward = vit_forward,
                                             .check_input = vit_check};

/* The convolution begins normal inside [-2, 2] standard deviations of 1/sqrt(fan_in). */
static bool init_patches(lucid_module *conv)
{
    const nn_Conv2d *c = conv ? lucid_self(conv, nn_Conv2d) : NULL;
    int64_t in, out;
    return c && lucid_init_fans(c->weight, &in, &out) &&
           lucid_init_trunc_normal(c->weight, .std = sqrt(1 / (double)in)) &&
           lucid_init_zeros(c->bias);
}

/* [N,C,S,S], S the image size, gives [N,num_classes]. */
lucid_module *luc_build_vit(int i, const lucid_nn_model_options *o)
{
    static const plan plans[] = {{16, 768, 12, 12, 3072},
                                 {32, 768, 12, 12, 3072},
                                 {16, 1024, 24, 16, 4096},
                                 {32, 1024, 24, 16, 4096},
                                 {14, 1280, 32, 16, 5120}};
    LUCID_SCOPE;
    const plan *p = &plans[i];
    const int64_t image = o->image_size ? o->image_size : 224, side = image / p->patch;
    if (image % p->patch || image > 1 << 16)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "VisionTransformer",
                              "image_size: expected a multiple of %lld, got %lld",
                              (long long)p->patch, (long long)image);
    lucid_module *m = lucid_module_new(&vit_class), *head = nn_Linear(p->width, o->num_classes);
    vit *v = (vit *)m;
    lucid_module *heads = nn_NamedSequential({"head", head});
    if (!v || !heads) {
        lucid_module_free(heads);
        return luc_finish_model(m, false, NULL);
    }
    v->image = image;
    bool ok =
        lucid_register_parameter(m, "class_token", &v->class_token,
                                 lucid_zeros((1, 1, p->width))) &&
        lucid_register_module(m, "conv_proj", &v->conv_proj,
                              nn_Conv2d(o->in_channels, p->width, p->patch, .stride = p->patch)) &&
        init_patches(v->conv_proj) &&
        lucid_register_module(m, "encoder", &v->encoder,
                              make_encoder(p, side * side + 1, luc_dropout_of(o, 0)));
    ok = lucid_register_module(m, "heads", &v->heads, heads) && ok &&
         lucid_init_zeros(lucid_self(head, nn_Linear)->weight) &&
         lucid_init_zeros(lucid_self(head, nn_Linear)->bias);
    return luc_finish_model(m, ok, NULL);
}
