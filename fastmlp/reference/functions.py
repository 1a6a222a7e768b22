"""The named functions of a from-scratch script: one linear layer, the perceptron, the two- and three-layer networks.

Labels y are one-hot (n, k) throughout; biases may be (1, width) or (width,).
"""

from collections.abc import Callable

import numpy as np

from fastmlp.reference.activations import Array, identity, sigmoid
from fastmlp.reference.backpropagation import forward

__all__ = [
    "backward_mlp",
    "backward_mlp_3layer",
    "forward_mlp",
    "forward_mlp_3layer",
    "forward_perceptron",
    "gradient_descent",
    "matrix_multiply",
    "normalize",
    "numerical_gradient",
]

Gradients = tuple[Array, ...]


def normalize(X: Array) -> Array:
    """Return X' = (X - mean) / std per column, with the population's standard deviation, std² = mean (X - mean)².

    Parameters
    ----------
    X : (n, d) array
        Not changed. A column that never varies is only centred.

    Returns
    -------
    X' : (n, d) array
        Every column has mean 0 and standard deviation 1.

    References
    ----------
    LeCun, Bottou, Orr and Müller, "Efficient BackProp", 1998, section 4.3.
    """
    X = np.asarray(X)
    X = X if np.issubdtype(X.dtype, np.floating) else X.astype(np.float64)
    mean, std = np.mean(X, axis=0), np.std(X, axis=0)
    constant = np.max(X, axis=0) == np.min(X, axis=0)  # the mean of many 0.1 is not exactly 0.1, nor their std 0
    return (X - mean) / np.where(constant | (std == 0), 1, std)


def matrix_multiply(X: Array, W: Array) -> Array:
    """Return the matrix product Z = X W, z_ij = Σ_l x_il w_lj.

    Parameters
    ----------
    X : (n, d) array
    W : (d, h) array

    Returns
    -------
    Z : (n, h) array

    References
    ----------
    Golub and Van Loan, "Matrix Computations", 4th edition, 2013, section 1.1.
    """
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
        Learning rate.
    num_epochs, batch_size : int
        The last batch of an epoch has the rows that are left.
    loss_fn : callable
        ``loss_fn(predictions, y)``, evaluated on the full set after each epoch, returns a float.
    activation_fn : callable
        ``activation_fn(Z)``, from (n, k) to (n, k).

    Returns
    -------
    W : (d, k) array
        A new one; the argument is not changed.
    b : (1, k) or (k,) array
        A new one in the shape of the argument.
    loss_history : list of float
        One loss an epoch.

    References
    ----------
    Widrow and Hoff, "Adaptive Switching Circuits", 1960, for the update. Goodfellow, Bengio and Courville, "Deep
    Learning", 2016, section 8.1.3, on mini-batches.
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

    ∂L/∂w = [L(w + h) - L(w - h)] / 2h, with an error of the order of h²: a check of what backpropagation says.

    Parameters
    ----------
    X : (n, d) array
        Handed to `forward_fn` as it is.
    y : (n, k) array
        Handed to `loss_fn` as it is.
    params : dict of arrays
        Floating-point arrays of any shape. Each element is moved by ±h in place and put back, also when a callable
        raises.
    loss_fn : callable
        ``loss_fn(predictions, y)`` returns a float.
    forward_fn : callable
        ``forward_fn(X, params)`` returns the predictions, (n, k).
    h : float
        The step.

    Returns
    -------
    gradients : dict of arrays
        With the names, shapes and dtypes of `params`.

    References
    ----------
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 5.3.3.
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
    """Return A = σ(X W + b), the output of a single sigmoid unit.

    Parameters
    ----------
    X : (n, d) array
    W : (d, 1) array
    b : (1, 1) or (1,) array

    Returns
    -------
    A : (n, 1) array

    References
    ----------
    Rosenblatt, "The Perceptron", 1958, with a step in place of σ. Bishop, "Pattern Recognition and Machine Learning",
    2006, section 4.3.2, with σ: logistic regression.
    """
    return sigmoid(X @ W + b)


def forward_mlp(X: Array, W1: Array, b1: Array, W2: Array, b2: Array) -> tuple[Array, Array]:
    """Return the activations of a network with one ReLU layer: A1 = relu(X W1 + b1), A2 = softmax(A1 W2 + b2).

    Parameters
    ----------
    X : (n, d) array
    W1 : (d, h) array
    b1 : (1, h) or (h,) array
    W2 : (h, k) array
    b2 : (1, k) or (k,) array

    Returns
    -------
    A1 : (n, h) array
    A2 : (n, k) array
        Class probabilities.

    References
    ----------
    Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.5.4, algorithm 6.3.
    """
    A1, A2 = forward(X, [(W1, b1), (W2, b2)])
    return A1, A2


def backward_mlp(X: Array, A1: Array, A2: Array, y: Array, W1: Array, W2: Array, Z1: Array) -> Gradients:
    """Return the gradients of the mean cross-entropy of `forward_mlp`.

    δ2 = A2 - y and δ1 = (δ2 W2ᵀ)·[Z1 > 0]; grad_W2 = A1ᵀ δ2 / n, grad_W1 = Xᵀ δ1 / n, and each bias gradient is the
    mean of δ over the rows. The mask is taken from Z1, the values from A1.

    Parameters
    ----------
    X : (n, d) array
    A1 : (n, h) array
    A2 : (n, k) array
    y : (n, k) array
        One-hot labels.
    W1 : (d, h) array
    W2 : (h, k) array
    Z1 : (n, h) array
        X W1 + b1.

    Returns
    -------
    grad_W1 : (d, h) array
    grad_b1 : (1, h) array
    grad_W2 : (h, k) array
    grad_b2 : (1, k) array

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
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
    """Return the activations of a network with two ReLU layers.

    A1 = relu(X W1 + b1), A2 = relu(A1 W2 + b2), A3 = softmax(A2 W3 + b3).

    Parameters
    ----------
    X : (n, d) array
    W1 : (d, h1) array
    b1 : (1, h1) or (h1,) array
    W2 : (h1, h2) array
    b2 : (1, h2) or (h2,) array
    W3 : (h2, k) array
    b3 : (1, k) or (k,) array

    Returns
    -------
    A1 : (n, h1) array
    A2 : (n, h2) array
    A3 : (n, k) array
        Class probabilities.

    References
    ----------
    Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.5.4, algorithm 6.3.
    """
    A1, A2, A3 = forward(X, [(W1, b1), (W2, b2), (W3, b3)])
    return A1, A2, A3


def backward_mlp_3layer(
    X: Array, A1: Array, A2: Array, A3: Array, y: Array, W1: Array, W2: Array, W3: Array, Z1: Array, Z2: Array
) -> Gradients:
    """Return the gradients of the mean cross-entropy of `forward_mlp_3layer`.

    `backward_mlp` one layer deeper: δ3 = A3 - y, δ2 = (δ3 W3ᵀ)·[Z2 > 0], δ1 = (δ2 W2ᵀ)·[Z1 > 0]; each grad_W is
    A_prevᵀ δ / n, each grad_b the mean of δ over the rows.

    Parameters
    ----------
    X : (n, d) array
    A1 : (n, h1) array
    A2 : (n, h2) array
    A3 : (n, k) array
    y : (n, k) array
        One-hot labels.
    W1 : (d, h1) array
    W2 : (h1, h2) array
    W3 : (h2, k) array
    Z1 : (n, h1) array
        X W1 + b1.
    Z2 : (n, h2) array
        A1 W2 + b2.

    Returns
    -------
    grad_W1 : (d, h1) array
    grad_b1 : (1, h1) array
    grad_W2 : (h1, h2) array
    grad_b2 : (1, h2) array
    grad_W3 : (h2, k) array
    grad_b3 : (1, k) array

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    return _backward([X, A1, A2], A3 - y, [W2, W3], [Z1, Z2])
