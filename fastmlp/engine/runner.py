"""The batches of a problem on compiled stages: its data as they are read, its plan, and their memory."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.engine.arena import Array
from fastmlp.engine.features import Entries, Rows, Split, find_base, read_entries, read_rows, readable, split_features
from fastmlp.engine.plan import (
    KINDS,
    Plan,
    averaged,
    make_plan,
    panels_at_once,
    shards_of_features,
    shards_of_samples,
    sparse_below,
)
from fastmlp.engine.predictor import Predictor
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.schedule import describe
from fastmlp.engine.tables import Rate
from fastmlp.engine.workspace import Workspace
from fastmlp.problem import Problem, Reading
from fastmlp.reference.dropout import LOW
from fastmlp.reference.losses import smooth_labels
from fastmlp.validation import Features

MADDS_PER_THREAD = 1 << 18
"""Fewest multiply-adds of a batch for each thread; with fewer, a thread costs more than it saves."""
MADDS_PER_CALL = 1 << 23
"""Fewest multiply-adds of an epoch for each thread: to hand its part over and to wait for it takes as long as these."""
MADDS_PER_FEATURE = 32
"""Cost of reading one feature, in multiply-adds."""
DECAY = Rate._fields.index("decay")


class Runner:
    """Runs batches of a problem's samples, each with its own numbers of a step.

    Parameters
    ----------
    problem : Problem
    before_compiling : callable, optional
        Called without arguments when stages have to be compiled first.
    """

    def __init__(self, problem: Problem, before_compiling: Callable[[], object] | None = None) -> None:
        architecture, dtype, X = problem.architecture, problem.dtype, problem.X
        n, d = X.shape
        optimizer = problem.optimizer
        self._most = min(problem.batch_size, n)
        base, form, density = None, "csr", 1.0
        if isinstance(X, np.ndarray):
            X = readable(X, dtype)
            base, density = find_base(X, dtype, sparse_below(architecture.widths[1], KINDS[dtype.name]))
            form = "dense" if base is None else "sparse"
        else:
            density = X.nnz / (n * d)
        self._data = _read(X, dtype)
        raw = _dtype(self._data).name
        split = split_features(base, problem.normalization, d)
        self._plan = plan = make_plan(
            architecture,
            form,
            raw,
            dtype,
            optimizer.name if optimizer.ema_decay is None else averaged(optimizer.name),
            batch=self._most,
            is_penalized=problem.is_penalized and optimizer.weight_decay > 0,
            rates=problem.dropout,
            is_clipped=optimizer.clip_norm is not None,
            is_smoothed=problem.label_smoothing > 0,
        )
        used, read = (1, d) if form == "dense" else (density, density * d if form == "csr" else d)
        at_once = plan.row * panels_at_once(plan.row, plan.kind, skips=form != "dense")
        most = shards_of_features(d, d) if plan.by_feature else -(-architecture.widths[1] // at_once)
        most = shards_of_samples(self._most) if plan.by_sample else most
        threads = problem.num_threads or default_threads(architecture.widths, self._most, n, used, read, most)
        started = time.perf_counter()
        self._workspace = Workspace(plan, architecture.widths, split, self._most, threads, before_compiling)
        self.compile_seconds = time.perf_counter() - started
        self.schedule = describe(self._workspace.schedule)
        units, self._unit = problem.target_units
        self._workspace.shared["target_units"][: len(units)] = units
        self.predictor = Predictor(architecture, problem.normalization, Reading(raw, form == "csr", base), dtype)
        is_plain = plan.optimizer == "sgd" and not plan.is_clipped
        self._workspace.set(
            lazy=int(is_plain and not optimizer.weight_decay and not np.any(split.shift)),
        )
        self._workspace.set(key0=problem.mask_seed & LOW, key1=problem.mask_seed >> 32 & LOW)
        self._take(problem, self._data)
        self.num_threads: int | None = threads
        self.description = f"compiled path, {_describe(plan, split, density)}, {threads} thread{'s' * (threads > 1)}"

    def exchange(self, problem: Problem) -> bool:
        """Go on with the data of another problem, if they are of the same types and fit into a batch's memory."""
        X = problem.X
        is_array = isinstance(X, np.ndarray)
        if is_array == (self._plan.form == "csr") or min(problem.batch_size, X.shape[0]) > self._most:
            return False
        data = _read(readable(X, problem.dtype) if is_array else X, problem.dtype)
        if _dtype(data) != _dtype(self._data):
            return False
        self._take(problem, data)
        return True

    def _take(self, problem: Problem, data: Rows | Entries) -> None:
        """Train on the samples of `problem`, whose features are `data`."""
        n = problem.X.shape[0]
        self._problem = problem
        self._data = data
        self._batch = min(problem.batch_size, n)
        self._codes = np.ascontiguousarray(problem.codes, np.int64 if problem.codes.ndim == 1 else problem.dtype)
        codes = self._codes
        if problem.label_smoothing and codes.ndim == 2:
            codes = self._codes = smooth_labels(codes, problem.label_smoothing, problem.architecture.loss)
        self._workspace.set_data(data, batch=self._batch, targets=codes, targets_stride=codes.strides[0])

    @property
    def mean_threads(self) -> float | None:
        """How many threads ran at a time in the last run, on average."""
        return self._workspace.mean_threads

    @property
    def params(self) -> Array:
        """A copy of the flat parameter vector."""
        return self._workspace.params

    def _divide(self, n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return where each batch of n samples begins, and its number of samples."""
        starts = np.arange(0, n, self._batch)
        counts = np.full(len(starts), self._batch)
        counts[-1:] = n - starts[-1:]
        return starts, counts

    def _run(self, order: NDArray[np.int64], share: Array, rates: Array) -> Array:
        """Run batches of samples in this order, the last one short; return the loss of each, in the units of codes.

        Parameters
        ----------
        order : (n,) array
            Numbers of samples.
        share : (n,) array
            Of each sample in its batch's loss.
        rates : (batches, len(Rate._fields)) array
            The `Rate` of each batch.
        """
        loss = np.zeros(len(rates))
        squares = np.zeros((len(rates), self._workspace.square_parts))
        self._workspace.set(order=order, share=share, rates=rates, batch_loss=loss, squares=squares)
        self._workspace.run(len(order))
        return loss + rates[:, DECAY] / 2 * np.sum(squares, axis=1) if self._plan.is_penalized else loss


def _read(X: Features, dtype: np.dtype[Any]) -> Rows | Entries:
    return read_rows(X) if isinstance(X, np.ndarray) else read_entries(X, dtype)


def _dtype(data: Rows | Entries) -> np.dtype[Any]:
    """The type of features in memory."""
    return (data.matrix if isinstance(data, Rows) else data.data).dtype


def default_threads(widths: Sequence[int], batch: int, n: int, density: float, read: float, most: int) -> int:
    """Return how many threads are worth their cost for batches of n samples in all, and have work.

    The first layer reads `read` features of a sample, and multiplies a share of `density` of all. It has work for at
    most `most` threads, which is the limit if it is most of the work.
    """
    madds = [m * p for m, p in pairwise(widths)]
    madds[0] = int(madds[0] * density)
    work = 3 * sum(madds) + MADDS_PER_FEATURE * read  # of a sample
    threads = min(usable_cores(), int(batch * work / MADDS_PER_THREAD), int(n * work / MADDS_PER_CALL))
    if 2 * madds[0] > sum(madds):
        threads = min(threads, most)
    return max(1, threads)


def _describe(plan: Plan, split: Split, density: float) -> str:
    if plan.form == "dense":
        return "dense first layer"
    if plan.form == "csr":
        return f"CSR first layer ({density:.2g} non-zero)"
    rank_one = " plus rank one" if np.any(split.shift) else ""
    return f"sparse{rank_one} first layer ({density:.0%} of the features differ from the commonest value)"
