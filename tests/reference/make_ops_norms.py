"""Normalisation over groups, trailing dimensions and single images, as functions."""

import torch
import torch.nn.functional as F

from common import Area, Source


def parameters(source, shape, dtype):
    wide = "f64" if dtype == "f64" else "f32"
    return [source.uniform(*shape, dtype=wide, low=0.5, high=1.5), source.normal(*shape, dtype=wide)]


def groups(area):
    for dtype in ("f32", "f64"):
        for shape, n in (((2, 6, 3, 4), 3), ((3, 4), 2), ((2, 6, 5), 6), ((2, 4, 2, 3, 2), 1)):
            case = f"group_norm_{len(shape)}d_{n}_{dtype}"
            source = Source(case)
            x = source.normal(*shape, dtype=dtype, mean=1, std=2)
            function = lambda x, w=None, b=None: F.group_norm(x, n, w, b, 1e-5)
            inputs = [x, *parameters(source, shape[1:2], dtype)]
            area.run(case, "group_norm", function, inputs, num_groups=n, eps=1e-5)
            if len(shape) >= 4:
                area.alias(f"{case}_channels_last", case, "channels_last")
            area.alias(f"{case}_transposed", case, "transposed")
    x = Source("group_norm_plain").normal(2, 4, 3)
    area.run(
        "group_norm_plain", "group_norm", lambda x: F.group_norm(x, 2), [x], num_groups=2, eps=1e-5
    )


def layers(area):
    for dtype in ("f32", "f64"):
        for shape, last in (((2, 3, 8), 1), ((2, 3, 4, 5), 2), ((2, 3, 4, 5), 4)):
            for op, wanted in (("layer_norm", 2), ("rms_norm", 1)):
                size = shape[-last:]
                case = f"{op}_{len(shape)}d_{last}_{shape[-1]}_{dtype}"
                source = Source(case)
                x = source.normal(*shape, dtype=dtype, mean=1, std=2)
                if op == "layer_norm":
                    function = lambda x, w, b: F.layer_norm(x, size, w, b, 1e-5)
                else:
                    function = lambda x, w: F.rms_norm(x, size, w, 1e-5)
                inputs = [x, *parameters(source, size, dtype)[:wanted]]
                area.run(case, op, function, inputs, normalized_shape=list(size), eps=1e-5)
                area.alias(f"{case}_step2", case, "step2")
    x = Source("layer_norm_plain").normal(2, 8)
    area.run(
        "layer_norm_plain",
        "layer_norm",
        lambda x: F.layer_norm(x, (8,)),
        [x],
        normalized_shape=[8],
        eps=1e-5,
    )
    for dtype in ("f32", "f64"):
        x = Source(f"rms_norm_small_{dtype}").normal(2, 8, dtype=dtype, std=1e-3)
        area.run(
            f"rms_norm_plain_{dtype}",
            "rms_norm",
            lambda x: F.rms_norm(x, (8,)),
            [x],
            normalized_shape=[8],
            eps=-1.0,
        )


def instances(area):
    for dtype in ("f32", "f64"):
        for shape in ((2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 3, 2)):
            for stats in (True, False):
                case = f"instance_norm_{len(shape)}d_{'input' if stats else 'running'}_{dtype}"
                source = Source(case)
                x = source.normal(*shape, dtype=dtype, mean=1, std=2)
                w, b = parameters(source, (3,), dtype)
                var, mean = parameters(source, (3,), dtype)
                start = mean.clone(), var.clone()
                record = area.run(
                    case,
                    "instance_norm",
                    lambda x, w, b: F.instance_norm(x, mean, var, w, b, stats, 0.1, 1e-5),
                    [x, w, b],
                    use_input_stats=stats,
                    momentum=0.1,
                    eps=1e-5,
                )
                record.put("buffer.running_mean", start[0])
                record.put("buffer.running_var", start[1])
                record.put("after.buffer.running_mean", mean)
                record.put("after.buffer.running_var", var)


def responses(area):
    for size in (1, 2, 5):
        for shape in ((2, 7, 3), (2, 7, 3, 2)):
            case = f"local_response_norm_{size}_{len(shape)}d"
            x = Source(case).normal(*shape)
            area.run(
                case,
                "local_response_norm",
                lambda x: F.local_response_norm(x, size, 0.5, 0.75, 2.0),
                [x],
                size=size,
                alpha=0.5,
                beta=0.75,
                k=2.0,
            )


def make(folder):
    area = Area("ops_norms", "group_norm, layer_norm, rms_norm, instance_norm and local response.")
    for part in (groups, layers, instances, responses):
        part(area)
    area.write(folder)
