/* operators.c: every operator of the list, timed on its first sample; an operator that works
 * element by element on a million of them. A new operator has its row without a change to this
 * file.
 *
 *     ./run bench operators [PATTERN...]     times; forward+backward where there is a derivative
 *     ./run bench operators --list           the index: name, arguments, what it computes */
#include "bench.h"

#include "lucid/extend.h"

enum { ELEMENTS = 1 << 20 };

/* The number of inputs of an elementwise operator, by core/ops.def; 0 for the others. */
static int elementwise_inputs(const lucid_op *op)
{
    switch (op->id) {
#define LUC_UNARY(name, type, numbers, call) \
    case LUCID_OP_##name:                    \
        return 1;
#define LUC_BINARY(name, type, numbers, call) \
    case LUCID_OP_##name:                     \
        return 2;
#include "lucid/core/ops.def"
    default:
        return 0;
    }
}

typedef struct job {
    const lucid_op *op;
    const lucid_sample *sample;
    lucid_tensor *in[LUCID_MAX_INPUTS], *out[LUCID_MAX_OUTPUTS];
    bool failed;
} job;

static lucid_tensor *make_input(const lucid_sample_input *in, bool large)
{
    const lucid_shape shape = large ? (lucid_shape){1, {ELEMENTS}} : in->shape;
    const double low = in->low == in->high ? -1 : in->low,
                 high = in->low == in->high ? 1 : in->high;
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = LUCID_F64;
    lucid_tensor *x = lucid_rand_opt(shape, &o);
    x = lucid_add_scalar(lucid_mul_scalar(x, high - low), low);
    /* The fraction is cut off: integers in [low, high). */
    return lucid_cast(x, in->dtype);
}

static void forward(void *context)
{
    job *j = context;
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    if (!lucid_apply_multi(j->op, j->in, j->sample->n_in, j->sample->attrs, j->out))
        j->failed = true;
}

static void forward_backward(void *context)
{
    job *j = context;
    LUCID_SCOPE;
    lucid_tensor *x = j->in[0], *grad = NULL;
    if (!lucid_apply_multi(j->op, j->in, j->sample->n_in, j->sample->attrs, j->out)) {
        j->failed = true;
        return;
    }
    lucid_tensor_options o = lucid_tensor_defaults;
    o.dtype = lucid_tensor_dtype(j->out[0]);
    lucid_tensor *start = lucid_ones_opt(lucid_tensor_shape(j->out[0]), &o);
    if (!lucid_grad(j->out, 1, &x, 1, &grad, .gradients = &start, .allow_unused = true))
        j->failed = true;
}

static void row(const lucid_op *op)
{
    LUCID_SCOPE;
    job j = {.op = op, .sample = &op->samples[0]};
    const bool large = elementwise_inputs(op) > 0;
    char name[64];
    for (int i = 0; i < j.sample->n_in; i++) {
        const lucid_sample_input *in = &j.sample->in[i];
        j.in[i] = in->shape.ndim < 0 ? NULL : make_input(in, large);
        if (j.in[i] && !in->no_grad && in->dtype == LUCID_F32 && op->vjp)
            lucid_requires_grad_(j.in[i], true);
    }
    const double work = large ? ELEMENTS * 1e-9 : 0;
    const double seconds = bench_time(forward, &j);
    if (j.failed)
        printf("%-44s %s\n", op->name, lucid_error());
    else
        bench_row(op->name, seconds, work, "Gelements/s");
    if (j.failed || !op->vjp || !j.in[0] || !lucid_requires_grad(j.in[0])) {
        lucid_clear_error();
        return;
    }
    snprintf(name, sizeof name, "%s, forward+backward", op->name);
    const double both = bench_time(forward_backward, &j);
    if (!j.failed) bench_row(name, both, work, "Gelements/s");
    lucid_clear_error();
}

/* A cell of a Markdown table, in which "|" is written "\\|". */
static void print_cell(const char *text)
{
    fputs("| ", stdout);
    for (; text && *text; text++) {
        if (*text == '|') putchar('\\');
        putchar(*text);
    }
    putchar(' ');
}

static void print_entry(const lucid_op *op)
{
    static const char *const policies[] = {"", "low precision", "float32", "widest"};
    print_cell(op->name);
    print_cell(op->schema);
    print_cell(op->doc);
    print_cell(op->vjp ? "yes" : "no");
    print_cell(policies[op->autocast]);
    puts("|");
}

int main(int argc, char **argv)
{
    const bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
    const lucid_op *op;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    if (list)
        puts("| operator | arguments | computes | derivative | in autocast |\n"
             "| --- | --- | --- | --- | --- |");
    for (size_t i = 0; (op = lucid_op_at(i)); i++) {
        if (list)
            print_entry(op);
        else if (op->n_samples && bench_wanted(argc, argv, op->name))
            row(op);
    }
    return lucid_finish();
}
