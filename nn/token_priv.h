/* token_priv.h: data of an operator's own that lives as long as the graph needs it: a tensor of one
 * byte that nobody computes with. A node saves it, as it saves any input. */
#ifndef LUCID_NN_TOKEN_PRIV_H
#define LUCID_NN_TOKEN_PRIV_H

#include "autograd/op.h"
#include "lucid/tensor_priv.h"

/* Takes data over: `free` is called with it when the last node and scope have let go, and when
 * memory is out (then NULL is returned). */
static inline lucid_tensor *luc_token(void *data, void (*free)(void *user, void *data))
{
    lucid_tensor *t = lucid_from_blob((lucid_shape){1, {1}}, LUCID_U8, data, free, NULL);
    if (!t) free(NULL, data);
    return t;
}

/* Makes it count as lying where `beside` lies: the inputs of an operator are on one device. */
static inline void luc_token_place(lucid_tensor *token, const lucid_tensor *beside)
{
    token->storage->device = lucid_tensor_device(beside);
}

/* What a token that input i of a node was holds; NULL after an error. */
static inline void *luc_token_data(lucid_vjp *v, int i)
{
    lucid_tensor *t = lucid_saved_input(v, i);
    return t ? (void *)lucid_data(t) : NULL;
}

#endif
