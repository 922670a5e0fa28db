"""Networks of torchvision: names and sizes of their parameters, and logits.

A formula gives weights and images, so that neither need be stored.

    python3 tests/reference/make_models.py NAME     # prints the names and sizes of one network
"""

import math
import sys
import zlib

import numpy as np
import torch
from torch import nn
from torchvision import models

from common import line, write_text

CLASSES = 5
NAMES = ["lenet5"] + [n for n in models.list_models(module=models) if n[:4] not in ("swin", "maxv")]
# The tests run these; the others only when they are asked to.
QUICK = """lenet5 alexnet vgg11_bn resnet18 resnet50 resnext50_32x4d wide_resnet50_2 densenet121
squeezenet1_0 squeezenet1_1 googlenet inception_v3 mobilenet_v2 mobilenet_v3_small
mobilenet_v3_large mnasnet0_5 mnasnet1_3 shufflenet_v2_x0_5 shufflenet_v2_x1_0 efficientnet_b0
efficientnet_b3 efficientnet_b5 efficientnet_v2_s regnet_x_400mf regnet_y_400mf regnet_x_8gf
regnet_y_800mf
convnext_tiny vit_b_32""".split()
# No logits: they would take minutes, or float32 is not exact enough.
LARGE = ["regnet_y_128gf", "vit_h_14", "efficientnet_v2_m"]
SIZES = {"inception_v3": 80, "lenet5": 28, "vit_h_14": 28}
CHANNELS = {"lenet5": 1}


def noise(name, count):
    """Numbers in [-1, 1): a hash of the name and the index."""
    x = np.arange(count, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()))
    x = (x * np.uint64(2654435761)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(15)
    x = (x * np.uint64(2246822519)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(13)
    return x.astype(np.float64) / 2**31 - 1


def values(name, shape, gain=1):
    last = name.rsplit(".", 1)[-1]
    count = math.prod(shape)
    if last == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    u = noise(name, count)
    if last == "running_var":
        u = 1 + 0.5 * u
    elif last in ("running_mean", "bias", "in_proj_bias"):
        u = 0.1 * u
    elif last in ("weight", "in_proj_weight"):
        if len(shape) > 1:
            u = u * (gain * math.sqrt(6 / (count // shape[0])))
        else:
            u = 0.75 + 0.25 * u
    elif last == "image":
        u = 8 * u
    else:  # tokens, positions, scales
        u = 0.5 * u
    return torch.from_numpy(u.astype(np.float32)).reshape(shape)


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(5)
        self.classifier = nn.Sequential(
            *(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU()),
            nn.Linear(84, CLASSES),
        )

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def build(name):
    if name == "lenet5":
        return LeNet5()
    options = {"num_classes": CLASSES}
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    if name.startswith("vit_"):
        options["image_size"] = SIZES.get(name, 32)
    return models.get_model(name, weights=None, **options)


def listing(net):
    return "".join(
        f"{name} {','.join(map(str, t.shape))}\n" for name, t in net.state_dict().items()
    )


def logits(name, net, gain):
    net.float().eval()
    for key, t in net.state_dict().items():
        t.copy_(values(key, tuple(t.shape), gain))
    size = SIZES.get(name, 32 if name.startswith("vit_") else 64)
    x = values("input.image", (2, CHANNELS.get(name, 3), size, size))
    with torch.no_grad():
        rough = net(x)
        return net.double()(x.double()), rough, size


def describe(name):
    with torch.device("meta" if name.startswith("vit_h") else "cpu"):
        net = build(name)
    text = listing(net)
    pairs = {
        "case": name,
        "entries": text.count("\n"),
        "numbers": sum(p.numel() for p in net.parameters()),
        "crc": zlib.crc32(text.encode()),
        "quick": name in QUICK,
    }
    if name not in LARGE:
        # The first for which images still differ at the end, and float32 is exact enough.
        for gain in (1, 1.1, 1.15, 1.2, 1.25, 1.3, 1.5, 2, 3, 4):
            y, rough, pairs["size"] = logits(name, net, gain)
            most = y.abs().max()
            apart, wrong = (y[0] - y[1]).abs().max() / most, (y - rough).abs().max() / most
            if apart > 0.01 and wrong < 2e-5:
                break
        pairs["gain"] = gain
        assert y.isfinite().all() and wrong < 2e-5, (name, y, wrong)
        pairs["logits"] = [float(f"{v:.9g}") for v in y.flatten().tolist()]
    return line(**pairs)


def make(folder):
    lines = ["# networks of torchvision with weights of a formula", "# Written by make.py."]
    lines += [describe(name) for name in NAMES]
    write_text(f"{folder}/models.txt", lines)


if __name__ == "__main__":
    print(listing(build(sys.argv[1])), end="")
