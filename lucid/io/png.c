#include "lucid/io/png.h"

#include "lucid/core/error_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/io/pixels_priv.h"
#include "lucid/core/memory_priv.h"

#include <png.h>
#include <string.h>
#include <unistd.h>

/* libpng reports through these; `failed` remembers that an error was raised already. */
typedef struct writer {
    luc_output out;
    const char *op, *path;
    uint64_t at;   /* where the reading back is */
    png_bytep row; /* that was read back */
    bool failed;
} writer;

static void on_error(png_structp png, png_const_charp message)
{
    writer *w = png_get_error_ptr(png);
    if (!w->failed) luc_raise(LUCID_ERR_IO, w->op, "%s: cannot write: %s", w->path, message);
    w->failed = true;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp on_alloc(png_structp png, png_alloc_size_t size)
{
    writer *w = png_get_mem_ptr(png);
    png_voidp p = luc_alloc(size, w->op);
    if (!p) w->failed = true; /* libpng says only "zlib error" then, or nothing */
    return p;
}

static void on_free(png_structp png, png_voidp p)
{
    (void)png;
    luc_free(p);
}

static void on_write(png_structp png, png_bytep data, size_t size)
{
    writer *w = png_get_io_ptr(png);
    if (luc_output_write(&w->out, data, size)) return;
    w->failed = true;
    png_error(png, "cannot write");
}

static void on_flush(png_structp png)
{
    (void)png;
}

static size_t row_bytes(const luc_pixels *image)
{
    return (size_t)image->width * (size_t)image->channels;
}

/* The part from which libpng may jump back. No local variable changes after setjmp. */
static bool encode(writer *w, png_structp png, png_infop info, const luc_pixels *image)
{
    static const int types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                PNG_COLOR_TYPE_RGB_ALPHA};
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_write_fn(png, w, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 types[image->channels - 1], PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int y = 0; y < image->height; y++)
        png_write_row(png, image->data + (size_t)y * row_bytes(image));
    png_write_end(png, info);
    return true;
}

/* ---- reading back ---------------------------------------------------------------------------- */

static void on_read(png_structp png, png_bytep data, size_t size)
{
    writer *w = png_get_io_ptr(png);
    ssize_t n = pread(w->out.fd, data, size, (off_t)w->at);
    if (n < 0 || (size_t)n != size) png_error(png, "the file that was written ends early");
    w->at += size;
}

/* Reads the file; the pixels must be those of the picture. */
static bool decode(writer *w, png_structp png, png_infop info, const luc_pixels *image)
{
    if (setjmp(png_jmpbuf(png))) return false;
    png_set_read_fn(png, w, on_read);
    png_read_info(png, info);
    size_t bytes = row_bytes(image);
    if (png_get_image_width(png, info) != (png_uint_32)image->width ||
        png_get_image_height(png, info) != (png_uint_32)image->height ||
        png_get_rowbytes(png, info) != bytes)
        png_error(png, "what was read back has other sizes");
    for (int y = 0; y < image->height; y++) {
        png_read_row(png, w->row, NULL);
        if (memcmp(w->row, image->data + (size_t)y * bytes, bytes) != 0)
            png_error(png, "what was read back has other pixels");
    }
    png_read_end(png, NULL);
    return true;
}

static bool is_right(writer *w, const luc_pixels *image)
{
    png_infop info = NULL;
    png_structp png = NULL;
    w->row = luc_alloc(row_bytes(image), w->op);
    if (w->row)
        png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, w, on_error, on_warning, w, on_alloc,
                                       on_free);
    if (png) info = png_create_info_struct(png);
    bool ok = info && decode(w, png, info, image);
    if (!info) luc_raise(LUCID_ERR_MEMORY, w->op, "%s: no memory for libpng", w->path);
    png_destroy_read_struct(&png, &info, NULL);
    luc_free(w->row);
    return ok;
}

static bool write_picture(writer *w, const luc_pixels *image)
{
    png_infop info = NULL;
    png_structp png = png_create_write_struct_2(PNG_LIBPNG_VER_STRING, w, on_error, on_warning, w,
                                                on_alloc, on_free);
    if (png) info = png_create_info_struct(png);
    bool ok = info && encode(w, png, info, image);
    if (!info) luc_raise(LUCID_ERR_MEMORY, w->op, "%s: no memory for libpng", w->path);
    png_destroy_write_struct(&png, &info);
    return ok && !w->failed;
}

bool luc_png_write(const luc_pixels *pixels, const char *path, const char *op)
{
    writer w = {.op = op, .path = path};
    if (!luc_output_open(&w.out, path, op)) return false;
    bool ok = write_picture(&w, pixels) && luc_output_check(&w.out) && is_right(&w, pixels);
    return luc_output_close(&w.out, ok);
}

bool lucid_image_write_png(const lucid_image *image, const char *path)
{
    static const char op[] = "image_write_png";
    if (!image) return luc_raise(LUCID_ERR_ARGUMENT, op, "image: got NULL");
    if (!image->pixels || image->width < 1 || image->height < 1)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "image: expected pixels of at least 1x1, got %s of %dx%d",
                         image->pixels ? "some" : "none", image->width, image->height);
    if (lucid_error_code() != LUCID_OK) return false;
    const luc_pixels pixels = {image->pixels, image->width, image->height, 3};
    return luc_png_write(&pixels, path, op);
}
