"""Measure fastmlp's estimators against scikit-learn's own of the same names: the seconds that both take to fit.

    python bench/estimators.py [--quick] [--rounds N] [--only CASE,...]

Both get the same data and parameters. A fit to few rows has to lead both to the same weights first; then they run in
one process by turns, A B A B, so that a busy moment hits both alike. A ratio is scikit-learn's seconds over fastmlp's
of one round: the median of all rounds is printed, and the smallest. Scores are those of other rows, of iris those of
the same.

"grid" searches 24 candidates on two jobs, each time in a fresh process: fastmlp from an empty cache of compiled code
and from a full one. Its scores have to be those of one job, to the bit.

Set FASTMLP_MNIST_DIR for all of MNIST. Nothing else should run meanwhile: what two cores cost each other is printed
before and after.
"""

import argparse
import functools
import json
import os
import statistics
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import sklearn.neural_network
from bench_epoch import MNIST_ROWS, make_csr, to_unit
from bench_startup import run_process
from cores import measure_crossing
from race import Entrant, Race, run_race
from report import describe_machine, format_amount, print_cells
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import fastmlp
from fastmlp.datasets import load_mnist

ROUNDS, QUICK_ROUNDS, QUICK_ROWS = 7, 2, 200
CHECKED_ROWS, CHECKED_EPOCHS = 300, 2
CALLS = 200
"""Calls of `partial_fit` in a sample: data come one after the other, and caches stay warm."""
GAPS = {"float32": 1e-3, "float64": 1e-6}
"""The largest distance of the weights, in units of their size."""
LIBRARIES = {"fastmlp": fastmlp, "scikit-learn": sklearn.neural_network}
COLUMNS = ("case", *LIBRARIES, "median ratio", "smallest", "wanted", "scores")
CANDIDATES = {
    "network__hidden_layer_sizes": [(32,), (32, 16)],
    "network__activation": ["relu", "tanh"],
    "network__solver": ["sgd", "adam"],
    "network__alpha": [1e-4, 1e-2, 1.0],
}
GRID_ROWS, GRID_EPOCHS = 1_797, 20

Data = tuple[Any, Any]
Cells = tuple[str, ...]


class Fit:
    """An estimator on its data; each call fits it anew, or CALLS times for another epoch."""

    def __init__(self, estimator: Any, data: Data, goes_on: bool) -> None:
        self.estimator = estimator
        self._data, self._goes_on = data, goes_on
        if goes_on:
            estimator.partial_fit(*data, classes=np.arange(2))

    def __call__(self) -> None:
        if self._goes_on:
            for _ in range(CALLS):
                self.estimator.partial_fit(*self._data)
            return
        with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
            self.estimator.fit(*self._data)


@dataclass(frozen=True)
class Work:
    """Data, and what is fitted to them."""

    title: str
    load: Callable[[int], Data]
    """Returns so many rows."""
    rows: int
    others: int = 0
    """Rows after these, for the scores."""
    parameters: dict[str, Any] = field(default_factory=dict)
    kind: str = "MLPClassifier"
    goes_on: bool = False
    """Whether a stream of `partial_fit` is timed, of two classes."""
    ratio: float = 1.0
    """The least that is wanted."""

    def fit(self, library: str, rows: int, **others: Any) -> Fit:
        """The fit to the first rows, which has not begun."""
        X, y = _load(self.load, self.rows + self.others)
        estimator = getattr(LIBRARIES[library], self.kind)(random_state=0, **self.parameters | others)
        return Fit(estimator, (X[:rows], y[:rows]), self.goes_on)

    def check(self) -> None:
        """Assert that few rows lead both to the same weights."""
        rows = min(self.rows, CHECKED_ROWS)
        ours, theirs = (self.fit(library, rows, max_iter=CHECKED_EPOCHS) for library in LIBRARIES)
        ours()
        theirs()
        for W, wanted in zip(_weights(ours), _weights(theirs), strict=True):
            gap = np.linalg.norm(W - wanted) / np.linalg.norm(wanted)
            assert gap < GAPS[wanted.dtype.name], f"{self.title}: fastmlp is {gap:.2g} from scikit-learn"

    def score(self, fit: Fit) -> float:
        """How good the estimator is that was fitted last."""
        X, y = _load(self.load, self.rows + self.others)
        first = self.rows if self.others else 0
        return fit.estimator.score(X[first:], y[first:])

    def measure(self, rounds: int) -> list[Cells]:
        """Race both; return the line of the table."""
        fits = {library: self.fit(library, self.rows) for library in LIBRARIES}
        entrants = {
            "fastmlp": Entrant(fits["fastmlp"], self.check),
            "scikit-learn": Entrant(fits["scikit-learn"], _trust, blas=True),
        }
        race = run_race(entrants, rounds)
        X, _ = _load(self.load, self.rows + self.others)
        scores = "" if self.goes_on else " ".join(f"{self.score(fit):.3f}" for fit in fits.values())
        return [describe(f"{self.title}, {self.rows:,} × {X.shape[1]:,}", race, "fastmlp", self.ratio, scores)]

    def quick(self) -> "Work":
        """The same on few rows."""
        return replace(self, rows=min(self.rows, QUICK_ROWS), others=min(self.others, QUICK_ROWS))


@functools.lru_cache(maxsize=2)
def _load(load: Callable[[int], Data], n: int) -> Data:
    return load(n)


def _weights(fit: Fit) -> list[Any]:
    return [*fit.estimator.coefs_, *fit.estimator.intercepts_]


def _trust() -> None:
    """scikit-learn is what others are held to."""


def describe(title: str, race: Race, name: str, wanted: float, scores: str) -> Cells:
    """Return the line of one who raced scikit-learn."""
    ours, theirs = race.samples[name], race.samples["scikit-learn"]
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    median = statistics.median(ratios)
    mark = f"≥ {wanted:g} {'✓' if median >= wanted else '✗'}"
    amounts = (format_amount(min(samples), "s") for samples in (ours, theirs))
    return title, *amounts, f"{median:.3g}", f"{min(ratios):.3g}", mark, scores


def load_pixels(n: int) -> Data:
    """MNIST in float32 from 0 to 1."""
    X, y = load_mnist(n)
    return to_unit(X), y


def make_regression(n: int) -> Data:
    """50 features, and what two sines and some noise make of the first ones."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 50))
    return X, np.sin(2 * X[:, 0]) + np.sin(X[:, 1] + X[:, 2]) + 0.1 * rng.standard_normal(n)


def make_stream(n: int) -> Data:
    """20 features, and one class or the other."""
    return np.random.default_rng(0).standard_normal((n, 20)), np.arange(n) % 2


def load_shuffled(load: Callable[..., Data], n: int) -> Data:
    """Rows of one of scikit-learn's tables, whose classes may come one after the other."""
    X, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:n]
    return X[order], y[order]


MNIST = (load_pixels, MNIST_ROWS, 10_000) if MNIST_ROWS == 60_000 else (load_pixels, MNIST_ROWS - 500, 500)
WORKS = {
    "mnist": Work("MNIST, defaults, 10 epochs", *MNIST, {"max_iter": 10}, ratio=6),
    "nesterov": Work(
        "MNIST, sgd with nesterov, 10 epochs",
        *MNIST,
        {"solver": "sgd", "learning_rate_init": 0.01, "max_iter": 10},
        ratio=6,
    ),
    "regression": Work("regression, 5 epochs", make_regression, 20_000, 2_000, {"max_iter": 5}, "MLPRegressor"),
    "csr": Work("CSR, 0.2%, 1 epoch", make_csr, 20_000, 1_000, {"max_iter": 1}, ratio=60),
    "lbfgs": Work("digits, lbfgs", partial(load_shuffled, load_digits), 1_500, 297, {"solver": "lbfgs"}),
    "row": Work("partial_fit, 200 calls", make_stream, 1, goes_on=True, ratio=10),
    "batch": Work("partial_fit, 200 calls", make_stream, 200, goes_on=True, ratio=10),
    "iris": Work("iris, defaults", partial(load_shuffled, load_iris), 150),
}


def search(library: str, jobs: int, rows: int, epochs: int) -> None:
    """Search the candidates on digits, and print the mean score of each as JSON."""
    network = LIBRARIES[library].MLPClassifier(max_iter=epochs, random_state=0)
    pipeline = Pipeline([("scaler", StandardScaler()), ("network", network)])
    warnings.simplefilter("ignore", ConvergenceWarning)  # joblib's workers have the same filters
    grid = GridSearchCV(pipeline, CANDIDATES, n_jobs=jobs, cv=3).fit(*load_shuffled(load_digits, rows))
    print(json.dumps(grid.cv_results_["mean_test_score"].tolist()))


def measure_grid(rounds: int, rows: int = GRID_ROWS, epochs: int = GRID_EPOCHS) -> list[Cells]:
    """Race searches of both libraries; return a line for each cache that fastmlp starts from."""

    def run(library: str, jobs: int = 2, cache: str | None = None) -> list[float]:
        code = f"import estimators; estimators.search({library!r}, {jobs}, {rows}, {epochs})"
        return json.loads(run_process(code, cache=cache))

    def run_cold() -> None:
        with tempfile.TemporaryDirectory() as empty:
            run("fastmlp", cache=empty)

    def check() -> None:
        assert run("fastmlp", jobs=2) == run("fastmlp", jobs=1), "a search on two jobs is not that on one"

    entrants = {
        "full cache": Entrant(partial(run, "fastmlp"), check),
        "empty cache": Entrant(run_cold, _trust),
        "scikit-learn": Entrant(partial(run, "scikit-learn"), _trust),
    }
    race = run_race(entrants, rounds)
    best = " ".join(f"{max(run(library)):.3f}" for library in LIBRARIES)
    title = f"grid of 24 candidates, digits, {rows:,} rows"
    return [describe(f"{title}, {name}", race, name, 1, best) for name in ("full cache", "empty cache")]


def main() -> None:
    """Measure the chosen cases and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds on few rows: to see that it runs")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each race; more are steadier")
    parser.add_argument("--only", metavar="CASE,...", help=f"of {', '.join(WORKS)}, grid")
    args = parser.parse_args()
    names = args.only.split(",") if args.only else [*WORKS, "grid"]
    if unknown := sorted({*names} - {*WORKS, "grid"}):
        parser.error(f"unknown case {', '.join(unknown)}: choose of {', '.join(WORKS)}, grid")
    rounds = QUICK_ROUNDS if args.quick else args.rounds

    machine = describe_machine() | {"load average": round(os.getloadavg()[0], 2)}
    print(", ".join(f"{key}: {value}" for key, value in machine.items()))
    print(measure_crossing() or "one core", end="\n\n")
    table: list[Cells] = [COLUMNS]
    for name in names:
        print(f"measuring {name} ...", flush=True)
        if name == "grid":
            table += measure_grid(rounds, QUICK_ROWS, 1) if args.quick else measure_grid(rounds)
        else:
            table += (WORKS[name].quick() if args.quick else WORKS[name]).measure(rounds)
    print()
    print_cells(table)
    print(f"\nat the end {measure_crossing() or 'one core'}")


if __name__ == "__main__":
    main()
