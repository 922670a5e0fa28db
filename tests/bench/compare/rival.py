"""The PyTorch side of the comparison: twins of the rows, told by main.c through a pipe.

Lines in:  setup KIND ARGUMENTS | time CALLS | threads N | device NAME | half 0|1 | memory | quit
Lines out: ready VERSION, then one answer a line: the value after the first run ("none" where there
           is no such kind), seconds, "ok", kilobytes.
"""
import gc
import os
import resource
import subprocess
import sys
import time
import traceback
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

import rival_nets

GOLDEN = 0.61803398874989484820
DEVICE = torch.device("cpu")
DTYPE = torch.float32  # of a row's images


def synchronize():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def counted(n):
    return torch.arange(1, n + 1, dtype=torch.float64) * GOLDEN


def fill(shape, scale=1.0, offset=0.0):
    """Numbers that depend on the index alone; fill.c makes the same."""
    count = 1
    for size in shape:
        count *= size
    x = torch.fmod(torch.fmod(counted(count), 1.0) * 7919.173, 1.0)
    return (offset + scale * (2 * x - 1)).float().reshape(shape).to(DEVICE)


def images(shape, scale=1.0, channels_last=False):
    return laid_out(fill(shape, scale).to(DTYPE), channels_last)


def fill_module(net):
    with torch.no_grad():
        for name, p in net.named_parameters():
            if p.dim() >= 2:
                p.copy_(fill(p.shape, (p.numel() / p.shape[0]) ** -0.5))
            elif "bias" in name.split(".")[-1]:
                p.copy_(fill(p.shape, 0.1))


def check(tensors):
    """A number that tells tensors apart; row_check in fill.c makes the same."""
    total = 0.0
    for t in tensors:
        x = t.detach().cpu().double().reshape(-1)
        weight = 1 + torch.fmod(counted(x.numel()), 1.0)
        total += (weight * (1.5 * x.abs() + 0.5 * x)).mean().item()
    return total


def laid_out(x, channels_last):
    return x.contiguous(memory_format=torch.channels_last) if channels_last and x.dim() == 4 else x


class Call:
    """A function of nothing that returns a tensor or several."""

    def __init__(self, function, shown=True, mode="eager"):
        self.function, self.shown, self.first = function, shown, None
        self.mode, self.graph = mode, None

    def run(self):
        if self.graph:
            self.graph.replay()
            return
        result = self.function()
        if self.shown and self.first is None:
            self.first = check(result if isinstance(result, (tuple, list)) else [result])
        if "graph" in self.mode:
            del result
            self.graph = captured(self.function)

    def value(self):
        return self.first


def captured(function):
    """The function's work as a CUDA graph; nothing of an earlier call may be alive."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph


# ---- whole networks: images are laid out as is faster here, both ways are tried ------------------


def faster(makers, tries):
    """The fastest of what the functions make; one that is slower is gone before the next is made."""
    best, least = None, float("inf")
    for make in makers:
        candidate = None
        try:
            candidate = make()
            candidate.run()
            synchronize()
            start = time.perf_counter()
            for _ in range(tries):
                candidate.run()
            synchronize()
            seconds = time.perf_counter() - start
        except Exception as error:  # this mode does not exist here
            print("torch:", getattr(candidate, "mode", "setup"), "failed:", str(error)[:200],
                  file=sys.stderr)
            continue
        if seconds < least:
            best, least = candidate, seconds
        del candidate
        forget_memory()
    if best is None:
        raise RuntimeError("none of the ways works here")
    if DEVICE.type == "cuda":
        print("torch's best mode:", best.mode, file=sys.stderr)
    return best


def forget_memory():
    """From here on the peak is what lives now, without the candidates that were not chosen."""
    if DEVICE.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


class Training:
    """A training step: forward, loss, backward, optimizer; on a GPU also compiled, or as a graph."""

    def __init__(self, make_net, make_optimizer, shape, loss, memory_format, mode="eager"):
        net = make_net().to(DEVICE)
        fill_module(net)
        self.loss, self.first, self.graph = loss, None, None
        self.half = DTYPE != torch.float32
        self.y = (torch.arange(shape[0]) % 10).to(DEVICE)
        self.net = net.to(memory_format=memory_format)
        self.optimizer = make_optimizer(net.parameters())
        self.x = fill(shape).contiguous(memory_format=memory_format)
        self.mode = mode
        if "compile" in mode:
            self.net = torch.compile(self.net)

    def step(self):
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.half):
            loss = self.loss(self.net(self.x), self.y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self):
        if self.graph:
            self.graph.replay()
            return
        loss = self.step().detach()
        if self.first is None:
            self.first = loss.item()
        if "graph" in self.mode:
            self.graph = captured(self.step)

    def value(self):
        return self.first


def modes():
    usual = "eager" if DEVICE.type == "cpu" else "eager,graph,compile,compile graph"
    return os.environ.get("TORCH_MODES", usual).split(",")


def formats(shape):
    return [torch.contiguous_format] + [torch.channels_last] * (len(shape) == 4)


def training(make_net, shape, make_optimizer=None, loss=F.cross_entropy):
    def sgd(parameters):
        return torch.optim.SGD(parameters, lr=0.05, momentum=0.9, **fused())

    def kind(batch, *_):
        sizes = (batch, *shape)
        make = make_optimizer or sgd
        layouts = formats(sizes) if DTYPE == torch.float32 else formats(sizes)[-1:]
        return faster([partial(Training, make_net, make, sizes, loss, m, mode)
                       for m in layouts for mode in modes()], 3 if DEVICE.type == "cpu" else 10)

    return kind


def fused():
    """One kernel for all parameters, where PyTorch has to be asked for it."""
    return {"fused": True} if DEVICE.type == "cuda" else {}


def adadelta(parameters):
    return torch.optim.Adadelta(parameters, capturable=DEVICE.type == "cuda")


def inference(make_net, shape):
    def candidate(memory_format, sizes, mode):
        net = make_net().to(DEVICE).eval().requires_grad_(False)
        fill_module(net)
        net = net.to(dtype=DTYPE, memory_format=memory_format)
        if "compile" in mode:
            net = torch.compile(net)
        x = fill(sizes).to(DTYPE).contiguous(memory_format=memory_format)
        return Call(lambda: net(x), mode=mode)

    def kind(batch, *_):
        sizes = (batch, *shape)
        return faster([partial(candidate, m, sizes, mode) for m in formats(sizes) for mode in modes()],
                      3 if DEVICE.type == "cpu" else 10)

    return kind


# ---- layers --------------------------------------------------------------------------------------


def conv(n, c, h, o, k, stride, groups, channels_last, direction, *_):
    x = images((n, c, h, h), 1, channels_last)
    w = images((o, c // groups, k, k), (c // groups * k * k) ** -0.5, channels_last)
    if direction == 0:
        return Call(lambda: F.conv2d(x, w, None, stride, k // 2, 1, groups))
    wanted = (x, w)[direction - 1].requires_grad_()
    y = F.conv2d(x, w, None, stride, k // 2, 1, groups)
    g = images(y.shape, 1, channels_last)
    return Call(lambda: torch.autograd.grad(y, wanted, g, retain_graph=True))


def norm(n, c, h, channels_last, mode, relu, skip, *_):
    forward, backward, evaluate = range(3)
    bn = nn.BatchNorm2d(c, device=DEVICE).train(mode != evaluate)
    with torch.no_grad():
        bn.weight.copy_(fill((c,), 0.5, 1))
        bn.bias.copy_(fill((c,), 0.5))
        bn.running_mean.copy_(fill((c,), 0.5))
        bn.running_var.copy_(fill((c,), 0.5, 1))
    bn.requires_grad_(mode == backward)
    x = images((n, c, h, h), 1, channels_last).requires_grad_(mode == backward)
    r = images((n, c, h, h), 0.7, channels_last).requires_grad_(mode == backward)

    def out():
        y = bn(x)
        if skip:
            y += r
        return F.relu(y, inplace=True) if relu else y

    if mode != backward:
        return Call(out)
    g = images((n, c, h, h), 1, channels_last)
    wanted = [x, bn.weight, bn.bias] + [r] * skip

    def both():
        y = out()
        return (y, *torch.autograd.grad(y, wanted, g))

    return Call(both)


# ---- single operators ----------------------------------------------------------------------------

OPERATORS = {
    "relu": lambda x, y: torch.relu(x),
    "add": lambda x, y: x + y,
    "exp": lambda x, y: torch.exp(x),
    "tanh": lambda x, y: torch.tanh(x),
    "gelu": lambda x, y: F.gelu(x),
    "sigmoid": lambda x, y: torch.sigmoid(x),
    "clone": lambda x, y: x.clone(),
    "transpose": lambda x, y: x.t().contiguous(),
    "to_channels_last": lambda x, y: x.contiguous(memory_format=torch.channels_last),
    "dropout": lambda x, y: F.dropout(x, 0.5, True),
    "randn": lambda x, y: torch.randn(x.shape, device=DEVICE),
    "sum": lambda x, y: x.sum(),
    "sum_rows": lambda x, y: x.sum(1),
    "sum_columns": lambda x, y: x.sum(0),
    "mean_hw": lambda x, y: x.mean((2, 3)),
    "var_columns": lambda x, y: x.var(0),
    "max": lambda x, y: x.max(),
    "argmax": lambda x, y: x.argmax(1),
    "sort": lambda x, y: torch.sort(x, -1)[0],
    "sort_0": lambda x, y: torch.sort(x, 0)[0],
    "argsort": lambda x, y: torch.argsort(x, -1),
    "topk": lambda x, y: torch.topk(x, 5)[0],
    "topk_100": lambda x, y: torch.topk(x, 100)[0],
    "softmax": lambda x, y: F.softmax(x, 1),
    "log_softmax": lambda x, y: F.log_softmax(x, 1),
    "cross_entropy": F.cross_entropy,
    "index_select": lambda x, y: x.index_select(0, y),
    "matmul": torch.matmul,
    "max_pool2": lambda x, y: F.max_pool2d(x, 2),
    "max_pool3": lambda x, y: F.max_pool2d(x, 3, 2, 1),
    "avg_pool2": lambda x, y: F.avg_pool2d(x, 2),
    "global_pool": lambda x, y: F.adaptive_avg_pool2d(x, 1),
}


def operator(name):
    f = OPERATORS[name]

    def kind(rank, a, b, c, d, channels_last, backward, second, *_):
        shape = (a, b, c, d)[:rank]
        x = laid_out(fill(shape, 2).to(DTYPE), channels_last).requires_grad_(bool(backward))
        y = None
        if second == 1:
            y = laid_out(fill(shape), channels_last)
        elif second == 2:
            y = (torch.arange(a) % b).to(DEVICE)
        elif second == 3:
            y = (torch.arange(a // 3) * 7919 % a).to(DEVICE)
        if not backward:
            return Call(lambda: f(x, y), shown=name not in ("dropout", "randn"))
        g = laid_out(fill(f(x, y).shape), channels_last)

        def both():
            out = f(x, y)
            return (out, *torch.autograd.grad(out, x, g))

        return Call(both)

    return kind


def adds(recorded, *_):
    a, add = torch.ones(1, device=DEVICE), torch.add
    b = torch.ones(1, device=DEVICE, requires_grad=bool(recorded))

    def thousand():
        for _ in range(1000):
            add(a, b)

    return Call(thousand, shown=False)


def optimizer(which, *_):
    net = rival_nets.resnet18().to(DEVICE)
    fill_module(net)
    for p in net.parameters():
        p.grad = fill(p.shape, 0.01)
    make = [lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, **fused()),
            lambda p: torch.optim.Adam(p, **fused()), lambda p: torch.optim.AdamW(p, **fused()),
            torch.optim.Adadelta][which]
    o = make(net.parameters())
    shown = [net.conv1.weight, net.layer4[1].conv2.weight, net.fc.weight]

    def step():
        o.step()
        return shown

    return Call(step)


# ---- around the arithmetic -----------------------------------------------------------------------


class Loader:
    def __init__(self, samples, batch, *_):
        data = torch.utils.data.TensorDataset(fill((samples, 1, 28, 28)), torch.arange(samples))
        self.loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)
        self.sum = None

    def run(self):
        self.sum = sum(float(y.sum()) for _, y in self.loader)

    def value(self):
        return self.sum


def start(*_):
    program = [sys.executable, "-c", "import torch; torch.relu(torch.ones(1))"]
    return Call(lambda: subprocess.run(program, check=True), shown=False)


KINDS = {
    "adds": adds,
    "mnist": training(rival_nets.mnist, (1, 28, 28)),
    "net_a": training(rival_nets.net_a, (1, 28, 28)),
    "official": training(rival_nets.official, (1, 28, 28), adadelta, F.nll_loss),
    "mlp": training(rival_nets.mlp, (784,), lambda p: torch.optim.SGD(p, lr=0.05, **fused())),
    "lstm": training(rival_nets.lstm, (64, 64)),
    "attention": training(rival_nets.attention, (197, 384)),
    "resnet18": training(rival_nets.resnet18, (3, 32, 32)),
    "train_resnet50": training(rival_nets.resnet50, (3, 224, 224)),
    "resnet50": inference(rival_nets.resnet50, (3, 224, 224)),
    "conv": conv,
    "norm": norm,
    "optimizer": optimizer,
    "loader": Loader,
    "start": start,
    **{name: operator(name) for name in OPERATORS},
}


def answer(line, state):
    global DEVICE, DTYPE
    word, *rest = line.split()
    if word == "device":
        if rest[0].startswith("cuda") and not torch.cuda.is_available():
            return "none"
        DEVICE = torch.device(rest[0])
        if DEVICE.type == "cuda":
            # Both sides: float32 rows in float32 (cuDNN would take TF32), algorithms measured.
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.benchmark = True
        return "ok"
    if word == "half":
        DTYPE = torch.bfloat16 if int(rest[0]) else torch.float32
        return "ok"
    if word == "setup":
        state["row"] = None
        if rest[0] not in KINDS:
            return "none"
        try:
            row = KINDS[rest[0]](*map(int, rest[1:]))
            forget_memory()
            row.run()
        except Exception:  # this row has no rival then, and the next ones still do
            traceback.print_exc()
            return "none"
        state["row"] = row
        value = row.value()
        return "nan" if value is None else repr(float(value))
    if word == "time":
        run, calls = state["row"].run, int(rest[0])
        if calls > 1:
            run()
        synchronize()
        begin = time.perf_counter()
        for _ in range(calls):
            run()
        synchronize()
        return repr(time.perf_counter() - begin)
    if word == "threads":
        torch.set_num_threads(int(rest[0]))
        return "ok"
    if word == "memory" and DEVICE.type == "cuda":
        return str(torch.cuda.max_memory_reserved() // 1024)
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
