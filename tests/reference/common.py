"""What every area shares: seeded values, the case recorder, the files it writes.

README.md describes the files; this module is their only writer.
"""

import math
import os
import warnings
import zlib

import torch
from safetensors.torch import load, save

DTYPES = {
    "f32": torch.float32,
    "f64": torch.float64,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "i64": torch.int64,
    "i32": torch.int32,
    "u8": torch.uint8,
    "bool": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def setup():
    """One thread and deterministic kernels, so that a second run gives the same bytes."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(0)
    warnings.filterwarnings("ignore", message=".*degrees of freedom is <= 0.*")


def fmt(value):
    """A manifest value: no spaces, lists joined by commas, floats that read back exactly."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, torch.dtype):
        return NAMES[value]
    if isinstance(value, (list, tuple, torch.Size)):
        return ",".join(fmt(v) for v in value) if len(value) else "empty"
    text = repr(value) if isinstance(value, float) else str(value)
    assert not set(text) & set(" \t\n="), text
    return text


def line(**pairs):
    return " ".join(f"{key}={fmt(value)}" for key, value in pairs.items())


class Source:
    """Random tensors of one case: seeded by its name, so that cases do not move one another."""

    def __init__(self, name):
        self.generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def normal(self, *shape, dtype="f32", mean=0.0, std=1.0):
        x = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return (x * std + mean).to(DTYPES[dtype])

    def uniform(self, *shape, dtype="f32", low=0.0, high=1.0):
        x = torch.rand(shape, generator=self.generator, dtype=torch.float64)
        return (x * (high - low) + low).to(DTYPES[dtype])

    def integers(self, *shape, dtype="i64", low=0, high=10):
        x = torch.randint(low, high, shape, generator=self.generator)
        return x.to(DTYPES[dtype])


def lay_out(x, layout):
    """The same values in other memory; the layouts are those that README.md names."""
    if layout == "contiguous":
        return x.contiguous()
    if layout == "channels_last":
        if x.dim() == 5:
            return x.contiguous(memory_format=torch.channels_last_3d)
        return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
    if layout == "transposed":
        return x.transpose(-1, -2).contiguous().transpose(-1, -2) if x.dim() > 1 else x
    if layout == "step2":
        room = x.new_zeros(*x.shape[:-1], 2 * x.shape[-1])
        room[..., ::2] = x
        return room[..., ::2]
    if layout == "expanded":
        assert torch.equal(x, x[:1].expand_as(x))
        return x[:1].clone().expand_as(x)
    raise ValueError(layout)


class Case:
    def __init__(self, area, name, op, attributes):
        self.area, self.name, self.source = area, name, Source(name)
        self.pairs = {"case": name, "op": op, **attributes}
        self.children = []

    def put(self, role, tensor):
        key = f"{self.name}/{role}"
        assert key not in self.area.tensors, key
        self.area.tensors[key] = tensor.detach().clone(memory_format=torch.contiguous_format)

    def get(self, role):
        return self.area.tensors[f"{self.name}/{role}"]

    def child(self, **pairs):
        """An extra line below the case's own: a module inside it."""
        self.children.append(line(**pairs))


class Area:
    """Collects cases, then writes NAME.safetensors and NAME.txt."""

    def __init__(self, name, about):
        self.name, self.about = name, about
        self.cases, self.tensors = {}, {}

    def case(self, name, op, dtype="f32", layout="contiguous", **attributes):
        assert name not in self.cases, name
        case = Case(self, name, op, {"dtype": dtype, "layout": layout, **attributes})
        self.cases[name] = case
        return case

    def run(
        self,
        name,
        op,
        function,
        inputs,
        dtype=None,
        layout="contiguous",
        grad=True,
        grad_out=None,
        **attributes,
    ):
        """Record function(*inputs): outputs, and the gradients of the floating inputs.

        grad: True for all floating inputs, False for none, or the indices of the inputs.
        grad_out: None for random values, a number to fill with, or the tensor itself.
        """
        dtype = dtype or NAMES[inputs[0].dtype]
        case = self.case(name, op, dtype, layout, **attributes)
        args = []
        for i, x in enumerate(inputs):
            case.put(f"in{i}", x)
            x = lay_out(x.detach(), layout)
            wanted = grad is True or (grad is not False and i in grad)
            args.append(x.requires_grad_(wanted and x.is_floating_point()))
        out = function(*args)
        outs = out if isinstance(out, tuple) else (out,)
        for i, y in enumerate(outs):
            case.put("out" if i == 0 else f"out{i}", y)
        if outs[0].requires_grad:
            if grad_out is None:
                dy = case.source.normal(*outs[0].shape, dtype="f64").to(outs[0].dtype)
            elif isinstance(grad_out, torch.Tensor):
                dy = grad_out
            else:
                dy = torch.full_like(outs[0], grad_out).detach()
            case.put("grad_out", dy)
            outs[0].backward(dy if layout == "expanded" or dy.dim() == 0 else lay_out(dy, layout))
            for i, x in enumerate(args):
                if x.grad is not None:
                    case.put(f"grad_in{i}", x.grad)
        return case

    def alias(self, name, of, layout):
        """The tensors of another case in another layout: nothing is stored twice."""
        pairs = dict(self.cases[of].pairs, layout=layout)
        del pairs["case"]
        self.cases[name] = Case(self, name, pairs.pop("op"), {**pairs, "tensors": of})
        self.cases[name].children = self.cases[of].children

    def write(self, folder, manifest=True):
        data = save(self.tensors)
        again = load(data)
        assert again.keys() == self.tensors.keys()
        for key, value in self.tensors.items():
            same_bits(key, value, again[key])
        write_bytes(os.path.join(folder, f"{self.name}.safetensors"), data)
        if not manifest:
            return
        lines = [f"# {self.about}", "# Written by make.py; README.md describes the format."]
        for case in self.cases.values():
            lines.append(line(**case.pairs))
            lines.extend(case.children)
        write_text(os.path.join(folder, f"{self.name}.txt"), lines)


class Texts:
    """A text file of blocks: a line `case=NAME lines=N ...`, then N lines as they are."""

    def __init__(self, name, about):
        self.name, self.about, self.blocks = name, about, {}

    def block(self, case, text, **pairs):
        assert case not in self.blocks, case
        lines = text.split("\n")
        self.blocks[case] = [line(case=case, lines=len(lines), **pairs)] + lines

    def write(self, folder):
        lines = [f"# {self.about}", "# Written by make.py; README.md describes the format."]
        for block in self.blocks.values():
            lines.extend(block)
        write_text(os.path.join(folder, f"{self.name}.txt"), lines)


def same_bits(key, a, b):
    assert a.dtype == b.dtype and a.shape == b.shape, key
    equal = (
        a.reshape(-1).view(torch.uint8).equal(b.reshape(-1).view(torch.uint8))
        if a.numel()
        else True
    )
    assert equal, key


def write_bytes(path, data):
    with open(path, "wb") as file:
        file.write(data)


def write_text(path, lines):
    write_bytes(path, ("\n".join(lines) + "\n").encode("ascii"))


def close(a, b, tolerance, what):
    """A guard of the scripts themselves: a wrong reference is worse than none."""
    a, b = a.detach().double(), b.detach().double()
    error = ((a - b).abs() / (1 + b.abs())).max().item() if a.numel() else 0.0
    assert error <= tolerance and not math.isnan(error), f"{what}: {error} > {tolerance}"
