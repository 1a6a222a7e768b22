"""Activation functions, each with its derivative: `ACTIVATIONS` is where everybody finds them."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.checks import check_activation

__all__ = ["elu", "gelu", "identity", "leaky_relu", "relu", "sigmoid", "silu", "softmax", "tanh"]

Array = NDArray[np.floating]

LEAK = 0.01
"""What a leaky rectifier lets through of a negative number."""
GELU_SCALE, GELU_CUBIC = 2 * math.sqrt(2 / math.pi), 0.044715


def identity(Z: Array) -> Array:
    """Return Z itself, the activation of a linear layer: a(z) = z, with the derivative 1.

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z
        The same object, not a copy.

    References
    ----------
    Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.2.2.1, on linear output units.
    """
    return Z


def relu(Z: Array) -> Array:
    """Return a(z) = max(0, z) for every element of Z; the derivative counts as 0 at z = 0.

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z

    References
    ----------
    Nair and Hinton, "Rectified Linear Units Improve Restricted Boltzmann Machines", 2010.
    """
    return np.maximum(Z, 0)


def leaky_relu(Z: Array) -> Array:
    """Return a(z) = z where z > 0, else z / 100, for every element of Z; the derivative counts as 1 / 100 at z = 0.

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z

    References
    ----------
    Maas, Hannun and Ng, "Rectifier Nonlinearities Improve Neural Network Acoustic Models", 2013.
    """
    return np.where(Z > 0, Z, LEAK * Z)


def elu(Z: Array) -> Array:
    """Return a(z) = z where z > 0, else e^z - 1, for every element of Z; the derivative there is a + 1.

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z
        Numbers above -1.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network Learning by Exponential Linear Units", 2016.
    """
    return np.where(Z > 0, Z, np.expm1(np.minimum(Z, 0)))


def sigmoid(Z: Array) -> Array:
    """Return σ(z) = 1 / (1 + e^-z) for every element of Z, without overflow at any finite z.

    The exponential only ever sees -|z|: σ(z) = 1 / (1 + e^-|z|) for z ≥ 0 and e^-|z| / (1 + e^-|z|) below. The
    derivative is σ(1 - σ).

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z
        Numbers from 0 to 1.

    References
    ----------
    Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 3.10, on the logistic sigmoid.
    """
    Z = np.asarray(Z)
    e = np.exp(-np.abs(Z))
    return np.where(Z >= 0, 1, e) / (1 + e)


def tanh(Z: Array) -> Array:
    """Return tanh(z) = (e^z - e^-z) / (e^z + e^-z) for every element of Z; the derivative is 1 - tanh².

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z
        Numbers from -1 to 1.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, section 4.4, on sigmoids that are symmetric about 0.
    """
    return np.tanh(Z)


def silu(Z: Array) -> Array:
    """Return a(z) = z·σ(z) for every element of Z, also known as swish; the derivative is σ + z·σ(1 - σ).

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z

    References
    ----------
    Elfwing, Uchibe and Doya, "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in Reinforcement
    Learning", 2018.
    """
    return Z * sigmoid(Z)


def gelu(Z: Array) -> Array:
    """Return a(z) = z·½(1 + tanh(√(2/π)(z + 0.044715 z³))), near z·Φ(z), for every element of Z.

    ½(1 + tanh u) is σ(2u), by which no digits are lost where z is negative.

    Parameters
    ----------
    Z : array of any shape

    Returns
    -------
    A : array of the shape of Z

    References
    ----------
    Hendrycks and Gimpel, "Gaussian Error Linear Units (GELUs)", 2016, section 2.
    """
    return Z * sigmoid(GELU_SCALE * (Z + GELU_CUBIC * Z * Z * Z))


def _silu_slope(Z: Array) -> Array:
    s = sigmoid(Z)
    return s + Z * s * (1 - s)


def _gelu_slope(Z: Array) -> Array:
    s = sigmoid(GELU_SCALE * (Z + GELU_CUBIC * Z * Z * Z))
    return s + Z * s * (1 - s) * (GELU_SCALE * (1 + 3 * GELU_CUBIC * Z * Z))


def softmax(Z: Array) -> Array:
    """Return row-wise class probabilities p_j = e^z_j / Σ_i e^z_i.

    Parameters
    ----------
    Z : (n, k) array
        Logits. Each row's maximum is subtracted first, so no exponential overflows; p stays the same.

    Returns
    -------
    A : (n, k) array
        Probabilities; each row sums to 1.

    References
    ----------
    Bridle, "Probabilistic Interpretation of Feedforward Classification Network Outputs", 1990. Goodfellow, Bengio
    and Courville, "Deep Learning", 2016, section 4.1, on the maximum that is subtracted.
    """
    E = np.exp(Z - np.max(Z, axis=1, keepdims=True))
    return E / np.sum(E, axis=1, keepdims=True)


class Activation(NamedTuple):
    """An activation of hidden layers, A = function(Z)."""

    function: Callable[[Array], Array]
    derivative: Callable[[Array], Array]
    """dA/dZ as a function of A, so that no Z need be kept; or of Z."""
    of_input: bool = False
    """Whether `derivative` is a function of Z."""


ACTIVATIONS = {
    "relu": Activation(relu, lambda A: (A > 0).astype(A.dtype)),
    "leaky_relu": Activation(leaky_relu, lambda A: np.where(A > 0, 1, LEAK).astype(A.dtype)),
    "elu": Activation(elu, lambda A: np.where(A > 0, 1, A + 1)),
    "sigmoid": Activation(sigmoid, lambda A: A * (1 - A)),
    "tanh": Activation(tanh, lambda A: 1 - A * A),
    "silu": Activation(silu, _silu_slope, of_input=True),
    "gelu": Activation(gelu, _gelu_slope, of_input=True),
    "identity": Activation(identity, np.ones_like),
}


def layer_activations(activation: str | Sequence[str], depth: int) -> tuple[str, ...]:
    """Return the name of each hidden layer's activation, from one name for all `depth` of them or one for each.

    Raises
    ------
    ValueError
        If a name is none of ACTIVATIONS, or there is neither one name nor one for each layer.
    """
    names = check_activation("activation", activation, ACTIVATIONS, depth)
    return (names,) * depth if isinstance(names, str) else names
