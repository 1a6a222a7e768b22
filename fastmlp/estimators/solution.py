"""The problem that an estimator poses, and the weights that it gets."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.normalization import IDENTITY
from fastmlp.problem import Architecture, Optimizer, Problem, Samples
from fastmlp.reference.parameters import layer_views

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
