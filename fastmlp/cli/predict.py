"""The command ``fastmlp predict``."""

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastmlp
from fastmlp.cli.process import report, tell
from fastmlp.files import whole_file
from fastmlp.results import Results, check_places, write
from fastmlp.table_encoder import Numbers, TableEncoder
from fastmlp.tables import ENDINGS, is_table, read_npz, read_table

_ROWS_AT_ONCE = 4096


def run(arguments: argparse.Namespace) -> int:
    """Carry the command out and return the exit status."""
    to_stdout = str(arguments.output) == "-"
    say: Callable[[str], object] = tell if to_stdout else print
    if not to_stdout:
        check_places({"output": arguments.output}, {"FILE": arguments.data, "MODEL": arguments.model})
    model = fastmlp.MLP.load(arguments.model)
    X, notes = _read(model, arguments.data)
    predictions = model.predict(X)
    try:
        probabilities = model.predict_proba(X) if arguments.proba else None
    except TypeError:
        raise ValueError(f"--proba needs a classifier, but {arguments.model} was trained for regression") from None
    say(f"{arguments.data.name}: {len(predictions):,} rows")
    for note in notes:
        say(f"  {note}")
    lines = _lines(model, predictions, probabilities)
    if to_stdout:
        for line in lines:
            sys.stdout.write(line)
        return 0

    def save(path: Path) -> None:
        with whole_file(path) as file:
            file.writelines(line.encode() for line in lines)

    results: Results = {arguments.output: save}
    return report(results, write(results))


def _read(model: fastmlp.MLP, path: Path) -> tuple[NDArray[Any], list[str]]:
    """Return the features of a file for a network, and notes about what was made of its columns."""
    encoder: TableEncoder | None = model.table
    if path.suffix.lower() == ".npz":
        if encoder is not None and not all(isinstance(column, Numbers) for column in encoder.columns):
            raise ValueError(f"FILE must be a table with the columns of training, as not all were numbers, got {path}")
        (X,) = read_npz(path, ("X",))
        return X, []
    if not is_table(path):
        raise ValueError(f"FILE must be a .npz file or a table ({', '.join(ENDINGS)}), got {path}")
    table = read_table(path)
    notes = list(table.notes)
    if encoder is None:
        names = list(table.columns) if model.feature_names_in_ is None else model.feature_names_in_.tolist()
        if len(names) != model.widths[0]:
            raise ValueError(
                f"{path} must have the {model.widths[0]} columns of the X in training, in its order, got {len(names)}"
            )
        encoder = TableEncoder(tuple(Numbers(name, np.nan) for name in names), None)
    if ignored := encoder.ignored(table):
        notes.append(f"columns left out: {', '.join(ignored)}")
    X, more = encoder.encode(table)
    if np.isnan(X).any():
        row, column = map(int, np.argwhere(np.isnan(X))[0])
        raise ValueError(
            f"{table.place(row)} must hold a number in {encoder.columns[column].name!r}, got none, and the network "
            "has no median to take instead"
        )
    return X, notes + more


def _lines(model: fastmlp.MLP, predictions: NDArray[Any], probabilities: NDArray[Any] | None) -> Iterator[str]:
    """Yield the lines of a .csv: what is predicted of each row, and how probable each class is."""
    label = model.table.label if model.table is not None and model.table.label is not None else "prediction"
    columns = predictions[:, None] if predictions.ndim == 1 else predictions
    names = [label] if columns.shape[1] == 1 else [f"{label} {i}" for i in range(columns.shape[1])]
    if probabilities is not None:
        names += [f"P({name})" for name in model.classes_.tolist()]
    yield _line([names])
    for start in range(0, len(columns), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        cells = [[str(value) for value in row] for row in columns[rows]]
        if probabilities is not None:
            for row, values in zip(cells, probabilities[rows], strict=True):
                row += map(str, values)
        yield _line(cells)


def _line(rows: list[list[str]]) -> str:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue()
