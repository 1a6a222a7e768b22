"""Activations of hidden layers: of a row z its function, the lanes that matter afterwards, and its derivative.

`slope(a, d)` is d · activation'(z), given a = function(z), or where the reference's derivative is `of_input`, z itself.
"""

from fastmlp.engine.simd import inline, maximum, sigmoid, tanh, to_bits, where


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
def all_lanes(z):
    return ~(to_bits(z > 0) & 0)


@inline
def sigmoid_slope(a, d):
    return d * (a - a * a)


@inline
def tanh_slope(a, d):
    return d * (1 - a * a)


@inline
def identity(z):
    return z


@inline
def identity_slope(a, d):
    return d


ACTIVATIONS = {
    "relu": (relu, positive, relu_slope),
    "sigmoid": (sigmoid, all_lanes, sigmoid_slope),
    "tanh": (tanh, all_lanes, tanh_slope),
    "identity": (identity, all_lanes, identity_slope),
}
"""(function, active lanes, slope) of each."""
