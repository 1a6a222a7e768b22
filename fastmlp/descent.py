"""Mini-batch descent step by step from Python, on either function set."""

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.problem import Problem
from fastmlp.reference.backpropagation import logits, mean_loss, row_shares
from fastmlp.reference.optimizers import OPTIMIZERS, initial_state
from fastmlp.reference.parameters import Layers, flatten, layer_views, weight_mask


def batch_of(problem: Problem, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Return normalised features, target rows and sample weights of these rows of the training set."""
    X = problem.normalization.apply(problem.X[rows], problem.dtype)
    codes = problem.codes[rows]
    if codes.ndim == 1:
        y = np.zeros((len(rows), problem.architecture.widths[-1]), problem.dtype)
        y[np.arange(len(rows)), codes] = 1
    else:
        y = codes.astype(problem.dtype)
    return X, y, None if problem.sample_weight is None else problem.sample_weight[rows]


def batch_gradients(
    problem: Problem, params: NDArray[Any], rows: NDArray[np.int64], functions: ModuleType
) -> tuple[float, Layers]:
    """Return the mean loss over these rows of the training set, and its gradients at the flat vector `params`.

    The gradients are those of the codes; the loss is in the units of y.
    """
    architecture = problem.architecture
    X, y, weights = batch_of(problem, rows)
    layers = layer_views(params, architecture.widths)
    loss, gradients = functions.loss_and_gradients(X, y, layers, architecture.activation, architecture.loss, weights)
    units, unit = problem.target_units
    if np.any(units != 1):
        Z = logits(X, layers, architecture.activation)[1]
        loss = mean_loss(Z, y, architecture.loss, weights, units.astype(Z.dtype))
    return loss * unit**2, gradients


class Descent:
    """A trainer that reads like the textbook: a batch, its loss and gradients, one step on the flat vector.

    Parameters
    ----------
    problem : Problem
    params : (size,) array
        Where to start; copied.
    functions : module
        `fastmlp.reference` or `fastmlp.jit`.
    """

    compile_seconds = 0.0
    num_threads: int | None = None
    schedule = ""
    predictor = None

    def __init__(self, problem: Problem, params: NDArray[Any], functions: ModuleType) -> None:
        optimizer = problem.optimizer
        self._problem = problem
        self._functions = functions
        self._params = params.astype(problem.dtype)
        self._state = initial_state(optimizer.name, self._params)
        self._step = getattr(functions, optimizer.name)
        self.lr = optimizer.lr
        self._settings: dict[str, Any] = {}
        if "momentum" in OPTIMIZERS[optimizer.name].settings:
            self._settings["momentum"] = optimizer.momentum
        if optimizer.weight_decay:
            decayed = weight_mask(problem.architecture.widths)
            self._settings["weight_decay"] = (optimizer.weight_decay * decayed).astype(problem.dtype)
        self.description = f"{functions.__name__.rpartition('.')[2]} path, one step at a time"

    @property
    def params(self) -> NDArray[Any]:
        return self._params.copy()

    def run_epoch(self, order: NDArray[np.int64]) -> float:
        """Train on the rows in this order; stops at the first batch whose loss is not finite."""
        size, weights = self._problem.batch_size, self._problem.sample_weight
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        sizes = np.array([len(rows) if weights is None else np.sum(weights[rows]) for rows in batches])
        losses = []
        with self._thread_limit(), np.errstate(over="ignore", invalid="ignore"):
            for rows in batches:
                loss, gradients = batch_gradients(self._problem, self._params, rows, self._functions)
                if not np.isfinite(loss):
                    return loss
                losses.append(loss)
                self._params, self._state = self._step(
                    self._params, flatten(gradients), self._state, lr=self.lr, **self._settings
                )
        return float(row_shares(len(batches), sizes) @ losses)

    def _thread_limit(self) -> AbstractContextManager[Any]:
        if self._problem.num_threads is None:
            return nullcontext()
        from threadpoolctl import threadpool_limits

        return threadpool_limits(self._problem.num_threads)
