/* image_png.c: reading PNG with libpng. */
#include "lucid/core/error_priv.h"
#include "lucid/io/pixels_priv.h"
#include "lucid/core/memory_priv.h"

#include <png.h>
#include <string.h>

/* What lives beyond libpng's jumps. */
typedef struct reader {
    luc_image_source *source;
    size_t at; /* how far the bytes have been read */
    lucid_tensor *t;
    unsigned char *rows; /* memory of one row, or of all where they are interlaced */
    bool failed;         /* an error was raised already */
} reader;

bool luc_png_is(const unsigned char *bytes, size_t size)
{
    return size >= 8 && png_sig_cmp(bytes, 0, 8) == 0;
}

static void on_error(png_structp png, png_const_charp message)
{
    reader *r = png_get_error_ptr(png);
    if (!r->failed)
        luc_raise(LUCID_ERR_FORMAT, r->source->op, "%s: is a damaged PNG: %s", r->source->path,
                  message);
    r->failed = true;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp on_alloc(png_structp png, png_alloc_size_t size)
{
    reader *r = png_get_mem_ptr(png);
    png_voidp p = luc_alloc(size, r->source->op);
    if (!p) r->failed = true; /* libpng may only say that a chunk is bad then */
    return p;
}

static void on_free(png_structp png, png_voidp p)
{
    (void)png;
    luc_free(p);
}

static void on_read(png_structp png, png_bytep data, size_t size)
{
    reader *r = png_get_io_ptr(png);
    if (size > r->source->size - r->at) png_error(png, "it is cut off");
    memcpy(data, r->source->bytes + r->at, size);
    r->at += size;
}

/* Deflate makes at most 1032 bytes of one: what the header promises is checked before memory is
 * taken for it. */
static bool check_sizes(reader *r, png_structp png, png_infop info)
{
    const uint64_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    if (!luc_image_check(r->source, width, height)) return false;
    uint64_t bits = (uint64_t)png_get_bit_depth(png, info) * png_get_channels(png, info);
    if (height * (width * bits / 8) <= 1032 * (uint64_t)r->source->size) return true;
    return luc_raise(LUCID_ERR_FORMAT, r->source->op,
                     "%s: is a damaged PNG: it promises %llu x %llu pixels, more than %zu bytes "
                     "can hold",
                     r->source->path, (unsigned long long)width, (unsigned long long)height,
                     r->source->size);
}

/* Asks libpng for samples of 8 bits, or of 16 where they are kept, without palettes. */
static bool set_up(png_structp png, png_infop info, bool wide)
{
    const bool deep = wide && png_get_bit_depth(png, info) == 16;
    png_set_expand(png);
    if (!deep) png_set_scale_16(png);
    return deep;
}

/* Puts a row where it belongs. */
static void take_row(const reader *r, const unsigned char *row, size_t y, size_t width,
                     size_t height, int from, int to)
{
    const size_t plane = width * height;
    if (lucid_tensor_dtype(r->t) == LUCID_I32)
        luc_image_row16(row, width, from, (int32_t *)lucid_mutable_data(r->t) + y * width, plane,
                        to);
    else
        luc_image_row(row, width, from, (unsigned char *)lucid_mutable_data(r->t) + y * width,
                      plane, to);
}

static void read_orientation(reader *r, png_structp png, png_infop info)
{
    png_uint_32 size = 0;
    png_bytep exif = NULL;
    if (r->source->options->orient && png_get_eXIf_1(png, info, &size, &exif) && exif)
        r->source->orientation = luc_exif_orientation(exif, size);
}

/* Reads the rows. An interlaced picture is whole only after its last pass. */
static bool read_rows(reader *r, png_structp png, png_infop info, int channels)
{
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    const size_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    const size_t bytes = png_get_rowbytes(png, info), keep = passes > 1 ? height : 1;
    const int from = png_get_channels(png, info);
    size_t all;
    if (!luc_mul_size(bytes, keep, &all)) png_error(png, "its sizes are too large");
    r->rows = luc_alloc(all, r->source->op);
    if (!r->rows) return false;
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) {
            unsigned char *row = r->rows + (passes > 1 ? y * bytes : 0);
            png_read_row(png, row, NULL);
            if (pass == passes - 1) take_row(r, row, y, width, height, from, channels);
        }
    return true;
}

/* Everything that may jump back. No local variable changes after setjmp. */
static bool decode(reader *r, png_structp png, png_infop info)
{
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_read_fn(png, r, on_read);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff); /* the number of pixels is checked instead */
    png_read_info(png, info);
    if (!check_sizes(r, png, info)) return false;
    const bool deep = set_up(png, info, r->source->options->wide);
    const int type = png_get_color_type(png, info);
    const bool alpha = (type & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, info, PNG_INFO_tRNS);
    const int channels = (type & PNG_COLOR_MASK_COLOR ? 3 : 1) + alpha;
    const int to = luc_image_channels(r->source->options->mode, channels);
    r->t = luc_image_new(to, (int64_t)png_get_image_height(png, info),
                         (int64_t)png_get_image_width(png, info), deep ? LUCID_I32 : LUCID_U8);
    if (!r->t || !read_rows(r, png, info, to)) return false;
    png_read_end(png, info);
    read_orientation(r, png, info);
    return true;
}

lucid_tensor *luc_png_decode(luc_image_source *source)
{
    reader r = {.source = source};
    png_infop info = NULL;
    png_structp png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning, &r,
                                               on_alloc, on_free);
    if (png) info = png_create_info_struct(png);
    bool ok = info && decode(&r, png, info);
    if (!info) luc_raise(LUCID_ERR_MEMORY, source->op, "%s: no memory for libpng", source->path);
    png_destroy_read_struct(&png, &info, NULL);
    luc_free(r.rows);
    return ok ? r.t : NULL;
}
