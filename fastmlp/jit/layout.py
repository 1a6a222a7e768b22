"""The one memory layout that kernels are compiled for: float32 or float64, row after row, writable."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastmlp.reference.activations import Array


def float_type(*values: Any) -> type[np.floating]:
    """Return the type in which arrays and numbers meet: float32 if that is where NumPy would go, else float64."""
    return np.float32 if np.result_type(*values) == np.float32 else np.float64


def plain(array: ArrayLike, dtype: type[np.floating]) -> Array:
    """Return `array` in the kernels' layout, itself if it has it already.

    One layout means one compiled version of each kernel for each dtype. A read-only or strided array is copied: to
    Numba it would be one more type.
    """
    return np.require(array, dtype, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE", "ENSUREARRAY"])


def shaped(array: ArrayLike, shape: tuple[int, ...], dtype: type[np.floating]) -> Array:
    """Return `array` in the kernels' layout and in this shape, by NumPy's broadcasting rules.

    Kernels do not check their indices, so no array may reach them in a shape other than the one they expect.
    """
    array = np.asarray(array)
    return plain(array if array.shape == shape else np.broadcast_to(array, shape), dtype)
