"""Initial values: bounds of uniform and deviations of normal distributions, checked by drawing."""

import math
import os

import torch
from torch import nn

from common import line, write_text

LAYERS = {
    "linear_784_128": lambda: nn.Linear(784, 128),
    "linear_3136_128": lambda: nn.Linear(3136, 128),
    "linear_128_10": lambda: nn.Linear(128, 10),
    "linear_1_1": lambda: nn.Linear(1, 1),
    "linear_6_5_no_bias": lambda: nn.Linear(6, 5, bias=False),
    "conv_1_32_3": lambda: nn.Conv2d(1, 32, 3),
    "conv_32_64_3": lambda: nn.Conv2d(32, 64, 3),
    "conv_3_64_7_no_bias": lambda: nn.Conv2d(3, 64, 7, bias=False),
    "conv_64_256_1": lambda: nn.Conv2d(64, 256, 1),
    "conv_4_6_3x2": lambda: nn.Conv2d(4, 6, (3, 2)),
    "conv_groups2": lambda: nn.Conv2d(8, 12, 3, groups=2),
    "conv_depthwise": lambda: nn.Conv2d(32, 32, 3, groups=32),
}
SHAPES = [(128, 784), (10, 128), (32, 1, 3, 3), (64, 32, 3, 3), (12, 4, 3, 3), (6, 4, 3, 2)]
GAINS = ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]


def distribution(values, bound=None, std=None):
    """Check a drawn tensor against what the formula says, and give the fields of its line."""
    if bound is not None:
        assert values.abs().max() <= bound * (1 + 1e-6)
        assert values.numel() < 100 or values.abs().max() > 0.9 * bound
        return {"dist": "uniform", "bound": bound, "mean": 0.0, "std": bound / math.sqrt(3)}
    slack = 5 * std / math.sqrt(2 * values.numel())
    assert abs(values.std().item() - std) < slack and abs(values.mean().item()) < 2 * slack
    return {"dist": "normal", "bound": None, "mean": 0.0, "std": std}


def defaults(lines):
    """Linear, Conv2d: kaiming_uniform(a = sqrt 5) is a bound of 1/sqrt(fan_in), as for the bias."""
    for name, build in LAYERS.items():
        layer = build()
        fan_in = layer.weight[0].numel()
        for key, p in layer.named_parameters():
            fields = distribution(p.detach(), bound=1 / math.sqrt(fan_in))
            lines.append(
                line(
                    case=name,
                    op=type(layer).__name__,
                    param=key,
                    shape=p.shape,
                    fan_in=fan_in,
                    **fields,
                )
            )
    for key, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        assert getattr(nn.BatchNorm2d(4), key).eq(value).all()
        lines.append(
            line(
                case="batch_norm",
                op="BatchNorm2d",
                param=key,
                shape=(4,),
                dist="constant",
                value=value,
            )
        )


def schemes(lines):
    for shape in SHAPES:
        fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        tag = "x".join(map(str, shape))
        for mode, fan in (("fan_in", fan_in), ("fan_out", fan_out)):
            for a, nonlinearity in (
                (0.0, "relu"),
                (math.sqrt(5), "leaky_relu"),
                (0.1, "leaky_relu"),
            ):
                gain = nn.init.calculate_gain(nonlinearity, a)
                pairs = {
                    "shape": shape,
                    "fan_in": fan_in,
                    "fan_out": fan_out,
                    "mode": mode,
                    "a": a,
                    "nonlinearity": nonlinearity,
                    "gain": gain,
                }
                std = gain / math.sqrt(fan)
                for op, field in (
                    ("kaiming_uniform_", {"bound": math.sqrt(3) * std}),
                    ("kaiming_normal_", {"std": std}),
                ):
                    values = getattr(nn.init, op)(torch.empty(shape), a, mode, nonlinearity)
                    lines.append(
                        line(
                            case=f"{op}{tag}_{mode}_{nonlinearity}_{a:.2g}",
                            op=op,
                            **pairs,
                            **distribution(values, **field),
                        )
                    )
        for gain in (1.0, 5 / 3):
            std = gain * math.sqrt(2 / (fan_in + fan_out))
            pairs = {"shape": shape, "fan_in": fan_in, "fan_out": fan_out, "gain": gain}
            for op, field in (
                ("xavier_uniform_", {"bound": math.sqrt(3) * std}),
                ("xavier_normal_", {"std": std}),
            ):
                values = getattr(nn.init, op)(torch.empty(shape), gain)
                lines.append(
                    line(
                        case=f"{op}{tag}_{gain:.2g}",
                        op=op,
                        **pairs,
                        **distribution(values, **field),
                    )
                )


def structured(lines):
    """trunc_normal_: mean and std of the cut distribution, by its formula and by drawing. dirac_: the
    flat indices of its ones."""
    for mean, std, a, b in (
        (0.0, 1.0, -2.0, 2.0),
        (0.0, 0.02, -2.0, 2.0),
        (1.0, 2.0, 0.5, 3.0),
        (0.0, 1.0, 3.0, 4.0),
        (0.0, 1.0, -9.0, -6.0),
    ):
        low, high = (a - mean) / std, (b - mean) / std
        phi = [math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in (low, high)]
        sign = -1 if low > 0 else 1
        z = abs(math.erfc(-sign * high / math.sqrt(2)) - math.erfc(-sign * low / math.sqrt(2))) / 2
        shift = (phi[0] - phi[1]) / z
        spread = 1 + (low * phi[0] - high * phi[1]) / z - shift * shift
        pairs = {"mean": mean + std * shift, "deviation": std * math.sqrt(spread)}
        if abs(low) < 5:
            values = nn.init.trunc_normal_(torch.empty(200000), mean, std, a, b)
            assert abs(values.mean().item() - pairs["mean"]) < 0.02 * pairs["deviation"]
            assert abs(values.std().item() / pairs["deviation"] - 1) < 0.02
        name = f"trunc_normal_{mean:g}_{std:g}_{a:g}_{b:g}"
        lines.append(line(case=name, op="trunc_normal_", center=mean, std=std, a=a, b=b, **pairs))
    for shape, groups in (
        ((4, 3, 3), 1),
        ((4, 2, 3, 3), 2),
        ((2, 5, 2, 4), 1),
        ((6, 2, 3, 2, 3), 3),
        ((3, 3, 1, 1), 1),
    ):
        values = nn.init.dirac_(torch.empty(shape), groups)
        ones = values.flatten().nonzero().flatten().tolist()
        assert values.sum() == len(ones)
        tag = "x".join(map(str, shape))
        lines.append(line(case=f"dirac_{tag}", op="dirac_", shape=shape, groups=groups, ones=ones))


def make(folder):
    lines = [
        "# Initial values: op's distribution for a shape. uniform: within +-bound; normal: std.",
        "# Written by make.py; README.md describes the format.",
    ]
    defaults(lines)
    schemes(lines)
    structured(lines)
    for name in GAINS:
        lines.append(
            line(
                case=f"gain_{name}",
                op="calculate_gain",
                nonlinearity=name,
                gain=float(nn.init.calculate_gain(name)),
            )
        )
    write_text(os.path.join(folder, "init.txt"), lines)
