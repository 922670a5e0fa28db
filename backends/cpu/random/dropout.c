/*
 * dropout.c: dropout and its gradient.
 *
 * Element i, in row-major order of the sizes, is dropped if number i of the stream (lane i % 4 of
 * block offset + i / 4, see lucid_philox) is below p 2^32. So the choice depends neither on the
 * memory layout nor on the threads.
 */
#include "backends/cpu/random/dropout_priv.h"

#include <math.h>

#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/random/philox_priv.h"
#include "backends/cpu/strided/loop.h"
#include "lucid/core/attrs.h"

enum { CHUNK = 1024, GRAIN = 16 * CHUNK };

typedef struct {
    luc_loop loop; /* x, y, mask; or grad, grad_x, mask */
    char *data[3];
    size_t size; /* of an element of x */
    lucid_random_attrs random;
    uint64_t threshold;
    double scale;
    lucid_dtype dtype;
    bool backward;
} dropout;

static void some(const dropout *d, const int64_t *at, int64_t n, const uint32_t *bits)
{
    char *from = d->data[0] + at[0] * (int64_t)d->size, *to = d->data[1] + at[1] * (int64_t)d->size;
    uint8_t *mask = (uint8_t *)d->data[2] + at[2];
    const luc_dropout_table *t = luc_dropout_get();
    if (d->backward)
        t->backward[d->dtype](to, mask, from, n, d->scale);
    else
        t->forward[d->dtype](to, mask, from, bits, n, d->threshold, d->scale);
}

/* The same for n elements at any strides, one by one. */
static void scattered(const dropout *d, const int64_t *at, int64_t n, const uint32_t *bits)
{
    int last = d->loop.ndim - 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t each[3];
        for (int k = 0; k < 3; k++) each[k] = at[k] + i * d->loop.strides[k][last];
        some(d, each, 1, bits + i);
    }
}

static void chunk(const dropout *d, int64_t begin, int64_t n)
{
    uint32_t bits[CHUNK + 4];
    int last = d->loop.ndim - 1;
    int64_t inner = d->loop.dims[last];
    bool dense = true;
    for (int k = 0; k < 3; k++)
        if (d->loop.strides[k][last] != 1) dense = false;
    if (!d->backward)
        luc_random_get()->bits(bits, d->random.seed, d->random.offset + (uint64_t)begin / 4,
                               (n + 3) / 4);
    for (int64_t done = 0; done < n;) {
        int64_t at[LUC_MAX_OPERANDS], first = (begin + done) % inner;
        int64_t m = inner - first < n - done ? inner - first : n - done;
        luc_loop_offsets(&d->loop, (begin + done) / inner, at);
        for (int k = 0; k < 3; k++) at[k] += first * d->loop.strides[k][last];
        if (dense)
            some(d, at, m, bits + done);
        else
            scattered(d, at, m, bits + done);
        done += m;
    }
}

static void block(void *ctx, int64_t begin, int64_t end, int thread)
{
    (void)thread;
    for (; begin < end; begin += CHUNK)
        chunk(ctx, begin, end - begin < CHUNK ? end - begin : CHUNK);
}

static bool run(const lucid_kernel_args *args, const lucid_view *x, const lucid_view *y,
                const lucid_view *mask, bool backward)
{
    const lucid_random_attrs *attrs = args->attrs;
    dropout d = {.random = *attrs,
                 .size = luc_elem_size(x->dtype),
                 .threshold = (uint64_t)llround(attrs->a * 0x1p32),
                 .scale = attrs->a < 1 ? 1 / (1 - attrs->a) : 0,
                 .dtype = x->dtype,
                 .backward = backward,
                 .data = {x->data, y->data, mask->data}};
    d.loop = luc_loop_begin(3);
    for (int i = 0; i < x->ndim; i++) {
        int64_t strides[] = {x->strides[i], y->strides[i], mask->strides[i]};
        luc_loop_add(&d.loop, x->dims[i], strides);
    }
    luc_loop_end(&d.loop);
    luc_parallel_for(luc_view_numel(x), GRAIN, block, &d);
    return true;
}

static bool dropout_forward(const lucid_kernel_args *args)
{
    return run(args, args->in[0], args->out[0], args->out[1], false);
}

static bool dropout_backward(const lucid_kernel_args *args)
{
    return run(args, args->in[0], args->out[0], args->in[1], true);
}

void luc_cpu_register_dropout(lucid_backend *b)
{
    for (int dtype = LUCID_F32; dtype <= LUCID_BF16; dtype++) {
        b->kernels[LUCID_OP_dropout][dtype].run = dropout_forward;
        b->kernels[LUCID_OP_dropout_backward][dtype].run = dropout_backward;
    }
}
