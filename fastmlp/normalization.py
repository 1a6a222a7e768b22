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
        """Return the normalised rows as a dense array of `dtype`, never X itself when anything changes."""
        rows = (X.toarray() if is_sparse(X) else X).astype(dtype, copy=False)
        if np.any(self.shift):
            rows = rows - self.shift.astype(dtype)
        if np.any(self.scale != 1):
            rows = rows / self.scale.astype(dtype)
        return rows


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
    mean = sum((np.sum(X[rows], axis=0, dtype=np.float64) for rows in blocks), np.zeros(d)) / n
    variance = sum((np.sum((X[rows] - mean) ** 2, axis=0) for rows in blocks), np.zeros(d)) / n
    # The variance of a column that never varies is the rounding error of its mean: it is centred, not scaled.
    constant = np.min(X, axis=0) == np.max(X, axis=0)
    return Normalization(mean, np.where(constant, 1.0, np.sqrt(variance)))
