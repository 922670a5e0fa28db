/* image_jpeg.c: reading and writing JPEG with libjpeg(-turbo). */
#include "lucid/core/error_priv.h"
#include "lucid/io/output_priv.h"
#include "lucid/io/pixels_priv.h"
#include "lucid/core/memory_priv.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>

/* A progressive file may have any number of scans, each as long as the picture to go through. */
enum { MOST_SCANS = 500, OUT_SIZE = 1 << 16 };

/* libjpeg's error manager first: it is found by a cast. */
typedef struct manager {
    struct jpeg_error_mgr base;
    jmp_buf back;
    const char *op, *path;
    bool reading, failed; /* failed: an error was raised already */
} manager;

/* libjpeg's own text is in the C locale's plain ASCII and at most JMSG_LENGTH_MAX long. */
static void fail(j_common_ptr c)
{
    manager *m = (manager *)c->err;
    if (!m->failed) {
        char text[JMSG_LENGTH_MAX];
        c->err->format_message(c, text);
        bool memory = c->err->msg_code == JERR_OUT_OF_MEMORY;
        luc_raise(memory       ? LUCID_ERR_MEMORY
                  : m->reading ? LUCID_ERR_FORMAT
                               : LUCID_ERR_IO,
                  m->op, "%s: %s: %s", m->path,
                  memory       ? "out of memory"
                  : m->reading ? "is a damaged JPEG"
                               : "cannot write",
                  text);
    }
    m->failed = true;
    longjmp(m->back, 1);
}

/* Warnings come with level -1. After these the picture has holes. */
static void on_message(j_common_ptr c, int level)
{
    if (level >= 0) return;
    switch (c->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
        fail(c);
        break;
    default:
        c->err->num_warnings++;
    }
}

static void on_output(j_common_ptr c)
{
    (void)c;
}

static struct jpeg_error_mgr *manage(manager *m, const char *op, const char *path, bool reading)
{
    *m = (manager){.op = op, .path = path, .reading = reading};
    jpeg_std_error(&m->base);
    m->base.error_exit = fail;
    m->base.emit_message = on_message;
    m->base.output_message = on_output;
    return &m->base;
}

bool lucid_image_has_jpeg(void)
{
    return true;
}

bool luc_jpeg_is(const unsigned char *bytes, size_t size)
{
    return size >= 3 && bytes[0] == 0xff && bytes[1] == 0xd8 && bytes[2] == 0xff;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What lives beyond libjpeg's jumps. */
typedef struct reader {
    manager errors;
    struct jpeg_decompress_struct c;
    struct jpeg_progress_mgr progress;
    luc_image_source *source;
    lucid_tensor *t;
    unsigned char *row;
} reader;

static void on_progress(j_common_ptr c)
{
    const j_decompress_ptr d = (j_decompress_ptr)c;
    manager *m = (manager *)c->err;
    if (d->input_scan_number <= MOST_SCANS || m->failed) return;
    luc_raise(LUCID_ERR_FORMAT, m->op, "%s: is a damaged JPEG: it has more than %d scans", m->path,
              MOST_SCANS);
    m->failed = true;
    longjmp(m->back, 1);
}

static void read_orientation(reader *r)
{
    if (!r->source->options->orient) return;
    for (jpeg_saved_marker_ptr p = r->c.marker_list; p; p = p->next)
        if (p->marker == JPEG_APP0 + 1 && p->data_length > 6 &&
            memcmp(p->data, "Exif\0\0", 6) == 0) {
            r->source->orientation = luc_exif_orientation(p->data + 6, p->data_length - 6);
            return;
        }
}

/* CMYK to RGB in place, four bytes to three. Adobe's programs write it the other way round. */
static void cmyk_row(unsigned char *row, size_t width, bool inverted)
{
    const unsigned char *from = row;
    for (size_t x = 0; x < width; x++, from += 4, row += 3) {
        const unsigned flip = inverted ? 0 : 255, k = from[3] ^ flip;
        for (int i = 0; i < 3; i++) {
            unsigned v = (from[i] ^ flip) * k + 128; /* / 255, rounded */
            row[i] = (unsigned char)((v + (v >> 8)) >> 8);
        }
    }
}

/* What libjpeg is asked for: gray, RGB or CMYK. A mode without colours takes Y as it is. */
static void choose_colours(reader *r)
{
    const lucid_image_mode mode = r->source->options->mode;
    const J_COLOR_SPACE space = r->c.jpeg_color_space;
    const bool gray = mode == LUCID_IMAGE_GRAY || mode == LUCID_IMAGE_GRAY_ALPHA;
    if (space == JCS_CMYK || space == JCS_YCCK)
        r->c.out_color_space = JCS_CMYK;
    else if (space == JCS_GRAYSCALE || (gray && space == JCS_YCbCr))
        r->c.out_color_space = JCS_GRAYSCALE;
    else
        r->c.out_color_space = JCS_RGB;
}

static void read_rows(reader *r, int from, int to)
{
    const size_t width = r->c.output_width, plane = width * r->c.output_height;
    const bool cmyk = r->c.out_color_space == JCS_CMYK;
    unsigned char *out = lucid_mutable_data(r->t);
    while (r->c.output_scanline < r->c.output_height) {
        const size_t y = r->c.output_scanline;
        if (jpeg_read_scanlines(&r->c, &r->row, 1) != 1) ERREXIT(&r->c, JERR_INPUT_EMPTY);
        if (cmyk) cmyk_row(r->row, width, r->c.saw_Adobe_marker);
        luc_image_row(r->row, width, from, out + y * width, plane, to);
    }
}

/* Everything that may jump back. No local variable changes after setjmp. */
static bool decode(reader *r)
{
    luc_image_source *s = r->source;
    if (setjmp(r->errors.back)) return false;
    jpeg_create_decompress(&r->c);
    r->progress.progress_monitor = on_progress;
    r->c.progress = &r->progress;
    jpeg_mem_src(&r->c, s->bytes, (unsigned long)s->size);
    if (s->options->orient) jpeg_save_markers(&r->c, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&r->c, TRUE);
    if (!luc_image_check(s, r->c.image_width, r->c.image_height)) return false;
    /* A block of 8 x 8 takes a bit at least, except in arithmetic coding, which is rare. */
    if ((uint64_t)r->c.image_width * r->c.image_height / 65536 > s->size)
        return luc_raise(LUCID_ERR_FORMAT, s->op,
                         "%s: is a damaged JPEG: it promises %u x %u pixels in %zu bytes", s->path,
                         r->c.image_width, r->c.image_height, s->size);
    read_orientation(r); /* libjpeg forgets the markers when it has finished */
    choose_colours(r);
    jpeg_start_decompress(&r->c);
    const int from = r->c.out_color_space == JCS_GRAYSCALE ? 1 : 3;
    const int to = luc_image_channels(s->options->mode, from);
    r->t = luc_image_new(to, r->c.output_height, r->c.output_width, LUCID_U8);
    r->row = luc_alloc((size_t)r->c.output_width * 4, s->op);
    if (!r->t || !r->row) return false;
    read_rows(r, from, to);
    jpeg_finish_decompress(&r->c);
    return true;
}

lucid_tensor *luc_jpeg_decode(luc_image_source *source)
{
    reader r = {.source = source};
    r.c.err = manage(&r.errors, source->op, source->path, true);
    bool ok = decode(&r);
    jpeg_destroy_decompress(&r.c);
    luc_free(r.row);
    return ok ? r.t : NULL;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* libjpeg's destination first: it is found by a cast. */
typedef struct writer {
    struct jpeg_destination_mgr base;
    manager errors;
    struct jpeg_compress_struct c;
    luc_output out;
    JOCTET buffer[OUT_SIZE];
} writer;

static void out_begin(j_compress_ptr c)
{
    writer *w = (writer *)c->dest;
    w->base.next_output_byte = w->buffer;
    w->base.free_in_buffer = OUT_SIZE;
}

static void out_write(writer *w, size_t size)
{
    if (luc_output_write(&w->out, w->buffer, size)) return;
    w->errors.failed = true;
    longjmp(w->errors.back, 1);
}

static boolean out_full(j_compress_ptr c)
{
    out_write((writer *)c->dest, OUT_SIZE);
    out_begin(c);
    return TRUE;
}

static void out_end(j_compress_ptr c)
{
    writer *w = (writer *)c->dest;
    out_write(w, OUT_SIZE - w->base.free_in_buffer);
}

/* Everything that may jump back. No local variable changes after setjmp. */
static bool encode(writer *w, const luc_pixels *pixels, int quality)
{
    if (setjmp(w->errors.back)) return false;
    jpeg_create_compress(&w->c);
    w->base.init_destination = out_begin;
    w->base.empty_output_buffer = out_full;
    w->base.term_destination = out_end;
    w->c.dest = &w->base;
    w->c.image_width = (JDIMENSION)pixels->width;
    w->c.image_height = (JDIMENSION)pixels->height;
    w->c.input_components = pixels->channels;
    w->c.in_color_space = pixels->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&w->c);
    jpeg_set_quality(&w->c, quality, TRUE);
    jpeg_start_compress(&w->c, TRUE);
    while (w->c.next_scanline < w->c.image_height) {
        /* The interface takes rows that are not constant, and reads them only. */
        JSAMPROW row = (JSAMPROW)(uintptr_t)(pixels->data + (size_t)w->c.next_scanline *
                                                                (size_t)pixels->width *
                                                                (size_t)pixels->channels);
        jpeg_write_scanlines(&w->c, &row, 1);
    }
    jpeg_finish_compress(&w->c);
    return true;
}

bool luc_jpeg_write(const luc_pixels *pixels, const char *path, const char *op, int quality)
{
    writer *w = luc_calloc(1, sizeof *w, op);
    if (!w) return false;
    bool ok = luc_output_open(&w->out, path, op);
    if (ok) {
        w->c.err = manage(&w->errors, op, path, false);
        ok = encode(w, pixels, quality);
        jpeg_destroy_compress(&w->c);
        ok = luc_output_close(&w->out, ok && luc_output_check(&w->out));
    }
    luc_free(w);
    return ok;
}
