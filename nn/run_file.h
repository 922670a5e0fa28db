/* run_file.h: one file with all that a training run needs to go on, with the same bits.
 *
 *     if (lucid_run_load_latest("runs", .module = net, .optimizer = opt, .scheduler = s,
 *                               .loader = loader) < 0 && lucid_error_code()) return 1;
 *     lucid_batch b;
 *     while (lucid_next(loader, &b)) {
 *         ...
 *         if (++steps % 500 == 0)
 *             lucid_run_save_in("runs", steps, .module = net, .optimizer = opt, .scheduler = s,
 *                               .loader = loader, .keep = 3);
 *     }
 *
 * The file is safetensors: "module.conv1.weight", "optimizer.state.0.exp_avg", and so on. It is
 * written beside the old one and takes its place when it is whole and on the disk: a run that is
 * killed at any moment leaves the file before it, or the new one. A loaded loader goes on with the
 * batch after the last one that lucid_next gave, with any number of workers.
 *
 * To resume, make the parts as at first, and load. Threads: one at a time for the parts. */
#ifndef LUCID_NN_RUN_FILE_H
#define LUCID_NN_RUN_FILE_H

#include "../lucid/data/loader.h"
#include "module.h"
#include "optim/averaged.h"
#include "optim/grad_scaler.h"
#include "optim/optimizer.h"
#include "optim/scheduler.h"
#include "state_dict.h"

LUCID_BEGIN_DECLS

/* Which value of .metric is best. */
typedef enum lucid_run_best {
    LUCID_BEST_NONE,    /* no file of the best is kept */
    LUCID_BEST_LOWEST,  /* a loss */
    LUCID_BEST_HIGHEST, /* an accuracy */
} lucid_run_best;

/* The parts of a run; those that are NULL are not saved, and not loaded. */
typedef struct lucid_run_options {
    LUCID_OPTIONS_SIZE(lucid_run_options);
    lucid_module *module LUCID_DEFAULT(NULL);
    lucid_optimizer *optimizer LUCID_DEFAULT(NULL);
    lucid_scheduler *scheduler LUCID_DEFAULT(NULL);
    lucid_grad_scaler *scaler LUCID_DEFAULT(NULL);
    lucid_averaged *averaged LUCID_DEFAULT(NULL); /* EMA or SWA */
    lucid_loader *loader LUCID_DEFAULT(NULL);     /* its seed, epoch and next batch */
    bool generator LUCID_DEFAULT(true);           /* the default random generator (core/random.h) */
    lucid_state_dict *extra LUCID_DEFAULT(NULL);  /* further tensors and notes of the program */
    /* For lucid_run_save_in: the number of last files to keep (>= 1), and the best one's
     * measure. */
    int64_t keep LUCID_DEFAULT(3);
    lucid_run_best best LUCID_DEFAULT(LUCID_BEST_NONE);
    double metric LUCID_DEFAULT(0); /* where best is not LUCID_BEST_NONE */
} lucid_run_options;
LUCID_DEFAULTS(lucid_run, .module = NULL, .optimizer = NULL, .scheduler = NULL, .scaler = NULL,
               .averaged = NULL, .loader = NULL, .generator = true, .extra = NULL, .keep = 3,
               .best = LUCID_BEST_NONE, .metric = 0);

/* Writes the parts into a file. False after an error, with the old file as it was; refused while an
 * error is pending. */
LUCID_API bool lucid_run_save_opt(const char *path, const lucid_run_options *options);
/* Reads the given parts from such a file and ignores all others, so that a network alone can be
 * loaded. If one of the parts is refused, or is not in the file, none of them changes. Entries of
 * `extra` are replaced by those of the same names in the file. */
LUCID_API bool lucid_run_load_opt(const char *path, const lucid_run_options *options);

/* Writes "run-NUMBER.safetensors" into a folder, which is made where it does not exist, and then
 * removes those with the lowest numbers until `keep` are left. number >= 0, a step or an epoch.
 * With .best it writes "best.safetensors" too where .metric is better than that of the one there;
 * NaN never is. Files with other names are not touched. */
LUCID_API bool lucid_run_save_in_opt(const char *folder, int64_t number,
                                     const lucid_run_options *options);
/* Loads the file with the highest number and returns the number; -1 where the folder has none or
 * does not exist (no error), and after an error. */
LUCID_API int64_t lucid_run_load_latest_opt(const char *folder, const lucid_run_options *options);

/* lucid_run_save("run.safetensors", .module = net, .optimizer = opt) */
#define lucid_run_save(...) LUCID_CALL1(lucid_run_save_opt, lucid_run, LUCID_ASIS, __VA_ARGS__)
#define lucid_run_load(...) LUCID_CALL1(lucid_run_load_opt, lucid_run, LUCID_ASIS, __VA_ARGS__)
#define lucid_run_save_in(...) \
    LUCID_CALL2(lucid_run_save_in_opt, lucid_run, LUCID_ASIS, LUCID_ASIS, __VA_ARGS__)
#define lucid_run_load_latest(...) \
    LUCID_CALL1(lucid_run_load_latest_opt, lucid_run, LUCID_ASIS, __VA_ARGS__)

LUCID_END_DECLS
#endif
