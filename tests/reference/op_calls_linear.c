/* op_calls_linear.c: masks, scattering, indices, products and linear algebra by the names of the
 * manifests. */
#include "autograd/ops.h"
#include "tests/reference/op_cases.h"

#include <string.h>

static bool is(const op_case *c, const char *name)
{
    return strcmp(vectors_get(c->line, "op"), name) == 0;
}

static int dim_of(const op_case *c)
{
    const char *text = vectors_get(c->line, "dim");
    return text && strcmp(text, "none") != 0 ? (int)vectors_int(c->line, "dim", 0) : 0;
}

static lucid_shape list(const op_case *c, const char *key)
{
    lucid_shape dims;
    return vectors_list(c->line, key, &dims) ? dims : LUCID_ALL;
}

static lucid_tensor *value_of(const op_case *c)
{
    return lucid_scalar(vectors_double(c->line, "value", 0));
}

static void select(op_case *c)
{
    lucid_tensor *const *in = c->in;
    const bool accumulate = vectors_bool(c->line, "accumulate", false);
    const int dim = dim_of(c);
    if (is(c, "masked_fill")) c->out[0] = lucid_masked_fill(in[0], in[1], value_of(c));
    if (is(c, "masked_select")) c->out[0] = lucid_masked_select(in[0], in[1]);
    if (is(c, "masked_scatter")) c->out[0] = lucid_masked_scatter(in[0], in[1], in[2]);
    if (is(c, "scatter")) c->out[0] = lucid_scatter(in[0], dim, in[1], in[2]);
    if (is(c, "scatter_value")) c->out[0] = lucid_scatter_value(in[0], dim, in[1], value_of(c));
    if (is(c, "scatter_add")) c->out[0] = lucid_scatter_add(in[0], dim, in[1], in[2]);
    if (is(c, "index_add"))
        c->out[0] = lucid_index_add(in[0], dim, in[1], in[2], vectors_double(c->line, "alpha", 1));
    if (is(c, "index_copy")) c->out[0] = lucid_index_copy(in[0], dim, in[1], in[2]);
    if (is(c, "index_fill")) c->out[0] = lucid_index_fill(in[0], dim, in[1], value_of(c));
    if (is(c, "take_along_dim")) c->out[0] = lucid_take_along_dim(in[0], in[1], list(c, "dim"));
    if (is(c, "index")) c->out[0] = lucid_index(in[0], in + 1, (size_t)c->n_in - 1);
    if (is(c, "index_put")) c->out[0] = lucid_index_put(in[0], in + 2, 2, in[1], accumulate);
    if (is(c, "take")) c->out[0] = lucid_take(in[0], in[1]);
    if (is(c, "put")) c->out[0] = lucid_put(in[0], in[1], in[2], accumulate);
}

static void scatter_reduce(op_case *c)
{
    static const char *const names[] = {"sum", "prod", "mean", "amax", "amin"};
    for (int i = 0; i < 5; i++)
        if (strcmp(vectors_get(c->line, "how"), names[i]) == 0)
            c->out[0] =
                lucid_scatter_reduce(c->in[0], dim_of(c), c->in[1], c->in[2], (lucid_scatter_how)i,
                                     .include_self = vectors_bool(c->line, "include_self", true));
}

static void added(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *, lucid_tensor *, lucid_tensor *,
                            const lucid_addmm_options *);
    } rows[] = {{"addmm", lucid_addmm_opt},
                {"addmv", lucid_addmv_opt},
                {"addr", lucid_addr_opt},
                {"baddbmm", lucid_baddbmm_opt},
                {"addbmm", lucid_addbmm_opt}};
    lucid_addmm_options o = lucid_addmm_defaults;
    o.beta = vectors_double(c->line, "beta", 1);
    o.alpha = vectors_double(c->line, "alpha", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is(c, rows[i].name)) c->out[0] = rows[i].fn(c->in[0], c->in[1], c->in[2], &o);
}

static void product(op_case *c)
{
    static const struct {
        const char *name;
        lucid_tensor *(*fn)(lucid_tensor *, lucid_tensor *);
    } rows[] = {{"outer", lucid_outer}, {"dot", lucid_dot},
                {"mv", lucid_mv},       {"mm", lucid_mm},
                {"bmm", lucid_bmm},     {"inner", lucid_inner},
                {"kron", lucid_kron},   {"linalg_solve", lucid_linalg_solve}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is(c, rows[i].name)) c->out[0] = rows[i].fn(c->in[0], c->in[1]);
    if (is(c, "einsum"))
        c->out[0] = lucid_einsum(vectors_get(c->line, "equation"), c->in, (size_t)c->n_in);
    if (is(c, "cross")) c->out[0] = lucid_cross(c->in[0], c->in[1], dim_of(c));
    if (is(c, "tensordot"))
        c->out[0] = lucid_tensordot(c->in[0], c->in[1], list(c, "a"), list(c, "b"));
    if (is(c, "cdist"))
        c->out[0] = lucid_cdist(c->in[0], c->in[1], vectors_double(c->line, "p", 2));
}

static void linear(op_case *c)
{
    lucid_tensor *a = c->in[0];
    const bool upper = vectors_bool(c->line, "upper", false);
    if (is(c, "linalg_inv")) c->out[0] = lucid_linalg_inv(a);
    if (is(c, "linalg_det")) c->out[0] = lucid_linalg_det(a);
    if (is(c, "linalg_cholesky")) c->out[0] = lucid_linalg_cholesky(a, upper);
    if (is(c, "linalg_eigvalsh")) c->out[0] = lucid_linalg_eigvalsh(a, false);
    if (is(c, "linalg_svdvals")) c->out[0] = lucid_linalg_svdvals(a);
    if (is(c, "linalg_pinv")) c->out[0] = lucid_linalg_pinv(a, -1);
    if (is(c, "linalg_matrix_rank")) c->out[0] = lucid_linalg_matrix_rank(a, -1);
    if (is(c, "linalg_lstsq")) c->out[0] = lucid_linalg_lstsq(a, c->in[1], -1).solution;
    if (is(c, "linalg_matrix_power"))
        c->out[0] = lucid_linalg_matrix_power(a, vectors_int(c->line, "n", 0));
    if (is(c, "linalg_matrix_norm"))
        c->out[0] =
            lucid_linalg_matrix_norm(a, (lucid_matrix_norm_kind)vectors_int(c->line, "kind", 0));
    if (is(c, "linalg_solve_triangular"))
        c->out[0] = lucid_linalg_solve_triangular(
            a, c->in[1], upper, .left = vectors_bool(c->line, "left", true),
            .unitriangular = vectors_bool(c->line, "unitriangular", false));
    if (is(c, "linalg_slogdet")) {
        const lucid_linalg_signed s = lucid_linalg_slogdet(a);
        c->out[0] = s.logabsdet;
        c->out[1] = s.sign;
    }
    if (is(c, "linalg_qr")) { /* signs are free */
        const lucid_linalg_qr_result r = lucid_linalg_qr(a, false);
        c->out[0] = r.q ? lucid_abs(r.q) : NULL;
        c->out[1] = r.r ? lucid_abs(r.r) : NULL;
    }
}

#define EXACT      TOLERANCE_EXACT
#define SUM        TOLERANCE_SUM
#define STATISTICS TOLERANCE_STATISTICS

static const op_entry table[] = {
    {"masked_fill", EXACT, EXACT, select},
    {"masked_select", EXACT, SUM, select},
    {"masked_scatter", EXACT, SUM, select},
    {"scatter", EXACT, EXACT, select},
    {"scatter_value", EXACT, EXACT, select},
    {"scatter_add", SUM, EXACT, select},
    {"scatter_reduce", STATISTICS, STATISTICS, scatter_reduce},
    {"take_along_dim", EXACT, SUM, select},
    {"index_add", SUM, SUM, select},
    {"index_copy", EXACT, EXACT, select},
    {"index_fill", EXACT, EXACT, select},
    {"index", EXACT, SUM, select},
    {"index_put", SUM, SUM, select},
    {"take", EXACT, SUM, select},
    {"put", SUM, SUM, select},
    {"einsum", STATISTICS, STATISTICS, product},
    {"addmm", STATISTICS, STATISTICS, added},
    {"addmv", STATISTICS, STATISTICS, added},
    {"addr", STATISTICS, STATISTICS, added},
    {"baddbmm", STATISTICS, STATISTICS, added},
    {"addbmm", STATISTICS, STATISTICS, added},
    {"outer", SUM, SUM, product},
    {"dot", SUM, SUM, product},
    {"mv", SUM, SUM, product},
    {"mm", SUM, SUM, product},
    {"bmm", SUM, SUM, product},
    {"inner", SUM, SUM, product},
    {"kron", SUM, SUM, product},
    {"cross", STATISTICS, STATISTICS, product},
    {"tensordot", SUM, SUM, product},
    {"cdist", STATISTICS, STATISTICS, product},
    {"linalg_solve", STATISTICS, STATISTICS, product},
    {"linalg_inv", STATISTICS, STATISTICS, linear},
    {"linalg_det", STATISTICS, STATISTICS, linear},
    {"linalg_slogdet", STATISTICS, STATISTICS, linear},
    {"linalg_cholesky", STATISTICS, STATISTICS, linear},
    {"linalg_eigvalsh", STATISTICS, STATISTICS, linear},
    {"linalg_svdvals", STATISTICS, STATISTICS, linear},
    {"linalg_pinv", STATISTICS, STATISTICS, linear},
    {"linalg_matrix_rank", EXACT, EXACT, linear},
    {"linalg_lstsq", STATISTICS, STATISTICS, linear},
    {"linalg_matrix_power", STATISTICS, STATISTICS, linear},
    {"linalg_matrix_norm", STATISTICS, STATISTICS, linear},
    {"linalg_solve_triangular", STATISTICS, STATISTICS, linear},
    {"linalg_qr", STATISTICS, STATISTICS, linear},
};

const op_entry *op_find_linear(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) return &table[i];
    return NULL;
}
