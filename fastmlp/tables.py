"""Reading a user's own data files: features X and targets y from .npz and .csv."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def read_npz(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the arrays ``X`` and ``y`` of a .npz file.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, holds pickled objects, or lacks one of the two.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name in ("X", "y")}
                names = archive.files
        except Exception as error:  # zipfile and NumPy raise a dozen types on a damaged file
            raise ValueError(f"{path} must be a .npz file of plain arrays, but it can't be read: {error}") from error
    if len(arrays) < 2:
        raise ValueError(f"{path} must hold arrays named X and y, got only {', '.join(names) or 'nothing'}")
    return arrays["X"], arrays["y"]


def read_csv(path: Path, label: str) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Return X (n, d) float64 and y (n,) of a .csv file whose first line names the columns.

    Labels become integers where all of them are, otherwise floats where all of them are, otherwise strings.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the label column is missing, a row has another length, or a feature is not a number.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            if label not in header:
                raise ValueError(f"--label must be a column of {path} ({', '.join(header)}), got {label!r}")
            column = header.index(label)
            features, labels = [], []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ValueError(f"{path} line {reader.line_num} must have {len(header)} fields, got {len(row)}")
                labels.append(row.pop(column).strip())
                try:
                    features.append(np.array(row, np.float64))
                except ValueError:
                    raise ValueError(
                        f"{path} line {reader.line_num} must hold numbers outside {label!r}, got {row}"
                    ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a .csv file in UTF-8, but it can't be read: {error}") from error
    if not features:
        raise ValueError(f"{path} must have at least one row below its header")
    return np.array(features), _typed(labels)


def _typed(labels: list[str]) -> NDArray[Any]:
    for kind in (int, float):
        try:
            return np.array([kind(label) for label in labels])
        except ValueError:
            continue
    return np.array(labels)
