"""Reading images at given places, and grids of affine maps."""

import torch
import torch.nn.functional as F

from common import Area, Source

SHAPES = {2: ((2, 3, 4, 5), (2, 3, 4, 2)), 3: ((2, 2, 3, 4, 5), (2, 2, 3, 2, 3))}


def samples(area):
    for n, (image, places) in SHAPES.items():
        for mode in ("nearest", "bilinear", "bicubic")[: 3 if n == 2 else 2]:
            for padding in ("zeros", "border", "reflection"):
                for corners in (False, True):
                    dtypes = ("f32", "f64") if n == 2 else ("f32",)
                    if mode == "bicubic":  # float32 rounds places, and the cubic amplifies that
                        dtypes = ("f64",)
                    for dtype in dtypes:
                        case = f"grid_sample_{n}d_{mode}_{padding}_{corners}_{dtype}"
                        source = Source(case)
                        x = source.normal(*image, dtype=dtype)
                        grid = source.uniform(*places, dtype=dtype, low=-1.8, high=1.8)
                        options = {"mode": mode, "padding_mode": padding, "align_corners": corners}
                        function = lambda x, g: F.grid_sample(x, g, **options)
                        area.run(case, "grid_sample", function, [x, grid], **options)


def grids(area):
    for n, size in ((2, (2, 3, 4, 5)), (3, (2, 1, 3, 1, 4))):
        for corners in (False, True):
            case = f"affine_grid_{n}d_{corners}"
            theta = Source(case).normal(2, n, n + 1)
            function = lambda t: F.affine_grid(t, list(size), align_corners=corners)
            area.run(case, "affine_grid", function, [theta], size=size, align_corners=corners)


def make(folder):
    torch.use_deterministic_algorithms(False)
    area = Area("ops_grid", "Reading images at given places.")
    samples(area)
    grids(area)
    area.write(folder)
