/* loss_priv.h: checks and reductions that the losses' files and their modules share. */
#ifndef LUCID_AUTOGRAD_OPS_LOSS_PRIV_H
#define LUCID_AUTOGRAD_OPS_LOSS_PRIV_H

#include "autograd/ops/loss_ctc.h"
#include "autograd/ops/loss_margin.h"
#include "autograd/ops/loss_pointwise.h"
#include "lucid/core/tensor.h"

/* False, with an error by op, where reduction is not none, mean or sum. */
bool luc_loss_how(int reduction, const char *op);
/* The sum, the mean, or the loss itself. A NULL loss comes from an earlier error and gives NULL. */
lucid_tensor *luc_loss_reduced(lucid_tensor *loss, int reduction);
/* Checks that x is given and floating, and casts it as autocast wants it. NULL after an error. */
lucid_tensor *luc_loss_input(lucid_tensor *x, const char *op, const char *argument);
/* The same for x and y of equal sizes, where y may have any dtype: one that is not floating is
 * cast to x's dtype. `names` are x's and y's for messages. */
bool luc_loss_pair(lucid_tensor **x, lucid_tensor **y, const char *op, const char *const names[2]);
/* False, with an error, where w (which may be NULL) does not broadcast to the sizes of x. */
bool luc_loss_weight(const lucid_tensor *w, const lucid_tensor *x, const char *op,
                     const char *argument);
/* False, with an error, where an option is not a number (a NaN), or is below least. */
bool luc_loss_number(double value, double least, const char *op, const char *argument);
/* max(x, 0) whose derivative at 0 is 1, as that of PyTorch's clamp_min. NaN stays NaN. */
lucid_tensor *luc_loss_positive(lucid_tensor *x);
/* x as float32 where it has 16 bits, for squares and sums that 16 bits do not hold; otherwise x. */
lucid_tensor *luc_loss_wide(lucid_tensor *x);
/* Writes the smallest or largest element as a C value, for which it waits for the device: NaN where
 * there is one, 0 of nothing. False after an error. */
bool luc_loss_extreme(lucid_tensor *x, bool largest, double *value);
/* log(1 + e^x) without PyTorch's threshold: accurate everywhere. */
lucid_tensor *luc_loss_softplus(lucid_tensor *x);

/* Whether the options are valid, for functions and modules alike; raises an error by op. */
bool luc_binary_cross_entropy_valid(const lucid_binary_cross_entropy_options *o, const char *op);
bool luc_binary_cross_entropy_with_logits_valid(
    const lucid_binary_cross_entropy_with_logits_options *o, const char *op);
bool luc_l1_loss_valid(const lucid_l1_loss_options *o, const char *op);
bool luc_smooth_l1_loss_valid(const lucid_smooth_l1_loss_options *o, const char *op);
bool luc_huber_loss_valid(const lucid_huber_loss_options *o, const char *op);
bool luc_kl_div_valid(const lucid_kl_div_options *o, const char *op);
bool luc_soft_margin_loss_valid(const lucid_soft_margin_loss_options *o, const char *op);
bool luc_hinge_embedding_loss_valid(const lucid_hinge_embedding_loss_options *o, const char *op);
bool luc_poisson_nll_loss_valid(const lucid_poisson_nll_loss_options *o, const char *op);
bool luc_gaussian_nll_loss_valid(const lucid_gaussian_nll_loss_options *o, const char *op);
bool luc_focal_loss_valid(const lucid_focal_loss_options *o, const char *op);
bool luc_dice_loss_valid(const lucid_dice_loss_options *o, const char *op);
bool luc_pairwise_distance_valid(const lucid_pairwise_distance_options *o, const char *op);
bool luc_cosine_similarity_valid(const lucid_cosine_similarity_options *o, const char *op);
bool luc_margin_ranking_loss_valid(const lucid_margin_ranking_loss_options *o, const char *op);
bool luc_cosine_embedding_loss_valid(const lucid_cosine_embedding_loss_options *o, const char *op);
bool luc_triplet_margin_loss_valid(const lucid_triplet_margin_loss_options *o, const char *op);
bool luc_triplet_margin_with_distance_loss_valid(
    const lucid_triplet_margin_with_distance_loss_options *o, const char *op);
bool luc_ctc_loss_valid(const lucid_ctc_loss_options *o, const char *name);
bool luc_multi_margin_loss_valid(const lucid_multi_margin_loss_options *o, const char *op);
bool luc_multilabel_margin_loss_valid(const lucid_multilabel_margin_loss_options *o,
                                      const char *op);
bool luc_multilabel_soft_margin_loss_valid(const lucid_multilabel_soft_margin_loss_options *o,
                                           const char *op);

#endif
