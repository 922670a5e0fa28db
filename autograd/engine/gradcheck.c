/* gradcheck.c: derivatives compared with central differences.
 *
 * For every element of every input, the function is run at x + eps and x - eps without recording;
 * the differences are the numeric column of the Jacobian. Backward from each element of each
 * output, with a one there and zeros elsewhere, gives the analytic row. */
#include "autograd/engine/engine_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <string.h>

/* A second derivative has as many outputs as the function has inputs. */
enum { MAX_OUTPUTS = LUC_MAX_APPLY };

typedef struct check {
    const char *name;
    lucid_check_fn fn;
    void *user;
    lucid_tensor *const *inputs;
    size_t n_inputs;
    lucid_gradcheck_options o;
} check;

/* ---- running the function -------------------------------------------------------------------- */

static bool run(const check *c, lucid_tensor **outputs, size_t *n)
{
    *n = 0;
    if (!c->fn(c->inputs, c->n_inputs, outputs, n, c->user)) {
        if (lucid_error_code() == LUCID_OK)
            luc_raise(LUCID_ERR_ARGUMENT, c->name, "fn: failed without raising an error");
        return false;
    }
    if (*n > MAX_OUTPUTS)
        return luc_raise(LUCID_ERR_ARGUMENT, c->name, "fn: expected at most %d outputs, got %zu",
                         MAX_OUTPUTS, *n);
    /* Integers (indices, masks) have no derivative: only the floating outputs are looked at. */
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        if (!outputs[i] || !luc_is_living(outputs[i], c->name, "fn: an output")) return false;
        if (lucid_dtype_is_floating(outputs[i]->view.dtype)) outputs[kept++] = outputs[i];
    }
    *n = kept;
    return true;
}

static bool is_checked(const lucid_tensor *t)
{
    return t && lucid_requires_grad(t);
}

static bool check_inputs(const check *c)
{
    bool any = false;
    if (!c->fn) return luc_raise(LUCID_ERR_ARGUMENT, c->name, "fn: expected a function, got NULL");
    if (!c->inputs && c->n_inputs)
        return luc_raise(LUCID_ERR_ARGUMENT, c->name, "inputs: expected %zu tensors, got NULL",
                         c->n_inputs);
    for (size_t i = 0; i < c->n_inputs; i++) {
        const lucid_tensor *t = c->inputs[i];
        if (!is_checked(t)) continue;
        any = true;
        if (t->view.dtype != LUCID_F64)
            return luc_raise(LUCID_ERR_ARGUMENT, c->name,
                             "inputs[%zu]: expected float64 (float32 is too coarse), got %s", i,
                             lucid_dtype_name(t->view.dtype));
        for (int d = 0; d < t->view.ndim; d++)
            if (t->view.strides[d] == 0 && t->view.dims[d] > 1)
                return luc_raise(LUCID_ERR_ARGUMENT, c->name,
                                 "inputs[%zu]: several elements of an expanded tensor are one in "
                                 "memory: they cannot be varied one by one",
                                 i);
    }
    return any || luc_raise(LUCID_ERR_ARGUMENT, c->name,
                            "inputs: none of the %zu requires a gradient", c->n_inputs);
}

/* Element `index`, row-major, of t, as a tensor on the same memory. */
static lucid_tensor *element(lucid_tensor *t, int64_t index)
{
    lucid_meta m = {.dtype = t->view.dtype, .offset = t->offset};
    for (int d = t->view.ndim - 1; d >= 0; d--) {
        m.offset += index % t->view.dims[d] * t->view.strides[d];
        index /= t->view.dims[d];
    }
    return luc_tensor_on(t->storage, &m, "gradcheck");
}

/* The outputs, one after the other, with element e at value. */
static bool values_at(const check *c, lucid_tensor *e, double value, double *values, size_t total)
{
    lucid_tensor *outputs[MAX_OUTPUTS];
    size_t n;
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!luc_fill_data(e, value, c->name) || !run(c, outputs, &n)) return false;
    for (size_t i = 0; i < n; i++) {
        size_t count = (size_t)outputs[i]->numel;
        if (count > total || !lucid_to_doubles(outputs[i], values, count))
            return luc_raise(LUCID_ERR_ARGUMENT, c->name, "fn: its outputs change their sizes");
        values += count;
        total -= count;
    }
    return total == 0 ||
           luc_raise(LUCID_ERR_ARGUMENT, c->name, "fn: its outputs change their sizes");
}

/* ---- the two Jacobians: [total outputs][elements of one input] ------------------------------- */

static bool numeric(const check *c, lucid_tensor *x, double *jacobian, size_t total,
                    double *scratch)
{
    const double eps = c->o.eps;
    for (int64_t k = 0; k < x->numel; k++) {
        LUCID_SCOPE;
        lucid_tensor *e = element(x, k);
        if (!e) return false;
        const double value = lucid_item(e);
        bool ok = values_at(c, e, value + eps, scratch, total) &&
                  values_at(c, e, value - eps, scratch + total, total);
        if (!luc_fill_data(e, value, c->name) || !ok) return false;
        for (size_t r = 0; r < total; r++)
            jacobian[r * (size_t)x->numel + (size_t)k] =
                (scratch[r] - scratch[total + r]) / (2 * eps);
    }
    return true;
}

/* Row by row: backward from element `index` of an output. grads: zeros where nothing arrives. */
static bool row(const check *c, lucid_tensor *output, int64_t index, lucid_tensor **grads)
{
    lucid_tensor *inputs[LUC_MAX_APPLY], *got[LUC_MAX_APPLY];
    size_t n = 0;
    for (size_t i = 0; i < c->n_inputs; i++) {
        grads[i] = NULL;
        if (is_checked(c->inputs[i])) inputs[n++] = c->inputs[i];
    }
    if (!lucid_requires_grad(output)) return true;
    lucid_meta m;
    luc_tensor_get_meta(output, &m);
    luc_contiguous_strides(m.ndim, m.dims, m.strides);
    lucid_tensor *one = luc_tensor_new(&m, output->storage->device, c->name);
    lucid_tensor *e = one ? element(one, index) : NULL;
    if (!e || !luc_fill_data(one, 0, c->name) || !luc_fill_data(e, 1, c->name)) return false;
    lucid_grad_options o = lucid_grad_defaults;
    o.gradients = &one;
    o.retain_graph = o.allow_unused = true;
    if (!lucid_grad_opt(&output, 1, inputs, n, got, &o)) return false;
    for (size_t i = 0, k = 0; i < c->n_inputs; i++)
        if (is_checked(c->inputs[i])) grads[i] = got[k++];
    return true;
}

static bool analytic(const check *c, lucid_tensor *const *outputs, size_t n_outputs,
                     double *const *jacobian)
{
    size_t r = 0;
    for (size_t i = 0; i < n_outputs; i++)
        for (int64_t k = 0; k < outputs[i]->numel; k++, r++) {
            LUCID_SCOPE;
            lucid_tensor *grads[LUC_MAX_APPLY];
            if (!row(c, outputs[i], k, grads)) return false;
            for (size_t j = 0; j < c->n_inputs; j++) {
                if (!jacobian[j]) continue;
                size_t count = (size_t)c->inputs[j]->numel;
                if (!grads[j])
                    memset(jacobian[j] + r * count, 0, count * sizeof(double));
                else if (!lucid_to_doubles(grads[j], jacobian[j] + r * count, count))
                    return false;
            }
        }
    return true;
}

/* ---- comparing ------------------------------------------------------------------------------- */

static luc_text index_text(const lucid_tensor *t, int64_t index)
{
    int64_t at[LUCID_MAX_DIMS];
    for (int d = t->view.ndim - 1; d >= 0; d--) {
        at[d] = index % t->view.dims[d];
        index /= t->view.dims[d];
    }
    return luc_dims_text(t->view.ndim, at);
}

static bool compare(const check *c, size_t input, lucid_tensor *const *outputs, size_t n_outputs,
                    const double *want, const double *got)
{
    const lucid_tensor *x = c->inputs[input];
    size_t at = 0;
    for (size_t i = 0; i < n_outputs; i++)
        for (int64_t r = 0; r < outputs[i]->numel; r++)
            for (int64_t k = 0; k < x->numel; k++, at++) {
                if (fabs(got[at] - want[at]) <= c->o.atol + c->o.rtol * fabs(want[at])) continue;
                return luc_raise(LUCID_ERR_STATE, c->name,
                                 "outputs[%zu]%s by inputs[%zu]%s: analytic %.9g, numeric %.9g", i,
                                 index_text(outputs[i], r).s, input, index_text(x, k).s, got[at],
                                 want[at]);
            }
    return true;
}

/* A second backward must give what the first one gave. */
static bool compare_again(const check *c, size_t input, const double *first, const double *second,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fabs(first[i] - second[i]) > c->o.nondet_tol)
            return luc_raise(LUCID_ERR_STATE, c->name,
                             "inputs[%zu]: two backwards differ: %.17g and %.17g", input, first[i],
                             second[i]);
    return true;
}

typedef struct tables {
    double *first[LUC_MAX_APPLY], *second[LUC_MAX_APPLY]; /* by input; NULL: not checked */
    double *numeric, *scratch;
} tables;

static bool allocate(const check *c, tables *t, size_t total)
{
    size_t largest = 0, count;
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (!is_checked(c->inputs[i])) continue;
        if (!luc_mul_size(total, (size_t)c->inputs[i]->numel, &count)) count = SIZE_MAX;
        if (count > largest) largest = count;
        t->first[i] = luc_calloc(count, sizeof(double), c->name);
        t->second[i] = luc_calloc(count, sizeof(double), c->name);
        if (!t->first[i] || !t->second[i]) return false;
    }
    t->numeric = luc_calloc(largest, sizeof(double), c->name);
    t->scratch = luc_calloc(total, 2 * sizeof(double), c->name);
    return t->numeric && t->scratch;
}

static void tables_free(tables *t)
{
    for (size_t i = 0; i < LUC_MAX_APPLY; i++) {
        luc_free(t->first[i]);
        luc_free(t->second[i]);
    }
    luc_free(t->numeric);
    luc_free(t->scratch);
}

static bool check_tables(const check *c, tables *t, lucid_tensor *const *outputs, size_t n_outputs,
                         size_t total)
{
    if (!allocate(c, t, total) || !analytic(c, outputs, n_outputs, t->first) ||
        !analytic(c, outputs, n_outputs, t->second))
        return false;
    for (size_t i = 0; i < c->n_inputs; i++) {
        if (!t->first[i]) continue;
        size_t n = total * (size_t)c->inputs[i]->numel;
        if (!compare_again(c, i, t->first[i], t->second[i], n) ||
            !numeric(c, c->inputs[i], t->numeric, total, t->scratch) ||
            !compare(c, i, outputs, n_outputs, t->numeric, t->first[i]))
            return false;
    }
    return true;
}

static bool check_all(const check *c)
{
    LUCID_SCOPE;
    LUCID_ENABLE_GRAD;
    lucid_tensor *outputs[MAX_OUTPUTS];
    size_t n, total = 0;
    if (c->n_inputs > LUC_MAX_APPLY)
        return luc_raise(LUCID_ERR_ARGUMENT, c->name, "inputs: expected at most %d, got %zu",
                         LUC_MAX_APPLY, c->n_inputs);
    if (!check_inputs(c) || !run(c, outputs, &n)) return false;
    for (size_t i = 0; i < n; i++) total += (size_t)outputs[i]->numel;
    tables t = {.numeric = NULL};
    bool ok = check_tables(c, &t, outputs, n, total);
    tables_free(&t);
    return ok;
}

bool lucid_gradcheck(lucid_check_fn fn, void *user, lucid_tensor *const *inputs, size_t n_inputs,
                     const lucid_gradcheck_options *options)
{
    const lucid_gradcheck_options *o = LUC_OPTIONS(lucid_gradcheck, options, "gradcheck");
    if (!o) return false;
    check c = {"gradcheck", fn, user, inputs, n_inputs, *o};
    return check_all(&c);
}

/* ---- second derivatives ---------------------------------------------------------------------- */

typedef struct second {
    lucid_check_fn fn;
    void *user;
    size_t n_inputs; /* of fn; the gradients of its outputs follow them */
} second;

/* The gradients of fn, as a function of fn's inputs and of the gradients of its outputs. */
static bool gradients_of(lucid_tensor *const *inputs, size_t n_inputs, lucid_tensor **outputs,
                         size_t *n_outputs, void *user)
{
    const second *s = user;
    lucid_tensor *made[MAX_OUTPUTS], *roots[MAX_OUTPUTS], *grads[MAX_OUTPUTS];
    lucid_tensor *wanted[LUC_MAX_APPLY], *got[LUC_MAX_APPLY];
    size_t n = 0, n_roots = 0, n_wanted = 0;
    LUCID_ENABLE_GRAD; /* the differences are taken without recording */
    if (!s->fn(inputs, s->n_inputs, made, &n, s->user)) return false;
    for (size_t i = 0; i < n && s->n_inputs + i < n_inputs; i++) {
        if (!is_checked(made[i])) continue;
        roots[n_roots] = made[i];
        grads[n_roots++] = inputs[s->n_inputs + i];
    }
    for (size_t i = 0; i < s->n_inputs; i++)
        if (is_checked(inputs[i])) wanted[n_wanted++] = inputs[i];
    lucid_grad_options o = lucid_grad_defaults;
    o.gradients = grads;
    o.create_graph = o.allow_unused = true;
    if (!lucid_grad_opt(roots, n_roots, wanted, n_wanted, got, &o)) return false;
    *n_outputs = 0;
    for (size_t i = 0; i < n_wanted; i++)
        if (got[i]) outputs[(*n_outputs)++] = got[i];
    return true;
}

/* Gradients to start from: fixed numbers, so that the default generator does not change. */
static lucid_tensor *start_gradient(const lucid_tensor *output, double seed)
{
    lucid_meta m;
    luc_tensor_get_meta(output, &m);
    luc_contiguous_strides(m.ndim, m.dims, m.strides);
    lucid_tensor *g = luc_tensor_new(&m, output->storage->device, "gradgradcheck");
    for (int64_t k = 0; g && k < g->numel; k++) {
        LUCID_SCOPE;
        lucid_tensor *e = element(g, k);
        if (!e || !luc_fill_data(e, cos(seed + 1.7 * (double)k), "gradgradcheck")) return NULL;
    }
    return lucid_requires_grad_(g, lucid_dtype_is_floating(m.dtype));
}

bool lucid_gradgradcheck(lucid_check_fn fn, void *user, lucid_tensor *const *inputs,
                         size_t n_inputs, const lucid_gradcheck_options *options)
{
    LUCID_SCOPE;
    LUCID_ENABLE_GRAD;
    lucid_tensor *all[LUC_MAX_APPLY], *outputs[MAX_OUTPUTS];
    size_t n = 0;
    const lucid_gradcheck_options *o = LUC_OPTIONS(lucid_gradcheck, options, "gradgradcheck");
    if (!o) return false;
    check c = {"gradgradcheck", fn, user, inputs, n_inputs, *o};
    if (n_inputs > LUC_MAX_APPLY)
        return luc_raise(LUCID_ERR_ARGUMENT, c.name, "inputs: expected at most %d, got %zu",
                         LUC_MAX_APPLY, n_inputs);
    if (!check_inputs(&c) || !run(&c, outputs, &n)) return false;
    if (n_inputs + n > LUC_MAX_APPLY)
        return luc_raise(LUCID_ERR_ARGUMENT, c.name,
                         "expected at most %d inputs and outputs together, got %zu", LUC_MAX_APPLY,
                         n_inputs + n);
    for (size_t i = 0; i < n_inputs; i++) all[i] = inputs[i];
    for (size_t i = 0; i < n; i++) {
        all[n_inputs + i] = start_gradient(outputs[i], (double)i + 0.3);
        if (!all[n_inputs + i]) return false;
    }
    second s = {fn, user, n_inputs};
    c.fn = gradients_of;
    c.user = &s;
    c.inputs = all;
    c.n_inputs = n_inputs + n;
    return check_all(&c);
}
