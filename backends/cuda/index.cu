/* index.cu: cat, index_select and gather. Elements are moved by their size, whatever their type.
 *
 * The kernels are bound by memory: a thread moves 16 bytes where whole slices are contiguous. Wrong
 * indices are reported (fault.h), and give zeros. */
#include "backends/cuda/fault.h"
#include "backends/cuda/index.h"
#include "backends/cuda/view.h"

namespace luc
{

struct alignas(16) sixteen {
    uint64_t v[2];
};

/* y[i] = x[.. index[i] ..]: `elements` has the offsets in y, in x without the indexed dimension,
 * and in the index. */
template <class E>
__global__ void __launch_bounds__(256)
    take(E *y, const E *x, index_list index, walk<3> elements, int64_t stride, checker check)
{
    int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < elements.n; i += step) {
        int64_t at[3];
        elements.offsets(i, at);
        int64_t k = index.read(at[2]);
        E e = {};
        if (check.accepts(k, at[2])) e = x[at[1] + k * stride];
        y[at[0]] = e;
    }
}

template <class E>
static bool launch_take(const call &c, const walk<3> &w, int64_t stride, const checker &check)
{
    return c.launch(take<E>, c.blocks_for(w.n, 256), 256, 0, static_cast<E *>(c.out(0)->data),
                    static_cast<const E *>(c.in(0)->data), index_list(c.in(1)), w, stride, check);
}

static bool launch_any(const call &c, size_t size, const walk<3> &w, int64_t stride,
                       const checker &check)
{
    switch (size) {
    case 1:
        return launch_take<uint8_t>(c, w, stride, check);
    case 2:
        return launch_take<uint16_t>(c, w, stride, check);
    case 4:
        return launch_take<uint32_t>(c, w, stride, check);
    case 8:
        return launch_take<uint64_t>(c, w, stride, check);
    default:
        return launch_take<sixteen>(c, w, stride, check);
    }
}

static bool index_select(const lucid_kernel_args *args)
{
    call c(args);
    int dim = c.attrs<lucid_dim_attrs>()->dim;
    lucid_view y = *c.out(0), x = *c.in(0), index = y;
    size_t size = size_of(x.dtype);
    if (!has_index_dtype(c, c.in(1))) return false;
    checker check(c, x.ndim ? x.dims[dim] : 1);
    size *= (size_t)widen_views(&y, &x, dim, size, 16);
    int64_t stride = x.ndim ? x.strides[dim] : 0;
    for (int d = 0; d < y.ndim; d++) {
        index.dims[d] = y.dims[d];
        index.strides[d] = d == dim && c.in(1)->ndim ? c.in(1)->strides[0] : 0;
    }
    if (x.ndim) x.strides[dim] = 0;
    return launch_any(c, size, make_walk<3>({&y, &x, &index}), stride, check);
}

static bool gather(const lucid_kernel_args *args)
{
    call c(args);
    int dim = c.attrs<lucid_dim_attrs>()->dim;
    const lucid_view *y = c.out(0), *index = c.in(1);
    lucid_view x = *c.in(0);
    if (!has_index_dtype(c, index)) return false;
    checker check(c, x.ndim ? x.dims[dim] : 1);
    int64_t stride = x.ndim ? x.strides[dim] : 0;
    if (x.ndim) x.strides[dim] = 0;
    return launch_any(c, size_of(x.dtype), make_walk<3>({y, &x, index}), stride, check);
}

static const lucid_backend *table;

/* Each input is copied into its part of the output, in units of up to 8 bytes. */
static bool cat(const lucid_kernel_args *args)
{
    call c(args);
    const lucid_view *y = c.out(0);
    int dim = c.attrs<lucid_dim_attrs>()->dim;
    int64_t at = 0;
    for (int i = 0; i < args->n_in; i++) {
        lucid_view x = *c.in(i), part = *y;
        int64_t n = 1;
        for (int d = 0; d < x.ndim; d++) n *= x.dims[d];
        if (n == 0) continue; /* includes the empty [0], which may join tensors of any sizes */
        size_t size = size_of(y->dtype);
        part.data = static_cast<char *>(y->data) + at * y->strides[dim] * (int64_t)size;
        part.dims[dim] = x.dims[dim];
        at += x.dims[dim];
        lucid_op_id op = LUCID_OP_cast;
        if (x.dtype == y->dtype) {
            static const lucid_dtype units[] = {LUCID_U8, LUCID_F16, LUCID_F32, LUCID_F64};
            size_t bytes = size * (size_t)widen_views(&part, &x, -1, size, 8);
            x.dtype = part.dtype = units[bytes == 8 ? 3 : bytes == 4 ? 2 : bytes - 1];
            op = LUCID_OP_copy;
        }
        const lucid_view *from = &x, *to = &part;
        lucid_kernel_args copy = *args;
        copy.op = op;
        copy.n_in = copy.n_out = 1;
        copy.in = &from;
        copy.out = &to;
        if (!table->kernels[op][x.dtype].run(&copy)) return false;
    }
    return true;
}

void register_index(lucid_backend *b)
{
    table = b;
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        b->kernels[LUCID_OP_index_select][type].run = index_select;
        b->kernels[LUCID_OP_gather][type].run = gather;
        b->kernels[LUCID_OP_cat][type].run = cat;
    }
}

} // namespace luc
