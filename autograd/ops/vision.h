/* vision.h: operators for detecting objects, after torchvision.ops.
 *
 * A box is (x1, y1, x2, y2) with x1 <= x2 and y1 <= y2, in pixels, unless a function says
 * otherwise. Boxes are floating [N,4]. Results belong to the current scope. Errors: sizes or dtypes
 * that do not fit; NULL then. Thread-safe. */
#ifndef LUCID_AUTOGRAD_OPS_VISION_H
#define LUCID_AUTOGRAD_OPS_VISION_H

#include "../../lucid/core/options.h"
#include "../../lucid/core/tensor.h"

LUCID_BEGIN_DECLS

/* ---- boxes ----------------------------------------------------------------------------------- */

/* How four numbers are a box: corners, a corner and sizes, the centre and sizes. */
typedef enum lucid_box_format { LUCID_BOX_XYXY, LUCID_BOX_XYWH, LUCID_BOX_CXCYWH } lucid_box_format;

/* Boxes [...,4] in another form. Differentiable. */
LUCID_API lucid_tensor *lucid_box_convert(lucid_tensor *boxes, lucid_box_format from,
                                          lucid_box_format to);
/* (x2 - x1) (y2 - y1), [N]. Differentiable. */
LUCID_API lucid_tensor *lucid_box_area(lucid_tensor *boxes);
/* The area that two boxes share, divided by the area of both together: [N,4] and [M,4] give [N,M].
 * Differentiable. */
LUCID_API lucid_tensor *lucid_box_iou(lucid_tensor *a, lucid_tensor *b);
/* That, less the part of the smallest box around both that neither covers (Rezatofighi et al.,
 * 2019), in [-1, 1]. */
LUCID_API lucid_tensor *lucid_generalized_box_iou(lucid_tensor *a, lucid_tensor *b);
/* Boxes [...,4] whose corners are moved into an image: x into [0, width], y into [0, height]. */
LUCID_API lucid_tensor *lucid_clip_boxes_to_image(lucid_tensor *boxes, int64_t height,
                                                  int64_t width);

/* The boxes that are left when each one that overlaps a better one (box_iou > iou_threshold) is
 * taken out: their indices, int64 [K], the best score first; of equal scores the first. scores [N]
 * are floating. It reads the boxes on the CPU, from any device. */
LUCID_API lucid_tensor *lucid_nms(lucid_tensor *boxes, lucid_tensor *scores, double iou_threshold);
/* The same among the boxes of each class: classes [N] are int64 or int32. */
LUCID_API lucid_tensor *lucid_batched_nms(lucid_tensor *boxes, lucid_tensor *scores,
                                          lucid_tensor *classes, double iou_threshold);

/* ---- regions --------------------------------------------------------------------------------- */

typedef struct lucid_roi_align_options {
    LUCID_OPTIONS_SIZE(lucid_roi_align_options);
    double spatial_scale LUCID_DEFAULT(1); /* of x to the image of which the boxes are, > 0 */
    /* points in a bin in each direction; <= 0: one for each pixel of x that the bin covers */
    int64_t sampling_ratio LUCID_DEFAULT(-1);
    bool aligned LUCID_DEFAULT(false); /* pixels have their coordinates in the middle */
} lucid_roi_align_options;
LUCID_DEFAULTS(lucid_roi_align, .spatial_scale = 1, .sampling_ratio = -1, .aligned = false);

/* Each box of x [N,C,H,W] as a small image: the mean of bilinear samples in each bin (He et al.,
 * "Mask R-CNN", 2017). rois [K,5] are (index in the batch, x1, y1, x2, y2), and `output` the size
 * (h, w): the result is [K,C,h,w]. Points more than a pixel outside of x count as 0. It is
 * differentiable with respect to x. Without .aligned boxes are at least a pixel in size.
 *
 *     lucid_tensor *y = lucid_roi_align(x, rois, (7, 7), .spatial_scale = 1.0 / 16); */
LUCID_API lucid_tensor *lucid_roi_align_opt(lucid_tensor *x, lucid_tensor *rois,
                                            lucid_extent output,
                                            const lucid_roi_align_options *options);
#define lucid_roi_align(...)                                                                   \
    LUCID_CALL3(lucid_roi_align_opt, lucid_roi_align, LUCID_ASIS, LUCID_ASIS, LUCID_EXTENT_OF, \
                __VA_ARGS__)

typedef struct lucid_roi_pool_options {
    LUCID_OPTIONS_SIZE(lucid_roi_pool_options);
    double spatial_scale LUCID_DEFAULT(1); /* of x to the image of which the boxes are, > 0 */
} lucid_roi_pool_options;
LUCID_DEFAULTS(lucid_roi_pool, .spatial_scale = 1);

/* The same with the largest value of each bin, whose borders are rounded to whole pixels (Girshick,
 * "Fast R-CNN", 2015). A bin without pixels is 0. */
LUCID_API lucid_tensor *lucid_roi_pool_opt(lucid_tensor *x, lucid_tensor *rois, lucid_extent output,
                                           const lucid_roi_pool_options *options);
#define lucid_roi_pool(...)                                                                  \
    LUCID_CALL3(lucid_roi_pool_opt, lucid_roi_pool, LUCID_ASIS, LUCID_ASIS, LUCID_EXTENT_OF, \
                __VA_ARGS__)

LUCID_END_DECLS
#endif
