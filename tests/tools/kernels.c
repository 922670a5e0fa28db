/*
 * kernels.c: checks any operator's CPU kernels at any level against the generic level, and times
 * them.
 *
 *     kernels list [PATTERN]
 *     kernels check [NAME] [--level LEVEL]
 *     kernels time NAME [--level LEVEL] [--threads N] [--shape 32x64x28x28]
 *
 * Inputs are those of the operator's own samples (autograd/ops/), in all floating dtypes.
 * Elementwise operators also get longer rows, and rows of edge values: zeros of both signs,
 * infinities, NaN, the smallest and the largest numbers, in all pairs. `check` ends with 1 if any
 * result differs by more than the tests' tolerance.
 */
#define SAMPLES_WITHOUT_CRITERION
#include "tests/autograd/samples.h"

#include "backends/cpu/levels_priv.h"
#include "lucid/core/attrs.h"
#include "tests/bench/bench.h"

static const lucid_dtype dtypes[] = {LUCID_F64, LUCID_F32, LUCID_F16, LUCID_BF16};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

typedef struct {
    const char *command, *name, *level, *shape;
    int threads;
} arguments;

typedef struct {
    int compared, differ;
} score;

/* Whether the generic level's kernel takes these inputs in this dtype. */
static bool applies(const lucid_op *op, const lucid_sample *s, lucid_tensor *const *in,
                    lucid_tensor **out)
{
    luc_cpu_force(LUC_CPU_GENERIC);
    if (apply_sample(op, s, in, out)) return true;
    lucid_clear_error();
    return false;
}

/* Whether --level is absent or names this level. */
static bool wanted(const arguments *o, int level)
{
    return !o->level || strcmp(o->level, luc_cpu_level_name((luc_cpu_level)level)) == 0;
}

/* ---- check ---- */

static void compare(const arguments *o, const lucid_op *op, const lucid_sample *s, const char *data,
                    lucid_dtype dtype, lucid_tensor *const *in, score *total)
{
    lucid_tensor *want[LUCID_MAX_OUTPUTS], *got[LUCID_MAX_OUTPUTS];
    if (!applies(op, s, in, want)) return;
    for (int level = LUC_CPU_GENERIC; level >= 0; level = luc_cpu_next(level)) {
        if (level == LUC_CPU_GENERIC || !wanted(o, level)) continue;
        luc_cpu_force((luc_cpu_level)level);
        bool same = apply_sample(op, s, in, got);
        for (int k = 0; same && k < op->n_out; k++) same = is_same(got[k], want[k], dtype);
        total->compared++;
        if (same) continue;
        total->differ++;
        printf("%s at %s, %s, sample \"%s\", %s: differs from generic %s\n", op->name,
               luc_cpu_level_name((luc_cpu_level)level), lucid_dtype_name(dtype),
               s->name ? s->name : "", data, lucid_error());
        lucid_clear_error();
    }
}

/* Edge values of a dtype that is computed in float or double. */
static size_t edge_values(lucid_dtype dtype, double *values)
{
    const double tiny = dtype == LUCID_F64 ? 0x1p-1074 : dtype == LUCID_F16 ? 0x1p-24 : 0x1p-149;
    const double normal = dtype == LUCID_F64 ? 0x1p-1022 : dtype == LUCID_F16 ? 0x1p-14 : 0x1p-126;
    const double largest = dtype == LUCID_F64    ? 0x1.fffffffffffffp1023
                           : dtype == LUCID_F16  ? 65504.0
                           : dtype == LUCID_BF16 ? 0x1.fep127
                                                 : 0x1.fffffep127;
    const double all[] = {0.0,    -0.0, 1.0,    -1.0,   0.5,     INFINITY, -INFINITY,
                          NAN,    tiny, -tiny,  normal, -normal, largest,  -largest,
                          1.0009, 88.5, -103.5, 9.0625, -20.0,   0x1p-10};
    memcpy(values, all, sizeof all);
    return sizeof all / sizeof *all;
}

/* All pairs of edge values, the first of them in `first`. */
static lucid_tensor *edge_tensor(lucid_dtype dtype, bool first)
{
    double values[32], pairs[32 * 32];
    const size_t n = edge_values(dtype, values);
    for (size_t i = 0; i < n * n; i++) pairs[i] = values[first ? i / n : i % n];
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = dtype;
    lucid_shape shape = {2, {(int64_t)n, (int64_t)n}};
    return lucid_from_doubles_opt(shape, pairs, n * n, &options);
}

static bool is_elementwise(const lucid_op *op)
{
    return op->flags & LUCID_OP_BROADCAST;
}

static void check_sample(const arguments *o, const lucid_op *op, const lucid_sample *s,
                         score *total)
{
    lucid_tensor *in[LUCID_MAX_INPUTS];
    for (int t = 0; t < N_DTYPES; t++) {
        LUCID_SCOPE;
        make_inputs(op, s, dtypes[t], in);
        compare(o, op, s, "its own inputs", dtypes[t], in, total);
        if (!is_elementwise(op)) continue;
        const lucid_shape rows = {2, {7, 131}};
        for (int k = 0; k < s->n_in; k++)
            if (in[k]) in[k] = make_input(&s->in[k], rows, dtypes[t], seed_of(op, s, k));
        compare(o, op, s, "long rows", dtypes[t], in, total);
        for (int k = 0; k < s->n_in; k++)
            if (in[k] && s->in[k].dtype == LUCID_F32)
                in[k] = edge_tensor(dtypes[t], k == 0);
            else if (in[k])
                in[k] = make_input(&s->in[k], lucid_tensor_shape(edge_tensor(dtypes[t], true)),
                                   dtypes[t], 1);
        compare(o, op, s, "edge values", dtypes[t], in, total);
    }
}

static int check(const arguments *o)
{
    score total = {0, 0};
    const lucid_op *op;
    for (size_t i = 0; (op = lucid_op_at(i)); i++) {
        if (o->name && strcmp(o->name, op->name) != 0) continue;
        LUCID_NO_GRAD;
        for (int k = 0; k < op->n_samples; k++) check_sample(o, op, &op->samples[k], &total);
    }
    printf("%d comparisons with generic, %d differ\n", total.compared, total.differ);
    return total.differ > 0;
}

/* ---- time ---- */

typedef struct {
    const lucid_op *op;
    const lucid_sample *s;
    lucid_tensor *in[LUCID_MAX_INPUTS];
} timed;

static void run(void *context)
{
    const timed *t = context;
    lucid_tensor *out[LUCID_MAX_OUTPUTS];
    LUCID_SCOPE;
    if (!apply_sample(t->op, t->s, t->in, out)) abort();
}

/* "32x64x28x28" */
static bool read_shape(const char *text, lucid_shape *shape)
{
    char *end = (char *)(uintptr_t)text;
    for (shape->ndim = 0; shape->ndim < LUCID_MAX_DIMS; text = end + 1) {
        shape->dims[shape->ndim++] = strtoll(text, &end, 10);
        if (end == text || (*end && *end != 'x')) return false;
        if (!*end) return true;
    }
    return false;
}

/* The sizes of input k if input 0 gets the sizes `wanted`: sizes that were equal stay equal. */
static lucid_shape resized(const lucid_sample *s, int k, const lucid_shape *wanted)
{
    lucid_shape shape = s->in[k].shape;
    const lucid_shape *first = &s->in[0].shape;
    if (k == 0) return *wanted;
    for (int d = 0; d < shape.ndim; d++)
        for (int e = 0; e < first->ndim && e < wanted->ndim; e++)
            if (shape.dims[d] == first->dims[e] && first->dims[e] > 1) {
                shape.dims[d] = wanted->dims[e];
                break;
            }
    return shape;
}

static void time_sample(const arguments *o, const lucid_op *op, const lucid_sample *s,
                        const lucid_shape *shape)
{
    for (int t = 0; t < N_DTYPES; t++) {
        LUCID_SCOPE;
        timed job = {.op = op, .s = s};
        lucid_tensor *out[LUCID_MAX_OUTPUTS];
        for (int k = 0; k < s->n_in; k++)
            if (s->in[k].shape.ndim >= 0)
                job.in[k] = make_input(&s->in[k], shape ? resized(s, k, shape) : s->in[k].shape,
                                       dtypes[t], seed_of(op, s, k));
        if (!applies(op, s, job.in, out)) continue;
        printf("%-24s %-20.20s %-9s", op->name, s->name ? s->name : "",
               lucid_dtype_name(dtypes[t]));
        double generic = 0;
        for (int level = LUC_CPU_GENERIC; level >= 0; level = luc_cpu_next(level)) {
            if (!wanted(o, level)) continue;
            luc_cpu_force((luc_cpu_level)level);
            const double seconds = bench_time(run, &job);
            if (level == LUC_CPU_GENERIC) generic = seconds;
            printf("  %s %.2f us", luc_cpu_level_name((luc_cpu_level)level), seconds * 1e6);
            if (level != LUC_CPU_GENERIC && generic > 0) printf(" (%.1fx)", generic / seconds);
        }
        printf("\n");
    }
}

static int time_operator(const arguments *o)
{
    lucid_shape shape = {2, {1024, 1024}};
    const lucid_op *op = o->name ? lucid_op_find(o->name) : NULL;
    if (!op || (o->shape && !read_shape(o->shape, &shape))) {
        fprintf(stderr, "kernels: expected the name of an operator and sizes like 32x64x28x28\n");
        return 2;
    }
    const bool large = o->shape || is_elementwise(op);
    if (o->threads > 0) lucid_set_num_threads(o->threads);
    LUCID_NO_GRAD;
    for (int k = 0; k < op->n_samples; k++)
        time_sample(o, op, &op->samples[k], large ? &shape : NULL);
    return 0;
}

/* ---- list ---- */

static int list(const arguments *o)
{
    const lucid_op *op;
    for (int level = LUC_CPU_GENERIC; level >= 0; level = luc_cpu_next(level))
        printf("level %s\n", luc_cpu_level_name((luc_cpu_level)level));
    for (size_t i = 0; (op = lucid_op_at(i)); i++)
        if (!o->name || strstr(op->name, o->name))
            printf("%-28s %2d samples  %s\n", op->name, op->n_samples, op->doc);
    return 0;
}

/* ---- the command line ---- */

static int usage(void)
{
    fprintf(stderr, "kernels list [PATTERN]\n"
                    "kernels check [NAME] [--level LEVEL]\n"
                    "kernels time NAME [--level LEVEL] [--threads N] [--shape 32x64x28x28]\n");
    return 2;
}

static bool level_exists(const char *name)
{
    for (int level = LUC_CPU_GENERIC; level >= 0; level = luc_cpu_next(level))
        if (strcmp(name, luc_cpu_level_name((luc_cpu_level)level)) == 0) return true;
    fprintf(stderr, "kernels: %s: this machine and build have no such level\n", name);
    return false;
}

int main(int argc, char **argv)
{
    arguments o = {.command = argc > 1 ? argv[1] : ""};
    for (int i = 2; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (argv[i][0] != '-') {
            o.name = argv[i];
            continue;
        }
        if (!value) return usage();
        if (strcmp(argv[i], "--level") == 0)
            o.level = value;
        else if (strcmp(argv[i], "--shape") == 0)
            o.shape = value;
        else if (strcmp(argv[i], "--threads") == 0)
            o.threads = atoi(value);
        else
            return usage();
        i++;
    }
    if (o.level && !level_exists(o.level)) return 2;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    int result = 0;
    if (strcmp(o.command, "list") == 0)
        result = list(&o);
    else if (strcmp(o.command, "check") == 0)
        result = check(&o);
    else if (strcmp(o.command, "time") == 0)
        result = time_operator(&o);
    else
        return usage();
    return lucid_finish() != 0 ? 1 : result;
}
