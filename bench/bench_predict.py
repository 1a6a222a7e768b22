"""Latency of one row and throughput of many, through `predict`, in fastmlp, its reference and scikit-learn."""

from collections.abc import Callable, Collection
from functools import lru_cache, partial
from typing import Any

import numpy as np
from bench_roofline import forward_flops
from peers import ScikitLearn, Setup
from race import Case, Entrant

import fastmlp
from fastmlp.engine.processor import usable_cores
from fastmlp.engine.tables import S

MANY, QUICK_MANY = 10_000, 100
EVERYBODY = ("fastmlp", "reference", "scikit-learn")


@lru_cache(maxsize=1)
def _models() -> tuple[Any, Any, Any]:
    """One 784-256-128-10 network after an epoch of MNIST: in fastmlp, the reference and scikit-learn."""
    X, y = fastmlp.datasets.load_mnist()
    ours = fastmlp.train(X, y, num_epochs=1, seed=0, verbose=False)
    other = fastmlp.train(X[:64], y[:64], num_epochs=1, seed=0, lr=1e-9, params=ours.layers, backend="reference",
                          verbose=False)  # fmt: skip
    peer = ScikitLearn(X[:64].astype(np.float32) / 255, y[:64], Setup(), ours.params, threads=usable_cores()).model
    return ours, other, peer


def build(n: int, inside: bool, names: Collection[str]) -> dict[str, Entrant]:
    """Predictions of n rows of MNIST; `inside` is the compiled call alone."""
    ours, other, peer = _models()
    X, _ = fastmlp.datasets.load_mnist()
    rows = np.resize(X, (n, X.shape[1]))
    unit = rows.astype(np.float32) / 255
    models = {"fastmlp": (ours, rows), "reference": (other, rows), "scikit-learn": (peer, unit)}
    calls = {who: partial(model.predict, X) for who, (model, X) in models.items()}

    def enter(who: str) -> Entrant:
        def check() -> None:
            # A near tie between two classes may be rounded either way.
            assert np.mean(calls[who]() == calls["reference"]()) > 0.999, who

        run = _call_alone(ours, rows) if inside else calls[who]
        flops = None if n == 1 else forward_flops((784, 256, 128, 10), n)
        return Entrant(run, check, ours=who == "fastmlp", blas=who != "fastmlp", repeats=4, short=n == 1, flops=flops)

    return {who: enter(who) for who in names}


def _call_alone(model: Any, row: Any) -> Callable[[], Any]:
    """The compiled call that `predict` makes for one row, without what Python does before and after."""
    model.predict(row)  # from now on the row and the parameters lie where the stages read them
    reader = model._inference._predictor._memory.readers[row.dtype]
    workspace = reader._workspaces[1, S]
    workspace.run(len(row))
    (_, _, schedule), table = workspace._schedule_tables[0], workspace._tables[0]
    return lambda: workspace._player._epoch(table.ctypes.data, schedule.ctypes.data)


def make_cases(quick: bool, full: bool) -> list[Case]:
    """Many rows, one row, and the compiled call for one."""
    many = QUICK_MANY if quick else MANY
    return [
        Case(key, f"predict: {what}", names, partial(build, n, "inside" in key), test_id="{name}-{key}")
        for key, what, n, names in (
            ("many rows", f"{many:,} rows", many, EVERYBODY),
            ("one row", "one row", 1, EVERYBODY),
            ("one row, inside", "one row, inside", 1, ("fastmlp",)),
        )
    ]


def test_predict(measure, case, name):
    measure(case, name)
