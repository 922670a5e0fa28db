/* generate.c: see generate.h. */
#include "backends/cpu/strided/generate.h"
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/strided/loop.h"
#include "backends/cpu/threads/parallel.h"

#include <string.h>

enum { CHUNK = LUC_GENERATE_CHUNK, GRAIN = 16 * CHUNK };

typedef struct {
    char *data;
    luc_loop loop; /* in logical order; strides in bytes */
    luc_generate_fn fn;
    const void *ctx;
    size_t size;
    bool contiguous, stream;
    const luc_stream_table *streaming;
} job;

/* Elements [begin, begin + n), in logical order, from x to their places. */
static void spread(const job *j, const char *x, int64_t begin, int64_t n)
{
    const int last = j->loop.ndim - 1;
    const int64_t row = j->loop.dims[last], step = j->loop.strides[0][last];
    for (int64_t at = begin; at < begin + n;) {
        const int64_t from = at % row, count = luc_min64(row - from, begin + n - at);
        int64_t offset;
        luc_loop_offsets(&j->loop, at / row, &offset);
        char *y = j->data + offset + from * step;
        for (int64_t i = 0; i < count; i++, x += j->size) memcpy(y + i * step, x, j->size);
        at += count;
    }
}

static void run(void *ctx, int64_t begin, int64_t end, int thread)
{
    const job *j = ctx;
    _Alignas(64) char chunk[CHUNK * 8];
    (void)thread;
    for (int64_t i = begin; i < end; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;
        char *y = j->data + i * (int64_t)j->size;
        if (j->contiguous && !j->stream) {
            j->fn(j->ctx, i, n, y);
            continue;
        }
        j->fn(j->ctx, i, n, chunk);
        if (j->contiguous)
            j->streaming->copy(y, chunk, (size_t)n * j->size);
        else
            spread(j, chunk, i, n);
    }
    if (j->stream) j->streaming->fence();
}

void luc_generate(const lucid_view *out, luc_generate_fn fn, const void *ctx)
{
    int64_t n = luc_view_numel(out);
    if (n == 0) return;
    job j = {.data = out->data, .fn = fn, .ctx = ctx, .size = luc_elem_size(out->dtype)};
    j.loop = luc_loop_begin(1);
    for (int d = 0; d < out->ndim; d++) {
        const int64_t stride = out->strides[d] * (int64_t)j.size;
        luc_loop_add(&j.loop, out->dims[d], &stride);
    }
    luc_loop_end(&j.loop);
    j.contiguous = luc_view_is_contiguous(out);
    j.stream = j.contiguous && luc_streams(n * (int64_t)j.size);
    j.streaming = luc_stream_get();
    luc_parallel_for(n, GRAIN, run, &j);
}
