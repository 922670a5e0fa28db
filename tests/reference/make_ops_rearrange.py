"""Shuffled pixels and channels, constant padding, embedding and bilinear."""

import torch.nn.functional as F

from common import Area, Source


def shuffles(area):
    for factor in (1, 2, 3):
        for lead in ((2,), (), (2, 2)):
            case = f"pixel_shuffle_{factor}_{len(lead)}"
            x = Source(case).normal(*lead, 2 * factor**2, 2, 3)
            area.run(case, "pixel_shuffle", lambda x: F.pixel_shuffle(x, factor), [x], factor=factor)
            case = f"pixel_unshuffle_{factor}_{len(lead)}"
            x = Source(case).normal(*lead, 2, 2 * factor, 3 * factor)
            area.run(
                case, "pixel_unshuffle", lambda x: F.pixel_unshuffle(x, factor), [x], factor=factor
            )
            if lead:
                area.alias(f"{case}_channels_last", case, "channels_last")
    for groups in (1, 2, 6):
        case = f"channel_shuffle_{groups}"
        x = Source(case).normal(2, 6, 3, 2)
        shuffle = lambda x: F.channel_shuffle(x, groups)
        area.run(case, "channel_shuffle", shuffle, [x], grad=False, groups=groups)


def pads(area):
    table = {
        "one": (1, 2),
        "two": (1, 0, 2, 3),
        "three": (1, 1, 0, 2, 1, 0),
        "cut": (-1, 2, 1, -2),
        "none": (0, 0),
    }
    for name, pad in table.items():
        for dtype in ("f32", "f64"):
            case = f"constant_pad_{name}_{dtype}"
            x = Source(case).normal(2, 3, 4, 3, dtype=dtype)
            function = lambda x: F.pad(x, pad, "constant", 0.5)
            area.run(case, "constant_pad", function, [x], pads=list(pad), value=0.5)


def tables(area):
    for padding in (None, 0, -1):
        case = f"embedding_{padding}"
        source = Source(case)
        inputs = [source.integers(3, 4, low=0, high=5), source.normal(5, 6)]
        attributes = {} if padding is None else {"padding_idx": padding}
        function = lambda i, w: F.embedding(i, w, padding)
        area.run(case, "embedding", function, inputs, grad=[1], dtype="mixed", **attributes)
    for dtype in ("f32", "f64"):
        for lead in ((4,), (2, 3), ()):
            case = f"bilinear_{len(lead)}_{dtype}"
            source = Source(case)
            sizes = ((*lead, 3), (*lead, 5), (4, 3, 5), (4,))
            inputs = [source.normal(*s, dtype=dtype) for s in sizes]
            area.run(case, "bilinear", F.bilinear, inputs)


def make(folder):
    area = Area("ops_rearrange", "Shuffles, constant padding, embedding and bilinear.")
    for part in (shuffles, pads, tables):
        part(area)
    area.write(folder)
