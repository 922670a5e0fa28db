/* generate.c: see generate.h. */
#include "backends/cpu/strided/generate.h"
#include "backends/cpu/elementwise/elementwise_priv.h"
#include "backends/cpu/strided/iterate.h"
#include "backends/cpu/threads/parallel.h"

#include <string.h>

enum { CHUNK = LUC_GENERATE_CHUNK, GRAIN = 16 * CHUNK };
/* An output of at least this size leaves the cache before it is read again. */
#define STREAM_BYTES ((int64_t)8 << 20)

typedef struct {
    const lucid_view *out;
    luc_generate_fn fn;
    const void *ctx;
    size_t size;
    bool contiguous, stream;
    const luc_stream_table *streaming;
} job;

/* Elements [begin, begin + n), in logical order, from x to their places. */
static void spread(const job *j, const char *x, int64_t begin, int64_t n)
{
    const lucid_view *v = j->out;
    const int last = v->ndim - 1;
    for (int64_t at = begin; at < begin + n;) {
        int64_t from = at % v->dims[last], rest = at / v->dims[last];
        int64_t count = v->dims[last] - from;
        if (count > begin + n - at) count = begin + n - at;
        int64_t offset = from * v->strides[last];
        for (int d = last - 1; d >= 0; d--) {
            offset += rest % v->dims[d] * v->strides[d];
            rest /= v->dims[d];
        }
        char *y = (char *)v->data + offset * (int64_t)j->size;
        const int64_t step = v->strides[last] * (int64_t)j->size;
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
        char *y = (char *)j->out->data + i * (int64_t)j->size;
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
    job j = {.out = out, .fn = fn, .ctx = ctx, .size = luc_elem_size(out->dtype)};
    j.contiguous = luc_view_contiguous(out);
    j.stream = j.contiguous && n * (int64_t)j.size >= STREAM_BYTES;
    j.streaming = luc_stream_get();
    luc_parallel_for(n, GRAIN, run, &j);
}
