#include "tests/reference/op_cases.h"
#include "autograd/autograd.h"
#include "lucid/core/tensor_priv.h"
#include "tests/testing.h"

#include <stdarg.h>
#include <stdio.h>

/* ---- names and layouts ----------------------------------------------------------------------- */

static const char *role_name(const op_case *c, const char *role, char *text, size_t size)
{
    const char *other = vectors_get(c->line, "tensors");
    snprintf(text, size, "%s/%s", other ? other : vectors_name(c->line), role);
    return text;
}

static lucid_tensor *role(const op_case *c, const char *name)
{
    char text[192];
    role_name(c, name, text, sizeof text);
    return vectors_has(c->v, text) ? vectors_tensor(c->v, text) : NULL;
}

static lucid_tensor *numbered(const op_case *c, const char *what, int i)
{
    char name[32];
    snprintf(name, sizeof name, "%s%d", what, i);
    return role(c, name);
}

static void strides_of(const char *layout, lucid_meta *m)
{
    int n = m->ndim;
    luc_contiguous_strides(n, m->dims, m->strides);
    if (strcmp(layout, "channels_last") == 0 && (n == 4 || n == 5)) {
        luc_channels_last_strides(n, m->dims, m->strides);
    } else if (strcmp(layout, "transposed") == 0 && n >= 2) {
        int64_t dims[LUCID_MAX_DIMS];
        memcpy(dims, m->dims, sizeof dims);
        dims[n - 1] = m->dims[n - 2];
        dims[n - 2] = m->dims[n - 1];
        luc_contiguous_strides(n, dims, m->strides);
        int64_t last = m->strides[n - 1];
        m->strides[n - 1] = m->strides[n - 2];
        m->strides[n - 2] = last;
    } else if (strcmp(layout, "step2") == 0 && n >= 1) {
        for (int d = 0; d < n; d++) m->strides[d] *= 2;
    } else if (strcmp(layout, "expanded") == 0 && n >= 1) {
        m->strides[0] = 0;
    }
}

/* The same values in other memory. What lies in the gaps are NaNs, or the largest integers. */
static lucid_tensor *lay_out(lucid_tensor *t, const char *layout)
{
    lucid_meta m;
    if (!t) return NULL;
    luc_tensor_get_meta(t, &m);
    m.offset = 0;
    strides_of(layout, &m);
    if (luc_dims_equal(m.ndim, m.strides, m.ndim, t->view.strides)) return t;
    int64_t room = 1;
    for (int d = 0; d < m.ndim; d++) room += (m.dims[d] ? m.dims[d] - 1 : 0) * m.strides[d];
    size_t size = lucid_dtype_size(m.dtype);
    luc_storage *s = luc_storage_new(lucid_cpu(), (size_t)room * size, "lay_out");
    cr_assert(s);
    memset(s->data, m.dtype == LUCID_BOOL ? 1 : 0xff, (size_t)room * size);
    lucid_tensor *out = luc_tensor_on(s, &m, "lay_out");
    luc_storage_release(s);
    cr_assert(out);
    for (int64_t i = 0; i < lucid_numel(t); i++) {
        int64_t rest = i, at = 0;
        for (int d = m.ndim - 1; d >= 0; d--) {
            at += rest % m.dims[d] * m.strides[d];
            rest /= m.dims[d];
        }
        memcpy((char *)s->data + at * (int64_t)size, (const char *)t->view.data + i * (int64_t)size,
               size);
    }
    return out;
}

/* ---- comparing ------------------------------------------------------------------------------- */

typedef struct problems {
    int count;
    char first[512];
} problems;

static void problem(problems *p, const char *fmt, ...) LUCID_PRINTF(2, 3);
static void problem(problems *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (p->count++ == 0) vsnprintf(p->first, sizeof p->first, fmt, args);
    va_end(args);
}

static double *doubles_of(const lucid_tensor *t)
{
    size_t n = (size_t)lucid_numel(t);
    double *x = malloc((n + 1) * sizeof *x);
    cr_assert(x);
    for (size_t i = 0; i < n; i++) { /* elements by index: no kernel is trusted here */
        int64_t rest = (int64_t)i, at = 0;
        for (int d = t->view.ndim - 1; d >= 0; d--) {
            at += rest % t->view.dims[d] * t->view.strides[d];
            rest /= t->view.dims[d];
        }
        x[i] = luc_element_to_double(t, at);
    }
    return x;
}

/* The float64 truth, rounded to the dtype. */
static double rounded(double x, lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F32:
        return (float)x;
    case LUCID_F16:
        return lucid_f16_to_f32(lucid_f32_to_f16((float)x));
    case LUCID_BF16:
        return lucid_bf16_to_f32(lucid_f32_to_bf16((float)x));
    default:
        return x;
    }
}

/* Where lucid's gradient is another than PyTorch's, on purpose: max and min over a dimension share
 * it among equal extremes, as over all dimensions, instead of choosing one; and where the extreme
 * is NaN it goes to the NaNs, not to nowhere. */
static bool shares_among_equals(const char *name)
{
    static const char *const cases[] = {"max_1_ties", "min_1_ties", "max_1_nan",  "min_1_nan",
                                        "amax_0_nan", "amax_1_nan", "amin_0_nan", "amin_1_nan"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(name, cases[i]) == 0) return true;
    return false;
}

/* The gradient by that rule, for a matrix [R,C] reduced over dimension `dim`, into y. */
static void share_among_equals(const op_case *c, double *y)
{
    lucid_tensor *x = numbered(c, "in", 0);
    double *in = doubles_of(x), *g = doubles_of(role(c, "grad_out"));
    int dim = (int)vectors_int(c->line, "dim", 0);
    int64_t rows = lucid_size(x, 0), columns = lucid_size(x, 1);
    cr_assert(lucid_ndim(x) == 2);
    int64_t lines = dim == 0 ? columns : rows, n = dim == 0 ? rows : columns;
    double *out = doubles_of(role(c, "out"));
    for (int64_t k = 0; k < lines; k++) {
        double equal = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t i = 0; i < n; i++) {
                int64_t at = dim == 0 ? i * columns + k : k * columns + i;
                bool same = in[at] == out[k] || (isnan(in[at]) && isnan(out[k]));
                if (pass == 0)
                    equal += same;
                else
                    y[at] = same ? g[k] / equal : 0;
            }
    }
    free(in);
    free(g);
    free(out);
}

static double largest_of(const double *x, int64_t n)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i])) largest = fmax(largest, fabs(x[i]));
    return largest;
}

/* The largest magnitude of the gradient that came in. */
static double incoming(const op_case *c)
{
    lucid_tensor *g = role(c, "grad_out");
    if (!g) return 0;
    double *x = doubles_of(g), largest = largest_of(x, lucid_numel(g));
    free(x);
    return largest;
}

static void compare(problems *p, const op_case *c, const char *name, const lucid_tensor *got,
                    tolerance_class kind)
{
    lucid_tensor *want = role(c, name);
    char truth_name[48];
    snprintf(truth_name, sizeof truth_name, "truth.%s", name);
    lucid_tensor *truth = role(c, truth_name);
    if (!got) {
        problem(p, "%s: is NULL", name);
        return;
    }
    lucid_dtype dtype = lucid_tensor_dtype(want);
    if (lucid_tensor_dtype(got) != dtype)
        problem(p, "%s: expected %s, got %s", name, lucid_dtype_name(dtype),
                lucid_dtype_name(lucid_tensor_dtype(got)));
    lucid_shape a = lucid_tensor_shape(want), b = lucid_tensor_shape(got);
    if (!lucid_shape_equal(&a, &b)) {
        problem(p, "%s: expected sizes %s, got %s", name, luc_shape_text(want).s,
                luc_shape_text(got).s);
        return;
    }
    tolerance t = tolerance_of(lucid_dtype_is_floating(dtype) ? kind : TOLERANCE_EXACT, dtype);
    double *x = doubles_of(got), *y = doubles_of(truth ? truth : want);
    for (int64_t i = 0; truth && i < lucid_numel(got); i++) y[i] = rounded(y[i], dtype);
    bool is_gradient = strncmp(name, "grad_in", 7) == 0;
    if (is_gradient && shares_among_equals(vectors_name(c->line))) share_among_equals(c, y);
    double largest = largest_of(y, lucid_numel(got));
    if (is_gradient && kind == TOLERANCE_STATISTICS) largest = fmax(largest, incoming(c));
    for (int64_t i = 0; i < lucid_numel(got); i++)
        if (!tolerance_meets(t, x[i], y[i], largest))
            problem(
                p, "%s[%lld]: expected %.17g, got %.17g (%.3g epsilons of it, %.3g of the largest)",
                name, (long long)i, y[i], x[i],
                fabs(x[i] - y[i]) / (tolerance_epsilon(dtype) * fabs(y[i])),
                fabs(x[i] - y[i]) / (tolerance_epsilon(dtype) * largest));
    free(x);
    free(y);
}

/* ---- running --------------------------------------------------------------------------------- */

static void load_inputs(op_case *c, const char *layout)
{
    for (int i = 0; i < OP_INPUTS; i++) {
        char name[32];
        c->in[i] = lay_out(numbered(c, "in", i), layout);
        if (!c->in[i]) continue;
        c->n_in = i + 1;
        snprintf(name, sizeof name, "grad_in%d", i);
        if (role(c, name)) c->in[i]->requires_grad = true;
    }
    c->running_mean = role(c, "buffer.running_mean");
    c->running_var = role(c, "buffer.running_var");
}

static void compare_gradients(problems *p, op_case *c, const op_entry *entry, const char *layout)
{
    lucid_tensor *g = role(c, "grad_out");
    if (!g) {
        if (c->out[0]->requires_grad) problem(p, "out: must not require a gradient");
        return;
    }
    g = lay_out(g, strcmp(layout, "expanded") == 0 ? "contiguous" : layout);
    if (!lucid_backward(c->out[0], .gradient = g)) {
        problem(p, "backward: %s", lucid_error());
        return;
    }
    for (int i = 0; i < c->n_in; i++) {
        char name[32];
        snprintf(name, sizeof name, "grad_in%d", i);
        if (c->in[i] && c->in[i]->requires_grad)
            compare(p, c, name, lucid_tensor_grad(c->in[i]), entry->backward);
    }
}

static void run_case(problems *p, op_case *c)
{
    const char *layout = vectors_get(c->line, "layout"), *op = vectors_get(c->line, "op");
    const op_entry *entry = op_find(op);
    if (!entry) {
        problem(p, "op=%s is not known to the runner", op);
        return;
    }
    load_inputs(c, layout);
    entry->call(c);
    if (c->why[0]) {
        problem(p, "%s", c->why);
    } else if (!c->out[0]) {
        problem(p, "forward: %s", lucid_error());
    } else {
        compare(p, c, "out", c->out[0], entry->forward);
        if (role(c, "out1")) compare(p, c, "out1", c->out[1], entry->forward);
        if (role(c, "after.buffer.running_mean")) {
            compare(p, c, "after.buffer.running_mean", c->running_mean, entry->forward);
            compare(p, c, "after.buffer.running_var", c->running_var, entry->forward);
        }
        compare_gradients(p, c, entry, layout);
    }
    if (lucid_error_code() != LUCID_OK) problem(p, "left an error: %s", lucid_error());
    lucid_clear_error();
}

int op_cases_run(const char *area)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    vectors *v = vectors_open(area);
    int cases = 0;
    for (const vectors_case *line; (line = vectors_next(v)); cases++) {
        LUCID_SCOPE;
        op_case c = {.v = v, .line = line};
        problems p = {0};
        run_case(&p, &c);
        cr_expect(p.count == 0, "%s: %s (%d problems)", vectors_name(line), p.first, p.count);
    }
    vectors_close(v);
    lucid_live_counts n = lucid_live();
    cr_expect(n.tensors == 0 && n.storages == 0 && n.nodes == 0,
              "%s: never freed: %lld tensors, %lld storages, %lld nodes", area,
              (long long)n.tensors, (long long)n.storages, (long long)n.nodes);
    return cases;
}
