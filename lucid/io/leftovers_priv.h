/* leftovers_priv.h: temporary files: their names, and removing those of killed processes. */
#ifndef LUCID_IO_LEFTOVERS_PRIV_H
#define LUCID_IO_LEFTOVERS_PRIV_H

#include "lucid/core/api.h"

#include <sys/types.h>

enum { LUC_LEFTOVER_SIZE = 64 }; /* of a name, with the NUL */

/* Makes a temporary file in a folder, opened for reading and writing and locked while it is open.
 * `mode` as open takes it. Writes its name; -1 with errno set. */
int luc_temporary_open(int folder, mode_t mode, char name[LUC_LEFTOVER_SIZE]);

/* Removes the temporary files in a folder that are certainly lucid's own and no longer written:
 *
 * - the name is exactly one that luc_temporary_open makes, the file is regular, has one name and
 *   belongs to this user;
 * - its lock is free. The lock belongs to the open file, not to a process id, so neither an id that
 *   is used again nor a container with ids of its own can be mistaken for the writer;
 * - locks of other machines can be seen: the file system is a local one. On others (NFS, FUSE) the
 *   name must carry this machine's mark, which changes when it is started anew.
 *
 * What cannot be read or removed stays, and is no error. */
void luc_leftovers_remove(int folder);

/* Whether a name is one of luc_temporary_open, made on a machine whose locks can be seen. */
bool luc_leftover_is_ours(const char *name, bool local);

#endif
