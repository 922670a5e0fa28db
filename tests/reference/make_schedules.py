"""Learning rates (and momenta) of every schedule over 200 steps."""

import warnings

import torch
from torch import optim
from torch.optim import lr_scheduler

from common import Area

STEPS = 200
INNER = {
    "linear": ("LinearLR", {"start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 20}),
    "constant": ("ConstantLR", {"factor": 0.25, "total_iters": 10}),
    "exponential": ("ExponentialLR", {"gamma": 0.97}),
    "cosine": ("CosineAnnealingLR", {"T_max": 60, "eta_min": 0.001}),
    # Beyond the lowest point PyTorch's chain gives negative rates.
    "long": ("CosineAnnealingLR", {"T_max": 250, "eta_min": 0.001}),
    "step": ("StepLR", {"step_size": 30, "gamma": 0.5}),
    "polynomial": ("PolynomialLR", {"total_iters": 100, "power": 2.0}),
}
SINGLE = {
    "step": ("StepLR", {"step_size": 30, "gamma": 0.1}),
    "multi_step": ("MultiStepLR", {"milestones": [20, 50, 50, 120], "gamma": 0.3}),
    "multi_step_zero": ("MultiStepLR", {"milestones": [0, 7], "gamma": 0.5}),
    "exponential": ("ExponentialLR", {"gamma": 0.96}),
    "linear": ("LinearLR", {"start_factor": 1 / 3, "end_factor": 1.0, "total_iters": 5}),
    "linear_down": ("LinearLR", {"start_factor": 1.0, "end_factor": 0.1, "total_iters": 150}),
    "constant": ("ConstantLR", {"factor": 1 / 3, "total_iters": 5}),
    "constant_long": ("ConstantLR", {"factor": 0.7, "total_iters": 120}),
    "polynomial": ("PolynomialLR", {"total_iters": 5, "power": 1.0}),
    "polynomial_3": ("PolynomialLR", {"total_iters": 180, "power": 3.0}),
    "cosine": ("CosineAnnealingLR", {"T_max": 70, "eta_min": 0.002}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 30, "T_mult": 1, "eta_min": 0.0}),
    "restarts_2": ("CosineAnnealingWarmRestarts", {"T_0": 9, "T_mult": 2, "eta_min": 1e-3}),
    "restarts_3": ("CosineAnnealingWarmRestarts", {"T_0": 1, "T_mult": 3, "eta_min": 1e-3}),
    "lambda": ("LambdaLR", {}),
    "multiplicative": ("MultiplicativeLR", {}),
}
CYCLIC = {
    "": {},
    "_down": {"step_size_down": 31},
    "_triangular2": {"mode": "triangular2"},
    "_exp_range": {"mode": "exp_range", "gamma": 0.99},
    "_scale_cycle": {"scale_mode": "cycle"},
    "_scale_iterations": {"scale_mode": "iterations"},
    "_still": {"cycle_momentum": False},
}
PLATEAU = {
    "": {},
    "_max": {"mode": "max", "patience": 4},
    "_abs": {"threshold_mode": "abs", "threshold": 0.05, "patience": 3},
    "_abs_max": {"threshold_mode": "abs", "threshold": 0.05, "mode": "max", "patience": 2},
    "_cooldown": {"cooldown": 5, "patience": 2, "factor": 0.5},
    "_min": {"min_lr": [1e-3, 4e-3], "patience": 1, "factor": 0.3},
    "_eps": {"eps": 1e-3, "patience": 0, "factor": 0.7},
}
SEQUENCES = {
    "warm_cosine": (["linear", "cosine"], [20]),
    "three": (["constant", "exponential", "polynomial"], [10, 70]),
    "one": (["step"], []),
}
CHAINS = {
    "constant_exponential": ["constant", "exponential"],
    "linear_step": ["linear", "step"],
    "exponential_cosine": ["exponential", "long"],
    "three": ["linear", "exponential", "polynomial"],
}


def factor(step):
    return 0.95**step


def multiplier(step):
    return 0.99 if step % 3 else 0.97


def shrink(x):
    return 1 / (1 + 0.1 * x)


def optimizer_of(adam):
    groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in (0.1, 0.02)]
    return optim.Adam(groups) if adam else optim.SGD(groups, momentum=0.9)


def record(case, optimizer, adam, step):
    rates, momenta = [], []
    for k in range(STEPS):
        rates.append([float(g["lr"]) for g in optimizer.param_groups])
        momenta.append([g["betas"][0] if adam else g["momentum"] for g in optimizer.param_groups])
        optimizer.step()
        step(k)
    case.put("lr", torch.tensor(rates, dtype=torch.float64))
    case.put("momentum", torch.tensor(momenta, dtype=torch.float64))


def run(area, name, kind, options, adam=False, **shown):
    optimizer = optimizer_of(adam)
    scheduler = getattr(lr_scheduler, kind)(optimizer, **options)
    pairs = {k: v for k, v in {**options, **shown}.items() if not callable(v)}
    case = area.case(name, kind, "f64", optimizer="Adam" if adam else "SGD", **pairs)
    record(case, optimizer, adam, lambda k: scheduler.step())


def made(optimizer, name):
    kind, options = INNER[name]
    return getattr(lr_scheduler, kind)(optimizer, **options)


def combined(area):
    for name, (inner, milestones) in SEQUENCES.items():
        optimizer = optimizer_of(False)
        parts = [made(optimizer, i) for i in inner]
        scheduler = lr_scheduler.SequentialLR(optimizer, parts, milestones)
        case = area.case(
            f"sequential_{name}", "SequentialLR", "f64", inner=inner, milestones=milestones
        )
        record(case, optimizer, False, lambda k: scheduler.step())
    for name, inner in CHAINS.items():
        optimizer = optimizer_of(False)
        chain = lr_scheduler.ChainedScheduler([made(optimizer, i) for i in inner], optimizer)
        case = area.case(f"chained_{name}", "ChainedScheduler", "f64", inner=inner)
        record(case, optimizer, False, lambda k: chain.step())


def plateau(area):
    for tag, options in PLATEAU.items():
        optimizer = optimizer_of(False)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, **options)
        case = area.case(f"plateau{tag}", "ReduceLROnPlateau", "f64", **options)
        metrics = case.source.normal(STEPS, dtype="f64", std=0.05)
        metrics += 1 / (1 + 0.05 * torch.arange(STEPS, dtype=torch.float64))
        metrics[60:70] = float("nan")
        if options.get("mode") == "max":
            metrics = -metrics
        case.put("metric", metrics)
        record(case, optimizer, False, lambda k: scheduler.step(metrics[k].item()))


def make(folder):
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    area = Area("schedules", "Learning rates of every schedule over 200 steps.")
    for name, (kind, options) in SINGLE.items():
        functions = {"LambdaLR": factor, "MultiplicativeLR": multiplier}
        own = {"lr_lambda": functions[kind]} if kind in functions else {}
        run(area, name, kind, {**options, **own})
    for tag, options in CYCLIC.items():
        usual = {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 17, **options}
        if "scale_mode" in options:
            usual["scale_fn"] = shrink
        for adam in (False, True):
            run(area, f"cyclic{tag}_{'adam' if adam else 'sgd'}", "CyclicLR", usual, adam)
    one = {"max_lr": 0.4, "total_steps": 201, "pct_start": 0.25}
    run(area, "one_cycle", "OneCycleLR", one)
    combined(area)
    plateau(area)
    area.write(folder)
