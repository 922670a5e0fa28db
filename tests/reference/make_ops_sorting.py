"""Sorting: sort, argsort, topk."""

import torch

from common import DTYPES, Area, Source

NAN, INF = float("nan"), float("inf")
SPECIAL = torch.tensor(
    [[3.0, NAN, -0.0, 0.0, INF, -INF, NAN, -0.0, 1.0], [0.0, 1, -0.0, 1, NAN, 0, -1, INF, -1]]
)


def sort(area, tag, x, dim, **options):
    """Up and down, values and indices; always stable, as lucid's is."""
    for descending in (False, True):
        name = f"{tag}_{'down' if descending else 'up'}"
        function = lambda x: tuple(torch.sort(x, dim=dim, descending=descending, stable=True))
        attributes = {"dim": dim, "descending": descending}
        area.run(f"sort_{name}", "sort", function, [x], **attributes, **options)
        function = lambda x: torch.argsort(x, dim=dim, descending=descending, stable=True)
        plain = {key: value for key, value in options.items() if key != "grad_out"}
        area.run(f"argsort_{name}", "argsort", function, [x], grad=False, **attributes, **plain)


def topk(area, tag, x, k, dim, **options):
    """Largest and smallest. x has no equals: PyTorch does not say which of them it takes."""
    for largest in (True, False):
        name = f"topk_{tag}_{'largest' if largest else 'smallest'}"
        function = lambda x: tuple(torch.topk(x, k, dim, largest))
        area.run(name, "topk", function, [x], k=k, dim=dim, largest=largest, **options)


def distinct(name, *shape, dtype="f32"):
    """Numbers no two of which are equal, in any dtype that can hold as many."""
    n = torch.Size(shape).numel()
    order = torch.randperm(n, generator=Source(name).generator)
    first = 0 if dtype == "u8" else -(n // 2)
    return (order + first).reshape(shape).to(DTYPES[dtype])


def sorts(area):
    for dtype in ("f32", "f64", "f16", "bf16"):
        x = Source(f"sort_{dtype}").normal(3, 4, 5, dtype=dtype)
        for dim in (0, 1, -1):
            sort(area, f"{dtype}_{dim}", x, dim)
        sort(area, f"{dtype}_special", SPECIAL.to(DTYPES[dtype]), 1, grad_out=1)
        x = Source(f"sort_{dtype}_long").normal(2, 130, dtype=dtype)
        sort(area, f"{dtype}_long", x, 1)
    for dtype in ("i64", "i32", "u8"):
        x = Source(f"sort_{dtype}").integers(4, 90, dtype=dtype, low=0, high=40)
        sort(area, dtype, x if dtype == "u8" else x - 20, 1)
        sort(area, f"{dtype}_0", x, 0)
    x = Source("sort_bool").integers(3, 70, low=0, high=2).to(torch.bool)
    sort(area, "bool", x, -1)
    x = Source("sort_layout").normal(2, 3, 4, 5)
    for layout in ("channels_last", "transposed", "step2", "expanded"):
        y = x[:1].expand(2, 3, 4, 5) if layout == "expanded" else x
        for dim in (1, 3):
            sort(area, f"{layout}_{dim}", y, dim, layout=layout)
    sort(area, "0d", torch.tensor(1.5), 0)
    sort(area, "empty", torch.zeros(0, 3), 0)
    sort(area, "empty_1", torch.zeros(0, 3), 1)


def topks(area):
    for dtype in ("f32", "f64", "f16", "bf16"):
        for k, shape, dim in ((1, (3, 7), 1), (3, (6, 4), 0), (5, (2, 5, 3), -2), (40, (2, 90), 1)):
            tag = f"{dtype}_{k}"
            topk(area, tag, distinct(f"topk_{tag}", *shape, dtype=dtype), k, dim)
    for dtype in ("i64", "i32", "u8"):
        topk(area, dtype, distinct(f"topk_{dtype}", 3, 80, dtype=dtype), 9, 1)
    x = torch.tensor([2.0, NAN, -INF, INF, -1.0])
    for k in (1, 2, 5):
        topk(area, f"special_{k}", x, k, 0)
    x = Source("topk_layout").normal(2, 3, 4, 5)
    for layout in ("channels_last", "transposed", "step2"):
        topk(area, layout, x, 2, 1, layout=layout)
    topk(area, "0d", torch.tensor(1.5), 1, 0)
    topk(area, "none", torch.ones(2, 3), 0, 1)


def make(folder):
    area = Area("ops_sorting", "sort, argsort and topk: ties, NaN, zeros of both signs.")
    sorts(area)
    topks(area)
    area.write(folder)
