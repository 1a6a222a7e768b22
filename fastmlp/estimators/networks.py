"""Networks of `fastmlp.train` as fitted estimators of scikit-learn, and those as networks: the same predictions."""

import math
from typing import Any

import numpy as np
from sklearn import neural_network
from sklearn.utils.validation import check_is_fitted

from fastmlp.estimators.base import BaseMLP
from fastmlp.estimators.classifier import MLPClassifier
from fastmlp.estimators.convergence import begin_record
from fastmlp.estimators.conversion import make_sklearn
from fastmlp.estimators.regressor import MLPRegressor
from fastmlp.history import History
from fastmlp.normalization import IDENTITY
from fastmlp.problem import Reading
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import Layers, layer_views
from fastmlp.saving import Parts


def to_sklearn(network: Parts) -> neural_network.MLPClassifier | neural_network.MLPRegressor:
    """Return a network as an estimator; see `fastmlp.MLP.to_sklearn`."""
    layers, coding = _unscaled(network), network.coding
    is_softmax = LOSSES[coding.loss].targets == "classes"
    if is_softmax and coding.outputs == 2:
        layers, is_softmax = _with_one_logit(layers), False
    parameters: dict[str, Any] = {
        "hidden_layer_sizes": network.architecture.widths[1:-1],
        "activation": network.architecture.activation if len(layers) > 1 else "identity",
    }
    estimator: BaseMLP
    if coding.is_regression:
        is_poisson = coding.loss == "poisson"
        estimator = MLPRegressor("poisson" if is_poisson else "squared_error", **parameters)
        estimator.out_activation_ = "exp" if is_poisson else "identity"
    else:
        estimator = MLPClassifier(**parameters)
        estimator.classes_ = np.arange(coding.outputs) if coding.classes is None else coding.classes
        estimator.out_activation_ = "softmax" if is_softmax else "logistic"
    estimator.coefs_, estimator.intercepts_ = map(list, zip(*layers, strict=True))
    estimator.n_features_in_ = network.architecture.widths[0]
    estimator.n_layers_ = len(layers) + 1
    estimator.n_outputs_ = len(estimator.intercepts_[-1])
    if network.feature_names is not None:
        estimator.feature_names_in_ = network.feature_names
    estimator.n_iter_, estimator.t_, estimator.loss_ = 0, 0, math.nan
    begin_record(estimator, is_new=True)
    return make_sklearn(estimator)


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


def from_sklearn(estimator: Any) -> Parts:
    """Return an estimator as a network; see `fastmlp.MLP.from_sklearn`."""
    if isinstance(estimator, neural_network.MLPClassifier):
        estimator = MLPClassifier.from_sklearn(estimator)
    elif isinstance(estimator, neural_network.MLPRegressor):
        estimator = MLPRegressor.from_sklearn(estimator)
    elif not isinstance(estimator, BaseMLP):
        raise TypeError(f"estimator must be an MLPClassifier or MLPRegressor, got {estimator!r}")
    check_is_fitted(estimator)
    if len(getattr(estimator, "classes_", (0, 1))) < 2:
        raise ValueError(f"estimator must know at least two classes, got only {estimator.classes_[0].item()!r}")
    params = estimator._params.astype(estimator._dtype)
    if not np.all(np.isfinite(params)):
        raise ValueError("estimator must have finite weights, got NaN or infinity")
    return Parts(
        params=params,
        architecture=estimator._architecture,
        normalization=IDENTITY,
        coding=estimator._coding,
        history=History(loss=list(map(float, getattr(estimator, "loss_curve_", ())))),
        reading=Reading(params.dtype.name, is_sparse=False, base=None),
        feature_names=getattr(estimator, "feature_names_in_", None),
        table=None,
    )
