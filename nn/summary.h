/* summary.h: what a module is made of: a tree with output sizes, parameters and multiply-adds.
 *
 *     char *text = lucid_module_summary(net, lucid_zeros((1, 3, 32, 32)));
 *     printf("%s\n", text);
 *     free(text);
 *
 * The module is run once on the given inputs, in eval mode and without recording, so that nothing
 * in it changes; its modes come back, also after an error. Its own hooks run. Threads: one at a
 * time for a module. */
#ifndef LUCID_NN_SUMMARY_H
#define LUCID_NN_SUMMARY_H

#include "module.h"

LUCID_BEGIN_DECLS

/* Sums over a module; what is shared counts once, except in multiply_adds and output_bytes, which
 * count every run. */
typedef struct lucid_module_totals {
    int64_t parameters, trainable; /* elements */
    /* Multiplications with an addition, in convolutions (also transposed ones) and linear layers;
     * other layers count as 0. */
    int64_t multiply_adds;
    int64_t parameter_bytes, buffer_bytes;
    int64_t output_bytes; /* of all modules without children: about what training keeps */
} lucid_module_totals;

/* Runs the module and sums. inputs may have NULL entries where the class allows it. */
LUCID_API bool lucid_module_totals_of(lucid_module *module, lucid_tensor *const *inputs,
                                      int n_inputs, lucid_module_totals *totals);
/* The same as a table: a line for each module, indented by its depth, with the sizes of its first
 * output ("-" where it was not run), its own parameters and its multiply-adds; and the totals. The
 * caller releases it with free(). NULL on an error. */
LUCID_API char *lucid_module_summary_many(lucid_module *module, lucid_tensor *const *inputs,
                                          int n_inputs);
/* lucid_module_summary(net, x);  lucid_module_summary(net, x, mask) */
#define lucid_module_summary(module, ...)                                                   \
    __extension__({                                                                         \
        lucid_tensor *const luc_summarised_[] = {__VA_ARGS__};                              \
        lucid_module_summary_many(module, luc_summarised_,                                  \
                                  (int)(sizeof luc_summarised_ / sizeof *luc_summarised_)); \
    })

LUCID_END_DECLS
#endif
