"""The scaling of numbers that a network learns with its training rows and applies again when it predicts."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastmlp.validation import Features, is_sparse

BRIGHT, WHITE = 127, 255
"""Pixels are whole numbers up to WHITE, and some of them are above BRIGHT."""
UNIT = 0.5, 1.0
"""Features are on a unit scale if the largest size of all is between these."""
MOST_MEAN, LEAST_STD, MOST_STD, MOST_COLUMNS = 1.0, 0.5, 2.0, 0.9
"""Features are standardised if no column's mean or standard deviation is above, and those of most that vary not below:
of a split of standardised rows, where a rare value may be all that varies."""
ALIKE = 5.0
"""Columns whose standard deviations differ by at most this factor keep their proportions."""


class Normalization(NamedTuple):
    """X' = (X - shift) / scale; shift and scale are float64, () or (d,)."""

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]
    description: str = ""
    """A few words that tell the user how numbers are scaled, and why."""

    @property
    def is_identity(self) -> bool:
        """Whether it changes nothing."""
        return not np.any(self.shift) and bool(np.all(self.scale == 1))

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

    def undo(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Return the numbers of which `apply` made these rows, in float64 where anything changes."""
        return rows if self.is_identity else rows * self.scale + self.shift

    def largest(self, X: Features) -> NDArray[np.float64]:
        """Return the largest size of each column's normalised features (d,)."""
        if is_sparse(X):
            sizes = np.zeros(X.shape[1])
            np.maximum.at(sizes, X.indices, np.abs(X.data.astype(np.float64)))
            return sizes / self.scale
        limits = np.array([np.min(X, axis=0), np.max(X, axis=0)], np.float64)
        with np.errstate(over="ignore"):
            return np.max(np.abs(limits - self.shift) / self.scale, axis=0)

    def squared_length(self, X: Features) -> float:
        """Return the mean over the rows of the sum of their squared normalised features."""
        with np.errstate(over="ignore"):
            if is_sparse(X):
                return float(np.sum((X.data / np.broadcast_to(self.scale, X.shape[1])[X.indices]) ** 2) / X.shape[0])
            return float(sum(np.sum(self.apply(rows, np.float64) ** 2) for rows in _blocks(X)) / X.shape[0])


IDENTITY = Normalization(np.zeros(()), np.ones(()))


def learn_normalization(kind: str | None, X: Features) -> Normalization:
    """Return the normalisation that `train(normalize=kind)`, "auto", "unit" or "zscore", means for rows X (n, d)."""
    if kind is None:
        return IDENTITY
    if kind == "unit" or (kind == "auto" and _are_pixels(X)):
        return Normalization(np.zeros(()), np.full((), float(WHITE)), f"features divided by {WHITE}")
    if is_sparse(X):
        if kind == "zscore":
            raise ValueError("normalize='zscore' would make the sparse X dense; scale it without centring instead")
        return _scale_sparse(X)
    low, high = _limits(X)
    if kind == "auto" and UNIT[0] <= max(-np.min(low), np.max(high)) <= UNIT[1]:
        return _as_it_is(f"from {np.min(low):,.4g} to {np.max(high):,.4g}")
    varies = low != high
    mean, std = _moments(X)
    # The standard deviation of a column that never varies is the rounding error of its mean: it is centred, not scaled.
    std[~varies] = 1
    if kind == "auto" and _are_standardised(mean, std, varies):
        return _as_it_is("standardised already")
    with np.errstate(over="ignore"):
        ranges = f"ranges {_span((high - low)[varies])}"
    if kind == "auto" and np.any(varies) and np.max(std[varies]) <= ALIKE * np.min(std[varies]):
        common = float(np.max(std[varies]))
        std[varies] = common * np.sqrt(np.mean((std[varies] / common) ** 2))
        return Normalization(mean, std, f"features centred and divided by {std[varies][0]:,.4g}: {ranges}")
    return Normalization(mean, std, f"features standardised: {ranges}")


def standardize_targets(y: NDArray[np.float64]) -> Normalization:
    """Return the normalisation that gives each column of targets (n, k) mean 0 and standard deviation 1.

    A column that never varies is only centred.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.mean(y, axis=0)
        size = np.max(np.abs(y - mean), axis=0)
        varies = np.min(y, axis=0) != np.max(y, axis=0)
        size = np.where(varies, size, 1.0)
        std = np.where(varies, size * np.sqrt(np.mean(((y - mean) / size) ** 2, axis=0)), 1.0)
        squares = 4 * len(y) * size**2
    if not np.all(np.isfinite(squares)):
        raise ValueError(f"y must hold numbers whose squares can be added up, got {y.flat[np.argmax(np.abs(y))]:g}")
    return Normalization(mean, std, f"targets standardised: mean {_span(mean)}, standard deviation {_span(std)}")


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
                f"X must have columns that can be standardised in {dtype}, got a {what} of {sizes[j]:g} in column {j}"
            )
    if X.dtype.kind == "f" and np.finfo(X.dtype).max > limit.max:
        sizes = normalization.largest(X)
        if np.max(sizes) > limit.max:
            j = int(np.argmax(sizes))
            raise ValueError(f"X must hold numbers that {dtype} can hold, got {sizes[j]:g} in column {j}")


def _as_it_is(why: str) -> Normalization:
    return IDENTITY._replace(description=f"features left as they are: {why}")


def _span(values: NDArray[np.float64]) -> str:
    """Say from where to where values reach, or what the only one is."""
    low, high = (f"{limit(values) if values.size else 0:,.4g}" for limit in (np.min, np.max))
    return low if low == high else f"from {low} to {high}"


def _blocks(X: Features) -> Iterator[NDArray[Any]]:
    """The rows of a dense X in turn, about 2^20 numbers at a time."""
    step = max(1, (1 << 20) // X.shape[1])
    for start in range(0, X.shape[0], step):
        yield X[start : start + step]


def _are_pixels(X: Features) -> bool:
    """Whether X is uint8 with some value above BRIGHT, or whole numbers up to WHITE with one in most columns."""
    if is_sparse(X):
        return X.dtype == np.uint8 and bool(np.any(X.data > BRIGHT))
    if X.dtype == np.uint8:
        return any(bool(np.any(rows > BRIGHT)) for rows in _blocks(X))
    if X.dtype.kind == "b":
        return False
    bright = np.zeros(X.shape[1], bool)
    for rows in _blocks(X):  # other features show in the first of them
        if np.min(rows) < 0 or np.max(rows) > WHITE or (X.dtype.kind == "f" and np.any(rows != np.rint(rows))):
            return False
        bright |= np.any(rows > BRIGHT, axis=0)
    return bool(np.mean(bright) > 1 / 2)


def _limits(X: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the smallest and the largest value of each column, in float64."""
    return np.min(X, axis=0).astype(np.float64), np.max(X, axis=0).astype(np.float64)


def _moments(X: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of each column."""
    n, d = X.shape
    with np.errstate(over="ignore", invalid="ignore"):
        mean = sum((np.sum(rows, axis=0, dtype=np.float64) for rows in _blocks(X)), np.zeros(d)) / n
        variance = sum((np.sum((rows - mean) ** 2, axis=0) for rows in _blocks(X)), np.zeros(d)) / n
    return mean, np.sqrt(variance)


def _are_standardised(mean: NDArray[np.float64], std: NDArray[np.float64], varies: NDArray[np.bool_]) -> bool:
    if not np.any(varies) or np.max(np.abs(mean)) > MOST_MEAN or np.max(std) > MOST_STD:
        return False
    return bool(np.mean(std[varies] >= LEAST_STD) >= MOST_COLUMNS)


def _scale_sparse(X: Features) -> Normalization:
    """Divide each column by the root mean square of its numbers other than 0; zeros stay what they are."""
    d = X.shape[1]
    values = np.abs(X.data.astype(np.float64))
    size = np.zeros(d)
    np.maximum.at(size, X.indices, values)
    used = size > 0
    size[~used] = 1
    squares = np.bincount(X.indices, (values / size[X.indices]) ** 2, d)
    counts = np.bincount(X.indices, values != 0, d)
    scale = np.where(used, size * np.sqrt(squares / np.maximum(counts, 1)), 1.0)
    if np.all(scale == 1):
        return _as_it_is("no column's numbers are larger than another's")
    return Normalization(np.zeros(()), scale, f"features divided by their columns' size, {_span(scale[used])}")
