"""The functions of `fastmlp.reference`, compiled: same names, arguments and results.

Matrix products are NumPy's; what happens to an array between two of them is one compiled pass over it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from fastmlp.jit import elementwise, reductions
from fastmlp.jit.documentation import documented
from fastmlp.jit.layout import float_type, plain, shaped
from fastmlp.reference import activations as formulas
from fastmlp.reference.activations import ACTIVATIONS, Array, layer_activations
from fastmlp.reference.backpropagation import Masks, before_mask, layer_masks, mean_loss
from fastmlp.reference.functions import Gradients
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import Layers

_FINISHED: dict[Callable[[Array], Array], int] = {
    formulas.identity: elementwise.IDENTITY,
    formulas.relu: elementwise.RELU,
    formulas.sigmoid: elementwise.SIGMOID,
    formulas.softmax: elementwise.SOFTMAX,
}
"""Functions that one pass applies with the bias; others are NumPy's, after it. So is tanh: 0.23 ns an element with the
pass, fused, on e^x, 0.72 (float64: 0.91, 0.66)."""
_PULLED_BACK = {
    "identity": elementwise.IDENTITY,
    "relu": elementwise.RELU,
    "sigmoid": elementwise.SIGMOID,
    "tanh": elementwise.TANH,
}
"""Activations whose derivative one pass applies while it sums δ; others' is NumPy's, before it."""
_MEASURED = {
    "cross_entropy": (elementwise.CROSS_ENTROPY, lambda k: 1.0),
    "binary_cross_entropy": (elementwise.BINARY_CROSS_ENTROPY, lambda k: 1.0 / k),
    "mean_squared_error": (elementwise.MEAN_SQUARED_ERROR, lambda k: 2.0 / k),
}
"""Losses that one pass turns into δ = c(k) (output - y), and c; others are NumPy's."""


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


def _finish_layer(Z: Array, b: Array, function: Callable[[Array], Array]) -> Array:
    """Return function(Z + b) for a matrix product Z, which is overwritten where its type allows."""
    dtype = float_type(Z, b)
    Z = plain(Z, dtype)
    matrix = Z.reshape(-1, Z.shape[-1])
    elementwise.finish_layer(matrix, _row(b, matrix.shape[1], dtype), _FINISHED.get(function, elementwise.IDENTITY))
    if function is formulas.tanh:
        return np.tanh(Z, out=Z)
    return Z if function in _FINISHED else function(Z)


def _row(b: Array, width: int, dtype: type[np.floating]) -> Array:
    """Return a bias of shape (width,), (1, width) or (1,) as a vector."""
    return shaped(np.ravel(b), (width,), dtype)


def _inputs(X: Array, params: Sequence[tuple[Array, Array]], names: Sequence[str], masks: Masks) -> list[Array]:
    """Return what each layer sees, [X, A_1, ...], by the activation and the mask of each hidden layer."""
    inputs = [X]
    for (W, b), name, mask in zip(params[:-1], names, masks, strict=True):
        A = _finish_layer(inputs[-1] @ W, b, ACTIVATIONS[name].function)
        inputs.append(A if mask is None else A * mask)
    return inputs


def _derived_at(
    inputs: Sequence[Array], params: Sequence[tuple[Array, Array]], names: Sequence[str], masks: Masks
) -> Sequence[Array]:
    """Return what the derivative of each hidden layer's activation is a function of: A, or Z, which is made again."""
    return [
        below @ W + b if ACTIVATIONS[name].of_input else before_mask(A, mask)
        for (below, A), (W, b), name, mask in zip(pairwise(inputs), params[:-1], names, masks, strict=True)
    ]


@documented
def forward(
    X: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    masks: Masks | None = None,
) -> list[Array]:
    """Bias and activation of a layer in one pass over its product, which is NumPy's."""
    depth = len(params) - 1
    inputs = _inputs(X, params, layer_activations(activation, depth), layer_masks(masks, depth))
    W, b = params[-1]
    return [*inputs[1:], _finish_layer(inputs[-1] @ W, b, LOSSES[loss].output)]


def _share(n: int, sample_weight: ArrayLike | None) -> Array:
    """Return what each of n rows counts in the mean, (n,)."""
    if sample_weight is None:
        return np.full(n, 1 / n)
    weight = shaped(sample_weight, (n,), np.float64)
    return weight * (1 / (float(np.sum(weight)) or 1.0))  # no row with weight: nothing counts


def _chain(
    inputs: Sequence[Array],
    delta: Array,
    grad_b: Array,
    weights: Sequence[Array],
    at: Sequence[Array],
    names: Sequence[str],
    masks: Masks,
) -> Layers:
    """Return [(grad_W1, grad_b1), ...], biases as vectors, from δ of the last layer, which is overwritten.

    Parameters
    ----------
    inputs : sequence of arrays
        What each layer saw.
    delta, grad_b : arrays
        Of the last layer.
    weights, at, names, masks : sequences
        Weights from the second layer on, what the derivative of the activation before each is a function of, what that
        is called, and the mask behind it.
    """
    gradients: Layers = [(inputs[-1].T @ delta, grad_b)]
    for layer in range(len(weights) - 1, -1, -1):
        delta = delta @ weights[layer].T
        if names[layer] not in _PULLED_BACK:
            delta = delta * ACTIVATIONS[names[layer]].derivative(at[layer])
        mask = masks[layer]
        delta = delta if mask is None else delta * mask
        dtype = float_type(delta, at[layer])
        delta = plain(delta, dtype)
        grad_b = np.zeros(delta.shape[1], dtype)
        kind = _PULLED_BACK.get(names[layer], elementwise.IDENTITY)
        elementwise.pull_back(delta, shaped(at[layer], delta.shape, dtype), kind, grad_b)
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
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    sample_weight: Array | None = None,
    masks: Masks | None = None,
) -> Layers:
    """Derivative and bias gradient in one pass over each δ; the products are NumPy's."""
    *hidden, output = activations
    delta, grad_b = _scaled(LOSSES[loss].delta(output, y), _share(len(output), sample_weight))
    inputs, weights = [X, *hidden], [W for W, _ in params[1:]]
    names, masks = layer_activations(activation, len(params) - 1), layer_masks(masks, len(params) - 1)
    at = _derived_at(inputs, params, names, masks)
    return _like(_chain(inputs, delta, grad_b, weights, at, names, masks), params)


@documented
def loss_and_gradients(
    X: Array,
    y: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    sample_weight: Array | None = None,
    masks: Masks | None = None,
) -> tuple[float, Layers]:
    """One pass from logits to loss, δ and bias gradient; the products are NumPy's."""
    names, masks = layer_activations(activation, len(params) - 1), layer_masks(masks, len(params) - 1)
    inputs = _inputs(X, params, names, masks)
    W, b = params[-1]
    value, delta, grad_b = _measure(inputs[-1] @ W, b, np.asarray(y), loss, sample_weight)
    weights, at = [W for W, _ in params[1:]], _derived_at(inputs, params, names, masks)
    return value, _like(_chain(inputs, delta, grad_b, weights, at, names, masks), params)


def _measure(Z: Array, b: Array, y: Array, loss: str, sample_weight: Array | None) -> tuple[float, Array, Array]:
    """Return the mean loss of logits Z + b, δ of the last layer, and its column sums; Z is overwritten."""
    (n, k), dtype = Z.shape, float_type(Z, b, y)
    if loss not in _MEASURED:
        Z = Z + b
        delta, grad_b = _scaled(LOSSES[loss].delta(LOSSES[loss].output(Z), y), _share(n, sample_weight))
        return mean_loss(Z, y, loss, sample_weight), delta, grad_b
    kind, slope = _MEASURED[loss]
    delta, grad_b = plain(Z, dtype), np.zeros(k, dtype)
    scale = slope(k) * _share(n, sample_weight)
    value = elementwise.finish_output(delta, _row(b, k, dtype), shaped(y, (n, k), dtype), scale, kind, grad_b)
    return float(value), delta, grad_b


@documented
def forward_perceptron(X: Array, W: Array, b: Array) -> Array:
    """Bias and sigmoid in one pass over the product, which is NumPy's."""
    return _finish_layer(X @ W, b, formulas.sigmoid)


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
    layers = _chain(inputs, delta, grad_b, weights, Z, ["relu"] * len(Z), [None] * len(Z))
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
