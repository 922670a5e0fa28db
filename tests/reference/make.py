#!/usr/bin/env python3
"""Write the reference vectors: make.py [--check] [area ...]

Without areas, all of them. --check writes to a temporary folder instead and compares its bytes
with the committed files.
"""

import importlib
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
AREAS = [
    "ops_activation",
    "ops_pointwise",
    "ops_reduce",
    "ops_sorting",
    "ops_matrix",
    "ops_spatial",
    "ops_conv",
    "ops_loss",
    "ops_losses",
    "ops_norms",
    "ops_rearrange",
    "ops_pad",
    "ops_attention",
    "sequences",
    "ops_interpolate",
    "ops_tensor",
    "ops_pooling",
    "ops_linear",
    "ops_grid",
    "modules",
    "batchnorm",
    "optim",
    "averaged",
    "optimizers",
    "schedules",
    "lockstep",
    "amp",
    "printing",
    "init",
    "images",
    "transforms",
    "npy",
    "pth",
    "models",
    "vision",
]


def differing(folder):
    wrong = []
    for name in sorted(os.listdir(folder)):
        old, new = os.path.join(HERE, name), os.path.join(folder, name)
        if not os.path.exists(old) or open(old, "rb").read() != open(new, "rb").read():
            wrong.append(name)
    return wrong


def make(areas, folder):
    sys.path.insert(0, HERE)
    sys.dont_write_bytecode = True
    common = importlib.import_module("common")
    for area in areas:
        common.setup()
        importlib.import_module(f"make_{area}").make(folder)


def main(arguments):
    check = "--check" in arguments
    areas = [a for a in arguments if a != "--check"] or AREAS
    unknown = [a for a in areas if a not in AREAS]
    if unknown:
        sys.exit(f"make.py: unknown area {unknown[0]}; there are: {' '.join(AREAS)}")
    if not check:
        make(areas, HERE)
        return
    with tempfile.TemporaryDirectory() as folder:
        make(areas, folder)
        wrong = differing(folder)
        print(f"{len(os.listdir(folder))} files made, {len(wrong)} differ {' '.join(wrong)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
