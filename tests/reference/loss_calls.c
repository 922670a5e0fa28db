/* loss_calls.c: calls of losses, distances and norms with the options that a manifest names. */
#include "tests/reference/loss_calls.h"
#include "autograd/ops.h"

#include <string.h>

static double number(const op_case *c, const char *key)
{
    return vectors_double(c->line, key, NAN);
}

static int how(const op_case *c)
{
    static const char *const names[] = {"none", "mean", "sum", "batchmean"};
    const char *reduction = vectors_get(c->line, "reduction");
    for (int i = 0; i < 4; i++)
        if (strcmp(reduction, names[i]) == 0) return i;
    return -1;
}

/* ---- losses of elements ---------------------------------------------------------------------- */

static void call_bce(op_case *c)
{
    c->out[0] =
        lucid_binary_cross_entropy(c->in[0], c->in[1], .weight = c->in[2], .reduction = how(c));
}

static void call_bce_with_logits(op_case *c)
{
    c->out[0] = lucid_binary_cross_entropy_with_logits(c->in[0], c->in[1], .weight = c->in[2],
                                                       .pos_weight = c->in[3], .reduction = how(c));
}

static void call_kl_div(op_case *c)
{
    c->out[0] = lucid_kl_div(c->in[0], c->in[1], .reduction = how(c),
                             .log_target = vectors_bool(c->line, "log_target", false));
}

static void call_l1(op_case *c)
{
    c->out[0] = lucid_l1_loss(c->in[0], c->in[1], .reduction = how(c));
}

static void call_smooth_l1(op_case *c)
{
    c->out[0] =
        lucid_smooth_l1_loss(c->in[0], c->in[1], .beta = number(c, "beta"), .reduction = how(c));
}

static void call_huber(op_case *c)
{
    c->out[0] = lucid_huber_loss(c->in[0], c->in[1], .weight = c->in[2],
                                 .delta = number(c, "delta"), .reduction = how(c));
}

static void call_soft_margin(op_case *c)
{
    c->out[0] = lucid_soft_margin_loss(c->in[0], c->in[1], .reduction = how(c));
}

static void call_hinge(op_case *c)
{
    c->out[0] = lucid_hinge_embedding_loss(c->in[0], c->in[1], .margin = number(c, "margin"),
                                           .reduction = how(c));
}

static void call_poisson(op_case *c)
{
    c->out[0] = lucid_poisson_nll_loss(
        c->in[0], c->in[1], .log_input = vectors_bool(c->line, "log_input", true),
        .full = vectors_bool(c->line, "full", false), .eps = number(c, "eps"), .reduction = how(c));
}

static void call_gaussian(op_case *c)
{
    c->out[0] = lucid_gaussian_nll_loss(c->in[0], c->in[1], c->in[2],
                                        .full = vectors_bool(c->line, "full", false),
                                        .eps = number(c, "eps"), .reduction = how(c));
}

/* ---- distances and margins ------------------------------------------------------------------- */

static void call_pairwise(op_case *c)
{
    c->out[0] =
        lucid_pairwise_distance(c->in[0], c->in[1], .p = number(c, "p"), .eps = number(c, "eps"),
                                .keepdim = vectors_bool(c->line, "keepdim", false));
}

static void call_cosine(op_case *c)
{
    c->out[0] = lucid_cosine_similarity(
        c->in[0], c->in[1], .dim = (int)vectors_int(c->line, "dim", 1), .eps = number(c, "eps"));
}

static void call_ranking(op_case *c)
{
    c->out[0] = lucid_margin_ranking_loss(c->in[0], c->in[1], c->in[2],
                                          .margin = number(c, "margin"), .reduction = how(c));
}

static void call_cosine_embedding(op_case *c)
{
    c->out[0] = lucid_cosine_embedding_loss(c->in[0], c->in[1], c->in[2],
                                            .margin = number(c, "margin"), .reduction = how(c));
}

static void call_triplet(op_case *c)
{
    c->out[0] = lucid_triplet_margin_loss(
        c->in[0], c->in[1], c->in[2], .margin = number(c, "margin"), .p = number(c, "p"),
        .eps = number(c, "eps"), .swap = vectors_bool(c->line, "swap", false), .reduction = how(c));
}

static void call_multi_margin(op_case *c)
{
    c->out[0] = lucid_multi_margin_loss(c->in[0], c->in[1], .weight = c->in[2],
                                        .p = vectors_int(c->line, "p", 1),
                                        .margin = number(c, "margin"), .reduction = how(c));
}

static void call_multilabel_margin(op_case *c)
{
    c->out[0] = lucid_multilabel_margin_loss(c->in[0], c->in[1], .reduction = how(c));
}

static void call_multilabel_soft_margin(op_case *c)
{
    c->out[0] = lucid_multilabel_soft_margin_loss(c->in[0], c->in[1], .weight = c->in[2],
                                                  .reduction = how(c));
}

static void call_ctc(op_case *c)
{
    c->out[0] = lucid_ctc_loss(lucid_log_softmax(c->in[0], -1), c->in[1], c->in[2], c->in[3],
                               .blank = vectors_int(c->line, "blank", 0), .reduction = how(c),
                               .zero_infinity = vectors_bool(c->line, "zero_infinity", false));
}

/* ---- norms ----------------------------------------------------------------------------------- */

static void call_group_norm(op_case *c)
{
    c->out[0] = lucid_group_norm(c->in[0], vectors_int(c->line, "num_groups", 0),
                                 .weight = c->in[1], .bias = c->in[2], .eps = number(c, "eps"));
}

static void call_layer_norm(op_case *c)
{
    lucid_shape shape = {.ndim = 0};
    vectors_list(c->line, "normalized_shape", &shape);
    c->out[0] = lucid_layer_norm(c->in[0], shape, .weight = c->in[1], .bias = c->in[2],
                                 .eps = number(c, "eps"));
}

static void call_rms_norm(op_case *c)
{
    lucid_shape shape = {.ndim = 0};
    vectors_list(c->line, "normalized_shape", &shape);
    c->out[0] = lucid_rms_norm(c->in[0], shape, .weight = c->in[1], .eps = number(c, "eps"));
}

static void call_instance_norm(op_case *c)
{
    c->out[0] = lucid_instance_norm(
        c->in[0], .weight = c->in[1], .bias = c->in[2], .running_mean = c->running_mean,
        .running_var = c->running_var, .momentum = number(c, "momentum"),
        .use_input_stats = vectors_bool(c->line, "use_input_stats", true), .eps = number(c, "eps"));
}

static void call_local_response_norm(op_case *c)
{
    c->out[0] = lucid_local_response_norm(c->in[0], vectors_int(c->line, "size", 0),
                                          .alpha = number(c, "alpha"), .beta = number(c, "beta"),
                                          .k = number(c, "k"));
}

/* ---- moved elements, tables ------------------------------------------------------------------ */

static void call_shuffle(op_case *c)
{
    const int64_t factor = vectors_int(c->line, "factor", 0);
    const char *op = vectors_get(c->line, "op");
    if (strcmp(op, "pixel_shuffle") == 0) c->out[0] = lucid_pixel_shuffle(c->in[0], factor);
    if (strcmp(op, "pixel_unshuffle") == 0) c->out[0] = lucid_pixel_unshuffle(c->in[0], factor);
    if (strcmp(op, "channel_shuffle") == 0)
        c->out[0] = lucid_channel_shuffle(c->in[0], vectors_int(c->line, "groups", 0));
}

static void call_pad(op_case *c)
{
    lucid_shape pads = {.ndim = 0};
    vectors_list(c->line, "pads", &pads);
    const char *mode = vectors_get(c->line, "mode");
    const lucid_pad_mode how = !mode                            ? LUCID_PAD_CONSTANT
                               : strcmp(mode, "reflect") == 0   ? LUCID_PAD_REFLECT
                               : strcmp(mode, "replicate") == 0 ? LUCID_PAD_REPLICATE
                                                                : LUCID_PAD_CIRCULAR;
    c->out[0] = lucid_pad(c->in[0], pads, .mode = how, .value = mode ? 0 : number(c, "value"));
}

static void call_embedding(op_case *c)
{
    c->out[0] = lucid_embedding(
        c->in[0], c->in[1], .padding_idx = vectors_int(c->line, "padding_idx", LUCID_NO_PADDING));
}

static void call_bilinear(op_case *c)
{
    c->out[0] = lucid_bilinear(c->in[0], c->in[1], c->in[2], c->in[3]);
}

static void call_attention(op_case *c)
{
    c->out[0] = lucid_scaled_dot_product_attention(
        c->in[0], c->in[1], c->in[2], .attn_mask = c->in[3], .scale = number(c, "scale"),
        .is_causal = vectors_bool(c->line, "is_causal", false),
        .enable_gqa = vectors_bool(c->line, "enable_gqa", false));
}

/* ---- the table ------------------------------------------------------------------------------- */

#define ENTRY(name, call)                                      \
    {                                                          \
        name, TOLERANCE_STATISTICS, TOLERANCE_STATISTICS, call \
    }
static const op_entry table[] = {
    ENTRY("binary_cross_entropy", call_bce),
    ENTRY("binary_cross_entropy_with_logits", call_bce_with_logits),
    ENTRY("kl_div", call_kl_div),
    ENTRY("l1_loss", call_l1),
    ENTRY("smooth_l1_loss", call_smooth_l1),
    ENTRY("huber_loss", call_huber),
    ENTRY("soft_margin_loss", call_soft_margin),
    ENTRY("hinge_embedding_loss", call_hinge),
    ENTRY("poisson_nll_loss", call_poisson),
    ENTRY("gaussian_nll_loss", call_gaussian),
    ENTRY("pairwise_distance", call_pairwise),
    ENTRY("cosine_similarity", call_cosine),
    ENTRY("margin_ranking_loss", call_ranking),
    ENTRY("cosine_embedding_loss", call_cosine_embedding),
    ENTRY("triplet_margin_loss", call_triplet),
    ENTRY("multi_margin_loss", call_multi_margin),
    ENTRY("multilabel_margin_loss", call_multilabel_margin),
    ENTRY("multilabel_soft_margin_loss", call_multilabel_soft_margin),
    ENTRY("ctc_loss", call_ctc),
    ENTRY("group_norm", call_group_norm),
    ENTRY("layer_norm", call_layer_norm),
    ENTRY("rms_norm", call_rms_norm),
    ENTRY("instance_norm", call_instance_norm),
    ENTRY("local_response_norm", call_local_response_norm),
    {"pixel_shuffle", TOLERANCE_EXACT, TOLERANCE_EXACT, call_shuffle},
    {"pixel_unshuffle", TOLERANCE_EXACT, TOLERANCE_EXACT, call_shuffle},
    {"channel_shuffle", TOLERANCE_EXACT, TOLERANCE_EXACT, call_shuffle},
    {"constant_pad", TOLERANCE_EXACT, TOLERANCE_EXACT, call_pad},
    {"pad", TOLERANCE_EXACT, TOLERANCE_SUM, call_pad},
    {"embedding", TOLERANCE_EXACT, TOLERANCE_SUM, call_embedding},
    {"bilinear", TOLERANCE_SUM, TOLERANCE_SUM, call_bilinear},
    ENTRY("scaled_dot_product_attention", call_attention),
};

const op_entry *loss_find(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}
