"""Pooling of one and three dimensions, winners, adaptive maxima, means of powers, the way back."""

import torch
import torch.nn.functional as F

from common import Area, Source

SHAPES = {1: (2, 3, 9), 2: (2, 3, 7, 9), 3: (2, 2, 5, 7, 6)}
WINDOWS = {
    "two": {"kernel_size": 2},
    "three": {"kernel_size": 3, "stride": 2, "padding": 1},
    "ceil": {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
}
UNEVEN = {"kernel_size": (2, 3, 1), "stride": (1, 2, 3), "padding": (1, 0, 0)}


def both(area, case, op, function, x, **attributes):
    area.run(case, op, function, [x], **attributes)
    if x.dim() >= 4 and x.dtype == torch.float32 and x.numel():
        area.alias(f"{case}_channels_last", case, "channels_last")
        area.alias(f"{case}_step2", case, "step2")


def maxima(area):
    for n in (1, 2, 3):
        pool = getattr(F, f"max_pool{n}d")
        rows = dict(WINDOWS, dilated={"kernel_size": 2, "stride": 1, "dilation": 2})
        if n == 3:
            rows["uneven"] = UNEVEN
        for name, options in rows.items():
            case = f"max_pool{n}d_{name}"
            function = lambda x: pool(x, **options, return_indices=True)
            both(area, case, f"max_pool{n}d_places", function, Source(case).normal(*SHAPES[n]), **options)
        for name, shape, dtype in (
            ("single", SHAPES[n][1:], "f32"), ("f64", SHAPES[n], "f64"), ("f16", SHAPES[n], "f16"),
            ("bf16", SHAPES[n], "bf16"), ("empty", (0, *SHAPES[n][1:]), "f32"),
        ):  # fmt: skip
            case = f"max_pool{n}d_{name}"
            x = Source(case).normal(*shape, dtype=dtype)
            function = lambda x: pool(x, 2, return_indices=True)
            area.run(case, f"max_pool{n}d_places", function, [x], grad=name != "empty", kernel_size=2)


def means(area):
    for n in (1, 3):
        pool = getattr(F, f"avg_pool{n}d")
        rows = dict(WINDOWS)
        rows["without"] = {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}
        rows["without_ceil"] = {**rows["without"], "ceil_mode": True}
        if n == 3:
            rows["uneven"] = UNEVEN
            rows["divisor"] = {"kernel_size": 2, "divisor_override": 3}
        for name, options in rows.items():
            case = f"avg_pool{n}d_{name}"
            function = lambda x: pool(x, **options)
            both(area, case, f"avg_pool{n}d", function, Source(case).normal(*SHAPES[n]), **options)
        for dtype in ("f64", "bf16") if n == 1 else ("f64",):
            case = f"avg_pool{n}d_{dtype}"
            x = Source(case).normal(*SHAPES[n], dtype=dtype)
            area.run(case, f"avg_pool{n}d", lambda x: pool(x, 2), [x], grad=dtype == "f64", kernel_size=2)


def adaptive(area):
    table = {1: (3, 4, 12), 2: ((7, 3), (3, 4), (10, 1)), 3: ((2, 7, 3), (3, 4, 5), (5, 1, 8))}
    for n, rows in table.items():
        for i, size in enumerate(rows):
            size = list(size) if n > 1 else size
            case = f"adaptive_max_pool{n}d_{i}"
            pool = getattr(F, f"adaptive_max_pool{n}d")
            function = lambda x: pool(x, size, return_indices=True)
            x = Source(case).normal(*SHAPES[n])
            both(area, case, f"adaptive_max_pool{n}d_places", function, x, output_size=size)
            if n == 2:
                continue
            case = f"adaptive_avg_pool{n}d_{i}"
            mean = getattr(F, f"adaptive_avg_pool{n}d")
            x = Source(case).normal(*SHAPES[n])
            both(area, case, f"adaptive_avg_pool{n}d", lambda x: mean(x, size), x, output_size=size)


def powers(area):
    for n in (1, 2, 3):
        pool = getattr(F, f"lp_pool{n}d")
        rows = [(2.0, 2, None, False), (3.0, 3, 2, True), (1.0, 3, 1, False), (1.5, 2, None, True)]
        for i, (p, kernel, stride, ceil) in enumerate(rows):
            case = f"lp_pool{n}d_{i}"
            x = Source(case).uniform(*SHAPES[n], low=0.1, high=2)
            function = lambda x: pool(x, p, kernel, stride, ceil)
            options = {"norm_type": p, "kernel_size": kernel, "ceil_mode": ceil}
            if stride:
                options["stride"] = stride
            both(area, case, f"lp_pool{n}d", function, x, **options)


def back(area):
    rows = {
        1: [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "output_size": 9}],
        2: [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "output_size": (7, 9)}],
        3: [{"kernel_size": 2}, {"kernel_size": 2, "output_size": (5, 7, 6)}],
    }
    for n, options in rows.items():
        for i, row in enumerate(options):
            case = f"max_unpool{n}d_{i}"
            window = {k: v for k, v in row.items() if k != "output_size"}
            even = {1: (2, 3, 8), 2: (2, 3, 6, 8), 3: (2, 2, 4, 6, 6)}
            x = Source(case).normal(*(SHAPES if "output_size" in row else even)[n])
            y, index = getattr(F, f"max_pool{n}d")(x, **window, return_indices=True)
            given = row.get("output_size")
            given = None if given is None else [given] if n == 1 else list(given)
            unpool = getattr(F, f"max_unpool{n}d")
            function = lambda y, i: unpool(y, i, **window, output_size=given)
            # Overlapping windows: which of equal elements counts does not matter.
            area.run(case, f"max_unpool{n}d", function, [y, index], grad=[0], dtype="mixed", **row)


def make(folder):
    torch.use_deterministic_algorithms(False)  # some of the backwards have no such kernels
    area = Area("ops_pooling", "Pooling.")
    for part in (maxima, means, adaptive, powers, back):
        part(area)
    area.write(folder)
