"""The problem that an estimator poses, and the weights that it gets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.ma import MaskedArray
from numpy.typing import NDArray

from fastmlp.normalization import IDENTITY
from fastmlp.problem import Architecture, Optimizer, Problem, Samples
from fastmlp.reference.parameters import layer_views

REAL = "biuf"
"""The kinds of dtypes of real numbers."""

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


def make_problem(
    estimator: Any,
    samples: Samples,
    architecture: Architecture,
    optimizer: Optimizer,
    batch_size: int,
    dtype: np.dtype[Any],
) -> Problem:
    """Return a problem as scikit-learn has it: features as they come, and the penalty a part of the loss."""
    return Problem(
        X=samples.X,
        codes=samples.codes,
        sample_weight=samples.sample_weight,
        normalization=IDENTITY,
        architecture=architecture,
        optimizer=optimizer,
        batch_size=batch_size,
        dtype=dtype,
        num_threads=estimator.num_threads,
        is_penalized=True,
    )


def as_attributes(params: NDArray[Any], widths: Sequence[int]) -> dict[str, list[NDArray[Any]]]:
    """Return what `coefs_` and `intercepts_` are with a flat vector: views of it."""
    layers = layer_views(params, widths)
    return {"coefs_": [W for W, _ in layers], "intercepts_": [b for _, b in layers]}


def check_weights(coefs: Any, intercepts: Any, d: int, k: int) -> None:
    """Raise unless these, which anyone may have written, are the layers of a network from d features to k outputs."""
    try:
        layers = list(zip(coefs, intercepts, strict=True))
    except (TypeError, ValueError):
        layers = []
    if not layers:
        raise ValueError("coefs_ and intercepts_ must be lists of arrays, one of each for every layer")
    width = d
    for i, (W, b) in enumerate(layers):
        for name, array in (("coefs_", W), ("intercepts_", b)):
            if not isinstance(array, np.ndarray) or isinstance(array, MaskedArray) or array.dtype.kind not in REAL:
                got = f"an array of {array.dtype}" if type(array) is np.ndarray else type(array).__name__
                raise TypeError(f"{name}[{i}] must be an array of numbers, got {got}")
        if W.ndim != 2 or len(W) != width:
            raise ValueError(f"coefs_[{i}] must have shape ({width}, width of the layer), got {W.shape}")
        width = W.shape[1]
        if b.shape not in ((width,), (1, width)):
            raise ValueError(f"intercepts_[{i}] must have shape ({width},), got {b.shape}")
    if width != k:
        raise ValueError(f"coefs_[{len(layers) - 1}] must have a column for each of the {k} outputs, got {width}")
