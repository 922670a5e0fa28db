"""Convolution and pooling over [N,C,H,W]."""

import torch
import torch.nn.functional as F

from common import Area, Source, close, lay_out

# name: input, weight, attributes, with bias
CONV = {
    "1x1": ((2, 3, 5, 4), (4, 3, 1, 1), {}, True),
    "3x3": ((2, 3, 6, 7), (4, 3, 3, 3), {}, True),
    "3x3_pad": ((2, 3, 6, 7), (4, 3, 3, 3), {"padding": (1, 1)}, False),
    "3x3_stride2": ((2, 3, 7, 8), (4, 3, 3, 3), {"stride": (2, 2), "padding": (1, 1)}, True),
    "stride_uneven": ((1, 2, 9, 8), (3, 2, 3, 2), {"stride": (3, 2)}, True),
    "pad_uneven": ((1, 2, 5, 6), (3, 2, 3, 5), {"padding": (0, 3)}, True),
    "pad_wide": ((1, 2, 3, 3), (2, 2, 3, 3), {"padding": (3, 4)}, False),
    "dilation": ((2, 2, 9, 9), (3, 2, 3, 3), {"dilation": (2, 2), "padding": (2, 2)}, True),
    "dilation_uneven": ((1, 2, 8, 10), (2, 2, 3, 2), {"dilation": (2, 3), "stride": (1, 2)}, True),
    "groups2": ((2, 4, 5, 5), (6, 2, 3, 3), {"groups": 2, "padding": (1, 1)}, True),
    "groups3": ((1, 6, 5, 4), (3, 2, 2, 3), {"groups": 3, "stride": (2, 1)}, False),
    "depthwise": ((2, 5, 6, 6), (5, 1, 3, 3), {"groups": 5, "padding": (1, 1)}, True),
    "depthwise_x2": ((2, 3, 6, 6), (6, 1, 3, 3), {"groups": 3, "stride": (2, 2)}, False),
    "rectangular_1x5": ((2, 2, 4, 9), (3, 2, 1, 5), {"padding": (0, 2)}, True),
    "rectangular_5x1": ((2, 2, 9, 4), (3, 2, 5, 1), {"stride": (2, 1)}, True),
    "7x7_stem": ((1, 3, 15, 15), (4, 3, 7, 7), {"stride": (2, 2), "padding": (3, 3)}, False),
    "whole": ((2, 3, 4, 4), (5, 3, 4, 4), {}, True),
    "one_channel": ((3, 1, 8, 8), (8, 1, 3, 3), {"padding": (1, 1)}, True),
    "channels16": ((2, 16, 6, 6), (16, 16, 3, 3), {"padding": (1, 1)}, True),
    "channels19": ((1, 19, 5, 7), (17, 19, 3, 3), {"padding": (1, 1)}, False),
    "pointwise_33": ((2, 33, 3, 5), (18, 33, 1, 1), {"stride": (2, 2)}, True),
    "unbatched": ((3, 6, 7), (4, 3, 3, 3), {"padding": (1, 1)}, True),
    "empty_batch": ((0, 3, 6, 7), (4, 3, 3, 3), {"padding": (1, 1)}, True),
    "stride_drops": ((1, 2, 8, 8), (2, 2, 3, 3), {"stride": (4, 3)}, True),
}
CONV_DEFAULTS = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}


def conv(area):
    for name, (x_shape, w_shape, attributes, bias) in CONV.items():
        attributes = {**CONV_DEFAULTS, **attributes}
        for dtype in ("f32", "f64"):
            for layout in ("contiguous", "channels_last"):
                if layout == "channels_last" and (dtype == "f64" or len(x_shape) != 4):
                    continue
                if dtype == "f64" and name in ("channels16", "channels19", "pointwise_33"):
                    continue
                conv_case(
                    area,
                    f"conv2d_{name}_{dtype}",
                    x_shape,
                    w_shape,
                    attributes,
                    bias,
                    dtype,
                    layout,
                )
    for dtype in ("f16", "bf16"):
        for name in ("3x3_pad", "depthwise", "groups2"):
            x_shape, w_shape, attributes, bias = CONV[name]
            conv_case(
                area,
                f"conv2d_{name}_{dtype}",
                x_shape,
                w_shape,
                {**CONV_DEFAULTS, **attributes},
                bias,
                dtype,
                "contiguous",
            )
    for layout in ("transposed", "step2"):
        x_shape, w_shape, attributes, bias = CONV["3x3_stride2"]
        conv_case(
            area,
            "conv2d_3x3_stride2_f32",
            x_shape,
            w_shape,
            {**CONV_DEFAULTS, **attributes},
            bias,
            "f32",
            layout,
        )


def conv_case(area, case, x_shape, w_shape, attributes, bias, dtype, layout):
    source = Source(case)
    inputs = [source.normal(*x_shape, dtype=dtype), source.normal(*w_shape, dtype=dtype, std=0.3)]
    if bias:
        inputs.append(source.normal(w_shape[0], dtype=dtype))
    function = lambda *x: F.conv2d(*x, **attributes)
    if layout == "contiguous":
        area.run(case, "conv2d", function, inputs, **attributes)
    else:
        area.alias(f"{case}_{layout}", case, layout)
    tolerance = {"f32": 2e-5, "f64": 1e-12, "f16": 5e-3, "bf16": 3e-2}[dtype]
    close(
        function(*(lay_out(x, layout) for x in inputs)),
        function(*(x.double() for x in inputs)),
        tolerance,
        case,
    )


def pool_cases(area, name, op, function, dtypes, attributes):
    for dtype in dtypes:
        case = f"{name}_{dtype}"
        shape = (2, 3, 7, 8) if dtype == "f32" else (1, 2, 7, 8)
        x = Source(case).normal(*shape, dtype=dtype)
        area.run(case, op, lambda x: function(x, **attributes), [x], **attributes)
    for layout in ("channels_last", "step2"):
        area.alias(f"{name}_f32_{layout}", f"{name}_f32", layout)


def max_pool(area):
    table = {
        "2": (2, 2, 0, 1, False),
        "3_2_1": (3, 2, 1, 1, False),
        "3_1": (3, 1, 0, 1, False),
        "ceil": (2, 2, 0, 1, True),
        "ceil_pad": (3, 2, 1, 1, True),
        "dilated": (2, 1, 0, 2, False),
        "gap": (2, 3, 0, 1, False),
        "gap_ceil": (2, 3, 0, 1, True),
        "uneven": ((3, 2), (2, 1), (1, 0), (1, 2), False),
    }
    pair = lambda v: v if isinstance(v, tuple) else (v, v)
    for name, (kernel, stride, padding, dilation, ceil_mode) in table.items():
        attributes = {
            "kernel_size": pair(kernel),
            "stride": pair(stride),
            "padding": pair(padding),
            "dilation": pair(dilation),
            "ceil_mode": ceil_mode,
        }
        pool_cases(
            area, f"max_pool2d_{name}", "max_pool2d", F.max_pool2d, ("f32", "f64"), attributes
        )
    attributes = {
        "kernel_size": (2, 2),
        "stride": (2, 2),
        "padding": (0, 0),
        "dilation": (1, 1),
        "ceil_mode": False,
    }
    function = lambda x: F.max_pool2d(x, **attributes)
    for dtype in ("f16", "bf16"):
        x = Source(f"max_pool2d_{dtype}").normal(2, 3, 4, 6, dtype=dtype)
        area.run(f"max_pool2d_{dtype}", "max_pool2d", function, [x], **attributes)
    area.run(
        "max_pool2d_ties",
        "max_pool2d",
        function,
        [torch.zeros(1, 1, 4, 4)],
        grad_out=1,
        **attributes,
    )
    x = Source("max_pool2d_special").normal(1, 2, 4, 4)
    x[0, 0, 0, 1], x[0, 0, 3, 3], x[0, 1] = float("nan"), float("inf"), -float("inf")
    area.run("max_pool2d_special", "max_pool2d", function, [x], grad_out=1, **attributes)
    overlap = {**attributes, "kernel_size": (3, 3), "stride": (1, 1)}
    x = Source("max_pool2d_overlap_ties").integers(1, 2, 5, 5, high=3).float()
    area.run(
        "max_pool2d_overlap_ties",
        "max_pool2d",
        lambda x: F.max_pool2d(x, **overlap),
        [x],
        grad_out=1,
        **overlap,
    )


def avg_pool(area):
    table = {
        "2": (2, 2, 0, False, True, None),
        "3_2_1": (3, 2, 1, False, True, None),
        "3_2_1_exclude": (3, 2, 1, False, False, None),
        "ceil": (3, 2, 0, True, True, None),
        "ceil_pad": (3, 2, 1, True, True, None),
        "ceil_exclude": (3, 2, 1, True, False, None),
        "divisor": (2, 2, 0, False, True, 3),
        "uneven": ((3, 2), (1, 2), (1, 1), False, True, None),
    }
    pair = lambda v: v if isinstance(v, tuple) else (v, v)
    for name, (kernel, stride, padding, ceil_mode, include, divisor) in table.items():
        attributes = {
            "kernel_size": pair(kernel),
            "stride": pair(stride),
            "padding": pair(padding),
            "ceil_mode": ceil_mode,
            "count_include_pad": include,
            "divisor_override": divisor,
        }
        pool_cases(
            area, f"avg_pool2d_{name}", "avg_pool2d", F.avg_pool2d, ("f32", "f64"), attributes
        )


def adaptive_pool(area):
    for size in ((1, 1), (2, 3), (3, 5), (7, 8), (9, 10), (4, 1)):
        pool_cases(
            area,
            f"adaptive_avg_pool2d_{size[0]}x{size[1]}",
            "adaptive_avg_pool2d",
            F.adaptive_avg_pool2d,
            ("f32", "f64", "f16"),
            {"output_size": size},
        )


def make(folder):
    area = Area("ops_spatial", "Convolution (in1 = weight, in2 = bias) and pooling over [N,C,H,W].")
    for part in (conv, max_pool, avg_pool, adaptive_pool):
        part(area)
    area.write(folder)
