"""The specification: training a multilayer perceptron in plain NumPy, every function written like its formula.

Letters: n samples, d features, h, h1, h2 hidden units, k outputs or classes. Arrays are row after row, of any float
type, which the result keeps; a bias is (1, width) or (width,); labels y are one-hot, (n, k). Nothing that is passed in
is changed.

`fastmlp.jit` has the same names, signatures and return values, compiled.
"""

from fastmlp.reference import activations, backpropagation, dropout, functions, losses, optimizers
from fastmlp.reference.activations import *
from fastmlp.reference.backpropagation import *
from fastmlp.reference.dropout import *
from fastmlp.reference.functions import *
from fastmlp.reference.losses import *
from fastmlp.reference.optimizers import *

__all__ = sorted(
    [
        *activations.__all__,
        *backpropagation.__all__,
        *dropout.__all__,
        *functions.__all__,
        *losses.__all__,
        *optimizers.__all__,
    ]
)
