/* embedding.c: a table of vectors, and a product of two vectors. */
#include "nn/layers/embedding.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"

#include <math.h>

/* ---- Embedding ------------------------------------------------------------------------------- */

static lucid_tensor *embedding_forward(lucid_module *m, lucid_tensor *x)
{
    const nn_Embedding *e = lucid_self(m, nn_Embedding);
    return lucid_embedding(x, e->weight, .padding_idx = e->padding_idx);
}

static bool embedding_reset(lucid_module *m)
{
    const nn_Embedding *e = lucid_self(m, nn_Embedding);
    if (!lucid_init_normal(e->weight, 0, 1)) return false;
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    return e->padding_idx == LUCID_NO_PADDING ||
           lucid_zero_(lucid_select(e->weight, 0, e->padding_idx));
}

static int embedding_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Embedding *e = lucid_self(m, nn_Embedding);
    const long long n = (long long)e->num_embeddings, d = (long long)e->embedding_dim;
    if (e->padding_idx == LUCID_NO_PADDING) return snprintf(text, size, "%lld, %lld", n, d);
    return snprintf(text, size, "%lld, %lld, padding_idx=%lld", n, d, (long long)e->padding_idx);
}

const lucid_module_class lucid_nn_embedding_class = {
    .name = "Embedding",
    .size = sizeof(nn_Embedding),
    .super = &lucid_module_class_base,
    .forward = embedding_forward,
    .reset_parameters = embedding_reset,
    .extra_repr = embedding_repr,
};

lucid_module *lucid_nn_embedding(int64_t num_embeddings, int64_t embedding_dim,
                                 const lucid_nn_embedding_options *options)
{
    const char *layer = "Embedding";
    const lucid_nn_embedding_options *o = LUC_OPTIONS(lucid_nn_embedding, options, layer);
    if (!o || !luc_layer_at_least(layer, "num_embeddings", num_embeddings, 0) ||
        !luc_layer_at_least(layer, "embedding_dim", embedding_dim, 0))
        return NULL;
    int64_t padding = o->padding_idx;
    if (padding != LUCID_NO_PADDING && (padding < -num_embeddings || padding >= num_embeddings))
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, layer, "padding_idx: expected a row in [%lld,%lld), got %lld",
            (long long)-num_embeddings, (long long)num_embeddings, (long long)padding);
    lucid_module *m = lucid_module_new(&lucid_nn_embedding_class);
    nn_Embedding *e = m ? lucid_self(m, nn_Embedding) : NULL;
    if (!e) return NULL;
    e->num_embeddings = num_embeddings;
    e->embedding_dim = embedding_dim;
    e->padding_idx =
        padding < 0 && padding != LUCID_NO_PADDING ? padding + num_embeddings : padding;
    bool ok =
        luc_layer_parameter(m, "weight", &e->weight, true,
                            LUCID_SHAPE(num_embeddings, embedding_dim), o->dtype, o->device) &&
        embedding_reset(m);
    return luc_layer_done(m, ok);
}

/* ---- Bilinear -------------------------------------------------------------------------------- */

static bool bilinear_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                             int n_out)
{
    (void)n_in, (void)n_out;
    const nn_Bilinear *b = lucid_self(m, nn_Bilinear);
    out[0] = lucid_bilinear(in[0], in[1], b->weight, b->bias);
    return out[0] != NULL;
}

static bool bilinear_reset(lucid_module *m)
{
    const nn_Bilinear *b = lucid_self(m, nn_Bilinear);
    const double bound = b->in1_features > 0 ? 1 / sqrt((double)b->in1_features) : 0;
    return lucid_init_uniform(b->weight, -bound, bound) &&
           (!b->bias || lucid_init_uniform(b->bias, -bound, bound));
}

static int bilinear_repr(const lucid_module *m, char *text, size_t size)
{
    const nn_Bilinear *b = lucid_self(m, nn_Bilinear);
    return snprintf(text, size, "in1_features=%lld, in2_features=%lld, out_features=%lld, bias=%s",
                    (long long)b->in1_features, (long long)b->in2_features,
                    (long long)b->out_features, luc_python_bool(b->bias));
}

const lucid_module_class lucid_nn_bilinear_class = {
    .name = "Bilinear",
    .size = sizeof(nn_Bilinear),
    .super = &lucid_module_class_base,
    .forward_many = bilinear_forward,
    .inputs = "input1, input2",
    .reset_parameters = bilinear_reset,
    .extra_repr = bilinear_repr,
};

lucid_module *lucid_nn_bilinear(int64_t in1_features, int64_t in2_features, int64_t out_features,
                                const lucid_nn_bilinear_options *options)
{
    const char *layer = "Bilinear";
    const lucid_nn_bilinear_options *o = LUC_OPTIONS(lucid_nn_bilinear, options, layer);
    if (!o || !luc_layer_at_least(layer, "in1_features", in1_features, 1) ||
        !luc_layer_at_least(layer, "in2_features", in2_features, 0) ||
        !luc_layer_at_least(layer, "out_features", out_features, 0))
        return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_bilinear_class);
    nn_Bilinear *b = m ? lucid_self(m, nn_Bilinear) : NULL;
    if (!b) return NULL;
    b->in1_features = in1_features;
    b->in2_features = in2_features;
    b->out_features = out_features;
    bool ok = luc_layer_parameter(m, "weight", &b->weight, true,
                                  LUCID_SHAPE(out_features, in1_features, in2_features), o->dtype,
                                  o->device) &&
              luc_layer_parameter(m, "bias", &b->bias, o->bias, LUCID_SHAPE(out_features), o->dtype,
                                  o->device) &&
              bilinear_reset(m);
    return luc_layer_done(m, ok);
}
