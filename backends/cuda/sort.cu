/* sort.cu: sort, argsort and topk along a dimension.
 *
 * A block sorts a tile, of one row or of several short ones, in shared memory by a bitonic network
 * (Batcher, Sorting networks and their applications, AFIPS 1968). A thread takes 8 items through
 * three steps of it in registers, so that shared memory is visited a third as often. topk goes on
 * only with items that can still be among the first k: of two sorted runs, one of them backwards,
 * it keeps the smaller item of each pair (Shanbhag, Pirk and Madden, Efficient top-k query
 * processing on GPUs, SIGMOD 2018).
 *
 * Longer rows are sorted in tiles, and sorted runs are merged in pairs. Each block finds by binary
 * search which parts of the two runs make its part of the result (Green, McColl and Bader, GPU
 * merge path, ICS 2012). topk of a long row sorts the first k of its tiles again. All items are
 * different, so there is one right result, in whatever order the blocks run. Short rows are bound
 * by shared memory; long rows move each item twice for each doubling. Rows along another dimension
 * than the innermost one are read with gaps, and neighbouring blocks find the rest of the sectors
 * in the L2. */
#include "backends/cuda/cuda_priv.h"
#include "backends/cuda/sort_keys.h"

namespace luc
{

enum {
    items_log = 3, /* a thread holds 8 items */
    items = 1 << items_log,
    small_tile_log = 10, /* short rows fill tiles of at least this many items */
    merge_part = 2048,   /* items of a merged run that one block makes */
    batch_log = 25       /* items of long rows that are worked on at a time */
};

/* Shared memory holds a tile with gaps: 32 KiB and a sixteenth more. */
template <class E> struct tile_of;
template <> struct tile_of<narrow_item> {
    enum { log = 12 };
};
template <> struct tile_of<wide_item> {
    enum { log = 11 };
};

struct sort_plan {
    walk<3> rows; /* for x, values and indices */
    const char *x;
    char *values; /* NULL: not wanted */
    int64_t *indices;
    int64_t x_step, y_step, i_step;
    int64_t n, k; /* items of a row; the first k of the order are written */
    sort_type type;
};

/* Where a launch takes its items from, and where they go. */
struct sort_pass {
    const void *from;        /* `given` items of each row; NULL: they come from x */
    void *to;                /* `taken` items of each row; NULL: values and indices */
    int64_t first_row, rows; /* of the batch */
    int64_t given, taken;
    int64_t tiles; /* of a row */
    int width_log; /* items of a tile that belong to one row */
    int kept_log;  /* how many of these can be among the first `out` */
    int64_t out;   /* how many are written */
    int64_t run;   /* merging: the length of the sorted runs */
};

/* After every 16 items there is a gap, so that threads that hold neighbouring groups of 8 use all
 * banks. */
__device__ inline int padded(int i)
{
    return i + (i >> 4);
}

template <class E> __device__ inline void order(E &a, E &b, bool down)
{
    if (before(b, a) == down) return;
    const E e = a;
    a = b;
    b = e;
}

/* Steps of the network over distances 2^(low + G - 1) to 2^low, among n items in groups of 2^G.
 * Runs of 2^run items are sorted up and down in turn; `up`: all are sorted upwards. */
template <int G, class E> __device__ void exchange(E *data, int n, int low, int run, bool up)
{
    for (int u = threadIdx.x; u < n >> G; u += blockDim.x) {
        const int base = (u >> low) << (low + G) | (u & ((1 << low) - 1));
        const bool down = !up && (base >> run & 1);
        E v[1 << G];
        LUC_UNROLL
        for (int i = 0; i < 1 << G; i++) v[i] = data[padded(base + (i << low))];
        LUC_UNROLL
        for (int g = G - 1; g >= 0; g--) {
            LUC_UNROLL
            for (int i = 0; i < 1 << G; i++)
                if (!(i >> g & 1)) order(v[i], v[i | 1 << g], down);
        }
        LUC_UNROLL
        for (int i = 0; i < 1 << G; i++) data[padded(base + (i << low))] = v[i];
    }
    __syncthreads();
}

/* Turns bitonic runs of 2^run items into sorted ones. */
template <class E> __device__ void merge_bitonic(E *data, int n, int run, bool up)
{
    int left = run;
    if (left % 3 == 1)
        exchange<1>(data, n, --left, run, up);
    else if (left % 3 == 2)
        exchange<2>(data, n, left -= 2, run, up);
    while (left > 0) exchange<3>(data, n, left -= 3, run, up);
}

/* Sorts every 8 items, up and down in turn; `up`: all upwards. */
template <class E> __device__ void sort_eights(E *data, int n, bool up)
{
    for (int u = threadIdx.x; u < n >> 3; u += blockDim.x) {
        E v[8];
        LUC_UNROLL
        for (int i = 0; i < 8; i++) v[i] = data[padded(8 * u + i)];
        LUC_UNROLL
        for (int s = 1; s <= 3; s++) {
            LUC_UNROLL
            for (int g = s - 1; g >= 0; g--) {
                LUC_UNROLL
                for (int i = 0; i < 8; i++)
                    if (!(i >> g & 1))
                        order(v[i], v[i | 1 << g], s < 3 ? (i >> s & 1) != 0 : !up && (u & 1));
            }
        }
        LUC_UNROLL
        for (int i = 0; i < 8; i++) data[padded(8 * u + i)] = v[i];
    }
    __syncthreads();
}

/* Each pair of runs of 2^run items, sorted up and down in turn, becomes one bitonic run of the
 * smaller items. */
template <class E> __device__ void drop_larger(E *data, int n, int run)
{
    E v[items / 2];
    LUC_UNROLL
    for (int q = 0; q < items / 2; q++) {
        const int u = threadIdx.x + q * blockDim.x;
        const int at = (u >> run) << (run + 1) | (u & ((1 << run) - 1));
        if (u >= n / 2) break;
        const E a = data[padded(at)], b = data[padded(at + (1 << run))];
        v[q] = before(b, a) ? b : a;
    }
    __syncthreads();
    LUC_UNROLL
    for (int q = 0; q < items / 2; q++) {
        const int u = threadIdx.x + q * blockDim.x;
        if (u < n / 2) data[padded(u)] = v[q];
    }
    __syncthreads();
}

template <class E>
__device__ E read_item(const sort_plan &p, const sort_pass &t, int64_t row, int64_t i)
{
    if (t.from) return static_cast<const E *>(t.from)[row * t.given + i];
    int64_t at[3];
    E e;
    p.rows.offsets(t.first_row + row, at);
    set_item(e, to_key(p.type, load_bits(p.type, p.x, at[0] + i * p.x_step)), i);
    return e;
}

/* The i-th item in a row's order. */
template <class E>
__device__ void write_item(const sort_plan &p, const sort_pass &t, int64_t row, int64_t i, E e)
{
    if (i >= t.taken) return;
    if (t.to) {
        static_cast<E *>(t.to)[row * t.taken + i] = e;
        return;
    }
    int64_t at[3];
    p.rows.offsets(t.first_row + row, at);
    p.indices[at[2] + i * p.i_step] = index_of(e);
    if (!p.values) return;
    const uint64_t bits = from_key(p.type, key_of(e), p.x, at[0] + index_of(e) * p.x_step);
    store_bits(p.type, p.values, at[1] + i * p.y_step, bits);
}

/* ---- tiles ---------------------------------------------------------------------------------- */

template <class E> __device__ void sort_tile(E *data, int n, const sort_pass &t)
{
    const bool some = t.kept_log < t.width_log;
    sort_eights(data, n, !some && t.kept_log == 3);
    for (int run = 4; run <= t.kept_log; run++)
        merge_bitonic(data, n, run, !some && run == t.kept_log);
    for (int width = t.width_log; width > t.kept_log; width--) {
        drop_larger(data, n, t.kept_log);
        n /= 2;
        merge_bitonic(data, n, t.kept_log, width == t.kept_log + 1);
    }
}

/* The tile of a block holds parts of `width` items, one part of each of several rows. */
template <class E> __global__ void __launch_bounds__(512) sort_tiles(sort_plan p, sort_pass t)
{
    LUC_SHARED_ARRAY(E, data);
    const int n = blockDim.x * items, width = 1 << t.width_log;
    const int64_t parts = t.rows * t.tiles, first = (int64_t)blockIdx.x * (n >> t.width_log);
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        const int64_t part = first + (i >> t.width_log), row = part / t.tiles;
        const int64_t at = (part - row * t.tiles) * width + (i & (width - 1));
        E e;
        if (part < parts && at < t.given)
            e = read_item<E>(p, t, row, at);
        else
            set_last(e);
        data[padded(i)] = e;
    }
    __syncthreads();
    sort_tile(data, n, t);
    const int left = n >> t.width_log << t.kept_log, kept = 1 << t.kept_log;
    for (int i = threadIdx.x; i < left; i += blockDim.x) {
        const int64_t part = first + (i >> t.kept_log), row = part / t.tiles;
        const int64_t at = i & (kept - 1);
        if (part < parts && at < t.out)
            write_item(p, t, row, (part - row * t.tiles) * t.out + at, data[padded(i)]);
    }
}

/* ---- merging -------------------------------------------------------------------------------- */

/* How many of the first d items of the union of a and b come from a. */
template <class E>
__device__ int64_t split_at(const E *a, int64_t n_a, const E *b, int64_t n_b, int64_t d)
{
    int64_t low = d > n_b ? d - n_b : 0, high = d < n_a ? d : n_a;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (before(b[d - 1 - middle], a[middle]))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* A block makes merge_part items of a row from two runs; merge_part divides the length of a run. */
template <class E>
__global__ void __launch_bounds__(merge_part / items) merge_runs(sort_plan p, sort_pass t)
{
    __shared__ int64_t split[2];
    LUC_SHARED_ARRAY(E, data);
    const int64_t parts = (t.given + merge_part - 1) / merge_part;
    const int64_t row = blockIdx.x / parts, from = (blockIdx.x - row * parts) * merge_part;
    if (from >= t.taken) return; /* topk: these are not wanted */
    const int64_t pair = from / (2 * t.run) * (2 * t.run), rest = t.given - pair;
    const int64_t n_a = rest < t.run ? rest : t.run;
    const int64_t n_b = rest - n_a < t.run ? rest - n_a : t.run;
    const E *a = static_cast<const E *>(t.from) + row * t.given + pair, *b = a + n_a;
    const int64_t d = from - pair, left = n_a + n_b - d;
    const int n = left < merge_part ? (int)left : (int)merge_part;
    if (threadIdx.x < 2) split[threadIdx.x] = split_at(a, n_a, b, n_b, d + threadIdx.x * n);
    __syncthreads();
    const int64_t a_from = split[0], b_from = d - a_from;
    const int m_a = (int)(split[1] - a_from), m_b = n - m_a;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        data[i] = i < m_a ? a[a_from + i] : b[b_from + i - m_a];
    __syncthreads();
    const int mine = (int)threadIdx.x * items;
    E v[items];
    if (mine < n) {
        int i = (int)split_at<E>(data, m_a, data + m_a, m_b, mine), j = mine - i;
        LUC_UNROLL
        for (int q = 0; q < items; q++) {
            const bool of_a = i < m_a && (j >= m_b || before(data[i], data[m_a + j]));
            if (mine + q < n) v[q] = of_a ? data[i] : data[m_a + j];
            i += of_a;
            j += !of_a;
        }
    }
    __syncthreads();
    LUC_UNROLL
    for (int q = 0; q < items; q++)
        if (mine + q < n) data[mine + q] = v[q];
    __syncthreads();
    for (int i = threadIdx.x; i < n; i += blockDim.x) write_item(p, t, row, from + i, data[i]);
}

/* ---- the plan ------------------------------------------------------------------------------- */

static int log_of(int64_t n, int least)
{
    int log = least;
    while ((int64_t)1 << log < n) log++;
    return log;
}

static lucid_view without(const lucid_view *v, int dim)
{
    lucid_view kept = *v;
    kept.ndim = 0;
    for (int d = 0; d < v->ndim; d++) {
        if (d == dim) continue;
        kept.dims[kept.ndim] = v->dims[d];
        kept.strides[kept.ndim++] = v->strides[d];
    }
    return kept;
}

static sort_plan make_plan(const lucid_kernel_args *args)
{
    const lucid_sort_attrs *a = static_cast<const lucid_sort_attrs *>(args->attrs);
    const lucid_view *x = args->in[0], *index = args->out[args->n_out - 1];
    const lucid_view *y = args->n_out == 2 ? args->out[0] : index;
    const lucid_view rows[3] = {without(x, a->dim), without(y, a->dim), without(index, a->dim)};
    sort_plan p = {};
    p.rows = make_walk<3>({&rows[0], &rows[1], &rows[2]});
    p.x = static_cast<const char *>(x->data);
    p.values = args->n_out == 2 ? static_cast<char *>(y->data) : nullptr;
    p.indices = static_cast<int64_t *>(index->data);
    p.x_step = x->strides[a->dim];
    p.y_step = y->strides[a->dim];
    p.i_step = index->strides[a->dim];
    p.n = x->dims[a->dim];
    p.k = args->op == LUCID_OP_topk ? a->k : p.n;
    p.type = sort_type_of(x->dtype, a->descending);
    return p;
}

/* Long rows of which few items are wanted: only the first k of each tile go on. */
template <class E> static bool is_selected(const sort_plan &p)
{
    return p.k <= 1 << (tile_of<E>::log - 2);
}

static int64_t batch_rows(const sort_plan &p)
{
    const int64_t rows = ((int64_t)1 << batch_log) / p.n;
    return rows < 1 ? 1 : rows < p.rows.n ? rows : p.rows.n;
}

/* The number of items, for each row, in the two buffers that long rows go through. */
template <class E> static void buffer_items(const sort_plan &p, int64_t items_of[2])
{
    const int64_t tile = 1 << tile_of<E>::log, tiles = ceil_div(p.n, tile);
    items_of[0] = items_of[1] = 0;
    if (tiles <= 1) return;
    if (!is_selected<E>(p)) {
        items_of[0] = p.n;
        items_of[1] = tiles > 2 ? p.n : 0;
        return;
    }
    items_of[0] = tiles * p.k;
    if (items_of[0] > tile) items_of[1] = ceil_div(items_of[0], tile) * p.k;
}

template <class E> static size_t bytes_of(const sort_plan &p)
{
    int64_t each[2];
    if (p.rows.n == 0 || p.n == 0) return 0;
    buffer_items<E>(p, each);
    return (size_t)(batch_rows(p) * (each[0] + each[1])) * sizeof(E);
}

static bool plan_sort(const lucid_kernel_args *args, lucid_plan *plan)
{
    const sort_plan p = make_plan(args);
    plan->workspace = p.type.size == 8 ? bytes_of<wide_item>(p) : bytes_of<narrow_item>(p);
    return true;
}

/* ---- launching ------------------------------------------------------------------------------ */

/* Sorts tiles of at most 2^log items of each row. The first `out` items of each tile go on. */
template <class E> static bool launch_tiles(const call &c, const sort_plan &p, sort_pass t)
{
    const int most = tile_of<E>::log;
    t.width_log = t.given < 1 << most ? log_of(t.given, items_log) : most;
    t.tiles = ceil_div(t.given, (int64_t)1 << t.width_log);
    t.kept_log = log_of(t.out, items_log);
    if (t.kept_log > t.width_log) t.kept_log = t.width_log;
    const int log = t.width_log > small_tile_log ? t.width_log : (int)small_tile_log;
    const int64_t blocks = ceil_div(t.rows * t.tiles, (int64_t)1 << (log - t.width_log));
    const size_t shared = sizeof(E) * ((size_t)1 << log) / 16 * 17;
    if (blocks >= (int64_t)1 << 31) return c.unsupported("more than 2^31 blocks");
    return c.launch(sort_tiles<E>, (unsigned)blocks, 1u << (log - items_log), shared, p, t);
}

template <class E> static bool launch_merge(const call &c, const sort_plan &p, const sort_pass &t)
{
    const int64_t blocks = t.rows * ceil_div(t.given, merge_part);
    if (blocks >= (int64_t)1 << 31) return c.unsupported("more than 2^31 blocks");
    return c.launch(merge_runs<E>, (unsigned)blocks, merge_part / items, sizeof(E) * merge_part, p,
                    t);
}

/* The first k of each tile are sorted again until they are one tile. */
template <class E>
static bool select_batch(const call &c, const sort_plan &p, sort_pass t, E *const buffer[2])
{
    const int64_t tile = 1 << tile_of<E>::log;
    t.out = p.k;
    for (int turn = 0; t.given > tile; turn ^= 1) {
        t.to = buffer[turn];
        t.taken = ceil_div(t.given, tile) * p.k;
        if (!launch_tiles<E>(c, p, t)) return false;
        t.from = t.to;
        t.given = t.taken;
    }
    t.to = nullptr;
    t.taken = p.k;
    return launch_tiles<E>(c, p, t);
}

template <class E>
static bool merge_batch(const call &c, const sort_plan &p, sort_pass t, E *const buffer[2])
{
    t.out = t.run = 1 << tile_of<E>::log;
    t.to = buffer[0];
    t.taken = p.n;
    if (!launch_tiles<E>(c, p, t)) return false;
    for (int turn = 1; t.run < p.n; turn ^= 1, t.run *= 2) {
        const bool last = 2 * t.run >= p.n;
        t.from = t.to;
        t.to = last ? nullptr : buffer[turn];
        t.taken = last ? p.k : p.n;
        if (!launch_merge<E>(c, p, t)) return false;
    }
    return true;
}

template <class E> static bool run(const lucid_kernel_args *args)
{
    call c(args);
    const sort_plan p = make_plan(args);
    if (p.rows.n == 0 || p.n == 0 || p.k == 0) return true;
    sort_pass t = {};
    t.given = p.n;
    if (p.n <= 1 << tile_of<E>::log) {
        t.rows = p.rows.n;
        t.out = t.taken = p.k;
        return launch_tiles<E>(c, p, t);
    }
    int64_t each[2];
    buffer_items<E>(p, each);
    const int64_t batch = batch_rows(p);
    E *const buffer[2] = {c.workspace<E>(), c.workspace<E>() + batch * each[0]};
    for (; t.first_row < p.rows.n; t.first_row += batch) {
        t.rows = p.rows.n - t.first_row < batch ? p.rows.n - t.first_row : batch;
        if (!(is_selected<E>(p) ? select_batch<E>(c, p, t, buffer)
                                : merge_batch<E>(c, p, t, buffer)))
            return false;
    }
    return true;
}

void register_sort(lucid_backend *b)
{
    static const lucid_op_id ops[] = {LUCID_OP_sort, LUCID_OP_argsort, LUCID_OP_topk};
    for (lucid_op_id op : ops) {
        for (int type = 0; type < LUCID_DTYPE_COUNT; type++)
            b->kernels[op][type].run = run<narrow_item>;
        b->kernels[op][LUCID_F64].run = b->kernels[op][LUCID_I64].run = run<wide_item>;
        set_plan(b, op, plan_sort);
    }
}

} // namespace luc
