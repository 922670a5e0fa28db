/* capture.cu: CUDA graphs: recording the work that is queued on a device's stream, and playing it
 * back.
 *
 * Memory that is asked for while recording comes from a pool of the graph's own, so its addresses
 * stay valid as long as the graph lives. Values that change from replay to replay are read from
 * cells in device memory. A small kernel sets them first and gets the values as its arguments, so
 * nothing waits. */
#include "backends/cuda/memory.h"

#include <new>

namespace luc
{

namespace
{

constexpr int max_cells = 64;
struct cell_values {
    uint64_t v[max_cells];
};

struct graph {
    int index, pool, n_cells;
    uint64_t *cells;
    cudaGraphExec_t exec;
};
graph *recording[max_devices];

__global__ void set_cells(uint64_t *cells, cell_values values, int n)
{
    int i = (int)threadIdx.x;
    if (i < n) cells[i] = values.v[i];
}

void free_graph(graph *g)
{
    if (!use_device(g->index, "capture")) return;
    if (g->exec) cudaGraphExecDestroy(g->exec);
    device_free(g->index, g->cells, (size_t)g->n_cells * 8);
    if (g->pool) end_pool(g->index, g->pool);
    delete g;
}

bool capture_begin(int index, int n_cells, uint64_t **cells)
{
    static const char op[] = "capture";
    const device_info *d = use_device(index, op);
    if (!d) return false;
    if (recording[index]) return raise(LUCID_ERR_STATE, op, "cuda:%d is recorded already", index);
    if (n_cells > max_cells)
        return raise(LUCID_ERR_INTERNAL, op, "expected at most %d cells, got %d", max_cells,
                     n_cells);
    graph *g = new (std::nothrow) graph{index, 0, n_cells, nullptr, nullptr};
    if (g) g->cells = static_cast<uint64_t *>(device_alloc(index, (size_t)n_cells * 8));
    if (!g || !g->cells) {
        delete g;
        return raise(LUCID_ERR_MEMORY, op, "out of memory");
    }
    /* The mode is relaxed because the pool may ask the driver for memory while recording. */
    if (!ok(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeRelaxed), op)) {
        free_graph(g);
        return false;
    }
    g->pool = begin_pool(index);
    recording[index] = g;
    *cells = g->cells;
    return true;
}

void *capture_end(int index, bool keep)
{
    static const char op[] = "capture";
    const device_info *d = use_device(index, op);
    graph *g = recording[index];
    recording[index] = nullptr;
    if (!d || !g) return nullptr;
    leave_pool(index);
    cudaGraph_t recorded = nullptr;
    cudaError_t e = cudaStreamEndCapture(d->stream, &recorded);
    if (e == cudaSuccess && keep) e = cudaGraphInstantiate(&g->exec, recorded, 0);
    if (recorded) cudaGraphDestroy(recorded);
    if (keep && ok(e, op)) return g;
    cudaGetLastError(); /* The recording was broken off, and its reason is known. */
    free_graph(g);
    return nullptr;
}

bool graph_launch(void *recorded, const uint64_t *values)
{
    graph *g = static_cast<graph *>(recorded);
    lucid_kernel_args args = {};
    args.op = LUCID_OP_fill;
    args.device = g->index;
    call c(&args);
    c.op = "replay";
    if (!c.device) return false;
    cell_values v = {};
    for (int i = 0; i < g->n_cells; i++) v.v[i] = values[i];
    return c.launch(set_cells, 1, max_cells, 0, g->cells, v, g->n_cells) &&
           ok(cudaGraphLaunch(g->exec, c.stream), c.op);
}

void graph_free(void *recorded)
{
    graph *g = static_cast<graph *>(recorded);
    /* The graph may still be playing. Later uses of its memory are queued after it, but its
     * executable must not be destroyed before it has ended. */
    const device_info *d = use_device(g->index, "capture");
    if (d && !is_capturing(g->index)) cudaStreamSynchronize(d->stream);
    free_graph(g);
}

} // namespace

void register_capture(lucid_backend *b)
{
    b->capture_begin = capture_begin;
    b->capture_end = capture_end;
    b->graph_launch = graph_launch;
    b->graph_free = graph_free;
}

} // namespace luc
