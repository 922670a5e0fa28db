/* norm.cu: batch_norm and batch_norm_backward: which way a call is computed, and how it is cut
 * up. */
#include "backends/cuda/norm.h"

namespace luc
{

static norm_array array_of(const lucid_view *v)
{
    if (!v) return {nullptr, 0, LUCID_F32};
    return {v->data, v->strides[0], (int)v->dtype};
}

static void fill_channels(norm_plan *p, const call &c)
{
    const lucid_batch_norm_attrs *a = c.attrs<lucid_batch_norm_attrs>();
    norm_channels *ch = &p->ch;
    ch->backward = c.args->op == LUCID_OP_batch_norm_backward;
    ch->batch = a->training;
    ch->eps = a->eps;
    ch->momentum = a->momentum;
    ch->want = ch->backward ? a->want : 1;
    norm_array none = array_of(nullptr);
    ch->running_mean = ch->running_var = ch->grad_weight = ch->grad_bias = none;
    if (ch->backward) {
        ch->weight = array_of(c.in(2));
        ch->mean = array_of(c.in(3));
        ch->invstd = array_of(c.in(4));
        ch->bias = array_of(c.in(5));
        if (ch->want & 2) ch->grad_weight = array_of(c.out(1));
        if (ch->want & 4) ch->grad_bias = array_of(c.out(2));
    } else {
        ch->weight = array_of(c.in(1));
        ch->bias = array_of(c.in(2));
        ch->running_mean = array_of(c.in(3));
        ch->running_var = array_of(c.in(4));
        ch->mean = array_of(c.out(1));
        ch->invstd = array_of(c.out(2));
    }
}

/* The operands that the call has. For the others data is NULL and the strides are x's. */
static void fill_operands(norm_plan *p, const call &c, const lucid_view *(&views)[norm_operands])
{
    const lucid_batch_norm_attrs *a = c.attrs<lucid_batch_norm_attrs>();
    norm_work *w = &p->work;
    bool back = p->ch.backward;
    for (int k = 0; k < norm_operands; k++) views[k] = nullptr;
    views[norm_x] = c.in(back ? 1 : 0);
    w->relu = a->relu;
    w->cut = norm_no_cut;
    if (!back) {
        views[norm_out] = c.out(0);
        views[norm_other] = c.in(5);
    } else {
        if (a->relu) w->cut = c.in(6) ? norm_cut_output : norm_cut_sign;
        if (p->ch.want & 1) views[norm_out] = c.out(0);
        if (w->cut == norm_cut_output) views[norm_other] = c.in(6);
        views[norm_dy] = c.in(0);
        if (p->ch.want & 8) views[norm_kept] = c.out(3);
    }
    for (int k = 0; k < norm_operands; k++) {
        w->data[k] = views[k] ? views[k]->data : nullptr;
        if (!views[k]) views[k] = views[norm_x];
    }
}

static lucid_view without_channels(const lucid_view *v)
{
    lucid_view r = *v;
    r.ndim = 0;
    for (int d = 0; d < v->ndim; d++) {
        if (d == 1) continue;
        r.dims[r.ndim] = v->dims[d];
        r.strides[r.ndim++] = v->strides[d];
    }
    return r;
}

/* Whether the operands can be read in packs of `width`, if all places where a pack begins are
 * multiples of these strides. */
static bool fits(const norm_plan *p, int width, size_t element, int64_t run, bool lanes)
{
    if (run % width) return false;
    for (int k = 0; k < norm_operands; k++) {
        if (!p->work.data[k]) continue;
        if (!is_aligned(p->work.data[k], element * (size_t)width)) return false;
        if (!lanes && p->work.channels > 1 && p->work.channel_stride[k] % width) return false;
        for (int d = lanes ? 0 : 1; d < p->w.ndim; d++)
            if (p->w.strides[d][k] % width) return false;
    }
    return true;
}

static int widest(const norm_plan *p, size_t element, int64_t run, bool lanes)
{
    int width = element == 2 && lanes ? 4 : (int)(16 / element);
    if (fits(p, width, element, run, lanes)) return width;
    if (width == 8 && fits(p, 4, element, run, lanes)) return 4;
    return 1;
}

/* Chooses the way by the strides. */
static norm_way by_layout(norm_plan *p, size_t element)
{
    const walk<norm_operands> &w = p->w;
    bool side_by_side = p->work.channels > 1 && w.ndim <= 1, runs = w.ndim <= 2;
    for (int k = 0; k < norm_operands; k++) {
        if (p->work.channel_stride[k] != 1) side_by_side = false;
        if (w.ndim > 0 && w.strides[0][k] != 1) runs = false;
    }
    if (side_by_side && p->work.channels < ((int64_t)1 << 31)) {
        p->width = widest(p, element, p->work.channels, true);
        return norm_by_lanes;
    }
    int64_t inner = w.ndim > 0 ? w.dims[0] : 1;
    p->width = runs ? widest(p, element, inner, false) : 1;
    if (runs && w.n / p->width < ((int64_t)1 << 31)) return norm_by_runs;
    p->width = 1;
    return norm_by_strides;
}

/* The number of shares such that there are about `waves` times as many blocks as the device holds
 * at once (`per_sm` on a multiprocessor), but no share has less than `least` of the n. */
static int choose_splits(const call &c, int64_t pieces, int64_t n, int64_t least, int per_sm,
                         int waves)
{
    enum { most = 1024 };
    int64_t blocks = (int64_t)(c.device ? c.device->multiprocessors : 1) * per_sm * waves;
    int64_t splits = ceil_div(blocks, pieces);
    if (splits > n / least) splits = n / least;
    if (splits > most) splits = most;
    return splits < 1 ? 1 : (int)splits;
}

static void cut_rows(norm_plan *p, const call &c, size_t element)
{
    const walk<norm_operands> &w = p->w;
    p->work.packs = w.n / p->width;
    p->runs.width = p->width;
    p->runs.inner = (w.ndim > 0 ? w.dims[0] : 1) / p->width;
    if (p->way == norm_by_runs) p->runs.by = divider((uint32_t)p->runs.inner);
    for (int k = 0; k < norm_operands; k++) p->runs.strides[k] = w.ndim > 1 ? w.strides[1][k] : 0;

    /* Whether the channel is small enough for shared memory, and there are enough channels for all
     * multiprocessors, or so little in each channel that saving a launch matters more. */
    int held = p->ch.backward ? 2 : 1;
    size_t bytes = (size_t)w.n * element * held;
    int64_t sms = c.device ? c.device->multiprocessors : 1;
    if (p->way == norm_by_runs && p->sums && p->output && bytes <= norm_resident_limit(c.device) &&
        (bytes <= (size_t)(32 << 10) * held || p->work.channels * 4 >= sms * 3)) {
        p->way = norm_resident;
        p->resident_bytes = bytes;
        return;
    }
    enum { threads = 256 };
    int64_t least = threads * (p->width == 1 ? 32 : 8);
    p->splits = choose_splits(c, p->work.channels, p->work.packs, least, 4, 2);
    p->out_splits = p->output ? choose_splits(c, p->work.channels, p->work.packs, least, 4, 3) : 1;
    p->workspace = (size_t)p->work.channels * (size_t)p->splits * 2 * sizeof(double);
}

static void cut_lanes(norm_plan *p, const call &c)
{
    enum { threads = 256, widest_tile = 32 };
    norm_lanes *g = &p->lanes;
    g->all = (int)(p->work.channels / p->width);
    g->tiles = (int)ceil_div(g->all, widest_tile);
    g->columns = (int)ceil_div(g->all, g->tiles);
    g->rows = threads / g->columns;
    g->pixels = p->w.n;
    for (int k = 0; k < norm_operands; k++) g->strides[k] = p->w.ndim > 0 ? p->w.strides[0][k] : 0;
    int64_t least = (int64_t)g->rows * 8;
    p->splits = choose_splits(c, g->tiles, g->pixels, least, 2, 2);
    p->out_splits = choose_splits(c, g->tiles, g->pixels, least, 2, 4);
    size_t sums = (size_t)p->work.channels * (size_t)p->splits * 2 * sizeof(double);
    p->coef_at = (sums + 63) & ~(size_t)63;
    p->workspace = p->coef_at + (size_t)p->work.channels * sizeof(norm_coef<double>);
}

static void make_plan(norm_plan *p, const call &c)
{
    memset(static_cast<void *>(p), 0, sizeof *p);
    const lucid_view *views[norm_operands];
    fill_channels(p, c);
    fill_operands(p, c, views);
    lucid_view cut[norm_operands];
    for (int k = 0; k < norm_operands; k++) {
        cut[k] = without_channels(views[k]);
        p->work.channel_stride[k] = views[k]->strides[1];
    }
    int64_t n = 1;
    for (int d = 0; d < cut[norm_x].ndim; d++) n *= cut[norm_x].dims[d];
    p->dtype = (int)views[norm_x]->dtype;
    p->work.channels = views[norm_x]->dims[1];
    p->ch.n = (double)n;
    p->output = p->ch.want & 1;
    p->sums = p->ch.batch || (p->ch.backward && (p->ch.want & (2 | 4 | 8)));
    if (n == 0 || p->work.channels == 0) {
        p->way = norm_empty;
        return;
    }
    p->w = make_walk<norm_operands>({&cut[0], &cut[1], &cut[2], &cut[3], &cut[4]});
    static const size_t sizes[] = {4, 8, 2, 2};
    size_t element = sizes[p->dtype];
    size_t total = (size_t)p->w.n * (size_t)p->work.channels * element;
    p->work.stream = c.device && 2 * total > c.device->l2_bytes;
    p->way = by_layout(p, element);
    if (p->way == norm_by_lanes)
        cut_lanes(p, c);
    else
        cut_rows(p, c, element);
}

static bool plan_norm(const lucid_kernel_args *args, lucid_plan *plan)
{
    call c(args);
    norm_plan p;
    if (!c.device) return false;
    make_plan(&p, c);
    plan->workspace = p.workspace;
    hand_on(plan, p);
    return true;
}

static bool batch_norm(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_batch_norm_attrs *a = c.attrs<lucid_batch_norm_attrs>();
    if (!c.device) return false;
    if (args->op == LUCID_OP_batch_norm && !a->training && (!c.in(3) || !c.in(4)))
        return raise(LUCID_ERR_ARGUMENT, c.op,
                     "running_mean, running_var: expected both without training, got none");
    const norm_plan p = handed_on<norm_plan>(args);
    switch (p.way) {
    case norm_resident:
        return norm_run_resident(c, p);
    case norm_by_runs:
    case norm_by_strides:
        return norm_run_rows(c, p);
    default:
        return norm_run_lanes(c, p);
    }
}

void register_norm(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_batch_norm][dtype] = {plan_norm, batch_norm};
        b->kernels[LUCID_OP_batch_norm_backward][dtype] = {plan_norm, batch_norm};
    }
}

} // namespace luc
