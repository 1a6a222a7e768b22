"""Whole epochs of the compiled path against the reference, over what is compiled in and what is a number at run time."""

import ctypes
import mmap
import sys

import numpy as np
import pytest
from engine_cases import Case, compare, make_features, make_problem, make_targets, same_bits, train
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastmlp import reference
from fastmlp.descent import Descent
from fastmlp.engine.trainer import Engine

# Hidden widths that share one panel width, and outputs that do.
NARROW = [(3,), (), (7, 2, 8, 4, 3), (1,), (5, 1, 3), (8,), (3, 8), (2, 5, 1, 7)], (3, 8, 2)
MIDDLE = [(17,), (24,)], (10, 16)
WIDE = [(130, 17), (33,), (), (33, 64, 3, 17), (130,), (64, 64), (130, 60, 3, 1, 17)], (37, 130, 101)
MIXED = [(130, 17), (33, 64, 3, 17), (130,), (130, 60, 3, 1, 17), (64, 64)], (10, 13)
WIDE32 = [(130,), (100, 33, 17), (), (130, 60, 3, 1, 17), (120, 60)], (101, 64, 37, 130)
MIXED32 = [(120, 60), (130,), (130, 60, 3, 1, 17), (130, 130, 17)], (10, 5)

SPARSE = {
    "uint8": [("sparse", "unit"), ("sparse", "zscore"), ("bright", "unit"), ("counts", None), ("constant", None)],
    "float32": [("sparse", None), ("standardised", None), ("constant", "zscore"), ("counts", "zscore")],
}
SPARSE["float64"] = SPARSE["float32"]
DENSE = {"uint8": [("dense", "unit"), ("dense", "zscore")]}
DENSE["float32"] = DENSE["float64"] = [("dense", None), ("dense", "zscore")]

# One program each: every pair of activation, loss and optimizer, every combination of types and forms.
PROGRAMS = [
    ("float64", "uint8", SPARSE, "relu", "cross_entropy", "sgd", MIXED),
    ("float64", "float32", DENSE, "relu", "binary_cross_entropy", "momentum", WIDE),
    ("float32", "float64", SPARSE, "relu", "mean_squared_error", "nesterov", NARROW),
    ("float32", "float32", DENSE, "relu", "cross_entropy", "adam", WIDE32),
    ("float64", "float64", DENSE, "tanh", "binary_cross_entropy", "sgd", NARROW),
    ("float64", "uint8", DENSE, "tanh", "mean_squared_error", "momentum", MIDDLE),
    ("float32", "uint8", SPARSE, "tanh", "cross_entropy", "nesterov", WIDE32),
    ("float64", "float32", SPARSE, "tanh", "binary_cross_entropy", "adam", WIDE),
    ("float32", "float32", SPARSE, "sigmoid", "mean_squared_error", "sgd", MIXED32),
    ("float64", "float64", SPARSE, "sigmoid", "cross_entropy", "momentum", NARROW),
    ("float64", "uint8", SPARSE, "sigmoid", "binary_cross_entropy", "nesterov", MIDDLE),
    ("float32", "uint8", DENSE, "sigmoid", "mean_squared_error", "adam", NARROW),
    ("float32", "float64", DENSE, "identity", "cross_entropy", "sgd", MIXED32),
    ("float64", "float32", SPARSE, "identity", "binary_cross_entropy", "momentum", MIXED),
    ("float64", "float64", DENSE, "identity", "mean_squared_error", "nesterov", WIDE),
    ("float64", "uint8", SPARSE, "identity", "cross_entropy", "adam", NARROW),
]
BATCHES = {1: (45, 2), 7: (204, 3), 64: (200, 8), 200: (401, 8), 500: (130, 20)}
"""Batch size: (rows, epochs), at most 100 steps. The last batch has 1 row, 1, 8, 1, and all 130."""
CASES_PER_PROGRAM = 10
FEATURES = (70, 1, 64, 131, 2, 65, 9, 63)


def cases():
    """Cases that share the programs, in which what is a number at run time varies in cycles of different lengths."""
    listed = []
    for p, (dtype, raw, form, activation, loss, optimizer, (hidden, outputs)) in enumerate(PROGRAMS):
        for j in range(CASES_PER_PROGRAM):
            i = CASES_PER_PROGRAM * p + j
            batch = tuple(BATCHES)[i % len(BATCHES)]
            n, epochs = BATCHES[batch]
            data, normalize = form[raw][j % len(form[raw])]
            case = Case(dtype, raw, data, activation, loss, optimizer, n=n, batch=batch, epochs=epochs, seed=i)
            listed.append(
                case._replace(
                    hidden=hidden[j % len(hidden)],
                    k=outputs[j % len(outputs)],
                    d=FEATURES[(i + p) % len(FEATURES)],
                    threads=1 + i % 3,
                    normalize=normalize,
                    weighted=i // 5 % 2 == 1,
                    decay=(0.0, 0.02)[i // 3 % 2],
                    momentum=(0.9, 0.5)[i // 7 % 2],
                    labels=("any", "last")[i // 4 % 2],
                )
            )
    return listed


CASES = cases()
CASE_OF = [CASES[CASES_PER_PROGRAM * p] for p in range(len(PROGRAMS))]
"""One case of each program."""


def names(case):
    return f"{case.activation} {case.loss} {case.optimizer} {case.dtype} {case}"


def workspace_of(engine):
    return engine._workspace


# ---- equivalence


@pytest.mark.parametrize("case", CASES, ids=names)
def test_the_engine_is_the_reference(case):
    engine = compare(case)
    form = "sparse" if case.data != "dense" else "dense"
    assert f"{form} first layer" in engine.description or f"{form} plus rank one" in engine.description


def test_the_cases_share_few_programs():
    from fastmlp.engine.plan import panel_widths

    kinds = {"float32": "f32", "float64": "f64"}
    programs = {
        (c.dtype, c.raw, c.data == "dense", c.activation, c.loss, c.optimizer)
        + panel_widths((c.d, *c.hidden, c.k), kinds[c.dtype])
        for c in CASES
    }
    assert len(PROGRAMS) <= len(programs) <= 2 * len(PROGRAMS)
