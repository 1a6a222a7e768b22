"""Activation functions, each with its derivative written in terms of its own output."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def identity(Z: Array) -> Array:
    """Return Z itself, the activation of a linear layer."""
    return Z


def relu(Z: Array) -> Array:
    """Return max(0, z) for every element of Z, in the shape and dtype of Z."""
    return np.maximum(Z, 0)


def sigmoid(Z: Array) -> Array:
    """Return 1 / (1 + e^-z) for every element of Z, without overflow at any finite z.

    The exponential only ever sees -|z|: σ(z) = 1 / (1 + e^-|z|) for z ≥ 0 and e^-|z| / (1 + e^-|z|) below.
    """
    Z = np.asarray(Z)
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1, e) / (1 + e)


def tanh(Z: Array) -> Array:
    """Return the hyperbolic tangent of every element of Z."""
    return np.tanh(Z)


def softmax(Z: Array) -> Array:
    """Return row-wise class probabilities e^z / Σ e^z.

    Parameters
    ----------
    Z : (n, k) array
        Logits. Each row's maximum is subtracted first, so no exponential overflows.
    """
    E = np.exp(Z - np.max(Z, axis=1, keepdims=True))
    return E / np.sum(E, axis=1, keepdims=True)


class Activation(NamedTuple):
    """A function and its derivative, the latter as a function of the output, so that no Z need be kept."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]


ACTIVATIONS = {
    "relu": Activation(relu, lambda A: (A > 0).astype(A.dtype)),
    "sigmoid": Activation(sigmoid, lambda A: A * (1 - A)),
    "tanh": Activation(tanh, lambda A: 1 - A * A),
    "identity": Activation(identity, np.ones_like),
}
