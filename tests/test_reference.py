"""The specification against what it specifies: hand-computed numbers, scalar formulas and finite differences."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from support.cases import (
    ACTIVATIONS,
    CASES,
    DTYPES,
    LOSSES,
    MIXED,
    OPTIMIZERS,
    SEED,
    TINY,
    Case,
    HandComputed,
    arguments,
    network,
)
from support.processes import run_python
from support.tolerances import assert_close, assert_nonzero, relative_error

from fastmlp import reference
from fastmlp.reference import backpropagation, optimizers, parameters

# The hand-computed network


def test_forward_of_the_hand_computed_network():
    h = HandComputed
    expected = [h.A1, h.A2, h.A3]
    assert_close(reference.forward(h.X, h.params), expected)
    assert_close(list(reference.forward_mlp_3layer(h.X, h.W1, h.b1, h.W2, h.b2, h.W3, h.b3)), expected)
    A1, A2 = reference.forward_mlp(h.A1, h.W2, h.b2, h.W3, h.b3)  # its last two layers are a network of their own
    assert_close([A1, A2], [h.A2, h.A3])


def test_backward_of_the_hand_computed_network():
    h = HandComputed
    flat = [gradient for layer in h.gradients for gradient in layer]
    assert_close(reference.backward(h.X, [h.A1, h.A2, h.A3], h.y, h.params), h.gradients)
    assert_close(reference.backward_mlp_3layer(h.X, h.A1, h.A2, h.A3, h.y, h.W1, h.W2, h.W3, h.Z1, h.Z2), tuple(flat))
    assert_close(reference.backward_mlp(h.A1, h.A2, h.A3, h.y, h.W2, h.W3, h.Z2), tuple(flat[2:]))
    loss, gradients = reference.loss_and_gradients(h.X, h.y, h.params)
    assert_close(loss, h.loss)
    assert_close(gradients, h.gradients)


def test_backward_mlp_takes_the_mask_from_z_and_the_values_from_a():
    X, y = np.array([[2.0, 3]]), np.array([[1.0, 0]])
    A1, A2, Z1 = np.array([[5.0, 7, 11]]), np.array([[0.25, 0.75]]), np.array([[1.0, 0, -1]])
    W1, W2 = np.zeros((2, 3)), np.array([[1.0, 2], [3, 5], [7, 8]])
    grad_W1, grad_b1, grad_W2, grad_b2 = reference.backward_mlp(X, A1, A2, y, W1, W2, Z1)
    assert_close(grad_b2, np.array([[-0.75, 0.75]]))
    assert_close(grad_W2, np.array([[-3.75, 3.75], [-5.25, 5.25], [-8.25, 8.25]]))
    assert_close(grad_b1, np.array([[0.75, 0, 0]]))
    assert_close(grad_W1, np.array([[1.5, 0, 0], [2.25, 0, 0]]))


# Definitions, element by element


def _scalar_softmax(row: list[float]) -> list[float]:
    terms = [math.exp(z) for z in row]
    return [term / sum(terms) for term in terms]


SCALAR = {
    "relu": lambda z: max(0.0, z),
    "leaky_relu": lambda z: max(z, 0.01 * z),
    "elu": lambda z: z if z > 0 else math.exp(z) - 1,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "tanh": lambda z: (math.exp(z) - math.exp(-z)) / (math.exp(z) + math.exp(-z)),
    "silu": lambda z: z / (1 + math.exp(-z)),
    "gelu": lambda z: 0.5 * z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
    "identity": lambda z: z,
}


def _sigma(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def _phi(z: float) -> tuple[float, float]:
    """The factor of z in GELU, and its derivative."""
    t, scale = math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)), math.sqrt(2 / math.pi)
    return (1 + t) / 2, (1 - t * t) / 2 * scale * (1 + 3 * 0.044715 * z**2)


SCALAR_SLOPES = {
    "relu": lambda z: 1.0 if z > 0 else 0.0,
    "leaky_relu": lambda z: 1.0 if z > 0 else 0.01,
    "elu": lambda z: 1.0 if z > 0 else math.exp(z),
    "sigmoid": lambda z: _sigma(z) * (1 - _sigma(z)),
    "tanh": lambda z: 1 - math.tanh(z) ** 2,
    "silu": lambda z: _sigma(z) + z * _sigma(z) * (1 - _sigma(z)),
    "gelu": lambda z: _phi(z)[0] + z * _phi(z)[1],
    "identity": lambda z: 1.0,
}
"""Derivatives by the input."""
SCALAR_DELTAS = {
    "cross_entropy": lambda z, y: [p - t for p, t in zip(_scalar_softmax(z), y, strict=True)],
    "binary_cross_entropy": lambda z, y: [(_sigma(v) - t) / 2 for v, t in zip(z, y, strict=True)],
    "mean_squared_error": lambda z, y: [v - t for v, t in zip(z, y, strict=True)],
    "huber": lambda z, y: [max(-1, min(1, v - t)) / 2 for v, t in zip(z, y, strict=True)],
    "poisson": lambda z, y: [math.exp(v) - t for v, t in zip(z, y, strict=True)],
    "log_loss": lambda z, y: [p - t for p, t in zip(_scalar_softmax(z), y, strict=True)],
    "binary_log_loss": lambda z, y: [_sigma(v) - t for v, t in zip(z, y, strict=True)],
    "half_squared_error": lambda z, y: [v - t for v, t in zip(z, y, strict=True)],
}
"""δ of a row's two logits: the derivatives of its loss, but of `half_squared_error` twice them."""


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_activations_element_by_element(name, dtype):
    (Z,), _ = arguments(name, CASES[4], dtype)
    A = getattr(reference, name)(Z)
    assert A.dtype == dtype
    assert_nonzero(A)
    assert_close(A, np.array([[SCALAR[name](float(z)) for z in row] for row in Z]), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_softmax_element_by_element(dtype):
    (Z,), _ = arguments("softmax", CASES[4], dtype)
    A = reference.softmax(Z)
    assert A.dtype == dtype
    assert_close(A, np.array([_scalar_softmax(row) for row in Z.tolist()]), dtype)
    assert_close(A.sum(axis=1), np.ones(len(Z)), dtype)


def test_matrix_multiply_element_by_element():
    X, W = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    expected = [[sum(X[i, m] * W[m, j] for m in range(3)) for j in range(4)] for i in range(2)]
    assert_close(reference.matrix_multiply(X, W), np.array(expected))


def test_forward_perceptron_element_by_element():
    (X, W, b), _ = arguments("forward_perceptron", CASES[3], np.float64)
    expected = [
        [SCALAR["sigmoid"](float(sum(x * w for x, w in zip(row, W[:, 0], strict=True)) + b[0, 0]))] for row in X
    ]
    assert_close(reference.forward_perceptron(X, W, b), np.array(expected))


def test_losses_of_predictions_element_by_element():
    (A, y), _ = arguments("cross_entropy", CASES[4], np.float64)
    pairs = list(zip(A.ravel().tolist(), y.ravel().tolist(), strict=True))
    assert_close(reference.mse_loss(A, y), sum((a - t) ** 2 for a, t in pairs) / len(pairs))
    huber = [(a - t) ** 2 / 2 if abs(a - t) <= 1 else abs(a - t) - 0.5 for a, t in pairs]
    assert_close(reference.huber_loss(A, y), sum(huber) / len(pairs))
    huber = [(3 * a - t) ** 2 / 2 if abs(3 * a - t) <= 1 else abs(3 * a - t) - 0.5 for a, t in pairs]
    assert_close(reference.huber_loss(3 * A, y), sum(huber) / len(pairs))
    binary = [t * math.log(a + 1e-15) + (1 - t) * math.log(1 - a + 1e-15) for a, t in pairs]
    assert_close(reference.binary_cross_entropy(A, y), -sum(binary) / len(pairs))
    assert_close(reference.cross_entropy(A, y), -sum(t * math.log(a + 1e-15) for a, t in pairs) / len(A))


@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_of_certain_predictions(dtype):
    A, y = np.array([[0, 1]], dtype), np.array([[1, 0]], dtype)
    assert_close(reference.cross_entropy(A, y), -math.log(1e-15), dtype)
    assert_close(reference.binary_cross_entropy(A, y), -math.log(1e-15))
    assert reference.cross_entropy(A, A) == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_of_logits_are_losses_of_outputs(loss):
    X, y, params = network(SEED, CASES[4], np.float64, loss)
    output = reference.forward(X, params, loss=loss)[-1]
    of_output = {
        "cross_entropy": reference.cross_entropy,
        "binary_cross_entropy": reference.binary_cross_entropy,
        "mean_squared_error": reference.mse_loss,
        "huber": reference.huber_loss,
        "poisson": lambda A, y: np.mean(np.sum(A - y + y * np.log(np.maximum(y, 1) / A), axis=1)),
        "log_loss": lambda A, y: -np.mean(np.sum(y * np.log(A), axis=1)),
        "binary_log_loss": lambda A, y: -np.mean(np.sum(y * np.log(A) + (1 - y) * np.log(1 - A), axis=1)),
        "half_squared_error": lambda A, y: np.mean((A - y) ** 2) / 2,
    }[loss]
    value, _ = reference.loss_and_gradients(X, y, params, loss=loss)
    assert value > 0.1
    assert value == pytest.approx(of_output(output, y), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalize(dtype):
    X = np.random.default_rng(SEED).normal(3, 5, (50, 4)).astype(dtype)
    before = X.copy()
    result = reference.normalize(X)
    assert result.dtype == dtype
    assert np.array_equal(X, before)
    for column, values in zip(result.T.tolist(), X.T.tolist(), strict=True):
        mean = sum(values) / 50
        std = math.sqrt(sum((x - mean) ** 2 for x in values) / 50)
        assert_close(np.array(column), np.array([(x - mean) / std for x in values]), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 0.1, 0.7, -1e-3, 85.0, 1e6])
def test_normalize_only_centres_a_constant_column(dtype, value):
    X = np.full((5000, 2), value, dtype)
    X[:, 1] = np.arange(5000)
    result = reference.normalize(X)
    assert np.max(np.abs(result[:, 0])) <= 5000 * np.finfo(dtype).eps * abs(value)
    assert np.std(result[:, 1]) == pytest.approx(1, rel=1e-3)


def test_normalize_of_integers():
    X = np.array([[0, 7], [2, 7]])
    assert_close(reference.normalize(X), np.array([[-1.0, 0], [1, 0]]))
    assert X.dtype.kind == "i"


# Backpropagation


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("depth", [0, 1, 3, 6])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_are_the_slope_of_the_loss(activation, loss, depth, weighted):
    check_slope(activation, loss, depth, weighted)


@pytest.mark.parametrize("loss", ["cross_entropy", "mean_squared_error"])
@pytest.mark.parametrize("activation", MIXED, ids="/".join)
def test_gradients_of_mixed_layers_are_the_slope_of_the_loss(activation, loss):
    check_slope(activation, loss, 4, weighted=False)


def check_slope(activation, loss, depth, weighted):
    """Hold the gradients to a central difference of the loss in one direction."""
    widths = (5, *range(9, 9 - depth, -1), 3)
    X, y, params = network(depth, Case(11, widths), np.float64, loss)
    rng = np.random.default_rng(SEED)
    sample_weight = rng.random(11) + 0.1 if weighted else None
    flat = parameters.flatten(params)
    direction = rng.standard_normal(len(flat))

    def value(h: float) -> float:
        moved = parameters.layer_views(flat + h * direction, widths)
        return reference.loss_and_gradients(X, y, moved, activation, loss, sample_weight)[0]

    _, gradients = reference.loss_and_gradients(X, y, params, activation, loss, sample_weight)
    assert_nonzero(gradients)
    h = 1e-6
    slope = parameters.flatten(gradients) @ direction / (widths[-1] if loss == "half_squared_error" else 1)
    assert (value(h) - value(-h)) / (2 * h) == pytest.approx(slope, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("names", MIXED, ids="/".join)
def test_each_layer_has_the_activation_of_its_place(names):
    X, _, params = network(SEED, CASES[6], np.float64)
    A = X
    for (W, b), name, found in zip(params, names, reference.forward(X, params, names), strict=False):
        A = getattr(reference, name)(A @ W + b)
        assert_close(found, A)


def test_one_name_for_each_layer_is_one_name_for_all():
    X, y, params = network(SEED, CASES[6], np.float64)
    for names in (["silu"] * 4, ("silu",) * 4, np.array(["silu"] * 4)):
        one, other = (reference.loss_and_gradients(X, y, params, activation) for activation in ("silu", names))
        assert_close(other, one)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_backward_element_by_element(activation, loss):
    """The chain rule with one index at a time, for two rows with weights."""
    X, y, params = network(SEED, Case(2, (2, 3, 2)), np.float64, loss)
    (W1, b1), (W2, b2) = params
    weight = np.array([1.0, 3.0])
    expected = [(np.zeros_like(W), np.zeros_like(b)) for W, b in params]
    for row in range(2):
        Z1 = [sum(X[row, i] * W1[i, j] for i in range(2)) + b1[j] for j in range(3)]
        A1 = [SCALAR[activation](z) for z in Z1]
        Z2 = [sum(A1[j] * W2[j, o] for j in range(3)) + b2[o] for o in range(2)]
        delta2 = [weight[row] / 4 * d for d in SCALAR_DELTAS[loss](Z2, y[row].tolist())]
        delta1 = [sum(delta2[o] * W2[j, o] for o in range(2)) * SCALAR_SLOPES[activation](Z1[j]) for j in range(3)]
        for j, o in itertools.product(range(3), range(2)):
            expected[1][0][j, o] += A1[j] * delta2[o]
        for i, j in itertools.product(range(2), range(3)):
            expected[0][0][i, j] += X[row, i] * delta1[j]
        expected[1][1][:] += delta2
        expected[0][1][:] += delta1
    activations = reference.forward(X, params, activation, loss)
    assert_nonzero(expected)
    assert_close(reference.backward(X, activations, y, params, activation, loss, weight), expected)


def test_equal_sample_weights_change_nothing():
    X, y, params = network(SEED, TINY, np.float64)
    plain = reference.loss_and_gradients(X, y, params)
    assert_close(reference.loss_and_gradients(X, y, params, sample_weight=np.full(3, 7)), plain)


def test_a_row_of_weight_two_is_a_row_that_comes_twice():
    X, y, params = network(SEED, TINY, np.float64)
    twice = reference.loss_and_gradients(np.vstack([X, X[:1]]), np.vstack([y, y[:1]]), params)
    assert_close(reference.loss_and_gradients(X, y, params, sample_weight=np.array([2, 1, 1])), twice)


def test_a_bias_gradient_has_the_shape_of_its_bias():
    for flat_bias in (True, False):
        X, y, params = network(SEED, TINY, np.float32, flat_bias=flat_bias)
        for (W, b), (grad_W, grad_b) in zip(params, reference.loss_and_gradients(X, y, params)[1], strict=True):
            assert (grad_W.shape, grad_b.shape) == (W.shape, b.shape)
            assert grad_W.dtype == grad_b.dtype == np.float32


def test_integer_networks_have_gradients():
    X, y = np.array([[1, 2], [3, 4], [5, 7]]), np.array([[1], [2], [2]])
    params = [(np.array([[1], [1]]), np.array([0]))]
    _, ((grad_W, grad_b),) = reference.loss_and_gradients(X, y, params, loss="mean_squared_error")
    assert_close(grad_W, 2 / 3 * np.array([[1 * 2 + 3 * 5 + 5 * 10], [2 * 2 + 4 * 5 + 7 * 10.0]]))
    assert_close(grad_b, np.array([2 / 3 * 17]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_extreme_logits_give_finite_numbers(dtype):
    Z = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 3]], dtype)
    y = np.array([[0, 1, 0], [0, 1, 0]], dtype)
    assert_close(reference.softmax(Z), np.array([[1.0, 0, 0], [0, 1, 0]]), dtype)
    assert_close(reference.sigmoid(Z), np.array([[1.0, 0, 0.5], [0, 1, 1 / (1 + math.exp(-3))]]), dtype)
    identity = [(np.eye(3, dtype=dtype), np.zeros(3, dtype))]
    value, ((_, grad_b),) = reference.loss_and_gradients(Z, y, identity)
    assert_close(value, 1e4, dtype)  # (2e4 + 0) / 2
    assert_close(grad_b, np.array([0.5, -0.5, 0]), dtype)
    value, ((_, grad_b),) = reference.loss_and_gradients(Z, y, identity, loss="binary_cross_entropy")
    assert_close(value, (2e4 + math.log(2) + math.log1p(math.exp(3))) / 6, dtype)
    assert_close(grad_b, np.array([1.0, -1, 0.5 + 1 / (1 + math.exp(-3))]) / 6, dtype)


# Optimizers


def _scalar_steps(name: str, w: float, gradients: list[float], decay: float) -> float:
    """The recurrences of the papers for one parameter, at lr 0.1 and the default factors."""
    lr, mu, beta1, beta2 = 0.1, 0.9, 0.9, 0.999
    v = m = 0.0
    for t, g in enumerate(gradients, 1):
        g, before = g + decay * w * (name != "adamw"), w
        if name == "sgd":
            w = w - lr * g
        elif name == "momentum":
            v = mu * v - lr * g
            w = w + v
        elif name == "nesterov":
            v = mu * v - lr * g
            w = w + mu * v - lr * g
        elif name == "rmsprop":
            v = 0.9 * v + 0.1 * g**2
            w = w - lr * g / (math.sqrt(v) + 1e-8)
        else:
            m = beta1 * m + (1 - beta1) * g
            v = beta2 * v + (1 - beta2) * g**2
            w = w - lr * (m / (1 - beta1**t)) / (math.sqrt(v / (1 - beta2**t)) + 1e-8)
            w = w - lr * decay * before * (name == "adamw")
    return w


@pytest.mark.parametrize("vector", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_element_by_element(name, vector):
    rng = np.random.default_rng(SEED)
    start, gradients = rng.standard_normal(7), rng.standard_normal((5, 7))
    decay: Any = np.where(np.arange(7) < 4, 0.3, 0) if vector else 0.3
    params, state = start, optimizers.initial_state(name, start)
    for grads in gradients:
        before = [array.copy() for array in (params, grads, *state)]
        inputs = (params, grads, *state)
        params, state = getattr(reference, name)(params, grads, state, lr=0.1, weight_decay=decay)
        assert all(np.array_equal(a, b) for a, b in zip(inputs, before, strict=True))
    expected = [
        _scalar_steps(name, w, g, float(lam))
        for w, g, lam in zip(start, gradients.T.tolist(), np.broadcast_to(decay, 7), strict=True)
    ]
    assert_close(params, np.array(expected))
    assert relative_error(params, start) > 0.1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_keep_float32(name):
    args, kwargs = arguments(name, TINY, np.float32)
    params, state = getattr(reference, name)(*args, **kwargs)
    assert params.dtype == np.float32
    assert [array.dtype for array in state] == [array.dtype for array in args[2]]


# The functions of a script


def test_numerical_gradient_agrees_with_backpropagation():
    h = HandComputed
    params = {"W2": h.W2.copy(), "b2": h.b2.copy(), "W3": h.W3.copy(), "b3": h.b3.copy()}
    before = {name: array.copy() for name, array in params.items()}

    def predict(X: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
        return reference.forward_mlp(X, p["W2"], p["b2"], p["W3"], p["b3"])[1]

    gradients = reference.numerical_gradient(h.A1, h.y, params, reference.cross_entropy, predict)
    expected = dict(zip(params, [gradient for layer in h.gradients[1:] for gradient in layer], strict=True))
    assert gradients.keys() == expected.keys()
    for name in expected:
        assert gradients[name] == pytest.approx(expected[name], rel=1e-6, abs=1e-6)
        assert np.array_equal(params[name], before[name])


@pytest.mark.parametrize("failing_call", [1, 2, 5])
def test_numerical_gradient_puts_parameters_back_when_a_callback_raises(failing_call):
    params = {"W": np.array([[0.1, 0.2], [0.3, 0.7]])}
    before, calls = params["W"].copy(), itertools.count(1)

    def predict(X: np.ndarray, p: dict[str, np.ndarray]) -> np.ndarray:
        if next(calls) == failing_call:
            assert not np.array_equal(p["W"], before)
            raise ZeroDivisionError
        return X @ p["W"]

    with pytest.raises(ZeroDivisionError):
        reference.numerical_gradient(np.ones((1, 2)), np.ones((1, 2)), params, reference.mse_loss, predict)
    assert np.array_equal(params["W"], before)


def test_gradient_descent_follows_its_definition(capsys):
    rng = np.random.default_rng(SEED)
    X, y = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    W, b = rng.standard_normal((3, 2)), rng.standard_normal((1, 2))
    start = W.copy(), b.copy()
    np.random.seed(3)  # noqa: NPY002
    result = reference.gradient_descent(X, y, W, b, 0.1, 2, 3, reference.mse_loss, reference.sigmoid)
    assert np.array_equal(W, start[0])
    assert np.array_equal(b, start[1])

    np.random.seed(3)  # noqa: NPY002
    losses = []
    for _ in range(2):
        order = np.random.permutation(7)  # noqa: NPY002
        for rows in (order[:3], order[3:6], order[6:]):
            step_W, step_b = np.zeros((3, 2)), np.zeros((1, 2))
            for row in rows:
                for j in range(2):
                    error = SCALAR["sigmoid"](X[row] @ W[:, j] + b[0, j]) - y[row, j]
                    step_W[:, j] += 0.1 * error * X[row] / len(rows)
                    step_b[0, j] += 0.1 * error / len(rows)
            W, b = W - step_W, b - step_b
        predictions = 1 / (1 + np.exp(-(X @ W + b)))
        losses.append(float(np.mean((predictions - y) ** 2)))
    assert_close(result, (W, b, losses))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_gradient_descent_reaches_the_solution(capsys):
    rng = np.random.default_rng(SEED)
    X = rng.standard_normal((40, 2))
    y = X @ np.array([[2.0], [-3]]) + 1
    W, b, loss_history = reference.gradient_descent(X, y, np.zeros((2, 1)), np.zeros(1), 0.1, 60, 8, reference.mse_loss)
    assert W.ravel() == pytest.approx([2, -3], abs=1e-6)
    assert b == pytest.approx([1], abs=1e-6)
    assert loss_history == sorted(loss_history, reverse=True)
    assert len(capsys.readouterr().out.splitlines()) == 60


# Parameters


def test_layer_views_write_through_to_the_flat_vector():
    flat = np.arange(parameters.parameter_count((2, 3, 1)), dtype=float)
    (W1, b1), (W2, b2) = parameters.layer_views(flat, (2, 3, 1))
    assert (W1.shape, b1.shape, W2.shape, b2.shape) == ((2, 3), (3,), (3, 1), (1,))
    assert W1.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert b2.tolist() == [12]
    b1[0] = -1
    assert flat[6] == -1
    assert np.array_equal(parameters.flatten([(W1, b1), (W2, b2)]), flat)


def test_weight_mask_is_false_on_biases():
    assert parameters.weight_mask((1, 2, 1)).tolist() == [True, True, False, False, True, True, False]


@pytest.mark.parametrize(
    ("init", "stds"), [("he", (2 / 300, 2 / 200)), ("xavier", (2 / 500, 2 / 600)), (0.01, (1e-4,) * 2)]
)
def test_initialize(init, stds):
    widths = (300, 200, 400)
    layers = parameters.layer_views(parameters.initialize(widths, init, np.random.default_rng(1)), widths)
    for (W, b), variance in zip(layers, stds, strict=True):
        assert np.var(W) == pytest.approx(variance, rel=0.05)
        assert not np.any(b)


def test_mean_loss_is_what_loss_and_gradients_returns():
    X, y, params = network(SEED, TINY, np.float64)
    _, Z = backpropagation.logits(X, params)
    assert_close(backpropagation.mean_loss(Z, y), reference.loss_and_gradients(X, y, params)[0])


def test_the_reference_is_numpy_alone():
    """Neither the package nor the reference loads Numba: what it says, NumPy says."""
    code = "import sys, fastmlp; assert 'numpy' not in sys.modules; import fastmlp.reference; print(*sys.modules)"
    modules = run_python(code).split()
    assert "numpy" in modules
    assert "numba" not in modules
