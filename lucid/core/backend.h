/* backend.h: what a device must provide: memory, copies and a table of kernels.
 *
 * A backend is one constant-after-start table. The CPU's is backends/cpu/levels.c; see
 * docs/add_a_backend.md. Kernels see plain views and attributes, never tensors: they allocate
 * nothing, know nothing of gradients, and are looked up by operation and dtype. */
#ifndef LUCID_BACKEND_H
#define LUCID_BACKEND_H

#include "api.h"
#include "device.h"
#include "dtype.h"
#include "memory.h"
#include "shape.h"
#include "switches.h"

LUCID_BEGIN_DECLS

/* The operations (see ops.def): LUCID_OP_ADD is written LUCID_OP_add here, as the list spells
 * it. */
typedef enum lucid_op_id {
#define LUC_OP(name)     LUCID_OP_##name,
#define LUC_KERNEL(name) LUCID_OP_##name,
#include "ops.def"
    LUCID_OP_COUNT,
    LUCID_OP_CUSTOM = -1 /* a user's own operator, which has its kernels in it */
} lucid_op_id;

/* A tensor as a kernel sees it. Strides are in elements and may be 0 (expanded) or any order. */
typedef struct lucid_view {
    void *data; /* the first element; NULL allowed when a dimension is 0 */
    lucid_dtype dtype;
    int ndim;
    int64_t dims[LUCID_MAX_DIMS];
    int64_t strides[LUCID_MAX_DIMS];
} lucid_view;

#define LUCID_MAX_INPUTS  8
#define LUCID_MAX_OUTPUTS 8

/* A place beside an input's memory, where a kernel may keep what it made of that input, such as
 * packed weights, from one call to the next: see keep.h. */
typedef struct lucid_keep lucid_keep;

/* What a kernel's plan settles, once a call, for its run. The function that calls both reads
 * `workspace`; plan and run use what they need of the rest. */
enum { LUCID_PLAN_OWN = 1536 };
typedef struct lucid_plan {
    size_t workspace;      /* bytes that run gets, 64-byte aligned; 0 when plan is called */
    int threads;           /* that run cuts its work for */
    const void *algorithm; /* the one that was chosen, of those that the kernel has */
    /* A struct of the kernel's own: plan and run copy it in and out with memcpy. */
    unsigned char own[LUCID_PLAN_OWN];
} lucid_plan;

/* The arguments of one kernel call. Elementwise kernels get inputs that are already expanded to
 * the output's sizes; an input that was not given is NULL. Outputs are allocated, uninitialised,
 * and do not overlap inputs unless an output is an input (in-place: same data and strides). */
typedef struct lucid_kernel_args {
    lucid_op_id op;
    int n_in, n_out;
    const lucid_view *const *in;
    const lucid_view *const *out;
    const void *attrs;      /* the operation's struct of attrs.h, or the user op's own */
    const lucid_plan *plan; /* for run: what plan has settled; NULL for a kernel without a plan */
    void *workspace;        /* for run: plan->workspace bytes */
    void *stream;           /* of the device; NULL on the CPU */
    int device;             /* index */
    lucid_keep *keep; /* of the input that the operator's .keeps names; NULL: nothing may be kept */
} lucid_kernel_args;

/* Settles what the run needs and how it computes: it sees what the run will see, except a plan and
 * workspace, and reads no elements. False after raising an error: there is then no run. */
typedef bool (*lucid_plan_fn)(const lucid_kernel_args *args, lucid_plan *plan);
/* Computes the outputs. False after raising an error. */
typedef bool (*lucid_run_fn)(const lucid_kernel_args *args);

/* A kernel. One call is one plan and then one run, in one thread. Most kernels need no workspace
 * and have nothing to choose: their plan is NULL, and costs nothing. */
typedef struct lucid_kernel {
    lucid_plan_fn plan;
    lucid_run_fn run; /* NULL: there is no kernel */
} lucid_kernel;

typedef struct lucid_backend {
    const char *name; /* "cpu", "cuda" */
    lucid_device_type type;
    int (*device_count)(void);
    /* Memory of device `index`; alloc returns NULL, without raising, when it is out. */
    void *(*alloc)(int index, size_t bytes);
    void (*free)(int index, void *data, size_t bytes);
    /* Copies bytes between a device of this backend and itself or the host. */
    bool (*copy)(void *dst, lucid_device dst_device, const void *src, lucid_device src_device,
                 size_t bytes);
    bool (*synchronize)(int index);
    lucid_memory_stats (*memory)(int index);
    void (*memory_reset_peak)(int index);
    void (*memory_release_cache)(int index);
    void (*memory_set_cache_limit)(int index,
                                   double peaks); /* peaks >= 1; see lucid/core/memory.h */
    void *(*stream)(int index); /* the current stream of the device; NULL slot: none */
    /* Feeding a device while it works; all NULL where plain memory and `copy` do. host_alloc gives
     * page-locked host memory (NULL, without raising, when it is out). upload queues a copy from it
     * that runs while the device works. The copy begins after the mark `after`, and work that is
     * queued later waits for it; the memory may be given back at once. mark sets a mark after the
     * work that is queued now (a new mark, or `reuse` again); NULL after raising. */
    void *(*host_alloc)(size_t bytes);
    void (*host_free)(void *data);
    bool (*upload)(int index, void *dst, const void *src, size_t bytes, void *after);
    void *(*mark)(int index, void *reuse);
    void (*mark_free)(void *mark);
    /* Recording what is queued on a device instead of running it (see capture.h); all NULL
     * where the device queues nothing. capture_begin gives `n_cells` numbers of 8 bytes on the
     * device that kernels may read; graph_launch sets them (values[n_cells]) before it plays what
     * was recorded. capture_end ends the recording and returns it, or NULL where `keep` is false or
     * after raising. */
    bool (*capture_begin)(int index, int n_cells, uint64_t **cells);
    void *(*capture_end)(int index, bool keep);
    bool (*graph_launch)(void *graph, const uint64_t *values);
    void (*graph_free)(void *graph);
    /* A switch has changed, or the backend has just been loaded: it is told of all of them then.
     * Calls come one at a time; NULL slot: its kernels are the same whatever the switches say. */
    void (*set_switch)(lucid_switch which, bool enabled);
    /* A program may change some things at any time (a number of threads, switches) on which a
     * kernel's plan and its run both depend. call_begin fixes them for the calling thread until
     * call_end, so that plan and run, which are called in between, see the same. A kernel without a
     * plan is called without these two. call_begin returns what call_end wants back: calls may
     * nest. Both NULL: only the arguments matter. */
    uint64_t (*call_begin)(void);
    void (*call_end)(uint64_t before);
    /* The table: run is NULL where there is no kernel. The dtype is the computing dtype: that of
     * input 0, or of output 0 for operations without inputs. */
    lucid_kernel kernels[LUCID_OP_COUNT][LUCID_DTYPE_COUNT];
} lucid_backend;

/* The backend of a device type, started on first use. NULL (with an error raised) where the device
 * cannot be used: no driver, no GPU, plug-in missing. Thread-safe. */
LUCID_API const lucid_backend *lucid_backend_get(lucid_device_type type);
/* Registers a backend for its type, instead of lucid's backend; the table is not copied. Call
 * it before the first tensor. alloc, free, copy and device_count must be set; the other slots may
 * be NULL: there is then nothing to wait for, to count or to give back. */
LUCID_API bool lucid_backend_register(const lucid_backend *backend);

LUCID_END_DECLS
#endif
