"""Networks as fitted estimators of scikit-learn, and those as networks, with the same predictions to rounding."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from fastmlp.history import History
from fastmlp.normalization import IDENTITY
from fastmlp.problem import Architecture, Reading
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import Layers, flatten, layer_views
from fastmlp.saving import Parts
from fastmlp.targets import Coding

REAL = "biuf"
"""The kinds of dtypes of real numbers."""
ACTIVATIONS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
"""What scikit-learn calls the activations that it has."""
OUTPUT_LOSSES = {
    "softmax": "log_loss",
    "logistic": "binary_log_loss",
    "identity": "half_squared_error",
    "exp": "poisson",
}
"""The loss that belongs to each of scikit-learn's output functions."""


def to_sklearn(network: Parts) -> MLPClassifier | MLPRegressor:
    """Return a network as an estimator; see `fastmlp.MLP.to_sklearn`."""
    layers, coding = _unscaled(network), network.coding
    is_softmax = LOSSES[coding.loss].targets == "classes"
    if is_softmax and coding.outputs == 2:
        layers, is_softmax = _with_one_logit(layers), False
    activation = common_activation(network.architecture.activation, len(layers) - 1)
    parameters = {"hidden_layer_sizes": network.architecture.widths[1:-1], "activation": activation}
    if coding.is_regression:
        is_poisson = coding.loss == "poisson"
        estimator = MLPRegressor("poisson" if is_poisson else "squared_error", **parameters)
        estimator.out_activation_ = "exp" if is_poisson else "identity"
    else:
        estimator = MLPClassifier(**parameters)
        estimator._label_binarizer = fit_binarizer(coding.classes, coding.outputs)
        estimator.classes_ = estimator._label_binarizer.classes_
        estimator.out_activation_ = "softmax" if is_softmax else "logistic"
    vars(estimator).update(as_attributes([(W.copy(), b.copy()) for W, b in layers]))
    estimator.n_features_in_ = network.architecture.widths[0]
    estimator.n_layers_ = len(layers) + 1
    estimator.n_outputs_ = len(estimator.intercepts_[-1])
    if network.feature_names is not None:
        estimator.feature_names_in_ = network.feature_names.copy()
    _begin_record(estimator)
    return estimator


def _unscaled(network: Parts) -> Layers:
    """Return layers from features as they come to outputs in the units of y."""
    normalization, scaling, widths = network.normalization, network.coding.scaling, network.architecture.widths
    if normalization.is_identity and scaling.is_identity:
        return layer_views(network.params, widths)
    layers = layer_views(network.params.astype(np.float64), widths)  # float32 is not enough for columns far from 0
    W, b = layers[0]
    W /= np.broadcast_to(normalization.scale, len(W))[:, None]
    b -= np.broadcast_to(normalization.shift, len(W)) @ W
    W, b = layers[-1]
    W *= scaling.scale
    b *= scaling.scale
    b += scaling.shift
    return layers


def _with_one_logit(layers: Layers) -> Layers:
    """Return layers with one logit, whose sigmoid is the softmax of the second of two."""
    W, b = layers[-1]
    return [*layers[:-1], (W[:, 1:] - W[:, :1], b[1:] - b[:1])]


def layers_of(estimator: Any) -> Layers:
    """Return a fitted estimator's weights layer by layer."""
    return list(zip(estimator.coefs_, estimator.intercepts_, strict=True))


def check_weights(estimator: Any, d: int, k: int) -> None:
    """Raise unless the weights, which anyone may have written, are those of a network from d features to k outputs."""
    try:
        layers = layers_of(estimator)
    except (TypeError, ValueError):
        layers = []
    if not layers:
        raise ValueError("coefs_ and intercepts_ must be lists of arrays, one of each for every layer")
    width = d
    for i, (W, b) in enumerate(layers):
        for name, array in (("coefs_", W), ("intercepts_", b)):
            if not isinstance(array, np.ndarray) or isinstance(array, MaskedArray) or array.dtype.kind not in REAL:
                got = f"an array of {array.dtype}" if type(array) is np.ndarray else type(array).__name__
                raise TypeError(f"{name}[{i}] must be an array of numbers, got {got}")
        if W.ndim != 2 or len(W) != width:
            raise ValueError(f"coefs_[{i}] must have shape ({width}, width of the layer), got {W.shape}")
        width = W.shape[1]
        if b.shape not in ((width,), (1, width)):
            raise ValueError(f"intercepts_[{i}] must have shape ({width},), got {b.shape}")
    if width != k:
        raise ValueError(f"coefs_[{len(layers) - 1}] must have a column for each of the {k} outputs, got {width}")


def as_attributes(layers: Layers) -> dict[str, list[NDArray[Any]]]:
    """Return the attributes in which a fitted estimator has its weights, the inverse of `layers_of`."""
    return {"coefs_": [W for W, _ in layers], "intercepts_": [b for _, b in layers]}


def activation_here(activation: str | Sequence[str]) -> str | tuple[str, ...]:
    """Return an estimator's activation, one name or one for each hidden layer, with this package's name of it."""
    if isinstance(activation, str):
        return "sigmoid" if activation == "logistic" else activation
    return tuple("sigmoid" if name == "logistic" else name for name in activation)


def common_activation(activation: str | Sequence[str], depth: int) -> str:
    """Return scikit-learn's name of the activation of `depth` hidden layers, or raise a ValueError if it has none.

    Names are this package's or scikit-learn's: one, or one for each layer.
    """
    names = {activation} if isinstance(activation, str) else {*activation}
    known = ACTIVATIONS | {name: name for name in ACTIVATIONS.values()}
    if not depth:
        return "identity"
    if len(names) > 1 or not names <= known.keys():
        choices = ", ".join(map(repr, ACTIVATIONS.values()))
        raise ValueError(f"activation must be one that scikit-learn has, {choices}, got {activation!r}")
    return known[names.pop()]


def fit_binarizer(classes: NDArray[Any] | None, outputs: int) -> LabelBinarizer:
    """Return what an estimator of scikit-learn knows its classes by; None stands for columns of labels 0 and 1."""
    return LabelBinarizer().fit(np.eye(outputs, dtype=int) if classes is None else classes)


def _begin_record(estimator: Any) -> None:
    """Let an estimator tell of no training, from where `partial_fit` and a warm start go on."""
    estimator.n_iter_ = estimator.t_ = estimator._no_improvement_count = 0
    estimator.loss_, estimator.best_loss_, estimator.loss_curve_ = math.nan, math.inf, []
    estimator.validation_scores_ = estimator.best_validation_score_ = None


def from_sklearn(estimator: Any) -> Parts:
    """Return an estimator as a network; see `fastmlp.MLP.from_sklearn`."""
    if not hasattr(estimator, "hidden_layer_sizes"):
        raise TypeError(f"estimator must be an MLPClassifier or MLPRegressor, got {estimator!r}")
    check_is_fitted(estimator)
    classes = getattr(estimator, "classes_", None)
    if classes is not None and len(classes) == 1:
        raise ValueError(f"estimator must know at least two classes, got only {classes[0]!r}")
    is_huber = getattr(estimator, "loss", "") == "huber"  # this package's own
    coding = coding_of(estimator, "huber" if is_huber else OUTPUT_LOSSES[estimator.out_activation_])
    d = estimator.n_features_in_
    check_weights(estimator, d, coding.outputs)
    widths = d, *(W.shape[1] for W in estimator.coefs_)
    params = flatten(layers_of(estimator))
    if not np.all(np.isfinite(params)):
        raise ValueError("estimator must have finite weights, got NaN or infinity")
    if params.dtype != np.float32:
        params = params.astype(np.float64)
    return Parts(
        params=params,
        architecture=Architecture(widths, activation_here(estimator.activation), coding.loss),
        normalization=IDENTITY,
        coding=coding,
        history=History(loss=list(map(float, getattr(estimator, "loss_curve_", ())))),
        reading=Reading(params.dtype.name, is_sparse=False, base=None),
        feature_names=getattr(estimator, "feature_names_in_", None),
        table=None,
    )


def coding_of(estimator: Any, loss: str) -> Coding:
    """Return the relation of y to a fitted estimator's outputs, of which a loss of LOSSES judges."""
    k, is_regression = estimator.n_outputs_, LOSSES[loss].is_regression
    if is_regression or (k > 1 and LOSSES[loss].targets == "binary"):
        return Coding(loss, k, None, flat=is_regression and k == 1)
    classes = estimator.classes_.copy()
    if LOSSES[loss].targets == "classes":
        return Coding(loss, len(classes), classes, flat=False)
    return Coding(loss, k, np.repeat(classes, 2) if len(classes) == 1 else classes, flat=False)
