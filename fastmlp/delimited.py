"""Text whose lines are records and whose records are divided by a separator, as in .csv: found, counted and parsed."""

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

_DELIMITERS = ",;\t|"
_SAMPLE = 1 << 16
_LINE_BREAK = re.compile("\r\n|\r|\n")


def find_delimiter(text: str) -> str:
    """Return the character that divides the most of the first lines as it divides the header."""
    sample = text[:_SAMPLE]
    if len(text) > _SAMPLE:
        sample = sample[: sample.rfind("\n") + 1] or sample

    def fit(delimiter: str) -> tuple[bool, float, int]:
        try:
            rows = [fields for _, fields in islice(records(sample, delimiter), 100)]
        except csv.Error:
            rows = []
        width = len(rows[0]) if rows else 0
        return width > 1, sum(len(fields) == width for fields in rows) / max(1, len(rows)), width

    return max(_DELIMITERS, key=fit)


def records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record of a .csv, the header first, with the line where it begins; blank lines are none."""
    for end, fields in records_with_ends(text, delimiter):
        yield end - sum(len(_LINE_BREAK.findall(field)) for field in fields), fields


def records_with_ends(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record of a .csv, the header first, with the line where it ends; blank lines are none."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    width = 0
    for fields in reader:
        is_blank = not delimiter.join(fields).strip()
        if fields and not (is_blank and len(fields) != (width or 2)):
            width = width or len(fields)
            yield reader.line_num, fields


def parse(text: str, delimiter: str, width: int, header_end: int) -> Any:
    """Return the columns of a .csv as texts, without the lines of its header."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    breaks = islice(_LINE_BREAK.finditer(text), header_end - 1, header_end)
    content = b"".join(text[line_break.end() :].encode() for line_break in breaks)
    names = [str(i) for i in range(width)]
    if not content.strip():
        return pa.table({name: pa.chunked_array([], pa.string()) for name in names})
    options = {
        "parse_options": arrow_csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values='"' in text,
            invalid_row_handler=lambda row: "error" if row.text.strip() else "skip",
        ),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    }
    for block in (1 << 20, 1 << 30):  # a record has to fit into one, and small ones are read side by side
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(content),
                read_options=arrow_csv.ReadOptions(column_names=names, block_size=min(block, len(content) + 1)),
                **options,
            )
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error) or len(content) < block:
                raise
    raise ValueError("a row is too long")


def check_quotes(text: str, delimiter: str) -> None:
    """Raise if a quoted field never ends and so swallows the rest of the file."""
    if text.count('"') % 2 == 0:
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    began = 0
    try:
        for _ in reader:
            began = reader.line_num
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise csv.Error(f"the quote that opens in line {began + 1} never closes") from None


def explain_rows(path: Path, text: str, delimiter: str) -> None:
    """Raise for the first row that has not as many fields as the header, if there is one."""
    width = 0
    for line, fields in records(text, delimiter):
        width = width or len(fields)
        if len(fields) != width:
            raise ValueError(f"{path} line {line} must have {width} fields, got {len(fields)}")
