"""How samples lie in memory, and which form of the first layer suits them."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.engine.arena import Array
from fastmlp.normalization import Normalization
from fastmlp.problem import RAW_TYPES
from fastmlp.validation import Features

WORD = 64
SAMPLED_ROWS = 256
MOST_SPARSE_FEATURES = 1 << 16
FLOAT32_INTEGERS = 1 << 24
"""Float32 holds all integers up to this one."""


class Rows(NamedTuple):
    """A matrix that compiled code reads in place, in whole words of 64 features of a row."""

    matrix: Array
    """(n, d), rows contiguous, of one of RAW_TYPES."""
    safe: int
    """Index of the first row that is read from `tail`, because its last word would reach past the end of the matrix."""
    tail: NDArray[np.uint8]


_RAW_DTYPES = tuple(map(np.dtype, RAW_TYPES))


class Split(NamedTuple):
    """Normalised features are x + shift, where x = (v - base) · scale is what the first layer multiplies."""

    base: NDArray[np.float64]
    scale: NDArray[np.float64]
    shift: NDArray[np.float64]


def raw_type(values: Array, computed: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of RAW_TYPES in which features are read without losing digits.

    A type of RAW_TYPES stays. Integers become the `computed` type if float32 holds them all, else float64. Other types
    become float32 if that holds both them and the `computed` type, else float64.
    """
    if values.dtype in _RAW_DTYPES:
        return values.dtype
    if values.dtype.kind in "iu" and values.size:
        exact = max(-int(values.min()), int(values.max())) <= FLOAT32_INTEGERS
        return np.dtype(computed if exact else np.float64)
    return np.dtype(np.float32 if np.result_type(values, computed) == np.float32 else np.float64)


def readable(X: Array, dtype: np.dtype[Any]) -> Array:
    """Return X, or a copy if it can't be read in place: contiguous rows of a type of RAW_TYPES, native byte order."""
    X = X.astype(raw_type(X, dtype), copy=False)
    if X.strides[1] != X.itemsize or X.strides[0] < X.shape[1] * X.itemsize or not X.flags.aligned:
        X = X.copy(order="C")  # ascontiguousarray keeps a single row as it is, whatever its stride
    return X


def read_rows(X: Array) -> Rows:
    """Return the `Rows` of a matrix that `readable` returned."""
    n, d = X.shape
    stride, width = X.strides[0], d * X.itemsize
    reach = -(-d // WORD) * WORD * X.itemsize
    safe = max(0, n - 1 - -(-(reach - width) // stride)) if reach > width else n
    tail = np.zeros((n - safe) * stride + reach, np.uint8)
    for i, row in enumerate(X[safe:]):
        tail[i * stride : i * stride + width] = row.view(np.uint8)
    return Rows(X, safe, tail)


class Entries(NamedTuple):
    """A CSR matrix in the types that compiled code reads."""

    data: Array
    indices: NDArray[np.int32]
    indptr: NDArray[np.int64]


def read_entries(X: Features, dtype: np.dtype[Any]) -> Entries:
    """Return the `Entries` of a CSR matrix; an array is copied only if its type differs.

    Compiled code uses the indices as addresses, unchecked: nobody may change them meanwhile.
    """
    data = X.data.astype(raw_type(X.data, dtype), copy=False)
    return Entries(
        np.ascontiguousarray(data),
        np.ascontiguousarray(X.indices, np.int32),
        np.ascontiguousarray(X.indptr, np.int64),
    )


def most_frequent(rows: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return each column's most frequent value (d,) and its count (d,); 0 wins ties."""
    ordered = np.sort(rows, axis=0)
    run = np.ones(rows.shape[1], np.int64)
    zeros = np.count_nonzero(rows == 0, axis=0)
    longest, value = np.maximum(zeros, run), np.where(zeros > 0, 0, ordered[0]).astype(rows.dtype)
    for above, here in pairwise(ordered):
        run = np.where(here == above, run + 1, 1)
        better = run > longest
        longest[better] = run[better]
        value[better] = here[better]
    return value, longest


def find_base(X: Array, dtype: np.dtype[Any], below: float) -> tuple[Array | None, float]:
    """Return (base, density): the most frequent value of each column (d,), and the share of X that differs from it.

    Both are estimated from at most SAMPLED_ROWS rows. The base is None if the density is not `below`, from where on the
    dense form of the first layer is faster.
    """
    n, d = X.shape
    rows = X[np.linspace(0, n - 1, min(n, SAMPLED_ROWS)).astype(np.int64)]
    rows = rows.astype(np.result_type(rows, dtype))
    base, often = most_frequent(rows)
    density = 1 - float(np.mean(often)) / len(rows)
    return (base if density < below and d <= MOST_SPARSE_FEATURES else None), density


def split_features(base: Array | None, normalization: Normalization, d: int) -> Split:
    """Return the `Split` of features under a normalisation; without a base the shift is 0."""
    mean, std = np.broadcast_to(normalization.shift, d), np.broadcast_to(normalization.scale, d)
    if base is None:
        base = mean
    base = base.astype(np.float64)
    return Split(base, 1 / std, (base - mean) / std)
