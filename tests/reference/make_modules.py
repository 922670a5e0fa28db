"""Modules with arguments; printed forms; state dict order."""

import re

from torch import nn

from common import DTYPES, NAMES, Area, Source, Texts
from stepping import SEBlock, fill, steps_case


def batch_norms(area):
    shapes = {1: [(6, 3), (4, 3, 5)], 2: [(3, 3, 3, 4)], 3: [(2, 3, 2, 3, 2)]}
    classes = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
    for rank, make in classes.items():
        for affine in (True, False):
            for track in (True, False):
                for momentum in (0.1, None, 0.0, 1.0):
                    if not track and momentum != 0.1:
                        continue
                    for shape in shapes[rank] if momentum == 0.1 else shapes[rank][:1]:
                        name = (
                            f"batch_norm{rank}d_{len(shape)}_{'affine' if affine else 'plain'}_"
                            f"{'track' if track else 'batch'}_{momentum}".lower()
                        )
                        source = Source(name)
                        module = make(
                            3, momentum=momentum, affine=affine, track_running_stats=track
                        )
                        fill(module, source)
                        modes = ("train", "train", "eval") if rank == 2 else ("train", "eval")
                        steps = [(m, source.normal(*shape, mean=1, std=2)) for m in modes]
                        steps_case(area, name, module, steps)
    source = Source("batch_norm2d_eps")
    for dtype in ("f32", "f64"):
        module = nn.BatchNorm2d(3, eps=1e-3, momentum=0.3).to(DTYPES[dtype])
        steps = [
            (m, source.normal(2, 3, 4, 4, dtype=dtype)) for m in ("train", "train", "train", "eval")
        ]
        steps_case(area, f"batch_norm2d_eps_{dtype}", module, steps)


def layers(area):
    table = {
        "conv2d": (nn.Conv2d(3, 4, 3), (2, 3, 6, 7)),
        "conv2d_all": (
            nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2),
            (2, 4, 7, 6),
        ),
        "conv2d_no_bias": (nn.Conv2d(2, 3, 3, padding=1, bias=False), (2, 2, 5, 5)),
        "conv2d_depthwise": (nn.Conv2d(4, 4, 3, groups=4, padding=1), (1, 4, 5, 5)),
        "linear": (nn.Linear(5, 4), (3, 5)),
        "linear_3d": (nn.Linear(5, 4), (2, 3, 5)),
        "linear_no_bias": (nn.Linear(5, 4, bias=False), (3, 5)),
        "identity": (nn.Identity(), (2, 3)),
        "flatten": (nn.Flatten(), (2, 3, 4, 5)),
        "flatten_dims": (nn.Flatten(0, 2), (2, 3, 4, 5)),
        "max_pool2d": (nn.MaxPool2d(2), (2, 3, 5, 6)),
        "max_pool2d_all": (nn.MaxPool2d((3, 2), stride=2, padding=1, ceil_mode=True), (2, 3, 6, 7)),
        "avg_pool2d": (nn.AvgPool2d(2), (2, 3, 5, 6)),
        "avg_pool2d_all": (nn.AvgPool2d(3, 2, 1, True, False), (2, 3, 6, 7)),
        "adaptive_avg_pool2d": (nn.AdaptiveAvgPool2d(1), (2, 3, 6, 7)),
        "adaptive_avg_pool2d_uneven": (nn.AdaptiveAvgPool2d((3, 4)), (2, 3, 7, 5)),
        "relu": (nn.ReLU(), (3, 7)),
        "sigmoid": (nn.Sigmoid(), (3, 7)),
        "tanh": (nn.Tanh(), (3, 7)),
        "gelu": (nn.GELU(), (3, 7)),
        "gelu_tanh": (nn.GELU(approximate="tanh"), (3, 7)),
        "silu": (nn.SiLU(), (3, 7)),
        "leaky_relu": (nn.LeakyReLU(0.2), (3, 7)),
        "elu": (nn.ELU(), (3, 7)),
        "softmax": (nn.Softmax(1), (3, 7)),
        "log_softmax": (nn.LogSoftmax(1), (3, 7)),
        "se_block": (SEBlock(8, 2), (2, 8, 4, 3)),
    }
    for name, (module, shape) in table.items():
        source = Source(name)
        fill(module, source)
        steps_case(area, name, module, [("train", source.normal(*shape))])
    for p in (0.25, 0.5):
        x = Source(f"dropout_{p}").normal(3, 7)
        steps_case(area, f"dropout_{p}", nn.Dropout(p), [("eval", x)])


def sequentials(area):
    table = {
        "seq_mlp": (nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (4, 6)),
        "seq_conv_bn": (
            nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1, bias=False),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 6, 3, padding=1, bias=False),
                nn.BatchNorm2d(6, momentum=0.05),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(1),
                nn.Flatten(),
                nn.Linear(6, 3),
            ),
            (3, 1, 6, 6),
        ),
        "seq_nested": (
            nn.Sequential(
                nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU()),
                nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Tanh()), nn.Dropout(0.0)),
                SEBlock(4, 2),
                nn.Flatten(),
                nn.Linear(16, 2),
                nn.BatchNorm1d(2),
            ),
            (3, 2, 4, 4),
        ),
        "seq_empty": (nn.Sequential(), (2, 3)),
    }
    for name, (module, shape) in table.items():
        source = Source(name)
        fill(module, source)
        modes = ("train", "train", "eval") if any(True for _ in module.buffers()) else ("train",)
        steps_case(area, name, module, [(m, source.normal(*shape)) for m in modes])
        if name == "seq_conv_bn":
            area.alias(f"{name}_channels_last", name, "channels_last")


PRINTED = {
    "batch_norm2d": "nn.BatchNorm2d(64)",
    "batch_norm2d_args": "nn.BatchNorm2d(3, eps=1e-3, momentum=None, affine=False)",
    "batch_norm2d_batch": "nn.BatchNorm2d(3, momentum=0.05, track_running_stats=False)",
    "batch_norm2d_eps": "nn.BatchNorm2d(3, eps=1e-12, momentum=1.0)",
    "batch_norm1d": "nn.BatchNorm1d(10)",
    "batch_norm3d": "nn.BatchNorm3d(10, eps=0.0, momentum=0.0)",
    "conv2d": "nn.Conv2d(3, 8, 3)",
    "conv2d_padding": "nn.Conv2d(1, 32, 3, padding=1, bias=False)",
    "conv2d_stride": "nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)",
    "conv2d_all": "nn.Conv2d(4, 6, (3, 2), stride=(2, 1), "
    "padding=(1, 2), dilation=(1, 2), groups=2)",
    "conv2d_dilation": "nn.Conv2d(4, 4, 3, dilation=2)",
    "conv2d_depthwise": "nn.Conv2d(32, 32, 3, padding=1, groups=32)",
    "linear": "nn.Linear(128, 10)",
    "linear_no_bias": "nn.Linear(128, 10, bias=False)",
    "max_pool2d": "nn.MaxPool2d(2)",
    "max_pool2d_all": "nn.MaxPool2d((3, 2), stride=2, padding=1, ceil_mode=True)",
    "max_pool2d_pair": "nn.MaxPool2d((3, 2), stride=(2, 1))",
    "avg_pool2d": "nn.AvgPool2d(3, 2, 1)",
    "avg_pool2d_pair": "nn.AvgPool2d((3, 2))",
    "adaptive_avg_pool2d": "nn.AdaptiveAvgPool2d(1)",
    "adaptive_avg_pool2d_pair": "nn.AdaptiveAvgPool2d((3, 4))",
    "relu": "nn.ReLU()",
    "relu_inplace": "nn.ReLU(inplace=True)",
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
    "gelu": "nn.GELU()",
    "gelu_tanh": "nn.GELU(approximate='tanh')",
    "silu": "nn.SiLU()",
    "leaky_relu": "nn.LeakyReLU(0.2)",
    "elu": "nn.ELU()",
    "softmax": "nn.Softmax(1)",
    "log_softmax": "nn.LogSoftmax(1)",
    "dropout": "nn.Dropout(0.25)",
    "dropout_default": "nn.Dropout()",
    "flatten": "nn.Flatten()",
    "flatten_dims": "nn.Flatten(0, 2)",
    "identity": "nn.Identity()",
    "sequential_empty": "nn.Sequential()",
    "sequential_one": "nn.Sequential(nn.ReLU())",
    "sequential": "nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))",
    "sequential_same": "nn.Sequential(*[nn.ReLU() for _ in range(3)])",
    "sequential_shared": "nn.Sequential(*[nn.Linear(3, 3)] * 2, nn.ReLU())",
    "sequential_nested": "nn.Sequential("
    "nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()), "
    "nn.Sequential(nn.Sequential(nn.MaxPool2d(2)), nn.Dropout(0.5)), nn.Flatten())",
    "se_block": "SEBlock(32, 4)",
    "sequential_se": "nn.Sequential(nn.Conv2d(3, 8, 3), SEBlock(8, 2), nn.ReLU())",
    "mnist": "nn.Sequential("
    "nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), "
    "nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1, bias=False), "
    "nn.BatchNorm2d(64, momentum=0.05), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), "
    "nn.Linear(64 * 7 * 7, 128), nn.ReLU(), nn.Dropout(p=0.25), nn.Linear(128, 10))",
}
STATES = {
    **{
        k: PRINTED[k]
        for k in (
            "batch_norm2d",
            "batch_norm2d_args",
            "batch_norm2d_batch",
            "batch_norm1d",
            "conv2d",
            "conv2d_padding",
            "linear",
            "linear_no_bias",
            "se_block",
            "sequential_shared",
            "sequential_nested",
            "sequential_se",
            "mnist",
        )
    },
    "batch_norm2d_half": "nn.BatchNorm2d(64).half()",
    "batch_norm2d_double": "nn.BatchNorm2d(64).double()",
    "mnist_bf16": PRINTED["mnist"] + ".bfloat16()",
}


def word(code):
    """The Python expression as one word, for a reader's eyes: blanks are written ~."""
    return code.replace(" ", "~").replace("=", ":")


def printed_form(module):
    """Newer PyTorch prints an argument bias of BatchNorm; lucid keeps the older form."""
    return re.sub(r"(BatchNorm\dd\(.*), bias=(?:True|False)", r"\1", repr(module))


def texts(folder):
    names = {"nn": nn, "SEBlock": SEBlock}
    printed = Texts(
        "module_repr",
        "Modules as PyTorch prints them; made= is the expression (~ for a "
        "blank, : for the sign of equality).",
    )
    for name, code in PRINTED.items():
        printed.block(name, printed_form(eval(code, names)), made=word(code))
    printed.write(folder)
    states = Texts(
        "state_dict",
        "State dicts in order: name, dtype, shape (- for 0-d); made= as in " "module_repr.txt.",
    )
    for name, code in STATES.items():
        rows = [
            f"{key} {NAMES[value.dtype]} {','.join(map(str, value.shape)) or '-'}"
            for key, value in eval(code, names).state_dict().items()
        ]
        states.block(name, "\n".join(rows) if rows else "none", made=word(code))
    states.write(folder)


def make(folder):
    area = Area("modules", "Modules step by step; a Sequential has child= lines below a case.")
    for part in (batch_norms, layers, sequentials):
        part(area)
    area.write(folder)
    texts(folder)
