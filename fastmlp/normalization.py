"""The scaling of features that a network learns with its training rows and applies again when it predicts."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmlp.validation import Features, check_choice, is_sparse

KINDS = ("auto", "unit", "zscore")


class Normalization(NamedTuple):
    """X' = (X - shift) / scale; shift and scale are float64, () or (d,)."""

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]

    def apply(self, X: Features, dtype: DTypeLike) -> NDArray[Any]:
        """Return the normalised rows as a dense array of `dtype`, never X itself when anything changes.

        They are computed in the wider of both types: columns such as times in seconds are far from 0, and only the
        difference from their mean is near enough to be rounded.
        """
        wide = np.result_type(X.dtype, dtype)
        rows = (X.toarray() if is_sparse(X) else X).astype(wide, copy=False)
        if np.any(self.shift):
            rows = rows - self.shift.astype(wide)
        if np.any(self.scale != 1):
            rows = rows / self.scale.astype(wide)
        return rows.astype(dtype, copy=False)

    def largest(self, X: Features) -> NDArray[np.float64]:
        """Return the largest size of each column's normalised features (d,)."""
        if is_sparse(X):
            sizes = np.zeros(X.shape[1])
            np.maximum.at(sizes, X.indices, np.abs(X.data.astype(np.float64)))
            return sizes / self.scale
        limits = np.array([np.min(X, axis=0), np.max(X, axis=0)], np.float64)
        with np.errstate(over="ignore"):
            return np.max(np.abs(limits - self.shift) / self.scale, axis=0)


IDENTITY = Normalization(np.zeros(()), np.ones(()))


def learn_normalization(kind: str | None, X: Features) -> Normalization:
    """Return the normalisation that `train(normalize=kind)` means for training rows X (n, d)."""
    if kind is None:
        return IDENTITY
    check_choice("normalize", kind, KINDS)
    if kind == "auto":
        kind = "unit" if X.dtype == np.uint8 else None
    if kind == "unit":
        return Normalization(np.zeros(()), np.full((), 255.0))
    if kind is None:
        return IDENTITY
    if is_sparse(X):
        raise ValueError("normalize='zscore' would make the sparse X dense; scale it without centring instead")
    n, d = X.shape
    step = max(1, (1 << 20) // d)
    blocks = [slice(start, start + step) for start in range(0, n, step)]
    with np.errstate(over="ignore", invalid="ignore"):
        mean = sum((np.sum(X[rows], axis=0, dtype=np.float64) for rows in blocks), np.zeros(d)) / n
        variance = sum((np.sum((X[rows] - mean) ** 2, axis=0) for rows in blocks), np.zeros(d)) / n
    # The variance of a column that never varies is the rounding error of its mean: it is centred, not scaled.
    constant = np.min(X, axis=0) == np.max(X, axis=0)
    return Normalization(mean, np.where(constant, 1.0, np.sqrt(variance)))


def check_normalization(normalization: Normalization, X: Features, dtype: np.dtype[Any]) -> None:
    """Raise unless numbers of `dtype` can hold a normalisation, and what it makes of X."""
    limit = np.finfo(dtype)
    for what, values, low, high in (
        ("mean", normalization.shift, 0.0, limit.max),
        ("standard deviation", normalization.scale, limit.tiny, 1 / limit.tiny),
    ):
        sizes = np.abs(np.atleast_1d(values))
        bad = ~((low <= sizes) & (sizes <= high))
        if np.any(bad):
            j = int(np.argmax(bad))
            raise ValueError(
                f"X must have columns that normalize='zscore' can scale in {dtype}, got a {what} of {sizes[j]:g} "
                f"in column {j}"
            )
    if X.dtype.kind == "f" and np.finfo(X.dtype).max > limit.max:
        sizes = normalization.largest(X)
        if np.max(sizes) > limit.max:
            j = int(np.argmax(sizes))
            raise ValueError(f"X must hold numbers that {dtype} can hold, got {sizes[j]:g} in column {j}")
