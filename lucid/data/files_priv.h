/* files_priv.h: finding the files of data sets. */
#ifndef LUCID_DATA_FILES_PRIV_H
#define LUCID_DATA_FILES_PRIV_H

/* The path of "dir/name" or "dir/name.gz", the one that exists; to be freed with luc_free. NULL,
 * with an error raised, where neither does. */
char *luc_data_find(const char *dir, const char *name, const char *op);

#endif
