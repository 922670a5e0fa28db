/* attention.c: attention with several heads. */
#include "nn/layers/attention.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"
#include "nn/layers/layer_priv.h"
#include "nn/layers/linear.h"

#include <math.h>

/* ---- what is refused ------------------------------------------------------------------------- */

static bool bad(const lucid_tensor *t, const char *name, const char *expected)
{
    return luc_raise(LUCID_ERR_ARGUMENT, "MultiheadAttention", "%s: expected %s, got %s", name,
                     expected, luc_shape_text(t).s);
}

/* Sizes of query, key and value, which have N. */
static bool check_sizes(const nn_MultiheadAttention *a, lucid_tensor *const *t)
{
    static const char *const names[3] = {"query", "key", "value"};
    const int64_t features[3] = {a->embed_dim, a->kdim, a->vdim};
    const int batch = a->batch_first ? 0 : 1;
    luc_text expected;
    for (int i = 0; i < 3; i++) {
        if (lucid_size(t[i], 2) == features[i] &&
            lucid_size(t[i], batch) == lucid_size(t[0], batch))
            continue;
        snprintf(expected.s, sizeof expected.s, "%lld features and the batch of %lld",
                 (long long)features[i], (long long)lucid_size(t[0], batch));
        return bad(t[i], names[i], expected.s);
    }
    return lucid_size(t[2], 1 - batch) == lucid_size(t[1], 1 - batch) ||
           bad(t[2], "value", "as many positions as the key has");
}

static bool check_rank(lucid_tensor *const *t, int ndim)
{
    if (ndim != 2 && ndim != 3) return bad(t[0], "query", "[L,N,E], [N,L,E] or [L,E]");
    for (int i = 1; i < 3; i++)
        if (lucid_ndim(t[i]) != ndim)
            return bad(t[i], i == 1 ? "key" : "value", "as many dimensions as the query has");
    return true;
}

/* ---- projections and heads ------------------------------------------------------------------- */

/* The part i of n parts of a projection: rows of weight and bias. */
static lucid_tensor *project(const nn_MultiheadAttention *a, lucid_tensor *x, int first, int n)
{
    const int64_t e = a->embed_dim;
    lucid_tensor *own[3] = {a->q_proj_weight, a->k_proj_weight, a->v_proj_weight};
    lucid_tensor *w = a->in_proj_weight, *b = a->in_proj_bias;
    w = w && n < 3 ? lucid_narrow(w, 0, first * e, n * e) : w ? w : own[first];
    if (b && n < 3) b = lucid_narrow(b, 0, first * e, n * e);
    if (!w || (a->in_proj_bias && !b)) return NULL;
    return lucid_linear(x, w, b);
}

/* Replaces query, key and value by their projections. The same tensor is read once. */
static bool project_all(const nn_MultiheadAttention *a, lucid_tensor **t)
{
    const int64_t e = a->embed_dim;
    const bool packed = a->in_proj_weight, self = packed && t[0] == t[1] && t[1] == t[2];
    if (self || (packed && t[1] == t[2])) {
        const int first = self ? 0 : 1;
        lucid_tensor *y = project(a, t[first], first, 3 - first);
        if (!self) t[0] = project(a, t[0], 0, 1);
        for (int i = first; i < 3; i++) t[i] = y ? lucid_narrow(y, 2, (i - first) * e, e) : NULL;
    } else {
        for (int i = 0; i < 3; i++) t[i] = project(a, t[i], i, 1);
    }
    return t[0] && t[1] && t[2];
}

/* Appends the learned key or value [1,1,E] to each sample. */
static lucid_tensor *append(const nn_MultiheadAttention *a, lucid_tensor *x, lucid_tensor *last)
{
    lucid_shape shape = lucid_tensor_shape(x);
    const int at = a->batch_first ? 1 : 0;
    shape.dims[at] = 1;
    lucid_tensor *both[2] = {x, lucid_expand_opt(last, shape)};
    return both[1] ? lucid_cat_list(both, 2, at) : NULL;
}

/* [N,L,E] or [L,N,E] as [N,heads,L,E/heads]. */
static lucid_tensor *split_heads(const nn_MultiheadAttention *a, lucid_tensor *x)
{
    const lucid_shape order = a->batch_first ? LUCID_SHAPE(0, 2, 1, 3) : LUCID_SHAPE(1, 2, 0, 3);
    x = lucid_reshape_opt(x, LUCID_SHAPE(lucid_size(x, 0), lucid_size(x, 1), a->num_heads,
                                         a->embed_dim / a->num_heads));
    return x ? lucid_permute_opt(x, order) : NULL;
}

static lucid_tensor *join_heads(const nn_MultiheadAttention *a, lucid_tensor *y)
{
    const lucid_shape order = a->batch_first ? LUCID_SHAPE(0, 2, 1, 3) : LUCID_SHAPE(2, 0, 1, 3);
    y = lucid_permute_opt(y, order);
    if (!y) return NULL;
    return lucid_reshape_opt(y, LUCID_SHAPE(lucid_size(y, 0), lucid_size(y, 1), a->embed_dim));
}

/* x with n zeros (a row of them, where dim is -2) after the last along dim. */
static lucid_tensor *append_zeros(lucid_tensor *x, int dim, int64_t n)
{
    if (!x || n == 0) return x;
    lucid_shape shape = lucid_tensor_shape(x);
    shape.dims[shape.ndim + dim] = n;
    lucid_tensor *both[2] = {
        x, lucid_zeros_opt(shape, LUC_WITH(lucid_tensor, .dtype = lucid_tensor_dtype(x),
                                           .device = lucid_tensor_device(x)))};
    return both[1] ? lucid_cat_list(both, 2, dim) : NULL;
}

/* ---- masks ----------------------------------------------------------------------------------- */

/* What is added to the scores: -infinity where a mask of bools is true. */
static lucid_tensor *addend(lucid_tensor *mask, lucid_dtype dtype, const char *name)
{
    const lucid_dtype given = lucid_tensor_dtype(mask);
    if (lucid_dtype_is_floating(given)) return lucid_cast(mask, dtype);
    if (given != LUCID_BOOL)
        return luc_raise_null(LUCID_ERR_ARGUMENT, "MultiheadAttention",
                              "%s: expected bool or a floating dtype, got %s", name,
                              lucid_dtype_name(given));
    const lucid_tensor_options *o =
        LUC_WITH(lucid_tensor, .dtype = dtype, .device = lucid_tensor_device(mask));
    lucid_tensor *none = lucid_full_opt((lucid_shape){0}, -INFINITY, o);
    lucid_tensor *zero = none ? lucid_zeros_opt((lucid_shape){0}, o) : NULL;
    return zero ? lucid_where(mask, none, zero) : NULL;
}

/* attn_mask [L,S] or [N heads,L,S] for scores [N,heads,L,S]. */
static lucid_tensor *scores_mask(const nn_MultiheadAttention *a, lucid_tensor *mask,
                                 const int64_t *nls)
{
    const int ndim = lucid_ndim(mask);
    const bool fits = ndim >= 2 && lucid_size(mask, -2) == nls[1] && lucid_size(mask, -1) == nls[2];
    if (fits && ndim == 2) return mask;
    if (fits && ndim == 3 && lucid_size(mask, 0) == nls[0] * a->num_heads)
        return lucid_reshape_opt(mask, LUCID_SHAPE(nls[0], a->num_heads, nls[1], nls[2]));
    luc_raise(LUCID_ERR_ARGUMENT, "MultiheadAttention",
              "attn_mask: expected [%lld,%lld] or [%lld,%lld,%lld], got %s", (long long)nls[1],
              (long long)nls[2], (long long)(nls[0] * a->num_heads), (long long)nls[1],
              (long long)nls[2], luc_shape_text(mask).s);
    return NULL;
}

/* key_padding_mask [N,S] (or [S], of one sample) for scores [N,heads,L,S]. */
static lucid_tensor *padding_mask(lucid_tensor *mask, const int64_t *nls)
{
    const bool single = lucid_ndim(mask) == 1 && nls[0] == 1;
    if ((single || (lucid_ndim(mask) == 2 && lucid_size(mask, 0) == nls[0])) &&
        lucid_size(mask, -1) == nls[2])
        return lucid_reshape_opt(mask, LUCID_SHAPE(nls[0], 1, 1, nls[2]));
    luc_raise(LUCID_ERR_ARGUMENT, "MultiheadAttention",
              "key_padding_mask: expected [%lld,%lld], got %s", (long long)nls[0],
              (long long)nls[2], luc_shape_text(mask).s);
    return NULL;
}

/* The [L,S] part of the causal mask. */
static lucid_tensor *causal(const lucid_tensor *like, const int64_t *nls)
{
    const int64_t largest = nls[1] > nls[2] ? nls[1] : nls[2];
    lucid_tensor *mask =
        lucid_causal_mask_opt(largest, LUC_WITH(lucid_tensor, .dtype = lucid_tensor_dtype(like),
                                                .device = lucid_tensor_device(like)));
    mask = mask ? lucid_narrow(mask, 0, 0, nls[1]) : NULL;
    return mask ? lucid_narrow(mask, 1, 0, nls[2]) : NULL;
}

/* The sum of all masks; nls holds N, L and S before keys are appended. *ok says whether it is NULL
 * for another reason than an error. */
static lucid_tensor *all_masks(const nn_MultiheadAttention *a, const lucid_tensor *like,
                               lucid_tensor *padding, lucid_tensor *mask, const int64_t *nls,
                               bool with_causal, bool *ok)
{
    const lucid_dtype dtype = lucid_tensor_dtype(like);
    lucid_tensor *parts[3] = {NULL}, *sum = NULL;
    *ok = (!mask ||
           ((mask = addend(mask, dtype, "attn_mask")) && (parts[0] = scores_mask(a, mask, nls)))) &&
          (!padding || ((padding = addend(padding, dtype, "key_padding_mask")) &&
                        (parts[1] = padding_mask(padding, nls)))) &&
          (!with_causal || (parts[2] = causal(like, nls)));
    for (int i = 0; i < 3 && *ok; i++) {
        if (!parts[i]) continue;
        sum = sum ? lucid_add(sum, parts[i]) : parts[i];
        *ok = sum != NULL;
    }
    return *ok ? sum : NULL;
}

/* ---- forward --------------------------------------------------------------------------------- */

/* The result and the weights [N,heads,L,S]: as attention, with every step visible. */
static lucid_tensor *weighted(lucid_tensor *const *t, lucid_tensor *mask, double dropout,
                              lucid_tensor **weights)
{
    const double scale = 1 / sqrt((double)lucid_size(t[0], -1));
    lucid_tensor *scores = lucid_matmul(lucid_mul_scalar(t[0], scale), lucid_transpose(t[1], 2, 3));
    if (scores && mask) scores = lucid_add(scores, mask);
    *weights = scores ? lucid_softmax(scores, -1) : NULL;
    if (*weights && dropout > 0) *weights = lucid_dropout(*weights, dropout, true);
    return *weights ? lucid_matmul(*weights, t[2]) : NULL;
}

/* Projections, learned and zero keys, heads: t becomes [N,heads,L or S,E/heads] three times. */
static bool prepare(const nn_MultiheadAttention *a, lucid_tensor **t)
{
    if (!project_all(a, t)) return false;
    if (a->bias_k && (!(t[1] = append(a, t[1], a->bias_k)) || !(t[2] = append(a, t[2], a->bias_v))))
        return false;
    for (int i = 0; i < 3; i++) {
        t[i] = split_heads(a, t[i]);
        if (i && a->add_zero_attn) t[i] = append_zeros(t[i], -2, 1);
        if (!t[i]) return false;
    }
    return true;
}

static bool attend(lucid_module *m, lucid_tensor **t, lucid_tensor *padding, lucid_tensor *mask,
                   lucid_tensor **out, bool need_weights)
{
    const nn_MultiheadAttention *a = lucid_self(m, nn_MultiheadAttention);
    const int batch = a->batch_first ? 0 : 1;
    const int64_t nls[3] = {lucid_size(t[0], batch), lucid_size(t[0], 1 - batch),
                            lucid_size(t[1], 1 - batch)};
    const int64_t extra = (a->bias_k ? 1 : 0) + (a->add_zero_attn ? 1 : 0);
    const double dropout = m->training ? a->dropout : 0;
    const bool plain = !padding && !mask && !extra && !need_weights;
    bool ok;
    if (!prepare(a, t)) return false;
    mask = all_masks(a, t[0], padding, mask, nls, a->is_causal && !plain, &ok);
    if (!ok || (mask && !(mask = append_zeros(mask, -1, extra)))) return false;
    lucid_tensor *y = need_weights
                          ? weighted(t, mask, dropout, &out[1])
                          : lucid_scaled_dot_product_attention(t[0], t[1], t[2], .attn_mask = mask,
                                                               .dropout_p = dropout,
                                                               .is_causal = a->is_causal && plain);
    if (need_weights && y && a->average_attn_weights)
        out[1] = lucid_mean_opt(out[1], LUCID_SHAPE(1), NULL);
    y = y ? join_heads(a, y) : NULL;
    out[0] = y ? lucid_forward(a->out_proj, y) : NULL;
    return out[0] != NULL;
}

static bool forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                    int n_out)
{
    (void)n_in;
    const nn_MultiheadAttention *a = lucid_self(m, nn_MultiheadAttention);
    const bool need_weights = n_out > 1;
    const int ndim = lucid_ndim(in[0]), batch = a->batch_first ? 0 : 1;
    lucid_tensor *t[3] = {in[0], in[1] ? in[1] : in[0], in[2]};
    if (!t[2]) t[2] = t[1];
    if (!check_rank(t, ndim)) return false;
    if (ndim == 2) {
        lucid_tensor *given[3] = {t[0], t[1], t[2]};
        for (int i = 0; i < 3; i++) {
            const int same = i && given[i] == given[i - 1] ? i - 1 : i;
            t[i] = same < i ? t[same] : lucid_unsqueeze(t[i], batch);
            if (!t[i]) return false;
        }
    }
    if (!check_sizes(a, t) || !attend(m, t, in[3], in[4], out, need_weights)) return false;
    if (ndim == 2) {
        out[0] = lucid_squeeze(out[0], batch);
        if (need_weights) out[1] = lucid_squeeze(out[1], 0);
    }
    return out[0] != NULL;
}

/* ---- making one ------------------------------------------------------------------------------ */

static bool reset(lucid_module *m)
{
    const nn_MultiheadAttention *a = lucid_self(m, nn_MultiheadAttention);
    lucid_tensor *weights[4] = {a->in_proj_weight, a->q_proj_weight, a->k_proj_weight,
                                a->v_proj_weight};
    for (int i = 0; i < 4; i++)
        if (weights[i] && !lucid_init_xavier_uniform(weights[i], 1)) return false;
    lucid_tensor *out_bias = a->out_proj ? lucid_get_parameter(a->out_proj, "bias") : NULL;
    return (!a->in_proj_bias || lucid_init_constant(a->in_proj_bias, 0)) &&
           (!out_bias || lucid_init_constant(out_bias, 0)) &&
           (!a->bias_k || lucid_init_xavier_normal(a->bias_k, 1)) &&
           (!a->bias_v || lucid_init_xavier_normal(a->bias_v, 1));
}

const lucid_module_class lucid_nn_multihead_attention_class = {
    .name = "MultiheadAttention",
    .size = sizeof(nn_MultiheadAttention),
    .super = &lucid_module_class_base,
    .forward_many = forward,
    .inputs = "query, key?, value?, key_padding_mask?, attn_mask?",
    .outputs = "output, weights?",
    .reset_parameters = reset,
};

static bool check_options(int64_t embed_dim, int64_t num_heads,
                          const lucid_nn_multihead_attention_options *o)
{
    const char *layer = "MultiheadAttention";
    if (!luc_layer_at_least(layer, "embed_dim", embed_dim, 1) ||
        !luc_layer_at_least(layer, "num_heads", num_heads, 1))
        return false;
    if (embed_dim % num_heads != 0)
        return luc_raise(LUCID_ERR_ARGUMENT, layer,
                         "embed_dim: expected a multiple of the %lld heads, got %lld",
                         (long long)num_heads, (long long)embed_dim);
    if (embed_dim > INT64_MAX / 3)
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "embed_dim: expected at most %lld, got %lld",
                         (long long)(INT64_MAX / 3), (long long)embed_dim);
    if (!(o->dropout >= 0 && o->dropout <= 1))
        return luc_raise(LUCID_ERR_ARGUMENT, layer, "dropout: expected [0,1], got %g", o->dropout);
    return luc_layer_at_least(layer, "kdim", o->kdim == -1 ? embed_dim : o->kdim, 1) &&
           luc_layer_at_least(layer, "vdim", o->vdim == -1 ? embed_dim : o->vdim, 1);
}

static bool parameters(lucid_module *m, nn_MultiheadAttention *a,
                       const lucid_nn_multihead_attention_options *o)
{
    const int64_t e = a->embed_dim;
    const bool packed = a->kdim == e && a->vdim == e;
#define PARAMETER(name, wanted, ...) \
    luc_layer_parameter(m, #name, &a->name, wanted, LUCID_SHAPE(__VA_ARGS__), o->dtype, o->device)
    return PARAMETER(in_proj_weight, packed, 3 * e, e) && PARAMETER(q_proj_weight, !packed, e, e) &&
           PARAMETER(k_proj_weight, !packed, e, a->kdim) &&
           PARAMETER(v_proj_weight, !packed, e, a->vdim) &&
           PARAMETER(in_proj_bias, o->bias, 3 * e) && PARAMETER(bias_k, o->add_bias_kv, 1, 1, e) &&
           PARAMETER(bias_v, o->add_bias_kv, 1, 1, e);
#undef PARAMETER
}

lucid_module *lucid_nn_multihead_attention(int64_t embed_dim, int64_t num_heads,
                                           const lucid_nn_multihead_attention_options *options)
{
    const lucid_nn_multihead_attention_options *o =
        LUC_OPTIONS(lucid_nn_multihead_attention, options, "MultiheadAttention");
    if (!o || !check_options(embed_dim, num_heads, o)) return NULL;
    lucid_module *m = lucid_module_new(&lucid_nn_multihead_attention_class);
    nn_MultiheadAttention *a = m ? lucid_self(m, nn_MultiheadAttention) : NULL;
    if (!a) return NULL;
    a->embed_dim = embed_dim;
    a->num_heads = num_heads;
    a->kdim = o->kdim == -1 ? embed_dim : o->kdim;
    a->vdim = o->vdim == -1 ? embed_dim : o->vdim;
    a->dropout = o->dropout;
    a->batch_first = o->batch_first;
    a->add_zero_attn = o->add_zero_attn;
    a->is_causal = o->is_causal;
    a->average_attn_weights = o->average_attn_weights;
    bool ok = parameters(m, a, o) &&
              lucid_register_module(m, "out_proj", &a->out_proj,
                                    nn_Linear(embed_dim, embed_dim, .bias = o->bias,
                                              .device = o->device, .dtype = o->dtype)) &&
              reset(m);
    return luc_layer_done(m, ok);
}
