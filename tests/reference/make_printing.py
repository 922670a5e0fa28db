"""Tensors and PyTorch's printed text for them."""

import torch

from common import DTYPES, Area, Source, Texts

NAN, INF = float("nan"), float("inf")


def tensor(values, dtype="f32"):
    return torch.tensor(values, dtype=DTYPES[dtype])


FIXED = {
    "0d": tensor(1.5),
    "0d_whole": tensor(3.0),
    "0d_negative": tensor(-0.25),
    "0d_nan": tensor(NAN),
    "0d_inf": tensor(-INF),
    "0d_i64": tensor(7, "i64"),
    "0d_bool": tensor(True, "bool"),
    "0d_large": tensor(1e10),
    "0d_small": tensor(1e-10),
    "0d_f64": tensor(3.14159265, "f64"),
    "0d_zero": tensor(0.0),
    "0d_negative_zero": tensor(-0.0),
    "0d_f16": tensor(0.1, "f16"),
    "one": tensor([1.0]),
    "whole": tensor([1.0, 2.0, 3.0]),
    "whole_negative": tensor([-1.0, 20.0, 3.0]),
    "fractions": tensor([0.5, 1.25, -3.375]),
    "widths": tensor([1.0, 10.5, -100.25]),
    "rounded": tensor([0.12345678, 1.99999, 0.00005]),
    "half_even": tensor([0.00005, 0.00015, 0.00025]),
    "sci_ratio": tensor([1e-3, 1.5, 2000.0]),
    "sci_ratio_below": tensor([0.5, 1.5, 499.5]),
    "sci_small": tensor([1e-5, 2e-5, 0.0]),
    "sci_large": tensor([1.5e8, 2.5]),
    "sci_large_whole": tensor([1e9, 1.0]),
    "large_whole": tensor([1e8, 1.0]),
    "large_whole_below": tensor([99999.0, 123.0]),
    "whole_ratio": tensor([1.0, 5000.0]),
    "sci_negative": tensor([-1e-6, 3e6]),
    "sci_two_digits": tensor([1e-30, 1e30]),
    "sci_f64": tensor([1e-200, 1e200], "f64"),
    "denormal": tensor([1e-45, 1e-40]),
    "max": tensor([3.4028235e38, -3.4028235e38]),
    "nan": tensor([NAN, 1.0, 2.0]),
    "nan_fraction": tensor([NAN, 1.5, -2.0]),
    "inf": tensor([INF, -INF, 1.0]),
    "all_nan": tensor([NAN, NAN]),
    "all_special": tensor([NAN, INF, -INF]),
    "inf_sci": tensor([INF, 1e-7, 1.0]),
    "zeros": torch.zeros(3),
    "negative_zero": tensor([-0.0, 0.0]),
    "zeros_and_fraction": tensor([0.0, 0.25]),
    "thousandth": tensor([0.001, 0.002]),
    "edge_1e4": tensor([0.0001, 0.0002]),
    "just_sci": tensor([0.00009, 0.0009]),
    "i64": tensor([1, -20, 300], "i64"),
    "i32": tensor([1, -20, 300], "i32"),
    "u8": tensor([0, 7, 255], "u8"),
    "bool": tensor([True, False], "bool"),
    "i64_large": tensor([2**62, -1], "i64"),
    "i64_zeros": torch.zeros(2, 2, dtype=torch.int64),
    "f64": tensor([1.0, 2.5], "f64"),
    "f64_precise": tensor([1 / 3, 2 / 3], "f64"),
    "f16": tensor([1.0, 2.5, 0.1], "f16"),
    "f16_large": tensor([65504.0, 1.0], "f16"),
    "bf16": tensor([1.0, 2.5, 0.1], "bf16"),
    "bf16_sci": tensor([1e20, 1.0], "bf16"),
    "f16_nan": tensor([NAN, 0.5], "f16"),
    "matrix": tensor([[1.0, 2.0], [3.0, 4.0]]),
    "matrix_mixed": tensor([[1.0, -2.5], [30.0, 4.0]]),
    "matrix_i64": tensor([[1, 2], [300, -4]], "i64"),
    "row": torch.ones(1, 3),
    "column": torch.ones(3, 1),
    "bool_matrix": tensor([[True, False], [False, False]], "bool"),
    "deep_ones": torch.ones(1, 1, 1, 1),
    "u8_matrix": tensor([[0, 1], [2, 200]], "u8"),
    "empty": torch.zeros(0),
    "empty_2d": torch.zeros(0, 3),
    "empty_inner": torch.zeros(2, 0),
    "empty_3d": torch.zeros(2, 0, 3),
    "empty_i64": torch.zeros(0, dtype=torch.int64),
    "empty_bool_2d": torch.zeros(0, 2, dtype=torch.bool),
    "empty_f64": torch.zeros(0, dtype=torch.float64),
}


def small():
    """name: tensor, stored in full."""
    table = dict(FIXED)
    source = Source("printing")
    for shape in (
        (2, 3),
        (2, 3, 4),
        (2, 2, 3, 3),
        (2, 1, 2, 1, 3),
        (4, 1, 1),
        (12,),
        (25,),
        (3, 20),
        (2, 40),
    ):
        table["normal_" + "x".join(map(str, shape))] = source.normal(*shape)
    table["normal_f64_3x7"] = source.normal(3, 7, dtype="f64")
    table["wrap_i64"] = torch.arange(60)
    table["wrap_i64_wide"] = torch.arange(30) * 1000003
    table["wrap_bool"] = torch.arange(30) % 3 == 0
    table["wrap_sci"] = source.normal(14) * 1e-6
    table["wrap_f64"] = source.normal(23, dtype="f64")
    return table


def large():
    """name: (tensor, how it is made); these are not stored."""
    return {
        "arange_1000": (torch.arange(1000), "arange"),
        "arange_1001": (torch.arange(1001), "arange"),
        "arange_f32_5000": (torch.arange(5000).float(), "arange"),
        "arange_100x100": (torch.arange(10000).view(100, 100), "arange"),
        "arange_f32_100x100": (torch.arange(10000).float().view(100, 100), "arange"),
        "arange_4x5x60": (torch.arange(1200).view(4, 5, 60), "arange"),
        "arange_7x8x30": (torch.arange(1680).view(7, 8, 30), "arange"),
        "arange_8x7x6x6": (torch.arange(2016).view(8, 7, 6, 6), "arange"),
        "arange_6x200": (torch.arange(1200).view(6, 200), "arange"),
        "arange_7x200": (torch.arange(1400).view(7, 200), "arange"),
        "arange_300x4": (torch.arange(1200).view(300, 4), "arange"),
        "quarter_1x2000": (torch.arange(2000).view(1, 2000) / 4, "quarter"),
        "quarter_32x3x28": (torch.arange(2688).view(32, 3, 28) / 4, "quarter"),
        "quarter_f64_40x50": (torch.arange(2000).double().view(40, 50) / 4, "quarter"),
        "quarter_f16_30x40": ((torch.arange(1200).view(30, 40) / 4).half(), "quarter"),
        "zeros_64x1x28x28": (torch.zeros(64, 1, 28, 28), "zeros"),
        "ones_bool_2000": (torch.ones(2000, dtype=torch.bool), "ones"),
        "empty_1001x0": (torch.zeros(1001, 0), "zeros"),
    }


def make(folder):
    torch.set_printoptions(profile="default")
    area = Area("printing", "the tensors of printing.txt")
    texts = Texts(
        "printing",
        "Tensors as PyTorch prints them; the tensors are CASE/in0, or made as "
        "values= says (README.md).",
    )
    for name, x in small().items():
        case = area.case(name, "print")
        case.put("in0", x)
        texts.block(name, repr(x), dtype=x.dtype, shape=x.shape)
    for name, (x, how) in large().items():
        texts.block(name, repr(x), dtype=x.dtype, shape=x.shape, values=how)
    for name, x in (
        ("grad_leaf", tensor([1.0, 2.5])),
        ("grad_0d", tensor(2.0)),
        ("grad_f64", tensor([1.0], "f64")),
        ("grad_empty", torch.zeros(0, 2)),
    ):
        area.case(name, "print").put("in0", x)
        texts.block(
            name, repr(x.requires_grad_()), dtype=x.dtype, shape=x.shape, requires_grad=True
        )
    area.write(folder, manifest=False)
    texts.write(folder)
