"""Elementwise operators: values, broadcasting, promotion, edges, kinks."""

import os

import torch
import torch.nn.functional as F

from common import DTYPES, NAMES, Area, Source, close, line, write_text

BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "pow": torch.pow,
    "minimum": torch.minimum,
    "maximum": torch.maximum,
}
COMPARE = {
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
}
# name: (function, low, high of the ordinary values)
UNARY = {
    "neg": (torch.neg, -3, 3),
    "abs": (torch.abs, -3, 3),
    "exp": (torch.exp, -5, 5),
    "log": (torch.log, 0.05, 9),
    "sqrt": (torch.sqrt, 0.05, 9),
    "rsqrt": (torch.rsqrt, 0.05, 9),
    "square": (torch.square, -3, 3),
    "tanh": (torch.tanh, -4, 4),
    "sigmoid": (torch.sigmoid, -6, 6),
    "relu": (torch.relu, -3, 3),
    "silu": (F.silu, -6, 6),
}
INF, NAN = float("inf"), float("nan")
EDGES = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    INF,
    -INF,
    NAN,
    1e-45,
    -1e-45,
    1.1754944e-38,
    3.4028235e38,
    -3.4028235e38,
    1e-20,
    -1e-20,
    1e20,
    20.0,
    -20.0,
    88.7,
    -87.3,
    -103.9,
    104.0,
    2.0,
    -2.0,
]
PAIR_EDGES = [0.0, -0.0, 1.0, -1.0, 2.5, INF, -INF, NAN, 1e-45]


def sizes(shape):
    return "x".join(map(str, shape)) or "0d"


def broadcasting(area):
    shapes = [
        ((3, 4), (3, 4)),
        ((2, 3, 4), (4,)),
        ((3, 1), (1, 5)),
        ((2, 1, 3), (4, 1)),
        ((), (2, 3)),
        ((2, 3), (1,)),
        ((2, 0), (1, 1)),
        ((1,), (1, 1, 1)),
        ((7, 33), (7, 1)),
    ]
    for name, function in BINARY.items():
        for i, (a, b) in enumerate(shapes):
            for dtype in ("f32", "f64") if i < 3 else ("f32",):
                case = f"{name}_{sizes(a)}_{sizes(b)}_{dtype}"
                source = Source(case)
                low = 0.2 if name == "pow" else -3
                x = source.uniform(*a, dtype=dtype, low=low, high=3)
                y = source.uniform(*b, dtype=dtype, low=-3, high=3)
                if name == "div":
                    y = y + torch.sign(y) * 0.3
                area.run(case, name, function, [x, y])
    for name, function in COMPARE.items():
        for a, b in shapes[:5]:
            case = f"{name}_{sizes(a)}_{sizes(b)}"
            source = Source(case)
            area.run(
                case,
                name,
                function,
                [
                    source.integers(*a, low=0, high=3).float(),
                    source.integers(*b, low=0, high=3).float(),
                ],
                grad=False,
            )


def layouts(area):
    """Results do not depend on the memory of the inputs."""
    for layout in ("channels_last", "transposed", "step2"):
        for name in ("add", "mul", "relu", "exp"):
            case = f"{name}_{layout}"
            source = Source(case)
            function = BINARY.get(name) or UNARY[name][0]
            count = 2 if name in BINARY else 1
            inputs = [source.normal(2, 3, 4, 5) for _ in range(count)]
            area.run(case, name, function, inputs, layout=layout)


def scalars(area):
    """A plain number as the second operand: attribute other."""
    for name in ("add", "sub", "mul", "div", "pow"):
        for number in (2, 2.5, -1, 0.5, 0, 3):
            for dtype in ("f32", "f16", "i64"):
                if dtype == "i64" and name == "pow" and number == -1:
                    continue
                case = f"{name}_scalar_{number}_{dtype}"
                x = Source(case).uniform(5, dtype="f64", low=0.5, high=4).to(DTYPES[dtype])
                area.run(case, name, lambda x: BINARY[name](x, number), [x], other=number)
    for name, function in COMPARE.items():
        for dtype in ("f32", "i64", "u8"):
            x = torch.tensor([0, 1, 2, 3, 2]).to(DTYPES[dtype])
            area.run(f"{name}_scalar_{dtype}", name, lambda x: function(x, 2), [x], other=2)


def mixed(area):
    """Operands of different dtypes: the values, and the gradient in each operand's own dtype."""
    pairs = [
        ("i64", "f32"),
        ("f32", "i64"),
        ("bool", "i32"),
        ("f16", "f32"),
        ("f32", "f64"),
        ("bf16", "f16"),
        ("u8", "i32"),
        ("bool", "f32"),
        ("bf16", "f32"),
        ("i32", "i64"),
    ]
    for name in ("add", "mul", "div", "maximum", "lt", "eq"):
        function = BINARY.get(name) or COMPARE[name]
        for a, b in pairs:
            case = f"{name}_{a}_{b}"
            source = Source(case)
            x = source.integers(2, 3, low=1, high=7).to(DTYPES[a])
            y = source.integers(3, low=1, high=7).to(DTYPES[b])
            area.run(case, name, function, [x, y], dtype="mixed")
    zero_dim = torch.tensor(2.5, dtype=torch.float64)
    area.run("add_f32_0d_f64", "add", torch.add, [torch.ones(3), zero_dim], dtype="mixed")
    area.run("mul_i64_0d_f64", "mul", torch.mul, [torch.arange(4), zero_dim], dtype="mixed")
    area.run(
        "mul_f16_0d_f32", "mul", torch.mul, [torch.ones(3).half(), torch.tensor(0.1)], dtype="mixed"
    )
    area.run("div_i64_i64", "div", torch.div, [torch.arange(1, 6), torch.tensor([2, 2, -2, 3, 0])])
    for dtype in ("i64", "i32", "u8"):
        x, y = torch.tensor([7, 0, 250, 3]), torch.tensor([2, 5, 10, 3])
        for name in ("add", "sub", "mul", "maximum"):
            area.run(
                f"{name}_wrap_{dtype}",
                name,
                BINARY[name],
                [x.to(DTYPES[dtype]), y.to(DTYPES[dtype])],
            )
    area.run(
        "pow_i64_i64", "pow", torch.pow, [torch.tensor([-2, 3, 0, 7]), torch.tensor([3, 4, 0, 1])]
    )


def attempt(function, *args):
    try:
        return NAMES.get(function(*args).dtype, "other")
    except RuntimeError:
        return "error"


def promotion(folder):
    """The result's dtype for every pair of dtypes, 1-D and 0-D, and for plain numbers."""
    lines = [
        "# Result dtype of op(a, b); dim 0 is a 0-d tensor, dim scalar a plain number",
        "# (b=bool, i64 or f64 then stands for a C bool, integer or double).",
        "# Written by make.py; README.md describes the format.",
    ]
    operators = {k: v for k, v in BINARY.items() if k in ("add", "sub", "div", "pow", "maximum")}
    operators["lt"] = torch.lt
    plain = {"bool": True, "i64": 2, "f64": 2.5}
    for op, function in operators.items():
        for a, a_dtype in DTYPES.items():
            for a_dim in (1, 0):
                x = torch.ones((2,) * a_dim, dtype=a_dtype)
                for b, b_dtype in DTYPES.items():
                    for b_dim in (1, 0):
                        out = attempt(function, x, torch.ones((2,) * b_dim, dtype=b_dtype))
                        lines.append(line(op=op, a=a, a_dim=a_dim, b=b, b_dim=b_dim, out=out))
                for b, number in plain.items():
                    if op != "maximum":
                        out = attempt(function, x, number)
                        lines.append(line(op=op, a=a, a_dim=a_dim, b=b, b_dim="scalar", out=out))
    write_text(os.path.join(folder, "promotion.txt"), lines)


# PyTorch adds 1 to a number near -1; these forms keep their digits there.
GELU = {
    "none": lambda x: 0.5 * x * torch.erfc(-x * 0.5**0.5),
    "tanh": lambda x: x * torch.sigmoid((8 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)),
}


def put_truth(case, function, x):
    """PyTorch's float32 kernels are not right at every edge: gelu(inf) is NaN there."""
    x = x.double().requires_grad_()
    y = function(x)
    y.backward(case.get("grad_out").double())
    case.put("truth.out", y)
    case.put("truth.grad_in0", x.grad)


def unary(area):
    gelu = {"gelu": ("none", -5, 5), "gelu_tanh": ("tanh", -5, 5)}
    cases = [(n, n, f, {}, lo, hi) for n, (f, lo, hi) in UNARY.items()]
    for n, (form, lo, hi) in gelu.items():
        cases.append(
            (
                n,
                "gelu",
                lambda x, form=form: F.gelu(x, approximate=form),
                {"approximate": form},
                lo,
                hi,
            )
        )
    for name, op, function, attributes, low, high in cases:
        for dtype in ("f32", "f64", "f16", "bf16"):
            case = f"{name}_{dtype}"
            x = Source(case).uniform(3, 13, dtype=dtype, low=low, high=high)
            stored = area.run(case, op, function, [x], **attributes)
            if op == "gelu":
                put_truth(stored, GELU[attributes["approximate"]], x)
            close(
                function(x),
                function(x.double()),
                {"f32": 1e-5, "f64": 1e-12, "f16": 2e-3, "bf16": 1e-2}[dtype],
                case,
            )
        for dtype in ("f32", "f64"):
            x = torch.tensor(EDGES, dtype=torch.float64).to(DTYPES[dtype])
            case = area.run(f"{name}_edges_{dtype}", op, function, [x], grad_out=1, **attributes)
            if dtype == "f32":
                put_truth(case, function, x)
        area.run(f"{name}_empty", op, function, [torch.zeros(0, 3)], **attributes)
        area.run(f"{name}_0d", op, function, [torch.tensor(0.75)], **attributes)
    for name in ("neg", "abs", "square", "relu"):
        x = torch.tensor([-3, 0, 4], dtype=torch.int32)
        area.run(f"{name}_i32", name, UNARY[name][0], [x])
    for name in ("exp", "sqrt", "sigmoid"):
        area.run(f"{name}_i64", name, UNARY[name][0], [torch.tensor([0, 1, 4])])


def edges(area):
    """Every pair of the edge values; gradients with grad_out = 1."""
    values = torch.tensor(PAIR_EDGES)
    x = values.repeat_interleave(len(PAIR_EDGES))
    y = values.repeat(len(PAIR_EDGES))
    for name, function in {**BINARY, **COMPARE}.items():
        area.run(f"{name}_edges", name, function, [x, y], grad_out=1)
    x = torch.tensor([-2.0, -2, -2, 0, 0, 0, 0, 0, 2, 2, 2, 2])
    y = torch.tensor([2.0, 3, -1, 0, 1, 2, -1, 0.5, 0, 1, -2, 0.5])
    area.run("pow_signs", "pow", torch.pow, [x, y], grad_out=1)
    for number in (0, 1, 2, 3, 0.5, -0.5, -1, -2):
        area.run(
            f"pow_zero_to_{number}",
            "pow",
            lambda x: torch.pow(x, number),
            [torch.tensor([0.0, -0.0, 1, -1, 2, INF, -INF, NAN])],
            grad_out=1,
            other=number,
        )


def kinks(area):
    a = torch.tensor([1.0, 2, 2, 3, NAN, 1, 0, -0.0])
    b = torch.tensor([2.0, 2, 2, 1, 1, NAN, -0.0, 0])
    area.run("minimum_ties", "minimum", torch.minimum, [a, b], grad_out=1)
    area.run("maximum_ties", "maximum", torch.maximum, [a, b], grad_out=1)
    x = torch.tensor([-2.0, -1, -0.5, 0, -0.0, 0.5, 1, 2, INF, -INF, NAN])
    area.run("relu_kink", "relu", torch.relu, [x], grad_out=1)
    area.run("abs_kink", "abs", torch.abs, [x], grad_out=1)
    for low, high in ((-1.0, 1.0), (None, 0.5), (-0.5, None), (1.0, -1.0), (0.0, 0.0)):
        name = f"clamp_{low}_{high}".lower()
        area.run(
            name, "clamp", lambda x: torch.clamp(x, low, high), [x], grad_out=1, min=low, max=high
        )
    area.run(
        "clamp_i64", "clamp", lambda x: torch.clamp(x, -1, 2), [torch.arange(-4, 5)], min=-1, max=2
    )
    for dtype in ("f32", "f64", "f16", "bf16"):
        case = f"clamp_{dtype}"
        area.run(
            case,
            "clamp",
            lambda x: torch.clamp(x, -0.5, 0.75),
            [Source(case).normal(3, 7, dtype=dtype)],
            min=-0.5,
            max=0.75,
        )


def where(area):
    for case, mask, a, b in (
        ("where_same", (3, 4), (3, 4), (3, 4)),
        ("where_broadcast", (3, 1), (2, 1, 4), (4,)),
        ("where_0d", (3, 4), (), (3, 4)),
        ("where_empty", (0, 2), (1, 2), (1,)),
    ):
        for dtype in ("f32", "f64"):
            source = Source(f"{case}_{dtype}")
            inputs = [
                source.integers(*mask, low=0, high=2).bool(),
                source.normal(*a, dtype=dtype),
                source.normal(*b, dtype=dtype),
            ]
            area.run(f"{case}_{dtype}", "where", torch.where, inputs, dtype=dtype)
    mask = torch.tensor([True, False, True])
    area.run(
        "where_mixed",
        "where",
        torch.where,
        [mask, torch.arange(3), torch.ones(3) / 3],
        dtype="mixed",
    )
    area.run(
        "where_nan_other",
        "where",
        torch.where,
        [mask, torch.ones(3), torch.full((3,), NAN)],
        dtype="f32",
        grad_out=1,
    )


def make(folder):
    area = Area(
        "ops_pointwise", "Elementwise operators: values, broadcasting, dtypes, edges, kinks."
    )
    for part in (broadcasting, layouts, scalars, mixed, unary, edges, kinks, where):
        part(area)
    area.write(folder)
    promotion(folder)
