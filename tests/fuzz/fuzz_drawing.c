/* Plots, lines, texts and rectangles of any numbers: a picture or an error, and an end. */
#include "tests/fuzz/fuzz.h"

#include "lucid/plot/plot.h"

#include <string.h>

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

/* The next bytes of the input; zeros after its end. */
static void take(input *in, void *to, size_t size)
{
    memset(to, 0, size);
    size_t n = size < in->left ? size : in->left;
    memcpy(to, in->at, n);
    in->at += n;
    in->left -= n;
}

static unsigned take_byte(input *in)
{
    uint8_t byte;
    take(in, &byte, 1);
    return byte;
}

static int take_int(input *in)
{
    static const int edges[] = {0, 1, -1, 16384, INT32_MAX, INT32_MIN, 100, 20};
    unsigned kind = take_byte(in);
    int value = 0;
    if (kind < 8) return edges[kind];
    take(in, &value, kind % 4 + 1);
    return value;
}

/* Any bits, or one of the numbers where things change. */
static double take_double(input *in)
{
    static const double edges[] = {0,     1,      -1,  5,   5e-324, 2.3e-308,      1e-300, 1e300,
                                   1e308, -1e308, 0.1, 1e9, 4.3e9,  -2147483649.0, 1.8e19, 1e-9};
    unsigned kind = take_byte(in);
    double value = 0;
    if (kind < 16) return edges[kind];
    if (kind < 128) return (double)(int)take_byte(in) - 100;
    take(in, &value, sizeof value);
    return value;
}

static void draw_plot(input *in)
{
    enum { VALUES = 12 };
    double x[VALUES], y[VALUES];
    unsigned flags = take_byte(in), n = take_byte(in) % (VALUES + 1);
    for (unsigned i = 0; i < n; i++) x[i] = take_double(in), y[i] = take_double(in);
    lucid_series s = {.name = flags & 1 ? "s" : NULL,
                      .x = flags & 2 ? x : NULL,
                      .y = y,
                      .n = n,
                      .smooth = flags & 4 ? take_double(in) : 0,
                      .markers = flags & 8};
    lucid_panel p = {
        .title = flags & 16 ? "title" : NULL, .series = &s, .count = 1, .log_y = flags & 32};
    if (flags & 64) p.y_min = take_double(in);
    if (flags & 128) p.y_max = take_double(in);
    lucid_plot_options o = lucid_plot_defaults;
    o.width = 20 + (int)take_byte(in), o.height = 20 + (int)take_byte(in);
    lucid_image_free(lucid_plot_opt(&p, 1, &o));
}

static void draw_shapes(input *in)
{
    static const uint8_t gray[6] = {0, 50, 100, 150, 200, 250};
    lucid_image *image = lucid_image_new(1 + (int)take_byte(in), 1 + (int)take_byte(in), 0xffffff);
    while (image && in->left) {
        double d[8];
        int k[4];
        unsigned kind = take_byte(in) % 4;
        for (int i = 0; i < 8 && kind < 2; i++) d[i] = take_double(in);
        for (int i = 0; i < 4 && kind >= 2; i++) k[i] = take_int(in);
        if (kind == 0) lucid_image_line(image, d, 3, d[6], 0x123456, d[7]);
        if (kind == 1) lucid_image_text(image, d[0], d[1], d[2], 0x654321, "a\xff%Q");
        if (kind == 2) lucid_image_rect(image, k[0], k[1], k[2], k[3], 0x112233, take_double(in));
        if (kind == 3) lucid_image_gray(image, k[0], k[1], k[2], gray, 2, 3);
    }
    lucid_image_free(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    char path[64];
    int fd = fuzz_open(data, size, path);
    if (take_byte(&in) % 2)
        draw_plot(&in);
    else
        draw_shapes(&in);
    fuzz_close(fd, lucid_error_code() != LUCID_OK);
    return 0;
}
