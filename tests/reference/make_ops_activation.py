"""Activations and elementwise mathematics: values, gradients, kinks, special numbers."""

import torch
import torch.nn.functional as F

from common import DTYPES, Area, Source, close

INF, NAN = float("inf"), float("nan")
# Every kink of the functions below is here. PyTorch's gradients at numbers that are not finite
# depend on where in the tensor they are (its vector loops differ from its scalar ones).
SPECIAL = [NAN, INF, -INF, 1e-40, -1e-40, 1e30, -1e30]
EDGES = [0.0, -0.0, 0.5, -0.5, 1, -1, 1.5, 2.5, -2.5, 3, -3, 6, 20.5, -20.5]

# name: (function, attributes, low, high of the ordinary values)
ACTIVATIONS = {
    "relu6": (F.relu6, {}, -3, 9),
    "leaky_relu": (F.leaky_relu, {"negative_slope": 0.125}, -3, 3),
    "elu": (F.elu, {"alpha": 0.75}, -3, 3),
    "selu": (F.selu, {}, -3, 3),
    "celu": (F.celu, {"alpha": 2.0}, -3, 3),
    "hardtanh": (F.hardtanh, {"min_val": -1.0, "max_val": 3.0}, -3, 5),
    "hardswish": (F.hardswish, {}, -5, 5),
    "hardsigmoid": (F.hardsigmoid, {}, -5, 5),
    "mish": (F.mish, {}, -5, 5),
    "logsigmoid": (F.logsigmoid, {}, -5, 5),
    "softsign": (F.softsign, {}, -5, 5),
    "tanhshrink": (F.tanhshrink, {}, -5, 5),
    "hardshrink": (F.hardshrink, {"lambd": 0.5}, -2, 2),
    "softshrink": (F.softshrink, {"lambd": 0.5}, -2, 2),
    "threshold": (F.threshold, {"threshold": 0.5, "value": 7.0}, -2, 2),
    "rrelu": (F.rrelu, {"lower": 0.125, "upper": 0.25}, -2, 2),
}
FUNCTIONS = {
    "floor": (torch.floor, -5, 5),
    "ceil": (torch.ceil, -5, 5),
    "round": (torch.round, -5, 5),
    "trunc": (torch.trunc, -5, 5),
    "sin": (torch.sin, -5, 5),
    "cos": (torch.cos, -5, 5),
    "tan": (torch.tan, -1.4, 1.4),
    "asin": (torch.asin, -0.99, 0.99),
    "acos": (torch.acos, -0.99, 0.99),
    "atan": (torch.atan, -5, 5),
    "sinh": (torch.sinh, -5, 5),
    "cosh": (torch.cosh, -5, 5),
    "log1p": (torch.log1p, -0.9, 5),
    "log2": (torch.log2, 0.1, 9),
    "log10": (torch.log10, 0.1, 9),
    "expm1": (torch.expm1, -5, 5),
    "exp2": (torch.exp2, -5, 5),
    "erf": (torch.erf, -3, 3),
    "erfc": (torch.erfc, -3, 3),
    "nan_to_num": (torch.nan_to_num, -3, 3),
}
MASKS = {"isinf": torch.isinf, "isfinite": torch.isfinite, "logical_not": torch.logical_not}
PAIRS = {"atan2": torch.atan2, "fmod": torch.fmod, "remainder": torch.remainder}
LOGICAL = {
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}
TOLERANCE = {"f32": 2e-5, "f64": 1e-12, "f16": 4e-3, "bf16": 3e-2}


def exact_slope(area, case):
    """PyTorch multiplies a float64 gradient of hardsigmoid by the float32 nearest to 1 / 6."""
    inside = case.get("in0").abs() < 3
    area.tensors[f"{case.name}/grad_in0"] = case.get("grad_out") * inside / 6.0


def one(area):
    cases = {n: (f, a, lo, hi) for n, (f, a, lo, hi) in ACTIVATIONS.items()}
    cases.update({n: (f, {}, lo, hi) for n, (f, lo, hi) in FUNCTIONS.items()})
    for name, (function, attributes, low, high) in cases.items():
        call = lambda x: function(x, **attributes)
        for dtype in ("f32", "f64", "f16", "bf16"):
            case = f"{name}_{dtype}"
            x = Source(case).uniform(3, 7, dtype=dtype, low=low, high=high)
            stored = area.run(case, name, call, [x], **attributes)
            if name == "hardsigmoid" and dtype == "f64":
                exact_slope(area, stored)
            close(call(x), call(x.double()), TOLERANCE[dtype], case)
        for dtype in ("f32", "f64"):
            x = torch.tensor(EDGES, dtype=DTYPES[dtype])
            stored = area.run(f"{name}_edges_{dtype}", name, call, [x], grad_out=1, **attributes)
            if name == "hardsigmoid" and dtype == "f64":
                exact_slope(area, stored)
            x = torch.tensor(SPECIAL, dtype=DTYPES[dtype])
            area.run(f"{name}_special_{dtype}", name, call, [x], grad=False, **attributes)
        x = Source(f"{name}_image").uniform(2, 3, 2, 2, low=low, high=high)
        area.run(f"{name}_channels_last", name, call, [x], layout="channels_last", **attributes)
        area.run(f"{name}_empty", name, call, [torch.zeros(0, 3)], **attributes)


def weighted(area):
    for case, shape, n in (
        ("prelu_one", (2, 3, 2, 2), 1),
        ("prelu_channels", (2, 3, 2, 2), 3),
        ("prelu_rows", (4, 5), 5),
        ("prelu_list", (5,), 1),
    ):
        for dtype in ("f32", "f64"):
            source = Source(f"{case}_{dtype}")
            x, w = source.normal(*shape, dtype=dtype), source.normal(n, dtype=dtype)
            area.run(f"{case}_{dtype}", "prelu", F.prelu, [x, w])
    area.run(
        "prelu_edges", "prelu", F.prelu, [torch.tensor([NAN, 0.0, -0.0, 1]), torch.tensor([0.25])]
    )


def along(area):
    for name, function, shape, dim in (
        ("glu", F.glu, (3, 8), -1),
        ("glu", F.glu, (2, 6, 2, 2), 1),
        ("softmin", F.softmin, (3, 5), 1),
        ("softmin", F.softmin, (2, 3, 4), -2),
    ):
        case = f"{name}_{len(shape)}d"
        x = Source(case).normal(*shape)
        area.run(case, name, lambda x: function(x, dim=dim), [x], dim=dim)


def pairs(area):
    for name, function in PAIRS.items():
        for dtype in ("f32", "f64"):
            source = Source(f"{name}_{dtype}")
            x = source.uniform(3, 4, dtype=dtype, low=-5, high=5)
            y = source.uniform(4, dtype=dtype, low=0.3, high=2)
            area.run(f"{name}_{dtype}", name, function, [x, y])
            area.run(f"{name}_negative_{dtype}", name, function, [x, -y])
        a = torch.tensor([5.0, -5, 5, -5, 1, 0, -0.0, -1, 1, NAN, 1])
        b = torch.tensor([3.0, 3, -3, -3, INF, -1, 1, INF, -INF, 1, NAN])
        area.run(f"{name}_edges", name, function, [a, b], grad=False)
    for name, function in LOGICAL.items():
        a, b = torch.tensor([0.0, 0, 2, NAN, 1]), torch.tensor([0, 3, 0, 1, 1])
        area.run(name, name, function, [a, b], dtype="mixed", grad=False)
        area.run(f"{name}_bool", name, function, [a.bool(), b.bool()], grad=False)
    for name, function in MASKS.items():
        for dtype in ("f32", "f64", "f16", "bf16", "i64", "bool"):
            x = torch.tensor([0, 1, 7, INF, -INF, NAN] if "f" in dtype else [0, 1, 7])
            area.run(f"{name}_{dtype}", name, function, [x.to(DTYPES[dtype])], grad=False)


def three(area):
    for dtype in ("f32", "f64"):
        source = Source(f"three_{dtype}")
        x, a, w = (source.normal(3, 4, dtype=dtype) for _ in range(3))
        b = source.uniform(4, dtype=dtype, low=0.5, high=2)
        area.run(f"lerp_{dtype}", "lerp", torch.lerp, [x, a, w])
        for weight in (0.25, 0.75, -1.5):
            call = lambda x, a: torch.lerp(x, a, weight)
            area.run(f"lerp_{weight}_{dtype}", "lerp", call, [x, a], weight=weight)
        for name, function in (("addcmul", torch.addcmul), ("addcdiv", torch.addcdiv)):
            call = lambda x, a, b: function(x, a, b, value=-2.5)
            area.run(f"{name}_{dtype}", name, call, [x, a, b], value=-2.5)


def make(folder):
    area = Area("ops_activation", "Activations and elementwise mathematics.")
    for part in (one, weighted, along, pairs, three):
        part(area)
    area.write(folder)
