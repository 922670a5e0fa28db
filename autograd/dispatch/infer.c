/* infer.c: the shape and layout of results. */
#include "autograd/dispatch/dispatch_priv.h"
#include "autograd/op_table_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

/* Sets strides for the sizes in m, in the layout of t. */
static void strides_like(lucid_meta *m, const lucid_tensor *t)
{
    const lucid_view *v = &t->view;
    if (luc_is_contiguous(v->ndim, v->dims, v->strides)) {
        luc_contiguous_strides(m->ndim, m->dims, m->strides);
    } else if ((m->ndim == 4 || m->ndim == 5) && v->ndim == m->ndim &&
               luc_is_channels_last(v->ndim, v->dims, v->strides)) {
        luc_channels_last_strides(m->ndim, m->dims, m->strides);
    } else if (luc_dims_equal(m->ndim, m->dims, v->ndim, v->dims) &&
               luc_is_dense(v->ndim, v->dims, v->strides)) {
        memcpy(m->strides, v->strides, (size_t)m->ndim * sizeof *m->strides);
    } else {
        luc_contiguous_strides(m->ndim, m->dims, m->strides);
    }
}

/* Output i gets strides for its sizes, in the layout of input j. */
static void set_strides(lucid_call *c, int i, int j)
{
    lucid_meta *m = &c->out[i];
    m->offset = 0;
    if (j >= 0 && j < c->n_in && c->in[j])
        strides_like(m, c->in[j]);
    else
        luc_contiguous_strides(m->ndim, m->dims, m->strides);
}

static void set_like(lucid_call *c, int i, int j)
{
    lucid_meta *m = &c->out[i];
    const lucid_view *v = &c->in[j]->view;
    m->dtype = v->dtype;
    m->ndim = v->ndim;
    memcpy(m->dims, v->dims, (size_t)v->ndim * sizeof *m->dims);
    set_strides(c, i, j);
}

/* Raises where c is NULL or has no output i. */
static bool has_output(const lucid_call *c, int i, const char *function)
{
    if (!c) return luc_raise(LUCID_ERR_ARGUMENT, function, "c: expected a call, got NULL");
    if (i >= 0 && i < LUCID_MAX_OUTPUTS) return true;
    return luc_raise(LUCID_ERR_ARGUMENT, function, "i: expected an output in [0,%d), got %d",
                     LUCID_MAX_OUTPUTS, i);
}

void lucid_infer_strides(lucid_call *c, int i, int j)
{
    if (!has_output(c, i, "infer_strides")) return;
    const int ndim = c->out[i].ndim;
    if (ndim < 0 || ndim > LUCID_MAX_DIMS)
        luc_raise(LUCID_ERR_ARGUMENT, "infer_strides",
                  "c: expected an output of 0 to %d dimensions, got %d", LUCID_MAX_DIMS, ndim);
    else
        set_strides(c, i, j);
}

void lucid_infer_like(lucid_call *c, int i, int j)
{
    if (!has_output(c, i, "infer_like")) return;
    if (j < 0 || j >= c->n_in || !c->in[j])
        luc_raise(LUCID_ERR_ARGUMENT, "infer_like", "j: expected an input that was given, got %d",
                  j);
    else
        set_like(c, i, j);
}

/* Widens m to the broadcast of m and v; false where they do not fit. */
static bool widen(lucid_meta *m, const lucid_view *v)
{
    int ndim = m->ndim > v->ndim ? m->ndim : v->ndim;
    int64_t dims[LUCID_MAX_DIMS];
    for (int d = 0; d < ndim; d++) {
        int dm = d - (ndim - m->ndim), dv = d - (ndim - v->ndim);
        int64_t a = dm >= 0 ? m->dims[dm] : 1, b = dv >= 0 ? v->dims[dv] : 1;
        if (a != b && a != 1 && b != 1) return false;
        dims[d] = a == 1 ? b : a;
    }
    m->ndim = ndim;
    memcpy(m->dims, dims, (size_t)ndim * sizeof *dims);
    return true;
}

/* The input whose layout the result takes: dense and of full size, else in channels_last. */
static int layout_of(const lucid_call *c)
{
    const lucid_meta *m = &c->out[0];
    int channels_last = -1;
    for (int i = 0; i < c->n_in; i++) {
        if (!c->in[i]) continue;
        const lucid_view *v = &c->in[i]->view;
        if (luc_dims_equal(m->ndim, m->dims, v->ndim, v->dims) &&
            luc_is_dense(v->ndim, v->dims, v->strides))
            return i;
        if (channels_last < 0 && v->ndim == m->ndim && v->ndim >= 4 &&
            luc_is_channels_last(v->ndim, v->dims, v->strides) &&
            !luc_is_contiguous(v->ndim, v->dims, v->strides))
            channels_last = i;
    }
    return channels_last;
}

bool luc_infer_broadcast(lucid_call *c)
{
    lucid_meta *m = &c->out[0];
    int first = 0;
    if (c->n_out > 1)
        return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                         "n_out: an operator without .infer has one output, got %d", c->n_out);
    while (first < c->n_in && !c->in[first]) first++;
    if (first == c->n_in)
        return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                         "inputs: an operator without .infer needs at least one");
    set_like(c, 0, first);
    bool same = luc_is_dense(m->ndim, m->dims, c->in[first]->view.strides);
    for (int i = first + 1; i < c->n_in; i++) {
        if (!c->in[i]) continue;
        const lucid_view *v = &c->in[i]->view;
        if (luc_dims_equal(m->ndim, m->dims, v->ndim, v->dims)) continue;
        same = false;
        luc_text before = luc_dims_text(m->ndim, m->dims);
        if (!widen(m, v))
            return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                             "%s: expected a shape that broadcasts with %s, got %s",
                             luc_argument_name(c->op, i).s, before.s, luc_shape_text(c->in[i]).s);
    }
    if (!same) set_strides(c, 0, layout_of(c));
    return true;
}

/* ---- what .infer said ------------------------------------------------------------------------ */

enum { LARGEST_ELEMENT = 8 }; /* bytes */

/* A sufficient test that costs little: nearly every result is small. Sizes of 0 count as 1, so that
 * no product of some of the sizes overflows either. */
static inline bool surely_fits(const lucid_meta *m)
{
    if ((unsigned)m->ndim > LUCID_MAX_DIMS || (unsigned)m->dtype >= LUCID_DTYPE_COUNT) return false;
    int64_t bytes = LARGEST_ELEMENT;
    bool ok = true;
    for (int d = 0; d < m->ndim; d++) {
        const int64_t n = m->dims[d];
        ok &= n >= 0 && !__builtin_mul_overflow(bytes, n + (n == 0), &bytes);
    }
    return ok;
}

/* The exact test. */
static bool check_size(const lucid_call *c, const lucid_meta *m)
{
    lucid_shape shape = {.ndim = m->ndim};
    for (int d = 0; d < m->ndim && d < LUCID_MAX_DIMS; d++) shape.dims[d] = m->dims[d];
    return luc_check_shape(&shape, m->dtype, c->op->name);
}

static bool raise_outside(const lucid_call *c, const lucid_meta *m)
{
    return luc_raise(LUCID_ERR_ARGUMENT, c->op->name,
                     "expected a view inside the %zu bytes of the storage of %s, got %s of %s, "
                     "strides %s, offset %lld",
                     c->in[0]->storage->size, luc_argument_name(c->op, 0).s,
                     luc_dims_text(m->ndim, m->dims).s, lucid_dtype_name(m->dtype),
                     luc_dims_text(m->ndim, m->strides).s, (long long)m->offset);
}

static bool check_view(const lucid_call *c, lucid_meta *m)
{
    int64_t last = m->offset, span;
    bool ok = last >= 0, empty = false;
    for (int d = 0; d < m->ndim; d++) {
        empty |= m->dims[d] == 0;
        ok &= m->strides[d] >= 0;
        ok = ok && !__builtin_mul_overflow(m->dims[d] - 1, m->strides[d], &span) &&
             !__builtin_add_overflow(last, span, &last);
    }
    if (ok && empty) {
        /* None of its elements is read, so it may begin anywhere in the memory. */
        m->offset = c->in[0]->offset;
        return true;
    }
    ok = ok && last < INT64_MAX &&
         !__builtin_mul_overflow(last + 1, (int64_t)lucid_dtype_size(m->dtype), &span) &&
         (uint64_t)span <= c->in[0]->storage->size;
    return ok || raise_outside(c, m);
}

bool luc_check_outputs(lucid_call *c)
{
    for (int i = 0; i < c->n_out; i++)
        if (!surely_fits(&c->out[i]) && !check_size(c, &c->out[i])) return false;
    if (c->op->flags & LUCID_OP_VIEW) return check_view(c, &c->out[0]);
    /* A result has its own memory, so an .infer need not set its offset. */
    for (int i = 0; i < c->n_out; i++) c->out[i].offset = 0;
    return true;
}
