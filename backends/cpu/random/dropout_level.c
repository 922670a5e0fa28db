/* dropout_level.c: the loops of dropout_priv.h; compiled for each level. They are plain loops, of
 * which the compiler makes vectors of the level. */
#include "backends/cpu/random/dropout_priv.h"
#include "backends/cpu/simd/template.h"

#define DEFINE_DROPOUT(dt)                                                                         \
    static void forward_##dt(void *y_, uint8_t *restrict mask, const void *x_,                     \
                             const uint32_t *restrict bits, int64_t n, uint64_t threshold,         \
                             double scale_)                                                        \
    {                                                                                              \
        luc_elem_##dt *y = y_;                                                                     \
        const luc_elem_##dt *x = x_;                                                               \
        const LUC_S_##dt scale = (LUC_S_##dt)scale_;                                               \
        const uint32_t above = threshold ? (uint32_t)(threshold - 1) : 0; /* kept: bits > above */ \
        const uint32_t all = threshold == 0;                                                       \
        for (int64_t i = 0; i < n; i++) {                                                          \
            uint32_t keep = (bits[i] > above) | all;                                               \
            LUC_S_##dt v = luc_get_##dt(x + i) * scale;                                            \
            mask[i] = (uint8_t)keep;                                                               \
            luc_put_##dt(y + i, keep ? v : 0);                                                     \
        }                                                                                          \
    }                                                                                              \
    static void backward_##dt(void *dx_, const uint8_t *restrict mask, const void *g_, int64_t n,  \
                              double scale_)                                                       \
    {                                                                                              \
        luc_elem_##dt *dx = dx_;                                                                   \
        const luc_elem_##dt *g = g_;                                                               \
        const LUC_S_##dt scale = (LUC_S_##dt)scale_;                                               \
        for (int64_t i = 0; i < n; i++) {                                                          \
            LUC_S_##dt v = luc_get_##dt(g + i) * scale;                                            \
            luc_put_##dt(dx + i, mask[i] ? v : 0);                                                 \
        }                                                                                          \
    }
DEFINE_DROPOUT(f32)
DEFINE_DROPOUT(f64)
DEFINE_DROPOUT(f16)
DEFINE_DROPOUT(bf16)

LUC_LEVEL_TABLE(luc_dropout_table, luc_dropout) = {
    .forward = LUC_FLOATING(forward),
    .backward = LUC_FLOATING(backward),
};
