/* backend.c: the table of backends, and running their kernels. */
#include "lucid/core/backend_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/plugin.h"
#include "lucid/plugin_version.h"
#include "lucid/core/stack_priv.h"
#include "lucid/core/tensor_priv.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Atomic(const lucid_backend *) luc_backends[LUCID_DEVICE_TYPE_COUNT];
static char cuda_reason[512]; /* why the plug-in cannot be used; "" before it was tried */

/* Opens the plug-in: the file that LUCID_CUDA_PLUGIN names, or the one beside this library, or one
 * that the loader finds. */
static void *open_plugin(void)
{
    const char *name = "liblucid_cuda.so", *given = getenv("LUCID_CUDA_PLUGIN");
    if (given && *given) return dlopen(given, RTLD_NOW | RTLD_LOCAL);
    Dl_info info;
    char path[1024];
    if (dladdr((void *)luc_backends, &info) && info.dli_fname) {
        const char *slash = strrchr(info.dli_fname, '/');
        int dir = slash ? (int)(slash - info.dli_fname) : 1;
        int n = snprintf(path, sizeof path, "%.*s/%s", dir, slash ? info.dli_fname : ".", name);
        void *lib = n > 0 && (size_t)n < sizeof path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
        if (lib) return lib;
    }
    return dlopen(name, RTLD_NOW | RTLD_LOCAL);
}

static bool raise_text(lucid_code code, const char *op, const char *text)
{
    return luc_raise(code, op, "%s", text);
}

/* Loads the plug-in. It is tried once, and the reason of a failure is kept. Called under the
 * lock. */
static const lucid_backend *load_cuda(void)
{
    assert(luc_lock_is_held(LUC_LOCK_BACKENDS));
    if (cuda_reason[0]) return NULL;
    void *lib = open_plugin();
    if (!lib) {
        const char *why = dlerror();
        snprintf(cuda_reason, sizeof cuda_reason, "the CUDA plug-in cannot be loaded (%s)",
                 why ? why : "no reason given");
        return NULL;
    }
    static const lucid_plugin_host host = {.version = LUCID_PLUGIN_VERSION,
                                           .raise = raise_text,
                                           .should_fail = luc_alloc_should_fail,
                                           .is_watched = luc_alloc_is_watched,
                                           .keep_find = lucid_keep_find,
                                           .kept_new = lucid_kept_new,
                                           .kept_data = lucid_kept_data,
                                           .keep_put = lucid_keep_put,
                                           .kept_release = lucid_kept_release};
    lucid_plugin_entry entry;
    void *symbol = dlsym(lib, "lucid_cuda_backend");
    memcpy(&entry, &symbol, sizeof entry);
    const lucid_backend *b = entry ? entry(&host, cuda_reason, sizeof cuda_reason) : NULL;
    if (!b && !cuda_reason[0])
        snprintf(cuda_reason, sizeof cuda_reason, "the CUDA plug-in has no lucid_cuda_backend");
    return b;
}

/* ---- switches -------------------------------------------------------------------------------- */

static atomic_bool switches[LUCID_SWITCH_COUNT];

static void send_switch(const lucid_backend *b, int which)
{
    if (b && b->set_switch) b->set_switch((lucid_switch)which, atomic_load(&switches[which]));
}

/* Enters a backend in the table and tells it all switches. Called under the lock. */
static void install(lucid_device_type type, const lucid_backend *b)
{
    assert(luc_lock_is_held(LUC_LOCK_BACKENDS));
    for (int which = 0; which < LUCID_SWITCH_COUNT; which++) send_switch(b, which);
    atomic_store(&luc_backends[type], b);
}

static bool set_switch(lucid_switch which, bool enabled)
{
    luc_lock(LUC_LOCK_BACKENDS);
    bool old = atomic_exchange(&switches[which], enabled);
    for (int type = 0; type < LUCID_DEVICE_TYPE_COUNT; type++)
        send_switch(atomic_load(&luc_backends[type]), which);
    luc_unlock(LUC_LOCK_BACKENDS);
    return old;
}

bool lucid_set_tf32(bool enabled)
{
    return set_switch(LUCID_SWITCH_TF32, enabled);
}

bool lucid_get_tf32(void)
{
    return atomic_load(&switches[LUCID_SWITCH_TF32]);
}

bool lucid_set_deterministic(bool enabled)
{
    return set_switch(LUCID_SWITCH_DETERMINISTIC, enabled);
}

bool lucid_get_deterministic(void)
{
    return atomic_load(&switches[LUCID_SWITCH_DETERMINISTIC]);
}

bool lucid_set_benchmark(bool enabled)
{
    return set_switch(LUCID_SWITCH_BENCHMARK, enabled);
}

bool lucid_get_benchmark(void)
{
    return atomic_load(&switches[LUCID_SWITCH_BENCHMARK]);
}

/* ---- finding a backend ----------------------------------------------------------------------- */

static const lucid_backend *find(lucid_device_type type)
{
    if ((unsigned)type >= LUCID_DEVICE_TYPE_COUNT) return NULL;
    const lucid_backend *b = atomic_load_explicit(&luc_backends[type], memory_order_acquire);
    if (b) return b;
    luc_lock(LUC_LOCK_BACKENDS);
    b = atomic_load(&luc_backends[type]);
    if (!b) {
        b = type == LUCID_CPU ? luc_cpu_backend() : load_cuda();
        install(type, b);
    }
    luc_unlock(LUC_LOCK_BACKENDS);
    return b;
}

const lucid_backend *lucid_backend_get(lucid_device_type type)
{
    const lucid_backend *b = find(type);
    if (b) return b;
    if (type == LUCID_CUDA)
        return luc_raise_null(LUCID_ERR_DEVICE, "cuda", "device: expected a usable GPU, but %s",
                              cuda_reason);
    return luc_raise_null(LUCID_ERR_ARGUMENT, "device", "type: expected cpu or cuda, got %d",
                          (int)type);
}

bool lucid_backend_register(const lucid_backend *backend)
{
    if (!backend || (unsigned)backend->type >= LUCID_DEVICE_TYPE_COUNT)
        return luc_raise(LUCID_ERR_ARGUMENT, "backend_register",
                         "backend: expected a table with a known device type");
    if (!backend->alloc || !backend->free || !backend->copy || !backend->device_count)
        return luc_raise(LUCID_ERR_ARGUMENT, "backend_register",
                         "backend: %s: expected alloc, free, copy and device_count to be set",
                         backend->name ? backend->name : "(no name)");
    luc_lock(LUC_LOCK_BACKENDS);
    install(backend->type, backend);
    luc_unlock(LUC_LOCK_BACKENDS);
    return true;
}

/* ---- devices --------------------------------------------------------------------------------- */

lucid_device lucid_cpu(void)
{
    return (lucid_device){LUCID_CPU, 0};
}

lucid_device lucid_cuda(int index)
{
    return (lucid_device){LUCID_CUDA, index};
}

int lucid_device_count(lucid_device_type type)
{
    const lucid_backend *b = find(type);
    return b ? b->device_count() : 0;
}

lucid_device lucid_best_device(void)
{
    return lucid_device_count(LUCID_CUDA) > 0 ? lucid_cuda(0) : lucid_cpu();
}

const char *lucid_device_name(lucid_device device)
{
    static const char *const cuda[] = {
        "cuda:0", "cuda:1", "cuda:2",  "cuda:3",  "cuda:4",  "cuda:5",  "cuda:6",  "cuda:7",
        "cuda:8", "cuda:9", "cuda:10", "cuda:11", "cuda:12", "cuda:13", "cuda:14", "cuda:15"};
    if (device.type == LUCID_CPU) return "cpu";
    if (device.type != LUCID_CUDA || device.index < 0) return "no device";
    return (size_t)device.index < sizeof cuda / sizeof *cuda ? cuda[device.index] : "cuda:16+";
}

bool lucid_device_parse(const char *text, lucid_device *device)
{
    int index = 0, end = 0;
    if (text && device) {
        if (strcmp(text, "cpu") == 0) {
            *device = lucid_cpu();
            return true;
        }
        if (strcmp(text, "cuda") == 0 ||
            (strncmp(text, "cuda:", 5) == 0 && text[5] >= '0' && text[5] <= '9' &&
             sscanf(text, "cuda:%4d%n", &index, &end) == 1 && text[end] == '\0')) {
            *device = lucid_cuda(index);
            return true;
        }
    }
    return luc_raise(LUCID_ERR_ARGUMENT, "device_parse",
                     "text: expected \"cpu\", \"cuda\" or \"cuda:N\", got \"%s\"",
                     text ? text : "(NULL)");
}

bool lucid_device_equal(lucid_device a, lucid_device b)
{
    return a.type == b.type && a.index == b.index;
}

bool lucid_synchronize(lucid_device device)
{
    const lucid_backend *b = lucid_backend_get(device.type);
    if (!b) return false;
    return b->synchronize ? b->synchronize(device.index) : true;
}

/* ---- kernels --------------------------------------------------------------------------------- */

const char *luc_op_id_name(lucid_op_id op)
{
    static const char *const names[] = {
#define LUC_OP(name)     #name,
#define LUC_KERNEL(name) #name,
#include "lucid/core/ops.def"
    };
    return (unsigned)op < LUCID_OP_COUNT ? names[op] : "custom";
}

bool luc_raise_no_memory(lucid_device device, size_t size, const char *what, const char *op)
{
    lucid_memory_stats now = lucid_memory(device);
    if (device.type == LUCID_CPU)
        return luc_raise(LUCID_ERR_MEMORY, op, "out of memory on cpu: %zu bytes%s asked for", size,
                         what);
    return luc_raise(
        LUCID_ERR_MEMORY, op,
        "out of memory on %s: %zu bytes%s asked for; %zu are in tensors, %zu taken from "
        "the device",
        lucid_device_name(device), size, what, now.current_bytes, now.reserved_bytes);
}

/* A run in memory that is given back after it. */
static bool run_in_workspace(const lucid_backend *b, lucid_device device, lucid_run_fn run,
                             const char *op, lucid_kernel_args *args)
{
    const size_t size = args->plan->workspace;
    if (size == 0) return run(args);
    args->workspace = b->alloc(device.index, size);
    if (!args->workspace) return luc_raise_no_memory(device, size, " of workspace", op);
    const bool ok = run(args);
    b->free(device.index, args->workspace, size);
    return ok;
}

bool luc_kernel_missing(lucid_device device, lucid_dtype dtype, const char *op)
{
    return luc_raise(LUCID_ERR_UNSUPPORTED, op, "no kernel for %s on %s", lucid_dtype_name(dtype),
                     lucid_device_name(device));
}

bool luc_kernel_plan_and_run(const lucid_backend *b, lucid_device device, lucid_kernel kernel,
                             const char *op, lucid_kernel_args *args)
{
    lucid_plan plan; /* .own is the kernel's, and not cleared */
    plan.workspace = 0;
    plan.threads = 0;
    plan.algorithm = NULL;
    args->plan = NULL;
    /* Another thread of the program may change the number of threads between the two calls. */
    const uint64_t before = b->call_begin ? b->call_begin() : 0;
    bool ok = kernel.plan(args, &plan);
    args->plan = &plan;
    ok = ok && run_in_workspace(b, device, kernel.run, op, args);
    args->plan = NULL;
    args->workspace = NULL;
    if (b->call_end) b->call_end(before);
    return ok;
}

bool luc_kernel_run(lucid_device device, lucid_op_id op, lucid_dtype dtype, lucid_kernel_args *args)
{
    const lucid_backend *b = lucid_backend_get(device.type);
    args->op = op;
    return b && luc_kernel_call(b, device, b->kernels[op][dtype], dtype, luc_op_id_name(op), args);
}
