"""Boxes and regions of torchvision.ops."""

import torch
from torchvision import ops

from common import Area


def boxes(case, n, dtype="f32", size=40.0):
    corner = case.source.uniform(n, 2, dtype=dtype, high=size)
    return torch.cat((corner, corner + case.source.uniform(n, 2, dtype=dtype, high=size / 2)), 1)


def regions(case, k, images, size):
    which = case.source.integers(k, 1, high=images).float()
    corner = case.source.uniform(k, 2, low=-4, high=size)
    return torch.cat((which, corner, corner + case.source.uniform(k, 2, low=-2, high=size)), 1)


def make(folder):
    area = Area("vision", "boxes and regions of torchvision.ops")

    def record(name, op, make_inputs, function, grads=(0,), **attributes):
        case = area.case(name, op, **attributes)
        inputs = [x.clone() for x in make_inputs(case)]
        for i, x in enumerate(inputs):
            case.put(f"in{i}", x)
        for i in grads:
            inputs[i].requires_grad_(True)
        out = function(*inputs)
        case.put("out", out)
        if grads:
            grad = case.source.normal(*out.shape)
            case.put("grad_out", grad)
            out.backward(grad)
            for i in grads:
                case.put(f"grad_in{i}", inputs[i].grad)

    for source in ("xyxy", "xywh", "cxcywh"):
        for target in ("xyxy", "xywh", "cxcywh"):
            record(
                f"convert_{source}_{target}",
                "convert",
                lambda c: [boxes(c, 5)],
                lambda b: ops.box_convert(b, source, target),
                source=source,
                target=target,
            )
    record("area", "area", lambda c: [boxes(c, 6)], ops.box_area)
    for op in ("iou", "giou"):
        function = ops.box_iou if op == "iou" else ops.generalized_box_iou
        record(op, op, lambda c: [boxes(c, 7), boxes(c, 5)], function, grads=(0, 1))
        record(f"{op}_empty", op, lambda c: [boxes(c, 0), boxes(c, 5)], function, grads=())
    record(
        "clip",
        "clip",
        lambda c: [boxes(c, 9) - 10],
        lambda b: ops.clip_boxes_to_image(b, (30, 20)),
        height=30,
        width=20,
    )
    for n, threshold in ((0, 0.5), (1, 0.5), (60, 0.5), (60, 0.2), (60, 0.0), (200, 0.7)):
        record(
            f"nms_{n}_{threshold}",
            "nms",
            lambda c: [boxes(c, n), c.source.uniform(n)],
            lambda b, s: ops.nms(b, s, threshold),
            grads=(),
            threshold=threshold,
        )
    record(
        "nms_ties",
        "nms",
        lambda c: [boxes(c, 30), c.source.integers(30, high=3).float()],
        lambda b, s: ops.nms(b, s, 0.3),
        grads=(),
        threshold=0.3,
    )
    record(
        "batched_nms",
        "batched_nms",
        lambda c: [boxes(c, 80), c.source.uniform(80), c.source.integers(80, high=3)],
        lambda b, s, i: ops.batched_nms(b, s, i, 0.3),
        grads=(),
        threshold=0.3,
    )
    for name, k, output, options in (
        ("plain", 6, (3, 3), {}),
        ("aligned", 6, (3, 2), {"aligned": True}),
        ("ratio", 6, (2, 4), {"sampling_ratio": 2, "spatial_scale": 0.5}),
        ("scaled", 5, (2, 2), {"spatial_scale": 0.25, "aligned": True, "sampling_ratio": 3}),
        ("none", 0, (2, 2), {}),
    ):
        record(
            f"align_{name}",
            "align",
            lambda c: [c.source.normal(2, 3, 9, 11), regions(c, k, 2, 10)],
            lambda x, r: ops.roi_align(x, r, output, **options),
            output=output,
            **options,
        )
    for name, k, output, scale in (("plain", 6, (3, 3), 1.0), ("scaled", 7, (2, 4), 0.5)):
        record(
            f"pool_{name}",
            "pool",
            lambda c: [c.source.normal(2, 3, 9, 11), regions(c, k, 2, 10)],
            lambda x, r: ops.roi_pool(x, r, output, scale),
            output=output,
            spatial_scale=scale,
        )
    area.write(folder)
