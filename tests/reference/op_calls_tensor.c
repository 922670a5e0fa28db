/* op_calls_tensor.c: reductions, scans, parts and turns by the names of the manifests. */
#include "autograd/ops.h"
#include "tests/reference/op_cases.h"

#include <string.h>

static bool is(const op_case *c, const char *name)
{
    return strcmp(vectors_get(c->line, "op"), name) == 0;
}

static int64_t integer(const op_case *c, const char *key, int64_t otherwise)
{
    const char *text = vectors_get(c->line, key);
    return text && strcmp(text, "none") != 0 ? vectors_int(c->line, key, otherwise) : otherwise;
}

static int dim_of(const op_case *c)
{
    return (int)integer(c, "dim", -1);
}

static lucid_shape list(const op_case *c, const char *key)
{
    lucid_shape dims;
    return vectors_list(c->line, key, &dims) ? dims : LUCID_ALL;
}

/* ---- over any dims --------------------------------------------------------------------------- */

static void reduce(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *, lucid_shape, const lucid_reduce_options *);
    } rows[] = {{"prod", lucid_prod_opt},
                {"logsumexp", lucid_logsumexp_opt},
                {"nansum", lucid_nansum_opt},
                {"nanmean", lucid_nanmean_opt},
                {"any", lucid_any_opt},
                {"all", lucid_all_opt},
                {"count_nonzero", lucid_count_nonzero_opt}};
    lucid_reduce_options o = lucid_reduce_defaults;
    o.keepdim = vectors_bool(c->line, "keepdim", false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is(c, rows[i].name)) c->out[0] = rows[i].fn(c->in[0], list(c, "dim"), &o);
}

static void spread(op_case *c)
{
    lucid_var_options o = lucid_var_defaults;
    const lucid_shape dims = list(c, "dim");
    o.keepdim = vectors_bool(c->line, "keepdim", false);
    o.correction = integer(c, "correction", 1);
    if (is(c, "std")) {
        c->out[0] = lucid_std_opt(c->in[0], dims, &o);
        return;
    }
    const lucid_with_mean m = is(c, "std_mean") ? lucid_std_mean_opt(c->in[0], dims, &o)
                                                : lucid_var_mean_opt(c->in[0], dims, &o);
    c->out[0] = m.value;
    c->out[1] = m.mean;
}

static void norm(op_case *c)
{
    c->out[0] = lucid_norm(c->in[0], list(c, "dim"), .p = vectors_double(c->line, "p", 2),
                           .keepdim = vectors_bool(c->line, "keepdim", false));
}

static void aminmax(op_case *c)
{
    const lucid_extremes e =
        lucid_aminmax(c->in[0], list(c, "dim"), .keepdim = vectors_bool(c->line, "keepdim", false));
    c->out[0] = e.min;
    c->out[1] = e.max;
}

/* ---- along one dim --------------------------------------------------------------------------- */

static void order(op_case *c)
{
    lucid_tensor *x = c->in[0];
    const bool keep = vectors_bool(c->line, "keepdim", false);
    const int dim = dim_of(c);
    lucid_sorted s = {NULL, NULL};
    if (is(c, "max_dim")) s = lucid_max_dim(x, dim, .keepdim = keep);
    if (is(c, "min_dim")) s = lucid_min_dim(x, dim, .keepdim = keep);
    if (is(c, "median_dim")) s = lucid_median_dim(x, dim, .keepdim = keep);
    if (is(c, "nanmedian_dim")) s = lucid_nanmedian_dim(x, dim, .keepdim = keep);
    if (is(c, "mode")) s = lucid_mode(x, dim, .keepdim = keep);
    if (is(c, "kthvalue")) s = lucid_kthvalue(x, integer(c, "k", 1), .dim = dim, .keepdim = keep);
    if (is(c, "cummax")) s = lucid_cummax(x, dim);
    if (is(c, "cummin")) s = lucid_cummin(x, dim);
    c->out[0] = s.values;
    c->out[1] = s.indices;
    if (is(c, "median")) c->out[0] = lucid_median(x);
    if (is(c, "nanmedian")) c->out[0] = lucid_nanmedian(x);
}

static void scan(op_case *c)
{
    if (is(c, "cumsum")) c->out[0] = lucid_cumsum(c->in[0], dim_of(c));
    if (is(c, "cumprod")) c->out[0] = lucid_cumprod(c->in[0], dim_of(c));
    if (is(c, "logcumsumexp")) c->out[0] = lucid_logcumsumexp(c->in[0], dim_of(c));
}

static void quantile(op_case *c)
{
    static const char *const names[] = {"linear", "lower", "higher", "nearest", "midpoint"};
    lucid_quantile_options o = lucid_quantile_defaults;
    o.keepdim = vectors_bool(c->line, "keepdim", false);
    for (int i = 0; i < 5; i++)
        if (strcmp(vectors_get(c->line, "interpolation"), names[i]) == 0)
            o.interpolation = (lucid_quantile_kind)i;
    c->out[0] = is(c, "quantile") ? lucid_quantile_opt(c->in[0], c->in[1], list(c, "dim"), &o)
                                  : lucid_nanquantile_opt(c->in[0], c->in[1], list(c, "dim"), &o);
}

static void neighbours(op_case *c)
{
    if (is(c, "diff"))
        c->out[0] = lucid_diff(c->in[0], .n = integer(c, "n", 1), .dim = dim_of(c),
                               .prepend = c->in[1], .append = c->in[2]);
    if (is(c, "trapezoid"))
        c->out[0] = lucid_trapezoid(c->in[0], .x = c->in[1], .dim = dim_of(c),
                                    .dx = vectors_double(c->line, "dx", 1));
    if (is(c, "cumulative_trapezoid"))
        c->out[0] = lucid_cumulative_trapezoid(c->in[0], .x = c->in[1], .dim = dim_of(c),
                                               .dx = vectors_double(c->line, "dx", 1));
}

/* ---- parts: the first and the last ----------------------------------------------------------- */

static void parts(op_case *c)
{
    enum { ROOM = 16 };
    lucid_tensor *list_of[ROOM] = {NULL}, *x = c->in[0];
    const int dim = dim_of(c);
    const lucid_shape sizes = list(c, "sizes");
    const int64_t n = integer(c, "n", 1);
    size_t count = 0;
    if (is(c, "split")) count = lucid_split_size(x, n, dim, list_of, ROOM);
    if (is(c, "chunk")) count = lucid_chunk(x, n, dim, list_of, ROOM);
    if (is(c, "tensor_split")) count = lucid_tensor_split(x, n, dim, list_of, ROOM);
    if (is(c, "unbind")) count = lucid_unbind(x, dim, list_of, ROOM);
    if (is(c, "split_with_sizes"))
        count = lucid_split_with_sizes(x, sizes.dims, dim, list_of, (size_t)sizes.ndim);
    if (is(c, "tensor_split_at"))
        count = lucid_tensor_split_at(x, sizes.dims, dim, list_of, (size_t)sizes.ndim + 1);
    if ((int64_t)count != integer(c, "parts", 0))
        snprintf(c->why, sizeof c->why, "%zu parts", count);
    c->out[0] = list_of[0];
    c->out[1] = count ? list_of[count - 1] : NULL;
}

/* ---- sizes and turns ------------------------------------------------------------------------- */

static void turned(op_case *c)
{
    lucid_tensor *x = c->in[0];
    const int a = (int)integer(c, "dim0", 0), b = (int)integer(c, "dim1", 1);
    const int64_t k = integer(c, "k", 0);
    if (is(c, "squeeze_dims")) c->out[0] = lucid_squeeze_dims(x, list(c, "dims"));
    if (is(c, "movedim")) c->out[0] = lucid_movedim(x, list(c, "from"), list(c, "to"));
    if (is(c, "unfold"))
        c->out[0] = lucid_unfold_dim(x, dim_of(c), integer(c, "size", 1), integer(c, "step", 1));
    if (is(c, "repeat")) c->out[0] = lucid_repeat(x, list(c, "repeats"));
    if (is(c, "tile")) c->out[0] = lucid_tile(x, list(c, "repeats"));
    if (is(c, "flip")) c->out[0] = lucid_flip(x, list(c, "dims"));
    if (is(c, "roll")) c->out[0] = lucid_roll(x, list(c, "shifts"), list(c, "dims"));
    if (is(c, "rot90")) c->out[0] = lucid_rot90(x, k, a, b);
    if (is(c, "tril")) c->out[0] = lucid_tril(x, k);
    if (is(c, "triu")) c->out[0] = lucid_triu(x, k);
    if (is(c, "diag")) c->out[0] = lucid_diag(x, k);
    if (is(c, "diagonal")) c->out[0] = lucid_diagonal(x, k, a, b);
    if (is(c, "diag_embed")) c->out[0] = lucid_diag_embed(x, k, a, b);
    if (is(c, "atleast_3d")) c->out[0] = lucid_atleast_3d(x);
    if (is(c, "trace")) c->out[0] = lucid_trace(x);
    if (is(c, "repeat_interleave"))
        c->out[0] = lucid_repeat_interleave(x, c->n_in > 1 ? c->in[1] : lucid_scalar((double)k),
                                            list(c, "dim"));
    if (is(c, "tril_indices"))
        c->out[0] = lucid_tril_indices(integer(c, "rows", 0), integer(c, "columns", 0), k);
    if (is(c, "triu_indices"))
        c->out[0] = lucid_triu_indices(integer(c, "rows", 0), integer(c, "columns", 0), k);
}

static void joined(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *const *, size_t);
    } rows[] = {{"hstack", lucid_hstack},         {"vstack", lucid_vstack},
                {"dstack", lucid_dstack},         {"column_stack", lucid_column_stack},
                {"block_diag", lucid_block_diag}, {"cartesian_prod", lucid_cartesian_prod}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is(c, rows[i].name)) c->out[0] = rows[i].fn(c->in, (size_t)c->n_in);
    if (is(c, "meshgrid")) {
        lucid_tensor *grids[OP_INPUTS] = {NULL};
        lucid_meshgrid(c->in, (size_t)c->n_in, vectors_bool(c->line, "xy", false), grids);
        c->out[0] = grids[0];
        c->out[1] = grids[c->n_in - 1];
    }
}

/* ---- search ---------------------------------------------------------------------------------- */

static void search(op_case *c)
{
    lucid_tensor *x = c->in[0];
    const bool right = vectors_bool(c->line, "right", false);
    if (is(c, "searchsorted"))
        c->out[0] = lucid_searchsorted(x, c->in[1], .right = right, .sorter = c->in[2]);
    if (is(c, "bucketize")) c->out[0] = lucid_bucketize(x, c->in[1], right);
    if (is(c, "isin")) c->out[0] = lucid_isin(x, c->in[1]);
    if (is(c, "bincount")) c->out[0] = lucid_bincount(x, c->in[1], integer(c, "minlength", 0));
    if (is(c, "nonzero")) c->out[0] = lucid_nonzero(x);
    if (is(c, "histc"))
        c->out[0] = lucid_histc(x, .bins = integer(c, "bins", 100),
                                .min = vectors_double(c->line, "min", 0),
                                .max = vectors_double(c->line, "max", 0));
}

/* `what` says which of the three is compared besides the values. */
static void unique(op_case *c)
{
    const char *dim = vectors_get(c->line, "dim");
    const bool all = strcmp(dim, "none") == 0, sorted = is(c, "unique");
    const lucid_uniques u =
        all      ? (sorted ? lucid_unique(c->in[0]) : lucid_unique_consecutive(c->in[0]))
        : sorted ? lucid_unique_dim(c->in[0], dim_of(c))
                 : lucid_unique_consecutive_dim(c->in[0], dim_of(c));
    c->out[0] = u.values;
    c->out[1] = vectors_bool(c->line, "counts", false) ? u.counts : u.inverse;
}

#define EXACT      TOLERANCE_EXACT
#define ROUNDED    TOLERANCE_ROUNDED
#define FUNCTION   TOLERANCE_FUNCTION
#define SUM        TOLERANCE_SUM
#define STATISTICS TOLERANCE_STATISTICS

static const op_entry table[] = {
    {"prod", STATISTICS, STATISTICS, reduce},
    {"logsumexp", STATISTICS, STATISTICS, reduce},
    {"nansum", SUM, SUM, reduce},
    {"nanmean", SUM, SUM, reduce},
    {"any", EXACT, EXACT, reduce},
    {"all", EXACT, EXACT, reduce},
    {"count_nonzero", EXACT, EXACT, reduce},
    {"std", STATISTICS, STATISTICS, spread},
    {"std_mean", STATISTICS, STATISTICS, spread},
    {"var_mean", STATISTICS, STATISTICS, spread},
    {"norm", STATISTICS, STATISTICS, norm},
    {"aminmax", EXACT, ROUNDED, aminmax},
    {"max_dim", EXACT, EXACT, order},
    {"min_dim", EXACT, EXACT, order},
    {"median_dim", EXACT, EXACT, order},
    {"nanmedian_dim", EXACT, EXACT, order},
    {"median", EXACT, EXACT, order},
    {"nanmedian", EXACT, EXACT, order},
    {"mode", EXACT, EXACT, order},
    {"kthvalue", EXACT, EXACT, order},
    {"cummax", EXACT, SUM, order},
    {"cummin", EXACT, SUM, order},
    {"cumsum", SUM, SUM, scan},
    {"cumprod", STATISTICS, STATISTICS, scan},
    {"logcumsumexp", STATISTICS, STATISTICS, scan},
    {"quantile", SUM, SUM, quantile},
    {"nanquantile", SUM, SUM, quantile},
    {"diff", SUM, SUM, neighbours},
    {"trapezoid", SUM, SUM, neighbours},
    {"cumulative_trapezoid", SUM, SUM, neighbours},
    {"split", EXACT, EXACT, parts},
    {"split_with_sizes", EXACT, EXACT, parts},
    {"chunk", EXACT, EXACT, parts},
    {"tensor_split", EXACT, EXACT, parts},
    {"tensor_split_at", EXACT, EXACT, parts},
    {"unbind", EXACT, EXACT, parts},
    {"squeeze_dims", EXACT, EXACT, turned},
    {"movedim", EXACT, EXACT, turned},
    {"unfold", EXACT, SUM, turned},
    {"repeat", EXACT, SUM, turned},
    {"tile", EXACT, SUM, turned},
    {"repeat_interleave", EXACT, SUM, turned},
    {"flip", EXACT, EXACT, turned},
    {"roll", EXACT, EXACT, turned},
    {"rot90", EXACT, EXACT, turned},
    {"tril", EXACT, EXACT, turned},
    {"triu", EXACT, EXACT, turned},
    {"diag", EXACT, EXACT, turned},
    {"diagonal", EXACT, EXACT, turned},
    {"diag_embed", EXACT, EXACT, turned},
    {"atleast_3d", EXACT, EXACT, turned},
    {"trace", SUM, EXACT, turned},
    {"tril_indices", EXACT, EXACT, turned},
    {"triu_indices", EXACT, EXACT, turned},
    {"hstack", EXACT, EXACT, joined},
    {"vstack", EXACT, EXACT, joined},
    {"dstack", EXACT, EXACT, joined},
    {"column_stack", EXACT, EXACT, joined},
    {"block_diag", EXACT, EXACT, joined},
    {"cartesian_prod", EXACT, SUM, joined},
    {"meshgrid", EXACT, SUM, joined},
    {"searchsorted", EXACT, EXACT, search},
    {"bucketize", EXACT, EXACT, search},
    {"isin", EXACT, EXACT, search},
    {"bincount", SUM, EXACT, search},
    {"nonzero", EXACT, EXACT, search},
    {"histc", EXACT, EXACT, search},
    {"unique", EXACT, SUM, unique},
    {"unique_consecutive", EXACT, SUM, unique},
};

const op_entry *op_find_tensor(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}
