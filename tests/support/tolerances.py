"""How near two results have to be: one rule, in units of the dtype's eps and of the result's largest element."""

from typing import Any

import numpy as np

ROUNDINGS = 64
"""The largest error seen over all cases is 40 of these units."""


def relative_error(actual: Any, expected: Any) -> float:
    """Return the largest difference of two arrays, relative to the largest element of the expected one."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    size = np.max(np.abs(expected), initial=0.0)
    return float(np.max(np.abs(actual - expected), initial=0.0) / size) if size else float(np.any(actual != expected))


def assert_close(actual: Any, expected: Any, dtype: Any = np.float64, factor: float = 1.0) -> None:
    """Compare numbers, arrays, or tuples, lists and dicts of them; `factor` is for what multiplies rounding errors."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys()
        actual, expected = list(actual.values()), list(expected.values())
    if isinstance(expected, tuple | list):
        assert len(actual) == len(expected)
        for a, e in zip(actual, expected, strict=True):
            assert_close(a, e, dtype, factor)
        return
    assert np.shape(actual) == np.shape(expected)
    assert np.all(np.isfinite(expected))
    bound = ROUNDINGS * factor * np.finfo(dtype).eps
    assert relative_error(actual, expected) <= bound, f"{relative_error(actual, expected):.2e} > {bound:.2e}"


def assert_nonzero(result: Any) -> None:
    """Make sure that every array of a result has something in it to compare."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, tuple | list):
        for part in result:
            assert_nonzero(part)
    else:
        assert np.any(np.asarray(result) != 0)
