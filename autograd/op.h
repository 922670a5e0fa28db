/* op.h: what an operator is, and how to write your own.
 *
 * An operator is one constant struct: how to find the result's shape, how to compute it, how
 * gradients flow back through it, and samples that show and test it. lucid's own are listed in
 * lucid/core/ops.def and defined in autograd/ops/; a program's own use the same struct with their
 * kernels in it and need no registry:
 *
 *     static const lucid_op my_op = {.name = "my_op", .n_in = 1, .n_out = 1, .infer = ...,
 *                                    .kernel = my_kernel, .saves = ..., .vjp = my_vjp};
 *     lucid_tensor *y = lucid_apply(&my_op, (lucid_tensor *[]){x}, 1, NULL);
 *
 * See docs/add_an_op.md. */
#ifndef LUCID_AUTOGRAD_OP_H
#define LUCID_AUTOGRAD_OP_H

#include "autocast.h"
#include "../lucid/core/api.h"
#include "../lucid/core/backend.h"
#include "../lucid/core/error.h"
#include "../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

typedef struct lucid_op lucid_op;

/* One application of an operator, as .infer and .saves see it. */
typedef struct lucid_call {
    const lucid_op *op;
    int n_in, n_out;
    lucid_tensor *const *in; /* a NULL entry: an optional input that was not given */
    const void *attrs;
    /* The dtype whose kernel runs; input 0's (output 0's without inputs) unless .infer changes
     * it. */
    lucid_dtype kernel_dtype;
    lucid_device device;               /* of the inputs */
    uint32_t needs;                    /* bit i: input i needs a gradient; for .saves */
    lucid_meta out[LUCID_MAX_OUTPUTS]; /* .infer fills these */
} lucid_call;

/* The backward of one application, as .vjp sees it (the vector-Jacobian product). */
typedef struct lucid_vjp {
    const lucid_op *op;
    const void *attrs;
    int n_in, n_out;
    lucid_tensor *const *grad_out; /* per output; NULL: nothing arrived there (a zero) */
    lucid_tensor **grad_in;        /* per input: set those that are needed; NULL is a zero */
    uint32_t needs;                /* bit i: input i needs a gradient */
    struct lucid_node *node;
    void *state; /* of an operator with state: valid until .vjp returns */
} lucid_vjp;

/* Bits for .saves: which inputs and outputs .vjp will ask for. */
#define LUCID_SAVE_INPUT(i)  (1u << (i))
#define LUCID_SAVE_OUTPUT(i) (1u << (16 + (i)))

/* A call that tests make, check derivatives of and time. Its inputs are made from these
 * descriptions with random numbers. */
typedef struct lucid_sample_input {
    lucid_shape shape; /* ndim -1: this optional input is not given */
    lucid_dtype dtype; /* LUCID_F32 stands for "every floating dtype"; others are fixed */
    double low, high;  /* uniform in [low, high); both 0: [-1, 1) */
    bool no_grad;      /* not differentiable (indices, masks) */
} lucid_sample_input;
typedef struct lucid_sample {
    const char *name;
    int n_in;
    lucid_sample_input in[LUCID_MAX_INPUTS];
    const void *attrs;
    const char *error; /* of bad samples: a part of the message, naming the argument */
    bool no_second;    /* leave the second derivative out (say why beside it) */
} lucid_sample;

enum {
    LUCID_OP_BROADCAST = 1, /* elementwise: the kernel gets inputs expanded to output 0's sizes */
    LUCID_OP_VIEW = 2,      /* no kernel: output 0 is input 0's storage seen through out[0] */
    LUCID_OP_NO_GRAD = 4,   /* never differentiable (comparisons, argmax): no node is made */
    LUCID_OP_MIXED_DTYPES = 8,      /* inputs need not share a dtype; .infer checks them */
    LUCID_OP_NONDETERMINISTIC = 16, /* refused while lucid_set_deterministic(true) holds */
};

struct lucid_op {
    const char *name;   /* "conv2d" */
    const char *schema; /* the arguments' names in order: "input, weight, bias?" (? = optional) */
    const char *doc;    /* one line */
    int id;             /* lucid_op_id; LUCID_OP_CUSTOM for a program's own */
    int n_in, n_out;    /* n_in -1: any number up to the caller's count (cat) */
    unsigned flags;
    size_t attrs_size;
    int keeps; /* kernels may keep a form of this input, never the first; 0: of none */
    lucid_autocast_policy autocast; /* the dtype it computes in inside LUCID_AUTOCAST */
    /* Checks the inputs and fills c->out (dtype, sizes, strides). False after lucid_raise. NULL:
     * output 0 is like the broadcast of the inputs, with input 0's dtype. */
    bool (*infer)(lucid_call *c);
    /* Which inputs the kernel writes (running statistics), bit i for input i: their versions go up.
     * NULL: none. */
    uint32_t (*mutates)(const lucid_call *c);
    /* Which inputs and outputs .vjp needs, given c->needs. NULL: none. */
    uint32_t (*saves)(const lucid_call *c);
    /* Sets grad_in, written in operators, so that it can be differentiated again. False after an
     * error. NULL: not differentiable; asking for a gradient is an error. */
    bool (*vjp)(lucid_vjp *v);
    /* Computes the outputs with other operators (without recording), where the backend has no
     * kernel. Fills out[n_out]. */
    bool (*compose)(const lucid_call *c, lucid_tensor **out);
    /* A program's own kernels, for the CPU, by dtype or for all (`kernel`). Of one that needs
     * workspace, .plan says how much: see lucid_kernel. NULL: none. */
    lucid_run_fn kernel;
    lucid_run_fn kernels[LUCID_DTYPE_COUNT];
    lucid_plan_fn plan;
    /* An operator with state: its attributes begin with a pointer to something that .vjp needs (a
     * module, a buffer) and that counts its references. The node of a recorded application takes
     * one with .state_retain, a running .vjp another; each goes back to .state_release, the node's
     * when a backward releases the graph or when the node is freed. The caller keeps its own. Any
     * thread may call both. .state_retain runs under a lock and only counts; .state_release may
     * free anything. Both NULL: no state. A NULL pointer is no state either. */
    void (*state_retain)(void *state);
    void (*state_release)(void *state);
    /* One element of the result from those of the inputs, as plainly as the C library can write it:
     * the tests compare every kernel of an elementwise operator with it. NULL: no such test. */
    double (*element)(const double *in, const void *attrs);
    /* Additions and multiplications of one application, for the profiler. NULL: not counted. */
    double (*flops)(const lucid_call *c);
    const lucid_sample *samples;
    int n_samples;
    const lucid_sample *bad_samples;
    int n_bad_samples;
};

/* lucid's operator by name, or NULL (nothing raised); and all of them, by index, until NULL. */
LUCID_API const lucid_op *lucid_op_find(const char *name);
LUCID_API const lucid_op *lucid_op_at(size_t index);

/* Applies an operator to n inputs and returns output 0, recording it for backward where gradient
 * mode is on and an input requires a gradient. Inside LUCID_AUTOCAST inputs are first cast as
 * op->autocast says. attrs is copied (op->attrs_size bytes). Inputs must
 * be on one device, and of one dtype unless the operator says otherwise. NULL on an error.
 * Thread-safe. */
LUCID_API lucid_tensor *lucid_apply(const lucid_op *op, lucid_tensor *const *inputs, int n,
                                    const void *attrs);
/* The same for all outputs: fills outputs[op->n_out]. */
LUCID_API bool lucid_apply_multi(const lucid_op *op, lucid_tensor *const *inputs, int n,
                                 const void *attrs, lucid_tensor **outputs);
/* In place: the result is written into inputs[0], which is returned. Refused for a leaf that
 * requires a gradient, for a result of another shape or dtype, and for expanded memory. */
LUCID_API lucid_tensor *lucid_apply_inplace(const lucid_op *op, lucid_tensor *const *inputs, int n,
                                            const void *attrs);

/* For .infer: makes out[i] like input j: dtype, sizes and layout. */
LUCID_API void lucid_infer_like(lucid_call *c, int i, int j);
/* Gives out[i], whose dtype and sizes are set, dense strides in the layout of input j (-1:
 * contiguous). */
LUCID_API void lucid_infer_strides(lucid_call *c, int i, int j);

/* For .vjp: what .saves kept. Raises the version error when it was changed in place meanwhile, and
 * the freed-graph error after the graph was released. The tensor belongs to the current scope. */
LUCID_API lucid_tensor *lucid_saved_input(lucid_vjp *v, int i);
LUCID_API lucid_tensor *lucid_saved_output(lucid_vjp *v, int i);
/* Whether optional input i was given. */
LUCID_API bool lucid_has_input(const lucid_vjp *v, int i);
/* The dtype, sizes and strides that input i or output i had. */
LUCID_API const lucid_meta *lucid_input_meta(const lucid_vjp *v, int i);
LUCID_API const lucid_meta *lucid_output_meta(const lucid_vjp *v, int i);
/* Sums grad over the dimensions along which input i was broadcast: the gradient of a broadcast. */
LUCID_API lucid_tensor *lucid_sum_to_input(lucid_vjp *v, int i, lucid_tensor *grad);

LUCID_END_DECLS
#endif
