"""Reading a user's own data files: features X and targets y from .npz and .csv."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_INTEGER = re.compile(r"[+-]?[0-9]+")


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

    Labels become integers where all of them are written as integers are, without leading zeros, otherwise floats where
    all of them are numbers but not integers with leading zeros, otherwise strings.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the label column is missing or there twice, a row has another length or no label, or a feature is not a
        number.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = [name.strip() for name in next(reader, [])]
            if label not in header:
                raise ValueError(f"--label must be a column of {path} ({', '.join(header)}), got {label!r}")
            if (count := header.count(label)) > 1:
                raise ValueError(f"--label must be one column of {path}, but {count} are named {label!r}")
            column = header.index(label)
            features, labels = [], []
            for row in reader:
                if not row:
                    continue
                if len(row) != len(header):
                    raise ValueError(f"{path} line {reader.line_num} must have {len(header)} fields, got {len(row)}")
                labels.append(row.pop(column).strip())
                if not labels[-1]:
                    raise ValueError(f"{path} line {reader.line_num} must hold a label in {label!r}, got nothing")
                try:
                    features.append(_numbers(row))
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
    """Return labels as numbers where that merges none of them: 007 is not 7, and 31 digits are no 64-bit integer."""
    if all(_INTEGER.fullmatch(label) for label in labels):
        try:
            integers = np.array([int(label) for label in labels], np.int64)
        except (OverflowError, ValueError):  # Python converts only so many digits
            return np.array(labels)
        return integers if list(map(str, integers.tolist())) == labels else np.array(labels)
    try:
        return _numbers(labels)
    except ValueError:
        return np.array(labels)


def _numbers(texts: list[str]) -> NDArray[np.float64]:
    """Return float64 numbers; digits of other scripts and underscores, which Python's `float` takes, are none."""
    joined = "".join(texts)
    if "_" in joined or not joined.isascii():
        raise ValueError("not a number")
    return np.array(texts, np.float64)
