"""What `track_gradients=True` costs: epochs with and without it by turns, on raw and on standardised pixels."""

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
from bench_epoch import MNIST_ROWS, standardise
from race import Case, Entrant

import fastmlp

SCALINGS = {"uint8": lambda X: X, "standardised": standardise}
TRACKING = {"False": False, "True": True, "first_epoch": "first_epoch"}
ROWS = 5_000


def train(X: Any, y: Any, tracking: bool | str) -> Any:
    return fastmlp.train(X, y, num_epochs=1, track_gradients=tracking, seed=0, verbose=False)


def make_cases(quick: bool, full: bool) -> list[Case]:
    """One case for each scaling."""

    def build(scaling: str, names: Collection[str]) -> dict[str, Entrant]:
        X, y = fastmlp.datasets.load_mnist(ROWS if quick else MNIST_ROWS)
        X = SCALINGS[scaling](X)

        def check(tracking: bool | str) -> None:
            few = X[:ROWS], y[:ROWS]
            np.testing.assert_array_equal(train(*few, tracking).params, train(*few, False).params)

        return {name: Entrant(partial(train, X, y, TRACKING[name]), partial(check, TRACKING[name])) for name in names}

    return [Case(scaling, f"tracking, {scaling}", tuple(TRACKING), partial(build, scaling)) for scaling in SCALINGS]


def test_tracking(measure, case, name):
    measure(case, name)
