/* einsum.c: sums of products by Einstein's convention, as a chain of matrix products. */
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/arrange.h"
#include "autograd/ops/arrange_priv.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/products.h"
#include "autograd/ops/reduction.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <ctype.h>

static const char op[] = "einsum";

/* A dimension's label: a letter, or DOTS + i for dimension i of "...", counted from its end. */
enum { DOTS = 128, LABELS = DOTS + LUCID_MAX_DIMS, TERM = 64 };
typedef struct labels {
    int n;
    unsigned char at[TERM];
} labels;

/* An operand, and a label for each of its dimensions. */
typedef struct operand {
    lucid_tensor *x;
    labels l;
} operand;

static int place_of(const labels *l, int label)
{
    for (int i = 0; i < l->n; i++)
        if (l->at[i] == label) return i;
    return -1;
}

/* ---- the equation ---------------------------------------------------------------------------- */

static bool bad_equation(const char *equation, const char *expected)
{
    return luc_raise(LUCID_ERR_ARGUMENT, op, "equation: expected %s, got \"%.200s\"", expected,
                     equation);
}

/* Reads a term up to its end; "..." stands for `dots` dimensions, or with -1 is found in *dots. */
static bool read_term(const char *equation, const char **text, int dots, labels *l, bool *has_dots)
{
    l->n = 0;
    *has_dots = false;
    for (const char *p = *text;; p++) {
        if (*p == ' ') continue;
        if (*p == '\0' || *p == ',' || *p == '-') {
            *text = p;
            return true;
        }
        if (l->n + LUCID_MAX_DIMS > TERM) return bad_equation(equation, "shorter terms");
        if (isalpha((unsigned char)*p)) {
            l->at[l->n++] = (unsigned char)*p;
        } else if (p[0] == '.' && p[1] == '.' && p[2] == '.' && !*has_dots) {
            *has_dots = true;
            for (int i = dots - 1; i >= 0; i--) l->at[l->n++] = (unsigned char)(DOTS + i);
            p += 2;
        } else {
            return bad_equation(equation, "letters, \"...\", \",\" and \"->\"");
        }
    }
}

/* Reads the term of an operand; *most is the largest number of dimensions of "..." so far. */
static bool read_operand(const char *equation, const char **text, operand *o, int *most)
{
    const char *begin = *text;
    bool has_dots;
    if (!read_term(equation, text, 0, &o->l, &has_dots)) return false;
    const int dots = o->x->view.ndim - o->l.n;
    if (dots < 0 || (dots > 0 && !has_dots))
        return luc_raise(
            LUCID_ERR_ARGUMENT, op, "operands: expected %d dimensions by \"%.*s\", got %s", o->l.n,
            (int)(*text - begin < 100 ? *text - begin : 100), begin, luc_shape_text(o->x).s);
    if (dots > *most) *most = dots;
    *text = begin;
    return read_term(equation, text, dots, &o->l, &has_dots);
}

/* Without "->": the dimensions of "...", then the letters that stand once, in order. */
static void implied_output(const operand *operands, size_t n, int dots, labels *out)
{
    out->n = 0;
    for (int i = dots - 1; i >= 0; i--) out->at[out->n++] = (unsigned char)(DOTS + i);
    for (int letter = 'A'; letter <= 'z'; letter++) {
        int count = 0;
        for (size_t i = 0; i < n; i++)
            for (int d = 0; d < operands[i].l.n; d++) count += operands[i].l.at[d] == letter;
        if (count == 1 && out->n < TERM) out->at[out->n++] = (unsigned char)letter;
    }
}

static bool read_output(const char *equation, const char *text, const operand *operands, size_t n,
                        int dots, labels *out)
{
    bool has_dots;
    if (*text == '\0') {
        implied_output(operands, n, dots, out);
    } else {
        if (text[0] != '-' || text[1] != '>')
            return bad_equation(equation, "one term for each operand");
        text += 2;
        if (!read_term(equation, &text, dots, out, &has_dots)) return false;
        if (*text) return bad_equation(equation, "one \"->\"");
    }
    for (int i = 0; i < out->n; i++) {
        bool found = out->at[i] >= DOTS;
        for (size_t k = 0; k < n && !found; k++) found = place_of(&operands[k].l, out->at[i]) >= 0;
        if (!found) return bad_equation(equation, "letters of the operands after \"->\"");
        if (place_of(out, out->at[i]) != i)
            return bad_equation(equation, "each letter once after \"->\"");
    }
    return out->n <= LUCID_MAX_DIMS || bad_equation(equation, "at most 8 dimensions after \"->\"");
}

/* ---- computing ------------------------------------------------------------------------------- */

/* Takes the diagonal where a letter stands twice. */
static bool take_diagonals(operand *o)
{
    for (int i = 0; i < o->l.n; i++) {
        int j = i + 1;
        while (j < o->l.n && o->l.at[j] != o->l.at[i]) j++;
        if (j == o->l.n) continue;
        if (o->x->view.dims[i] != o->x->view.dims[j])
            return luc_raise(
                LUCID_ERR_ARGUMENT, op,
                "operands: expected equal sizes for \"%c\", which stands twice, got %s", o->l.at[i],
                luc_shape_text(o->x).s);
        const unsigned char label = o->l.at[i];
        if (!(o->x = lucid_diagonal(o->x, 0, i, j))) return false;
        int n = 0;
        for (int d = 0; d < o->l.n; d++)
            if (d != i && d != j) o->l.at[n++] = o->l.at[d];
        o->l.at[n++] = label;
        o->l.n = n;
        i = -1;
    }
    return true;
}

/* Sums over the dimensions whose labels are not wanted. */
static bool sum_unwanted(operand *o, const bool *wanted)
{
    lucid_shape dims = {.ndim = 0};
    int n = 0;
    for (int d = 0; d < o->l.n; d++) {
        if (wanted[o->l.at[d]])
            o->l.at[n++] = o->l.at[d];
        else
            dims.dims[dims.ndim++] = d;
    }
    o->l.n = n;
    const lucid_dtype dtype = o->x->view.dtype;
    if (dims.ndim) o->x = lucid_sum_opt(o->x, dims, NULL);
    o->x = o->x ? lucid_cast(o->x, dtype) : NULL;
    return o->x != NULL;
}

/* o as [batch, rows, columns]: the groups of labels, in their order. */
static lucid_tensor *as_matrices(const operand *o, const labels *groups, const int64_t *sizes)
{
    lucid_shape order = {.ndim = 0}, full = {.ndim = 0};
    int64_t product[3] = {1, 1, 1};
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < groups[g].n; i++) {
            order.dims[order.ndim++] = place_of(&o->l, groups[g].at[i]);
            full.dims[full.ndim++] = sizes[groups[g].at[i]];
            product[g] *= sizes[groups[g].at[i]];
        }
    lucid_tensor *x = lucid_permute_opt(o->x, order);
    x = x ? lucid_expand_opt(x, full) : NULL; /* a size 1 meets a larger one */
    return x ? lucid_reshape_opt(x, LUCID_SHAPE(product[0], product[1], product[2])) : NULL;
}

static void append(labels *l, int label)
{
    l->at[l->n++] = (unsigned char)label;
}

/* a becomes the product of a and b, summed over labels of both that are not wanted. */
static bool contract(operand *a, operand *b, const bool *wanted)
{
    bool in_a[LABELS] = {false}, in_b[LABELS] = {false}, keep[LABELS];
    int64_t sizes[LABELS];
    for (int i = 0; i < b->l.n; i++) {
        in_b[b->l.at[i]] = true;
        sizes[b->l.at[i]] = b->x->view.dims[i];
    }
    for (int i = 0; i < a->l.n; i++) {
        const int label = a->l.at[i];
        const int64_t size = a->x->view.dims[i];
        if (in_b[label] && sizes[label] != size && sizes[label] != 1 && size != 1)
            return luc_raise(LUCID_ERR_ARGUMENT, op,
                             "operands: expected equal sizes for a label, got %lld and %lld for "
                             "\"%c\"",
                             (long long)size, (long long)sizes[label], label < DOTS ? label : '.');
        in_a[label] = true;
        if (!in_b[label] || sizes[label] == 1) sizes[label] = size;
    }
    for (int i = 0; i < LABELS; i++) keep[i] = wanted[i] || (in_a[i] && in_b[i]);
    if (!sum_unwanted(a, keep) || !sum_unwanted(b, keep)) return false;
    labels batch = {0}, sum = {0}, left = {0}, right = {0};
    for (int i = 0; i < a->l.n; i++) {
        const int label = a->l.at[i];
        append(!in_b[label] ? &left : wanted[label] ? &batch : &sum, label);
    }
    for (int i = 0; i < b->l.n; i++)
        if (!in_a[b->l.at[i]]) append(&right, b->l.at[i]);
    if (batch.n + left.n + right.n > LUCID_MAX_DIMS)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "operands: a product has more than %d dimensions",
                         LUCID_MAX_DIMS);
    lucid_tensor *x = as_matrices(a, (labels[]){batch, left, sum}, sizes);
    lucid_tensor *y = x ? as_matrices(b, (labels[]){batch, sum, right}, sizes) : NULL;
    x = y ? lucid_matmul(x, y) : NULL;
    lucid_shape shape = {.ndim = 0};
    a->l.n = 0;
    const labels *const groups[] = {&batch, &left, &right};
    for (int g = 0; g < 3; g++)
        for (int i = 0; i < groups[g]->n; i++) {
            append(&a->l, groups[g]->at[i]);
            shape.dims[shape.ndim++] = sizes[groups[g]->at[i]];
        }
    a->x = x ? lucid_reshape_opt(x, shape) : NULL;
    return a->x != NULL;
}

static lucid_tensor *compute(operand *operands, size_t n, const labels *out)
{
    for (size_t i = 0; i < n; i++)
        if (!take_diagonals(&operands[i])) return NULL;
    bool wanted[LABELS];
    for (size_t i = 1; i < n; i++) {
        memset(wanted, 0, sizeof wanted);
        for (int d = 0; d < out->n; d++) wanted[out->at[d]] = true;
        for (size_t k = i + 1; k < n; k++)
            for (int d = 0; d < operands[k].l.n; d++) wanted[operands[k].l.at[d]] = true;
        if (!contract(&operands[0], &operands[i], wanted)) return NULL;
    }
    memset(wanted, 0, sizeof wanted);
    for (int d = 0; d < out->n; d++) wanted[out->at[d]] = true;
    if (!sum_unwanted(&operands[0], wanted)) return NULL;
    lucid_shape order = {.ndim = out->n};
    for (int d = 0; d < out->n; d++) order.dims[d] = place_of(&operands[0].l, out->at[d]);
    return lucid_permute_opt(operands[0].x, order);
}

lucid_tensor *lucid_einsum(const char *equation, lucid_tensor *const *operands, size_t n)
{
    LUC_CALLED_AS("einsum");
    LUCID_SCOPE;
    if (!equation)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "equation: expected a text, got NULL");
    if (!luc_check_tensors(operands, n, op)) return NULL;
    size_t bytes;
    if (!luc_mul_size(n, sizeof(operand), &bytes))
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "operands: expected fewer than %zu", n);
    operand *list = luc_alloc(bytes, op);
    if (!list) return NULL;
    const char *text = equation;
    int dots = 0;
    labels out;
    lucid_tensor *y = NULL;
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++) {
        list[i].x = operands[i];
        if (i > 0 && *text++ != ',') ok = bad_equation(equation, "one term for each operand");
        ok = ok && read_operand(equation, &text, &list[i], &dots);
    }
    if (ok && *text == ',') ok = bad_equation(equation, "one term for each operand");
    if (ok && read_output(equation, text, list, n, dots, &out)) y = compute(list, n, &out);
    luc_free(list);
    return lucid_scope_return(y);
}
