/* commands_priv.h: what the command `lucid` does. Each takes the arguments after its name and gives
 * the exit status; main reports an error that is pending afterwards. */
#ifndef LUCID_NN_COMMAND_COMMANDS_PRIV_H
#define LUCID_NN_COMMAND_COMMANDS_PRIV_H

#include "lucid/lucid.h"

int command_info(int argc, char **argv);
int command_convert(int argc, char **argv);
int command_summary(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_models(int argc, char **argv);

#endif
