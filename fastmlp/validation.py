"""Every check of what a user passes: one clear sentence that names the argument, what was expected and what came."""

import math
import operator
from collections.abc import Collection, Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Features = Any
"""A checked feature matrix: a two-dimensional ndarray of a numeric dtype, or a scipy.sparse CSR array or matrix."""


def check_choice(name: str, value: object, choices: Collection[str]) -> str:
    """Return `value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_dtype(name: str, value: DTypeLike, choices: Collection[str] = ("float32", "float64")) -> np.dtype[Any]:
    """Return the NumPy dtype that `value` stands for, by name, type or dtype, if it is one of `choices`."""
    try:
        dtype = None if value is None else np.dtype(value)
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or dtype not in map(np.dtype, choices):
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return dtype


def check_integer(name: str, value: Any, minimum: int = 1) -> int:
    """Return `value` as an int of at least `minimum`; Booleans and floats are refused."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def check_number(name: str, value: Any, low: float, high: float = math.inf, *, low_open: bool = False) -> float:
    """Return `value` as a finite float in [low, high), or in (low, high) with `low_open`."""
    if not isinstance(value, (Real, np.number)) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < low or number >= high or (low_open and number == low):
        bound = f"greater than {low:g}" if low_open else f"at least {low:g}"
        below = "" if high == math.inf else f" and below {high:g}"
        raise ValueError(f"{name} must be a finite number {bound}{below}, got {value!r}")
    return number


def check_flag(name: str, value: Any) -> bool:
    """Return `value` if it is a Boolean."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_hidden(hidden: Any) -> tuple[int, ...]:
    """Return the hidden widths as a tuple of positive ints; a bare int is one layer."""
    if isinstance(hidden, (int, np.integer)) and not isinstance(hidden, bool):
        hidden = (hidden,)
    is_sequence = isinstance(hidden, Sequence) or (isinstance(hidden, np.ndarray) and hidden.ndim > 0)
    if isinstance(hidden, str) or not is_sequence:
        raise TypeError(f"hidden must be a sequence of layer widths such as (256, 128), got {hidden!r}")
    return tuple(check_integer(f"hidden[{i}]", width) for i, width in enumerate(hidden))


def check_init(init: Any, name: str = "init") -> str | float:
    """Return the initialisation: "he", "xavier", or a standard deviation."""
    if isinstance(init, str):
        return check_choice(name, init, ("he", "xavier"))
    return check_number(name, init, 0.0, low_open=True)


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return `value` as an ndarray, of which it may be a view."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be an array, got rows of different lengths") from None


def is_sparse(X: object) -> bool:
    """Return whether X is a scipy.sparse container, without importing SciPy."""
    return hasattr(X, "tocsr")


def check_features(X: Any, name: str = "X", num_features: int | None = None) -> Features:
    """Return X as a numeric, finite, two-dimensional array (n, d) with n, d ≥ 1, or as CSR if it is sparse.

    No copy is made of an ndarray, nor of CSR with sorted indices and no duplicates.
    """
    if is_sparse(X):
        return _check_sparse(X, name, num_features)
    array = as_array(name, X)
    if array.dtype == object:
        raise TypeError(f"{name} must be an array of numbers, got objects such as {_first(array)!r}")
    if not _is_real(array.dtype):
        raise TypeError(f"{name} must be an array of numbers, got dtype {array.dtype}")
    _check_shape(array.shape, name, num_features)
    _check_finite(array, name)
    return array


def _check_sparse(X: Any, name: str, num_features: int | None) -> Features:
    if not _is_real(X.dtype):
        raise TypeError(f"{name} must hold numbers, got dtype {X.dtype}")
    _check_shape(X.shape, name, num_features)
    csr = X.tocsr()
    indptr, indices = csr.indptr, csr.indices
    if len(indptr) != csr.shape[0] + 1 or indptr[0] != 0 or np.any(np.diff(indptr) < 0) or indptr[-1] > len(indices):
        raise ValueError(f"{name} must be a valid CSR matrix, but its indptr is not")
    if len(indices) and (indices.min() < 0 or indices.max() >= csr.shape[1]):
        raise ValueError(f"{name} must be a valid CSR matrix, but it has column indices outside 0..{csr.shape[1] - 1}")
    _check_finite(csr.data, name)
    if not csr.has_canonical_format:
        csr = csr.copy()
        csr.sum_duplicates()
    return csr


def _first(array: NDArray[Any]) -> object:
    return array.flat[0] if array.size else None


def _is_real(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "biuf"


def _check_shape(shape: tuple[int, ...], name: str, num_features: int | None) -> None:
    if len(shape) != 2:
        raise ValueError(f"{name} must be two-dimensional (samples, features), got shape {shape}")
    if 0 in shape:
        raise ValueError(f"{name} must have at least one sample and one feature, got shape {shape}")
    if num_features is not None and shape[1] != num_features:
        raise ValueError(f"{name} must have {num_features} features as in training, got {shape[1]}")


def _check_finite(array: NDArray[Any], name: str) -> None:
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
            where = f" at row {place[0]}, column {place[1]}" if len(place) == 2 else ""
            raise ValueError(f"{name} must be finite, got {array[place]}{where}")


def check_targets(y: ArrayLike, n: int, name: str = "y") -> NDArray[Any]:
    """Return y as an array of n rows, (n,) or (n, k), with no NaN and no infinity."""
    array = as_array(name, y)
    if array.ndim not in (1, 2) or (array.ndim == 2 and array.shape[1] == 0):
        raise ValueError(f"{name} must have shape (n,) or (n, k), got {array.shape}")
    if len(array) != n:
        raise ValueError(f"{name} must have one row for each of the {n} samples, got {len(array)}")
    if array.dtype == object:
        if all(isinstance(value, str) for value in array.flat):
            return array.astype(str)
        raise TypeError(f"{name} must be numbers or strings, got objects such as {_first(array)!r}")
    if array.dtype.kind not in "biufUS":
        raise TypeError(f"{name} must be numbers or strings, got dtype {array.dtype}")
    _check_finite(array, name)
    return array


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
    return weights.astype(np.float64)


def check_params(params: Any, widths: Sequence[int]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return params as [(W, b), ...] of the shapes that `widths` asks for; each b may be (out,) or (1, out)."""
    try:
        layers = [(np.asarray(W), np.asarray(b)) for W, b in params]
    except (TypeError, ValueError):
        raise TypeError("params must be a list of (W, b) pairs of arrays, one for each layer") from None
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
