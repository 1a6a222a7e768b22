"""One training problem, checked and encoded: all that a backend needs to know to run epochs."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastmlp.normalization import Normalization
from fastmlp.reference.activations import layer_activations
from fastmlp.reference.schedules import SCHEDULES
from fastmlp.validation import Features

RAW_TYPES = ("uint8", "float32", "float64")
"""Types of features that compiled code reads; others are converted first."""


class Architecture(NamedTuple):
    """The function that a network computes from its parameters."""

    widths: tuple[int, ...]
    """(d, h1, ..., k)."""
    activation: str | tuple[str, ...]
    """Of all hidden layers, or of each where they differ."""
    loss: str

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each hidden layer."""
        return layer_activations(self.activation, len(self.widths) - 2)

    def __str__(self) -> str:
        return f"{'-'.join(map(str, self.widths))}, {activation_text(self.activation)}, {self.loss}"


def activation_text(activation: str | tuple[str, ...]) -> str:
    """Return an activation's name, or the names of all hidden layers such as relu/tanh."""
    return activation if isinstance(activation, str) else "/".join(activation)


class Samples(NamedTuple):
    """Rows of features and what is known of them, checked and encoded."""

    X: Features
    targets: NDArray[Any]
    """y as it came, (n,) or (n, k)."""
    codes: NDArray[Any]
    """Class numbers (n,) int64 for cross-entropy, otherwise float64 targets (n, k)."""
    sample_weight: NDArray[np.float64] | None

    def select(self, rows: NDArray[np.int64]) -> "Samples":
        """Return some of the samples."""
        weights = self.sample_weight
        return Samples(self.X[rows], self.targets[rows], self.codes[rows], None if weights is None else weights[rows])


class Schedule(NamedTuple):
    """What the learning rate is multiplied by in each step of a training."""

    name: str
    """A name of `fastmlp.reference.schedules.SCHEDULES`."""
    steps: int
    """Of the whole training."""
    warmup: int
    """The steps that warm up."""

    def __call__(self, step: int) -> float:
        """Return the factor of a step, counted from 0."""
        return SCHEDULES[self.name](step, self.steps, self.warmup)


CONSTANT = Schedule("constant", 0, 0)


class Optimizer(NamedTuple):
    """An update rule and its settings; `lr` is the learning rate that a trainer starts with."""

    name: str
    """A name of `fastmlp.reference.optimizers.OPTIMIZERS`."""
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_hat: bool = False
    """Whether Adam's ε stands beside the uncorrected √v; of no other optimizer."""
    clip_norm: float | None = None
    """The largest norm of a batch's gradient, to which a larger one is scaled before it becomes a step."""
    schedule: Schedule = CONSTANT
    """By which the learning rate changes from step to step."""
    ema_decay: float | None = None
    """d of the running average of the parameters over the steps; None without one."""


class State(NamedTuple):
    """All that a trainer has learned: a training that goes on from it is the same to the bit."""

    params: NDArray[Any]
    """The flat parameter vector."""
    arrays: tuple[NDArray[Any], ...]
    """The optimizer's arrays, each of the shape of `params`."""
    steps: int
    """The number of batches so far."""
    average: NDArray[Any] | None = None
    """The running average of the parameters, where there is one."""


class Reading(NamedTuple):
    """The form of the training data in memory, by which the compiled path reads other data, too."""

    raw: str
    """The type in which features were read, of RAW_TYPES."""
    is_sparse: bool
    """Whether they were CSR."""
    base: NDArray[Any] | None
    """The value that each feature took most often (d,), where few differed from it; else None."""

    @property
    def form(self) -> str:
        """The form of the first layer: "csr", "dense", or "sparse", which reads only values that differ from `base`."""
        return "csr" if self.is_sparse else "dense" if self.base is None else "sparse"


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
    label_smoothing: float = 0.0
    """s of `smooth_labels`, which the targets in a batch's loss go through; `codes` have not."""
    target_scale: NDArray[np.float64] = field(default_factory=lambda: np.ones(()))
    """The unit of the codes, in units of y, of each output (k,) or of all (); losses are in the units of y."""
    is_penalized: bool = False
    """Whether the penalty belongs to the loss, as scikit-learn has it: a batch's loss ends with λ/2 Σ w² / (the weight
    of its samples), and in an epoch's loss a batch counts by its rows. Else λ/2 Σ w² enters the gradient alone."""

    dropout: tuple[float, ...] = ()
    """The share of its units that each hidden layer drops in a step; empty if none does."""
    mask_seed: int = 0
    """64 bits that fix which they are."""

    @property
    def total_weight(self) -> float:
        """The weight of all samples, where nothing is said their number."""
        return self.X.shape[0] if self.sample_weight is None else float(np.sum(self.sample_weight))

    def decays(self, weights: Any) -> NDArray[np.float64]:
        """Return the factor of the penalty in batches whose samples have these weights in all."""
        decay = self.optimizer.weight_decay
        if not self.is_penalized:
            return np.full(np.shape(weights), decay)
        return decay / np.where(weights == 0, np.inf, weights)

    @property
    def target_units(self) -> tuple[NDArray[np.float64], float]:
        """See `split_scale`."""
        return split_scale(self.target_scale, self.architecture.widths[-1])


def split_scale(scale: NDArray[np.float64], k: int) -> tuple[NDArray[np.float64], float]:
    """Return k scales as shares of the largest, and the largest: its square may be more than float32 can hold."""
    largest = float(np.max(scale))
    return np.broadcast_to(scale / largest, k), largest


class Trainer(Protocol):
    """A backend at work on one problem."""

    compile_seconds: float
    description: str
    """A few words that tell the user which path runs, and why."""
    num_threads: int | None
    """The most threads that run an epoch, where the trainer decides that; else None."""
    schedule: str
    """The operations of each thread in a batch, line by line; empty if they are not known."""
    predictor: Any
    """The compiled path's `Predictor` for networks of this architecture, or None."""
    lr: float
    """The learning rate that the schedule multiplies, which may be set between two runs."""

    @property
    def steps(self) -> int:
        """The number of batches so far."""

    @property
    def mean_threads(self) -> float | None:
        """How many threads ran at a time in the last epoch, on average, where the trainer decides that; else None."""

    @property
    def params(self) -> NDArray[Any]:
        """A copy of the flat parameter vector."""

    @property
    def result(self) -> NDArray[Any]:
        """A copy of the parameters of the network that is trained: the running average, or `params` without one."""

    state: State
    """A copy of all that was learned; it may be set between two runs."""

    def exchange(self, problem: Problem) -> bool:
        """Go on with the data of another problem, which differs from this trainer's in them alone, batch size included.

        Returns whether that is possible: if not, nothing has changed, and another trainer can go on from `state`.
        """

    def run_epoch(self, order: NDArray[np.int64]) -> float:
        """Train on the rows in this order, batch by batch, and return the weighted mean of the batches' losses.

        An epoch may be run in pieces of whole batches: the parameters come out the same to the bit.
        """
