/* image.c: image files of any format: reading, turning, writing. */
#include "lucid/io/image.h"

#include "lucid/core/error_priv.h"
#include "lucid/io/input_priv.h"
#include "lucid/io/pixels_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/options_priv.h"
#include "lucid/core/tensor_priv.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* ---- rows ------------------------------------------------------------------------------------ */

int luc_image_channels(lucid_image_mode mode, int channels)
{
    return mode == LUCID_IMAGE_UNCHANGED ? channels : (int)mode;
}

/* The sum of the weights is 2^16. */
static inline uint32_t gray_of(uint32_t r, uint32_t g, uint32_t b)
{
    return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
}

/* A picture without alpha and one of `from` channels: where its colours are. */
static void colour_row(const unsigned char *row, size_t width, int from, unsigned char *out,
                       size_t plane, int to)
{
    if (from >= 3 && to >= 3)
        for (int k = 0; k < 3; k++)
            for (size_t x = 0; x < width; x++)
                out[(size_t)k * plane + x] = row[x * (size_t)from + (size_t)k];
    else if (from >= 3)
        for (size_t x = 0; x < width; x++) {
            const unsigned char *p = row + x * (size_t)from;
            out[x] = (unsigned char)gray_of(p[0], p[1], p[2]);
        }
    else
        for (int k = 0; k < (to >= 3 ? 3 : 1); k++)
            for (size_t x = 0; x < width; x++) out[(size_t)k * plane + x] = row[x * (size_t)from];
}

void luc_image_row(const unsigned char *row, size_t width, int from, unsigned char *out,
                   size_t plane, int to)
{
    if (from == 3 && to == 3) /* most files: all three at once */
        for (size_t x = 0; x < width; x++) {
            out[x] = row[3 * x];
            out[plane + x] = row[3 * x + 1];
            out[2 * plane + x] = row[3 * x + 2];
        }
    else
        colour_row(row, width, from, out, plane, to);
    if (to % 2) return;
    unsigned char *alpha = out + (size_t)(to - 1) * plane;
    for (size_t x = 0; x < width; x++)
        alpha[x] = from % 2 ? 255 : row[x * (size_t)from + (size_t)from - 1];
}

void luc_image_row16(const unsigned char *row, size_t width, int from, int32_t *out, size_t plane,
                     int to)
{
    for (size_t x = 0; x < width; x++) {
        const unsigned char *p = row + 2 * x * (size_t)from;
        uint32_t v[4] = {0, 0, 0, 65535};
        for (int k = 0; k < from; k++) v[k] = (uint32_t)p[2 * k] << 8 | p[2 * k + 1];
        if (from <= 2) {
            if (from == 2) v[3] = v[1];
            v[1] = v[2] = v[0];
        }
        uint32_t gray = from <= 2 ? v[0] : gray_of(v[0], v[1], v[2]);
        for (int k = 0; k < to; k++)
            out[(size_t)k * plane + x] = (int32_t)(to % 2 == 0 && k == to - 1 ? v[3]
                                                   : to <= 2                  ? gray
                                                                              : v[k]);
    }
}

/* ---- checks ---------------------------------------------------------------------------------- */

bool luc_image_check(const luc_image_source *source, uint64_t width, uint64_t height)
{
    uint64_t most = (uint64_t)source->options->max_pixels;
    if (width >= 1 && height >= 1 && width <= INT_MAX && height <= INT_MAX &&
        width * height <= most)
        return true;
    return luc_raise(LUCID_ERR_FORMAT, source->op,
                     "%s: expected 1 to %llu pixels (.max_pixels), got a picture of %llu x %llu",
                     source->path, (unsigned long long)most, (unsigned long long)width,
                     (unsigned long long)height);
}

lucid_tensor *luc_image_new(int channels, int64_t height, int64_t width, lucid_dtype dtype)
{
    return lucid_empty_opt(
        LUCID_SHAPE(channels, height, width),
        LUC_WITH(lucid_tensor, .dtype = dtype, .memory_format = LUCID_CONTIGUOUS));
}

static bool check_options(const lucid_image_read_options *options, const char *op)
{
    if ((unsigned)options->mode > LUCID_IMAGE_RGBA)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "mode: expected a lucid_image_mode, got %d",
                         (int)options->mode);
    return options->max_pixels >= 1 ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "max_pixels: expected >= 1, got %lld",
                     (long long)options->max_pixels);
}

/* ---- turning --------------------------------------------------------------------------------- */

static uint32_t word(const unsigned char *p, int bytes, bool big)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) v = v << 8 | p[big ? i : bytes - 1 - i];
    return v;
}

int luc_exif_orientation(const unsigned char *tiff, size_t size)
{
    if (size < 8 || (memcmp(tiff, "MM\0*", 4) != 0 && memcmp(tiff, "II*\0", 4) != 0)) return 1;
    const bool big = tiff[0] == 'M';
    size_t at = word(tiff + 4, 4, big);
    if (at > size || size - at < 2) return 1;
    size_t entries = word(tiff + at, 2, big);
    for (at += 2; entries > 0 && size - at >= 12; entries--, at += 12) {
        if (word(tiff + at, 2, big) != 0x0112 || word(tiff + at + 2, 2, big) != 3) continue;
        uint32_t v = word(tiff + at + 8, 2, big);
        return v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}

/* The picture as it is meant to be looked at. EXIF's numbers: 2 mirrored, 3 turned by 180 degrees,
 * 4 upside down, 5 transposed, 6 to be turned clockwise, 7 transposed the other way, 8 to be turned
 * counterclockwise. */
static lucid_tensor *turn(lucid_tensor *t, int orientation)
{
    const int o = orientation;
    if (o <= 1) return t;
    const bool swaps = o >= 5;
    const bool back_y = o == 3 || o == 4 || o == 7 || o == 8; /* rows of the file from the last */
    const bool back_x = o == 2 || o == 3 || o == 6 || o == 7;
    int64_t c = lucid_size(t, 0), h = lucid_size(t, 1), w = lucid_size(t, 2);
    int64_t rows = swaps ? w : h, columns = swaps ? h : w;
    lucid_tensor *out = luc_image_new((int)c, rows, columns, lucid_tensor_dtype(t));
    if (!out) return NULL;
    const size_t size = lucid_dtype_size(lucid_tensor_dtype(t));
    const unsigned char *from = lucid_data(t);
    unsigned char *to = lucid_mutable_data(out);
    for (int64_t k = 0; k < c; k++)
        for (int64_t y = 0; y < rows; y++)
            for (int64_t x = 0; x < columns; x++) {
                /* With a swap, output row y is column y of the file. */
                int64_t fy = swaps ? x : y, fx = swaps ? y : x;
                if (swaps ? back_x : back_y) fy = h - 1 - fy;
                if (swaps ? back_y : back_x) fx = w - 1 - fx;
                memcpy(to, from + (size_t)((k * h + fy) * w + fx) * size, size);
                to += size;
            }
    return out;
}

/* ---- reading --------------------------------------------------------------------------------- */

static lucid_tensor *decode(luc_image_source *source)
{
    lucid_tensor *t = NULL;
    size_t scope = lucid_scope_begin();
    if (!scope) return NULL;
    source->orientation = 1;
    if (luc_png_is(source->bytes, source->size))
        t = luc_png_decode(source);
    else if (luc_jpeg_is(source->bytes, source->size))
        t = luc_jpeg_decode(source);
    else
        luc_raise(LUCID_ERR_FORMAT, source->op, "%s: is neither PNG nor JPEG", source->path);
    if (t) t = turn(t, source->orientation);
    lucid_scope_return(t);
    lucid_scope_end(scope);
    return t;
}

lucid_tensor *lucid_image_decode_opt(const void *bytes, size_t size,
                                     const lucid_image_read_options *options)
{
    static const char op[] = "image_decode";
    options = LUC_OPTIONS(lucid_image_read, options, op);
    if (!options || !check_options(options, op)) return NULL;
    if (!bytes && size)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "bytes: expected %zu bytes, got NULL", size);
    luc_image_source source = {bytes, bytes ? size : 0, op, "image", options, 1};
    return decode(&source);
}

/* Whether the file begins as an image does, so that another one is not read whole. */
static bool begins_as_image(luc_input *in)
{
    unsigned char magic[8];
    const ssize_t n = pread(in->fd, magic, sizeof magic, 0);
    if (n < 0) return luc_raise(LUCID_ERR_IO, in->op, "%s: %s", in->path, strerror(errno));
    return luc_png_is(magic, (size_t)n) || luc_jpeg_is(magic, (size_t)n) ||
           luc_raise(LUCID_ERR_FORMAT, in->op, "%s: is neither PNG nor JPEG", in->path);
}

/* The content of a file, to be freed with luc_free. */
static unsigned char *read_file(const char *path, const char *op, size_t *size)
{
    luc_input in;
    unsigned char *bytes = NULL;
    *size = 0;
    if (luc_input_open(&in, path, op, NULL) && begins_as_image(&in))
        bytes = luc_alloc((size_t)in.file_size, op);
    if (bytes && !luc_input_read(&in, bytes, (size_t)in.file_size, size)) {
        luc_free(bytes);
        bytes = NULL;
    }
    luc_input_close(&in);
    return bytes;
}

lucid_tensor *lucid_image_read_opt(const char *path, const lucid_image_read_options *options)
{
    static const char op[] = "image_read";
    options = LUC_OPTIONS(lucid_image_read, options, op);
    if (!options || !check_options(options, op)) return NULL;
    luc_image_source source = {.op = op, .path = path, .options = options};
    unsigned char *bytes = read_file(path, op, &source.size);
    source.bytes = bytes;
    lucid_tensor *t = bytes ? decode(&source) : NULL;
    luc_free(bytes);
    return t;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Whether the name ends so, in small or capital letters of any locale. */
static bool ends_with(const char *path, const char *end)
{
    size_t n = strlen(path), m = strlen(end);
    if (n <= m) return false;
    for (size_t i = 0; i < m; i++) {
        char c = path[n - m + i];
        if (c >= 'A' && c <= 'Z') c = (char)(c - 'A' + 'a');
        if (c != end[i]) return false;
    }
    return true;
}

/* The sizes of an image to be written; false after an error. */
static bool check_image(const lucid_tensor *image, bool jpeg, luc_pixels *pixels, const char *op)
{
    const int ndim = lucid_ndim(image);
    if (lucid_tensor_dtype(image) != LUCID_U8 || ndim < 2 || ndim > 3)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "image: expected uint8 [C,H,W] or [H,W], got %s %s",
                         lucid_dtype_name(lucid_tensor_dtype(image)), luc_shape_text(image).s);
    int64_t c = ndim == 3 ? lucid_size(image, 0) : 1;
    int64_t h = lucid_size(image, ndim - 2), w = lucid_size(image, ndim - 1);
    if (c < 1 || c > 4 || (jpeg && c % 2 == 0))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "image: expected %s channels, got %s",
                         jpeg ? "1 or 3 (a JPEG has no alpha)" : "1 to 4", luc_shape_text(image).s);
    const int64_t most = jpeg ? 65500 : 1000000; /* libjpeg's limit, libpng's */
    if (h < 1 || w < 1 || h > most || w > most)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "image: expected 1 to %lld pixels each way, got %s", (long long)most,
                         luc_shape_text(image).s);
    *pixels = (luc_pixels){.width = (int)w, .height = (int)h, .channels = (int)c};
    return true;
}

/* The pixels, interleaved, to be freed with luc_free. */
static unsigned char *interleave(const lucid_tensor *image, const luc_pixels *pixels,
                                 const char *op)
{
    const size_t plane = (size_t)pixels->width * (size_t)pixels->height;
    const size_t channels = (size_t)pixels->channels, bytes = plane * channels;
    unsigned char *planes = luc_alloc(bytes, op), *out = planes;
    if (!planes) return NULL;
    bool ok = lucid_copy_to(image, planes, bytes);
    if (ok && channels > 1) {
        out = luc_alloc(bytes, op);
        for (size_t k = 0; out && k < channels; k++)
            for (size_t i = 0; i < plane; i++) out[i * channels + k] = planes[k * plane + i];
        luc_free(planes);
    }
    if (ok) return out;
    luc_free(planes);
    return NULL;
}

bool lucid_image_write_opt(const lucid_tensor *image, const char *path,
                           const lucid_image_write_options *options)
{
    static const char op[] = "image_write";
    options = LUC_OPTIONS(lucid_image_write, options, op);
    if (!options) return false;
    if (lucid_error_code() != LUCID_OK) return false;
    if (!image) return luc_raise(LUCID_ERR_ARGUMENT, op, "image: got NULL");
    if (!path) return luc_raise(LUCID_ERR_ARGUMENT, op, "path: expected a file name, got NULL");
    const bool png = ends_with(path, ".png");
    const bool jpeg = ends_with(path, ".jpg") || ends_with(path, ".jpeg");
    luc_pixels pixels;
    if (!check_image(image, jpeg, &pixels, op)) return false;
    if (!png && !jpeg)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "path: expected a name that ends with .png, .jpg or .jpeg, got '%s'",
                         path);
    if (options->quality < 1 || options->quality > 100)
        return luc_raise(LUCID_ERR_ARGUMENT, op, "quality: expected 1 to 100, got %d",
                         options->quality);
    unsigned char *data = interleave(image, &pixels, op);
    if (!data) return false;
    pixels.data = data;
    bool ok = png ? luc_png_write(&pixels, path, op)
                  : luc_jpeg_write(&pixels, path, op, options->quality);
    luc_free(data);
    return ok;
}
