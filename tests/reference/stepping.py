"""Modules run step by step: what is shared by the areas modules and batchnorm."""

import torch
from torch import nn

from common import NAMES, lay_out

# The constructor arguments that a manifest line gives for each class.
ARGUMENTS = {
    "BatchNorm1d": ["num_features", "eps", "momentum", "affine", "track_running_stats"],
    "Conv2d": [
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
    ],
    "Linear": ["in_features", "out_features", "bias"],
    "MaxPool2d": ["kernel_size", "stride", "padding", "dilation", "ceil_mode"],
    "AvgPool2d": ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"],
    "AdaptiveAvgPool2d": ["output_size"],
    "Dropout": ["p"],
    "Flatten": ["start_dim", "end_dim"],
    "GELU": ["approximate"],
    "LeakyReLU": ["negative_slope"],
    "ELU": ["alpha"],
    "Softmax": ["dim"],
    "LogSoftmax": ["dim"],
    "SEBlock": ["channels", "reduction"],
}
ARGUMENTS["BatchNorm2d"] = ARGUMENTS["BatchNorm3d"] = ARGUMENTS["BatchNorm1d"]


class SEBlock(nn.Module):
    """y = x * sigmoid(W2 relu(W1 mean_hw(x)))"""

    def __init__(self, channels, reduction):
        super().__init__()
        self.channels, self.reduction = channels, reduction
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x):
        g = x.mean(dim=(2, 3), keepdim=True)
        g = torch.relu(self.squeeze(g))
        return x * torch.sigmoid(self.excite(g))


def describe(module):
    kind = type(module).__name__
    pairs = {}
    for key in ARGUMENTS.get(kind, []):
        value = getattr(module, key)
        if key == "bias":
            value = value is not None
        if key in ("kernel_size", "stride", "padding", "dilation", "output_size"):
            value = value if isinstance(value, tuple) else (value, value)
        pairs[key] = value
    return kind, pairs


def child_lines(case, module):
    """What a Sequential holds, parents first; a module of another class knows its own children."""
    if isinstance(module, nn.Sequential):
        for path, child in module.named_modules():
            if path and inside_sequential(module, path):
                kind, pairs = describe(child)
                case.child(child=path, op=kind, **pairs)


def inside_sequential(root, path):
    parent = root.get_submodule(path.rpartition(".")[0])
    return isinstance(parent, nn.Sequential)


def fill(module, source):
    """Parameters and buffers that are not the defaults, so that each one shows in the output."""
    for name, p in module.named_parameters():
        p.data = source.normal(*p.shape, dtype=NAMES[p.dtype], std=0.5)
    for name, sub in module.named_modules():
        if isinstance(sub, nn.modules.batchnorm._BatchNorm):
            kind = NAMES[sub.weight.dtype] if sub.affine else "f32"
            if sub.affine:
                sub.weight.data = source.uniform(sub.num_features, dtype=kind, low=0.5, high=1.5)
            if sub.track_running_stats:
                kind = NAMES[sub.running_mean.dtype]
                sub.running_mean.copy_(source.normal(sub.num_features, dtype=kind))
                sub.running_var.copy_(source.uniform(sub.num_features, dtype=kind, low=0.5, high=2))


def put_state(case, module):
    for name, p in module.named_parameters():
        case.put(f"param.{name}", p)
    for name, b in module.named_buffers():
        case.put(f"buffer.{name}", b)


def put_step(case, k, module, x, y, dy):
    if dy is not None:
        case.put(f"s{k}.grad_out", dy)
        if x.grad is not None:
            case.put(f"s{k}.grad_in0", x.grad)
        for name, p in module.named_parameters():
            if p.grad is not None:
                case.put(f"s{k}.grad.{name}", p.grad)
    for name, b in module.named_buffers():
        case.put(f"s{k}.buffer.{name}", b)


def set_mode(module, mode):
    """A step's word: train or eval, with -untracked for track_running_stats = false since then."""
    word, _, rest = mode.partition("-")
    module.train(word == "train")
    if rest == "untracked":
        module.track_running_stats = False


def steps_case(
    area, name, module, steps, dtype=None, layout="contiguous", grad_out=None, after=None, **extra
):
    """Record a module over steps [(mode, x)]: forward, backward (gradients begin at zero), state.

    mode: train or eval; a + at its end runs under no_grad. after: a function on the output.
    """
    kind, pairs = describe(module)
    dtype = dtype or NAMES[steps[0][1].dtype]
    words = [mode.replace("+", "-no_grad") for mode, _ in steps]
    case = area.case(name, kind, dtype, layout, **pairs, **extra, steps=words)
    child_lines(case, module)
    put_state(case, module)
    for k, (mode, values) in enumerate(steps):
        set_mode(module, mode.rstrip("+"))
        module.zero_grad()
        case.put(f"s{k}.in0", values)
        no_grad = mode.endswith("+")
        x = lay_out(values, layout).detach().requires_grad_(values.is_floating_point())
        with torch.set_grad_enabled(not no_grad):
            y = module(x)
            y = after(y) if after else y
        case.put(f"s{k}.out", y)
        dy = None
        if not no_grad:
            dy = (
                torch.full_like(y, grad_out)
                if grad_out is not None
                else case.source.normal(*y.shape, dtype=NAMES[y.dtype])
            )
            dy = dy.detach()
            y.backward(dy if layout == "expanded" or dy.dim() == 0 else lay_out(dy, layout))
        put_step(case, k, module, x, y, dy)
    return case
