"""Matrix products, softmax, joining, indexing and views."""

import torch

from common import DTYPES, Area, Source, close

NAN, INF = float("nan"), float("inf")


def matmul(area):
    shapes = [
        ((4,), (4,)),
        ((4,), (4, 3)),
        ((2, 4), (4,)),
        ((2, 4), (4, 3)),
        ((5, 2, 4), (4,)),
        ((4,), (5, 4, 3)),
        ((5, 2, 4), (4, 3)),
        ((2, 4), (5, 4, 3)),
        ((5, 2, 4), (5, 4, 3)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((1, 2, 4), (5, 4, 3)),
        ((0, 4), (4, 3)),
        ((2, 0), (0, 3)),
        ((1, 1), (1, 1)),
        ((17, 33), (33, 9)),
        ((3, 65), (65, 70)),
    ]
    for a, b in shapes:
        for dtype in ("f32", "f64"):
            if dtype == "f64" and max(a) > 40:
                continue
            case = f"matmul_{'x'.join(map(str, a))}_{'x'.join(map(str, b))}_{dtype}"
            source = Source(case)
            x, y = source.normal(*a, dtype=dtype), source.normal(*b, dtype=dtype)
            area.run(case, "matmul", torch.matmul, [x, y])
            close(x @ y, x.double() @ y.double(), 1e-4 if dtype == "f32" else 1e-12, case)
    for dtype in ("f16", "bf16"):
        source = Source(f"matmul_{dtype}")
        area.run(
            f"matmul_{dtype}",
            "matmul",
            torch.matmul,
            [source.normal(3, 8, dtype=dtype), source.normal(8, 5, dtype=dtype)],
        )
    for layout in ("transposed", "step2"):
        source = Source(f"matmul_{layout}")
        area.run(
            f"matmul_{layout}",
            "matmul",
            torch.matmul,
            [source.normal(6, 7), source.normal(7, 5)],
            layout=layout,
        )
        area.run(
            f"matmul_batch_{layout}",
            "matmul",
            torch.matmul,
            [source.normal(3, 6, 7), source.normal(3, 7, 5)],
            layout=layout,
        )


def softmax(area):
    special = torch.tensor(
        [
            [0.0, 0, 0],
            [1e4, 1e4 - 1, 0],
            [-INF, 0, 1],
            [INF, 0, 1],
            [-INF, -INF, -INF],
            [NAN, 0, 1],
            [-1e4, -1e4, -1e4],
        ]
    )
    for name in ("softmax", "log_softmax"):
        function = getattr(torch, name)
        for dtype in ("f32", "f64", "f16", "bf16"):
            for dim in (0, 1, -1):
                case = f"{name}_{dim}_{dtype}"
                x = Source(case).normal(3, 4, 5, dtype=dtype, std=3)
                area.run(case, name, lambda x: function(x, dim), [x], dim=dim)
        area.run(f"{name}_special", name, lambda x: function(x, 1), [special], grad_out=1, dim=1)
        area.run(f"{name}_0d", name, lambda x: function(x, 0), [torch.tensor(2.0)], dim=0)
        area.run(f"{name}_empty", name, lambda x: function(x, 1), [torch.zeros(0, 3)], dim=1)
        x = Source(f"{name}_layout").normal(2, 3, 4, 5)
        for layout in ("channels_last", "transposed", "step2"):
            area.run(f"{name}_{layout}", name, lambda x: function(x, 1), [x], layout=layout, dim=1)


def joining(area):
    for dtype in ("f32", "f64", "f16"):
        for dim, shapes in (
            (0, [(2, 3), (1, 3), (4, 3)]),
            (1, [(2, 3), (2, 1)]),
            (-1, [(2, 2, 3), (2, 2, 2), (2, 2, 0)]),
        ):
            case = f"cat_{dim}_{dtype}"
            source = Source(case)
            inputs = [source.normal(*s, dtype=dtype) for s in shapes]
            area.run(case, "cat", lambda *x: torch.cat(x, dim), inputs, dim=dim)
        for dim in (0, 1, 2, -1):
            case = f"stack_{dim}_{dtype}"
            source = Source(case)
            inputs = [source.normal(2, 3, dtype=dtype) for _ in range(3)]
            area.run(case, "stack", lambda *x: torch.stack(x, dim), inputs, dim=dim)
    source = Source("cat_mixed")
    area.run(
        "cat_mixed",
        "cat",
        lambda *x: torch.cat(x, 0),
        [source.integers(3), source.normal(2), source.normal(2, dtype="f64")],
        dtype="mixed",
        dim=0,
    )
    area.run(
        "cat_channels_last",
        "cat",
        lambda *x: torch.cat(x, 1),
        [source.normal(2, 3, 4, 5), source.normal(2, 2, 4, 5)],
        layout="channels_last",
        dim=1,
    )
    area.run(
        "stack_0d",
        "stack",
        lambda *x: torch.stack(x, 0),
        [torch.tensor(1.5), torch.tensor(-2.0)],
        dim=0,
    )


def indexing(area):
    for dtype in ("f32", "f64", "i64"):
        for dim, index in ((0, [2, 0, 2, 2]), (1, [3, 1]), (-1, [0, 4, 4]), (1, [])):
            case = f"index_select_{dim}_{len(index)}_{dtype}"
            x = Source(case).normal(3, 4, 5, dtype="f64", std=4).to(DTYPES[dtype])
            area.run(
                case,
                "index_select",
                lambda x, i: torch.index_select(x, dim, i),
                [x, torch.tensor(index, dtype=torch.int64)],
                dim=dim,
            )
        for dim, shape in ((0, (2, 4, 5)), (1, (3, 7, 2)), (2, (1, 4, 6))):
            case = f"gather_{dim}_{dtype}"
            source = Source(case)
            x = source.normal(3, 4, 5, dtype="f64", std=4).to(DTYPES[dtype])
            index = source.integers(*shape, low=0, high=x.shape[dim])
            area.run(case, "gather", lambda x, i: torch.gather(x, dim, i), [x, index], dim=dim)


def slices(area):
    """op=slice takes dim, start, end, step; op=slices takes one start:end:step a dimension."""
    for dim, start, end, step in (
        (0, 1, 7, 2),
        (1, 0, 6, 3),
        (1, 4, 2, 1),
        (0, -5, -1, 2),
        (2, None, None, 2),
        (1, 2, 100, 1),
        (2, -100, 3, 1),
    ):
        x = Source(f"slice_{dim}_{start}_{end}_{step}").normal(8, 6, 5)
        cut = [slice(None)] * 3
        cut[dim] = slice(start, end, step)
        area.run(
            f"slice_{dim}_{start}_{end}_{step}".lower(),
            "slice",
            lambda x: x[tuple(cut)],
            [x],
            dim=dim,
            start=start,
            end=end,
            step=step,
        )
    for i, cuts in enumerate(
        (((1, 8, 3), (0, 6, 2), (1, 4, 1)), ((0, 8, 1), (5, 6, 1), (0, 5, 4)))
    ):
        x = Source(f"slices_{i}").normal(8, 6, 5)
        area.run(
            f"slices_{i}",
            "slices",
            lambda x: x[tuple(slice(*c) for c in cuts)],
            [x],
            slices=",".join(":".join(map(str, c)) for c in cuts),
        )


def views(area):
    table = [
        ("reshape", (2, 3, 4), {"shape": (6, 4)}, lambda x: x.reshape(6, 4)),
        ("reshape", (2, 3, 4), {"shape": (-1, 2)}, lambda x: x.reshape(-1, 2)),
        ("view", (2, 3, 4), {"shape": (4, 3, 2)}, lambda x: x.view(4, 3, 2)),
        ("permute", (2, 3, 4), {"dims": (2, 0, 1)}, lambda x: x.permute(2, 0, 1)),
        ("permute", (2, 3, 4), {"dims": (-1, -3, -2)}, lambda x: x.permute(-1, -3, -2)),
        ("transpose", (2, 3, 4), {"dim0": 0, "dim1": -1}, lambda x: x.transpose(0, -1)),
        ("squeeze", (2, 1, 3, 1), {"dim": None}, lambda x: x.squeeze()),
        ("squeeze", (2, 1, 3, 1), {"dim": 1}, lambda x: x.squeeze(1)),
        ("squeeze", (2, 1, 3, 1), {"dim": 0}, lambda x: x.squeeze(0)),
        ("unsqueeze", (2, 3), {"dim": 1}, lambda x: x.unsqueeze(1)),
        ("unsqueeze", (2, 3), {"dim": -1}, lambda x: x.unsqueeze(-1)),
        ("expand", (2, 1, 3), {"size": (4, 2, 5, 3)}, lambda x: x.expand(4, 2, 5, 3)),
        ("expand", (2, 1, 3), {"size": (-1, 4, -1)}, lambda x: x.expand(-1, 4, -1)),
        ("narrow", (5, 6), {"dim": 1, "start": 2, "length": 3}, lambda x: x.narrow(1, 2, 3)),
        ("narrow", (5, 6), {"dim": 0, "start": 5, "length": 0}, lambda x: x.narrow(0, 5, 0)),
        ("select", (5, 6, 2), {"dim": 1, "index": 4}, lambda x: x.select(1, 4)),
        ("select", (5, 6, 2), {"dim": -1, "index": -2}, lambda x: x.select(-1, -2)),
        ("flatten", (2, 3, 4, 5), {"start_dim": 1, "end_dim": -1}, lambda x: x.flatten(1)),
        ("flatten", (2, 3, 4, 5), {"start_dim": 0, "end_dim": -1}, lambda x: x.flatten()),
        ("flatten", (2, 3, 4, 5), {"start_dim": 1, "end_dim": 2}, lambda x: x.flatten(1, 2)),
        ("flatten", (), {"start_dim": 0, "end_dim": -1}, lambda x: x.flatten()),
    ]
    for i, (op, shape, attributes, function) in enumerate(table):
        case = f"{op}_{i}"
        area.run(case, op, function, [Source(case).normal(*shape)], **attributes)
        if op != "view" and len(shape) > 1:
            area.run(
                f"{case}_step2",
                op,
                function,
                [Source(case).normal(*shape)],
                layout="step2",
                **attributes,
            )


def make(folder):
    area = Area("ops_matrix", "Matrix products, softmax, joining, indexing, slices and views.")
    for part in (matmul, softmax, joining, indexing, slices, views):
        part(area)
    area.write(folder)
