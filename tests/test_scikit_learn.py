"""A trained network where scikit-learn asks for a fitted estimator: scorers, inspection, calibration, displays."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import DecisionBoundaryDisplay, partial_dependence, permutation_importance
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    check_scoring,
    get_scorer,
    log_loss,
    r2_score,
    roc_auc_score,
)
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted
from support.networks import TARGETS, X, fit

WEIGHTS = np.arange(1.0, 51)
SOME = ["int", "str", "regression", "multiple regression", "binary", "multilabel"]


@pytest.mark.parametrize("kind", SOME)
def test_a_network_is_a_fitted_estimator(kind):
    y, options = TARGETS[kind]
    model = fit(y, **options)
    check_is_fitted(model)
    assert is_regressor(model) == ("regression" in kind) != is_classifier(model)
    assert model.n_features_in_ == 4
    frozen = FrozenEstimator(model).fit(X, y)
    assert repr(model) in repr(frozen)
    assert repr(model) in frozen._repr_html_()
    assert_array_equal(frozen.predict(X), model.predict(X))
    assert np.mean(cross_val_score(frozen, X, y, cv=2)) == pytest.approx(model.score(X, y), abs=0.2)


@pytest.mark.parametrize(
    ("kind", "name", "metric"),
    [
        ("int", "accuracy", lambda y, model, w: accuracy_score(y, model.predict(X), sample_weight=w)),
        ("str", "neg_log_loss", lambda y, model, w: -log_loss(y, model.predict_proba(X), sample_weight=w)),
        ("binary", "roc_auc", lambda y, model, w: roc_auc_score(y, model.predict_proba(X)[:, 1], sample_weight=w)),
        ("multilabel", "accuracy", lambda y, model, w: accuracy_score(y, model.predict(X), sample_weight=w)),
        (
            "multilabel",
            "average_precision",
            lambda y, model, w: average_precision_score(y, model.predict_proba(X), sample_weight=w),
        ),
        ("multiple regression", "r2", lambda y, model, w: r2_score(y, model.predict(X), sample_weight=w)),
    ],
)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["alike", "weighted"])
def test_scorers_by_name(kind, name, metric, weights):
    y, options = TARGETS[kind]
    model = fit(y, **options)
    given = {} if weights is None else {"sample_weight": weights}
    assert get_scorer(name)(model, X, y, **given) == pytest.approx(metric(y, model, weights), rel=1e-12)
    if name in ("accuracy", "r2"):
        assert check_scoring(model)(model, X, y, **given) == pytest.approx(metric(y, model, weights), rel=1e-12)
        assert (model.score(X, y, weights) == model.score(X, y)) == (weights is None)


def test_the_logarithms_of_probabilities():
    model = fit(*TARGETS["int"][:1])
    assert_allclose(np.exp(model.predict_log_proba(X)), model.predict_proba(X), rtol=1e-12)
    sure = fit([0, 1] * 25, params=[(1e4 * np.eye(4, 2), np.zeros(2))], hidden=(), lr=1e-300)
    assert -np.inf in sure.predict_log_proba(X)


def test_permutation_importance_finds_the_feature_that_matters():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = fit(X[:, 2], X=frame, num_epochs=50)
    importance = permutation_importance(model, frame, X[:, 2], n_repeats=3, random_state=0, sample_weight=WEIGHTS)
    assert np.argmax(importance.importances_mean) == 2
    assert importance.importances_mean[2] > 0.5


@pytest.mark.parametrize("kind", ["int", "str", "regression", "binary"])
def test_partial_dependence_is_the_mean_prediction(kind):
    y, options = TARGETS[kind]
    model = fit(y, **options)
    curves = partial_dependence(model, X, [1], grid_resolution=3, method="brute")
    for value, average in zip(curves["grid_values"][0], curves["average"].T, strict=True):
        rows = X.copy()
        rows[:, 1] = value
        predictions = model.predict(rows) if is_regressor(model) else model.predict_proba(rows)
        expected = np.mean(predictions.reshape(len(X), -1), axis=0)
        assert_allclose(average, expected[-1:] if kind == "binary" else expected, rtol=1e-12)


def test_a_calibrated_network():
    y, options = TARGETS["binary"]
    model = fit(y, num_epochs=20, **options)
    calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="isotonic").fit(X, y)
    assert_array_equal(calibrated.classes_, ["no", "yes"])
    assert log_loss(y, calibrated.predict_proba(X)) < log_loss(y, model.predict_proba(X))


def test_a_network_in_a_pipeline_and_in_a_stack():
    y, _ = TARGETS["int"]
    scaler = StandardScaler().fit(X)
    model = fit(y, X=scaler.transform(X))
    assert make_pipeline(scaler, model).score(X, y) == model.score(scaler.transform(X), y)
    assert StackingClassifier([("network", model)], cv="prefit").fit(X, y).score(X, y) > 1 / 3


@pytest.mark.parametrize("kind", ["int", "regression", "binary"])
def test_decision_boundaries(kind):
    y, options = TARGETS[kind]
    model = fit(y, X=X[:, :2], **options)
    display = DecisionBoundaryDisplay.from_estimator(model, X[:, :2], grid_resolution=3, plot_method="contourf")
    assert np.all(np.isfinite(display.response))


def test_a_network_is_not_fitted_again():
    y, _ = TARGETS["int"]
    model = fit(y)
    before = model.params.copy()
    with pytest.raises(TypeError, match=r"fastmlp\.train makes a new one, and sklearn\.frozen\.FrozenEstimator"):
        make_pipeline(StandardScaler(), model).fit(X, y)
    assert_array_equal(model.params, before)


def test_what_is_missing_is_no_attribute():
    assert not hasattr(fit(X[:, 0]), "classes_")
    with pytest.raises(AttributeError, match="trained for regression"):
        _ = fit(X[:, 0]).classes_
    y, options = TARGETS["multilabel"]
    assert_array_equal(fit(y, **options).classes_, [0, 1, 2])
