/* vision_boxes.c: boxes: forms, areas, overlaps, and those that are left of many. */
#include "autograd/ops/vision.h"
#include "autograd/graph/graph_priv.h"
#include "autograd/ops/elementwise.h"
#include "autograd/ops/indexing.h"
#include "autograd/ops/numbers.h"
#include "autograd/ops/ops_priv.h"
#include "autograd/ops/sorting.h"
#include "autograd/ops/view.h"
#include "lucid/core/error_priv.h"
#include "lucid/core/memory_priv.h"
#include "lucid/core/tensor_priv.h"

/* ndim: the number of dimensions, the last of which is 4; 0: any. */
static bool check_boxes(const lucid_tensor *t, int ndim, const char *op, const char *argument)
{
    if (!luc_given(t, op, argument)) return false;
    const lucid_view *v = &t->view;
    if (v->ndim >= 1 && v->dims[v->ndim - 1] == 4 && (!ndim || v->ndim == ndim) &&
        lucid_dtype_is_floating(v->dtype))
        return true;
    return luc_raise(LUCID_ERR_ARGUMENT, op, "%s: expected floating %s, got %s %s", argument,
                     ndim ? "[N,4]" : "[...,4]", lucid_dtype_name(v->dtype), luc_shape_text(t).s);
}

/* Number i of each box: [...]. */
static lucid_tensor *part(lucid_tensor *boxes, int64_t i)
{
    return lucid_select(boxes, -1, i);
}

/* ---- forms and areas ------------------------------------------------------------------------- */

lucid_tensor *lucid_box_convert(lucid_tensor *boxes, lucid_box_format from, lucid_box_format to)
{
    static const char op[] = "box_convert";
    LUC_CALLED_AS("box_convert");
    if (!check_boxes(boxes, 0, op, "boxes")) return NULL;
    if ((unsigned)from > LUCID_BOX_CXCYWH || (unsigned)to > LUCID_BOX_CXCYWH)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "from, to: expected a lucid_box_format, got %d and %d", (int)from,
                              (int)to);
    if (from == to) return boxes;
    lucid_tensor *p[4];
    for (int i = 0; i < 4; i++) p[i] = part(boxes, i);
    for (int i = 0; i < 2; i++) { /* to corners */
        if (from == LUCID_BOX_CXCYWH) p[i] = lucid_sub(p[i], lucid_mul(p[i + 2], 0.5));
        if (from != LUCID_BOX_XYXY) p[i + 2] = lucid_add(p[i], p[i + 2]);
    }
    for (int i = 0; i < 2 && to != LUCID_BOX_XYXY; i++) {
        lucid_tensor *size = lucid_sub(p[i + 2], p[i]);
        if (to == LUCID_BOX_CXCYWH) p[i] = lucid_mul(lucid_add(p[i], p[i + 2]), 0.5);
        p[i + 2] = size;
    }
    return lucid_stack(p, 4, -1);
}

static lucid_tensor *area(lucid_tensor *boxes)
{
    return lucid_mul(lucid_sub(part(boxes, 2), part(boxes, 0)),
                     lucid_sub(part(boxes, 3), part(boxes, 1)));
}

lucid_tensor *lucid_box_area(lucid_tensor *boxes)
{
    LUC_CALLED_AS("box_area");
    return check_boxes(boxes, 2, "box_area", "boxes") ? area(boxes) : NULL;
}

/* The overlap of each box of a [N,4] with each of b [M,4] (or the smallest box around both): its
 * area, [N,M]. */
static lucid_tensor *common_area(lucid_tensor *a, lucid_tensor *b, bool around)
{
    lucid_tensor *size[2];
    a = lucid_unsqueeze(a, 1);
    b = lucid_unsqueeze(b, 0);
    for (int i = 0; i < 2; i++) {
        lucid_tensor *a1 = part(a, i), *b1 = part(b, i), *a2 = part(a, i + 2), *b2 = part(b, i + 2);
        lucid_tensor *from = around ? lucid_minimum(a1, b1) : lucid_maximum(a1, b1);
        lucid_tensor *to = around ? lucid_maximum(a2, b2) : lucid_minimum(a2, b2);
        size[i] = lucid_clamp(lucid_sub(to, from), 0, HUGE_VAL);
    }
    return lucid_mul(size[0], size[1]);
}

/* The quotient; *all becomes the area of both boxes together. */
static lucid_tensor *overlap(lucid_tensor *a, lucid_tensor *b, lucid_tensor **all)
{
    lucid_tensor *both = common_area(a, b, false);
    *all = lucid_sub(lucid_add(lucid_unsqueeze(area(a), 1), lucid_unsqueeze(area(b), 0)), both);
    return lucid_div(both, *all);
}

lucid_tensor *lucid_box_iou(lucid_tensor *a, lucid_tensor *b)
{
    lucid_tensor *all;
    LUC_CALLED_AS("box_iou");
    if (!check_boxes(a, 2, "box_iou", "a") || !check_boxes(b, 2, "box_iou", "b")) return NULL;
    return overlap(a, b, &all);
}

lucid_tensor *lucid_generalized_box_iou(lucid_tensor *a, lucid_tensor *b)
{
    static const char op[] = "generalized_box_iou";
    lucid_tensor *all;
    LUC_CALLED_AS("generalized_box_iou");
    if (!check_boxes(a, 2, op, "a") || !check_boxes(b, 2, op, "b")) return NULL;
    lucid_tensor *iou = overlap(a, b, &all), *around = common_area(a, b, true);
    return lucid_sub(iou, lucid_div(lucid_sub(around, all), around));
}

lucid_tensor *lucid_clip_boxes_to_image(lucid_tensor *boxes, int64_t height, int64_t width)
{
    static const char op[] = "clip_boxes_to_image";
    LUC_CALLED_AS("clip_boxes_to_image");
    if (!check_boxes(boxes, 0, op, "boxes")) return NULL;
    if (height < 0 || width < 0)
        return luc_raise_null(LUCID_ERR_ARGUMENT, op,
                              "height, width: expected at least 0, got %lld and %lld",
                              (long long)height, (long long)width);
    lucid_tensor *p[4];
    for (int i = 0; i < 4; i++)
        p[i] = lucid_clamp(part(boxes, i), 0, (double)(i % 2 ? height : width));
    return lucid_stack(p, 4, -1);
}

/* ---- suppression ----------------------------------------------------------------------------- */

/* What the loop reads, on the CPU. */
typedef struct candidates {
    int64_t n;
    double *boxes;    /* [N,4], owned */
    int64_t *order;   /* best first, owned */
    int64_t *classes; /* owned; NULL: all are of one */
    int64_t *kept;    /* owned; the first K are the result */
    bool single;      /* quotients are rounded to float32, as those of float32 boxes are */
} candidates;

static void *to_host(lucid_tensor *t, lucid_dtype dtype, const char *op)
{
    LUCID_SCOPE;
    LUCID_NO_GRAD;
    t = lucid_cast(t, dtype);
    const size_t bytes = t ? (size_t)t->numel * lucid_dtype_size(dtype) : 0;
    void *p = t ? luc_alloc(bytes, op) : NULL;
    if (p && lucid_copy_to(t, p, bytes)) return p;
    luc_free(p);
    return NULL;
}

static bool overlaps(const candidates *c, int64_t i, int64_t k, double threshold)
{
    const double *a = c->boxes + 4 * i, *b = c->boxes + 4 * k;
    const double w = fmin(a[2], b[2]) - fmax(a[0], b[0]), h = fmin(a[3], b[3]) - fmax(a[1], b[1]);
    const double both = fmax(w, 0) * fmax(h, 0);
    const double all = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;
    return (c->single ? (double)(float)(both / all) : both / all) > threshold;
}

/* Returns the number of boxes that are left. */
static int64_t suppress(candidates *c, double threshold)
{
    int64_t n = 0;
    for (int64_t i = 0; i < c->n; i++) {
        const int64_t box = c->order[i];
        bool keep = true;
        for (int64_t k = 0; keep && k < n; k++) {
            const int64_t better = c->kept[k];
            keep = (c->classes && c->classes[better] != c->classes[box]) ||
                   !overlaps(c, better, box, threshold);
        }
        if (keep) c->kept[n++] = box;
    }
    return n;
}

static bool check_nms(lucid_tensor *boxes, lucid_tensor *scores, lucid_tensor *classes,
                      double threshold, const char *op)
{
    if (!check_boxes(boxes, 2, op, "boxes") || !luc_given(scores, op, "scores")) return false;
    if (scores->view.ndim != 1 || scores->view.dims[0] != boxes->view.dims[0] ||
        !lucid_dtype_is_floating(scores->view.dtype))
        return luc_raise(LUCID_ERR_ARGUMENT, op, "scores: expected floating [%lld], got %s %s",
                         (long long)boxes->view.dims[0], lucid_dtype_name(scores->view.dtype),
                         luc_shape_text(scores).s);
    if (classes && (classes->view.ndim != 1 || classes->view.dims[0] != boxes->view.dims[0] ||
                    (classes->view.dtype != LUCID_I64 && classes->view.dtype != LUCID_I32)))
        return luc_raise(LUCID_ERR_ARGUMENT, op,
                         "classes: expected int64 or int32 [%lld], got %s %s",
                         (long long)boxes->view.dims[0], lucid_dtype_name(classes->view.dtype),
                         luc_shape_text(classes).s);
    return !isnan(threshold) ||
           luc_raise(LUCID_ERR_ARGUMENT, op, "iou_threshold: expected a number, got NaN");
}

static lucid_tensor *nms(lucid_tensor *boxes, lucid_tensor *scores, lucid_tensor *classes,
                         double threshold, const char *op)
{
    LUCID_NO_GRAD;
    if (!check_nms(boxes, scores, classes, threshold, op)) return NULL;
    candidates c = {.n = boxes->view.dims[0], .single = boxes->view.dtype != LUCID_F64};
    lucid_tensor *order = lucid_argsort(scores, 0, .descending = true), *result = NULL;
    c.order = order ? to_host(order, LUCID_I64, op) : NULL;
    c.boxes = c.order ? to_host(boxes, LUCID_F64, op) : NULL;
    c.kept = c.boxes ? luc_calloc((size_t)c.n, sizeof *c.kept, op) : NULL;
    if (c.kept && classes) c.classes = to_host(classes, LUCID_I64, op);
    if (c.kept && (c.classes || !classes)) {
        const lucid_shape shape = LUCID_SHAPE(suppress(&c, threshold));
        result = lucid_from_data(shape, c.kept, .device = lucid_tensor_device(boxes));
    }
    luc_free(c.order);
    luc_free(c.boxes);
    luc_free(c.kept);
    luc_free(c.classes);
    return result;
}

lucid_tensor *lucid_nms(lucid_tensor *boxes, lucid_tensor *scores, double iou_threshold)
{
    LUC_CALLED_AS("nms");
    return nms(boxes, scores, NULL, iou_threshold, "nms");
}

lucid_tensor *lucid_batched_nms(lucid_tensor *boxes, lucid_tensor *scores, lucid_tensor *classes,
                                double iou_threshold)
{
    LUC_CALLED_AS("batched_nms");
    if (!luc_given(classes, "batched_nms", "classes")) return NULL;
    return nms(boxes, scores, classes, iou_threshold, "batched_nms");
}
