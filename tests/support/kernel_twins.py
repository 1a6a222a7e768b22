"""What each kernel of the compiled path computes, as one plain NumPy formula in float64.

Letters: k counts samples, i and j units or features; masks are Booleans here, (samples, units).
"""

import numpy as np

from fastmlp.reference.activations import ACTIVATIONS
from fastmlp.reference.losses import LOSSES
from fastmlp.reference.optimizers import ADD_GRADIENT, OPTIMIZERS


def to_bits(mask):
    """Booleans (..., n) as integers (...), the first in the lowest bit."""
    weights = np.uint64(1) << np.arange(mask.shape[-1], dtype=np.uint64)
    return np.bitwise_or.reduce(np.where(mask, weights, np.uint64(0)), axis=-1).view(np.int64)


def from_bits(bits, n):
    """The reverse: (...) as (..., n)."""
    return (np.asarray(bits, np.int64)[..., None].view(np.uint64) >> np.arange(n, dtype=np.uint64) & np.uint64(1)) != 0


# ---- hidden layers


def product(A, mask, W, start):
    return start + np.where(mask, A, 0) @ W


def gradient(A, mask, D):
    return np.where(mask, A, 0).T @ D


def activate(Z, activation):
    return ACTIVATIONS[activation].function(Z)


def active(Z, activation):
    return (Z > 0) | np.isnan(Z) if activation == "relu" else np.full(Z.shape, True)


def chain(A, D, activation):
    return D * ACTIVATIONS[activation].derivative(A)


def add_rows(D, g):
    return g + np.sum(D, axis=0)


def add_panels(Z, start):
    return start + np.sum(Z, axis=0)


def add_halves(lower, upper, start):
    return start + (np.sum(lower, axis=0) + np.sum(upper, axis=0))


def sample_masks(M, count):
    """The masks (k, i) of `count` samples by unit: (i, k)."""
    return (M & (np.arange(len(M)) < count)[:, None]).T


# ---- the first layer


def features(v, base, scale):
    """x, which is 0 wherever v is the column's base."""
    return (v.astype(np.float64) - base) * scale


def list_nonzeros(v, base, scale):
    """Return (indices, values) of one sample's features that differ from the base."""
    (index,) = np.nonzero(v != base)
    return index, features(v, base, scale)[index]


def feature_masks(nonzero):
    """Where samples are not zero (k, words·64), by feature: (words·64, k)."""
    return nonzero.T


def sparse_product(X, W, start):
    return start + X @ W


def column(X, j, begin, end):
    """Return (samples, values) of the entries of feature j in samples begin ≤ s < end."""
    (samples,) = np.nonzero(X[begin:end, j])
    return begin + samples, X[begin + samples, j]


def sparse_gradient(X, shift, D):
    """Of the weights of the features x + shift, x being X (k, j)."""
    return (X + shift).T @ D


def constant_part(b, shift, W):
    """h, what a sample without a non-zero adds up to."""
    return b + shift @ W


# ---- a last layer of few outputs: Z and D (K, n), W (m, K)


def output_product(A, W, b):
    return (A @ W + b).T


def output_backward(D, W):
    return D.T @ W.T


def output_gradient(A, D):
    return D @ A


def output_sum(D):
    return np.sum(D, axis=1)


# ---- losses and optimizers


def head(Z, targets, loss, share, units=1, epsilon=0.0):
    """Return (loss of each sample, ∂(Σ share · loss)/∂Z); of numbers the loss is counted in units (k,).

    A log loss takes probabilities for at least epsilon and at most 1 - epsilon.
    """
    kind = LOSSES[loss]
    A = kind.output(Z)
    D = kind.delta(A, targets) * share[:, None]
    if loss == "log_loss":
        return -np.log(np.clip(np.sum(A * targets, axis=1), epsilon, 1 - epsilon)), D
    if loss == "binary_log_loss":
        p = kind.output(np.where(targets == 1, Z, -Z))
        return -np.sum(np.log(np.clip(p, epsilon, 1 - epsilon)), axis=1), D
    return kind.of_logits(Z, targets, units), D


def step(optimizer, W, g, state, **settings):
    """Return the new (W, *state), where state has the arrays that the optimizer keeps."""
    rule = ADD_GRADIENT if optimizer == "add_gradient" else OPTIMIZERS[optimizer]
    W, state = rule.step(W, g, state, **settings)
    return W, *state
