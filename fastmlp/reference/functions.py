"""The named functions of a from-scratch script: one linear layer, the perceptron, the two- and three-layer networks.

Labels y are one-hot (n, k) throughout; biases may be (1, width) or (width,).
"""

from collections.abc import Callable

import numpy as np

from fastmlp.reference.activations import Array, identity, sigmoid
from fastmlp.reference.backpropagation import forward

Gradients = tuple[Array, ...]


def normalize(X: Array) -> Array:
    """Return (X - mean) / std per column, with the population's standard deviation.

    Parameters
    ----------
    X : (n, d) array
        Not changed. A column that never varies is only centred.
    """
    X = np.asarray(X)
    X = X if np.issubdtype(X.dtype, np.floating) else X.astype(np.float64)
    mean, std = np.mean(X, axis=0), np.std(X, axis=0)
    constant = np.max(X, axis=0) == np.min(X, axis=0)  # the mean of many 0.1 is not exactly 0.1, nor their std 0
    return (X - mean) / np.where(constant | (std == 0), 1, std)


def matrix_multiply(X: Array, W: Array) -> Array:
    """Return the matrix product of X (m, n) and W (n, p), an (m, p) array."""
    return X @ W


def gradient_descent(
    X: Array,
    y: Array,
    W: Array,
    b: Array,
    lr: float,
    num_epochs: int,
    batch_size: int,
    loss_fn: Callable[[Array, Array], float],
    activation_fn: Callable[[Array], Array] = identity,
) -> tuple[Array, Array, list[float]]:
    """Train one linear layer by mini-batch gradient descent, printing one line an epoch.

    Every epoch visits the rows in a fresh order of NumPy's global random state. The error of a batch of m rows is
    e = activation_fn(X W + b) - y, and the update W ← W - lr·Xᵀe / m, b ← b - lr·mean(e).

    Parameters
    ----------
    X : (n, d) array
    y : (n, k) array
    W : (d, k) array
    b : (1, k) or (k,) array
    lr : float
    num_epochs, batch_size : int
    loss_fn : callable
        ``loss_fn(predictions, y)``, evaluated on the full set after each epoch.
    activation_fn : callable

    Returns
    -------
    W, b : arrays
        New ones; the arguments are not changed.
    loss_history : list of float
        One loss an epoch.
    """
    W, b = np.array(W), np.array(b)
    loss_history = []
    for epoch in range(1, num_epochs + 1):
        order = np.random.permutation(len(X))  # noqa: NPY002 (a script seeds it with np.random.seed)
        for start in range(0, len(X), batch_size):
            rows = order[start : start + batch_size]
            error = activation_fn(X[rows] @ W + b) - y[rows]
            W -= lr * (X[rows].T @ error) / len(rows)
            b -= lr * np.mean(error, axis=0).reshape(b.shape)
        loss_history.append(float(loss_fn(activation_fn(X @ W + b), y)))
        print(f"epoch {epoch:3d}/{num_epochs}  loss {loss_history[-1]:.4f}")
    return W, b, loss_history


def numerical_gradient(
    X: Array,
    y: Array,
    params: dict[str, Array],
    loss_fn: Callable[[Array, Array], float],
    forward_fn: Callable[[Array, dict[str, Array]], Array],
    h: float = 1e-4,
) -> dict[str, Array]:
    """Return the gradient of ``loss_fn(forward_fn(X, params), y)`` by central differences, for every parameter.

    Parameters
    ----------
    X, y : arrays
        Handed to the callables as they are.
    params : dict of floating-point arrays
        Each element is moved by ±h in place and put back, also when a callable raises.
    loss_fn, forward_fn : callable
    h : float

    Returns
    -------
    dict
        Arrays with the names, shapes and dtypes of `params`.
    """
    gradients = {}
    for name, values in params.items():
        gradient = np.zeros_like(values)
        for i in np.ndindex(values.shape):
            before = values[i]
            try:
                values[i] = before + h
                above = loss_fn(forward_fn(X, params), y)
                values[i] = before - h
                below = loss_fn(forward_fn(X, params), y)
            finally:
                values[i] = before
            gradient[i] = (above - below) / (2 * h)
        gradients[name] = gradient
    return gradients


def forward_perceptron(X: Array, W: Array, b: Array) -> Array:
    """Return sigmoid(X W + b), an (n, 1) array, for X (n, d) and W (d, 1)."""
    return sigmoid(X @ W + b)


def forward_mlp(X: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> tuple[Array, Array]:
    """Return (A1, A2) of a network with one ReLU layer and a softmax: (n, h) and (n, k) for X (n, d)."""
    A1, A2 = forward(X, [(W1, b1), (W2, b2)])
    return A1, A2


def backward_mlp(X: Array, A1: Array, A2: Array, y: Array, W1: Array, W2: Array, Z1: Array) -> Gradients:
    """Return (grad_W1, grad_b1, grad_W2, grad_b2) of the mean cross-entropy of `forward_mlp`.

    δ2 = A2 - y and δ1 = (δ2 W2ᵀ)·[Z1 > 0]; each weight gradient is A_prevᵀ δ / n, each bias gradient the mean of δ
    over the rows, (1, width). The mask is taken from Z1, the values from A1.
    """
    return _backward([X, A1], A2 - y, [W2], [Z1])


def _backward(inputs: list[Array], delta: Array, weights: list[Array], Z: list[Array]) -> Gradients:
    """Walk δ back through the layers; `inputs` are what each layer saw, `weights` and `Z` start at layer 2 and 1."""
    gradients: Gradients = ()
    for layer in range(len(inputs) - 1, -1, -1):
        n = len(delta)
        gradients = (inputs[layer].T @ delta / n, np.mean(delta, axis=0, keepdims=True), *gradients)
        if layer > 0:
            delta = (delta @ weights[layer - 1].T) * (Z[layer - 1] > 0)
    return gradients


def forward_mlp_3layer(
    X: Array, W1: Array, b1: Array, W2: Array, b2: Array, W3: Array, b3: Array
) -> tuple[Array, Array, Array]:
    """Return (A1, A2, A3) of a network with two ReLU layers and a softmax, for X (n, d)."""
    A1, A2, A3 = forward(X, [(W1, b1), (W2, b2), (W3, b3)])
    return A1, A2, A3


def backward_mlp_3layer(
    X: Array, A1: Array, A2: Array, A3: Array, y: Array, W1: Array, W2: Array, W3: Array, Z1: Array, Z2: Array
) -> Gradients:
    """Return (grad_W1, grad_b1, grad_W2, grad_b2, grad_W3, grad_b3) of the mean cross-entropy of `forward_mlp_3layer`.

    `backward_mlp` one layer deeper: δ3 = A3 - y, δ2 = (δ3 W3ᵀ)·[Z2 > 0], δ1 = (δ2 W2ᵀ)·[Z1 > 0].
    """
    return _backward([X, A1, A2], A3 - y, [W2, W3], [Z1, Z2])
