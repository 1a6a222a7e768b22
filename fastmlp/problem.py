"""One training problem, checked and encoded: all that a backend needs to know to run epochs."""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastmlp.normalization import Normalization
from fastmlp.validation import Features


class Architecture(NamedTuple):
    """What a network computes from its parameters."""

    widths: tuple[int, ...]
    """(d, h1, ..., k)."""
    activation: str
    loss: str

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.widths))}, {self.activation}, {self.loss}"


class Optimizer(NamedTuple):
    """Which update rule, with its settings."""

    name: str
    """A name of `fastmlp.reference.optimizers.OPTIMIZERS`."""
    lr: float
    momentum: float
    weight_decay: float


class Reading(NamedTuple):
    """How the compiled path reads features, and which of its programs does: what a saved network needs to use it."""

    form: str
    """Of the first layer: "dense", "sparse" or "csr"."""
    raw: str
    """The features' type in memory: "uint8", "float32" or "float64"."""
    base: NDArray[Any] | None
    """The value that each feature takes most often (d,), where few differ from it; else None."""
    optimizer: str
    by_unit: bool
    """Whether a dense first layer's weights are kept by unit."""


@dataclass(frozen=True)
class Problem:
    """Training data as they came, their codes, and what to do with them."""

    X: Features
    codes: NDArray[Any]
    """Class numbers (n,) int64 for cross-entropy, otherwise float64 targets (n, k)."""
    sample_weight: NDArray[np.float64] | None
    normalization: Normalization
    architecture: Architecture
    optimizer: Optimizer
    batch_size: int
    dtype: np.dtype[Any]
    num_threads: int | None


class Trainer(Protocol):
    """A backend at work on one problem."""

    compile_seconds: float
    description: str
    """Which path runs and why, in a few words for the user."""
    predictor: Any
    """The compiled path's `Predictor` for networks of this architecture, or None."""
    lr: float
    """The learning rate, which may be set between two runs."""

    @property
    def params(self) -> NDArray[Any]:
        """A copy of the flat parameter vector."""

    def run_epoch(self, order: NDArray[np.int64]) -> float:
        """Train on the rows in this order, batch by batch, and return the weighted mean of the batches' losses.

        An epoch may be run in pieces of whole batches: the parameters come out the same to the bit.
        """
