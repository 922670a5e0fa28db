"""Reductions: sum, mean, var, max, min, argmax, argmin."""

import torch

from common import DTYPES, Area, Source, close

NAN, INF = float("nan"), float("inf")
SHAPE = (3, 4, 5)
DIMS = [None, (0,), (1,), (-1,), (0, 2), (1, 2), (0, 1, 2)]


def over(function, dims, keepdim, **extra):
    """function over dims; dims none is every dimension."""
    if dims is None and not keepdim and not extra:
        return function
    every = lambda x: tuple(range(x.dim())) if dims is None else dims
    return lambda x: function(x, dim=every(x), keepdim=keepdim, **extra)


def sums(area):
    for name, function in (("sum", torch.sum), ("mean", torch.mean)):
        for i, dims in enumerate(DIMS):
            for keepdim in (False, True):
                for dtype in ("f32", "f64") if i < 5 and not keepdim else ("f32",):
                    tag = "all" if dims is None else "_".join(map(str, dims))
                    case = f"{name}_{tag}_{'keep_' if keepdim else ''}{dtype}"
                    x = Source(case).normal(*SHAPE, dtype=dtype)
                    area.run(case, name, over(function, dims, keepdim), [x], dim=dims,
                             keepdim=keepdim)
        for dtype in ("f16", "bf16"):
            case = f"{name}_{dtype}"
            x = Source(case).normal(*SHAPE, dtype=dtype)
            area.run(case, name, over(function, (0, 2), False), [x], dim=(0, 2), keepdim=False)
        for layout in ("channels_last", "transposed", "step2", "expanded"):
            x = Source(f"{name}_{layout}").normal(2, 3, 4, 5)
            x = x[:1].expand(2, 3, 4, 5) if layout == "expanded" else x
            area.run(f"{name}_{layout}", name, over(function, (0, 2, 3), False), [x],
                     layout=layout, dim=(0, 2, 3), keepdim=False)
        for case, shape, dims in (("empty_all", (0, 3), None), ("empty_dim", (0, 3), (0,)),
                                  ("empty_out", (0, 3), (1,)), ("0d", (), None)):
            area.run(f"{name}_{case}", name, over(function, dims, False),
                     [torch.full(shape, 1.5)], dim=dims, keepdim=False)
    for dtype in ("i64", "i32", "u8", "bool"):
        x = torch.tensor([[3, 0, 200], [100, 7, 1]]).to(DTYPES[dtype])
        area.run(f"sum_{dtype}", "sum", torch.sum, [x], dim=None, keepdim=False)
        area.run(f"sum_{dtype}_1", "sum", over(torch.sum, (1,), False), [x], dim=(1,), keepdim=False)
    x = torch.tensor([[1.0, NAN, 2], [INF, 1, 2], [INF, -INF, 0]])
    area.run("sum_special", "sum", over(torch.sum, (1,), False), [x], dim=(1,), keepdim=False)
    x = torch.full((4099,), 0.1)
    case = area.run("sum_long", "sum", torch.sum, [x], dim=None, keepdim=False)
    case.put("truth.out", x.double().sum())


def variances(area):
    for correction in (1, 0):
        unbiased = correction == 1
        for i, dims in enumerate(DIMS):
            for dtype in ("f32", "f64"):
                keepdim = i % 2 == 1
                tag = "all" if dims is None else "_".join(map(str, dims))
                case = f"var_{tag}_{'unbiased' if unbiased else 'biased'}_{dtype}"
                x = Source(case).normal(*SHAPE, dtype=dtype, mean=2)
                function = over(torch.var, dims, keepdim, unbiased=unbiased)
                area.run(case, "var", function, [x], dim=dims, keepdim=keepdim, unbiased=unbiased,
                         correction=correction)
                close(function(x), function(x.double()), 1e-5, case)
        x = Source(f"var_channels_last_{correction}").normal(2, 3, 4, 5)
        area.run(f"var_channels_last_{correction}", "var",
                 over(torch.var, (0, 2, 3), False, unbiased=unbiased), [x], layout="channels_last",
                 dim=(0, 2, 3), keepdim=False, unbiased=unbiased, correction=correction)
        area.run(f"var_single_{correction}", "var", over(torch.var, (1,), False, unbiased=unbiased),
                 [torch.ones(2, 1)], grad=False, dim=(1,), keepdim=False, unbiased=unbiased,
                 correction=correction)
    case = "var_offset"
    x = Source(case).normal(2, 500, mean=1e4)
    out = area.run(case, "var", over(torch.var, (1,), False, unbiased=True), [x], dim=(1,),
                   keepdim=False, unbiased=True, correction=1)
    out.put("truth.out", x.double().var(dim=1))


def extremes(area):
    ties = torch.tensor([[1.0, 3, 3, 2], [0, 0, 0, 0], [-1, -5, -1, -5]])
    nans = torch.tensor([[1.0, NAN, 3, NAN], [INF, 1, INF, 0], [-INF, -INF, NAN, 2]])
    for name in ("max", "min"):
        function, several = getattr(torch, name), getattr(torch, f"a{name}")
        arg = getattr(torch, f"arg{name}")
        for dtype in ("f32", "f64", "f16"):
            case = f"{name}_{dtype}"
            x = Source(case).normal(*SHAPE, dtype=dtype)
            area.run(f"{case}_all", name, function, [x], dim=None)
            area.run(f"arg{case}_all", f"arg{name}", arg, [x], grad=False, dim=None, keepdim=False)
            for dim in (0, 1, -1):
                for keepdim in (False, True):
                    tag = f"{case}_{dim}{'_keep' if keepdim else ''}"
                    area.run(tag, name, lambda x: tuple(function(x, dim, keepdim)), [x], dim=dim,
                             keepdim=keepdim)
                    area.run(f"arg{tag}", f"arg{name}", lambda x: arg(x, dim, keepdim), [x],
                             grad=False, dim=dim, keepdim=keepdim)
            area.run(f"a{case}_0_2", f"a{name}", lambda x: several(x, dim=(0, 2)), [x], dim=(0, 2),
                     keepdim=False)
            area.run(f"a{case}_keep", f"a{name}", lambda x: several(x, dim=(1, 2), keepdim=True), [x],
                     dim=(1, 2), keepdim=True)
        for tag, x in (("ties", ties), ("nan", nans)):
            area.run(f"{name}_all_{tag}", name, function, [x], grad_out=1, dim=None)
            area.run(f"arg{name}_all_{tag}", f"arg{name}", arg, [x], grad=False, dim=None,
                     keepdim=False)
            for dim in (0, 1):
                area.run(f"{name}_{dim}_{tag}", name, lambda x: tuple(function(x, dim)), [x],
                         grad_out=1, dim=dim, keepdim=False)
                area.run(f"arg{name}_{dim}_{tag}", f"arg{name}", lambda x: arg(x, dim), [x],
                         grad=False, dim=dim, keepdim=False)
                area.run(f"a{name}_{dim}_{tag}", f"a{name}", lambda x: several(x, dim=dim), [x],
                         grad_out=1, dim=(dim,), keepdim=False)
        for dtype in ("i64", "i32", "u8"):
            x = torch.tensor([[3, 9, 9], [250, 0, 250]]).to(DTYPES[dtype])
            area.run(f"{name}_{dtype}", name, lambda x: tuple(function(x, 1)), [x], dim=1,
                     keepdim=False)
            area.run(f"arg{name}_{dtype}", f"arg{name}", lambda x: arg(x, 1), [x], dim=1,
                     keepdim=False)
        x = Source(f"{name}_layout").normal(2, 3, 4, 5)
        for layout in ("channels_last", "transposed", "step2"):
            area.run(f"{name}_{layout}", name, lambda x: tuple(function(x, 1)), [x], layout=layout,
                     dim=1, keepdim=False)


def make(folder):
    area = Area("ops_reduce", "Reductions over all, one or several dimensions; ties and NaN.")
    for part in (sums, variances, extremes):
        part(area)
    area.write(folder)
