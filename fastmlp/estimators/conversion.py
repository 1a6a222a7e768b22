"""scikit-learn's own estimators with the same parameters and fitted attributes, and the way back."""

import copy
from typing import Any

from sklearn import neural_network
from sklearn.base import is_classifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
from sklearn.utils.validation import check_is_fitted

from fastmlp.conversion import common_activation, fit_binarizer, layers_of
from fastmlp.estimators.learner import Learner
from fastmlp.problem import Optimizer, State
from fastmlp.reference.parameters import Layers, flatten, layer_views

LOSSES = ("log_loss", "squared_error", "poisson")
"""What scikit-learn has."""


def make_sklearn(estimator: Any) -> Any:
    """Return a fitted scikit-learn estimator that predicts the same; it shares no array with this one.

    Raises
    ------
    ValueError
        If scikit-learn lacks an activation or the loss.
    """
    kind = neural_network.MLPClassifier if is_classifier(estimator) else neural_network.MLPRegressor
    activation = common_activation(estimator.activation, len(estimator.coefs_) - 1)
    if estimator.loss not in LOSSES:
        known = ", ".join(map(repr, LOSSES))
        raise ValueError(f"loss must be one that scikit-learn has, {known}, got {estimator.loss!r}")
    given = estimator.get_params(deep=False) | {"activation": activation}
    twin = kind(**{name: copy.deepcopy(given[name]) for name in kind().get_params()})
    vars(twin).update(_fitted(estimator))
    twin._best_coefs, twin._best_intercepts = twin.coefs_, twin.intercepts_
    if hasattr(twin, "classes_"):
        has_columns = twin.out_activation_ == "logistic" and twin.n_outputs_ > 1
        twin._label_binarizer = fit_binarizer(None if has_columns else twin.classes_, twin.n_outputs_)
    if hasattr(estimator, "_optimizer"):
        twin._optimizer = _make_optimizer(estimator)
    return twin


def make_from_sklearn(kind: Any, fitted: Any) -> Any:
    """Return an estimator of this package's `kind` with the parameters and fitted attributes of scikit-learn's."""
    estimator = kind()
    theirs = neural_network.MLPClassifier if is_classifier(estimator) else neural_network.MLPRegressor
    if not isinstance(fitted, theirs):
        raise TypeError(f"estimator must be a sklearn.neural_network.{theirs.__name__}, got {fitted!r}")
    check_is_fitted(fitted)
    estimator.set_params(**copy.deepcopy(fitted.get_params(deep=False)))
    vars(estimator).update(_fitted(fitted))
    if hasattr(fitted, "_optimizer"):
        estimator._optimizer = _make_learner(fitted)
    return estimator


def _fitted(estimator: Any) -> dict[str, Any]:
    """Return copies of the fitted attributes, by their names."""
    state = vars(estimator)
    names = [name for name in state if name.endswith("_") and not name.startswith("_")]
    return copy.deepcopy({name: state[name] for name in [*names, "_no_improvement_count"] if name in state})


def _make_optimizer(estimator: Any) -> Any:
    """Return scikit-learn's optimizer as it would be after the same training."""
    settings, learned = estimator._optimizer.settings, estimator._optimizer.learned
    params = estimator.coefs_ + estimator.intercepts_
    if settings.name == "adam":
        optimizer = AdamOptimizer(params, settings.lr, settings.beta1, settings.beta2, settings.epsilon)
    else:
        schedule, power = estimator.learning_rate, estimator.power_t
        nesterov = settings.name != "momentum" and estimator.nesterovs_momentum
        optimizer = SGDOptimizer(params, settings.lr, schedule, settings.momentum, nesterov, power)
    optimizer.learning_rate = estimator._optimizer.learning_rate
    if learned is not None:
        lists = [_as_list(layer_views(array.copy(), estimator._widths)) for array in learned.arrays]
        if settings.name == "adam":
            optimizer.t, (optimizer.ms, optimizer.vs) = learned.steps, lists
        elif lists:
            (optimizer.velocities,) = lists
    return optimizer


def _make_learner(fitted: Any) -> Learner:
    """Return what goes on like scikit-learn's optimizer."""
    theirs = fitted._optimizer
    lr = theirs.learning_rate_init
    if isinstance(theirs, AdamOptimizer):
        settings = Optimizer(
            "adam", lr, beta1=theirs.beta_1, beta2=theirs.beta_2, epsilon=theirs.epsilon, epsilon_hat=True
        )
        lists, steps = [theirs.ms, theirs.vs], theirs.t
    elif theirs.momentum:
        settings = Optimizer("nesterov" if theirs.nesterov else "momentum", lr, momentum=theirs.momentum)
        lists, steps = [theirs.velocities], 0
    else:
        settings, lists, steps = Optimizer("sgd", lr), [], 0
    arrays = tuple(flatten(_as_layers(values)) for values in lists)
    learner = Learner(settings, State(flatten(layers_of(fitted)), arrays, steps))
    if settings.name != "adam":
        learner.learning_rate = theirs.learning_rate
    return learner


def _as_list(layers: Layers) -> list[Any]:
    """Return scikit-learn's one list of all weights and then all biases."""
    return [W for W, _ in layers] + [b for _, b in layers]


def _as_layers(values: list[Any]) -> Layers:
    return list(zip(values[: len(values) // 2], values[len(values) // 2 :], strict=True))
