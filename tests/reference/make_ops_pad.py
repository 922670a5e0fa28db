"""Padding with elements of the tensor: reflect, replicate and circular."""

import torch
import torch.nn.functional as F

from common import Area, Source

PADS = {
    "one": ((2, 3, 4), (1, 2)),
    "left": ((2, 3, 4), (3, 0)),
    "two": ((2, 3, 4, 5), (1, 0, 2, 3)),
    "three": ((2, 3, 4, 3, 5), (1, 1, 0, 2, 1, 0)),
    "unbatched": ((3, 4, 5), (2, 1, 0, 1)),
    "cut": ((2, 3, 4, 6), (-1, 2, 1, -2)),
    "none": ((2, 3, 4), (0, 0)),
    "no_batch": ((0, 3, 4, 5), (1, 2, 1, 1)),
}


def layouts(area, case, x):
    if x.dim() < 4 or x.numel() == 0:
        return
    area.alias(f"{case}_channels_last", case, "channels_last")
    area.alias(f"{case}_step2", case, "step2")
    area.alias(f"{case}_transposed", case, "transposed")


def modes(area):
    for mode in ("reflect", "replicate", "circular"):
        for name, (shape, pad) in PADS.items():
            for dtype in ("f32", "f64"):
                if dtype == "f64" and name not in ("two", "cut"):
                    continue
                case = f"pad_{mode}_{name}_{dtype}"
                x = Source(case).normal(*shape, dtype=dtype)
                function = lambda x: F.pad(x, pad, mode)
                grad = name != "no_batch"
                area.run(case, "pad", function, [x], grad=grad, mode=mode, pads=list(pad))
                layouts(area, case, x)
        for dtype in ("f16", "bf16"):
            case = f"pad_{mode}_two_{dtype}"
            x = Source(case).normal(2, 2, 3, 4, dtype=dtype)
            function = lambda x: F.pad(x, (1, 2, 0, 1), mode)
            area.run(case, "pad", function, [x], grad=False, mode=mode, pads=[1, 2, 0, 1])
    case = "pad_circular_i64"
    x = Source(case).integers(2, 3, 4)
    function = lambda x: F.pad(x, (4, 2), "circular")
    area.run(case, "pad", function, [x], grad=False, mode="circular", pads=[4, 2])


def make(folder):
    torch.use_deterministic_algorithms(False)  # the backwards of padding have no such kernels
    area = Area("ops_pad", "Padding with elements of the tensor.")
    modes(area)
    area.write(folder)
