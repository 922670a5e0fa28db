/* idx_priv.h: idx files for the library's own data sets. */
#ifndef LUCID_IO_IDX_PRIV_H
#define LUCID_IO_IDX_PRIV_H

#include "lucid/io/idx.h"
#include "lucid/io/sha256_priv.h"

/* lucid_idx_read whose errors name op; the content is added to sum unless it is NULL. */
lucid_tensor *luc_idx_read(const char *path, const char *op, luc_sha256 *sum);

#endif
