"""The trainer that runs epochs as one compiled call on each thread."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastmlp.engine.arena import Array
from fastmlp.engine.features import Entries, Rows, Split, find_base, read_entries, read_rows, readable, split_features
from fastmlp.engine.plan import Plan, make_plan
from fastmlp.engine.predictor import Predictor
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.schedule import describe
from fastmlp.engine.tables import FEATURE_SHARDS
from fastmlp.engine.workspace import Workspace
from fastmlp.problem import Problem, Reading
from fastmlp.reference.backpropagation import row_shares

MADDS_PER_THREAD = 1 << 18
"""Fewest multiply-adds of a batch for each thread; with fewer, a thread costs more than it saves."""
MADDS_PER_FEATURE = 32
"""Cost of reading one feature, in multiply-adds."""
TRANSPOSE_FROM = 48
"""Batch size from which skipping inactive units saves more than transposing the first layer's weights costs."""


class Engine:
    """A trainer on the compiled kernels.

    Parameters
    ----------
    problem : Problem
    params : (size,) array
        Where to start; copied.
    before_compiling : callable, optional
        Called without arguments when stages have to be compiled first.
    """

    def __init__(self, problem: Problem, params: Array, before_compiling: Callable[[], object] | None = None) -> None:
        architecture, dtype, X = problem.architecture, problem.dtype, problem.X
        n, d = X.shape
        self._problem = problem
        self._batch = min(problem.batch_size, n)
        self._data: Rows | Entries
        base = None
        if isinstance(X, np.ndarray):
            X = readable(X, dtype)
            base, density = find_base(X, dtype)
            form, raw, self._data = ("dense" if base is None else "sparse"), X.dtype.name, read_rows(X)
        else:
            self._data = read_entries(X, dtype)
            form, raw, density = "csr", self._data.data.dtype.name, X.nnz / (n * d)
        split = split_features(base, problem.normalization, d)
        transposed = self._batch >= TRANSPOSE_FROM
        plan = make_plan(architecture, form, raw, dtype, problem.optimizer.name, transposed)
        used, read = (1, d) if form == "dense" else (density, density * d if form == "csr" else d)
        most = FEATURE_SHARDS if plan.by_feature else -(-architecture.widths[1] // (2 * plan.row))
        threads = problem.num_threads or default_threads(architecture.widths, self._batch, used, read, most)
        started = time.perf_counter()
        self._workspace = Workspace(plan, architecture.widths, split, self._batch, threads, before_compiling)
        self.compile_seconds = time.perf_counter() - started
        self._workspace.load(params)
        self.schedule = describe(self._workspace.schedule)
        units, self._unit = problem.target_units
        self._workspace.shared["target_units"][: len(units)] = units
        self.predictor = Predictor(architecture, problem.normalization, Reading(raw, form == "csr", base), dtype)
        self._share = np.zeros(n)
        self._batch_loss = np.zeros(-(-n // self._batch))
        self._codes = np.ascontiguousarray(problem.codes, np.int64 if problem.codes.ndim == 1 else dtype)
        optimizer = problem.optimizer
        self._workspace.set_data(self._data)
        self._workspace.set(
            lazy=int(optimizer.name == "sgd" and not optimizer.weight_decay and not np.any(split.shift)),
            momentum=optimizer.momentum,
            decay=optimizer.weight_decay,
            targets=self._codes,
            targets_stride=self._codes.strides[0],
            share=self._share,
            batch_loss=self._batch_loss,
        )
        self.lr = optimizer.lr
        self.num_threads: int | None = threads
        self.description = f"compiled path, {_describe(plan, split, density)}, {threads} thread{'s' * (threads > 1)}"

    @property
    def params(self) -> Array:
        """A copy of the flat parameter vector."""
        return self._workspace.params

    @property
    def lr(self) -> float:
        """The learning rate; it may change between two runs."""
        return self._lr

    @lr.setter
    def lr(self, lr: float) -> None:
        self._lr = lr
        self._workspace.set(lr=lr)

    def run_epoch(self, order: NDArray[np.int64]) -> float:
        """Train on the rows in this order; return the weighted mean of the batches' losses."""
        order = np.ascontiguousarray(order, np.int64)
        n, size, weights = len(order), self._batch, self._problem.sample_weight
        starts = np.arange(0, n, size)
        counts = np.diff(np.append(starts, n))
        if weights is None:
            sums = counts
            np.divide(1.0, np.repeat(counts, counts), out=self._share[:n])
        else:
            ordered = weights[order]
            sums = np.add.reduceat(ordered, starts)
            np.divide(ordered, np.repeat(np.where(sums == 0, 1, sums), counts), out=self._share[:n])
        self._workspace.set(order=order)
        self._workspace.run(n)
        return float(row_shares(len(starts), sums) @ self._batch_loss[: len(starts)]) * self._unit**2


def default_threads(widths: Sequence[int], batch: int, density: float, read: float, most: int) -> int:
    """Return how many threads are worth their cost for a batch of a network, and have work.

    The first layer reads `read` features of a sample, and multiplies a share of `density` of all. It has work for at
    most `most` threads, which is the limit if it is most of the work.
    """
    madds = [m * p for m, p in pairwise(widths)]
    madds[0] = int(madds[0] * density)
    work = batch * (3 * sum(madds) + MADDS_PER_FEATURE * read)
    threads = min(usable_cores(), int(work / MADDS_PER_THREAD))
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
