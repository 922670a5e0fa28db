/* npy.c: NumPy's arrays in files. */
#include "lucid/io/npy.h"

#include "lucid/core/error_priv.h"
#include "lucid/io/npy_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define HOST_IS_BIG (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__)

/* ---- the header ------------------------------------------------------------------------------ */

/* Where the reading of the header's text is. */
typedef struct cursor {
    const char *at, *end;
    const char *path, *op;
} cursor;

static bool damaged(const cursor *c, const char *what)
{
    return luc_raise(LUCID_ERR_FORMAT, c->op, "%s: is a damaged npy file: %s", c->path, what);
}

static void skip_blanks(cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t')) c->at++;
}

/* Takes a character, after blanks. */
static bool take(cursor *c, char wanted)
{
    skip_blanks(c);
    if (c->at >= c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

/* Takes 'text' in quotes of either kind, without escapes. */
static bool take_string(cursor *c, char *text, size_t size)
{
    skip_blanks(c);
    if (c->at >= c->end || (*c->at != '\'' && *c->at != '"')) return false;
    const char quote = *c->at++;
    size_t n = 0;
    for (; c->at < c->end && *c->at != quote && n + 1 < size; c->at++) text[n++] = *c->at;
    text[n] = 0;
    return c->at < c->end && *c->at++ == quote;
}

static bool take_word(cursor *c, const char *word)
{
    const size_t n = strlen(word);
    skip_blanks(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) return false;
    c->at += n;
    return true;
}

static bool take_number(cursor *c, int64_t *number)
{
    skip_blanks(c);
    const char *begin = c->at;
    for (*number = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (!luc_mul_i64(*number, 10, number) ||
            __builtin_add_overflow(*number, *c->at - '0', number))
            return false;
    const bool some = c->at > begin;
    if (some && c->at < c->end && *c->at == 'L') c->at++; /* Python 2 wrote long integers so */
    return some;
}

static bool take_shape(cursor *c, lucid_shape *shape)
{
    *shape = (lucid_shape){0};
    if (!take(c, '(')) return damaged(c, "expected a tuple as its shape");
    while (!take(c, ')')) {
        int64_t n;
        if (!take_number(c, &n)) return damaged(c, "expected sizes that fit in 64 bits");
        if (shape->ndim == LUCID_MAX_DIMS)
            return luc_raise(LUCID_ERR_UNSUPPORTED, c->op, "%s: has more than %d dimensions",
                             c->path, LUCID_MAX_DIMS);
        shape->dims[shape->ndim++] = n;
        if (!take(c, ',') && (c->at >= c->end || *c->at != ')'))
            return damaged(c, "expected a comma between sizes");
    }
    return true;
}

/* The element type: byte order, kind, width. */
static bool take_type(cursor *c, luc_npy *npy)
{
    char text[32];
    static const struct {
        char kind[3];
        lucid_dtype dtype;
    } known[] = {{"f2", LUCID_F16}, {"f4", LUCID_F32}, {"f8", LUCID_F64}, {"i1", LUCID_I32},
                 {"i2", LUCID_I32}, {"i4", LUCID_I32}, {"i8", LUCID_I64}, {"u1", LUCID_U8},
                 {"u2", LUCID_I32}, {"u4", LUCID_I64}, {"b1", LUCID_BOOL}};
    skip_blanks(c);
    if (c->at < c->end && *c->at == '[')
        return luc_raise(LUCID_ERR_UNSUPPORTED, c->op,
                         "%s: expected numbers, got records of several fields", c->path);
    if (!take_string(c, text, sizeof text)) return damaged(c, "expected a string as its type");
    const char *kind = text + (text[0] && strchr("<>|=", text[0]) ? 1 : 0);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(kind, known[i].kind) == 0) {
            npy->dtype = known[i].dtype;
            npy->kind = kind[0];
            npy->width = kind[1] - '0';
            npy->big = text[0] == '>' || (text[0] != '<' && HOST_IS_BIG);
            return true;
        }
    return luc_raise(LUCID_ERR_UNSUPPORTED, c->op,
                     "%s: expected float16 to float64, int8 to int64, uint8 to uint32 or bool, got "
                     "'%s'",
                     c->path, text);
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
static bool take_header(cursor *c, luc_npy *npy)
{
    bool type = false, order = false, shape = false;
    char key[32];
    if (!take(c, '{')) return damaged(c, "expected its header to begin with {");
    while (!take(c, '}')) {
        if (!take_string(c, key, sizeof key) || !take(c, ':'))
            return damaged(c, "expected a key and a colon in its header");
        if (strcmp(key, "descr") == 0 && !type) {
            if (!take_type(c, npy)) return false;
            type = true;
        } else if (strcmp(key, "fortran_order") == 0 && !order) {
            npy->fortran = take_word(c, "True");
            if (!npy->fortran && !take_word(c, "False"))
                return damaged(c, "expected True or False as fortran_order");
            order = true;
        } else if (strcmp(key, "shape") == 0 && !shape) {
            if (!take_shape(c, &npy->shape)) return false;
            shape = true;
        } else {
            return damaged(c, "its header has a key twice, or one that is not known");
        }
        if (!take(c, ',') && (c->at >= c->end || *c->at != '}'))
            return damaged(c, "expected a comma between the keys of its header");
    }
    skip_blanks(c);
    return (type && order && shape && c->at == c->end) ||
           damaged(c, "its header lacks descr, fortran_order or shape, or goes on after them");
}

bool luc_npy_parse(luc_npy *npy, const unsigned char *bytes, size_t size, const char *path,
                   const char *op)
{
    cursor c = {.path = path, .op = op};
    *npy = (luc_npy){0};
    if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
        return luc_raise(LUCID_ERR_FORMAT, op, "%s: is not an npy file", path);
    if (bytes[6] < 1 || bytes[6] > 3)
        return luc_raise(LUCID_ERR_UNSUPPORTED, op, "%s: expected version 1 to 3, got %d", path,
                         bytes[6]);
    size_t length = bytes[8] | (size_t)bytes[9] << 8;
    npy->begin = 10;
    if (bytes[6] > 1) {
        if (size < 12) return damaged(&c, "it is cut off");
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
        npy->begin = 12;
    }
    if (length > size - npy->begin) return damaged(&c, "it is cut off");
    c.at = (const char *)bytes + npy->begin;
    c.end = c.at + length;
    if (!take_header(&c, npy)) return false;
    npy->begin += length;
    int64_t all = npy->width;
    bool empty = false, fits = true;
    for (int d = 0; d < npy->shape.ndim; d++) {
        empty = empty || npy->shape.dims[d] == 0;
        fits = fits && luc_mul_i64(all, npy->shape.dims[d] ? npy->shape.dims[d] : 1, &all);
    }
    if (empty && fits) all = 0;
    if (fits && (uint64_t)all == size - npy->begin) return true;
    return luc_raise(
        LUCID_ERR_FORMAT, op, "%s: is %s: expected %s elements of %d bytes, got %zu bytes", path,
        !fits || (uint64_t)all > size - npy->begin ? "cut off" : "too long",
        luc_dims_text(npy->shape.ndim, npy->shape.dims).s, npy->width, size - npy->begin);
}

/* ---- the elements ---------------------------------------------------------------------------- */

/* One element to the tensor's type. */
static void convert(const luc_npy *npy, const unsigned char *from, void *to)
{
    uint64_t bits = 0;
    for (int i = 0; i < npy->width; i++)
        bits |= (uint64_t)from[npy->big ? npy->width - 1 - i : i] << 8 * i;
    if (npy->kind == 'b') bits = bits != 0;
    if (npy->kind == 'i' && npy->width < 8 && bits >> (8 * npy->width - 1))
        bits |= UINT64_MAX << 8 * npy->width;
    const uint32_t half = (uint32_t)bits;
    const uint16_t quarter = (uint16_t)bits;
    const uint8_t byte = (uint8_t)bits;
    switch (lucid_dtype_size(npy->dtype)) {
    case 8:
        memcpy(to, &bits, 8);
        break;
    case 4:
        memcpy(to, &half, 4);
        break;
    case 2:
        memcpy(to, &quarter, 2);
        break;
    default:
        memcpy(to, &byte, 1);
    }
}

/* Whether the file's bytes are the tensor's, in the same order. */
static bool is_same(const luc_npy *npy)
{
    return npy->kind != 'b' && (size_t)npy->width == lucid_dtype_size(npy->dtype) &&
           (npy->big == HOST_IS_BIG || npy->width == 1) && (!npy->fortran || npy->shape.ndim < 2);
}

lucid_tensor *luc_npy_tensor(const luc_npy *npy, const unsigned char *bytes)
{
    lucid_tensor *t = lucid_empty_opt(
        npy->shape, LUC_WITH(lucid_tensor, .dtype = npy->dtype, .memory_format = LUCID_CONTIGUOUS));
    if (!t || lucid_numel(t) == 0) return t;
    unsigned char *to = lucid_mutable_data(t);
    const size_t size = lucid_dtype_size(npy->dtype);
    const unsigned char *from = bytes + npy->begin;
    const int64_t n = lucid_numel(t);
    if (is_same(npy)) {
        memcpy(to, from, (size_t)n * size);
        return t;
    }
    /* In Fortran's order the first index runs fastest: `at` is the place in the file of the element
     * that is next in the tensor. */
    int64_t index[LUCID_MAX_DIMS] = {0}, step[LUCID_MAX_DIMS], at = 0, all = 1;
    const int ndim = npy->shape.ndim;
    for (int d = 0; d < ndim; d++) {
        step[d] = all;
        all *= npy->shape.dims[d];
    }
    for (int64_t i = 0; i < n; i++) {
        convert(npy, from + (size_t)(npy->fortran ? at : i) * (size_t)npy->width,
                to + (size_t)i * size);
        for (int d = ndim - 1; d >= 0; d--) {
            at += step[d];
            if (++index[d] < npy->shape.dims[d]) break;
            at -= step[d] * index[d];
            index[d] = 0;
        }
    }
    return t;
}

/* ---- reading --------------------------------------------------------------------------------- */

static void unmap(void *user, void *data)
{
    (void)data;
    luc_file_map_close(user);
    luc_free(user);
}

/* The tensor on the file's own memory. On success the mapping is the tensor's. */
static lucid_tensor *on_mapping(const luc_npy *npy, luc_file_map *map, const char *op)
{
    luc_file_map *owner = luc_alloc(sizeof *owner, op);
    if (!owner) return NULL;
    *owner = *map;
    lucid_tensor *t = lucid_from_blob(npy->shape, npy->dtype, map->data + npy->begin, unmap, owner);
    if (t)
        *map = (luc_file_map){0};
    else
        luc_free(owner);
    return t;
}

lucid_tensor *lucid_npy_read_opt(const char *path, const lucid_npy_read_options *options)
{
    static const char op[] = "npy_read";
    luc_file_map map;
    luc_npy npy;
    lucid_tensor *t = NULL;
    options = LUC_OPTIONS(lucid_npy_read, options, op);
    if (!options || !luc_file_map_open(&map, path, op)) return NULL;
    if (luc_npy_parse(&npy, map.data, map.size, path, op)) {
        const bool maps = options->map && is_same(&npy) && map.size > npy.begin &&
                          (uintptr_t)(map.data + npy.begin) % (uintptr_t)npy.width == 0;
        t = maps ? on_mapping(&npy, &map, op) : luc_npy_tensor(&npy, map.data);
    }
    luc_file_map_close(&map);
    return t;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Kind and width. */
static const char *type_text(lucid_dtype dtype)
{
    switch (dtype) {
    case LUCID_F16:
        return "f2";
    case LUCID_F32:
        return "f4";
    case LUCID_F64:
        return "f8";
    case LUCID_I32:
        return "i4";
    case LUCID_I64:
        return "i8";
    case LUCID_U8:
        return "u1";
    case LUCID_BOOL:
        return "b1";
    default:
        return NULL;
    }
}

/* The first bytes of the file, a multiple of 64. Returns how many. */
static size_t make_header(const lucid_tensor *t, const char *type, char text[512])
{
    const lucid_shape shape = lucid_tensor_shape(t);
    size_t n = 10;
    n += (size_t)snprintf(text + n, 512 - n, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                          type[1] == '1' ? '|'
                          : HOST_IS_BIG  ? '>'
                                         : '<',
                          type);
    for (int d = 0; d < shape.ndim; d++)
        n += (size_t)snprintf(text + n, 512 - n, "%lld, ", (long long)shape.dims[d]);
    n += (size_t)snprintf(text + n, 512 - n, "), }");
    const size_t whole = (n + 1 + 63) / 64 * 64;
    memset(text + n, ' ', whole - n);
    text[whole - 1] = '\n';
    memcpy(text, "\x93NUMPY\1\0", 8);
    text[8] = (char)((whole - 10) & 255);
    text[9] = (char)((whole - 10) >> 8);
    return whole;
}

bool lucid_npy_write(const lucid_tensor *tensor, const char *path)
{
    static const char op[] = "npy_write";
    if (!tensor && lucid_error_code() != LUCID_OK) return false;
    if (!tensor) return luc_raise(LUCID_ERR_ARGUMENT, op, "tensor: got NULL");
    (void)lucid_ndim(tensor); /* reports a tensor that has ended */
    if (lucid_error_code() != LUCID_OK) return false;
    const char *type = type_text(lucid_tensor_dtype(tensor));
    if (!type)
        return luc_raise(LUCID_ERR_UNSUPPORTED, op, "tensor: NumPy does not have %s",
                         lucid_dtype_name(lucid_tensor_dtype(tensor)));
    char header[512];
    luc_output out;
    const size_t bytes = (size_t)lucid_numel(tensor) * lucid_dtype_size(lucid_tensor_dtype(tensor));
    void *data = luc_alloc(bytes, op);
    bool ok = data && lucid_copy_to(tensor, data, bytes) && luc_output_open(&out, path, op);
    if (ok) {
        const size_t n = make_header(tensor, type, header);
        ok = luc_output_write(&out, header, n) && luc_output_write(&out, data, bytes) &&
             luc_output_check(&out);
        ok = luc_output_close(&out, ok);
    }
    luc_free(data);
    return ok;
}
