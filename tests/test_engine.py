"""Whole epochs of the compiled path against the reference, over what is compiled in and what varies at run time."""

import ctypes
import itertools
import mmap
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from support.engine_cases import (
    TOLERANCE,
    Case,
    check,
    compare,
    make_features,
    make_problem,
    same_bits,
    step_ahead,
    train,
)
from support.processes import run_python

from fastmlp import reference
from fastmlp.descent import Descent
from fastmlp.engine import runner, workspace
from fastmlp.engine.features import MOST_SPARSE_FEATURES
from fastmlp.engine.packing import restore_panels
from fastmlp.engine.plan import MANY_FEATURES, plan_layers
from fastmlp.engine.stages.reading import CACHED
from fastmlp.engine.trainer import Engine
from fastmlp.problem import activation_text
from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS
from fastmlp.reference.parameters import layer_views

# Hidden widths that share one panel width, and outputs that do.
# Widths of hidden layers by their number (3: or more), and numbers of outputs, that lead to panels of one width; and
# numbers of features. Many are divided among the threads, where the first layer is narrow.
FEW, MANY = (70, 1, 64, 131, 2, 65, 9, 63), (400, 385, 450, 512)
NARROW = (
    {0: [()], 1: [(3,), (1,), (8,)], 2: [(3, 8), (8, 1)], 3: [(7, 2, 8, 4, 3), (5, 1, 3), (2, 5, 1, 7)]},
    (3, 8, 2),
    FEW,
)
MIDDLE = {1: [(60,), (40,)], 2: [(60, 40), (40, 33)]}, (10, 16), FEW
WIDE = (
    {0: [()], 1: [(120,), (130,)], 2: [(130, 17), (64, 64)], 3: [(130, 60, 3, 1, 17), (130, 33, 64)]},
    (37, 130, 101),
    FEW,
)
MIXED = {0: [()], 3: [(130, 60, 3, 1, 17), (130, 33, 64), (120, 64, 3, 17)]}, (10, 13), FEW
WIDE32 = {2: [(256, 128), (250, 100)]}, (101, 64, 37, 130), FEW
MIXED32 = {2: [(120, 60), (130, 130)], 3: [(130, 60, 3, 1, 17), (130, 130, 17)]}, (10, 5), FEW
NARROW_MANY, MIDDLE_MANY = (*NARROW[:2], MANY), (*MIDDLE[:2], MANY)
PAIR_MANY = {1: [(120,), (65,)]}, (10, 3), MANY

SPARSE = {
    "uint8": [("sparse", "unit"), ("sparse", "zscore"), ("bright", "unit"), ("counts", None), ("constant", None)],
    "float32": [("sparse", None), ("standardised", None), ("constant", "zscore"), ("counts", "zscore")],
}
SPARSE["float64"] = SPARSE["float32"]
DENSE = {"uint8": [("dense", "unit"), ("dense", "zscore")]}
CSR = {"float32": [("csr", None)], "float64": [("csr", None)], "uint8": [("csr", "unit"), ("csr", None)]}
DENSE["float32"] = DENSE["float64"] = [("dense", None), ("dense", "zscore")]

# One plan each, or two: every pair of activation, loss and optimizer, of activation and depth, every combination
# of types and forms.
PLANS = [
    ("float64", "uint8", SPARSE, "relu", "cross_entropy", "sgd", MIXED, 3),
    ("float64", "float32", DENSE, "relu", "binary_cross_entropy", "momentum", WIDE, 1),
    ("float32", "float64", SPARSE, "relu", "mean_squared_error", "nesterov", NARROW, 2),
    ("float32", "float32", DENSE, "relu", "cross_entropy", "adam", WIDE32, 2),
    ("float64", "float64", DENSE, "tanh", "binary_cross_entropy", "sgd", NARROW, 0),
    ("float64", "uint8", DENSE, "tanh", "mean_squared_error", "momentum", MIDDLE, 1),
    ("float32", "uint8", SPARSE, "tanh", "cross_entropy", "nesterov", WIDE32, 2),
    ("float64", "float32", SPARSE, "tanh", "binary_cross_entropy", "adam", WIDE, 3),
    ("float32", "float32", SPARSE, "sigmoid", "mean_squared_error", "sgd", MIXED32, 3),
    ("float64", "float64", SPARSE, "sigmoid", "cross_entropy", "momentum", NARROW, 1),
    ("float64", "uint8", SPARSE, "sigmoid", "binary_cross_entropy", "nesterov", MIDDLE, 2),
    ("float32", "uint8", DENSE, "sigmoid", "mean_squared_error", "adam", NARROW, 3),
    ("float32", "float64", DENSE, "identity", "cross_entropy", "sgd", MIXED32, 2),
    ("float64", "float32", SPARSE, "identity", "binary_cross_entropy", "momentum", MIXED, 0),
    ("float64", "float64", DENSE, "identity", "mean_squared_error", "nesterov", WIDE, 1),
    ("float64", "uint8", SPARSE, "identity", "cross_entropy", "adam", NARROW, 3),
    ("float64", "float32", CSR, "tanh", "mean_squared_error", "adam", WIDE, 2),
    ("float32", "uint8", CSR, "relu", "cross_entropy", "sgd", NARROW, 1),
    ("float32", "float32", CSR, "sigmoid", "cross_entropy", "sgd", NARROW, 0),
    ("float64", "uint8", SPARSE, "relu", "cross_entropy", "adam", NARROW_MANY, 2),
    ("float64", "float64", SPARSE, "tanh", "mean_squared_error", "momentum", NARROW_MANY, 0),
    ("float64", "float32", DENSE, "sigmoid", "binary_cross_entropy", "nesterov", NARROW_MANY, 3),
    ("float32", "float32", SPARSE, "relu", "cross_entropy", "sgd", MIDDLE_MANY, 2),
    ("float32", "uint8", DENSE, "relu", "cross_entropy", "adam", MIDDLE_MANY, 1),
    ("float64", "float32", SPARSE, "tanh", "cross_entropy", "rmsprop", MIXED, 3),
    ("float64", "float64", CSR, "leaky_relu", "mean_squared_error", "adamw", MIXED, 3),
    ("float64", "float32", DENSE, "gelu", "cross_entropy", "sgd", MIXED, 3),
    ("float32", "uint8", SPARSE, "gelu", "cross_entropy", "adam", WIDE32, 2),
    ("float64", "float64", SPARSE, "silu", "mean_squared_error", "momentum", NARROW_MANY, 2),
    ("float64", "float32", SPARSE, "relu", "huber", "sgd", MIXED, 3),
    ("float32", "uint8", DENSE, "tanh", "huber", "adam", NARROW, 2),
    ("float64", "uint8", DENSE, "elu", "cross_entropy", "sgd", MIXED, 3),
    ("float32", "float32", SPARSE, "leaky_relu", "cross_entropy", "sgd", WIDE32, 2),
    ("float32", "uint8", SPARSE, "sigmoid", "cross_entropy", "adamw", NARROW, 2),
    ("float32", "float32", DENSE, "relu", "mean_squared_error", "rmsprop", WIDE32, 2),
    ("float64", "float64", SPARSE, "relu", "log_loss", "adam", MIXED, 3),
    ("float64", "float32", DENSE, "tanh", "binary_log_loss", "nesterov", WIDE, 1),
    ("float64", "float64", CSR, "relu", "half_squared_error", "adam", NARROW, 2),
    ("float64", "uint8", SPARSE, "relu", "poisson", "sgd", NARROW_MANY, 1),
    ("float32", "float32", DENSE, "sigmoid", "log_loss", "momentum", NARROW_MANY, 2),
    ("float32", "uint8", SPARSE, "relu", "log_loss", "adam", PAIR_MANY, 1),
]
PENALIZED = ("log_loss", "binary_log_loss", "half_squared_error", "poisson")
BATCHES = {1: (45, 2), 7: (204, 3), 64: (200, 8), 200: (401, 6), 500: (130, 12)}
"""Batch size: (rows, epochs), at most 100 steps. The last batch has 1 row, 1, 8, 1, and all 130."""
CASES_PER_PLAN = 10
STACKS = [
    # Each layer has an activation of its own; the derivatives of gelu and silu are functions of inputs, which are kept.
    Case("float32", "float32", "dense", ("relu", "gelu"), hidden=(130, 64), k=10, d=100),  # kept by unit
    Case("float32", "uint8", "dense", ("gelu", "relu"), hidden=(130, 64), k=10, d=65, normalize="unit"),
    Case("float64", "uint8", "sparse", ("silu", "relu", "elu"), hidden=(130, 33, 64), k=10, normalize="zscore", d=70),
    Case("float64", "float64", "csr", ("elu", "silu", "tanh"), hidden=(120, 64, 17), k=10, d=63),
    Case("float64", "float32", "dense", ("relu", "silu"), hidden=(3, 8), k=3, d=400),  # divided by feature
    Case("float32", "uint8", "sparse", ("gelu", "leaky_relu"), hidden=(8, 3), k=8, d=70, normalize="unit"),
    Case("float64", "float64", "sparse", ("relu", "gelu", "sigmoid"), "huber", "adam", hidden=(7, 2, 8), k=2, d=64),
]
STACKS = [case._replace(n=201, batch=100, epochs=3, threads=2) for case in STACKS]


def cases():
    """Cases that share the plans, in which what is a number at run time varies in cycles of different lengths."""
    listed = []
    for p, (dtype, raw, form, activation, loss, optimizer, (widths, outputs, features), depth) in enumerate(PLANS):
        hidden = widths[depth]
        for j in range(CASES_PER_PLAN):
            i = CASES_PER_PLAN * p + j
            batch = tuple(BATCHES)[i % len(BATCHES)]
            n, epochs = BATCHES[batch]
            data, normalize = form[raw][j % len(form[raw])]
            case = Case(dtype, raw, data, activation, loss, optimizer, n=n, batch=batch, epochs=epochs, seed=i)
            listed.append(
                case._replace(
                    hidden=hidden[j % len(hidden)],
                    k=outputs[j % len(outputs)],
                    d=features[(i + p) % len(features)],
                    threads=1 + i % 3,
                    normalize=normalize,
                    weighted=i // 5 % 2 == 1,
                    decay=(0.0, 0.02)[i // 3 % 2],
                    momentum=(0.9, 0.5)[i // 7 % 2],
                    labels=("any", "last")[i // 4 % 2],
                    penalized=loss in PENALIZED,
                )
            )
    return listed


CASES = cases()
TILES = [next(c for c in CASES[i:] if c.batch == 200) for i in range(0, len(CASES), CASES_PER_PLAN)]
"""A case of each plan whose batches take four tiles, the last of them short, and whose last batch has one row."""
SPARSE_FLOATS, DENSE_FLOATS = (
    Case("float64", "float64", "sparse", "sigmoid", "cross_entropy", "momentum"),
    Case("float64", "float64", "dense", "tanh", "binary_cross_entropy", "sgd"),
)
FORMS = [pytest.param(SPARSE_FLOATS, id="sparse"), pytest.param(DENSE_FLOATS, id="dense")]


def names(case):
    return f"{activation_text(case.activation)} {case.loss} {case.optimizer} {case.dtype} {case}"


def form_of(case):
    return {"dense": "dense", "csr": "CSR"}.get(case.data, "sparse")


def run(problem, start, orders):
    return train(Engine(problem, start), orders)


# ---- equivalence


@pytest.mark.parametrize("case", [*CASES, *STACKS], ids=names)
def test_the_engine_is_the_reference(case):
    engine = compare(case)
    assert engine.description.startswith(f"compiled path, {form_of(case)}")


def test_the_cases_cover_every_plan(monkeypatch):
    monkeypatch.setattr(workspace, "find_stages", lambda stages, before_compiling: dict.fromkeys(stages, 0))
    monkeypatch.setattr(workspace.Workspace, "load", lambda self, *learned: None)  # it calls a stage
    plans = {Engine(*make_problem(case)[:2])._workspace.plan for case in CASES}
    assert {plan.form for plan in plans} == {"dense", "sparse", "csr"}
    by_feature = {(plan.form, min(3, plan.depth)) for plan in plans if plan.by_feature}
    assert by_feature >= {("sparse", 0), ("sparse", 2), ("dense", 3)}
    assert {(plan.kind, plan.raw, plan.form) for plan in plans} >= set(
        itertools.product(("f32", "f64"), ("u8", "f32", "f64"), ("dense", "sparse"))
    )
    assert {name for plan in plans for name in plan.activations} == set(ACTIVATIONS)
    for field, registry in (("loss", LOSSES), ("optimizer", OPTIMIZERS)):
        assert {getattr(plan, field) for plan in plans} == set(registry)


@pytest.mark.parametrize("case", FORMS)
@pytest.mark.parametrize("hidden", [(8, 3), (40, 3)])
def test_many_features(case, hidden):
    batch = 100
    assert 8 * 1000 * batch > CACHED
    compare(case._replace(d=1000, n=230, batch=batch, epochs=3, hidden=hidden, k=8, threads=2))


def test_as_many_features_as_lists_hold():
    case = SPARSE_FLOATS._replace(d=MOST_SPARSE_FEATURES, n=10, batch=6, hidden=(8, 3), k=8, threads=2)
    X = make_features(np.random.default_rng(6), case.n, case.d, "float64", "sparse") / 100
    X[:, -1] = 1 + np.arange(case.n) % 2
    assert compare(case, X).description.startswith("compiled path, sparse")


def test_features_that_are_all_zero():
    compare(CASES[0]._replace(data="zeros", normalize=None, n=70, batch=64, epochs=4))


@pytest.mark.parametrize("index", [np.int32, np.int64])
def test_csr_of_any_index_type(index):
    case = CASES[-1]._replace(normalize=None, n=70, d=300, batch=64, threads=2, weighted=False, raw="uint8")
    X = make_features(np.random.default_rng(5), 70, 300, "uint8", "counts")
    X[5:9] = 0
    entries = csr_array(X)
    entries.indices, entries.indptr = entries.indices.astype(index), entries.indptr.astype(index)
    assert entries.indices.dtype == index
    assert "CSR" in compare(case, entries).description


def test_csr_without_an_entry():
    compare(CASES[-1]._replace(normalize=None, batch=64, epochs=4, weighted=False), csr_array((70, 9), dtype=np.uint8))


def test_handwritten_digits(mnist):
    X, _ = mnist
    case = CASES[0]._replace(hidden=(130, 64), k=10, batch=64, epochs=2, normalize="unit", threads=2)
    compare(case, X[:500])


def test_threads_are_chosen_where_nobody_asks_for_some():
    assert "1 thread" in compare(SPARSE_FLOATS._replace(threads=None)).description


def test_threads_divide_many_features_where_units_are_few(monkeypatch):
    monkeypatch.setattr(runner, "usable_cores", lambda: 8)
    case = SPARSE_FLOATS._replace(threads=None, hidden=(8, 3), k=8, n=1000, batch=500, epochs=1)
    for d, threads in ((1000, 4), (1600, 6), (MANY_FEATURES - 1, 1)):
        assert Engine(*make_problem(case._replace(d=d))[:2]).description.endswith(
            f" {threads} thread{'s' * (threads > 1)}"
        )


# ---- one result, whatever the threads and whatever scratch memory held before


@pytest.mark.parametrize("case", [*TILES, *STACKS], ids=names)
def test_any_number_of_threads_gives_the_same_bits(case):
    case = case._replace(n=331, epochs=2)
    one = run(*make_problem(case._replace(threads=1)))
    for threads in (2, 3, 8):
        same_bits(run(*make_problem(case._replace(threads=threads))), one)


ELSEWHERE = """
import hashlib
import os

os.cpu_count = lambda: {cores}
os.sched_getaffinity = lambda process: set(range({cores}))

from support.engine_cases import Case, make_problem, train
from fastmlp.engine.trainer import Engine

for case in {cases!r}:
    problem, start, orders = make_problem(case)
    engine = Engine(problem, start)
    params, losses = train(engine, orders)
    print(hashlib.sha256(params.tobytes() + losses.tobytes()).hexdigest(), engine.description.split(", ")[-1])
"""


def test_any_number_of_cores_gives_the_same_bits():
    wide = SPARSE_FLOATS._replace(hidden=(1400,), n=3000, batch=128, threads=None)
    cases = [wide, wide._replace(hidden=(8, 3), k=8, d=1000, n=150)]
    machines = [run_python(ELSEWHERE.format(cores=cores, cases=cases)) for cores in (1, 2, 24)]
    results = [dict(line.split(" ", 1) for line in machine.splitlines()) for machine in machines]
    one, two, many = (int(next(iter(result.values())).split()[0]) for result in results)
    assert (one, two) == (1, 2)
    assert many > 4
    assert results[0].keys() == results[1].keys() == results[2].keys()
    assert len(results[0]) == len(cases)


def test_more_threads_than_samples_and_panels():
    for case in (SPARSE_FLOATS, DENSE_FLOATS):
        case = case._replace(n=3, batch=2, hidden=(1, 2), k=2)
        same_bits(run(*make_problem(case._replace(threads=9))), run(*make_problem(case)))
        compare(case._replace(threads=9))


@pytest.mark.parametrize("case", [*TILES, *STACKS], ids=names)
def test_nothing_is_read_from_scratch_memory_before_it_is_written(case):
    problem, start, orders = make_problem(case._replace(epochs=3))
    clean = run(problem, start, orders)
    for poison in (0x00, 0xFF):
        engine, losses = Engine(problem, start), []
        for order in orders:
            scratch = engine._workspace.scratch()
            assert len(scratch) >= 8
            for array in scratch:
                array.view(np.uint8)[...] = poison
            losses.append(engine.run_epoch(order))
        same_bits((engine.params, np.array(losses)), clean)


@pytest.mark.parametrize("case", TILES, ids=names)
def test_padding_stays_zero(case):
    problem, start, orders = make_problem(case._replace(d=case.d | 1))
    engine = Engine(problem, start)
    train(engine, orders)
    own = engine._workspace
    plans = plan_layers(problem.architecture.widths, own.plan.row, own.plan.out)
    padded = 0
    layers = [layer for layers in own._layers for layer in layers]
    for layer, plan in zip(layers, plans * len(own._layers), strict=True):
        W, b = layer["W"] if isinstance(layer["W"], np.ndarray) else restore_panels(layer["WT"], plan), layer["b"]
        panels, rows, lanes = W.shape
        wide = W.transpose(1, 0, 2).reshape(rows, panels * lanes)
        assert np.all(wide[: plan.in_units, : plan.units] != 0)
        assert not np.any(wide[plan.in_units :])
        assert not np.any(wide[:, plan.units :])
        assert not np.any(b.ravel()[plan.units :])
        padded += wide.size - plan.in_units * plan.units
    assert padded > 0


def test_the_caller_computes_as_before():
    """Within a call subnormal numbers count as 0; the thread of the caller runs one, too."""
    tiny = np.full(4, 1e-39, np.float32)
    problem, start, orders = make_problem(TILES[0]._replace(threads=1))
    engine = Engine(problem, start)
    train(engine, orders)
    engine.predictor.logits(start, problem.X)
    assert np.all(tiny * np.float32(0.5) > 0)


@pytest.mark.parametrize("case", [c for c in TILES if c.optimizer != "sgd"][:4], ids=names)
def test_an_optimizer_goes_on_where_the_last_epoch_ended(case):
    problem, start, orders = make_problem(case._replace(epochs=3))
    engine, descent = Engine(problem, start), Descent(problem, start, reference)
    for order in orders:
        np.testing.assert_allclose(engine.run_epoch(order), descent.run_epoch(order), rtol=1e-5)
    again = Engine(problem, engine.params)
    assert np.max(np.abs(again.params - engine.params)) == 0
    before = engine.params
    again.run_epoch(orders[0])
    engine.run_epoch(orders[0])
    descent.run_epoch(orders[0])
    tolerance = 1e-3 * np.max(np.abs(before - engine.params))
    assert np.max(np.abs(engine.params - descent.params)) < tolerance < np.max(np.abs(again.params - engine.params))


@pytest.mark.parametrize("case", TILES, ids=names)
def test_a_training_goes_on_from_its_state(case):
    """To the bit, on another number of threads, and as the reference does from the same state."""
    problem, start, orders = make_problem(case)
    engine, descent = Engine(problem, start), Descent(problem, start, reference)
    engine.run_epoch(orders[0])
    descent.state = state = engine.state
    other = Engine(replace(problem, num_threads=3 - case.threads % 2), start)
    other.state = state
    same_bits(train(other, orders[1:2]), train(engine, orders[1:2]))
    train(descent, orders[1:2])
    assert engine.state.steps == descent.state.steps == 2 * -(-case.n // case.batch)
    for mine, wanted in zip(engine.state.arrays, descent.state.arrays, strict=True):
        np.testing.assert_allclose(mine, wanted, atol=TOLERANCE[case.dtype] * np.max(np.abs(wanted)))


@pytest.mark.parametrize("case", [*TILES[:3], *TILES[16:18]], ids=names)
def test_data_are_exchanged(case):
    """An engine goes on with other rows, more of them and in smaller batches, as a new one would."""
    problem, start, _ = make_problem(case)
    other, _, orders = make_problem(case._replace(seed=case.seed + 1, n=case.n + 30, batch=64, weighted=True))
    other = replace(other, normalization=problem.normalization)
    engine, fresh = Engine(problem, start), Engine(problem, start)
    engine.run_epoch(np.arange(case.n))
    assert engine.exchange(other)
    engine.state = fresh.state
    descent = Descent(other, start, reference)
    for mine, wanted in zip(train(engine, orders[:2]), train(descent, orders[:2]), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=TOLERANCE[case.dtype], atol=TOLERANCE[case.dtype])


def test_data_that_do_not_fit_are_not_exchanged():
    """Another container, another type, larger batches: the engine goes on with what it had."""
    problem, start, orders = make_problem(DENSE_FLOATS)
    others = [
        make_problem(DENSE_FLOATS._replace(**change))[0]
        for change in ({"data": "csr"}, {"raw": "float32"}, {"batch": 20})
    ]
    engine, fresh = Engine(problem, start), Engine(problem, start)
    assert not any(engine.exchange(other) for other in others)
    same_bits(train(engine, orders), train(fresh, orders))


def test_the_given_parameters_are_copied():
    problem, start, orders = make_problem(SPARSE_FLOATS)
    start.flags.writeable = False
    engine = Engine(problem, start)
    before = engine.params
    same_bits((before,), (start,))
    engine.run_epoch(orders[0])
    assert np.any(engine.params != start)
    np.testing.assert_array_equal(before, start)


def test_two_engines_at_once():
    problems = [make_problem(case._replace(threads=2, n=331, batch=64, epochs=5)) for case in (TILES[0], TILES[9])]
    alone = [run(*problem) for problem in problems]
    together = [None, None]

    def work(i):
        together[i] = run(*problems[i])

    workers = [threading.Thread(target=work, args=(i,)) for i in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, other in zip(together, alone, strict=True):
        same_bits(one, other)


# ---- steps ahead of the batches, where a CSR matrix leaves most rows of the first layer without a gradient

AHEAD = [
    case._replace(n=331, batch=20, epochs=2, threads=2, decay=0.02, normalize=None)
    for case in TILES
    if case.data == "csr"
]
AHEAD.append(next(case for case in AHEAD if not case.hidden)._replace(loss="log_loss", penalized=True))


def few_entries(case):
    """A CSR matrix of which a batch of 20 samples leaves two in three features out, and one has no entry at all."""
    d, rng = 301, np.random.default_rng(4)
    X = rng.integers(1, 9, (case.n, d)) if case.raw == "uint8" else rng.standard_normal((case.n, d))
    X = X * (rng.random((case.n, d)) < 0.02)
    X[:, 7], X[3] = 0, 0
    return csr_array(X.astype(case.raw))


@pytest.mark.parametrize("case", AHEAD, ids=names)
def test_steps_ahead_are_the_same_steps(monkeypatch, case):
    """To the bit, wherever calls end; sums of squares are added in another order."""
    problem, start, orders = make_problem(case, few_entries(case))
    params, losses = run(problem, start, orders)
    check(case, params, losses, problem.X)
    for batches in (1, 5, 64):
        monkeypatch.setattr(workspace, "divide_calls", lambda *given, n=batches: step_ahead(*given, n))
        mine, told = run(problem, start, orders)
        same_bits((mine,), (params,))
        np.testing.assert_allclose(told, losses, rtol=1e-15 if not case.penalized else TOLERANCE[case.dtype] / 100)


@pytest.mark.parametrize("case", AHEAD, ids=names)
def test_bits_of_steps_ahead_depend_on_nothing_else(monkeypatch, case):
    """Neither on threads nor on what scratch memory held."""
    monkeypatch.setattr(workspace, "divide_calls", step_ahead)
    problem, start, orders = make_problem(case, few_entries(case))
    one = run(replace(problem, num_threads=1), start, orders)
    for threads in (2, 3, 8):
        engine, losses = Engine(replace(problem, num_threads=threads), start), []
        for order in orders:
            for array in engine._workspace.scratch():
                array.view(np.uint8)[...] = 0xFF
            losses.append(engine.run_epoch(order))
        same_bits((engine.params, np.array(losses)), one)


def test_steps_are_taken_ahead_where_it_pays():
    """With the memory that the longest call needs, of other data too."""
    case = AHEAD[0]._replace(hidden=(64, 3), k=10, n=90)
    X = make_features(np.random.default_rng(1), 90, 2100, case.raw, "sparse")
    many, start, orders = make_problem(case, csr_array(X))
    few = replace(many, X=csr_array(X * (X > 1)))
    engine = Engine(few, start)
    for now, ahead in ((few, 1), (many, 0), (few, 1)):
        assert engine.exchange(now)
        engine.run_epoch(orders[0])
        assert engine._workspace._set["ahead"] == ahead
    fresh = Engine(few, start)
    engine.state = fresh.state
    same_bits(train(engine, orders), train(fresh, orders))


# ---- numbers out of bounds


@pytest.mark.parametrize("plan", [0, 1, 2, 8, 12, 14])
def test_divergence_shows(plan):
    case = TILES[plan]._replace(lr=1e30, epochs=4, threads=2, labels="any")
    problem, start, orders = make_problem(case)
    params, losses = run(problem, start, orders)
    assert not (np.all(np.isfinite(losses)) and np.all(np.isfinite(params)))


@pytest.mark.parametrize("plan", [0, 1, 2, 3])
def test_a_rectifier_does_not_hide_infinities(plan):
    raw, sparse = PLANS[plan][1], PLANS[plan][2] is SPARSE
    rng = np.random.default_rng(0)
    X = rng.integers(2, 256, (40, 2)) * (rng.random((40, 1)) < (0.3 if sparse else 1))
    case = TILES[plan]._replace(batch=40, normalize=None, labels="any", weighted=False)
    problem, start, orders = make_problem(case, X.astype(raw))
    W, _ = layer_views(start, problem.architecture.widths)[0]
    W[0], W[1] = np.finfo(start.dtype).max, -np.finfo(start.dtype).max  # the next layer then adds inf and -inf
    assert not np.isfinite(Engine(problem, start).run_epoch(orders[0]))


def test_overflow_of_the_constant_part_is_silent():
    X = np.full((30, 2), 1e300)
    X[::7] = 0
    problem, start, orders = make_problem(SPARSE_FLOATS, X)
    engine = Engine(problem, 1e10 * start)
    # Infinite where a product is rounded into a sum, NaN where infinities of both signs are added: as BLAS likes it.
    assert not np.any(np.isfinite(engine._workspace.shared["h"][..., : SPARSE_FLOATS.hidden[0]]))
    train(engine, orders)


# ---- how samples lie in memory


@pytest.mark.parametrize("case", FORMS)
@pytest.mark.parametrize("raw", ["float64", "float32", "uint8"])
def test_any_layout_of_the_features_gives_the_same_bits(case, raw, tmp_path):
    case = plan_of(case, raw)._replace(d=67, n=83, batch=20)
    X = make_features(np.random.default_rng(3), 83, 67, raw, case.data)
    wanted = run(*make_problem(case, X))

    wide = np.full((90, 80), 99 if raw == "uint8" else np.nan, raw)
    wide[:83, 5:72] = X
    spaced = np.full((166, 67), 7, raw)
    spaced[::2] = X
    mapped = np.memmap(tmp_path / "X", raw, "w+", shape=X.shape)
    mapped[...] = X
    mapped.flush()
    layouts = {
        "columns of a wider matrix": wide[:83, 5:72],
        "every other row": spaced[::2],
        "Fortran order": np.asfortranarray(X),
        "backwards": X[::-1, ::-1].copy()[::-1, ::-1],
        "memory-mapped": np.memmap(tmp_path / "X", raw, "r", shape=X.shape),
    }
    for layout in layouts.values():
        layout.flags.writeable = False
        np.testing.assert_array_equal(layout, X)
        same_bits(run(*make_problem(case, layout)), wanted)


@pytest.mark.skipif(sys.platform == "win32", reason="protects memory as POSIX systems do")
@pytest.mark.parametrize("case", FORMS)
@pytest.mark.parametrize("raw", ["float64", "float32", "uint8"])
@pytest.mark.parametrize("d", [1, 3, 63, 65, 131])
def test_nothing_is_read_past_the_end_of_the_features(case, raw, d):
    case = plan_of(case, raw)._replace(d=d, n=150, batch=64, epochs=1, threads=2)
    X = make_features(np.random.default_rng(d), 150, d, raw, case.data)
    with before_forbidden_memory(X) as guarded:
        same_bits(run(*make_problem(case, guarded)), run(*make_problem(case, X)))


def plan_of(case, raw):
    """The case on raw features of a type for which stages are compiled anyway."""
    if raw == case.raw:
        return case
    form = form_of(case)
    return next(
        c._replace(weighted=False, threads=1, epochs=2)
        for c in CASES
        if c.raw == raw and form_of(c) == form and c.dtype == "float64"
    )._replace(data=form, normalize="unit" if raw == "uint8" else None)


@contextmanager
def before_forbidden_memory(X):
    """A copy of X that ends where memory begins that nobody may touch."""
    page, size = mmap.PAGESIZE, -(-X.nbytes // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, size + page), np.uint8)
    end = ctypes.c_void_p(memory.ctypes.data + size)
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    assert protect(end, ctypes.c_size_t(page), 0) == 0
    copy = memory[size - X.nbytes : size].view(X.dtype).reshape(X.shape)
    copy[...] = X
    try:
        yield copy
    finally:
        protect(end, ctypes.c_size_t(page), mmap.PROT_READ | mmap.PROT_WRITE)


# ---- any network


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(
    sparse=st.booleans(),
    hidden=st.lists(st.integers(1, 8), max_size=5),
    k=st.integers(2, 8),
    n=st.integers(3, 150),
    d=st.integers(1, 140),
    batch=st.integers(1, 160),
    threads=st.integers(1, 4),
    weighted=st.booleans(),
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_any_network(sparse, n, **chosen):
    case = (SPARSE_FLOATS if sparse else DENSE_FLOATS)._replace(n=n, epochs=min(3, 1 + 100 // n), **chosen)
    compare(case._replace(hidden=tuple(case.hidden), data="counts" if sparse and n > 40 else case.data))
