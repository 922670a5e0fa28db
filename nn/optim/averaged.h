/* averaged.h: averages of a module's parameters over training: EMA and SWA.
 *
 *     lucid_averaged *ema = optim_EMA(net, .decay = 0.999);
 *     ... after every lucid_step(opt): lucid_averaged_update(ema, net) ...
 *     lucid_update_bn(lucid_averaged_module(ema), train_loader);   // for SWA; see below
 *     lucid_tensor *y = lucid_forward(lucid_averaged_module(ema), x);
 *     lucid_averaged_free(ema);
 *
 * The average is a deep copy of the module, made when the averaged object is: in the same modes, on
 * the same devices. The first update copies the parameters, as in PyTorch's AveragedModel. The
 * average of 16-bit parameters is kept in their dtype; lucid_to_dtype of lucid_averaged_module to
 * float32 keeps it better, and updates convert. Threads: one at a time. */
#ifndef LUCID_NN_OPTIM_AVERAGED_H
#define LUCID_NN_OPTIM_AVERAGED_H

#include "../../lucid/data/loader.h"
#include "../module.h"
#include "../state_dict.h"

LUCID_BEGIN_DECLS

typedef struct lucid_averaged lucid_averaged;

typedef struct lucid_ema_options {
    LUCID_OPTIONS_SIZE(lucid_ema_options);
    double decay LUCID_DEFAULT(0.999); /* in [0, 1] */
    /* Average floating buffers (running statistics) too; false: they are those of the module. */
    bool use_buffers LUCID_DEFAULT(false);
} lucid_ema_options;
LUCID_DEFAULTS(lucid_ema, .decay = 0.999, .use_buffers = false);
/* average <- decay average + (1 - decay) parameter. The caller's to lucid_averaged_free; NULL on an
 * error. */
LUCID_API lucid_averaged *lucid_averaged_ema(lucid_module *module,
                                             const lucid_ema_options *options);

typedef struct lucid_swa_options {
    LUCID_OPTIONS_SIZE(lucid_swa_options);
    bool use_buffers LUCID_DEFAULT(false); /* as above */
} lucid_swa_options;
LUCID_DEFAULTS(lucid_swa, .use_buffers = false);
/* The plain average of all updates (stochastic weight averaging, Izmailov et al., 2018). */
LUCID_API lucid_averaged *lucid_averaged_swa(lucid_module *module,
                                             const lucid_swa_options *options);
LUCID_API void lucid_averaged_free(lucid_averaged *averaged);

/* Brings the average on by the module as it is, which has the same parameters and buffers in the
 * same order. After an error (memory) some parameters may have been brought on. */
LUCID_API bool lucid_averaged_update(lucid_averaged *averaged, lucid_module *module);
/* The average: borrowed; lucid_module_copy keeps it longer. */
LUCID_API lucid_module *lucid_averaged_module(lucid_averaged *averaged);
/* How many updates it has seen; -1 for NULL. */
LUCID_API int64_t lucid_averaged_count(const lucid_averaged *averaged);

/* "n_averaged" and the module's entries after "module.", as in PyTorch: copies. The caller's to
 * lucid_state_dict_free. */
LUCID_API lucid_state_dict *lucid_averaged_state_dict(lucid_averaged *averaged);
/* Takes such a state over; where it is refused, nothing has changed. */
LUCID_API bool lucid_averaged_load_state_dict(lucid_averaged *averaged,
                                              const lucid_state_dict *state);

/* Estimates the running statistics of every BatchNorm of a module anew, as the plain average over
 * one epoch of the loader: an average of weights has other statistics than its parts. It runs the
 * module on batch.x in training mode without gradients, and then every module has its mode and
 * every BatchNorm its momentum back, also after an error. A module without BatchNorm does not
 * change. Begins with the loader's next epoch. */
LUCID_API bool lucid_update_bn(lucid_module *module, lucid_loader *loader);

/* optim_EMA(net, .decay = 0.9999);  optim_SWA(net) */
#define optim_EMA(...) LUCID_CALL1(lucid_averaged_ema, lucid_ema, LUCID_ASIS, __VA_ARGS__)
#define optim_SWA(...) LUCID_CALL1(lucid_averaged_swa, lucid_swa, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
