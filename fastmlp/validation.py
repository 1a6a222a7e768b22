"""Checks of the arrays that a user passes: one sentence that names the argument, what was expected and what came."""

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import ArrayLike, NDArray

Features = Any
"""A checked feature matrix: a two-dimensional ndarray of a numeric dtype, or a scipy.sparse CSR array or matrix."""


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as an ndarray, of which it may be a view; masked arrays, also in a list, are refused."""
    parts = (value, *value) if isinstance(value, (list, tuple)) else (value,)
    if any(isinstance(part, MaskedArray) for part in parts):
        raise TypeError(f"{name} must be an array without a mask, got a masked array; fill or drop what is masked")
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array, got rows of different lengths") from None


def is_sparse(X: object) -> bool:
    """Return whether X is a scipy.sparse container, without importing SciPy."""
    return hasattr(X, "tocsr")


def check_features(
    X: Any, name: str = "X", num_features: int | None = None, feature_names: NDArray[Any] | None = None
) -> Features:
    """Return X as a numeric, finite, two-dimensional array (n, d) with n, d ≥ 1, or as CSR if it is sparse.

    No copy is made of an ndarray. CSR comes with indices of its own, sorted and without duplicates, which nobody can
    change while they are read; its numbers are copied only where they have to be put in order.

    Parameters
    ----------
    num_features : int, optional
        How many features there have to be.
    feature_names : (d,) array, optional
        The names of a data frame's columns; X has them in this order, if it is a data frame with names.
    """
    if is_sparse(X):
        return _check_sparse(X, name, num_features)
    array = as_array(name, X)
    columns = _columns(X)
    if array.dtype == object:
        array = array if columns is None else _join_columns(X, columns, name)
    if array.dtype == object:
        raise TypeError(f"{name} must be an array of numbers, got objects such as {_odd_one(array)!r}")
    if not _is_real(array.dtype):
        raise TypeError(f"{name} must be an array of numbers, got dtype {array.dtype}")
    _check_shape(array.shape, name, num_features)
    names = get_feature_names(X)
    if names is not None and feature_names is not None and np.any(names != feature_names):
        j = int(np.argmax(names != feature_names))
        raise ValueError(
            f"{name} must have the columns of training in their order, but column {j} is {names[j]!r} "
            f"and was {feature_names[j]!r}"
        )
    _check_finite(array, name, columns)
    return array


def get_feature_names(X: object) -> NDArray[Any] | None:
    """Return the names of a data frame's columns (d,), dtype object, if every name is a string; else None."""
    columns = _columns(X)
    return np.array(columns, object) if columns and all(isinstance(column, str) for column in columns) else None


def _columns(X: object) -> list[Any] | None:
    """Return what the columns of a data frame are called; pandas, polars and their like, of which none is imported."""
    columns = None if isinstance(X, np.ndarray) else getattr(X, "columns", None)
    return list(columns) if isinstance(columns, Iterable) else None


def _join_columns(frame: Any, columns: list[Any], name: str) -> NDArray[Any]:
    """Return the matrix of a data frame whose columns differ in type: Booleans, and nullable numbers without gaps."""
    joined = []
    for j, called in enumerate(columns):
        column = np.asarray(frame.iloc[:, j] if hasattr(frame, "iloc") else frame[called])
        if column.dtype == object and all(isinstance(value, (Real, np.bool_)) for value in column):
            column = column.astype(np.float64)
        if not _is_real(column.dtype):
            raise TypeError(f"{name} must hold numbers without gaps, but column {called!r} holds {_odd_one(column)!r}")
        joined.append(column)
    return np.column_stack(joined)


def _check_sparse(X: Any, name: str, num_features: int | None) -> Features:
    if not _is_real(X.dtype):
        raise TypeError(f"{name} must hold numbers, got dtype {X.dtype}")
    _check_shape(X.shape, name, num_features)
    if X.format == "csr":
        indptr, indices = np.array(X.indptr), np.array(X.indices)
        _check_csr(X.data, indices, indptr, X.shape, name)
        csr = type(X)((X.data.astype(X.dtype.newbyteorder("="), copy=False), indices, indptr), shape=X.shape)
    else:
        _check_other_format(X, name)
        csr = X.tocsr()
    _check_finite(csr.data, name)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _check_csr(
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    shape: tuple[int, int],
    name: str,
    form: str = "CSR",
) -> None:
    """Raise unless the three arrays of a compressed matrix, by row of `shape`, fit together."""
    fault = None
    for called, array in (("indices", indices), ("indptr", indptr)):
        if array.ndim != 1 or array.dtype.kind != "i":
            fault = f"its {called} are {array.ndim}-dimensional of dtype {array.dtype}, not a row of integers"
    if isinstance(data, MaskedArray):
        fault = "its data are masked"
    elif len(data) != len(indices):
        fault = f"it has {len(data)} data for {len(indices)} indices"
    elif fault is None:
        if (
            len(indptr) != shape[0] + 1
            or indptr[0] != 0
            or np.any(indptr[1:] < indptr[:-1])
            or indptr[-1] > len(indices)
        ):
            fault = "its indptr is not"
        elif len(indices) and (np.min(indices) < 0 or np.max(indices) >= shape[1]):
            fault = f"it has {'row' if form == 'CSC' else 'column'} indices outside 0..{shape[1] - 1}"
    if fault:
        raise ValueError(f"{name} must be a valid {form} matrix, but {fault}")


def _check_other_format(X: Any, name: str) -> None:
    """Raise where SciPy's conversion of X to CSR would read or write outside its arrays."""
    if X.format == "csc":
        _check_csr(X.data, X.indices, X.indptr, X.shape[::-1], name, "CSC")
    elif X.format == "bsr":
        rows, columns = X.data.shape[1:]
        _check_csr(X.data, X.indices, X.indptr, (X.shape[0] // rows, X.shape[1] // columns), name, "BSR")
    elif X.format == "coo":
        for axis, (places, size) in enumerate(zip((X.row, X.col), X.shape, strict=True)):
            if places.shape != X.data.shape or (places.size and not 0 <= np.min(places) <= np.max(places) < size):
                called = ("row", "col")[axis]
                raise ValueError(f"{name} must be a valid COO matrix, but its {called} does not fit its shape and data")


def _odd_one(array: NDArray[Any]) -> object:
    """Return an element that is neither a number nor a string, or else the first."""
    odd = (value for value in array.flat if not isinstance(value, (Real, np.bool_, str)))
    found = next(odd, array.flat[0] if array.size else None)
    return found.item() if isinstance(found, np.generic) else found


def _is_real(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf"


def _check_shape(shape: tuple[int, ...], name: str, num_features: int | None) -> None:
    if len(shape) != 2:
        raise ValueError(f"{name} must be two-dimensional (samples, features), got shape {shape}")
    if 0 in shape:
        raise ValueError(f"{name} must have at least one sample and one feature, got shape {shape}")
    if num_features is not None and shape[1] != num_features:
        raise ValueError(f"{name} must have {num_features} features as in training, got {shape[1]}")


def _check_finite(array: NDArray[Any], name: str, columns: list[Any] | None = None) -> None:
    """Raise if a float of `array` is NaN or infinite; a finite sum, the common case, proves all at once."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(array)):
            return
    step = max(1, (1 << 20) // max(1, array[0].size))
    for start in range(0, len(array), step):
        bad = ~np.isfinite(array[start : start + step])
        if bad.any():
            place = tuple(int(i) for i in np.argwhere(bad)[0])
            place = (place[0] + start, *place[1:])
            where = f" at row {place[0]}" if len(array) > 1 and len(place) == 1 else ""
            if len(place) == 2:
                where = f" at row {place[0]}, column {place[1] if columns is None else repr(columns[place[1]])}"
            raise ValueError(f"{name} must be finite, got {array[place]}{where}")


def check_targets(y: ArrayLike, n: int, name: str = "y") -> NDArray[Any]:
    """Return y as an array of n rows, (n,) or (n, k), with no NaN and no infinity."""
    array = as_array(name, y)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise ValueError(f"{name} must have shape (n,) or (n, k), got {array.shape}")
    if len(array) != n:
        raise ValueError(f"{name} must have one row for each of the {n} samples, got {len(array)}")
    if array.dtype.kind == "T":  # of variable width, which NumPy's own casts to str refuse
        array = array.astype(object)
    if array.dtype == object:
        if all(isinstance(value, str) for value in array.flat):
            return array.astype(str)
        columns = _columns(y)
        array = _integers_of(array, name) if columns is None else _join_columns(y, columns, name)
    if array.dtype.kind not in "biufUS":
        raise TypeError(f"{name} must be numbers or strings, got dtype {array.dtype}")
    _check_finite(array, name)
    return array


def _integers_of(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return an array of objects that are all integers or all Booleans as one of these."""
    values = [value.item() if isinstance(value, np.generic) else value for value in array.flat]
    examples = {type(value): value for value in reversed(values)}
    if set(examples) in ({int}, {bool}):
        plain = np.array(values).reshape(array.shape)
        if plain.dtype.kind in "biu":
            return plain
    got = " and ".join(f"{value!r:.60}" for value in list(examples.values())[:-3:-1])
    raise TypeError(f"{name} must be numbers or strings, as objects all strings, integers or Booleans, got {got}")


def check_sample_weight(sample_weight: ArrayLike | None, n: int) -> NDArray[np.float64] | None:
    """Return the sample weights as a float64 array (n,), none negative and not all 0."""
    if sample_weight is None:
        return None
    weights = as_array("sample_weight", sample_weight)
    if not _is_real(weights.dtype):
        raise TypeError(f"sample_weight must be numbers, got dtype {weights.dtype}")
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape ({n},), got {weights.shape}")
    _check_finite(weights, "sample_weight")
    if np.any(weights < 0) or not np.any(weights > 0):
        raise ValueError("sample_weight must hold no negative number and at least one positive one")
    weights = weights.astype(np.float64)
    with np.errstate(over="ignore"):
        if not np.isfinite(np.sum(weights)):
            raise ValueError(f"sample_weight must have a finite sum, got numbers up to {np.max(weights):g}")
    return weights


def check_params(params: Any, widths: Sequence[int]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return params as [(W, b), ...] of the shapes that `widths` asks for; each b may be (out,) or (1, out)."""
    try:
        pairs = [(W, b) for W, b in params]
    except (TypeError, ValueError):
        raise TypeError("params must be a list of (W, b) pairs of arrays, one for each layer") from None
    layers = [(as_array(f"params[{i}]: W", W), as_array(f"params[{i}]: b", b)) for i, (W, b) in enumerate(pairs)]
    if len(layers) != len(widths) - 1:
        raise ValueError(
            f"params must hold {len(widths) - 1} (W, b) pairs for widths {tuple(widths)}, got {len(layers)}"
        )
    for i, (W, b) in enumerate(layers):
        m, p = widths[i], widths[i + 1]
        if W.shape != (m, p):
            raise ValueError(f"params[{i}]: W must have shape ({m}, {p}), got {W.shape}")
        if b.shape not in ((p,), (1, p)):
            raise ValueError(f"params[{i}]: b must have shape ({p},), got {b.shape}")
        for letter, array in (("W", W), ("b", b)):
            if not _is_real(array.dtype):
                raise TypeError(f"params[{i}]: {letter} must be numbers, got dtype {array.dtype}")
            _check_finite(array, f"params[{i}]: {letter}")
    return layers
