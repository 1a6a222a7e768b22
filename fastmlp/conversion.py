"""Networks and estimators as fitted ones of scikit-learn, and the other way: with the same predictions to rounding."""

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
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

ACTIVATIONS = {"identity": "identity", "sigmoid": "logistic", "tanh": "tanh", "relu": "relu"}
"""What scikit-learn calls the activations that it has."""
OUTPUT_LOSSES = {
    "softmax": "log_loss",
    "logistic": "binary_log_loss",
    "identity": "half_squared_error",
    "exp": "poisson",
}
"""The loss that belongs to each of scikit-learn's output functions."""
LEARNED = (
    "classes_",
    "coefs_",
    "intercepts_",
    "n_features_in_",
    "feature_names_in_",
    "n_layers_",
    "n_outputs_",
    "out_activation_",
)
"""What estimators here and there know of their network by the same names."""
RECORD: dict[str, Any] = {
    "n_iter_": 0,
    "t_": 0,
    "loss_": math.nan,
    "loss_curve_": [],
    "best_loss_": math.inf,
    "validation_scores_": None,
    "best_validation_score_": None,
    "_no_improvement_count": 0,
}
"""What an estimator tells of its training, and goes on with, before there was any."""


def to_sklearn(network: Parts) -> MLPClassifier | MLPRegressor:
    """Return a network as an estimator; see `fastmlp.MLP.to_sklearn`."""
    layers, coding = _unscaled(network), network.coding
    if LOSSES[coding.loss].targets == "classes" and coding.outputs == 2:
        layers, coding = _with_one_logit(layers), coding._replace(outputs=1)
    return make_fitted(layers, network.architecture.activation, coding, network.feature_names)


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


def make_fitted(
    layers: Layers, activation: str | Sequence[str], coding: Coding, feature_names: NDArray[Any] | None
) -> MLPClassifier | MLPRegressor:
    """Return an estimator that was not trained, and predicts with copies of these layers.

    Raises
    ------
    ValueError
        If scikit-learn has no such activation.
    TypeError
        If the classes are bytes.
    """
    parameters = {
        "hidden_layer_sizes": tuple(W.shape[1] for W, _ in layers[:-1]),
        "activation": _name_there(activation, len(layers) - 1),
    }
    if coding.is_regression:
        is_poisson = coding.loss == "poisson"
        estimator = MLPRegressor(**parameters, **({"loss": "poisson"} if is_poisson else {}))
        estimator.out_activation_ = "exp" if is_poisson else "identity"
    else:
        estimator = MLPClassifier(**parameters)
        binarizer = LabelBinarizer().fit(np.eye(coding.outputs) if coding.classes is None else coding.classes)
        estimator._label_binarizer, estimator.classes_ = binarizer, binarizer.classes_
        estimator.out_activation_ = "softmax" if binarizer.y_type_ == "multiclass" else "logistic"
    estimator.coefs_ = [W.copy() for W, _ in layers]
    estimator.intercepts_ = [b.copy() for _, b in layers]
    estimator.n_layers_ = len(layers) + 1
    estimator.n_features_in_ = len(layers[0][0])
    estimator.n_outputs_ = coding.outputs
    if feature_names is not None:
        estimator.feature_names_in_ = feature_names.copy()
    vars(estimator).update(copy.deepcopy(RECORD))
    return estimator


def _name_there(activation: str | Sequence[str], depth: int) -> str:
    """Return scikit-learn's name of the activation of `depth` hidden layers."""
    names = sorted({activation} if isinstance(activation, str) else {*activation}) if depth else ["identity"]
    if len(names) > 1 or names[0] not in ACTIVATIONS:
        raise ValueError(
            f"the hidden layers must have one activation for scikit-learn, of {', '.join(ACTIVATIONS)}, "
            f"got {', '.join(names)}"
        )
    return ACTIVATIONS[names[0]]


def from_sklearn(estimator: Any) -> Parts:
    """Return an estimator as a network; see `fastmlp.MLP.from_sklearn`."""
    if not hasattr(estimator, "hidden_layer_sizes"):
        raise TypeError(f"estimator must be an MLPClassifier or MLPRegressor, got {estimator!r}")
    check_is_fitted(estimator)
    params = flatten(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    if not np.all(np.isfinite(params)):
        raise ValueError("estimator must have finite weights, got NaN or infinity")
    if params.dtype != np.float32:
        params = params.astype(np.float64)
    widths = estimator.n_features_in_, *(len(b) for b in estimator.intercepts_)
    names, coding = estimator.activation, _coding(estimator)
    names = _name_here(names) if isinstance(names, str) else tuple(map(_name_here, names))
    return Parts(
        params=params,
        architecture=Architecture(widths, names, coding.loss),
        normalization=IDENTITY,
        coding=coding,
        history=History(loss=[float(loss) for loss in getattr(estimator, "loss_curve_", ())]),
        reading=Reading(params.dtype.name, is_sparse=False, base=None),
        feature_names=getattr(estimator, "feature_names_in_", None),
        table=None,
    )


def _coding(estimator: Any) -> Coding:
    """Return the relation of y to an estimator's outputs."""
    k, loss = estimator.n_outputs_, OUTPUT_LOSSES[estimator.out_activation_]
    if LOSSES[loss].is_regression:
        return Coding("huber" if estimator.loss == "huber" else loss, k, None, flat=k == 1)
    if loss == "binary_log_loss" and k > 1:
        return Coding(loss, k, None, flat=False)
    if len(estimator.classes_) < 2:
        raise ValueError(f"estimator must know at least two classes, got only {estimator.classes_[0]!r}")
    return Coding(loss, k, estimator.classes_, flat=False)


def _name_here(activation: str) -> str:
    """Return this package's name of an estimator's activation."""
    return "sigmoid" if activation == "logistic" else activation


def estimator_to_sklearn(estimator: Any) -> MLPClassifier | MLPRegressor:
    """Return an estimator of this package as scikit-learn's; see `fastmlp.MLPClassifier.to_sklearn`."""
    check_is_fitted(estimator)
    names = getattr(estimator, "feature_names_in_", None)
    there = make_fitted(estimator._layers, estimator._architecture.activation, estimator._coding, names)
    _share(estimator, there, there.get_params().keys() - {"activation", "loss"}, RECORD)
    there._best_coefs, there._best_intercepts = there.coefs_, there.intercepts_
    return there


def estimator_from_sklearn(kind: type, estimator: Any) -> Any:
    """Return scikit-learn's estimator as one of this package; see `fastmlp.MLPClassifier.from_sklearn`."""
    here = kind()
    wanted = MLPClassifier if is_classifier(here) else MLPRegressor
    if not isinstance(estimator, wanted):
        raise TypeError(f"estimator must be scikit-learn's {wanted.__name__}, got {estimator!r}")
    check_is_fitted(estimator)
    _share(estimator, here, estimator.get_params().keys(), (*LEARNED, *RECORD))
    return here


def _share(source: Any, target: Any, parameters: Iterable[str], attributes: Iterable[str]) -> None:
    """Copy parameters, and those attributes that the source has, from one estimator to another."""
    for name in (*parameters, *(name for name in attributes if hasattr(source, name))):
        setattr(target, name, copy.deepcopy(getattr(source, name)))
