"""The specification: training a multilayer perceptron in plain NumPy, every function written like its formula.

Letters: n samples, d features, h, h1, h2 hidden units, k outputs or classes. Arrays are row after row, of any float
type, which the result keeps; a bias is (1, width) or (width,); labels y are one-hot, (n, k). Nothing that is passed in
is changed.

`fastmlp.jit` has the same names, signatures and return values, compiled.
"""

from fastmlp.reference.activations import identity, relu, sigmoid, softmax, tanh
from fastmlp.reference.backpropagation import backward, forward, loss_and_gradients
from fastmlp.reference.functions import (
    backward_mlp,
    backward_mlp_3layer,
    forward_mlp,
    forward_mlp_3layer,
    forward_perceptron,
    gradient_descent,
    matrix_multiply,
    normalize,
    numerical_gradient,
)
from fastmlp.reference.losses import binary_cross_entropy, cross_entropy, mse_loss
from fastmlp.reference.optimizers import adam, momentum, nesterov, sgd

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
