/* loop.c: sorting and joining the dimensions of a loop. */
#include "backends/cpu/strided/loop.h"

static int64_t distance(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

/* Whether dimension a should lie outside dimension b. The first operand whose strides differ
 * decides. */
static bool is_outer(const luc_loop *l, int a, int b)
{
    for (int k = 0; k < l->operands; k++) {
        const int64_t sa = distance(l->strides[k][a]), sb = distance(l->strides[k][b]);
        if (sa == 0 || sb == 0 || sa == sb) continue;
        return sa > sb;
    }
    return true;
}

static void swap(int64_t *a, int64_t *b)
{
    const int64_t t = *a;
    *a = *b;
    *b = t;
}

static void swap_dims(luc_loop *l, int a, int b)
{
    swap(&l->dims[a], &l->dims[b]);
    for (int k = 0; k < l->operands; k++) swap(&l->strides[k][a], &l->strides[k][b]);
}

void luc_loop_sort_by(luc_loop *l, int operand)
{
    const int64_t *s = l->strides[operand];
    for (int i = 1; i < l->ndim; i++)
        for (int j = i; j > 0 && s[j - 1] < s[j]; j--) swap_dims(l, j - 1, j);
}

static bool can_join(const luc_loop *l, int outer, int inner)
{
    for (int k = 0; k < l->operands; k++)
        if (l->strides[k][outer] != l->strides[k][inner] * l->dims[inner]) return false;
    return true;
}

void luc_loop_join(luc_loop *l)
{
    int kept = 0;
    for (int d = 1; d < l->ndim; d++) {
        const bool join = can_join(l, kept, d);
        if (!join) kept++;
        l->dims[kept] = join ? l->dims[kept] * l->dims[d] : l->dims[d];
        for (int k = 0; k < l->operands; k++) l->strides[k][kept] = l->strides[k][d];
    }
    if (l->ndim) l->ndim = kept + 1;
}

void luc_loop_of_views(luc_loop *l, const lucid_view *out, const lucid_view *const *in, int n_in)
{
    l->operands = n_in + 1;
    l->ndim = 0;
    l->numel = 1;
    for (int k = 0; k < l->operands; k++) l->data[k] = k ? in[k - 1]->data : out->data;
    for (int d = 0; d < out->ndim; d++) {
        int64_t strides[LUC_MAX_OPERANDS];
        l->numel *= out->dims[d];
        if (out->dims[d] == 1) continue;
        for (int k = 0; k < l->operands; k++) {
            const lucid_view *v = k ? in[k - 1] : out;
            strides[k] = v->strides[d] * (int64_t)luc_elem_size(v->dtype);
        }
        luc_loop_push(l, out->dims[d], strides);
    }
    for (int i = 1; i < l->ndim; i++)
        for (int j = i; j > 0 && !is_outer(l, j - 1, j); j--) swap_dims(l, j - 1, j);
    luc_loop_join(l);
}
