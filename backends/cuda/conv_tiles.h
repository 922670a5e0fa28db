/* conv_tiles.h: images and kernels as the sides of a matrix product (tile.h). */
#ifndef LUC_CUDA_CONV_TILES_H
#define LUC_CUDA_CONV_TILES_H

#include "backends/cuda/conv.h"
#include "backends/cuda/tile.h"

namespace luc
{

inline divider divider_of(int64_t d)
{
    return divider((uint32_t)(d > 0 ? d : 1));
}

/* The pixels of an image [images, h, w] with strides s of [N,C,H,W], `by` pixels apart. */
inline pixels pixels_of(int64_t images, int64_t h, int64_t w, const int64_t s[4],
                        const int64_t by[2])
{
    pixels p;
    p.image_stride = s[0];
    p.y_stride = s[2] * by[0];
    p.x_stride = s[3] * by[1];
    p.h = (int)h;
    p.w = (int)w;
    p.y_step = (int)by[0];
    p.x_step = (int)by[1];
    p.y0 = p.x0 = 0;
    p.by_w = divider_of(w);
    p.by_h = divider_of(h);
    p.small = images * h * w < ((int64_t)1 << 31) - 256;
    return p;
}

inline taps taps_for(int64_t columns, int64_t channels, int64_t row_stride, int64_t column_stride,
                     int64_t channel_stride, int64_t row_step, int64_t column_step)
{
    taps t;
    t.row_stride = row_stride;
    t.column_stride = column_stride;
    t.channel_stride = channel_stride;
    t.row_step = (int)row_step;
    t.column_step = (int)column_step;
    t.by_channels = divider_of(channels);
    t.by_columns = divider_of(columns);
    return t;
}

static const int64_t one_by_one[2] = {1, 1};

/* Whether threads should read neighbouring channels rather than neighbouring pixels. */
inline bool is_deep(int64_t stride, int64_t channels)
{
    return stride == 1 && channels >= 8;
}

} // namespace luc

#endif
