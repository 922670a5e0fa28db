/* max_integers.c: max pooling of integers, for which there is no gradient: plain loops. */
#include "backends/cpu/threads/parallel.h"
#include "backends/cpu/pool/pool_priv.h"

/* The first largest element wins. */
#define MAX_POOL(T)                                                                              \
    static void max_##T(const luc_pool_plan *p, int64_t image, int64_t channel)                  \
    {                                                                                            \
        const T *x =                                                                             \
            (const T *)p->big.data + image * p->big.strides[0] + channel * p->big.strides[1];    \
        T *y = (T *)p->small.data + image * p->small.strides[0] + channel * p->small.strides[1]; \
        for (int64_t oy = 0; oy < p->oh; oy++)                                                   \
            for (int64_t ox = 0; ox < p->ow; ox++) {                                             \
                const luc_window wy = luc_pool_window(p, 0, oy), wx = luc_pool_window(p, 1, ox); \
                int64_t winner = wy.begin * p->w + wx.begin;                                     \
                T best = x[wy.begin * p->big.strides[2] + wx.begin * p->big.strides[3]];         \
                for (int64_t i = wy.begin; i < wy.end; i += p->dilation[0])                      \
                    for (int64_t j = wx.begin; j < wx.end; j += p->dilation[1]) {                \
                        const T v = x[i * p->big.strides[2] + j * p->big.strides[3]];            \
                        if (v <= best) continue;                                                 \
                        best = v;                                                                \
                        winner = i * p->w + j;                                                   \
                    }                                                                            \
                y[oy * p->small.strides[2] + ox * p->small.strides[3]] = best;                   \
                put_winner(p, image, channel, oy, ox, winner);                                   \
            }                                                                                    \
    }

static void put_winner(const luc_pool_plan *p, int64_t image, int64_t channel, int64_t oy,
                       int64_t ox, int64_t winner)
{
    if (!p->index.data) return;
    const int64_t *s = p->index.strides;
    const int64_t at = image * s[0] + channel * s[1] + oy * s[2] + ox * s[3];
    if (p->wide_index)
        ((int64_t *)p->index.data)[at] = winner;
    else
        ((int32_t *)p->index.data)[at] = (int32_t)winner;
}

MAX_POOL(int64_t)
MAX_POOL(int32_t)
MAX_POOL(uint8_t)

typedef struct {
    const luc_pool_plan *plan;
    void (*plane)(const luc_pool_plan *p, int64_t image, int64_t channel);
} planes;

static void run_planes(void *ctx, int64_t begin, int64_t end, int thread)
{
    const planes *p = ctx;
    (void)thread;
    for (int64_t i = begin; i < end; i++) p->plane(p->plan, i / p->plan->c, i % p->plan->c);
}

void luc_max_pool_int(const luc_pool_plan *p, lucid_dtype type)
{
    planes all = {p, type == LUCID_I64   ? max_int64_t
                     : type == LUCID_I32 ? max_int32_t
                                         : max_uint8_t};
    const int64_t work = p->oh * p->ow * p->kernel[0] * p->kernel[1];
    luc_parallel_for(p->n * p->c, (1 << 14) / (work + 1) + 1, run_planes, &all);
}
