/* run_file_priv.h: the inside of run files. */
#ifndef LUCID_NN_RUN_FILE_PRIV_H
#define LUCID_NN_RUN_FILE_PRIV_H

#include "nn/run_file.h"

#define LUC_RUN_LOAD "run_load"

/* The parts in one state dict, whose tensors are partly the parts' own. NULL after an error. */
lucid_state_dict *luc_run_state(const lucid_run_options *o);
/* Adds the tensors and notes of one state dict to another. */
bool luc_run_merge(lucid_state_dict *into, const lucid_state_dict *from);

#endif
