/* embedding_bag.c: a table whose rows are reduced over bags. */
#include "nn/layers/embedding_bag.h"
#include "autograd/autograd.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "nn/layers/layer_priv.h"

static bool forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                    int n_out)
{
    (void)n_in, (void)n_out;
    const nn_EmbeddingBag *e = lucid_self(m, nn_EmbeddingBag);
    out[0] = lucid_embedding_bag(in[0], e->weight, .offsets = in[1], .per_sample_weights = in[2],
                                 .mode = e->mode, .include_last_offset = e->include_last_offset,
                                 .padding_idx = e->padding_idx);
    return out[0] != NULL;
}

static bool reset(lucid_module *m)
{
    const nn_EmbeddingBag *e = lucid_self(m, nn_EmbeddingBag);
    if (!lucid_init_normal(e->weight, 0, 1)) return false;
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    return e->padding_idx == LUCID_NO_PADDING ||
           lucid_zero_(lucid_select(e->weight, 0, e->padding_idx));
}

static int repr(const lucid_module *m, char *text, size_t size)
{
    static const char *const names[] = {"sum", "mean", "max"};
    const nn_EmbeddingBag *e = lucid_self(m, nn_EmbeddingBag);
    const long long n = (long long)e->num_embeddings, d = (long long)e->embedding_dim;
    if (e->padding_idx == LUCID_NO_PADDING)
        return snprintf(text, size, "%lld, %lld, mode='%s'", n, d, names[e->mode]);
    return snprintf(text, size, "%lld, %lld, mode='%s', padding_idx=%lld", n, d, names[e->mode],
                    (long long)e->padding_idx);
}

const lucid_module_class lucid_nn_embedding_bag_class = {
    .name = "EmbeddingBag",
    .size = sizeof(nn_EmbeddingBag),
    .super = &lucid_module_class_base,
    .forward_many = forward,
    .inputs = "input, offsets?, per_sample_weights?",
    .reset_parameters = reset,
    .extra_repr = repr,
};

lucid_module *lucid_nn_embedding_bag(int64_t num_embeddings, int64_t embedding_dim,
                                     const lucid_nn_embedding_bag_options *options)
{
    const char *layer = "EmbeddingBag";
    const lucid_nn_embedding_bag_options *o = LUC_OPTIONS(lucid_nn_embedding_bag, options, layer);
    if (!o || !luc_layer_at_least(layer, "num_embeddings", num_embeddings, 0) ||
        !luc_layer_at_least(layer, "embedding_dim", embedding_dim, 0))
        return NULL;
    if (o->mode != LUCID_BAG_SUM && o->mode != LUCID_BAG_MEAN && o->mode != LUCID_BAG_MAX)
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, layer,
            "mode: expected LUCID_BAG_SUM, LUCID_BAG_MEAN or LUCID_BAG_MAX, got %d", (int)o->mode);
    const int64_t padding = o->padding_idx;
    if (padding != LUCID_NO_PADDING && (padding < -num_embeddings || padding >= num_embeddings))
        return luc_raise_null(
            LUCID_ERR_ARGUMENT, layer, "padding_idx: expected a row in [%lld,%lld), got %lld",
            (long long)-num_embeddings, (long long)num_embeddings, (long long)padding);
    lucid_module *m = lucid_module_new(&lucid_nn_embedding_bag_class);
    nn_EmbeddingBag *e = m ? lucid_self(m, nn_EmbeddingBag) : NULL;
    if (!e) return NULL;
    e->num_embeddings = num_embeddings;
    e->embedding_dim = embedding_dim;
    e->mode = o->mode;
    e->include_last_offset = o->include_last_offset;
    e->padding_idx =
        padding < 0 && padding != LUCID_NO_PADDING ? padding + num_embeddings : padding;
    bool ok =
        luc_layer_parameter(m, "weight", &e->weight, true,
                            LUCID_SHAPE(num_embeddings, embedding_dim), o->dtype, o->device) &&
        reset(m);
    return luc_layer_done(m, ok);
}
