"""The one table of trainings that are checked against the reference and timed: data, network, who, and the target."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from peers import JAX, Competitor, Fastmlp, PyTorch, ScikitLearn, Setup, available

from fastmlp.datasets import load_mnist

Data = tuple[Any, Any]

MNIST_ROWS = 60_000 if os.environ.get("FASTMLP_MNIST_DIR") else 5_000
"""The rows that come with the package, where no folder with all of them is named."""


CHECKED_BATCHES = 4
OWN_GAPS, PEER_GAP = {"float32": 1e-3, "float64": 1e-9}, 0.05
"""The largest seen are 4e-4 and 2e-15 of our own entries, and 0.02 where scikit-learn adds Adam's epsilon elsewhere."""

REFERENCE = {"backend": "reference"}


class Target(NamedTuple):
    """A bound on one of a row's figures: "floors", "threads", "µs", ...; a peer's name stands for the ratio to it."""

    what: str
    sign: str
    limit: float

    def met(self, figures: dict[str, float]) -> bool | None:
        """Whether the figure keeps to the bound; None if it wasn't measured."""
        if self.what not in figures:
            return None
        value = figures[self.what]
        return value <= self.limit if self.sign == "≤" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.what} {self.sign} {self.limit:g}"


@dataclass(frozen=True)
class Entry:
    """One competitor, and how it is handed a workload's data."""

    name: str
    competitor: type = Fastmlp
    prepare: Callable[[Any], Any] = lambda X: X
    options: dict[str, Any] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether this is fastmlp's compiled path."""
        return self.competitor is Fastmlp and "backend" not in self.options


@dataclass(frozen=True)
class Workload:
    """Training data, a network, and everybody who is timed on them."""

    name: str
    title: str
    load: Callable[[int], Data]
    rows: int
    quick_rows: int
    setup: Setup
    entries: tuple[Entry, ...]
    epochs: int = 2
    """In a round, each of them timed."""

    def available(self) -> list[Entry]:
        """The entries whose libraries are installed."""
        return [entry for entry in self.entries if available(entry.competitor)]

    def data(self, entry: Entry, n: int) -> Data:
        """The first n rows as an entry wants them, always the same objects."""
        return _prepare(self.load, entry.prepare, n)

    def build(self, entry: Entry, n: int) -> Competitor:
        """A competitor on n rows, with this workload's start."""
        X, y = self.data(entry, n)
        return entry.competitor(X, y, self.setup, self.setup.start(X.shape[1]), **entry.options)

    def check(self, entry: Entry) -> None:
        """Assert that an entry's parameters after a few batches are what `fastmlp.train` makes of the same rows.

        It trains with its float64 reference. The difference is measured in units of what the training changed.
        """
        n = CHECKED_BATCHES * self.setup.batch_size - 1  # the last batch is short
        X, y = self.data(entry, n)
        competitor = self.build(entry, n)
        order = competitor.order()
        competitor.train(order)
        rows = np.asarray(order, np.int64)
        assert np.array_equal(np.sort(rows), np.arange(n)), f"{entry.name} does not take every row once"
        wanted, start = self.setup.expected(X[rows], y[rows]), self.setup.start(X.shape[1])
        gap = np.linalg.norm(competitor.params() - wanted) / np.linalg.norm(wanted - start)
        bound = OWN_GAPS[entry.options.get("dtype", "float32")] if entry.competitor is Fastmlp else PEER_GAP
        assert gap < bound, f"{entry.name} is {gap:.2g} from the reference"


@functools.lru_cache(maxsize=4)
def _load(load: Callable[[int], Data], n: int) -> Data:
    return load(n)


@functools.lru_cache(maxsize=4)
def _prepare(load: Callable[[int], Data], prepare: Callable[[Any], Any], n: int) -> Data:
    X, y = _load(load, n)
    return prepare(X), y


def to_unit(X: Any) -> Any:
    return np.divide(X, 255, dtype=np.float32)


def standardise(X: Any) -> Any:
    """Columns to mean 0 and deviation 1, as a user would."""
    mean, std = X.mean(axis=0), X.std(axis=0)
    return ((X - mean) / np.where(std == 0, 1, std)).astype(np.float32)


def to_dense(X: Any) -> Any:
    """Pixels over 255 with a little noise, so that none is 0: as if the data were dense."""
    return to_unit(X) + np.random.default_rng(0).random(X.shape, np.float32) / 255


def make_normal(d: int, outputs: int = 10) -> Callable[[int], Data]:
    """Random dense features, and labels that say nothing."""

    def load(n: int) -> Data:
        rng = np.random.default_rng(0)
        return rng.standard_normal((n, d), np.float32), rng.integers(0, outputs, n)

    return load


def make_csr(n: int) -> Data:
    """50,000 features, of which 100 a row are there: 0.2%."""
    from scipy.sparse import csr_matrix

    d, row = 50_000, 100
    rng = np.random.default_rng(0)
    indices = np.concatenate([np.sort(rng.choice(d, row, replace=False)) for _ in range(n)])
    values = rng.random(n * row, np.float32)
    indptr = np.arange(0, n * row + 1, row)
    return csr_matrix((values, indices, indptr), shape=(n, d)), rng.integers(0, 10, n)


def make_speckled(n: int, d: int, density: float) -> Any:
    """Float32 features like the pixels of an image over 255, this share of them not zero."""
    rng = np.random.default_rng(0)
    ink = rng.random((n, d), np.float32) < density
    return np.where(ink, rng.integers(1, 256, (n, d)), 0).astype(np.float32) / np.float32(255)


MUCH_FASTER = (
    Target("floors", "≤", 0.38),
    Target("JAX", "≥", 5),
    Target("PyTorch", "≥", 9),
    Target("scikit-learn", "≥", 9),
    Target("reference", "≥", 6.5),
)


def peers(prepare: Callable[[Any], Any] = lambda X: X) -> tuple[Entry, ...]:
    """Everybody else, on float32 features."""
    return (
        Entry("reference", prepare=prepare, options=REFERENCE),
        Entry("scikit-learn", ScikitLearn, prepare),
        Entry("PyTorch", PyTorch, prepare, {"fused": False}),
        Entry("PyTorch fused", PyTorch, prepare, {"fused": True}),
        Entry("JAX", JAX, prepare),
    )


WORKLOADS = (
    Workload(
        "mnist",
        "MNIST, batch 64",
        load_mnist,
        MNIST_ROWS,
        640,
        Setup(),
        (
            Entry("uint8", targets=MUCH_FASTER),
            Entry("uint8, 1 thread", options={"num_threads": 1}),
            Entry("÷255 float32", prepare=to_unit, targets=MUCH_FASTER),
            Entry("standardised", prepare=standardise, targets=(Target("floors", "≤", 0.40),)),
            Entry("as if dense", prepare=to_dense),
            Entry("uint8 in float64", options={"dtype": "float64"}, targets=(Target("÷ uint8", "≤", 2.2),)),
            *peers(to_unit),
            Entry("reference in float64", prepare=to_unit, options=REFERENCE | {"dtype": "float64"}),
        ),
    ),
    Workload(
        "adam",
        "MNIST, Adam, batch 128",
        load_mnist,
        MNIST_ROWS,
        640,
        Setup(batch_size=128, optimizer="adam", lr=0.001),
        (
            Entry("uint8", targets=(Target("floors", "≤", 0.45),)),
            Entry("standardised", prepare=standardise, targets=(Target("floors", "≤", 0.45),)),
            Entry("as if dense", prepare=to_dense),
            *peers(to_unit),
        ),
    ),
    Workload(
        "dense",
        "random dense 784, batch 64",
        make_normal(784),
        60_000,
        640,
        Setup(lr=0.01),
        (Entry("float32", targets=(Target("floors", "≤", 0.80),)), *peers()),
    ),
    Workload(
        "wide",
        "random dense 784-1024-1024-10, batch 256",
        make_normal(784),
        15_000,
        512,
        Setup((1024, 1024), 256, lr=0.01),
        (Entry("float32", targets=(Target("floors", "≤", 0.72),)), *peers()),
        epochs=1,
    ),
    Workload(
        "csr",
        "CSR, 50,000 columns, 0.2%, hidden 128, batch 200",
        make_csr,
        20_000,
        400,
        Setup((128,), 200),
        (Entry("float32", targets=(Target("scikit-learn", "≥", 20),)), Entry("scikit-learn", ScikitLearn)),
        epochs=1,
    ),
    Workload(
        "tiny",
        "4-32-16-4, batch 32",
        make_normal(4, 4),
        10_000,
        640,
        Setup((32, 16), 32, outputs=4),
        (Entry("float32", targets=(Target("reference", "≥", 20), Target("threads", "≤", 1))), *peers()),
        epochs=10,
    ),
)
