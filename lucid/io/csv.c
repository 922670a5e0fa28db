/* csv.c: rows of numbers as text. */
#include "lucid/core/error_priv.h"
#include "lucid/core/format_priv.h"
#include "lucid/io/input_priv.h"
#include "lucid/io/npy.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

static const char op[] = "csv_read";

enum { MOST_FIELD = 128 };

/* What is read: text, and the numbers so far. */
typedef struct table {
    const char *path;
    const lucid_csv_options *options;
    char *text; /* ends with a 0 */
    size_t size;
    double *numbers;
    size_t n, room;
    int64_t line, rows, columns; /* columns: -1 before the first row */
} table;

/* ---- the text -------------------------------------------------------------------------------- */

static bool read_text(table *t)
{
    luc_input in;
    size_t room = 0;
    bool ok = luc_input_open(&in, t->path, op, NULL);
    for (bool more = true; ok && more;) {
        if (room - t->size < 2) {
            room = room ? 2 * room : (size_t)1 << 16;
            char *grown = luc_realloc(t->text, room, op);
            if (!grown) {
                ok = false;
                break;
            }
            t->text = grown;
        }
        size_t got, asked = room - t->size - 1;
        ok = luc_input_read(&in, t->text + t->size, asked, &got);
        t->size += got;
        more = got == asked;
        if (ok && t->size > (uint64_t)t->options->max_bytes)
            ok = luc_raise(LUCID_ERR_FORMAT, op,
                           "%s: expected at most %lld bytes (max_bytes) of text, "
                           "got more",
                           t->path, (long long)t->options->max_bytes);
    }
    luc_input_close(&in);
    if (ok) t->text[t->size] = 0;
    return ok;
}

/* ---- numbers --------------------------------------------------------------------------------- */

static bool wrong(const table *t, int64_t column, const char *what, const char *field)
{
    return luc_raise(LUCID_ERR_FORMAT, op, "%s: line %lld, column %lld: %s '%s'", t->path,
                     (long long)t->line, (long long)column, what, field);
}

static bool add_number(table *t, double value)
{
    if (t->n == t->room) {
        size_t room = t->room ? 2 * t->room : 1024;
        double *grown = luc_realloc(t->numbers, room * sizeof *grown, op);
        if (!grown) return false;
        t->numbers = grown;
        t->room = room;
    }
    t->numbers[t->n++] = value;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* One field of a row: a number with blanks around it. */
static bool read_field(table *t, const char *at, const char *end, int64_t column)
{
    char field[MOST_FIELD], *rest = field;
    while (at < end && is_blank(*at)) at++;
    while (end > at && is_blank(end[-1])) end--;
    const size_t n = (size_t)(end - at);
    memcpy(field, at, n < sizeof field ? n : sizeof field - 1);
    field[n < sizeof field ? n : sizeof field - 1] = 0;
    if (n == 0) return wrong(t, column, "expected a number, got nothing:", "");
    double value = n < sizeof field ? luc_strtod(field, &rest) : 0;
    if ((size_t)(rest - field) != n) return wrong(t, column, "expected a number, got", field);
    return add_number(t, value);
}

/* One line from `at` to `end`. */
static bool read_row(table *t, const char *at, const char *end)
{
    const char delimiter = t->options->delimiter;
    int64_t columns = 0;
    /* Where fields end with a tab, one at the end of the line is a delimiter. */
    while (end > at && is_blank(end[-1]) && (delimiter == ' ' || end[-1] != delimiter)) end--;
    if (at == end) return true;
    for (;;) {
        const char *stop = at;
        if (delimiter == ' ') {
            while (at < end && is_blank(*at)) at++;
            for (stop = at; stop < end && !is_blank(*stop);) stop++;
        } else {
            while (stop < end && *stop != delimiter) stop++;
        }
        if (!read_field(t, at, stop, ++columns)) return false;
        if (stop == end) break;
        at = stop + 1;
    }
    if (t->columns < 0) t->columns = columns;
    t->rows++;
    return columns == t->columns ||
           luc_raise(LUCID_ERR_FORMAT, op, "%s: line %lld: expected %lld fields, got %lld", t->path,
                     (long long)t->line, (long long)t->columns, (long long)columns);
}

static bool read_rows(table *t)
{
    const char *at = t->text, *end = at + t->size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop) stop = end;
        if (++t->line > t->options->skip_rows && !read_row(t, at, stop)) return false;
        at = stop + 1;
    }
    return true;
}

static bool check_options(const char *path, const lucid_csv_options *o)
{
    if (!path) return luc_raise(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got NULL");
    if (o->dtype != LUCID_F32 && o->dtype != LUCID_F64)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "dtype: expected float32 or float64, got %s",
                         lucid_dtype_name(o->dtype));
    if (!o->delimiter || strchr("\n\r.+-0123456789", o->delimiter))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "delimiter: expected a character that no number has, got %d",
                         o->delimiter);
    if (o->max_bytes < 0)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "max_bytes: expected >= 0, got %lld",
                         (long long)o->max_bytes);
    return o->skip_rows >= 0 ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "skip_rows: expected >= 0, got %lld",
                     (long long)o->skip_rows);
}

lucid_tensor *lucid_csv_read_opt(const char *path, const lucid_csv_options *options)
{
    options = LUC_OPTIONS(lucid_csv, options, op);
    if (!options || !check_options(path, options)) return NULL;
    table t = {.path = path, .options = options, .columns = -1};
    lucid_tensor *out = NULL;
    if (read_text(&t) && read_rows(&t)) {
        const lucid_shape shape = LUCID_SHAPE(t.rows, t.columns < 0 ? 0 : t.columns);
        out = lucid_from_doubles_opt(
            shape, t.numbers ? t.numbers : &(const double){0}, t.n,
            LUC_WITH(lucid_tensor, .dtype = options->dtype, .memory_format = LUCID_CONTIGUOUS));
    }
    luc_free(t.text);
    luc_free(t.numbers);
    return out;
}
