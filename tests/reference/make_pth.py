"""Files of torch.save, byte for byte, and the tensors in them."""

import argparse
import collections
import io
import zipfile

import torch
from torch import nn

from common import DTYPES, Area, Source


def saved(thing, **options):
    data = io.BytesIO()
    torch.save(thing, data, **options)
    return data.getvalue()


def repacked(data, method):
    """The same archive, compressed or not, written by Python."""
    out = io.BytesIO()
    old = zipfile.ZipFile(io.BytesIO(data))
    with zipfile.ZipFile(out, "w", method) as z:
        for name in old.namelist():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type = method
            z.writestr(info, old.read(name))
    return out.getvalue()


def net():
    torch.manual_seed(1)
    m = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(3, 2))
    m(torch.randn(4, 2, 2, 2))
    return m


def views():
    x = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return {
        "whole": x,
        "transposed": x.t(),
        "part": x[1:3, 2:5],
        "column": x[:, 1],
        "expanded": x[0, :1].expand(5),
        "steps": x.flatten()[1::7],
        "scalar": x[3, 3],
        "empty": x[:0],
    }


def dtypes():
    x = torch.tensor([0, 1, 2, 0, 5])
    return {name: x.to(dtype) for name, dtype in DTYPES.items()}


def checkpoint():
    m = net()
    opt = torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9)
    m(torch.ones(2, 2, 2, 2)).sum().backward()
    opt.step()
    return {
        "epoch": 3,
        "name": "Größe",
        "best": 0.5,
        "done": False,
        "nothing": None,
        "large": 2**40,
        "shape": torch.Size((2, 3)),
        "dtype": torch.float16,
        "milestones": collections.Counter([3, 5]),
        "state_dict": m.state_dict(),
        "optimizer": opt.state_dict(),
    }


def files():
    """name, what is in it, options, the state dict that lucid finds in it"""
    state = net().state_dict()
    yield "dtypes", dtypes(), {}, dtypes()
    yield "views", views(), {}, views()
    yield "state", state, {}, state
    yield "parameters", dict(net().named_parameters()), {}, dict(net().named_parameters())
    yield "checkpoint", checkpoint(), {}, checkpoint()["state_dict"]
    yield "model", {"model": state, "ema": state}, {}, state
    yield "nested", {"model": {"state_dict": state}}, {}, state
    yield "only_one", {"net": state, "acc": 92.5}, {}, state
    yield "wrapped", {"module._orig_mod." + k: v for k, v in state.items()}, {}, {
        "module._orig_mod." + k: v for k, v in state.items()
    }
    yield "tensor", torch.arange(6).reshape(2, 3), {}, {"tensor": torch.arange(6).reshape(2, 3)}
    pair = [torch.ones(2), (torch.zeros(1), {7: torch.full((2, 2), 3.0)})]
    yield "list", pair, {}, {"0": pair[0], "1.0": pair[1][0], "1.1.7": pair[1][1][7]}
    for protocol in (3, 4, 5):
        yield f"protocol_{protocol}", state, {"pickle_protocol": protocol}, state


def foreign():
    yield "int8", {"a": torch.ones(2), "b": torch.ones(2, dtype=torch.int8)}, "int8"
    yield "complex", {"a": torch.ones(2), "b": torch.ones(2, dtype=torch.complex64)}, "complex64"
    yield "uint16", {"a": torch.ones(2), "b": torch.ones(2).to(torch.uint16)}, "uint16"
    yield "nine", {"a": torch.ones(2), "b": torch.ones((1,) * 9)}, "dimensions"


def refused():
    """What is no tensor, number, text, list or dict."""
    yield "namespace", {"args": argparse.Namespace(a=1), "w": torch.ones(1)}, "argparse.Namespace"
    yield "set", {"a": {1, 2}}, "set"
    yield "module", nn.Linear(2, 2), "torch.nn.modules.linear.Linear"
    yield "function", {"f": print}, "print"
    yield "bytes", {"b": b"abc", "w": torch.ones(1)}, "_codecs.encode"
    yield "sparse", {"s": torch.eye(2).to_sparse()}, "_rebuild_sparse_tensor"
    yield "two_dicts", {"a": {"w": torch.ones(1)}, "b": {"w": torch.ones(1)}}, "several"


def make(folder):
    area = Area("pth", "files of torch.save and the tensors in them")

    def add(name, data, out=None, **attributes):
        case = area.case(name, "pth", "mixed", **attributes)
        case.put("bytes", torch.frombuffer(bytearray(data), dtype=torch.uint8))
        for i, tensor in enumerate((out or {}).values()):
            case.put(str(i), tensor.detach().clone())

    for name, thing, options, out in files():
        names = ",".join(out)
        add(name, saved(thing, **options), out, names=names)
        if "pickle_protocol" not in options:
            old = saved(thing, _use_new_zipfile_serialization=False, **options)
            add(name + "_old", old, out, names=names)
    state = net().state_dict()
    names = ",".join(state)
    add("stored", repacked(saved(state), zipfile.ZIP_STORED), state, names=names)
    add("deflated", repacked(saved(state), zipfile.ZIP_DEFLATED), state, names=names)
    torch.serialization.set_crc32_options(False)
    add("unchecked", saved(state), state, names=names)
    torch.serialization.set_crc32_options(True)
    for name, thing, why in foreign():
        add("foreign_" + name, saved(thing), foreign=why)
    for name, thing, why in refused():
        add("refused_" + name, saved(thing), refused=why)
        if name != "sparse":
            old = saved(thing, _use_new_zipfile_serialization=False)
            add(f"refused_{name}_old", old, refused=why)
    script = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.ReLU()), script)
    add("refused_script", script.getvalue(), refused="TorchScript")
    area.write(folder)
