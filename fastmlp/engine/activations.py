"""Activations of hidden layers: of a row z its function, the lanes that matter afterwards, and its derivative.

`slope(a, d)` is d · activation'(z), given a = function(z), or where the reference's derivative is `of_input`, z itself.
"""

from fastmlp.engine.simd import inline, maximum, sigmoid, tanh, to_bits, where
from fastmlp.reference.activations import GELU_CUBIC, GELU_SCALE, LEAK


@inline
def relu(z):
    return maximum(z, 0)


@inline
def positive(z):
    return to_bits(~(z <= 0))  # NaN counts, so that it reaches the loss


@inline
def relu_slope(a, d):
    return where(a > 0, d, 0)


@inline
def leaky_relu(z):
    return where(z > 0, z, LEAK * z)


@inline
def leaky_relu_slope(a, d):
    return where(a > 0, d, LEAK * d)


@inline
def elu(z):
    t = tanh(0.5 * where(z > 0, 0, z))
    return where(z > 0, z, 2 * t / (1 - t))  # e^z - 1, of which a small z loses nothing


@inline
def elu_slope(a, d):
    return where(a > 0, d, d * (a + 1))


@inline
def all_lanes(z):
    return ~(to_bits(z > 0) & 0)


@inline
def sigmoid_slope(a, d):
    return d * (a - a * a)


@inline
def tanh_slope(a, d):
    return d * (1 - a * a)


@inline
def silu(z):
    return z * sigmoid(z)


@inline
def silu_slope(z, d):
    s = sigmoid(z)
    return d * (s + z * s * (1 - s))


@inline
def gelu(z):
    return z * sigmoid(GELU_SCALE * (z + GELU_CUBIC * z * z * z))


@inline
def gelu_slope(z, d):
    s = sigmoid(GELU_SCALE * (z + GELU_CUBIC * z * z * z))
    return d * (s + z * s * (1 - s) * (GELU_SCALE * (1 + 3 * GELU_CUBIC * z * z)))


@inline
def identity(z):
    return z


@inline
def identity_slope(a, d):
    return d


ACTIVATIONS = {
    "relu": (relu, positive, relu_slope),
    "leaky_relu": (leaky_relu, all_lanes, leaky_relu_slope),
    "elu": (elu, all_lanes, elu_slope),
    "sigmoid": (sigmoid, all_lanes, sigmoid_slope),
    "tanh": (tanh, all_lanes, tanh_slope),
    "silu": (silu, all_lanes, silu_slope),
    "gelu": (gelu, all_lanes, gelu_slope),
    "identity": (identity, all_lanes, identity_slope),
}
"""(function, active lanes, slope) of each."""
