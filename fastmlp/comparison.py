"""`compare`: both backends from the same start, number by number and epoch by epoch."""

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastmlp.backends import BACKENDS, make_trainer
from fastmlp.checks import check_integer
from fastmlp.names import answers_by_name
from fastmlp.options import read_options
from fastmlp.preparation import prepare
from fastmlp.problem import Architecture, Optimizer, Problem, Trainer
from fastmlp.reference.backpropagation import forward
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import flatten, layer_views

if TYPE_CHECKING:
    from fastmlp.display import ComparisonDisplay

TOLERANCES = {"float64": 1e-9, "float32": 1e-4}
"""The largest difference allowed, relative to the largest number of the array."""

LOSS_FACTOR = 100
"""How much further apart the loss curves may be: a training multiplies the differences that rounding makes."""

WHAT = ("activations", "gradients", "parameters")

LONG_STEP = 2.0**40
"""A learning rate at which the old parameters vanish beside lr · gradient, so that one step shows the gradient."""

IDLE_WINDOW, IDLE_SHARE, MOST_WINDOWS = 0.02, 0.05, 50
"""A process is idle when it uses less than this share of a processor in two windows of so many seconds."""


class Difference(NamedTuple):
    """How far apart the backends are in one kind of array of one layer; over its weights and biases the larger."""

    steps: int
    what: str
    """"activations", "gradients" or "parameters"."""
    layer: int
    """Counted from 1; the last one's activations are the network's outputs."""
    absolute: float
    """The largest |jit - reference|."""
    relative: float
    """The absolute difference divided by the largest |reference| of that array."""


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`; it prints as a table.

    Attributes
    ----------
    title, path : str
        The network, and which path the compiled backend took.
    tolerance, loss_tolerance : float
        What every relative difference, and what `loss_gap`, is held to.
    differences : list of Difference
    losses : dict of str to list of float
        Each backend's training loss, epoch by epoch, over the timed epochs.
    seconds : dict of str to list of float
        Wall time of those epochs, without compiling.
    """

    title: str
    path: str
    tolerance: float
    loss_tolerance: float
    differences: list[Difference]
    losses: dict[str, list[float]]
    seconds: dict[str, list[float]]

    @property
    def loss_gap(self) -> float:
        """The largest difference of the two loss curves, relative to the reference's largest loss."""
        return _difference([(np.array(self.losses["jit"]), np.array(self.losses["reference"]))])[1]

    @property
    def speedup(self) -> float:
        """The reference's median epoch time over the compiled path's."""
        return statistics.median(self.seconds["reference"]) / statistics.median(self.seconds["jit"])

    @property
    def ok(self) -> bool:
        """Whether nothing exceeds the tolerance; NaN does."""
        return self.loss_gap <= self.loss_tolerance and all(d.relative <= self.tolerance for d in self.differences)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain lists and numbers, ready for JSON."""
        derived = {"ok": self.ok, "loss_gap": self.loss_gap, "speedup": self.speedup}
        return asdict(self) | {"differences": [d._asdict() for d in self.differences]} | derived

    def plot(self, axes: Any = None) -> "ComparisonDisplay":
        """Draw differences, loss curves and epoch times in three panels; see `ComparisonDisplay.plot`."""
        from fastmlp.display import ComparisonDisplay

        return ComparisonDisplay(self).plot(axes)

    def __str__(self) -> str:
        """The table: a line for each kind of array and layer, absolute and relative difference after each count."""
        counts = sorted({d.steps for d in self.differences})
        cells = {(d.what, d.layer, d.steps): d for d in self.differences}
        rows = dict.fromkeys((d.what, d.layer) for d in self.differences)
        lines = [
            self.title,
            self.path,
            "",
            "largest |jit - reference|, and relative to the largest number of the array",
            f"{'':20}" + "".join(f"{f'after {s:,} step' + 's' * (s > 1):>22}" for s in counts),
        ]
        for what, layer in rows:
            line = f"{what:13} layer {layer}"
            for steps in counts:
                found = cells[what, layer, steps]
                mark = " " if found.relative <= self.tolerance else "!"
                line += f"{found.absolute:12.1e} {found.relative:8.1e}{mark}"
            lines.append(line)
        verdict = "within" if all(d.relative <= self.tolerance for d in self.differences) else "marked ! where beyond"
        lines += [f"{verdict} the tolerance of {self.tolerance:.0e}", ""]
        verdict = "within" if self.loss_gap <= self.loss_tolerance else "BEYOND"
        epochs = len(self.losses["jit"])
        lines.append(
            f"loss over {epochs} epoch{'s' * (epochs > 1)}: largest gap {self.loss_gap:.1e} of the largest loss, "
            f"{verdict} the tolerance of {self.loss_tolerance:.0e}"
        )
        for name, seconds in self.seconds.items():
            middle, best = statistics.median(seconds), min(seconds)
            lines.append(f"{name:9} epoch: median {1e3 * middle:.3g} ms, best {1e3 * best:.3g} ms")
        return "\n".join([*lines, f"jit is {self.speedup:.1f} times as fast by the medians"])


@answers_by_name
def compare(
    X: ArrayLike,
    y: ArrayLike,
    *,
    steps: Iterable[int] = (1, 10, 100),
    num_epochs: int = 5,
    hidden: int | Sequence[int] = (256, 128),
    activation: str | Sequence[str] = "relu",
    loss: str = "auto",
    init: str | float = "he",
    optimizer: str = "sgd",
    lr: float | None = None,
    lr_schedule: str = "constant",
    warmup_epochs: float | None = None,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    dropout: float | Sequence[float] = 0.0,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    label_smoothing: float = 0.0,
    batch_size: int = 64,
    normalize: str | None = "auto",
    normalize_targets: bool = True,
    sample_weight: ArrayLike | None = None,
    dtype: DTypeLike = "float32",
    num_threads: int | None = None,
    seed: int | None = None,
    params: Sequence[tuple[ArrayLike, ArrayLike]] | None = None,
) -> Comparison:
    """Train on both backends from the same start and report how far apart they are, and how fast.

    For each count of `steps`, both train that many batches from the start, in the same order. Then, on one more batch:

    - parameters are what each backend holds, their running average too if there is one;
    - gradients are each backend's own, at its own parameters, taken from what one plain SGD step changes;
    - activations are each backend's own, at its own parameters. The compiled path's are read off by its `Predictor`
      from the network cut off behind the layer, with a last layer that hands them through unchanged. No unit is
      dropped for them.

    So every number on the compiled side comes out of the stages that `fastmlp.train` runs. Afterwards both train
    whole epochs by turns, from the start, for the loss curves and the times.

    In float32 a difference beyond the tolerance need not be a fault: a ReLU unit whose input is nearly 0 for some
    sample may be on in one path and off in the other, and where a gradient is itself rounding error Adam makes a whole
    step of it. Standardised columns with a few very large values make both likelier; float64 tells such cases from a
    wrong formula.

    Parameters
    ----------
    X, y
        As in `fastmlp.train`, like all that is not listed here.
    steps : iterable of int
        After how many batches to compare.
    num_epochs : int
        Timed epochs of each backend, for which `lr_schedule` is made.
    batch_size : int

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError, TypeError
        If an argument is unfit; the message names it.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = fastmlp.datasets.load_mnist(1000)
    >>> report = fastmlp.compare(X, y, steps=(1, 10), num_epochs=2, seed=0)
    >>> report.ok
    True
    """
    options = read_options(locals())
    counts = _check_steps(steps)
    problem, _, start, orders, *_ = prepare(X, y, options, sample_weight=sample_weight, params=params)
    n = problem.X.shape[0]
    batch = min(problem.batch_size, n)
    rows = batch * (counts[-1] + 1)
    drawn = [orders.next() for _ in range(max(options.num_epochs, -(-rows // n)))]
    with np.errstate(over="ignore", invalid="ignore"):
        differences = _compare_numbers(problem, start, counts, np.concatenate(drawn)[:rows].reshape(-1, batch))
    trainers = {name: make_trainer(problem, start, name) for name in BACKENDS}
    losses, seconds = _race(trainers, drawn[: options.num_epochs])
    return Comparison(
        f"{problem.architecture} in {problem.dtype} on {n:,} samples",
        trainers["jit"].description,
        tolerance := TOLERANCES[problem.dtype.name],
        LOSS_FACTOR * tolerance,
        differences,
        losses,
        seconds,
    )


def _check_steps(steps: Any) -> list[int]:
    if not isinstance(steps, Iterable) or isinstance(steps, str):
        raise TypeError(f"steps must be a list of integers such as (1, 10, 100), got {steps!r}")
    counts = sorted({check_integer(f"steps[{i}]", count) for i, count in enumerate(steps)})
    if not counts:
        raise ValueError("steps must name at least one number of batches, got none")
    return counts


def _compare_numbers(
    problem: Problem, start: NDArray[Any], counts: list[int], batches: NDArray[np.int64]
) -> list[Difference]:
    """Return the differences of all kinds of arrays and layers after each count of steps, one batch a row."""
    probe = _select(problem, batches[-1])
    trainers = {name: make_trainer(problem, start, name) for name in BACKENDS}
    found = []
    for done, count in pairwise([0, *counts]):
        for trainer in trainers.values():
            for batch in batches[done:count]:
                trainer.run_epoch(batch)
        ours, wanted = (_look(name, trainer, probe) for name, trainer in trainers.items())
        for what in WHAT:
            for layer, arrays in enumerate(zip(ours[what], wanted[what], strict=True), 1):
                found.append(Difference(count, what, layer, *_difference(zip(*arrays, strict=True))))
    return sorted(found, key=lambda difference: WHAT.index(difference.what))


def _select(problem: Problem, rows: NDArray[np.int64]) -> Problem:
    """Return the problem on some of its samples."""
    weights = problem.sample_weight
    return replace(
        problem, X=problem.X[rows], codes=problem.codes[rows], sample_weight=None if weights is None else weights[rows]
    )


def _look(backend: str, trainer: Trainer, probe: Problem) -> dict[str, list[tuple[NDArray[Any], ...]]]:
    """Return a trainer's parameters, and what they make of the batch `probe`, layer by layer."""
    params, widths = trainer.params, probe.architecture.widths
    averages = layer_views(trainer.result, widths)
    return {
        "activations": [(A,) for A in _activations(trainer, probe, params)],
        "gradients": list(layer_views(_gradients(backend, probe, params), widths)),
        "parameters": [(*now, *averaged) for now, averaged in zip(layer_views(params, widths), averages, strict=True)],
    }


def _gradients(backend: str, probe: Problem, params: NDArray[Any]) -> NDArray[np.float64]:
    """Return the flat gradient that a backend's trainer uses for its first step."""
    trainer = make_trainer(replace(probe, optimizer=Optimizer("sgd", LONG_STEP, 0.0, 0.0)), params, backend)
    trainer.run_epoch(np.arange(probe.X.shape[0]))
    return (params.astype(np.float64) - trainer.params) / LONG_STEP


def _activations(trainer: Trainer, probe: Problem, params: NDArray[Any]) -> list[NDArray[Any]]:
    """Return what each layer of a trainer's network gives for the samples of `probe`."""
    architecture = probe.architecture
    widths, activation, loss = architecture
    layers = layer_views(params, widths)
    if trainer.predictor is None:
        return forward(probe.normalization.apply(probe.X, probe.dtype), layers, activation, loss)
    from fastmlp.engine.predictor import Predictor

    found = []
    for depth in range(1, len(layers)):
        through = widths[depth]
        cut = Architecture((*widths[: depth + 1], through), architecture.activations[:depth], loss)
        identity = np.eye(through, dtype=probe.dtype), np.zeros(through, probe.dtype)
        predictor = Predictor(cut, probe.normalization, trainer.predictor.reading, probe.dtype)
        found.append(predictor.logits(flatten([*layers[:depth], identity]), probe.X))
    return [*found, LOSSES[loss].output(trainer.predictor.logits(params, probe.X))]


def _difference(pairs: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[float, float]:
    """Return the largest |a - b| of any pair, and the largest of them relative to its largest |b|."""
    absolute, relative = [], []
    for a, b in pairs:
        gap, size = float(np.max(np.abs(a - b))), float(np.max(np.abs(b)))
        absolute.append(gap)
        relative.append(gap / size if size else gap)
    return float(np.max(absolute)), float(np.max(relative))


def _race(
    trainers: dict[str, Trainer], orders: list[NDArray[np.int64]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Train whole epochs by turns on these orders of the rows; return losses and seconds of each trainer."""
    losses: dict[str, list[float]] = {name: [] for name in trainers}
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for order in orders:
        for name, trainer in trainers.items():
            settle()
            began = time.perf_counter()
            losses[name].append(trainer.run_epoch(order))
            seconds[name].append(time.perf_counter() - began)
    return losses, seconds


def settle() -> None:
    """Wait, a second at most, until this process is idle: BLAS's threads go on spinning after their last product."""
    idle = 0
    for _ in range(MOST_WINDOWS):
        used = time.process_time()
        time.sleep(IDLE_WINDOW)
        idle = idle + 1 if time.process_time() - used < IDLE_SHARE * IDLE_WINDOW else 0
        if idle == 2:  # one might have been a busy machine's
            return
