/* dispatch.c: batch_norm and batch_norm_backward: checks, the plan, and the work that is done once
 * for each channel. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/norm/norm_priv.h"

#include <math.h>
#include <string.h>

#include "backends/cpu/threads/parallel.h"
#include "lucid/core/error_priv.h"

enum {
    BLOCK = 1 << 14,     /* values of a channel in one partial sum, about */
    LANE_BLOCK = 1 << 16 /* numbers of all channels in one partial sum, about */
};

/* An expanded dimension, whose stride is 0, lies outside of the others: they have dense runs. */
static int64_t distance(int64_t stride)
{
    return stride ? stride : INT64_MAX;
}

/* The dimensions except the channel's, with x's outermost stride first. */
static void sort_dims(const lucid_view *x, int *order, int *n)
{
    *n = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (d == 1) continue;
        int i = (*n)++;
        const int64_t here = distance(x->strides[d]);
        for (; i > 0 && distance(x->strides[order[i - 1]]) < here; i--) order[i] = order[i - 1];
        order[i] = d;
    }
}

static void make_loop(luc_norm_plan *p, const lucid_view *const *views, int operands)
{
    int order[LUCID_MAX_DIMS], n;
    const lucid_view *x = views[0];
    sort_dims(x, order, &n);
    p->loop = luc_loop_begin(operands);
    p->count = 1;
    for (int i = 0; i < n; i++) {
        int64_t strides[LUC_MAX_OPERANDS];
        for (int k = 0; k < operands; k++) strides[k] = views[k]->strides[order[i]];
        luc_loop_add(&p->loop, x->dims[order[i]], strides);
        p->count *= x->dims[order[i]];
    }
    luc_loop_end(&p->loop);
    p->channels = x->dims[1];
    p->dense = true;
    for (int k = 0; k < operands; k++) {
        p->channel_stride[k] = views[k]->strides[1];
        if (p->loop.strides[k][p->loop.ndim - 1] != 1) p->dense = false;
    }
}

static int64_t gcd16(int64_t n)
{
    int64_t g = 1;
    while (g < 16 && n % (2 * g) == 0) g *= 2;
    return g;
}

/* Whether pixels are adjacent, and the channels of a pixel are adjacent, in every operand. */
static bool choose_lanes(luc_norm_plan *p)
{
    if (p->channels < 2 || p->loop.ndim != 1) return false;
    p->group = 16 / gcd16(p->channels);
    while (p->group * p->channels < 64) p->group *= 2;
    bool gapless = true;
    for (int k = 0; k < p->loop.operands; k++) {
        if (p->channel_stride[k] != 1 || p->loop.strides[k][0] < p->channels) return false;
        if (p->loop.strides[k][0] != p->channels) gapless = false;
    }
    if (!gapless && p->channels % 16 != 0) return false;
    if (!gapless) p->group = 1;
    p->width = p->group * p->channels;
    return true;
}

/* Neighbouring channels with short runs are taken together, so that enough is read at a time. But
 * there must not be so many that they leave the cache before their output is made, or that threads
 * have nothing to share. */
static void group_channels(luc_norm_plan *p)
{
    enum { RUN = 1 << 12 }; /* elements */
    int64_t most = p->channels / (8 * luc_num_threads());
    int64_t n = p->inner > 0 && p->channel_stride[0] == p->inner ? RUN / p->inner : 1;
    int64_t bytes =
        p->count * (int64_t)luc_elem_size(p->args->in[p->backward]->dtype) * (p->loop.operands - 1);
    int64_t fit = bytes > 0 ? (int64_t)luc_cpu_l2_bytes() / bytes : 1;
    if (n > most) n = most;
    if (n > fit) n = fit;
    if (n > LUC_NORM_GROUP) n = LUC_NORM_GROUP;
    p->channel_group = n < 1 ? 1 : n;
}

static void cut_rows(luc_norm_plan *p)
{
    p->inner = p->loop.dims[p->loop.ndim - 1];
    p->part = p->inner < BLOCK ? p->inner : BLOCK;
    if (p->part < 1) p->part = 1;
    p->parts = luc_parallel_blocks(p->inner, p->part);
    p->units = luc_loop_runs(&p->loop) * p->parts;
    p->block_units = BLOCK / p->part;
    p->blocks = luc_parallel_blocks(p->units, p->block_units);
    group_channels(p);
}

static void cut_lanes(luc_norm_plan *p)
{
    enum { ROWS = 32 };
    p->units = p->count / p->group;
    p->tail = p->count % p->group;
    p->block_units = LANE_BLOCK / p->width;
    if (p->block_units < ROWS) p->block_units = ROWS;
    p->blocks = luc_parallel_blocks(p->units, p->block_units);
    if (p->blocks < 1) p->blocks = 1; /* the block takes the tail */
}

static void *reserve(char *workspace, size_t *used, size_t bytes)
{
    void *at = workspace ? workspace + *used : NULL;
    *used += (bytes + 63) & ~(size_t)63;
    return at;
}

/* Lists the views of the loop in the order that norm_priv.h gives. A view that is not wanted is
 * never written. */
static int choose_operands(luc_norm_plan *p, const lucid_view **views)
{
    const lucid_kernel_args *args = p->args;
    const lucid_view *x = args->in[p->backward];
    int which = p->backward ? 6 : 5, n = 0;
    const lucid_view *other = which < args->n_in ? args->in[which] : NULL;
    if (p->kind == LUC_NORM_DX) other = NULL;
    views[n++] = x;
    if (p->backward) views[n++] = args->in[0];
    p->out_at = n;
    views[n++] = p->want & 1 ? args->out[0] : x;
    p->other_at = p->kept_at = 0;
    if (other) {
        p->other_at = n;
        views[n++] = other;
    }
    if (p->want & 8) {
        p->kept_at = n;
        views[n++] = args->out[3];
    }
    p->x = x->data;
    p->grad_y = p->backward ? views[1]->data : NULL;
    p->out = views[p->out_at]->data;
    p->other = other ? other->data : NULL;
    p->kept = p->want & 8 ? args->out[3]->data : NULL;
    return n;
}

static luc_norm_kind choose_kind(const lucid_kernel_args *args, bool backward, bool relu)
{
    if (!backward) {
        bool add = args->n_in > 5 && args->in[5];
        return add ? (relu ? LUC_NORM_Y_ADD_RELU : LUC_NORM_Y_ADD)
                   : (relu ? LUC_NORM_Y_RELU : LUC_NORM_Y);
    }
    if (!relu) return LUC_NORM_DX;
    return args->n_in > 6 && args->in[6] ? LUC_NORM_DX_OUTPUT : LUC_NORM_DX_SIGN;
}

/* Divides the workspace among the arrays, and returns its size. */
static size_t place_arrays(luc_norm_plan *p, char *w)
{
    size_t used = 0, per_channel = (size_t)p->channels * sizeof(double);
    p->mean = reserve(w, &used, per_channel);
    p->scale = reserve(w, &used, per_channel);
    p->bias = reserve(w, &used, per_channel);
    p->slope = reserve(w, &used, per_channel);
    p->shift = reserve(w, &used, per_channel);
    int64_t across = p->lanes ? p->width : p->channels;
    p->sums = reserve(w, &used, (size_t)(2 * across * p->blocks) * sizeof(double));
    if (p->lanes) {
        p->lane_centre = reserve(w, &used, (size_t)p->width * sizeof(double));
        p->lane_coef = reserve(w, &used, (size_t)(6 * p->width) * sizeof(double));
    }
    return used;
}

static void make_plan(luc_norm_plan *p, const lucid_kernel_args *args)
{
    const lucid_batch_norm_attrs *attrs = args->attrs;
    bool backward = args->op == LUCID_OP_batch_norm_backward;
    *p = (luc_norm_plan){
        .args = args,
        .backward = backward,
        .batch = attrs->training,
        .known = !backward && attrs->training && args->n_in > 7 && args->in[6] && args->in[7],
        .eps = attrs->eps,
        .momentum = attrs->momentum,
        .kind = choose_kind(args, backward, attrs->relu),
        .want = backward ? attrs->want : 1,
    };
    const lucid_view *x = args->in[backward ? 1 : 0];
    const lucid_view *views[LUC_MAX_OPERANDS];
    make_loop(p, views, choose_operands(p, views));
    p->lanes = choose_lanes(p);
    if (p->lanes)
        cut_lanes(p);
    else
        cut_rows(p);

    int64_t total = p->count * p->channels;
    /* Short runs begin and end within lines. Storing around the cache then costs more than it
     * saves, except in backward with its five arrays. */
    int64_t size = (int64_t)luc_elem_size(x->dtype), moved = total * size * p->loop.operands;
    bool whole_lines = backward || p->lanes || p->part * size >= 2048;
    p->stream = whole_lines && luc_moved_streams(moved);
    int threads = luc_num_threads();
    p->fused = p->channels >= 4 * threads || p->blocks <= 1;
}

_Static_assert(sizeof(luc_norm_plan) <= LUCID_PLAN_OWN, "a plan's run reads it from there");

static bool plan_norm(const lucid_kernel_args *args, lucid_plan *plan)
{
    luc_norm_plan p;
    make_plan(&p, args);
    plan->workspace = place_arrays(&p, NULL);
    memcpy(plan->own, &p, sizeof p);
    return true;
}

static luc_norm_plan planned(const lucid_kernel_args *args)
{
    luc_norm_plan p;
    memcpy(&p, args->plan->own, sizeof p);
    p.args = args;
    place_arrays(&p, args->workspace);
    return p;
}

static double param(const lucid_kernel_args *args, int which, int64_t c, double absent)
{
    const lucid_view *v = which < args->n_in ? args->in[which] : NULL;
    return v ? luc_view_get(v, c * v->strides[0]) : absent;
}

/* new = (1 - momentum) old + momentum batch, in double, so that a 16-bit variance above 65504 stays
 * finite if the buffer is float32. */
static void track(const luc_norm_plan *p, int which, int64_t c, double value)
{
    const lucid_view *v = which < p->args->n_in ? p->args->in[which] : NULL;
    if (!v) return;
    int64_t at = c * v->strides[0];
    double m = p->momentum;
    luc_view_put(v, at, m == 1 ? value : (1 - m) * luc_view_get(v, at) + m * value);
}

void luc_norm_finish(const luc_norm_plan *p, int64_t c, double shift, double s1, double s2)
{
    const lucid_kernel_args *args = p->args;
    double mean = 0, var = 0, n = (double)p->count;
    if (p->known) {
        mean = param(args, 6, c, 0);
        var = param(args, 7, c, 1);
    } else if (!p->batch) {
        mean = param(args, 3, c, 0);
        var = param(args, 4, c, 1);
    } else if (p->count > 0) {
        double offset = s1 / n;
        mean = shift + offset;
        var = s2 / n - offset * offset;
        if (var < 0) var = 0; /* rounding of a nearly constant channel; a NaN stays */
        if (isinf(s2) && isfinite(offset)) var = INFINITY; /* not infinity less infinity */
    }
    if (p->batch && p->count > 0 && p->momentum >= 0) {
        track(p, 3, c, mean);
        track(p, 4, c, p->count > 1 ? var * (n / (n - 1)) : var);
    }
    /* A constant channel gives its bias even without eps. */
    double invstd = p->batch && var + p->eps == 0 ? 0 : 1 / sqrt(var + p->eps);
    p->mean[c] = mean;
    p->scale[c] = invstd * param(args, 1, c, 1);
    p->bias[c] = param(args, 2, c, 0);
    ((double *)args->out[1]->data)[c * args->out[1]->strides[0]] = mean;
    ((double *)args->out[2]->data)[c * args->out[2]->strides[0]] = invstd;
}

void luc_norm_finish_backward(const luc_norm_plan *p, int64_t c, double s1, double s2)
{
    const lucid_kernel_args *args = p->args;
    double invstd = param(args, 4, c, 1), n = (double)p->count;
    bool batch = p->batch && p->count > 0;
    p->bias[c] = batch ? s1 / n : 0;
    p->slope[c] = batch ? s2 / n * invstd * invstd : 0;
    if (p->want & 2) luc_view_put(args->out[1], c * args->out[1]->strides[0], s2 * invstd);
    if (p->want & 4) luc_view_put(args->out[2], c * args->out[2]->strides[0], s1);
}

static bool check_length(const lucid_kernel_args *args, int which, const char *name, int64_t c)
{
    const lucid_view *v = which < args->n_in ? args->in[which] : NULL;
    if (!v || (v->ndim == 1 && v->dims[0] == c && lucid_dtype_is_floating(v->dtype))) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, "batch_norm",
                     "%s: expected a floating [%lld], got %d-D with %lld elements of %s", name,
                     (long long)c, v->ndim, (long long)luc_view_numel(v),
                     lucid_dtype_name(v->dtype));
}

static bool batch_norm(const lucid_kernel_args *args)
{
    const lucid_batch_norm_attrs *attrs = args->attrs;
    static const char *const names[] = {"input", "weight", "bias", "running_mean", "running_var"};
    for (int i = 1; i < 5; i++)
        if (!check_length(args, i, names[i], args->in[0]->dims[1])) return false;
    if (!attrs->training && (args->n_in < 5 || !args->in[3] || !args->in[4]))
        return luc_raise(LUCID_ERR_ARGUMENT, "batch_norm",
                         "running_mean, running_var: expected both without training, got none");
    const luc_norm_plan p = planned(args);
    luc_norm_get()->forward[args->in[0]->dtype](&p);
    return true;
}

static bool batch_norm_backward(const lucid_kernel_args *args)
{
    const luc_norm_plan p = planned(args);
    /* The same numbers as in forward, which the cut needs while the sums are taken. */
    for (int64_t c = 0; c < p.channels; c++) {
        p.mean[c] = param(args, 3, c, 0);
        p.scale[c] = param(args, 4, c, 1) * param(args, 2, c, 1);
        p.shift[c] = param(args, 5, c, 0);
        p.bias[c] = p.slope[c] = 0;
    }
    luc_norm_get()->backward[args->in[1]->dtype](&p);
    return true;
}

void luc_cpu_register_norm(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_batch_norm][dtype] = (lucid_kernel){plan_norm, batch_norm};
        b->kernels[LUCID_OP_batch_norm_backward][dtype] =
            (lucid_kernel){plan_norm, batch_norm_backward};
    }
}
