"""What predictions are timed with: many rows and one, in fastmlp, its reference and scikit-learn."""

from collections.abc import Callable
from typing import Any

import numpy as np
from peers import ScikitLearn, Setup

import fastmlp

Call = Callable[[], Any]


def prediction_calls(many: int) -> dict[tuple[str, str], Call]:
    """Return calls that predict MNIST's classes, by (what, who): the 784-256-128-10 network after one epoch.

    All of them have the same parameters and agree. "one row, inside" is the compiled call alone.
    """
    X, y = fastmlp.datasets.load_mnist()
    ours = fastmlp.train(X, y, num_epochs=1, seed=0, verbose=False)
    other = fastmlp.train(X[:64], y[:64], num_epochs=1, seed=0, lr=1e-9, params=ours.layers, backend="reference",
                          verbose=False)  # fmt: skip
    rows = np.resize(X, (many, X.shape[1]))
    unit = rows.astype(np.float32) / 255
    peer = ScikitLearn(unit[:64], y[:64], Setup(), ours.params).model
    calls: dict[tuple[str, str], Call] = {
        (f"{many:,} rows", "fastmlp"): lambda: ours.predict(rows),
        (f"{many:,} rows", "reference"): lambda: other.predict(rows),
        (f"{many:,} rows", "scikit-learn"): lambda: peer.predict(unit),
        ("one row", "fastmlp"): lambda: ours.predict(rows[:1]),
        ("one row", "reference"): lambda: other.predict(rows[:1]),
        ("one row", "scikit-learn"): lambda: peer.predict(unit[:1]),
        ("one row, inside", "fastmlp"): _call_alone(ours, rows[:1]),
    }
    for (what, who), call in calls.items():
        if "inside" not in what:
            # A near tie between two classes may be rounded either way.
            assert np.mean(call() == calls[what, "reference"]()) > 0.999, (what, who)
    return calls


def _call_alone(model: Any, row: Any) -> Call:
    """The compiled call that `predict` makes for one row, without what Python does before and after."""
    model.predict(row)  # from now on the row and the parameters lie where the stages read them
    reader = model._inference._predictor._memory.readers[row.dtype]
    [(workspace, _)] = reader._workspaces.values()
    workspace.run(len(row))
    (_, _, schedule), table = workspace._schedule_tables[0], workspace._tables[0]
    return lambda: workspace._epoch(table.ctypes.data, schedule.ctypes.data)
