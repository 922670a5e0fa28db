/* pattern.h: names of parameters by pattern, and freezing them.
 *
 *     lucid_freeze(net, "*", .except = "fc.*");      // train the last layer only
 *
 * Threads: one at a time for a module. */
#ifndef LUCID_NN_PATTERN_H
#define LUCID_NN_PATTERN_H

#include "module.h"

LUCID_BEGIN_DECLS

/* Whether a name matches a pattern as a whole: * stands for any text, dots too, ? for one
 * character, and | parts alternatives: "*.bias|*bn*.weight". False (nothing raised) where one is
 * NULL. Thread-safe. */
LUCID_API bool lucid_name_matches(const char *name, const char *pattern);

typedef struct lucid_freeze_options {
    LUCID_OPTIONS_SIZE(lucid_freeze_options);
    const char *except LUCID_DEFAULT(NULL);  /* names that are left as they are */
    bool requires_grad LUCID_DEFAULT(false); /* true: thaw them */
} lucid_freeze_options;
LUCID_DEFAULTS(lucid_freeze, .except = NULL, .requires_grad = false);
/* Sets requires_grad of the parameters of a module whose names match. Returns how many those are;
 * -1 after an error, which it is where none matches. A frozen parameter that has a gradient loses
 * it, so that optimizers leave it alone. A BatchNorm whose parameters are frozen still takes the
 * statistics of batches and counts them while it is in training mode: lucid_eval it as well to keep
 * them. */
LUCID_API int64_t lucid_freeze_opt(lucid_module *module, const char *pattern,
                                   const lucid_freeze_options *options);
/* lucid_freeze(net, "layer1.*|layer2.*");  lucid_freeze(net, "layer2.*", .requires_grad = true) */
#define lucid_freeze(...) \
    LUCID_CALL2(lucid_freeze_opt, lucid_freeze, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
