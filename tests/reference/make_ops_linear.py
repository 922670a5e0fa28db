"""Masks, scattering, indices, products of tensors, linear algebra."""

import torch

from common import DTYPES, Area, Source


def masks(area):
    for dtype in ("f32", "f64", "i64"):
        x = Source(f"mask_{dtype}").integers(3, 4, low=-9, high=9).to(DTYPES[dtype])
        mask = Source("mask").integers(3, 4, low=0, high=2).to(torch.bool)
        for name, m in (("all", mask), ("row", mask[0]), ("none", mask & False)):
            function = lambda x, m: x.masked_fill(m, 2)
            area.run(f"masked_fill_{dtype}_{name}", "masked_fill", function, [x, m], dtype="mixed", value=2)
            area.run(f"masked_select_{dtype}_{name}", "masked_select", torch.masked_select, [x, m], dtype="mixed")
            source = Source("source").integers(14).to(DTYPES[dtype])
            function = lambda x, m, s: x.masked_scatter(m, s)
            area.run(f"masked_scatter_{dtype}_{name}", "masked_scatter", function, [x, m, source], dtype="mixed")


def scatters(area):
    for dtype in ("f32", "f64", "i64"):
        x = Source(f"scatter_{dtype}").integers(4, 5, low=-9, high=9).to(DTYPES[dtype])
        src = Source(f"src_{dtype}").integers(3, 5, low=-9, high=9).to(DTYPES[dtype])
        for dim in (0, 1):
            index = torch.argsort(Source(f"places_{dim}").normal(3, 5), dim)
            run = lambda name, op, f, **a: area.run(
                f"{op}_{dtype}_{dim}{name}", op, f, [x, index, src], dtype="mixed", dim=dim, **a
            )
            run("", "scatter", lambda x, i, s: x.scatter(dim, i, s))
            run("", "scatter_value", lambda x, i, s: x.scatter(dim, i, 3), value=3)
            many = Source(f"many_{dim}").integers(3, 5, low=0, high=2)
            run = lambda name, op, f, **a: area.run(
                f"{op}_{dtype}_{dim}{name}", op, f, [x, many, src], dtype="mixed", dim=dim, **a
            )
            run("", "scatter_add", lambda x, i, s: x.scatter_add(dim, i, s))
            for how in ("sum", "prod", "mean", "amax", "amin"):
                for include in (True, False):
                    function = lambda x, i, s: x.scatter_reduce(dim, i, s, how, include_self=include)
                    attributes = {"how": how, "include_self": include}
                    # Without x PyTorch still counts an x that happens to equal the extreme.
                    attributes["grad"] = include or how[0] != "a"
                    run(f"_{how}_{include}", "scatter_reduce", function, **attributes)
    x = Source("along").normal(3, 1, 4)
    index = Source("along").integers(1, 5, 2, low=0, high=4)
    function = lambda x, i: torch.take_along_dim(x, i, 2)
    area.run("take_along_dim", "take_along_dim", function, [x, index], dim=2)
    function = lambda x, i: torch.take_along_dim(x, i)
    area.run("take_along_dim_all", "take_along_dim", function, [x, index], dim=None)


def indices(area):
    x = Source("indices").normal(4, 5, 3)
    index = torch.tensor([2, 0, 3])
    for dim in (0, 1):
        size = [4, 5, 3]
        size[dim] = 3
        source = Source("indices_source").normal(*size)
        options = {"dim": dim, "dtype": "mixed"}
        function = lambda x, i, s: x.index_add(dim, i, s, alpha=0.5)
        area.run(f"index_add_{dim}", "index_add", function, [x, index, source], alpha=0.5, **options)
        function = lambda x, i, s: x.index_copy(dim, i, s)
        area.run(f"index_copy_{dim}", "index_copy", function, [x, index, source], **options)
        function = lambda x, i: x.index_fill(dim, i, 2)
        area.run(f"index_fill_{dim}", "index_fill", function, [x, index], value=2, **options)
    i, j = torch.tensor([[1], [-1]]), torch.tensor([0, 4, -2])
    mask = x[:, :, 0] > 0
    area.run("index_two", "index", lambda x, i, j: x[i, j], [x, i, j], dtype="mixed")
    area.run("index_one", "index", lambda x, i: x[i], [x, i], dtype="mixed")
    area.run("index_mask", "index", lambda x, m: x[m], [x, mask], dtype="mixed")
    v = Source("index_put").normal(2, 3, 3)
    for accumulate in (False, True):
        function = lambda x, v, i, j: x.index_put((i, j), v, accumulate)
        area.run(f"index_put_{accumulate}", "index_put", function, [x, v, i, j], dtype="mixed", accumulate=accumulate)
    row = torch.tensor([[0, -1], [7, 7]])
    area.run("take", "take", torch.take, [x, row], dtype="mixed")
    s = Source("put").normal(2, 2)
    function = lambda x, i, s: x.put(i, s, True)
    area.run("put", "put", function, [x, row, s], dtype="mixed", accumulate=True)


def products(area):
    table = [
        ("ij,jk->ik", (3, 4), (4, 5)),
        ("ij,jk", (3, 4), (4, 5)),
        ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
        ("i,j->ij", (3,), (4,)),
        ("ii->i", (4, 4)),
        ("ii", (4, 4)),
        ("ij->ji", (3, 4)),
        ("ij->", (3, 4)),
        ("...ij,...jk->...ik", (2, 3, 4), (4, 5)),
        ("b...,b...->...", (3, 2, 4), (3, 2, 4)),
        ("bn,anm,bm->ba", (2, 3), (4, 3, 5), (2, 5)),
        ("ab,cb,c->a", (2, 3), (4, 3), (4,)),
        ("ijij,jk->ki", (2, 3, 2, 3), (3, 4)),
        ("i,i,i->", (4,), (4,), (4,)),
        ("ba,...", (2, 3), (2,)),
    ]
    for n, (equation, *shapes) in enumerate(table):
        for dtype in ("f32", "f64"):
            case = f"einsum_{n}_{dtype}"
            operands = [Source(f"{case}_{i}").normal(*s, dtype=dtype) for i, s in enumerate(shapes)]
            function = lambda *x: torch.einsum(equation, *x)
            area.run(case, "einsum", function, operands, equation=equation)
    for dtype in ("f32", "f64"):
        shapes = {
            "addmm": ((5,), (3, 4), (4, 5)),
            "addmv": ((3,), (3, 4), (4,)),
            "addr": ((3, 4), (3,), (4,)),
            "baddbmm": ((2, 3, 5), (2, 3, 4), (2, 4, 5)),
            "addbmm": ((3, 5), (2, 3, 4), (2, 4, 5)),
        }
        for op, sizes in shapes.items():
            x = [Source(f"{op}_{i}").normal(*s, dtype=dtype) for i, s in enumerate(sizes)]
            for beta, alpha in ((1.0, 1.0), (0.5, 2.0), (0.0, -1.0)):
                f = getattr(torch, op)
                function = lambda *x: f(*x, beta=beta, alpha=alpha)
                grad = True if beta else [1, 2]
                area.run(f"{op}_{dtype}_{beta}", op, function, x, grad=grad, beta=beta, alpha=alpha)
        two = {"outer": ((3,), (4,)), "dot": ((4,), (4,)), "mv": ((3, 4), (4,)), "mm": ((2, 3), (3, 2)),
               "bmm": ((2, 2, 3), (2, 3, 2)), "inner": ((2, 3), (4, 3)), "kron": ((2, 3), (2, 2))}
        for op, sizes in two.items():
            x = [Source(f"{op}_{i}").normal(*s, dtype=dtype) for i, s in enumerate(sizes)]
            area.run(f"{op}_{dtype}", op, getattr(torch, op), x)
        a, b = Source("cross").normal(2, 3, dtype=dtype), Source("cross_").normal(1, 3, dtype=dtype)
        area.run(f"cross_{dtype}", "cross", lambda a, b: torch.linalg.cross(a, b, dim=1), [a, b], dim=1)
        a, b = Source("dot_a").normal(2, 3, 4, dtype=dtype), Source("dot_b").normal(4, 5, 3, dtype=dtype)
        function = lambda a, b: torch.tensordot(a, b, ([1, 2], [2, 0]))
        area.run(f"tensordot_{dtype}", "tensordot", function, [a, b], a=[1, 2], b=[2, 0])
        for rows in (3, 30):
            a = Source("cdist_a").normal(2, rows, 4, dtype=dtype)
            b = Source("cdist_b").normal(5, 4, dtype=dtype)
            for p in (2.0, 1.0, float("inf"), 3.0):
                function = lambda a, b: torch.cdist(a, b, p)
                area.run(f"cdist_{dtype}_{rows}_{p}", "cdist", function, [a, b], p=p)


def spd(name, *batch, n=4):
    a = Source(name).normal(*batch, n, n, dtype="f64")
    return a @ a.mT + n * torch.eye(n, dtype=torch.float64)


def linear(area):
    L = torch.linalg
    for batch in ((), (2,), (2, 1)):
        tag = len(batch)
        a = Source(f"square_{tag}").normal(*batch, 4, 4, dtype="f64") / 2
        a = a + 3 * torch.eye(4, dtype=torch.float64)
        b = Source(f"right_{tag}").normal(*batch, 4, 3, dtype="f64")
        area.run(f"solve_{tag}", "linalg_solve", L.solve, [a, b])
        area.run(f"solve_vector_{tag}", "linalg_solve", L.solve, [a, b[..., 0].contiguous()])
        area.run(f"inv_{tag}", "linalg_inv", L.inv, [a])
        area.run(f"det_{tag}", "linalg_det", L.det, [a])
        function = lambda a: tuple(L.slogdet(a))[::-1]
        area.run(f"slogdet_{tag}", "linalg_slogdet", function, [a])
        p = spd(f"spd_{tag}", *batch)
        for upper in (False, True):
            function = lambda a: L.cholesky(a, upper=upper)
            area.run(f"cholesky_{tag}_{upper}", "linalg_cholesky", function, [p], upper=upper)
            t = torch.triu(a) if upper else torch.tril(a)
            t = t + 2 * torch.eye(4, dtype=torch.float64)
            for left in (True, False):
                for unit in (True, False):
                    right = b if left else b.mT.contiguous()
                    options = {"upper": upper, "left": left, "unitriangular": unit}
                    function = lambda a, b: L.solve_triangular(a, b, **options)
                    name = f"triangular_{tag}_{upper}_{left}_{unit}"
                    area.run(name, "linalg_solve_triangular", function, [t, right], **options)
        area.run(f"eigvalsh_{tag}", "linalg_eigvalsh", L.eigvalsh, [p])
        for n in (0, 1, 3, -2):
            function = lambda a: L.matrix_power(a, n)
            area.run(f"power_{tag}_{n}", "linalg_matrix_power", function, [a], grad=n != 0, n=n)
        for m, n in ((5, 3), (3, 5)):
            a = Source(f"rectangle_{tag}").normal(*batch, m, n, dtype="f64") / 4
            a = a + torch.diag(torch.arange(1.0, 6).double())[:m, :n]
            b = Source(f"rhs_{tag}").normal(*batch, m, 2, dtype="f64")
            area.run(f"svdvals_{tag}_{m}", "linalg_svdvals", L.svdvals, [a])
            area.run(f"pinv_{tag}_{m}", "linalg_pinv", L.pinv, [a])
            area.run(f"rank_{tag}_{m}", "linalg_matrix_rank", L.matrix_rank, [a], grad=False)
            function = lambda a, b: L.lstsq(a, b)[0]
            area.run(f"lstsq_{tag}_{m}", "linalg_lstsq", function, [a, b])
            function = lambda a: (lambda q: (q[0].abs(), q[1].abs()))(L.qr(a))
            area.run(f"qr_{tag}_{m}", "linalg_qr", function, [a], grad=False)
            for i, kind in enumerate(("fro", "nuc", float("inf"), -float("inf"), 1, -1, 2, -2)):
                function = lambda a: L.matrix_norm(a, kind)
                area.run(f"norm_{tag}_{m}_{i}", "linalg_matrix_norm", function, [a], kind=i)
    singular = torch.tensor([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]]).double()
    singular[2] = singular[0] + singular[1]
    area.run("pinv_singular", "linalg_pinv", L.pinv, [singular], grad=False)
    area.run("rank_singular", "linalg_matrix_rank", L.matrix_rank, [singular], grad=False)
    zero = torch.zeros(3, 3, dtype=torch.float64)
    zero[0, 0], zero[1, 1] = 2, 3
    area.run("det_singular", "linalg_det", L.det, [zero], grad=False)
    for name, shape in (("empty", (0, 0)), ("none", (0, 3, 3))):
        a = torch.zeros(shape, dtype=torch.float64)
        area.run(f"det_{name}", "linalg_det", L.det, [a], grad=False)
        area.run(f"inv_{name}", "linalg_inv", L.inv, [a], grad=False)


def make(folder):
    area = Area("ops_linear", "Masks, scattering, indices, products, linear algebra.")
    for part in (masks, scatters, indices, products, linear):
        part(area)
    area.write(folder)
