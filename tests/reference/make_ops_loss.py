"""Functional batch_norm, linear, dropout in eval, and the losses."""

import torch
import torch.nn.functional as F

from common import Area, Source, close


def linear(area):
    for dtype in ("f32", "f64", "f16", "bf16"):
        for shape, bias in (
            ((4, 6), True),
            ((6,), True),
            ((2, 3, 6), True),
            ((4, 6), False),
            ((0, 6), True),
        ):
            case = f"linear_{'x'.join(map(str, shape))}_{'bias' if bias else 'plain'}_{dtype}"
            source = Source(case)
            inputs = [source.normal(*shape, dtype=dtype), source.normal(5, 6, dtype=dtype)]
            if bias:
                inputs.append(source.normal(5, dtype=dtype))
            area.run(case, "linear", F.linear, inputs)
    source = Source("linear_transposed")
    area.run(
        "linear_transposed",
        "linear",
        F.linear,
        [source.normal(9, 17), source.normal(21, 17), source.normal(21)],
        layout="transposed",
    )


def dropout(area):
    for p in (0.0, 0.5, 1.0):
        x = Source(f"dropout_eval_{p}").normal(3, 4)
        area.run(
            f"dropout_eval_{p}",
            "dropout",
            lambda x: F.dropout(x, p, training=False),
            [x],
            p=p,
            training=False,
        )
    x = torch.tensor([1.0, -2, 3])
    area.run(
        "dropout_train_0",
        "dropout",
        lambda x: F.dropout(x, 0.0, training=True),
        [x],
        p=0.0,
        training=True,
    )
    area.run(
        "dropout_train_1",
        "dropout",
        lambda x: F.dropout(x, 1.0, training=True),
        [x],
        p=1.0,
        training=True,
    )


def batch_norm(area):
    """in0 = x, in1 = weight, in2 = bias; buffers as buffer.* and after.buffer.*."""
    for dtype in ("f32", "f64", "f16", "bf16"):
        for training in (True, False):
            for shape in ((3, 3, 4, 5), (6, 3)):
                case = f"batch_norm_{len(shape)}d_{'train' if training else 'eval'}_{dtype}"
                batch_norm_case(area, case, dtype, training, shape)
                if len(shape) == 4:
                    for layout in ("channels_last", "transposed", "step2"):
                        area.alias(f"{case}_{layout}", case, layout)


def batch_norm_case(area, case, dtype, training, shape):
    wide = "f64" if dtype == "f64" else "f32"
    source = Source(case)
    x = source.normal(*shape, dtype=dtype, mean=1, std=2)
    weight, bias = source.uniform(3, dtype=wide, low=0.5, high=1.5), source.normal(3, dtype=wide)
    mean, var = source.normal(3, dtype=wide), source.uniform(3, dtype=wide, low=0.5, high=2)
    start = mean.clone(), var.clone()
    record = area.run(
        case,
        "batch_norm",
        lambda x, w, b: F.batch_norm(x, mean, var, w, b, training, 0.1, 1e-5),
        [x, weight, bias],
        training=training,
        momentum=0.1,
        eps=1e-5,
    )
    record.put("buffer.running_mean", start[0])
    record.put("buffer.running_var", start[1])
    record.put("after.buffer.running_mean", mean)
    record.put("after.buffer.running_var", var)


def targets(case, logits, high, ignore=None):
    shape = logits.shape[:1] + logits.shape[2:] if logits.dim() > 1 else ()
    index = Source(case + "_target").integers(*shape, low=0, high=high)
    if ignore is not None:
        index.view(-1)[1::3] = ignore
    return index


def cross_entropy(area):
    table = {
        "plain": {},
        "weight": {"weight": True},
        "ignore": {"ignore_index": 2},
        "ignore_default": {"ignore_index": -100, "use_ignored": True},
        "smooth": {"label_smoothing": 0.1},
        "all": {"weight": True, "ignore_index": 1, "label_smoothing": 0.2},
        "smooth_ignore": {"ignore_index": 2, "label_smoothing": 0.1},
    }
    for name, options in table.items():
        for reduction in ("none", "mean", "sum"):
            for dtype in ("f32", "f64"):
                for shape in ((6, 5), (2, 5, 3, 2)) if dtype == "f32" else ((6, 5),):
                    cross_entropy_case(area, name, options, reduction, dtype, shape)
    cross_entropy_case(area, "unbatched", {}, "mean", "f32", (5,))
    cross_entropy_case(area, "half", {}, "mean", "f16", (6, 5))
    cross_entropy_case(area, "half", {}, "mean", "bf16", (6, 5))
    large = torch.tensor([[1e4, -1e4, 0.0], [0, 0, 0], [-1e4, -1e4, -1e4], [88.0, 89, 90]])
    area.run(
        "cross_entropy_large",
        "cross_entropy",
        F.cross_entropy,
        [large, torch.tensor([0, 1, 2, 0])],
        ignore_index=-100,
        reduction="mean",
        label_smoothing=0.0,
    )
    area.run(
        "cross_entropy_all_ignored",
        "cross_entropy",
        lambda x, t: F.cross_entropy(x, t, ignore_index=0),
        [torch.ones(2, 3), torch.zeros(2, dtype=torch.int64)],
        ignore_index=0,
        reduction="mean",
        label_smoothing=0.0,
    )


def cross_entropy_case(area, name, options, reduction, dtype, shape):
    case = f"cross_entropy_{name}_{'x'.join(map(str, shape))}_{reduction}_{dtype}"
    source = Source(case)
    logits = source.normal(*shape, dtype=dtype, std=2)
    ignore = options.get("ignore_index")
    inputs = [logits, targets(case, logits, 5, ignore)]
    if options.get("weight"):
        inputs.append(source.uniform(5, dtype=dtype, low=0.2, high=2))
    attributes = {
        "ignore_index": -100 if ignore is None else ignore,
        "reduction": reduction,
        "label_smoothing": options.get("label_smoothing", 0.0),
    }
    function = lambda x, t, w=None: F.cross_entropy(x, t, w, **attributes)
    area.run(case, "cross_entropy", function, inputs, grad=[0], **attributes)
    wide = [x.double() if x.is_floating_point() else x for x in inputs]
    close(function(*inputs), function(*wide), 1e-5 if dtype in ("f32", "f64") else 2e-2, case)


def probabilities(area):
    for smoothing in (0.0, 0.1):
        for weighted in (False, True):
            for reduction in ("none", "mean", "sum"):
                for shape in ((6, 5), (2, 5, 3)):
                    kind = "weight" if weighted else "plain"
                    case = f"cross_entropy_prob_{kind}_{len(shape)}d_{smoothing}_{reduction}"
                    source = Source(case)
                    inputs = [source.normal(*shape, std=2), torch.softmax(source.normal(*shape), 1)]
                    if weighted:
                        inputs.append(source.uniform(5, low=0.2, high=2))
                    function = lambda x, t, w=None: F.cross_entropy(
                        x, t, w, reduction=reduction, label_smoothing=smoothing
                    )
                    area.run(
                        case,
                        "cross_entropy",
                        function,
                        inputs,
                        grad=[0, 1],
                        ignore_index=-100,
                        reduction=reduction,
                        label_smoothing=smoothing,
                    )


def nll_and_mse(area):
    for reduction in ("none", "mean", "sum"):
        for dtype in ("f32", "f64"):
            for shape in ((6, 5), (2, 5, 3, 2)) if dtype == "f32" else ((6, 5),):
                for weighted, ignore in ((False, -100), (True, -100), (False, 3), (True, 3)):
                    kind = (
                        f"{'weight' if weighted else 'plain'}_{'ignore' if ignore >= 0 else 'all'}"
                    )
                    case = f"nll_loss_{kind}_{len(shape)}d_{reduction}_{dtype}"
                    source = Source(case)
                    x = torch.log_softmax(source.normal(*shape, dtype=dtype), 1)
                    inputs = [x, targets(case, x, 5, ignore if ignore >= 0 else None)]
                    if weighted:
                        inputs.append(source.uniform(5, dtype=dtype, low=0.2, high=2))
                    function = lambda x, t, w=None: F.nll_loss(
                        x, t, w, ignore_index=ignore, reduction=reduction
                    )
                    area.run(
                        case,
                        "nll_loss",
                        function,
                        inputs,
                        grad=[0],
                        ignore_index=ignore,
                        reduction=reduction,
                    )
            case = f"mse_loss_{reduction}_{dtype}"
            source = Source(case)
            inputs = [source.normal(4, 5, dtype=dtype), source.normal(4, 5, dtype=dtype)]
            area.run(
                case,
                "mse_loss",
                lambda x, y: F.mse_loss(x, y, reduction=reduction),
                inputs,
                reduction=reduction,
            )


def make(folder):
    area = Area("ops_loss", "linear, dropout without randomness, batch_norm, and the losses.")
    for part in (linear, dropout, batch_norm, cross_entropy, probabilities, nll_and_mse):
        part(area)
    area.write(folder)
