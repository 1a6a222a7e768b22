"""Forward and backward pass of a network of any depth: the definition of every gradient in this package.

Letters: n samples, d features, k outputs; layer l maps A_{l-1} (n, in) to A_l (n, out), with A_0 = X:

    Z_l = A_{l-1} W_l + b_l          A_l = activation_l(Z_l)          A_L = output(Z_L)

Going back, δ_l = ∂loss/∂Z_l. The loss gives the last one; the chain rule gives the rest:

    δ_{l-1} = (δ_l W_lᵀ) · activation_{l-1}'(Z_{l-1})
    ∂loss/∂W_l = A_{l-1}ᵀ δ_l        ∂loss/∂b_l = Σ_rows δ_l

With dropout, a hidden layer has A_l = activation_l(Z_l) · R_l, its mask R_l (n, out), and its δ_l ends with · R_l, too.
"""

from collections.abc import Sequence

import numpy as np

from fastmlp.reference.activations import ACTIVATIONS, Array, layer_activations
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.parameters import Layers

__all__ = ["backward", "forward", "loss_and_gradients"]

Masks = Sequence[Array | None]
"""Of each hidden layer, what its activations are multiplied by, or None."""


def layer_masks(masks: Masks | None, depth: int) -> Masks:
    """Return a mask, or None, for each of `depth` hidden layers."""
    if masks is not None and len(masks) != depth:
        raise ValueError(f"masks must have one, or None, for each hidden layer ({depth}), got {len(masks)}")
    return [None] * depth if masks is None else masks


def before_mask(A: Array, mask: Array | None) -> Array:
    """Return the activations of which A is what the mask left; 0 where it left nothing."""
    return A if mask is None else np.divide(A, mask, out=np.zeros_like(A), where=mask > 0)


def logits(
    X: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str | Sequence[str] = "relu",
    masks: Masks | None = None,
) -> tuple[list[Array], Array]:
    """Return the hidden activations [A_1, ...] and the last layer's Z (n, k), before any output function."""
    hidden, A, depth = [], X, len(params) - 1
    layers = zip(params[:-1], layer_activations(activation, depth), layer_masks(masks, depth), strict=True)
    for (W, b), name, mask in layers:
        A = ACTIVATIONS[name].function(A @ W + b)
        A = A if mask is None else A * mask
        hidden.append(A)
    W, b = params[-1]
    return hidden, A @ W + b


def forward(
    X: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    masks: Masks | None = None,
) -> list[Array]:
    """Return the activations of every layer: A_l = activation(A_(l-1) W_l + b_l) with A_0 = X, times a mask R_l.

    Parameters
    ----------
    X : (n, d) array
    params : sequence of (W, b)
        Of each layer, W (in, out) and b (out,) or (1, out); the first in is d, the last out is k.
    activation : str or sequence of str
        Of all hidden layers, or of each: names of `fastmlp.reference.activations.ACTIVATIONS`.
    loss : str
        A name of `fastmlp.reference.losses.LOSSES`. Decides the function of the last layer, such as softmax.
    masks : sequence of arrays, optional
        Of each hidden layer, R_l (n, out) or None: see `dropout_masks`.

    Returns
    -------
    activations : list of arrays
        [A_1, ..., A_L], each (n, out) of its layer; the last one, (n, k), holds the predictions.

    Raises
    ------
    ValueError
        If `activation` holds an unknown name, or several names but not one for each hidden layer.

    References
    ----------
    Goodfellow, Bengio and Courville, "Deep Learning", 2016, section 6.5.4, algorithm 6.3.
    """
    hidden, Z = logits(X, params, activation, masks)
    return [*hidden, LOSSES[loss].output(Z)]


def row_shares(n: int, sample_weight: Array | None = None) -> Array:
    """Return each row's share (n,) of the mean loss: 1/n, or w_i / Σ w, or 0 where no row of the batch has weight."""
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, np.float64)
    return weights / (np.sum(weights) or 1.0)


def deltas(
    X: Array,
    activations: Sequence[Array],
    y: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    sample_weight: Array | None = None,
    masks: Masks | None = None,
) -> list[Array]:
    """Return [δ_1, ..., δ_L], the derivatives of the mean loss by each layer's Z; arguments as in `backward`."""
    output, inputs = activations[-1], [X, *activations]
    shares = row_shares(len(output), sample_weight)
    if np.issubdtype(output.dtype, np.floating):
        shares = shares.astype(output.dtype)
    names, masks = layer_activations(activation, len(params) - 1), layer_masks(masks, len(params) - 1)
    backwards: list[Array] = [LOSSES[loss].delta(output, y) * shares[:, None]]
    for layer in range(len(params) - 1, 0, -1):
        (W_below, b_below), (W, _), below = params[layer - 1], params[layer], ACTIVATIONS[names[layer - 1]]
        mask = masks[layer - 1]
        at = inputs[layer - 1] @ W_below + b_below if below.of_input else before_mask(inputs[layer], mask)
        delta = (backwards[-1] @ W.T) * below.derivative(at)
        backwards.append(delta if mask is None else delta * mask)
    return backwards[::-1]


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
    """Return the gradients of the mean loss over the rows: ∂W_l = A_(l-1)ᵀ δ_l and ∂b_l = Σ_rows δ_l.

    δ_L = (A_L - y)·c/n, where c is 1 for the cross-entropy, 1/k for the binary one and 2/k for the squared error; and
    δ_(l-1) = (δ_l W_lᵀ)·activation'(Z_(l-1)), times R_(l-1) where there is a mask.

    Parameters
    ----------
    X : (n, d) array
    activations : sequence of arrays
        What `forward` returned: [A_1, ..., A_L], each (n, out) of its layer.
    y : (n, k) array
        Targets: one-hot rows, 0/1 labels, or numbers.
    params : sequence of (W, b)
        Of each layer, W (in, out) and b (out,) or (1, out); the first in is d, the last out is k.
    activation : str or sequence of str
        Of all hidden layers, or of each: names of `fastmlp.reference.activations.ACTIVATIONS`.
    loss : str
        A name of `fastmlp.reference.losses.LOSSES`.
    sample_weight : (n,) array, optional
        The loss is then the weighted mean Σ w_i loss_i / Σ w_i.
    masks : sequence of arrays, optional
        Of each hidden layer, R_l (n, out) or None: see `dropout_masks`.

    Returns
    -------
    gradients : list of (W, b)
        [(∂W_1, ∂b_1), ...] in the shapes of `params`.

    Raises
    ------
    ValueError
        If `activation` holds an unknown name, or several names but not one for each hidden layer.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    Bishop, "Pattern Recognition and Machine Learning", 2006, section 5.2, on why every δ_L is a multiple of A_L - y.
    """
    return [
        (A.T @ delta, np.sum(delta, axis=0).reshape(b.shape))
        for A, delta, (_, b) in zip(
            [X, *activations[:-1]],
            deltas(X, activations, y, params, activation, loss, sample_weight, masks),
            params,
            strict=True,
        )
    ]


def mean_loss(
    Z: Array,
    y: Array,
    loss: str = "cross_entropy",
    sample_weight: Array | None = None,
    units: Array | float = 1.0,
) -> float:
    """Return the (weighted) mean loss of logits Z (n, k) against targets y, as a float64 number.

    Targets are (n, k), for cross-entropy also class numbers (n,). Of numbers, output c is measured in units[c].
    """
    # A long dot product would wake BLAS threads, which spin on beside the next epoch: +66% on one of 76 ms.
    return float(np.sum(row_shares(len(Z), sample_weight) * LOSSES[loss].of_logits(Z, y, units)))


def loss_and_gradients(
    X: Array,
    y: Array,
    params: Sequence[tuple[Array, Array]],
    activation: str | Sequence[str] = "relu",
    loss: str = "cross_entropy",
    sample_weight: Array | None = None,
    masks: Masks | None = None,
) -> tuple[float, Layers]:
    """Return the mean loss over the rows and its gradients: `forward` and `backward` in one call.

    The loss comes from the last layer's Z, no probability being formed before its logarithm is taken. Of a row, it is
    ln Σ e^z - Σ y z (cross-entropy), mean[ln(1 + e^z) - y z] (binary) or mean (z - y)² (squared error) over k outputs:
    L = mean of these over the rows.

    Parameters
    ----------
    X : (n, d) array
    y : (n, k) array
        Targets: one-hot rows, 0/1 labels, or numbers.
    params : sequence of (W, b)
        Of each layer, W (in, out) and b (out,) or (1, out); the first in is d, the last out is k.
    activation : str or sequence of str
        Of all hidden layers, or of each: names of `fastmlp.reference.activations.ACTIVATIONS`.
    loss : str
        A name of `fastmlp.reference.losses.LOSSES`.
    sample_weight : (n,) array, optional
        The loss is then the weighted mean Σ w_i loss_i / Σ w_i.
    masks : sequence of arrays, optional
        Of each hidden layer, R_l (n, out) or None: see `dropout_masks`.

    Returns
    -------
    L : float
    gradients : list of (W, b)
        [(∂W_1, ∂b_1), ...] in the shapes of `params`.

    Raises
    ------
    ValueError
        If `activation` holds an unknown name, or several names but not one for each hidden layer.

    References
    ----------
    Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986.
    """
    hidden, Z = logits(X, params, activation, masks)
    value = mean_loss(Z, y, loss, sample_weight)
    return value, backward(X, [*hidden, LOSSES[loss].output(Z)], y, params, activation, loss, sample_weight, masks)
