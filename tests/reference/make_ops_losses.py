"""The losses of elements, distances and margins; pairwise distance and cosine similarity."""

import torch
import torch.nn.functional as F

from common import Area, Source

REDUCTIONS = ("mean", "sum", "none")


def signs(source, *shape):
    return (source.integers(*shape, low=0, high=2) * 2 - 1).to(torch.float64)


def case_of(area, op, name, function, inputs, grad=True, reductions=REDUCTIONS, **attributes):
    """One case in each of float32 and float64, by turns with another reduction."""
    for i, reduction in enumerate(reductions):
        for dtype in (torch.float32, torch.float64):
            if dtype == torch.float64 and i > 0:
                continue
            cast = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
            how = {**attributes, "reduction": reduction}
            short = {torch.float32: "f32", torch.float64: "f64"}[dtype]
            area.run(
                f"{op}_{name}_{reduction}_{short}",
                op,
                lambda *t: function(*t, **how),
                cast,
                grad=grad,
                **how,
            )


def probabilities(area):
    source = Source("losses_probabilities")
    x = source.normal(4, 3, dtype="f64", std=3)
    y, weight = source.uniform(4, 3, dtype="f64"), source.uniform(3, dtype="f64", low=0.5, high=2)
    p = source.uniform(4, 3, dtype="f64", low=0.01, high=0.99)
    pos = source.uniform(3, dtype="f64", low=0.5, high=3)

    def logits(x, y, w=None, p=None, **how):
        return F.binary_cross_entropy_with_logits(x, y, w, pos_weight=p, **how)

    op = "binary_cross_entropy_with_logits"
    case_of(area, op, "plain", logits, [x, y])
    case_of(area, op, "weight", logits, [x, y, weight], grad=[0, 1])
    case_of(area, op, "all", logits, [x, y, weight, pos], grad=[0, 1])
    far = torch.tensor([200.0, -200, 0, 40, -40, 1e-3], dtype=torch.float64)
    case_of(area, op, "far", logits, [far, torch.tensor([0.0, 1, 0.5, 1, 0, 0]).double()])
    bce = lambda x, y, w=None, **how: F.binary_cross_entropy(x, y, w, **how)
    case_of(area, "binary_cross_entropy", "plain", bce, [p, y], grad=[0])
    case_of(area, "binary_cross_entropy", "weight", bce, [p, y, weight], grad=[0])
    edges = torch.tensor([0.0, 0, 1, 1, 0.5, 1e-6], dtype=torch.float64)
    hard = torch.tensor([0.0, 1, 0, 1, 0.5, 0], dtype=torch.float64)
    case_of(area, "binary_cross_entropy", "edges", bce, [edges, hard], grad=[0])
    q, t = torch.log_softmax(x, 1), torch.softmax(source.normal(4, 3, dtype="f64"), 1)
    four = REDUCTIONS + ("batchmean",)
    case_of(area, "kl_div", "plain", F.kl_div, [q, t], reductions=four, log_target=False)
    case_of(area, "kl_div", "log", F.kl_div, [q, t.log()], reductions=four, log_target=True)
    zero = t.clone()
    zero[1, 2] = 0
    case_of(area, "kl_div", "zero", F.kl_div, [q, zero], grad=[0], log_target=False)


def distances(area):
    source = Source("losses_distances")
    x, y = source.normal(4, 5, dtype="f64"), source.normal(4, 5, dtype="f64")
    y[0, 0] = x[0, 0]
    weight = source.uniform(4, 5, dtype="f64", low=0.5, high=2)
    case_of(area, "l1_loss", "plain", F.l1_loss, [x, y])
    for beta in (1.0, 0.3, 0.0):
        case_of(area, "smooth_l1_loss", f"{beta}", F.smooth_l1_loss, [x, y], beta=beta)
    for delta in (1.0, 0.3):
        case_of(area, "huber_loss", f"{delta}", F.huber_loss, [x, y], delta=delta)
    huber = lambda x, y, w, **how: F.huber_loss(x, y, weight=w, **how)
    case_of(area, "huber_loss", "weight", huber, [x, y, weight], grad=[0, 1], delta=0.7)
    label = signs(source, 4, 5)
    case_of(area, "soft_margin_loss", "plain", F.soft_margin_loss, [x * 3, label], grad=[0])
    for margin in (1.0, 0.3):
        case_of(
            area,
            "hinge_embedding_loss",
            f"{margin}",
            F.hinge_embedding_loss,
            [x.abs(), label],
            grad=[0],
            margin=margin,
        )


def likelihoods(area):
    source = Source("losses_likelihoods")
    x, y = source.normal(4, 5, dtype="f64"), source.integers(4, 5, low=0, high=6).double()
    rate = source.uniform(4, 5, dtype="f64", low=0.1, high=4)
    for log_input in (True, False):
        for full in (False, True):
            case_of(
                area,
                "poisson_nll_loss",
                f"{'log' if log_input else 'rate'}_{'full' if full else 'short'}",
                F.poisson_nll_loss,
                [x if log_input else rate, y],
                grad=[0],
                log_input=log_input,
                full=full,
                eps=1e-8,
            )
    var = source.uniform(4, 5, dtype="f64", low=0.0, high=2)
    var[1, 1] = 0
    target = source.normal(4, 5, dtype="f64")
    for name, v in (("each", var), ("column", var[:, 2:3]), ("short", var[:, 2])):
        for full in (False, True):
            case_of(
                area,
                "gaussian_nll_loss",
                f"{name}_{'full' if full else 'short'}",
                F.gaussian_nll_loss,
                [x, target, v],
                full=full,
                eps=1e-6,
            )


def vectors(area):
    source = Source("losses_vectors")
    a, b, c = (source.normal(4, 5, dtype="f64") for _ in range(3))
    label, line = signs(source, 4), signs(source, 4, 5)
    for margin in (0.0, 0.4):
        case_of(
            area, "margin_ranking_loss", f"{margin}", F.margin_ranking_loss, [a, b, line],
            grad=[0, 1], margin=margin,
        )  # fmt: skip
        case_of(
            area, "cosine_embedding_loss", f"{margin}", F.cosine_embedding_loss, [a, b, label],
            grad=[0, 1], margin=margin,
        )  # fmt: skip
    for p, swap, margin in ((2.0, False, 1.0), (2.0, True, 0.5), (1.0, True, 2.0), (3.0, False, 1.0)):
        case_of(
            area, "triplet_margin_loss", f"{p}_{swap}".lower(), F.triplet_margin_loss, [a, b, c],
            margin=margin, p=p, eps=1e-6, swap=swap,
        )  # fmt: skip
    for p in (2.0, 1.0, 3.0, 0.5, float("inf")):
        for keepdim in (False, True):
            area.run(
                f"pairwise_distance_{p}_{keepdim}".lower(),
                "pairwise_distance",
                lambda a, b: F.pairwise_distance(a, b, p, 1e-6, keepdim),
                [a, b],
                p=p,
                eps=1e-6,
                keepdim=keepdim,
            )
    for dim in (1, 0):
        area.run(
            f"cosine_similarity_{dim}",
            "cosine_similarity",
            lambda a, b: F.cosine_similarity(a, b, dim, 1e-8),
            [a, b],
            dim=dim,
            eps=1e-8,
        )


def classes(area):
    source = Source("losses_classes")
    x, one = source.normal(4, 5, dtype="f64"), source.normal(5, dtype="f64")
    weight = source.uniform(5, dtype="f64", low=0.5, high=2)
    target = source.integers(4, low=0, high=5)
    multi = lambda x, t, w=None, **how: F.multi_margin_loss(x, t, weight=w, **how)
    for p in (1, 2):
        case_of(area, "multi_margin_loss", f"{p}", multi, [x, target], p=p, margin=1.0)
        case_of(
            area, "multi_margin_loss", f"{p}_weight", multi, [x, target, weight], grad=[0],
            p=p, margin=0.5,
        )  # fmt: skip
    case_of(area, "multi_margin_loss", "single", multi, [one, target[0]], p=1, margin=1.0)
    labels = torch.tensor([[3, 0, -1, 1, 4], [2, -1, -1, -1, -1], [-1, 2, 3, 0, 1], [4, 3, 2, 1, 0]])
    op = "multilabel_margin_loss"
    case_of(area, op, "plain", F.multilabel_margin_loss, [x, labels])
    case_of(area, op, "single", F.multilabel_margin_loss, [one, labels[0]])
    y = source.integers(4, 5, low=0, high=2).double()
    op = "multilabel_soft_margin_loss"
    soft = lambda x, t, w=None, **how: F.multilabel_soft_margin_loss(x, t, w, **how)
    case_of(area, op, "plain", soft, [x, y], grad=[0])
    case_of(area, op, "weight", soft, [x, y, weight], grad=[0])


def temporal(area):
    # Of logits: PyTorch's gradient of log_probs alone is right only after log_softmax.
    ctc = lambda x, *rest, **how: F.ctc_loss(x.log_softmax(-1), *rest, **how)
    for lengths in (([7, 5, 3], [3, 2, 0]), ([7, 7, 2], [4, 1, 4])):
        source = Source(f"losses_ctc_{lengths[1][2]}")
        x = source.normal(7, 3, 5, dtype="f64", std=2)
        y = source.integers(3, 4, low=1, high=5)
        y[0, 1] = y[0, 0]
        sizes = [torch.tensor(n) for n in lengths]
        name = "whole" if lengths[1][2] == 0 else "short"
        for zero in (False, True) if name == "whole" else (True,):
            case_of(
                area,
                "ctc_loss",
                f"{name}_{zero}".lower(),
                ctc,
                [x, y, *sizes],
                grad=[0],
                blank=0,
                zero_infinity=zero,
            )
        one = [x[:, 0], y[0, : lengths[1][0]], sizes[0][0], sizes[1][0]]
        case_of(
            area, "ctc_loss", f"{name}_single", ctc, one, grad=[0],
            blank=0, zero_infinity=True,
        )  # fmt: skip
    moved = (y - 1) % 4
    case_of(
        area, "ctc_loss", "blank", ctc, [x, moved, *sizes], grad=[0],
        blank=4, zero_infinity=True,
    )  # fmt: skip


def make(folder):
    area = Area("ops_losses", "The losses of elements, distances and margins.")
    for part in (probabilities, distances, likelihoods, vectors, classes, temporal):
        part(area)
    area.write(folder)
