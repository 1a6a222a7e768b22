"""Networks as scikit-learn's estimators and the other way: the same predictions, or one clear sentence."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from support.networks import CODES, TARGETS, X, fit

import fastmlp

KINDS = {
    **{kind: target for kind, target in TARGETS.items() if kind not in ("bytes", "negative")},
    "huber": (X[:, :2], {"loss": "huber"}),
    "binary softmax": (np.array(["no", "yes"])[CODES // 2], {}),
}
SCALED = {"normalize": "auto", "normalize_targets": True}
FORMS = {
    "standardised": 1e3 * X + 1e6,
    "scaled pixels": np.abs(100 * X).astype(np.uint8),
    "csr": csr_array(np.where(X > 0, 1e3 * X, 0)),
    "as it is": X,
}


def check_equal(one, other, features, tolerance):
    """Hold two fitted estimators to each other."""
    predictions = one.predict(features), other.predict(features)
    if hasattr(other, "classes_"):
        assert_array_equal(one.classes_, other.classes_)
        assert one.predict(features).dtype == other.predict(features).dtype
        assert_array_equal(*predictions)
        predictions = one.predict_proba(features), other.predict_proba(features)
        assert np.std(predictions[0]) > 0.01
    else:
        assert not hasattr(one, "classes_")
    assert_allclose(*map(np.squeeze, predictions), rtol=tolerance, atol=tolerance * np.max(np.abs(predictions[0])))


# --- networks as estimators


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_becomes_an_estimator(kind, form, dtype):
    y, options = KINDS[kind]
    scaled = SCALED if form != "as it is" else {}
    model = fit(y, X=FORMS[form], dtype=dtype, num_epochs=5, **scaled | options)
    estimator = model.to_sklearn()
    assert isinstance(estimator, MLPClassifier if hasattr(model, "classes_") else MLPRegressor)
    check_equal(model, estimator, FORMS[form], 3e-5 if dtype == "float32" else 1e-9)
    expected = np.float64 if scaled else dtype
    assert {array.dtype for array in (*estimator.coefs_, *estimator.intercepts_)} == {np.dtype(expected)}


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "identity"])
@pytest.mark.parametrize("hidden", [(), (7,), (6, 5, 4)])
def test_depths_and_activations(hidden, activation):
    model = fit(CODES, hidden=hidden, activation=activation, backend="jit", dtype="float32")
    estimator = model.to_sklearn()
    check_equal(model, estimator, X, 1e-5)
    assert estimator.hidden_layer_sizes == hidden
    assert estimator.n_layers_ == len(hidden) + 2


def test_without_hidden_layers_any_activation_will_do():
    model = fit(CODES, hidden=(), activation="gelu")
    check_equal(model, model.to_sklearn(), X, 1e-12)


def test_an_activation_that_scikit_learn_lacks_is_refused():
    with pytest.raises(ValueError, match=r"activation must be one that scikit-learn has, .*, got 'gelu'$"):
        fit(CODES, activation="gelu").to_sklearn()


def test_bytes_are_no_labels_there():
    with pytest.raises(TypeError, match="bytes"):
        fit(*TARGETS["bytes"][:1]).to_sklearn()


def test_counts_become_a_poisson_regressor():
    y = np.exp(X[:, :2])
    model = fit(y, loss="poisson", num_epochs=20, lr=0.01)
    estimator = model.to_sklearn()
    assert (estimator.loss, estimator.out_activation_) == ("poisson", "exp")
    check_equal(model, estimator, X, 1e-12)


def test_an_estimator_shares_nothing_with_its_network():
    model = fit(CODES)
    before = model.params.copy()
    estimator = model.to_sklearn()
    for array in (*estimator.coefs_, *estimator.intercepts_):
        array += 1
    assert_array_equal(model.params, before)


def test_names_of_features_are_kept():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = fit(CODES, X=frame)
    estimator = model.to_sklearn()
    assert_array_equal(estimator.predict(frame), model.predict(frame))  # a warning is an error
    back = fastmlp.MLP.from_sklearn(estimator)
    assert back.feature_names_in_.tolist() == list("abcd")
    with pytest.raises(ValueError, match="columns of training"):
        back.predict(frame[["b", "a", "c", "d"]])


@pytest.mark.parametrize("kind", ["int", "binary softmax", "multilabel", "multiple regression"])
def test_an_estimator_can_be_trained_on(kind):
    y, options = KINDS[kind]
    model = fit(y, **options)
    estimator = model.to_sklearn()
    for _ in range(3):
        estimator.partial_fit(X, y)
    assert len(estimator.loss_curve_) == 3
    assert_allclose(estimator.coefs_[0], model.layers[0][0], atol=0.02)
    assert not np.array_equal(estimator.coefs_[0], model.layers[0][0])
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        estimator.set_params(warm_start=True, max_iter=2).fit(X, y)
    assert len(estimator.loss_curve_) == 5


# --- estimators as networks


def train_there(kind, dtype="float64", **parameters):
    """A fitted estimator of scikit-learn."""
    y, _ = KINDS[kind]
    parameters = {
        "hidden_layer_sizes": (6, 5),
        "max_iter": 3,
        "learning_rate_init": 0.01,
        "random_state": 0,
    } | parameters
    estimator = (MLPRegressor if "regression" in kind else MLPClassifier)(**parameters)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        return estimator.fit(X.astype(dtype), np.ravel(y) if kind == "column regression" else y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["int", "bool", "str", "regression", "multiple regression", "binary", "multilabel"])
def test_an_estimator_becomes_a_network(kind, dtype, tmp_path):
    estimator = train_there(kind, dtype)
    model = fastmlp.MLP.from_sklearn(estimator)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    check_equal(estimator, model, X.astype(dtype), tolerance)
    assert model.params.dtype == dtype
    assert model.history.loss == estimator.loss_curve_
    check_equal(model, model.to_sklearn(), X.astype(dtype), tolerance)
    model.save(tmp_path / "model.npz")
    check_equal(estimator, fastmlp.MLP.load(tmp_path / "model.npz"), X.astype(dtype), tolerance)
    check_equal(estimator, pickle.loads(pickle.dumps(model)), csr_array(X.astype(dtype)), tolerance)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_activations_there_and_back(activation):
    estimator = train_there("int", activation=activation)
    model = fastmlp.MLP.from_sklearn(estimator)
    check_equal(estimator, model, X, 1e-12)
    assert model.to_sklearn().activation == activation


def test_a_network_has_the_loss_of_its_estimator():
    y = np.exp(X[:, 0])
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        estimator = MLPRegressor("poisson", (5,), max_iter=200, alpha=0, batch_size=50, tol=0, random_state=0).fit(X, y)
        model = fastmlp.MLP.from_sklearn(estimator)
        check_equal(estimator, model, X, 1e-12)
        expected = model.loss(X, y)
        estimator.set_params(warm_start=True, max_iter=1).fit(X, y)
    assert_allclose(estimator.loss_, expected, rtol=1e-9)


def test_a_network_shares_nothing_with_its_estimator():
    estimator = train_there("int")
    model = fastmlp.MLP.from_sklearn(estimator)
    before = model.params.copy()
    estimator.coefs_[0] += 1
    assert_array_equal(model.params, before)


def test_estimators_that_have_no_network():
    with pytest.raises(NotFittedError):
        fastmlp.MLP.from_sklearn(MLPClassifier())
    with pytest.raises(TypeError, match=r"an MLPClassifier or MLPRegressor, got LinearRegression\(\)"):
        fastmlp.MLP.from_sklearn(LinearRegression())
    estimator = train_there("int")
    estimator.intercepts_[1][0] = np.nan
    with pytest.raises(ValueError, match="finite weights"):
        fastmlp.MLP.from_sklearn(estimator)
    estimator.intercepts_[1] = np.zeros(9)
    with pytest.raises(ValueError, match=r"intercepts_\[1\] must have shape"):
        fastmlp.MLP.from_sklearn(estimator)
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        estimator = MLPClassifier(max_iter=1).fit(X, np.ones(50, int))
    with pytest.raises(ValueError, match="at least two classes"):
        fastmlp.MLP.from_sklearn(estimator)


# --- this package's estimators


@pytest.mark.parametrize("kind", ["int", "binary", "multilabel", "multiple regression"])
def test_an_early_stopping_goes_on_alike_after_a_conversion(kind):
    y, _ = KINDS[kind]
    there = train_there(kind, early_stopping=True, warm_start=True)
    ours = (fastmlp.MLPRegressor if "regression" in kind else fastmlp.MLPClassifier).from_sklearn(there)
    fits = [there, ours.set_params(backend="reference"), ours.to_sklearn()]
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        for estimator in fits:
            estimator.fit(X, y)
    for estimator in fits[1:]:
        assert_allclose(estimator.validation_scores_, there.validation_scores_, rtol=1e-9)
        assert_allclose(estimator.coefs_[0], there.coefs_[0], rtol=1e-9)
    assert len(there.validation_scores_) == 6


def test_estimators_here_become_networks():
    huber = fastmlp.MLPRegressor("huber", (6, 5), ["relu", "gelu"], max_iter=3, random_state=0, backend="reference")
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        huber.fit(X, X[:, 0])
    model = fastmlp.MLP.from_sklearn(huber)
    check_equal(huber, model, X, 1e-12)
    assert repr(model) == "MLP(4-6-5-1, relu/gelu, huber, 71 parameters, float64)"
