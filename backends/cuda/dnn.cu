/* dnn.cu: convolutions by cuDNN's backend API, which is opened at run time.
 *
 * A convolution is described as a graph on channels_last tensors. The graph has one operation, or
 * up to five with those that follow it (scale, shift or bias, residual, ReLU). The heuristics (mode
 * B, then A, then the fallbacks) propose engines. The first one that keeps lucid's promises
 * (float32 sums, TF32 and nondeterminism only where they are allowed) and can be finalized is kept
 * for the shape. If no engine takes the whole graph, one computes the convolution, and a kernel of
 * lucid's the rest, in one pass. With lucid_set_benchmark(true) the first few of both kinds are
 * measured once.
 *
 * Plans may be made while a step is captured: making them queues nothing, and captures are relaxed,
 * so the library may load its kernels meanwhile. Only measuring waits for the device, so it is left
 * for later.
 *
 * Objects that a plan refers to are never destroyed: they live as long as the process. */
#include "backends/cuda/conv.h"
#include "backends/cuda/dnn_priv.h"
#include "backends/cuda/plan_cache.h"

#include <atomic>
#include <dlfcn.h>

namespace luc
{

enum {
    most_compiled = 4, /* image sizes of a convolution for which engines are compiled */
    most_measured = 6, /* plans for the convolution alone */
    most_fused = 2,    /* plans for the whole graph; most of them are compiled when they are made */
    most_proposed = 100,
    timed_runs = 3
};
static_assert(most_measured + most_fused <=
                  sizeof conv_plans::candidates / sizeof(conv_plans::candidate),
              "conv_plans has too few candidates");
static const int64_t most_workspace = (int64_t)1 << 30;

/* ---- the library ---------------------------------------------------------------------------- */

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

/* A handle belongs to a device and its stream, and one thread at a time may use it. */
struct device_handle {
    std::once_flag once;
    std::mutex lock;
    std::atomic<cudnnHandle_t> handle;
};
static device_handle handles[max_devices];

/* NULL if it cannot be made. It is not made while a step is captured, because that may wait for the
 * device; lucid_capture runs a step once before it captures it. */
static cudnnHandle_t handle_of(int device)
{
    device_handle *h = &handles[device];
    if (!h->handle && is_capturing(device)) return nullptr;
    std::call_once(h->once, [h, device] {
        const device_info *d = use_device(device, "cudnn");
        cudnnHandle_t made = nullptr;
        if (!d || dnn().Create(&made) != CUDNN_STATUS_SUCCESS) return;
        if (dnn().SetStream(made, d->stream) == CUDNN_STATUS_SUCCESS) h->handle = made;
    });
    return h->handle;
}

/* ---- shapes --------------------------------------------------------------------------------- */

enum { key_sizes = 21 }; /* sizes from this index on are those of the images */
struct conv_key {
    int64_t of[key_sizes + 6];
};

static conv_key key_of(const convolution &v)
{
    return {{v.pass,
             v.dtype,
             v.device,
             v.c,
             v.o,
             v.kh,
             v.kw,
             v.stride[0],
             v.stride[1],
             v.padding[0],
             v.padding[1],
             v.dilation[0],
             v.dilation[1],
             v.groups,
             v.has_scale,
             v.has_shift,
             v.has_residual,
             v.relu,
             switches().tf32,
             switches().deterministic,
             switches().benchmark,
             v.n,
             v.h,
             v.w,
             v.oh,
             v.ow,
             v.alignment}};
}

/* For how many image sizes of one convolution engines were compiled. A network that sees new sizes
 * all the time must not wait for the compiler each time. Where sizes repeat, which
 * lucid_set_benchmark says, there is no limit. The function is called under the lock of the
 * device's handle, and a key holds its device. */
static plan_cache<conv_key, int> compiled_sizes;

static int *compiled_for(const convolution &v)
{
    conv_key key = key_of(v);
    for (int64_t &size : key.of)
        if (&size >= key.of + key_sizes) size = 0;
    return find_plan(&compiled_sizes, key, [](int *count) { *count = 0; });
}

/* ---- engines -------------------------------------------------------------------------------- */

/* The number of an engine's notes; negative: the engine does not say. */
template <class N>
static int64_t notes_of(cudnnBackendDescriptor_t engine, cudnnBackendAttributeName_t name,
                        cudnnBackendAttributeType_t type, N *notes, int64_t most)
{
    int64_t n = 0;
    if (dnn().BackendGetAttribute(engine, name, type, most, &n, notes) != CUDNN_STATUS_SUCCESS)
        return -1;
    return n < most ? n : most;
}

/* For what engines are proposed: for the whole graph or for the convolution alone; and whether an
 * engine for the whole graph may be compiled. */
struct proposal {
    cudnnBackendDescriptor_t graph;
    bool fused, compile;
    int wanted; /* of candidates in all */
};

/* Whether an engine's results are what lucid promises. An engine for the whole graph that is
 * compiled and has no tensor cores is generic, and may be much slower than an engine for the
 * convolution alone and a pass over its result. Such an engine is only taken when it is
 * measured. */
static bool is_allowed(cudnnBackendDescriptor_t config, const convolution &v, const proposal &p,
                       bool *compiled)
{
    cudnnBackendDescriptor_t engine = make_descriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    if (!engine) return false;
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendBehaviorNote_t ways[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
    int64_t n = 0, n_ways = 0;
    bool allowed = dnn().BackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE,
                                             CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
                                             &engine) == CUDNN_STATUS_SUCCESS;
    if (allowed) {
        n = notes_of(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, notes,
                     CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
        n_ways = notes_of(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, ways,
                          CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
        allowed = n >= 0;
    }
    bool tensor_cores = false;
    *compiled = false;
    for (int64_t i = 0; i < n && allowed; i++) {
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) allowed = !switches().deterministic;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
            notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)
            allowed = false;
        if (notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE) tensor_cores = true;
    }
    if (tensor_cores && v.dtype == LUCID_F32 && !switches().tf32) allowed = false;
    for (int64_t i = 0; i < n_ways; i++)
        *compiled |= ways[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    if (p.fused && *compiled && !(p.compile && (tensor_cores || switches().benchmark)))
        allowed = false;
    dnn().BackendDestroyDescriptor(engine);
    return allowed;
}

/* The plan of an engine, and its workspace. NULL if there is none. */
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

/* Adds the proposals of the heuristics to the candidates. */
static void propose(conv_plans *to, const proposal &p, cudnnBackendHeurMode_t mode,
                    const convolution &v, cudnnHandle_t handle)
{
    cudnnBackendDescriptor_t heuristics = make_descriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    cudnnBackendDescriptor_t configs[most_proposed];
    int64_t made = 0, found = 0;
    while (made < most_proposed &&
           (configs[made] = make_descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR)))
        made++;
    bool ok = heuristics &&
              set(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                  1, &p.graph) &&
              set(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode) &&
              finalize(heuristics) &&
              dnn().BackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, made, &found,
                                        configs) == CUDNN_STATUS_SUCCESS;
    if (!ok) found = 0;
    if (found > made) found = made;
    for (int64_t i = 0; i < made; i++) {
        conv_plans::candidate *c = &to->candidates[to->n];
        if (i < found && to->n < p.wanted && is_allowed(configs[i], v, p, &c->compiled) &&
            (c->plan = plan_of(configs[i], handle, &c->workspace)) != nullptr) {
            c->fused = p.fused;
            to->n++;
        } else {
            dnn().BackendDestroyDescriptor(configs[i]);
        }
    }
    if (heuristics) dnn().BackendDestroyDescriptor(heuristics);
}

static void make_plans(conv_plans *to, const convolution &v)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_A,
                                                   CUDNN_HEUR_MODE_FALLBACK};
    const bool follows = v.has_scale || v.has_shift || v.has_residual || v.relu;
    cudnnHandle_t handle = handle_of(v.device);
    std::lock_guard<std::mutex> guard(handles[v.device].lock);
    int *compiled = follows ? compiled_for(v) : nullptr;
    /* The whole graph comes first. The convolution alone comes next if no engine takes the graph,
     * or if both are measured. */
    for (int fused = follows; fused >= 0; fused--) {
        if (to->n > 0 && !switches().benchmark) break;
        const int before = to->n, most = fused ? most_fused : most_measured;
        const proposal p = {conv_graph(v, fused != 0, handle), fused != 0,
                            switches().benchmark || (compiled && *compiled < most_compiled),
                            before + (switches().benchmark ? most : 1)};
        for (int m = 0; p.graph && m < 3 && to->n == before; m++)
            if (m < 2 || !fused) propose(to, p, modes[m], v, handle);
    }
    if (compiled && to->n > 0 && to->candidates[0].fused && to->candidates[0].compiled) ++*compiled;
    to->measured = to->n <= 1;
}

/* ---- plans ---------------------------------------------------------------------------------- */

static plan_cache<conv_key, conv_plans> plans;

/* Returns NULL, and the reason, if the library does not compute the convolution. */
static conv_plans *plans_of(const convolution &v, const char **why)
{
    *why = "the library cannot be used";
    if (!dnn().usable || !handle_of(v.device)) return nullptr;
    int64_t limit = (int64_t)1 << 31;
    *why = "float64, or a tensor of 2^31 elements and more";
    if (v.dtype == LUCID_F64 || v.n * v.c * v.h * v.w >= limit || v.n * v.o * v.oh * v.ow >= limit)
        return nullptr;
    *why = "few channels in a group, in float32";
    if (v.groups > 1 && v.dtype == LUCID_F32 &&
        (v.pass == conv_grad_input ? v.c : v.o) / v.groups < 8)
        return nullptr;
    const conv_key key = key_of(v);
    conv_plans *p = find_plan(&plans, key, [&v](conv_plans *to) { make_plans(to, v); });
    *why = "it has no engine for this convolution";
    return p && p->n > 0 ? p : nullptr;
}

const char *dnn_refuses(const convolution &v, size_t *bytes)
{
    const char *why;
    const conv_plans *p = plans_of(v, &why);
    if (!p) return why;
    int64_t most = p->candidates[p->best].workspace;
    for (int i = 0; i < p->n && !p->measured; i++)
        if (p->candidates[i].workspace > most) most = p->candidates[i].workspace;
    *bytes = (size_t)most;
    return nullptr;
}

/* ---- running -------------------------------------------------------------------------------- */

static bool execute(const conv_plans *p, int which, const convolution &v, const convolution_data &d,
                    void *workspace)
{
    int64_t ids[6] = {uid_x, uid_w, uid_y}, n = 3;
    void *data[6] = {d.x, d.w, d.y};
    auto add = [&](int64_t id, const void *at) {
        ids[n] = id;
        data[n++] = const_cast<void *>(at);
    };
    if (p->candidates[which].fused && v.has_scale) add(uid_scale, d.scale);
    if (p->candidates[which].fused && v.has_shift) add(uid_shift, d.shift);
    if (p->candidates[which].fused && v.has_residual) add(uid_residual, d.residual);
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

/* Computes the convolution and the operators that follow it. */
static outcome execute_all(const call &c, const conv_plans *p, int which, const convolution &v,
                           const convolution_data &d, void *workspace)
{
    if (!execute(p, which, v, d, workspace)) {
        cudaGetLastError(); /* this error must not be taken for one of the own kernel */
        return not_handled;
    }
    return p->candidates[which].fused || finish_convolution(c, v, d) ? done : failed;
}

/* The milliseconds of a few runs after a first one; negative: a run failed. */
static float time_of(const call &c, const conv_plans *p, int which, const convolution &v,
                     const convolution_data &d, void *workspace)
{
    cudaEvent_t begin = nullptr, end = nullptr;
    float ms = -1;
    if (cudaEventCreateWithFlags(&begin, cudaEventDefault) == cudaSuccess &&
        cudaEventCreateWithFlags(&end, cudaEventDefault) == cudaSuccess &&
        execute_all(c, p, which, v, d, workspace) == done &&
        cudaEventRecord(begin, c.stream) == cudaSuccess) {
        bool ok = true;
        for (int i = 0; i < timed_runs && ok; i++)
            ok = execute_all(c, p, which, v, d, workspace) == done;
        ok = ok && cudaEventRecord(end, c.stream) == cudaSuccess &&
             cudaEventSynchronize(end) == cudaSuccess;
        if (!ok || cudaEventElapsedTime(&ms, begin, end) != cudaSuccess) ms = -1;
    }
    if (begin) cudaEventDestroy(begin);
    if (end) cudaEventDestroy(end);
    return ms;
}

static void measure(const call &c, conv_plans *p, const convolution &v, const convolution_data &d,
                    void *workspace)
{
    float least = -1;
    for (int i = 0; i < p->n; i++) {
        float ms = time_of(c, p, i, v, d, workspace);
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
    if (!p->measured && !is_capturing(v.device)) measure(c, p, v, d, workspace);
    if ((int64_t)bytes < p->candidates[p->best].workspace) return not_handled;
    outcome o = execute_all(c, p, p->best, v, d, workspace);
    if (o != failed) count_call(cudnn, o == done ? nullptr : "it refused a call");
    return o;
}

} // namespace luc
