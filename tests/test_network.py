"""The trained network: what it predicts, from several threads and processes, and how it is copied there."""

import numpy as np
import pytest
from networks import CODES, TARGETS, X, fit
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp import reference

# --- predictions


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "identity"])
def test_classification_is_the_formula(activation, dtype, backend):
    model = fit(CODES, activation=activation, dtype=dtype, backend=backend)
    (W1, b1), (W2, b2), (W3, b3) = model.layers
    f = getattr(reference, activation)
    Z = f(f(X.astype(dtype) @ W1 + b1) @ W2 + b2) @ W3 + b3
    probabilities = reference.softmax(Z)
    tolerance = 1e-4 if dtype == "float32" else 1e-12
    assert model.logits(X).dtype == dtype
    assert_allclose(model.logits(X), Z, rtol=tolerance, atol=tolerance)
    assert_allclose(model.predict_proba(X), probabilities, rtol=tolerance)
    assert_array_equal(model.predict(X), np.argmax(model.logits(X), axis=1))
    assert model.score(X, CODES) == np.mean(np.argmax(Z, axis=1) == CODES)
    assert_allclose(model.loss(X, CODES), reference.cross_entropy(probabilities, np.eye(3)[CODES]), rtol=tolerance)
    assert type(model.loss(X, CODES)) is type(model.score(X, CODES)) is float


def test_regression_is_the_formula(backend):
    y = X[:, :2] + 1
    model = fit(y, backend=backend, activation="tanh")
    *_, Z = reference.forward(X, model.layers, "tanh", "mean_squared_error")
    assert_allclose(model.predict(X), Z, rtol=1e-12)
    assert_allclose(model.loss(X, y), reference.mse_loss(Z, y), rtol=1e-12)
    explained = [1 - np.sum((Z[:, i] - y[:, i]) ** 2) / np.sum((y[:, i] - y[:, i].mean()) ** 2) for i in range(2)]
    assert_allclose(model.score(X, y), np.mean(explained), rtol=1e-9)


def test_multilabel_is_the_formula(backend):
    y = (X[:, :3] > 0).astype(int)
    model = fit(y, loss="binary_cross_entropy", backend=backend)
    *_, A = reference.forward(X, model.layers, "relu", "binary_cross_entropy")
    assert_allclose(model.predict_proba(X), A, rtol=1e-12)
    assert_array_equal(model.predict(X), (A > 0.5).astype(int))
    assert_allclose(model.loss(X, y), reference.binary_cross_entropy(A, y), rtol=1e-9)


def test_weighted_loss_is_the_weighted_mean():
    model = fit(CODES)
    each = [model.loss(X[i : i + 1], CODES[i : i + 1]) for i in range(50)]
    weights = np.arange(50.0)
    assert_allclose(model.loss(X, CODES, sample_weight=weights), np.average(each, weights=weights), rtol=1e-12)
    assert_allclose(model.loss(X, CODES), np.mean(each), rtol=1e-12)


def test_the_loss_of_a_hopeless_network_is_large_and_finite():
    model = fit(CODES, params=[(1e4 * np.eye(4, 3), np.arange(3.0))], hidden=(), lr=1e-300, num_epochs=1)
    loss = model.loss(X * 100, CODES)  # every wrong probability rounds to 0, whose logarithm is no number
    assert np.isfinite(loss)
    Z = model.logits(X * 100)
    assert_allclose(loss, np.mean(Z.max(axis=1) - Z[np.arange(50), CODES]), rtol=1e-6)
    assert loss > 1e5


def test_many_rows_are_predicted_like_few():
    model = fit(CODES)
    rows = np.random.default_rng(0).normal(size=(9001, 4))
    together = model.logits(rows)
    for start in (0, 4090, 8190, 9000):
        assert_allclose(together[start : start + 9], model.logits(rows[start : start + 9]), rtol=1e-9, atol=1e-12)
    assert len(together) == 9001


@pytest.mark.parametrize("kind", TARGETS)
def test_one_row(kind):
    y, options = TARGETS[kind]
    model = fit(y, **options)
    assert len(model.predict(X[:1])) == 1
    assert_allclose(model.logits(X[:1]), model.logits(X)[:1], rtol=1e-12)
    assert np.shape(model.predict(X)) == (np.shape(y) if kind != "one-hot" else (50,))


# --- the object


def test_parameters_are_one_read_only_vector_of_views():
    model = fit(CODES)
    assert model.params.shape == (4 * 6 + 6 + 6 * 5 + 5 + 5 * 3 + 3,)
    for array in (model.params, *(array for layer in model.layers for array in layer)):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert all(np.shares_memory(model.params, W) for W, _ in model.layers)
    assert [b.shape for _, b in model.layers] == [(6,), (5,), (3,)]
    assert_array_equal(model.params, np.concatenate([array.ravel() for layer in model.layers for array in layer]))


def test_repr_tells_the_architecture():
    assert repr(fit(CODES)) == "MLP(4-6-5-3, relu, cross_entropy, 83 parameters, float64)"
    linear = fit(X[:, 0], hidden=(), activation="tanh", dtype="float32")
    assert repr(linear) == "MLP(4-1, tanh, mean_squared_error, 5 parameters, float32)"
    assert "1,043 parameters" in repr(fit(CODES, hidden=(130,)))
