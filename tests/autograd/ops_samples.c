/* ops_samples.c: tests of every operator by its own samples: shapes, derivatives, layouts, CPU
 * levels, what is recorded and what is kept. A new operator is tested by this file without a change
 * to it. */
#include "samples.h"

#include "backends/cpu/levels_priv.h"
#include "lucid/core/attrs.h"

static void setup(void)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
}
static void teardown(void)
{
    cr_expect_eq(lucid_finish(), 0);
}
TestSuite(ops_samples, .init = setup, .fini = teardown, .timeout = 300);

/* ---- what an operator must have ---- */

/* Gradients of other operators, without a function of their own: they get what those were given. */
static bool is_helper(const lucid_op *op)
{
    return strstr(op->name, "_backward") || op->id == LUCID_OP_index_add ||
           op->id == LUCID_OP_scatter_add || op->id == LUCID_OP_max_pool2d_gather;
}

Test(ops_samples, every_operator_is_whole)
{
    const lucid_op *op;
    size_t n = 0;
    for (size_t i = 0; (op = lucid_op_at(i)); i++, n++) {
        cr_expect_eq(lucid_op_find(op->name), op, "%s: is not found by its name", op->name);
        cr_expect(op->schema && op->schema[0], "%s: has no schema", op->name);
        cr_expect(op->doc && op->doc[0], "%s: has no doc", op->name);
        cr_expect_gt(op->n_samples, 0, "%s: has no samples", op->name);
        cr_expect(op->n_bad_samples > 0 || op->n_in == 1 || is_helper(op),
                  "%s: has several inputs and no bad samples", op->name);
        cr_expect(op->vjp || op->flags & LUCID_OP_NO_GRAD,
                  "%s: has no vjp and is not marked LUCID_OP_NO_GRAD", op->name);
        if (op->vjp) {
            bool any = false;
            for (int k = 0; k < op->n_samples; k++)
                for (int j = 0; j < op->samples[k].n_in; j++)
                    any |= !op->samples[k].in[j].no_grad && op->samples[k].in[j].dtype == LUCID_F32;
            cr_expect(any, "%s: no sample has an input that is differentiated", op->name);
        }
    }
    cr_expect_gt(n, 50);
    cr_expect_null(lucid_op_find("no_such_operator"));
    cr_expect_null(lucid_op_find(NULL));
}

/* ---- inferred and actual ---- */

static void check_shape(const lucid_op *op, const lucid_sample *s)
{
    lucid_tensor *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS];
    lucid_call c;
    make_inputs(op, s, LUCID_F32, in);
    bool ok = luc_call_begin(&c, op, in, s->n_in, s->attrs);
    EXPECT_SAMPLE(ok, "is refused");
    if (!ok) return;
    ok = apply_sample(op, s, in, out);
    EXPECT_SAMPLE(ok, "fails");
    for (int k = 0; ok && k < op->n_out; k++) {
        const lucid_meta *m = &c.out[k];
        const lucid_view *v = &out[k]->view;
        EXPECT_SAMPLE(luc_dims_equal(m->ndim, m->dims, v->ndim, v->dims), "sizes");
        EXPECT_SAMPLE(m->dtype == v->dtype, "dtype");
        for (int d = 0; d < v->ndim; d++)
            EXPECT_SAMPLE(v->dims[d] < 2 || m->strides[d] == v->strides[d], "strides");
    }
}

Test(ops_samples, inferred_is_actual)
{
    for_all_samples(check_shape);
}

/* ---- derivatives ---- */

typedef struct checked {
    const lucid_op *op;
    const lucid_sample *s;
    uint32_t outputs;
} checked;

static bool as_check_fn(lucid_tensor *const *inputs, size_t n, lucid_tensor **outputs,
                        size_t *n_outputs, void *user)
{
    const checked *c = user;
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    (void)n;
    if (!apply_sample(c->op, c->s, inputs, out)) return false;
    *n_outputs = 0;
    for (int k = 0; k < c->op->n_out; k++)
        if (c->outputs >> k & 1) outputs[(*n_outputs)++] = out[k];
    return true;
}

static bool begin_check(const lucid_op *op, const lucid_sample *s, lucid_tensor **in, checked *c)
{
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    if (op->flags & LUCID_OP_NO_GRAD) return false;
    make_inputs(op, s, LUCID_F64, in);
    require_gradients(s, in, ~0u);
    bool ok = apply_sample(op, s, in, out);
    EXPECT_SAMPLE(ok, "fails");
    if (!ok || !lucid_requires_grad(out[0])) return false;
    *c = (checked){op, s, differentiable_outputs(op, s, in, out)};
    EXPECT_SAMPLE(c->outputs & 1, "no gradient comes from output 0");
    return c->outputs & 1;
}

static void check_gradients(const lucid_op *op, const lucid_sample *s)
{
    lucid_tensor *in[LUCID_MAX_INPUTS];
    checked c;
    if (begin_check(op, s, in, &c))
        EXPECT_SAMPLE(lucid_gradcheck(as_check_fn, &c, in, (size_t)s->n_in, NULL), "gradient");
}

static void check_second(const lucid_op *op, const lucid_sample *s)
{
    lucid_tensor *in[LUCID_MAX_INPUTS];
    checked c;
    if (!s->no_second && begin_check(op, s, in, &c))
        EXPECT_SAMPLE(lucid_gradgradcheck(as_check_fn, &c, in, (size_t)s->n_in, NULL),
                      "second derivative");
}

/* Small tensors: waiting for other threads would take most of the time. */
Test(ops_samples, gradcheck)
{
    lucid_set_num_threads(1);
    for_all_samples(check_gradients);
}

Test(ops_samples, gradgradcheck)
{
    lucid_set_num_threads(1);
    for_all_samples(check_second);
}

/* ---- the same numbers in any layout ---- */

typedef enum layout { TRANSPOSED, WITH_GAPS, CHANNELS_LAST, EXPANDED, LAYOUTS } layout;
static const char *const layout_names[] = {"transposed", "with gaps", "channels_last", "expanded"};

static lucid_tensor *reversed(lucid_tensor *x)
{
    lucid_shape order = {.ndim = x->view.ndim};
    for (int d = 0; d < order.ndim; d++) order.dims[d] = order.ndim - 1 - d;
    return lucid_permute_opt(x, order);
}

static lucid_tensor *in_layout(lucid_tensor *x, layout l)
{
    const int ndim = x->view.ndim;
    lucid_shape shape = lucid_tensor_shape(x);
    if (ndim == 0) return x;
    switch (l) {
    case TRANSPOSED:
        return reversed(lucid_clone(reversed(x), LUCID_CONTIGUOUS));
    case WITH_GAPS: {
        lucid_tensor_options o = lucid_tensor_defaults;
        o.dtype = x->view.dtype;
        shape.dims[ndim - 1] *= 2;
        lucid_tensor *wide = lucid_slice(lucid_zeros_opt(shape, &o), -1, 0, INT64_MAX, 2);
        return lucid_copy_(wide, x);
    }
    case CHANNELS_LAST:
        return ndim == 4 || ndim == 5 ? lucid_clone(x, LUCID_CHANNELS_LAST) : x;
    default:
        return shape.dims[0] ? lucid_expand_opt(lucid_narrow(x, 0, 0, 1), shape) : x;
    }
}

/* These look at memory, not at elements. */
static bool depends_on_layout(const lucid_op *op)
{
    return op->id == LUCID_OP_as_strided || op->id == LUCID_OP_view;
}

static void compare_layout(const lucid_op *op, const lucid_sample *s, layout l)
{
    lucid_tensor *plain[LUCID_MAX_INPUTS], *in[LUCID_MAX_INPUTS];
    lucid_tensor *want[LUCID_MAX_OUTPUTS], *got[LUCID_MAX_OUTPUTS];
    lucid_tensor *want_grad[LUCID_MAX_INPUTS], *got_grad[LUCID_MAX_INPUTS];
    {
        LUCID_NO_GRAD;
        make_inputs(op, s, LUCID_F64, plain);
        for (int i = 0; i < s->n_in; i++) {
            in[i] = plain[i] ? in_layout(plain[i], l) : NULL;
            plain[i] = in[i] ? lucid_clone(in[i], LUCID_CONTIGUOUS) : NULL;
        }
    }
    require_gradients(s, plain, ~0u);
    require_gradients(s, in, ~0u);
    bool ok = apply_sample(op, s, plain, want) && apply_sample(op, s, in, got);
    EXPECT_SAMPLE(ok, layout_names[l]);
    for (int k = 0; ok && k < op->n_out; k++)
        EXPECT_SAMPLE(is_same(got[k], want[k], LUCID_F64), layout_names[l]);
    ok = ok && gradients(op, s, plain, want, want_grad) && gradients(op, s, in, got, got_grad);
    EXPECT_SAMPLE(ok, layout_names[l]);
    for (int i = 0; ok && i < s->n_in; i++)
        EXPECT_SAMPLE(is_same(got_grad[i], want_grad[i], LUCID_F64), layout_names[l]);
}

static void check_layouts(const lucid_op *op, const lucid_sample *s)
{
    for (int l = 0; l < LAYOUTS && !depends_on_layout(op); l++) {
        LUCID_SCOPE;
        compare_layout(op, s, (layout)l);
    }
}

Test(ops_samples, any_layout_gives_the_same_numbers)
{
    for_all_samples(check_layouts);
}

/* ---- empty tensors ---- */

/* Views, and operators whose attributes or indices belong to certain sizes, are not for others. */
static bool has_sizes(const lucid_op *op)
{
    return is_helper(op) || op->flags & LUCID_OP_VIEW || op->attrs_size == sizeof(lucid_view_attrs);
}

/* Dimension d of input 0, and those that have the same size there, become empty. What the operator
 * then takes must work, backward too. */
static bool try_empty(const lucid_op *op, const lucid_sample *s, int d)
{
    lucid_tensor *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS], *grads[LUCID_MAX_INPUTS];
    const lucid_shape *first = &s->in[0].shape;
    for (int i = 0; i < s->n_in; i++) {
        lucid_shape shape = s->in[i].shape;
        in[i] = NULL;
        if (shape.ndim < 0) continue;
        if (d < shape.ndim && d < first->ndim && shape.dims[d] == first->dims[d]) shape.dims[d] = 0;
        in[i] = make_input(&s->in[i], shape, LUCID_F64, seed_of(op, s, i));
    }
    require_gradients(s, in, ~0u);
    if (!apply_sample(op, s, in, out)) {
        cr_expect_eq(lucid_error_code(), LUCID_ERR_ARGUMENT, "%s: %s", op->name, lucid_error());
        lucid_clear_error();
        return false;
    }
    bool ok = gradients(op, s, in, out, grads);
    EXPECT_SAMPLE(ok, "with an empty dimension");
    return ok;
}

static int took_empty;

static void check_empty(const lucid_op *op, const lucid_sample *s)
{
    for (int d = 0; d < s->in[0].shape.ndim && !has_sizes(op); d++) {
        LUCID_SCOPE;
        took_empty += try_empty(op, s, d);
    }
}

Test(ops_samples, empty_where_legal)
{
    took_empty = 0;
    for_all_samples(check_empty);
    cr_expect_gt(took_empty, 100, "only %d samples could be emptied", took_empty);
}

/* ---- CPU levels and dtypes ---- */

static void compare_levels(const lucid_op *op, const lucid_sample *s, lucid_tensor *const *in,
                           lucid_dtype dtype)
{
    lucid_tensor *want[LUCID_MAX_OUTPUTS], *got[LUCID_MAX_OUTPUTS];
    luc_cpu_force(LUC_CPU_GENERIC);
    bool ok = apply_sample(op, s, in, want);
    bool small = dtype == LUCID_F16 || dtype == LUCID_BF16;
    if (!ok && small && lucid_error_code() == LUCID_ERR_UNSUPPORTED) {
        lucid_clear_error(); /* no level has it */
        return;
    }
    EXPECT_SAMPLE(ok, "reference kernel");
    for (int level = luc_cpu_next(LUC_CPU_GENERIC); ok && level >= 0; level = luc_cpu_next(level)) {
        luc_cpu_force((luc_cpu_level)level);
        ok = apply_sample(op, s, in, got);
        EXPECT_SAMPLE(ok, luc_cpu_level_name((luc_cpu_level)level));
        for (int k = 0; ok && k < op->n_out; k++)
            EXPECT_SAMPLE(is_same(got[k], want[k], dtype), lucid_dtype_name(dtype));
    }
    luc_cpu_force(luc_cpu_best());
}

static void check_levels(const lucid_op *op, const lucid_sample *s)
{
    const lucid_dtype dtypes[] = {LUCID_F64, LUCID_F32, LUCID_F16, LUCID_BF16};
    lucid_tensor *in[LUCID_MAX_INPUTS];
    for (size_t i = 0; i < 4; i++) {
        LUCID_SCOPE;
        LUCID_NO_GRAD;
        make_inputs(op, s, dtypes[i], in);
        compare_levels(op, s, in, dtypes[i]);
        if (!(op->flags & LUCID_OP_BROADCAST)) continue;
        /* Long enough for the vectors' main loops. */
        lucid_shape shape = {2, {7, 131}};
        for (int k = 0; k < s->n_in; k++)
            if (in[k]) in[k] = make_input(&s->in[k], shape, dtypes[i], seed_of(op, s, k));
        compare_levels(op, s, in, dtypes[i]);
    }
}

Test(ops_samples, every_level_agrees_with_the_reference)
{
    for_all_samples(check_levels);
}

/* Where an operator has both a kernel and a form in other operators, as backends without that
 * kernel use it, they agree. */
static void check_compose(const lucid_op *op, const lucid_sample *s)
{
    lucid_tensor *in[LUCID_MAX_INPUTS], *want[LUCID_MAX_OUTPUTS], *got[LUCID_MAX_OUTPUTS];
    lucid_call c;
    LUCID_NO_GRAD;
    make_inputs(op, s, LUCID_F64, in);
    if (!op->compose || !luc_call_begin(&c, op, in, s->n_in, s->attrs)) return;
    if (!luc_call_kernel(&c).run) return;
    bool ok = apply_sample(op, s, in, want) && op->compose(&c, got);
    EXPECT_SAMPLE(ok, "in other operators");
    for (int k = 0; ok && k < op->n_out; k++)
        EXPECT_SAMPLE(is_same(got[k], want[k], LUCID_F64), "in other operators");
}

Test(ops_samples, other_operators_agree_with_the_kernel)
{
    for_all_samples(check_compose);
}

/* float32 and the 16-bit types against float64, from inputs that all of them hold exactly. */
static void check_dtypes(const lucid_op *op, const lucid_sample *s)
{
    const lucid_dtype dtypes[] = {LUCID_F32, LUCID_F16, LUCID_BF16};
    LUCID_NO_GRAD;
    for (size_t i = 0; i < 3; i++) {
        LUCID_SCOPE;
        lucid_tensor *in[LUCID_MAX_INPUTS], *wide[LUCID_MAX_INPUTS];
        lucid_tensor *got[LUCID_MAX_OUTPUTS], *want[LUCID_MAX_OUTPUTS];
        make_inputs(op, s, LUCID_F64, wide);
        for (int k = 0; k < s->n_in; k++) {
            in[k] = wide[k];
            if (!wide[k] || s->in[k].dtype != LUCID_F32) continue;
            in[k] = lucid_cast(wide[k], dtypes[i]);
            wide[k] = lucid_cast(in[k], LUCID_F64);
        }
        bool ok = apply_sample(op, s, wide, want);
        EXPECT_SAMPLE(ok, "float64");
        ok = ok && apply_sample(op, s, in, got);
        if (!ok && i > 0 && lucid_error_code() == LUCID_ERR_UNSUPPORTED) {
            lucid_clear_error();
            continue;
        }
        EXPECT_SAMPLE(ok, lucid_dtype_name(dtypes[i]));
        for (int k = 0; ok && k < op->n_out; k++)
            EXPECT_SAMPLE(
                is_same(lucid_cast(got[k], LUCID_F64), lucid_cast(want[k], LUCID_F64), dtypes[i]),
                lucid_dtype_name(dtypes[i]));
    }
}

Test(ops_samples, narrower_dtypes_agree_with_float64)
{
    for_all_samples(check_dtypes);
}

/* ---- what is recorded and kept ---- */

static void check_no_grad(const lucid_op *op, const lucid_sample *s)
{
    lucid_tensor *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS];
    make_inputs(op, s, LUCID_F32, in);
    require_gradients(s, in, ~0u);
    LUCID_NO_GRAD;
    EXPECT_SAMPLE(apply_sample(op, s, in, out), "fails under no_grad");
    EXPECT_SAMPLE(lucid_live().nodes == 0, "records under no_grad");
    for (int k = 0; k < op->n_out; k++)
        EXPECT_SAMPLE(!lucid_requires_grad(out[k]), "requires a gradient under no_grad");
}

Test(ops_samples, nothing_is_recorded_under_no_grad)
{
    for_all_samples(check_no_grad);
}

/* Takes saved tensor `gone` away: a backward that does not miss it need not have kept it. */
static void check_saved_one(const lucid_op *op, const lucid_sample *s, uint32_t which, int gone,
                            int *n_saved)
{
    lucid_tensor *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS], *grads[LUCID_MAX_INPUTS];
    make_inputs(op, s, LUCID_F64, in);
    require_gradients(s, in, which);
    *n_saved = 0;
    if (!apply_sample(op, s, in, out) || !out[0]->grad_fn) return;
    lucid_node *n = out[0]->grad_fn;
    *n_saved = n->n_saved;
    if (gone >= n->n_saved) return;
    const int kept = n->saved[gone].which;
    luc_storage_release(n->saved[gone].storage);
    n->saved[gone].storage = NULL;
    bool missed = !gradients(op, s, in, out, grads);
    lucid_clear_error();
    cr_expect(missed, "%s, sample \"%s\": keeps %s %d, which its vjp does not use (needs %x)",
              op->name, s->name ? s->name : "", kept < 16 ? "input" : "output", kept % 16, which);
}

static void check_saved(const lucid_op *op, const lucid_sample *s)
{
    if (op->flags & LUCID_OP_NO_GRAD) return;
    for (uint32_t which = 1; which < 1u << s->n_in; which++)
        for (int gone = 0, n_saved = 1; gone < n_saved; gone++) {
            LUCID_SCOPE;
            check_saved_one(op, s, which, gone, &n_saved);
        }
}

Test(ops_samples, only_what_the_vjp_uses_is_kept)
{
    for_all_samples(check_saved);
}

/* Each subset of inputs that require gradients gives the same gradients as all of them. */
static void check_subsets(const lucid_op *op, const lucid_sample *s)
{
    lucid_tensor *all[LUCID_MAX_INPUTS] = {NULL};
    if (op->flags & LUCID_OP_NO_GRAD) return;
    const uint32_t full = (1u << s->n_in) - 1;
    for (uint32_t which = full; which > 0; which--) {
        lucid_tensor *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS], *grads[LUCID_MAX_INPUTS];
        make_inputs(op, s, LUCID_F64, in);
        require_gradients(s, in, which);
        bool ok = apply_sample(op, s, in, out) && gradients(op, s, in, out, grads);
        EXPECT_SAMPLE(ok, "some inputs only");
        for (int i = 0; ok && i < s->n_in; i++) {
            if (which == full) all[i] = grads[i];
            if (which >> i & 1 && is_differentiable(&s->in[i], in[i]))
                EXPECT_SAMPLE(is_same(grads[i], all[i], LUCID_F64), "some inputs only");
            else
                EXPECT_SAMPLE(!grads[i], "a gradient that nobody asked for");
        }
    }
}

Test(ops_samples, any_inputs_may_require_gradients)
{
    for_all_samples(check_subsets);
}

/* ---- refusals ---- */

static void check_bad(const lucid_op *op, const lucid_sample *s)
{
    lucid_tensor *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS];
    make_inputs(op, s, LUCID_F32, in);
    size_t length = strlen(op->name);
    cr_expect_not(apply_sample(op, s, in, out), "%s, bad sample \"%s\" is taken", op->name,
                  s->name);
    const char *message = lucid_error();
    cr_expect(s->error && s->error[0] && strstr(message, s->error),
              "%s, bad sample \"%s\": the message is \"%s\", without \"%s\"", op->name, s->name,
              message, s->error ? s->error : "");
    cr_expect(strncmp(message, op->name, length) == 0 && message[length] == ':',
              "%s, bad sample \"%s\": the message \"%s\" does not name the operator", op->name,
              s->name, message);
    for (int k = 0; k < op->n_out; k++) cr_expect_null(out[k]);
    lucid_clear_error();
}

Test(ops_samples, bad_samples_are_refused)
{
    const lucid_op *op;
    for (size_t i = 0; (op = lucid_op_at(i)); i++)
        for (int k = 0; k < op->n_bad_samples; k++) {
            LUCID_SCOPE;
            check_bad(op, &op->bad_samples[k]);
        }
}
