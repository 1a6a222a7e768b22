"""The weights an estimator begins with."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from fastmlp.estimators.parameters import LOGISTIC
from fastmlp.reference.parameters import initialize, layer_views, parameter_count


def draw_weights(
    widths: Sequence[int], init: str | float | None, activation: str | Sequence[str], random_state: RandomState
) -> NDArray[Any]:
    """Return initial parameters as a flat vector: by default uniform up to ±√(6 / (in + out)), biases, too.

    Before a logistic sigmoid and, where all layers have one, in the last layer, it is ±√(2 / (in + out)).

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    if init is not None:
        return initialize(widths, init, random_state)
    depth = len(widths) - 2
    names = [activation] * (depth + 1) if isinstance(activation, str) else [*activation, *activation[-1:]]
    flat = np.empty(parameter_count(widths))
    for name, (W, b) in zip(names, layer_views(flat, widths), strict=True):
        bound = np.sqrt((2 if name in (LOGISTIC, "sigmoid") else 6) / sum(W.shape))
        W[...] = random_state.uniform(-bound, bound, W.shape)
        b[...] = random_state.uniform(-bound, bound, b.shape)
    return flat
