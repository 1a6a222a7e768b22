"""How samples lie in memory, and which form of the first layer suits them."""

from typing import NamedTuple

import numpy as np

WORD = 64
SAMPLED_ROWS = 256
SPARSE_BELOW = 0.5


class Features(NamedTuple):
    """A matrix that compiled code reads in place, row by row, with its decomposition.

    The network sees (v - base) · scale + shift for every value v; in the dense form shift is 0.
    """

    matrix: np.ndarray
    """(n, d), uint8, float32 or float64, rows contiguous."""
    safe: int
    """Rows before this one can be read in whole words of 64 features; the others are read from `tail`."""
    tail: np.ndarray
    sparse: bool
    density: float
    base: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


def readable(X, dtype):
    """Return X as it can be read in place, or else as a copy: contiguous rows of uint8, float32 or float64."""
    if X.dtype not in (np.uint8, np.float32, np.float64) or not X.dtype.isnative:
        X = X.astype(dtype)
    if X.strides[1] != X.itemsize or X.strides[0] < X.shape[1] * X.itemsize:
        X = np.ascontiguousarray(X)
    return X


def most_frequent(rows):
    """Return the value that each column takes most often (d,), 0 where no other is more frequent, and how often (d,)."""
    ordered = np.sort(rows, axis=0)
    run = np.ones(rows.shape[1], np.int64)
    longest, value = np.count_nonzero(rows == 0, axis=0), np.zeros(rows.shape[1], rows.dtype)
    for above, here in zip(ordered, ordered[1:], strict=False):
        run = np.where(here == above, run + 1, 1)
        better = run > longest
        longest[better] = run[better]
        value[better] = here[better]
    return value, longest


def split_features(X, normalization, dtype, form=None):
    """Return X decomposed: sparse where a sample of its rows says that it pays, or as `form` says.

    Parameters
    ----------
    X : (n, d) array
        As `readable` returns it.
    form : (sparse, base), optional
        A decision made before, on other rows.
    """
    n, d = X.shape
    if form is None:
        rows = X[np.linspace(0, n - 1, min(n, SAMPLED_ROWS)).astype(np.int64)].astype(dtype)
        base, often = most_frequent(rows)
        density = 1 - np.mean(often) / len(rows)
        sparse = bool(density < SPARSE_BELOW) and d <= 1 << 16
    else:
        (sparse, base), density = form, np.nan
    shift, scale = np.broadcast_to(normalization.shift, d), np.broadcast_to(normalization.scale, d)
    if not sparse:
        base = shift
    base = base.astype(dtype).astype(np.float64)
    reach = -(-d // WORD) * WORD * X.itemsize
    stride = X.strides[0]
    safe = max(0, n - 1 - max(0, -(-(reach - d * X.itemsize) // stride)))
    tail = np.zeros((n - safe) * stride + reach, np.uint8)
    for i, row in enumerate(X[safe:]):
        tail[i * stride : i * stride + d * X.itemsize] = np.ascontiguousarray(row).view(np.uint8)
    return Features(X, safe, tail, sparse, density, base, 1 / scale, (base - shift) / scale)
