/* tensorboard.c: event files for TensorBoard: records of Protocol Buffers, each with checksums.
 *
 * A record is the length (8 bytes), its checksum (4), the message, its checksum (4), all little
 * endian. A message is an Event: wall_time = 1, step = 2, file_version = 3, summary = 5. */
#include "lucid/io/tensorboard.h"

#include "lucid/core/dangling_priv.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/text_priv.h"
#include "lucid/io/pixels_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct lucid_tensorboard {
    int fd;
    char *path;
};

/* ---- Protocol Buffers ------------------------------------------------------------------------ */

typedef luc_string message;

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void add_varint(message *m, uint64_t v)
{
    unsigned char bytes[10];
    size_t n = 0;
    do {
        bytes[n] = (unsigned char)((v & 127) | (v > 127 ? 128 : 0));
        n++;
    } while ((v >>= 7) != 0);
    luc_string_add(m, (const char *)bytes, n);
}

static void add_little(message *m, uint64_t v, size_t bytes)
{
    unsigned char b[8];
    for (size_t i = 0; i < bytes; i++) b[i] = (unsigned char)(v >> (8 * i));
    luc_string_add(m, (const char *)b, bytes);
}

static void add_key(message *m, unsigned field, unsigned wire)
{
    add_varint(m, field << 3 | wire);
}

static void add_int(message *m, unsigned field, int64_t v)
{
    add_key(m, field, WIRE_VARINT);
    add_varint(m, (uint64_t)v);
}

static void add_double_bits(message *m, double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    add_little(m, bits, 8);
}

static void add_double(message *m, unsigned field, double v)
{
    add_key(m, field, WIRE_64);
    add_double_bits(m, v);
}

static void add_bytes(message *m, unsigned field, const void *data, size_t size)
{
    add_key(m, field, WIRE_BYTES);
    add_varint(m, size);
    luc_string_add(m, data, size);
}

/* A message as a field of another one; it is freed. */
static void add_message(message *m, unsigned field, message *inner)
{
    m->failed |= inner->failed;
    add_bytes(m, field, inner->s ? inner->s : "", inner->length);
    luc_string_free(inner);
}

/* ---- records --------------------------------------------------------------------------------- */

/* CRC-32C (Castagnoli), masked as TensorFlow does it. */
static uint32_t checksum(const void *data, size_t size)
{
    const unsigned char *p = data;
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

static bool write_all(const lucid_tensorboard *board, const char *data, size_t size, const char *op)
{
    while (size > 0) {
        const ssize_t n = write(board->fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return luc_raise(LUCID_ERR_IO, op, "%s: cannot be written: %s", board->path,
                             strerror(errno));
        data += n, size -= (size_t)n;
    }
    return true;
}

/* Writes an event with this field, which is freed, and the time. */
static bool write_event(lucid_tensorboard *board, unsigned field, message *content, int64_t step,
                        const char *op)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    message event = {0}, record = {0};
    add_double(&event, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    if (step) add_int(&event, 2, step);
    add_message(&event, field, content);

    add_little(&record, event.length, 8);
    add_little(&record, record.s ? checksum(record.s, 8) : 0, 4);
    luc_string_add(&record, event.s ? event.s : "", event.length);
    add_little(&record, event.s ? checksum(event.s, event.length) : 0, 4);
    const bool ok =
        !event.failed && !record.failed && write_all(board, record.s, record.length, op);
    luc_string_free(&event);
    luc_string_free(&record);
    return ok;
}

/* A summary with one value, whose other fields are in `value`, which is freed. */
static bool write_value(lucid_tensorboard *board, const char *tag, message *value, int64_t step,
                        const char *op)
{
    message summary = {0};
    add_bytes(value, 1, tag, strlen(tag));
    add_message(&summary, 1, value);
    return write_event(board, 5, &summary, step, op);
}

static bool check(const lucid_tensorboard *board, const char *tag, const char *op)
{
    if (lucid_error_code() != LUCID_OK) return false;
    if (!board) return luc_raise(LUCID_ERR_ARGUMENT, op, "board: got NULL");
    return (tag && *tag) || luc_raise(LUCID_ERR_ARGUMENT, op, "tag: expected a text, got %s",
                                      tag ? "an empty one" : "NULL");
}

/* ---- files ----------------------------------------------------------------------------------- */

static bool make_folder(char *path, const char *op)
{
    for (char *slash = path + 1;; slash++) {
        if (*slash != '/' && *slash) continue;
        const char was = *slash;
        *slash = 0;
        if (mkdir(path, 0777) && errno != EEXIST)
            return luc_raise(LUCID_ERR_IO, op, "%s: the folder cannot be made: %s", path,
                             strerror(errno));
        *slash = was;
        if (!was) return true;
    }
}

lucid_tensorboard *lucid_tensorboard_open(const char *folder)
{
    static const char op[] = "tensorboard_open";
    static atomic_uint opened;
    if (lucid_error_code() != LUCID_OK) return NULL;
    if (!folder || !*folder)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op, "folder: expected a path, got none");
    lucid_tensorboard *board = luc_calloc(1, sizeof *board, op);
    if (!board) return NULL;
    board->fd = -1;
    luc_string name = {0};
    char host[256] = "";
    if (gethostname(host, sizeof host - 1) || !*host || strchr(host, '/')) strcpy(host, "host");
    luc_string_add(&name, folder, strlen(folder));
    if (name.failed || !make_folder(name.s, op)) goto fail;
    luc_string_printf(&name, "/events.out.tfevents.%010lld.%s.%ld.%u", (long long)time(NULL), host,
                      (long)getpid(), atomic_fetch_add(&opened, 1));
    if (name.failed) goto fail;
    board->path = name.s;
    board->fd = open(board->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
    if (board->fd < 0) {
        luc_raise(LUCID_ERR_IO, op, "%s: cannot be made: %s", board->path, strerror(errno));
        goto fail;
    }
    message version = {0};
    luc_string_add(&version, "brain.Event:2", 13);
    if (write_event(board, 3, &version, 0, op)) return board;
    unlink(board->path);
fail:
    if (!board->path) luc_string_free(&name);
    lucid_tensorboard_close(board);
    return NULL;
}

void lucid_tensorboard_close(lucid_tensorboard *board)
{
    if (!board) return;
    if (board->fd >= 0) close(board->fd);
    luc_free(board->path);
    luc_free(board);
}

const char *lucid_tensorboard_path(const lucid_tensorboard *board)
{
    return board ? board->path : NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

bool lucid_tensorboard_scalar(lucid_tensorboard *board, const char *tag, double value, int64_t step)
{
    static const char op[] = "tensorboard_scalar";
    if (!check(board, tag, op)) return false;
    const float narrow = (float)value;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    message m = {0};
    add_key(&m, 2, WIRE_32);
    add_little(&m, bits, 4);
    return write_value(board, tag, &m, step, op);
}

bool lucid_tensorboard_text(lucid_tensorboard *board, const char *tag, const char *text,
                            int64_t step)
{
    static const char op[] = "tensorboard_text";
    if (!check(board, tag, op)) return false;
    if (!text) return luc_raise(LUCID_ERR_ARGUMENT, op, "text: got NULL");
    message m = {0}, tensor = {0}, shape = {0}, dim = {0}, metadata = {0}, plugin = {0};
    add_int(&tensor, 1, 7); /* DT_STRING */
    add_int(&dim, 1, 1);
    add_message(&shape, 2, &dim);
    add_message(&tensor, 2, &shape);
    add_bytes(&tensor, 8, text, strlen(text));
    add_message(&m, 8, &tensor);
    add_bytes(&plugin, 1, "text", 4);
    add_message(&metadata, 1, &plugin);
    add_message(&m, 9, &metadata);
    return write_value(board, tag, &m, step, op);
}

/* The values of a tensor in logical order; NULL after an error. Free with luc_free. */
static double *values_of(const lucid_tensor *tensor, size_t *n, const char *op)
{
    *n = (size_t)lucid_numel(tensor);
    double *v = luc_calloc(*n ? *n : 1, sizeof *v, op);
    if (v && lucid_to_doubles(tensor, v, *n)) return v;
    luc_free(v);
    return NULL;
}

/* The limits of the bins: 1e-12 * 1.1^k on both sides of 0, up to 1e20. */
enum { BINS_OF_A_SIGN = 774 };

static double limit_of(int i)
{
    const int k = i - BINS_OF_A_SIGN; /* 0 is the bin limit between the signs */
    return k == 0 ? 0 : copysign(1e-12 * pow(1.1, fabs((double)k) - 1), k);
}

/* The first bin whose upper limit is above the value. */
static int bin_of(const double *limits, int n, double value)
{
    int low = 0, high = n - 1;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (limits[middle] > value)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static void add_packed(message *m, unsigned field, const double *v, int n)
{
    add_key(m, field, WIRE_BYTES);
    add_varint(m, 8 * (uint64_t)n);
    for (int i = 0; i < n; i++) add_double_bits(m, v[i]);
}

bool lucid_tensorboard_histogram(lucid_tensorboard *board, const char *tag,
                                 const lucid_tensor *values, int64_t step)
{
    static const char op[] = "tensorboard_histogram";
    enum { N = 2 * BINS_OF_A_SIGN + 1 };
    if (!check(board, tag, op)) return false;
    if (!values) return luc_raise(LUCID_ERR_ARGUMENT, op, "values: got NULL");
    if (!luc_is_living(values, op, "values")) return false;
    if (!lucid_numel(values)) return luc_raise(LUCID_ERR_ARGUMENT, op, "values: there is none");
    size_t n;
    double *v = values_of(values, &n, op), limits[N], counts[N] = {0};
    if (!v) return false;
    for (int i = 0; i < N; i++) limits[i] = limit_of(i);
    limits[N - 1] = HUGE_VAL;
    double least = v[0], most = v[0], sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(v[i])) {
            luc_free(v);
            return luc_raise(LUCID_ERR_ARGUMENT, op, "values: value %zu is not finite", i);
        }
        least = fmin(least, v[i]), most = fmax(most, v[i]);
        sum += v[i], squares += v[i] * v[i];
        counts[bin_of(limits, N, v[i])]++;
    }
    limits[N - 1] = 1.7976931348623157e308;
    luc_free(v);
    const int first = bin_of(limits, N, least), last = bin_of(limits, N, most);
    const int from = first > 0 ? first - 1 : 0; /* an empty bin says where the first one begins */
    message m = {0}, h = {0};
    add_double(&h, 1, least);
    add_double(&h, 2, most);
    add_double(&h, 3, (double)n);
    add_double(&h, 4, sum);
    add_double(&h, 5, squares);
    add_packed(&h, 6, limits + from, last - from + 1);
    add_packed(&h, 7, counts + from, last - from + 1);
    add_message(&m, 5, &h);
    return write_value(board, tag, &m, step, op);
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* Pixels as bytes, interleaved; NULL after an error. */
static unsigned char *pixels_of(const lucid_tensor *image, size_t channels, const char *op)
{
    size_t n;
    double *v = values_of(image, &n, op);
    unsigned char *pixels = v ? luc_alloc(n, op) : NULL;
    const double scale = lucid_tensor_dtype(image) == LUCID_U8 ? 1 : 255;
    const size_t plane = n / channels;
    for (size_t i = 0; pixels && i < n; i++) {
        const double x = v[i] * scale;
        const double byte = x >= 0 ? fmin(x, 255) : 0; /* NaN: 0 */
        pixels[i % plane * channels + i / plane] = (unsigned char)byte;
    }
    luc_free(v);
    return pixels;
}

static bool check_image(const lucid_tensor *image, const char *op)
{
    if (!image) return luc_raise(LUCID_ERR_ARGUMENT, op, "image: got NULL");
    if (!luc_is_living(image, op, "image")) return false;
    const lucid_shape s = lucid_tensor_shape(image);
    const int64_t channels = s.ndim == 3 ? s.dims[0] : 1;
    const int64_t h = s.ndim >= 2 ? s.dims[s.ndim - 2] : 0;
    const int64_t w = s.ndim >= 2 ? s.dims[s.ndim - 1] : 0;
    if ((s.ndim != 2 && s.ndim != 3) || channels < 1 || channels > 4 || h < 1 || w < 1 ||
        h > 16384 || w > 16384)
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "image: expected [C,H,W] or [H,W], C 1 to 4, 1 to 16384 pixels each way, "
                         "got %d dimensions, %lld channels of %lld x %lld",
                         s.ndim, (long long)channels, (long long)h, (long long)w);
    const lucid_dtype t = lucid_tensor_dtype(image);
    return t == LUCID_U8 || t == LUCID_F32 || t == LUCID_F64 || t == LUCID_F16 || t == LUCID_BF16 ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "image: expected uint8 or a floating dtype, got %s",
                     lucid_dtype_name(t));
}

unsigned char *luc_tensor_png(const lucid_tensor *image, size_t *size, const char *op)
{
    static const png_uint_32 formats[] = {0, PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB,
                                          PNG_FORMAT_RGBA};
    if (!check_image(image, op)) return NULL;
    const lucid_shape s = lucid_tensor_shape(image);
    const size_t channels = s.ndim == 3 ? (size_t)s.dims[0] : 1;
    png_image png = {.version = PNG_IMAGE_VERSION,
                     .width = (png_uint_32)s.dims[s.ndim - 1],
                     .height = (png_uint_32)s.dims[s.ndim - 2],
                     .format = formats[channels]};
    unsigned char *pixels = pixels_of(image, channels, op), *file = NULL;
    png_alloc_size_t bytes = pixels ? PNG_IMAGE_PNG_SIZE_MAX(png) : 0;
    if (bytes) file = luc_alloc(bytes, op);
    if (file && !png_image_write_to_memory(&png, file, &bytes, 0, pixels, 0, NULL)) {
        luc_raise(LUCID_ERR_IO, op, "image: libpng: %s", png.message);
        luc_free(file);
        file = NULL;
    }
    luc_free(pixels);
    *size = bytes;
    return file;
}

bool lucid_tensorboard_image(lucid_tensorboard *board, const char *tag, const lucid_tensor *image,
                             int64_t step)
{
    static const char op[] = "tensorboard_image";
    if (!check(board, tag, op)) return false;
    size_t size;
    unsigned char *file = luc_tensor_png(image, &size, op);
    if (!file) return false;
    const lucid_shape s = lucid_tensor_shape(image);
    message m = {0}, picture = {0};
    add_int(&picture, 1, s.dims[s.ndim - 2]);
    add_int(&picture, 2, s.dims[s.ndim - 1]);
    add_int(&picture, 3, s.ndim == 3 ? s.dims[0] : 1);
    add_bytes(&picture, 4, file, size);
    add_message(&m, 4, &picture);
    luc_free(file);
    return write_value(board, tag, &m, step, op);
}
