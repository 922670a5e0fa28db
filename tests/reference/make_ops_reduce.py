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
                    area.run(
                        case, name, over(function, dims, keepdim), [x], dim=dims, keepdim=keepdim
                    )
        for dtype in ("f16", "bf16"):
            case = f"{name}_{dtype}"
            x = Source(case).normal(*SHAPE, dtype=dtype)
            area.run(case, name, over(function, (0, 2), False), [x], dim=(0, 2), keepdim=False)
        for layout in ("channels_last", "transposed", "step2", "expanded"):
            x = Source(f"{name}_{layout}").normal(2, 3, 4, 5)
            x = x[:1].expand(2, 3, 4, 5) if layout == "expanded" else x
            area.run(
                f"{name}_{layout}",
                name,
                over(function, (0, 2, 3), False),
                [x],
                layout=layout,
                dim=(0, 2, 3),
                keepdim=False,
            )
        for case, shape, dims in (
            ("empty_all", (0, 3), None),
            ("empty_dim", (0, 3), (0,)),
            ("empty_out", (0, 3), (1,)),
            ("0d", (), None),
        ):
            area.run(
                f"{name}_{case}",
                name,
                over(function, dims, False),
                [torch.full(shape, 1.5)],
                dim=dims,
                keepdim=False,
            )
    for dtype in ("i64", "i32", "u8", "bool"):
        x = torch.tensor([[3, 0, 200], [100, 7, 1]]).to(DTYPES[dtype])
        area.run(f"sum_{dtype}", "sum", torch.sum, [x], dim=None, keepdim=False)
        area.run(
            f"sum_{dtype}_1", "sum", over(torch.sum, (1,), False), [x], dim=(1,), keepdim=False
        )
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
                area.run(
                    case,
                    "var",
                    function,
                    [x],
                    dim=dims,
                    keepdim=keepdim,
                    unbiased=unbiased,
                    correction=correction,
                )
                close(function(x), function(x.double()), 1e-5, case)
        x = Source(f"var_channels_last_{correction}").normal(2, 3, 4, 5)
        area.run(
            f"var_channels_last_{correction}",
            "var",
            over(torch.var, (0, 2, 3), False, unbiased=unbiased),
            [x],
            layout="channels_last",
            dim=(0, 2, 3),
            keepdim=False,
            unbiased=unbiased,
            correction=correction,
        )
        area.run(
            f"var_single_{correction}",
            "var",
            over(torch.var, (1,), False, unbiased=unbiased),
            [torch.ones(2, 1)],
            grad=False,
            dim=(1,),
            keepdim=False,
            unbiased=unbiased,
            correction=correction,
        )
    case = "var_offset"
    x = Source(case).normal(2, 500, mean=1e4)
    out = area.run(
        case,
        "var",
        over(torch.var, (1,), False, unbiased=True),
        [x],
        dim=(1,),
        keepdim=False,
        unbiased=True,
        correction=1,
    )
    x = x.double().requires_grad_()
    y = x.var(dim=1)
    y.backward(out.get("grad_out").double())
    out.put("truth.out", y)
    out.put("truth.grad_in0", x.grad)


TIES = torch.tensor([[1.0, 3, 3, 2], [0, 0, 0, 0], [-1, -5, -1, -5]])
NANS = torch.tensor([[1.0, NAN, 3, NAN], [INF, 1, INF, 0], [-INF, -INF, NAN, 2]])


def both(name, dim, keepdim=False):
    """max or min over one dim: values and indices."""
    return lambda x: tuple(getattr(torch, name)(x, dim, keepdim))


def extreme_all(area, name, tag, x, **options):
    """The largest of all values, and where it is."""
    arg = getattr(torch, f"arg{name}")
    area.run(f"{name}_{tag}", name, getattr(torch, name), [x], dim=None, **options)
    area.run(f"arg{name}_{tag}", f"arg{name}", arg, [x], grad=False, dim=None, keepdim=False)


def extreme_dim(area, name, tag, x, dim, keepdim=False, **options):
    """The largest along one dimension, and where it is."""
    arg = getattr(torch, f"arg{name}")
    attributes = {"dim": dim, "keepdim": keepdim}
    area.run(f"{name}_{tag}", name, both(name, dim, keepdim), [x], **attributes, **options)
    area.run(
        f"arg{name}_{tag}",
        f"arg{name}",
        lambda x: arg(x, dim, keepdim),
        [x],
        grad=False,
        **attributes,
    )


def extreme_dims(area, name, tag, x, dims, keepdim=False, **options):
    """amax, amin: gradients are shared among ties."""
    several = getattr(torch, f"a{name}")
    function = lambda x: several(x, dim=dims, keepdim=keepdim)
    area.run(f"a{name}_{tag}", f"a{name}", function, [x], dim=dims, keepdim=keepdim, **options)


def extremes(area):
    for name in ("max", "min"):
        for dtype in ("f32", "f64", "f16"):
            x = Source(f"{name}_{dtype}").normal(*SHAPE, dtype=dtype)
            extreme_all(area, name, f"{dtype}_all", x)
            for dim in (0, 1, -1):
                extreme_dim(area, name, f"{dtype}_{dim}", x, dim)
                extreme_dim(area, name, f"{dtype}_{dim}_keep", x, dim, True)
            extreme_dims(area, name, f"{dtype}_0_2", x, (0, 2))
            extreme_dims(area, name, f"{dtype}_keep", x, (1, 2), True)
        for tag, x in (("ties", TIES), ("nan", NANS)):
            extreme_all(area, name, f"all_{tag}", x, grad_out=1)
            for dim in (0, 1):
                extreme_dim(area, name, f"{dim}_{tag}", x, dim, grad_out=1)
                extreme_dims(area, name, f"{dim}_{tag}", x, (dim,), grad_out=1)
        for dtype in ("i64", "i32", "u8"):
            x = torch.tensor([[3, 9, 9], [250, 0, 250]]).to(DTYPES[dtype])
            extreme_dim(area, name, dtype, x, 1)
        x = Source(f"{name}_layout").normal(2, 3, 4, 5)
        for layout in ("channels_last", "transposed", "step2"):
            area.run(
                f"{name}_{layout}", name, both(name, 1), [x], layout=layout, dim=1, keepdim=False
            )


def make(folder):
    area = Area("ops_reduce", "Reductions over all, one or several dimensions; ties and NaN.")
    for part in (sums, variances, extremes):
        part(area)
    area.write(folder)
