"""Training problems of every kind for the compiled path, and how its results are compared with the reference's."""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from fastmlp import reference
from fastmlp.descent import Descent
from fastmlp.engine.ahead import Calls, divide_calls
from fastmlp.engine.trainer import Engine
from fastmlp.normalization import learn_normalization
from fastmlp.problem import CONSTANT, Architecture, Optimizer, Problem, Schedule
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import OPTIMIZERS
from fastmlp.reference.parameters import initialize, layer_views

STEEP = {"mean_squared_error": 0.1, "half_squared_error": 0.1, "poisson": 0.1}
"""What the rate is multiplied by where the gradient grows with the error."""
SETTINGS = (0.8, 0.95, 1e-2, True)
"""β₁, β₂, ε of problems whose loss has the penalty, and that ε stands beside the uncorrected √v."""
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}


def rate_of(optimizer):
    """A learning rate with which a few steps show."""
    facts = OPTIMIZERS[optimizer]
    return 10 * facts.lr if facts.lr else 0.02 if facts.arrays else 0.1


class Case(NamedTuple):
    """One problem; the fields up to `optimizer` and the widths decide which stages it takes."""

    dtype: str = "float64"
    raw: str = "float64"
    data: str = "dense"
    activation: str = "relu"
    loss: str = "cross_entropy"
    optimizer: str = "sgd"
    hidden: tuple = (3,)
    k: int = 3
    d: int = 5
    n: int = 50
    batch: int = 7
    threads: int | None = 1
    normalize: str | None = None
    weighted: bool = False
    decay: float = 0.0
    momentum: float = 0.9
    lr: float | None = None
    labels: str = "any"
    epochs: int = 2
    seed: int = 0
    penalized: bool = False
    dropout: tuple = ()
    smoothing: float = 0.0
    clip: float | None = None
    schedule: tuple = CONSTANT[:]
    average: float | None = None

    def __str__(self):
        """A name for pytest."""
        widths = "-".join(map(str, (self.d, *self.hidden, self.k)))
        options = [
            self.normalize or "",
            "weighted" * self.weighted,
            "decay" * bool(self.decay),
            "penalized" * self.penalized,
            f"dropout {self.dropout}" * bool(self.dropout),
            "smoothed" * bool(self.smoothing),
            "clipped" * bool(self.clip),
            "averaged" * bool(self.average),
            self.schedule[0] * (self.schedule != CONSTANT),
        ]
        parts = (self.data, self.raw, widths, f"b{self.batch}", f"n{self.n}", f"t{self.threads}", *options)
        return " ".join(filter(None, parts))


def make_features(rng, n, d, raw, data):
    """Features (n, d) of a type: dense, sparse, sparse before somebody scaled them, with constant columns, or CSR."""
    mask = rng.random((n, d)) < 0.2
    dtype = np.dtype(raw)
    if data == "dense":
        X = rng.integers(0, 256, (n, d)) if raw == "uint8" else rng.standard_normal((n, d))
    elif data == "sparse":
        X = mask * (rng.integers(1, 256, (n, d)) if raw == "uint8" else rng.standard_normal((n, d)))
    elif data == "counts":
        X = mask * rng.integers(1, 4, (n, d))
    elif data == "bright":
        X = 255 - mask * rng.integers(1, 256, (n, d))
    elif data == "standardised":
        X = mask * rng.integers(1, 9, (n, d))
        X = (X - X.mean(axis=0)) / np.where(X.std(axis=0) == 0, 1, X.std(axis=0))
    elif data == "constant":
        X = mask * rng.integers(0, 4, (n, d))
        X[:, ::3] = rng.integers(1, 5, X[:, ::3].shape[1])
    elif data == "zeros":
        X = np.zeros((n, d))
    elif data == "csr":
        return csr_array(make_features(rng, n, d, raw, "sparse"))
    return X.astype(dtype)


def make_targets(rng, n, k, loss, labels="any"):
    """Class numbers (n,) or targets (n, k)."""
    if LOSSES[loss].targets == "classes":
        return rng.integers(0, k, n) if labels == "any" else np.full(n, k - 1) - rng.integers(0, min(k, 2), n)
    kind = LOSSES[loss].targets
    if kind == "counts":
        return rng.poisson(2.0, (n, k)).astype(float)
    return rng.integers(0, 2, (n, k)).astype(float) if kind == "binary" else rng.standard_normal((n, k))


def make_problem(case, X=None):
    """Return (problem, start, orders): the flat vector to start from, and an order of the rows for each epoch."""
    rng = np.random.default_rng(case.seed)
    if X is None:
        X = make_features(rng, case.n, case.d, case.raw, case.data)
    n, d = X.shape
    weights = rng.random(n) * rng.integers(0, 3, n) if case.weighted else None
    widths = (d, *case.hidden, case.k)
    rate = case.lr or rate_of(case.optimizer) * STEEP.get(case.loss, 1)
    optimizer = Optimizer(case.optimizer, rate, case.momentum, case.decay, *(SETTINGS if case.penalized else ()))
    problem = Problem(
        X=X,
        codes=make_targets(rng, n, case.k, case.loss, case.labels),
        sample_weight=weights,
        normalization=learn_normalization(case.normalize, X),
        architecture=Architecture(widths, case.activation, case.loss),
        optimizer=optimizer._replace(clip_norm=case.clip, schedule=Schedule(*case.schedule), ema_decay=case.average),
        batch_size=case.batch,
        dtype=np.dtype(case.dtype),
        num_threads=case.threads,
        is_penalized=case.penalized,
        dropout=case.dropout,
        mask_seed=(case.seed << 40) + 12345,
        label_smoothing=case.smoothing,
    )
    start = initialize(widths, "xavier", rng)
    for _, b in layer_views(start, widths):
        b[...] = 0.3 * rng.standard_normal(b.shape)
    return problem, start.astype(case.dtype), [rng.permutation(n) for _ in range(case.epochs)]


def train(trainer, orders):
    """Return (params, losses) of epochs in these orders of the rows; with a running average, params are this."""
    losses = [trainer.run_epoch(order) for order in orders]
    return trainer.result, np.array(losses)


def distance(params, wanted, widths):
    """The largest difference within any weight matrix or bias vector, relative to the largest number in it.

    NaN if anything is NaN, so that `distance < tolerance` is false then.
    """
    pairs = zip(layer_views(params, widths), layer_views(wanted, widths), strict=True)
    return float(
        np.max(
            [
                np.max(np.abs(mine - other)) / np.max(np.abs(other))
                for layer in pairs
                for mine, other in zip(*layer, strict=True)
            ]
        )
    )


def check(case, params, losses, X=None):
    """Assert that the (params, losses) of a case's training are the reference's."""
    case = case._replace(threads=1)  # small products: BLAS would only wait for its other threads
    problem, start, orders = make_problem(case, X)
    wanted, wanted_losses = train(Descent(problem, start, reference), orders)
    tolerance, widths = TOLERANCE[case.dtype], problem.architecture.widths
    assert params.dtype == wanted.dtype
    assert distance(start, wanted, widths) > 1e-3, "the training changes next to nothing"
    error = distance(params, wanted, widths)
    if not error < tolerance and case.dtype == "float32" and OPTIMIZERS[case.optimizer].lr:
        # Where a gradient is rounding error, Adam and its like make a whole step of it: nobody's float32 is right.
        precise, _, _ = make_problem(case._replace(dtype="float64"), X)
        exact, _ = train(Descent(precise, start.astype(np.float64), reference), orders)
        error, tolerance = distance(params, exact, widths), 10 * distance(wanted, exact, widths)
    assert error < tolerance, f"the parameters differ by {error:.2g}, and by {tolerance:.2g} they may"
    tolerance = TOLERANCE[case.dtype]
    np.testing.assert_allclose(losses, wanted_losses, rtol=tolerance, atol=tolerance, equal_nan=False)


def compare(case, X=None):
    """Train by the engine and by the reference, assert that they agree, and return the engine."""
    problem, start, orders = make_problem(case, X)
    engine = Engine(problem, start)
    check(case, *train(engine, orders), X)
    return engine


def step_ahead(widths, batch, counts, batches=64):
    """`divide_calls` where rows take steps ahead whatever the sizes are, in calls of so many batches."""
    _, _, entries = divide_calls(widths, batch, counts)
    return Calls(batches, True, entries)


def same_bits(one, other):
    """Assert that two pairs (params, losses) are the same to the bit."""
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
