"""The functions of `fastmlp.reference`, compiled: same names, arguments and results.

Functions in which compiling buys nothing are the reference's own: a matrix product, NumPy's one-pass ``maximum`` and
``tanh``, and those that call Python functions.
"""

from fastmlp.reference import *
from fastmlp.reference import __all__ as __all__

# isort: split
# Those that are compiled take the place of the reference's.
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
