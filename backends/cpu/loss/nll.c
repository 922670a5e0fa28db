/* nll.c: negative log likelihood. It reads one number of each row, so plain C in double is
 * enough. */
#include "backends/cpu/levels_priv.h"
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"
#include "lucid/core/backend_priv.h"
#include "lucid/core/error_priv.h"

enum { BLOCKS = 64, BLOCK_LEAST = 1 << 12 };

typedef struct {
    const lucid_nll_attrs *attrs;
    const lucid_view *probs; /* log_probs, or their gradient */
    const lucid_view *target, *weight, *loss, *grad_out;
    int64_t count, classes, grain;
    double total_weight;
    double partial[BLOCKS][2]; /* of sum(-w log_prob) and sum(w) */
    int64_t bad[BLOCKS];       /* the first wrong class of each block, or -1 */
} nll;

static int64_t class_at(const nll *l, int64_t i)
{
    const lucid_view *t = l->target;
    int64_t at = 0;
    for (int d = t->ndim - 1; d >= 0; d--) {
        at += i % t->dims[d] * t->strides[d];
        i /= t->dims[d];
    }
    return ((const int64_t *)t->data)[at];
}

/* Sample i of the target in [N,C,...], class 0. */
static int64_t row_offset(const lucid_view *v, int64_t i)
{
    int64_t at = 0;
    for (int d = v->ndim - 1; d >= 2; d--) {
        at += i % v->dims[d] * v->strides[d];
        i /= v->dims[d];
    }
    return at + (v->ndim > 1 ? i * v->strides[0] : 0);
}

static int64_t class_stride(const lucid_view *v)
{
    return v->strides[v->ndim > 1 ? 1 : 0];
}

static double weight_of(const nll *l, int64_t class)
{
    return l->weight ? luc_view_get(l->weight, class * l->weight->strides[0]) : 1;
}

static int64_t position(const lucid_view *v, int64_t i)
{
    int64_t at = 0;
    for (int d = v->ndim - 1; d >= 0; d--) {
        at += i % v->dims[d] * v->strides[d];
        i /= v->dims[d];
    }
    return at;
}

static void sum_block(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    nll *l = ctx;
    int64_t block = begin / l->grain;
    double sum = 0, weights = 0;
    l->bad[block] = -1;
    for (int64_t i = begin; i < end; i++) {
        int64_t class = class_at(l, i);
        double value = 0, w = 0;
        if (class != l->attrs->ignore_index) {
            if (class < 0 || class >= l->classes) {
                l->bad[block] = i;
                return;
            }
            w = weight_of(l, class);
            int64_t at = row_offset(l->probs, i) + class * class_stride(l->probs);
            value = -w * luc_view_get(l->probs, at);
        }
        if (l->attrs->reduction == LUCID_REDUCTION_NONE)
            luc_view_put(l->loss, position(l->loss, i), value);
        sum += value;
        weights += w;
    }
    l->partial[block][0] = sum;
    l->partial[block][1] = weights;
}

static void cut(nll *l)
{
    l->count = luc_view_numel(l->target);
    l->classes = l->probs->dims[l->probs->ndim > 1 ? 1 : 0];
    l->grain = luc_parallel_blocks(l->count, BLOCKS);
    if (l->grain < BLOCK_LEAST) l->grain = BLOCK_LEAST;
}

static bool bad_class(const nll *l, const char *op, int64_t i)
{
    return luc_raise(LUCID_ERR_ARGUMENT, op,
                     "target: expected classes in [0,%lld) or ignore_index %lld, got %lld (element "
                     "%lld)",
                     (long long)l->classes, (long long)l->attrs->ignore_index,
                     (long long)class_at(l, i), (long long)i);
}

static bool nll_loss(const lucid_kernel_args *args)
{
    nll l = {.attrs = args->attrs,
             .probs = args->in[0],
             .target = args->in[1],
             .weight = args->n_in > 2 ? args->in[2] : NULL,
             .loss = args->out[0]};
    cut(&l);
    luc_parallel_for(l.count, l.grain, sum_block, &l);
    double sum = 0, weights = 0;
    for (int64_t b = 0; b < luc_parallel_blocks(l.count, l.grain); b++) {
        if (l.bad[b] >= 0) return bad_class(&l, "nll_loss", l.bad[b]);
        sum += l.partial[b][0];
        weights += l.partial[b][1];
    }
    if (l.attrs->reduction == LUCID_REDUCTION_MEAN) luc_view_put(args->out[0], 0, sum / weights);
    if (l.attrs->reduction == LUCID_REDUCTION_SUM) luc_view_put(args->out[0], 0, sum);
    if (args->n_out > 1 && args->out[1]) luc_view_put(args->out[1], 0, weights);
    return true;
}

static void grad_block(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    nll *l = ctx;
    int64_t block = begin / l->grain, step = class_stride(l->probs);
    double scale = 1;
    l->bad[block] = -1;
    if (l->attrs->reduction != LUCID_REDUCTION_NONE) scale = luc_view_get(l->grad_out, 0);
    if (l->attrs->reduction == LUCID_REDUCTION_MEAN) scale /= l->total_weight;
    for (int64_t i = begin; i < end; i++) {
        int64_t class = class_at(l, i), row = row_offset(l->probs, i);
        if (class == l->attrs->ignore_index) continue;
        if (class < 0 || class >= l->classes) {
            l->bad[block] = i;
            return;
        }
        double g = scale;
        if (l->attrs->reduction == LUCID_REDUCTION_NONE)
            g = luc_view_get(l->grad_out, position(l->grad_out, i));
        luc_view_put(l->probs, row + class * step, -weight_of(l, class) * g);
    }
}

static bool nll_loss_backward(const lucid_kernel_args *args)
{
    nll l = {.attrs = args->attrs,
             .grad_out = args->in[0],
             .target = args->in[1],
             .weight = args->in[2],
             .probs = args->out[0]};
    const lucid_scalar_attrs zero = {0};
    const lucid_kernel_args fill = {
        .op = LUCID_OP_fill, .n_out = 1, .out = args->out, .attrs = &zero};
    if (!luc_cpu_backend()->kernels[LUCID_OP_fill][l.probs->dtype].run(&fill)) return false;
    cut(&l);
    l.total_weight = luc_view_get(args->in[3], 0);
    luc_parallel_for(l.count, l.grain, grad_block, &l);
    for (int64_t b = 0; b < luc_parallel_blocks(l.count, l.grain); b++)
        if (l.bad[b] >= 0) return bad_class(&l, "nll_loss_backward", l.bad[b]);
    return true;
}

void luc_cpu_register_loss(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_nll_loss][dtype].run = nll_loss;
        b->kernels[LUCID_OP_nll_loss_backward][dtype].run = nll_loss_backward;
    }
}
