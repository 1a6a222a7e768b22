"""Loss functions: of predictions, as a script would call them, and of logits, as training needs them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fastmlp.reference.activations import Array, identity, sigmoid, softmax

__all__ = ["binary_cross_entropy", "cross_entropy", "huber_loss", "mse_loss"]

EPSILON = 1e-15


def mse_loss(y_pred: Array, y: Array) -> float:
    """Return the mean squared error, L = mean (ŷ - y)², over all elements.

    Parameters
    ----------
    y_pred : (n, k) array
        Predictions ŷ.
    y : (n, k) array
        Targets.

    Returns
    -------
    L : float

    References
    ----------
    Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 5.1.4.
    """
    return float(np.mean((y_pred - y) ** 2))


def huber_loss(y_pred: Array, y: Array) -> float:
    """Return the mean of h(ŷ - y) over all elements: h(r) = ½r² where |r| ≤ 1, else |r| - ½.

    Training measures r in standard deviations of the targets where it standardises them.

    Parameters
    ----------
    y_pred : (n, k) array
        Predictions ŷ.
    y : (n, k) array
        Targets.

    Returns
    -------
    L : float

    References
    ----------
    Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    return float(np.mean(_huber(y_pred - y)))


def _huber(r: Array) -> Array:
    inside = np.clip(r, -1, 1)
    return inside * (r - 0.5 * inside)


def binary_cross_entropy(A: Array, y: Array) -> float:
    """Return L = -mean[y ln(A + ε) + (1 - y) ln(1 - A + ε)] over all elements, with ε = 1e-15.

    Parameters
    ----------
    A : (n, k) array
        Probabilities of the positive class.
    y : (n, k) array
        Targets, 0 or 1.

    Returns
    -------
    L : float

    References
    ----------
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 5.2: the negative log-likelihood of independent
    targets, yes or no.
    """
    A = np.asarray(A, np.float64)  # 1 + ε is 1 in float32
    return float(-np.mean(y * np.log(A + EPSILON) + (1 - y) * np.log(1 - A + EPSILON)))


def cross_entropy(A: Array, y: Array) -> float:
    """Return L = -mean over rows of Σ_j y_j ln(A_j + ε), with ε = 1e-15.

    Parameters
    ----------
    A : (n, k) array
        Class probabilities.
    y : (n, k) array
        One-hot targets.

    Returns
    -------
    L : float

    References
    ----------
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 5.2: the negative log-likelihood of classes that
    exclude each other.
    """
    return float(-np.mean(np.sum(y * np.log(A + EPSILON), axis=1)))


def _softmax_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    """ln Σ e^z - Σ y z for each row: the cross-entropy of the softmax, with no probability ever formed."""
    top = np.max(Z, axis=1)
    of_target = Z[np.arange(len(Z)), y] if y.ndim == 1 else np.sum(y * Z, axis=1)
    return top + np.log(np.sum(np.exp(Z - top[:, None]), axis=1)) - of_target


def _sigmoid_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    """ln(1 + e^z) - y z averaged over each row: the binary cross-entropy of the sigmoid."""
    return np.mean(np.maximum(Z, 0) - y * Z + np.log1p(np.exp(-np.abs(Z))), axis=1)


def _squared_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    return np.mean((units * (Z - y)) ** 2, axis=1)


def _huber_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    return np.mean(units * units * _huber(Z - y), axis=1)


def _half_squared_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    return _squared_loss(Z, y, units) / 2


def _log_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    """-ln p of the class, p the softmax clipped to [ε, 1 - ε]."""
    return _clip(_softmax_loss(Z, y))


def _binary_log_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    """-ln p summed over each row, p the sigmoid's probability of what is so, clipped to [ε, 1 - ε]."""
    return np.sum(_clip(np.maximum(Z, 0) - y * Z + np.log1p(np.exp(-np.abs(Z)))), axis=1)


def _clip(loss: Array) -> Array:
    """-ln p for p in [ε, 1 - ε], ε being the distance from 1 to the next number of the type."""
    epsilon = np.finfo(loss.dtype).eps
    return np.clip(loss, -np.log1p(-epsilon), -np.log(epsilon))


def _poisson_loss(Z: Array, y: Array, units: Array | float = 1.0) -> Array:
    """y ln(y/μ) - y + μ summed over each row, half the Poisson deviance of μ = e^z."""
    return np.sum(y * np.log(np.where(y > 0, y, 1)) - y * Z - y + _exp(Z), axis=1)


def _exp(Z: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(Z)


def smooth_labels(y: Array, smoothing: float, loss: str) -> Array:
    """Return the targets (1 - s) y + s/K of a training with label smoothing s, for rows y (n, k) of 0 and 1.

    K is the number of classes: k of the cross-entropy, and 2 of each output of the binary one.

    References
    ----------
    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.
    """
    classes = y.shape[1] if LOSSES[loss].targets == "classes" else 2
    return (1 - smoothing) * y + smoothing / classes


class Loss(NamedTuple):
    """A loss as training sees it."""

    targets: str
    """What y holds: "classes", "binary", "numbers", or "counts", which are numbers of at least 0."""
    lr: float
    """The learning rate of SGD that suits most problems."""
    output: Callable[[Array], Array]
    """Turns logits (n, k) into predictions (n, k)."""
    of_logits: Callable[..., Array]
    """Loss of each row (n,) from logits (n, k) and targets (n, k), for cross-entropy also class numbers (n,).

    Of numbers, output c may be measured in units[c]: its error then counts units[c]² times."""
    delta: Callable[[Array, Array], Array]
    """δ = ∂(row's loss)/∂Z (n, k) from outputs and targets, in units of 1."""

    is_offered: bool = True
    """Whether `fastmlp.train` offers it."""
    can_be_smoothed: bool = False
    """Whether its targets may be smoothed labels."""

    @property
    def is_regression(self) -> bool:
        """Whether targets are numbers to come near to, rather than labels."""
        return self.targets in ("numbers", "counts")


LOSSES = {
    "cross_entropy": Loss("classes", 0.1, softmax, _softmax_loss, lambda A, y: A - y, can_be_smoothed=True),
    "binary_cross_entropy": Loss(
        "binary", 0.1, sigmoid, _sigmoid_loss, lambda A, y: (A - y) / A.shape[1], can_be_smoothed=True
    ),
    "mean_squared_error": Loss("numbers", 0.015, identity, _squared_loss, lambda A, y: (A - y) * (2 / A.shape[1])),
    "huber": Loss("numbers", 0.03, identity, _huber_loss, lambda A, y: np.clip(A - y, -1, 1) / A.shape[1]),
    "poisson": Loss("counts", 0.01, _exp, _poisson_loss, lambda A, y: A - y),
    # Those of scikit-learn's networks, to the letter: of k outputs, the last one's δ is k times its value's derivative.
    "log_loss": Loss("classes", 0.1, softmax, _log_loss, lambda A, y: A - y, False),
    "binary_log_loss": Loss("binary", 0.1, sigmoid, _binary_log_loss, lambda A, y: A - y, False),
    "half_squared_error": Loss("numbers", 0.03, identity, _half_squared_loss, lambda A, y: A - y, False),
}
