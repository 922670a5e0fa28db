"""Optimizers over ten steps with given gradients, schedulers, clip_grad_norm_."""

import warnings

import torch
from torch import optim

from common import DTYPES, Area

STEPS = 10
SHAPES = ((3, 4), (5,))
OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd_momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd_dampening": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3}),
    "sgd_nesterov": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd_weight_decay": ("SGD", {"lr": 0.1, "weight_decay": 0.01}),
    "sgd_all": ("SGD", {"lr": 0.02, "momentum": 0.8, "weight_decay": 5e-4, "nesterov": True}),
    "sgd_maximize": ("SGD", {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.1, "maximize": True}),
    "sgd_dampening_decay": (
        "SGD",
        {"lr": 0.1, "momentum": 0.5, "dampening": 0.5, "weight_decay": 0.1},
    ),
    "adam": ("Adam", {"lr": 1e-3}),
    "adam_betas": ("Adam", {"lr": 0.01, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adam_weight_decay": ("Adam", {"lr": 0.01, "weight_decay": 0.1}),
    "adam_amsgrad": ("Adam", {"lr": 0.01, "betas": (0.9, 0.5), "amsgrad": True}),
    "adam_maximize": ("Adam", {"lr": 0.01, "weight_decay": 0.1, "maximize": True}),
    "adamw": ("AdamW", {"lr": 1e-3}),
    "adamw_weight_decay": ("AdamW", {"lr": 0.01, "weight_decay": 0.3, "betas": (0.8, 0.95)}),
    "adamw_amsgrad": ("AdamW", {"lr": 0.01, "betas": (0.9, 0.5), "amsgrad": True}),
    "adamw_maximize": ("AdamW", {"lr": 0.01, "maximize": True}),
    "adadelta": ("Adadelta", {}),
    "adadelta_all": ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-4, "weight_decay": 0.05}),
    "adadelta_maximize": ("Adadelta", {"maximize": True}),
}
KEYS = {
    "SGD": ("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize"),
    "Adam": ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"),
    "AdamW": ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"),
    "Adadelta": ("lr", "rho", "eps", "weight_decay", "maximize"),
}


def optimizer_case(area, name, kind, options, dtype, second_group=None, missing=()):
    """missing: (step, parameter) pairs in which the parameter has no gradient at all."""
    case = area.case(name, kind, dtype)
    params = [case.source.normal(*s, dtype=dtype).requires_grad_() for s in SHAPES]
    for i, p in enumerate(params):
        case.put(f"param.{i}", p)
    groups = (
        params
        if second_group is None
        else [{"params": params[:1]}, {"params": params[1:], **second_group}]
    )
    optimizer = getattr(optim, kind)(groups, foreach=False, **options)
    for key in KEYS[kind]:
        case.pairs[key] = optimizer.param_groups[0][key]
    for key, value in (second_group or {}).items():
        case.pairs[f"group1.{key}"] = value
    case.pairs["steps"] = STEPS
    if missing:
        case.pairs["missing"] = [f"{step}:{i}" for step, i in missing]
    grads = [case.source.normal(STEPS, *s, dtype=dtype) for s in SHAPES]
    for step, i in missing:
        grads[i][step] = 0
    after = [[] for _ in params]
    for step in range(STEPS):
        for i, p in enumerate(params):
            p.grad = None if (step, i) in missing else grads[i][step].clone()
        optimizer.step()
        for i, p in enumerate(params):
            after[i].append(p.detach().clone())
    for i, p in enumerate(params):
        case.put(f"grad.{i}", grads[i])
        case.put(f"after.param.{i}", torch.stack(after[i]))
        for key, value in optimizer.state[p].items():
            if value is not None:
                case.put(f"state.{i}.{key}", torch.as_tensor(value))


def optimizers(area):
    for name, (kind, options) in OPTIMIZERS.items():
        for dtype in ("f32", "f64"):
            optimizer_case(area, f"{name}_{dtype}", kind, options, dtype)
    for name, second in (
        ("sgd_momentum", {"lr": 0.5, "momentum": 0.0, "weight_decay": 0.1}),
        ("adamw", {"lr": 0.1, "betas": (0.5, 0.9)}),
        ("adadelta", {"rho": 0.5}),
    ):
        kind, options = OPTIMIZERS[name]
        optimizer_case(area, f"{name}_groups", kind, options, "f32", second_group=second)
    for name in ("sgd_all", "adam", "adamw_amsgrad", "adadelta_all"):
        kind, options = OPTIMIZERS[name]
        optimizer_case(
            area, f"{name}_missing", kind, options, "f32", missing=((0, 1), (4, 0), (5, 0))
        )


def schedule(area, name, kind, steps, lrs=(0.1,), adam=False, **options):
    """lr (and momentum, or the first beta) of every group: row k is in force at training step k."""
    params = [{"params": [torch.zeros(1, requires_grad=True)], "lr": lr} for lr in lrs]
    optimizer = optim.Adam(params) if adam else optim.SGD(params, momentum=0.9)
    scheduler = getattr(optim.lr_scheduler, kind)(optimizer, **options)
    case = area.case(
        name,
        kind,
        "f64",
        optimizer="Adam" if adam else "SGD",
        lr=list(lrs),
        momentum=0.9,
        **options,
        steps=steps,
    )
    rates, momenta = [], []
    for k in range(steps):
        rates.append([float(g["lr"]) for g in optimizer.param_groups])
        momenta.append([g["betas"][0] if adam else g["momentum"] for g in optimizer.param_groups])
        if k + 1 < steps:
            optimizer.step()
            scheduler.step()
    case.put("lr", torch.tensor(rates, dtype=torch.float64))
    if kind == "OneCycleLR":
        case.put("momentum", torch.tensor(momenta, dtype=torch.float64))


def schedulers(area):
    schedule(area, "step", "StepLR", 25, step_size=5, gamma=0.1)
    schedule(area, "step_one", "StepLR", 8, lrs=(0.3, 1.0), step_size=1, gamma=0.7)
    schedule(area, "cosine", "CosineAnnealingLR", 11, T_max=10, eta_min=0.0)
    schedule(area, "cosine_min", "CosineAnnealingLR", 31, lrs=(0.5, 0.02), T_max=12, eta_min=0.001)
    schedule(area, "cosine_one", "CosineAnnealingLR", 4, T_max=1, eta_min=0.0)
    usual = {
        "max_lr": 0.4,
        "total_steps": 40,
        "pct_start": 0.3,
        "anneal_strategy": "cos",
        "cycle_momentum": True,
        "base_momentum": 0.85,
        "max_momentum": 0.95,
        "div_factor": 25.0,
        "final_div_factor": 1e4,
        "three_phase": False,
    }
    variants = {
        "": {},
        "_linear": {"anneal_strategy": "linear"},
        "_three": {"three_phase": True},
        "_three_linear": {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.4},
        "_still": {"cycle_momentum": False},
        "_odd": {
            "total_steps": 17,
            "pct_start": 0.25,
            "div_factor": 10.0,
            "final_div_factor": 100.0,
            "base_momentum": 0.7,
            "max_momentum": 0.9,
        },
        "_short": {"total_steps": 10, "pct_start": 0.15},
    }
    for tag, changes in variants.items():
        for adam in (False, True):
            options = {**usual, **changes}
            schedule(
                area,
                f"one_cycle{tag}_{'adam' if adam else 'sgd'}",
                "OneCycleLR",
                options["total_steps"],
                adam=adam,
                **options,
            )


def clipping(area):
    inf = float("inf")
    for norm_type in (2.0, 1.0, inf, 3.0):
        for max_norm in (0.5, 100.0):
            for dtype in ("f32", "f64"):
                clip_case(area, f"clip_{norm_type}_{max_norm}_{dtype}", norm_type, max_norm, dtype)
    clip_case(area, "clip_zero", 2.0, 1.0, "f32", fill=0.0)
    clip_case(area, "clip_nan", 2.0, 1.0, "f32", poison=float("nan"))
    clip_case(area, "clip_inf", 2.0, 1.0, "f32", poison=inf)


def clip_case(area, name, norm_type, max_norm, dtype, fill=None, poison=None):
    case = area.case(name, "clip_grad_norm_", dtype, max_norm=max_norm, norm_type=norm_type)
    params = []
    for i, shape in enumerate(((3, 4), (5,), (2, 1, 2))):
        p = torch.zeros(shape, dtype=DTYPES[dtype], requires_grad=True)
        p.grad = case.source.normal(*shape, dtype=dtype)
        if fill is not None:
            p.grad.fill_(fill)
        if poison is not None and i == 1:
            p.grad[2] = poison
        case.put(f"in{i}", p.grad)
        params.append(p)
    params.append(torch.zeros(3, requires_grad=True))  # without a gradient: passed over
    total = torch.nn.utils.clip_grad_norm_(params, max_norm, norm_type, foreach=False)
    case.put("out", total)
    for i, p in enumerate(params[:3]):
        case.put(f"after.in{i}", p.grad)


def make(folder):
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    area = Area("optim", "Optimizers, schedulers, clip_grad_norm_.")
    for part in (optimizers, schedulers, clipping):
        part(area)
    area.write(folder)
