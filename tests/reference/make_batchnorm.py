"""BatchNorm, case by case. The numbers are those of the BatchNorm cases in README.md.

Where lucid must be better than PyTorch, truth.* holds float64 values of the same inputs.
"""

import torch
import torch.nn.functional as F
from torch import nn

from common import DTYPES, Area, Source, lay_out
from stepping import describe, fill, put_state, steps_case

CLASSES = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
SHAPES = {2: (6, 3), 3: (4, 3, 5), 4: (3, 3, 3, 4), 5: (2, 3, 2, 2, 3)}
FLOATS = ("f32", "f64", "f16", "bf16")
NAN, INF = float("nan"), float("inf")


def wide(dtype):
    return "f64" if dtype == "f64" else "f32"


def layer(source, channels, dtype="f32", rank=4, **arguments):
    module = CLASSES[rank](channels, **arguments).to(DTYPES[wide(dtype)])
    fill(module, source)
    return module


def truth(case, x, module, dy, prefix="s0.", training=True):
    """float64 values of one step, from the same inputs."""
    x = x.double().requires_grad_()
    m, state = nn.BatchNorm2d(x.shape[1], eps=module.eps, momentum=module.momentum).double(), {}
    for key, value in module.state_dict().items():
        state[key] = value.double() if value.is_floating_point() else value
    m.load_state_dict(state)
    m.train(training)
    y = m(x)
    y.backward(dy.double())
    case.put(f"truth.{prefix}out", y)
    case.put(f"truth.{prefix}grad_in0", x.grad)
    case.put(f"truth.{prefix}grad.weight", m.weight.grad)
    case.put(f"truth.{prefix}grad.bias", m.bias.grad)
    case.put(f"truth.{prefix}buffer.running_mean", m.running_mean)
    case.put(f"truth.{prefix}buffer.running_var", m.running_var)


def case01_basic(area):
    for rank, shape in SHAPES.items():
        for dtype in FLOATS:
            name = f"case01_{rank}d_{dtype}"
            source = Source(name)
            module = layer(source, 3, dtype, rank)
            steps = [
                (m, source.normal(*shape, dtype=dtype, mean=1, std=2))
                for m in ("train", "train", "eval")
            ]
            steps_case(area, name, module, steps, param_dtype=wide(dtype))
            if rank >= 4:
                area.alias(f"{name}_channels_last", name, "channels_last")
    source = Source("case01_wide")
    module = layer(source, 19)
    steps_case(
        area, "case01_wide", module, [(m, source.normal(2, 19, 3, 5)) for m in ("train", "eval")]
    )
    area.alias("case01_wide_channels_last", "case01_wide", "channels_last")


def case02_momentum(area):
    for momentum in (0.1, 0.0, 1.0, None):
        number = "03" if momentum is None else "02"
        module = nn.BatchNorm1d(1, momentum=momentum)
        steps = [("train", torch.tensor([[0.0], [2]])), ("train", torch.tensor([[2.0], [4]]))]
        steps_case(area, f"case{number}_momentum_{momentum}".lower(), module, steps)


def error(area, name, kind, shape, mode, **pairs):
    """What must be refused; PyTorch refuses it too unless better=true."""
    pairs = {"num_features": 3, "affine": True, "track_running_stats": True, **pairs}
    shown = dict(pairs)
    dtype = shown.pop("input_dtype", "f32")
    if not pairs.get("better"):
        module = getattr(nn, kind)(
            pairs["num_features"],
            affine=pairs["affine"],
            track_running_stats=pairs["track_running_stats"],
        )
        module.train(mode == "train")
        try:
            module(torch.ones(shape).to(DTYPES[dtype]))
        except (ValueError, RuntimeError):
            pass
        else:
            raise AssertionError(f"{name}: PyTorch accepts it")
    area.case(name, kind, dtype, **shown, input=shape, mode=mode, expect="error")


def case04_single(area):
    error(area, "case04_one_value_2d", "BatchNorm2d", (1, 3, 1, 1), "train")
    error(area, "case04_one_value_1d", "BatchNorm1d", (1, 3), "train")
    source = Source("case04")
    steps_case(area, "case04_one_sample", layer(source, 3), [("train", source.normal(1, 3, 2, 3))])
    steps_case(area, "case04_eval", layer(source, 3), [("eval", source.normal(1, 3, 1, 1))])
    error(
        area,
        "case05_one_value_train",
        "BatchNorm2d",
        (1, 3, 1, 1),
        "train",
        track_running_stats=False,
    )
    error(
        area,
        "case05_one_value_eval",
        "BatchNorm2d",
        (1, 3, 1, 1),
        "eval",
        track_running_stats=False,
    )
    module = layer(source, 3, track_running_stats=False)
    steps = [(m, source.normal(2, 3, 2, 3)) for m in ("train", "eval")]
    steps_case(area, "case05_batch_statistics", module, steps)


def case06_untracked(area):
    source = Source("case06")
    words = ("train", "train-untracked", "eval-untracked")
    steps_case(
        area, "case06_untracked", layer(source, 3), [(m, source.normal(2, 3, 2, 3)) for m in words]
    )


def case07_eval(area):
    for dtype in FLOATS:
        source = Source(f"case07_{dtype}")
        x = source.normal(2, 3, 3, 4, dtype=dtype)
        steps_case(
            area,
            f"case07_eval_twice_{dtype}",
            layer(source, 3, dtype),
            [("eval", x), ("eval", x)],
            param_dtype=wide(dtype),
            grad_out=0.75,
        )
        area.alias(
            f"case07_eval_twice_{dtype}_channels_last",
            f"case07_eval_twice_{dtype}",
            "channels_last",
        )


def case09_interleaved(area):
    source = Source("case09")
    module = layer(source, 3)
    kind, pairs = describe(module)
    case = area.case(
        "case09_two_forwards",
        kind,
        **pairs,
        steps=["train", "train"],
        order=["forward", "forward", "backward", "backward"],
    )
    put_state(case, module)
    runs = []
    for k in range(2):
        x = source.normal(2, 3, 2, 3).requires_grad_()
        y = module(x)
        runs.append((x, y, source.normal(2, 3, 2, 3)))
        for name, b in module.named_buffers():
            case.put(f"s{k}.buffer.{name}", b)
    for k, (x, y, dy) in enumerate(runs):
        grads = torch.autograd.grad(y, [x, module.weight, module.bias], dy)
        for role, value in zip(
            ("in0", "out", "grad_out", "grad_in0", "grad.weight", "grad.bias"), (x, y, dy, *grads)
        ):
            case.put(f"s{k}.{role}", value)


def better_case(area, name, x, dtype="f32", momentum=0.1, eps=1e-5, weight=None, bias=None):
    """One training step whose outputs are given in float64."""
    channels = x.shape[1]
    module = nn.BatchNorm2d(channels, momentum=momentum, eps=eps)
    if weight is not None:
        module.weight.data, module.bias.data = weight, bias
    kind, pairs = describe(module)
    case = area.case(name, kind, dtype, **pairs, steps=["train"])
    put_state(case, module)
    dy = case.source.normal(*x.shape, dtype=dtype)
    case.put("s0.in0", x)
    case.put("s0.grad_out", dy)
    truth(case, x, module, dy)
    area.alias(f"{name}_channels_last", name, "channels_last")
    return case


def case10_offset(area):
    for std in (1.0, 0.1):
        name = f"case11_mean1e4_std{std}"
        x = Source(name).normal(8, 2, 9, 8, mean=1e4, std=std)
        better_case(area, name, x, momentum=1.0)
    x = Source("case10_offset").normal(4, 2, 5, 5, mean=1e4, std=1)
    better_case(area, "case10_offset", x, momentum=1.0)
    x = Source("case11_mean1e5").normal(4, 2, 5, 5, mean=1e5, std=1)
    better_case(
        area,
        "case11_mean1e5_weighted",
        x,
        weight=torch.tensor([1.5, -0.5]),
        bias=torch.tensor([0.25, 3.0]),
    )
    # Tiny variances: running_var must come from the variance itself.
    scale = torch.tensor([1e-6, 1e-4, 1e-3, 1.0]).view(1, 4, 1, 1)
    x = Source("case35_tiny").normal(3, 4, 3, 3) * scale
    better_case(area, "case35_tiny_variance", x, momentum=1.0)
    better_case(area, "case35_tiny_variance_offset", x + 3, momentum=1.0)


def case12_constant(area):
    values = torch.tensor([0.0, 0.1, 1.0, 1e4, 123456.789, -3e7, 1e-30])
    for number, eps in (("12", 1e-5), ("13", 0.0)):
        for dtype in ("f32", "f64", "f16", "bf16") if eps else ("f32", "f64"):
            c = values[:4] if dtype == "f16" else values
            x = c.to(DTYPES[dtype]).view(1, -1, 1, 1).expand(3, -1, 5, 7)
            module = layer(Source("case12"), len(c), dtype, eps=eps)
            kind, pairs = describe(module)
            case = area.case(
                f"case{number}_constant_{dtype}",
                kind,
                dtype,
                param_dtype=wide(dtype),
                **pairs,
                steps=["train"],
            )
            put_state(case, module)
            case.put("s0.in0", x)
            out = module.bias.detach().view(1, -1, 1, 1).expand(x.shape)
            case.put("s0.out", out.to(DTYPES[dtype]))
            area.alias(f"{case.name}_channels_last", case.name, "channels_last")


def case14_to_17(area):
    source = Source("case14")
    module = layer(source, 3)
    module.running_var[1] = -0.5
    steps_case(area, "case14_negative_var", module, [("eval", source.normal(2, 3, 2, 2))])

    steps_case(
        area,
        "case15_empty_batch",
        layer(source, 3),
        [(m, torch.zeros(0, 3, 2, 2)) for m in ("train", "eval")],
    )
    case = area.case(
        "case15_no_channels",
        "BatchNorm2d",
        **describe(nn.BatchNorm2d(0))[1],
        steps=["train", "eval"],
        better=True,
    )
    empty = torch.zeros(2, 0, 3, 3)
    for k in range(2):
        for role in ("in0", "out", "grad_out", "grad_in0"):
            case.put(f"s{k}.{role}", empty)

    x = source.normal(2, 5, 3, 4)
    x[0, 1, 1, 2], x[1, 2, 0, 0], x[0, 4, 0, 0], x[1, 4, 2, 3] = NAN, INF, INF, -INF
    steps_case(area, "case16_poison", layer(source, 5), [("train", x), ("eval", x)])
    area.alias("case16_poison_channels_last", "case16_poison", "channels_last")

    for dtype in ("f16", "bf16"):
        source = Source(f"case17_{dtype}")
        x = source.normal(4, 3, 4, 4, dtype=dtype, mean=100, std=900)
        steps_case(
            area,
            f"case17_large_var_{dtype}",
            layer(source, 3, dtype),
            [("train", x), ("eval", x)],
            param_dtype="f32",
        )


def case20_layouts(area):
    for dtype in ("f32", "f64", "bf16"):
        source = Source(f"case20_{dtype}")
        steps = [(m, source.normal(3, 3, 4, 5, dtype=dtype)) for m in ("train", "eval")]
        name = f"case19_case20_{dtype}"
        steps_case(area, name, layer(source, 3, dtype), steps, param_dtype=wide(dtype))
        for layout in ("channels_last", "transposed", "step2"):
            area.alias(f"{name}_{layout}", name, layout)
    source = Source("case20_expanded")
    x = source.normal(1, 3, 4, 5).expand(4, 3, 4, 5)
    steps_case(
        area, "case20_expanded_x", layer(source, 3), [("train", x), ("eval", x)], layout="expanded"
    )


def functional(area, name, training, present, buffer_layout="contiguous", rank=4, eps=1e-5):
    """op=batch_norm with the arguments in present; the absent ones are NULL."""
    source = Source(name)
    x = source.normal(*SHAPES[rank], mean=1).requires_grad_()
    values = {
        "weight": source.uniform(3, low=0.5, high=1.5),
        "bias": source.normal(3),
        "running_mean": source.normal(3),
        "running_var": source.uniform(3, low=0.5, high=2),
    }
    case = area.case(
        name,
        "batch_norm",
        training=training,
        momentum=0.1,
        eps=eps,
        given=list(present) or None,
        buffer_layout=buffer_layout,
    )
    case.put("in0", x)
    given = {}
    for key in present:
        kind = "buffer" if key.startswith("running") else "param"
        case.put(f"{kind}.{key}", values[key])
        given[key] = lay_out(
            values[key].clone(), buffer_layout if kind == "buffer" else "contiguous"
        )
        if kind == "param":
            given[key].requires_grad_()
    get = given.get
    y = F.batch_norm(
        x, get("running_mean"), get("running_var"), get("weight"), get("bias"), training, 0.1, eps
    )
    dy = source.normal(*y.shape)
    y.backward(dy)
    case.put("out", y)
    case.put("grad_out", dy)
    case.put("grad_in0", x.grad)
    for key, value in given.items():
        if key.startswith("running"):
            case.put(f"after.buffer.{key}", value)
        else:
            case.put(f"grad.{key}", value.grad)


def case21_22_25(area):
    running = ("running_mean", "running_var")
    for training in (True, False):
        mode = "train" if training else "eval"
        functional(
            area, f"case21_strided_buffers_{mode}", training, ("weight", "bias") + running, "step2"
        )
        for present in ((), ("weight",), ("bias",), ("weight", "bias")):
            tag = "_".join(present) or "neither"
            functional(area, f"case22_{tag}_{mode}", training, present + running)
        functional(area, f"case25_eps_{mode}", training, ("weight", "bias") + running, eps=1e-12)
    functional(area, "case22_no_running", True, ("weight", "bias"))
    one_buffer(area)


def one_buffer(area):
    """Only one of the running statistics, in training: it is updated, the other is not missed."""
    for key, start in (("running_mean", 0.0), ("running_var", 1.0)):
        source = Source(f"case22_only_{key}")
        x = source.normal(3, 3, 3, 4, mean=1)
        both = torch.zeros(3), torch.ones(3)
        y = F.batch_norm(x, *both, training=True, momentum=0.1)
        case = area.case(
            f"case22_only_{key}",
            "batch_norm",
            training=True,
            momentum=0.1,
            eps=1e-5,
            given=[key],
            buffer_layout="contiguous",
        )
        case.put("in0", x)
        case.put(f"buffer.{key}", torch.full((3,), start))
        case.put("out", y)
        case.put(f"after.buffer.{key}", both[0] if key == "running_mean" else both[1])


def case23_many(area):
    """x[i] = ((7919 i) mod 1009) / 16 - 31 i the flat index in [880801,2,1,1]; exact in f32."""
    n = 880801
    i = torch.arange(2 * n, dtype=torch.int64)
    x = ((7919 * i % 1009).double() / 16 - 31).view(n, 2, 1, 1)
    module = nn.BatchNorm2d(2, momentum=1.0).double()
    case = area.case(
        "case23_many_samples",
        "BatchNorm2d",
        **describe(module)[1],
        input=x.shape,
        steps=["train", "eval"],
        values="formula",
    )
    for k, mode in enumerate(("train", "eval")):
        module.train(mode == "train")
        y = module(x)
        case.put(f"truth.s{k}.head", y[:8])
        case.put(f"truth.s{k}.tail", y[-8:])
    case.put("truth.s0.buffer.running_mean", module.running_mean)
    case.put("truth.s0.buffer.running_var", module.running_var)


def case26_double_backward(area):
    """Gradients of sum(v.* . grad.*) with respect to x, weight and grad_out, in float64."""
    for training in (True, False):
        name = f"case26_{'train' if training else 'eval'}"
        source = Source(name)
        x, dy = (source.normal(3, 2, 2, 3, dtype="f64").requires_grad_() for _ in range(2))
        weight = source.uniform(2, dtype="f64", low=0.5, high=1.5).requires_grad_()
        bias = source.normal(2, dtype="f64").requires_grad_()
        mean, var = source.normal(2, dtype="f64"), source.uniform(2, dtype="f64", low=0.5, high=2)
        case = area.case(
            name, "batch_norm", "f64", training=training, momentum=0.1, eps=1e-5, second=True
        )
        case.put("buffer.running_mean", mean)
        case.put("buffer.running_var", var)
        y = F.batch_norm(x, mean, var, weight, bias, training)
        grads = torch.autograd.grad(y, [x, weight, bias], dy, create_graph=True)
        v = [source.normal(*g.shape, dtype="f64") for g in grads]
        total = sum((a * b).sum() for a, b in zip(grads, v))
        second = torch.autograd.grad(total, [x, weight, dy], materialize_grads=True)
        roles = (
            "in0",
            "param.weight",
            "param.bias",
            "grad_out",
            "out",
            "grad_in0",
            "grad.weight",
            "grad.bias",
            "v.in0",
            "v.weight",
            "v.bias",
            "grad2.in0",
            "grad2.weight",
            "grad2.grad_out",
        )
        for role, value in zip(roles, (x, weight, bias, dy, y, *grads, *v, *second)):
            case.put(role, value)


def case27_to_33(area):
    source = Source("case27")
    steps = [(m, source.normal(2, 3, 3, 4)) for m in ("train", "eval")]
    steps_case(
        area, "case27_inplace_relu", layer(source, 3), steps, after=torch.relu_, then="relu_"
    )
    steps = [("train+", source.normal(2, 3, 3, 4)), ("eval+", source.normal(2, 3, 3, 4))]
    steps_case(area, "case28_no_grad", layer(source, 3), steps)
    module = layer(source, 3)
    module.requires_grad_(False)
    steps = [(m, source.normal(2, 3, 3, 4)) for m in ("train", "eval")]
    steps_case(area, "case29_frozen", module, steps, requires_grad=False)
    for dtype in ("f32", "f64"):
        source = Source(f"case33_{dtype}")
        module = layer(source, 3, dtype)
        x = source.normal(3, 3, 4, 4, dtype=dtype)
        case = steps_case(area, f"case33_sum_{dtype}", module, [("train", x)], grad_out=1.0)
        del area.tensors[f"{case.name}/s0.grad_in0"], area.tensors[f"{case.name}/s0.grad.weight"]
        case.put("truth.s0.grad_in0", torch.zeros(x.shape, dtype=torch.float64))
        case.put("truth.s0.grad.weight", torch.zeros(3, dtype=torch.float64))


def case34_errors(area):
    for kind, shapes in (
        ("BatchNorm1d", [(3,), (2, 3, 2, 2)]),
        ("BatchNorm2d", [(2, 3, 4), (2, 3)]),
        ("BatchNorm3d", [(2, 3, 2, 2)]),
    ):
        for shape in shapes:
            error(area, f"case34_rank_{kind.lower()}_{len(shape)}", kind, shape, "train")
    for mode in ("train", "eval"):
        error(area, f"case34_channels_{mode}", "BatchNorm2d", (2, 4, 2, 2), mode)
        error(
            area, f"case34_channels_plain_{mode}", "BatchNorm2d", (2, 4, 2, 2), mode, affine=False
        )
        error(
            area,
            f"case34_channels_bare_{mode}",
            "BatchNorm2d",
            (2, 4, 2, 2),
            mode,
            affine=False,
            track_running_stats=False,
            better=True,
        )
    error(area, "case34_integer", "BatchNorm2d", (2, 3, 2, 2), "train", input_dtype="i64")


def make(folder):
    area = Area("batchnorm", "The numbered BatchNorm cases.")
    for part in (
        case01_basic,
        case02_momentum,
        case04_single,
        case06_untracked,
        case07_eval,
        case09_interleaved,
        case10_offset,
        case12_constant,
        case14_to_17,
        case20_layouts,
        case21_22_25,
        case23_many,
        case26_double_backward,
        case27_to_33,
        case34_errors,
    ):
        part(area)
    area.write(folder)
