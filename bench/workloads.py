"""The trainings that are timed: data, network, what `fastmlp.train` is given, and the target for it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from peers import Setup

from fastmlp.datasets import load_mnist

Data = tuple[Any, Any]

MNIST_ROWS = 60_000 if os.environ.get("FASTMLP_MNIST_DIR") else 5_000
"""The rows that come with the package, where no folder with all of them is named."""


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
class Variant:
    """One way to hand a workload's data to `fastmlp.train`."""

    name: str
    targets: tuple[Target, ...] = ()
    prepare: Callable[[Any], Any] = lambda X: X
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """Variants and peers that are timed by turns; the peers get the data that `for_peers` makes."""

    name: str
    title: str
    load: Callable[[int], Data]
    rows: int
    quick_rows: int
    setup: Setup
    variants: tuple[Variant, ...]
    peers: tuple[str, ...] = ("reference", "scikit-learn", "PyTorch", "JAX")
    needed_peers: tuple[str, ...] = ("reference",)
    """Those that a target names and that come with fastmlp: measured in any case."""
    epochs: int = 2
    """In a round, each of them timed."""
    for_peers: Callable[[Any], Any] = lambda X: X


def to_unit(X: Any) -> Any:
    return np.divide(X, 255, dtype=np.float32)


def standardise(X: Any) -> Any:
    """Columns to mean 0 and deviation 1, as a user would."""
    mean, std = X.mean(axis=0), X.std(axis=0)
    return ((X - mean) / np.where(std == 0, 1, std)).astype(np.float32)


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
WORKLOADS = (
    Workload(
        "mnist",
        "MNIST, batch 64",
        load_mnist,
        MNIST_ROWS,
        5_000,
        Setup(),
        (
            Variant("uint8", MUCH_FASTER),
            Variant("÷255 float32", MUCH_FASTER, to_unit),
            Variant("standardised", (Target("floors", "≤", 0.40),), standardise),
            Variant("uint8 in float64", (Target("÷ uint8", "≤", 2.2),), options={"dtype": "float64"}),
        ),
        for_peers=to_unit,
    ),
    Workload(
        "adam",
        "MNIST, Adam, batch 128",
        load_mnist,
        MNIST_ROWS,
        5_000,
        Setup(batch_size=128, optimizer="adam", lr=0.001),
        (
            Variant("uint8", (Target("floors", "≤", 0.45),)),
            Variant("standardised", (Target("floors", "≤", 0.45),), standardise),
        ),
        for_peers=to_unit,
    ),
    Workload(
        "dense",
        "random dense 784, batch 64",
        make_normal(784),
        60_000,
        6_400,
        Setup(lr=0.01),
        (Variant("float32", (Target("floors", "≤", 0.80),)),),
    ),
    Workload(
        "wide",
        "random dense 784-1024-1024-10, batch 256",
        make_normal(784),
        15_000,
        1_536,
        Setup((1024, 1024), 256, lr=0.01),
        (Variant("float32", (Target("floors", "≤", 0.72),)),),
        epochs=1,
    ),
    Workload(
        "csr",
        "CSR, 50,000 columns, 0.2%, hidden 128, batch 200",
        make_csr,
        20_000,
        2_000,
        Setup((128,), 200),
        (Variant("float32", (Target("scikit-learn", "≥", 20),)),),
        peers=("scikit-learn",),
        needed_peers=("scikit-learn",),
        epochs=1,
    ),
    Workload(
        "tiny",
        "4-32-16-4, batch 32",
        make_normal(4, 4),
        10_000,
        10_000,
        Setup((32, 16), 32, outputs=4),
        (Variant("float32", (Target("reference", "≥", 20), Target("threads", "≤", 1))),),
        epochs=10,
    ),
)
