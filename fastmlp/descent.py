"""Mini-batch descent step by step from Python, and the loss of all samples, on either function set."""

from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.problem import Problem, State
from fastmlp.reference.backpropagation import Masks, logits, mean_loss, row_shares
from fastmlp.reference.dropout import dropout_masks
from fastmlp.reference.losses import smooth_labels
from fastmlp.reference.optimizers import OPTIMIZERS, average, clip, initial_state
from fastmlp.reference.parameters import Layers, flatten, layer_views, weight_mask


def batch_of(problem: Problem, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None]:
    """Return normalised features, smoothed target rows and sample weights of these rows of the training set."""
    X = problem.normalization.apply(problem.X[rows], problem.dtype)
    codes = problem.codes[rows]
    if codes.ndim == 1:
        y = np.zeros((len(rows), problem.architecture.widths[-1]), problem.dtype)
        y[np.arange(len(rows)), codes] = 1
    else:
        y = codes.astype(problem.dtype)
    if problem.label_smoothing:
        y = smooth_labels(y, problem.label_smoothing, problem.architecture.loss)
    return X, y, None if problem.sample_weight is None else problem.sample_weight[rows]


def masks_of(problem: Problem, n: int, step: int) -> Masks:
    """Return the masks of dropout of each hidden layer, in a batch of n rows after so many steps."""
    widths = problem.architecture.widths[1:-1]
    masks = dropout_masks(n, widths, problem.dropout, problem.mask_seed, step)
    return [None if mask is None else mask.astype(problem.dtype) for mask in masks]


def batch_gradients(
    problem: Problem,
    params: NDArray[Any],
    rows: NDArray[np.int64],
    functions: ModuleType,
    masks: Masks | None = None,
) -> tuple[float, Layers]:
    """Return the mean loss over these rows of the training set, and its gradients at the flat vector `params`.

    The gradients are those of the codes; the loss is in the units of y. `masks` are those of dropout.
    """
    architecture = problem.architecture
    X, y, weights = batch_of(problem, rows)
    layers = layer_views(params, architecture.widths)
    names = architecture.activation, architecture.loss
    loss, gradients = functions.loss_and_gradients(X, y, layers, *names, weights, masks)
    units, unit = problem.target_units
    if np.any(units != 1):
        Z = logits(X, layers, architecture.activation, masks)[1]
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
    mean_threads: float | None = None
    schedule = ""
    predictor = None

    def __init__(self, problem: Problem, params: NDArray[Any], functions: ModuleType) -> None:
        optimizer = problem.optimizer
        self._problem = problem
        self._functions = functions
        self._params = params.astype(problem.dtype)
        self._average = None if optimizer.ema_decay is None else self._params
        self._state = initial_state(optimizer.name, self._params)
        self._steps = 0
        self._step = getattr(functions, optimizer.name)
        self._settings = {name: getattr(optimizer, name) for name in OPTIMIZERS[optimizer.name].settings}
        self._decayed = weight_mask(problem.architecture.widths).astype(problem.dtype)
        self.lr = optimizer.lr
        self.description = f"{functions.__name__.rpartition('.')[2]} path, one step at a time"

    @property
    def params(self) -> NDArray[Any]:
        return self._params.copy()

    @property
    def result(self) -> NDArray[Any]:
        return self.params if self._average is None else self._average.copy()

    @property
    def state(self) -> State:
        """A copy of all that was learned."""
        arrays = self._state[: OPTIMIZERS[self._problem.optimizer.name].arrays]
        averaged = None if self._average is None else self._average.copy()
        return State(self.params, tuple(array.copy() for array in arrays), self._steps, averaged)

    @state.setter
    def state(self, state: State) -> None:
        dtype = self._problem.dtype
        counted = (np.array([state.steps]),) if OPTIMIZERS[self._problem.optimizer.name].counts_steps else ()
        self._params, self._steps = state.params.astype(dtype), state.steps
        self._average = None if state.average is None else state.average.astype(dtype)
        self._state = (*(array.astype(dtype) for array in state.arrays), *counted)

    @property
    def steps(self) -> int:
        """The number of batches so far."""
        return self._steps

    def exchange(self, problem: Problem) -> bool:
        """Go on with the data of another problem."""
        self._problem = problem
        return True

    def run_epoch(self, order: NDArray[np.int64]) -> float:
        """Train on the rows in this order; stops at the first batch whose loss is not finite."""
        problem, weights = self._problem, self._problem.sample_weight
        size = problem.batch_size
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        sizes = np.array([len(rows) if weights is None else np.sum(weights[rows]) for rows in batches])
        losses = []
        with self._thread_limit(), np.errstate(over="ignore", invalid="ignore"):
            for rows, decay in zip(batches, problem.decays(sizes), strict=True):
                masks = masks_of(problem, len(rows), self._steps)
                loss, gradients = batch_gradients(problem, self._params, rows, self._functions, masks)
                if problem.is_penalized:
                    loss += decay / 2 * float(np.sum(self._decayed * self._params.astype(np.float64) ** 2))
                if not np.isfinite(loss):
                    return loss
                losses.append(loss)
                whole, most = flatten(gradients), problem.optimizer.clip_norm
                self._params, self._state = self._step(
                    self._params,
                    whole if most is None else clip(whole, most),
                    self._state,
                    lr=self.lr * problem.optimizer.schedule(self._steps),
                    weight_decay=(decay * self._decayed).astype(problem.dtype) if decay else 0.0,
                    **self._settings,
                )
                self._steps += 1
                if self._average is not None and problem.optimizer.ema_decay is not None:
                    self._average = average(self._average, self._params, problem.optimizer.ema_decay)
        counts = [len(rows) for rows in batches] if problem.is_penalized else sizes
        return float(row_shares(len(batches), np.array(counts)) @ losses)

    def _thread_limit(self) -> AbstractContextManager[Any]:
        if self._problem.num_threads is None:
            return nullcontext()
        from threadpoolctl import threadpool_limits

        return threadpool_limits(self._problem.num_threads)


class Objective:
    """The loss of all samples and its gradient, as one batch; called with a flat vector, it returns both.

    Parameters
    ----------
    problem : Problem
        Its penalty is included, divided by the weight of all samples if the problem is penalized.
    functions : module
        `fastmlp.reference` or `fastmlp.jit`.
    """

    def __init__(self, problem: Problem, functions: ModuleType) -> None:
        self._problem = problem
        self._decay = float(problem.decays(problem.total_weight))
        self._functions = functions
        self._decayed = weight_mask(problem.architecture.widths)

    def __call__(self, params: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        params = params.astype(self._problem.dtype, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            rows = np.arange(self._problem.X.shape[0])
            loss, gradients = batch_gradients(self._problem, params, rows, self._functions)
            weights = np.where(self._decayed, params, 0)
            return loss + self._decay / 2 * float(np.sum(weights**2)), flatten(gradients) + self._decay * weights
