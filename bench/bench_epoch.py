"""The one table of trainings that are checked against the reference and timed: data, network, who, and the targets."""

import functools
import os
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from bench_roofline import training_flops
from peers import JAX, Competitor, Fastmlp, PyTorch, ScikitLearn, Setup, available, has_one_logit
from race import Case, Entrant, Target

from fastmlp.datasets import load_mnist

Data = tuple[Any, Any]

MNIST_ROWS = 60_000 if os.environ.get("FASTMLP_MNIST_DIR") else 5_000
"""The rows that come with the package, where no folder with all of them is named."""
QUICK_ROWS, CHECKED_BATCHES = 640, 4
OWN_GAPS, PEER_GAP = {"float32": 1e-3, "float64": 1e-9}, 0.05
"""The largest seen are 4e-4 and 2e-15 of our own entries, and 0.02 where scikit-learn adds Adam's epsilon elsewhere."""

REFERENCE = {"backend": "reference"}


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
    setup: Setup
    entries: tuple[Entry, ...] = (Entry("fastmlp"),)
    epochs: int = 2
    """In a turn, each of them timed."""

    def data(self, entry: Entry, n: int) -> Data:
        """The first n rows as an entry wants them, always the same objects."""
        return _prepare(self.load, entry.prepare, n)

    def build(self, entry: Entry, n: int, **others: Any) -> Competitor:
        """A competitor on n rows, with this workload's start, and with other options than the entry's."""
        X, y = self.data(entry, n)
        return entry.competitor(X, y, self.setup, self.setup.start(X.shape[1]), **entry.options | others)

    def check(self, entry: Entry) -> None:
        """Assert that an entry's parameters after a few batches are what `fastmlp.train` makes of the same rows.

        It trains with its float64 reference. The difference is measured in units of what the training changed. What
        scikit-learn makes another network of is not held to it.
        """
        if entry.competitor is ScikitLearn and has_one_logit(self.setup):
            return
        n = CHECKED_BATCHES * self.setup.batch_size - 1  # the last batch is short
        X, y = self.data(entry, n)
        competitor = self.build(entry, n, **({} if entry.competitor is Fastmlp else {"threads": 1}))
        rows = np.random.default_rng(0).permutation(n)
        competitor.train(competitor.arrange(rows))
        wanted, start = self.setup.expected(X[rows], y[rows]), self.setup.start(X.shape[1])
        gap = np.linalg.norm(competitor.params() - wanted) / np.linalg.norm(wanted - start)
        bound = OWN_GAPS[entry.options.get("dtype", "float32")] if entry.competitor is Fastmlp else PEER_GAP
        assert gap < bound, f"{entry.name} is {gap:.2g} from the reference"

    def enter(self, entry: Entry) -> Entrant:
        """An entry on all rows."""
        competitor, rng = self.build(entry, self.rows), np.random.default_rng(0)
        widths = self.setup.widths(self.data(entry, self.rows)[0].shape[1])
        facts = {key: value for key in ("path", "threads") if (value := getattr(competitor, key, None)) is not None}
        return Entrant(
            competitor.train,
            partial(self.check, entry),
            lambda: (competitor.arrange(rng.permutation(self.rows)),),
            ours=entry.ours,
            blas=not entry.ours,
            repeats=self.epochs,
            flops=training_flops(widths, self.rows),
            facts=facts,
        )

    def case(self) -> Case:
        """Everybody who is installed."""
        entries = {entry.name: entry for entry in self.entries if available(entry.competitor)}

        def build(names: Collection[str]) -> dict[str, Entrant]:
            return {name: self.enter(entries[name]) for name in names}

        targets = {name: entry.targets for name, entry in entries.items()}
        return Case(self.name, f"epoch: {self.title}, {self.rows:,} rows", tuple(entries), build, targets)

    def quick(self) -> "Workload":
        """The same on few rows."""
        return replace(self, rows=min(self.rows, max(QUICK_ROWS, 2 * self.setup.batch_size)))


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


def make_normal(n: int, d: int = 784, outputs: int = 10) -> Data:
    """Random dense features, and labels that say nothing."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, d), np.float32), rng.integers(0, outputs, n)


def make_speckled(n: int, density: float) -> Data:
    """Bytes like the pixels of an image, this share of them not zero, and random labels."""
    rng = np.random.default_rng(2)
    ink = rng.random((n, 784), np.float32) < density
    X = np.where(ink, rng.integers(1, 256, (n, 784), np.uint8), np.uint8(0))
    return X, np.random.default_rng(1).integers(0, 10, n)


def make_numbers(n: int, d: int) -> Data:
    """Standardised columns, and one target (n, 1) that two of them and noise make."""
    X, _ = make_normal(n, d)
    noise = np.random.default_rng(1).standard_normal(n, np.float32)
    return X, (np.sin(2 * X[:, 0]) + X[:, 1] + noise / 10)[:, None].astype(np.float32)


def make_csr(n: int) -> Data:
    """50,000 features, of which 100 a row are there: 0.2%."""
    from scipy.sparse import csr_matrix

    d, row = 50_000, 100
    rng = np.random.default_rng(0)
    indices = np.concatenate([np.sort(rng.choice(d, row, replace=False)) for _ in range(n)])
    values = rng.random(n * row, np.float32)
    indptr = np.arange(0, n * row + 1, row)
    return csr_matrix((values, indices, indptr), shape=(n, d)), rng.integers(0, 10, n)


def others(prepare: Callable[[Any], Any] = lambda X: X) -> tuple[Entry, ...]:
    """Everybody else, on float32 features."""
    return (
        Entry("reference", prepare=prepare, options=REFERENCE),
        Entry("scikit-learn", ScikitLearn, prepare),
        Entry("PyTorch", PyTorch, prepare, {"fused": False}),
        Entry("PyTorch fused", PyTorch, prepare, {"fused": True}),
        Entry("PyTorch compiled", PyTorch, prepare, {"compiled": True}),
        Entry("JAX", JAX, prepare),
    )


def table(name: str, title: str, load: Callable[[int], Data], setup: Setup) -> Workload:
    """An Adam training on the standardised columns of a table."""
    setup = setup._replace(optimizer="adam", lr=0.001)
    return Workload(name, f"{title}, Adam", load, 20_000, setup, (Entry("float32"), *others()))


def dense(name: str, title: str, rows: int, setup: Setup) -> Workload:
    """A training on features of which none is 0, and labels that say nothing."""
    return Workload(name, title, make_normal, rows, setup._replace(lr=0.01), (Entry("float32"), *others()), 1)


def pixels(name: str, title: str, load: Callable[[int], Data], rows: int, setup: Setup) -> Workload:
    """A training on bytes, which others take in float32."""
    return Workload(name, title, load, rows, setup, (Entry("uint8"), *others(to_unit)), 1)


WORKLOADS = (
    Workload(
        "mnist",
        "MNIST, batch 64",
        load_mnist,
        MNIST_ROWS,
        Setup(),
        (
            Entry("uint8"),
            Entry("uint8, 1 thread", options={"num_threads": 1}),
            Entry("÷255 float32", prepare=to_unit),
            Entry("standardised", prepare=standardise),
            Entry("as if dense", prepare=to_dense),
            Entry("uint8 in float64", options={"dtype": "float64"}, targets=(Target("÷ uint8", "≤", 2.2),)),
            *others(to_unit),
            Entry("reference in float64", prepare=to_unit, options=REFERENCE | {"dtype": "float64"}),
        ),
    ),
    Workload(
        "adam",
        "MNIST, Adam, batch 128",
        load_mnist,
        MNIST_ROWS,
        Setup(batch_size=128, optimizer="adam", lr=0.001),
        (
            Entry("uint8"),
            Entry("standardised", prepare=standardise),
            Entry("as if dense", prepare=to_dense),
            *others(to_unit),
        ),
    ),
    Workload(
        "dense",
        "random dense 784, batch 64",
        make_normal,
        60_000,
        Setup(lr=0.01),
        (Entry("float32"), *others()),
    ),
    Workload(
        "wide",
        "random dense 784-1024-1024-10, batch 256",
        make_normal,
        15_000,
        Setup((1024, 1024), 256, lr=0.01),
        (Entry("float32"), *others()),
        epochs=1,
    ),
    Workload(
        "csr",
        "CSR, 50,000 columns, 0.2%, hidden 128, batch 200",
        make_csr,
        20_000,
        Setup((128,), 200),
        (Entry("float32", targets=(Target("scikit-learn", "≥", 20),)), Entry("scikit-learn", ScikitLearn)),
        epochs=1,
    ),
    Workload(
        "tiny",
        "4-32-16-4, batch 32",
        partial(make_normal, d=4, outputs=4),
        10_000,
        Setup((32, 16), 32, outputs=4),
        (Entry("float32", targets=(Target("reference", "≥", 20), Target("threads", "≤", 1))), *others()),
        epochs=10,
    ),
    table(
        "regression",
        "30-128-128-1 regression, batch 256",
        partial(make_numbers, d=30),
        Setup((128, 128), 256, outputs=1, loss="mean_squared_error"),
    ),
    table("one layer", "50-100-2, batch 200", partial(make_normal, d=50, outputs=2), Setup((100,), 200, outputs=2)),
    table(
        "two layers", "20-64-32-3, batch 128", partial(make_normal, d=20, outputs=3), Setup((64, 32), 128, outputs=3)
    ),
    table("dozen", "12-100-2, batch 100", partial(make_normal, d=12, outputs=2), Setup((100,), 100, outputs=2)),
    dense("tanh", "random dense 784, tanh, batch 64", 20_000, Setup(activation="tanh")),
    dense("sigmoid", "random dense 784, sigmoid, batch 64", 20_000, Setup(activation="sigmoid")),
    dense(
        "wide tanh",
        "random dense 784-1024-1024-10, tanh, batch 256",
        5_000,
        Setup((1024, 1024), 256, activation="tanh"),
    ),
    Workload(
        "outputs",
        "random dense 256-256-10000, batch 128",
        partial(make_normal, d=256, outputs=10_000),
        4_096,
        Setup((256,), 128, lr=0.01, outputs=10_000),
        # scikit-learn takes a minute to turn so many classes into columns
        (Entry("float32"), *(entry for entry in others() if entry.competitor is not ScikitLearn)),
        1,
    ),
    pixels("half", "pixels half of them 0, batch 64", partial(make_speckled, density=0.5), 20_000, Setup(lr=0.01)),
    pixels(
        "half, batch 16",
        "784-128-10, pixels half of them 0, batch 16",
        partial(make_speckled, density=0.5),
        20_000,
        Setup((128,), 16, lr=0.01),
    ),
    pixels("single", "MNIST, batch 1", load_mnist, 2_000, Setup(batch_size=1, lr=0.01)),
    pixels("eights", "MNIST, batch 8", load_mnist, 10_000, Setup(batch_size=8, lr=0.03)),
)


def make_cases(quick: bool, full: bool) -> list[Case]:
    """One case for each workload."""
    return [(workload.quick() if quick else workload).case() for workload in WORKLOADS]


def test_epoch(measure, case, name):
    measure(case, name)
