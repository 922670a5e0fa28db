/*
 * random.c: uniform, normal, randint and bernoulli.
 *
 * All of them draw from Philox4x32-10 (lucid_philox), where lane l of block b is the 32-bit number
 * 4 b + l. From the block `offset` on, element i takes
 *   uniform f32    number i: its upper 24 bits over 2^24; f16, bf16: its upper 11 or 8 bits
 *   uniform f64    numbers 2i (upper half) and 2i+1: the upper 53 bits over 2^53
 *   normal f32     numbers i and its neighbour of the pair (2j, 2j+1): see philox_priv.h; the
 *                  16-bit types round the float
 *   normal f64     the pair of elements (2j, 2j+1) takes block j: u from its first two numbers, the
 *                  angle from the others, 53 bits each
 *   randint        numbers 2i (upper half) and 2i+1: low + the upper 64 bits of their product with
 *                  high - low
 *   bernoulli      number i: 1 where it is below p 2^32
 */
#include "backends/cpu/strided/generate.h"
#include "backends/cpu/copy/convert.h"
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/random/philox_priv.h"
#include "lucid/core/attrs.h"

#include <math.h>

enum { CHUNK = LUC_GENERATE_CHUNK };
#define TWO_PI 6.28318530717958647693

typedef struct {
    lucid_random_attrs a;
    lucid_dtype type;
    luc_convert_fn convert; /* to the view's type */
    const luc_random_table *loops;
    float last; /* last, of uniform: the largest float below b */
} draw;

/* Draws the 32-bit numbers of elements [begin, begin + n), `each` of them for an element; begin is
 * a multiple of 4. Needs memory for CHUNK * each numbers, and for the rest of a block. */
static void draw_bits(const draw *d, int64_t begin, int64_t n, int each, uint32_t *bits)
{
    uint64_t block = d->a.offset + (uint64_t)begin * (uint64_t)each / 4;
    d->loops->bits(bits, d->a.seed, block, (n * each + 3) / 4);
}

static uint64_t wide(const uint32_t *bits)
{
    return (uint64_t)bits[0] << 32 | bits[1];
}

/* [0, 1) */
static double unit(const uint32_t *bits)
{
    return (double)(wide(bits) >> 11) * 0x1p-53;
}

/* -- uniform -- */
static void uniform_f32(const void *ctx, int64_t begin, int64_t n, void *y)
{
    const draw *d = ctx;
    uint32_t bits[CHUNK];
    draw_bits(d, begin, n, 1, bits);
    d->loops->uniform(y, bits, n, (float)d->a.a, (float)d->a.b, d->last);
}

static void uniform_f64(const void *ctx, int64_t begin, int64_t n, void *y_)
{
    const draw *d = ctx;
    double *y = y_;
    uint32_t bits[2 * CHUNK];
    draw_bits(d, begin, n, 2, bits);
    const double width = d->a.b - d->a.a, last = nextafter(d->a.b, d->a.a);
    for (int64_t i = 0; i < n; i++) {
        double x = d->a.a + width * unit(bits + 2 * i);
        y[i] = x < last ? x : last;
    }
}

/* The 16-bit types have 11 and 8 bits of precision. A number with more bits could be rounded up to
 * b. */
static void uniform_16(const void *ctx, int64_t begin, int64_t n, void *y_)
{
    const draw *d = ctx;
    uint16_t *y = y_;
    uint32_t bits[CHUNK];
    draw_bits(d, begin, n, 1, bits);
    const bool half = d->type == LUCID_F16;
    const int shift = half ? 21 : 24;
    const float scale = half ? 0x1p-11f : 0x1p-8f, a = (float)d->a.a, width = (float)d->a.b - a;
    uint16_t (*narrow)(float) = half ? lucid_f32_to_f16 : lucid_f32_to_bf16;
    float (*widen)(uint16_t) = half ? lucid_f16_to_f32 : lucid_bf16_to_f32;
    const float b = (float)d->a.b;
    const uint16_t first = narrow(a);
    for (int64_t i = 0; i < n; i++) {
        y[i] = narrow(a + width * ((float)(bits[i] >> shift) * scale));
        if (widen(y[i]) >= b) y[i] = first;
    }
}

/* -- normal -- */
static void normal_f32(const void *ctx, int64_t begin, int64_t n, void *y_)
{
    const draw *d = ctx;
    float *y = y_;
    uint32_t bits[CHUNK + 4];
    draw_bits(d, begin, n, 1, bits);
    const float mean = (float)d->a.a, std = (float)d->a.b;
    d->loops->normal(y, bits, n / 2, mean, std);
    if (n % 2) {
        float pair[2];
        d->loops->normal(pair, bits + n - 1, 1, mean, std);
        y[n - 1] = pair[0];
    }
}

static void normal_16(const void *ctx, int64_t begin, int64_t n, void *y)
{
    const draw *d = ctx;
    float x[CHUNK];
    normal_f32(ctx, begin, n, x);
    d->convert(y, x, n);
}

static void normal_f64(const void *ctx, int64_t begin, int64_t n, void *y_)
{
    const draw *d = ctx;
    double *y = y_;
    uint32_t bits[2 * CHUNK + 4];
    draw_bits(d, begin, n, 2, bits);
    for (int64_t i = 0; i < n; i += 2) {
        double u = unit(bits + 2 * i) + 0x1p-53, t = TWO_PI * unit(bits + 2 * i + 2);
        double r = sqrt(-2 * log(u)) * d->a.b;
        y[i] = d->a.a + r * cos(t);
        if (i + 1 < n) y[i + 1] = d->a.a + r * sin(t);
    }
}

/* -- integers -- */
static void randint(const void *ctx, int64_t begin, int64_t n, void *y)
{
    const draw *d = ctx;
    __extension__ typedef unsigned __int128 product;
    const uint64_t range = (uint64_t)d->a.high - (uint64_t)d->a.low;
    uint32_t bits[2 * CHUNK];
    int64_t x[CHUNK];
    draw_bits(d, begin, n, 2, bits);
    for (int64_t i = 0; i < n; i++) {
        uint64_t below = (uint64_t)((product)wide(bits + 2 * i) * range >> 64);
        x[i] = (int64_t)((uint64_t)d->a.low + below);
    }
    d->convert(y, x, n);
}

static void bernoulli(const void *ctx, int64_t begin, int64_t n, void *y)
{
    const draw *d = ctx;
    uint32_t bits[CHUNK];
    uint8_t x[CHUNK];
    draw_bits(d, begin, n, 1, bits);
    const uint64_t limit = (uint64_t)(d->a.a * 0x1p32);
    for (int64_t i = 0; i < n; i++) x[i] = bits[i] < limit;
    d->convert(y, x, n);
}

static bool random_kernel(const lucid_kernel_args *args)
{
    const lucid_view *y = args->out[0];
    draw d = {.a = *(const lucid_random_attrs *)args->attrs, .type = y->dtype};
    const luc_convert_table *convert = luc_convert_get();
    luc_generate_fn fn = NULL;
    d.loops = luc_random_get();
    const bool f32 = y->dtype == LUCID_F32, f64 = y->dtype == LUCID_F64;
    switch (args->op) {
    case LUCID_OP_uniform:
        d.last = nextafterf((float)d.a.b, (float)d.a.a);
        fn = f32 ? uniform_f32 : f64 ? uniform_f64 : uniform_16;
        break;
    case LUCID_OP_normal:
        d.convert = convert->fn[LUCID_F32][y->dtype];
        fn = f32 ? normal_f32 : f64 ? normal_f64 : normal_16;
        break;
    case LUCID_OP_randint:
        d.convert = convert->fn[LUCID_I64][y->dtype];
        fn = randint;
        break;
    default:
        d.convert = convert->fn[LUCID_U8][y->dtype];
        fn = bernoulli;
        break;
    }
    luc_generate(y, fn, &d);
    return true;
}

void luc_cpu_register_random(lucid_backend *b)
{
    for (int type = 0; type < LUCID_DTYPE_COUNT; type++) {
        if (type < LUCID_I64) {
            b->kernels[LUCID_OP_uniform][type].run = random_kernel;
            b->kernels[LUCID_OP_normal][type].run = random_kernel;
        }
        b->kernels[LUCID_OP_randint][type].run = random_kernel;
        b->kernels[LUCID_OP_bernoulli][type].run = random_kernel;
    }
}
