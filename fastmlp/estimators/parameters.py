"""What both estimators have by name: the parameters, what each may be and is for, and the fitted attributes."""

from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastmlp.backends import BACKENDS
from fastmlp.checks import check_activation, check_hidden
from fastmlp.conversion import activation_here
from fastmlp.reference.activations import ACTIVATIONS

C = TypeVar("C", bound=type)
STOCHASTIC = ("sgd", "adam")
"""The solvers that go through batches."""

_not_negative = Interval(Real, 0, None, closed="left")
_positive = Interval(Real, 0, None, closed="neither")
_below_one = Interval(Real, 0, 1, closed="left")
_count = Interval(Integral, 1, None, closed="left")

CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _count],
    "activation": [StrOptions({"logistic", *ACTIVATIONS}), list, tuple],
    "solver": [StrOptions({"lbfgs", *STOCHASTIC})],
    "alpha": [_not_negative],
    "batch_size": [StrOptions({"auto"}), _count],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [_positive],
    "power_t": [_not_negative],
    "max_iter": [_count],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [_not_negative],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [_below_one],
    "beta_1": [_below_one],
    "beta_2": [_below_one],
    "epsilon": [_positive],
    "n_iter_no_change": [_count, Options(Real, {np.inf})],
    "max_fun": [_count],
    "init": [StrOptions({"he", "xavier"}), _positive, None],
    "dropout": [_below_one, list, tuple],
    "validation_metric": [str, callable, None],
    "num_threads": [_count, None],
    "backend": [StrOptions(set(BACKENDS))],
    "callbacks": [list, tuple],
}
"""In scikit-learn's form, which its `BaseEstimator` checks."""

HELP = """\
hidden_layer_sizes : int or sequence of int
    Widths of the hidden layers.
activation : {"identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "silu", "gelu"} or a list of them
    Of the hidden layers; a list has one for each.
solver : {"lbfgs", "sgd", "adam"}
    "lbfgs" minimises the loss of all samples at once, the others go through them in batches.
alpha : float
    Factor α of the L2 penalty ½ α Σ w² / n, which is part of the loss of n samples.
batch_size : int or "auto"
    "auto" is 200, or the number of samples if that is less.
learning_rate : {"constant", "invscaling", "adaptive"}
    Of "sgd": "invscaling" is ``learning_rate_init / (samples seen + 1) ** power_t``; "adaptive" divides the rate by 5
    instead of stopping, down to 1e-6.
learning_rate_init : float
power_t : float
max_iter : int
    Epochs, for "lbfgs" iterations.
shuffle : bool
    Whether each epoch visits the samples in a fresh order.
random_state : int, RandomState instance or None
    Fixes initial weights, the split of early stopping, and all orders.
tol : float
    An epoch is no improvement unless its loss is below the best by as much, or its score above.
verbose : bool or int
    Whether to print a line an epoch.
warm_start : bool
    Whether `fit` starts from the weights of the fit before.
momentum : float
    Of "sgd".
nesterovs_momentum : bool
early_stopping : bool
    Whether to watch a score on samples that are held out instead of the loss, and to return the weights of its best.
validation_fraction : float
    Share of the samples that `early_stopping` holds out.
beta_1, beta_2, epsilon : float
    Of "adam".
n_iter_no_change : int or inf
    The training ends with the epoch after so many in a row without an improvement.
max_fun : int
    Evaluations of the loss, for "lbfgs".
"""

EXTRAS = """\
init : {"he", "xavier"}, float or None
    Initial weights are normal, see `fastmlp.train`, and biases 0; None is scikit-learn's: both uniform.
dropout : float or list of float
    The share of its units that each hidden layer drops in a step, see `fastmlp.train`; not for "lbfgs".
validation_metric : str, callable or None
    What judges `early_stopping` and `validation_data`: the name of a scorer, or one; None is the accuracy or R².
num_threads : int or None
    At most this many threads; by default as many as pay, and no more than the environment's OMP_NUM_THREADS.
backend : {"jit", "reference"}
    The compiled path, or plain NumPy with the same numbers to rounding.
callbacks : list of callable
    Called as ``callback(model, history)`` with an `fastmlp.MLP` after every epoch of `fit`, see `fastmlp.callbacks`;
    not for "lbfgs".
"""

ATTRIBUTES = """\
coefs_, intercepts_ : list of arrays
    Weights (in, out) and biases (out,) of each layer. They may be replaced or written to: predictions and
    `partial_fit` follow.
loss_ : float
    Of the last epoch: the mean over its batches, penalty included.
loss_curve_ : list of float
    Of all epochs; not for "lbfgs".
best_loss_ : float or None
validation_scores_ : list of float or None
    Of all epochs, with `early_stopping` or validation data.
best_validation_score_ : float or None
validation_loss_curve_ : list of float
    Of all epochs, with validation data.
n_iter_, t_, n_features_in_, n_layers_, n_outputs_ : int
    Epochs of the last training, and samples it has seen; the network's sizes.
feature_names_in_ : (d,) array
    If X was a data frame whose columns have strings as names.
"""


def documented(estimator: C) -> C:
    """Put what both estimators have where a class's docstring names it in angle brackets."""
    if estimator.__doc__:
        for name, text in {"<parameters>": HELP, "<extras>": EXTRAS, "<attributes>": ATTRIBUTES}.items():
            indented = text.replace("\n", "\n    ").rstrip()
            estimator.__doc__ = estimator.__doc__.replace(name, indented)
    return estimator


def keep_parameters(estimator: Any, arguments: dict[str, Any]) -> None:
    """Set a constructor's arguments, its `locals`, as they are."""
    vars(estimator).update((name, value) for name, value in arguments.items() if name != "self")


def read_widths(hidden_layer_sizes: Any) -> tuple[int, ...]:
    """Return the widths of hidden layers as a tuple of positive ints; a bare number is one layer."""
    widths = list(hidden_layer_sizes) if hasattr(hidden_layer_sizes, "__iter__") else [hidden_layer_sizes]
    if any(width <= 0 for width in widths):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {widths}.")
    return check_hidden("hidden_layer_sizes", widths)


def read_activation(activation: Any, depth: int) -> str | tuple[str, ...]:
    """Return this package's name of the activation of `depth` hidden layers, or a tuple of names where they differ."""
    return check_activation("activation", activation_here(activation), ACTIVATIONS, depth)
