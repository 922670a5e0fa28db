"""Averages of parameters: AveragedModel (SWA and EMA), update_bn, clip_grad_value_."""

import torch
from torch import nn
from torch.optim import swa_utils

from common import Area

STEPS = 6


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def averaged_case(area, name, decay, use_buffers):
    case = area.case(name, "AveragedModel", "f64", use_buffers=use_buffers, steps=STEPS)
    if decay is not None:
        case.pairs["decay"] = decay
    model = net()
    average_fn = swa_utils.get_ema_multi_avg_fn(decay) if decay is not None else None
    averaged = swa_utils.AveragedModel(model, multi_avg_fn=average_fn, use_buffers=use_buffers)
    for k in range(STEPS):
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                value.copy_(case.source.normal(*value.shape, dtype="f64").abs())
            else:
                value.fill_(3 * k)
            case.put(f"s{k}.{key}", value)
        averaged.update_parameters(model)
        for key, value in averaged.module.state_dict().items():
            # PyTorch averages whole numbers too, and cuts them; lucid copies them.
            if value.is_floating_point() or not use_buffers:
                case.put(f"after{k}.{key}", value)


def update_bn(area):
    case = area.case("update_bn", "update_bn", "f64", batch_size=5)
    model = net()
    for key, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(case.source.normal(*value.shape, dtype="f64").abs())
        case.put(f"before.{key}", value)
    x = case.source.normal(23, 3, dtype="f64")
    case.put("x", x)
    swa_utils.update_bn(torch.split(x, 5), model)
    for key, value in model.state_dict().items():
        case.put(f"after.{key}", value)


def make(folder):
    area = Area("averaged", "Averages of parameters, and running statistics for them.")
    averaged_case(area, "swa", None, False)
    averaged_case(area, "swa_buffers", None, True)
    averaged_case(area, "ema", 0.9, False)
    averaged_case(area, "ema_buffers", 0.75, True)
    update_bn(area)
    area.write(folder)
