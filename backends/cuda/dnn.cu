/* dnn.cu: convolutions by cuDNN's backend API, which is opened at run time.
 *
 * A convolution is described as a graph of one operation, or of two with a bias, on channels_last
 * tensors. The heuristics (mode B, then A, then the fallbacks) propose engines; the first that keeps
 * lucid's promises (float32 sums, TF32 and nondeterminism only where they are allowed) and can be
 * finalized is kept for the shape. With lucid_set_benchmark(true) the first few are measured once.
 *
 * What a plan refers to is never destroyed: it lives as long as the process. */
#include "backends/cuda/dnn_priv.h"
#include "backends/cuda/plan_cache.h"

#include <dlfcn.h>

namespace luc
{

enum { most_candidates = 6, most_proposed = 24, timed_runs = 3 };
static const int64_t most_workspace = (int64_t)1 << 30;

/* ---- the library ------------------------------------------------------------------------------ */

static dnn_library open_dnn()
{
    static const char *const names[] = {"libcudnn.so.9", nullptr};
    dnn_library l = {};
    void *opened = open_library(cudnn, names);
    if (!opened) return l;
    l.usable = true;
#define LOOK_UP(name)                                                          \
    l.name = reinterpret_cast<decltype(l.name)>(dlsym(opened, "cudnn" #name)); \
    l.usable = l.usable && l.name;
    DNN_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
    return l;
}

const dnn_library &dnn()
{
    static const dnn_library l = open_dnn();
    return l;
}

/* A handle belongs to a device and its stream; one thread at a time may use it. */
struct device_handle {
    std::once_flag once;
    std::mutex lock;
    cudnnHandle_t handle;
};
static device_handle handles[max_devices];

static cudnnHandle_t handle_of(int device)
{
    device_handle *h = &handles[device];
    std::call_once(h->once, [h, device] {
        const device_info *d = use_device(device, "cudnn");
        cudnnHandle_t made = nullptr;
        if (!d || dnn().Create(&made) != CUDNN_STATUS_SUCCESS) return;
        if (dnn().SetStream(made, d->stream) == CUDNN_STATUS_SUCCESS) h->handle = made;
    });
    return h->handle;
}

/* ---- engines ---------------------------------------------------------------------------------- */

/* Whether an engine's results are what lucid promises. */
static bool is_allowed(cudnnBackendDescriptor_t config, const convolution &v)
{
    cudnnBackendDescriptor_t engine = make_descriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!engine) return false;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    int64_t n = 0;
    bool allowed = dnn().BackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                             CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
                                             &engine) == CUDNN_STATUS_SUCCESS;
    n = 0;
    allowed = allowed && dnn().BackendGetAttribute(
                             engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                             CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &n, notes) == CUDNN_STATUS_SUCCESS;
    for (int64_t i = 0; i < n && allowed; i++) {
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) allowed = !switches.deterministic;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
            notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
            allowed = false;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE && v.dtype == LUCID_F32 && !switches.tf32)
            allowed = false;
    }
    dnn().BackendDestroyDescriptor(engine);
    return allowed;
}

/* The plan of an engine, and its workspace. NULL where it cannot be had. */
static cudnnBackendDescriptor_t plan_of(cudnnBackendDescriptor_t config, cudnnHandle_t handle,
                                        int64_t *workspace)
{
    cudnnBackendDescriptor_t plan = make_descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    int64_t n = 0;
    *workspace = 0;
    if (plan && set(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &handle) &&
        set(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
            &config) &&
        finalize(plan) &&
        dnn().BackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                  1, &n, workspace) == CUDNN_STATUS_SUCCESS &&
        *workspace <= most_workspace)
        return plan;
    if (plan) dnn().BackendDestroyDescriptor(plan);
    return nullptr;
}

/* Adds what the heuristics propose to the candidates, up to `wanted`. */
static void propose(conv_plans *to, cudnnBackendDescriptor_t graph, cudnnBackendHeurMode_t mode,
                    const convolution &v, cudnnHandle_t handle, int wanted)
{
    cudnnBackendDescriptor_t heuristics = make_descriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    cudnnBackendDescriptor_t configs[most_proposed];
    int64_t made = 0, found = 0;
    while (made < most_proposed &&
           (configs[made] = make_descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)))
        made++;
    bool ok = heuristics &&
              set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                  1, &graph) &&
              set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) &&
              finalize(heuristics) &&
              dnn().BackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &found,
                                        configs) == CUDNN_STATUS_SUCCESS;
    if (!ok) found = 0;
    if (found > made) found = made;
    for (int64_t i = 0; i < made; i++) {
        conv_plans::candidate *c = &to->candidates[to->n];
        if (i < found && to->n < wanted && is_allowed(configs[i], v) &&
            (c->plan = plan_of(configs[i], handle, &c->workspace)) != nullptr)
            to->n++;
        else
            dnn().BackendDestroyDescriptor(configs[i]);
    }
    if (heuristics) dnn().BackendDestroyDescriptor(heuristics);
}

static void make_plans(conv_plans *to, const convolution &v)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_A,
                                                   CUDNN_HEUR_MODE_FALLBACK};
    int wanted = switches.benchmark ? most_candidates : 1;
    cudnnHandle_t handle = handle_of(v.device);
    if (!handle) return;
    std::lock_guard<std::mutex> guard(handles[v.device].lock);
    /* With the bias if an engine can; else without, and it is added afterwards. */
    for (int fused = v.has_bias; fused >= 0 && to->n == 0; fused--) {
        cudnnBackendDescriptor_t graph = conv_graph(v, fused != 0, handle);
        for (int m = 0; graph && m < 3 && to->n < wanted && (m < 2 || to->n == 0); m++)
            propose(to, graph, modes[m], v, handle, wanted);
        to->adds_bias = fused != 0;
    }
    to->measured = to->n <= 1;
}

/* ---- plans ------------------------------------------------------------------------------------ */

struct conv_key {
    int64_t of[24];
};
static plan_cache<conv_key, conv_plans> plans;

/* NULL, and the reason, where the library does not do it. */
static conv_plans *plans_of(const convolution &v, const char **why)
{
    *why = "the library cannot be used";
    if (!dnn().usable) return nullptr;
    int64_t limit = (int64_t)1 << 31;
    *why = "float64, or a tensor of 2^31 elements and more";
    if (v.dtype == LUCID_F64 || v.n * v.c * v.h * v.w >= limit || v.n * v.o * v.oh * v.ow >= limit)
        return nullptr;
    *why = "few channels in a group, in float32";
    if (v.groups > 1 && v.dtype == LUCID_F32 &&
        (v.pass == conv_grad_input ? v.c : v.o) / v.groups < 8)
        return nullptr;
    conv_key key = {{v.pass,
                     v.dtype,
                     v.device,
                     v.n,
                     v.c,
                     v.h,
                     v.w,
                     v.o,
                     v.kh,
                     v.kw,
                     v.oh,
                     v.ow,
                     v.stride[0],
                     v.stride[1],
                     v.padding[0],
                     v.padding[1],
                     v.dilation[0],
                     v.dilation[1],
                     v.groups,
                     v.has_bias,
                     v.alignment,
                     switches.tf32,
                     switches.deterministic,
                     switches.benchmark}};
    conv_plans *p = find_plan(&plans, key, [&v](conv_plans *to) { make_plans(to, v); });
    *why = "it has no engine for this convolution";
    return p && p->n > 0 ? p : nullptr;
}

const char *dnn_refuses(const convolution &v, size_t *bytes, bool *adds_bias)
{
    const char *why;
    const conv_plans *p = plans_of(v, &why);
    if (!p) return why;
    int64_t most = p->candidates[p->best].workspace;
    for (int i = 0; i < p->n && !p->measured; i++)
        if (p->candidates[i].workspace > most) most = p->candidates[i].workspace;
    *bytes = (size_t)most;
    *adds_bias = p->adds_bias;
    return nullptr;
}

/* ---- running ---------------------------------------------------------------------------------- */

static bool execute(const conv_plans *p, int which, const convolution &v, const convolution_data &d,
                    void *workspace)
{
    int64_t ids[] = {uid_x, uid_w, uid_y, uid_bias}, n = p->adds_bias ? 4 : 3;
    void *data[] = {d.x, d.w, d.y, const_cast<void *>(d.bias)};
    if (p->candidates[which].workspace == 0) workspace = nullptr;
    cudnnBackendDescriptor_t pack = make_descriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
    if (!pack) return false;
    bool ok = set(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, ids) &&
              set(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, data) &&
              set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) &&
              finalize(pack) &&
              dnn().BackendExecute(handle_of(v.device), p->candidates[which].plan, pack) ==
                  CUDNN_STATUS_SUCCESS;
    dnn().BackendDestroyDescriptor(pack);
    return ok;
}

/* Milliseconds of a few runs after a first one; negative: it failed. */
static float time_of(const conv_plans *p, int which, const convolution &v,
                     const convolution_data &d, void *workspace, cudaStream_t stream)
{
    cudaEvent_t begin = nullptr, end = nullptr;
    float ms = -1;
    if (cudaEventCreateWithFlags(&begin, cudaEventDefault) == cudaSuccess &&
        cudaEventCreateWithFlags(&end, cudaEventDefault) == cudaSuccess &&
        execute(p, which, v, d, workspace) && cudaEventRecord(begin, stream) == cudaSuccess) {
        bool ok = true;
        for (int i = 0; i < timed_runs && ok; i++) ok = execute(p, which, v, d, workspace);
        ok = ok && cudaEventRecord(end, stream) == cudaSuccess &&
             cudaEventSynchronize(end) == cudaSuccess;
        if (!ok || cudaEventElapsedTime(&ms, begin, end) != cudaSuccess) ms = -1;
    }
    if (begin) cudaEventDestroy(begin);
    if (end) cudaEventDestroy(end);
    return ms;
}

static void measure(conv_plans *p, const convolution &v, const convolution_data &d, void *workspace,
                    cudaStream_t stream)
{
    float least = -1;
    for (int i = 0; i < p->n; i++) {
        float ms = time_of(p, i, v, d, workspace, stream);
        if (ms < 0 || (least >= 0 && ms >= least)) continue;
        least = ms;
        p->best = i;
    }
    p->measured = true;
}

outcome dnn_convolve(const call &c, const convolution &v, const convolution_data &d,
                     void *workspace, size_t bytes)
{
    const char *why;
    conv_plans *p = plans_of(v, &why);
    if (!p) return not_handled;
    std::lock_guard<std::mutex> guard(handles[v.device].lock);
    if (!p->measured && !is_capturing(v.device)) measure(p, v, d, workspace, c.stream);
    if ((int64_t)bytes < p->candidates[p->best].workspace) return not_handled;
    bool ok = execute(p, p->best, v, d, workspace);
    if (!ok) cudaGetLastError(); /* it must not be taken for the own kernel's */
    count_call(cudnn, ok ? nullptr : "it refused a call");
    return ok ? done : not_handled;
}

} // namespace luc
