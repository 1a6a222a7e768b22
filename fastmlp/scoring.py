"""How good logits are: their loss and their score against what was to be learned."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.problem import split_scale
from fastmlp.reference.backpropagation import mean_loss
from fastmlp.reference.losses import smooth_labels
from fastmlp.targets import Coding


def loss_of(
    coding: Coding,
    Z: NDArray[Any],
    codes: NDArray[Any],
    sample_weight: NDArray[np.float64] | None = None,
    label_smoothing: float = 0.0,
) -> float:
    """Return the (weighted) mean loss of logits Z (n, k) against codes, of a regression in the units of y²."""
    numbers = codes if codes.ndim == 1 else codes.astype(Z.dtype)
    if label_smoothing:
        rows = np.eye(coding.outputs, dtype=Z.dtype)[codes] if codes.ndim == 1 else numbers
        numbers = smooth_labels(rows, label_smoothing, coding.loss)
    if not coding.is_regression:
        return mean_loss(Z, numbers, coding.loss, sample_weight)
    units, unit = split_scale(coding.scaling.scale, coding.outputs)
    return mean_loss(Z, numbers, coding.loss, sample_weight, units.astype(Z.dtype)) * unit**2


def score_of(
    coding: Coding,
    Z: NDArray[Any],
    targets: NDArray[Any],
    codes: NDArray[Any],
    sample_weight: NDArray[np.float64] | None = None,
) -> float:
    """Return the weighted accuracy of logits Z (n, k), every label right of multilabel targets; of a regression R²."""
    if coding.is_regression:
        from sklearn.metrics import r2_score

        return float(r2_score(targets, coding.decode(Z), sample_weight=sample_weight))
    if codes.ndim == 1:
        right = np.argmax(Z, axis=1) == codes
    else:  # both outcomes may stand for the only class
        right = np.all((coding.decode(Z) == coding.decode(codes)).reshape(len(codes), -1), axis=1)
    return float(np.average(right, weights=sample_weight))
