#include "lucid/io/idx_priv.h"

#include "lucid/core/error_priv.h"
#include "lucid/io/input_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

#include <string.h>

enum { CHUNK = 1 << 13 };

typedef struct idx_type {
    unsigned char code;
    size_t file_size; /* bytes an element takes in the file */
    lucid_dtype dtype;
} idx_type;

static const idx_type types[] = {
    {0x08, 1, LUCID_U8},  {0x09, 1, LUCID_I32}, {0x0b, 2, LUCID_I32},
    {0x0c, 4, LUCID_I32}, {0x0d, 4, LUCID_F32}, {0x0e, 8, LUCID_F64},
};

static uint64_t big_endian(const unsigned char *p, size_t size)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value = value << 8 | p[i];
    return value;
}

/* Reads exactly size bytes of the header. */
static bool read_header(luc_input *in, unsigned char *data, size_t size)
{
    size_t got;
    if (!luc_input_read(in, data, size, &got)) return false;
    if (got == size) return true;
    return luc_raise(LUCID_ERR_FORMAT, in->op, "%s: the file ends inside the header of an idx file",
                     in->path);
}

/* Reads and checks the header: the type, and the shape, whose bytes the file may well hold. */
static const idx_type *read_type_and_shape(luc_input *in, lucid_shape *shape)
{
    unsigned char magic[4], sizes[4 * LUCID_MAX_DIMS];
    if (!read_header(in, magic, 4)) return NULL;
    const idx_type *type = NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == magic[2]) type = &types[i];
    if (magic[0] || magic[1] || !type)
        return luc_raise_null(LUCID_ERR_FORMAT, in->op,
                              "%s: is not an idx file: expected it to begin with 00 00 and a type "
                              "(08, 09 or 0b to 0e), got %02x %02x %02x",
                              in->path, magic[0], magic[1], magic[2]);
    if (magic[3] < 1 || magic[3] > LUCID_MAX_DIMS)
        return luc_raise_null(LUCID_ERR_FORMAT, in->op, "%s: expected 1 to %d dimensions, got %d",
                              in->path, LUCID_MAX_DIMS, magic[3]);
    shape->ndim = magic[3];
    if (!read_header(in, sizes, 4 * (size_t)shape->ndim)) return NULL;
    bool fits = true;
    int64_t bytes = (int64_t)type->file_size;
    for (int d = 0; d < shape->ndim; d++) {
        shape->dims[d] = (int64_t)big_endian(sizes + 4 * d, 4);
        fits = luc_mul_i64(bytes, shape->dims[d], &bytes) && fits;
    }
    if (!fits || (uint64_t)bytes > luc_input_bound(in))
        return luc_raise_null(
            LUCID_ERR_FORMAT, in->op,
            "%s: is cut off, or no idx file: the header promises %s elements, more than "
            "the file can hold",
            in->path, luc_dims_text(shape->ndim, shape->dims).s);
    return type;
}

/* Converts count elements from the file's form to the tensor's. */
static void decode(const idx_type *type, const unsigned char *from, size_t count, void *to)
{
    for (size_t i = 0; i < count; i++) {
        uint64_t bits = big_endian(from + i * type->file_size, type->file_size);
        if (type->dtype == LUCID_F64) {
            memcpy((char *)to + 8 * i, &bits, 8);
            continue;
        }
        uint32_t word = (uint32_t)bits;
        if (type->file_size == 1) word = (uint32_t)(int32_t)(int8_t)bits;
        if (type->file_size == 2) word = (uint32_t)(int32_t)(int16_t)bits;
        memcpy((char *)to + 4 * i, &word, 4);
    }
}

static bool read_elements(luc_input *in, const idx_type *type, size_t count, void *to, size_t *got)
{
    if (type->dtype == LUCID_U8) return luc_input_read(in, to, count, got);
    unsigned char chunk[CHUNK];
    size_t done = 0, out_size = lucid_dtype_size(type->dtype), most = CHUNK / type->file_size;
    *got = 0;
    while (done < count) {
        size_t n = count - done < most ? count - done : most, bytes;
        if (!luc_input_read(in, chunk, n * type->file_size, &bytes)) return false;
        decode(type, chunk, bytes / type->file_size, (char *)to + done * out_size);
        *got += bytes;
        if (bytes < n * type->file_size) break;
        done += n;
    }
    return true;
}

static lucid_tensor *read_tensor(luc_input *in)
{
    lucid_shape shape = {0};
    const idx_type *type = read_type_and_shape(in, &shape);
    if (!type) return NULL;
    lucid_tensor_options options = lucid_tensor_defaults;
    options.dtype = type->dtype;
    lucid_tensor *t = lucid_empty_opt(shape, &options);
    if (!t) return NULL;
    size_t count = (size_t)lucid_numel(t), size = count * type->file_size, got = 0, more = 0;
    unsigned char byte;
    if (!read_elements(in, type, count, lucid_mutable_data(t), &got)) return NULL;
    if (got < size)
        return luc_raise_null(LUCID_ERR_FORMAT, in->op,
                              "%s: is cut off: expected %zu bytes for %s elements, got %zu",
                              in->path, size, luc_shape_text(t).s, got);
    if (!luc_input_read(in, &byte, 1, &more)) return NULL;
    if (more)
        return luc_raise_null(LUCID_ERR_FORMAT, in->op, "%s: goes on after the last of %s elements",
                              in->path, luc_shape_text(t).s);
    return t;
}

lucid_tensor *luc_idx_read(const char *path, const char *op, luc_sha256 *sum)
{
    luc_input in;
    size_t scope = lucid_scope_begin(); /* a tensor that was not read completely ends here */
    lucid_tensor *t = NULL;
    if (scope && luc_input_open(&in, path, op, sum)) t = read_tensor(&in);
    if (scope) luc_input_close(&in);
    lucid_scope_return(t);
    lucid_scope_end(scope);
    return t;
}

lucid_tensor *lucid_idx_read(const char *path)
{
    return luc_idx_read(path, "idx_read", NULL);
}
