"""The functions of `fastmlp.reference`, compiled: same names, arguments and results.

Functions in which compiling buys nothing are the reference's own: a matrix product, NumPy's one-pass ``maximum`` and
``tanh``, and those that call Python functions.
"""

from fastmlp.jit.functions import (
    backward,
    backward_mlp,
    backward_mlp_3layer,
    binary_cross_entropy,
    cross_entropy,
    forward,
    forward_mlp,
    forward_mlp_3layer,
    forward_perceptron,
    loss_and_gradients,
    mse_loss,
    normalize,
    sigmoid,
    softmax,
)
from fastmlp.jit.steps import adam, momentum, nesterov, sgd
from fastmlp.reference import gradient_descent, identity, matrix_multiply, numerical_gradient, relu, tanh

__all__ = [
    "adam",
    "backward",
    "backward_mlp",
    "backward_mlp_3layer",
    "binary_cross_entropy",
    "cross_entropy",
    "forward",
    "forward_mlp",
    "forward_mlp_3layer",
    "forward_perceptron",
    "gradient_descent",
    "identity",
    "loss_and_gradients",
    "matrix_multiply",
    "momentum",
    "mse_loss",
    "nesterov",
    "normalize",
    "numerical_gradient",
    "relu",
    "sgd",
    "sigmoid",
    "softmax",
    "tanh",
]
