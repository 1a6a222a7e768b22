"""A user's own data files: arrays from .npz, and tables of columns from .csv, .tsv and .parquet."""

import csv
import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmlp.delimited import check_quotes, explain_rows, find_delimiter, parse, records, records_with_ends

ENDINGS = (".csv", ".tsv", ".parquet", ".csv.gz", ".tsv.gz")
MISSING = ("", "?", "-", ".", "na", "n/a", "#n/a", "<na>", "nan", "null", "none")
"""Texts that stand for no value, in upper or lower case."""
FEW = 20
"""A column with at most so many different texts holds categories, whatever the texts look like."""
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = r"(?i)^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?$|^[+-]?(inf|infinity)$"
_DECIMAL_COMMA = r"(?i)^[+-]?[0-9]*,[0-9]+(e[+-]?[0-9]+)?$"
_MONTH = (
    "(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?"
    "|dec(ember)?)"
)
_DATE = (
    r"(?i)^[0-9]{4}([-/][0-9]{1,2}|[-/.][0-9]{1,2}[-/.][0-9]{1,2}([ t].*)?)$"  # 2024-05, 2024-05-31 12:00, not 3750.5
    r"|^[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2})([ ,t].*)?$"  # 31.5.2024, 5/31/24
    rf"|^(\w+, *)?([0-9]{{1,2}}[ .-]*)?{_MONTH}[ .-]*([0-9]{{1,2}}, *)?([0-9]{{4}}|[0-9]{{2}})([ ,].*)?$"  # 31 May 2024
    r"|^[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?( ?[ap]m)?$"  # 12:30
)


def read_npz(path: Path, names: Sequence[str] = ("X", "y")) -> list[NDArray[Any]]:
    """Return arrays of a .npz file.

    Raises
    ------
    FileNotFoundError
    ValueError
        If the file is damaged, holds pickled objects, or lacks one of the arrays.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files if name in names}
                held = archive.files
        except Exception as error:  # zipfile and NumPy raise a dozen types on a damaged file
            raise ValueError(f"{path} must be a .npz file of plain arrays, but it can't be read: {error}") from error
    if len(arrays) < len(names):
        wanted = "arrays named X and y" if len(names) > 1 else f"an array named {names[0]}"
        raise ValueError(f"{path} must hold {wanted}, got only {', '.join(held) or 'nothing'}")
    return [arrays[name] for name in names]


@dataclass(frozen=True)
class Table:
    """The columns of a file, by name.

    A column is as Arrow has it: texts without spaces around them, or what Parquet knows to be something else.
    """

    path: Path
    columns: dict[str, Any]
    num_rows: int
    notes: tuple[str, ...] = ()
    """A sentence for each column that was left out."""
    text: str | None = None
    """The whole file, unless it is Parquet."""
    delimiter: str = ","

    def place(self, row: int) -> str:
        """Return the file and the line in it where a row, counted from 0, begins; Parquet has rows only."""
        if self.text is not None:
            try:
                line, _ = next(islice(records(self.text, self.delimiter), row + 1, None))
            except csv.Error:  # a field that is too long for this reader
                pass
            else:
                return f"{self.path} line {line}"
        return f"{self.path} row {row + 1}"

    def texts(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return a column as (codes, texts): which of the texts, sorted, is in each row, -1 where none is."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.columns[name]
        if not pa.types.is_string(column.type):
            column = pc.cast(column, pa.string())
        found = pc.if_else(_is_missing(column), None, column).combine_chunks().dictionary_encode()
        found = found.combine_chunks() if isinstance(found, pa.ChunkedArray) else found
        texts = found.dictionary.to_pylist()
        codes = found.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        order = sorted(range(len(texts)), key=lambda i: texts[i])
        places = np.empty(len(texts) + 1, np.int64)
        places[order] = np.arange(len(texts))
        places[-1] = -1
        return places[codes], [texts[i] for i in order]

    def numbers(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return a column as numbers, NaN where there is none, and which rows hold something that is no number."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.columns[name]
        if not pa.types.is_string(column.type):
            values = pc.cast(column, pa.float64(), safe=False).to_numpy()
            return values.astype(np.float64), np.zeros(len(values), bool)
        missing = _is_missing(column)
        if self.delimiter != ",":
            comma = pc.match_substring_regex(column, _DECIMAL_COMMA)
            column = pc.if_else(comma, pc.replace_substring(column, ",", "."), column)
        number = pc.fill_null(pc.match_substring_regex(column, _NUMBER), False)
        values = pc.cast(pc.if_else(number, column, None), pa.float64()).to_numpy()
        return values, pc.invert(pc.or_(missing, number)).to_numpy()

    def holds_dates(self, name: str) -> bool:
        """Return whether a column's type is one of dates and times, or most of its texts look like them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        column = self.columns[name]
        if not pa.types.is_string(column.type):
            return bool(pa.types.is_temporal(column.type))
        dates = pc.sum(pc.match_substring_regex(column, _DATE)).as_py() or 0
        return bool(2 * dates > pc.sum(pc.invert(_is_missing(column))).as_py() > 0)

    def holds_values(self, name: str) -> bool:
        """Return whether a column is made of texts or numbers, and not of lists, bytes, dates or other types."""
        import pyarrow.types as types

        kind = self.columns[name].type
        return bool(types.is_string(kind) or types.is_integer(kind) or types.is_floating(kind))

    def labels(self, name: str) -> NDArray[Any]:
        """Return a column of labels (n,).

        They become integers where all of them are written as integers are, without leading zeros, otherwise floats
        where all of them are numbers but not integers with leading zeros, otherwise strings.

        Raises
        ------
        ValueError
            If a row has no label, or the labels are dates, infinite, or many numbers among a few other texts.
        """
        if self.holds_dates(name):
            raise ValueError(f"--label must name numbers or classes, but {name!r} of {self.path} holds dates")
        if not self.holds_values(name):
            raise ValueError(
                f"--label must name numbers or classes, but {name!r} of {self.path} has the type "
                f"{self.columns[name].type}"
            )
        column = self.columns[name]
        values, odd = self.numbers(name)
        texts = column.to_pylist() if column.type == "string" else []
        is_class = bool(texts) and bool(odd.any() or np.all(np.isnan(values)))  # "None" and "-" may be classes then
        missing = np.array([not text for text in texts]) if is_class else np.isnan(values)
        if missing.any():
            row = int(np.argmax(missing))
            got = repr(texts[row]) if texts and texts[row] else "nothing"
            raise ValueError(f"{self.place(row)} must hold a label in {name!r}, got {got}")
        if is_class:
            self.check_mixture(name, len(set(texts)), odd)
            return np.array(texts)
        if texts and all(map(_INTEGER.fullmatch, texts)):
            return _integers(texts)
        self.check_finite(name, values)
        return values if texts else column.to_numpy()

    def check_finite(self, name: str, values: NDArray[np.float64]) -> None:
        """Raise if the numbers of a column are not all finite or missing."""
        bad = np.isinf(values)
        if bad.any():
            row = int(np.argmax(bad))
            raise ValueError(f"{self.place(row)} must hold a finite number in {name!r}, got {values[row]}")

    def check_mixture(self, name: str, num_texts: int, odd: NDArray[np.bool_]) -> None:
        """Raise if a column holds many different texts, most of its rows numbers, but not all."""
        if num_texts > FEW and 2 * np.count_nonzero(odd) < len(odd):
            self.refuse_text(name, odd)

    def refuse_text(self, name: str, odd: NDArray[np.bool_]) -> None:
        """Raise because of the first row that should hold a number."""
        row = int(np.argmax(odd))
        value = self.columns[name][row].as_py()
        raise ValueError(
            f"{self.place(row)} must hold a number in {name!r}, as {np.count_nonzero(~odd)} of {len(odd)} rows do, "
            f"got {value!r:.60}"
        )


def is_table(path: Path) -> bool:
    """Return whether a file's name ends as that of a table does."""
    return path.name.lower().endswith(ENDINGS)


def read_table(path: Path) -> Table:
    """Return the table in a .csv, .tsv (either also .gz) or .parquet file.

    The texts of a .csv are in UTF-8; their separator is a comma, semicolon, tab or vertical bar, whichever fits, and
    the first line names the columns.

    Raises
    ------
    OSError
    ValueError
        If the file is damaged, a row has another length, a name is there twice, or there is no row.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise ValueError(
            f"{path} must be read with pyarrow, which isn't installed: pip install 'fastmlp[tables]' "
            "(a .npz file with X and y needs nothing)"
        ) from None
    table = _read_parquet(path, content) if path.suffix.lower() == ".parquet" else _read_text(path, content)
    if table.num_rows == 0:
        raise ValueError(f"{path} must have at least one row below its header")
    return table


def _read_parquet(path: Path, content: bytes) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        frame = parquet.ParquetFile(pa.BufferReader(content)).read()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} must be a .parquet file, but it can't be read: {error}") from error
    names = frame.column_names
    _check_names(path, names)
    index = [name for name in names if re.fullmatch(r"__index_level_\d+__", name)]
    columns = {name: _plain(frame.column(name)) for name in names if name not in index}
    notes = tuple(f"the data frame's index {name!r} is left out" for name in index)
    return Table(path, columns, frame.num_rows, notes)


def _plain(column: Any) -> Any:
    """Return a column of Parquet as texts or numbers where it can be either, otherwise as it is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.cast(kind.value_type))
    if pa.types.is_boolean(kind):
        return pc.if_else(column, "True", "False")
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        column = column.cast(pa.string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    return pc.utf8_trim_whitespace(column) if pa.types.is_string(column.type) else column


def _read_text(path: Path, content: bytes) -> Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    if path.suffix.lower() == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path} must be a .gz file, but it can't be read: {error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path} line {line} must be text in UTF-8, but holds the byte {content[error.start]:#04x}: save the file "
            "as UTF-8"
        ) from None
    is_tsv = path.name.lower().endswith((".tsv", ".tsv.gz"))
    delimiter = "\t" if is_tsv else find_delimiter(text)
    try:
        header_end, header = next(records_with_ends(text, delimiter), (0, []))
        names = [name.strip() for name in header]
        _check_names(path, names)
        frame = parse(text, delimiter, len(names), header_end)
        check_quotes(text, delimiter)
    except (csv.Error, pa.ArrowException) as error:
        explain_rows(path, text, delimiter)
        raise ValueError(f"{path} must be a .csv file, but it can't be read: {error}") from error
    columns = {name: pc.utf8_trim_whitespace(frame.column(i)) for i, name in enumerate(names) if name}
    notes = tuple(f"column {i + 1} has no name and is left out" for i, name in enumerate(names) if not name)
    return Table(path, columns, frame.num_rows, notes, text, delimiter)


def _check_names(path: Path, names: list[str]) -> None:
    """Raise unless a table's columns have names, each its own."""
    if not any(names):
        raise ValueError(f"{path} must begin with a line of column names, got nothing")
    for name in names:
        if name and names.count(name) > 1:
            raise ValueError(f"{path} must give each column a name of its own, but {names.count(name)} are {name!r}")
    if all(re.match(r"[+-]?\.?[0-9]", name) for name in names) and names != [str(i) for i in range(len(names))]:
        raise ValueError(f"{path} must begin with a line of column names, got numbers: {', '.join(names)[:60]}")


def _is_missing(column: Any) -> Any:
    """Return where a column of texts holds no value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.or_(pc.is_in(pc.utf8_lower(column), value_set=pa.array(MISSING)), pc.is_null(column))


def _integers(texts: list[str]) -> NDArray[Any]:
    """Return texts as integers where that merges none of them: 007 is not 7, and 31 digits are no 64-bit integer."""
    try:
        integers = np.array([int(text) for text in texts], np.int64)
    except (OverflowError, ValueError):  # Python converts only so many digits
        return np.array(texts)
    return integers if list(map(str, integers.tolist())) == texts else np.array(texts)
