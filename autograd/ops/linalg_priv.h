/* linalg_priv.h: what the files of linear algebra share. Their arguments are checked already. */
#ifndef LUCID_AUTOGRAD_OPS_LINALG_PRIV_H
#define LUCID_AUTOGRAD_OPS_LINALG_PRIV_H

#include "autograd/ops/ops_priv.h"

/* Identities of a's dtype and last size, for its whole batch. */
lucid_tensor *luc_identity_like(lucid_tensor *a);
/* a [..,N,N], b [..,N,K] with one batch. */
lucid_tensor *luc_linalg_solve(lucid_tensor *a, lucid_tensor *b);
lucid_tensor *luc_linalg_solve_triangular(lucid_tensor *a, lucid_tensor *b, bool upper, bool unit);

#endif
