"""Interpolation: sizes, factors, modes, corners, antialias."""

import torch
import torch.nn.functional as F

from common import Area, Source

SHAPES = {1: (2, 3, 5), 2: (2, 3, 4, 5), 3: (1, 2, 3, 4, 5)}
SIZES = {
    1: {"up": (9,), "down": (3,), "one": (1,)},
    2: {"up": (7, 11), "down": (3, 2), "mixed": (9, 3), "same": (4, 5), "one": (1, 1)},
    3: {"up": (5, 7, 6), "mixed": (2, 6, 3)},
}
FACTORS = {1: (2.0, 0.7, 1.7), 2: (2.0, 0.7, 2.3, (1.5, 0.6)), 3: (2.0, (1.5, 0.7, 2.0))}
SMOOTH = {1: "linear", 2: "bilinear", 3: "trilinear"}


def one(area, case, shape, dtype="f32", layouts=False, grad=True, **options):
    x = Source(case).normal(*shape, dtype=dtype)
    function = lambda x: F.interpolate(x, **options)
    attributes = {key: value for key, value in options.items() if value is not None}
    area.run(case, "interpolate", function, [x], grad=grad, **attributes)
    if layouts:
        for layout in ("channels_last", "step2", "transposed"):
            area.alias(f"{case}_{layout}", case, layout)


def modes_of(n):
    modes = [("nearest", False), ("nearest-exact", False), ("area", False)]
    modes += [(SMOOTH[n], False), (SMOOTH[n], True)]
    return modes + ([("bicubic", False), ("bicubic", True)] if n == 2 else [])


def name_of(mode, corners):
    return mode.replace("-", "_") + ("_corners" if corners else "")


def cases(area):
    for n in (1, 2, 3):
        for mode, corners in modes_of(n):
            options = {"mode": mode, "align_corners": True if corners else None}
            base = f"{name_of(mode, corners)}_{n}d"
            for name, size in SIZES[n].items():
                one(area, f"{base}_{name}", SHAPES[n], size=size, layouts=n == 2, **options)
            for i, factor in enumerate(FACTORS[n]):
                one(area, f"{base}_factor{i}", SHAPES[n], scale_factor=factor, **options)
            again = {"scale_factor": 1.7, "recompute_scale_factor": True, **options}
            one(area, f"{base}_recomputed", SHAPES[n], **again)
            one(area, f"{base}_f64", SHAPES[n], "f64", size=SIZES[n]["up"], **options)
            for dtype in ("f16", "bf16"):
                size = SIZES[n]["up"]
                one(area, f"{base}_{dtype}", SHAPES[n], dtype, grad=False, size=size, **options)
            one(area, f"{base}_empty", (0, *SHAPES[n][1:]), grad=False, size=4, **options)


def smooth(area):
    for mode in ("bilinear", "bicubic"):
        for corners in (None, True):
            base = f"{name_of(mode, corners)}_antialias"
            options = {"mode": mode, "align_corners": corners, "antialias": True}
            shape = (2, 3, 9, 11)
            one(area, f"{base}_down", shape, layouts=True, size=(4, 3), **options)
            one(area, f"{base}_up", shape, size=(13, 12), **options)
            one(area, f"{base}_mixed", shape, size=(2, 20), **options)
            one(area, f"{base}_factor", shape, scale_factor=0.45, **options)
            one(area, f"{base}_f64", shape, "f64", size=(1, 5), **options)
    one(area, "bilinear_antialias_far", (1, 1, 150, 3), size=(2, 2), mode="bilinear", antialias=True)


def make(folder):
    torch.use_deterministic_algorithms(False)  # adaptive pooling and antialias have no such backward
    area = Area("ops_interpolate", "Interpolation.")
    cases(area)
    smooth(area)
    area.write(folder)
