"""The optimizers beside SGD, Adam, AdamW and Adadelta: twenty steps with given gradients. LARS, LAMB
and Lookahead, which PyTorch does not have, are written down here from their papers."""

import math

import torch
from torch import optim
from torch.optim import _muon

from common import DTYPES, Area

STEPS = 20
SHAPES = ((3, 4), (5,))


class Lars(optim.Optimizer):
    def __init__(self, params, **options):
        usual = {"lr": 1.0, "weight_decay": 0.0, "maximize": False, "momentum": 0.9}
        usual |= {"dampening": 0.0, "nesterov": False, "trust_coefficient": 1e-3, "eps": 1e-8}
        super().__init__(params, {**usual, **options})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                g = -p.grad if group["maximize"] else p.grad
                decay, momentum = group["weight_decay"], group["momentum"]
                size, grad_size = p.norm(), g.norm()
                trust = 1.0
                if size > 0 and grad_size > 0:
                    trust = group["trust_coefficient"] * size
                    trust /= grad_size + decay * size + group["eps"]
                step = (g + decay * p) * trust
                if momentum:
                    state = self.state[p]
                    if "momentum_buffer" in state:
                        v = state["momentum_buffer"] * momentum + (1 - group["dampening"]) * step
                    else:
                        v = step.clone()
                    state["momentum_buffer"] = v
                    step = step + momentum * v if group["nesterov"] else v
                p -= group["lr"] * step


class Lamb(optim.Optimizer):
    def __init__(self, params, **options):
        usual = {"lr": 1e-3, "weight_decay": 0.01, "maximize": False}
        usual |= {"betas": (0.9, 0.999), "eps": 1e-6}
        super().__init__(params, {**usual, **options})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                g = -p.grad if group["maximize"] else p.grad
                state = self.state[p]
                if not state:
                    state |= {"step": 0, "exp_avg": torch.zeros_like(p)}
                    state["exp_avg_sq"] = torch.zeros_like(p)
                state["step"] += 1
                state["exp_avg"] = beta1 * state["exp_avg"] + (1 - beta1) * g
                state["exp_avg_sq"] = beta2 * state["exp_avg_sq"] + (1 - beta2) * g * g
                m = state["exp_avg"] / (1 - beta1 ** state["step"])
                v = state["exp_avg_sq"] / (1 - beta2 ** state["step"])
                r = m / (v.sqrt() + group["eps"]) + group["weight_decay"] * p
                trust = p.norm() / r.norm() if p.norm() > 0 and r.norm() > 0 else 1.0
                p -= group["lr"] * trust * r


OPTIMIZERS = {
    "rmsprop": ("RMSprop", {}),
    "rmsprop_all": (
        "RMSprop",
        {"lr": 0.003, "alpha": 0.9, "momentum": 0.8, "centered": True, "weight_decay": 0.05},
    ),
    "rmsprop_centered": ("RMSprop", {"centered": True, "eps": 1e-4, "maximize": True}),
    "rmsprop_momentum": ("RMSprop", {"momentum": 0.9}),
    "adagrad": ("Adagrad", {}),
    "adagrad_all": (
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.02, "initial_accumulator_value": 0.3, "weight_decay": 0.1},
    ),
    "adagrad_maximize": ("Adagrad", {"maximize": True, "eps": 1e-3}),
    "adamax": ("Adamax", {}),
    "adamax_all": (
        "Adamax",
        {"lr": 0.01, "betas": (0.8, 0.95), "weight_decay": 0.1, "maximize": True},
    ),
    "nadam": ("NAdam", {}),
    "nadam_all": ("NAdam", {"lr": 0.01, "momentum_decay": 0.02, "weight_decay": 0.1}),
    "nadam_decoupled": (
        "NAdam",
        {"betas": (0.8, 0.95), "weight_decay": 0.2, "decoupled_weight_decay": True},
    ),
    "nadam_maximize": ("NAdam", {"maximize": True}),
    "radam": ("RAdam", {}),
    "radam_short": ("RAdam", {"lr": 0.02, "betas": (0.8, 0.9), "weight_decay": 0.1}),
    "radam_decoupled": (
        "RAdam",
        {"betas": (0.9, 0.99), "weight_decay": 0.2, "decoupled_weight_decay": True},
    ),
    "radam_maximize": ("RAdam", {"maximize": True}),
    "asgd": ("ASGD", {}),
    "asgd_all": ("ASGD", {"lr": 0.1, "lambd": 0.01, "alpha": 0.5, "t0": 5.0, "weight_decay": 0.1}),
    "asgd_maximize": ("ASGD", {"maximize": True, "t0": 0.0}),
    "rprop": ("Rprop", {}),
    "rprop_all": ("Rprop", {"lr": 0.1, "etas": (0.4, 1.5), "step_sizes": (1e-3, 0.3)}),
    "rprop_maximize": ("Rprop", {"maximize": True}),
    "adafactor": ("Adafactor", {}),
    "adafactor_all": (
        "Adafactor",
        {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-6, 1e-2), "d": 1.5, "weight_decay": 0.1},
    ),
    "adafactor_maximize": ("Adafactor", {"maximize": True}),
    "lars": ("LARS", {}),
    "lars_all": ("LARS", {"lr": 2.0, "weight_decay": 0.1, "nesterov": True}),
    "lars_dampening": ("LARS", {"dampening": 0.3, "trust_coefficient": 0.1, "maximize": True}),
    "lars_plain": ("LARS", {"momentum": 0.0}),
    "lamb": ("LAMB", {}),
    "lamb_all": ("LAMB", {"lr": 0.05, "betas": (0.8, 0.95), "weight_decay": 0.3}),
    "lamb_maximize": ("LAMB", {"weight_decay": 0.0, "maximize": True}),
    "muon": ("Muon", {}),
    "muon_all": (
        "Muon",
        {"lr": 0.05, "momentum": 0.8, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
    ),
    "muon_spectral": (
        "Muon",
        {"ns_steps": 3, "weight_decay": 0.3, "adjust_lr_fn": "spectral_unclamped"},
    ),
}
OWN = {"LARS": Lars, "LAMB": Lamb}


def shown(name, value):
    """The names that lucid has for what PyTorch gives as pairs."""
    pairs = {
        "betas": ("beta1", "beta2"),
        "etas": ("eta_minus", "eta_plus"),
        "step_sizes": ("step_min", "step_max"),
        "eps": ("eps1", "eps2"),
        "ns_coefficients": ("ns_a", "ns_b", "ns_c"),
    }
    if isinstance(value, tuple):
        return {k: -1.0 if v is None else v for k, v in zip(pairs[name], value)}
    if name == "adjust_lr_fn":
        names = (None, "match_rms_adamw", "spectral_unclamped")
        return {"adjust_lr": names.index(value)}
    left_out = ("foreach", "capturable", "differentiable", "fused", "params")
    return {} if name in left_out or value is None else {name: value}


def optimizer_case(area, name, kind, options, dtype, lookahead=None):
    case = area.case(name, kind, dtype)
    shapes = ((3, 4), (5, 2)) if kind == "Muon" else SHAPES
    params = [case.source.normal(*s, dtype=dtype).requires_grad_() for s in shapes]
    for i, p in enumerate(params):
        case.put(f"param.{i}", p)
    one = {} if kind in OWN or kind == "Muon" else {"foreach": False}
    optimizer = (OWN.get(kind) or getattr(optim, kind))(params, **one, **options)
    for key, value in optimizer.param_groups[0].items():
        case.pairs.update(shown(key, value))
    case.pairs["steps"] = STEPS
    slow = [p.detach().clone() for p in params]
    if lookahead:
        case.pairs["lookahead"] = list(lookahead)
    grads = [case.source.normal(STEPS, *s, dtype=dtype) for s in shapes]
    after = [[] for _ in params]
    for step in range(STEPS):
        for i, p in enumerate(params):
            p.grad = grads[i][step].clone()
        optimizer.step()
        if lookahead and (step + 1) % lookahead[0] == 0:
            for s, p in zip(slow, params):
                s += lookahead[1] * (p.detach() - s)
                p.data.copy_(s)
        for i, p in enumerate(params):
            after[i].append(p.detach().clone())
    for i, p in enumerate(params):
        case.put(f"grad.{i}", grads[i])
        case.put(f"after.param.{i}", torch.stack(after[i]))
        for key, value in optimizer.state[p].items():
            if value is not None:
                case.put(f"state.{i}.{key}", torch.as_tensor(value))


def newton_schulz(grad, ns_coefficients, ns_steps, eps):
    """PyTorch's iteration, in the dtype of the gradient instead of bfloat16."""
    a, b, c = ns_coefficients
    tall = grad.size(0) > grad.size(1)
    x = grad.T if tall else grad
    x = x / x.norm().clamp(min=eps)
    for _ in range(ns_steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


# ---- L-BFGS: problems that the test computes too ----


def rosenbrock(p):
    x, y = p[0]
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def bowl(p):
    weights = torch.arange(1, 7, dtype=p[0].dtype).reshape(2, 3)
    flat = (weights * (p[0] - 0.5) ** 2).sum()
    return flat + (p[1] ** 4).sum() + 0.1 * (p[1] ** 2).sum()


STARTS = {"rosenbrock": [[-1.2, 1.0]], "bowl": [[[1.0, -2.0, 3.0], [0.5, 1.5, -1.0]], [2.0, -1.0]]}
LBFGS = {
    "rosenbrock_wolfe": ("rosenbrock", {"line_search_fn": "strong_wolfe", "max_iter": 4}),
    "rosenbrock_short": (
        "rosenbrock",
        {"line_search_fn": "strong_wolfe", "max_iter": 7, "history_size": 3},
    ),
    "bowl_fixed": ("bowl", {"lr": 0.1, "max_iter": 5}),
    "bowl_wolfe": ("bowl", {"line_search_fn": "strong_wolfe", "max_eval": 6}),
    "bowl_maximize": ("bowl", {"lr": 0.1, "max_iter": 5, "maximize": True}),
}


def lbfgs(area):
    for name, (problem, options) in LBFGS.items():
        params = [torch.tensor(s, dtype=torch.float64, requires_grad=True) for s in STARTS[problem]]
        sign = -1 if options.get("maximize") else 1
        optimizer = optim.LBFGS(params, **options)
        case = area.case(f"lbfgs_{name}", "LBFGS", "f64", problem=problem)
        for key, value in optimizer.param_groups[0].items():
            if key == "line_search_fn":
                case.pairs["strong_wolfe"] = value is not None
            elif key != "params":
                case.pairs[key] = value
        for i, p in enumerate(params):
            case.put(f"param.{i}", p)
        losses, after = [], [[] for _ in params]

        def closure():
            optimizer.zero_grad()
            loss = sign * (rosenbrock if problem == "rosenbrock" else bowl)(params)
            loss.backward()
            return loss

        for _ in range(6):
            losses.append(float(optimizer.step(closure)))
            for i, p in enumerate(params):
                after[i].append(p.detach().clone())
        case.put("loss", torch.tensor(losses, dtype=torch.float64))
        for i in range(len(params)):
            case.put(f"after.param.{i}", torch.stack(after[i]))
        state = optimizer.state[params[0]]
        assert not math.isnan(losses[-1])
        for key in ("func_evals", "n_iter", "t", "H_diag", "prev_loss"):
            case.put(f"state.0.{key}", torch.as_tensor(state[key], dtype=torch.float64))


def make(folder):
    area = Area("optimizers", "Twenty steps of each optimizer that is not in the area optim.")
    _muon._zeropower_via_newtonschulz = newton_schulz
    for dtype in ("f32", "f64"):
        # mu_product, eta and mu are of the default dtype: in float32 they would limit float64.
        torch.set_default_dtype(DTYPES["f64"])
        for name, (kind, options) in OPTIMIZERS.items():
            optimizer_case(area, f"{name}_{dtype}", kind, options, dtype)
        optimizer_case(area, f"lookahead_{dtype}", "RMSprop", {"lr": 0.01}, dtype, (3, 0.4))
    lbfgs(area)
    torch.set_default_dtype(torch.float32)
    area.write(folder)
