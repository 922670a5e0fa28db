/* token_priv.h: private data of an operator, which lives as long as the graph needs it. It is held
 * by a tensor of one byte, the token, which a node saves as it saves any input. */
#ifndef LUCID_NN_TOKEN_PRIV_H
#define LUCID_NN_TOKEN_PRIV_H

#include "autograd/op.h"
#include "lucid/tensor_priv.h"

/* Makes a token that owns data: `free` is called with it when the last node and scope have released
 * the token, and also when memory is out and NULL is returned. */
static inline lucid_tensor *luc_token(void *data, void (*free)(void *user, void *data))
{
    lucid_tensor *t = lucid_from_blob((lucid_shape){1, {1}}, LUCID_U8, data, free, NULL);
    if (!t) free(NULL, data);
    return t;
}

/* Lets the token count as a tensor on the device of `beside`, because all inputs of an operator
 * must be on one device. */
static inline void luc_token_place(lucid_tensor *token, const lucid_tensor *beside)
{
    token->storage->device = lucid_tensor_device(beside);
}

/* The data of a token that was input i of a node. NULL after an error. */
static inline void *luc_token_data(lucid_vjp *v, int i)
{
    lucid_tensor *t = lucid_saved_input(v, i);
    return t ? (void *)lucid_data(t) : NULL;
}

#endif
