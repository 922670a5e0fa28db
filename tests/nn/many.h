/* many.h: modules of several inputs and outputs as a user writes them (see docs/add_a_module.md),
 * for the tests. */
#ifndef TESTS_NN_MANY_H
#define TESTS_NN_MANY_H

#include "autograd/autograd.h"
#include "autograd/ops.h"
#include "nn/nn.h"

/* ---- an LSTM (Hochreiter and Schmidhuber, 1997) ---------------------------------------------- */

/* x [T,N,I], h and c [N,H] or absent (zeros); y [T,N,H], the last h and c. Gates: i, f, g, o. */
typedef struct {
    lucid_module base;
    int64_t hidden;
    lucid_module *from_x, *from_h;
} LSTM;

static lucid_tensor *gate(lucid_tensor *gates, int64_t i, int64_t hidden)
{
    return lucid_narrow(gates, 1, i * hidden, hidden);
}

static bool lstm_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                         int n_out)
{
    (void)n_in, (void)n_out;
    LSTM *l = lucid_self(m, LSTM);
    lucid_tensor *x = in[0], *h = in[1], *c = in[2], *y[64];
    int64_t steps = lucid_size(x, 0), n = lucid_size(x, 1);
    if (!h) h = lucid_zeros((n, l->hidden), .dtype = lucid_tensor_dtype(x));
    if (!c) c = lucid_zeros((n, l->hidden), .dtype = lucid_tensor_dtype(x));
    for (int64_t t = 0; t < steps; t++) {
        lucid_tensor *g = lucid_add(lucid_forward(l->from_x, lucid_select(x, 0, t)),
                                    lucid_forward(l->from_h, h)); /* [N,4H] */
        c = lucid_add(
            lucid_mul(lucid_sigmoid(gate(g, 1, l->hidden)), c),
            lucid_mul(lucid_sigmoid(gate(g, 0, l->hidden)), lucid_tanh(gate(g, 2, l->hidden))));
        h = y[t] = lucid_mul(lucid_sigmoid(gate(g, 3, l->hidden)), lucid_tanh(c));
    }
    out[0] = lucid_stack_list(y, (size_t)steps, 0);
    out[1] = h;
    out[2] = c;
    return true;
}

static const lucid_module_class LSTM_class = {
    .name = "LSTM",
    .size = sizeof(LSTM),
    .super = &lucid_module_class_base,
    .forward_many = lstm_forward,
    .inputs = "x, h?, c?",
    .outputs = "y, h?, c?",
};

static inline lucid_module *make_lstm(int64_t inputs, int64_t hidden)
{
    lucid_module *m = lucid_module_new(&LSTM_class);
    LSTM *l = m ? lucid_self(m, LSTM) : NULL;
    if (!l) return NULL;
    l->hidden = hidden;
    lucid_register_module(m, "from_x", &l->from_x, nn_Linear(inputs, 4 * hidden));
    lucid_register_module(m, "from_h", &l->from_h, nn_Linear(hidden, 4 * hidden));
    return m;
}

/* ---- a siamese net: two inputs, shared weights ----------------------------------------------- */

/* The distance of two inputs: sum over features of (f(a) - f(b))^2.  a, b [N,I]; distance [N]. */
typedef struct {
    lucid_module base;
    lucid_module *embed;
} Siamese;

static bool siamese_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                            int n_out)
{
    (void)n_in, (void)n_out;
    Siamese *s = lucid_self(m, Siamese);
    lucid_tensor *a = lucid_forward(s->embed, in[0]), *b = lucid_forward(s->embed, in[1]);
    out[0] = lucid_sum(lucid_square(lucid_sub(a, b)), 1);
    return true;
}

static const lucid_module_class Siamese_class = {
    .name = "Siamese",
    .size = sizeof(Siamese),
    .super = &lucid_module_class_base,
    .forward_many = siamese_forward,
    .inputs = "a, b",
    .outputs = "distance",
};

/* embed is taken over. */
static inline lucid_module *make_siamese(lucid_module *embed)
{
    lucid_module *m = lucid_module_new(&Siamese_class);
    Siamese *s = m ? lucid_self(m, Siamese) : NULL;
    if (!s) {
        lucid_module_free(embed);
        return NULL;
    }
    lucid_register_module(m, "embed", &s->embed, embed);
    return m;
}

/* ---- a head of two outputs ------------------------------------------------------------------- */

/* x [N,I]; classes [N,C], boxes [N,4]. */
typedef struct {
    lucid_module base;
    lucid_module *classes, *boxes;
} TwoHeads;

static bool heads_forward(lucid_module *m, lucid_tensor *const *in, int n_in, lucid_tensor **out,
                          int n_out)
{
    (void)n_in, (void)n_out;
    TwoHeads *h = lucid_self(m, TwoHeads);
    out[0] = lucid_forward(h->classes, in[0]);
    out[1] = lucid_sigmoid(lucid_forward(h->boxes, in[0]));
    return true;
}

static const lucid_module_class TwoHeads_class = {
    .name = "TwoHeads",
    .size = sizeof(TwoHeads),
    .super = &lucid_module_class_base,
    .forward_many = heads_forward,
    .outputs = "classes, boxes",
};

static inline lucid_module *make_heads(int64_t inputs, int64_t classes)
{
    lucid_module *m = lucid_module_new(&TwoHeads_class);
    TwoHeads *h = m ? lucid_self(m, TwoHeads) : NULL;
    if (!h) return NULL;
    lucid_register_module(m, "classes", &h->classes, nn_Linear(inputs, classes));
    lucid_register_module(m, "boxes", &h->boxes, nn_Linear(inputs, 4));
    return m;
}

#endif
