"""The PyTorch side of the comparison: the same rows, told by main.c through a pipe.

Lines in:  setup NAME | time CALLS | threads N | memory | quit
Lines out: ready VERSION, then one answer a line: the value after the first run ("none" where there
           is no such row), seconds, "ok", kilobytes.
"""
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def fill(shape, scale=1.0, offset=0.0):
    """Numbers that depend on the index alone; fill.c makes the same."""
    count = 1
    for size in shape:
        count *= size
    x = torch.arange(1, count + 1, dtype=torch.float64) * 0.61803398874989484820
    return (offset + scale * (2 * torch.fmod(x, 1.0) - 1)).float().reshape(shape)


def fill_module(net):
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("bias"):
                p.zero_()
            if p.dim() >= 2:
                p.copy_(fill(p.shape, (p.numel() / p.shape[0]) ** -0.5))


class Training:
    """A training step: forward, loss, backward, optimizer. Images are laid out as is faster here: both
    ways are tried."""

    def __init__(self, make_net, make_optimizer, shape, loss=F.cross_entropy):
        self.loss, self.first = loss, None
        self.y = torch.arange(shape[0]) % 10
        formats = [torch.contiguous_format]
        if len(shape) == 4:
            formats.append(torch.channels_last)
        tried = []
        for memory_format in formats:
            net = make_net()
            fill_module(net)
            self.net = net.to(memory_format=memory_format)
            self.optimizer = make_optimizer(net.parameters())
            self.x = fill(shape).contiguous(memory_format=memory_format)
            self.run()
            start = time.perf_counter()
            for _ in range(3):
                self.run()
            tried.append((time.perf_counter() - start, self.net, self.optimizer, self.x))
        _, self.net, self.optimizer, self.x = min(tried, key=lambda t: t[0])

    def run(self):
        loss = self.loss(self.net(self.x), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.first is None:
            self.first = loss.item()

    def value(self):
        return self.first


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def mnist(batch):
    def make():
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))

    return Training(make, sgd, (batch, 1, 28, 28))


def net_a(batch):
    def make():
        return nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))

    return Training(make, sgd, (batch, 1, 28, 28))


def official(batch):
    def make():
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
            nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5),
            nn.Linear(128, 10), nn.LogSoftmax(1))

    return Training(make, torch.optim.Adadelta, (batch, 1, 28, 28), F.nll_loss)


def mlp(batch):
    def make():
        return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))

    return Training(make, lambda p: torch.optim.SGD(p, lr=0.05), (batch, 784))


class Adds:
    def __init__(self, recorded):
        self.a, self.b = torch.ones(1), torch.ones(1, requires_grad=recorded)

    def run(self):
        a, b, add = self.a, self.b, torch.add
        for _ in range(1000):
            add(a, b)

    def value(self):
        return None


ROWS = {
    "1000 adds of 1 element": lambda: Adds(False),
    "1000 adds of 1 element, recorded": lambda: Adds(True),
    "train mnist b64": lambda: mnist(64),
    "train mnist b256": lambda: mnist(256),
    "train net_a b64": lambda: net_a(64),
    "train net_a b256": lambda: net_a(256),
    "train official b64": lambda: official(64),
    "train mlp b64": lambda: mlp(64),
}


def answer(line, state):
    word, _, rest = line.strip().partition(" ")
    if word == "setup":
        state["row"] = None
        if rest not in ROWS:
            return "none"
        state["row"] = ROWS[rest]()
        state["row"].run()
        value = state["row"].value()
        return "nan" if value is None else repr(float(value))
    if word == "time":
        run = state["row"].run
        start = time.perf_counter()
        for _ in range(int(rest)):
            run()
        return repr(time.perf_counter() - start)
    if word == "threads":
        torch.set_num_threads(int(rest))
        return "ok"
    if word == "memory":
        return str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    return None


def main():
    torch.manual_seed(1)
    state = {}
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        text = answer(line, state)
        if text is None:
            break
        print(text, flush=True)


main()
