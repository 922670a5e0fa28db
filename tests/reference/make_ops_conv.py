"""Convolution of rows and volumes, padding by words, transposed convolution, unfold and fold."""

import torch.nn.functional as F

from common import Area, Source, close

DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
# rank, name: input, weight, attributes, with bias
CONV = {
    (1, "plain"): ((2, 3, 9), (4, 3, 3), {}, True),
    (1, "all"): ((2, 4, 11), (6, 2, 3), {"stride": 2, "padding": 2, "dilation": 2, "groups": 2}, True),
    (1, "same"): ((2, 3, 9), (4, 3, 3), {"padding": "same", "dilation": 2}, False),
    (1, "same_even"): ((2, 3, 9), (4, 3, 4), {"padding": "same"}, True),
    (1, "unbatched"): ((3, 9), (4, 3, 3), {"padding": 1}, True),
    (1, "empty_batch"): ((0, 3, 9), (4, 3, 3), {}, True),
    (2, "same"): ((2, 3, 6, 7), (4, 3, 3, 5), {"padding": "same"}, True),
    (2, "same_even"): ((2, 3, 6, 7), (4, 3, 4, 2), {"padding": "same"}, True),
    (2, "same_mixed"): ((2, 4, 6, 7), (4, 2, 2, 3), {"padding": "same", "dilation": (3, 2), "groups": 2}, False),
    (2, "same_unbatched"): ((3, 6, 7), (4, 3, 2, 3), {"padding": "same"}, True),
    (3, "plain"): ((2, 3, 5, 6, 4), (4, 3, 3, 2, 3), {}, True),
    (3, "pointwise"): ((2, 3, 3, 4, 4), (4, 3, 1, 1, 1), {}, True),
    (3, "padded"): ((1, 2, 3, 4, 5), (3, 2, 3, 3, 3), {"padding": (2, 1, 0)}, False),
    (3, "all"): (
        (2, 4, 7, 6, 8),
        (6, 2, 3, 2, 3),
        {"stride": (2, 1, 3), "padding": (1, 0, 2), "dilation": (2, 3, 1), "groups": 2},
        True,
    ),
    (3, "depthwise"): ((1, 3, 4, 4, 4), (3, 1, 2, 2, 2), {"stride": 2, "groups": 3}, True),
    (3, "deep_stride"): ((1, 2, 7, 3, 3), (2, 2, 1, 2, 2), {"stride": (3, 1, 1)}, True),
    (3, "same_even"): ((1, 2, 4, 5, 3), (3, 2, 2, 4, 3), {"padding": "same"}, True),
    (3, "unbatched"): ((3, 4, 5, 4), (4, 3, 3, 3, 3), {"padding": 1}, True),
    (3, "empty_batch"): ((0, 3, 4, 5, 4), (4, 3, 3, 3, 3), {}, True),
}
TRANSPOSE_DEFAULTS = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
TRANSPOSE = {
    (1, "plain"): ((2, 3, 5), (3, 4, 3), {}, True),
    (1, "all"): (
        (2, 4, 5),
        (4, 3, 3),
        {"stride": 3, "padding": 2, "output_padding": 2, "dilation": 2, "groups": 2},
        True,
    ),
    (1, "unbatched"): ((3, 5), (3, 4, 2), {"stride": 2}, False),
    (2, "plain"): ((2, 3, 4, 5), (3, 4, 3, 3), {}, True),
    (2, "1x1"): ((2, 3, 4, 5), (3, 4, 1, 1), {}, True),
    (2, "double"): ((2, 4, 4, 5), (4, 3, 4, 4), {"stride": 2, "padding": 1}, True),
    (2, "tiles"): ((2, 4, 3, 3), (4, 3, 2, 2), {"stride": 2}, True),
    (2, "gaps"): ((1, 2, 3, 3), (2, 3, 2, 2), {"stride": 4, "output_padding": 3}, True),
    (2, "padding"): ((2, 3, 5, 6), (3, 2, 3, 5), {"padding": (1, 3)}, False),
    (2, "output_padding"): (
        (2, 3, 4, 4),
        (3, 2, 3, 3),
        {"stride": (2, 3), "padding": 1, "output_padding": (1, 2)},
        True,
    ),
    (2, "beyond_stride"): (
        (2, 3, 4, 4),
        (3, 2, 3, 3),
        {"padding": (1, 3), "output_padding": (2, 1), "dilation": 3},
        True,
    ),
    (2, "groups"): ((2, 4, 3, 4), (4, 3, 3, 3), {"groups": 2, "stride": 2}, True),
    (2, "depthwise"): ((2, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": 1}, True),
    (2, "all"): (
        (2, 4, 4, 5),
        (4, 3, 3, 2),
        {
            "stride": (2, 1),
            "padding": (1, 2),
            "output_padding": (1, 2),
            "dilation": (1, 3),
            "groups": 2,
        },
        True,
    ),
    (2, "channels17"): ((2, 17, 5, 5), (17, 19, 3, 3), {"stride": 2, "padding": 1}, True),
    (2, "unbatched"): ((3, 4, 5), (3, 4, 3, 3), {"stride": 2}, True),
    (2, "empty_batch"): ((0, 3, 4, 5), (3, 4, 3, 3), {"stride": 2}, True),
    (3, "plain"): ((2, 3, 3, 4, 2), (3, 4, 3, 2, 3), {}, True),
    (3, "tiles"): ((1, 3, 2, 3, 2), (3, 2, 2, 2, 2), {"stride": 2}, True),
    (3, "all"): (
        (2, 4, 3, 4, 3),
        (4, 3, 3, 2, 3),
        {
            "stride": (2, 1, 3),
            "padding": (1, 0, 2),
            "output_padding": (1, 1, 2),
            "dilation": (1, 2, 1),
            "groups": 2,
        },
        True,
    ),
    (3, "beyond_stride"): (
        (1, 2, 3, 3, 3),
        (2, 2, 2, 2, 2),
        {"padding": 1, "output_padding": (2, 0, 1), "dilation": 3},
        False,
    ),
    (3, "unbatched"): ((3, 2, 3, 4), (3, 2, 3, 3, 3), {"stride": 2, "padding": 1}, True),
    (3, "empty_batch"): ((0, 3, 2, 3, 4), (3, 2, 3, 3, 3), {"stride": 2}, True),
}
TOLERANCE = {"f32": 2e-5, "f64": 1e-12, "f16": 5e-3, "bf16": 3e-2}


def listed(value, rank):
    if isinstance(value, str):
        return value
    return list(value) if isinstance(value, tuple) else [value] * rank


def cases(area, table, prefix, defaults):
    for (rank, name), (x_shape, w_shape, attributes, bias) in table.items():
        attributes = {**defaults, **attributes}
        op = f"{prefix}{rank}d"
        function = getattr(F, op)
        written = {k: v if k == "groups" else listed(v, rank) for k, v in attributes.items()}
        dtypes = ["f32"] if name in ("channels17", "empty_batch") else ["f32", "f64"]
        if name in ("double", "groups", "same_even"):
            dtypes += ["f16", "bf16"]
        for dtype in dtypes:
            case = f"{op}_{name}_{dtype}"
            source = Source(case)
            inputs = [
                source.normal(*x_shape, dtype=dtype),
                source.normal(*w_shape, dtype=dtype, std=0.3),
            ]
            if bias:
                out = w_shape[1] * attributes["groups"] if "transpose" in op else w_shape[0]
                inputs.append(source.normal(out, dtype=dtype))
            call = lambda *x: function(*x, **attributes)
            area.run(case, op, call, inputs, **written)
            if name != "empty_batch":
                close(call(*inputs), call(*(x.double() for x in inputs)), TOLERANCE[dtype], case)
            if dtype == "f32" and name in ("plain", "all", "double", "same_even"):
                for layout in ("channels_last", "transposed", "step2"):
                    if layout != "channels_last" or rank > 1:
                        area.alias(f"{case}_{layout}", case, layout)


# name: image, kernel, options
WINDOWS = {
    "plain": ((2, 3, 5, 6), (2, 3), {}),
    "padded": ((1, 2, 4, 4), (3, 3), {"padding": (1, 2)}),
    "strided": ((2, 2, 7, 6), (3, 2), {"stride": (2, 3)}),
    "tiles": ((2, 2, 4, 6), (2, 3), {"stride": (2, 3)}),
    "all": ((2, 2, 7, 8), (2, 3), {"dilation": (3, 2), "padding": (1, 2), "stride": (2, 1)}),
    "unbatched": ((2, 5, 4), (2, 2), {"padding": (1, 0)}),
}


def windows(area):
    for name, (shape, kernel, options) in WINDOWS.items():
        options = {"dilation": (1, 1), "padding": (0, 0), "stride": (1, 1), **options}
        written = {"kernel_size": list(kernel), **{k: list(v) for k, v in options.items()}}
        for dtype in ("f32", "f64", "bf16"):
            case = f"unfold_{name}_{dtype}"
            x = Source(case).normal(*shape, dtype=dtype)
            area.run(case, "unfold2d", lambda x: F.unfold(x, kernel, **options), [x], **written)
            columns = F.unfold(x, kernel, **options)
            if name == "all" and dtype == "f32":
                for layout in ("channels_last", "transposed", "step2"):
                    area.alias(f"{case}_{layout}", case, layout)
            if dtype == "bf16":
                continue
            case = f"fold_{name}_{dtype}"
            columns = Source(case).normal(*columns.shape, dtype=dtype)
            size = shape[-2:]
            area.run(
                case,
                "fold",
                lambda x: F.fold(x, size, kernel, **options),
                [columns],
                output_size=list(size),
                **written,
            )
            if name == "all" and dtype == "f32":
                for layout in ("transposed", "step2"):
                    area.alias(f"{case}_{layout}", case, layout)


def make(folder):
    area = Area("ops_conv", "Convolution of any rank, transposed convolution, unfold and fold.")
    cases(area, CONV, "conv", DEFAULTS)
    cases(area, TRANSPOSE, "conv_transpose", TRANSPOSE_DEFAULTS)
    windows(area)
    area.write(folder)
