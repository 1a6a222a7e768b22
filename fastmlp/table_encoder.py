"""How the columns of a table become features, learned from its training rows and kept with the network."""

import math
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastmlp.tables import FEW, Table

MANY_CATEGORIES = 1000
"""More different texts than this in a column are no categories."""

_SHOWN = 12


class Numbers(NamedTuple):
    """A column that becomes one feature: its numbers, and their median where one is missing."""

    name: str
    median: float


class Categories(NamedTuple):
    """A column that becomes a feature of 0 and 1 for each of its texts, and for None, a missing one."""

    name: str
    values: tuple[str | None, ...]


class TableEncoder(NamedTuple):
    """An encoder that turns a table into features (n, d); it finds the columns by name."""

    columns: tuple[Numbers | Categories, ...]
    label: str | None
    """The name of the column that the network predicts."""

    @property
    def num_features(self) -> int:
        """Return d."""
        return sum(1 if isinstance(column, Numbers) else len(column.values) for column in self.columns)

    def encode(self, table: Table) -> tuple[NDArray[np.float64], list[str]]:
        """Return X (n, d), and what was taken for missing values and unknown categories, a sentence each.

        Raises
        ------
        ValueError
            If a column is not there, or has something else where a finite number should be.
        """
        if missing := [column.name for column in self.columns if column.name not in table.columns]:
            raise ValueError(
                f"{table.path} must have the columns of training, but lacks {_join(map(repr, missing))}; "
                f"its columns are {_join(map(repr, table.columns))}"
            )
        X = np.zeros((table.num_rows, self.num_features))
        notes: dict[str, list[str]] = {}
        start = 0
        for column in self.columns:
            _check_type(table, column.name)
            if isinstance(column, Numbers):
                X[:, start] = _encode_numbers(table, column, notes)
                start += 1
            else:
                _encode_categories(table, column, X[:, start : start + len(column.values)], notes)
                start += len(column.values)
        return X, [f"{what}: {_join(columns)}" for what, columns in notes.items()]

    def describe(self) -> list[str]:
        """Return a sentence about the columns that become categories, if there are any."""
        sizes = [f"{len(c.values)} of {c.name!r}" for c in self.columns if isinstance(c, Categories)]
        return [f"categories: {_join(sizes)}"] if sizes else []

    def ignored(self, table: Table) -> list[str]:
        """Return the names of a table's columns that are no features."""
        used = {column.name for column in self.columns}
        return [name for name in table.columns if name not in used]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain lists, numbers and texts, ready for JSON."""
        columns = [
            {"name": column.name, "median": column.median}
            if isinstance(column, Numbers)
            else {"name": column.name, "categories": list(column.values)}
            for column in self.columns
        ]
        return {"label": self.label, "columns": columns}

    @classmethod
    def from_dict(cls, content: Any) -> "TableEncoder":
        """Return what `to_dict` wrote; nothing in it is trusted.

        Raises
        ------
        ValueError
        """
        fits = isinstance(content, dict) and isinstance(content.get("columns"), list)
        if not fits or not isinstance(content.get("label"), (str, type(None))):
            raise ValueError("its table has no columns or no label")
        columns = tuple(map(_restore_column, content["columns"]))
        if not columns or len({column.name for column in columns}) != len(columns):
            raise ValueError("its table's columns are none, or two have one name")
        return cls(columns, content["label"])


def learn_encoder(table: Table, names: Sequence[str], rows: NDArray[Any], label: str | None = None) -> TableEncoder:
    """Return the encoder of some columns: what they are is decided by all rows, medians and categories by `rows`.

    A column of numbers, missing ones apart, is taken as numbers; any other as categories.

    Raises
    ------
    ValueError
        If a column holds dates, a different text in most rows, something infinite, or many numbers and a few other
        texts.
    """
    faults = {name: fault for name in names if (fault := _find_fault(table, name))}
    if faults:
        raise ValueError(
            f"{table.path} must hold numbers and categories, but {'; '.join(faults.values())}: leave out what can't be "
            f"learned from with --drop {shlex.quote(','.join(faults))}"
        )
    return TableEncoder(tuple(_learn_column(table, name, rows) for name in names), label)


def _find_fault(table: Table, name: str) -> str | None:
    """Return why nothing can be learned from a column, or None."""
    if table.holds_dates(name):
        return f"{name!r} holds dates or times such as {_example(table, name)}"
    if not table.holds_values(name):
        return f"{name!r} has the type {table.columns[name].type}"
    values, odd = table.numbers(name)
    if not odd.any():
        table.check_finite(name, values)
        return None
    codes, texts = table.texts(name)
    table.check_mixture(name, len(texts), odd)
    if len(texts) > MANY_CATEGORIES or (len(texts) > FEW and 2 * len(texts) > np.count_nonzero(codes >= 0)):
        return (
            f"{name!r} holds {len(texts):,} different texts in {table.num_rows:,} rows such as {_example(table, name)}"
        )
    return None


def _example(table: Table, name: str) -> str:
    """Return the first value of a column and its place."""
    codes, texts = table.texts(name)
    row = int(np.argmax(codes >= 0))
    return f"{texts[codes[row]]!r:.60} ({table.place(row).removeprefix(f'{table.path} ')})"


def _learn_column(table: Table, name: str, rows: NDArray[Any]) -> Numbers | Categories:
    values, odd = table.numbers(name)
    if not odd.any() and not np.all(np.isnan(values)):
        known = values[rows][~np.isnan(values[rows])]
        return Numbers(name, float(np.median(known)) if len(known) else 0.0)
    codes, texts = table.texts(name)
    found = np.unique(codes[rows])
    return Categories(name, tuple(texts[code] if code >= 0 else None for code in np.roll(found, -int(found[0] < 0))))


def _check_type(table: Table, name: str) -> None:
    """Raise if a column of a table has a type that no training column had."""
    if not table.holds_values(name):
        raise ValueError(
            f"{table.path} must hold numbers or texts in {name!r} as in training, got the type "
            f"{table.columns[name].type}"
        )


def _encode_numbers(table: Table, column: Numbers, notes: dict[str, list[str]]) -> NDArray[np.float64]:
    values, odd = table.numbers(column.name)
    if odd.any():
        table.refuse_text(column.name, odd)
    table.check_finite(column.name, values)
    missing = np.isnan(values)
    if missing.any():
        note = f"{np.count_nonzero(missing):,} of {column.name!r} ({column.median:g})"
        notes.setdefault("missing numbers, taken as the training rows' median", []).append(note)
    return np.where(missing, column.median, values)


def _encode_categories(
    table: Table, column: Categories, ones: NDArray[np.float64], notes: dict[str, list[str]]
) -> None:
    """Write a 1 where each row has its category; a row whose category no training row had stays 0."""
    codes, texts = table.texts(column.name)
    known = {value: place for place, value in enumerate(column.values)}
    places = np.array([known.get(text, -1) for text in [*texts, None]])  # code -1, a missing one, is the last
    places = places[codes]
    rows = np.flatnonzero(places >= 0)
    ones[rows, places[rows]] = 1
    missing, unknown = codes < 0, (codes >= 0) & (places < 0)
    if missing.any():
        taken = "as a category of its own" if None in known else "as none, since no training row lacks it"
        note = f"{np.count_nonzero(missing):,} of {column.name!r}"
        notes.setdefault(f"missing categories, taken {taken}", []).append(note)
    if unknown.any():
        row = int(np.argmax(unknown))
        place = table.place(row).removeprefix(f"{table.path} ")
        note = f"{np.count_nonzero(unknown):,} of {column.name!r} such as {texts[codes[row]]!r:.60} ({place})"
        notes.setdefault("categories that no training row has, taken as none", []).append(note)


def _join(parts: Iterable[str]) -> str:
    """Return parts of a sentence; of very many, the first."""
    shown = list(parts)
    return ", ".join(shown[:_SHOWN]) + (f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else "")


def _restore_column(content: Any) -> Numbers | Categories:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ValueError("its table has a column without a name")
    name, median, categories = content["name"], content.get("median"), content.get("categories")
    if "median" in content:
        if not isinstance(median, float) or not math.isfinite(median):
            raise ValueError(f"its table's median of {name!r:.80} is no finite number")
        return Numbers(name, median)
    fits = isinstance(categories, list) and all(isinstance(value, (str, type(None))) for value in categories)
    if not fits or not categories or len(set(categories)) != len(categories):
        raise ValueError(f"its table's categories of {name!r:.80} are no list of different texts")
    return Categories(name, tuple(categories))
