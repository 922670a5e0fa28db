/* tensor_priv.h: the inside of tensors and storages. */
#ifndef LUCID_TENSOR_PRIV_H
#define LUCID_TENSOR_PRIV_H

#include "lucid/core/backend.h"
#include "lucid/core/keep.h"
#include "lucid/core/random.h"
#include "lucid/core/tensor.h"

#include <stdatomic.h>

/* A block of device memory, shared by the views of it. */
typedef struct luc_storage {
    atomic_int refs;
    lucid_device device;
    void *data;
    size_t size;                          /* bytes */
    atomic_uint_fast64_t version;         /* in-place changes */
    void (*free)(void *user, void *data); /* foreign memory: how to free it */
    void *user;
    bool foreign;     /* data is not the backend's */
    lucid_kept *kept; /* owned; under LUC_SPIN_STORAGE: what kernels keep of it, see keep.h */
} luc_storage;

typedef struct lucid_node lucid_node;             /* autograd/graph/graph_priv.h */
typedef struct luc_tensor_extra luc_tensor_extra; /* autograd/tensor_extra: hooks, view base */

/* How a tensor ended: see dangling_priv.h. */
typedef enum luc_end_how {
    LUC_END_RELEASED, /* its last reference was given back */
    LUC_END_SCOPE,    /* with the scope that began at file:line */
    LUC_END_FUNCTION, /* with a scope inside the library; file: the public function, or NULL */
    LUC_END_ROOT,     /* with the thread's root scope */
    LUC_END_BATCH     /* a loader's batch */
} luc_end_how;
typedef struct luc_end {
    const char *file; /* not owned: as __FILE__ gives it */
    int line;
    luc_end_how how;
} luc_end;

struct lucid_tensor {
    lucid_view view; /* data pointer, dtype, sizes, strides: what kernels get */
    atomic_int refs;
    bool requires_grad; /* of a leaf, as set; of a result, true */
    bool is_scalar;     /* made by lucid_scalar: promotes like a number */
    bool retains_grad;  /* a result that keeps .grad */
    bool no_grad;       /* a result of a time when nothing was recorded: for messages */
    bool no_grad_view;  /* a view made while nothing was recorded: see autograd/graph/view.c */
    int output_nr;      /* which output of grad_fn */
    luc_storage *storage;
    int64_t offset; /* elements */
    int64_t numel;
    lucid_node *grad_fn;     /* owned; NULL for leaves. Read it with luc_grad_fn (views!) */
    lucid_tensor *grad;      /* owned */
    luc_tensor_extra *extra; /* owned by autograd; NULL for most */
    char *name;
    struct luc_deferred *deferred; /* while it waits to be computed: see dangling_priv.h */
    luc_end end;                   /* valid only in quarantine */
};

/* Autograd's part in the end of a tensor and of a thread; autograd sets these functions at load. */
typedef struct luc_tensor_hooks {
    void (*release)(lucid_tensor *t); /* frees grad_fn, grad and extra */
    void (*end_thread)(void);         /* frees what it keeps for this thread */
    /* Computes a tensor that waits for it. False after an error. */
    bool (*compute)(lucid_tensor *t);
    /* The last reference of a tensor that waits was given back. */
    void (*forget)(lucid_tensor *t);
    /* Computes what waits and reads s, which is about to be written. False after an error. */
    bool (*before_write)(const luc_storage *s);
    /* Computes all that waits in this thread. False after an error. */
    bool (*compute_all)(void);
    /* Lets no result wait until the outermost lucid_forward ends, because the program has a pointer
     * through which it may write unnoticed. Returns false after an error. */
    bool (*stop_waiting)(void);
} luc_tensor_hooks;
extern luc_tensor_hooks luc_tensor_autograd;

/* Every operation reads these. */
#define LUC_STATIC_TLS __attribute__((tls_model("initial-exec")))
/* The number of results of this thread that wait to be computed; some of them may be computed or
 * freed already. */
extern _Thread_local unsigned luc_waiting LUC_STATIC_TLS;
/* True inside lucid_forward while results may wait. */
extern _Thread_local bool luc_fusing LUC_STATIC_TLS;

/* Must be called before writing into a storage. Returns false after an error. */
static inline bool luc_before_write(const luc_storage *s)
{
    return __builtin_expect(luc_waiting == 0, true) || luc_tensor_autograd.before_write(s);
}
/* The same if all memory may change. */
static inline bool luc_before_any_write(void)
{
    return luc_waiting == 0 || luc_tensor_autograd.compute_all();
}
/* Must be called before the program gets a pointer through which it may write. */
static inline bool luc_before_pointer(void)
{
    return __builtin_expect(!luc_fusing, true) || luc_tensor_autograd.stop_waiting();
}

/* -- storage -- */
luc_storage *luc_storage_new(lucid_device device, size_t size, const char *op); /* refs 1 */
luc_storage *luc_storage_retain(luc_storage *s);
void luc_storage_release(luc_storage *s);
static inline void luc_storage_bump(luc_storage *s)
{
    atomic_fetch_add_explicit(&s->version, 1, memory_order_relaxed);
}

/* -- what kernels keep of a tensor (keep.h) -- */
struct lucid_keep {
    luc_storage *storage;
    uint64_t version;
    const void *input;
};
/* Finds the place where a kernel may keep something of t. Returns false if it may not. */
bool luc_keep_begin(lucid_keep *keep, const lucid_tensor *t);
/* Releases what is kept; it is freed when no kernel reads it any more. */
void luc_keep_drop(luc_storage *s);

/* -- tensors: all give the new tensor to the current scope -- */
/* Makes a tensor on new memory, with the strides of meta, which must be dense and not overlap. */
lucid_tensor *luc_tensor_new(const lucid_meta *meta, lucid_device device, const char *op);
/* Makes a tensor without memory, which waits to be computed; luc_tensor_allocate gives it
 * memory. */
lucid_tensor *luc_tensor_without_data(const lucid_meta *meta, lucid_device device, const char *op);
bool luc_tensor_allocate(lucid_tensor *t, const char *op);
/* Makes a tensor on an existing storage, which is retained, at the offset of meta. */
lucid_tensor *luc_tensor_on(luc_storage *s, const lucid_meta *meta, const char *op);
/* Sets sizes, strides, offset, data and numel of a tensor from meta and its storage. */
void luc_tensor_set_meta(lucid_tensor *t, const lucid_meta *meta);
/* Exchanges the storage and meta of two tensors, so that lucid_to can move parameters and keep
 * their identity. */
void luc_tensor_swap_data(lucid_tensor *t, lucid_tensor *from);
void luc_tensor_get_meta(const lucid_tensor *t, lucid_meta *meta);

/* Puts a tensor with one reference into the current scope. False (and the tensor is released) when
 * memory is out. */
bool luc_scope_add(lucid_tensor *t);
void luc_scope_end_all(void);
/* Is called once in what is probably a turn of a loop in the program, and checks whether the loop
 * lacks a scope (scope.h). */
typedef enum luc_turn { LUC_TURN_FORWARD, LUC_TURN_BACKWARD, LUC_TURN_NEXT, LUC_TURNS } luc_turn;
void luc_scope_turn(luc_turn turn);

/* -- strides -- */
void luc_contiguous_strides(int ndim, const int64_t *dims, int64_t *strides);
void luc_channels_last_strides(int ndim, const int64_t *dims, int64_t *strides); /* ndim 4 or 5 */
/* False, with an error raised by op, when a size is negative or the bytes overflow. */
bool luc_check_shape(const lucid_shape *shape, lucid_dtype dtype, const char *op);
/* The same when it is none of the three. */
bool luc_check_memory_format(lucid_memory_format format, const char *op);
int64_t luc_dims_numel(int ndim, const int64_t *dims);    /* unchecked */
int64_t luc_checked_numel(int ndim, const int64_t *dims); /* -1: overflow, or a size < 0 */
bool luc_dims_equal(int na, const int64_t *a, int nb, const int64_t *b);
bool luc_is_contiguous(int ndim, const int64_t *dims, const int64_t *strides);
bool luc_is_channels_last(int ndim, const int64_t *dims, const int64_t *strides);
bool luc_is_dense(int ndim, const int64_t *dims, const int64_t *strides); /* no gaps, no overlap */
/* Maps dim from [-ndim, ndim) to [0, ndim). Raises and returns -1 otherwise. ndim 0 counts as 1. */
int luc_wrap_dim(int64_t dim, int ndim, const char *op, const char *argument);
/* A tensor's sizes as text for messages, "[8,64,32,32]". It is a struct, so that it lives as long
 * as the expression. */
typedef struct luc_text {
    char s[192]; /* eight numbers of twenty digits fit */
} luc_text;
luc_text luc_dims_text(int ndim, const int64_t *dims);
luc_text luc_shape_text(const lucid_tensor *t);

/* -- kernels -- */
/* Runs a kernel of a backend with workspace, by operation and dtype; raises where there is none. */
bool luc_kernel_run(lucid_device device, lucid_op_id op, lucid_dtype dtype,
                    lucid_kernel_args *args);
const char *luc_op_id_name(lucid_op_id op);
/* dst[...] = src[...] with conversion, any strides, same sizes, same or different devices. */
bool luc_copy_data(lucid_tensor *dst, const lucid_tensor *src, const char *op);
bool luc_fill_data(lucid_tensor *t, double value, const char *op);
/* Whether a tensor of this dtype can be filled with a value. Integers must hold it, without its
 * fraction. */
bool luc_check_value(lucid_dtype dtype, double value, const char *op);
/* The same elements on the CPU: t itself, or a copy in the current scope. NULL on an error. */
const lucid_tensor *luc_host_tensor(const lucid_tensor *t, const char *op);
/* The element that lies `offset` elements after the first one; t must be on the CPU. */
double luc_element_to_double(const lucid_tensor *t, int64_t offset);

/* Fills t with numbers of a generator, NULL for the default one; returns t, or NULL after an
 * error. */
lucid_tensor *luc_fill_uniform(lucid_tensor *t, double low, double high, lucid_generator *g);
lucid_tensor *luc_fill_normal(lucid_tensor *t, double mean, double std, lucid_generator *g);
/* Fills a new tensor t with whole numbers in [low, high), which its dtype must hold. */
lucid_tensor *luc_fill_randint(lucid_tensor *t, int64_t low, int64_t high, lucid_generator *g);

/* The default generator: takes `blocks` blocks and returns where they begin. */

lucid_generator luc_random_take(uint64_t blocks);

#endif
