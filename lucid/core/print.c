/* print.c: tensors as text, character for character as PyTorch writes them. */
#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/core/lock_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- options --------------------------------------------------------------------------------- */

enum { PRECISION_MAX = 60, ELEMENT_MAX = 96 }; /* "-100000000." and 60 digits fit an element */

typedef struct print_options {
    int precision;
    int64_t threshold, edge_items;
    int line_width;
} print_options;

static print_options options = {
    .precision = 4, .threshold = 1000, .edge_items = 3, .line_width = 80};

void lucid_set_print_options(int precision, int64_t threshold, int64_t edge_items, int line_width)
{
    const char *op = "set_print_options";
    if (precision < 0 || precision > PRECISION_MAX)
        luc_raise(LUCID_ERR_ARGUMENT, op, "precision: expected 0 to %d, got %d", PRECISION_MAX,
                  precision);
    else if (threshold < 0)
        luc_raise(LUCID_ERR_ARGUMENT, op, "threshold: expected >= 0, got %lld",
                  (long long)threshold);
    else if (edge_items < 0)
        luc_raise(LUCID_ERR_ARGUMENT, op, "edge_items: expected >= 0, got %lld",
                  (long long)edge_items);
    else if (line_width < 1)
        luc_raise(LUCID_ERR_ARGUMENT, op, "line_width: expected >= 1, got %d", line_width);
    else {
        luc_lock(LUC_LOCK_PRINT);
        options = (print_options){precision, threshold, edge_items, line_width};
        luc_unlock(LUC_LOCK_PRINT);
    }
}

/* ---- text that grows ------------------------------------------------------------------------- */

typedef struct text {
    char *s;
    size_t length, capacity;
    bool failed; /* memory was out, and the error is raised: further text is dropped */
} text;

static void text_put(text *t, const char *s, size_t n)
{
    if (t->failed) return;
    if (t->capacity - t->length <= n) {
        size_t capacity = 2 * (t->length + n) + 128;
        char *grown = luc_realloc(t->s, capacity, "to_string");
        if (!grown) {
            t->failed = true;
            return;
        }
        t->s = grown;
        t->capacity = capacity;
    }
    memcpy(t->s + t->length, s, n);
    t->length += n;
    t->s[t->length] = '\0';
}

static void text_puts(text *t, const char *s)
{
    text_put(t, s, strlen(s));
}

static void text_repeat(text *t, char c, int64_t n)
{
    while (n-- > 0) text_put(t, &c, 1);
}

/* ---- elements -------------------------------------------------------------------------------- */

typedef struct printer {
    const lucid_tensor *t; /* on the CPU */
    print_options o;
    bool summarize;
    bool floating, whole, scientific; /* whole: every number is an integer */
    int width;                        /* of the widest finite element that is not 0 */
    double least, most;               /* magnitudes of these */
    text out;
} printer;

static int64_t element_as_int(const lucid_tensor *t, int64_t offset)
{
    switch (t->view.dtype) {
    case LUCID_I64:
        return ((const int64_t *)t->view.data)[offset];
    case LUCID_I32:
        return ((const int32_t *)t->view.data)[offset];
    default:
        return ((const uint8_t *)t->view.data)[offset];
    }
}

/* The element's text without padding; returns its length. */
static int format_element(const printer *p, int64_t offset, char *s)
{
    const lucid_tensor *t = p->t;
    if (t->view.dtype == LUCID_BOOL)
        return snprintf(s, ELEMENT_MAX, "%s", element_as_int(t, offset) ? "True" : "False");
    if (!p->floating) return snprintf(s, ELEMENT_MAX, "%lld", (long long)element_as_int(t, offset));
    double x = luc_element_to_double(t, offset);
    if (isnan(x)) return snprintf(s, ELEMENT_MAX, "nan"); /* whatever its sign */
    if (isinf(x)) return snprintf(s, ELEMENT_MAX, x < 0 ? "-inf" : "inf");
    if (p->scientific) return luc_snprintf(s, ELEMENT_MAX, "%.*e", p->o.precision, x);
    if (p->whole) return luc_snprintf(s, ELEMENT_MAX, "%.0f.", x);
    return luc_snprintf(s, ELEMENT_MAX, "%.*f", p->o.precision, x);
}

/* The number of items, of n, that are shown before the dots, or n if no dots are needed. */
static int64_t shown(const printer *p, int64_t n)
{
    return p->summarize && n - p->o.edge_items > p->o.edge_items ? p->o.edge_items : n;
}

/* Calls visit for every element that will be printed. */
static void each_shown(printer *p, int dim, int64_t offset, void (*visit)(printer *, int64_t))
{
    if (dim == p->t->view.ndim) {
        visit(p, offset);
        return;
    }
    int64_t n = p->t->view.dims[dim], head = shown(p, n), stride = p->t->view.strides[dim];
    for (int64_t i = 0; i < head; i++) each_shown(p, dim + 1, offset + i * stride, visit);
    for (int64_t i = head < n ? n - head : n; i < n; i++)
        each_shown(p, dim + 1, offset + i * stride, visit);
}

static void note_magnitude(printer *p, int64_t offset)
{
    double x = luc_element_to_double(p->t, offset);
    if (!isfinite(x) || x == 0) return;
    if (x != ceil(x)) p->whole = false;
    p->least = fmin(p->least, fabs(x));
    p->most = fmax(p->most, fabs(x));
}

static void note_width(printer *p, int64_t offset)
{
    char s[ELEMENT_MAX];
    if (p->floating) { /* the others do not count */
        double x = luc_element_to_double(p->t, offset);
        if (!isfinite(x) || x == 0) return;
    }
    int n = format_element(p, offset, s);
    if (n > p->width) p->width = n;
}

/* Chooses one form for all elements, 1., 1.5000 or 1.5000e+00, and its width. */
static void choose_form(printer *p)
{
    p->floating = lucid_dtype_is_floating(p->t->view.dtype);
    p->whole = true;
    p->scientific = false;
    p->width = 1;
    p->least = INFINITY;
    p->most = 0;
    if (p->floating) {
        each_shown(p, 0, 0, note_magnitude);
        p->scientific =
            p->most > 0 && (p->most / p->least > 1000.0 || p->most > 1.0e8 || p->least < 1.0e-4);
    }
    each_shown(p, 0, 0, note_width);
}

/* ---- brackets and lines ---------------------------------------------------------------------- */

static void put_element(printer *p, int64_t offset)
{
    char s[ELEMENT_MAX];
    int n = format_element(p, offset, s);
    text_repeat(&p->out, ' ', p->width - n);
    text_put(&p->out, s, (size_t)n);
}

/* Prints the last dimension, with the number of elements in a line that fits. */
static void put_row(printer *p, int64_t offset, int indent)
{
    int d = p->t->view.ndim - 1, fitting = (p->o.line_width - indent) / (p->width + 2);
    int64_t n = p->t->view.dims[d], head = shown(p, n), stride = p->t->view.strides[d];
    int64_t items = head < n ? 2 * head + 1 : n, per_line = fitting > 1 ? fitting : 1;
    for (int64_t k = 0; k < items; k++) {
        if (k > 0) text_puts(&p->out, ",");
        if (k > 0 && k % per_line == 0) {
            text_puts(&p->out, "\n");
            text_repeat(&p->out, ' ', indent + 1);
        } else if (k > 0) {
            text_puts(&p->out, " ");
        }
        if (head < n && k == head)
            text_puts(&p->out, head > 0 ? " ..." : "...");
        else
            put_element(p, offset + (k < head ? k : n - items + k) * stride);
    }
}

static void put_block(printer *p, int dim, int64_t offset, int indent)
{
    int ndim = p->t->view.ndim;
    if (dim == ndim) {
        put_element(p, offset);
        return;
    }
    text_puts(&p->out, "[");
    if (dim == ndim - 1) {
        put_row(p, offset, indent);
    } else {
        int64_t n = p->t->view.dims[dim], head = shown(p, n), stride = p->t->view.strides[dim];
        int64_t items = head < n ? 2 * head + 1 : n;
        for (int64_t k = 0; k < items; k++) {
            if (k > 0) { /* a blank line more for every dimension further out */
                text_puts(&p->out, ",");
                text_repeat(&p->out, '\n', ndim - dim - 1);
                text_repeat(&p->out, ' ', indent + 1);
            }
            if (head < n && k == head)
                text_puts(&p->out, "...");
            else
                put_block(p, dim + 1, offset + (k < head ? k : n - items + k) * stride, indent + 1);
        }
    }
    text_puts(&p->out, "]");
}

/* ---- what follows the numbers ---------------------------------------------------------------- */

/* Appends ", suffix", on a new line where the last one is full. `line` is its length so far. */
static void put_suffix(printer *p, int64_t *line, const char *suffix)
{
    int64_t n = (int64_t)strlen(suffix);
    bool fits = *line + n + 2 <= p->o.line_width;
    text_puts(&p->out, fits ? ", " : ",\n       ");
    text_puts(&p->out, suffix);
    *line = (fits ? *line + 2 : 7) + n;
}

/* "size=(0, 3)", and "size=(5,)" for one dimension, as Python writes its tuples. */
static void format_size(const lucid_tensor *t, char *s, size_t size)
{
    size_t at = (size_t)snprintf(s, size, "size=(");
    for (int d = 0; d < t->view.ndim; d++)
        at += (size_t)snprintf(s + at, size - at, "%s%lld", d ? ", " : "",
                               (long long)t->view.dims[d]);
    snprintf(s + at, size - at, t->view.ndim == 1 ? ",)" : ")");
}

/* `t` is the tensor as it was given; p->t may be its copy on the CPU. */
static void put_suffixes(printer *p, const lucid_tensor *t)
{
    if (p->out.failed) return;
    char s[32 + 24 * LUCID_MAX_DIMS];
    const char *newline = strrchr(p->out.s, '\n');
    /* PyTorch takes the line for two characters longer than it is. */
    int64_t line = (int64_t)strlen(newline ? newline + 1 : p->out.s) + 2;
    lucid_dtype dtype = t->view.dtype;
    if (t->storage->device.type != LUCID_CPU) {
        snprintf(s, sizeof s, "device='%s'", lucid_device_name(t->storage->device));
        put_suffix(p, &line, s);
    }
    /* The dtype is printed if the numbers do not show it. */
    if (t->numel == 0 ? t->view.ndim != 1 : p->o.edge_items == 0) {
        format_size(t, s, sizeof s);
        put_suffix(p, &line, s);
    }
    /* An empty tensor does not show its dtype by its numbers. */
    if (dtype != LUCID_F32 && (t->numel == 0 || (dtype != LUCID_I64 && dtype != LUCID_BOOL))) {
        snprintf(s, sizeof s, "dtype=torch.%s", lucid_dtype_name(dtype));
        put_suffix(p, &line, s);
    }
    if (t->requires_grad || t->grad_fn) put_suffix(p, &line, "requires_grad=True");
}

char *lucid_to_string(const lucid_tensor *t)
{
    if (!t || !luc_is_living(t, "to_string", "tensor")) return NULL;
    size_t depth = lucid_scope_begin();
    printer p = {.t = depth ? luc_host_tensor(t, "to_string") : NULL};
    if (p.t) {
        luc_lock(LUC_LOCK_PRINT);
        p.o = options;
        luc_unlock(LUC_LOCK_PRINT);
        p.summarize = t->numel > p.o.threshold;
        text_puts(&p.out, "tensor(");
        if (t->numel > 0) {
            choose_form(&p);
            put_block(&p, 0, 0, 7);
        } else {
            text_puts(&p.out, "[]");
        }
        put_suffixes(&p, t);
        text_puts(&p.out, ")");
    }
    lucid_scope_end(depth);
    if (!p.out.failed) return p.out.s;
    luc_free(p.out.s);
    return NULL;
}

void lucid_fprint(FILE *file, const lucid_tensor *t)
{
    if (!file && t) {
        luc_raise(LUCID_ERR_ARGUMENT, "print", "file: expected an open file, got NULL");
        return;
    }
    char *s = lucid_to_string(t);
    if (!s) return;
    if (fputs(s, file) < 0 || fputc('\n', file) < 0)
        luc_raise(LUCID_ERR_IO, "print", "file: the text of %s cannot be written",
                  luc_shape_text(t).s);
    luc_free(s);
}

void lucid_print(const lucid_tensor *t)
{
    lucid_fprint(stdout, t);
}
