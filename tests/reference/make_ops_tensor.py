"""Reductions, scans, order statistics, parts, turns, diagonals, searches."""

import torch

from common import DTYPES, Area, Source

NAN, INF = float("nan"), float("inf")
FLOATING = ("f32", "f64", "f16", "bf16")


def reductions(area):
    plain = {
        "logsumexp": lambda x, d, k: torch.logsumexp(x, d, k),
        "nansum": lambda x, d, k: torch.nansum(x, d, k),
        "nanmean": lambda x, d, k: torch.nanmean(x, d, k),
        "any": lambda x, d, k: torch.any(x, d, k),
        "all": lambda x, d, k: torch.all(x, d, k),
        "amax": lambda x, d, k: torch.amax(x, d, k),
    }
    for op, f in plain.items():
        for dtype in ("f32", "f64", "f16"):
            for dim, keep in (([0], False), ([0, 2], True), ([-1], False)):
                case = f"{op}_{dtype}_{'_'.join(map(str, dim))}"
                x = Source(case).normal(3, 4, 5, dtype=dtype)
                if op in ("any", "all", "nansum", "nanmean"):
                    x[x.abs() < 0.4] = NAN if op[0] == "n" else 0
                    x[0] = 1
                grad = op not in ("any", "all")
                function = lambda x: f(x, dim, keep)
                area.run(case, op, function, [x], grad=grad, dim=dim, keepdim=keep)
    for dtype in ("i64", "i32", "u8", "bool"):
        x = Source(f"truth_{dtype}").integers(3, 4, low=0, high=2).to(DTYPES[dtype])
        x[1] = 1
        for op in ("any", "all", "count_nonzero", "prod", "cumsum", "cumprod"):
            f = getattr(torch, op)
            area.run(f"{op}_{dtype}", op, lambda x: f(x, 1), [x], grad=False, dim=[1][0])
    for op in ("any", "all", "prod"):
        area.run(f"{op}_empty", op, getattr(torch, op), [torch.zeros(0, 3)], dim=None)
    area.run("count_nonzero_f32", "count_nonzero", torch.count_nonzero, [SPECIAL], dim=None)
    x = torch.tensor([[-INF, -INF, 1.0], [-INF, -INF, -INF], [INF, 1, 2], [NAN, 1, 2]])
    area.run("logsumexp_special", "logsumexp", lambda x: torch.logsumexp(x, 1), [x], grad=False, dim=1)
    for dtype in FLOATING:
        for dim in (0, 1, 2):
            case = f"prod_{dtype}_{dim}"
            x = Source(case).uniform(3, 4, 5, dtype=dtype, low=0.5, high=1.5)
            area.run(case, "prod", lambda x: torch.prod(x, dim), [x], dim=dim)
        x = Source(f"prod_{dtype}").uniform(7, dtype=dtype, low=0.5, high=1.5)
        area.run(f"prod_{dtype}", "prod", torch.prod, [x], dim=None)
    for zeros in (1, 2):
        x = Source("prod_zeros").uniform(2, 5)
        x[0, 1] = 0
        x[0, zeros] = 0
        area.run(f"prod_zeros_{zeros}", "prod", lambda x: torch.prod(x, 1), [x], dim=1)


SPECIAL = torch.tensor([[3.0, NAN, -0.0, 0.0, INF, -INF], [0.0, 1, -0.0, 1, 2, 0]])


def spreads(area):
    for dtype in FLOATING:
        for dim, keep, correction in (([0], False, 1), ([0, 2], True, 0), ([1, 2], False, 2)):
            tag = f"{dtype}_{'_'.join(map(str, dim))}"
            x = Source(tag).normal(3, 4, 5, dtype=dtype)
            options = {"dim": dim, "correction": correction, "keepdim": keep}
            for op in ("std", "std_mean", "var_mean"):
                f = getattr(torch, op)
                area.run(f"{op}_{tag}", op, lambda x: f(x, **options), [x], **options)
    x = torch.ones(2, 3)
    area.run("std_constant", "std", lambda x: torch.std(x, 1), [x], dim=1)
    x = Source("std_all").normal(2, 3)
    area.run("std_all", "std", torch.std, [x], dim=None)


def norms(area):
    for dtype in ("f32", "f64"):
        for p in (2.0, 1.0, 0.0, INF, -INF, 3.0, 0.5, -1.0):
            for dim, keep in ((None, False), ([1], True), ([0, 2], False)):
                case = f"norm_{dtype}_{p}_{'all' if dim is None else len(dim)}"
                x = Source(case).normal(3, 4, 2, dtype=dtype)
                function = lambda x: torch.linalg.vector_norm(x, p, dim, keep)
                area.run(case, "norm", function, [x], grad=p != 0, p=p, dim=dim, keepdim=keep)
    for p in (2.0, 1.0, 3.0, 1.5):
        x = torch.zeros(2, 3)
        x[1, 0] = 2
        function = lambda x: torch.linalg.vector_norm(x, p, 1)
        area.run(f"norm_zero_{p}", "norm", function, [x], p=p, dim=1)


def orders(area):
    def both(name, op, function, x, **attributes):
        area.run(name, op, lambda x: tuple(function(x)), [x], **attributes)

    for dtype in ("f32", "f64", "f16", "i64", "u8"):
        x = torch.randperm(60, generator=Source(f"order_{dtype}").generator)
        x = x.reshape(3, 4, 5).to(DTYPES[dtype])
        for dim, keep in ((0, False), (1, True), (-1, False)):
            for op in ("max", "min", "median", "nanmedian"):
                f = getattr(torch, op)
                name = f"{op}_dim_{dtype}_{dim}"
                both(name, f"{op}_dim", lambda x: f(x, dim, keep), x, dim=dim, keepdim=keep)
            for k in (1, 3):
                name = f"kthvalue_{dtype}_{dim}_{k}"
                function = lambda x: torch.kthvalue(x, k, dim, keep)
                both(name, "kthvalue", function, x, k=k, dim=dim, keepdim=keep)
        for op in ("median", "nanmedian"):
            area.run(f"{op}_{dtype}", op, getattr(torch, op), [x])
    x = torch.tensor([[1.0, NAN, 3], [NAN, NAN, NAN], [2, 1, 3], [5, NAN, NAN]])
    for op in ("median", "nanmedian"):
        f = getattr(torch, op)
        area.run(f"{op}_dim_nan", f"{op}_dim", lambda x: f(x, 1)[0], [x], dim=1, grad=False)
        area.run(f"{op}_nan", op, f, [x], grad=False)
    for dtype in ("f32", "i64"):
        x = Source(f"mode_{dtype}").integers(4, 9, low=0, high=4).to(DTYPES[dtype])
        for dim in (0, 1):
            function = lambda x: torch.mode(x, dim)[0]
            area.run(f"mode_{dtype}_{dim}", "mode", function, [x], dim=dim, grad=False)
    for dim in ([0], [0, 1]):
        x = Source("aminmax").normal(3, 4)
        function = lambda x: (torch.amin(x, dim), torch.amax(x, dim))
        area.run(f"aminmax_{len(dim)}", "aminmax", function, [x], dim=dim)


def scans(area):
    for dtype in FLOATING:
        for dim in (0, 1, 2):
            x = Source(f"scan_{dtype}").normal(3, 4, 21, dtype=dtype)
            for op in ("cumsum", "logcumsumexp"):
                f = getattr(torch, op)
                area.run(f"{op}_{dtype}_{dim}", op, lambda x: f(x, dim), [x], dim=dim)
            y = Source(f"scan_{dtype}").uniform(3, 4, 5, dtype=dtype, low=0.6, high=1.4)
            area.run(f"cumprod_{dtype}_{dim}", "cumprod", lambda x: torch.cumprod(x, dim), [y], dim=dim)
            z = torch.round(x * 2)
            for op in ("cummax", "cummin"):
                f = getattr(torch, op)
                area.run(f"{op}_{dtype}_{dim}", op, lambda x: tuple(f(x, dim)), [z], dim=dim)
    for layout in ("channels_last", "transposed", "step2"):
        x = Source("scan_layout").normal(2, 3, 4, 5)
        for dim in (1, 3):
            area.run(f"cumsum_{layout}_{dim}", "cumsum", lambda x: torch.cumsum(x, dim), [x], layout=layout, dim=dim)
            function = lambda x: tuple(torch.cummax(x, dim))
            area.run(f"cummax_{layout}_{dim}", "cummax", function, [x], layout=layout, dim=dim)
    x = torch.tensor([[2.0, 0, 3, 4], [0, 2, 0, 1], [1, 2, 3, 0]])
    area.run("cumprod_zeros", "cumprod", lambda x: torch.cumprod(x, 1), [x], dim=1)
    for op in ("cummax", "cummin"):
        f = getattr(torch, op)
        area.run(f"{op}_special", op, lambda x: tuple(f(x, 1)), [SPECIAL], dim=1, grad=False)
    for op in ("cumsum", "cumprod", "logcumsumexp"):
        f = getattr(torch, op)
        area.run(f"{op}_0d", op, lambda x: f(x, 0), [torch.tensor(1.5)], dim=0)
        area.run(f"{op}_empty", op, lambda x: f(x, 0), [torch.zeros(0, 3)], dim=0)


def quantiles(area):
    for how in ("linear", "lower", "higher", "nearest", "midpoint"):
        for dim, keep in ((None, False), (0, True), (1, False), (-1, True)):
            x = Source(f"quantile_{how}").normal(3, 4, 5, dtype="f64")
            for q in (torch.tensor(0.3).double(), torch.tensor([0.0, 0.25, 0.9, 1.0]).double()):
                tag = f"{how}_{dim}_{q.dim()}"
                options = {"dim": dim, "keepdim": keep, "interpolation": how}
                function = lambda x, q: torch.quantile(x, q, **options)
                area.run(f"quantile_{tag}", "quantile", function, [x, q], grad=[0], **options)
                y = x.clone()
                y[0, 1] = NAN
                function = lambda x, q: torch.nanquantile(x, q, **options)
                area.run(f"nanquantile_{tag}", "nanquantile", function, [y, q], grad=False, **options)
                function = lambda x, q: torch.quantile(x, q, **options)
                area.run(f"quantile_nan_{tag}", "quantile", function, [y, q], grad=False, **options)


def neighbours(area):
    x = Source("diff").normal(3, 6)
    for n in (0, 1, 2, 7):
        for dim in (0, 1):
            area.run(f"diff_{n}_{dim}", "diff", lambda x: torch.diff(x, n, dim), [x], n=n, dim=dim)
    a, b = Source("diff_a").normal(3, 1), Source("diff_b").normal(3, 2)
    function = lambda x, a, b: torch.diff(x, prepend=a, append=b)
    area.run("diff_joined", "diff", function, [x, a, b], n=1, dim=-1)
    mask = x > 0
    area.run("diff_bool", "diff", torch.diff, [mask], n=1, dim=-1)
    for op in ("trapezoid", "cumulative_trapezoid"):
        f = getattr(torch, op)
        area.run(f"{op}_dx", op, lambda y: f(y, dx=0.5, dim=0), [x], dx=0.5, dim=0)
        at = Source(op).normal(6)
        area.run(f"{op}_x", op, lambda y, x: f(y, x, dim=1), [x, at], dim=1)
        at = Source(op).normal(3, 6)
        area.run(f"{op}_xy", op, lambda y, x: f(y, x, dim=0), [x, at], dim=0)


def parts(area):
    def cut(name, op, function, x, **attributes):
        pieces = function(x)
        ends = lambda x: (lambda p: (p[0].clone(), p[-1].clone()))(function(x))
        area.run(name, op, ends, [x], parts=len(pieces), **attributes)

    x = Source("parts").normal(7, 4)
    for n in (1, 2, 3, 5, 7):
        for dim in (0, 1):
            tag = f"{n}_{dim}"
            cut(f"split_{tag}", "split", lambda x: torch.split(x, n, dim), x, n=n, dim=dim)
            cut(f"chunk_{tag}", "chunk", lambda x: torch.chunk(x, n, dim), x, n=n, dim=dim)
            function = lambda x: torch.tensor_split(x, n, dim)
            cut(f"tensor_split_{tag}", "tensor_split", function, x, n=n, dim=dim)
    for dim in (0, 1):
        cut(f"unbind_{dim}", "unbind", lambda x: torch.unbind(x, dim), x, dim=dim)
    function = lambda x: torch.split_with_sizes(x, [2, 0, 4, 1], 0)
    cut("split_with_sizes", "split_with_sizes", function, x, sizes=[2, 0, 4, 1], dim=0)
    function = lambda x: torch.tensor_split(x, (1, -3, 9), 0)
    cut("tensor_split_at", "tensor_split_at", function, x, sizes=[1, -3, 9], dim=0)
    cut("chunk_empty", "chunk", lambda x: torch.chunk(x, 3, 0), torch.zeros(0, 2), n=3, dim=0)


def turns(area):
    one = Source("turns").normal(3, 4, 2)

    def run(name, op, function, x=one, layouts=True, **attributes):
        area.run(f"{op}_{name}", op, function, [x], **attributes)
        if layouts and x.dim() > 1:
            area.alias(f"{op}_{name}_transposed", f"{op}_{name}", "transposed")
            area.alias(f"{op}_{name}_step2", f"{op}_{name}", "step2")

    for dims in ([0], [1, 2], [-1]):
        run(f"{len(dims)}_{dims[0]}", "flip", lambda x: torch.flip(x, dims).clone(), dims=dims)
    for shifts, dims in (([1], [0]), ([-3], [1]), ([5, -1], [1, 2])):
        function = lambda x: torch.roll(x, shifts, dims)
        run(f"{shifts[0]}_{dims[0]}", "roll", function, shifts=shifts, dims=dims)
    run("all", "roll", lambda x: torch.roll(x, 5), shifts=[5], dims=None)
    for k in (-1, 0, 1, 2, 3, 6):
        run(k, "rot90", lambda x: torch.rot90(x, k, (0, 1)), k=k, dim0=0, dim1=1)
    run("other", "rot90", lambda x: torch.rot90(x, 1, (2, 0)), k=1, dim0=2, dim1=0)
    for k in (-2, -1, 0, 1, 3):
        run(k, "tril", lambda x: torch.tril(x, k), k=k)
        run(k, "triu", lambda x: torch.triu(x, k), k=k)
        run(k, "diagonal", lambda x: torch.diagonal(x, k, 0, 1), k=k, dim0=0, dim1=1)
        run(f"{k}_turned", "diagonal", lambda x: torch.diagonal(x, k, -1, 0), k=k, dim0=-1, dim1=0)
        run(k, "diag_embed", lambda x: torch.diag_embed(x, k), k=k, dim0=-2, dim1=-1)
        run(f"{k}_a", "diag_embed", lambda x: torch.diag_embed(x, k, 0, 2), k=k, dim0=0, dim1=2)
        run(f"{k}_vector", "diag", lambda x: torch.diag(x, k), one[0, :, 0], k=k)
        run(f"{k}_matrix", "diag", lambda x: torch.diag(x, k), one[0], k=k)
        for rows, columns in ((3, 4), (4, 2), (0, 3)):
            for op in ("tril_indices", "triu_indices"):
                f = getattr(torch, op)
                attributes = {"rows": rows, "columns": columns, "k": k}
                name = f"{op}_{rows}_{columns}_{k}"
                area.run(name, op, lambda x: f(rows, columns, k), [one], grad=False, **attributes)
    area.run("trace", "trace", torch.trace, [one[0]])
    for repeats in ([2, 1, 3], [2, 3, 1, 2], [1, 1, 1], [0, 1, 1]):
        run("_".join(map(str, repeats)), "repeat", lambda x: x.repeat(repeats), repeats=repeats)
    for repeats in ([2], [2, 3], [2, 1, 1, 3]):
        run("_".join(map(str, repeats)), "tile", lambda x: torch.tile(x, repeats), repeats=repeats)
    for dim in (None, 0, 1, 2):
        function = lambda x: torch.repeat_interleave(x, 3, dim)
        run(f"{dim}", "repeat_interleave", function, dim=dim, k=3)
    counts = torch.tensor([2, 0, 1, 3])
    function = lambda x, r: torch.repeat_interleave(x, r, 1)
    area.run("repeat_interleave_each", "repeat_interleave", function, [one, counts], dim=1)
    for source, target in (([0], [2]), ([0, 2], [1, 0]), ([-1], [0])):
        function = lambda x: torch.movedim(x, source, target)
        run(f"{source[0]}_{len(source)}", "movedim", function, **{"from": source, "to": target})
    for size, step in ((2, 1), (2, 2), (3, 1), (4, 3)):
        function = lambda x: x.unfold(1, size, step)
        run(f"{size}_{step}", "unfold", function, dim=1, size=size, step=step)
    flat = Source("squeeze").normal(1, 3, 1, 2, 1)
    for dims in ([0], [0, 2], [1, -1], [0, 2, 4]):
        function = lambda x: torch.squeeze(x, dims)
        run(f"{len(dims)}_{dims[0]}", "squeeze_dims", function, flat, layouts=False, dims=dims)
    for i, x in enumerate((torch.tensor(1.5), one[0, 0], one[0], one)):
        run(i, "atleast_3d", torch.atleast_3d, x, layouts=False)


def joins(area):
    vectors = [Source(f"join_{i}").normal(3) for i in range(2)]
    matrices = [Source(f"join_{i}").normal(2, 3) for i in range(2)]
    images = [Source(f"join_{i}").normal(2, 3, 2) for i in range(2)]
    for op in ("hstack", "vstack", "dstack", "column_stack"):
        f = getattr(torch, op)
        for name, tensors in (("1", vectors), ("2", matrices), ("3", images)):
            area.run(f"{op}_{name}", op, lambda *x: f(x), tensors)
        area.run(f"{op}_0", op, lambda *x: f(x), [torch.tensor(1.5), torch.tensor(2.0)])
    tensors = [vectors[0], matrices[0], torch.tensor(2.0), Source("block").normal(3, 1)]
    area.run("block_diag", "block_diag", torch.block_diag, tensors)
    tensors = [Source(f"grid_{n}").normal(n) for n in (3, 2, 4)]
    for indexing in ("ij", "xy"):
        function = lambda *x: tuple(g.clone() for g in torch.meshgrid(*x, indexing=indexing))[::2]
        area.run(f"meshgrid_{indexing}", "meshgrid", function, tensors, xy=indexing == "xy")
    area.run("cartesian_prod", "cartesian_prod", torch.cartesian_prod, tensors)


def searches(area):
    for dtype in ("f32", "f64", "i64"):
        a = torch.sort(Source(f"search_{dtype}").integers(3, 9, low=0, high=12))[0]
        v = Source(f"values_{dtype}").integers(3, 7, low=-2, high=14)
        a, v = a.to(DTYPES[dtype]), v.to(DTYPES[dtype])
        for right in (False, True):
            tag = f"{dtype}_{right}"
            function = lambda a, v: torch.searchsorted(a, v, right=right)
            area.run(f"searchsorted_{tag}", "searchsorted", function, [a, v], grad=False, right=right)
            area.run(f"searchsorted_1_{tag}", "searchsorted", function, [a[0], v], grad=False, right=right)
            function = lambda v, a: torch.bucketize(v, a, right=right)
            area.run(f"bucketize_{tag}", "bucketize", function, [v, a[0]], grad=False, right=right)
    a = torch.tensor([3.0, 1, 2])
    order = torch.argsort(a)
    v = torch.tensor([0.5, 2, 9, NAN])
    function = lambda a, v, s: torch.searchsorted(a, v, sorter=s)
    area.run("searchsorted_sorter", "searchsorted", function, [a, v, order], grad=False, right=False)
    x = Source("bincount").integers(20, low=0, high=7)
    w = Source("bincount").normal(20)
    for n in (0, 12):
        function = lambda x: torch.bincount(x, minlength=n)
        area.run(f"bincount_{n}", "bincount", function, [x], minlength=n)
        function = lambda x, w: torch.bincount(x, w, n)
        area.run(f"bincount_weights_{n}", "bincount", function, [x, w], grad=False, minlength=n)
    area.run("bincount_empty", "bincount", torch.bincount, [x[:0]], minlength=0)
    for dtype in ("f32", "i64", "bool"):
        x = Source(f"nonzero_{dtype}").integers(3, 4, 2, low=0, high=2).to(DTYPES[dtype])
        area.run(f"nonzero_{dtype}", "nonzero", torch.nonzero, [x], grad=False)
    area.run("nonzero_0d", "nonzero", torch.nonzero, [torch.tensor(2.0)], grad=False)
    area.run("nonzero_none", "nonzero", torch.nonzero, [torch.zeros(2, 3)], grad=False)
    x, y = Source("isin").integers(3, 5), Source("isin_").integers(4)
    area.run("isin", "isin", torch.isin, [x, y])
    x = Source("histc").normal(50)
    for bins, low, high in ((10, 0.0, 0.0), (7, -1.0, 1.0), (1, 0.0, 2.0)):
        function = lambda x: torch.histc(x, bins, low, high)
        attributes = {"bins": bins, "min": low, "max": high}
        area.run(f"histc_{bins}", "histc", function, [x], grad=False, **attributes)
    area.run("histc_constant", "histc", torch.histc, [torch.ones(4)], grad=False, bins=100)


def uniques(area):
    for dtype in ("f32", "i64", "bool"):
        x = Source(f"unique_{dtype}").integers(4, 5, low=0, high=4).to(DTYPES[dtype])
        rows = x[torch.tensor([0, 1, 1, 0, 2, 3, 3])]
        for counts in (False, True):
            options = {"return_inverse": not counts, "return_counts": counts}
            for op in ("unique", "unique_consecutive"):
                f = getattr(torch, op)
                tag = f"{dtype}_{counts}"
                function = lambda x: f(x, **options)
                area.run(f"{op}_{tag}", op, function, [x], grad=False, dim=None, counts=counts)
                for dim in (0, 1):
                    y = rows if dim == 0 else rows.T.contiguous()
                    function = lambda x: f(x, dim=dim, **options)
                    name = f"{op}_{tag}_{dim}"
                    area.run(name, op, function, [y], grad=False, dim=dim, counts=counts)
    function = lambda x: torch.unique(x, return_inverse=True)
    area.run("unique_empty", "unique", function, [torch.zeros(0)], grad=False, dim=None)


def make(folder):
    area = Area("ops_tensor", "Reductions, scans, order, parts, turns, searches.")
    parts_of_it = (reductions, spreads, norms, orders, scans, quantiles, neighbours)
    for part in parts_of_it + (parts, turns, joins, searches, uniques):
        part(area)
    area.write(folder)
