"""Parameters of a network: one flat vector, on which every layer's (W, b) is a view."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fastmlp.reference.activations import Array

Layers = list[tuple[Array, Array]]


def parameter_count(widths: Sequence[int]) -> int:
    """Return how many weights and biases a network of these widths (d, h1, ..., k) has."""
    return sum((m + 1) * p for m, p in pairwise(widths))


def layer_views(flat: Array, widths: Sequence[int]) -> Layers:
    """Return [(W1, b1), ...] as views of `flat`, which holds W1, b1, W2, b2, ... in this order.

    Each W is (in, out) and each b is (out,); writing to a view writes to the vector.
    """
    layers, start = [], 0
    for m, p in pairwise(widths):
        W, b = flat[start : start + m * p].reshape(m, p), flat[start + m * p : start + (m + 1) * p]
        layers.append((W, b))
        start += (m + 1) * p
    return layers


def flatten(layers: Iterable[tuple[Array, Array]]) -> Array:
    """Return a new flat vector of [(W1, b1), ...], the inverse of `layer_views`."""
    return np.concatenate([array.ravel() for layer in layers for array in layer])


def weight_mask(widths: Sequence[int]) -> NDArray[np.bool_]:
    """Return a boolean flat vector, True where the parameter is a weight and False where it is a bias."""
    mask = np.zeros(parameter_count(widths), bool)
    for W, _ in layer_views(mask, widths):
        W[...] = True
    return mask


def initialize(widths: Sequence[int], init: str | float, rng: np.random.Generator | np.random.RandomState) -> Array:
    """Return initial parameters as a flat float64 vector: weights drawn from a normal distribution, biases 0.

    Parameters
    ----------
    widths : sequence of int
        (d, h1, ..., k).
    init : {"he", "xavier"} or float
        Standard deviation of the weights: sqrt(2 / in), sqrt(2 / (in + out)), or the number itself.
    rng : numpy.random.Generator or RandomState
        Layers are drawn in order, each weight matrix in one call.

    References
    ----------
    He et al., "Delving Deep into Rectifiers", 2015. Glorot and Bengio, "Understanding the difficulty of training
    deep feedforward neural networks", 2010.
    """
    flat = np.zeros(parameter_count(widths))
    for W, _ in layer_views(flat, widths):
        m, p = W.shape
        scale = {"he": (2 / m) ** 0.5, "xavier": (2 / (m + p)) ** 0.5}[init] if isinstance(init, str) else init
        W[...] = scale * rng.standard_normal((m, p))
    return flat
