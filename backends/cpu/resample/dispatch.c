/* dispatch.c: interpolation of images: plans and registration. */
#include "backends/cpu/resample/resample_priv.h"
#include "backends/cpu/threads/parallel.h"

enum { GRAIN = 1 << 15, FEWEST_ROWS = 8, MOST_SLOTS = 64 };

static bool is_narrow(lucid_dtype dtype)
{
    return dtype != LUCID_F64;
}

static bool lanes_are_channels(const lucid_view *v)
{
    return !luc_view_is_contiguous(v) && luc_view_is_channels_last(v);
}

static luc_rows rows_of(const lucid_view *v, bool channels)
{
    luc_rows r = {.data = v->data,
                  .plane = {v->strides[0], v->strides[1]},
                  .row = v->strides[2],
                  .pixel = v->strides[3],
                  .lane = channels ? v->strides[1] : 1};
    const int64_t inner = channels ? v->dims[1] : 1;
    r.dense = (inner == 1 || r.lane == 1) && (v->dims[3] == 1 || r.pixel == inner);
    return r;
}

/* All but the taps and the memory. The plan must not depend on the number of threads. */
static luc_resample_plan plan_of(const lucid_kernel_args *args)
{
    const lucid_view *x = args->in[0], *y = args->out[0];
    const lucid_interpolate_attrs *a = args->attrs;
    const bool back = args->op == LUCID_OP_interpolate_backward, last = lanes_are_channels(y);
    const int64_t *from = back ? a->out : a->in, *to = back ? a->in : a->out;
    luc_resample_plan p = {.n = y->dims[0],
                           .c = last ? 1 : y->dims[1],
                           .inner = last ? y->dims[1] : 1,
                           .from = rows_of(x, last),
                           .to = rows_of(y, last)};
    p.rows_first = to[0] < from[0];
    /* Rounded up to whole cache lines, which vectors may read. */
    const int64_t wider = from[1] > to[1] ? from[1] : to[1];
    p.row_room = (wider * p.inner + 31) / 16 * 16;
    p.slots = luc_taps_reach(a, 0, is_narrow(y->dtype), back);
    if (p.slots > MOST_SLOTS) p.slots = MOST_SLOTS;
    p.block = GRAIN / (to[1] * p.inner + 1) + 1;
    if (p.block < FEWEST_ROWS) p.block = FEWEST_ROWS;
    /* Of a thread: the kept rows, one of sums, one of results, and which rows are kept. */
    const size_t element = is_narrow(y->dtype) ? sizeof(float) : sizeof(double);
    p.scratch_bytes =
        (size_t)(p.slots + 2) * (size_t)p.row_room * element + MOST_SLOTS * sizeof(int64_t);
    return p;
}

static bool plan(const lucid_kernel_args *args, lucid_plan *out)
{
    const luc_resample_plan p = plan_of(args);
    const bool narrow = is_narrow(args->out[0]->dtype);
    out->threads = luc_num_threads();
    out->workspace = luc_taps_bytes(args->attrs, 0, narrow) +
                     luc_taps_bytes(args->attrs, 1, narrow) +
                     (size_t)out->threads * p.scratch_bytes;
    return true;
}

static bool run(const lucid_kernel_args *args)
{
    const lucid_view *y = args->out[0];
    const lucid_interpolate_attrs *a = args->attrs;
    const bool narrow = is_narrow(y->dtype), back = args->op == LUCID_OP_interpolate_backward;
    luc_resample_plan p = plan_of(args);
    char *memory = args->workspace;
    if (luc_view_numel(y) == 0) return true;
    luc_taps_make(&p.rows, a, 0, narrow, back, memory);
    memory += luc_taps_bytes(a, 0, narrow);
    luc_taps_make(&p.cols, a, 1, narrow, back, memory);
    p.scratch = memory + luc_taps_bytes(a, 1, narrow);
    luc_resample_get()->run[y->dtype](&p);
    return true;
}

void luc_cpu_register_resample(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_interpolate][dtype] = (lucid_kernel){.plan = plan, .run = run};
        b->kernels[LUCID_OP_interpolate_backward][dtype] = (lucid_kernel){.plan = plan, .run = run};
    }
}
