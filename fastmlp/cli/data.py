"""The data that a command trains on: MNIST, arrays or a table, and how their rows are split."""

import argparse
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastmlp
from fastmlp.table_encoder import TableEncoder, learn_encoder
from fastmlp.tables import ENDINGS, Table, is_table, read_npz, read_table
from fastmlp.targets import learn_coding
from fastmlp.validation import check_features, check_targets

Rows = NDArray[Any] | slice
"""The numbers of some rows."""
SEED = 42
"""Of the choice of test rows."""


class Data(NamedTuple):
    """The data of a training."""

    name: str
    y: Any
    X: Any
    """Features, unless the data are a table's."""
    table: Table | None = None
    columns: Sequence[str] = ()
    """The names of the table's columns that are features."""
    label: str | None = None

    def encode(self, rows: Rows | None = None) -> tuple[Any, TableEncoder | None, list[str]]:
        """Return X (n, d), what made it of a table, learned from some rows or all of them, and notes about that."""
        if self.table is None:
            return self.X, None, []
        rows = np.arange(self.table.num_rows)[slice(None) if rows is None else rows]
        encoder = learn_encoder(self.table, self.columns, rows, self.label)
        X, notes = encoder.encode(self.table)
        return X, encoder, [*self.table.notes, *encoder.describe(), *notes]

    def describe(self, X: NDArray[Any]) -> str:
        """Return how many features there are, and of how many columns they were made."""
        if self.table is None or X.shape[1] == len(self.columns):
            return f"{X.shape[1]} features"
        return f"{X.shape[1]} features from {len(self.columns)} columns"


def load(arguments: argparse.Namespace) -> Data:
    """Return the data that the options name."""
    path = arguments.data
    drop = arguments.drop or ()
    if drop and (path is None or not is_table(path)):
        raise ValueError("--drop needs a table in --data, whose columns it leaves out")
    if path is None:
        X, y = fastmlp.datasets.load_mnist(arguments.n_samples)
        return Data("MNIST", y, X)
    if is_table(path):
        if arguments.label is None:
            raise ValueError(f"--label must name the column of {path} that holds the labels")
        table = read_table(path)
        columns = _choose_columns(table, arguments.label, drop)
        return Data(path.name, table.labels(arguments.label), None, table, columns, arguments.label)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"--data must be a .npz file or a table ({', '.join(ENDINGS)}), got {path}")
    X, y = read_npz(path)
    features = check_features(X)
    return Data(path.name, check_targets(y, len(X)), features)


def _choose_columns(table: Table, label: str, drop: Sequence[str]) -> list[str]:
    """Return the names of the columns that are features."""
    names = list(table.columns)
    if label not in names:
        raise ValueError(f"--label must be a column of {table.path} ({', '.join(names)}), got {label!r}")
    dropped = []
    for text in drop:
        dropped += [text] if text in names else [name.strip() for name in text.split(",") if name.strip()]
    for name in dropped:
        if name not in names:
            raise ValueError(f"--drop must name columns of {table.path} ({', '.join(names)}), got {name!r}")
        if name == label:
            raise ValueError(f"--drop must not name the column of --label, got {name!r}")
    columns = [name for name in names if name != label and name not in dropped]
    if not columns:
        raise ValueError(f"{table.path} must have a column beside {label!r} that is not dropped, got none")
    return columns


def split(data: Data, loss: str, test_size: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the numbers of the training rows and of the test rows, at random from one seed.

    Classes have the same share of both as far as that is possible, and every class has a training row.
    """
    labels = np.asarray(data.y)
    try:
        labels = check_targets(labels, len(labels))
        coding = learn_coding(labels, loss)
    except (ValueError, TypeError) as error:
        if data.table is None:
            raise
        raise ValueError(f"{data.label!r} of {data.table.path} as y: {error}") from error
    if coding.classes is None:
        return split_plainly(len(labels), test_size)
    codes = coding.encode(labels).ravel().astype(np.int64)
    counts = np.bincount(codes)
    often = np.flatnonzero(counts[codes] > 1)
    try:
        train, test = _split_evenly(often, test_size, codes[often])
    except ValueError:  # fewer rows on one side than classes
        train, test = split_plainly(len(labels), test_size)
    else:
        train = np.concatenate([train, np.flatnonzero(counts[codes] == 1)])
    _, first = np.unique(codes[test], return_index=True)
    lost = test[first][~np.isin(codes[test[first]], codes[train])]
    train, test = np.concatenate([train, lost]), test[~np.isin(test, lost)]
    if not len(test):
        raise ValueError(
            f"y must leave rows for testing, but each of its {len(counts)} classes needs the rows it has for training"
        )
    return train, test


def split_plainly(n: int, test_size: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the numbers of the training rows and of the test rows, at random from one seed.

    They are those of scikit-learn's `train_test_split` with the same seed; to import it would take a second.
    """
    count = math.ceil(test_size * n)
    if count >= n:
        raise ValueError(f"--test-size must leave a row to train on, got {test_size:g} of {n}")
    order = np.random.RandomState(SEED).permutation(n)  # as scikit-learn does
    return order[count:], order[:count]


def _split_evenly(rows: NDArray[Any], test_size: float, classes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.model_selection import train_test_split

    train, test = train_test_split(rows, test_size=test_size, random_state=SEED, stratify=classes)
    return train, test
