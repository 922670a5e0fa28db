/* padding.c: adding elements around a tensor. Constants are joined to it; every other mode picks
 * elements of a dimension by an index, so that layout and derivatives are index_select's. */
#include "autograd/ops/padding.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

static const char op[] = "pad";

/* One dimension of x, and how many elements come before and after it. */
typedef struct padded {
    lucid_tensor *x;
    int dim;
    int64_t n, before, after;
} padded;

static lucid_tensor *does_not_fit(const padded *p, const char *expected)
{
    return luc_raise_null(
        LUCID_ERR_ARGUMENT, op, "pads: expected %s dimension %d of %s, got %lld and %lld", expected,
        p->dim, luc_shape_text(p->x).s, (long long)p->before, (long long)p->after);
}

static int64_t positive(int64_t n)
{
    return n > 0 ? n : 0;
}

/* x without the elements that negative pads cut off. */
static lucid_tensor *cut(const padded *p)
{
    const int64_t first = positive(-p->before), gone = first + positive(-p->after);
    return gone ? lucid_narrow(p->x, p->dim, first, p->n - gone) : p->x;
}

/* ---- constants ------------------------------------------------------------------------------- */

static bool is_last(const lucid_view *v)
{
    return !luc_is_contiguous(v->ndim, v->dims, v->strides) &&
           luc_is_channels_last(v->ndim, v->dims, v->strides);
}

static lucid_tensor *with_constants(const padded *p, double value)
{
    lucid_tensor *x = cut(p), *parts[3];
    if (!x) return NULL;
    const lucid_tensor_options *like =
        LUC_WITH(lucid_tensor, .dtype = x->view.dtype, .device = x->storage->device,
                 .memory_format = is_last(&x->view) ? LUCID_CHANNELS_LAST : LUCID_CONTIGUOUS);
    size_t n = 0;
    lucid_shape shape = lucid_tensor_shape(x);
    shape.dims[p->dim] = p->before;
    if (p->before > 0 && !(parts[n++] = lucid_full_opt(shape, value, like))) return NULL;
    parts[n++] = x;
    shape.dims[p->dim] = p->after;
    if (p->after > 0 && !(parts[n++] = lucid_full_opt(shape, value, like))) return NULL;
    return n == 1 ? x : lucid_cat_list(parts, n, p->dim);
}

/* ---- elements of x --------------------------------------------------------------------------- */

/* `count` whole numbers from `start` on, by `step`. A step of 0 repeats the first. */
static lucid_tensor *steps(int64_t start, int64_t step, int64_t count, lucid_device device)
{
    const lucid_index_options *like = LUC_WITH(lucid_index, .dtype = LUCID_I64, .device = device);
    if (step == 0)
        return lucid_full_opt(LUCID_SHAPE(count), (double)start,
                              LUC_WITH(lucid_tensor, .dtype = LUCID_I64, .device = device));
    return lucid_arange_opt((double)start, (double)(start + step * count), (double)step, like);
}

/* Which element of x comes where. The middle is x itself, from what `before` cuts off on. */
static lucid_tensor *sources(const padded *p, lucid_pad_mode mode)
{
    const lucid_device device = p->x->storage->device;
    const int64_t l = positive(p->before), r = positive(p->after), last = p->n - 1;
    const int64_t first = positive(-p->before), middle = p->n - first - positive(-p->after);
    lucid_tensor *parts[3];
    size_t n = 0;
    if (l > 0)
        parts[n++] = mode == LUCID_PAD_REFLECT     ? steps(l, -1, l, device)
                     : mode == LUCID_PAD_REPLICATE ? steps(0, 0, l, device)
                                                   : steps(first + middle - l, 1, l, device);
    if (middle > 0) parts[n++] = steps(first, 1, middle, device);
    if (r > 0)
        parts[n++] = mode == LUCID_PAD_REFLECT     ? steps(last - 1, -1, r, device)
                     : mode == LUCID_PAD_REPLICATE ? steps(last, 0, r, device)
                                                   : steps(first, 1, r, device);
    for (size_t i = 0; i < n; i++)
        if (!parts[i]) return NULL;
    return lucid_cat_list(parts, n, 0);
}

static lucid_tensor *with_elements(const padded *p, lucid_pad_mode mode)
{
    const int64_t l = positive(p->before), r = positive(p->after);
    const int64_t most = l > r ? l : r, kept = p->n - positive(-p->before) - positive(-p->after);
    if (most == 0) return cut(p);
    if (p->n < 1) return does_not_fit(p, "an element to take in");
    if (mode == LUCID_PAD_REFLECT && most >= p->n)
        return does_not_fit(p, "less than the size for reflect in");
    if (mode == LUCID_PAD_CIRCULAR && most > kept)
        return does_not_fit(p, "at most the size for circular in");
    lucid_tensor *index = sources(p, mode);
    return index ? lucid_index_select(p->x, p->dim, index) : NULL;
}

/* ---- the function ---------------------------------------------------------------------------- */

static lucid_tensor *pad_dim(const padded *p, const lucid_pad_options *o)
{
    const int64_t gone = positive(-p->before) + positive(-p->after);
    if (gone > p->n) return does_not_fit(p, "numbers that fit");
    if (p->before == 0 && p->after == 0) return p->x;
    if (o->mode == LUCID_PAD_CONSTANT) return with_constants(p, o->value);
    return with_elements(p, o->mode);
}

static bool check(const lucid_tensor *x, const lucid_shape *pads, const lucid_pad_options *o)
{
    const int ndim = x->view.ndim;
    if (o->mode < LUCID_PAD_CONSTANT || o->mode > LUCID_PAD_CIRCULAR)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "mode: expected a lucid_pad_mode, got %d",
                         (int)o->mode);
    if (pads->ndim < 0 || pads->ndim % 2 != 0 || pads->ndim / 2 > ndim)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "pads: expected two numbers for each of up to %d dimensions, got %d", ndim,
                         pads->ndim);
    for (int i = 0; i < pads->ndim; i++)
        if (pads->dims[i] > INT32_MAX || pads->dims[i] < -INT32_MAX)
            return luc_raise(LUCID_ERR_ARGUMENT, op, "pads: expected a small number, got %lld",
                             (long long)pads->dims[i]);
    return true;
}

lucid_tensor *lucid_pad_opt(lucid_tensor *x, lucid_shape pads, const lucid_pad_options *options)
{
    LUC_CALLED_AS("pad");
    const lucid_pad_options *o = LUC_OPTIONS(lucid_pad, options, op);
    if (!o || !luc_given(x, op, "x") || !check(x, &pads, o)) return NULL;
    for (int i = 0; i < pads.ndim / 2 && x; i++) {
        const int dim = x->view.ndim - 1 - i;
        const padded p = {x, dim, x->view.dims[dim], pads.dims[2 * i], pads.dims[2 * i + 1]};
        x = pad_dim(&p, o);
    }
    return x;
}
