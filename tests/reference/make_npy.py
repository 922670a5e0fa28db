"""NumPy's files, byte for byte, and the arrays in them."""

import io

import numpy as np
import torch

from common import Area

TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "?"]
# What lucid reads them as.
WIDER = {"i1": np.int32, "i2": np.int32, "u2": np.int32, "u4": np.int64}


def values(kind, shape):
    count = int(np.prod(shape))
    x = (np.arange(count) * 37 % 256).reshape(shape)
    if kind[-2] == "i":
        x = x - 100
        if kind[-1] == "1":
            x = x.clip(-128, 127)
    if kind[-2] == "f":
        x = x / 8 - 3
    return x.astype(kind)


def native(x):
    kind = x.dtype.str[1:]
    return torch.from_numpy(np.array(x, WIDER.get(kind, x.dtype.newbyteorder("=")), order="C"))


def saved(x, version=None):
    data = io.BytesIO()
    np.lib.format.write_array(data, x, version=version)
    return torch.frombuffer(bytearray(data.getvalue()), dtype=torch.uint8)


def archive(function, **arrays):
    data = io.BytesIO()
    function(data, **arrays)
    return torch.frombuffer(bytearray(data.getvalue()), dtype=torch.uint8)


def make(folder):
    area = Area("npy", "files of NumPy and the arrays in them")

    def add(name, data, out, op="npy", **attributes):
        case = area.case(name, op, "mixed", **attributes)
        case.put("bytes", data)
        case.put("out", out)

    for kind in TYPES:
        for order in "<>":
            if order == ">" and kind in ("i1", "u1", "?"):
                continue
            x = values("|b1" if kind == "?" else order + kind, (3, 5))
            name = {"?": "bool"}.get(kind, kind) + ("_big" if order == ">" else "")
            add(name, saved(x), native(x))
    x = values("<f4", (2, 3, 4))
    add("fortran", saved(np.asfortranarray(x)), native(x))
    add("fortran_big", saved(np.asfortranarray(x.astype(">i4"))), native(x.astype(">i4")))
    for shape in ((), (7,), (0, 3), (1, 1, 2, 1, 2)):
        x = values("<f8", shape)
        add(f"shape_{len(shape)}_{x.size}", saved(x), native(x))
    for version in ((2, 0), (3, 0)):
        x = values("<i8", (4,))
        add(f"version_{version[0]}", saved(x, version), native(x))
    a, b = values("<f4", (3, 4)), values("<i8", (5,))
    for name, function in (("savez", np.savez), ("savez_compressed", np.savez_compressed)):
        data = archive(function, weights=a, steps=b)
        add(f"{name}_weights", data, native(a), "npz", array="weights")
        add(f"{name}_steps", data, native(b), "npz", array="steps")
    area.write(folder)
