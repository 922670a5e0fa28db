/* Boxes and regions against torchvision's values, and what is refused. */
#include "tests/reference/vectors.h"
#include "tests/testing.h"

#include <lucid/lucid.h>
#include <stdio.h>

#include "tests/on_device.h"

TEST_SUITE_ON_DEVICE(vision);

static lucid_tensor *input(vectors *v, const vectors_case *c, const char *role)
{
    char name[128];
    snprintf(name, sizeof name, "%s/%s", vectors_name(c), role);
    return vectors_has(v, name) ? lucid_to(vectors_tensor(v, name), test_device()) : NULL;
}

static lucid_box_format format_of(const char *text)
{
    return strcmp(text, "xyxy") == 0   ? LUCID_BOX_XYXY
           : strcmp(text, "xywh") == 0 ? LUCID_BOX_XYWH
                                       : LUCID_BOX_CXCYWH;
}

static lucid_tensor *regions_of(const vectors_case *c, lucid_tensor *x, lucid_tensor *rois)
{
    lucid_shape output;
    cr_assert(vectors_list(c, "output", &output) && output.ndim == 2);
    const lucid_extent size = lucid_pair(output.dims[0], output.dims[1]);
    const double scale = vectors_double(c, "spatial_scale", 1);
    if (strcmp(vectors_get(c, "op"), "pool") == 0)
        return lucid_roi_pool(x, rois, size, .spatial_scale = scale);
    return lucid_roi_align(x, rois, size, .spatial_scale = scale,
                           .sampling_ratio = vectors_int(c, "sampling_ratio", -1),
                           .aligned = vectors_bool(c, "aligned", false));
}

static lucid_tensor *run(const vectors_case *c, lucid_tensor **in)
{
    const char *op = vectors_get(c, "op");
    const double threshold = vectors_double(c, "threshold", 0);
    if (strcmp(op, "convert") == 0)
        return lucid_box_convert(in[0], format_of(vectors_get(c, "source")),
                                 format_of(vectors_get(c, "target")));
    if (strcmp(op, "area") == 0) return lucid_box_area(in[0]);
    if (strcmp(op, "iou") == 0) return lucid_box_iou(in[0], in[1]);
    if (strcmp(op, "giou") == 0) return lucid_generalized_box_iou(in[0], in[1]);
    if (strcmp(op, "clip") == 0)
        return lucid_clip_boxes_to_image(in[0], vectors_int(c, "height", 0),
                                         vectors_int(c, "width", 0));
    if (strcmp(op, "nms") == 0) return lucid_nms(in[0], in[1], threshold);
    if (strcmp(op, "batched_nms") == 0) return lucid_batched_nms(in[0], in[1], in[2], threshold);
    return regions_of(c, in[0], in[1]);
}

static void check_case(vectors *v, const vectors_case *c)
{
    LUCID_SCOPE;
    static const char *const roles[] = {"in0", "in1", "in2"};
    static const char *const grads[] = {"grad_in0", "grad_in1"};
    lucid_tensor *in[3];
    for (int i = 0; i < 3; i++) in[i] = input(v, c, roles[i]);
    for (int i = 0; i < 2; i++)
        if (input(v, c, grads[i])) lucid_requires_grad_(in[i], true);
    lucid_tensor *y = run(c, in), *want = input(v, c, "out");
    cr_assert(y, "%s: %s", vectors_name(c), lucid_error());
    cr_expect_eq(lucid_tensor_dtype(y), lucid_tensor_dtype(want), "%s", vectors_name(c));
    cr_expect(lucid_allclose(y, want, 1e-5, 1e-5, false), "%s", vectors_name(c));
    if (!input(v, c, "grad_out")) return;
    cr_assert(lucid_backward(y, .gradient = input(v, c, "grad_out")), "%s: %s", vectors_name(c),
              lucid_error());
    for (int i = 0; i < 2; i++) {
        lucid_tensor *g = input(v, c, grads[i]);
        if (g)
            cr_expect(lucid_allclose(lucid_tensor_grad(in[i]), g, 1e-4, 1e-5, false), "%s: %s",
                      vectors_name(c), grads[i]);
    }
}

Test(vision, as_torchvision)
{
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    vectors *v = vectors_open("vision");
    int n = 0;
    for (const vectors_case *c; (c = vectors_next(v)); n++) check_case(v, c);
    cr_expect_gt(n, 25);
    vectors_close(v);
}

/* ---- derivatives ----------------------------------------------------------------------------- */

static lucid_tensor *rois_of(lucid_device device)
{
    static const double rois[] = {0, 0.3, 0.2, 3.7, 2.9, 1, -1, -1, 5.5, 4.2};
    return lucid_from_data((2, 5), rois, .device = device);
}

static bool align(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out, void *user)
{
    (void)n, (void)user;
    *n_out = 1;
    *out = lucid_roi_align(in[0], rois_of(lucid_tensor_device(in[0])), (2, 2));
    return *out != NULL;
}

static bool overlaps(lucid_tensor *const *in, size_t n, lucid_tensor **out, size_t *n_out,
                     void *user)
{
    (void)n, (void)user;
    *n_out = 1;
    *out = lucid_generalized_box_iou(in[0], in[1]);
    return *out != NULL;
}

Test(vision, derivatives)
{
    LUCID_SCOPE;
    if (test_is_slow()) return;
    lucid_tensor *x = lucid_randn((2, 2, 4, 5), .dtype = LUCID_F64, .requires_grad = true);
    cr_expect(lucid_gradcheck(align, NULL, &x, 1, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(align, NULL, &x, 1, NULL), "%s", lucid_error());
    lucid_tensor *a = lucid_values((2, 4), 0, 0, 3, 4, 1, 1.5, 6, 5);
    lucid_tensor *b = lucid_values((2, 4), 0.5, 0.25, 2.5, 5.5, 2, 1, 8, 9);
    lucid_tensor *in[] = {lucid_cast(a, LUCID_F64), lucid_cast(b, LUCID_F64)};
    for (int i = 0; i < 2; i++) lucid_requires_grad_(in[i], true);
    cr_expect(lucid_gradcheck(overlaps, NULL, in, 2, NULL), "%s", lucid_error());
    cr_expect(lucid_gradgradcheck(overlaps, NULL, in, 2, NULL), "%s", lucid_error());
}

/* ---- sizes and what is refused --------------------------------------------------------------- */

Test(vision, empty_and_odd_sizes)
{
    LUCID_SCOPE;
    lucid_tensor *x = lucid_randn((1, 0, 4, 4), .device = test_device());
    lucid_tensor *rois = rois_of(test_device()), *none = lucid_narrow(rois, 0, 0, 0);
    rois = lucid_narrow(rois, 0, 0, 1);
    EXPECT_SHAPE(lucid_roi_align(x, rois, 3), 1, 0, 3, 3);
    EXPECT_SHAPE(lucid_roi_pool(x, rois, (2, 3)), 1, 0, 2, 3);
    x = lucid_randn((1, 2, 4, 4), .device = test_device());
    EXPECT_SHAPE(lucid_roi_align(x, none, (3, 2)), 0, 2, 3, 2);
    EXPECT_SHAPE(lucid_roi_pool(x, none, (3, 2)), 0, 2, 3, 2);
    lucid_tensor *last = lucid_contiguous(x, LUCID_CHANNELS_LAST);
    cr_expect(lucid_allclose(lucid_roi_align(last, rois, 3), lucid_roi_align(x, rois, 3), 1e-6,
                             1e-6, false));
    lucid_tensor *wide = lucid_cast(x, LUCID_F64);
    cr_expect_eq(lucid_tensor_dtype(lucid_roi_align(wide, rois, 3)), LUCID_F64);
}

Test(vision, what_is_refused)
{
    LUCID_SCOPE;
    lucid_set_error_mode(LUCID_ERRORS_RETURN);
    lucid_tensor *x = lucid_randn((2, 3, 4, 4)), *boxes = lucid_rand((5, 4));
    lucid_tensor *scores = lucid_rand(5), *rois = lucid_zeros((1, 5));
    EXPECT_ERROR(lucid_nms(boxes, lucid_rand(4), 0.5), LUCID_ERR_ARGUMENT,
                 "nms: scores: expected floating [5], got float32 [4]");
    EXPECT_ERROR(lucid_nms(lucid_rand((5, 3)), scores, 0.5), LUCID_ERR_ARGUMENT,
                 "boxes: expected floating [N,4], got float32 [5,3]");
    EXPECT_ERROR(lucid_nms(boxes, scores, NAN), LUCID_ERR_ARGUMENT, "iou_threshold");
    EXPECT_ERROR(lucid_batched_nms(boxes, scores, scores, 0.5), LUCID_ERR_ARGUMENT,
                 "classes: expected int64 or int32 [5], got float32 [5]");
    EXPECT_ERROR(lucid_box_iou(boxes, lucid_zeros((5, 4), .dtype = LUCID_I64)), LUCID_ERR_ARGUMENT,
                 "box_iou: b: expected floating [N,4], got int64");
    EXPECT_ERROR(lucid_box_convert(boxes, (lucid_box_format)9, LUCID_BOX_XYXY), LUCID_ERR_ARGUMENT,
                 "from, to");
    EXPECT_ERROR(lucid_clip_boxes_to_image(boxes, -1, 2), LUCID_ERR_ARGUMENT, "height, width");
    EXPECT_ERROR(lucid_roi_align(boxes, rois, 2), LUCID_ERR_ARGUMENT,
                 "roi_align: x: expected floating [N,C,H,W]");
    EXPECT_ERROR(lucid_roi_align(x, boxes, 2), LUCID_ERR_ARGUMENT, "rois: expected floating [K,5]");
    EXPECT_ERROR(lucid_roi_align(x, rois, 0), LUCID_ERR_ARGUMENT, "output: expected sizes from 1");
    EXPECT_ERROR(lucid_roi_align(x, rois, 2, .spatial_scale = 0), LUCID_ERR_ARGUMENT,
                 "spatial_scale: expected more than 0");
    EXPECT_ERROR(lucid_roi_align(x, rois, 2, .sampling_ratio = 5000), LUCID_ERR_ARGUMENT,
                 "sampling_ratio: expected at most 1024");
    EXPECT_ERROR(lucid_roi_pool(x, lucid_full((1, 5), 2), 2), LUCID_ERR_ARGUMENT,
                 "roi_pool: rois: row 0: expected an index in the batch, got 2");
    EXPECT_ERROR(lucid_roi_pool(x, lucid_mul(lucid_values((1, 5), 0, 0, 0, 1, 1), 1e9), 2),
                 LUCID_ERR_ARGUMENT, "expected coordinates below a million");
}
