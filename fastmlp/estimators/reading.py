"""What users pass as X, y and weights, checked by scikit-learn's rules, at once where it is plain."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import _check_sample_weight, column_or_1d, validate_data

from fastmlp.conversion import REAL
from fastmlp.validation import Features, check_features, check_sample_weight, is_sparse

FLOATS = (np.dtype(np.float64), np.dtype(np.float32))
"""The types that X keeps; others become the first."""


def read_features(estimator: Any, X: Any) -> Features:
    """Return the X of a fitted estimator as an array of FLOATS, or as CSR that is safe to read."""
    if _is_plain(estimator, X):
        return X
    X = validate_data(estimator, X, accept_sparse=["csr", "csc"], dtype=FLOATS, reset=False)
    return check_features(X) if is_sparse(X) else X


def read_pair(estimator: Any, X: Any, y: Any, *, numeric: bool, reset: bool) -> tuple[Features, Any]:
    """Return X as `read_features` does, and y as an array, (n,) if it has one column, or as a sparse matrix.

    With `reset`, the estimator learns the number and the names of the features.
    """
    if not reset and _is_plain(estimator, X) and _is_plain_target(y, len(X)):
        return X, y
    X, y = validate_data(
        estimator,
        X,
        y,
        accept_sparse=["csr", "csc"],
        multi_output=True,
        y_numeric=numeric,
        dtype=FLOATS,
        reset=reset,
    )
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if numeric and (is_sparse(y) or y.dtype.kind not in REAL):
        raise TypeError(f"y must be an array of numbers, got {'a sparse one' if is_sparse(y) else f'dtype {y.dtype}'}")
    return (check_features(X) if is_sparse(X) else X), y


def _is_plain(estimator: Any, X: Any) -> bool:
    """Whether X is an array that a fitted estimator takes as it is: then there is nothing else to check."""
    return (
        type(X) is np.ndarray
        and X.dtype in FLOATS
        and X.ndim == 2
        and len(X) > 0
        and X.shape[1] == getattr(estimator, "n_features_in_", None)
        and not hasattr(estimator, "feature_names_in_")
        and _is_finite(X)
    )


def _is_plain_target(y: Any, n: int) -> bool:
    return type(y) is np.ndarray and y.dtype.kind in "iuf" and y.shape == (n,) and _is_finite(y)


def _is_finite(array: NDArray[Any]) -> bool:
    """Whether a sum is finite, which it is of finite numbers unless they are huge."""
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(array.sum())


def read_weights(sample_weight: ArrayLike | None, X: Features) -> NDArray[np.float64] | None:
    """Return sample weights (n,), none negative and not all 0; a number stands for n of it."""
    if sample_weight is None:
        return None
    return check_sample_weight(_check_sample_weight(sample_weight, X, dtype=np.float64), X.shape[0])
