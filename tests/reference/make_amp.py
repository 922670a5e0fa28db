"""Mixed precision: the lockstep network under torch.autocast, and sequences of torch.amp.GradScaler."""

import torch
from torch import nn, optim

import make_lockstep
from common import Area, Source

STEPS = 30
# Optimizer steps by whether their gradients are finite, and the scaler's options.
SCALERS = {
    "finite": ("." * 12, {"init_scale": 8.0, "growth_interval": 4}),
    "infinite": ("." * 3 + "i" + "." * 5 + "nn" + "." * 6, {"init_scale": 1024.0, "growth_interval": 3}),
    "factors": (
        "..i...n.....",
        {"init_scale": 3.0, "growth_factor": 1.7, "backoff_factor": 0.3, "growth_interval": 2},
    ),
    "largest": ("." * 6, {"init_scale": 1.5e38, "growth_interval": 1}),
    "defaults": ("..i..", {}),
}


def logits_and_gradients(case, state, pictures, labels):
    net = make_lockstep.network()
    net.load_state_dict(state)
    x = (pictures[0].float() - 128) / 64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(x)
        loss = nn.functional.cross_entropy(logits, labels[0])
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32
    loss.backward()
    case.put("logits", logits.float())
    for key, value in net.named_parameters():
        assert value.grad.dtype == torch.float32
        case.put(f"grad.{key}", value.grad)


def train(case, state, pictures, labels):
    net = make_lockstep.network()
    net.load_state_dict(state)
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, foreach=False)
    losses = []
    for k in range(STEPS):
        x = (pictures[k].float() - 128) / 64
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = nn.functional.cross_entropy(net(x), labels[k])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    case.put("loss", torch.stack(losses))


def autocast(area):
    torch.manual_seed(make_lockstep.SEED)
    state = {key: value.clone() for key, value in make_lockstep.network().state_dict().items()}
    pictures, labels = make_lockstep.data(Source(f"lockstep{make_lockstep.SEED}"))
    case = area.case("autocast", "Sequential", "bf16", steps=STEPS)
    logits_and_gradients(case, state, pictures, labels)
    train(case, state, pictures, labels)


def scaler(area, name, steps, options):
    """One parameter, and steps that are all right (.), or have an infinity (i) or a NaN (n) put into
    the gradient; the loss is <coefficients, parameter>. "largest" overflows by itself."""
    case = area.case(f"scaler_{name}", "GradScaler", "f32", steps=steps, **options)
    p = case.source.normal(5).requires_grad_()
    case.put("param", p)
    coefficients = case.source.normal(len(steps), 5)
    case.put("coefficients", coefficients)
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9, foreach=False)
    grad_scaler = torch.amp.GradScaler("cpu", **options)
    scales, trackers, skipped, after = [grad_scaler.get_scale()], [], [], []
    for k, kind in enumerate(steps):
        optimizer.zero_grad()
        grad_scaler.scale((p * coefficients[k]).sum()).backward()
        if kind == "i":
            p.grad[2] = float("inf")
        if kind == "n":
            p.grad[4] = float("nan")
        grad_scaler.step(optimizer)
        grad_scaler.update()
        scales.append(grad_scaler.get_scale())
        skipped.append(scales[-1] < scales[-2])
        trackers.append(grad_scaler._get_growth_tracker())
        after.append(p.detach().clone())
    case.put("scale", torch.tensor(scales[1:], dtype=torch.float64))
    case.put("tracker", torch.tensor(trackers))
    case.put("skipped", torch.tensor(skipped))
    case.put("after", torch.stack(after))


def make(folder):
    area = Area("amp", "Mixed precision: autocast to bfloat16, and the gradient scaler.")
    autocast(area)
    for name, (steps, options) in SCALERS.items():
        scaler(area, name, steps, options)
    area.write(folder)
