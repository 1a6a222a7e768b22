"""Gradients, updates and activations of each layer, taken on chosen batches of a training."""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.descent import batch_of, masks_of
from fastmlp.history import History
from fastmlp.problem import Problem, Trainer
from fastmlp.reference.backpropagation import deltas, forward, row_shares
from fastmlp.reference.parameters import layer_views

_SMALLEST_SQUARE = 1e-25
"""A sum of squares in float32 is exact enough above this; below it, squares that underflowed may matter."""


class Tracker:
    """Runs the epochs of a trainer with a look at some batches: the first of each epoch, or all of the first epoch.

    A watched batch is trained on by the trainer itself, so that its true update is seen; gradients and activations are
    computed once more with `fastmlp.reference` from the parameters before it. The training is the same to the bit, and
    both backends give the same numbers.

    Parameters
    ----------
    problem : Problem
    first_epoch : bool
        Whether every batch of the first epoch is watched.
    """

    def __init__(self, problem: Problem, first_epoch: bool) -> None:
        self._problem = problem
        self._first_epoch = first_epoch
        self._views: list[_View] = []

    def run_epoch(self, trainer: Trainer, order: NDArray[np.int64], epoch: int, before: NDArray[Any]) -> float:
        """Train on the rows in this order like `Trainer.run_epoch`, and keep what is seen.

        `epoch` counts from 0; `before` is what `trainer.params` is now.
        """
        size, weights = self._problem.batch_size, self._problem.sample_weight
        watched = range(0, len(order), size) if self._first_epoch and epoch == 0 else range(1)
        pieces = [order[start : start + size] for start in watched]
        self._views, losses = [], []
        for rows in pieces:
            step = trainer.steps
            losses.append(trainer.run_epoch(rows))
            if not np.isfinite(losses[-1]):
                return losses[-1]
            after = trainer.params
            self._views.append(_look(self._problem, rows, step, before, after))
            before = after
        rest = order[len(pieces) * size :]
        if len(rest):
            pieces.append(rest)
            losses.append(trainer.run_epoch(rest))
        sums = np.array([len(rows) if weights is None else np.sum(weights[rows]) for rows in pieces], float)
        return float(row_shares(len(pieces), sums) @ losses)

    def record(self, history: History) -> None:
        """Append what the last epoch showed."""
        views = self._views
        history.gradient_magnitude.append(_means([view.gradient_mean for view in views]))
        history.gradient_rms.append(_roots([view.gradient_rms for view in views]))
        history.update_ratio.append(_roots([view.update_ratio for view in views]))
        history.delta_magnitude.append(_means([view.delta_mean for view in views]))
        history.zero_activations.append(_means([view.zeros for view in views]))
        dead = [np.logical_and.reduce(silent) for silent in zip(*(view.silent for view in views), strict=True)]
        history.dead_units.append([float(np.mean(units)) for units in dead])
        if self._first_epoch and len(history.gradient_magnitude) == 1:
            history.first_epoch_gradients.extend(view.gradient_mean for view in views)


class _View(NamedTuple):
    """The figures of one batch: a number for each layer; `zeros` and `silent` have one for each hidden layer."""

    gradient_mean: list[float]
    gradient_rms: list[float]
    update_ratio: list[float]
    delta_mean: list[float]
    zeros: list[float]
    silent: list[NDArray[np.bool_]]
    """Of each hidden layer a mask (units,) of the units that are 0 for every sample."""


def _look(problem: Problem, rows: NDArray[np.int64], step: int, before: NDArray[Any], after: NDArray[Any]) -> _View:
    """See a batch whose step, after so many others, led from the flat vector `before` to `after`."""
    widths, activation, loss = problem.architecture
    layers, moved = layer_views(before, widths), layer_views(after - before, widths)
    X, y, weights = batch_of(problem, rows)
    masks = masks_of(problem, len(rows), step)
    with _blas().limit(limits=1, user_api="blas"), np.errstate(over="ignore", invalid="ignore", under="ignore"):
        activations = forward(X, layers, activation, loss, masks)
        δ = deltas(X, activations, y, layers, activation, loss, weights, masks)
        hidden = activations[:-1]
        gradients = [A.T @ d for A, d in zip([X, *hidden], δ, strict=True)]
        gradient_rms = [_rms(gradient) for gradient in gradients]
        steps = [(_rms(dW), _rms(W)) for (dW, _), (W, _) in zip(moved, layers, strict=True)]
    zeros = [hidden_layer == 0 for hidden_layer in hidden]
    return _View(
        gradient_mean=[_mean_size(gradient) for gradient in gradients],
        gradient_rms=gradient_rms,
        update_ratio=[step / size if size else math.nan for step, size in steps],
        delta_mean=[len(rows) * _mean_size(d) for d in δ],  # each row has its share, 1/n, in it
        zeros=[float(np.mean(zero)) for zero in zeros],
        silent=[np.all(zero, axis=0) for zero in zeros],
    )


@functools.cache
def _blas() -> Any:
    """The matrix products' threads: woken, they spin on for a while beside the trainer's: +77% on an epoch of 72 ms."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _mean_size(values: NDArray[Any]) -> float:
    """Return mean |v|; the values are overwritten."""
    return float(np.mean(np.abs(values, out=values)))


def _rms(values: NDArray[Any]) -> float:
    """Return the root mean square."""
    flat = values.ravel()
    square, unit = float(flat @ flat), 1.0
    if not _SMALLEST_SQUARE < square < math.inf:  # float32 has no square of 1e-25: measure in units of the largest
        unit = float(np.max(np.abs(flat))) or 1.0
        flat = flat / unit
        square = float(flat @ flat)
    return unit * math.sqrt(square / flat.size)


def _means(rows: list[list[float]]) -> list[float]:
    return np.mean(rows, axis=0).tolist()


def _roots(rows: list[list[float]]) -> list[float]:
    return np.sqrt(np.mean(np.square(rows), axis=0)).tolist()
