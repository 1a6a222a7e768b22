"""The functions of `fastmlp.reference`, compiled: same names, arguments and results.

Matrix products are NumPy's; what happens to an array between two of them is one compiled pass over it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastmlp.jit import elementwise, reductions
from fastmlp.jit.documentation import documented
from fastmlp.jit.layout import float_type, plain, shaped
from fastmlp.reference.activations import Array
from fastmlp.reference.functions import Gradients
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import Layers

_ACTIVATIONS = {
    "identity": elementwise.IDENTITY,
    "relu": elementwise.RELU,
    "sigmoid": elementwise.SIGMOID,
    "tanh": elementwise.TANH,
}
_LOSSES = {
    "cross_entropy": elementwise.CROSS_ENTROPY,
    "binary_cross_entropy": elementwise.BINARY_CROSS_ENTROPY,
    "mean_squared_error": elementwise.MEAN_SQUARED_ERROR,
}
_OUTPUTS = {
    "cross_entropy": elementwise.SOFTMAX,
    "binary_cross_entropy": elementwise.SIGMOID,
    "mean_squared_error": elementwise.IDENTITY,
}


@documented
def sigmoid(Z: Array) -> Array:
    """One pass, no temporaries."""
    Z = np.asarray(Z)
    Z = plain(Z, float_type(Z))
    A = np.empty_like(Z)
    elementwise.apply_sigmoid(Z.reshape(-1), A.reshape(-1))
    return A[()]


@documented
def softmax(Z: Array) -> Array:
    """Each row is finished while it is in the cache."""
    Z = np.asarray(Z)
    A = np.array(Z, float_type(Z), order="C")
    elementwise.finish_layer(A, np.zeros(A.shape[1], A.dtype), elementwise.SOFTMAX)
    return A


def _vectors(predictions: ArrayLike, y: ArrayLike) -> tuple[tuple[int, ...], Array, Array]:
    """Return the common shape of predictions and targets, and both as vectors of one type."""
    predictions, y = np.asarray(predictions), np.asarray(y)
    shape, dtype = np.broadcast_shapes(predictions.shape, y.shape), float_type(predictions, y)
    return shape, shaped(predictions, shape, dtype).reshape(-1), shaped(y, shape, dtype).reshape(-1)


@documented
def mse_loss(y_pred: Array, y: Array) -> float:
    """One pass, summed in float64."""
    _, y_pred, y = _vectors(y_pred, y)
    return float(reductions.squared_error(y_pred, y) / y.size)


@documented
def binary_cross_entropy(A: Array, y: Array) -> float:
    """One pass, one logarithm where y is 0 or 1."""
    _, A, y = _vectors(A, y)
    return float(reductions.binary_entropy(A, y) / y.size)


@documented
def cross_entropy(A: Array, y: Array) -> float:
    """One pass, one logarithm for a one-hot row."""
    (n, _), A, y = _vectors(A, y)
    return float(reductions.entropy(A, y) / n)


@documented
def normalize(X: Array) -> Array:
    """Means and deviations are float64, and a constant column becomes exactly 0."""
    X = np.asarray(X)
    X = plain(X, float_type(X))
    out = np.empty_like(X)
    reductions.standardize(X.reshape(len(X), -1), out.reshape(len(X), -1))
    return out


def _finish_layer(Z: Array, b: Array, kind: int) -> Array:
    """Return activation(Z + b) for a matrix product Z, which is overwritten where its type allows."""
    dtype = float_type(Z, b)
    Z = plain(Z, dtype)
    matrix = Z.reshape(-1, Z.shape[-1])
    elementwise.finish_layer(matrix, _row(b, matrix.shape[1], dtype), kind)
    if kind == elementwise.TANH:
        np.tanh(Z, out=Z)  # with the pass above 0.23 ns an element; fused, on e^x, 0.72 (float64: 0.91, 0.66)
    return Z


def _row(b: Array, width: int, dtype: type[np.floating]) -> Array:
    """Return a bias of shape (width,), (1, width) or (1,) as a vector."""
    return shaped(np.ravel(b), (width,), dtype)


def _inputs(X: Array, params: Sequence[tuple[Array, Array]], kind: int) -> list[Array]:
    """Return what each layer sees, [X, A_1, ...]."""
    inputs = [X]
    for W, b in params[:-1]:
        inputs.append(_finish_layer(inputs[-1] @ W, b, kind))
    return inputs


@documented
def forward(
    X: Array, params: Sequence[tuple[Array, Array]], activation: str = "relu", loss: str = "cross_entropy"
) -> list[Array]:
    """Bias and activation of a layer in one pass over its product, which is NumPy's."""
    inputs = _inputs(X, params, _ACTIVATIONS[activation])
    W, b = params[-1]
    return [*inputs[1:], _finish_layer(inputs[-1] @ W, b, _OUTPUTS[loss])]


def _share(n: int, sample_weight: ArrayLike | None) -> Array:
    """Return what each of n rows counts in the mean, (n,)."""
    if sample_weight is None:
        return np.full(n, 1 / n)
    weight = shaped(sample_weight, (n,), np.float64)
    return weight * (1 / (float(np.sum(weight)) or 1.0))  # no row with weight: nothing counts


def _chain(
    inputs: Sequence[Array], delta: Array, grad_b: Array, weights: Sequence[Array], A: Sequence[Array], kind: int
) -> Layers:
    """Return [(grad_W1, grad_b1), ...], biases as vectors, from δ of the last layer, which is overwritten.

    Parameters
    ----------
    inputs : sequence of arrays
        What each layer saw.
    delta, grad_b : arrays
        Of the last layer.
    weights, A : sequences of arrays
        Weights from the second layer on, and what the derivative of the activation before each is a function of.
    """
    gradients: Layers = [(inputs[-1].T @ delta, grad_b)]
    for layer in range(len(weights) - 1, -1, -1):
        delta = delta @ weights[layer].T
        dtype = float_type(delta, A[layer])
        delta = plain(delta, dtype)
        grad_b = np.zeros(delta.shape[1], dtype)
        elementwise.pull_back(delta, shaped(A[layer], delta.shape, dtype), kind, grad_b)
        gradients.append((inputs[layer].T @ delta, grad_b))
    return gradients[::-1]


def _like(gradients: Layers, params: Sequence[tuple[Array, Array]]) -> Layers:
    """Return the gradients with each bias in the shape it has in `params`."""
    return [(grad_W, grad_b.reshape(b.shape)) for (grad_W, grad_b), (_, b) in zip(gradients, params, strict=True)]


def _scaled(difference: Array, scale: Array) -> tuple[Array, Array]:
    """Return δ (n, k), the rows of `difference` times their scale, and its column sums."""
    delta = plain(difference, float_type(difference))
    grad_b = np.zeros(delta.shape[1], delta.dtype)
    elementwise.scale_rows(delta, scale, grad_b)
    return delta, grad_b


@documented
def backward(
    X: Array,
    activations: Sequence[Array],
    y: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str = "relu",
    loss: str = "cross_entropy",
    sample_weight: Array | None = None,
) -> Layers:
    """Derivative and bias gradient in one pass over each δ; the products are NumPy's."""
    *hidden, output = activations
    n, k = output.shape
    delta, grad_b = _scaled(output - y, LOSSES[loss].slope(k) * _share(n, sample_weight))
    weights = [W for W, _ in params[1:]]
    return _like(_chain([X, *hidden], delta, grad_b, weights, hidden, _ACTIVATIONS[activation]), params)


@documented
def loss_and_gradients(
    X: Array,
    y: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str = "relu",
    loss: str = "cross_entropy",
    sample_weight: Array | None = None,
) -> tuple[float, Layers]:
    """One pass from logits to loss, δ and bias gradient; the products are NumPy's."""
    kind = _ACTIVATIONS[activation]
    inputs = _inputs(X, params, kind)
    W, b = params[-1]
    Z, y = inputs[-1] @ W, np.asarray(y)
    n, k = Z.shape
    dtype = float_type(Z, b, y)
    delta, grad_b = plain(Z, dtype), np.zeros(k, dtype)
    scale = LOSSES[loss].slope(k) * _share(n, sample_weight)
    value = elementwise.finish_output(delta, _row(b, k, dtype), shaped(y, (n, k), dtype), scale, _LOSSES[loss], grad_b)
    weights = [W for W, _ in params[1:]]
    return float(value), _like(_chain(inputs, delta, grad_b, weights, inputs[1:], kind), params)


@documented
def forward_perceptron(X: Array, W: Array, b: Array) -> Array:
    """Bias and sigmoid in one pass over the product, which is NumPy's."""
    return _finish_layer(X @ W, b, elementwise.SIGMOID)


@documented
def forward_mlp(X: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> tuple[Array, Array]:
    """Bias and activation of a layer in one pass over its product, which is NumPy's."""
    A1, A2 = forward(X, [(W1, b1), (W2, b2)])
    return A1, A2


@documented
def forward_mlp_3layer(
    X: Array, W1: Array, b1: Array, W2: Array, b2: Array, W3: Array, b3: Array
) -> tuple[Array, Array, Array]:
    """Bias and activation of a layer in one pass over its product, which is NumPy's."""
    A1, A2, A3 = forward(X, [(W1, b1), (W2, b2), (W3, b3)])
    return A1, A2, A3


def _backward_relu(inputs: list[Array], difference: Array, weights: list[Array], Z: list[Array]) -> Gradients:
    """Return (grad_W1, grad_b1, ...) of the mean cross-entropy, biases as (1, width)."""
    delta, grad_b = _scaled(difference, _share(len(difference), None))
    layers = _chain(inputs, delta, grad_b, weights, Z, elementwise.RELU)
    return tuple(gradient for grad_W, grad_b in layers for gradient in (grad_W, grad_b[None, :]))


@documented
def backward_mlp(X: Array, A1: Array, A2: Array, y: Array, W1: Array, W2: Array, Z1: Array) -> Gradients:
    """Mask and bias gradient in one pass over δ; the products are NumPy's."""
    return _backward_relu([X, A1], A2 - y, [W2], [Z1])


@documented
def backward_mlp_3layer(
    X: Array, A1: Array, A2: Array, A3: Array, y: Array, W1: Array, W2: Array, W3: Array, Z1: Array, Z2: Array
) -> Gradients:
    """Mask and bias gradient in one pass over each δ; the products are NumPy's."""
    return _backward_relu([X, A1, A2], A3 - y, [W2, W3], [Z1, Z2])
