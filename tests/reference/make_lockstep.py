"""Thirty training steps of a small network, in float32 and in float64.

Where an input of a ReLU or two candidates of a max lie within rounding of each other, two right
programs take different branches and their losses part by as much as a percent. The seed is chosen
(of a thousand) so that in float64 nothing comes nearer than 5e-6 to such a kink.
"""

import torch
from torch import nn

from common import DTYPES, Area, Source, fmt

BATCHES, BATCH, CLASSES, SIDE = 30, 16, 10, 12
LR, MOMENTUM = 0.05, 0.9
SEED = 431


def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * (SIDE // 2) ** 2, CLASSES),
    )


def data(source):
    """Noisy pictures of ten random patterns, as bytes; the network sees (byte - 128) / 64."""
    patterns = source.normal(CLASSES, 1, SIDE, SIDE)
    labels = source.integers(BATCHES, BATCH, low=0, high=CLASSES)
    pictures = 128 + 28 * patterns[labels] + 40 * source.normal(BATCHES, BATCH, 1, SIDE, SIDE)
    return pictures.round().clamp(0, 255).to(torch.uint8), labels


def train(case, state, pictures, labels, dtype):
    net = network().to(DTYPES[dtype])
    net.load_state_dict(state)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, foreach=False)
    losses, running = [], {k: [] for k in net.state_dict() if "running" in k}
    for k in range(BATCHES):
        x = (pictures[k].to(DTYPES[dtype]) - 128) / 64
        loss = nn.functional.cross_entropy(net(x), labels[k])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
        for key in running:
            running[key].append(net.state_dict()[key].clone())
    case.put(f"{dtype}.loss", torch.stack(losses))
    for key, values in running.items():
        case.put(f"{dtype}.running.{key}", torch.stack(values))
    for key, value in net.state_dict().items():
        case.put(f"{dtype}.final.{key}", value)
    return torch.stack(losses), torch.cat([torch.stack(r) for r in running.values()], 1)


def make(folder):
    area = Area("lockstep", "conv-bn-relu-pool-conv-bn-relu-flatten-linear, 30 steps of SGD.")
    case = area.case(
        "lockstep",
        "Sequential",
        "f32",
        lr=LR,
        momentum=MOMENTUM,
        steps=BATCHES,
        batch_size=BATCH,
        offset=128,
        divisor=64,
    )
    torch.manual_seed(SEED)
    state = {key: value.clone() for key, value in network().state_dict().items()}
    for key, value in state.items():
        case.put(f"initial.{key}", value)
    pictures, labels = data(Source(f"lockstep{SEED}"))
    case.put("images", pictures)
    case.put("labels", labels)
    (loss32, running32), (loss64, running64) = (
        train(case, state, pictures, labels, d) for d in ("f32", "f64")
    )
    apart = ((loss32 - loss64).abs() / loss64).max().item()
    drift = ((running32 - running64).abs() / running64.abs().clamp(min=1)).max().item()
    assert apart < 1e-5 and drift < 1e-6, fmt([apart, drift])
    area.write(folder)
