/* iterate.c: see iterate.h. */
#include "backends/cpu/strided/iterate.h"

static int64_t distance(int64_t stride)
{
    return stride < 0 ? -stride : stride;
}

/* Whether dimension a should lie outside dimension b. The first operand whose strides differ
 * decides. */
static bool is_outer(const luc_iter *it, int a, int b)
{
    for (int o = 0; o < it->n_ops; o++) {
        int64_t sa = distance(it->strides[o][a]), sb = distance(it->strides[o][b]);
        if (sa == 0 || sb == 0 || sa == sb) continue;
        return sa > sb;
    }
    return true;
}

static void swap_dims(luc_iter *it, int a, int b)
{
    int64_t t = it->dims[a];
    it->dims[a] = it->dims[b];
    it->dims[b] = t;
    for (int o = 0; o < it->n_ops; o++) {
        t = it->strides[o][a];
        it->strides[o][a] = it->strides[o][b];
        it->strides[o][b] = t;
    }
}

static bool can_join(const luc_iter *it, int outer, int inner)
{
    for (int o = 0; o < it->n_ops; o++)
        if (it->strides[o][outer] != it->strides[o][inner] * it->dims[inner]) return false;
    return true;
}

static void join_dims(luc_iter *it)
{
    int kept = 0;
    for (int d = 1; d < it->ndim; d++) {
        bool join = can_join(it, kept, d);
        if (!join) kept++;
        it->dims[kept] = join ? it->dims[kept] * it->dims[d] : it->dims[d];
        for (int o = 0; o < it->n_ops; o++) it->strides[o][kept] = it->strides[o][d];
    }
    if (it->ndim) it->ndim = kept + 1;
}

void luc_iter_init(luc_iter *it, const lucid_view *out, const lucid_view *const *in, int n_in)
{
    it->n_ops = n_in + 1;
    it->ndim = 0;
    it->numel = 1;
    for (int o = 0; o < it->n_ops; o++) it->data[o] = o ? in[o - 1]->data : out->data;
    for (int d = 0; d < out->ndim; d++) {
        it->numel *= out->dims[d];
        if (out->dims[d] == 1) continue;
        it->dims[it->ndim] = out->dims[d];
        for (int o = 0; o < it->n_ops; o++) {
            const lucid_view *v = o ? in[o - 1] : out;
            it->strides[o][it->ndim] = v->strides[d] * (int64_t)luc_elem_size(v->dtype);
        }
        it->ndim++;
    }
    for (int i = 1; i < it->ndim; i++)
        for (int j = i; j > 0 && !is_outer(it, j - 1, j); j--) swap_dims(it, j - 1, j);
    join_dims(it);
}
