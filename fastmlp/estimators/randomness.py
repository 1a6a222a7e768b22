"""What is random in a training, drawn as scikit-learn draws it: initial weights, held-out samples, orders of rows."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from fastmlp.preparation import Orders
from fastmlp.problem import Samples
from fastmlp.reference.parameters import initialize, layer_views, parameter_count


def draw_weights(
    widths: Sequence[int], init: str | float | None, activation: str | tuple[str, ...], random_state: RandomState
) -> NDArray[Any]:
    """Return initial parameters as a flat vector: by default uniform up to ±√(6 / (in + out)), biases, too.

    Before a sigmoid, and in the last layer after one, it is ±√(2 / (in + out)).

    References
    ----------
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """
    if init is not None:
        return initialize(widths, init, random_state)
    depth = len(widths) - 2
    names = (activation,) * (depth + 1) if isinstance(activation, str) else (*activation, activation[-1])
    flat = np.empty(parameter_count(widths))
    for name, (W, b) in zip(names, layer_views(flat, widths), strict=True):
        bound = np.sqrt((2 if name == "sigmoid" else 6) / sum(W.shape))
        W[...] = random_state.uniform(-bound, bound, W.shape)
        b[...] = random_state.uniform(-bound, bound, b.shape)
    return flat


def split(samples: Samples, share: float, by_class: bool, random_state: Any) -> tuple[Samples, Samples]:
    """Return the samples to train on and those held out, as scikit-learn's `train_test_split` chooses them.

    With `by_class`, whose codes are 0 and 1 then, of both about the same share is held out.
    """
    kept, held = train_test_split(
        np.arange(len(samples.codes)),
        random_state=random_state,
        test_size=share,
        stratify=samples.codes.astype(bool) if by_class else None,
    )
    if len(held) < 2:
        raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
    parts = samples.select(kept), samples.select(held)
    if samples.sample_weight is not None and not all(np.any(part.sample_weight) for part in parts):
        raise ValueError("sample_weight must be positive somewhere in both parts that early_stopping makes of X, got 0")
    return parts


def draw_mask_seed(random_state: RandomState | int | None, seen: int) -> int:
    """Return 64 bits that fix the units that a training drops after `seen` samples of trainings before it.

    So fits from the weights before, each of which has the orders of the same integer, drop other units.
    """
    drawn = check_random_state(random_state).randint(1 << 32, dtype=np.uint64)
    return int(np.random.SeedSequence([int(drawn), seen]).generate_state(1, np.uint64)[0])


class Shuffles(Orders):
    """Each epoch's order is that of the one before, shuffled by a RandomState; without one all are in order.

    An integer stands for a new RandomState of this seed, which takes ten times as long as a short epoch.
    """

    def __init__(self, n: int, random_state: RandomState | int | None) -> None:
        super().__init__(n, None)
        self._order = np.arange(n)
        self._random_state = random_state
        self._is_first = True

    def next(self) -> NDArray[np.int64]:
        is_first, self._is_first = self._is_first, False
        if self._random_state is None:
            return self._order
        if not isinstance(self._random_state, RandomState):
            if is_first:
                self._order = _first_order(self._random_state, self._n)
                return self._order
            self._random_state = RandomState(self._random_state)
            self._random_state.shuffle(np.arange(self._n))  # the first order
        places = np.arange(self._n)
        self._random_state.shuffle(places)
        self._order = self._order[places]
        return self._order


@functools.lru_cache(maxsize=8)
def _first_order(seed: int, n: int) -> NDArray[np.int64]:
    order = np.arange(n)
    RandomState(seed).shuffle(order)
    order.flags.writeable = False
    return order
